/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Masks PostgreSQL's protocol 3 (postgresql.org, "Message Formats"): types, lengths, counts, tags and SQLSTATE stay; of SQL its
 * keywords and punctuation; names, parameters, rows, messages and passwords are masked. What a message is made of is
 * told by a table.
 */
#include "mask/sql.h"

#include <ctype.h>
#include <stdlib.h>

#define STARTUP_MAX 10000      /* the server's own limit, MAX_STARTUP_PACKET_LENGTH */
#define MESSAGE_MAX (1u << 30) /* and of a message */
#define RESYNC_MAX 0xffffffu   /* as in proto/postgres.c: of one that shows where we are */

enum {
	CODE_3_0 = 196608,
	CODE_3_2 = 196610,
	CODE_CANCEL = 80877102,
	CODE_SSL = 80877103,
	CODE_GSS = 80877104,
};

/* Fields of a message, a letter each:
 *	b i I	1, 2, 4 bytes that stay		s	string, masked (equal names stay equal)
 *	n	string, stays if one word	t	string, words of capital letters and digits stay
 *	q	SQL				e	kind and string of an error
 *	f	count, as many 2-byte numbers	v	count, as many values: length and masked bytes
 *	r	the rest stays (numbers)	m z	the rest is masked, zeroed
 *	(	from here on again and again	k	18 bytes that stay (a column's numbers)
 *	p	string, stays if a known setting
 */
static const struct message {
	char type;
	const char *fields[2]; /* from the server, from the client; NULL: no such message */
} messages[] = {
	{ '1', { "", NULL } },     { '2', { "", NULL } },      { '3', { "", NULL } },
	{ 'A', { "Iss", NULL } },  { 'B', { NULL, "ssfvf" } }, { 'C', { "t", "bs" } },
	{ 'D', { "v", "bs" } },    { 'E', { "(e", "sI" } },    { 'F', { NULL, "m" } },
	{ 'G', { "r", NULL } },    { 'H', { "r", "" } },       { 'I', { "", NULL } },
	{ 'K', { "z", NULL } },    { 'N', { "(e", NULL } },    { 'P', { NULL, "sqr" } },
	{ 'Q', { NULL, "q" } },    { 'R', { "Im", NULL } },    { 'S', { "ns", "" } },
	{ 'T', { "i(sk", NULL } }, { 'V', { "m", NULL } },     { 'W', { "r", NULL } },
	{ 'X', { NULL, "" } },     { 'Z', { "b", NULL } },     { 'c', { "", "" } },
	{ 'd', { "m", "m" } },     { 'f', { NULL, "m" } },     { 'n', { "", NULL } },
	{ 'p', { NULL, "m" } },    { 's', { "", NULL } },      { 't', { "r", NULL } },
	{ 'v', { "m", NULL } },
};

struct side {
	struct mask_word *word;
	bool lost;  /* waits for bytes that begin with a message */
	bool typed; /* the startup is over */
	uint8_t head[8];
	unsigned nhead;
	uint64_t left; /* of the message */
	const char *field, *loop;
	bool begun;            /* the field's first byte was seen */
	uint32_t need;         /* bytes left of the fixed part of a field */
	uint32_t number;       /* the one being read there */
	uint32_t count, value; /* values left; bytes left of this one */
	bool in_length;
	bool keep;
	struct mask_sql sql;
};

struct postgres {
	const uint8_t *key;
	struct side side[2];
	bool asked; /* for encryption: one byte is the answer */
};

/* ===== Fields ===== */

static void field_next(struct side *s)
{
	s->begun = false;
	if (*s->field)
		s->field++;
	if (*s->field == '(')
		s->loop = ++s->field;
	if (!*s->field && s->loop)
		s->field = s->loop;
}

static bool known_setting(struct bytes name)
{
	static const char *const settings[] = {
		"user",        "database",  "application_name", "client_encoding",    "options",
		"replication", "datestyle", "timezone",         "extra_float_digits", NULL
	};

	return mask_listed(settings, name);
}

/* A string that ends with NUL, one word or masked. */
static void string_byte(struct postgres *g, struct side *s, char *p)
{
	char buf[MASK_WORD_MAX];
	struct bytes b;

	if (!s->begun)
		word_start(s->word, g->key, *s->field == 's' ? WORD_MASK : WORD_TRY);
	s->begun = true;
	if (*p) {
		word_byte(s->word, p);
		return;
	}
	b = word_text(s->word, buf);
	word_end(s->word, *s->field == 'n' || (*s->field == 'p' && known_setting(b)));
	field_next(s);
}

/* "INSERT 0 1" */
static void tag_byte(struct postgres *g, struct side *s, char *p)
{
	if (!s->begun)
		word_start(s->word, g->key, WORD_MASK);
	s->begun = true;
	if (!*p)
		field_next(s);
	else if (!isupper((uint8_t)*p) && !isdigit((uint8_t)*p) && *p != ' ')
		word_byte(s->word, p);
}

