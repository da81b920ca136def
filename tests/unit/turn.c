/* SPDX-License-Identifier: BSD-2-Clause */
/* The turn engine's books: which turn a call is added to, and that the times add up. */
#include "unit/turn_fixture.h"

#include "base/spans.h"
#include "turn_lanes.h"

static void test_sync_session(void)
{
	const struct turn *t;

	TEST("a sync session gives a turn for each user message, with the reads before and the "
	     "writes after");
	begin();
	store(1, 10, 12, READ);
	store(1, 12, 14, READ);
	llm(1, 20, 120, "s u1");
	store(1, 125, 130, WRITE);
	store(1, 200, 203, READ);
	llm(1, 210, 260, "s u1 a1 u2");
	store(1, 262, 270, WRITE);
	CHECK(turns_open_count(engine) == 1);
	CHECK(turns_last(engine) && turns_last(engine)->turn_index == 0);
	CHECK(turns_open(engine) && turns_open(engine)->turn_index == 1);
	finish(300);
	CHECK(out.n == 2 && out.opened == 2 && out.outside == 0);
	t = turn_of("s1", 0);
	CHECK(t->start_ns == 10 * MS && t->end_ns == 130 * MS);
	CHECK(t->llm_ns == 100 * MS && t->storage_ns == 9 * MS && t->overlap_ns == 0);
	CHECK(t->llm_calls == 1 && t->storage_calls == 3 && t->nstores == 1);
	CHECK(t->stores[0].calls == 3 && t->stores[0].ms == 9.0 &&
	      strcmp(t->stores[0].label, "L1") == 0);
	CHECK(t->status == TURN_OK && t->role == LLM_ROLE_USER && t->pid == 100 && t->tid == 1);
	CHECK(!t->boundary_guessed && !t->attribution_order && t->partial == PARTIAL_NONE);
	CHECK(orchestration(t) == 11 * (int64_t)MS);
	t = turn_of("s1", 1);
	CHECK(t->start_ns == 200 * MS && t->end_ns == 270 * MS && t->storage_calls == 2);
}

