/* SPDX-License-Identifier: BSD-2-Clause */
/* What the turn engine hands out, and what the run says of its turns. */
#include "pipeline_state.h"

#include <stdio.h>

static void turn_opened(struct turn_sink *s, const struct turn *t)
{
	struct pipeline *p = (struct pipeline *)((char *)s - offsetof(struct pipeline, turn_sink));

	(void)t;
	stall_turn_opened(p->stall, p->now_ns);
}

static void turn_closed(struct turn_sink *s, const struct turn *t)
{
	struct pipeline *p = (struct pipeline *)((char *)s - offsetof(struct pipeline, turn_sink));

	p->nturns += t->status != TURN_STALLED;
	p->last_llm_ns = (int64_t)t->llm_ns;
	p->last_storage_ns = (int64_t)t->storage_ns;
	summary_turn(p->summary, t);
	if (!p->ended && !p->naming && t->status != TURN_STALLED)
		stall_turn(p->stall, p->now_ns);
	if (p->metrics) {
		metrics_write(p->metrics, t);
		lines_report(p->config.turns, p->config.dir, "turns");
	}
	if (log_enabled(LEVEL_DEBUG)) {
		char line[256];

		progress_turn_line(line, sizeof(line), t);
		log_debug("%s", line);
	}
}

/* A call that counts is done: its line, if there is one to write, and what the summary counts of calls. */
static void write_call(struct pipeline *p, const struct call *c, const struct call_place *place,
                       const struct call_turn *turn)
{
	summary_call(p->summary, c);
	if (!p->calls)
		return;
	calls_write(p->calls, c, place, turn);
	lines_report(p->config.calls, p->config.dir, "calls");
}

static void turn_outside(struct turn_sink *s, const struct call *c, const struct call_place *place,
                         const struct call_attempt *a, enum outside_why why)
{
	struct pipeline *p = (struct pipeline *)((char *)s - offsetof(struct pipeline, turn_sink));

	summary_outside(p->summary, c, place, outside_why_text(why));
	write_call(p, c, place, &(struct call_turn){ 0, NULL, a->logical, a->attempt });
}

static void turn_booked(struct turn_sink *s, const struct turn *t, const struct call *c,
                        const struct call_place *place, const struct call_attempt *a)
{
	struct pipeline *p = (struct pipeline *)((char *)s - offsetof(struct pipeline, turn_sink));

	write_call(p, c, place,
	           &(struct call_turn){ t->id, t->session_id, a->logical, a->attempt });
}

/* auto found something better, and what. */
static void turn_chosen(struct turn_sink *s, enum turns_kind kind)
{
	struct pipeline *p = (struct pipeline *)((char *)s - offsetof(struct pipeline, turn_sink));
	const struct turns_profile *profile = turn_marks_profile(p->marks);

	if (kind == TURNS_HTTP)
		log_info("turns by http (auto) from here on: %s, which brings a message, is served "
		         "here, so each such request is a turn",
		         p->asked);
	else
		log_info("turns by %s (auto)%s%s from here on: the run writes its log %s",
		         turns_kind_name(kind), profile ? ", profile " : "",
		         profile ? profile->name : "", turn_marks_path(p->marks));
}

void turns_say(struct pipeline *p)
{
	char text[TURNS_REASON_MAX];

	if (p->told_turns)
		return;
	p->told_turns = true;
	if (!p->config.look)
		log_info("turns %s", turns_reason(&p->turns_spec, &p->hints, text));
}

/* What the run says of its turns, of how many there are and how many are done. */
static void marked(void *ctx, const struct turn_mark *m)
{
	struct pipeline *p = ctx;

	if (m->kind == MARK_TOTAL) {
		p->unit = m->unit;
		p->units_total = m->n;
	} else if (m->kind == MARK_DONE) {
		p->unit = m->unit;
		p->units_done = m->n;
	} else {
		turns_mark(p->turns, m);
	}
}

static void file_decided(void *ctx, uint64_t ino, uint64_t dev, uint32_t n)
{
	struct pipeline *p = ctx;

	if (p->follow)
		p->follow(p->follow_ctx, ino, dev, n);
}

struct turn_sink turns_sink(void)
{
	return (struct turn_sink){ .opened = turn_opened,
		                   .closed = turn_closed,
		                   .outside = turn_outside,
		                   .booked = turn_booked,
		                   .chosen = turn_chosen };
}

struct turn_marks_ops turns_marks_ops(struct pipeline *p)
{
	return (struct turn_marks_ops){ marked, file_decided, p };
}
