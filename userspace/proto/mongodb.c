/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MongoDB's wire protocol (https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/,
 * https://github.com/mongodb/specifications/blob/master/source/message/OP_MSG.md): one call a command. Replies name the
 * request they answer, so nothing has to be trusted. Of documents the command's name is kept, and of replies ok and codes.
 */
#include "pending.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/bson.h"
#include "proto/collect.h"
#include "proto/decode.h"
#include "proto/mongodb_told.h"

/* maxMessageSizeBytes of servers, and something for what is around it. */
#define MESSAGE_MAX 48100000u
/* Calls of one connection that wait at once: drivers have one. The oldest ends, status unknown, when there are more. */
#define OPEN_MAX 64
/* Cursors that wait for new documents; the oldest is forgotten. */
#define CURSORS_MAX 64

enum opcode {
	OP_REPLY = 1,
	OP_UPDATE = 2001,
	OP_INSERT = 2002,
	OP_QUERY = 2004,
	OP_GET_MORE = 2005,
	OP_DELETE = 2006,
	OP_KILL_CURSORS = 2007,
	OP_COMPRESSED = 2012,
	OP_MSG = 2013,
};

enum flag { MORE_TO_COME = 1 << 1, CHECKSUM = 1 << 0, EXHAUST_ALLOWED = 1 << 16 };

struct open_call {
	struct call *c;
	uint32_t id;
	bool used, sent, tailable, opaque;
};

/* Where in a message's body we are. */
enum part {
	PART_COMPRESSED, /* what was compressed, and how */
	PART_FLAGS,
	PART_KIND, /* of a section */
	PART_SIZE, /* of one of documents */
	PART_SECTION,
	PART_QUERY_NAME,
	PART_QUERY_NUMBERS,
	PART_DOCUMENT,
	PART_REST,
};

/* A direction's messages. */
struct side {
	struct collect head, fixed; /* 16 bytes; those before a document */
	uint64_t left, section;     /* of the message; of its section */
	uint32_t id, to, opcode, flags;
	enum part part;
	bool flags_seen, lost, begun, opaque, unread;
	bool finds;         /* OP_QUERY of a collection, not of a command */
	char collection[5]; /* the last letters of its name */
	struct bson bson;
	struct mongodb_told told;
	struct decoder *decoder;
};

struct mongodb {
	struct call_sink *sink;
	struct side side[2];
	struct stamp first;
	struct open_call open[OPEN_MAX];
	struct open_call *current;  /* being sent */
	struct open_call *answered; /* whose reply is being read */
	int64_t cursors[CURSORS_MAX];
	unsigned next;
};

/*
 * Calls
 */

static struct open_call *call_find(const struct mongodb *m, uint32_t id)
{
	for (unsigned i = 0; i < OPEN_MAX; i++)
		if (m->open[i].used && m->open[i].id == id)
			return (struct open_call *)&m->open[i];
	return NULL;
}

static void call_end(struct mongodb *m, struct open_call *o, uint64_t end_ns)
{
	struct call *c = o->c;

	if (m->current == o)
		m->current = NULL;
	if (m->answered == o)
		m->answered = NULL;
	*o = (struct open_call){ 0 };
	if (!c)
		return;
	c->end_ns = end_ns;
	m->sink->done(m->sink, c);
}

static void call_sent(struct mongodb *m, struct open_call *o, const struct stamp *at)
{
	if (o->c)
		o->c->sent_ns = at->end_ns;
	if (o->c && !o->sent)
		m->sink->sent(m->sink, o->c);
	o->sent = true;
}

/* Of what cannot be read nobody knows whether it is answered: it ends where its connection is used again. */
static struct open_call *call_slot(struct mongodb *m)
{
	struct open_call *o = NULL;

	for (unsigned i = 0; i < OPEN_MAX; i++)
		if (m->open[i].used && m->open[i].opaque)
			call_end(m, &m->open[i], m->first.end_ns);
	for (unsigned i = 0; i < OPEN_MAX && !o; i++)
		if (!m->open[i].used)
			o = &m->open[i];
	if (o)
		return o;
	o = &m->open[0];
	if (o->c)
		call_partial(o->c, PARTIAL_TRUNCATED);
	call_end(m, o, m->first.end_ns);
	return o;
}

