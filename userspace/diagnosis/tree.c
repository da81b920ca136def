/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who waits for whom: from the threads' waits to edges between processes, so that the verdict names the
 * process at the end of the chain; then the causes that lie in the tree itself: a child that is waited
 * for, a worker that died, a target that is gone.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "diagnosis/scene.h"

/* A pool whose workers began this far apart has replaced some of them. */
#define REPLACED_NS (2 * NS_PER_S)

/* ---- Edges ---- */

/* Nothing but workers that wait for work and the helpers of their libraries. */
static bool process_rests(const struct process *p)
{
	size_t resting = 0;

	for (size_t i = 0; i < p->nwaits; i++) {
		const struct wait *w = &p->waits[i];

		if (w->kind == WAIT_RUNNING || (w->part != PART_IDLE && w->part != PART_HELPER))
			return false;
		resting += w->part == PART_IDLE;
	}
	return resting > 0;
}

static bool is_child(const struct process *p, const struct process *child)
{
	return child->ppid == p->pid && child != p;
}

/*
 * Candidates of p, best first: a process that does something before one that rests, a living one before
 * a dead one, the one that has waited longest before the others.
 */
static bool better(const struct process *a, const struct process *b)
{
	if (!b)
		return true;
	if (a->zombie != b->zombie)
		return b->zombie;
	if (process_rests(a) != process_rests(b))
		return process_rests(b);
	return a->main && b->main && a->main->since_ns && b->main->since_ns &&
	       a->main->since_ns < b->main->since_ns;
}

struct edge {
	const struct process *from, *to;
	const char *how; /* "its child to end", "what it writes", ... */
};

static bool is_ancestor(const struct scene *s, const struct process *of, const struct process *p)
{
	size_t steps = 0;

	while (of && of != p && steps++ < s->nprocesses)
		of = of->ppid == of->pid ? NULL : scene_process(s, of->ppid);
	return of == p;
}

/* Who began a process is not what holds it up in the end: there the chains would go round in circles. */
static void edge_take(const struct scene *s, struct edge *e, const struct process *to,
                      const char *how)
{
	if (!to->in_tree || process_rests(to) || is_ancestor(s, e->from, to) || !better(to, e->to))
		return;
	e->to = to;
	e->how = how;
}

/* Processes of the tree that hold the end of a pipe or socket that p's wait depends on. */
static void edges_by_holders(const struct scene *s, const struct process *p, uint64_t ino,
                             uint32_t mode, struct edge *e)
{
	size_t n;
	const struct ev_holder *const *h = evidence_holders(s->look->evidence, ino, &n);

	for (size_t i = 0; i < n; i++) {
		const struct process *to = scene_process(s, h[i]->h.pid);

		if (to && to != p && h[i]->mode & mode)
			edge_take(s, e, to, mode & 2 ? "what it writes" : "it to read");
	}
}

static void edges_by_many(const struct scene *s, const struct process *p, const struct wait *w,
                          struct edge *e)
{
	for (uint32_t i = 0; i < thread_nfds(w->thread); i++) {
		const struct ev_fd *row = evidence_fd(s->look->evidence, p->pid, w->thread->fds[i]);

		if (row && fd_pipe(row))
			edges_by_holders(s, p, fd_pipe(row), 2, e);
	}
}

static void edges_by_lock(const struct scene *s, const struct process *p, struct edge *e)
{
	size_t n;
	const struct ev_lock *const *locks = evidence_locks(s->look->evidence, &n);
	const struct ev_lock *holder = NULL;

	for (size_t i = 0; i < n; i++) {
		const struct process *to;

		if (!locks[i]->waits)
			holder = locks[i];
		else if (locks[i]->h.pid == p->pid && holder && holder->id == locks[i]->id &&
		         (to = scene_process(s, holder->h.pid)) && to != p)
			edge_take(s, e, to, "the file lock it holds");
	}
}

static void edges_by_child(const struct scene *s, const struct process *p, const struct wait *w,
                           struct edge *e)
{
	for (size_t i = 0; i < s->nprocesses; i++) {
		const struct process *to = &s->processes[i];

		if (is_child(p, to) && (!w->child || w->child == to->pid))
			edge_take(s, e, to, "its child to end");
	}
}

/*
 * Nobody but p can write to it: make waits so for a place of its job server, which the end of a child gives
 * back. (In a Python process it may be the pipe with which a thread wakes another.)
 */
