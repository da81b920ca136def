/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The live target as a stream of events: loads and attaches the kernel programs, follows the process tree, hooks TLS
 * libraries as they appear, ticks. Order of attaching: programs attached with `ready` off, then on, then the snapshot of
 * what was there before, so nothing falls between.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "actions.h"
#include "apart.h"
#include "hello.h"
#include "procfs.h"
#include "python.h"
#include "snapshot.h"
#include "source.h"
#include "state.h"
#include "tls_probes.h"
#include "uprobe_multi.h"
#include "whystuck.skel.h"

#define ACTIVITY_TICKS 4 /* between two looks at the threads' counters */
#define ACTIVITY_MANY 64 /* more threads than this are looked at less often */
#define ACTIVITY_MANY_TICKS 20
#define TOUCH_NS 250000000ull /* for a process to let us look at its memory map */
#define ACTIVITY_SEEN 4096    /* slots that remember what was said of a thread */

struct seen {
	uint32_t tid;
	uint64_t syscalls, cpu_ns;
};

struct source_bpf {
	struct source source;
	struct source_config config;
	struct whystuck_bpf *skel;
	struct ring_buffer *ring;
	struct tls_probes *tls;
	struct pythons *pythons;
	struct snapshot *snapshot;
	struct apart apart; /* who looks whether a process hangs */
	int pidfd;
	uint32_t *pids; /* of the tree, alive */
	size_t npids, pids_room;
	uint64_t next_tick_ns, next_activity_ns;
	struct losses said; /* losses as last reported */
	struct seen *seen;
	struct actions actions;
	bool exited, ended;
	int exit_code;
};

static void deliver(struct source_bpf *s, const void *e)
{
	s->config.on_event(s->config.ctx, e);
}

static void init_event(void *e, enum event_type type, size_t size, uint32_t pid)
{
	struct event *h = e;

	memset(h, 0, size);
	h->type = type;
	h->size = (uint32_t)size;
	h->ts_ns = now_ns();
	h->pid = h->tid = pid;
}

/* ---- the process tree ---- */

static bool pid_known(const struct source_bpf *s, uint32_t pid)
{
	for (size_t i = 0; i < s->npids; i++)
		if (s->pids[i] == pid)
			return true;
	return false;
}

static bool pid_add(struct source_bpf *s, uint32_t pid)
{
	if (pid_known(s, pid))
		return false;
	if (s->npids == s->pids_room) {
		size_t room = s->pids_room ? s->pids_room * 2 : 16;
		uint32_t *more = realloc(s->pids, room * sizeof(*more));

		if (!more)
			return false;
		s->pids = more;
		s->pids_room = room;
	}
	s->pids[s->npids++] = pid;
	return true;
}

static void pid_remove(struct source_bpf *s, uint32_t pid)
{
	for (size_t i = 0; i < s->npids; i++)
		if (s->pids[i] == pid)
			s->pids[i] = s->pids[--s->npids];
	tls_probes_forget(s->tls, pid);
	pythons_forget(s->pythons, pid);
}

static bool alive(uint32_t pid)
{
	struct proc_stat st;

	return procfs_stat(pid, &st) == 0 && !procfs_ended(&st);
}

/* Watches a process that was there before us. Only these are told to the kernel: what is forked later it adds itself, and
 * takes out at its end, which may have come before its record is read. An entry too many would never go away: it would
 * watch whoever gets the PID next. */
static bool pid_seed(struct source_bpf *s, uint32_t pid)
{
	int targets = bpf_map__fd(s->skel->maps.targets);
	uint32_t one = 1;

	if (!alive(pid) || !pid_add(s, pid))
		return false;
	bpf_map_update_elem(targets, &pid, &one, BPF_ANY);
	if (alive(pid))
		return true;
	bpf_map_delete_elem(targets, &pid);
	pid_remove(s, pid);
	return false;
}

