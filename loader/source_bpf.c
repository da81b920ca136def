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
#include "files.h"
#include "hello.h"
#include "match.h"
#include "procfs.h"
#include "python.h"
#include "record.h"
#include "roots.h"
#include "snapshot.h"
#include "source.h"
#include "state.h"
#include "tls_probes.h"
#include "uprobe_multi.h"
#include "whystuck.skel.h"

#define ACTIVITY_TICKS 4 /* between two looks at the threads' counters */
#define ACTIVITY_MANY 64 /* more threads than this are looked at less often */
#define ACTIVITY_MANY_TICKS 20
#define TOUCH_NS 250000000ull     /* for a process to let us look at its memory map */
#define ACTIVITY_SEEN 4096        /* slots that remember what was said of a thread */
#define SCAN_ITEM_NS 250000000ull /* for one process to let us read its command line */
#define SCAN_NS 2000000000ull     /* for all of the machine's */

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
	bool tls_later; /* it is searched for after the first snapshot */
	struct pythons *pythons;
	struct snapshot *snapshot;
	struct apart apart; /* who looks whether a process hangs */
	struct files *files;
	struct match *match; /* NULL: only who was named */
	struct roots roots;
	uint32_t *pids; /* of the tree, alive */
	size_t npids, pids_room;
	uint64_t next_tick_ns, next_activity_ns;
	struct losses said; /* losses as last reported */
	struct seen *seen;
	struct actions actions;
	bool look_due; /* a process came with sockets of its own */
	bool scan_due; /* records were lost: who matches may have been among them */
	bool ended;
	struct record room;
};

/* Whose the records are that are nobody's: the first target's. */
static uint32_t stream_pid(const struct source_bpf *s)
{
	return s->roots.first;
}

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

/* Forgets those whose end was lost: what the kernel programs no longer watch is gone. A target's pidfd tells itself. */
static void pids_prune(struct source_bpf *s)
{
	uint32_t one;

	for (size_t i = s->npids; i-- > 0;)
		if (!roots_has(&s->roots, s->pids[i]) &&
		    bpf_map_lookup_elem(bpf_map__fd(s->skel->maps.targets), &s->pids[i], &one) &&
		    errno == ENOENT)
			pid_remove(s, s->pids[i]);
}

