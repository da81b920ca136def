/* SPDX-License-Identifier: BSD-2-Clause */
/* Turns at the edges: clients that leave early, errands, limits, calls that become something else, runs that end stuck. */
#include "unit/turn_fixture_told.h"

static uint64_t booked_on[4096];
static int nbooked;

static void note_booked(struct turn_sink *s, const struct turn *t, const struct call *c,
                        const struct call_place *p, const struct call_attempt *a)
{
	(void)s, (void)p, (void)a;
	if (c->class == CALL_LLM)
		booked_on[nbooked++] = t->id;
}

static int strays(void)
{
	int n = 0;

	for (int i = 0; i < nbooked; i++) {
		int k = 0;

		while (k < out.n && out.turns[k].id != booked_on[i])
			k++;
		n += k == out.n;
	}
	return n;
}

/* The client's process logs that a turn of session "t" is over. */
static void client_marks(uint64_t ms)
{
	turns_mark(engine, &(struct turn_mark){ .kind = MARK_TURN,
	                                        .lane = { 50, 50, 0 },
	                                        .start_ns = ms * MS,
	                                        .ts_ns = ms * MS,
	                                        .session_id = "t" });
}

static void edge_1(void)
{
	struct call_client client;
	struct call *mine, *a;

	TEST("http: the client's call ends (timed out) before the reply: turn is handed out");
	begin_by("http");
	mine = other_open(50, 50, 90);
	client = client_for(mine);
	a = inbound(11, 100, "alice", NULL, &client);
	llm(11, 105, 150, "u1");
	call_end(mine, 120, CALL_TIMEOUT, &llm_place);
	reply(a, 155);
	CHECK(out.n == 1);
	CHECK(turns_open_count(engine) == 0);
	finish(100000);
}

static void edge_2(void)
{
	struct call_client client;
	struct call *mine, *a;

	TEST("jsonl errand: client reads the reply before the server's write has returned");
	begin_by("jsonl:*.jsonl");
	mine = other_open(50, 50, 100);
	client = client_for(mine);
	a = inbound(11, 105, "x", NULL, &client);
	llm(11, 110, 150, "u1");
	other_ends(mine, 160);
	reply(a, 161);
	client_marks(170);
	finish(300);
	CHECK(out.n == 1 && turn_of("t", 0)->llm_calls == 1);
	CHECK(out.outside == 0);
}

static void edge_3(void)
{
	struct call_client client;
	struct call *mine, *a, *l;

	TEST("jsonl errand: run stuck in the server's LLM call, then ends");
	begin_by("jsonl:*.jsonl");
	mine = other_open(50, 50, 100);
	client = client_for(mine);
	a = inbound(11, 105, "x", NULL, &client);
	l = llm_open(11, 0, 110, "u1");
	turns_stalled(engine, true);
	/* conns_end(): every open call is ended, unknown; what order is up to the table */
	call_end(mine, 900, CALL_UNKNOWN, &llm_place);
	llm_ends(l, 900, CALL_UNKNOWN);
	reply_as(a, 0, 0, 900, CALL_UNKNOWN);
	turns_end(engine, 900 * MS, true);
	turns_free(engine);
	CHECK(out.n == 1 && out.turns[0].status == TURN_STALLED);
	CHECK(out.turns[0].llm_calls == 1);
	CHECK(out.outside == 0);
}

static void edge_4(void)
{
	struct call_client client;
	struct call *mine, *a, *l;

	TEST("UAF: a call still open is settled on a served turn, which is then handed out");
	begin_by("http");
	mine = other_open(50, 50, 90);
	client = client_for(mine);
	a = inbound(11, 100, "alice", NULL, &client);
	l = llm_open(21, 0, 140, "u9");
	reply(a, 155); /* l is by order of a; cut off */
	llm_ends(l, 156, CALL_OK);
	l = llm_open(21, 0, 158, "u9 a9 u10");     /* after the reply: waits near the served turn */
	turns_process_exit(engine, 100, 159 * MS); /* its socket is shared with another process */
	other_ends(mine, 160);                     /* frees the turn */
	llm_ends(l, 170, CALL_OK);                 /* r->turn dangles */
	finish(300);
	CHECK(out.n == 1);
}

