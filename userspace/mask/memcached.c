/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Masks memcached's text protocol, classic and meta (proto/memcached.c): commands, words of replies, sizes, "noreply" and letters
 * of flags stay; keys, values, tokens of flags, other numbers and all other text are masked. What is a number of its own in a
 * reply becomes another one.
 */
#include "mask/mask.h"

#include <ctype.h>
#include <stdlib.h>

#include "proto/collect.h"

#define VALUE_MAX (1ull << 30) /* as in proto/memcached.c */
#define NUMBER_MAX 19          /* digits of a size */
#define NAME_MAX_LEN 16        /* of a command */
#define NO_KEY 0xff

enum flag { DATA = 1, META = 2, KEYS = 4 /* keys up to the line's end */ };

static const struct command {
	const char *name;
	uint8_t flags, key, size; /* which word is the first key, which the size of the block */
} commands[] = {
	{ "get", KEYS, 1, 0 },
	{ "gets", KEYS, 1, 0 },
	{ "gat", KEYS, 2, 0 },
	{ "gats", KEYS, 2, 0 },
	{ "set", DATA, 1, 4 },
	{ "add", DATA, 1, 4 },
	{ "replace", DATA, 1, 4 },
	{ "append", DATA, 1, 4 },
	{ "prepend", DATA, 1, 4 },
	{ "cas", DATA, 1, 4 },
	{ "delete", 0, 1, 0 },
	{ "incr", 0, 1, 0 },
	{ "decr", 0, 1, 0 },
	{ "touch", 0, 1, 0 },
	{ "mg", META, 1, 0 },
	{ "ms", DATA | META, 1, 2 },
	{ "md", META, 1, 0 },
	{ "ma", META, 1, 0 },
	{ "me", META, 1, 0 },
	{ "mn", META, NO_KEY, 0 },
	{ "version", 0, NO_KEY, 0 },
	{ "verbosity", 0, NO_KEY, 0 },
	{ "stats", 0, NO_KEY, 0 },
	{ "quit", 0, NO_KEY, 0 },
	{ "flush_all", 0, NO_KEY, 0 },
	{ "cache_memlimit", 0, NO_KEY, 0 },
	{ "slabs", 0, NO_KEY, 0 },
	{ "lru", 0, NO_KEY, 0 },
	{ "lru_crawler", 0, NO_KEY, 0 },
	{ "watch", 0, NO_KEY, 0 },
	{ "shutdown", 0, NO_KEY, 0 },
};

/* First words of a reply; those in front may be followed by a block. */
static const struct command replies[] = {
	{ "VALUE", DATA, 1, 3 },        { "VA", DATA | META, NO_KEY, 1 },
	{ "END", 0, NO_KEY, 0 },        { "STORED", 0, NO_KEY, 0 },
	{ "NOT_STORED", 0, NO_KEY, 0 }, { "EXISTS", 0, NO_KEY, 0 },
	{ "NOT_FOUND", 0, NO_KEY, 0 },  { "DELETED", 0, NO_KEY, 0 },
	{ "TOUCHED", 0, NO_KEY, 0 },    { "OK", 0, NO_KEY, 0 },
	{ "RESET", 0, NO_KEY, 0 },      { "VERSION", KEYS, 1, 0 },
	{ "STAT", KEYS, 1, 0 },         { "HD", META, NO_KEY, 0 },
	{ "EN", 0, NO_KEY, 0 },         { "NS", META, NO_KEY, 0 },
	{ "EX", META, NO_KEY, 0 },      { "NF", META, NO_KEY, 0 },
	{ "MN", 0, NO_KEY, 0 },         { "ME", KEYS, 1, 0 },
	{ "ERROR", KEYS, 1, 0 },        { "BUSY", KEYS, 1, 0 },
	{ "BADCLASS", KEYS, 1, 0 },     { "NOSPARE", KEYS, 1, 0 },
	{ "NOTFULL", KEYS, 1, 0 },      { "UNSAFE", KEYS, 1, 0 },
	{ "SAME", KEYS, 1, 0 },         { "CLIENT_ERROR", KEYS, 1, 0 },
	{ "SERVER_ERROR", KEYS, 1, 0 },
};

