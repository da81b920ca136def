/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HTTP/2: whole conversations, cut at every byte, with a hole at every byte, joined at every frame, and at their ends.
 */
#include <zlib.h>

#include "http2_build.h"
#include "proto/hpack.h"
#include "proto/http2.h"
#include "proto/proto.h"
#include "test.h"

/* ---- the sink: keeps what is done ---- */

#define CALLS_MAX 256

static struct {
	struct call *done[CALLS_MAX];
	int n, opened, sent;
} got;

static struct call *sink_open(struct call_sink *s, const struct stamp *at)
{
	struct call *c = call_new();

	(void)s;
	(void)at;
	c->id = (uint64_t)++got.opened;
	return c;
}

static void sink_sent(struct call_sink *s, struct call *c)
{
	(void)s;
	if (c->end_ns)
		abort();
	got.sent++;
}

static void sink_done(struct call_sink *s, struct call *c)
{
	(void)s;
	if (got.n == CALLS_MAX)
		abort();
	got.done[got.n++] = c;
}

static struct call_sink sink = { sink_open, sink_sent, sink_done };

/* ---- driving the parser ---- */

static void *state;
static uint64_t now;

static struct stamp tick(void)
{
	now += 10;
	return (struct stamp){ now - 4, now, 7, 8, 9 };
}

static void forget(void)
{
	for (int i = 0; i < got.n; i++)
		call_free(got.done[i]);
	memset(&got, 0, sizeof(got));
}

static void begin_at(bool from_start)
{
	struct proto_hint hint = { .port = 443, .from_start = from_start, .client = true };

	forget();
	now = 1000;
	state = proto_http2.new(&sink, &hint);
}

static void feed(int dir, const char *p, size_t n)
{
	struct stamp at = tick();

	proto_http2.feed(state, dir, (struct bytes){ guarded_piece(p, n), n }, &at);
}

static void gap(int dir, uint64_t n)
{
	struct stamp at = tick();

	proto_http2.gap(state, dir, n, PARTIAL_EVENTS_LOST, &at);
}

static void end(enum done_why why)
{
	struct stamp at = tick();

	proto_http2.done(state, why, &at);
	proto_http2.free(state);
	state = NULL;
}

static void feed_from(const struct talk *t, size_t from)
{
	for (size_t i = from; i < t->n; i++)
		feed(t->pieces[i].dir, t->pieces[i].p, t->pieces[i].n);
}

static bool sound(void)
{
	if (got.opened != got.n)
		return false;
	for (int i = 0; i < got.n; i++) {
		const struct call *c = got.done[i];

		if (!c->end_ns || (c->last_byte_ns && c->last_byte_ns > c->end_ns))
			return false;
	}
	return true;
}

static const struct call *call_of(uint32_t stream)
{
	for (int i = 0; i < got.n; i++)
		if (got.done[i]->stream == stream)
			return got.done[i];
	return NULL;
}

static bool call_is(uint32_t stream, const char *op, enum call_status status, const char *kind)
{
	const struct call *c = call_of(stream);

	return c && strcmp(c->op, op) == 0 && c->status == status &&
	       strcmp(c->error_kind, kind) == 0;
}

/* Everything a cut may not change. */
static void digest(char *to, size_t room)
{
	size_t n = 0;

	to[0] = '\0';
	for (int i = 0; i < got.n && n < room; i++) {
		const struct call *c = got.done[i];
		const struct llm_call *l = c->llm;

		n += (size_t)snprintf(to + n, room - n,
		                      "%u|%s|%s|%s|%s|%d|%ju|%ju|%g|%g|%d|%d|%d|%s|%jd|%jd|%d\n",
		                      c->stream, c->op, c->host, call_status_name(c->status),
		                      c->error_kind, c->http_status, (uintmax_t)c->bytes_out,
		                      (uintmax_t)c->bytes_in, c->retry_after_s, c->limit_s,
		                      c->partial, c->sent_ns != 0, c->at_least, l ? l->model : "",
		                      l ? (intmax_t)l->tokens.in : -1,
		                      l ? (intmax_t)l->tokens.out : -1, l ? (int)l->last_role : 0);
	}
}

