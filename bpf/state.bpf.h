/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What all kernel programs share: whom to watch, what is remembered of threads and sockets, how records leave. */
#ifndef WHYSTUCK_STATE_BPF_H
#define WHYSTUCK_STATE_BPF_H
#include "event.h"
#include "state.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define S_IFMT 0170000
#define S_IFSOCK 0140000

extern volatile int ready; /* 0: attached, but nothing is reported yet */

/* Watched processes: tgid -> 1. Filled by the loader for what exists, by fork for what comes. */
struct targets {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TARGETS_MAX);
	__type(key, __u32);
	__type(value, __u32);
};
extern struct targets targets SEC(".maps");

/* Is this process watched? */
static __always_inline bool watched(__u32 tgid)
{
	return ready && bpf_map_lookup_elem(&targets, &tgid) != 0;
}

/* What is remembered of each thread: tid -> its state. */
struct threads_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, THREADS_MAX);
	__uint(map_flags, 1); /* BPF_F_NO_PREALLOC: room only for threads that exist */
	__type(key, __u32);
	__type(value, struct thread_state);
};
extern struct threads_map threads SEC(".maps");

/* The current thread's entry, made when missing; NULL when the table is full. */
__hidden struct thread_state *thread_state(__u32 tid, __u32 tgid);

/* A place to build one record in, EVENT_SIZE_MAX large; NULL (counted) when all are taken. Must be put back. A slot is
 * owned, not per CPU: a program in a uprobe can be preempted by another one on the same CPU. */
struct slot {
	__u32 taken;
	__u32 pad;
	__u64 room[EVENT_SIZE_MAX / 8];
};
struct slots {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS_MAX);
	__type(key, __u32);
	__type(value, struct slot);
};
extern struct slots slots SEC(".maps");

struct losses_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct losses);
};
extern struct losses_map losses SEC(".maps");

static __always_inline struct losses *losses_now(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&losses, &zero);
}

/* Takes a slot and tells its number; SLOTS_MAX (counted): all are taken. Like data_send, a function of its own to the verifier. */
__u32 slot_number(void);

static __always_inline struct slot *slot_take(void)
{
	__u32 k = slot_number();

	return bpf_map_lookup_elem(&slots, &k); /* of no map entry: NULL */
}

static __always_inline void slot_put(struct slot *s)
{
	__sync_lock_test_and_set(&s->taken, 0);
}

struct events {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING_BYTES);
};
extern struct events events SEC(".maps");

/* What the loader must act on now: look for TLS code before it is used, follow a child, notice the end. */
static __always_inline bool urgent(const struct event *h)
{
	return h->type == EV_MAPPED || h->type == EV_EXEC || h->type == EV_CANDIDATE ||
	       (h->type == EV_FORK && !(h->flags & EVF_THREAD)) ||
	       (h->type == EV_EXIT && (h->flags & EVF_LAST));
}

/* Writes a record; a failed one is counted. Waking the loader for each would cost the target more than the record: it
 * comes by itself every RING_POLL_MS, sooner when much is waiting or something urgent is. */
static __always_inline void emit(void *record, __u32 size)
{
	struct losses *l = losses_now();
	bool wake = urgent(record) ||
	            bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > RING_WAKE_BYTES;

	if (!l)
		return;
	if (bpf_ringbuf_output(&events, record, size,
	                       wake ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP))
		__sync_fetch_and_add(&l->ring, 1);
	else
		__sync_fetch_and_add(&l->sent, 1);
}

static __always_inline void header(struct event *h, __u16 type, __u16 flags, __u32 size)
{
	__u64 id = bpf_get_current_pid_tgid();

	h->size = size;
	h->type = type;
	h->flags = flags;
	h->ts_ns = bpf_ktime_get_ns();
	h->pid = id >> 32;
	h->tid = (__u32)id;
}

/* What a program knows of the socket behind a descriptor. */
struct sock_ref {
	__u64 ino;
	struct sock *sk;
	struct file *file;
	__u16 family;
	__u16 kind;
};

