/* SPDX-License-Identifier: BSD-2-Clause */
/* Iterator rows to events. A row is an event as it will be emitted; only the role is found out here. */
#include "sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "iter.h"

#define ROW_MAX (sizeof(struct ev_socket) + 128) /* as bpf/snapshot.bpf.c makes them */

static bool listed(const uint32_t *pids, size_t n, uint32_t pid)
{
	for (size_t i = 0; i < n; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

/* The row at *at, which moves behind it; NULL after the last. */
static const struct event *row_next(const char *rows, size_t n, size_t *at)
{
	const struct event *e = (const void *)(rows + *at);

	if (n - *at < sizeof(*e) || e->size > n - *at || e->size > ROW_MAX ||
	    e->size < (e->type == EV_SOCKET ? sizeof(struct ev_socket) : sizeof(struct ev_timers)))
		return NULL;
	*at += e->size;
	return e;
}

/* Ports listened on, a bit each: a connection's local port among them makes it a server's. */
static void ports_find(unsigned char ports[8192], const char *rows, size_t n)
{
	const struct event *e;

	memset(ports, 0, 8192);
	for (size_t at = 0; (e = row_next(rows, n, &at));) {
		unsigned port = e->type == EV_SOCKET ? ((const struct ev_socket *)e)->local_port
		                                     : 0;

		if (e->flags & EVF_LISTEN && port)
			ports[port / 8] |= (unsigned char)(1 << port % 8);
	}
}

static void remember(struct sockets *s, const struct ev_socket *e)
{
	if (s->n == s->room) {
		size_t room = s->room ? s->room * 2 : 64;
		struct socket_seen *more = realloc(s->seen, room * sizeof(*more));

		if (!more)
			return;
		s->seen = more;
		s->room = room;
	}
	s->seen[s->n++] = (struct socket_seen){ e->h.pid, e->fd, e->recv_timeout_ns };
}

int sockets_take(struct sockets *s, struct bpf_link *link, const uint32_t *pids, size_t npids,
                 event_fn emit, void *ctx)
{
	unsigned char ports[8192];
	const struct event *row;
	size_t n;
	char *rows = iter_read(link, &n);

	s->n = 0;
	if (!rows)
		return -errno;
	ports_find(ports, rows, n);
	for (size_t at = 0; (row = row_next(rows, n, &at));) {
		uint64_t room[ROW_MAX / 8];
		struct ev_socket *e = (struct ev_socket *)room;

		if (!listed(pids, npids, row->pid))
			continue;
		memcpy(e, row, row->size);
		if (e->h.type == EV_SOCKET) {
			if (e->family == AF_INET || e->family == AF_INET6)
				e->role = ports[e->local_port / 8] & 1 << e->local_port % 8
				                  ? ROLE_SERVER
				                  : ROLE_CLIENT;
			remember(s, e);
		}
		emit(ctx, &e->h);
	}
	free(rows);
	return 0;
}

int64_t sockets_timeout(const struct sockets *s, uint32_t pid, int fd)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->seen[i].pid == pid && s->seen[i].fd == fd)
			return s->seen[i].timeout_ns;
	return TIMEOUT_UNKNOWN;
}

void sockets_free(struct sockets *s)
{
	free(s->seen);
	*s = (struct sockets){ 0 };
}
