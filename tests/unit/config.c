/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of --config: lines and whole files, what is refused and how it is told, and who wins over whom. */
#include "test.h"

#include <stdint.h>
#include <sys/stat.h>

#include "options_config.h"

#define TIMEOUT_VAR "MAS_BENCH_STUCK_TIMEOUT_MINUTES"

static struct options o;
static char said[4096], file[64];

static void start(struct config *c, const char *command, FILE *err)
{
	options_free(&o);
	options_init(&o);
	*c = (struct config){
		.o = &o, .command = command_find(command), .path = "run.conf", .err = err
	};
}

/* Feeds text, which ends at an unreadable page, as a file of command. */
static int feed_bytes(const char *command, const char *text, size_t n)
{
	FILE *err = fmemopen(said, sizeof(said), "w");
	char *bytes = guarded(text, n);
	struct config c;
	int ret;

	memset(said, 0, sizeof(said));
	start(&c, command, err);
	ret = config_text(&c, bytes, n);
	guarded_free(bytes, n);
	fclose(err);
	return ret;
}

static int feed(const char *command, const char *text)
{
	return feed_bytes(command, text, strlen(text));
}

static bool good(const char *command, const char *text)
{
	int ret = feed(command, text);

	if (ret || said[0])
		printf("# %d %s", ret, said);
	return ret == 0 && !said[0];
}

static void test_lines(void)
{
	static const struct {
		const char *line, *value;
	} values[] = {
		{ "on-stuck=a b", "a b" },
		{ " \t on-stuck \t = \t a b \t ", "a b" },
		{ "on-stuck = a#b", "a#b" },
		{ "on-stuck = a #b", "a" },
		{ "on-stuck=#a", "#a" },
		{ "on-stuck = say \"hi\"", "say \"hi\"" },
		{ "on-stuck = \"a # b\"", "a # b" },
		{ "on-stuck = \" a \"", " a " },
		{ "on-stuck = \"a\" # b", "a" },
		{ "on-stuck = \"\\\"a\\\" \\\\ b\"", "\"a\" \\ b" },
		{ "on-stuck = a\\b", "a\\b" },
		{ "on-stuck = a = b", "a = b" },
		{ "on-stuck = caf\xc3\xa9", "caf\xc3\xa9" },
		{ "on-stuck = a\r", "a" },
		{ "\xef\xbb\xbfon-stuck = a", "a" },
	};

	TEST("a line is a name and a value, with blanks, comments and quotes");
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		bool took = good("watch", values[i].line) && o.on_stuck &&
		            strcmp(o.on_stuck, values[i].value) == 0;

		if (!took)
			printf("# %s: '%s'\n", values[i].line, o.on_stuck ? o.on_stuck : "none");
		CHECK(took);
	}
	TEST("a name alone is a flag, also of an option whose value may be left out");
	CHECK(good("watch", "verbose\nstop\nstop-kill # at last\n") && o.verbose && o.stop_kill);
	CHECK(good("watch", "stop = TERM") && o.stop && o.stop_signal == 15);
	TEST("empty lines and comments say nothing; the last line needs no end");
	CHECK(good("watch", "") && good("watch", "\n\n  \n# verbose\n\t# quiet\r\n") && !o.verbose);
	CHECK(good("watch", "# x\ntotal = 7") && o.total == 7);
	TEST("all that may be repeated is taken, of the rest the last");
	CHECK(good("watch", "llm = a:1\nstorage = L1=b:2\nllm = c:3\ntotal = 1\ntotal = 2\n"));
	CHECK(o.nrules == 3 && o.total == 2 && strcmp(o.rules[2].spec, "c:3") == 0);
	TEST("what belongs to another command is passed over");
	CHECK(good("why", "total = 5\nstop\nrotate-size = 1M\nall\nscrub = x\n") && o.all);
	CHECK(o.total == 0 && !o.stop && !o.rotate_size && !o.scrub);
	CHECK(good("check", "match = x\nturns = http\nquiet") && o.quiet && !o.match);
	TEST("a watch's timeout is not how long why looks");
	CHECK(good("why", "stuck-timeout = 20") && o.stuck_timeout_minutes == 15);
	CHECK(good("run", "stuck-timeout = 20") && o.stuck_timeout_minutes == 20);
	TEST("every option that a file may have is taken by its name");
	for (const struct option *opt = option_table; opt->name; opt++) {
		char line[128];

		snprintf(line, sizeof(line), "\n%s%s", opt->name, opt->arg ? " = ?" : "");
		feed("watch", line);
		CHECK(!strstr(said, "unknown option"));
		CHECK(!strstr(said, "cannot stand in a file") == !opt->on_command_line);
	}
}

