/* SPDX-License-Identifier: BSD-2-Clause */
/* Every clause of the stall rule: what begins a stall, what does not, and what ends one. */
#include "stall.h"
#include "test.h"

#define S 1000000000ull
#define T (900 * S) /* the timeout: 15 minutes */
#define START (50 * S)

static struct call call_at(enum call_class class, uint32_t tid, uint64_t start_ns)
{
	struct call c = { .class = class, .pid = 7, .tid = tid, .start_ns = start_ns };

	c.request_ns = c.sent_ns = start_ns;
	return c;
}

static void call_done(struct stall *s, struct call *c, uint64_t end_ns)
{
	c->end_ns = end_ns;
	stall_call_done(s, c);
}

static void activity(struct stall *s, uint32_t tid, uint64_t useful_ns, uint64_t cpu_ns)
{
	struct ev_activity a = { .h = { .pid = 7, .tid = tid },
		                 .useful_ns = useful_ns,
		                 .last_ns = useful_ns,
		                 .cpu_ns = cpu_ns };

	stall_activity(s, &a);
}

/* Ticks every second; when the first change came, 0 if none did. */
static uint64_t ticks(struct stall *s, uint64_t from, uint64_t to, const struct call *open,
                      enum stall_change *change)
{
	for (uint64_t now = from; now <= to; now += S) {
		*change = stall_tick(s, now, &open, open != NULL);
		if (*change != STALL_NONE)
			return now;
	}
	return 0;
}

static void hung_calls(void)
{
	struct stall *s = stall_new(T, START);
	struct call c = call_at(CALL_LLM, 7, 100 * S), other = call_at(CALL_STORAGE, 7, 2100 * S);
	enum stall_change change;

	TEST("an LLM call that is silent for the timeout is a stall, at that moment and once");
	stall_call_started(s, &c);
	CHECK(ticks(s, START, 100 * S + T - 1, &c, &change) == 0);
	CHECK(ticks(s, 100 * S + T, 2000 * S, &c, &change) == 100 * S + T);
	CHECK(change == STALL_BEGAN && stall_stuck(s) && stall_count(s) == 1);
	CHECK(ticks(s, 100 * S + T + S, 2000 * S, &c, &change) == 0);

	TEST("it began when the last clock moved, here the start of the watch");
	CHECK(stall_last(s)->since_ns == START && stall_last(s)->end_ns == 0);
	CHECK(!strcmp(stall_last(s)->clock, "content"));

	TEST("it ends when a call completes, and its length is recorded");
	call_done(s, &c, 2050 * S);
	CHECK(ticks(s, 2051 * S, 2060 * S, NULL, &change) == 2051 * S && change == STALL_ENDED);
	CHECK(!stall_stuck(s) && stall_last(s)->end_ns == 2050 * S);

	TEST("after progress it can fire again, named by the clock that moved last");
	stall_call_started(s, &other);
	CHECK(ticks(s, 2061 * S, 4000 * S, &other, &change) == 2100 * S + T &&
	      change == STALL_BEGAN);
	CHECK(stall_count(s) == 2 && !strcmp(stall_last(s)->clock, "calls"));
	CHECK(stall_last(s)->since_ns == 2050 * S);

	TEST("a stall that lasts until the run ends gets its end there");
	stall_finish(s, 5000 * S);
	size_t n;
	CHECK(stall_periods(s, &n)[1].end_ns == 5000 * S && n == 2);
	CHECK(stall_periods(s, &n)[0].end_ns == 2050 * S);
	stall_free(s);
}

