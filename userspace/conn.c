/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of connections: which there are, what they are called, whose bytes come. Each one's parser is found and fed in
 * conn_parser.c; what is particular to sockets that carry TLS stands in cipher.c and tls_bind.c.
 */
#include "conn.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "conn_private.h"
#include "dns.h"
#include "proto/decode.h"
#include "proto/generic.h"
#include "proto/http2.h"

#define BUCKETS 4096
/* More time than this between set-up and the first request: the connection was made in advance. */
#define SETUP_IDLE_NS 20000000ull /* HTTP */
#define SETUP_NEXT_NS 1000000ull  /* others: the very next thing */
#define TIMED_OUT_NS \
	100000000ull /* a connection closed so soon after a wait timed out was given up for that */

/* Bytes of a TLS 1.3 handshake that resumes a session. Out: ClientHello with its ticket, at most with the hybrid key shares of
 * OpenSSL 3.5, and Finished; in: ServerHello, 28 to 48 bytes of extensions and Finished of either hash. */
#define RESUMED_SENT_MIN 300
#define RESUMED_SENT_MAX 2048
#define RESUMED_RECV_MIN 120
#define RESUMED_RECV_MAX 300

#define DNS_PORT 53 /* RFC 1035, 4.2 */

static size_t bucket_of(uint64_t key)
{
	return (size_t)((key * 0x9e3779b97f4a7c15ull) >> 52);
}

static struct call *sink_open(struct call_sink *s, const struct stamp *at)
{
	struct conn *c = (struct conn *)((char *)s - offsetof(struct conn, sink));
	struct call *call = c->table->ops.open(c->table->ops.ctx, c, at);

	if (call) {
		c->calls++;
		c->open++;
	}
	return call;
}

static void sink_sent(struct call_sink *s, struct call *call)
{
	struct conn *c = (struct conn *)((char *)s - offsetof(struct conn, sink));

	c->table->ops.sent(c->table->ops.ctx, c, call);
}

static void sink_done(struct call_sink *s, struct call *call)
{
	struct conn *c = (struct conn *)((char *)s - offsetof(struct conn, sink));

	c->open--;
	if (!call->setup)
		c->real_calls++;
	c->table->ops.done(c->table->ops.ctx, c, call);
}

struct conns *conns_new(const struct conn_ops *ops, const struct endpoint_rules *rules,
                        uint64_t attach_ns)
{
	struct conns *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->buckets = calloc(BUCKETS, sizeof(*t->buckets));
	t->by_ends = calloc(BUCKETS, sizeof(*t->by_ends));
	t->threads = calloc(THREAD_BUCKETS, sizeof(*t->threads));
	t->dns = dns_new();
	if (!t->buckets || !t->by_ends || !t->threads || !t->dns) {
		conns_free(t);
		return NULL;
	}
	t->ops = *ops;
	t->rules = rules;
	t->seeding = true;
	t->attach_ns = attach_ns;
	return t;
}

/* The parser, if any, ends; its open calls are done. */
void conn_stop(struct conn *c, enum done_why why, const struct stamp *at)
{
	tickets_settle(c);
	conn_await_over(c);
	if (c->proto) {
		const struct proto *p = c->proto;
		void *state = c->state;

		c->proto = NULL;
		c->state = NULL;
		p->done(state, why, at);
		p->free(state);
	}
	for (int d = 0; d < 2; d++)
		buf_free(&c->pending[d]);
	buf_free(&c->order);
}

void conn_caller_left(struct conn *c)
{
	if (c->proto == &proto_generic)
		generic_over(c->state);
}

void conn_part(struct conn *c)
{
	if (c->peer)
		c->peer->peer = NULL;
	c->peer = NULL;
}

static void end_make(uint16_t family, const uint8_t *addr, uint16_t port, uint8_t end[static 18])
{
	memset(end, 0, 18);
	if (!port || (family != AF_INET && family != AF_INET6))
		return;
	if (family == AF_INET6) {
		memcpy(end, addr, 16);
	} else { /* RFC 4291, 2.5.5.2 */
		end[10] = end[11] = 0xff;
		memcpy(end + 12, addr, 4);
	}
	memcpy(end + 16, &port, 2);
}

