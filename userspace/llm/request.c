/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads requests of all the APIs with one set of rules: a conversation is a list of objects with
 * a role, or one string; only the names differ.
 */
#include "llm/request.h"

#include <stdlib.h>

#include "llm/model.h"

/* Where a member holds a conversation. */
enum { OF_ANY, OF_COHERE, OF_INPUTS };

/* Members of the root that hold a conversation. */
static const struct {
	const char *key;
	bool list; /* as a list of messages; else it is all one message of the user */
	int of;
} conversations[] = {
	{ "messages", true },
	{ "input", true },    /* Responses, Interactions */
	{ "contents", true }, /* Gemini */
	{ "prompt", false },
	{ "input_prefix", false },     /* llama.cpp, to be filled in */
	{ "inputText", false },        /* Bedrock's Titan */
	{ "inputs", true, OF_INPUTS }, /* text-generation-inference, Mistral's conversations */
	{ "chat_history", true, OF_COHERE },
	{ "message", false, OF_COHERE },
};

/* Members that those who only share a path with an API hardly have. */
static const char *const more_keys[] = { "parameters", "stream", "agent_id" };

static bool has_conversation(const struct request *r, size_t i)
{
	enum llm_shape shape = r->path->shape;

	if (conversations[i].of == OF_COHERE) /* Bedrock's Cohere too */
		return shape == SHAPE_COHERE || shape == SHAPE_BEDROCK;
	if (conversations[i].of == OF_INPUTS)
		return shape == SHAPE_TGI || shape == SHAPE_OPENAI;
	return shape != SHAPE_TGI || strcmp(conversations[i].key, "prompt") != 0;
}

static void push(struct request *r, uint64_t hash, enum llm_role role)
{
	if (r->pushed == r->ring_room && r->ring_room < LLM_HISTORY_MAX) {
		uint32_t room = r->ring_room ? r->ring_room * 2 : 16;
		struct llm_message *m = realloc(r->ring, room * sizeof(*m));

		if (!m) {
			r->ring_full = true;
			return;
		}
		r->ring = m;
		r->ring_room = room;
	}
	r->ring[r->pushed++ % LLM_HISTORY_MAX] = (struct llm_message){ hash, (uint8_t)role };
}

static void message_end(struct request *r)
{
	/* Gemini leaves the role out where there is but one turn */
	bool alone = !r->in_tail && r->path->shape == SHAPE_GEMINI;
	enum llm_role role = message_role(&r->message, alone ? LLM_ROLE_USER : LLM_ROLE_NONE);

	if (r->in_late) {
		r->in_late = false;
		r->has_late = true;
		r->late = r->message.hash;
		return;
	}
	if (role != LLM_ROLE_SYSTEM)
		r->call->last_role = role;
	if (!r->in_tail && !r->ring_full)
		push(r, r->message.hash, role);
}

static void model_text(struct request *r, const struct json_token *t)
{
	size_t room = sizeof(r->model) - 1, n;

	if (t->first)
		r->model_n = 0;
	n = t->text.n < room - r->model_n ? t->text.n : room - r->model_n;
	if (n)
		memcpy(r->model + r->model_n, t->text.p, n);
	r->model_n += n;
	r->model[r->model_n] = '\0';
	if (t->last)
		model_set(r->call->model, sizeof(r->call->model), r->model);
}

/* A member of the root that holds the conversation, at its first token. */
static void conversation_begin(struct request *r, const struct json_token *t, const char *key,
                               bool list)
{
	bool one = t->kind == JSON_STRING || (!list && t->kind == JSON_ARRAY);

	if (t->kind == JSON_NULL || (r->path->guessed && strcmp(key, "messages") != 0))
		return;
	r->listed = true;
	if (r->path->kind != LLM_CHAT)
		return;
	r->in_late = strcmp(key, "message") == 0;
	if (one) {
		message_begin(&r->message, 1, LLM_ROLE_USER);
	} else if (list && t->kind == JSON_OBJECT) {
		message_begin(&r->message, 1, LLM_ROLE_NONE);
	} else if (list && t->kind == JSON_ARRAY) {
		r->in_list = true;
		strcpy(r->list, key);
	}
}

static bool names_model(const struct request *r, struct bytes key)
{
	return bytes_equal(key, "model") ||
	       (r->path->shape == SHAPE_GEMINI && bytes_equal(key, "agent"));
}

