/* SPDX-License-Identifier: BSD-2-Clause */
/* What the options say on a terminal: help, and what is wrong. */
#ifndef OPTIONS_HELP_H
#define OPTIONS_HELP_H
#include <stdio.h>

#include "options_table.h"

void help_usage(FILE *out);
/* Of the program; of one command. */
void help_program(FILE *out);
void help_command(FILE *out, const struct command *c);

/* One line, cleaned for the terminal; long values should be cut by the caller ("%.80s") to keep room for the advice.
 * Returns EXIT_USAGE. */
int __attribute__((format(printf, 2, 3))) help_complain(FILE *err, const char *fmt, ...);
/* value (NULL none) cannot be used because of why. before: "--", or where it stood. */
int help_bad_value(FILE *err, const char *before, const struct option *opt, const char *value,
                   const char *why);
/* What to write instead, for messages. */
const char *help_advice(const struct option *opt, char *buf, size_t n);

/* What was meant by typed, NULL when nothing is near. commands: mask of who must take it. */
const struct option *help_nearest_option(const char *typed, int commands);
const struct command *help_nearest_command(const char *typed);
#endif
