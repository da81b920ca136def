/* SPDX-License-Identifier: BSD-2-Clause */
/* Content codings: what their libraries write comes out again, however it is cut, and never more than it may. */
#ifdef HAVE_BROTLI
#include <brotli/encode.h>
#endif
#include <zlib.h>
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

#include "proto/decode.h"
#include "test.h"

struct text {
	char p[1 << 16];
	size_t n;
	uint64_t total; /* more than fits is only counted */
};

static void take(void *ctx, struct bytes b)
{
	struct text *t = ctx;

	t->total += b.n;
	if (b.n > sizeof(t->p) - t->n)
		return;
	memcpy(t->p + t->n, b.p, b.n);
	t->n += b.n;
}

/* Compresses p as one stream; window as zlib's windowBits. */
static size_t pack(char *to, size_t room, const char *p, size_t n, int window)
{
	z_stream z = { .next_in = (Bytef *)p,
		       .avail_in = (uInt)n,
		       .next_out = (Bytef *)to,
		       .avail_out = (uInt)room };

	if (deflateInit2(&z, 6, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) != Z_OK ||
	    deflate(&z, Z_FINISH) != Z_STREAM_END)
		abort();
	deflateEnd(&z);
	return room - z.avail_out;
}

static enum decode_result feed(struct decoder *d, const char *p, size_t n, struct text *t)
{
	char *g = guarded(p, n);
	enum decode_result r = decoder_feed(d, (struct bytes){ g, n }, take, t);

	guarded_free(g, n);
	return r;
}

/* Decodes p in two parts, and byte by byte; all must give want. */
static bool every_split(enum coding coding, const char *p, size_t n, const char *want)
{
	static struct text t;
	bool same = true;

	for (size_t at = 0; at <= n + 1; at++) {
		struct decoder *d = decoder_new(coding);

		t.n = 0;
		if (at <= n) {
			feed(d, p, at, &t);
			same &= feed(d, p + at, n - at, &t) == DECODE_OK;
		} else {
			for (size_t i = 0; i < n; i++)
				same &= feed(d, p + i, 1, &t) == DECODE_OK;
		}
		same &= bytes_equal((struct bytes){ t.p, t.n }, want);
		decoder_free(d);
	}
	return same;
}

static const char text[] =
	"{\"model\":\"m\",\"usage\":{\"input_tokens\":3},\"a\":\"aaaaaaaaaaaaaaaaaaa\"}";

static void names(void)
{
	TEST("a coding's name counts in any case, with spaces and beside identity");
	CHECK(decode_coding(bytes_of("")) == CODING_IDENTITY);
	CHECK(decode_coding(bytes_of("identity")) == CODING_IDENTITY);
	CHECK(decode_coding(bytes_of("GZip")) == CODING_GZIP);
	CHECK(decode_coding(bytes_of("x-gzip")) == CODING_GZIP);
	CHECK(decode_coding(bytes_of(" identity ,\tdeflate ")) == CODING_DEFLATE);
	CHECK(decode_coding(bytes_of("BR")) == CODING_BROTLI);
	CHECK(decode_coding(bytes_of("zstd")) == CODING_ZSTD);
	TEST("what we do not decode, and two codings at once, are unknown");
	CHECK(decode_coding(bytes_of("compress")) == CODING_UNKNOWN);
	CHECK(decode_coding(bytes_of("br, zstd")) == CODING_UNKNOWN);
	CHECK(decode_coding(bytes_of("gzip, gzip")) == CODING_UNKNOWN);
	CHECK(decode_coding(bytes_of("gzipp")) == CODING_UNKNOWN);
}

static void streams(void)
{
	char packed[1024], twice[sizeof(text) * 2];
	size_t n, m;

	TEST("identity passes through");
	CHECK(every_split(CODING_IDENTITY, text, strlen(text), text));
	TEST("gzip decodes at every split");
	n = pack(packed, sizeof(packed), text, strlen(text), MAX_WBITS + 16);
	CHECK(every_split(CODING_GZIP, packed, n, text));
	TEST("several gzip members are one body, zeros behind them are none");
	m = pack(packed + n, sizeof(packed) - n, text, strlen(text), MAX_WBITS + 16);
	snprintf(twice, sizeof(twice), "%s%s", text, text);
	CHECK(every_split(CODING_GZIP, packed, n + m, twice));
	memset(packed + n + m, 0, 8);
	CHECK(every_split(CODING_GZIP, packed, n + m + 8, twice));
	TEST("deflate is zlib or raw, by its first two bytes");
	n = pack(packed, sizeof(packed), text, strlen(text), MAX_WBITS);
	CHECK(every_split(CODING_DEFLATE, packed, n, text));
	n = pack(packed, sizeof(packed), text, strlen(text), -MAX_WBITS);
	CHECK(every_split(CODING_DEFLATE, packed, n, text));
	TEST("an empty raw deflate stream is two bytes long and decodes to nothing");
	n = pack(packed, sizeof(packed), "", 0, -MAX_WBITS);
	CHECK(n == 2 && every_split(CODING_DEFLATE, packed, n, ""));
}

