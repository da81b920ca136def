/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which TLS object speaks through which socket.
 *
 * An object with a socket below it makes its system calls inside the calls to it: the kernel side tells the socket, a fact.
 * Of Go it reads which object a socket is below, and tells it with the socket's bytes: they need not come on one thread.
 * With memory BIOs (asyncio, Node) the plaintext goes into the object first and the ciphertext out of the thread next. So
 * the next write of that thread to a TLS socket carries what was written into one object, if its length is that of the
 * records (RFC 8446 5.2), and if no other object's are as much like it. Such a binding is checked on all that follows: a socket sends
 * no more than its object was given, an object gives no more than its socket received. When that does not hold the two
 * are parted: plaintext alone names and times its calls as well, it must only never count as another connection's.
 */
#include <stdio.h>

#include "conn_private.h"

/* What a record adds to its plaintext: 16 is the least an AEAD needs, with the header and no nonce; 85 the most a CBC suite
 * with padding takes. */
#define RECORD_ADDS_MIN 21
#define RECORD_ADDS_MAX 85
/* What it adds where it is always the same: TLS 1.2 with ChaCha20 (RFC 7905), TLS 1.3, TLS 1.2 with AES-GCM (RFC 5288). */
#define ADDS_CHACHA 21
#define ADDS_TLS13 22
#define ADDS_GCM 29
/* The first write may also carry the client's Finished, certificates, a change of cipher. */
#define HANDSHAKE_ADDS_MAX 8192
/* The largest write that is no data of anybody's: an alert, a change of keys. */
#define TRIFLE_MAX 64
/* Plaintext whose ciphertext was not told by then went out in a way we cannot tell (a lost record); what comes later must
 * not be taken for it, nor wait for it. */
#define WRITE_NS 1000000000ull

/* From nothing to what is most certain; FIT_AS_BEFORE: with what records added to the writes joined last. */
enum fit { FIT_NONE, FIT_PIECE, FIT_LOOSE, FIT_AEAD, FIT_AS_BEFORE };

static uint64_t records_of(uint64_t n)
{
	return (n + RECORD_PLAIN_MAX - 1) / RECORD_PLAIN_MAX;
}

static void join(struct conn *tls, struct conn *sock)
{
	if (tls->peer == sock)
		return;
	tls_part(tls);
	tls_part(sock->peer);
	tls->peer = sock;
	sock->peer = tls;
	sock->plaintext_seen = true;
	sock->unread = 0;
	if (!sock->ciphertext) {
		/* what the socket was taken for before its plaintext was found ends here */
		conn_end_late(sock);
		sock->ciphertext = true;
		sock->table->ops.enough(sock->table->ops.ctx, sock->sock, CIPHER_CAPTURE);
	}
	tls->role = sock->role;
	tls->port = sock->port;
	memcpy(tls->alpn, sock->alpn, sizeof(tls->alpn));
	snprintf(tls->endpoint.addr, sizeof(tls->endpoint.addr), "%s", sock->endpoint.addr);
	if (sock->endpoint.host[0] && !tls->endpoint.host[0])
		snprintf(tls->endpoint.host, sizeof(tls->endpoint.host), "%s", sock->endpoint.host);
	else if (tls->endpoint.host[0] && !sock->endpoint.host[0])
		conn_host(sock, tls->endpoint.host);
	conn_rename(tls);
	conn_await_over(tls);
}

void tls_part(struct conn *tls)
{
	if (!tls || !tls->peer)
		return;
	conn_part(tls);
	tls->owed = tls->owed_records = 0;
	tls->port = 0;
	tls->endpoint.addr[0] = tls->alpn[0] = '\0';
	conn_rename(tls);
}

/* ---- what a thread wrote into objects, and what of it has not left ---- */

static void writes_drop(struct flow_thread *f, unsigned i)
{
	f->nwrites--;
	memmove(f->writes + i, f->writes + i + 1, (f->nwrites - i) * sizeof(*f->writes));
}

/* Forgets what is old and what left by another thread. */
static void writes_tidy(struct flow_thread *f, uint64_t now_ns)
{
	for (unsigned i = f->nwrites; i-- > 0;) {
		const struct plain_write *w = &f->writes[i];

		if (!w->c || w->ts_ns + WRITE_NS <= now_ns || (w->c->peer && !w->c->owed))
			writes_drop(f, i);
	}
}

static void writes_add(struct conns *t, struct conn *c, const struct ev_data *e)
{
	struct flow_thread *f = thread_find(t, e->h.tid, true);

	if (!f)
		return;
	writes_tidy(f, e->h.ts_ns);
	if (f->nwrites == WRITES_MAX)
		writes_drop(f, 0);
	c->noted = true;
	f->writes[f->nwrites++] = (struct plain_write){ c, e->total, e->h.ts_ns };
}

