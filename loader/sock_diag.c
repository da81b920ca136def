/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dumps of inet_diag and unix_diag (linux/inet_diag.h, linux/unix_diag.h), joined by inode with the descriptors of the tree.
 * A socket in no dump (made in another namespace, bound to nothing yet) is asked through its duplicate alone.
 */
#include "sock_diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "procfs.h"
#include "snapshot.h"

#define WANTED_MAX 65536 /* sockets of a tree that are looked at */
#define NAMES_MAX 16384  /* named unix sockets of a namespace remembered: they name their clients */
#define REPLY_ROOM (1 << 15) /* the kernel fills a dump's message up to 32 KiB (netlink_dump) */

/* include/net/tcp_states.h */
#define STATE_TIME_WAIT 6
#define STATE_LISTEN 10
#define STATE_NEW_SYN_RECV 12

/* Kernels step their clock by 1 to 10 ms (CONFIG_HZ 100 to 1000): an age is known to be longer than this much less. */
#define STEP_MS 10

/* A socket of the tree. */
struct wanted {
	uint64_t ino, ns;
	uint32_t pid;
	int fd;
	bool known;
	struct diag_socket row;
};

struct unix_name {
	uint32_t ino, n;
	char path[DIAG_PATH_MAX];
};

struct diag {
	struct wanted *wanted; /* sorted by namespace and inode */
	size_t n, room;
	struct unix_name *names;
	size_t nnames;
	struct diag_missing *missing;
	uint64_t ns; /* entered */
};

/* ---- messages ---- */

static uint64_t age_ns(uint32_t ms)
{
	return ms > STEP_MS ? (uint64_t)(ms - STEP_MS) * 1000000 : 0;
}

#define HAS(info, n, field) \
	((n) >=             \
	 offsetof(struct tcp_info, field) + sizeof((info)->field)) /* older kernels say less */

static void tcp_fill(struct diag_socket *to, const struct tcp_info *info, size_t n)
{
	struct ev_socket *e = &to->socket;
	struct ev_timers *t = &to->timers;

	if (!HAS(info, n, tcpi_total_retrans))
		return;
	e->h.flags |= EVF_TCP;
	e->tcp_retransmits = info->tcpi_retransmits;
	e->tcp_unacked = info->tcpi_unacked;
	e->tcp_last_sent_ns = age_ns(info->tcpi_last_data_sent);
	e->tcp_last_recv_ns = age_ns(info->tcpi_last_data_recv);
	e->tcp_last_ack_ns = age_ns(info->tcpi_last_ack_recv);
	e->tcp_retrans = info->tcpi_total_retrans;
	e->tcp_rtt_us = info->tcpi_rtt;
	t->rto_us = info->tcpi_rto;
	t->backoff = info->tcpi_backoff;
	t->probes = info->tcpi_probes;
	if (HAS(info, n, tcpi_bytes_received)) { /* 4.1 */
		t->bytes_acked = info->tcpi_bytes_acked;
		e->tcp_bytes_recv = info->tcpi_bytes_received;
	}
	if (HAS(info, n, tcpi_notsent_bytes)) /* 4.6 */
		e->tcp_unsent = info->tcpi_notsent_bytes;
	/* 4.19; before, what was acknowledged was sent at least */
	e->tcp_bytes_sent = HAS(info, n, tcpi_bytes_sent) ? info->tcpi_bytes_sent : t->bytes_acked;
}

static void begin(struct diag_socket *to)
{
	memset(to, 0, sizeof(*to));
	to->socket.h.type = EV_SOCKET;
	to->socket.h.flags = EVF_SEEDED;
	to->socket.h.size = sizeof(to->socket);
	to->socket.recv_timeout_ns = TIMEOUT_UNKNOWN;
}

static void timers_begin(struct diag_socket *to)
{
	to->timers.h.type = EV_TIMERS;
	to->timers.h.flags = EVF_SEEDED;
	to->timers.h.size = sizeof(to->timers);
	to->timers.sock = to->socket.sock;
}

