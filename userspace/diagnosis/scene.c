/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the newest snapshot to what each thread waits for: its system call says how, its descriptors
 * and Python functions say for what and what the thread is there for.
 */
#include "diagnosis/scene.h"

#include <asm/unistd.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* include/net/tcp_states.h */
#define STATE_SYN_SENT 2
#define PORT_DNS 53
#define PORT_MDNS 5353
/* include/uapi/linux/fcntl.h: the commands that wait for a lock */
#define FCNTL_SETLKW 7
#define FCNTL_OFD_SETLKW 38
/* include/uapi/linux/futex.h */
#define FUTEX_CMD_MASK 0x7f
#define FUTEX_OP_WAKE 1
/* A wait with a time limit this short is taken up again and again: its length says nothing. */
#define TICK_NS (5 * NS_PER_S)

/* ---- What a thread is there for ---- */

/*
 * Innermost functions that tell: file (a suffix, or a package ending in '/'), function (NULL any).
 * CPython's own, 3.8 to 3.14, and the libraries runs are made of.
 */
static const struct {
	const char *file, *function;
	enum wait_role part;
} parts[] = {
	{ "concurrent/futures/thread.py", "_worker", PART_IDLE },
	{ "concurrent/futures/process.py", "_process_worker", PART_IDLE },
	{ "multiprocessing/pool.py", "worker", PART_IDLE },
	{ "concurrent/futures/process.py", "run", PART_HELPER },
	{ "concurrent/futures/process.py", "_queue_management_worker", PART_HELPER },
	{ "multiprocessing/pool.py", "_handle_workers", PART_HELPER },
	{ "multiprocessing/pool.py", "_handle_tasks", PART_HELPER },
	{ "multiprocessing/pool.py", "_handle_results", PART_HELPER },
	{ "multiprocessing/queues.py", "_feed", PART_HELPER },
	{ "multiprocessing/resource_tracker.py", "main", PART_HELPER },
	{ "multiprocessing/resource_sharer.py", NULL, PART_HELPER },
	{ "multiprocessing/forkserver.py", "main", PART_HELPER },
	{ "multiprocessing/managers.py", "serve_forever", PART_HELPER },
	{ "logging/handlers.py", "_monitor", PART_HELPER },
	{ "tqdm/_monitor.py", "run", PART_HELPER },
	{ "apscheduler/", NULL, PART_HELPER },
	{ "opentelemetry/", NULL, PART_HELPER },
	{ "langfuse/", NULL, PART_HELPER },
	{ "sentry_sdk/", NULL, PART_HELPER },
	{ "prometheus_client/", NULL, PART_HELPER },
	{ "posthog/", NULL, PART_HELPER },
	{ "threading.py", "_shutdown", PART_EXIT },
	{ "concurrent/futures/thread.py", "_python_exit", PART_EXIT },
	{ "concurrent/futures/process.py", "_python_exit", PART_EXIT },
	{ "multiprocessing/util.py", "_exit_function", PART_EXIT },
	{ "multiprocessing/util.py", "_run_finalizers", PART_EXIT },
	{ "weakref.py", "_exitfunc", PART_EXIT },
};

/* A helper that runs somebody's function is none: that function stands between it and the wait. */
static bool has_own_above(struct bytes frames, const char *file, const char *function)
{
	struct frame f;

	while (frames_next(&frames, &f)) {
		if (frame_is(&f, file, function))
			return false;
		if (frame_own(&f))
			return true;
	}
	return false;
}

/*
 * Python functions a resting worker may stand in while it waits for its next piece of work: those of
 * queues and locks, nothing that works.
 */
static bool rests(struct bytes frames, const char *file, const char *function)
{
	static const char *const waiting[] = { "queue.py",         "threading.py",
		                               "multiprocessing/", "concurrent/futures/",
		                               "selectors.py",     "socket.py",
		                               "socketserver.py",  "<frozen " };
	struct frame f;

	while (frames_next(&frames, &f)) {
		bool known = false;

		if (frame_is(&f, file, function))
			return true;
		for (size_t i = 0; i < sizeof(waiting) / sizeof(*waiting); i++)
			known |= memmem(f.file.p, f.file.n, waiting[i], strlen(waiting[i])) != NULL;
		if (!known)
			return false;
	}
	return false;
}

static enum wait_role part_of(const struct wait *w)
{
	bool first = w->thread->h.pid == w->thread->h.tid;
	struct bytes frames;

