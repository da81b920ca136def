/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Causes of a hung call: a table of rules over what its socket and its bytes say, then who waits
 * on it and until when.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "claim.h"
#include "diagnosis/scene.h"
#include "handshake.h"

/* include/net/tcp_states.h */
enum { STATE_ESTABLISHED = 1, STATE_CLOSE_WAIT = 8 };

/* Tasks of one process that are looked at to find who awaits a call: a loop with more hides nobody's. */
#define TASKS_MAX 4096

/* include/net/tcp.h: TCP_RTO_MAX */
#define RTO_MAX_NS (120 * NS_PER_S)

/* tcp_retries1: from so many unanswered retransmissions on the kernel itself doubts the path. */
#define RETRANSMITS_DOUBT 3

/* ---- What is known of one open call ---- */

struct rule;

struct facts {
	const struct scene *scene;
	const struct look *look;
	const struct call_view *view;
	const struct call *call;
	const struct ev_socket *socket; /* NULL: not in the snapshot */
	const struct ev_timers *timers; /* NULL: not read */
	const struct rule *rule;        /* the first that holds */
	char where[DIAGNOSIS_TEXT_MAX]; /* the task that awaits it, "" none or not known */
	size_t alike;                   /* calls told in its cause, itself included */
	bool tcp;                       /* its tcp_* fields were read */
	bool late;                      /* it may have begun before we came */
	bool sent;     /* the request is complete, or the kernel has passed on all there was */
	bool replied;  /* reply bytes came */
	bool doubtful; /* whether they did is not known: it may have been the end of a handshake */
	bool acknowledged;  /* the peer's kernel has everything */
	uint64_t silent_ns; /* since when, on any account */
	bool said;          /* that its wait ends is what the client said itself */
};

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

static const char *class_text(const struct call_view *v)
{
	if (v->call->class == CALL_LLM)
		return "LLM";
	return v->endpoint && *v->endpoint->label ? v->endpoint->label : "storage";
}

/* ---- The rules, most telling first ---- */

/* An open request of the target to somebody whose kind nothing told. */
static bool is_unnamed_wait(const struct call_view *v)
{
	return v->call->class == CALL_OTHER && !v->call->inbound && !v->call->first_byte_ns;
}

static bool is_dead(const struct facts *f)
{
	return f->tcp && f->socket->tcp_unacked && f->socket->tcp_retransmits;
}

static bool is_closed_unread(const struct facts *f)
{
	return f->tcp && f->socket->tcp_state == STATE_CLOSE_WAIT;
}

/* The reply lies in the kernel: whoever fails to answer, it is not the peer. */
static bool is_unread(const struct facts *f)
{
	return f->tcp && f->socket->tcp_unread;
}

static bool is_llm_unanswered(const struct facts *f)
{
	return f->call->class == CALL_LLM && f->sent && !f->replied;
}

static bool is_llm_stalled(const struct facts *f)
{
	return f->call->class == CALL_LLM && f->sent && f->replied;
}

static bool is_storage(const struct facts *f)
{
	return f->call->class == CALL_STORAGE && f->sent;
}

static bool is_unnamed(const struct facts *f)
{
	return is_unnamed_wait(f->view);
}

static bool is_unsent(const struct facts *f)
{
	return !f->sent;
}

/* "at least 10.0 s": for how long it is silent, and whether that is only a bound. */
static struct duration silent_for(const struct facts *f, const struct cause *c, uint64_t since_ns)
{
	struct duration d = duration_of(age(f->look->now_ns, since_ns)), bound;

	if (!c->at_least)
		return d;
	snprintf(bound.text, sizeof(bound.text), "at least %.*s",
	         (int)(sizeof(bound.text) - sizeof("at least ")), d.text);
	return bound;
}

static void tell_dead(const struct facts *f, struct cause *c)
{
	cause_say(c,
	          "the connection of %s to %s (%s) is dead: data unacknowledged after %u "
	          "retransmissions, silent for %s",
	          op_text(f->call), endpoint_text(f->view), class_text(f->view),
	          f->socket->tcp_retransmits, silent_for(f, c, f->silent_ns).text);
}

static void tell_closed(const struct facts *f, struct cause *c)
{
	cause_say(c, "%s closed the connection of %s (%s), and the process has not read that",
	          endpoint_text(f->view), op_text(f->call), class_text(f->view));
}

