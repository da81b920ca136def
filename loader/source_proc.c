/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The live target without BPF: /proc and sock_diag alone, with whatever privileges there are. Nothing is observed between two
 * looks; a look has the same records as that of source_bpf.c, but for what is said to be missing.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "actions.h"
#include "apart.h"
#include "hello.h"
#include "proc_rows.h"
#include "procfs.h"
#include "record.h"
#include "snapshot.h"
#include "sock_diag.h"
#include "source.h"

#define TREE_MAX 8192 /* processes, as with BPF (bpf/state.h) */
#define ACTIVITY_TICKS 4
#define ACTIVITY_SEEN 4096   /* slots that remember what was said of a thread */
#define ITEM_NS 500000000ull /* for one process to be read in, or all sockets */
#define LOOK_NS 2000000000ull

/* What a child finds out in a look: memory it shares with us. */
struct look {
	struct proc_missing threads;
	struct diag_missing sockets;
	struct rows rows;
};

struct seen {
	uint32_t tid;
	uint64_t syscalls, cpu_ns;
};

struct source_proc {
	struct source source;
	struct source_config config;
	struct snapshot *snapshot;
	struct apart apart;
	struct look *look;
	char *threads; /* struct proc_thread of the newest look */
	size_t nthreads;
	struct roots roots;
	struct actions actions;
	uint32_t pids[TREE_MAX];    /* of the tree, alive ... */
	uint64_t started[TREE_MAX]; /* ... and since when: its number may become a stranger's */
	size_t npids;
	uint32_t beyond; /* processes beyond it */
	uint32_t hung;   /* processes not read in time in this look */
	bool sockets_hung;
	struct seen *seen;
	uint64_t next_tick_ns, next_activity_ns;
	char *refused;
	bool ended;
	struct record room;
};

static void deliver(struct source_proc *s, const struct event *e)
{
	s->config.on_event(s->config.ctx, e);
}

/* ---- the process tree ---- */

static bool pid_known(const struct source_proc *s, uint32_t pid)
{
	for (size_t i = 0; i < s->npids; i++)
		if (s->pids[i] == pid)
			return true;
	return false;
}

struct tree_walk {
	struct source_proc *s;
	bool grew;
};

static void tree_visit(void *ctx, uint32_t pid)
{
	struct tree_walk *w = ctx;
	struct source_proc *s = w->s;
	struct proc_stat st;

	if (procfs_stat(pid, &st) || procfs_ended(&st) || !pid_known(s, st.ppid) ||
	    pid_known(s, pid))
		return;
	if (s->npids == TREE_MAX) {
		s->beyond++;
		return;
	}
	s->started[s->npids] = st.start_ns;
	s->pids[s->npids++] = pid;
	w->grew = true;
}

/* The target and its descendants as they are now, until a walk finds no new one. What was found before and has since lost its
 * parent still belongs to it. */
static void tree_find(struct source_proc *s)
{
	struct tree_walk w = { s, true };
	struct proc_stat st;
	size_t n = 0;

	s->beyond = 0;
	for (size_t i = 0; i < s->npids; i++) {
		if (procfs_stat(s->pids[i], &st) || procfs_ended(&st) ||
		    st.start_ns != s->started[i])
			continue;
		s->started[n] = s->started[i];
		s->pids[n++] = s->pids[i];
	}
	s->npids = n;
	while (s->config.tree && w.grew) {
		w.grew = false;
		procfs_each_pid(tree_visit, &w);
	}
}

/* ---- rows ---- */

struct work {
	struct source_proc *s;
	const uint32_t *pids;
	size_t n;
};

static void threads_work(void *ctx, size_t item, event_fn send, void *send_ctx)
{
	const struct work *w = ctx;

	(void)send;
	(void)send_ctx;
	proc_threads_take(w->pids[item], &w->s->look->rows, &w->s->look->threads);
}

static void threads_missed(void *ctx, size_t item, int err)
{
	(void)item;
	(void)err;
	((struct work *)ctx)->s->hung++;
}

