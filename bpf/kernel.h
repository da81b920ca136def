/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The kernel types we read, and no more: relocated by field name when the programs are loaded, so what stands
 * here needs neither the running kernel's layout nor all its fields.
 */
#ifndef WHYSTUCK_KERNEL_H
#define WHYSTUCK_KERNEL_H

#define __VMLINUX_H__ /* bpf_tracing.h: take the kernel's register names */

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;
typedef __u16 __sum16;
typedef __u8 u8;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;
typedef int bool;

/* include/uapi/linux/bpf.h, stable numbers */
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum { BPF_ANY = 0, BPF_NOEXIST = 1 };
enum { BPF_RB_NO_WAKEUP = 1, BPF_RB_FORCE_WAKEUP = 2, BPF_RB_AVAIL_DATA = 0 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip,
		cs, flags, sp, ss;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31];
	__u64 sp;
	__u64 pc;
	__u64 pstate;
};
struct pt_regs {
	union {
		struct user_pt_regs user_regs;
		struct {
			u64 regs[31];
			u64 sp;
			u64 pc;
			u64 pstate;
		};
	};
	u64 orig_x0;
	__s32 syscallno;
};
#endif

struct hlist_node {
	struct hlist_node **pprev;
};

struct timer_list {
	struct hlist_node entry;
	unsigned long expires; /* jiffies */
};

struct sock;

typedef struct {
	s64 counter;
} atomic64_t;

typedef struct {
	int counter;
} atomic_t;

struct super_block {
	__u32 s_dev;
};

struct inode {
	unsigned short i_mode;
	unsigned long i_ino;
	struct super_block *i_sb;
	__u32 i_generation;
};

struct qstr {
	union {
		struct {
			u32 hash;
			u32 len;
		};
	};
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct vfsmount mnt;
	int mnt_id;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct fs_struct {
	struct path root;
};

/* file references: file_ref_t since 6.13, f_count before */
typedef struct {
	atomic64_t refcnt;
} file_ref_t;

struct file {
	void *private_data;
	struct inode *f_inode;
	struct path f_path;
	file_ref_t f_ref;
};

struct file___count {
	atomic64_t f_count;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct signal_struct {
	atomic_t live;
	int group_exit_code;
};

struct sched_entity {
	u64 sum_exec_runtime;
	u64 prev_sum_exec_runtime;
};

struct sched_info {
	unsigned long long last_arrival;
	unsigned long long last_queued;
};

struct mm_struct;

#if defined(__TARGET_ARCH_x86)
struct thread_struct {
	unsigned long fsbase;
};
#endif

struct task_struct {
	unsigned int __state;
	int on_cpu;
	struct sched_entity se;
	struct sched_info sched_info;
	struct mm_struct *mm;
	int exit_code;
	int exit_state;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	unsigned long nvcsw;
	unsigned long nivcsw;
	u64 start_time;
	char comm[16];
	struct fs_struct *fs;
	struct files_struct *files;
	struct signal_struct *signal;
#if defined(__TARGET_ARCH_x86)
	struct thread_struct thread;
#endif
};

struct linux_binprm {
	const char *filename;
};

struct in6_addr {
	union {
		u8 u6_addr8[16];
	} in6_u;
};

/* Settings of a network namespace, times in jiffies. */
struct netns_ipv4 {
	int sysctl_tcp_keepalive_time;
	int sysctl_tcp_keepalive_intvl;
	u8 sysctl_tcp_keepalive_probes; /* an int before 5.13: reading its low byte is right there, too */
};

struct net {
	struct netns_ipv4 ipv4;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	possible_net_t skc_net;
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	unsigned long skc_flags;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

struct socket;

struct sock {
	struct sock_common __sk_common;
	struct socket *sk_socket;
	__u16 sk_protocol; /* IPPROTO_*; a bitfield before 5.6 */
	long sk_rcvtimeo;
	struct timer_list sk_timer; /* of TCP: keepalive */
};

/* Since 6.19, and in stable branches, keepalive has a timer of its own (icsk_keepalive_timer), and sk_timer's place is the retransmit timer's. */
struct sock___retransmit {
	struct timer_list tcp_retransmit_timer;
};

struct socket {
	short type;
	struct file *file;
	struct sock *sk;
};

struct sockaddr_un {
	unsigned short sun_family;
	char sun_path[108];
};

struct unix_address {
	int len;
	struct sockaddr_un name[0];
};

struct unix_sock {
	struct unix_address *addr;
	struct sock *peer;
};

struct inet_connection_sock {
	struct timer_list icsk_retransmit_timer; /* to 6.18 */
	__u32 icsk_rto;                          /* jiffies */
	__u32 icsk_user_timeout;                 /* ms */
	__u8 icsk_retransmits;
	__u8 icsk_pending;
	__u8 icsk_backoff;
	__u8 icsk_probes_out;
	struct {
		__u32 lrcvtime;
	} icsk_ack;
};

struct inet_connection_sock___timeout {
	unsigned long icsk_timeout; /* when the retransmit timer fires; to 6.17 */
};

struct inet_connection_sock___keepalive {
	struct timer_list icsk_keepalive_timer; /* since 6.19 */
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	unsigned int keepalive_time; /* jiffies, 0: as the namespace has it; so the next two */
	unsigned int keepalive_intvl;
	u8 keepalive_probes;
	u64 bytes_acked;
	u32 lsndtime;
	u32 rcv_tstamp;
	u32 packets_out;
	u32 total_retrans;
	u32 rcv_nxt;
	u32 copied_seq;
	u32 write_seq;
	u32 snd_nxt;
	u32 srtt_us;
	u64 bytes_sent;
	u64 bytes_received;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	u64 session_id;
	u64 seq_num;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	u32 fd;
	struct file *file;
};

#pragma clang attribute pop

#endif
