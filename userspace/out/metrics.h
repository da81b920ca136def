/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turn_metrics.jsonl: a line a turn, whole or not at all. Milliseconds have three decimals, cut, and in them
 * llm + storage + backoff - overlap + orchestration = wall to the last digit; what was not seen is null.
 */
#ifndef OUT_METRICS_H
#define OUT_METRICS_H
#include <jansson.h>

#include "out/lines.h"
#include "turn.h"

struct metrics;

/* lines stays the caller's. wall_offset_ns: CLOCK_REALTIME - CLOCK_MONOTONIC. sample: of turns that are ok only the first
 * and every so many-th after it is written, 1 all. NULL with errno set. */
struct metrics *metrics_new(struct lines *lines, uint64_t wall_offset_ns, uint64_t sample);
void metrics_free(struct metrics *m);

/* 0, also for a turn that is left out, or -errno as lines_write(). */
int metrics_write(struct metrics *m, const struct turn *t);

/* Lines written, lines that could not be, and turns left out by the sample. */
uint64_t metrics_written(const struct metrics *m);
uint64_t metrics_unwritten(const struct metrics *m);
uint64_t metrics_left_out(const struct metrics *m);

/* One line without its newline; free() it. NULL when out of memory. */
char *metrics_line(const struct turn *t, uint64_t wall_offset_ns);

/* A turn's times as its line has them, in µs. Parts are cut, what they share is rounded up: so what is left for the runner
 * is never below zero. */
struct metrics_times {
	uint64_t wall, llm, storage, backoff, overlap, orchestration;
};
struct metrics_times metrics_times(const struct turn *t);

/* For other writers of the same numbers: the turn as the line's object; milliseconds of µs; s, with bytes that are no
 * UTF-8 replaced, null if empty. New references, NULL when out of memory. */
json_t *metrics_turn(const struct turn *t, uint64_t wall_offset_ns);
json_t *metrics_ms(uint64_t us);
json_t *metrics_text(const char *s);
json_t *metrics_count(int64_t n); /* null of -1, not seen */
/* How both are printed: in order, on one line, 12.345 as 12.345. */
#define METRICS_JSON (JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15))

#define METRICS_TIME_MAX sizeof("2026-01-01T00:00:00.000000Z")

/* RFC 3339, UTC, microseconds. */
void metrics_time(uint64_t wall_ns, char out[METRICS_TIME_MAX]);
#endif
