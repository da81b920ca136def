/* SPDX-License-Identifier: BSD-2-Clause */
/* Progress: right numbers, never wider than the terminal, plain where there is no terminal. */
#include "test.h"

#include <ctype.h>

#include "base/log.h"
#include "base/text.h"
#include "out/progress.h"

#define S 1000000000ull
#define MS 1000000ull
#define T0 (5000 * S)

/* Clear to the end of the line, before more text or an end that is no NUL. */
#define CLEAR "\x1b[K"

static struct {
	char *text;
	size_t size;
	FILE *f;
	struct progress *p;
	int columns;
} t;

static int width(void *ctx)
{
	return *(int *)ctx;
}

static void begin(enum progress_style style, bool utf8, int columns)
{
	struct progress_config c = {
		.style = style, .utf8 = utf8, .width = width, .ctx = &t.columns, .start_ns = T0
	};

	t.columns = columns;
	t.f = open_memstream(&t.text, &t.size);
	c.out = t.f;
	t.p = progress_new(&c);
	if (!t.f || !t.p)
		abort();
}

static void end(void)
{
	progress_free(t.p);
	fclose(t.f);
	free(t.text);
	t.text = NULL;
}

/* What stands on the line now: the last frame, without its controls. */
static const char *shown(void)
{
	static char line[2048];
	char *from, *clear;

	fflush(t.f);
	from = strrchr(t.text, '\r');
	snprintf(line, sizeof(line), "%s", from ? from + 1 : t.text);
	clear = strstr(line, CLEAR);
	if (clear)
		*clear = '\0';
	return line;
}

static size_t count(const char *what)
{
	size_t n = 0;

	fflush(t.f);
	for (const char *s = t.text; (s = strstr(s, what)) != NULL; s++)
		n++;
	return n;
}

static struct progress_state working(uint64_t now)
{
	return (struct progress_state){ .turns = 42,
		                        .total = 100,
		                        .llm_ns = 812 * MS,
		                        .storage_ns = 3100000,
		                        .in_flight = 1,
		                        .oldest = "openai",
		                        .oldest_ns = now - 2300 * MS };
}

static const char *bar_of(const struct progress_state *s, bool utf8, int columns, uint64_t now)
{
	static char line[2048];

	begin(STYLE_BAR, utf8, columns);
	progress_update(t.p, s, now);
	snprintf(line, sizeof(line), "%s", shown());
	end();
	return line;
}

static void test_numbers(void)
{
	uint64_t now = T0 + 31 * S;
	struct progress_state s = working(now);

	TEST("the bar shows share, counts, elapsed, left, rate, times of the last turn and the "
	     "call in flight");
	CHECK(strcmp(bar_of(&s, true, 104, now), "run:  42%|████▏     | 42/100 [00:31<00:43, "
	                                         "1.35turn/s, llm=812ms storage=3.1ms, "
	                                         "in flight: openai 2.3s]") == 0);
	CHECK(strcmp(bar_of(&s, false, 104, now), "run:  42%|####------| 42/100 [00:31<00:43, "
	                                          "1.35turn/s, llm=812ms storage=3.1ms, "
	                                          "in flight: openai 2.3s]") == 0);
	TEST("without a total there is no bar and no time left");
	s.total = 0;
	CHECK(strcmp(bar_of(&s, true, 200, now), "run: 42turn [00:31, 1.35turn/s, llm=812ms "
	                                         "storage=3.1ms, in flight: openai 2.3s]") == 0);
	TEST("a total that was passed is no total");
	s.total = 41;
	CHECK(strstr(bar_of(&s, true, 200, now), "run: 42turn [00:31, "));
	TEST("what is not known is a question mark or not there");
	s = (struct progress_state){ .total = 100, .llm_ns = -1, .storage_ns = -1 };
	CHECK(strcmp(bar_of(&s, true, 60, T0),
	             "run:   0%|                       | 0/100 [00:00<?, ?turn/s]") == 0);
	s.storage_ns = 0;
	CHECK(strstr(bar_of(&s, true, 80, T0), "?turn/s, storage=0ms]"));
	TEST("slow runs are told in seconds a turn, long ones in hours");
	s = (struct progress_state){ .turns = 2, .total = 4, .llm_ns = -1, .storage_ns = -1 };
	CHECK(strstr(bar_of(&s, true, 80, T0 + 7384 * S), "2/4 [2:03:04<2:03:04, 3692s/turn]"));
	CHECK(strstr(bar_of(&s, true, 80, T0 + 25 * S), "2/4 [00:25<00:25, 12.50s/turn]"));
	TEST("100% is said when all are done, and not before");
	s.turns = 99999, s.total = 100000;
	CHECK(strstr(bar_of(&s, true, 80, now), "run:  99%|"));
	s.turns = 29, s.total = 100;
	CHECK(strstr(bar_of(&s, true, 80, now), "run:  29%|"));
	s.turns = s.total = UINT64_MAX;
	CHECK(strstr(bar_of(&s, true, 120, now), "run: 100%|█"));
	CHECK(strstr(bar_of(&s, true, 120, now), "<00:00, "));
	s.turns -= 1ull << 60;
	CHECK(strstr(bar_of(&s, true, 120, now), "run:  93%|"));
}

