/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The text side of --runstats. Two parsers must find that the text is JSON (runstats_check() and jansson, which also knows
 * UTF-8); a third pass only finds places in it: where our key's value is, and how the file is laid out.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "out/metrics.h"
#include "out/runstats.h"
#include "out/runstats_check.h"

#define INDENT_MAX 32 /* deeper is no layout */

/* Places in a text, as offsets. */
struct places {
	size_t open, close;      /* the outermost braces */
	size_t value, value_end; /* of our key; value_end 0: it is not there */
	size_t last_end;         /* end of the last member, open + 1 in an empty object */
	bool any;                /* it has members */
	bool lines;              /* each on a line of its own */
	bool blank;              /* a blank follows a colon */
	const char *eol;
	char indent[INDENT_MAX + 1]; /* of a member of the outermost object */
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t skip_space(const char *p, size_t i, size_t n)
{
	while (i < n && is_space(p[i]))
		i++;
	return i;
}

/* From its quote to behind its other one. */
static size_t skip_string(const char *p, size_t i, size_t n)
{
	for (i++; i < n && p[i] != '"'; i++)
		i += p[i] == '\\';
	return i < n ? i + 1 : n;
}

static size_t skip_value(const char *p, size_t i, size_t n)
{
	size_t depth = 0;

	do {
		if (i >= n)
			break;
		if (p[i] == '"') {
			i = skip_string(p, i, n);
			continue;
		}
		depth += p[i] == '{' || p[i] == '[';
		depth -= depth && (p[i] == '}' || p[i] == ']');
		if (!strchr("{}[],: \t\r\n", p[i])) /* a number or a word: to its end */
			while (i + 1 < n && !strchr("{}[],: \t\r\n\"", p[i + 1]))
				i++;
		i++;
	} while (depth);
	return i;
}

static int hex(char c)
{
	return c >= '0' && c <= '9'                   ? c - '0'
	       : ((c | 32) >= 'a' && (c | 32) <= 'f') ? (c | 32) - 'a' + 10
	                                              : -1;
}

/* Is the string between the quotes, however it is escaped, our key? It has ASCII letters and '_' alone. */
static bool is_key(const char *p, size_t n)
{
	const char *key = RUNSTATS_KEY;
	size_t i = 0;

	while (i < n && *key) {
		int c = (unsigned char)p[i++];

		if (c == '\\') {
			if (n - i < 5 || p[i] != 'u')
				return false;
			c = 0;
			for (int k = 1; k <= 4; k++)
				c = c * 16 + hex(p[i + (size_t)k]);
			i += 5;
		}
		if (c != *key++)
			return false;
	}
	return i == n && !*key;
}

/* How the first member is laid out: between the brace and its key. */
static void see_layout(struct places *at, const char *p, size_t key)
{
	size_t line = key;

	while (line > at->open + 1 && p[line - 1] != '\n')
		line--;
	at->lines = line > at->open + 1 && key - line <= INDENT_MAX;
	if (!at->lines)
		return;
	memcpy(at->indent, p + line, key - line);
	at->indent[key - line] = '\0';
	at->eol = line >= 2 && p[line - 2] == '\r' ? "\r\n" : "\n";
}

/* Finds the places in what is known to be an object. */
static void find_places(struct places *at, const char *p, size_t n)
{
	size_t i = skip_space(p, 0, n);

	*at = (struct places){ .open = i, .last_end = i + 1, .blank = true, .eol = "\n" };
	for (i = skip_space(p, i + 1, n); i < n && p[i] != '}'; i = skip_space(p, i, n)) {
		size_t key = i, key_end = skip_string(p, i, n), value;

		i = skip_space(p, key_end, n); /* the colon */
		value = skip_space(p, i + 1, n);
		if (!at->any) {
			see_layout(at, p, key);
			at->blank = value > i + 1;
		}
		at->any = true;
		at->last_end = i = skip_value(p, value, n);
		if (is_key(p + key + 1, key_end - key - 2)) {
			at->value = value;
			at->value_end = i;
		}
		i = skip_space(p, i, n);
		if (i < n && p[i] == ',')
			i++;
	}
	at->close = i;
}

/* ---- is it JSON? ---- */

/* Where the number at i ends; i if it is none (RFC 8259, section 6). */
static size_t number_end(const char *p, size_t i, size_t n)
{
	size_t at = i, digits;

	at += at < n && p[at] == '-';
	digits = at;
	while (at < n && is_digit(p[at]))
		at++;
	if (at == digits || (p[digits] == '0' && at > digits + 1))
		return i;
	if (at < n && p[at] == '.') {
		for (digits = ++at; at < n && is_digit(p[at]);)
			at++;
		if (at == digits)
			return i;
	}
	if (at < n && (p[at] == 'e' || p[at] == 'E')) {
		at++;
		at += at < n && (p[at] == '+' || p[at] == '-');
		for (digits = at; at < n && is_digit(p[at]);)
			at++;
		if (at == digits)
			return i;
	}
	return at;
}

/* Numbers may be larger than jansson knows: for it each becomes a 0. What is no number it is to find. */
static void tame_numbers(char *p, size_t n)
{
	for (size_t i = 0; i < n;) {
		size_t end = number_end(p, i, n);

		if (p[i] == '"') {
			i = skip_string(p, i, n);
		} else if (end > i) {
			memset(p + i, ' ', end - i);
			p[i] = '0';
			i = end;
		} else {
			i++;
		}
	}
}

static bool jansson_takes(const char *text, size_t n)
{
	char *copy = malloc(n + 1);
	json_t *o;
	bool takes;

	if (!copy)
		return false;
	memcpy(copy, text, n);
	tame_numbers(copy, n);
	o = json_loadb(copy, n, JSON_ALLOW_NUL, NULL);
	takes = json_is_object(o);
	json_decref(o);
	free(copy);
	return takes;
}

/* ---- the new text ---- */

struct output {
	struct buf buf;
	bool failed; /* out of memory */
};

static void put(struct output *o, const char *p, size_t n)
{
	o->failed |= !buf_add(&o->buf, p, n);
}

static void put_text(struct output *o, const char *s)
{
	put(o, s, strlen(s));
}

/* The summary as a value in this layout: on one line, or indented as the file is. jansson indents by one blank here, and
 * each becomes one indent of the file's. */
static void put_summary(struct output *to, const struct places *at, const char *summary)
{
	size_t flags = JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15);
	json_t *o = json_loads(summary, 0, NULL);
	char *text;

