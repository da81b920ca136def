/* SPDX-License-Identifier: BSD-2-Clause */
/* Turn source llm: which requests open turns, continue them, try again, and which conversation they are of. */
#include "unit/turn_fixture.h"

#define SESSIONS 8

/* "u1.0 a1.0 u1.1 ..." : session s's history up to its user message n; skip drops the oldest messages. */
static const char *history(int s, int n, int skip)
{
	static char text[4096];
	size_t at = 0;
	int k = 0;

	for (int i = 0; i <= n; i++) {
		if (k++ >= skip)
			at += (size_t)snprintf(text + at, sizeof(text) - at, "u%d.%d ", s, i);
		if (i < n && k++ >= skip)
			at += (size_t)snprintf(text + at, sizeof(text) - at, "a%d.%d ", s, i);
	}
	return text;
}

static bool sessions_are(int sessions, int turns)
{
	char id[16];

	for (int s = 0; s < sessions; s++) {
		snprintf(id, sizeof(id), "s%d", s + 1);
		for (int i = 0; i < turns; i++)
			if (turn_of(id, (uint32_t)i)->id == 0)
				return false;
	}
	return out.n == sessions * turns;
}

static void test_threads(void)
{
	struct call *open[SESSIONS];
	bool own = true;

	TEST("8 thread sessions interleaved, all with the same first message, are 8 sessions");
	begin();
	for (int i = 0; i < 5; i++) {
		for (int s = 0; s < SESSIONS; s++) {
			char text[4200];

			snprintf(text, sizeof(text), "s uHello %s", i ? history(s, i, 1) : "");
			store((uint32_t)s + 1, (uint64_t)(i * 1000 + s),
			      (uint64_t)(i * 1000 + s + 3), READ);
			open[s] = llm_open((uint32_t)s + 1, 0, (uint64_t)(i * 1000 + 10 + s), text);
		}
		for (int s = SESSIONS - 1; s >= 0; s--) {
			llm_ends(open[s], (uint64_t)(i * 1000 + 100 + s), CALL_OK);
			store((uint32_t)s + 1, (uint64_t)(i * 1000 + 120),
			      (uint64_t)(i * 1000 + 125), WRITE);
		}
	}
	finish(9000);
	CHECK(sessions_are(SESSIONS, 5) && out.outside == 0);
	for (int i = 0; i < out.n; i++)
		own &= out.turns[i].storage_calls == 2 && !out.turns[i].attribution_order &&
		       !out.turns[i].boundary_guessed &&
		       out.turns[i].session_id[1] == '0' + (char)out.turns[i].tid;
	CHECK(own);
}

static void test_tasks(void)
{
	struct call *open[SESSIONS];
	bool own = true;

	TEST("asyncio tasks of one thread are sessions of their own, storage calls included");
	begin();
	for (int i = 0; i < 4; i++) {
		for (int s = 0; s < SESSIONS; s++) {
			uint64_t task = 0x7000u + (uint64_t)s;

			store_as("L1", 1, task, (uint64_t)(i * 1000 + s),
			         (uint64_t)(i * 1000 + s + 2), READ);
			open[s] =
				llm_open(1, task, (uint64_t)(i * 1000 + 10 + s), history(s, i, 0));
		}
		for (int s = 0; s < SESSIONS; s++)
			llm_ends(open[s], (uint64_t)(i * 1000 + 500 - s), CALL_OK);
	}
	finish(9000);
	CHECK(sessions_are(SESSIONS, 4));
	for (int i = 0; i < out.n; i++)
		own &= out.turns[i].storage_calls == 1 && !out.turns[i].attribution_order;
	CHECK(own);

	TEST("an event loop whose tasks are not known keeps its turns apart by their histories");
	begin();
	for (int i = 0; i < 4; i++) {
		for (int s = 0; s < SESSIONS; s++)
			open[s] = llm_open(1, 0, (uint64_t)(i * 1000 + 10 + s), history(s, i, 0));
		for (int s = 0; s < SESSIONS; s++)
			llm_ends(open[s], (uint64_t)(i * 1000 + 500 - s), CALL_OK);
	}
	finish(9000);
	CHECK(sessions_are(SESSIONS, 4));
	own = true;
	for (int i = 0; i < out.n; i++)
		own &= out.turns[i].status == TURN_OK && out.turns[i].llm_ns > 400 * MS;
	CHECK(own);
}

