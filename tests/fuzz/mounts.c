/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mount tables and names of files that a target made: what comes out is a path, or nothing. The first byte: 'm', then the path
 * inside the file system, a line feed and the table; 'j', then a byte with the number of names, and the names.
 */
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "mounts.h"

#define DEV (8u << 20 | 1)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void table(const char *p, size_t n)
{
	const char *eol = memchr(p, '\n', n);
	char inside[256], to[256];
	size_t len = eol ? (size_t)(eol - p) : n;

	if (!len || len >= sizeof(inside) || *p != '/' || memchr(p, 0, len))
		return;
	memcpy(inside, p, len);
	inside[len] = '\0';
	p += eol ? len + 1 : n;
	n -= eol ? len + 1 : n;
	mounts_root(p, n);
	for (int id = 0; id < 3; id++)
		for (size_t size = 1; size <= sizeof(to); size += 85)
			if (mounts_path(p, n, id, DEV, inside, to, size) == 0 &&
			    (*to != '/' || strlen(to) >= size))
				abort();
}

static void names(const char *p, size_t n)
{
	uint32_t count = (uint8_t)*p;
	char to[300];

	for (size_t size = 1; size <= sizeof(to); size += 13)
		for (int cut = 0; cut < 2; cut++)
			if (files_join(p + 1, n - 1, count, cut, to, size) == 0 &&
			    (*to != (cut ? '.' : '/') || strlen(to) >= size))
				abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	/* a copy of its own: one byte of over-read is seen */
	char *copy = n > 1 ? malloc(n - 1) : NULL;

	if (!copy)
		return 0;
	memcpy(copy, data + 1, n - 1);
	if (*data == 'm')
		table(copy, n - 1);
	else if (*data == 'j')
		names(copy, n - 1);
	free(copy);
	return 0;
}
