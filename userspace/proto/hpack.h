/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Header compression of HTTP/2 (RFC 7541) as an observer needs it: one decoder for each direction, which has to see every
 * header block. Where it came late, or missed one, the table's older entries are unknown: they read as fields without a
 * name, and all that is sent from then on decodes. libnghttp2 does the decoding.
 */
#ifndef PROTO_HPACK_H
#define PROTO_HPACK_H
#include "base/bytes.h"

struct hpack;

/* name.n is 0 where the name is not known; then the value need not be true either. */
typedef void hpack_field(void *ctx, struct bytes name, struct bytes value);

/* from_start: the direction was seen from its first byte. NULL: out of memory. */
struct hpack *hpack_new(bool from_start);
void hpack_free(struct hpack *h);
/* A header block, or part of one, was missed: what it left in the table is unknown. */
void hpack_forget(struct hpack *h);
/* A piece of the header block; last: its end. False: that is no header block. What is in the table is unknown from then on,
 * and the rest of this block must not be fed. */
bool hpack_feed(struct hpack *h, struct bytes piece, bool last, hpack_field *field, void *ctx);
#endif
