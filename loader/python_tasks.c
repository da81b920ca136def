/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sys.modules -> asyncio.tasks -> the sets of tasks (up to 3.13), or the lists of an interpreter and its threads (from 3.14
 * on) -> tasks -> coroutines -> the object that each awaits, which lies on top of its frame's stack. Offsets up to 3.13
 * were taken from the interpreters' debugging information.
 */
#include "python_tasks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "procfs.h"
#include "python_reader.h"
#include "python_requests.h"
#include "record.h"

#define TASKS_MAX 2000       /* shown; more in one process are counted, to a limit of ... */
#define TASKS_SEEN_MAX 65536 /* ... these: the rest of a list is not looked at */
#define LOOPS_MAX 64         /* event loops that run at once in a process */
#define CHAIN_MAX 1024 /* objects of an await chain: CPython's own limit on recursion is 1000 */
#define TYPES 256      /* types that are remembered */
#define BASES_MAX 8    /* classes between a task's and asyncio's */
#define STACK_MAX 512  /* frames of a thread looked through for a task's */
#define TRIES 3        /* to catch a task between two moments at which its loop runs */

#define MODULE_DICT 16
#define TYPE_BASE 256
#define LOOP_OF_TASK 16
#define HOLDER_LOOP 16 /* PyRunningLoopHolder.rl_loop */
#define WRAPPED 16     /* of objects that stand for another: its first field */

/* Up to 3.10: of a generator its frame, and up to 3.9 whether it runs; of a frame of 3.10 its state. */
#define GEN_FRAME 16
#define GEN_RUNNING 24
#define FRAME_STATE 108
/* Where a frame's stack ends: a pointer and where it begins (3.8, 3.9), depth and beginning (3.10), an index into its
 * locals (3.11 on), a pointer (3.14 on). */
#define STACK_BEGIN 64
#define STACK_TOP 72
#define STACK_DEPTH 80
#define STACK_AT 64

enum gen_state { GEN_CREATED, GEN_SUSPENDED, GEN_YIELDED, GEN_EXECUTING, GEN_FINISHED };

static const struct task_layout {
	uint8_t minor;
	/* in a task; 14 on: told by asyncio */
	uint16_t state, waiter, coro, name;
	uint8_t frame,
		gen_state; /* in a generator or coroutine: its frame and state, from 3.11 on */
	int8_t suspended, yielded,
		executing; /* values of the state; yielded: awaits nothing; -128 none */
} layouts[] = {
	{ 8, 72, 104, 112, 120, 0, 0, 0, -128, 0 },
	{ 9, 80, 144, 152, 160, 0, 0, 0, -128, 0 },
	{ 10, 88, 152, 160, 168, 0, 0, -1, -128, 0 },
	{ 11, 88, 128, 136, 144, 80, 75, -1, -128, 0 },
	{ 12, 88, 128, 136, 144, 72, 67, -1, -128, 0 },
	{ 13, 96, 112, 120, 128, 72, 67, -1, -2, 0 },
	{ 14, 0, 0, 0, 0, 72, 67, -1, -2, 0 },
	{ 15, 0, 0, 0, 0, 72, 67, 2, 1, 4 },
};
#define LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

/* Section .AsyncioDebug, Modules/_asynciomodule.c: offsets in a task, an interpreter, a thread. */
struct asyncio_debug {
	uint64_t task_size, name, awaited_by, is_task, awaited_by_is_set, coro, node;
	uint64_t interp_size, interp_tasks;
	uint64_t thread_size, loop, task, thread_tasks;
};
#define DEBUG_OFFSET_MAX (1 << 20) /* the largest struct, an interpreter's, has 0.3 MB */
#define TASK_BYTES_MAX 256         /* of a task, read at once */

enum kind { OTHER, COROUTINE, GENERATOR, WRAPPER, FUTURE_ITER, TASK };
static const struct {
	const char *name;
	enum kind kind;
} kinds[] = {
	{ "coroutine", COROUTINE },
	{ "generator", GENERATOR },
	{ "async_generator", COROUTINE },
	{ "coroutine_wrapper", WRAPPER },
	{ "async_generator_asend", WRAPPER },
	{ "async_generator_athrow", WRAPPER },
	{ "anext_awaitable", WRAPPER },
	{ "_asyncio.FutureIter", FUTURE_ITER },
	{ "_asyncio.Task", TASK },
};

