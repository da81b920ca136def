/* SPDX-License-Identifier: BSD-2-Clause */
/* An asyncio made of plain memory, our own, which is read as a target's is: right, broken and hostile. */
#include "python_tasks.h"

#include <sys/mman.h>

#include "evidence.h"
#include "recording.h"
#include "test.h"

/* As CPython 3.12 on x86-64 lays things out; the offsets are those of its headers. Where tests/fuzz/python_tasks.c has it,
 * so that a copy of it can be an input there. */
#define AT 0x5a5a00000000ull
#define RUNTIME 0x0
#define INTERP 0x100
#define MODULES 0x600 /* dicts, each with its keys 0x40 behind it */
#define NAMES 0x700
#define MODULE 0x800
#define SET 0x840
#define TABLE 0x880
#define TASK 0xa00
#define CORO 0xb00   /* main() awaits ... */
#define INNER 0xc00  /* ... inner(), which awaits ... */
#define ITER 0xd00   /* ... a FutureIter over ... */
#define FUTURE 0xd40 /* ... this */
#define CODE 0xe00
#define CODE2 0xf00
#define LINES 0x1000
#define LOCALS 0x1040 /* an empty tuple */
#define TYPES 0x1100  /* 0x40 each; their names 0x800 behind them */
#define TEXTS 0x1a00  /* 0x40 each */
#define WORLD 0x2000

enum type {
	T_DICT,
	T_MODULE,
	T_SET,
	T_TASK,
	T_CORO,
	T_ITER,
	T_FUTURE,
	T_CODE,
	T_TUPLE,
	T_STR,
	T_INT
};
static const char *const type_names[] = { "dict",
	                                  "module",
	                                  "set",
	                                  "_asyncio.Task",
	                                  "coroutine",
	                                  "_asyncio.FutureIter",
	                                  "_asyncio.Future",
	                                  "code",
	                                  "tuple",
	                                  "str",
	                                  "int" };
enum text { S_MODULE, S_SET, S_NAME, S_MAIN, S_INNER, S_FILE };
static const char *const texts[] = { "asyncio.tasks", "_scheduled_tasks", "turn", "main",
	                             "inner",         "main.py" };

static char *m;

#define PUT(at, value) (*(uint64_t *)(m + (at)) = (uint64_t)(value))
#define PUT32(at, value) (*(uint32_t *)(m + (at)) = (uint32_t)(value))
#define LINK(at, to) PUT(at, AT + (to))
#define TEXT(i) (TEXTS + 0x40 * (i))

static void typed(uint32_t object, enum type type)
{
	LINK(object + 8, TYPES + 0x40 * type);
}

/* One key and its value. */
static void dict_make(uint32_t at, enum text key, uint32_t value)
{
	typed(at, T_DICT);
	PUT(at + 16, 1);
	LINK(at + 32, at + 0x40);
	m[at + 0x40 + 8] = m[at + 0x40 + 9] = 3;
	m[at + 0x40 + 10] = 1;
	PUT(at + 0x40 + 24, 1);
	LINK(at + 0x40 + 40, TEXT(key));
	LINK(at + 0x40 + 48, value);
}

static void code_make(uint32_t at, enum text name)
{
	typed(at, T_CODE);
	PUT32(at + 68, 1);
	LINK(at + 96, LOCALS);
	LINK(at + 112, TEXT(S_FILE));
	LINK(at + 128, TEXT(name));
	LINK(at + 136, LINES);
}

/* Suspended; its stack has one object. */
static void coro_make(uint32_t at, uint32_t code, uint32_t awaits)
{
	typed(at, T_CORO);
	m[at + 67] = -1;
	LINK(at + 72, code);
	LINK(at + 72 + 56, code + 192);
	PUT32(at + 72 + 64, 1);
	LINK(at + 72 + 72, awaits);
}

static void world_make(void)
{
	memset(m, 0, WORLD);
	for (size_t i = 0; i < sizeof(type_names) / sizeof(*type_names); i++) {
		LINK(TYPES + 0x40 * i + 24, TYPES + 0x40 * i + 32);
		strcpy(m + TYPES + 0x40 * i + 32, type_names[i]);
	}
	for (uint32_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		typed(TEXT(i), T_STR);
		PUT(TEXT(i) + 16, strlen(texts[i]));
		PUT32(TEXT(i) + 32, 1 << 6 | 1 << 5 | 1 << 2);
		memcpy(m + TEXT(i) + 40, texts[i], strlen(texts[i]));
	}
	LINK(RUNTIME + 40, INTERP);
	LINK(INTERP + 944, MODULES);
	dict_make(MODULES, S_MODULE, MODULE);
	typed(MODULE, T_MODULE);
	LINK(MODULE + 16, NAMES);
	dict_make(NAMES, S_SET, SET);
	typed(SET, T_SET);
	PUT(SET + 32, 7);
	LINK(SET + 40, TABLE);
	LINK(TABLE + 16, TASK);
	PUT(TABLE + 24, 5);
	typed(TASK, T_TASK);
	LINK(TASK + 136, CORO);
	LINK(TASK + 144, TEXT(S_NAME));
	coro_make(CORO, CODE, INNER);
	coro_make(INNER, CODE2, ITER);
	typed(ITER, T_ITER);
	LINK(ITER + 16, FUTURE);
	typed(FUTURE, T_FUTURE);
	code_make(CODE, S_MAIN);
	code_make(CODE2, S_INNER);
	PUT(LINES + 16, 2);
	memcpy(m + LINES + 32, "\xe8\x04", 2); /* an instruction, 2 lines down */
	typed(LOCALS, T_TUPLE);
}

