/* SPDX-License-Identifier: BSD-2-Clause */
/* HTTP/2 masked: nothing of what was said is left, and the calls are the same. */
#include <stdio.h>

#include "http2_build.h"
#include "mask/hpack.h"
#include "mask_owner.h"
#include "proto/proto.h"
#include "test.h"

/* Masks all pieces in place; at: the piece that comes in two, cut at its byte `cut`. */
static void mask(struct talk *t, size_t at, size_t cut, bool from_start)
{
	struct mask_word words[2] = { 0 };
	void *m = masker_http2.new(&mask_owner, words, from_start);

	for (size_t i = 0; i < t->n; i++) {
		struct piece *p = &t->pieces[i];
		size_t first = i == at ? cut : p->n;

		masker_http2.feed(m, p->dir == DIR_OUT, p->p, first);
		if (first < p->n)
			masker_http2.feed(m, p->dir == DIR_OUT, p->p + first, p->n - first);
	}
	for (int d = 0; d < 2; d++) {
		word_break(&words[d]);
		word_free(&words[d]);
	}
	masker_http2.free(m);
}

/* The same where piece `at` is lost from its byte `from` on. */
static void mask_hole(struct talk *t, size_t at, size_t from)
{
	struct mask_word words[2] = { 0 };
	void *m = masker_http2.new(&mask_owner, words, true);
	bool over = false;

	for (size_t i = 0; i < t->n; i++) {
		struct piece *p = &t->pieces[i];
		size_t n = i == at ? from : p->n;

		if (over)
			memset(p->p, 0, n);
		else
			over = masker_http2.feed(m, p->dir == DIR_OUT, p->p, n) != MASK_OK;
		if (i == at && !over)
			over = masker_http2.gap(m, p->dir == DIR_OUT, p->n - n) != MASK_OK;
	}
	for (int d = 0; d < 2; d++) {
		word_break(&words[d]);
		word_free(&words[d]);
	}
	masker_http2.free(m);
}

/* ---- the calls of a conversation, as text ---- */

static char said[8192];
static size_t nsaid;

static struct call *sink_open(struct call_sink *s, const struct stamp *at)
{
	(void)s;
	(void)at;
	return call_new();
}

static void sink_sent(struct call_sink *s, struct call *c)
{
	(void)s;
	(void)c;
}

static void sink_done(struct call_sink *s, struct call *c)
{
	const struct llm_call *l = c->llm;

	(void)s;
	nsaid += (size_t)snprintf(said + nsaid, sizeof(said) - nsaid,
	                          "%u %s %s %s %s %d %ju %ju %d %s %jd %jd %d %u\n", c->stream,
	                          c->op, c->host, call_status_name(c->status), c->error_kind,
	                          c->http_status, (uintmax_t)c->bytes_out, (uintmax_t)c->bytes_in,
	                          c->partial, l ? l->model : "-", l ? (intmax_t)l->tokens.in : -1,
	                          l ? (intmax_t)l->tokens.out : -1, l ? (int)l->last_role : -1,
	                          l ? l->history.n : 0);
	call_free(c);
}

static const char *calls(const struct talk *t)
{
	static struct call_sink sink = { sink_open, sink_sent, sink_done };
	struct proto_hint hint = { .from_start = true, .client = true };
	void *state = proto_http2.new(&sink, &hint);
	struct stamp at = { 1, 2, 3, 4, 0 };

	nsaid = 0;
	said[0] = '\0';
	for (size_t i = 0; i < t->n; i++) {
		at.start_ns = at.end_ns++;
		proto_http2.feed(state, t->pieces[i].dir,
		                 (struct bytes){ t->pieces[i].p, t->pieces[i].n }, &at);
	}
	proto_http2.done(state, DONE_CLOSED, &at);
	proto_http2.free(state);
	return said;
}

/* ---- what is said ---- */

#define SECRET "sesame-open"

static const char *const chat[] = { ":method",
	                            "POST",
	                            ":scheme",
	                            "https",
	                            ":authority",
	                            "api.openai.com",
	                            ":path",
	                            "/v1/chat/completions?key=" SECRET,
	                            "content-type",
	                            "application/json",
	                            "authorization",
	                            "Bearer " SECRET,
	                            "x-" SECRET "x",
	                            "plain",
	                            NULL };
