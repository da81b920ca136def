/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One way of compressing undone, piece by piece, for decode.c: a file for each library, all alike. A state belongs to
 * one stream and is fed it from its first byte on.
 */
#ifndef PROTO_UNPACK_H
#define PROTO_UNPACK_H
#include "base/bytes.h"

/* Where the next piece goes. */
struct unpacked {
	uint8_t *p;
	size_t room, n; /* n of room are written */
};

struct unpacker {
	/* The state, or NULL when there is no memory. */
	void *(*new)(void);
	/* Takes from *in what it can and writes until room is full or *in is used up; call again while one of the two
	 * is. What follows the end of the stream is taken and left out. False: broken, or it asks for more memory than
	 * a stream of HTTP may; what was written is right all the same. */
	bool (*run)(void *state, struct bytes *in, struct unpacked *out);
	void (*free)(void *state); /* free(NULL) is fine */
};

extern const struct unpacker unpacker_gzip, unpacker_deflate;
/* In a build with their libraries only. */
extern const struct unpacker unpacker_brotli, unpacker_zstd;
#endif
