/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the fields of an exchange with an LLM say beside its bodies: of the request how long the client will wait, of the reply
 * its id at the provider, what is left of the limits, counts of tokens.
 */
#ifndef PROTO_HTTP_SAID_H
#define PROTO_HTTP_SAID_H
#include "call.h"
#include "proto/http_head.h"

void http_said_request(const struct http_head *h, struct call *c);
void http_said_reply(const struct http_head *h, struct llm_call *l);
/* Seconds the reply asks to wait before another try, -1 not told. */
double http_said_retry_after(const struct http_head *h);
/* Tokens in and out as counted by who passes the model on, -1 not told. */
void http_said_tokens(const struct http_head *h, int64_t *in, int64_t *out);
#endif
