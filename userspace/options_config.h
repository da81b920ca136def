/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file of --config: a line an option, by its long name without the dashes.
 *
 *     # what a shared file may hold
 *     stuck-timeout = 20
 *     storage = L1=10.0.0.5:7000       # may be repeated
 *     on-stuck = "mail -s \"stuck\" me"
 *     verbose
 *
 * Blanks around name and value do not count. A value that begins with a double quote ends with one; in it \" and \\ stand
 * for " and \. Else it ends at the line's end, or where # follows a blank. Options of other commands are passed over, so
 * that one file may serve all; unknown ones are errors, as is what cannot stand in a file. What is wrong is said with
 * file and line; values only where they are no secrets.
 */
#ifndef OPTIONS_CONFIG_H
#define OPTIONS_CONFIG_H
#include <stdio.h>

#include "options_table.h"

/* A file with every endpoint named has a few kB; what is longer is something else. */
#define CONFIG_SIZE_MAX 65536
/* Longer than the longest value any option takes. */
#define CONFIG_LINE_MAX 4096

struct config {
	struct options *o;
	const struct command *command; /* whose options are taken */
	const char *path;              /* for messages */
	FILE *err;
	unsigned line;      /* the last one fed, from 1 */
	unsigned lines[64]; /* by row of the table: where it stood last, 0 nowhere */
};

/* Feeds one line, without its newline, into c->o. 0, or EXIT_USAGE after saying on c->err what is wrong. */
int config_line(struct config *c, const char *line, size_t n);
/* All lines of a file. */
int config_text(struct config *c, const char *text, size_t n);
/* Reads the file at c->path. 0, EXIT_USAGE, or EXIT_ERROR where it cannot be read. */
int config_read(struct config *c);
#endif
