/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Masks MongoDB's wire protocol (proto/mongodb.c has the sources): heads, flags and the structure of documents stay; of a
 * document the names that parser reads, at their places, and of a reply its codes. Other names and strings are masked, other
 * values become zeros; so does what is compressed.
 */
#include "mask/mask.h"

#include <ctype.h>
#include <stdlib.h>

#include "proto/bson.h"
#include "proto/collect.h"

#define HEAD 16
#define MESSAGE_MAX 48100000u /* as in proto/mongodb.c */
#define ASKED_MAX 64          /* requests whose replies are known again after a gap */

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

#define FLAGS_KNOWN 0x10003u /* of OP_MSG: checksum, more to come, exhaust allowed */
#define COMPRESSOR_NOOP 0

/* Where in a message's body we are: enum part of proto/mongodb.c. */
enum part {
	PART_COMPRESSED,
	PART_FLAGS,
	PART_KIND,
	PART_SIZE,
	PART_SECTION,
	PART_QUERY_NAME,
	PART_QUERY_NUMBERS,
	PART_DOCUMENT,
	PART_REST,
};

struct side {
	struct mask_word *word;
	struct collect head, fixed;
	uint64_t left, section;
	uint32_t opcode;
	enum part part;
	bool begun, lost, open;
	uint8_t commands; /* bytes of ".$cmd" that the name of the collection ends with */
	/* the document */
	struct bson bson;
	bool in_errors, in_concern, in_cursor, in_pipeline;
};

struct mongodb {
	const uint8_t *key;
	struct side side[2];
	uint32_t asked[ASKED_MAX]; /* numbers of requests */
	unsigned next;
};

/* ===== Documents ===== */

static bool named(const struct bson *b, const char *name)
{
	return strcmp(b->name, name) == 0;
}

/* Letters and digits of a command's name, or of an error's. */
static bool is_identifier(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		if (!isalnum((uint8_t)b.p[i]) && b.p[i] != '_')
			return false;
	return b.n > 0 && b.n < BSON_KEPT;
}

static bool one_of(struct bytes b, const char *const *list)
{
	for (; *list; list++)
		if (bytes_equal(b, *list))
			return true;
	return false;
}

static bool codes_here(const struct side *s)
{
	return (s->in_errors && s->bson.depth == 3) || (s->in_concern && s->bson.depth == 2);
}

/* Is the name read by proto/mongodb.c where it stands? The first of a request is its command. */
static bool name_kept(const struct side *s, int dir, struct bytes name)
{
	static const char *const top[] = { "writeErrors", "writeConcernError", "cursor",
		                           "pipeline",    "nErrors",           "ok",
		                           "code",        "codeName",          "maxAwaitTimeMS",
		                           "maxTimeMS",   "awaitData",         NULL };
	static const char *const stages[] = { "$out", "$merge", "$changeStream", NULL };
	static const char *const codes[] = { "code", "codeName", NULL };
	unsigned depth = s->bson.depth;

	if (depth == 1)
		return one_of(name, top) || (dir == 1 && s->bson.index == 0 && is_identifier(name));
	if (s->in_cursor && depth == 2)
		return bytes_equal(name, "id");
	if (s->in_pipeline && depth == 3)
		return one_of(name, stages);
	return codes_here(s) && one_of(name, codes);
}

/* Is its number read there? */
static bool number_kept(const struct side *s)
{
	static const char *const top[] = { "nErrors", "ok", "code", "awaitData", NULL };
	const struct bson *b = &s->bson;

	if (b->depth == 1)
		return one_of(bytes_of(b->name), top) || (b->index == 0 && named(b, "getMore"));
	if (s->in_cursor && b->depth == 2)
		return named(b, "id");
	return codes_here(s) && named(b, "code");
}

static bool text_kept(const struct side *s)
{
	return named(&s->bson, "codeName") && (s->bson.depth == 1 || codes_here(s));
}

/* Told of each element: where we are. */
static void element(void *ctx, const struct bson *b)
{
	struct side *s = ctx;

	if (b->depth != 1)
		return;
	s->in_errors = named(b, "writeErrors");
	s->in_concern = named(b, "writeConcernError");
	s->in_cursor = named(b, "cursor");
	s->in_pipeline = named(b, "pipeline");
}

static void string_start(struct mongodb *m, struct side *s, enum word_start how)
{
	if (!s->open)
		word_start(s->word, m->key, how);
	s->open = true;
}

static void string_over(struct side *s, bool keep)
{
	word_end(s->word, keep);
	s->open = false;
}

/* A byte of a value that goes by; the last of a string is its NUL. */
static void value_byte(struct mongodb *m, struct side *s, char *p)
{
	char buf[MASK_WORD_MAX];

	if (s->bson.type != BSON_STRING || s->bson.skip == 1) {
		*p = 0;
	} else {
		string_start(m, s, text_kept(s) ? WORD_TRY : WORD_MASK);
		word_byte(s->word, p);
	}
	if (s->bson.skip == 1 && s->open)
		string_over(s, is_identifier(word_text(s->word, buf)));
}

