/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* TLS calls that goroutines are in: what the programs on Go's functions and those on system calls share. */
#ifndef WHYSTUCK_GO_BPF_H
#define WHYSTUCK_GO_BPF_H
#include "state.bpf.h"

/* Registers of Go's calling convention from 1.17 on (cmd/compile/abi-internal.md): arguments, the goroutine, a result. */
#if defined(__TARGET_ARCH_x86)
#define GO_ARG1(regs) ((regs)->ax)
#define GO_ARG2(regs) ((regs)->bx)
#define GO_RESULT(regs) ((regs)->ax)
#define GO_G(regs) ((regs)->r14)
#elif defined(__TARGET_ARCH_arm64)
#define GO_ARG1(r) ((r)->regs[0])
#define GO_ARG2(r) ((r)->regs[1])
#define GO_RESULT(r) ((r)->regs[0])
#define GO_G(r) ((r)->regs[28])
#endif

struct go_call {
	__u64 object, buf; /* the *tls.Conn, and the bytes to be written or read into */
	__u64 start_ns;
	__u64 sock; /* inode of the socket beneath, 0 unknown */
	__s32 fd;
	__u32 dir;
};

struct go_calls_map {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, GO_CALLS_MAX);
	__type(key, struct go_key);
	__type(value, struct go_call);
};
extern struct go_calls_map go_calls SEC(".maps");

/* A system call moves bytes of a socket while goroutine g runs on this thread. If that goroutine is still in the TLS call it
 * began on it, the call speaks through that socket. */
static __always_inline void go_uses(struct thread_state *t, __u64 g, __u32 dir, __u64 ino, int fd)
{
	struct go_call *c;

	if (!t->go.g || t->go.g != g)
		return;
	c = bpf_map_lookup_elem(&go_calls, &t->go);
	if (!c || c->sock || c->dir != dir)
		return;
	c->sock = ino;
	c->fd = fd;
}

#endif
