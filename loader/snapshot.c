/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One look at everything. Rows of threads and sockets take no lock of the target and are read here; all that may hang
 * is done apart, step by step and process by process, so that a wedged process costs its own rows only.
 */
#include "snapshot.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "apart.h"
#include "facts.h"
#include "holders.h"
#include "iter.h"
#include "kernel_symbols.h"
#include "locks.h"
#include "names.h"
#include "native_stack.h"
#include "proc_rows.h"
#include "procfs.h"
#include "python_stack.h"
#include "python_tasks.h"
#include "record.h"
#include "sockets.h"
#include "state.h"
#include "threads.h"

#define FDS_LISTED_MAX 4096 /* descriptors of one process that are listed */
#define CMDLINE_MAX_SEEN 4096
#define ZOMBIES_MAX \
	1024 /* listed, of a look: a program that never waits for its children has no more to tell */
#define ITEM_NS 500000000ull  /* for one step of one process */
#define LOOK_NS 2000000000ull /* for all of them: an operator waits for it */
#define HOLDERS_NS \
	400000000ull /* for all descriptors of the machine, so that the step ends by itself */
#define NATIVE_NS \
	(ITEM_NS / 2) /* for native frames of a process, so that the step ends by itself */
#define WEDGED_MAX 64
#define WEDGED_NS 5000000000ull /* before a process that hung is looked into again */
#define READINGS_MAX 5          /* of the clocks, to find two that nothing disturbed */
#define READINGS_AGREE_NS 1000000

struct snapshot {
	struct snapshot_rows rows;
	struct bpf_link *thread_link,
		*socket_link; /* of the iterators, NULL: rows come from elsewhere */
	event_fn emit;
	void *ctx;
	const struct roots *roots; /* NULL nobody */
	struct kernel_symbols symbols;
	struct sockets sockets; /* of this snapshot */
	struct apart apart;
	struct {
		uint32_t pid;
		uint64_t until_ns;
	} wedged[WEDGED_MAX]; /* not looked into until then */
	struct record room;
};

/* Processes remembered as wedged; the oldest is forgotten, and then costs its time again. */
void snapshot_wedged(struct snapshot *s, uint32_t pid)
{
	size_t oldest = 0;

	for (size_t i = 0; i < WEDGED_MAX; i++)
		if (s->wedged[i].until_ns < s->wedged[oldest].until_ns)
			oldest = i;
	s->wedged[oldest].pid = pid;
	s->wedged[oldest].until_ns = now_ns() + WEDGED_NS;
}

static bool wedged_known(const struct snapshot *s, uint32_t pid)
{
	uint64_t now = now_ns();

	for (size_t i = 0; i < WEDGED_MAX; i++)
		if (s->wedged[i].pid == pid && s->wedged[i].until_ns > now)
			return true;
	return false;
}

/* One look, while it is taken. */
struct look {
	struct snapshot *s;
	const uint32_t *pids;
	size_t npids;
	bool *wedged;  /* by process: its memory could not be read in time */
	size_t *items; /* step * npids + process */
	struct thread_rows threads;
	size_t threads_done;           /* of the process whose threads came last ... */
	uint32_t threads_pid;          /* ... and which that is */
	struct facts facts;            /* in the child ... */
	struct pythons *pythons;       /* ... made at their first use */
	struct native_stacks *natives; /* ... too */
	event_fn send;
	void *send_ctx;
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

void snapshot_roots(struct snapshot *s, const struct roots *roots)
{
	s->roots = roots;
}

void snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	bpf_link__destroy(s->thread_link);
	bpf_link__destroy(s->socket_link);
	kernel_symbols_free(&s->symbols);
	sockets_free(&s->sockets);
	free(s);
}

/* ---- processes ---- */

/* A time of CLOCK_BOOTTIME as CLOCK_MONOTONIC at now. */
static uint64_t boot_to_monotonic(uint64_t at, uint64_t now)
{
	struct timespec boot;

	clock_gettime(CLOCK_BOOTTIME, &boot);
	return at + now - ((uint64_t)boot.tv_sec * 1000000000u + (uint64_t)boot.tv_nsec);
}