/* What fd of the current process refers to, NULL nothing. */
static __always_inline struct file *file_of_fd(int fd)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct fdtable *fdt = BPF_CORE_READ(task, files, fdt);
	struct file **fds = BPF_CORE_READ(fdt, fd), *file = 0;

	if (fd < 0 || (__u32)fd >= BPF_CORE_READ(fdt, max_fds))
		return 0;
	if (bpf_probe_read_kernel(&file, sizeof(file), fds + fd))
		return 0;
	return file;
}

/* False if it is no socket of a family we follow. */
static __always_inline bool sock_of_file(struct file *file, struct sock_ref *r)
{
	struct inode *inode;
	struct socket *socket;
	struct sock *sk;

	if (!file)
		return 0;
	inode = BPF_CORE_READ(file, f_inode);
	if ((BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	sk = BPF_CORE_READ(socket, sk);
	if (!sk)
		return 0;
	r->ino = BPF_CORE_READ(inode, i_ino);
	r->file = file;
	r->sk = sk;
	r->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	r->kind = (__u16)BPF_CORE_READ(socket, type);
	return r->family == AF_INET || r->family == AF_INET6 || r->family == AF_UNIX;
}

static __always_inline bool sock_of_fd(int fd, struct sock_ref *r)
{
	return sock_of_file(file_of_fd(fd), r);
}

/* Fills addresses and ports of e from the socket. */
static __always_inline void sock_addresses(struct ev_socket *e, struct sock *sk, __u16 family)
{
	if (family == AF_INET) {
		__u32 a = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);

		__builtin_memcpy(e->local, &a, 4);
		a = BPF_CORE_READ(sk, __sk_common.skc_daddr);
		__builtin_memcpy(e->remote, &a, 4);
	} else if (family == AF_INET6) {
		BPF_CORE_READ_INTO(&e->local, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
		BPF_CORE_READ_INTO(&e->remote, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
	}
	if (family != AF_UNIX) {
		e->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
		e->remote_port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	}
	e->tcp_state = BPF_CORE_READ(sk, __sk_common.skc_state);
}

static __always_inline bool unix_named(struct sock *sk)
{
	struct unix_sock *u = (struct unix_sock *)sk;
	struct unix_sock *peer = (struct unix_sock *)BPF_CORE_READ(u, peer);

	return BPF_CORE_READ(u, addr) || (peer && BPF_CORE_READ(peer, addr));
}

/* Path of a unix socket's peer, else its own; bytes copied to to[UNIX_PATH_MAX], 0 when neither has a name. */
static __always_inline __u32 unix_path(struct sock *sk, char *to)
{
	struct unix_sock *u = (struct unix_sock *)sk;
	struct unix_sock *peer = (struct unix_sock *)BPF_CORE_READ(u, peer);
	struct unix_address *a = peer ? BPF_CORE_READ(peer, addr) : 0;
	int len;

	if (!a)
		a = BPF_CORE_READ(u, addr);
	if (!a)
		return 0;
	len = BPF_CORE_READ(a, len) - 2; /* sun_family */
	if (len <= 0 || len > UNIX_PATH_MAX)
		return 0;
	if (bpf_probe_read_kernel(to, len & 127,
	                          (const char *)a + bpf_core_field_offset(a->name) + 2))
		return 0;
	return len & 127;
}

/* Begins a record about a socket of the current process: EV_SOCKET, EV_CONNECT, EV_ACCEPT. */
static __always_inline struct ev_socket *socket_record(struct slot *s, __u16 type,
                                                       struct sock_ref *r, int fd)
{
	struct ev_socket *e = (struct ev_socket *)s->room;

	__builtin_memset(e, 0, sizeof(*e));
	header(&e->h, type, 0, 0);
	e->sock = r->ino;
	e->fd = fd;
	e->family = r->family;
	e->kind = r->kind;
	sock_addresses(e, r->sk, r->family);
	return e;
}

/* The entry of a socket in the current process, EV_SOCKET sent when it is new; NULL: not to be followed. */
__hidden struct sock_state *sock_state(struct sock_ref *r);

/* Sends n bytes at user address p as records of the operation *d describes (header fields, total and off set); off is
 * advanced. more: further bytes follow. A function of its own to the verifier: checked once, not at every call. Returns 0. */
int data_send(struct slot *s, __u64 p, __u32 n, __u32 more);

#endif
