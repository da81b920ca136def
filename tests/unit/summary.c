/* SPDX-License-Identifier: BSD-2-Clause */
/* The sum of a run: distributions, counters, and a few lines for people. */
#include "test.h"

#include <jansson.h>
#include <math.h>

#include "out/summary.h"

static struct turn turn_with(uint64_t llm_ms, int64_t tokens, enum turn_status status)
{
	struct turn t = {
		.session_id = "s1",
		.start_ns = 1000,
		.end_ns = 1000 + llm_ms * 2000000,
		.llm_ns = llm_ms * 1000000,
		.storage_ns = 1500000,
		.backoff_ns = 2000000,
		.llm_calls = 2,
		.retries = 1,
		.ttft_ns = tokens < 0 ? -1 : 250000,
		.nstores = 1,
		.status = status,
		.tokens = { tokens, tokens, -1, -1 },
	};

	t.stores[0] = (struct turn_store){ "L1", "redis", "h:1", 1.5, 2, 1 };
	return t;
}

static json_t *at(json_t *o, const char *a, const char *b)
{
	return json_object_get(json_object_get(o, a), b);
}

static const char *text(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static double real(json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

static int64_t number(json_t *o)
{
	return json_is_integer(o) ? json_integer_value(o) : -99;
}

static struct call call_with(enum call_class class, enum call_status status, double after)
{
	struct call c = { 0 };

	call_init(&c);
	c.class = class;
	c.status = status;
	c.retry_after_s = after;
	c.pid = 10;
	c.tid = 11;
	c.start_ns = 1000000000;
	c.end_ns = c.start_ns + 12345678;
	return c;
}

static void outside(struct summary *s, enum call_class class)
{
	struct call c = call_with(class, CALL_OK, -1);

	summary_outside(s, &c, NULL, NULL);
}

static void test_json(void)
{
	static const char *const keys[] = { "turns",
		                            "sessions",
		                            "events",
		                            "wall_ms",
		                            "llm_ms",
		                            "storage_ms",
		                            "backoff_ms",
		                            "orchestration_ms",
		                            "ttft_ms",
		                            "storage",
		                            "llm_calls",
		                            "llm_attempts",
		                            "rate_limits",
		                            "tokens_in",
		                            "tokens_out",
		                            "turns_without_tokens",
		                            "status",
		                            "stalls",
		                            "calls_outside_turns",
		                            "storage_outside_turns",
		                            "outside_turns",
		                            "coverage" };
	struct summary *s = summary_new();
	json_t *coverage = json_pack("{s:i}", "lost", 3), *o;
	struct turn t;

	TEST("a run without turns has nulls, not zeros, for what was not measured");
	o = summary_json(s, 5, NULL);
	CHECK(json_is_null(at(o, "llm_ms", "p50")) && number(at(o, "llm_ms", "count")) == 0);
	CHECK(json_is_null(json_object_get(o, "tokens_in")) &&
	      json_is_null(json_object_get(o, "coverage")));
	CHECK(number(json_object_get(o, "turns")) == 0 &&
	      number(json_object_get(o, "events")) == 5);
	json_decref(o);

	TEST("turns are summed up");
	t = turn_with(100, 10, TURN_OK);
	summary_turn(s, &t);
	t = turn_with(300, 20, TURN_OK);
	summary_turn(s, &t);
	t = turn_with(200, -1, TURN_RATE_LIMITED);
	summary_turn(s, &t);
	summary_stall(s);
	outside(s, CALL_LLM);
	outside(s, CALL_LLM);
	outside(s, CALL_STORAGE);
	outside(s, CALL_OTHER);
	o = summary_json(s, 9, coverage);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		CHECK(json_object_get(o, keys[i]) != NULL);
	CHECK(json_object_size(o) == sizeof(keys) / sizeof(keys[0]));
	CHECK(number(json_object_get(o, "turns")) == 3);
	CHECK(json_real_value(at(o, "llm_ms", "p50")) == 200.0 &&
	      json_real_value(at(o, "llm_ms", "p99")) == 300.0);
	CHECK(json_real_value(at(o, "llm_ms", "mean")) == 200.0 &&
	      json_real_value(at(o, "llm_ms", "min")) == 100.0);
	CHECK(json_object_size(json_object_get(o, "llm_ms")) == 7);
	CHECK(number(at(o, "ttft_ms", "count")) == 2 &&
	      json_real_value(at(o, "ttft_ms", "max")) == 0.25);
	CHECK(json_real_value(json_object_get(at(o, "storage", "L1"), "p95")) == 1.5);
	CHECK(number(json_object_get(at(o, "storage", "L1"), "calls")) == 6);
	CHECK(number(json_object_get(at(o, "storage", "L1"), "errors")) == 3);
	CHECK(number(json_object_get(o, "tokens_in")) == 30 &&
	      number(json_object_get(o, "turns_without_tokens")) == 1);
	CHECK(number(at(o, "status", "ok")) == 2 && number(at(o, "status", "rate_limited")) == 1);
	CHECK(number(json_object_get(o, "stalls")) == 1 &&
	      number(json_object_get(o, "calls_outside_turns")) == 2);
	CHECK(number(json_object_get(o, "storage_outside_turns")) == 1);
	CHECK(json_real_value(at(o, "wall_ms", "max")) == 600.0);
	CHECK(json_real_value(at(o, "backoff_ms", "max")) == 2.0);
	/* 600 - 300 - 1.5 - 2 */
	CHECK(json_real_value(at(o, "orchestration_ms", "max")) == 296.5);
	CHECK(number(json_object_get(o, "llm_calls")) == 6 &&
	      number(json_object_get(o, "llm_attempts")) == 9);
	CHECK(number(at(o, "coverage", "lost")) == 3);
	json_decref(o);
	json_decref(coverage);
	summary_free(s);
	summary_free(NULL);
}

static void test_stores(void)
{
	struct summary *s = summary_new();
	json_t *o;

	TEST("more stores than are told apart are summed up as others");
	for (int i = 0; i < 200; i++) {
		struct turn t = turn_with(1, 1, TURN_OK);

		snprintf(t.stores[0].label, sizeof(t.stores[0].label), "S%d", i % 100);
		summary_turn(s, &t);
	}
	o = summary_json(s, 0, NULL);
	CHECK(json_object_size(json_object_get(o, "storage")) == SUMMARY_STORES_MAX);
	CHECK(number(json_object_get(at(o, "storage", "(others)"), "calls")) ==
	      2 * 2 * (100 - SUMMARY_STORES_MAX + 1));
	CHECK(number(json_object_get(at(o, "storage", "S5"), "calls")) == 4);
	json_decref(o);
	summary_free(s);
}

static void test_outside(void)
{
	struct summary *s = summary_new();
	struct call c = call_with(CALL_STORAGE, CALL_OK, -1);
	struct call_place p = { "L1", "redis", "127.0.0.1:6379" };
	struct llm_call l = { .provider = "openai" };
	json_t *o, *list, *row;

	TEST("calls in no turn are listed with what is known of them");
	summary_wall_offset(s, 1700000000ull * 1000000000);
	snprintf(c.op, sizeof(c.op), "GET");
	summary_outside(s, &c, &p, "before the first turn");
	c = call_with(CALL_LLM, CALL_OK, -1);
	c.llm = &l;
	snprintf(c.host, sizeof(c.host), "api.example.com");
	summary_outside(s, &c, NULL, NULL);
	o = summary_json(s, 0, NULL);
	list = json_object_get(o, "outside_turns");
	CHECK(json_array_size(list) == 2);
	row = json_array_get(list, 0);
	CHECK(json_object_size(row) == 9);
	CHECK(strcmp(text(row, "timestamp"), "2023-11-14T22:13:21.000000Z") == 0);
	CHECK(number(json_object_get(row, "pid")) == 10 &&
	      number(json_object_get(row, "tid")) == 11);
	CHECK(strcmp(text(row, "class"), "storage") == 0 && strcmp(text(row, "op"), "GET") == 0);
	CHECK(strcmp(text(row, "endpoint"), "127.0.0.1:6379") == 0);
	CHECK(json_real_value(json_object_get(row, "duration_ms")) == 12.345);
	CHECK(strcmp(text(row, "why"), "before the first turn") == 0);
	row = json_array_get(list, 1);
	CHECK(strcmp(text(row, "endpoint"), "api.example.com") == 0);
	CHECK(strcmp(text(row, "provider"), "openai") == 0);
	CHECK(json_is_null(json_object_get(row, "op")) &&
	      json_is_null(json_object_get(row, "why")));
	json_decref(o);

	TEST("the list ends at a limit, for each class, and the counts go on");
	for (int i = 0; i < 3 * SUMMARY_OUTSIDE_MAX; i++)
		outside(s, CALL_STORAGE);
	for (int i = 0; i < 3 * SUMMARY_OUTSIDE_MAX; i++)
		outside(s, CALL_LLM);
	o = summary_json(s, 0, NULL);
	CHECK(json_array_size(json_object_get(o, "outside_turns")) == 2 * SUMMARY_OUTSIDE_MAX);
	CHECK(number(json_object_get(o, "calls_outside_turns")) == 3 * SUMMARY_OUTSIDE_MAX + 1);
	CHECK(number(json_object_get(o, "storage_outside_turns")) == 3 * SUMMARY_OUTSIDE_MAX + 1);
	json_decref(o);
	summary_free(s);
}

static void test_rate_limits(void)
{
	struct summary *s = summary_new();
	struct call c;
	json_t *o;

	TEST("rate limits are counted, with what the server asked to wait");
	c = call_with(CALL_LLM, CALL_RATE_LIMITED, -1);
	summary_call(s, &c);
	o = summary_json(s, 0, NULL);
	CHECK(number(at(o, "rate_limits", "count")) == 1);
	CHECK(json_is_null(json_object_get(at(o, "rate_limits", "retry_after_s"), "sum")));
	json_decref(o);
	c = call_with(CALL_LLM, CALL_RATE_LIMITED, 2);
	summary_call(s, &c);
	c = call_with(CALL_LLM, CALL_RATE_LIMITED, 0.5);
	summary_call(s, &c);
	c = call_with(CALL_LLM, CALL_RATE_LIMITED, INFINITY);
	summary_call(s, &c);
	c = call_with(CALL_LLM, CALL_OK, 7);
	summary_call(s, &c);
	c = call_with(CALL_OTHER, CALL_RATE_LIMITED, 7);
	summary_call(s, &c);
	o = summary_json(s, 0, NULL);
	CHECK(number(at(o, "rate_limits", "count")) == 4);
	CHECK(real(at(o, "rate_limits", "retry_after_s"), "sum") == 2.5);
	CHECK(real(at(o, "rate_limits", "retry_after_s"), "max") == 2);
	json_decref(o);
	summary_free(s);
}

static int64_t sessions_of(const struct summary *s)
{
	json_t *o = summary_json(s, 0, NULL);
	int64_t n = number(json_object_get(o, "sessions"));

	json_decref(o);
	return n;
}

static void test_sessions(void)
{
	struct summary *s = summary_new();
	struct turn t = turn_with(1, 1, TURN_OK);

	TEST("sessions are counted once each, also more than are told apart by name");
	for (int i = 0; i < 3 * SUMMARY_SESSIONS_MAX; i++) {
		snprintf(t.session_id, sizeof(t.session_id), "s%d", i);
		for (t.turn_index = 0; t.turn_index < 3; t.turn_index++)
			summary_turn(s, &t);
	}
	CHECK(sessions_of(s) == 3 * SUMMARY_SESSIONS_MAX);

	TEST("a session whose first turn was not seen counts, too");
	summary_free(s);
	s = summary_new();
	t.turn_index = 5;
	summary_turn(s, &t);
	summary_turn(s, &t);
	CHECK(sessions_of(s) == 1);
	summary_free(s);
}

static void test_sampled(void)
{
	struct summary *s = summary_new();
	json_t *o;

	TEST("a sample is told, and only a sample");
	summary_sampled(s, 1, 5, 0);
	o = summary_json(s, 0, NULL);
	CHECK(!json_object_get(o, "sampled"));
	json_decref(o);
	summary_sampled(s, 10, 5, 40);
	o = summary_json(s, 0, NULL);
	CHECK(number(at(o, "sampled", "every")) == 10 && number(at(o, "sampled", "written")) == 5);
	CHECK(number(at(o, "sampled", "left_out")) == 40);
	json_decref(o);
	summary_free(s);
}

static void test_print(void)
{
	struct summary *s = summary_new();
	struct turn t = turn_with(100, 10, TURN_OK);
	char *said = NULL;
	size_t n = 0;
	int lines = 0;
	FILE *f = open_memstream(&said, &n);

	TEST("an operator reads it in a few lines");
	summary_turn(s, &t);
	outside(s, CALL_LLM);
	summary_print(s, f);
	fclose(f);
	for (size_t i = 0; i < n; i++)
		lines += said[i] == '\n';
	CHECK(lines >= 6 && lines <= 10);
	CHECK(strstr(said, "1 turn: 1 ok\n") && strstr(said, "p50 100.0 ms") &&
	      strstr(said, "10 in, 10 out"));
	CHECK(strstr(said, "L1") && strstr(said, "1 LLM call"));
	free(said);
	summary_free(s);
}

int main(void)
{
	test_json();
	test_stores();
	test_outside();
	test_rate_limits();
	test_sessions();
	test_sampled();
	test_print();
	return DONE();
}
