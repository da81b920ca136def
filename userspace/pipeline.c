/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where everything meets: events to connections, calls to turns and stall, turns to files. pipeline_feed() is the straight
 * line; the rest of this file is what the modules tell each other on the way.
 */
#include "pipeline.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "alert.h"
#include "conn.h"
#include "coverage.h"
#include "evidence.h"
#include "identify.h"
#include "out/calls.h"
#include "out/metrics.h"
#include "out/run_error.h"
#include "out/runstats.h"
#include "out/summary.h"
#include "slow.h"
#include "stall.h"
#include "turn.h"
#include "turn_mark.h"

#define ACTIONS_MAX 32 /* due, not yet taken by the caller */
#define SLOW_LINES_NS \
	30000000000ull /* between two lines that say what is slow: the bar shows it, too */
#define LATE_MAX 64    /* calls from before attach whose endpoint has no name yet */
/* Calls found in one snapshot by who waits for them; a loop with more is beyond telling anyway. */
#define AWAITED_MAX 1024
#define LOOK_PATIENCE_NS \
	5000000000ull /* without a snapshot by then, run_error.json is written from what is known */
/* Between the two looks at a stall: who computes, and who works, shows in what moved meanwhile. */
#define LOOK_GAP_NS 400000000ull
/* Ends of threads during a stall that wait for a tick; of more than a large pool has, the rest counts at once. */
#define IDLE_TICKS 2 /* without a target, until it is clear that the stream goes on */
#define LEAVING_MAX 512

/* A call with what the pipeline knows of it. The call comes first: freeing it frees all. */
struct tracked {
	struct call call;
	struct conn *conn; /* NULL when done */
	struct endpoint endpoint;
	uint64_t sock;
	bool first;           /* of its connection, log-ins aside */
	bool start_known;     /* whether setting up the connection is part of it was decided */
	bool opened, sent;    /* the turn engine knows */
	bool slow, slow_said; /* now; in the log */
	uint64_t content_ns;  /* newest content already counted as progress */
	struct tracked *prev, *next;
};

/* Clocks that tell a run which moves from one that does not, for the diagnosis. */

/* All that a verdict is made of, and the verdict: views into the pipeline as it is now. */
struct finding {
	struct look look;
	struct history history;
	struct diagnosis diagnosis;
	struct run_error_input in;
	struct call_view *open;
	struct call_view recent[RUN_ERROR_RECENT_MAX];
};

struct pipeline {
	struct pipeline_config config;
	void (*capture)(void *ctx, uint64_t sock, uint32_t n);
	void *capture_ctx;
	void (*follow)(void *ctx, uint64_t ino, uint64_t dev, uint32_t n);
	void *follow_ctx;
	struct options *options;
	bool started, ended;
	enum end_reason end_reason; /* once ended */
	bool naming; /* calls of the past become known: what that does to turns is no progress */
	struct targets targets;
	unsigned idle_ticks; /* in a row at which no target was there */
	uint64_t wall_offset_ns, now_ns, start_ns;

	struct endpoint_rules *rules;
	struct conns *conns;
	struct turns *turns;
	struct turns_spec turns_spec;
	struct turns_hints hints; /* what `auto` has to go by before anything is seen */
	struct turn_marks *marks;
	const char *asked; /* operation of the request to the target that is being told */
	bool told_turns;   /* by what turns are told was said */
	const char *unit;  /* of the run's own counting, NULL none */
	uint64_t units_done, units_total;
	struct turn_sink turn_sink;
	struct evidence *evidence;
	struct stall *stall;
	struct slow *slow;
	struct alert *alert;
	struct coverage *coverage;
	struct summary *summary;
	struct metrics *metrics;
	struct calls *calls; /* NULL: no calls.jsonl */
	struct progress *progress;

	uint64_t ids, nturns;
	int64_t last_llm_ns, last_storage_ns;
	struct tracked *open; /* newest first */
	size_t nopen;
	struct tracked *recent[RUN_ERROR_RECENT_MAX];
	size_t nrecent;
	struct tracked *late[LATE_MAX]; /* done, waiting for a name */
	size_t nlate;