/* A stream of events flushed one by one must come out one by one. */
static void flushed(void)
{
	static struct text t;
	struct decoder *d = decoder_new(CODING_GZIP);
	z_stream z = { 0 };
	char packed[256];
	bool each = true;

	TEST("an event flushed by the server is decoded before the next one comes");
	deflateInit2(&z, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
	for (int i = 1; i <= 5; i++) {
		z.next_in = (Bytef *)"data: {}\n\n";
		z.avail_in = 10;
		z.next_out = (Bytef *)packed;
		z.avail_out = sizeof(packed);
		deflate(&z, Z_SYNC_FLUSH);
		feed(d, packed, sizeof(packed) - z.avail_out, &t);
		each &= t.n == (size_t)i * 10;
	}
	CHECK(each);
	deflateEnd(&z);
	decoder_free(d);
}

#ifdef HAVE_BROTLI

static size_t brotli(char *to, size_t room, const char *p, size_t n, int window)
{
	size_t size = room;

	if (!BrotliEncoderCompress(5, window, BROTLI_MODE_GENERIC, n, (const uint8_t *)p, &size,
	                           (uint8_t *)to))
		abort();
	return size;
}

static void brotli_streams(void)
{
	static struct text t;
	char packed[1024];
	size_t n = brotli(packed, sizeof(packed), text, strlen(text), 22);
	BrotliEncoderState *e = BrotliEncoderCreateInstance(NULL, NULL, NULL);
	struct decoder *d = decoder_new(CODING_BROTLI);
	bool each = true;

	TEST("br decodes at every split, what follows the stream is left out");
	CHECK(every_split(CODING_BROTLI, packed, n, text));
	memset(packed + n, 0x5a, 8);
	CHECK(every_split(CODING_BROTLI, packed, n + 8, text));
	n = brotli(packed, sizeof(packed), "", 0, 22);
	CHECK(every_split(CODING_BROTLI, packed, n, ""));

	TEST("an event flushed in br is decoded before the next one comes");
	for (int i = 1; i <= 5; i++) {
		const uint8_t *in = (const uint8_t *)"data: {}\n\n";
		uint8_t *out = (uint8_t *)packed;
		size_t in_n = 10, room = sizeof(packed);

		BrotliEncoderCompressStream(e, BROTLI_OPERATION_FLUSH, &in_n, &in, &room, &out,
		                            NULL);
		feed(d, packed, sizeof(packed) - room, &t);
		each &= t.n == (size_t)i * 10;
	}
	CHECK(each);
	BrotliEncoderDestroyInstance(e);
	decoder_free(d);
}

#endif
#ifdef HAVE_ZSTD

static void zstd_streams(void)
{
	static struct text t;
	char packed[1024], twice[sizeof(text) * 2];
	size_t n = ZSTD_compress(packed, sizeof(packed), text, strlen(text), 3), m;
	ZSTD_CStream *z = ZSTD_createCStream();
	struct decoder *d = decoder_new(CODING_ZSTD);
	ZSTD_outBuffer out = { packed, sizeof(packed), 0 };
	bool each = true;

	TEST("zstd decodes at every split, several frames are one body");
	CHECK(every_split(CODING_ZSTD, packed, n, text));
	m = ZSTD_compress(packed + n, sizeof(packed) - n, text, strlen(text), 3);
	snprintf(twice, sizeof(twice), "%s%s", text, text);
	CHECK(every_split(CODING_ZSTD, packed, n + m, twice));

	TEST("an event flushed in zstd is decoded before the next one comes");
	for (int i = 1; i <= 5; i++) {
		ZSTD_inBuffer in = { "data: {}\n\n", 10, 0 };

		out.pos = 0;
		ZSTD_compressStream2(z, &out, &in, ZSTD_e_flush);
		feed(d, packed, out.pos, &t);
		each &= t.n == (size_t)i * 10;
	}
	CHECK(each);
	decoder_free(d);

	TEST("a frame that asks for a larger window than HTTP allows is unreadable");
	ZSTD_CCtx_reset(z, ZSTD_reset_session_and_parameters);
	ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, 24);
	out.pos = 0;
	ZSTD_compressStream2(z, &out, &(ZSTD_inBuffer){ text, sizeof(text), 0 }, ZSTD_e_flush);
	d = decoder_new(CODING_ZSTD);
	t.n = 0;
	CHECK(feed(d, packed, out.pos, &t) == DECODE_UNREADABLE && t.n == 0);
	decoder_free(d);
	ZSTD_freeCStream(z);
}

#endif

