/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which Python functions the threads of a CPython process are in: names, files and lines, read from its memory. Of locals
 * and values only what python_requests.h names: method and URL out of the arguments of known HTTP clients' functions.
 * Stops nothing, believes nothing: each pointer may lie, each chain may be a circle, and what cannot be read is left out
 * and counted in an EV_FRAMES of FRAMES_MISSING. So of an interpreter that is being torn down, or of threads it no longer
 * knows, there is what can still be read.
 *
 * CPython 3.8 to 3.12 by table, from 3.13 on by what the interpreter says of itself (_Py_DebugOffsets; 3.13 to 3.15);
 * x86-64. Not free-threaded builds. Reading takes the target's memory map lock, which a target may hold for ever: call it
 * where that does no harm (loader/apart.h).
 */
#ifndef PYTHON_STACK_H
#define PYTHON_STACK_H
#include <stddef.h>
#include <stdint.h>
#include "python.h"
#include "source.h"

/* A thread of the process as the kernel shows it. */
struct python_thread {
	uint32_t tid;
	uint64_t self; /* pthread_self(): by it a PyThreadState is known, in any PID namespace */
};

/* Emits an EV_FRAMES for each of the n threads that Python knows, behind it an EV_REQUEST where it asks a client for
 * something, and one of FRAMES_MISSING where something is missing. */
void python_stack_read(uint32_t pid, const struct python_runtime *runtime,
                       const struct python_thread *threads, size_t n, event_fn emit, void *ctx);

#endif
