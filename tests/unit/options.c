/* SPDX-License-Identifier: BSD-2-Clause */
/* Options: what is wrong is said with what, why and what to do; what is right arrives, and survives a recording. */
#include "test.h"

#include <errno.h>
#include <signal.h>

#include "options.h"
#include "options_table.h"
#include "turn_source/spec.h"

#define ARGS_MAX 300
#define TIMEOUT_VAR "MAS_BENCH_STUCK_TIMEOUT_MINUTES"

static struct options o;
static char said_out[65536], said_err[4096];

/* Parses "whystuck" and the words of line; '\1' stands for a blank inside a word, '\2' for an empty word. */
static int parse(const char *line)
{
	static char words[4096];
	char *argv[ARGS_MAX + 1] = { "whystuck" };
	static char *kept[ARGS_MAX + 1];
	int argc = 1, ret;
	FILE *out = fmemopen(said_out, sizeof(said_out), "w");
	FILE *err = fmemopen(said_err, sizeof(said_err), "w");

	if (!out || !err)
		abort();
	options_free(&o);
	said_out[0] = said_err[0] = '\0';
	snprintf(words, sizeof(words), "%s", line);
	for (char *w = strtok(words, " "); w && argc < ARGS_MAX; w = strtok(NULL, " ")) {
		for (char *blank; (blank = strchr(w, '\1')) != NULL;)
			*blank = ' ';
		argv[argc++] = *w == '\2' ? "" : w;
	}
	memcpy(kept, argv, sizeof(kept)); /* o points into it */
	ret = options_parse(&o, argc, kept, out, err);
	fclose(out);
	fclose(err);
	return ret;
}

static bool good(const char *line)
{
	int ret = parse(line);

	if (ret || said_err[0] || said_out[0])
		printf("# '%s': %d %s", line, ret, said_err);
	return ret == 0 && !said_err[0] && !said_out[0];
}