/* ---- what is said ---- */

static const char *const chat[] = { ":method",
	                            "POST",
	                            ":scheme",
	                            "https",
	                            ":authority",
	                            "api.openai.com",
	                            ":path",
	                            "/v1/chat/completions?x=1",
	                            "content-type",
	                            "application/json",
	                            "authorization",
	                            "Bearer sk-something-long-enough",
	                            NULL };
static const char *const embed[] = { ":method",
	                             "POST",
	                             ":scheme",
	                             "https",
	                             ":authority",
	                             "api.openai.com",
	                             ":path",
	                             "/v1/embeddings",
	                             "content-type",
	                             "application/json",
	                             NULL };
static const char *const ok_events[] = {
	":status", "200", "content-type", "text/event-stream", "x-request-id", "req-1", NULL
};
static const char *const ok_json[] = { ":status", "200", "content-type", "application/json", NULL };
static const char *const limited[] = { ":status", "429", "retry-after", "7", NULL };
static const char *const early[] = { ":status", "103", "link", "</a>", NULL };
static const char *const trailers[] = { "x-checksum", "abc", NULL };

#define ASK                                                                                   \
	"{\"model\":\"gpt-4o\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":" \
	"\"hi\"}]}"
#define CHUNK \
	"data: {\"model\":\"gpt-4o-2024\",\"choices\":[{\"delta\":{\"content\":\"yes\"}}]}\n\n"
#define USAGE                                                                             \
	"data: {\"model\":\"gpt-4o-2024\",\"choices\":[],\"usage\":{\"prompt_tokens\":9," \
	"\"completion_tokens\":4,\"total_tokens\":13}}\n\ndata: [DONE]\n\n"
#define VECTOR                                                                                \
	"{\"model\":\"ada\",\"data\":[{\"embedding\":[0.5]}],\"usage\":{\"prompt_tokens\":3," \
	"\"total_tokens\":3}}"

/* A header block in several frames, the first of them padded and with a priority. */
static void say_in_pieces(struct talk *t, int dir, uint32_t stream, const char *const *fields)
{
	char block[4096], head[4096];
	size_t n = header_block(t, dir, fields, block, sizeof(block));

	memcpy(head, "\3\0\0\0\0\17", 6);
	memcpy(head + 6, block, 5);
	memset(head + 11, 0, 3);
	say_frame(t, dir, FRAME_HEADERS, FLAG_PADDED | FLAG_PRIORITY, stream, head, 14);
	say_frame(t, dir, FRAME_CONTINUATION, 0, stream, block + 5, 3);
	say_frame(t, dir, FRAME_CONTINUATION, FLAG_END_HEADERS, stream, block + 8, n - 8);
}

/* Two streams side by side and a third that is refused, with all kinds of frames between. */
static void say_much(struct talk *t)
{
	say_hello(t);
	say_headers(t, DIR_OUT, 1, false, chat);
	say_data(t, DIR_OUT, 1, true, ASK);
	say_headers(t, DIR_IN, 1, false, early);
	say_in_pieces(t, DIR_OUT, 3, embed);
	say_data(t, DIR_OUT, 3, false, "{\"model\":\"ada\",");
	say_headers(t, DIR_IN, 1, false, ok_events);
	say_data(t, DIR_IN, 1, false, CHUNK);
	say_frame(t, DIR_IN, FRAME_PING, 0, 0, "12345678", 8);
	say_frame(t, DIR_OUT, FRAME_PING, FLAG_ACK, 0, "12345678", 8);
	say_frame(t, DIR_OUT, FRAME_DATA, FLAG_PADDED | FLAG_END_STREAM, 3,
	          "\4\"input\":[\"a\"]}\0\0\0\0", 19);
	say_frame(t, DIR_IN, FRAME_WINDOW_UPDATE, 0, 3, "\0\0\20\0", 4);
	say_headers(t, DIR_IN, 3, false, ok_json);
	say_headers(t, DIR_OUT, 5, false, chat);
	say_data(t, DIR_IN, 3, true, VECTOR);
	say_data(t, DIR_OUT, 5, true, ASK);
	say_headers(t, DIR_IN, 5, true, limited);
	say_data(t, DIR_IN, 1, false, USAGE);
	say_frame(t, DIR_OUT, FRAME_PRIORITY, 0, 1, "\0\0\0\0\1", 5);
	say_frame(t, DIR_IN, (enum frame_type)0x10, 0x42, 0, "unknown", 7); /* types to come */
	say_headers(t, DIR_IN, 1, true, trailers);
}

