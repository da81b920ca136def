/* SPDX-License-Identifier: BSD-2-Clause */
/* The search for a connection's parser, and the feeding of it. */
#include "conn.h"

#include "conn_private.h"
#include "proto/generic.h"
#include "proto/http2.h"
#include "proto/http2_frame.h"

#define PENDING_BYTES_MAX 65536 /* before the protocol is known; then it is "generic" */
#define DETECT_BYTES 4096       /* a protocol that cannot be told by then cannot be told */
/* A TLS object's first plaintext waits so long for the ciphertext that follows it, which tells the socket. */
#define AWAIT_NS 50000000ull

/* An operation that waits for the protocol to be known. */
struct pending_op {
	struct stamp at;
	uint64_t gap; /* not seen, after n bytes */
	size_t n;
	int dir;
	enum partial why;
};

static struct proto_hint hint_of(const struct conn *c)
{
	const struct conn *s = conn_socket(c);

	return (struct proto_hint){
		.port = s ? s->port : 0,
		.from_start = s ? s->from_start : false,
		.idle = s ? s->idle : false,
		.client = c->role != ROLE_SERVER,
		.path = s && s->endpoint.addr[0] == '/' ? s->endpoint.addr : NULL,
	};
}

void conn_end_late(struct conn *sock)
{
	struct stamp at = { sock->last_ns[DIR_OUT], sock->last_ns[DIR_OUT], sock->pid, sock->pid,
		            0 };

	conn_stop(sock, DONE_SWITCHED, &at);
}

void conn_settle_below(struct conn *c, bool asks)
{
	struct conn *sock = tls_below(c);
	bool http2 = c->proto == &proto_http2;
	struct call *call;

	if (!sock || !sock->open || !c->proto)
		return;
	if (!http2 && asks && sock == c->peer)
		conn_end_late(sock);
	if (!http2 || sock->proto != &proto_generic || !http2_unseeded(c->state))
		return;
	call = generic_take(sock->state);
	if (!call)
		return;
	sock->open--;
	c->open++;
	c->table->ops.adopted(c->table->ops.ctx, c, call);
	http2_seed(c->state, call);
}

static void start_proto(struct conn *c, const struct proto *p)
{
	struct proto_hint hint = hint_of(c);

	c->state = p->new (&c->sink, &hint);
	if (!c->state)
		return;
	c->proto = p;
	conn_rename(c);
	if (c->tls)
		conn_settle_below(c, c->spoke);
	/* nobody reads the content of what nobody understands */
	if (p == &proto_generic && c->sock && c->endpoint.class == CALL_OTHER)
		c->table->ops.enough(c->table->ops.ctx, c->sock, GENERIC_CAPTURE);
}

void conn_seed(struct conn *c)
{
	struct stamp at = { c->seed_sent_ns, c->seed_sent_ns, c->pid, c->pid, 0 };

	if (c->bytes[0] || c->bytes[1] || c->ignored || c->proto)
		return;
	start_proto(c, &proto_generic);
	if (c->state)
		generic_seed(c->state, &at, c->table->attach_ns);
}

void conns_awaited(struct conns *t, uint64_t sock, uint64_t since_ns)
{
	struct conn *c = conns_by_sock(t, sock);

	if (!c || c->role == ROLE_SERVER || c->from_start)
		return;
	if (!c->seed_sent_ns)
		c->seed_sent_ns = since_ns;
	c->idle = false;
	if (c->seed_sent_ns)
		conn_seed(c);
}

static const struct proto *detect(const struct conn *c, struct bytes out, struct bytes in,
                                  bool *maybe)
{
	struct proto_hint hint = hint_of(c);

	*maybe = false;
	for (size_t i = 0; protos[i]; i++) {
		enum proto_match m = protos[i]->detect(out, in, &hint);

		if (m == PROTO_YES)
			return protos[i];
		*maybe |= m == PROTO_MAYBE;
	}
	return NULL;
}

/* What waited goes to the parser found, in the order it came. */
static void replay_pending(struct conn *c)
{
	struct buf pending[2] = { c->pending[0], c->pending[1] }, order = c->order;
	size_t at[2] = { 0, 0 };

	c->pending[0] = c->pending[1] = c->order = (struct buf){ 0 };
	for (size_t i = 0; i + sizeof(struct pending_op) <= order.n;
	     i += sizeof(struct pending_op)) {
		struct pending_op op;

		memcpy(&op, order.p + i, sizeof(op));
		if (op.n)
			c->proto->feed(c->state, op.dir,
			               (struct bytes){ pending[op.dir].p + at[op.dir], op.n },
			               &op.at);
		if (op.gap)
			c->proto->gap(c->state, op.dir, op.gap, op.why, &op.at);
		at[op.dir] += op.n;
	}
	buf_free(&pending[0]);
	buf_free(&pending[1]);
	buf_free(&order);
}

static void decide(struct conn *c)
{
	struct bytes out = buf_bytes(&c->pending[1]), in = buf_bytes(&c->pending[0]);
	const struct proto *p;
	bool maybe;

	out.n = out.n < DETECT_BYTES ? out.n : DETECT_BYTES;
	in.n = in.n < DETECT_BYTES ? in.n : DETECT_BYTES;
	p = detect(c, out, in, &maybe);
	if (!p && maybe && c->pending[0].n + c->pending[1].n < PENDING_BYTES_MAX &&
	    c->order.n < 256 * sizeof(struct pending_op))
		return;
	start_proto(c, p ? p : &proto_generic);
	if (c->proto)
		replay_pending(c);
}

/* What a TLS object with memory BIOs writes first leaves through its socket next, and whether the connection was seen from its
 * start, or was idle, only the socket tells. */
