/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Turns that the run itself tells (sources jsonl, stdout): a line it writes says that one has ended; and turns told by quiet
 * gaps (idle). The first call of a lane opens a turn that is provisional: whose it is, and that it was one, is known when the
 * line comes. All that the lane does until then is its.
 */
#include <stdio.h>

#include "turn_engine.h"

static bool is_fresh(const struct turns *t, struct lane_id id)
{
	return t->fresh[id.tid % FRESH_MAX] == ((uint64_t)id.pid << 32 | id.tid);
}

void turns_thread_started(struct turns *t, uint32_t pid, uint32_t tid)
{
	t->fresh[tid % FRESH_MAX] = (uint64_t)pid << 32 | tid;
}

/* Calls of this lane that went before may not have been seen. */
static bool began_unseen(const struct turns *t, const struct lane *l, uint64_t start_ns)
{
	if (l->marked || is_fresh(t, l->id))
		return false;
	return t->kind != TURNS_IDLE || start_ns < t->attach_ns + t->spec.idle_ns;
}

/* Does this call open a turn? Servers of unknown kind are asked by exporters and the like, too: only the main thread's
 * calls to them, and those of lanes that are known to work on turns, count. */
static bool opens(const struct lane *l, const struct record *r)
{
	if (r->class == CALL_LLM)
		return r->chat;
	return r->class == CALL_OTHER && (l->marked || l->chats || l->id.tid == l->id.pid);
}

static struct open_turn *provisional(struct turns *t, struct lane *l, uint64_t ns)
{
	struct turn_start start = {
		.lane = l->id,
		.pid = l->id.pid,
		.session = "",
		.ns = ns,
		.at_least = began_unseen(t, l, ns),
	};
	struct open_turn *o = engine_new(t, &start);

	if (!o)
		return NULL;
	o->home = l->id;
	engine_crowd(t, o);
	return o;
}

void runs_call(struct turns *t, struct lane *l, struct record *r)
{
	struct open_turn *o = l->turn;

	if (!o && opens(l, r) && (o = provisional(t, l, r->start_ns))) {
		l->marked |= t->kind == TURNS_IDLE; /* what it did before is no setting up */
		share_shift(t, l, NULL, o, r->start_ns);
		l->turn = o;
		engine_opened(t, o);
	}
	if (o && o->t.role == LLM_ROLE_NONE && r->chat && r->user)
		o->t.role = LLM_ROLE_USER;
	if (o) {
		engine_touch(t, o);
		share_give_own(t, o, r);
	} else if (r->class != CALL_OTHER) {
		engine_wait(t, l, r);
	} else {
		share_give_nobody(t, r, OUTSIDE_NONE_NEAR);
	}
}

bool runs_counts(const struct turns *t, const struct open_turn *o)
{
	if (t->kind == TURNS_LLM || t->kind == TURNS_IDLE || o->marked)
		return true;
	/* it ended in the middle of something */
	return o->tail_end_ns && o->tail != CALL_OK;
}

/* The lane's work since the last mark was no turn's. */
static void lane_aside(struct turns *t, struct lane *l, uint64_t ts_ns)
{
	struct record *r;

	(void)ts_ns;
	if (l->turn && !l->turn->marked)
		engine_drop(t, l->turn, OUTSIDE_ASIDE);
	while ((r = TAILQ_FIRST(&l->pending)) && r->done)
		share_give_nobody(t, r, OUTSIDE_ASIDE);
	l->marked = true;
}

/* A turn of another lane, over before the line was written: a logger's thread writes for those who work. The one that
 * ended first; of the writer's process, or of another one. */
static struct open_turn *by_order(const struct turns *t, const struct turn_mark *m)
{
	struct open_turn *o, *best = NULL;

	TAILQ_FOREACH(o, &t->open, link)
	{
		if (o->inbound || o->marked || !TAILQ_EMPTY(&o->active) || !o->tail_end_ns ||
		    o->t.end_ns > m->ts_ns)
			continue;
		if (best && (best->pid == m->lane.pid) != (o->pid == m->lane.pid)) {
			if (o->pid == m->lane.pid)
				best = o;
		} else if (!best || o->t.end_ns < best->t.end_ns) {
			best = o;
		}
	}
	return best;
}