/* What each must say behind "whystuck: run.conf:LINE: ". */
static const struct {
	const char *text;
	unsigned line;
	const char *says;
} errors[] = {
	{ "\n#\nstuck-timeout = abc", 3,
	  "stuck-timeout 'abc': not a number of minutes; use for example 15 or 0.5, 0 turns it "
	  "off" },
	{ "stuck-timeout=abc\n", 1, "stuck-timeout 'abc': not a number" },
	{ "total", 1, "total: no value; leave the option out" },
	{ "total =", 1, "total: no value behind the '='" },
	{ "total = # 5", 1, "total: no value behind the '='" },
	{ "output = \"\"", 1, "output '': is empty; name a directory" },
	{ "verbose = yes", 1, "verbose: takes no value; write verbose alone" },
	{ "profile = x", 1, "profile 'x': no such profile; use goodai-ltm" },
	{ "progress = x", 1, "progress 'x': no such style of progress; use tqdm or none" },
	{ "verbos", 1, "unknown option 'verbos'; did you mean verbose?" },
	{ "stuck_timeout = 5", 1, "unknown option 'stuck_timeout'; did you mean stuck-timeout?" },
	{ "frobnicate = 5", 1, "unknown option 'frobnicate'; whystuck watch --help shows" },
	{ "--total = 5", 1, "'--total': names stand here without dashes; write total" },
	{ "o = x", 1, "unknown option 'o'; did you mean output?" },
	{ "pid = 5", 1, "unknown option 'pid'" },
	{ "config = x", 1, "config: cannot stand in a file; give --config on the command line" },
	{ "help", 1, "help: cannot stand in a file" },
	{ "version", 1, "version: cannot stand in a file" },
	{ "total 5", 1, "total: no '=' behind the name; write 'name = value'" },
	{ "verbose#x", 1, "verbose: no '=' behind the name" },
	{ "4711", 1, "unknown option '4711'" },
	{ "= 5", 1, "no option's name; write 'name = value'" },
	{ "[section]", 1, "no option's name" },
	{ "on-stuck = \"a", 1, "on-stuck: the quote is not closed" },
	{ "on-stuck = \"a\\", 1, "on-stuck: a backslash in quotes" },
	{ "on-stuck = \"a\\n\"", 1, "on-stuck: a backslash in quotes" },
	{ "on-stuck = \"a\" b", 1, "on-stuck: something follows the closing quote" },
	{ "on-stuck = \"a\"#b", 1, "on-stuck: something follows the closing quote" },
	{ "total = 5\non-stuck = \xff", 2, "not UTF-8" },
	{ "on-stuck = a\x1b[2J", 1, "a control character in it" },
	{ "total = 5\rquiet", 1, "a control character in it" },
	{ "webhook = ftp://u:secret@h/", 1, "webhook '***': not an http or https URL" },
	{ "webhook = \"http://u:secret@h/", 1, "webhook: the quote is not closed" },
	{ "webhook http://u:secret@h/", 1, "webhook: no '=' behind the name" },
	{ "http://u:secret@h/", 1, "http: no '=' behind the name" },
	{ "storage = secret", 1, "storage 'secret'" },
};

