/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HTTP/1: whole conversations, cut at every byte, with a hole at every byte, and at their ends. The
 * LLM reader here is a small stand-in that writes down what it is given.
 */
#include <zlib.h>

#include "event.h"
#include "llm/llm.h"
#include "proto/decode.h"
#include "proto/proto.h"
#include "test.h"

/* ---- the stand-in for the LLM reader: bodies as given, '~' for a gap ---- */

struct llm {
	struct call *c;
	bool request_ended;
};

static struct {
	char request[4096], reply[4096];
	size_t nrequest, nreply;
	int status;
	char type[64];
	int readers, begun; /* alive now, ever */
	int ends, whole;    /* llm_response_end, and with complete set */
	bool refuse;        /* llm_request_end says it is no LLM call */
	bool disorder;      /* something came that may not come */
	uint64_t body_ns;
	int64_t metered_in, metered_out;
	char error[64];
} heard;

static void write_down(char *to, size_t *have, struct bytes b)
{
	if (b.n > 4096 - 1 - *have)
		b.n = 4096 - 1 - *have;
	memcpy(to + *have, b.p, b.n);
	*have += b.n;
	to[*have] = '\0';
}

static void write_gap(char *to, size_t *have)
{
	if (!*have || to[*have - 1] != '~')
		write_down(to, have, bytes_of("~"));
}

static bool bytes_end(struct bytes b, const char *s)
{
	return b.n >= strlen(s) && memcmp(b.p + b.n - strlen(s), s, strlen(s)) == 0;
}

struct llm *llm_new(struct call *c, struct bytes method, struct bytes path, struct bytes host)
{
	struct llm *l;

	(void)host;
	if (!bytes_equal(method, "POST") || !bytes_end(path, "/messages"))
		return NULL;
	l = calloc(1, sizeof(*l));
	l->c = c;
	c->llm = llm_call_new();
	heard.readers++;
	heard.begun++;
	return l;
}

struct llm *llm_new_unnamed(struct call *c, struct bytes host)
{
	(void)c;
	(void)host;
	heard.disorder = true; /* a request line is never missing */
	return NULL;
}

struct llm *llm_new_grpc_unnamed(struct call *c, struct bytes message)
{
	return llm_new_unnamed(c, message);
}

void llm_free(struct llm *l)
{
	if (!l)
		return;
	heard.readers--;
	free(l);
}

bool llm_socket(struct bytes path)
{
	return bytes_end(path, "/v1/realtime");
}

void llm_request_body(struct llm *l, struct bytes b)
{
	heard.disorder |= l->request_ended;
	write_down(heard.request, &heard.nrequest, b);
}

void llm_request_gap(struct llm *l, uint64_t n)
{
	heard.disorder |= l->request_ended || n == 0;
	write_gap(heard.request, &heard.nrequest);
}

bool llm_request_end(struct llm *l)
{
	heard.disorder |= l->request_ended;
	l->request_ended = true;
	if (!heard.refuse)
		return true;
	llm_call_free(l->c->llm);
	l->c->llm = NULL;
	return false;
}

void llm_response_head(struct llm *l, int status, struct bytes content_type)
{
	(void)l;
	heard.status = status;
	snprintf(heard.type, sizeof(heard.type), "%.*s", (int)content_type.n, content_type.p);
}

bool llm_sure(const struct llm *l)
{
	return l != NULL;
}

void llm_response_metered(struct llm *l, int64_t in, int64_t out)
{
	(void)l;
	heard.metered_in = in;
	heard.metered_out = out;
}

void llm_response_error(struct llm *l, struct bytes kind)
{
	(void)l;
	snprintf(heard.error, sizeof(heard.error), "%.*s", (int)kind.n, kind.p);
}

void llm_response_body(struct llm *l, struct bytes b, uint64_t ts_ns)
{
	heard.disorder |= heard.status == 0;
	heard.body_ns = ts_ns;
	write_down(heard.reply, &heard.nreply, b);
	if (strstr(heard.reply, "[DONE]"))
		l->c->llm->finished = true;
}

void llm_response_gap(struct llm *l, uint64_t n)
{
	(void)l;
	heard.disorder |= n == 0;
	write_gap(heard.reply, &heard.nreply);
}

void llm_grpc_message(struct llm *l, bool request, struct bytes message, bool cut, uint64_t ts_ns)
{
	(void)l;
	(void)request;
	(void)message;
	(void)cut;
	(void)ts_ns;
	heard.disorder = true; /* gRPC does not come over HTTP/1 */
}

void llm_response_end(struct llm *l, bool complete)
{
	heard.disorder |= !l->request_ended;
	heard.ends++;
	heard.whole += complete;
	if (strstr(heard.reply, "overloaded"))
		snprintf(l->c->error_kind, sizeof(l->c->error_kind), "overloaded_error");
}

/* ---- the sink: keeps copies of what is done ---- */

#define CALLS_MAX 128

static struct {
	struct call done[CALLS_MAX];
	bool llm[CALLS_MAX]; /* it was an LLM call in the end */
	int n, opened, sent;
	bool no_memory;
} got;

static struct call *sink_open(struct call_sink *s, const struct stamp *at)
{
	struct call *c = got.no_memory ? NULL : call_new();

	(void)s;
	(void)at;
	if (c)
		c->id = (uint64_t)++got.opened;
	return c;
}

static void sink_sent(struct call_sink *s, struct call *c)
{
	(void)s;
	if (c->sent_ns)
		got.sent++;
}

