/* SPDX-License-Identifier: BSD-2-Clause */
/* Options: one table for every command; the command line, then the environment, then defaults. */
#ifndef OPTIONS_H
#define OPTIONS_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "endpoint.h"

enum exit_status { EXIT_OK = 0, EXIT_ERROR = 1, EXIT_USAGE = 2, EXIT_STALLED = 3, EXIT_UNDECIDED = 4 };

enum progress_mode { PROGRESS_TQDM, PROGRESS_NONE };

#define OPTIONS_RULES_MAX 64

struct options {
	const char *command;		/* "watch", "run", "replay", "check" */
	uint32_t pid;			/* 0 none */
	char **argv;			/* run: CMD and its arguments, NULL-terminated */
	const char *file;		/* replay: the recording */

	const char *output;		/* NULL: ./whystuck-PID */
	double stuck_timeout_minutes;	/* 0 = off */
	enum progress_mode progress;
	uint64_t total;			/* turns expected, 0 unknown */
	bool verbose, quiet;
	const char *turns;		/* "auto" or "llm" */
	struct { const char *spec; char kind; } rules[OPTIONS_RULES_MAX];	/* kind: l llm, s storage, h heartbeat; in order */
	int nrules;
	const char *on_stuck;		/* command, NULL none */
	bool stop, stop_kill;
	int stop_signal;		/* first signal, SIGINT */
	double stop_grace_s;
	const char *record;		/* NULL none */
	const char *scrub;		/* replay: file to write, NULL none */
};

/* Parses argv. 0: go on. Else the exit status to leave with (EXIT_OK after --help and --version): everything was said on
 * out or err. environ values are checked the same way and named in messages. */
int options_parse(struct options *o, int argc, char **argv, FILE *out, FILE *err);

/* The options that change results, as "name=value" lines for the recording (EV_OPTION), and back. options_apply keeps
 * copies; unknown names are an error (-EINVAL), so that a recording of a newer program is not misread. */
void options_each(const struct options *o, void (*emit)(void *ctx, const char *line), void *ctx);
int options_apply(struct options *o, const char *line);
#endif