/* An object's writes up to the one at i left. */
static void writes_left(struct flow_thread *f, const struct conn *c, unsigned i)
{
	do {
		if (f->writes[i].c == c)
			writes_drop(f, i);
	} while (i-- > 0);
}

/* How well n bytes on the wire are that much plaintext in so many records. */
static enum fit fit_of(const struct conns *t, uint64_t n, uint64_t plain, uint64_t records,
                       uint64_t adds)
{
	uint64_t each;

	if (n < plain + RECORD_ADDS_MIN * records || n > plain + RECORD_ADDS_MAX * records + adds)
		return FIT_NONE;
	each = (n - plain) % records == 0 ? (n - plain) / records : 0;
	if (each && each == t->record_adds)
		return FIT_AS_BEFORE;
	return each == ADDS_CHACHA || each == ADDS_TLS13 || each == ADDS_GCM ? FIT_AEAD : FIT_LOOSE;
}

/* Writes of one object that n bytes on the wire can be. */
struct match {
	struct conn *c;
	enum fit fit;
	unsigned last;  /* index of the newest of them */
	uint64_t plain; /* bytes of them */
	uint64_t records;
	uint64_t rest; /* plaintext of them still to come */
};

/* The object's writes from the one at first on. */
static void match_from(const struct conns *t, const struct flow_thread *f, unsigned first,
                       uint64_t n, uint64_t adds, struct match *best)
{
	struct match m = { .c = f->writes[first].c };

	for (unsigned i = first; i < f->nwrites; i++) {
		if (f->writes[i].c != m.c)
			continue;
		m.last = i;
		m.plain += f->writes[i].n;
		m.records += records_of(f->writes[i].n);
		m.fit = fit_of(t, n, m.plain, m.records, adds);
		if (m.fit > best->fit)
			*best = m;
	}
	/* the socket takes a large write in pieces */
	if (best->fit == FIT_NONE && m.plain > RECORD_PLAIN_MAX && n >= RECORD_PLAIN_MAX &&
	    n < m.plain) {
		m.fit = FIT_PIECE;
		m.rest = m.plain - n;
		*best = m;
	}
}

/* The one object whose writes these n bytes are most like; false: none, or more than one. */
static bool match_find(const struct conns *t, const struct flow_thread *f, uint64_t n,
                       uint64_t adds, struct match *to)
{
	bool several = false;

	*to = (struct match){ 0 };
	for (unsigned i = 0; i < f->nwrites; i++) {
		struct match m = { 0 };

		match_from(t, f, i, n, adds, &m);
		several = m.fit == to->fit && m.c != to->c ? true
		          : m.fit > to->fit                ? false
		                                           : several;
		if (m.fit > to->fit)
			*to = m;
	}
	/* bound already: only if nothing else can have been meant */
	for (unsigned i = 0; to->c && to->c->peer && i < f->nwrites; i++)
		several |= f->writes[i].c != to->c;
	return to->fit != FIT_NONE && !several;
}

/* ---- checks ---- */

/* A socket sends n bytes: has its object written as much? */
static bool owes(struct conn *tls, uint64_t n, uint64_t adds)
{
	uint64_t least = tls->owed + RECORD_ADDS_MIN * tls->owed_records;
	uint64_t most = tls->owed + RECORD_ADDS_MAX * tls->owed_records + adds;

	if (n > most)
		return n <= TRIFLE_MAX;
	tls->owed = n < least && n < tls->owed ? tls->owed - n : 0;
	tls->owed_records = records_of(tls->owed);
	return true;
}

bool tls_bind_out(struct conn *sock, const struct ev_data *e, uint64_t n, bool shaking)
{
	struct flow_thread *f = thread_find(sock->table, e->h.tid, false);
	uint64_t adds = shaking ? HANDSHAKE_ADDS_MAX : 0;
	struct conn *tls = sock->peer;
	struct match m;

	if (tls && (tls->proven || owes(tls, n, adds))) {
		if (f)
			writes_tidy(f, e->h.ts_ns);
		return true;
	}
	tls_part(tls);
	if (!f)
		return false;
	writes_tidy(f, e->h.ts_ns);
	if (!match_find(sock->table, f, n, adds, &m))
		return f->nwrites > 0; /* most likely of one of them: no call of its own */
	tls = m.c;
	if (m.fit >= FIT_AEAD)
		sock->table->record_adds = (n - m.plain) / m.records;
	writes_left(f, tls, m.last);
	join(tls, sock);
	conn_settle_below(tls, true);
	tls->owed = m.rest;
	tls->owed_records = records_of(m.rest);
	for (unsigned i = 0; i < f->nwrites; i++) {
		if (f->writes[i].c != tls)
			continue;
		tls->owed += f->writes[i].n;
		tls->owed_records += records_of(f->writes[i].n);
	}
	return true;
}