/* The turn that a mark is about; NULL: out of memory. *own: the lane that wrote it worked on it. */
static struct open_turn *turn_of_mark(struct turns *t, struct lane *l, const struct turn_mark *m,
                                      bool *own)
{
	struct open_turn *o = l->turn;
	struct record *first = TAILQ_FIRST(&l->pending);

	*own = true;
	if (o)
		return o;
	if (!first && !l->marked && (o = by_order(t, m))) {
		*own = false;
		return o;
	}
	/* storage alone, or nothing at all: a turn all the same, the run says so */
	o = provisional(t, l, first ? first->start_ns : m->start_ns);
	if (o) {
		o->t.at_least &= first != NULL;
		l->turn = o;
		engine_opened(t, o);
	}
	return o;
}

static void name_turn(struct turns *t, struct open_turn *o, const struct turn_mark *m)
{
	char key[SESSION_NAME_MAX];
	struct session_entry *e;

	snprintf(key, sizeof(key), "l%u.%u.%llx", o->home.pid, o->home.tid,
	         (unsigned long long)o->home.task);
	e = engine_session(t, m ? m->session_id : "", key);
	if (e) {
		snprintf(o->t.session_id, sizeof(o->t.session_id), "%s", e->name);
		o->t.turn_index = (uint32_t)e->opened++;
	}
	if (m && m->role != LLM_ROLE_NONE)
		o->t.role = m->role;
}

/* The run logged it, so it came to its end; how, tell its calls, if there are any. */
static void settle_outcome(struct open_turn *o)
{
	if (o->t.status == TURN_UNKNOWN && !o->chat_end_ns)
		o->t.status = TURN_OK;
}

static void turn_ends(struct turns *t, struct lane *l, struct open_turn *o,
                      const struct turn_mark *m, bool own)
{
	name_turn(t, o, m);
	o->marked = true;
	o->t.attribution_order |= !own;
	share_gather(t, o, m->start_ns, NULL, true);
	if (own && m->start_ns > o->t.end_ns)
		o->t.end_ns = m->start_ns;
	settle_outcome(o);
	l->marked |= own;
	engine_hand_out(t, o);
}

/* Lines come before the turns they tell of: ends the lane's turn, and begins the next. */
static void turn_begins(struct turns *t, struct lane *l, const struct turn_mark *m)
{
	struct open_turn *o = l->turn;

	if (o) {
		share_gather(t, o, m->start_ns, NULL, true);
		settle_outcome(o);
		engine_hand_out(t, o);
	}
	l->marked = true;
	o = provisional(t, l, m->ts_ns);
	if (!o)
		return;
	name_turn(t, o, m);
	o->marked = true;
	l->turn = o;
	engine_opened(t, o);
}

void turns_mark(struct turns *t, const struct turn_mark *m)
{
	struct lane *l = share_lane(t, m->lane);
	struct open_turn *o;
	bool own;

	if (!l || m->kind == MARK_TOTAL || m->kind == MARK_DONE || m->kind == MARK_REPLY)
		return;
	if (t->spec.kind == TURNS_AUTO && t->kind != TURNS_JSONL)
		engine_choose(t, TURNS_JSONL,
		              m->kind == MARK_TURN && t->kind == TURNS_LLM ? l->turn : NULL,
		              m->start_ns);
	if (t->kind != TURNS_JSONL && t->kind != TURNS_STDOUT)
		return;
	if (m->kind != MARK_TURN) {
		lane_aside(t, l, m->start_ns);
		return;
	}
	if (t->kind == TURNS_STDOUT && !t->any_call)
		t->begins = true;
	t->any_call = true;
	if (t->begins) {
		turn_begins(t, l, m);
		return;
	}
	o = turn_of_mark(t, l, m, &own);
	if (o)
		turn_ends(t, l, o, m, own);
}

void turns_tick(struct turns *t, uint64_t ts_ns)
{
	struct open_turn *o, *next;

	if (t->kind != TURNS_IDLE)
		return;
	for (o = TAILQ_FIRST(&t->open); o; o = next) {
		next = TAILQ_NEXT(o, link);
		if (o->inbound || !TAILQ_EMPTY(&o->active) || o->t.end_ns + t->spec.idle_ns > ts_ns)
			continue;
		runs_name(t, o);
		engine_close(t, o, ts_ns, NULL, true);
	}
}

void runs_name(struct turns *t, struct open_turn *o)
{
	if (!o->t.session_id[0])
		name_turn(t, o, NULL);
}
