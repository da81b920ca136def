/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets of a snapshot: what the socket iterator (bpf/snapshot.bpf.c) tells of each, as events. */
#ifndef SOCKETS_H
#define SOCKETS_H
#include <stddef.h>
#include "source.h"

struct bpf_link;

struct socket_seen {
	uint32_t pid;
	int fd;
	int64_t timeout_ns;
};

/* What is kept of the newest sockets_take(); begin with zeroes. */
struct sockets {
	struct socket_seen *seen;
	size_t n, room;
};

/* Emits EV_SOCKET, and behind it EV_TIMERS of a TCP connection, for every socket of the listed processes. 0 or -errno. */
int sockets_take(struct sockets *s, struct bpf_link *link, const uint32_t *pids, size_t npids,
                 event_fn emit, void *ctx);

/* SO_RCVTIMEO of a descriptor as the newest sockets_take() found it: ns, TIMEOUT_NONE, or TIMEOUT_UNKNOWN. */
int64_t sockets_timeout(const struct sockets *s, uint32_t pid, int fd);

void sockets_free(struct sockets *s);

#endif