static void call_open(struct mongodb *m, uint32_t id)
{
	struct open_call *o = call_slot(m);

	*o = (struct open_call){ .used = true, .id = id };
	o->c = m->sink->open(m->sink, &m->first);
	pending_begin_call(o->c, "mongodb", &m->first);
	if (o->c)
		o->c->class = CALL_STORAGE;
	m->current = o;
}

static bool waits_for_more(const struct mongodb *m, int64_t cursor)
{
	for (unsigned i = 0; i < CURSORS_MAX; i++)
		if (cursor && m->cursors[i] == cursor)
			return true;
	return false;
}

static const char *legacy_name(uint32_t opcode)
{
	return opcode == OP_UPDATE         ? "update"
	       : opcode == OP_INSERT       ? "insert"
	       : opcode == OP_DELETE       ? "delete"
	       : opcode == OP_GET_MORE     ? "getMore"
	       : opcode == OP_KILL_CURSORS ? "killCursors"
	                                   : NULL;
}

/* A request that asks for no answer. */
static bool is_mute(const struct side *s)
{
	return (legacy_name(s->opcode) && s->opcode != OP_GET_MORE) || s->flags & MORE_TO_COME;
}

static void describe(struct mongodb *m, struct open_call *o, const struct side *s)
{
	const char *legacy = legacy_name(s->opcode);
	/* a query of a collection's, whose document has names that are nobody's but its owner's */
	const char *name = s->finds ? "find" : legacy ? legacy : s->told.name;
	unsigned flags = MONGODB_UNSURE;
	bool found = mongodb_command(name, &flags);

	o->tailable = s->told.tailable;
	o->opaque = s->opaque;
	if (!o->c)
		return;
	snprintf(o->c->op, sizeof(o->c->op), "%s", name);
	o->c->op_known = found && !(flags & MONGODB_UNSURE) &&
	                 !(flags & MONGODB_STAGES && s->unread && !s->told.writes);
	o->c->write = found && (!(flags & MONGODB_READ) || s->told.writes);
	o->c->blocks = s->told.awaits || waits_for_more(m, s->told.cursor);
	o->c->setup = flags & MONGODB_LOGIN && !o->c->blocks;
	o->c->class = flags & MONGODB_BEAT ? CALL_HEARTBEAT : CALL_STORAGE;
}

static void request_ends(struct mongodb *m, const struct stamp *at)
{
	struct side *s = &m->side[1];
	struct open_call *o = m->current;
	if (!o)
		return;
	describe(m, o, s);
	call_sent(m, o, at);
	m->current = NULL;
	/* without its flags nobody knows whether it is answered */
	if (is_mute(s) || (s->unread && !s->flags_seen && !s->opaque))
		call_end(m, o, at->end_ns);
}

/* What the reply says of the call's end. */
static void outcome(const struct side *s, struct call *c)
{
	const struct mongodb_told *t = &s->told;

	if (!c || s->opaque || s->unread || !t->any)
		return;
	if (s->opcode == OP_REPLY && s->flags & 2) {
		c->status = CALL_ERROR;
		strcpy(c->error_kind, "QueryFailure");
		return;
	}
	c->status = (t->has_ok && !t->ok) || t->write_failed ? CALL_ERROR : CALL_OK;
	if (c->status == CALL_ERROR && t->code_name[0])
		snprintf(c->error_kind, sizeof(c->error_kind), "%s", t->code_name);
	else if (c->status == CALL_ERROR)
		snprintf(c->error_kind, sizeof(c->error_kind), "%lld", (long long)t->code);
}

static void reply_ends(struct mongodb *m, const struct stamp *at)
{
	struct side *s = &m->side[0];
	struct open_call *o = m->answered;

	m->answered = NULL;
	if (!o)
		return;
	if (o->tailable && s->told.made) {
		m->cursors[m->next] = s->told.made;
		m->next = (m->next + 1) % CURSORS_MAX;
	}
	if (s->opcode == OP_MSG && s->flags & MORE_TO_COME && !s->unread) {
		o->id = s->id; /* the next one answers this one */
		return;
	}
	outcome(s, o->c);
	call_end(m, o, at->end_ns);
}