struct loop {
	uint64_t addr, tstate;
	uint32_t tid;
};

struct tasks {
	struct python_reader *r;
	const struct task_layout *layout;
	struct task_layout own; /* layout's, from 3.14 on with what asyncio says */
	struct asyncio_debug debug;
	bool told; /* debug is right */
	struct {
		uint64_t type;
		enum kind kind;
	} types[TYPES];
	struct loop loops[LOOPS_MAX];
	size_t nloops;
	uint64_t *seen; /* addresses of tasks, TASKS_SEEN_MAX of them */
	size_t nseen;
	unsigned shown, more, unreadable;
	bool broken, beyond;       /* a list; a limit bit */
	uint64_t chain[CHAIN_MAX]; /* frames, the outermost first */
	unsigned nchain;
	struct python_request request; /* of the task at hand */
	struct record record;
};

/* ---- types ---- */

static enum kind kind_read(uint32_t pid, uint64_t object, uint64_t type)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (python_is_a(pid, object, kinds[i].name))
			return kinds[i].kind;
	/* a class derived from asyncio's: python_is_a() looks at a word that points to a type */
	for (int i = 0; i < BASES_MAX && type; i++) {
		if (python_is_a(pid, type + TYPE_BASE - PYTHON_OB_TYPE, "_asyncio.Task"))
			return TASK;
		if (!python_word(pid, type + TYPE_BASE, &type))
			break;
	}
	return OTHER;
}

static enum kind kind_of(struct tasks *t, uint64_t object)
{
	uint64_t type;
	size_t i;

	if (!python_word(t->r->pid, object + PYTHON_OB_TYPE, &type) || !type)
		return OTHER;
	i = (type >> 4) % TYPES;
	if (t->types[i].type != type) {
		t->types[i].type = type;
		t->types[i].kind = kind_read(t->r->pid, object, type);
	}
	return t->types[i].kind;
}

/* ---- await chains ---- */

static bool int_at(uint32_t pid, uint64_t addr, int32_t *to)
{
	return procfs_memory(pid, addr, to, sizeof(*to)) == 0;
}

static enum gen_state state_named(const struct task_layout *l, int8_t state)
{
	if (state == l->executing)
		return GEN_EXECUTING;
	if (state == l->suspended || (l->minor >= 15 && state == l->suspended + 1)) /* locked */
		return GEN_SUSPENDED;
	if (state == l->yielded)
		return GEN_YIELDED;
	return state < l->suspended ? GEN_CREATED : GEN_FINISHED;
}

/* The frame of a coroutine or generator, and what it does; false: unreadable. */
static bool gen_read(struct tasks *t, uint64_t gen, uint64_t *frame, enum gen_state *state)
{
	const struct task_layout *l = t->layout;
	uint32_t pid = t->r->pid;
	int32_t lasti;
	int8_t value;

	*frame = gen + l->frame;
	if (!l->frame && !python_word(pid, gen + GEN_FRAME, frame))
		return false;
	if (!*frame) {
		*state = GEN_FINISHED;
		return true;
	}
	if (l->minor >= 10) {
		if (procfs_memory(pid, l->minor == 10 ? *frame + FRAME_STATE : gen + l->gen_state,
		                  &value, 1))
			return false;
		*state = state_named(l, value);
		return true;
	}
	if (procfs_memory(pid, gen + GEN_RUNNING, &value, 1) ||
	    !int_at(pid, *frame + t->r->layout.instruction, &lasti))
		return false;
	*state = value ? GEN_EXECUTING : lasti < 0 ? GEN_CREATED : GEN_SUSPENDED;
	return true;
}