static void tell_unread(const struct facts *f, struct cause *c)
{
	cause_say(
		c,
		"%u bytes from %s for %s (%s) wait unread in the socket: the process does not read "
		"them",
		f->socket->tcp_unread, endpoint_text(f->view), op_text(f->call),
		class_text(f->view));
}

struct ending {
	char text[2 * DURATION_TEXT_MAX + 64];
};

static struct duration seconds_of(double s)
{
	return duration_of((uint64_t)(s * NS_PER_S));
}

/* The end of a sentence on a wait: what can end it, as far as that is certain. */
static struct ending ending(const struct facts *f, const struct cause *c)
{
	struct ending e = { "" };

	if (c->wake.answer == WAKE_NEVER)
		snprintf(e.text, sizeof(e.text),
		         "; no timeout and no keep-alive: it will wait for ever");
	else if (c->wake.answer == WAKE_AT && f->said)
		snprintf(e.text, sizeof(e.text),
		         "; the client set a timeout of %s: it gives up in %s",
		         seconds_of(f->call->limit_s).text,
		         duration_of(age(c->wake.at_ns, f->look->now_ns)).text);
	else if (c->wake.answer == WAKE_AT)
		snprintf(e.text, sizeof(e.text), "; its time limit ends the wait in %s",
		         duration_of(age(c->wake.at_ns, f->look->now_ns)).text);
	else if (f->call->limit == LIMIT_NONE)
		snprintf(e.text, sizeof(e.text), "; the client set no read timeout");
	return e;
}

struct reply_text {
	char text[DURATION_TEXT_MAX + 120];
};

/* What came since the request, as far as it is known. */
static struct reply_text no_reply(const struct facts *f)
{
	struct reply_text r = { ", no byte since" };
	uint64_t sent = f->tcp ? f->socket->tcp_last_sent_ns : 0,
		 received = f->tcp ? f->socket->tcp_last_recv_ns : 0;
	char after[DURATION_TEXT_MAX + 8];

	snprintf(after, sizeof(after), "%s later", duration_of(age(sent, received)).text);
	if (f->doubtful)
		snprintf(r.text, sizeof(r.text),
		         ", and what came last, %s, is the end of the TLS handshake, or a "
		         "reply as quick and no more of it",
		         sent == received ? "at once" : after);
	else if (f->late && f->tcp && f->socket->tcp_bytes_recv && received < sent)
		snprintf(r.text, sizeof(r.text), ", no reply since");
	return r;
}

static void tell_unanswered(const struct facts *f, struct cause *c)
{
	uint64_t sent = f->late || !f->call->sent_ns ? f->silent_ns : f->call->sent_ns;

	if (f->alike > 1)
		cause_say(c, "%zu calls of %s to %s (%s), the oldest sent %s ago%s%s%s", f->alike,
		          op_text(f->call), endpoint_text(f->view), class_text(f->view),
		          silent_for(f, c, sent).text, f->acknowledged ? ", acknowledged" : "",
		          no_reply(f).text, ending(f, c).text);
	else
		cause_say(c, "%s to %s (%s) sent %s ago%s%s%s", op_text(f->call),
		          endpoint_text(f->view), class_text(f->view), silent_for(f, c, sent).text,
		          f->acknowledged ? ", acknowledged" : "", no_reply(f).text,
		          ending(f, c).text);
}

static void tell_stalled(const struct facts *f, struct cause *c)
{
	if (f->alike > 1)
		cause_say(c,
		          "%zu replies of %s to %s (%s) began, then nothing of their content came, "
		          "of the oldest for %s%s",
		          f->alike, endpoint_text(f->view), op_text(f->call), class_text(f->view),
		          silent_for(f, c, f->silent_ns).text, ending(f, c).text);
	else
		cause_say(c,
		          "the reply of %s to %s (%s) began, then nothing of its content came for "
		          "%s%s",
		          endpoint_text(f->view), op_text(f->call), class_text(f->view),
		          silent_for(f, c, f->silent_ns).text, ending(f, c).text);
}

static void tell_storage(const struct facts *f, struct cause *c)
{
	if (f->replied)
		tell_stalled(f, c);
	else
		tell_unanswered(f, c);
}

