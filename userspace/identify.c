/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which claim is about which socket. A thread that waits for one socket speaks of that one. Tasks share
 * an event loop that waits for many: a claim is bound to an endpoint when nothing else of what the loop
 * waits for fits it.
 */
#include "identify_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

#include "handshake.h"
#include "syscall_names.h"

#define TCP_ESTABLISHED_STATE 1 /* include/net/tcp_states.h */

/* ---- One call ---- */

static const char *const told_by_request =
	"told by the request in the HTTP client of the thread that waits for it";
static const char *const told_by_task =
	"told by the request in the HTTP client of a task that waits for it";
static const char *const told_by_library = "the thread that waits for it is in this client library";
static const char *const told_by_task_library = "a task of the event loop that waits for it is in "
						"this client library, and nothing else fits";
static const char *const told_by_address =
	"the configuration names a server with this address and port";
static const char *const told_by_name = "the configuration names one server with this port";
static const char *const told_by_port = "the port is this server's own";
static const char *const told_nothing = "nothing in the snapshot tells who is at the other end";
static const char *const told_many = "several connections or requests fit";
static const char *const told_torn = "what tells who is at the other end contradicts itself";

/* What a thread says that waits for this socket alone. */
static struct claim thread_claim(struct identify *i, const struct ev_thread *t,
                                 const struct ev_socket *s, const struct endpoint *known)
{
	const struct ev_frames *python = evidence_frames(i->evidence, t->h.pid, t->h.tid);
	const struct ev_frames *native = evidence_native(i->evidence, t->h.pid, t->h.tid);
	struct bytes frames = python ? frames_text(python) : NO_FRAMES;
	struct claim c = claim_of(i->evidence, t->h.pid, t->h.tid, frames);

	if (s && !ident_fits(i, &c, s, known)) { /* through a proxy, or not about this socket */
		c = (struct claim){ 0 };
		claim_add_library(&c, frames);
	}
	if (native)
		claim_add_native(&c, frames_text(native));
	return c;
}

static void answer_set(struct answer *a, const struct claim *c, bool first)
{
	if (first)
		a->claim = *c;
	else
		claim_meet(&a->claim, c);
}

/* Threads that wait for this socket and nothing else. True: there are some. */
static bool ask_threads(struct identify *i, const struct call_view *v, const struct ev_socket *s,
                        struct answer *a)
{
	size_t n, alone = 0;
	const struct wait_row *w = ident_waits(i, v->sock, &n);

	for (size_t k = 0; k < n; k++) {
		struct claim c;

		if (!w[k].alone)
			continue;
		c = thread_claim(i, w[k].thread, s, v->endpoint);
		answer_set(a, &c, alone++ == 0);
	}
	if (!alone)
		return false;
	a->sure = alone == 1 && a->claim.op[0] && !a->claim.torn;
	if (!claim_empty(&a->claim))
		a->how = a->claim.op[0] ? told_by_request : told_by_library;
	return true;
}

/* The thread whose descriptors are not all listed, if there is but one in the process. */
static const struct ev_thread *unlisted_waiter(struct identify *i, uint32_t pid)
{
	const struct ev_thread *found = NULL;
	size_t n;
	const struct ev_thread *const *threads = evidence_threads(i->evidence, pid, &n);

	for (size_t k = 0; k < n; k++) {
		if (threads[k]->syscall < 0 || threads[k]->fds_total <= thread_nfds(threads[k]))
			continue;
		if (found)
			return NULL;
		found = threads[k];
	}
	return found;
}

/* What the task says that sent the request, where that was seen. */
static const struct task_claim *sender_claim(const struct identify *i, const struct loop *l,
                                             const struct call_view *v, const struct ev_socket *s)
{
	for (size_t k = 0; v->call->task && k < l->nclaims; k++)
		if (l->claims[k].task == v->call->task &&
		    ident_fits(i, &l->claims[k].claim, s, v->endpoint))
			return &l->claims[k];
	return NULL;
}

