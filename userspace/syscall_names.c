/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One table: number, name, and what each argument is. Those that block, and those a stuck runner
 * is found in.
 */
#include "syscall_names.h"

#include <asm/unistd.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum arg_type { ARG_NONE, ARG_FD, ARG_INT, ARG_SIZE, ARG_HEX, ARG_FUTEX_OP, ARG_FLOCK_OP };

struct arg {
	enum arg_type type;
	const char *name;
};

#define FD                   \
	{                    \
		ARG_FD, "fd" \
	}
#define SKIP                   \
	{                      \
		ARG_NONE, NULL \
	}
#define LEN                     \
	{                       \
		ARG_SIZE, "len" \
	}
#define FLAGS                    \
	{                        \
		ARG_HEX, "flags" \
	}

static const struct syscall {
	int nr;
	const char *name;
	struct arg args[6];
	bool many; /* waits for many descriptors */
} syscalls[] = {
	{ __NR_read, "read", { FD, SKIP, LEN } },
	{ __NR_readv, "readv", { FD, SKIP, { ARG_INT, "vectors" } } },
	{ __NR_pread64, "pread64", { FD, SKIP, LEN, { ARG_SIZE, "offset" } } },
	{ __NR_write, "write", { FD, SKIP, LEN } },
	{ __NR_writev, "writev", { FD, SKIP, { ARG_INT, "vectors" } } },
	{ __NR_pwrite64, "pwrite64", { FD, SKIP, LEN, { ARG_SIZE, "offset" } } },
	{ __NR_recvfrom, "recvfrom", { FD, SKIP, LEN, FLAGS } },
	{ __NR_sendto, "sendto", { FD, SKIP, LEN, FLAGS } },
	{ __NR_recvmsg, "recvmsg", { FD, SKIP, FLAGS } },
	{ __NR_sendmsg, "sendmsg", { FD, SKIP, FLAGS } },
	{ __NR_connect, "connect", { FD } },
	{ __NR_accept, "accept", { FD } },
	{ __NR_accept4, "accept4", { FD, SKIP, SKIP, FLAGS } },
	{ __NR_sendfile, "sendfile", { { ARG_FD, "out_fd" }, { ARG_FD, "in_fd" }, SKIP, LEN } },
#ifdef __NR_poll
	{ __NR_poll, "poll", { SKIP, { ARG_INT, "nfds" } }, true },
#endif
	{ __NR_ppoll, "ppoll", { SKIP, { ARG_INT, "nfds" } }, true },
#ifdef __NR_select
	{ __NR_select, "select", { { ARG_INT, "nfds" } }, true },
#endif
	{ __NR_pselect6, "pselect6", { { ARG_INT, "nfds" } }, true },
#ifdef __NR_epoll_wait
	{ __NR_epoll_wait,
	  "epoll_wait",
	  { { ARG_FD, "epfd" }, SKIP, { ARG_INT, "maxevents" } },
	  true },
#endif
	{ __NR_epoll_pwait,
	  "epoll_pwait",
	  { { ARG_FD, "epfd" }, SKIP, { ARG_INT, "maxevents" } },
	  true },
#ifdef __NR_epoll_pwait2
	{ __NR_epoll_pwait2,
	  "epoll_pwait2",
	  { { ARG_FD, "epfd" }, SKIP, { ARG_INT, "maxevents" } },
	  true },
#endif
	{ __NR_futex,
	  "futex",
	  { { ARG_HEX, "uaddr" }, { ARG_FUTEX_OP, "op" }, { ARG_INT, "val" } } },
#ifdef __NR_futex_waitv
	{ __NR_futex_waitv, "futex_waitv", { SKIP, { ARG_INT, "futexes" } } },
#endif
	{ __NR_nanosleep, "nanosleep", { SKIP } },
	{ __NR_clock_nanosleep, "clock_nanosleep", { { ARG_INT, "clock" }, FLAGS } },
	{ __NR_wait4, "wait4", { { ARG_INT, "pid" }, SKIP, { ARG_HEX, "options" } } },
	{ __NR_waitid,
	  "waitid",
	  { { ARG_INT, "idtype" }, { ARG_INT, "id" }, SKIP, { ARG_HEX, "options" } } },
	{ __NR_flock, "flock", { FD, { ARG_FLOCK_OP, "op" } } },
	{ __NR_fcntl, "fcntl", { FD, { ARG_INT, "cmd" } } },
	{ __NR_ioctl, "ioctl", { FD, { ARG_HEX, "request" } } },
#ifdef __NR_open
	{ __NR_open, "open", { SKIP, FLAGS } },
#endif
	{ __NR_openat, "openat", { { ARG_INT, "dirfd" }, SKIP, FLAGS } },
	{ __NR_fsync, "fsync", { FD } },
	{ __NR_fdatasync, "fdatasync", { FD } },
	{ __NR_close, "close", { FD } },
	{ __NR_rt_sigsuspend, "rt_sigsuspend", { SKIP } },
	{ __NR_rt_sigtimedwait, "rt_sigtimedwait", { SKIP } },
#ifdef __NR_pause
	{ __NR_pause, "pause", { SKIP } },
#endif
	{ __NR_restart_syscall, "restart_syscall", { SKIP } },
	{ __NR_semtimedop, "semtimedop", { { ARG_INT, "semid" } } },
	{ __NR_msgrcv, "msgrcv", { { ARG_INT, "msqid" } } },
	{ __NR_io_getevents, "io_getevents", { SKIP } },
	{ __NR_io_uring_enter, "io_uring_enter", { FD } },
	{ __NR_sched_yield, "sched_yield", { SKIP } },
	{ __NR_mmap, "mmap", { SKIP, LEN } },
	{ __NR_munmap, "munmap", { SKIP, LEN } },
	{ __NR_madvise, "madvise", { SKIP, LEN } },
	{ __NR_exit, "exit", { SKIP } },
	{ __NR_exit_group, "exit_group", { SKIP } },
};

