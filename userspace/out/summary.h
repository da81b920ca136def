/* SPDX-License-Identifier: BSD-2-Clause */
/* What a run comes to: turn_metrics_summary of runstats.json, and a few lines for people. */
#ifndef OUT_SUMMARY_H
#define OUT_SUMMARY_H
#include <jansson.h>
#include <stdio.h>

#include "stall.h"
#include "turn.h"

/* Stores told apart; what is beyond is summed up as "(others)". */
#define SUMMARY_STORES_MAX 64

struct summary;

struct summary *summary_new(void);
void summary_free(struct summary *s);

void summary_turn(struct summary *s, const struct turn *t);
void summary_outside(struct summary *s); /* an LLM call in no turn */
void summary_stall(struct summary *s);   /* a stall was declared */

/* The turn_metrics_summary object, a new reference; NULL when out of memory. coverage is copied by reference, NULL
 * gives null. Percentiles are null where nothing was measured, tokens where none were seen. */
json_t *summary_json(const struct summary *s, uint64_t events, json_t *coverage);

/* The stalls of a run, [{"since","ended","for_ms","at_least","clock","verdict"}], oldest first; "ended" is null of one that
 * lasted until the watch ended. NULL: out of memory. */
json_t *summary_stalls(const struct stall_period *list, size_t n, uint64_t wall_offset_ns);

void summary_print(const struct summary *s, FILE *out);
#endif
