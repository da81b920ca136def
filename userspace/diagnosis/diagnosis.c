/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The families are asked in turn; what they found is ranked, and the first is the verdict. A new
 * family is one file and one line here.
 */
#include <stdlib.h>

#include "diagnosis/scene.h"
#include "handshake.h"

static void (*const families[])(struct scene *s) = {
	progress_causes, calls_causes, network_causes, loop_causes,
	workers_causes,  files_causes, threads_causes, tree_causes,
};

/* ---- When nothing says why ---- */

static void unknown_evidence(const struct scene *s, struct cause *c)
{
	for (size_t i = 0; i < s->nwaits && c->nevidence < CAUSE_EVIDENCE_MAX; i++) {
		const struct wait *w = &s->waits[i];

		/* of many threads the main ones say most */
		if (s->nwaits <= CAUSE_EVIDENCE_MAX || w->thread->h.tid == w->thread->h.pid)
			cause_evidence_wait(s, c, w);
	}
	if (!s->nwaits)
		cause_evidence(c, "there is no snapshot of the threads");
}

/* Connections of that kind that are told; more say no more. */
#define UNANSWERED_MAX 3

/* A request on this TLS connection may be unanswered, and nothing says whose it is. */
static bool may_be_unanswered(const struct scene *s, const struct ev_socket *k)
{
	uint64_t sent = k->tcp_last_sent_ns + age(s->look->now_ns, k->h.ts_ns);

	return k->h.flags & EVF_TCP && k->tcp_state == 1 && k->role != ROLE_SERVER &&
	       sent >= s->look->silent_min_ns && scene_waiter(s, k->sock) &&
	       handshake_tls(s->look->evidence, k) == TLS_YES &&
	       handshake_reply(s->look->evidence, k) == REPLY_MAYBE;
}

static void unanswered_evidence(const struct scene *s, struct cause *c)
{
	size_t n = 0, told = 0;
	const struct ev_socket *const *list =
		s->look->evidence ? evidence_sockets(s->look->evidence, &n) : NULL;

	for (size_t i = 0; i < n && told < UNANSWERED_MAX; i++) {
		const struct endpoint *e = scene_endpoint(s, list[i]->sock);

		if (!e || !*e->addr || !may_be_unanswered(s, list[i]))
			continue;
		told++;
		cause_evidence(c,
		               "process %u sent data to %s (TLS) %s ago, and what came right after "
		               "it may be the end of the handshake alone: is that a request nobody "
		               "answers?",
		               list[i]->h.pid, e->addr,
		               duration_of(list[i]->tcp_last_sent_ns +
		                           age(s->look->now_ns, list[i]->h.ts_ns))
		                       .text);
		if (told == 1 && is_shell_safe(e->addr))
			cause_step(c, "sudo whystuck --llm %s %u   # if that is the LLM", e->addr,
			           s->look->pid);
	}
}

/* A thread that waits for connections: a target's before its children's. */
static const struct wait *server_of(const struct scene *s)
{
	const struct wait *found = NULL;
	bool root = false;

	for (size_t i = 0; i < s->nwaits; i++) {
		const struct wait *w = &s->waits[i];
		const struct process *p = scene_process(s, w->thread->h.pid);

		if (!p || !p->in_tree || !wait_matters(w) || !wait_serves(s, w))
			continue;
		if (found && (root || !p->root))
			continue;
		found = w;
		root = p->root;
	}
	return found;
}

#define DOING_MAX 160

