/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text for people. Names that come from the target (hosts, labels, arguments) must not drive the terminal they are shown
 * on, nor make a line wider than it is.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H
#include <stdbool.h>

#include "bytes.h"

/* Copies s to buf (n > 0 bytes, always NUL-terminated, cut between characters) with everything replaced by '?' that is not
 * a printable character: controls, escape sequences' ESC, broken UTF-8, and the characters that hide text or change its
 * direction. ascii: whatever is not ASCII too. Returns the length written. buf may be s. */
size_t text_clean(char *buf, size_t n, const char *s, bool ascii);

/* Whether s is whole UTF-8 (RFC 3629). */
bool text_is_utf8(const char *s);

/* Columns that clean UTF-8 takes: exact for what whystuck writes itself, else never less than what a terminal uses. */
size_t text_columns(const char *s);

/* Cuts s, in place, to at most columns. */
void text_cut(char *s, size_t columns);
#endif
