/* SPDX-License-Identifier: BSD-2-Clause */
/* What is particular to connections of HTTP/2: many calls at once, some of which were on their way when we came. */
#ifndef PROTO_HTTP2_H
#define PROTO_HTTP2_H
#include "proto/proto.h"

/* c was known to be in flight before the protocol was: the first stream that began unseen is its. Only where http2_unseeded():
 * none showed yet, else c may be that one. */
bool http2_unseeded(const void *state);
void http2_seed(void *state, struct call *c);

/* The connection became HTTP/2 by the reply to x, a request of HTTP/1.1 (RFC 7540, 3.2): x is taken over and is the first
 * stream. sent: all of it was. blocks: of the replies, what the next slices decode to, see http_body.h; taken over, too. */
struct http_exchange;
struct http_blocks;
void http2_upgraded(void *state, struct http_exchange *x, bool sent, struct http_blocks *blocks,
                    const struct stamp *at);
#endif