static const char *const ok[] = {
	":status", "200", "content-type", "text/event-stream", "set-cookie", "id=" SECRET, NULL
};
static const char *const gemini[] = {
	":method",
	"POST",
	":scheme",
	"http",
	":path",
	"/google.ai.generativelanguage.v1beta.GenerativeService/GenerateContent",
	":authority",
	"x.y",
	"content-type",
	"application/grpc",
	"x-goog-api-key",
	SECRET,
	NULL
};
static const char *const milvus[] = { ":method",
	                              "POST",
	                              ":scheme",
	                              "http",
	                              ":path",
	                              "/milvus.proto.milvus.MilvusService/Insert",
	                              ":authority",
	                              "x.y",
	                              "content-type",
	                              "application/grpc",
	                              "authorization",
	                              "Basic " SECRET,
	                              NULL };
static const char *const weaviate[] = { ":method",
	                                "POST",
	                                ":scheme",
	                                "http",
	                                ":path",
	                                "/weaviate.v1.Weaviate/BatchObjects",
	                                ":authority",
	                                "x.y",
	                                "content-type",
	                                "application/grpc",
	                                NULL };
static const char *const search[] = { ":method",
	                              "POST",
	                              ":scheme",
	                              "http",
	                              ":path",
	                              "/books/_search?q=" SECRET,
	                              ":authority",
	                              "x.y",
	                              "content-type",
	                              "application/json",
	                              NULL };
static const char *const json_ok[] = {
	":status",       "200", "content-type", "application/json", "x-elastic-product",
	"Elasticsearch", NULL
};
static const char *const grpc_good[] = { "grpc-status", "0", NULL };
static const char *const grpc_ok[] = { ":status", "200", "content-type", "application/grpc", NULL };
static const char *const grpc_end[] = { "grpc-status", "8", "grpc-message", "no " SECRET, NULL };

#define ASK                                                                                   \
	"{\"model\":\"gpt-4o\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":" \
	"\"" SECRET "\"}]}"
#define TOLD                                                                              \
	"data: {\"model\":\"gpt-4o-2024\",\"choices\":[{\"delta\":{\"content\":\"" SECRET \
	"\"}}]}\n\ndata: "                                                                \
	"{\"model\":\"gpt-4o-2024\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,"       \
	"\"completion_tokens\":4,\"total_tokens\":13}}\n\ndata: [DONE]\n\n"

static void say_grpc(struct talk *t, int dir, uint32_t stream, bool end, const char *p, size_t n)
{
	char b[512] = { 0, 0, 0, 0, (char)n };

	memcpy(b + 5, p, n);
	say_frame(t, dir, FRAME_DATA, end ? FLAG_END_STREAM : 0, stream, b, n + 5);
}

static void say_all(struct talk *t)
{
	static const char ask[] = "\n\rmodels/gemini\22\25\n\r\22\13" SECRET "\22\4user";
	static const char reply[] = "\n\31\n\25\n\r\22\13" SECRET
				    "\22\4user\20\1\32\6\10\13\20\7\30\22";

	say_hello(t);
	for (uint32_t id = 1; id <= 3; id += 2) { /* the second time by the table */
		say_headers(t, DIR_OUT, id, false, chat);
		say_data(t, DIR_OUT, id, true, ASK);
		say_headers(t, DIR_IN, id, false, ok);
		say_data(t, DIR_IN, id, true, TOLD);
	}
	say_frame(t, DIR_OUT, FRAME_PING, 0, 0, SECRET, 8);
	say_headers(t, DIR_OUT, 5, false, gemini);
	say_grpc(t, DIR_OUT, 5, true, ask, sizeof(ask) - 1);
	say_headers(t, DIR_IN, 5, false, grpc_ok);
	say_grpc(t, DIR_IN, 5, false, reply, sizeof(reply) - 1);
	say_headers(t, DIR_IN, 5, true, grpc_end);
	/* a status that is none of success, in a message of two frames */
	say_headers_cut(t, DIR_OUT, 7, false, milvus, 5, 7);
	say_grpc(t, DIR_OUT, 7, true, "\12\13" SECRET, 13);
	say_headers_cut(t, DIR_IN, 7, false, grpc_ok, 1, 3);
	say_frame(t, DIR_IN, FRAME_DATA, 0, 7, "\0\0\0\0\24\12\20\10\5\22", 10);
	say_frame(t, DIR_IN, FRAME_DATA, 0, 7, "\12other " SECRET, 7);
	say_frame(t, DIR_IN, FRAME_DATA, 0, 7, "abcd\30\16\20\2", 8);
	say_headers_cut(t, DIR_IN, 7, true, grpc_good, 1, 100);
	say_headers(t, DIR_OUT, 9, false, weaviate);
	say_grpc(t, DIR_OUT, 9, true, "\12\13" SECRET, 13);
	say_headers(t, DIR_IN, 9, false, grpc_ok);
	say_grpc(t, DIR_IN, 9, false, "\15\0\0\0\1\22\13" SECRET, 18);
	say_headers(t, DIR_IN, 9, true, grpc_good);
	say_headers(t, DIR_OUT, 11, true, search);
	say_headers(t, DIR_IN, 11, false, json_ok);
	say_data(t, DIR_IN, 11, true,
	         "{\"timed_out\":false,\"_shards\":{\"failed\":1,\"failures\":[{\"reason\":{"
	         "\"type\":"
	         "\"query_shard_exception\",\"reason\":\"" SECRET "\"}}]}}");
	say_frame(t, DIR_IN, FRAME_GOAWAY, 0, 0, "\0\0\0\5\0\0\0\0" SECRET, 19);
}

