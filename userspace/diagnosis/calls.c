/* SPDX-License-Identifier: BSD-2-Clause */
/* Hung calls: what is known of each, who awaits it, and one cause for those that hang alike. */
#include <stdlib.h>
#include <string.h>

#include "claim.h"
#include "diagnosis/call_facts.h"
#include "handshake.h"

/* Tasks of one process that are looked at to find who awaits a call: a loop with more hides nobody's. */
#define TASKS_MAX 4096

/* include/net/tcp.h: TCP_RTO_MAX */
#define RTO_MAX_NS (120 * NS_PER_S)

/* ---- What is known of one open call ---- */

/*
 * When data last moved on the socket, 0 unknown. Ages of a way that never carried data mean
 * nothing.
 */
static uint64_t socket_moved(const struct ev_socket *s)
{
	uint64_t ago = UINT64_MAX;

	if (s->tcp_bytes_sent)
		ago = s->tcp_last_sent_ns;
	if (s->tcp_bytes_recv)
		ago = smaller(ago, s->tcp_last_recv_ns);
	return ago == UINT64_MAX ? 0 : age(s->h.ts_ns, ago);
}

/*
 * When the oldest unacknowledged data was sent first, 0 not retransmitted: the kernel's clock of what was sent
 * last counts retransmissions, each of which came after twice the time of the one before (RFC 6298, 5.5).
 */
static uint64_t first_sent(const struct scene *scene, const struct ev_socket *s,
                           const struct ev_timers *t)
{
	const struct wait *w = scene_waiter(scene, s->sock);
	uint64_t step, before = 0;

	if (!s->tcp_retransmits || !s->tcp_unacked)
		return 0;
	if (w && w->kind == WAIT_SOCKET && !w->ticks && w->since_ns)
		return w->since_ns;
	step = t && t->backoff < 32 ? ((uint64_t)t->rto_us * 1000) >> t->backoff : 0;
	for (unsigned i = 0; i < s->tcp_retransmits; i++) {
		before += smaller(step, RTO_MAX_NS);
		step = smaller(2 * step, RTO_MAX_NS);
	}
	return age(s->h.ts_ns, s->tcp_last_sent_ns + before);
}

/* What the tasks of a process await of their replies, worked out once for all its calls. */
struct awaiting {
	uint32_t pid; /* 0: none was asked about */
	enum reply_part part;
};

/* All of them that read a reply are in the same part. */
static enum reply_part tasks_part(const struct look *l, uint32_t pid)
{
	enum reply_part found = AWAITS_UNTOLD;
	size_t n;
	const struct ev_task *const *tasks = evidence_tasks(l->evidence, pid, &n);

	for (size_t i = 0; i < n && i < TASKS_MAX; i++) {
		enum reply_part part = frames_reply_part(task_text(tasks[i]).frames);

		if (part != AWAITS_UNTOLD && found != AWAITS_UNTOLD && part != found)
			return AWAITS_UNTOLD;
		found = part != AWAITS_UNTOLD ? part : found;
	}
	return found;
}

static enum reply_part reply_part(const struct facts *f, struct awaiting *a)
{
	const struct wait *w = scene_waiter(f->scene, f->view->sock);
	const struct ev_frames *frames;

	if (w && w->kind != WAIT_MANY) {
		frames = evidence_frames(f->look->evidence, w->thread->h.pid, w->thread->h.tid);
		return frames ? frames_reply_part(frames_text(frames)) : AWAITS_UNTOLD;
	}
	if (a->pid != f->call->pid)
		*a = (struct awaiting){ f->call->pid, tasks_part(f->look, f->call->pid) };
	return a->part;
}

/* Of a call that was sent before we came: did its reply begin? */
static void replied_before(struct facts *f, struct awaiting *a)
{
	enum reply_sign sign = handshake_reply(f->look->evidence, f->socket);
	enum reply_part part = reply_part(f, a);

	f->replied = part == AWAITS_BODY || (part == AWAITS_UNTOLD && sign == REPLY_BEGAN);
	f->doubtful = part == AWAITS_UNTOLD && sign == REPLY_MAYBE;
}

static struct facts facts_of(const struct scene *scene, const struct call_view *v,
                             struct awaiting *a)
{
	const struct look *l = scene->look;
	const struct ev_socket *s = l->evidence && v->sock ? evidence_socket(l->evidence, v->sock)
	                                                   : NULL;
	struct facts f = { .scene = scene, .look = l, .view = v, .call = v->call, .socket = s };

	f.tcp = s && (s->h.flags & EVF_TCP);
	f.late = f.call->at_least || f.call->partial == PARTIAL_ATTACHED_LATE;
	f.acknowledged = f.tcp && !s->tcp_unsent && !s->tcp_unacked && s->tcp_bytes_sent;
	f.replied = f.call->first_byte_ns || f.call->bytes_in;
	if (!f.replied && f.late && f.tcp)
		replied_before(&f, a);
	f.sent = f.call->sent_ns || f.replied || (f.late && f.acknowledged);
	f.silent_ns = call_silent_since(f.call);
	/* the socket knows more of the time before we came, but not what is content */
	if (f.late && f.tcp && socket_moved(s) && !call_gets_filler(f.call))
		f.silent_ns = socket_moved(s);
	f.timers = s ? evidence_timers(l->evidence, v->sock) : NULL;
	if (f.late && f.tcp && first_sent(scene, s, f.timers))
		f.silent_ns = first_sent(scene, s, f.timers);
	return f;
}