/*
 * Messages
 */

static void lost(struct mongodb *m, int dir, enum partial why, const struct stamp *at)
{
	struct side *s = &m->side[dir];
	struct open_call *o = m->current;
	bool mute = is_mute(s) || !s->flags_seen;

	decoder_free(s->decoder);
	*s = (struct side){ .lost = true };
	if (dir && o) {
		if (o->c)
			call_partial(o->c, why);
		call_sent(m, o, at);
		m->current = NULL;
		/* without its flags nobody knows whether it is answered */
		if (mute)
			call_end(m, o, at->end_ns);
	}
	/* any of the replies may have been in the hole */
	for (unsigned i = 0; !dir && i < OPEN_MAX; i++) {
		o = &m->open[i];
		if (!o->used || !o->sent)
			continue;
		if (o->c)
			call_partial(o->c, why);
		call_end(m, o, at->end_ns);
	}
}

static bool head_valid(const uint8_t *p, int dir)
{
	uint32_t len = le32(p), opcode = le32(p + 12);

	if (len < 16 + 5 || len > MESSAGE_MAX)
		return false;
	if (!dir)
		return opcode == OP_REPLY || opcode == OP_MSG || opcode == OP_COMPRESSED;
	return le32(p + 8) == 0 && (legacy_name(opcode) || opcode == OP_QUERY || opcode == OP_MSG ||
	                            opcode == OP_COMPRESSED);
}

static void document_starts(struct side *s)
{
	s->part = PART_DOCUMENT;
	bson_start(&s->bson, mongodb_told, &s->told);
}

static void body_starts(struct side *s)
{
	s->fixed.n = 0;
	s->part = s->opcode == OP_COMPRESSED ? PART_COMPRESSED
	          : legacy_name(s->opcode)   ? PART_REST
	                                     : PART_FLAGS;
	s->flags_seen |= s->part == PART_REST;
}

static bool message_begins(struct mongodb *m, int dir)
{
	struct side *s = &m->side[dir];
	const uint8_t *p = s->head.b;

	if (!head_valid(p, dir))
		return false;
	s->left = le32(p) - 16;
	s->id = le32(p + 4);
	s->to = le32(p + 8);
	s->opcode = le32(p + 12);
	s->flags = 0;
	s->begun = true;
	s->opaque = s->unread = s->flags_seen = s->finds = false;
	s->told = (struct mongodb_told){ 0 };
	memset(s->collection, 0, sizeof(s->collection));
	body_starts(s);
	if (dir)
		call_open(m, s->id);
	else
		m->answered = call_find(m, s->to);
	return true;
}

/* Original opcode, size, compressor: 0 none, 1 snappy, 2 zlib, 3 zstd. */
static void compressed_starts(struct side *s)
{
	uint8_t compressor = s->fixed.b[8];

	s->opcode = le32(s->fixed.b);
	if (s->opcode == OP_COMPRESSED || compressor == 1 || compressor > 2) {
		s->opaque = true;
		s->part = PART_REST;
		return;
	}
	if (compressor == 2)
		s->decoder = decoder_new(CODING_DEFLATE);
	body_starts(s);
}

static void flags_complete(struct side *s)
{
	s->flags = s->opcode == OP_QUERY ? 0 : le32(s->fixed.b);
	s->flags_seen = true;
	if (s->opcode == OP_REPLY)
		document_starts(s);
	else
		s->part = s->opcode == OP_MSG ? PART_KIND : PART_QUERY_NAME;
}

static void size_complete(struct side *s)
{
	s->section = le32(s->fixed.b);
	s->unread |= s->section < 4;
	s->part = s->section < 4 ? PART_REST : s->section == 4 ? PART_KIND : PART_SECTION;
	s->section -= 4;
}

