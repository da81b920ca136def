/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Causes that lie in threads themselves: stopped, in the kernel, asleep, computing, waiting for locks,
 * kept from leaving.
 */
#include <string.h>

#include "diagnosis/scene.h"
#include "stays.h"

/* A thread is rarely uninterruptible for longer than a disk takes. */
#define DISK_NS (2 * NS_PER_S)
/* include/uapi/linux/futex.h: nobody outside the process can wake the waiter */
#define FUTEX_PRIVATE 0x80

/* ---- Stopped, and in the kernel ---- */

static void stopped(struct scene *s, const struct process *p)
{
	const struct ev_fact *tracer = evidence_fact(s->look->evidence, p->pid, FACT_TRACER);
	const struct wait *w = p->main ? p->main : p->waits;
	struct cause *c = cause_new(s, VERDICT_STOPPED, CONFIDENCE_PROVEN, w);
	bool traced = tracer && tracer->value;
	char name[32];

	if (traced)
		cause_say(c,
		          "process %u (%s) is stopped by the process that traces it (%" PRIu64 ")",
		          p->pid, process_name(p, name), (uint64_t)tracer->value);
	else
		cause_say(c,
		          "process %u (%s) is stopped by a signal (SIGSTOP, Ctrl-Z or job control)",
		          p->pid, process_name(p, name));
	if (p->nwaits == 1)
		cause_evidence(c, "its only thread is in state %c",
		               w->thread->state == 't' ? 't' : 'T');
	else
		cause_evidence(c, "all %zu threads are in state %c", p->nwaits,
		               w->thread->state == 't' ? 't' : 'T');
	if (traced) {
		cause_wake(c, WAKE_ON_EVENT, 0, "it goes on when its tracer lets it");
		cause_step(c, "ps -fp %" PRIu64 "   # who traces it, and why?",
		           (uint64_t)tracer->value);
	} else {
		cause_wake(c, WAKE_ON_EVENT, 0, "it goes on when it gets SIGCONT");
		cause_step(c, "kill -CONT %u   # let it go on (or type fg in its shell)", p->pid);
	}
}

static void uninterruptible(struct scene *s, const struct wait *w)
{
	struct cause *c = cause_new(s, VERDICT_UNINTERRUPTIBLE, CONFIDENCE_PROVEN, w);
	struct bytes stack = thread_text(w->thread).stack, what = { NULL, 0 };
	const struct ev_fd *row =
		w->fd >= 0 ? evidence_fd(s->look->evidence, w->thread->h.pid, w->fd) : NULL;
	char name[64];

	if (row)
		what = fd_text(row);
	cause_say(c, "%s is inside the kernel and cannot be interrupted, for %s%s%.*s",
	          wait_name(w, name), duration_of(wait_for_ns(s, w)).text, what.n ? ": " : "",
	          (int)what.n, what.n ? what.p : "");
	cause_evidence_wait(s, c, w);
	if (stack.n)
		cause_evidence(c, "kernel stack: %.*s", (int)stack.n, stack.p);
	if (wait_in_kernel(w->thread, "vfork") || wait_in_kernel(w->thread, "kernel_clone"))
		cause_wake(c, WAKE_ON_EVENT, 0,
		           "it goes on when the child it made by vfork runs a program or ends");
	else
		cause_wake(
			c, WAKE_ON_EVENT, 0,
			"it goes on when the disk, device or network file system answers; signals "
			"do not end this wait, at most SIGKILL does");
	cause_step(c,
	           "sudo dmesg -T | tail   # what does the kernel say of disks and file systems?");
	cause_step(c, "df -h   # does a network file system hang? (this command may hang, too)");
}

/* ---- Asleep ---- */

/* Rounded: it fell asleep some microseconds after it asked, and 29.99 s were 30 for who wrote them. */
static uint64_t sleep_length(const struct wait *w)
{
	uint64_t length = age(w->until_ns, w->since_ns), step = 100 * NS_PER_MS;

	return (length + step / 2) / step * step;
}

/* Somebody else in the tree waits for a reply or works: then the sleep is not what matters. */
static bool others_work(const struct scene *s, const struct wait *w)
{
	const struct look *l = s->look;

	for (size_t i = 0; i < l->nopen; i++) {
		const struct call_view *v = &l->open[i];
		const struct wait *by = v->sock ? scene_waiter(s, v->sock) : NULL;

		if (!v->call->blocks && !v->call->inbound && v->call->class != CALL_HEARTBEAT &&
		    by && by != w && wait_matters(by))
			return true;
	}
	return !(l->stall && stall_stuck(l->stall)) && scene_worker(s, w);
}