static void test_splits(void)
{
	TEST("without a write the storage calls between two requests are the next turn's reads");
	begin();
	llm(1, 10, 20, "u1");
	store(1, 21, 22, READ);
	store(1, 30, 31, READ);
	llm(1, 40, 50, "u1 a1 u2");
	finish(60);
	CHECK(turn_of("s1", 0)->storage_calls == 0 && turn_of("s1", 1)->storage_calls == 2);
	CHECK(turn_of("s1", 1)->start_ns == 21 * MS);

	TEST("where an operation is unknown the largest gap splits, and both turns say so");
	begin();
	llm(1, 10, 20, "u1");
	store(1, 21, 22, UNKNOWN_OP);
	store(1, 23, 24, READ);
	store(1, 90, 91, READ);
	llm(1, 95, 99, "u1 a1 u2");
	finish(100);
	CHECK(turn_of("s1", 0)->storage_calls == 2 && turn_of("s1", 0)->boundary_guessed);
	CHECK(turn_of("s1", 1)->storage_calls == 1 && turn_of("s1", 1)->boundary_guessed);
	CHECK(turn_of("s1", 1)->start_ns == 90 * MS);

	TEST("the gaps beside the LLM calls count too: all before, or all behind");
	begin();
	llm(1, 10, 20, "u1");
	store(1, 21, 22, UNKNOWN_OP);
	llm(1, 95, 99, "u1 a1 u2");
	store(1, 150, 151, UNKNOWN_OP);
	llm(1, 152, 160, "u1 a1 u2 a2 u3");
	finish(200);
	CHECK(turn_of("s1", 0)->storage_calls == 1);
	CHECK(turn_of("s1", 1)->storage_calls == 0);
	CHECK(turn_of("s1", 2)->storage_calls == 1 && turn_of("s1", 2)->start_ns == 150 * MS);

	TEST("what was written before the first turn seen ends a turn that was not, or sets things "
	     "up");
	begin();
	store(1, 1, 2, READ);
	store(1, 3, 4, WRITE);
	store(1, 8, 9, READ);
	llm(1, 10, 20, "u1");
	finish(30);
	CHECK(out.n == 1 && out.turns[0].storage_calls == 1 && out.turns[0].start_ns == 8 * MS);

	TEST("storage calls inside a tool loop are the turn's");
	begin();
	llm(1, 10, 20, "u1");
	store(1, 21, 25, READ);
	llm(1, 30, 40, "u1 a1 t1");
	finish(50);
	CHECK(out.n == 1 && out.turns[0].storage_calls == 1 && out.turns[0].llm_calls == 2);

	TEST("at the end of the run trailing calls are the last turn's");
	begin();
	llm(1, 10, 20, "u1");
	store(1, 21, 25, READ);
	finish(50);
	CHECK(out.turns[0].storage_calls == 1 && out.turns[0].end_ns == 25 * MS);

	TEST("an embedding call is LLM time of the turn that opens after it, and opens none");
	begin();
	{
		struct call *c = call_at(CALL_LLM, 1, 0, 10);

		say(c, "u1");
		c->llm->kind = LLM_EMBEDDING;
		c->llm->tokens.in = 5;
		turns_call_opened(engine, c, &llm_place);
		turns_call_sent(engine, c, &llm_place);
		llm_ends(c, 14, CALL_OK);
	}
	CHECK(turns_open_count(engine) == 0);
	llm(1, 20, 30, "u1");
	finish(50);
	CHECK(out.n == 1 && out.turns[0].llm_calls == 2 && out.turns[0].llm_ns == 14 * MS);
	CHECK(out.turns[0].start_ns == 10 * MS);
	begin();
	{
		struct call *c = call_at(CALL_LLM, 1, 0, 10);

		say(c, "u1");
		c->llm->kind = LLM_EMBEDDING;
		turns_call_sent(engine, c, &llm_place);
		llm_ends(c, 14, CALL_OK);
	}
	finish(50);
	CHECK(out.n == 0 && out.outside == 1);
}