/* "; " and what the target is there for, or its first thread waits for; "" nothing to tell. */
static void what_it_does(const struct scene *s, char text[static DOING_MAX])
{
	static const char *const waits[WAIT_KINDS] = {
		[WAIT_SOCKET] = "a socket",
		[WAIT_MANY] = "one of several descriptors",
		[WAIT_LOCK] = "another thread (a lock, an event, a queue)",
		[WAIT_SLEEP] = "a timer",
		[WAIT_CHILD] = "a child process",
		[WAIT_PIPE_READ] = "input from a pipe",
		[WAIT_SIGNAL] = "a signal",
	};
	const struct process *p = scene_process(s, s->look->pid);
	const struct wait *server = server_of(s), *w = p ? p->main : NULL;
	char name[64];

	*text = '\0';
	if (server)
		snprintf(text, DOING_MAX, "; %s is a server that waits for connections",
		         wait_name(server, name));
	else if (w && waits[w->kind] && w->ticks)
		snprintf(text, DOING_MAX, "; %s waits for %s, for a moment again and again",
		         wait_name(w, name), waits[w->kind]);
	else if (w && waits[w->kind] && w->since_ns)
		snprintf(text, DOING_MAX, "; %s waits for %s, for %s", wait_name(w, name),
		         waits[w->kind], duration_of(wait_for_ns(s, w)).text);
}

/* Where to look on: each target has threads of its own. One step is left to others. */
static void roots_steps(const struct scene *s, struct cause *c)
{
	static const char step[] =
		"sudo whystuck --all %u   # every thread, where it is and what it waits for";

	for (size_t i = 0; i < s->nprocesses && c->nsteps < STEPS_MAX - 1; i++)
		if (s->processes[i].root && !s->processes[i].zombie)
			cause_step(c, step, s->processes[i].pid);
	if (!c->nsteps)
		cause_step(c, step, s->look->pid);
}

static void unknown_causes(struct scene *s)
{
	const struct look *l = s->look;
	const struct stall_period *p = l->stall && stall_stuck(l->stall) ? stall_last(l->stall)
	                                                                 : NULL;
	const struct call_view *waiting = NULL, *young = NULL;
	const struct process *target = scene_process(s, l->pid);
	struct cause *c = cause_new(s, VERDICT_UNKNOWN, CONFIDENCE_NONE, NULL);
	char silence[64] = "", doing[DOING_MAX];

	for (size_t i = 0; i < l->nopen; i++) {
		if (call_counts(l->open[i].call) && l->open[i].call->blocks)
			waiting = &l->open[i];
		else if (call_counts(l->open[i].call))
			young = &l->open[i];
	}
	what_it_does(s, doing);
	c->pid = l->pid;
	if (target && target->main && target->main->python)
		frames_line(c->where, sizeof(c->where), frames_text(target->main->python), 4);
	c->since_ns = p ? p->since_ns : 0;
	c->at_least = p && p->at_least;
	if (p)
		snprintf(silence, sizeof(silence), "; no progress for %s%s",
		         p->at_least ? "at least " : "",
		         duration_of(age(l->now_ns, p->since_ns)).text);
	if (young)
		cause_say(c, "%s to %s is in flight, not silent for long enough to be the cause%s",
		          op_text(young->call), endpoint_text(young), silence);
	else if (waiting)
		cause_say(c, "only calls that are meant to wait are in flight (%s to %s)%s",
		          op_text(waiting->call), endpoint_text(waiting), silence);
	else
		cause_say(c, "nothing in flight on any LLM or storage connection%s",
		          p ? silence : doing);
	if (p && p->at_least)
		cause_evidence(c, "nothing moved since whystuck attached, %s ago",
		               duration_of(age(l->now_ns, p->since_ns)).text);
	else if (p)
		cause_evidence(c, "the clock that moved last was %s, %s ago", p->clock,
		               duration_of(age(l->now_ns, p->since_ns)).text);
	if (!young && !waiting)
		unanswered_evidence(s, c);
	unknown_evidence(s, c);
	if (waiting && !young) {
		c->pid = waiting->call->pid;
		c->since_ns = c->since_ns ? c->since_ns : call_silent_since(waiting->call);
		c->at_least = true;
		cause_wake(c, WAKE_ON_EVENT, 0, "%s returns when something comes for it",
		           op_text(waiting->call));
	} else {
		cause_wake(c, WAKE_UNKNOWN, 0, "what holds the run back is not known for certain");
	}
	roots_steps(s, c);
	cause_step(c, "sudo whystuck watch %u   # what moves while it is watched", l->pid);
}

