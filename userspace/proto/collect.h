/* SPDX-License-Identifier: BSD-2-Clause */
/* For parsers of binary messages: the fixed part in front of each, collected from any pieces, and its numbers. */
#ifndef PROTO_COLLECT_H
#define PROTO_COLLECT_H
#include "base/bytes.h"

#define COLLECT_MAX 32

struct collect {
	uint8_t b[COLLECT_MAX];
	unsigned n;
};

/* Takes up to want bytes from b; true when they are complete. */
static inline bool collect_take(struct collect *c, unsigned want, struct bytes *b)
{
	size_t n = c->n < want ? want - c->n : 0;

	n = n < b->n ? n : b->n;
	if (n)
		memcpy(c->b + c->n, b->p, n);
	c->n += (unsigned)n;
	*b = bytes_from(*b, n);
	return c->n >= want;
}

static inline uint32_t le16(const uint8_t *b)
{
	return b[0] | (uint32_t)b[1] << 8;
}

static inline uint32_t le24(const uint8_t *b)
{
	return le16(b) | (uint32_t)b[2] << 16;
}

static inline uint32_t le32(const uint8_t *b)
{
	return le24(b) | (uint32_t)b[3] << 24;
}

static inline uint64_t le64(const uint8_t *b)
{
	return le32(b) | (uint64_t)le32(b + 4) << 32;
}

static inline uint32_t be16(const uint8_t *b)
{
	return (uint32_t)b[0] << 8 | b[1];
}

/* The smaller of a buffer's and a message's rest. */
static inline size_t bytes_upto(struct bytes b, uint64_t left)
{
	return b.n < left ? b.n : (size_t)left;
}
#endif
