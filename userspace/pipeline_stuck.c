/* SPDX-License-Identifier: BSD-2-Clause */
/* The run is stuck: the verdict, run_error.json, alerts and what else is asked of the world outside. */
#include "pipeline_state.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static const struct endpoint *endpoint_of(void *ctx, uint64_t sock)
{
	struct pipeline *p = ctx;
	struct conn *c = conns_by_sock(p->conns, sock);

	if (!c)
		return NULL;
	return c->peer ? &c->peer->endpoint : &c->endpoint;
}

/* The clock that moved last of n, and when; 0: none did. */
struct clock {
	const char *name;
	uint64_t ns;
};

static struct clock newest(const struct clock *clocks, size_t n)
{
	struct clock found = { NULL, 0 };

	for (size_t i = 0; i < n; i++)
		if (clocks[i].ns > found.ns)
			found = clocks[i];
	return found;
}

static void history_fill(const struct pipeline *p, struct history *h)
{
	struct stall_clocks c;
	struct clock moved, stirred;

	stall_clocks(p->stall, &c);
	moved = newest((struct clock[]){ { "content", c.content_ns },
	                                 { "calls", c.calls_ns },
	                                 { "turns", c.turns_ns } },
	               3);
	stirred = newest((struct clock[]){ { "output", c.output_ns },
	                                   { "system calls", c.syscalls_ns } },
	                 2);
	*h = (struct history){
		.start_ns = p->start_ns,
		.moved_ns = moved.ns,
		.moved = moved.name,
		.stirred_ns = stirred.ns,
		.stirred = stirred.name,
		.failed = c.failed,
		/* the few calls that end within a look are the short ones */
		.llm_p99_ns = p->config.look ? 0 : slow_p99(p->slow, CALL_LLM),
		.storage_p99_ns = p->config.look ? 0 : slow_p99(p->slow, CALL_STORAGE),
		.turns = c.turns,
		.turn_ns = c.turns_ns,
		.calls_since_turn = c.calls_since_turn,
		.written_ns = c.output_ns,
	};
}

void finding_free(struct finding *f)
{
	if (f)
		free(f->open);
	free(f);
}

/* NULL: out of memory. */
static struct finding *finding_new(struct pipeline *p)
{
	struct finding *f = calloc(1, sizeof(*f));
	size_t n = 0;

	if (f)
		f->open = calls_open(p, &n);
	if (!f || !f->open) {
		finding_free(f);
		return NULL;
	}
	for (size_t i = 0; i < p->nrecent; i++)
		f->recent[i] = (struct call_view){ &p->recent[i]->call, &p->recent[i]->endpoint,
			                           p->recent[i]->sock };
	history_fill(p, &f->history);
	f->history.recent = f->recent;
	f->history.nrecent = p->nrecent;
	f->look = (struct look){
		.now_ns = p->now_ns,
		.pid = targets_first(&p->targets),
		.evidence = p->evidence,
		.stall = p->config.look ? NULL : p->stall,
		.history = &f->history,
		.open = f->open,
		.nopen = n,
		.silent_min_ns = (uint64_t)llround(p->options->stuck_timeout_minutes * 60e9),
		.endpoint_of = endpoint_of,
		.ctx = p,
	};
	diagnosis_make(&f->look, &f->diagnosis);
	f->in = (struct run_error_input){
		.look = &f->look,
		.diagnosis = &f->diagnosis,
		.wall_offset_ns = p->wall_offset_ns,
		.last_event_ns = p->config.look ? f->history.moved_ns
		                                : stall_last_progress(p->stall),
		.stuck_timeout_minutes = p->options->stuck_timeout_minutes,
		.last_turn = turns_last(p->turns),
		.open_turn = turns_open(p->turns),
		.recent = f->recent,
		.nrecent = p->nrecent,
	};
	f->in.actions = alert_actions(p->alert, &f->in.nactions);
	return f;
}

const struct run_error_input *pipeline_diagnose(struct pipeline *p)
{
	finding_free(p->finding);
	p->finding = p->started ? finding_new(p) : NULL;
	return p->finding ? &p->finding->in : NULL;
}

static void error_save(struct pipeline *p)
{
	int err = p->config.dirfd < 0 || !p->error
	                  ? 0
	                  : run_error_write(p->error, p->config.dirfd, "run_error.json");

	if (err)
		log_error("cannot write %s/run_error.json: %s; the verdict stands in the line "
		          "above, the watch goes on",
		          p->config.dir, strerror(-err));
}

/* For the bar: the verdict, and the innermost of the functions where it is. */
static void stuck_on_say(struct pipeline *p, const struct cause *c)
{
	const char *rest = strstr(c->where, " <- ");
	size_t n = rest ? (size_t)(rest - c->where) : strlen(c->where);

	snprintf(p->stuck_on, sizeof(p->stuck_on), "%s%s%.*s", verdict_name(c->kind), n ? ", " : "",
	         (int)n, c->where);
	p->stuck_on_ns = c->since_ns;
}

