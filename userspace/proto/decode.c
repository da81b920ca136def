/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gzip (RFC 1952) and deflate (RFC 1950, 1951) by zlib, with an end to what a stream may swell to.
 */
#include "proto/decode.h"

#include <stdlib.h>
#include <strings.h>
#include <zlib.h>

/* One piece of output. */
#define PIECE_MAX 16384
/* zlib's windowBits: the largest window, and what to expect around the stream. */
#define WINDOW_RAW (-MAX_WBITS)
#define WINDOW_ZLIB MAX_WBITS
#define WINDOW_GZIP (MAX_WBITS + 16)

struct decoder {
	enum coding coding;
	enum decode_result result; /* sticky */
	z_stream z;
	bool started;     /* z is initialised */
	bool member_end;  /* a member or stream ended with the last byte decoded */
	uint8_t first[2]; /* deflate: what tells zlib from raw */
	size_t nfirst;
	uint64_t total; /* decoded bytes so far */
	uint8_t piece[PIECE_MAX];
};

static const struct {
	const char *name;
	enum coding coding;
} codings[] = {
	{ "identity", CODING_IDENTITY }, { "gzip", CODING_GZIP }, { "x-gzip", CODING_GZIP },
	{ "deflate", CODING_DEFLATE },   { "", CODING_IDENTITY },
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

struct decoder *decoder_new(enum coding coding)
{
	struct decoder *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->coding = coding;
	d->result = coding == CODING_UNKNOWN ? DECODE_UNREADABLE : DECODE_OK;
	return d;
}

/* The window goes with the stream: an opaque decoder holds no memory but its own. */
static void stop(struct decoder *d, enum decode_result why)
{
	if (d->started)
		inflateEnd(&d->z);
	d->started = false;
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

static bool start(struct decoder *d, int window)
{
	if (inflateInit2(&d->z, window) == Z_OK)
		d->started = true;
	else
		stop(d, DECODE_UNREADABLE);
	return d->started;
}

/* RFC 1950, 2.2: method 8, window at most 32 KiB, and the two bytes a multiple of 31. */
static bool zlib_header(const uint8_t *h)
{
	return (h[0] & 0x0f) == 8 && h[0] >> 4 <= 7 && (h[0] << 8 | h[1]) % 31 == 0;
}

/* Inflates b. Members of a gzip body follow each other; what follows anything else is padding,
 * which every client ignores. */
static void inflate_all(struct decoder *d, struct bytes b, void (*out)(void *ctx, struct bytes b),
                        void *ctx)
{
	d->z.next_in = (Bytef *)b.p;
	d->z.avail_in = (uInt)b.n;
	do {
		size_t n;
		int r;

		if (d->member_end) {
			if (!d->z.avail_in || d->coding != CODING_GZIP || *d->z.next_in != 0x1f)
				return;
			inflateReset(&d->z);
			d->member_end = false;
		}
		d->z.next_out = d->piece;
		d->z.avail_out = PIECE_MAX;
		r = inflate(&d->z, Z_SYNC_FLUSH);
		n = PIECE_MAX - d->z.avail_out;
		if (n > DECODE_MAX - d->total) {
			stop(d, DECODE_TOO_MUCH);
			return;
		}
		d->total += n;
		if (n)
			out(ctx, (struct bytes){ (const char *)d->piece, n });
		d->member_end = r == Z_STREAM_END;
		if (r == Z_BUF_ERROR) /* all of the input is used, that is all it means here */
			return;
		if (r != Z_OK && r != Z_STREAM_END) {
			stop(d, DECODE_UNREADABLE);
			return;
		}
	} while (d->z.avail_in || !d->z.avail_out);
}

/* Holds the first two bytes back until they tell which kind of stream it is. Returns how many of
 * b it took. */
static size_t deflate_start(struct decoder *d, struct bytes b,
                            void (*out)(void *ctx, struct bytes b), void *ctx)
{
	size_t n = 0;

	while (d->nfirst < sizeof(d->first) && n < b.n)
		d->first[d->nfirst++] = (uint8_t)b.p[n++];
	if (d->nfirst == sizeof(d->first) &&
	    start(d, zlib_header(d->first) ? WINDOW_ZLIB : WINDOW_RAW))
		inflate_all(d, (struct bytes){ (const char *)d->first, sizeof(d->first) }, out,
		            ctx);
	return n;
}

enum decode_result decoder_feed(struct decoder *d, struct bytes b,
                                void (*out)(void *ctx, struct bytes b), void *ctx)
{
	if (d->result != DECODE_OK || !b.n)
		return d->result;
	if (d->coding == CODING_IDENTITY) {
		out(ctx, b);
		return DECODE_OK;
	}
	if (!d->started && d->coding == CODING_GZIP)
		start(d, WINDOW_GZIP);
	else if (!d->started)
		b = bytes_from(b, deflate_start(d, b, out, ctx));
	/* avail_in is 32 bits wide */
	while (b.n && d->started) {
		size_t n = b.n < 1u << 30 ? b.n : 1u << 30;

		inflate_all(d, (struct bytes){ b.p, n }, out, ctx);
		b = bytes_from(b, n);
	}
	return d->result;
}
