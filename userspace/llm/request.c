/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads requests of all the APIs with one set of rules: a conversation is a list of objects with
 * a role, or one string; only the names differ.
 */
#include "llm/request.h"

#include <stdlib.h>

#include "llm/model.h"

/* What a string is read as. */
enum word { WORD_NONE, WORD_HASH, WORD_MODEL, WORD_ROLE, WORD_TYPE, WORD_PART_TYPE };

/* Members of the root that hold a conversation. */
static const struct {
	const char *key;
	bool list; /* as a list of messages; else it is all one message of the user */
} conversations[] = {
	{ "messages", true }, { "input", true },      /* Responses, Interactions */
	{ "contents", true },                         /* Gemini */
	{ "prompt", false },  { "inputText", false }, /* Bedrock's Titan */
};

static const struct {
	const char *name;
	enum llm_role role;
} roles[] = {
	{ "system", LLM_ROLE_SYSTEM },       { "developer", LLM_ROLE_SYSTEM },
	{ "user", LLM_ROLE_USER },           { "human", LLM_ROLE_USER },
	{ "assistant", LLM_ROLE_ASSISTANT }, { "model", LLM_ROLE_ASSISTANT },
	{ "tool", LLM_ROLE_TOOL },           { "function", LLM_ROLE_TOOL },
};

/* Strings that are no part of what was said; some of them change when a message is sent again. */
static const char *const structural[] = {
	"type",      "role",    "id",   "tool_call_id", "tool_use_id",
	"toolUseId", "call_id", "name", "status",       "cache_control",
};

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

static void message_begin(struct request *r, unsigned depth, enum llm_role role)
{
	r->message = (struct request_message){ .open = true, .depth = depth, .role = role };
}

static void message_end(struct request *r)
{
	struct request_message *m = &r->message;
	enum llm_role role = m->role != LLM_ROLE_NONE ? m->role : m->type_role;

	m->open = false;
	/* Gemini leaves the role out where there is but one turn */
	if (role == LLM_ROLE_NONE && !r->in_tail && r->path->shape == SHAPE_GEMINI)
		role = LLM_ROLE_USER;
	/* a result among the user's parts answers the model's call: the turn goes on */
	if (m->tool && (role == LLM_ROLE_USER || role == LLM_ROLE_NONE))
		role = LLM_ROLE_TOOL;
	if (role != LLM_ROLE_SYSTEM)
		r->call->last_role = role;
	if (!r->in_tail && !r->ring_full)
		push(r, m->hash, role);
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && strcmp(s + n - k, end) == 0;
}

/* Items of OpenAI's Responses have a type in place of a role. */
static enum llm_role role_of_type(const char *type)
{
	if (ends_with(type, "_call_output"))
		return LLM_ROLE_TOOL;
	if (ends_with(type, "_call") || strcmp(type, "reasoning") == 0)
		return LLM_ROLE_ASSISTANT;
	return LLM_ROLE_NONE;
}

static enum llm_role role_of_name(const char *name)
{
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (strcmp(name, roles[i].name) == 0)
			return roles[i].role;
	return LLM_ROLE_NONE;
}

/* The key a value stands under, through any arrays around it. */
static struct bytes nearest_key(const struct json_scan *s, unsigned from)
{
	unsigned level = s->depth;

	while (level > from && json_in_array(s, level - 1))
		level--;
	return level > from ? json_key(s, level - 1) : (struct bytes){ "", 0 };
}

static bool is_structural(const struct json_scan *s, unsigned from)
{
	struct bytes key = nearest_key(s, from);

	for (size_t i = 0; i < sizeof(structural) / sizeof(structural[0]); i++)
		if (bytes_equal(key, structural[i]))
			return true;
	for (unsigned level = from; level < s->depth; level++)
		if (bytes_equal(json_key(s, level), "cache_control"))
			return true;
	return false;
}

/* What a string inside the message is. Its own fields lie one below it, those of its parts
 * three. */
static enum word message_word(const struct request *r, const struct json_scan *s)
{
	unsigned top = r->message.depth;

	if (json_at(s, top, "role"))
		return WORD_ROLE;
	if (json_at(s, top, "type"))
		return WORD_TYPE;
	if (json_at(s, top, "content.[].type"))
		return WORD_PART_TYPE;
	return is_structural(s, top) ? WORD_NONE : WORD_HASH;
}

static void word_end(struct request *r)
{
	struct llm_call *l = r->call;

	r->word[r->word_n] = '\0';
	switch (r->word_is) {
	case WORD_MODEL:
		model_set(l->model, sizeof(l->model), r->word);
		break;
	case WORD_ROLE:
		r->message.role = r->word_long ? LLM_ROLE_NONE : role_of_name(r->word);
		break;
	case WORD_TYPE:
		r->message.type_role = r->word_long ? LLM_ROLE_NONE : role_of_type(r->word);
		break;
	case WORD_PART_TYPE:
		if (!r->word_long && ends_with(r->word, "tool_result"))
			r->message.tool = true;
		break;
	case WORD_HASH:
		/* so that "ab", "c" is not "a", "bc"; nothing for "", which is as good as null */
		if (r->hashed)
			r->message.hash = bytes_hash(r->message.hash, (struct bytes){ "", 1 });
		break;
	default:
		break;
	}
}