static void helpers_do_not_hide(void)
{
	struct stall *s = stall_new(T, START);
	struct call c = call_at(CALL_LLM, 9, 100 * S), health = call_at(CALL_HEARTBEAT, 11, 0);
	uint64_t began = 0;

	TEST("a helper thread's ticks and health checks do not hide a hung call");
	stall_call_started(s, &c);
	for (uint64_t now = START; now < 3000 * S && !began; now += S) {
		const struct call *open = &c;

		activity(s, 20, now, now / 100);
		stall_call_started(s, &health);
		call_done(s, &health, now);
		if (stall_tick(s, now, &open, 1) == STALL_BEGAN)
			began = now;
	}
	CHECK(began == 100 * S + T);
	stall_free(s);

	TEST("nor do they hide that the threads that matter do nothing, with no call open");
	s = stall_new(T, START);
	began = 0;
	stall_call_started(s, &c);
	call_done(s, &c, 200 * S);
	activity(s, 9, 250 * S, 0);
	for (uint64_t now = 200 * S; now < 3000 * S && !began; now += S) {
		activity(s, 20, now, now / 100);
		stall_call_started(s, &health);
		call_done(s, &health, now);
		if (stall_tick(s, now, NULL, 0) == STALL_BEGAN)
			began = now;
	}
	CHECK(began == 250 * S + T);
	CHECK(!strcmp(stall_last(s)->clock, "syscalls") && stall_last(s)->since_ns == 250 * S);

	TEST("a thread that ended matters no more, and its last doing is not forgotten");
	stall_thread_exit(s, 7, 9);
	stall_thread_exit(s, 7, 9);
	CHECK(stall_last_progress(s) == 250 * S);
	stall_free(s);
}

static void progress_is_no_stall(void)
{
	struct stall *s = stall_new(T, START);
	struct llm_call llm = { .streamed = true };
	struct call c = call_at(CALL_LLM, 7, 100 * S);
	enum stall_change change;
	uint64_t now;

	TEST("a stream whose content comes slowly is progress");
	c.llm = &llm;
	stall_call_started(s, &c);
	for (now = 100 * S; now < 9000 * S; now += 800 * S) {
		llm.last_content_ns = now;
		stall_content(s, now);
		CHECK(ticks(s, now, now + 799 * S, &c, &change) == 0);
	}

	TEST("when its content stops it is a stall, though pings go on");
	c.last_byte_ns = now + T;
	CHECK(ticks(s, now, now + T, &c, &change) == llm.last_content_ns + T);
	CHECK(!strcmp(stall_last(s)->clock, "content") && change == STALL_BEGAN);
	CHECK(stall_last(s)->since_ns == llm.last_content_ns);
	CHECK(call_silent_since(&c) == llm.last_content_ns);

	TEST("where content could not be read every byte counts");
	c.partial = PARTIAL_TRUNCATED;
	CHECK(call_silent_since(&c) == now + T);
	stall_free(s);

	TEST("turns are progress");
	s = stall_new(T, START);
	c = call_at(CALL_LLM, 7, 100 * S);
	stall_call_started(s, &c);
	for (now = START; now < 5000 * S; now += 600 * S) {
		stall_turn(s, now);
		CHECK(ticks(s, now, now + 599 * S, &c, &change) == 0);
	}
	stall_free(s);
}

static void waiting_is_no_stall(void)
{
	struct stall *s = stall_new(T, START);
	struct call pop = call_at(CALL_STORAGE, 7, 100 * S), hung = call_at(CALL_LLM, 8, 10000 * S);
	const struct call *both[] = { &pop, &hung };
	enum stall_change change;
	uint64_t began = 0;

	TEST("a worker blocked in BLPOP waits and is not stuck, for hours");
	pop.blocks = true;
	stall_call_started(s, &pop);
	CHECK(ticks(s, START, 10000 * S, &pop, &change) == 0);

	TEST("nor is one that polls its queue, in the moment between two polls");
	call_done(s, &pop, 10001 * S);
	CHECK(stall_tick(s, 10001 * S, NULL, 0) == STALL_NONE);
	CHECK(ticks(s, 10002 * S, 10000 * S + T, NULL, &change) == 0);

	TEST("but polling a queue does not hide an LLM call that hangs beside it");
	stall_call_started(s, &hung);
	for (uint64_t now = 10001 * S; now < 13000 * S && !began; now += S) {
		pop.start_ns = now;
		call_done(s, &pop, now);
		if (stall_tick(s, now, both, 2) == STALL_BEGAN)
			began = now;
	}
	CHECK(began == 10000 * S + T);
	CHECK(!stall_excused(s, both, 2));
	stall_free(s);

	TEST("a wait that turns out to be meant, when looked at, was no stall");
	const struct call *one = &pop;
	s = stall_new(T, START);
	CHECK(ticks(s, START, 3000 * S, NULL, &change) == START + T && stall_count(s) == 1);
	CHECK(!stall_excused(s, NULL, 0) && stall_stuck(s));
	CHECK(stall_excused(s, &one, 1) && !stall_stuck(s));
	CHECK(stall_count(s) == 0 && !stall_last(s) && !stall_excused(s, &one, 1));
	CHECK(ticks(s, START + T, 9000 * S, &pop, &change) == 0);

	TEST("but the one before it stays");
	CHECK(ticks(s, 9001 * S, 12000 * S, NULL, &change) == 9000 * S + T);
	stall_name(s, "deadlock");
	call_done(s, &hung, 13000 * S);
	CHECK(stall_tick(s, 13000 * S, NULL, 0) == STALL_ENDED);
	CHECK(ticks(s, 13001 * S, 16000 * S, NULL, &change) == 13000 * S + T);
	CHECK(stall_excused(s, &one, 1) && stall_count(s) == 1);
	CHECK(!strcmp(stall_last(s)->verdict, "deadlock") && stall_last(s)->end_ns == 13000 * S);
	stall_free(s);
}

