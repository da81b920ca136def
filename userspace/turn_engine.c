/* SPDX-License-Identifier: BSD-2-Clause */
/* How turns open, close and are dropped, whatever rules them. */
#include "turn_engine.h"

#include <stdio.h>
#include <stdlib.h>

void engine_touch(struct turns *t, struct open_turn *o)
{
	TAILQ_REMOVE(&t->open, o, link);
	TAILQ_INSERT_HEAD(&t->open, o, link);
}

bool engine_hangs(const struct turns *t, const struct open_turn *o)
{
	return books_given_up(o->tail) && o->tail_end_ns >= t->progress_ns;
}

struct session_entry *engine_session(struct turns *t, const char *name, const char *key)
{
	return *name ? sessions_named(t->sessions, name)
	             : sessions_keyed(t->sessions, key, t->numbered);
}

struct open_turn *engine_new(struct turns *t, const struct turn_start *s)
{
	struct open_turn *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	TAILQ_INIT(&o->active);
	o->t.id = t->next_id++;
	snprintf(o->t.session_id, sizeof(o->t.session_id), "%s", s->session);
	o->t.turn_index = s->index;
	o->t.role = s->role;
	o->pid = s->pid;
	o->t.pid = s->lane.pid;
	o->t.tid = s->lane.tid;
	o->t.start_ns = o->t.end_ns = s->ns;
	o->t.ttft_ns = -1;
	o->tokens = (struct llm_tokens){ -1, -1, -1, -1 };
	o->t.status = TURN_UNKNOWN;
	o->t.at_least = s->at_least;
	o->tail = CALL_UNKNOWN;
	o->alone = !share_near(t, o->pid);
	TAILQ_INSERT_HEAD(&t->open, o, link);
	t->nopen++;
	if (t->nopen > OPEN_MAX)
		engine_abandon(t, TAILQ_LAST(&t->open, open_turns), s->ns, false);
	return o;
}

void engine_crowd(struct turns *t, struct open_turn *o)
{
	struct open_turn *other;

	TAILQ_FOREACH(other, &t->open, link)
	if (other != o && other->pid == o->pid)
		other->crowded = o->crowded = true;
}

void engine_opened(struct turns *t, struct open_turn *o)
{
	t->sink->opened(t->sink, books_balance(o));
}

void engine_forget(struct turns *t, struct open_turn *o)
{
	TAILQ_REMOVE(&t->open, o, link);
	t->nopen--;
	t->nkept -= o->nkept;
	books_free(o);
}

void engine_hand_out(struct turns *t, struct open_turn *o)
{
	struct session_entry *e;

	runs_name(t, o);
	o->t.attribution_order |= o->crowded && share_is_ordered(t, o->pid);
	t->last = *books_balance(o);
	t->any_closed = true;
	for (uint32_t i = 0; i < o->nkept; i++)
		share_booked(t, o, o->kept[i]);
	if (t->kind == TURNS_LLM)
		t->source->closed(t->state, o->t.id);
	e = sessions_named(t->sessions, o->t.session_id);
	if (e)
		e->closed++;
	t->sink->closed(t->sink, &t->last);
	engine_forget(t, o);
}

void engine_close(struct turns *t, struct open_turn *o, uint64_t ts_ns, struct open_turn *heir,
                  bool last)
{
	share_gather(t, o, ts_ns, heir, last);
	engine_hand_out(t, o);
}

void engine_drop(struct turns *t, struct open_turn *o, enum outside_why why)
{
	share_gather(t, o, o->t.end_ns, NULL, true);
	for (uint32_t i = 0; i < o->nkept; i++)
		share_outside(t, o->kept[i], why);
	engine_forget(t, o);
}

void engine_abandon(struct turns *t, struct open_turn *o, uint64_t ts_ns, bool last)
{
	bool exits = !last && t->nopen <= OPEN_MAX;

	if (o->errand) {
		serve_errand_done(t, o, ts_ns);
		return;
	}
	share_gather(t, o, ts_ns, NULL, last);
	if (exits && !runs_counts(t, o))
		return;
	if (t->stalled && engine_hangs(t, o))
		o->t.status = TURN_STALLED;
	if (o->t.status != TURN_STALLED && !runs_counts(t, o))
		engine_drop(t, o, OUTSIDE_UNMARKED);
	else
		engine_hand_out(t, o);
}

void engine_choose(struct turns *t, enum turns_kind kind, struct open_turn *but, uint64_t ts_ns)
{
	struct open_turn *o, *next;

	for (o = TAILQ_FIRST(&t->open); o; o = next) {
		next = TAILQ_NEXT(o, link);
		if (o->errand)
			serve_errand_done(t, o, ts_ns);
	}
	for (o = TAILQ_FIRST(&t->open); o; o = next) {
		next = TAILQ_NEXT(o, link);
		if (o != but)
			engine_close(t, o, ts_ns, NULL, false);
	}
	if (t->kind == TURNS_LLM)
		t->numbered = t->source->sessions(t->state);
	t->kind = kind;
	if (t->sink->chosen)
		t->sink->chosen(t->sink, kind);
}
