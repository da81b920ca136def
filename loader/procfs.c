/* SPDX-License-Identifier: BSD-2-Clause */
/* /proc as data: bounded reads, no assumptions that a process is still there. */
#include "procfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PF_FORKNOEXEC 0x00000040 /* include/linux/sched.h */
#define PF_KTHREAD 0x00200000

/* What is in an open file, at most n - 1 bytes, NUL-terminated; takes fd, which may be -errno. */
static ssize_t read_all(int fd, char *buf, size_t n)
{
	size_t have = 0;

	if (fd < 0)
		return fd;
	while (have < n - 1) {
		ssize_t r = read(fd, buf + have, n - 1 - have);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0) {
			int err = errno;

			close(fd);
			return -err;
		}
		if (r == 0)
			break;
		have += (size_t)r;
	}
	close(fd);
	buf[have] = '\0';
	return (ssize_t)have;
}

ssize_t procfs_read_file(const char *path, char *buf, size_t n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return read_all(fd < 0 ? -errno : fd, buf, n);
}

ssize_t procfs_read_inside(uint32_t pid, const char *path, char *buf, size_t n)
{
	return read_all(procfs_open_inside(pid, path), buf, n);
}

ssize_t procfs_read(uint32_t pid, const char *name, char *buf, size_t n)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/%u/%s", pid, name);
	return procfs_read_file(path, buf, n);
}

/* Fields by number as in proc_pid_stat(5). Those from 3 on stand behind the name. */
enum {
	STAT_STATE = 3,
	STAT_PPID = 4,
	STAT_FLAGS = 9,
	STAT_UTIME = 14,
	STAT_STIME = 15,
	STAT_THREADS = 20,
	STAT_START = 22,
	STAT_EXIT = 52, /* 0 to who may not trace the process */
};

int procfs_stat_parse(const char *text, struct proc_stat *st)
{
	const char *p = strrchr(text, ')'); /* the name may hold anything, parentheses too */
	uint64_t tick_ns = 1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK), v[STAT_EXIT + 1] = { 0 };
	int field = STAT_STATE;

	if (!p || p[1] != ' ' || !isalpha((unsigned char)p[2]))
		return -EPROTO;
	st->state = p[2];
	for (p += 3; *p == ' ' && field < STAT_EXIT; field++) {
		char *end;

		v[field + 1] = strtoull(p, &end, 10);
		if (end == p)
			break;
		p = end;
	}
	if (field < STAT_START)
		return -EPROTO;
	st->ppid = (uint32_t)v[STAT_PPID];
	st->threads = (uint32_t)v[STAT_THREADS];
	st->kernel_thread = (v[STAT_FLAGS] & PF_KTHREAD) != 0;
	st->forked = (v[STAT_FLAGS] & PF_FORKNOEXEC) != 0;
	st->start_ns = v[STAT_START] * tick_ns;
	st->cpu_ns = (v[STAT_UTIME] + v[STAT_STIME]) * tick_ns;
	st->exit_code = (int32_t)v[STAT_EXIT];
	return 0;
}

int procfs_stat(uint32_t pid, struct proc_stat *st)
{
	char buf[1024];
	ssize_t n = procfs_read(pid, "stat", buf, sizeof(buf));

	return n < 0 ? (int)n : procfs_stat_parse(buf, st);
}

bool procfs_ended(const struct proc_stat *st)
{
	return (st->state == 'Z' || st->state == 'X') && st->threads <= 1;
}

uint64_t procfs_cpu_ns(uint32_t pid, uint32_t tid)
{
	char name[64], buf[128];

	snprintf(name, sizeof(name), "task/%u/schedstat", tid);
	return procfs_read(pid, name, buf, sizeof(buf)) > 0 ? strtoull(buf, NULL, 10) : 0;
}

uint64_t procfs_effort_ns(uint32_t pid)
{
	char buf[128], *end;
	uint64_t ran;

	if (procfs_read(pid, "schedstat", buf, sizeof(buf)) <= 0)
		return 0;
	ran = strtoull(buf, &end, 10);
	return ran + strtoull(end, NULL, 10);
}

