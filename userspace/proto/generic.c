/* SPDX-License-Identifier: BSD-2-Clause */
/* Exchanges told by the direction of bytes alone, for connections whose bytes say nothing to us. */
#include "generic.h"
#include "pending.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct generic {
	struct call_sink *sink;
	struct call *open; /* the sink's; NULL none, or it had no memory */
	bool late;         /* the first bytes seen may be the middle of a request */
};

static enum proto_match generic_detect(struct bytes out, struct bytes in,
                                       const struct proto_hint *hint)
{
	(void)out;
	(void)in;
	(void)hint;
	return PROTO_YES;
}

static void *generic_new(struct call_sink *sink, const struct proto_hint *hint)
{
	struct generic *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->sink = sink;
	g->late = !hint->from_start;
	return g;
}

static void finish(struct generic *g, uint64_t end_ns)
{
	struct call *c = g->open;

	g->open = NULL;
	c->end_ns = end_ns;
	g->sink->done(g->sink, c);
}

static void request(struct generic *g, uint64_t n, const struct stamp *at)
{
	bool begins;

	if (g->open && g->open->first_byte_ns)
		finish(g, g->open->last_byte_ns);
	begins = !g->open;
	if (begins) {
		g->open = g->sink->open(g->sink, at);
		pending_begin_call(g->open, "generic", at);
		if (g->open && g->late) {
			g->open->at_least = true;
			call_partial(g->open, PARTIAL_ATTACHED_LATE);
		}
		g->late = false;
	}
	if (!g->open)
		return;
	/* nobody can tell whether more follows: it is sent until it does */
	g->open->sent_ns = at->end_ns;
	g->open->bytes_out += n;
	if (begins)
		g->sink->sent(g->sink, g->open);
}

/*
 * Lines that carry no content in the middle of a streamed reply: comments (https://html.spec.whatwg.org/
 * multipage/server-sent-events.html), Anthropic's ping event, and around them the sizes of chunks (RFC 9112,
 * 7.1) and empty lines.
 */
static bool is_filler_line(struct bytes line, bool *ping)
{
	static const char *const pings[] = { "event: ping", "data: {\"type\": \"ping\"}",
		                             "data: {\"type\":\"ping\"}" };
	size_t digits = 0;

	while (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	if (line.n && *line.p == ':') {
		*ping = true;
		return true;
	}
	for (size_t i = 0; i < sizeof(pings) / sizeof(*pings); i++)
		if (bytes_equal(line, pings[i]))
			return *ping = true;
	while (digits < line.n && isxdigit((unsigned char)line.p[digits]))
		digits++;
	return digits == line.n && digits <= 8;
}

/* One read of nothing else. A line that is cut is none of them: in doubt it is content. */
static bool is_filler(struct bytes b)
{
	bool ping = false;

	while (b.n) {
		const char *end = memchr(b.p, '\n', b.n);

		if (!end || !is_filler_line((struct bytes){ b.p, (size_t)(end - b.p) }, &ping))
			return false;
		b = bytes_from(b, (size_t)(end - b.p) + 1);
	}
	return ping;
}

static void reply(struct generic *g, uint64_t n, bool filler, const struct stamp *at)
{
	struct call *c = g->open;

	g->late = false;
	if (!c)
		return; /* the peer speaks unasked */
	if (!c->first_byte_ns)
		c->first_byte_ns = at->end_ns;
	c->last_byte_ns = at->end_ns;
	if (filler)
		c->filler_ns = at->end_ns;
	else
		c->content_ns = at->end_ns;
	c->bytes_in += n;
}

static void generic_feed(void *state, int dir, struct bytes b, const struct stamp *at)
{
	if (!b.n)
		return;
	if (dir)
		request(state, b.n, at);
	else
		reply(state, b.n, is_filler(b), at);
}

/* Bytes that were counted but not kept are as good as any here; only lost events may hide a
 * change of direction. What is encrypted leaves the call without what it said. */
static void generic_gap(void *state, int dir, uint64_t n, enum partial why, const struct stamp *at)
{
	struct generic *g = state;
	uint64_t counted = n == GAP_UNKNOWN ? 0 : n;
	bool hides = n == GAP_UNKNOWN || why == PARTIAL_EVENTS_LOST;

	if (!n)
		return;
	if (hides && g->open)
		call_partial(g->open, why);
	if (dir)
		request(g, counted, at);
	else
		reply(g, counted, false, at);
	if ((hides || why == PARTIAL_NO_PLAINTEXT) && g->open)
		call_partial(g->open, why);
}

static void generic_done(void *state, enum done_why why, const struct stamp *at)
{
	struct generic *g = state;
	struct call *c = g->open;

	if (!c)
		return;
	/* a reply that began may be complete: a reset then says nothing of the call */
	if ((why == DONE_RESET || why == DONE_TIMED_OUT) && !c->first_byte_ns)
		pending_end_status(c, why);
	finish(g, c->first_byte_ns ? c->last_byte_ns : at->end_ns);
}

static void generic_free(void *state)
{
	free(state);
}

void generic_seed(void *state, const struct stamp *sent, uint64_t attach_ns)
{
	struct generic *g = state;
	struct stamp at = *sent;

	if (g->open)
		return;
	at.start_ns = sent->end_ns;
	g->open = g->sink->open(g->sink, &at);
	if (!g->open)
		return;
	pending_begin_call(g->open, "generic", &at);
	g->open->at_least = true;
	call_partial(g->open, PARTIAL_ATTACHED_LATE);
	g->open->sent_ns = sent->end_ns;
	g->open->content_ns = attach_ns;
	g->sink->sent(g->sink, g->open);
}

void generic_over(void *state)
{
	struct generic *g = state;

	if (g->open && g->open->first_byte_ns)
		finish(g, g->open->last_byte_ns);
}

struct call *generic_take(void *state)
{
	struct generic *g = state;
	struct call *c = g ? g->open : NULL;

	if (!c || !c->at_least)
		return NULL;
	g->open = NULL;
	return c;
}

const struct proto proto_generic = {
	.name = "generic",
	.detect = generic_detect,
	.new = generic_new,
	.feed = generic_feed,
	.gap = generic_gap,
	.done = generic_done,
	.free = generic_free,
};