/* ---- A loop that waits in it ---- */

/* Its thread should run an event loop, and waits in this one call instead. */
static void loop_evidence(const struct wait *w, struct cause *c)
{
	if (!w || w->kind == WAIT_MANY || !wait_runs_loop(w))
		return;
	cause_evidence(c,
	               "thread %u runs an event loop: while it waits in this call, all other "
	               "tasks of the loop stand still",
	               w->thread->h.tid);
	cause_step(c, "make this call in a thread (asyncio.to_thread), or with an asynchronous "
	              "client");
}

/* ---- Who awaits it ---- */

/* Does this task's request contradict what is known of the call? */
static bool asks_otherwise(const struct facts *f, const struct ev_task *t)
{
	const struct ev_request *r = evidence_request(f->look->evidence, t->h.pid, t->task);
	const char *request = *f->call->request ? f->call->request : f->call->op;
	const char *space = strchr(request, ' ');
	struct bytes method, url;

	if (!r || !*request)
		return false;
	method = request_text(r).method;
	url = request_text(r).url;
	if (method.n && strncmp(request, method.p, method.n) != 0)
		return true;
	return space && url.n && !memmem(url.p, url.n, space + 1, strlen(space + 1));
}

/*
 * Which functions await the call: of the task that made it, else of the tasks that read a reply here, if
 * they all are in the same place.
 */
static void where_of_task(struct facts *f)
{
	const struct wait *w = f->view->sock ? scene_waiter(f->scene, f->view->sock) : NULL;
	char other[DIAGNOSIS_TEXT_MAX];
	const struct ev_task *const *tasks;
	size_t n = 0;

	if (!f->look->evidence || (w && w->kind != WAIT_MANY))
		return;
	tasks = evidence_tasks(f->look->evidence, f->call->pid, &n);
	for (size_t i = 0; i < n && i < TASKS_MAX; i++) {
		struct bytes frames = task_text(tasks[i]).frames;

		if (f->call->task && f->call->task == tasks[i]->task) {
			frames_line(f->where, sizeof(f->where), frames, 4);
			return;
		}
		if (!frames_read_reply(frames) || asks_otherwise(f, tasks[i]))
			continue;
		frames_line(other, sizeof(other), frames, 4);
		if (*f->where && strcmp(f->where, other) != 0) {
			*f->where = '\0'; /* whose it is cannot be told */
			return;
		}
		memcpy(f->where, other, sizeof(other));
	}
}

/* ---- Closed, and nobody looks ---- */

/*
 * A request was the last that moved, then the peer closed, and nobody waits on the socket. A connection that
 * a pool keeps after its last reply received last.
 */
static bool is_forgotten(const struct scene *s, const struct ev_socket *k)
{
	uint64_t sent;

	if (!(k->h.flags & EVF_TCP) || k->tcp_state != STATE_CLOSE_WAIT || !k->tcp_bytes_sent ||
	    k->role == ROLE_SERVER)
		return false;
	/* the kernel counts the peer's FIN as a byte received (tcp_rcv_nxt_update) */
	if (k->tcp_bytes_recv > 1 && k->tcp_last_recv_ns <= k->tcp_last_sent_ns)
		return false;
	sent = k->tcp_last_sent_ns + age(s->look->now_ns, k->h.ts_ns);
	return sent >= s->look->silent_min_ns && !scene_waiter(s, k->sock);
}

/* Everybody in it waits for somebody else in it, without a time limit. */
static const struct wait *waits_inside(const struct scene *s, uint32_t pid)
{
	const struct process *p = scene_process(s, pid);
	const struct wait *found = NULL;

	for (size_t i = 0; p && i < p->nwaits; i++) {
		const struct wait *w = &p->waits[i];

		if (!wait_matters(w))
			continue;
		if (!wait_locked(s, w))
			return NULL;
		found = found && found->part == PART_MAIN ? found : w;
	}
	return found;
}