	bool wants_look, error_due;
	uint64_t error_since_ns; /* when the look that is awaited was wanted */
	uint64_t looked_ns; /* when the first of the two looks at the stall was done, 0 not yet */
	json_t *error;      /* run_error.json as last written */
	struct finding *finding; /* handed out last by pipeline_diagnose */
	struct pipeline_action actions[ACTIONS_MAX];
	size_t nactions;
	char *action_text; /* of the action handed out last */
	char stuck_on[160];
	uint64_t stuck_on_ns;
	struct leaving {
		uint32_t pid, tid;
		uint64_t ts_ns;
	} leaving[LEAVING_MAX];
	size_t nleaving;
	uint64_t slow_said_ns; /* when a line said last that a call is slow */
};

/* ---- calls ---- */

static void tracked_unlink(struct pipeline *p, struct tracked *t)
{
	if (t->prev)
		t->prev->next = t->next;
	else
		p->open = t->next;
	if (t->next)
		t->next->prev = t->prev;
	t->prev = t->next = NULL;
	p->nopen--;
}

static struct call *call_opened(void *ctx, struct conn *conn, const struct stamp *at)
{
	struct pipeline *p = ctx;
	struct tracked *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	call_init(&t->call);
	t->call.id = ++p->ids;
	t->call.conn = conn->id;
	t->call.pid = at->pid;
	t->call.tid = at->tid;
	t->call.task = at->task;
	t->call.inbound = conn->role == ROLE_SERVER;
	t->conn = conn;
	t->first = conn->real_calls == 0 && conn->open == 0;
	t->next = p->open;
	if (p->open)
		p->open->prev = t;
	p->open = t;
	p->nopen++;
	return &t->call;
}

static struct call_place place_of(const struct tracked *t)
{
	struct call_place place;
	bool storage = t->call.class == CALL_STORAGE;

	snprintf(place.label, sizeof(place.label), "%s", t->endpoint.label);
	snprintf(place.system, sizeof(place.system), "%s", t->endpoint.system);
	snprintf(place.endpoint, sizeof(place.endpoint), "%.127s",
	         storage && t->endpoint.addr[0] ? t->endpoint.addr : t->endpoint.name);
	return place;
}

/* A call to a server of unknown kind: it may lead to who serves it, or begin a turn. */
static void tell_other(struct pipeline *p, struct tracked *t, bool done)
{
	struct call_place place = place_of(t);

	if (t->call.class != CALL_OTHER || t->call.inbound)
		return;
	turns_call_sent(p->turns, &t->call, &place);
	if (done)
		turns_call_done(p->turns, &t->call, &place);
}

/* The watched process's own call of which this request to the target is the other end. */
static struct call_client client_of(struct pipeline *p, const struct tracked *t)
{
	const struct conn *far = t->conn ? conn_far_end(t->conn) : NULL;
	struct call_client client = { 0 };

	for (struct tracked *o = far ? p->open : NULL; o; o = o->next) {
		if ((o->conn != far && o->conn != far->peer) || o->call.inbound)
			continue;
		client = (struct call_client){ o->call.id,
			                       o->call.class,
			                       { o->call.pid, o->call.tid, o->call.task },
			                       o->call.start_ns };
	}
	return client;
}

static void tell_inbound(struct pipeline *p, struct tracked *t)
{
	struct call_client client = client_of(p, t);

	p->asked = t->call.op;
	turns_inbound_sent(p->turns, &t->call, &client);
}

/* Tells the turn engine and the stall clocks what they do not know yet of a call that is LLM or storage. */
static void tell(struct pipeline *p, struct tracked *t, bool sent)
{
	struct call_place place;

	if (t->call.class != CALL_LLM && t->call.class != CALL_STORAGE)
		return;
	/* a log-in belongs to the call it is made for (conn_call_start), unless it fails */
	if (t->call.setup && (!t->call.end_ns || t->call.status == CALL_OK))
		return;
	place = place_of(t);
	if (!t->opened) {
		t->opened = true;
		turns_call_opened(p->turns, &t->call, &place);
		stall_call_started(p->stall, &t->call);
	}
	if (sent && !t->sent) {
		t->sent = true;
		turns_call_sent(p->turns, &t->call, &place);
	}
}

