/* SPDX-License-Identifier: BSD-2-Clause */
/* Members of a line's object, by name. */
#include "turn_mark/log_line.h"

#include <stdlib.h>

/* Longest whole number read: what fits an int64_t whatever its digits. */
#define DIGITS_MAX 18
#define RANK_NONE 255

enum value { VALUE_NONE, VALUE_SESSION, VALUE_TEST_ID, VALUE_INDEX, VALUE_ROLE, VALUE_TYPE };

/* Of one kind in the order in which they count. */
static const struct {
	const char *key;
	enum value is;
} members[] = {
	{ "session_id", VALUE_SESSION }, { "conversation_id", VALUE_SESSION },
	{ "thread_id", VALUE_SESSION },  { "test_id", VALUE_TEST_ID },
	{ "chat_id", VALUE_SESSION },    { "dialogue_id", VALUE_SESSION },
	{ "session", VALUE_SESSION },    { "turn_index", VALUE_INDEX },
	{ "turn_number", VALUE_INDEX },  { "turn", VALUE_INDEX },
	{ "step", VALUE_INDEX },         { "role", VALUE_ROLE },
	{ "type", VALUE_TYPE },
};

static int64_t whole_number(const struct id_text *t)
{
	char digits[DIGITS_MAX + 1];

	if (!t->n || t->n > DIGITS_MAX)
		return -1;
	for (size_t i = 0; i < t->n; i++)
		if (t->p[i] < '0' || t->p[i] > '9')
			return -1;
	memcpy(digits, t->p, (size_t)t->n);
	digits[t->n] = '\0';
	return strtoll(digits, NULL, 10);
}

static void value_begin(struct log_line *l, struct bytes key)
{
	l->value = (struct id_text){ 0 };
	l->value_is = VALUE_NONE;
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		if (!bytes_equal(key, members[i].key))
			continue;
		l->value_is = (uint8_t)members[i].is;
		l->rank = (uint8_t)i;
		return;
	}
}

static void session_told(struct log_line *l)
{
	if (!l->value.n || l->rank >= l->session_rank)
		return;
	l->session = l->value;
	l->session_rank = l->rank;
}

static void value_end(struct log_line *l, enum json_kind kind)
{
	bool number = kind == JSON_NUMBER;
	int64_t n = number ? whole_number(&l->value) : -1;
	char word[ID_TEXT_MAX];

	switch (l->value_is) {
	case VALUE_TEST_ID:
		l->has_test_id = !number;
		l->test_id = l->value;
		session_told(l);
		break;
	case VALUE_SESSION:
		session_told(l);
		break;
	case VALUE_INDEX:
		if (n >= 0 && l->rank < l->index_rank) {
			l->turn_index = n;
			l->index_rank = l->rank;
		}
		break;
	case VALUE_ROLE:
		id_text_write(&l->value, word);
		l->role = number ? LLM_ROLE_NONE : llm_role_of_name(word);
		break;
	case VALUE_TYPE:
		l->type = n;
		break;
	default:
		break;
	}
	l->value_is = VALUE_NONE;
}

static void log_token(void *ctx, const struct json_scan *s, const struct json_token *t)
{
	struct log_line *l = ctx;
	struct bytes key = json_key(s, 0);

	l->object |= s->depth == 0 && t->kind == JSON_OBJECT;
	if (s->depth != 1)
		return;
	if (t->kind == JSON_OBJECT && bytes_equal(key, "data"))
		l->has_data = true;
	if (t->kind == JSON_NUMBER && bytes_equal(key, "timestamp"))
		l->has_timestamp = true;
	if (t->kind != JSON_STRING && t->kind != JSON_NUMBER)
		return;
	if (t->first)
		value_begin(l, key);
	if (l->value_is != VALUE_NONE)
		id_text_add(&l->value, t->text);
	if (t->last)
		value_end(l, t->kind);
}

void log_line_begin(struct log_line *l)
{
	*l = (struct log_line){ .turn_index = -1, .type = -1 };
	l->session_rank = l->index_rank = RANK_NONE;
	json_init(&l->scan, log_token, l);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

void log_line_feed(struct log_line *l, struct bytes b)
{
	for (size_t i = 0; i < b.n && !l->begun; i++)
		l->begun = !is_space(b.p[i]);
	b = bytes_from(b, json_feed(&l->scan, b));
	for (size_t i = 0; i < b.n; i++)
		l->other |= !is_space(b.p[i]);
}

enum log_shape log_line_end(struct log_line *l)
{
	if (!l->begun)
		return LOG_BLANK;
	return l->scan.state == JSON_DONE && l->object && !l->other ? LOG_OBJECT : LOG_OTHER;
}