/* Forgets those whose end was lost: what the kernel programs no longer watch is gone. */
static void pids_prune(struct source_bpf *s)
{
	uint32_t one;

	for (size_t i = s->npids; i-- > 0;)
		if (s->pids[i] != s->config.pid &&
		    bpf_map_lookup_elem(bpf_map__fd(s->skel->maps.targets), &s->pids[i], &one) &&
		    errno == ENOENT)
			pid_remove(s, s->pids[i]);
}

/* Looks for what is to be hooked or read in a process of the tree. */
static void process_look(struct source_bpf *s, uint32_t pid)
{
	tls_probes_scan(s->tls, pid);
	pythons_look(s->pythons, pid, now_ns());
}

struct tree_walk {
	struct source_bpf *s;
	bool grew;
};

static void tree_visit(void *ctx, uint32_t pid)
{
	struct tree_walk *w = ctx;
	struct proc_stat st;

	if (procfs_stat(pid, &st) == 0 && pid_known(w->s, st.ppid))
		w->grew |= pid_seed(w->s, pid);
}

/* Descendants, until a walk finds no new one. */
static void tree_find(struct source_bpf *s)
{
	struct tree_walk w = { s, true };

	while (s->config.tree && w.grew) {
		w.grew = false;
		procfs_each_pid(tree_visit, &w);
	}
}

/* ---- the first look into processes ---- */

/* Which of the tree's processes let nobody look into their memory. */
struct wedged {
	const uint32_t *pids;
	bool *is; /* by process */
};

/* Takes the lock of the memory map in both ways that looking takes it. */
static void memory_touch(void *ctx, size_t item, event_fn send, void *send_ctx)
{
	const struct wedged *w = ctx;
	char byte, maps[4096];

	(void)send;
	(void)send_ctx;
	procfs_memory(w->pids[item], 0, &byte, 1);
	procfs_read(w->pids[item], "maps", maps, sizeof(maps));
}

static void memory_hangs(void *ctx, size_t item, int err)
{
	(void)err;
	((struct wedged *)ctx)->is[item] = true;
}

/* Those in which a look may hang are left out, and not tried again: here it would hang us. */
static void processes_look(struct source_bpf *s)
{
	struct wedged w = { s->pids, calloc(s->npids + 1, sizeof(*w.is)) };
	struct apart_job job = { s->npids, memory_touch, memory_hangs, &w, TOUCH_NS, 4 * TOUCH_NS };

	if (w.is)
		apart_each(&s->apart, &job, s->config.on_event, s->config.ctx);
	for (size_t i = 0; w.is && i < s->npids; i++)
		if (w.is[i])
			snapshot_wedged(s->snapshot, s->pids[i]);
		else
			process_look(s, s->pids[i]);
	free(w.is);
}

/* ---- records from the kernel ---- */

static void record_take(struct source_bpf *s, const struct event *e)
{
	switch (e->type) {
	case EV_FORK:
		deliver(s, e);
		if (!(e->flags & EVF_THREAD)) {
			uint32_t child = ((const struct ev_fork *)e)->child_pid;

			pid_add(s, child);
			snapshot_process(s->snapshot, child);
			process_look(s, child);
		}
		return;
	case EV_EXEC:
		tls_probes_expect(s->tls, e->pid);
		deliver(s, e);
		snapshot_process(s->snapshot, e->pid);
		pythons_forget(s->pythons, e->pid);
		process_look(s, e->pid);
		return;
	case EV_MAPPED:
		tls_probes_scan(s->tls, e->pid);
		pythons_mapped(s->pythons, e->pid, now_ns());
		return;
	case EV_EXIT:
		deliver(s, e);
		if (!(e->flags & EVF_LAST))
			return;
		pid_remove(s, e->pid);
		if (e->pid == s->config.pid) {
			s->exited = true;
			s->exit_code = ((const struct ev_exit *)e)->code;
		}
		return;
	}
	deliver(s, e);
}

/* Breaks off (-EAGAIN, nothing is lost) when a tick is due: records that come faster than they are read would hold up
 * ticks and signals for ever. */
