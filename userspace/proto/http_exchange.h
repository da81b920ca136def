/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One HTTP request and its reply (RFC 9110), whichever version frames them: fills the call, hands the decoded bodies to
 * their readers (LLM, store, the turn a served request asks for), says how it ended. The framing, and which reply is whose, are
 * http1.c's and its siblings'.
 */
#ifndef PROTO_HTTP_EXCHANGE_H
#define PROTO_HTTP_EXCHANGE_H
#include "proto/http_head.h"
#include "proto/proto.h"

struct http_exchange;

/* A request begins; first: its first byte. Opens the call; where the sink has none to give the exchange is an empty one, so
 * that framing can go on. NULL: out of memory. */
struct http_exchange *http_exchange_new(struct call_sink *sink, const char *proto,
                                        const struct stamp *first);

/* The same of a request that began before we came, or was lost: its first byte was not seen. seeded: the call that stands for it
 * already, which is taken over, NULL none. */
struct http_exchange *http_exchange_late(struct call_sink *sink, const char *proto,
                                         struct call *seeded, enum partial why,
                                         const struct stamp *at);
/* The protocol that carries it from now on; a static name. */
void http_exchange_proto(struct http_exchange *x, const char *proto);
/* Its number on a connection that it shares with others. */
void http_exchange_stream(struct http_exchange *x, uint32_t stream);

/* Shows the request's fields as they come to who reads them: h is the head they are collected in. */
void http_exchange_head(struct http_exchange *x, struct http_head *h);
/* The head of the request is complete. target: as in a request line (origin, absolute, or CONNECT's authority form), may have a
 * query; authority: of HTTP/2's :authority, outranks Host; cut: its end, which decides, is missing. What was not seen of them
 * has no bytes. */
void http_exchange_request(struct http_exchange *x, const struct http_head *h, struct bytes method,
                           struct bytes target, struct bytes authority, bool cut);
/* The request is complete at `at`. */
void http_exchange_sent(struct http_exchange *x, const struct stamp *at);
/* It never will be seen complete: what was read of it is as complete as it gets. */
void http_exchange_request_cut(struct http_exchange *x);

/* The final reply's status is known; first: its first byte. May be called again. */
void http_exchange_reply_began(struct http_exchange *x, unsigned int status,
                               const struct stamp *first);
/* The head of the final reply is complete. */
void http_exchange_reply(struct http_exchange *x, const struct http_head *h, unsigned int status);

/* The connection becomes a WebSocket by this reply: what its calls are called, by its request. */
struct websocket_name;
void http_exchange_socket(const struct http_exchange *x, struct websocket_name *ret);
/* The fields behind the body of the reply. unknown: how many of them cannot be read. */
void http_exchange_trailers(struct http_exchange *x, const struct http_head *h,
                            unsigned int unknown);

/* The request in transmission, or the reply, has n more bytes, framing included. */
void http_exchange_count_out(struct http_exchange *x, uint64_t total);
void http_exchange_count_in(struct http_exchange *x, uint64_t n, const struct stamp *at);

/* The body of the request goes out in frames, the first of n bytes: may be called for each. */
void http_exchange_frame(struct http_exchange *x, uint32_t n);

/* For http_body.c. dir: DIR_OUT the request's. Somebody reads that body; its decoded bytes; n of them were lost; and the call
 * must say so. */
bool http_exchange_is_read(const struct http_exchange *x, int dir);
void http_exchange_body(struct http_exchange *x, int dir, struct bytes b, uint64_t ts_ns);
void http_exchange_body_gap(struct http_exchange *x, int dir, uint64_t n);
void http_exchange_partial(struct http_exchange *x, enum partial why);

/* A message of gRPC, its prefix and its compression undone; cut: its end is missing, or all of it. */
void http_exchange_grpc_message(struct http_exchange *x, int dir, struct bytes message, bool cut,
                                uint64_t ts_ns);

/* Its client said how long it would wait, and that time is over. */
bool http_exchange_overdue(const struct http_exchange *x, const struct stamp *at);

/* Part of the call was not seen, whoever reads it. */
void http_exchange_unseen(struct http_exchange *x, enum partial why);

/* It ended, complete or not; kind: error_kind, "" none. The call goes to the sink, x is freed. A refusal counts even when the
 * rest of the reply is missing. */
void http_exchange_end(struct http_exchange *x, enum call_status status, const char *kind,
                       bool complete, const struct stamp *at);

/* How the exchanges of a connection end that ended so. */
enum call_status http_exchange_ending(enum done_why why, const char **kind);
/* 1xx but 101: the final reply is still to come. */
bool http_exchange_interim(unsigned int status);
#endif
