/* SPDX-License-Identifier: BSD-2-Clause */
/* Turns told by requests to the target (http), by what the run writes (jsonl, stdout) and by quiet gaps (idle). */
#include "unit/turn_fixture_told.h"

static void test_served_by_threads(void)
{
	const struct turn *t;
	struct call *a, *b;

	TEST("a request served by a thread is a turn with that thread's calls");
	begin_by("http");
	a = inbound(11, 100, "alice", NULL, &nobody);
	store(11, 101, 103, READ);
	b = inbound(12, 102, "bob", NULL, &nobody);
	store(12, 104, 105, READ);
	llm(11, 105, 150, "u1");
	llm(12, 106, 160, "u1");
	store(11, 151, 152, WRITE);
	reply(a, 155);
	reply(b, 170);
	a = inbound(11, 200, "alice", NULL, &nobody);
	llm(11, 205, 250, "u1 a1 u2");
	reply(a, 260);
	finish(300);
	t = turn_of("alice", 0);
	CHECK(out.n == 3 && out.opened == 3 && out.outside == 0 && out.booked == 3);
	CHECK(t->start_ns == 100 * MS && t->end_ns == 155 * MS && t->llm_ns == 45 * MS);
	CHECK(t->storage_calls == 2 && t->status == TURN_OK && !t->attribution_order);
	CHECK(orchestration(t) == 7 * (int64_t)MS && t->role == LLM_ROLE_USER);
	t = turn_of("bob", 0);
	CHECK(t->storage_calls == 1 && t->llm_calls == 1 && !t->attribution_order);
	CHECK(turn_of("alice", 1)->llm_calls == 1);
}

static void test_served_by_tasks(void)
{
	struct call *a, *b, *la, *lb;
	const struct turn *t;

	TEST("a request served by an event loop has the calls of the task that wrote its reply");
	begin_by("http");
	a = inbound(LOOP, 100, "alice", NULL, &nobody);
	b = inbound(LOOP, 101, "bob", NULL, &nobody);
	store_as("L1", LOOP, 70, 102, 103, READ);
	store_as("L1", LOOP, 80, 102, 104, READ);
	la = llm_open(LOOP, 70, 105, "u1");
	lb = llm_open(LOOP, 80, 106, "u1");
	llm_ends(lb, 130, CALL_OK);
	llm_ends(la, 140, CALL_OK);
	store_as("L1", LOOP, 70, 141, 142, WRITE);
	reply_as(b, LOOP, 80, 145, CALL_OK);
	reply_as(a, LOOP, 70, 150, CALL_OK);
	finish(300);
	t = turn_of("alice", 0);
	CHECK(out.n == 2 && t->llm_ns == 35 * MS && t->storage_calls == 2);
	CHECK(!t->attribution_order);
	t = turn_of("bob", 0);
	CHECK(t->llm_ns == 24 * MS && t->storage_calls == 1 && !t->attribution_order);

	TEST("what the task of a connection did for an earlier request stays out of the next");
	begin_by("http");
	a = inbound(LOOP, 100, "alice", NULL, &nobody);
	llm_ends(llm_open(LOOP, 70, 105, "u1"), 120, CALL_OK);
	reply_as(a, LOOP, 70, 130, CALL_OK);
	store_as("L1", LOOP, 70, 131, 132, WRITE);
	a = inbound(LOOP, 200, "alice", NULL, &nobody);
	llm_ends(llm_open(LOOP, 70, 205, "u1 a1 u2"), 220, CALL_OK);
	reply_as(a, LOOP, 70, 230, CALL_OK);
	finish(300);
	t = turn_of("alice", 1);
	CHECK(out.n == 2 && t->start_ns == 200 * MS && t->storage_calls == 0);
}