static char *threads_rows(void *ctx, const uint32_t *pids, size_t npids, size_t *n)
{
	struct source_proc *s = ctx;
	struct work w = { s, pids, npids };
	struct apart_job job = { npids, threads_work, threads_missed, &w, ITEM_NS, LOOK_NS };
	const struct proc_thread *t;
	struct snap_thread *rows;

	s->hung = 0;
	memset(&s->look->threads, 0, sizeof(s->look->threads));
	s->look->rows.used = s->look->rows.beyond = 0;
	apart_each(&s->apart, &job, s->config.on_event, s->config.ctx);
	s->look->threads.beyond = s->look->rows.beyond;
	free(s->threads);
	s->threads = rows_copy(&s->look->rows, n);
	s->nthreads = s->threads ? *n / sizeof(*t) : 0;
	rows = s->threads ? calloc(s->nthreads + 1, sizeof(*rows)) : NULL;
	t = (const struct proc_thread *)s->threads;
	for (size_t i = 0; rows && i < s->nthreads; i++)
		rows[i] = t[i].row;
	*n = s->nthreads * sizeof(*rows);
	return (char *)rows;
}

static const char *thread_stack(void *ctx, uint32_t tid)
{
	const struct source_proc *s = ctx;
	const struct proc_thread *t = (const struct proc_thread *)s->threads;

	for (size_t i = 0; i < s->nthreads; i++)
		if (t[i].row.tid == tid)
			return t[i].stack;
	return "";
}

static void sockets_work(void *ctx, event_fn send, void *send_ctx)
{
	const struct work *w = ctx;

	(void)send;
	(void)send_ctx;
	sock_diag_take(w->pids, w->n, &w->s->look->rows, &w->s->look->sockets);
}

static char *sockets_rows(void *ctx, const uint32_t *pids, size_t npids, size_t *n)
{
	struct source_proc *s = ctx;
	struct work w = { s, pids, npids };

	memset(&s->look->sockets, 0, sizeof(s->look->sockets));
	s->look->rows.used = s->look->rows.beyond = 0;
	s->sockets_hung = apart_run(&s->apart, sockets_work, &w, LOOK_NS, s->config.on_event,
	                            s->config.ctx) != 0;
	s->look->sockets.beyond += s->look->rows.beyond;
	return rows_copy(&s->look->rows, n);
}

/* ---- what is missing ---- */

static void missing_tell(struct source_proc *s, const char *what, const char *why)
{
	deliver(s, record_missing(&s->room, 0, what, why));
}

/* The same of some: "3 threads: it is not known ...: Operation not permitted". */
static void missing_some(struct source_proc *s, const char *what, uint32_t n, const char *of,
                         int err)
{
	char why[256];

	if (!n)
		return;
	snprintf(why, sizeof(why), "%u %s: %s", n, of, strerror(err));
	missing_tell(s, what, why);
}

static const struct {
	const char *what, *why;
} always[] = {
	{ "blocked_since", "without BPF the kernel does not tell since when a thread sleeps" },
	{ "on_cpu", "without BPF a thread that runs looks like one that waits for a CPU" },
	{ "registers", "without BPF all registers but two are unknown: native frames may be few or "
	               "none" },
	{ "calls", "without BPF nothing is seen of what happens between two looks" },
};

/* Said inside of each snapshot, before it ends. */
static void missing_all(struct source_proc *s)
{
	const struct proc_missing *t = &s->look->threads;
	const struct diag_missing *d = &s->look->sockets;

	if (s->refused)
		missing_tell(s, "bpf", s->refused);
	for (size_t i = 0; i < sizeof(always) / sizeof(*always); i++)
		missing_tell(s, always[i].what, always[i].why);
	missing_some(s, "syscalls", t->syscalls, "threads whose system call is not known",
	             t->syscall_err);
	missing_some(s, "kernel_stacks", t->stacks, "threads whose kernel stack is not known",
	             t->stack_err);
	missing_some(s, "threads", s->hung, "processes whose threads were not all read", ETIMEDOUT);
	missing_some(s, "threads_beyond", t->beyond, "threads are not listed", E2BIG);
	missing_some(s, "processes", s->beyond, "processes of the tree are not looked at", E2BIG);
	missing_some(s, "network_namespaces", d->namespaces,
	             "network namespaces were not entered: of sockets there no timer is known",
	             d->namespace_err);
	missing_some(s, "sock_diag", d->dumps, "questions about sockets were not answered",
	             d->dump_err);
	missing_some(s, "socket_options", d->options,
	             "sockets whose keep-alive, user timeout and receive timeout are not known",
	             d->option_err);
	missing_some(s, "sockets", d->sockets, "sockets of which nothing is known", d->option_err);
	missing_some(s, "sockets_beyond", d->beyond, "sockets are not looked at", E2BIG);
	missing_some(s, "descriptors_hidden", d->descriptors,
	             "processes whose descriptors are not known", d->descriptor_err);
	if (s->sockets_hung)
		missing_tell(s, "sockets_late", "not all sockets were read within 2 s");
}