/* Where a frame's stack ends, 0: it is empty. False: unreadable. */
static bool stack_end(struct tasks *t, uint64_t frame, uint64_t *end)
{
	const struct python_layout *l = &t->r->layout;
	uint32_t pid = t->r->pid;
	uint64_t begin = 0, code, names;
	int64_t nlocals;
	int32_t n;

	if (l->minor <= 10) {
		if (!python_word(pid, frame + STACK_BEGIN, &begin))
			return false;
		if (l->minor < 10)
			return python_word(pid, frame + STACK_TOP, end) &&
			       (*end = *end > begin ? *end : 0, true);
		if (!int_at(pid, frame + STACK_DEPTH, &n))
			return false;
		*end = n > 0 ? begin + (uint64_t)n * 8 : 0;
		return true;
	}
	if (!python_word(pid, frame + l->code, &code) ||
	    !python_word(pid, (code & ~3ull) + l->names, &names))
		return false;
	nlocals = python_tuple_size(pid, names);
	if (nlocals < 0)
		return false;
	begin = frame + l->locals + (uint64_t)nlocals * 8;
	if (l->minor >= 14) {
		if (!python_word(pid, frame + STACK_AT, end))
			return false;
	} else {
		if (!int_at(pid, frame + STACK_AT, &n))
			return false;
		*end = n > 0 ? frame + l->locals + (uint64_t)n * 8 : 0;
	}
	*end = *end > begin ? *end : 0;
	return true;
}

/* What a suspended coroutine awaits, 0 nothing. False: unreadable. */
static bool awaited(struct tasks *t, uint64_t frame, uint64_t *to)
{
	uint64_t end, back = t->r->layout.minor >= 15 ? 16 : 8; /* 3.15 keeps a number above it */

	*to = 0;
	if (!stack_end(t, frame, &end))
		return false;
	if (!end)
		return true;
	if (!python_word(t->r->pid, end - back, to))
		return false;
	*to = (*to & 3) == 3 ? 0 : *to & ~3ull; /* from 3.14 on: a number; a tag */
	return true;
}

/* A chain from a task's coroutine on. */
struct end {
	uint64_t object; /* at its end, 0 none */
	bool running;
};

/* One link: the next object, 0 at the end. False: unreadable. */
static bool chain_step(struct tasks *t, uint64_t *at, struct end *e)
{
	enum kind kind = kind_of(t, *at);
	enum gen_state state;
	uint64_t frame, next;

	if (kind == WRAPPER)
		return python_word(t->r->pid, *at + WRAPPED, at);
	if (kind != COROUTINE && kind != GENERATOR) {
		e->object = *at;
		if (kind == FUTURE_ITER && !python_word(t->r->pid, *at + WRAPPED, &e->object))
			return false;
		*at = 0;
		return true;
	}
	if (!gen_read(t, *at, &frame, &state))
		return false;
	*at = 0;
	if (state == GEN_FINISHED)
		return true;
	t->chain[t->nchain++] = frame;
	e->running = state == GEN_EXECUTING;
	if (state != GEN_SUSPENDED)
		return true;
	if (!awaited(t, frame, &next))
		return false;
	/* a plain generator's stack may hold something else, where its state does not tell (up to 3.12) */
	if (next && (kind == COROUTINE || t->layout->yielded != -128 || kind_of(t, next) != OTHER))
		*at = next;
	return true;
}

static bool chain_read(struct tasks *t, uint64_t coro, struct end *e)
{
	unsigned steps = 0;

	*e = (struct end){ 0 };
	t->nchain = 0;
	for (uint64_t at = coro; at; steps++)
		if (steps == CHAIN_MAX || !chain_step(t, &at, e))
			return false;
	return true;
}

/* The frames of a task that runs: its thread's, from the innermost out to the task's own. False: not among them. */
static bool chain_of_thread(struct tasks *t, const struct loop *l)
{
	uint64_t own = t->nchain ? t->chain[0] : 0, inner[STACK_MAX], at;
	uint8_t frame[PYTHON_FRAME_BYTES_MAX];
	unsigned n = 0;

	if (!own || !python_reader_innermost(t->r, l->tstate, &at))
		return false;
	for (unsigned i = 0; at && i < STACK_MAX; i++, at = python_frame_previous(t->r, frame)) {
		if (!python_reader_frame(t->r, at, frame))
			return false;
		if (!python_frame_is_shim(t->r, frame))
			inner[n++] = at;
		if (at == own)
			break;
	}
	if (at != own)
		return false;
	t->nchain = n;
	for (unsigned i = 0; i < n; i++)
		t->chain[n - 1 - i] = inner[i];
	return true;
}

/* ---- the record of a task ---- */

