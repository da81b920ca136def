/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of calls.jsonl: their fields, what is null in them, and what never stands there. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <sys/stat.h>

#include "out/calls.h"

#define OFFSET (1700000000ull * 1000000000)

static const char *const fields[] = {
	"schema",
	"timestamp",
	"call_id",
	"logical_id",
	"attempt",
	"session_id",
	"turn_id",
	"pid",
	"tid",
	"class",
	"label",
	"system",
	"provider",
	"endpoint",
	"op",
	"duration_ms",
	"setup_ms",
	"first_byte_ms",
	"ttft_ms",
	"bytes_out",
	"bytes_in",
	"tokens_in",
	"tokens_out",
	"tokens_cached",
	"tokens_reasoning",
	"model",
	"finish_reason",
	"request_id",
	"client_timeout_of",
	"client_timeout_s",
	"limits_left",
	"status",
	"error_kind",
	"http_status",
	"retry_after_s",
	"partial",
	"at_least",
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))
#define OPTIONAL 1 /* the last one is there only when it holds */

static const struct call_place llm_place = { "openai", "", "api.example.com" };
static const struct call_place store_place = { "L1", "redis", "127.0.0.1:6379" };
static const struct call_turn turn = { 7, "s1", 41, 2 };

static struct call example(enum call_class class)
{
	struct call c;

	call_init(&c);
	c.id = 42;
	c.pid = 10;
	c.tid = 11;
	c.class = class;
	c.start_ns = 1000000000;
	c.request_ns = c.start_ns + 500999;
	c.first_byte_ns = c.request_ns + 1234567;
	c.end_ns = c.start_ns + 12345678;
	c.bytes_out = 100;
	c.bytes_in = 200;
	c.status = CALL_OK;
	snprintf(c.op, sizeof(c.op), "%s", class == CALL_LLM ? "POST /v1/chat" : "GET");
	return c;
}

static bool in_order(json_t *o, size_t n)
{
	const char *key;
	json_t *v;
	size_t i = 0;

	json_object_foreach(o, key, v) if (i >= n || strcmp(key, fields[i++]) != 0) return false;
	return i == n;
}

static bool is(json_t *o, const char *key, const char *want)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && strcmp(s, want) == 0;
}

static int64_t number(json_t *o, const char *key)
{
	json_t *j = json_object_get(o, key);

	return json_is_integer(j) ? json_integer_value(j) : -99;
}

static double real(json_t *o, const char *key)
{
	json_t *j = json_object_get(o, key);

	return json_is_real(j) ? json_real_value(j) : -99;
}

static bool null(json_t *o, const char *key)
{
	return json_is_null(json_object_get(o, key));
}

static void test_llm(void)
{
	struct call c = example(CALL_LLM);
	struct llm_call l = { .provider = "openai", .model = "m-1", .tokens = { 100, 20, -1, 0 } };
	json_t *o;

	TEST("an LLM call has exactly the promised fields, in order");
	l.first_content_ns = c.request_ns + 2000000;
	c.llm = &l;
	o = calls_json(&c, &llm_place, &turn, OFFSET);
	CHECK(in_order(o, FIELDS - OPTIONAL));
	CHECK(is(o, "schema", "whystuck.call/1") && is(o, "class", "llm") && is(o, "status", "ok"));
	CHECK(is(o, "timestamp", "2023-11-14T22:13:21.000000Z"));
	CHECK(number(o, "call_id") == 42 && number(o, "logical_id") == 41);
	CHECK(number(o, "attempt") == 2 && number(o, "turn_id") == 7 && is(o, "session_id", "s1"));
	CHECK(number(o, "pid") == 10 && number(o, "tid") == 11);
	CHECK(is(o, "endpoint", "api.example.com") && is(o, "op", "POST /v1/chat"));
	CHECK(is(o, "provider", "openai") && is(o, "model", "m-1") && null(o, "system"));
	CHECK(real(o, "duration_ms") == 12.345 && real(o, "setup_ms") == 0.5);
	CHECK(real(o, "first_byte_ms") == 1.234 && real(o, "ttft_ms") == 2.0);
	CHECK(number(o, "bytes_out") == 100 && number(o, "bytes_in") == 200);
	CHECK(number(o, "tokens_in") == 100 && number(o, "tokens_out") == 20);
	CHECK(null(o, "tokens_cached") && number(o, "tokens_reasoning") == 0);
	CHECK(null(o, "error_kind") && null(o, "http_status") && null(o, "retry_after_s"));
	CHECK(null(o, "partial"));
	json_decref(o);

	TEST("what a server says of a failure is there, cut to what is ours to tell");
	c.status = CALL_RATE_LIMITED;
	c.http_status = 429;
	c.retry_after_s = 1.5;
	snprintf(c.error_kind, sizeof(c.error_kind), "rate_limit_error");
	o = calls_json(&c, &llm_place, &turn, OFFSET);
	CHECK(is(o, "status", "rate_limited") && is(o, "error_kind", "rate_limit_error"));
	CHECK(number(o, "http_status") == 429 && real(o, "retry_after_s") == 1.5);
	json_decref(o);
	TEST("what client and provider said of the call is told");
	c.llm = llm_call_new();
	strcpy(c.llm->said.finish_reason, "length");
	strcpy(c.llm->said.request_id, "req_1");
	c.limit = LIMIT_SILENCE;
	c.limit_s = 600;
	c.llm->said.quota.tokens = 7;
	c.llm->said.quota.tokens_reset_s = 0.5;
	o = calls_json(&c, &llm_place, &turn, OFFSET);
	CHECK(is(o, "finish_reason", "length") && is(o, "request_id", "req_1"));
	CHECK(is(o, "client_timeout_of", "silence") && real(o, "client_timeout_s") == 600);
	CHECK(number(json_object_get(o, "limits_left"), "tokens") == 7 &&
	      real(json_object_get(o, "limits_left"), "tokens_reset_s") == 0.5 &&
	      null(json_object_get(o, "limits_left"), "requests"));
	json_decref(o);
	c.limit = LIMIT_NONE;
	c.limit_s = -1;
	o = calls_json(&c, &llm_place, &turn, OFFSET);
	CHECK(is(o, "client_timeout_of", "none") && null(o, "client_timeout_s"));
	json_decref(o);
	llm_call_free(c.llm);
	c.llm = NULL;
	c.limit = LIMIT_UNSAID;
	o = calls_json(&c, &llm_place, &turn, OFFSET);
	CHECK(null(o, "finish_reason") && null(o, "request_id") && null(o, "limits_left") &&
	      null(o, "client_timeout_of"));
	json_decref(o);
	c.retry_after_s = INFINITY;
	o = calls_json(&c, &llm_place, &turn, OFFSET);
	CHECK(in_order(o, FIELDS - OPTIONAL) && null(o, "retry_after_s"));
	json_decref(o);
}

