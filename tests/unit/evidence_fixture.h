/* SPDX-License-Identifier: BSD-2-Clause */
/* Rows of made-up snapshots. */
#ifndef EVIDENCE_FIXTURE_H
#define EVIDENCE_FIXTURE_H
#include <stdlib.h>

#include "evidence.h"

/* A record of n fixed bytes and len of text; type and size are filled in. */
static void feed(struct evidence *e, const void *fixed, size_t n, uint16_t type, const char *text,
                 size_t len)
{
	struct event *ev = malloc(n + len);

	memcpy(ev, fixed, n);
	memcpy((char *)ev + n, text, len);
	ev->type = type;
	ev->size = (uint32_t)(n + len);
	evidence_feed(e, ev);
	free(ev);
}
#endif
