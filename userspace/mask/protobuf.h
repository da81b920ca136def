/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages of gRPC: their structure stays, and of what is known of them what its reader reads. */
#ifndef MASK_PROTOBUF_H
#define MASK_PROTOBUF_H
#include "mask/mask.h"

enum mask_message {
	MASK_MESSAGE,      /* nothing of its values */
	MASK_CHAT_REQUEST, /* llm/grpc.c: models, roles, counters */
	MASK_CHAT_REPLY,
	MASK_MILVUS_REPLY,   /* store/store.c: its status */
	MASK_WEAVIATE_REPLY, /* how many objects failed */
};

/* Masks one whole message in place: field numbers and lengths stay, every text is masked and every other value zeroed. */
void mask_protobuf(const uint8_t *key, char *p, size_t n, enum mask_message kind);
#endif
