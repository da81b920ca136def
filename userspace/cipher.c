/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sockets that carry TLS: how they are told, what their ClientHello says, which of their operations carry data, and their
 * calls where no TLS object is found: then a connection has timings only, application data out opens a call, in answers it.
 * Which TLS object speaks through which socket stands in tls_bind.c.
 */
#include <stdlib.h>

#include "conn_private.h"
#include "proto/generic.h"
#include "tls_hello.h"

/* Record types, RFC 8446 5.1 */
#define RECORD_CCS 20
#define RECORD_HANDSHAKE 22
#define RECORD_DATA 23
/* Bodies of a TLS 1.3 client's Finished, encrypted: message 36 or 52 bytes, type byte, tag. */
#define FINISHED_SHA256 53
#define FINISHED_SHA384 69
/* The body of a TLS 1.3 alert, encrypted (close_notify at the end): 2 bytes, type byte, tag. */
#define ALERT_BODY 19
/* Zeros that Java's JSSE adds to each record it encrypts (sun.security.ssl.SSLCipher, JDK 11 and later). */
#define PADDING 16
/* Session tickets of one handshake: OpenSSL sends two of 255 bytes, one when it resumed a session. */
#define TICKETS_MAX 4
#define TICKET_BODY_MIN 100
#define TICKET_BODY_MAX 1024

/* Ciphertext waits so long for its thread's next event. */
#define HELD_NS 50000000ull
/* Threads remembered in each bucket, 36 MB in all; the one used longest ago is forgotten: a run of a week makes millions,
 * and where events are lost their end is not seen. */
#define BUCKET_THREADS_MAX 8

enum handshake { HS_NONE, HS_HELLO, HS_ANSWERED, HS_DONE };

static void held_release(struct flow_thread *f);

/* create: makes it when missing, and puts it in front of its bucket; the last of a full bucket, used longest ago, goes. */
struct flow_thread *thread_find(struct conns *t, uint32_t tid, bool create)
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
		held_release(f);
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

static void becomes_ciphertext(struct conn *c, const struct stamp *at)
{
	c->ciphertext = true;
	/* a call seeded at attach goes on: it is only known by its times anyway */
	if (c->proto != &proto_generic)
		conn_stop(c, DONE_SWITCHED, at);
}

static void capture_records(struct conn *c)
{
	buf_free(&c->hello);
	c->table->ops.enough(c->table->ops.ctx, c->sock, CIPHER_CAPTURE);
}

/* What the client wrote first, or that and what it wrote next. False: no ClientHello. */
static bool hello_looks(struct conn *c, const struct ev_data *e, const struct stamp *at)
{
	struct tls_hello hello;
	struct bytes b = { (const char *)e->data, e->n };
	enum tls_hello_match m;

	if (c->hello.n) {
		if (!buf_add(&c->hello, b.p, b.n))
			return false;
		b = buf_bytes(&c->hello);
	}
	m = tls_hello_read(b, &hello);
	if (m == TLS_HELLO_NO)
		return false;
	if (!c->ciphertext)
		becomes_ciphertext(c, at);
	c->handshake = HS_HELLO;
	memcpy(c->alpn, hello.alpn, sizeof(c->alpn));
	if (hello.name[0])
		conn_host(c, hello.name);
	if (m == TLS_HELLO_MORE && e->n == e->total && b.n < TLS_HELLO_MAX &&
	    (c->hello.n || buf_add(&c->hello, b.p, b.n)))
		return true;
	capture_records(c);
	return true;
}

void conn_look(struct conn *c, const struct ev_data *e)
{
	struct stamp at = { e->start_ns, e->h.ts_ns, e->h.pid, e->h.tid, e->task };

	if (!c->sock)
		return;
	if (e->dir == (c->role == ROLE_SERVER ? DIR_IN : DIR_OUT) && hello_looks(c, e, &at))
		return;
	if (c->hello.n)
		capture_records(c);
	if (c->ciphertext)
		return;
	/* inside a call into the TLS library whatever goes through the socket is the library's: with kTLS plaintext, which
	 * the library's caller gave it */
	if (e->h.flags & EVF_IN_TLS ||
	    (!c->from_start && (!c->proto || c->proto == &proto_generic) && e->n >= RECORD_HEADER &&
	     e->data[0] == RECORD_DATA && is_record(e->data, e->n))) {
		becomes_ciphertext(c, &at);
		capture_records(c);
		c->handshake = HS_DONE;
	}
}

/* ---- calls of connections whose plaintext is not seen ---- */

static bool is_shaking(const struct conn *c)
{
	return c->handshake == HS_HELLO || c->handshake == HS_ANSWERED;
}

/* Is it as long as the client's Finished? */
static bool is_finished(unsigned len)
{
	return len == FINISHED_SHA256 || len == FINISHED_SHA384 || len == FINISHED_SHA384 + PADDING;
}

