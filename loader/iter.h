/* SPDX-License-Identifier: BSD-2-Clause */
/* What an iterator program writes, as a whole. */
#ifndef ITER_H
#define ITER_H
#include <stddef.h>

struct bpf_link;

/* All rows in one buffer, which the caller frees, *n bytes. NULL with errno set. */
char *iter_read(struct bpf_link *link, size_t *n);

#endif