static bool much_is_right(void)
{
	const struct call *a = call_of(1), *b = call_of(3), *c = call_of(5);

	return sound() && got.n == 3 && got.sent == 3 &&
	       call_is(1, "POST /v1/chat/completions", CALL_OK, "") &&
	       call_is(3, "POST /v1/embeddings", CALL_OK, "") &&
	       call_is(5, "POST /v1/chat/completions", CALL_RATE_LIMITED, "http_429") &&
	       strcmp(a->host, "api.openai.com") == 0 && a->http_status == 200 && a->llm &&
	       strcmp(a->llm->model, "gpt-4o-2024") == 0 && a->llm->tokens.in == 9 &&
	       a->llm->tokens.out == 4 && a->llm->finished && a->llm->last_role == LLM_ROLE_USER &&
	       b->llm && b->llm->kind == LLM_EMBEDDING && b->llm->tokens.in == 3 &&
	       c->retry_after_s == 7 && !a->partial && !b->partial && !c->partial;
}

static void test_conversation(void)
{
	static char whole[16384], cut[16384];
	const struct call *a;
	struct talk t;
	bool same = true;
	size_t total = 0;

	talk_begin(&t);
	say_much(&t);
	TEST("streams side by side are calls of their own, whatever goes between them");
	begin_at(true);
	feed_from(&t, 0);
	end(DONE_CLOSED);
	CHECK(much_is_right());
	digest(whole, sizeof(whole));
	a = call_of(1);
	TEST("a call's times are those of its own frames");
	CHECK(a && a->sent_ns > a->start_ns && a->first_byte_ns > a->sent_ns &&
	      a->llm->first_content_ns == a->first_byte_ns + 10 &&
	      a->llm->last_content_ns == a->llm->first_content_ns && a->end_ns >= a->last_byte_ns);
	TEST("however the bytes are cut, the calls are the same");
	for (size_t i = 0; i < t.n; i++)
		for (size_t at = 1; at < t.pieces[i].n; at++) {
			begin_at(true);
			for (size_t k = 0; k < t.n; k++) {
				const struct piece *p = &t.pieces[k];
				size_t first = k == i ? at : p->n;

				feed(p->dir, p->p, first);
				if (first < p->n)
					feed(p->dir, p->p + first, p->n - first);
			}
			end(DONE_CLOSED);
			digest(cut, sizeof(cut));
			same &= sound() && strcmp(whole, cut) == 0;
		}
	CHECK(same);
	begin_at(true);
	for (size_t i = 0; i < t.n; i++)
		for (size_t at = 0; at < t.pieces[i].n; at++)
			feed(t.pieces[i].dir, t.pieces[i].p + at, 1);
	end(DONE_CLOSED);
	digest(cut, sizeof(cut));
	CHECK(strcmp(whole, cut) == 0);
	for (size_t i = 0; i < t.n; i++)
		total += t.pieces[i].n;
	CHECK(total > 800);
	talk_end(&t);
}

/* ---- gaps ---- */

/* What was not seen may be unknown, but nothing may be made up: each call is one of those that were made, with their outcome or
 * none. */
