/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Regular expressions from outside (POSIX extended, regex(7)). A recording may bring one, and regcomp() unfolds what is
 * repeated: ((a+)+)+ doubles with every +, a{255}{255} has 65025 copies. So they are weighed before they are compiled.
 */
#ifndef BASE_PATTERN_H
#define BASE_PATTERN_H

#define PATTERN_MAX 1024
/* Pieces after unfolding; what people write stays below a hundred. */
#define PATTERN_PIECES_MAX 2000
#define PATTERN_DEPTH_MAX 32

/* NULL: text compiles with REG_EXTENDED, in little time and memory. Else a static sentence why it is not used. */
const char *pattern_check(const char *text);
#endif
