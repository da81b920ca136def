/* SPDX-License-Identifier: BSD-2-Clause */
/* Records that the loader makes: room for one, its header, and what has no fixed length. */
#ifndef RECORD_H
#define RECORD_H
#include <stddef.h>
#include <stdint.h>
#include "event.h"

struct record {
	uint64_t room[EVENT_SIZE_MAX / 8];
};

/* A record of that type, size bytes of it zero but for the header, stamped now. Lies in r: the one before is gone. */
void *record_begin(struct record *r, enum event_type type, size_t size, uint32_t pid, uint32_t tid);
/* Appends to a record that lies in a struct record; what does not fit is left out. */
void record_add(struct event *e, const char *text, size_t n);
/* The same, with a NUL behind it. */
void record_add_word(struct event *e, const char *word);

/* EV_MISSING of a process, 0 of all: what could not be seen, and why. One for each `what`: its index is made of it. */
struct event *record_missing(struct record *r, uint32_t pid, const char *what, const char *why);

#endif
