/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The turn engine. A call to an LLM is ruled on by the source (turn_source/) when its request is complete; a storage
 * call waits on its lane until it is clear for which turn it worked. Every call is added to one turn at most, and only
 * to the time between that turn's start and end, so that the books always balance.
 */
#include "turn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "turn_engine.h"
#include "turn_source/llm.h"

/* Ids of the source's own where turns are told by another: above all of ours. */
#define RULED_BASE (1ull << 48)
/* A turn with nothing open for so long is not shown as in flight. */
#define REST_NS 10000000000ull

static bool waits_on(const struct open_turn *o, struct lane_id id)
{
	const struct record *r;

	TAILQ_FOREACH(r, &o->active, link)
	if (r->chat && lane_same(r->lane_id, id))
		return true;
	return false;
}

/* The chat call r is o's; its lane works in o from here on. */
static void turn_join(struct turns *t, struct open_turn *o, struct lane *l, struct record *r)
{
	engine_touch(t, o);
	o->home = l->id;
	if (r->start_ns > o->t.end_ns)
		o->t.end_ns = r->start_ns;
	o->newest_ns = r->start_ns;
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

	if (l->turn || !o || o->pid != l->id.pid)
		return l->turn;
	return o->late || !o->crowded ? o : NULL;
}

static void turn_open(struct turns *t, struct lane *l, struct record *r,
                      const struct ruling *ruling)
{
	struct turn_start start = {
		.lane = r->lane_id,
		.pid = r->lane_id.pid,
		.session = ruling->session_id,
		.index = ruling->turn_index,
		.role = ruling->role,
		.ns = r->start_ns,
		.at_least = ruling->at_least,
	};
	struct open_turn *o = engine_new(t, &start), *before = turn_before(t, l, ruling), *old;

	if (!o) {
		share_give_nobody(t, r, OUTSIDE_NONE_NEAR);
		return;
	}
	o->late = r->at_least && r->unread;
	share_shift(t, l, before, o, r->start_ns);
	if (l->turn && waits_on(l->turn, l->id))
		l->shared = true;
	l->turn = o;
	for (int i = 0; i < RULING_CLOSES_MAX; i++) {
		old = share_find(t, ruling->closes[i]);
		if (old && old != o)
			engine_close(t, old, r->start_ns, o, false);
	}
	engine_crowd(t, o);
	turn_join(t, o, l, r);
	engine_opened(t, o);
}

static void turn_continue(struct turns *t, struct lane *l, struct record *r,
                          const struct ruling *ruling)
{
	struct open_turn *o = share_find(t, ruling->turn);

	if (!o) {
		share_give_nobody(t, r, OUTSIDE_NONE_NEAR);
		return;
	}
	share_shift(t, l, l->turn, o, r->start_ns);
	if (l->turn && l->turn != o && waits_on(l->turn, l->id))
		l->shared = true;
	turn_join(t, o, l, r);
}

void engine_wait(struct turns *t, struct lane *l, struct record *r)
{
	struct open_turn *o = l->shared ? NULL : l->turn;

	if (o)
		engine_touch(t, o);
	else
		o = share_near(t, l->id.pid);
	r->near = o ? o->t.id : 0;
	record_wait(r, l);
	if (l->npending > LANE_PENDING_MAX)
		share_settle(t, TAILQ_FIRST(&l->pending));
}

/* A call, its request complete, where turns are not told by requests to LLMs. */
static void place_call(struct turns *t, struct lane *l, struct record *r)
{
	t->any_call = true;
	if (r->class == CALL_LLM)
		l->chats |= r->chat;
	if (t->kind == TURNS_HTTP || serve_is_serving(t, l->id.pid))
		serve_call(t, l, r);
	else
		runs_call(t, l, r);
}

static void rename_turns(struct turns *t, const struct ruling *ruling)
{
	for (uint32_t i = 0; i < RULING_RENAMES_MAX && ruling->renames[i].turn; i++) {
		struct open_turn *o = share_find(t, ruling->renames[i].turn);

		if (!o)
			continue;
		memcpy(o->t.session_id, ruling->renames[i].session_id, sizeof(o->t.session_id));
		o->t.turn_index = ruling->renames[i].turn_index;
	}
}

/* The request of the LLM call r is complete. */
static void rule(struct turns *t, struct record *r, const struct call *c)
{
	struct lane *l = share_lane(t, r->lane_id);
	struct ruling ruling = { 0 };

	if (!l) {
		share_give_nobody(t, r, OUTSIDE_NONE_NEAR);
		return;
	}
	if (t->kind == TURNS_LLM)
		t->source->request(t->state, c, l->turn ? l->turn->t.id : 0, t->next_id, &ruling);
	else /* it tells retries */
		t->source->request(t->state, c, 0, RULED_BASE + ++t->ruled, &ruling);
	r->logical = ruling.logical;
	r->attempt = ruling.attempt;
	r->failed_ns = ruling.failed_ns;
	r->user = ruling.user;
	r->chat = ruling.kind != RULING_WAITS;
	if (t->kind == TURNS_LLM)
		rename_turns(t, &ruling);
	if (t->kind != TURNS_LLM)
		place_call(t, l, r);
	else if (ruling.kind == RULING_OPENS)
		turn_open(t, l, r, &ruling);
	else if (ruling.kind == RULING_WAITS)
		engine_wait(t, l, r);
	else
		turn_continue(t, l, r, &ruling);
}