/* Whatever is cut off or broken, what came out before was right; each coding this build has. */
static void damaged(enum coding coding, const char *p, size_t n)
{
	static struct text t;
	bool right = true, opaque = true;
	char copy[1024];

	for (size_t at = 0; at < n; at++) {
		struct decoder *d = decoder_new(coding);

		t.n = 0;
		feed(d, p, at, &t);
		right &= t.n <= strlen(text) && memcmp(t.p, text, t.n) == 0;
		decoder_gap(d);
		opaque &= feed(d, p + at, n - at, &t) == DECODE_UNREADABLE;
		decoder_free(d);
		memcpy(copy, p, n);
		copy[at] ^= 0x55;
		d = decoder_new(coding);
		feed(d, copy, n, &t); /* no claim on what it becomes: only that nothing breaks */
		feed(d, copy, n, &t);
		decoder_free(d);
	}
	CHECK(right && opaque);
}

static void damages(void)
{
	char packed[1024];

	TEST("a gap anywhere leaves what came before it, and nothing after; broken bytes do no "
	     "harm");
	damaged(CODING_GZIP, packed,
	        pack(packed, sizeof(packed), text, strlen(text), MAX_WBITS + 16));
	damaged(CODING_DEFLATE, packed,
	        pack(packed, sizeof(packed), text, strlen(text), MAX_WBITS));
#ifdef HAVE_BROTLI
	damaged(CODING_BROTLI, packed, brotli(packed, sizeof(packed), text, strlen(text), 22));
#endif
#ifdef HAVE_ZSTD
	damaged(CODING_ZSTD, packed, ZSTD_compress(packed, sizeof(packed), text, strlen(text), 3));
#endif
}

static void builds(void)
{
	TEST("a build says what it decodes, and gives nothing for what it does not");
	CHECK(decode_can(CODING_GZIP) && !decode_can(CODING_UNKNOWN));
	for (enum coding c = CODING_IDENTITY; c <= CODING_UNKNOWN; c++) {
		static struct text t;
		struct decoder *d = decoder_new(c);

		t.n = 0;
		CHECK(decode_can(c) || (feed(d, "abc", 3, &t) == DECODE_UNREADABLE && !t.n));
		decoder_free(d);
	}
}

static void ends(void)
{
	static struct text t;
	struct decoder *d = decoder_new(CODING_GZIP);
	char packed[1024];
	size_t n = pack(packed, sizeof(packed), text, strlen(text), MAX_WBITS + 16), had;

	TEST("after a gap an encoded body is unreadable for good, what came before it stays");
	feed(d, packed, n - 12, &t);
	had = t.n;
	decoder_gap(d);
	CHECK(had > 0 && feed(d, packed + n - 12, 12, &t) == DECODE_UNREADABLE);
	CHECK(feed(d, packed, n, &t) == DECODE_UNREADABLE && t.n == had);
	decoder_free(d);

	TEST("a gap does identity no harm");
	d = decoder_new(CODING_IDENTITY);
	decoder_gap(d);
	t.n = 0;
	CHECK(feed(d, "abc", 3, &t) == DECODE_OK && t.n == 3);
	decoder_free(d);

	TEST("data that is not what the header says is unreadable");
	d = decoder_new(CODING_GZIP);
	CHECK(feed(d, text, strlen(text), &t) == DECODE_UNREADABLE);
	decoder_free(d);
	d = decoder_new(CODING_DEFLATE);
	CHECK(feed(d, "\xff\xff\xff\xff", 4, &t) == DECODE_UNREADABLE);
	decoder_free(d);

	TEST("an unknown coding gives nothing");
	d = decoder_new(CODING_UNKNOWN);
	t.n = 0;
	CHECK(feed(d, "abc", 3, &t) == DECODE_UNREADABLE && t.n == 0);
	decoder_free(d);
	decoder_free(NULL);
}

static void bomb_of(enum coding coding, char *small, size_t packed)
{
	static struct text t;
	struct decoder *d = decoder_new(coding);

	t.total = 0;
	CHECK(decoder_feed(d, (struct bytes){ small, packed }, take, &t) == DECODE_TOO_MUCH);
	CHECK(t.total <= DECODE_MAX && t.total > DECODE_MAX / 2);
	CHECK(feed(d, small, 100, &t) == DECODE_TOO_MUCH);
	decoder_free(d);
}

static void bombs(void)
{
	size_t n = DECODE_MAX + (1 << 20);
	char *zeros = calloc(1, n), *small = calloc(1, 1 << 20);

	TEST("a body that swells beyond the limit stops there");
	bomb_of(CODING_GZIP, small, pack(small, 1 << 20, zeros, n, MAX_WBITS + 16));
#ifdef HAVE_BROTLI
	bomb_of(CODING_BROTLI, small, brotli(small, 1 << 20, zeros, n, 22));
#endif
#ifdef HAVE_ZSTD
	bomb_of(CODING_ZSTD, small, ZSTD_compress(small, 1 << 20, zeros, n, 1));
#endif
	free(zeros);
	free(small);
}

int main(void)
{
	names();
	streams();
	flushed();
#ifdef HAVE_BROTLI
	brotli_streams();
#endif
#ifdef HAVE_ZSTD
	zstd_streams();
#endif
	damages();
	builds();
	ends();
	bombs();
	return DONE();
}