/* A token of the root's own members. */
static void root_token(struct request *r, const struct json_scan *s, const struct json_token *t)
{
	struct bytes key = json_key(s, 0);

	if (t->kind == JSON_STRING && names_model(r, key)) {
		model_text(r, t);
		return;
	}
	for (size_t i = 0; i < sizeof(more_keys) / sizeof(more_keys[0]) && json_begins(t); i++)
		r->more |= bytes_equal(key, more_keys[i]) && t->kind != JSON_NULL;
	r->late_tool |= t->kind == JSON_ARRAY && bytes_equal(key, "tool_results");
	if (bytes_equal(key, "stream") && (t->kind == JSON_TRUE || t->kind == JSON_FALSE))
		r->call->streamed = t->kind == JSON_TRUE;
	if (t->kind == JSON_ARRAY_END)
		r->in_list = false;
	for (size_t i = 0; i < sizeof(conversations) / sizeof(conversations[0]) && json_begins(t);
	     i++)
		if (bytes_equal(key, conversations[i].key) && has_conversation(r, i))
			conversation_begin(r, t, conversations[i].key, conversations[i].list);
}

static void request_token(void *ctx, const struct json_scan *s, const struct json_token *t)
{
	struct request *r = ctx;

	r->object |= s->depth == 0 && t->kind == JSON_OBJECT;
	if (!r->message.open && s->depth == 1)
		root_token(r, s, t);
	else if (!r->message.open && s->depth == 2 && r->in_list && json_begins(t))
		message_begin(&r->message, 2,
		              t->kind == JSON_STRING ? LLM_ROLE_USER : LLM_ROLE_NONE);
	if (r->message.open && message_token(&r->message, s, t))
		message_end(r);
}

void request_init(struct request *r, struct llm_call *call, const struct llm_path *path)
{
	*r = (struct request){ .call = call, .path = path };
	json_init(&r->scan, request_token, r);
}

void request_free(struct request *r)
{
	free(r->ring);
	tail_free(&r->tail);
}

void request_feed(struct request *r, struct bytes b)
{
	tail_add(&r->tail, b);
	if (r->scan.state == JSON_OPEN)
		json_feed(&r->scan, b);
}

void request_gap(struct request *r)
{
	r->gap = true;
	json_gap(&r->scan);
	tail_gap(&r->tail);
}

/* What came after the gap tells the last role and the members that follow the conversation. */
static void read_tail(struct request *r)
{
	bool prompt = r->message.open && r->message.depth == 1 && r->message.role == LLM_ROLE_USER;
	const char *list = r->in_list ? r->list : "";
	struct tail_doc d;

	/* the list was open, more may have come: until the tail shows it the last one is unknown */
	if (prompt)
		r->call->last_role = LLM_ROLE_USER;
	else if (r->message.open || r->in_list)
		r->call->last_role = LLM_ROLE_NONE;
	r->message.open = r->in_list = false;
	if (!tail_open(&r->tail, list, &d))
		return;
	r->in_tail = true;
	json_init(&r->scan, request_token, r);
	json_feed(&r->scan, (struct bytes){ d.head, d.head_n });
	json_feed(&r->scan, d.body);
}

/* False: no memory. */
static bool write_history(struct request *r)
{
	struct llm_history *h = &r->call->history;
	uint32_t n = r->pushed < LLM_HISTORY_MAX ? (uint32_t)r->pushed : LLM_HISTORY_MAX;
	uint64_t dropped = r->pushed - n;

	if (n == 0)
		return true;
	h->messages = malloc(n * sizeof(*h->messages));
	if (!h->messages)
		return false;
	for (uint32_t i = 0; i < n; i++)
		h->messages[i] = r->ring[(dropped + i) % LLM_HISTORY_MAX];
	h->n = n;
	h->dropped = dropped > UINT32_MAX ? UINT32_MAX : (uint32_t)dropped;
	return true;
}

/* Many a server has a path like this: it has a field of the API's own, too. */
static bool is_meant(const struct request *r)
{
	if (!r->path->vague || r->path->named)
		return true;
	return r->call->model[0] || (r->more && r->path->shape != SHAPE_COHERE);
}

/* The body was seen whole: is it what the path promised? */
static bool is_llm(struct request *r)
{
	if (r->path->kind == LLM_AUXILIARY)
		return true;
	bool whole = r->scan.state == JSON_DONE && r->object;

	if (whole && (r->path->kind != LLM_CHAT || (r->listed && is_meant(r))))
		return true;
	/* no prompt: Ollama is asked to load a model, which takes its time */
	if (!r->path->named && !(whole && r->path->shape == SHAPE_OLLAMA && r->call->model[0]))
		return false;
	r->call->kind = LLM_AUXILIARY;
	return true;
}

/* Cohere's newest message. With results of tools it is the question they are for. */
static void push_late(struct request *r)
{
	enum llm_role role = r->late_tool ? LLM_ROLE_TOOL : LLM_ROLE_USER;

	if (!r->has_late)
		return;
	r->call->last_role = role;
	if (!r->ring_full)
		push(r, r->late, role);
}

bool request_end(struct request *r)
{
	if (r->path->guessed && (!r->listed || !r->call->model[0]))
		return false;
	if (r->gap)
		read_tail(r);
	if (r->gap ? r->path->vague && !(r->listed && is_meant(r)) : !is_llm(r))
		return false;
	push_late(r);
	r->call->history.complete = write_history(r) && !r->gap && !r->ring_full;
	return true;
}
