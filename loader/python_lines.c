/* SPDX-License-Identifier: BSD-2-Clause */
/* Three formats, one a function. The tables are the target's: they may end anywhere and hold anything. */
#include "python_lines.h"

#define CODE_UNIT 2 /* bytes of an instruction, which entries count in */

static uint32_t line_checked(int64_t line)
{
	return line > 0 && line <= INT32_MAX ? (uint32_t)line : 0;
}

/* Objects/lnotab_notes.txt, up to 3.9 */
static uint32_t line_by_increments(const uint8_t *p, size_t n, int64_t line, int64_t lasti)
{
	int64_t addr = 0;

	for (size_t i = 0; i + 2 <= n; i += 2) {
		addr += p[i];
		if (addr > lasti)
			break;
		line += (int8_t)p[i + 1];
	}
	return line_checked(line);
}

/* Objects/lnotab_notes.txt, 3.10 */
static uint32_t line_by_ranges(const uint8_t *p, size_t n, int64_t line, int64_t lasti)
{
	int64_t end = 0;

	for (size_t i = 0; i + 2 <= n; i += 2) {
		int8_t delta = (int8_t)p[i + 1];

		end += p[i];
		if (delta != INT8_MIN)
			line += delta;
		if (lasti < end)
			return delta == INT8_MIN ? 0 : line_checked(line);
	}
	return 0;
}

/* A number in groups of six bits, lowest first; bit 6 says that more follow. */
static uint32_t varint(const uint8_t **p, const uint8_t *end)
{
	uint32_t value = 0;

	for (unsigned shift = 0; *p < end; shift += 6) {
		uint8_t byte = *(*p)++;

		if (shift < 32)
			value |= (uint32_t)(byte & 63) << shift;
		if (!(byte & 64))
			break;
	}
	return value;
}

static int64_t varint_signed(const uint8_t **p, const uint8_t *end)
{
	uint32_t value = varint(p, end);

	return value & 1 ? -(int64_t)(value >> 1) : (int64_t)(value >> 1);
}

/* Objects/locations.md, from 3.11 on; its kinds of entries: */
#define ENTRY_ONE_LINE 10 /* to 12: so many lines further, two bytes of columns */
#define ENTRY_NO_COLUMNS 13
#define ENTRY_LONG 14
#define ENTRY_NONE 15

static uint32_t line_by_entries(const uint8_t *p, size_t n, int64_t line, int64_t lasti)
{
	const uint8_t *end = p + n;
	int64_t addr = 0;

	while (p < end) {
		uint8_t byte = *p++, entry = byte >> 3 & 15;
		size_t skip = 0;

		if (entry == ENTRY_NO_COLUMNS || entry == ENTRY_LONG)
			line += varint_signed(&p, end);
		if (entry == ENTRY_LONG) {
			varint(&p, end); /* lines it spans, columns */
			varint(&p, end);
			varint(&p, end);
		} else if (entry < ENTRY_ONE_LINE) {
			skip = 1;
		} else if (entry < ENTRY_NO_COLUMNS) {
			line += entry - ENTRY_ONE_LINE;
			skip = 2;
		}
		p += skip < (size_t)(end - p) ? skip : (size_t)(end - p);
		addr += ((byte & 7) + 1) * CODE_UNIT;
		if (lasti < addr)
			return entry == ENTRY_NONE ? 0 : line_checked(line);
	}
	return 0;
}

uint32_t python_line(enum python_lines kind, const uint8_t *table, size_t n, int32_t first,
                     int64_t lasti)
{
	if (lasti < 0) /* it has not begun */
		return line_checked(first);
	switch (kind) {
	case LINES_INCREMENTS:
		return line_by_increments(table, n, first, lasti);
	case LINES_RANGES:
		return line_by_ranges(table, n, first, lasti);
	case LINES_ENTRIES:
		return line_by_entries(table, n, first, lasti);
	}
	return 0;
}