/* The run is stuck and we looked: says so, writes it down, alerts. */
void error_report(struct pipeline *p)
{
	const struct stall_period *period = stall_last(p->stall);
	struct finding *f = finding_new(p);
	char text[TIMESTAMP_TEXT_MAX], path[4200];
	const struct cause *verdict;
	struct alert_facts facts;
	uint64_t since;

	p->error_due = false;
	summary_stall(p->summary);
	json_decref(p->error);
	p->error = f ? run_error_json(&f->in) : NULL;
	if (!p->error) {
		finding_free(f);
		log_error("out of memory while writing run_error.json");
		return;
	}
	verdict = &f->diagnosis.causes[0];
	stall_name(p->stall, verdict_name(verdict->kind));
	stuck_on_say(p, verdict);
	log_warn("stuck (%s): %s%s%s", verdict_name(verdict->kind), verdict->summary,
	         *verdict->where ? ". " : "", verdict->where);
	error_save(p);
	snprintf(path, sizeof(path), "%s/run_error.json", p->config.dir ? p->config.dir : ".");
	since = verdict->since_ns ? verdict->since_ns : period ? period->since_ns : p->now_ns;
	facts = (struct alert_facts){
		.verdict = verdict_name(verdict->kind),
		.summary = verdict->summary,
		.where = *verdict->where ? verdict->where : NULL,
		.will_wake = wake_name(verdict->wake.answer),
		.pid = verdict->pid,
		.since = timestamp_text(since + p->wall_offset_ns, text),
		.for_ms = (int64_t)((p->now_ns - since) / 1000000),
		.run_error = path,
		.output = p->config.dir,
	};
	alert_began(p->alert, p->now_ns, &facts);
	finding_free(f);
}

/* The result of an action belongs into the document already written. */
void error_actions(struct pipeline *p)
{
	struct finding *f = p->error ? finding_new(p) : NULL;
	json_t *doc = f ? run_error_json(&f->in) : NULL;

	if (doc) {
		json_object_set(p->error, "actions", json_object_get(doc, "actions"));
		json_decref(doc);
		error_save(p);
	}
	finding_free(f);
}

/* The run moves again: the document of what held it up stays, with its end. */
void error_ended(struct pipeline *p, const struct stall_period *period)
{
	uint64_t for_ns = period->end_ns - period->since_ns;
	char length[DURATION_TEXT_MAX], at[TIMESTAMP_TEXT_MAX];

	log_warn("moving again after %s (%s%s%s)", duration_text(for_ns, length), period->clock,
	         period->verdict ? ", " : "", period->verdict ? period->verdict : "");
	if (p->error_due) { /* it moved before it was written */
		p->error_due = false;
		summary_stall(p->summary);
		return;
	}
	if (!p->error)
		return;
	timestamp_text(period->end_ns + p->wall_offset_ns, at);
	json_object_set_new(p->error, "ended",
	                    json_pack("{s:s, s:f}", "at", at, "for_ms", (double)for_ns / 1e6));
	error_save(p);
}

/* URL, line feed, document. NULL: out of memory. */
static char *webhook_text(const struct pipeline *p)
{
	char *doc = json_dumps(p->error, JSON_INDENT(2) | JSON_REAL_PRECISION(15)), *text = NULL;

	if (doc && asprintf(&text, "%s\n%s", p->options->webhook, doc) < 0)
		text = NULL;
	free(doc);
	return text;
}

void action_due(void *ctx, enum action_kind kind, int signo, const char *text)
{
	struct pipeline *p = ctx;
	char *copy = NULL, who[TARGETS_TEXT_MAX];

	if (p->nactions == ACTIONS_MAX)
		return;
	if (kind == ACTION_ALERT) { /* the command first, then its environment */
		size_t n = strlen(p->options->on_stuck) + strlen(text) + 2;

		copy = malloc(n);
		if (copy)
			snprintf(copy, n, "%s\n%s", p->options->on_stuck, text);
	} else if (kind == ACTION_WEBHOOK) {
		copy = webhook_text(p);
	} else {
		copy = strdup(text);
		log_warn("stopping the run: SIG%s to %s",
		         sigabbrev_np(signo) ? sigabbrev_np(signo) : "?",
		         targets_text(&p->targets, who));
	}
	if (copy)
		p->actions[p->nactions++] = (struct pipeline_action){ kind, signo, copy };
}

bool pipeline_next_action(struct pipeline *p, struct pipeline_action *a)
{
	free(p->action_text);
	p->action_text = NULL;
	if (!p->nactions)
		return false;
	*a = p->actions[0];
	p->action_text = a->text;
	memmove(p->actions, p->actions + 1, --p->nactions * sizeof(*p->actions));
	return true;
}

bool pipeline_wants_look(struct pipeline *p)
{
	bool wants = p->wants_look;

	p->wants_look = false;
	return wants;
}
