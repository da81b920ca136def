/* SPDX-License-Identifier: BSD-2-Clause */
/* Go's table of functions, made here in both layouts, from unreadable pages on: cut at every offset, with counts that lie. */
#include "go_table.h"

#include <errno.h>
#include <string.h>

#include "test.h"

#define TEXT 0x401000u
#define NAMES_AT 96
#define ENTRIES_AT 256
#define ROOM 512

static const char *const wanted[] = { "crypto/tls.(*Conn).Read", "crypto/tls.(*Conn).Write" };
static const char *const all[] = { "main.main", "crypto/tls.(*Conn).Write", "runtime.goexit",
	                           "crypto/tls.(*Conn).Read", "crypto/tls.(*Conn).Reader" };
#define N 5

struct table {
	uint8_t p[ROOM];
	size_t n;
};

static void put(struct table *t, size_t at, uint64_t v, size_t size)
{
	memcpy(t->p + at, &v,
	       size); /* the least significant bytes: tests run where the tables are from */
	if (t->n < at + size)
		t->n = at + size;
}

/* Function i begins at TEXT + 64 * i. */
static struct table table_make(uint32_t magic)
{
	bool old = magic == 0xfffffffau;
	size_t word = old ? 8 : 4, about = (2 * N + 1) * word, name = 1;
	struct table t = { .n = 0 };

	put(&t, 0, magic, 4);
	put(&t, 6, 1, 1);
	put(&t, 7, 8, 1);
	put(&t, 8, N, 8);
	put(&t, old ? 24 : 32, NAMES_AT, 8);
	put(&t, old ? 56 : 64, ENTRIES_AT, 8);
	if (!old)
		put(&t, 24, TEXT, 8);
	for (size_t i = 0; i <= N; i++) {
		uint64_t at = 64 * i + (old ? TEXT : 0);

		put(&t, ENTRIES_AT + 2 * i * word, at, word);
		if (i == N)
			break;
		put(&t, ENTRIES_AT + (2 * i + 1) * word, about, word);
		put(&t, ENTRIES_AT + about, at, word);
		put(&t, ENTRIES_AT + about + word, name, 4);
		memcpy(t.p + NAMES_AT + name, all[i], strlen(all[i]) + 1);
		name += strlen(all[i]) + 1;
		about += word + 8;
	}
	return t;
}

/* How many of the wanted are found in the first n bytes; f is theirs. */
static size_t find(const struct table *t, size_t n, struct go_function *f)
{
	char *copy = guarded(t->p, n);
	struct go_table table;
	size_t found = 0;

	memset(f, 0, 2 * sizeof(*f));
	if (go_table_open(&table, (const uint8_t *)copy, n) == 0)
		found = go_table_find(&table, wanted, 2, f);
	guarded_free(copy, n);
	return found;
}

static void reads_each_layout(void)
{
	static const uint32_t magics[] = { 0xfffffffau, 0xfffffff0u, 0xfffffff1u };

	TEST("both functions are found, with their ends, in the tables of Go 1.16, 1.18 and 1.20");
	for (size_t i = 0; i < 3; i++) {
		struct table t = table_make(magics[i]);
		struct go_function f[2];

		CHECK(find(&t, t.n, f) == 2);
		CHECK(f[0].start == TEXT + 64 * 3 && f[0].end == TEXT + 64 * 4);
		CHECK(f[1].start == TEXT + 64 * 1 && f[1].end == TEXT + 64 * 2);
	}
}

static void cut_anywhere(void)
{
	static const uint32_t magics[] = { 0xfffffffau, 0xfffffff1u };

	TEST("a table that is cut anywhere is read as far as it goes, and never further");
	for (size_t i = 0; i < 2; i++) {
		struct table t = table_make(magics[i]);
		struct go_function f[2];
		size_t before = 0, n = 0;

		for (; n <= t.n; n++) {
			size_t found = find(&t, n, f);

			if (found < before || found > 2)
				break;
			before = found;
		}
		CHECK(n == t.n + 1 && before == 2);
	}
}

static void lies(void)
{
	static const size_t fields[] = { 8, 24, 32, 56, 64 };
	struct go_function f[2];
	struct go_table table;
	bool fine = true;

	TEST("counts and places that lie are refused, or lead nowhere");
	for (size_t i = 0; i < 5; i++) {
		for (unsigned bit = 0; bit < 64; bit++) {
			struct table t = table_make(0xfffffff1u), old = table_make(0xfffffffau);

			t.p[fields[i] + bit / 8] ^= (uint8_t)(1 << bit % 8);
			old.p[fields[i] + bit / 8] ^= (uint8_t)(1 << bit % 8);
			fine &= find(&t, t.n, f) <= 2 && find(&old, old.n, f) <= 2;
		}
	}
	for (size_t at = ENTRIES_AT; at < ROOM - 8; at++) {
		struct table t = table_make(0xfffffff1u), old = table_make(0xfffffffau);

		memset(t.p + at, 0xff, 4);
		memset(old.p + at, 0xff, 4);
		fine &= find(&t, t.n, f) <= 2 && find(&old, old.n, f) <= 2;
	}
	CHECK(fine);
	struct table t = table_make(0xfffffff1u);

	put(&t, 8, UINT64_MAX, 8);
	CHECK(go_table_open(&table, t.p, t.n) == -EBADMSG);
	put(&t, 8, 0, 8);
	CHECK(go_table_open(&table, t.p, t.n) == -EBADMSG);
	put(&t, 8, UINT64_MAX / 8 + 2, 8); /* times its size it is small again */
	CHECK(go_table_open(&table, t.p, t.n) == -EBADMSG);
}

static void others(void)
{
	struct table t = table_make(0xfffffffbu);
	struct go_table table;

	TEST("tables of other versions and other machines are none");
	CHECK(go_table_open(&table, t.p, t.n) == -ENOENT);
	t = table_make(0xfffffff1u);
	t.p[7] = 4;
	CHECK(go_table_open(&table, t.p, t.n) == -ENOENT);
	t = table_make(0xf1ffffffu);
	CHECK(go_table_open(&table, t.p, t.n) == -ENOENT);
}

int main(void)
{
	reads_each_layout();
	cut_anywhere();
	lies();
	others();
	return DONE();
}
