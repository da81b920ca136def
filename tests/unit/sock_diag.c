/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages of sock_diag from unreadable pages on, and our own sockets as rows. */
#include "sock_diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/tcp.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "procfs.h"
#include "test.h"

struct message {
	char bytes[1024];
	size_t n;
};

static void attr_add(struct message *m, unsigned short type, const void *data, size_t n)
{
	struct rtattr a = { (unsigned short)RTA_LENGTH(n), type };

	memcpy(m->bytes + m->n, &a, sizeof(a));
	memcpy(m->bytes + m->n + RTA_LENGTH(0), data, n);
	m->n += RTA_ALIGN(a.rta_len);
}

static struct message tcp_message(const struct tcp_info *info, size_t info_n)
{
	struct inet_diag_msg m = { .idiag_family = AF_INET,
		                   .idiag_state = 1,
		                   .idiag_timer = 1,
		                   .idiag_expires = 204,
		                   .idiag_rqueue = 17,
		                   .idiag_wqueue = 5,
		                   .idiag_inode = 4711 };
	struct message to = { .n = sizeof(m) };

	m.id.idiag_sport = htons(40000);
	m.id.idiag_dport = htons(443);
	m.id.idiag_src[0] = htonl(0x0a000001);
	m.id.idiag_dst[0] = htonl(0x0a000002);
	memcpy(to.bytes, &m, sizeof(m));
	attr_add(&to, INET_DIAG_INFO, info, info_n);
	return to;
}

static bool parse(const struct message *m, size_t n, int family, int protocol,
                  struct diag_socket *s)
{
	char *copy = guarded(m->bytes, n);
	bool ok = sock_diag_parse(copy, n, family, protocol, s);

	guarded_free(copy, n);
	return ok;
}

static const struct tcp_info info = {
	.tcpi_retransmits = 3,
	.tcpi_probes = 1,
	.tcpi_backoff = 2,
	.tcpi_rto = 816000,
	.tcpi_unacked = 4,
	.tcpi_last_data_sent = 81010,
	.tcpi_last_data_recv = 90010,
	.tcpi_last_ack_recv = 5,
	.tcpi_rtt = 12000,
	.tcpi_total_retrans = 9,
	.tcpi_bytes_acked = 100,
	.tcpi_bytes_received = 200,
	.tcpi_notsent_bytes = 50,
	.tcpi_bytes_sent = 150,
};

static void test_tcp(void)
{
	struct message m = tcp_message(&info, sizeof(info));
	struct diag_socket s;
	const struct ev_socket *e = &s.socket;
	const struct ev_timers *t = &s.timers;

	TEST("a connection has its inode, addresses and ports in host order");
	CHECK(parse(&m, m.n, AF_INET, IPPROTO_TCP, &s));
	CHECK(e->sock == 4711 && e->family == AF_INET && e->kind == SOCK_STREAM);
	CHECK(e->local_port == 40000 && e->remote_port == 443);
	CHECK(memcmp(e->local, "\x0a\0\0\1", 4) == 0 && memcmp(e->remote, "\x0a\0\0\2", 4) == 0);
	TEST("ages are lower bounds: the kernel's clock steps by up to 10 ms");
	CHECK(e->tcp_last_sent_ns == 81000000000 && e->tcp_last_recv_ns == 90000000000);
	CHECK(e->tcp_last_ack_ns == 0);
	TEST("queues, counters and timers are its own");
	CHECK(e->tcp_unread == 17 && e->tcp_unsent == 50 && e->tcp_unacked == 4);
	CHECK(e->tcp_retransmits == 3 && e->tcp_retrans == 9 && e->tcp_rtt_us == 12000);
	CHECK(e->tcp_bytes_sent == 150 && e->tcp_bytes_recv == 200 && t->bytes_acked == 100);
	CHECK(t->timer == TIMER_RETRANSMIT && t->timer_ns == 204000000 && t->sock == 4711);
	CHECK(t->rto_us == 816000 && t->backoff == 2 && t->probes == 1);
	TEST("what only a descriptor tells is unknown");
	CHECK(e->recv_timeout_ns == TIMEOUT_UNKNOWN);
	TEST("a message cut at whatever byte is not read beyond its end");
	for (size_t n = 0; n < m.n; n++) {
		bool ok = parse(&m, n, AF_INET, IPPROTO_TCP, &s);

		CHECK(ok == (n >= sizeof(struct inet_diag_msg)));
		CHECK(n == m.n || !(e->h.flags & EVF_TCP)); /* its attribute is not whole */
	}
	TEST("one of another family is refused");
	CHECK(!parse(&m, m.n, AF_INET6, IPPROTO_TCP, &s));
}

