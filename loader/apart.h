/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Work that may hang for ever, done in a child process with a time limit. Reading another process's memory takes a lock
 * that process may hold while it hangs in the kernel, and then not even a signal ends the wait.
 */
#ifndef APART_H
#define APART_H
#include <sys/types.h>
#include "source.h"

/* Children that would not end, at most: each hangs until the process it read goes on or is gone. */
#define APART_LEFT_MAX 32

/* Begin with zeroes. */
struct apart {
	pid_t left[APART_LEFT_MAX]; /* children of earlier runs that would not end */
	unsigned nleft;
};

/* Items worked off one after the other by one child, as long as none of them hangs. */
struct apart_job {
	size_t n; /* items */
	/* In the child. What it sends is emitted here, as it comes. */
	void (*work)(void *ctx, size_t item, event_fn send, void *send_ctx);
	/*
	 * Here: an item was not finished, and what it had sent has been emitted. -ETIMEDOUT: it hangs, its child is left
	 * behind, and the next item begins in a new one, a copy of us as we are after this call; -ETIME: never
	 * begun, total_ns was over; -EBUSY: never begun, too many children hang; -EPROTO: its child died, or sent what is
	 * no record; or another -errno.
	 */
	void (*missed)(void *ctx, size_t item, int err);
	void *ctx;
	/* For one item to finish in. An item that got on, that is, ran or wanted to run for a tenth of it, may go on as
	 * long again: a machine under load is no hang. */
	uint64_t item_ns;
	uint64_t total_ns;
};
void apart_each(struct apart *a, const struct apart_job *job, event_fn emit, void *ctx);

/* A single piece of work. 0, -ETIMEDOUT (what came by then has been emitted), -EBUSY (too many hang: nothing was begun), or
 * another -errno. */
int apart_run(struct apart *a, void (*work)(void *work_ctx, event_fn send, void *send_ctx),
              void *work_ctx, uint64_t limit_ns, event_fn emit, void *ctx);

#endif
