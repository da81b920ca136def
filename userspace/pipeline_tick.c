/* SPDX-License-Identifier: BSD-2-Clause */
/* What time brings: stalls that begin and end, what is slow, progress. */
#include "pipeline_state.h"

#include <stdio.h>
#include <stdlib.h>

#define SLOW_LINES_NS \
	30000000000ull /* between two lines that say what is slow: the bar shows it, too */
#define LOOK_PATIENCE_NS \
	5000000000ull /* without a snapshot by then, run_error.json is written from what is known */
/* Between the two looks at a stall: who computes, and who works, shows in what moved meanwhile. */
#define LOOK_GAP_NS 400000000ull
#define IDLE_TICKS 2 /* without a target, until it is clear that the stream goes on */

/* The oldest call that t, an open turn, waits for; NULL none. Valid until something else is named. */
static void row_waits(struct pipeline *p, const struct turn *t, struct progress_row *row)
{
	for (struct tracked *c = p->open; c; c = c->next) {
		if (!c->opened || c->call.blocks || c->call.pid != t->pid ||
		    c->call.tid != t->tid || (row->waits_on && c->call.start_ns >= row->waits_ns))
			continue;
		row->waits_on = c->endpoint.label[0] ? c->endpoint.label : c->endpoint.name;
		row->waits_ns = c->call.start_ns;
	}
}

/* Room for the rows of one frame, and for names of those whose session is not known yet. */
struct rows {
	struct progress_row v[PROGRESS_ROWS_MAX];
	char names[PROGRESS_ROWS_MAX][32];
	size_t n, more;
};

/* The turns that are open, as rows. */
static void rows_fill(struct pipeline *p, struct rows *rows)
{
	const struct turn *open[PROGRESS_ROWS_MAX];
	size_t all = turns_open_list(p->turns, p->now_ns, open, PROGRESS_ROWS_MAX);

	rows->n = all < PROGRESS_ROWS_MAX ? all : PROGRESS_ROWS_MAX;
	rows->more = all - rows->n;
	for (size_t i = 0; i < rows->n; i++) {
		const struct turn *t = open[i];

		snprintf(rows->names[i], sizeof(rows->names[i]), "thread %u", t->tid);
		rows->v[i] = (struct progress_row){
			.name = *t->session_id ? t->session_id : rows->names[i],
			.turns = turns_session_count(p->turns, t->session_id),
			.turn_ns = t->start_ns,
			.at_least = t->at_least,
			.unnamed = !*t->session_id,
		};
		row_waits(p, t, &rows->v[i]);
	}
}

void tick_progress(struct pipeline *p, bool last)
{
	struct rows rows;
	struct progress_state s = {
		.turns = p->nturns,
		.total = p->options->total,
		.unit = p->unit,
		.units_done = p->units_done,
		.units_total = p->units_total,
		.llm_ns = p->last_llm_ns,
		.storage_ns = p->last_storage_ns,
	};
	const struct stall_period *period = stall_last(p->stall);
	char oldest[160];

	if (!p->progress)
		return;
	for (struct tracked *t = p->open; t; t = t->next) {
		bool waiting = t->call.proto && strcmp(t->call.proto, "generic") == 0 &&
		               t->call.first_byte_ns;

		if (!t->opened || t->call.blocks || waiting)
			continue;
		s.in_flight++;
		if (s.oldest && t->call.start_ns >= s.oldest_ns)
			continue;
		snprintf(oldest, sizeof(oldest), "%s",
		         t->endpoint.label[0] ? t->endpoint.label : t->endpoint.name);
		s.oldest = oldest;
		s.oldest_ns = t->call.start_ns;
		s.oldest_at_least = t->call.at_least;
		s.oldest_slow = t->slow;
	}
	rows_fill(p, &rows);
	s.rows = rows.v;
	s.nrows = rows.n;
	s.rows_more = rows.more;
	if (stall_stuck(p->stall) && period) {
		s.stuck_ns = period->since_ns;
		s.stuck_on = p->stuck_on[0] ? p->stuck_on : NULL;
		s.stuck_on_ns = p->stuck_on_ns;
	}
	if (last)
		progress_finish(p->progress, &s, p->now_ns);
	else
		progress_update(p->progress, &s, p->now_ns);
}

