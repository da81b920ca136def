/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Work that may hang for ever, done in a child process with a time limit. Reading another process's memory takes a lock
 * that process may hold while it hangs in the kernel, and then not even a signal ends the wait.
 */
#ifndef APART_H
#define APART_H
#include <sys/types.h>
#include "source.h"

struct apart {
	pid_t left; /* child of an earlier run that would not end; 0 none. Begin with 0. */
};

/* What work emits in the child is emitted here, as it comes. 0, -ETIMEDOUT (what came by then has been emitted), -EBUSY
 * (the one before still hangs: nothing was begun), or another -errno. */
int apart_run(struct apart *a, void (*work)(void *work_ctx, event_fn send, void *send_ctx),
              void *work_ctx, uint64_t limit_ns, event_fn emit, void *ctx);

#endif
