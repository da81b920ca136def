/* SPDX-License-Identifier: BSD-2-Clause */
/* A field's head is its key, then its value or the length of its contents: at most 20 bytes. */
#include "protobuf.h"

/* A varint of 64 bits takes no more. */
#define VARINT_MAX 10
/* Field numbers have 29 bits. */
#define NUMBER_MAX 0x1fffffff

enum taken { TAKEN, TAKEN_SHORT /* more bytes are needed */, TAKEN_BAD };

static enum taken take_varint(struct bytes *b, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < VARINT_MAX; i++) {
		uint8_t byte;

		if (i == b->n)
			return TAKEN_SHORT;
		byte = (uint8_t)b->p[i];
		if (i == VARINT_MAX - 1 && byte > 1) /* bits 64 and up */
			return TAKEN_BAD;
		v |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte & 0x80)
			continue;
		*b = bytes_from(*b, i + 1);
		*ret = v;
		return TAKEN;
	}
	return TAKEN_BAD;
}

/* Little-endian, n bytes of it. */
static enum taken take_fixed(struct bytes *b, size_t n, uint64_t *ret)
{
	uint64_t v = 0;

	if (b->n < n)
		return TAKEN_SHORT;
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)(uint8_t)b->p[i] << (8 * i);
	*b = bytes_from(*b, n);
	*ret = v;
	return TAKEN;
}

/* All of a field but the contents of BYTES, whose length goes to f->value. */
static enum taken take_head(struct bytes *b, struct protobuf_field *f)
{
	struct bytes rest = *b;
	enum taken t;
	uint64_t key;

	*f = (struct protobuf_field){ .bytes = { rest.p, 0 } };
	t = take_varint(&rest, &key);
	if (t != TAKEN)
		return t;
	if (key >> 3 == 0 || key >> 3 > NUMBER_MAX)
		return TAKEN_BAD;
	f->number = (uint32_t)(key >> 3);
	f->type = (enum protobuf_type)(key & 7);
	switch (f->type) {
	case PROTOBUF_VARINT:
	case PROTOBUF_BYTES:
		t = take_varint(&rest, &f->value);
		break;
	case PROTOBUF_FIXED64:
		t = take_fixed(&rest, 8, &f->value);
		break;
	case PROTOBUF_FIXED32:
		t = take_fixed(&rest, 4, &f->value);
		break;
	default:
		t = TAKEN_BAD;
	}
	if (t == TAKEN)
		*b = rest;
	return t;
}

bool protobuf_next(struct bytes *rest, struct protobuf_field *f)
{
	uint64_t n;

	if (take_head(rest, f) != TAKEN)
		return false;
	if (f->type != PROTOBUF_BYTES)
		return true;
	n = f->value;
	f->value = 0;
	f->cut = n > rest->n;
	f->bytes = (struct bytes){ rest->p, f->cut ? rest->n : (size_t)n };
	*rest = bytes_from(*rest, f->bytes.n);
	return true;
}

void protobuf_init(struct protobuf_scan *s, protobuf_callback *field, void *ctx)
{
	*s = (struct protobuf_scan){ .field = field, .ctx = ctx };
}

static void report(struct protobuf_scan *s)
{
	s->f.bytes = s->kept.n ? buf_bytes(&s->kept) : (struct bytes){ "", 0 };
	s->field(s->ctx, &s->f);
	s->kept.n = 0;
	s->head_n = 0;
}

/* One byte more of a head. */
static void feed_head(struct protobuf_scan *s, char c)
{
	struct bytes b = { (const char *)s->head, s->head_n + 1u };
	enum taken t;

	s->head[s->head_n++] = (uint8_t)c;
	t = take_head(&b, &s->f);
	if (t == TAKEN_BAD)
		s->state = PROTOBUF_BAD;
	if (t != TAKEN)
		return;
	if (s->f.type == PROTOBUF_BYTES) {
		s->left = s->f.value;
		s->f.value = 0;
	}
	if (!s->left)
		report(s);
}

static void feed_contents(struct protobuf_scan *s, struct bytes b)
{
	size_t keep = s->f.cut ? 0 : PROTOBUF_FIELD_MAX - s->kept.n;

	if (keep < b.n)
		s->f.cut = true;
	if (!buf_add(&s->kept, b.p, keep < b.n ? keep : b.n)) {
		s->state = PROTOBUF_CUT;
		return;
	}
	s->left -= b.n;
	if (!s->left)
		report(s);
}

void protobuf_feed(struct protobuf_scan *s, struct bytes b)
{
	while (b.n && s->state == PROTOBUF_OPEN) {
		struct bytes part = { b.p, s->left < b.n ? (size_t)s->left : b.n };

		if (!s->left)
			part.n = 1;
		b = bytes_from(b, part.n);
		if (s->left)
			feed_contents(s, part);
		else
			feed_head(s, *part.p);
	}
}

void protobuf_gap(struct protobuf_scan *s, uint64_t n)
{
	if (s->state != PROTOBUF_OPEN || !n)
		return;
	if (n > s->left) {
		s->state = PROTOBUF_CUT;
		return;
	}
	s->f.cut = true;
	s->left -= n;
	if (!s->left)
		report(s);
}

bool protobuf_whole(const struct protobuf_scan *s)
{
	return s->state == PROTOBUF_OPEN && !s->left && !s->head_n;
}

void protobuf_free(struct protobuf_scan *s)
{
	buf_free(&s->kept);
}
