/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Protocol Buffers' wire format (protobuf.dev/programming-guides/encoding): a message is fields,
 * each a number, a type and a value; what they mean only its .proto knows. protobuf_next() walks a
 * message that is there; a protobuf_scan takes one that arrives in pieces, with holes, of any size.
 * Groups (types 3 and 4), which proto3 does not have, are malformed to both.
 */
#ifndef BASE_PROTOBUF_H
#define BASE_PROTOBUF_H
#include "buf.h"

/* What a scan keeps of the contents of one field: counters, statuses and messages fit many times. */
#define PROTOBUF_FIELD_MAX (64 << 10)

enum protobuf_type {
	PROTOBUF_VARINT = 0,
	PROTOBUF_FIXED64 = 1,
	PROTOBUF_BYTES = 2, /* strings, messages, packed lists */
	PROTOBUF_FIXED32 = 5,
};

struct protobuf_field {
	uint32_t number; /* 1 or more */
	enum protobuf_type type;
	uint64_t value;     /* VARINT, FIXED32, FIXED64; else 0 */
	struct bytes bytes; /* BYTES: its contents, a view into the message; else empty */
	bool cut;           /* bytes is the beginning only: the rest was lost, or is not kept */
};

/* Takes the next field off *rest. False at the end of the message, where *rest is empty then, and at
 * what is malformed or not all there, where it is not. Contents that *rest does not hold to their
 * end are given as cut, and are the last. */
bool protobuf_next(struct bytes *rest, struct protobuf_field *f);

/* Two's complement, as int32 and int64 are sent. */
static inline int64_t protobuf_int(const struct protobuf_field *f)
{
	return (int64_t)f->value;
}

static inline double protobuf_double(const struct protobuf_field *f)
{
	double d;

	memcpy(&d, &f->value, sizeof(d));
	return d;
}

enum protobuf_state {
	PROTOBUF_OPEN, /* so far all is well */
	PROTOBUF_BAD,  /* not protobuf */
	PROTOBUF_CUT,  /* a gap went through more than the contents of a field; or no memory */
};

/* f is valid during the callback. */
typedef void protobuf_callback(void *ctx, const struct protobuf_field *f);

/* Reports the outermost fields of one message as they are complete. */
struct protobuf_scan {
	enum protobuf_state state;
	/* the rest is the scan's own */
	protobuf_callback *field;
	void *ctx;
	struct protobuf_field f; /* whose contents are coming */
	uint64_t left;           /* bytes of them still to come */
	struct buf kept;
	uint8_t head[20]; /* key and value, or length, as far as they came */
	uint8_t head_n;
};

void protobuf_init(struct protobuf_scan *s, protobuf_callback *field, void *ctx);
void protobuf_feed(struct protobuf_scan *s, struct bytes b);
/* n bytes were lost: UINT64_MAX, or more than the contents they are in, and the rest is not read. */
void protobuf_gap(struct protobuf_scan *s, uint64_t n);
/* Is what came a whole number of fields? */
bool protobuf_whole(const struct protobuf_scan *s);
void protobuf_free(struct protobuf_scan *s);
#endif
