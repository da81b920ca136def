/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of kernel functions by addresses inside them, from /proc/kallsyms: only those asked for are kept. */
#ifndef KERNEL_SYMBOLS_H
#define KERNEL_SYMBOLS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kernel_symbol {
	uint64_t addr;  /* asked for */
	uint64_t begin; /* of the function, 0 not found */
	char name[48];
};

/* Begin with zeroes. */
struct kernel_symbols {
	struct kernel_symbol *list; /* by address */
	size_t n, room;
	bool asked; /* there are new ones */
};

/* Notes an address. Those that find no memory have no name. */
void kernel_symbols_want(struct kernel_symbols *s, uint64_t addr);
/* Finds the names of all noted since the last time, in one pass over the file: some 50 ms, nearly all of them the kernel's;
 * nothing when all are known. */
void kernel_symbols_read(struct kernel_symbols *s);
/* The same from a text; last: nothing follows it. Bytes used: what is left is the beginning of a line. */
size_t kernel_symbols_scan(struct kernel_symbols *s, const char *text, size_t n, bool last);
/* "?" where it has none. */
const char *kernel_symbols_name(const struct kernel_symbols *s, uint64_t addr);

void kernel_symbols_free(struct kernel_symbols *s);

#endif
