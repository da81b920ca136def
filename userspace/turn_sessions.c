/* SPDX-License-Identifier: BSD-2-Clause */
/* A hash table in order of use. */
#include "turn_sessions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/queue.h"

#define BUCKETS 4096

struct node {
	TAILQ_ENTRY(node) link;
	struct node *next; /* in its bucket */
	char key[SESSION_NAME_MAX];
	struct session_entry e;
};

struct sessions {
	TAILQ_HEAD(nodes, node) nodes; /* last used first */
	struct node *of[BUCKETS];
	uint32_t n, numbered;
	uint64_t seen;
};

static size_t bucket_of(const char *key)
{
	return bytes_hash(0, bytes_of(key)) % BUCKETS;
}

static struct node **slot_of(struct sessions *s, const char *key)
{
	struct node **n = &s->of[bucket_of(key)];

	while (*n && strcmp((*n)->key, key) != 0)
		n = &(*n)->next;
	return n;
}

static void forget(struct sessions *s, struct node *n)
{
	*slot_of(s, n->key) = n->next;
	TAILQ_REMOVE(&s->nodes, n, link);
	s->n--;
	free(n);
}

/* made: whether it was. */
static struct node *node_use(struct sessions *s, const char *name, bool *made)
{
	char key[SESSION_NAME_MAX];
	struct node **slot, *n;

	snprintf(key, sizeof(key), "%s", name);
	slot = slot_of(s, key);
	n = *slot;
	*made = !n;
	if (n) {
		TAILQ_REMOVE(&s->nodes, n, link);
	} else {
		if (s->n == SESSIONS_MAX)
			forget(s, TAILQ_LAST(&s->nodes, nodes));
		n = calloc(1, sizeof(*n));
		if (!n)
			return NULL;
		slot = slot_of(s, key); /* the forgotten one may have held it */
		memcpy(n->key, key, sizeof(key));
		*slot = n;
		s->n++;
	}
	TAILQ_INSERT_HEAD(&s->nodes, n, link);
	return n;
}

struct session_entry *sessions_named(struct sessions *s, const char *name)
{
	bool made;
	struct node *n = node_use(s, name, &made);

	if (n && made) {
		snprintf(n->e.name, sizeof(n->e.name), "%s", n->key);
		s->seen++;
	}
	return n ? &n->e : NULL;
}

struct session_entry *sessions_keyed(struct sessions *s, const char *key, uint32_t after)
{
	char whole[SESSION_NAME_MAX];
	struct node *n;
	bool made;

	snprintf(whole, sizeof(whole), "\x01%s", key); /* no name begins with a control character */
	n = node_use(s, whole, &made);
	if (n && made) {
		if (s->numbered < after)
			s->numbered = after;
		snprintf(n->e.name, sizeof(n->e.name), "s%u", ++s->numbered);
	}
	return n ? &n->e : NULL;
}

struct session_entry *sessions_find(const struct sessions *s, const char *name)
{
	struct node *n = s->of[bucket_of(name)];

	while (n && strcmp(n->key, name) != 0)
		n = n->next;
	return n ? &n->e : NULL;
}

uint64_t sessions_seen(const struct sessions *s)
{
	return s->seen;
}

struct sessions *sessions_new(void)
{
	struct sessions *s = calloc(1, sizeof(*s));

	if (s)
		TAILQ_INIT(&s->nodes);
	return s;
}

void sessions_free(struct sessions *s)
{
	struct node *n;

	if (!s)
		return;
	while ((n = TAILQ_FIRST(&s->nodes)))
		forget(s, n);
	free(s);
}
