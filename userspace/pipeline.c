/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where everything meets: events to connections, calls to turns and stall, turns to files. pipeline_feed() is the straight
 * line; what the modules tell each other on the way stands in pipeline_*.c.
 */
#include "pipeline_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* The options are complete: makes what depends on them. */
static void start(struct pipeline *p)
{
	struct options *o = p->options;
	const struct conn_ops ops = calls_ops(p);
	struct alert_plan plan = {
		.alert = o->on_stuck != NULL,
		.webhook = o->webhook != NULL,
		.stop = o->stop,
		.stop_kill = o->stop_kill,
		.stop_signal = o->stop_signal,
		.grace_ns = (uint64_t)(o->stop_grace_s * 1e9),
	};
	struct progress_config bar = { .style = p->config.style,
		                       .out = p->config.out,
		                       .utf8 = p->config.utf8,
		                       .width = p->config.width,
		                       .height = p->config.height,
		                       .start_ns = p->now_ns };
	const struct turn_marks_ops marks = turns_marks_ops(p);
	const char *why;

	p->started = true;
	p->start_ns = p->now_ns;
	for (int i = 0; i < o->nrules; i++) { /* validated when they were parsed */
		const char *spec = o->rules[i].spec;

		if (o->rules[i].kind == 'l')
			endpoint_rules_add_llm(p->rules, spec, &why);
		else if (o->rules[i].kind == 's')
			endpoint_rules_add_storage(p->rules, spec, &why);
		else
			endpoint_rules_add_heartbeat(p->rules, spec, &why);
	}
	for (int i = 0; i < o->nendpoints; i++)
		endpoint_rules_add_fact(p->rules, o->endpoints[i], &why);
	turns_spec_make(o->turns, o->profile, &p->turns_spec);
	p->turns = turns_new(&p->turn_sink, &p->turns_spec, p->now_ns);
	p->marks = turn_marks_new(&p->turns_spec, &marks);
	p->conns = conns_new(&ops, p->rules, p->now_ns);
	/* a look on demand waits for no stall */
	p->stall = stall_new(p->config.look ? 0 : (uint64_t)(o->stuck_timeout_minutes * 60e9),
	                     p->now_ns);
	p->alert = alert_new(&plan, &p->targets, action_due, p);
	summary_wall_offset(p->summary, p->wall_offset_ns);
	if (p->config.turns)
		p->metrics = metrics_new(p->config.turns, p->wall_offset_ns, o->sample);
	if (p->config.calls)
		p->calls = calls_new(p->config.calls, p->wall_offset_ns);
	if (p->config.out && p->config.style != STYLE_NONE) {
		p->progress = progress_new(&bar);
		if (p->progress)
			log_set_bar(progress_hide, progress_show, p->progress);
	}
	if (!p->turns || !p->marks || !p->conns || !p->stall || !p->alert ||
	    (p->config.turns && !p->metrics) || (p->config.calls && !p->calls)) {
		log_error("out of memory");
		exit(EXIT_ERROR);
	}
}

static void on_hello(struct pipeline *p, const struct ev_hello *e)
{
	p->wall_offset_ns = e->wall_offset_ns;
	if (e->version != EVENT_VERSION)
		log_warn("the recording was made by another version (%u, this one reads %u)",
		         e->version, EVENT_VERSION);
}

static void on_option(struct pipeline *p, const struct ev_text *e)
{
	char line[1024];

	if (!p->config.replay || p->started)
		return;
	snprintf(line, sizeof(line), "%.*s", (int)(e->h.size - sizeof(*e)), e->text);
	if (options_apply(p->options, line))
		log_warn("the recording's option '%s' is not known here and passed over", line);
}

static void on_lost(struct pipeline *p, const struct ev_lost *e)
{
	uint64_t before = coverage_lost(p->coverage);

	coverage_event(p->coverage, &e->h);
	if (coverage_lost(p->coverage) == before)
		return;
	/* whatever is open may miss its end */
	for (struct tracked *t = p->open; t; t = t->next)
		call_partial(&t->call, PARTIAL_EVENTS_LOST);
	log_warn("%llu events were lost so far: turns they belong to say so",
	         (unsigned long long)coverage_lost(p->coverage));
}

static bool connect_failed(const struct ev_socket *e)
{
	return e->ret < 0 && e->ret != -EINPROGRESS && e->ret != -EALREADY && e->ret != -EINTR &&
	       e->ret != -EISCONN;
}

