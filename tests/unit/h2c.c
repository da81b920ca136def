/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A connection of HTTP/1.1 that becomes HTTP/2 (RFC 7540, 3.2): the request is the first stream, whatever cuts and holes there
 * are; and masked it is the same.
 */
#include <stdio.h>

#include "http2_build.h"
#include "mask_owner.h"
#include "proto/http2.h"
#include "proto/proto.h"
#include "test.h"

#define SECRET "sesame-open"
#define ASK "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"" SECRET "\"}]}"
#define TOLD                                                                          \
	"{\"model\":\"gpt-4o-2024\",\"choices\":[{\"message\":{\"content\":\"" SECRET \
	"\"}}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4,\"total_tokens\":13}}"

/* ---- the sink: keeps what is done ---- */

#define CALLS_MAX 16

static struct call *done[CALLS_MAX];
static int opened, ndone;
static uint64_t now;

static struct call *sink_open(struct call_sink *s, const struct stamp *at)
{
	(void)s;
	(void)at;
	opened++;
	return call_new();
}

static void sink_sent(struct call_sink *s, struct call *c)
{
	(void)s;
	if (c->end_ns)
		abort();
}

static void sink_done(struct call_sink *s, struct call *c)
{
	(void)s;
	if (ndone == CALLS_MAX)
		abort();
	done[ndone++] = c;
}

static struct call_sink sink = { sink_open, sink_sent, sink_done };
static void *state;

static void begin(void)
{
	struct proto_hint hint = { .port = 80, .from_start = true, .client = true };

	while (ndone)
		call_free(done[--ndone]);
	opened = 0;
	now = 1000;
	state = proto_http1.new(&sink, &hint);
}

static struct stamp tick(void)
{
	now += 10;
	return (struct stamp){ now - 4, now, 7, 8, 9 };
}

static void feed(int dir, const char *p, size_t n)
{
	struct stamp at = tick();
	char *g = guarded(p, n);

	proto_http1.feed(state, dir, (struct bytes){ g, n }, &at);
	guarded_free(g, n);
}

static void gap(int dir, uint64_t n)
{
	struct stamp at = tick();

	proto_http1.gap(state, dir, n, PARTIAL_EVENTS_LOST, &at);
}

static void end(void)
{
	struct stamp at = tick();

	proto_http1.done(state, DONE_CLOSED, &at);
	proto_http1.free(state);
	state = NULL;
}

/* ---- what is said ---- */

#define UPGRADE                                                                           \
	"Host: api.openai.com\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" \
	"HTTP2-Settings: AAMAAABkAAQAAP__\r\n"
#define SWITCHING "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: H2C\r\n\r\n"

static const char *const chat[] = { ":method",
	                            "POST",
	                            ":scheme",
	                            "http",
	                            ":authority",
	                            "api.openai.com",
	                            ":path",
	                            "/v1/chat/completions",
	                            "content-type",
	                            "application/json",
	                            NULL };
static const char *const ok[] = { ":status", "200", "content-type", "application/json", NULL };
static const char *const limited[] = { ":status", "429", NULL };

static void say_upgrade(struct talk *t)
{
	char request[1024];

	snprintf(request, sizeof(request),
	         "POST /v1/chat/completions HTTP/1.1\r\n" UPGRADE
	         "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n" ASK,
	         sizeof(ASK) - 1);
	say(t, DIR_OUT, request, strlen(request));
	say(t, DIR_IN, SWITCHING, strlen(SWITCHING));
}

/* The reply to the first request comes when the second one is under way. */
static void say_all(struct talk *t)
{
	say_upgrade(t);
	say_hello(t);
	say_headers(t, DIR_OUT, 3, false, chat);
	say_headers(t, DIR_IN, 1, false, ok);
	say_data(t, DIR_OUT, 3, true, ASK);
	say_data(t, DIR_IN, 1, true, TOLD);
	say_headers(t, DIR_IN, 3, true, limited);
}

static bool is_chat(const struct call *c)
{
	return strcmp(c->op, "POST /v1/chat/completions") == 0 &&
	       strcmp(c->host, "api.openai.com") == 0;
}

