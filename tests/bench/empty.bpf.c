// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Programs that do nothing, where whystuck has its own: what the kernel takes for the attaching alone. */
#define SEC(name) __attribute__((section(name), used))

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define EMPTY(where, name)             \
	SEC(where) int name(void *ctx) \
	{                              \
		return 0;              \
	}

EMPTY("tp_btf/sys_enter", empty_syscall_enter)
EMPTY("tp_btf/sys_exit", empty_syscall_exit)
EMPTY("tp_btf/sched_process_fork", empty_fork)
EMPTY("tp_btf/sched_process_exec", empty_exec)
EMPTY("tp_btf/sched_process_exit", empty_exit)
EMPTY("uprobe", empty_tls_enter)
EMPTY("uretprobe", empty_tls_exit)