static void work_is_no_stall(void)
{
	struct stall *s = stall_new(T, START);
	struct call c = call_at(CALL_LLM, 7, 100 * S);
	uint64_t cpu = 500 * S, now = 101 * S;
	bool quiet = true;
	enum stall_change change;

	TEST("a thread that only computes is stuck after the timeout: CPU time is no progress");
	stall_call_started(s, &c);
	call_done(s, &c, 101 * S);
	for (change = STALL_NONE; now < 5000 * S && change == STALL_NONE; now += S) {
		cpu += S;
		activity(s, 7, 0, cpu);
		change = stall_tick(s, now, NULL, 0);
	}
	CHECK(change == STALL_BEGAN && now - S == 101 * S + T);
	CHECK(stall_last(s)->since_ns == 101 * S && !strcmp(stall_last(s)->clock, "calls"));
	stall_free(s);

	TEST("a tool that the run waits for computes and does useful things: not stuck");
	s = stall_new(T, START);
	stall_call_started(s, &c);
	call_done(s, &c, 101 * S);
	activity(s, 8, 0, cpu);
	for (now = 101 * S; now < 5000 * S; now += S) {
		cpu += S / 10;
		activity(s, 8, now / (500 * S) * 500 * S, cpu);
		quiet = quiet && stall_tick(s, now, NULL, 0) == STALL_NONE;
	}
	CHECK(quiet);

	TEST("but if it only computes it is");
	for (change = STALL_NONE; now < 9000 * S && change == STALL_NONE; now += S) {
		cpu += S / 10;
		activity(s, 8, 4500 * S, cpu);
		change = stall_tick(s, now, NULL, 0);
	}
	CHECK(change == STALL_BEGAN && now < 5000 * S + T);
	stall_free(s);

	TEST("and if it uses less than 5 % of a CPU it does nothing but tick");
	s = stall_new(T, START);
	stall_call_started(s, &c);
	call_done(s, &c, 101 * S);
	for (change = STALL_NONE, now = 101 * S; now < 5000 * S && change == STALL_NONE; now += S) {
		cpu += S / 100;
		activity(s, 8, now, cpu);
		change = stall_tick(s, now, NULL, 0);
	}
	CHECK(change == STALL_BEGAN && now - S <= 101 * S + T + T / 16);
	CHECK(stall_last(s)->since_ns == 101 * S);
	stall_free(s);

	TEST("a thread that matters and does useful things without calls is not stuck");
	s = stall_new(T, START);
	stall_call_started(s, &c);
	call_done(s, &c, 101 * S);
	for (quiet = true, now = 101 * S; now < 5000 * S; now += S) {
		activity(s, 7, now / (500 * S) * 500 * S, 0);
		quiet = quiet && stall_tick(s, now, NULL, 0) == STALL_NONE;
	}
	CHECK(quiet);
	stall_free(s);

	TEST("while no call was ever seen every thread counts");
	s = stall_new(T, START);
	for (quiet = true, now = START; now < 3000 * S; now += S) {
		activity(s, 20, now, 0);
		quiet = quiet && stall_tick(s, now, NULL, 0) == STALL_NONE;
	}
	CHECK(quiet);
	CHECK(ticks(s, now, 5000 * S, NULL, &change) == now - S + T && change == STALL_BEGAN);
	stall_free(s);
}