/* Also one that has ended. */
static bool is_root(const struct snapshot *s, uint32_t pid)
{
	return s->roots && procfs_listed(s->roots->pids, s->roots->n, pid);
}

/* command: also its command line, which is in its memory. */
static int process_emit(struct snapshot *s, uint32_t pid, bool command, event_fn emit, void *ctx)
{
	struct ev_process *e = record_begin(&s->room, EV_PROCESS, sizeof(*e), pid, pid);
	char cmdline[CMDLINE_MAX_SEEN];
	struct proc_stat st;
	ssize_t n;
	int err = procfs_stat(pid, &st);

	if (err)
		return err;
	if (is_root(s, pid))
		e->h.flags |= EVF_ROOT;
	e->ppid = st.ppid;
	e->start_ns = boot_to_monotonic(st.start_ns, e->h.ts_ns);
	procfs_uid(pid, &e->uid);
	n = command ? procfs_read(pid, "cmdline", cmdline, sizeof(cmdline)) : 0;
	if (n > 0)
		record_add(&e->h, cmdline, (size_t)n);
	emit(ctx, &e->h);
	return 0;
}

int snapshot_process(struct snapshot *s, uint32_t pid)
{
	return process_emit(s, pid, true, s->emit, s->ctx);
}

struct zombie_walk {
	const struct look *l;
	unsigned n;
};

/* What is left of a process: its name, whose child it was, and how it ended. */
static void zombie_emit(struct snapshot *s, uint32_t pid)
{
	struct ev_thread *e;
	struct ev_fact *f;
	struct proc_stat st;
	char comm[32];
	ssize_t n;

	if (procfs_stat(pid, &st) || process_emit(s, pid, false, s->emit, s->ctx))
		return;
	e = record_begin(&s->room, EV_THREAD, sizeof(*e), pid, pid);
	e->state = (uint8_t)st.state;
	e->syscall = -1;
	e->timeout_ns = TIMEOUT_UNKNOWN;
	n = procfs_read(pid, "comm", comm, sizeof(comm));
	if (n > 0)
		record_add(&e->h, comm, strcspn(comm, "\n"));
	record_add(&e->h, "\0", 2); /* no wait channel, no stack */
	s->emit(s->ctx, &e->h);
	f = record_begin(&s->room, EV_FACT, sizeof(*f), pid, pid);
	f->kind = FACT_EXIT_STATUS;
	f->value = (uint32_t)st.exit_code;
	s->emit(s->ctx, &f->h);
}

/* Those that ended and were not waited for: targets, and children of the listed. */
static void zombie_visit(void *ctx, uint32_t pid)
{
	struct zombie_walk *w = ctx;
	struct proc_stat st;

	if (procfs_stat(pid, &st) || !procfs_ended(&st) || st.state != 'Z' ||
	    (!is_root(w->l->s, pid) && !procfs_listed(w->l->pids, w->l->npids, st.ppid)))
		return;
	if (w->n++ < ZOMBIES_MAX)
		zombie_emit(w->l->s, pid);
}

static void zombies_emit(const struct look *l)
{
	struct zombie_walk w = { l, 0 };
	char why[96];

	procfs_each_pid(zombie_visit, &w);
	if (w.n <= ZOMBIES_MAX)
		return;
	snprintf(why, sizeof(why), "%u processes that ended are not listed", w.n - ZOMBIES_MAX);
	l->s->emit(l->s->ctx, record_missing(&l->s->room, 0, "zombies", why));
}

/* ---- threads: the rows ---- */

static long switches(void)
{
	struct rusage u;

	getrusage(RUSAGE_THREAD, &u);
	return u.ru_nvcsw + u.ru_nivcsw;
}

/*
 * Reads the rows, and with them how far the clocks are apart: our own newest arrival on a CPU, just after a nap, by the
 * scheduler's clock less the time by ours. If we were not switched meanwhile it is right but for what a hypervisor took
 * from us, which makes it too small: so the largest of such readings counts. One in which we were switched may be too
 * large: without a better one the smallest counts.
 */
