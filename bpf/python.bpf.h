/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which asyncio task runs on the current thread. The loader says where a process keeps things (struct python, by
 * loader/python.c); here they are followed, a few reads a record, none of which can fault or trust what it finds:
 * the thread's own PyThreadState (proven by its thread_id) -> the event loop that runs on this very thread -> the task
 * which that loop is in. So a thread of an executor, which runs while the loop's thread is in a task, has none.
 */
#ifndef WHYSTUCK_PYTHON_BPF_H
#define WHYSTUCK_PYTHON_BPF_H
#include "state.bpf.h"

#define THREAD_ENTRIES_MAX \
	16 /* of a thread's dict that are looked at; the loop's is among the first */
#define LOOP_ENTRIES_MAX 8 /* loops in a task at once that are looked at, newest first */

/* Watched CPython processes: tgid -> where things are. Filled by the loader. */
struct pythons_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TARGETS_MAX);
	__uint(map_flags, 1); /* BPF_F_NO_PREALLOC */
	__type(key, __u32);
	__type(value, struct python);
};
extern struct pythons_map pythons SEC(".maps");

#if defined(__TARGET_ARCH_x86)
/* PyDictObject from ma_used on. */
struct py_dict {
	__u64 used, version, keys, values;
};

/* Where the entries of a dict are. */
struct py_entries {
	__u64 at;
	__u32 n, size; /* of them, of one in bytes */
	__u32 key;     /* where in an entry the key is; the value follows */
};

/* False if the dict is not of a kind we read: its values must lie beside the keys. */
static __always_inline bool py_entries(const struct python *p, const struct py_dict *d,
                                       struct py_entries *e)
{
	struct {
		__u64 refs;
		union {
			__u64 size;   /* up to 3.10 */
			__u8 log2[8]; /* of the size, of the index's bytes; then the kind */
		};
		__u64 a, b, c;
	} k;
	__u64 index;

	if (d->values || bpf_probe_read_user(&k, sizeof(k), (const void *)d->keys))
		return 0;
	if (p->dict_log2) {
		if (k.log2[1] > 31)
			return 0;
		index = 32 + (1ull << k.log2[1]);
		e->n = (__u32)k.b;
		e->size = k.log2[2] ? 16 : 24;
	} else {
		index = 40 + k.size * (k.size <= 0xff ? 1 : k.size <= 0xffff ? 2 : 4);
		e->n = (__u32)k.c;
		e->size = 24;
	}
	e->key = e->size - 16;
	e->at = d->keys + index;
	return 1;
}

/* "__asyncio_running_event_loop__", as far as it is compared. */
#define LOOP_NAME_0 0x69636e7973615f5full /* "__asynci" */
#define LOOP_NAME_1 0x6e696e6e75725f6full /* "o_runnin" */

/* PyRunningLoopHolder.rl_loop */
#define HOLDER_LOOP 16

/* The event loop in a thread's dict, 0 none. What else may stand there (None, when no loop runs) is no loop in a task. */
static __noinline __u64 py_loop_in_dict(const struct python *p, __u64 dict)
{
	struct py_entries e;
	struct py_dict d;
	__u64 pair[2], name[2], loop = 0;

	if (!dict || bpf_probe_read_user(&d, sizeof(d), (const void *)(dict + PYTHON_DICT_USED)) ||
	    !py_entries(p, &d, &e))
		return 0;
	for (__u32 i = 0; i < THREAD_ENTRIES_MAX && i < e.n; i++) {
		if (bpf_probe_read_user(pair, sizeof(pair),
		                        (const void *)(e.at + i * e.size + e.key)) ||
		    !pair[1])
			continue;
		if (bpf_probe_read_user(name, sizeof(name), (const void *)(pair[0] + p->text_at)) ||
		    name[0] != LOOP_NAME_0 || name[1] != LOOP_NAME_1)
			continue;
		if (!p->holder)
			return pair[1];
		return bpf_probe_read_user(&loop, 8, (const void *)(pair[1] + HOLDER_LOOP)) ? 0
		                                                                            : loop;
	}
	return 0;
}

/* The event loop that runs on the thread whose pthread_self() this is, 0 none. */
static __always_inline __u64 py_running_loop(const struct python *p, __u64 thread)
{
	__u64 tstate = 0, id = 0, at = 0;

	if (bpf_probe_read_user(&tstate, 8, (const void *)(thread + p->tstate_at)) ||
	    bpf_probe_read_user(&id, 8, (const void *)(tstate + p->thread_id_at)) || id != thread ||
	    bpf_probe_read_user(&at, 8,
	                        (const void *)(tstate + (p->loop_at ? p->loop_at : p->dict_at))))
		return 0;
	return p->loop_at ? at : py_loop_in_dict(p, at);
}

/* The task which that loop is in: d is asyncio's dict {loop: task}, an entry of which lives as long as a step does. */
static __noinline __u64 py_task_of(const struct python *p, const struct py_dict *d, __u64 loop)
{
	struct py_entries e;
	__u64 pair[2];

	if (!loop || !py_entries(p, d, &e))
		return 0;
	for (__u32 i = 1; i <= LOOP_ENTRIES_MAX && i <= e.n; i++) {
		if (bpf_probe_read_user(pair, sizeof(pair),
		                        (const void *)(e.at + (e.n - i) * e.size + e.key)))
			return 0;
		if (pair[0] == loop)
			return pair[1];
	}
	return 0;
}

/* Address of the asyncio.Task that runs on the current thread, a thread of process tgid; 0 none or not known. */
static __always_inline __u64 python_task(__u32 tgid)
{
	const struct python *p = bpf_map_lookup_elem(&pythons, &tgid);
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct py_dict d;

	/* mostly it ends here: no Python, or no loop of it is in a task */
	if (!p ||
	    bpf_probe_read_user(&d, sizeof(d),
	                        (const void *)(p->current_tasks + PYTHON_DICT_USED)) ||
	    !d.used)
		return 0;
	return py_task_of(p, &d, py_running_loop(p, BPF_CORE_READ(task, thread.fsbase)));
}
#else
/* Where pthread_self() lies from the thread pointer is not known. */
static __always_inline __u64 python_task(__u32 tgid)
{
	return 0;
}
#endif

#endif
