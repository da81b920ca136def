/* SPDX-License-Identifier: BSD-2-Clause */
/* What a run writes of its turns: logs and output, cut into writes and records anywhere, by one or several threads. */
#include "turn_mark.h"

#include <stdarg.h>
#include <sys/stat.h>

#include "test.h"
#include "turn_mark/text_line.h"

#define SHOWN_MAX (1u << 16)

static struct turn_marks *marks;
static struct turn_mark last;
static char shown[SHOWN_MAX]; /* "T:session/3:user " a mark */
static size_t nshown;
static uint32_t followed; /* what was asked for last */
static int nfollows;
static uint64_t now, pos;

static void say(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (nshown < SHOWN_MAX)
		nshown += (size_t)vsnprintf(shown + nshown, SHOWN_MAX - nshown, format, ap);
	va_end(ap);
}

static void on_mark(void *ctx, const struct turn_mark *m)
{
	static const char letters[] = "TRABEND";

	(void)ctx;
	last = *m;
	say("%s%c", nshown ? " " : "", letters[m->kind]);
	if (m->kind == MARK_TOTAL || m->kind == MARK_DONE) {
		say("%llu%s", (unsigned long long)m->n, m->unit);
		return;
	}
	say(":%s", m->session_id);
	if (m->turn_index >= 0)
		say("/%lld", (long long)m->turn_index);
	if (m->role != LLM_ROLE_NONE)
		say(":%s", llm_role_name(m->role));
}

static void on_follow(void *ctx, uint64_t ino, uint64_t dev, uint32_t n)
{
	(void)ctx;
	(void)ino;
	(void)dev;
	followed = n;
	nfollows++;
}

static void begin(const char *spec, const char *profile)
{
	static const struct turn_marks_ops ops = { on_mark, on_follow, NULL };
	struct turns_spec s = { 0 };

	if (turns_spec_parse(spec, &s))
		abort();
	if (profile)
		s.profile = turns_profile_find(profile);
	turn_marks_free(marks);
	marks = turn_marks_new(&s, &ops);
	nshown = 0;
	shown[0] = '\0';
	nfollows = 0;
	followed = 77;
	now = 1000;
	pos = 0;
}

static void announce_as(uint64_t ino, int fd, uint32_t mode, const char *path, size_t n)
{
	size_t size = sizeof(struct ev_file) + n;
	struct ev_file *e = calloc(1, size);

	e->h.size = (uint32_t)size;
	e->h.type = EV_FILE;
	e->ino = ino;
	e->dev = 9;
	e->fd = fd;
	e->mode = mode;
	memcpy(e->text, path, n);
	turn_marks_file(marks, e);
	free(e);
}

static void announce(uint64_t ino, int fd, const char *path)
{
	announce_as(ino, fd, S_IFREG, path, strlen(path));
}

/* Records are as long as they say and no longer: the sanitizer sees what is read behind them. */

/* One record: [off, off + n) of an operation of total bytes at `at`. */
static void record(uint64_t ino, int fd, uint32_t tid, const char *p, size_t off, size_t n,
                   size_t total, uint64_t at, bool more)
{
	size_t size = sizeof(struct ev_data) + n;
	struct ev_data *e = calloc(1, size);

	e->h = (struct event){ (__u32)size, EV_WRITE, more ? EVF_MORE : 0, now, 1, tid };
	e->start_ns = now - 5;
	e->sock = ino;
	e->tls = 9;
	e->pos = at;
	e->total = total;
	e->off = (uint32_t)off;
	e->n = (uint32_t)n;
	e->fd = fd;
	e->dir = DIR_OUT;
	memcpy(e->data, p + off, n);
	turn_marks_write(marks, e);
	free(e);
}

static void write_by(uint64_t ino, int fd, uint32_t tid, const char *p, size_t n)
{
	now += 100;
	if (n)
		record(ino, fd, tid, p, 0, n, n, pos, false);
	pos += n;
}

