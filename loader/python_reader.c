/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * interpreters -> PyThreadStates -> frames -> code objects. Offsets up to 3.12 were taken with offsetof() against each
 * version's own headers; one layout holds for all releases of a minor version.
 */
#include "python_reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "procfs.h"

#define INTERPRETERS_MAX 16  /* more than any program has */
#define TSTATES_MAX 4096     /* Python threads of an interpreter; as many as are shown of a run */
#define LINE_TABLE_MAX 65536 /* bytes of a function's line table that are looked through */
#define CODE_UNIT 2          /* bytes of an instruction, which 3.10 counts in */
#define PROBES 8             /* places at which a function may be remembered */
#define CODE_BYTES_MAX \
	256 /* read in one piece: beyond the last field wanted there may be nothing */

/* struct _gil_runtime_state, in all versions: python_stack.c reads it. */
#define GIL_HOLDER 8
#define GIL_LOCKED 16

/* enum _frameowner: from here on no function's frame, but one that C code stands behind */
#define OWNER_SHIM 3

static const struct python_layout layouts[] = {
	{ 8, 1152, 24, -1, 24, 32, 104, 0, 360, 104, 112, 40, 120, 0, 72, LINES_INCREMENTS },
	{ 9, 352, 24, -1, 24, 32, 104, 0, 360, 104, 112, 40, 120, 0, 72, LINES_INCREMENTS },
	{ 10, 352, 24, -1, 24, 32, 96, 0, 352, 104, 112, 40, 120, 0, 72, LINES_RANGES },
	{ 11, 360, 56, 8, 48, 32, 56, 0, 72, 112, 128, 72, 136, 184, 96, LINES_ENTRIES },
	{ 12, 384, 56, 0, 8, 0, 56, 70, 72, 112, 128, 68, 136, 192, 96, LINES_ENTRIES },
};
#define LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

/* Which word of _Py_DebugOffsets tells it (Include/internal/pycore_debug_offsets.h, in 3.13 pycore_runtime.h). */
#define DEBUG_WORDS_MAX 111
static const struct debug_index {
	uint8_t minor, words;
	uint8_t head, next, threads;                    /* of interpreters */
	uint8_t gil, gil_locked, gil_holder, gil_start; /* the latter ones in an interpreter */
	uint8_t thread_next, thread_interp, frame, thread_id; /* of a PyThreadState */
	uint8_t previous, code, instruction, locals, owner;   /* of a frame */
	uint8_t file, name, lines, first, names, bytecode;    /* of a code object */
	uint8_t type, type_name, items, bytes_text;           /* of objects */
	uint8_t str_state, str_length, ascii;                 /* of a str; compact is 16 more */
} indices[] = {
	{ 13, 73, 5,  8,  9,  14, 17, 18, 15, 21, 22, 23, 24, 29, 30, 31,
	  32, 33, 35, 37, 38, 39, 41, 43, 45, 47, 51, 66, 68, 69, 70 },
	{ 14, 95, 5,  8,  9,  15, 18, 19, 16, 24, 25, 26, 27, 32, 33, 34,
	  35, 36, 40, 42, 43, 44, 46, 48, 51, 53, 57, 76, 78, 79, 80 },
	{ 15, 111, 5,  8,  9,  15, 18, 19, 16, 24, 25, 26, 30, 40, 41, 42,
	  43, 44,  48, 50, 51, 52, 54, 56, 59, 61, 69, 88, 90, 91, 92 },
};
#define INDICES (sizeof(indices) / sizeof(indices[0]))
#define DEBUG_OFFSET_MAX (1 << 20) /* the largest struct, an interpreter's, has 0.3 MB */

/* ---- where things are ---- */

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* Do objects, and the lists of threads, look as they do in all versions read here? */
static bool debug_usual(const struct python_shape *s, const struct debug_index *x,
                        const uint64_t *w)
{
	return w[x->type] == PYTHON_OB_TYPE && w[x->type_name] == PYTHON_TYPE_NAME &&
	       w[x->bytes_text] == PYTHON_BYTES_TEXT && w[x->items] == s->items &&
	       w[x->ascii] == s->ascii && w[x->str_state] == PYTHON_STR_STATE &&
	       w[x->str_length] == PYTHON_STR_LENGTH && w[x->thread_next] == PYTHON_TSTATE_NEXT &&
	       w[x->thread_interp] == PYTHON_TSTATE_INTERP &&
	       w[x->gil_holder] - w[x->gil_start] == GIL_HOLDER &&
	       w[x->gil_locked] - w[x->gil_start] == GIL_LOCKED;
}

