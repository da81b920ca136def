/* SPDX-License-Identifier: BSD-2-Clause */
/* The rotated files of NAME: NAME.<n>, NAME.<n>.gz, and NAME.<n>.gz.tmp while it is being compressed. */
#ifndef OUT_ROTATED_H
#define OUT_ROTATED_H
#include <limits.h>
#include <stdint.h>

/* Numbers above are nobody's of ours; and room for the longest name with such a number. */
#define ROTATED_MAX 999999999999ull
#define ROTATED_NAME_MAX (NAME_MAX + sizeof(".999999999999.gz.tmp"))

/* The name of NAME.<n> and what is put behind it. */
void rotated_name(char buf[static ROTATED_NAME_MAX], const char *name, uint64_t n,
                  const char *suffix);

/* The highest number in use, 0 none; the lowest above `after` that is not compressed, or half so, 0 none. -errno. */
int64_t rotated_newest(int dirfd, const char *name);
int64_t rotated_next_plain(int dirfd, const char *name, uint64_t after);

/* Removes all but the newest `keep` numbers. 0 or -errno. */
int rotated_prune(int dirfd, const char *name, uint64_t keep);

/*
 * Compresses NAME.<n> into NAME.<n>.gz and removes it; at any moment one of the two is whole. Waits for another process
 * that does the same. 0, also when there is nothing left to do, or -errno with NAME.<n> untouched.
 */
int rotated_compress(int dirfd, const char *name, uint64_t n);
#endif