static void test_unknown(void)
{
	struct call c = example(CALL_STORAGE);
	json_t *o;

	TEST("a storage call has no tokens and no model, and says which store");
	o = calls_json(&c, &store_place, NULL, OFFSET);
	CHECK(in_order(o, FIELDS - OPTIONAL));
	CHECK(is(o, "class", "storage") && is(o, "label", "L1") && is(o, "system", "redis"));
	CHECK(null(o, "provider") && null(o, "model") && null(o, "ttft_ms"));
	CHECK(null(o, "tokens_in") && null(o, "tokens_out") && null(o, "tokens_reasoning"));

	TEST("what is not known is null");
	CHECK(null(o, "turn_id") && null(o, "session_id") && null(o, "logical_id"));
	CHECK(null(o, "attempt"));
	json_decref(o);
	c.start_ns = c.request_ns;
	c.first_byte_ns = 0;
	c.end_ns = 0;
	c.op[0] = '\0';
	c.partial = PARTIAL_NO_PLAINTEXT;
	o = calls_json(&c, &store_place, NULL, OFFSET);
	CHECK(null(o, "setup_ms") && null(o, "first_byte_ms") && null(o, "duration_ms"));
	CHECK(null(o, "op") && is(o, "partial", "no_plaintext"));
	json_decref(o);

	TEST("of a call that began before we came only how long it took at least is told");
	c = example(CALL_STORAGE);
	c.at_least = true;
	o = calls_json(&c, &store_place, NULL, OFFSET);
	CHECK(in_order(o, FIELDS) && json_is_true(json_object_get(o, "at_least")));
	CHECK(real(o, "duration_ms") == 12.345 && null(o, "setup_ms") && null(o, "first_byte_ms"));
	json_decref(o);

	TEST("times that run backwards are no time, not a huge one");
	c = example(CALL_STORAGE);
	c.end_ns = c.start_ns - 1;
	o = calls_json(&c, &store_place, NULL, OFFSET);
	CHECK(real(o, "duration_ms") == 0);
	json_decref(o);

	TEST("bytes that are no text do not spoil the line");
	snprintf(c.error_kind, sizeof(c.error_kind), "a\xff\"\n");
	o = calls_json(&c, &store_place, NULL, OFFSET);
	CHECK(is(o, "error_kind", "a?\"\n"));
	json_decref(o);
}

static void test_write(void)
{
	char dir[] = "/tmp/unit_calls.XXXXXX";
	int folder = mkdtemp(dir) ? open(dir, O_RDONLY | O_DIRECTORY) : -1;
	struct lines *l =
		lines_open(&(struct lines_config){ .dirfd = folder, .name = "calls.jsonl" });
	struct calls *calls = calls_new(l, OFFSET);
	struct call c;
	struct stat st;
	json_error_t error;
	char path[64];
	json_t *o;

	TEST("LLM and storage calls have a line each, others none");
	for (int class = CALL_OTHER; class <= CALL_HEARTBEAT; class ++) {
		c = example((enum call_class) class);
		CHECK(calls_write(calls, &c, &store_place, NULL) == 0);
	}
	CHECK(lines_written(l) == 2 && lines_unwritten(l) == 0);
	c = example(CALL_LLM);
	snprintf(path, sizeof(path), "%s/calls.jsonl", dir);
	o = json_load_file(path, JSON_DISABLE_EOF_CHECK, &error);
	CHECK(is(o, "class", "llm"));
	json_decref(o);
	CHECK(stat(path, &st) == 0 && (st.st_mode & 07777) == 0600);
	calls_free(calls);
	calls_free(NULL);
	lines_close(l);
	unlink(path);
	rmdir(dir);
	close(folder);
}

int main(void)
{
	test_llm();
	test_unknown();
	test_write();
	return DONE();
}