	if (w->python) {
		frames = frames_text(w->python);
		for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
			if (!frames_have(frames, parts[i].file, parts[i].function))
				continue;
			if (parts[i].part == PART_IDLE &&
			    !rests(frames, parts[i].file, parts[i].function))
				continue;
			if (parts[i].part == PART_HELPER &&
			    has_own_above(frames, parts[i].file, parts[i].function))
				continue;
			return parts[i].part;
		}
	}
	return first ? PART_MAIN : PART_UNKNOWN;
}

/* ---- What it waits for ---- */

static bool is_terminal(struct bytes what)
{
	return bytes_start(what, "/dev/pts/") || bytes_start(what, "/dev/tty") ||
	       bytes_start(what, "/dev/console");
}

static bool is_name_server(const struct ev_socket *s)
{
	return s->kind == SOCK_DGRAM && (s->remote_port == PORT_DNS || s->remote_port == PORT_MDNS);
}

static enum wait_kind wait_on_socket(const struct evidence *e, struct wait *w, uint64_t sock)
{
	const struct ev_socket *s = evidence_socket(e, sock);

	w->sock = sock;
	if (s && s->kind == SOCK_STREAM && s->tcp_state == STATE_SYN_SENT)
		return WAIT_CONNECT;
	return s && is_name_server(s) ? WAIT_RESOLVE : WAIT_SOCKET;
}

/* What a wait for this one descriptor is; write: for room in it. */
static enum wait_kind wait_on_fd(const struct evidence *e, struct wait *w, int fd, bool write)
{
	const struct ev_fd *row = evidence_fd(e, w->thread->h.pid, fd);
	struct bytes what;

	w->fd = fd;
	if (!row)
		return WAIT_OTHER;
	what = fd_text(row);
	if (row->sock)
		return wait_on_socket(e, w, row->sock);
	if (fd_pipe(row)) {
		w->ino = fd_pipe(row);
		return write ? WAIT_PIPE_WRITE : WAIT_PIPE_READ;
	}
	if (is_terminal(what))
		return write ? WAIT_TTY_WRITE : WAIT_TTY_READ;
	if (bytes_start(what, "anon_inode:[pidfd]"))
		return WAIT_CHILD;
	return WAIT_OTHER;
}

/*
 * A select or poll of no descriptor at all. Their number is an argument: descriptors that could not be read are
 * not taken for none.
 */
static bool watches_nothing(const struct ev_thread *t)
{
	if (t->fds_total || thread_nfds(t))
		return false;
	switch (t->syscall) {
#ifdef __NR_select
	case __NR_select:
#endif
	case __NR_pselect6:
		return (int32_t)t->args[0] <= 0;
#ifdef __NR_poll
	case __NR_poll:
#endif
	case __NR_ppoll:
		return t->args[1] == 0;
	}
	return false;
}

static enum wait_kind wait_on_many(const struct evidence *e, struct wait *w)
{
	const struct ev_thread *t = w->thread;

	if (watches_nothing(t))
		return WAIT_SLEEP; /* how Python slept before 3.11 */
	if (t->fds_total <= 1 && thread_nfds(t) == 1 && syscall_fd(t) < 0)
		return wait_on_fd(e, w, t->fds[0], false);
	return WAIT_MANY;
}

/* Its PID as we number processes, from the one the caller gave: 0 any, or unknown. */
static uint32_t child_of(const struct evidence *e, const struct ev_thread *t)
{
	int32_t given = (int32_t)t->args[t->syscall == __NR_waitid ? 1 : 0];
	size_t n;
	const struct ev_process *const *list = evidence_processes(e, &n);

	if (t->syscall == __NR_waitid && t->args[0] != 1) /* P_PID */
		return 0;
	if (given <= 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		const struct ev_fact *inner = evidence_fact(e, list[i]->h.pid, FACT_NSPID);

		/* where the inner number was not read, the outer one counts: of a child only */
		if (list[i]->ppid == t->h.pid &&
		    (inner ? inner->value : list[i]->h.pid) == (uint64_t)given)
			return list[i]->h.pid;
	}
	return 0;
}

bool wait_in_kernel(const struct ev_thread *t, const char *function)
{
	struct thread_text text = thread_text(t);

	return memmem(text.stack.p, text.stack.n, function, strlen(function)) != NULL ||
	       memmem(text.wchan.p, text.wchan.n, function, strlen(function)) != NULL;
}

/*
 * Opening a named pipe waits for somebody to open its other end (fifo(7)); the kernel's functions tell, its path is
 * not read.
 */
