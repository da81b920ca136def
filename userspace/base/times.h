/* SPDX-License-Identifier: BSD-2-Clause */
/* Times and durations in ns, on CLOCK_MONOTONIC. */
#ifndef BASE_TIMES_H
#define BASE_TIMES_H
#include <stdint.h>

#define NS_PER_MS ((uint64_t)1000000)
#define NS_PER_S ((uint64_t)1000000000)

/* 0 when then is later. */
static inline uint64_t age(uint64_t now, uint64_t then)
{
	return now > then ? now - then : 0;
}

static inline uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}
#endif
