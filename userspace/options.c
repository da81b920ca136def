/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options: the table below says what every command takes; it drives the parser, --help and the lines that a recording
 * keeps. Whatever is wrong is said in one line: what was given, why it cannot be used, what to write instead.
 */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "option_values.h"

/* Linux's PID_MAX_LIMIT on 64-bit machines. */
#define PID_MAX 4194304
/* LOOK_QUIET_NS (diagnosis.h), as the option is given. */
#define WHY_QUIET_MINUTES (10.0 / 60)
#define MESSAGE_MAX 1024
#define HELP_COLUMN 34
#define HELP_WIDTH 80

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

/* One command line on its way into o. */
struct parser {
	struct options *o;
	const struct command *command;
	int argc, i;
	char **argv;
	char *operands[OPTIONS_PIDS_MAX]; /* the first so many */
	int noperands;                    /* all */
	FILE *out, *err;
};

struct command {
	const char *name;
	int bit;
	const char *usage, *about;
	int (*operands)(struct parser *p);
};

/* ===== The table ===== */

/* In the order of --help. */
static const struct option table[] = {
	{ .name = "all",
	  .commands = WHY,
	  .field = offsetof(struct options, all),
	  .parse = value_true,
	  .help = "show everything: each thread with its frames, each socket, task, lock and "
	          "process" },
	{ .name = "json",
	  .commands = WHY,
	  .field = offsetof(struct options, json),
	  .parse = value_true,
	  .help = "write run_error.json to standard output, and nothing else there" },
	{ .name = "probe",
	  .commands = WHY,
	  .field = offsetof(struct options, probe),
	  .parse = value_true,
	  .help = "not read-only: prove whether the connection the run waits on is dead, by TCP "
	          "keepalive probes; a dead one then fails, and the client's call with it" },
	{ .name = "unstick",
	  .arg = "FD",
	  .arg_optional = true,
	  .commands = WHY,
	  .field = offsetof(struct options, unstick),
	  .parse = value_unstick,
	  .advice = "give the number of a descriptor, for example --unstick=7",
	  .help = "not read-only: asks, then shuts down the one connection the run waits on (or "
	          "descriptor FD), so that the client's own error handling goes on" },
	{ .name = "yes",
	  .commands = WHY,
	  .field = offsetof(struct options, yes),
	  .parse = value_true,
	  .help = "with --unstick: do not ask" },
	{ .name = "output",
	  .letter = 'o',
	  .arg = "DIR",
	  .commands = OBSERVE,
	  .field = offsetof(struct options, output),
	  .parse = value_text,
	  .advice = "name a directory, it is made if missing",
	  .help = "where the files go (default: ./whystuck-PID)" },
	{ .name = "stuck-timeout",
	  .arg = "MINUTES",
	  .commands = JUDGE,
	  .result = true,
	  .field = offsetof(struct options, stuck_timeout_minutes),
	  .parse = value_minutes,
	  .print = value_print_decimal,
	  .advice = "use for example 15 or 0.5, 0 turns it off",
	  .help = "no progress for so long is stuck; decimals allowed, 0 is off (default: 15; of "
	          "why, what must be silent for so long: 10 seconds)" },
	{ .name = "turns",
	  .arg = "SOURCE",
	  .commands = OBSERVE,
	  .result = true,
	  .field = offsetof(struct options, turns),
	  .parse = value_turns,
	  .print = value_print_turns,
	  .advice = "use auto or llm",
	  .help = "what begins and ends a turn: llm, the requests to LLM endpoints; auto takes "
	          "what fits (default: auto)" },
	{ .name = "match",
	  .arg = "REGEX",
	  .commands = WATCH,
	  .field = offsetof(struct options, match),
	  .parse = value_text,
	  .advice = "give an extended regular expression, for example 'python3 .*bench'",
	  .help = "also watch every process, now and later, whose command line matches" },
	{ .name = "total",
	  .arg = "N",
	  .commands = OBSERVE,
	  .result = true,
	  .field = offsetof(struct options, total),
	  .parse = value_total,
	  .print = value_print_total,
	  .advice = "leave the option out when the number is not known",
	  .help = "turns expected, for the percentage and the time left" },
	{ .name = "llm",
	  .arg = "HOST[:PORT]",
	  .commands = JUDGE,
	  .result = true,
	  .rule = 'l',
	  .parse = value_rule,
	  .advice = "use for example --llm=llm.internal:8000",
	  .help = "this is an LLM endpoint; may be repeated" },
	{ .name = "storage",
	  .arg = "NAME=HOST[:PORT]",
	  .commands = JUDGE,
	  .result = true,
	  .rule = 's',
	  .parse = value_rule,
	  .advice = "use for example --storage=L1=127.0.0.1:6379",
	  .help = "this is storage, NAME is what the metrics call it; may be repeated" },
	{ .name = "heartbeat",
	  .arg = "HOST/PATH",
	  .commands = JUDGE,
	  .result = true,
	  .rule = 'h',
	  .parse = value_rule,
	  .advice = "use for example --heartbeat=127.0.0.1:6333/healthz",
	  .help = "this request is a health check: neither progress nor part of a turn; may be "
	          "repeated" },
	{ .name = "on-stuck",
	  .arg = "CMD",
	  .commands = LIVE,
	  .field = offsetof(struct options, on_stuck),
	  .parse = value_text,
	  .advice = "give a shell command, for example --on-stuck='mail -s stuck me'",
	  .help = "run this shell command when stuck, with the path of run_error.json as its "
	          "argument and WHYSTUCK_* variables" },
	{ .name = "webhook",
	  .arg = "URL",
	  .secret = true,
	  .commands = LIVE,
	  .field = offsetof(struct options, webhook),
	  .parse = value_url,
	  .advice = "use for example --webhook=https://hooks.example.com/run",
	  .help = "post run_error.json to this http or https URL when stuck; tried three times" },
	{ .name = "stop",
	  .arg = "SIGNAL",
	  .arg_optional = true,
	  .commands = LIVE,
	  .field = offsetof(struct options, stop),
	  .parse = value_stop,
	  .advice = "use for example --stop=SIGTERM, TERM or 15",
	  .help = "stop the run when stuck: SIGNAL (default: SIGINT), a grace, SIGTERM, a grace" },
	{ .name = "stop-grace",
	  .arg = "SECONDS",
	  .commands = LIVE,
	  .field = offsetof(struct options, stop_grace_s),
	  .parse = value_seconds,
	  .advice = "use for example 10 or 0.5",
	  .help = "how long to wait after each signal (default: 10)" },
	{ .name = "stop-kill",
	  .commands = LIVE,
	  .field = offsetof(struct options, stop_kill),
	  .parse = value_true,
	  .help = "SIGKILL after the last grace; without it, never" },
	{ .name = "record",
	  .arg = "FILE",
	  .commands = LIVE | WHY,
	  .field = offsetof(struct options, record),
	  .parse = value_text,
	  .advice = "name the file to write",
	  .help = "keep the event stream for replay; it holds prompts, replies and keys as they "
	          "were captured" },
	{ .name = "scrub",
	  .arg = "OUT",
	  .commands = REPLAY,
	  .field = offsetof(struct options, scrub),
	  .parse = value_text,
	  .advice = "name the file to write",
	  .help = "write a copy to hand on: payload masked, numbers the same" },
	{ .name = "progress",
	  .arg = "STYLE",
	  .commands = OBSERVE,
	  .field = offsetof(struct options, progress),
	  .parse = value_progress,
	  .advice = "use tqdm or none",
	  .help = "tqdm, a bar on stderr, or lines where it is no terminal; none (default: tqdm)" },
	{ .name = "verbose",
	  .commands = ALL,
	  .field = offsetof(struct options, log_level),
	  .parse = value_verbose,
	  .help = "a line for every turn, and more of what is being done" },
	{ .name = "quiet",
	  .commands = ALL,
	  .field = offsetof(struct options, log_level),
	  .parse = value_quiet,
	  .help = "errors only" },
	/* answered before the table's parsers are asked */
	{ .name = "help", .letter = 'h', .commands = ALL, .help = "show this help" },
	{ .name = "version", .letter = 'V', .commands = ALL, .help = "show the version" },
};
#define TABLE_N (sizeof(table) / sizeof(table[0]))
_Static_assert(TABLE_N <= 64, "struct options.given has a bit for each");

