/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * interpreters -> PyThreadStates -> frames -> code objects. Offsets up to 3.12 were taken with offsetof() against each
 * version's own headers; one layout holds for all releases of a minor version. A thread is read between two looks at its
 * context switches: if they are the same, and it was not running, what was read is one moment's.
 */
#include "python_stack.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "procfs.h"
#include "python_lines.h"
#include "snapshot.h"

#define INTERPRETERS_MAX 16  /* more than any program has */
#define TSTATES_MAX 4096     /* Python threads of an interpreter; as many as are shown of a run */
#define FRAMES_MAX 512       /* of a thread; CPython's own limit on recursion is 1000 */
#define SHIMS_MAX FRAMES_MAX /* between them: C code that calls Python */
#define CHARACTERS_MAX 256   /* of a name; paths are rarely longer, and of these the end is kept */
#define UTF8_MAX (CHARACTERS_MAX * 4 + 4)
#define LINE_TABLE_MAX 65536 /* bytes of a function's line table that are looked through */
#define TRIES 3              /* to catch a thread between two moments at which it runs */
#define CODE_UNIT 2          /* bytes of an instruction, which 3.10 counts in */

/* Sizes of what is read in one piece: beyond the last field wanted there may be nothing. */
#define FRAME_BYTES_MAX 128
#define CODE_BYTES_MAX 256

/* struct _gil_runtime_state, in all versions. */
#define GIL_HOLDER 8
#define GIL_LOCKED 16
/* Its condition variables and mutexes lie between these: who waits for it waits on an address there. */
#define GIL_WAITS 0x20
#define GIL_END 0xd0

#define TYPE_NAME 24
#define BYTES_SIZE 16
#define BYTES_TEXT 32

/* enum _frameowner: from here on no function's frame, but one that C code stands behind */
#define OWNER_SHIM 3

static const struct layout {
	uint32_t minor;
	uint32_t gil;   /* in an interpreter: a pointer; up to 3.11 in _PyRuntime, itself */
	uint32_t frame; /* in a PyThreadState: innermost frame, or ... */
	int32_t cframe; /* ... a struct that has it here; -1 none */
	/* in a frame */
	uint32_t previous, code, instruction, owner; /* owner: 0 none */
	/* in a code object; bytecode: instruction is a pointer into it; 0: it is an index */
	uint32_t file, name, first, lines, bytecode;
	uint32_t ascii, compact; /* in a str: the characters */
	enum python_lines kind;
} layouts[] = {
	{ 8, 1152, 24, -1, 24, 32, 104, 0, 104, 112, 40, 120, 0, 48, 72, LINES_INCREMENTS },
	{ 9, 352, 24, -1, 24, 32, 104, 0, 104, 112, 40, 120, 0, 48, 72, LINES_INCREMENTS },
	{ 10, 352, 24, -1, 24, 32, 96, 0, 104, 112, 40, 120, 0, 48, 72, LINES_RANGES },
	{ 11, 360, 56, 8, 48, 32, 56, 0, 112, 128, 72, 136, 184, 48, 72, LINES_ENTRIES },
	{ 12, 384, 56, 0, 8, 0, 56, 70, 112, 128, 68, 136, 192, 40, 56, LINES_ENTRIES },
};
#define LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

/* Which word of _Py_DebugOffsets tells it (Include/internal/pycore_debug_offsets.h, in 3.13 pycore_runtime.h). */
#define DEBUG_WORDS_MAX 111
static const struct debug_index {
	uint8_t minor, words;
	uint8_t head, next, threads;                    /* of interpreters */
	uint8_t gil, gil_locked, gil_holder, gil_start; /* the latter ones in an interpreter */
	uint8_t thread_next, thread_interp, frame, thread_id; /* of a PyThreadState */
	uint8_t previous, code, instruction, owner;           /* of a frame */
	uint8_t file, name, lines, first, bytecode;           /* of a code object */
	uint8_t type, type_name, bytes_text;                  /* of objects */
	uint8_t str_state, str_length, ascii;                 /* of a str; compact is 16 more */
} indices[] = {
	{ 13, 73, 5,  8,  9,  14, 17, 18, 15, 21, 22, 23, 24, 29,
	  30, 31, 33, 35, 37, 38, 39, 43, 45, 47, 66, 68, 69, 70 },
	{ 14, 95, 5,  8,  9,  15, 18, 19, 16, 24, 25, 26, 27, 32,
	  33, 34, 36, 40, 42, 43, 44, 48, 51, 53, 76, 78, 79, 80 },
	{ 15, 111, 5,  8,  9,  15, 18, 19, 16, 24, 25, 26, 30, 40,
	  41, 42,  44, 48, 50, 51, 52, 56, 59, 61, 88, 90, 91, 92 },
};
#define INDICES (sizeof(indices) / sizeof(indices[0]))
#define DEBUG_OFFSET_MAX (1 << 20) /* the largest struct, an interpreter's, has 0.3 MB */

