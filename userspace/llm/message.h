/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One message of a conversation in JSON: who says it, and a hash of what is said, by the same rules wherever it stands, so
 * that a message is known again from one request to another. The text is never kept.
 */
#ifndef LLM_MESSAGE_H
#define LLM_MESSAGE_H
#include "base/json_scan.h"
#include "call.h"

/* Longest string that is compared with a name: a role, a type. */
#define MESSAGE_WORD_MAX 64

struct message {
	bool open;      /* it is being read */
	bool tool;      /* holds the result of a tool */
	unsigned depth; /* of the value in the document */
	uint64_t hash;  /* 0: nothing was said */
	enum llm_role role;
	enum llm_role type_role; /* where only the type of the element tells */
	/* the string being read */
	uint8_t word_is;
	bool word_long, hashed;
	uint8_t word_n;
	char word[MESSAGE_WORD_MAX];
};

/* A message begins with the next token, at that depth; role as far as it is known without it. */
void message_begin(struct message *m, unsigned depth, enum llm_role role);
/* A token of the message, the value itself included. True: it was the last one. */
bool message_token(struct message *m, const struct json_scan *s, const struct json_token *t);
/* Whose it is; otherwise: where it does not say. */
enum llm_role message_role(const struct message *m, enum llm_role otherwise);
#endif