static const struct syscall *syscall_find(int nr)
{
	for (size_t i = 0; i < sizeof(syscalls) / sizeof(*syscalls); i++)
		if (syscalls[i].nr == nr)
			return &syscalls[i];
	return NULL;
}

struct text {
	char *p;
	size_t n, used;
};

static void text_add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void text_add(struct text *t, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(t->p + t->used, t->n - t->used, format, args);
	va_end(args);
	if (n > 0)
		t->used = t->used + (size_t)n < t->n ? t->used + (size_t)n : t->n - 1;
}

/* linux/futex.h, without FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME. */
static void futex_op(struct text *t, uint64_t op)
{
	static const char *const names[] = { "WAIT",        "WAKE",        "FD",
		                             "REQUEUE",     "CMP_REQUEUE", "WAKE_OP",
		                             "LOCK_PI",     "UNLOCK_PI",   "TRYLOCK_PI",
		                             "WAIT_BITSET", "WAKE_BITSET" };
	uint64_t command = op & 0x7f;

	if (command < sizeof(names) / sizeof(*names))
		text_add(t, "FUTEX_%s%s", names[command], op & 0x80 ? "" : "|SHARED");
	else
		text_add(t, "%" PRIu64, command);
}

static void flock_op(struct text *t, uint64_t op)
{
	static const char *const names[] = { [1] = "LOCK_SH", [2] = "LOCK_EX", [8] = "LOCK_UN" };
	uint64_t command = op & ~4ull;

	if (command < sizeof(names) / sizeof(*names) && names[command])
		text_add(t, "%s%s", names[command], op & 4 ? "|LOCK_NB" : "");
	else
		text_add(t, "%" PRIu64, op);
}

static void arg_add(struct text *t, const struct arg *a, uint64_t value)
{
	text_add(t, "%s%s=", t->used ? ", " : "", a->name);
	switch (a->type) {
	case ARG_FUTEX_OP:
		futex_op(t, value);
		break;
	case ARG_FLOCK_OP:
		flock_op(t, value);
		break;
	case ARG_SIZE:
		text_add(t, "%" PRIu64, value);
		break;
	case ARG_HEX:
		text_add(t, "0x%" PRIx64, value);
		break;
	default:
		text_add(t, "%" PRId32, (int32_t)value);
	}
}

const char *syscall_name(int nr, char buf[static SYSCALL_NAME_MAX])
{
	const struct syscall *s = syscall_find(nr);

	if (s)
		return s->name;
	if (nr < 0)
		return NULL;
	snprintf(buf, SYSCALL_NAME_MAX, "syscall_%d", nr);
	return buf;
}

void syscall_args(const struct ev_thread *t, char *out, size_t n)
{
	const struct syscall *s = syscall_find(t->syscall);
	struct text text = { out, n, 0 };

	*out = '\0';
	for (int i = 0; s && i < 6; i++)
		if (s->args[i].type != ARG_NONE)
			arg_add(&text, &s->args[i], t->args[i]);
}

int syscall_fd(const struct ev_thread *t)
{
	const struct syscall *s = syscall_find(t->syscall);

	return s && s->args[0].type == ARG_FD ? (int32_t)t->args[0] : -1;
}

bool syscall_multiplexes(const struct ev_thread *t)
{
	const struct syscall *s = syscall_find(t->syscall);

	return s && s->many;
}
