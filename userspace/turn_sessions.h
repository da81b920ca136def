/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions by name, and how many turns each has had: what gives turn_index, and names to those that have none. */
#ifndef TURN_SESSIONS_H
#define TURN_SESSIONS_H
#include <stdint.h>

/* Sessions remembered, 4 MB; the one not used for longest is forgotten and would count from 0 again. */
#define SESSIONS_MAX 16384
#define SESSION_NAME_MAX 64

struct sessions;

struct session_entry {
	char name[SESSION_NAME_MAX];
	uint64_t opened, closed; /* turns */
};

struct sessions *sessions_new(void); /* NULL with errno set */
void sessions_free(struct sessions *s);

/* The session of that name, made if need be; valid until the next call. NULL: out of memory. */
struct session_entry *sessions_named(struct sessions *s, const char *name);
/* The one that has no name of its own but is told by a key (a connection, a lane): s1, s2, ... in order of appearance,
 * behind `after`, the highest number that others gave. */
struct session_entry *sessions_keyed(struct sessions *s, const char *key, uint32_t after);
/* NULL: not known. */
struct session_entry *sessions_find(const struct sessions *s, const char *name);
uint64_t sessions_seen(const struct sessions *s);
#endif