static void test_pool(void)
{
	struct call *c;

	TEST("in a pool a conversation is followed from thread to thread, tool loop and all");
	begin();
	for (int i = 0; i < 6; i++) {
		uint32_t tid = (uint32_t)(i % 3) + 1;
		char text[4200];

		for (int s = 0; s < 3; s++) {
			uint64_t at = (uint64_t)(i * 1000 + s * 100);

			llm(1 + (tid + (uint32_t)s) % 3, at + 10, at + 20, history(s, i, 0));
			snprintf(text, sizeof(text), "%s a t", history(s, i, 0));
			llm(1 + (tid + (uint32_t)s + 1) % 3, at + 30, at + 40, text);
		}
	}
	finish(9000);
	CHECK(sessions_are(3, 6));
	for (int i = 0; i < out.n; i++)
		CHECK(out.turns[i].llm_calls == 2 || out.turns[i].turn_index == 0);

	TEST("in a pool a thread that takes up another conversation does not end the turn it "
	     "leaves");
	begin();
	llm(1, 10, 20, "uA");
	llm(2, 30, 40, "uA aA uA2");
	llm(2, 50, 60, "uB");
	llm(1, 70, 80, "uA aA uA2 aA2 tA");
	finish(100);
	CHECK(out.n == 3 && turn_of("s1", 1)->llm_calls == 2 &&
	      turn_of("s1", 1)->end_ns == 80 * MS);

	TEST("parallel sessions that share their examples stay apart");
	begin();
	c = llm_open(1, 0, 10, "s uex aex uA");
	llm(2, 12, 40, "s uex aex uB");
	llm_ends(c, 50, CALL_OK);
	llm(2, 60, 80, "s uex aex uB aB uB2");
	llm(1, 61, 80, "s uex aex uA aA uA2");
	finish(100);
	CHECK(out.n == 4 && sessions_are(2, 2) && turn_of("s1", 1)->tid == 1);
}

static void test_tools(void)
{
	TEST("a tool loop is one turn, also when the user's message is sent again behind the "
	     "results");
	begin();
	llm(1, 10, 20, "s u1");
	llm(1, 30, 40, "s u1 a1 t1");
	llm(1, 50, 60, "s u1 a1 t1 a2 t2");
	llm(1, 70, 80, "s a1 t1 a2 t2 u1");
	llm(1, 90, 99, "s u1 a1 t1 a2 t2 a3 u2");
	finish(200);
	CHECK(out.n == 2 && sessions_are(1, 2));
	CHECK(turn_of("s1", 0)->llm_calls == 4 && turn_of("s1", 0)->retries == 0);
	CHECK(turn_of("s1", 0)->end_ns == 80 * MS && turn_of("s1", 1)->role == LLM_ROLE_USER);

	TEST("the same words said again are a new turn");
	begin();
	llm(1, 10, 20, "u1");
	llm(1, 30, 40, "u1 a1 u1");
	llm(1, 50, 60, "u1 a1 u1 a2 u1");
	finish(200);
	CHECK(sessions_are(1, 3));

	TEST("a reply begun by the client still answers the user");
	begin();
	llm(1, 10, 20, "u1 apre");
	llm(1, 30, 40, "u1 a1 u2 apre");
	llm(1, 50, 60, "u1 a1 u2 apre2");
	finish(200);
	CHECK(sessions_are(1, 2) && turn_of("s1", 1)->llm_calls == 2 &&
	      turn_of("s1", 1)->role == LLM_ROLE_USER);

	TEST("tool results of a turn nobody saw open: its start is a bound, its role unknown");
	begin();
	llm(1, 10, 20, "s u1 a1 t1");
	finish(200);
	CHECK(out.n == 1 && out.turns[0].at_least && out.turns[0].role == LLM_ROLE_NONE);
}