/* NULL: out of memory, or all that are known are in flight: then it is added when one of them has ended, or it has itself. */
static struct record *record_add(struct turns *t, const struct call *c, const struct call_place *p)
{
	struct lane *l = NULL;
	struct record *r;

	if (c->class != CALL_LLM) {
		l = share_lane(t, (struct lane_id){ c->pid, c->tid, c->task });
		if (!l)
			return NULL;
	}
	if (!share_make_room(t) && !c->end_ns)
		return NULL;
	r = record_new(&t->ledger, c, p);
	if (r && l && t->kind == TURNS_LLM)
		engine_wait(t, l, r);
	else if (r && l)
		place_call(t, l, r);
	return r ? record_find(&t->ledger, c->id) : NULL;
}

/* Calls to servers of unknown kind tell where the run's own turns begin, and lead to those who serve them. */
static bool belongs_to_turns(const struct turns *t, const struct call *c)
{
	if (c->class == CALL_OTHER)
		return t->kind != TURNS_LLM && !c->inbound;
	return c->class == CALL_LLM || c->class == CALL_STORAGE;
}

/* The record of c, brought up to date; NULL if c is none of ours, or not any more. */
static struct record *record_update(struct turns *t, const struct call *c,
                                    const struct call_place *p)
{
	struct record *r = record_find(&t->ledger, c->id);

	if (r && r->class != c->class && (r->state != RECORD_CLOSED || r->class == CALL_OTHER)) {
		record_free(&t->ledger, r);
		r = NULL;
	}
	if (!r)
		return belongs_to_turns(t, c) ? record_add(t, c, p) : NULL;
	record_fill(r, c, p);
	return r;
}

void turns_call_opened(struct turns *t, const struct call *c, const struct call_place *p)
{
	if (!record_update(t, c, p) && belongs_to_turns(t, c))
		t->unfollowed++;
}

void turns_call_sent(struct turns *t, const struct call *c, const struct call_place *p)
{
	struct record *r = record_update(t, c, p);

	if (r && r->state == RECORD_ASKING)
		rule(t, r, c);
}

/* Who wrote the request of a call on a shared connection need not be who waits for it. */
static bool waits_elsewhere(const struct open_turn *o)
{
	const struct record *r;

	TAILQ_FOREACH(r, &o->active, link)
	if (r->multiplexed)
		return true;
	return false;
}

/* The thread of o ends, and o with it, unless a call of it goes on. */
static void home_leaves(struct turns *t, struct open_turn *o, uint64_t ts_ns)
{
	o->homeless = waits_elsewhere(o);
	if (!o->homeless)
		engine_abandon(t, o, ts_ns, false);
}

void turns_call_done(struct turns *t, const struct call *c, const struct call_place *p)
{
	struct record *r;

	turns_call_sent(t, c, p);
	r = record_find(&t->ledger, c->id);
	if (!r) {
		serve_client_done(t, c);
		return;
	}
	if (c->class == CALL_LLM)
		t->source->done(t->state, c);
	r->done = true;
	r->end_ns = c->end_ns > r->start_ns ? c->end_ns : r->start_ns;
	if (!books_given_up(c->status) && r->end_ns > t->progress_ns)
		t->progress_ns = r->end_ns;
	if (r->state == RECORD_CLOSED) {
		record_free(&t->ledger, r);
	} else if (r->state == RECORD_ACTIVE) {
		struct open_turn *o = r->turn;

		engine_touch(t, o);
		share_give(t, o, r);
		if (o->homeless)
			home_leaves(t, o, c->end_ns);
	} else if (r->lane && r->lane->turn && !r->lane->shared) {
		engine_touch(t, r->lane->turn);
	}
	serve_client_done(t, c);
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
		home_leaves(t, o, ts_ns);
}

/* The open turn that opened first after `id`, of one process or (pid 0) of all. */
static struct open_turn *turn_next(const struct turns *t, uint32_t pid, uint64_t id)
{
	struct open_turn *o, *first = NULL;

	TAILQ_FOREACH(o, &t->open, link)
	if ((pid == 0 || o->pid == pid) && o->t.id > id && (!first || o->t.id < first->t.id))
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
		if (!o->served && o->home.pid == pid && o->home.tid == tid)
			home_leaves(t, o, ts_ns);
	}
}

