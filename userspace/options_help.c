/* SPDX-License-Identifier: BSD-2-Clause */
/* Help, and whatever is wrong in one line: what was given, why it cannot be used, what to write instead. */
#include "options_help.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "base/text.h"

#define MESSAGE_MAX 1024
#define HELP_COLUMN 34
#define HELP_WIDTH 80

/* ===== What is wrong ===== */

int help_complain(FILE *err, const char *fmt, ...)
{
	char raw[MESSAGE_MAX], line[MESSAGE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	text_clean(line, sizeof(line), raw, false);
	fprintf(err, "whystuck: %s\n", line);
	return EXIT_USAGE;
}

const char *help_advice(const struct option *opt, char *buf, size_t n)
{
	size_t used;

	if (opt->advice || !opt->choice)
		return opt->advice ? opt->advice : "";
	used = (size_t)snprintf(buf, n, "use %s", opt->choice(0));
	for (size_t i = 1; opt->choice(i) && used < n; i++)
		used += (size_t)snprintf(buf + used, n - used, "%s%s",
		                         opt->choice(i + 1) ? ", " : " or ", opt->choice(i));
	return buf;
}

int help_bad_value(FILE *err, const char *before, const struct option *opt, const char *value,
                   const char *why)
{
	char advice[256];

	if (opt->secret)
		value = "***";
	return help_complain(err, "%s%s '%.80s': %s; %s", before, opt->name, value ? value : "",
	                     why, help_advice(opt, advice, sizeof(advice)));
}

static size_t distance(const char *a, const char *b)
{
	enum { LONGEST = 64 };
	size_t row[LONGEST + 1], na = strlen(a), nb = strlen(b);

	if (na > LONGEST || nb > LONGEST)
		return SIZE_MAX;
	for (size_t j = 0; j <= nb; j++)
		row[j] = j;
	for (size_t i = 1; i <= na; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[nb];
}

/* How far a candidate is from what was typed; SIZE_MAX when too far to be meant. A beginning of it is near. */
static size_t guess(const char *typed, const char *candidate)
{
	size_t n = strlen(typed), d = distance(typed, candidate);

	if (n >= 2 && strncmp(typed, candidate, n) == 0)
		return 1;
	return d <= 2 && d < n ? d : SIZE_MAX;
}

const struct option *help_nearest_option(const char *typed, int commands)
{
	const struct option *best = NULL;
	size_t nearest = SIZE_MAX;

	for (const struct option *opt = option_table; opt->name; opt++) {
		if (!(opt->commands & commands) || guess(typed, opt->name) >= nearest)
			continue;
		nearest = guess(typed, opt->name);
		best = opt;
	}
	return best;
}

const struct command *help_nearest_command(const char *typed)
{
	const struct command *best = NULL;
	size_t nearest = SIZE_MAX;

	for (const struct command *c = command_table; c->name; c++) {
		if (guess(typed, c->name) >= nearest)
			continue;
		nearest = guess(typed, c->name);
		best = c;
	}
	return best;
}

/* ===== Help ===== */

/* Text from column on, wrapped between words; the cursor is at column at. */
static void print_wrapped(FILE *out, const char *s, size_t at, size_t column)
{
	while (*s) {
		size_t word = strcspn(s, " ");

		if (at > column && at + 1 + word > HELP_WIDTH) {
			fputc('\n', out);
			at = 0;
		}
		if (at > column)
			at += (size_t)fprintf(out, " ");
		if (at < column)
			at += (size_t)fprintf(out, "%*s", (int)(column - at), "");
		at += (size_t)fprintf(out, "%.*s", (int)word, s);
		s += word;
		s += strspn(s, " ");
	}
	fputc('\n', out);
}

static void print_option(FILE *out, const struct option *opt)
{
	char letter[8] = "    ", value[64] = "";
	int at;

	if (opt->letter)
		snprintf(letter, sizeof(letter), "-%c, ", opt->letter);
	if (opt->arg)
		snprintf(value, sizeof(value), opt->arg_optional ? "[=%s]" : " %s", opt->arg);
	at = fprintf(out, "  %s--%s%s", letter, opt->name, value);
	print_wrapped(out, opt->help, (size_t)at, HELP_COLUMN);
}

static void print_environment(FILE *out, int mask)
{
	fputs("\nEnvironment:\n", out);
	for (const struct option *var = option_environment; var->name; var++) {
		if (!(var->commands & mask))
			continue;
		print_wrapped(out, var->help, (size_t)fprintf(out, "  %s", var->name), HELP_COLUMN);
	}
}

void help_usage(FILE *out)
{
	for (const struct command *c = command_table; c->name; c++)
		fprintf(out, "%s whystuck %s\n", c == command_table ? "usage:" : "      ",
		        c->usage);
}

void help_command(FILE *out, const struct command *c)
{
	fprintf(out, "usage: whystuck %s\n\n", c->usage);
	print_wrapped(out, c->about, 0, 0);
	fputs("\nOptions:\n", out);
	for (const struct option *opt = option_table; opt->name; opt++)
		if (opt->commands & c->bit)
			print_option(out, opt);
	print_environment(out, c->bit);
}

void help_program(FILE *out)
{
	help_usage(out);
	fputs("\nTells from outside why a live LLM run is stuck and where each turn's time "
	      "went.\n\n"
	      "Commands:\n",
	      out);
	for (const struct command *c = command_table; c->name; c++)
		print_wrapped(out, c->about, (size_t)fprintf(out, "  %s", c->name), 10);
	fputs("\n'whystuck COMMAND --help' shows a command's options, 'whystuck --completion "
	      "SHELL'\nwrites a completion script for bash, zsh or fish.\n\n"
	      "Exit status: 0 all well, 1 error, 2 usage, 3 a stall was found (why: is stuck),\n"
	      "4 why cannot tell. run exits with CMD's own status.\n",
	      out);
}