static void test_values(void)
{
	TEST("defaults are those of the manual");
	CHECK(good("watch 4711"));
	CHECK(strcmp(o.command, "watch") == 0 && o.pid == 4711 && !o.output && !o.record);
	CHECK(o.stuck_timeout_minutes == 15 && o.progress == PROGRESS_TQDM && o.total == 0);
	CHECK(!o.verbose && !o.quiet && o.log_level == LEVEL_INFO && strcmp(o.turns, "auto") == 0);
	CHECK(o.nrules == 0 && !o.on_stuck && !o.stop && !o.stop_kill);
	CHECK(o.stop_signal == SIGINT && o.stop_grace_s == 10);
	options_free(&o);

	TEST("every option of watch arrives, before and behind the process id");
	CHECK(good("watch -o out --stuck-timeout 0.5 --progress none --total 250 4194304 --verbose "
	           "--turns=llm --on-stuck=echo\1hi --stop=SIGTERM --stop-grace 2.5 --stop-kill "
	           "--record=r.rec"));
	CHECK(o.pid == 4194304 && o.npids == 1 && o.pids[0] == 4194304);
	CHECK(strcmp(o.output, "out") == 0 && o.stuck_timeout_minutes == 0.5);
	CHECK(o.progress == PROGRESS_NONE && o.total == 250 && o.verbose && !o.quiet);
	CHECK(o.log_level == LEVEL_DEBUG && strcmp(o.turns, "llm") == 0);
	CHECK(strcmp(o.on_stuck, "echo hi") == 0 && o.stop && o.stop_signal == SIGTERM);
	CHECK(o.stop_grace_s == 2.5 && o.stop_kill && strcmp(o.record, "r.rec") == 0);
	options_free(&o);

	TEST("endpoints keep their order");
	CHECK(good("watch 1 --llm llm.internal:8000 --storage L1=127.0.0.1:6379 --heartbeat "
	           "127.0.0.1:6333/healthz --llm other.internal"));
	CHECK(o.nrules == 4 && o.rules[0].kind == 'l' && o.rules[1].kind == 's' &&
	      o.rules[2].kind == 'h' && o.rules[3].kind == 'l');
	CHECK(strcmp(o.rules[1].spec, "L1=127.0.0.1:6379") == 0);
	options_free(&o);

	TEST("of run, all behind the command's name is the command's");
	CHECK(good("run --quiet -- python3 -u x.py --verbose --"));
	CHECK(o.quiet && !o.verbose && o.log_level == LEVEL_ERROR);
	CHECK(strcmp(o.argv[0], "python3") == 0 && strcmp(o.argv[3], "--verbose") == 0 &&
	      strcmp(o.argv[4], "--") == 0 && !o.argv[5]);
	options_free(&o);
	CHECK(good("run --quiet python3 --verbose") && strcmp(o.argv[1], "--verbose") == 0);
	options_free(&o);

	TEST("replay takes a file, check a process or none");
	CHECK(good("replay a.rec --scrub b.rec -oout"));
	CHECK(strcmp(o.file, "a.rec") == 0 && strcmp(o.scrub, "b.rec") == 0 &&
	      strcmp(o.output, "out") == 0);
	options_free(&o);
	CHECK(good("replay -- --odd.rec") && strcmp(o.file, "--odd.rec") == 0);
	options_free(&o);
	CHECK(good("check") && o.pid == 0);
	CHECK(good("check 12") && o.pid == 12);

	TEST("a process id alone, or options and a process id, ask why");
	CHECK(good("4711") && strcmp(o.command, "why") == 0 && o.pid == 4711);
	CHECK(o.stuck_timeout_minutes * 60 == 10 && !o.all && !o.json && !o.probe && !o.unstick);
	CHECK(good("why 4711 --json") && strcmp(o.command, "why") == 0 && o.json && o.pid == 4711);
	CHECK(good("--all 12 --probe") && strcmp(o.command, "why") == 0 && o.all && o.probe);
	CHECK(good("12 --llm h:1 --storage L1=h:2 --heartbeat h/x --record r --stuck-timeout 2"));
	CHECK(o.nrules == 3 && strcmp(o.record, "r") == 0 && o.stuck_timeout_minutes == 2);
	options_free(&o);
	CHECK(good("12 --unstick") && o.unstick && o.unstick_fd == -1 && !o.yes);
	CHECK(good("12 --unstick=0 --yes --json") && o.unstick_fd == 0 && o.yes && o.json);
	CHECK(good("12 --unstick=7") && o.unstick && o.unstick_fd == 7);

	TEST("the last of contrary options wins");
	CHECK(good("watch 1 --quiet --verbose") && o.verbose && !o.quiet);
	CHECK(good("watch 1 --stuck-timeout 3 --stuck-timeout 4") && o.stuck_timeout_minutes == 4);

	TEST("a signal is named with or without SIG, in any case of letters, or by number");
	CHECK(good("watch 1 --stop") && o.stop && o.stop_signal == SIGINT);
	CHECK(good("watch 1 --stop=TERM") && o.stop_signal == SIGTERM);
	CHECK(good("watch 1 --stop=sigusr1") && o.stop_signal == SIGUSR1);
	CHECK(good("watch 1 --stop=15") && o.stop_signal == SIGTERM);
	CHECK(good("watch --stop 1") && o.pid == 1 && o.stop_signal == SIGINT);

	TEST("numbers are plain decimals");
	CHECK(good("watch 1 --stuck-timeout .5") && o.stuck_timeout_minutes == 0.5);
	CHECK(good("watch 1 --stuck-timeout 2.") && o.stuck_timeout_minutes == 2);
	CHECK(good("watch 1 --stuck-timeout 0") && o.stuck_timeout_minutes == 0);
	CHECK(good("watch 1 --stuck-timeout 000000000000015") && o.stuck_timeout_minutes == 15);
	CHECK(good("watch 1 --stuck-timeout 527040") && o.stuck_timeout_minutes == 527040);
	CHECK(good("watch 1 --stuck-timeout 0.000001") && o.stuck_timeout_minutes == 0.000001);
}

static void test_targets(void)
{
	char line[2048] = "watch";

	TEST("watch takes several processes, each once");
	CHECK(good("watch 3 --total 5 1 3 2 1"));
	CHECK(o.npids == 3 && o.pids[0] == 3 && o.pids[1] == 1 && o.pids[2] == 2 && o.pid == 3);
	TEST("--match goes with processes and without");
	CHECK(good("watch --match python3\1.*bench\\.py") && o.npids == 0 && o.pid == 0);
	CHECK(strcmp(o.match, "python3 .*bench\\.py") == 0);
	CHECK(good("watch 7 --match=^a{1,255}$ 8") && o.npids == 2 && o.match);
	TEST("where one process is named, it is the only one of the list");
	CHECK(good("check 12") && o.npids == 1 && o.pids[0] == 12);
	CHECK(good("12") && o.npids == 1 && o.pids[0] == 12);
	CHECK(good("check") && o.npids == 0);
	CHECK(good("run -- x") && o.npids == 0 && o.pid == 0);
	TEST("as many processes as there is room for, and no more");
	for (int i = 0; i < OPTIONS_PIDS_MAX; i++)
		snprintf(line + strlen(line), sizeof(line) - strlen(line), " %d", i + 1);
	CHECK(good(line) && o.npids == OPTIONS_PIDS_MAX && o.pids[OPTIONS_PIDS_MAX - 1] == 256);
	strcat(line, " 300");
	CHECK(parse(line) == EXIT_USAGE && strstr(said_err, "257 process ids, at most 256"));
}

