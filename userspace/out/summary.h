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
/* Calls in no turn that are listed, of each class: enough to see what they are. All are counted. */
#define SUMMARY_OUTSIDE_MAX 100
/* Sessions told apart by name; of those beyond, each turn with index 0 is one. */
#define SUMMARY_SESSIONS_MAX 8192

struct summary;

struct summary *summary_new(void);
void summary_free(struct summary *s);

void summary_turn(struct summary *s, const struct turn *t);
/* An LLM or storage call that is done, in a turn or not. */
void summary_call(struct summary *s, const struct call *c);
/* An LLM or storage call in no turn, once each. p: NULL unknown. why: a static sentence, NULL unknown. */
void summary_outside(struct summary *s, const struct call *c, const struct call_place *p,
                     const char *why);
void summary_stall(struct summary *s); /* a stall was declared */

/* Before summary_json(): CLOCK_REALTIME - CLOCK_MONOTONIC, else what is listed has no timestamp; and of a run of which
 * only every so many-th ok turn was written, how many were and were not. */
void summary_wall_offset(struct summary *s, uint64_t wall_offset_ns);
void summary_sampled(struct summary *s, uint64_t every, uint64_t written, uint64_t left_out);

/* The turn_metrics_summary object, a new reference; NULL when out of memory. coverage is copied by reference, NULL
 * gives null. Percentiles are null where nothing was measured, tokens where none were seen. */
json_t *summary_json(const struct summary *s, uint64_t events, json_t *coverage);

/* The stalls of a run, [{"since","ended","for_ms","at_least","clock","verdict"}], oldest first; "ended" is null of one that
 * lasted until the watch ended. NULL: out of memory. */
json_t *summary_stalls(const struct stall_period *list, size_t n, uint64_t wall_offset_ns);

void summary_print(const struct summary *s, FILE *out);
#endif