static void test_served_by_helpers(void)
{
	struct call *a, *b;
	const struct turn *t;

	TEST("a helper thread's call is told by the message it carries");
	begin_by("http");
	a = inbound(LOOP, 100, "alice", "u1", &nobody);
	b = inbound(LOOP, 101, "bob", "u2", &nobody);
	llm(21, 105, 120, "u2");
	llm(22, 106, 130, "u1");
	reply_as(a, LOOP, 70, 150, CALL_OK);
	reply_as(b, LOOP, 80, 150, CALL_OK);
	finish(300);
	t = turn_of("alice", 0);
	CHECK(out.n == 2 && t->llm_ns == 24 * MS && !t->attribution_order);
	CHECK(turn_of("bob", 0)->llm_ns == 15 * MS);

	TEST("a helper thread's call that nothing ties to a request goes by order, and says so");
	begin_by("http");
	a = inbound(LOOP, 100, "alice", NULL, &nobody);
	llm(21, 105, 120, "u9");
	reply_as(a, LOOP, 70, 150, CALL_OK);
	finish(300);
	t = turn_of("alice", 0);
	CHECK(t->llm_calls == 1 && t->attribution_order);

	TEST("a call made while nothing is served is in no turn, and that is said");
	begin_by("http");
	llm(21, 105, 120, "u9");
	finish(300);
	CHECK(out.n == 0 && out.outside == 1 && out.why == OUTSIDE_NONE_NEAR);
}

static void test_outcomes(void)
{
	struct call *a;

	TEST("the outcome of a served turn is that of its reply");
	begin_by("http");
	a = inbound(11, 100, "alice", NULL, &nobody);
	llm_ends(llm_open(11, 0, 105, "u1"), 110, CALL_ERROR);
	llm(11, 115, 130, "u1");
	reply(a, 140);
	a = inbound(11, 200, "alice", NULL, &nobody);
	llm(11, 205, 210, "u1 a1 u2");
	a->http_status = 500;
	reply_as(a, 11, 0, 220, CALL_ERROR);
	finish(300);
	CHECK(turn_of("alice", 0)->status == TURN_OK && turn_of("alice", 0)->retries == 1);
	CHECK(turn_of("alice", 0)->llm_calls == 1 && turn_of("alice", 0)->backoff_ns == 5 * MS);
	CHECK(turn_of("alice", 1)->status == TURN_ERROR);
	CHECK(turn_of("alice", 1)->error_http_status == 500);

	TEST("a request that hangs when the run ends is a stalled turn");
	begin_by("http");
	a = inbound(11, 100, "alice", NULL, &nobody);
	llm_ends(llm_open(11, 0, 105, "u1"), 250, CALL_UNKNOWN);
	turns_end(engine, 250 * MS, true);
	call_free(a);
	CHECK(out.n == 1 && out.turns[0].status == TURN_STALLED && out.turns[0].llm_calls == 1);
	turns_free(engine);
}

static void test_watched_client(void)
{
	struct call_client client = { 0 };
	struct call *mine, *a;
	const struct turn *t;

	TEST("a turn whose client is watched is the client's, from its own call's start to its "
	     "end");
	begin_by("http");
	mine = other_open(50, 50, 90);
	client = (struct call_client){ mine->id, false, CALL_OTHER, { 50, 50, 0 }, 90 * MS };
	a = inbound(11, 100, "alice", NULL, &client);
	llm(11, 105, 150, "u1");
	reply(a, 155);
	CHECK(out.n == 0);
	other_ends(mine, 160);
	CHECK(out.n == 1);
	finish(300);
	t = turn_of("alice", 0);
	CHECK(t->pid == 50 && t->start_ns == 90 * MS && t->end_ns == 160 * MS);
	CHECK(t->llm_ns == 45 * MS && out.outside == 0);

	TEST("what a server does for a run that logs its turns is in the run's turn");
	begin_by("jsonl:*.jsonl");
	turns_thread_started(engine, 50, 50);
	for (uint64_t ms = 100; ms <= 300; ms += 200) {
		struct turn_mark m = { .kind = MARK_TURN,
			               .lane = { 50, 50, 0 },
			               .start_ns = (ms + 80) * MS,
			               .ts_ns = (ms + 80) * MS,
			               .session_id = "test-1" };

		mine = other_open(50, 50, ms);
		client =
			(struct call_client){ mine->id, false, CALL_OTHER, { 50, 50, 0 }, ms * MS };
		a = inbound(11, ms + 5, "x", NULL, &client);
		store(11, ms + 6, ms + 9, READ);
		llm(11, ms + 10, ms + 50, "u1");
		reply(a, ms + 60);
		other_ends(mine, ms + 65);
		turns_mark(engine, &m);
	}
	finish(500);
	t = turn_of("test-1", 1);
	CHECK(out.n == 2 && out.opened == 2 && out.outside == 0);
	CHECK(t->pid == 50 && t->start_ns == 300 * MS && t->end_ns == 380 * MS);
	CHECK(t->llm_ns == 40 * MS && t->storage_calls == 1 && t->storage_ns == 3 * MS);
	CHECK(!t->at_least && !t->attribution_order && t->status == TURN_OK);
}