static bool end_known(const uint8_t end[static 18])
{
	static const uint8_t none[18];

	return memcmp(end, none, sizeof(none)) != 0;
}

static bool ends_known(const struct conn *c)
{
	return end_known(c->ends[0]) && end_known(c->ends[1]);
}

/* The bucket of the socket that sees these ends as its own and the other's. */
static struct conn **ends_bucket(struct conns *t, const uint8_t own[static 18],
                                 const uint8_t other[static 18])
{
	uint64_t h = bytes_hash(0, (struct bytes){ (const char *)own, 18 });

	return &t->by_ends[bytes_hash(h, (struct bytes){ (const char *)other, 18 }) % BUCKETS];
}

static void ends_forget(struct conn *c)
{
	struct conn **p = ends_known(c) ? ends_bucket(c->table, c->ends[0], c->ends[1]) : NULL;

	while (p && *p && *p != c)
		p = &(*p)->ends_next;
	if (p && *p)
		*p = c->ends_next;
	if (c->far)
		c->far->far = NULL;
	c->far = NULL;
}

static void ends_set(struct conn *c, const struct ev_socket *e)
{
	struct conn **p;

	ends_forget(c);
	end_make(e->family, e->local, e->local_port, c->ends[0]);
	end_make(e->family, e->remote, e->remote_port, c->ends[1]);
	if (!ends_known(c))
		return;
	p = ends_bucket(c->table, c->ends[0], c->ends[1]);
	c->ends_next = *p;
	*p = c;
}

static void conn_free(struct conn *c, enum done_why why, const struct stamp *at)
{
	struct conns *t = c->table;
	struct conn **p = &t->buckets[bucket_of(c->sock ? c->sock : c->tls ^ c->pid)];

	conn_stop(c, why, at);
	t->ops.gone(t->ops.ctx, c);
	conn_part(c);
	ends_forget(c);
	held_forget(t, c);
	buf_free(&c->hello);
	free(c->join);
	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	t->n--;
	free(c);
}

void conns_free(struct conns *t)
{
	struct stamp at = { 0 };

	if (!t)
		return;
	for (size_t i = 0; t->buckets && i < BUCKETS; i++)
		while (t->buckets[i])
			conn_free(t->buckets[i], DONE_DETACHED, &at);
	threads_free(t);
	dns_free(t->dns);
	buf_free(&t->body);
	free(t->buckets);
	free(t->by_ends);
	free(t);
}

/* Makes room: the first connection found with nothing open goes. */
static void forget_one(struct conns *t, const struct stamp *at)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct conn *c = t->buckets[i]; c; c = c->next) {
			if (c->open || c->peer)
				continue;
			conn_free(c, DONE_DETACHED, at);
			t->forgotten++;
			return;
		}
	}
}

static struct conn *find(struct conns *t, uint64_t sock, uint64_t tls, uint32_t pid)
{
	struct conn *c = t->buckets[bucket_of(sock ? sock : tls ^ pid)];

	for (; c; c = c->next)
		if (sock ? c->sock == sock : c->tls == tls && c->pid == pid)
			return c;
	return NULL;
}

static struct conn *make(struct conns *t, uint64_t sock, uint64_t tls, uint32_t pid)
{
	struct conn *c = find(t, sock, tls, pid), **p;
	struct stamp at = { 0 };

	if (c)
		return c;
	if (t->n >= CONNS_MAX)
		forget_one(t, &at);
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->id = ++t->ids;
	c->sock = sock;
	c->tls = tls;
	c->pid = pid;
	c->table = t;
	c->sink = (struct call_sink){ sink_open, sink_sent, sink_done };
	p = &t->buckets[bucket_of(sock ? sock : tls ^ pid)];
	c->next = *p;
	*p = c;
	t->n++;
	return c;
}

struct conn *conns_by_sock(struct conns *t, uint64_t sock)
{
	return sock ? find(t, sock, 0, 0) : NULL;
}

void conn_set_up(struct conn *c, uint64_t ts_ns)
{
	struct conn *s = c->sock ? c : c->peer;

	if (s && ts_ns > s->setup_ns)
		s->setup_ns = ts_ns;
}

