/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Masks Bolt (proto/bolt.c has the sources): chunks, messages and the structure of PackStream stay, of queries the keywords, of
 * a FAILURE its codes; all other strings are masked, bytes and numbers become zeros.
 */
#include "mask/mask.h"

#include <ctype.h>
#include <stdlib.h>

#include "mask/sql.h"
#include "proto/collect.h"

#define MAGIC "\x60\x60\xb0\x17"
#define HANDSHAKE (4u + 16u)
/* As in proto/bolt.c */
#define MANIFEST_MAX 255
#define VARINT_MAX 9
#define CHUNK_BIG 1024

enum { RUN = 0x10, SUCCESS = 0x70, RECORD = 0x71, IGNORED = 0x7e, FAILURE = 0x7f };

static const struct {
	uint8_t tag, least, most; /* and number of fields */
} requests[] = {
	{ 0x01, 1, 2 }, { 0x02, 0, 0 }, { 0x0f, 0, 0 }, { 0x0e, 0, 0 }, { RUN, 2, 3 },
	{ 0x11, 0, 1 }, { 0x12, 0, 0 }, { 0x13, 0, 0 }, { 0x2f, 0, 1 }, { 0x3f, 0, 1 },
	{ 0x54, 1, 1 }, { 0x66, 3, 3 }, { 0x6a, 1, 1 }, { 0x6b, 0, 0 },
};

enum shake {
	SHAKE_GREETING,
	SHAKE_COUNT, /* of a manifest */
	SHAKE_LIST,
	SHAKE_NUMBER,
	SHAKE_CHOICE,
	SHAKE_REPLY, /* a number behind the choice */
	SHAKE_OVER,
};

/* Where in PackStream we are. */
enum pack { PACK_MARKER, PACK_LENGTH, PACK_STRING, PACK_ZERO, PACK_LOST };

struct side {
	struct mask_word *word;
	enum shake shake;
	struct collect hands; /* or a number's bytes */
	uint64_t list;        /* bytes of the manifest's list */
	struct collect length, head;
	uint64_t left; /* of the chunk */
	bool in_message, lost, proven;
	/* the message */
	enum pack pack;
	uint8_t marker;
	unsigned need; /* bytes of a length that are to come */
	uint64_t size; /* of the string or bytes still to come */
	bool query;    /* the string is one */
	bool first;    /* no field went by */
	bool code;     /* the string before said that this one is a code */
};

struct bolt {
	const uint8_t *key;
	struct side side[2];
	struct mask_sql query;
	bool silent;
	int last_dir;
};

/* ===== PackStream ===== */

static bool is_failure(const struct side *s)
{
	return s->head.b[1] == FAILURE;
}

/* neo4j.com/docs/status-codes: "Neo.ClientError.Statement.SyntaxError" */
static bool is_code(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		if (!isalnum((uint8_t)b.p[i]) && b.p[i] != '.' && b.p[i] != '_')
			return false;
	return b.n > 0;
}

static void item_over(struct side *s)
{
	s->pack = PACK_MARKER;
	s->first = s->code = false;
}

static void string_over(struct bolt *m, struct side *s)
{
	static const char *const keys[] = { "code", "neo4j_code", NULL };
	char buf[MASK_WORD_MAX];
	struct bytes b = word_text(s->word, buf);
	bool names = !s->query && is_failure(s) && !s->code && mask_listed(keys, b);
	bool code = s->code;

	if (s->query)
		mask_sql_end(&m->query);
	else
		word_end(s->word, names || (code && is_code(b)));
	item_over(s);
	s->code = names;
}

static void string_begins(struct bolt *m, struct side *s, int dir)
{
	s->query = dir == 1 && s->first && s->head.b[1] == RUN;
	s->pack = PACK_STRING;
	if (s->query)
		mask_sql_start(&m->query, m->key, s->word, MASK_CYPHER);
	else
		word_start(s->word, m->key, is_failure(s) ? WORD_TRY : WORD_MASK);
	if (!s->size)
		string_over(m, s);
}

static void zero_begins(struct side *s, uint64_t size)
{
	s->size = size;
	s->pack = PACK_ZERO;
	if (!size)
		item_over(s);
}

static void length_begins(struct side *s, unsigned bytes)
{
	s->need = bytes;
	s->size = 0;
	s->pack = PACK_LENGTH;
}

