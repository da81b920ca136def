/* SPDX-License-Identifier: BSD-2-Clause */
/* A set of time intervals that knows how much time it covers; what overlaps or touches is one interval. */
#ifndef BASE_SPANS_H
#define BASE_SPANS_H
#include <stdbool.h>
#include <stdint.h>

/* Intervals kept apart; then the older half becomes a mere sum, so that a turn of a million calls costs 16 KB a set. */
#define SPANS_MAX 1024

struct span {
	uint64_t start_ns, end_ns;
};

/* All zero is an empty set. */
struct spans {
	struct span *v; /* disjoint, in order */
	uint32_t n, room;
	uint64_t folded_ns; /* covered before floor_ns */
	uint64_t floor_ns;  /* what comes later for the time before it is not counted any more */
	bool cut;           /* something was not counted for that reason, or for lack of memory */
};

void spans_add(struct spans *s, uint64_t start_ns, uint64_t end_ns);
uint64_t spans_total(const struct spans *s);
void spans_free(struct spans *s);
#endif
