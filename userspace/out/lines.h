/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file of JSON lines in the output directory, for one writer at a time: every line is whole or not there, whatever
 * ends the writer. When it grows past a size it becomes NAME.<n> (the highest n is the newest), and a child turns that
 * into NAME.<n>.gz; what a killed watch left half done, the next one finishes.
 */
#ifndef OUT_LINES_H
#define OUT_LINES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct lines;

struct lines_config {
	int dirfd;        /* stays the caller's, and open for as long as the lines */
	const char *name; /* copied */
	bool anew;        /* what is in NAME goes; rotated files stay */
	uint64_t
		rotate_size; /* bytes that NAME does not pass, a single longer line aside; 0 never rotates */
	uint64_t rotate_keep; /* rotated files that stay, the newest; 0 all */
};

/*
 * Opens NAME for appending, locked, 0600 and of the user behind sudo; a cut last line, of a writer that was killed, is
 * taken away. NULL with errno set: EWOULDBLOCK another one writes there; ENOSPC, EROFS, ... nothing can be written.
 */
struct lines *lines_open(const struct lines_config *c);
/* Waits a few seconds at most for what is being compressed, and leaves the rest to the next watch. */
void lines_close(struct lines *l);

/* Adds line[n], which has no newline, and one. 0 or -errno: the file is then as it was, and a later line may succeed.
 * NULL: a line there was no memory for, which counts as one that could not be written. */
int lines_write(struct lines *l, const char *line, size_t n);
/* Takes care of what is compressed in the background; never waits. lines_write does it, too. */
void lines_tend(struct lines *l);

/* Says in the log when writing into dir fails, and, once room is back, how many `what` ("turns") are missing. After each
 * write; what was said is not said again. */
void lines_report(struct lines *l, const char *dir, const char *what);

const char *lines_name(const struct lines *l);
uint64_t lines_written(const struct lines *l);
uint64_t lines_unwritten(const struct lines *l);
/* Bytes of a cut last line that lines_open took away. */
uint64_t lines_torn(const struct lines *l);
/* Times NAME was full and could not be rotated (it then grew on), and rotated files that could not be compressed. */
uint64_t lines_unrotated(const struct lines *l);
uint64_t lines_uncompressed(const struct lines *l);
#endif