static int on_record(void *ctx, void *data, size_t n)
{
	struct source_bpf *s = ctx;
	const struct event *e = data;

	if (n >= sizeof(*e) && e->size <= n)
		record_take(s, e);
	return !s->ended && now_ns() >= s->next_tick_ns ? -EAGAIN : 0;
}

static void report_tls(void *ctx, uint32_t pid, enum lib_state state, int err, unsigned n,
                       const char *path)
{
	struct source_bpf *s = ctx;
	size_t len = strnlen(path, 1024);
	union {
		struct ev_tls_lib e;
		char room[sizeof(struct ev_tls_lib) + 1024];
	} u;

	init_event(&u.e, EV_TLS_LIB, sizeof(u.e), pid);
	u.e.state = (uint16_t)state;
	u.e.err = (uint16_t)err;
	u.e.functions = n;
	memcpy(u.e.text, path, len);
	u.e.h.size += (uint32_t)len;
	deliver(s, &u.e);
}

static void *attach_one(void *ctx, uint32_t pid, const char *path, uint64_t offset, uint64_t cookie,
                        bool ret)
{
	struct source_bpf *s = ctx;
	LIBBPF_OPTS(bpf_uprobe_opts, o, .bpf_cookie = cookie, .retprobe = ret);

	return bpf_program__attach_uprobe_opts(ret ? s->skel->progs.tls_exit
	                                           : s->skel->progs.tls_enter,
	                                       (pid_t)pid, path, offset, &o);
}

static void detach_one(void *handle)
{
	bpf_link__destroy(handle);
}

/* ---- ticks ---- */

static void losses_tell(struct source_bpf *s)
{
	struct losses l = { 0 };
	struct ev_lost e;
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(bpf_map__fd(s->skel->maps.losses), &zero, &l))
		return;
	if (l.sent == s->said.sent && l.ring == s->said.ring && l.slots == s->said.slots &&
	    l.faults == s->said.faults)
		return;
	s->said = l;
	init_event(&e, EV_LOST, sizeof(e), s->config.pid);
	e.ring = l.ring;
	e.slots = l.slots;
	e.faults = l.faults;
	e.received = l.sent;
	deliver(s, &e);
}

struct thread_walk {
	struct source_bpf *s;
	uint32_t pid;
	size_t n;
};

static void activity_visit(void *ctx, uint32_t tid)
{
	struct thread_walk *w = ctx;
	struct source_bpf *s = w->s;
	struct seen *seen = &s->seen[tid % ACTIVITY_SEEN];
	struct thread_state t = { 0 };
	struct ev_activity e;
	uint64_t cpu = procfs_cpu_ns(w->pid, tid);

	w->n++;
	bpf_map_lookup_elem(bpf_map__fd(s->skel->maps.threads), &tid, &t);
	if (seen->tid == tid && seen->syscalls == t.syscalls && seen->cpu_ns == cpu)
		return;
	*seen = (struct seen){ tid, t.syscalls, cpu };
	init_event(&e, EV_ACTIVITY, sizeof(e), w->pid);
	e.h.tid = tid;
	e.syscalls = t.syscalls;
	e.useful = t.useful;
	e.last_ns = t.last_ns;
	e.useful_ns = t.useful_ns;
	e.written = t.written;
	e.cpu_ns = cpu;
	deliver(s, &e);
}

static void activity_tell(struct source_bpf *s)
{
	struct thread_walk w = { .s = s };
	unsigned ticks;

	pids_prune(s);
	for (size_t i = 0; i < s->npids; i++) {
		w.pid = s->pids[i];
		procfs_each_tid(w.pid, activity_visit, &w);
	}
	ticks = w.n > ACTIVITY_MANY ? ACTIVITY_MANY_TICKS : ACTIVITY_TICKS;
	s->next_activity_ns = now_ns() + ticks * (uint64_t)s->config.tick_ms * 1000000;
}