static void edge_5(void)
{
	TEST("UAF: OPEN_MAX reached by the very lane whose turn was longest inactive");
	begin();
	for (uint32_t i = 1; i <= 4096; i++) {
		char text[16];

		snprintf(text, sizeof(text), "u%u", i);
		llm(i, i, i + 1, text);
	}
	store(1, 5000, 5001, READ);
	for (uint32_t i = 2; i <= 4096; i++)
		store(i, 5002, 5003, READ);
	llm(1, 6000, 6001, "u1 a1 u99999");
	finish(7000);
	CHECK(out.n >= 4096);
}

static void edge_6(void)
{
	struct call *a;
	const struct turn *t;

	TEST("http: an LLM call made while nothing is served stays outside the next request");
	begin_by("http");
	llm(21, 10, 90, "u9");
	a = inbound(11, 200, "alice", NULL, &nobody);
	llm(11, 205, 250, "u1");
	reply(a, 260);
	finish(300);
	t = turn_of("alice", 0);
	CHECK(t->start_ns == 200 * MS);
	CHECK(t->llm_calls == 1 && out.outside == 1);
}

static void edge_7(void)
{
	struct call_client client;
	struct call *mine, *a;
	const struct turn *t;

	TEST("books of a turn with an errand balance: server's helper read a store before it");
	begin_by("jsonl:*.jsonl");
	store(21, 10, 190, READ); /* server: a background thread, nothing near */
	turns_thread_started(engine, 50, 50);
	mine = other_open(50, 50, 200);
	client = client_for(mine);
	a = inbound(11, 205, "x", NULL, &client);
	llm(11, 206, 210, "u1");
	reply(a, 215);
	other_ends(mine, 216);
	client_marks(220);
	finish(300);
	t = turn_of("t", 0);
	CHECK(out.n == 1);
	CHECK(orchestration(t) >= 0);
}

static void edge_8(void)
{
	struct call_client client;
	struct call *mine, *a;

	TEST("idle: an errand that computes longer than the gap is no turn");
	begin_by("idle:50");
	mine = other_open(50, 50, 100);
	client = client_for(mine);
	a = inbound(11, 105, "x", NULL, &client);
	turns_tick(engine, 200 * MS);
	CHECK(out.n == 0);
	llm(11, 210, 220, "u1");
	reply(a, 230);
	other_ends(mine, 231);
	turns_tick(engine, 400 * MS);
	CHECK(out.n == 1 && out.turns[out.n - 1].llm_calls == 1);
	CHECK(out.n == out.opened);
	finish(500);
}

static void edge_9(void)
{
	TEST("jsonl: a turn's worker thread ends, then the main thread writes the line");
	begin_by("jsonl:*.jsonl");
	turns_thread_started(engine, 100, 2);
	llm(2, 15, 40, "u1");
	turns_thread_exit(engine, 100, 2, 45 * MS);
	mark(100, 50, "t1");
	finish(300);
	CHECK(out.n == 1 && turn_of("t1", 0)->llm_calls == 1);
	CHECK(out.outside == 0);
}

static void edge_10(void)
{
	TEST("jsonl, no line ever comes: every call is told as outside");
	begin_by("jsonl:*.jsonl");
	for (uint64_t i = 0; i < 300; i++)
		llm(100, 10 + i * 10, 15 + i * 10, "u1");
	finish(9000);
	CHECK(out.n == 0);
	CHECK(out.outside == 300);
}

static void edge_11(void)
{
	TEST("jsonl: more lanes than OPEN_MAX, no line: none of them is a turn");
	begin_by("jsonl:*.jsonl");
	for (uint32_t i = 1; i <= 4100; i++)
		llm(i, i, i + 1, "u1");
	CHECK(out.n == 0);
	finish(9000);
}

