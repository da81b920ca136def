/* SPDX-License-Identifier: BSD-2-Clause */
/* What is particular to connections of HTTP/2: many calls at once, some of which were on their way when we came. */
#ifndef PROTO_HTTP2_H
#define PROTO_HTTP2_H
#include "proto/proto.h"

/* c was known to be in flight before the protocol was: the first stream that began unseen is its. */
void http2_seed(void *state, struct call *c);
#endif
