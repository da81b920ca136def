/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files that read a command line share; nobody else includes it. */
#ifndef OPTIONS_PARSER_H
#define OPTIONS_PARSER_H
#include <stddef.h>

#include "options_config.h"

/* One command line on its way into o. */
struct parser {
	struct options *o;
	const struct command *command;
	int argc, first, i; /* first: behind the command */
	char **argv;
	char *operands[OPTIONS_PIDS_MAX + 1]; /* the first of them */
	int noperands;                        /* all */
	struct config config; /* what the file of --config said, and in which line */
	uint64_t typed;       /* rows of the table that stood on the command line */
	char called[256];     /* see options_check.c */
	FILE *out, *err;
};

/* Whether a value of this field was typed or stood in the file. */
bool parser_given(const struct options *o, size_t field);
#define GIVEN(o, member) parser_given(o, offsetof(struct options, member))

/* options_operands.c: processes, the program, the recording. options_check.c: what each option alone does not show. 0, or
 * EXIT_USAGE after saying what is wrong. */
int parser_operands(struct parser *p);
int parser_check(struct parser *p);
#endif