static void test_now(void)
{
	uint64_t now = T0 + 3600 * S;
	struct progress_state s = working(now);

	TEST("several calls in flight are counted, and the oldest is named");
	s.in_flight = 3;
	CHECK(strstr(bar_of(&s, true, 200, now), ", in flight: 3, oldest openai 2.3s]"));
	TEST("an age with an unseen start is a lower bound");
	s.in_flight = 1;
	s.oldest_at_least = true;
	CHECK(strstr(bar_of(&s, true, 200, now), ", in flight: openai >=2.3s]"));
	s.oldest = NULL;
	CHECK(strstr(bar_of(&s, true, 200, now), ", in flight: 1]"));
	TEST("a stuck run says so, since when and on what, and has no time left");
	s = working(now);
	s.stuck_ns = now - 12 * 60 * S - 59 * S;
	s.stuck_on = "llm:openai no byte";
	s.stuck_on_ns = s.stuck_ns;
	CHECK(strstr(bar_of(&s, true, 200, now), "[1:00:00<?, "));
	CHECK(strstr(bar_of(&s, true, 200, now), ", stuck 12m: llm:openai no byte for 12m]"));
	CHECK(strstr(bar_of(&s, true, 40, now), "stuck 12m: llm"));
	s.stuck_on_ns = 0;
	CHECK(strstr(bar_of(&s, true, 200, now), ", stuck 12m: llm:openai no byte]"));
	s.stuck_on = NULL;
	CHECK(strstr(bar_of(&s, true, 200, now), ", stuck 12m]"));
	TEST("an event from the future has age 0");
	s = working(now);
	s.oldest_ns = now + S;
	CHECK(strstr(bar_of(&s, true, 200, now), "openai 0ms]"));
}

static void test_widths(void)
{
	uint64_t now = T0 + 100000 * S;
	struct progress_state cases[5];
	bool fits = true, useful = true;

	for (int i = 0; i < 5; i++)
		cases[i] = working(now);
	cases[1].total = 0;
	cases[2].stuck_ns = T0;
	cases[2].stuck_on = "storage:L1 no byte";
	cases[2].stuck_on_ns = T0;
	cases[3].oldest = "北京北京北京北京北京北京北京北京北京北京北京北京北京北京.example.com";
	cases[4].turns = cases[4].total = UINT64_MAX;

	TEST("no width is ever exceeded, and 40 columns are enough for something useful");
	for (int columns = 1; columns <= 240; columns++) {
		for (int i = 0; i < 10; i++) {
			const char *line = bar_of(&cases[i / 2], i % 2, columns, now);

			fits &= text_columns(line) < (size_t)columns || (columns == 1 && !*line);
			if (columns >= 40 && i / 2 != 2 && i / 2 != 4)
				useful &= strstr(line, "42") != NULL &&
				          strstr(line, "27:46:40") != NULL;
			if (columns >= 40 && i / 2 == 2)
				useful &= strstr(line, "stuck 27h46m") != NULL;
		}
	}
	CHECK(fits);
	CHECK(useful);
	TEST("a bar is never longer than tells something");
	CHECK(text_columns(bar_of(&cases[0], true, 2000, now)) < 160);
	TEST("80 columns hold bar, times, rate and the call in flight");
	CHECK(strcmp(bar_of(&cases[0], false, 80, T0 + 31 * S),
	             "run:  42%|#####-------| 42/100 [00:31<00:43, 1.35turn/s, in flight: openai "
	             "0ms]") == 0);
	TEST("a width nobody knows is 80");
	CHECK(text_columns(bar_of(&cases[0], true, 0, now)) < 80);
}