static void on_connect(struct pipeline *p, const struct ev_socket *e)
{
	struct conn *c;

	conns_socket(p->conns, e);
	c = conns_by_sock(p->conns, e->sock);
	if (c && c->port && !c->ignored && connect_failed(e))
		stall_connect_failed(p->stall, e->h.pid, e->h.tid, e->h.ts_ns);
}

/* A connection that went on alone (EINPROGRESS) and carried nothing could not be made, or was not wanted any more: the third
 * one in a row tells. One that failed at once has no connect_ns and was counted then. */
static void on_close(struct pipeline *p, const struct ev_close *e)
{
	const struct conn *c = e->h.type == EV_CLOSE && e->h.flags & EVF_LAST
	                               ? conns_by_sock(p->conns, e->sock)
	                               : NULL;

	if (c && c->connect_ns && c->port && !c->ignored && !c->bytes[DIR_IN] && !c->bytes[DIR_OUT])
		stall_connect_failed(p->stall, e->h.pid, e->h.tid, e->h.ts_ns);
	conns_close(p->conns, e);
}

static void on_fork(struct pipeline *p, const struct ev_fork *e)
{
	turns_thread_started(p->turns, e->child_pid, e->child_tid);
}

/* Turns of the thread end with it: their calls must be known by then. */
static void caller_left(struct pipeline *p, const struct leaving *l)
{
	struct tracked *t, *next;

	for (t = p->open; t; t = next) {
		next = t->next;
		if (t->conn && t->call.pid == l->pid && t->call.tid == l->tid)
			conn_caller_left(t->conn);
	}
}

static void on_exited(struct pipeline *p, const struct ev_exit *e)
{
	struct leaving l = { e->h.pid, e->h.tid, e->h.ts_ns };

	stall_thread_exit(p->stall, e->h.pid, e->h.tid);
	caller_left(p, &l);
	if (e->h.flags & EVF_LAST) {
		conns_process_exit(p->conns, e->h.pid, e->h.ts_ns);
		/* the last target's own turns end with the run, which may have been stuck */
		if (targets_have(&p->targets, e->h.pid) && !p->targets.live)
			p->nleaving = 0;
		else
			turns_process_exit(p->turns, e->h.pid, e->h.ts_ns);
	} else if (stall_stuck(p->stall) && targets_have(&p->targets, e->h.pid) &&
	           p->nleaving < LEAVING_MAX) {
		p->leaving[p->nleaving++] = l;
	} else {
		turns_thread_exit(p->turns, l.pid, l.tid, l.ts_ns);
	}
}

static void on_snapshot(struct pipeline *p, const struct event *e)
{
	if (e->flags & EVF_BEGIN)
		return;
	turns_say(p);
	p->naming = true;
	conns_seeded(p->conns);
	calls_find_awaited(p);
	calls_identify(p);
	if (!p->error_due || tick_excused(p))
		return;
	if (p->looked_ns)
		error_report(p);
	else
		p->looked_ns = p->now_ns;
}

static void on_end(struct pipeline *p, const struct event *e)
{
	bool stalled;
	size_t n;

	/* it may have moved since the last tick */
	if (stall_stuck(p->stall) && stall_tick(p->stall, e->ts_ns, NULL, 0) == STALL_ENDED)
		tick_stall_over(p);
	stalled = stall_stuck(p->stall);

	alert_actions(p->alert, &n);
	if (n) /* what followed them */
		error_actions(p);
	p->ended = true;
	p->end_reason = (enum end_reason)((const struct ev_end *)e)->reason;
	if (p->error_due)
		error_report(p);
	conns_end(p->conns, e->ts_ns);
	calls_give_up_late(p);
	turns_end(p->turns, e->ts_ns, stalled);
	stall_finish(p->stall, e->ts_ns);
	tick_progress(p, true);
	log_set_bar(NULL, NULL, NULL);
}

/* Those that are there from the start are told by who attaches. */
static void target_say(const struct pipeline *p, const struct event *e)
{
	if (evidence_time(p->evidence) && !p->config.replay)
		log_info("watching %u from now on: its command line matches", e->pid);
}

