/* SPDX-License-Identifier: BSD-2-Clause */
/* The sum of a run: distributions, counters, and a few lines for people. */
#include "test.h"

#include <jansson.h>

#include "out/summary.h"

static struct turn turn_with(uint64_t llm_ms, int64_t tokens, enum turn_status status)
{
	struct turn t = {
		.session_id = "s1",
		.start_ns = 1000,
		.end_ns = 1000 + llm_ms * 2000000,
		.llm_ns = llm_ms * 1000000,
		.storage_ns = 1500000,
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

static int64_t number(json_t *o)
{
	return json_is_integer(o) ? json_integer_value(o) : -99;
}

static void test_json(void)
{
	static const char *const keys[] = {
		"turns",     "events",     "llm_ms", "storage_ms", "storage",  "ttft_ms",
		"tokens_in", "tokens_out", "status", "stalls",     "coverage", "calls_outside_turns"
	};
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
	summary_outside(s);
	summary_outside(s);
	o = summary_json(s, 9, coverage);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		CHECK(json_object_get(o, keys[i]) != NULL);
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

static void test_print(void)
{
	struct summary *s = summary_new();
	struct turn t = turn_with(100, 10, TURN_OK);
	char *text = NULL;
	size_t n = 0;
	int lines = 0;
	FILE *f = open_memstream(&text, &n);

	TEST("an operator reads it in a few lines");
	summary_turn(s, &t);
	summary_outside(s);
	summary_print(s, f);
	fclose(f);
	for (size_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	CHECK(lines >= 6 && lines <= 10);
	CHECK(strstr(text, "1 turn: 1 ok\n") && strstr(text, "p50 100.0 ms") &&
	      strstr(text, "10 in, 10 out"));
	CHECK(strstr(text, "L1") && strstr(text, "1 LLM call"));
	free(text);
	summary_free(s);
}

int main(void)
{
	test_json();
	test_stores();
	test_print();
	return DONE();
}