static void query_byte(struct postgres *g, struct side *s, char *p)
{
	if (!s->begun)
		mask_sql_start(&s->sql, g->key, s->word, MASK_POSTGRES);
	s->begun = true;
	if (*p) {
		mask_sql_byte(&s->sql, p);
		return;
	}
	mask_sql_end(&s->sql);
	field_next(s);
}

static void error_byte(struct postgres *g, struct side *s, char *p)
{
	if (!s->begun) {
		s->begun = true;
		s->keep = *p == 'S' || *p == 'V' || *p == 'C';
		if (*p)
			word_start(s->word, g->key, s->keep ? WORD_TRY : WORD_MASK);
		else
			s->begun = false; /* the end of all fields */
	} else if (*p) {
		word_byte(s->word, p);
	} else {
		word_end(s->word, s->keep);
		field_next(s);
	}
}

/* Reads a big-endian number of s->need bytes into s->number; true when it is complete. */
static bool number_byte(struct side *s, char c)
{
	s->number = s->number << 8 | (uint8_t)c;
	return --s->need == 0;
}

static void fixed_byte(struct side *s, uint32_t bytes)
{
	if (!s->begun)
		s->need = bytes;
	s->begun = true;
	if (--s->need == 0)
		field_next(s);
}

static void number_start(struct side *s, uint32_t bytes)
{
	s->need = bytes;
	s->number = 0;
}

static void formats_byte(struct side *s, char c)
{
	if (!s->begun) {
		number_start(s, 2);
		s->begun = s->in_length = true;
	}
	if (s->in_length) {
		if (!number_byte(s, c))
			return;
		s->in_length = false;
		s->need = 2 * s->number;
	} else {
		s->need--;
	}
	if (!s->need)
		field_next(s);
}

static void value_next(struct side *s)
{
	s->in_length = true;
	number_start(s, 4);
	if (!s->count)
		field_next(s);
}

static void values_byte(struct postgres *g, struct side *s, char *p)
{
	if (!s->begun) {
		s->begun = true;
		s->count = UINT32_MAX; /* not read yet */
		s->value = 0;
		number_start(s, 2);
	}
	if (s->value) {
		word_byte(s->word, p);
		if (--s->value == 0)
			value_next(s);
		return;
	}
	if (!number_byte(s, *p))
		return;
	if (s->count == UINT32_MAX) {
		s->count = s->number;
		value_next(s);
		return;
	}
	s->count--;
	s->value = s->number == UINT32_MAX ? 0 : s->number; /* -1: NULL */
	word_start(s->word, g->key, WORD_MASK);
	if (!s->value)
		value_next(s);
}

static void rest_byte(struct postgres *g, struct side *s, char *p)
{
	if (!s->begun)
		word_start(s->word, g->key, WORD_MASK);
	s->begun = true;
	if (*p)
		word_byte(s->word, p);
}

static void field_byte(struct postgres *g, struct side *s, char *p)
{
	switch (*s->field) {
	case 'b':
		fixed_byte(s, 1);
		break;
	case 'i':
		fixed_byte(s, 2);
		break;
	case 'I':
		fixed_byte(s, 4);
		break;
	case 'k':
		fixed_byte(s, 18);
		break;
	case 's':
	case 'n':
	case 'p':
		string_byte(g, s, p);
		break;
	case 't':
		tag_byte(g, s, p);
		break;
	case 'q':
		query_byte(g, s, p);
		break;
	case 'e':
		error_byte(g, s, p);
		break;
	case 'f':
		formats_byte(s, *p);
		break;
	case 'v':
		values_byte(g, s, p);
		break;
	case 'm':
		rest_byte(g, s, p);
		break;
	case 'r':
		break;
	default: /* 'z', or more than the message's fields */
		*p = 0;
	}
}

/* ===== Messages ===== */

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static const char *fields_of(uint8_t type, int dir)
{
	for (size_t i = 0; i < sizeof(messages) / sizeof(*messages); i++)
		if (messages[i].type == (char)type)
			return messages[i].fields[dir];
	return NULL;
}

static void message_start(struct side *s, const char *fields)
{
	s->begun = false;
	s->loop = NULL;
	s->field = fields;
	if (*fields == '(')
		s->loop = ++s->field;
}

static void message_end(struct side *s)
{
	word_end(s->word, MASK_POSTGRES);
	s->nhead = 0;
}

static bool startup_possible(uint32_t len, uint32_t code)
{
	if (code == CODE_3_0 || code == CODE_3_2)
		return len >= 9 && len <= STARTUP_MAX;
	if (code == CODE_CANCEL)
		return len >= 16 && len <= 268; /* keys of protocol 3.2 are longer */
	return len == 8 && (code == CODE_SSL || code == CODE_GSS);
}

static bool startup_head(struct postgres *g, struct side *s)
{
	uint32_t len = be32(s->head), code = be32(s->head + 4);

	if (s->nhead < 8)
		return true;
	if (!startup_possible(len, code))
		return false;
	s->left = len - 8;
	g->asked = code == CODE_SSL || code == CODE_GSS;
	message_start(s, code == CODE_CANCEL ? "z" : "(ps");
	s->typed = code == CODE_3_0 || code == CODE_3_2;
	if (!s->left)
		message_end(s);
	return true;
}

