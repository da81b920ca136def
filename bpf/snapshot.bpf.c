// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Iterators: what every thread of the watched processes does, and every socket they have open, in any network namespace. */
#include "state.bpf.h"

extern int CONFIG_HZ __kconfig __weak;

#define TASK_NEW_EXIT_SHIFT 16
#define SOCK_KEEPOPEN_BIT 3 /* enum sock_flags, include/net/sock.h: stable since 2.6 */
#define TCP_LISTEN 10
#define IPPROTO_TCP 6 /* not so multipath TCP's sockets: they are no struct tcp_sock */
#define MAX_SCHEDULE_TIMEOUT 0x7fffffffffffffffl /* include/linux/sched.h: no limit */

struct slot_row {
	struct snap_thread row;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot_row);
} thread_row SEC(".maps");

/* Only one reader at a time: the loader. */
SEC("iter/task")
int snapshot_thread(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task, *me = bpf_get_current_task_btf();
	__u32 zero = 0, tgid;
	struct slot_row *room = bpf_map_lookup_elem(&thread_row, &zero);
	struct snap_thread *r;
	struct pt_regs *regs;

	if (!t || !room)
		return 0;
	tgid = t->tgid;
	if (!bpf_map_lookup_elem(&targets, &tgid))
		return 0;
	r = &room->row;
	r->tgid = tgid;
	r->tid = t->pid;
	r->state = (t->__state & 0xffff) | (__u32)t->exit_state << TASK_NEW_EXIT_SHIFT;
	r->on_cpu = t->on_cpu;
	r->switches = t->nvcsw + t->nivcsw;
	r->last_arrival = t->sched_info.last_arrival;
	r->last_queued = t->sched_info.last_queued;
	r->cpu_ns = t->se.sum_exec_runtime;
	r->last_run = t->se.sum_exec_runtime - t->se.prev_sum_exec_runtime;
	r->me_last_arrival = me->sched_info.last_arrival;
	r->syscall = -1;
	__builtin_memcpy(r->comm, t->comm, sizeof(r->comm));
	if (t->mm) {
		regs = (struct pt_regs *)bpf_task_pt_regs(t);
#if defined(__TARGET_ARCH_x86)
		r->syscall = BPF_CORE_READ(regs, orig_ax);
		r->args[0] = BPF_CORE_READ(regs, di);
		r->args[1] = BPF_CORE_READ(regs, si);
		r->args[2] = BPF_CORE_READ(regs, dx);
		r->args[3] = BPF_CORE_READ(regs, r10);
		r->args[4] = BPF_CORE_READ(regs, r8);
		r->args[5] = BPF_CORE_READ(regs, r9);
		r->sp = BPF_CORE_READ(regs, sp);
		r->ip = BPF_CORE_READ(regs, ip);
		r->saved[0] = BPF_CORE_READ(regs, bx);
		r->saved[1] = BPF_CORE_READ(regs, bp);
		r->saved[2] = BPF_CORE_READ(regs, r12);
		r->saved[3] = BPF_CORE_READ(regs, r13);
		r->saved[4] = BPF_CORE_READ(regs, r14);
		r->saved[5] = BPF_CORE_READ(regs, r15);
		r->fsbase = t->thread.fsbase;
#elif defined(__TARGET_ARCH_arm64)
		r->syscall = BPF_CORE_READ(regs, syscallno);
		r->args[0] = BPF_CORE_READ(regs, orig_x0);
		r->args[1] = BPF_CORE_READ(regs, regs[1]);
		r->args[2] = BPF_CORE_READ(regs, regs[2]);
		r->args[3] = BPF_CORE_READ(regs, regs[3]);
		r->args[4] = BPF_CORE_READ(regs, regs[4]);
		r->args[5] = BPF_CORE_READ(regs, regs[5]);
		r->sp = BPF_CORE_READ(regs, sp);
		r->ip = BPF_CORE_READ(regs, pc);
		bpf_core_read(r->saved, sizeof(r->saved), &regs->regs[19]);
#endif
	}
	r->kstack_n = (__s32)bpf_get_task_stack(t, r->kstack, sizeof(r->kstack), 0);
	bpf_seq_write(ctx->meta->seq, r, sizeof(*r));
	return 0;
}

static __always_inline __u64 jiffies_ns(__u64 j)
{
	return j * (1000000000ull / (CONFIG_HZ ? CONFIG_HZ : 1));
}

/* The clock steps: an age of n jiffies is more than n - 1. Ages are lower bounds. */
static __always_inline __u64 age_ns(__u32 j)
{
	return jiffies_ns(j ? j - 1 : 0);
}

