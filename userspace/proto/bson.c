/* SPDX-License-Identifier: BSD-2-Clause */
/* BSON, a byte at a time but for the values nobody asks for. */
#include "proto/bson.h"

#include <math.h>

#include "proto/collect.h"

enum {
	T_DOUBLE = 0x01,
	T_STRING = BSON_STRING,
	T_DOCUMENT = 0x03,
	T_ARRAY = 0x04,
	T_BINARY = 0x05,
	T_BOOL = 0x08,
	T_REGEX = 0x0b,
	T_INT32 = 0x10,
	T_INT64 = 0x12,
	T_SCOPED = 0x0f, /* deprecated: code with a scope, its length in front includes itself */
};

void bson_start(struct bson *b, void (*element)(void *ctx, const struct bson *b), void *ctx)
{
	memset(b, 0, sizeof(*b));
	b->element = element;
	b->ctx = ctx;
	b->at = BSON_AT_SIZE;
	b->want = 4;
}

static void collect(struct bson *b, uint8_t at, unsigned want)
{
	b->at = at;
	b->n = 0;
	b->want = want;
}

/* Of n bytes the innermost document, and all around it, have so much less. */
static bool pass(struct bson *b, uint64_t n)
{
	for (unsigned i = 0; i < b->depth; i++) {
		if (b->left[i] < n)
			return false;
		b->left[i] -= n;
	}
	return true;
}

static void told(struct bson *b)
{
	b->element(b->ctx, b);
	b->index += b->depth == 1;
	b->at = BSON_AT_TYPE;
}

/* A document's size is complete. */
static bool opened(struct bson *b)
{
	uint32_t size = le32(b->b);

	if (size < 5 || size > BSON_MAX || b->depth == BSON_DEPTH_MAX)
		return false;
	if (b->depth && b->left[b->depth - 1] + 4 < size)
		return false;
	b->left[b->depth++] = size - 4;
	b->at = BSON_AT_TYPE;
	return true;
}

static bool closed(struct bson *b)
{
	if (b->left[b->depth - 1])
		return false;
	b->done = --b->depth == 0;
	b->at = BSON_AT_TYPE;
	return true;
}

/* Behind a name: what the value of this type begins with. */
static bool value(struct bson *b)
{
	b->number = 0;
	b->text[0] = '\0';
	switch (b->type) {
	case T_DOUBLE:
	case 0x09: /* date */
	case 0x11: /* timestamp */
	case T_INT64:
		collect(b, BSON_AT_FIXED, 8);
		return true;
	case T_INT32:
		collect(b, BSON_AT_FIXED, 4);
		return true;
	case T_BOOL:
		collect(b, BSON_AT_FIXED, 1);
		return true;
	case T_STRING:
	case 0x0d: /* code */
	case 0x0e: /* symbol */
	case 0x0c: /* pointer: a string and 12 bytes */
	case T_BINARY:
	case T_SCOPED:
		collect(b, BSON_AT_LENGTH, 4);
		return true;
	case T_DOCUMENT:
	case T_ARRAY:
		b->element(b->ctx, b);
		b->index += b->depth == 1;
		collect(b, BSON_AT_SIZE, 4);
		return true;
	case 0x07: /* object id */
	case 0x13: /* decimal */
		b->skip = b->type == 0x07 ? 12 : 16;
		b->keep = false;
		b->at = BSON_AT_SKIP;
		return true;
	case T_REGEX:
		b->at = BSON_AT_CSTRING;
		return true;
	case 0x06: /* undefined, null, and the two ends of all keys */
	case 0x0a:
	case 0x7f:
	case 0xff:
		told(b);
		return true;
	default:
		return false;
	}
}

static void fixed(struct bson *b)
{
	double d;

	if (b->type == T_DOUBLE) {
		memcpy(&d, b->b, sizeof(d));
		b->number = isfinite(d) && fabs(d) < 9e15 ? (int64_t)d : 0;
		/* ok: 0.5 would be neither */
		if (!b->number && isfinite(d) && d != 0)
			b->number = 1;
	} else {
		b->number = b->want == 8   ? (int64_t)le64(b->b)
		            : b->want == 4 ? (int32_t)le32(b->b)
		                           : b->b[0];
	}
	told(b);
}

static bool length(struct bson *b)
{
	uint32_t n = le32(b->b);

	if (n > BSON_MAX)
		return false;
	if (b->type == T_BINARY)
		n += 1;
	else if (b->type == 0x0c)
		n += 12;
	else if (b->type == T_SCOPED && n < 4)
		return false;
	else if (b->type == T_SCOPED)
		n -= 4;
	b->keep = b->type == T_STRING && n <= BSON_KEPT;
	b->skip = n;
	b->n = 0;
	b->at = BSON_AT_SKIP;
	if (!n && b->type != T_STRING)
		told(b);
	return n || b->type != T_STRING;
}

/* One byte of the structure. */
static bool byte(struct bson *b, uint8_t c)
{
	switch (b->at) {
	case BSON_AT_TYPE:
		b->nname = 0;
		b->type = c;
		b->at = BSON_AT_NAME;
		return c || closed(b);
	case BSON_AT_NAME:
		if (c) {
			if (b->nname < BSON_KEPT - 1)
				b->name[b->nname++] = (char)c;
			else
				b->name[0] = '\0'; /* too long for any we know */
			return true;
		}
		b->name[b->nname] = '\0';
		return value(b);
	case BSON_AT_CSTRING:
		b->at = c ? BSON_AT_CSTRING : BSON_AT_CSTRING2;
		return true;
	case BSON_AT_CSTRING2:
		if (!c)
			told(b);
		return true;
	default:
		b->b[b->n++] = c;
		if (b->n < b->want)
			return true;
		if (b->at == BSON_AT_SIZE)
			return opened(b);
		if (b->at == BSON_AT_LENGTH)
			return length(b);
		fixed(b);
		return true;
	}
}

static size_t skip(struct bson *b, struct bytes in)
{
	size_t n = bytes_upto(in, b->skip);

	for (size_t i = 0; b->keep && i < n && b->n < BSON_KEPT - 1; i++)
		b->text[b->n++] = in.p[i];
	b->skip -= n;
	b->bad = !pass(b, n);
	if (b->skip || b->bad)
		return n;
	if (b->keep)
		b->text[b->n] = '\0';
	told(b);
	return n;
}

bool bson_gap(struct bson *b, uint64_t n)
{
	if (b->at != BSON_AT_SKIP || b->keep || n >= b->skip || !pass(b, n))
		return false;
	b->skip -= n;
	return true;
}

size_t bson_feed(struct bson *b, struct bytes in)
{
	size_t n = 0;

	while (n < in.n && !b->done && !b->bad) {
		if (b->at == BSON_AT_SKIP) {
			n += skip(b, bytes_from(in, n));
			continue;
		}
		if (!pass(b, 1) || !byte(b, (uint8_t)in.p[n]))
			b->bad = true;
		n++;
	}
	return n;
}
