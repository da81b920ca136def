/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls that no lane ties to a turn: by helper threads and pools, in flight when we came, hung when the run ends. */
#include "unit/turn_fixture.h"

static uint64_t rng_state;

static uint32_t rng(uint32_t n)
{
	rng_state = rng_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(rng_state >> 33) % n;
}

/* Every closed turn has that many storage calls, and there are so many turns. */
static bool all_have(int turns, uint32_t storage_calls)
{
	for (int i = 0; i < out.n; i++)
		if (out.turns[i].storage_calls != storage_calls)
			return false;
	return out.n == turns;
}

static void test_executor(void)
{
	TEST("an executor thread that reads now and then loses no read: each is of the turn that "
	     "opens after it");
	begin();
	store_as("L1", 1, 7, 10, 11, READ);
	store(2, 12, 13, READ);
	llm_ends(llm_open(1, 7, 20, "u1"), 40, CALL_OK);
	store_as("L1", 1, 7, 41, 42, WRITE);
	store(2, 43, 44, WRITE);
	store_as("L1", 1, 7, 45, 46, READ);
	store(3, 47, 48, READ);
	llm_ends(llm_open(1, 7, 50, "u1 a1 u2"), 70, CALL_OK);
	store_as("L1", 1, 7, 71, 72, WRITE);
	store(2, 73, 74, WRITE);
	store_as("L1", 1, 7, 75, 76, READ);
	store(3, 77, 78, READ);
	llm_ends(llm_open(1, 7, 80, "u1 a1 u2 a2 u3"), 100, CALL_OK);
	store_as("L1", 1, 7, 101, 102, WRITE);
	store(2, 103, 104, WRITE);
	finish(200);
	CHECK(all_have(3, 4));
	CHECK(turn_of("s1", 1)->start_ns == 45 * MS && turn_of("s1", 1)->end_ns == 74 * MS);

	TEST("a helper thread that only reads gives each read to the request that followed it");
	begin();
	store(2, 5, 9, READ);
	llm(1, 10, 20, "u1");
	store(2, 21, 24, READ); /* for a tool */
	llm(1, 30, 40, "u1 a1 t1");
	store(2, 45, 49, READ);
	llm(1, 50, 60, "u1 a1 t1 a2 u2");
	store(2, 65, 69, READ);
	llm(1, 70, 80, "u1 a1 t1 a2 u2 a3 u3");
	finish(200);
	CHECK(out.n == 3 && turn_of("s1", 0)->storage_calls == 2);
	CHECK(turn_of("s1", 1)->storage_calls == 1 && turn_of("s1", 1)->start_ns == 45 * MS);
	CHECK(turn_of("s1", 2)->storage_calls == 1 && turn_of("s1", 2)->start_ns == 65 * MS);

	TEST("a read kept for a thread that then never calls an LLM is in one turn all the same");
	begin();
	llm(1, 10, 50, "u1");
	store(2, 30, 35, READ);
	store(2, 45, 60, READ);
	llm(1, 70, 90, "u1 a1 u2");
	llm(1, 100, 120, "u1 a1 u2 a2 u3");
	finish(200);
	CHECK(out.n == 3 && turn_of("s1", 0)->storage_calls + turn_of("s1", 1)->storage_calls +
	                                    turn_of("s1", 2)->storage_calls ==
	                            2);
}

/* Exact: two reads, one for a tool, two writes, from the first read to the last write. */
static bool pool_exact(int turns)
{
	for (int i = 0; i < out.n; i++)
		if (out.turns[i].start_ns != (uint64_t)(10 + 75 * i) * MS ||
		    out.turns[i].end_ns < (uint64_t)(10 + 75 * i + 70) * MS ||
		    out.turns[i].end_ns >= (uint64_t)(10 + 75 * i + 75) * MS)
			return false;
	return all_have(turns, 5);
}

/* One session of tool loops, 75 ms a turn, whose calls are made by any thread of a pool; llm_lanes: of those that call the LLM. */
static void pool_session(uint64_t seed, uint32_t lanes, uint32_t llm_lanes, int turns)
{
	char history[4096] = "";
	size_t at = 0;
	uint64_t now = 10;

	rng_state = seed;
	for (int i = 0; i < turns; i++) {
		for (int k = 0; k < 2; k++, now += 5)
			store(1 + rng(lanes), now, now + 1 + rng(3), READ);
		at += (size_t)snprintf(history + at, sizeof(history) - at, "u%d ", i);
		for (int k = 0; k < 2; k++) {
			llm(1 + rng(llm_lanes), now, now + 20, history);
			now += 25;
			at += (size_t)snprintf(history + at, sizeof(history) - at, "a%d.%d ", i, k);
			if (k == 0) {
				at += (size_t)snprintf(history + at, sizeof(history) - at, "t%d ",
				                       i);
				store(1 + rng(lanes), now, now + 2, READ);
				now += 5;
			}
		}
		for (int k = 0; k < 2; k++, now += 5)
			store(1 + rng(lanes), now, now + 1 + rng(3), WRITE);
	}
	finish(now);
}