static void name_byte(struct mongodb *m, struct side *s, int dir, char *p)
{
	char buf[MASK_WORD_MAX];

	if (*p) {
		string_start(m, s, WORD_TRY);
		word_byte(s->word, p);
	} else if (s->open) {
		string_over(s, name_kept(s, dir, word_text(s->word, buf)));
	}
}

/* Of a regular expression. */
static void pattern_byte(struct mongodb *m, struct side *s, char *p)
{
	if (*p) {
		string_start(m, s, WORD_MASK);
		word_byte(s->word, p);
	} else if (s->open) {
		string_over(s, false);
	}
}

/* Of the name of a query's collection: that its document is a command stays known. */
static void collection_byte(struct mongodb *m, struct side *s, char *p)
{
	static const char commands[] = ".$cmd";

	if (*p && s->commands < sizeof(commands) - 1 && *p == commands[s->commands]) {
		if (s->open)
			string_over(s, false);
		s->commands++;
		return;
	}
	s->commands = 0;
	pattern_byte(m, s, p);
}

/* Masks a byte of the document, which its reader takes as it was. */
static void document_byte(struct mongodb *m, struct side *s, int dir, char *p)
{
	char was = *p;

	switch ((enum bson_at)s->bson.at) {
	case BSON_AT_SIZE:
	case BSON_AT_TYPE:
	case BSON_AT_LENGTH:
		break;
	case BSON_AT_NAME:
		name_byte(m, s, dir, p);
		break;
	case BSON_AT_CSTRING:
	case BSON_AT_CSTRING2:
		pattern_byte(m, s, p);
		break;
	case BSON_AT_FIXED:
		if (!number_kept(s))
			*p = 0;
		break;
	case BSON_AT_SKIP:
		value_byte(m, s, p);
		break;
	}
	bson_feed(&s->bson, (struct bytes){ &was, 1 });
	if (!s->bson.bad && !s->bson.done)
		return;
	if (s->bson.bad)
		*p = 0;
	s->part = s->bson.bad || s->opcode != OP_MSG ? PART_REST : PART_KIND;
}

/* ===== Messages ===== */

static bool is_legacy(uint32_t opcode)
{
	return opcode == OP_UPDATE || opcode == OP_INSERT || opcode == OP_DELETE ||
	       opcode == OP_GET_MORE || opcode == OP_KILL_CURSORS;
}

static bool head_valid(const uint8_t *p, int dir)
{
	uint32_t len = le32(p), opcode = le32(p + 12);

	if (len < HEAD + 5 || len > MESSAGE_MAX)
		return false;
	if (dir == 0)
		return opcode == OP_REPLY || opcode == OP_MSG || opcode == OP_COMPRESSED;
	return le32(p + 8) == 0 && (is_legacy(opcode) || opcode == OP_QUERY || opcode == OP_MSG ||
	                            opcode == OP_COMPRESSED);
}

static void part_set(struct side *s, enum part part)
{
	s->part = part;
	s->fixed.n = 0;
	if (part != PART_DOCUMENT)
		return;
	bson_start(&s->bson, element, s);
	s->in_errors = s->in_concern = s->in_cursor = s->in_pipeline = false;
}

static void body_starts(struct side *s)
{
	part_set(s, s->opcode == OP_COMPRESSED ? PART_COMPRESSED
	            : is_legacy(s->opcode)     ? PART_REST
	                                       : PART_FLAGS);
}

/* Original opcode, size, compressor. What is compressed cannot be masked at the same length. */
static void compressed_starts(struct side *s)
{
	bool plain = s->fixed.b[8] == COMPRESSOR_NOOP;

	s->opcode = le32(s->fixed.b);
	if (!plain || s->opcode == OP_COMPRESSED)
		part_set(s, PART_REST);
	else
		body_starts(s);
}

static void size_over(struct side *s)
{
	s->section = le32(s->fixed.b);
	part_set(s, s->section < 4 ? PART_REST : s->section == 4 ? PART_KIND : PART_SECTION);
	s->section -= 4;
}

