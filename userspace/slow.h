/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slow told from stuck by the run's own measure: how long its calls to LLMs and to storage take. A call
 * that is open longer than 99 of 100 were, while its content or the CPU moves, is slow.
 */
#ifndef SLOW_H
#define SLOW_H
#include "call.h"

/* Fewer calls have no 99th percentile worth the name. */
#define SLOW_CALLS_MIN 20

struct slow;

/* NULL: out of memory. */
struct slow *slow_new(void);
void slow_free(struct slow *s);

/* A call ended. Only what tells how long calls take counts: LLM and storage, succeeded, seen from its start. */
void slow_done(struct slow *s, const struct call *c);
/* The 99th percentile of the class, 0: too few calls, or neither LLM nor storage. */
uint64_t slow_p99(const struct slow *s, enum call_class class);

enum slow_sign {
	SLOW_NOT,
	SLOW_CONTENT, /* its own content came lately: its connection is alive */
	SLOW_CPU,     /* nothing of it came, but the run computes */
};
/*
 * Is the open call c slow? content_ns: when content of its reply came last, 0 never; cpu_ns: when the CPU
 * clock moved last, 0 never.
 */
enum slow_sign slow_is(const struct slow *s, const struct call *c, uint64_t content_ns,
                       uint64_t cpu_ns, uint64_t now_ns);
#endif
