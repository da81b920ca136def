/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads without BPF: what /proc/PID/task/T tells of each, as rows of the thread iterator (bpf/state.h). Since when a thread
 * is blocked, and the registers of its wait, /proc does not tell: these fields are zero.
 */
#ifndef PROC_ROWS_H
#define PROC_ROWS_H
#include <stdbool.h>
#include <stddef.h>
#include "event.h" /* the types of state.h */
#include "rows.h"
#include "state.h"

/* What /proc would not show, counted, and why: an errno. */
struct proc_missing {
	uint32_t syscalls; /* threads whose system call is not known ... */
	int syscall_err;
	uint32_t stacks; /* ... whose kernel stack is not */
	int stack_err;
	uint32_t beyond; /* threads that found no room */
};

/*
 * /proc/PID/task/T/syscall (fs/proc/base.c): "running", "-1 SP PC" of a thread blocked elsewhere, or "NUMBER ARG*6 SP PC".
 * False when it is none of these; r->syscall is -1 then, and when running.
 */
bool proc_syscall_parse(const char *text, struct snap_thread *r);

/* Has a thread slept ever since it had that many context switches? What its memory holds belongs to its wait then. */
bool proc_slept_since(uint32_t pid, uint32_t tid, uint64_t switches);
/* Sum of both kinds of context switches, from /proc/PID/task/T/status; 0 unknown. */
uint64_t proc_switches_parse(const char *text);

/*
 * Function names of /proc/PID/task/T/stack, "[<0>] name+0x12/0x34" a line, joined by ';', at most SNAP_STACK_MAX of them and
 * n - 1 bytes. Returns the length.
 */
size_t proc_stack_parse(const char *text, char *to, size_t n);

/* Bytes of a thread's kernel stack as text, NUL included: SNAP_STACK_MAX names of 40 bytes. */
#define PROC_STACK_MAX 1000

struct proc_thread {
	struct snap_thread row;
	char stack[PROC_STACK_MAX];
};

/* A struct proc_thread for each thread of a process. May hang with its target (fs/proc/base.c: lock_trace): for a process of one's
 * own (loader/apart.h). */
void proc_threads_take(uint32_t pid, struct rows *to, struct proc_missing *missing);

/*
 * pthread_self() of a thread, which BPF finds in its registers: glibc registers a list of robust mutexes in each thread's
 * descriptor with the kernel, get_robust_list(2) tells where. x86-64 only; 0 unknown. Reads the thread's memory.
 */
uint64_t proc_self(uint32_t pid, uint32_t tid);

#endif
