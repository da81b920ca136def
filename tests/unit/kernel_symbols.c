/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of kernel functions by addresses inside them. */
#include "kernel_symbols.h"
#include "test.h"

static const char text[] = "0000000000001000 T first\n0000000000001000 t alias\n"
			   "0000000000001800 d data\n0000000000002000 t second\n"
			   "ffffffffc0000000 t late\t[module]\n0000000000001400 T between\n"
			   "zzz\n\n5\n0000000000003000 W weak\nffffffffc0001000 T last";

static struct kernel_symbols s;

static bool is(uint64_t addr, const char *name)
{
	return strcmp(kernel_symbols_name(&s, addr), name) == 0;
}

static void scan_in_two(size_t at)
{
	char *copy = guarded(text, sizeof(text) - 1);
	size_t used = kernel_symbols_scan(&s, copy, at, false);

	kernel_symbols_scan(&s, copy + used, sizeof(text) - 1 - used, true);
	guarded_free(copy, sizeof(text) - 1);
}

int main(void)
{
	static const uint64_t addresses[] = { 0x2fff,
		                              0x1000,
		                              0x13ff,
		                              0x1400,
		                              0xfff,
		                              0x1900,
		                              0xffffffffc0000010,
		                              0xffffffffc0001000,
		                              0x1400 };
	unsigned right = 0;

	TEST("an address has the name of the nearest function at or below it, however the text "
	     "comes");
	for (size_t at = 0; at <= sizeof(text) - 1; at++) {
		for (size_t i = 0; i < sizeof(addresses) / sizeof(*addresses); i++)
			kernel_symbols_want(&s, addresses[i]);
		scan_in_two(at);
		right += s.n == 8 && is(0x2fff, "second") && is(0x1000, "first") &&
		         is(0x13ff, "first") && is(0x1400, "between") && is(0x1900, "between") &&
		         is(0xffffffffc0000010, "late") && is(0xffffffffc0001000, "last");
		right += is(0xfff, "?") && is(0x1234, "?");
		kernel_symbols_free(&s);
	}
	CHECK(right == 2 * sizeof(text));

	TEST("those asked for later do not lose the earlier ones");
	kernel_symbols_want(&s, 0x1001);
	scan_in_two(0);
	kernel_symbols_want(&s, 0x1000);
	kernel_symbols_want(&s, 0x2001);
	scan_in_two(0);
	CHECK(is(0x1001, "first") && is(0x1000, "first") && is(0x2001, "second"));
	kernel_symbols_free(&s);
	return DONE();
}