static void sleeping(struct scene *s, const struct wait *w)
{
	struct cause *c = cause_new(s, VERDICT_SLEEPING,
	                            w->part == PART_UNKNOWN ? CONFIDENCE_LIKELY : CONFIDENCE_STRONG,
	                            w);
	char name[64];

	if (w->until_ns)
		cause_say(c, "%s sleeps: %s of %s are over", wait_name(w, name),
		          duration_of(wait_for_ns(s, w)).text, duration_of(sleep_length(w)).text);
	else
		cause_say(c, "%s sleeps, for %s", wait_name(w, name),
		          duration_of(wait_for_ns(s, w)).text);
	cause_evidence_wait(s, c, w);
	cause_wake_by_wait(s, c, w);
	cause_step(c,
	           "wait, or look at the line that sleeps; a sleep between retries should have a "
	           "limit");
}

/* ---- Computing ---- */

static bool wrote(const struct scene *s, uint32_t pid)
{
	const struct evidence *e = s->look->evidence, *before = evidence_previous(e);
	const struct ev_fact *now = evidence_fact(e, pid, FACT_WRITTEN);
	const struct ev_fact *then = before ? evidence_fact(before, pid, FACT_WRITTEN) : NULL;

	return now && then && now->value != then->value;
}

/* In the same functions at the same lines as in the snapshot before. */
static bool is_where_it_was(const struct scene *s, const struct wait *w)
{
	const struct evidence *before = evidence_previous(s->look->evidence);
	const struct ev_frames *then =
		before ? evidence_frames(before, w->thread->h.pid, w->thread->h.tid) : NULL;
	char a[DIAGNOSIS_TEXT_MAX], b[DIAGNOSIS_TEXT_MAX];

	if (!then || !w->python)
		return false;
	frames_line(a, sizeof(a), frames_text(then), STAY_FRAMES);
	frames_line(b, sizeof(b), frames_text(w->python), STAY_FRAMES);
	return *a && strcmp(a, b) == 0;
}

/*
 * Of a look on demand: is it in the same place in every snapshot with functions there was? If not it gets on, and
 * progress_by_work() has it. The first of them has nothing to compare its own with: a longer look may tell.
 */
static bool gets_on(const struct scene *s, const struct wait *w)
{
	const struct evidence *e = s->look->evidence;
	const struct stay *stay = evidence_stay(e, w->thread->h.pid, w->thread->h.tid);

	return !stay || stay->first_ns != evidence_first_frames(e);
}

/* CPU time used since then, and over how long. False: that is not known. */
static bool used_since(const struct scene *s, const struct wait *w, uint64_t *used, uint64_t *over)
{
	const struct evidence *e = s->look->evidence;
	const struct stay *stay = evidence_stay(e, w->thread->h.pid, w->thread->h.tid);
	const struct ev_activity *now = evidence_cpu(e, w->thread->h.pid, w->thread->h.tid);

	if (!stay || !now || now->h.ts_ns <= stay->since_ns)
		return false;
	*used = age(now->cpu_ns, stay->cpu_ns);
	*over = now->h.ts_ns - stay->since_ns;
	return true;
}

/* The CPU clock of watch knows of more than the moment of a look, in which the machine may be busy. */
static bool busy(const struct scene *s, const struct wait *w, const struct stall *stuck)
{
	struct stall_clocks clocks;

	if (!stuck || wait_works(s, w))
		return wait_works(s, w);
	stall_clocks(stuck, &clocks);
	return clocks.cpu_ns > stall_last(stuck)->since_ns;
}

static void computing(struct scene *s, const struct wait *w)
{
	const struct look *l = s->look;
	bool stuck = l->stall && stall_stuck(l->stall);
	uint64_t used, over, since;
	struct cause *c;
	char name[64];

	if (!wait_cpu(s, w, &used, &over) || !busy(s, w, stuck ? l->stall : NULL) ||
	    wrote(s, w->thread->h.pid))
		return;
	if (!stuck &&
	    (gets_on(s, w) || (used_since(s, w, &used, &over) && used < over / WORKS_PART)))
		return;
	since = stuck ? stall_last(l->stall)->since_ns : age(l->now_ns, over);
	c = cause_new(s, VERDICT_CPU_BOUND, stuck ? CONFIDENCE_STRONG : CONFIDENCE_LIKELY, w);
	c->since_ns = since;
	c->at_least = !stuck || stall_last(l->stall)->at_least;
	cause_say(c, "%s computes, with nothing written for %s", wait_name(w, name),
	          duration_of(age(l->now_ns, since)).text);
	cause_evidence(c, "it used %u %% of a CPU over the last %s", (unsigned)(used * 100 / over),
	               duration_of(over).text);
	if (is_where_it_was(s, w))
		cause_evidence(c, "it is in the same line as %s ago", duration_of(over).text);
	cause_evidence_wait(s, c, w);
	cause_wake(c, WAKE_UNKNOWN, 0,
	           "a computation ends when it is done: nothing here tells when");
	cause_step(c, "sudo whystuck %u   # again: is it still in the same line?",
	           scene_root(s, c->pid));
	cause_step(c, "a pattern of a regular expression that backtracks, or a loop without end, "
	              "stays in one line for ever");
}