/* An alert of the client's? */
static bool is_alert(const struct conn *c, unsigned len)
{
	return len == (c->padded ? ALERT_BODY + PADDING : ALERT_BODY);
}

/*
 * Where application data begins in a write or read, total where it has none: the end of the handshake, an alert. Records are
 * told by their headers; where the capture ends before one, what follows handshake messages counts as such, all else as data.
 */
static uint64_t data_at(struct conn *c, const struct ev_data *e, bool request)
{
	unsigned len, before = 0;
	uint64_t at = 0;

	while (at + RECORD_HEADER <= e->n && is_record(e->data + at, e->n - at)) {
		len = be16(e->data + at + 3);
		if (e->data[at] == RECORD_DATA && !is_shaking(c))
			return is_alert(c, len) && at + RECORD_HEADER + len == e->total ? e->total
			                                                                : at;
		/* right behind the change of cipher an encrypted record is a certificate */
		if (e->data[at] == RECORD_DATA && ((request && c->finished) || !is_finished(len)))
			return before == RECORD_CCS ? e->total : at;
		c->tls13 |= e->data[at] == RECORD_DATA;
		if (request && e->data[at] == RECORD_DATA) {
			c->finished = true;
			/* as of TLS_AES_256_GCM_SHA384, which JSSE prefers */
			c->padded = len == FINISHED_SHA384 + PADDING;
		}
		before = e->data[at];
		at += RECORD_HEADER + len;
	}
	/* no record behind the client's Finished: the kernel makes them from here on (kTLS) */
	if (is_shaking(c) && request && c->finished && at == 0 && e->n >= RECORD_HEADER)
		return 0;
	if (is_shaking(c) &&
	    (before == RECORD_HANDSHAKE || e->n == e->total || at + RECORD_HEADER <= e->n))
		return e->total;
	return at < e->total ? at : e->total;
}

/*
 * The first records a TLS 1.3 server sends are session tickets (RFC 8446 4.6.1), in looks data like any other: one or a few,
 * all of one length. What may be one is kept: if nothing else comes it was the reply.
 */
static bool is_ticket(struct conn *c, unsigned len, const struct ev_data *e)
{
	if (!c->from_start || !c->tls13 || c->answered || c->tickets == TICKETS_MAX ||
	    len < TICKET_BODY_MIN || len > TICKET_BODY_MAX || (c->tickets && len != c->ticket_len))
		return false;
	c->tickets++;
	c->ticket_len = (uint16_t)len;
	if (is_shaking(c))
		return true;
	c->ticket_bytes += RECORD_HEADER + len;
	c->ticket_at = (struct stamp){ e->start_ns, e->h.ts_ns, e->h.pid, e->h.tid, e->task };
	return true;
}

/* Does a record that a client receives carry data of its peer? */
static bool record_counts(struct conn *c, const uint8_t *header, const struct ev_data *e)
{
	unsigned len = be16(header + 3);

	if (header[0] != RECORD_DATA || len == ALERT_BODY || is_ticket(c, len, e) || is_shaking(c))
		return false;
	c->answered = true;
	c->ticket_bytes = 0;
	return true;
}

/* Does a client's read bring data? Told by the headers of its records, one after the other; where they are lost, or
 * lie where nothing was captured, it is taken to. */
static bool brings_data(struct conn *c, const struct ev_data *e)
{
	bool counts = false;

	if (!c->in_sync && is_record(e->data, e->n)) {
		c->in_sync = true;
		c->in_left = 0;
	}
	for (uint64_t at = 0, n; c->in_sync && at < e->total; at += n) {
		if (!c->in_left) {
			if (at >= e->n || !is_record(e->data + at, e->n - at)) {
				c->in_sync = false;
				break;
			}
			c->in_left = RECORD_HEADER + be16(e->data + at + 3);
			c->in_counts = record_counts(c, e->data + at, e);
		}
		n = c->in_left < e->total - at ? c->in_left : e->total - at;
		c->in_left -= (uint32_t)n;
		counts |= c->in_counts;
	}
	return counts || (!c->in_sync && !is_shaking(c));
}

static void plain_missing(struct conn *c, int dir, uint64_t n, const struct stamp *at)
{
	/* times and lengths are all there is: the parser of last resort sees a gap of that length */
	conn_feed(c, dir, (struct bytes){ "", 0 }, n, PARTIAL_NO_PLAINTEXT, at);
}

void tickets_settle(struct conn *c)
{
	uint64_t n = c->ticket_bytes;

	c->ticket_bytes = 0;
	if (n && c->open && !c->peer)
		plain_missing(c, DIR_IN, n, &c->ticket_at);
}