static bool is_own_pipe(const struct scene *s, const struct process *p, uint64_t ino)
{
	size_t n;
	const struct ev_holder *const *h = evidence_holders(s->look->evidence, ino, &n);

	for (size_t i = 0; i < n; i++)
		if (h[i]->h.pid != p->pid && h[i]->mode & 2)
			return false;
	return n > 0;
}

static void edges_of_wait(const struct scene *s, const struct process *p, const struct wait *w,
                          struct edge *e)
{
	switch (w->kind) {
	case WAIT_CHILD:
		edges_by_child(s, p, w, e);
		break;
	case WAIT_PIPE_READ:
		edges_by_holders(s, p, w->ino, 2, e);
		if (!e->to && !p->python && is_own_pipe(s, p, w->ino))
			edges_by_child(s, p, w, e);
		break;
	case WAIT_PIPE_WRITE:
		edges_by_holders(s, p, w->ino, 1, e);
		break;
	case WAIT_SOCKET:
		edges_by_holders(s, p, w->sock, 3, e);
		break;
	case WAIT_FILE_LOCK:
		edges_by_lock(s, p, e);
		break;
	case WAIT_MANY:
		edges_by_many(s, p, w, e);
		break;
	default:
		break;
	}
}

/* Its threads wait for the results of worker processes. */
static bool waits_for_pool(const struct wait *w)
{
	static const struct {
		const char *file, *function;
	} pools[] = {
		{ "multiprocessing/pool.py", "wait" },
		{ "multiprocessing/pool.py", "get" },
		{ "multiprocessing/pool.py", "next" },
		{ "multiprocessing/pool.py", "join" },
		{ "concurrent/futures/_base.py", "wait" },
		{ "concurrent/futures/_base.py", "result" },
		{ "concurrent/futures/_base.py", "as_completed" },
		{ "concurrent/futures/process.py", NULL },
		{ "multiprocessing/queues.py", "get" },
		{ "multiprocessing/connection.py", NULL },
	};

	for (size_t i = 0; w->python && i < sizeof(pools) / sizeof(*pools); i++)
		if (frames_have(frames_text(w->python), pools[i].file, pools[i].function))
			return true;
	return false;
}

/* Workers that came by fork or spawn from p and are busy. */
static void edges_by_pool(const struct scene *s, const struct process *p, struct edge *e)
{
	for (size_t i = 0; i < s->nprocesses; i++)
		if (is_child(p, &s->processes[i]) && s->processes[i].python)
			edge_take(s, e, &s->processes[i], "what its worker has to give");
}

static void process_link(struct scene *s, struct process *p)
{
	struct edge e = { .from = p };
	char name[32];

	/* threads with a work of their own first; the helpers' waits only where those tell nothing */
	for (size_t i = 0; i < p->nwaits; i++)
		if (p->waits[i].part != PART_IDLE && p->waits[i].part != PART_HELPER)
			edges_of_wait(s, p, &p->waits[i], &e);
	for (size_t i = 0; !e.to && i < p->nwaits; i++)
		if (p->waits[i].part != PART_IDLE && waits_for_pool(&p->waits[i]))
			edges_by_pool(s, p, &e);
	for (size_t i = 0; !e.to && i < p->nwaits; i++)
		if (p->waits[i].part == PART_HELPER && p->main && p->main->kind == WAIT_LOCK)
			edges_of_wait(s, p, &p->waits[i], &e);
	if (!e.to)
		return;
	p->waits_for = (int)(e.to - s->processes);
	snprintf(p->how, sizeof(p->how), "process %u waits for process %u (%s): for %s", p->pid,
	         e.to->pid, process_name(e.to, name), e.how);
}

void tree_link(struct scene *s)
{
	for (size_t i = 0; i < s->nprocesses; i++)
		process_link(s, &s->processes[i]);
}

/* ---- A worker that died ---- */

static const char *how_ended(uint64_t status, char buf[static 64])
{
	int code = (int)status;

	if (WIFSIGNALED(code))
		snprintf(buf, 64, "was killed by SIG%s",
		         sigabbrev_np(WTERMSIG(code)) ? sigabbrev_np(WTERMSIG(code)) : "?");
	else
		snprintf(buf, 64, "ended with status %d", WEXITSTATUS(code));
	return buf;
}