struct reader {
	uint32_t pid;
	struct python_runtime runtime;
	struct layout layout;
	uint32_t frame_bytes, code_bytes;
	const struct python_thread *threads;
	bool *done; /* of each thread: its frames are out */
	size_t n;
	event_fn emit;
	void *ctx;
	uint64_t code_type;        /* address of the type of code objects, 0 none seen yet */
	unsigned unreadable, gone; /* threads */
	bool broken;               /* a list of interpreters or threads */
	bool beyond;               /* a limit on them bit */
	uint8_t table[LINE_TABLE_MAX];
	union {
		struct ev_frames frames;
		char bytes[EVENT_SIZE_MAX];
	} room;
};

/* ---- where things are ---- */

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* Do objects, and the lists of threads, look as they do in all versions read here? */
static bool debug_usual(const struct debug_index *x, const uint64_t *w)
{
	return w[x->type] == PYTHON_OB_TYPE && w[x->type_name] == TYPE_NAME &&
	       w[x->bytes_text] == BYTES_TEXT && w[x->str_state] == PYTHON_STR_STATE &&
	       w[x->str_length] == PYTHON_STR_LENGTH && w[x->thread_next] == PYTHON_TSTATE_NEXT &&
	       w[x->thread_interp] == PYTHON_TSTATE_INTERP &&
	       w[x->gil_holder] - w[x->gil_start] == GIL_HOLDER &&
	       w[x->gil_locked] - w[x->gil_start] == GIL_LOCKED;
}

/* From 3.13 on. A build that keeps things elsewhere than is read here is refused. */
static bool layout_from_debug(struct reader *r, const struct debug_index *x)
{
	uint64_t w[DEBUG_WORDS_MAX];

	if (procfs_memory(r->pid, r->runtime.addr, w, x->words * sizeof(*w)) ||
	    memcmp(w, "xdebugpy", 8) != 0 || w[1] >> 16 != (3u << 8 | x->minor) || w[2] ||
	    !debug_usual(x, w))
		return false;
	for (uint8_t i = 3; i < x->words; i++)
		if (w[i] > DEBUG_OFFSET_MAX)
			return false;
	r->runtime.head = (uint32_t)w[x->head];
	r->runtime.next = (uint32_t)w[x->next];
	r->runtime.threads = (uint32_t)w[x->threads];
	r->runtime.thread_id = (uint32_t)w[x->thread_id];
	r->layout = (struct layout){ .minor = x->minor,
		                     .gil = (uint32_t)w[x->gil],
		                     .frame = (uint32_t)w[x->frame],
		                     .cframe = -1,
		                     .previous = (uint32_t)w[x->previous],
		                     .code = (uint32_t)w[x->code],
		                     .instruction = (uint32_t)w[x->instruction],
		                     .owner = (uint32_t)w[x->owner],
		                     .file = (uint32_t)w[x->file],
		                     .name = (uint32_t)w[x->name],
		                     .first = (uint32_t)w[x->first],
		                     .lines = (uint32_t)w[x->lines],
		                     .bytecode = (uint32_t)w[x->bytecode],
		                     .ascii = (uint32_t)w[x->ascii],
		                     .compact = (uint32_t)w[x->ascii] + 16,
		                     .kind = LINES_ENTRIES };
	return true;
}

static bool layout_find(struct reader *r)
{
	uint32_t minor = r->runtime.minor;

	if (r->runtime.free_threaded)
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
static bool reader_sizes(struct reader *r)
{
	const struct layout *l = &r->layout;

	r->frame_bytes = larger(larger(l->previous, l->code), l->instruction) + 8;
	r->frame_bytes = larger(r->frame_bytes, l->owner + 1);
	r->code_bytes = larger(larger(l->file, l->name), larger(l->first, l->lines)) + 8;
	return r->frame_bytes <= FRAME_BYTES_MAX && r->code_bytes <= CODE_BYTES_MAX;
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

/* ---- texts ---- */

static size_t utf8_put(char *to, uint32_t c)
{
	if (c < ' ' || c == 0x7f || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		c = '?'; /* would break the lines of the record, or is no character */
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 63));
		to[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 63));
	to[2] = (char)(0x80 | (c >> 6 & 63));
	to[3] = (char)(0x80 | (c & 63));
	return 4;
}