/* ---- Ranking ---- */

/*
 * What holds the others back stands first. Within one tier the process that the target waits for stands
 * before the target, and the older wait before the younger.
 */
enum tier { TIER_OVER, TIER_MOVES, TIER_WAITS, TIER_RESTS, TIER_CHILD, TIER_UNKNOWN, TIER_LAST };

static int tier(enum verdict_kind k)
{
	switch (k) {
	case VERDICT_EXITED:
	case VERDICT_STOPPED:
		return TIER_OVER;
	case VERDICT_PROGRESSING:
	case VERDICT_SLOW:
		return TIER_MOVES;
	case VERDICT_DEADLOCK:
	case VERDICT_EVENT_LOOP_IDLE:
	case VERDICT_SLEEPING:
	case VERDICT_CPU_BOUND:
		return TIER_RESTS;
	case VERDICT_CHILD_WAIT:
		return TIER_CHILD;
	case VERDICT_UNKNOWN:
		return TIER_UNKNOWN;
	default:
		return TIER_WAITS;
	}
}

/* How many waits lead from a target to the process; -1: none do. */
static int depth_from(const struct scene *s, const struct process *p, uint32_t pid)
{
	int steps = 0;

	while (p->pid != pid && p->waits_for >= 0 && (size_t)steps < s->nprocesses) {
		p = &s->processes[p->waits_for];
		steps++;
	}
	return p->pid == pid ? steps : -1;
}

/* The same from the target that is farthest: one may wait for another. */
static int depth(const struct scene *s, uint32_t pid)
{
	int deepest = -1;

	for (size_t i = 0; i < s->nprocesses; i++) {
		int steps = s->processes[i].root ? depth_from(s, &s->processes[i], pid) : -1;

		deepest = steps > deepest ? steps : deepest;
	}
	return deepest;
}

struct ranked {
	const struct cause *cause;
	int tier, depth, unattended;
	size_t order;
};

static int rank_compare(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->tier != y->tier)
		return x->tier - y->tier;
	if (x->depth != y->depth)
		return y->depth - x->depth;
	if (x->unattended != y->unattended)
		return x->unattended - y->unattended;
	if (x->cause->since_ns != y->cause->since_ns)
		return x->cause->since_ns < y->cause->since_ns ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

/* A process that nobody on the way from the target waits for may sleep, compute or be stopped. */
static int tier_of(const struct scene *s, const struct cause *c)
{
	int t = tier(c->kind);

	if (t == TIER_OVER && scene_other_root(s, scene_root(s, c->pid)))
		/* over for one target, not for the others */
		return c->kind == VERDICT_EXITED ? TIER_LAST : TIER_WAITS;
	if (depth(s, c->pid) >= 0)
		return t;
	return t == TIER_RESTS ? TIER_LAST : t == TIER_OVER ? TIER_WAITS : t;
}

static bool hangs(const struct scene *s, const struct cause *c)
{
	if (tier(c->kind) == TIER_WAITS)
		return true;
	return (c->kind == VERDICT_STOPPED || c->kind == VERDICT_DEADLOCK) &&
	       scene_other_root(s, scene_root(s, c->pid));
}

/* One of many conversations, or targets, may hang while the others go on: that is no stall, and yet what is asked for. */
static void say_but(const struct scene *s, struct diagnosis *d)
{
	struct cause *c = &d->causes[0];
	size_t n = strlen(c->summary);

	if (verdict_is_alive(c->kind) && d->ncauses > 1 && hangs(s, &d->causes[1]))
		snprintf(c->summary + n, sizeof(c->summary) - n, "; but %s", d->causes[1].summary);
}

/* A call that no thread waits for, because its loop is elsewhere: what the loop is in comes first. */
static bool unattended(const struct scene *s, const struct cause *c)
{
	const struct process *p = c->view && !c->tid ? scene_process(s, c->pid) : NULL;

	for (size_t i = 0; p && i < p->nwaits; i++)
		if (p->waits[i].kind != WAIT_MANY && wait_runs_loop(&p->waits[i]))
			return true;
	return false;
}