static void put(const char *s)
{
	write_by(7, 5, 2, s, strlen(s));
}

static void print(const char *s)
{
	write_by(8, 1, 2, s, strlen(s));
}

static bool saw(const char *s)
{
	bool same = strcmp(shown, s) == 0;

	if (!same)
		printf("# saw '%s'\n", shown);
	nshown = 0;
	shown[0] = '\0';
	return same;
}

#define EVENT(type, id, data)                                                   \
	"{\"type\": " #type ", \"timestamp\": 4102444800.5, \"test_id\": \"" id \
	"\", \"data\": {" data "}}\n"

#define MASTER_LOG                                                                              \
	EVENT(1, "a-1", "\"tokens\": 10")                                                       \
	EVENT(0, "a-1", "\"message\": \"say \\\"hi\\\" \xc3\xbc\\n{\", \"is_question\": false") \
	EVENT(4, "a-1", "\"message\": \"session_id\"")                                          \
	EVENT(3, "", "\"message\": \"fill\"")                                                   \
	EVENT(5, "", "\"message\": \"ok\"")                                                     \
	EVENT(9, "a-1", "")                                                                     \
	EVENT(6, "a-1", "\"tokens\": 5, \"time\": 0")                                           \
	EVENT(8, "a-1", "")                                                                     \
	EVENT(2, "a-1", "")
#define MASTER_MARKS \
	"B:a-1 T:a-1:user R:a-1:assistant T:fill:user R:fill:assistant A:a-1 A:a-1 E:a-1"

static void test_goodai(void)
{
	const char *log = MASTER_LOG;
	size_t n = strlen(log), good = 0;

	TEST("the master log's events are turns, replies, tests and the runner's own");
	begin("jsonl:x", "goodai-ltm");
	announce(7, 5, "/other/file");
	CHECK(followed == 0);
	begin("jsonl:*/master_log.jsonl", "goodai-ltm");
	announce(7, 5, "/data/tests/r/results/agent/master_log.jsonl");
	CHECK(followed == UINT32_MAX && nfollows == 1);
	put(log);
	CHECK(saw(MASTER_MARKS));
	CHECK(turn_marks_profile(marks) == turns_profile_find("goodai-ltm"));
	CHECK(strcmp(turn_marks_path(marks), "/data/tests/r/results/agent/master_log.jsonl") == 0);
	CHECK(turn_marks_counts(marks).lines == 9 && turn_marks_counts(marks).odd == 0);
	TEST("marks have the times of the write that ended the line, never the log's");
	CHECK(last.ts_ns == 1100 && last.start_ns == 1095);
	CHECK(last.lane.pid == 1 && last.lane.tid == 2);
	TEST("cut into two writes anywhere, it says the same");
	for (size_t i = 1; i < n; i++) {
		begin("jsonl:*.jsonl", "goodai-ltm");
		announce(7, 5, "/master_log.jsonl");
		write_by(7, 5, 2, log, i);
		write_by(7, 5, 3, log + i, n - i);
		good += strcmp(shown, MASTER_MARKS) == 0;
	}
	CHECK(good == n - 1);
	TEST("cut into two records of a write anywhere, too, and into single bytes");
	good = 0;
	for (size_t i = 1; i < n; i++) {
		begin("jsonl:*.jsonl", "goodai-ltm");
		announce(7, 5, "/master_log.jsonl");
		record(7, 5, 2, log, 0, i, n, 0, true);
		record(7, 5, 2, log, i, n - i, n, 0, false);
		good += strcmp(shown, MASTER_MARKS) == 0;
	}
	CHECK(good == n - 1);
	begin("jsonl:*.jsonl", "goodai-ltm");
	announce(7, 5, "/master_log.jsonl");
	for (size_t i = 0; i < n; i++)
		write_by(7, 5, 2, log + i, 1);
	CHECK(saw(MASTER_MARKS));
	TEST("a line of another shape makes no mark, and is counted");
	put("{\"type\": 11, \"timestamp\": 1, \"test_id\": \"a\", \"data\": {}}\n"
	    "{\"type\": 0, \"timestamp\": \"1\", \"test_id\": \"a\", \"data\": {}}\n"
	    "{\"type\": 0, \"timestamp\": 1, \"test_id\": 3, \"data\": {}}\n"
	    "{\"type\": 0, \"timestamp\": 1, \"test_id\": \"a\", \"data\": []}\n"
	    "{\"type\": 0.0, \"timestamp\": 1, \"test_id\": \"a\", \"data\": {}}\n");
	CHECK(saw("") && turn_marks_counts(marks).odd == 5);
}

