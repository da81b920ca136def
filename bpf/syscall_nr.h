/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Numbers of the system calls we look into. Those an architecture lacks get numbers that never come. */
#ifndef WHYSTUCK_SYSCALL_NR_H
#define WHYSTUCK_SYSCALL_NR_H

#if defined(__TARGET_ARCH_x86)
enum {
	NR_read = 0, NR_write = 1, NR_poll = 7, NR_select = 23, NR_epoll_wait = 232, NR_pselect6 = 270, NR_ppoll = 271,
	NR_epoll_pwait = 281, NR_open = 2, NR_close = 3, NR_mmap = 9, NR_pread64 = 17, NR_pwrite64 = 18,
	NR_readv = 19, NR_writev = 20, NR_sendfile = 40, NR_connect = 42, NR_accept = 43, NR_sendto = 44,
	NR_recvfrom = 45, NR_sendmsg = 46, NR_recvmsg = 47, NR_clone = 56, NR_execve = 59, NR_wait4 = 61,
	NR_fsync = 74, NR_fdatasync = 75, NR_rename = 82, NR_unlink = 87, NR_getdents64 = 217, NR_openat = 257,
	NR_unlinkat = 263, NR_renameat2 = 316, NR_accept4 = 288, NR_clone3 = 435,
};
#elif defined(__TARGET_ARCH_arm64)
enum {
	NR_read = 63, NR_write = 64, NR_poll = 100003, NR_select = 100004, NR_epoll_wait = 100005, NR_pselect6 = 72,
	NR_ppoll = 73, NR_epoll_pwait = 22, NR_open = 100000, NR_close = 57, NR_mmap = 222, NR_pread64 = 67,
	NR_pwrite64 = 68, NR_readv = 65, NR_writev = 66, NR_sendfile = 71, NR_connect = 203, NR_accept = 202,
	NR_sendto = 206, NR_recvfrom = 207, NR_sendmsg = 211, NR_recvmsg = 212, NR_clone = 220,
	NR_execve = 221, NR_wait4 = 260, NR_fsync = 82, NR_fdatasync = 83, NR_rename = 100001,
	NR_unlink = 100002, NR_getdents64 = 61, NR_openat = 56, NR_unlinkat = 35, NR_renameat2 = 276,
	NR_accept4 = 242, NR_clone3 = 435,
};
#endif
#endif
