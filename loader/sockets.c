/* SPDX-License-Identifier: BSD-2-Clause */
/* A row is an event as it will be emitted; only the role is found out here: from the ports listened on. */
#include "sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "procfs.h"

#define ROW_MAX (sizeof(struct ev_socket) + 128) /* with the longest path, see unix_path() */
#define PORTS_BYTES (65536 / 8)

static size_t row_least(const struct event *e)
{
	switch (e->type) {
	case EV_SOCKET:
		return sizeof(struct ev_socket);
	case EV_TIMERS:
		return sizeof(struct ev_timers);
	case EV_HOLDER:
		return sizeof(struct ev_holder);
	default:
		return SIZE_MAX;
	}
}

/* The row at *at, which moves behind it; NULL after the last, or where a row is none. */
static const struct event *row_next(const char *rows, size_t n, size_t *at)
{
	const struct event *e = (const void *)(rows + *at);

	if (n - *at < sizeof(*e) || e->size > n - *at || e->size > ROW_MAX || e->size % 8 ||
	    e->size < row_least(e))
		return NULL;
	*at += e->size;
	return e;
}

/* A bit for each port listened on: a connection whose local port is among them is a server's. */
static void ports_find(unsigned char *ports, const char *rows, size_t n)
{
	const struct event *e;

	memset(ports, 0, PORTS_BYTES);
	for (size_t at = 0; (e = row_next(rows, n, &at));) {
		unsigned port = e->type == EV_SOCKET ? ((const struct ev_socket *)e)->local_port
		                                     : 0;

		if (e->flags & EVF_LISTEN && port)
			ports[port / 8] |= (unsigned char)(1 << port % 8);
	}
}

/* Room for one more; false: out of memory. */
static bool grow(void **rows, size_t n, size_t *room, size_t size)
{
	size_t want = *room ? *room * 2 : 64;
	void *more;

	if (n < *room)
		return true;
	more = realloc(*rows, want * size);
	if (!more)
		return false;
	*rows = more;
	*room = want;
	return true;
}

static void seen_add(struct sockets *s, const struct ev_socket *e)
{
	if (grow((void **)&s->seen, s->nseen, &s->seen_room, sizeof(*s->seen)))
		s->seen[s->nseen++] = (struct socket_seen){ e->h.pid, e->fd, e->recv_timeout_ns };
}

static void pair_add(struct sockets *s, const struct ev_holder *e)
{
	if (grow((void **)&s->pairs, s->npairs, &s->pairs_room, sizeof(*s->pairs)))
		s->pairs[s->npairs++] = (struct socket_pair){ e->ino, e->peer };
}

static void socket_row(struct sockets *s, const struct event *row, const unsigned char *ports,
                       event_fn emit, void *ctx)
{
	uint64_t room[ROW_MAX / 8];
	struct ev_socket *e = (struct ev_socket *)room;

	memcpy(e, row, row->size);
	if (e->family == AF_INET || e->family == AF_INET6)
		e->role = ports[e->local_port / 8] & 1 << e->local_port % 8 ? ROLE_SERVER
		                                                            : ROLE_CLIENT;
	seen_add(s, e);
	emit(ctx, &e->h);
}

void sockets_take(struct sockets *s, const char *rows, size_t n, const uint32_t *pids, size_t npids,
                  event_fn emit, void *ctx)
{
	unsigned char ports[PORTS_BYTES];
	const struct event *row;

	s->nseen = s->npairs = 0;
	ports_find(ports, rows, n);
	for (size_t at = 0; (row = row_next(rows, n, &at));) {
		if (!procfs_listed(pids, npids, row->pid))
			continue;
		if (row->type == EV_SOCKET)
			socket_row(s, row, ports, emit, ctx);
		else if (row->type == EV_HOLDER)
			pair_add(s, (const struct ev_holder *)row);
		else
			emit(ctx, row);
	}
}

int64_t sockets_timeout(const struct sockets *s, uint32_t pid, int fd)
{
	for (size_t i = 0; i < s->nseen; i++)
		if (s->seen[i].pid == pid && s->seen[i].fd == fd)
			return s->seen[i].timeout_ns;
	return TIMEOUT_UNKNOWN;
}

void sockets_free(struct sockets *s)
{
	free(s->seen);
	free(s->pairs);
	*s = (struct sockets){ 0 };
}
