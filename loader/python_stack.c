/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The threads' frames, one record each. A thread is read between two looks at its context switches: if they are the same,
 * and it was not running, what was read is one moment's.
 */
#include "python_stack.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "procfs.h"
#include "python_reader.h"
#include "python_requests.h"
#include "snapshot.h"

#define FRAMES_MAX 512       /* of a thread; CPython's own limit on recursion is 1000 */
#define SHIMS_MAX FRAMES_MAX /* between them: C code that calls Python */
#define TRIES 3              /* to catch a thread between two moments at which it runs */

/* struct _gil_runtime_state, in all versions. */
#define GIL_HOLDER 8
#define GIL_LOCKED 16
/* Its condition variables and mutexes lie between these: who waits for it waits on an address there. */
#define WAITS_LOOKS 4 /* who waits for it wakes every 5 ms, for a moment */
#define GIL_WAITS 0x20
#define GIL_END 0xd0

struct stacks {
	struct python_reader *r;
	struct python_request request; /* of the thread at hand */
	bool *done;                    /* of each thread: its frames are out */
	unsigned unreadable, gone;     /* threads */
	bool broken;                   /* a list of interpreters or threads */
	union {
		struct ev_frames frames;
		char bytes[EVENT_SIZE_MAX];
	} room;
};

/* ---- frames ---- */

enum added { ADDED, NO_ROOM, UNREADABLE };

static enum added frame_add(struct stacks *s, uint64_t at, const uint8_t *frame)
{
	const struct python_code *code = python_frame_code(s->r, frame);
	struct event *e = &s->room.frames.h;
	int n;

	if (!code)
		return UNREADABLE;
	n = python_frame_put(s->r, code, frame, s->room.bytes + e->size, EVENT_SIZE_MAX - e->size);
	if (n < 0)
		return NO_ROOM;
	e->size += (uint32_t)n;
	python_request_frame(s->r, &s->request, code, at);
	return ADDED;
}

/* All frames of a thread into the record: false if one cannot be read. */
static bool frames_add(struct stacks *s, uint64_t tstate)
{
	uint8_t frame[PYTHON_FRAME_BYTES_MAX];
	unsigned shown = 0, shims = 0;
	uint64_t at;

	if (!python_reader_innermost(s->r, tstate, &at))
		return false;
	for (; at; at = python_frame_previous(s->r, frame)) {
		enum added added;

		if (shown == FRAMES_MAX || shims == SHIMS_MAX) {
			s->room.frames.flags |= FRAMES_CUT;
			break;
		}
		if (!python_reader_frame(s->r, at, frame))
			return false;
		if (python_frame_is_shim(s->r, frame)) {
			shims++;
			continue;
		}
		added = frame_add(s, at, frame);
		if (added == UNREADABLE)
			return false;
		if (added == NO_ROOM) {
			s->room.frames.flags |= FRAMES_CUT;
			break;
		}
		shown++;
	}
	return true;
}

/* ---- threads ---- */

/* Does it wait for the lock at gil? Its condition variables are in there, and nothing else's. */
static bool waits_for(uint32_t pid, uint32_t tid, uint64_t gil)
{
	char name[64], buf[256];
	uint64_t address;
	int nr;

	snprintf(name, sizeof(name), "task/%" PRIu32 "/syscall", tid);
	for (int i = 0; i < WAITS_LOOKS; i++) {
		struct timespec nap = { 0, 200000 };

		if (procfs_read(pid, name, buf, sizeof(buf)) <= 0)
			return false;
		if (sscanf(buf, "%d %" SCNx64, &nr, &address) == 2)
			return nr == SYS_futex && address - gil >= GIL_WAITS &&
			       address - gil < GIL_END;
		nanosleep(&nap, NULL);
	}
	return false;
}

static uint32_t gil_flags(const struct stacks *s, const struct python_tstate *t)
{
	uint8_t bytes[GIL_LOCKED + 4];
	uint64_t holder;
	int32_t locked;

	if (!t->gil || procfs_memory(s->r->pid, t->gil, bytes, sizeof(bytes)))
		return 0;
	memcpy(&holder, bytes + GIL_HOLDER, sizeof(holder));
	memcpy(&locked, bytes + GIL_LOCKED, sizeof(locked));
	if (locked == 1 && holder == t->addr)
		return FRAMES_GIL;
	return waits_for(s->r->pid, t->tid, t->gil) ? FRAMES_GIL_WAIT : 0;
}

