/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads an iterator to its end. */
#include "iter.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define ROOM_FIRST (1 << 16)
#define ROOM_LEFT \
	(1        \
	 << 15) /* for one read: the kernel's own buffer is 32 KiB (BPF_SEQ_BUF_SIZE is 8 pages) */

char *iter_read(struct bpf_link *link, size_t *n)
{
	size_t room = ROOM_FIRST, have = 0;
	char *buf = malloc(room);
	int fd = buf ? bpf_iter_create(bpf_link__fd(link)) : -1;

	while (fd >= 0) {
		ssize_t r;

		if (room - have < ROOM_LEFT) {
			char *more = realloc(buf, room *= 2);

			if (!more)
				break;
			buf = more;
		}
		r = read(fd, buf + have, room - have);
		if (r < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (r <= 0)
			break;
		have += (size_t)r;
	}
	if (fd < 0) {
		int err = errno;

		free(buf);
		errno = err;
		return NULL;
	}
	close(fd);
	*n = have;
	return buf;
}