static void tell_unnamed(const struct facts *f, struct cause *c)
{
	const char *op = op_text(f->call), *place = endpoint_text(f->view);
	struct duration silent = silent_for(f, c, f->silent_ns);

	if (f->alike > 1)
		cause_say(c,
		          "%zu calls of %s to %s are unanswered, the oldest silent for %s; whether "
		          "that is an LLM or a store is not known",
		          f->alike, op, place, silent.text);
	else
		cause_say(
			c,
			"%s to %s is unanswered, silent for %s; whether that is an LLM or a store "
			"is not known",
			op, place, silent.text);
}

static void tell_unsent(const struct facts *f, struct cause *c)
{
	cause_say(c,
	          "%s to %s (%s) is open, silent for %s; whether its request was fully sent is not "
	          "known",
	          op_text(f->call), endpoint_text(f->view), class_text(f->view),
	          silent_for(f, c, f->silent_ns).text);
}

/* Socket evidence agrees: the connection stands and the peer has it all. */
static enum confidence sure_if_established(const struct facts *f)
{
	bool agrees = f->acknowledged && f->socket->tcp_state == STATE_ESTABLISHED && !f->doubtful;

	return agrees ? CONFIDENCE_STRONG : CONFIDENCE_LIKELY;
}

static enum confidence sure_by_retransmits(const struct facts *f)
{
	return f->socket->tcp_retransmits >= RETRANSMITS_DOUBT ? CONFIDENCE_STRONG
	                                                       : CONFIDENCE_LIKELY;
}

static enum confidence sure_by_state(const struct facts *f)
{
	(void)f; /* the kernel says so itself */
	return CONFIDENCE_STRONG;
}

static enum confidence not_sure(const struct facts *f)
{
	(void)f;
	return CONFIDENCE_NONE;
}

/* The first that holds is the call's cause. */
static const struct rule {
	enum verdict_kind kind;
	bool (*holds)(const struct facts *f);
	enum confidence (*sure)(const struct facts *f);
	void (*tell)(const struct facts *f, struct cause *c);
} rules[] = {
	{ VERDICT_CONNECTION_DEAD, is_dead, sure_by_retransmits, tell_dead },
	{ VERDICT_PEER_CLOSED_UNREAD, is_closed_unread, sure_by_state, tell_closed },
	{ VERDICT_UNKNOWN, is_unread, not_sure, tell_unread },
	{ VERDICT_LLM_NO_RESPONSE, is_llm_unanswered, sure_if_established, tell_unanswered },
	{ VERDICT_LLM_STREAM_STALLED, is_llm_stalled, sure_if_established, tell_stalled },
	{ VERDICT_STORAGE_NO_RESPONSE, is_storage, sure_if_established, tell_storage },
	{ VERDICT_UNKNOWN, is_unnamed, not_sure, tell_unnamed },
	{ VERDICT_UNKNOWN, is_unsent, not_sure, tell_unsent }, /* of the rest this always holds */
};

/* ---- The evidence behind it, in sentences ---- */

static void ages_evidence(const struct facts *f, struct cause *c)
{
	const struct ev_socket *s = f->socket;
	uint64_t more = age(f->look->now_ns, s->h.ts_ns);

	if (s->tcp_bytes_sent)
		cause_evidence(c, "last data sent %s ago",
		               duration_of(s->tcp_last_sent_ns + more).text);
	else
		cause_evidence(c, "no data was ever sent on this connection");
	if (s->tcp_bytes_recv)
		cause_evidence(c, "last data received %s ago",
		               duration_of(s->tcp_last_recv_ns + more).text);
	else
		cause_evidence(c, "no data was ever received on this connection");
	if (f->doubtful)
		cause_evidence(
			c,
			"%llu bytes came in all, a handshake's worth: a TLS 1.3 server sends its "
			"session tickets when the first request is on its way",
			s->tcp_bytes_recv);
}

static void timers_evidence(const struct facts *f, struct cause *c)
{
	const struct ev_timers *t = f->timers;
	char user[64] = "";

	if (t && t->user_timeout_ms)
		snprintf(user, sizeof(user), "; TCP_USER_TIMEOUT is %s",
		         duration_of(t->user_timeout_ms * NS_PER_MS).text);
	if (f->socket->keepalive && t && t->keep_idle_s)
		cause_evidence(c,
		               "TCP keepalive is on: the first probe after %s, %u in all, one each "
		               "%s%s",
		               duration_of(t->keep_idle_s * NS_PER_S).text, t->keep_count,
		               duration_of(t->keep_interval_s * NS_PER_S).text, user);
	else
		cause_evidence(c, "TCP keepalive is %s%s", f->socket->keepalive ? "on" : "off",
		               user);
	if (t && t->probes)
		cause_evidence(c, "%u probes of the kernel are unanswered", t->probes);
}

