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
#endif
