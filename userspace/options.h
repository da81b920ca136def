/* SPDX-License-Identifier: BSD-2-Clause */
/* Options: one table for every command; the command line wins, then a --config file, the environment, the defaults. */
#ifndef OPTIONS_H
#define OPTIONS_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "base/log.h"
#include "endpoint.h"

enum exit_status {
	EXIT_OK = 0,
	EXIT_ERROR = 1,
	EXIT_USAGE = 2,
	EXIT_STALLED = 3,
	EXIT_UNDECIDED = 4
};

enum progress_mode { PROGRESS_TQDM, PROGRESS_NONE };

/* More endpoints than anybody names by hand; a recording is not trusted to stay below it. */
#define OPTIONS_RULES_MAX 64
/* Processes named at once; --match is for more. */
#define OPTIONS_PIDS_MAX 256

/* Who an endpoint is. kind: l llm, s storage, h heartbeat */
struct options_rule {
	char *spec;
	char kind;
};

struct options {
	const char *command;             /* "why", "watch", "run", "replay", "check" */
	uint32_t pid;                    /* 0 none; of several the first */
	uint32_t pids[OPTIONS_PIDS_MAX]; /* watch: all of them, npids */
	int npids;
	char **argv;      /* run: CMD and its arguments, NULL-terminated */
	const char *file; /* replay: the recording */

	const char *output;           /* NULL: ./whystuck-PID */
	double stuck_timeout_minutes; /* 0 = off; why: what must be silent for so long */
	enum progress_mode progress;
	uint64_t total; /* turns expected, 0 unknown */
	enum log_level log_level;
	bool verbose, quiet;  /* log_level is LEVEL_DEBUG: a line a turn; is LEVEL_ERROR */
	const char *turns;    /* a turns_spec (turn_source/spec.h), "auto" */
	const char *profile;  /* a name of turn_source/spec.h's profiles, NULL none */
	const char *match;    /* watch: extended regular expression over command lines, NULL none */
	bool calls;           /* write calls.jsonl */
	uint64_t sample;      /* every so many-th ok turn is written, 1 all */
	uint64_t rotate_size; /* bytes after which turn_metrics.jsonl is rotated, 0 never */
	uint64_t rotate_keep; /* rotated files kept */
	const char *runstats; /* file to merge the summary into, NULL none */
	const char *config;   /* file the options were read from, NULL none */
	struct options_rule rules[OPTIONS_RULES_MAX]; /* the first that fits an endpoint counts */
	int nrules;
	char **endpoints; /* lines of the table of endpoints (endpoint_table.h), nendpoints; NULL none */
	int nendpoints;
	const char *on_stuck; /* command, NULL none */
	const char *webhook;  /* URL, which may hold secrets; NULL none */
	bool stop, stop_kill;
	int stop_signal; /* first signal, SIGINT */
	double stop_grace_s;
	const char *record; /* NULL none */
	const char *scrub;  /* replay: file to write, NULL none */
	bool all, json;     /* why: show everything; run_error.json on stdout */
	bool probe, unstick, yes;
	int unstick_fd; /* -1: the one the run waits on */

	uint64_t
		given; /* rows of the table that stood on the command line or in the file of --config: a recording
	                 * does not change these */
	struct options_string *strings; /* what the strings above point to */
};

/* The defaults. o owns its strings and rules; argv and file stay the caller's (of main) and must outlive it. It cannot be
 * copied by assignment. options_free() may be called again, and on a zeroed o. */
void options_init(struct options *o);
void options_free(struct options *o);

/* Parses argv into o, which need not be initialised. 0: go on. OPTIONS_LEAVE: --help, --version or --completion was answered on out.
 * Else EXIT_USAGE or EXIT_ERROR: everything was said on err. Environment values are checked the same way and named in
 * messages; where the option is given they are not looked at. A --config file is read: options_config.h. */
#define OPTIONS_LEAVE (-1)
int options_parse(struct options *o, int argc, char **argv, FILE *out, FILE *err);

/* The options that change results, as "name=value" lines for the recording (EV_OPTION), and back. Neither alerts nor
 * stops nor file names are among them: a recording can make a replay neither run nor write anything. options_apply
 * returns 0, or -EINVAL for an unknown name or a bad value, so that a recording of a newer program is not misread; an
 * option that was given wins, and the rest of the recording's lines of that name are passed over. */
void options_each(const struct options *o, void (*emit)(void *ctx, const char *line), void *ctx);
int options_apply(struct options *o, const char *line);
#endif