static void add_name(struct tasks *t, struct event *e, uint64_t name)
{
	char text[PYTHON_UTF8_MAX];
	uint32_t number;
	int n = -1;

	if (python_is_a(t->r->pid, name, "str"))
		n = python_text(t->r->pid, t->r->shape, name, false, text);
	else if (python_int(t->r->pid, t->r->shape, name, &number)) /* not made up yet */
		n = snprintf(text, sizeof(text), "Task-%" PRIu32, number);
	record_add(e, text, n > 0 ? (size_t)n : 0);
	record_add(e, "", 1);
}

/* False: one of them is unreadable. */
static bool add_frames(struct tasks *t, struct ev_task *e)
{
	uint8_t frame[PYTHON_FRAME_BYTES_MAX];
	char line[2 * PYTHON_UTF8_MAX + 16];

	for (unsigned i = t->nchain; i-- > 0;) {
		const struct python_code *code;
		int n;

		if (!python_reader_frame(t->r, t->chain[i], frame))
			return false;
		code = python_frame_code(t->r, frame);
		if (!code)
			return false;
		n = python_frame_put(t->r, code, frame, line, sizeof(line));
		if (n < 0 || (size_t)n > EVENT_SIZE_MAX - e->h.size) {
			e->flags |= FRAMES_CUT;
			break;
		}
		record_add(&e->h, line, (size_t)n);
		python_request_frame(t->r, &t->request, code, t->chain[i]);
	}
	return true;
}

static const struct loop *loop_of(const struct tasks *t, uint64_t loop)
{
	for (size_t i = 0; i < t->nloops; i++)
		if (t->loops[i].addr == loop)
			return &t->loops[i];
	return NULL;
}

enum task_state { PENDING, NOT_PENDING, NO_TASK };

/* Its fields in one read; bytes: up to the end of the last. */
static enum task_state task_fields(struct tasks *t, uint64_t task, uint64_t *loop, uint64_t *waiter,
                                   uint64_t *coro, uint64_t *name)
{
	const struct task_layout *l = t->layout;
	uint8_t bytes[TASK_BYTES_MAX];
	uint32_t state;
	size_t n = (l->coro > l->name ? l->coro : l->name) + 8u;

	n = n < l->state + sizeof(state) ? l->state + sizeof(state) : n;
	if (kind_of(t, task) != TASK || procfs_memory(t->r->pid, task, bytes, n))
		return NO_TASK;
	memcpy(&state, bytes + l->state, sizeof(state));
	memcpy(loop, bytes + LOOP_OF_TASK, 8);
	memcpy(coro, bytes + l->coro, 8);
	memcpy(name, bytes + l->name, 8);
	*waiter = 0;
	if (l->waiter)
		memcpy(waiter, bytes + l->waiter, 8);
	return state ? NOT_PENDING : PENDING;
}

/* Makes the record. NO_TASK: unreadable. */
static enum task_state task_try(struct tasks *t, uint64_t task)
{
	uint64_t loop, waiter, coro, name;
	enum task_state state = task_fields(t, task, &loop, &waiter, &coro, &name);
	const struct loop *l;
	struct ev_task *e;
	char type[64] = "";
	struct end end;

	if (state != PENDING)
		return state;
	l = loop_of(t, loop);
	e = record_begin(&t->record, EV_TASK, sizeof(*e), t->r->pid, l ? l->tid : 0);
	e->task = task;
	python_request_begin(&t->request);
	if (!chain_read(t, coro, &end))
		return NO_TASK;
	if (end.running) {
		e->flags |= FRAMES_RUNNING;
		if (!l || !chain_of_thread(t, l))
			e->flags |= FRAMES_CUT | FRAMES_TORN;
	} else if (end.object || waiter) {
		python_type_name(t->r->pid, end.object ? end.object : waiter, type, sizeof(type));
	}
	add_name(t, &e->h, name);
	record_add_word(&e->h, type);
	return add_frames(t, e) ? PENDING : NO_TASK;
}

/* Between two looks at the thread that runs its loop, if one does. */
static enum task_state task_between(struct tasks *t, uint64_t task, bool *torn)
{
	struct ev_task *e = (struct ev_task *)t->record.room;
	struct python_look before, after;
	const struct loop *l = NULL;
	enum task_state state;
	uint64_t loop;