/* neo4j.com/docs/bolt, PackStream: markers */
static void marker(struct bolt *m, struct side *s, int dir, char *p)
{
	uint8_t c = (uint8_t)*p;

	s->marker = c;
	if (c >> 4 == 8) {
		s->size = c & 15;
		string_begins(m, s, dir);
	} else if (c < 0x80 || c >= 0xf0) { /* a small number */
		*p = 0;
		item_over(s);
	} else if (c >> 4 == 9 || c >> 4 == 10 || (c >= 0xc0 && c <= 0xc3 && c != 0xc1)) {
		item_over(s); /* list, map, null, false, true: their members follow */
	} else if (c >> 4 == 11) {
		zero_begins(s, 1); /* a structure: its tag */
	} else if (c == 0xc1) {
		zero_begins(s, 8);
	} else if (c >= 0xc8 && c <= 0xcb) {
		zero_begins(s, 1u << (c & 3));
	} else if ((c >= 0xcc && c <= 0xce) || (c >= 0xd0 && c <= 0xd2) ||
	           (c >= 0xd4 && c <= 0xd6) || (c >= 0xd8 && c <= 0xda)) {
		length_begins(s, 1u << (c & 3));
	} else {
		s->pack = PACK_LOST;
		*p = 0;
	}
}

static void length_byte(struct bolt *m, struct side *s, int dir, char c)
{
	s->size = s->size << 8 | (uint8_t)c;
	if (--s->need)
		return;
	if (s->marker < 0xd0)
		zero_begins(s, s->size);
	else if (s->marker < 0xd4)
		string_begins(m, s, dir);
	else
		item_over(s);
}

static void pack_byte(struct bolt *m, struct side *s, int dir, char *p)
{
	switch (s->pack) {
	case PACK_MARKER:
		marker(m, s, dir, p);
		return;
	case PACK_LENGTH:
		length_byte(m, s, dir, *p);
		return;
	case PACK_STRING:
		if (s->query)
			mask_sql_byte(&m->query, p);
		else
			word_byte(s->word, p);
		if (--s->size == 0)
			string_over(m, s);
		return;
	case PACK_ZERO:
		*p = 0;
		if (--s->size == 0)
			item_over(s);
		return;
	case PACK_LOST:
		*p = 0;
	}
}

/* ===== Chunks ===== */

static bool is_request(const uint8_t *head)
{
	unsigned fields = head[0] & 0x0f;

	for (size_t i = 0; (head[0] & 0xf0) == 0xb0 && i < sizeof(requests) / sizeof(*requests);
	     i++)
		if (requests[i].tag == head[1])
			return fields >= requests[i].least && fields <= requests[i].most;
	return false;
}

static bool is_reply(const uint8_t *head)
{
	return head[0] == 0xb1 ? head[1] == SUCCESS || head[1] == RECORD || head[1] == FAILURE ||
	                                 head[1] == IGNORED
	                       : head[0] == 0xb0 && head[1] == IGNORED;
}

static void side_lost(struct side *s)
{
	struct mask_word *word = s->word;

	word_end(word, false);
	*s = (struct side){ .word = word, .shake = SHAKE_OVER, .lost = true };
}

static bool message_over(struct side *s)
{
	bool whole = s->head.n == 2;

	word_end(s->word, false);
	s->in_message = false;
	s->head.n = 0;
	s->proven |= whole;
	return whole;
}

/* A byte of a message; false: it begins none. */
static bool message_byte(struct bolt *m, struct side *s, int dir, char *p)
{
	struct bytes one = { p, 1 };

	s->in_message = true;
	if (s->head.n == 2) {
		pack_byte(m, s, dir, p);
		return true;
	}
	if (!collect_take(&s->head, 2, &one))
		return true;
	s->pack = PACK_MARKER;
	s->first = true;
	s->code = s->query = false;
	return dir == 1 ? is_request(s->head.b) : is_reply(s->head.b);
}

static bool chunk_byte(struct bolt *m, struct side *s, int dir, char *p)
{
	struct bytes one = { p, 1 };

	if (s->left) {
		s->left--;
		return message_byte(m, s, dir, p);
	}
	if (!collect_take(&s->length, 2, &one))
		return true;
	s->left = be16(s->length.b);
	s->length.n = 0;
	/* between messages an empty one is a sign of life */
	return s->left || !s->in_message || message_over(s);
}

static bool message_starts(struct bytes b, int dir)
{
	const uint8_t *p = (const uint8_t *)b.p;
	size_t len = b.n >= 4 ? be16(p) : 0;

	if (len < 2 || !(dir == 1 ? is_request(p + 2) : is_reply(p + 2)))
		return false;
	return b.n < len + 4 || (p[len + 2] == 0 && p[len + 3] == 0) || len >= CHUNK_BIG;
}

/* ===== The handshake ===== */

/* A number of a manifest is complete. */
static bool varint_over(struct side *s, uint8_t c)
{
	s->list |= (uint64_t)(c & 0x7f) << 7 * s->hands.n;
	s->hands.n++;
	return s->hands.n >= VARINT_MAX || !(c & 0x80);
}