static bool no_lie(void)
{
	for (int i = 0; i < got.n; i++) {
		const struct call *c = got.done[i];
		const char *op = c->stream == 3 ? "POST /v1/embeddings"
		                                : "POST /v1/chat/completions";
		bool limit = c->stream == 5;

		if (c->stream != 1 && c->stream != 3 && c->stream != 5)
			return false;
		if (c->op[0] && strcmp(c->op, op) != 0)
			return false;
		if (c->status != CALL_UNKNOWN && c->status != CALL_ABORTED &&
		    c->status != (limit ? CALL_RATE_LIMITED : CALL_OK) &&
		    !(limit && !c->http_status))
			return false;
		if (c->llm && c->llm->tokens.in >= 0 &&
		    c->llm->tokens.in != (c->stream == 3 ? 3 : 9))
			return false;
		if (c->llm && c->llm->tokens.out >= 0 && c->llm->tokens.out != 4)
			return false;
		for (int k = 0; k < i; k++)
			if (got.done[k]->stream == c->stream)
				return false;
	}
	return true;
}

/* Leaves out bytes [at, at + n) of piece i, and all of the next `more` pieces. */
static void feed_holed(const struct talk *t, size_t i, size_t at, size_t n, size_t more, bool known)
{
	for (size_t k = 0; k < t->n; k++) {
		const struct piece *p = &t->pieces[k];

		if (k > i && k <= i + more) {
			gap(p->dir, known ? p->n : GAP_UNKNOWN);
			continue;
		}
		if (k != i) {
			feed(p->dir, p->p, p->n);
			continue;
		}
		if (at)
			feed(p->dir, p->p, at);
		gap(p->dir, known ? n : GAP_UNKNOWN);
		if (at + n < p->n)
			feed(p->dir, p->p + at + n, p->n - at - n);
	}
}

static void test_gaps(void)
{
	static const struct hole_kind kinds[] = HOLE_KINDS;
	const struct call *a;
	bool good = true, whole = true;
	struct talk t;

	talk_begin(&t);
	say_much(&t);
	TEST("a gap anywhere makes no call twice and nothing up");
	for (size_t i = 0; i < t.n; i++)
		for (size_t at = 0; at < t.pieces[i].n; at++)
			for (size_t how = 0; how < sizeof(kinds) / sizeof(kinds[0]); how++) {
				size_t rest = t.pieces[i].n - at, n = kinds[how].n;

				begin_at(true);
				feed_holed(&t, i, at, n < rest ? n : rest, kinds[how].more,
				           kinds[how].known);
				end(DONE_CLOSED);
				if (!sound() || !no_lie())
					printf("# piece %zu at %zu how %zu: %d calls\n", i, at, how,
					       got.n);
				good &= sound() && no_lie();
			}
	CHECK(good);
	TEST("a gap inside the frame of one stream touches no other");
	for (size_t i = 0; i < t.n; i++) {
		struct frame f = t.pieces[i].n >= FRAME_HEAD ? frame_read(t.pieces[i].p)
		                                             : (struct frame){ 0 };

		if (i == 0 || f.type != FRAME_DATA)
			continue;
		for (size_t at = FRAME_HEAD + 1; at + 4 < t.pieces[i].n; at++) {
			begin_at(true);
			feed_holed(&t, i, at, 1, 0, true); /* not in the padding that one has */
			end(DONE_CLOSED);
			for (uint32_t id = 1; id <= 5; id += 2) {
				a = call_of(id);
				whole &= a && (a->status == CALL_OK ||
				               (id == 5 && a->status == CALL_RATE_LIMITED));
				whole &= a && (a->partial == PARTIAL_NONE) == (id != f.stream);
			}
		}
	}
	CHECK(whole);
	TEST("a gap in one direction's headers leaves what follows readable");
	begin_at(true);
	for (size_t i = 0; i < t.n; i++) {
		const struct piece *p = &t.pieces[i];
		struct frame f = frame_read(p->p);

		if (i && p->dir == DIR_OUT && f.stream == 1 && f.type == FRAME_HEADERS)
			gap(p->dir, p->n);
		else
			feed(p->dir, p->p, p->n);
	}
	end(DONE_CLOSED);
	a = call_of(3);
	CHECK(sound() && no_lie() && a && strcmp(a->op, "POST /v1/embeddings") == 0);
	talk_end(&t);
}

/* ---- coming late ---- */