static void word_text(struct request *r, const struct json_token *t)
{
	size_t room = sizeof(r->word) - 1 - r->word_n;
	size_t n = t->text.n < room ? t->text.n : room;

	if (r->word_is == WORD_HASH) {
		/* what was said is hashed and never kept */
		r->hashed |= t->text.n != 0;
		if (t->text.n)
			r->message.hash = bytes_hash(r->message.hash, t->text);
	} else if (r->word_is != WORD_NONE && n) {
		memcpy(r->word + r->word_n, t->text.p, n);
		r->word_n += n;
	}
	r->word_long |= n < t->text.n;
	if (t->last)
		word_end(r);
}

static void word_begin(struct request *r, enum word is)
{
	r->word_is = is;
	r->word_n = 0;
	r->word_long = r->hashed = false;
}

static bool is_begin(const struct json_token *t)
{
	return t->first && t->kind != JSON_OBJECT_END && t->kind != JSON_ARRAY_END;
}

static bool is_end(const struct json_token *t)
{
	return t->last && t->kind != JSON_OBJECT && t->kind != JSON_ARRAY;
}

/* A token of the message, the value itself included. */
static void message_token(struct request *r, const struct json_scan *s, const struct json_token *t)
{
	unsigned top = r->message.depth;

	if (t->kind == JSON_STRING) {
		if (t->first)
			word_begin(r, s->depth == top ? WORD_HASH : message_word(r, s));
		word_text(r, t);
	} else if (t->kind == JSON_NUMBER && !is_structural(s, top)) {
		r->message.hash = bytes_hash(r->message.hash, t->text);
		r->message.hash = bytes_hash(r->message.hash, (struct bytes){ "", 1 });
	} else if (t->kind == JSON_OBJECT && (json_at(s, top, "parts.[].functionResponse") ||
	                                      json_at(s, top, "parts.[].function_response") ||
	                                      json_at(s, top, "content.[].toolResult"))) {
		r->message.tool = true;
	}
	if (s->depth == top && is_end(t))
		message_end(r);
}

/* A member of the root that holds the conversation, at its first token. */
static void conversation_begin(struct request *r, const struct json_token *t, const char *key,
                               bool list)
{
	bool one = t->kind == JSON_STRING || (!list && t->kind == JSON_ARRAY);

	if (t->kind == JSON_NULL)
		return;
	r->listed = true;
	if (r->path->kind != LLM_CHAT)
		return;
	if (one) {
		message_begin(r, 1, LLM_ROLE_USER);
	} else if (list && t->kind == JSON_OBJECT) {
		message_begin(r, 1, LLM_ROLE_NONE);
	} else if (list && t->kind == JSON_ARRAY) {
		r->in_list = true;
		strcpy(r->list, key);
	}
}

/* A token of the root's own members. */
static void root_token(struct request *r, const struct json_scan *s, const struct json_token *t)
{
	struct bytes key = json_key(s, 0);

	if (t->kind == JSON_STRING && bytes_equal(key, "model")) {
		if (t->first)
			word_begin(r, WORD_MODEL);
		word_text(r, t);
		return;
	}
	if (bytes_equal(key, "stream") && (t->kind == JSON_TRUE || t->kind == JSON_FALSE))
		r->call->streamed = t->kind == JSON_TRUE;
	if (t->kind == JSON_ARRAY_END)
		r->in_list = false;
	for (size_t i = 0; i < sizeof(conversations) / sizeof(conversations[0]) && is_begin(t); i++)
		if (bytes_equal(key, conversations[i].key))
			conversation_begin(r, t, conversations[i].key, conversations[i].list);
}

static void request_token(void *ctx, const struct json_scan *s, const struct json_token *t)
{
	struct request *r = ctx;

	r->object |= s->depth == 0 && t->kind == JSON_OBJECT;
	if (!r->message.open && s->depth == 1)
		root_token(r, s, t);
	else if (!r->message.open && s->depth == 2 && r->in_list && is_begin(t))
		message_begin(r, 2, t->kind == JSON_STRING ? LLM_ROLE_USER : LLM_ROLE_NONE);
	if (r->message.open)
		message_token(r, s, t);
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

/* The body was seen whole: is it what the path promised? */
static bool is_llm(struct request *r)
{
	if (r->path->kind == LLM_AUXILIARY)
		return true;
	if (r->scan.state != JSON_DONE || !r->object)
		return false;
	if (r->path->kind != LLM_CHAT || r->listed)
		return true;
	/* no prompt: Ollama is asked to load a model, which takes its time */
	if (r->path->shape != SHAPE_OLLAMA || !r->call->model[0])
		return false;
	r->call->kind = LLM_AUXILIARY;
	return true;
}

bool request_end(struct request *r)
{
	if (r->gap)
		read_tail(r);
	else if (!is_llm(r))
		return false;
	r->call->history.complete = write_history(r) && !r->gap && !r->ring_full;
	return true;
}
