/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * WebSocket (RFC 6455): what a connection carries after HTTP's 101 Switching Protocols. Its bytes tell nobody so, which is why
 * it is in no table: the HTTP parser hands over. Frames are timed, payloads are never read: they are compressed or the user's.
 *
 * A message of the client opens a call unless one is open; the first message of the server that ends behind it answers the call.
 * Pings, pongs and closing frames are no part of either; a server that sends unasked opens nothing.
 */
#ifndef PROTO_WEBSOCKET_H
#define PROTO_WEBSOCKET_H
#include "proto/proto.h"

/* What its calls are called, by the request that made it. */
struct websocket_name {
	char host[128];
	char op[CALL_OP_MAX]; /* "WEBSOCKET /v1/realtime" */
	bool llm;             /* an LLM's, by its path */
};

extern const struct proto proto_websocket;

/* Before its first byte. */
void websocket_name(void *state, const struct websocket_name *name);

/* For who masks frames as well. dir: DIR_OUT is the client's. */
#define WEBSOCKET_HEADER_MAX 14 /* two bytes, a length of up to eight, a mask of four */

struct websocket_frame {
	bool fin, control;
	uint64_t payload;
};

/* The length of a frame's header as far as its first n bytes tell (2 until they are there), 0: it is none. */
size_t websocket_header_size(int dir, const uint8_t *h, size_t n);
/* Of a whole header. False: a length that none may have. */
bool websocket_header_read(const uint8_t *h, struct websocket_frame *ret);
/* Whole frames from the first byte to the last? */
bool websocket_frames_fit(int dir, struct bytes b);
#endif