/* ---- is anything left? ---- */

static bool found;

static void look(void *ctx, struct bytes name, struct bytes value)
{
	(void)ctx;
	(void)name;
	found |= value.n && memmem(value.p, value.n, SECRET, strlen(SECRET));
}

/* In the bytes, and in what headers decode to. */
static bool leaks(const struct talk *t)
{
	struct hpack *h[2] = { hpack_new(true), hpack_new(true) };

	found = false;
	for (size_t i = 0; i < t->n; i++) {
		const struct piece *p = &t->pieces[i];
		struct frame f;

		if (i == 0)
			continue;
		f = frame_read(p->p);
		/* names are structure, and stay */
		if (f.type == FRAME_HEADERS || f.type == FRAME_CONTINUATION)
			hpack_feed(h[p->dir], bytes_from((struct bytes){ p->p, p->n }, FRAME_HEAD),
			           f.flags & FLAG_END_HEADERS, look, NULL);
		else
			found |= memmem(p->p, p->n, SECRET, strlen(SECRET)) != NULL;
	}
	hpack_free(h[0]);
	hpack_free(h[1]);
	return found;
}

/* In the bytes of all pieces but `but`. Coded by Huffman it would not be seen: of that the test of cuts knows. */
static bool leaks_plain(const struct talk *t, size_t but)
{
	for (size_t i = 0; i < t->n; i++)
		if (i != but && memmem(t->pieces[i].p, t->pieces[i].n, SECRET, strlen(SECRET)))
			return true;
	return false;
}

int main(void)
{
	char before[sizeof(said)];
	struct talk t;
	bool clean = true;

	talk_begin(&t);
	say_all(&t);
	snprintf(before, sizeof(before), "%s", calls(&t));
	TEST("what is masked gives the same calls");
	CHECK(leaks(&t) && strstr(before, "gpt-4o-2024 9 4") && strstr(before, "gemini 11 7"));
	CHECK(strstr(before, "Insert") && strstr(before, "milvus_14") &&
	      strstr(before, "batch_error") && strstr(before, "query_shard_exception"));
	mask(&t, t.n, 0, true);
	CHECK(strcmp(before, calls(&t)) == 0);
	TEST("and nothing of what was said");
	CHECK(!leaks(&t));
	TEST("masked again it is still the same calls");
	mask(&t, t.n, 0, true);
	CHECK(strcmp(before, calls(&t)) == 0);
	talk_end(&t);
	TEST("wherever an operation is cut, nothing is left, and the calls are the same");
	talk_begin(&t);
	say_all(&t);
	for (size_t i = 1; i < t.n; i++)
		for (size_t at = 1; at < t.pieces[i].n; at++) {
			struct talk k;

			talk_begin(&k);
			say_all(&k);
			mask(&k, i, at, true);
			clean &= !leaks(&k) && strcmp(before, calls(&k)) == 0;
			talk_end(&k);
		}
	CHECK(clean);
	TEST("with a hole anywhere, nothing is left");
	clean = true;
	for (size_t i = 1; i < t.n; i++)
		for (size_t at = 0; at < t.pieces[i].n; at++) {
			struct talk k;

			talk_begin(&k);
			say_all(&k);
			mask_hole(&k, i, at);
			clean &= !leaks_plain(&k, i);
			talk_end(&k);
		}
	CHECK(clean);
	TEST("joined late, nothing is left");
	mask(&t, t.n, 0, false);
	CHECK(!leaks(&t));
	talk_end(&t);
	return DONE();
}
