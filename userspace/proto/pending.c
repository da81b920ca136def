/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls that wait for their replies in order; pending.h tells the rule that keeps pairing
 * honest. */
#include "pending.h"

#include <stdlib.h>

#define PENDING_FIRST 8

void pending_init(struct pending *p, struct call_sink *sink, const char *proto,
                  unsigned rounds_needed, bool from_start)
{
	*p = (struct pending){ .sink = sink, .proto = proto, .rounds_needed = rounds_needed };
	p->seq = 1;
	p->last_dir = -1;
	p->doubt = from_start ? PARTIAL_NONE : PARTIAL_ATTACHED_LATE;
}

void pending_free(struct pending *p)
{
	free(p->ring);
	p->ring = NULL;
}

/* Whether the client has shown that it writes only when nothing is outstanding. */
static bool in_step(const struct pending *p)
{
	return !p->overlapped && p->rounds >= p->rounds_needed;
}

void pending_doubt(struct pending *p, enum partial why)
{
	if (p->doubt == PARTIAL_NONE)
		p->doubt = why;
}

static bool ring_grow(struct pending *p)
{
	size_t cap = p->cap ? 2 * p->cap : PENDING_FIRST;
	struct pending_call *ring;

	if (p->count < p->cap)
		return true;
	if (cap > PENDING_MAX)
		return false;
	ring = calloc(cap, sizeof(*ring));
	if (!ring)
		return false;
	for (size_t i = 0; i < p->cap; i++) /* it is full */
		ring[i] = p->ring[(p->first + i) % p->cap];
	free(p->ring);
	p->ring = ring;
	p->cap = cap;
	p->first = 0;
	return true;
}

static struct pending_call *ring_at(struct pending *p, size_t i)
{
	return &p->ring[(p->first + i) % p->cap];
}

void pending_begin_call(struct call *c, const char *proto, const struct stamp *at)
{
	if (!c)
		return;
	c->proto = proto;
	c->pid = at->pid;
	c->tid = at->tid;
	c->task = at->task;
	c->request_ns = at->start_ns ? at->start_ns : at->end_ns;
	/* the sink may have set an earlier start: that of connect() */
	if (!c->start_ns)
		c->start_ns = c->request_ns;
	if (!at->start_ns)
		c->at_least = true;
}

uint64_t pending_open(struct pending *p, enum call_class class, const struct stamp *at)
{
	struct pending_call *e;

	if (p->over || !ring_grow(p)) {
		p->over++;
		if (p->count && ring_at(p, p->count - 1)->c)
			call_partial(ring_at(p, p->count - 1)->c, PARTIAL_TRUNCATED);
		return 0;
	}
	/* more of the same request (a password, copy data) would be no sign; neither is what we
	 * believe in doubt, of a client known to be in step */
	if (p->busy_turn && p->count && ring_at(p, 0)->sent && !(p->doubt && in_step(p)))
		p->overlapped = true;
	e = ring_at(p, p->count++);
	*e = (struct pending_call){ .c = p->sink->open(p->sink, at) };
	e->doubted = p->doubt != PARTIAL_NONE;
	pending_begin_call(e->c, p->proto, at);
	if (e->c) {
		e->c->class = class;
		if (e->doubted)
			call_partial(e->c, p->doubt);
	}
	return p->seq + p->count - 1;
}

struct pending_call *pending_get(struct pending *p, uint64_t seq)
{
	if (seq < p->seq || seq - p->seq >= p->count)
		return NULL;
	return ring_at(p, seq - p->seq);
}

struct pending_call *pending_oldest(struct pending *p)
{
	return p->count ? ring_at(p, 0) : NULL;
}

uint64_t pending_count(const struct pending *p)
{
	return p->count + p->over;
}

void pending_sent(struct pending *p, struct pending_call *e, const struct stamp *at)
{
	if (!e)
		return;
	if (e->c)
		e->c->sent_ns = at->end_ns;
	if (!e->sent && e->c)
		p->sink->sent(p->sink, e->c);
	e->sent = true;
}