/* The name follows from the host, the address, the port and the protocol; asked anew when one of them changes. */
void conn_rename(struct conn *c)
{
	struct endpoint *e = &c->endpoint;
	const struct conn_told *told = &c->told;

	endpoint_name(c->table->rules, e, c->port, c->proto ? c->proto->name : "", c->store);
	e->how = NULL;
	if (!told->how ||
	    (told->class != CALL_OTHER && e->class != CALL_OTHER && told->class != e->class))
		return;
	e->how = told->how;
	e->unsure = told->unsure;
	if (e->class != CALL_OTHER)
		return;
	e->class = told->class;
	snprintf(e->label, sizeof(e->label), "%s", told->label);
	snprintf(e->system, sizeof(e->system), "%s", told->system);
}

void conn_tell(struct conn *c, const struct conn_told *told)
{
	c->told = *told;
	conn_rename(c);
	if (c->peer) {
		c->peer->told = *told;
		conn_rename(c->peer);
	}
}

void conn_host(struct conn *c, const char *host)
{
	char name[sizeof(c->endpoint.host)];
	char *colon;

	snprintf(name, sizeof(name), "%s", host);
	colon = strrchr(name, ':');
	if (colon && strchr(name, ':') == colon) /* HOST:PORT; not a bare IPv6 address */
		*colon = '\0';
	if (strcmp(name, c->endpoint.host) == 0)
		return;
	snprintf(c->endpoint.host, sizeof(c->endpoint.host), "%s", name);
	conn_rename(c);
	if (c->peer) {
		snprintf(c->peer->endpoint.host, sizeof(c->peer->endpoint.host), "%s", name);
		conn_rename(c->peer);
	}
}

void conn_store(struct conn *c, const char *system)
{
	if (strcmp(system, c->endpoint.system) == 0 || strcmp(system, c->store) == 0)
		return;
	snprintf(c->store, sizeof(c->store), "%s", system);
	conn_rename(c);
	if (c->peer) {
		snprintf(c->peer->store, sizeof(c->peer->store), "%s", system);
		conn_rename(c->peer);
	}
}

const struct conn *conn_socket(const struct conn *c)
{
	return c->sock ? c : c->peer;
}

uint64_t conn_call_start(const struct conn *c, uint32_t tid, uint64_t request_ns)
{
	const struct conn *s = conn_socket(c);
	uint64_t idle;

	if (!s || !s->connect_ns || s->connect_ns > request_ns)
		return request_ns;
	idle = request_ns > s->setup_ns ? request_ns - s->setup_ns : 0;
	if (c->proto == &proto_http1 || c->proto == &proto_http2)
		return idle < SETUP_IDLE_NS ? s->connect_ns : request_ns;
	if (tid != s->connect_tid || c->table->last != s->sock ||
	    c->table->turns != s->connect_turns)
		return request_ns;
	return idle < SETUP_NEXT_NS ? s->connect_ns : request_ns;
}

/* ---- sockets ---- */

static void address_text(const struct ev_socket *e, char *to, size_t n)
{
	char host[INET6_ADDRSTRLEN] = "";
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (e->family == AF_UNIX) {
		size_t len = strnlen(e->path, e->h.size - sizeof(*e));

		/* an abstract name begins with NUL, shown as people write it */
		if (len == 0 && e->h.size > sizeof(*e) + 1)
			snprintf(to, n, "@%.*s",
			         (int)strnlen(e->path + 1, e->h.size - sizeof(*e) - 1),
			         e->path + 1);
		else
			snprintf(to, n, "%.*s", (int)len, e->path);
	} else if (e->family == AF_INET6 && memcmp(e->remote, mapped, sizeof(mapped)) == 0) {
		inet_ntop(AF_INET, e->remote + 12, host, sizeof(host));
		snprintf(to, n, "%s:%u", host, e->remote_port);
	} else {
		inet_ntop(e->family, e->remote, host, sizeof(host));
		snprintf(to, n, e->family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, e->remote_port);
	}
}

/* May all that moved be a handshake that resumes a session, without a certificate (RFC 8446, 2.2)? Pools connect in advance, and
 * in it the client speaks last. */
