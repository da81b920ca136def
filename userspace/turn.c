/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The turn engine. A call to an LLM is ruled on by the source (turn_source/) when its request is complete; a storage
 * call waits on its lane until it is clear for which turn it worked. Every call is added to one turn at most, and only
 * to the time between that turn's start and end, so that the books always balance.
 */
#include "turn.h"

#include <stdio.h>
#include <stdlib.h>

#include "turn_share.h"
#include "turn_source/llm.h"

/* Turns open at once; the one longest without activity is closed for a further one. */
#define OPEN_MAX 4096

static void touch(struct turns *t, struct open_turn *o)
{
	TAILQ_REMOVE(&t->open, o, link);
	TAILQ_INSERT_HEAD(&t->open, o, link);
}

static bool waits_on(const struct open_turn *o, struct lane_id id)
{
	const struct record *r;

	TAILQ_FOREACH(r, &o->active, link)
	if (r->chat && lane_same(r->lane_id, id))
		return true;
	return false;
}

/* Hands o out and forgets it. */
static void turn_hand_out(struct turns *t, struct open_turn *o)
{
	o->t.attribution_order |= o->crowded && share_is_ordered(t, o->t.pid);
	t->last = *books_balance(o);
	t->any_closed = true;
	TAILQ_REMOVE(&t->open, o, link);
	t->nopen--;
	t->source->closed(t->state, o->t.id);
	t->sink->closed(t->sink, &t->last);
	books_free(o);
}

static void turn_close(struct turns *t, struct open_turn *o, uint64_t ts_ns, struct open_turn *heir,
                       bool last)
{
	share_gather(t, o, ts_ns, heir, last);
	turn_hand_out(t, o);
}

static struct open_turn *turn_new(struct turns *t, const struct record *r,
                                  const struct ruling *ruling)
{
	struct open_turn *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	TAILQ_INIT(&o->active);
	o->t.id = t->next_id++;
	snprintf(o->t.session_id, sizeof(o->t.session_id), "%s", ruling->session_id);
	o->t.turn_index = ruling->turn_index;
	o->t.role = ruling->role;
	o->t.pid = r->lane_id.pid;
	o->t.tid = r->lane_id.tid;
	o->t.start_ns = o->t.end_ns = r->start_ns;
	o->t.ttft_ns = -1;
	o->tokens = (struct llm_tokens){ -1, -1, -1, -1 };
	o->t.status = TURN_UNKNOWN;
	o->t.at_least = ruling->at_least;
	o->tail = CALL_UNKNOWN;
	o->alone = !share_near(t, r->lane_id.pid);
	o->late = r->at_least && r->unread;
	TAILQ_INSERT_HEAD(&t->open, o, link);
	t->nopen++;
	return o;
}

/* The chat call r is o's; its lane works in o from here on. */
static void turn_join(struct turns *t, struct open_turn *o, struct lane *l, struct record *r)
{
	touch(t, o);
	o->home = l->id;
	if (r->start_ns > o->t.end_ns)
		o->t.end_ns = r->start_ns;
	o->newest_ns = r->start_ns;
	o->failed_end_ns = 0;
	o->t.status = TURN_UNKNOWN;
	o->t.error_kind[0] = o->t.error_endpoint[0] = '\0';
	o->t.error_http_status = 0;
	l->turn = o;
	l->chats = true;
	share_give_own(t, o, r);
}

/* The turn in which the lane worked before the one that the ruling opens: its own; if it has none, the one the new turn
 * follows, where no other could have had the lane's help, or where it is all that is known of that turn. */
static struct open_turn *turn_before(const struct turns *t, const struct lane *l,
                                     const struct ruling *ruling)
{
	struct open_turn *o = share_find(t, ruling->follows);

	if (l->turn || !o || o->t.pid != l->id.pid)
		return l->turn;
	return o->late || !o->crowded ? o : NULL;
}

static void turn_open(struct turns *t, struct lane *l, struct record *r,
                      const struct ruling *ruling)
{
	struct open_turn *before = turn_before(t, l, ruling), *o = turn_new(t, r, ruling), *old;

	if (!o) {
		share_give_nobody(t, r);
		return;
	}
	share_shift(t, l, before, o, r->start_ns);
	if (l->turn && waits_on(l->turn, l->id))
		l->shared = true;
	l->turn = o;
	for (int i = 0; i < RULING_CLOSES_MAX; i++) {
		old = share_find(t, ruling->closes[i]);
		if (old && old != o)
			turn_close(t, old, r->start_ns, o, false);
	}
	if (t->nopen > OPEN_MAX)
		turn_close(t, TAILQ_LAST(&t->open, open_turns), r->start_ns, NULL, false);
	TAILQ_FOREACH(old, &t->open, link)
	if (old != o && old->t.pid == o->t.pid)
		old->crowded = o->crowded = true;
	turn_join(t, o, l, r);
	t->sink->opened(t->sink, books_balance(o));
}