static size_t dots_put(char *to)
{
	memcpy(to, "...", 3);
	return 3;
}

static uint32_t character(const uint8_t *data, size_t i, uint32_t width)
{
	uint16_t two;
	uint32_t four;

	if (width == 1)
		return data[i];
	if (width == 2) {
		memcpy(&two, data + i * 2, 2);
		return two;
	}
	memcpy(&four, data + i * 4, 4);
	return four;
}

/* A str, as UTF-8, not terminated: bytes written, -1 unreadable. Of a long one its beginning, or its end (tail). */
static int text_read(const struct reader *r, uint64_t str, bool tail, char to[static UTF8_MAX])
{
	uint8_t head[PYTHON_STR_STATE + 4], data[CHARACTERS_MAX * 4];
	uint32_t state, width;
	uint64_t length, from;
	size_t n, at = 0;

	if (!str || procfs_memory(r->pid, str, head, sizeof(head)))
		return -1;
	length = word_in(head, PYTHON_STR_LENGTH);
	state = (uint32_t)int_in(head, PYTHON_STR_STATE);
	width = state >> 2 & 7;
	/* compact: its characters lie behind it; all names are */
	if (!(state & 1 << 5) || (width != 1 && width != 2 && width != 4) || length > INT32_MAX)
		return -1;
	n = length < CHARACTERS_MAX ? (size_t)length : CHARACTERS_MAX;
	from = str + (state & 1 << 6 ? r->layout.ascii : r->layout.compact) +
	       (tail ? (length - n) * width : 0);
	if (n && procfs_memory(r->pid, from, data, n * width))
		return -1;
	if (tail && n < length)
		at += dots_put(to);
	for (size_t i = 0; i < n; i++)
		at += utf8_put(to + at, character(data, i, width));
	if (!tail && n < length)
		at += dots_put(to + at);
	return (int)at;
}

/* ---- frames ---- */

static bool is_code(struct reader *r, uint64_t object)
{
	uint64_t type;

	if (!object || !python_word(r->pid, object + PYTHON_OB_TYPE, &type) || !type)
		return false;
	if (type != r->code_type && python_is_a(r->pid, object, "code"))
		r->code_type = type;
	return type == r->code_type;
}

static int64_t last_instruction(const struct layout *l, const uint8_t *frame, uint64_t code)
{
	if (l->bytecode)
		return (int64_t)(word_in(frame, l->instruction) - (code + l->bytecode));
	return (int64_t)int_in(frame, l->instruction) * (l->kind == LINES_RANGES ? CODE_UNIT : 1);
}

static uint32_t line_read(struct reader *r, const uint8_t *code, int64_t lasti)
{
	uint64_t table = word_in(code, r->layout.lines), size;

	if (!python_word(r->pid, table + BYTES_SIZE, &size))
		return 0;
	/* one cut short still tells the lines up to there */
	size = size < LINE_TABLE_MAX ? size : LINE_TABLE_MAX;
	if (procfs_memory(r->pid, table + BYTES_TEXT, r->table, size))
		return 0;
	return python_line(r->layout.kind, r->table, size, int_in(code, r->layout.first), lasti);
}

enum added { ADDED, NO_ROOM, UNREADABLE };

static enum added frame_add(struct reader *r, const uint8_t *frame)
{
	const struct layout *l = &r->layout;
	/* the lowest bits are a tag, from 3.14 on */
	uint64_t code = word_in(frame, l->code) & ~3ull;
	struct event *e = &r->room.frames.h;
	uint8_t bytes[CODE_BYTES_MAX];
	char name[UTF8_MAX], file[UTF8_MAX];
	size_t room = EVENT_SIZE_MAX - e->size;
	int n, nname, nfile;

	if (!is_code(r, code) || procfs_memory(r->pid, code, bytes, r->code_bytes))
		return UNREADABLE;
	nname = text_read(r, word_in(bytes, l->name), false, name);
	nfile = text_read(r, word_in(bytes, l->file), true, file);
	if (nname < 0 || nfile < 0)
		return UNREADABLE;
	n = snprintf(r->room.bytes + e->size, room, "%.*s\t%.*s\t%" PRIu32 "\n", nname, name, nfile,
	             file, line_read(r, bytes, last_instruction(l, frame, code)));
	if (n < 0 || (size_t)n >= room)
		return NO_ROOM;
	e->size += (uint32_t)n;
	return ADDED;
}

