/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which claim is about which socket. A thread that waits for one socket speaks of that one. Tasks share
 * an event loop that waits for many: a claim is bound to an endpoint when nothing else of what the loop
 * waits for fits it.
 */
#include "identify.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

#include "claim.h"
#include "handshake.h"
#include "syscall_names.h"

/* Sockets one event loop is taken to wait for; of a loop with more nothing is sure. */
#define LOOP_SOCKS_MAX 1024
#define NO_FRAMES ((struct bytes){ "", 0 })
#define TCP_ESTABLISHED_STATE 1 /* include/net/tcp_states.h */

/* ---- Addresses ---- */

static bool address_is(const struct ev_socket *s, const uint8_t addr[static 16])
{
	uint8_t own[16];

	return address_make(s->family, s->remote, own) && memcmp(own, addr, 16) == 0;
}

static bool address_loopback(const struct ev_socket *s)
{
	uint8_t own[16];

	return address_make(s->family, s->remote, own) && address_loops(own);
}

/* The endpoint of a socket as a number; never 0. */
static uint64_t endpoint_key(const struct ev_socket *s)
{
	uint8_t own[16];
	uint64_t h;

	if (!address_make(s->family, s->remote, own))
		return s->sock | 1; /* a unix socket is one of its own */
	h = bytes_hash(0, (struct bytes){ (const char *)own, sizeof(own) });
	return bytes_hash(h, (struct bytes){ (const char *)&s->remote_port, 2 }) | 1;
}

/* ---- Who waits for what ---- */

struct wait_row {
	uint64_t sock;
	const struct ev_thread *thread;
	bool alone; /* the thread waits for nothing else */
};

/* What a task says. Endpoints are those that fit it: 0 none, or several. */
struct task_claim {
	struct claim claim;
	uint64_t task;     /* 0: what the thread says, where it runs none */
	uint64_t endpoint; /* of the loop's open calls without a name */
	uint64_t reader;   /* of all its sockets, if the task waits for a reply */
	bool reads;        /* it waits for bytes */
	bool spent;        /* a call whose name is known explains it */
};

struct loop_sock {
	const struct ev_socket *row;
	const struct call_view *view; /* its open call, NULL none */
	uint64_t endpoint;
};

/* What a verdict rests on so far. */
struct answer {
	struct claim claim;
	const char *how;
	bool sure;
};

/* What the tasks of a loop said of an endpoint: calls to it that have no name get the same. */
struct loop_answer {
	uint64_t endpoint;
	struct answer answer;
};

/* A thread that waits for many sockets, and the tasks it runs. */
struct loop {
	const struct ev_thread *thread;
	struct task_claim *claims;
	size_t nclaims;
	struct loop_sock *socks;
	size_t nsocks;
	struct loop_answer *answers; /* room for one a socket */
	size_t nanswers;
	bool whole; /* all it waits for is known */
	struct loop *next;
};

struct identify {
	const struct evidence *evidence;
	const struct call_view **views; /* sorted by socket */
	size_t nviews;
	struct wait_row *waits; /* sorted by socket */
	size_t nwaits;
	struct loop *loops;
};

