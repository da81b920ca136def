/* SPDX-License-Identifier: BSD-2-Clause */
/* Verdicts on several targets: each one's tree counts, and one that hangs does not make the others hang. */
#include <asm/unistd.h>
#include <inttypes.h>
#include <stdio.h>

#include "diagnosis.h"
#include "evidence_fixture.h"
#include "test.h"

#define S 1000000000ull
#define NOW (40000 * S)
#define A 100
#define B 200
#define CHILD 201

static void process(struct evidence *e, uint32_t pid, uint32_t ppid, uint16_t flags)
{
	struct ev_process p = { .h = { .pid = pid, .flags = flags }, .ppid = ppid, .start_ns = S };

	feed(e, &p, sizeof(p), EV_PROCESS, "run", 3);
}

static void thread(struct evidence *e, uint32_t pid, char state, int32_t syscall,
                   int64_t timeout_ns)
{
	struct ev_thread t = { .h = { .ts_ns = NOW, .pid = pid, .tid = pid },
		               .blocked_since_ns = NOW - 2000 * S,
		               .timeout_ns = timeout_ns,
		               .syscall = syscall,
		               .state = (uint8_t)state };

	feed(e, &t, sizeof(t), EV_THREAD, "run\0\0", 5);
}

/* Two targets, A and B; B has a child. The state of each first thread, and its call. */
static struct evidence *world(char a, char b, char child)
{
	struct evidence *e = evidence_new();
	struct event edge = { .flags = EVF_BEGIN, .ts_ns = NOW };

	feed(e, &edge, sizeof(edge), EV_SNAPSHOT, "", 0);
	process(e, A, 1, EVF_ROOT);
	process(e, B, 1, EVF_ROOT);
	process(e, CHILD, B, 0);
	thread(e, A, a, __NR_futex, TIMEOUT_NONE);
	thread(e, B, b, __NR_wait4, TIMEOUT_NONE);
	thread(e, CHILD, child, __NR_futex, TIMEOUT_NONE);
	edge.flags = 0;
	feed(e, &edge, sizeof(edge), EV_SNAPSHOT, "", 0);
	return e;
}

/* A target that polls, and its child, which reads a pipe of nobody's. */
static struct evidence *pool_of_one(void)
{
	struct evidence *e = evidence_new();
	struct event edge = { .flags = EVF_BEGIN, .ts_ns = NOW };
	struct ev_fd f = { .h = { .pid = CHILD }, .fd = 0 };
	struct ev_thread t = { .h = { .ts_ns = NOW, .pid = CHILD, .tid = CHILD },
		               .blocked_since_ns = NOW - 2000 * S,
		               .timeout_ns = TIMEOUT_NONE,
		               .syscall = __NR_read,
		               .state = 'S',
		               .fds_total = 1,
		               .nfds = 1 };
	struct ev_thread polls = { .h = { .ts_ns = NOW, .pid = A, .tid = A },
		                   .blocked_since_ns = NOW - S / 20,
		                   .timeout_ns = S / 10,
		                   .syscall = __NR_clock_nanosleep,
		                   .state = 'S' };

	feed(e, &edge, sizeof(edge), EV_SNAPSHOT, "", 0);
	process(e, A, 1, EVF_ROOT);
	process(e, CHILD, A, 0);
	feed(e, &polls, sizeof(polls), EV_THREAD, "run\0\0", 5);
	feed(e, &t, sizeof(t), EV_THREAD, "run\0pipe_read\0", 14);
	feed(e, &f, sizeof(f), EV_FD, "pipe:[4711]", 11);
	edge.flags = 0;
	feed(e, &edge, sizeof(edge), EV_SNAPSHOT, "", 0);
	return e;
}

static struct diagnosis d;

static void look_at(struct evidence *e, const struct history *h)
{
	struct look l = {
		.now_ns = NOW, .pid = A, .evidence = e, .history = h, .silent_min_ns = 900 * S
	};

	diagnosis_make(&l, &d);
}

static const struct cause *cause_of(uint32_t pid, enum verdict_kind kind)
{
	for (int i = 0; i < d.ncauses; i++)
		if (d.causes[i].pid == pid && d.causes[i].kind == kind)
			return &d.causes[i];
	return NULL;
}

static bool has_step(const struct cause *c, const char *text)
{
	for (int i = 0; c && i < c->nsteps; i++)
		if (strstr(c->steps[i], text))
			return true;
	return false;
}

int main(void)
{
	struct history moving = { .start_ns = NOW - 100 * S,
		                  .moved_ns = NOW - S,
		                  .moved = "content" };
	const struct cause *c;
	struct evidence *e;

	TEST("the tree of each target counts, and the steps name the target it belongs to");
	e = world('S', 'S', 'S');
	look_at(e, NULL);
	CHECK(cause_of(A, VERDICT_DEADLOCK) &&
	      has_step(cause_of(A, VERDICT_DEADLOCK), "kill -INT 100 "));
	c = cause_of(CHILD, VERDICT_DEADLOCK);
	CHECK(c && has_step(c, "kill -INT 200 ") && has_step(c, "--all 200 "));
	/* what another waits for comes first, whichever target that is */
	CHECK(d.causes[0].pid == CHILD && d.causes[0].kind == VERDICT_DEADLOCK);
	evidence_free(e);

	TEST("a target that is stopped does not stop the others: it is not over for all");
	e = world('S', 'T', 'T');
	look_at(e, &moving);
	CHECK(d.causes[0].kind == VERDICT_PROGRESSING);
	CHECK(strstr(d.causes[0].summary, "; but ") && cause_of(B, VERDICT_STOPPED));
	evidence_free(e);

	TEST("one that has ended explains nothing while another is there");
	e = world('S', 'Z', 'S');
	look_at(e, NULL);
	CHECK(d.causes[0].kind == VERDICT_DEADLOCK && cause_of(B, VERDICT_EXITED));
	evidence_free(e);

	TEST("a worker that waits for input, for whom nobody waits, is no stall while others of "
	     "the "
	     "tree go on, but told; when they do not, it is");
	for (int stirring = 0; stirring <= 1; stirring++) {
		struct history h = { .start_ns = NOW - 100 * S,
			             .stirred_ns = stirring ? NOW - S : 0,
			             .stirred = "output" };

		e = pool_of_one();
		look_at(e, &h);
		CHECK(d.causes[0].kind == (stirring ? VERDICT_PROGRESSING : VERDICT_INPUT_WAIT));
		CHECK(cause_of(CHILD, VERDICT_INPUT_WAIT));
		CHECK(!stirring || strstr(d.causes[0].summary, "; but process 201"));
		evidence_free(e);
	}

	TEST("when all have ended, that is the verdict");
	e = world('Z', 'Z', 'Z');
	look_at(e, NULL);
	CHECK(d.causes[0].kind == VERDICT_EXITED);
	evidence_free(e);
	return DONE();
}