static void fixed_complete(struct side *s)
{
	if (s->part == PART_COMPRESSED) {
		compressed_starts(s);
	} else if (s->part == PART_FLAGS) {
		flags_complete(s);
	} else if (s->part == PART_SIZE) {
		size_complete(s);
	} else if (s->part == PART_QUERY_NUMBERS || s->fixed.b[0] == 0) {
		document_starts(s);
	} else { /* what comes behind the sections is a checksum */
		s->part = s->fixed.b[0] == 1 ? PART_SIZE : PART_REST;
	}
	s->fixed.n = 0;
}

static unsigned fixed_length(const struct side *s)
{
	switch (s->part) {
	case PART_COMPRESSED:
		return 9;
	case PART_FLAGS: /* of a reply also cursor, start and number of documents */
		return s->opcode == OP_REPLY ? 20 : 4;
	case PART_KIND:
		return 1;
	case PART_SIZE:
		return 4;
	default:
		return 8;
	}
}

static void collection_feed(struct side *s, struct bytes b)
{
	for (size_t i = 0; i < b.n; i++) {
		memmove(s->collection, s->collection + 1, sizeof(s->collection) - 1);
		s->collection[sizeof(s->collection) - 1] = b.p[i];
	}
}

/* One part of a body, or a piece of it; returns its length. */
static size_t body_step(struct side *s, struct bytes b)
{
	struct bytes rest = b;
	const char *nul;
	size_t n;

	switch (s->part) {
	case PART_QUERY_NAME:
		nul = memchr(b.p, '\0', b.n);
		n = nul ? (size_t)(nul - b.p) : b.n;
		collection_feed(s, (struct bytes){ b.p, n });
		if (nul) {
			s->finds = memcmp(s->collection, ".$cmd", 5) != 0;
			s->part = PART_QUERY_NUMBERS;
		}
		return n + (nul != NULL);
	case PART_SECTION:
		n = bytes_upto(b, s->section);
		s->section -= n;
		if (!s->section)
			s->part = PART_KIND;
		return n;
	case PART_DOCUMENT:
		n = bson_feed(&s->bson, b);
		s->unread |= s->bson.bad;
		if (s->bson.bad || s->bson.done)
			s->part = s->bson.bad || s->opcode != OP_MSG ? PART_REST : PART_KIND;
		return n;
	case PART_REST:
		return b.n;
	default:
		if (collect_take(&s->fixed, fixed_length(s), &rest))
			fixed_complete(s);
		return b.n - rest.n;
	}
}

static void unpacked(void *ctx, struct bytes b)
{
	while (b.n)
		b = bytes_from(b, body_step(ctx, b));
}

static void message_ends(struct mongodb *m, int dir, const struct stamp *at)
{
	struct side *s = &m->side[dir];

	/* a document that its message does not hold whole */
	s->unread |= s->part == PART_DOCUMENT || s->part == PART_SECTION || s->part == PART_FLAGS;
	decoder_free(s->decoder);
	s->decoder = NULL;
	if (dir)
		request_ends(m, at);
	else
		reply_ends(m, at);
	s->begun = false;
	s->head.n = 0;
}

/* n bytes of a message went by. */
static void passed(struct mongodb *m, int dir, uint64_t n, const struct stamp *at)
{
	struct open_call *o = dir ? m->current : m->answered;

	if (!o || !o->c)
		return;
	if (dir) {
		o->c->bytes_out += n;
		return;
	}
	if (!o->c->first_byte_ns)
		o->c->first_byte_ns = at->end_ns;
	o->c->last_byte_ns = at->end_ns;
	o->c->bytes_in += n;
}

static bool step(struct mongodb *m, int dir, struct bytes *b, const struct stamp *at)
{
	struct side *s = &m->side[dir];
	struct bytes body;

	if (!s->begun) {
		if (dir && !s->head.n)
			m->first = *at;
		if (!collect_take(&s->head, 16, b))
			return true;
		if (!message_begins(m, dir))
			return false;
		passed(m, dir, 16, at);
	}
	body = (struct bytes){ b->p, bytes_upto(*b, s->left) };
	*b = bytes_from(*b, body.n);
	passed(m, dir, body.n, at);
	s->left -= body.n;
	while (body.n && !s->decoder)
		body = bytes_from(body, body_step(s, body));
	if (body.n && decoder_feed(s->decoder, body, unpacked, s) != DECODE_OK)
		s->unread = true;
	if (!s->left)
		message_ends(m, dir, at);
	return true;
}