static bool innermost(const struct reader *r, uint64_t tstate, uint64_t *frame)
{
	const struct layout *l = &r->layout;

	if (!python_word(r->pid, tstate + l->frame, frame))
		return false;
	return l->cframe < 0 || python_word(r->pid, *frame + (uint64_t)(uint32_t)l->cframe, frame);
}

/* All frames of a thread into the record: false if one cannot be read. */
static bool frames_add(struct reader *r, uint64_t tstate)
{
	const struct layout *l = &r->layout;
	uint8_t frame[FRAME_BYTES_MAX];
	unsigned shown = 0, shims = 0;
	uint64_t at;

	if (!innermost(r, tstate, &at))
		return false;
	for (; at; at = word_in(frame, l->previous)) {
		enum added added;

		if (shown == FRAMES_MAX || shims == SHIMS_MAX) {
			r->room.frames.flags |= FRAMES_CUT;
			break;
		}
		if (procfs_memory(r->pid, at, frame, r->frame_bytes))
			return false;
		if (l->owner && (int8_t)frame[l->owner] >= OWNER_SHIM) {
			shims++;
			continue;
		}
		added = frame_add(r, frame);
		if (added == UNREADABLE)
			return false;
		if (added == NO_ROOM) {
			r->room.frames.flags |= FRAMES_CUT;
			break;
		}
		shown++;
	}
	return true;
}

/* ---- threads ---- */

struct look {
	uint64_t voluntary, involuntary; /* context switches */
	char state;                      /* R: runs, or would */
};

static bool thread_look(uint32_t pid, uint32_t tid, struct look *to)
{
	static const char state[] = "\nState:\t", voluntary[] = "\nvoluntary_ctxt_switches:",
			  involuntary[] = "\nnonvoluntary_ctxt_switches:";
	char name[64], buf[8192], *s, *v, *i;

	snprintf(name, sizeof(name), "task/%" PRIu32 "/status", tid);
	if (procfs_read(pid, name, buf, sizeof(buf)) <= 0)
		return false;
	s = strstr(buf, state);
	v = strstr(buf, voluntary);
	i = strstr(buf, involuntary);
	if (!s || !v || !i)
		return false;
	to->state = s[sizeof(state) - 1];
	to->voluntary = strtoull(v + sizeof(voluntary) - 1, NULL, 10);
	to->involuntary = strtoull(i + sizeof(involuntary) - 1, NULL, 10);
	return true;
}

/* Does it wait for the lock at gil? Its condition variables are in there, and nothing else's. */
static bool waits_for(uint32_t pid, uint32_t tid, uint64_t gil)
{
	char name[64], buf[256];
	uint64_t address;
	int nr;

	snprintf(name, sizeof(name), "task/%" PRIu32 "/syscall", tid);
	return procfs_read(pid, name, buf, sizeof(buf)) > 0 &&
	       sscanf(buf, "%d %" SCNx64, &nr, &address) == 2 && nr == SYS_futex &&
	       address - gil >= GIL_WAITS && address - gil < GIL_END;
}

static uint32_t gil_flags(const struct reader *r, uint32_t tid, uint64_t tstate, uint64_t gil)
{
	uint8_t bytes[GIL_LOCKED + 4];

	if (!gil || procfs_memory(r->pid, gil, bytes, sizeof(bytes)))
		return 0;
	if (int_in(bytes, GIL_LOCKED) == 1 && word_in(bytes, GIL_HOLDER) == tstate)
		return FRAMES_GIL;
	return waits_for(r->pid, tid, gil) ? FRAMES_GIL_WAIT : 0;
}

static void record_start(struct reader *r, enum frames_kind kind, uint32_t tid)
{
	r->room.frames = (struct ev_frames){ .h = { .size = sizeof(r->room.frames),
		                                    .type = EV_FRAMES,
		                                    .ts_ns = now_ns(),
		                                    .pid = r->pid,
		                                    .tid = tid },
		                             .kind = kind };
}

/* One attempt; *torn: the thread ran meanwhile. */
static bool thread_try(struct reader *r, uint32_t tid, uint64_t tstate, uint64_t gil, bool *torn)
{
	struct look before = { 0 }, after = { 0 };
	bool looked = thread_look(r->pid, tid, &before), read;

	record_start(r, FRAMES_PYTHON, tid);
	read = frames_add(r, tstate);
	r->room.frames.flags |= gil_flags(r, tid, tstate, gil);
	looked = looked && thread_look(r->pid, tid, &after);
	*torn = !looked || before.state == 'R' || after.state == 'R' ||
	        before.voluntary != after.voluntary || before.involuntary != after.involuntary;
	return read;
}

