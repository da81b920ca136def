/* SPDX-License-Identifier: BSD-2-Clause */
/* calls.jsonl: a line an LLM or storage call, as it ends. Never an argument, never a payload. */
#ifndef OUT_CALLS_H
#define OUT_CALLS_H
#include <jansson.h>

#include "out/lines.h"
#include "turn.h"

/* What the turn engine knows of a call when its line is written. */
struct call_turn {
	uint64_t turn_id;       /* 0 in none, or not known yet */
	const char *session_id; /* NULL or "" not known; the caller's */
	uint64_t logical;       /* what a request and its retries share, 0 not known */
	uint32_t attempt;       /* from 1, 0 not known */
};

struct calls;

/* lines stays the caller's. NULL with errno set. */
struct calls *calls_new(struct lines *lines, uint64_t wall_offset_ns);
void calls_free(struct calls *c);

/* Of a call that is done; those that are neither LLM nor storage are passed over. t: NULL unknown. 0 or -errno as
 * lines_write(). */
int calls_write(struct calls *calls, const struct call *c, const struct call_place *p,
                const struct call_turn *t);

/* The call as the line's object, a new reference; NULL when out of memory. */
json_t *calls_json(const struct call *c, const struct call_place *p, const struct call_turn *t,
                   uint64_t wall_offset_ns);
#endif