/* Calls fn for each attribute behind the fixed part of a message; lengths are checked. */
static void each_attr(const char *p, size_t n,
                      void (*fn)(struct diag_socket *to, int type, const void *data, size_t n),
                      struct diag_socket *to)
{
	while (n >= sizeof(struct rtattr)) {
		struct rtattr a;

		memcpy(&a, p, sizeof(a));
		if (a.rta_len < sizeof(a) || a.rta_len > n)
			return;
		fn(to, a.rta_type & NLA_TYPE_MASK, p + RTA_LENGTH(0), a.rta_len - RTA_LENGTH(0));
		if (RTA_ALIGN(a.rta_len) >= n)
			return;
		p += RTA_ALIGN(a.rta_len);
		n -= RTA_ALIGN(a.rta_len);
	}
}

static void inet_attr(struct diag_socket *to, int type, const void *data, size_t n)
{
	struct tcp_info info = { 0 };

	if (type != INET_DIAG_INFO || !to->timers.h.size)
		return;
	n = n < sizeof(info) ? n : sizeof(info);
	memcpy(&info, data, n);
	tcp_fill(to, &info, n);
}

/* idiag_timer: 1 retransmission, 2 keepalive, 3 TIME_WAIT, 4 window probe (net/ipv4/inet_diag.c). */
static void timer_fill(struct ev_timers *t, const struct inet_diag_msg *m)
{
	static const uint8_t timers[] = { TIMER_NONE, TIMER_RETRANSMIT, TIMER_KEEPALIVE, TIMER_NONE,
		                          TIMER_PROBE0 };

	if (m->idiag_timer < sizeof(timers))
		t->timer = timers[m->idiag_timer];
	if (t->timer != TIMER_NONE)
		t->timer_ns = (uint64_t)m->idiag_expires * 1000000;
}

static bool inet_parse(const char *msg, size_t n, int protocol, struct diag_socket *to)
{
	struct ev_socket *e = &to->socket;
	struct inet_diag_msg m;
	size_t bytes;

	if (n < sizeof(m))
		return false;
	memcpy(&m, msg, sizeof(m));
	bytes = e->family == AF_INET ? 4 : 16;
	if (m.idiag_family != e->family)
		return false;
	e->sock = m.idiag_inode;
	e->kind = protocol == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM;
	e->local_port = ntohs(m.id.idiag_sport);
	e->remote_port = ntohs(m.id.idiag_dport);
	memcpy(e->local, m.id.idiag_src, bytes);
	memcpy(e->remote, m.id.idiag_dst, bytes);
	e->tcp_state = m.idiag_state;
	if (protocol != IPPROTO_TCP)
		return true;
	if (m.idiag_state == STATE_LISTEN) {
		e->h.flags |= EVF_LISTEN;
		return true;
	}
	e->tcp_unread = m.idiag_rqueue;
	timers_begin(to);
	timer_fill(&to->timers, &m);
	each_attr(msg + sizeof(m), n - sizeof(m), inet_attr, to);
	return true;
}

static void unix_attr(struct diag_socket *to, int type, const void *data, size_t n)
{
	if (type == UNIX_DIAG_PEER && n >= sizeof(to->peer))
		memcpy(&to->peer, data, sizeof(to->peer));
	if (type == UNIX_DIAG_NAME) {
		to->path_n = n < DIAG_PATH_MAX ? (uint32_t)n : DIAG_PATH_MAX;
		memcpy(to->path, data, to->path_n);
	}
}

static bool unix_parse(const char *msg, size_t n, struct diag_socket *to)
{
	struct unix_diag_msg m;

	if (n < sizeof(m))
		return false;
	memcpy(&m, msg, sizeof(m));
	if (m.udiag_family != AF_UNIX)
		return false;
	to->socket.sock = m.udiag_ino;
	to->socket.kind = m.udiag_type;
	to->socket.tcp_state = m.udiag_state;
	if (m.udiag_state == STATE_LISTEN)
		to->socket.h.flags |= EVF_LISTEN;
	each_attr(msg + sizeof(m), n - sizeof(m), unix_attr, to);
	return true;
}

