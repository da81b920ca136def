/* SPDX-License-Identifier: BSD-2-Clause */
/* Weighs a regular expression, then lets regcomp() have its say. */
#include "pattern.h"

#include <ctype.h>
#include <regex.h>
#include <stddef.h>
#include <string.h>

/* Counted while reading from left to right. */
struct weight {
	size_t sum[PATTERN_DEPTH_MAX]; /* pieces of each open group */
	size_t depth;
	size_t last; /* pieces of what a repetition would repeat */
};

/* Behind a bracket expression that begins at s; at its end where it is not closed. */
static const char *bracket_end(const char *s)
{
	s++;
	if (*s == '^')
		s++;
	if (*s == ']')
		s++;
	for (; *s && *s != ']'; s++) {
		if (s[0] == '[' && s[1] && strchr(".:=", s[1])) {
			char kind = s[1];

			for (s += 2; *s && (s[0] != kind || s[1] != ']'); s++)
				;
			if (!*s)
				return s;
			s++;
		}
	}
	return *s ? s + 1 : s;
}

/* The greater number of the interval {M}, {M,} or {M,N} at s, *end is behind it; 0 when it is none. */
static size_t interval(const char *s, const char **end)
{
	size_t most = 0, n = 0;

	for (s++; isdigit((unsigned char)*s) || *s == ','; s++) {
		n = *s == ',' ? 0 : n * 10 + (size_t)(*s - '0');
		if (n > most)
			most = n;
		if (most > PATTERN_PIECES_MAX)
			break;
	}
	if (most <= PATTERN_PIECES_MAX && *s != '}')
		return 0;
	*end = s + 1;
	return most;
}

/* What stood last is so many times there. */
static void repeat(struct weight *w, size_t times)
{
	w->sum[w->depth] += w->last * (times - 1);
	w->last *= times;
}

static void piece(struct weight *w, size_t pieces)
{
	w->last = pieces;
	w->sum[w->depth] += pieces;
}

static void group_end(struct weight *w)
{
	size_t inside = w->sum[w->depth];

	if (w->depth > 0)
		w->depth--;
	piece(w, inside + 1);
}

/* Takes the piece at s. Returns what is behind it; NULL for too many groups in each other. */
static const char *weigh(struct weight *w, const char *s)
{
	const char *end = s + 1;
	size_t times;

	switch (*s) {
	case '(':
		if (++w->depth == PATTERN_DEPTH_MAX)
			return NULL;
		w->sum[w->depth] = w->last = 0;
		break;
	case ')':
		group_end(w);
		break;
	case '+':
		repeat(w, 2);
		break;
	case '{':
		times = interval(s, &end);
		if (end == s + 1)
			piece(w, 1);
		else
			repeat(w, times + 1);
		break;
	case '[':
		end = bracket_end(s);
		piece(w, 1);
		break;
	case '\\':
		end = s[1] ? s + 2 : s + 1;
		piece(w, 1);
		break;
	default:
		piece(w, 1);
	}
	return end;
}

static const char *too_heavy(const char *text)
{
	struct weight w = { 0 };

	for (const char *s = text; *s;) {
		if (s[0] == '\\' && isdigit((unsigned char)s[1]))
			return "back-references are not taken";
		s = weigh(&w, s);
		if (!s)
			return "groups in each other deeper than 31";
		if (w.sum[w.depth] > PATTERN_PIECES_MAX)
			return "repetitions that unfold to more than 2000 pieces";
	}
	return NULL;
}

const char *pattern_check(const char *text)
{
	const char *why;
	regex_t re;

	if (strlen(text) >= PATTERN_MAX)
		return "longer than 1023 characters";
	why = too_heavy(text);
	if (why)
		return why;
	if (regcomp(&re, text, REG_EXTENDED | REG_NOSUB))
		return "not an extended regular expression (regex(7))";
	regfree(&re);
	return NULL;
}