static void oom_evidence(const struct scene *s, struct cause *c, uint32_t pid)
{
	const struct ev_fact *killed = evidence_fact(s->look->evidence, pid, FACT_OOM_KILLED);
	const struct ev_fact *count =
		evidence_fact(s->look->evidence, scene_root(s, c->pid), FACT_OOM_KILLS);

	if (killed)
		cause_evidence(c, "the kernel killed %u for want of memory %s ago", pid,
		               duration_of(killed->value).text);
	else if (count && count->value)
		cause_evidence(c,
		               "the kernel has killed %" PRIu64
		               " processes of its control group for want of memory",
		               (uint64_t)count->value);
}

static bool main_waits_inside(const struct scene *s, const struct process *p)
{
	const struct wait *w = p->main;

	return w && wait_old(s, w) &&
	       (w->kind == WAIT_LOCK || w->kind == WAIT_PIPE_READ || w->kind == WAIT_MANY ||
	        w->kind == WAIT_SOCKET);
}

static void lost_zombie(struct scene *s, const struct process *parent, const struct process *dead)
{
	const struct ev_fact *status =
		evidence_fact(s->look->evidence, dead->pid, FACT_EXIT_STATUS);
	bool failed = status && status->value;
	struct cause *c;
	char buf[64], name[32];

	c = cause_new(s, VERDICT_WORKER_LOST, failed ? CONFIDENCE_STRONG : CONFIDENCE_LIKELY,
	              parent->main);
	cause_say(c, "process %u (%s) waits, but its worker %u is dead: it %s", parent->pid,
	          process_name(parent, name), dead->pid,
	          status ? how_ended(status->value, buf) : "ended, how is not known");
	cause_evidence(c, "process %u is a zombie: it ended and nobody has collected its status",
	               dead->pid);
	oom_evidence(s, c, dead->pid);
	cause_evidence_wait(s, c, parent->main);
	cause_wake(c, WAKE_NEVER, 0, "what it waits for was to come from the worker that is dead");
	cause_step(c, "sudo dmesg -T | grep -i -E 'killed process|out of memory'   # was it the "
	              "kernel?");
	cause_step(c, "kill -INT %u   # stop the run if its results so far are kept",
	           scene_root(s, c->pid));
}

/* Earliest and latest start of the workers of p, and how many there are; false when one is busy. */
static bool all_rest(const struct scene *s, const struct process *p, uint64_t *first,
                     uint64_t *last, uint32_t *newest, unsigned *n)
{
	*n = 0;
	for (size_t i = 0; i < s->nprocesses; i++) {
		const struct process *w = &s->processes[i];

		if (!is_child(p, w) || !w->python || !w->row)
			continue;
		if (!process_rests(w)) {
			const struct wait *m = w->main;

			/* what only serves the pool (resource tracker, fork server) is no worker */
			if (m && m->part == PART_HELPER)
				continue;
			return false;
		}
		if (!*n || w->row->start_ns < *first)
			*first = w->row->start_ns;
		if (!*n || w->row->start_ns > *last) {
			*last = w->row->start_ns;
			*newest = w->pid;
		}
		++*n;
	}
	return *n > 0;
}

/* What the first thread waits for may come from another thread of its process. */
static bool others_matter(const struct process *p)
{
	for (size_t i = 0; i < p->nwaits; i++)
		if (&p->waits[i] != p->main && wait_matters(&p->waits[i]))
			return true;
	return false;
}

/* A pool replaces workers that die; what they worked on is lost, and its caller waits for ever. */
static void lost_replaced(struct scene *s, const struct process *p)
{
	uint64_t first = 0, last = 0;
	uint32_t newest = 0;
	unsigned n;
	struct cause *c;
	bool replaced;

	if (!waits_for_pool(p->main) || p->main->kind != WAIT_LOCK || others_matter(p) ||
	    !all_rest(s, p, &first, &last, &newest, &n))
		return;
	replaced = last > first + REPLACED_NS;
	c = cause_new(s, VERDICT_WORKER_LOST, replaced ? CONFIDENCE_STRONG : CONFIDENCE_LIKELY,
	              p->main);
	cause_say(c,
	          "process %u waits for results of its pool, but all %u workers wait for work: the "
	          "result %s",
	          p->pid, n,
	          replaced ? "was lost, most likely with a worker that ended and was replaced"
	                   : "seems lost");
	if (replaced)
		cause_evidence(
			c,
			"worker %u was started %s after the first one: a pool starts one later "
			"in the place of one that ended",
			newest, duration_of(last - first).text);
	oom_evidence(s, c, 0);
	cause_evidence_wait(s, c, p->main);
	cause_wake(c, WAKE_NEVER, 0, "nobody works on what it waits for");
	cause_step(c, "sudo dmesg -T | grep -i -E 'killed process|out of memory'   # was it the "
	              "kernel?");
	cause_step(c, "kill -INT %u   # stop the run if its results so far are kept",
	           scene_root(s, c->pid));
}