static void late_settle(struct pipeline *p, const struct conn *c, const struct endpoint *e,
                        enum call_class class);

/* What kind of call this is, as far as it can be told by now. */
static void classify(struct pipeline *p, struct tracked *t)
{
	struct conn *c = t->conn;
	struct call *call = &t->call;

	if (call->host[0])
		conn_host(c, call->host);
	t->endpoint = c->endpoint;
	t->sock = conn_socket(c) ? conn_socket(c)->sock : 0;
	if (t->first && !t->start_known && t->sock && call->request_ns && !call->at_least) {
		t->start_known = true;
		call->start_ns = conn_call_start(c, call->tid, call->request_ns);
	}
	if (c->role == ROLE_SERVER) {
		/* a request to the target: not one of its own calls */
		call->inbound = true;
		if (call->class != CALL_HEARTBEAT)
			call->class = CALL_OTHER;
		return;
	}
	endpoint_classify(p->rules, &t->endpoint, call);
	if (call->class == CALL_LLM && call->llm && call->llm->provider[0])
		snprintf(t->endpoint.label, sizeof(t->endpoint.label), "%s", call->llm->provider);
	if (call->class == CALL_LLM || call->class == CALL_STORAGE) {
		c->carries = call->class;
		if (c->peer)
			c->peer->carries = call->class;
		late_settle(p, c, &t->endpoint, call->class);
	}
}

static void call_sent(void *ctx, struct conn *conn, struct call *call)
{
	struct pipeline *p = ctx;
	struct tracked *t = (struct tracked *)call;

	(void)conn;
	classify(p, t);
	tell(p, t, true);
	if (call->inbound)
		tell_inbound(p, t);
	else
		tell_other(p, t, false);
}

static void forget(struct tracked *t)
{
	if (t)
		call_free(&t->call);
}

/* Keeps a done call for run_error.json's recent_calls. */
static void remember(struct pipeline *p, struct tracked *t)
{
	if (t->call.class == CALL_HEARTBEAT) {
		forget(t);
		return;
	}
	if (t->call.llm) {
		free(t->call.llm->history.messages);
		t->call.llm->history.messages = NULL;
		t->call.llm->history.n = 0;
	}
	if (p->nrecent == RUN_ERROR_RECENT_MAX) {
		forget(p->recent[0]);
		memmove(p->recent, p->recent + 1, --p->nrecent * sizeof(*p->recent));
	}
	p->recent[p->nrecent++] = t;
}

/* A call is complete: everybody who counts learns it. */
static void settle(struct pipeline *p, struct tracked *t)
{
	struct call_place place;

	/* a log-in that worked is no call of its own */
	if (t->call.setup && t->call.status == CALL_OK)
		t->call.class = CALL_HEARTBEAT;
	coverage_call(p->coverage, &t->call);
	tell(p, t, true);
	if (t->call.inbound)
		turns_inbound_done(p->turns, &t->call);
	else
		tell_other(p, t, true);
	if (t->opened) {
		place = place_of(t);
		turns_call_done(p->turns, &t->call, &place);
		/* a call that was given up because the run ends did not fail */
		if (!p->ended && t->call.status != CALL_UNKNOWN)
			stall_call_done(p->stall, &t->call);
		slow_done(p->slow, &t->call);
	}
	remember(p, t);
}

static bool refused(const char *kind)
{
	return strcmp(kind, "WRONGPASS") == 0 || strcmp(kind, "NOAUTH") == 0 ||
	       strcmp(kind, "NOPERM") == 0;
}

