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

struct http_fields {
	enum target target;
	unsigned rank; /* of that value */
	struct id_text id;
	struct digits digits;
	/* what was told so far, and by which name */
	struct id_text session;
	unsigned session_rank;
	int64_t index;
	unsigned index_rank;
	enum llm_role root_role;
	/* the body */
	bool begun, json, gap;
	struct json_scan scan;
	struct tail tail;
	struct message message;
	unsigned message_rank; /* of the one being read: a single one's; RANK_NONE: an element of a list */
	bool in_list;
	unsigned list_depth;
	char list[JSON_KEY_MAX]; /* name of the root's list being read, "" none */
	struct {
		bool told;
		enum llm_role role;
		uint64_t hash;
	} single, last; /* a single message, the last one of a list */
	unsigned single_rank;
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
	if (session != RANK_NONE)
		value_begin(f, TARGET_SESSION, session);
	else if (index != RANK_NONE)
		value_begin(f, TARGET_INDEX, index);
}

void http_fields_value(struct http_fields *f, struct bytes b)
{
	if (f->target == TARGET_NONE)
		return;
	/* the parser leaves out what stands before a value, not what stands behind it: names have no spaces at their ends */
	value_add(f, b);
}

/* ---- the body ---- */

static void message_done(struct http_fields *f)
{
	bool single = f->message_rank != RANK_NONE;
	enum llm_role role =
		message_role(&f->message, single && f->root_role == LLM_ROLE_NONE ? LLM_ROLE_USER :
	                                  single ? f->root_role : LLM_ROLE_NONE);

	if (!single) {
		/* instructions may stand at either end and open nothing */
		if (role == LLM_ROLE_SYSTEM)
			return;
		f->last.told = true;
		f->last.role = role;
		f->last.hash = f->message.hash;
	} else if (f->message.hash && f->message_rank < f->single_rank) {
		f->single_rank = f->message_rank;
		f->single.told = true;
		f->single.role = role;
		f->single.hash = f->message.hash;
	}
}
