/* SPDX-License-Identifier: BSD-2-Clause */
/* Rows a child process makes and its parent reads, also when the child hangs: they lie in memory the two share, and a row is
 * there when it is whole. */
#ifndef ROWS_H
#define ROWS_H
#include <stddef.h>
#include <stdint.h>

/* Of one look; pages nobody wrote cost nothing. 20,000 threads of 1.5 KiB, or 100,000 sockets. */
#define ROWS_BYTES_MAX (32u << 20)

struct rows {
	size_t used;     /* bytes of whole rows */
	uint32_t beyond; /* rows that found no room */
	uint32_t pad;
	char bytes[ROWS_BYTES_MAX];
};

/* Appends; n is a multiple of 8. */
void rows_add(struct rows *r, const void *row, size_t n);

/* The whole rows so far, a copy the caller frees, *n bytes; NULL with errno set. */
char *rows_copy(const struct rows *r, size_t *n);

#endif
