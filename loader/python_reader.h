/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What reading a CPython's frames needs: where its version keeps things, its threads, and the functions seen so far. For
 * python_stack.c and python_tasks.c.
 */
#ifndef PYTHON_READER_H
#define PYTHON_READER_H
#include "python.h"
#include "python_lines.h"
#include "python_object.h"
#include "python_stack.h"
#include "source.h"

#define PYTHON_FRAME_BYTES_MAX 128 /* of a frame that are read: up to the last field wanted */

/* By version, from tables or from what the interpreter says of itself. */
struct python_layout {
	uint32_t minor;
	uint32_t gil;   /* in an interpreter: a pointer; up to 3.11 in _PyRuntime, itself */
	uint32_t frame; /* in a PyThreadState: innermost frame, or ... */
	int32_t cframe; /* ... a struct that has it here; -1 none */
	/* in a frame; locals: arguments and locals, by number; owner: 0 none */
	uint32_t previous, code, instruction, owner, locals;
	/* in a code object; bytecode: instruction is a pointer into it; 0: it is an index */
	uint32_t file, name, first, lines, bytecode;
	uint32_t names; /* there too: the tuple of names of arguments and locals */
	enum python_lines kind;
};

/* A function as it was found; its texts are UTF-8. */
struct python_code {
	uint64_t addr;  /* 0: none */
	uint64_t names; /* the tuple of its locals' names */
	int32_t first;
	uint16_t nname, nfile;
	uint32_t ntable;
	char *name, *file; /* not terminated */
	uint8_t *table;    /* of lines; NULL: unreadable */
};

/* Functions that are remembered; a large program hangs in some hundred different ones. */
#define PYTHON_CODES 4096

struct python_reader {
	uint32_t pid;
	struct python_runtime runtime;
	const struct python_shape *shape;
	struct python_layout layout;
	uint32_t frame_bytes, code_bytes;
	const struct python_thread *threads;
	size_t n;
	event_fn emit;
	void *ctx;
	uint64_t code_type; /* address of the type of code objects, 0 none seen yet */
	bool beyond;        /* more interpreters or threads than are looked through */
	struct python_code codes[PYTHON_CODES];
};

/* threads stay the caller's. NULL: out of memory, or (*known false) a version, or build, that is not read. */
struct python_reader *python_reader_new(uint32_t pid, const struct python_runtime *runtime,
                                        const struct python_thread *threads, size_t n,
                                        event_fn emit, void *ctx, bool *known);
void python_reader_free(struct python_reader *r);

/* A PyThreadState. */
struct python_tstate {
	uint64_t interp, gil, addr;
	uint64_t self; /* pthread_self(), 0: its thread is about to begin */
	uint32_t tid;  /* 0: none of the process's threads */
};
/* Calls fn for each, of the newest interpreter first; for each interpreter once before, with addr 0. False: the list ends
 * in memory that is none. */
bool python_reader_threads(struct python_reader *r,
                           void (*fn)(void *ctx, const struct python_tstate *t), void *ctx);

/* The innermost frame of a thread, 0: it is in none; false: unreadable. */
bool python_reader_innermost(const struct python_reader *r, uint64_t tstate, uint64_t *frame);
bool python_reader_frame(const struct python_reader *r, uint64_t at,
                         uint8_t frame[static PYTHON_FRAME_BYTES_MAX]);
/* Of a frame that was read: the one further out; whether C code stands behind it, and no function. */
uint64_t python_frame_previous(const struct python_reader *r, const uint8_t *frame);
bool python_frame_is_shim(const struct python_reader *r, const uint8_t *frame);
/* Its function; NULL unreadable. Valid until the next call. */
const struct python_code *python_frame_code(struct python_reader *r, const uint8_t *frame);
/* "function TAB file TAB line LF": bytes written, -1 no room. */
int python_frame_put(const struct python_reader *r, const struct python_code *code,
                     const uint8_t *frame, char *to, size_t room);

/* What tells whether a thread ran between two looks. */
struct python_look {
	uint64_t voluntary, involuntary; /* context switches */
	char state;                      /* R: runs, or would; 0: could not be looked at */
};
void python_look(uint32_t pid, uint32_t tid, struct python_look *to);
bool python_looks_differ(const struct python_look *before, const struct python_look *after);

#endif