/* Open calls without a name to other endpoints that one of these claims may be about, too. */
static size_t rivals(const struct identify *i, const struct loop *l, uint64_t endpoint)
{
	size_t n = 0;

	for (size_t s = 0; s < l->nsocks; s++) {
		const struct loop_sock *sock = &l->socks[s];
		bool fits = false;

		if (!ident_sock_open(sock) || sock->endpoint == endpoint)
			continue;
		for (size_t k = 0; !fits && k < l->nclaims; k++)
			fits = !l->claims[k].spent && !l->claims[k].endpoint &&
			       ident_fits(i, &l->claims[k].claim, sock->row, sock->view->endpoint);
		n += fits;
	}
	return n;
}

/*
 * Claims bound to the endpoint tell when there are as many as calls. Else all that fit must agree, and
 * there must be enough for all calls they fit; to one endpoint one claim is enough, though what it asked for
 * may not be what the other call did.
 */
static void ask_loop(struct identify *i, struct loop *l, const struct call_view *v,
                     const struct ev_socket *s, struct answer *a)
{
	uint64_t endpoint = ident_endpoint(s);
	size_t calls = 0, bound = 0, used = 0, others;
	const struct task_claim *sender = sender_claim(i, l, v, s);
	bool exact = true, enough;

	for (size_t k = 0; k < l->nsocks; k++)
		calls += ident_sock_open(&l->socks[k]) && l->socks[k].endpoint == endpoint;
	for (size_t k = 0; k < l->nclaims; k++)
		bound += l->claims[k].endpoint == endpoint;
	enough = sender || bound >= calls;
	for (size_t k = 0; k < l->nclaims; k++) {
		const struct task_claim *t = &l->claims[k];

		if (sender   ? t != sender
		    : enough ? t->endpoint != endpoint
		             : t->spent || !ident_fits(i, &t->claim, s, v->endpoint))
			continue;
		answer_set(a, &t->claim, used++ == 0);
		exact &= t->claim.port != 0;
	}
	others = enough ? 0 : rivals(i, l, endpoint);
	if (others && used < others + calls)
		a->claim = (struct claim){ 0 };
	if (used < calls && !sender)
		a->claim.op[0] = '\0';
	if (!used)
		return;
	a->sure = exact && enough && l->whole && !a->claim.torn;
	a->how = claim_empty(&a->claim) ? told_many : exact ? told_by_task : told_by_task_library;
}

/* As ask_loop(), but a thousand calls to one server are worked out once. */
static void ask_loop_once(struct identify *i, struct loop *l, const struct call_view *v,
                          const struct ev_socket *s, struct answer *a)
{
	uint64_t endpoint = ident_endpoint(s);
	bool own = v->call->task || ident_class(v) != CALL_OTHER ||
	           (v->endpoint && v->endpoint->host[0]);

	for (size_t k = 0; !own && k < l->nanswers; k++) {
		if (l->answers[k].endpoint != endpoint)
			continue;
		*a = l->answers[k].answer;
		return;
	}
	ask_loop(i, l, v, s, a);
	if (!own && l->nanswers < l->nsocks)
		l->answers[l->nanswers++] = (struct loop_answer){ endpoint, *a };
}

static void ask_waiters(struct identify *i, const struct call_view *v, const struct ev_socket *s,
                        struct answer *a)
{
	const struct ev_thread *t;
	const struct wait_row *w;
	struct loop *l;
	size_t n;

	if (v->call->request_ns > evidence_time(i->evidence) || ask_threads(i, v, s, a) || !s)
		return;
	w = ident_waits(i, v->sock, &n);
	if (n > 1)
		return; /* two loops share it: whose it is nobody knows */
	t = n ? w->thread : unlisted_waiter(i, s->h.pid);
	l = t ? ident_loop(i, t) : NULL;
	if (l)
		ask_loop_once(i, l, v, s, a);
}

/* Is it a server at the address of s? known: its address is known at all. */
static bool name_is(const struct ev_name *name, const struct ev_socket *s, bool *known)
{
	uint8_t addr[16];

	*known = address_make(name->family, name->addr, addr);
	if (ident_host_is(name_text(name).host, "localhost")) {
		*known = true;
		return ident_address_loops(s);
	}
	return *known && ident_address_is(s, addr);
}

/*
 * What the configuration calls the server with this address and port; else, where nothing has its
 * address, the server with this port, unless that is everybody's. False: nothing.
 */
