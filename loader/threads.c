/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Thread rows to events. Times: the scheduler's clock is not CLOCK_MONOTONIC; their distance is measured at each reading
 * from our own task's newest arrival on a CPU (see docs/events.md).
 */
#include "threads.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>

#include "proc_rows.h"
#include "procfs.h"
#include "record.h"
#include "state.h"

/* ---- what a blocked call waits for ---- */

static void wait_fd(struct ev_thread *e, int fd)
{
	if (e->nfds < EVENT_FDS_MAX)
		e->fds[e->nfds++] = fd;
	e->fds_total++;
}

static int64_t timespec_ns(uint32_t pid, uint64_t addr)
{
	int64_t t[2];

	if (!addr)
		return TIMEOUT_NONE;
	if (procfs_memory(pid, addr, t, sizeof(t)) || t[0] < 0 || t[0] > INT64_MAX / 2000000000 ||
	    t[1] < 0 || t[1] >= 1000000000)
		return TIMEOUT_UNKNOWN;
	return t[0] * 1000000000 + t[1];
}

/* An absolute time limit as one from the call's start, which was when the thread fell asleep. */
static int64_t absolute_ns(const struct ev_thread *e, int64_t at, bool realtime)
{
	struct timespec mono, real;
	int64_t start = (int64_t)(e->blocked_since_ns ? e->blocked_since_ns : e->h.ts_ns);

	if (at < 0)
		return at;
	if (realtime) {
		clock_gettime(CLOCK_MONOTONIC, &mono);
		clock_gettime(CLOCK_REALTIME, &real);
		at -= (real.tv_sec - mono.tv_sec) * 1000000000ll + real.tv_nsec - mono.tv_nsec;
	}
	return at < start ? 0 : at - start;
}

static void wait_poll(struct ev_thread *e)
{
	struct pollfd fds[256];
	size_t n = e->args[1] < 256 ? e->args[1] : 256;

	if (n && procfs_memory(e->h.pid, e->args[0], fds, n * sizeof(*fds)) == 0)
		for (size_t i = 0; i < n; i++)
			wait_fd(e, fds[i].fd);
	e->fds_total = e->args[1] < UINT16_MAX ? (uint16_t)e->args[1] : UINT16_MAX;
}

static void wait_select(struct ev_thread *e)
{
	int n = (int)e->args[0] < FD_SETSIZE ? (int)e->args[0] : FD_SETSIZE;
	unsigned char seen[FD_SETSIZE / 8] = { 0 }, set[FD_SETSIZE / 8];

	if (n <= 0)
		return;
	for (int k = 1; k <= 3; k++) {
		size_t bytes = ((size_t)n + 63) / 64 * 8;

		if (!e->args[k] || procfs_memory(e->h.pid, e->args[k], set, bytes))
			continue;
		for (size_t i = 0; i < bytes; i++)
			seen[i] |= set[i];
	}
	for (int fd = 0; fd < n; fd++)
		if (seen[fd / 8] & 1 << fd % 8)
			wait_fd(e, fd);
}

static void wait_epoll(struct ev_thread *e)
{
	char name[64], buf[16384], *p = buf;

	snprintf(name, sizeof(name), "fdinfo/%d", (int)e->args[0]);
	if (procfs_read(e->h.pid, name, buf, sizeof(buf)) <= 0)
		return;
	while ((p = strstr(p, "tfd:"))) {
		p += 4;
		wait_fd(e, (int)strtol(p, NULL, 10));
	}
}

#define MS_NS(ms) ((int32_t)(ms) < 0 ? TIMEOUT_NONE : (int64_t)(int32_t)(ms)*1000000)
#define FUTEX_CMD 0x7f
#define FUTEX_REALTIME 0x100
#define FUTEX_WAIT_OP 0
#define FUTEX_WAIT_BITSET_OP 9

