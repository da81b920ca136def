/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds the TLS code a process really maps and hooks it: library x symbol x program, a table. */
#ifndef TLS_PROBES_H
#define TLS_PROBES_H
#include <stdbool.h>
#include <stdint.h>
#include "event.h"

struct tls_probes;

/* enter_fd, exit_fd: the loaded programs. Perf-event uprobes are used where the kernel has no uprobe_multi links: then
 * attach_one(ctx, ...) is called for each probe and returns a handle destroyed with detach_one. */
struct tls_probes_ops {
	int enter_fd, exit_fd;
	bool multi;
	bool dry; /* find and report, attach nothing */
	void *(*attach_one)(void *ctx, uint32_t pid, const char *path, uint64_t offset,
	                    uint64_t cookie, bool ret);
	void (*detach_one)(void *handle);
	/* Each library found, hooked or not, once per process. */
	void (*report)(void *ctx, uint32_t pid, enum lib_state state, int err, unsigned functions,
	               const char *path);
	void *ctx;
};

struct tls_probes *tls_probes_new(const struct tls_probes_ops *ops);
/* Looks through pid's executable mappings and hooks what is not hooked yet. 0 or -errno. */
int tls_probes_scan(struct tls_probes *t, uint32_t pid);
/* Hooks for pid, which is about to run another program, the libraries known so far, before they are mapped: a short program
 * is done before a scan of its mappings could be. */
void tls_probes_expect(struct tls_probes *t, uint32_t pid);
/* The same for a process that is about to run the file program: that file, and the system's libssl. */
void tls_probes_prepare(struct tls_probes *t, uint32_t pid, const char *program);
/* Reports what a scan would find, LIB_HOOKED standing for what could be hooked, and attaches nothing. 0 or -errno. */
int tls_probes_list(uint32_t pid,
                    void (*report)(void *ctx, uint32_t pid, enum lib_state state, int err,
                                   unsigned functions, const char *path),
                    void *ctx);
/* pid is gone. */
void tls_probes_forget(struct tls_probes *t, uint32_t pid);
/* Detaches everything. */
void tls_probes_free(struct tls_probes *t);

#endif
