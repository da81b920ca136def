/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The straight line: an event goes in, and through connections, parsers, endpoints, turns, stall detection and outputs in
 * one pass. Pure: the same events give the same files, live or from a recording. What must be done to the world outside
 * (look closer, alert, stop) is asked for, never done, here.
 */
#ifndef PIPELINE_H
#define PIPELINE_H
#include "event.h"
#include "options.h"
#include "out/lines.h"
#include "out/progress.h"
#include "out/run_error.h"
#include "targets.h"

struct pipeline;

struct pipeline_config {
	struct options *options; /* stays the caller's */
	bool replay;             /* take results-changing options from EV_OPTION */
	bool look;       /* a look on demand: the verdict is asked for, no stall is waited for */
	int dirfd;       /* where the files go; -1: none are written */
	const char *dir; /* its path, for messages and alerts */
	struct lines *turns; /* turn_metrics.jsonl and calls.jsonl, the caller's; NULL none */
	struct lines *calls;
	FILE *out; /* for people: progress and the summary; NULL silent */
	enum progress_style style;
	bool utf8;
	int (*width)(void *ctx);  /* columns of the terminal now; may be NULL */
	int (*height)(void *ctx); /* lines of the terminal now; may be NULL */
};

/* NULL with errno set. */
struct pipeline *pipeline_new(const struct pipeline_config *c);
void pipeline_free(struct pipeline *p);

/* Who is asked to capture no more than n bytes of an operation on a socket; nobody before this is called. */
void pipeline_set_capture(struct pipeline *p, void (*capture)(void *ctx, uint64_t sock, uint32_t n),
                          void *ctx);

/* Who is asked to take no more than n bytes of a write to a file (struct ev_file), 0: to report none of its writes; nobody before
 * this is called. */
void pipeline_set_follow(struct pipeline *p,
                         void (*follow)(void *ctx, uint64_t ino, uint64_t dev, uint32_t n),
                         void *ctx);

void pipeline_feed(struct pipeline *p, const struct event *e);

/* A closer look is wanted (once each): the caller asks its source for a snapshot, whose events come through
 * pipeline_feed. */
bool pipeline_wants_look(struct pipeline *p);

/* The verdict on what is known now, and all it was made of: valid until the next event is fed or the next verdict asked
 * for. NULL: nothing came yet, or out of memory. */
const struct run_error_input *pipeline_diagnose(struct pipeline *p);

/* An action that is due, in order; false when there is none. text is valid until the next call. */
struct pipeline_action {
	enum action_kind kind;
	int signo;
	char *text;
};
bool pipeline_next_action(struct pipeline *p, struct pipeline_action *a);

/* After EV_END: writes runstats.json and the summary for people. 0, or the first error of any file written (said by then). */
int pipeline_finish(struct pipeline *p);

unsigned pipeline_stalls(const struct pipeline *p);
/* Open connections and hooked TLS libraries, for the line that says we are attached. */
size_t pipeline_connections(const struct pipeline *p);
unsigned pipeline_tls_libraries(const struct pipeline *p);
/* The processes the watch is about. */
const struct targets *pipeline_targets(const struct pipeline *p);

#endif
