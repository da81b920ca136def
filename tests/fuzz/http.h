/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whatever both sides send, however it is cut and whatever is lost: every call opened is done
 * exactly once, and nothing is read beyond its end. The input is a script; each step is a letter,
 * a length byte, and as many bytes:
 *   o i  feed the one direction or the other    O I  the same, three times over
 *   g h  a gap of as many bytes                 G H  a gap of unknown size
 *   b c  what an encoded slice decodes to       else: detection
 * The first byte says how the connection ends and whether it was seen from its start.
 */
#ifndef FUZZ_HTTP_H
#define FUZZ_HTTP_H
#include <stdlib.h>

#include "event.h"
#include "proto/proto.h"

struct run {
	struct call_sink sink;
	int open;
};

static struct call *run_open(struct call_sink *s, const struct stamp *at)
{
	struct run *r = (struct run *)s;

	(void)at;
	r->open++;
	return call_new();
}

static void run_sent(struct call_sink *s, struct call *c)
{
	(void)s;
	if (c->end_ns)
		abort();
}

static void run_done(struct call_sink *s, struct call *c)
{
	struct run *r = (struct run *)s;

	if (!c->end_ns || (c->last_byte_ns && c->last_byte_ns > c->end_ns))
		abort();
	r->open--;
	call_free(c);
}

static void step(const struct proto *p, void *state, char what, struct bytes b,
                 const struct stamp *at)
{
	struct proto_hint hint = { 0 };
	int dir = what == 'o' || what == 'O' || what == 'g' || what == 'G' || what == 'b' ? DIR_OUT
	                                                                                  : DIR_IN;

	switch (what) {
	case 'O':
	case 'I':
		p->feed(state, dir, b, at);
		p->feed(state, dir, b, at);
		/* fallthrough */
	case 'o':
	case 'i':
		p->feed(state, dir, b, at);
		break;
	case 'g':
	case 'h':
		p->gap(state, dir, b.n, PARTIAL_EVENTS_LOST, at);
		break;
	case 'G':
	case 'H':
		p->gap(state, dir, GAP_UNKNOWN, PARTIAL_TRUNCATED, at);
		break;
	case 'b':
	case 'c':
		p->decoded(state, dir, b);
		break;
	default:
		p->detect(b, b, &hint);
	}
}

static int fuzz_http(const struct proto *p, const uint8_t *data, size_t n)
{
	struct run r = { { run_open, run_sent, run_done }, 0 };
	struct stamp at = { 1, 2, 1, 1, 0 };
	struct proto_hint hint = { .from_start = n && !(data[0] & 0x40), .client = true };
	void *state = p->new (&r.sink, &hint);

	for (size_t i = 1; i + 2 <= n;) {
		size_t m = data[i + 1];
		char *copy;

		if (m > n - i - 2)
			m = n - i - 2;
		/* a copy of its own, so that the sanitizer sees where each feed ends */
		copy = malloc(m ? m : 1);
		memcpy(copy, data + i + 2, m);
		at.start_ns = at.end_ns++;
		step(p, state, (char)data[i], (struct bytes){ copy, m }, &at);
		free(copy);
		i += 2 + m;
	}
	at.end_ns++;
	p->done(state, (enum done_why)(n ? data[0] % (DONE_SWITCHED + 1) : 0), &at);
	p->free(state);
	if (r.open)
		abort();
	return 0;
}
#endif
