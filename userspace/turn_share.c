/* SPDX-License-Identifier: BSD-2-Clause */
/* The rules by which waiting calls get their turns. */
#include "turn_share.h"

#include <stdlib.h>

struct open_turn *share_find(const struct turns *t, uint64_t id)
{
	struct open_turn *o;

	TAILQ_FOREACH(o, &t->open, link)
	if (id && o->t.id == id)
		return o;
	return NULL;
}

struct open_turn *share_near(const struct turns *t, uint32_t pid)
{
	struct open_turn *o;

	TAILQ_FOREACH(o, &t->open, link)
	if (o->pid == pid && !o->served)
		return o;
	return NULL;
}

/* r is nobody's any more; if it has not ended it is kept to be known again. */
static void record_close(struct turns *t, struct record *r)
{
	record_unlink(r);
	r->state = RECORD_CLOSED;
	if (r->done)
		record_free(&t->ledger, r);
}

void share_booked(struct turns *t, struct open_turn *o, const struct record *r)
{
	struct call_attempt a = { r->logical, r->attempt };
	struct llm_call llm;
	struct call c;

	if (!t->sink->booked || r->class == CALL_OTHER)
		return;
	record_call(r, &c, &llm);
	t->sink->booked(t->sink, &o->t, &c, &r->place, &a);
}

uint32_t share_keeps(const struct turns *t, const struct open_turn *o)
{
	if (t->nkept >= KEPT_ALL_MAX)
		return 0;
	return o->errand || (!o->marked && t->kind != TURNS_LLM) ? KEPT_ALL_MAX : KEPT_MAX;
}

static bool keep(struct turns *t, struct open_turn *o, struct record *r)
{
	if (!books_keep(o, r, share_keeps(t, o)))
		return false;
	t->nkept++;
	return true;
}

/* r has ended, or is cut off at end_ns: it is added to o's books, which keep it until o closes. */
static void record_book(struct turns *t, struct open_turn *o, struct record *r, uint64_t end_ns)
{
	r->end_ns = end_ns;
	books_add(o, r, end_ns);
	record_take(&t->ledger, r);
	if (keep(t, o, r))
		return;
	o->outside_llm += r->class == CALL_LLM;
	share_booked(t, o, r);
	free(r);
}

void share_give(struct turns *t, struct open_turn *o, struct record *r)
{
	record_unlink(r);
	if (r->done) {
		record_book(t, o, r, r->end_ns);
		return;
	}
	record_activate(r, o, &o->active);
}

void share_give_own(struct turns *t, struct open_turn *o, struct record *r)
{
	if (r->start_ns < o->t.start_ns)
		o->t.start_ns = r->start_ns;
	share_give(t, o, r);
}

bool share_is_ordered(const struct turns *t, uint32_t pid)
{
	for (uint32_t i = 0; i < t->nordered; i++)
		if (t->ordered[i] == pid)
			return true;
	return false;
}

/* A call beside o went to one turn by order: with several open it may have been another's, which has lost it then. From
 * here on all turns of the process that are not alone say so. */
static void note_order(struct turns *t, const struct open_turn *o)
{
	if (o->crowded && !share_is_ordered(t, o->pid) && t->nordered < ORDERED_MAX)
		t->ordered[t->nordered++] = o->pid;
}

/* r is o's, as far as the order of things tells. What ended before o began was its work only if it waited for o. */
static void give_by_order(struct turns *t, struct open_turn *o, struct record *r)
{
	r->lane->settled = true;
	note_order(t, o);
	if (r->near == 0 && o->alone && r->op_known && !r->write && !o->inbound)
		r->read_ahead = true;
	if (r->read_ahead && r->start_ns < o->t.start_ns)
		o->t.start_ns = r->start_ns;
	if (r->near != o->t.id && r->done && r->end_ns <= o->t.start_ns &&
	    r->start_ns < o->t.start_ns) {
		share_give_nobody(t, r, OUTSIDE_NONE_NEAR);
		return;
	}
	o->t.attribution_order = true;
	share_give(t, o, r);
}

