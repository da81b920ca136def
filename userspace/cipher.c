/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sockets that carry TLS: the server's name from the ClientHello (RFC 8446 4.1.2, RFC 6066 3), and which TLS object speaks
 * through which socket.
 *
 * A client with a socket below its TLS object makes its system calls inside the TLS call: the kernel side tells the socket. Of
 * Go it reads which object a socket is below, and tells it with the socket's bytes: they need not come on one thread.
 * With memory BIOs (asyncio, Node) the plaintext goes into the object first and the ciphertext out of the thread next: the
 * next write of that thread to a TLS socket carries it, if its length is that of the records (RFC 8446 5.2). This is
 * checked for every write, and a join that no longer holds is undone.
 *
 * Where no TLS object is found the connection has timings only: application data out opens a call, in answers it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "conn_private.h"
#include "proto/generic.h"

#define RECORD_CCS 20
#define RECORD_HANDSHAKE 22
#define RECORD_DATA 23
#define RECORD_HEADER 5
#define RECORD_PLAIN_MAX 16384
/* What a record adds to its plaintext: 17 is the least an AEAD needs with the header and no nonce, 85 the most a CBC suite
 * with padding takes. */
#define RECORD_ADDS_MIN 21
#define RECORD_ADDS_MAX 85
/* The first write may also carry the client's Finished, certificates, a change of cipher. */
#define HANDSHAKE_ADDS_MAX 8192
/* Bodies of a TLS 1.3 client's Finished, encrypted: message 36 or 52 bytes, type byte, tag. */
#define FINISHED_SHA256 53
#define FINISHED_SHA384 69
/* Plaintext whose socket is not known makes the same thread's ciphertext within this time its likely other side. */
#define SAME_WRITE_NS 50000000ull

#define HELD_MAX 64   /* writes of one thread that wait for its next event */
#define WRITES_MAX 16 /* plaintext writes of one thread whose ciphertext has not come yet */
/* Threads remembered in each bucket, 32 MB in all; the one used longest ago is forgotten: a run of a week makes millions,
 * and where events are lost their end is not seen. */
#define BUCKET_THREADS_MAX 8

enum handshake { HS_NONE, HS_HELLO, HS_ANSWERED, HS_DONE };

struct held_op {
	struct conn *c;
	struct stamp at;
	uint64_t n;
};

struct plain_write {
	struct conn *c;
	uint64_t n;
	uint64_t ts_ns;
};

struct flow_thread {
	uint32_t tid;
	uint64_t last; /* inode of the socket used last */
	unsigned nheld, nwrites;
	struct held_op held[HELD_MAX];
	struct plain_write writes[WRITES_MAX];
	struct flow_thread *next;
};

static void held_release(struct conns *t, struct flow_thread *f);

/* create: makes it when missing, and puts it in front of its bucket; the last of a full bucket, used longest ago, goes. */
static struct flow_thread *thread_find(struct conns *t, uint32_t tid, bool create)
{
	struct flow_thread **first = &t->threads[tid % THREAD_BUCKETS], **p = first, *f;
	bool found;

	for (unsigned n = 1; *p && (*p)->tid != tid && n < BUCKET_THREADS_MAX; n++)
		p = &(*p)->next;
	f = *p;
	found = f && f->tid == tid;
	if (!create)
		return found ? f : NULL;
	if (f)
		*p = f->next;
	if (f && !found) {
		held_release(t, f);
		free(f);
	}
	if (!found && !(f = calloc(1, sizeof(*f))))
		return NULL;
	f->tid = tid;
	f->next = *first;
	*first = f;
	return f;
}

void socket_used(struct conns *t, uint32_t tid, const struct conn *c)
{
	struct flow_thread *f = thread_find(t, tid, true);

	if (f)
		f->last = c->sock;
	t->turns += t->last != c->sock;
	t->last = c->sock;
}

const struct conn *thread_socket(struct conns *t, uint32_t tid)
{
	const struct flow_thread *f = thread_find(t, tid, false);

	return f ? conns_by_sock(t, f->last) : NULL;
}

