/* SPDX-License-Identifier: BSD-2-Clause */
/* Two clocks cannot be read at once: of several readings the least disturbed counts. */
#include "hello.h"

#include <stdio.h>
#include <time.h>

#include "record.h"
#include "snapshot.h"

void hello_tell(uint32_t pid, event_fn emit, void *ctx)
{
	struct record r;
	struct ev_hello *e = record_begin(&r, EV_HELLO, sizeof(*e), pid, pid);
	uint64_t best = UINT64_MAX;
	struct timespec wall;
	char text[64];

	e->magic = EVENT_MAGIC;
	e->version = EVENT_VERSION;
	for (int i = 0; i < 5; i++) {
		uint64_t before = now_ns(), after;

		clock_gettime(CLOCK_REALTIME, &wall);
		after = now_ns();
		if (after - before < best) {
			best = after - before;
			e->wall_offset_ns = (uint64_t)wall.tv_sec * 1000000000u +
			                    (uint64_t)wall.tv_nsec - (before + best / 2);
		}
	}
	record_add(&e->h, text,
	           (size_t)snprintf(text, sizeof(text), "whystuck %s", WHYSTUCK_VERSION));
	emit(ctx, &e->h);
}
