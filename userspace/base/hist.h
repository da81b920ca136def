/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Durations in µs: count, mean, min and max are exact; percentiles (nearest rank) are exact for the first HIST_EXACT
 * values, then within 0.4 %: buckets that grow with what they count, 128 to each doubling.
 */
#ifndef BASE_HIST_H
#define BASE_HIST_H
#include <stdint.h>

#define HIST_EXACT 512

struct hist;

struct hist *hist_new(void);
void hist_free(struct hist *h);

/* 0, or -ENOMEM: the value is then not in it. */
int hist_add(struct hist *h, uint64_t us);

uint64_t hist_count(const struct hist *h);
/* All 0 while the count is. p from 0 to 100. */
uint64_t hist_min(const struct hist *h);
uint64_t hist_max(const struct hist *h);
double hist_mean(const struct hist *h);
uint64_t hist_percentile(const struct hist *h, double p);
#endif
