/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Amazon's event stream (application/vnd.amazon.eventstream): frames of total length, headers'
 * length, a checksum, headers, a payload in JSON and a checksum, all numbers big-endian.
 * Checksums are TLS's business, not ours.
 */
#include "llm/reply.h"

enum frame_part { PART_PRELUDE, PART_HEADERS, PART_PAYLOAD, PART_CHECKSUM, PARTS };

#define PRELUDE 12
#define CHECKSUM 4
/* The limits botocore has. */
#define HEADERS_MAX (128 << 10)
#define PAYLOAD_MAX (24 << 20)
#define TYPE_STRING 7

static uint32_t u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static void header(struct frame *f, struct bytes name, struct bytes value)
{
	if (bytes_equal(name, ":message-type"))
		f->failed = bytes_equal(value, "exception") || bytes_equal(value, "error");
	if (bytes_equal(name, ":event-type")) {
		f->last = bytes_equal(value, "messageStop");
		f->chunk = bytes_equal(value, "chunk");
	}
	if ((bytes_equal(name, ":exception-type") || bytes_equal(name, ":error-code")) &&
	    value.n < sizeof(f->kind)) {
		memcpy(f->kind, value.p, value.n);
		f->kind[value.n] = '\0';
	}
}

/* Headers up to the first that is no string: those we read are. */
static void read_headers(struct frame *f)
{
	struct bytes b = { (const char *)f->buf, f->n };

	while (b.n) {
		size_t name_n = (uint8_t)b.p[0], value_n;
		struct bytes name = { b.p + 1, name_n };

		if (b.n < 1 + name_n + 3 || b.p[1 + name_n] != TYPE_STRING)
			return;
		value_n = (size_t)(uint8_t)b.p[2 + name_n] << 8 | (uint8_t)b.p[3 + name_n];
		b = bytes_from(b, 4 + name_n);
		if (b.n < value_n)
			return;
		header(f, name, (struct bytes){ b.p, value_n });
		b = bytes_from(b, value_n);
	}
}

/* False: not a frame. */
static bool read_prelude(struct frame *f)
{
	uint32_t total = u32(f->buf), headers = u32(f->buf + 4);

	if (headers > HEADERS_MAX || total > HEADERS_MAX + PAYLOAD_MAX ||
	    total < PRELUDE + headers + CHECKSUM)
		return false;
	f->size = headers;
	f->payload = total - headers - PRELUDE - CHECKSUM;
	f->last = f->failed = f->chunk = false;
	f->kind[0] = '\0';
	return true;
}

static void payload_end(struct reply *r)
{
	struct frame *f = &r->frame;

	if (f->failed)
		facts_error_kind(&r->doc, bytes_of(f->kind));
	r->doc.finished |= f->last;
	if (f->failed || f->last || r->scan.state == JSON_DONE)
		reply_doc_commit(r);
}

/* The part is whole: what it says, and which comes next. */
static bool part_end(struct reply *r)
{
	struct frame *f = &r->frame;

	switch (f->part) {
	case PART_PRELUDE:
		if (!read_prelude(f))
			return false;
		f->left = f->size;
		break;
	case PART_HEADERS:
		if (f->size <= FRAME_HEADER_MAX)
			read_headers(f);
		f->left = f->payload;
		reply_doc_begin(r);
		chunk_begin(r);
		break;
	case PART_PAYLOAD:
		payload_end(r);
		f->left = CHECKSUM;
		break;
	default:
		f->left = PRELUDE;
	}
	f->part = (f->part + 1) % PARTS;
	f->n = 0;
	return true;
}

static void keep(struct frame *f, struct bytes b)
{
	size_t room = sizeof(f->buf) - f->n;
	size_t n = b.n < room ? b.n : room;

	if (n)
		memcpy(f->buf + f->n, b.p, n);
	f->n += n;
}

void frame_feed(struct reply *r, struct bytes b)
{
	struct frame *f = &r->frame;

	if (f->part == PART_PRELUDE && f->n == 0)
		f->left = PRELUDE;
	while (b.n) {
		struct bytes part = { b.p, b.n < f->left ? b.n : f->left };

		if (f->part == PART_PAYLOAD && f->chunk)
			chunk_feed(r, part);
		else if (f->part == PART_PAYLOAD)
			reply_doc(r, part);
		else
			keep(f, part);
		f->left -= part.n;
		b = bytes_from(b, part.n);
		while (f->left == 0)
			if (!part_end(r)) {
				r->form = REPLY_OPAQUE;
				return;
			}
	}
}

bool frame_gap(struct reply *r, uint64_t n)
{
	struct frame *f = &r->frame;

	/* inside one payload the frames keep their places */
	if (f->part != PART_PAYLOAD || n >= f->left)
		return false;
	f->left -= n;
	json_gap(&r->scan);
	chunk_gap(r);
	return true;
}
