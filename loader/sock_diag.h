/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sockets without BPF: what the kernel tells of them over netlink (sock_diag(7)) in each network namespace of the tree, and
 * options through a duplicate of the target's descriptor, which is only asked and closed again. Rows as the socket iterator
 * (bpf/snapshot.bpf.c) makes them: EV_SOCKET, behind it EV_TIMERS of a TCP connection, or an EV_HOLDER with the
 * other end of a unix socket (loader/sockets.h).
 */
#ifndef SOCK_DIAG_H
#define SOCK_DIAG_H
#include <stdbool.h>
#include <stddef.h>
#include "event.h"
#include "rows.h"

#define DIAG_PATH_MAX 108 /* sun_path, unix(7) */

/* A socket as one message of a dump tells it. */
struct diag_socket {
	struct ev_timers timers; /* size 0: none, no TCP connection */
	uint32_t peer;           /* AF_UNIX: inode of the other end, 0 none */
	uint32_t path_n;         /* bytes of its own name */
	char path[DIAG_PATH_MAX];
	struct ev_socket socket; /* without its path */
};

/* What a look at sockets could not see, counted. */
struct diag_missing {
	uint32_t namespaces; /* network namespaces that could not be entered ... */
	int namespace_err;   /* ... and why, an errno, as below */
	uint32_t dumps;      /* questions the kernel would not answer */
	int dump_err;
	uint32_t options; /* descriptors that could not be duplicated: no options known */
	int option_err;
	uint32_t sockets;     /* nothing known of them but their inode */
	uint32_t descriptors; /* processes whose descriptors could not be listed */
	int descriptor_err;
	uint32_t beyond; /* descriptors beyond a limit */
};

/*
 * The payload of one SOCK_DIAG_BY_FAMILY message, n bytes, of a dump for family and protocol (0 for AF_UNIX). False when it
 * is too short or of another family; unknown fields are zero. ts_ns is left to the caller.
 */
bool sock_diag_parse(const void *msg, size_t n, int family, int protocol, struct diag_socket *to);

/*
 * Rows of all sockets of the processes listed. Enters network namespaces: only for a process of one's own that ends
 * afterwards (loader/apart.h).
 */
void sock_diag_take(const uint32_t *pids, size_t n, struct rows *to, struct diag_missing *missing);

#endif
