/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text from the target made fit to be shown: secrets in command lines become ***, and nothing a
 * terminal or a JSON reader would stumble over gets through. Masks rather too much than too
 * little.
 */
#ifndef SECRETS_H
#define SECRETS_H
#include <stddef.h>

/* Longest line handed out, its NUL included: a screenful; what is cut off ends in "...". */
#define SECRETS_LINE_MAX 4096

/*
 * A command line (arguments separated by NUL) as one line of printable UTF-8, arguments separated
 * by spaces. The caller frees it. NULL: out of memory.
 */
char *command_mask(const char *text, size_t n);

/*
 * The text as printable UTF-8, nothing masked: whitespace becomes a space, control characters,
 * direction overrides and invalid bytes become '?'. out holds room bytes, is always terminated,
 * and never ends inside a character.
 */
void secrets_clean(const char *text, size_t n, char *out, size_t room);
#endif