static void socket_evidence(const struct facts *f, struct cause *c)
{
	const struct ev_socket *s = f->socket;
	const char *state;

	if (!s) {
		cause_evidence(c, "the call's socket is not in the snapshot");
		return;
	}
	if (!f->tcp)
		return;
	state = tcp_state_name(s->tcp_state);
	cause_evidence(
		c,
		"TCP %s, %u unread, %u unsent, %u segments unacknowledged, %u retransmissions "
		"unanswered",
		state ? state : "state unknown", s->tcp_unread, s->tcp_unsent, s->tcp_unacked,
		s->tcp_retransmits);
	ages_evidence(f, c);
	timers_evidence(f, c);
}

/* What the fields of request and reply say. */
static void said_evidence(const struct call *call, struct cause *c)
{
	if (call->limit == LIMIT_SILENCE)
		cause_evidence(c,
		               "as its request says, the client waits %s for a byte of the reply",
		               seconds_of(call->limit_s).text);
	if (call->limit == LIMIT_CALL)
		cause_evidence(c, "as its request says, the client waits %s for the whole call",
		               seconds_of(call->limit_s).text);
	if (call->limit == LIMIT_HEAD)
		cause_evidence(c, "as its request says, the client waits %s for the reply to begin",
		               seconds_of(call->limit_s).text);
	if (call->limit == LIMIT_NONE)
		cause_evidence(c, "the client set no read timeout: its SDK says one with every "
		                  "request that has one, and this one has none");
	if (call->llm && *call->llm->said.request_id)
		cause_evidence(c, "the provider's support knows this call as request id %s",
		               call->llm->said.request_id);
}

static void call_evidence(const struct facts *f, struct cause *c)
{
	const struct call *call = f->call;

	if (f->late && c->at_least)
		cause_evidence(c, "the call began before whystuck attached: its times are lower "
		                  "bounds");
	else if (f->late)
		cause_evidence(c, "the call began before whystuck attached: its times are those "
		                  "the kernel keeps of the connection");
	if (call->sent_ns && !f->late)
		cause_evidence(c,
		               "request of %" PRIu64 " bytes complete, %" PRIu64
		               " bytes of reply seen",
		               call->bytes_out, call->bytes_in);
	if (f->view->endpoint && f->view->endpoint->how)
		cause_evidence(c, "who that is: %s", f->view->endpoint->how);
	if (call->last_byte_ns && call->last_byte_ns > call_silent_since(call))
		cause_evidence(c, "bytes that are no content came %s ago",
		               duration_of(age(f->look->now_ns, call->last_byte_ns)).text);
	said_evidence(call, c);
	if (call->partial != PARTIAL_NONE && call->partial != PARTIAL_ATTACHED_LATE)
		cause_evidence(c, "not all of the call was seen: %s", partial_name(call->partial));
}

/* What a silent store may be doing, by system. */
static const struct {
	const char *system, *hint;
} storage_hints[] = {
	{ "postgres", "a server that is alive and silent most likely waits for a lock that another "
	              "session holds: pg_stat_activity shows wait_event_type Lock, pg_locks who "
	              "holds it" },
	{ "mysql",
	  "a server that is alive and silent most likely waits for a lock: SHOW PROCESSLIST "
	  "and performance_schema.data_lock_waits show whose" },
	{ "redis", "Redis runs one command at a time: a slow command or script of any client holds "
	           "up all others, CLIENT PAUSE does too" },
	{ "neo4j",
	  "a transaction that waits for a lock of another one is silent: SHOW TRANSACTIONS "
	  "shows both" },
	{ "mongodb", "db.currentOp({waitingForLock: true}) shows operations that wait for a lock" },
};

static void storage_evidence(const struct facts *f, struct cause *c)
{
	if (f->rule->kind != VERDICT_STORAGE_NO_RESPONSE || f->replied || !f->view->endpoint)
		return;
	for (size_t i = 0; i < sizeof(storage_hints) / sizeof(*storage_hints); i++)
		if (strcmp(f->view->endpoint->system, storage_hints[i].system) == 0)
			cause_evidence(c, "%s", storage_hints[i].hint);
}