/* What the snapshot emits. */
static void snapshot_event(void *ctx, const struct event *e)
{
	struct source_proc *s = ctx;

	if (e->type == EV_SNAPSHOT && !(e->flags & EVF_BEGIN))
		missing_all(s);
	deliver(s, e);
}

static int look_take(struct source_proc *s, bool names)
{
	tree_find(s);
	return snapshot_take(s->snapshot, s->config.pid, s->pids, s->npids, names);
}

/* ---- ticks ---- */

/* Read and write calls of a thread: those of its system calls that the kernel counts for all to see. */
static uint64_t calls_of(uint32_t pid, uint32_t tid)
{
	char name[64], buf[512], *r, *w;

	snprintf(name, sizeof(name), "task/%u/io", tid);
	if (procfs_read(pid, name, buf, sizeof(buf)) <= 0)
		return 0;
	r = strstr(buf, "syscr:");
	w = strstr(buf, "syscw:");
	return r && w ? strtoull(r + 6, NULL, 10) + strtoull(w + 6, NULL, 10) : 0;
}

struct activity_walk {
	uint32_t pid;
	event_fn send;
	void *send_ctx;
};

static void activity_visit(void *ctx, uint32_t tid)
{
	const struct activity_walk *w = ctx;
	struct record r;
	struct ev_activity *e = record_begin(&r, EV_ACTIVITY, sizeof(*e), w->pid, tid);

	e->cpu_ns = procfs_cpu_ns(w->pid, tid);
	e->syscalls = calls_of(w->pid, tid);
	w->send(w->send_ctx, &e->h);
}

static void activity_work(void *ctx, size_t item, event_fn send, void *send_ctx)
{
	const struct work *w = ctx;
	struct activity_walk walk = { w->pids[item], send, send_ctx };

	procfs_each_tid(walk.pid, activity_visit, &walk);
}

static void activity_missed(void *ctx, size_t item, int err)
{
	(void)ctx; /* said by the next look */
	(void)item;
	(void)err;
}

/* Says what changed. When the newest call was, /proc does not tell: since the tick before this one. */
static void activity_event(void *ctx, const struct event *h)
{
	struct source_proc *s = ctx;
	struct seen *seen = &s->seen[h->tid % ACTIVITY_SEEN];
	struct ev_activity e;

	if (h->type != EV_ACTIVITY)
		return;
	memcpy(&e, h, sizeof(e));
	if (seen->tid == h->tid && seen->syscalls == e.syscalls && seen->cpu_ns == e.cpu_ns)
		return;
	if (seen->tid == h->tid && seen->syscalls != e.syscalls)
		e.last_ns = h->ts_ns;
	*seen = (struct seen){ h->tid, e.syscalls, e.cpu_ns };
	deliver(s, &e.h);
}

static void tick(struct source_proc *s)
{
	struct work w = { s, s->pids, 0 };
	struct apart_job job = { 0, activity_work, activity_missed, &w, ITEM_NS, LOOK_NS };
	uint64_t now = now_ns();

	if (now >= s->next_activity_ns) {
		tree_find(s);
		job.n = w.n = s->npids;
		apart_each(&s->apart, &job, activity_event, s);
		s->next_activity_ns = now + ACTIVITY_TICKS * (uint64_t)s->config.tick_ms * 1000000;
	}
	deliver(s, record_begin(&s->room, EV_TICK, sizeof(struct event), s->config.pid,
	                        s->config.pid));
	s->next_tick_ns = now_ns() + (uint64_t)s->config.tick_ms * 1000000;
}

/* ---- as a source ---- */

