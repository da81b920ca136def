/* SPDX-License-Identifier: BSD-2-Clause */
/* DWARF 5, 6.4 (call frames) and 2.5 (expressions); register numbers by the psABI of each machine. */
#include "native_step.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#define EXPRESSION_DEPTH 16 /* values on its stack; a PLT's rule, the longest there is, needs 4 */
#define OPS_MAX 64          /* operations of an expression; there are no loops in ours */
#define FRAME_POINTER_FAR \
	(1 << 20) /* bytes a frame reaches at most when only the frame pointer tells */

#if defined(__aarch64__)
#define REG_SP 31
#define REG_FP 29
#define REG_PC 32
static const uint8_t saved[] = { 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30 };
/* Pointer authentication signs return addresses in the bits above an address. */
#define CODE_BITS ((1ull << 48) - 1)
#else
#define REG_SP 7
#define REG_FP 6
#define REG_PC 16
static const uint8_t saved[] = { 3, 6, 12, 13, 14, 15 };
#define CODE_BITS (~0ull)
#endif
#define SAVED_COUNT (sizeof(saved) / sizeof(saved[0]))
_Static_assert(SAVED_COUNT <= SNAP_SAVED_MAX, "the row has them all");

static void reg_set(struct native_regs *regs, unsigned n, uint64_t value)
{
	regs->r[n] = value;
	regs->known |= 1ull << n;
}

static bool reg_get(const struct native_regs *regs, uint64_t n, uint64_t *to)
{
	if (n >= NATIVE_REGS || !(regs->known >> n & 1))
		return false;
	*to = regs->r[n];
	return true;
}

void native_regs_set(struct native_regs *regs, const struct snap_thread *row)
{
	*regs = (struct native_regs){ .pc = row->ip };
	for (size_t i = 0; i < SAVED_COUNT; i++)
		reg_set(regs, saved[i], row->saved[i]);
	reg_set(regs, REG_SP, row->sp);
	reg_set(regs, REG_PC, row->ip);
}

/* ---- expressions ---- */

struct values {
	uint64_t v[EXPRESSION_DEPTH];
	unsigned n;
};

static bool push(struct values *s, uint64_t v)
{
	if (s->n == EXPRESSION_DEPTH)
		return false;
	s->v[s->n++] = v;
	return true;
}

static bool binary(struct values *s, uint8_t op)
{
	uint64_t a, b, *to;

	if (s->n < 2)
		return false;
	b = s->v[--s->n];
	to = &s->v[s->n - 1];
	a = *to;
	switch (op) {
	case DW_OP_plus:
		*to = a + b;
		break;
	case DW_OP_minus:
		*to = a - b;
		break;
	case DW_OP_mul:
		*to = a * b;
		break;
	case DW_OP_and:
		*to = a & b;
		break;
	case DW_OP_or:
		*to = a | b;
		break;
	case DW_OP_xor:
		*to = a ^ b;
		break;
	case DW_OP_shl:
		*to = b < 64 ? a << b : 0;
		break;
	case DW_OP_shr:
		*to = b < 64 ? a >> b : 0;
		break;
	case DW_OP_eq:
		*to = a == b;
		break;
	case DW_OP_ne:
		*to = a != b;
		break;
	case DW_OP_ge:
		*to = (int64_t)a >= (int64_t)b;
		break;
	case DW_OP_gt:
		*to = (int64_t)a > (int64_t)b;
		break;
	case DW_OP_le:
		*to = (int64_t)a <= (int64_t)b;
		break;
	case DW_OP_lt:
		*to = (int64_t)a < (int64_t)b;
		break;
	default:
		return false;
	}
	return true;
}

struct machine {
	const struct native_regs *regs;
	const uint64_t *cfa;
	native_word_fn word;
	void *ctx;
	struct values s;
};

