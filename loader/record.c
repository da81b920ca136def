/* SPDX-License-Identifier: BSD-2-Clause */
/* Puts records together. */
#include "record.h"

#include <string.h>

#include "snapshot.h"

void *record_begin(struct record *r, enum event_type type, size_t size, uint32_t pid, uint32_t tid)
{
	struct event *e = (struct event *)r->room;

	memset(e, 0, size);
	e->type = (uint16_t)type;
	e->size = (uint32_t)size;
	e->ts_ns = now_ns();
	e->pid = pid;
	e->tid = tid;
	return e;
}

void record_add(struct event *e, const char *text, size_t n)
{
	if (n > EVENT_SIZE_MAX - e->size)
		n = EVENT_SIZE_MAX - e->size;
	memcpy((char *)e + e->size, text, n);
	e->size += (uint32_t)n;
}

void record_add_word(struct event *e, const char *word)
{
	record_add(e, word, strlen(word) + 1);
}

struct event *record_missing(struct record *r, uint32_t pid, const char *what, const char *why)
{
	struct ev_missing *m = record_begin(r, EV_MISSING, sizeof(*m), pid, pid);

	m->index = 2166136261u; /* FNV-1a of the word */
	for (const char *p = what; *p; p++)
		m->index = (m->index ^ (unsigned char)*p) * 16777619u;
	record_add_word(&m->h, what);
	record_add(&m->h, why, strlen(why));
	return &m->h;
}