static void record_start(struct stacks *s, enum frames_kind kind, uint32_t pid, uint32_t tid)
{
	s->room.frames = (struct ev_frames){ .h = { .size = sizeof(s->room.frames),
		                                    .type = EV_FRAMES,
		                                    .ts_ns = now_ns(),
		                                    .pid = pid,
		                                    .tid = tid },
		                             .kind = kind };
}

/* One attempt; *torn: the thread ran meanwhile. */
static bool thread_try(struct stacks *s, const struct python_tstate *t, bool *torn)
{
	struct python_look before, after;
	bool read;

	python_look(s->r->pid, t->tid, &before);
	record_start(s, FRAMES_PYTHON, s->r->pid, t->tid);
	python_request_begin(&s->request);
	read = frames_add(s, t->addr);
	s->room.frames.flags |= gil_flags(s, t);
	python_look(s->r->pid, t->tid, &after);
	*torn = python_looks_differ(&before, &after);
	return read;
}

static void thread_read(struct stacks *s, const struct python_tstate *t)
{
	bool torn = true, read = false;

	for (int i = 0; i < TRIES && torn; i++)
		read = thread_try(s, t, &torn);
	if (!read) {
		s->unreadable++;
		return;
	}
	if (torn)
		s->room.frames.flags |= FRAMES_TORN;
	s->r->emit(s->r->ctx, &s->room.frames.h);
	if (!torn) /* else its parts may be of two requests */
		python_request_emit(s->r, &s->request, t->tid, 0);
}

/* The newest interpreter's come first: where a thread is in several, that is the innermost. */
static void tstate_read(void *ctx, const struct python_tstate *t)
{
	struct stacks *s = ctx;
	size_t i = 0;

	if (!t->addr)
		return;
	while (i < s->r->n && (!t->tid || s->r->threads[i].tid != t->tid))
		i++;
	if (i == s->r->n) {
		s->gone += t->self != 0; /* 0: its thread is about to begin */
	} else if (!s->done[i]) {
		thread_read(s, t);
		s->done[i] = true;
	}
}

/* ---- what is missing ---- */

static void missing_add(struct stacks *s, const char *why)
{
	struct event *e = &s->room.frames.h;
	size_t n = strlen(why);
	bool first = e->size == sizeof(s->room.frames);

	if (!first) {
		memcpy(s->room.bytes + e->size, "; ", 2);
		e->size += 2;
	}
	memcpy(s->room.bytes + e->size, why, n);
	e->size += (uint32_t)n;
}

static void missing_version(struct stacks *s, uint32_t pid, const struct python_runtime *runtime,
                            event_fn emit, void *ctx)
{
	char why[128];

	record_start(s, FRAMES_MISSING, pid, 0);
	if (!runtime->minor)
		snprintf(why, sizeof(why), "a CPython whose version is not known");
	else
		snprintf(why, sizeof(why), "frames of CPython 3.%" PRIu32 "%s are not read",
		         runtime->minor, runtime->free_threaded ? ", free-threaded," : "");
	missing_add(s, why);
	emit(ctx, &s->room.frames.h);
}

static void missing_emit(struct stacks *s)
{
	char why[128];

	record_start(s, FRAMES_MISSING, s->r->pid, 0);
	if (s->broken)
		missing_add(s, "the list of Python threads ends in memory that cannot be read");
	if (s->r->beyond)
		missing_add(s, "there are more Python threads than are read");
	if (s->unreadable) {
		snprintf(why, sizeof(why), "the frames of %u Python threads could not be read",
		         s->unreadable);
		missing_add(s, why);
	}
	if (s->gone) {
		snprintf(why, sizeof(why), "%u Python threads were not among the process's threads",
		         s->gone);
		missing_add(s, why);
	}
	if (s->room.frames.h.size > sizeof(s->room.frames))
		s->r->emit(s->r->ctx, &s->room.frames.h);
}

void python_stack_read(uint32_t pid, const struct python_runtime *runtime,
                       const struct python_thread *threads, size_t n, event_fn emit, void *ctx)
{
	struct stacks *s = calloc(1, sizeof(*s));
	bool known = true;

	if (!s)
		return;
	s->done = calloc(n ? n : 1, sizeof(*s->done));
	s->r = python_reader_new(pid, runtime, threads, n, emit, ctx, &known);
	if (s->r && s->done) {
		s->broken = !python_reader_threads(s->r, tstate_read, s);
		missing_emit(s);
	} else if (!known) {
		missing_version(s, pid, runtime, emit, ctx);
	}
	python_reader_free(s->r);
	free(s->done);
	free(s);
}