static void chat(struct stall *s, uint64_t end_ns, enum call_status status)
{
	static struct llm_call llm = { .kind = LLM_CHAT };
	struct call c = call_at(CALL_LLM, 7, end_ns - S);

	c.llm = &llm;
	c.status = status;
	stall_call_started(s, &c);
	stall_bytes(s, &c, c.start_ns);
	if (status == CALL_OK)
		stall_content(s, end_ns);
	call_done(s, &c, end_ns);
}

/* A call every 10 s, from from on, until a stall begins. */
static uint64_t chats(struct stall *s, uint64_t from, uint64_t to, enum call_status status)
{
	for (uint64_t now = from; now <= to; now += S) {
		if (now % (10 * S) == 0)
			chat(s, now, status);
		if (stall_tick(s, now, NULL, 0) == STALL_BEGAN)
			return now;
	}
	return 0;
}

static void output(struct stall *s, uint32_t tid, uint64_t ts_ns, uint64_t written)
{
	struct ev_activity a = { .h = { .pid = 7, .tid = tid },
		                 .useful_ns = ts_ns,
		                 .last_ns = ts_ns,
		                 .written = written };

	stall_activity(s, &a);
}

static void failing_is_no_progress(void)
{
	static const enum call_status kinds[] = { CALL_ERROR, CALL_RATE_LIMITED, CALL_TIMEOUT,
		                                  CALL_ABORTED };
	struct call c = call_at(CALL_STORAGE, 7, 100 * S);
	struct stall_clocks clocks;
	struct stall *s;
	bool quiet;

	TEST("calls that fail again and again for the timeout are a stall, however they fail");
	for (size_t i = 0; i < 4; i++) {
		s = stall_new(T, START);
		chat(s, 90 * S, CALL_OK);
		CHECK(chats(s, 100 * S, 5000 * S, kinds[i]) == 99 * S + T);
		CHECK(!strcmp(stall_last(s)->clock, "content") &&
		      stall_last(s)->since_ns == 99 * S);
		stall_clocks(s, &clocks);
		CHECK(clocks.failed > 80 && clocks.calls_ns == 90 * S);

		TEST("it ends when one succeeds");
		chat(s, 6000 * S, CALL_OK);
		CHECK(stall_tick(s, 6001 * S, NULL, 0) == STALL_ENDED);
		stall_free(s);
	}

	TEST("one success now and then is progress");
	s = stall_new(T, START);
	quiet = true;
	for (uint64_t now = 100 * S; now < 9000 * S; now += 800 * S) {
		chat(s, now, CALL_OK);
		quiet = quiet && !chats(s, now + 10 * S, now + 790 * S, CALL_RATE_LIMITED);
	}
	CHECK(quiet);
	stall_free(s);

	TEST("three failures and then other work are no loop");
	s = stall_new(T, START);
	for (uint64_t i = 1; i <= 3; i++)
		chat(s, (100 + i) * S, CALL_ERROR);
	for (uint64_t now = 104 * S; now < 5000 * S; now += S) {
		activity(s, 7, now, 0);
		quiet = quiet && stall_tick(s, now, NULL, 0) == STALL_NONE;
	}
	CHECK(quiet);
	stall_free(s);

	TEST("connections that cannot be made count as such failures, if a thread that matters "
	     "tries");
	s = stall_new(T, START);
	chat(s, 90 * S, CALL_OK);
	for (uint64_t now = 100 * S; now < 3000 * S; now += S) {
		activity(s, 7, now, 0);
		stall_connect_failed(s, 7, 30, now);
		quiet = quiet && stall_tick(s, now, NULL, 0) == STALL_NONE;
	}
	CHECK(quiet);
	for (uint64_t i = 0; i < 3; i++)
		stall_connect_failed(s, 7, 7, 2999 * S);
	CHECK(stall_tick(s, 3000 * S, NULL, 0) == STALL_BEGAN);
	stall_free(s);

	TEST("a store that says 'there is none' has answered: no failure, no progress");
	s = stall_new(T, START);
	c.status = CALL_ERROR;
	c.http_status = 404;
	for (uint64_t now = 100 * S; now < 5000 * S; now += S) {
		stall_call_started(s, &c);
		call_done(s, &c, now);
		activity(s, 7, now, 0);
		quiet = quiet && stall_tick(s, now, NULL, 0) == STALL_NONE;
	}
	stall_clocks(s, &clocks);
	CHECK(quiet && clocks.calls_ns == 0 && clocks.failed == 0);

	TEST("a long reply of a store is content though a call failed before, and so are bytes "
	     "nobody can read");
	c.http_status = 500;
	call_done(s, &c, 5000 * S);
	c.bytes_in = 10;
	stall_bytes(s, &c, 5001 * S);
	stall_clocks(s, &clocks);
	CHECK(clocks.failed == 1 && clocks.content_ns == 0);
	c.bytes_in = 1 << 20;
	stall_bytes(s, &c, 5002 * S);
	stall_clocks(s, &clocks);
	CHECK(clocks.failed == 0 && clocks.content_ns == 5002 * S);
	call_done(s, &c, 5003 * S);
	c.bytes_in = 10;
	c.proto = "generic";
	stall_bytes(s, &c, 5004 * S);
	stall_clocks(s, &clocks);
	CHECK(clocks.content_ns == 5004 * S);
	stall_free(s);
}