static void test_helpers(void)
{
	const struct turn *t;

	TEST("gathered reads and writes of helper tasks are attributed by order, and the line says "
	     "so");
	begin();
	store_as("L1", 1, 71, 5, 9, READ);
	store_as("L2", 1, 72, 5, 8, READ);
	llm_ends(llm_open(1, 7, 10, "u1"), 50, CALL_OK);
	store_as("L1", 1, 73, 51, 55, WRITE);
	store_as("L2", 1, 74, 51, 53, WRITE);
	store_as("L1", 1, 75, 100, 104, READ);
	llm_ends(llm_open(1, 7, 110, "u1 a1 u2"), 150, CALL_OK);
	store_as("L1", 1, 76, 151, 155, WRITE);
	finish(200);
	CHECK(out.n == 2);
	t = turn_of("s1", 0);
	CHECK(t->storage_calls == 4 && t->attribution_order && t->nstores == 2);
	CHECK(t->start_ns == 5 * MS && t->end_ns == 55 * MS && t->storage_ns == 8 * MS);
	t = turn_of("s1", 1);
	CHECK(t->storage_calls == 2 && t->attribution_order && t->start_ns == 100 * MS &&
	      t->end_ns == 155 * MS);

	TEST("a thread that has yet to make its first LLM call keeps its reads");
	begin();
	llm(1, 10, 50, "uA");
	store(2, 55, 60, READ);
	llm(1, 70, 90, "uA aA uA2");
	store(2, 91, 92, READ);
	llm(2, 95, 99, "uB");
	finish(200);
	CHECK(out.n == 3 && turn_of("s2", 0)->storage_calls == 2 &&
	      turn_of("s2", 0)->start_ns == 55 * MS);
	CHECK(!turn_of("s1", 0)->attribution_order && !turn_of("s1", 1)->attribution_order);

	TEST("it keeps them too when another thread's turn ends in their midst");
	begin();
	llm(1, 10, 50, "uA");
	store(2, 30, 35, READ);
	store(2, 45, 60, READ);
	llm(1, 70, 90, "uA aA uA2");
	llm(2, 95, 99, "uB");
	finish(200);
	CHECK(turn_of("s2", 0)->storage_calls == 2 && turn_of("s2", 0)->start_ns == 30 * MS);
	CHECK(turn_of("s1", 0)->storage_calls == 0);

	TEST("with several turns open a helper's call goes to the one that was active last");
	begin();
	llm(1, 10, 20, "uA");
	llm(2, 30, 40, "uB");
	store(9, 45, 46, WRITE);
	finish(100);
	CHECK(turn_of("s1", 0)->storage_calls == 0 && turn_of("s2", 0)->storage_calls == 1);
	CHECK(turn_of("s2", 0)->attribution_order);

	TEST("... and the one that may have lost it says so too, also one that opens later");
	CHECK(turn_of("s1", 0)->attribution_order);
	begin();
	llm_ends(llm_open(1, 7, 10, "uA"), 20, CALL_OK);
	llm_ends(llm_open(1, 8, 30, "uB"), 40, CALL_OK);
	store(9, 45, 46, WRITE);
	llm_ends(llm_open(1, 7, 50, "uA aA uA2"), 60, CALL_OK);
	llm_ends(llm_open(1, 8, 70, "uB aB uB2"), 80, CALL_OK);
	finish(100);
	CHECK(out.n == 4 && turn_of("s1", 0)->attribution_order &&
	      turn_of("s1", 1)->attribution_order && turn_of("s2", 0)->attribution_order &&
	      turn_of("s2", 1)->attribution_order);

	TEST("helpers' reads before the first turn are its own, though another turn closes first");
	begin();
	store_as("L1", 9, 0, 1, 2, READ);
	store_as("L1", 8, 0, 3, 4, READ);
	llm_ends(llm_open(1, 7, 10, "uA"), 20, CALL_OK);
	llm_ends(llm_open(1, 8, 30, "uB"), 40, CALL_OK);
	llm_ends(llm_open(1, 8, 70, "uB aB uB2"), 80, CALL_OK);
	finish(100);
	CHECK(turn_of("s1", 0)->storage_calls == 2 && turn_of("s1", 0)->start_ns == 1 * MS);
	CHECK(turn_of("s2", 0)->storage_calls == 0 && turn_of("s2", 0)->attribution_order);

	TEST("a turn with no other beside it loses nothing to a helper of an earlier one");
	begin();
	llm(1, 10, 20, "uA");
	store(9, 25, 26, WRITE);
	llm(1, 30, 40, "uA aA uA2");
	finish(100);
	CHECK(turn_of("s1", 0)->attribution_order && !turn_of("s1", 1)->attribution_order);
}