static void closed_causes(struct scene *s)
{
	const struct look *l = s->look;
	size_t n = 0;
	const struct ev_socket *const *list = l->evidence ? evidence_sockets(l->evidence, &n)
	                                                  : NULL;

	for (size_t i = 0; i < n; i++) {
		const struct ev_socket *k = list[i];
		const struct wait *w = is_forgotten(s, k) ? waits_inside(s, k->h.pid) : NULL;
		const struct endpoint *e = w ? scene_endpoint(s, k->sock) : NULL;
		struct cause *c;
		char name[64];

		if (!w)
			continue;
		c = cause_new(s, VERDICT_PEER_CLOSED_UNREAD, CONFIDENCE_LIKELY, w);
		c->since_ns = age(l->now_ns, k->tcp_last_sent_ns + age(l->now_ns, k->h.ts_ns));
		cause_say(
			c,
			"%s closed a connection after the request that was sent on it %s ago, and "
			"the process has not read that: no thread waits on it, %s waits for a lock",
			e && *e->name ? e->name : "the peer",
			duration_of(age(l->now_ns, c->since_ns)).text, wait_name(w, name));
		cause_evidence(c, "TCP CLOSE_WAIT, descriptor %d of process %u", k->fd, k->h.pid);
		cause_evidence_wait(s, c, w);
		cause_wake_by_wait(s, c, w);
		cause_step(c, "sudo whystuck --all %u   # who should read that connection?",
		           k->h.pid);
		cause_step(c, "kill -INT %u   # stop the run if its results so far are kept",
		           l->pid);
	}
}

/* ---- All of it ---- */

/* Does anybody read a reply on the call's socket, as far as is known? */
static bool is_awaited(const struct facts *f)
{
	const struct wait *w = scene_waiter(f->scene, f->view->sock);
	const struct ev_task *const *tasks;
	size_t n;

	if (!w || w->kind != WAIT_MANY)
		return w != NULL;
	/* a loop watches all its connections, those that rest in a pool too: its tasks know */
	tasks = evidence_tasks(f->look->evidence, f->call->pid, &n);
	for (size_t i = 0; i < n; i++)
		if (frames_use_network(task_text(tasks[i]).frames))
			return true;
	return n == 0;
}

/* A reply began of which nobody knows where it ends, and nobody waits for more of it. */
static bool is_over(const struct facts *f)
{
	return f->late && (f->replied || f->doubtful) && f->call->proto &&
	       strcmp(f->call->proto, "generic") == 0 && f->look->evidence &&
	       evidence_time(f->look->evidence) && !is_awaited(f);
}

static void cause_of(struct scene *s, struct facts *f)
{
	const struct wait *w = f->view->sock ? scene_waiter(s, f->view->sock) : NULL;
	const struct rule *r = f->rule;
	struct cause *c;

	where_of_task(f);
	c = cause_new(s, r->kind, r->sure(f), w);
	c->view = f->view;
	if (!c->pid)
		c->pid = f->call->pid;
	if (*f->where)
		memcpy(c->where, f->where, sizeof(c->where));
	if (c->confidence > CONFIDENCE_LIKELY && f->view->endpoint && f->view->endpoint->unsure)
		c->confidence = CONFIDENCE_LIKELY;
	c->since_ns = f->silent_ns;
	c->at_least = f->late && (!f->tcp || call_gets_filler(f->call));
	call_wake(f, c);
	r->tell(f, c);
	loop_evidence(w, c);
	call_evidence(f, c);
	call_steps(f->look, c);
}

static bool told_together(const struct facts *a, const struct facts *b)
{
	return a->rule == b->rule && a->call->pid == b->call->pid &&
	       a->call->class == b->call->class && strcmp(a->call->op, b->call->op) == 0 &&
	       strcmp(endpoint_text(a->view), endpoint_text(b->view)) == 0;
}

static int older(const void *a, const void *b)
{
	const struct facts *x = a, *y = b;

	if (x->silent_ns != y->silent_ns)
		return x->silent_ns < y->silent_ns ? -1 : 1;
	return x->call->id < y->call->id ? -1 : x->call->id > y->call->id;
}

/* Calls that hang alike are one cause: the oldest's. */
static void causes_of(struct scene *s, struct facts *f, size_t n)
{
	qsort(f, n, sizeof(*f), older);
	for (size_t i = 0; i < n; i++) {
		size_t first = 0;

		while (first < i && !(f[first].alike && told_together(&f[first], &f[i])))
			first++;
		f[first].alike++;
	}
	for (size_t i = 0; i < n; i++)
		if (f[i].alike)
			cause_of(s, &f[i]);
}

uint64_t look_quiet_ns(const struct look *l, const struct call *c)
{
	bool replies = c->class == CALL_LLM && !l->stall && !c->first_byte_ns && !c->bytes_in;

	return replies && l->silent_min_ns == LOOK_QUIET_NS ? LOOK_REPLY_NS : l->silent_min_ns;
}

void calls_causes(struct scene *s)
{
	const struct look *l = s->look;
	struct facts *hung = calloc(l->nopen + 1, sizeof(*hung));
	struct awaiting awaiting = { 0 };
	size_t n = 0;

	if (!hung) {
		s->failed = true;
		return;
	}
	for (size_t i = 0; i < l->nopen; i++) {
		struct facts f = facts_of(s, &l->open[i], &awaiting);

		if ((!call_counts(f.call) && !is_unnamed_wait(&l->open[i])) || f.call->blocks ||
		    age(l->now_ns, f.silent_ns) < look_quiet_ns(l, f.call) || is_over(&f))
			continue;
		f.rule = call_rule(&f);
		hung[n++] = f;
	}
	causes_of(s, hung, n);
	free(hung);
	if (!n)
		closed_causes(s);
}