static bool operate(struct machine *m, const Dwarf_Op *op)
{
	struct values *s = &m->s;
	uint8_t atom = op->atom;
	uint64_t v;

	if (atom >= DW_OP_lit0 && atom <= DW_OP_lit31)
		return push(s, atom - DW_OP_lit0);
	if (atom >= DW_OP_breg0 && atom <= DW_OP_breg31)
		return reg_get(m->regs, atom - DW_OP_breg0, &v) && push(s, v + op->number);
	switch (atom) {
	case DW_OP_bregx:
		return reg_get(m->regs, op->number, &v) && push(s, v + op->number2);
	case DW_OP_const1u:
	case DW_OP_const1s:
	case DW_OP_const2u:
	case DW_OP_const2s:
	case DW_OP_const4u:
	case DW_OP_const4s:
	case DW_OP_const8u:
	case DW_OP_const8s:
	case DW_OP_constu:
	case DW_OP_consts:
		return push(s, op->number);
	case DW_OP_call_frame_cfa:
		return m->cfa && push(s, *m->cfa);
	case DW_OP_dup:
		return s->n && push(s, s->v[s->n - 1]);
	case DW_OP_plus_uconst:
		if (!s->n)
			return false;
		s->v[s->n - 1] += op->number;
		return true;
	case DW_OP_deref:
		return s->n && m->word(m->ctx, s->v[s->n - 1], &s->v[s->n - 1]);
	case DW_OP_nop:
		return true;
	}
	return binary(s, atom);
}

bool native_step_expression(const Dwarf_Op *ops, size_t n, const struct native_regs *regs,
                            const uint64_t *cfa, native_word_fn word, void *ctx,
                            struct native_value *to)
{
	struct machine m = { regs, cfa, word, ctx, { .n = 0 } };

	*to = (struct native_value){ 0 };
	if (!n || n > OPS_MAX)
		return false;
	if (n == 1 && (ops[0].atom == DW_OP_regx ||
	               (ops[0].atom >= DW_OP_reg0 && ops[0].atom <= DW_OP_reg31))) {
		to->in_register = true;
		to->n = ops[0].atom == DW_OP_regx ? ops[0].number
		                                  : (uint64_t)ops[0].atom - DW_OP_reg0;
		return true;
	}
	for (size_t i = 0; i < n; i++) {
		if (ops[i].atom == DW_OP_stack_value && i + 1 == n)
			to->is_value = true;
		else if (!operate(&m, &ops[i]))
			return false;
	}
	if (!m.s.n)
		return false;
	to->n = m.s.v[m.s.n - 1];
	return true;
}

/* ---- rules ---- */

struct step {
	Dwarf_Frame *frame;
	const struct native_regs *regs;
	uint64_t cfa;
	native_word_fn word;
	void *ctx;
};

enum found { FOUND, UNDEFINED, UNREADABLE };

/* What register n was in the caller. */
static enum found caller_reg(const struct step *s, unsigned n, uint64_t *to)
{
	struct native_value v;
	Dwarf_Op mem[3], *ops;
	size_t nops;

	if (dwarf_frame_register(s->frame, (int)n, mem, &ops, &nops))
		return UNREADABLE;
	if (nops == 0 && ops == mem)
		return UNDEFINED;
	if (nops ==
	    0) { /* unchanged; the stack pointer's value before the call is the CFA by definition */
		if (n != REG_SP)
			return reg_get(s->regs, n, to) ? FOUND : UNREADABLE;
		*to = s->cfa;
		return FOUND;
	}
	if (!native_step_expression(ops, nops, s->regs, &s->cfa, s->word, s->ctx, &v))
		return UNREADABLE;
	if (v.in_register)
		return reg_get(s->regs, v.n, to) ? FOUND : UNREADABLE;
	if (!v.is_value && !s->word(s->ctx, v.n, &v.n))
		return UNREADABLE;
	*to = v.n;
	return FOUND;
}

