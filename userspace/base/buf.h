/* SPDX-License-Identifier: BSD-2-Clause */
/* A growing byte buffer. All zero is empty and valid. */
#ifndef BASE_BUF_H
#define BASE_BUF_H
#include "bytes.h"

struct buf {
	char *p;
	size_t n, room;
};

/* Appends; false when out of memory (the buffer is unchanged). */
bool buf_add(struct buf *b, const void *p, size_t n);
void buf_free(struct buf *b); /* and empties it */

static inline struct bytes buf_bytes(const struct buf *b)
{
	return (struct bytes){ b->p, b->n };
}
#endif
