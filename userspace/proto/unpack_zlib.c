/* SPDX-License-Identifier: BSD-2-Clause */
/* gzip (RFC 1952) and deflate (RFC 1950, 1951) by zlib. */
#include <stdlib.h>
#include <zlib.h>

#include "proto/unpack.h"

/* zlib's windowBits: the largest window, and what to expect around the stream. */
#define WINDOW_RAW (-MAX_WBITS)
#define WINDOW_ZLIB MAX_WBITS
#define WINDOW_GZIP (MAX_WBITS + 16)
/* avail_in is 32 bits wide */
#define STEP_MAX (1u << 30)

struct inflater {
	z_stream z;
	bool gzip;
	bool started;
	bool ended;       /* a member or stream ended with the last byte taken */
	uint8_t first[2]; /* deflate: what tells zlib from raw */
	size_t nfirst;
};

static void inflater_free(void *state)
{
	struct inflater *f = state;

	if (!f)
		return;
	if (f->started)
		inflateEnd(&f->z);
	free(f);
}

static bool start(struct inflater *f, int window)
{
	f->started = inflateInit2(&f->z, window) == Z_OK;
	return f->started;
}

static void *gzip_new(void)
{
	struct inflater *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->gzip = true;
	if (start(f, WINDOW_GZIP))
		return f;
	free(f);
	return NULL;
}

static void *deflate_new(void)
{
	return calloc(1, sizeof(struct inflater));
}

/* One step of at most STEP_MAX bytes. */
static bool inflate_step(struct inflater *f, struct bytes *in, struct unpacked *out)
{
	size_t n = in->n < STEP_MAX ? in->n : STEP_MAX;
	int r;

	/* members of a gzip body follow each other; what follows anything else is padding, which every client ignores */
	if (f->ended && in->n && f->gzip && (uint8_t)*in->p == 0x1f) {
		inflateReset(&f->z);
		f->ended = false;
	}
	if (f->ended) {
		*in = bytes_from(*in, in->n);
		return true;
	}
	f->z.next_in = (Bytef *)in->p;
	f->z.avail_in = (uInt)n;
	f->z.next_out = out->p + out->n;
	f->z.avail_out = (uInt)(out->room - out->n);
	r = inflate(&f->z, Z_SYNC_FLUSH);
	out->n = out->room - f->z.avail_out;
	*in = bytes_from(*in, n - f->z.avail_in);
	f->ended = r == Z_STREAM_END;
	/* Z_BUF_ERROR: nothing was left to take, or no room */
	return r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR;
}

static bool inflate_run(void *state, struct bytes *in, struct unpacked *out)
{
	while (inflate_step(state, in, out))
		if (!in->n || out->n == out->room)
			return true;
	return false;
}

/* RFC 1950, 2.2: method 8, window at most 32 KiB, and the two bytes a multiple of 31. */
static bool zlib_header(const uint8_t *h)
{
	return (h[0] & 0x0f) == 8 && h[0] >> 4 <= 7 && (h[0] << 8 | h[1]) % 31 == 0;
}

/* Some servers send the raw stream under this name. The first two bytes, held back until both are there, tell. */
static bool deflate_run(void *state, struct bytes *in, struct unpacked *out)
{
	struct inflater *f = state;
	struct bytes first = { (const char *)f->first, sizeof(f->first) };

	if (f->started)
		return inflate_run(f, in, out);
	while (f->nfirst < sizeof(f->first) && in->n) {
		f->first[f->nfirst++] = (uint8_t)*in->p;
		*in = bytes_from(*in, 1);
	}
	if (f->nfirst < sizeof(f->first))
		return true;
	if (!start(f, zlib_header(f->first) ? WINDOW_ZLIB : WINDOW_RAW))
		return false;
	return inflate_run(f, &first, out) && (!in->n || inflate_run(f, in, out));
}

const struct unpacker unpacker_gzip = { gzip_new, inflate_run, inflater_free };
const struct unpacker unpacker_deflate = { deflate_new, deflate_run, inflater_free };