static void test_late(void)
{
	bool good = true, found = true;
	const struct call *c;
	struct talk t;

	talk_begin(&t);
	say_much(&t);
	TEST("who comes at any byte makes up nothing and no call twice");
	for (size_t from = 1, at = 0; from < t.n; at++) {
		const struct piece *p = &t.pieces[from];

		if (at == p->n) {
			from++;
			at = (size_t)-1;
			continue;
		}
		begin_at(false);
		feed(p->dir, p->p + at, p->n - at);
		feed_from(&t, from + 1);
		end(DONE_CLOSED);
		good &= sound() && no_lie();
		for (int i = 0; i < got.n; i++)
			good &= !got.done[i]->at_least ||
			        got.done[i]->partial == PARTIAL_ATTACHED_LATE;
	}
	CHECK(good);
	TEST("requests that begin after that are whole, but for what only the table held");
	for (size_t from = 1; from < 8; from++) {
		begin_at(false);
		feed_from(&t, from);
		end(DONE_CLOSED);
		c = call_of(5);
		found &= c && c->status == CALL_RATE_LIMITED && !c->at_least &&
		         strcmp(c->op, "POST /v1/chat/completions") == 0 && c->llm;
	}
	CHECK(found);
	TEST("a stream in flight ends as a call that began before");
	begin_at(false);
	feed_from(&t, 13);
	end(DONE_CLOSED);
	c = call_of(1);
	CHECK(c && c->at_least && c->status == CALL_OK && c->end_ns);
	TEST("what was known to be in flight is the first stream that shows");
	begin_at(false);
	c = sink_open(&sink, NULL);
	((struct call *)c)->start_ns = 5;
	http2_seed(state, (struct call *)c);
	feed_from(&t, 13);
	end(DONE_CLOSED);
	CHECK(sound() && no_lie() && call_of(1) == c && c->start_ns == 5 && c->at_least);
	TEST("and was no request when another one is through and none showed");
	begin_at(false);
	c = sink_open(&sink, NULL);
	http2_seed(state, (struct call *)c);
	for (size_t i = t.n; i-- > 0;)
		if (t.pieces[i].dir == DIR_OUT && frame_read(t.pieces[i].p).stream == 5 &&
		    frame_read(t.pieces[i].p).type == FRAME_HEADERS)
			feed(DIR_OUT, t.pieces[i].p, t.pieces[i].n);
	for (size_t i = 0; i < t.n; i++)
		if (frame_read(t.pieces[i].p).stream == 5 &&
		    !(t.pieces[i].dir == DIR_OUT &&
		      frame_read(t.pieces[i].p).type == FRAME_HEADERS))
			feed(t.pieces[i].dir, t.pieces[i].p, t.pieces[i].n);
	CHECK(got.n == 2 && got.done[1] == c && c->status == CALL_UNKNOWN &&
	      c->class == CALL_HEARTBEAT);
	end(DONE_CLOSED);
	CHECK(sound());
	talk_end(&t);
}

/* ---- ends ---- */

static void ask(struct talk *t, uint32_t stream)
{
	say_headers(t, DIR_OUT, stream, false, chat);
	say_data(t, DIR_OUT, stream, true, ASK);
}

static bool reset_gives(int dir, const char *code, enum call_status status, const char *kind)
{
	struct talk t;
	bool good;

	talk_begin(&t);
	say_hello(&t);
	ask(&t, 1);
	ask(&t, 3);
	say_frame(&t, dir, FRAME_RST_STREAM, 0, 1, code, 4);
	say_data(&t, DIR_IN, 1, true, "too late"); /* was on its way */
	begin_at(true);
	feed_from(&t, 0);
	good = got.n == 1 && call_is(1, "POST /v1/chat/completions", status, kind);
	end(DONE_PEER_CLOSED);
	good &= sound() && got.n == 2 && call_of(3)->status == CALL_ABORTED;
	talk_end(&t);
	return good;
}

