/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Causes of a hung call: a table of rules over what its socket and its bytes say, then who waits
 * on it and until when.
 */
#include <sys/socket.h>

#include "diagnosis/scene.h"

/* include/net/tcp_states.h */
enum { STATE_ESTABLISHED = 1, STATE_CLOSE_WAIT = 8 };

/* tcp_retries1: from so many unanswered retransmissions on the kernel itself doubts the path. */
#define RETRANSMITS_DOUBT 3

/* ---- What is known of one open call ---- */

struct facts {
	const struct scene *scene;
	const struct look *look;
	const struct call_view *view;
	const struct call *call;
	const struct ev_socket *socket; /* NULL: not in the snapshot */
	bool tcp;                       /* its tcp_* fields were read */
	bool late;                      /* it may have begun before we came */
	bool sent;          /* the request is complete, or the kernel has passed on all there was */
	bool replied;       /* reply bytes came */
	bool acknowledged;  /* the peer's kernel has everything */
	uint64_t silent_ns; /* since when, on any account */
};

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

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

static struct facts facts_of(const struct scene *scene, const struct call_view *v)
{
	const struct look *l = scene->look;
	const struct ev_socket *s = l->evidence && v->sock ? evidence_socket(l->evidence, v->sock)
	                                                   : NULL;
	struct facts f = { .scene = scene, .look = l, .view = v, .call = v->call, .socket = s };

	f.tcp = s && (s->h.flags & EVF_TCP);
	f.late = f.call->at_least || f.call->partial == PARTIAL_ATTACHED_LATE;
	f.acknowledged = f.tcp && !s->tcp_unsent && !s->tcp_unacked && s->tcp_bytes_sent;
	f.replied = f.call->first_byte_ns || f.call->bytes_in;
	if (!f.replied && f.late && f.tcp && s->tcp_bytes_recv && s->tcp_bytes_sent)
		f.replied = s->tcp_last_recv_ns < s->tcp_last_sent_ns; /* after the request */
	f.sent = f.call->sent_ns || f.replied || (f.late && f.acknowledged);
	f.silent_ns = call_silent_since(f.call);
	if (f.late && f.tcp && socket_moved(s))
		f.silent_ns = socket_moved(s); /* it knows more of the time before we came */
	return f;
}

static const char *endpoint_text(const struct call_view *v)
{
	return v->endpoint && *v->endpoint->name ? v->endpoint->name : "an unnamed endpoint";
}

static const char *op_text(const struct call *c)
{
	return *c->op ? c->op : "a request";
}

static const char *class_text(const struct call_view *v)
{
	if (v->call->class == CALL_LLM)
		return "LLM";
	return v->endpoint && *v->endpoint->label ? v->endpoint->label : "storage";
}

/* ---- The rules, most telling first ---- */

static bool counts(const struct call *c)
{
	return c->class == CALL_LLM || c->class == CALL_STORAGE;
}

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