/* Looks for what is to be hooked or read in a process of the tree. */
static void process_look(struct source_bpf *s, uint32_t pid)
{
	if (!s->tls_later)
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

/* ---- targets by their command line ---- */

static void socket_visit(void *ctx, int fd, const char *target)
{
	(void)fd;
	*(bool *)ctx |= strncmp(target, "socket:[", 8) == 0;
}

/* A process that matches, from here on with its tree. Not what is watched already: that is somebody's child. */
static bool target_add(struct source_bpf *s, uint32_t pid)
{
	int err;

	if (pid_known(s, pid))
		return false;
	err = roots_add(&s->roots, pid);
	if (err && err != -EMFILE)
		return false;
	if (pid_seed(s, pid))
		return true;
	roots_ended(&s->roots, pid, -1);
	return false;
}

/* A program has just begun to run: nothing can hang here. */
static void candidate_take(struct source_bpf *s, uint32_t pid)
{
	size_t before = s->npids;

	if (!s->match || pid_known(s, pid) || !match_fits(s->match, pid) || !target_add(s, pid))
		return;
	tree_find(s); /* what it forked before it was watched */
	for (size_t i = before; i < s->npids; i++) {
		snapshot_process(s->snapshot, s->pids[i]);
		process_look(s, s->pids[i]);
		procfs_each_fd(s->pids[i], socket_visit, &s->look_due);
	}
}

struct pid_list {
	uint32_t *pids;
	size_t n, room;
};

static void pid_visit(void *ctx, uint32_t pid)
{
	struct pid_list *l = ctx;

	if (l->n == l->room) {
		size_t room = l->room ? l->room * 2 : 1024;
		uint32_t *more = realloc(l->pids, room * sizeof(*more));

		if (!more)
			return;
		l->pids = more;
		l->room = room;
	}
	l->pids[l->n++] = pid;
}

struct scan {
	struct source_bpf *s;
	struct pid_list all;
};

/* In a child: the command line is in a process's memory, which may hang. */
static void scan_work(void *ctx, size_t item, event_fn send, void *send_ctx)
{
	const struct scan *c = ctx;

	if (!match_fits(c->s->match, c->all.pids[item]))
		return;
	send(send_ctx, record_begin(&c->s->room, EV_PROCESS, sizeof(struct ev_process),
	                            c->all.pids[item], c->all.pids[item]));
}

static void scan_missed(void *ctx, size_t item, int err)
{
	(void)ctx; /* who hangs so is not known to match */
	(void)item;
	(void)err;
}

static void scan_found(void *ctx, const struct event *e)
{
	target_add(ctx, e->pid);
}

/* All processes there are. */
static void match_scan(struct source_bpf *s)
{
	struct scan c = { s, { 0 } };
	struct apart_job job = { 0, scan_work, scan_missed, &c, SCAN_ITEM_NS, SCAN_NS };

	if (!s->match)
		return;
	procfs_each_pid(pid_visit, &c.all);
	job.n = c.all.n;
	apart_each(&s->apart, &job, scan_found, s);
	free(c.all.pids);
}

/* ---- records from the kernel ---- */

static void file_take(struct source_bpf *s, const struct event *raw)
{
	const struct event *e = files_take(s->files, raw, s->pids, s->npids, &s->room);

	if (e)
		deliver(s, e);
}

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
		tls_probes_scan(s->tls, e->pid); /* before all else: it may soon speak */
		deliver(s, e);
		snapshot_process(s->snapshot, e->pid);
		pythons_forget(s->pythons, e->pid);
		pythons_look(s->pythons, e->pid, now_ns());
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
		roots_ended(&s->roots, e->pid, ((const struct ev_exit *)e)->code);
		return;
	case EV_FILE:
		file_take(s, e);
		return;
	case EV_CANDIDATE:
		candidate_take(s, e->pid);
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

/* Text is cut where it does not fit. */
#define LIB_TEXT_MAX 1024

static void report_tls(void *ctx, const struct tls_found *found)
{
	struct source_bpf *s = ctx;
	union {
		struct ev_tls_lib e;
		char room[sizeof(struct ev_tls_lib) + LIB_TEXT_MAX];
	} u;
	int n;

	init_event(&u.e, EV_TLS_LIB, sizeof(u.e), found->pid);
	u.e.state = (uint16_t)found->state;
	u.e.err = (uint16_t)found->err;
	u.e.functions = found->functions;
	n = snprintf(u.e.text, LIB_TEXT_MAX, "%s%c%s%c%s", found->path, '\0', found->family, '\0',
	             found->how);
	u.e.h.size += n < LIB_TEXT_MAX ? (uint32_t)n : LIB_TEXT_MAX - 1;
	deliver(s, &u.e);
}

static struct bpf_program *tls_program(const struct source_bpf *s, enum tls_program program)
{
	struct bpf_program *programs[TLS_PROGRAMS] = {
		[TLS_AT_ENTRY] = s->skel->progs.tls_enter,
		[TLS_AT_RETURN] = s->skel->progs.tls_exit,
		[GO_AT_ENTRY] = s->skel->progs.go_enter,
		[GO_AT_RET] = s->skel->progs.go_exit,
	};

	return programs[program];
}

static void *attach_one(void *ctx, uint32_t pid, const char *path, const struct tls_place *place)
{
	struct source_bpf *s = ctx;
	LIBBPF_OPTS(bpf_uprobe_opts, o, .bpf_cookie = place->cookie,
	            .retprobe = place->program == TLS_AT_RETURN);
	struct bpf_program *program = tls_program(s, place->program);

	if (program)
		return bpf_program__attach_uprobe_opts(program, (pid_t)pid, path, place->offset,
		                                       &o);
	errno = ENOTSUP;
	return NULL;
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
	s->scan_due |= s->match && l.ring != s->said.ring;
	s->said = l;
	init_event(&e, EV_LOST, sizeof(e), stream_pid(s));
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
	init_event(&e, EV_TICK, sizeof(e), stream_pid(s));
	deliver(s, &e);
	s->next_tick_ns = e.ts_ns + (uint64_t)s->config.tick_ms * 1000000;
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
	init_event(&e, EV_END, sizeof(e), stream_pid(s));
	e.reason = why;
	e.code = why == END_EXITED ? s->roots.code : -1;
	deliver(s, &e);
}

static int look_take(struct source_bpf *s, bool closer)
{
	return snapshot_take(s->snapshot, stream_pid(s), s->pids, s->npids, closer);
}

/* What came up while records were read. */
static void due_do(struct source_bpf *s)
{
	size_t before = s->npids;

	if (s->scan_due) {
		match_scan(s);
		tree_find(s);
		processes_look(s);
	}
	if (s->look_due || s->npids > before)
		look_take(s, false);
	s->look_due = s->scan_due = false;
}

/* The targets are gone; of those that match others will come. An exit record may have been lost: the descriptors tell. */
static bool targets_gone(struct source_bpf *s)
{
	roots_look(&s->roots);
	return !s->match && !roots_live(&s->roots);
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
	due_do(s);
	if (now_ns() >= s->next_tick_ns)
		tick(s);
	if (targets_gone(s)) {
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
	return look_take(s, true);
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

static void bpf_follow(struct source *source, uint64_t ino, uint64_t dev, uint32_t n)
{
	struct source_bpf *s = (struct source_bpf *)source;
	struct file_limit limit = { .n = n < CAPTURE_DEFAULT ? n : CAPTURE_DEFAULT };
	struct file_key key = { ino, dev };
	uint64_t id;

	if (!files_id(s->files, ino, dev, &id))
		return; /* announced too long ago: it goes on as it is */
	limit.id = id;
	bpf_map_update_elem(bpf_map__fd(s->skel->maps.file_limits), &key, &limit, BPF_ANY);
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
	roots_end(&s->roots);
	match_free(s->match);
	files_free(s->files);
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
	for (int i = 0; i < TLS_PROGRAMS; i++) {
		struct bpf_program *program = tls_program(s, (enum tls_program)i);

		if (program && multi)
			bpf_program__set_expected_attach_type(program, UPROBE_MULTI_TYPE);
		if (program)
			bpf_program__set_autoattach(program, false);
	}
	bpf_program__set_autoattach(s->skel->progs.snapshot_thread, false);
	bpf_program__set_autoattach(s->skel->progs.snapshot_socket, false);
	s->skel->rodata->report_files = s->config.files;
	s->skel->rodata->report_output = s->config.output;
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

/* Those named, as far as they are there. 0, or -errno when none is. */
static int roots_name(struct source_bpf *s, const struct source_config *c)
{
	const uint32_t *pids = c->npids ? c->pids : &c->pid;
	size_t n = c->npids ? c->npids : c->pid != 0;
	int err = c->match ? 0 : -ESRCH;

	for (size_t i = 0; i < n; i++) {
		int added = roots_has(&s->roots, pids[i]) ? 0 : roots_add(&s->roots, pids[i]);

		err = added && !roots_live(&s->roots) && !c->match ? added : 0;
	}
	return err;
}

/* A target that is a zombie already is known by how it ended. */
static void roots_seed(struct source_bpf *s)
{
	struct proc_stat st;

	for (size_t i = s->roots.n; i-- > 0;) {
		uint32_t pid = s->roots.pids[i];

		if (pid_seed(s, pid) || pid_known(s, pid))
			continue;
		if (procfs_stat(pid, &st) == 0 && procfs_ended(&st))
			roots_ended(&s->roots, pid, st.exit_code);
	}
}

/* Opens what needs no kernel program. False with why filled. */
static bool prepare(struct source_bpf *s, char *why, size_t n)
{
	const struct source_config *c = &s->config;
	char reason[128] = "";
	int err;

	roots_begin(&s->roots, c->match != NULL);
	s->seen = calloc(ACTIVITY_SEEN, sizeof(*s->seen));
	s->files = files_new();
	if (c->match && !(s->match = match_new(c->match, reason, sizeof(reason)))) {
		err = errno;
		snprintf(why, n, "'%s' is no regular expression: %s", c->match, reason);
		errno = err;
		return false;
	}
	err = roots_name(s, c);
	if (!err && s->seen && s->files)
		return true;
	errno = err ? -err : ENOMEM;
	return false;
}

/* The stream's first records. Who matches is looked for twice, too: what was run while `ready` was off told nobody. */
static void begin(struct source_bpf *s)
{
	uint64_t tick_ns = (uint64_t)s->config.tick_ms * 1000000;
	struct event e;

	s->tls_later = s->config.look;
	roots_seed(s);
	match_scan(s);
	hello_tell(stream_pid(s), s->config.on_event, s->config.ctx);
	tree_find(s);
	processes_look(s);
	if (s->config.program)
		tls_probes_prepare(s->tls, s->config.pid, s->config.program);
	s->skel->bss->ready = 1;
	match_scan(s);
	tree_find(s); /* children made while `ready` was off */
	processes_look(s);
	look_take(s, false);
	if (s->tls_later) {
		s->tls_later = false;
		processes_look(s);
	}
	s->next_activity_ns = now_ns() + ACTIVITY_TICKS * tick_ns;
	s->next_tick_ns = now_ns() + tick_ns;
	init_event(&e, EV_TICK, sizeof(e), stream_pid(s));
	deliver(s, &e);
}

struct source *source_bpf_open(const struct source_config *c, char *why, size_t n)
{
	struct source_bpf *s = calloc(1, sizeof(*s));
	struct tls_probes_ops ops;
	bool multi = true;

	if (!s)
		return NULL;
	s->config = *c;
	s->source = (struct source){ .poll = bpf_poll,
		                     .inspect = bpf_inspect,
		                     .act = bpf_act,
		                     .capture = bpf_capture,
		                     .follow = bpf_follow,
		                     .finish = bpf_finish,
		                     .close = bpf_close };
	*why = '\0';
	if (!prepare(s, why, n)) {
		int err = errno;

		if (!*why)
			return fail(s, why, n, "opening the process");
		bpf_close(&s->source);
		errno = err;
		return NULL;
	}
	s->actions = (struct actions){ .roots = &s->roots, .emit = c->on_event, .ctx = c->ctx };
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
		.multi = multi,
		.attach_one = attach_one,
		.detach_one = detach_one,
		.report = report_tls,
		.ctx = s,
	};
	for (int i = 0; i < TLS_PROGRAMS; i++) {
		const struct bpf_program *program = tls_program(s, (enum tls_program)i);

		ops.program_fd[i] = program ? bpf_program__fd(program) : -1;
	}
	s->tls = tls_probes_new(&ops);
	s->pythons = pythons_new(bpf_map__fd(s->skel->maps.pythons));
	if (!s->ring || !s->snapshot || !s->tls || !s->pythons)
		return fail(s, why, n, "opening the kernel's event buffer");
	snapshot_roots(s->snapshot, &s->roots);
	s->skel->bss->matching = s->match != NULL;
	if (whystuck_bpf__attach(s->skel))
		return fail(s, why, n, "attaching the kernel programs");
	begin(s);
	return &s->source;
}