/* A hole of `width` bytes at every place: only what stands in the truth may come out, in its order. */
static void test_holes(void)
{
	const char *log = MASTER_LOG;
	size_t n = strlen(log), lies = 0, uncounted = 0, told = 0;

	TEST("missing bytes cost the lines they were of, are counted, and make no mark");
	for (int way = 0; way < 3; way++) {
		for (size_t width = 1; width < 200; width += 33) {
			for (size_t i = 0; i + width <= n; i++) {
				const char *p = MASTER_MARKS, *word;
				char *rest = shown;

				begin("jsonl:*.jsonl", "goodai-ltm");
				announce(7, 5, "/master_log.jsonl");
				if (way == 0) { /* the end of a write was not captured */
					record(7, 5, 2, log, 0, i, i + width, 0, false);
				} else if (way == 1 && i) { /* a record of it was lost */
					record(7, 5, 2, log, 0, i, n, 0, true);
				} else if (i) { /* a write was lost */
					record(7, 5, 2, log, 0, i, i, 0, false);
				}
				if (way == 1)
					record(7, 5, 2, log, i + width, n - i - width, n, 0, false);
				else
					record(7, 5, 2, log + i + width, 0, n - i - width,
					       n - i - width, i + width, false);
				uncounted += i && i + width < n &&
				             turn_marks_counts(marks).torn == 0;
				while ((word = strsep(&rest, " "))) {
					p = strstr(p, word);
					lies += !p;
					told += p && *word;
					p = p ? p + strlen(word) : "";
				}
			}
		}
	}
	CHECK(lies == 0);
	CHECK(uncounted == 0);
	CHECK(told > 10 * n);
}

static void test_threads(void)
{
	static const char a[] = "{\"session_id\":\"a\"}\n", b[] = "{\"session_id\":\"b\"}\n",
			  c[] = "{\"session_id\":\"c\"}\n";
	const size_t n = sizeof(a) - 1;
	size_t good = 0;

	TEST("records of two threads between each other give both lines");
	for (size_t i = 1; i < n; i++) {
		begin("jsonl:*", NULL);
		announce(7, 5, "/log");
		record(7, 5, 2, a, 0, i, n, 0, true);
		record(7, 5, 3, b, 0, i, n, n, true);
		record(7, 5, 2, a, i, n - i, n, 0, false);
		record(7, 5, 3, b, i, n - i, n, n, false);
		record(7, 5, 2, c, 0, n, n, 2 * n, false);
		good += strcmp(shown, "T:a T:b T:c") == 0 && last.lane.tid == 2 &&
		        turn_marks_counts(marks).torn == 0;
	}
	CHECK(good == n - 1);
	TEST("records of writes that come the other way round give both, and nothing is torn");
	begin("jsonl:*", NULL);
	announce(7, 5, "/log");
	record(7, 5, 2, a, 0, n, n, 0, false);
	record(7, 5, 3, c, 0, n, n, 2 * n, false);
	CHECK(turn_marks_counts(marks).torn == 1);
	record(7, 5, 2, b, 0, n, n, n, false);
	CHECK(saw("T:a T:c T:b") && turn_marks_counts(marks).torn == 0);
	record(7, 5, 2, a, 0, n, n, 3 * n, false);
	CHECK(saw("T:a") && turn_marks_counts(marks).torn == 0);
	TEST("so do they in output, where the later line's end comes last");
	begin("stdout:^turn (.)$", NULL);
	record(8, 1, 2, "turn 1\n", 0, 7, 7, 0, false);
	record(8, 1, 3, "turn 3", 0, 6, 6, 14, false);
	record(8, 1, 2, "turn 2\n", 0, 7, 7, 7, false);
	record(8, 1, 3, "\n", 0, 1, 1, 20, false);
	CHECK(saw("T:1 T:2 T:3") && turn_marks_counts(marks).torn == 0);
	TEST("one lost between them is torn");
	record(8, 1, 3, "turn 5\nturn 6\n", 0, 14, 14, 28, false);
	CHECK(saw("T:6") && turn_marks_counts(marks).torn == 1);
	TEST("what was written before the file was followed is not missed");
	begin("jsonl:*", NULL);
	announce(7, 5, "/log");
	record(7, 5, 2, a, 0, n, n, 5000, false);
	CHECK(saw("T:a") && turn_marks_counts(marks).torn == 0);
}