void threads_free(struct conns *t)
{
	for (size_t i = 0; t->threads && i < THREAD_BUCKETS; i++) {
		while (t->threads[i]) {
			struct flow_thread *f = t->threads[i];

			t->threads[i] = f->next;
			free(f);
		}
	}
	free(t->threads);
}

/* ---- the ClientHello ---- */

static unsigned be16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* A record header of a kind and version that exist. */
static bool is_record(const uint8_t *p, size_t n)
{
	return n >= RECORD_HEADER && p[0] >= RECORD_CCS && p[0] <= RECORD_DATA && p[1] == 3 &&
	       p[2] <= 4 && be16(p + 3) <= RECORD_PLAIN_MAX + 2048;
}

static bool is_client_hello(const uint8_t *p, size_t n)
{
	return n >= 11 && is_record(p, n) && p[0] == RECORD_HANDSHAKE && p[5] == 1 && p[9] == 3;
}

/* Skips a vector whose length takes len_bytes; false when it does not fit. */
static bool skip(const uint8_t **p, const uint8_t *end, size_t len_bytes)
{
	size_t n = 0;

	if ((size_t)(end - *p) < len_bytes)
		return false;
	for (size_t i = 0; i < len_bytes; i++)
		n = n << 8 | *(*p)++;
	if ((size_t)(end - *p) < n)
		return false;
	*p += n;
	return true;
}

/* The name in the server_name extension; n is cut to what was captured. False when there is none. */
static bool hello_sni(const uint8_t *p, size_t n, char *to, size_t room)
{
	const uint8_t *end = p + n;

	if (n < 43)
		return false;
	p += RECORD_HEADER + 4 + 2 + 32;
	if (!skip(&p, end, 1) || !skip(&p, end, 2) || !skip(&p, end, 1) || end - p < 2)
		return false;
	for (p += 2; end - p >= 4;) {
		unsigned type = be16(p), len = be16(p + 2);

		p += 4;
		if ((size_t)(end - p) < len)
			return false;
		if (type == 0 && len >= 5 && p[2] == 0 && be16(p + 3) <= len - 5u &&
		    be16(p + 3) < room) {
			memcpy(to, p + 5, be16(p + 3));
			to[be16(p + 3)] = '\0';
			return true;
		}
		p += len;
	}
	return false;
}

static void becomes_ciphertext(struct conn *c, const struct stamp *at)
{
	c->ciphertext = true;
	/* a call seeded at attach goes on: it is only known by its times anyway */
	if (c->proto != &proto_generic)
		conn_stop(c, DONE_SWITCHED, at);
	c->table->ops.enough(c->table->ops.ctx, c->sock, CIPHER_CAPTURE);
}

void conn_look(struct conn *c, const struct ev_data *e)
{
	struct stamp at = { e->start_ns, e->h.ts_ns, e->h.pid, e->h.tid, e->task };
	char name[sizeof(c->endpoint.host)];

	if (!c->sock)
		return;
	if (e->dir == (c->role == ROLE_SERVER ? DIR_IN : DIR_OUT) &&
	    is_client_hello(e->data, e->n)) {
		if (!c->ciphertext)
			becomes_ciphertext(c, &at);
		c->handshake = HS_HELLO;
		if (hello_sni(e->data, e->n, name, sizeof(name)))
			conn_host(c, name);
	} else if (!c->ciphertext && !c->from_start && (!c->proto || c->proto == &proto_generic) &&
	           e->n >= RECORD_HEADER && e->data[0] == RECORD_DATA && is_record(e->data, e->n)) {
		becomes_ciphertext(c, &at);
		c->handshake = HS_DONE;
	}
}

/* ---- calls of connections whose plaintext is not seen ---- */

/* Does a client's write carry application data, or only the end of the handshake? */
static bool carries_data(const struct conn *c, const struct ev_data *e)
{
	uint64_t at = 0;

	if (c->handshake == HS_DONE || c->handshake == HS_NONE)
		return true;
	while (at + RECORD_HEADER <= e->n && is_record(e->data + at, e->n - at)) {
		unsigned len = be16(e->data + at + 3);

		if (e->data[at] == RECORD_DATA && len != FINISHED_SHA256 && len != FINISHED_SHA384)
			return true;
		at += RECORD_HEADER + len;
	}
	return at < e->total && at >= e->n;
}