static bool threads_read(struct look *l)
{
	struct snapshot *s = l->s;
	struct thread_rows *t = &l->threads;
	int64_t good = INT64_MIN, bad = INT64_MAX;
	char *rows = NULL;

	for (unsigned i = 0; i < READINGS_MAX; i++) {
		struct timespec nap = { 0, 50000 };
		int64_t skew;
		long before;
		bool agree;

		nanosleep(&nap, NULL);
		before = switches();
		t->now_ns = now_ns();
		free(rows);
		rows = s->rows.threads(s->rows.ctx, l->pids, l->npids, &t->n);
		if (!rows) {
			t->n = 0;
			return false;
		}
		if (t->n < sizeof(struct snap_thread))
			break;
		skew = (int64_t)(((const struct snap_thread *)rows)->me_last_arrival - t->now_ns);
		if (((const struct snap_thread *)rows)->me_last_arrival == 0)
			break; /* rows without times */
		if (switches() != before) {
			bad = skew < bad ? skew : bad;
			continue;
		}
		agree = good != INT64_MIN && llabs(skew - good) < READINGS_AGREE_NS;
		good = skew > good ? skew : good;
		if (agree)
			break;
	}
	t->rows = rows;
	t->skew = good != INT64_MIN ? good : bad != INT64_MAX ? bad : 0;
	return true;
}

static void symbols_find(struct look *l)
{
	const struct thread_rows *t = &l->threads;

	for (size_t at = 0; at + sizeof(struct snap_thread) <= t->n;
	     at += sizeof(struct snap_thread)) {
		const struct snap_thread *r = (const void *)(t->rows + at);

		for (int i = 0; procfs_listed(l->pids, l->npids, r->tgid) && i < SNAP_STACK_MAX &&
		                i < r->kstack_n / 8;
		     i++)
			kernel_symbols_want(&l->s->symbols, r->kstack[i]);
	}
	kernel_symbols_read(&l->s->symbols);
	l->threads.symbols = &l->s->symbols;
}

/* ---- steps: what is done apart, of one process or of all ---- */

static void command_step(struct look *l, uint32_t pid)
{
	process_emit(l->s, pid, true, l->send, l->send_ctx);
}

struct fd_list {
	struct look *l;
	uint32_t pid;
	unsigned n;
};

static void fd_row(void *ctx, int fd, const char *target)
{
	struct fd_list *f = ctx;
	struct ev_fd *e;

	if (f->n++ >= FDS_LISTED_MAX)
		return;
	e = record_begin(&f->l->s->room, EV_FD, sizeof(*e), f->pid, f->pid);
	e->fd = fd;
	if (strncmp(target, "socket:[", 8) == 0)
		e->sock = strtoull(target + 8, NULL, 10);
	record_add(&e->h, target, strlen(target));
	f->l->send(f->l->send_ctx, &e->h);
}

static void fds_step(struct look *l, uint32_t pid)
{
	struct fd_list f = { l, pid, 0 };
	char why[96];

	procfs_each_fd(pid, fd_row, &f);
	if (f.n <= FDS_LISTED_MAX)
		return;
	snprintf(why, sizeof(why), "%u more descriptors are not listed", f.n - FDS_LISTED_MAX);
	l->send(l->send_ctx, record_missing(&l->s->room, pid, "descriptors", why));
}

static void threads_step(struct look *l, uint32_t pid)
{
	threads_emit(&l->threads, pid, 0, true, l->send, l->send_ctx);
}

static void facts_step(struct look *l, uint32_t pid)
{
	facts_take(&l->facts, pid, l->send, l->send_ctx);
}

static void names_step(struct look *l, uint32_t pid)
{
	names_take(pid, l->send, l->send_ctx);
}

static void kills_step(struct look *l, uint32_t pid)
{
	(void)pid;
	facts_take_kills(l->pids, l->npids, l->send, l->send_ctx);
}

static void locks_step(struct look *l, uint32_t pid)
{
	(void)pid;
	locks_take(l->pids, l->npids, l->send, l->send_ctx);
}

