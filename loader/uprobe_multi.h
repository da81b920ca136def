/* SPDX-License-Identifier: BSD-2-Clause */
/* One BPF link for many uprobes of one process in one file (Linux >= 6.6). */
#ifndef UPROBE_MULTI_H
#define UPROBE_MULTI_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Attach type of such programs; set it before the program is loaded. */
#define UPROBE_MULTI_TYPE 48

/* Attaches prog_fd to n offsets of the file, for process pid only; cookies tell the probes apart. ret: at the functions'
 * return. Returns a link descriptor (closing it detaches, in milliseconds) or -errno; -EINVAL on kernels before 6.6. */
int uprobe_multi_attach(int prog_fd, pid_t pid, const char *path, const uint64_t *offsets,
                        const uint64_t *cookies, size_t n, bool ret);

#endif