static void test_redraw(void)
{
	struct progress_state s = working(T0);

	TEST("the bar is redrawn at most ten times a second of event time, and only when it "
	     "changed");
	begin(STYLE_BAR, true, 120);
	for (uint64_t now = T0; now < T0 + 2 * S; now += MS)
		progress_update(t.p, &s, now);
	CHECK(count("\r") == 20);
	CHECK(count(CLEAR) == count("\r") && count("\n") == 0);
	end();
	begin(STYLE_BAR, true, 120);
	s.in_flight = 0;
	s.total = 0;
	s.turns = 0;
	for (uint64_t now = T0; now < T0 + 2 * S; now += MS)
		progress_update(t.p, &s, now);
	CHECK(count("\r") == 2);
	TEST("a clock that steps back draws nothing");
	s.turns = 7;
	progress_update(t.p, &s, T0);
	CHECK(count("7turn") == 0);
	end();

	TEST("a narrower terminal gets a narrower bar");
	begin(STYLE_BAR, true, 120);
	s = working(T0);
	progress_update(t.p, &s, T0);
	t.columns = 40;
	progress_update(t.p, &s, T0 + S);
	CHECK(text_columns(shown()) < 40);
	end();
}

static void test_log(void)
{
	struct progress_state s = { .turns = 3, .llm_ns = -1, .storage_ns = -1 };

	TEST("a log line takes the bar's place and the bar comes back below it");
	begin(STYLE_BAR, true, 80);
	log_open(LEVEL_INFO, t.f);
	log_set_bar(progress_hide, progress_show, t.p);
	log_info("before");
	progress_update(t.p, &s, T0 + S);
	log_info("hello");
	fflush(t.f);
	CHECK(strcmp(t.text, "whystuck: before\n"
	                     "\rrun: 3turn [00:01, 3.00turn/s]" CLEAR "\r" CLEAR "whystuck: hello\n"
	                     "\rrun: 3turn [00:01, 3.00turn/s]" CLEAR) == 0);
	TEST("at the end the last state stays, on a line of its own, and nothing follows");
	s.turns = 4;
	progress_finish(t.p, &s, T0 + S + MS);
	log_info("bye");
	progress_update(t.p, &s, T0 + 9 * S);
	progress_finish(t.p, &s, T0 + 9 * S);
	fflush(t.f);
	CHECK(strstr(t.text, "\rrun: 4turn [00:01, 4.00turn/s]" CLEAR "\nwhystuck: bye\n"));
	CHECK(t.text[t.size - 1] == '\n' && count("4turn") == 1);
	log_set_bar(NULL, NULL, NULL);
	log_open(LEVEL_INFO, NULL);
	end();
}