static void test_files(void)
{
	static const struct {
		const char *size;
		uint64_t bytes;
	} sizes[] = { { "4096", 4096 },    { "4k", 4096 },
		      { "4K", 4096 },      { "10M", 10 << 20 },
		      { "10m", 10 << 20 }, { "1G", 1 << 30 },
		      { "1g", 1 << 30 },   { "1024G", 1ull << 40 },
		      { "0005k", 5120 },   { "1099511627776", 1ull << 40 } };
	static const char *const sources[] = {
		"auto",     "llm", "http", "jsonl:*/log/[ab]*.jsonl", "stdout:^turn\1[0-9]+:",
		"idle:1500"
	};

	TEST("sizes have k, M and G, in either case");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char line[128];

		snprintf(line, sizeof(line), "watch 1 --rotate-size %s --rotate-keep 1000",
		         sizes[i].size);
		CHECK(good(line) && o.rotate_size == sizes[i].bytes && o.rotate_keep == 1000);
	}
	TEST("what a run writes");
	CHECK(good("watch 1") && !o.calls && o.sample == 1 && !o.rotate_size && !o.runstats);
	CHECK(o.rotate_keep == 5 && !o.config && !o.profile && !o.match);
	CHECK(good("run --calls --sample 10 --runstats r.json -- x"));
	CHECK(o.calls && o.sample == 10 && strcmp(o.runstats, "r.json") == 0);
	CHECK(good("replay f --calls --sample 10"));
	TEST("turns come from any source there is, or from a profile");
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		char line[128];

		snprintf(line, sizeof(line), "watch 1 --turns %s", sources[i]);
		CHECK(good(line) && strncmp(o.turns, sources[i], 4) == 0);
	}
	CHECK(good("watch 1 --profile goodai-ltm") && strcmp(o.profile, "goodai-ltm") == 0);
	CHECK(good("watch 1 --profile goodai-ltm --turns auto"));
	TEST("strings are the options' own: what they came from may go");
	{
		char *line = strdup("turns=jsonl:*/x.jsonl");

		options_free(&o);
		options_init(&o);
		CHECK(options_apply(&o, line) == 0);
		memset(line, 'x', strlen(line));
		free(line);
		CHECK(strcmp(o.turns, "jsonl:*/x.jsonl") == 0);
		CHECK(options_apply(&o, "turns=idle:5") == 0 && strcmp(o.turns, "idle:5") == 0);
	}
	options_free(&o);
}

static const char minutes[] = "use for example 15 or 0.5, 0 turns it off";