/* From 3.13 on. A build that keeps things elsewhere than is read here is refused. */
static bool layout_from_debug(struct python_reader *r, const struct debug_index *x)
{
	uint64_t w[DEBUG_WORDS_MAX];

	if (procfs_memory(r->pid, r->runtime.addr, w, x->words * sizeof(*w)) ||
	    memcmp(w, "xdebugpy", 8) != 0 || w[1] >> 16 != (3u << 8 | x->minor) || w[2] ||
	    !debug_usual(r->shape, x, w))
		return false;
	for (uint8_t i = 3; i < x->words; i++)
		if (w[i] > DEBUG_OFFSET_MAX)
			return false;
	r->runtime.head = (uint32_t)w[x->head];
	r->runtime.next = (uint32_t)w[x->next];
	r->runtime.threads = (uint32_t)w[x->threads];
	r->runtime.thread_id = (uint32_t)w[x->thread_id];
	r->layout = (struct python_layout){ .minor = x->minor,
		                            .gil = (uint32_t)w[x->gil],
		                            .frame = (uint32_t)w[x->frame],
		                            .cframe = -1,
		                            .previous = (uint32_t)w[x->previous],
		                            .code = (uint32_t)w[x->code],
		                            .instruction = (uint32_t)w[x->instruction],
		                            .owner = (uint32_t)w[x->owner],
		                            .locals = (uint32_t)w[x->locals],
		                            .names = (uint32_t)w[x->names],
		                            .file = (uint32_t)w[x->file],
		                            .name = (uint32_t)w[x->name],
		                            .first = (uint32_t)w[x->first],
		                            .lines = (uint32_t)w[x->lines],
		                            .bytecode = (uint32_t)w[x->bytecode],
		                            .kind = LINES_ENTRIES };
	return true;
}

static bool layout_find(struct python_reader *r)
{
	uint32_t minor = r->runtime.minor;

	r->shape = python_shape(minor);
	if (r->runtime.free_threaded || !r->shape)
		return false;
	for (size_t i = 0; i < INDICES; i++)
		if (indices[i].minor == minor)
			return layout_from_debug(r, &indices[i]);
	for (size_t i = 0; i < LAYOUTS && r->runtime.head; i++) {
		if (layouts[i].minor == minor) {
			r->layout = layouts[i];
			return true;
		}
	}
	return false;
}

/* False if the layout does not fit what we read with it. */
static bool reader_sizes(struct python_reader *r)
{
	const struct python_layout *l = &r->layout;

	r->frame_bytes = larger(larger(l->previous, l->code), l->instruction) + 8;
	r->frame_bytes = larger(r->frame_bytes, l->owner + 1);
	r->code_bytes =
		larger(larger(l->file, l->name), larger(larger(l->first, l->lines), l->names)) + 8;
	return r->frame_bytes <= PYTHON_FRAME_BYTES_MAX && r->code_bytes <= CODE_BYTES_MAX;
}

static uint64_t word_in(const uint8_t *bytes, uint32_t at)
{
	uint64_t word;

	memcpy(&word, bytes + at, sizeof(word));
	return word;
}

static int32_t int_in(const uint8_t *bytes, uint32_t at)
{
	int32_t i;

	memcpy(&i, bytes + at, sizeof(i));
	return i;
}

/* ---- threads ---- */

static uint32_t tid_of(const struct python_reader *r, uint64_t self)
{
	for (size_t i = 0; self && i < r->n; i++)
		if (r->threads[i].self == self)
			return r->threads[i].tid;
	return 0;
}

