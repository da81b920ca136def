/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers known of a process (EV_FACT): its own, those of its control group, and what the kernel's log says of kills for want
 * of memory. Everything is a small read of a kernel file; a number that cannot be read is not told.
 */
#ifndef FACTS_H
#define FACTS_H
#include <stdbool.h>
#include <stddef.h>
#include "source.h"

#define FACTS_GROUP_MAX 8
#define FACTS_TEXT_MAX 4096 /* of /proc/PID/cgroup, of a mount's path */

/* What is known of the control group asked for last: many processes are in the same. Begin with zeroes. */
struct facts {
	char group[FACTS_TEXT_MAX]; /* its /proc/PID/cgroup */
	struct {
		uint32_t kind; /* enum fact_kind */
		uint64_t value, limit;
	} of_group[FACTS_GROUP_MAX];
	size_t n;
};

/* All facts of a process but those of the kernel's log. */
void facts_take(struct facts *f, uint32_t pid, event_fn emit, void *ctx);

/*
 * FACT_OOM_KILLED of each process that the kernel's log says was killed since the first of the listed was started: of their
 * children that are zombies, and of those that were in a control group of theirs. EV_MISSING when the log cannot be read.
 */
void facts_take_kills(const uint32_t *pids, size_t n, event_fn emit, void *ctx);

/* ---- parsers ---- */

/* The path of a process in a hierarchy, from the text of /proc/PID/cgroup. controller NULL: of cgroup2. False: not in it. */
bool facts_group(const char *text, const char *controller, char *path, size_t n);

/* Where a hierarchy is mounted, from the text of mountinfo, and the path that is mounted there. controller NULL: cgroup2. */
bool facts_mount(const char *text, const char *controller, char *at, char *root, size_t n);

/* avg10 of the line "some" of a pressure file in 1/100 %, -1 none. */
int64_t facts_pressure(const char *text);

/* The number behind a word at the beginning of a line ("oom_kill 3", "NSpid:\t12\t1": last of the line), -1 none. */
int64_t facts_word(const char *text, const char *word, bool last);

/* A record of /dev/kmsg. */
struct kernel_record {
	enum { KERNEL_OTHER, KERNEL_OOM, KERNEL_KILLED } kind;
	uint64_t at_us; /* since boot */
	uint32_t pid;
	char group
		[256]; /* KERNEL_OOM: control group of the process that will be killed; "" not told */
};
void facts_record(const char *text, size_t n, struct kernel_record *r);

#endif