static void call_ended(void *ctx, struct conn *conn, struct call *call)
{
	struct pipeline *p = ctx;
	struct tracked *t = (struct tracked *)call;

	classify(p, t);
	/* a log-in that was refused is an error of the store's, not a sign of life */
	if (call->setup && call->class == CALL_HEARTBEAT && refused(call->error_kind))
		call->class = CALL_STORAGE;
	if (call->setup && conn_socket(conn))
		conn_set_up(conn, call->end_ns);
	tracked_unlink(p, t);
	t->conn = NULL;
	/* which endpoint this was may show when the connection is used again */
	if (call->class == CALL_OTHER && call->at_least && p->nlate < LATE_MAX && !p->ended) {
		p->late[p->nlate++] = t;
		return;
	}
	settle(p, t);
}

/* An endpoint got its name: so do the calls to the same address that began before we came. */
static bool same_peer(const struct tracked *t, const struct conn *c, const struct endpoint *e)
{
	return t->call.conn == c->id || (e->addr[0] && strcmp(t->endpoint.addr, e->addr) == 0);
}

static void late_settle(struct pipeline *p, const struct conn *c, const struct endpoint *e,
                        enum call_class class)
{
	size_t kept = 0, n = p->nlate;
	struct tracked *late[LATE_MAX];

	memcpy(late, p->late, n * sizeof(*late));
	p->nlate = 0;
	for (size_t i = 0; i < n; i++) {
		struct tracked *t = late[i];

		if (!same_peer(t, c, e)) {
			p->late[kept++] = t;
			continue;
		}
		t->call.class = class;
		t->endpoint = *e;
		settle(p, t);
	}
	p->nlate = kept;
	for (struct tracked *t = p->open; t; t = t->next) {
		if (t->opened || !t->call.at_least || t->call.class != CALL_OTHER ||
		    !same_peer(t, c, e))
			continue;
		t->call.class = class;
		t->endpoint = *e;
		tell(p, t, true);
	}
}

static void late_give_up(struct pipeline *p)
{
	for (size_t i = 0; i < p->nlate; i++)
		settle(p, p->late[i]);
	p->nlate = 0;
}

/* Bytes moved: which of them were content? */
static void bytes_moved(void *ctx, struct conn *conn, int dir, uint64_t ts_ns)
{
	struct pipeline *p = ctx;

	for (struct tracked *t = p->open; t; t = t->next) {
		struct call *c = &t->call;

		if (t->conn != conn || c->blocks)
			continue;
		if (!t->opened) /* the class may be known before the request is complete */
			classify(p, t), tell(p, t, false);
		if (c->class != CALL_LLM && c->class != CALL_STORAGE)
			continue;
		if (c->llm && dir == DIR_IN) {
			if (c->llm->last_content_ns <= t->content_ns)
				continue; /* a ping, a comment, a role */
			t->content_ns = c->llm->last_content_ns;
		} else if (dir == DIR_IN && call_gets_filler(c) &&
		           c->filler_ns == c->last_byte_ns) {
			continue; /* the same, of a reply whose beginning was not seen */
		} else if (dir == DIR_IN) {
			t->content_ns = ts_ns;
		}
		if (c->llm && dir == DIR_IN)
			stall_content(p->stall, ts_ns);
		else
			stall_bytes(p->stall, c, ts_ns);
	}
}

static void conn_gone(void *ctx, struct conn *c)
{
	struct pipeline *p = ctx;

	coverage_conn(p->coverage, c);
}

static void capture_enough(void *ctx, uint64_t sock, uint32_t n)
{
	struct pipeline *p = ctx;

	if (p->capture)
		p->capture(p->capture_ctx, sock, n);
}

/* ---- turns ---- */

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

static void turns_say(struct pipeline *p)
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

/* ---- calls from before we came ---- */

/* Views of all open calls; *n of them, free() it. */
static struct call_view *open_views(struct pipeline *p, size_t *n)
{
	struct call_view *v = calloc(p->nopen + 1, sizeof(*v));

	*n = 0;
	for (struct tracked *t = p->open; v && t; t = t->next) {
		const struct conn *s = conn_socket(t->conn);

		if (!t->opened)
			t->endpoint = t->conn->endpoint;
		v[(*n)++] = (struct call_view){ &t->call, &t->endpoint, s ? s->sock : 0 };
	}
	return v;
}