/* An option of the same field wins. */
static const struct option environment[] = {
	{ .name = "MAS_BENCH_STUCK_TIMEOUT_MINUTES",
	  .commands = OBSERVE,
	  .field = offsetof(struct options, stuck_timeout_minutes),
	  .parse = value_minutes,
	  .advice = "use for example 15 or 0.5, 0 turns it off",
	  .help = "as --stuck-timeout, which wins" },
	{ .name = "LOG_LEVEL",
	  .commands = ALL,
	  .field = offsetof(struct options, log_level),
	  .parse = value_level,
	  .advice = "use DEBUG, INFO, WARNING or ERROR",
	  .help = "DEBUG, INFO, WARNING or ERROR (default: INFO); --verbose and --quiet win" },
};
#define ENVIRONMENT_N (sizeof(environment) / sizeof(environment[0]))

static bool given(const struct options *o, size_t field)
{
	for (size_t k = 0; k < TABLE_N; k++)
		if (table[k].field == field && !table[k].rule && (o->given >> k & 1))
			return true;
	return false;
}

/* ===== What is said ===== */

/* One line; values from outside are cleaned, and should be cut by the caller ("%.80s") to keep room for the advice. */
static int __attribute__((format(printf, 2, 3))) complain(FILE *err, const char *fmt, ...)
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