void pipeline_feed(struct pipeline *p, const struct event *e)
{
	if (e->ts_ns > p->now_ns)
		p->now_ns = e->ts_ns;
	if (targets_event(&p->targets, e))
		target_say(p, e);
	if (e->type == EV_HELLO)
		on_hello(p, (const void *)e);
	else if (e->type == EV_OPTION)
		on_option(p, (const void *)e);
	if (e->type == EV_HELLO || e->type == EV_OPTION)
		return;
	if (!p->started)
		start(p);
	evidence_feed(p->evidence, e);
	alert_event(p->alert, e);
	switch (e->type) {
	case EV_CONNECT:
		on_connect(p, (const void *)e);
		break;
	case EV_SOCKET:
		turns_hint(&p->hints, e);
		conns_socket(p->conns, (const void *)e);
		break;
	case EV_ACCEPT:
		conns_socket(p->conns, (const void *)e);
		break;
	case EV_DATA:
	case EV_TLS:
		conns_data(p->conns, (const void *)e);
		break;
	case EV_TLS_NAME:
		conns_named(p->conns, (const void *)e);
		break;
	case EV_BODY:
		conns_body(p->conns, (const void *)e);
		break;
	case EV_CLOSE:
	case EV_TLS_FREE:
		on_close(p, (const void *)e);
		break;
	case EV_FORK:
		on_fork(p, (const void *)e);
		break;
	case EV_PROCESS:
		turns_hint(&p->hints, e);
		break;
	case EV_FILE:
		turn_marks_file(p->marks, (const void *)e);
		coverage_event(p->coverage, e);
		break;
	case EV_WRITE:
		turn_marks_write(p->marks, (const void *)e);
		break;
	case EV_EXIT:
		on_exited(p, (const void *)e);
		break;
	case EV_THREAD:
		conns_thread(p->conns, (const void *)e);
		break;
	case EV_ACTIVITY:
		if (!(e->flags & EVF_SEEDED))
			stall_activity(p->stall, (const void *)e);
		break;
	case EV_NAME:
		if (endpoint_rules_add_name(p->rules, (const void *)e))
			conns_rename(p->conns);
		break;
	case EV_SNAPSHOT:
		on_snapshot(p, e);
		break;
	case EV_TLS_LIB:
	case EV_FD:
		coverage_event(p->coverage, e);
		break;
	case EV_LOST:
		on_lost(p, (const void *)e);
		break;
	case EV_ACTION:
		error_actions(p);
		break;
	case EV_TICK:
		tick(p);
		break;
	case EV_END:
		on_end(p, e);
		break;
	}
}

static void cover_conn(void *ctx, struct conn *c)
{
	coverage_conn(ctx, c);
}

static json_t *stalls_json(const struct pipeline *p)
{
	size_t n;
	const struct stall_period *list = stall_periods(p->stall, &n);

	return summary_stalls(list, n, p->wall_offset_ns);
}

/* All that is known of the run, {"turn_metrics_summary": ...}; NULL when out of memory. */
static json_t *runstats_json(struct pipeline *p)
{
	struct coverage_limits limits;
	json_t *coverage, *summary;

	conns_each(p->conns, cover_conn, p->coverage);
	limits = (struct coverage_limits){ p->metrics ? metrics_unwritten(p->metrics) : 0,
		                           conns_forgotten(p->conns), turns_unfollowed(p->turns) };
	coverage = coverage_json(p->coverage, &limits);
	if (p->metrics)
		summary_sampled(p->summary, p->options->sample, metrics_written(p->metrics),
		                metrics_left_out(p->metrics));
	summary = summary_json(p->summary, coverage_events(p->coverage), coverage);
	json_decref(coverage);
	if (summary)
		json_object_set_new(summary, "stall_periods", stalls_json(p));
	return summary ? json_pack("{s:o}", RUNSTATS_KEY, summary) : NULL;
}

/* --runstats: into the runner's own file, once it can write it no more. 0 or -errno. */
static int merge_runstats(struct pipeline *p, json_t *doc)
{
	const char *file = p->options->runstats, *dir = p->config.dir;
	char why[256];

	if (!file || p->config.replay || p->config.dirfd < 0)
		return 0;
	if (p->end_reason != END_EXITED) {
		log_warn("%s is left as it is: the run goes on and may write it; the summary is in "
		         "%s/runstats.json",
		         file, dir);
		return 0;
	}
	switch (runstats_file(file, json_object_get(doc, RUNSTATS_KEY), why, sizeof(why))) {
	case RUNSTATS_MERGED:
		log_info("the summary is in %s", file);
		return 0;
	case RUNSTATS_BESIDE_IT:
		log_error("cannot merge the summary into %s: %s; it is in %s" RUNSTATS_BESIDE
		          " and in %s/runstats.json",
		          file, why, file, dir);
		return -EIO;
	case RUNSTATS_NOWHERE:
		break;
	}
	log_error("cannot merge the summary into %s: %s; it is in %s/runstats.json", file, why,
	          dir);
	return -EIO;
}