static struct {
	char text[4096], missing[512];
	uint32_t flags;
	unsigned n;
} got;

static void take(void *ctx, const struct event *e)
{
	(void)ctx;
	if (event_check(e, e->size) || e->pid != (uint32_t)getpid())
		abort();
	if (e->type == EV_TASK) {
		const struct ev_task *t = (const void *)e;
		struct task_text x = task_text(t);

		snprintf(got.text, sizeof(got.text), "%.*s|%.*s|%.*s", (int)x.name.n, x.name.p,
		         (int)x.awaits.n, x.awaits.p, (int)x.frames.n, x.frames.p);
		got.flags = t->flags;
		got.n++;
	} else if (e->type == EV_MISSING) {
		struct missing_text x = missing_text((const void *)e);

		snprintf(got.missing, sizeof(got.missing), "%.*s", (int)x.why.n, x.why.p);
	}
}

static void read_it(void)
{
	struct python_runtime runtime = { .addr = AT,
		                          .minor = 12,
		                          .head = 40,
		                          .threads = 72,
		                          .thread_id = 136,
		                          .modules = 944,
		                          .dict = 112 };

	memset(&got, 0, sizeof(got));
	python_tasks_read((uint32_t)getpid(), &runtime, NULL, 0, take, NULL);
}

#define FRAMES "inner\tmain.py\t3\nmain\tmain.py\t3\n"

static void test_right(void)
{
	TEST("a task's name, what it awaits, and its functions, innermost first");
	world_make();
	read_it();
	CHECK(got.n == 1 && strcmp(got.text, "turn|Future|" FRAMES) == 0 && got.flags == 0);
	CHECK(!*got.missing);

	TEST("a task that is done, or was cancelled, is not shown, and nothing is missing");
	for (int state = 1; state <= 2; state++) {
		world_make();
		PUT32(TASK + 88, state);
		read_it();
		CHECK(got.n == 0 && !*got.missing);
	}

	TEST("one that has not begun awaits nothing");
	world_make();
	m[CORO + 67] = -2;
	read_it();
	CHECK(strcmp(got.text, "turn||main\tmain.py\t3\n") == 0);

	TEST("one whose coroutine has ended has no functions");
	world_make();
	m[CORO + 67] = 1;
	read_it();
	CHECK(strcmp(got.text, "turn||") == 0);

	TEST("a name that was not made up yet is its number");
	world_make();
	typed(FUTURE, T_INT);
	PUT(FUTURE + 16, 1 << 3);
	PUT32(FUTURE + 24, 77);
	LINK(TASK + 144, FUTURE);
	read_it();
	CHECK(strcmp(got.text, "Task-77|int|" FRAMES) == 0);

	TEST("one that runs is marked; where its thread is not known the rest of it is missing");
	world_make();
	m[INNER + 67] = 0;
	read_it();
	CHECK(got.flags == (FRAMES_RUNNING | FRAMES_CUT | FRAMES_TORN));

	TEST("what is in the set and is no task is told");
	world_make();
	PUT(TYPES + 0x40 * T_TASK + 32, 0x6b736154); /* "Task" */
	read_it();
	CHECK(got.n == 0 && strstr(got.missing, "1 asyncio tasks could not be read"));

	TEST("a process that does not import asyncio has no tasks, and none are missing");
	world_make();
	m[TEXT(S_MODULE) + 40] = 'A';
	read_it();
	CHECK(got.n == 0 && !*got.missing);
}

/* Each pointer once 1, once wild, once into nothing: it is told, and no task is made up. */
static void test_hostile(void)
{
	static const uint64_t values[] = { 1, 0xffffffffffffffff, 0xdead0000beef, 4096 };
	static const uint32_t pointers[] = { RUNTIME + 40, INTERP + 72, MODULE + 16, NAMES + 32,
		                             SET + 40,     TABLE + 16,  TASK + 136,  CORO + 72 + 72,
		                             CORO + 72,    INNER + 8,   ITER + 16 };
	unsigned told;

	TEST("a pointer that lies costs the tasks it leads to");
	for (size_t i = 0; i < sizeof(pointers) / sizeof(*pointers); i++) {
		told = 0;
		for (int k = 0; k < 4; k++) {
			world_make();
			PUT(pointers[i], values[k]);
			read_it();
			told += *got.missing || strcmp(got.text, "turn|Future|" FRAMES) != 0;
		}
		CHECK(told == 4);
	}

	TEST("a chain that is a circle ends, and its task is said to be missing");
	world_make();
	LINK(INNER + 72 + 72, CORO);
	read_it();
	CHECK(got.n == 0 && strstr(got.missing, "1 asyncio tasks could not be read"));

	TEST("whichever byte is another one, reading ends");
	for (uint32_t i = 0; i < WORLD; i++) {
		world_make();
		m[i] = (char)~m[i];
		read_it();
	}
	CHECK(got.n <= 1);
}

int main(void)
{
	m = mmap((void *)AT, 65536, PROT_READ | PROT_WRITE,
	         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (m == MAP_FAILED)
		return 1;
	test_right();
	test_hostile();
	return DONE();
}