static int order(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int view_order(const void *a, const void *b)
{
	return order((*(const struct call_view *const *)a)->sock,
	             (*(const struct call_view *const *)b)->sock);
}

static int wait_order(const void *a, const void *b)
{
	return order(((const struct wait_row *)a)->sock, ((const struct wait_row *)b)->sock);
}

static const struct call_view *view_of(const struct identify *i, uint64_t sock)
{
	struct call_view key = { .sock = sock };
	const struct call_view *p = &key, **found;

	found = i->nviews ? bsearch(&p, i->views, i->nviews, sizeof(*i->views), view_order) : NULL;
	return found ? *found : NULL;
}

/* The first thread that waits for the socket, *n of them; NULL none. */
static const struct wait_row *waits_of(const struct identify *i, uint64_t sock, size_t *n)
{
	struct wait_row key = { .sock = sock };
	struct wait_row *w = i->nwaits ? bsearch(&key, i->waits, i->nwaits, sizeof(key), wait_order)
	                               : NULL;

	*n = 0;
	if (!w)
		return NULL;
	while (w > i->waits && w[-1].sock == sock)
		w--;
	while (w + *n < i->waits + i->nwaits && w[*n].sock == sock)
		(*n)++;
	return w;
}

static uint64_t sock_of(const struct evidence *e, uint32_t pid, int32_t fd)
{
	const struct ev_fd *row = fd >= 0 ? evidence_fd(e, pid, fd) : NULL;

	return row ? row->sock : 0;
}

static void wait_add(struct identify *i, const struct ev_thread *t, int32_t fd, bool alone)
{
	uint64_t sock = sock_of(i->evidence, t->h.pid, fd);

	if (sock)
		i->waits[i->nwaits++] = (struct wait_row){ sock, t, alone };
}

static bool index_waits(struct identify *i)
{
	size_t n, room = 1;
	const struct ev_thread *const *threads = evidence_threads(i->evidence, 0, &n);

	for (size_t k = 0; k < n; k++)
		room += thread_nfds(threads[k]) + 1;
	i->waits = calloc(room, sizeof(*i->waits));
	if (!i->waits)
		return false;
	for (size_t k = 0; k < n; k++) {
		const struct ev_thread *t = threads[k];
		uint32_t fds = thread_nfds(t);

		for (uint32_t f = 0; t->syscall >= 0 && f < fds; f++)
			wait_add(i, t, t->fds[f], fds == 1 && t->fds_total <= 1);
		if (t->syscall >= 0 && !fds && !syscall_multiplexes(t))
			wait_add(i, t, syscall_fd(t), true);
	}
	qsort(i->waits, i->nwaits, sizeof(*i->waits), wait_order);
	return true;
}

struct identify *identify_new(const struct evidence *e, const struct call_view *open, size_t n)
{
	struct identify *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->evidence = e;
	i->views = calloc(n + 1, sizeof(*i->views));
	if (!i->views || !index_waits(i)) {
		identify_free(i);
		return NULL;
	}
	for (size_t k = 0; k < n; k++)
		if (open[k].sock)
			i->views[i->nviews++] = &open[k];
	qsort(i->views, i->nviews, sizeof(*i->views), view_order);
	return i;
}

static void loop_free(struct loop *l)
{
	if (!l)
		return;
	free(l->claims);
	free(l->socks);
	free(l->answers);
	free(l);
}

void identify_free(struct identify *i)
{
	if (!i)
		return;
	while (i->loops) {
		struct loop *l = i->loops;

		i->loops = l->next;
		loop_free(l);
	}
	free(i->views);
	free(i->waits);
	free(i);
}

/* ---- Event loops ---- */

static enum call_class class_known(const struct call_view *v)
{
	if (v->call->class != CALL_OTHER)
		return v->call->class;
	return v->endpoint ? v->endpoint->class : CALL_OTHER;
}

/* Nothing of it is left to ask for; of an LLM an option may tell no more than that it is one. */
static bool is_told(const struct call_view *v)
{
	enum call_class class = class_known(v);

	return class != CALL_OTHER && (class != CALL_LLM || v->call->op[0]);
}

static bool host_is(struct bytes b, const char *s)
{
	return b.n == strlen(s) && strncasecmp(b.p, s, b.n) == 0;
}

/* May this source's server be at the other end of s? */
static bool claim_fits(const struct identify *i, const struct claim *c, const struct ev_socket *s,
                       const struct endpoint *known)
{
	size_t n;
	const struct ev_name *const *names;

	if (!c->port)
		return true;
	if (c->port != s->remote_port || (s->family != AF_INET && s->family != AF_INET6))
		return false;
	if (c->numeric)
		return address_is(s, c->addr);
	if (c->loopback)
		return address_loopback(s);
	if (known && known->host[0])
		return strcasecmp(known->host, c->host) == 0;
	names = evidence_names(i->evidence, s->h.pid, &n);
	for (size_t k = 0; k < n; k++) {
		uint8_t addr[16];

		if (names[k]->port == c->port && host_is(name_text(names[k]).host, c->host) &&
		    address_make(names[k]->family, names[k]->addr, addr))
			return address_is(s, addr);
	}
	return true;
}

/* Does what is known of a socket's call agree with the claim, so that it may well be its? */
static bool claim_agrees(const struct identify *i, const struct claim *c, const struct loop_sock *s)
{
	const struct endpoint *e = s->view->endpoint;

	if (class_known(s->view) != c->class || !claim_fits(i, c, s->row, e))
		return false;
	return !c->system || !e || !e->system[0] || strcmp(c->system, e->system) == 0;
}

static void sock_add(struct identify *i, struct loop *l, uint64_t sock)
{
	const struct ev_socket *row = evidence_socket(i->evidence, sock);

	if (!row || row->role == ROLE_SERVER || row->h.flags & EVF_LISTEN ||
	    row->kind != SOCK_STREAM)
		return;
	if (row->family == AF_UNIX && !socket_path(row).n)
		return; /* a pair, as loops wake themselves with */
	for (size_t k = 0; k < l->nsocks; k++)
		if (l->socks[k].row == row)
			return;
	if (l->nsocks == LOOP_SOCKS_MAX) {
		l->whole = false;
		return;
	}
	l->socks[l->nsocks++] = (struct loop_sock){ row, view_of(i, sock), endpoint_key(row) };
}

/* Not all descriptors of the thread are listed: what nobody else waits for may be its. */
static void socks_unlisted(struct identify *i, struct loop *l)
{
	size_t n, waiters;
	const struct ev_socket *const *socks = evidence_sockets(i->evidence, &n);
	const struct ev_thread *const *threads;

	for (size_t k = 0; k < n; k++)
		if (socks[k]->h.pid == l->thread->h.pid && !waits_of(i, socks[k]->sock, &waiters))
			sock_add(i, l, socks[k]->sock);
	threads = evidence_threads(i->evidence, l->thread->h.pid, &n);
	for (size_t k = 0; k < n; k++)
		if (threads[k] != l->thread && threads[k]->fds_total > thread_nfds(threads[k]))
			l->whole = false; /* or another's */
}

/* False: out of memory. */
static bool tasks_claim(struct identify *i, struct loop *l)
{
	const struct ev_thread *t = l->thread;
	const struct ev_frames *own;
	size_t n;
	const struct ev_task *const *tasks = evidence_tasks(i->evidence, t->h.pid, &n);

	l->claims = calloc(n + 1, sizeof(*l->claims));
	for (size_t k = 0; l->claims && k < n; k++) {
		struct bytes frames = task_text(tasks[k]).frames;
		struct task_claim c = { .task = tasks[k]->task };

		if (tasks[k]->h.tid && tasks[k]->h.tid != t->h.tid)
			continue;
		c.claim = claim_of(i->evidence, t->h.pid, c.task, frames);
		if (claim_empty(&c.claim) && !frames_use_network(frames))
			continue;
		c.reads = frames_read_reply(frames);
		l->claims[l->nclaims++] = c;
	}
	if (!l->claims || l->nclaims)
		return l->claims != NULL;
	own = evidence_frames(i->evidence, t->h.pid, t->h.tid);
	l->claims[0].claim =
		claim_of(i->evidence, t->h.pid, t->h.tid, own ? frames_text(own) : NO_FRAMES);
	l->nclaims = !claim_empty(&l->claims[0].claim);
	return true;
}

/* A call whose name is known explains one claim that agrees. */
static void claims_spend(struct identify *i, struct loop *l)
{
	for (size_t s = 0; s < l->nsocks; s++) {
		const struct loop_sock *sock = &l->socks[s];

		if (!sock->view || !is_told(sock->view))
			continue;
		for (size_t k = 0; k < l->nclaims; k++) {
			if (l->claims[k].spent || !claim_agrees(i, &l->claims[k].claim, sock))
				continue;
			l->claims[k].spent = true;
			break;
		}
	}
}

static bool sock_open(const struct loop_sock *s)
{
	return s->view && !is_told(s->view);
}

/* The one endpoint that fits among the sockets that count; 0 none or several. */
static uint64_t endpoint_fits(const struct identify *i, const struct loop *l, const struct claim *c,
                              bool open)
{
	uint64_t endpoint = 0;

	for (size_t s = 0; s < l->nsocks; s++) {
		const struct loop_sock *sock = &l->socks[s];

		if (sock->endpoint == endpoint || (open && !sock_open(sock)) ||
		    !claim_fits(i, c, sock->row, sock->view ? sock->view->endpoint : NULL))
			continue;
		if (endpoint)
			return 0;
		endpoint = sock->endpoint;
	}
	return endpoint;
}

/* It waits for the reply to a request, not for news. */
static bool reads_reply(const struct task_claim *c)
{
	return c->reads && !c->claim.blocks && (c->claim.op[0] || c->claim.class == CALL_LLM);
}

/* NULL: out of memory. */
static struct loop *loop_find(struct identify *i, const struct ev_thread *t)
{
	struct loop *l = i->loops;

	while (l && l->thread != t)
		l = l->next;
	if (l)
		return l;
	l = calloc(1, sizeof(*l));
	if (!l || !(l->socks = calloc(LOOP_SOCKS_MAX, sizeof(*l->socks)))) {
		loop_free(l);
		return NULL;
	}
	l->thread = t;
	l->whole = true;
	for (uint32_t f = 0; f < thread_nfds(t); f++)
		sock_add(i, l, sock_of(i->evidence, t->h.pid, t->fds[f]));
	if (t->fds_total > thread_nfds(t))
		socks_unlisted(i, l);
	l->answers = calloc(l->nsocks + 1, sizeof(*l->answers));
	if (!l->answers || !tasks_claim(i, l)) {
		loop_free(l);
		return NULL;
	}
	claims_spend(i, l);
	for (size_t k = 0; k < l->nclaims; k++) {
		struct task_claim *c = &l->claims[k];

		if (!c->spent)
			c->endpoint = endpoint_fits(i, l, &c->claim, true);
		if (reads_reply(c))
			c->reader = endpoint_fits(i, l, &c->claim, false);
	}
	l->next = i->loops;
	i->loops = l;
	return l;
}

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

	if (s && !claim_fits(i, &c, s, known)) { /* through a proxy, or not about this socket */
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
	const struct wait_row *w = waits_of(i, v->sock, &n);

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
		    claim_fits(i, &l->claims[k].claim, s, v->endpoint))
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

		if (!sock_open(sock) || sock->endpoint == endpoint)
			continue;
		for (size_t k = 0; !fits && k < l->nclaims; k++)
			fits = !l->claims[k].spent && !l->claims[k].endpoint &&
			       claim_fits(i, &l->claims[k].claim, sock->row, sock->view->endpoint);
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
	uint64_t endpoint = endpoint_key(s);
	size_t calls = 0, bound = 0, used = 0, others;
	const struct task_claim *sender = sender_claim(i, l, v, s);
	bool exact = true, enough;

	for (size_t k = 0; k < l->nsocks; k++)
		calls += sock_open(&l->socks[k]) && l->socks[k].endpoint == endpoint;
	for (size_t k = 0; k < l->nclaims; k++)
		bound += l->claims[k].endpoint == endpoint;
	enough = sender || bound >= calls;
	for (size_t k = 0; k < l->nclaims; k++) {
		const struct task_claim *t = &l->claims[k];

		if (sender   ? t != sender
		    : enough ? t->endpoint != endpoint
		             : t->spent || !claim_fits(i, &t->claim, s, v->endpoint))
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
	uint64_t endpoint = endpoint_key(s);
	bool own = v->call->task || class_known(v) != CALL_OTHER ||
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
	w = waits_of(i, v->sock, &n);
	if (n > 1)
		return; /* two loops share it: whose it is nobody knows */
	t = n ? w->thread : unlisted_waiter(i, s->h.pid);
	l = t ? loop_find(i, t) : NULL;
	if (l)
		ask_loop_once(i, l, v, s, a);
}

/* Is it a server at the address of s? known: its address is known at all. */
static bool name_is(const struct ev_name *name, const struct ev_socket *s, bool *known)
{
	uint8_t addr[16];

	*known = address_make(name->family, name->addr, addr);
	if (host_is(name_text(name).host, "localhost")) {
		*known = true;
		return address_loopback(s);
	}
	return *known && address_is(s, addr);
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
		    endpoint_key(socks[k]) != endpoint_key(s))
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
	enum call_class known = class_known(v);
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
	    s->h.flags & EVF_LISTEN || view_of(i, w->sock))
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
			l = loop_find(i, threads[k]);
		if (l && ntasks)
			found += loop_awaited(l, rows + found, room - found);
		else if (l)
			found += loop_doubtful(i, l, rows + found, room - found);
	}
	return found;
}