	if (python_word(t->r->pid, task + LOOP_OF_TASK, &loop))
		l = loop_of(t, loop);
	if (l)
		python_look(t->r->pid, l->tid, &before);
	state = task_try(t, task);
	if (l) {
		python_look(t->r->pid, l->tid, &after);
		*torn = python_looks_differ(&before, &after);
	} else {
		*torn = state == PENDING && e->h.tid; /* it came to that loop only now */
	}
	return state;
}

static void task_read(struct tasks *t, uint64_t task)
{
	struct ev_task *e = (struct ev_task *)t->record.room;
	enum task_state state = NO_TASK;
	bool torn = true;

	for (int i = 0; i < TRIES && torn; i++)
		state = task_between(t, task, &torn);
	if (state != PENDING) {
		t->unreadable += state == NO_TASK;
		return;
	}
	if (t->shown == TASKS_MAX) {
		t->more++;
		return;
	}
	t->shown++;
	if (torn)
		e->flags |= FRAMES_TORN;
	t->r->emit(t->r->ctx, &e->h);
	/* of a task that runs, its thread's is the same */
	if (!(e->flags & (FRAMES_TORN | FRAMES_RUNNING)))
		python_request_emit(t->r, &t->request, e->h.tid, task);
}

/* ---- the lists of tasks ---- */

static void task_see(void *ctx, uint64_t task)
{
	struct tasks *t = ctx;

	if (t->nseen == TASKS_SEEN_MAX)
		t->beyond = true;
	else
		t->seen[t->nseen++] = task;
}