static void test_retries(void)
{
	struct call *c;

	TEST("429, wait, again: one turn, the wait is backoff, the outcome the last one's");
	begin();
	c = llm_open(1, 0, 10, "s u1");
	c->http_status = 429;
	snprintf(c->error_kind, sizeof(c->error_kind), "rate_limit_error");
	llm_ends(c, 20, CALL_RATE_LIMITED);
	CHECK(turns_open(engine)->status == TURN_RATE_LIMITED);
	llm_ends(llm_open(1, 0, 1020, "s u1"), 1030, CALL_RATE_LIMITED);
	llm_ends(llm_open(1, 0, 3030, "s u1"), 3130, CALL_OK);
	finish(4000);
	CHECK(out.n == 1 && out.turns[0].retries == 2 && out.turns[0].backoff_ns == 3000 * MS);
	CHECK(out.turns[0].status == TURN_OK && out.turns[0].error_kind[0] == '\0');
	CHECK(out.turns[0].llm_ns == 120 * MS && orchestration(&out.turns[0]) == 0);

	TEST("retries that give up leave the turn with the last failure");
	begin();
	llm_ends(llm_open(1, 0, 10, "s u1"), 20, CALL_TIMEOUT);
	c = llm_open(1, 0, 30, "s u1");
	c->http_status = 503;
	snprintf(c->error_kind, sizeof(c->error_kind), "http_503");
	llm_ends(c, 40, CALL_ERROR);
	finish(100);
	CHECK(out.n == 1 && out.turns[0].status == TURN_ERROR &&
	      out.turns[0].error_http_status == 503);
	CHECK(strcmp(out.turns[0].error_kind, "http_503") == 0);
	CHECK(strcmp(out.turns[0].error_endpoint, "api.example.com") == 0);

	TEST("a shorter history after a failure still asks the same");
	begin();
	llm(1, 10, 20, "u1");
	llm_ends(llm_open(1, 0, 30, "u1 a1 u2"), 40, CALL_ERROR);
	llm(1, 50, 60, "a1 u2");
	finish(100);
	CHECK(out.n == 2 && turn_of("s1", 1)->retries == 1 && turn_of("s1", 1)->status == TURN_OK);

	TEST("a failed call with no plaintext is tried again on its lane");
	begin();
	llm_ends(llm_open(1, 0, 10, NULL), 20, CALL_ABORTED);
	llm_ends(llm_open(1, 0, 30, NULL), 40, CALL_OK);
	finish(100);
	CHECK(out.n == 1 && out.turns[0].retries == 1 && out.turns[0].backoff_ns == 10 * MS);

	TEST("threads that say the same after one another's failures do not retry for each other");
	begin();
	llm_ends(llm_open(1, 0, 10, "u1"), 20, CALL_RATE_LIMITED);
	llm_ends(llm_open(2, 0, 30, "u1"), 40, CALL_OK);
	llm_ends(llm_open(1, 0, 50, "u1"), 60, CALL_OK);
	finish(100);
	CHECK(sessions_are(2, 1) && turn_of("s1", 0)->retries == 1 &&
	      turn_of("s2", 0)->retries == 0);

	TEST("a retry after a failure is never a new turn, a repetition after success is");
	begin();
	llm(1, 10, 20, "u1");
	llm(1, 30, 40, "u1");
	finish(100);
	CHECK(sessions_are(1, 2));
}

static void test_windows(void)
{
	TEST("a history trimmed at the front is still the same conversation, in each of two "
	     "interleaved ones");
	begin();
	for (int i = 0; i < 30; i++)
		for (int s = 0; s < 2; s++)
			llm((uint32_t)s + 1, (uint64_t)(i * 100 + s * 40 + 10),
			    (uint64_t)(i * 100 + s * 40 + 30),
			    history(s, i, 2 * i + 1 > 5 ? 2 * i + 1 - 5 : 0));
	finish(9000);
	CHECK(sessions_are(2, 30));

	TEST("two messages of memory are enough, on one thread too");
	begin();
	for (int i = 0; i < 30; i++)
		for (int s = 0; s < 2; s++)
			llm(1, (uint64_t)(i * 100 + s * 40 + 10), (uint64_t)(i * 100 + s * 40 + 30),
			    history(s, i, 2 * i + 1 > 3 ? 2 * i + 1 - 3 : 0));
	finish(9000);
	CHECK(out.n == 60);
	for (int i = 2; i < 60; i++)
		if (out.turns[i].session_id[1] != out.turns[i % 2 ? 3 : 2].session_id[1])
			CHECK(!"a turn in the wrong session");

	TEST("dropped and injected messages do not break a conversation; the system prompt alone "
	     "is none");
	begin();
	llm(1, 10, 20, "s u1");
	llm(1, 30, 40, "s u1 a1 u2");
	llm(1, 50, 60, "s uinjected u1 a1 u2 a2 u3");
	llm(1, 70, 80, "s u2 ainjected u3 a3 u4");
	llm(1, 90, 99, "s u9 a9 u10");
	finish(200);
	CHECK(out.n == 5 && turn_of("s1", 3)->id == 4 && turn_of("s2", 0)->id == 5);
}