static void print_environment(FILE *out, int commands)
{
	fputs("\nEnvironment:\n", out);
	for (size_t i = 0; i < ENVIRONMENT_N; i++) {
		if (!(environment[i].commands & commands))
			continue;
		print_wrapped(out, environment[i].help,
		              (size_t)fprintf(out, "  %s", environment[i].name), HELP_COLUMN);
	}
}

static void print_command_help(FILE *out, const struct command *c)
{
	fprintf(out, "usage: whystuck %s\n\n", c->usage);
	print_wrapped(out, c->about, 0, 0);
	fputs("\nOptions:\n", out);
	for (size_t i = 0; i < TABLE_N; i++)
		if (table[i].commands & c->bit)
			print_option(out, &table[i]);
	print_environment(out, c->bit);
}

/* ===== Commands and their operands ===== */

static int parse_pid(struct parser *p, const char *s)
{
	uint64_t pid = value_positive(s, PID_MAX);

	if (!pid)
		return complain(p->err,
		                "%s '%.80s': not a process id; give the number that ps or pgrep "
		                "shows, 1 to %d",
		                p->command->name, s, PID_MAX);
	p->o->pid = (uint32_t)pid;
	return 0;
}

static const struct command *find_command(const char *name);

static int operands_why(struct parser *p)
{
	if (p->noperands == 0)
		return complain(p->err, "why: no process id; use whystuck PID, pgrep -af python "
		                        "shows what runs");
	if (find_command(p->operands[0]))
		return complain(p->err,
		                "'%.80s': options go behind the command; use whystuck %s "
		                "--help",
		                p->argv[1], p->operands[0]);
	if (p->noperands > 1)
		return complain(p->err,
		                "why: '%.80s' is one argument too many; one process (and its "
		                "children) is looked at a time%s",
		                p->operands[1],
		                p->o->unstick ? ", and a descriptor is given as --unstick=FD" : "");
	return parse_pid(p, p->operands[0]);
}

static int operands_watch(struct parser *p)
{
	int err;

	if (p->noperands == 0 && !p->o->match)
		return complain(p->err, "watch: no process id; use whystuck watch PID, pgrep -af "
		                        "python shows what runs");
	if (p->noperands > OPTIONS_PIDS_MAX)
		return complain(p->err, "watch: more than %d process ids; use --match for so many",
		                OPTIONS_PIDS_MAX);
	for (int i = p->noperands; i-- > 0;) {
		err = parse_pid(p, p->operands[i]);
		if (err)
			return err;
		p->o->pids[i] = p->o->pid;
	}
	p->o->npids = p->noperands;
	return 0;
}

static int operands_run(struct parser *p)
{
	if (!p->o->argv || !p->o->argv[0])
		return complain(p->err, "run: no command to start; use whystuck run -- CMD, for "
		                        "example whystuck run -- python3 bench.py");
	return 0;
}

static int operands_replay(struct parser *p)
{
	if (p->noperands == 0)
		return complain(p->err, "replay: no file; use whystuck replay FILE with a file "
		                        "that --record wrote");
	if (p->noperands > 1)
		return complain(p->err,
		                "replay: '%.80s' is one argument too many; one recording is "
		                "replayed at a time",
		                p->operands[1]);
	p->o->file = p->operands[0];
	return 0;
}

static int operands_check(struct parser *p)
{
	if (p->noperands > 1)
		return complain(p->err,
		                "check: '%.80s' is one argument too many; use whystuck check, or "
		                "whystuck check PID for one process",
		                p->operands[1]);
	return p->noperands ? parse_pid(p, p->operands[0]) : 0;
}