/* Of a line whose first word is none of these. */
static const struct command unknown = { "", KEYS, 1, 0 };

struct side {
	struct mask_word *word;
	bool lost;
	const struct command *line; /* NULL: its first word is not complete */
	unsigned index;             /* of the word */
	size_t nword;               /* bytes of it */
	bool in_line;
	bool number;   /* the word has digits only */
	uint64_t size; /* they, of the word that is the block's size */
	bool sized;
	uint64_t left; /* of the block, its CR LF included */
};

struct memcached {
	const uint8_t *key;
	struct side side[2];
};

static const struct command *find(const struct command *list, size_t n, struct bytes name)
{
	for (size_t i = 0; i < n; i++)
		if (bytes_equal(name, list[i].name))
			return &list[i];
	return NULL;
}

static const struct command *first_word(int dir, struct bytes name)
{
	return dir == 1 ? find(commands, sizeof(commands) / sizeof(*commands), name)
	                : find(replies, sizeof(replies) / sizeof(*replies), name);
}

/* ---- words ---- */

static bool is_key(const struct side *s)
{
	return s->line &&
	       (s->line->flags & KEYS ? s->index >= s->line->key : s->index == s->line->key);
}

static bool is_size(const struct side *s)
{
	return s->line && s->line->flags & DATA && s->index == s->line->size;
}

/* Letters of a flag whose token follows. */
static bool is_flag(const struct side *s)
{
	return s->line && s->line->flags & META && s->index && !is_key(s) && !is_size(s);
}

static void word_begin(struct memcached *m, struct side *s)
{
	s->nword = 0;
	s->number = true;
	word_start(s->word, m->key, is_key(s) || is_flag(s) ? WORD_MASK : WORD_TRY);
}

static void word_take(struct side *s, char *p)
{
	s->number &= isdigit((uint8_t)*p) != 0;
	if (is_size(s) && s->nword < NUMBER_MAX)
		s->size = s->size * 10 + (uint64_t)(*p - '0');
	/* the letter of a flag stays, and a letter of its own is one */
	if (s->nword++ || !is_flag(s) || !isalpha((uint8_t)*p))
		word_byte(s->word, p);
}

/* A number on its own, as incr gives it: to be read as one it only needs digits. */
static void count_over(struct side *s)
{
	for (unsigned i = 0; i < s->word->n; i++)
		*s->word->at[i] = '1';
	word_end(s->word, true);
}

static void word_over(struct side *s, int dir)
{
	char buf[MASK_WORD_MAX];
	struct bytes b = word_text(s->word, buf);
	bool number = s->number && s->nword <= NUMBER_MAX;

	if (!s->nword)
		return;
	if (s->index == 0) {
		s->line = first_word(dir, b);
		if (!s->line && dir == 0 && number && b.n)
			count_over(s);
		word_end(s->word, s->line != NULL);
		s->line = s->line ? s->line : &unknown;
	} else {
		bool sized = is_size(s) && number;

		s->sized |= sized;
		word_end(s->word, sized || bytes_equal(b, "noreply"));
	}
	s->index++;
	s->nword = 0;
}

/* ---- lines ---- */

static void line_begin(struct side *s)
{
	struct mask_word *word = s->word;

	*s = (struct side){ .word = word };
}

static void side_lost(struct side *s)
{
	word_end(s->word, false);
	line_begin(s);
	s->lost = true;
}

/* False: no line of this protocol. */
static bool line_over(struct side *s, int dir)
{
	bool block, sized = s->sized;
	uint64_t size = s->size;
	const struct command *line;

	word_over(s, dir);
	line = s->line;
	sized |= s->sized;
	block = line && line->flags & DATA;
	line_begin(s);
	if (!line || (block && (!sized || size > VALUE_MAX)))
		return false;
	s->left = block ? size + 2 : 0;
	return true;
}

