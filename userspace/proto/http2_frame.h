/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames of HTTP/2 (RFC 9113, 4 and 6): the nine bytes before each, which of them can be genuine, and whether a
 * connection's first bytes are frames.
 */
#ifndef PROTO_HTTP2_FRAME_H
#define PROTO_HTTP2_FRAME_H
#include "proto/proto.h"

#define FRAME_HEAD 9
/* The largest payload unless the receiver allows more (RFC 9113, 6.5.2). */
#define FRAME_MAX_DEFAULT 16384
/* Several whole frames in a row are no accident: each head has over 40 bits that must be right, and its length has to lead to
 * the next one. */
#define FRAMES_PROVE 3

/* RFC 9113, 3.4 */
#define HTTP2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define HTTP2_PREFACE_LEN 24

/* Of the request that asked in HTTP/1.1 for the upgrade (RFC 7540, 3.2) */
#define UPGRADED_STREAM 1

enum frame_type {
	FRAME_DATA,
	FRAME_HEADERS,
	FRAME_PRIORITY,
	FRAME_RST_STREAM,
	FRAME_SETTINGS,
	FRAME_PUSH_PROMISE,
	FRAME_PING,
	FRAME_GOAWAY,
	FRAME_WINDOW_UPDATE,
	FRAME_CONTINUATION,
	FRAME_TYPES
};

enum {
	FLAG_END_STREAM = 0x1,
	FLAG_ACK = 0x1,
	FLAG_END_HEADERS = 0x4,
	FLAG_PADDED = 0x8,
	FLAG_PRIORITY = 0x20
};

/* RFC 9113, 7 */
enum { H2_NO_ERROR = 0, H2_REFUSED_STREAM = 7, H2_CANCEL = 8, H2_ENHANCE_YOUR_CALM = 11 };

struct frame {
	uint32_t length; /* of the payload */
	uint8_t type, flags;
	bool reserved; /* the bit before the stream, which must not be set */
	uint32_t stream;
};

/* p: FRAME_HEAD bytes. */
struct frame frame_read(const char *p);
/* Its length and whose stream it names are as its type has them. Types nobody knows are to be passed over (RFC 9113, 4.1). */
bool frame_legal(const struct frame *f);
/* Would a sender of our day have sent it? What tells frames from other bytes. max: the largest payload. */
bool frame_plausible(const struct frame *f, uint32_t max);
/* What the first bytes of an operation are as a chain of frames; the last may be cut. */
struct frame_chain {
	unsigned whole; /* frames that are all there */
	unsigned heads; /* heads of frames */
	bool proved;    /* headers among them decode and name what every message must have */
	bool request;   /* by those of a request */
	bool broken;    /* something is no frame */
	bool ends;      /* with the last whole frame */
};
struct frame_chain frame_chain(struct bytes b, uint32_t max);
/* Are frames of HTTP/2, and nothing else, what b begins with? */
enum proto_match frames_begin(struct bytes b);
const char *http2_error_name(uint32_t code); /* "CANCEL", ...; NULL: none of RFC 9113's */
#endif