static const struct command commands[] = {
	{ "why", WHY, "[why] [OPTIONS] PID",
	  "Says why process PID and its children are stuck, since when, whether anything will wake "
	  "them, and what to do. Takes a second, up to ten where slow must be told from stuck. It "
	  "only reads; --probe and --unstick are the exceptions.",
	  operands_why },
	{ "watch", WATCH, "watch [OPTIONS] PID ...",
	  "Observes process PID and its children until they end or Ctrl-C: times every turn, shows "
	  "progress, says when and why the run is stuck. It only reads; --stop is the exception.",
	  operands_watch },
	{ "run", RUN, "run [OPTIONS] -- CMD [ARG ...]",
	  "Starts CMD and observes it from its first instruction, as watch does. Exits with CMD's "
	  "own status (128 + signal if it was killed), unless an error of whystuck's own comes "
	  "first.",
	  operands_run },
	{ "replay", REPLAY, "replay [OPTIONS] FILE",
	  "Takes a recorded event stream through the same steps, without root or the process. The "
	  "options that were in effect come from the recording, those given here win.",
	  operands_replay },
	{ "check", CHECK, "check [OPTIONS] [PID]",
	  "Says what this host, these privileges and process PID allow, and why not more.",
	  operands_check },
};
#define COMMANDS_N (sizeof(commands) / sizeof(commands[0]))

static void print_usage(FILE *out)
{
	for (size_t i = 0; i < COMMANDS_N; i++)
		fprintf(out, "%s whystuck %s\n", i ? "      " : "usage:", commands[i].usage);
}

static void print_help(FILE *out)
{
	print_usage(out);
	fputs("\nTells from outside why a live LLM run is stuck and where each turn's time "
	      "went.\n\n"
	      "Commands:\n",
	      out);
	for (size_t i = 0; i < COMMANDS_N; i++)
		print_wrapped(out, commands[i].about,
		              (size_t)fprintf(out, "  %s", commands[i].name), 10);
	fputs("\n'whystuck COMMAND --help' shows a command's options.\n\n"
	      "Exit status: 0 all well, 1 error, 2 usage, 3 a stall was found (why: is stuck),\n"
	      "4 why cannot tell. run exits with CMD's own status.\n",
	      out);
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMANDS_N; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int unknown_command(const char *name, FILE *err)
{
	const struct command *best = NULL;
	size_t nearest = SIZE_MAX;

	for (size_t i = 0; i < COMMANDS_N; i++) {
		if (guess(name, commands[i].name) < nearest) {
			nearest = guess(name, commands[i].name);
			best = &commands[i];
		}
	}
	if (best)
		complain(err, "'%.80s': no such command; did you mean '%s'?", name, best->name);
	else
		complain(err, "'%.80s': no such command; use one of these", name);
	print_usage(err);
	return EXIT_USAGE;
}

/* ===== The command line ===== */

static const struct option *find_option(const char *name, size_t n)
{
	for (size_t i = 0; i < TABLE_N; i++)
		if (strlen(table[i].name) == n && memcmp(table[i].name, name, n) == 0)
			return &table[i];
	return NULL;
}

static const struct option *find_letter(char letter)
{
	for (size_t i = 0; i < TABLE_N; i++)
		if (table[i].letter == letter)
			return &table[i];
	return NULL;
}

static int unknown_option(struct parser *p, const char *arg)
{
	const struct option *best = NULL;
	size_t nearest = SIZE_MAX, n = strcspn(arg, "=");
	char name[64];

	snprintf(name, sizeof(name), "%.*s", n < sizeof(name) ? (int)n : 63, arg);
	for (size_t i = 0; i < TABLE_N; i++) {
		const char *typed = name + strspn(name, "-");

		if ((table[i].commands & p->command->bit) &&
		    guess(typed, table[i].name) < nearest) {
			nearest = guess(typed, table[i].name);
			best = &table[i];
		}
	}
	if (best)
		return complain(p->err, "%s: unknown option '%s'; did you mean --%s?",
		                p->command->name, name, best->name);
	return complain(p->err, "%s: unknown option '%s'; whystuck %s --help shows those there are",
	                p->command->name, name, p->command->name);
}

static int foreign_option(struct parser *p, const struct option *opt)
{
	char list[64] = "";

	for (size_t i = 0; i < COMMANDS_N; i++)
		if (opt->commands & commands[i].bit)
			snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s",
			         *list ? " and " : "", commands[i].name);
	return complain(p->err,
	                "%s: --%s is no option of this command, only of %s; whystuck %s --help "
	                "shows those there are",
	                p->command->name, opt->name, list, p->command->name);
}

