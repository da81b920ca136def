/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls as plain data: made, freed and named here; filled by the parsers. */
#include "call.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

struct llm_call *llm_call_new(void)
{
	struct llm_call *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->tokens = (struct llm_tokens){ -1, -1, -1, -1 };
	l->said.quota = (struct llm_quota){ -1, -1, -1, -1 };
	return l;
}

void llm_call_free(struct llm_call *l)
{
	if (!l)
		return;
	free(l->history.messages);
	free(l);
}

void llm_request_id(char to[LLM_REQUEST_ID_MAX], struct bytes id)
{
	if (!id.n || id.n >= LLM_REQUEST_ID_MAX)
		return;
	for (size_t i = 0; i < id.n; i++)
		if (!isalnum((unsigned char)id.p[i]) && !memchr("._:-", id.p[i], 4))
			return;
	memcpy(to, id.p, id.n);
	to[id.n] = '\0';
}

void call_init(struct call *c)
{
	*c = (struct call){
		.retry_count = -1, .retry_after_s = -1, .limit_s = -1, .status = CALL_UNKNOWN
	};
}

struct call *call_new(void)
{
	struct call *c = malloc(sizeof(*c));

	if (c)
		call_init(c);
	return c;
}

void call_free(struct call *c)
{
	if (!c)
		return;
	llm_call_free(c->llm);
	free(c->fields);
	free(c);
}

bool call_counts(const struct call *c)
{
	return c->class == CALL_LLM || c->class == CALL_STORAGE;
}

bool call_over_http(const struct call *c)
{
	return c->proto && strncmp(c->proto, "http", 4) == 0;
}

void call_partial(struct call *c, enum partial why)
{
	if (c->partial == PARTIAL_NONE)
		c->partial = why;
}

const char *call_class_name(enum call_class c)
{
	static const char *const names[] = {
		[CALL_OTHER] = "other",
		[CALL_LLM] = "llm",
		[CALL_STORAGE] = "storage",
		[CALL_HEARTBEAT] = "heartbeat",
	};
	return names[c];
}

const char *call_status_name(enum call_status s)
{
	static const char *const names[] = {
		[CALL_OK] = "ok",
		[CALL_ERROR] = "error",
		[CALL_RATE_LIMITED] = "rate_limited",
		[CALL_TIMEOUT] = "timeout",
		[CALL_ABORTED] = "aborted",
		[CALL_UNKNOWN] = "unknown",
	};
	return names[s];
}

const char *partial_name(enum partial p)
{
	static const char *const names[] = {
		[PARTIAL_NONE] = NULL,
		[PARTIAL_ATTACHED_LATE] = "attached_late",
		[PARTIAL_EVENTS_LOST] = "events_lost",
		[PARTIAL_TRUNCATED] = "truncated",
		[PARTIAL_NO_PLAINTEXT] = "no_plaintext",
	};
	return names[p];
}

const char *llm_role_name(enum llm_role r)
{
	static const char *const names[] = {
		[LLM_ROLE_NONE] = NULL,   [LLM_ROLE_SYSTEM] = "system",
		[LLM_ROLE_USER] = "user", [LLM_ROLE_ASSISTANT] = "assistant",
		[LLM_ROLE_TOOL] = "tool",
	};
	return names[r];
}

const char *limit_said_name(enum limit_said l)
{
	static const char *const names[] = {
		[LIMIT_UNSAID] = NULL,         [LIMIT_NONE] = "none", [LIMIT_SILENCE] = "silence",
		[LIMIT_HEAD] = "reply_begins", [LIMIT_CALL] = "call",
	};
	return names[l];
}

enum llm_role llm_role_of_name(const char *name)
{
	static const struct {
		const char *name;
		enum llm_role role;
	} roles[] = {
		{ "system", LLM_ROLE_SYSTEM },       { "developer", LLM_ROLE_SYSTEM },
		{ "user", LLM_ROLE_USER },           { "human", LLM_ROLE_USER },
		{ "assistant", LLM_ROLE_ASSISTANT }, { "model", LLM_ROLE_ASSISTANT },
		{ "ai", LLM_ROLE_ASSISTANT },        { "chatbot", LLM_ROLE_ASSISTANT },
		{ "tool", LLM_ROLE_TOOL },           { "function", LLM_ROLE_TOOL },
	};

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (strcasecmp(name, roles[i].name) == 0)
			return roles[i].role;
	return LLM_ROLE_NONE;
}
