/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What there is: commands, their options, the environment. Everything that lists them reads these rows: the parser, the
 * reader of --config files, --help, the man page, the shells' completions, the lines that a recording keeps.
 */
#ifndef OPTIONS_TABLE_H
#define OPTIONS_TABLE_H
#include "option_values.h"

enum {
	WATCH = 1 << 0,
	RUN = 1 << 1,
	REPLAY = 1 << 2,
	CHECK = 1 << 3,
	WHY = 1 << 4,
	LIVE = WATCH | RUN,
	OBSERVE = LIVE | REPLAY,
	JUDGE = OBSERVE | WHY, /* says what is stuck */
	ALL = JUDGE | CHECK,
};

struct command {
	const char *name;
	int bit;
	const char *usage; /* behind the program's name */
	const char *about; /* sentences */
	enum completes operands;
	bool default_; /* its name may be left out */
};

/* In the order of --help; the last one's name is NULL. */
extern const struct command command_table[];
extern const struct option option_table[];
/* Rows without a reader are looked at elsewhere and only listed here. */
extern const struct option option_environment[];

/* NULL: there is none. */
const struct command *command_find(const char *name);
const struct option *option_find(const char *name, size_t n);
const struct option *option_find_letter(char letter);

/* The row's bit in struct options.given. */
uint64_t option_bit(const struct option *opt);
/* "watch and run": those in the mask, in the order of command_table. */
void command_names(int mask, char *buf, size_t n);
#endif
