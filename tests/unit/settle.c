/* SPDX-License-Identifier: BSD-2-Clause */
/* How long a look goes on: hours of silence are judged at once, seconds are waited for. */
#include "settle.h"
#include "test.h"

#define S 1000000000ull
#define NOW (40000 * S)
#define PID 100

static struct call call;
static struct endpoint endpoint;
static struct call_view view = { &call, &endpoint, 7 };
static struct history history;
static struct diagnosis diagnosis;
static struct look look;

static void feed(struct evidence *e, void *row, size_t n, uint16_t type)
{
	struct event *h = row;

	h->type = type;
	h->size = (uint32_t)n;
	evidence_feed(e, h);
}

/* A snapshot with the target's first thread, and the call's socket. */
static struct evidence *snapshot(uint8_t state, uint64_t blocked_ago, uint64_t moved_ago)
{
	struct evidence *e = evidence_new();
	struct event edge = { .flags = EVF_BEGIN, .ts_ns = NOW };
	struct ev_thread t = { .h = { .ts_ns = NOW, .pid = PID, .tid = PID },
		               .state = state,
		               .syscall = -1,
		               .blocked_since_ns = NOW - blocked_ago };
	struct ev_socket s = { .h = { .ts_ns = NOW, .pid = PID, .flags = EVF_SEEDED | EVF_TCP },
		               .sock = 7,
		               .tcp_bytes_sent = 1,
		               .tcp_last_sent_ns = moved_ago };

	feed(e, &edge, sizeof(edge), EV_SNAPSHOT);
	feed(e, &t, sizeof(t), EV_THREAD);
	feed(e, &s, sizeof(s), EV_SOCKET);
	edge.flags = 0;
	feed(e, &edge, sizeof(edge), EV_SNAPSHOT);
	return e;
}

/* A further snapshot, with functions of that thread. */
static void computes(struct evidence *e, uint64_t ts)
{
	struct event edge = { .flags = EVF_BEGIN, .ts_ns = ts };
	struct ev_thread t = { .h = { .ts_ns = ts, .pid = PID, .tid = PID },
		               .state = 'R',
		               .syscall = -1 };
	struct ev_activity a = {
		.h = { .ts_ns = ts, .pid = PID, .tid = PID, .flags = EVF_SEEDED }
	};
	struct {
		struct ev_frames f;
		char text[24];
	} f = { { .h = { .ts_ns = ts, .pid = PID, .tid = PID }, .kind = FRAMES_PYTHON },
		"work\t/app/a.py\t5\n" };

	feed(e, &edge, sizeof(edge), EV_SNAPSHOT);
	feed(e, &t, sizeof(t), EV_THREAD);
	feed(e, &a, sizeof(a), EV_ACTIVITY);
	feed(e, &f, sizeof(f), EV_FRAMES);
	edge.flags = 0;
	feed(e, &edge, sizeof(edge), EV_SNAPSHOT);
}

static void world(enum verdict_kind kind, size_t nopen, struct evidence *e)
{
	call = (struct call){ .class = CALL_LLM, .at_least = true, .start_ns = NOW - S };
	history = (struct history){ .start_ns = NOW - S };
	diagnosis.causes[0].kind = kind;
	diagnosis.ncauses = 1;
	look = (struct look){ .now_ns = NOW,
		              .pid = PID,
		              .evidence = e,
		              .history = &history,
		              .open = &view,
		              .nopen = nopen,
		              .silent_min_ns = LOOK_QUIET_NS };
}

static uint64_t settle(void)
{
	return settle_ns(&look, &diagnosis);
}

int main(void)
{
	struct evidence *old = snapshot('S', 3600 * S, 3600 * S);
	struct evidence *young = snapshot('S', 3600 * S, 2 * S);
	struct evidence *woken = snapshot('S', 4 * S, 3600 * S);
	struct evidence *running = snapshot('R', 0, 3600 * S);

	TEST("a call that has been silent for an hour is judged at once");
	world(VERDICT_LLM_NO_RESPONSE, 1, old);
	CHECK(settle() == 0);

	TEST("a store's that sent two seconds ago is looked at for eight more");
	world(VERDICT_UNKNOWN, 1, young);
	call.class = CALL_STORAGE;
	CHECK(settle() == 8 * S);
	world(VERDICT_CONNECTING, 1, young);
	call.class = CALL_STORAGE;
	CHECK(settle() == 8 * S);

	TEST("a reply of an LLM that has not begun is given more time");
	world(VERDICT_UNKNOWN, 1, young);
	CHECK(settle() == 18 * S);

	TEST("once it began it is silent as anything else is");
	call.bytes_in = 1;
	CHECK(settle() == 8 * S);

	TEST("a time that was asked for holds for it, too");
	world(VERDICT_UNKNOWN, 1, young);
	look.silent_min_ns = 5 * S;
	CHECK(settle() == 3 * S);

	TEST("of a call seen from its beginning its own bytes count");
	world(VERDICT_UNKNOWN, 1, old);
	call.at_least = false;
	call.start_ns = call.sent_ns = call.request_ns = NOW - 3 * S;
	CHECK(settle() == 17 * S);

	TEST("a call that is meant to wait, or a health check, keeps nobody looking");
	world(VERDICT_DEADLOCK, 1, young);
	call.blocks = true;
	CHECK(settle() < 10 * S && settle_life(&look, &diagnosis) == 0);
	world(VERDICT_DEADLOCK, 1, young);
	call.class = CALL_HEARTBEAT;
	CHECK(settle_life(&look, &diagnosis) == 0);

	TEST("facts that time does not change are settled");
	world(VERDICT_STOPPED, 1, young);
	CHECK(settle() == 0);
	world(VERDICT_SLEEPING, 1, young);
	CHECK(settle() == 0);
	world(VERDICT_PROGRESSING, 1, young);
	CHECK(settle() == 0);

	TEST("where nothing decides, a thread that woke lately keeps us looking");
	world(VERDICT_UNKNOWN, 0, woken);
	CHECK(settle() == 6 * S);
	world(VERDICT_UNKNOWN, 0, old);
	CHECK(settle() == 0);

	TEST("a thread that runs lives now, and is looked at no longer than the quiet time");
	world(VERDICT_UNKNOWN, 0, running);
	CHECK(settle() == 9 * S);
	history.start_ns = NOW - 11 * S;
	CHECK(settle() == 0);

	TEST("what computes is looked at for the quiet time from when its functions were seen "
	     "first, "
	     "however long attaching took");
	world(VERDICT_CPU_BOUND, 0, running);
	history.start_ns = NOW - 9 * S;
	CHECK(settle() == S);
	computes(running, NOW);
	CHECK(settle() == 10 * S);
	look.now_ns += 4 * S;
	CHECK(settle() == 6 * S);
	look.now_ns += 6 * S;
	CHECK(settle() == 0);

	evidence_free(old);
	evidence_free(young);
	evidence_free(woken);
	evidence_free(running);
	return DONE();
}