static bool ask_names(struct identify *i, const struct ev_socket *s, struct claim *c, bool *exact)
{
	size_t n, found = 0;
	const struct ev_name *const *names = evidence_names(i->evidence, s->h.pid, &n);
	bool usual = s->remote_port == 80 || s->remote_port == 443;

	for (int pass = 0; pass < 2 && !found; pass++) {
		*exact = pass == 0;
		for (size_t k = 0; k < n && (*exact || !usual); k++) {
			bool known, is = name_is(names[k], s, &known);
			struct claim other = claim_of_name(names[k]);

			if (names[k]->port != s->remote_port || (*exact ? !is : known))
				continue;
			if (!found++ || (c->class == CALL_OTHER && !c->host[0])) {
				*c = other;
				continue;
			}
			c->torn |= !*exact && strcasecmp(c->host, other.host) != 0;
			claim_add(c, other.class,
			          other.class == CALL_LLM ? other.provider : other.system);
		}
	}
	return found;
}

/* Every socket with this port goes to the same address: the one name cannot be another's. */
static bool one_with_port(struct identify *i, const struct ev_socket *s)
{
	size_t n;
	const struct ev_socket *const *socks = evidence_sockets(i->evidence, &n);

	for (size_t k = 0; k < n; k++)
		if (socks[k]->h.pid == s->h.pid && socks[k]->remote_port == s->remote_port &&
		    ident_endpoint(socks[k]) != ident_endpoint(s))
			return false;
	return true;
}

static void add_names(struct identify *i, const struct ev_socket *s, struct answer *a)
{
	struct claim c = { 0 };
	bool exact;

	if (!ask_names(i, s, &c, &exact) || (!exact && !one_with_port(i, s)))
		return;
	if (a->claim.class == CALL_OTHER && !a->claim.torn) {
		a->how = exact ? told_by_address : told_by_name;
		a->sure = exact && !c.torn && c.class != CALL_OTHER;
	}
	claim_add(&a->claim, c.class, c.class == CALL_LLM ? c.provider : c.system);
	a->claim.torn |= c.torn;
	if (!a->claim.host[0])
		snprintf(a->claim.host, sizeof(a->claim.host), "%s", c.host);
}

static void add_port(const struct ev_socket *s, struct answer *a)
{
	if (a->claim.class != CALL_OTHER || a->claim.torn)
		return;
	claim_add_port(&a->claim, s->remote_port);
	if (a->claim.class == CALL_OTHER)
		return;
	a->how = told_by_port;
	a->sure = false;
}

static void answer_give(const struct answer *a, const struct ev_socket *s, struct identity *id)
{
	const struct claim *c = &a->claim;

	id->class = c->torn ? CALL_OTHER : c->class;
	if (id->class == CALL_LLM && c->provider)
		snprintf(id->provider, sizeof(id->provider), "%s", c->provider);
	if (id->class == CALL_STORAGE && c->system)
		snprintf(id->system, sizeof(id->system), "%s", c->system);
	snprintf(id->host, sizeof(id->host), "%s", c->host);
	snprintf(id->op, sizeof(id->op), "%s", c->op);
	id->port = s ? s->remote_port : 0;
	id->http = c->http;
	id->write = c->write;
	id->blocks = c->blocks && !c->torn;
	id->sure = a->sure && !c->torn;
	id->how = c->torn ? told_torn : a->how;
}

bool identify_call(struct identify *i, const struct call_view *v, struct identity *id)
{
	const struct ev_socket *s = v->sock ? evidence_socket(i->evidence, v->sock) : NULL;
	enum call_class known = ident_class(v);
	struct answer a = { .how = told_nothing };

	*id = (struct identity){ .how = told_nothing };
	if (!v->sock || v->call->inbound || (s && s->role == ROLE_SERVER))
		return false;
	ask_waiters(i, v, s, &a);
	if (s && known == CALL_OTHER) {
		add_names(i, s, &a);
		add_port(s, &a);
	}
	if (known != CALL_OTHER && a.claim.class != CALL_OTHER && a.claim.class != known)
		a = (struct answer){ .how = told_torn };
	answer_give(&a, s, id);
	return id->class != CALL_OTHER || id->host[0] || id->op[0] || id->blocks;
}

