/* SPDX-License-Identifier: BSD-2-Clause */
/* Each probe does the thing, in small, and undoes it. */
#include "host_features.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "native_stack.h"
#include "procfs.h"
#include "uprobe_multi.h"
#include "whystuck.skel.h"

static bool say(char *why, size_t n, const char *what, int err)
{
	snprintf(why, n, "%s: %s", what, strerror(err));
	return false;
}

static bool probe_root(char *why, size_t n)
{
	snprintf(why, n, "%s", geteuid() ? "run it with sudo" : "");
	return geteuid() == 0;
}

static bool probe_btf(char *why, size_t n)
{
	struct utsname u;

	if (access("/sys/kernel/btf/vmlinux", R_OK) == 0)
		return true;
	uname(&u);
	snprintf(why, n,
	         "/sys/kernel/btf/vmlinux: %s (kernel %s built without CONFIG_DEBUG_INFO_BTF?)",
	         strerror(errno), u.release);
	return false;
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

static struct whystuck_bpf *load(bool multi)
{
	struct whystuck_bpf *skel;

	libbpf_set_print(quiet);
	skel = whystuck_bpf__open();
	if (!skel)
		return NULL;
	if (multi) {
		bpf_program__set_expected_attach_type(skel->progs.tls_enter, UPROBE_MULTI_TYPE);
		bpf_program__set_expected_attach_type(skel->progs.tls_exit, UPROBE_MULTI_TYPE);
	}
	skel->rodata->report_files = skel->rodata->report_output = 1; /* as watch has it */
	if (whystuck_bpf__load(skel)) {
		int err = errno;

		whystuck_bpf__destroy(skel);
		errno = err;
		return NULL;
	}
	return skel;
}

/* Loaded by the first probe that needs it, for all of them: loading takes longest. */
static struct whystuck_bpf *programs;

static bool probe_programs(char *why, size_t n)
{
	if (!programs)
		programs = load(false);
	return programs ? true : say(why, n, "loading the kernel programs", errno);
}

static bool attach_program(char *why, size_t n, const char *name)
{
	struct bpf_program *prog;
	struct bpf_link *link;
	int err;

	if (!probe_programs(why, n))
		return false;
	prog = bpf_object__find_program_by_name(programs->obj, name);
	link = prog ? bpf_program__attach(prog) : NULL;
	err = errno;
	bpf_link__destroy(link);
	return link ? true : say(why, n, name, err);
}

static bool probe_syscalls(char *why, size_t n)
{
	return attach_program(why, n, "syscall_enter") && attach_program(why, n, "syscall_exit");
}

static bool probe_process(char *why, size_t n)
{
	return attach_program(why, n, "process_fork");
}

static bool probe_iterators(char *why, size_t n)
{
	return attach_program(why, n, "snapshot_thread") &&
	       attach_program(why, n, "snapshot_socket");
}

struct own_code {
	uint64_t addr, offset;
};

static void own_code(void *ctx, const struct proc_map *m)
{
	struct own_code *c = ctx;

	if (c->addr >= m->start && c->addr < m->end)
		c->offset = c->addr - m->start + m->off;
}

/* A probe on a function of our own executable, for our own process. */
static bool probe_uprobe_multi(char *why, size_t n)
{
	struct whystuck_bpf *skel = load(true);
	struct own_code code = { .addr = (uintptr_t)probe_root };
	uint64_t cookie = 0;
	int fd;

	procfs_each_exec_map((uint32_t)getpid(), own_code, &code);
	if (!skel)
		return say(
			why, n,
			"not known to this kernel (it came with Linux 6.6); single probes are used",
			errno);
	fd = uprobe_multi_attach(bpf_program__fd(skel->progs.tls_enter), getpid(), "/proc/self/exe",
	                         &code.offset, &cookie, 1, false);
	whystuck_bpf__destroy(skel);
	if (fd < 0)
		return say(why, n, "attaching", -fd);
	close(fd);
	return true;
}

static bool probe_memory(char *why, size_t n)
{
	int here = 1, there = 0;
	struct iovec local = { &there, sizeof(there) }, remote = { &here, sizeof(here) };

	if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == sizeof(here))
		return true;
	return say(why, n, "process_vm_readv", errno);
}

static bool probe_pidfd(char *why, size_t n)
{
	long fd = syscall(SYS_pidfd_open, getpid(), 0);

	if (fd < 0)
		return say(why, n, "pidfd_open", errno);
	close((int)fd);
	return true;
}

static bool probe_native(char *why, size_t n)
{
	const char *without = native_stacks_without();

	snprintf(why, n, "%s", without ? without : "");
	return !without;
}

static bool probe_symbols(char *why, size_t n)
{
	unsigned long long addr = 0;
	FILE *f = fopen("/proc/kallsyms", "re");

	if (f && fscanf(f, "%llx", &addr) != 1)
		addr = 0;
	if (f)
		fclose(f);
	snprintf(why, n, "%s", addr ? "" : "addresses are hidden (kernel.kptr_restrict)");
	return addr != 0;
}

const struct host_feature host_features[] = {
	{ "root", "everything below", "only replay works", probe_root },
	{ "process descriptors", "knowing for sure that the target ended",
	  "watch and run do not work", probe_pidfd },
	{ "kernel types (BTF)", "kernel programs that fit this kernel", "watch and run do not work",
	  probe_btf },
	{ "kernel programs (BPF)", "observing at all", "watch and run do not work",
	  probe_programs },
	{ "system call tracepoints", "connections, calls, activity", "watch and run do not work",
	  probe_syscalls },
	{ "process tracepoints", "children of the target", "watch and run do not work",
	  probe_process },
	{ "iterators", "what began before we came: sockets, threads", "watch and run do not work",
	  probe_iterators },
	{ "many probes in one link", "TLS plaintext, detached in milliseconds",
	  "single probes: leaving takes seconds", probe_uprobe_multi },
	{ "reading the target's memory", "decoded arguments of blocked calls",
	  "waiting threads without descriptors", probe_memory },
	{ "native frames (libdw)", "the native functions that threads wait in",
	  "waiting threads with Python's and the kernel's functions only", probe_native },
	{ "kernel symbols", "names in kernel stacks", "kernel stacks without names",
	  probe_symbols },
	{ 0 },
};
