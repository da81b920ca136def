/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests to the target: session, turn and message by the names that servers of agents have for them. */
#include "proto/http_fields.h"

#include <stdlib.h>
#include <strings.h>

#include "base/id_text.h"
#include "llm/message.h"
#include "llm/tail.h"

/* Longest number of a turn: what fits an int64_t whatever its digits. */
#define INDEX_DIGITS_MAX 18

/* Each in the order in which they count. */
static const char *const session_keys[] = {
	"session_id", "sessionId", "conversation_id", "conversationId", "thread_id",
	"threadId",   "chat_id",   "user_session_id", "session",
};
static const char *const session_headers[] = { "x-session-id", "x-conversation-id", "x-thread-id",
	                                       "session-id" };
static const char *const index_keys[] = { "turn_number", "turn_index", "turn_id", "turn", "step" };
static const char *const index_headers[] = { "x-turn-number", "x-turn-index" };
/* These may hold an object or a list of parts, too. */
#define MESSAGE_KEYS_WHOLE 3
static const char *const message_keys[] = { "current_message", "new_message", "message", "query",
	                                    "question",        "prompt",      "text",    "input" };
static const char *const list_keys[] = { "messages",     "conversation", "conversation_history",
	                                 "chat_history", "history",      "contents",
	                                 "input" };

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
/* Ranks: a lower one counts more. Keys of the root, of objects in it, then headers, then nothing. */
#define RANK_INNER 32u
#define RANK_HEADER 64u
#define RANK_NONE 255u

/* A whole number, in pieces. */
struct digits {
	uint8_t n;
	char p[INDEX_DIGITS_MAX + 1];
	bool bad;
};

/* What the value being read is for. */
enum target { TARGET_NONE, TARGET_SESSION, TARGET_INDEX, TARGET_ROLE };

/* A message that was read, as far as it was. */
struct brought {
	bool told;
	bool partial; /* its text was not seen whole: no hash */
	enum llm_role role;
	uint64_t hash; /* 0: nothing was said, or not known */
	unsigned rank; /* of the name it came under */
};

struct http_fields {
	/* the value being read */
	enum target target;
	unsigned rank;
	struct id_text id;
	struct digits digits;
	size_t spaces; /* of a header: not known yet whether they end it */
	/* what was told so far, and by which name */
	struct id_text session;
	unsigned session_rank;
	int64_t index;
	unsigned index_rank;
	enum llm_role root_role;
	struct brought single, last; /* a message on its own; the last one of a list */
	/* the body */
	bool begun, json, gap;
	bool headless; /* of the message being read the beginning was not seen */
	struct json_scan scan;
	struct tail tail;
	struct message message;
	bool in_list; /* that message is an element of a list */
	unsigned list_depth, rank_open;
	char list[JSON_KEY_MAX + 1]; /* the root's list being read, "" none */
};

/* ---- values ---- */

static unsigned rank_of(struct bytes name, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (name.n == strlen(names[i]) && memcmp(name.p, names[i], name.n) == 0)
			return (unsigned)i;
	return RANK_NONE;
}

static unsigned rank_of_header(struct bytes name, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (name.n == strlen(names[i]) && strncasecmp(name.p, names[i], name.n) == 0)
			return RANK_HEADER + (unsigned)i;
	return RANK_NONE;
}

static void value_begin(struct http_fields *f, enum target target, unsigned rank)
{
	f->target = target;
	f->rank = rank;
	f->id = (struct id_text){ 0 };
	f->digits = (struct digits){ 0 };
}

static void value_add(struct http_fields *f, struct bytes b)
{
	struct digits *d = &f->digits;

	id_text_add(&f->id, b);
	for (size_t i = 0; i < b.n && !d->bad; i++) {
		d->bad = b.p[i] < '0' || b.p[i] > '9' || d->n == INDEX_DIGITS_MAX;
		if (!d->bad)
			d->p[d->n++] = b.p[i];
	}
}

