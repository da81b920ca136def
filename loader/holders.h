/* SPDX-License-Identifier: BSD-2-Clause */
/* Who has the other end of a pipe or unix socket: all descriptors of the machine are looked at, none is touched. */
#ifndef HOLDERS_H
#define HOLDERS_H
#include <stddef.h>
#include "sockets.h"

/*
 * Emits EV_HOLDER for every descriptor, in the listed processes or not, that is an end of a pipe they have or the other
 * end of a unix socket they have (pairs, see sockets.h). The listed processes come first. Where deadline_ns
 * (CLOCK_MONOTONIC) or a limit cuts it short, or descriptors may not be looked at, an EV_MISSING "holders" says so.
 */
void holders_take(const uint32_t *pids, size_t n, const struct socket_pair *pairs, size_t npairs,
                  uint64_t deadline_ns, event_fn emit, void *ctx);

#endif