static bool all_right(void)
{
	const struct call *a = done[0], *b = done[1];

	return opened == 2 && ndone == 2 && is_chat(a) && is_chat(b) && a->stream == 1 &&
	       a->status == CALL_OK && a->http_status == 200 && a->llm && a->llm->tokens.in == 9 &&
	       a->llm->tokens.out == 4 && !a->partial && b->stream == 3 &&
	       b->status == CALL_RATE_LIMITED && !b->partial && strcmp(a->proto, "http2") == 0;
}

/* Piece i in two, cut at its byte at; with a hole of `hole` bytes there, if any. */
static void feed_cut(const struct talk *t, size_t i, size_t at, size_t hole, bool known)
{
	for (size_t k = 0; k < t->n; k++) {
		const struct piece *p = &t->pieces[k];
		size_t first = k == i ? at : p->n, skip = k == i ? hole : 0;

		if (first)
			feed(p->dir, p->p, first);
		if (skip)
			gap(p->dir, known ? skip : GAP_UNKNOWN);
		if (first + skip < p->n)
			feed(p->dir, p->p + first + skip, p->n - first - skip);
	}
}

static void test_conversation(void)
{
	const struct call *c;
	struct talk t;
	bool same = true;

	talk_begin(&t);
	say_all(&t);
	TEST("the request that asks for HTTP/2 is its first stream, and one call");
	begin();
	feed_cut(&t, t.n, 0, 0, false);
	CHECK(proto_http1.shared(state));
	end();
	CHECK(all_right());
	TEST("its reply begins in HTTP/2, not with the switch");
	c = done[0];
	CHECK(ndone == 2 && c->first_byte_ns > c->sent_ns + 20 && c->end_ns == c->last_byte_ns);
	TEST("however the bytes are cut, the calls are the same");
	for (size_t i = 0; i < t.n; i++)
		for (size_t at = 1; at < t.pieces[i].n; at++) {
			begin();
			feed_cut(&t, i, at, 0, false);
			end();
			same &= all_right();
		}
	CHECK(same);
	begin();
	for (size_t i = 0; i < t.n; i++)
		for (size_t at = 0; at < t.pieces[i].n; at++)
			feed(t.pieces[i].dir, t.pieces[i].p + at, 1);
	end();
	CHECK(all_right());
	talk_end(&t);
	TEST("what comes in one read with the switch is read, too");
	talk_begin(&t);
	say_upgrade(&t);
	t.n = 1;
	free(t.pieces[1].p);
	{
		char both[256] = SWITCHING;
		size_t n = strlen(SWITCHING);

		memcpy(both + n, "\0\0\0\4\0\0\0\0\0", 9);
		memcpy(both + n + 9, "\0\0\1\1\5\0\0\0\1\x88", 10);
		say(&t, DIR_IN, both, n + 19);
	}
	begin();
	feed_cut(&t, t.n, 0, 0, false);
	CHECK(ndone == 1 && done[0]->http_status == 200 && done[0]->status == CALL_OK);
	end();
	talk_end(&t);
	TEST("a server that stays with HTTP/1.1 is read as before");
	talk_begin(&t);
	say_upgrade(&t);
	free(t.pieces[1].p);
	t.n = 1;
	say(&t, DIR_IN, "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n", 41);
	begin();
	feed_cut(&t, t.n, 0, 0, false);
	CHECK(ndone == 1 && done[0]->http_status == 429 && !proto_http1.shared(state));
	end();
	talk_end(&t);
}

/* What was not seen may be unknown; nothing is made up, and no request is two calls. */
static bool no_lie(void)
{
	int first = 0, second = 0;

	for (int i = 0; i < ndone; i++) {
		const struct call *c = done[i];

		first += c->stream <= 1;
		second += c->stream == 3;
		if (c->op[0] && !is_chat(c))
			return false;
		if (c->status == CALL_OK && c->stream == 3 && c->http_status)
			return false;
		if (c->status == CALL_RATE_LIMITED && c->stream != 3)
			return false;
		if (c->llm && c->llm->tokens.out >= 0 && c->llm->tokens.out != 4)
			return false;
	}
	return opened == ndone && first <= 1 && second <= 1;
}