static void decode_wait(const struct sockets *s, struct ev_thread *e)
{
	uint32_t pid = e->h.pid;

	e->timeout_ns = TIMEOUT_UNKNOWN;
	switch (e->syscall) {
#ifdef __NR_poll
	case __NR_poll:
		wait_poll(e);
		e->timeout_ns = MS_NS(e->args[2]);
		break;
	case __NR_select:
		wait_select(e);
		break;
	case __NR_epoll_wait:
#endif
	case __NR_epoll_pwait:
		wait_epoll(e);
		e->timeout_ns = MS_NS(e->args[3]);
		break;
	case __NR_ppoll:
		wait_poll(e);
		e->timeout_ns = timespec_ns(pid, e->args[2]);
		break;
	case __NR_pselect6:
		wait_select(e);
		e->timeout_ns = timespec_ns(pid, e->args[4]);
		break;
	case __NR_futex:
		e->timeout_ns = timespec_ns(pid, e->args[3]);
		if ((e->args[1] & FUTEX_CMD) == FUTEX_WAIT_BITSET_OP)
			e->timeout_ns = absolute_ns(e, e->timeout_ns, e->args[1] & FUTEX_REALTIME);
		else if ((e->args[1] & FUTEX_CMD) != FUTEX_WAIT_OP)
			e->timeout_ns = TIMEOUT_UNKNOWN;
		break;
	case __NR_nanosleep:
		e->timeout_ns = timespec_ns(pid, e->args[0]);
		break;
	case __NR_clock_nanosleep:
		e->timeout_ns = timespec_ns(pid, e->args[2]);
		if (e->args[1] & TIMER_ABSTIME)
			e->timeout_ns = absolute_ns(e, e->timeout_ns, e->args[0] == CLOCK_REALTIME);
		break;
	case __NR_read:
	case __NR_readv:
	case __NR_recvfrom:
	case __NR_recvmsg:
		wait_fd(e, (int)e->args[0]);
		e->timeout_ns = sockets_timeout(s, pid, (int)e->args[0]);
		break;
	case __NR_write:
	case __NR_writev:
	case __NR_sendto:
	case __NR_sendmsg:
	case __NR_connect:
	case __NR_accept:
	case __NR_accept4:
	case __NR_flock:
		wait_fd(e, (int)e->args[0]);
		break;
	case __NR_fcntl:
		if (e->args[1] == F_SETLKW || e->args[1] == F_OFD_SETLKW) {
			wait_fd(e, (int)e->args[0]);
			e->timeout_ns = TIMEOUT_NONE;
		}
		break;
	}
}

static char state_letter(const struct snap_thread *r)
{
	uint32_t state = r->state & 0xffff, dead = r->state >> 16;

	if (dead & 0x20) /* EXIT_ZOMBIE */
		return 'Z';
	if (dead)
		return 'X';
	state &= ~0x2000u; /* TASK_FREEZABLE */
	if (state == 0)
		return 'R';
	if (state & 1)
		return 'S';
	if (state & 2)
		return state & 0x400 ? 'I' : 'D'; /* TASK_NOLOAD: idle kernel thread */
	if (state & 4)
		return 'T';
	if (state & 8)
		return 't';
	return '?';
}

/*
 * The clocks do not run at quite the same rate: CLOCK_MONOTONIC follows NTP, by up to some 20 ms in an hour. Both began
 * at boot, so what lies between then and now is stretched.
 */
uint64_t threads_time(const struct thread_rows *t, uint64_t sched_ns)
{
	double sched_now = (double)t->now_ns + (double)t->skew, ago;

	if (sched_now <= 0 || (double)sched_ns >= sched_now)
		return t->now_ns;
	ago = (sched_now - (double)sched_ns) * ((double)t->now_ns / sched_now);
	return ago < (double)t->now_ns ? t->now_ns - (uint64_t)ago : 1;
}

