/* SPDX-License-Identifier: BSD-2-Clause */
/* Line tables of CPython's code objects: from the place of an instruction to its line in the source. */
#ifndef PYTHON_LINES_H
#define PYTHON_LINES_H
#include <stddef.h>
#include <stdint.h>

/* How a code object tells its lines: by pairs of increments (up to 3.9), of ranges (3.10), by entries (3.11 on). */
enum python_lines { LINES_INCREMENTS, LINES_RANGES, LINES_ENTRIES };

/* The line of the instruction at byte lasti, first being the function's own; 0: it has none, or the table does not say. */
uint32_t python_line(enum python_lines kind, const uint8_t *table, size_t n, int32_t first,
                     int64_t lasti);

#endif