static void test_old_kernel(void)
{
	struct message m = tcp_message(&info, offsetof(struct tcp_info, tcpi_bytes_sent));
	struct diag_socket s;

	TEST("a kernel that does not count sent bytes counts those acknowledged");
	CHECK(parse(&m, m.n, AF_INET, IPPROTO_TCP, &s));
	CHECK(s.socket.tcp_bytes_sent == 100 && s.socket.h.flags & EVF_TCP);
	TEST("one that says next to nothing leaves the TCP fields unread");
	m = tcp_message(&info, 8);
	CHECK(parse(&m, m.n, AF_INET, IPPROTO_TCP, &s) && !(s.socket.h.flags & EVF_TCP));
}

static void test_listener(void)
{
	struct message m = tcp_message(&info, sizeof(info));
	struct diag_socket s;

	TEST("a listening socket has no queues and no timers");
	((struct inet_diag_msg *)m.bytes)->idiag_state = 10;
	CHECK(parse(&m, m.n, AF_INET, IPPROTO_TCP, &s));
	CHECK(s.socket.h.flags & EVF_LISTEN && !(s.socket.h.flags & EVF_TCP));
	CHECK(s.socket.tcp_unread == 0 && s.timers.h.size == 0);
	TEST("neither has UDP");
	((struct inet_diag_msg *)m.bytes)->idiag_state = 7;
	CHECK(parse(&m, m.n, AF_INET, IPPROTO_UDP, &s) && s.socket.kind == SOCK_DGRAM);
	CHECK(!(s.socket.h.flags & EVF_TCP) && s.timers.h.size == 0);
}

static void test_attributes(void)
{
	struct message m = tcp_message(&info, sizeof(info));
	struct rtattr *a = (struct rtattr *)(m.bytes + sizeof(struct inet_diag_msg));
	struct diag_socket s;

	TEST("attributes that lie about their length end the message");
	for (unsigned len = 0; len < 4; len++) {
		a->rta_len = (unsigned short)len;
		CHECK(parse(&m, m.n, AF_INET, IPPROTO_TCP, &s) && !(s.socket.h.flags & EVF_TCP));
	}
	a->rta_len = 0xffff;
	CHECK(parse(&m, m.n, AF_INET, IPPROTO_TCP, &s) && !(s.socket.h.flags & EVF_TCP));
}

static void test_unix(void)
{
	struct unix_diag_msg u = { .udiag_family = AF_UNIX,
		                   .udiag_type = SOCK_STREAM,
		                   .udiag_state = 1,
		                   .udiag_ino = 12 };
	struct message m = { .n = sizeof(u) };
	char longer[300];
	uint32_t peer = 13;
	struct diag_socket s;

	memcpy(m.bytes, &u, sizeof(u));
	attr_add(&m, UNIX_DIAG_PEER, &peer, sizeof(peer));
	attr_add(&m, UNIX_DIAG_NAME, "/run/redis.sock", 16);
	TEST("a unix socket has its name and its other end");
	CHECK(parse(&m, m.n, AF_UNIX, 0, &s));
	CHECK(s.socket.sock == 12 && s.peer == 13 && s.path_n == 16);
	CHECK(strcmp(s.path, "/run/redis.sock") == 0);
	TEST("cut at whatever byte it is not read beyond its end");
	for (size_t n = 0; n < m.n; n++)
		CHECK(parse(&m, n, AF_UNIX, 0, &s) == (n >= sizeof(u)));
	TEST("a name longer than any address is cut");
	memset(longer, 'x', sizeof(longer));
	attr_add(&m, UNIX_DIAG_NAME, longer, sizeof(longer));
	CHECK(parse(&m, m.n, AF_UNIX, 0, &s) && s.path_n == DIAG_PATH_MAX);
}

/* ---- our own ---- */

static const struct event *row_next(const char *rows, size_t n, size_t *at)
{
	const struct event *e = (const void *)(rows + *at);

	if (*at >= n)
		return NULL;
	*at += e->size;
	return e;
}

static const void *row_find(const char *rows, size_t n, enum event_type type, uint64_t sock)
{
	const struct event *e;

	for (size_t at = 0; (e = row_next(rows, n, &at));) {
		uint64_t own = type == EV_SOCKET   ? ((const struct ev_socket *)e)->sock
		               : type == EV_TIMERS ? ((const struct ev_timers *)e)->sock
		                                   : ((const struct ev_holder *)e)->ino;

		if (e->type == type && own == sock)
			return e;
	}
	return NULL;
}