/* The message must hold what was given, why it is refused, and what to do. */
static const struct {
	const char *line, *what, *why, *todo;
} errors[] = {
	{ "watch 1 --stuck-timeout abc", "--stuck-timeout 'abc'", "not a number of minutes",
	  minutes },
	{ "watch 1 --stuck-timeout=", "--stuck-timeout ''", "not a number of minutes", minutes },
	{ "watch 1 --stuck-timeout .", "'.'", "not a number of minutes", minutes },
	{ "watch 1 --stuck-timeout nan", "'nan'", "not a number of minutes", minutes },
	{ "watch 1 --stuck-timeout inf", "'inf'", "not a number of minutes", minutes },
	{ "watch 1 --stuck-timeout -inf", "'-inf'", "not a number of minutes", minutes },
	{ "watch 1 --stuck-timeout 0x10", "'0x10'", "not a number of minutes", minutes },
	{ "watch 1 --stuck-timeout 1e3", "'1e3'", "not a number of minutes", minutes },
	{ "watch 1 --stuck-timeout 15m", "'15m'", "not a number of minutes", minutes },
	{ "watch 1 --stuck-timeout 1,5", "'1,5'", "not a number of minutes", minutes },
	{ "watch 1 --stuck-timeout 1.2.3", "'1.2.3'", "not a number of minutes", minutes },
	{ "watch 1 --stuck-timeout \1"
	  "1",
	  "' 1'", "not a number of minutes", minutes },
	{ "watch 1 --stuck-timeout +1", "'+1'", "not a number of minutes", minutes },
	{ "watch 1 --stuck-timeout -1", "'-1'", "is negative", minutes },
	{ "watch 1 --stuck-timeout -.5", "'-.5'", "is negative", minutes },
	{ "watch 1 --stuck-timeout 527040.1", "'527040.1'", "longer than a year", minutes },
	{ "watch 1 --stuck-timeout 99999999999999999999", "'99999999999999999999'",
	  "longer than a year", minutes },
	{ "watch 1 --stuck-timeout 1.0000001", "'1.0000001'", "more than six decimals", minutes },
	{ "watch 1 --stuck-timeout", "--stuck-timeout:", "no value", minutes },
	{ "watch 1 --output --verbose", "--output:", "'--verbose' follows", "--output=--verbose" },
	{ "watch 1 --output \2", "--output ''", "is empty", "name a directory" },
	{ "watch 1 --verbose=1", "--verbose '1'", "takes no value", "write --verbose alone" },
	{ "watch 1 --progress bar", "--progress 'bar'", "no such style", "use tqdm or none" },
	{ "watch 1 --turns htp", "--turns 'htp'", "no such source of turns", "jsonl:PATH-GLOB" },
	{ "watch 1 --turns llm:x", "--turns 'llm:x'", "nothing behind a colon", "idle:MS" },
	{ "watch 1 --turns jsonl:", "--turns 'jsonl:'", "nothing behind the colon", "idle:MS" },
	{ "watch 1 --turns stdout:(", "--turns 'stdout:('", "not an extended regular", "idle:MS" },
	{ "watch 1 --turns idle:0", "--turns 'idle:0'", "not a number of milliseconds", "idle:MS" },
	{ "watch 1 --profile goodai", "--profile 'goodai'", "no such profile", "use goodai-ltm" },
	{ "watch 1 --profile", "--profile:", "no value", "use goodai-ltm" },
	{ "watch 1 --profile goodai-ltm --turns llm", "--profile 'goodai-ltm'", "--turns 'llm'",
	  "leave one of them out" },
	{ "watch --match [a", "--match '[a'", "not an extended regular", "--match='python3" },
	{ "watch --match \2", "--match ''", "would match every process", "--match='python3" },
	{ "watch --match ((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+", "--match '((((", "unfold",
	  "--match='python3" },
	{ "watch --match (a)\\1", "--match '(a)\\1'", "back-references", "--match='python3" },
	{ "run --match x -- y", "run: --match", "only of watch;", "whystuck run --help" },
	{ "watch 1 --calls=1", "--calls '1'", "takes no value", "write --calls alone" },
	{ "watch 1 --sample 0", "--sample '0'", "not a number between 1", "every tenth" },
	{ "watch 1 --sample 1.5", "--sample '1.5'", "not a number between 1", "every tenth" },
	{ "watch 1 --rotate-size 4095", "--rotate-size '4095'", "not between 4k and 1024G",
	  "100M or 1G" },
	{ "watch 1 --rotate-size 1025G", "--rotate-size '1025G'", "not between 4k", "100M or 1G" },
	{ "watch 1 --rotate-size 99999999999999999999999999", "'9999999999", "not between 4k",
	  "100M or 1G" },
	{ "watch 1 --rotate-size 10MB", "--rotate-size '10MB'", "not a size", "100M or 1G" },
	{ "watch 1 --rotate-size M", "--rotate-size 'M'", "not a size", "100M or 1G" },
	{ "watch 1 --rotate-size -1", "--rotate-size '-1'", "not a size", "100M or 1G" },
	{ "watch 1 --rotate-size 5T", "--rotate-size '5T'", "not a size", "100M or 1G" },
	{ "watch 1 --rotate-size 1M --rotate-keep 0", "--rotate-keep '0'", "between 1 and 1000",
	  "example 5" },
	{ "watch 1 --rotate-size 1M --rotate-keep 1001", "--rotate-keep '1001'",
	  "between 1 and 1000", "example 5" },
	{ "watch 1 --rotate-keep 3", "--rotate-keep:", "without --rotate-size",
	  "--rotate-size=100M" },
	{ "replay f --runstats x", "replay: --runstats", "only of watch and run", "--help" },
	{ "watch 1 --runstats \2", "--runstats ''", "is empty", "name the JSON file" },
	{ "watch 1 --config", "--config:", "no value", "name a file" },
	{ "watch 1 --config /nonexistent/x.conf", "--config '/nonexistent/x.conf'",
	  "No such file or directory", "name a file" },
	{ "--completion", "--completion:", "no value", "bash, zsh or fish" },
	{ "--completion ksh", "--completion 'ksh'", "no such shell", "bash, zsh or fish" },
	{ "watch 1 --total 0", "--total '0'", "not a number of turns", "leave the option out" },
	{ "watch 1 --total 1000000001", "'1000000001'", "not a number of turns",
	  "leave the option out" },
	{ "watch 1 --total 1.5", "--total '1.5'", "not a number of turns", "leave the option out" },
	{ "watch 1 --stop=SIGFOO", "--stop 'SIGFOO'", "no such signal", "--stop=SIGTERM" },
	{ "watch 1 --stop=", "--stop ''", "no such signal", "--stop=SIGTERM" },
	{ "watch 1 --stop=0", "--stop '0'", "no such signal", "--stop=SIGTERM" },
	{ "watch 1 --stop=9", "--stop '9'", "lets no run save its work", "--stop-kill" },
	{ "watch 1 --stop=STOP", "--stop 'STOP'", "ends no process", "--stop=SIGTERM" },
	{ "watch 1 --stop TERM", "--stop: 'TERM'", "not taken as its value", "--stop=TERM" },
	{ "run --stop term -- x", "--stop: 'term'", "not taken as its value", "--stop=term" },
	{ "watch 1 --stop --stop-grace x", "--stop-grace 'x'", "not a number of seconds",
	  "10 or 0.5" },
	{ "watch 1 --stop-grace 5", "--stop-grace:", "without --stop", "add --stop" },
	{ "watch 1 --stop-kill", "--stop-kill:", "without --stop", "add --stop" },
	{ "watch 1 --stop --stuck-timeout 0", "--stop:", "timeout is 0", "set --stuck-timeout" },
	{ "watch 1 --on-stuck x --stuck-timeout 0", "--on-stuck:", "timeout is 0",
	  "set --stuck-timeout" },
	{ "watch 1 --llm \2", "--llm ''", ":", "--llm=llm.internal:8000" },
	{ "watch 1 --storage nolabel", "--storage 'nolabel'", ":", "--storage=L1=127.0.0.1:6379" },
	{ "watch 1 --heartbeat nopath", "--heartbeat 'nopath'", ":",
	  "--heartbeat=127.0.0.1:6333/healthz" },
	{ "watch", "watch:", "no process id", "whystuck watch PID" },
	{ "watch abc", "watch 'abc'", "not a process id", "the number that ps" },
	{ "watch 0", "watch '0'", "not a process id", "1 to 4194304" },
	{ "watch -5", "watch '-5'", "not a process id", "1 to 4194304" },
	{ "watch 12x", "watch '12x'", "not a process id", "1 to 4194304" },
	{ "watch 4194305", "watch '4194305'", "not a process id", "1 to 4194304" },
	{ "watch 18446744073709551617", "watch '18446744073709551617'", "not a process id",
	  "1 to" },
	{ "watch 1 2x", "watch '2x'", "not a process id", "the number that ps" },
	{ "watch 1 --stuck-timout 3", "'--stuck-timout'", "unknown option",
	  "did you mean --stuck-timeout?" },
	{ "watch 1 --stuck=3", "'--stuck'", "unknown option", "did you mean --stuck-timeout?" },
	{ "watch 1 --frobnicate", "'--frobnicate'", "unknown option", "whystuck watch --help" },
	{ "watch 1 -x", "'-x'", "unknown option", "whystuck watch --help" },
	{ "watch 1 --=", "'--'", "unknown option", "whystuck watch --help" },
	{ "watch 1 --scrub x", "watch: --scrub", "only of replay", "whystuck watch --help" },
	{ "replay f --stop", "replay: --stop", "only of watch and run", "whystuck replay --help" },
	{ "check --total 3", "check: --total", "only of watch, run and replay",
	  "whystuck check --help" },
	{ "check 1 2", "check: '2'", "one argument too many", "whystuck check PID" },
	{ "check x", "check 'x'", "not a process id", "the number that ps" },
	{ "run", "run:", "no command to start", "whystuck run -- CMD" },
	{ "run --quiet --", "run:", "no command to start", "whystuck run -- CMD" },
	{ "replay", "replay:", "no file", "whystuck replay FILE" },
	{ "replay a b", "replay: 'b'", "one argument too many", "one recording" },
	{ "replay a --scrub a", "--scrub 'a'", "the recording itself", "name another file" },
	{ "wathc 3", "'wathc'", "no such command", "did you mean 'watch'?" },
	{ "re x", "'re'", "no such command", "did you mean 'replay'?" },
	{ "frobnicate", "'frobnicate'", "no such command", "whystuck watch [OPTIONS]" },
	{ "--verbose watch 1", "'--verbose'", "options go behind the command",
	  "whystuck watch --help" },
	{ "why", "why:", "no process id", "use whystuck PID" },
	{ "--all", "why:", "no process id", "use whystuck PID" },
	{ "0", "why '0'", "not a process id", "the number that ps" },
	{ "99999999999", "why '99999999999'", "not a process id", "the number that ps" },
	{ "-5", "why '-5'", "not a process id", "the number that ps" },
	{ "1 2", "why: '2'", "one argument too many", "one process" },
	{ "--unstick 7 1", "why: '1'", "one argument too many", "--unstick=FD" },
	{ "1 --unstick=x", "--unstick 'x'", "not the number of a descriptor", "--unstick=7" },
	{ "1 --yes", "--yes", "nothing to say yes to", "--unstick" },
	{ "1 --json --unstick", "--unstick", "nobody could be asked", "--yes" },
	{ "1 --stuck-timeout 0", "--stuck-timeout 0", "every wait would be called stuck",
	  "use for example" },
	{ "1 --total 3", "why: --total", "no option of this command", "whystuck why --help" },
	{ "watch 1 --json", "watch: --json", "only of why", "whystuck watch --help" },
	{ "1 --jsom", "why: unknown option '--jsom'", "did you mean", "--json" },
	{ "\2", "''", "no such command", "whystuck watch [OPTIONS]" },
	{ "", "usage:", "whystuck replay [OPTIONS] FILE", "whystuck run [OPTIONS] -- CMD" },
};

