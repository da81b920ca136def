/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gRPC over HTTP/2: messages, statuses, deadlines; Gemini's API in it. Whole, cut at every byte, with a hole at every byte.
 */
#include <zlib.h>

#include "http2_build.h"
#include "proto/grpc.h"
#include "proto/proto.h"
#include "test.h"

#define CALLS_MAX 16

static struct {
	struct call *done[CALLS_MAX];
	int n, opened;
} got;

static struct call *sink_open(struct call_sink *s, const struct stamp *at)
{
	(void)s;
	(void)at;
	got.opened++;
	return call_new();
}

static void sink_sent(struct call_sink *s, struct call *c)
{
	(void)s;
	(void)c;
}

static void sink_done(struct call_sink *s, struct call *c)
{
	(void)s;
	if (got.n == CALLS_MAX)
		abort();
	got.done[got.n++] = c;
}

static struct call_sink sink = { sink_open, sink_sent, sink_done };
static void *state;
static uint64_t now;

static void forget(void)
{
	for (int i = 0; i < got.n; i++)
		call_free(got.done[i]);
	memset(&got, 0, sizeof(got));
}

static void begin_at(bool from_start)
{
	struct proto_hint hint = { .from_start = from_start, .client = true };

	forget();
	now = 1000;
	state = proto_http2.new(&sink, &hint);
}

static struct stamp tick(void)
{
	now += 10;
	return (struct stamp){ now - 4, now, 7, 8, 9 };
}

static void feed(int dir, const char *p, size_t n)
{
	struct stamp at = tick();

	proto_http2.feed(state, dir, (struct bytes){ guarded_piece(p, n), n }, &at);
}

static void end(void)
{
	struct stamp at = tick();

	proto_http2.done(state, DONE_CLOSED, &at);
	proto_http2.free(state);
}

static void run(const struct talk *t, size_t from)
{
	begin_at(!from);
	for (size_t i = from; i < t->n; i++)
		feed(t->pieces[i].dir, t->pieces[i].p, t->pieces[i].n);
	end();
}

static const struct call *only(void)
{
	return got.n == 1 && got.opened == 1 ? got.done[0] : NULL;
}

/* ---- Protocol Buffers, written ---- */

struct pb {
	char p[1024];
	size_t n;
};