static bool pools_exact(uint32_t llm_lanes)
{
	for (uint64_t seed = 1; seed <= 200; seed++) {
		begin();
		pool_session(seed, 4, llm_lanes, 12);
		if (!pool_exact(12))
			return false;
	}
	return true;
}

static void test_pools(void)
{
	TEST("one session alone is exact, whichever helper threads make its storage calls");
	CHECK(pools_exact(1));

	TEST("... and when the LLM calls wander between the threads of the pool too");
	CHECK(pools_exact(4));
}

#define SESSIONS 4
#define TURNS 8
#define STEPS 6 /* of a turn: two reads, the LLM call's two ends, two writes */

/* Sessions of one event loop, each a task, whose second read and write are made by executor threads. All ask the LLM
 * once before any goes on: until then a task that reads may be anybody's helper. */
static void event_loop(uint64_t seed)
{
	struct call *open[SESSIONS] = { 0 };
	char history[SESSIONS][1024] = { "" };
	int step[SESSIONS] = { 0 };
	uint32_t started = 0;
	uint64_t now = 10;

	rng_state = seed;
	for (int left = SESSIONS * TURNS * STEPS; left > 0; now += 4) {
		uint32_t s = started < SESSIONS ? started : rng(SESSIONS);
		uint32_t turn = (uint32_t)step[s] / STEPS;
		size_t at = strlen(history[s]);

		if (turn == TURNS)
			continue;
		left--;
		switch (step[s]++ % STEPS) {
		case 0:
			store_as("L1", 1, 70 + s, now, now + 1, READ);
			break;
		case 1:
			store_as("L2", 2 + rng(8), 0, now, now + 1 + rng(3), READ);
			break;
		case 2:
			snprintf(history[s] + at, sizeof(history[s]) - at, "u%u.%u ", s, turn);
			open[s] = llm_open(1, 70 + s, now, history[s]);
			started += started < SESSIONS;
			break;
		case 3:
			llm_ends(open[s], now, CALL_OK);
			snprintf(history[s] + at, sizeof(history[s]) - at, "a%u.%u ", s, turn);
			break;
		case 4:
			store_as("L1", 1, 70 + s, now, now + 1, WRITE);
			break;
		default:
			store_as("L2", 2 + rng(8), 0, now, now + 1 + rng(3), WRITE);
		}
	}
	finish(now);
}

static void test_event_loops(void)
{
	bool each_once = true, own = true;

	TEST("of several sessions on an event loop every executor thread's call is in one turn, "
	     "the tasks' own in theirs");
	for (uint64_t seed = 1; seed <= 200; seed++) {
		uint32_t calls = 0;

		begin();
		event_loop(seed);
		for (int i = 0; i < out.n; i++) {
			const struct turn *t = &out.turns[i];

			calls += t->storage_calls;
			own &= t->nstores > 0 && orchestration(t) >= 0;
			for (uint32_t k = 0; k < t->nstores; k++)
				own &= t->stores[k].label[1] != '1' || t->stores[k].calls == 2;
		}
		each_once &= out.n == SESSIONS * TURNS && calls == 4 * SESSIONS * TURNS;
	}
	CHECK(each_once);
	CHECK(own);
}

/* An LLM call that was in flight when we came: nothing of it was read, and nobody saw who sent it. */
static void late_llm(uint64_t conn, uint32_t tid, uint64_t from, uint64_t to)
{
	struct call *c = call_at(CALL_LLM, tid, 0, from);

	c->conn = conn;
	c->at_least = true;
	call_partial(c, PARTIAL_ATTACHED_LATE);
	turns_call_opened(engine, c, &llm_place);
	turns_call_sent(engine, c, &llm_place);
	llm_ends(c, to, CALL_OK);
}

static struct call *llm_open_on(uint64_t conn, uint64_t task, uint64_t ms, const char *messages)
{
	struct call *c = call_at(CALL_LLM, 1, task, ms);

	c->conn = conn;
	say(c, messages);
	turns_call_opened(engine, c, &llm_place);
	turns_call_sent(engine, c, &llm_place);
	return c;
}