static void holders_step(struct look *l, uint32_t pid)
{
	(void)pid;
	holders_take(l->pids, l->npids, l->s->sockets.pairs, l->s->sockets.npairs,
	             now_ns() + HOLDERS_NS, l->send, l->send_ctx);
}

/* The threads of a process, to be freed; NULL: out of memory. */
static struct python_thread *threads_of(const struct look *l, uint32_t pid, size_t *n)
{
	struct python_thread *threads =
		calloc(l->threads.n / sizeof(struct snap_thread) + 1, sizeof(*threads));

	*n = 0;
	for (size_t at = 0; threads && at + sizeof(struct snap_thread) <= l->threads.n;
	     at += sizeof(struct snap_thread)) {
		const struct snap_thread *r = (const void *)(l->threads.rows + at);

		if (r->tgid == pid)
			threads[(*n)++] = (struct python_thread){
				r->tid, r->fsbase ? r->fsbase : proc_self(pid, r->tid)
			};
	}
	return threads;
}

static void python_step(struct look *l, uint32_t pid)
{
	struct python_runtime runtime;
	struct python_thread *threads;
	size_t n;

	if (!l->pythons)
		l->pythons = pythons_new(-1);
	if (!l->pythons || !pythons_find(l->pythons, pid, &runtime))
		return;
	threads = threads_of(l, pid, &n);
	if (threads) {
		python_stack_read(pid, &runtime, threads, n, l->send, l->send_ctx);
		python_tasks_read(pid, &runtime, threads, n, l->send, l->send_ctx);
	}
	free(threads);
}

static void natives_step(struct look *l, uint32_t pid)
{
	if (!l->natives)
		l->natives = native_stacks_new();
	if (l->natives)
		native_stacks_read(l->natives, pid, (const struct snap_thread *)l->threads.rows,
		                   l->threads.n / sizeof(struct snap_thread), now_ns() + NATIVE_NS,
		                   l->send, l->send_ctx);
}

#define WEDGED_WHY                                                                                 \
	"not tried: its memory could not be read a moment ago, it may hang in the kernel with it " \
	"locked"

/* In this order: what costs little and hangs least comes first. */
static const struct step {
	const char *what; /* as EV_MISSING names it */
	void (*take)(struct look *l, uint32_t pid);
	bool memory; /* takes the lock of the process's memory map */
	bool all;    /* once, of all processes */
	bool closer; /* only in a close look */
} steps[] = {
	{ "command", command_step, .memory = true },
	{ "descriptors", fds_step },
	{ "facts", facts_step },
	{ "arguments", threads_step, .memory = true },
	{ "names", names_step, .memory = true },
	{ "oom_kills", kills_step, .all = true },
	{ "locks", locks_step, .all = true },
	{ "holders", holders_step, .all = true, .closer = true },
	{ "python_frames", python_step, .memory = true, .closer = true },
	{ "native_frames", natives_step, .memory = true, .closer = true },
};
#define STEPS (sizeof(steps) / sizeof(*steps))

static void missing(struct look *l, uint32_t pid, const char *what, const char *why, event_fn emit,
                    void *ctx)
{
	struct ev_frames *e;

	emit(ctx, record_missing(&l->s->room, pid, what, why));
	if (strcmp(what, "python_frames") != 0)
		return;
	e = record_begin(&l->s->room, EV_FRAMES, sizeof(*e), pid, 0);
	e->kind = FRAMES_MISSING;
	record_add(&e->h, why, strlen(why));
	emit(ctx, &e->h);
}

/* What a step has to say without looking into the process. Of the threads those that did not come. */
static void step_without(struct look *l, const struct step *step, uint32_t pid, event_fn emit,
                         void *ctx)
{
	if (step->take == command_step)
		process_emit(l->s, pid, false, emit, ctx);
	if (step->take == threads_step)
		threads_emit(&l->threads, pid, l->threads_pid == pid ? l->threads_done : 0, false,
		             emit, ctx);
}

