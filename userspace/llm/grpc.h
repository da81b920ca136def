/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Gemini over gRPC (googleapis, google/ai/generativelanguage/v1beta): what reply.c and request.c read of JSON, read of Protocol
 * Buffers by the numbers of their fields.
 */
#ifndef LLM_GRPC_H
#define LLM_GRPC_H
#include "call.h"
#include "llm/facts.h"

struct llm_grpc {
	struct call *call;
	enum llm_kind kind;
	struct facts all;
	struct llm_message *messages; /* LLM_HISTORY_MAX at most, a ring */
	uint64_t pushed;
	unsigned int replies; /* messages that came */
	bool cut;             /* part of the request was not seen */
};

/* Is message, whatever path it was sent to, a request for a chat? An embedding's names a model, too, but who says it only a
 * conversation does. */
bool llm_grpc_is_chat(struct bytes message);

void llm_grpc_init(struct llm_grpc *g, struct call *c, enum llm_kind kind);
void llm_grpc_free(struct llm_grpc *g);
void llm_grpc_request(struct llm_grpc *g, struct bytes message, bool cut);
void llm_grpc_request_end(struct llm_grpc *g);
void llm_grpc_reply(struct llm_grpc *g, struct bytes message, bool cut, uint64_t ts_ns);
/* complete: the reply is. */
void llm_grpc_end(struct llm_grpc *g, bool complete);
#endif
