/* SPDX-License-Identifier: BSD-2-Clause */
/* Regular expressions from outside: what people write is taken, what would unfold without end is not compiled. */
#include "test.h"

#include <stdbool.h>

#include "base/pattern.h"

static bool says(const char *text, const char *why)
{
	size_t n = strlen(text) + 1;
	char *copy = guarded(text, n);
	const char *said = pattern_check(copy);

	guarded_free(copy, n);
	if (!said || !why)
		return said == why;
	return strstr(said, why) != NULL;
}

int main(void)
{
	static const char *const good[] = {
		"",
		"python3 .*bench\\.py",
		"^(turn|case) [0-9]+ (done|failed)$",
		"[0-9]{1,3}(\\.[0-9]{1,3}){3}",
		"[]{9999}+*]x",
		"[^]{9999}]x",
		"[[:digit:]{9999}]+",
		"\\(\\{9999\\}\\[",
		"a{0}b{,3}c{2,}",
		".{1,255}",
		"((((((((((a))))))))))",
		"caf\xc3\xa9+",
	};
	static const char *const heavy[] = {
		"(a{255}){255}",
		"a{255}{255}",
		"((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+",
		"(((((((((((a+){2}){2}){2}){2}){2}){2}){2}){2}){2}){2})",
		"a{2001}",
		"a{0,2001}",
		"a{99999999999999999999999999}",
		"((((a{9}){9}){9}){9})",
		"(a{40}b{40}c{40}){40}",
	};
	static const char *const broken[] = {
		"(", "[a", "[[:digit:", "[[.", "a{1", "a{2,1}", "*{"
	};
	char text[PATTERN_MAX + 2];

	TEST("what people write is taken");
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		CHECK(says(good[i], NULL));
	TEST("what unfolds to more than there is memory for is refused before it is compiled");
	for (size_t i = 0; i < sizeof(heavy) / sizeof(heavy[0]); i++)
		CHECK(says(heavy[i], "unfold to more than 2000"));
	TEST("what is no expression is refused");
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		CHECK(says(broken[i], "not an extended regular expression"));
	TEST("back-references, whose matching has no bound, are refused");
	CHECK(says("(a*)\\1", "back-references") && says("\\\\1", NULL));
	TEST("the longest is taken, a longer one is not; so with groups in each other");
	memset(text, 'a', sizeof(text));
	text[PATTERN_MAX - 1] = '\0';
	CHECK(says(text, NULL));
	text[PATTERN_MAX - 1] = 'a';
	text[PATTERN_MAX] = '\0';
	CHECK(says(text, "longer than 1023"));
	for (int depth = PATTERN_DEPTH_MAX - 1; depth <= PATTERN_DEPTH_MAX; depth++) {
		memset(text, '(', (size_t)depth);
		text[depth] = 'a';
		memset(text + depth + 1, ')', (size_t)depth);
		text[2 * depth + 1] = '\0';
		CHECK(says(text, depth < PATTERN_DEPTH_MAX ? NULL : "deeper than 31"));
	}
	return DONE();
}
