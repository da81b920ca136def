/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One step outwards on a stack: the registers of a function to those of its caller, by the rules its ELF file has for it
 * (DWARF call frame information, read by libdw) or by the frame pointer. Rules and stack are not trusted.
 */
#ifndef NATIVE_STEP_H
#define NATIVE_STEP_H
#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"
#include "state.h"

#define NATIVE_REGS 33 /* DWARF numbers of the general registers: x86-64 0-16, arm64 0-32 */

struct native_regs {
	uint64_t pc;
	uint64_t known; /* bit n: r[n] is known */
	uint64_t r[NATIVE_REGS];
};

enum native_step {
	NATIVE_CALLER,    /* regs are the caller's now */
	NATIVE_OUTERMOST, /* the rules say that nobody called it */
	NATIVE_NO_RULE,   /* no rules for this place */
	NATIVE_BROKEN,    /* the rules, the registers or the stack make no sense */
};

/* One word of the target's memory; false if it cannot be read. */
typedef bool (*native_word_fn)(void *ctx, uint64_t addr, uint64_t *to);

/* As the kernel saved them. */
void native_regs_set(struct native_regs *regs, const struct snap_thread *row);

/* addr: of the instruction, as cfi's file numbers them; for a caller one of the call, which is before regs->pc. signal: whether the
 * function is the kernel's way out of a signal handler, whose caller was not at a call. */
enum native_step native_step_rules(Dwarf_CFI *cfi, uint64_t addr, struct native_regs *regs,
                                   bool *signal, native_word_fn word, void *ctx);

/* For code without rules (made at run time, other compilers): the frame pointer, if what it leads to is a place behind a call. */
enum native_step native_step_pointer(struct native_regs *regs, native_word_fn word, void *ctx);

/* The value of a DWARF expression as call frame information has them; pure. cfa: NULL where there is none yet. False: not a sound
 * one, or with an operation that no such expression needs. in_register: the value is the number of a register. is_value: it is the
 * value itself, else an address where it stands. */
struct native_value {
	uint64_t n;
	bool in_register, is_value;
};
bool native_step_expression(const Dwarf_Op *ops, size_t n, const struct native_regs *regs,
                            const uint64_t *cfa, native_word_fn word, void *ctx,
                            struct native_value *to);

#endif