/* False: the list ends in memory that is no PyThreadState. */
static bool interpreter_threads(struct python_reader *r, uint64_t interp, uint64_t gil,
                                void (*fn)(void *ctx, const struct python_tstate *t), void *ctx)
{
	struct python_tstate t = { .interp = interp, .gil = gil };
	uint64_t at, owner;

	fn(ctx, &t);
	if (!python_word(r->pid, interp + r->runtime.threads, &at))
		return false;
	for (int n = 0; at; n++) {
		if (n == TSTATES_MAX) {
			r->beyond = true;
			break;
		}
		t.addr = at;
		if (!python_word(r->pid, at + PYTHON_TSTATE_INTERP, &owner) || owner != interp ||
		    !python_word(r->pid, at + r->runtime.thread_id, &t.self))
			return false;
		t.tid = tid_of(r, t.self);
		fn(ctx, &t);
		if (!python_word(r->pid, at + PYTHON_TSTATE_NEXT, &at))
			return false;
	}
	return true;
}

bool python_reader_threads(struct python_reader *r,
                           void (*fn)(void *ctx, const struct python_tstate *t), void *ctx)
{
	const struct python_layout *l = &r->layout;
	uint64_t interp, gil;

	if (!python_word(r->pid, r->runtime.addr + r->runtime.head, &interp))
		return false;
	for (int n = 0; interp; n++) {
		if (n == INTERPRETERS_MAX) {
			r->beyond = true;
			break;
		}
		gil = r->runtime.addr + l->gil;
		if (l->minor >= 12 && !python_word(r->pid, interp + l->gil, &gil))
			return false;
		if (!interpreter_threads(r, interp, gil, fn, ctx) ||
		    !python_word(r->pid, interp + r->runtime.next, &interp))
			return false;
	}
	return true;
}

/* ---- functions ---- */

static bool is_code(struct python_reader *r, uint64_t object)
{
	uint64_t type;

	if (!object || !python_word(r->pid, object + PYTHON_OB_TYPE, &type) || !type)
		return false;
	if (type != r->code_type && python_is_a(r->pid, object, "code"))
		r->code_type = type;
	return type == r->code_type;
}

static void code_forget(struct python_code *c)
{
	free(c->name);
	free(c->file);
	free(c->table);
	*c = (struct python_code){ 0 };
}

/* Where it is, or belongs: at the first of some places if all are taken by others. */
static struct python_code *code_slot(struct python_reader *r, uint64_t addr)
{
	size_t home = (addr >> 4) * 0x9e3779b97f4a7c15ull >> 52;
	struct python_code *c;

	for (size_t i = 0; i < PROBES; i++) {
		c = &r->codes[(home + i) % PYTHON_CODES];
		if (c->addr == addr || !c->addr)
			return c;
	}
	c = &r->codes[home % PYTHON_CODES];
	code_forget(c);
	return c;
}

/* A text of the code object; NULL unreadable. */
static char *code_text(const struct python_reader *r, uint64_t str, bool tail, uint16_t *n)
{
	char text[PYTHON_UTF8_MAX], *copy;
	int len = python_text(r->pid, r->shape, str, tail, text);

	copy = len < 0 ? NULL : malloc((size_t)len + 1);
	if (copy) {
		memcpy(copy, text, (size_t)len);
		*n = (uint16_t)len;
	}
	return copy;
}

/* Without it the line stays unknown. */
static void code_table(const struct python_reader *r, uint64_t table, struct python_code *c)
{
	uint64_t size;

	if (!python_word(r->pid, table + PYTHON_OB_SIZE, &size))
		return;
	/* one cut short still tells the lines up to there */
	size = size < LINE_TABLE_MAX ? size : LINE_TABLE_MAX;
	c->table = malloc(size ? size : 1);
	if (c->table && procfs_memory(r->pid, table + PYTHON_BYTES_TEXT, c->table, size)) {
		free(c->table);
		c->table = NULL;
	}
	c->ntable = (uint32_t)size;
}

static bool code_read(struct python_reader *r, uint64_t addr, struct python_code *c)
{
	const struct python_layout *l = &r->layout;
	uint8_t bytes[CODE_BYTES_MAX];

	if (!is_code(r, addr) || procfs_memory(r->pid, addr, bytes, r->code_bytes))
		return false;
	c->name = code_text(r, word_in(bytes, l->name), false, &c->nname);
	c->file = code_text(r, word_in(bytes, l->file), true, &c->nfile);
	if (!c->name || !c->file)
		return false;
	code_table(r, word_in(bytes, l->lines), c);
	c->first = int_in(bytes, l->first);
	c->names = word_in(bytes, l->names);
	c->addr = addr;
	return true;
}

