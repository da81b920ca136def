/* SPDX-License-Identifier: BSD-2-Clause */
/* What a call adds to its turn: times, counts, tokens, outcome. */
#include "turn_books.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void books_partial(struct open_turn *o, enum partial why)
{
	if (o->t.partial == PARTIAL_NONE)
		o->t.partial = why;
}

static bool has_failed(enum call_status s)
{
	return s == CALL_ERROR || s == CALL_RATE_LIMITED || s == CALL_TIMEOUT || s == CALL_ABORTED;
}

bool books_given_up(enum call_status s)
{
	return s == CALL_UNKNOWN || s == CALL_ABORTED || s == CALL_TIMEOUT;
}

static enum turn_status outcome(enum call_status s)
{
	static const enum turn_status of[] = {
		[CALL_OK] = TURN_OK,
		[CALL_ERROR] = TURN_ERROR,
		[CALL_RATE_LIMITED] = TURN_RATE_LIMITED,
		[CALL_TIMEOUT] = TURN_TIMEOUT,
		[CALL_ABORTED] = TURN_ABORTED,
		[CALL_UNKNOWN] = TURN_UNKNOWN,
	};
	return of[s];
}

/* Sums one counter. A reply without it makes the sum unknown; a call that failed, or never has it, does not. */
static void add_tokens(int64_t *sum, bool *unseen, int64_t n, bool expected)
{
	if (n >= 0)
		*sum = (*sum < 0 ? 0 : *sum) + n;
	else if (expected)
		*unseen = true;
}

static void book_tokens(struct open_turn *o, const struct record *r)
{
	bool reply = !has_failed(r->status), chat = r->chat;
	struct llm_tokens *sum = &o->tokens;

	if (!chat && r->kind != LLM_EMBEDDING)
		return;
	add_tokens(&sum->in, &o->unseen[0], r->tokens.in, reply);
	add_tokens(&sum->out, &o->unseen[1], r->tokens.out, reply && chat);
	add_tokens(&sum->cached, &o->unseen[2], r->tokens.cached, reply && chat);
	add_tokens(&sum->reasoning, &o->unseen[3], r->tokens.reasoning, reply && chat);
}

static void book_chat(struct open_turn *o, const struct record *r)
{
	struct turn *t = &o->t;

	if (r->end_ns > o->chat_end_ns)
		o->chat_end_ns = r->end_ns;
	if (r->ttft_ns >= 0 && (t->ttft_ns < 0 || r->start_ns < o->first_ns)) {
		t->ttft_ns = r->ttft_ns;
		o->first_ns = r->start_ns;
	}
	if (r->start_ns < o->newest_ns)
		return;
	o->newest_ns = r->start_ns;
	t->status = outcome(r->status);
	memcpy(t->error_kind, r->error_kind, sizeof(t->error_kind));
	memcpy(t->error_endpoint, r->place.endpoint, sizeof(t->error_endpoint));
	t->error_http_status = r->http_status;
	o->failed_end_ns = has_failed(r->status) ? r->end_ns : 0;
	memcpy(t->model, r->model, sizeof(t->model));
	memcpy(t->provider, r->provider, sizeof(t->provider));
}

static void book_store(struct open_turn *o, const struct record *r, uint64_t start_ns,
                       uint64_t end_ns)
{
	struct turn_store *s;
	uint32_t i;

	for (i = 0; i < o->t.nstores; i++)
		if (strcmp(o->t.stores[i].label, r->place.label) == 0)
			break;
	if (i == TURN_STORES_MAX) {
		books_partial(o, PARTIAL_TRUNCATED);
		return;
	}
	s = &o->t.stores[i];
	if (i == o->t.nstores) {
		o->t.nstores++;
		memcpy(s->label, r->place.label, sizeof(s->label));
		memcpy(s->system, r->place.system, sizeof(s->system));
		snprintf(s->endpoint, sizeof(s->endpoint), "%.*s", (int)sizeof(s->endpoint) - 1,
		         r->place.endpoint);
	}
	s->calls++;
	s->errors += has_failed(r->status);
	spans_add(&o->stores[i], start_ns, end_ns);
}

void books_add(struct open_turn *o, const struct record *r, uint64_t end_ns)
{
	uint64_t start_ns = r->start_ns < o->t.start_ns ? o->t.start_ns : r->start_ns;

	if (end_ns < start_ns)
		end_ns = start_ns;
	if (end_ns > o->t.end_ns)
		o->t.end_ns = end_ns;
	if (end_ns >= o->tail_end_ns) {
		o->tail_end_ns = end_ns;
		o->tail = r->status;
	}
	if (r->partial != PARTIAL_NONE)
		books_partial(o, r->partial);
	else if (r->chat && r->unread)
		books_partial(o, PARTIAL_NO_PLAINTEXT);
	o->t.at_least |= r->at_least;
	spans_add(&o->any, start_ns, end_ns);
	if (r->class == CALL_STORAGE) {
		o->t.storage_calls++;
		spans_add(&o->storage, start_ns, end_ns);
		book_store(o, r, start_ns, end_ns);
		return;
	}
	o->t.llm_calls++;
	spans_add(&o->llm, start_ns, end_ns);
	book_tokens(o, r);
	if (r->chat)
		book_chat(o, r);
}

void books_backoff(struct open_turn *o, uint64_t start_ns, uint64_t end_ns)
{
	spans_add(&o->backoff, start_ns, end_ns);
	spans_add(&o->any, start_ns, end_ns);
}

const struct turn *books_balance(struct open_turn *o)
{
	struct turn *t = &o->t;
	uint64_t any = spans_total(&o->any), sum;

	t->llm_ns = spans_total(&o->llm);
	t->storage_ns = spans_total(&o->storage);
	t->backoff_ns = spans_total(&o->backoff);
	sum = t->llm_ns + t->storage_ns + t->backoff_ns;
	t->overlap_ns = sum > any ? sum - any : 0;
	t->tokens.in = o->unseen[0] ? -1 : o->tokens.in;
	t->tokens.out = o->unseen[1] ? -1 : o->tokens.out;
	t->tokens.cached = o->unseen[2] ? -1 : o->tokens.cached;
	t->tokens.reasoning = o->unseen[3] ? -1 : o->tokens.reasoning;
	for (uint32_t i = 0; i < t->nstores; i++)
		t->stores[i].ms = turn_ms(spans_total(&o->stores[i]));
	if (o->llm.cut || o->storage.cut || o->backoff.cut || o->any.cut)
		books_partial(o, PARTIAL_TRUNCATED);
	return t;
}

void books_free(struct open_turn *o)
{
	spans_free(&o->llm);
	spans_free(&o->storage);
	spans_free(&o->backoff);
	spans_free(&o->any);
	for (uint32_t i = 0; i < TURN_STORES_MAX; i++)
		spans_free(&o->stores[i]);
	free(o);
}
