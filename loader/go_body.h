/* SPDX-License-Identifier: BSD-2-Clause */
/* A Go function's instructions: where it returns, and whether its arguments are where we would look for them. */
#ifndef GO_BODY_H
#define GO_BODY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Returns of one function; the largest seen of those we look at had 30. More: it is not read. */
#define GO_RETS_MAX 96

struct go_body {
	bool registers; /* the goroutine is in a register, and so are arguments (Go 1.17 and later) */
	bool kept; /* the first three arguments are written once to their places in the caller's frame, before anything is called */
	size_t nrets;
	uint32_t rets[GO_RETS_MAX]; /* offsets from the function's beginning */
};

/* Reads code[n], a whole function of this machine's kind. 0; -EILSEQ: it has something that is no instruction; -E2BIG: too many
 * returns; -ENOTSUP: built without a disassembler, or not for this machine. */
int go_body_read(const uint8_t *code, size_t n, struct go_body *to);

#endif