/*
 * The protocol
 */

static bool message_starts(const struct mongodb *m, int dir, struct bytes b)
{
	const uint8_t *p = (const uint8_t *)b.p;

	return b.n >= 16 && head_valid(p, dir) && (dir || call_find(m, le32(p + 8)));
}

static enum proto_match mongodb_detect(struct bytes out, struct bytes in,
                                       const struct proto_hint *hint)
{
	const uint32_t flags = CHECKSUM | MORE_TO_COME | EXHAUST_ALLOWED;
	const uint8_t *p = (const uint8_t *)out.p;

	if (!out.n)
		return in.n || !hint->from_start ? PROTO_NO : PROTO_MAYBE;
	if ((out.n >= 4 && (le32(p) < 21 || le32(p) > MESSAGE_MAX)) ||
	    (out.n >= 16 && !head_valid(p, 1)))
		return PROTO_NO;
	if (out.n < 21)
		return hint->from_start || hint->port == 27017 ? PROTO_MAYBE : PROTO_NO;
	if (le32(p + 12) == OP_MSG)
		return le32(p + 16) & ~flags || p[20] > 1 ? PROTO_NO : PROTO_YES;
	return legacy_name(le32(p + 12)) ? PROTO_MAYBE : PROTO_YES;
}

static void *mongodb_new(struct call_sink *sink, const struct proto_hint *hint)
{
	struct mongodb *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->sink = sink;
	m->side[0].lost = m->side[1].lost = !hint->from_start;
	return m;
}

static void mongodb_feed(void *state, int dir, struct bytes b, const struct stamp *at)
{
	struct mongodb *m = state;
	struct side *s = &m->side[dir];

	if (s->lost && !message_starts(m, dir, b))
		return;
	s->lost = false;
	while (b.n) {
		if (step(m, dir, &b, at))
			continue;
		lost(m, dir, PARTIAL_EVENTS_LOST, at);
		return;
	}
}

/* Inside a message the next one's place is known; what the hole took of it is not. */
static void mongodb_gap(void *state, int dir, uint64_t n, enum partial why, const struct stamp *at)
{
	struct mongodb *m = state;
	struct side *s = &m->side[dir];
	struct open_call *o = dir ? m->current : m->answered;

	if (!n)
		return;
	if (s->lost || !s->begun || n > s->left) {
		lost(m, dir, why, at);
		return;
	}
	passed(m, dir, n, at);
	s->left -= n;
	if (s->decoder)
		decoder_gap(s->decoder);
	if (!s->decoder && s->part == PART_SECTION && n <= s->section) {
		s->section -= n;
		s->part = s->section ? PART_SECTION : PART_KIND;
	} else if (s->decoder || s->part != PART_DOCUMENT || !bson_gap(&s->bson, n)) {
		s->unread |= s->part != PART_REST || s->decoder;
		s->part = PART_REST;
	}
	if (s->unread && o && o->c)
		call_partial(o->c, why);
	if (!s->left)
		message_ends(m, dir, at);
}

static void mongodb_done(void *state, enum done_why why, const struct stamp *at)
{
	struct mongodb *m = state;

	for (unsigned i = 0; i < OPEN_MAX; i++) {
		if (!m->open[i].used)
			continue;
		pending_end_status(m->open[i].c, why);
		call_end(m, &m->open[i], at->end_ns);
	}
}

static void mongodb_free(void *state)
{
	struct mongodb *m = state;

	for (int d = 0; m && d < 2; d++)
		decoder_free(m->side[d].decoder);
	free(m);
}

const struct proto proto_mongodb = {
	.name = "mongodb",
	.detect = mongodb_detect,
	.new = mongodb_new,
	.feed = mongodb_feed,
	.gap = mongodb_gap,
	.done = mongodb_done,
	.free = mongodb_free,
};