static enum wait_kind wait_to_open(const struct ev_thread *t, uint64_t flags)
{
	if (!wait_in_kernel(t, "fifo_open") && !wait_in_kernel(t, "wait_for_partner"))
		return WAIT_OTHER;
	return (flags & O_ACCMODE) == O_WRONLY ? WAIT_PIPE_WRITE : WAIT_PIPE_READ;
}

static enum wait_kind wait_in_call(const struct evidence *e, struct wait *w)
{
	const struct ev_thread *t = w->thread;

	if (syscall_multiplexes(t))
		return wait_on_many(e, w);
	switch (t->syscall) {
	case __NR_futex:
		w->address = t->args[0];
		return (t->args[1] & FUTEX_CMD_MASK) == FUTEX_OP_WAKE ? WAIT_OTHER : WAIT_LOCK;
	case __NR_nanosleep:
	case __NR_clock_nanosleep:
		return WAIT_SLEEP;
	case __NR_wait4:
	case __NR_waitid:
		w->child = child_of(e, t);
		return WAIT_CHILD;
	case __NR_connect:
		w->fd = (int)t->args[0];
		if (wait_on_fd(e, w, w->fd, true) == WAIT_OTHER)
			return WAIT_OTHER;
		return WAIT_CONNECT;
	case __NR_accept:
	case __NR_accept4:
		w->fd = (int)t->args[0];
		return WAIT_ACCEPT;
	case __NR_flock:
		w->fd = (int)t->args[0];
		return WAIT_FILE_LOCK;
	case __NR_fcntl:
		w->fd = (int)t->args[0];
		return t->args[1] == FCNTL_SETLKW || t->args[1] == FCNTL_OFD_SETLKW ? WAIT_FILE_LOCK
		                                                                    : WAIT_OTHER;
	case __NR_openat:
		return wait_to_open(t, t->args[2]);
#ifdef __NR_open
	case __NR_open:
		return wait_to_open(t, t->args[1]);
#endif
#ifdef __NR_pause
	case __NR_pause:
#endif
	case __NR_rt_sigsuspend:
	case __NR_rt_sigtimedwait:
		return WAIT_SIGNAL;
	case __NR_read:
	case __NR_readv:
	case __NR_recvfrom:
	case __NR_recvmsg:
		return wait_on_fd(e, w, (int)t->args[0], false);
	case __NR_write:
	case __NR_writev:
	case __NR_sendto:
	case __NR_sendmsg:
		return wait_on_fd(e, w, (int)t->args[0], true);
	}
	return WAIT_OTHER;
}

static enum wait_kind wait_kind_of(const struct evidence *e, struct wait *w)
{
	const struct ev_thread *t = w->thread;
	enum wait_kind kind;

	switch (t->state) {
	case 'T':
	case 't':
		return WAIT_STOPPED;
	case 'Z':
	case 'X':
		return WAIT_DEAD;
	case 'R':
		return WAIT_RUNNING;
	}
	if (t->h.flags & EVF_ONCPU)
		return WAIT_RUNNING;
	kind = wait_in_call(e, w); /* also of a D state: what it is in */
	if (t->state == 'D')
		return WAIT_DISK;
	if (kind == WAIT_LOCK && w->python && w->python->flags & FRAMES_GIL_WAIT)
		return WAIT_GIL;
	return kind;
}

static void wait_fill(const struct evidence *e, const struct ev_thread *t, struct wait *w)
{
	*w = (struct wait){ .thread = t, .fd = -1 };
	w->python = evidence_frames(e, t->h.pid, t->h.tid);
	w->native = evidence_native(e, t->h.pid, t->h.tid);
	w->kind = wait_kind_of(e, w);
	w->part = part_of(w);
	w->since_ns = t->blocked_since_ns;
	if (t->timeout_ns >= 0 && t->blocked_since_ns)
		w->until_ns = t->blocked_since_ns + (uint64_t)t->timeout_ns;
	w->ticks = t->timeout_ns >= 0 && (uint64_t)t->timeout_ns < TICK_NS;
}

/* ---- The scene ---- */

static struct process *process_add(struct scene *s, uint32_t pid)
{
	struct process *p = &s->processes[s->nprocesses++];

	*p = (struct process){ .pid = pid, .waits_for = -1 };
	p->row = evidence_process(s->look->evidence, pid);
	p->ppid = p->row ? p->row->ppid : 0;
	return p;
}