static void test_ends(void)
{
	static const char *const timed[] = {
		":method", "POST",         ":scheme",          "http",         ":path",
		"/a.B/C",  "content-type", "application/grpc", "grpc-timeout", "10n",
		NULL
	};
	struct talk t;

	TEST("a reset ends its stream alone, as the code says");
	CHECK(reset_gives(DIR_IN, "\0\0\0\7", CALL_ERROR, "REFUSED_STREAM"));
	CHECK(reset_gives(DIR_IN, "\0\0\0\13", CALL_RATE_LIMITED, "ENHANCE_YOUR_CALM"));
	CHECK(reset_gives(DIR_IN, "\0\0\0\2", CALL_ABORTED, "INTERNAL_ERROR"));
	CHECK(reset_gives(DIR_IN, "\0\0\1\2", CALL_ABORTED, "stream_reset"));
	CHECK(reset_gives(DIR_OUT, "\0\0\0\10", CALL_ABORTED, "CANCEL"));
	TEST("a client that gives up after the time it said it would wait timed out");
	talk_begin(&t);
	say_hello(&t);
	say_headers(&t, DIR_OUT, 1, true, timed);
	say_frame(&t, DIR_OUT, FRAME_RST_STREAM, 0, 1, "\0\0\0\10", 4);
	begin_at(true);
	feed_from(&t, 0);
	end(DONE_CLOSED);
	CHECK(sound() && call_is(1, "/a.B/C", CALL_TIMEOUT, "timeout") &&
	      call_of(1)->limit_s == 10e-9);
	talk_end(&t);
	TEST("a server that goes away refuses the streams it did not take, and finishes the "
	     "others");
	talk_begin(&t);
	say_hello(&t);
	ask(&t, 1);
	ask(&t, 3);
	say_frame(&t, DIR_IN, FRAME_GOAWAY, 0, 0, "\0\0\0\1\0\0\0\0bye", 11);
	say_headers(&t, DIR_IN, 1, true, limited);
	begin_at(true);
	feed_from(&t, 0);
	CHECK(got.n == 2 && call_is(3, "POST /v1/chat/completions", CALL_ERROR, "REFUSED_STREAM") &&
	      call_is(1, "POST /v1/chat/completions", CALL_RATE_LIMITED, "http_429"));
	end(DONE_CLOSED);
	CHECK(sound());
	talk_end(&t);
}

static void test_odd(void)
{
	char frame[FRAME_HEAD + 1] = { 0, 0, 1, FRAME_DATA, FLAG_PADDED, 0, 0, 0, 1, 9 };
	struct talk t;
	size_t before;

	TEST("padding longer than its frame loses the direction, not the parser");
	talk_begin(&t);
	say_hello(&t);
	ask(&t, 1);
	before = t.n;
	say(&t, DIR_IN, frame, sizeof(frame));
	ask(&t, 3);
	say_headers(&t, DIR_IN, 3, true, limited);
	begin_at(true);
	feed_from(&t, 0);
	end(DONE_CLOSED);
	CHECK(sound() && call_of(1)->status == CALL_UNKNOWN && t.n > before &&
	      call_of(3)->status == CALL_RATE_LIMITED);
	talk_end(&t);
	TEST("pushed headers are decoded for the table, and are no call");
	talk_begin(&t);
	say_hello(&t);
	ask(&t, 1);
	{
		char b[4096] = { 0, 0, 0, 2 };
		size_t n = header_block(&t, DIR_IN, ok_events, b + 4, sizeof(b) - 4);

		say_frame(&t, DIR_IN, FRAME_PUSH_PROMISE, FLAG_END_HEADERS, 1, b, n + 4);
	}
	say_headers(&t, DIR_IN, 2, true, ok_events);
	say_headers(&t, DIR_IN, 1, false, ok_events);
	say_data(&t, DIR_IN, 1, true, CHUNK USAGE);
	begin_at(true);
	feed_from(&t, 0);
	end(DONE_CLOSED);
	CHECK(sound() && got.n == 1 && call_of(1)->llm->tokens.out == 4);
	talk_end(&t);
}