static void test_late(void)
{
	TEST("a turn of a call in flight when we came closes when its connection's next turn "
	     "opens, and keeps the writes before");
	begin();
	late_llm(5, 9, 1, 20);
	store_as("L1", 1, 7, 21, 25, WRITE);
	store_as("L1", 1, 7, 26, 28, READ);
	llm_ends(llm_open_on(5, 7, 30, "u1 a1 u2"), 40, CALL_OK);
	CHECK(out.n == 1 && turns_open_count(engine) == 1);
	CHECK(out.turns[0].id == 1 && out.turns[0].end_ns == 25 * MS && out.turns[0].at_least);
	CHECK(out.turns[0].storage_calls == 1);
	finish(100);
	CHECK(out.n == 2 && out.turns[1].storage_calls == 1 && out.turns[1].start_ns == 26 * MS);

	TEST("... also when it is known as an LLM's only then, its writes seen before it");
	begin();
	store_as("L1", 1, 7, 21, 25, WRITE);
	store(2, 26, 28, WRITE);
	store(2, 28, 29, READ);
	late_llm(5, 9, 1, 20);
	llm_ends(llm_open_on(5, 7, 30, "u1 a1 u2"), 40, CALL_OK);
	CHECK(out.n == 1 && out.turns[0].id == 1 && out.turns[0].storage_calls == 2);
	finish(100);
	CHECK(out.n == 2 && out.turns[1].storage_calls == 1 && out.turns[1].start_ns == 28 * MS);

	TEST("the next turn on another connection leaves it open, a call that was read is left to "
	     "its conversation");
	begin();
	late_llm(5, 9, 1, 20);
	llm_ends(llm_open_on(6, 7, 30, "uA"), 40, CALL_OK);
	CHECK(out.n == 0 && turns_open_count(engine) == 2);
	llm_ends(llm_open_on(6, 8, 50, "uB"), 60, CALL_OK);
	CHECK(out.n == 0 && turns_open_count(engine) == 3);
	llm_ends(llm_open_on(5, 8, 70, "uB aB uB2"), 80, CALL_OK);
	CHECK(out.n == 2 && turns_open_count(engine) == 2);
	finish(100);

	TEST("a tool's result on its connection closes it too");
	begin();
	late_llm(5, 9, 1, 20);
	llm_ends(llm_open_on(5, 7, 30, "u1 a1 t1"), 40, CALL_OK);
	CHECK(out.n == 1 && out.turns[0].id == 1);
	finish(100);
}

static struct call *store_open(uint32_t tid, uint64_t ms)
{
	struct call *c = call_at(CALL_STORAGE, tid, 0, ms);

	turns_call_opened(engine, c, &llm_place);
	turns_call_sent(engine, c, &llm_place);
	return c;
}

static void test_stalled(void)
{
	static const enum call_status given_up[] = { CALL_ABORTED, CALL_TIMEOUT, CALL_UNKNOWN };
	struct call *c;

	for (size_t i = 0; i < 3; i++) {
		TEST("a storage call that hung when the run ended makes its turn the stalled one, "
		     "not the one active last");
		begin();
		llm(1, 10, 20, "uA");
		c = store_open(1, 25);
		llm(2, 30, 40, "uB");
		store(2, 41, 42, WRITE);
		call_end(c, 900, given_up[i], &llm_place);
		turns_end(engine, 901 * MS, true);
		CHECK(turn_of("s1", 0)->status == TURN_STALLED &&
		      turn_of("s1", 0)->storage_calls == 1);
		CHECK(turn_of("s2", 0)->status == TURN_OK);
		finish(1000);
	}

	TEST("so does one that is still open, of a helper thread, in the turn it was made for");
	begin();
	llm(2, 10, 20, "uB");
	llm(1, 30, 40, "uA");
	c = store_open(9, 45);
	llm(2, 50, 60, "uB aB uB2");
	turns_end(engine, 900 * MS, true);
	CHECK(out.n == 3 && turn_of("s2", 0)->status == TURN_STALLED);
	CHECK(turn_of("s1", 1)->status == TURN_OK && turn_of("s1", 0)->status == TURN_OK);
	call_free(c);
	finish(1000);

	TEST("an LLM call that hung stalls its turn; one that timed out before others got on does "
	     "not");
	begin();
	llm_ends(llm_open(3, 0, 5, "uC"), 15, CALL_TIMEOUT);
	c = llm_open(1, 0, 10, "uA");
	llm(2, 30, 40, "uB");
	llm_ends(c, 900, CALL_ABORTED);
	turns_end(engine, 901 * MS, true);
	CHECK(turn_of("s2", 0)->status == TURN_STALLED && turn_of("s3", 0)->status == TURN_OK);
	CHECK(turn_of("s1", 0)->status == TURN_TIMEOUT);
	finish(1000);

	TEST("where no call hangs the turn active last is the stalled one");
	begin();
	llm(1, 10, 20, "uA");
	llm(2, 30, 40, "uB");
	turns_end(engine, 900 * MS, true);
	CHECK(turn_of("s1", 0)->status == TURN_OK && turn_of("s2", 0)->status == TURN_STALLED);
	finish(1000);
}

int main(void)
{
	test_executor();
	test_pools();
	test_event_loops();
	test_late();
	test_stalled();
	return DONE();
}