static void test_generic(void)
{
	begin("jsonl:logs/*.jsonl", NULL);
	announce(7, 5, "/data/logs/run/log.jsonl");
	TEST("an object is a turn, whatever it says");
	put("{}\n{\"id\":\"x\"}\n");
	CHECK(saw("T: T:"));
	TEST("session, index and role by the first name that tells them");
	put("{\"session\":\"s\",\"turn\":4,\"conversation_id\":\"c\",\"turn_index\":0,\"role\":"
	    "\"human\"}\n");
	CHECK(saw("T:c/0:user"));
	put("{\"session_id\":\"\",\"thread_id\":12,\"step\":1.5,\"turn\":-1,\"role\":\"none\"}\n");
	CHECK(saw("T:12"));
	put("{\"a\":{\"session_id\":\"x\",\"role\":\"ai\"},\"b\":[{\"turn\":1}],\"role\":3}\n");
	CHECK(saw("T:"));
	TEST("question and answer in two lines are one turn, tools and all");
	put("{\"session_id\":\"a\",\"role\":\"user\"}\n{\"session_id\":\"a\",\"role\":"
	    "\"assistant\"}\n"
	    "{\"session_id\":\"a\",\"role\":\"tool\"}\n{\"session_id\":\"a\",\"role\":\"AI\"}\n"
	    "{\"session_id\":\"a\",\"role\":\"user\"}\n");
	CHECK(saw("T:a:user R:a:assistant R:a:tool R:a:assistant T:a:user"));
	TEST("not over another session's line of the same lane, but over another lane's");
	put("{\"session_id\":\"b\",\"role\":\"user\"}\n{\"session_id\":\"a\",\"role\":"
	    "\"assistant\"}\n");
	CHECK(saw("T:b:user T:a:assistant"));
	put("{\"session_id\":\"b\",\"role\":\"user\"}\n");
	write_by(7, 5, 3, "{\"session_id\":\"c\",\"role\":\"user\"}\n", 33);
	put("{\"session_id\":\"b\",\"role\":\"assistant\"}\n");
	write_by(7, 5, 3, "{\"session_id\":\"c\",\"role\":\"assistant\"}\n", 38);
	CHECK(saw("T:b:user T:c:user R:b:assistant R:c:assistant"));
	TEST("a log of answers alone has a turn in each");
	begin("jsonl:*", NULL);
	announce(7, 5, "/log");
	put("{\"role\":\"assistant\"}\n{\"role\":\"assistant\"}\n{\"role\":\"tool\"}\n{\"role\":"
	    "\"ai\"}\n");
	CHECK(saw("T::assistant T::assistant R::tool T::assistant"));
	TEST("lines that are no objects make no mark and are counted, empty ones are not");
	put("\n  \r\n[1]\n\"x\"\n{\"a\":1} 2\n{\"a\":\n{\"a\":1}{}\n{\"a\":1}\r\n");
	CHECK(saw("T:") && turn_marks_counts(marks).odd == 5);
	TEST("a line without its end says nothing yet");
	put("{\"session_id\":\"late\"}");
	CHECK(saw(""));
	put("\n");
	CHECK(saw("T:late"));
}

