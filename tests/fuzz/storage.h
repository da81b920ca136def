/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Feeds a storage parser with a script: the first byte says whether the start was seen, then
 * records of a control byte (1 from the client, 2 a gap, 4 of unknown size, 8 lost rather than
 * cut), a length (two bytes, low first), the bytes. Whatever comes, each call ends once.
 */
#ifndef FUZZ_STORAGE_H
#define FUZZ_STORAGE_H
#include <stdlib.h>

#include "proto/proto.h"

static size_t open_calls;

static struct call *sink_open(struct call_sink *s, const struct stamp *at)
{
	(void)s;
	(void)at;
	open_calls++;
	return call_new();
}

static void sink_sent(struct call_sink *s, struct call *c)
{
	(void)s;
	if (!c->sent_ns || c->end_ns)
		abort();
}

static void sink_done(struct call_sink *s, struct call *c)
{
	(void)s;
	if (!open_calls-- || !c->end_ns || c->end_ns < c->start_ns)
		abort();
	for (const char *p = c->op; *p; p++)
		if (*p < ' ' || *p > '~')
			abort();
	call_free(c);
}

/* An exact copy, so that the sanitizer sees an over-read. */
static void feed_copy(const struct proto *p, void *state, int dir, struct bytes b,
                      const struct stamp *at)
{
	char *copy = malloc(b.n ? b.n : 1);

	memcpy(copy, b.p, b.n);
	p->feed(state, dir, (struct bytes){ copy, b.n }, at);
	free(copy);
}

static int fuzz_storage(const struct proto *p, const uint8_t *data, size_t n)
{
	struct call_sink sink = { sink_open, sink_sent, sink_done };
	struct proto_hint hint = { .from_start = n && data[0] & 1,
		                   .port = n ? (uint16_t)(data[0] << 5) : 0 };
	struct stamp at = { .start_ns = 1, .end_ns = 2, .pid = 1, .tid = 1 };
	void *state = p->new (&sink, &hint);
	size_t i = 1;

	if (!state)
		return 0;
	for (; n > 3 && i < n - 3; at.start_ns += 10, at.end_ns += 10) {
		unsigned control = data[i];
		size_t len = data[i + 1] | (size_t)data[i + 2] << 8,
		       have = n - i - 3 < len ? n - i - 3 : len;
		struct bytes b = { (const char *)data + i + 3, have };

		i += 3 + (control & 2 ? 0 : have);
		if (control & 2)
			p->gap(state, control & 1, control & 4 ? GAP_UNKNOWN : len,
			       control & 8 ? PARTIAL_EVENTS_LOST : PARTIAL_TRUNCATED, &at);
		else
			feed_copy(p, state, control & 1, b, &at);
		p->detect(control & 1 ? b : (struct bytes){ "", 0 },
		          control & 1 ? (struct bytes){ "", 0 } : b, &hint);
	}
	p->done(state, (enum done_why)(n ? data[0] % 5 : 0), &at);
	p->free(state);
	if (open_calls)
		abort();
	return 0;
}
#endif
