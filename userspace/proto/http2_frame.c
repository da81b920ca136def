/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a frame must look like is a table: flags, length and whose stream. The rules an endpoint would enforce are what
 * tells frames from other bytes here.
 */
#include "proto/http2_frame.h"

#include <ctype.h>

#include "proto/hpack.h"

/* A server's pushes have even numbers; nobody pushes, and to take them would make more of chance look like frames. */
enum whose { CONNECTION, STREAM, EITHER };

static const struct {
	uint8_t flags; /* those that mean something */
	enum whose whose;
	uint32_t least, most; /* payload; most 0: as large as frames may be */
} rules[FRAME_TYPES] = {
	[FRAME_DATA] = { FLAG_END_STREAM | FLAG_PADDED, STREAM, 0, 0 },
	[FRAME_HEADERS] = { FLAG_END_STREAM | FLAG_END_HEADERS | FLAG_PADDED | FLAG_PRIORITY,
	                    STREAM, 1, 0 },
	[FRAME_PRIORITY] = { 0, STREAM, 5, 5 },
	[FRAME_RST_STREAM] = { 0, STREAM, 4, 4 },
	[FRAME_SETTINGS] = { FLAG_ACK, CONNECTION, 0, 0 },
	[FRAME_PUSH_PROMISE] = { FLAG_END_HEADERS | FLAG_PADDED, STREAM, 5, 0 },
	[FRAME_PING] = { FLAG_ACK, CONNECTION, 8, 8 },
	[FRAME_GOAWAY] = { 0, CONNECTION, 8, 0 },
	[FRAME_WINDOW_UPDATE] = { 0, EITHER, 4, 4 },
	[FRAME_CONTINUATION] = { FLAG_END_HEADERS, STREAM, 0, 0 },
};

struct frame frame_read(const char *p)
{
	const uint8_t *u = (const uint8_t *)p;

	return (struct frame){
		.length = (uint32_t)u[0] << 16 | (uint32_t)u[1] << 8 | u[2],
		.type = u[3],
		.flags = u[4],
		.reserved = u[5] >> 7,
		.stream = (uint32_t)(u[5] & 0x7f) << 24 | (uint32_t)u[6] << 16 |
		          (uint32_t)u[7] << 8 | u[8],
	};
}

bool frame_legal(const struct frame *f)
{
	if (f->type >= FRAME_TYPES)
		return true;
	if (f->length < rules[f->type].least ||
	    (rules[f->type].most && f->length > rules[f->type].most))
		return false;
	if (f->type == FRAME_SETTINGS && (f->length % 6 || (f->flags & FLAG_ACK && f->length)))
		return false;
	return rules[f->type].whose == EITHER ||
	       (rules[f->type].whose == STREAM) == (f->stream != 0);
}

bool frame_plausible(const struct frame *f, uint32_t max)
{
	return f->type < FRAME_TYPES && frame_legal(f) && f->length <= max && !f->reserved &&
	       !(f->flags & ~rules[f->type].flags) && (!f->stream || f->stream & 1);
}

static bool is_token(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		if (!islower((uint8_t)b.p[i]) && !isdigit((uint8_t)b.p[i]) && b.p[i] != '-' &&
		    b.p[i] != '_' && b.p[i] != '.')
			return false;
	return true;
}

/* A value that this pseudo-header field can have (RFC 9113, 8.3). */
static bool is_value(struct bytes name, struct bytes value)
{
	if (bytes_equal(name, ":path"))
		return value.n && (value.p[0] == '/' || value.p[0] == '*');
	if (bytes_equal(name, ":scheme"))
		return bytes_equal(value, "http") || bytes_equal(value, "https");
	if (bytes_equal(name, ":status"))
		return value.n == 3 && value.p[0] >= '1' && value.p[0] <= '5';
	for (size_t i = 0; i < value.n; i++)
		if ((uint8_t)value.p[i] <= ' ' || (uint8_t)value.p[i] > '~' ||
		    (name.p[1] == 'm' && !isupper((uint8_t)value.p[i])))
			return false;
	return value.n != 0;
}

static void look(void *ctx, struct bytes name, struct bytes value)
{
	static const char *const asks[] = { ":method", ":scheme", ":path", ":authority" };
	struct frame_chain *c = ctx;
	bool ask = false;

	if (!name.n)
		return;
	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++)
		ask |= bytes_equal(name, asks[i]);
	if (ask || bytes_equal(name, ":status"))
		c->broken |= !is_value(name, value);
	else
		c->broken |= !is_token(name) && !bytes_equal(name, ":protocol");
	c->request |= ask;
	c->proved |= ask || bytes_equal(name, ":status");
}

/* False: that is no header block. One that decodes, as far as it is there, and names what every message must have proves
 * frames beyond doubt. */
static bool headers_decode(const struct frame *f, struct bytes payload, struct frame_chain *c)
{
	bool whole = payload.n == f->length;
	struct hpack *h = hpack_new(false);
	size_t skip = f->flags & FLAG_PADDED ? 1 : 0, pad = 0;
	bool good;

	if (skip && payload.n && whole)
		pad = (uint8_t)payload.p[0];
	skip += f->flags & FLAG_PRIORITY ? 5 : 0;
	good = h && (!whole || skip + pad < payload.n);
	if (good && skip + pad < payload.n) {
		payload.n -= pad;
		good = hpack_feed(h, bytes_from(payload, skip),
		                  whole && f->flags & FLAG_END_HEADERS, look, c);
	}
	hpack_free(h);
	return good;
}

struct frame_chain frame_chain(struct bytes b, uint32_t max)
{
	struct frame_chain c = { 0 };

	while (b.n >= FRAME_HEAD) {
		struct frame f = frame_read(b.p);

		if (!frame_plausible(&f, max)) {
			c.broken = true;
			return c;
		}
		c.heads++;
		b = bytes_from(b, FRAME_HEAD);
		c.whole += b.n >= f.length;
		if (f.type == FRAME_HEADERS && !c.proved &&
		    (f.length > FRAME_MAX_DEFAULT ||
		     !headers_decode(&f, (struct bytes){ b.p, b.n < f.length ? b.n : f.length },
		                     &c) ||
		     c.broken)) {
			c.broken = true;
			return c;
		}
		if (b.n < f.length)
			return c;
		b = bytes_from(b, f.length);
	}
	c.ends = !b.n;
	c.broken = b.n && b.p[0]; /* a payload of 64 KiB or more */
	return c;
}

enum proto_match frames_begin(struct bytes b)
{
	struct frame_chain c = frame_chain(b, FRAME_MAX_DEFAULT);

	if (c.broken)
		return PROTO_NO;
	return c.proved || c.whole >= FRAMES_PROVE ? PROTO_YES : PROTO_MAYBE;
}

const char *http2_error_name(uint32_t code)
{
	static const char *const names[] = {
		"NO_ERROR",
		"PROTOCOL_ERROR",
		"INTERNAL_ERROR",
		"FLOW_CONTROL_ERROR",
		"SETTINGS_TIMEOUT",
		"STREAM_CLOSED",
		"FRAME_SIZE_ERROR",
		"REFUSED_STREAM",
		"CANCEL",
		"COMPRESSION_ERROR",
		"CONNECT_ERROR",
		"ENHANCE_YOUR_CALM",
		"INADEQUATE_SECURITY",
		"HTTP_1_1_REQUIRED",
	};

	return code < sizeof(names) / sizeof(names[0]) ? names[code] : NULL;
}
