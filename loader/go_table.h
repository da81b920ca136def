/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of functions that every Go program carries for its own tracebacks (pclntab): names and places, also when it was
 * stripped. Layout: Go's debug/gosym/pclntab.go and internal/abi/symtab.go.
 */
#ifndef GO_TABLE_H
#define GO_TABLE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A view of a table; its bytes stay the caller's, and are not trusted: they may be cut, or lie. */
struct go_table {
	const uint8_t *p;
	size_t n;
	uint64_t functions;    /* how many */
	size_t names, entries; /* where in p names begin, and the sorted list of functions */
	uint64_t text; /* address that places are told from; 0: not told here, or to be relocated */
	size_t text_at; /* where in p that address stands; 0: places are addresses (to Go 1.17) */
};

struct go_function {
	uint64_t start, end; /* addresses; both 0: not found */
};

/* Bytes of a table's beginning that are looked at to see whether it is one. */
#define GO_TABLE_HEADER 72

/* Does a table of a kind we read begin at p? */
bool go_table_begins(const uint8_t *p, size_t n);
/* 0; -ENOENT: no table of a kind we read begins there (those of before Go 1.16, of 32 bits); -EBADMSG: it says of itself what
 * cannot be. */
int go_table_open(struct go_table *t, const uint8_t *p, size_t n);
/* Looks names[n] up; returns how many were found. */
size_t go_table_find(const struct go_table *t, const char *const *names, size_t n,
                     struct go_function *functions);

#endif
