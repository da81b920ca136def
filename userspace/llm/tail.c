/* SPDX-License-Identifier: BSD-2-Clause */
/* A ring of the newest bytes after a gap, turned into a document whose end is known. */
#include "llm/tail.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json_scan.h"

/* A member of a message in a list: {"messages":[{"role":... Deeper ones mean nothing without
 * the names of what they are in. */
#define OPEN_MAX 3

void tail_gap(struct tail *t)
{
	if (!t->ring)
		t->ring = malloc(TAIL_MAX);
	t->n = 0;
	t->active = t->ring != NULL;
}

void tail_free(struct tail *t)
{
	free(t->ring);
	t->ring = NULL;
	t->active = false;
}

void tail_add(struct tail *t, struct bytes b)
{
	if (!t->active)
		return;
	if (b.n > TAIL_MAX) {
		t->n += b.n - TAIL_MAX;
		b = bytes_from(b, b.n - TAIL_MAX);
	}
	for (size_t i = 0; i < b.n; i++)
		t->ring[(t->n + i) % TAIL_MAX] = b.p[i];
	t->n += b.n;
}

static void reverse(char *p, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		char c = p[i];

		p[i] = p[n - 1 - i];
		p[n - 1 - i] = c;
	}
}

/* Brings the ring's oldest byte to its front. */
static struct bytes straighten(struct tail *t)
{
	size_t at = t->n % TAIL_MAX;

	if (t->n <= TAIL_MAX)
		return (struct bytes){ t->ring, t->n };
	reverse(t->ring, at);
	reverse(t->ring + at, TAIL_MAX - at);
	reverse(t->ring, TAIL_MAX);
	t->n = TAIL_MAX;
	return (struct bytes){ t->ring, TAIL_MAX };
}

static void write_head(struct tail_doc *d, const char *open, const char *list)
{
	size_t n = 0;

	for (unsigned i = 0; i < d->open; i++) {
		d->head[n++] = open[i];
		/* a member's name is needed, and known for a list of the root only */
		if (open[i] == '{' && i + 1 < d->open)
			n += (size_t)snprintf(d->head + n, sizeof(d->head) - n,
			                      "\"%.40s\":", i == 0 ? list : "");
	}
	d->head_n = n;
}

bool tail_open(struct tail *t, const char *list, struct tail_doc *ret)
{
	struct json_scan dry;
	struct bytes tail;
	char open[OPEN_MAX];
	long at;

	if (!t->active)
		return false;
	tail = straighten(t);
	at = json_tail(tail, open, OPEN_MAX, &ret->open);
	if (at < 0)
		return false;
	ret->body = bytes_from(tail, (size_t)at);
	write_head(ret, open, list);
	json_init(&dry, NULL, NULL);
	json_feed(&dry, (struct bytes){ ret->head, ret->head_n });
	json_feed(&dry, ret->body);
	return dry.state == JSON_DONE;
}
