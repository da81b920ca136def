/* SPDX-License-Identifier: BSD-2-Clause */
/* One row of the table (options_table.c), and the kinds of values a row may name. */
#ifndef OPTION_VALUES_H
#define OPTION_VALUES_H
#include "options.h"

/* A host name has at most 253 characters; some room for the label and the path. */
#define SPEC_MAX 512
/* Room for any value that goes into a recording: an endpoint, or the source of turns. */
#define VALUE_MAX 768
#define TURNS_DEFAULT "auto"

/* What a shell offers where a value or an operand is typed. */
enum completes {
	COMPLETES_NOTHING,
	COMPLETES_FILE,
	COMPLETES_DIRECTORY,
	COMPLETES_COMMAND,
	COMPLETES_PID
};

struct option {
	const char *name;     /* without the dashes; or an environment variable's */
	char letter;          /* of the short form, 0 none */
	const char *arg;      /* what the value is called, NULL takes none */
	bool arg_optional;    /* then only as --name=value */
	int commands;         /* that take it */
	bool result;          /* changes results: goes into the recording */
	bool secret;          /* the value is not shown */
	bool on_command_line; /* cannot stand in a --config file */
	int not_from_config;  /* commands that pass it over in such a file */
	size_t field;         /* of struct options */
	char rule;            /* kind of endpoint rule */
	/* NULL, or why value cannot be used. value is NULL when none was given. */
	const char *(*parse)(struct options *o, const struct option *opt, const char *value);
	/* The same of a recording's line, where that differs; NULL: parse does. */
	const char *(*apply)(struct options *o, const struct option *opt, const char *value);
	/* False: nothing to write down. */
	bool (*print)(const struct options *o, const struct option *opt, char *buf, size_t n);
	const char *(*choice)(
		size_t i); /* the values there are; NULL behind the last. May be NULL */
	enum completes completes;
	const char *advice; /* what to write instead; NULL: one of the choices */
	const char *help;
};

/* Readers: NULL, and the value is in o, a copy of it; or a sentence why it cannot be used, valid until the next call, and o is
 * unchanged. */
const char *value_true(struct options *o, const struct option *opt, const char *value);
const char *value_text(struct options *o, const struct option *opt, const char *value);
const char *value_url(struct options *o, const struct option *opt, const char *value);
const char *value_minutes(struct options *o, const struct option *opt, const char *value);
const char *value_seconds(struct options *o, const struct option *opt, const char *value);
const char *value_total(struct options *o, const struct option *opt, const char *value);
const char *value_sample(struct options *o, const struct option *opt, const char *value);
const char *value_size(struct options *o, const struct option *opt, const char *value);
const char *value_keep(struct options *o, const struct option *opt, const char *value);
const char *value_match(struct options *o, const struct option *opt, const char *value);
const char *value_progress(struct options *o, const struct option *opt, const char *value);
const char *value_turns(struct options *o, const struct option *opt, const char *value);
const char *value_profile(struct options *o, const struct option *opt, const char *value);
const char *value_rule(struct options *o, const struct option *opt, const char *value);
const char *value_endpoints(struct options *o, const struct option *opt, const char *value);
const char *value_endpoint(struct options *o, const struct option *opt, const char *value);
const char *value_stop(struct options *o, const struct option *opt, const char *value);
const char *value_unstick(struct options *o, const struct option *opt, const char *value);
const char *value_verbose(struct options *o, const struct option *opt, const char *value);
const char *value_quiet(struct options *o, const struct option *opt, const char *value);
const char *value_level(struct options *o, const struct option *opt, const char *value);

/* Writers, the readers' counterpart. */
bool value_print_decimal(const struct options *o, const struct option *opt, char *buf, size_t n);
bool value_print_total(const struct options *o, const struct option *opt, char *buf, size_t n);
bool value_print_sample(const struct options *o, const struct option *opt, char *buf, size_t n);
bool value_print_text(const struct options *o, const struct option *opt, char *buf, size_t n);

/* The choices of some. */
const char *choice_progress(size_t i);
const char *choice_turns(size_t i); /* those that need more end with a colon */
const char *choice_profile(size_t i);
const char *choice_signal(size_t i); /* those that --stop takes; valid until the next call */

/* Lines of --endpoints: what was added behind the first n goes before them; frees them. */
void value_endpoints_rotate(struct options *o, int n);
void value_endpoints_free(struct options *o);

/* Frees the strings that readers copied. */
void value_free_all(struct options *o);

/* 1 to max in decimal digits, else 0. */
uint64_t value_positive(const char *s, uint64_t max);
/* "SIGTERM", "term" or "15"; 0 if no such signal. */
int value_signal(const char *s);
#endif