bool progress_by_work(struct scene *s)
{
	const struct look *l = s->look;
	const struct wait *w = scene_worker(s, NULL);
	uint64_t used = 0, over = 0;
	struct cause *c;
	char name[64];

	if (!w || (l->stall && stall_stuck(l->stall)) || !wait_cpu(s, w, &used, &over))
		return false;
	c = cause_new(s, VERDICT_PROGRESSING, CONFIDENCE_LIKELY, NULL);
	c->pid = l->pid;
	cause_say(c,
	          "nothing is stuck that can be seen: %s computes, %u %% of a CPU over the last %s",
	          wait_name(w, name), (unsigned)(used * 100 / over), duration_of(over).text);
	cause_evidence_wait(s, c, w);
	cause_wake(c, WAKE_ON_EVENT, 0, "it is not asleep");
	cause_step(c, "sudo whystuck watch %u   # whether turns, calls or output come of it",
	           l->pid);
	return true;
}

/* ---- Locks ---- */

struct locks {
	unsigned waiting; /* threads that matter and wait for a lock with no time limit */
	unsigned others;  /* threads that matter and do something else */
	bool shared;      /* one of the locks can be let go by another process */
	const struct wait *first;
};

static struct locks locks_of(const struct scene *s, const struct process *p)
{
	struct locks l = { 0 };

	for (size_t i = 0; i < p->nwaits; i++) {
		const struct wait *w = &p->waits[i];

		if (!wait_matters(w))
			continue;
		if (!wait_locked(s, w)) {
			l.others++;
			continue;
		}
		l.waiting++;
		l.shared |= !(w->thread->args[1] & FUTEX_PRIVATE);
		if (!l.first || w == p->main)
			l.first = w;
	}
	return l;
}

static void lock_threads(struct scene *s, const struct process *p, struct cause *c)
{
	for (size_t i = 0; i < p->nwaits && c->nevidence < CAUSE_EVIDENCE_MAX; i++) {
		const struct wait *w = &p->waits[i];
		char line[DIAGNOSIS_TEXT_MAX] = "", name[64];

		if (w->kind != WAIT_LOCK || !wait_matters(w))
			continue;
		if (w->python)
			frames_line(line, sizeof(line), frames_text(w->python), 3);
		cause_evidence(c, "%s waits for lock 0x%" PRIx64 " for %s%s%s", wait_name(w, name),
		               w->address, duration_of(wait_for_ns(s, w)).text, *line ? ": " : "",
		               line);
	}
}

static bool is_forked(const struct scene *s, const struct process *p)
{
	const struct ev_fact *forked = evidence_fact(s->look->evidence, p->pid, FACT_FORKED);
	const struct process *parent = scene_process(s, p->ppid);

	return forked && forked->value && parent && parent->nwaits > 1;
}

static void forked_lock(struct scene *s, const struct process *p, const struct locks *l)
{
	struct cause *c = cause_new(s, VERDICT_FORKED_LOCK, CONFIDENCE_STRONG, l->first);
	const struct process *parent = scene_process(s, p->ppid);
	char name[32];

	cause_say(c,
	          "process %u (%s) waits for a lock that nobody can let go: it was forked from %u, "
	          "where most likely another thread held it",
	          p->pid, process_name(p, name), p->ppid);
	cause_evidence(c, "it came by fork and never ran a program of its own");
	cause_evidence(c,
	               "its parent has %zu threads now; a fork takes along only the one that forks",
	               parent ? parent->nwaits : 0);
	lock_threads(s, p, c);
	cause_wake(c, WAKE_NEVER, 0,
	           "the lock is its own copy: no thread is left here to let it go, and no other "
	           "process can");
	cause_step(c, "kill %u   # this worker only, where its parent can go on without it",
	           p->pid);
	cause_step(c, "start worker processes by spawn or forkserver "
	              "(multiprocessing.set_start_method), or before any thread");
}