static void test_errors(void)
{
	TEST("every error says what was given, why it cannot be and what to do, and is a usage "
	     "error");
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		int ret = parse(errors[i].line);
		bool told = strstr(said_err, errors[i].what) && strstr(said_err, errors[i].why) &&
		            strstr(said_err, errors[i].todo);

		int want = strstr(errors[i].line, "/nonexistent") ? EXIT_ERROR : EXIT_USAGE;

		if (!told || ret != want)
			printf("# '%s': %d %s", errors[i].line, ret, said_err);
		CHECK(told && ret == want && !said_out[0]);
		CHECK(strncmp(said_err, *errors[i].line ? "whystuck: " : "usage: ", 7) == 0);
	}
	TEST("too many endpoints are refused");
	for (int k = 0; k <= OPTIONS_RULES_MAX; k++) {
		if (k == 0)
			options_init(&o);
		CHECK((options_apply(&o, "llm=h:1") == 0) == (k < OPTIONS_RULES_MAX));
	}
	options_free(&o);
	TEST("a hostile or endless value neither drives the terminal nor hides the advice");
	parse("watch 1 --total \x1b[2J\x07\n");
	CHECK(!strchr(said_err, '\x1b') && !strchr(said_err, '\x07'));
	CHECK(strchr(said_err, '\n') == said_err + strlen(said_err) - 1);
	{
		char line[900] = "watch 1 --total ";

		memset(line + strlen(line), 'x', sizeof(line) - 1 - strlen(line));
		line[sizeof(line) - 1] = '\0';
		CHECK(parse(line) == EXIT_USAGE && strstr(said_err, "leave the option out"));
		memcpy(line, "watch 1 --", 10);
		CHECK(parse(line) == EXIT_USAGE && strlen(said_err) < 300);
	}
}

