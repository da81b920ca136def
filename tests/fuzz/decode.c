/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Content codings. The first byte chooses one; the rest is the stream, decoded whole, and byte by byte up to what the
 * whole gave: both must give the same bytes and come to the same end.
 */
#include <stdlib.h>

#include "proto/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct sum {
	uint64_t hash, n;
};

static void add(void *ctx, struct bytes b)
{
	struct sum *s = ctx;

	s->hash = bytes_hash(s->hash, b);
	s->n += b.n;
}

static enum decode_result decode(enum coding coding, struct bytes b, size_t step, struct sum *s)
{
	struct decoder *d = decoder_new(coding);
	enum decode_result r = DECODE_OK;

	if (!d)
		abort();
	for (size_t i = 0; i < b.n; i += step)
		r = decoder_feed(d, (struct bytes){ b.p + i, b.n - i < step ? b.n - i : step }, add,
		                 s);
	decoder_free(d);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sum whole = { 0 }, pieces = { 0 };
	struct bytes b;
	enum coding coding;
	enum decode_result r;

	if (n < 2)
		return 0;
	coding = (enum coding)(data[0] % (CODING_UNKNOWN + 1));
	b = (struct bytes){ (const char *)data + 1, n - 1 };
	r = decode(coding, b, b.n, &whole);
	if ((decode(coding, b, 1, &pieces) == DECODE_OK) != (r == DECODE_OK) ||
	    whole.n > DECODE_MAX)
		abort();
	if (r == DECODE_OK && (whole.hash != pieces.hash || whole.n != pieces.n))
		abort();
	return 0;
}
