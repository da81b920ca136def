/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is done on a stall, and when: the alert at once, then the stop plan (first signal, grace,
 * SIGTERM, grace, and SIGKILL only if asked for). Decides only; the source acts through `act` and
 * answers with EV_ACTION, so that a replay, whose source does nothing, tells the same story.
 */
#ifndef ALERT_H
#define ALERT_H
#include "base/bytes.h"
#include "event.h"
#include "targets.h"

/*
 * Results kept for run_error.json; a run that stalls more often keeps the newest ones,
 * alert_forgotten counts the rest.
 */
#define ALERT_ACTIONS_MAX 128

/*
 * kind ACTION_ALERT: run the user's command with the environment in text, lines "NAME=value\n",
 * signo 0. kind ACTION_WEBHOOK: post run_error.json as it is now. kind ACTION_STOP: send signo to the
 * target; text says why, for people. text lives for the call only.
 */
typedef void alert_act(void *ctx, enum action_kind kind, int signo, const char *text);

struct alert_plan {
	bool alert;   /* there is a command to run */
	bool webhook; /* there is a URL to post to */
	bool stop, stop_kill;
	int stop_signal; /* first one; 0: SIGINT */
	uint64_t grace_ns;
};

/* What the command is told. NULL, and whatever holds a control character, is left out. */
struct alert_facts {
	const char *verdict, *summary, *where, *will_wake;
	uint32_t pid;          /* the process the verdict names, 0 none */
	const char *since;     /* RFC 3339 */
	int64_t for_ms;        /* -1 unknown */
	const char *run_error; /* path of the file */
	const char *output;    /* the directory */
};

struct alert;

/* targets: kept up to date by the caller before each alert_event, outlives it. NULL: out of memory. */
struct alert *alert_new(const struct alert_plan *plan, const struct targets *targets,
                        alert_act *act, void *ctx);
void alert_free(struct alert *a);

/*
 * A stall began: alerts, posts, and begins to stop the run. A stop once begun goes on until the target is
 * gone, also when the run moves again (it writes its results down) or stalls once more.
 */
void alert_began(struct alert *a, uint64_t now_ns, const struct alert_facts *f);
void alert_tick(struct alert *a, uint64_t now_ns);
/*
 * Takes EV_EXIT of the last target and EV_END (the plan is done) and EV_ACTION (copied; what followed a
 * signal is added to what is said of it); other events are none of its business.
 */
void alert_event(struct alert *a, const struct event *ev);

/* A stop is under way. */
bool alert_stopping(const struct alert *a);
/* Results so far, *n of them, oldest first; valid until the next alert_event. */
const struct ev_action *const *alert_actions(const struct alert *a, size_t *n);
uint64_t alert_forgotten(const struct alert *a);
#endif
