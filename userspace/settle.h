/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long a look on demand must go on. A wait of two seconds may be slow or stuck, only time tells; one of hours is
 * judged at once.
 */
#ifndef SETTLE_H
#define SETTLE_H
#include "diagnosis.h"

/*
 * How much longer to look before the verdict stands, in ns; 0: it does. Never more than what is missing to
 * l->silent_min_ns since the newest sign of life, nor since the look began (l->history->start_ns).
 */
uint64_t settle_ns(const struct look *l, const struct diagnosis *d);
/* When something that counts last moved, as far as is known; 0 unknown. */
uint64_t settle_life(const struct look *l, const struct diagnosis *d);
#endif