static void going_in_circles(void)
{
	struct stall *s = stall_new(T, START);
	struct stall_clocks clocks;
	enum stall_change change;
	bool quiet = true;

	TEST("calls that succeed while no turn ends and nothing is written are a stall of the "
	     "turns");
	stall_turn_opened(s, 99 * S);
	CHECK(chats(s, 100 * S, 5000 * S, CALL_OK) == 99 * S + T);
	CHECK(!strcmp(stall_last(s)->clock, "turns") && stall_last(s)->since_ns == 99 * S);
	stall_clocks(s, &clocks);
	CHECK(clocks.turns == 0 && clocks.calls_since_turn == 90);

	TEST("it lasts while calls go on, and ends with a turn");
	CHECK(chats(s, 1000 * S, 3000 * S, CALL_OK) == 0 && stall_stuck(s));
	stall_turn(s, 3001 * S);
	CHECK(stall_tick(s, 3002 * S, NULL, 0) == STALL_ENDED);
	CHECK(stall_last(s)->end_ns == 3001 * S);
	stall_clocks(s, &clocks);
	CHECK(clocks.turns == 1 && clocks.turns_ns == 3001 * S && clocks.calls_since_turn == 0);

	TEST("or with output");
	CHECK(chats(s, 3010 * S, 9000 * S, CALL_OK) == 3001 * S + T);
	output(s, 7, 4000 * S, 10);
	CHECK(stall_tick(s, 4000 * S, NULL, 0) == STALL_ENDED);
	stall_clocks(s, &clocks);
	CHECK(clocks.output_ns == 4000 * S);

	TEST("a run that writes, or begins turns, goes on");
	for (uint64_t now = 4000 * S; now < 9000 * S; now += 600 * S) {
		if (now % (1200 * S) < 600 * S)
			output(s, 7, now, now);
		else
			stall_turn_opened(s, now);
		quiet = quiet && !chats(s, now, now + 599 * S, CALL_OK);
	}
	CHECK(quiet);

	TEST("output of a thread that makes no calls hides no loop");
	quiet = false;
	for (uint64_t now = 10000 * S; now < 12000 * S && !quiet; now += 10 * S) {
		output(s, 20, now, now);
		chat(s, now, CALL_OK);
		quiet = stall_tick(s, now, NULL, 0) == STALL_BEGAN;
	}
	CHECK(quiet && !strcmp(stall_last(s)->clock, "turns"));
	stall_free(s);

	TEST("a turn of few and long calls is no loop");
	s = stall_new(T, START);
	for (uint64_t now = 100 * S; now < 100 * S + 19 * 500 * S; now += 500 * S) {
		chat(s, now, CALL_OK);
		CHECK(ticks(s, now, now + 400 * S, NULL, &change) == 0);
	}
	stall_free(s);
}