static void process_finish(struct process *p)
{
	p->stopped = p->nwaits > 0;
	for (size_t i = 0; i < p->nwaits; i++) {
		struct wait *w = &p->waits[i];

		if (w->thread->h.tid == p->pid)
			p->main = w;
		p->python |= w->python != NULL;
		p->stopped &= w->kind == WAIT_STOPPED;
	}
	p->zombie = p->nwaits == 1 && p->waits[0].kind == WAIT_DEAD;
}

static void tree_mark(struct scene *s)
{
	bool grew = true;

	for (size_t i = 0; i < s->nprocesses; i++) {
		struct process *p = &s->processes[i];

		p->root = p->pid == s->look->pid || (p->row && p->row->h.flags & EVF_ROOT);
		p->in_tree = p->root;
	}
	while (grew) {
		grew = false;
		for (size_t i = 0; i < s->nprocesses; i++) {
			struct process *p = &s->processes[i], *parent = scene_process(s, p->ppid);

			if (!p->in_tree && parent && parent->in_tree)
				p->in_tree = grew = true;
		}
	}
}

bool scene_make(struct scene *s, const struct look *l)
{
	const struct ev_thread *const *threads;
	struct process *p = NULL;
	size_t n = 0;

	*s = (struct scene){ .look = l };
	threads = l->evidence ? evidence_threads(l->evidence, 0, &n) : NULL;
	s->waits = calloc(n + 1, sizeof(*s->waits));
	s->processes = calloc(n + 1, sizeof(*s->processes));
	if (!s->waits || !s->processes) {
		scene_free(s);
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		struct wait *w = &s->waits[s->nwaits++];

		wait_fill(l->evidence, threads[i], w);
		if (!p || p->pid != threads[i]->h.pid) {
			p = process_add(s, threads[i]->h.pid);
			p->waits = w;
		}
		p->nwaits++;
	}
	for (size_t i = 0; i < s->nprocesses; i++)
		process_finish(&s->processes[i]);
	tree_mark(s);
	return true;
}

void scene_free(struct scene *s)
{
	free(s->waits);
	free(s->processes);
	free(s->causes);
	*s = (struct scene){ 0 };
}

static int by_pid(const void *key, const void *row)
{
	uint32_t pid = *(const uint32_t *)key, other = ((const struct process *)row)->pid;

	return pid < other ? -1 : pid > other;
}

struct process *scene_process(const struct scene *s, uint32_t pid)
{
	return bsearch(&pid, s->processes, s->nprocesses, sizeof(*s->processes), by_pid);
}

uint32_t scene_root(const struct scene *s, uint32_t pid)
{
	const struct process *p = scene_process(s, pid);

	/* parents may be made up: no more of them than there are processes */
	for (size_t i = 0; p && i < s->nprocesses; i++) {
		if (p->root)
			return p->pid;
		p = scene_process(s, p->ppid);
	}
	return s->look->pid;
}

bool scene_other_root(const struct scene *s, uint32_t root)
{
	for (size_t i = 0; i < s->nprocesses; i++)
		if (s->processes[i].root && !s->processes[i].zombie && s->processes[i].pid != root)
			return true;
	return false;
}

const struct ev_socket *scene_socket(const struct scene *s, const struct ev_fd *fd)
{
	return fd && fd->sock ? evidence_socket(s->look->evidence, fd->sock) : NULL;
}

const struct endpoint *scene_endpoint(const struct scene *s, uint64_t sock)
{
	return s->look->endpoint_of ? s->look->endpoint_of(s->look->ctx, sock) : NULL;
}

bool wait_on(const struct scene *s, const struct wait *w, uint64_t sock)
{
	const struct ev_thread *t = w->thread;

	if (!sock || w->sock == sock)
		return sock != 0;
	for (uint32_t i = 0; t->syscall >= 0 && i < thread_nfds(t); i++) {
		const struct ev_fd *fd = evidence_fd(s->look->evidence, t->h.pid, t->fds[i]);

		if (fd && fd->sock == sock)
			return true;
	}
	return false;
}

struct wait *scene_waiter(const struct scene *s, uint64_t sock)
{
	struct wait *among = NULL;

	for (size_t i = 0; sock && i < s->nwaits; i++) {
		if (s->waits[i].sock == sock)
			return &s->waits[i];
		if (!among && wait_on(s, &s->waits[i], sock))
			among = &s->waits[i];
	}
	return among;
}

const char *process_name(const struct process *p, char buf[static 32])
{
	struct bytes name = { NULL, 0 };

	if (p->main)
		name = thread_text(p->main->thread).name;
	snprintf(buf, 32, "%.*s", (int)(name.n < 31 ? name.n : 31), name.n ? name.p : "");
	return *buf ? buf : "?";
}