/* ---- Awaited though the counters do not say so ---- */

/* Who listens under this path accepted the socket: what it waits for is a request. */
static bool is_accepted(const struct identify *i, const struct ev_socket *s)
{
	size_t n;
	const struct ev_socket *const *socks = evidence_sockets(i->evidence, &n);
	struct bytes path = socket_path(s);

	for (size_t k = 0; k < n; k++) {
		struct bytes other = socket_path(socks[k]);

		if (socks[k]->h.flags & EVF_LISTEN && socks[k]->family == AF_UNIX &&
		    other.n == path.n && memcmp(other.p, path.p, path.n) == 0)
			return true;
	}
	return false;
}

/* A thread waits for this socket alone: for a reply, as far as can be told? */
static bool alone_awaits(struct identify *i, const struct wait_row *w)
{
	const struct ev_socket *s = evidence_socket(i->evidence, w->sock);
	struct claim c;

	if (!w->alone || !s || s->role == ROLE_SERVER || s->kind != SOCK_STREAM ||
	    s->h.flags & EVF_LISTEN || ident_view(i, w->sock))
		return false;
	if (s->h.flags & EVF_TCP)
		return s->tcp_state == TCP_ESTABLISHED_STATE && s->tcp_bytes_sent;
	if (s->family != AF_UNIX || !socket_path(s).n || is_accepted(i, s))
		return false;
	c = thread_claim(i, w->thread, s, NULL);
	return c.class != CALL_OTHER && !c.torn && !c.blocks;
}

static size_t loop_awaited(const struct loop *l, struct awaited *rows, size_t room)
{
	size_t n = 0;

	for (size_t s = 0; l->whole && s < l->nsocks && n < room; s++) {
		const struct loop_sock *sock = &l->socks[s];
		size_t same = 0, readers = 0;

		if (sock->view || sock->row->tcp_state != TCP_ESTABLISHED_STATE)
			continue;
		for (size_t k = 0; k < l->nsocks; k++)
			same += l->socks[k].endpoint == sock->endpoint;
		for (size_t k = 0; k < l->nclaims; k++)
			readers += l->claims[k].reader == sock->endpoint;
		if (readers >= same)
			rows[n++].sock = sock->row->sock;
	}
	return n;
}

/* Node, curl and their like: nothing tells which of its connections a loop without tasks of Python reads a reply from. */
static size_t loop_doubtful(struct identify *i, const struct loop *l, struct awaited *rows,
                            size_t room)
{
	size_t n = 0;

	for (size_t s = 0; s < l->nsocks && n < room; s++) {
		const struct ev_socket *row = l->socks[s].row;
		struct answer a = { .how = told_nothing };

		if (l->socks[s].view || !(row->h.flags & EVF_TCP) ||
		    row->tcp_state != TCP_ESTABLISHED_STATE ||
		    handshake_tls(i->evidence, row) != TLS_YES ||
		    handshake_reply(i->evidence, row) != REPLY_MAYBE)
			continue;
		add_names(i, row, &a);
		rows[n++] = (struct awaited){ .sock = row->sock,
			                      .doubtful = true,
			                      .llm = a.claim.class == CALL_LLM && !a.claim.torn };
	}
	return n;
}

size_t identify_awaited(struct identify *i, struct awaited *rows, size_t room)
{
	size_t n, ntasks, found = 0;
	const struct ev_thread *const *threads = evidence_threads(i->evidence, 0, &n);

	memset(rows, 0, room * sizeof(*rows));
	for (size_t k = 0; k < i->nwaits && found < room; k++)
		if (alone_awaits(i, &i->waits[k]))
			rows[found++] = (struct awaited){ i->waits[k].sock,
				                          i->waits[k].thread->blocked_since_ns };
	for (size_t k = 0; k < n && found < room; k++) {
		struct loop *l = NULL;

		evidence_tasks(i->evidence, threads[k]->h.pid, &ntasks);
		if (syscall_multiplexes(threads[k]))
			l = ident_loop(i, threads[k]);
		if (l && ntasks)
			found += loop_awaited(l, rows + found, room - found);
		else if (l)
			found += loop_doubtful(i, l, rows + found, room - found);
	}
	return found;
}
