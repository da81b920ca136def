/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libnghttp2's inflater, and what makes it bear a table whose contents we do not know: it is filled with entries of the
 * smallest size (RFC 7541, 4.1: 32 bytes) and no name. The encoder counts entries from the newest one, so those that come
 * later have their true place; and it never refers to one it evicted, so ours may be larger than its own.
 */
#include "proto/hpack.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>

/* The largest table we follow: what browsers and servers allow at most. An encoder must announce a change of size in its
 * blocks (RFC 7541, 6.3), so SETTINGS_HEADER_TABLE_SIZE, which only permits it, need not be seen. */
#define TABLE_MAX 65536
#define ENTRY_MIN 32

struct hpack {
	nghttp2_hd_inflater *inflater; /* NULL: no memory for one, nothing is decoded */
};

static void inflater_del(struct hpack *h)
{
	if (h->inflater)
		nghttp2_hd_inflate_del(h->inflater);
	h->inflater = NULL;
}

static void inflater_new(struct hpack *h)
{
	if (nghttp2_hd_inflate_new(&h->inflater) != 0) {
		h->inflater = NULL;
		return;
	}
	if (nghttp2_hd_inflate_change_table_size(h->inflater, TABLE_MAX) != 0)
		inflater_del(h);
}

static void nobody(void *ctx, struct bytes name, struct bytes value)
{
	(void)ctx;
	(void)name;
	(void)value;
}

/* A block that makes the table as large as it may be and fills it with nothing. */
static bool fill(struct hpack *h)
{
	/* RFC 7541, 6.3: 001 and the size in five bits and more: 31, then (65536 - 31) in sevens */
	static const char size[] = { 0x3f, (char)0xe1, (char)0xff, 0x03 };
	/* 6.2.1: a literal to be added, a new name of no bytes, a value of no bytes */
	static const char empty[] = { 0x40, 0x00, 0x00 };
	bool good = hpack_feed(h, (struct bytes){ size, sizeof(size) }, false, nobody, NULL);

	for (int i = 0; i < TABLE_MAX / ENTRY_MIN && good; i++)
		good = hpack_feed(h, (struct bytes){ empty, sizeof(empty) },
		                  i + 1 == TABLE_MAX / ENTRY_MIN, nobody, NULL);
	return good;
}

static void renew(struct hpack *h, bool from_start)
{
	inflater_del(h);
	inflater_new(h);
	if (h->inflater && !from_start && !fill(h))
		inflater_del(h);
}

struct hpack *hpack_new(bool from_start)
{
	struct hpack *h = calloc(1, sizeof(*h));

	if (h)
		renew(h, from_start);
	return h;
}

void hpack_free(struct hpack *h)
{
	if (!h)
		return;
	inflater_del(h);
	free(h);
}

void hpack_forget(struct hpack *h)
{
	renew(h, false);
}

static struct bytes view(const uint8_t *p, size_t n)
{
	return (struct bytes){ (const char *)p, n };
}

/* Decodes until all of the piece is used up. */
static bool inflate(struct hpack *h, struct bytes b, bool last, hpack_field *field, void *ctx)
{
	for (;;) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t used = nghttp2_hd_inflate_hd2(h->inflater, &nv, &flags,
		                                      (const uint8_t *)b.p, b.n, last);

		if (used < 0)
			return false;
		b = bytes_from(b, (size_t)used);
		if (flags & NGHTTP2_HD_INFLATE_EMIT)
			field(ctx, view(nv.name, nv.namelen), view(nv.value, nv.valuelen));
		if (flags & NGHTTP2_HD_INFLATE_FINAL)
			return nghttp2_hd_inflate_end_headers(h->inflater) == 0;
		if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && !b.n)
			return !last;
	}
}

bool hpack_feed(struct hpack *h, struct bytes piece, bool last, hpack_field *field, void *ctx)
{
	if (!h->inflater)
		return false;
	if (!piece.n && !last)
		return true;
	if (inflate(h, piece.n ? piece : bytes_of(""), last, field, ctx))
		return true;
	if (field != nobody)
		hpack_forget(h);
	return false;
}