static void test_sessions(void)
{
	char line[512], first[64];

	TEST("long names of sessions are cut between characters and stay apart, controls are "
	     "cleaned");
	begin("jsonl:*", NULL);
	announce(7, 5, "/log");
	snprintf(line, sizeof(line), "{\"session_id\":\"%045d\xc3\xbc%060d\"}\n", 1, 1);
	put(line);
	strcpy(first, last.session_id);
	snprintf(line, sizeof(line), "{\"session_id\":\"%045d\xc3\xbc%060d\"}\n", 1, 2);
	put(line);
	CHECK(strcmp(first, last.session_id) != 0 && strncmp(first, last.session_id, 46) == 0);
	CHECK(first[45] == '~' && strlen(first) == 62);
	put("{\"session_id\":\"\\u001b[2J\xff\"}\n");
	CHECK(strncmp(last.session_id, "?[2J?~", 6) == 0);
}

static void test_files(void)
{
	char path[5000];
	struct turn_marks_counts counts;

	TEST("a glob matches the end of a path from a '/' on, or with '/' the whole");
	begin("jsonl:out/*.jsonl", NULL);
	announce(1, 5, "/a/b/out/x/y.jsonl");
	CHECK(followed == UINT32_MAX);
	announce(2, 5, "/a/b/about/y.jsonl");
	CHECK(followed == 0);
	begin("jsonl:/out/*.jsonl", NULL);
	announce(1, 5, "/a/out/y.jsonl");
	CHECK(followed == 0);
	announce(2, 5, "/out/a/y.jsonl");
	CHECK(followed == UINT32_MAX);
	TEST("only regular files are logs, and only known paths");
	announce_as(3, 5, S_IFIFO, "/out/y.jsonl", 12);
	CHECK(followed == 0);
	announce_as(3, 5, S_IFREG, "", 0);
	CHECK(followed == 0);
	memset(path, 'a', sizeof(path));
	memcpy(path, "/out/", 5);
	memcpy(path + sizeof(path) - 6, ".jsonl", 6);
	announce_as(3, 5, S_IFREG, path, sizeof(path));
	CHECK(followed == 0 && nfollows == 5);
	TEST("a path that comes late is decided on then, once");
	record(4, 5, 2, "{}\n", 0, 3, 3, 0, false);
	CHECK(saw(""));
	announce_as(4, 5, S_IFREG, "/out/late.jsonl", 15);
	announce_as(4, 5, S_IFREG, "/out/late.jsonl", 15);
	announce_as(4, 5, S_IFREG, "", 0);
	CHECK(followed == UINT32_MAX && nfollows == 6);
	record(4, 5, 2, "{}\n", 0, 3, 3, 3, false);
	CHECK(saw("T:"));
	TEST("an inode that becomes another file's is that one");
	record(4, 5, 2, "{", 0, 1, 1, 6, false);
	announce_as(4, 5, S_IFREG, "/else/where", 11);
	CHECK(followed == 0 && turn_marks_counts(marks).torn == 1);
	record(4, 5, 2, "}\n{}\n", 0, 5, 5, 7, false);
	CHECK(saw(""));
	TEST("output is followed only where something may stand in it");
	announce(8, 1, "/dev/pts/1");
	CHECK(followed == 0);
	print("Number of tests to run: 5.\n");
	CHECK(saw("") && turn_marks_counts(marks).lines == 1);
	begin("idle:100", NULL);
	announce(8, 2, "");
	CHECK(followed == 0);
	begin("llm", "goodai-ltm");
	announce(8, 2, "");
	CHECK(followed == MARK_OUTPUT_MAX);
	announce(9, 5, "/results/master_log.jsonl");
	CHECK(followed == 0);
	TEST("output that is a log, too, is read as both");
	begin("jsonl:*.log", "goodai-ltm");
	announce(8, 1, "/x/a.log");
	CHECK(followed == UINT32_MAX);
	print(EVENT(0, "t", "") "Number of tests to run: 5.\n");
	CHECK(saw("T:t:user N5tests"));
	TEST("files beyond the limit are passed over and counted");
	begin("jsonl:*", NULL);
	for (uint64_t i = 0; i < MARK_FILES_MAX + 3; i++)
		announce(100 + i, 5, "/log");
	counts = turn_marks_counts(marks);
	CHECK(counts.files_passed == 3 && followed == 0);
	TEST("lines that have begun beyond the limit are not read and counted, others go on");
	for (uint64_t i = 0; i < MARK_LINES_MAX + 2; i++)
		record(100 + i, 5, 2, "{\"a\":", 0, 5, 5, 0, false);
	CHECK(turn_marks_counts(marks).cut == 2);
	record(100, 5, 2, "1}\n", 0, 3, 3, 5, false);
	record(100 + MARK_LINES_MAX, 5, 2, "1}\n{}\n", 0, 6, 6, 5, false);
	CHECK(saw("T: T:") && turn_marks_counts(marks).torn == 0);
}

