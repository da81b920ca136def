/* SPDX-License-Identifier: BSD-2-Clause */
/* Content codings: what zlib writes comes out again, however it is cut, and never more than it may. */
#include <zlib.h>

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
	TEST("what we do not decode, and two codings at once, are unknown");
	CHECK(decode_coding(bytes_of("br")) == CODING_UNKNOWN);
	CHECK(decode_coding(bytes_of("zstd")) == CODING_UNKNOWN);
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

static void bomb(void)
{
	static struct text t;
	struct decoder *d = decoder_new(CODING_GZIP);
	size_t n = DECODE_MAX + (1 << 20), packed;
	char *zeros = calloc(1, n), *small = malloc(1 << 20);

	TEST("a body that swells beyond the limit stops there");
	packed = pack(small, 1 << 20, zeros, n, MAX_WBITS + 16);
	t.total = 0;
	CHECK(decoder_feed(d, (struct bytes){ small, packed }, take, &t) == DECODE_TOO_MUCH);
	CHECK(t.total <= DECODE_MAX && t.total > DECODE_MAX / 2);
	CHECK(feed(d, small, 100, &t) == DECODE_TOO_MUCH);
	decoder_free(d);
	free(zeros);
	free(small);
}

int main(void)
{
	names();
	streams();
	flushed();
	ends();
	bomb();
	return DONE();
}