const char *wait_name(const struct wait *w, char buf[static 64])
{
	struct bytes name = thread_text(w->thread).name;
	bool first = w->thread->h.pid == w->thread->h.tid;

	snprintf(buf, 64, "%s %u (%.*s)", first ? "process" : "thread", w->thread->h.tid,
	         (int)(name.n < 31 ? name.n : 31), name.n ? name.p : "?");
	return buf;
}

bool wait_untimed(const struct wait *w)
{
	return w->thread->timeout_ns == TIMEOUT_NONE;
}

bool wait_old(const struct scene *s, const struct wait *w)
{
	return w->since_ns && wait_for_ns(s, w) >= s->look->silent_min_ns;
}

bool wait_locked(const struct scene *s, const struct wait *w)
{
	return w->kind == WAIT_LOCK && wait_untimed(w) && wait_old(s, w);
}

bool wait_runs_loop(const struct wait *w)
{
	return w->python && frames_have(frames_text(w->python), "asyncio/", "run_forever");
}

bool wait_matters(const struct wait *w)
{
	return w->part != PART_IDLE && w->part != PART_HELPER;
}

bool scene_has_call(const struct scene *s, uint32_t pid)
{
	for (size_t i = 0; i < s->look->nopen; i++) {
		const struct call *c = s->look->open[i].call;

		if (c->pid == pid && !c->inbound && !c->blocks && c->class != CALL_HEARTBEAT)
			return true;
	}
	return false;
}

static const struct ev_thread *wait_before(const struct scene *s, const struct wait *w)
{
	const struct evidence *before = evidence_previous(s->look->evidence);
	const struct ev_thread *const *list;
	size_t n;

	if (!before)
		return NULL;
	list = evidence_threads(before, w->thread->h.pid, &n);
	for (size_t i = 0; i < n; i++)
		if (list[i]->h.tid == w->thread->h.tid)
			return list[i];
	return NULL;
}

bool wait_moved(const struct scene *s, const struct wait *w)
{
	const struct ev_thread *before = wait_before(s, w);

	return !before || before->switches != w->thread->switches;
}

bool process_moved(const struct scene *s, const struct process *p)
{
	for (size_t i = 0; i < p->nwaits; i++)
		if (wait_matters(&p->waits[i]) && wait_moved(s, &p->waits[i]))
			return true;
	return false;
}

uint64_t wait_for_ns(const struct scene *s, const struct wait *w)
{
	return w->since_ns ? age(s->look->now_ns, w->since_ns) : 0;
}

bool wait_cpu(const struct scene *s, const struct wait *w, uint64_t *used_ns, uint64_t *over_ns)
{
	const struct evidence *e = s->look->evidence, *before = evidence_previous(e);
	const struct ev_activity *now = evidence_cpu(e, w->thread->h.pid, w->thread->h.tid), *then;

	then = before ? evidence_cpu(before, w->thread->h.pid, w->thread->h.tid) : NULL;
	if (!now || !then || now->h.ts_ns <= then->h.ts_ns)
		return false;
	*used_ns = age(now->cpu_ns, then->cpu_ns);
	*over_ns = now->h.ts_ns - then->h.ts_ns;
	return true;
}

bool wait_works(const struct scene *s, const struct wait *w)
{
	uint64_t used, over;

	return wait_cpu(s, w, &used, &over) && used >= over / WORKS_PART;
}

const struct wait *scene_worker(const struct scene *s, const struct wait *skip)
{
	const struct wait *most = NULL;
	uint64_t used = 0, over, best = 0;

	for (size_t i = 0; i < s->nwaits; i++) {
		const struct wait *w = &s->waits[i];
		const struct process *p = scene_process(s, w->thread->h.pid);

		if (w == skip || !p || !p->in_tree || !wait_matters(w) || !wait_works(s, w))
			continue;
		wait_cpu(s, w, &used, &over);
		if (!most || used > best) {
			most = w;
			best = used;
		}
	}
	return most;
}

bool wait_serves(const struct scene *s, const struct wait *w)
{
	if (w->kind == WAIT_ACCEPT)
		return true;
	if (w->kind != WAIT_MANY && w->kind != WAIT_SOCKET)
		return false;
	for (uint32_t i = 0; i < thread_nfds(w->thread); i++) {
		const struct ev_socket *k = scene_socket(
			s, evidence_fd(s->look->evidence, w->thread->h.pid, w->thread->fds[i]));

		if (k && k->h.flags & EVF_LISTEN)
			return true;
	}
	return false;
}