static void test_many(void)
{
	struct talk t;

	TEST("thousands of streams at once are bounded, and those taken end");
	begin_at(true);
	talk_begin(&t);
	say_hello(&t);
	feed_from(&t, 0);
	talk_end(&t);
	talk_begin(&t);
	for (uint32_t i = 0; i < 5000; i++) {
		t.n = 0;
		say_headers(&t, DIR_OUT, 2 * i + 1, true, embed);
		feed_from(&t, 0);
		free(t.pieces[0].p);
	}
	CHECK(got.opened == 4096 && got.n == 0);
	for (uint32_t i = 0; i < 4096 - CALLS_MAX; i++) {
		struct call *c;
		char rst[FRAME_HEAD + 4] = { 0, 0, 4, FRAME_RST_STREAM };
		uint32_t id = 2 * i + 1;

		rst[5] = (char)(id >> 24), rst[6] = (char)(id >> 16);
		rst[7] = (char)(id >> 8), rst[8] = (char)id;
		feed(DIR_OUT, rst, sizeof(rst));
		if (got.n != 1)
			break;
		c = got.done[--got.n];
		got.opened--;
		call_free(c);
	}
	end(DONE_CLOSED);
	CHECK(sound() && got.n == CALLS_MAX);
	t.n = 0;
	talk_end(&t);
}

/* ---- bodies that are encoded ---- */

static void test_gzip(void)
{
	static const char *const packed[] = {
		":status", "200", "content-type", "application/json", "content-encoding",
		"gzip",    NULL
	};
	char out[512];
	z_stream z = { 0 };
	struct talk t;

	TEST("each stream's body is decoded by itself");
	deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
	z.next_in = (Bytef *)VECTOR;
	z.avail_in = sizeof(VECTOR) - 1;
	z.next_out = (Bytef *)out;
	z.avail_out = sizeof(out);
	deflate(&z, Z_FINISH);
	talk_begin(&t);
	say_hello(&t);
	for (uint32_t id = 1; id <= 3; id += 2) {
		say_headers(&t, DIR_OUT, id, false, embed);
		say_data(&t, DIR_OUT, id, true, "{\"model\":\"ada\",\"input\":\"x\"}");
		say_headers(&t, DIR_IN, id, false, packed);
	}
	for (uint32_t id = 1; id <= 3; id += 2)
		say_frame(&t, DIR_IN, FRAME_DATA, 0, id, out, 20);
	for (uint32_t id = 1; id <= 3; id += 2)
		say_frame(&t, DIR_IN, FRAME_DATA, FLAG_END_STREAM, id, out + 20, z.total_out - 20);
	begin_at(true);
	feed_from(&t, 0);
	end(DONE_CLOSED);
	CHECK(sound() && got.n == 2 && call_of(1)->llm->tokens.in == 3 &&
	      call_of(3)->llm->tokens.in == 3 && !call_of(3)->partial);
	deflateEnd(&z);
	talk_end(&t);
}

/* ---- recognition ---- */

static enum proto_match detect(bool from_start, const char *out, size_t nout, const char *in,
                               size_t nin)
{
	struct proto_hint hint = { .from_start = from_start, .client = true };
	char *o = guarded(out, nout), *i = guarded(in, nin);
	enum proto_match m =
		proto_http2.detect((struct bytes){ o, nout }, (struct bytes){ i, nin }, &hint);

	guarded_free(o, nout);
	guarded_free(i, nin);
	return m;
}