/* include/net/inet_connection_sock.h: what icsk_pending says the retransmit timer is for */
#define ICSK_TIME_RETRANS 1
#define ICSK_TIME_PROBE0 3
#define ICSK_TIME_LOSS_PROBE 5
#define ICSK_TIME_REO_TIMEOUT 6

/* When the retransmit timer fires, in jiffies. */
static __always_inline __u64 retransmit_expires(struct inet_connection_sock *icsk)
{
	struct inet_connection_sock___timeout *old = (void *)icsk;
	struct sock___retransmit *sk = (void *)icsk;

	if (bpf_core_field_exists(old->icsk_timeout))
		return BPF_CORE_READ(old, icsk_timeout);
	if (bpf_core_field_exists(sk->tcp_retransmit_timer))
		return BPF_CORE_READ(sk, tcp_retransmit_timer.expires);
	return BPF_CORE_READ(icsk, icsk_retransmit_timer.expires);
}

/* The same of the keepalive timer; 0 not armed. */
static __always_inline __u64 keepalive_expires(struct inet_connection_sock *icsk)
{
	struct inet_connection_sock___keepalive *own = (void *)icsk;
	struct sock *sk = (struct sock *)icsk;

	if (bpf_core_field_exists(own->icsk_keepalive_timer))
		return BPF_CORE_READ(own, icsk_keepalive_timer.entry.pprev)
		               ? BPF_CORE_READ(own, icsk_keepalive_timer.expires)
		               : 0;
	return BPF_CORE_READ(sk, sk_timer.entry.pprev) ? BPF_CORE_READ(sk, sk_timer.expires) : 0;
}

/* Which timer counts, in the order of net/ipv4/inet_diag.c: what ss(8) shows. */
static __always_inline void tcp_timer(struct ev_timers *t, struct inet_connection_sock *icsk)
{
	__u64 now = bpf_jiffies64(), at = 0;

	switch (BPF_CORE_READ(icsk, icsk_pending)) {
	case ICSK_TIME_RETRANS:
	case ICSK_TIME_LOSS_PROBE:
	case ICSK_TIME_REO_TIMEOUT:
		t->timer = TIMER_RETRANSMIT;
		at = retransmit_expires(icsk);
		break;
	case ICSK_TIME_PROBE0:
		t->timer = TIMER_PROBE0;
		at = retransmit_expires(icsk);
		break;
	default:
		at = keepalive_expires(icsk);
		if (at)
			t->timer = TIMER_KEEPALIVE;
	}
	if (at > now)
		t->timer_ns = jiffies_ns(at - now);
}

/* The row behind a TCP connection's: what it is set to, and its timer. */
static __always_inline void tcp_timers(struct bpf_iter__task_file *ctx, struct ev_socket *e,
                                       struct tcp_sock *tcp)
{
	struct net *net = BPF_CORE_READ((struct sock *)tcp, __sk_common.skc_net.net);
	__u32 idle = BPF_CORE_READ(tcp, keepalive_time);
	__u32 interval = BPF_CORE_READ(tcp, keepalive_intvl);
	__u8 count = BPF_CORE_READ(tcp, keepalive_probes);
	struct ev_timers t;

	__builtin_memset(&t, 0, sizeof(t));
	t.h = e->h;
	t.h.type = EV_TIMERS;
	t.h.size = sizeof(t);
	t.sock = e->sock;
	t.bytes_acked = BPF_CORE_READ(tcp, bytes_acked);
	t.user_timeout_ms = BPF_CORE_READ(tcp, inet_conn.icsk_user_timeout);
	t.keep_idle_s = (idle ? idle : BPF_CORE_READ(net, ipv4.sysctl_tcp_keepalive_time)) /
	                (CONFIG_HZ ? CONFIG_HZ : 1);
	t.keep_interval_s =
		(interval ? interval : BPF_CORE_READ(net, ipv4.sysctl_tcp_keepalive_intvl)) /
		(CONFIG_HZ ? CONFIG_HZ : 1);
	t.keep_count = count ? count : BPF_CORE_READ(net, ipv4.sysctl_tcp_keepalive_probes);
	t.rto_us = jiffies_ns(BPF_CORE_READ(tcp, inet_conn.icsk_rto)) / 1000;
	t.backoff = BPF_CORE_READ(tcp, inet_conn.icsk_backoff);
	t.probes = BPF_CORE_READ(tcp, inet_conn.icsk_probes_out);
	tcp_timer(&t, &tcp->inet_conn);
	bpf_seq_write(ctx->meta->seq, &t, sizeof(t));
}

