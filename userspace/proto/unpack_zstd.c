/* SPDX-License-Identifier: BSD-2-Clause */
/* zstd (RFC 8878) by libzstd: frames, one or several. */
#include <zstd.h>

#include "proto/unpack.h"

/* RFC 9659: as a content coding it may ask for a window of no more than 8 MiB. */
#define WINDOW_LOG_MAX 23

static void *zstd_new(void)
{
	ZSTD_DStream *z = ZSTD_createDStream();

	if (z)
		ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
	return z;
}

static void zstd_free(void *state)
{
	ZSTD_freeDStream(state);
}

static bool zstd_run(void *state, struct bytes *in, struct unpacked *out)
{
	ZSTD_inBuffer from = { in->p, in->n, 0 };
	ZSTD_outBuffer to = { out->p, out->room, out->n };
	bool good;

	do
		good = !ZSTD_isError(ZSTD_decompressStream(state, &to, &from));
	while (good && from.pos < from.size && to.pos < to.size);
	out->n = to.pos;
	*in = bytes_from(*in, from.pos);
	return good;
}

const struct unpacker unpacker_zstd = { zstd_new, zstd_run, zstd_free };
