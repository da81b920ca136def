/* SPDX-License-Identifier: BSD-2-Clause */
/* Who waits for which socket: threads for one, event loops for many, and what their tasks say of them. */
#include "identify_private.h"

#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

#include "syscall_names.h"

/* Sockets one event loop is taken to wait for; of a loop with more nothing is sure. */
#define LOOP_SOCKS_MAX 1024

/* ---- Addresses ---- */

bool ident_address_is(const struct ev_socket *s, const uint8_t addr[static 16])
{
	uint8_t own[16];

	return address_make(s->family, s->remote, own) && memcmp(own, addr, 16) == 0;
}

bool ident_address_loops(const struct ev_socket *s)
{
	uint8_t own[16];

	return address_make(s->family, s->remote, own) && address_loops(own);
}

uint64_t ident_endpoint(const struct ev_socket *s)
{
	uint8_t own[16];
	uint64_t h;

	if (!address_make(s->family, s->remote, own))
		return s->sock | 1; /* a unix socket is one of its own */
	h = bytes_hash(0, (struct bytes){ (const char *)own, sizeof(own) });
	return bytes_hash(h, (struct bytes){ (const char *)&s->remote_port, 2 }) | 1;
}

/* ---- Who waits for what ---- */

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

const struct call_view *ident_view(const struct identify *i, uint64_t sock)
{
	struct call_view key = { .sock = sock };
	const struct call_view *p = &key, **found;

	found = i->nviews ? bsearch(&p, i->views, i->nviews, sizeof(*i->views), view_order) : NULL;
	return found ? *found : NULL;
}

const struct wait_row *ident_waits(const struct identify *i, uint64_t sock, size_t *n)
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

enum call_class ident_class(const struct call_view *v)
{
	if (v->call->class != CALL_OTHER)
		return v->call->class;
	return v->endpoint ? v->endpoint->class : CALL_OTHER;
}

/* Nothing of it is left to ask for; of an LLM an option may tell no more than that it is one. */
static bool is_told(const struct call_view *v)
{
	enum call_class class = ident_class(v);

	return class != CALL_OTHER && (class != CALL_LLM || v->call->op[0]);
}

bool ident_host_is(struct bytes b, const char *s)
{
	return b.n == strlen(s) && strncasecmp(b.p, s, b.n) == 0;
}

bool ident_fits(const struct identify *i, const struct claim *c, const struct ev_socket *s,
                const struct endpoint *known)
{
	size_t n;
	const struct ev_name *const *names;

	if (!c->port)
		return true;
	if (c->port != s->remote_port || (s->family != AF_INET && s->family != AF_INET6))
		return false;
	if (c->numeric)
		return ident_address_is(s, c->addr);
	if (c->loopback)
		return ident_address_loops(s);
	if (known && known->host[0])
		return strcasecmp(known->host, c->host) == 0;
	names = evidence_names(i->evidence, s->h.pid, &n);
	for (size_t k = 0; k < n; k++) {
		uint8_t addr[16];

		if (names[k]->port == c->port && ident_host_is(name_text(names[k]).host, c->host) &&
		    address_make(names[k]->family, names[k]->addr, addr))
			return ident_address_is(s, addr);
	}
	return true;
}

/* Does what is known of a socket's call agree with the claim, so that it may well be its? */
static bool claim_agrees(const struct identify *i, const struct claim *c, const struct loop_sock *s)
{
	const struct endpoint *e = s->view->endpoint;

	if (ident_class(s->view) != c->class || !ident_fits(i, c, s->row, e))
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
	l->socks[l->nsocks++] = (struct loop_sock){ row, ident_view(i, sock), ident_endpoint(row) };
}

/* Not all descriptors of the thread are listed: what nobody else waits for may be its. */
static void socks_unlisted(struct identify *i, struct loop *l)
{
	size_t n, waiters;
	const struct ev_socket *const *socks = evidence_sockets(i->evidence, &n);
	const struct ev_thread *const *threads;

	for (size_t k = 0; k < n; k++)
		if (socks[k]->h.pid == l->thread->h.pid &&
		    !ident_waits(i, socks[k]->sock, &waiters))
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

bool ident_sock_open(const struct loop_sock *s)
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

		if (sock->endpoint == endpoint || (open && !ident_sock_open(sock)) ||
		    !ident_fits(i, c, sock->row, sock->view ? sock->view->endpoint : NULL))
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

struct loop *ident_loop(struct identify *i, const struct ev_thread *t)
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