static void test_stateless(void)
{
	TEST("requests without history on one lane are one session");
	begin();
	for (int i = 0; i < 10; i++)
		llm(1, (uint64_t)(i * 100 + 10), (uint64_t)(i * 100 + 50), history(i, 0, 0));
	finish(2000);
	CHECK(sessions_are(1, 10));

	TEST("a first message on a lane whose conversation carried history is a new session");
	begin();
	llm(1, 10, 20, "u1");
	llm(1, 30, 40, "u1 a1 u2");
	llm(1, 50, 60, "u9");
	llm(1, 70, 80, "u9 a9 u10");
	finish(100);
	CHECK(sessions_are(2, 2));

	TEST("the same first message on two lanes at once is two sessions");
	begin();
	{
		struct call *a = llm_open(1, 0, 10, "s u1"), *b = llm_open(2, 0, 11, "s u1");

		llm_ends(a, 20, CALL_OK);
		llm_ends(b, 21, CALL_OK);
	}
	finish(100);
	CHECK(sessions_are(2, 1));

	TEST("two conversations begun one after the other on one lane part when both go on");
	begin();
	llm(1, 10, 20, "uA");
	llm(1, 30, 40, "uB");
	llm(1, 50, 60, "uA aA uA2");
	llm(1, 70, 80, "uB aB uB2");
	llm(1, 90, 99, "uA aA uA2 aA2 uA3");
	finish(100);
	CHECK(out.n == 5 && strcmp(out.turns[2].session_id, "s1") == 0 &&
	      out.turns[2].turn_index == 1);
	CHECK(strcmp(out.turns[3].session_id, "s2") == 0 &&
	      strcmp(out.turns[4].session_id, "s1") == 0);
}

static void test_unread(void)
{
	struct call *c;

	TEST("without plaintext each call is a turn of its lane's session, role unknown, and says "
	     "why");
	begin();
	llm(1, 10, 20, NULL);
	llm(1, 30, 40, NULL);
	llm(2, 30, 40, NULL);
	finish(100);
	CHECK(out.n == 3 && turn_of("s1", 1)->id == 2 && turn_of("s2", 0)->id != 0);
	CHECK(out.turns[0].partial == PARTIAL_NO_PLAINTEXT && out.turns[0].role == LLM_ROLE_NONE);
	CHECK(out.turns[0].tokens.in == -1 && out.turns[0].ttft_ns == -1);

	TEST("what was read and is no chat request opens no turn");
	begin();
	c = call_at(CALL_LLM, 1, 0, 10);
	snprintf(c->op, sizeof(c->op), "GET /v1/models");
	turns_call_opened(engine, c, &llm_place);
	turns_call_sent(engine, c, &llm_place);
	llm_ends(c, 20, CALL_OK);
	llm(1, 30, 40, "u1");
	finish(100);
	CHECK(out.n == 1 && out.turns[0].llm_calls == 2 && out.turns[0].partial == PARTIAL_NONE);

	TEST("a request that was cut is held against no conversation");
	begin();
	llm(1, 10, 20, "u1");
	llm(1, 30, 40, "u1 a1 u2");
	c = call_at(CALL_LLM, 1, 0, 50);
	say(c, "s");
	c->llm->history.complete = false;
	c->llm->last_role = LLM_ROLE_NONE;
	turns_call_sent(engine, c, &llm_place);
	llm_ends(c, 60, CALL_OK);
	llm(1, 70, 80, "u1 a1 u2 a2 u3 a3 u4");
	finish(100);
	CHECK(sessions_are(1, 4) && turn_of("s1", 2)->role == LLM_ROLE_NONE);
}

static void test_bounds(void)
{
	struct call *c;

	TEST("long histories in many sessions stay within fixed memory, and the newest are still "
	     "known");
	begin();
	for (uint32_t s = 0; s < 1200; s++) {
		c = call_at(CALL_LLM, s + 1, 0, 10 + s);
		say(c, "u1");
		c->llm->history.n = LLM_HISTORY_MAX;
		for (uint32_t i = 0; i < LLM_HISTORY_MAX; i++)
			c->llm->history.messages[i] =
				(struct llm_message){ s * 100000ull + i * 7919,
				                      LLM_ROLE_USER + i % 2 };
		c->llm->last_role = LLM_ROLE_USER;
		turns_call_sent(engine, c, &llm_place);
		llm_ends(c, 11 + s, CALL_OK);
	}
	c = call_at(CALL_LLM, 1200, 0, 3000);
	say(c, "u1 a1 u2");
	c->llm->history.messages[0].hash = 1199 * 100000ull + 1022 * 7919;
	turns_call_sent(engine, c, &llm_place);
	llm_ends(c, 3001, CALL_OK);
	finish(4000);
	CHECK(out.n == 1201 && turn_of("s1200", 1)->id == 1201);
}

int main(void)
{
	test_threads();
	test_tasks();
	test_pool();
	test_tools();
	test_retries();
	test_windows();
	test_stateless();
	test_unread();
	test_bounds();
	return DONE();
}
