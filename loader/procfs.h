/* SPDX-License-Identifier: BSD-2-Clause */
/* Small reads from /proc. All return -errno on failure; a process that is gone is -ESRCH or -ENOENT, never fatal. */
#ifndef PROCFS_H
#define PROCFS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads /proc/PID/NAME into buf, at most n - 1 bytes, NUL-terminated. Bytes read. */
ssize_t procfs_read(uint32_t pid, const char *name, char *buf, size_t n);

struct proc_stat {
	uint32_t ppid;
	char state;
	bool kernel_thread;
	uint64_t start_ns; /* CLOCK_BOOTTIME */
};
int procfs_stat(uint32_t pid, struct proc_stat *st);

/* User and system time of a thread in ns (schedstat), 0 unknown. */
uint64_t procfs_cpu_ns(uint32_t pid, uint32_t tid);

int procfs_uid(uint32_t pid, uint32_t *uid);

/* Calls fn for each process, or each thread of pid, or each descriptor of pid. */
void procfs_each_pid(void (*fn)(void *ctx, uint32_t pid), void *ctx);
void procfs_each_tid(uint32_t pid, void (*fn)(void *ctx, uint32_t tid), void *ctx);
void procfs_each_fd(uint32_t pid, void (*fn)(void *ctx, int fd, const char *target), void *ctx);

/* An executable, file-backed mapping. */
struct proc_map {
	uint64_t start, end, off, ino;
	uint32_t dev_major, dev_minor;
	const char *path; /* as the target sees it, may end in " (deleted)" */
};
int procfs_each_exec_map(uint32_t pid, void (*fn)(void *ctx, const struct proc_map *m), void *ctx);

/* Copies n bytes of pid's memory; whole or -errno. Stops nothing. */
int procfs_memory(uint32_t pid, uint64_t addr, void *to, size_t n);

#endif
