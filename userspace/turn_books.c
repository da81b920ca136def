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
	memcpy(t->model, r->model, sizeof(t->model));
	memcpy(t->provider, r->provider, sizeof(t->provider));
}

/* The store of that label, made if need be; NULL: a turn has no more than TURN_STORES_MAX (noted). */
static struct turn_store *store_of(struct open_turn *o, const struct turn_store *like)
{
	struct turn_store *s;

	for (uint32_t i = 0; i < o->t.nstores; i++)
		if (strcmp(o->t.stores[i].label, like->label) == 0)
			return &o->t.stores[i];
	if (o->t.nstores == TURN_STORES_MAX) {
		books_partial(o, PARTIAL_TRUNCATED);
		return NULL;
	}
	s = &o->t.stores[o->t.nstores++];
	memcpy(s->label, like->label, sizeof(s->label));
	memcpy(s->system, like->system, sizeof(s->system));
	memcpy(s->endpoint, like->endpoint, sizeof(s->endpoint));
	return s;
}

static void book_store(struct open_turn *o, const struct record *r, uint64_t start_ns,
                       uint64_t end_ns)
{
	struct turn_store like = { 0 }, *s;

	memcpy(like.label, r->place.label, sizeof(like.label));
	memcpy(like.system, r->place.system, sizeof(like.system));
	snprintf(like.endpoint, sizeof(like.endpoint), "%.*s", (int)sizeof(like.endpoint) - 1,
	         r->place.endpoint);
	s = store_of(o, &like);
	if (!s)
		return;
	s->calls++;
	s->errors += has_failed(r->status);
	spans_add(&o->stores[s - o->t.stores], start_ns, end_ns);
}

/* A call and its retries are one call; the time from a failure to the next attempt is backoff. An attempt whose
 * forerunners were another turn's is that turn's first. */
static void book_attempt(struct open_turn *o, const struct record *r, uint64_t start_ns)
{
	uint64_t failed_ns = r->failed_ns;

	if (r->attempt <= 1 || !o->t.llm_calls || failed_ns < o->t.start_ns) {
		o->t.llm_calls++;
		return;
	}
	o->t.retries++;
	if (failed_ns && failed_ns < start_ns) {
		spans_add(&o->backoff, failed_ns, start_ns);
		spans_add(&o->any, failed_ns, start_ns);
	}
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
	if (r->class == CALL_OTHER)
		return;
	spans_add(&o->any, start_ns, end_ns);
	if (r->class == CALL_STORAGE) {
		o->t.storage_calls++;
		spans_add(&o->storage, start_ns, end_ns);
		book_store(o, r, start_ns, end_ns);
		return;
	}
	book_attempt(o, r, start_ns);
	spans_add(&o->llm, start_ns, end_ns);
	book_tokens(o, r);
	if (r->chat)
		book_chat(o, r);
}

static void merge_spans(struct spans *to, const struct spans *from)
{
	for (uint32_t i = 0; i < from->n; i++)
		spans_add(to, from->v[i].start_ns, from->v[i].end_ns);
	to->folded_ns += from->folded_ns;
	to->cut |= from->cut;
}

static void merge_tokens(struct open_turn *o, const struct open_turn *from)
{
	int64_t *to = &o->tokens.in;
	const int64_t *n = &from->tokens.in;

	for (int i = 0; i < 4; i++) {
		add_tokens(&to[i], &o->unseen[i], n[i], false);
		o->unseen[i] |= from->unseen[i];
	}
}

static void merge_stores(struct open_turn *o, const struct open_turn *from)
{
	for (uint32_t i = 0; i < from->t.nstores; i++) {
		struct turn_store *s = store_of(o, &from->t.stores[i]);

		if (!s)
			continue;
		s->calls += from->t.stores[i].calls;
		s->errors += from->t.stores[i].errors;
		merge_spans(&o->stores[s - o->t.stores], &from->stores[i]);
	}
}

void books_merge(struct open_turn *o, const struct open_turn *from)
{
	struct turn *t = &o->t;
	const struct turn *f = &from->t;

	t->llm_calls += f->llm_calls;
	t->storage_calls += f->storage_calls;
	t->retries += f->retries;
	merge_spans(&o->llm, &from->llm);
	merge_spans(&o->storage, &from->storage);
	merge_spans(&o->backoff, &from->backoff);
	merge_spans(&o->any, &from->any);
	merge_stores(o, from);
	merge_tokens(o, from);
	if (f->ttft_ns >= 0 && (t->ttft_ns < 0 || from->first_ns < o->first_ns)) {
		t->ttft_ns = f->ttft_ns;
		o->first_ns = from->first_ns;
	}
	if (from->chat_end_ns && from->newest_ns >= o->newest_ns) {
		o->newest_ns = from->newest_ns;
		t->status = f->status;
		memcpy(t->error_kind, f->error_kind, sizeof(t->error_kind));
		memcpy(t->error_endpoint, f->error_endpoint, sizeof(t->error_endpoint));
		t->error_http_status = f->error_http_status;
		memcpy(t->model, f->model, sizeof(t->model));
		memcpy(t->provider, f->provider, sizeof(t->provider));
	}
	if (from->chat_end_ns > o->chat_end_ns)
		o->chat_end_ns = from->chat_end_ns;
	if (from->tail_end_ns >= o->tail_end_ns && from->tail_end_ns) {
		o->tail_end_ns = from->tail_end_ns;
		o->tail = from->tail;
	}
	if (f->end_ns > t->end_ns)
		t->end_ns = f->end_ns;
	if (f->partial != PARTIAL_NONE)
		books_partial(o, f->partial);
	t->at_least |= f->at_least;
	t->boundary_guessed |= f->boundary_guessed;
	t->attribution_order |= f->attribution_order;
}

bool books_keep(struct open_turn *o, struct record *r, uint32_t most)
{
	if (o->nkept >= most)
		return false;
	if (o->nkept == o->kept_room) {
		uint32_t room = o->kept_room ? o->kept_room * 2 : 16;
		struct record **more = realloc(o->kept, room * sizeof(*more));

		if (!more)
			return false;
		o->kept = more;
		o->kept_room = room;
	}
	o->kept[o->nkept++] = r;
	return true;
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
	for (uint32_t i = 0; i < o->nkept; i++)
		free(o->kept[i]);
	free(o->kept);
	free(o);
}
