/* SPDX-License-Identifier: BSD-2-Clause */
/* The ledger of honesty: what was seen, what was lost, what could not be read and why. */
#ifndef COVERAGE_H
#define COVERAGE_H
#include <jansson.h>
#include <stdio.h>

#include "conn.h"
#include "event.h"

struct coverage;

struct coverage *coverage_new(void);
void coverage_free(struct coverage *v);

void coverage_event(struct coverage *v, const struct event *e);
void coverage_call(struct coverage *v, const struct call *c);
/* A connection is forgotten, or the run ends. */
void coverage_conn(struct coverage *v, const struct conn *c);

/* Records received so far. */
uint64_t coverage_events(const struct coverage *v);
/* Records lost so far. */
uint64_t coverage_lost(const struct coverage *v);
unsigned coverage_hooked(const struct coverage *v);

/* Why there may be no turns: connections whose plaintext was not seen, or none at all; one line each, for people. */
void coverage_hint(const struct coverage *v, FILE *out);

/* What others counted. */
struct coverage_limits {
	uint64_t unwritten;  /* lines of turn_metrics.jsonl that could not be written */
	uint64_t forgotten;  /* connections */
	uint64_t unfollowed; /* turns_unfollowed() */
};

/* New reference. */
json_t *coverage_json(const struct coverage *v, const struct coverage_limits *l);
#endif