static bool may_be_resumed(const struct ev_socket *e)
{
	return e->tcp_bytes_sent >= RESUMED_SENT_MIN && e->tcp_bytes_sent <= RESUMED_SENT_MAX &&
	       e->tcp_bytes_recv >= RESUMED_RECV_MIN && e->tcp_bytes_recv <= RESUMED_RECV_MAX;
}

/* Sent later than anything came back: somebody waits for a reply. */
static bool outstanding(const struct ev_socket *e)
{
	if (!(e->h.flags & EVF_TCP) || e->tcp_state != 1 || e->role == ROLE_SERVER ||
	    !e->tcp_bytes_sent)
		return false;
	return !e->tcp_bytes_recv ||
	       (e->tcp_last_sent_ns < e->tcp_last_recv_ns && !may_be_resumed(e));
}

struct conn *conn_far_end(struct conn *c)
{
	struct conn *s = c->sock ? c : c->peer, *o;

	if (!s || s->far || !ends_known(s))
		return s ? s->far : NULL;
	for (o = *ends_bucket(s->table, s->ends[1], s->ends[0]); o; o = o->ends_next) {
		if (o == s || o->far || memcmp(o->ends[0], s->ends[1], sizeof(o->ends[0])) != 0 ||
		    memcmp(o->ends[1], s->ends[0], sizeof(o->ends[1])) != 0)
			continue;
		s->far = o;
		o->far = s;
		return o;
	}
	return NULL;
}

/* The name the target had asked for before it connected to its address; SNI and Host, which are facts of the connection
 * itself, replace it. */
static void host_asked_for(struct conn *c)
{
	const char *name = end_known(c->ends[1]) ? dns_name(c->table->dns, c->ends[1]) : NULL;

	if (name && !c->endpoint.host[0])
		conn_host(c, name);
}

void conns_socket(struct conns *t, const struct ev_socket *e)
{
	struct conn *c = make(t, e->sock, 0, e->h.pid);

	if (!c || e->h.flags & EVF_LISTEN)
		return;
	if (!c->endpoint.addr[0] || e->h.type != EV_SOCKET) {
		address_text(e, c->endpoint.addr, sizeof(c->endpoint.addr));
		c->port = e->remote_port;
		ends_set(c, e);
		conn_rename(c);
		host_asked_for(c);
	}
	if (e->role != ROLE_UNKNOWN)
		c->role = e->role;
	c->datagram = e->kind == SOCK_DGRAM;
	c->ignored = e->kind != SOCK_STREAM || (e->family == AF_UNIX && !c->endpoint.addr[0]);
	if (e->h.type != EV_SOCKET) {
		struct stamp at = { e->start_ns, e->h.ts_ns, e->h.pid, e->h.tid, 0 };

		c->told = (struct conn_told){ 0 };
		c->store[0] = '\0';
		/* a socket that connects again carries a new stream */
		if (c->bytes[0] || c->bytes[1])
			conn_stop(c, DONE_SWITCHED, &at);
		c->from_start = true;
		c->setup_ns = e->h.ts_ns;
		if (e->h.type == EV_CONNECT && !c->ignored) {
			c->connect_ns = e->start_ns;
			c->connect_tid = e->h.tid;
			socket_used(t, e->h.tid, c);
			c->connect_turns = t->turns;
		}
		if (e->h.type == EV_CONNECT && e->ret < 0 && e->ret != -EINPROGRESS &&
		    e->ret != -EALREADY)
			c->connect_ns = 0;
		return;
	}
	if (e->h.flags & EVF_SEEDED && !c->bytes[0] && !c->bytes[1] && !c->from_start &&
	    t->seeding) {
		c->from_start = e->h.flags & EVF_TCP && !e->tcp_bytes_sent && !e->tcp_bytes_recv;
		c->idle = e->h.flags & EVF_TCP && !outstanding(e) && !e->tcp_unread &&
		          !e->tcp_unacked;
		c->outstanding = outstanding(e);
		c->seed_sent_ns = e->h.flags & EVF_TCP && e->tcp_bytes_sent
		                          ? e->h.ts_ns - e->tcp_last_sent_ns
		                          : 0;
		/* a socket of several processes is waited for by the descriptor of the one it is known by */
		c->fd = e->h.pid == c->pid ? e->fd : c->fd;
	}
}

