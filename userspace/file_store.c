/* SPDX-License-Identifier: BSD-2-Clause */
#include "file_store.h"

static bool ends(struct bytes b, const char *s)
{
	size_t n = strlen(s);

	return b.n > n && memcmp(b.p + b.n - n, s, n) == 0;
}

struct bytes file_store_path(struct bytes path)
{
	static const char *const companions[] = { "-wal", "-shm", "-journal" };
	static const char *const names[] = { ".sqlite", ".sqlite3", ".db", ".db3", ".duckdb" };
	static const struct bytes none = { NULL, 0 };

	if (!path.n || path.p[0] != '/')
		return none;
	for (size_t i = 0; i < sizeof(companions) / sizeof(companions[0]); i++) {
		if (ends(path, companions[i])) {
			path.n -= strlen(companions[i]);
			break;
		}
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (ends(path, names[i]))
			return path;
	return none;
}
