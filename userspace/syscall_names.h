/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System calls for people: the name and the arguments of what a thread is blocked in. By the
 * numbers of the machine whystuck is built for (x86_64, aarch64); a recording from another machine
 * would read wrong and is not opened there.
 */
#ifndef SYSCALL_NAMES_H
#define SYSCALL_NAMES_H
#include <stdbool.h>
#include <stddef.h>

#include "event.h"

#define SYSCALL_NAME_MAX 32
#define SYSCALL_ARGS_MAX 160

/* "recvfrom", or "syscall_123" in buf; NULL for -1, not in one. */
const char *syscall_name(int nr, char buf[static SYSCALL_NAME_MAX]);

/*
 * "fd=7, len=16384, flags=0x40"; "" when nothing is known of the call. Pointers are left out, bar
 * a futex's.
 */
void syscall_args(const struct ev_thread *t, char *out, size_t n);

/*
 * The descriptor it works on, -1 none or unknown. epoll's own is one, what it watches is in
 * t->fds.
 */
int syscall_fd(const struct ev_thread *t);
/*
 * It waits for many things at once (poll, select, epoll): its timeout is not that of one of them.
 */
bool syscall_multiplexes(const struct ev_thread *t);
#endif
