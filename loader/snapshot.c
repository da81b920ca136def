/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Iterator rows to events. Times: the scheduler's clock is not CLOCK_MONOTONIC; the distance is measured at each reading
 * from our own task's newest arrival on a CPU (see docs/events.md).
 */
#include "snapshot.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "apart.h"
#include "iter.h"
#include "procfs.h"
#include "python_stack.h"
#include "sockets.h"
#include "state.h"

#define FDS_LISTED_MAX 4096 /* descriptors of one process that are listed */
#define CMDLINE_MAX_SEEN 4096
#define FRAMES_LIMIT_NS 2000000000ull /* for the Python frames of all processes */

struct symbol {
	uint64_t addr;
	char name[48];
};

struct snapshot {
	struct snapshot_rows rows;
	struct bpf_link *thread_link,
		*socket_link; /* of the iterators, NULL: rows come from elsewhere */
	event_fn emit;
	void *ctx;
	struct symbol *symbols; /* of the kernel, sorted; read at the first use */
	size_t nsymbols;
	struct sockets sockets;
	struct apart frames; /* who reads Python frames */
	uint64_t room[EVENT_SIZE_MAX / 8];
};

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static char *iter_threads(void *ctx, const uint32_t *pids, size_t npids, size_t *n)
{
	(void)pids; /* the programs know whom we watch */
	(void)npids;
	return iter_read(((struct snapshot *)ctx)->thread_link, n);
}

static char *iter_sockets(void *ctx, const uint32_t *pids, size_t npids, size_t *n)
{
	(void)pids;
	(void)npids;
	return iter_read(((struct snapshot *)ctx)->socket_link, n);
}

struct snapshot *snapshot_new_rows(const struct snapshot_rows *rows, event_fn emit, void *ctx)
{
	struct snapshot *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->rows = *rows;
	s->emit = emit;
	s->ctx = ctx;
	return s;
}

struct snapshot *snapshot_new(void *thread_prog, void *socket_prog, event_fn emit, void *ctx)
{
	struct snapshot_rows rows = { iter_threads, iter_sockets, NULL, NULL };
	struct snapshot *s = snapshot_new_rows(&rows, emit, ctx);

	if (!s)
		return NULL;
	s->rows.ctx = s;
	s->thread_link = bpf_program__attach_iter(thread_prog, NULL);
	s->socket_link = s->thread_link ? bpf_program__attach_iter(socket_prog, NULL) : NULL;
	if (!s->socket_link) {
		int err = errno;

		snapshot_free(s);
		errno = err;
		return NULL;
	}
	return s;
}

void snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	bpf_link__destroy(s->thread_link);
	bpf_link__destroy(s->socket_link);
	free(s->symbols);
	sockets_free(&s->sockets);
	free(s);
}

static void *start(struct snapshot *s, enum event_type type, size_t size, uint32_t pid,
                   uint32_t tid)
{
	struct event *e = (struct event *)s->room;

	memset(e, 0, size);
	e->type = type;
	e->size = (uint32_t)size;
	e->ts_ns = now_ns();
	e->pid = pid;
	e->tid = tid;
	return e;
}

static void add_text(struct event *e, const char *text, size_t n)
{
	if (n > EVENT_SIZE_MAX - e->size)
		n = EVENT_SIZE_MAX - e->size;
	memcpy((char *)e + e->size, text, n);
	e->size += (uint32_t)n;
}

int snapshot_process(struct snapshot *s, uint32_t pid)
{
	struct ev_process *e = start(s, EV_PROCESS, sizeof(*e), pid, pid);
	char cmdline[CMDLINE_MAX_SEEN];
	struct proc_stat st;
	struct timespec boot;
	ssize_t n;
	int err = procfs_stat(pid, &st);

	if (err)
		return err;
	clock_gettime(CLOCK_BOOTTIME, &boot);
	e->ppid = st.ppid;
	e->start_ns = st.start_ns + e->h.ts_ns -
	              ((uint64_t)boot.tv_sec * 1000000000u + (uint64_t)boot.tv_nsec);
	procfs_uid(pid, &e->uid);
	n = procfs_read(pid, "cmdline", cmdline, sizeof(cmdline));
	if (n > 0)
		add_text(&e->h, cmdline, (size_t)n);
	s->emit(s->ctx, &e->h);
	return 0;
}

/* ---- kernel stacks ---- */