static void edge_12(void)
{
	struct call *c;

	TEST("OTHER call passed over, at its end known to be an LLM's: in one turn or outside");
	begin_by("jsonl:*.jsonl");
	c = other_open(100, 7, 10); /* no main thread: share_give_nobody */
	c->class = CALL_LLM;
	say(c, "u1");
	turns_call_sent(engine, c, &llm_place);
	llm_ends(c, 40, CALL_OK);
	finish(100);
	CHECK(out.outside + out.booked == 1);
}

static void edge_13(void)
{
	struct call *a, *b;

	TEST("http: an inbound call ended unknown (a gap) mid-run: thread goes on with the next");
	begin_by("http");
	a = inbound(11, 100, "alice", NULL, &nobody);
	llm(11, 105, 120, "u1");
	reply_as(a, 11, 0, 150, CALL_UNKNOWN);
	for (uint64_t ms = 1000; ms < 4000; ms += 1000) {
		b = inbound(11, ms, "bob", NULL, &nobody);
		llm(11, ms + 5, ms + 20, "u2");
		reply(b, ms + 50);
	}
	CHECK(turns_open_count(engine) == 0);
	CHECK(!turn_of("bob", 2)->attribution_order);
	finish(5000);
	CHECK(turn_of("alice", 0)->end_ns < 1000 * MS);
}

static void edge_14(void)
{
	struct call_client client;
	struct call *a, *b, *mine, *in;

	TEST("http: a call of an event loop that serves two leads to no errand for sure");
	begin_by("http");
	a = inbound(LOOP, 100, "alice", NULL, &nobody);
	b = inbound(LOOP, 101, "bob", NULL, &nobody);
	mine = other_open(100, LOOP, 110); /* bob's */
	client = client_for(mine);
	in = call_at(CALL_OTHER, 61, 0, 111);
	in->pid = 60;
	in->inbound = true;
	snprintf(in->op, sizeof(in->op), "POST /x");
	turns_inbound_sent(engine, in, &client);
	{
		struct call *c = call_at(CALL_LLM, 61, 0, 112);
		c->pid = 60;
		say(c, "u1");
		turns_call_sent(engine, c, &llm_place);
		llm_ends(c, 120, CALL_OK);
	}
	in->reply_tid = 61;
	in->end_ns = 125 * MS;
	in->status = CALL_OK;
	turns_inbound_done(engine, in);
	call_free(in);
	other_ends(mine, 126);
	reply_as(b, LOOP, 0, 130, CALL_OK);
	reply_as(a, LOOP, 0, 140, CALL_OK);
	finish(200);
	CHECK(turn_of("bob", 0)->llm_calls == 1 || turn_of("alice", 0)->attribution_order);
}

static void edge_15(void)
{
	struct call_client client;
	struct call *a, *mine, *in;

	TEST("auto: errand open when a log is found is no turn");
	begin_by("auto");
	a = inbound(11, 100, "alice", NULL, &nobody);
	mine = other_open(100, 11, 110);
	client = client_for(mine);
	in = call_at(CALL_OTHER, 61, 0, 111);
	in->pid = 60;
	in->inbound = true;
	snprintf(in->op, sizeof(in->op), "POST /x");
	turns_inbound_sent(engine, in, &client);
	mark(9, 115, "t1");
	CHECK(out.n == out.opened);
	CHECK(turn_of("s1", 0)->start_ns == 0);
	in->end_ns = 125 * MS;
	in->status = CALL_OK;
	turns_inbound_done(engine, in);
	call_free(in);
	other_ends(mine, 126);
	reply(a, 130);
	finish(200);
	for (int i = 0; i < out.n; i++)
		printf("%s %u pid %u\n", out.turns[i].session_id, out.turns[i].turn_index,
		       out.turns[i].pid);
}