static bool await_below(struct conn *c, int dir, const struct stamp *at)
{
	if (!c->tls || c->peer || dir != DIR_OUT ||
	    (!c->awaits && c->order.n > sizeof(struct pending_op)) ||
	    c->pending[1].n > DETECT_BYTES)
		return false;
	if (c->awaits)
		return true;
	c->awaits = true;
	c->awaits_ns = at->end_ns;
	c->awaits_next = c->table->awaiting;
	c->table->awaiting = c;
	return true;
}

void conn_await_over(struct conn *c)
{
	struct conn **p = &c->table->awaiting;

	if (!c->awaits)
		return;
	while (*p != c)
		p = &(*p)->awaits_next;
	*p = c->awaits_next;
	c->awaits = false;
	if (!c->proto && c->order.n)
		decide(c);
}

void conns_await_over(struct conns *t, uint64_t ts_ns)
{
	for (struct conn *c = t->awaiting, *next; c; c = next) {
		next = c->awaits_next;
		if (c->awaits_ns + AWAIT_NS <= ts_ns)
			conn_await_over(c);
	}
}

/* The bytes turn out to be p's. Of HTTP/2, what was in flight still is: many calls share the connection. */
static void switch_to(struct conn *c, const struct proto *p, const struct stamp *at)
{
	struct call *seeded = p == &proto_http2 ? generic_take(c->state) : NULL;

	conn_stop(c, DONE_SWITCHED, at);
	c->table->ops.enough(c->table->ops.ctx, c->sock, CAPTURE_ALL);
	start_proto(c, p);
	if (!seeded)
		return;
	if (c->proto) {
		http2_seed(c->state, seeded);
		return;
	}
	seeded->end_ns = at->end_ns;
	c->sink.done(&c->sink, seeded);
}

/* A request may begin here: is it one of a protocol that could not be told before (we came in the middle of something)?
 */
static void decide_again(struct conn *c, struct bytes b, const struct stamp *at)
{
	const struct proto *p;
	bool maybe;

	p = detect(c, b, (struct bytes){ "", 0 }, &maybe);
	if (p)
		switch_to(c, p, at);
}

/* Are these frames of HTTP/2 in the middle of replies? One that is cut off right at the end of a read is as likely something
 * else: several reads of whole ones are not. */
static bool frames_come(struct conn *c, struct bytes b)
{
	struct frame_chain f = frame_chain(b, FRAME_MAX_DEFAULT);

	if (f.broken || (!f.ends && f.whole < FRAMES_PROVE))
		c->frames = 0;
	else
		c->frames += f.whole < FRAMES_PROVE ? f.whole : FRAMES_PROVE;
	return !f.broken && (f.proved || c->frames >= FRAMES_PROVE);
}

static void feed(struct conn *c, int dir, struct bytes b, uint64_t gap, enum partial why,
                 const struct stamp *at);

/* A reply to something we did not see. Its beginning proves that a request was under way when we came; its tail says
 * nothing. */
static void reply_late(struct conn *c, struct bytes b, uint64_t gap, enum partial why,
                       const struct stamp *at)
{
	struct stamp attach = { c->table->attach_ns, c->table->attach_ns, at->pid, at->tid,
		                at->task };

	bool frames = !c->spoke && b.n && frames_come(c, b);

	if (c->spoke || (!frames && !bytes_start(b, "HTTP/1.")))
		return;
	/* the snapshot had found it out already, on the socket this plaintext came through: one call, of HTTP/2 the first of them */
	if (c->tls && tls_came_through(c, at->tid) && !(frames && tls_below(c)))
		return;
	start_proto(c, frames ? &proto_http2 : &proto_generic);
	if (!c->proto)
		return;
	if (!frames)
		generic_seed(c->state, &attach, c->table->attach_ns);
	feed(c, DIR_IN, b, gap, why, at);
}

/* dir: of the parser, 1 = request. */
static void feed(struct conn *c, int dir, struct bytes b, uint64_t gap, enum partial why,
                 const struct stamp *at)
{
	struct pending_op op = { .at = *at, .gap = gap, .n = b.n, .dir = dir, .why = why };

	c->spoke |= dir == DIR_OUT;
	if (c->proto == &proto_generic && dir == DIR_OUT && b.n && !c->ciphertext)
		decide_again(c, b, at);
	else if (c->proto == &proto_generic && b.n && !c->ciphertext && !c->from_start && !c->tls &&
	         frames_come(c, b))
		switch_to(c, &proto_http2, at);
	if (c->proto) {
		if (c->tls)
			conn_settle_below(c, dir == DIR_OUT);
		if (b.n)
			c->proto->feed(c->state, dir, b, at);
		if (gap)
			c->proto->gap(c->state, dir, gap, why, at);
		return;
	}
	if (c->ciphertext) { /* whose plaintext is not seen: only its times can be known */
		start_proto(c, &proto_generic);
		if (c->proto)
			feed(c, dir, b, gap, why, at);
		return;
	}
	if (dir == DIR_IN && !hint_of(c).from_start && c->pending[1].n == 0) {
		reply_late(c, b, gap, why, at);
		return;
	}
	if (!buf_add(&c->pending[dir], b.p, b.n) || !buf_add(&c->order, &op, sizeof(op))) {
		conn_stop(c, DONE_SWITCHED, at);
		return;
	}
	if (!b.n || await_below(c, dir, at))
		return;
	if (c->awaits)
		conn_await_over(c);
	else
		decide(c);
}

void conn_feed(struct conn *c, int dir, struct bytes b, uint64_t gap, enum partial why,
               const struct stamp *at)
{
	feed(c, c->role == ROLE_SERVER ? !dir : dir, b, gap, why, at);
}
