/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The autopsy for people: the verdict in a sentence, whether it will wake, the evidence, what is in flight, the threads
 * that matter, what to do. Made to be understood in ten seconds; with `all` made to be searched.
 */
#ifndef OUT_SCREEN_H
#define OUT_SCREEN_H
#include <stdio.h>

#include "out/run_error.h"

#define SCREEN_WIDTH_MIN 30 /* narrower ones are taken for this: words would not fit */

struct screen_style {
	size_t width; /* columns of a line at most, where no single word is longer */
	bool utf8;    /* else ASCII alone is written */
	bool color; /* escape sequences for weight and colour; without, no control character but '\n' */
	bool all; /* everything, nothing folded */
};

/* "stuck: ...", "not stuck: ..." or "cannot tell: ...": the first lines of the screen. */
void screen_verdict(const struct run_error_input *in, const struct screen_style *style, FILE *out);
/* A paragraph of its own, behind the screen. */
void screen_note(const char *text, const struct screen_style *style, FILE *out);
/* The whole screen. */
void screen_print(const struct run_error_input *in, const struct screen_style *style, FILE *out);
#endif
