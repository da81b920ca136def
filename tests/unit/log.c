/* SPDX-License-Identifier: BSD-2-Clause */
/* Log lines: levels, one line each, harmless to a terminal, in step with a bar. */
#include "test.h"

#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <wchar.h>

#include "base/log.h"
#include "base/text.h"

static char *text;
static size_t size;
static FILE *out;

static void open_log(enum log_level level)
{
	out = open_memstream(&text, &size);
	if (!out)
		abort();
	log_open(level, out);
}

static void close_log(void)
{
	fclose(out);
	free(text);
	text = NULL;
	log_open(LEVEL_INFO, NULL);
}

static void test_levels(void)
{
	static const char *const expected[] = {
		[LEVEL_ERROR] = "whystuck: e\n",
		[LEVEL_WARNING] = "whystuck: e\nwhystuck: w\n",
		[LEVEL_INFO] = "whystuck: e\nwhystuck: w\nwhystuck: i\n",
		[LEVEL_DEBUG] = "whystuck: e\nwhystuck: w\nwhystuck: i\nwhystuck: d\n",
	};
	enum log_level level;

	TEST("a level lets its own messages and the graver ones through");
	for (level = LEVEL_ERROR; level <= LEVEL_DEBUG; level++) {
		open_log(level);
		log_error("e");
		log_warn("w");
		log_info("i");
		log_debug("d");
		CHECK(strcmp(text, expected[level]) == 0);
		CHECK(log_enabled(level) && (level == LEVEL_DEBUG || !log_enabled(level + 1)));
		close_log();
	}
	TEST("a level has four names, in any case of letters");
	CHECK(log_level_parse("DEBUG", &level) && level == LEVEL_DEBUG);
	CHECK(log_level_parse("info", &level) && level == LEVEL_INFO);
	CHECK(log_level_parse("Warning", &level) && level == LEVEL_WARNING);
	CHECK(log_level_parse("ERROR", &level) && level == LEVEL_ERROR);
	CHECK(!log_level_parse("", &level) && !log_level_parse("TRACE", &level));
	CHECK(!log_level_parse("INFO ", &level) && level == LEVEL_ERROR);
}

static void test_lines(void)
{
	char big[LOG_LINE_MAX * 2];

	TEST("a message is one line, whatever its arguments hold");
	open_log(LEVEL_INFO);
	log_info("host %s", "a\nb\r\x1b[2J\x07\x9b"
	                    "31m");
	CHECK(strcmp(text, "whystuck: host a?b??[2J??31m\n") == 0);
	close_log();

	TEST("a message too long is cut, and shows it");
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	open_log(LEVEL_INFO);
	log_info("%s", big);
	CHECK(size < LOG_LINE_MAX + 32);
	CHECK(strcmp(text + size - 5, "x...\n") == 0);
	CHECK(strchr(text, '\n') == text + size - 1);
	close_log();

	TEST("errno survives a message");
	open_log(LEVEL_INFO);
	errno = ENOENT;
	log_info("%d", 1);
	CHECK(errno == ENOENT);
	close_log();
}

static void hide(void *ctx)
{
	fprintf(ctx, "<");
}

static void show(void *ctx)
{
	fprintf(ctx, ">");
}

static void test_bar(void)
{
	TEST("the bar is hidden before a line and shown after it, and left alone when nothing is "
	     "written");
	open_log(LEVEL_WARNING);
	log_set_bar(hide, show, out);
	log_warn("one");
	log_info("not written");
	log_error("two");
	log_set_bar(NULL, NULL, NULL);
	log_warn("three");
	CHECK(strcmp(text, "<whystuck: one\n><whystuck: two\n>whystuck: three\n") == 0);
	close_log();
}

static void test_clean(void)
{
	static const struct {
		const char *in, *clean, *ascii;
	} cases[] = {
		{ "api.openai.com:443", "api.openai.com:443", "api.openai.com:443" },
		{ "", "", "" },
		{ "größe 北京", "größe 北京", "gr??e ??" },
		{ "\x1b]0;title\x07", "?]0;title?", "?]0;title?" },
		{ "\xc2\x9b"
		  "2J",
		  "?2J", "?2J" }, /* CSI as UTF-8 */
		{ "a\x7f\x80", "a??", "a??" },
		{ "\xe2\x80\xae"
		  "txt.exe",
		  "?txt.exe", "?txt.exe" }, /* right-to-left override */
		{ "a\xe2\x80\x8b"
		  "b",
		  "a?b", "a?b" },                       /* no width */
		{ "\xc0\xaf", "??", "??" },             /* overlong '/' */
		{ "\xed\xa0\x80", "???", "???" },       /* a surrogate */
		{ "\xf4\x90\x80\x80", "????", "????" }, /* beyond Unicode */
		{ "cut \xe5\x8c", "cut ??", "cut ??" }, /* ends inside a character */
		{ "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80", "?" },
	};
	char buf[64];

	TEST("what drives a terminal or hides text becomes a question mark");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = strlen(cases[i].in) + 1;
		char *in = guarded(cases[i].in, n);

		CHECK(text_clean(buf, sizeof(buf), in, false) == strlen(cases[i].clean));
		CHECK(strcmp(buf, cases[i].clean) == 0);
		text_clean(buf, sizeof(buf), in, true);
		CHECK(strcmp(buf, cases[i].ascii) == 0);
		guarded_free(in, n);
	}
	TEST("a buffer too small gets whole characters");
	for (size_t n = 1; n < 12; n++) {
		text_clean(buf, n, "aößü北b", false);
		CHECK(strlen(buf) < n && !strchr(buf, '?'));
	}
	TEST("text is cleaned in place");
	strcpy(buf, "a\x1b"
	            "ö\xff");
	text_clean(buf, sizeof(buf), buf, true);
	CHECK(strcmp(buf, "a???") == 0);
}

static void test_columns(void)
{
	char buf[64];
	bool never_less = true, clean = true;

	TEST("columns are counted, not bytes");
	CHECK(text_columns("abc") == 3 && text_columns("") == 0);
	CHECK(text_columns("█▍ ") == 3);
	CHECK(text_columns("größe") == 5);
	CHECK(text_columns("北京") == 4);
	TEST("a cut falls between characters");
	strcpy(buf, "█北b");
	text_cut(buf, 2);
	CHECK(strcmp(buf, "█") == 0);
	strcpy(buf, "█北b");
	text_cut(buf, 3);
	CHECK(strcmp(buf, "█北") == 0);
	text_cut(buf, 9);
	CHECK(strcmp(buf, "█北") == 0);
	text_cut(buf, 0);
	CHECK(*buf == '\0');

	TEST("no character that is let through is wider than counted");
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return;
	for (wchar_t c = 1; c < 0x110000; c++) {
		char s[MB_LEN_MAX + 1] = "";
		mbstate_t state = { 0 };

		if (wcrtomb(s, c, &state) == (size_t)-1)
			continue;
		text_clean(buf, sizeof(buf), s, false);
		if (strcmp(buf, s) != 0)
			continue;
		never_less &= (int)text_columns(s) >= wcwidth(c);
		clean &= c >= 0x20 && c != 0x7f;
	}
	CHECK(never_less);
	CHECK(clean);
}

int main(void)
{
	test_levels();
	test_lines();
	test_bar();
	test_clean();
	test_columns();
	return DONE();
}