static enum native_step step_frame(struct step *s, struct native_regs *regs, bool *signal)
{
	struct native_regs caller = { 0 };
	struct native_value cfa;
	Dwarf_Op *ops;
	enum found at;
	size_t nops;
	uint64_t v = 0;
	int ra = dwarf_frame_info(s->frame, NULL, NULL, signal);

	if (ra < 0 || ra >= NATIVE_REGS || dwarf_frame_cfa(s->frame, &ops, &nops) ||
	    !native_step_expression(ops, nops, regs, NULL, s->word, s->ctx, &cfa) ||
	    cfa.in_register)
		return NATIVE_BROKEN;
	s->cfa = cfa.n;
	at = caller_reg(s, (unsigned)ra, &v);
	caller.pc = v & CODE_BITS;
	if (at == UNDEFINED || (at == FOUND && !caller.pc))
		return NATIVE_OUTERMOST;
	if (at != FOUND)
		return NATIVE_BROKEN;
	for (size_t i = 0; i < SAVED_COUNT; i++)
		if (caller_reg(s, saved[i], &v) == FOUND)
			reg_set(&caller, saved[i], v);
	if (caller_reg(s, REG_SP, &v) != FOUND)
		return NATIVE_BROKEN;
	reg_set(&caller, REG_SP, v);
	reg_set(&caller, REG_PC, caller.pc);
	if (v == regs->r[REG_SP] && caller.pc == regs->pc)
		return NATIVE_BROKEN; /* a circle */
	*regs = caller;
	return NATIVE_CALLER;
}

enum native_step native_step_rules(Dwarf_CFI *cfi, uint64_t addr, struct native_regs *regs,
                                   bool *signal, native_word_fn word, void *ctx)
{
	struct step s = { .regs = regs, .word = word, .ctx = ctx };
	enum native_step result;

	*signal = false;
	if (!cfi || dwarf_cfi_addrframe(cfi, addr, &s.frame))
		return NATIVE_NO_RULE;
	result = step_frame(&s, regs, signal);
	free(s.frame);
	return result;
}

/* ---- frame pointers ---- */

/* Is there a call just before pc? A value that only happens to lie in code seldom has one. */
static bool behind_call(uint64_t pc, native_word_fn word, void *ctx)
{
	uint64_t before;

	if (pc < sizeof(before) || !word(ctx, pc - sizeof(before), &before))
		return false;
#if defined(__aarch64__)
	before >>= 32; /* Arm ARM C6.2: BL, BLR */
	return before >> 26 == 0x25 || (before & 0xfffffc1f) == 0xd63f0000;
#else
	/* Intel SDM 2, CALL: E8 with 4 bytes, or FF /2 with 0, 1 or 4 bytes behind it and perhaps a SIB byte */
	if ((before >> 24 & 0xff) == 0xe8)
		return true;
	for (unsigned n = 2; n <= 7; n++)
		if ((before >> (64 - 8 * n) & 0xff) == 0xff &&
		    (before >> (72 - 8 * n) & 0x38) == 0x10)
			return true;
	return false;
#endif
}

enum native_step native_step_pointer(struct native_regs *regs, native_word_fn word, void *ctx)
{
	struct native_regs caller = { 0 };
	uint64_t fp, sp, outer;

	if (!reg_get(regs, REG_FP, &fp) || !reg_get(regs, REG_SP, &sp) || fp % 8 || fp < sp ||
	    fp - sp > FRAME_POINTER_FAR || !word(ctx, fp, &outer) || !word(ctx, fp + 8, &caller.pc))
		return NATIVE_BROKEN;
	caller.pc &= CODE_BITS;
	if (!behind_call(caller.pc, word, ctx))
		return NATIVE_BROKEN;
	reg_set(&caller, REG_FP, outer);
	reg_set(&caller, REG_SP, fp + 16);
	reg_set(&caller, REG_PC, caller.pc);
	*regs = caller;
	return NATIVE_CALLER;
}
