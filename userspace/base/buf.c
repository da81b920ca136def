/* SPDX-License-Identifier: BSD-2-Clause */
/* Doubles its room as it grows. */
#include "buf.h"

#include <stdlib.h>

bool buf_add(struct buf *b, const void *p, size_t n)
{
	if (n == 0)
		return true;
	if (b->room - b->n < n) {
		size_t room = b->room ? b->room : 256;
		char *more;

		while (room - b->n < n)
			room *= 2;
		more = realloc(b->p, room);
		if (!more)
			return false;
		b->p = more;
		b->room = room;
	}
	memcpy(b->p + b->n, p, n);
	b->n += n;
	return true;
}

void buf_free(struct buf *b)
{
	free(b->p);
	*b = (struct buf){ 0 };
}