static void test_environment(void)
{
	static const char *const bad[] = { "abc", "-1", "nan", "1e9", "15 " };

	TEST("the environment sets the timeout, the option wins");
	setenv(TIMEOUT_VAR, "2.5", 1);
	CHECK(good("watch 1") && o.stuck_timeout_minutes == 2.5);
	CHECK(good("watch 1 --stuck-timeout 3") && o.stuck_timeout_minutes == 3);
	CHECK(good("run -- x") && o.stuck_timeout_minutes == 2.5);
	TEST("a malformed value in the environment is an error that names the variable");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		setenv(TIMEOUT_VAR, bad[i], 1);
		CHECK(parse("watch 1") == EXIT_USAGE);
		CHECK(strstr(said_err, "environment variable " TIMEOUT_VAR) &&
		      strstr(said_err, bad[i]) && strstr(said_err, minutes));
	}
	TEST("it is not looked at where it does not count: option given, other command, help");
	CHECK(good("watch 1 --stuck-timeout 3") && good("check 1") && good("1"));
	CHECK(parse("watch --help") == OPTIONS_LEAVE);
	TEST("an empty variable is none");
	setenv(TIMEOUT_VAR, "", 1);
	CHECK(good("watch 1") && o.stuck_timeout_minutes == 15);
	TEST("a timeout turned off in the environment is told when it makes --stop pointless");
	setenv(TIMEOUT_VAR, "0", 1);
	CHECK(good("watch 1") && o.stuck_timeout_minutes == 0);
	CHECK(parse("watch 1 --stop") == EXIT_USAGE && strstr(said_err, "timeout is 0"));
	unsetenv(TIMEOUT_VAR);

	TEST("LOG_LEVEL sets the level, --verbose and --quiet win, nonsense is an error");
	setenv("LOG_LEVEL", "WARNING", 1);
	CHECK(good("watch 1") && o.log_level == LEVEL_WARNING && !o.verbose && !o.quiet);
	CHECK(good("watch 1 --verbose") && o.verbose && o.log_level == LEVEL_DEBUG);
	CHECK(good("watch 1 --quiet") && o.quiet && o.log_level == LEVEL_ERROR);
	setenv("LOG_LEVEL", "debug", 1);
	CHECK(good("watch 1") && o.verbose && o.log_level == LEVEL_DEBUG);
	setenv("LOG_LEVEL", "LOUD", 1);
	CHECK(parse("check") == EXIT_USAGE &&
	      strstr(said_err, "environment variable LOG_LEVEL 'LOUD'") &&
	      strstr(said_err, "DEBUG, INFO, WARNING or ERROR"));
	CHECK(good("check --quiet"));
	unsetenv("LOG_LEVEL");
}