static void test_log(void)
{
	const struct turn *t;

	TEST("a line of the log ends the turn of the thread that wrote it");
	begin_by("jsonl:*.jsonl");
	mark_as(MARK_SESSION_BEGIN, 100, 5, "t1");
	store(100, 10, 12, READ);
	llm(100, 15, 40, "u1");
	store(100, 41, 43, WRITE);
	mark(100, 50, "t1");
	mark_as(MARK_REPLY, 100, 51, "t1");
	store(100, 60, 61, READ);
	llm(100, 65, 90, "u7");
	mark(100, 95, "t2");
	finish(300);
	t = turn_of("t1", 0);
	CHECK(out.n == 2 && out.outside == 0 && t->start_ns == 10 * MS && t->end_ns == 50 * MS);
	CHECK(t->storage_calls == 2 && t->llm_calls == 1 && t->status == TURN_OK && !t->at_least);
	CHECK(turn_of("t2", 0)->start_ns == 60 * MS && turn_of("t2", 0)->storage_calls == 1);

	TEST("calls that the log says were the runner's own are in no turn");
	begin_by("jsonl:*.jsonl");
	mark_as(MARK_SESSION_BEGIN, 100, 5, "t1");
	llm(100, 15, 40, "u1");
	mark(100, 50, "t1");
	llm(100, 55, 60, "judge");
	mark_as(MARK_ASIDE, 100, 62, "t1");
	llm(100, 65, 80, "u1 a1 u2");
	mark(100, 90, "t1");
	llm(100, 95, 99, "judge");
	finish(300);
	CHECK(out.n == 2 && out.outside == 2 && out.booked == 2);
	CHECK(turn_of("t1", 1)->llm_calls == 1 && turn_of("t1", 1)->start_ns == 65 * MS);

	TEST("a turn without a call is a turn, for the log says so");
	begin_by("jsonl:*.jsonl");
	mark(100, 50, "fill");
	mark(100, 60, "fill");
	finish(300);
	CHECK(out.n == 2 && turn_of("fill", 1)->llm_calls == 0);
	CHECK(turn_of("fill", 1)->status == TURN_OK && turn_of("fill", 1)->end_ns == 60 * MS);

	TEST("eight threads log for themselves, each has its own calls");
	begin_by("jsonl:*.jsonl");
	for (uint32_t round = 0; round < 3; round++) {
		struct call *c[8];

		for (uint32_t k = 0; k < 8; k++) {
			char text[16];

			snprintf(text, sizeof(text), "u%u%u", k, round);
			store(k + 1, round * 100 + k, round * 100 + k + 1, READ);
			c[k] = llm_open(k + 1, 0, round * 100 + 10 + k, text);
		}
		for (uint32_t k = 0; k < 8; k++) {
			char name[16];

			llm_ends(c[k], round * 100 + 40 + k, CALL_OK);
			snprintf(name, sizeof(name), "t%u", k);
			mark(k + 1, round * 100 + 60 + k, name);
		}
	}
	finish(400);
	CHECK(out.n == 24 && out.outside == 0);
	for (int i = 0; i < out.n; i++)
		CHECK(out.turns[i].llm_calls == 1 && out.turns[i].llm_ns == 30 * MS &&
		      out.turns[i].storage_calls == 1 && !out.turns[i].attribution_order);

	TEST("the first turn of a thread that was there before us may have begun before");
	begin_by("jsonl:*.jsonl");
	llm(100, 15, 40, "u1");
	mark(100, 50, "t1");
	llm(100, 55, 60, "u1 a1 u2");
	mark(100, 65, "t1");
	finish(300);
	CHECK(turn_of("t1", 0)->at_least && !turn_of("t1", 1)->at_least);

	TEST("a logger's thread tells of the turn that was over first, and that this went by "
	     "order");
	begin_by("jsonl:*.jsonl");
	llm(1, 15, 40, "u1");
	llm(2, 16, 30, "u2");
	mark(9, 50, "second");
	mark(9, 51, "first");
	finish(300);
	CHECK(out.n == 2 && turn_of("second", 0)->llm_ns == 14 * MS);
	CHECK(turn_of("first", 0)->llm_ns == 25 * MS && turn_of("first", 0)->attribution_order);

	TEST("a turn that the run dies in is a turn, with how its call ended");
	begin_by("jsonl:*.jsonl");
	llm(100, 15, 40, "u1");
	mark(100, 50, "t1");
	llm_ends(llm_open(100, 0, 55, "u1 a1 u2"), 100, CALL_ABORTED);
	turns_process_exit(engine, 100, 100 * MS);
	finish(300);
	CHECK(out.n == 2 && out.turns[1].status == TURN_ABORTED);
}

