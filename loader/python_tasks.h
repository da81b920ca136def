/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The asyncio tasks of a CPython process that are not done: what each awaits, as the chain of functions from the one that
 * waits outwards to the task's own coroutine. Read as python_stack.h says: nothing is stopped, nothing believed.
 *
 * CPython 3.8 to 3.13 by table, 3.14 and 3.15 by what asyncio says of itself (section .AsyncioDebug); asyncio's C
 * implementation, also under uvloop, and subclasses of its Task. Not seen: tasks of the pure Python implementation, of
 * other task types registered by third parties from 3.14 on, of trio and gevent.
 */
#ifndef PYTHON_TASKS_H
#define PYTHON_TASKS_H
#include "python_stack.h"

/*
 * Emits an EV_TASK for each task, an EV_REQUEST after it where a HTTP client waits in its chain, and an EV_MISSING of "tasks"
 * where something is missing. A version whose frames are not read has neither: python_stack_read() says so.
 */
void python_tasks_read(uint32_t pid, const struct python_runtime *runtime,
                       const struct python_thread *threads, size_t n, event_fn emit, void *ctx);

#endif