static void turn_continue(struct turns *t, struct lane *l, struct record *r,
                          const struct ruling *ruling)
{
	struct open_turn *o = share_find(t, ruling->turn);

	if (!o) {
		share_give_nobody(t, r);
		return;
	}
	share_shift(t, l, l->turn, o, r->start_ns);
	if (l->turn && l->turn != o && waits_on(l->turn, l->id))
		l->shared = true;
	if (ruling->kind == RULING_RETRIES) {
		o->t.retries++;
		if (o->failed_end_ns && o->failed_end_ns < r->start_ns) {
			books_backoff(o, o->failed_end_ns, r->start_ns);
		}
	}
	turn_join(t, o, l, r);
}

static void wait_on_lane(struct turns *t, struct lane *l, struct record *r)
{
	struct open_turn *o = l->shared ? NULL : l->turn;

	if (o)
		touch(t, o);
	else
		o = share_near(t, l->id.pid);
	r->near = o ? o->t.id : 0;
	record_wait(r, l);
	if (l->npending > LANE_PENDING_MAX)
		share_settle(t, TAILQ_FIRST(&l->pending));
}

/* The request of the LLM call r is complete. */
static void rule(struct turns *t, struct record *r, const struct call *c)
{
	struct lane *l = share_lane(t, r->lane_id);
	struct ruling ruling = { 0 };

	if (!l) {
		share_give_nobody(t, r);
		return;
	}
	t->source->request(t->state, c, l->turn ? l->turn->t.id : 0, t->next_id, &ruling);
	r->chat = ruling.kind != RULING_WAITS;
	if (ruling.kind == RULING_OPENS)
		turn_open(t, l, r, &ruling);
	else if (ruling.kind == RULING_WAITS)
		wait_on_lane(t, l, r);
	else
		turn_continue(t, l, r, &ruling);
}

static struct record *record_add(struct turns *t, const struct call *c, const struct call_place *p)
{
	struct lane *l = NULL;
	struct record *r;

	if (c->class == CALL_STORAGE) {
		l = share_lane(t, (struct lane_id){ c->pid, c->tid, c->task });
		if (!l)
			return NULL;
	}
	if (t->ledger.nrecords == RECORDS_MAX)
		share_forget(t);
	r = record_new(&t->ledger, c, p);
	if (r && l)
		wait_on_lane(t, l, r);
	return r;
}

static bool belongs_to_turns(const struct call *c)
{
	return c->class == CALL_LLM || c->class == CALL_STORAGE;
}

/* The record of c, brought up to date; NULL if c is none of ours, or not any more. */
static struct record *record_update(struct turns *t, const struct call *c,
                                    const struct call_place *p)
{
	struct record *r = record_find(&t->ledger, c->id);

	if (r && r->class != c->class && r->state != RECORD_CLOSED) {
		record_free(&t->ledger, r);
		r = NULL;
	}
	if (!r)
		return belongs_to_turns(c) ? record_add(t, c, p) : NULL;
	record_fill(r, c, p);
	return r;
}

void turns_call_opened(struct turns *t, const struct call *c, const struct call_place *p)
{
	record_update(t, c, p);
}

void turns_call_sent(struct turns *t, const struct call *c, const struct call_place *p)
{
	struct record *r = record_update(t, c, p);

	if (r && r->state == RECORD_ASKING)
		rule(t, r, c);
}

void turns_call_done(struct turns *t, const struct call *c, const struct call_place *p)
{
	struct record *r;

	turns_call_sent(t, c, p);
	r = record_find(&t->ledger, c->id);
	if (!r)
		return;
	if (c->class == CALL_LLM)
		t->source->done(t->state, c);
	r->done = true;
	r->end_ns = c->end_ns > r->start_ns ? c->end_ns : r->start_ns;
	if (!books_given_up(c->status) && r->end_ns > t->progress_ns)
		t->progress_ns = r->end_ns;
	if (r->state == RECORD_CLOSED) {
		record_free(&t->ledger, r);
	} else if (r->state == RECORD_ACTIVE) {
		touch(t, r->turn);
		share_give(t, r->turn, r);
	} else if (r->lane && r->lane->turn && !r->lane->shared) {
		touch(t, r->lane->turn);
	}
}

/* Its last call was given up, and no call of the run has ended well since. */
static bool hangs(const struct turns *t, const struct open_turn *o)
{
	return books_given_up(o->tail) && o->tail_end_ns >= t->progress_ns;
}

/* Who worked on it is gone. */
static void turn_abandon(struct turns *t, struct open_turn *o, uint64_t ts_ns, bool last)
{
	share_gather(t, o, ts_ns, NULL, last);
	if (t->stalled && hangs(t, o))
		o->t.status = TURN_STALLED;
	turn_hand_out(t, o);
}

/* A lane ends: what it still has is its turn's; a helper's waits on for the turn it helped to close. */
static void lane_end(struct turns *t, struct lane *l, uint64_t ts_ns)
{
	struct open_turn *o = l->shared ? NULL : l->turn;
	bool home = o && lane_same(o->home, l->id);

	if (o)
		share_rest(t, l, o);
	while (l->chats && !l->shared && l->npending)
		share_settle(t, TAILQ_FIRST(&l->pending));
	l->turn = NULL;
	lane_retire(&t->ledger, l);
	if (!l->npending)
		share_drop(t, l);
	if (home)
		turn_abandon(t, o, ts_ns, false);
}

