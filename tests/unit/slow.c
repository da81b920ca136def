/* SPDX-License-Identifier: BSD-2-Clause */
/* When an open call is slow by the run's own measure, and when there is none. */
#include "slow.h"
#include "test.h"

#define MS 1000000ull
#define S (1000 * MS)

static void done(struct slow *s, enum call_class class, uint64_t ms, enum call_status status)
{
	struct call c = { .class = class, .start_ns = S, .end_ns = S + ms * MS, .status = status };

	slow_done(s, &c);
}

static void measure(void)
{
	struct slow *s = slow_new();
	struct call odd = { .class = CALL_LLM, .start_ns = S, .end_ns = 100 * S };

	TEST("fewer than 20 calls have no percentile");
	for (int i = 0; i < 19; i++)
		done(s, CALL_LLM, 2000, CALL_OK);
	CHECK(slow_p99(s, CALL_LLM) == 0);

	TEST("calls that failed, wait on purpose, or began before we came, do not count");
	done(s, CALL_LLM, 50000, CALL_ERROR);
	odd.blocks = true;
	slow_done(s, &odd);
	odd.blocks = false;
	odd.at_least = true;
	slow_done(s, &odd);
	CHECK(slow_p99(s, CALL_LLM) == 0);

	TEST("each class has its own");
	done(s, CALL_LLM, 3000, CALL_OK);
	done(s, CALL_HEARTBEAT, 1, CALL_OK);
	CHECK(slow_p99(s, CALL_LLM) == 3 * S && slow_p99(s, CALL_STORAGE) == 0);
	CHECK(slow_p99(s, CALL_HEARTBEAT) == 0 && slow_p99(s, CALL_OTHER) == 0);
	slow_free(s);
	slow_free(NULL);
}

static void open_calls(void)
{
	struct slow *s = slow_new();
	struct call c = { .class = CALL_LLM, .start_ns = 100 * S },
		    quick = { .class = CALL_STORAGE, .start_ns = 100 * S };

	TEST("without a percentile nothing is slow");
	CHECK(slow_is(s, &c, 199 * S, 0, 200 * S) == SLOW_NOT);
	for (int i = 0; i < 50; i++) {
		done(s, CALL_LLM, 12000, CALL_OK);
		done(s, CALL_STORAGE, 1, CALL_OK);
	}

	TEST("a call is slow beyond the percentile, while its content moves");
	CHECK(slow_is(s, &c, 111 * S, 0, 112 * S) == SLOW_NOT);
	CHECK(slow_is(s, &c, 112 * S, 0, 113 * S) == SLOW_CONTENT);
	CHECK(slow_is(s, &c, 112 * S, 112 * S, 113 * S) == SLOW_CONTENT);

	TEST("or while the run computes");
	CHECK(slow_is(s, &c, 0, 112 * S, 113 * S) == SLOW_CPU);
	CHECK(slow_is(s, &c, 101 * S, 112 * S, 113 * S) == SLOW_CPU);

	TEST("silent it may be stuck: that is not called slow");
	CHECK(slow_is(s, &c, 0, 0, 113 * S) == SLOW_NOT);
	CHECK(slow_is(s, &c, 102 * S, 101 * S, 113 * S) == SLOW_NOT);

	TEST("less than a second is never slow, and what is meant to wait is not either");
	CHECK(slow_is(s, &quick, 100 * S, 0, 100 * S + 900 * MS) == SLOW_NOT);
	CHECK(slow_is(s, &quick, 100 * S, 0, 101 * S) == SLOW_CONTENT);
	quick.blocks = true;
	CHECK(slow_is(s, &quick, 100 * S, 0, 101 * S) == SLOW_NOT);
	slow_free(s);
}

int main(void)
{
	measure();
	open_calls();
	return DONE();
}
