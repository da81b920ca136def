/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bolt, the protocol of Neo4j and its kin (https://neo4j.com/docs/bolt/current/): chunks, in them messages, in those
 * PackStream. One call is what a client waits for: a RUN with the PULL or DISCARD sent before its answer, else one
 * message. Summaries come in the order of the requests; pending.h keeps them. Of a query the first keyword is kept.
 */
#include "pending.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/bolt_failure.h"
#include "proto/collect.h"
#include "proto/cypher.h"

#define MAGIC "\x60\x60\xb0\x17"
#define HANDSHAKE (4u + 16u)
/* Most versions a manifest may list, and bytes of a number in it. */
#define MANIFEST_MAX 255
#define VARINT_MAX 9
/* Of a FAILURE the codes come first. */
#define FAILURE_MAX 256
/* Exchanges in step that show a client to be one that waits for each reply, as in redis.c. */
#define ROUNDS_NEEDED 4

enum request_flag {
	BEAT = 1,
	LOGIN = 2,
	MUTE = 4,
	WRITES = 8,
	RUNS = 16,
	PULLS = 32,
	FAILED = 64,
	ANSWERED = 128
};

static const struct {
	uint8_t tag;
	const char *op;
	unsigned fields_least, fields_most, flags;
} requests[] = {
	{ 0x01, "HELLO", 1, 2, LOGIN },    { 0x02, "GOODBYE", 0, 0, MUTE },
	{ 0x0f, "RESET", 0, 0, BEAT },     { 0x0e, "ACK_FAILURE", 0, 0, BEAT },
	{ 0x10, "RUN", 2, 3, RUNS },       { 0x11, "BEGIN", 0, 1, 0 },
	{ 0x12, "COMMIT", 0, 0, WRITES },  { 0x13, "ROLLBACK", 0, 0, 0 },
	{ 0x2f, "DISCARD", 0, 1, PULLS },  { 0x3f, "PULL", 0, 1, PULLS },
	{ 0x54, "TELEMETRY", 1, 1, BEAT }, { 0x66, "ROUTE", 3, 3, BEAT },
	{ 0x6a, "LOGON", 1, 1, LOGIN },    { 0x6b, "LOGOFF", 0, 0, LOGIN | BEAT },
};
#define REQUESTS (sizeof(requests) / sizeof(*requests))

enum { SUCCESS = 0x70, RECORD = 0x71, IGNORED = 0x7e, FAILURE = 0x7f };

/* A direction's chunks: two bytes of length; one of length 0 ends a message, or between messages is a sign of life. */
struct chunks {
	struct collect length, head;        /* head: marker and tag of the message */
	uint64_t left, held;                /* held: bytes of a request not yet known */
	bool in_message, lost, proven, cut; /* cut: a part of the message was not seen */
};

enum handshake {
	GREETING,
	CHOSEN,
	MANIFEST_COUNT,
	MANIFEST_LIST,
	MANIFEST_NUMBER,
	MANIFEST_REPLY,
	MESSAGES
};

struct bolt {
	struct pending calls;
	bool silent;
	enum handshake out_state, in_state;
	struct collect hands, answer;
	uint64_t list_left; /* of the manifest */
	unsigned varint, reply_left;

	struct chunks out, in;
	struct stamp first;
	size_t request; /* index of the message being sent */
	uint64_t current, started;
	uint64_t last_run;     /* number in calls of the RUN a PULL may join */
	struct collect string; /* marker and length of the query */
	uint64_t text_left;
	bool text;
	struct cypher cypher;
	bool wrote, may_have_written, transaction;

	char failure[FAILURE_MAX];
	size_t nfailure;
	char code[BOLT_CODE_MAX];
	bool ended;
};

/*
 * Requests
 */

static struct pending_call *current(struct bolt *t)
{
	return pending_get(&t->calls, t->current);
}

static size_t request_find(const uint8_t *head)
{
	size_t i = 0;
	unsigned fields = head[0] & 0x0f;

	while (i < REQUESTS && requests[i].tag != head[1])
		i++;
	if ((head[0] & 0xf0) != 0xb0 || i == REQUESTS || fields < requests[i].fields_least ||
	    fields > requests[i].fields_most)
		return REQUESTS;
	return i;
}

/* Of a request a part was not seen, or of a RUN perhaps the PULL behind it: how it goes is not told by one summary. */
static void request_lost(struct pending_call *e, enum partial why)
{
	if (!e)
		return;
	e->doubted = true;
	if (e->c)
		call_partial(e->c, why);
}

static void out_lost(struct bolt *t, enum partial why, const struct stamp *at)
{
	request_lost(current(t), why);
	request_lost(pending_get(&t->calls, t->last_run), why);
	pending_sent(&t->calls, current(t), at);
	/* a PULL seen next is most likely still its own; were it not, both are partial */
	if (current(t) && requests[t->request].flags & RUNS)
		t->last_run = t->current;
	t->current = 0;
	t->out = (struct chunks){ .lost = true };
	t->text = t->wrote = false;
	t->may_have_written = true;
	pending_doubt(&t->calls, why);
}

static void request_open(struct bolt *t)
{
	unsigned flags = requests[t->request].flags;
	struct pending_call *e = pending_get(&t->calls, t->last_run);

	if (flags & MUTE)
		return;
	if (flags & PULLS && e) { /* what is found of a RUN comes with it */
		t->current = t->last_run;
		t->last_run = 0;
		e->n++;
		return;
	}
	t->current = pending_open(&t->calls, CALL_STORAGE, &t->first);
	t->last_run = 0;
	e = current(t);
	if (!e)
		return;
	e->tag = flags;
	e->n = 1;
	if (!e->c)
		return;
	strcpy(e->c->op, requests[t->request].op);
	e->c->class = flags & BEAT ? CALL_HEARTBEAT : CALL_STORAGE;
	e->c->setup = flags & LOGIN;
	/* in doubt a PULL may belong to a RUN that was not seen */
	e->c->op_known = !(flags & RUNS) && !(flags & PULLS && e->doubted);
	if (flags & WRITES) {
		e->c->write = t->wrote || t->may_have_written;
		e->c->op_known = t->wrote || !t->may_have_written;
	}
}

static bool request_begins(struct bolt *t)
{
	t->request = request_find(t->out.head.b);
	if (t->request == REQUESTS)
		return false;
	request_open(t);
	t->text = requests[t->request].flags & RUNS;
	t->string.n = 0;
	t->text_left = 0;
	cypher_start(&t->cypher);
	return true;
}

static void run_describe(struct bolt *t)
{
	struct pending_call *e = current(t);

	cypher_end(&t->cypher);
	t->wrote |= t->cypher.write;
	t->may_have_written |= !t->cypher.known;
	t->last_run = t->current;
	if (!e || !e->c)
		return;
	if (t->cypher.op[0])
		strcpy(e->c->op, t->cypher.op);
	e->c->write = t->cypher.write;
	e->c->op_known = t->cypher.known;
	if (t->cypher.idle)
		e->c->class = CALL_HEARTBEAT;
}

static void request_ends(struct bolt *t, const struct stamp *at)
{
	uint8_t tag = requests[t->request].tag;

	if (requests[t->request].flags & RUNS)
		run_describe(t);
	if (tag == 0x11 || tag == 0x12 || tag == 0x13 || tag == 0x0f)
		t->wrote = t->may_have_written = false;
	pending_sent(&t->calls, current(t), at);
	t->current = 0;
	t->text = false;
}

/* The query: a string (PackStream: 80..8F, D0, D1, D2 and its length) is the first field of RUN. */
static void query_feed(struct bolt *t, struct bytes b)
{
	while (b.n && t->text) {
		uint8_t marker = t->string.n ? t->string.b[0] : (uint8_t)b.p[0];
		unsigned want = marker >> 4 == 8 ? 1 : marker == 0xd0 ? 2 : marker == 0xd1 ? 3 : 5;
		size_t n;

		if (t->string.n < want) {
			const uint8_t *p = t->string.b + 1;

			if (marker >> 4 != 8 && (marker < 0xd0 || marker > 0xd2)) {
				t->text = false;
				cypher_gap(&t->cypher);
				return;
			}
			if (!collect_take(&t->string, want, &b))
				return;
			t->text_left = want == 1   ? marker & 0x0fu
			               : want == 2 ? p[0]
			               : want == 3 ? be16(p)
			                           : (uint64_t)be16(p) << 16 | be16(p + 2);
		}
		n = bytes_upto(b, t->text_left);
		cypher_feed(&t->cypher, (struct bytes){ b.p, n });
		b = bytes_from(b, n);
		t->text_left -= n;
		t->text = t->text_left > 0;
	}
}

/*
 * Replies
 */

static void in_lost(struct bolt *t, enum partial why, const struct stamp *at)
{
	t->in = (struct chunks){ .lost = true };
	t->ended = false;
	t->last_run = 0;
	pending_lose(&t->calls, why, at);
}

static bool reply_tag(const uint8_t *head)
{
	return head[0] == 0xb1 ? head[1] == SUCCESS || head[1] == RECORD || head[1] == FAILURE ||
	                                 head[1] == IGNORED
	                       : head[0] == 0xb0 && head[1] == IGNORED;
}

/* One request of the oldest call was answered. */
static void summary(struct bolt *t, uint8_t tag, const struct stamp *at)
{
	struct pending_call *e = pending_oldest(&t->calls);

	t->ended = true;
	if (!e && !pending_count(&t->calls)) {
		t->calls.rounds = 0;
		pending_doubt(&t->calls, PARTIAL_EVENTS_LOST);
		return;
	}
	if (e && tag == FAILURE) {
		bolt_failure_code((struct bytes){ t->failure, t->nfailure }, t->code);
		e->tag |= FAILED;
	}
	if (e && tag != IGNORED)
		e->tag |= ANSWERED;
	if (e && e->n > 1) {
		e->n--;
		return;
	}
	if (e && pending_get(&t->calls, t->last_run) == e)
		t->last_run = 0;
	/* a request ignored behind another's failure was not done, and is no error of its own */
	pending_done(&t->calls,
	             e && e->tag & FAILED        ? CALL_ERROR
	             : e && !(e->tag & ANSWERED) ? CALL_UNKNOWN
	                                         : CALL_OK,
	             e && e->tag & FAILED ? t->code : "", at);
}

/*
 * Chunks
 */

/* Bytes of a message's body, behind its head. */
static void body_feed(struct bolt *t, int dir, struct bytes b)
{
	size_t n = sizeof(t->failure) - t->nfailure;

	if (dir) {
		query_feed(t, b);
		return;
	}
	n = n < b.n ? n : b.n;
	if (t->in.head.b[1] == FAILURE && !t->in.cut) {
		memcpy(t->failure + t->nfailure, b.p, n);
		t->nfailure += n;
	}
}

static bool message_feed(struct bolt *t, int dir, struct bytes b)
{
	struct chunks *k = dir ? &t->out : &t->in;

	if (!b.n)
		return true;
	k->in_message = true;
	if (k->head.n < 2) {
		if (!collect_take(&k->head, 2, &b))
			return true;
		t->nfailure = 0;
		if (dir ? !request_begins(t) : !reply_tag(k->head.b))
			return false;
	}
	body_feed(t, dir, b);
	return true;
}

static bool message_ends(struct bolt *t, int dir, const struct stamp *at)
{
	struct chunks *k = dir ? &t->out : &t->in;
	bool whole = k->head.n == 2;

	if (whole && dir)
		request_ends(t, at);
	else if (whole && k->head.b[1] != RECORD)
		summary(t, k->head.b[1], at);
	k->in_message = k->cut = false;
	k->head.n = 0;
	k->proven |= whole;
	return whole;
}

/* n bytes of messages; of requests they are counted when it is known which one it is. */
static void passed(struct bolt *t, int dir, uint64_t n, const struct stamp *at)
{
	if (!dir) {
		pending_in_bytes(&t->calls, n, at);
		return;
	}
	t->out.held += n;
	if (t->out.head.n < 2)
		return;
	pending_out_bytes(current(t), t->out.held);
	t->out.held = 0;
}

static bool chunk_step(struct bolt *t, int dir, struct bytes *b, const struct stamp *at)
{
	struct chunks *k = dir ? &t->out : &t->in;
	struct bytes body;

	if (!k->left) {
		if (dir && !k->in_message && !k->length.n)
			t->first = *at;
		if (!collect_take(&k->length, 2, b))
			return true;
		k->left = be16(k->length.b);
		k->length.n = 0;
		/* between messages an empty one is a sign of life and nothing else */
		if (!k->left && !k->in_message)
			return true;
		passed(t, dir, 2, at);
		if (!k->left)
			return message_ends(t, dir, at);
		t->ended &= dir;
		return true;
	}
	body = (struct bytes){ b->p, bytes_upto(*b, k->left) };
	*b = bytes_from(*b, body.n);
	k->left -= body.n;
	if (!message_feed(t, dir, body))
		return false;
	passed(t, dir, body.n, at);
	return true;
}

/* Whether b begins with a message's first chunk, and what follows it fits. */
static bool message_starts(struct bytes b, int dir)
{
	const uint8_t *p = (const uint8_t *)b.p;
	size_t len = b.n >= 4 ? be16(p) : 0;

	if (len < 2 || (dir ? request_find(p + 2) == REQUESTS : !reply_tag(p + 2)))
		return false;
	/* no big one is split so that its first chunk is small */
	return b.n < len + 4 || (p[len + 2] == 0 && p[len + 3] == 0) || len >= 1024;
}

static void chunks_feed(struct bolt *t, int dir, struct bytes b, const struct stamp *at)
{
	struct chunks *k = dir ? &t->out : &t->in;

	if (k->lost && !message_starts(b, dir))
		return;
	k->lost = false;
	while (b.n) {
		if (chunk_step(t, dir, &b, at))
			continue;
		if (dir)
			out_lost(t, PARTIAL_EVENTS_LOST, at);
		else
			in_lost(t, PARTIAL_EVENTS_LOST, at);
		return;
	}
}

/*
 * The handshake: versions the client knows, the one the server chose. Or a list of all of the server's (manifest 1): a
 * number, so many versions, a number; then the client's choice and a number.
 */

static bool varint_ends(struct bolt *t, struct bytes *b)
{
	uint8_t c = (uint8_t)b->p[0];

	*b = bytes_from(*b, 1);
	t->list_left |= (uint64_t)(c & 0x7f) << (7 * t->varint);
	return ++t->varint > VARINT_MAX - 1 || !(c & 0x80);
}

static void hands_out(struct bolt *t, struct bytes *b, const struct stamp *at)
{
	struct pending_call *e;

	if (!t->hands.n)
		t->first = *at;
	if (!collect_take(&t->hands, HANDSHAKE, b))
		return;
	t->started = pending_open(&t->calls, CALL_STORAGE, &t->first);
	e = pending_get(&t->calls, t->started);
	if (e && e->c) {
		strcpy(e->c->op, "CONNECT");
		e->c->setup = e->c->op_known = true;
	}
	pending_out_bytes(e, HANDSHAKE);
	pending_sent(&t->calls, e, at);
	t->out_state = MESSAGES;
}

/* The client's choice out of a manifest: version and a number. */
static void manifest_reply(struct bolt *t, struct bytes *b)
{
	if (t->reply_left) {
		size_t n = bytes_upto(*b, t->reply_left);

		*b = bytes_from(*b, n);
		t->reply_left -= (unsigned)n;
	} else if (varint_ends(t, b)) {
		t->out_state = MESSAGES;
	}
}

/* True: the server's part is over. */
static bool hands_in(struct bolt *t, struct bytes *b)
{
	size_t n;

	switch (t->in_state) {
	case GREETING:
		if (!collect_take(&t->answer, 4, b))
			return false;
		t->list_left = t->varint = 0;
		if (memcmp(t->answer.b, "\0\0\1\xff", 4) == 0) {
			t->in_state = MANIFEST_COUNT;
			return false;
		}
		t->in_state = MESSAGES;
		t->silent = memcmp(t->answer.b, "\0\0\0\0", 4) == 0 ||
		            memcmp(t->answer.b, "HTTP", 4) == 0;
		return true;
	case MANIFEST_COUNT:
		if (!varint_ends(t, b))
			return false;
		t->silent = t->list_left > MANIFEST_MAX;
		t->list_left *= 4;
		t->in_state = t->list_left ? MANIFEST_LIST : MANIFEST_NUMBER;
		t->varint = 0;
		return t->silent;
	case MANIFEST_LIST:
		n = bytes_upto(*b, t->list_left);
		*b = bytes_from(*b, n);
		t->list_left -= n;
		t->in_state = t->list_left ? MANIFEST_LIST : MANIFEST_NUMBER;
		return false;
	default:
		if (!varint_ends(t, b))
			return false;
		t->in_state = MESSAGES;
		t->out_state = MANIFEST_REPLY;
		t->reply_left = 4;
		t->list_left = t->varint = 0;
		return true;
	}
}

/* Bytes of the handshake, up to its end. */
static void hands_feed(struct bolt *t, int dir, struct bytes *b, const struct stamp *at)
{
	struct bytes before = *b;
	bool over;

	if (dir && t->out_state == GREETING) {
		hands_out(t, b, at);
		return;
	}
	if (dir) {
		manifest_reply(t, b);
		return;
	}
	over = hands_in(t, b);
	pending_in_bytes(&t->calls, before.n - b->n, at);
	if (over)
		pending_done(&t->calls, t->silent ? CALL_ERROR : CALL_OK,
		             t->silent ? "no_common_version" : "", at);
}

/*
 * The protocol
 */

/* Whole messages to the last byte: no other protocol's requests look so, whatever the port. */
static bool messages_whole(struct bytes b)
{
	while (b.n) {
		size_t len = b.n >= 6 ? be16((const uint8_t *)b.p) : 0;

		if (!message_starts(b, 1) || len + 4 > b.n)
			return false;
		b = bytes_from(b, len + 4);
	}
	return true;
}

static enum proto_match bolt_detect(struct bytes out, struct bytes in,
                                    const struct proto_hint *hint)
{
	bool usual = hint->port == 7687;

	if (!out.n)
		return in.n || !hint->from_start ? PROTO_NO : PROTO_MAYBE;
	if (memcmp(out.p, MAGIC, out.n < 4 ? out.n : 4) == 0)
		return out.n >= 4 ? PROTO_YES : PROTO_MAYBE;
	if (hint->from_start)
		return PROTO_NO;
	if (usual ? message_starts(out, 1) : messages_whole(out))
		return PROTO_YES;
	return usual && out.p[0] != 0x16 && out.p[0] != 0x17 ? PROTO_MAYBE : PROTO_NO;
}

static void *bolt_new(struct call_sink *sink, const struct proto_hint *hint)
{
	struct bolt *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	pending_init(&t->calls, sink, "bolt", ROUNDS_NEEDED, hint->from_start || hint->idle);
	t->calls.needs_boundary = true;
	t->may_have_written = true;
	t->out.proven = t->in.proven = hint->from_start;
	if (!hint->from_start) {
		t->out_state = t->in_state = MESSAGES;
		t->out.lost = t->in.lost = true;
	}
	return t;
}

/* Who goes on while we believe the other to be inside a message shows that the place was wrong, see postgres.c. */
static void turn(struct bolt *t, int dir, const struct stamp *at)
{
	enum partial why = t->calls.doubt ? t->calls.doubt : PARTIAL_EVENTS_LOST;

	if (dir && t->calls.last_dir == 0 && !t->in.lost && !t->in.proven &&
	    (t->in.in_message || t->in.left))
		in_lost(t, why, at);
	if (!dir && t->calls.last_dir == 1 && !t->out.lost && !t->out.proven &&
	    (t->out.in_message || t->out.left))
		out_lost(t, why, at);
	pending_turn(&t->calls, dir, t->ended && !t->in.in_message && !t->in.left, at);
}

static void bolt_feed(void *state, int dir, struct bytes b, const struct stamp *at)
{
	struct bolt *t = state;

	if (t->silent || !b.n)
		return;
	turn(t, dir, at);
	while (b.n && !t->silent && (dir ? t->out_state : t->in_state) != MESSAGES)
		hands_feed(t, dir, &b, at);
	if (b.n && !t->silent)
		chunks_feed(t, dir, b, at);
}

/* A hole inside a chunk: what is lost is a part of the query or of values. */
static void bolt_gap(void *state, int dir, uint64_t n, enum partial why, const struct stamp *at)
{
	struct bolt *t = state;
	struct chunks *k = dir ? &t->out : &t->in;
	struct pending_call *e = dir ? current(t) : pending_oldest(&t->calls);

	if (t->silent || !n)
		return;
	turn(t, dir, at);
	if ((dir ? t->out_state : t->in_state) != MESSAGES || k->lost || k->head.n < 2 ||
	    n > k->left) {
		t->out_state = t->in_state = MESSAGES;
		if (dir)
			out_lost(t, why, at);
		else
			in_lost(t, why, at);
		return;
	}
	passed(t, dir, n, at);
	k->left -= n;
	k->cut = true;
	if (dir && t->text) {
		cypher_gap(&t->cypher);
		t->text = false;
		if (e && e->c)
			call_partial(e->c, why);
	}
	if (!dir && k->head.b[1] == FAILURE && e && e->c)
		call_partial(e->c, why);
}

static void bolt_done(void *state, enum done_why why, const struct stamp *at)
{
	struct bolt *t = state;

	pending_end(&t->calls, why, at);
}

static void bolt_free(void *state)
{
	struct bolt *t = state;

	if (t)
		pending_free(&t->calls);
	free(t);
}

const struct proto proto_bolt = {
	.name = "bolt",
	.detect = bolt_detect,
	.new = bolt_new,
	.feed = bolt_feed,
	.gap = bolt_gap,
	.done = bolt_done,
	.free = bolt_free,
};
