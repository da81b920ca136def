/* SPDX-License-Identifier: BSD-2-Clause */
/* The JSON body of a request to an LLM: model, whether it streams, and the conversation as roles
 * and hashes. */
#ifndef LLM_REQUEST_H
#define LLM_REQUEST_H
#include "llm/message.h"
#include "llm/path.h"
#include "llm/tail.h"

#define REQUEST_MODEL_MAX 96 /* longest name of a model looked at */

struct request {
	struct llm_call *call;
	const struct llm_path *path;
	struct json_scan scan;
	struct tail tail;
	bool gap;
	bool object;  /* the document is one */
	bool in_tail; /* reading what came after a gap: the list has a hole */
	bool listed;  /* a field that holds a conversation was there */
	bool in_list;
	char list[16];          /* name of the list being read, "" none */
	struct message message; /* of the list, or a whole prompt */
	bool more;              /* another field that belongs to the API was there */
	/* Cohere: the newest message stands beside the list, before or behind it */
	bool in_late, has_late, late_tool;
	uint64_t late;
	size_t model_n;
	char model[REQUEST_MODEL_MAX];
	/* the newest messages, as a ring until the end */
	struct llm_message *ring;
	uint32_t ring_room;
	uint64_t pushed;
	bool ring_full; /* no memory: messages were left out */
};

void request_init(struct request *r, struct llm_call *call, const struct llm_path *path);
void request_free(struct request *r);
void request_feed(struct request *r, struct bytes b);
void request_gap(struct request *r);
/* Fills call's history. False if the body was seen whole and is no LLM request. */
bool request_end(struct request *r);
#endif
