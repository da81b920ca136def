/* SPDX-License-Identifier: BSD-2-Clause */
/* Rows of sockets: what they become, and what bad ones do not do. */
#include <sys/socket.h>

#include "sockets.h"
#include "test.h"

static struct {
	unsigned sockets, timers, others;
	uint8_t role[8];
} got;

static void take(void *ctx, const struct event *e)
{
	(void)ctx;
	if (e->type == EV_SOCKET && got.sockets < 8)
		got.role[got.sockets++] = ((const struct ev_socket *)e)->role;
	else if (e->type == EV_TIMERS)
		got.timers++;
	else
		got.others++;
}

static struct ev_socket socket_of(uint32_t pid, int fd, uint16_t port, uint16_t flags)
{
	return (struct ev_socket){
		.h = { .size = sizeof(struct ev_socket),
		       .type = EV_SOCKET,
		       .flags = flags,
		       .pid = pid },
		.fd = fd,
		.family = AF_INET,
		.local_port = port,
		.recv_timeout_ns = fd * 1000,
	};
}

struct rows {
	struct ev_socket listener, accepted, client;
	struct ev_timers timers;
	struct ev_socket stranger, local;
	struct ev_holder pair;
};

static struct rows rows_good(void)
{
	struct rows r = {
		.listener = socket_of(7, 3, 80, EVF_LISTEN),
		.accepted = socket_of(7, 4, 80, 0),
		.client = socket_of(7, 5, 4000, 0),
		.timers = { .h = { .size = sizeof(r.timers), .type = EV_TIMERS, .pid = 7 } },
		.stranger = socket_of(9, 3, 4001, 0),
		.local = socket_of(7, 6, 0, 0),
		.pair = { .h = { .size = sizeof(r.pair), .type = EV_HOLDER, .pid = 7 },
		          .ino = 1,
		          .peer = 2 },
	};

	r.local.family = AF_UNIX;
	return r;
}

static void feed(struct sockets *s, const void *rows, size_t n)
{
	static const uint32_t pids[] = { 5, 7 };

	memset(&got, 0, sizeof(got));
	sockets_take(s, rows, n, pids, 2, take, NULL);
}

int main(void)
{
	struct sockets s = { 0 };
	struct rows rows = rows_good();
	bool fine = true;

	TEST("rows of the listed processes are emitted, and the other end of a unix socket is "
	     "kept");
	feed(&s, &rows, sizeof(rows));
	CHECK(got.sockets == 4 && got.timers == 1 && got.others == 0);
	CHECK(s.npairs == 1 && s.pairs[0].ino == 1 && s.pairs[0].peer == 2);

	TEST("a connection on a port that is listened on is a server's, any other a client's");
	CHECK(got.role[0] == ROLE_SERVER && got.role[1] == ROLE_SERVER);
	CHECK(got.role[2] == ROLE_CLIENT && got.role[3] == ROLE_UNKNOWN);

	TEST("receive timeouts are known by process and descriptor, of the newest look only");
	CHECK(sockets_timeout(&s, 7, 5) == 5000);
	CHECK(sockets_timeout(&s, 9, 3) == TIMEOUT_UNKNOWN);
	feed(&s, &rows, 0);
	CHECK(sockets_timeout(&s, 7, 5) == TIMEOUT_UNKNOWN && s.npairs == 0);

	TEST("rows cut short anywhere end the list, nothing behind them is read");
	for (size_t n = 0; n <= sizeof(rows); n += 8) {
		feed(&s, guarded(&rows, n), n);
		fine = fine && got.sockets <= 4 && s.npairs <= (n == sizeof(rows));
	}
	CHECK(fine);

	TEST("a row with an impossible size or of another type ends the list");
	for (uint32_t size = 0; size < 400; size++) {
		rows.accepted.h.size = size == sizeof(rows.accepted) ? 0 : size;
		feed(&s, guarded(&rows, sizeof(rows)), sizeof(rows));
		fine = fine && got.sockets >= 1;
	}
	rows = rows_good();
	rows.accepted.h.type = EV_DATA;
	feed(&s, &rows, sizeof(rows));
	CHECK(fine && got.sockets == 1);
	sockets_free(&s);
	return DONE();
}