static void step_work(void *ctx, size_t item, event_fn send, void *send_ctx)
{
	struct look *l = ctx;
	const struct step *step = &steps[l->items[item] / l->npids];
	size_t i = l->items[item] % l->npids;

	l->send = send;
	l->send_ctx = send_ctx;
	if (!step->memory || !l->wedged[i]) {
		step->take(l, l->pids[i]);
		return;
	}
	missing(l, l->pids[i], step->what, WEDGED_WHY, send, send_ctx);
	step_without(l, step, l->pids[i], send, send_ctx);
}

static const char *why_missed(int err)
{
	switch (err) {
	case -ETIMEDOUT:
		return "reading it was given up after 0.5 s: it may hang in the kernel with its "
		       "memory locked, or there is very much";
	case -ETIME:
		return "the time for one look was over before";
	case -EBUSY:
		return "not tried: too many earlier readings of processes that hang have not ended";
	case -EPROTO:
		return "reading it failed";
	}
	return strerror(-err);
}

static void step_missed(void *ctx, size_t item, int err)
{
	struct look *l = ctx;
	const struct step *step = &steps[l->items[item] / l->npids];
	size_t i = l->items[item] % l->npids;
	uint32_t pid = l->pids[i];

	if (err == -ETIMEDOUT && step->memory) {
		l->wedged[i] = true;
		snapshot_wedged(l->s, pid);
	}
	missing(l, step->all ? 0 : pid, step->what, why_missed(err), l->s->emit, l->s->ctx);
	step_without(l, step, pid, l->s->emit, l->s->ctx);
}

/* Here, of what comes from the child: counts the threads. */
static void take(void *ctx, const struct event *e)
{
	struct look *l = ctx;

	if (e->type == EV_THREAD) {
		l->threads_done = l->threads_pid == e->pid ? l->threads_done + 1 : 1;
		l->threads_pid = e->pid;
	}
	l->s->emit(l->s->ctx, e);
}

static void steps_take(struct look *l, bool closer)
{
	struct apart_job job = { 0, step_work, step_missed, l, ITEM_NS, LOOK_NS };

	l->items = calloc(STEPS * (l->npids + 1), sizeof(*l->items));
	l->wedged = calloc(l->npids + 1, sizeof(*l->wedged));
	for (size_t i = 0; l->wedged && i < l->npids; i++)
		l->wedged[i] = wedged_known(l->s, l->pids[i]);
	for (size_t step = 0; l->items && l->wedged && step < STEPS; step++)
		for (size_t i = 0; i < (steps[step].all && l->npids ? 1 : l->npids); i++)
			if (closer || !steps[step].closer)
				l->items[job.n++] = step * l->npids + i;
	apart_each(&l->s->apart, &job, take, l);
	free(l->items);
	free(l->wedged);
}

static void sockets_read(struct look *l)
{
	struct snapshot *s = l->s;
	size_t n;
	char *rows = s->rows.sockets(s->rows.ctx, l->pids, l->npids, &n);

	if (rows)
		sockets_take(&s->sockets, rows, n, l->pids, l->npids, s->emit, s->ctx);
	else
		s->emit(s->ctx, record_missing(&s->room, 0, "sockets", strerror(errno)));
	free(rows);
}

int snapshot_take(struct snapshot *s, uint32_t pid, const uint32_t *pids, size_t n, bool names)
{
	struct look l = { .s = s, .pids = pids, .npids = n };
	struct event *e = record_begin(&s->room, EV_SNAPSHOT, sizeof(*e), pid, pid);

	e->flags = EVF_BEGIN;
	s->emit(s->ctx, e);
	sockets_read(&l);
	l.threads.sockets = &s->sockets;
	l.threads.stack = s->rows.stack;
	l.threads.stack_ctx = s->rows.ctx;
	if (!threads_read(&l))
		s->emit(s->ctx, record_missing(&s->room, 0, "threads", strerror(errno)));
	if (names && !s->rows.stack)
		symbols_find(&l);
	zombies_emit(&l);
	steps_take(&l, names);
	free((char *)l.threads.rows);
	e = record_begin(&s->room, EV_SNAPSHOT, sizeof(*e), pid, pid);
	s->emit(s->ctx, e);
	return 0;
}