static void test_ends(void)
{
	struct call *c;

	TEST("a turn whose thread ends closes then");
	begin();
	llm(1, 10, 20, "u1");
	store(1, 21, 30, WRITE);
	turns_thread_exit(engine, 100, 1, 40 * MS);
	CHECK(out.n == 1 && out.turns[0].end_ns == 30 * MS && turns_open_count(engine) == 0);
	CHECK(turns_open(engine) == NULL && turns_last(engine)->id == 1);
	finish(100);
	CHECK(out.n == 1);

	TEST("a process's end closes its turns, and no other process's");
	begin();
	llm(1, 10, 20, "u1");
	c = call_at(CALL_LLM, 5, 0, 12);
	c->pid = 200;
	say(c, "uZ");
	turns_call_sent(engine, c, &llm_place);
	llm_ends(c, 20, CALL_OK);
	turns_process_exit(engine, 200, 30 * MS);
	CHECK(out.n == 1 && out.turns[0].pid == 200);
	finish(100);
	CHECK(out.n == 2);

	TEST("a child that hangs and dies first ends its turn stalled, one that only dies does "
	     "not");
	for (int stuck = 0; stuck < 2; stuck++) {
		begin();
		c = call_at(CALL_LLM, 1, 0, 10);
		c->pid = 200;
		turns_call_opened(engine, c, &llm_place);
		say(c, "uZ");
		turns_call_sent(engine, c, &llm_place);
		turns_stalled(engine, stuck);
		llm_ends(c, 900, CALL_ABORTED);
		turns_process_exit(engine, 200, 900 * MS);
		CHECK(out.n == 1 && out.turns[0].status == (stuck ? TURN_STALLED : TURN_ABORTED));
		CHECK(out.turns[0].llm_ns == 890 * MS);
		finish(1000);
	}

	TEST("so does a thread; a stall that was over by then leaves the turn its own outcome");
	for (int stuck = 0; stuck < 2; stuck++) {
		begin();
		c = llm_open(3, 0, 10, "u1");
		turns_stalled(engine, true);
		turns_stalled(engine, stuck);
		turns_thread_exit(engine, 100, 3, 900 * MS);
		CHECK(out.n == 1 && out.turns[0].status == (stuck ? TURN_STALLED : TURN_UNKNOWN));
		call_free(c);
		finish(1000);
	}

	TEST("a call still open at the end counts up to the end, with its outcome unknown");
	begin();
	c = llm_open(1, 0, 10, "u1");
	CHECK(turns_open(engine)->status == TURN_UNKNOWN);
	turns_end(engine, 90 * MS, false);
	CHECK(out.n == 1 && out.turns[0].llm_ns == 80 * MS && out.turns[0].status == TURN_UNKNOWN);
	c->end_ns = 95 * MS;
	turns_call_done(engine, c, &llm_place);
	CHECK(out.n == 1);
	call_free(c);
	finish(100);
	CHECK(out.n == 1);

	TEST("a run that never got going again ends with a stalled turn; sessions at rest keep "
	     "their outcome");
	begin();
	llm(1, 10, 20, "uA");
	c = llm_open(2, 0, 30, "uB");
	llm_ends(c, 900, CALL_UNKNOWN);
	turns_end(engine, 900 * MS, true);
	CHECK(turn_of("s1", 0)->status == TURN_OK && turn_of("s2", 0)->status == TURN_STALLED);
	finish(1000);

	TEST("a call that turns out to be neither LLM nor storage leaves no trace");
	begin();
	llm(1, 10, 20, "u1");
	c = call_at(CALL_STORAGE, 1, 0, 30);
	turns_call_opened(engine, c, &llm_place);
	c->class = CALL_HEARTBEAT;
	call_end(c, 40, CALL_OK, &llm_place);
	finish(100);
	CHECK(out.n == 1 && out.turns[0].storage_calls == 0 && out.turns[0].end_ns == 20 * MS);
}

static void test_tokens(void)
{
	struct call *c;

	TEST("tokens are summed; a failed call without counters does not hide them, a reply "
	     "without them does");
	begin();
	c = llm_open(1, 0, 10, "u1");
	llm_ends(c, 20, CALL_RATE_LIMITED);
	c = llm_open(1, 0, 30, "u1");
	c->llm->tokens = (struct llm_tokens){ 100, 20, -1, -1 };
	c->llm->first_content_ns = 35 * MS;
	snprintf(c->llm->model, sizeof(c->llm->model), "m-1");
	snprintf(c->llm->provider, sizeof(c->llm->provider), "openai");
	llm_ends(c, 40, CALL_OK);
	c = llm_open(1, 0, 50, "u1 a1 t1");
	c->llm->tokens = (struct llm_tokens){ 150, -1, 50, -1 };
	llm_ends(c, 60, CALL_OK);
	finish(100);
	CHECK(out.n == 1 && out.turns[0].tokens.in == 250 && out.turns[0].tokens.out == -1);
	CHECK(out.turns[0].tokens.cached == -1 && out.turns[0].tokens.reasoning == -1);
	CHECK(out.turns[0].ttft_ns == 5 * (int64_t)MS);
	CHECK(out.turns[0].status == TURN_OK && out.turns[0].retries == 1);
	CHECK(out.turns[0].backoff_ns == 10 * MS);

	TEST("the first reason why something was not seen stays, and a bound of a call is a bound "
	     "of the turn");
	begin();
	c = llm_open(1, 0, 10, "u1");
	call_partial(c, PARTIAL_TRUNCATED);
	c->at_least = true;
	c->llm->first_content_ns = 15 * MS;
	llm_ends(c, 20, CALL_OK);
	finish(100);
	CHECK(out.turns[0].partial == PARTIAL_TRUNCATED && out.turns[0].at_least);
	CHECK(out.turns[0].ttft_ns == -1);
}

