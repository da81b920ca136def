/* SPDX-License-Identifier: BSD-2-Clause */
/* Appended first, counted then. */
#include "rows.h"

#include <stdlib.h>
#include <string.h>

void rows_add(struct rows *r, const void *row, size_t n)
{
	if (n > sizeof(r->bytes) - r->used) {
		r->beyond++;
		return;
	}
	memcpy(r->bytes + r->used, row, n);
	__atomic_store_n(&r->used, r->used + n, __ATOMIC_RELEASE);
}

char *rows_copy(const struct rows *r, size_t *n)
{
	char *copy;

	*n = __atomic_load_n(&r->used, __ATOMIC_ACQUIRE);
	copy = malloc(*n + 1); /* NULL means out of memory, not nothing */
	if (copy)
		memcpy(copy, r->bytes, *n);
	return copy;
}