bool sock_diag_parse(const void *msg, size_t n, int family, int protocol, struct diag_socket *to)
{
	begin(to);
	to->socket.family = (uint16_t)family;
	return family == AF_UNIX ? unix_parse(msg, n, to) : inet_parse(msg, n, protocol, to);
}

/* ---- a dump ---- */

static int by_socket(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;

	if (x->ns != y->ns)
		return x->ns < y->ns ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* First entry of that socket among those of the namespace entered, NULL: not of the tree. */
static struct wanted *wanted_find(const struct diag *d, uint64_t ino)
{
	struct wanted key = { .ns = d->ns, .ino = ino };
	size_t lo = 0, hi = d->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (by_socket(&d->wanted[mid], &key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < d->n && by_socket(&d->wanted[lo], &key) == 0 ? &d->wanted[lo] : NULL;
}

static void name_keep(struct diag *d, const struct diag_socket *s)
{
	struct unix_name *name;

	if (!s->path_n || d->nnames == NAMES_MAX || !d->names)
		return;
	name = &d->names[d->nnames++];
	name->ino = (uint32_t)s->socket.sock;
	name->n = s->path_n;
	memcpy(name->path, s->path, s->path_n);
}

static void message_take(struct diag *d, const void *msg, size_t n, int family, int protocol)
{
	struct diag_socket s;
	struct wanted *w;

	if (!sock_diag_parse(msg, n, family, protocol, &s) || !s.socket.sock)
		return;
	s.socket.h.ts_ns = s.timers.h.ts_ns = now_ns();
	if (family == AF_UNIX)
		name_keep(d, &s);
	for (w = wanted_find(d, s.socket.sock);
	     w && w < d->wanted + d->n && w->ns == d->ns && w->ino == s.socket.sock; w++) {
		w->row = s;
		w->known = true;
	}
}

/* One message after another until the dump is done: 0, or -errno. */
static int replies_take(struct diag *d, int fd, int family, int protocol)
{
	static char buf[REPLY_ROOM] __attribute__((aligned(NLMSG_ALIGNTO)));

	for (;;) {
		ssize_t got = recv(fd, buf, sizeof(buf), 0);
		int n = (int)got; /* NLMSG_NEXT() takes more than is left off the last message */

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EPROTO;
		for (struct nlmsghdr *h = (struct nlmsghdr *)buf; NLMSG_OK(h, n);
		     h = NLMSG_NEXT(h, n)) {
			if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
				return h->nlmsg_len >= NLMSG_LENGTH(sizeof(int))
				               ? *(const int *)NLMSG_DATA(h)
				               : -EPROTO;
			message_take(d, NLMSG_DATA(h), NLMSG_PAYLOAD(h, 0), family, protocol);
		}
	}
}

/* inet_diag wants its own request, unix_diag its own; both begin with the family. */
union diag_request {
	struct inet_diag_req_v2 inet;
	struct unix_diag_req local;
};

static size_t request_make(union diag_request *r, int family, int protocol)
{
	memset(r, 0, sizeof(*r));
	if (family == AF_UNIX) {
		r->local.sdiag_family = AF_UNIX;
		r->local.udiag_states = ~0u;
		r->local.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER;
		return sizeof(r->local);
	}
	r->inet.sdiag_family = (uint8_t)family;
	r->inet.sdiag_protocol = (uint8_t)protocol;
	r->inet.idiag_ext = 1 << (INET_DIAG_INFO - 1) | 1 << (INET_DIAG_MEMINFO - 1);
	/* those that are nobody's descriptor are left out */
	r->inet.idiag_states = ~(1u << STATE_TIME_WAIT | 1u << STATE_NEW_SYN_RECV);
	return sizeof(r->inet);
}

static int dump(struct diag *d, int family, int protocol)
{
	struct {
		struct nlmsghdr h;
		union diag_request r;
	} ask = { .h = { .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		         .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP } };
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), err = 0;

	if (fd < 0)
		return -errno;
	ask.h.nlmsg_len = (uint32_t)NLMSG_LENGTH(request_make(&ask.r, family, protocol));
	if (sendto(fd, &ask, ask.h.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		err = -errno;
	if (!err)
		err = replies_take(d, fd, family, protocol);
	close(fd);
	return err;
}

static const struct {
	int family, protocol;
} dumps[] = {
	{ AF_INET, IPPROTO_TCP }, { AF_INET6, IPPROTO_TCP },
	{ AF_INET, IPPROTO_UDP }, { AF_INET6, IPPROTO_UDP },
	{ AF_UNIX, 0 },
};

/* A client's end has no name of its own: the server's is what people know. Else its own. */
static void paths_fill(struct diag *d)
{
	for (size_t i = 0; i < d->n; i++) {
		struct diag_socket *s = &d->wanted[i].row;

		for (size_t k = 0; s->peer && d->wanted[i].ns == d->ns && k < d->nnames; k++) {
			if (d->names[k].ino != s->peer)
				continue;
			s->path_n = d->names[k].n;
			memcpy(s->path, d->names[k].path, s->path_n);
			break;
		}
	}
}

static void dumps_take(struct diag *d)
{
	d->nnames = 0;
	for (size_t i = 0; i < sizeof(dumps) / sizeof(*dumps); i++) {
		int err = dump(d, dumps[i].family, dumps[i].protocol);

		if (err) {
			d->missing->dumps++;
			d->missing->dump_err = -err;
		}
	}
	paths_fill(d);
}

/* ---- a duplicated descriptor ---- */

static int64_t option_ns(int fd)
{
	struct timeval t;
	socklen_t n = sizeof(t);

	if (getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, &n))
		return TIMEOUT_UNKNOWN;
	return t.tv_sec || t.tv_usec ? t.tv_sec * 1000000000ll + t.tv_usec * 1000ll : TIMEOUT_NONE;
}

/* 0 where it cannot be told. */
static uint32_t option(int fd, int level, int name)
{
	int value = 0;
	socklen_t n = sizeof(value);

	return getsockopt(fd, level, name, &value, &n) == 0 && value > 0 ? (uint32_t)value : 0;
}

static void options_fill(int fd, struct diag_socket *s)
{
	s->socket.keepalive = option(fd, SOL_SOCKET, SO_KEEPALIVE) != 0;
	s->socket.recv_timeout_ns = option_ns(fd);
	if (!s->timers.h.size)
		return;
	/* these are those in effect: the socket's own, else its namespace's (net/ipv4/tcp.c) */
	s->timers.user_timeout_ms = option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT);
	s->timers.keep_idle_s = option(fd, IPPROTO_TCP, TCP_KEEPIDLE);
	s->timers.keep_interval_s = option(fd, IPPROTO_TCP, TCP_KEEPINTVL);
	s->timers.keep_count = option(fd, IPPROTO_TCP, TCP_KEEPCNT);
}

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un local;
};

static void address_fill(int fd, int (*get)(int, struct sockaddr *, socklen_t *),
                         struct ev_socket *e, uint8_t *addr, uint16_t *port)
{
	union address a = { 0 };
	socklen_t n = sizeof(a);

	if (get(fd, &a.any, &n))
		return;
	if (e->family == AF_INET) {
		memcpy(addr, &a.v4.sin_addr, 4);
		*port = ntohs(a.v4.sin_port);
	} else {
		memcpy(addr, &a.v6.sin6_addr, 16);
		*port = ntohs(a.v6.sin6_port);
	}
}

static void path_fill(int fd, int (*get)(int, struct sockaddr *, socklen_t *),
                      struct diag_socket *s)
{
	union address a = { 0 };
	socklen_t n = sizeof(a), head = offsetof(struct sockaddr_un, sun_path);

	if (get(fd, &a.any, &n) || n <= head || n > sizeof(a.local))
		return;
	s->path_n = n - head;
	memcpy(s->path, a.local.sun_path, s->path_n);
}

static void tcp_ask(int fd, struct diag_socket *s)
{
	struct tcp_info info = { 0 };
	socklen_t n = sizeof(info);
	int unread;

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n))
		return;
	s->socket.tcp_state = info.tcpi_state;
	if (info.tcpi_state == STATE_LISTEN) {
		s->socket.h.flags |= EVF_LISTEN;
		return;
	}
	timers_begin(s);
	tcp_fill(s, &info, n);
	if (ioctl(fd, SIOCINQ, &unread) == 0 && unread > 0)
		s->socket.tcp_unread = (uint32_t)unread;
}

