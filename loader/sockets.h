/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sockets of a snapshot: the rows that tell of each, as events. Rows are records of event.h one behind the other, from the
 * socket iterator (bpf/snapshot.bpf.c) or from sock_diag: an EV_SOCKET, then of a TCP connection an EV_TIMERS, of a
 * connected unix socket an EV_HOLDER that has nothing but ino and peer (h.pid: who has ino). Not trusted.
 */
#ifndef SOCKETS_H
#define SOCKETS_H
#include <stddef.h>
#include "source.h"

struct socket_seen {
	uint32_t pid;
	int fd;
	int64_t timeout_ns;
};

/* Two ends of a unix socket by their inodes. */
struct socket_pair {
	uint64_t ino, peer;
};

/* What is kept of the newest sockets_take(); begin with zeroes. */
struct sockets {
	struct socket_seen *seen;
	size_t nseen, seen_room;
	struct socket_pair *pairs; /* an end in the listed processes first; may hold some twice */
	size_t npairs, pairs_room;
};

/* Emits EV_SOCKET and EV_TIMERS for the sockets of the listed processes; the role is found here. */
void sockets_take(struct sockets *s, const char *rows, size_t n, const uint32_t *pids, size_t npids,
                  event_fn emit, void *ctx);

/* SO_RCVTIMEO of a descriptor as the newest sockets_take() found it: ns, TIMEOUT_NONE, or TIMEOUT_UNKNOWN. */
int64_t sockets_timeout(const struct sockets *s, uint32_t pid, int fd);

void sockets_free(struct sockets *s);

#endif