/* The row behind a connected unix socket's: the inode of the other end. The loader finds out who has it. */
static __always_inline void unix_peer(struct bpf_iter__task_file *ctx, struct ev_socket *e,
                                      struct sock *sk)
{
	struct sock *peer = BPF_CORE_READ((struct unix_sock *)sk, peer);
	struct file *file = peer ? BPF_CORE_READ(peer, sk_socket, file) : 0;
	struct ev_holder h;

	if (!file) /* none, or not accepted yet */
		return;
	__builtin_memset(&h, 0, sizeof(h));
	h.h = e->h;
	h.h.type = EV_HOLDER;
	h.h.size = sizeof(h);
	h.ino = e->sock;
	h.peer = BPF_CORE_READ(file, f_inode, i_ino);
	bpf_seq_write(ctx->meta->seq, &h, sizeof(h));
}

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, char[sizeof(struct ev_socket) + 128]);
} socket_row SEC(".maps");

SEC("iter/task_file")
int snapshot_socket(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	struct task_struct *task = ctx->task;
	__u32 zero = 0, tgid, path = 0;
	struct ev_socket *e;
	struct socket *socket;
	struct sock *sk;
	struct tcp_sock *tcp;

	if (!file || !task)
		return 0;
	tgid = task->tgid;
	if (!bpf_map_lookup_elem(&targets, &tgid))
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = BPF_CORE_READ(socket, sk);
	e = bpf_map_lookup_elem(&socket_row, &zero);
	if (!sk || !e)
		return 0;
	__builtin_memset(e, 0, sizeof(*e) + 128);
	e->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (e->family != AF_INET && e->family != AF_INET6 && e->family != AF_UNIX)
		return 0;
	e->h.type = EV_SOCKET;
	e->h.flags = EVF_SEEDED;
	e->h.pid = tgid;
	e->h.tid = task->pid;
	e->h.ts_ns = bpf_ktime_get_ns();
	e->sock = BPF_CORE_READ(file, f_inode, i_ino);
	e->fd = ctx->fd;
	e->kind = (__u16)BPF_CORE_READ(socket, type);
	sock_addresses(e, sk, e->family);
	e->keepalive = (BPF_CORE_READ(sk, __sk_common.skc_flags) >> SOCK_KEEPOPEN_BIT) & 1;
	e->recv_timeout_ns = TIMEOUT_UNKNOWN;
	if (BPF_CORE_READ(sk, sk_rcvtimeo) == MAX_SCHEDULE_TIMEOUT)
		e->recv_timeout_ns = TIMEOUT_NONE;
	else if (CONFIG_HZ)
		e->recv_timeout_ns = jiffies_ns((__u32)BPF_CORE_READ(sk, sk_rcvtimeo));
	if (e->tcp_state == TCP_LISTEN)
		e->h.flags |= EVF_LISTEN;
	if (e->family == AF_UNIX)
		path = unix_path(sk, e->path);
	tcp = e->family != AF_UNIX && BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP &&
	                      !(e->h.flags & EVF_LISTEN) && CONFIG_HZ
	              ? (struct tcp_sock *)sk
	              : 0;
	if (tcp) {
		__u32 now = (__u32)bpf_jiffies64();

		e->h.flags |= EVF_TCP;
		e->tcp_retransmits = BPF_CORE_READ(tcp, inet_conn.icsk_retransmits);
		e->tcp_unacked = BPF_CORE_READ(tcp, packets_out);
		e->tcp_last_sent_ns = age_ns(now - BPF_CORE_READ(tcp, lsndtime));
		e->tcp_last_recv_ns = age_ns(now - BPF_CORE_READ(tcp, inet_conn.icsk_ack.lrcvtime));
		e->tcp_last_ack_ns = age_ns(now - BPF_CORE_READ(tcp, rcv_tstamp));
		e->tcp_bytes_sent = BPF_CORE_READ(tcp, bytes_sent);
		e->tcp_bytes_recv = BPF_CORE_READ(tcp, bytes_received);
		e->tcp_unread = BPF_CORE_READ(tcp, rcv_nxt) - BPF_CORE_READ(tcp, copied_seq);
		e->tcp_unsent = BPF_CORE_READ(tcp, write_seq) - BPF_CORE_READ(tcp, snd_nxt);
		e->tcp_retrans = BPF_CORE_READ(tcp, total_retrans);
		e->tcp_rtt_us = BPF_CORE_READ(tcp, srtt_us) >> 3;
	}
	path = (path + 7) & 0x78; /* the next row stays aligned */
	e->h.size = sizeof(*e) + path;
	bpf_seq_write(ctx->meta->seq, e, sizeof(*e) + path);
	if (tcp)
		tcp_timers(ctx, e, tcp);
	else if (e->family == AF_UNIX)
		unix_peer(ctx, e, sk);
	return 0;
}
