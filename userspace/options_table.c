/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows: commands, options, environment. A new option is a row here and a field in struct options. */
#include "options_table.h"

#include <stddef.h>
#include <string.h>

const struct command command_table[] = {
	{ .name = "why",
	  .bit = WHY,
	  .usage = "[why] [OPTIONS] PID",
	  .about = "Says why process PID and its children are stuck, since when, whether anything "
	           "will wake them, and what to do. Takes a second, up to ten where slow must be "
	           "told from stuck. It only reads; --probe and --unstick are the exceptions.",
	  .operands = COMPLETES_PID,
	  .default_ = true },
	{ .name = "watch",
	  .bit = WATCH,
	  .usage = "watch [OPTIONS] [--match REGEX] [PID ...]",
	  .about = "Observes the processes and their children until they end or Ctrl-C: times "
	           "every turn, shows progress, says when and why the run is stuck. It only reads; "
	           "--stop is the exception.",
	  .operands = COMPLETES_PID },
	{ .name = "run",
	  .bit = RUN,
	  .usage = "run [OPTIONS] -- CMD [ARG ...]",
	  .about = "Starts CMD and observes it from its first instruction, as watch does. Exits "
	           "with CMD's own status (128 + signal if it was killed), unless an error of "
	           "whystuck's own comes first.",
	  .operands = COMPLETES_COMMAND },
	{ .name = "replay",
	  .bit = REPLAY,
	  .usage = "replay [OPTIONS] FILE",
	  .about = "Takes a recorded event stream through the same steps, without root or the "
	           "process. The options that were in effect come from the recording, those given "
	           "here win.",
	  .operands = COMPLETES_FILE },
	{ .name = "check",
	  .bit = CHECK,
	  .usage = "check [OPTIONS] [PID]",
	  .about = "Says what this host, these privileges and process PID allow, and why not "
	           "more.",
	  .operands = COMPLETES_PID },
	{ .name = NULL },
};

