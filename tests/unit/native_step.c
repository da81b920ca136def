/* SPDX-License-Identifier: BSD-2-Clause */
/* Steps outwards on a stack: expressions, and frame pointers that lie. */
#include <dwarf.h>
#include <stdint.h>

#include "native_step.h"
#include "test.h"

#define BASE 0x10000
#define WORDS 64
static uint64_t memory[WORDS];

static bool word(void *ctx, uint64_t addr, uint64_t *to)
{
	(void)ctx;
	if (addr < BASE || addr > BASE + sizeof(memory) - 8)
		return false;
	memcpy(to, (const char *)memory + (addr - BASE), sizeof(*to));
	return true;
}

static bool evaluate(const Dwarf_Op *ops, size_t n, const uint64_t *cfa, struct native_value *v)
{
	struct native_regs regs = { .known = 1 << 3, .r = { [3] = BASE } };

	return native_step_expression(ops, n, &regs, cfa, word, NULL, v);
}
#define EVALUATE(cfa, ...)                      \
	evaluate((const Dwarf_Op[])__VA_ARGS__, \
	         sizeof((const Dwarf_Op[])__VA_ARGS__) / sizeof(Dwarf_Op), cfa, &v)

#if defined(__x86_64__)
static struct native_regs at(uint64_t fp, uint64_t sp)
{
	struct snap_thread row = { .sp = sp, .ip = 1, .saved = { [1] = fp } };
	struct native_regs regs;

	native_regs_set(&regs, &row);
	return regs;
}

static void test_pointers(void)
{
	struct native_regs regs = at(BASE + 64, BASE);

	memory[8] = BASE + 128;     /* the caller's frame pointer ... */
	memory[9] = BASE + 256;     /* ... and where it goes on */
	memory[31] = 0xe8ull << 24; /* a call before it */
	TEST("a frame pointer leads to the place behind a call");
	CHECK(native_step_pointer(&regs, word, NULL) == NATIVE_CALLER && regs.pc == BASE + 256 &&
	      regs.r[6] == BASE + 128 && regs.r[7] == BASE + 80);

	TEST("a place that is not behind a call is no caller");
	memory[31] = 0;
	regs = at(BASE + 64, BASE);
	CHECK(native_step_pointer(&regs, word, NULL) == NATIVE_BROKEN);
	memory[31] = 0xd0ffull << 48; /* call *%rax */
	CHECK(native_step_pointer(&regs, word, NULL) == NATIVE_CALLER);

	TEST("a frame pointer that leads inwards, too far, nowhere or aside is none");
	regs = at(BASE + 64, BASE + 72);
	CHECK(native_step_pointer(&regs, word, NULL) == NATIVE_BROKEN);
	regs = at(BASE + (2 << 20), BASE);
	CHECK(native_step_pointer(&regs, word, NULL) == NATIVE_BROKEN);
	regs = at(BASE + 65, BASE);
	CHECK(native_step_pointer(&regs, word, NULL) == NATIVE_BROKEN);
	regs = at(UINT64_MAX - 7, UINT64_MAX - 15);
	CHECK(native_step_pointer(&regs, word, NULL) == NATIVE_BROKEN);
}
#endif

int main(void)
{
	struct native_value v;
	Dwarf_Op many[65];
	uint64_t cfa = BASE + 16;

	memory[1] = 42;
	TEST("an expression gives an address, a value or a register");
	CHECK(EVALUATE(NULL, { { .atom = DW_OP_breg3, .number = 8 } }) && v.n == BASE + 8 &&
	      !v.is_value);
	CHECK(EVALUATE(&cfa, { { .atom = DW_OP_call_frame_cfa },
	                       { .atom = DW_OP_plus_uconst, .number = 8 },
	                       { .atom = DW_OP_stack_value } }) &&
	      v.n == BASE + 24 && v.is_value);
	CHECK(EVALUATE(NULL, { { .atom = DW_OP_regx, .number = 5 } }) && v.in_register && v.n == 5);
	CHECK(EVALUATE(NULL, { { .atom = DW_OP_breg3, .number = 8 }, { .atom = DW_OP_deref } }) &&
	      v.n == 42);

	TEST("a PLT's rule: which of two instructions it stands at");
	CHECK(EVALUATE(NULL, { { .atom = DW_OP_breg3, .number = 8 },
	                       { .atom = DW_OP_const1u, .number = 0x1b },
	                       { .atom = DW_OP_lit15 },
	                       { .atom = DW_OP_and },
	                       { .atom = DW_OP_lit11 },
	                       { .atom = DW_OP_ge },
	                       { .atom = DW_OP_lit3 },
	                       { .atom = DW_OP_shl },
	                       { .atom = DW_OP_plus } }) &&
	      v.n == BASE + 16);

	TEST("what has no value is refused");
	CHECK(!EVALUATE(NULL, { { .atom = DW_OP_call_frame_cfa } }));
	CHECK(!EVALUATE(NULL, { { .atom = DW_OP_breg5 } }));
	CHECK(!EVALUATE(NULL, { { .atom = DW_OP_bregx, .number = 1ull << 40 } }));
	CHECK(!EVALUATE(NULL, { { .atom = DW_OP_lit1 }, { .atom = DW_OP_plus } }));
	CHECK(!EVALUATE(NULL, { { .atom = DW_OP_lit1 }, { .atom = DW_OP_deref } }));
	CHECK(!EVALUATE(NULL, { { .atom = DW_OP_lit1 }, { .atom = DW_OP_skip } }));
	CHECK(!EVALUATE(NULL, { { .atom = DW_OP_stack_value } }));
	CHECK(EVALUATE(NULL, { { .atom = DW_OP_lit1 },
	                       { .atom = DW_OP_const1u, .number = 200 },
	                       { .atom = DW_OP_shl } }) &&
	      v.n == 0);

	TEST("an expression that is too deep or too long is refused");
	for (size_t i = 0; i < 65; i++)
		many[i] = (Dwarf_Op){ .atom = i % 2 ? DW_OP_plus : DW_OP_dup };
	many[0].atom = DW_OP_lit1;
	CHECK(!evaluate(many, 0, NULL, &v));
	CHECK(!evaluate(many, 65, NULL, &v));
	for (size_t i = 0; i < 17; i++)
		many[i].atom = DW_OP_lit1;
	CHECK(evaluate(many, 16, NULL, &v) && !evaluate(many, 17, NULL, &v));
#if defined(__x86_64__)
	test_pointers();
#endif
	return DONE();
}
