/* SPDX-License-Identifier: BSD-2-Clause */
/* The ledger of records and lanes: to find, to make and to forget them. */
#include "turn_lanes.h"

#include <stdio.h>
#include <stdlib.h>

static struct record **record_slot(struct ledger *b, uint64_t id)
{
	struct record **r = &b->record_of[id % LEDGER_BUCKETS];

	while (*r && (*r)->id != id)
		r = &(*r)->next;
	return r;
}

struct record *record_find(struct ledger *b, uint64_t id)
{
	return *record_slot(b, id);
}

void record_unlink(struct record *r)
{
	if (r->in)
		TAILQ_REMOVE(r->in, r, link);
	if (r->lane)
		r->lane->npending--;
	r->in = NULL;
	r->lane = NULL;
	r->turn = NULL;
}

void record_take(struct ledger *b, struct record *r)
{
	record_unlink(r);
	*record_slot(b, r->id) = r->next;
	TAILQ_REMOVE(&b->records, r, age);
	b->nrecords--;
}

void record_free(struct ledger *b, struct record *r)
{
	record_take(b, r);
	free(r);
}

void record_call(const struct record *r, struct call *c, struct llm_call *llm)
{
	*llm = (struct llm_call){ .kind = r->kind, .tokens = r->tokens, .said = r->said };
	snprintf(llm->model, sizeof(llm->model), "%s", r->model);
	snprintf(llm->provider, sizeof(llm->provider), "%s", r->provider);
	if (r->ttft_ns >= 0)
		llm->first_content_ns = r->request_ns + (uint64_t)r->ttft_ns;
	call_init(c);
	c->id = r->id;
	c->pid = r->lane_id.pid;
	c->tid = r->lane_id.tid;
	c->task = r->lane_id.task;
	c->start_ns = r->start_ns;
	c->request_ns = r->request_ns;
	c->first_byte_ns = r->first_byte_ns;
	c->end_ns = r->end_ns;
	c->at_least = r->at_least;
	c->bytes_out = r->bytes_out;
	c->bytes_in = r->bytes_in;
	c->class = r->class;
	c->proto = r->proto;
	c->write = r->write;
	c->op_known = r->op_known;
	c->status = r->status;
	c->partial = r->partial;
	c->http_status = r->http_status;
	c->retry_after_s = r->retry_after_s;
	snprintf(c->op, sizeof(c->op), "%s", r->op);
	snprintf(c->error_kind, sizeof(c->error_kind), "%s", r->error_kind);
	c->llm = r->kind == LLM_NONE ? NULL : llm;
}

void record_wait(struct record *r, struct lane *l)
{
	struct record *after = TAILQ_LAST(&l->pending, records);

	while (after && after->start_ns > r->start_ns)
		after = TAILQ_PREV(after, records, link);
	if (after)
		TAILQ_INSERT_AFTER(&l->pending, after, r, link);
	else
		TAILQ_INSERT_HEAD(&l->pending, r, link);
	l->npending++;
	r->in = &l->pending;
	r->lane = l;
	r->state = RECORD_PENDING;
}

void record_activate(struct record *r, struct open_turn *o, struct records *active)
{
	TAILQ_INSERT_TAIL(active, r, link);
	r->in = active;
	r->turn = o;
	r->state = RECORD_ACTIVE;
}

static void name_place(struct record *r, const struct call *c, const struct call_place *p)
{
	if (p)
		r->place = *p;
	r->place.label[sizeof(r->place.label) - 1] = '\0';
	r->place.system[sizeof(r->place.system) - 1] = '\0';
	r->place.endpoint[sizeof(r->place.endpoint) - 1] = '\0';
	if (!r->place.label[0])
		snprintf(r->place.label, sizeof(r->place.label), "%s",
		         r->place.system[0] ? r->place.system
		         : c->proto         ? c->proto
		                            : "storage");
}