static uint64_t inode(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : st.st_ino;
}

static int tcp_pair(int fds[2])
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t n = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(listener, (struct sockaddr *)&a, n) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&a, &n))
		abort();
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fds[0], (struct sockaddr *)&a, n))
		abort();
	fds[1] = accept(listener, NULL, NULL);
	return listener;
}

static void set(int fd, int level, int name, int value)
{
	if (setsockopt(fd, level, name, &value, sizeof(value)))
		abort();
}

static void fd_count(void *ctx, uint32_t fd)
{
	(void)fd;
	++*(unsigned *)ctx;
}

static unsigned fds_open(void)
{
	unsigned n = 0;

	procfs_each_number((uint32_t)getpid(), "fd", fd_count, &n);
	return n;
}

static void test_own(void)
{
	struct timeval five = { 5, 200000 };
	struct diag_missing missing = { 0 };
	struct rows *to = calloc(1, sizeof(*to));
	uint32_t pid = (uint32_t)getpid();
	int tcp[2], pair[2], listener = tcp_pair(tcp), bare = socket(AF_INET, SOCK_STREAM, 0);
	const struct ev_socket *e;
	const struct ev_timers *t;
	const struct ev_holder *h;
	unsigned before;
	char *rows;
	size_t n;

	if (!to || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		abort();
	set(tcp[0], SOL_SOCKET, SO_KEEPALIVE, 1);
	set(tcp[0], IPPROTO_TCP, TCP_KEEPIDLE, 77);
	set(tcp[0], IPPROTO_TCP, TCP_KEEPINTVL, 7);
	set(tcp[0], IPPROTO_TCP, TCP_KEEPCNT, 3);
	set(tcp[0], IPPROTO_TCP, TCP_USER_TIMEOUT, 12345);
	if (setsockopt(tcp[0], SOL_SOCKET, SO_RCVTIMEO, &five, sizeof(five)) ||
	    write(tcp[1], "seventeen bytes..", 17) != 17)
		abort();
	before = fds_open();
	sock_diag_take(&pid, 1, to, &missing);
	rows = rows_copy(to, &n);

	TEST("our own connection is there, with what was set on it and what nobody read");
	e = row_find(rows, n, EV_SOCKET, inode(tcp[0]));
	t = row_find(rows, n, EV_TIMERS, inode(tcp[0]));
	CHECK(e && e->h.pid == pid && e->fd == tcp[0] && e->tcp_state == 1);
	CHECK(e && e->h.flags & EVF_TCP && e->tcp_unread == 17 && e->tcp_bytes_recv == 17);
	CHECK(missing.options || (e && e->keepalive && e->recv_timeout_ns == 5200000000));
	CHECK(missing.options || (t && t->keep_idle_s == 77 && t->keep_interval_s == 7));
	CHECK(missing.options || (t && t->keep_count == 3 && t->user_timeout_ms == 12345));
	CHECK(missing.dumps || (t && t->timer == TIMER_KEEPALIVE && t->timer_ns > 70000000000));
	CHECK(missing.dumps || (t && t->timer_ns <= 77000000000));
	TEST("its other end sent them");
	e = row_find(rows, n, EV_SOCKET, inode(tcp[1]));
	CHECK(e && e->tcp_bytes_sent == 17 && e->recv_timeout_ns == TIMEOUT_NONE && !e->keepalive);
	TEST("a listening socket listens");
	e = row_find(rows, n, EV_SOCKET, inode(listener));
	CHECK(e && e->h.flags & EVF_LISTEN && e->local_port);
	TEST("a socket that is in no dump is asked by itself");
	e = row_find(rows, n, EV_SOCKET, inode(bare));
	CHECK(missing.options || (e && e->family == AF_INET && e->kind == SOCK_STREAM &&
	                          e->tcp_state == 7 && !e->remote_port));
	TEST("both ends of a unix socket know each other");
	h = row_find(rows, n, EV_HOLDER, inode(pair[0]));
	CHECK(missing.dumps || (h && h->peer == inode(pair[1])));
	TEST("nothing is changed on it, no descriptor stays open");
	CHECK(fds_open() == before);
	free(rows);
	free(to);
}

int main(void)
{
	test_tcp();
	test_old_kernel();
	test_listener();
	test_attributes();
	test_unix();
	test_own();
	return DONE();
}
