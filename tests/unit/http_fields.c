/* SPDX-License-Identifier: BSD-2-Clause */
/* What requests to the target say of their turn: through the HTTP parser, cut at every byte, with a hole at every byte. */
#include <zlib.h>

#include "event.h"
#include "proto/proto.h"
#include "test.h"

static struct call *done;
static bool inbound;

static struct call *sink_open(struct call_sink *s, const struct stamp *at)
{
	struct call *c = call_new();

	(void)s;
	(void)at;
	c->inbound = inbound;
	return c;
}

static bool told_when_sent; /* the fields were there when the request was complete */

static void sink_sent(struct call_sink *s, struct call *c)
{
	(void)s;
	told_when_sent = c->fields != NULL;
}

static void sink_done(struct call_sink *s, struct call *c)
{
	(void)s;
	call_free(done);
	done = c;
}

static struct call_sink sink = { sink_open, sink_sent, sink_done };
static const struct proto_hint hint = { .from_start = true };
static const struct stamp at = { 1, 2, 3, 4, 5 };

static void feed(void *state, const char *p, size_t n)
{
	char *g = guarded(p, n);

	proto_http1.feed(state, DIR_OUT, (struct bytes){ g, n }, &at);
	guarded_free(g, n);
}

/* n bytes with the hole [from, to), cut before each multiple of `piece` behind `first`; returns the fields of the call. */
static const struct turn_fields *play(const char *p, size_t n, size_t first, size_t piece,
                                      size_t from, size_t to)
{
	void *state = proto_http1.new(&sink, &hint);

	told_when_sent = false;
	for (size_t i = 0; i < n;) {
		size_t end = i < first ? first : i + piece;

		if (i == from && to > from) {
			proto_http1.gap(state, DIR_OUT, to - from, PARTIAL_TRUNCATED, &at);
			i = to;
			continue;
		}
		if (end > n)
			end = n;
		if (i < from && end > from)
			end = from;
		feed(state, p + i, end - i);
		i = end;
	}
	proto_http1.done(state, DONE_CLOSED, &at);
	proto_http1.free(state);
	return done ? done->fields : NULL;
}

static const struct turn_fields *whole(const char *p, size_t n)
{
	return play(p, n, n, n, n, n);
}

static char *post(const char *path, const char *headers, const char *body, size_t n, size_t *ret_n)
{
	static char text[65536];
	int head = snprintf(text, sizeof(text),
	                    "POST %s HTTP/1.1\r\nHost: h\r\n%sContent-Length: %zu\r\n\r\n", path,
	                    headers, n);

	memcpy(text + head, body, n);
	*ret_n = (size_t)head + n;
	return text;
}

static const struct turn_fields *body(const char *json)
{
	size_t n;
	char *p = post("/run_turn", "", json, strlen(json), &n);

	return whole(p, n);
}

static uint64_t text_hash(const char *s)
{
	return bytes_hash(bytes_hash(0, bytes_of(s)), (struct bytes){ "", 1 });
}

static bool is(const struct turn_fields *f, const char *session, int64_t index, enum llm_role role,
               const char *text)
{
	if (!f || strcmp(f->session_id, session) != 0 || f->turn_index != index || f->role != role)
		return false;
	return text ? f->message && f->text_hash == text_hash(text) : !f->message && !f->text_hash;
}

#define RUN_TURN                                                                              \
	"{\"conversation_history\":[{\"role\":\"user\",\"content\":\"one\"},"                 \
	"{\"role\":\"assistant\",\"content\":\"two\"}],\"current_message\":\"gr\\u00fc\\n\"," \
	"\"session_id\":\"test-7\",\"turn_number\":12,\"agent_type\":\"full\"}"