static void server_hand(struct bolt *m, struct side *s, char c)
{
	struct bytes one = { &c, 1 };

	switch (s->shake) {
	case SHAKE_GREETING:
		if (!collect_take(&s->hands, 4, &one))
			return;
		m->silent = memcmp(s->hands.b, "\0\0\0\0", 4) == 0 ||
		            memcmp(s->hands.b, "HTTP", 4) == 0;
		s->shake = memcmp(s->hands.b, "\0\0\1\xff", 4) == 0 ? SHAKE_COUNT : SHAKE_OVER;
		s->hands.n = 0;
		return;
	case SHAKE_COUNT:
		if (!varint_over(s, (uint8_t)c))
			return;
		m->silent = s->list > MANIFEST_MAX;
		s->list *= 4;
		s->shake = s->list ? SHAKE_LIST : SHAKE_NUMBER;
		s->hands.n = 0;
		return;
	case SHAKE_LIST:
		s->shake = --s->list ? SHAKE_LIST : SHAKE_NUMBER;
		return;
	default:
		if (!varint_over(s, (uint8_t)c))
			return;
		s->shake = SHAKE_OVER;
		m->side[1].shake = SHAKE_CHOICE;
		m->side[1].hands.n = 0;
	}
}

static void client_hand(struct side *s, char c)
{
	struct bytes one = { &c, 1 };

	if (s->shake == SHAKE_GREETING) {
		if (collect_take(&s->hands, HANDSHAKE, &one))
			s->shake = SHAKE_OVER;
	} else if (s->shake == SHAKE_CHOICE) {
		if (collect_take(&s->hands, 4, &one)) {
			s->shake = SHAKE_REPLY;
			s->hands.n = 0;
		}
	} else if (varint_over(s, (uint8_t)c)) {
		s->shake = SHAKE_OVER;
	}
}

/* ===== struct masker ===== */

/* Messages, as far as they are there, to the operation's last byte. */
static bool messages_fill(struct bytes b, uint64_t total)
{
	uint64_t at = 0;

	while (at < total) {
		struct bytes rest = bytes_from(b, at < b.n ? (size_t)at : b.n);
		size_t len = rest.n >= 4 ? be16((const uint8_t *)rest.p) : 0;

		if (at && rest.n < 4)
			return b.n < total;
		if (!message_starts(rest, 1))
			return false;
		at += len + 4;
		if (len >= CHUNK_BIG && at > b.n)
			return true;
	}
	return at == total && at;
}

static int bolt_request(struct bytes b, uint64_t total, bool from_start)
{
	if (memcmp(b.p, MAGIC, b.n < 4 ? b.n : 4) == 0)
		return b.n >= 4;
	return !from_start && messages_fill(b, total) ? 1 : -1;
}

static void begin(struct bolt *m, bool from_start)
{
	for (int dir = 0; dir < 2; dir++) {
		m->side[dir].proven = true;
		m->side[dir].shake = from_start ? SHAKE_GREETING : SHAKE_OVER;
		m->side[dir].lost = !from_start;
	}
}

static void *bolt_new(struct mask_owner *o, struct mask_word *words, bool from_start)
{
	struct bolt *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->key = o->key;
	m->last_dir = -1;
	m->side[0].word = &words[0];
	m->side[1].word = &words[1];
	begin(m, from_start);
	return m;
}

/* Who goes on while we believe the other to be inside a message shows that the place was wrong. */
static void turn(struct bolt *m, int dir)
{
	struct side *other = &m->side[!dir];

	if (m->last_dir == !dir && !other->lost && !other->proven &&
	    (other->in_message || other->left))
		side_lost(other);
	m->last_dir = dir;
}

static enum mask_result bolt_feed(void *state, int dir, char *p, size_t n)
{
	struct bolt *m = state;
	struct side *s = &m->side[dir];

	if (n)
		turn(m, dir);
	/* in TLS, whose first byte shows that it is the first */
	if (dir == 1 && s->lost && m->side[0].lost && n >= 4 && memcmp(p, MAGIC, 4) == 0)
		begin(m, true);
	for (; n && !m->silent && s->shake != SHAKE_OVER; p++, n--) {
		if (dir == 1)
			client_hand(s, *p);
		else
			server_hand(m, s, *p);
	}
	if (s->lost && message_starts((struct bytes){ p, n }, dir))
		s->lost = false;
	while (n && !m->silent && !s->lost) {
		if (!chunk_byte(m, s, dir, p)) {
			side_lost(s);
			break;
		}
		p++, n--;
	}
	memset(p, 0, n);
	return MASK_OK;
}

/* Inside a chunk: nothing more of its message is known. */
static enum mask_result bolt_gap(void *state, int dir, uint64_t n)
{
	struct bolt *m = state;
	struct side *s = &m->side[dir];

	if (!n || m->silent)
		return MASK_OK;
	turn(m, dir);
	if (s->shake != SHAKE_OVER || s->lost || s->head.n < 2 || n > s->left) {
		m->side[!dir].shake = SHAKE_OVER;
		side_lost(s);
		return MASK_OK;
	}
	word_break(s->word);
	s->left -= n;
	s->pack = PACK_LOST;
	return MASK_OK;
}

const struct masker masker_bolt = {
	.request = bolt_request,
	.new = bolt_new,
	.feed = bolt_feed,
	.gap = bolt_gap,
	.free = free,
};
