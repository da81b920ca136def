/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stop plan is a list of signals made at the start; a tick sends the next one when its time
 * has come.
 */
#include "alert.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define SIGNALS_MAX 3
/* Room for all lines of the environment: two paths, two sentences and seven short ones. */
#define ENVIRONMENT_MAX 16384

struct alert {
	struct alert_plan plan;
	const struct targets *targets;
	alert_act *act;
	void *ctx;
	int signals[SIGNALS_MAX];
	unsigned nsignals;
	unsigned next;  /* signal to send */
	unsigned nsent; /* signals so far */
	bool stopping, gone;
	uint64_t due_ns;  /* of signals[next], or the end of the last grace */
	uint64_t sent_ns; /* when the newest signal was */
	struct ev_action *actions[ALERT_ACTIONS_MAX];
	size_t nactions;
	uint64_t forgotten;
};

/* ---- The environment of the user's command ---- */

struct lines {
	char *p;
	size_t n;
};

static bool is_one_line(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

/* A line that does not fit is left out whole: half a path is another path. */
static void line_add(struct lines *l, const char *name, const char *value)
{
	size_t room = ENVIRONMENT_MAX - l->n;
	int n;

	if (!value || !is_one_line(value))
		return;
	n = snprintf(l->p + l->n, room, "%s=%s\n", name, value);
	if (n > 0 && (size_t)n < room)
		l->n += (size_t)n;
	else
		l->p[l->n] = '\0';
}

static void environment_make(const struct alert *a, const struct alert_facts *f,
                             char out[static ENVIRONMENT_MAX])
{
	struct lines l = { out, 0 };
	char number[24];

	*out = '\0';
	snprintf(number, sizeof(number), "%" PRIu32, targets_first(a->targets));
	line_add(&l, "WHYSTUCK_PID", number);
	line_add(&l, "WHYSTUCK_VERDICT", f->verdict);
	line_add(&l, "WHYSTUCK_SUMMARY", f->summary);
	line_add(&l, "WHYSTUCK_WHERE", f->where);
	line_add(&l, "WHYSTUCK_WILL_WAKE", f->will_wake);
	snprintf(number, sizeof(number), "%" PRIu32, f->pid);
	line_add(&l, "WHYSTUCK_STUCK_PID", f->pid ? number : NULL);
	line_add(&l, "WHYSTUCK_SINCE", f->since);
	snprintf(number, sizeof(number), "%" PRId64, f->for_ms);
	line_add(&l, "WHYSTUCK_FOR_MS", f->for_ms >= 0 ? number : NULL);
	line_add(&l, "WHYSTUCK_RUN_ERROR", f->run_error);
	line_add(&l, "WHYSTUCK_OUTPUT", f->output);
}

/* ---- The stop plan ---- */

static void plan_make(struct alert *a)
{
	int first = a->plan.stop_signal ? a->plan.stop_signal : SIGINT;

	if (first != SIGTERM && first != SIGKILL)
		a->signals[a->nsignals++] = first;
	a->signals[a->nsignals++] = SIGTERM;
	if (a->plan.stop_kill)
		a->signals[a->nsignals++] = SIGKILL;
}

static void signal_next(struct alert *a, uint64_t now_ns)
{
	int signo = a->signals[a->next++];
	const char *name = sigabbrev_np(signo);
	char text[128 + TARGETS_TEXT_MAX], who[TARGETS_TEXT_MAX];

	a->nsent++;
	a->sent_ns = now_ns;
	a->due_ns = now_ns + a->plan.grace_ns;
	snprintf(text, sizeof(text), "SIG%s to %s: the run is stuck%s", name ? name : "?",
	         targets_text(a->targets, who),
	         a->next > 1 ? " and did not end in its time of grace" : "");
	a->act(a->ctx, ACTION_STOP, signo, text);
}

/* ---- Results ---- */

/* Adds to what is said of the newest signal: what followed it. */
static void stop_followed(struct alert *a, const char *what)
{
	for (size_t i = a->nactions; i-- > 0;) {
		struct ev_action *old = a->actions[i], *more;
		size_t n = strlen(what);

		if (old->kind != ACTION_STOP)
			continue;
		more = old->result > 0 && old->h.size + n <= EVENT_SIZE_MAX
		               ? realloc(old, old->h.size + n)
		               : NULL;
		if (!more)
			return;
		memcpy((char *)more + more->h.size, what, n);
		more->h.size += (uint32_t)n;
		a->actions[i] = more;
		return;
	}
}

static void target_ended(struct alert *a, uint64_t ts_ns)
{
	char text[64];

	if (a->gone)
		return;
	a->gone = true;
	if (!a->nsent)
		return;
	snprintf(text, sizeof(text), "; the target ended %.1f s after it",
	         ts_ns > a->sent_ns ? (double)(ts_ns - a->sent_ns) / 1e9 : 0.0);
	stop_followed(a, text);
}

static void grace_over(struct alert *a)
{
	char text[64];

	snprintf(text, sizeof(text), "; the target did not end within %.1f s",
	         (double)a->plan.grace_ns / 1e9);
	stop_followed(a, text);
}

static void action_keep(struct alert *a, const struct event *ev)
{
	struct ev_action *copy;

	if (ev->size < sizeof(*copy) || ev->size > EVENT_SIZE_MAX || !(copy = malloc(ev->size))) {
		a->forgotten++;
		return;
	}
	memcpy(copy, ev, ev->size);
	if (a->nactions == ALERT_ACTIONS_MAX) {
		free(a->actions[0]);
		memmove(a->actions, a->actions + 1, (ALERT_ACTIONS_MAX - 1) * sizeof(*a->actions));
		a->nactions--;
		a->forgotten++;
	}
	a->actions[a->nactions++] = copy;
	/* of several one may have ended just now */
	if (copy->kind == ACTION_STOP && copy->result == -ESRCH && a->targets->live <= 1)
		a->gone = true;
}

/* ---- For the pipeline ---- */

struct alert *alert_new(const struct alert_plan *plan, const struct targets *targets,
                        alert_act *act, void *ctx)
{
	struct alert *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->plan = *plan;
	a->targets = targets;
	a->act = act;
	a->ctx = ctx;
	plan_make(a);
	return a;
}

void alert_free(struct alert *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->nactions; i++)
		free(a->actions[i]);
	free(a);
}