/* Sent last, received later: a reply, or no more than what a TLS server sends of its own after the handshake. Who waits
 * for that one connection tells. */
void conns_thread(struct conns *t, const struct ev_thread *e)
{
	if (!t->seeding || e->fds_total != 1 || e->nfds != 1)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct conn *c = t->buckets[i]; c; c = c->next) {
			if (c->pid != e->h.pid || c->fd != e->fds[0] || c->role == ROLE_SERVER ||
			    !c->seed_sent_ns)
				continue;
			c->outstanding = true;
			c->idle = false;
		}
	}
}

void conns_seeded(struct conns *t)
{
	if (!t->seeding)
		return;
	t->seeding = false;
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct conn *c = t->buckets[i]; c; c = c->next)
			if (c->outstanding)
				conn_seed(c);
	}
}

/* ---- data ---- */

static struct stamp stamp_of(const struct ev_data *e)
{
	return (struct stamp){ e->start_ns, e->h.ts_ns, e->h.pid, e->h.tid, e->task };
}

/* Bytes before this record that never came, in a direction. Sets what is accounted for up to the record's own bytes. */
static uint64_t missing_before(struct conn *c, const struct ev_data *e)
{
	uint64_t at = e->pos + e->off, missing = 0;

	if (c->pos_known[e->dir] && at > c->pos[e->dir])
		missing = at - c->pos[e->dir];
	c->pos_known[e->dir] = true;
	c->pos[e->dir] = at + e->n;
	return missing;
}

static void ended(struct conn *c, const struct ev_data *e, enum done_why why)
{
	struct stamp at = stamp_of(e);

	held_flush(c->table, e->h.tid, NULL);
	conn_stop(c, why, &at);
	if (c->peer && c->sock)
		conn_stop(c->peer, why, &at);
}

/* The connection of the record; before it, so that neither can cost the other its place, the TLS object above it. */
static struct conn *conn_of(struct conns *t, const struct ev_data *e)
{
	if (e->tls)
		make(t, 0, e->tls, e->h.pid);
	return e->h.type == EV_DATA ? make(t, e->sock, 0, e->h.pid) : find(t, 0, e->tls, e->h.pid);
}

/* What is ignored may still tell names. A resolver that does not connect its socket shows no port. */
static void ignored_data(struct conns *t, struct conn *c, const struct ev_data *e)
{
	if (!e->off)
		c->bytes[e->dir] += e->total;
	if (c->datagram && e->dir == DIR_IN && (c->port == DNS_PORT || !c->port) && !e->off &&
	    e->n == e->total)
		dns_answer(t->dns, (struct bytes){ (const char *)e->data, e->n });
}

void conns_data(struct conns *t, const struct ev_data *e)
{
	struct conn *c = conn_of(t, e);
	struct stamp at = stamp_of(e);
	struct bytes b = { (const char *)e->data, e->n };
	uint64_t missing, rest = 0;

	if (c && c->ignored)
		ignored_data(t, c, e);
	if (!c || c->ignored)
		return;
	c->shared |= c->sock && c->pid != e->h.pid;
	c->pid = e->h.pid;
	if (c->sock)
		socket_used(t, e->h.tid, c);
	held_flush(t, e->h.tid, e);
	if (e->h.type == EV_TLS)
		tls_found(t, c, e);
	else if (e->tls)
		tls_above(c, find(t, 0, e->tls, e->h.pid));
	if (e->off == 0) {
		c->bytes[e->dir] += e->total;
		c->last_ns[e->dir] = e->h.ts_ns;
		if (e->total)
			conn_look(c, e);
	}
	if (e->err || e->h.flags & EVF_EOF) {
		ended(c, e, e->err ? DONE_RESET : DONE_PEER_CLOSED);
		return;
	}
	missing = missing_before(c, e);
	if (missing)
		c->gaps++;
	if (missing && e->dir == DIR_IN)
		c->in_sync = false;
	c->dropped += c->ciphertext ? 0 : missing;
	if (!(e->h.flags & EVF_MORE) && e->off + e->n < e->total) {
		rest = e->total - e->off - e->n;
		c->pos[e->dir] += rest;
		c->gaps += !c->ciphertext;
		c->dropped += c->ciphertext ? 0 : rest;
	}
	if (c->ciphertext) {
		cipher_data(c, e);
	} else {
		if (missing)
			conn_feed(c, e->dir, (struct bytes){ "", 0 }, missing, PARTIAL_EVENTS_LOST,
			          &at);
		conn_feed(c, e->dir, b, rest, PARTIAL_TRUNCATED, &at);
	}
	if (c->open)
		t->ops.moved(t->ops.ctx, c, e->dir, e->h.ts_ns);
}

