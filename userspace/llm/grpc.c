/* SPDX-License-Identifier: BSD-2-Clause */
/* Field numbers are those of generative_service.proto, content.proto. */
#include "llm/grpc.h"

#include <stdlib.h>

#include "base/protobuf.h"
#include "llm/model.h"

/* GenerateContentRequest, CountTokensRequest: model 1, contents 2; EmbedContentRequest: model 1, content 2;
 * BatchEmbedContentsRequest: model 1. */
enum { REQUEST_MODEL = 1, REQUEST_CONTENTS = 2 };
/* Content */
enum { CONTENT_PARTS = 1, CONTENT_ROLE = 2 };
/* Part */
enum { PART_TEXT = 2, PART_FUNCTION_RESPONSE = 5 };
/* GenerateContentResponse */
enum { REPLY_CANDIDATES = 1, REPLY_FEEDBACK = 2, REPLY_USAGE = 3, REPLY_MODEL = 4 };
/* Candidate */
enum { CANDIDATE_CONTENT = 1, CANDIDATE_FINISH_REASON = 2 };
/* PromptFeedback */
enum { FEEDBACK_BLOCK_REASON = 1 };

#define WORD_MAX 96 /* a model's name, a role */

void llm_grpc_init(struct llm_grpc *g, struct call *c, enum llm_kind kind)
{
	*g = (struct llm_grpc){ .call = c, .kind = kind };
	facts_init(&g->all);
}

void llm_grpc_free(struct llm_grpc *g)
{
	free(g->messages);
}

static bool is_bytes(const struct protobuf_field *f, uint32_t number)
{
	return f->number == number && f->type == PROTOBUF_BYTES;
}

static void word_of(char to[static WORD_MAX], struct bytes b)
{
	size_t n = b.n < WORD_MAX - 1 ? b.n : WORD_MAX - 1;

	if (n)
		memcpy(to, b.p, n);
	to[n] = '\0';
}

static void model_take(struct llm_call *l, const struct protobuf_field *f)
{
	char name[WORD_MAX] = "";

	if (f->cut || f->bytes.n >= WORD_MAX)
		return;
	word_of(name, f->bytes);
	model_set(l->model, sizeof(l->model), name);
}

/* ---- the request ---- */

static bool says_who(struct bytes content)
{
	struct protobuf_field f;
	char name[WORD_MAX] = "";
	bool who = false, parts = false;

	while (protobuf_next(&content, &f)) {
		parts |= is_bytes(&f, CONTENT_PARTS);
		if (!is_bytes(&f, CONTENT_ROLE))
			continue;
		word_of(name, f.bytes);
		who |= strcmp(name, "user") == 0 || strcmp(name, "model") == 0;
	}
	return who && parts && !content.n;
}

bool llm_grpc_is_chat(struct bytes message)
{
	struct protobuf_field f;
	bool model = false, said = false;

	while (protobuf_next(&message, &f)) {
		model |= is_bytes(&f, REQUEST_MODEL) && bytes_start(f.bytes, "models/");
		said |= is_bytes(&f, REQUEST_CONTENTS) && !f.cut && says_who(f.bytes);
	}
	return model && said && !message.n;
}

static void push(struct llm_grpc *g, uint64_t hash, enum llm_role role)
{
	if (!g->messages)
		g->messages = calloc(LLM_HISTORY_MAX, sizeof(*g->messages));
	if (!g->messages) {
		g->cut = true;
		return;
	}
	g->messages[g->pushed++ % LLM_HISTORY_MAX] = (struct llm_message){ hash, (uint8_t)role };
}

/* A part of what is said: its text as JSON would have it, so that a message is known again whatever carries it; anything else as
 * the bytes it is. */
static uint64_t part_hash(uint64_t hash, struct bytes part, bool *tool)
{
	struct protobuf_field f;

	while (protobuf_next(&part, &f)) {
		*tool |= is_bytes(&f, PART_FUNCTION_RESPONSE);
		if (f.type != PROTOBUF_BYTES || !f.bytes.n)
			continue;
		hash = bytes_hash(hash, f.bytes);
		hash = bytes_hash(hash, (struct bytes){ "", 1 });
	}
	return hash;
}

static void content_read(struct llm_grpc *g, struct bytes content)
{
	enum llm_role role = LLM_ROLE_USER; /* left out where there is but one turn */
	struct protobuf_field f;
	char name[WORD_MAX] = "";
	uint64_t hash = 0;
	bool tool = false;

	while (protobuf_next(&content, &f)) {
		if (is_bytes(&f, CONTENT_PARTS))
			hash = part_hash(hash, f.bytes, &tool);
		if (is_bytes(&f, CONTENT_ROLE) && f.bytes.n) {
			word_of(name, f.bytes);
			role = llm_role_of_name(name);
		}
	}
	if (tool && (role == LLM_ROLE_USER || role == LLM_ROLE_NONE))
		role = LLM_ROLE_TOOL;
	g->call->llm->last_role = role;
	push(g, hash, role);
}

