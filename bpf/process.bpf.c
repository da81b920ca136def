// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The process tree: children of the watched are watched, ends are told. */
#include "state.bpf.h"

#define FILENAME_MAX_SEEN 256

volatile int matching =
	0; /* 1: the loader looks at every program that is run, by its command line */

static __always_inline void candidate_tell(void)
{
	struct event e;

	header(&e, EV_CANDIDATE, 0, sizeof(e));
	emit(&e, sizeof(e));
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 tgid = BPF_CORE_READ(child, tgid), one = 1;
	struct ev_fork e = {};
	bool thread;

	if (!watched(bpf_get_current_pid_tgid() >> 32))
		return 0;
	e.child_pid = tgid;
	e.child_tid = BPF_CORE_READ(child, pid);
	thread = tgid == bpf_get_current_pid_tgid() >> 32;
	if (!thread)
		bpf_map_update_elem(&targets, &tgid, &one, BPF_ANY);
	header(&e.h, EV_FORK, thread ? EVF_THREAD : 0, sizeof(e));
	emit(&e, sizeof(e));
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct slot *s;
	struct ev_text *e;
	long n;

	if (!watched(bpf_get_current_pid_tgid() >> 32)) {
		if (ready && matching)
			candidate_tell();
		return 0;
	}
	s = slot_take();
	if (!s)
		return 0;
	e = (struct ev_text *)s->room;
	header(&e->h, EV_EXEC, 0, 0);
	n = bpf_probe_read_kernel_str(e->text, FILENAME_MAX_SEEN, BPF_CORE_READ(bprm, filename));
	n = n > 0 ? (n - 1) & (FILENAME_MAX_SEEN - 1) : 0;
	e->h.size = sizeof(*e) + n;
	emit(e, sizeof(*e) + n);
	slot_put(s);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tgid = id >> 32, tid = (__u32)id;
	struct ev_exit e = {};
	bool last;

	bpf_map_delete_elem(&threads, &tid);
	if (!watched(tgid))
		return 0;
	/* threads that end together may all see nobody alive: the one that takes the target out is the last */
	last = BPF_CORE_READ(task, signal, live.counter) == 0 &&
	       bpf_map_delete_elem(&targets, &tgid) == 0;
	header(&e.h, EV_EXIT, last ? EVF_LAST : 0, sizeof(e));
	e.code = last && BPF_CORE_READ(task, signal, group_exit_code)
	                 ? BPF_CORE_READ(task, signal, group_exit_code)
	                 : BPF_CORE_READ(task, exit_code);
	emit(&e, sizeof(e));
	return 0;
}
