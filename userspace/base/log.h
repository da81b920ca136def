/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines for people, one message each: "whystuck: attached to 4711 (python3)". Everything printed is cleaned
 * (base/text.h), so arguments may come from the target; secrets may not. Only the code that knows what the user wanted
 * logs; all else returns an error.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H
#include <stdbool.h>
#include <stdio.h>

enum log_level { LEVEL_ERROR, LEVEL_WARNING, LEVEL_INFO, LEVEL_DEBUG };

/* Messages above level are not written. Before the first call: LEVEL_INFO to stderr. out stays the caller's. */
void log_open(enum log_level level, FILE *out);
bool log_enabled(enum log_level level);

/* A longer message is cut at LOG_LINE_MAX bytes and ends in "...". Errno is kept. */
#define LOG_LINE_MAX 2048
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* hide is called before a line is written, show after it; NULL, NULL: no bar any more. progress_hide and progress_show
 * fit. */
void log_set_bar(void (*hide)(void *ctx), void (*show)(void *ctx), void *ctx);

/* "debug", "INFO", ...; in any case of letters. False when s is none of the four names. */
bool log_level_parse(const char *s, enum log_level *level);
#endif