static void proc_finish(struct source *source, enum end_reason why)
{
	struct source_proc *s = (struct source_proc *)source;
	struct ev_end *e;

	if (s->ended)
		return;
	actions_stop(&s->actions);
	s->ended = true;
	e = record_begin(&s->room, EV_END, sizeof(*e), s->config.pid, s->config.pid);
	e->reason = why;
	e->code = -1;
	deliver(s, &e->h);
}

static int proc_poll(struct source *source, int timeout_ms)
{
	struct source_proc *s = (struct source_proc *)source;
	struct pollfd p = { .fd = s->roots.fds[0], .events = POLLIN };
	uint64_t now = now_ns();
	int until, n;

	if (s->ended)
		return 1;
	until = s->next_tick_ns > now ? (int)((s->next_tick_ns - now) / 1000000) + 1 : 0;
	n = poll(&p, 1, timeout_ms >= 0 && timeout_ms < until ? timeout_ms : until);
	if (n < 0 && errno != EINTR)
		return -errno;
	if (n > 0) { /* a zombie too: there is nothing more to come */
		proc_finish(source, END_EXITED);
		return 1;
	}
	actions_reap(&s->actions);
	if (now_ns() >= s->next_tick_ns)
		tick(s);
	return 0;
}

static int proc_inspect(struct source *source)
{
	struct source_proc *s = (struct source_proc *)source;

	return s->ended ? -ESRCH : look_take(s, true);
}

static void proc_act(struct source *source, const struct source_action *a)
{
	actions_do(&((struct source_proc *)source)->actions, a);
}

static void proc_capture(struct source *source, uint64_t sock, uint32_t n)
{
	(void)source; /* nothing is captured */
	(void)sock;
	(void)n;
}

static void proc_follow(struct source *source, uint64_t ino, uint64_t dev, uint32_t n)
{
	(void)source; /* nothing is reported */
	(void)ino;
	(void)dev;
	(void)n;
}

static void proc_close(struct source *source)
{
	struct source_proc *s = (struct source_proc *)source;

	if (!s)
		return;
	actions_stop(&s->actions);
	snapshot_free(s->snapshot);
	if (s->look)
		munmap(s->look, sizeof(*s->look));
	roots_end(&s->roots);
	free(s->threads);
	free(s->refused);
	free(s->seen);
	free(s);
}

static struct source *fail(struct source_proc *s, char *why, size_t n, const char *what)
{
	int err = errno;

	snprintf(why, n, "%s: %s", what, strerror(err));
	proc_close(&s->source);
	errno = err;
	return NULL;
}

struct source *source_proc_open(const struct source_config *c, char *why, size_t n)
{
	struct source_proc *s = calloc(1, sizeof(*s));
	struct snapshot_rows rows = { threads_rows, sockets_rows, thread_stack, s };
	struct proc_stat st;
	int err;

	if (!s)
		return NULL;
	s->config = *c;
	s->source = (struct source){ .poll = proc_poll,
		                     .inspect = proc_inspect,
		                     .act = proc_act,
		                     .capture = proc_capture,
		                     .follow = proc_follow,
		                     .finish = proc_finish,
		                     .close = proc_close };
	roots_begin(&s->roots, false);
	err = roots_add(&s->roots, c->pid);
	if (err) {
		errno = -err;
		return fail(s, why, n, "opening the process");
	}
	err = procfs_stat(c->pid, &st);
	if (err) {
		errno = -err;
		return fail(s, why, n, "reading the process's state");
	}
	s->actions = (struct actions){ .roots = &s->roots, .emit = c->on_event, .ctx = c->ctx };
	s->refused = c->refused ? strdup(c->refused) : NULL;
	s->seen = calloc(ACTIVITY_SEEN, sizeof(*s->seen));
	s->look = mmap(NULL, sizeof(*s->look), PROT_READ | PROT_WRITE,
	               MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->look == MAP_FAILED)
		s->look = NULL;
	s->snapshot = snapshot_new_rows(&rows, snapshot_event, s);
	if (!s->seen || !s->look || !s->snapshot)
		return fail(s, why, n, "making room for a look");
	snapshot_roots(s->snapshot, &s->roots);
	hello_tell(c->pid, c->on_event, c->ctx);
	s->started[s->npids] = st.start_ns;
	s->pids[s->npids++] = c->pid;
	look_take(s, false);
	tick(s);
	return &s->source;
}