static void test_errors(void)
{
	static char big[CONFIG_LINE_MAX + 64] = "on-stuck = ";

	TEST("what is wrong is told with file, line and what to do");
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		int ret = feed("watch", errors[i].text);
		char want[512];

		snprintf(want, sizeof(want), "whystuck: run.conf:%u: %s", errors[i].line,
		         errors[i].says);
		if (strncmp(said, want, strlen(want)) != 0)
			printf("# wanted %s\n# said   %s", want, said);
		CHECK(ret == EXIT_USAGE && strncmp(said, want, strlen(want)) == 0);
		CHECK(strchr(said, '\n') == said + strlen(said) - 1 && !strchr(said, '\x1b'));
		CHECK(!strstr(errors[i].text, "u:secret") || !strstr(said, "secret"));
	}
	TEST("a byte that no text has");
	CHECK(feed_bytes("watch", "total = 5\nto\0tal", 16) == EXIT_USAGE);
	CHECK(strstr(said, "run.conf:2: a NUL byte in it"));
	TEST("the longest line is taken, a longer one is not");
	memset(big + 11, 'x', CONFIG_LINE_MAX - 11);
	CHECK(good("watch", big) && strlen(o.on_stuck) == CONFIG_LINE_MAX - 11);
	strcat(big, "x");
	CHECK(feed("watch", big) == EXIT_USAGE && strstr(said, "run.conf:1: the line is longer"));
}

/* Two files that differ in one cut: a file that ends anywhere is refused or a shorter one. */
static void test_cuts(void)
{
	static const char text[] =
		"\xef\xbb\xbf# shared\r\nllm = a:1\n storage=L1=b:2 # x\n"
		"on-stuck = \"mail \\\"me\\\"\"\nverbose\nmatch = ^a{2}\xc3\xa9$";
	size_t n = strlen(text);

	TEST("cut anywhere, a file is read or refused, and not read over");
	for (size_t i = 0; i <= n; i++) {
		int ret = feed_bytes("watch", text, i);

		CHECK(ret == 0 || (ret == EXIT_USAGE && strstr(said, "run.conf:")));
	}
	CHECK(o.verbose && o.nrules == 2 && strcmp(o.on_stuck, "mail \"me\"") == 0);
}

static void write_file(const char *text, size_t n)
{
	FILE *f = fopen(file, "w");

	if (!f || fwrite(text, 1, n, f) != n || fclose(f))
		abort();
}

/* Parses with a file of that text; what is said stands in said. %s in args is the file's path. */
static int parse(const char *text, const char *args)
{
	static char words[1024];
	static char *argv[32];
	FILE *out = fopen("/dev/null", "w"), *err = fmemopen(said, sizeof(said), "w");
	int argc = 0, ret;

	write_file(text, strlen(text));
	memset(said, 0, sizeof(said));
	snprintf(words, sizeof(words), "whystuck %s --config %s", args, file);
	for (char *w = strtok(words, " "); w; w = strtok(NULL, " "))
		argv[argc++] = w;
	argv[argc] = NULL;
	options_free(&o);
	ret = options_parse(&o, argc, argv, out, err);
	fclose(out);
	fclose(err);
	return ret;
}