void share_outside(struct turns *t, const struct record *r, enum outside_why why)
{
	struct call_attempt a = { r->logical, r->attempt };
	struct llm_call llm;
	struct call c;

	if (!t->sink->outside || r->class == CALL_OTHER)
		return;
	record_call(r, &c, &llm);
	t->sink->outside(t->sink, &c, &r->place, &a, why);
}

void share_give_nobody(struct turns *t, struct record *r, enum outside_why why)
{
	share_outside(t, r, why);
	record_close(t, r);
}

/* The open turn of a process that opened when no other was; NULL: it has closed. */
static struct open_turn *turn_first(const struct turns *t, uint32_t pid)
{
	struct open_turn *o;

	TAILQ_FOREACH(o, &t->open, link)
	if (o->pid == pid && o->alone && !o->served)
		return o;
	return NULL;
}

void share_settle(struct turns *t, struct record *r)
{
	struct open_turn *o = r->lane->shared ? NULL : r->lane->turn;

	if (!o)
		o = r->near ? share_find(t, r->near) : turn_first(t, r->lane_id.pid);
	if (!o || o->served)
		o = share_near(t, r->lane_id.pid);
	if (o)
		give_by_order(t, o, r);
	else
		share_give_nobody(t, r, OUTSIDE_NONE_NEAR);
}

bool share_make_room(struct turns *t)
{
	struct record *r;

	if (t->ledger.nrecords < RECORDS_MAX)
		return true;
	TAILQ_FOREACH(r, &t->ledger.records, age)
	if (r->state == RECORD_PENDING && r->done)
		break;
	if (!r)
		return false;
	share_settle(t, r);
	return true;
}

void share_drop(struct turns *t, struct lane *l)
{
	while (!TAILQ_EMPTY(&l->pending))
		share_settle(t, TAILQ_FIRST(&l->pending));
	lane_free(&t->ledger, l);
}

struct lane *share_lane(struct turns *t, struct lane_id id)
{
	struct lane *l = lane_use(&t->ledger, id);

	if (l)
		return l;
	l = lane_new(&t->ledger, id);
	if (l && t->ledger.nlanes > LANES_MAX)
		share_drop(t, TAILQ_LAST(&t->ledger.lanes, lanes));
	return l;
}

/* Where the lane's pending calls before before_ns divide: those from the record returned on serve the turn that
 * follows o. After the last write, and after o's newest request, wherever that was made; where operations are unknown,
 * at the largest gap (*guessed). NULL: none of them. */
static struct record *boundary(struct lane *l, const struct open_turn *o, uint64_t before_ns,
                               bool *guessed)
{
	struct record *r, *known = TAILQ_FIRST(&l->pending), *gap = known;
	uint64_t widest = 0, end_ns = o->chat_end_ns, wide;
	bool unknown = false;

	TAILQ_FOREACH(r, &l->pending, link)
	{
		if (r->start_ns >= before_ns)
			break;
		unknown |= !r->op_known;
		if (r->write || r->start_ns < o->newest_ns)
			known = TAILQ_NEXT(r, link);
		wide = r->start_ns > end_ns ? r->start_ns - end_ns : 0;
		if (wide > widest && end_ns) {
			widest = wide;
			gap = r;
		}
		if (!r->done)
			end_ns = before_ns;
		else if (r->end_ns > end_ns)
			end_ns = r->end_ns;
	}
	if (!unknown)
		return known;
	*guessed = true;
	return before_ns > end_ns && before_ns - end_ns > widest ? r : gap;
}

/* Gives o the pending calls of l up to `until`. */
static void give_until(struct turns *t, struct lane *l, struct open_turn *o,
                       const struct record *until)
{
	struct record *r, *next;

	for (r = TAILQ_FIRST(&l->pending); r && r != until; r = next) {
		next = TAILQ_NEXT(r, link);
		share_give_own(t, o, r);
	}
}