static void test_gaps(void)
{
	struct talk t;
	bool good = true, found = true;

	talk_begin(&t);
	say_all(&t);
	TEST("a gap anywhere makes no call twice and nothing up");
	for (size_t i = 0; i < t.n; i++)
		for (size_t at = 0; at < t.pieces[i].n; at++)
			for (int how = 0; how < 4; how++) {
				size_t n = how < 2 ? 1 : t.pieces[i].n - at;

				begin();
				feed_cut(&t, i, at, n, how % 2);
				end();
				good &= no_lie();
			}
	CHECK(good);
	TEST("with the switch lost the next request is a call all the same");
	for (size_t at = 0; at < t.pieces[1].n; at++) {
		begin();
		feed_cut(&t, 1, at, t.pieces[1].n - at, true);
		end();
		found &= ndone == 2 && done[1]->stream == 3 && is_chat(done[1]) &&
		         done[1]->status == CALL_RATE_LIMITED;
	}
	CHECK(found);
	talk_end(&t);
	TEST("a switch before the request is whole makes no whole call of it");
	talk_begin(&t);
	say_all(&t);
	begin();
	feed(DIR_OUT, t.pieces[0].p, t.pieces[0].n - 20);
	feed(DIR_IN, t.pieces[1].p, t.pieces[1].n);
	feed(DIR_OUT, t.pieces[0].p + t.pieces[0].n - 20, 20);
	for (size_t i = 2; i < t.n; i++)
		feed(t.pieces[i].dir, t.pieces[i].p, t.pieces[i].n);
	end();
	CHECK(opened == 2 && ndone == 2 && done[0]->stream == 1 && !done[0]->sent_ns &&
	      done[1]->status == CALL_RATE_LIMITED);
	talk_end(&t);
}

static void test_late(void)
{
	struct proto_hint hint = { .client = true };
	struct call *c;
	struct talk t;

	TEST("a request that was known to be in flight, and is the first stream now, is that one "
	     "call");
	talk_begin(&t);
	say_all(&t);
	begin();
	proto_http1.done(state, DONE_CLOSED, &(struct stamp){ 0 });
	proto_http1.free(state);
	state = proto_http2.new(&sink, &hint);
	c = sink_open(&sink, NULL);
	http2_seed(state, c);
	for (size_t i = 2; i < t.n; i++) {
		struct stamp at = tick();

		proto_http2.feed(state, t.pieces[i].dir,
		                 (struct bytes){ t.pieces[i].p, t.pieces[i].n }, &at);
	}
	CHECK(opened == 2 && ndone == 2 && done[0] == c && c->stream == 1 && c->at_least &&
	      c->status == CALL_OK && done[1]->stream == 3);
	proto_http2.done(state, DONE_CLOSED, &(struct stamp){ 0 });
	proto_http2.free(state);
	talk_end(&t);
}

/* ---- masked ---- */

static void test_masked(void)
{
	struct mask_word words[2] = { 0 };
	bool leaks = false;
	struct talk t;
	void *m;

	TEST("masked it gives the same calls, and nothing of what was said");
	talk_begin(&t);
	say_all(&t);
	m = masker_http.new(&mask_owner, words, true);
	for (size_t i = 0; i < t.n; i++)
		masker_http.feed(m, t.pieces[i].dir == DIR_OUT, t.pieces[i].p, t.pieces[i].n);
	for (int d = 0; d < 2; d++) {
		word_break(&words[d]);
		word_free(&words[d]);
	}
	masker_http.free(m);
	for (size_t i = 0; i < t.n; i++)
		leaks |= memmem(t.pieces[i].p, t.pieces[i].n, SECRET, strlen(SECRET)) != NULL;
	CHECK(!leaks);
	begin();
	feed_cut(&t, t.n, 0, 0, false);
	end();
	CHECK(all_right());
	talk_end(&t);
}

int main(void)
{
	test_conversation();
	test_gaps();
	test_late();
	test_masked();
	while (ndone)
		call_free(done[--ndone]);
	return DONE();
}