/* Everything of a socket that was in no dump. False: of no family we show. */
static bool duplicate_ask(int fd, uint64_t ino, struct diag_socket *s)
{
	struct ev_socket *e = &s->socket;

	begin(s);
	e->sock = ino;
	e->family = (uint16_t)option(fd, SOL_SOCKET, SO_DOMAIN);
	e->kind = (uint16_t)option(fd, SOL_SOCKET, SO_TYPE);
	if (e->family == AF_UNIX) {
		path_fill(fd, getsockname, s);
		path_fill(fd, getpeername, s);
	} else if (e->family == AF_INET || e->family == AF_INET6) {
		address_fill(fd, getsockname, e, e->local, &e->local_port);
		address_fill(fd, getpeername, e, e->remote, &e->remote_port);
		if (option(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP)
			tcp_ask(fd, s);
	} else {
		return false;
	}
	e->h.ts_ns = s->timers.h.ts_ns = now_ns();
	return true;
}

static bool is_socket(int fd, uint64_t ino)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_ino == ino;
}

/* A duplicate of the target's descriptor, if it still is that socket; -1 with errno set. */
static int duplicate(int pidfd, const struct wanted *w)
{
	int fd = (int)syscall(SYS_pidfd_getfd, pidfd, w->fd, 0);

	if (fd >= 0 && !is_socket(fd, w->ino)) {
		close(fd);
		errno = EBADF; /* it was closed meanwhile */
		return -1;
	}
	return fd;
}