/* No turn was seen before o: what the lane did up to its last write was the end of one before we came, or setting
 * things up. */
static void drop_writes(struct turns *t, struct lane *l, uint64_t ns)
{
	struct record *r, *last = NULL;

	TAILQ_FOREACH(r, &l->pending, link)
	{
		if (r->start_ns >= ns)
			break;
		if (r->op_known && r->write)
			last = r;
	}
	while (last && (r = TAILQ_FIRST(&l->pending))) {
		if (r == last)
			last = NULL;
		share_give_nobody(t, r, OUTSIDE_NONE_NEAR);
	}
}

void share_shift(struct turns *t, struct lane *l, struct open_turn *before, struct open_turn *o,
                 uint64_t ns)
{
	bool guessed = l->guessed;
	struct record *r, *until;

	if (l->shared)
		return;
	if (!before && !o->newest_ns && !l->marked)
		drop_writes(t, l, ns);
	if (before && before != o) {
		until = boundary(l, before, ns, &guessed);
		if (before == l->turn)
			give_until(t, l, before, until);
		while (before != l->turn && (r = TAILQ_FIRST(&l->pending)) && r != until)
			give_by_order(t, before, r);
	}
	if (guessed && before != o) {
		o->t.boundary_guessed = true;
		if (before)
			before->t.boundary_guessed = true;
	}
	l->guessed = false;
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): what is given or settled has left the list */
	while ((r = TAILQ_FIRST(&l->pending)) && r->start_ns < ns) {
		if (o->newest_ns && r->start_ns < o->t.start_ns)
			share_settle(t, r);
		else
			share_give_own(t, o, r);
	}
}

/* A lane that worked in o: what it did for it, and what it may have done for its next. */
static void close_own_lane(struct turns *t, struct lane *l, struct open_turn *o, uint64_t ts_ns,
                           bool last)
{
	struct record *until = NULL, *r;

	if (!l->shared && !last) {
		until = boundary(l, o, ts_ns, &l->guessed);
		o->t.boundary_guessed |= l->guessed;
	}
	if (!l->shared) {
		give_until(t, l, o, until);
		TAILQ_FOREACH(r, &l->pending, link)
		r->near = o->t.id;
	}
	l->turn = NULL;
}

/* The first of a helper's pending calls that may be reads for the turn that follows o: behind the last write and behind
 * o's own end. If the lane was never attributed before, it may yet turn out to have a turn of its own: then all its
 * reads since o's newest request wait as long as the last of them does. What a request of o's followed was read for it. */
static struct record *helper_reads(struct lane *l, const struct open_turn *o, uint64_t end_ns)
{
	struct record *r, *tail = TAILQ_FIRST(&l->pending),
			  *last = TAILQ_LAST(&l->pending, records);
	bool late = !last->done || last->end_ns >= end_ns;
	uint64_t since_ns = !l->settled && !l->shared && late ? o->newest_ns : end_ns;

	TAILQ_FOREACH(r, &l->pending, link)
	if (r->write || !r->op_known)
		tail = TAILQ_NEXT(r, link);
	while (tail && tail->start_ns < since_ns)
		tail = TAILQ_NEXT(tail, link);
	return tail;
}

/* Another turn of the process that a call made at ns may have been made for, for all that is known: the newest; NULL none. */
static struct open_turn *turn_beside(const struct turns *t, const struct open_turn *o, uint64_t ns)
{
	struct open_turn *p, *best = NULL;

	TAILQ_FOREACH(p, &t->open, link)
	if (p != o && p->pid == o->pid && !p->served && p->t.start_ns <= ns &&
	    (!best || p->t.id > best->t.id))
		best = p;
	return best;
}