static void test_lines(void)
{
	struct progress_state s = working(T0);
	bool plain = true;

	s.oldest = "evil\x1b[2J\rhost\n";
	TEST("where there is no terminal: lines after 10 s, then every 30 s, and one at the end");
	begin(STYLE_LINES, true, 20);
	progress_hide(t.p);
	for (uint64_t now = T0; now < T0 + 75 * S; now += 50 * MS) {
		size_t n = now < T0 + 10 * S   ? 0
		           : now < T0 + 40 * S ? 1
		           : now < T0 + 70 * S ? 2
		                               : 3;

		progress_update(t.p, &s, now);
		plain &= count("\n") == n;
	}
	progress_show(t.p);
	CHECK(plain);
	progress_finish(t.p, &s, T0 + 75 * S);
	CHECK(count("\n") == 4);
	CHECK(strstr(t.text,
	             "whystuck: run: 42/100 turns (42%) [00:10<00:14, 4.20turn/s, llm=812ms "
	             "storage=3.1ms, in flight: evil?[2J?host? 12.3s]\n") == t.text);
	TEST("such lines hold no control characters");
	for (size_t i = 0; i < t.size; i++)
		plain &= t.text[i] == '\n' || !iscntrl((unsigned char)t.text[i]);
	CHECK(plain);
	end();

	begin(STYLE_LINES, true, 20);
	s = (struct progress_state){ .turns = 1, .llm_ns = -1, .storage_ns = -1 };
	progress_finish(t.p, &s, T0 + 2 * S);
	fflush(t.f);
	CHECK(strcmp(t.text, "whystuck: run: 1 turn [00:02, 2.00s/turn]\n") == 0);
	end();

	TEST("none is nothing");
	begin(STYLE_NONE, true, 80);
	for (uint64_t now = T0; now < T0 + 100 * S; now += S)
		progress_update(t.p, &s, now);
	progress_hide(t.p);
	progress_show(t.p);
	progress_finish(t.p, &s, T0 + 100 * S);
	fflush(t.f);
	CHECK(t.size == 0);
	end();
}

static void test_hostile(void)
{
	static const char *const names[] = { "\x1b]0;owned\x07", "a\r\n\x1b[1A\x1b[2K",
		                             "\xc2\x9b"
		                             "2J",
		                             "\xff\xfe",
		                             "\xe2\x80\xae"
		                             "moc" };
	struct progress_state s = working(T0);
	char big[4096];

	TEST("names from the target neither drive the terminal nor crowd out the rest");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		s.oldest = s.stuck_on = names[i];
		for (s.stuck_ns = 0; s.stuck_ns <= T0; s.stuck_ns += T0) {
			begin(STYLE_BAR, true, 150);
			progress_update(t.p, &s, T0 + S);
			CHECK(count("\x1b") == 1 && count("\r") == 1 && count("\n") == 0);
			CHECK(count("\x07") == 0 && count("\xc2\x9b") == 0 && count("\xff") == 0 &&
			      count("\xe2\x80\xae") == 0);
			end();
		}
	}
	s = working(T0);
	memset(big, 'A', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	s.oldest = big;
	CHECK(strstr(bar_of(&s, true, 200, T0 + S), "AAAA 3.3s]"));
}

/* The age of the call in flight, as the bar writes it. */
static bool age(uint64_t ns, const char *expected)
{
	struct progress_state s = {
		.llm_ns = -1, .storage_ns = -1, .in_flight = 1, .oldest = "x", .oldest_ns = T0
	};
	char all[64];

	snprintf(all, sizeof(all), ", in flight: x %s]", expected);
	return strstr(bar_of(&s, true, 200, T0 + ns), all) != NULL;
}

static void test_durations(void)
{
	static const struct {
		uint64_t ns;
		const char *expected;
	} cases[] = {
		{ 0, "0ms" },
		{ 1, "<0.1ms" },
		{ 49999, "<0.1ms" },
		{ 50000, "0.1ms" },
		{ 9949999, "9.9ms" },
		{ 9950000, "10ms" },
		{ 999499999, "999ms" },
		{ 999500000, "1.0s" },
		{ 1240 * MS, "1.2s" },
		{ 59949 * MS, "59.9s" },
		{ 59990 * MS, "60s" },
		{ 60 * S, "1m00s" },
		{ 599 * S, "9m59s" },
		{ 600 * S, "10m" },
		{ 3599 * S, "59m" },
		{ 3600 * S, "1h00m" },
		{ 11100 * S + 59 * S, "3h05m" },
		{ 360000 * S, "100h00m" },
	};

	TEST("durations have about three digits and a unit, and no seam jumps back");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CHECK(age(cases[i].ns, cases[i].expected));
}