/* Up to 3.13: sets in the module. */
static void module_see(struct tasks *t, uint64_t interp)
{
	static const char *const names[] = { "_all_tasks", "_scheduled_tasks", "_eager_tasks" };
	uint64_t modules, module, dict, set;
	uint32_t pid = t->r->pid;
	bool any = false;

	if (!python_word(pid, interp + t->r->runtime.modules, &modules) ||
	    !python_dict_find(pid, t->r->shape, modules, "asyncio.tasks", &module))
		return; /* it does not use asyncio */
	if (!python_is_a(pid, module, "module") || !python_word(pid, module + MODULE_DICT, &dict)) {
		t->broken = true;
		return;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (python_dict_find(pid, t->r->shape, dict, names[i], &set) &&
		    python_set_each(pid, t->r->shape, set, task_see, t))
			any = true;
	t->broken = t->broken || !any;
}

/* From 3.14 on: a list that ends where it began; head and nodes begin with the pointer to the next. */
static void list_see(struct tasks *t, uint64_t head)
{
	uint64_t node;

	if (!python_word(t->r->pid, head, &node)) {
		t->broken = true;
		return;
	}
	for (unsigned n = 0; node && node != head; n++) {
		if (n == TASKS_SEEN_MAX) {
			t->beyond = true;
			return;
		}
		task_see(t, node - t->debug.node);
		if (!python_word(t->r->pid, node, &node)) {
			t->broken = true;
			return;
		}
	}
}

/* ---- event loops ---- */

/* The loop that runs on a thread, 0 none. */
static uint64_t running_loop(struct tasks *t, uint64_t tstate)
{
	const struct python_runtime *run = &t->r->runtime;
	uint32_t pid = t->r->pid;
	uint64_t at = 0;

	if (t->told)
		return python_word(pid, tstate + t->debug.loop, &at) ? at : 0;
	if (run->loop)
		return python_word(pid, tstate + run->loop, &at) ? at : 0;
	if (!python_word(pid, tstate + run->dict, &at) || !at ||
	    !python_dict_find(pid, t->r->shape, at, "__asyncio_running_event_loop__", &at))
		return 0;
	return !run->holder || python_word(pid, at + HOLDER_LOOP, &at) ? at : 0;
}

static void tstate_see(void *ctx, const struct python_tstate *s)
{
	struct tasks *t = ctx;
	struct loop l = { .tstate = s->addr, .tid = s->tid };

	if (!s->addr) { /* an interpreter */
		if (t->told)
			list_see(t, s->interp + t->debug.interp_tasks);
		else
			module_see(t, s->interp);
		return;
	}
	if (t->told)
		list_see(t, s->addr + t->debug.thread_tasks);
	l.addr = s->tid ? running_loop(t, s->addr) : 0;
	if (!l.addr)
		return;
	if (t->nloops < LOOPS_MAX)
		t->loops[t->nloops++] = l;
	else
		t->beyond = true;
}

/* ---- the process ---- */

/* From 3.14 on. What does not fit together is not read. */
static bool debug_read(struct tasks *t)
{
	struct asyncio_debug *d = &t->debug;
	const uint64_t *words = (const uint64_t *)d;

	if (procfs_memory(t->r->pid, t->r->runtime.asyncio_debug, d, sizeof(*d)))
		return false;
	for (size_t i = 0; i < sizeof(*d) / sizeof(*words); i++)
		if (words[i] > DEBUG_OFFSET_MAX || words[i] % (i == 3 || i == 4 ? 1 : 8))
			return false;
	/* FutureObj_HEAD: awaited_by, then the state, an int, then is_task and awaited_by_is_set */
	if (d->task_size > TASK_BYTES_MAX || d->is_task != d->awaited_by + 12 ||
	    d->awaited_by_is_set != d->is_task + 1 || d->awaited_by_is_set >= d->task_size ||
	    d->name + 8 > d->task_size || d->coro + 8 > d->task_size ||
	    d->node + 16 > d->task_size || d->interp_tasks >= d->interp_size ||
	    d->thread_tasks >= d->thread_size)
		return false;
	t->own = *t->layout;
	t->own.state = (uint16_t)(d->awaited_by + 8);
	t->own.coro = (uint16_t)d->coro;
	t->own.name = (uint16_t)d->name;
	t->layout = &t->own;
	t->told = true;
	return true;
}

static bool layout_find(struct tasks *t)
{
	for (size_t i = 0; i < LAYOUTS; i++)
		if (layouts[i].minor == t->r->layout.minor)
			t->layout = &layouts[i];
	return t->layout && (t->layout->state || debug_read(t));
}

static int address_order(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Each once: an eager one may be in two sets. */
static void tasks_emit(struct tasks *t)
{
	qsort(t->seen, t->nseen, sizeof(*t->seen), address_order);
	for (size_t i = 0; i < t->nseen; i++)
		if (!i || t->seen[i] != t->seen[i - 1])
			task_read(t, t->seen[i]);
}

static void missing_emit(struct tasks *t)
{
	char why[256];
	int n = 0;

	if (t->broken)
		n += snprintf(why + n, sizeof(why) - (size_t)n,
		              "a list of asyncio tasks could not be read to its end; ");
	if (t->more)
		n += snprintf(why + n, sizeof(why) - (size_t)n,
		              "%u more asyncio tasks than the %d shown; ", t->more, TASKS_MAX);
	if (t->beyond)
		n += snprintf(why + n, sizeof(why) - (size_t)n,
		              "there are more asyncio tasks or event loops than are looked at; ");
	if (t->unreadable)
		n += snprintf(why + n, sizeof(why) - (size_t)n,
		              "%u asyncio tasks could not be read; ", t->unreadable);
	if (n < 2)
		return;
	why[n - 2] = '\0';
	t->r->emit(t->r->ctx, record_missing(&t->record, t->r->pid, "tasks", why));
}

static void missing_layout(struct tasks *t)
{
	char why[128];

	snprintf(why, sizeof(why),
	         "asyncio of CPython 3.%" PRIu32 " does not say where it keeps them",
	         t->r->layout.minor);
	t->r->emit(t->r->ctx, record_missing(&t->record, t->r->pid, "tasks", why));
}

void python_tasks_read(uint32_t pid, const struct python_runtime *runtime,
                       const struct python_thread *threads, size_t n, event_fn emit, void *ctx)
{
	struct tasks *t = calloc(1, sizeof(*t));
	bool known;

	if (!t)
		return;
	t->seen = calloc(TASKS_SEEN_MAX, sizeof(*t->seen));
	t->r = python_reader_new(pid, runtime, threads, n, emit, ctx, &known);
	if (t->seen && t->r && layout_find(t)) {
		if (!python_reader_threads(t->r, tstate_see, t))
			t->broken = true;
		tasks_emit(t);
		missing_emit(t);
	} else if (t->r && t->layout && runtime->asyncio_debug) {
		missing_layout(t);
	}
	python_reader_free(t->r);
	free(t->seen);
	free(t);
}
