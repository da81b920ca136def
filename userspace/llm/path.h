/* SPDX-License-Identifier: BSD-2-Clause */
/* Which LLM API a request is for, from its method, path and host alone: a table of path
 * suffixes. */
#ifndef LLM_PATH_H
#define LLM_PATH_H
#include "call.h"

/* Whose rules the bodies follow. */
enum llm_shape {
	SHAPE_OPENAI, /* and all who copy it: chat, completions, responses, embeddings */
	SHAPE_ANTHROPIC,
	SHAPE_GEMINI,
	SHAPE_OLLAMA,
	SHAPE_BEDROCK,
	SHAPE_COHERE,
	SHAPE_TGI, /* text-generation-inference: "inputs" */
};

struct llm_path {
	enum llm_kind kind; /* LLM_NONE: not a path we know */
	enum llm_shape shape;
	bool streams;         /* the path says so, or the API does unless told otherwise */
	bool grpc;            /* its messages are Protocol Buffers */
	bool array;           /* streams as the elements of one JSON array, unless as SSE */
	bool vague;           /* others have such a path, too: the body must show more of the API */
	bool named;           /* the host is the provider's own */
	bool guessed;         /* nothing but the body tells */
	const char *provider; /* by host, else by shape; static */
	char model[96];       /* from the path, "" none */
};

/* host: with its port, "" not known. */

void llm_path_read(struct llm_path *p, struct bytes method, struct bytes path, struct bytes host);
#endif