	flags |= at->lines ? JSON_INDENT(1) : at->blank ? 0 : JSON_COMPACT;
	text = o ? json_dumps(o, flags) : NULL;
	json_decref(o);
	to->failed |= !text;
	for (const char *p = text; p && *p; p++) {
		if (*p != '\n') {
			put(to, p, 1);
			continue;
		}
		put_text(to, at->eol);
		for (put_text(to, at->indent); p[1] == ' '; p++)
			put_text(to, at->indent);
	}
	free(text);
}

static void put_member(struct output *to, const struct places *at, const char *summary)
{
	if (at->any)
		put_text(to, at->lines || !at->blank ? "," : ", ");
	if (at->lines) {
		put_text(to, at->eol);
		put_text(to, at->indent);
	}
	put_text(to, at->blank ? "\"" RUNSTATS_KEY "\": " : "\"" RUNSTATS_KEY "\":");
	put_summary(to, at, summary);
}

/* A mark that editors of some systems put before the text. */
static size_t byte_order_mark(const char *p, size_t n)
{
	return n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

const char *runstats_merge(const char *text, size_t n, const char *summary, char **out,
                           size_t *out_n)
{
	size_t mark = byte_order_mark(text, n);
	const char *p = text + mark, *why;
	struct output to = { 0 };
	struct places at;

	n -= mark;
	why = runstats_check(p, n);
	if (!why && !jansson_takes(p, n))
		why = "it is no JSON";
	if (why)
		return why;
	find_places(&at, p, n);
	put(&to, text, mark);
	if (at.value_end) {
		put(&to, p, at.value);
		put_summary(&to, &at, summary);
		put(&to, p + at.value_end, n - at.value_end);
	} else {
		put(&to, p, at.last_end);
		put_member(&to, &at, summary);
		put(&to, p + at.last_end, n - at.last_end);
	}
	put(&to, "", 1);
	if (to.failed) {
		buf_free(&to.buf);
		return "there is not enough memory for it";
	}
	*out = to.buf.p;
	*out_n = to.buf.n - 1;
	return NULL;
}