static void clock_that_expired(void)
{
	struct stall *s = stall_new(T, START);
	struct stall_clocks clocks;
	enum stall_change change;

	TEST("a stall is named by the newest clock that expired: output, if that came last");
	chat(s, 100 * S, CALL_OK);
	output(s, 7, 200 * S, 1);
	CHECK(ticks(s, 201 * S, 5000 * S, NULL, &change) == 200 * S + T);
	CHECK(!strcmp(stall_last(s)->clock, "output"));

	TEST("its verdict and its end stay with it");
	stall_name(s, "deadlock");
	stall_finish(s, 3000 * S);
	CHECK(stall_last(s)->lasted && !strcmp(stall_last(s)->verdict, "deadlock"));
	size_t n;
	CHECK(!strcmp(stall_periods(s, &n)[0].verdict, "deadlock") && n == 1);
	stall_free(s);

	TEST("the CPU clock moves with work, not with ticks");
	s = stall_new(T, START);
	for (uint64_t now = START; now <= 200 * S; now += S) {
		activity(s, 7, 60 * S, now <= 100 * S ? (now - START) / 2 : 25 * S + now / 100);
		stall_tick(s, now, NULL, 0);
	}
	stall_clocks(s, &clocks);
	CHECK(clocks.cpu_ns >= 100 * S && clocks.cpu_ns <= 110 * S);
	CHECK(clocks.syscalls_ns == 60 * S && clocks.any_syscall_ns == 60 * S);
	stall_free(s);

	TEST("a system call that did nothing is told apart from one that did");
	s = stall_new(T, START);
	struct ev_activity a = { .h = { .pid = 7, .tid = 7 }, .last_ns = 300 * S };
	stall_activity(s, &a);
	stall_clocks(s, &clocks);
	CHECK(clocks.any_syscall_ns == 300 * S && clocks.syscalls_ns == 0);
	CHECK(ticks(s, START, 300 * S + T - S, NULL, &change) == START + T);
	CHECK(!strcmp(stall_last(s)->clock, "content") && stall_last(s)->at_least);
	stall_name(s, "unknown");
	stall_free(s);
}

static void edges(void)
{
	struct stall *s = stall_new(0, START);
	struct call c = call_at(CALL_LLM, 7, 100 * S);
	enum stall_change change;

	TEST("a timeout of 0 is off");
	stall_call_started(s, &c);
	CHECK(ticks(s, START, 20000 * S, &c, &change) == 0);
	CHECK(!stall_last(s) && stall_count(s) == 0);
	stall_finish(s, 1);
	stall_free(s);

	TEST("time that seems to go backwards is no age");
	s = stall_new(T, START);
	CHECK(stall_tick(s, 0, NULL, 0) == STALL_NONE);
	stall_free(s);

	TEST("more stalls than are kept are counted");
	s = stall_new(S, START);
	for (uint64_t i = 0; i < STALL_PERIODS_MAX + 5; i++) {
		const struct call *open = &c;

		c.start_ns = c.request_ns = c.sent_ns = START + i * 10 * S;
		stall_tick(s, c.start_ns + 5 * S, &open, 1);
		call_done(s, &c, c.start_ns + 6 * S);
		stall_tick(s, c.start_ns + 6 * S, &open, 1);
	}
	size_t n;
	stall_periods(s, &n);
	CHECK(n == STALL_PERIODS_MAX && stall_count(s) == STALL_PERIODS_MAX + 5 && !stall_stuck(s));
	stall_free(s);
	stall_free(NULL);

	TEST("threads beyond the limit count as progress when they do something");
	s = stall_new(T, START);
	for (uint32_t i = 1; i < STALL_THREADS_MAX + 10; i++)
		activity(s, i, 0, 0);
	activity(s, STALL_THREADS_MAX + 20, 300 * S, 0);
	CHECK(stall_last_progress(s) == 300 * S);
	stall_free(s);
}

int main(void)
{
	hung_calls();
	helpers_do_not_hide();
	progress_is_no_stall();
	waiting_is_no_stall();
	work_is_no_stall();
	failing_is_no_progress();
	going_in_circles();
	clock_that_expired();
	edges();
	return DONE();
}
