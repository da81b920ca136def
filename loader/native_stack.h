/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which native functions threads are in, below those of Python: registers as the task iterator saw them, the stack read from
 * memory, unwound by the rules in the ELF files. Stops nothing. x86-64; arm64 by its ABI, never tried. Frames in the vDSO and in
 * code without rules and frame pointers end a stack (FRAMES_CUT).
 *
 * Reading takes the target's memory map lock and opens its files, either of which may hang: call it where that does no harm
 * (loader/apart.h).
 */
#ifndef NATIVE_STACK_H
#define NATIVE_STACK_H
#include <stddef.h>
#include <stdint.h>
#include "source.h"
#include "state.h"

/* ELF files by device and inode: each is parsed once, whoever runs it. */
struct native_stacks;

/* NULL with errno set. */
struct native_stacks *native_stacks_new(void);
void native_stacks_free(struct native_stacks *s);

/* Emits an EV_FRAMES (FRAMES_NATIVE) for each thread of pid among rows[n] that did not run when its row was made, and an EV_MISSING
 * where that is not all. A thread that has run since is shown as FRAMES_TORN if its stack still has a beginning, else not.
 * end_ns: CLOCK_MONOTONIC, after which no thread is begun. */
void native_stacks_read(struct native_stacks *s, uint32_t pid, const struct snap_thread *rows,
                        size_t n, uint64_t end_ns, event_fn emit, void *ctx);

/* Why this build reads no native frames; NULL: it does. */
const char *native_stacks_without(void);

#endif
