/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the pipeline share: pipeline.c the straight line, pipeline_calls.c what becomes of calls, pipeline_turns.c
 * what becomes of turns, pipeline_stuck.c verdicts and alerts, pipeline_tick.c what time brings.
 */
#ifndef PIPELINE_STATE_H
#define PIPELINE_STATE_H

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
#include "pipeline.h"
#include "slow.h"
#include "stall.h"
#include "turn.h"
#include "turn_mark.h"

#define ACTIONS_MAX 32 /* due, not yet taken by the caller */
#define LATE_MAX 64    /* calls from before attach whose endpoint has no name yet */
/* Ends of threads during a stall that wait for a tick; of more than a large pool has, the rest counts at once. */
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
	bool other_told;      /* ... of it as a call to a server of unknown kind */
	bool slow, slow_said; /* now; in the log */
	uint64_t moved_out;   /* bytes of its request already counted as progress */
	uint64_t content_ns;  /* newest content already counted as progress */
	struct tracked *prev, *next;
};

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

/* pipeline_calls.c */
struct conn_ops calls_ops(struct pipeline *p);
void calls_give_up_late(struct pipeline *p);
void call_forget(struct tracked *t);
/* Views of all open calls; *n of them, free() it. */
struct call_view *calls_open(struct pipeline *p, size_t *n);
/* Replies are awaited that no counter shows: each is a call, too. */
void calls_find_awaited(struct pipeline *p);
/* Names the open calls that began before we came, from the newest snapshot. */
void calls_identify(struct pipeline *p);

/* pipeline_turns.c */
struct turn_sink turns_sink(void);
struct turn_marks_ops turns_marks_ops(struct pipeline *p);
void turns_say(struct pipeline *p);

/* pipeline_stuck.c */
void finding_free(struct finding *f);
/* The run is stuck and we looked: says so, writes it down, alerts. */
void error_report(struct pipeline *p);
/* The result of an action belongs into the document already written. */
void error_actions(struct pipeline *p);
/* The run moves again: the document of what held it up stays, with its end. */
void error_ended(struct pipeline *p, const struct stall_period *period);
void action_due(void *ctx, enum action_kind kind, int signo, const char *text);

/* pipeline_tick.c */
void tick_progress(struct pipeline *p, bool last);
void tick_stall_over(struct pipeline *p);
/* Did the look show that there is no stall? */
bool tick_excused(struct pipeline *p);
void tick_look_want(struct pipeline *p);
void tick(struct pipeline *p);
#endif
