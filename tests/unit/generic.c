/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls told by the direction of bytes alone. */
#include "storage_fixture.h"
#include "proto/generic.h"

static const struct step exchange[] = {
	S(IN, "hello, I am a server"),
	S(OUT, "ask"),
	S(OUT, "more"),
	S(IN, "ans"),
	S(IN, "wer"),
	S(OUT, "again"),
};

static void directions(void)
{
	struct seen s = play(&proto_generic, exchange, COUNT(exchange));
	struct call *c = s.calls[0];

	TEST("bytes out begin a call, bytes in are its reply, the next bytes out end it");
	CHECK(s.opened == 2 && s.sent == 2 && s.done == 2 && !s.wrong);
	CHECK(c->start_ns == 2000 && c->sent_ns == 3100 && c->first_byte_ns == 4100);
	CHECK(c->last_byte_ns == 5100 && c->end_ns == 5100);
	CHECK(c->bytes_out == 7 && c->bytes_in == 6 && !c->partial && !c->at_least);
	TEST("nothing is guessed: no operation, no status, no class");
	CHECK(!c->op[0] && !c->op_known && c->status == CALL_UNKNOWN && c->class == CALL_OTHER);
	CHECK(s.calls[1]->status == CALL_UNKNOWN && s.calls[1]->end_ns == 7000);
	seen_free(&s);
}

static struct seen ended(size_t steps, enum done_why why)
{
	struct seen s = seen_new();
	void *g = proto_generic.new(&s.sink, &from_start);

	for (size_t i = 0; i < steps; i++) {
		struct stamp at = stamp_of(i);

		proto_generic.feed(g, exchange[i].dir,
		                   (struct bytes){ exchange[i].p, exchange[i].n }, &at);
	}
	proto_generic.done(g, why, &(struct stamp){ .start_ns = 9000, .end_ns = 9100 });
	proto_generic.free(g);
	return s;
}

static void ends(void)
{
	struct seen s;

	TEST("a reset aborts a call that got nothing, and says nothing of one that got a reply");
	s = ended(3, DONE_RESET);
	CHECK(s.calls[0]->status == CALL_ABORTED && s.calls[0]->end_ns == 9100);
	CHECK(strcmp(s.calls[0]->error_kind, "connection_reset") == 0);
	seen_free(&s);
	s = ended(5, DONE_RESET);
	CHECK(s.calls[0]->status == CALL_UNKNOWN && s.calls[0]->end_ns == 5100);
	seen_free(&s);
	TEST("a connection that ends otherwise leaves the outcome unknown");
	s = ended(3, DONE_CLOSED);
	CHECK(s.done == 1 && s.calls[0]->status == CALL_UNKNOWN && s.calls[0]->end_ns == 9100);
	seen_free(&s);
	s = ended(1, DONE_PEER_CLOSED);
	CHECK(s.done == 0);
	seen_free(&s);
}

static void gaps(void)
{
	struct seen s = seen_new();
	void *g = proto_generic.new(&s.sink, &from_start);
	struct stamp at = stamp_of(0);

	TEST("bytes that were counted but not kept are as good as others, lost events are not");
	proto_generic.feed(g, OUT, bytes_of("ask"), &at);
	proto_generic.gap(g, OUT, 100, PARTIAL_TRUNCATED, &at);
	proto_generic.gap(g, IN, 1000, PARTIAL_TRUNCATED, &at);
	proto_generic.gap(g, OUT, GAP_UNKNOWN, PARTIAL_EVENTS_LOST, &at);
	CHECK(s.done == 1 && s.calls[0]->bytes_out == 103 && s.calls[0]->bytes_in == 1000);
	proto_generic.done(g, DONE_DETACHED, &at);
	CHECK(s.done == 2 && s.calls[1]->partial == PARTIAL_EVENTS_LOST);
	proto_generic.free(g);
	seen_free(&s);
}

static void seeds(void)
{
	struct seen s = seen_new();
	void *g = proto_generic.new(&s.sink, &late);
	struct stamp at = stamp_of(8);

	TEST("a request that was outstanding when we came is a call, its start a bound");
	generic_seed(g, &(struct stamp){ .end_ns = 500, .pid = 1, .tid = 2 }, 550);
	generic_seed(g, &(struct stamp){ .end_ns = 600 }, 700);
	CHECK(s.opened == 1 && s.sent == 1);
	proto_generic.feed(g, IN, bytes_of("answer"), &at);
	proto_generic.feed(g, OUT, bytes_of("ask"), &at);
	CHECK(s.done == 1 && s.calls[0]->at_least && s.calls[0]->partial == PARTIAL_ATTACHED_LATE);
	CHECK(s.calls[0]->start_ns == 500 && s.calls[0]->sent_ns == 500 &&
	      s.calls[0]->end_ns == 9100);
	proto_generic.done(g, DONE_CLOSED, &at);
	CHECK(s.done == 2 && !s.calls[1]->at_least && !s.calls[1]->partial);
	proto_generic.free(g);
	seen_free(&s);

	TEST("the first bytes out after a late attach may be the middle of a request");
	s = seen_new();
	g = proto_generic.new(&s.sink, &late);
	proto_generic.feed(g, OUT, bytes_of("ask"), &at);
	proto_generic.done(g, DONE_DETACHED, &at);
	CHECK(s.calls[0]->at_least && s.calls[0]->partial == PARTIAL_ATTACHED_LATE);
	proto_generic.free(g);
	seen_free(&s);
}

static void fillers(void)
{
	static const struct {
		const char *read;
		bool filler;
	} reads[] = {
		{ ": ping\n\n", true },
		{ "9\r\n: ping\n\n\r\n", true },
		{ "event: ping\ndata: {\"type\": \"ping\"}\n\n", true },
		{ "9\r\n: ping\n\n\r\n2\r\n:\n\r\n", true },
		{ "data: {\"choices\":[]}\n\n", false },
		{ "9\r\n: ping\n\n\r\nb\r\ndata: {}\n\n\r\n", false },
		{ ": ping\n: pi", false }, /* in doubt it is content */
		{ "9\r\n", false },
		{ "\n", false },
		{ "", false },
	};

	TEST("comments and pings of a stream whose beginning was not seen are told from content");
	for (size_t i = 0; i < COUNT(reads); i++) {
		struct seen s = seen_new();
		void *g = proto_generic.new(&s.sink, &late);
		struct stamp at = { .start_ns = 900, .end_ns = 1000 };
		struct bytes b = bytes_of(reads[i].read);
		char *copy = guarded(b.p, b.n);

		generic_seed(g, &(struct stamp){ .end_ns = 500 }, 550);
		proto_generic.feed(g, IN, (struct bytes){ copy, b.n }, &at);
		proto_generic.done(g, DONE_DETACHED, &at);
		guarded_free(copy, b.n);
		CHECK(s.calls[0]->filler_ns == (reads[i].filler ? 1000 : 0));
		CHECK(s.calls[0]->content_ns == (reads[i].filler || !b.n ? 550 : 1000));
		proto_generic.free(g);
		seen_free(&s);
	}
}

int main(void)
{
	fillers();
	directions();
	ends();
	gaps();
	seeds();
	return DONE();
}
