/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that are written to: from the names the kernel programs saw to the path as the target sees it. */
#ifndef FILES_H
#define FILES_H
#include <stdbool.h>
#include "record.h"

struct files;

struct files *files_new(void); /* NULL: out of memory */
void files_free(struct files *f);

/*
 * raw: EV_FILE as the kernel programs send it (struct file_names, bpf/state.h). Makes the record of the stream of it, in *to; its
 * path may begin with "..." (the outer part is not known, it is too long) or be "" (unknown). NULL: it was told before, or raw does
 * not hold together. pids: processes of the tree, asked for their mounts when the writer is gone.
 */
const struct event *files_take(struct files *f, const struct event *raw, const uint32_t *pids,
                               size_t npids, struct record *to);

/* Which file has this number, as announced last (struct file_limit); false: not known any more. */
bool files_id(const struct files *f, uint64_t ino, uint64_t dev, uint64_t *id);

/* The path inside its file system or root, out of len bytes of n names, innermost first: 0, -EPROTO when they are not so many whole
 * names, -ENAMETOOLONG. cut: there were more. */
int files_join(const char *names, size_t len, uint32_t n, bool cut, char *to, size_t size);
#endif