static void edge_17(void)
{
	struct call *c;
	struct call_client client;
	struct call *mine, *a;

	TEST("nested errands, run ends stuck: calls are the outermost client's turn's");
	begin_by("jsonl:*.jsonl");
	mine = other_open(50, 50, 100);
	client = client_for(mine);
	a = inbound(11, 105, "x", NULL, &client);
	c = other_open(100, 11, 110);
	client = client_for(c);
	struct call *in = call_at(CALL_OTHER, 61, 0, 111), *l;
	in->pid = 60;
	in->inbound = true;
	turns_inbound_sent(engine, in, &client);
	l = call_at(CALL_LLM, 61, 0, 112);
	l->pid = 60;
	say(l, "u1");
	turns_call_sent(engine, l, &llm_place);
	turns_end(engine, 900 * MS, true); /* calls not ended by the caller: best case */
	CHECK(out.n == 1 && out.turns[0].llm_calls == 1 && out.outside == 0);
	turns_free(engine);
	call_free(mine), call_free(a), call_free(c), call_free(in), call_free(l);
}

static void edge_18(void)
{
	struct call_client client;
	struct call *mine, *a;

	TEST("errand with more calls than KEPT_MAX: each booked on a turn that is handed out");
	begin_by("jsonl:*.jsonl");
	out.sink.booked = note_booked;
	mine = other_open(50, 50, 100);
	client = client_for(mine);
	a = inbound(11, 105, "x", NULL, &client);
	for (uint64_t i = 0; i < 300; i++)
		llm(11, 110 + i * 10, 115 + i * 10, "u1");
	reply(a, 4000);
	other_ends(mine, 4001);
	client_marks(4100);
	finish(5000);
	CHECK(out.n == 1 && out.turns[0].llm_calls == 300);
	CHECK(strays() == 0);
}

static void edge_19(void)
{
	struct call_client client;
	struct call *mine, *a;

	TEST("a served turn (waits for its client only) is not the stalled one");
	begin_by("http");
	mine = other_open(50, 50, 90);
	client = client_for(mine);
	a = inbound(11, 100, "alice", NULL, &client);
	llm(11, 105, 150, "u1");
	reply(a, 155);
	turns_end(engine, 900 * MS, true);
	CHECK(out.n == 1 && out.turns[0].status == TURN_OK);
	turns_free(engine);
	call_free(mine);
}

static void edge_20(void)
{
	struct call *c[40];
	int n = 0;

	TEST("llm: sessions that part leave no two turns with one place in a session");
	begin();
	/* one event loop, tasks unknown, requests without history */
	llm(1, 10, 11, "uA");
	c[n++] = llm_open(1, 0, 20, "uB");
	c[n++] = llm_open(1, 0, 30, "uC");
	llm_ends(c[1], 40, CALL_OK);
	llm(1, 50, 51, "uD");
	llm(1, 60, 61, "uA aA uE");
	llm_ends(c[0], 70, CALL_OK);
	llm(1, 80, 81, "uA aA uE aE uF");
	finish(100);
	for (int i = 0; i < out.n; i++) {
		printf("%s/%u ", out.turns[i].session_id, out.turns[i].turn_index);
		for (int k = 0; k < i; k++)
			CHECK(strcmp(out.turns[i].session_id, out.turns[k].session_id) ||
			      out.turns[i].turn_index != out.turns[k].turn_index);
	}
}

static void edge_22(void)
{
	struct call_client client;
	struct call *mine, *a, *l;

	TEST("http: an own LLM call of the client's process does not become the served turn's");
	begin_by("http");
	l = llm_open(51, 0, 10, "u9");
	call_free(l);
	finish(1);
	begin_by("http");
	l = call_at(CALL_LLM, 51, 0, 10);
	l->pid = 50;
	say(l, "u9");
	turns_call_sent(engine, l, &llm_place);
	llm_ends(l, 80, CALL_OK);
	mine = other_open(50, 50, 90);
	client = client_for(mine);
	a = inbound(11, 100, "alice", NULL, &client);
	turns_thread_exit(engine, 50, 51, 110 * MS);
	llm(11, 115, 150, "u1");
	reply(a, 155);
	other_ends(mine, 160);
	finish(300);
	CHECK(out.n == 1 && out.turns[0].start_ns == 90 * MS && out.turns[0].llm_calls == 1);
}

