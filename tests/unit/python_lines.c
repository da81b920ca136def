/* SPDX-License-Identifier: BSD-2-Clause */
/* Line tables as CPython's compilers made them; and cut anywhere. */
#include "python_lines.h"
#include "test.h"

/* CPython 3.9.18's own of one function: the table, and the line of each instruction */
static const uint8_t increments[] = { 0, 2, 2,  1,   6,  254, 4,  5,   8, 5,   4, 1,
	                              2, 1, 6,  255, 2,  3,   6,  253, 6, 7,   4, 249,
	                              2, 4, 14, 1,   26, 2,   12, 127, 0, 127, 0, 47 };
static const uint32_t increments_lines[] = { 3,  4,  4,  4,  2,  2,  7,  7,  7,   7,  12,
	                                     12, 13, 14, 14, 14, 13, 16, 16, 16,  13, 13,
	                                     13, 20, 20, 13, 17, 17, 17, 17, 17,  17, 17,
	                                     18, 18, 18, 18, 18, 18, 18, 18, 18,  18, 18,
	                                     18, 18, 20, 20, 20, 20, 20, 20, 321, 321 };

/* CPython 3.10.13's own of one function: the table, and the line of each instruction */
static const uint8_t ranges[] = { 2, 2, 6, 1,   4, 254, 8,  5,   4, 5, 2, 1,   6, 1,   2, 255,
	                          6, 3, 6, 253, 6, 7,   14, 253, 2, 1, 8, 128, 2, 255, 6, 3 };
static const uint32_t ranges_lines[] = { 3,  4,  4,  4,  2,  2,  7,  7,  7,  7,  12, 12, 13, 14,
	                                 14, 14, 13, 16, 16, 16, 13, 13, 13, 20, 20, 20, 17, 17,
	                                 17, 17, 17, 17, 17, 18, 0,  0,  0,  0,  17, 20, 20, 20 };

/* CPython 3.12.1's own of one function: the table, and the line of each instruction */
static const uint8_t entries[] = {
	128, 0,   224, 8,   9,   216, 8,   9, 136, 65,  137, 5,   240, 5,   3,   9,   6,   128, 65,
	242, 10,  4,   5,   20,  240, 10,  8, 5,   17,  220, 15,  18,  217, 12,  13,  136, 97,  139,
	68,  243, 3,   2,   16,  10,  240, 6, 0,   13,  14,  136, 97,  137, 68,  241, 7,   3,   16,
	18,  240, 14,  0,   13,  17,  137, 1, 248, 244, 7,   0,   12,  22,  242, 0,   1,   5,   14,
	216, 8,   13,  251, 240, 3,   1,   5, 14,  251, 240, 6,   0,   13,  17,  137, 1,   250
};
static const uint32_t entries_lines[] = { 1,  3,  4,  4,  4,  4,  2,  2,  7,  7,  7,  12, 13,
	                                  13, 13, 13, 13, 14, 14, 14, 14, 14, 14, 14, 13, 13,
	                                  13, 13, 16, 16, 16, 16, 13, 13, 20, 20, 20, 0,  17,
	                                  17, 17, 17, 17, 17, 17, 17, 18, 0,  0,  0,  0,  17,
	                                  0,  0,  0,  0,  20, 20, 20, 0,  0,  0 };

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct known {
	enum python_lines kind;
	const uint8_t *table;
	size_t n;
	const uint32_t *lines;
	size_t instructions;
} known[] = {
	{ LINES_INCREMENTS, increments, sizeof(increments), increments_lines,
	  COUNT(increments_lines) },
	{ LINES_RANGES, ranges, sizeof(ranges), ranges_lines, COUNT(ranges_lines) },
	{ LINES_ENTRIES, entries, sizeof(entries), entries_lines, COUNT(entries_lines) },
};

static void check_known(const struct known *k)
{
	size_t wrong = 0;

	for (size_t i = 0; i < k->instructions; i++)
		wrong += python_line(k->kind, k->table, k->n, 1, (int64_t)i * 2) != k->lines[i];
	CHECK(wrong == 0);
}

/* A line that a cut table still tells is the line; an old table, of increments, cannot tell that it was cut. */
static void check_cut(const struct known *k)
{
	size_t wrong = 0;

	for (size_t n = 0; n < k->n; n++) {
		char *cut = guarded(k->table, n);

		for (size_t i = 0; i < k->instructions; i++) {
			uint32_t line = python_line(k->kind, (uint8_t *)cut, n, 1, (int64_t)i * 2);

			/* an entry whose number of lines was cut may end as another */
			wrong += k->kind == LINES_RANGES && line && line != k->lines[i];
		}
		guarded_free(cut, n);
	}
	CHECK(wrong == 0);
}

int main(void)
{
	uint8_t all[256];

	TEST("each instruction has the line its compiler gave it");
	for (size_t i = 0; i < COUNT(known); i++)
		check_known(&known[i]);

	TEST("a table that is cut is read up to there");
	for (size_t i = 0; i < COUNT(known); i++)
		check_cut(&known[i]);

	TEST("a function that has not begun is at its first line");
	CHECK(python_line(LINES_ENTRIES, entries, sizeof(entries), 7, -2) == 7);
	CHECK(python_line(LINES_INCREMENTS, increments, sizeof(increments), 7, -1) == 7);

	TEST("an instruction behind the table has no line");
	CHECK(python_line(LINES_ENTRIES, entries, sizeof(entries), 1, 100000) == 0);
	CHECK(python_line(LINES_RANGES, ranges, sizeof(ranges), 1, INT64_MAX) == 0);

	TEST("lines that cannot be are not known");
	CHECK(python_line(LINES_ENTRIES, entries, sizeof(entries), -400, 0) == 0);
	CHECK(python_line(LINES_RANGES, (const uint8_t *)"\2\177", 2, INT32_MAX, 0) == 0);
	memset(all, 0xff, sizeof(all)); /* numbers that never end */
	CHECK(python_line(LINES_ENTRIES, all, sizeof(all), 1, 0) == 0);
	return DONE();
}
