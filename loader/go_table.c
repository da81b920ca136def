/* SPDX-License-Identifier: BSD-2-Clause */
/* Two layouts: of Go 1.16 and 1.17, where places are addresses of 8 bytes, and from 1.18 on (1.20 but for its mark the same): 4
 * bytes from where code begins. */
#include "go_table.h"

#include <errno.h>
#include <string.h>

#define MAGIC_116 0xfffffffau
#define MAGIC_118 0xfffffff0u
#define MAGIC_120 0xfffffff1u
#define FUNCTIONS_MAX (1u << 24) /* of a program; the largest known have a few 100,000 */

static uint32_t u32_at(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t u64_at(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

bool go_table_begins(const uint8_t *p, size_t n)
{
	uint32_t magic = n >= 8 ? u32_at(p) : 0;

	/* then two zeros, the least size of an instruction, the size of a pointer */
	return (magic == MAGIC_116 || magic == MAGIC_118 || magic == MAGIC_120) && p[4] == 0 &&
	       p[5] == 0 && (p[6] == 1 || p[6] == 4) && p[7] == 8;
}

static size_t entry_size(const struct go_table *t)
{
	return t->text_at ? 4 : 8;
}

int go_table_open(struct go_table *t, const uint8_t *p, size_t n)
{
	struct go_table fresh = { .p = p, .n = n };
	uint64_t names, entries;
	bool relative;

	if (!go_table_begins(p, n))
		return -ENOENT;
	if (n < GO_TABLE_HEADER)
		return -EBADMSG;
	relative = u32_at(p) != MAGIC_116;
	fresh.functions = u64_at(p + 8);
	fresh.text_at = relative ? 24 : 0;
	fresh.text = relative ? u64_at(p + 24) : 0;
	names = u64_at(p + (relative ? 32 : 24));
	entries = u64_at(p + (relative ? 64 : 56));
	if (fresh.functions == 0 || fresh.functions > FUNCTIONS_MAX || names >= n || entries >= n ||
	    n - entries < (2 * fresh.functions + 1) * entry_size(&fresh))
		return -EBADMSG;
	fresh.names = names;
	fresh.entries = entries;
	*t = fresh;
	return 0;
}

/* Word k of the list: a function's place, what is known of it (from the list's beginning), the next one's place, ... */
static uint64_t entry_word(const struct go_table *t, uint64_t k)
{
	const uint8_t *p = t->p + t->entries + k * entry_size(t);

	return t->text_at ? u32_at(p) : u64_at(p);
}

/* Where in the table function i's name begins; 0: nowhere. What is known of a function begins with its place and its name. */
static size_t name_at(const struct go_table *t, uint64_t i)
{
	uint64_t about = entry_word(t, 2 * i + 1), room = t->n - t->entries;
	size_t size = entry_size(t);
	uint32_t name;

	if (about > room || room - about < size + 4)
		return 0;
	name = u32_at(t->p + t->entries + about + size);
	return name < t->n - t->names ? t->names + name : 0;
}

static bool is_named(const struct go_table *t, size_t at, const char *name, size_t len)
{
	return t->n - at > len && memcmp(t->p + at, name, len + 1) == 0;
}

size_t go_table_find(const struct go_table *t, const char *const *names, size_t n,
                     struct go_function *functions)
{
	size_t found = 0;

	memset(functions, 0, n * sizeof(*functions));
	for (uint64_t i = 0; i < t->functions && found < n; i++) {
		size_t at = name_at(t, i);

		for (size_t k = 0; at && k < n; k++) {
			uint64_t start = entry_word(t, 2 * i), end = entry_word(t, 2 * i + 2);

			if (functions[k].end || start >= end ||
			    !is_named(t, at, names[k], strlen(names[k])))
				continue;
			functions[k] = (struct go_function){ t->text + start, t->text + end };
			found++;
		}
	}
	return found;
}