static void plain_missing(struct conn *c, int dir, uint64_t n, const struct stamp *at)
{
	/* times and lengths are all there is: the parser of last resort sees a gap of that length */
	conn_feed(c, dir, (struct bytes){ "", 0 }, n, PARTIAL_NO_PLAINTEXT, at);
}

static void held_release(struct conns *t, struct flow_thread *f)
{
	struct held_op held[HELD_MAX];
	unsigned n = f->nheld;

	(void)t;
	memcpy(held, f->held, n * sizeof(*held));
	f->nheld = 0;
	for (unsigned i = 0; i < n; i++)
		if (held[i].c && !held[i].c->peer)
			plain_missing(held[i].c, DIR_OUT, held[i].n, &held[i].at);
}

void held_flush(struct conns *t, uint32_t tid, const struct ev_data *now)
{
	struct flow_thread *f = thread_find(t, tid, false);

	if (!f || !f->nheld)
		return;
	if (now && now->h.type == EV_DATA && now->dir == DIR_OUT && f->held[0].c &&
	    now->sock == f->held[0].c->sock)
		return;
	if (now && now->h.type == EV_TLS && f->held[0].c && now->sock == f->held[0].c->sock) {
		f->nheld = 0;
		return;
	}
	held_release(t, f);
}

void held_flush_older(struct conns *t, uint64_t ts_ns)
{
	for (size_t i = 0; i < THREAD_BUCKETS; i++)
		for (struct flow_thread *f = t->threads[i]; f; f = f->next)
			if (f->nheld && f->held[0].at.end_ns + SAME_WRITE_NS < ts_ns)
				held_release(t, f);
}

void held_forget(struct conns *t, const struct conn *c)
{
	if (!c->noted)
		return;
	for (size_t i = 0; i < THREAD_BUCKETS; i++) {
		for (struct flow_thread *f = t->threads[i]; f; f = f->next) {
			for (unsigned k = 0; k < f->nheld; k++)
				if (f->held[k].c == c)
					f->held[k].c = NULL;
			for (unsigned k = 0; k < f->nwrites; k++)
				if (f->writes[k].c == c)
					f->writes[k].c = NULL;
		}
	}
}

static void held_add(struct conns *t, struct conn *c, const struct ev_data *e)
{
	struct flow_thread *f = thread_find(t, e->h.tid, true);

	if (!f)
		return;
	if (f->nheld == HELD_MAX)
		held_release(t, f);
	c->noted = true;
	f->held[f->nheld++] = (struct held_op){
		.c = c,
		.at = { e->start_ns, e->h.ts_ns, e->h.pid, e->h.tid, e->task },
		.n = e->total,
	};
}

/* ---- joining ---- */

static void join(struct conn *tls, struct conn *sock)
{
	struct stamp at = { sock->last_ns[DIR_OUT], sock->last_ns[DIR_OUT], sock->pid, sock->pid,
		            0 };

	if (tls->peer == sock)
		return;
	conn_part(tls);
	conn_part(sock);
	/* what the socket was taken for before its plaintext was found ends here */
	conn_stop(sock, DONE_SWITCHED, &at);
	tls->peer = sock;
	sock->peer = tls;
	sock->plaintext_seen = true;
	if (!sock->ciphertext) {
		sock->ciphertext = true;
		sock->table->ops.enough(sock->table->ops.ctx, sock->sock, CIPHER_CAPTURE);
	}
	tls->role = sock->role;
	tls->port = sock->port;
	snprintf(tls->endpoint.addr, sizeof(tls->endpoint.addr), "%s", sock->endpoint.addr);
	if (sock->endpoint.host[0] && !tls->endpoint.host[0])
		snprintf(tls->endpoint.host, sizeof(tls->endpoint.host), "%s", sock->endpoint.host);
	conn_rename(tls);
}

void tls_above(struct conn *sock, struct conn *tls)
{
	if (tls && !tls->ignored && sock->peer != tls)
		join(tls, sock);
}