void record_fill(struct record *r, const struct call *c, const struct call_place *p)
{
	uint64_t asked = c->request_ns ? c->request_ns : c->start_ns;

	if (r->state == RECORD_ASKING) {
		r->start_ns = c->start_ns;
		r->lane_id = (struct lane_id){ c->pid, c->tid, c->task };
	}
	r->at_least = c->at_least;
	r->multiplexed = c->stream != 0;
	r->class = c->class;
	r->write = c->class == CALL_STORAGE && c->write;
	r->op_known = c->class == CALL_LLM || c->op_known;
	r->status = c->status;
	r->partial = c->partial;
	r->http_status = c->http_status;
	snprintf(r->error_kind, sizeof(r->error_kind), "%s", c->error_kind);
	snprintf(r->op, sizeof(r->op), "%s", c->op);
	r->proto = c->proto;
	r->request_ns = asked;
	r->first_byte_ns = c->first_byte_ns;
	r->bytes_out = c->bytes_out;
	r->bytes_in = c->bytes_in;
	r->retry_after_s = c->retry_after_s;
	name_place(r, c, p);
	r->unread = !c->llm;
	r->ttft_ns = -1;
	r->tokens = (struct llm_tokens){ -1, -1, -1, -1 };
	if (!c->llm)
		return;
	r->kind = c->llm->kind;
	r->tokens = c->llm->tokens;
	r->said = c->llm->said;
	snprintf(r->model, sizeof(r->model), "%s", c->llm->model);
	snprintf(r->provider, sizeof(r->provider), "%s", c->llm->provider);
	if (c->llm->first_content_ns >= asked && asked && !c->at_least)
		r->ttft_ns = (int64_t)(c->llm->first_content_ns - asked);
}

struct record *record_new(struct ledger *b, const struct call *c, const struct call_place *p)
{
	struct record *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->id = r->logical = c->id;
	r->attempt = 1;
	record_fill(r, c, p);
	*record_slot(b, c->id) = r;
	TAILQ_INSERT_TAIL(&b->records, r, age);
	b->nrecords++;
	return r;
}

static struct lane **lane_slot(struct ledger *b, struct lane_id id)
{
	uint64_t h = bytes_hash(0, (struct bytes){ (const char *)&id, sizeof(id) });
	struct lane **l = &b->lane_of[h % LEDGER_BUCKETS];

	while (*l && !lane_same((*l)->id, id))
		l = &(*l)->next;
	return l;
}

struct lane *lane_use(struct ledger *b, struct lane_id id)
{
	struct lane *l = *lane_slot(b, id);

	if (!l)
		return NULL;
	TAILQ_REMOVE(&b->lanes, l, link);
	TAILQ_INSERT_HEAD(&b->lanes, l, link);
	return l;
}

struct lane *lane_new(struct ledger *b, struct lane_id id)
{
	struct lane *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->id = id;
	TAILQ_INIT(&l->pending);
	*lane_slot(b, id) = l;
	TAILQ_INSERT_HEAD(&b->lanes, l, link);
	b->nlanes++;
	return l;
}

struct lane *lane_of_thread(const struct ledger *b, uint32_t pid, uint32_t tid)
{
	struct lane *l;

	TAILQ_FOREACH(l, &b->lanes, link)
	if (!l->gone && l->id.pid == pid && (tid == 0 || l->id.tid == tid))
		return l;
	return NULL;
}

void lane_retire(struct ledger *b, struct lane *l)
{
	struct lane **slot = lane_slot(b, l->id);

	if (*slot == l)
		*slot = l->next;
	l->gone = true;
}

void lane_free(struct ledger *b, struct lane *l)
{
	if (!l->gone)
		lane_retire(b, l);
	TAILQ_REMOVE(&b->lanes, l, link);
	b->nlanes--;
	free(l);
}

void ledger_init(struct ledger *b)
{
	TAILQ_INIT(&b->lanes);
	TAILQ_INIT(&b->records);
}

void ledger_free(struct ledger *b)
{
	while (!TAILQ_EMPTY(&b->records))
		record_free(b, TAILQ_FIRST(&b->records));
	while (!TAILQ_EMPTY(&b->lanes))
		lane_free(b, TAILQ_FIRST(&b->lanes));
}