static void test_help(void)
{
	static const char *const commands[] = { "watch", "run", "replay", "check", "why" };
	bool narrow = true;

	TEST("help lists what there is, at most 80 columns wide, on standard output");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		char line[32];

		snprintf(line, sizeof(line), "%s --help", commands[i]);
		CHECK(parse(line) == OPTIONS_LEAVE && !said_err[0]);
		CHECK(strncmp(said_out, "usage: whystuck ", 16) == 0);
		CHECK(!strstr(said_out, "--stop") == (i >= 2));
		CHECK(strstr(said_out, "--config FILE"));
		CHECK(!strstr(said_out, "--scrub") == (i != 2));
		for (char *l = strtok(said_out, "\n"); l; l = strtok(NULL, "\n"))
			narrow &= strlen(l) <= 80 && l[strlen(l) - 1] != ' ';
	}
	CHECK(narrow);
	CHECK(parse("-h") == OPTIONS_LEAVE && strstr(said_out, "whystuck replay [OPTIONS] FILE"));
	CHECK(parse("watch -h") == OPTIONS_LEAVE && strstr(said_out, "--heartbeat HOST/PATH"));
	CHECK(parse("--help") == OPTIONS_LEAVE && strstr(said_out, "Exit status: "));
	TEST("help of --profile names the profiles there are");
	CHECK(parse("watch --help") == OPTIONS_LEAVE);
	for (const struct turns_profile *p = turns_profiles; p->name; p++)
		CHECK(strstr(said_out, p->name));
	TEST("the version is one line");
	CHECK(parse("-V") == OPTIONS_LEAVE &&
	      strcmp(said_out, "whystuck " WHYSTUCK_VERSION "\n") == 0);
	CHECK(parse("run --version") == OPTIONS_LEAVE &&
	      strcmp(said_out, "whystuck " WHYSTUCK_VERSION "\n") == 0);
	TEST("behind the command of run, --help is the command's");
	CHECK(good("run -- ls --help"));
	options_free(&o);
}

static char lines[4096];

static void collect(void *ctx, const char *line)
{
	(*(int *)ctx)++;
	strcat(strcat(lines, line), "\n");
}

static const char *each(const struct options *from)
{
	int n = 0;

	lines[0] = '\0';
	options_each(from, collect, &n);
	return lines;
}

static void apply(void *ctx, const char *line)
{
	CHECK(options_apply(ctx, line) == 0);
}