void tls_bind_in(struct conn *sock, const struct ev_data *e, unsigned record)
{
	struct flow_thread *f;

	sock->record = (uint16_t)(record <= RECORD_PLAIN_MAX + RECORD_ADDS_MAX ? record : 0);
	if (!sock->peer) {
		f = record ? thread_find(sock->table, e->h.tid, true) : NULL;
		if (f && f->nreads == READS_MAX)
			memmove(f->reads, f->reads + 1, --f->nreads * sizeof(*f->reads));
		if (f)
			f->reads[f->nreads++] =
				(struct cipher_read){ sock->sock, record, e->total };
		return;
	}
	/* of what came before and was not read, no more can wait than a record that is not whole */
	if (sock->unread > RECORD_PLAIN_MAX + RECORD_ADDS_MAX)
		sock->unread = RECORD_PLAIN_MAX + RECORD_ADDS_MAX;
	sock->unread += e->total;
	sock->fresh = true;
}

static bool record_holds(uint64_t record, uint64_t n)
{
	return record >= n + RECORD_ADDS_MIN - RECORD_HEADER &&
	       record <= n + RECORD_ADDS_MAX - RECORD_HEADER;
}

/* An object without a socket gave n bytes: through which did they come? The oldest record of that length that the thread
 * received is theirs; if it is the newest thing it did, and no other is like it, the two are joined. */
static void reads_unbound(struct conns *t, struct conn *tls, const struct ev_data *e)
{
	struct flow_thread *f = thread_find(t, e->h.tid, false);
	struct cipher_read r = { 0 };
	unsigned found = 0, at = 0;
	struct conn *sock;

	for (unsigned i = 0; f && i < f->nreads; i++)
		if (record_holds(f->reads[i].record, e->total) && !found++)
			at = i;
	if (!found)
		return;
	r = f->reads[at];
	memmove(f->reads + at, f->reads + at + 1, (--f->nreads - at) * sizeof(*f->reads));
	tls->through = r.sock;
	sock = conns_by_sock(t, r.sock);
	if (!sock || sock->peer || found > 1 || f->last != r.sock)
		return;
	join(tls, sock);
	sock->unread = r.total - e->total - RECORD_ADDS_MIN;
}

/* An object gave n bytes: did its socket receive as much? If not, who did? */
static void reads(struct conns *t, struct conn *tls, const struct ev_data *e)
{
	struct conn *sock = tls->peer, *last;
	uint64_t least = e->total + (sock && sock->fresh ? RECORD_ADDS_MIN : 0);

	tls->through = 0;
	if (!sock) {
		reads_unbound(t, tls, e);
		return;
	}
	if (sock->unread >= least) {
		sock->unread -= least;
		sock->fresh = false;
		return;
	}
	tls_part(tls);
	last = conns_by_sock(t, thread_socket(t, e->h.tid) ? thread_socket(t, e->h.tid)->sock : 0);
	/* a record of just this plaintext was the last thing this thread received, for another object as we thought */
	if (last && last->peer && !last->peer->proven && last->fresh &&
	    record_holds(last->record, e->total))
		tls_part(last->peer);
}

struct conn *tls_below(const struct conn *tls)
{
	return tls->peer ? tls->peer : conns_by_sock(tls->table, tls->through);
}

bool tls_came_through(const struct conn *tls, uint32_t tid)
{
	const struct conn *sock = tls_below(tls);

	if (!sock && !tls->through)
		sock = thread_socket(tls->table, tid);
	return sock && sock->open > 0;
}

void tls_above(struct conn *sock, struct conn *tls)
{
	if (!tls || tls->ignored)
		return;
	tls->proven = true;
	join(tls, sock);
}

void tls_found(struct conns *t, struct conn *c, const struct ev_data *e)
{
	struct conn *sock = conns_by_sock(t, e->sock);

	if (e->off)
		return;
	if (sock) {
		c->proven = true;
		join(c, sock);
	} else if (!c->proven && e->dir == DIR_IN) {
		reads(t, c, e);
	} else if (!c->proven) {
		c->owed += e->total;
		c->owed_records += records_of(e->total);
		writes_add(t, c, e);
	}
}