/* A lane with no turn of its own: what it did near o is o's by order; reads behind its end wait for the next turn. */
static void close_helper(struct turns *t, struct lane *l, struct open_turn *o, uint64_t end_ns,
                         struct open_turn *heir, struct open_turn *newest)
{
	struct record *reads = heir ? helper_reads(l, o, end_ns) : NULL, *r, *next;
	struct open_turn *beside;
	bool waits = false;

	for (r = TAILQ_FIRST(&l->pending); r; r = next) {
		next = TAILQ_NEXT(r, link);
		/* a task may yet write the reply of another request: then all it did is that one's */
		beside = t->kind == TURNS_LLM || !l->id.task ? NULL
		         : newest && newest->t.start_ns <= r->start_ns
		                 ? newest
		                 : turn_beside(t, o, r->start_ns);
		if (beside) {
			r->near = r->near == o->t.id ? beside->t.id : r->near;
			continue;
		}
		if (r->write) /* reads may yet be those of a thread before its first LLM call */
			note_order(t, o);
		waits |= r == reads;
		if (r->near && r->near != o->t.id)
			continue;
		if (waits) {
			r->near = heir->t.id;
			r->read_ahead = r->start_ns >= end_ns;
		} else {
			struct open_turn *first = r->near ? NULL : turn_first(t, o->pid);

			give_by_order(t, first ? first : o, r);
		}
	}
}

/* r, o's, has not ended: it counts up to now, and its record stays, to be known again when it ends. */
static void cut_off(struct turns *t, struct open_turn *o, struct record *r, uint64_t end_ns)
{
	struct record *copy = malloc(sizeof(*copy));

	r->status = CALL_UNKNOWN;
	r->end_ns = end_ns;
	books_add(o, r, end_ns);
	if (copy)
		*copy = *r;
	if (!copy || !keep(t, o, copy)) {
		o->outside_llm += r->class == CALL_LLM;
		share_booked(t, o, r);
		free(copy);
	}
	record_close(t, r);
}

/* Calls of o that have not ended are counted up to now; their outcome is not known. */
static void close_active(struct turns *t, struct open_turn *o, uint64_t ts_ns)
{
	struct record *r;

	while ((r = TAILQ_FIRST(&o->active))) {
		cut_off(t, o, r, ts_ns > r->start_ns ? ts_ns : r->start_ns);
	}
}

void share_gather(struct turns *t, struct open_turn *o, uint64_t ts_ns, struct open_turn *heir,
                  bool last)
{
	struct open_turn *newest = t->kind == TURNS_LLM ? NULL : turn_beside(t, o, UINT64_MAX);
	struct lane *l, *next;
	uint64_t end_ns;

	for (l = TAILQ_FIRST(&t->ledger.lanes); l; l = next) {
		next = TAILQ_NEXT(l, link);
		if (l->turn == o)
			close_own_lane(t, l, o, ts_ns, last);
	}
	end_ns = TAILQ_EMPTY(&o->active) ? o->t.end_ns : ts_ns;
	for (l = TAILQ_FIRST(&t->ledger.lanes); l; l = next) {
		next = TAILQ_NEXT(l, link);
		if (l->id.pid == o->pid && (!l->turn || l->shared) && l->npending)
			close_helper(t, l, o, end_ns, heir && heir->pid == o->pid ? heir : NULL,
			             newest);
		if (l->gone && !l->npending)
			share_drop(t, l);
	}
	close_active(t, o, ts_ns);
}

void share_older(struct turns *t, struct lane *l, uint64_t ns)
{
	struct record *r;

	while ((r = TAILQ_FIRST(&l->pending)) && r->start_ns < ns)
		share_give_nobody(t, r, OUTSIDE_NONE_NEAR);
}

void share_rest(struct turns *t, struct lane *l, struct open_turn *o)
{
	give_until(t, l, o, NULL);
}

void share_process_exit(struct turns *t, uint32_t pid)
{
	for (uint32_t i = 0; i < t->nordered; i++)
		if (t->ordered[i] == pid)
			t->ordered[i] = t->ordered[--t->nordered];
}
