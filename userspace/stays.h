/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Since which snapshot a thread is in the same functions at the same lines, its process having written nothing: over one
 * snapshot after the other, for two may find a loop at the same line by chance. evidence.c keeps them.
 */
#ifndef STAYS_H
#define STAYS_H
#include "evidence.h"

/* So many functions of a thread are its place. */
#define STAY_FRAMES 6

struct stays;

struct stays *stays_new(void); /* NULL: out of memory */
void stays_free(struct stays *s);
/* The newest snapshot of e is complete. Without memory all that was known is forgotten. */
void stays_update(struct stays *s, const struct evidence *e);
/* Of a thread with Python frames; NULL: it has none, or there was no memory. */
const struct stay *stays_find(const struct stays *s, uint32_t pid, uint32_t tid);
/* End of the first snapshot with frames, 0 there was none. */
uint64_t stays_first(const struct stays *s);
#endif
