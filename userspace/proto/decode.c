/* SPDX-License-Identifier: BSD-2-Clause */
/* Codings by their names, and the decoder around their libraries: pieces, and an end to what a stream may swell to. */
#include "proto/decode.h"

#include <stdlib.h>
#include <strings.h>

#include "proto/unpack.h"

/* One piece of output. */
#define PIECE_MAX 16384

struct decoder {
	enum coding coding;
	enum decode_result result; /* sticky */
	void *state;               /* of the unpacker, NULL not begun */
	uint64_t total;            /* decoded bytes so far */
	uint8_t piece[PIECE_MAX];
};

static const struct {
	const char *name;
	enum coding coding;
} codings[] = {
	{ "identity", CODING_IDENTITY }, { "gzip", CODING_GZIP }, { "x-gzip", CODING_GZIP },
	{ "deflate", CODING_DEFLATE },   { "br", CODING_BROTLI }, { "zstd", CODING_ZSTD },
	{ "", CODING_IDENTITY },
};

/* NULL: not in this build. */
static const struct unpacker *const unpackers[] = {
	[CODING_GZIP] = &unpacker_gzip,
	[CODING_DEFLATE] = &unpacker_deflate,
#ifdef HAVE_BROTLI
	[CODING_BROTLI] = &unpacker_brotli,
#endif
#ifdef HAVE_ZSTD
	[CODING_ZSTD] = &unpacker_zstd,
#endif
	[CODING_UNKNOWN] = NULL,
};

static struct bytes trim(struct bytes b)
{
	while (b.n && (b.p[0] == ' ' || b.p[0] == '\t'))
		b = bytes_from(b, 1);
	while (b.n && (b.p[b.n - 1] == ' ' || b.p[b.n - 1] == '\t'))
		b.n--;
	return b;
}

static enum coding coding_of(struct bytes name)
{
	for (size_t i = 0; i < sizeof(codings) / sizeof(*codings); i++)
		if (name.n == strlen(codings[i].name) &&
		    strncasecmp(name.p, codings[i].name, name.n) == 0)
			return codings[i].coding;
	return CODING_UNKNOWN;
}

enum coding decode_coding(struct bytes b)
{
	enum coding found = CODING_IDENTITY;

	while (b.n) {
		const char *comma = memchr(b.p, ',', b.n);
		size_t n = comma ? (size_t)(comma - b.p) : b.n;
		enum coding c = coding_of(trim((struct bytes){ b.p, n }));

		b = bytes_from(b, n + 1);
		if (c == CODING_IDENTITY)
			continue;
		if (found != CODING_IDENTITY)
			return CODING_UNKNOWN;
		found = c;
	}
	return found;
}

bool decode_can(enum coding coding)
{
	return coding == CODING_IDENTITY || unpackers[coding];
}

struct decoder *decoder_new(enum coding coding)
{
	struct decoder *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->coding = coding;
	d->result = decode_can(coding) ? DECODE_OK : DECODE_UNREADABLE;
	return d;
}

/* The window goes with the stream: an opaque decoder holds no memory but its own. */
static void stop(struct decoder *d, enum decode_result why)
{
	if (d->state)
		unpackers[d->coding]->free(d->state);
	d->state = NULL;
	d->result = why;
}

void decoder_free(struct decoder *d)
{
	if (!d)
		return;
	stop(d, d->result);
	free(d);
}

void decoder_gap(struct decoder *d)
{
	if (d->coding != CODING_IDENTITY && d->result == DECODE_OK)
		stop(d, DECODE_UNREADABLE);
}

/* One piece. False: nothing more will come. */
static bool unpack_piece(struct decoder *d, struct bytes *in,
                         void (*out)(void *ctx, struct bytes b), void *ctx, bool *full)
{
	struct unpacked u = { d->piece, PIECE_MAX, 0 };
	bool good = unpackers[d->coding]->run(d->state, in, &u);

	if (u.n > DECODE_MAX - d->total) {
		stop(d, DECODE_TOO_MUCH);
		return false;
	}
	d->total += u.n;
	if (u.n)
		out(ctx, (struct bytes){ (const char *)d->piece, u.n });
	if (!good)
		stop(d, DECODE_UNREADABLE);
	*full = u.n == u.room;
	return good;
}

enum decode_result decoder_feed(struct decoder *d, struct bytes b,
                                void (*out)(void *ctx, struct bytes b), void *ctx)
{
	bool full = false;

	if (d->result != DECODE_OK || !b.n)
		return d->result;
	if (d->coding == CODING_IDENTITY) {
		out(ctx, b);
		return DECODE_OK;
	}
	if (!d->state && !(d->state = unpackers[d->coding]->new ()))
		stop(d, DECODE_UNREADABLE);
	/* a full piece: more of it may be ready without another byte */
	while (d->state && (b.n || full))
		if (!unpack_piece(d, &b, out, ctx, &full))
			break;
	return d->result;
}