static void test_names(void)
{
	TEST("a turn of an agent server: session, number, and the message beside its history");
	CHECK(is(body(RUN_TURN), "test-7", 12, LLM_ROLE_USER, "gr\xc3\xbc\n"));
	CHECK(told_when_sent);
	TEST("an inner object tells where the root does not");
	CHECK(is(body("{\"config\":{\"thread_id\":\"in\",\"step\":3},\"query\":\"q\"}"), "in", 3,
	         LLM_ROLE_USER, "q"));
	CHECK(is(body("{\"config\":{\"session_id\":\"in\"},\"session\":\"out\",\"text\":\"q\"}"),
	         "out", -1, LLM_ROLE_USER, "q"));
	TEST("what lies deeper, or in a list, is none of it");
	CHECK(is(body("{\"a\":{\"b\":{\"session_id\":\"x\"}},\"c\":[{\"session_id\":\"y\"}]}"), "",
	         -1, LLM_ROLE_NONE, NULL));
	TEST("a session may be a number, a turn's number must be one");
	CHECK(is(body("{\"chat_id\":42,\"turn_id\":\"7\"}"), "42", -1, LLM_ROLE_NONE, NULL));
	CHECK(is(body("{\"session_id\":\"\",\"thread_id\":\"t\",\"turn\":1.5,\"step\":-1}"), "t",
	         -1, LLM_ROLE_NONE, NULL));
	CHECK(is(body("{\"turn\":1234567890123456789,\"step\":2}"), "", 2, LLM_ROLE_NONE, NULL));
	TEST("the first name in the list counts, wherever it stands");
	CHECK(is(body("{\"session\":\"last\",\"thread_id\":\"b\",\"session_id\":\"a\"}"), "a", -1,
	         LLM_ROLE_NONE, NULL));
	TEST("a request with other fields tells nothing, and what is no JSON object neither");
	CHECK(is(body("{\"a\":1}"), "", -1, LLM_ROLE_NONE, NULL));
	CHECK(is(body("[{\"session_id\":\"x\"}]"), "", -1, LLM_ROLE_NONE, NULL));
	CHECK(is(body("session_id=x&message=y"), "", -1, LLM_ROLE_NONE, NULL));
	CHECK(is(body(""), "", -1, LLM_ROLE_NONE, NULL));
}

static void test_messages(void)
{
	TEST("the last of the messages is the one it brings");
	CHECK(is(body("{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
	              "{\"role\":\"user\",\"content\":\"hello\"}]}"),
	         "", -1, LLM_ROLE_USER, "hello"));
	CHECK(is(body("{\"input\":{\"messages\":[{\"role\":\"human\",\"content\":\"hello\"}]},"
	              "\"thread_id\":\"t\"}"),
	         "t", -1, LLM_ROLE_USER, "hello"));
	CHECK(is(body("{\"new_message\":{\"role\":\"user\",\"parts\":[{\"text\":\"hello\"}]}}"), "",
	         -1, LLM_ROLE_USER, "hello"));
	TEST("what ends in a tool's or the assistant's brings none");
	CHECK(is(body("{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},"
	              "{\"role\":\"tool\",\"content\":\"r\"}]}"),
	         "", -1, LLM_ROLE_TOOL, NULL));
	CHECK(is(body("{\"conversation_history\":[{\"role\":\"user\",\"content\":\"q\"},"
	              "{\"role\":\"ai\",\"content\":\"r\"}]}"),
	         "", -1, LLM_ROLE_ASSISTANT, NULL));
	CHECK(is(body("{\"role\":\"assistant\",\"message\":\"noted\"}"), "", -1, LLM_ROLE_ASSISTANT,
	         NULL));
	TEST("an empty message is none, no list is better than the messages");
	CHECK(is(body("{\"message\":\"\",\"session_id\":\"a\"}"), "a", -1, LLM_ROLE_NONE, NULL));
	CHECK(is(body("{\"messages\":[{\"role\":\"user\",\"content\":\"m\"}],"
	              "\"history\":[{\"role\":\"assistant\",\"content\":\"h\"}]}"),
	         "", -1, LLM_ROLE_USER, "m"));
	CHECK(is(body("{\"text\":\"t\",\"current_message\":\"c\",\"input\":\"i\"}"), "", -1,
	         LLM_ROLE_USER, "c"));
	CHECK(is(body("{\"query\":{\"match\":\"x\"},\"text\":[\"a\"]}"), "", -1, LLM_ROLE_NONE,
	         NULL));
}

static void test_same_hash(void)
{
	static const char *const said[] = { "\"one \\\"word\\\" \\ud83d\\ude00\"",
		                            "[{\"type\":\"text\",\"text\":\"a\"},"
		                            "{\"type\":\"text\",\"text\":\"b\"}]" };
	char json[512];
	size_t n;

	TEST("a request to an LLM that carries this very text has the same hash of it");
	for (size_t i = 0; i < 2; i++) {
		uint64_t hash;
		const char *p;

		snprintf(json, sizeof(json), "{\"message\":%s}", said[i]);
		body(json);
		hash = done->fields->text_hash;
		snprintf(json, sizeof(json),
		         "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":%s}]}",
		         said[i]);
		p = post("/v1/chat/completions", "", json, strlen(json), &n);
		inbound = false;
		whole(p, n);
		inbound = true;
		CHECK(hash && done->llm && done->llm->history.n == 1 &&
		      done->llm->history.messages[0].hash == hash);
		CHECK(!done->fields);
	}
}

