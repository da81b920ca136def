/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads of a snapshot: the rows that tell of each (struct snap_thread), as EV_THREAD and a seeded EV_ACTIVITY. */
#ifndef THREADS_H
#define THREADS_H
#include "kernel_symbols.h"
#include "sockets.h"
#include "source.h"

/* All that is known of the threads in one look. Rows: from the task iterator (bpf/snapshot.bpf.c) or from /proc; a
 * last_arrival of 0 is unknown. */
struct thread_rows {
	const char *rows; /* struct snap_thread, n bytes */
	size_t n;
	uint64_t now_ns;                      /* CLOCK_MONOTONIC when they were read */
	int64_t skew;                         /* the scheduler's clock - CLOCK_MONOTONIC then */
	const struct kernel_symbols *symbols; /* that have the names of the stacks; NULL: none */
	/* Stack of a thread, names joined by ';'; NULL: the rows have addresses. */
	const char *(*stack)(void *ctx, uint32_t tid);
	void *stack_ctx;
	const struct sockets *sockets;
};

/* A time of the scheduler's clock, not 0, as CLOCK_MONOTONIC; one that is not past is now. */
uint64_t threads_time(const struct thread_rows *t, uint64_t sched_ns);

/* Emits the threads of a process but for the first `from`. look: also what takes looking into the process (descriptors and
 * time limits in its memory, what an epoll watches), which may hang (see apart.h). */
void threads_emit(const struct thread_rows *t, uint32_t pid, size_t from, bool look, event_fn emit,
                  void *ctx);

#endif