static uint64_t rng_state;

static uint32_t rng(uint32_t n)
{
	rng_state = rng_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(rng_state >> 33) % n;
}

#define OPEN_AT_ONCE 24

/* Random calls on a few lanes, overlapping as they like; returns how many storage and LLM calls were made. */
static void random_run(uint64_t seed, int steps, uint64_t *now)
{
	struct call *open[OPEN_AT_ONCE] = { 0 };
	static const enum call_status statuses[] = { CALL_OK,    CALL_OK,      CALL_OK,
		                                     CALL_ERROR, CALL_TIMEOUT, CALL_UNKNOWN };
	char messages[64];

	rng_state = seed;
	for (int i = 0; i < steps; i++) {
		uint32_t k = rng(OPEN_AT_ONCE);
		struct call_place p = { "", "redis", "h:1" };

		*now += rng(3);
		snprintf(p.label, sizeof(p.label), "L%u", rng(20));
		if (open[k]) {
			call_end(open[k], *now, statuses[rng(6)], &p);
			open[k] = NULL;
		} else if (rng(2)) {
			open[k] = call_at(CALL_STORAGE, 1 + rng(6), rng(2) * rng(4), *now);
			open[k]->write = rng(2);
			open[k]->op_known = rng(5) != 0;
			turns_call_opened(engine, open[k], &p);
		} else {
			snprintf(messages, sizeof(messages), "u%u a%u %s%u", rng(4), rng(4),
			         rng(3) ? "u" : "t", rng(9));
			open[k] = llm_open(1 + rng(4), rng(2) * rng(4), *now,
			                   rng(8) ? messages : NULL);
		}
		if (rng(200) == 0)
			turns_thread_exit(engine, 100, 1 + rng(6), *now * MS);
		if (rng(1500) == 0)
			turns_process_exit(engine, 100, *now * MS);
		if (turns_open(engine) && orchestration(turns_open(engine)) < 0)
			CHECK(!"an open turn's books are wrong");
	}
	for (int k = 0; k < OPEN_AT_ONCE; k++)
		if (open[k])
			call_end(open[k], *now, CALL_UNKNOWN, &llm_place);
}

static void test_books(void)
{
	TEST("whatever the interleaving, the parts of every turn are within it and add up");
	for (uint64_t seed = 1; seed <= 20; seed++) {
		uint64_t now = 1;
		bool sound = true;

		begin();
		random_run(seed, 3000, &now);
		finish(now);
		for (int i = 0; i < out.n; i++) {
			const struct turn *t = &out.turns[i];
			uint64_t wall = t->end_ns - t->start_ns, stores = 0;

			sound &= t->end_ns >= t->start_ns && orchestration(t) >= 0 &&
			         t->llm_calls > 0;
			sound &= t->llm_ns <= wall && t->storage_ns <= wall &&
			         t->backoff_ns <= wall;
			sound &= t->overlap_ns <= t->llm_ns + t->storage_ns + t->backoff_ns;
			for (uint32_t k = 0; k < t->nstores; k++) {
				stores += t->stores[k].calls;
				sound &= t->stores[k].ms <= turn_ms(t->storage_ns);
			}
			sound &= stores == t->storage_calls || t->partial != PARTIAL_NONE;
		}
		CHECK(sound && out.n > 100 && out.n == out.opened);
	}
}