static void test_headers(void)
{
	static const char get[] = "GET /next?session_id=secret HTTP/1.1\r\nX-Session-ID:  s 1 \r\n"
				  "X-A-Header-With-A-Name-That-Is-Longer-Than-Any: x\r\n"
				  "x-turn-number: 5\r\n\r\n";
	static const char *const heads =
		"X-Thread-Id: t\r\nSession-Id: head\r\nX-Turn-Index: 4\r\n";
	size_t n;
	char *p;

	TEST("headers tell on any method, a query string never");
	CHECK(is(whole(get, sizeof(get) - 1), "s 1", 5, LLM_ROLE_NONE, NULL));
	for (size_t i = 1; i < sizeof(get) - 1; i++)
		if (!is(play(get, sizeof(get) - 1, i, sizeof(get), sizeof(get), 0), "s 1", 5,
		        LLM_ROLE_NONE, NULL))
			break;
		else if (i == sizeof(get) - 2)
			CHECK(true);
	CHECK(is(play(get, sizeof(get) - 1, 1, 1, sizeof(get), 0), "s 1", 5, LLM_ROLE_NONE, NULL));
	TEST("the body is the application's own word and counts more");
	p = post("/", heads, RUN_TURN, strlen(RUN_TURN), &n);
	CHECK(is(whole(p, n), "test-7", 12, LLM_ROLE_USER, "gr\xc3\xbc\n"));
	p = post("/", heads, "{}", 2, &n);
	CHECK(is(whole(p, n), "t", 4, LLM_ROLE_NONE, NULL));
}

static void test_long_sessions(void)
{
	char json[256], first[64];

	TEST("a session's name that is too long is cut, others with the same beginning stay "
	     "others");
	snprintf(json, sizeof(json), "{\"session_id\":\"%0100d\"}", 1);
	strcpy(first, body(json)->session_id);
	snprintf(json, sizeof(json), "{\"session_id\":\"%0100d\"}", 2);
	CHECK(strlen(first) == 63 && strcmp(first, body(json)->session_id) != 0);
	CHECK(strncmp(first, body(json)->session_id, 46) == 0);
	TEST("63 bytes are not cut, and not in the middle of a character");
	snprintf(json, sizeof(json), "{\"session_id\":\"%063d\"}", 1);
	CHECK(strlen(body(json)->session_id) == 63 && !strchr(done->fields->session_id, '~'));
	snprintf(json, sizeof(json), "{\"session_id\":\"%045d\xc3\xbc%020d\"}", 1, 1);
	CHECK(strncmp(body(json)->session_id + 44, "1~", 2) == 0);
	TEST("controls do not come through, nor make two names one");
	strcpy(first, body("{\"session_id\":\"a\\u001b[31m\"}")->session_id);
	CHECK(strncmp(first, "a?[31m~", 7) == 0);
	CHECK(strcmp(first, body("{\"session_id\":\"a\\u0000[31m\"}")->session_id) != 0);
}

/* The message, or less of it, but nothing that was not said. */
static bool honest(const struct turn_fields *f)
{
	if (!f)
		return true;
	return (!f->session_id[0] || strcmp(f->session_id, "test-7") == 0) &&
	       (f->turn_index == -1 || f->turn_index == 12) &&
	       (!f->text_hash || f->text_hash == text_hash("gr\xc3\xbc\n") ||
	        f->text_hash == text_hash("one"));
}

static void every_split(const char *p, size_t n)
{
	size_t good = 0, lies = 0, told = 0;
	size_t from = (size_t)((char *)memmem(p, n, "\r\n\r\n", 4) - p) + 4;

	for (size_t i = 1; i < n; i++)
		good += is(play(p, n, i, n, n, n), "test-7", 12, LLM_ROLE_USER, "gr\xc3\xbc\n");
	CHECK(good == n - 1);
	CHECK(is(play(p, n, 1, 1, n, n), "test-7", 12, LLM_ROLE_USER, "gr\xc3\xbc\n"));
	for (size_t width = 1; width < 60; width += 13) {
		for (size_t i = from; i + width < n; i++) {
			lies += !honest(play(p, n, n, n, i, i + width));
			told += done->fields && done->fields->session_id[0];
		}
	}
	for (size_t i = 0; i < n; i++)
		lies += !honest(play(p, i, n, n, n, n));
	CHECK(lies == 0);
	CHECK(told > n - from);
}