static void test_auto(void)
{
	begin("auto", NULL);
	TEST("auto reads lines of the certain shape alone, in logs of profiles");
	announce(7, 5, "/r/log.jsonl");
	CHECK(followed == 0);
	announce(7, 5, "/r/master_log.jsonl");
	CHECK(followed == UINT32_MAX);
	put("{\"role\":\"user\",\"session_id\":\"x\"}\n");
	CHECK(saw("") && !turn_marks_profile(marks) && !turn_marks_path(marks)[0]);
	TEST("totals told before are remembered until the log is seen");
	announce(8, 1, "/dev/pts/1");
	CHECK(followed == MARK_OUTPUT_MAX);
	pos = 0;
	print("\033[36mNumber of tests to run: 33.\033[0m\n2 of 33 tests finished.\n");
	CHECK(saw(""));
	record(7, 5, 2, EVENT(9, "a", ""), 0, strlen(EVENT(9, "a", "")), strlen(EVENT(9, "a", "")),
	       33, false);
	CHECK(saw("N33tests D2tests") && last.ts_ns == 1200);
	CHECK(turn_marks_profile(marks) == turns_profile_find("goodai-ltm"));
	CHECK(strcmp(turn_marks_path(marks), "/r/master_log.jsonl") == 0);
	TEST("and told at once from then on");
	print("\033[1;32m3 of 33 tests finished.\033[0m\r\n");
	CHECK(saw("N33tests D3tests"));
	TEST("only when the whole line says so");
	print("x 3 of 33 tests finished.\n3 of 33 tests finished. \n3 of tests finished.\n"
	      "1234567890123456789 of 3 tests finished.\n3 of 33 tests finished\n");
	CHECK(saw("N33tests D3tests"));
	TEST("no other source reads them without a profile");
	begin("stdout:zzz", NULL);
	print("Number of tests to run: 33.\n");
	CHECK(saw(""));
	begin("http", "goodai-ltm");
	print("Number of tests to run: 33.\n");
	CHECK(saw("N33tests"));
}