static void test_bounds(void)
{
	uint32_t calls = 0;

	TEST("many calls without a write between stay within fixed memory and are all counted");
	begin();
	llm(1, 1, 2, "u1");
	for (uint64_t i = 0; i < 20000; i++)
		store(1, 10 + 2 * i, 11 + 2 * i, READ);
	finish(100000);
	CHECK(out.n == 1 && out.turns[0].storage_calls == 20000 &&
	      out.turns[0].storage_ns == 20000 * MS);
	CHECK(out.turns[0].partial == PARTIAL_NONE && out.turns[0].attribution_order);

	TEST("more helper lanes than are remembered lose no call");
	begin();
	llm(1, 1, 2, "u1");
	for (uint64_t i = 0; i < 10000; i++)
		store_as("L1", 1, 1000 + i, 10 + i, 11 + i, WRITE);
	finish(100000);
	CHECK(out.n == 1 && out.turns[0].storage_calls == 10000);

	TEST("more open turns than are kept are closed, the idlest first");
	begin();
	for (uint64_t i = 0; i < 4200; i++)
		llm_ends(llm_open(1, 1 + i, 10 + i, "u1"), 11 + i, CALL_OK);
	CHECK(turns_open_count(engine) == 4096 && out.n == 104 && out.turns[0].id == 1);
	turns_free(engine);
	engine = NULL;

	TEST("calls that never end do not pile up, those that are not known are counted");
	begin();
	llm(1, 1, 2, "u1");
	for (uint64_t i = 0; i < 40000; i++) {
		struct call *c = call_at(CALL_STORAGE, (uint32_t)(2 + i % 100), 0, 10 + i);

		turns_call_opened(engine, c, &llm_place);
		call_free(c);
	}
	CHECK(turns_unfollowed(engine) == 40000 - RECORDS_MAX);
	finish(50010);
	for (int i = 0; i < out.n; i++)
		calls += out.turns[i].storage_calls;
	CHECK(out.n == 1 && calls == RECORDS_MAX);
	CHECK(orchestration(&out.turns[0]) >= 0);
}

static void test_spans(void)
{
	struct spans s = { 0 };

	TEST("a union counts what overlaps once, in any order");
	spans_add(&s, 10, 20);
	spans_add(&s, 40, 50);
	spans_add(&s, 30, 35);
	spans_add(&s, 15, 32);
	CHECK(spans_total(&s) == 35 && s.n == 2);
	spans_add(&s, 5, 60);
	spans_add(&s, 7, 7);
	CHECK(spans_total(&s) == 55 && s.n == 1 && !s.cut);
	spans_free(&s);

	TEST("many alternations are summed up exactly; only what comes too late for the sum is "
	     "left out");
	for (uint64_t i = 0; i < 100000; i++)
		spans_add(&s, i * 10, i * 10 + 4);
	CHECK(spans_total(&s) == 400000 && s.n < SPANS_MAX && !s.cut);
	spans_add(&s, 0, 3);
	CHECK(spans_total(&s) == 400000 && s.cut);
	spans_free(&s);
}

/* So many and some more are in flight at once: each is told once, in a turn or outside. */
static void test_more_in_flight_than_are_known(void)
{
	enum { MORE = RECORDS_MAX + 100 };
	struct call **calls = calloc(MORE, sizeof(*calls));

	TEST("with more calls in flight than are known at once each is told once, LLM calls and "
	     "storage calls alike, and the limit is counted");
	for (int storage = 0; storage <= 1; storage++) {
		struct call_place p = { "L1", "redis", "127.0.0.1:6379" };

		begin();
		llm(1, 1, 2, "u1");
		for (int i = 0; i < MORE; i++) {
			calls[i] = storage ? call_at(CALL_STORAGE, 7, 0, 10)
			                   : llm_open(7, 0, 10, NULL);
			if (storage)
				turns_call_opened(engine, calls[i], &p);
		}
		CHECK(turns_unfollowed(engine) == 100);
		for (int i = 0; i < MORE; i++)
			call_end(calls[i], 20, CALL_OK, storage ? &p : &llm_place);
		finish(30);
		CHECK(out.told == MORE + 1);
	}
	free(calls);
}

int main(void)
{
	test_more_in_flight_than_are_known();
	test_sync_session();
	test_splits();
	test_helpers();
	test_ends();
	test_tokens();
	test_books();
	test_bounds();
	test_spans();
	return DONE();
}