static void test_cuts(void)
{
	static char chunked[4096];
	size_t n, used;
	char *p = post("/run_turn", "", RUN_TURN, strlen(RUN_TURN), &n);

	TEST("a request cut anywhere tells the same, with a hole anywhere nothing wrong");
	every_split(p, n);
	TEST("so does one in chunks");
	used = (size_t)snprintf(chunked, sizeof(chunked),
	                        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (size_t i = 0; i < strlen(RUN_TURN); i += 50) {
		size_t k = strlen(RUN_TURN) - i < 50 ? strlen(RUN_TURN) - i : 50;

		used += (size_t)snprintf(chunked + used, sizeof(chunked) - used, "%zx\r\n%.*s\r\n",
		                         k, (int)k, RUN_TURN + i);
	}
	used += (size_t)snprintf(chunked + used, sizeof(chunked) - used, "0\r\n\r\n");
	CHECK(is(whole(chunked, used), "test-7", 12, LLM_ROLE_USER, "gr\xc3\xbc\n"));
	every_split(chunked, used);
}

static void test_holes(void)
{
	const char *cut;
	size_t n, hole;
	char *p = post("/run_turn", "", RUN_TURN, strlen(RUN_TURN), &n);

	TEST("a hole in the history costs the history alone: the end of the body still tells");
	hole = (size_t)(strstr(p, "one") - p);
	CHECK(is(play(p, n, n, n, hole, hole + 20), "test-7", 12, LLM_ROLE_USER, "gr\xc3\xbc\n"));
	CHECK(done->partial == PARTIAL_NONE && done->sent_ns);
	TEST("a message with a hole is one, its hash is not known");
	hole = (size_t)(strstr(p, "\\u00fc") - p);
	play(p, n, n, n, hole, hole + 3);
	CHECK(done->fields->message && !done->fields->text_hash);
	CHECK(strcmp(done->fields->session_id, "test-7") == 0);
	TEST("a request that ends before its body does has what was seen");
	cut = strstr(p, ",\"turn_number");
	play(p, (size_t)(cut - p), n, n, n, n);
	CHECK(is(done->fields, "test-7", -1, LLM_ROLE_USER, "gr\xc3\xbc\n"));
	cut = strstr(p, "\\u00fc");
	play(p, (size_t)(cut - p), n, n, n, n);
	CHECK(done->fields->message && !done->fields->text_hash && !done->fields->session_id[0]);
	TEST("of a list whose end was not seen the last message is not known");
	cut = strstr(p, ",{\"role\":\"assistant");
	play(p, (size_t)(cut - p), n, n, n, n);
	CHECK(is(done->fields, "", -1, LLM_ROLE_NONE, NULL));
}

static void test_gzip(void)
{
	unsigned char packed[1024];
	z_stream z = { .next_in = (unsigned char *)RUN_TURN,
		       .avail_in = strlen(RUN_TURN),
		       .next_out = packed,
		       .avail_out = sizeof(packed) };
	size_t n;
	char *p;

	TEST("an encoded body is decoded, one with a hole told nothing wrong");
	deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
	CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
	p = post("/", "Content-Encoding: gzip\r\n", (char *)packed, z.total_out, &n);
	deflateEnd(&z);
	CHECK(is(whole(p, n), "test-7", 12, LLM_ROLE_USER, "gr\xc3\xbc\n"));
	CHECK(is(play(p, n, 1, 1, n, n), "test-7", 12, LLM_ROLE_USER, "gr\xc3\xbc\n"));
	CHECK(is(play(p, n, n, n, n - 60, n - 50), "", -1, LLM_ROLE_NONE, NULL) ||
	      honest(done->fields));
	CHECK(done->partial == PARTIAL_NONE);
}

static void test_outgoing(void)
{
	size_t n;
	char *p = post("/run_turn", "", RUN_TURN, strlen(RUN_TURN), &n);

	TEST("the target's own requests are not read for turns");
	inbound = false;
	CHECK(!whole(p, n) && done);
	inbound = true;
}

int main(void)
{
	inbound = true;
	test_names();
	test_messages();
	test_same_hash();
	test_headers();
	test_long_sessions();
	test_cuts();
	test_holes();
	test_gzip();
	test_outgoing();
	call_free(done);
	return DONE();
}