void pending_out_bytes(struct pending_call *e, uint64_t n)
{
	if (e && e->c)
		e->c->bytes_out += n;
}

void pending_in_bytes(struct pending *p, uint64_t n, const struct stamp *at)
{
	struct pending_call *e = pending_oldest(p);

	if (!e || !e->c || !n)
		return;
	if (!e->c->first_byte_ns)
		e->c->first_byte_ns = at->end_ns;
	e->c->last_byte_ns = at->end_ns;
	e->c->bytes_in += n;
}

static struct pending_call ring_pop(struct pending *p)
{
	struct pending_call e = *ring_at(p, 0);

	p->first = (p->first + 1) % p->cap;
	p->count--;
	p->seq++;
	return e;
}

static void finish(struct pending *p, struct call *c, uint64_t end_ns)
{
	if (!c)
		return;
	c->end_ns = end_ns;
	p->sink->done(p->sink, c);
}

bool pending_done(struct pending *p, enum call_status status, const char *kind,
                  const struct stamp *at)
{
	struct pending_call e;

	if (!p->count && p->over) {
		p->over--;
		return true;
	}
	if (!p->count)
		return false;
	e = ring_pop(p);
	if (e.c && !e.doubted) {
		e.c->status = status;
		strncpy(e.c->error_kind, kind, sizeof(e.c->error_kind) - 1);
	}
	finish(p, e.c, at->end_ns);
	return true;
}

void pending_lose(struct pending *p, enum partial why, const struct stamp *at)
{
	while (p->count && ring_at(p, 0)->sent) {
		struct pending_call e = ring_pop(p);

		if (e.c)
			call_partial(e.c, why);
		finish(p, e.c, at->end_ns);
	}
	p->over = 0;
	pending_doubt(p, why);
	if (!p->count)
		return;
	/* still being sent: its reply is to come, but others may come before */
	ring_at(p, 0)->doubted = true;
	if (ring_at(p, 0)->c)
		call_partial(ring_at(p, 0)->c, why);
}

void pending_turn(struct pending *p, int dir, bool boundary, const struct stamp *at)
{
	bool asks_again = dir == 1 && p->last_dir == 0;
	bool quiet = at->start_ns >= p->last_ns + PENDING_QUIET_NS;

	/* in doubt we may believe in requests that were none: they must not wait for ever */
	if (asks_again && boundary && p->doubt != PARTIAL_NONE && pending_count(p)) {
		bool waits_for_nothing = in_step(p) || quiet;

		if (waits_for_nothing || p->needs_boundary)
			pending_lose(p, p->doubt, at);
		p->overlapped |= !waits_for_nothing;
	}
	if (asks_again || dir == 0)
		p->busy_turn = asks_again && pending_count(p);
	if (asks_again && !p->busy_turn) {
		if (boundary && p->rounds < p->rounds_needed)
			p->rounds++;
		if ((boundary || !p->needs_boundary) && (quiet || in_step(p)))
			p->doubt = PARTIAL_NONE;
	}
	p->last_dir = dir;
	p->last_ns = at->end_ns;
}

void pending_end_status(struct call *c, enum done_why why)
{
	if (!c || c->status != CALL_UNKNOWN || why == DONE_DETACHED || why == DONE_SWITCHED)
		return;
	c->status = why == DONE_TIMED_OUT ? CALL_TIMEOUT : CALL_ABORTED;
	strcpy(c->error_kind, why == DONE_RESET         ? "connection_reset"
	                      : why == DONE_TIMED_OUT   ? "timeout"
	                      : why == DONE_PEER_CLOSED ? "connection_closed"
	                                                : "client_closed");
}

void pending_end(struct pending *p, enum done_why why, const struct stamp *at)
{
	while (p->count) {
		struct pending_call e = ring_pop(p);

		pending_end_status(e.c, why);
		finish(p, e.c, at->end_ns);
	}
	p->over = 0;
}