static void test_precedence(void)
{
	TEST("the command line wins over the file, the file over the environment, that over "
	     "defaults");
	setenv(TIMEOUT_VAR, "9", 1);
	CHECK(parse("stuck-timeout = 20\ntotal = 5\n", "watch 1 --total 6") == 0);
	CHECK(o.total == 6 && o.stuck_timeout_minutes == 20 && o.progress == PROGRESS_TQDM);
	CHECK(parse("total = 5\n", "watch 1") == 0 && o.stuck_timeout_minutes == 9);
	CHECK(strcmp(o.config, file) == 0 && o.npids == 1 && o.pid == 1);
	unsetenv(TIMEOUT_VAR);
	CHECK(parse("verbose", "watch 1 --quiet") == 0 && o.quiet && !o.verbose);
	CHECK(parse("stop = TERM\nstop-grace = 3", "watch 1 --stop=HUP") == 0);
	CHECK(o.stop_signal == 1 && o.stop_grace_s == 3);
	TEST("endpoints of both count, those of the command line first");
	CHECK(parse("llm = a:1\nllm = b:1\n", "watch 1 --llm c:1 --storage L1=d:1") == 0);
	CHECK(o.nrules == 4 && strcmp(o.rules[0].spec, "c:1") == 0 && o.rules[1].kind == 's' &&
	      strcmp(o.rules[2].spec, "a:1") == 0 && strcmp(o.rules[3].spec, "b:1") == 0);
	TEST("of --turns and --profile the one that was typed wins; beside each other they clash");
	CHECK(parse("profile = goodai-ltm", "watch 1 --turns llm") == 0 && !o.profile);
	CHECK(parse("turns = http", "watch 1 --profile goodai-ltm") == 0);
	CHECK(strcmp(o.turns, "auto") == 0 && o.profile);
	CHECK(parse("turns = http\n\nprofile = goodai-ltm", "watch 1") == EXIT_USAGE);
	CHECK(strstr(said, ":3: profile 'goodai-ltm': says what turns are") && strstr(said, file));
	TEST("a process can be left out where the file has what to match");
	CHECK(parse("match = bench", "watch") == 0 && o.pid == 0 && strcmp(o.match, "bench") == 0);
	TEST("on a replay the file wins over the recording");
	CHECK(parse("total = 5", "replay f") == 0 && options_apply(&o, "total=7") == 0);
	CHECK(o.total == 5 && options_apply(&o, "sample=7") == 0 && o.sample == 7);
	TEST("the file serves all commands");
	CHECK(parse("stuck-timeout = 0\nstop-grace = 3\nstop", "why 1") == 0);
	CHECK(parse("match = x\nall\ntotal = 3\n", "run -o out") == EXIT_USAGE);
	CHECK(strstr(said, "run: no command"));
	TEST("what does not go together is told with the line where it stands");
	CHECK(parse("\nrotate-keep = 3", "watch 1") == EXIT_USAGE);
	CHECK(strstr(said, ":2: rotate-keep: without --rotate-size"));
	CHECK(parse("\nstop-grace = 3", "watch 1 --stop-grace 4") == EXIT_USAGE);
	CHECK(strstr(said, "whystuck: --stop-grace: without --stop"));
}

static void test_files(void)
{
	static char big[CONFIG_SIZE_MAX + 2];

	TEST("a file of the greatest size is read, a longer one is not");
	memset(big, '\n', CONFIG_SIZE_MAX);
	CHECK(parse(big, "watch 1") == 0);
	big[CONFIG_SIZE_MAX] = '\n';
	CHECK(parse(big, "watch 1") == EXIT_ERROR && strstr(said, "longer than 65536 bytes"));
	TEST("a directory, no file, and one that cannot be opened are told as such");
	unlink(file);
	mkdir(file, 0700);
	{
		char *argv[] = { "whystuck", "check", "--config", file, NULL };
		FILE *err = fmemopen(said, sizeof(said), "w");

		options_free(&o);
		CHECK(options_parse(&o, 4, argv, err, err) == EXIT_ERROR);
		fclose(err);
		CHECK(strstr(said, "--config '") && strstr(said, "Is a directory") &&
		      strstr(said, "name a file"));
		rmdir(file);
		err = fmemopen(said, sizeof(said), "w");
		CHECK(options_parse(&o, 4, argv, err, err) == EXIT_ERROR);
		fclose(err);
		CHECK(strstr(said, "No such file"));
	}
}

int main(void)
{
	unsetenv(TIMEOUT_VAR);
	unsetenv("LOG_LEVEL");
	snprintf(file, sizeof(file), "config-test.%d", (int)getpid());
	test_lines();
	test_errors();
	test_cuts();
	test_precedence();
	test_files();
	options_free(&o);
	unlink(file);
	return DONE();
}