static void rank(const struct scene *s, struct diagnosis *d)
{
	struct ranked *r = calloc(s->ncauses + 1, sizeof(*r));

	for (size_t i = 0; r && i < s->ncauses; i++)
		r[i] = (struct ranked){ &s->causes[i], tier_of(s, &s->causes[i]),
			                depth(s, s->causes[i].pid), unattended(s, &s->causes[i]),
			                i };
	if (r && s->ncauses)
		qsort(r, s->ncauses, sizeof(*r), rank_compare);
	for (size_t i = 0; r && i < s->ncauses; i++) {
		if (d->ncauses == CAUSES_MAX)
			d->omitted++;
		else
			d->causes[d->ncauses++] = *r[i].cause;
	}
	free(r);
}

/* ---- Limits that were reached ---- */

/* A resource is short from here on, in percent of its limit; a wait for it, in percent of the time. */
#define NEAR_LIMIT 95
#define PRESSURE_MIN 20

static void limit_evidence(const struct scene *s, struct cause *c, enum fact_kind kind,
                           const char *what)
{
	const struct ev_fact *f = evidence_fact(s->look->evidence, c->pid, kind);

	if (f && f->limit && f->value >= f->limit / 100 * NEAR_LIMIT)
		cause_evidence(c, "%s: %" PRIu64 " of at most %" PRIu64, what, (uint64_t)f->value,
		               (uint64_t)f->limit);
}

static void pressure_evidence(const struct scene *s, struct cause *c, enum fact_kind kind,
                              const char *what)
{
	const struct ev_fact *f = evidence_fact(s->look->evidence, c->pid, kind);

	if (f && f->value >= PRESSURE_MIN * 100)
		cause_evidence(
			c, "in %u %% of the last 10 s something in its control group waited for %s",
			(unsigned)(f->value / 100), what);
}

/* What the verdict's process is short of: rarely the cause, always worth a line. */
static void limits_evidence(const struct scene *s, struct cause *c)
{
	if (!s->look->evidence || !c->pid)
		return;
	limit_evidence(s, c, FACT_FDS, "open descriptors");
	limit_evidence(s, c, FACT_PIDS, "processes and threads of its control group");
	limit_evidence(s, c, FACT_MEMORY, "bytes of memory of its control group");
	pressure_evidence(s, c, FACT_PRESSURE_MEMORY, "memory");
	pressure_evidence(s, c, FACT_PRESSURE_IO, "disks");
}

/* ---- All of it ---- */

/* Nobody on the way from the target waits for its process, and others of the tree go on: that is no stall of the run. */
static bool is_aside(const struct scene *s, const struct cause *c)
{
	return tier_of(s, c) == TIER_WAITS && !c->view && depth(s, c->pid) < 0 && stirs(s->look);
}

/* Something was found that can be the verdict. */
static bool explained(const struct scene *s)
{
	for (size_t i = 0; i < s->ncauses; i++)
		if (tier_of(s, &s->causes[i]) != TIER_LAST && !is_aside(s, &s->causes[i]))
			return true;
	return false;
}

void diagnosis_make(const struct look *l, struct diagnosis *d)
{
	struct scene s;

	memset(d, 0, sizeof(*d));
	if (scene_make(&s, l)) {
		tree_link(&s);
		for (size_t i = 0; i < sizeof(families) / sizeof(*families); i++)
			families[i](&s);
		if (!explained(&s) && stirs(l))
			progress_by_stirring(&s);
		else if (!explained(&s) && !progress_by_work(&s))
			unknown_causes(&s);
		rank(&s, d);
		d->omitted += s.failed; /* out of memory: some were not told */
		if (d->ncauses)
			limits_evidence(&s, &d->causes[0]);
		say_but(&s, d);
		scene_free(&s);
	}
	if (!d->ncauses) /* out of memory: a verdict there must be */
		snprintf(d->causes[d->ncauses++].summary, DIAGNOSIS_TEXT_MAX,
		         "out of memory while looking for causes");
}