static void add_stack(struct event *e, const struct thread_rows *t, const struct snap_thread *r)
{
	int frames = r->kstack_n > 0 && t->symbols ? r->kstack_n / 8 : 0;

	if (t->stack) {
		const char *names = t->stack(t->stack_ctx, r->tid);

		record_add(e, names, strlen(names));
		return;
	}
	for (int i = 0; i < frames && i < SNAP_STACK_MAX && r->kstack[i]; i++) {
		const char *name = kernel_symbols_name(t->symbols, r->kstack[i]);

		if (i)
			record_add(e, ";", 1);
		record_add(e, name, strlen(name));
	}
}

static void add_wchan(struct event *e, const struct snap_thread *r)
{
	char name[64], wchan[64];
	ssize_t n;

	snprintf(name, sizeof(name), "task/%u/wchan", r->tid);
	n = procfs_read(r->tgid, name, wchan, sizeof(wchan));
	if (n > 0 && strcmp(wchan, "0") != 0)
		record_add(e, wchan, (size_t)n);
	record_add(e, "", 1);
}

/*
 * Arguments of its call lie in memory, which it has put to other use if it went on since the kernel
 * showed it: a time limit of 127 days was once read of a short sleep.
 */
static bool reads_memory(const struct ev_thread *e)
{
	switch (e->syscall) {
#ifdef __NR_poll
	case __NR_poll:
	case __NR_select:
#endif
	case __NR_ppoll:
	case __NR_pselect6:
	case __NR_nanosleep:
	case __NR_clock_nanosleep:
		return true;
	case __NR_futex:
		return e->args[3] != 0;
	default:
		return false;
	}
}

static void thread_emit(const struct thread_rows *t, const struct snap_thread *r, bool look,
                        event_fn emit, void *ctx)
{
	struct record room;
	struct ev_thread *e = record_begin(&room, EV_THREAD, sizeof(*e), r->tgid, r->tid);

	e->h.ts_ns = t->now_ns;
	e->state = (uint8_t)state_letter(r);
	e->switches = r->switches;
	e->syscall = -1;
	e->timeout_ns = TIMEOUT_UNKNOWN;
	if (r->on_cpu)
		e->h.flags |= EVF_ONCPU;
	if (!r->on_cpu && e->state != 'R') {
		if (r->last_arrival)
			e->blocked_since_ns = threads_time(t, r->last_arrival + r->last_run);
		e->syscall = (int32_t)r->syscall;
		memcpy(e->args, r->args, sizeof(e->args));
		if (look)
			decode_wait(t->sockets, e);
		if (look && reads_memory(e) && !proc_slept_since(r->tgid, r->tid, r->switches)) {
			e->timeout_ns = TIMEOUT_UNKNOWN;
			e->nfds = 0;
			e->fds_total = 0;
		}
	}
	record_add(&e->h, r->comm, strnlen(r->comm, sizeof(r->comm)));
	record_add(&e->h, "", 1);
	add_wchan(&e->h, r);
	add_stack(&e->h, t, r);
	emit(ctx, &e->h);
}

static void cpu_emit(const struct thread_rows *t, const struct snap_thread *r, event_fn emit,
                     void *ctx)
{
	struct record room;
	struct ev_activity *e = record_begin(&room, EV_ACTIVITY, sizeof(*e), r->tgid, r->tid);

	e->h.ts_ns = t->now_ns;
	e->h.flags = EVF_SEEDED;
	e->cpu_ns = r->cpu_ns;
	emit(ctx, &e->h);
}

void threads_emit(const struct thread_rows *t, uint32_t pid, size_t from, bool look, event_fn emit,
                  void *ctx)
{
	size_t nth = 0;

	for (size_t at = 0; at + sizeof(struct snap_thread) <= t->n;
	     at += sizeof(struct snap_thread)) {
		const struct snap_thread *r = (const void *)(t->rows + at);

		if (r->tgid != pid || nth++ < from)
			continue;
		cpu_emit(t, r, emit, ctx);
		thread_emit(t, r, look, emit, ctx);
	}
}
