/* SPDX-License-Identifier: BSD-2-Clause */
/* The layer of a memory that a variable's name tells: L3_QDRANT_URL, MEMORY_L1_REDIS_HOST, redis_l2_url. */
#ifndef BASE_LAYER_H
#define BASE_LAYER_H
#include <ctype.h>

#include "bytes.h"

/* The digit of the one part of the name that is L and a digit from 1 to 9; 0: there is none, or there are two that differ. */
static inline char layer_of(struct bytes variable)
{
	char layer = 0;

	for (size_t i = 0; i + 1 < variable.n; i++) {
		const char *p = variable.p + i;
		bool begins = i == 0 || !isalnum((unsigned char)p[-1]);
		bool ends = i + 2 == variable.n || !isalnum((unsigned char)p[2]);

		if ((*p != 'L' && *p != 'l') || p[1] < '1' || p[1] > '9' || !begins || !ends)
			continue;
		if (layer && layer != p[1])
			return 0;
		layer = p[1];
	}
	return layer;
}
#endif