void llm_grpc_request(struct llm_grpc *g, struct bytes message, bool cut)
{
	struct protobuf_field f;

	while (protobuf_next(&message, &f)) {
		if (is_bytes(&f, REQUEST_MODEL))
			model_take(g->call->llm, &f);
		if (is_bytes(&f, REQUEST_CONTENTS) && g->kind == LLM_CHAT && !f.cut)
			content_read(g, f.bytes);
	}
	/* what the rest would have said last is not known */
	if (cut)
		g->call->llm->last_role = LLM_ROLE_NONE;
	g->cut |= cut || message.n;
}

void llm_grpc_request_end(struct llm_grpc *g)
{
	struct llm_history *h = &g->call->llm->history;
	uint32_t n = g->pushed < LLM_HISTORY_MAX ? (uint32_t)g->pushed : LLM_HISTORY_MAX;
	uint64_t dropped = g->pushed - n;

	h->complete = !g->cut;
	if (!n)
		return;
	h->messages = malloc(n * sizeof(*h->messages));
	if (!h->messages) {
		h->complete = false;
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		h->messages[i] = g->messages[(dropped + i) % LLM_HISTORY_MAX];
	h->n = n;
	h->dropped = dropped > UINT32_MAX ? UINT32_MAX : (uint32_t)dropped;
}

/* ---- the reply ---- */

static void usage_read(struct facts *f, struct bytes usage)
{
	/* UsageMetadata; the others are details of these */
	static const struct {
		uint32_t number;
		enum counter counter;
	} fields[] = { { 1, COUNT_IN },     { 2, COUNT_OUT },      { 3, COUNT_TOTAL },
		       { 4, COUNT_CACHED }, { 8, COUNT_IN_TOOLS }, { 10, COUNT_THOUGHTS } };
	struct protobuf_field p;

	while (protobuf_next(&usage, &p))
		for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
			if (p.number == fields[i].number && p.type == PROTOBUF_VARINT &&
			    p.value <= INT32_MAX)
				f->n[fields[i].counter] = (int64_t)p.value;
	f->all_in |= f->n[COUNT_IN] >= 0;
}

/* Content that says something: a part with anything in it. */
static bool has_parts(struct bytes content)
{
	struct protobuf_field f;

	while (protobuf_next(&content, &f))
		if (is_bytes(&f, CONTENT_PARTS) && f.bytes.n)
			return true;
	return false;
}

static void candidate_read(struct facts *doc, struct bytes candidate)
{
	struct protobuf_field f;

	while (protobuf_next(&candidate, &f)) {
		if (is_bytes(&f, CANDIDATE_CONTENT))
			doc->content |= has_parts(f.bytes);
		else if (f.number == CANDIDATE_FINISH_REASON && f.type == PROTOBUF_VARINT)
			doc->finished |= f.value != 0;
	}
}

/* The prompt was refused: there is nothing to come. */
static void feedback_read(struct facts *doc, struct bytes feedback)
{
	struct protobuf_field f;

	while (protobuf_next(&feedback, &f))
		if (f.number == FEEDBACK_BLOCK_REASON && f.type == PROTOBUF_VARINT && f.value)
			doc->finished = true;
}

static void chat_read(struct llm_grpc *g, struct facts *doc, struct bytes message)
{
	struct protobuf_field f;

	while (protobuf_next(&message, &f)) {
		if (is_bytes(&f, REPLY_CANDIDATES))
			candidate_read(doc, f.bytes);
		else if (is_bytes(&f, REPLY_FEEDBACK))
			feedback_read(doc, f.bytes);
		else if (is_bytes(&f, REPLY_USAGE) && !f.cut)
			usage_read(doc, f.bytes);
		else if (is_bytes(&f, REPLY_MODEL))
			model_take(g->call->llm, &f);
	}
}

static void content_came(struct llm_call *l, uint64_t ts_ns)
{
	if (!l->first_content_ns)
		l->first_content_ns = ts_ns;
	l->last_content_ns = ts_ns;
}

void llm_grpc_reply(struct llm_grpc *g, struct bytes message, bool cut, uint64_t ts_ns)
{
	struct llm_call *l = g->call->llm;
	struct facts doc;

	facts_init(&doc);
	l->streamed |= ++g->replies > 1;
	if (cut &&
	    !g->all.finished) /* counters grow with the stream: the newest may have been in it */
		facts_outdate(&g->all);
	if (g->kind == LLM_CHAT)
		chat_read(g, &doc, message);
	else
		doc.content = doc.finished = message.n != 0; /* numbers: there is but one message */
	if (doc.content && ts_ns)
		content_came(l, ts_ns);
	facts_merge(&g->all, &doc);
	l->finished |= g->all.finished;
	l->tokens = facts_tokens(&g->all, g->kind);
}

void llm_grpc_end(struct llm_grpc *g, bool complete)
{
	struct call *c = g->call;

	if (!complete)
		facts_last_word(c);
}