int procfs_uid(uint32_t pid, uint32_t *uid)
{
	char buf[4096], *p;
	ssize_t n = procfs_read(pid, "status", buf, sizeof(buf));

	if (n < 0)
		return (int)n;
	p = strstr(buf, "\nUid:");
	if (!p)
		return -EPROTO;
	*uid = (uint32_t)strtoul(p + 5, NULL, 10);
	return 0;
}

bool procfs_listed(const uint32_t *pids, size_t n, uint32_t pid)
{
	for (size_t i = 0; i < n; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

static int each_number(const char *dir, void (*fn)(void *ctx, uint32_t n), void *ctx)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (!d)
		return -errno;
	while ((e = readdir(d)))
		if (isdigit((unsigned char)e->d_name[0]))
			fn(ctx, (uint32_t)strtoul(e->d_name, NULL, 10));
	closedir(d);
	return 0;
}

int procfs_each_number(uint32_t pid, const char *name, void (*fn)(void *ctx, uint32_t n), void *ctx)
{
	char dir[64];

	snprintf(dir, sizeof(dir), "/proc/%u/%s", pid, name);
	return each_number(dir, fn, ctx);
}

void procfs_each_pid(void (*fn)(void *ctx, uint32_t pid), void *ctx)
{
	each_number("/proc", fn, ctx);
}

void procfs_each_tid(uint32_t pid, void (*fn)(void *ctx, uint32_t tid), void *ctx)
{
	procfs_each_number(pid, "task", fn, ctx);
}

struct fd_walk {
	uint32_t pid;
	void (*fn)(void *ctx, int fd, const char *target);
	void *ctx;
};

static void fd_visit(void *ctx, uint32_t fd)
{
	struct fd_walk *w = ctx;
	char path[64], target[512];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/fd/%u", w->pid, fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return;
	target[n] = '\0';
	w->fn(w->ctx, (int)fd, target);
}

void procfs_each_fd(uint32_t pid, void (*fn)(void *ctx, int fd, const char *target), void *ctx)
{
	struct fd_walk w = { pid, fn, ctx };

	procfs_each_number(pid, "fd", fd_visit, &w);
}

int procfs_each_exec_map(uint32_t pid, void (*fn)(void *ctx, const struct proc_map *m), void *ctx)
{
	char path[64], *line = NULL;
	size_t room = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/maps", pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (getline(&line, &room, f) > 0) {
		struct proc_map m;
		char perms[5];
		int at = 0;

		if (sscanf(line,
		           "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %" SCNx32 ":%" SCNx32
		           " %" SCNu64 " %n",
		           &m.start, &m.end, perms, &m.off, &m.dev_major, &m.dev_minor, &m.ino,
		           &at) < 7)
			continue;
		if (perms[2] != 'x' || m.ino == 0 || line[at] != '/')
			continue;
		line[strcspn(line, "\n")] = '\0';
		m.path = line + at;
		fn(ctx, &m);
	}
	free(line);
	fclose(f);
	return 0;
}

/* Opens what an O_PATH descriptor stands for, if it is a regular file; takes fd, which may be -1 with errno set. */
static int open_regular(int fd)
{
	char path[32];
	struct stat st;
	int err = 0, opened;

	if (fd < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fstat(fd, &st))
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = -EINVAL;
	opened = err ? err : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (!err && opened < 0)
		opened = -errno;
	close(fd);
	return opened;
}

int procfs_open_map(uint32_t pid, const struct proc_map *m)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/%u/map_files/%" PRIx64 "-%" PRIx64, pid, m->start,
	         m->end);
	return open_regular(open(path, O_PATH | O_CLOEXEC));
}

int procfs_open_inside(uint32_t pid, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC,
		                .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	char root[64];
	int dir, fd;

	snprintf(root, sizeof(root), "/proc/%u/root", pid);
	dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	fd = open_regular((int)syscall(SYS_openat2, dir, path, &how, sizeof(how)));
	close(dir);
	return fd;
}

int procfs_memory(uint32_t pid, uint64_t addr, void *to, size_t n)
{
	struct iovec local = { to, n }, remote = { (void *)(uintptr_t)addr, n };
	ssize_t r = process_vm_readv((pid_t)pid, &local, 1, &remote, 1, 0);

	if (r < 0)
		return -errno;
	return (size_t)r == n ? 0 : -EFAULT;
}