void turns_process_exit(struct turns *t, uint32_t pid, uint64_t ts_ns)
{
	struct open_turn *o;
	struct lane *l, *next;

	settle_strays(t, pid);
	for (uint64_t id = 0; (o = turn_next(t, pid, id));) {
		id = o->t.id;
		if (!o->served) /* its client has yet to read the reply */
			engine_abandon(t, o, ts_ns, true);
	}
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
		if (o->served || !engine_hangs(t, o))
			continue;
		o->t.status = TURN_STALLED;
		any = true;
	}
	if (!any && newest)
		newest->t.status = TURN_STALLED;
}

void turns_end(struct turns *t, uint64_t ts_ns, bool stalled)
{
	struct open_turn *newest, *o;
	struct record *r, *next;

	for (uint64_t id = 0; (o = turn_next(t, 0, id));) {
		id = o->t.id;
		if (o->errand)
			serve_errand_done(t, o, ts_ns);
	}
	newest = TAILQ_FIRST(&t->open);
	while (newest && newest->served)
		newest = TAILQ_NEXT(newest, link);

	settle_strays(t, 0);
	for (o = turn_next(t, 0, 0); o; o = turn_next(t, 0, o->t.id))
		share_gather(t, o, ts_ns, NULL, true);
	if (stalled)
		mark_stalled(t, newest);
	while ((o = turn_next(t, 0, 0))) {
		if (o->t.status != TURN_STALLED && !runs_counts(t, o))
			engine_drop(t, o, OUTSIDE_UNMARKED);
		else
			engine_hand_out(t, o);
	}
	while (!TAILQ_EMPTY(&t->ledger.lanes))
		share_drop(t, TAILQ_FIRST(&t->ledger.lanes));
	for (r = TAILQ_FIRST(&t->ledger.records); r; r = next) {
		next = TAILQ_NEXT(r, age);
		if (r->state == RECORD_ASKING)
			share_give_nobody(t, r, OUTSIDE_UNRULED);
	}
}

struct turns *turns_new(struct turn_sink *sink, const struct turns_spec *spec, uint64_t attach_ns)
{
	struct turns *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->sink = sink;
	t->next_id = 1;
	t->spec = *spec;
	t->kind = spec->kind == TURNS_AUTO ? TURNS_LLM : spec->kind;
	t->attach_ns = attach_ns;
	TAILQ_INIT(&t->open);
	ledger_init(&t->ledger);
	t->source = &turn_source_llm;
	t->state = t->source->new ();
	t->sessions = sessions_new();
	if (!t->state || !t->sessions) {
		turns_free(t);
		errno = ENOMEM;
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
	sessions_free(t->sessions);
	free(t);
}

uint64_t turns_unfollowed(const struct turns *t)
{
	return t->unfollowed;
}

enum turns_kind turns_kind(const struct turns *t)
{
	return t->kind;
}

/* By requests a turn is open until the next of its conversation: one at rest for long is probably over. */
static bool in_flight(const struct turns *t, const struct open_turn *o, uint64_t now_ns)
{
	if (o->errand)
		return false;
	return t->kind != TURNS_LLM || !TAILQ_EMPTY(&o->active) || o->t.end_ns + REST_NS > now_ns;
}

size_t turns_open_list(const struct turns *t, uint64_t now_ns, const struct turn **list, size_t n)
{
	const struct open_turn *o;
	size_t found = 0, k;

	TAILQ_FOREACH(o, &t->open, link)
	{
		if (!in_flight(t, o, now_ns))
			continue;
		k = found < n ? found : n;
		found++;
		/* those that opened first, in order */
		if (k == n && (!n || list[n - 1]->id < o->t.id))
			continue;
		k -= k == n;
		for (; k > 0 && list[k - 1]->id > o->t.id; k--)
			list[k] = list[k - 1];
		list[k] = &o->t;
	}
	return found;
}

uint64_t turns_session_count(const struct turns *t, const char *session_id)
{
	const struct session_entry *e = sessions_find(t->sessions, session_id);

	return e ? e->closed : 0;
}

uint64_t turns_sessions(const struct turns *t)
{
	return sessions_seen(t->sessions);
}

const struct turn *turns_last(const struct turns *t)
{
	return t->any_closed ? &t->last : NULL;
}

const struct turn *turns_open(const struct turns *t)
{
	struct open_turn *o;

	TAILQ_FOREACH(o, &t->open, link)
	if (!o->errand && !o->served)
		return books_balance(o);
	return NULL;
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

const char *outside_why_text(enum outside_why why)
{
	static const char *const texts[] = {
		[OUTSIDE_NONE_NEAR] = "no turn was open when it was made",
		[OUTSIDE_ASIDE] = "the run's own affair: its log says so",
		[OUTSIDE_UNMARKED] = "the run never said that a turn had ended behind it",
		[OUTSIDE_UNRULED] = "its request was never complete",
	};
	return texts[why];
}