const struct python_code *python_frame_code(struct python_reader *r, const uint8_t *frame)
{
	/* the lowest bits are a tag, from 3.14 on */
	uint64_t addr = word_in(frame, r->layout.code) & ~3ull;
	struct python_code *c = code_slot(r, addr);

	if (addr && c->addr == addr)
		return c;
	if (addr && code_read(r, addr, c))
		return c;
	code_forget(c);
	return NULL;
}

/* ---- frames ---- */

bool python_reader_innermost(const struct python_reader *r, uint64_t tstate, uint64_t *frame)
{
	const struct python_layout *l = &r->layout;

	if (!python_word(r->pid, tstate + l->frame, frame))
		return false;
	return l->cframe < 0 || python_word(r->pid, *frame + (uint64_t)(uint32_t)l->cframe, frame);
}

bool python_reader_frame(const struct python_reader *r, uint64_t at,
                         uint8_t frame[static PYTHON_FRAME_BYTES_MAX])
{
	return procfs_memory(r->pid, at, frame, r->frame_bytes) == 0;
}

uint64_t python_frame_previous(const struct python_reader *r, const uint8_t *frame)
{
	return word_in(frame, r->layout.previous);
}

bool python_frame_is_shim(const struct python_reader *r, const uint8_t *frame)
{
	return r->layout.owner && (int8_t)frame[r->layout.owner] >= OWNER_SHIM;
}

static int64_t last_instruction(const struct python_layout *l, const uint8_t *frame, uint64_t code)
{
	if (l->bytecode)
		return (int64_t)(word_in(frame, l->instruction) - (code + l->bytecode));
	return (int64_t)int_in(frame, l->instruction) * (l->kind == LINES_RANGES ? CODE_UNIT : 1);
}

int python_frame_put(const struct python_reader *r, const struct python_code *code,
                     const uint8_t *frame, char *to, size_t room)
{
	const struct python_layout *l = &r->layout;
	uint32_t line = 0;
	int n;

	if (code->table)
		line = python_line(l->kind, code->table, code->ntable, code->first,
		                   last_instruction(l, frame, code->addr));
	n = snprintf(to, room, "%.*s\t%.*s\t%" PRIu32 "\n", (int)code->nname, code->name,
	             (int)code->nfile, code->file, line);
	return n < 0 || (size_t)n >= room ? -1 : n;
}

/* ---- whether a thread ran ---- */

void python_look(uint32_t pid, uint32_t tid, struct python_look *to)
{
	static const char state[] = "\nState:\t", voluntary[] = "\nvoluntary_ctxt_switches:",
			  involuntary[] = "\nnonvoluntary_ctxt_switches:";
	char name[64], buf[8192], *s, *v, *i;

	*to = (struct python_look){ 0 };
	snprintf(name, sizeof(name), "task/%" PRIu32 "/status", tid);
	if (procfs_read(pid, name, buf, sizeof(buf)) <= 0)
		return;
	s = strstr(buf, state);
	v = strstr(buf, voluntary);
	i = strstr(buf, involuntary);
	if (!s || !v || !i)
		return;
	to->state = s[sizeof(state) - 1];
	to->voluntary = strtoull(v + sizeof(voluntary) - 1, NULL, 10);
	to->involuntary = strtoull(i + sizeof(involuntary) - 1, NULL, 10);
}

bool python_looks_differ(const struct python_look *before, const struct python_look *after)
{
	return !before->state || !after->state || before->state == 'R' || after->state == 'R' ||
	       before->voluntary != after->voluntary || before->involuntary != after->involuntary;
}

/* ---- the reader ---- */

struct python_reader *python_reader_new(uint32_t pid, const struct python_runtime *runtime,
                                        const struct python_thread *threads, size_t n,
                                        event_fn emit, void *ctx, bool *known)
{
	struct python_reader *r = calloc(1, sizeof(*r));

	*known = true;
	if (!r)
		return NULL;
	r->pid = pid;
	r->runtime = *runtime;
	r->threads = threads;
	r->n = n;
	r->emit = emit;
	r->ctx = ctx;
	*known = layout_find(r) && reader_sizes(r);
	if (*known)
		return r;
	free(r);
	return NULL;
}

void python_reader_free(struct python_reader *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < PYTHON_CODES; i++)
		code_forget(&r->codes[i]);
	free(r);
}
