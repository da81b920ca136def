/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages of all the APIs with one set of rules: an object with a role, or a string; only the names differ. */
#include "llm/message.h"

/* What a string is read as. */
enum word { WORD_NONE, WORD_HASH, WORD_ROLE, WORD_TYPE, WORD_PART_TYPE };

/* Strings that are no part of what was said; some of them change when a message is sent again. */
static const char *const structural[] = {
	"type",      "role",    "id",   "tool_call_id", "tool_use_id",
	"toolUseId", "call_id", "name", "status",       "cache_control",
};

void message_begin(struct message *m, unsigned depth, enum llm_role role)
{
	*m = (struct message){ .open = true, .depth = depth, .role = role };
}

enum llm_role message_role(const struct message *m, enum llm_role otherwise)
{
	enum llm_role role = m->role != LLM_ROLE_NONE ? m->role : m->type_role;

	if (role == LLM_ROLE_NONE)
		role = otherwise;
	/* a result among the user's parts answers the model's call: the turn goes on */
	if (m->tool && (role == LLM_ROLE_USER || role == LLM_ROLE_NONE))
		role = LLM_ROLE_TOOL;
	return role;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && strcmp(s + n - k, end) == 0;
}

/* Items of OpenAI's Responses, and of Mistral's conversations, have a type in place of a role. */
static enum llm_role role_of_type(const char *type)
{
	if (ends_with(type, "_call_output") || strcmp(type, "function.result") == 0)
		return LLM_ROLE_TOOL;
	if (ends_with(type, "_call") || strcmp(type, "reasoning") == 0 ||
	    strcmp(type, "function.call") == 0 || strcmp(type, "message.output") == 0)
		return LLM_ROLE_ASSISTANT;
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

/* What a string inside the message is. Its own fields lie one below it, those of its parts three. */
static enum word message_word(const struct message *m, const struct json_scan *s)
{
	unsigned top = m->depth;

	if (json_at(s, top, "role"))
		return WORD_ROLE;
	if (json_at(s, top, "type"))
		return WORD_TYPE;
	if (json_at(s, top, "content.[].type"))
		return WORD_PART_TYPE;
	return is_structural(s, top) ? WORD_NONE : WORD_HASH;
}

static void word_end(struct message *m)
{
	m->word[m->word_n] = '\0';
	switch (m->word_is) {
	case WORD_ROLE:
		m->role = m->word_long ? LLM_ROLE_NONE : llm_role_of_name(m->word);
		break;
	case WORD_TYPE:
		m->type_role = m->word_long ? LLM_ROLE_NONE : role_of_type(m->word);
		break;
	case WORD_PART_TYPE:
		if (!m->word_long && ends_with(m->word, "tool_result"))
			m->tool = true;
		break;
	case WORD_HASH:
		/* so that "ab", "c" is not "a", "bc"; nothing for "", which is as good as null */
		if (m->hashed)
			m->hash = bytes_hash(m->hash, (struct bytes){ "", 1 });
		break;
	default:
		break;
	}
}

static void word_text(struct message *m, const struct json_token *t)
{
	size_t room = sizeof(m->word) - 1 - m->word_n;
	size_t n = t->text.n < room ? t->text.n : room;

	if (m->word_is == WORD_HASH) {
		/* what was said is hashed and never kept */
		m->hashed |= t->text.n != 0;
		if (t->text.n)
			m->hash = bytes_hash(m->hash, t->text);
	} else if (m->word_is != WORD_NONE && n) {
		memcpy(m->word + m->word_n, t->text.p, n);
		m->word_n += n;
	}
	m->word_long |= n < t->text.n;
	if (t->last)
		word_end(m);
}

static void word_begin(struct message *m, enum word is)
{
	m->word_is = is;
	m->word_n = 0;
	m->word_long = m->hashed = false;
}

bool message_token(struct message *m, const struct json_scan *s, const struct json_token *t)
{
	unsigned top = m->depth;

	if (t->kind == JSON_STRING) {
		if (t->first)
			word_begin(m, s->depth == top ? WORD_HASH : message_word(m, s));
		word_text(m, t);
	} else if (t->kind == JSON_NUMBER && !is_structural(s, top)) {
		m->hash = bytes_hash(m->hash, t->text);
		m->hash = bytes_hash(m->hash, (struct bytes){ "", 1 });
	} else if (t->kind == JSON_OBJECT && (json_at(s, top, "parts.[].functionResponse") ||
	                                      json_at(s, top, "parts.[].function_response") ||
	                                      json_at(s, top, "content.[].toolResult"))) {
		m->tool = true;
	}
	if (s->depth != top || !json_ends(t))
		return false;
	m->open = false;
	return true;
}
