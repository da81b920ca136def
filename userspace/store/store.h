/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads one exchange with a store that speaks HTTP or gRPC: which operation it is, by the tables of route.c, and whether
 * it went well, also where the HTTP status says so and the body does not. Fed by an HTTP parser with decoded bodies
 * (chunking and content encoding removed). Of a body only what the rules of rule.c name is looked at, and nothing of
 * it is kept but an identifier of the error.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H
#include "call.h"

struct store;

/* What a request's head shows. All bytes are the caller's and valid during store_new(). */
struct store_request {
	struct bytes method;
	struct bytes path; /* of the target, from its first '/' on, the query included */
	struct bytes host; /* "" none */
	const char *
		system; /* what port, options or an earlier exchange tell: "qdrant", ...; "" nothing */
	bool grpc;      /* its content type is application/grpc */
	bool typesense_key; /* it has a header X-TYPESENSE-API-KEY */
	bool copy_source;   /* ... x-amz-copy-source */
	struct bytes
		authorization; /* of that header, "" none; only its scheme and scope are read */
};

/*
 * NULL when this is no request to a store, as far as a request can tell, or out of memory. Where it can tell, c is
 * named at once: store, op, write, op_known, blocks, and class where it is a health check. Else the reply has to show whose
 * it is, and until then c is as it was. c must outlive the reader.
 */
struct store *store_new(struct call *c, const struct store_request *r);
void store_free(struct store *s);

/* A reply's head: its status, then headers of it, of which X-elastic-product tells something; then its body. */
void store_response_head(struct store *s, int status);
void store_response_field(struct store *s, struct bytes name, struct bytes value);
void store_response_body(struct store *s, struct bytes b);
void store_response_gap(struct store *s, uint64_t n);
/* Whose the exchange is is known by now. */
bool store_known(const struct store *s);
/* What is still to come of the body may change what is known. Once false, always false. */
bool store_reads(const struct store *s);
/* gRPC, in place of the two above: a message of the reply, its five-byte prefix removed; cut: only its beginning. n is 0 and
 * cut is set for one of which nothing was seen. */
void store_grpc_message(struct store *s, struct bytes message, bool cut);
/*
 * The reply ended; complete is false when the connection broke before. c->status is set already as HTTP or grpc-status tells
 * it: this changes it, and c->error_kind, where the body tells more. An outcome that stood in a part that was not seen is
 * CALL_UNKNOWN.
 */
void store_response_end(struct store *s, bool complete);
#endif