static void test_stdout(void)
{
	static const char text[] =
		"noise\n\033[1mTurn\033[0m 3 of \033]8;;http://x\033\\chat-\xc3\xbc\033]8;;\a"
		" done\r\n 10%|#\r 90%|##\rTurn 4 of b done\nTurn 5 of c don";
	const char *expected = "T:3 T:4";
	size_t n = sizeof(text) - 1, good = 0;
	static char line[200000];

	TEST("each line of output that matches is a turn: groups tell session and index");
	begin("stdout:^Turn ([0-9]+) of (.+) done$", NULL);
	announce(8, 1, "");
	CHECK(followed == MARK_OUTPUT_MAX);
	print(text);
	CHECK(saw(expected));
	print("e\n");
	CHECK(saw("T:5"));
	begin("stdout:of ([^ ]+) done.*#([0-9x]*)", NULL);
	write_by(8, 2, 2, "a of s done #12\nof \xc3\xbc done #1x\nof t done #\n", 43);
	CHECK(saw("T:s/12 T:\xc3\xbc T:t"));
	TEST("cut anywhere, inside of escapes and characters, it says the same");
	for (size_t i = 1; i < n; i++) {
		begin("stdout:^Turn ([0-9]+) of (.+) done$", NULL);
		write_by(8, 1, 2, text, i);
		write_by(8, 1, 2, text + i, n - i);
		good += strcmp(shown, expected) == 0;
	}
	CHECK(good == n - 1);
	TEST("what is written through other descriptors is no output");
	begin("stdout:x", NULL);
	write_by(8, 3, 2, "x\n", 2);
	CHECK(saw("") && turn_marks_counts(marks).lines == 0);
	TEST("progress that is drawn again and again without an end keeps the last drawing");
	for (int i = 0; i < 200000; i += 10)
		memcpy(line + i, "\r12%|####x", 10);
	begin("stdout:^(.*)$", NULL);
	for (int i = 0; i < 20; i++)
		write_by(8, 1, 2, line, sizeof(line));
	print("\n");
	CHECK(saw("T:12%|####x") && turn_marks_counts(marks).cut == 0);
	TEST("of a line that is too long the beginning is read, and it is counted");
	memset(line, 'y', sizeof(line));
	write_by(8, 1, 2, line, sizeof(line));
	print("z\n");
	CHECK(strncmp(last.session_id, "yyyy", 4) == 0 && last.session_id[46] == '~');
	CHECK(turn_marks_counts(marks).cut == 1);
	TEST("an expression without groups tells neither; NULs and controls are left out");
	begin("stdout:^ab$", NULL);
	write_by(8, 1, 2, "a\0\bb\n", 5);
	CHECK(saw("T:"));
	TEST("a line with a hole is not matched");
	begin("stdout:ab", NULL);
	record(8, 1, 2, "ab", 0, 2, 4, 0, false);
	record(8, 1, 2, "ab\nab\n", 0, 6, 6, 4, false);
	CHECK(saw("T:") && turn_marks_counts(marks).torn == 1);
}

static void test_hostile(void)
{
	struct ev_data e = { .h = { .size = sizeof(e), .type = EV_WRITE },
		             .sock = 8,
		             .fd = 1,
		             .total = 100,
		             .n = UINT32_MAX,
		             .pos = UINT64_MAX - 3 };
	struct ev_file f = { .h = { .size = sizeof(f), .type = EV_FILE }, .mode = S_IFREG };

	TEST("records that say more than they have, and places at the end of numbers");
	begin("stdout:x", NULL);
	turn_marks_write(marks, &e);
	e.off = UINT32_MAX;
	turn_marks_write(marks, &e);
	turn_marks_file(marks, &f);
	e.err = 5;
	e.total = 0;
	turn_marks_write(marks, &e);
	CHECK(saw("") && turn_marks_counts(marks).lines == 0);
}

int main(void)
{
	test_goodai();
	test_holes();
	test_threads();
	test_generic();
	test_sessions();
	test_files();
	test_auto();
	test_stdout();
	test_hostile();
	turn_marks_free(marks);
	return DONE();
}
