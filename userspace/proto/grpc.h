/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gRPC on top of HTTP (github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md): cuts a body into its messages, reads the names and
 * numbers of its headers. The messages go to http_exchange_grpc_message().
 */
#ifndef PROTO_GRPC_H
#define PROTO_GRPC_H
#include "base/buf.h"
#include "call.h"
#include "proto/decode.h"

struct http_exchange;

/* What is kept of one message: gRPC's own limit of what is received, unless it is raised. */
#define GRPC_MESSAGE_MAX (4u << 20)

#define GRPC_PREFIX 5 /* whether it is compressed, its length in four bytes */

/* The messages of one direction. All zero but the coding is a beginning. */
struct grpc_messages {
	enum coding coding; /* of those that say they are compressed */
	bool lost;          /* where the next one begins is not known */
	bool holed;         /* a part of the one under way is missing */
	uint8_t nprefix;
	uint8_t prefix[GRPC_PREFIX];
	uint32_t left; /* bytes to come of it */
	struct buf kept;
};

/* dir: enum event_dir, DIR_OUT those of the request. */
void grpc_feed(struct grpc_messages *m, struct http_exchange *x, int dir, struct bytes b,
               uint64_t ts_ns);
/* n bytes were lost, GAP_UNKNOWN: nobody knows how many. */
void grpc_gap(struct grpc_messages *m, struct http_exchange *x, int dir, uint64_t n,
              uint64_t ts_ns);
void grpc_free(struct grpc_messages *m);

/* Of a Content-Type. */
bool grpc_content_type(struct bytes type);
/* Of a grpc-timeout, in seconds; < 0 it is none. */
double grpc_timeout_s(struct bytes value);
/* The outcome by a grpc-status; kind: its name ("" for 0 and those without one). False: it is no status. */
bool grpc_outcome(struct bytes value, enum call_status *status, const char **kind);
/* Does the body that begins with prefix, sent in a frame of n bytes, begin with a message? One whole message fills the frame, or
 * does not fit into it. */
bool grpc_fills(struct bytes prefix, uint32_t n);
/* Has it the form "/package.Service/Method"? */
bool grpc_is_path(struct bytes path);
/* The name of the call of a path "/package.Service/Method": leading parts of the package are left out where it is too long. */
void grpc_op(char op[static CALL_OP_MAX], struct bytes path);
/* It only asks whether somebody is there (grpc.health.v1); watch: and is answered when that changes. */
bool grpc_is_health_check(struct bytes path, bool *watch);
#endif