static void fixed_over(struct side *s)
{
	switch (s->part) {
	case PART_COMPRESSED:
		compressed_starts(s);
		break;
	case PART_FLAGS:
		part_set(s, s->opcode == OP_REPLY ? PART_DOCUMENT
		            : s->opcode == OP_MSG ? PART_KIND
		                                  : PART_QUERY_NAME);
		break;
	case PART_SIZE:
		size_over(s);
		break;
	case PART_KIND: /* what comes behind the sections is a checksum */
		part_set(s, s->fixed.b[0] == 0   ? PART_DOCUMENT
		            : s->fixed.b[0] == 1 ? PART_SIZE
		                                 : PART_REST);
		break;
	default:
		part_set(s, PART_DOCUMENT);
	}
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

static void body_byte(struct mongodb *m, struct side *s, int dir, char *p)
{
	struct bytes one = { p, 1 };

	switch (s->part) {
	case PART_QUERY_NAME:
		if (!*p)
			part_set(s, PART_QUERY_NUMBERS);
		collection_byte(m, s, p);
		break;
	case PART_SECTION:
		*p = 0;
		if (--s->section == 0)
			part_set(s, PART_KIND);
		break;
	case PART_DOCUMENT:
		document_byte(m, s, dir, p);
		break;
	case PART_REST:
		*p = 0;
		break;
	default:
		if (!collect_take(&s->fixed, fixed_length(s), &one))
			break;
		/* the first byte of a checksum is no kind */
		if (s->part == PART_KIND && s->fixed.b[0] > 1)
			*p = (char)0xff;
		fixed_over(s);
	}
}

static void message_over(struct side *s)
{
	if (s->open)
		string_over(s, false);
	s->begun = false;
	s->head.n = 0;
}

/* A byte of a message; false: it begins none. */
static bool message_byte(struct mongodb *m, struct side *s, int dir, char *p)
{
	struct bytes one = { p, 1 };

	if (s->begun) {
		body_byte(m, s, dir, p);
		if (--s->left == 0)
			message_over(s);
		return true;
	}
	if (!collect_take(&s->head, HEAD, &one))
		return true;
	if (!head_valid(s->head.b, dir))
		return false;
	s->left = le32(s->head.b) - HEAD;
	s->opcode = le32(s->head.b + 12);
	s->begun = true;
	if (dir == 1)
		m->asked[m->next++ % ASKED_MAX] = le32(s->head.b + 4);
	body_starts(s);
	return true;
}

static void side_lost(struct side *s)
{
	struct mask_word *word = s->word;

	word_end(word, false);
	memset(s, 0, sizeof(*s));
	s->word = word;
	s->lost = true;
}

/* ===== struct masker ===== */

static int mongodb_request(struct bytes b, uint64_t total, bool from_start)
{
	const uint8_t *p = (const uint8_t *)b.p;

	(void)total;
	if ((b.n >= 4 && (le32(p) < HEAD + 5 || le32(p) > MESSAGE_MAX)) ||
	    (b.n >= HEAD && !head_valid(p, 1)))
		return -1;
	if (b.n < HEAD + 5)
		return from_start || b.n == HEAD ? 0 : -1;
	return le32(p + 12) != OP_MSG || (!(le32(p + 16) & ~FLAGS_KNOWN) && p[20] <= 1) ? 1 : -1;
}

static void *mongodb_new(struct mask_owner *o, struct mask_word *words, bool from_start)
{
	struct mongodb *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->key = o->key;
	for (int dir = 0; dir < 2; dir++) {
		m->side[dir].word = &words[dir];
		m->side[dir].lost = !from_start;
	}
	return m;
}

static bool was_asked(const struct mongodb *m, uint32_t id)
{
	for (unsigned i = 0; i < ASKED_MAX && i < m->next; i++)
		if (m->asked[i] == id)
			return true;
	return false;
}

static bool message_starts(const struct mongodb *m, int dir, struct bytes b)
{
	const uint8_t *p = (const uint8_t *)b.p;

	return b.n >= HEAD && head_valid(p, dir) && (dir == 1 || was_asked(m, le32(p + 8)));
}

static enum mask_result mongodb_feed(void *state, int dir, char *p, size_t n)
{
	struct mongodb *m = state;
	struct side *s = &m->side[dir];

	if (s->lost && message_starts(m, dir, (struct bytes){ p, n }))
		s->lost = false;
	while (n && !s->lost) {
		if (!message_byte(m, s, dir, p)) {
			side_lost(s);
			break;
		}
		p++, n--;
	}
	memset(p, 0, n);
	return MASK_OK;
}

/* As in proto/mongodb.c: inside a message the next one's place is known. */
static enum mask_result mongodb_gap(void *state, int dir, uint64_t n)
{
	struct side *s = &((struct mongodb *)state)->side[dir];

	if (!n || s->lost)
		return MASK_OK;
	if (!s->begun || n > s->left) {
		side_lost(s);
		return MASK_OK;
	}
	word_break(s->word);
	s->left -= n;
	if (s->part == PART_SECTION && n <= s->section) {
		s->section -= n;
		if (!s->section)
			part_set(s, PART_KIND);
	} else if (s->part != PART_DOCUMENT || !bson_gap(&s->bson, n)) {
		part_set(s, PART_REST);
	}
	if (!s->left)
		message_over(s);
	return MASK_OK;
}

const struct masker masker_mongodb = {
	.request = mongodb_request,
	.new = mongodb_new,
	.feed = mongodb_feed,
	.gap = mongodb_gap,
	.free = free,
};