/* What is older was carried in a way we could not tell (a short write, a lost record) and must not stand in the way of
 * what comes. */
static void writes_expire(struct flow_thread *f, uint64_t now_ns)
{
	unsigned old = 0;

	while (old < f->nwrites && f->writes[old].ts_ns + SAME_WRITE_NS <= now_ns)
		old++;
	f->nwrites -= old;
	memmove(f->writes, f->writes + old, f->nwrites * sizeof(*f->writes));
}

void tls_found(struct conns *t, struct conn *c, const struct ev_data *e)
{
	struct conn *sock = conns_by_sock(t, e->sock);
	struct flow_thread *f;

	if (sock) {
		join(c, sock);
		return;
	}
	if (e->dir != DIR_OUT || e->off || !(f = thread_find(t, e->h.tid, true)))
		return;
	writes_expire(f, e->h.ts_ns);
	if (f->nwrites == WRITES_MAX)
		memmove(f->writes, f->writes + 1, --f->nwrites * sizeof(*f->writes));
	c->noted = true;
	f->writes[f->nwrites++] = (struct plain_write){ c, e->total, e->h.ts_ns };
}

/* Can n bytes of plaintext have become total bytes on the wire? */
static bool records_fit(const struct conn *sock, uint64_t n, uint64_t total)
{
	uint64_t records = (n + RECORD_PLAIN_MAX - 1) / RECORD_PLAIN_MAX;
	uint64_t extra = sock->handshake == HS_DONE ? 0 : HANDSHAKE_ADDS_MAX;

	return total >= n + RECORD_ADDS_MIN * records &&
	       total <= n + RECORD_ADDS_MAX * records + extra;
}

/* The thread's oldest plaintext write(s) of one object, if they are what this operation carries. */
static bool join_by_length(struct conns *t, struct conn *sock, const struct ev_data *e)
{
	struct flow_thread *f = thread_find(t, e->h.tid, false);
	uint64_t n = 0;

	if (f)
		writes_expire(f, e->h.ts_ns);
	for (unsigned i = 0; f && i < f->nwrites; i++) {
		if (f->writes[i].c != f->writes[0].c)
			break;
		n += f->writes[i].n;
		if (!f->writes[0].c || !records_fit(sock, n, e->total))
			continue;
		join(f->writes[0].c, sock);
		f->nwrites -= i + 1;
		memmove(f->writes, f->writes + i + 1, f->nwrites * sizeof(*f->writes));
		return true;
	}
	return false;
}

/* Plaintext without a socket was written by this thread just now: this is most likely its ciphertext, though the lengths do
 * not say so for certain. Then it must not be counted as a call of its own. */
static bool likely_seen(struct conns *t, const struct ev_data *e)
{
	struct flow_thread *f = thread_find(t, e->h.tid, false);
	bool seen = false;

	for (unsigned i = 0; f && i < f->nwrites; i++)
		seen |= f->writes[i].ts_ns + SAME_WRITE_NS > e->h.ts_ns;
	return seen;
}

void cipher_data(struct conn *c, const struct ev_data *e)
{
	struct stamp at = { e->start_ns, e->h.ts_ns, e->h.pid, e->h.tid, e->task };
	bool request = e->dir == (c->role == ROLE_SERVER ? DIR_IN : DIR_OUT);
	bool data = carries_data(c, e);

	if (!request && c->handshake == HS_HELLO)
		c->handshake = HS_ANSWERED;
	if (e->dir == DIR_OUT && join_by_length(c->table, c, e)) {
		c->handshake = HS_DONE;
		return;
	}
	if (c->peer) {
		if (c->calls + c->peer->calls == 0)
			c->setup_ns = e->h.ts_ns;
		return;
	}
	if (request && c->handshake == HS_ANSWERED && data)
		c->handshake = HS_DONE;
	if (c->handshake != HS_DONE && c->handshake != HS_NONE) {
		c->setup_ns = e->h.ts_ns;
		return;
	}
	if (!request)
		plain_missing(c, e->dir, e->total, &at);
	else if (e->dir == DIR_OUT && !likely_seen(c->table, e))
		held_add(c->table, c, e);
}