/* ---- Will it wake? ---- */

/* What the threads that wait on the call's socket have armed. */
struct waiters {
	unsigned n, unknown;
	const struct ev_thread *first; /* whose timer ends first */
	uint64_t at_ns;
	bool many; /* that thread waits for other things too */
	bool bare; /* one waits on it alone, and armed nothing */
};

static struct waiters waiters_of(const struct scene *s, uint64_t sock)
{
	struct waiters found = { 0 };

	for (size_t i = 0; sock && i < s->nwaits; i++) {
		const struct wait *w = &s->waits[i];

		if (!wait_on(s, w, sock))
			continue;
		found.n++;
		if (!w->until_ns) {
			found.unknown += !wait_untimed(w);
			found.bare |= wait_untimed(w) && w->thread->fds_total <= 1 &&
			              thread_nfds(w->thread) <= 1;
			continue;
		}
		if (!found.first || w->until_ns < found.at_ns) {
			found.first = w->thread;
			found.at_ns = w->until_ns;
			found.many = w->thread->fds_total > 1 || thread_nfds(w->thread) > 1;
		}
	}
	return found;
}

/* What the kernel does when the path is dead, which no living silent peer brings about. */
static void wake_by_keepalive(const struct facts *f, struct cause *c)
{
	const struct ev_timers *t = f->timers;
	uint64_t next, last;

	if (!t || t->timer != TIMER_KEEPALIVE || !t->keep_count) {
		cause_wake(c, WAKE_ON_EVENT, 0,
		           "no time limit is set; TCP keepalive ends the wait should the peer be "
		           "gone, not while it is merely silent");
		return;
	}
	next = age(t->h.ts_ns + t->timer_ns, f->look->now_ns);
	last = t->keep_count > t->probes ? t->keep_count - t->probes : 0;
	cause_wake(c, WAKE_ON_EVENT, 0,
	           "no time limit is set; TCP keepalive asks in %s whether the peer lives: should "
	           "it be gone, the wait ends %s later, should it live, only its answer ends it",
	           duration_of(next).text,
	           t->user_timeout_ms ? duration_of(t->user_timeout_ms * NS_PER_MS).text
	                              : duration_of(last * t->keep_interval_s * NS_PER_S).text);
}

static void wake_by_retransmits(const struct facts *f, struct cause *c)
{
	const struct ev_timers *t = f->timers;
	const char *next = "";
	struct duration left = { "" }, limit;

	if (t && t->timer == TIMER_RETRANSMIT) {
		left = duration_of(age(t->h.ts_ns + t->timer_ns, f->look->now_ns));
		next = ", next in ";
	}
	if (t && t->user_timeout_ms) {
		limit = duration_of(t->user_timeout_ms * NS_PER_MS);
		cause_wake(c, WAKE_ON_EVENT, 0,
		           "the kernel sends again%s%s and gives up %s after the first try "
		           "(TCP_USER_TIMEOUT); until then the path may work again",
		           next, left.text, limit.text);
		return;
	}
	cause_wake(c, WAKE_ON_EVENT, 0,
	           "the kernel sends again%s%s and gives up in the end (tcp_retries2, about 15 "
	           "minutes by default); until then the path may work again",
	           next, left.text);
}

static void wake_from_socket(const struct facts *f, struct cause *c)
{
	const struct ev_socket *s = f->socket;

	if (!s)
		cause_wake(c, WAKE_UNKNOWN, 0,
		           "its socket was not seen, so neither were its timers");
	else if (s->family != AF_UNIX && !f->tcp)
		cause_wake(c, WAKE_UNKNOWN, 0, "the state of its TCP connection could not be read");
	else if (f->tcp && f->timers && f->timers->timer == TIMER_PROBE0)
		cause_wake(
			c, WAKE_ON_EVENT, 0,
			"the peer takes no more bytes (its window is closed); the kernel asks it "
			"again and again, for ever while it answers");
	else if (f->tcp && (s->tcp_unacked || s->tcp_unsent))
		wake_by_retransmits(f, c);
	else if (s->keepalive)
		wake_by_keepalive(f, c);
	else
		cause_wake(c, WAKE_NEVER, 0,
		           "the thread that waits on it set no time limit, %s: only the peer can "
		           "end this wait",
		           f->tcp ? "nothing is left to retransmit and TCP keepalive is off"
		                  : "and a unix socket has no timer");
}

