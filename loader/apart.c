/* SPDX-License-Identifier: BSD-2-Clause */
/* A child, and a pipe on which its records come back. */
#include "apart.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recording.h"
#include "snapshot.h"

#define DEATH_NS 100000000ull /* for a killed child to end; one that does not hangs in the kernel */

/* In the child: whole records, to whoever still reads. */
static void send_record(void *ctx, const struct event *e)
{
	const char *p = (const char *)e;
	size_t n = e->size;

	while (n) {
		ssize_t k = write(*(const int *)ctx, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			_exit(1);
		p += k;
		n -= (size_t)k;
	}
}

/* A child that hangs holds nothing: what is attached to the kernel, and who reads our output, must not wait for it. */
static void child(int fd, void (*work)(void *, event_fn, void *), void *work_ctx)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (fd > 0)
		close_range(0, (unsigned)fd - 1, 0);
	close_range((unsigned)fd + 1, ~0u, 0);
	work(work_ctx, send_record, &fd);
	_exit(0);
}

/* Waits for events (0: that the other end is closed): 0, -ETIMEDOUT, or another -errno. */
static int wait_until(int fd, short events, uint64_t end_ns)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = events };
		uint64_t now = now_ns();
		int n = now < end_ns ? poll(&p, 1, (int)((end_ns - now) / 1000000) + 1) : 0;

		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

/* Record after record, each emitted when it is whole. Its end without the end of a record is an error. */
static int receive(int fd, uint64_t end_ns, event_fn emit, void *ctx)
{
	uint64_t room[EVENT_SIZE_MAX / 8];
	struct event *e = (struct event *)room;
	size_t have = 0;

	for (;;) {
		size_t want = have < sizeof(*e) ? sizeof(*e) : e->size;
		int err = wait_until(fd, POLLIN, end_ns);
		ssize_t n;

		if (err)
			return err;
		n = read(fd, (char *)room + have, want - have);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return have ? -EPROTO : 0;
		have += n > 0 ? (size_t)n : 0;
		if (have == sizeof(*e) && (e->size < sizeof(*e) || e->size > EVENT_SIZE_MAX))
			return -EPROTO;
		if (have < sizeof(*e) || have < e->size)
			continue;
		if (event_check(e, have))
			return -EPROTO;
		emit(ctx, e);
		have = 0;
	}
}

int apart_run(struct apart *a, void (*work)(void *work_ctx, event_fn send, void *send_ctx),
              void *work_ctx, uint64_t limit_ns, event_fn emit, void *ctx)
{
	uint64_t end_ns = now_ns() + limit_ns;
	int fds[2], err;
	pid_t pid;

	if (a->left && waitpid(a->left, NULL, WNOHANG) == 0)
		return -EBUSY;
	a->left = 0;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		child(fds[1], work, work_ctx);
	err = pid < 0 ? -errno : 0;
	close(fds[1]);
	if (!err) {
		err = receive(fds[0], end_ns, emit, ctx);
		if (err)
			kill(pid, SIGKILL);
		/* it closes its end by ending, and then there is no more to wait for */
		if (wait_until(fds[0], 0, now_ns() + DEATH_NS) == 0)
			waitpid(pid, NULL, 0);
		else
			a->left = pid;
	}
	close(fds[0]);
	return err;
}
