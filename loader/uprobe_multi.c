/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bpf(BPF_LINK_CREATE) by hand: libbpf 1.1 and the 6.1 headers of Debian 12 do not know this attach type. The layout is
 * that of union bpf_attr.link_create.uprobe_multi in Linux 6.6's include/uapi/linux/bpf.h.
 */
#include "uprobe_multi.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CMD_LINK_CREATE 28
#define FLAG_RETURN 1

struct link_create_uprobe_multi {
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t cnt, multi_flags, pid, pad;
};

int uprobe_multi_attach(int prog_fd, pid_t pid, const char *path, const uint64_t *offsets,
                        const uint64_t *cookies, size_t n, bool ret)
{
	struct link_create_uprobe_multi a;
	long fd;

	memset(&a, 0, sizeof(a));
	a.prog_fd = (uint32_t)prog_fd;
	a.attach_type = UPROBE_MULTI_TYPE;
	a.path = (uintptr_t)path;
	a.offsets = (uintptr_t)offsets;
	a.cookies = (uintptr_t)cookies;
	a.cnt = (uint32_t)n;
	a.multi_flags = ret ? FLAG_RETURN : 0;
	a.pid = (uint32_t)pid;
	fd = syscall(__NR_bpf, CMD_LINK_CREATE, &a, sizeof(a));
	return fd < 0 ? -errno : (int)fd;
}