/* The client's system call returns after the server has read what it sent: a busy machine's order. */
static void edge_23(void)
{
	static const struct call_client comes = { .comes = true };
	struct call_client client;
	struct call *mine, *a;

	TEST("jsonl errand: the client's call is told after the server has read it and asked "
	     "stores and LLM");
	begin_by("jsonl:*.jsonl");
	turns_thread_started(engine, 50, 50);
	a = inbound(11, 105, "x", NULL, &comes);
	store(11, 106, 109, READ);
	llm(11, 110, 150, "u1");
	mine = other_open(50, 50, 100);
	client = client_for(mine);
	turns_inbound_sent(engine, a, &client);
	reply(a, 161);
	other_ends(mine, 162);
	client_marks(170);
	finish(300);
	CHECK(out.n == 1 && out.opened == 1 && out.outside == 0);
	CHECK(turn_of("t", 0)->llm_calls == 1 && turn_of("t", 0)->storage_calls == 1);
	CHECK(turn_of("t", 0)->start_ns == 100 * MS);

	TEST("http: the client's call is told after the server has read it: the turn is the "
	     "client's");
	begin_by("http");
	a = inbound(11, 105, "alice", NULL, &comes);
	CHECK(out.opened == 0 && turns_open_count(engine) == 1);
	llm(11, 110, 150, "u1");
	mine = other_open(50, 50, 100);
	client = client_for(mine);
	turns_inbound_sent(engine, a, &client);
	CHECK(out.opened == 1);
	reply(a, 161);
	other_ends(mine, 162);
	finish(300);
	CHECK(out.n == 1 && out.outside == 0);
	CHECK(turn_of("alice", 0)->pid == 50 && turn_of("alice", 0)->start_ns == 100 * MS);
	CHECK(turn_of("alice", 0)->end_ns == 162 * MS && turn_of("alice", 0)->llm_calls == 1);

	TEST("http: the client's call is never told: the turn is the server's, when it has "
	     "replied");
	begin_by("http");
	a = inbound(11, 105, "alice", NULL, &comes);
	llm(11, 110, 150, "u1");
	reply(a, 161);
	finish(300);
	CHECK(out.n == 1 && out.opened == 1 && out.outside == 0);
	CHECK(turn_of("alice", 0)->pid == 100 && turn_of("alice", 0)->llm_calls == 1);

	TEST("jsonl: the client's call is never told: what was done is in no turn, and said to be");
	begin_by("jsonl:*.jsonl");
	a = inbound(11, 105, "x", NULL, &comes);
	llm(11, 110, 150, "u1");
	reply(a, 161);
	finish(300);
	CHECK(out.n == 0 && out.opened == 0 && out.outside == 1);
}

static struct call *streamed(uint32_t stream, uint64_t ms, const char *messages)
{
	struct call *c = call_at(CALL_LLM, 2, 0, ms);

	c->stream = stream;
	say(c, messages);
	turns_call_sent(engine, c, &llm_place);
	return c;
}

static void edge_24(void)
{
	struct call *a, *b;

	TEST("a thread that wrote others' requests to a shared connection ends before their "
	     "replies: the "
	     "calls are not cut off");
	begin();
	turns_thread_started(engine, 100, 2);
	a = streamed(1, 10, "u1");
	b = streamed(3, 11, "u2");
	llm_ends(a, 30, CALL_OK);
	turns_thread_exit(engine, 100, 2, 35 * MS);
	CHECK(out.n == 1);
	llm_ends(b, 50, CALL_OK);
	CHECK(out.n == 2 && out.turns[0].status == TURN_OK && out.turns[1].status == TURN_OK &&
	      out.turns[1].llm_calls == 1);
	finish(100);
}

int main(void)
{
	edge_1();
	edge_2();
	edge_3();
	edge_4();
	edge_5();
	edge_6();
	edge_7();
	edge_8();
	edge_9();
	edge_10();
	edge_11();
	edge_12();
	edge_13();
	edge_14();
	edge_15();
	edge_17();
	edge_18();
	edge_19();
	edge_20();
	edge_22();
	edge_23();
	edge_24();
	return DONE();
}