/* When the client gives up by what its request said, 0 not said or no longer in effect. */
static uint64_t said_until(const struct call *call)
{
	uint64_t limit_ns = call->limit_s > 0 ? (uint64_t)(call->limit_s * NS_PER_S) : 0, from = 0;

	if (limit_ns &&
	    (call->limit == LIMIT_CALL || (call->limit == LIMIT_HEAD && !call->first_byte_ns)))
		from = call->request_ns;
	if (limit_ns && call->limit == LIMIT_SILENCE)
		from = call->last_byte_ns > call->sent_ns ? call->last_byte_ns : call->sent_ns;
	return from ? from + limit_ns : 0;
}

static bool wake_by_said(struct facts *f, struct cause *c)
{
	uint64_t until_ns = said_until(f->call);
	struct duration limit;

	if (!until_ns)
		return false;
	limit = seconds_of(f->call->limit_s);
	if (until_ns < f->look->now_ns) {
		cause_wake(c, WAKE_UNKNOWN, 0,
		           "the client said in its request that it waits %s, and that is over",
		           limit.text);
	} else if (f->call->last_byte_ns > call_silent_since(f->call)) {
		cause_wake(c, WAKE_ON_EVENT, 0,
		           "bytes that are no content begin the client's timeout of %s anew again "
		           "and again: it ends the wait when they stop too, or content comes",
		           limit.text);
	} else {
		f->said = true;
		cause_wake(c, WAKE_AT, until_ns,
		           "the client said in its request that it waits %s: it gives up in %s",
		           limit.text, duration_of(age(until_ns, f->look->now_ns)).text);
	}
	return true;
}

