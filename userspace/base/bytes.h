/* SPDX-License-Identifier: BSD-2-Clause */
/* A view into somebody else's bytes: never NUL-terminated, never owned, valid as long as the caller says. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
	const char *p;
	size_t n;
};

static inline struct bytes bytes_of(const char *s)
{
	return (struct bytes){ s, strlen(s) };
}

static inline bool bytes_equal(struct bytes b, const char *s)
{
	return b.n == strlen(s) && memcmp(b.p, s, b.n) == 0;
}

static inline bool bytes_start(struct bytes b, const char *s)
{
	size_t n = strlen(s);

	return b.n >= n && memcmp(b.p, s, n) == 0;
}

/* Everything from off on; empty when off lies behind the end. */
static inline struct bytes bytes_from(struct bytes b, size_t off)
{
	return off > b.n ? (struct bytes){ b.p + b.n, 0 } : (struct bytes){ b.p + off, b.n - off };
}

/* Up to the next c or the end; *rest is then what follows it. */
static inline struct bytes bytes_to(struct bytes *rest, char c)
{
	const char *end = rest->n ? memchr(rest->p, c, rest->n) : NULL;
	struct bytes part = { rest->p, end ? (size_t)(end - rest->p) : rest->n };

	*rest = bytes_from(*rest, part.n + (end != NULL));
	return part;
}

/* FNV-1a: h is 0 for a new hash, or what an earlier call returned, to go on with. Good enough to tell
 * apart what is not made to collide; never a key, so a hostile target can at worst confuse itself. */
static inline uint64_t bytes_hash(uint64_t h, struct bytes b)
{
	if (h == 0)
		h = 0xcbf29ce484222325ull;
	for (size_t i = 0; i < b.n; i++)
		h = (h ^ (uint8_t)b.p[i]) * 0x100000001b3ull;
	return h;
}
#endif
