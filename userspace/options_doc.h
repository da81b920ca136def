/* SPDX-License-Identifier: BSD-2-Clause */
/* Documents made of the table: the man page and the shells' completions. */
#ifndef OPTIONS_DOC_H
#define OPTIONS_DOC_H
#include <stdio.h>

/*
 * Writes the man page: template (n bytes of mdoc(7)) with its directives, lines that begin with @, replaced.
 *
 *   @synopsis @commands @options @environment
 *       what the table says of them
 *   @more NAME ... @end
 *       prose behind the table's own about NAME: a command (watch), an option (--llm), a variable (LOG_LEVEL)
 *
 * 0; -EINVAL for a directive, a name or an @end that is not right: *line says where, *why what is wrong.
 */
int options_man(FILE *out, const char *template, size_t n, unsigned *line, const char **why);

/* The shells there are completions for; NULL behind the last. */
const char *options_shell(size_t i);
/* Writes a completion script for one of them; -EINVAL for any other shell. */
int options_completion(FILE *out, const char *shell);
#endif