static void put(struct pb *b, const void *p, size_t n)
{
	if (n > sizeof(b->p) - b->n)
		abort();
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

static void varint(struct pb *b, uint64_t v)
{
	for (; v > 127; v >>= 7)
		put(b, &(char){ (char)(v | 0x80) }, 1);
	put(b, &(char){ (char)v }, 1);
}

static void number(struct pb *b, unsigned field, uint64_t v)
{
	varint(b, field << 3);
	varint(b, v);
}

static void bytes(struct pb *b, unsigned field, const void *p, size_t n)
{
	varint(b, field << 3 | 2);
	varint(b, n);
	put(b, p, n);
}

static void text(struct pb *b, unsigned field, const char *s)
{
	bytes(b, field, s, strlen(s));
}

static void content(struct pb *to, unsigned field, const char *said, const char *role)
{
	struct pb part = { .n = 0 }, c = { .n = 0 };

	text(&part, 2, said);
	bytes(&c, 1, part.p, part.n);
	if (role)
		text(&c, 2, role);
	bytes(to, field, c.p, c.n);
}

static void usage(struct pb *to, int in, int out, int thoughts)
{
	struct pb u = { .n = 0 };

	number(&u, 1, (uint64_t)in);
	number(&u, 2, (uint64_t)out);
	number(&u, 3, (uint64_t)(in + out + thoughts));
	number(&u, 4, 2);
	if (thoughts)
		number(&u, 10, (uint64_t)thoughts);
	bytes(to, 3, u.p, u.n);
}

/* GenerateContentResponse */
static void chunk(struct pb *to, const char *said, int finish, int out)
{
	struct pb c = { .n = 0 };

	content(&c, 1, said, "model");
	if (finish)
		number(&c, 2, (uint64_t)finish);
	bytes(to, 1, c.p, c.n);
	usage(to, 11, out, finish ? 5 : 0);
	text(to, 4, "gemini-2.0-flash-001");
}

static void say_message(struct talk *t, int dir, uint32_t stream, bool last, const struct pb *m,
                        bool packed)
{
	char b[1100] = { packed, 0, 0, (char)(m->n >> 8), (char)m->n };

	memcpy(b + 5, m->p, m->n);
	say_frame(t, dir, FRAME_DATA, last ? FLAG_END_STREAM : 0, stream, b, m->n + 5);
}

/* ---- what is said ---- */

#define SERVICE "/google.ai.generativelanguage.v1beta.GenerativeService/"

static void say_request(struct talk *t, uint32_t stream, const char *path, const char *encoding)
{
	bool google = strncmp(path, "/google", 7) == 0;
	const char *const h[] = { ":method",
		                  "POST",
		                  ":scheme",
		                  "http",
		                  ":path",
		                  path,
		                  ":authority",
		                  google ? "generativelanguage.googleapis.com" : "db.example:19530",
		                  "te",
		                  "trailers",
		                  "content-type",
		                  "application/grpc",
		                  "grpc-timeout",
		                  "60S",
		                  encoding ? "grpc-encoding" : NULL,
		                  encoding,
		                  NULL };

	say_headers(t, DIR_OUT, stream, false, h);
}

static void say_reply(struct talk *t, uint32_t stream, const char *encoding)
{
	const char *const h[] = { ":status",
		                  "200",
		                  "content-type",
		                  "application/grpc",
		                  encoding ? "grpc-encoding" : NULL,
		                  encoding,
		                  NULL };

	say_headers(t, DIR_IN, stream, false, h);
}

static void say_status(struct talk *t, uint32_t stream, const char *status, const char *message)
{
	const char *const h[] = { "grpc-status", status, message ? "grpc-message" : NULL, message,
		                  NULL };

	say_headers(t, DIR_IN, stream, true, h);
}

static void say_ask(struct talk *t, uint32_t stream)
{
	struct pb m = { .n = 0 };

	text(&m, 1, "models/gemini-2.0-flash");
	content(&m, 2, "hello", "user");
	content(&m, 2, "hi", "model");
	content(&m, 2, "what is it?", "user");
	say_message(t, DIR_OUT, stream, true, &m, false);
}

static void say_streamed(struct talk *t)
{
	struct pb a = { .n = 0 }, b = { .n = 0 };

	say_hello(t);
	say_request(t, 1, SERVICE "StreamGenerateContent", NULL);
	say_ask(t, 1);
	say_reply(t, 1, NULL);
	chunk(&a, "it is", 0, 3);
	say_message(t, DIR_IN, 1, false, &a, false);
	chunk(&b, " good", 1, 7);
	say_message(t, DIR_IN, 1, false, &b, false);
	say_status(t, 1, "0", NULL);
}

static bool streamed_is_right(const struct call *c)
{
	return c && strcmp(c->op, "/v1beta.GenerativeService/StreamGenerateContent") == 0 &&
	       c->status == CALL_OK && !c->partial && c->limit_s == 60 && c->llm &&
	       c->llm->kind == LLM_CHAT && c->llm->streamed && c->llm->finished &&
	       strcmp(c->llm->provider, "gemini") == 0 &&
	       strcmp(c->llm->model, "gemini-2.0-flash-001") == 0 && c->llm->tokens.in == 11 &&
	       c->llm->tokens.out == 12 && c->llm->tokens.reasoning == 5 &&
	       c->llm->tokens.cached == 2 && c->llm->last_role == LLM_ROLE_USER &&
	       c->llm->history.n == 3 && c->llm->history.complete;
}

static void test_gemini(void)
{
	const struct call *c;
	bool same = true;
	struct talk t;

	talk_begin(&t);
	say_streamed(&t);
	TEST("a streamed reply of Gemini has its model, its newest counters and its end");
	run(&t, 0);
	c = only();
	CHECK(streamed_is_right(c));
	CHECK(c && c->llm->first_content_ns == c->first_byte_ns + 10 &&
	      c->llm->last_content_ns == c->first_byte_ns + 20 &&
	      c->end_ns == c->first_byte_ns + 30);
	TEST("the same message has the same hash, whichever of them it stands in");
	CHECK(c && c->llm->history.messages[0].hash != c->llm->history.messages[2].hash);
	TEST("however it is cut");
	for (size_t i = 0; i < t.n; i++)
		for (size_t at = 1; at < t.pieces[i].n; at++) {
			begin_at(true);
			for (size_t k = 0; k < t.n; k++) {
				const struct piece *p = &t.pieces[k];
				size_t n = k == i ? at : p->n;

				feed(p->dir, p->p, n);
				if (n < p->n)
					feed(p->dir, p->p + n, p->n - n);
			}
			end();
			same &= streamed_is_right(only());
		}
	CHECK(same);
	talk_end(&t);
}

/* Of each counter one of the two that the reply brought, or none. */
static bool counters_are_true(const struct llm_tokens *t, bool partial)
{
	return (t->in == 11 || t->in == -1) &&
	       (t->out == 12 || t->out == -1 || (partial && (t->out == 3 || t->out == 7))) &&
	       (t->reasoning == 5 || t->reasoning == -1) && (t->cached == 2 || t->cached == -1);
}

static bool nothing_made_up(void)
{
	for (int i = 0; i < got.n; i++) {
		const struct call *c = got.done[i];

		if (c->op[0] &&
		    strcmp(c->op, "/v1beta.GenerativeService/StreamGenerateContent") != 0)
			return false;
		if (c->status != CALL_OK && c->status != CALL_UNKNOWN && c->status != CALL_ABORTED)
			return false;
		if (c->llm && !counters_are_true(&c->llm->tokens, c->partial))
			return false;
		if (c->llm && c->llm->history.complete && c->llm->history.n != 3)
			return false;
	}
	return got.n == got.opened && got.n <= 1;
}

/* Bytes [at, at + n) of piece i and the next `more` pieces are not seen. */
static void run_holed(const struct talk *t, size_t i, size_t at, size_t n, size_t more, bool known)
{
	begin_at(true);
	for (size_t k = 0; k < t->n; k++) {
		const struct piece *p = &t->pieces[k];
		size_t from = k == i                   ? at
		              : k > i && k <= i + more ? 0
		                                       : p->n,
		       to = k == i && n < p->n - at ? at + n : p->n;
		struct stamp stamp;

		if (from)
			feed(p->dir, p->p, from);
		stamp = tick();
		if (to > from)
			proto_http2.gap(state, p->dir, known ? to - from : GAP_UNKNOWN,
			                PARTIAL_EVENTS_LOST, &stamp);
		if (to < p->n)
			feed(p->dir, p->p + to, p->n - to);
	}
	end();
}

static void test_holes(void)
{
	static const struct hole_kind kinds[] = HOLE_KINDS;
	bool honest = true;
	struct talk t;

	talk_begin(&t);
	say_streamed(&t);
	TEST("with a hole anywhere it is partial, and no number is made up");
	for (size_t i = 0; i < t.n; i++)
		for (size_t at = 0; at < t.pieces[i].n; at++)
			for (size_t how = 0; how < sizeof(kinds) / sizeof(kinds[0]); how++) {
				run_holed(&t, i, at, kinds[how].n, kinds[how].more,
				          kinds[how].known);
				if (!nothing_made_up() && honest)
					printf("# piece %zu at %zu how %zu\n", i, at, how);
				honest &= nothing_made_up();
			}
	CHECK(honest);
	TEST("nor for who comes at any byte");
	for (size_t i = 0; i < t.n; i++)
		for (size_t at = 0; at < t.pieces[i].n; at++) {
			begin_at(false);
			for (size_t k = i; k < t.n; k++) {
				size_t from = k == i ? at : 0;

				feed(t.pieces[k].dir, t.pieces[k].p + from, t.pieces[k].n - from);
			}
			end();
			honest &= nothing_made_up();
		}
	CHECK(honest);
	talk_end(&t);
}

static void test_others(void)
{
	struct pb m = { .n = 0 }, r = { .n = 0 }, v = { .n = 0 };
	const struct call *c;
	struct talk t;

	TEST("embeddings are no chat, and a tool's result goes on with the turn");
	talk_begin(&t);
	say_hello(&t);
	say_request(&t, 1, SERVICE "EmbedContent", NULL);
	text(&m, 1, "models/embedding-001");
	content(&m, 2, "some text", NULL);
	say_message(&t, DIR_OUT, 1, true, &m, false);
	say_reply(&t, 1, NULL);
	text(&v, 1, "\1\2\3\4");
	bytes(&r, 1, v.p, v.n);
	say_message(&t, DIR_IN, 1, false, &r, false);
	say_status(&t, 1, "0", NULL);
	run(&t, 0);
	c = only();
	CHECK(c && c->llm && c->llm->kind == LLM_EMBEDDING && c->llm->tokens.in == -1 &&
	      c->status == CALL_OK && strcmp(c->llm->model, "embedding-001") == 0 &&
	      c->llm->history.n == 0 && c->llm->first_content_ns);
	talk_end(&t);

	talk_begin(&t);
	say_hello(&t);
	say_request(&t, 1, SERVICE "GenerateContent", NULL);
	m.n = r.n = v.n = 0;
	text(&v, 5, "result"); /* function_response */
	bytes(&r, 1, v.p, v.n);
	text(&r, 2, "user");
	bytes(&m, 2, r.p, r.n);
	say_message(&t, DIR_OUT, 1, true, &m, false);
	run(&t, 0);
	c = only();
	CHECK(c && c->llm && c->llm->last_role == LLM_ROLE_TOOL && c->status == CALL_ABORTED);
	talk_end(&t);
}

static bool status_gives(const char *code, enum call_status status, const char *kind, bool answered)
{
	static const struct pb empty;
	const struct call *c;
	struct talk t;
	bool good;

	talk_begin(&t);
	say_hello(&t);
	say_request(&t, 1, "/a.Store/Search", NULL);
	say_message(&t, DIR_OUT, 1, true, &empty, false);
	if (answered) {
		say_reply(&t, 1, NULL);
		say_status(&t, 1, code, "what went wrong");
	} else { /* the head is all there is */
		const char *const h[] = {
			":status", "200", "content-type", "application/grpc", "grpc-status",
			code,      NULL
		};

		say_headers(&t, DIR_IN, 1, true, h);
	}
	run(&t, 0);
	c = only();
	good = c && c->status == status && strcmp(c->error_kind, kind) == 0 &&
	       c->http_status == 200 && strcmp(c->op, "/a.Store/Search") == 0;
	talk_end(&t);
	return good;
}

static void test_status(void)
{
	static const char *const ok[] = { ":status", "200", "content-type", "application/grpc",
		                          NULL };
	static const char *const end_only[] = { "x-other", "1", NULL };
	struct talk t;

	TEST("how a call went is told by its trailers, or its head where there are none");
	for (int answered = 0; answered < 2; answered++) {
		CHECK(status_gives("0", CALL_OK, "", answered));
		CHECK(status_gives("1", CALL_ABORTED, "CANCELLED", answered));
		CHECK(status_gives("4", CALL_TIMEOUT, "DEADLINE_EXCEEDED", answered));
		CHECK(status_gives("8", CALL_RATE_LIMITED, "RESOURCE_EXHAUSTED", answered));
		CHECK(status_gives("14", CALL_ERROR, "UNAVAILABLE", answered));
		CHECK(status_gives("16", CALL_ERROR, "UNAUTHENTICATED", answered));
		CHECK(status_gives("99", CALL_ERROR, "UNKNOWN", answered));
		CHECK(status_gives("x", CALL_UNKNOWN, "", answered));
	}
	TEST("trailers without one tell nothing");
	talk_begin(&t);
	say_hello(&t);
	say_request(&t, 1, "/a.B/C", NULL);
	say_headers(&t, DIR_IN, 1, false, ok);
	say_headers(&t, DIR_IN, 1, true, end_only);
	run(&t, 0);
	CHECK(only() && only()->status == CALL_UNKNOWN);
	talk_end(&t);
}

/* A store's reader is given its messages, wherever they are cut. */
static void test_store(void)
{
	struct pb m = { .n = 0 }, status = { .n = 0 }, empty = { .n = 0 };
	struct talk t;

	TEST("a store's reply tells what its status does not");
	number(&status, 1, 1); /* Milvus: error_code */
	text(&status, 2, "no such collection");
	bytes(&m, 1, status.p, status.n);
	talk_begin(&t);
	say_hello(&t);
	for (uint32_t id = 1; id <= 3; id += 2) {
		say_request(&t, id, "/milvus.proto.milvus.MilvusService/Search", NULL);
		say_message(&t, DIR_OUT, id, true, &empty, false);
		say_reply(&t, id, NULL);
		say_message(&t, DIR_IN, id, false, id == 1 ? &m : &empty, false);
		say_status(&t, id, "0", NULL);
	}
	run(&t, 0);
	CHECK(got.n == 2 && strcmp(got.done[0]->store, "milvus") == 0 &&
	      got.done[0]->status == CALL_ERROR && got.done[1]->status == CALL_OK);
	talk_end(&t);
}

static void test_late(void)
{
	struct pb m = { .n = 0 };
	const struct call *c = NULL;
	struct talk t;
	size_t second;

	TEST("a connection joined late: the second call refers to headers of the first");
	talk_begin(&t);
	say_streamed(&t);
	second = t.n;
	say_request(&t, 3, SERVICE "GenerateContent", NULL);
	say_ask(&t, 3);
	say_reply(&t, 3, NULL);
	chunk(&m, "yes", 1, 7);
	say_message(&t, DIR_IN, 3, false, &m, false);
	say_status(&t, 3, "0", NULL);
	run(&t, second);
	c = only();
	CHECK(c && c->llm && c->status == CALL_OK && c->llm->tokens.out == 12 && !c->at_least);
	TEST("and the status of one that is no LLM's is that of its reply");
	talk_end(&t);
	talk_begin(&t);
	say_hello(&t);
	for (uint32_t id = 1; id <= 3; id += 2) {
		if (id == 3)
			second = t.n;
		say_request(&t, id, id == 1 ? "/a.B/C" : "/a.B/D", NULL);
		say_message(&t, DIR_OUT, id, true, &m, false);
		say_reply(&t, id, NULL);
		say_message(&t, DIR_IN, id, false, &m, false);
		say_status(&t, id, "0", NULL);
	}
	run(&t, second);
	CHECK(only() && only()->status == CALL_OK && strcmp(only()->op, "/a.B/D") == 0);
	talk_end(&t);
}

static void test_packed(void)
{
	struct pb a = { .n = 0 }, b = { .n = 0 };
	const struct call *c;
	struct talk t;
	z_stream z = { 0 };

	TEST("messages that say they are compressed are unpacked, each by itself");
	chunk(&a, "packed", 1, 7);
	deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
	z.next_in = (Bytef *)a.p;
	z.avail_in = (uInt)a.n;
	z.next_out = (Bytef *)b.p;
	z.avail_out = sizeof(b.p);
	deflate(&z, Z_FINISH);
	b.n = z.total_out;
	deflateEnd(&z);
	talk_begin(&t);
	say_hello(&t);
	say_request(&t, 1, SERVICE "GenerateContent", "gzip");
	say_ask(&t, 1); /* and one that is not */
	say_reply(&t, 1, "gzip");
	say_message(&t, DIR_IN, 1, false, &b, true);
	say_status(&t, 1, "0", NULL);
	run(&t, 0);
	c = only();
	CHECK(c && c->llm && c->llm->tokens.out == 12 && !c->partial && c->llm->finished);
	talk_end(&t);
	TEST("in a coding nobody told of they are not guessed at");
	talk_begin(&t);
	say_hello(&t);
	say_request(&t, 1, SERVICE "GenerateContent", NULL);
	say_ask(&t, 1);
	say_reply(&t, 1, NULL);
	say_message(&t, DIR_IN, 1, false, &b, true);
	say_status(&t, 1, "0", NULL);
	run(&t, 0);
	c = only();
	CHECK(c && c->llm && c->llm->tokens.out == -1 && c->partial == PARTIAL_NO_PLAINTEXT &&
	      c->status == CALL_OK);
	talk_end(&t);
}

static void test_words(void)
{
	char op[CALL_OP_MAX];
	bool watch;

	TEST("deadlines have eight digits and a unit");
	CHECK(grpc_timeout_s(bytes_of("60S")) == 60 && grpc_timeout_s(bytes_of("1H")) == 3600);
	CHECK(grpc_timeout_s(bytes_of("1500m")) == 1.5 && grpc_timeout_s(bytes_of("2M")) == 120);
	CHECK(grpc_timeout_s(bytes_of("")) < 0 && grpc_timeout_s(bytes_of("S")) < 0);
	CHECK(grpc_timeout_s(bytes_of("-1S")) < 0 && grpc_timeout_s(bytes_of("123456789S")) < 0);
	CHECK(grpc_timeout_s(bytes_of("5x")) < 0 && grpc_timeout_s(bytes_of("55")) < 0);
	TEST("an operation is its service and method, shortened in front");
	grpc_op(op, bytes_of("/qdrant.Points/Search"));
	CHECK(strcmp(op, "/qdrant.Points/Search") == 0);
	grpc_op(op, bytes_of(SERVICE "BatchEmbedContents"));
	CHECK(strcmp(op, "/generativelanguage.v1beta.GenerativeService/"
	                 "BatchEmbedContents") == 0);
	grpc_op(op,
	        bytes_of(
			"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/b"));
	CHECK(strlen(op) == CALL_OP_MAX - 1);
	TEST("health checks are told by their service");
	CHECK(grpc_is_health_check(bytes_of("/grpc.health.v1.Health/Check"), &watch) && !watch);
	CHECK(grpc_is_health_check(bytes_of("/grpc.health.v1.Health/Watch"), &watch) && watch);
	CHECK(!grpc_is_health_check(bytes_of("/a.Health/Check"), &watch));
	TEST("its content types");
	CHECK(grpc_content_type(bytes_of("application/grpc")) &&
	      grpc_content_type(bytes_of("application/grpc+proto")) &&
	      !grpc_content_type(bytes_of("application/grpc-web")) &&
	      !grpc_content_type(bytes_of("application/json")) && !grpc_content_type(bytes_of("")));
}

int main(void)
{
	test_words();
	test_gemini();
	test_holes();
	test_others();
	test_status();
	test_store();
	test_late();
	test_packed();
	forget();
	return DONE();
}