/* Replies are awaited that no counter shows: each is a call, too. */
static void find_awaited(struct pipeline *p)
{
	struct awaited *rows = calloc(AWAITED_MAX, sizeof(*rows));
	struct identify *i = NULL;
	struct call_view *open;
	size_t n;

	open = open_views(p, &n);
	if (rows && open)
		i = identify_new(p->evidence, open, n);
	n = i ? identify_awaited(i, rows, AWAITED_MAX) : 0;
	for (size_t k = 0; k < n; k++)
		conns_awaited(p->conns, rows[k].sock, rows[k].since_ns);
	identify_free(i);
	free(open);
	free(rows);
}

/* Its bytes say nothing and its endpoint, or what it asked for, is not known. */
static bool is_unnamed(const struct tracked *t)
{
	bool generic = t->call.proto && strcmp(t->call.proto, "generic") == 0;

	return t->conn && !t->call.inbound && (t->call.at_least || generic) && !t->call.llm &&
	       (t->call.class == CALL_OTHER || !t->call.op[0]);
}

/* What was found out becomes the call's and its connection's; a health check stays the call's alone. */
static void learn(struct pipeline *p, struct tracked *t, const struct identity *id)
{
	struct conn_told told = { .class = id->class, .how = id->how, .unsure = !id->sure };
	struct call *call = &t->call, probe;

	snprintf(told.label, sizeof(told.label), "%s",
	         id->class == CALL_LLM ? id->provider : id->system);
	snprintf(told.system, sizeof(told.system), "%s",
	         id->class != CALL_STORAGE ? ""
	         : id->system[0]           ? id->system
	                                   : "unknown");
	if (!call->op[0] && id->op[0]) {
		snprintf(call->op, sizeof(call->op), "%s", id->op);
		call->op_known = id->http && id->sure;
		call->write = id->http && id->write;
	}
	call->blocks |= id->blocks;
	if (id->host[0] && !t->conn->endpoint.host[0])
		conn_host(t->conn, id->host);
	probe = *call;
	probe.proto = id->http ? "http" : call->proto;
	endpoint_classify(p->rules, &t->conn->endpoint, &probe);
	if (probe.class == CALL_HEARTBEAT && !t->opened)
		call->class = CALL_HEARTBEAT;
	else
		conn_tell(t->conn, &told);
	if (t->opened)
		classify(p, t);
}

/* Names the open calls that began before we came, from the newest snapshot. */
static void identify_open(struct pipeline *p)
{
	struct identity *ids = calloc(p->nopen + 1, sizeof(*ids));
	bool *known = calloc(p->nopen + 1, sizeof(*known));
	struct identify *i = NULL;
	struct call_view *open;
	size_t n, k = 0;

	open = open_views(p, &n);
	if (ids && known && open && evidence_time(p->evidence))
		i = identify_new(p->evidence, open, n);
	p->naming = true;
	/* all are asked before any learns: the order must not matter */
	for (struct tracked *t = p->open; i && t; t = t->next, k++)
		known[k] = is_unnamed(t) && identify_call(i, &open[k], &ids[k]);
	k = 0;
	for (struct tracked *t = p->open; i && t; t = t->next, k++)
		if (known[k])
			learn(p, t, &ids[k]);
	identify_free(i);
	for (struct tracked *t = p->open; t; t = t->next) {
		if (!t->opened) {
			classify(p, t);
			tell(p, t, t->call.at_least);
		}
	}
	p->naming = false;
	free(open);
	free(known);
	free(ids);
}

/* ---- stuck ---- */

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

static void finding_free(struct finding *f)
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
		f->open = open_views(p, &n);
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
static void error_report(struct pipeline *p)
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
static void error_actions(struct pipeline *p)
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
static void error_ended(struct pipeline *p, const struct stall_period *period)
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

static void action_due(void *ctx, enum action_kind kind, int signo, const char *text)
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