static void value_end(struct http_fields *f)
{
	struct digits *d = &f->digits;
	char word[ID_TEXT_MAX];

	if (f->target == TARGET_SESSION && f->id.n && f->rank < f->session_rank) {
		f->session = f->id;
		f->session_rank = f->rank;
	} else if (f->target == TARGET_INDEX && d->n && !d->bad && f->rank < f->index_rank) {
		d->p[d->n] = '\0';
		f->index = strtoll(d->p, NULL, 10);
		f->index_rank = f->rank;
	} else if (f->target == TARGET_ROLE) {
		id_text_write(&f->id, word);
		f->root_role = llm_role_of_name(word);
	}
	f->target = TARGET_NONE;
}

/* ---- headers ---- */

void http_fields_header(struct http_fields *f, struct bytes name)
{
	unsigned session = rank_of_header(name, session_headers, COUNT(session_headers));
	unsigned index = rank_of_header(name, index_headers, COUNT(index_headers));

	value_end(f);
	f->spaces = 0;
	if (session != RANK_NONE)
		value_begin(f, TARGET_SESSION, session);
	else if (index != RANK_NONE)
		value_begin(f, TARGET_INDEX, index);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Spaces at the end of a value are no part of it (RFC 9112, 5.1). */
void http_fields_value(struct http_fields *f, struct bytes b)
{
	size_t n;

	if (f->target == TARGET_NONE)
		return;
	for (; b.n; b = bytes_from(b, n)) {
		for (n = 0; n < b.n && is_blank(b.p[n]); n++)
			f->spaces++;
		b = bytes_from(b, n);
		for (n = 0; n < b.n && !is_blank(b.p[n]); n++)
			;
		if (!n)
			return;
		for (; f->id.n && f->spaces; f->spaces--)
			value_add(f, bytes_of(" "));
		f->spaces = 0;
		value_add(f, (struct bytes){ b.p, n });
	}
}

/* ---- the body ---- */

static void message_done(struct http_fields *f)
{
	enum llm_role role = message_role(&f->message, LLM_ROLE_NONE);
	struct brought *to = f->in_list ? &f->last : &f->single;

	/* instructions may stand at either end and open nothing; "" is nothing said */
	if (f->in_list ? role == LLM_ROLE_SYSTEM : !f->message.hash)
		return;
	*to = (struct brought){ .told = true, .role = role, .rank = f->rank_open };
	to->partial = f->headless;
	to->hash = f->headless ? 0 : f->message.hash;
	f->headless = false;
}

/* A member of the root (or of its "input") that may hold a message or a list of them, at its first token. */
static void member_begin(struct http_fields *f, const struct json_scan *s,
                         const struct json_token *t)
{
	struct bytes key = json_key(s, s->depth - 1);
	unsigned single = rank_of(key, message_keys, COUNT(message_keys));
	unsigned list = rank_of(key, list_keys, COUNT(list_keys));
	bool whole = t->kind == JSON_OBJECT || t->kind == JSON_ARRAY;

	if ((t->kind == JSON_STRING || (whole && single < MESSAGE_KEYS_WHOLE)) &&
	    single < f->single.rank) {
		f->rank_open = single;
		message_begin(&f->message, s->depth, LLM_ROLE_NONE);
	} else if (t->kind == JSON_ARRAY && list <= f->last.rank && list != RANK_NONE) {
		f->last = (struct brought){ .rank = list };
		f->rank_open = list;
		f->in_list = true;
		f->list_depth = s->depth;
		memcpy(f->list, key.p, key.n);
		f->list[s->depth == 1 ? key.n : 0] = '\0';
	}
}

/* A value under a key of the root, or of an object in it. */
static void field_token(struct http_fields *f, const struct json_scan *s,
                        const struct json_token *t)
{
	struct bytes key = json_key(s, s->depth - 1);
	unsigned inner = s->depth == 1 ? 0 : RANK_INNER;
	unsigned session = rank_of(key, session_keys, COUNT(session_keys));
	unsigned index = rank_of(key, index_keys, COUNT(index_keys));

	if (t->first)
		f->target = TARGET_NONE;
	if (t->kind != JSON_STRING && t->kind != JSON_NUMBER)
		return;
	if (t->first && session != RANK_NONE)
		value_begin(f, TARGET_SESSION, session + inner);
	else if (t->first && index != RANK_NONE && t->kind == JSON_NUMBER)
		value_begin(f, TARGET_INDEX, index + inner);
	else if (t->first && s->depth == 1 && t->kind == JSON_STRING && bytes_equal(key, "role"))
		value_begin(f, TARGET_ROLE, 0);
	if (f->target == TARGET_NONE)
		return;
	value_add(f, t->text);
	if (t->last)
		value_end(f);
}

static void body_token(void *ctx, const struct json_scan *s, const struct json_token *t)
{
	struct http_fields *f = ctx;
	bool object = s->depth && !json_in_array(s, s->depth - 1);
	bool top = s->depth == 1 || (s->depth == 2 && bytes_equal(json_key(s, 0), "input"));

	if (f->in_list && t->kind == JSON_ARRAY_END && s->depth == f->list_depth)
		f->in_list = false;
	if (!f->message.open && f->in_list && s->depth == f->list_depth + 1 && json_begins(t))
		message_begin(&f->message, s->depth, LLM_ROLE_NONE);
	else if (!f->message.open && !f->in_list && top && object && json_begins(t))
		member_begin(f, s, t);
	if (f->message.open) {
		if (message_token(&f->message, s, t))
			message_done(f);
	} else if (object && s->depth <= 2) {
		field_token(f, s, t);
	}
}

/* The first byte that is no space tells whether this is a JSON object. */
static void body_begin(struct http_fields *f, struct bytes b)
{
	for (size_t i = 0; i < b.n && !f->begun; i++) {
		f->begun = !is_blank(b.p[i]) && b.p[i] != '\r' && b.p[i] != '\n';
		f->json = f->begun && b.p[i] == '{';
	}
	value_end(f); /* of the last header */
}

void http_fields_body(struct http_fields *f, struct bytes b)
{
	if (!f->begun)
		body_begin(f, b);
	if (!f->json)
		return;
	tail_add(&f->tail, b);
	if (!f->gap)
		json_feed(&f->scan, b);
}

void http_fields_gap(struct http_fields *f)
{
	/* of a body of unknown kind the end may still tell; a value it goes through is not known */
	if (!f->begun)
		value_end(f);
	f->target = TARGET_NONE;
	f->json |= !f->begun;
	f->begun = f->gap = true;
	if (f->json)
		tail_gap(&f->tail);
}

/* The body has a hole, or its end is missing: what of the values it went through is known, and what the end proves. */
static void read_tail(struct http_fields *f)
{
	bool listed = f->in_list;
	struct tail_doc d;

	if (listed) /* more may have come */
		f->last.told = false;
	else if (f->message.open)
		f->single = (struct brought){
			.told = true, .partial = true, .role = f->message.role, .rank = f->rank_open
		};
	f->message.open = f->in_list = false;
	if (!tail_open(&f->tail, listed ? f->list : "", &d))
		return;
	/* the third container opened is an element of the list */
	f->headless = d.open > 2;
	json_init(&f->scan, body_token, f);
	json_feed(&f->scan, (struct bytes){ d.head, d.head_n });
	json_feed(&f->scan, d.body);
}

static void brought_write(const struct brought *b, enum llm_role otherwise, struct turn_fields *t)
{
	t->role = b->role != LLM_ROLE_NONE ? b->role : otherwise;
	t->message = t->role == LLM_ROLE_USER && (b->hash || b->partial);
	t->text_hash = t->message ? b->hash : 0;
}

struct turn_fields *http_fields_end(struct http_fields *f, bool cut)
{
	struct turn_fields *t = calloc(1, sizeof(*t));

	if (cut)
		http_fields_gap(f);
	if (!t)
		return NULL;
	value_end(f);
	if (f->gap && f->json)
		read_tail(f);
	id_text_write(&f->session, t->session_id);
	t->turn_index = f->index;
	t->role = f->root_role;
	if (f->single.told)
		brought_write(&f->single, t->role == LLM_ROLE_NONE ? LLM_ROLE_USER : t->role, t);
	else if (f->last.told)
		brought_write(&f->last, LLM_ROLE_NONE, t);
	return t;
}

struct http_fields *http_fields_new(void)
{
	struct http_fields *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->index = -1;
	f->session_rank = f->index_rank = f->single.rank = f->last.rank = RANK_NONE;
	json_init(&f->scan, body_token, f);
	return f;
}

void http_fields_free(struct http_fields *f)
{
	if (!f)
		return;
	tail_free(&f->tail);
	free(f);
}
