/* SPDX-License-Identifier: BSD-2-Clause */
/* What is there before and besides the observed operations: processes, threads, descriptors, sockets, read without stopping
 * anything, as events. */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H
#include "roots.h"
#include "source.h"

struct snapshot;

/*
 * Where the rows of a look come from: the kernel's iterators, or /proc and netlink (source_proc.c). Each gives all of them in one
 * buffer that the caller frees, *n bytes; NULL with errno set.
 */
struct snapshot_rows {
	/* Of struct snap_thread; last_arrival 0: not known since when it is blocked. */
	char *(*threads)(void *ctx, const uint32_t *pids, size_t npids, size_t *n);
	/* As sockets_take() wants them. */
	char *(*sockets)(void *ctx, const uint32_t *pids, size_t npids, size_t *n);
	/* Kernel stack of a thread of the newest rows, names joined by ';', "" unknown. NULL: the rows have addresses. */
	const char *(*stack)(void *ctx, uint32_t tid);
	void *ctx;
};
struct snapshot *snapshot_new_rows(const struct snapshot_rows *rows, event_fn emit, void *ctx);

/* thread_prog, socket_prog: the loaded iterator programs (struct bpf_program *), used once here to make links. NULL with
 * errno set. */
struct snapshot *snapshot_new(void *thread_prog, void *socket_prog, event_fn emit, void *ctx);
void snapshot_free(struct snapshot *s);

/* Who the targets are (EVF_ROOT); the caller's, NULL: nobody. */
void snapshot_roots(struct snapshot *s, const struct roots *roots);

/* One process: EV_PROCESS. 0 or -errno. Reads its memory here: only for one that has just begun to run a program. */
int snapshot_process(struct snapshot *s, uint32_t pid);

/*
 * Everything about the processes listed, as EV_SNAPSHOT (begin), the events of a snapshot (event.h), EV_SNAPSHOT; also of those of
 * their children that are zombies, and of the targets. pid is that of the records that are nobody's. What vanishes meanwhile is left out; a process that hangs and lets
 * nobody read its memory costs its own rows only, and EV_MISSING says which. At most some 2.5 s. names: a close look, with names in
 * kernel stacks (50 ms at their first reading), who holds the other ends of pipes, Python and native frames, tasks.
 */
int snapshot_take(struct snapshot *s, uint32_t pid, const uint32_t *pids, size_t n, bool names);

/* The caller found that pid's memory cannot be read now: for some seconds no look tries. */
void snapshot_wedged(struct snapshot *s, uint32_t pid);

/* CLOCK_MONOTONIC in ns: the loader's only clock. */
uint64_t now_ns(void);

#endif