static int bad_value(FILE *err, const char *dashes, const struct option *opt, const char *value,
                     const char *why)
{
	if (opt->secret)
		value = "***";
	return complain(err, "%s%s '%.80s': %s; %s", dashes, opt->name, value ? value : "", why,
	                opt->advice);
}

/* The value of opt: behind its '=', or the next argument. NULL for none; false when that is wrong, and said. */
static bool take_value(struct parser *p, const struct option *opt, const char *attached,
                       const char **value)
{
	const char *next = p->i + 1 < p->argc ? p->argv[p->i + 1] : NULL;

	*value = attached;
	if (!opt->arg && attached) {
		complain(p->err, "--%s '%.80s': takes no value; write --%s alone", opt->name,
		         attached, opt->name);
		return false;
	}
	if (opt->arg_optional && !attached && next && opt->parse == value_stop &&
	    isalpha((unsigned char)*next) && value_signal(next)) {
		complain(p->err,
		         "--%s: '%.80s' behind it is not taken as its value; write --%s=%.80s",
		         opt->name, next, opt->name, next);
		return false;
	}
	if (!opt->arg || opt->arg_optional || attached)
		return true;
	if (!next) {
		complain(p->err, "--%s: no value; %s", opt->name, opt->advice);
		return false;
	}
	if (strncmp(next, "--", 2) == 0) {
		complain(p->err,
		         "--%s: no value, '%.80s' follows; %s (--%s=%.80s if that is the value)",
		         opt->name, next, opt->advice, opt->name, next);
		return false;
	}
	*value = p->argv[++p->i];
	return true;
}

static int answer(struct parser *p, const struct option *opt)
{
	if (opt->letter == 'h')
		print_command_help(p->out, p->command);
	else
		fputs("whystuck " WHYSTUCK_VERSION "\n", p->out);
	return OPTIONS_LEAVE;
}

static int parse_option(struct parser *p)
{
	const char *arg = p->argv[p->i], *value, *why, *attached = NULL;
	const struct option *opt;

	if (arg[1] == '-') {
		size_t n = strcspn(arg + 2, "=");

		opt = find_option(arg + 2, n);
		attached = arg[2 + n] ? arg + 2 + n + 1 : NULL;
	} else {
		opt = find_letter(arg[1]);
		attached = arg[2] ? arg + 2 : NULL;
	}
	if (!opt)
		return unknown_option(p, arg);
	if (!(opt->commands & p->command->bit))
		return foreign_option(p, opt);
	if (!take_value(p, opt, attached, &value))
		return EXIT_USAGE;
	if (!opt->parse)
		return answer(p, opt);
	why = opt->parse(p->o, opt, value);
	if (why)
		return bad_value(p->err, "--", opt, value, why);
	p->o->given |= 1ull << (opt - table);
	return 0;
}

/* Options may stand before and behind operands; of run, all from the first operand on is CMD's. */
static int parse_arguments(struct parser *p)
{
	bool options = true;

	for (; p->i < p->argc; p->i++) {
		char *arg = p->argv[p->i];
		bool looks = options && arg[0] == '-' && arg[1] && !isdigit((unsigned char)arg[1]);
		int ret;

		if (looks && strcmp(arg, "--") == 0) {
			options = false;
		} else if (looks) {
			ret = parse_option(p);
			if (ret)
				return ret;
		} else if (p->command->bit == RUN) {
			p->o->argv = p->argv + p->i;
			return 0;
		} else if (p->noperands++ < OPTIONS_PIDS_MAX) {
			p->operands[p->noperands - 1] = arg;
		}
	}
	return 0;
}

static int parse_environment(struct parser *p)
{
	for (size_t i = 0; i < ENVIRONMENT_N; i++) {
		const struct option *var = &environment[i];
		const char *value = getenv(var->name), *why;

		if (!value || !*value || !(var->commands & p->command->bit) ||
		    given(p->o, var->field))
			continue;
		why = var->parse(p->o, var, value);
		if (why)
			return bad_value(p->err, "environment variable ", var, value, why);
	}
	return 0;
}