static void held_release(struct flow_thread *f)
{
	struct held_op held[HELD_MAX];
	unsigned n = f->nheld;

	memcpy(held, f->held, n * sizeof(*held));
	f->nheld = 0;
	for (unsigned i = 0; i < n; i++)
		if (held[i].c && !held[i].c->peer)
			plain_missing(held[i].c, DIR_OUT, held[i].n, &held[i].at);
}

/* What was written to c waits no longer: a reply came, or another thread writes on. */
static void held_settle(struct conn *c)
{
	struct flow_thread *f = c->holder ? thread_find(c->table, c->holder, false) : NULL;

	c->holder = 0;
	if (f && f->nheld)
		held_release(f);
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
	held_release(f);
}

void held_flush_older(struct conns *t, uint64_t ts_ns)
{
	for (size_t i = 0; i < THREAD_BUCKETS; i++)
		for (struct flow_thread *f = t->threads[i]; f; f = f->next)
			if (f->nheld && f->held[0].at.end_ns + HELD_NS < ts_ns)
				held_release(f);
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
		held_release(f);
	if (c->holder != e->h.tid)
		held_settle(c);
	c->noted = true;
	c->holder = e->h.tid;
	f->held[f->nheld++] = (struct held_op){
		.c = c,
		.at = { e->start_ns, e->h.ts_ns, e->h.pid, e->h.tid, e->task },
		.n = e->total,
	};
}

/* ---- an operation ---- */

/* Its plaintext is seen, or will be as soon as the call into the TLS library that it is part of returns. */
static bool seen_elsewhere(struct conn *c, const struct ev_data *e, uint64_t data)
{
	if (e->dir == DIR_OUT && e->total > data && !(e->h.flags & EVF_IN_TLS))
		return tls_bind_out(c, e, e->total - data, is_shaking(c) && e->n < e->total);
	if (e->dir == DIR_IN)
		tls_bind_in(c, e, data == 0 && e->n >= RECORD_HEADER ? be16(e->data + 3) : 0);
	return c->peer || e->h.flags & EVF_IN_TLS;
}

static void operation(struct conn *c, const struct ev_data *e)
{
	struct stamp at = { e->start_ns, e->h.ts_ns, e->h.pid, e->h.tid, e->task };
	bool request = e->dir == (c->role == ROLE_SERVER ? DIR_IN : DIR_OUT);
	uint64_t data = data_at(c, e, request);
	bool counts = data < e->total, seen;

	if (!request && c->handshake == HS_HELLO)
		c->handshake = HS_ANSWERED;
	if (!request && e->dir == DIR_IN)
		counts = brings_data(c, e);
	seen = seen_elsewhere(c, e, data);
	if (request && c->handshake == HS_ANSWERED && counts)
		c->handshake = HS_DONE;
	/* a call that was under way when we came has times only, whatever is seen of what follows it */
	if (seen && !(c->open && !request)) {
		if (c->calls + (c->peer ? c->peer->calls : 0) == 0)
			c->setup_ns = e->h.ts_ns;
		return;
	}
	if (is_shaking(c))
		c->setup_ns = e->h.ts_ns;
	if (is_shaking(c) || !counts)
		return;
	if (!request) {
		held_settle(c);
		plain_missing(c, e->dir, e->total, &at);
	} else if (e->dir == DIR_OUT) {
		tickets_settle(c);
		held_add(c->table, c, e);
	}
}

/* The beginning of an operation that came in several records (writev), as one. */
struct cipher_join {
	struct ev_data e;
	uint8_t room[CIPHER_CAPTURE];
};

static void join_end(struct conn *c)
{
	struct cipher_join *j = c->join;

	c->join = NULL;
	if (j)
		operation(c, &j->e);
	free(j);
}

/* False: no memory. */
static bool join_begin(struct conn *c, const struct ev_data *e)
{
	c->join = malloc(sizeof(*c->join));
	if (!c->join)
		return false;
	memcpy(&c->join->e, e, sizeof(*e) + e->n);
	return true;
}

static void join_add(struct cipher_join *j, const struct ev_data *e)
{
	uint32_t n = e->n < CIPHER_CAPTURE - j->e.n ? e->n : CIPHER_CAPTURE - j->e.n;

	memcpy(j->e.data + j->e.n, e->data, n);
	j->e.n += n;
}

void cipher_data(struct conn *c, const struct ev_data *e)
{
	bool more = e->h.flags & EVF_MORE;

	/* what it lacks was lost */
	if (c->join && (e->off != c->join->e.n || e->start_ns != c->join->e.start_ns ||
	                e->dir != c->join->e.dir))
		join_end(c);
	if (c->join)
		join_add(c->join, e);
	else if (e->off)
		return;
	else if (!more || e->n >= CIPHER_CAPTURE || !join_begin(c, e))
		operation(c, e);
	if (c->join && (!more || c->join->e.n == CIPHER_CAPTURE))
		join_end(c);
}
