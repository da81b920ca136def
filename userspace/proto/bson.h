/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BSON (https://bsonspec.org/spec.html) read as it goes by: each element is told once, with its name and what is short
 * enough of its value. Nothing is kept but that.
 */
#ifndef PROTO_BSON_H
#define PROTO_BSON_H
#include "base/bytes.h"

/* Deepest document a server takes is 100 levels. */
#define BSON_DEPTH_MAX 128
/* Names longer than this are none of a command's; of texts as much is kept. */
#define BSON_KEPT 48
/* Largest document believed: a message's limit. */
#define BSON_MAX 48000000u

/* What the next byte is of. */
enum bson_at {
	BSON_AT_SIZE,
	BSON_AT_TYPE,
	BSON_AT_NAME,
	BSON_AT_FIXED,
	BSON_AT_LENGTH,
	BSON_AT_SKIP, /* a value nobody asks for, or a string */
	BSON_AT_CSTRING,
	BSON_AT_CSTRING2,
};

#define BSON_STRING 0x02

struct bson {
	/* of the element told */
	unsigned depth; /* 1 in the outermost document */
	unsigned index; /* how many came before it in its document, at depth 1 */
	uint8_t type;
	char name[BSON_KEPT];
	int64_t number;       /* of numbers and booleans, whole ones */
	char text[BSON_KEPT]; /* of strings that fit, else "" */

	bool done, bad; /* the document ended; it is none */

	/* for who masks a document a byte at a time */
	uint8_t at;    /* enum bson_at */
	uint64_t skip; /* bytes left of the value */

	/* private */
	uint8_t b[8];
	unsigned n, want;
	size_t nname;
	uint64_t left[BSON_DEPTH_MAX]; /* of each document */
	bool keep;
	void (*element)(void *ctx, const struct bson *b);
	void *ctx;
};

void bson_start(struct bson *b, void (*element)(void *ctx, const struct bson *b), void *ctx);
/* Takes bytes up to the document's end; returns how many. */
size_t bson_feed(struct bson *b, struct bytes in);
/* n bytes are missing; false: not all of them in a value that is skipped, so nothing behind can be read. */
bool bson_gap(struct bson *b, uint64_t n);
#endif