/* What each option alone does not show. */
static int check_together(struct parser *p)
{
	const struct options *o = p->o;
	bool off = o->stuck_timeout_minutes == 0;

	if (!o->stop && (o->stop_kill || given(o, offsetof(struct options, stop_grace_s))))
		return complain(p->err, "%s: without --stop nothing is ever stopped; add --stop",
		                o->stop_kill ? "--stop-kill" : "--stop-grace");
	if (o->yes && !o->unstick)
		return complain(p->err, "--yes: there is nothing to say yes to; it goes with "
		                        "--unstick");
	if (o->unstick && !o->yes && o->json)
		return complain(p->err, "--unstick with --json: nobody could be asked; add --yes");
	if (off && p->command->bit == WHY)
		return complain(p->err, "--stuck-timeout 0: then every wait would be called "
		                        "stuck; use for example 0.5");
	if (off && (o->stop || o->on_stuck || o->webhook))
		return complain(p->err,
		                "%s: the stuck timeout is 0 (off), so this would never happen; set "
		                "--stuck-timeout to for example 15",
		                o->stop       ? "--stop"
		                : o->on_stuck ? "--on-stuck"
		                              : "--webhook");
	if (o->scrub && strcmp(o->scrub, o->file) == 0)
		return complain(
			p->err,
			"--scrub '%.80s': is the recording itself, which would be lost; name "
			"another file",
			o->scrub);
	return 0;
}

static int parse_command(struct parser *p)
{
	int ret = parse_arguments(p);

	if (!ret)
		ret = p->command->operands(p);
	if (!ret)
		ret = parse_environment(p);
	if (!ret)
		ret = check_together(p);
	return ret;
}

void options_init(struct options *o)
{
	*o = (struct options){ .stuck_timeout_minutes = 15,
		               .progress = PROGRESS_TQDM,
		               .log_level = LEVEL_INFO,
		               .turns = "auto",
		               .sample = 1,
		               .rotate_keep = 5,
		               .unstick_fd = -1,
		               .stop_signal = SIGINT,
		               .stop_grace_s = 10 };
}

void options_free(struct options *o)
{
	while (o->nrules > 0)
		free(o->rules[--o->nrules].spec);
}

int options_parse(struct options *o, int argc, char **argv, FILE *out, FILE *err)
{
	struct parser p = { .o = o, .argc = argc, .argv = argv, .out = out, .err = err };
	const char *name = argc > 1 ? argv[1] : NULL;
	int ret;

	options_init(o);
	if (!name) {
		print_usage(err);
		return EXIT_USAGE;
	}
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return print_help(out), OPTIONS_LEAVE;
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
		return fputs("whystuck " WHYSTUCK_VERSION "\n", out), OPTIONS_LEAVE;
	p.command = find_command(name);
	p.i = 2;
	if (!p.command && (isdigit((unsigned char)*name) || *name == '-')) {
		p.command = find_command("why");
		p.i = 1;
	}
	if (!p.command)
		return unknown_command(name, err);
	o->command = p.command->name;
	if (p.command->bit == WHY)
		o->stuck_timeout_minutes = WHY_QUIET_MINUTES;
	ret = parse_command(&p);
	if (ret)
		options_free(o);
	return ret;
}

/* ===== The recording's lines ===== */

static const char *rule_name(char kind)
{
	for (size_t i = 0; i < TABLE_N; i++)
		if (table[i].rule == kind)
			return table[i].name;
	return NULL;
}

void options_each(const struct options *o, void (*emit)(void *ctx, const char *line), void *ctx)
{
	char value[SPEC_MAX + 1], line[SPEC_MAX + 64];

	for (size_t i = 0; i < TABLE_N; i++) {
		if (!table[i].print || !table[i].print(o, &table[i], value, sizeof(value)))
			continue;
		snprintf(line, sizeof(line), "%s=%s", table[i].name, value);
		emit(ctx, line);
	}
	for (int i = 0; i < o->nrules; i++) {
		snprintf(line, sizeof(line), "%s=%s", rule_name(o->rules[i].kind),
		         o->rules[i].spec);
		emit(ctx, line);
	}
}

int options_apply(struct options *o, const char *line)
{
	size_t n = strcspn(line, "=");
	const struct option *opt = find_option(line, n);

	if (!opt || !opt->result || line[n] != '=')
		return -EINVAL;
	if (o->given >> (opt - table) & 1)
		return 0;
	return opt->parse(o, opt, line + n + 1) ? -EINVAL : 0;
}
