/* SPDX-License-Identifier: BSD-2-Clause */
/* Small files of /proc/PID/task/T to rows. */
#include "proc_rows.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "procfs.h"

bool proc_syscall_parse(const char *text, struct snap_thread *r)
{
	uint64_t args[6], sp, ip;
	long long nr;

	r->syscall = -1;
	if (strncmp(text, "running", 7) == 0)
		return true;
	if (strncmp(text, "-1 ", 3) == 0) {
		if (sscanf(text, "-1 %" SCNx64 " %" SCNx64, &sp, &ip) != 2)
			return false;
	} else {
		if (sscanf(text,
		           "%lld %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64
		           " %" SCNx64 " %" SCNx64 " %" SCNx64,
		           &nr, &args[0], &args[1], &args[2], &args[3], &args[4], &args[5], &sp,
		           &ip) != 9)
			return false;
		r->syscall = nr;
		memcpy(r->args, args, sizeof(args));
	}
	r->sp = sp;
	r->ip = ip;
	return true;
}

uint64_t proc_switches_parse(const char *text)
{
	static const char *const keys[] = { "\nvoluntary_ctxt_switches:",
		                            "\nnonvoluntary_ctxt_switches:" };
	uint64_t sum = 0;

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		const char *p = strstr(text, keys[i]);

		if (!p)
			return 0;
		sum += strtoull(p + strlen(keys[i]), NULL, 10);
	}
	return sum;
}

bool proc_slept_since(uint32_t pid, uint32_t tid, uint64_t switches)
{
	static const char state[] = "\nState:\t";
	char name[64], text[4096], *p;

	snprintf(name, sizeof(name), "task/%u/status", tid);
	if (procfs_read(pid, name, text, sizeof(text)) <= 0)
		return false;
	p = strstr(text, state);
	/* one that runs was switched in, which is counted when it is switched out */
	return p && p[sizeof(state) - 1] != 'R' && proc_switches_parse(text) == switches;
}

size_t proc_stack_parse(const char *text, char *to, size_t n)
{
	size_t have = 0;
	int frames = 0;

	for (const char *p = text; (p = strstr(p, "] ")) && frames < SNAP_STACK_MAX; frames++) {
		size_t k = strcspn(p += 2, "+\n");

		if (have + (frames > 0) + k >= n)
			break;
		if (frames)
			to[have++] = ';';
		memcpy(to + have, p, k);
		have += k;
	}
	if (n)
		to[have] = '\0';
	return have;
}

static ssize_t task_read(uint32_t pid, uint32_t tid, const char *what, char *buf, size_t n)
{
	char name[64];

	snprintf(name, sizeof(name), "task/%u/%s", tid, what);
	return procfs_read(pid, name, buf, n);
}

/* As the thread iterator gives it: include/linux/sched.h, the exit state in the upper half. */
static uint32_t state_bits(char letter)
{
	switch (letter) {
	case 'R':
		return 0;
	case 'S':
		return 1;
	case 'D':
		return 2;
	case 'I':
		return 2 | 0x400;
	case 'T':
		return 4;
	case 't':
		return 8;
	case 'X':
		return 0x10 << 16;
	case 'Z':
		return 0x20 << 16;
	}
	return 0x40; /* parked */
}

struct walk {
	uint32_t pid;
	struct rows *to;
	struct proc_missing *missing;
};

/* Gone meanwhile, or a kernel that has no such file. */
static bool gone(ssize_t n)
{
	return n == -ENOENT || n == -ESRCH;
}

static void call_fill(const struct walk *w, struct snap_thread *r)
{
	char buf[512];
	ssize_t n = task_read(w->pid, r->tid, "syscall", buf, sizeof(buf));

	r->syscall = -1;
	if (gone(n) || (n > 0 && proc_syscall_parse(buf, r)))
		return;
	w->missing->syscalls++;
	w->missing->syscall_err = n < 0 ? (int)-n : EPROTO;
}

static void stack_fill(const struct walk *w, struct proc_thread *t)
{
	char buf[4096];
	ssize_t n = task_read(w->pid, t->row.tid, "stack", buf, sizeof(buf));

	if (n >= 0) {
		proc_stack_parse(buf, t->stack, sizeof(t->stack));
	} else if (!gone(n)) {
		w->missing->stacks++;
		w->missing->stack_err = (int)-n;
	}
}

static void thread_visit(void *ctx, uint32_t tid)
{
	const struct walk *w = ctx;
	struct proc_thread t = { .row = { .tgid = w->pid, .tid = tid, .syscall = -1 } };
	struct proc_stat st;
	char buf[4096];

	/* the counters before the call: whoever compares them later sees what ran in between */
	if (task_read(w->pid, tid, "status", buf, sizeof(buf)) > 0)
		t.row.switches = proc_switches_parse(buf);
	if (task_read(w->pid, tid, "stat", buf, sizeof(buf)) <= 0 || procfs_stat_parse(buf, &st))
		return;
	t.row.state = state_bits(st.state);
	t.row.cpu_ns = procfs_cpu_ns(w->pid, tid);
	if (!t.row.cpu_ns) /* a kernel without CONFIG_SCHED_INFO: in clock ticks */
		t.row.cpu_ns = st.cpu_ns;
	if (task_read(w->pid, tid, "comm", t.row.comm, sizeof(t.row.comm)) > 0)
		t.row.comm[strcspn(t.row.comm, "\n")] = '\0';
	if (st.state != 'Z' && st.state != 'X') {
		call_fill(w, &t.row);
		stack_fill(w, &t);
	}
	rows_add(w->to, &t, sizeof(t));
}

void proc_threads_take(uint32_t pid, struct rows *to, struct proc_missing *missing)
{
	struct walk w = { pid, to, missing };

	procfs_each_tid(pid, thread_visit, &w);
}

/* How far before the list's head the descriptor may begin: 0x2e0 in glibc 2.36. */
#define DESCRIPTOR_WORDS 256

uint64_t proc_self(uint32_t pid, uint32_t tid)
{
#ifdef __x86_64__
	uint64_t words[DESCRIPTOR_WORDS], head = 0, at;
	size_t len, n = DESCRIPTOR_WORDS;

	if (syscall(SYS_get_robust_list, tid, &head, &len) || head % 8 || head < sizeof(words))
		return 0;
	/* it may begin less than that behind the start of a mapping */
	while (n >= 16 && procfs_memory(pid, head - n * 8, words, n * 8))
		n -= n / 4;
	at = head - n * 8;
	/* its first word and its third are its own address (glibc, tcbhead_t) */
	for (size_t i = n; n >= 16 && i-- > 0;)
		if (i + 2 < n && words[i] == at + i * 8 && words[i + 2] == words[i])
			return words[i];
#else
	(void)pid;
	(void)tid;
#endif
	return 0;
}
