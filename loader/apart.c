/* SPDX-License-Identifier: BSD-2-Clause */
/* A child, and a pipe on which its records come back, with a mark behind each item. */
#include "apart.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "procfs.h"
#include "recording.h"
#include "snapshot.h"

#define DEATH_NS 50000000ull /* for a killed child to end; one that does not hangs in the kernel */
/* More memory than a child may want beyond what we have: the files and tables it reads are the target's, and made to fit. */
#define MEMORY_MORE (1ull << 30)
#define TYPE_DONE 0 /* type of the mark between two items: no event has it */

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

/* In the child: what it reads may be huge, or say it is; then it fails alone, not the machine. */
static void memory_limit(void)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	char statm[256], *p = statm;

	if (procfs_read((uint32_t)getpid(), "statm", statm, sizeof(statm)) <= 0)
		return;
	for (int field = 1; p && field < 6;
	     field++) /* data and stack, in pages: proc_pid_statm(5) */
		p = strchr(p + 1, ' ');
	if (!p || getrlimit(RLIMIT_DATA, &limit))
		return;
	limit.rlim_max = strtoull(p, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) + MEMORY_MORE;
	if (limit.rlim_max < limit.rlim_cur)
		limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_DATA, &limit);
}

/* A child that hangs holds nothing: what is attached to the kernel, and who reads our output, must not wait for it. */
static void child(int fd, const struct apart_job *job, size_t item)
{
	struct event done = { .size = sizeof(done), .type = TYPE_DONE };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (fd > 0)
		close_range(0, (unsigned)fd - 1, 0);
	close_range((unsigned)fd + 1, ~0u, 0);
	memory_limit();
	for (; item < job->n; item++) {
		job->work(job->ctx, item, send_record, &fd);
		send_record(&fd, &done);
	}
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

/* What goes on between us and one child. */
struct line {
	const struct apart_job *job;
	pid_t pid;
	int fd;
	size_t item;       /* at work */
	uint64_t begun_ns; /* the item, or the time it was given last */
	uint64_t got_on;   /* procfs_effort_ns() then */
	uint64_t end_ns;   /* of the whole job */
	event_fn emit;
	void *ctx;
};

static void item_begin(struct line *l)
{
	l->begun_ns = now_ns();
	l->got_on = procfs_effort_ns((uint32_t)l->pid);
}

/* Waits until there is something to read: 0, -ETIMEDOUT when the item hangs, or another -errno. */
static int line_wait(struct line *l)
{
	for (;;) {
		uint64_t item_end = l->begun_ns + l->job->item_ns, before = l->got_on;
		int err = wait_until(l->fd, POLLIN, item_end < l->end_ns ? item_end : l->end_ns);

		if (err != -ETIMEDOUT || now_ns() >= l->end_ns)
			return err;
		item_begin(l);
		if (l->got_on - before < l->job->item_ns / 10)
			return err;
	}
}

/* Record after record, each emitted when it is whole. 0 when all items are done, else why the one at work is not. */
static int receive(struct line *l)
{
	uint64_t room[EVENT_SIZE_MAX / 8];
	struct event *e = (struct event *)room;
	size_t have = 0;

	for (;;) {
		size_t want = have < sizeof(*e) ? sizeof(*e) : e->size;
		int err = line_wait(l);
		ssize_t n;

		if (err)
			return err;
		n = read(l->fd, (char *)room + have, want - have);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return have || l->item < l->job->n ? -EPROTO : 0;
		have += n > 0 ? (size_t)n : 0;
		if (have == sizeof(*e) && (e->size < sizeof(*e) || e->size > EVENT_SIZE_MAX))
			return -EPROTO;
		if (have < sizeof(*e) || have < e->size)
			continue;
		have = 0;
		if (e->type == TYPE_DONE) {
			if (l->item++ >= l->job->n)
				return -EPROTO;
			item_begin(l);
		} else if (event_check(e, e->size)) {
			return -EPROTO;
		} else {
			l->emit(l->ctx, e);
		}
	}
}

static void left_reap(struct apart *a)
{
	for (unsigned i = a->nleft; i-- > 0;)
		if (waitpid(a->left[i], NULL, WNOHANG) != 0)
			a->left[i] = a->left[--a->nleft];
}

/* Works off items from l->item on until one of them is not finished. */
static int child_run(struct apart *a, struct line *l)
{
	int fds[2], err;

	left_reap(a);
	if (a->nleft == APART_LEFT_MAX)
		return -EBUSY;
	if (now_ns() >= l->end_ns)
		return -ETIME;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	l->fd = fds[0];
	l->pid = fork();
	if (l->pid == 0)
		child(fds[1], l->job, l->item);
	err = l->pid < 0 ? -errno : 0;
	close(fds[1]);
	if (!err) {
		item_begin(l);
		err = receive(l);
		if (err)
			kill(l->pid, SIGKILL);
		/* it closes its end by ending, and then there is no more to wait for */
		if (wait_until(l->fd, 0, now_ns() + DEATH_NS) == 0)
			waitpid(l->pid, NULL, 0);
		else
			a->left[a->nleft++] = l->pid;
	}
	close(l->fd);
	return err;
}

void apart_each(struct apart *a, const struct apart_job *job, event_fn emit, void *ctx)
{
	struct line l = { .job = job, .emit = emit, .ctx = ctx };

	l.end_ns = now_ns() + job->total_ns;
	while (l.item < job->n) {
		int err = child_run(a, &l);

		if (err && l.item < job->n)
			job->missed(job->ctx, l.item++, err);
	}
}

struct single {
	void (*work)(void *, event_fn, void *);
	void *ctx;
	int err;
};

static void single_work(void *ctx, size_t item, event_fn send, void *send_ctx)
{
	struct single *s = ctx;

	(void)item;
	s->work(s->ctx, send, send_ctx);
}

static void single_missed(void *ctx, size_t item, int err)
{
	(void)item;
	((struct single *)ctx)->err = err;
}

int apart_run(struct apart *a, void (*work)(void *work_ctx, event_fn send, void *send_ctx),
              void *work_ctx, uint64_t limit_ns, event_fn emit, void *ctx)
{
	struct single s = { work, work_ctx, 0 };
	struct apart_job job = { 1, single_work, single_missed, &s, limit_ns, limit_ns };

	apart_each(a, &job, emit, ctx);
	return s.err;
}
