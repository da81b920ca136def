/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * With Capstone. Go's compilers put no data between a function's instructions, so reading them one after the other finds all.
 * A function begins by comparing its stack pointer with the goroutine's limit, which lies 16 bytes into it: so the code
 * itself says which register has the goroutine. A first jump leads to where the stack is made larger, and from there back to
 * the beginning. Then it makes its frame, once for all of its body.
 */
#include "go_body.h"

#include <capstone/capstone.h>
#include <errno.h>
#include <string.h>

#define PROLOGUE_MAX 6 /* instructions within which the limit is compared */
#define GO_LIMIT 16    /* runtime.g.stackguard0 */
#define ARGUMENTS 3

struct reading {
	struct go_body *to;
	size_t seen; /* instructions */
	bool called;
	size_t jumps;
	uint64_t growth; /* where the first one leads: there the frame is not made yet; 0 unknown */
	int64_t frame;   /* bytes from the stack pointer to the return address */
	unsigned
		writes[ARGUMENTS]; /* to the argument's place: by the prologue from its register, */
	bool spoilt;               /* ... and by whatever else */
};

#if defined(__x86_64__)
#define ARCH CS_ARCH_X86
#define MODE CS_MODE_64

static void limit_look(struct reading *r, const cs_insn *i)
{
	const cs_x86 *x = &i->detail->x86;

	for (uint8_t k = 0; k < x->op_count; k++)
		r->to->registers |= x->operands[k].type == X86_OP_MEM &&
		                    x->operands[k].mem.base == X86_REG_R14 &&
		                    x->operands[k].mem.disp == GO_LIMIT;
}

static uint64_t jump_target(const cs_insn *i)
{
	const cs_x86_op *to = &i->detail->x86.operands[0];

	return i->detail->x86.op_count == 1 && to->type == X86_OP_IMM ? (uint64_t)to->imm : 0;
}

/* Pushes and a subtraction make the frame (SUBQ $128 is written as ADDQ $-128); the body leaves the stack pointer alone. */
static void frame_look(struct reading *r, const cs_insn *i)
{
	const cs_x86 *x = &i->detail->x86;
	bool sub = i->id == X86_INS_SUB;

	if (r->called)
		return;
	if (i->id == X86_INS_PUSH)
		r->frame += 8;
	if ((!sub && i->id != X86_INS_ADD) || x->op_count != 2 ||
	    x->operands[0].type != X86_OP_REG || x->operands[0].reg != X86_REG_RSP)
		return;
	if (x->operands[1].type != X86_OP_IMM || sub != (x->operands[1].imm > 0))
		r->spoilt = true; /* unmade before anything was called: which way was taken? */
	else
		r->frame += sub ? x->operands[1].imm : -x->operands[1].imm;
}

/* The places of the arguments are above the return address, in the order of their registers. */
static void store_look(struct reading *r, const cs_insn *i)
{
	static const x86_reg registers[ARGUMENTS] = { X86_REG_RAX, X86_REG_RBX, X86_REG_RCX };
	const cs_x86 *x = &i->detail->x86;
	const cs_x86_op *to = &x->operands[i->id == X86_INS_LEA];
	int64_t at;

	if (x->op_count == 0 || to->type != X86_OP_MEM || to->mem.base != X86_REG_RSP ||
	    (i->id != X86_INS_LEA && !(to->access & CS_AC_WRITE)))
		return;
	at = to->mem.disp - r->frame - 8;
	if (at + to->size <= 0 || at >= 8 * ARGUMENTS)
		return;
	if (!r->called && r->jumps <= 1 && i->id == X86_INS_MOV && to->size == 8 && at % 8 == 0 &&
	    to->mem.index == X86_REG_INVALID && x->operands[1].type == X86_OP_REG &&
	    x->operands[1].reg == (unsigned)registers[at / 8])
		r->writes[at / 8]++;
	else
		r->spoilt = true;
}
#elif defined(__aarch64__)
#define ARCH CS_ARCH_ARM64
#define MODE CS_MODE_LITTLE_ENDIAN

static void limit_look(struct reading *r, const cs_insn *i)
{
	const cs_arm64 *x = &i->detail->arm64;

	for (uint8_t k = 0; k < x->op_count; k++)
		r->to->registers |= x->operands[k].type == ARM64_OP_MEM &&
		                    x->operands[k].mem.base == ARM64_REG_X28 &&
		                    x->operands[k].mem.disp == GO_LIMIT;
}

static uint64_t jump_target(const cs_insn *i)
{
	(void)i;
	return 0;
}

/* Where it keeps its arguments is not looked for there: they are not taken to be kept. */
static void frame_look(struct reading *r, const cs_insn *i)
{
	(void)i;
	r->spoilt = true;
}

static void store_look(struct reading *r, const cs_insn *i)
{
	(void)r;
	(void)i;
}
#endif

/* 0 or -errno. */
static int instruction_look(struct reading *r, csh cs, const cs_insn *i)
{
	if (r->seen++ < PROLOGUE_MAX)
		limit_look(r, i);
	frame_look(r, i);
	if (!r->growth || i->address < r->growth)
		store_look(r, i);
	r->called |= cs_insn_group(cs, i, CS_GRP_CALL);
	if (cs_insn_group(cs, i, CS_GRP_JUMP) && r->jumps++ == 0)
		r->growth = jump_target(i);
	if (!cs_insn_group(cs, i, CS_GRP_RET))
		return 0;
	if (r->to->nrets == GO_RETS_MAX)
		return -E2BIG;
	r->to->rets[r->to->nrets++] = (uint32_t)i->address;
	return 0;
}

static int body_read(csh cs, struct reading *r, const uint8_t *code, size_t n)
{
	cs_insn *i = cs_malloc(cs);
	uint64_t address = 0;
	int err = i ? 0 : -ENOMEM;

	while (!err && n && cs_disasm_iter(cs, &code, &n, &address, i))
		err = instruction_look(r, cs, i);
	if (i)
		cs_free(i, 1);
	return err ? err : n ? -EILSEQ : 0;
}

int go_body_read(const uint8_t *code, size_t n, struct go_body *to)
{
	struct reading r = { .to = to };
	csh cs;
	int err;

	memset(to, 0, sizeof(*to));
	if (cs_open(ARCH, MODE, &cs) != CS_ERR_OK)
		return -ENOTSUP;
	cs_option(cs, CS_OPT_DETAIL, CS_OPT_ON);
	err = body_read(cs, &r, code, n);
	cs_close(&cs);
	to->kept = !r.spoilt;
	for (size_t k = 0; k < ARGUMENTS; k++)
		to->kept &= r.writes[k] == 1;
	return err;
}