/* In the order of --help. */
const struct option option_table[] = {
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
	  .completes = COMPLETES_DIRECTORY,
	  .advice = "name a directory, it is made if missing",
	  .help = "where the files go (default: ./whystuck-PID)" },
	{ .name = "stuck-timeout",
	  .arg = "MINUTES",
	  .commands = JUDGE,
	  .not_from_config =
	          WHY, /* there it says how long to look; a file's is meant for a watch */
	  .result = true,
	  .field = offsetof(struct options, stuck_timeout_minutes),
	  .parse = value_minutes,
	  .print = value_print_decimal,
	  .advice = "use for example 15 or 0.5, 0 turns it off",
	  .help = "no progress for so long is stuck; decimals allowed, 0 is off (default: 15; of "
	          "why, what must be silent for so long: 10 seconds)" },
	{ .name = "match",
	  .arg = "REGEX",
	  .commands = WATCH,
	  .field = offsetof(struct options, match),
	  .parse = value_match,
	  .advice = "use for example --match='python3 .*bench\\.py'",
	  .help = "watch every process whose command line matches this extended regular "
	          "expression, also those that come later; with or without PIDs" },
	{ .name = "turns",
	  .arg = "SOURCE",
	  .commands = OBSERVE,
	  .result = true,
	  .field = offsetof(struct options, turns),
	  .parse = value_turns,
	  .print = value_print_text,
	  .choice = choice_turns,
	  .advice = "use auto, llm, http, jsonl:PATH-GLOB, stdout:REGEX or idle:MS",
	  .help = "what begins and ends a turn: llm, the requests to LLM endpoints; http, the "
	          "requests that the process serves; jsonl:PATH-GLOB, what it appends to a log; "
	          "stdout:REGEX, a line it writes that matches; idle:MS, a gap of so many "
	          "milliseconds; auto takes what fits (default: auto)" },
	{ .name = "profile",
	  .arg = "NAME",
	  .commands = OBSERVE,
	  .result = true,
	  .field = offsetof(struct options, profile),
	  .parse = value_profile,
	  .print = value_print_text,
	  .choice = choice_profile,
	  .help = "the turns of a known benchmark, in place of --turns: goodai-ltm" },
	{ .name = "total",
	  .arg = "N",
	  .commands = OBSERVE,
	  .result = true,
	  .field = offsetof(struct options, total),
	  .parse = value_total,
	  .print = value_print_total,
	  .advice = "leave the option out when the number is not known",
	  .help = "turns expected, for the percentage and the time left" },
	{ .name = "calls",
	  .commands = OBSERVE,
	  .field = offsetof(struct options, calls),
	  .parse = value_true,
	  .help = "write calls.jsonl, too: a line a call" },
	{ .name = "sample",
	  .arg = "N",
	  .commands = OBSERVE,
	  .result = true,
	  .field = offsetof(struct options, sample),
	  .parse = value_sample,
	  .print = value_print_sample,
	  .advice = "use for example 10 for every tenth",
	  .help = "write every Nth turn that went well, and all others (default: 1)" },
	{ .name = "rotate-size",
	  .arg = "SIZE",
	  .commands = LIVE,
	  .field = offsetof(struct options, rotate_size),
	  .parse = value_size,
	  .advice = "use for example 100M or 1G",
	  .help = "begin a new turn_metrics.jsonl when it has so many bytes, and compress the "
	          "old one; k, M and G are understood, 4k is the least (default: never)" },
	{ .name = "rotate-keep",
	  .arg = "N",
	  .commands = LIVE,
	  .field = offsetof(struct options, rotate_keep),
	  .parse = value_keep,
	  .advice = "use for example 5",
	  .help = "with --rotate-size: old files kept (default: 5)" },
	{ .name = "runstats",
	  .arg = "FILE",
	  .commands = LIVE,
	  .field = offsetof(struct options, runstats),
	  .parse = value_text,
	  .completes = COMPLETES_FILE,
	  .advice = "name the JSON file that the run keeps",
	  .help = "when the run has ended, merge turn_metrics_summary into this file of the "
	          "run's own, every other byte of it kept" },
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
	{ .name = "endpoints",
	  .arg = "FILE",
	  .commands = JUDGE,
	  .result = true,
	  .field = offsetof(struct options, endpoints),
	  .parse = value_endpoints,
	  .apply = value_endpoint,
	  .completes = COMPLETES_FILE,
	  .advice = "its lines are 'llm HOST[:PORT] PROVIDER', 'storage HOST[:PORT] SYSTEM "
	            "[LABEL]' or 'heartbeat HOST[:PORT] /PATH'",
	  .help = "more of the table of endpoints, which says who is an LLM, a store or a health "
	          "check: lines 'llm HOST[:PORT] PROVIDER', 'storage HOST[:PORT] SYSTEM [LABEL]', "
	          "'heartbeat HOST[:PORT] /PATH', where * in HOST stands for any characters; may "
	          "be repeated" },
	{ .name = "on-stuck",
	  .arg = "CMD",
	  .commands = LIVE,
	  .field = offsetof(struct options, on_stuck),
	  .parse = value_text,
	  .completes = COMPLETES_COMMAND,
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
	  .choice = choice_signal,
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
	  .completes = COMPLETES_FILE,
	  .advice = "name the file to write",
	  .help = "keep the event stream for replay; it holds prompts, replies and keys as they "
	          "were captured" },
	{ .name = "scrub",
	  .arg = "OUT",
	  .commands = REPLAY,
	  .field = offsetof(struct options, scrub),
	  .parse = value_text,
	  .completes = COMPLETES_FILE,
	  .advice = "name the file to write",
	  .help = "write a copy to hand on: payload masked, numbers the same" },
	{ .name = "progress",
	  .arg = "STYLE",
	  .commands = OBSERVE,
	  .field = offsetof(struct options, progress),
	  .parse = value_progress,
	  .choice = choice_progress,
	  .help = "tqdm, a bar on stderr, or lines where it is no terminal; none (default: tqdm)" },
	{ .name = "config",
	  .arg = "FILE",
	  .on_command_line = true,
	  .commands = ALL,
	  .field = offsetof(struct options, config),
	  .parse = value_text,
	  .completes = COMPLETES_FILE,
	  .advice = "name a file with a line 'name = value' for each option",
	  .help = "read options from this file, a line 'name = value' or 'name' each; those on the "
	          "command line win, those of other commands are passed over" },
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
	{ .name = "help",
	  .letter = 'h',
	  .on_command_line = true,
	  .commands = ALL,
	  .help = "show this help" },
	{ .name = "version",
	  .letter = 'V',
	  .on_command_line = true,
	  .commands = ALL,
	  .help = "show the version" },
	{ .name = NULL },
};
_Static_assert(sizeof(option_table) / sizeof(option_table[0]) <= 65,
               "struct options.given has a bit for each");

/* An option of the same field wins. */
const struct option option_environment[] = {
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
	{ .name = "WHYSTUCK_NO_BPF",
	  .commands = WHY,
	  .help = "1: look through /proc alone, without kernel programs" },
	{ .name = "NO_COLOR", .commands = WHY, .help = "not empty: no colours on the terminal" },
	{ .name = NULL },
};

const struct command *command_find(const char *name)
{
	for (const struct command *c = command_table; c->name; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

const struct option *option_find(const char *name, size_t n)
{
	for (const struct option *opt = option_table; opt->name; opt++)
		if (strlen(opt->name) == n && memcmp(opt->name, name, n) == 0)
			return opt;
	return NULL;
}

const struct option *option_find_letter(char letter)
{
	for (const struct option *opt = option_table; opt->name; opt++)
		if (opt->letter && opt->letter == letter)
			return opt;
	return NULL;
}

uint64_t option_bit(const struct option *opt)
{
	return 1ull << (opt - option_table);
}

void command_names(int mask, char *buf, size_t n)
{
	size_t used = 0;

	*buf = '\0';
	for (const struct command *c = command_table; c->name; c++) {
		if (!(mask & c->bit))
			continue;
		mask &= ~c->bit;
		used += (size_t)snprintf(buf + used, n - used, "%s%s",
		                         !used  ? ""
		                         : mask ? ", "
		                                : " and ",
		                         c->name);
		if (used >= n)
			return;
	}
}