static struct turn a_turn(void)
{
	struct turn turn = { .turn_index = 3,
		             .role = LLM_ROLE_USER,
		             .start_ns = T0,
		             .end_ns = T0 + 1240 * MS,
		             .llm_ns = 1100 * MS,
		             .storage_ns = 12 * MS,
		             .ttft_ns = 402 * MS,
		             .llm_calls = 1,
		             .storage_calls = 2,
		             .tokens = { 1200, 84, -1, -1 },
		             .status = TURN_OK };

	strcpy(turn.session_id, "s1");
	return turn;
}

static void test_turn_line(void)
{
	struct turn turn = a_turn();
	char buf[512];

	TEST("a turn's line says where the time went");
	progress_turn_line(buf, sizeof(buf), &turn);
	CHECK(strcmp(buf, "s1 turn 3 user: 1.24 s = llm 1.10 s + storage 12 ms + other 128 ms, "
	                  "ttft 402 ms, "
	                  "tokens 1200 in 84 out, ok") == 0);
	TEST("backoff, overlap, retries, failures and what was not seen are named");
	turn.backoff_ns = 100 * MS;
	turn.overlap_ns = 8 * MS;
	turn.retries = 2;
	turn.at_least = turn.boundary_guessed = true;
	turn.ttft_ns = turn.tokens.in = turn.tokens.out = -1;
	turn.status = TURN_RATE_LIMITED;
	turn.partial = PARTIAL_ATTACHED_LATE;
	turn.role = LLM_ROLE_NONE;
	strcpy(turn.error_kind, "http_429");
	strcpy(turn.error_endpoint, "api.openai.com");
	progress_turn_line(buf, sizeof(buf), &turn);
	CHECK(strcmp(buf, "s1 turn 3: at least 1.24 s = llm 1.10 s + storage 12 ms + backoff 100 "
	                  "ms - overlap 8.0 ms "
	                  "+ other 36 ms, ttft ?, tokens ? in ? out, 2 retries, rate_limited "
	                  "http_429 at "
	                  "api.openai.com, partial: attached_late, boundary guessed") == 0);
	TEST("sums that do not add up give no huge numbers");
	turn = a_turn();
	turn.llm_ns = 9 * S;
	progress_turn_line(buf, sizeof(buf), &turn);
	CHECK(strstr(buf, "+ other 0 ms"));
	turn.end_ns = turn.start_ns - 1;
	turn.overlap_ns = 90 * S;
	progress_turn_line(buf, sizeof(buf), &turn);
	CHECK(strstr(buf, "s1 turn 3 user: 0 ms = ") && strstr(buf, "+ other 0 ms"));
	TEST("a turn without an LLM call has neither first token nor tokens");
	turn = a_turn();
	turn.llm_calls = 0;
	progress_turn_line(buf, sizeof(buf), &turn);
	CHECK(!strstr(buf, "ttft") && !strstr(buf, "tokens"));
	TEST("names in it are cleaned, and any size of buffer is kept");
	turn = a_turn();
	strcpy(turn.session_id, "\x1b[2J\n");
	strcpy(turn.error_endpoint, "a\rb");
	turn.status = TURN_ERROR;
	progress_turn_line(buf, sizeof(buf), &turn);
	CHECK(strncmp(buf, "?[2J? turn 3", 12) == 0 && strstr(buf, "at a?b"));
	for (size_t n = 1; n < 40; n++) {
		char *small = guarded(buf, n);

		progress_turn_line(small, n, &turn);
		CHECK(strlen(small) == n - 1);
		guarded_free(small, n);
	}
}

int main(void)
{
	test_numbers();
	test_now();
	test_widths();
	test_redraw();
	test_log();
	test_lines();
	test_hostile();
	test_durations();
	test_turn_line();
	return DONE();
}