static void deadlock(struct scene *s, const struct process *p, const struct locks *l)
{
	struct cause *c = cause_new(s, VERDICT_DEADLOCK, CONFIDENCE_STRONG, l->first);
	char name[32];

	if (l->waiting == 1)
		cause_say(c,
		          "process %u (%s) waits for a lock or an event with no time limit, and no "
		          "other thread is left that could release it",
		          p->pid, process_name(p, name));
	else
		cause_say(
			c,
			"all %u threads of process %u (%s) that matter wait for locks with no time "
			"limit, and nothing is in flight",
			l->waiting, p->pid, process_name(p, name));
	lock_threads(s, p, c);
	if (l->shared)
		cause_wake(
			c, WAKE_ON_EVENT, 0,
			"a process that shares the lock could let it go; none was seen that will");
	else
		cause_wake(c, WAKE_NEVER, 0, "nobody is left who could let the locks go");
	cause_step(c, "sudo whystuck --all %u   # every thread: who holds what the other needs?",
	           scene_root(s, p->pid));
	cause_step(c, "kill -INT %u   # stop the run if its results so far are kept",
	           scene_root(s, p->pid));
}

static void locked(struct scene *s, const struct process *p)
{
	struct locks l = locks_of(s, p);

	if (!l.waiting || l.others || p->waits_for >= 0 || scene_has_call(s, p->pid))
		return;
	if (is_forked(s, p) && !l.shared)
		forked_lock(s, p, &l);
	else
		deadlock(s, p, &l);
}

/* ---- Kept from leaving ---- */

/* A thread that is no daemon, as far as can be told: it has functions of the program's own. */
static const struct wait *keeps(const struct process *p)
{
	const struct wait *found = NULL;

	for (size_t i = 0; i < p->nwaits; i++) {
		const struct wait *w = &p->waits[i];

		if (w == p->main || !w->python || w->part == PART_HELPER || w->part == PART_EXIT)
			continue;
		if (!found || (found->part == PART_IDLE && w->part != PART_IDLE))
			found = w;
	}
	return found;
}

static void exit_blocked(struct scene *s, const struct process *p)
{
	const struct wait *by = keeps(p);
	char name[64];
	struct cause *c;

	/* a thread that still works is waited for with reason */
	if (by && wait_moved(s, by) && (!by->ticks || stirs(s->look)))
		return;
	c = cause_new(s, VERDICT_EXIT_BLOCKED, by ? CONFIDENCE_STRONG : CONFIDENCE_LIKELY, p->main);
	if (by)
		frames_line(c->where, sizeof(c->where), frames_text(by->python), 4);
	if (by)
		cause_say(
			c,
			"the first thread is done: the interpreter waits at its end for %s, which "
			"does not leave",
			wait_name(by, name));
	else
		cause_say(c, "the first thread is done: a hook at the end of the interpreter does "
		             "not return");
	cause_evidence_wait(s, c, p->main);
	if (by)
		cause_evidence_wait(s, c, by);
	if (by && by->until_ns > s->look->now_ns && !by->ticks)
		cause_wake(c, WAKE_ON_EVENT, 0, "it ends when thread %u does; that one wakes in %s",
		           by->thread->h.tid, duration_of(by->until_ns - s->look->now_ns).text);
	else if (by)
		cause_wake(c, WAKE_ON_EVENT, 0, "it ends when thread %u does", by->thread->h.tid);
	else
		cause_wake_by_wait(s, c, p->main);
	cause_step(c, "kill %u   # the results are written? then end it", p->pid);
	cause_step(c, "make the thread a daemon, or tell it to stop before the program ends");
}

/* ---- All of it ---- */

void threads_causes(struct scene *s)
{
	for (size_t i = 0; i < s->nprocesses; i++) {
		const struct process *p = &s->processes[i];

		if (!p->in_tree || p->zombie)
			continue;
		if (p->stopped) {
			stopped(s, p);
			continue;
		}
		if (p->main && p->main->part == PART_EXIT && wait_old(s, p->main))
			exit_blocked(s, p);
		else
			locked(s, p);
	}
	for (size_t i = 0; i < s->nwaits; i++) {
		const struct wait *w = &s->waits[i];
		const struct process *p = scene_process(s, w->thread->h.pid);

		if (!p || !p->in_tree || !wait_matters(w))
			continue;
		if (w->kind == WAIT_DISK && wait_for_ns(s, w) >= DISK_NS)
			uninterruptible(s, w);
		else if (w->kind == WAIT_SLEEP &&
		         (sleep_length(w) >= s->look->silent_min_ns || wait_old(s, w)) &&
		         !others_work(s, w))
			sleeping(s, w);
		else if (w->kind == WAIT_RUNNING)
			computing(s, w);
	}
}