/* A worker is another one of the same program; a tool that was started besides owes nothing. */
static bool is_worker(const struct process *p, const struct process *w)
{
	char name[32], other[32];

	return is_child(p, w) && strcmp(process_name(p, name), process_name(w, other)) == 0;
}

static void workers_lost(struct scene *s, const struct process *p)
{
	const struct process *dead = NULL;
	unsigned busy = 0;

	if (!main_waits_inside(s, p) || scene_has_call(s, p->pid))
		return;
	for (size_t i = 0; i < s->nprocesses; i++) {
		const struct process *w = &s->processes[i];

		if (!is_worker(p, w))
			continue;
		if (w->zombie)
			dead = dead ? dead : w;
		else if (!process_rests(w))
			busy++;
	}
	if (dead && !busy)
		lost_zombie(s, p, dead);
	else if (!dead)
		lost_replaced(s, p);
}

/* ---- A child that is waited for ---- */

static bool has_cause(const struct scene *s, uint32_t pid)
{
	for (size_t i = 0; i < s->ncauses; i++)
		if (s->causes[i].pid == pid && s->causes[i].kind != VERDICT_UNKNOWN &&
		    s->causes[i].kind != VERDICT_CHILD_WAIT)
			return true;
	return false;
}

/* A call that is meant to wait (BLPOP) is open. */
static bool waits_for_work(const struct scene *s, uint32_t pid)
{
	for (size_t i = 0; i < s->look->nopen; i++)
		if (s->look->open[i].call->pid == pid && s->look->open[i].call->blocks)
			return true;
	return false;
}

static void child_waited_for(struct scene *s, const struct process *p)
{
	const struct process *to = &s->processes[p->waits_for];
	const struct wait *w = p->main;
	struct cause *c;
	char name[32], other[32];

	if (!w || !wait_old(s, w) || !to->main)
		return;
	/*
	 * A child that works, or serves and rests, or waits for work as it is meant to, is no cause; one
	 * with a cause of its own is shown with it.
	 */
	if ((process_moved(s, to) || wait_serves(s, to->main) || waits_for_work(s, to->pid)) &&
	    !has_cause(s, to->pid))
		return;
	c = cause_new(s, VERDICT_CHILD_WAIT, CONFIDENCE_STRONG, w);
	cause_say(c, "process %u (%s) has waited for process %u (%s) for %s%s", p->pid,
	          process_name(p, name), to->pid, process_name(to, other),
	          duration_of(wait_for_ns(s, w)).text,
	          has_cause(s, to->pid) ? ", which is held up itself" : "");
	cause_evidence(c, "%s", p->how);
	cause_evidence_wait(s, c, w);
	cause_evidence_wait(s, c, to->main);
	cause_wake(c, WAKE_ON_EVENT, 0, "it goes on when process %u does", to->pid);
	cause_step(c, "sudo whystuck %u   # what the other process waits for", to->pid);
}

/* ---- The target is gone ---- */

static void target_gone(struct scene *s, const struct process *p)
{
	const struct ev_fact *status = evidence_fact(s->look->evidence, p->pid, FACT_EXIT_STATUS);
	struct cause *c = cause_new(s, VERDICT_EXITED, CONFIDENCE_PROVEN, p->main);
	const struct process *parent = scene_process(s, p->ppid);
	char buf[64], name[32] = "?";

	if (parent)
		process_name(parent, name);
	cause_say(c, "the process %s, and waits for its parent %u (%s) to notice",
	          status ? how_ended(status->value, buf) : "ended", p->ppid, name);
	oom_evidence(s, c, p->pid);
	cause_wake(c, WAKE_NEVER, 0, "a zombie runs no more");
	cause_step(c, "sudo whystuck %u   # its parent: why does it not collect the status?",
	           p->ppid);
}

void tree_causes(struct scene *s)
{
	for (size_t i = 0; i < s->nprocesses; i++) {
		const struct process *p = &s->processes[i];

		if (p->zombie && p->root)
			target_gone(s, p);
		if (!p->zombie && p->in_tree && p->waits_for >= 0)
			child_waited_for(s, p);
	}
}

void workers_causes(struct scene *s)
{
	for (size_t i = 0; i < s->nprocesses; i++)
		if (!s->processes[i].zombie && s->processes[i].in_tree)
			workers_lost(s, &s->processes[i]);
}