static void tick(struct source_bpf *s)
{
	struct event e;

	if (now_ns() >= s->next_activity_ns)
		activity_tell(s);
	losses_tell(s);
	init_event(&e, EV_TICK, sizeof(e), s->config.pid);
	deliver(s, &e);
	s->next_tick_ns = e.ts_ns + (uint64_t)s->config.tick_ms * 1000000;
}

static bool target_gone(const struct source_bpf *s)
{
	struct pollfd p = { .fd = s->pidfd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void bpf_finish(struct source *source, enum end_reason why)
{
	struct source_bpf *s = (struct source_bpf *)source;
	struct ev_end e;

	if (s->ended)
		return;
	actions_stop(&s->actions);
	s->ended = true;
	s->skel->bss->ready = 0;
	ring_buffer__consume(s->ring);
	losses_tell(s);
	init_event(&e, EV_END, sizeof(e), s->config.pid);
	e.reason = why;
	e.code = why == END_EXITED ? s->exit_code : -1;
	deliver(s, &e);
}

static int bpf_poll(struct source *source, int timeout_ms)
{
	struct source_bpf *s = (struct source_bpf *)source;
	uint64_t now = now_ns(), wake_ns = pythons_poll(s->pythons, now);
	int until, n;

	if (s->ended)
		return 1;
	if (s->next_tick_ns < wake_ns)
		wake_ns = s->next_tick_ns;
	until = wake_ns > now ? (int)((wake_ns - now) / 1000000) + 1 : 0;
	if (timeout_ms > RING_POLL_MS)
		timeout_ms = RING_POLL_MS;
	n = ring_buffer__poll(s->ring, timeout_ms < until ? timeout_ms : until);
	if (n == 0) /* most records wake nobody */
		n = ring_buffer__consume(s->ring);
	if (n < 0 && n != -EINTR && n != -EAGAIN)
		return n;
	actions_reap(&s->actions);
	if (now_ns() >= s->next_tick_ns)
		tick(s);
	/* the exit record may have been lost: the descriptor tells for sure */
	if (s->exited || target_gone(s)) {
		ring_buffer__consume(s->ring);
		bpf_finish(source, END_EXITED);
		return 1;
	}
	return 0;
}

static int bpf_inspect(struct source *source)
{
	struct source_bpf *s = (struct source_bpf *)source;

	if (s->ended) /* nothing follows EV_END */
		return -ESRCH;
	activity_tell(s);
	return snapshot_take(s->snapshot, s->config.pid, s->pids, s->npids, true);
}

static void bpf_act(struct source *source, const struct source_action *a)
{
	actions_do(&((struct source_bpf *)source)->actions, a);
}

static void bpf_capture(struct source *source, uint64_t sock, uint32_t n)
{
	struct source_bpf *s = (struct source_bpf *)source;
	bpf_map_update_elem(bpf_map__fd(s->skel->maps.captures), &sock, &n, BPF_ANY);
}

static void bpf_close(struct source *source)
{
	struct source_bpf *s = (struct source_bpf *)source;

	if (!s)
		return;
	actions_stop(&s->actions);
	if (s->skel)
		whystuck_bpf__detach(s->skel);
	tls_probes_free(s->tls);
	pythons_free(s->pythons);
	snapshot_free(s->snapshot);
	ring_buffer__free(s->ring);
	whystuck_bpf__destroy(s->skel);
	if (s->pidfd >= 0)
		close(s->pidfd);
	free(s->seen);
	free(s->pids);
	free(s);
}

/* ---- attaching ---- */

static int no_print(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

static bool load(struct source_bpf *s, bool multi)
{
	s->skel = whystuck_bpf__open();
	if (!s->skel)
		return false;
	if (multi) {
		bpf_program__set_expected_attach_type(s->skel->progs.tls_enter, UPROBE_MULTI_TYPE);
		bpf_program__set_expected_attach_type(s->skel->progs.tls_exit, UPROBE_MULTI_TYPE);
	}
	bpf_program__set_autoattach(s->skel->progs.tls_enter, false);
	bpf_program__set_autoattach(s->skel->progs.tls_exit, false);
	bpf_program__set_autoattach(s->skel->progs.snapshot_thread, false);
	bpf_program__set_autoattach(s->skel->progs.snapshot_socket, false);
	if (whystuck_bpf__load(s->skel) == 0)
		return true;
	whystuck_bpf__destroy(s->skel);
	s->skel = NULL;
	return false;
}

static struct source *fail(struct source_bpf *s, char *why, size_t n, const char *what)
{
	int err = errno;

	if (err == EPERM || err == EACCES)
		snprintf(why, n,
		         "%s: %s; run it with sudo (CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE are "
		         "needed)",
		         what, strerror(err));
	else
		snprintf(why, n, "%s: %s; `whystuck check` tells what this kernel allows", what,
		         strerror(err));
	bpf_close(&s->source);
	errno = err;
	return NULL;
}

struct source *source_bpf_open(const struct source_config *c, char *why, size_t n)
{
	struct source_bpf *s = calloc(1, sizeof(*s));
	struct tls_probes_ops ops;
	struct proc_stat st;
	struct event e;
	bool multi = true;

	if (!s)
		return NULL;
	s->config = *c;
	s->exit_code = -1;
	s->source = (struct source){ .poll = bpf_poll,
		                     .inspect = bpf_inspect,
		                     .act = bpf_act,
		                     .capture = bpf_capture,
		                     .finish = bpf_finish,
		                     .close = bpf_close };
	s->seen = calloc(ACTIVITY_SEEN, sizeof(*s->seen));
	s->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	if (!s->seen || s->pidfd < 0)
		return fail(s, why, n, "opening the process");
	s->actions = (struct actions){ c->pid, s->pidfd, c->on_event, c->ctx };
	libbpf_set_print(no_print);
	if (!load(s, true)) {
		multi = false;
		if (!load(s, false))
			return fail(s, why, n, "loading the kernel programs");
	}
	s->ring = ring_buffer__new(bpf_map__fd(s->skel->maps.events), on_record, s, NULL);
	s->snapshot = snapshot_new(s->skel->progs.snapshot_thread, s->skel->progs.snapshot_socket,
	                           c->on_event, c->ctx);
	ops = (struct tls_probes_ops){
		.enter_fd = bpf_program__fd(s->skel->progs.tls_enter),
		.exit_fd = bpf_program__fd(s->skel->progs.tls_exit),
		.multi = multi,
		.attach_one = attach_one,
		.detach_one = detach_one,
		.report = report_tls,
		.ctx = s,
	};
	s->tls = tls_probes_new(&ops);
	s->pythons = pythons_new(bpf_map__fd(s->skel->maps.pythons));
	if (!s->ring || !s->snapshot || !s->tls || !s->pythons)
		return fail(s, why, n, "opening the kernel's event buffer");
	if (whystuck_bpf__attach(s->skel))
		return fail(s, why, n, "attaching the kernel programs");
	hello_tell(c->pid, c->on_event, c->ctx);
	if (!pid_seed(s, c->pid) && procfs_stat(c->pid, &st) == 0 && procfs_ended(&st))
		s->exit_code = st.exit_code;
	tree_find(s);
	processes_look(s);
	if (c->program)
		tls_probes_prepare(s->tls, c->pid, c->program);
	s->skel->bss->ready = 1;
	tree_find(s); /* children made while `ready` was off */
	processes_look(s);
	snapshot_take(s->snapshot, c->pid, s->pids, s->npids, false);
	s->next_activity_ns = now_ns() + ACTIVITY_TICKS * (uint64_t)c->tick_ms * 1000000;
	s->next_tick_ns = now_ns() + (uint64_t)c->tick_ms * 1000000;
	init_event(&e, EV_TICK, sizeof(e), c->pid);
	deliver(s, &e);
	return &s->source;
}
