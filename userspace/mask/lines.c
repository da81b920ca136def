/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Masks what a run writes to files and to its output: lines. One that begins with '{' is a JSON document, as bodies are (json.c);
 * of others each word is masked by itself, but for those that count turns ("3/20", "15%") and what moves a terminal's cursor.
 * A file with a NUL byte in it is no text: from there on it is zeros.
 */
#include <ctype.h>
#include <stdlib.h>

#include "mask/mask.h"

enum line_kind { LINE_NEW, LINE_JSON, LINE_TEXT, LINE_LOST };

/* Words of progress lines that are read, any case: they tell nothing of what is asked. */
static const char *const progress_words[] = { "test",      "tests", "turn",  "turns",   "message",
	                                      "messages",  "event", "total", "running", "done",
	                                      "begin",     "end",   "of",    "step",    "completed",
	                                      "remaining", NULL };

struct lines {
	const uint8_t *key;
	struct mask_word *word;
	struct mask_json json;
	enum line_kind kind;
	bool binary;
	/* text */
	bool in_word, digits; /* the word that is open has digits only */
	char before;          /* the byte in front of it */
	bool counted;         /* a number and a slash were kept: the number behind it is, too */
	unsigned escape;      /* of a control sequence: 1 ESC came, 2 "ESC [" */
};

static int lines_request(struct bytes b, uint64_t total, bool from_start)
{
	(void)b; /* told by the event, not by the bytes */
	(void)total;
	(void)from_start;
	return -1;
}

static void *lines_new(struct mask_owner *o, struct mask_word *words, bool from_start)
{
	struct lines *l = calloc(1, sizeof(*l));

	(void)from_start;
	if (!l)
		return NULL;
	l->key = o->key;
	l->word = &words[0];
	mask_json_start(&l->json, l->key, l->word, FORM_LINES);
	return l;
}

/* A number in front of '/' or '%', or behind a slash that such a number stood before. */
static bool counts(const struct lines *l, char next)
{
	if (!l->digits || !l->word->n || l->word->n > 9)
		return false;
	return l->counted || ((next == '/' || next == '%') && l->before != '/');
}

/* next: the byte behind the word. */
static void word_over(struct lines *l, char next)
{
	char buf[MASK_WORD_MAX];
	bool keeps = counts(l, next);

	word_end(l->word, keeps || mask_listed(progress_words, word_text(l->word, buf)));
	l->counted = keeps && next == '/';
	l->in_word = false;
}

/* True: the byte belongs to a control sequence of a terminal (ECMA-48, 5.4). */
static bool escape_takes(struct lines *l, char c)
{
	if (l->escape == 0 && c == '\033') {
		l->escape = 1;
		return true;
	}
	if (l->escape == 1) {
		l->escape = c == '[' ? 2 : 0;
		return l->escape == 2;
	}
	if (l->escape == 2 && (uint8_t)c >= 0x20 && (uint8_t)c < 0x40)
		return true;
	if (l->escape == 2) {
		l->escape = 0;
		return isalpha((uint8_t)c) != 0;
	}
	return false;
}

static void text_byte(struct lines *l, char *p)
{
	bool part = isalnum((uint8_t)*p) || (uint8_t)*p >= 0x80;

	if (!l->in_word && escape_takes(l, *p))
		return;
	if (part && !l->in_word) {
		word_start(l->word, l->key, WORD_TRY);
		l->in_word = l->digits = true;
	} else if (!part) {
		if (l->in_word)
			word_over(l, *p);
		else
			l->counted = false;
		l->before = *p;
		escape_takes(l, *p);
		return;
	}
	l->digits &= isdigit((uint8_t)*p) != 0;
	word_byte(l->word, p);
}

static void line_over(struct lines *l, char *p)
{
	if (l->kind == LINE_JSON)
		mask_json_feed(&l->json, p, 1);
	else if (l->in_word)
		word_over(l, *p);
	l->kind = LINE_NEW;
	l->escape = 0;
	l->counted = false;
	l->before = '\n';
}

static void line_byte(struct lines *l, char *p)
{
	/* progress bars draw over their line */
	if (*p == '\n' || (*p == '\r' && l->kind != LINE_JSON)) {
		line_over(l, p);
		return;
	}
	if (l->kind == LINE_NEW) {
		l->kind = *p == '{' ? LINE_JSON : LINE_TEXT;
		if (l->kind == LINE_JSON)
			mask_json_start(&l->json, l->key, l->word, FORM_LINES);
	}
	if (l->kind == LINE_JSON)
		mask_json_feed(&l->json, p, 1);
	else if (l->kind == LINE_TEXT)
		text_byte(l, p);
	else if (isalnum((uint8_t)*p) || (uint8_t)*p >= 0x80) /* nothing of such a line is known */
		word_byte(l->word, p);
}

static enum mask_result lines_feed(void *m, int dir, char *p, size_t n)
{
	struct lines *l = m;

	(void)dir;
	if (!l->binary && n && memchr(p, 0, n)) {
		l->binary = true;
		word_break(l->word);
	}
	if (l->binary)
		memset(p, 0, n);
	for (size_t i = 0; !l->binary && i < n; i++)
		line_byte(l, p + i);
	return MASK_OK;
}

/* What is left of the line is one masked string. */
static enum mask_result lines_gap(void *m, int dir, uint64_t n)
{
	struct lines *l = m;

	(void)dir;
	(void)n;
	word_start(l->word, l->key, WORD_MASK);
	l->in_word = l->counted = false;
	l->kind = LINE_LOST;
	return MASK_OK;
}

static void lines_free(void *m)
{
	free(m);
}

const struct masker masker_lines = {
	.request = lines_request,
	.new = lines_new,
	.feed = lines_feed,
	.gap = lines_gap,
	.free = lines_free,
};
