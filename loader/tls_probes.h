/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds the TLS code a process really maps (tls_code.h tells it) and hooks it. */
#ifndef TLS_PROBES_H
#define TLS_PROBES_H
#include <stdbool.h>
#include <stdint.h>
#include "event.h"
#include "tls_code.h"

struct tls_probes;

/* A file with TLS code, of one process. */
struct tls_found {
	uint32_t pid;
	enum lib_state state;
	int err;            /* errno of LIB_FAILED */
	unsigned functions; /* hooked; of tls_probes_list() those that could be */
	const char *family; /* "" not known */
	const char *how;    /* it was found, or why it cannot be read; "" not known */
	const char *path;
};

/* program_fd: the loaded programs, -1 none. Perf-event uprobes are used where the kernel has no uprobe_multi links: then
 * attach_one(ctx, ...) is called for each place and returns a handle destroyed with detach_one. */
struct tls_probes_ops {
	int program_fd[TLS_PROGRAMS];
	bool multi;
	bool dry; /* find and report, attach nothing */
	void *(*attach_one)(void *ctx, uint32_t pid, const char *path,
	                    const struct tls_place *place);
	void (*detach_one)(void *handle);
	/* Each library found, hooked or not, once per process. */
	void (*report)(void *ctx, const struct tls_found *found);
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
int tls_probes_list(uint32_t pid, void (*report)(void *ctx, const struct tls_found *found),
                    void *ctx);
/* pid is gone. */
void tls_probes_forget(struct tls_probes *t, uint32_t pid);
/* Detaches everything. */
void tls_probes_free(struct tls_probes *t);

#endif