/* pidfd: or -errno. */
static void duplicate_take(struct diag *d, int pidfd, struct wanted *w)
{
	int fd = pidfd >= 0 ? duplicate(pidfd, w) : -1, err = pidfd >= 0 ? errno : -pidfd;

	if (fd < 0) {
		if (err != EBADF && err != ESRCH) { /* gone is not missing */
			d->missing->options++;
			d->missing->option_err = err;
			d->missing->sockets += !w->known;
		}
		return;
	}
	if (!w->known)
		w->known = duplicate_ask(fd, w->ino, &w->row);
	else if (w->row.socket.family == AF_UNIX) /* an end nobody has accepted has no inode */
		path_fill(fd, getpeername, &w->row);
	options_fill(fd, &w->row);
	close(fd);
}

/* ---- all of it ---- */

struct fd_walk {
	struct diag *d;
	uint32_t pid;
	uint64_t ns;
	bool any;
};

static void fd_visit(void *ctx, int fd, const char *target)
{
	struct fd_walk *w = ctx;
	struct diag *d = w->d;

	w->any = true;
	if (strncmp(target, "socket:[", 8) != 0)
		return;
	if (d->n == WANTED_MAX) {
		d->missing->beyond++;
		return;
	}
	if (d->n == d->room) {
		size_t room = d->room ? d->room * 2 : 64;
		struct wanted *more = realloc(d->wanted, room * sizeof(*more));

		if (!more) {
			d->missing->beyond++;
			return;
		}
		d->wanted = more;
		d->room = room;
	}
	d->wanted[d->n++] = (struct wanted){
		.ino = strtoull(target + 8, NULL, 10), .ns = w->ns, .pid = w->pid, .fd = fd
	};
}