static int symbol_order(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static void symbols_read(struct snapshot *s)
{
	FILE *f = fopen("/proc/kallsyms", "re");
	size_t room = 0;
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		uint64_t addr;
		char type, name[256];

		if (sscanf(line, "%" SCNx64 " %c %255s", &addr, &type, name) != 3 || addr == 0 ||
		    (type != 't' && type != 'T'))
			continue;
		if (s->nsymbols == room) {
			struct symbol *more = realloc(
				s->symbols, (room = room ? room * 2 : 1 << 16) * sizeof(*more));

			if (!more)
				break;
			s->symbols = more;
		}
		s->symbols[s->nsymbols].addr = addr;
		snprintf(s->symbols[s->nsymbols++].name, sizeof(s->symbols->name), "%.47s", name);
	}
	if (f)
		fclose(f);
	if (s->nsymbols)
		qsort(s->symbols, s->nsymbols, sizeof(*s->symbols), symbol_order);
}

static const char *symbol_name(const struct snapshot *s, uint64_t addr)
{
	size_t lo = 0, hi = s->nsymbols;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->symbols[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? s->symbols[lo - 1].name : "?";
}

static void add_kernel_stack(struct snapshot *s, struct event *e, const struct snap_thread *r)
{
	int frames = r->kstack_n > 0 && s->nsymbols ? r->kstack_n / 8 : 0;

	if (s->rows.stack) {
		const char *names = s->rows.stack(s->rows.ctx, r->tid);

		add_text(e, names, strlen(names));
		return;
	}
	for (int i = 0; i < frames && i < SNAP_STACK_MAX && r->kstack[i]; i++) {
		const char *name = symbol_name(s, r->kstack[i]);

		if (i)
			add_text(e, ";", 1);
		add_text(e, name, strlen(name));
	}
}

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
	if (procfs_memory(pid, addr, t, sizeof(t)) || t[0] < 0 || t[0] > INT64_MAX / 2000000000)
		return TIMEOUT_UNKNOWN;
	return t[0] * 1000000000 + t[1];
}