static bool line_byte(struct memcached *m, struct side *s, int dir, char *p)
{
	s->in_line = true;
	if (*p == '\n')
		return line_over(s, dir);
	if (*p == ' ' || *p == '\r') {
		word_over(s, dir);
		return true;
	}
	if (!s->nword)
		word_begin(m, s);
	word_take(s, p);
	return true;
}

static void block_byte(struct memcached *m, struct side *s, char *p)
{
	if (!s->nword)
		word_start(s->word, m->key, WORD_MASK);
	s->nword = 1;
	if (s->left > 2)
		word_byte(s->word, p);
	else if (*p != '\r' && *p != '\n')
		*p = 0;
	if (--s->left == 0)
		s->nword = 0;
}

/* ---- struct masker ---- */

static struct bytes name_of(struct bytes b, int dir)
{
	size_t n = 0;

	while (n < b.n && n < NAME_MAX_LEN &&
	       (b.p[n] == '_' || (dir ? islower((uint8_t)b.p[n])
	                              : isupper((uint8_t)b.p[n]) || isdigit((uint8_t)b.p[n]))))
		n++;
	return (struct bytes){ b.p, n };
}

/* Is the n-th word of the line a number? */
static bool word_is_number(struct bytes line, unsigned n)
{
	struct bytes word = { 0 };

	for (unsigned i = 0; i <= n; i++) {
		while (line.n && *line.p == ' ')
			line = bytes_from(line, 1);
		word = bytes_to(&line, ' ');
	}
	for (size_t i = 0; i < word.n; i++)
		if (!isdigit((uint8_t)word.p[i]))
			return false;
	return word.n > 0 && word.n <= NUMBER_MAX;
}

/* A command's whole line. */
static int memcached_request(struct bytes b, uint64_t total, bool from_start)
{
	struct bytes name = name_of(b, 1);
	const struct command *c = first_word(1, name);
	const char *end = memchr(b.p, '\n', b.n);
	struct bytes line = { b.p, end ? (size_t)(end - b.p) : b.n };

	(void)total;
	(void)from_start;
	if (name.n == b.n)
		return name.n < NAME_MAX_LEN ? 0 : -1;
	if (!c || (b.p[name.n] != ' ' && b.p[name.n] != '\r'))
		return -1;
	if (!end)
		return 0;
	if (!line.n || line.p[--line.n] != '\r')
		return -1;
	return !(c->flags & DATA) || word_is_number(line, c->size) ? 1 : -1;
}

static void *memcached_new(struct mask_owner *o, struct mask_word *words, bool from_start)
{
	struct memcached *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->key = o->key;
	m->side[0].word = &words[0];
	m->side[1].word = &words[1];
	m->side[0].lost = !from_start;
	return m;
}

static bool resumes(int dir, struct bytes b)
{
	struct bytes name = name_of(b, dir);
	bool count = dir == 0 && name.n > 0;

	for (size_t i = 0; i < name.n; i++)
		count &= isdigit((uint8_t)name.p[i]) != 0;
	return name.n < b.n && (b.p[name.n] == ' ' || b.p[name.n] == '\r') &&
	       (count || first_word(dir, name));
}

static enum mask_result memcached_feed(void *state, int dir, char *p, size_t n)
{
	struct memcached *m = state;
	struct side *s = &m->side[dir];

	if (s->lost && n && resumes(dir, (struct bytes){ p, n }))
		line_begin(s);
	for (; n && !s->lost; p++, n--) {
		if (s->left)
			block_byte(m, s, p);
		else if (!line_byte(m, s, dir, p))
			side_lost(s);
	}
	memset(p, 0, n);
	return MASK_OK;
}

static enum mask_result memcached_gap(void *state, int dir, uint64_t n)
{
	struct memcached *m = state;
	struct side *s = &m->side[dir];

	word_break(s->word);
	if (s->lost || !n)
		return MASK_OK;
	if (n > s->left)
		side_lost(s);
	else
		s->left -= n;
	if (!s->left)
		s->nword = 0;
	return MASK_OK;
}

const struct masker masker_memcached = {
	.request = memcached_request,
	.new = memcached_new,
	.feed = memcached_feed,
	.gap = memcached_gap,
	.free = free,
};
