/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Content codings (RFC 9110, 8.4.1) undone as the bytes go by. A stream can only be decoded from
 * its first byte and without a hole: after that the decoder is opaque, says so, and stays so.
 */
#ifndef PROTO_DECODE_H
#define PROTO_DECODE_H
#include "base/bytes.h"

/* Decoded bytes of one message, at most: far more than any conversation, little enough that a
 * body made to swell (a "zip bomb") costs well under a second. */
#define DECODE_MAX (64u << 20)

enum coding {
	CODING_IDENTITY,
	CODING_GZIP,    /* one member or several */
	CODING_DEFLATE, /* zlib, or the raw stream some servers send under this name */
	CODING_BROTLI,
	CODING_ZSTD,    /* one frame or several */
	CODING_UNKNOWN, /* two codings at once, or one we do not know */
};

/* Of a Content-Encoding value; repeated headers are joined by commas before. "" is identity. */
enum coding decode_coding(struct bytes content_encoding);

enum decode_result {
	DECODE_OK,
	DECODE_UNREADABLE, /* a coding that is unknown or not in this build, broken data, or a hole */
	DECODE_TOO_MUCH,   /* DECODE_MAX was reached */
};

/* Does this build decode it? br and zstd need their libraries. */
bool decode_can(enum coding coding);

struct decoder;

struct decoder *decoder_new(enum coding coding); /* NULL with errno */
void decoder_free(struct decoder *d);

/* Hands what b decodes to piecewise to out(); a piece is valid during that call only. Anything
 * but DECODE_OK: what came out until now was right, nothing will come any more, and every later
 * call returns the same. */
enum decode_result decoder_feed(struct decoder *d, struct bytes b,
                                void (*out)(void *ctx, struct bytes b), void *ctx);

/* Bytes were lost here: harmless to identity, the end of everything else. */
void decoder_gap(struct decoder *d);
#endif