static bool typed_head(struct side *s, int dir)
{
	const char *fields = fields_of(s->head[0], dir);
	uint32_t len;

	if (!fields)
		return false;
	if (s->nhead < 5)
		return true;
	len = be32(s->head + 1);
	if (len < 4 || len > MESSAGE_MAX)
		return false;
	s->left = len - 4;
	message_start(s, fields);
	if (!s->left)
		message_end(s);
	return true;
}

static void message_byte(struct postgres *g, struct side *s, char *p)
{
	field_byte(g, s, p);
	if (--s->left == 0)
		message_end(s);
}

/* ===== struct masker ===== */

/* Do typed messages fill the operation exactly? At least one must have been seen. */
static bool messages_fill(struct bytes b, uint64_t total)
{
	uint64_t at = 0;

	while (at < total) {
		uint32_t len;

		if (at + 5 > b.n || !fields_of((uint8_t)b.p[at], 1))
			return false;
		len = be32((const uint8_t *)b.p + at + 1);
		if (len < 4 || len > MESSAGE_MAX)
			return false;
		at += 1 + (uint64_t)len;
	}
	return at == total && at;
}

/* Does b begin with messages of plausible types and lengths? The last may be cut. For finding our feet again; from the client
 * only what begins a unit of work. */
static bool messages_start(struct bytes b, int dir)
{
	if (b.n < 5 || (dir == 1 && !strchr("QPBDECSF", b.p[0])))
		return false;
	while (b.n) {
		uint32_t len;

		if (!b.p[0] || !fields_of((uint8_t)b.p[0], dir))
			return false;
		if (b.n < 5)
			return true;
		len = be32((const uint8_t *)b.p + 1);
		if (len < 4 || len > RESYNC_MAX)
			return false;
		b = bytes_from(b, (size_t)len + 1);
	}
	return true;
}

static void side_lost(struct side *s)
{
	message_end(s);
	s->left = 0;
	s->typed = s->lost = true;
}

static int postgres_request(struct bytes b, uint64_t total, bool from_start)
{
	const uint8_t *h = (const uint8_t *)b.p;

	if (b.n >= 8 && startup_possible(be32(h), be32(h + 4)))
		return 1;
	if (from_start && b.n < 8)
		return b.n && *h ? -1 : b.n > 1 && h[1] ? -1 : 0;
	return from_start ? -1 : messages_fill(b, total) ? 1 : -1;
}

static void *postgres_new(struct mask_owner *o, struct mask_word *words, bool from_start)
{
	struct postgres *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->key = o->key;
	for (int dir = 0; dir < 2; dir++) {
		g->side[dir].word = &words[dir];
		g->side[dir].typed = dir == 0;
		g->side[dir].lost = dir == 0 && !from_start;
	}
	return g;
}

/* One byte that is not of a message's body; false: no such message. */
static bool head_byte(struct postgres *g, struct side *s, int dir, char c)
{
	/* a startup message begins with the high byte of its length, 0, which is no type */
	if (s->nhead == 0 && c)
		s->typed = true;
	s->head[s->nhead++] = (uint8_t)c;
	return s->typed ? typed_head(s, dir) : startup_head(g, s);
}

static enum mask_result postgres_feed(void *m, int dir, char *p, size_t n)
{
	struct postgres *g = m;
	struct side *s = &g->side[dir];

	if (s->lost && !messages_start((struct bytes){ p, n }, dir)) {
		memset(p, 0, n);
		return MASK_OK;
	}
	s->lost = false;
	for (size_t i = 0; i < n; i++) {
		if (s->left) {
			message_byte(g, s, p + i);
		} else if (dir == 0 && g->asked && s->nhead == 0 && p[i] != 'E') {
			g->asked = false;
			if (p[i] == 'N')
				continue;
			memset(p + i + 1, 0, n - i - 1);
			if (p[i] == 'S' || p[i] == 'G')
				return MASK_SWITCHED;
			p[i] = 0;
			return MASK_LOST;
		} else if (!head_byte(g, s, dir, p[i])) {
			memset(p + i, 0, n - i);
			side_lost(s);
			return MASK_OK;
		}
	}
	return MASK_OK;
}

/* Inside a value or the rest of a message all bytes are the same; elsewhere the fields can no longer be told apart, but
 * where the next message begins is known. */
static enum mask_result postgres_gap(void *m, int dir, uint64_t n)
{
	struct side *s = &((struct postgres *)m)->side[dir];

	if (!n)
		return MASK_OK;
	if (n > s->left) {
		side_lost(s);
		return MASK_OK;
	}
	word_break(s->word);
	s->left -= n;
	if (*s->field == 'v' && s->value && n < s->value) {
		s->value -= (uint32_t)n;
	} else {
		s->field = "m";
		s->loop = NULL;
		s->begun = false;
	}
	if (!s->left)
		message_end(s);
	return MASK_OK;
}

const struct masker masker_postgres = {
	.request = postgres_request,
	.new = postgres_new,
	.feed = postgres_feed,
	.gap = postgres_gap,
	.free = free,
};
