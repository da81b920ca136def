/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads the bodies of one exchange with an LLM endpoint: model, roles and hashes of the conversation, token
 * counters by each provider's rules, first content, errors. Fed by an HTTP parser with decoded bodies (chunking and
 * content encoding removed). Texts are hashed and forgotten.
 */
#ifndef LLM_LLM_H
#define LLM_LLM_H
#include "call.h"

struct llm;

/* Could a request like this be an LLM call? Recognised by path suffix (see docs/metrics.md), whatever the host: proxies
 * and local servers reuse the same paths. host may be "". NULL if not, or out of memory. c->llm is set and filled as the
 * exchange is read; c must outlive the reader. The body decides in the end (see llm_request_end). */
struct llm *llm_new(struct call *c, struct bytes method, struct bytes path, struct bytes host);
/* The same for a POST whose path was not seen: only a body that names a model and holds a conversation in a form that nothing
 * else has is taken. */
struct llm *llm_new_unnamed(struct call *c, struct bytes host);
/* The same of gRPC, by the first message of the request: only one that is unmistakably a chat with Gemini is taken. */
struct llm *llm_new_grpc_unnamed(struct call *c, struct bytes message);
void llm_free(struct llm *l);

void llm_request_body(struct llm *l, struct bytes b);
void llm_request_gap(struct llm *l, uint64_t n);
/* The request is complete. False if its shape is not an LLM call's after all: c->llm is then freed and NULL, and the
 * caller must llm_free(l) and go on without. */
bool llm_request_end(struct llm *l);

/* content_type: value of the header, any parameters included; "" when missing. */
void llm_response_head(struct llm *l, int status, struct bytes content_type);
/* It is an LLM call. False while only the rest of the request can tell. */
bool llm_sure(const struct llm *l);

/* What the reply's header counts, -1 not told, and the error it names (a status of 400 and more), "" none. Counters of the
 * body are the better ones. */
void llm_response_metered(struct llm *l, int64_t in, int64_t out);
void llm_response_error(struct llm *l, struct bytes kind);
void llm_response_body(struct llm *l, struct bytes b, uint64_t ts_ns);
void llm_response_gap(struct llm *l, uint64_t n);
/* gRPC, in place of the bodies above: a message, its prefix and its compression removed. cut: its end is missing, or all of it. */
void llm_grpc_message(struct llm *l, bool request, struct bytes message, bool cut, uint64_t ts_ns);
/* The reply ended; complete is false when the connection broke before. Sets c->status and c->error_kind when the body
 * tells more than the HTTP status (in-stream errors, refusals of quota), c->llm->finished, tokens, model. */
void llm_response_end(struct llm *l, bool complete);

/* Is that the path of a WebSocket to an LLM: OpenAI's Realtime and Responses, Gemini's Live? */
bool llm_socket(struct bytes path);

/* "openai" for api.openai.com and so on; NULL for hosts that are no LLM provider's. For connections with no plaintext,
 * and to tell providers that share a path apart. */
const char *llm_provider_of_host(struct bytes host);
#endif