static void wake_of(struct facts *f, struct cause *c)
{
	struct waiters t = waiters_of(f->scene, f->view->sock);
	struct duration left = duration_of(age(t.at_ns, f->look->now_ns));

	/* what is armed on this wait alone, or is not, is more than words, which may be passed on */
	if ((!t.first || t.many) && !t.bare && wake_by_said(f, c))
		return;
	if (!f->look->evidence || !evidence_time(f->look->evidence)) {
		cause_wake(c, WAKE_UNKNOWN, 0, "there is no snapshot of the threads");
	} else if (!t.n) {
		cause_wake(c, WAKE_UNKNOWN, 0, "no thread was seen waiting on this call's socket");
	} else if (t.first && t.many) {
		cause_wake(c, WAKE_UNKNOWN, 0,
		           "thread %u, which also waits for other things, wakes in %s; whether "
		           "that ends this call is not known",
		           t.first->h.tid, left.text);
	} else if (t.first && t.at_ns < f->look->now_ns) {
		cause_wake(c, WAKE_UNKNOWN, 0, "the timer of thread %u should have run out already",
		           t.first->h.tid);
	} else if (t.first && f->call->last_byte_ns > call_silent_since(f->call)) {
		cause_wake(c, WAKE_ON_EVENT, 0,
		           "bytes that are no content arm the time limit of thread %u anew again "
		           "and again: it ends the wait when they stop too, or content comes",
		           t.first->h.tid);
	} else if (t.first) {
		cause_wake(c, WAKE_AT, t.at_ns,
		           "the wait of thread %u on this socket times out in %s", t.first->h.tid,
		           left.text);
	} else if (t.unknown) {
		cause_wake(c, WAKE_UNKNOWN, 0,
		           "a thread waits on this socket; its time limit could not be read");
	} else {
		wake_from_socket(f, c);
	}
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

/* ---- What to do ---- */

/* What comes after the options that name the server. Lines are made to be pasted into a shell. */
static const struct {
	const char *system, *client, *socket_option, *rest;
} storage_steps[] = {
	{ "redis", "redis-cli", "-s",
	  "CLIENT LIST   # what its clients do; SLOWLOG GET shows what took long" },
	{ "postgres", "psql", NULL,
	  "-c \"SELECT pid, state, wait_event_type, wait_event, query_start FROM "
	  "pg_stat_activity\"   # what its sessions do, and wait for" },
};

/* " -h HOST -p PORT" or " -s PATH"; empty when the address is not fit for a command line. */
static void server_options(const char *addr, const char *socket_option, char out[static 200])
{
	const char *port = strrchr(addr, ':');
	struct bytes host = { addr, port ? (size_t)(port - addr) : 0 };

	*out = '\0';
	if (!is_shell_safe(addr))
		return;
	if (*addr == '/' && socket_option)
		snprintf(out, 200, " %s %s", socket_option, addr);
	if (*addr == '/' || !port)
		return;
	if (host.n > 2 && *host.p == '[')
		host = (struct bytes){ host.p + 1, host.n - 2 };
	snprintf(out, 200, " -h %.*s -p %s", (int)host.n, host.p, port + 1);
}

static void steps_for_storage(struct cause *c, const struct call_view *v)
{
	for (size_t i = 0; i < sizeof(storage_steps) / sizeof(*storage_steps); i++) {
		char options[200];

		if (!v->endpoint || strcmp(v->endpoint->system, storage_steps[i].system) != 0)
			continue;
		server_options(v->endpoint->addr, storage_steps[i].socket_option, options);
		cause_step(c, "%s%s %s", storage_steps[i].client, options, storage_steps[i].rest);
	}
}

static void step_probe(struct cause *c, uint32_t pid)
{
	cause_step(c,
	           "sudo whystuck --probe %u   # is the path dead, or the server silent? (not "
	           "read-only)",
	           pid);
}

static void steps_for_llm(const struct look *l, struct cause *c)
{
	if (c->wake.answer == WAKE_AT)
		cause_step(c, "wait for its time limit, or set a shorter one on the LLM client");
	else if (call_gets_filler(c->view->call))
		cause_step(c, "limit the time between pieces of content, or of the whole call: "
		              "every ping begins a read timeout anew");
	else
		cause_step(c, "set a read timeout on the LLM client, so that a silent reply "
		              "becomes an error it can retry");
	if (!call_gets_filler(c->view->call))
		step_probe(c, l->pid);
	if (c->view->sock)
		cause_step(c,
		           "sudo whystuck --unstick %u   # end this one call, so that its client "
		           "goes on with an error (asks first)",
		           l->pid);
	cause_step(c, "kill -INT %u   # stop the run if its results so far are kept", l->pid);
}

static void steps_of(const struct look *l, struct cause *c)
{
	const char *peer = c->view->endpoint ? c->view->endpoint->addr : "";
	uint32_t pid = c->view->call->pid ? c->view->call->pid : l->pid;

	switch (c->kind) {
	case VERDICT_STORAGE_NO_RESPONSE:
		steps_for_storage(c, c->view);
		step_probe(c, l->pid);
		cause_step(
			c,
			"set a time limit on the storage client's reads, so that a silent server "
			"becomes an error");
		break;
	case VERDICT_LLM_NO_RESPONSE:
	case VERDICT_LLM_STREAM_STALLED:
		steps_for_llm(l, c);
		break;
	case VERDICT_CONNECTION_DEAD:
		cause_step(c, "check the path to %s: VPN, NAT, proxy, whether the host is up",
		           endpoint_text(c->view));
		cause_step(c, "set a read timeout or TCP keepalive on the client, so that a dead "
		              "connection becomes an error");
		break;
	case VERDICT_PEER_CLOSED_UNREAD:
		cause_step(c,
		           "sudo whystuck --all %u   # where is the thread that should read this "
		           "connection?",
		           pid);
		cause_step(c, "kill -INT %u   # stop the run if its results so far are kept",
		           l->pid);
		break;
	default:
		if (*peer && is_shell_safe(peer))
			cause_step(c,
			           "sudo whystuck --llm %s %u   # if that is the LLM; --storage "
			           "NAME=%s if it is a store",
			           peer, l->pid, peer);
		cause_step(c, "sudo whystuck --all %u   # every thread and where it is", l->pid);
	}
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
	wake_of(f, c);
	r->tell(f, c);
	loop_evidence(w, c);
	call_evidence(f, c);
	socket_evidence(f, c);
	storage_evidence(f, c);
	steps_of(f->look, c);
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
		for (f.rule = rules; !f.rule->holds(&f);)
			f.rule++;
		hung[n++] = f;
	}
	causes_of(s, hung, n);
	free(hung);
	if (!n)
		closed_causes(s);
}