/* The open turn that opened first after `id`, of one process or (pid 0) of all. */
static struct open_turn *turn_next(const struct turns *t, uint32_t pid, uint64_t id)
{
	struct open_turn *o, *first = NULL;

	TAILQ_FOREACH(o, &t->open, link)
	if ((pid == 0 || o->t.pid == pid) && o->t.id > id && (!first || o->t.id < first->t.id))
		first = o;
	return first;
}

/* Lanes with nothing of their own to close have their calls attributed while there still are turns to choose from. */
static void settle_strays(struct turns *t, uint32_t pid)
{
	struct lane *l;

	TAILQ_FOREACH(l, &t->ledger.lanes, link)
	while ((pid == 0 || l->id.pid == pid) && l->chats && !l->shared && !l->turn && l->npending)
		share_settle(t, TAILQ_FIRST(&l->pending));
}

void turns_stalled(struct turns *t, bool stalled)
{
	t->stalled = stalled;
}

void turns_thread_exit(struct turns *t, uint32_t pid, uint32_t tid, uint64_t ts_ns)
{
	struct lane *l;
	struct open_turn *o, *next;

	while ((l = lane_of_thread(&t->ledger, pid, tid)))
		lane_end(t, l, ts_ns);
	/* Turns whose home was an event loop of unknown tasks on that thread. */
	for (o = TAILQ_FIRST(&t->open); o; o = next) {
		next = TAILQ_NEXT(o, link);
		if (o->home.pid == pid && o->home.tid == tid)
			turn_abandon(t, o, ts_ns, false);
	}
}

void turns_process_exit(struct turns *t, uint32_t pid, uint64_t ts_ns)
{
	struct open_turn *o;
	struct lane *l, *next;

	settle_strays(t, pid);
	while ((o = turn_next(t, pid, 0)))
		turn_abandon(t, o, ts_ns, true);
	for (l = TAILQ_FIRST(&t->ledger.lanes); l; l = next) {
		next = TAILQ_NEXT(l, link);
		if (l->id.pid == pid)
			share_drop(t, l);
	}
	share_process_exit(t, pid);
}

/* The stall holds in every turn whose last call hung; if none did, in the one that was active last: for all that was
 * seen it was not over. */
static void mark_stalled(struct turns *t, struct open_turn *newest)
{
	struct open_turn *o;
	bool any = false;

	TAILQ_FOREACH(o, &t->open, link)
	{
		if (!hangs(t, o))
			continue;
		o->t.status = TURN_STALLED;
		any = true;
	}
	if (!any && newest)
		newest->t.status = TURN_STALLED;
}

void turns_end(struct turns *t, uint64_t ts_ns, bool stalled)
{
	struct open_turn *newest = TAILQ_FIRST(&t->open), *o;
	struct record *r, *next;

	settle_strays(t, 0);
	for (o = turn_next(t, 0, 0); o; o = turn_next(t, 0, o->t.id))
		share_gather(t, o, ts_ns, NULL, true);
	if (stalled)
		mark_stalled(t, newest);
	while ((o = turn_next(t, 0, 0)))
		turn_hand_out(t, o);
	while (!TAILQ_EMPTY(&t->ledger.lanes))
		share_drop(t, TAILQ_FIRST(&t->ledger.lanes));
	for (r = TAILQ_FIRST(&t->ledger.records); r; r = next) {
		next = TAILQ_NEXT(r, age);
		if (r->state == RECORD_ASKING)
			share_give_nobody(t, r);
	}
}

struct turns *turns_new(struct turn_sink *sink)
{
	struct turns *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->sink = sink;
	t->next_id = 1;
	TAILQ_INIT(&t->open);
	ledger_init(&t->ledger);
	t->source = &turn_source_llm;
	t->state = t->source->new ();
	if (!t->state) {
		free(t);
		return NULL;
	}
	return t;
}

void turns_free(struct turns *t)
{
	struct open_turn *o;

	if (!t)
		return;
	ledger_free(&t->ledger);
	while ((o = TAILQ_FIRST(&t->open))) {
		TAILQ_REMOVE(&t->open, o, link);
		books_free(o);
	}
	t->source->free(t->state);
	free(t);
}

const struct turn *turns_last(const struct turns *t)
{
	return t->any_closed ? &t->last : NULL;
}

const struct turn *turns_open(const struct turns *t)
{
	return TAILQ_EMPTY(&t->open) ? NULL : books_balance(TAILQ_FIRST(&t->open));
}

uint32_t turns_open_count(const struct turns *t)
{
	return t->nopen;
}

double turn_ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

const char *turn_status_name(enum turn_status s)
{
	static const char *const names[] = {
		[TURN_OK] = "ok",
		[TURN_ERROR] = "error",
		[TURN_RATE_LIMITED] = "rate_limited",
		[TURN_TIMEOUT] = "timeout",
		[TURN_ABORTED] = "aborted",
		[TURN_STALLED] = "stalled",
		[TURN_UNKNOWN] = "unknown",
	};
	return names[s];
}