static void test_recording(void)
{
	static const char *const bad[] = {
		"",
		"=",
		"total",
		"total=",
		"total=x",
		"stuck-timeout=nan",
		"stuck-timeout",
		"unheard=1",
		"on-stuck=touch x",
		"stop=TERM",
		"stop-kill=",
		"record=x",
		"scrub=x",
		"output=x",
		"help=",
		"turns=htp",
		"turns=stdout:(",
		"turns=stdout:((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+",
		"profile=nobody",
		"sample=0",
		"calls=",
		"match=x",
		"runstats=x",
		"rotate-size=4k",
		"config=x",
		"llm=",
		"storage=x",
		"heartbeat=x",
		" total=1",
		"verbose=",
	};
	struct options back;

	TEST("what changes results goes into a recording, and nothing else");
	CHECK(good("watch 1 -o secret --stuck-timeout 0.1 --total 7 --on-stuck x --stop --record r "
	           "--verbose "
	           "--storage L1=h:1 --llm a:2 --heartbeat b/c"));
	CHECK(strcmp(each(&o), "stuck-timeout=0.1\nturns=auto\ntotal=7\nstorage=L1=h:1\nllm=a:"
	                       "2\nheartbeat=b/c\n") == 0);
	TEST("options survive the way into a recording and back");
	options_init(&back);
	options_each(&o, apply, &back);
	CHECK(back.stuck_timeout_minutes == 0.1 && back.total == 7 && back.nrules == 3);
	CHECK(!back.stop && !back.on_stuck && !back.output && !back.record);
	CHECK(strcmp(back.rules[0].spec, "L1=h:1") == 0 && back.rules[0].spec != o.rules[0].spec);
	CHECK(back.rules[0].kind == 's' && back.rules[1].kind == 'l' && back.rules[2].kind == 'h');
	{
		char first[sizeof(lines)];

		strcpy(first, each(&o));
		CHECK(strcmp(first, each(&back)) == 0);
	}
	options_free(&back);

	TEST("sources, profiles and samples are recorded; a contradiction is none that was");
	CHECK(good("watch 1 --turns stdout:^a+b$ --sample 3 --calls --match x --rotate-size 4k"));
	CHECK(strcmp(each(&o), "stuck-timeout=15\nturns=stdout:^a+b$\nsample=3\n") == 0);
	CHECK(good("watch 1 --profile goodai-ltm"));
	CHECK(strcmp(each(&o), "stuck-timeout=15\nturns=auto\nprofile=goodai-ltm\n") == 0);
	CHECK(options_apply(&o, "turns=llm") == 0 && strcmp(o.turns, "auto") == 0);
	options_init(&back);
	CHECK(options_apply(&back, "profile=goodai-ltm") == 0);
	CHECK(options_apply(&back, "turns=auto") == 0);
	CHECK(options_apply(&back, "turns=llm") == -EINVAL);
	options_free(&back);
	options_init(&back);
	CHECK(options_apply(&back, "turns=llm") == 0);
	CHECK(options_apply(&back, "profile=goodai-ltm") == -EINVAL && !back.profile);
	options_free(&back);
	CHECK(good("replay f --turns llm"));
	CHECK(options_apply(&o, "turns=auto") == 0 && options_apply(&o, "profile=goodai-ltm") == 0);
	CHECK(strcmp(o.turns, "llm") == 0 && !o.profile);
	TEST("the longest source of turns survives the way into a recording");
	{
		char longest[1024] = "turns=stdout:";

		memset(longest + strlen(longest), 'a', TURNS_ARG_MAX - 1);
		options_free(&o);
		options_init(&o);
		CHECK(options_apply(&o, longest) == 0);
		CHECK(strstr(each(&o), longest));
		strcat(longest, "a");
		CHECK(options_apply(&o, longest) == -EINVAL);
	}

	TEST("applied to the options they came from, they change nothing");
	CHECK(good("watch 1 --stuck-timeout 0.1 --storage L1=h:1 --llm a:2 --heartbeat b/c"));
	options_each(&o, apply, &o);
	CHECK(o.nrules == 3 && o.stuck_timeout_minutes == 0.1);
	options_free(&o);

	TEST("every number of minutes survives exactly");
	for (uint64_t micro = 1; micro < 527040000000ull; micro = micro * 3 + 1) {
		options_init(&o);
		o.stuck_timeout_minutes = (double)micro / 1e6;
		options_init(&back);
		options_each(&o, apply, &back);
		CHECK(back.stuck_timeout_minutes == o.stuck_timeout_minutes);
		options_free(&back);
	}

	TEST("on a replay the command line wins over the recording, the recording over the "
	     "environment");
	setenv(TIMEOUT_VAR, "9", 1);
	CHECK(good("replay f --total 5 --llm mine"));
	CHECK(options_apply(&o, "total=7") == 0 && o.total == 5);
	CHECK(options_apply(&o, "llm=theirs") == 0 && o.nrules == 1);
	CHECK(options_apply(&o, "storage=L1=h:1") == 0 && o.nrules == 2);
	CHECK(options_apply(&o, "stuck-timeout=3") == 0 && o.stuck_timeout_minutes == 3);
	options_free(&o);
	unsetenv(TIMEOUT_VAR);

	TEST("a line that is not one of them is an error and changes nothing, it cannot make a "
	     "replay act");
	options_init(&o);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		size_t n = strlen(bad[i]) + 1;
		char *line = guarded(bad[i], n);

		CHECK(options_apply(&o, line) == -EINVAL);
		guarded_free(line, n);
	}
	CHECK(strcmp(each(&o), "stuck-timeout=15\nturns=auto\n") == 0 && !o.stop && !o.on_stuck);
	{
		char big[4096] = "llm=";

		memset(big + 4, 'a', sizeof(big) - 5);
		big[sizeof(big) - 1] = '\0';
		CHECK(options_apply(&o, big) == -EINVAL && o.nrules == 0);
	}
}

static void test_table(void)
{
	char names[64];

	TEST("rows have what messages and documents need");
	for (const struct option *opt = option_table; opt->name; opt++) {
		CHECK(option_find(opt->name, strlen(opt->name)) == opt && opt->help);
		CHECK(!opt->parse || !opt->arg || opt->advice || opt->choice);
		CHECK(!opt->result == !(opt->print || opt->rule || opt->apply));
		CHECK(!opt->letter || option_find_letter(opt->letter) == opt);
	}
	TEST("the choices offered are values that are taken");
	for (const struct option *opt = option_table; opt->name; opt++) {
		for (size_t i = 0; opt->choice && opt->choice(i); i++) {
			char value[64];

			snprintf(value, sizeof(value), "%s", opt->choice(i));
			if (value[strlen(value) - 1] == ':')
				strcat(value, "12");
			options_init(&o);
			CHECK(!opt->parse(&o, opt, value));
			options_free(&o);
		}
	}
	for (int k = TURNS_AUTO; k <= TURNS_IDLE; k++)
		CHECK(strncmp(choice_turns((size_t)k), turns_kind_name((enum turns_kind)k),
		              strlen(turns_kind_name((enum turns_kind)k))) == 0);
	TEST("commands are listed as people do");
	command_names(WATCH, names, sizeof(names));
	CHECK(strcmp(names, "watch") == 0);
	command_names(LIVE, names, sizeof(names));
	CHECK(strcmp(names, "watch and run") == 0);
	command_names(ALL, names, sizeof(names));
	CHECK(strcmp(names, "why, watch, run, replay and check") == 0);
}

int main(void)
{
	unsetenv(TIMEOUT_VAR);
	unsetenv("LOG_LEVEL");
	test_values();
	test_targets();
	test_files();
	test_table();
	test_errors();
	test_environment();
	test_help();
	test_recording();
	options_free(&o);
	return DONE();
}