/* What the program calls the server: the name it looks for in the certificate. */
void conns_named(struct conns *t, const struct ev_tls_name *e)
{
	struct conn *c = make(t, 0, e->tls, e->h.pid);
	size_t n = e->h.size - sizeof(*e);
	char name[sizeof(c->endpoint.host)];

	if (!c || !n || n >= sizeof(name))
		return;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)e->text[i]) &&
		    (!e->text[i] || !strchr(".-_", e->text[i])))
			return;
	memcpy(name, e->text, n);
	name[n] = '\0';
	conn_host(c, name);
}

void conns_body(struct conns *t, const struct ev_body *e)
{
	struct conn *c = find(t, e->sock, e->tls, e->h.pid);
	int dir = c && c->role == ROLE_SERVER ? !e->dir : (int)e->dir;
	struct bytes b = { (const char *)e->data, e->h.size - sizeof(*e) };
	bool more = e->h.flags & EVF_MORE;

	/* blocks of one slice follow each other: no other event comes in between */
	if ((more || t->body.n) && t->body.n + b.n <= DECODE_MAX && buf_add(&t->body, b.p, b.n))
		b = buf_bytes(&t->body);
	if (more)
		return;
	if (c && c->proto && c->proto->decoded)
		c->proto->decoded(c->state, dir, b);
	buf_free(&t->body);
}

void conns_close(struct conns *t, const struct ev_close *e)
{
	struct conn *c = e->h.type == EV_CLOSE ? find(t, e->sock, 0, 0)
	                                       : find(t, 0, e->tls, e->h.pid);
	struct stamp at = { e->h.ts_ns, e->h.ts_ns, e->h.pid, e->h.tid, 0 };
	enum done_why why;

	if (!c || (e->h.type == EV_CLOSE && !(e->h.flags & EVF_LAST)))
		return;
	held_flush(t, e->h.tid, NULL);
	why = e->timed_out_ns && e->h.ts_ns - e->timed_out_ns < TIMED_OUT_NS ? DONE_TIMED_OUT
	                                                                     : DONE_CLOSED;
	if (c->sock && c->peer)
		conn_stop(c->peer, why, &at);
	conn_free(c, why, &at);
}

void conns_process_exit(struct conns *t, uint32_t pid, uint64_t ts_ns)
{
	struct stamp at = { ts_ns, ts_ns, pid, pid, 0 };

	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct conn *c = t->buckets[i], *next; c; c = next) {
			next = c->next;
			if (c->pid == pid && c->shared)
				conn_stop(c, DONE_CLOSED, &at); /* another process has it too */
			else if (c->pid == pid)
				conn_free(c, DONE_CLOSED, &at);
		}
	}
}

void conns_tick(struct conns *t, uint64_t ts_ns)
{
	held_flush_older(t, ts_ns);
	conns_await_over(t, ts_ns);
}

void conns_end(struct conns *t, uint64_t ts_ns)
{
	struct stamp at = { ts_ns, ts_ns, 0, 0, 0 };

	held_flush_older(t, UINT64_MAX);
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct conn *c = t->buckets[i]; c; c = c->next)
			conn_stop(c, DONE_DETACHED, &at);
}

void conns_rename(struct conns *t)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct conn *c = t->buckets[i]; c; c = c->next)
			conn_rename(c);
}

void conns_each(struct conns *t, void (*fn)(void *ctx, struct conn *c), void *ctx)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct conn *c = t->buckets[i]; c; c = c->next)
			fn(ctx, c);
}

uint64_t conns_forgotten(const struct conns *t)
{
	return t->forgotten;
}