void alert_began(struct alert *a, uint64_t now_ns, const struct alert_facts *f)
{
	char environment[ENVIRONMENT_MAX];

	if (a->plan.alert) {
		environment_make(a, f, environment);
		a->act(a->ctx, ACTION_ALERT, 0, environment);
	}
	if (a->plan.webhook)
		a->act(a->ctx, ACTION_WEBHOOK, 0, "");
	if (a->plan.stop && !a->stopping && !a->gone) {
		a->stopping = true;
		a->next = 0;
		signal_next(a, now_ns);
	}
}

void alert_tick(struct alert *a, uint64_t now_ns)
{
	if (a->gone)
		a->stopping = false;
	if (!a->stopping || now_ns < a->due_ns)
		return;
	grace_over(a);
	if (a->next < a->nsignals)
		signal_next(a, now_ns);
	else
		a->stopping = false; /* nothing left to try; a new stall begins anew */
}

void alert_event(struct alert *a, const struct event *ev)
{
	if (ev->type == EV_ACTION)
		action_keep(a, ev);
	else if (ev->type == EV_EXIT && (ev->flags & EVF_LAST) && !a->targets->live &&
	         targets_have(a->targets, ev->pid))
		target_ended(a, ev->ts_ns);
	else if (ev->type == EV_END && ((const struct ev_end *)ev)->reason == END_EXITED)
		target_ended(a, ev->ts_ns);
}

bool alert_stopping(const struct alert *a)
{
	return a->stopping && !a->gone;
}

const struct ev_action *const *alert_actions(const struct alert *a, size_t *n)
{
	*n = a->nactions;
	return (const struct ev_action *const *)a->actions;
}

uint64_t alert_forgotten(const struct alert *a)
{
	return a->forgotten;
}