static void sink_done(struct call_sink *s, struct call *c)
{
	(void)s;
	if (got.n == CALLS_MAX)
		abort();
	got.llm[got.n] = c->llm != NULL;
	got.done[got.n] = *c;
	got.done[got.n++].llm = NULL;
	call_free(c);
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

static void begin_at(bool from_start)
{
	struct proto_hint hint = { .port = 80, .from_start = from_start, .client = true };

	memset(&got, 0, sizeof(got));
	memset(&heard, 0, sizeof(heard));
	now = 1000;
	state = proto_http1.new(&sink, &hint);
}

static void begin(void)
{
	begin_at(true);
}

static void feed_n(int dir, const char *p, size_t n)
{
	struct stamp at = tick();
	char *g = guarded(p, n);

	proto_http1.feed(state, dir, (struct bytes){ g, n }, &at);
	guarded_free(g, n);
}

static void out(const char *s)
{
	feed_n(DIR_OUT, s, strlen(s));
}

static void in(const char *s)
{
	feed_n(DIR_IN, s, strlen(s));
}

static void gap(int dir, uint64_t n)
{
	struct stamp at = tick();

	proto_http1.gap(state, dir, n, PARTIAL_EVENTS_LOST, &at);
}

static void end(enum done_why why)
{
	struct stamp at = tick();

	proto_http1.done(state, why, &at);
	proto_http1.free(state);
	state = NULL;
}

/* What must hold of every run, whatever was fed. */
static bool sound(void)
{
	return got.opened == got.n && heard.readers == 0 && !heard.disorder &&
	       heard.ends <= heard.begun;
}

static bool call_is(int i, const char *op, enum call_status status, int http)
{
	return i < got.n && strcmp(got.done[i].op, op) == 0 && got.done[i].status == status &&
	       got.done[i].http_status == http;
}

static bool kind_is(int i, const char *kind)
{
	return i < got.n && strcmp(got.done[i].error_kind, kind) == 0;
}

/* ---- conversations ---- */

struct line {
	int dir;
	const char *p;
	size_t n; /* 0: a C string */
};

static size_t line_n(const struct line *l)
{
	return l->n ? l->n : strlen(l->p);
}

static size_t lines_n(const struct line *l)
{
	size_t n = 0;

	for (; l->p; l++)
		n += line_n(l);
	return n;
}

/* Feeds all lines, each whole but for cuts in front of the bytes `cut` and `cut2` of the
 * conversation. */
static void feed_lines(const struct line *l, size_t cut, size_t cut2)
{
	for (size_t at = 0; l->p; at += line_n(l), l++) {
		size_t from = 0, n = line_n(l);

		for (size_t i = 1; i < n; i++) {
			if (at + i != cut && at + i != cut2)
				continue;
			feed_n(l->dir, l->p + from, i - from);
			from = i;
		}
		feed_n(l->dir, l->p + from, n - from);
	}
}

static void feed_bytes(const struct line *l)
{
	for (; l->p; l++)
		for (size_t i = 0; i < line_n(l); i++)
			feed_n(l->dir, l->p + i, 1);
}

/* Everything a cut may not change. */
static void digest(char *to, size_t room)
{
	size_t n = 0;

	to[0] = '\0';
	for (int i = 0; i < got.n && n < room; i++) {
		const struct call *c = &got.done[i];

		n += (size_t)snprintf(to + n, room - n,
		                      "%s|%s|%s|%s|%d|%ju|%ju|%d|%g|%d|%d|%d|%d\n", c->op, c->host,
		                      call_status_name(c->status), c->error_kind, c->http_status,
		                      (uintmax_t)c->bytes_out, (uintmax_t)c->bytes_in,
		                      c->retry_count, c->retry_after_s, c->partial, c->write,
		                      c->sent_ns != 0, c->first_byte_ns != 0 && c->end_ns != 0);
	}
	if (n < room)
		snprintf(to + n, room - n, "%d %s %d %d\n%s\n%s\n", heard.status, heard.type,
		         heard.ends, heard.whole, heard.request, heard.reply);
}

static bool same_at_every_split(const struct line *l, enum done_why why)
{
	static char whole[16384], cut[16384];
	size_t n = lines_n(l);
	bool same;

	begin();
	feed_lines(l, 0, 0);
	end(why);
	same = sound() && got.n > 0;
	digest(whole, sizeof(whole));
	for (size_t at = 1; at <= n; at++) {
		begin();
		if (at < n)
			feed_lines(l, at, at + 3);
		else
			feed_bytes(l);
		end(why);
		digest(cut, sizeof(cut));
		if (!sound() || strcmp(whole, cut) != 0) {
			printf("# cut at %zu:\n# %s\n# %s\n", at, whole, cut);
			same = false;
		}
	}
	return same;
}

#define SSE_HEAD \
	"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
#define JSON_POST(path, more, length)                                                        \
	"POST " path " HTTP/1.1\r\nHost: api.example.com\r\n" more "Content-Length: " length \
	"\r\n\r\n"

/* Every request has a status of its own, so that a wrong pairing shows. */
static const struct line keep_alive[] = {
	{ DIR_OUT, "GET /a?key=secret HTTP/1.1\r\nHost: store:6333\r\n\r\n" },
	{ DIR_IN, "HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello" },
	{ DIR_OUT,
	  JSON_POST("/v1/messages", "x-stainless-retry-count: 2\r\n", "15") "{\"stream\":true}" },
	{ DIR_IN, SSE_HEAD "7;x=y\r\ndata: 1\r\n" },
	{ DIR_IN, "6\r\n\n\nabcd\r\n0\r\nX-Trailer: 1\r\nRetry-After: 9\r\n\r\n" },
	{ DIR_OUT, "PUT /c HTTP/1.1\r\nhost: store:6333\r\nTransfer-Encoding: chunked\r\n\r\n"
	           "3\r\nabc\r\n" },
	{ DIR_OUT, "a\r\n0123456789\r\n0\r\n\r\n" },
	{ DIR_IN, "HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\n\r\nno\n" },
	{ DIR_OUT, "HEAD /d HTTP/1.1\r\nHost: h\r\n\r\n" },
	{ DIR_IN, "HTTP/1.1 206 x\r\nContent-Length: 1000\r\n\r\n" },
	{ DIR_OUT, "DELETE /e HTTP/1.1\r\nHost: h\r\n\r\n" },
	{ DIR_IN, "HTTP/1.1 204 No Content\r\n\r\n" },
	{ DIR_OUT, "GET /f HTTP/1.1\r\nHost: h\r\nIf-None-Match: x\r\n\r\n" },
	{ DIR_IN, "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n" },
	{ 0 },
};

static const struct {
	const char *op;
	int http;
} keep_alive_truth[] = {
	{ "GET /a", 201 },  { "POST /v1/messages", 200 }, { "PUT /c", 404 },
	{ "HEAD /d", 206 }, { "DELETE /e", 204 },         { "GET /f", 304 },
};

static void conversations(void)
{
	TEST("six exchanges on one connection give six calls, at every split");
	CHECK(same_at_every_split(keep_alive, DONE_CLOSED));
	begin();
	feed_lines(keep_alive, 0, 0);
	end(DONE_CLOSED);
	CHECK(got.n == 6 && got.sent == 6);
	for (int i = 0; i < 6; i++)
		CHECK(call_is(i, keep_alive_truth[i].op,
		              keep_alive_truth[i].http == 404 ? CALL_ERROR : CALL_OK,
		              keep_alive_truth[i].http));
	TEST("the op has no query, the host is the header's, and only reads are no writes");
	CHECK(strcmp(got.done[0].host, "store:6333") == 0 && !got.done[0].write);
	CHECK(got.done[0].op_known && got.done[1].write && got.done[2].write && !got.done[3].write);
	TEST("all bytes of head and body are counted, for the call they belong to");
	CHECK(got.done[0].bytes_out == line_n(&keep_alive[0]));
	CHECK(got.done[0].bytes_in == line_n(&keep_alive[1]));
	CHECK(got.done[1].bytes_in == line_n(&keep_alive[3]) + line_n(&keep_alive[4]));
	TEST("the reader gets bodies without chunk frames, and the retry header is read");
	CHECK(strcmp(heard.request, "{\"stream\":true}") == 0);
	CHECK(strcmp(heard.reply, "data: 1\n\nabcd") == 0);
	CHECK(strcmp(heard.type, "text/event-stream") == 0 && heard.status == 200);
	CHECK(got.done[1].retry_count == 2 && got.done[0].retry_count == -1);
	TEST("a trailer is no header");
	CHECK(got.done[1].retry_after_s < 0);
	TEST("an error names its status");
	CHECK(kind_is(2, "http_404") && kind_is(0, ""));
}

static void times(void)
{
	TEST("a call is timed by the first and last byte each way, 1xx left out");
	begin();
	/* from 1006 to 1010, and so on */
	out("POST /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
	in("HTTP/1.1 100 Continue\r\n\r\n");
	in("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
	out("ab");
	out("cd");         /* 1050 */
	in("HTTP/1.1 20"); /* 1060 */
	in("0 OK\r\nContent-Length: 2\r\n\r\nx");
	in("y"); /* 1080 */
	end(DONE_CLOSED);
	CHECK(call_is(0, "POST /x", CALL_OK, 200) && got.n == 1);
	CHECK(got.done[0].start_ns == 1006 && got.done[0].request_ns == 1006);
	CHECK(got.done[0].sent_ns == 1050 && got.done[0].first_byte_ns == 1060);
	CHECK(got.done[0].last_byte_ns == 1080 && got.done[0].end_ns == 1080);
	CHECK(got.done[0].pid == 7 && got.done[0].tid == 8 && got.done[0].task == 9);
}

static void replies(void)
{
	static const struct line early[] = {
		{ DIR_OUT, JSON_POST("/v1/messages", "", "10") "{\"a\"" },
		{ DIR_IN, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno" },
		{ DIR_OUT, ":1234}" },
		{ DIR_OUT, "GET /next HTTP/1.1\r\n\r\n" },
		{ DIR_IN, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" },
		{ 0 },
	};
	static const struct line pipelined[] = {
		{ DIR_OUT, "GET /1 HTTP/1.1\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 2\r\n\r\nxy"
		           "HEAD /3 HTTP/1.1\r\n\r\n" },
		{ DIR_IN, "HTTP/1.1 201 a\r\nContent-Length: 1\r\n\r\naHTTP/1.1 202 b\r\n"
		          "Transfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n"
		          "HTTP/1.1 203 c\r\nContent-Length: 9\r\n\r\n" },
		{ 0 },
	};
	static const struct line until_close[] = {
		{ DIR_OUT, JSON_POST("/v1/messages", "", "2") "{}" },
		{ DIR_IN, "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"x\"" },
		{ DIR_IN, ":1}" },
		{ 0 },
	};

	TEST("a final reply before the request is complete ends the call, and the rest of the "
	     "request is no new one");
	CHECK(same_at_every_split(early, DONE_CLOSED));
	CHECK(got.n == 2 && call_is(0, "POST /v1/messages", CALL_ERROR, 413));
	CHECK(got.done[0].sent_ns == 0 && call_is(1, "GET /next", CALL_OK, 200));

	TEST("pipelined requests are answered in order");
	CHECK(same_at_every_split(pipelined, DONE_CLOSED));
	CHECK(got.n == 3 && call_is(0, "GET /1", CALL_OK, 201) &&
	      call_is(1, "POST /2", CALL_OK, 202));
	CHECK(call_is(2, "HEAD /3", CALL_OK, 203));

	TEST("a reply without a length ends with the connection");
	CHECK(same_at_every_split(until_close, DONE_PEER_CLOSED));
	CHECK(call_is(0, "POST /v1/messages", CALL_OK, 200) && heard.whole == 1);
	CHECK(strcmp(heard.reply, "{\"x\":1}") == 0);

	TEST("chunks outrank a length");
	begin();
	out("GET /x HTTP/1.1\r\n\r\n");
	in("HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n"
	   "1\r\na\r\n0\r\n\r\n");
	CHECK(got.n == 1 && call_is(0, "GET /x", CALL_OK, 200));
	end(DONE_CLOSED);

	TEST("a reply nobody asked for is ignored, and the next exchange is whole");
	begin();
	in("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
	out("GET /x HTTP/1.1\r\n\r\n");
	in("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	end(DONE_CLOSED);
	CHECK(got.n == 1 && call_is(0, "GET /x", CALL_OK, 200));
}

static void switching(void)
{
	static const struct line refused[] = {
		{ DIR_OUT,
		  "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n" },
		{ DIR_IN, "HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno" },
		{ 0 },
	};

	TEST("101 ends the call and what follows is not read");
	begin();
	out("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
	in("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
	   "HTTP/1.1 200 OK\r\n\r\n");
	out("GET /no HTTP/1.1\r\n\r\n");
	end(DONE_CLOSED);
	CHECK(got.n == 1 && call_is(0, "GET /ws", CALL_OK, 101));

	TEST("101 to a WebSocket goes on with its frames, those in the same segment too");
	begin();
	out("GET /v1/realtime?model=m HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n");
	in("HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\r\n\x81\x02hi");
	feed_n(DIR_OUT, "\x81\x82\1\2\3\4hk", 8);
	in("\x81\x02yo");
	feed_n(DIR_OUT, "\x81\x82\1\2\3\4hk", 8);
	end(DONE_RESET);
	CHECK(got.n == 3 && call_is(0, "GET /v1/realtime", CALL_OK, 101));
	CHECK(call_is(1, "WEBSOCKET /v1/realtime", CALL_OK, 0) && got.done[1].class == CALL_LLM &&
	      strcmp(got.done[1].host, "h") == 0);
	CHECK(call_is(2, "WEBSOCKET /v1/realtime", CALL_ABORTED, 0));

	TEST("an upgrade the server declines leaves the connection HTTP");
	begin();
	out("GET /h2c HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n");
	in("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	out("GET /b HTTP/1.1\r\n\r\n");
	in("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
	end(DONE_CLOSED);
	CHECK(got.n == 2 && call_is(1, "GET /b", CALL_ERROR, 404));

	TEST("CONNECT ends with the tunnel's 200, even when the client does not wait for it");
	begin();
	out("CONNECT api.example.com:443 HTTP/1.1\r\n\r\n\x16\x03\x01");
	in("HTTP/1.1 200 Connection established\r\n\r\n\x16\x03\x03");
	out("\x16\x03\x01GET / HTTP/1.1\r\n\r\n");
	end(DONE_CLOSED);
	CHECK(got.n == 1 && call_is(0, "CONNECT", CALL_OK, 200));
	CHECK(strcmp(got.done[0].host, "api.example.com:443") == 0);

	TEST("a refused CONNECT leaves the connection HTTP");
	CHECK(same_at_every_split(refused, DONE_CLOSED));
	begin();
	feed_lines(refused, 0, 0);
	out("GET /b HTTP/1.1\r\n\r\n");
	in("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	end(DONE_CLOSED);
	CHECK(got.n == 2 && call_is(0, "CONNECT", CALL_ERROR, 407) &&
	      call_is(1, "GET /b", CALL_OK, 200));
}

static void targets(void)
{
	static const struct {
		const char *head, *op, *host;
	} rows[] = {
		{ "GET http://user:pw@h.example:81/p?q HTTP/1.1\r\nHost: other\r\n\r\n", "GET /p",
		  "h.example:81" },
		{ "GET https://h.example?q=/x HTTP/1.1\r\n\r\n", "GET /", "h.example" },
		{ "OPTIONS * HTTP/1.1\r\nHost:  h \r\n\r\n", "OPTIONS *", "h" },
		{ "GET /a#f HTTP/1.1\r\nHost: one\r\nHost: two\r\n\r\n", "GET /a", "one" },
		{ "GET /0123456789012345678901234567890123456789012345678901234567890123456789 "
		  "HTTP/1.0\r\n\r\n",
		  "GET /0123456789012345678901234567890123456789012345678901234567", "" },
		{ "\r\nM-SEARCH /x HTTP/1.1\r\nHOST: h\r\n\r\n", "M-SEARCH /x", "h" },
	};

	TEST("a target is shown without query, user and password, cut where there is no room");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		begin();
		out(rows[i].head);
		end(DONE_DETACHED);
		CHECK(call_is(0, rows[i].op, CALL_UNKNOWN, 0));
		CHECK(strcmp(got.done[0].host, rows[i].host) == 0);
	}
}

static void statuses(void)
{
	static const struct {
		int http;
		const char *headers;
		enum call_status status;
		const char *kind;
		double after;
	} rows[] = {
		{ 200, "Retry-After: 1\r\n", CALL_OK, "", 1 },
		{ 302, "", CALL_OK, "", -1 },
		{ 400, "", CALL_ERROR, "http_400", -1 },
		{ 408, "", CALL_ERROR, "http_408", -1 },
		{ 429, "retry-after: 20\r\n", CALL_RATE_LIMITED, "http_429", 20 },
		{ 429, "Retry-After: 20\r\nRetry-After-Ms: 1500\r\n", CALL_RATE_LIMITED, "http_429",
		  1.5 },
		{ 429, "Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n", CALL_RATE_LIMITED,
		  "http_429", -1 },
		{ 429, "Retry-After: -5\r\n", CALL_RATE_LIMITED, "http_429", -1 },
		{ 503, "Retry-After: 0.25\r\n", CALL_ERROR, "http_503", 0.25 },
		{ 529, "", CALL_ERROR, "http_529", -1 },
	};

	TEST("the status line tells the outcome, retry-after when to come again");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char head[256];

		begin();
		out("GET /x HTTP/1.1\r\n\r\n");
		snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\n%sContent-Length: 0\r\n\r\n",
		         rows[i].http, rows[i].headers);
		in(head);
		end(DONE_CLOSED);
		CHECK(call_is(0, "GET /x", rows[i].status, rows[i].http));
		CHECK(kind_is(0, rows[i].kind) && got.done[0].retry_after_s == rows[i].after);
	}
	TEST("the reader's word for an error is better than the status");
	begin();
	out(JSON_POST("/v1/messages", "", "2") "{}");
	in("HTTP/1.1 529 X\r\nContent-Length: 10\r\n\r\noverloaded");
	end(DONE_CLOSED);
	CHECK(call_is(0, "POST /v1/messages", CALL_ERROR, 529));
	CHECK(kind_is(0, "overloaded_error"));
}

static void readers(void)
{
	TEST("a body that is no LLM call's after all drops the reader");
	begin();
	heard.refuse = true;
	out(JSON_POST("/v1/messages", "", "2") "{}");
	in("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
	end(DONE_CLOSED);
	CHECK(sound() && got.n == 1 && !got.llm[0] && heard.ends == 0 && heard.nreply == 0);

	TEST("a body nobody reads is not decoded");
	begin();
	out("GET /x HTTP/1.1\r\n\r\n");
	in("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nbad");
	end(DONE_CLOSED);
	CHECK(call_is(0, "GET /x", CALL_OK, 200) && got.done[0].partial == PARTIAL_NONE);

	TEST("without memory for a call the connection is still followed");
	begin();
	got.no_memory = true;
	out(JSON_POST("/v1/messages", "", "2") "{}");
	in("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
	got.no_memory = false;
	out("GET /x HTTP/1.1\r\n\r\n");
	in("HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n");
	end(DONE_CLOSED);
	CHECK(sound() && got.n == 1 && call_is(0, "GET /x", CALL_OK, 201));
}

static size_t gzip(char *to, size_t room, const char *p)
{
	z_stream z = { .next_in = (Bytef *)p,
		       .avail_in = (uInt)strlen(p),
		       .next_out = (Bytef *)to,
		       .avail_out = (uInt)room };

	deflateInit2(&z, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
	deflate(&z, Z_FINISH);
	deflateEnd(&z);
	return room - z.avail_out;
}

static void encodings(void)
{
	char packed[128], request[512], reply[512];
	size_t n = gzip(packed, sizeof(packed), "data: one two\n\n"), nq, nr;
	struct line gz[] = { { DIR_OUT, request }, { DIR_IN, reply }, { 0 } };

	nq = (size_t)snprintf(request, sizeof(request),
	                      "POST /v1/messages HTTP/1.1\r\nContent-Encoding: gzip\r\n"
	                      "Content-Length: %zu\r\n\r\n",
	                      n);
	memcpy(request + nq, packed, n);
	nr = (size_t)snprintf(reply, sizeof(reply),
	                      "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
	                      "Transfer-Encoding: chunked\r\n\r\n5\r\n");
	memcpy(reply + nr, packed, 5);
	nr += 5;
	nr += (size_t)snprintf(reply + nr, sizeof(reply) - nr, "\r\n%zx\r\n", n - 5);
	memcpy(reply + nr, packed + 5, n - 5);
	nr += n - 5;
	nr += (size_t)snprintf(reply + nr, sizeof(reply) - nr, "\r\n0\r\n\r\n");
	gz[0].n = nq + n;
	gz[1].n = nr;
	TEST("gzip bodies reach the reader decoded, both ways, across chunks, at every split");
	CHECK(same_at_every_split(gz, DONE_CLOSED));
	CHECK(strcmp(heard.request, "data: one two\n\n") == 0);
	CHECK(strcmp(heard.reply, "data: one two\n\n") == 0 && got.done[0].partial == PARTIAL_NONE);

	TEST("a coding we cannot undo is a gap to the reader, while the call goes on");
	begin();
	out(JSON_POST("/v1/messages", "", "2") "{}");
	in("HTTP/1.1 200 OK\r\nContent-Encoding: compress\r\nContent-Length: 4\r\n\r\nab");
	in("cd");
	end(DONE_CLOSED);
	CHECK(call_is(0, "POST /v1/messages", CALL_OK, 200) && strcmp(heard.reply, "~") == 0);
	CHECK(got.done[0].partial == PARTIAL_NO_PLAINTEXT && got.done[0].last_byte_ns != 0);

	TEST("codings given by several headers add up");
	begin();
	out(JSON_POST("/v1/messages", "", "2") "{}");
	in("HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Encoding: compress\r\n"
	   "Content-Length: 2\r\n\r\nab");
	end(DONE_CLOSED);
	CHECK(strcmp(heard.reply, "~") == 0);

	TEST("an encoded body cannot be read past a gap, a plain one can");
	begin();
	feed_n(DIR_OUT, request, nq + n);
	feed_n(DIR_IN, reply, nr - (n - 5) - 7);
	gap(DIR_IN, 4);
	feed_n(DIR_IN, reply + nr - (n - 5) - 7 + 4, n - 5 + 7 - 4);
	end(DONE_CLOSED);
	CHECK(call_is(0, "POST /v1/messages", CALL_OK, 200) && strcmp(heard.reply, "~") == 0);
	CHECK(got.done[0].partial == PARTIAL_EVENTS_LOST);
}

static void scrubbed(void)
{
	TEST("in a scrubbed recording each encoded slice takes the next block");
	begin();
	out(JSON_POST("/v1/messages", "", "2") "{}");
	proto_http1.decoded(state, DIR_IN, bytes_of("first "));
	proto_http1.decoded(state, DIR_IN, bytes_of(""));
	in("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
	   "3\r\n***\r\n2\r\n**\r\n");
	proto_http1.decoded(state, DIR_IN, bytes_of("second"));
	in("4\r\n****\r\n0\r\n\r\n");
	CHECK(strcmp(heard.reply, "first second") == 0);
	CHECK(call_is(0, "POST /v1/messages", CALL_OK, 200) && got.done[0].partial == PARTIAL_NONE);

	TEST("a body that is not encoded, or that nobody reads, takes its own bytes or none");
	heard.nreply = 0;
	out(JSON_POST("/v1/messages", "", "2") "{}");
	in("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain");
	CHECK(strcmp(heard.reply, "plain") == 0);
	heard.nreply = 0;
	out("GET /x HTTP/1.1\r\n\r\n");
	proto_http1.decoded(state, DIR_IN, bytes_of("not read"));
	in("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n**");
	out(JSON_POST("/v1/messages", "", "2") "{}");
	proto_http1.decoded(state, DIR_IN, bytes_of("third"));
	in("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n****");
	CHECK(strcmp(heard.reply, "third") == 0);

	TEST("without a block the filler is not taken for a body");
	heard.nreply = 0;
	out(JSON_POST("/v1/messages", "", "2") "{}");
	in("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n****");
	CHECK(strcmp(heard.reply, "~") == 0);
	proto_http1.decoded(state, DIR_OUT, bytes_of("left over"));
	end(DONE_CLOSED);
	CHECK(sound());

	TEST("more blocks than we hold: from then on a slice takes none rather than a wrong one");
	begin();
	for (int i = 0; i <= 65536; i++)
		proto_http1.decoded(state, DIR_IN, bytes_of("x"));
	out(JSON_POST("/v1/messages", "", "2") "{}");
	in("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n****");
	end(DONE_CLOSED);
	CHECK(sound() && strcmp(heard.reply, "~") == 0);
}

static void endings(void)
{
	static const struct {
		enum done_why why;
		enum call_status status;
		const char *kind;
	} rows[] = {
		{ DONE_PEER_CLOSED, CALL_ABORTED, "connection_closed" },
		{ DONE_CLOSED, CALL_ABORTED, "client_closed" },
		{ DONE_TIMED_OUT, CALL_TIMEOUT, "timeout" },
		{ DONE_RESET, CALL_ABORTED, "connection_reset" },
		{ DONE_DETACHED, CALL_UNKNOWN, "" },
		{ DONE_SWITCHED, CALL_UNKNOWN, "" },
	};

	TEST("a call without its whole reply ends as its connection does");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		for (int begun = 0; begun < 2; begun++) {
			begin();
			out(JSON_POST("/v1/messages", "", "2") "{}");
			if (begun)
				in(SSE_HEAD "5\r\nab");
			end(rows[i].why);
			CHECK(sound() && heard.whole == 0 && heard.ends == 1);
			CHECK(call_is(0, "POST /v1/messages", rows[i].status, begun ? 200 : 0));
			CHECK(kind_is(0, rows[i].kind) && got.done[0].end_ns == now);
		}
	}
	TEST("a refusal stays one when the connection ends before its body does");
	begin();
	out("GET /x HTTP/1.1\r\n\r\n");
	in("HTTP/1.1 429 X\r\nContent-Length: 9\r\n\r\nab");
	end(DONE_CLOSED);
	CHECK(call_is(0, "GET /x", CALL_RATE_LIMITED, 429) && kind_is(0, "http_429"));

	TEST("a client that hangs up once the stream said it is complete has its reply");
	begin();
	out(JSON_POST("/v1/messages", "", "2") "{}");
	in(SSE_HEAD "e\r\ndata: [DONE]\n\n\r\n");
	end(DONE_CLOSED);
	CHECK(call_is(0, "POST /v1/messages", CALL_OK, 200) && kind_is(0, ""));
}

static void late(void)
{
	TEST("attached late, a connection is read from the first feed that begins a request");
	begin_at(false);
	in("body of a reply we did not see HTTP/1.1 200 OK\r\n\r\n");
	in("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	out("tail of a request GET /no HTTP/1.1\r\n\r\n");
	out("GET /prose is no request\r\n");
	CHECK(got.opened == 0);
	out("GET /x HTTP/1.1\r\n\r\n");
	in("rest of the old reply");
	in("HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n");
	end(DONE_CLOSED);
	CHECK(got.n == 1 && call_is(0, "GET /x", CALL_OK, 201));
	CHECK(got.done[0].bytes_in == strlen("HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n"));
}

/* ---- gaps ---- */

static void gaps_inside(void)
{
	TEST("a gap inside a body of known length leaves the call whole");
	begin();
	out("PUT /x HTTP/1.1\r\nContent-Length: 100\r\n\r\nab");
	gap(DIR_OUT, 98);
	in("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
	gap(DIR_IN, 999);
	in("z");
	CHECK(call_is(0, "PUT /x", CALL_OK, 200) && got.sent == 1);
	CHECK(got.done[0].partial == PARTIAL_NONE && got.done[0].bytes_in == 1000 + 41);
	TEST("the next exchange on that connection is read");
	out("GET /y HTTP/1.1\r\n\r\n");
	in("HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n");
	CHECK(call_is(1, "GET /y", CALL_OK, 201));
	end(DONE_CLOSED);

	TEST("in an LLM body it makes the call partial, and the reader is told where");
	begin();
	out(JSON_POST("/v1/messages", "", "8") "{\"");
	gap(DIR_OUT, 4);
	out("\"}");
	in(SSE_HEAD "a\r\nab");
	gap(DIR_IN, 6);
	in("yz\r\n3\r\nend\r\n0\r\n\r\n");
	end(DONE_CLOSED);
	CHECK(call_is(0, "POST /v1/messages", CALL_OK, 200));
	CHECK(got.done[0].partial == PARTIAL_EVENTS_LOST);
	CHECK(strcmp(heard.request, "{\"~\"}") == 0 && strcmp(heard.reply, "ab~yzend") == 0);

	TEST("any gap in a body that ends with the connection is inside it");
	begin();
	out(JSON_POST("/v1/messages", "", "2") "{}");
	in("HTTP/1.1 200 OK\r\n\r\nab");
	gap(DIR_IN, GAP_UNKNOWN);
	in("cd");
	end(DONE_PEER_CLOSED);
	CHECK(call_is(0, "POST /v1/messages", CALL_OK, 200) && strcmp(heard.reply, "ab~cd") == 0);

	TEST("a gap over the end of a body of known length ends it, and the next request is found");
	begin();
	out("GET /x HTTP/1.1\r\n\r\n");
	in("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab");
	gap(DIR_IN, 500);
	CHECK(call_is(0, "GET /x", CALL_OK, 200));
	in("unknown bytes");
	out("GET /y HTTP/1.1\r\n\r\n");
	in("HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n");
	end(DONE_CLOSED);
	CHECK(got.n == 2 && call_is(1, "GET /y", CALL_OK, 201));

	TEST("a gap of gigabytes costs no more than one system call could move");
	begin();
	out("GET /x HTTP/1.1\r\n\r\n");
	in("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551614\r\n\r\n");
	gap(DIR_IN, 1ull << 31);
	gap(DIR_IN, 1ull << 62);
	end(DONE_CLOSED);
	CHECK(call_is(0, "GET /x", CALL_UNKNOWN, 200));
}

static void gaps_outside(void)
{
	TEST("a gap among replies ends every open call as unknown");
	begin();
	out("GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n");
	gap(DIR_IN, 7);
	in("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	CHECK(got.n == 2 && call_is(0, "GET /1", CALL_UNKNOWN, 0) &&
	      call_is(1, "GET /2", CALL_UNKNOWN, 0));
	CHECK(got.done[1].partial == PARTIAL_EVENTS_LOST);
	end(DONE_CLOSED);

	TEST("requests lost do not unsettle the call that was sent before them");
	begin();
	out("GET /1 HTTP/1.1\r\n\r\n");
	gap(DIR_OUT, GAP_UNKNOWN);
	out("GET /2 HTTP/1.1\r\n\r\n"); /* its place in the order is not known: left out */
	in("HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n");
	in("HTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n");
	out("GET /3 HTTP/1.1\r\n\r\n");
	in("HTTP/1.1 203 OK\r\nContent-Length: 0\r\n\r\n");
	end(DONE_CLOSED);
	CHECK(got.n == 2 && call_is(0, "GET /1", CALL_OK, 201) &&
	      call_is(1, "GET /3", CALL_OK, 203));

	TEST("a request whose end was lost still has its reply, but was never seen sent");
	begin();
	out("POST /v1/messages HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{\"\r\n");
	gap(DIR_OUT, GAP_UNKNOWN);
	out("lost chunk");
	in("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	out("GET /3 HTTP/1.1\r\n\r\n");
	in("HTTP/1.1 203 OK\r\nContent-Length: 0\r\n\r\n");
	end(DONE_CLOSED);
	CHECK(sound() && got.n == 2 && call_is(0, "POST /v1/messages", CALL_OK, 200));
	CHECK(got.done[0].sent_ns == 0 && got.done[0].partial == PARTIAL_EVENTS_LOST);
	CHECK(strcmp(heard.request, "{\"~") == 0 && call_is(1, "GET /3", CALL_OK, 203));
}

/* Feeds the conversation without the n bytes from `at` on of one line, saying so or saying only
 * that something is missing; false if the line has no such bytes. */
static void feed_holed(const struct line *l, size_t at, size_t lost, bool known)
{
	for (size_t pos = 0; l->p; pos += line_n(l), l++) {
		size_t n = line_n(l), off, m;

		if (at < pos || at >= pos + n) {
			feed_n(l->dir, l->p, n);
			continue;
		}
		off = at - pos;
		m = lost < n - off ? lost : n - off;
		if (off)
			feed_n(l->dir, l->p, off);
		gap(l->dir, known ? m : GAP_UNKNOWN);
		if (n - off - m)
			feed_n(l->dir, l->p + off + m, n - off - m);
	}
}

/* A call may be unknown or missing, but no call may have what is another's. */
static bool nothing_invented(void)
{
	for (int i = 0; i < got.n; i++) {
		const struct call *c = &got.done[i];
		bool mine = c->http_status == 0 || call_is(i, "GET /again", CALL_OK, 202);

		for (size_t k = 0; k < sizeof(keep_alive_truth) / sizeof(*keep_alive_truth); k++)
			mine |= strcmp(c->op, keep_alive_truth[k].op) == 0 &&
			        c->http_status == keep_alive_truth[k].http;
		if (!mine)
			return false;
	}
	return true;
}

static void gaps_everywhere(void)
{
	size_t n = lines_n(keep_alive);
	bool all_sound = true, honest = true, back = true;

	TEST("with a gap at every byte nothing is invented, and the next exchange is whole again");
	for (size_t at = 0; at < n; at++) {
		for (int how = 0; how < 8; how++) {
			static const size_t lost[] = { 1, 2, 9, 1000 };

			begin();
			feed_holed(keep_alive, at, lost[how / 2], how % 2);
			out("GET /again HTTP/1.1\r\n\r\n");
			in("HTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n");
			all_sound &= got.opened == got.n;
			end(DONE_CLOSED);
			all_sound &= sound();
			honest &= nothing_invented();
			if (!got.n || !call_is(got.n - 1, "GET /again", CALL_OK, 202)) {
				printf("# gap at %zu, kind %d\n", at, how);
				back = false;
			}
		}
	}
	CHECK(all_sound);
	CHECK(honest);
	CHECK(back);
}

/* ---- rubbish and limits ---- */

static void limits(void)
{
	char *big = malloc(200000);
	size_t n;

	TEST("a head without end is given up, and the next request is found");
	begin();
	n = (size_t)sprintf(big, "GET /x HTTP/1.1\r\nX: ");
	memset(big + n, 'a', 100000);
	feed_n(DIR_OUT, big, n + 100000);
	CHECK(got.n == 1 && call_is(0, "", CALL_UNKNOWN, 0) && kind_is(0, "malformed"));
	out("GET /y HTTP/1.1\r\n\r\n");
	in("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	CHECK(call_is(1, "GET /y", CALL_OK, 200));
	end(DONE_CLOSED);

	TEST("header names and values of any length do no harm");
	begin();
	n = (size_t)sprintf(big, "GET /x HTTP/1.1\r\n");
	memset(big + n, 'h', 5000);
	n += 5000;
	n += (size_t)sprintf(big + n, ": v\r\nHost: ");
	memset(big + n, 'a', 5000);
	n += 5000;
	n += (size_t)sprintf(big + n, "\r\nX-Stainless-Retry-Count: 99999999999\r\n\r\n");
	feed_n(DIR_OUT, big, n);
	end(DONE_DETACHED);
	CHECK(call_is(0, "GET /x", CALL_UNKNOWN, 0) && got.done[0].retry_count == -1);
	CHECK(strlen(got.done[0].host) == sizeof(got.done[0].host) - 1);

	TEST("a target of any length gives an op of ours");
	begin();
	n = (size_t)sprintf(big, "POST /");
	memset(big + n, 'a', 50000);
	sprintf(big + n + 50000, "/messages HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
	out(big);
	end(DONE_CLOSED);
	CHECK(got.n == 1 && strlen(got.done[0].op) == CALL_OP_MAX - 1 && heard.begun == 0);

	TEST("more requests at once than we keep: those kept get their replies, the rest is not "
	     "guessed");
	begin();
	for (int i = 0; i < 70; i++)
		out("GET /p HTTP/1.1\r\n\r\n");
	CHECK(got.opened == 64);
	for (int i = 0; i < 70; i++)
		in("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	out("GET /q HTTP/1.1\r\n\r\n");
	CHECK(got.n == 64 && got.opened == 64);
	end(DONE_CLOSED);

	TEST("rubbish opens no call, and rubbish for a reply ends it as unknown");
	begin();
	out("\x16\x03\x01\x02");
	out("POSTGRES is no method");
	CHECK(got.opened == 0);
	out("GET /x HTTP/1.1\r\n\r\n");
	in("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n");
	CHECK(call_is(0, "GET /x", CALL_UNKNOWN, 200) && kind_is(0, "malformed"));
	end(DONE_CLOSED);
	CHECK(sound());
	free(big);
}

static enum proto_match detect(const char *o, const char *i)
{
	struct proto_hint hint = { 0 };
	char *go = guarded(o, strlen(o)), *gi = guarded(i, strlen(i));
	enum proto_match m = proto_http1.detect((struct bytes){ go, strlen(o) },
	                                        (struct bytes){ gi, strlen(i) }, &hint);

	guarded_free(go, strlen(o));
	guarded_free(gi, strlen(i));
	return m;
}

static void detection(void)
{
	static const struct {
		const char *out, *in;
		enum proto_match m;
	} rows[] = {
		{ "", "", PROTO_MAYBE },
		{ "P", "", PROTO_MAYBE },
		{ "PO", "", PROTO_MAYBE },
		{ "POST", "", PROTO_MAYBE },
		{ "POST ", "", PROTO_MAYBE },
		{ "POST /", "", PROTO_YES },
		{ "POST /v1/x HTTP/1.1\r\n", "", PROTO_YES },
		{ "OPTIONS * HTTP/1.1\r\n", "", PROTO_YES },
		{ "GET http", "", PROTO_MAYBE },
		{ "GET http:/", "", PROTO_MAYBE },
		{ "GET HTTP://h/", "", PROTO_YES },
		{ "GET https://h/", "", PROTO_YES },
		{ "CONNECT h:443", "", PROTO_MAYBE },
		{ "CONNECT h:443 HTTP/1.1\r\n", "", PROTO_YES },
		{ "CONNECT {\"verbose\":false}\r\n", "", PROTO_NO }, /* NATS */
		{ "OPTIONS sip:a@b SIP/2.0\r\n", "", PROTO_NO },
		{ "OPTIONS rtsp://h RTSP/1.0\r\n", "", PROTO_NO },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", PROTO_NO },
		{ "*1\r\n$4\r\nPING\r\n", "", PROTO_NO },
		{ "GET key\r\n", "", PROTO_NO },
		{ "POSTGRES", "", PROTO_NO },
		{ "get /", "", PROTO_NO },
		{ "\x16\x03\x01", "", PROTO_NO },
		{ "", "HTTP/1.1 200 OK\r\n", PROTO_YES }, /* came late, or are the server's side */
		{ "", "GET /x HTTP/1.1\r\n", PROTO_YES },
		{ "rest of a body", "HTTP/1.1 2", PROTO_YES },
		{ "rest of a body", "HTTP/", PROTO_MAYBE },
		{ "rest of a body", "rest of another", PROTO_NO },
		{ "", "+OK\r\n", PROTO_NO },
		{ "", "HTTP/1.x 200 OK\r\n", PROTO_NO },
	};

	TEST("a request's first line is recognised, and nothing else is");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (detect(rows[i].out, rows[i].in) != rows[i].m)
			printf("# row %zu: %s\n", i, rows[i].out);
		CHECK(detect(rows[i].out, rows[i].in) == rows[i].m);
	}
}

/* "errors":true and an item's error, gzip'ed. */
static const char bulk_gz[] =
	"\037\213\010\000\000\000\000\000\002\003\045\312\061\012\200\060\020\104\321"
	"\273\114\235\306\166\257\042\042\242\123\004\061\033\066\053\104\102\356\156"
	"\304\356\175\370\015\256\172\102\246\000\232\251\025\210\333\315\200\350\274"
	"\106\314\015\061\035\254\220\366\017\037\374\311\204\240\256\254\073\263\107"
	"\115\010\060\156\145\100\140\350\275\057\375\005\132\023\121\350\132\000\000"
	"\000";

static void stores(void)
{
	char head[128];

	TEST("a call to a store has its operation's name, and fails where only the body says so");
	begin();
	out("POST http://h/_bulk?refresh=true HTTP/1.1\r\nHost: h\r\nContent-Length: "
	    "3\r\n\r\n{}\n");
	snprintf(head, sizeof(head),
	         "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
	         sizeof(bulk_gz) - 1);
	in(head);
	feed_n(DIR_IN, bulk_gz, sizeof(bulk_gz) - 1);
	end(DONE_CLOSED);
	CHECK(call_is(0, "bulk", CALL_ERROR, 200) && kind_is(0, "x_exception"));
	CHECK(strcmp(got.done[0].store, "elasticsearch") == 0 &&
	      strcmp(got.done[0].request, "POST /_bulk") == 0 && got.done[0].write);

	TEST("where the body was lost the outcome is unknown, and the call says so");
	begin();
	out("POST /_bulk HTTP/1.1\r\n\r\n");
	in("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{");
	gap(DIR_IN, 14);
	in("}");
	end(DONE_CLOSED);
	CHECK(call_is(0, "bulk", CALL_UNKNOWN, 200) && got.done[0].partial == PARTIAL_EVENTS_LOST);

	TEST("where it does not matter the call is whole");
	begin();
	out("GET /bucket/key HTTP/1.1\r\nAuthorization: AWS4-HMAC-SHA256 "
	    "Credential=a/1/r/s3/aws4_request, Signature=0\r\n\r\n");
	in("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{");
	gap(DIR_IN, 14);
	in("}");
	out("GET /indexes/a/search HTTP/1.1\r\n\r\n");
	in("HTTP/1.1 200 OK\r\nX-Elastic-Product: no\r\nContent-Length: 22\r\n\r\n"
	   "{\"processingTimeMs\":1}");
	end(DONE_CLOSED);
	CHECK(call_is(0, "GetObject", CALL_OK, 200) && got.done[0].partial == PARTIAL_NONE);
	CHECK(call_is(1, "search", CALL_OK, 200) && strcmp(got.done[1].store, "meilisearch") == 0);
}

int main(void)
{
	conversations();
	times();
	replies();
	switching();
	targets();
	statuses();
	readers();
	encodings();
	scrubbed();
	endings();
	late();
	gaps_inside();
	gaps_outside();
	gaps_everywhere();
	limits();
	detection();
	stores();
	return DONE();
}