static uint64_t namespace_of(uint32_t pid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
	return stat(path, &st) == 0 ? st.st_ino : 0;
}

static void wanted_list(struct diag *d, uint32_t pid)
{
	struct fd_walk w = { d, pid, namespace_of(pid), false };
	char path[64];

	procfs_each_fd(pid, fd_visit, &w);
	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	if (!w.any && access(path, R_OK | X_OK) && errno != ENOENT) {
		d->missing->descriptors++;
		d->missing->descriptor_err = errno;
	}
}

/* Into the network namespace of a process, if we are not there yet. 0 or an errno. */
static int namespace_enter(uint32_t pid)
{
	char path[64];
	int fd, err;

	if (namespace_of(pid) == namespace_of((uint32_t)getpid()))
		return 0;
	snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	err = setns(fd, CLONE_NEWNET) ? errno : 0;
	close(fd);
	return err;
}

/* Each namespace once; what is wanted is sorted by it. */
static void namespaces_take(struct diag *d)
{
	for (size_t i = 0; i < d->n; i++) {
		int err;

		if (i && d->wanted[i].ns == d->wanted[i - 1].ns)
			continue;
		d->ns = d->wanted[i].ns;
		err = namespace_enter(d->wanted[i].pid);
		if (err) {
			d->missing->namespaces++;
			d->missing->namespace_err = err;
			continue;
		}
		dumps_take(d);
	}
}

static int by_process(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return x->fd < y->fd ? -1 : x->fd > y->fd;
}

static void duplicates_take(struct diag *d)
{
	uint32_t pid = 0;
	int pidfd = -ESRCH;

	qsort(d->wanted, d->n, sizeof(*d->wanted), by_process);
	for (size_t i = 0; i < d->n; i++) {
		if (d->wanted[i].pid != pid) {
			if (pidfd >= 0)
				close(pidfd);
			pid = d->wanted[i].pid;
			pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
			if (pidfd < 0)
				pidfd = -errno;
		}
		duplicate_take(d, pidfd, &d->wanted[i]);
	}
	if (pidfd >= 0)
		close(pidfd);
}

static void row_add(struct rows *to, struct wanted *w)
{
	uint64_t room[(sizeof(struct ev_socket) + DIAG_PATH_MAX + 7) / 8] = { 0 };
	struct ev_socket *e = (struct ev_socket *)room;
	struct ev_timers *t = &w->row.timers;
	uint32_t size = (uint32_t)(sizeof(*e) + (w->row.path_n + 7) / 8 * 8);

	*e = w->row.socket;
	e->h.size = size;
	e->h.pid = e->h.tid = w->pid;
	e->fd = w->fd;
	memcpy(e->path, w->row.path, w->row.path_n);
	rows_add(to, e, size);
	if (w->row.peer) {
		struct ev_holder peer = { .h = { .size = sizeof(peer), .type = EV_HOLDER } };

		peer.h.pid = peer.h.tid = w->pid;
		peer.h.ts_ns = e->h.ts_ns;
		peer.ino = w->ino;
		peer.peer = w->row.peer;
		rows_add(to, &peer, sizeof(peer));
	}
	if (!t->h.size)
		return;
	t->h.pid = t->h.tid = w->pid;
	rows_add(to, t, sizeof(*t));
}

void sock_diag_take(const uint32_t *pids, size_t n, struct rows *to, struct diag_missing *missing)
{
	struct diag d = { .missing = missing };

	d.names = malloc(NAMES_MAX * sizeof(*d.names));
	for (size_t i = 0; i < n; i++)
		wanted_list(&d, pids[i]);
	if (d.n) {
		qsort(d.wanted, d.n, sizeof(*d.wanted), by_socket);
		namespaces_take(&d);
		duplicates_take(&d);
	}
	for (size_t i = 0; i < d.n; i++)
		if (d.wanted[i].known)
			row_add(to, &d.wanted[i]);
	free(d.names);
	free(d.wanted);
}
