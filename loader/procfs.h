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
/* The same of any file of the kernel's. */
ssize_t procfs_read_file(const char *path, char *buf, size_t n);

/* The same of a regular file by its path as pid sees it. */
ssize_t procfs_read_inside(uint32_t pid, const char *path, char *buf, size_t n);

struct proc_stat {
	uint32_t ppid;
	char state; /* of the thread with the process's own number */
	bool kernel_thread;
	bool forked; /* has run no program of its own since fork */
	uint32_t threads;
	uint64_t start_ns; /* CLOCK_BOOTTIME */
	uint64_t cpu_ns;   /* user and system time of all its threads */
	int32_t exit_code; /* of a zombie, as wait(2) reports it */
};
int procfs_stat(uint32_t pid, struct proc_stat *st);
/* From the text of /proc/PID/stat. 0 or -EPROTO. */
int procfs_stat_parse(const char *text, struct proc_stat *st);
/* A zombie, not a process that goes on after its first thread ended. */
bool procfs_ended(const struct proc_stat *st);

/* User and system time of a thread in ns (schedstat), 0 unknown. */
uint64_t procfs_cpu_ns(uint32_t pid, uint32_t tid);

/* What a process's first thread has run and waited for a CPU, in ns: while that stands still it waits for something else. */
uint64_t procfs_effort_ns(uint32_t pid);

int procfs_uid(uint32_t pid, uint32_t *uid);

/* Is pid one of the n listed? */
bool procfs_listed(const uint32_t *pids, size_t n, uint32_t pid);

/* Calls fn for each process, or each thread of pid, or each descriptor of pid. */
void procfs_each_pid(void (*fn)(void *ctx, uint32_t pid), void *ctx);
void procfs_each_tid(uint32_t pid, void (*fn)(void *ctx, uint32_t tid), void *ctx);
/* The same for each entry of a directory /proc/PID/NAME that is a number. 0 or -errno. */
int procfs_each_number(uint32_t pid, const char *name, void (*fn)(void *ctx, uint32_t n),
                       void *ctx);
void procfs_each_fd(uint32_t pid, void (*fn)(void *ctx, int fd, const char *target), void *ctx);

/* An executable, file-backed mapping. */
struct proc_map {
	uint64_t start, end, off, ino;
	uint32_t dev_major, dev_minor;
	const char *path; /* as the target sees it, may end in " (deleted)" */
};
int procfs_each_exec_map(uint32_t pid, void (*fn)(void *ctx, const struct proc_map *m), void *ctx);
/* The file behind a mapping, open for reading: the same file in any container, and when it was deleted. Or -errno. */
int procfs_open_map(uint32_t pid, const struct proc_map *m);
/*
 * A file by its path as pid sees it, open for reading: links lead nowhere but to its own root. Or -errno. As above only a regular
 * file is ever opened: what a process calls its file may be a FIFO, which hangs who opens it, or a device, which acts.
 */
int procfs_open_inside(uint32_t pid, const char *path);

/* Copies n bytes of pid's memory; whole or -errno. Stops nothing. */
int procfs_memory(uint32_t pid, uint64_t addr, void *to, size_t n);

#endif
