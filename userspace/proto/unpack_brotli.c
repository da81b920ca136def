/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * br (RFC 7932) by libbrotlidec. Its window is at most 16 MiB, and grows with what is decoded; "large window" streams,
 * which are no content coding, stay refused.
 */
#include <brotli/decode.h>

#include "proto/unpack.h"

static void *brotli_new(void)
{
	return BrotliDecoderCreateInstance(NULL, NULL, NULL);
}

static void brotli_free(void *state)
{
	BrotliDecoderDestroyInstance(state);
}

static bool brotli_run(void *state, struct bytes *in, struct unpacked *out)
{
	const uint8_t *next = (const uint8_t *)in->p;
	uint8_t *to = out->p + out->n;
	size_t left = in->n, room = out->room - out->n;
	BrotliDecoderResult r =
		BrotliDecoderDecompressStream(state, &left, &next, &room, &to, NULL);

	out->n = out->room - room;
	*in = bytes_from(*in, in->n - left);
	if (r ==
	    BROTLI_DECODER_RESULT_SUCCESS) /* one stream is a body: padding follows, if anything */
		*in = bytes_from(*in, in->n);
	return r != BROTLI_DECODER_RESULT_ERROR;
}

const struct unpacker unpacker_brotli = { brotli_new, brotli_run, brotli_free };
