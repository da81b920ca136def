/* SPDX-License-Identifier: BSD-2-Clause */
/* Processes by their command line: all that match, but whystuck, who started it, and what it started. */
#ifndef MATCH_H
#define MATCH_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct match;

/* pattern: POSIX extended. NULL with errno set (EINVAL: no such expression) and a sentence in why[n]. */
struct match *match_new(const char *pattern, char *why, size_t n);
void match_free(struct match *m);

/* Reads the memory of pid: where that may hang, call it apart. */
bool match_fits(const struct match *m, uint32_t pid);

/* The command line as it is matched: len bytes of arguments that end with NUL become text, joined by blanks. In place;
 * buf[len] must be ours. */
void match_join(char *buf, size_t len);
#endif