/* An absolute time limit as one from the call's start, which was when the thread fell asleep. */
static int64_t absolute_ns(const struct ev_thread *e, int64_t at, bool realtime)
{
	struct timespec now;
	int64_t left;

	if (at < 0)
		return at;
	clock_gettime(realtime ? CLOCK_REALTIME : CLOCK_MONOTONIC, &now);
	left = at - (now.tv_sec * 1000000000ll + now.tv_nsec);
	if (e->blocked_since_ns)
		left += (int64_t)(e->h.ts_ns - e->blocked_since_ns);
	return left < 0 ? 0 : left;
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

static void decode_wait(const struct snapshot *s, struct ev_thread *e)
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
		e->timeout_ns = sockets_timeout(&s->sockets, pid, (int)e->args[0]);
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

static void thread_row(struct snapshot *s, const struct snap_thread *r, int64_t skew)
{
	struct ev_thread *e = start(s, EV_THREAD, sizeof(*e), r->tgid, r->tid);
	char name[64], wchan[64];
	ssize_t n;

	e->state = (uint8_t)state_letter(r);
	e->switches = r->switches;
	e->syscall = -1;
	if (r->on_cpu)
		e->h.flags |= EVF_ONCPU;
	if (!r->on_cpu && e->state != 'R') {
		int64_t left = (int64_t)(r->last_arrival + r->last_run) - skew;

		if (r->last_arrival) /* /proc does not tell */
			e->blocked_since_ns = left > 0 && (uint64_t)left < e->h.ts_ns
			                              ? (uint64_t)left
			                              : e->h.ts_ns;
		e->syscall = (int32_t)r->syscall;
		memcpy(e->args, r->args, sizeof(e->args));
	}
	decode_wait(s, e);
	add_text(&e->h, r->comm, strnlen(r->comm, sizeof(r->comm)));
	add_text(&e->h, "", 1);
	snprintf(name, sizeof(name), "task/%u/wchan", r->tid);
	n = procfs_read(r->tgid, name, wchan, sizeof(wchan));
	if (n > 0 && strcmp(wchan, "0") != 0)
		add_text(&e->h, wchan, (size_t)n);
	add_text(&e->h, "", 1);
	add_kernel_stack(s, &e->h, r);
	s->emit(s->ctx, &e->h);
}

static bool listed(const uint32_t *pids, size_t n, uint32_t pid)
{
	for (size_t i = 0; i < n; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

/* ---- Python frames ---- */

struct frames_work {
	const uint32_t *pids;
	size_t npids;
	const char *rows; /* of the thread iterator */
	size_t n;
};

/* The threads of a process, to be freed; NULL: out of memory. */
static struct python_thread *threads_of(const struct frames_work *w, uint32_t pid, size_t *n)
{
	struct python_thread *threads =
		calloc(w->n / sizeof(struct snap_thread) + 1, sizeof(*threads));

	*n = 0;
	for (size_t at = 0; threads && at + sizeof(struct snap_thread) <= w->n;
	     at += sizeof(struct snap_thread)) {
		const struct snap_thread *r = (const void *)(w->rows + at);

		if (r->tgid == pid)
			threads[(*n)++] = (struct python_thread){ r->tid, r->fsbase };
	}
	return threads;
}

static void frames_read(void *ctx, event_fn send, void *send_ctx)
{
	const struct frames_work *w = ctx;
	struct pythons *pythons = pythons_new(-1);

	for (size_t i = 0; pythons && i < w->npids; i++) {
		struct python_runtime runtime;
		struct python_thread *threads;
		size_t n;

		if (!pythons_find(pythons, w->pids[i], &runtime))
			continue;
		threads = threads_of(w, w->pids[i], &n);
		if (threads)
			python_stack_read(w->pids[i], &runtime, threads, n, send, send_ctx);
		free(threads);
	}
	pythons_free(pythons);
}

static void frames_take(struct snapshot *s, uint32_t target, struct frames_work *w)
{
	int err = apart_run(&s->frames, frames_read, w, FRAMES_LIMIT_NS, s->emit, s->ctx);
	struct ev_frames *e;
	char why[160];

	if (!err)
		return;
	e = start(s, EV_FRAMES, sizeof(*e), target, 0);
	e->kind = FRAMES_MISSING;
	if (err == -ETIMEDOUT || err == -EBUSY)
		snprintf(why, sizeof(why),
		         "not all Python frames were read within %llu s: there may be very many, "
		         "or a "
		         "process hangs with its memory locked",
		         FRAMES_LIMIT_NS / 1000000000);
	else
		snprintf(why, sizeof(why), "Python frames could not be read: %s", strerror(-err));
	add_text(&e->h, why, strlen(why));
	s->emit(s->ctx, &e->h);
}

static void threads_take(struct snapshot *s, uint32_t target, const uint32_t *pids, size_t npids,
                         bool names)
{
	struct timespec nap = { 0, 50000 };
	uint64_t before;
	int64_t skew;
	size_t n;
	char *rows;

	/* fall asleep and wake: our own arrival on the CPU is then as new as can be */
	nanosleep(&nap, NULL);
	before = now_ns();
	rows = s->rows.threads(s->rows.ctx, pids, npids, &n);
	if (!rows)
		return;
	if (n >= sizeof(struct snap_thread)) {
		skew = (int64_t)(((struct snap_thread *)rows)->me_last_arrival - before);
		for (size_t at = 0; at + sizeof(struct snap_thread) <= n;
		     at += sizeof(struct snap_thread)) {
			const struct snap_thread *r = (const void *)(rows + at);

			if (listed(pids, npids, r->tgid))
				thread_row(s, r, skew);
		}
	}
	if (names)
		frames_take(s, target, &(struct frames_work){ pids, npids, rows, n });
	free(rows);
}

struct fd_list {
	struct snapshot *s;
	uint32_t pid;
	unsigned n;
};

static void fd_row(void *ctx, int fd, const char *target)
{
	struct fd_list *l = ctx;
	struct ev_fd *e;

	if (l->n++ >= FDS_LISTED_MAX)
		return;
	e = start(l->s, EV_FD, sizeof(*e), l->pid, l->pid);
	e->fd = fd;
	if (strncmp(target, "socket:[", 8) == 0)
		e->sock = strtoull(target + 8, NULL, 10);
	add_text(&e->h, target, strlen(target));
	l->s->emit(l->s->ctx, &e->h);
}

int snapshot_take(struct snapshot *s, uint32_t target, const uint32_t *pids, size_t n, bool names)
{
	struct event *e = start(s, EV_SNAPSHOT, sizeof(*e), target, target);
	size_t rows_n;
	char *rows;

	e->flags = EVF_BEGIN;
	s->emit(s->ctx, e);
	if (names && !s->symbols && !s->rows.stack)
		symbols_read(s);
	for (size_t i = 0; i < n; i++)
		snapshot_process(s, pids[i]);
	rows = s->rows.sockets(s->rows.ctx, pids, n, &rows_n);
	if (rows)
		sockets_take(&s->sockets, rows, rows_n, pids, n, s->emit, s->ctx);
	free(rows);
	for (size_t i = 0; i < n; i++) {
		struct fd_list l = { s, pids[i], 0 };

		procfs_each_fd(pids[i], fd_row, &l);
	}
	threads_take(s, target, pids, n, names);
	e = start(s, EV_SNAPSHOT, sizeof(*e), target, target);
	s->emit(s->ctx, e);
	return 0;
}