static void test_auto(void)
{
	struct call *a;

	TEST("auto goes by LLM requests until a request that brings a message is served");
	begin_by("auto");
	CHECK(turns_kind(engine) == TURNS_LLM);
	llm(11, 15, 40, "u1");
	a = inbound(11, 100, "alice", NULL, &nobody);
	CHECK(turns_kind(engine) == TURNS_HTTP && out.chosen == TURNS_HTTP && out.n == 1);
	llm(11, 105, 150, "u1 a1 u2");
	reply(a, 155);
	finish(300);
	CHECK(out.n == 2 && turn_of("s1", 0)->llm_calls == 1);
	CHECK(turn_of("alice", 0)->llm_calls == 1 && out.outside == 0);

	TEST("auto takes the log of a known runner when its first line is written: that turn is "
	     "whole");
	begin_by("auto");
	store(100, 10, 12, READ);
	llm(100, 15, 40, "u1");
	mark(100, 50, "t1");
	CHECK(turns_kind(engine) == TURNS_JSONL && out.n == 1);
	llm(100, 65, 90, "u7");
	mark(100, 95, "t2");
	finish(300);
	CHECK(out.n == 2 && turn_of("t1", 0)->llm_calls == 1 && turn_of("t2", 0)->llm_calls == 1);
	CHECK(turn_of("t1", 0)->end_ns == 50 * MS);

	TEST("an LLM that is served here to a watched client is no turn source");
	begin_by("auto");
	a = inbound(11, 100, "", NULL,
	            &(struct call_client){ 7, false, CALL_LLM, { 50, 50, 0 }, 90 * MS });
	reply(a, 155);
	CHECK(turns_kind(engine) == TURNS_LLM);
	finish(300);
	CHECK(out.n == 0);
}

static void test_lines_of_output(void)
{
	TEST("a line of output that matches ends a turn");
	begin_by("stdout:^turn");
	llm(100, 15, 40, "u1");
	mark(100, 50, "");
	llm(100, 55, 60, "u2");
	mark(100, 65, "");
	finish(300);
	CHECK(out.n == 2 && turn_of("s1", 1)->llm_ns == 5 * MS &&
	      turn_of("s1", 1)->end_ns == 65 * MS);

	TEST("lines that come before the first call begin turns");
	begin_by("stdout:^turn");
	mark(100, 5, "a");
	llm(100, 15, 40, "u1");
	mark(100, 50, "b");
	llm(100, 55, 60, "u2");
	finish(300);
	CHECK(out.n == 2 && turn_of("a", 0)->llm_ns == 25 * MS &&
	      turn_of("b", 0)->llm_ns == 5 * MS);
	CHECK(out.outside == 0);
}

static void test_quiet_gaps(void)
{
	TEST("a quiet gap ends a turn, shorter ones do not");
	begin_by("idle:50");
	store(100, 100, 102, WRITE);
	llm(100, 105, 110, "u1");
	llm(100, 130, 140, "u1 a1 u2");
	turns_tick(engine, 180 * MS);
	CHECK(out.n == 0);
	turns_tick(engine, 191 * MS);
	CHECK(out.n == 1);
	llm(100, 200, 230, "u1 a1 u2 a2 u3");
	turns_tick(engine, 250 * MS);
	finish(260);
	CHECK(out.n == 2 && turn_of("s1", 0)->llm_calls == 2 &&
	      turn_of("s1", 0)->storage_calls == 1);
	CHECK(turn_of("s1", 0)->end_ns == 140 * MS && turn_of("s1", 1)->llm_calls == 1);

	TEST("a call that is open is no quiet gap");
	begin_by("idle:50");
	{
		struct call *c = llm_open(100, 0, 100, "u1");

		turns_tick(engine, 400 * MS);
		CHECK(out.n == 0);
		llm_ends(c, 410, CALL_OK);
	}
	finish(500);
	CHECK(out.n == 1);
}

int main(void)
{
	test_served_by_threads();
	test_served_by_tasks();
	test_served_by_helpers();
	test_outcomes();
	test_watched_client();
	test_log();
	test_auto();
	test_lines_of_output();
	test_quiet_gaps();
	return DONE();
}