static void thread_read(struct reader *r, uint32_t tid, uint64_t tstate, uint64_t gil)
{
	bool torn = true, read = false;

	for (int i = 0; i < TRIES && torn; i++)
		read = thread_try(r, tid, tstate, gil, &torn);
	if (!read) {
		r->unreadable++;
		return;
	}
	if (torn)
		r->room.frames.flags |= FRAMES_TORN;
	r->emit(r->ctx, &r->room.frames.h);
}

/* The kernel's thread of a PyThreadState; n if there is none. */
static size_t thread_of(const struct reader *r, uint64_t self)
{
	size_t i = 0;

	while (i < r->n && r->threads[i].self != self)
		i++;
	return i;
}

static void tstate_read(struct reader *r, uint64_t tstate, uint64_t self, uint64_t gil)
{
	size_t i = thread_of(r, self);

	if (i == r->n) {
		r->gone += self != 0; /* 0: its thread is about to begin */
	} else if (!r->done[i]) {
		thread_read(r, r->threads[i].tid, tstate, gil);
		r->done[i] = true;
	}
}

/* False: the list ends in memory that is no PyThreadState. */
static bool interpreter_read(struct reader *r, uint64_t interp, uint64_t gil)
{
	uint64_t tstate, owner, self;

	if (!python_word(r->pid, interp + r->runtime.threads, &tstate))
		return false;
	for (int n = 0; tstate; n++) {
		if (n == TSTATES_MAX) {
			r->beyond = true;
			break;
		}
		if (!python_word(r->pid, tstate + PYTHON_TSTATE_INTERP, &owner) ||
		    owner != interp || !python_word(r->pid, tstate + r->runtime.thread_id, &self))
			return false;
		tstate_read(r, tstate, self, gil);
		if (!python_word(r->pid, tstate + PYTHON_TSTATE_NEXT, &tstate))
			return false;
	}
	return true;
}

/* The newest first: where a thread is in several, the newest is the innermost. False as above. */
static bool interpreters_read(struct reader *r)
{
	const struct layout *l = &r->layout;
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
		if (!interpreter_read(r, interp, gil) ||
		    !python_word(r->pid, interp + r->runtime.next, &interp))
			return false;
	}
	return true;
}

/* ---- what is missing ---- */

static void missing_add(struct reader *r, const char *why)
{
	struct event *e = &r->room.frames.h;
	size_t n = strlen(why);
	bool first = e->size == sizeof(r->room.frames);

	if (!first) {
		memcpy(r->room.bytes + e->size, "; ", 2);
		e->size += 2;
	}
	memcpy(r->room.bytes + e->size, why, n);
	e->size += (uint32_t)n;
}

static void missing_version(struct reader *r)
{
	char why[128];

	record_start(r, FRAMES_MISSING, 0);
	if (!r->runtime.minor)
		snprintf(why, sizeof(why), "a CPython whose version is not known");
	else
		snprintf(why, sizeof(why), "frames of CPython 3.%" PRIu32 "%s are not read",
		         r->runtime.minor, r->runtime.free_threaded ? ", free-threaded," : "");
	missing_add(r, why);
	r->emit(r->ctx, &r->room.frames.h);
}

static void missing_emit(struct reader *r)
{
	char why[128];

	record_start(r, FRAMES_MISSING, 0);
	if (r->broken)
		missing_add(r, "the list of Python threads ends in memory that cannot be read");
	if (r->beyond)
		missing_add(r, "there are more Python threads than are read");
	if (r->unreadable) {
		snprintf(why, sizeof(why), "the frames of %u Python threads could not be read",
		         r->unreadable);
		missing_add(r, why);
	}
	if (r->gone) {
		snprintf(why, sizeof(why), "%u Python threads were not among the process's threads",
		         r->gone);
		missing_add(r, why);
	}
	if (r->room.frames.h.size > sizeof(r->room.frames))
		r->emit(r->ctx, &r->room.frames.h);
}

void python_stack_read(uint32_t pid, const struct python_runtime *runtime,
                       const struct python_thread *threads, size_t n, event_fn emit, void *ctx)
{
	struct reader *r = calloc(1, sizeof(*r));
	bool *done = calloc(n ? n : 1, sizeof(*done));

	if (!r || !done)
		goto out;
	r->pid = pid;
	r->threads = threads;
	r->done = done;
	r->n = n;
	r->emit = emit;
	r->ctx = ctx;
	r->runtime = *runtime;
	if (layout_find(r) && reader_sizes(r)) {
		r->broken = !interpreters_read(r);
		missing_emit(r);
	} else {
		missing_version(r);
	}
out:
	free(done);
	free(r);
}
