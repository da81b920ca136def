/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a file lies, as a process sees it: from the text of its /proc/PID/mountinfo (proc_pid_mountinfo(5)). */
#ifndef MOUNTS_H
#define MOUNTS_H
#include <stddef.h>
#include <stdint.h>

/*
 * The path of what stands at `inside` (from '/' on) in the file system on device dev (major << 20 | minor): seen through the mount
 * with that id if it shows it, else through that whose root is the longest part of the way. Mount points are relative to the
 * process's root. 0 and to[n] is filled; -ENOENT: no mount shows it; -ENAMETOOLONG.
 */
int mounts_path(const char *mountinfo, size_t len, int id, uint64_t dev, const char *inside,
                char *to, size_t n);

/* The id of the mount that is the process's root, -1: none is. */
int mounts_root(const char *mountinfo, size_t len);
#endif
