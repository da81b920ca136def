/* SPDX-License-Identifier: BSD-2-Clause */
/* The first record of a live stream. */
#ifndef HELLO_H
#define HELLO_H
#include "source.h"

/* EV_HELLO: target, version, and how far the wall clock is from the events' clock. */
void hello_tell(uint32_t pid, event_fn emit, void *ctx);

#endif
