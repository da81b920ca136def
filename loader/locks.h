/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * File locks (flock, fcntl, leases) that the listed processes hold or wait for, and who holds those they wait for, from
 * /proc/locks. Reads nothing from the locked file's file system, which may be dead.
 */
#ifndef LOCKS_H
#define LOCKS_H
#include <stdbool.h>
#include <stddef.h>
#include "source.h"

/* Emits an EV_LOCK each, with the file's path where a descriptor of its holder or of one that waits tells it. A holder that
 * /proc/locks does not name (OFD locks, a lock inherited from a process that is gone) is looked for among the descriptors of the
 * listed processes, then of all. EV_MISSING when something was left out. */
void locks_take(const uint32_t *pids, size_t n, event_fn emit, void *ctx);

/* ---- parser ---- */

struct lock_row {
	uint64_t id;   /* the number of the line; those who wait have that of the lock */
	uint32_t kind; /* enum lock_kind */
	bool write, waits;
	int64_t pid; /* -1: not told */
	uint32_t dev_major, dev_minor;
	uint64_t ino;
};

/* A line of /proc/locks, or of an fdinfo's "lock:". False: it is none. */
bool locks_parse(const char *line, struct lock_row *row);

#endif