static void tell_dead(const struct facts *f, struct cause *c)
{
	cause_say(c,
	          "the connection of %s to %s (%s) is dead: data unacknowledged after %u "
	          "retransmissions, silent for %s",
	          op_text(f->call), endpoint_text(f->view), class_text(f->view),
	          f->socket->tcp_retransmits, duration_of(age(f->look->now_ns, f->silent_ns)).text);
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

static void tell_unanswered(const struct facts *f, struct cause *c)
{
	uint64_t sent = f->late || !f->call->sent_ns ? f->silent_ns : f->call->sent_ns;

	cause_say(c, "%s to %s (%s) sent %s ago%s, no byte since", op_text(f->call),
	          endpoint_text(f->view), class_text(f->view),
	          duration_of(age(f->look->now_ns, sent)).text,
	          f->acknowledged ? ", acknowledged" : "");
}

static void tell_stalled(const struct facts *f, struct cause *c)
{
	cause_say(c, "the reply of %s to %s (%s) began, then nothing of its content came for %s",
	          endpoint_text(f->view), op_text(f->call), class_text(f->view),
	          duration_of(age(f->look->now_ns, f->silent_ns)).text);
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
	cause_say(c,
	          "a request to %s is unanswered, silent for %s; whether that is an LLM or a store "
	          "is "
	          "not known",
	          endpoint_text(f->view), duration_of(age(f->look->now_ns, f->silent_ns)).text);
}

static void tell_unsent(const struct facts *f, struct cause *c)
{
	cause_say(c,
	          "%s to %s (%s) is open, silent for %s; whether its request was fully sent is not "
	          "known",
	          op_text(f->call), endpoint_text(f->view), class_text(f->view),
	          duration_of(age(f->look->now_ns, f->silent_ns)).text);
}

/* Socket evidence agrees: the connection stands and the peer has it all. */
static enum confidence sure_if_established(const struct facts *f)
{
	bool agrees = f->acknowledged && f->socket->tcp_state == STATE_ESTABLISHED;

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
	cause_evidence(c, "TCP keepalive is %s", s->keepalive ? "on" : "off");
}

static void call_evidence(const struct facts *f, struct cause *c)
{
	const struct call *call = f->call;

	if (f->late)
		cause_evidence(c, "the call began before whystuck attached: times are bounds");
	if (call->sent_ns && !f->late)
		cause_evidence(c,
		               "request of %" PRIu64 " bytes complete, %" PRIu64
		               " bytes of reply seen",
		               call->bytes_out, call->bytes_in);
	if (call->last_byte_ns && call->last_byte_ns > call_silent_since(call))
		cause_evidence(c, "bytes that are no content came %s ago",
		               duration_of(age(f->look->now_ns, call->last_byte_ns)).text);
	if (call->partial != PARTIAL_NONE && call->partial != PARTIAL_ATTACHED_LATE)
		cause_evidence(c, "not all of the call was seen: %s", partial_name(call->partial));
}

/* ---- Will it wake? ---- */

bool thread_waits_on(const struct ev_thread *t, int fd)
{
	if (fd < 0 || t->syscall < 0)
		return false;
	for (uint32_t i = 0; i < thread_nfds(t); i++)
		if (t->fds[i] == fd)
			return true;
	return !syscall_multiplexes(t) && syscall_fd(t) == fd;
}

static bool waits_on_socket(const struct evidence *e, const struct ev_thread *t, uint64_t sock)
{
	const struct ev_fd *fd;
	int own = syscall_fd(t);

	for (uint32_t i = 0; t->syscall >= 0 && i < thread_nfds(t); i++) {
		fd = evidence_fd(e, t->h.pid, t->fds[i]);
		if (fd && fd->sock == sock)
			return true;
	}
	fd = own >= 0 && !syscall_multiplexes(t) ? evidence_fd(e, t->h.pid, own) : NULL;
	return fd && fd->sock == sock;
}

/* What the threads that wait on the call's socket have armed. */
struct waiters {
	unsigned n, unlimited, unknown;
	const struct ev_thread *first; /* whose timer ends first */
	uint64_t at_ns;
	bool many; /* that thread waits for other things too */
};

static struct waiters waiters_of(const struct look *l, uint64_t sock)
{
	struct waiters w = { 0 };
	size_t n = 0;
	const struct ev_thread *const *threads =
		l->evidence && sock ? evidence_threads(l->evidence, 0, &n) : NULL;

	for (size_t i = 0; i < n; i++) {
		const struct ev_thread *t = threads[i];
		uint64_t at;

		if (!waits_on_socket(l->evidence, t, sock))
			continue;
		w.n++;
		w.unlimited += t->timeout_ns == TIMEOUT_NONE;
		if (t->timeout_ns < 0 || !t->blocked_since_ns) {
			w.unknown += t->timeout_ns != TIMEOUT_NONE;
			continue;
		}
		at = t->blocked_since_ns + (uint64_t)t->timeout_ns;
		if (!w.first || at < w.at_ns) {
			w.first = t;
			w.at_ns = at;
			w.many = t->fds_total > 1 || thread_nfds(t) > 1;
		}
	}
	return w;
}

static void wake_from_socket(const struct facts *f, struct cause *c)
{
	const struct ev_socket *s = f->socket;

	if (!s)
		cause_wake(c, WAKE_UNKNOWN, 0,
		           "its socket was not seen, so neither were its timers");
	else if (s->family != AF_UNIX && !f->tcp)
		cause_wake(c, WAKE_UNKNOWN, 0, "the state of its TCP connection could not be read");
	else if (s->keepalive)
		cause_wake(c, WAKE_UNKNOWN, 0,
		           "the wait has no time limit; TCP keepalive ends it should the peer be "
		           "gone, "
		           "not while the peer is merely silent");
	else if (f->tcp && (s->tcp_unacked || s->tcp_unsent))
		cause_wake(c, WAKE_UNKNOWN, 0,
		           "the wait has no time limit; the kernel gives up on unacknowledged "
		           "data in the end "
		           "(tcp_retries2, about 15 minutes by default)");
	else
		cause_wake(c, WAKE_NEVER, 0,
		           "the thread that waits on it set no time limit, %s: only the peer can "
		           "end this "
		           "wait",
		           f->tcp ? "nothing is left to retransmit and TCP keepalive is off"
		                  : "and a unix socket has no timer");
}

static void wake_of(const struct facts *f, struct cause *c)
{
	struct waiters t = waiters_of(f->look, f->view->sock);
	struct duration left = duration_of(age(t.at_ns, f->look->now_ns));

	if (!f->look->evidence || !evidence_time(f->look->evidence)) {
		cause_wake(c, WAKE_UNKNOWN, 0, "there is no snapshot of the threads");
	} else if (!t.n) {
		cause_wake(c, WAKE_UNKNOWN, 0, "no thread was seen waiting on this call's socket");
	} else if (t.first && t.many) {
		cause_wake(c, WAKE_UNKNOWN, 0,
		           "thread %u, which also waits for other things, wakes in %s; whether "
		           "that ends "
		           "this call "
		           "is not known",
		           t.first->h.tid, left.text);
	} else if (t.first && t.at_ns < f->look->now_ns) {
		cause_wake(c, WAKE_UNKNOWN, 0, "the timer of thread %u should have run out already",
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

/* ---- What to do ---- */

/* What comes after the options that name the server. Lines are made to be pasted into a shell. */
static const struct {
	const char *system, *client, *socket_option, *rest;
} storage_steps[] = {
	{ "redis", "redis-cli", "-s",
	  "CLIENT LIST   # what its clients do; SLOWLOG GET shows what took long" },
	{ "postgres", "psql", NULL,
	  "-c \"SELECT pid, state, wait_event_type, wait_event, query_start FROM "
	  "pg_stat_activity\"" },
};

static bool is_shell_safe(const char *s)
{
	return s[strspn(s,
	                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._:[]-")] ==
	       '\0';
}

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

static void steps_of(const struct look *l, struct cause *c)
{
	const char *peer = c->view && c->view->endpoint ? c->view->endpoint->addr : "";
	uint32_t pid = c->view && c->view->call->pid ? c->view->call->pid : l->pid;

	switch (c->kind) {
	case VERDICT_STORAGE_NO_RESPONSE:
		steps_for_storage(c, c->view);
		cause_step(c,
		           "sudo ss -tnop | grep 'pid=%u,'   # its connections as the kernel sees "
		           "them%s%s",
		           pid, *peer ? "; look for " : "", peer);
		cause_step(
			c,
			"set a time limit on the storage client's reads, so that a silent server "
			"becomes an error");
		break;
	case VERDICT_LLM_NO_RESPONSE:
	case VERDICT_LLM_STREAM_STALLED:
		cause_step(
			c,
			"set a read timeout on the LLM client, so that a silent reply becomes an "
			"error it can retry");
		cause_step(c,
		           "sudo ss -tnop | grep 'pid=%u,'   # its connections as the kernel sees "
		           "them%s%s",
		           pid, *peer ? "; look for " : "", peer);
		cause_step(c, "kill -INT %u   # stop the run if its results so far are kept",
		           l->pid);
		break;
	case VERDICT_CONNECTION_DEAD:
		cause_step(c, "check the path to %s: VPN, NAT, proxy, whether the host is up",
		           endpoint_text(c->view));
		cause_step(c, "set a read timeout or TCP keepalive on the client, so that a dead "
		              "connection becomes an error");
		break;
	case VERDICT_PEER_CLOSED_UNREAD:
		cause_step(c,
		           "py-spy dump --pid %u   # where the thread is that should read this "
		           "connection",
		           pid);
		cause_step(c, "kill -INT %u   # stop the run if its results so far are kept",
		           l->pid);
		break;
	default:
		if (*peer)
			cause_step(c,
			           "sudo whystuck --llm %s %u   # if that is the LLM; --storage "
			           "NAME=%s if it is a store",
			           peer, l->pid, peer);
		cause_step(c, "sudo whystuck --all %u   # every thread and where it is", l->pid);
	}
}

/* ---- All of it ---- */

static void cause_of(struct scene *s, const struct facts *f)
{
	const struct wait *w = f->view->sock ? scene_waiter(s, f->view->sock) : NULL;
	const struct rule *r = rules;
	struct cause *c;

	while (!r->holds(f))
		r++;
	c = cause_new(s, r->kind, r->sure(f), w);
	c->view = f->view;
	if (!c->pid)
		c->pid = f->call->pid;
	c->since_ns = f->silent_ns;
	c->at_least = f->late && !f->tcp;
	r->tell(f, c);
	call_evidence(f, c);
	socket_evidence(f, c);
	wake_of(f, c);
	steps_of(f->look, c);
}

void calls_causes(struct scene *s)
{
	const struct look *l = s->look;

	for (size_t i = 0; i < l->nopen; i++) {
		struct facts f = facts_of(s, &l->open[i]);

		if ((!counts(f.call) && !is_unnamed_wait(&l->open[i])) || f.call->blocks ||
		    age(l->now_ns, f.silent_ns) < l->silent_min_ns)
			continue;
		cause_of(s, &f);
	}
}