/* Says once of each call that it is slow, which is not stuck. */
static void slow_say(struct pipeline *p, struct tracked *t, enum slow_sign sign)
{
	char open[DURATION_TEXT_MAX], p99[DURATION_TEXT_MAX];

	if (t->slow_said || (p->slow_said_ns && p->now_ns < p->slow_said_ns + SLOW_LINES_NS))
		return;
	t->slow_said = true;
	p->slow_said_ns = p->now_ns;
	log_info("slow: %s to %s open for %s, longer than this run's p99 of %s; %s",
	         t->call.op[0] ? t->call.op : "request",
	         t->endpoint.name[0] ? t->endpoint.name : t->endpoint.addr,
	         duration_text(p->now_ns - t->call.start_ns, open),
	         duration_text(slow_p99(p->slow, t->call.class), p99),
	         sign == SLOW_CONTENT ? "its connection is alive" : "the run computes");
}

static void slow_look(struct pipeline *p)
{
	struct stall_clocks clocks;

	stall_clocks(p->stall, &clocks);
	for (struct tracked *t = p->open; t; t = t->next) {
		enum slow_sign sign = t->opened ? slow_is(p->slow, &t->call, t->content_ns,
		                                          clocks.cpu_ns, p->now_ns)
		                                : SLOW_NOT;

		t->slow = sign != SLOW_NOT;
		if (t->slow && !stall_stuck(p->stall))
			slow_say(p, t, sign);
	}
}

void tick_stall_over(struct pipeline *p)
{
	turns_stalled(p->turns, false);
	p->stuck_on[0] = '\0';
	error_ended(p, stall_last(p->stall));
}

/* Threads that left a run that is stuck, and not because all of it was killed: their turns are over. */
static void leaving_settle(struct pipeline *p)
{
	for (size_t i = 0; i < p->nleaving; i++)
		turns_thread_exit(p->turns, p->leaving[i].pid, p->leaving[i].tid,
		                  p->leaving[i].ts_ns);
	p->nleaving = 0;
}

/* Calls that may hang; *n of them, free() it. NULL: out of memory. */
static const struct call **open_calls(const struct pipeline *p, size_t *n)
{
	const struct call **open = calloc(p->nopen + 1, sizeof(*open));

	*n = 0;
	for (struct tracked *t = p->open; open && t; t = t->next) {
		/* a call without framing that was answered may well be complete */
		if (t->call.proto && strcmp(t->call.proto, "generic") == 0 && t->call.first_byte_ns)
			continue;
		open[(*n)++] = &t->call;
	}
	return open;
}

/* Did the look show that there is no stall? */
bool tick_excused(struct pipeline *p)
{
	size_t n;
	const struct call **open = open_calls(p, &n);
	bool none = open && stall_excused(p->stall, open, n);

	free(open);
	if (!none)
		return false;
	turns_stalled(p->turns, false);
	p->error_due = false;
	return true;
}

void tick_look_want(struct pipeline *p)
{
	p->wants_look = true;
	p->error_since_ns = p->now_ns;
}

/*
 * No target is there, and yet the stream goes on: others will come. Then nothing is stuck, and turns of those who are gone are over.
 * Where they are all there were the stream ends within a tick.
 */
static void idle_tick(struct pipeline *p)
{
	p->idle_ticks = p->targets.live ? 0 : p->idle_ticks + 1;
	if (p->idle_ticks < IDLE_TICKS)
		return;
	stall_rest(p->stall, p->now_ns);
	for (size_t i = 0; p->idle_ticks == IDLE_TICKS && i < p->targets.n; i++)
		turns_process_exit(p->turns, p->targets.list[i].pid, p->targets.list[i].ended_ns);
}

void tick(struct pipeline *p)
{
	const struct call **open;
	size_t n;

	conns_tick(p->conns, p->now_ns);
	turns_tick(p->turns, p->now_ns);
	idle_tick(p);
	leaving_settle(p);
	open = open_calls(p, &n);
	switch (open ? stall_tick(p->stall, p->now_ns, open, n) : STALL_NONE) {
	case STALL_BEGAN:
		turns_stalled(p->turns, true);
		p->error_due = true;
		p->looked_ns = 0;
		tick_look_want(p);
		break;
	case STALL_ENDED:
		tick_stall_over(p);
		break;
	case STALL_NONE:
		break;
	}
	free(open);
	if (p->error_due && p->now_ns > p->error_since_ns + LOOK_PATIENCE_NS)
		error_report(p);
	else if (p->error_due && p->looked_ns >= p->error_since_ns &&
	         p->now_ns >= p->looked_ns + LOOK_GAP_NS)
		tick_look_want(p);
	alert_tick(p->alert, p->now_ns);
	slow_look(p);
	tick_progress(p, false);
}
