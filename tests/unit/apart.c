/* SPDX-License-Identifier: BSD-2-Clause */
/* Work done by a child: its records come back, and it may hang, die or lie. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "apart.h"
#include "procfs.h"
#include "test.h"

static unsigned records;

static void take(void *ctx, const struct event *e)
{
	if (e->type != EV_TICK || e->pid != ++records)
		abort();
	(void)ctx;
}

static void send_ticks(unsigned n, event_fn send, void *ctx)
{
	struct event e = { .size = sizeof(e), .type = EV_TICK };

	for (e.pid = 1; e.pid <= n; e.pid++)
		send(ctx, &e);
}

static void work_many(void *ctx, event_fn send, void *send_ctx)
{
	send_ticks(*(const unsigned *)ctx, send, send_ctx);
}

static void work_hang(void *ctx, event_fn send, void *send_ctx)
{
	send_ticks(2, send, send_ctx);
	for (;;)
		pause();
	(void)ctx;
}

static void work_bad(void *ctx, event_fn send, void *send_ctx)
{
	struct event e = { .size = *(const uint32_t *)ctx, .type = EV_TYPES };

	send_ticks(1, send, send_ctx);
	if (!e.size)
		raise(SIGKILL);
	send(send_ctx, &e);
}

/* Emits a tick for each descriptor that is open. */
static void work_open(void *ctx, event_fn send, void *send_ctx)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	send_ticks(n, send, send_ctx);
	(void)ctx;
}

/* Emits a tick if there is so much memory to write to. */
static void work_memory(void *ctx, event_fn send, void *send_ctx)
{
	void *room = mmap(NULL, *(const size_t *)ctx, PROT_READ | PROT_WRITE,
	                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	send_ticks(room != MAP_FAILED, send, send_ctx);
}

static int run(struct apart *a, void (*work)(void *, event_fn, void *), void *ctx, unsigned ms)
{
	records = 0;
	return apart_run(a, work, ctx, ms * 1000000ull, take, NULL);
}

static pid_t hang(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	return pid;
}

/* ---- items: each sends a tick that holds its number ---- */

#define ITEMS 40
static unsigned came[ITEMS];
static int errors[ITEMS];
static const char *
	plan; /* of each item: h hangs, d dies, l lies, b is busy for long, else it is done at once */
static pid_t worker[ITEMS];

static void item_work(void *ctx, size_t item, event_fn send, void *send_ctx)
{
	struct event e = {
		.size = sizeof(e), .type = EV_TICK, .pid = (uint32_t)item, .tid = (uint32_t)getpid()
	};

	send(send_ctx, &e);
	switch (item < strlen(plan) ? plan[item] : '.') {
	case 'h':
		for (;;)
			pause();
	case 'd':
		raise(SIGKILL);
		break;
	case 'l':
		e.type = EV_TYPES;
		send(send_ctx, &e);
		break;
	case 'b':
		for (uint64_t end = procfs_effort_ns((uint32_t)getpid()) + 300000000;
		     procfs_effort_ns((uint32_t)getpid()) < end;)
			;
	}
	(void)ctx;
}

static void item_missed(void *ctx, size_t item, int err)
{
	errors[item] = err;
	(void)ctx;
}

static void item_take(void *ctx, const struct event *e)
{
	came[e->pid]++;
	worker[e->pid] = (pid_t)e->tid;
	(void)ctx;
}

static void run_items(struct apart *a, const char *how, unsigned item_ms, unsigned total_ms)
{
	struct apart_job job = {
		ITEMS, item_work, item_missed, NULL, item_ms * 1000000ull, total_ms * 1000000ull
	};

	memset(came, 0, sizeof(came));
	memset(errors, 0, sizeof(errors));
	plan = how;
	apart_each(a, &job, item_take, NULL);
}

static void check_items(struct apart *a)
{
	unsigned begun = 0, done = 0;

	TEST("items that do not hang are done by one child");
	run_items(a, "", 10000, 10000);
	for (unsigned i = 0; i < ITEMS; i++)
		done += came[i] == 1 && errors[i] == 0 && worker[i] == worker[0];
	CHECK(done == ITEMS);

	TEST("an item that hangs, dies or lies costs itself alone");
	run_items(a, ".h.d.l", 200, 10000);
	CHECK(errors[1] == -ETIMEDOUT && errors[3] == -EPROTO && errors[5] == -EPROTO);
	done = 0;
	for (unsigned i = 0; i < ITEMS; i++)
		done += came[i] == 1 && (i == 1 || i == 3 || i == 5 || errors[i] == 0);
	CHECK(done == ITEMS && worker[0] == worker[1] && worker[2] != worker[1]);

	TEST("the last item may hang, too");
	run_items(a, ".......................................h", 100, 10000);
	CHECK(errors[ITEMS - 1] == -ETIMEDOUT && errors[ITEMS - 2] == 0);

	TEST("an item that is at work is not taken for one that hangs");
	run_items(a, ".b", 100, 60000);
	CHECK(errors[1] == 0 && came[ITEMS - 1] == 1);

	TEST("when the time for all is over the rest is not begun");
	run_items(a, "hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh", 100, 250);
	done = 0;
	for (unsigned i = 0; i < ITEMS; i++) {
		begun += came[i];
		done += errors[i] == (came[i] ? -ETIMEDOUT : -ETIME);
	}
	CHECK(begun >= 1 && begun <= 4 && errors[0] == -ETIMEDOUT && errors[ITEMS - 1] == -ETIME);
	CHECK(done >= ITEMS - 1); /* the time may be over before the child's first word */
}

int main(void)
{
	size_t some = 256u << 20, much = 4096ull << 20;
	unsigned many = 10000;
	uint32_t size = sizeof(struct event);
	struct apart a = { 0 };

	TEST("all records come, whole and in order");
	CHECK(run(&a, work_many, &many, 10000) == 0 && records == many && a.nleft == 0);
	many = 0;
	CHECK(run(&a, work_many, &many, 10000) == 0 && records == 0);

	TEST("the child holds nothing of ours");
	CHECK(run(&a, work_open, NULL, 10000) == 0 && records == 1);

	TEST("it gets some memory, but not all there is");
	CHECK(run(&a, work_memory, &some, 10000) == 0 && records == 1);
	CHECK(run(&a, work_memory, &much, 10000) == 0 && records == 0);

	TEST("a child that hangs is ended, and what came by then is there");
	CHECK(run(&a, work_hang, NULL, 200) == -ETIMEDOUT && records == 2);

	TEST("what hangs is left, until so many hang that none is begun any more");
	a.nleft = APART_LEFT_MAX;
	for (unsigned i = 0; i < APART_LEFT_MAX; i++)
		a.left[i] = hang();
	many = 3;
	CHECK(run(&a, work_many, &many, 10000) == -EBUSY && records == 0);
	for (unsigned i = 0; i < APART_LEFT_MAX; i++) {
		kill(a.left[i], SIGKILL);
		waitid(P_PID, (id_t)a.left[i], &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
	}
	CHECK(run(&a, work_many, &many, 10000) == 0 && records == 3 && a.nleft == 0);

	check_items(&a);
	TEST("what is no record ends the reading");
	CHECK(run(&a, work_bad, &size, 10000) == -EPROTO && records == 1);
	size = 8;
	CHECK(run(&a, work_bad, &size, 10000) == -EPROTO && records == 1);

	TEST("of a child that dies what came by then is there");
	size = 0;
	run(&a, work_bad, &size, 10000);
	CHECK(records == 1);
	return DONE();
}
