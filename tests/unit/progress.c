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
#define WRAP_OFF "\x1b[?7l"
#define WRAP_ON "\x1b[?7h"

static struct {
	char *text;
	size_t size;
	FILE *f;
	struct progress *p;
	int columns, lines;
	size_t interpreted; /* bytes of text that went to the terminal below */
} t;

static int width(void *ctx)
{
	return *(int *)ctx; /* t.columns */
}

static int height(void *ctx)
{
	(void)ctx;
	return t.lines;
}

static void begin(enum progress_style style, bool utf8, int columns)
{
	struct progress_config c = { .style = style,
		                     .utf8 = utf8,
		                     .width = width,
		                     .height = height,
		                     .ctx = &t.columns,
		                     .start_ns = T0 };

	t.columns = columns;
	t.lines = 24;
	t.interpreted = 0;
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

/* The run's line as drawn last, without controls. */
static const char *shown(void)
{
	static char line[2048];
	char *from = NULL, *clear;

	fflush(t.f);
	for (char *s = t.text; (s = strstr(s, WRAP_OFF)) != NULL;)
		from = s += strlen(WRAP_OFF);
	snprintf(line, sizeof(line), "%s", from ? from : t.text);
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
	CHECK(strcmp(bar_of(&s, true, 105, now), "run:  42%|████▏     | 42/100 [00:31<00:43, "
	                                         "1.35turn/s, llm=812ms storage=3.1ms, "
	                                         "in flight: openai 2.3s]") == 0);
	CHECK(strcmp(bar_of(&s, false, 105, now), "run:  42%|####------| 42/100 [00:31<00:43, "
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
	CHECK(strcmp(bar_of(&s, true, 61, T0),
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

			fits &= text_columns(line) + 2 <= (size_t)columns ||
			        (columns == 1 && !*line);
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
	CHECK(strcmp(bar_of(&cases[0], false, 81, T0 + 31 * S),
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
	CHECK(strcmp(t.text,
	             "whystuck: before\n\r" WRAP_OFF "run: 3turn [00:01, 3.00turn/s]" CLEAR WRAP_ON
	             "\r" CLEAR "whystuck: hello\n\r" WRAP_OFF
	             "run: 3turn [00:01, 3.00turn/s]" CLEAR WRAP_ON) == 0);
	TEST("at the end the last state stays, on a line of its own, and nothing follows");
	s.turns = 4;
	progress_finish(t.p, &s, T0 + S + MS);
	log_info("bye");
	progress_update(t.p, &s, T0 + 9 * S);
	progress_finish(t.p, &s, T0 + 9 * S);
	fflush(t.f);
	CHECK(strstr(t.text, "run: 4turn [00:01, 4.00turn/s]" CLEAR WRAP_ON "\nwhystuck: bye\n"));
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
			CHECK(count("\x1b") == 3 && count("\r") == 1 && count("\n") == 0);
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
	turn.at_least = turn.boundary_guessed = turn.attribution_order = true;
	turn.ttft_ns = turn.tokens.in = turn.tokens.out = -1;
	turn.status = TURN_RATE_LIMITED;
	turn.partial = PARTIAL_ATTACHED_LATE;
	turn.role = LLM_ROLE_NONE;
	strcpy(turn.error_kind, "http_429");
	strcpy(turn.error_endpoint, "api.openai.com");
	progress_turn_line(buf, sizeof(buf), &turn);
	CHECK(strcmp(buf,
	             "s1 turn 3: at least 1.24 s = llm 1.10 s + storage 12 ms + backoff 100 "
	             "ms - overlap 8.0 ms "
	             "+ other 36 ms, ttft ?, tokens ? in ? out, 2 retries, rate_limited "
	             "http_429 at "
	             "api.openai.com, partial: attached_late, boundary guessed, attribution by "
	             "order") == 0);
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

/* ===== A terminal ===== */

/* As small as can tell what a person sees: rows of cells, of which the last t.lines are on the screen, and what progress and
 * log write: \r, \n, text that wraps, CSI A C J K, CSI ?7 h l. A terminal of another width breaks lines anew, or, the plain
 * kind, cuts them. */
#define VT_ROWS 256
#define VT_COLUMNS 160

static struct {
	struct {
		uint32_t cell
			[VT_COLUMNS]; /* 0 never written or erased; 1 the right half of a wide one */
		bool wrapped;         /* the next row goes on with it */
	} row[VT_ROWS];
	int columns, lines, top; /* top: the first row on the screen; those above are its history */
	int y, x;                /* y of all rows; x == columns: the next character wraps */
	bool nowrap, reflows;
	unsigned unknown, touched_history;
} vt;

static void vt_begin(int columns, int lines, bool reflows)
{
	memset(&vt, 0, sizeof(vt));
	vt.columns = t.columns = columns;
	vt.lines = t.lines = lines;
	vt.reflows = reflows;
}

static int vt_width(uint32_t c)
{
	if (c >= 0x300 && c < 0x370)
		return 0;
	return c >= 0x1100 && !(c >= 0x2000 && c < 0x2600) ? 2 : 1;
}

static void vt_newline(bool wrapped)
{
	/* only clearing it from its beginning makes a row go on no more */
	vt.row[vt.y].wrapped |= wrapped;
	if (++vt.y >= VT_ROWS)
		abort();
	if (vt.y >= vt.top + vt.lines)
		vt.top = vt.y - vt.lines + 1;
}

static void vt_char(uint32_t c)
{
	int w = vt_width(c);

	if (w == 0 || w > vt.columns)
		return;
	if (vt.x + w > vt.columns && !vt.nowrap) {
		vt_newline(true);
		vt.x = 0;
	} else if (vt.x + w > vt.columns) {
		vt.x = vt.columns - w;
	}
	vt.row[vt.y].cell[vt.x++] = c;
	if (w == 2)
		vt.row[vt.y].cell[vt.x++] = 1;
}

static void vt_clear(int y, int x)
{
	if (x == 0)
		vt.row[y].wrapped = false;
	for (; x < VT_COLUMNS; x++)
		vt.row[y].cell[x] = 0;
}

static void vt_control(const char *args, char final)
{
	int n = *args ? atoi(args) : 1, x = vt.x < vt.columns ? vt.x : vt.columns - 1;

	if (final == 'A') {
		vt.y = vt.y - n > vt.top ? vt.y - n : vt.top;
	} else if (final == 'C') {
		vt.x = x + n < vt.columns ? x + n : vt.columns - 1;
	} else if (final == 'K') {
		vt_clear(vt.y, x);
	} else if (final == 'J') {
		vt_clear(vt.y, x);
		for (int y = vt.y + 1; y < VT_ROWS; y++)
			vt_clear(y, 0);
		/* such as keep a copy of the whole screen then would keep frames */
		vt.touched_history += vt.y == vt.top && x == 0;
	} else if (strcmp(args, "?7") == 0 && (final == 'h' || final == 'l')) {
		vt.nowrap = final == 'l';
	} else {
		vt.unknown++;
	}
}

static const char *vt_sequence(const char *s)
{
	char args[16] = "";
	size_t n = 0;

	if (*s != '[')
		return vt.unknown++, s;
	for (s++; *s && strchr("0123456789;?", *s) && n + 1 < sizeof(args); s++)
		args[n++] = *s;
	vt_control(args, *s);
	return *s ? s + 1 : s;
}

/* Shows what was written since. */
static void vt_run(void)
{
	const char *s;

	fflush(t.f);
	for (s = t.text + t.interpreted; *s;) {
		unsigned char c = (unsigned char)*s++;
		uint32_t u = c < 0x80 ? c : c & (c < 0xe0 ? 0x1f : c < 0xf0 ? 0x0f : 0x07);

		for (; c >= 0x80 && ((unsigned char)*s & 0xc0) == 0x80; s++)
			u = u << 6 | ((unsigned char)*s & 0x3f);
		if (c == '\r')
			vt.x = 0;
		else if (c == '\n') /* the line discipline's "\r\n" */
			vt_newline(false), vt.x = 0;
		else if (c == 0x1b)
			s = vt_sequence(s);
		else if (c < 0x20)
			vt.unknown++;
		else
			vt_char(u);
	}
	t.interpreted = (size_t)(s - t.text);
}

static int length_of(const uint32_t *cell)
{
	int n = VT_COLUMNS;

	while (n && !cell[n - 1])
		n--;
	return n;
}

static int vt_length(int y)
{
	return length_of(vt.row[y].cell);
}

/* Every line again from its beginning; the cursor stays at its character, or at its line's end. */
static void vt_reflow(int columns)
{
	static typeof(vt) old;
	int last = vt.y, at_y = 0, at_x = 0;

	for (int y = last; y < VT_ROWS; y++)
		if (vt_length(y))
			last = y;
	old = vt;
	memset(vt.row, 0, sizeof(vt.row));
	vt.columns = columns;
	vt.y = vt.x = vt.top = 0;
	vt.nowrap = false;
	for (int y = 0; y <= last; y++) {
		int n = length_of(old.row[y].cell);

		if (y == old.y)
			at_y = vt.y, at_x = vt.x;
		for (int x = 0; x < n; x++) {
			if (old.row[y].cell[x] != 1)
				vt_char(old.row[y].cell[x] ? old.row[y].cell[x] : ' ');
			if (y == old.y && x <= old.x)
				at_y = vt.y, at_x = x < old.x ? vt.x : vt.x - 1;
		}
		if (y < last && !old.row[y].wrapped)
			vt_newline(false), vt.x = 0;
	}
	vt.top = vt.y - vt.lines + 1 > 0 ? vt.y - vt.lines + 1 : 0;
	vt.y = at_y;
	vt.x = at_x < columns ? at_x : columns - 1;
	if (vt.y < vt.top)
		vt.y = vt.top, vt.x = 0;
}

static void vt_resize(int columns, int lines)
{
	vt_run();
	if (lines < vt.lines) /* rows below the cursor go first, then those at the top */
		for (int y = vt.top + lines; y < VT_ROWS; y++)
			if (y > vt.y)
				vt_clear(y, 0);
	vt.lines = lines;
	if (vt.y >= vt.top + lines)
		vt.top = vt.y - lines + 1;
	if (vt.reflows) {
		vt_reflow(columns);
	} else {
		for (int y = 0; y < VT_ROWS; y++)
			if (columns < vt.columns)
				memset(vt.row[y].cell + columns, 0,
				       sizeof(uint32_t) * (size_t)(vt.columns - columns));
		vt.columns = columns;
		if (vt.x >= columns)
			vt.x = columns - 1;
	}
}

/* The terminal's program is told of it, too. */
static void resize(int columns, int lines)
{
	vt_resize(columns, lines);
	t.columns = columns;
	t.lines = lines;
}

static const char *row_text(int y)
{
	static char text[VT_COLUMNS * 4 + 1];
	char *to = text;
	int n = vt_length(y);

	for (int x = 0; x < n; x++) {
		uint32_t c = vt.row[y].cell[x] ? vt.row[y].cell[x] : ' ';

		if (c == 1)
			continue;
		if (c >= 0x800)
			*to++ = (char)(0xe0 | c >> 12), *to++ = (char)(0x80 | (c >> 6 & 0x3f));
		else if (c >= 0x80)
			*to++ = (char)(0xc0 | c >> 6);
		*to++ = (char)(c < 0x80 ? c : 0x80 | (c & 0x3f));
	}
	*to = '\0';
	return text;
}

/* What a person sees: the screen's lines, without the empty ones at its end. */
static const char *screen(void)
{
	static char all[65536];
	size_t n = 0, used = 0;

	vt_run();
	for (int y = vt.top; y < vt.top + vt.lines && y < VT_ROWS; y++) {
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s\n", row_text(y));
		if (vt_length(y))
			used = n;
	}
	all[used] = '\0';
	return all;
}

static bool seen(const char *expected)
{
	if (strcmp(screen(), expected) == 0)
		return true;
	printf("# on the screen:\n%s# expected:\n%s", screen(), expected);
	return false;
}

/* Lines on the screen that begin with it. */
static size_t seen_lines(const char *begin)
{
	size_t n = 0;

	vt_run();
	for (int y = vt.top; y < vt.top + vt.lines && y < VT_ROWS; y++)
		n += strncmp(row_text(y), begin, strlen(begin)) == 0;
	return n;
}

/* ===== Sessions ===== */

static struct progress_row row(const char *name, uint64_t turns, uint64_t total, uint64_t turn_ns,
                               const char *waits_on, uint64_t waits_ns)
{
	return (struct progress_row){ .name = name,
		                      .turns = turns,
		                      .total = total,
		                      .turn_ns = turn_ns,
		                      .waits_on = waits_on,
		                      .waits_ns = waits_ns };
}

static struct progress_state with_rows(const struct progress_row *rows, size_t n)
{
	return (struct progress_state){
		.llm_ns = -1, .storage_ns = -1, .turns = 3, .rows = rows, .nrows = n
	};
}

static struct progress_row crowd[PROGRESS_ROWS_MAX];

/* n sessions "s1", ..., each with a turn open, the first for the longest. */
static struct progress_state many(size_t n, uint64_t now)
{
	static char names[PROGRESS_ROWS_MAX][8];

	for (size_t i = 0; i < n && i < PROGRESS_ROWS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "s%zu", i + 1);
		crowd[i] = row(names[i], i, 0, now - (n - i) * S / 10, NULL, 0);
	}
	return with_rows(crowd, n);
}

static void test_units(void)
{
	uint64_t now = T0 + 31 * S;
	struct progress_state s = { .unit = "tests",
		                    .units_done = 2,
		                    .units_total = 7,
		                    .turns = 14,
		                    .llm_ns = -1,
		                    .storage_ns = -1 };

	TEST("of a run that counts in units of its own the bar is of these");
	CHECK(strcmp(bar_of(&s, true, 65, now),
	             "run:  28%|██▊       | 2/7 tests [00:31<?, 14 turns, "
	             "2.21s/turn]") == 0);
	CHECK(strcmp(bar_of(&s, false, 65, now),
	             "run:  28%|##--------| 2/7 tests [00:31<?, 14 turns, "
	             "2.21s/turn]") == 0);
	TEST("when a total of turns is known as well, the bar is of turns and the units follow");
	s.total = 35;
	CHECK(strcmp(bar_of(&s, true, 66, now),
	             "run:  40%|████      | 14/35 [00:31<00:47, 2/7 tests, "
	             "2.21s/turn]") == 0);
	TEST("units without a total, or beyond it, are counted");
	s.units_total = 1;
	CHECK(strstr(bar_of(&s, true, 100, now), "| 14/35 [00:31<00:47, 2 tests, 2.21s/turn]"));
	s.total = 0;
	CHECK(strcmp(bar_of(&s, true, 100, now), "run: 14turn [00:31, 2 tests, 2.21s/turn]") == 0);
	TEST("a narrow terminal keeps the count of units");
	s.units_total = 7;
	CHECK(strcmp(bar_of(&s, true, 20, now), "run:  28% 2/7") == 0);
	CHECK(strcmp(bar_of(&s, true, 21, now), "run:  28% 2/7 tests") == 0);
	CHECK(strcmp(bar_of(&s, true, 31, now), "run:  28% 2/7 tests [00:31<?]") == 0);
	TEST("a unit's name is cleaned and cut");
	s.unit = "te\x1b[2Jsts of the very long kind";
	CHECK(strstr(bar_of(&s, true, 100, now), "2/7 te?[2Jsts of the [00:31"));
}

static const char *left_after(struct progress_state *s, uint64_t done, uint64_t now)
{
	s->units_done = done;
	progress_update(t.p, s, now);
	return shown();
}

static void test_time_left(void)
{
	struct progress_state s = {
		.unit = "tests", .units_total = 12, .llm_ns = -1, .storage_ns = -1
	};

	TEST("time left is at the pace since the watch began, not of what was done before");
	begin(STYLE_BAR, true, 100);
	CHECK(strstr(left_after(&s, 5, T0 + S), "5/12 tests [00:01<?, "));
	CHECK(strstr(left_after(&s, 5, T0 + 30 * S), "5/12 tests [00:30<?, "));
	CHECK(strstr(left_after(&s, 6, T0 + 31 * S), "6/12 tests [00:31<03:00, "));
	CHECK(strstr(left_after(&s, 8, T0 + 61 * S), "8/12 tests [01:01<01:20, "));
	TEST("it is not known while the run is stuck, and 0 when all is done");
	s.stuck_ns = T0 + 62 * S;
	CHECK(strstr(left_after(&s, 8, T0 + 70 * S), "8/12 tests [01:10<?, "));
	s.stuck_ns = 0;
	CHECK(strstr(left_after(&s, 12, T0 + 80 * S), "12/12 tests [01:20<00:00, "));
	TEST("a run that counts anew has a new pace");
	CHECK(strstr(left_after(&s, 2, T0 + 90 * S), "2/12 tests [01:30<?, "));
	CHECK(strstr(left_after(&s, 4, T0 + 100 * S), "4/12 tests [01:40<00:40, "));
	end();
	TEST("units that are learned late count from then on, though nothing was drawn then");
	begin(STYLE_BAR, true, 100);
	s.unit = NULL;
	progress_update(t.p, &s, T0 + 100 * S);
	s.unit = "tests";
	s.units_done = 3;
	progress_update(t.p, &s, T0 + 100 * S + MS);
	CHECK(strstr(left_after(&s, 4, T0 + 110 * S + MS), "4/12 tests [01:50<01:20, "));
	end();
}

static void test_rows(void)
{
	uint64_t now = T0 + 31 * S;
	struct progress_row rows[3] = { row("test_a", 4, 10, now - 2300 * MS, "openai",
		                            now - 2100 * MS),
		                        row("s2", 12, 0, now - 1500 * MS, "L1", now - 3 * MS),
		                        row("s3", 0, 0, now - 200 * MS, NULL, 0) };
	struct progress_state s = with_rows(rows, 3);

	TEST("sessions in flight have a line each: turns closed, age of the open one, call in "
	     "flight");
	begin(STYLE_BAR, true, 80);
	vt_begin(80, 24, true);
	rows[2].at_least = true;
	progress_update(t.p, &s, now);
	CHECK(seen("run: 3turn [00:31, 10.33s/turn]\n"
	           "  test_a:  40%|████      | 4/10 [open 2.3s, openai 2.1s]\n"
	           "  s2:     12turn                [open 1.5s, L1 3.0ms]\n"
	           "  s3:     0turn                 [open >=200ms]\n"));
	CHECK(vt.y == 0 && vt.x == (int)strlen("run: 3turn [00:31, 10.33s/turn]"));
	TEST("a narrow terminal has them shorter");
	resize(46, 24);
	progress_update(t.p, &s, now + S);
	CHECK(seen("run: 3turn [00:32, 10.67s/turn]\n"
	           "  test_a:  40% 4/10 [open 3.3s, openai 3.1s]\n"
	           "  s2:     12turn    [open 2.5s, L1 1.0s]\n"
	           "  s3:     0turn     [open >=1.2s]\n"));
	resize(20, 24);
	progress_update(t.p, &s, now + 2 * S);
	CHECK(seen("run: 3turn [00:33]\n"
	           "  test_a:  40% 4/1\n"
	           "  s2:     12turn\n"
	           "  s3:     0turn\n"));
	end();

	TEST("without UTF-8 they are ASCII");
	begin(STYLE_BAR, false, 80);
	vt_begin(80, 24, true);
	rows[0].name = "test_\xc3\xa9";
	s.rows_more = 20;
	progress_update(t.p, &s, now);
	CHECK(seen("run: 3turn [00:31, 10.33s/turn]\n"
	           "  test_?:  40%|####------| 4/10 [open 2.3s, openai 2.1s]\n"
	           "  s2:     12turn                [open 1.5s, L1 3.0ms]\n"
	           "  s3:     0turn                 [open >=200ms]\n"
	           "  ... and 20 more\n"));
	end();

	TEST("one session adds nothing to the bar, unless it has a total of its own");
	begin(STYLE_BAR, true, 80);
	vt_begin(80, 24, true);
	s = with_rows(rows + 1, 1);
	progress_update(t.p, &s, now);
	CHECK(seen("run: 3turn [00:31, 10.33s/turn]\n"));
	rows[1].total = 24;
	progress_update(t.p, &s, now + S);
	CHECK(seen("run: 3turn [00:32, 10.67s/turn]\n"
	           "  s2:  50%|█████     | 12/24 [open 2.5s, L1 1.0s]\n"));
	TEST("a session's total that was passed is no total");
	rows[1].turns = 25;
	progress_update(t.p, &s, now + 2 * S);
	CHECK(seen("run: 3turn [00:33, 11.00s/turn]\n"));
	end();
}

static void test_places(void)
{
	uint64_t now = T0 + 31 * S;
	struct progress_row rows[4] = { row("a", 1, 0, now, NULL, 0), row("b", 2, 0, now, NULL, 0),
		                        row("c", 3, 0, now, NULL, 0) };
	struct progress_state s = with_rows(rows, 3);

	TEST("a session keeps its line, whatever the order they come in");
	begin(STYLE_BAR, true, 80);
	vt_begin(80, 24, true);
	progress_update(t.p, &s, now);
	rows[0] = row("c", 3, 0, now, NULL, 0);
	rows[1] = row("a", 1, 0, now, NULL, 0);
	rows[2] = row("b", 2, 0, now, NULL, 0);
	progress_update(t.p, &s, now + S);
	CHECK(seen("run: 3turn [00:32, 10.67s/turn]\n  a: 1turn [open 1.0s]\n"
	           "  b: 2turn [open 1.0s]\n  c: 3turn [open 1.0s]\n"));
	TEST("one without a turn open says so and keeps it, for the others not to move");
	rows[1] = rows[2];
	s.nrows = 2;
	progress_update(t.p, &s, now + 2 * S);
	CHECK(seen("run: 3turn [00:33, 11.00s/turn]\n  a: no turn open\n"
	           "  b: 2turn [open 2.0s]\n  c: 3turn [open 2.0s]\n"));
	progress_update(t.p, &s, now + 9 * S);
	CHECK(seen("run: 3turn [00:40, 13.33s/turn]\n  a: no turn open\n"
	           "  b: 2turn [open 9.0s]\n  c: 3turn [open 9.0s]\n"));
	TEST("who comes new takes it after a second");
	rows[2] = row("dd", 7, 0, now + 10 * S, NULL, 0);
	s.nrows = 3;
	progress_update(t.p, &s, now + 10 * S);
	CHECK(seen("run: 3turn [00:41, 13.67s/turn]\n  dd: 7turn [open 0ms]\n"
	           "  b:  2turn [open 10.0s]\n  c:  3turn [open 10.0s]\n"));
	TEST("two sessions without a line below them give theirs up after a second");
	rows[1] = rows[2];
	s.nrows = 1;
	rows[0] = row("b", 2, 0, now, NULL, 0);
	progress_update(t.p, &s, now + 11 * S);
	CHECK(seen("run: 3turn [00:42, 14.00s/turn]\n  dd: no turn open\n"
	           "  b:  2turn [open 11.0s]\n  c:  no turn open\n"));
	TEST("and one that is left alone is told by the run's line again");
	progress_update(t.p, &s, now + 11900 * MS);
	CHECK(seen_lines("  b: ") == 1);
	progress_update(t.p, &s, now + 12 * S);
	CHECK(seen("run: 3turn [00:43, 14.33s/turn]\n"));
	TEST("sessions one after the other are no sessions at once");
	rows[0] = row("e", 0, 0, now + 12 * S, NULL, 0);
	progress_update(t.p, &s, now + 12200 * MS);
	CHECK(seen("run: 3turn [00:43, 14.40s/turn]\n"));
	TEST("two of one name have a line each");
	rows[0] = row("e", 0, 0, now + 12 * S, NULL, 0);
	rows[1] = row("e", 1, 0, now + 12 * S, NULL, 0);
	s.nrows = 2;
	progress_update(t.p, &s, now + 13 * S);
	CHECK(seen_lines("  e: ") + seen_lines("  e:  ") >= 2);
	end();
}

static void test_heights(void)
{
	static const struct {
		int lines;
		size_t rows, more;
	} cases[] = { { 24, 8, 1 }, { 15, 8, 1 }, { 12, 6, 1 }, { 10, 4, 1 },
		      { 6, 2, 1 },  { 5, 1, 1 },  { 4, 0, 0 },  { 3, 0, 0 },
		      { 2, 0, 0 },  { 1, 0, 0 },  { 200, 8, 1 } };
	uint64_t now = T0 + 10 * S;
	struct progress_state s;
	bool fits = true;

	TEST("as many sessions have a line as the height allows, the rest is counted");
	begin(STYLE_BAR, true, 80);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++, now += 2 * S) {
		char more[32];

		vt_begin(80, cases[i].lines, true);
		fflush(t.f);
		t.interpreted = t.size;
		s = many(20, now);
		progress_hide(t.p);
		progress_update(t.p, &s, now);
		snprintf(more, sizeof(more), "  … and %zu more", 20 - cases[i].rows);
		CHECK(seen_lines("run: ") == 1 && seen_lines("  s") == cases[i].rows &&
		      seen_lines(more) == cases[i].more);
	}
	end();

	TEST("nobody is counted where all have a line, and none is told of twice");
	for (size_t n = 2; n < 70; n++) {
		begin(STYLE_BAR, true, 80);
		vt_begin(80, 24, true);
		s = many(n < PROGRESS_ROWS_MAX ? n : PROGRESS_ROWS_MAX, now);
		s.rows_more = n - s.nrows;
		progress_update(t.p, &s, now);
		fits &= seen_lines("  s") == (n < 8 ? n : 8) && seen_lines("  …") == (n > 8);
		end();
	}
	CHECK(fits);

	TEST("a turn that takes much longer than those that are shown pushes the youngest out");
	begin(STYLE_BAR, true, 80);
	vt_begin(80, 24, true);
	s = many(9, now);
	progress_update(t.p, &s, now);
	CHECK(seen_lines("  s9:") == 0 && seen_lines("  s8:") == 1);
	for (size_t i = 0; i < 9; i++)
		crowd[i].turn_ns = i == 8 ? now : now + (9 + i) * S;
	progress_update(t.p, &s, now + 19 * S);
	CHECK(seen_lines("  s9:") == 0 && seen_lines("  s8:") == 1);
	for (size_t i = 0; i < 8; i++)
		crowd[i].turn_ns = now + (11 + i) * S;
	progress_update(t.p, &s, now + 20 * S);
	CHECK(seen_lines("  s9:") == 1 && seen_lines("  s8:") == 0 && seen_lines("  s1:") == 1);
	TEST("and no other");
	crowd[7].turn_ns = now + 5 * S;
	progress_update(t.p, &s, now + 25 * S);
	CHECK(seen_lines("  s9:") == 1 && seen_lines("  s8:") == 0);
	end();

	TEST("where more wait for a line than there are, one without a turn gives it up at once");
	begin(STYLE_BAR, true, 80);
	vt_begin(80, 24, true);
	s = many(10, now);
	progress_update(t.p, &s, now);
	crowd[2] = crowd[9];
	s.nrows = 9;
	progress_update(t.p, &s, now + MS * 200);
	CHECK(seen_lines("  s3:") == 0 && seen_lines("  s10:") == 1 &&
	      seen_lines("  … and 1 more") == 1);
	end();
}

static void test_names(void)
{
	static const char *const names[] = {
		"conversation-000123-chapter-two-alpha",
		"北京北京北京北京北京北京北京北京北京北京北京",
		"e\314\201e\314\201e\314\201",
		"evil\x1b[2J\r\n\x07",
		"\302\2332J\377\376\342\200\256",
		"",
		NULL,
	};
	struct progress_row rows[7];
	struct progress_state s = with_rows(rows, 7);
	bool fits = true;
	char big[5000];

	TEST("whatever the names, each session is one line, no wider than the terminal");
	for (int columns = 1; columns <= 120; columns += columns < 50 ? 1 : 9) {
		for (int i = 0; i < 14; i++) {
			for (size_t k = 0; k < 7; k++)
				rows[k] = row(names[k], i, k % 2 ? 99 : 0, T0, names[6 - k], T0);
			begin(STYLE_BAR, i % 2, columns);
			vt_begin(columns, 24, true);
			progress_update(t.p, &s, T0 + S + (uint64_t)i * 10 * S);
			vt_run();
			for (int y = 0; y < VT_ROWS; y++)
				fits &= !vt.row[y].wrapped && (vt_length(y) == 0 || y < 8) &&
				        vt_length(y) <= columns;
			fits &= vt.unknown == 0 && vt.y == 0;
			end();
		}
	}
	CHECK(fits);
	TEST("a long name loses its middle");
	begin(STYLE_BAR, true, 80);
	vt_begin(80, 24, true);
	memset(big, 'A', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	rows[0] = row(names[0], 0, 0, T0, NULL, 0);
	rows[1] = row(names[1], 0, 0, T0, NULL, 0);
	rows[2] = row(big, 0, 0, T0, big, T0);
	s.nrows = 3;
	progress_update(t.p, &s, T0 + S);
	CHECK(seen("run: 3turn [00:01, 3.00turn/s]\n"
	           "  conversation-…er-two-alpha: 0turn [open 1.0s]\n"
	           "  北京北京北京…北京北京北京:  0turn [open 1.0s]\n"
	           "  AAAAAAAAAAAAA…AAAAAAAAAAAA: 0turn [open 1.0s]\n"));
	end();
}

static void test_screen(void)
{
	uint64_t now = T0 + S;
	struct progress_state s = many(5, now);

	TEST("log lines go above the frame, which stays whole");
	begin(STYLE_BAR, true, 80);
	vt_begin(80, 8, true);
	log_open(LEVEL_INFO, t.f);
	log_set_bar(progress_hide, progress_show, t.p);
	progress_update(t.p, &s, now);
	for (int i = 1; i < 20; i++)
		log_info("line %d", i);
	CHECK(seen("whystuck: line 17\nwhystuck: line 18\nwhystuck: line 19\n"
	           "run: 3turn [00:01, 3.00turn/s]\n"
	           "  s1: 0turn [open 500ms]\n  s2: 1turn [open 400ms]\n"
	           "  s3: 2turn [open 300ms]\n  … and 2 more\n"));
	TEST("who else writes on the terminal is kept, and the frame comes back below");
	fprintf(t.f, " hello\n");
	progress_update(t.p, &s, now + S);
	CHECK(strstr(screen(),
	             "run: 3turn [00:01, 3.00turn/s] hello\nrun: 3turn [00:02, 1.50turn/s]\n"
	             "  s1: 0turn [open 1.5s]\n"));
	CHECK(seen_lines("run: ") == 2 && seen_lines("  s1:") == 1 && seen_lines("  …") == 1);
	TEST("fewer sessions leave nothing of the others behind");
	s.nrows = 1;
	progress_update(t.p, &s, now + 2 * S);
	progress_update(t.p, &s, now + 4 * S);
	CHECK(seen_lines("  ") == 0 && strstr(screen(), "run: 3turn [00:05, 1.67s/turn]\n"));
	TEST("at the end the run's line stays, without sessions, and what follows is below it");
	s = many(5, now);
	progress_update(t.p, &s, now + 5 * S);
	CHECK(seen_lines("  ") == 4);
	progress_finish(t.p, &s, now + 6 * S);
	log_info("bye");
	CHECK(seen_lines("  ") == 0);
	CHECK(strstr(screen(), "run: 3turn [00:07, 2.33s/turn]\nwhystuck: bye\n"));
	CHECK(vt.unknown == 0 && !vt.nowrap);
	log_set_bar(NULL, NULL, NULL);
	log_open(LEVEL_INFO, NULL);
	end();
}

static ssize_t counted(void *writes, const char *bytes, size_t n)
{
	(void)bytes;
	++*(int *)writes;
	return (ssize_t)n;
}

static void test_writes(void)
{
	int writes = 0, columns = 80;
	FILE *f = fopencookie(&writes, "w", (cookie_io_functions_t){ .write = counted });
	struct progress_config c = {
		.style = STYLE_BAR, .out = f, .width = width, .ctx = &columns, .start_ns = T0
	};
	struct progress *p = progress_new(&c);
	struct progress_state s = many(5, T0 + S);

	if (!f || !p)
		abort();
	setvbuf(f, NULL, _IONBF, 0);
	TEST("a frame is one write, after a resize too, and so is its end");
	progress_update(p, &s, T0 + S);
	CHECK(writes == 1);
	columns = 30;
	progress_update(p, &s, T0 + 2 * S);
	CHECK(writes == 2);
	progress_hide(p);
	CHECK(writes == 3);
	progress_show(p);
	CHECK(writes == 4);
	progress_free(p);
	fclose(f);
}

/* One frame on the screen, whole, and nothing else but the log above it. */
static bool whole(size_t rows, size_t more)
{
	bool ok = seen_lines("run: ") == 1 && seen_lines("  s") == rows &&
	          seen_lines("  …") == more;

	for (int y = vt.top; y < vt.top + vt.lines && y < VT_ROWS; y++)
		ok &= y < vt.y ? !strstr(row_text(y), "turn") : !strstr(row_text(y), "log");
	if (!ok)
		printf("# %d x %d:\n%s", vt.columns, vt.lines, screen());
	return ok;
}

static struct progress_state long_line(uint64_t now)
{
	struct progress_state s = many(20, now);

	s.in_flight = 20;
	s.oldest = "api.openai.com";
	s.oldest_ns = now - S;
	s.unit = "tests";
	s.units_total = 70;
	return s;
}

static void test_resize(void)
{
	uint64_t now = T0 + 100 * S;
	struct progress_state s;
	bool narrower = true, again = true, hidden = true, wider = true, late = true, plain = true;

	TEST("from any width to any other, the frame is there once and the log above it is kept");
	for (int from = 20; from <= 120; from += 9) {
		for (int to = 12; to <= 130; to += 4) {
			for (int log = 0; log < 2; log++) {
				begin(STYLE_BAR, true, from);
				/* room for the frame broken into pieces: what leaves the screen is gone */
				vt_begin(from, 100, true);
				fprintf(t.f, "log 1\nlog 2\n");
				s = long_line(now);
				progress_update(t.p, &s, now);
				resize(to, 100);
				if (log) {
					progress_hide(t.p);
					fprintf(t.f, "log 3\n");
					progress_show(t.p);
					hidden &= whole(8, 1) && seen_lines("log") == 3;
				}
				s = long_line(now + S);
				progress_update(t.p, &s, now + S);
				*(to < from ? &narrower : &wider) &=
					whole(8, 1) && seen_lines("log") == 2 + (size_t)log;
				resize(to * 2 / 3, 100);
				s = long_line(now + 2 * S);
				progress_update(t.p, &s, now + 2 * S);
				again &= whole(8, 1) && seen_lines("log") == 2 + (size_t)log;
				narrower &= vt.unknown == 0;
				end();
			}
		}
	}
	CHECK(narrower);
	CHECK(wider);
	TEST("and so it is when it changes once more");
	CHECK(again);
	TEST("and when a log line comes first");
	CHECK(hidden);
	TEST("a frame at the top of the screen is erased without asking for all of it to be "
	     "cleared");
	begin(STYLE_BAR, true, 100);
	vt_begin(100, 30, true);
	s = long_line(now);
	progress_update(t.p, &s, now);
	progress_hide(t.p);
	progress_show(t.p);
	resize(110, 30);
	s = long_line(now + S);
	progress_update(t.p, &s, now + S);
	CHECK(whole(8, 1) && vt.y == vt.top && vt.touched_history == 0);
	end();

	TEST("a terminal that is narrower before it says so is whole once it did");
	for (int from = 20; from <= 120; from += 9) {
		begin(STYLE_BAR, true, from);
		vt_begin(from, 100, true);
		fprintf(t.f, "log 1\nlog 2\n");
		s = long_line(now);
		progress_update(t.p, &s, now);
		vt_resize(from - 5, 100);
		for (uint64_t i = 1; i < 5; i++) {
			s = long_line(now + i * S);
			progress_update(t.p, &s, now + i * S);
		}
		resize(from - 5, 100);
		s = long_line(now + 5 * S);
		progress_update(t.p, &s, now + 5 * S);
		late &= whole(8, 1) && seen_lines("log") == 2;
		end();
	}
	CHECK(late);

	TEST("one that cuts lines has one frame, too");
	for (int to = 12; to <= 130; to++) {
		begin(STYLE_BAR, true, 100);
		vt_begin(100, 30, false);
		fprintf(t.f, "log 1\nlog 2\nlog 3\nlog 4\nlog 5\nlog 6\nlog 7\nlog 8\n");
		s = long_line(now);
		progress_update(t.p, &s, now);
		resize(to, 30);
		s = long_line(now + S);
		progress_update(t.p, &s, now + S);
		plain &= whole(8, 1);
		end();
	}
	CHECK(plain);
}

static void test_resize_lines(void)
{
	static const struct {
		int columns, lines;
		size_t rows, more;
	} steps[] = { { 60, 24, 8, 1 },  { 60, 10, 4, 1 }, { 60, 3, 0, 0 },  { 20, 3, 0, 0 },
		      { 100, 30, 8, 1 }, { 100, 5, 1, 1 }, { 100, 1, 0, 0 }, { 100, 24, 8, 1 } };
	uint64_t now = T0 + 100 * S;
	struct progress_state s = long_line(now);

	TEST("a lower terminal has fewer lines, a higher one more, and each of them once");
	begin(STYLE_BAR, true, 60);
	vt_begin(60, 24, true);
	for (int i = 0; i < 40; i++)
		fprintf(t.f, "log %d\n", i);
	progress_update(t.p, &s, now);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		resize(steps[i].columns, steps[i].lines);
		now += S;
		s = long_line(now);
		progress_update(t.p, &s, now);
		CHECK(whole(steps[i].rows, steps[i].more));
	}
	TEST("a smaller terminal gets no more of an old frame than it has room for");
	resize(30, 6);
	progress_hide(t.p);
	fprintf(t.f, "log\n");
	progress_show(t.p);
	vt_run();
	CHECK(seen_lines("run: ") == 1 && seen_lines("log") >= 1 && vt.y > vt.top);
	end();

	TEST("a size that changes is drawn for, though the text is the same");
	begin(STYLE_BAR, true, 80);
	vt_begin(80, 24, true);
	s = many(0, T0);
	progress_update(t.p, &s, T0);
	resize(25, 24);
	progress_update(t.p, &s, T0 + 100 * MS);
	CHECK(seen("run: 3turn [00:00]\n"));
	resize(60, 24);
	progress_update(t.p, &s, T0 + 200 * MS);
	CHECK(seen("run: 3turn [00:00, 15.00turn/s]\n"));
	end();
}

static void test_session_lines(void)
{
	uint64_t now = T0 + 10 * S;
	struct progress_row rows[5] = { row("s1", 0, 0, now - 9 * S, "openai", now - 5 * S),
		                        row("e\x1bvil\n", 0, 0, now - 4100 * MS, NULL, 0),
		                        row("s3", 4, 10, now - 200 * MS, NULL, 0),
		                        row("s4", 4, 10, now - 100 * MS, NULL, 0),
		                        row("s5", 4, 10, 0, NULL, 0) };
	struct progress_state s = with_rows(rows, 5);

	TEST("where there is no terminal, the line names three of the sessions in flight and "
	     "counts "
	     "the rest");
	begin(STYLE_LINES, true, 80);
	rows[1].at_least = true;
	s.unit = "tests";
	s.units_done = 2;
	s.units_total = 7;
	progress_update(t.p, &s, now);
	CHECK(count("\n") == 1 && count("\x1b") == 0);
	CHECK(strcmp(t.text,
	             "whystuck: run: 2/7 tests (28%) [00:10<?, 3 turns, 3.33s/turn]; 4 "
	             "sessions in flight: s1 9.0s, e?vil? >=4.1s, s3 200ms and 1 more\n") == 0);
	end();
	begin(STYLE_LINES, true, 80);
	s.nrows = 2;
	s.unit = NULL;
	progress_update(t.p, &s, now);
	CHECK(strcmp(t.text, "whystuck: run: 3 turns [00:10, 3.33s/turn]; 2 sessions in flight: s1 "
	                     "9.0s, e?vil? >=4.1s\n") == 0);
	end();
	TEST("one is told by the call in flight");
	begin(STYLE_LINES, true, 80);
	s.nrows = 1;
	progress_update(t.p, &s, now);
	CHECK(strcmp(t.text, "whystuck: run: 3 turns [00:10, 3.33s/turn]\n") == 0);
	end();
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
	test_units();
	test_time_left();
	test_rows();
	test_places();
	test_heights();
	test_names();
	test_screen();
	test_writes();
	test_resize();
	test_resize_lines();
	test_session_lines();
	return DONE();
}
