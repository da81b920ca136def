/* SPDX-License-Identifier: BSD-2-Clause */
/* Work done by a child: its records come back, and it may hang, die or lie. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "apart.h"
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

static int run(struct apart *a, void (*work)(void *, event_fn, void *), void *ctx, unsigned ms)
{
	records = 0;
	return apart_run(a, work, ctx, ms * 1000000ull, take, NULL);
}

int main(void)
{
	unsigned many = 10000;
	uint32_t size = sizeof(struct event);
	struct apart a = { 0 };

	TEST("all records come, whole and in order");
	CHECK(run(&a, work_many, &many, 10000) == 0 && records == many && a.left == 0);
	many = 0;
	CHECK(run(&a, work_many, &many, 10000) == 0 && records == 0);

	TEST("the child holds nothing of ours");
	CHECK(run(&a, work_open, NULL, 10000) == 0 && records == 1);

	TEST("a child that hangs is ended, and what came by then is there");
	CHECK(run(&a, work_hang, NULL, 200) == -ETIMEDOUT && records == 2);

	TEST("while an earlier one hangs none is begun");
	while (a.left && waitpid(a.left, NULL, WNOHANG) == 0)
		usleep(1000);
	a.left = fork();
	if (a.left == 0) {
		pause();
		_exit(0);
	}
	many = 3;
	CHECK(run(&a, work_many, &many, 10000) == -EBUSY && records == 0);
	kill(a.left, SIGKILL);
	waitid(P_PID, (id_t)a.left, &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
	CHECK(run(&a, work_many, &many, 10000) == 0 && records == 3 && a.left == 0);

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
