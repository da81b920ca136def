/* SPDX-License-Identifier: BSD-2-Clause */
/* Takes controls out of output, a byte at a time where there are any. */
#include "turn_mark/text_line.h"

enum state {
	STATE_TEXT,
	STATE_ESCAPE,     /* behind ESC */
	STATE_CONTROL,    /* ESC [ ...: until a byte from '@' on */
	STATE_STRING,     /* ESC ] ... and its like: until BEL or ESC \ */
	STATE_STRING_END, /* behind an ESC in one */
};

#define ESC '\033'
#define BEL '\a'

static void text_add(struct text_line *l, struct bytes b)
{
	size_t room;

	if (l->redrawn) {
		l->text.n = 0;
		l->redrawn = l->cut = false;
	}
	room = TEXT_LINE_MAX - l->text.n;
	l->cut |= b.n > room;
	if (!buf_add(&l->text, b.p, b.n < room ? b.n : room))
		l->cut = true;
}

static bool is_shown(char c)
{
	return (unsigned char)c >= ' ' && c != 0x7f;
}

/* A byte outside of escape sequences that is no text. */
static void control(struct text_line *l, char c)
{
	if (c == ESC)
		l->state = STATE_ESCAPE;
	else if (c == '\r')
		l->redrawn = true;
	else if (c == '\t')
		text_add(l, bytes_of("\t"));
}

static void escape(struct text_line *l, char c)
{
	if (c == '[')
		l->state = STATE_CONTROL;
	else if (c && strchr("]PX^_", c))
		l->state = STATE_STRING;
	else if (c < ' ' || c > '/') /* intermediate bytes: one more follows */
		l->state = STATE_TEXT;
}

/* A byte of an escape sequence. False: it ends the sequence and is none of it. */
static bool sequence(struct text_line *l, char c)
{
	if (c == '\r' || (c == ESC && l->state != STATE_STRING)) {
		l->state = STATE_TEXT;
		return false;
	}
	switch (l->state) {
	case STATE_ESCAPE:
		escape(l, c);
		return true;
	case STATE_CONTROL:
		if (c < ' ' || c >= '@') {
			l->state = STATE_TEXT;
			return c >= '@';
		}
		return true;
	case STATE_STRING:
		if (c == BEL)
			l->state = STATE_TEXT;
		else if (c == ESC)
			l->state = STATE_STRING_END;
		return true;
	default:
		l->state = c == '\\' ? STATE_TEXT : STATE_STRING;
		return true;
	}
}

void text_line_feed(struct text_line *l, struct bytes b)
{
	for (size_t i = 0; i < b.n;) {
		size_t from = i;

		if (l->state != STATE_TEXT) {
			i += sequence(l, b.p[i]);
			continue;
		}
		while (i < b.n && is_shown(b.p[i]))
			i++;
		if (i > from)
			text_add(l, (struct bytes){ b.p + from, i - from });
		else
			control(l, b.p[i++]);
	}
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

const char *text_line_end(struct text_line *l)
{
	const char *p = "";

	if (!buf_add(&l->text, "", 1))
		return p;
	l->text.n--;
	while (l->text.n && is_blank(l->text.p[l->text.n - 1]))
		l->text.p[--l->text.n] = '\0';
	for (p = l->text.p; is_blank(*p);)
		p++;
	return p;
}

void text_line_free(struct text_line *l)
{
	buf_free(&l->text);
	*l = (struct text_line){ 0 };
}