static int write_runstats(struct pipeline *p, json_t *doc)
{
	int err = doc ? 0 : -ENOMEM;

	if (doc && p->config.dirfd >= 0)
		err = run_error_write(doc, p->config.dirfd, "runstats.json");
	if (err)
		log_error("cannot write %s/runstats.json: %s; the summary below is all there is",
		          p->config.dir, strerror(-err));
	return err;
}

/* What a file of lines lacks at the end of the run. 0, or -EIO when that is something. */
static int say_missing(const struct pipeline *p, const struct lines *l, const char *what,
                       const char *where)
{
	if (!l || !lines_unwritten(l))
		return 0;
	log_error("%llu %s could not be written to %s/%s; %s",
	          (unsigned long long)lines_unwritten(l), what, p->config.dir, lines_name(l),
	          where);
	return -EIO;
}

int pipeline_finish(struct pipeline *p)
{
	json_t *doc;
	int err, failed[3];

	if (!p->started)
		return 0;
	doc = runstats_json(p);
	err = write_runstats(p, doc);
	failed[0] = doc ? merge_runstats(p, doc) : 0;
	json_decref(doc);
	if (p->config.out) {
		summary_print(p->summary, p->config.out);
		if (!p->nturns)
			coverage_hint(p->coverage, p->config.out);
	}
	failed[1] = say_missing(p, p->config.turns, "turns", "they are in the summary");
	failed[2] = say_missing(p, p->config.calls, "calls", "their turns are as they should be");
	for (int i = 0; i < 3; i++)
		err = err ? err : failed[i];
	return err;
}

struct pipeline *pipeline_new(const struct pipeline_config *c)
{
	struct pipeline *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->config = *c;
	p->options = c->options;
	p->last_llm_ns = p->last_storage_ns = -1;
	p->turn_sink = turns_sink();
	p->rules = endpoint_rules_new();
	p->evidence = evidence_new();
	p->coverage = coverage_new();
	p->summary = summary_new();
	p->slow = slow_new();
	if (!p->slow || !p->rules || !p->evidence || !p->coverage || !p->summary) {
		pipeline_free(p);
		errno = ENOMEM;
		return NULL;
	}
	return p;
}

void pipeline_free(struct pipeline *p)
{
	if (!p)
		return;
	p->ended = true;
	conns_free(p->conns);
	for (size_t i = 0; i < p->nrecent; i++)
		call_forget(p->recent[i]);
	for (size_t i = 0; i < p->nlate; i++)
		call_forget(p->late[i]);
	turns_free(p->turns);
	turn_marks_free(p->marks);
	evidence_free(p->evidence);
	stall_free(p->stall);
	alert_free(p->alert);
	coverage_free(p->coverage);
	summary_free(p->summary);
	slow_free(p->slow);
	metrics_free(p->metrics);
	calls_free(p->calls);
	log_set_bar(NULL, NULL, NULL);
	progress_free(p->progress);
	endpoint_rules_free(p->rules);
	json_decref(p->error);
	finding_free(p->finding);
	for (size_t i = 0; i < p->nactions; i++)
		free(p->actions[i].text);
	free(p->action_text);
	free(p);
}

void pipeline_set_capture(struct pipeline *p, void (*capture)(void *ctx, uint64_t sock, uint32_t n),
                          void *ctx)
{
	p->capture = capture;
	p->capture_ctx = ctx;
}

void pipeline_set_follow(struct pipeline *p,
                         void (*follow)(void *ctx, uint64_t ino, uint64_t dev, uint32_t n),
                         void *ctx)
{
	p->follow = follow;
	p->follow_ctx = ctx;
}

const struct targets *pipeline_targets(const struct pipeline *p)
{
	return &p->targets;
}

unsigned pipeline_stalls(const struct pipeline *p)
{
	return p->stall ? stall_count(p->stall) : 0;
}

static void count_conn(void *ctx, struct conn *c)
{
	size_t *n = ctx;

	*n += c->sock && !c->ignored;
}

size_t pipeline_connections(const struct pipeline *p)
{
	size_t n = 0;

	if (p->conns)
		conns_each(p->conns, count_conn, &n);
	return n;
}

unsigned pipeline_tls_libraries(const struct pipeline *p)
{
	return coverage_hooked(p->coverage);
}
