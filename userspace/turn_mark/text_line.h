/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One line of a program's output as a reader sees it: without escape sequences (ECMA-48) and other controls, and of a line
 * that is drawn again and again (\r) the last drawing.
 */
#ifndef TURN_MARK_TEXT_LINE_H
#define TURN_MARK_TEXT_LINE_H
#include "base/buf.h"

/* Bytes kept of a line, or of one drawing of it: longer than anything meant for people. */
#define TEXT_LINE_MAX (16u << 10)

/* All zero is an empty line. */
struct text_line {
	struct buf text;
	uint8_t state; /* in an escape sequence */
	bool redrawn;  /* \r: what follows replaces the text, unless the line ends */
	bool cut;      /* there was more than TEXT_LINE_MAX */
};

/* Bytes of it, without the line's end. */
void text_line_feed(struct text_line *l, struct bytes b);
/* The line, without spaces at its ends; valid until the next call. */
const char *text_line_end(struct text_line *l);
void text_line_free(struct text_line *l); /* and empties it */
#endif