/* ---- ticks ---- */

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

/* The turns that are open, as rows; how many. *more: further ones there are. */
static size_t rows_fill(struct pipeline *p, struct progress_row *rows, size_t *more)
{
	const struct turn *open[PROGRESS_ROWS_MAX];
	size_t n = turns_open_list(p->turns, open, PROGRESS_ROWS_MAX);

	*more = turns_open_count(p->turns) > n ? turns_open_count(p->turns) - n : 0;
	for (size_t i = 0; i < n; i++) {
		rows[i] = (struct progress_row){
			.name = open[i]->session_id,
			.turns = turns_session_count(p->turns, open[i]->session_id),
			.turn_ns = open[i]->start_ns,
			.at_least = open[i]->at_least,
		};
		row_waits(p, open[i], &rows[i]);
	}
	return n;
}

static void show_progress(struct pipeline *p, bool last)
{
	struct progress_row rows[PROGRESS_ROWS_MAX];
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
	s.rows = rows;
	s.nrows = rows_fill(p, rows, &s.rows_more);
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

static void stall_over(struct pipeline *p)
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
static bool excused(struct pipeline *p)
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

static void look_want(struct pipeline *p)
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

static void on_tick(struct pipeline *p)
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
		look_want(p);
		break;
	case STALL_ENDED:
		stall_over(p);
		break;
	case STALL_NONE:
		break;
	}
	free(open);
	if (p->error_due && p->now_ns > p->error_since_ns + LOOK_PATIENCE_NS)
		error_report(p);
	else if (p->error_due && p->looked_ns >= p->error_since_ns &&
	         p->now_ns >= p->looked_ns + LOOK_GAP_NS)
		look_want(p);
	alert_tick(p->alert, p->now_ns);
	slow_look(p);
	show_progress(p, false);
}

/* ---- events ---- */

/* The options are complete: makes what depends on them. */
static void start(struct pipeline *p)
{
	struct options *o = p->options;
	const struct conn_ops ops = { call_opened, call_sent,      call_ended, bytes_moved,
		                      conn_gone,   capture_enough, p };
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
	const struct turn_marks_ops marks = { marked, file_decided, p };
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

static void on_exited(struct pipeline *p, const struct ev_exit *e)
{
	struct leaving l = { e->h.pid, e->h.tid, e->h.ts_ns };

	stall_thread_exit(p->stall, e->h.pid, e->h.tid);
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
	find_awaited(p);
	identify_open(p);
	if (!p->error_due || excused(p))
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
		stall_over(p);
	stalled = stall_stuck(p->stall);

	alert_actions(p->alert, &n);
	if (n) /* what followed them */
		error_actions(p);
	p->ended = true;
	p->end_reason = (enum end_reason)((const struct ev_end *)e)->reason;
	if (p->error_due)
		error_report(p);
	conns_end(p->conns, e->ts_ns);
	late_give_up(p);
	turns_end(p->turns, e->ts_ns, stalled);
	stall_finish(p->stall, e->ts_ns);
	show_progress(p, true);
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
	case EV_SNAPSHOT:
		on_snapshot(p, e);
		break;
	case EV_TLS_LIB:
		coverage_event(p->coverage, e);
		break;
	case EV_LOST:
		on_lost(p, (const void *)e);
		break;
	case EV_ACTION:
		error_actions(p);
		break;
	case EV_TICK:
		on_tick(p);
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
	json_t *coverage, *summary;

	conns_each(p->conns, cover_conn, p->coverage);
	coverage = coverage_json(p->coverage, p->metrics ? metrics_unwritten(p->metrics) : 0,
	                         conns_forgotten(p->conns));
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
	p->turn_sink = (struct turn_sink){ .opened = turn_opened,
		                           .closed = turn_closed,
		                           .outside = turn_outside,
		                           .booked = turn_booked,
		                           .chosen = turn_chosen };
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
		forget(p->recent[i]);
	for (size_t i = 0; i < p->nlate; i++)
		forget(p->late[i]);
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