static void test_detect(void)
{
#define BYTES(s)                 \
	{                        \
		s, sizeof(s) - 1 \
	}
	/* first bytes of others, each of which could be taken for a length */
	static const struct {
		const char *p;
		size_t n;
	} foreign[] = {
		BYTES("GET / HTTP/1.1\r\n"),
		BYTES("PRI / HTTP/1.1\r\n"),
		BYTES("\0\0\0\10\4\322\26\57"), /* PostgreSQL: SSL? */
		BYTES("\0\0\0\51\0\3\0\0user\0x\0database\0x\0\0\0\0\0\0\0\0\0\0\0\0\0"),
		BYTES("*1\r\n$4\r\nPING\r\n"),                                   /* Redis */
		BYTES("\26\3\1\2\0\1\0\1\374\3\3"),                              /* TLS */
		BYTES("\140\140\260\27\0\0\4\4\0\0\1\4"),                        /* Bolt */
		BYTES("\0\0\0\31\0\22\0\3\0\0\0\1\0\tclient-id\0\0\0"),          /* Kafka */
		BYTES("\0\34\12\1\1\0\0\1\0\0\0\0\0\0\7example\3com\0\0\1\0\1"), /* DNS over TCP */
		BYTES("\112\0\0\0\12\65\56\67"),                                 /* MySQL */
	};
	struct talk t;
	bool good = true;

	talk_begin(&t);
	say_much(&t);
	TEST("the preface tells at once, at every length it is not taken for anything else");
	CHECK(detect(true, HTTP2_PREFACE, 24, "", 0) == PROTO_YES);
	for (size_t n = 1; n < 16; n++)
		good &= detect(true, HTTP2_PREFACE, n, "", 0) == PROTO_MAYBE;
	CHECK(good);
	TEST("in the middle a request tells, and a reply; nothing but frames does");
	CHECK(detect(false, t.pieces[6].p, t.pieces[6].n, "", 0) == PROTO_YES);
	CHECK(detect(false, t.pieces[6].p, 40, "", 0) == PROTO_YES);
	CHECK(detect(false, "", 0, t.pieces[13].p, t.pieces[13].n) == PROTO_YES);
	CHECK(detect(false, t.pieces[2].p, t.pieces[2].n, "", 0) == PROTO_MAYBE);
	CHECK(detect(true, t.pieces[6].p, t.pieces[6].n, "", 0) == PROTO_NO);
	TEST("other protocols' bytes are not taken");
	good = true;
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		for (size_t n = 1; n <= foreign[i].n; n++)
			good &= detect(false, foreign[i].p, n, "", 0) != PROTO_YES &&
			        detect(false, "", 0, foreign[i].p, n) != PROTO_YES;
	CHECK(good);
	talk_end(&t);
}

/* ---- header compression ---- */

static void count_field(void *ctx, struct bytes name, struct bytes value)
{
	((int *)ctx)[name.n == 0] += 1 + 0 * (int)value.n;
}

static void test_hpack(void)
{
	struct hpack *h = hpack_new(false);
	int fields[2] = { 0, 0 };
	char *g;

	TEST("a table that was not seen reads as unknown, at every place it can have");
	for (unsigned i = 62; i < 62 + 100; i++) {
		char b[3] = { (char)(0x80 | (i < 127 ? i : 127)), (char)(i - 127) };
		size_t n = i < 127 ? 1 : 2;

		CHECK(hpack_feed(h, (struct bytes){ b, n }, true, count_field, fields));
	}
	CHECK(fields[0] == 0 && fields[1] == 100);
	TEST("what is added later is known");
	fields[1] = 0;
	CHECK(hpack_feed(h, (struct bytes){ "\x40\1a\1b\xbe\xbf", 7 }, true, count_field, fields));
	CHECK(fields[0] == 2 && fields[1] == 1);
	TEST("after a block that is none the table is unknown again");
	CHECK(!hpack_feed(h, (struct bytes){ "\x80", 1 }, true, count_field, fields));
	fields[0] = fields[1] = 0;
	CHECK(hpack_feed(h, (struct bytes){ "\xbe", 1 }, true, count_field, fields));
	CHECK(fields[0] == 0 && fields[1] == 1);
	TEST("a table larger than any is not followed");
	g = guarded("\x3f\xff\xff\xff\x07", 5);
	CHECK(!hpack_feed(h, (struct bytes){ g, 5 }, true, count_field, fields));
	guarded_free(g, 5);
	hpack_free(h);
}

int main(void)
{
	test_hpack();
	test_detect();
	test_conversation();
	test_gaps();
	test_late();
	test_ends();
	test_odd();
	test_many();
	test_gzip();
	forget();
	return DONE();
}
