/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A duplicate of the target's descriptor (pidfd_getfd(2), Linux 5.6) is the same socket: options, state and shutdown act on
 * it, and nothing is stopped. SO_ERROR is never read: reading takes the error away, and it is the client's. For the same
 * reason the duplicate is given up as soon as the client has closed its own: before that no FIN would leave.
 */
#include "socket_probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "snapshot.h"

#define LOOK_MS 20           /* between two looks at the socket */
#define CONTROL_MS 2000      /* for a fresh connection to open */
#define CONTROL_AFTER_MS 500 /* an answer takes less on most paths, and then there is no need */
#define FOLLOW_MS 2000       /* for the client to go on */
#define LIMIT_EXTRA_MS 2500  /* beyond the probes themselves: for a loaded machine */
#define ACK_MOVED_MS 30      /* more than two ticks of the kernel's clock at 100 Hz */
#define KEEPIDLE_MAX 32767   /* include/net/tcp.h: MAX_TCP_KEEPIDLE; so MAX_TCP_KEEPINTVL */
#define STATE_SYN_SENT 2     /* include/net/tcp_states.h */
#define STATE_CLOSE 7

static uint64_t now_ms(void)
{
	return now_ns() / 1000000;
}

/* ---- the socket ---- */

struct lent {
	int fd; /* the duplicate */
	int domain, type, protocol;
	char name[128]; /* of the other end */
	/* ... and its address: a connection that was reset tells it no more; peer_n 0: not known */
	struct sockaddr_storage peer;
	socklen_t peer_n;
};

static int int_option(int fd, int level, int option)
{
	int v = 0;
	socklen_t n = sizeof(v);

	return getsockopt(fd, level, option, &v, &n) == 0 ? v : -1;
}

static void inet_name(char *to, size_t n, int family, const void *addr, unsigned port)
{
	char text[INET6_ADDRSTRLEN] = "?";

	inet_ntop(family, addr, text, sizeof(text));
	snprintf(to, n, family == AF_INET6 ? "[%s]:%u" : "%s:%u", text, port);
}

static void peer_name(struct lent *l)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
		struct sockaddr_storage room;
	} a = { .sa.sa_family = AF_UNSPEC };
	socklen_t n = sizeof(a);

	snprintf(l->name, sizeof(l->name), "the other end");
	l->peer_n = 0;
	if (getpeername(l->fd, &a.sa, &n))
		return;
	l->peer = a.room;
	l->peer_n = n;
	if (a.sa.sa_family == AF_INET)
		inet_name(l->name, sizeof(l->name), AF_INET, &a.in.sin_addr, ntohs(a.in.sin_port));
	else if (a.sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a.in6.sin6_addr))
		inet_name(l->name, sizeof(l->name), AF_INET, &a.in6.sin6_addr.s6_addr[12],
		          ntohs(a.in6.sin6_port));
	else if (a.sa.sa_family == AF_INET6)
		inet_name(l->name, sizeof(l->name), AF_INET6, &a.in6.sin6_addr,
		          ntohs(a.in6.sin6_port));
	else if (a.sa.sa_family == AF_UNIX && n > sizeof(sa_family_t) && a.un.sun_path[0])
		snprintf(l->name, sizeof(l->name), "%.*s", (int)(n - sizeof(sa_family_t)),
		         a.un.sun_path);
}

/* Duplicates the socket a names. 0 or -errno; nothing is left open on error. */
static int lend(const struct source_action *a, struct lent *l)
{
	int pidfd = (int)syscall(SYS_pidfd_open, a->pid, 0), err = 0;
	struct stat st;

	if (pidfd < 0)
		return -errno;
	l->fd = (int)syscall(SYS_pidfd_getfd, pidfd, a->fd, 0);
	if (l->fd < 0)
		err = -errno;
	close(pidfd);
	if (err)
		return err;
	if (fstat(l->fd, &st) || !S_ISSOCK(st.st_mode) || st.st_ino != a->sock) {
		close(l->fd);
		return -ESTALE;
	}
	l->domain = int_option(l->fd, SOL_SOCKET, SO_DOMAIN);
	l->type = int_option(l->fd, SOL_SOCKET, SO_TYPE);
	l->protocol = int_option(l->fd, SOL_SOCKET, SO_PROTOCOL);
	peer_name(l);
	return 0;
}

/* Does the client still have it? */
static bool still_there(const struct source_action *a)
{
	char path[64], target[64], want[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/fd/%d", a->pid, a->fd);
	snprintf(want, sizeof(want), "socket:[%llu]", (unsigned long long)a->sock);
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = '\0';
	return strcmp(target, want) == 0;
}

static void refuse(struct socket_result *to, int err, const struct source_action *a)
{
	bool gone = err == -ESTALE || err == -EBADF || err == -ESRCH;

	to->result = gone ? -ESTALE : err;
	if (gone)
		snprintf(
			to->text, sizeof(to->text),
			"descriptor %d of process %u is not this socket any more; nothing was done",
			a->fd, a->pid);
	else
		snprintf(to->text, sizeof(to->text),
		         "descriptor %d of process %u could not be duplicated: %s%s; nothing was "
		         "done",
		         a->fd, a->pid, strerror(-err),
		         err == -EPERM ? " (CAP_SYS_PTRACE is needed)" : "");
}

static const char *state_name(int state)
{
	static const char *const names[] = {
		"unknown",    "established", "syn-sent",  "syn-received",
		"fin-wait-1", "fin-wait-2",  "time-wait", "closed",
		"close-wait", "last-ack",    "listen",    "closing",
	};

	return state > 0 && state < (int)(sizeof(names) / sizeof(*names)) ? names[state] : names[0];
}

/* What ss(8) shows; false: the kernel would not tell. */
static bool info_read(int fd, struct tcp_info *info)
{
	socklen_t n = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &n) == 0;
}

/* ---- keepalive ---- */

static bool keepalive_read(int fd, struct keepalive *k)
{
	k->on = int_option(fd, SOL_SOCKET, SO_KEEPALIVE);
	k->idle_s = int_option(fd, IPPROTO_TCP, TCP_KEEPIDLE);
	k->interval_s = int_option(fd, IPPROTO_TCP, TCP_KEEPINTVL);
	k->count = int_option(fd, IPPROTO_TCP, TCP_KEEPCNT);
	k->user_timeout_ms = int_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT);
	return k->on >= 0 && k->idle_s > 0 && k->interval_s > 0 && k->count > 0 &&
	       k->user_timeout_ms >= 0;
}

static int set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) ? -errno : 0;
}

/*
 * On or off before the idle time: setting that arms the timer anew, but only while keepalive is on
 * (tcp_sock_set_keepidle_locked). The first error, but all are tried.
 */
static int keepalive_write(int fd, const struct keepalive *k)
{
	int errs[] = {
		set(fd, IPPROTO_TCP, TCP_KEEPINTVL, k->interval_s),
		set(fd, IPPROTO_TCP, TCP_KEEPCNT, k->count),
		set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, k->user_timeout_ms),
		set(fd, SOL_SOCKET, SO_KEEPALIVE, k->on),
		set(fd, IPPROTO_TCP, TCP_KEEPIDLE, k->idle_s),
	};

	for (size_t i = 0; i < sizeof(errs) / sizeof(*errs); i++)
		if (errs[i])
			return errs[i];
	return 0;
}

int socket_restore(const struct source_action *a, const struct keepalive *old)
{
	struct lent l = { .fd = -1 };
	int err = lend(a, &l);

	if (err) /* gone, and its settings with it */
		return err == -ESTALE || err == -EBADF || err == -ESRCH ? 0 : err;
	err = keepalive_write(l.fd, old);
	close(l.fd);
	return err;
}

/* ---- a fresh connection to the same address ---- */

struct control {
	int fd; /* -1: none under way */
	bool begun, done;
	int err; /* 0: it opened */
	bool untried;
	uint64_t begin_ms, took_ms;
};

static void control_end(struct control *c, int err)
{
	c->err = err;
	c->done = true;
	c->took_ms = now_ms() - c->begin_ms;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

static void control_begin(struct control *c, const struct lent *l)
{
	int ns = ioctl(l->fd, SIOCGSKNS); /* of the socket, not of the process: it may have moved */

	c->begun = true;
	c->begin_ms = now_ms();
	if (!l->peer_n) {
		c->untried = true;
		control_end(c, ENOTCONN);
	} else if (ns < 0 || setns(ns, CLONE_NEWNET) ||
	           (c->fd = socket(l->domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) < 0) {
		c->untried = true;
		control_end(c, errno);
	} else if (connect(c->fd, (const struct sockaddr *)&l->peer, l->peer_n) == 0) {
		control_end(c, 0);
	} else if (errno != EINPROGRESS) {
		control_end(c, errno);
	}
	if (ns >= 0)
		close(ns);
}

static void control_look(struct control *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLOUT };

	if (c->fd < 0)
		return;
	if (poll(&p, 1, 0) == 1)
		control_end(c, int_option(c->fd, SOL_SOCKET, SO_ERROR));
	else if (now_ms() - c->begin_ms > CONTROL_MS)
		control_end(c, ETIMEDOUT);
}

static void control_text(const struct control *c, char *to, size_t n)
{
	if (!c->done)
		snprintf(to, n, "no fresh connection was tried");
	else if (c->untried)
		snprintf(to, n, "no fresh connection could be tried (%s)", strerror(c->err));
	else if (c->err == 0)
		snprintf(to, n,
		         "a fresh connection there opens in %llu ms, so only this connection is "
		         "lost",
		         (unsigned long long)c->took_ms);
	else if (c->err == ECONNREFUSED)
		snprintf(to, n, "a fresh connection is refused: nobody listens there now");
	else if (c->err == ETIMEDOUT)
		snprintf(to, n, "a fresh connection gets no answer either within %llu ms",
		         (unsigned long long)c->took_ms);
	else
		snprintf(to, n, "a fresh connection fails, too (%s)", strerror(c->err));
}

/* ---- the probe ---- */

enum outcome {
	OPEN, /* not decided yet */
	WORKS,
	DEAD,          /* probes unanswered */
	DEAD_DATA,     /* retransmissions unanswered */
	RESET,         /* the other end knows nothing of this connection */
	CLIENT_CLOSED, /* meanwhile, by itself */
	STOPPED,
	NO_ANSWER, /* neither proven dead nor alive */
};

struct probe {
	const struct source_action *a;
	struct lent lent;
	struct tcp_info info;
	struct control control;
	uint64_t begin_ms,
		ack_ms; /* when probing began, and the newest acknowledgement before that came */
	uint64_t limit_ms;
	unsigned probes; /* most unanswered ones seen */
};

static uint64_t acked_ms(const struct tcp_info *i)
{
	return now_ms() - i->tcpi_last_ack_recv;
}

static enum outcome look(struct probe *p)
{
	bool read = info_read(p->lent.fd, &p->info);

	if (p->info.tcpi_probes > p->probes)
		p->probes = p->info.tcpi_probes;
	if (read && p->info.tcpi_state == STATE_CLOSE) {
		if (p->info.tcpi_retransmits >= SOCKET_PROBES)
			return DEAD_DATA;
		return p->probes >= SOCKET_PROBES ? DEAD : RESET;
	}
	if (!still_there(p->a))
		return CLIENT_CLOSED;
	if (read && acked_ms(&p->info) > p->ack_ms + ACK_MOVED_MS)
		return WORKS;
	/* data in flight: the kernel sends that again, and no probes */
	if (p->info.tcpi_unacked && p->info.tcpi_retransmits >= SOCKET_PROBES &&
	    now_ms() - p->begin_ms > CONTROL_AFTER_MS)
		return DEAD_DATA;
	return now_ms() - p->begin_ms > p->limit_ms ? NO_ANSWER : OPEN;
}

/* False: broken off. */
static bool pause_ms(int stop_fd, int ms)
{
	struct pollfd p = { .fd = stop_fd, .events = POLLIN };

	return poll(&p, 1, ms) <= 0;
}

static enum outcome watch(struct probe *p, int stop_fd)
{
	for (;;) {
		enum outcome o = look(p);

		control_look(&p->control);
		if (o == OPEN && !p->control.begun && now_ms() - p->begin_ms > CONTROL_AFTER_MS)
			control_begin(&p->control, &p->lent);
		if (o == WORKS || o == CLIENT_CLOSED)
			return o;
		/* of a dead one it is good to know whether only this connection is */
		if (o != OPEN && !p->control.begun)
			control_begin(&p->control, &p->lent);
		if (o != OPEN && p->control.done)
			return o;
		if (pause_ms(stop_fd, LOOK_MS))
			continue;
		/* often because the client has ended, and what ended it is what was to be shown */
		o = look(p);
		return o == OPEN ? STOPPED : o;
	}
}

/* What the client does with a connection that ended under it. */
static void followed(const struct source_action *a, const struct lent *l, char *to, size_t n)
{
	uint64_t begin = now_ms();
	struct tcp_info info;

	while (still_there(a) && now_ms() - begin < FOLLOW_MS)
		poll(NULL, 0, LOOK_MS);
	if (!still_there(a))
		snprintf(to, n, "the client closed it %llu ms later",
		         (unsigned long long)(now_ms() - begin));
	else if (l->protocol == IPPROTO_TCP && l->domain != AF_UNIX && info_read(l->fd, &info))
		snprintf(to, n, "%d s later the client has not closed it (state %s)",
		         FOLLOW_MS / 1000, state_name(info.tcpi_state));
	else
		snprintf(to, n, "%d s later the client has not closed it", FOLLOW_MS / 1000);
}

static void probe_text(const struct probe *p, enum outcome o, const char *control, const char *then,
                       struct socket_result *to)
{
	static const int results[] = {
		[WORKS] = 1,
		[CLIENT_CLOSED] = -ESTALE,
		[STOPPED] = -ECANCELED,
		[NO_ANSWER] = -ETIME,
		[DEAD] = 0,
		[DEAD_DATA] = 0,
		[RESET] = 0,
	};
	const char *name = p->lent.name;
	uint64_t acked = acked_ms(&p->info);
	size_t n = sizeof(to->text);

	to->result = results[o];
	switch (o) {
	case WORKS:
		snprintf(to->text, n,
		         "the path works: %s answered within %llu ms; the connection goes on, its "
		         "settings are as before",
		         name, (unsigned long long)(acked > p->begin_ms ? acked - p->begin_ms : 0));
		break;
	case DEAD:
		snprintf(to->text, n,
		         "the path is dead: %u keepalive probes to %s unanswered; %s. The kernel "
		         "has failed the connection, so the client's call ends with an error; %s",
		         p->probes, name, control, then);
		break;
	case RESET:
		snprintf(to->text, n,
		         "the connection is dead: %s answered a probe with a reset, it knows "
		         "nothing of this connection; %s. The client's call ends with an error; %s",
		         name, control, then);
		break;
	case DEAD_DATA:
		snprintf(to->text, n,
		         "the path is dead: %u retransmissions to %s unanswered, no "
		         "acknowledgement for %u s; %s. The settings of the connection are as "
		         "before (state %s)",
		         p->info.tcpi_retransmits, name, p->info.tcpi_last_ack_recv / 1000, control,
		         state_name(p->info.tcpi_state));
		break;
	case CLIENT_CLOSED:
		snprintf(to->text, n, "the client closed the connection to %s meanwhile", name);
		break;
	case STOPPED:
		snprintf(to->text, n, "broken off; the settings of the connection are as before");
		break;
	case NO_ANSWER:
	case OPEN:
		snprintf(
			to->text, n,
			"not decided within %llu s: %u probes to %s unanswered (state %s); %s. The "
			"settings of the connection are as before",
			(unsigned long long)p->limit_ms / 1000, p->probes, name,
			state_name(p->info.tcpi_state), control);
		break;
	}
}

/* NULL: it can be probed. */
static const char *unfit(const struct lent *l, const struct tcp_info *info,
                         const struct keepalive *old)
{
	if (l->domain == AF_UNIX)
		return "a unix socket has no path that could be dead";
	if (l->type != SOCK_STREAM || l->protocol != IPPROTO_TCP)
		return "only TCP connections can be probed";
	if (int_option(l->fd, SOL_SOCKET, SO_ACCEPTCONN) != 0)
		return "it listens, it is no connection";
	if (info->tcpi_state == STATE_SYN_SENT)
		return "the connection is still being made";
	if (info->tcpi_state == STATE_CLOSE)
		return "it is not connected any more";
	if (old->idle_s > KEEPIDLE_MAX || old->interval_s > KEEPIDLE_MAX)
		return "its keepalive settings are so long that they could not be restored";
	return NULL;
}

static void probe_run(struct probe *p, const struct probe_watch *w, const struct keepalive *old,
                      struct socket_result *to)
{
	/* an answer must have time to come before the next probe */
	int interval_s = 1 + (int)(p->info.tcpi_rtt / 500000);
	struct keepalive fast = { 1, 1, interval_s, SOCKET_PROBES, 0 };
	char control[160], then[80] = "";
	enum outcome o;
	int err, back;

	p->limit_ms = (uint64_t)interval_s * 1000 * (SOCKET_PROBES + 1) + LIMIT_EXTRA_MS;
	p->ack_ms = acked_ms(&p->info);
	p->begin_ms = now_ms();
	w->saved(w->ctx, old);
	err = keepalive_write(p->lent.fd, &fast);
	o = err ? STOPPED : watch(p, w->stop_fd);
	back = keepalive_write(p->lent.fd, old);
	err = err ? err : back;
	if (o == DEAD || o == RESET)
		followed(p->a, &p->lent, then, sizeof(then));
	control_text(&p->control, control, sizeof(control));
	probe_text(p, o, control, then, to);
	if (err) {
		to->result = o == STOPPED ? err : to->result;
		snprintf(to->text + strlen(to->text), sizeof(to->text) - strlen(to->text),
		         "; setting its keepalive options failed: %s", strerror(-err));
	}
}

void socket_probe(const struct source_action *a, const struct probe_watch *w,
                  struct socket_result *to)
{
	struct probe p = { .a = a, .control.fd = -1 };
	struct keepalive old = { 0 };
	const char *why;
	int err = lend(a, &p.lent);

	if (err) {
		refuse(to, err, a);
		return;
	}
	why = p.lent.domain == AF_UNIX || p.lent.protocol != IPPROTO_TCP
	              ? unfit(&p.lent, &p.info, &old)
	      : info_read(p.lent.fd, &p.info) && keepalive_read(p.lent.fd, &old)
	              ? unfit(&p.lent, &p.info, &old)
	              : "the kernel does not tell its settings";
	if (why) {
		to->result = -EOPNOTSUPP;
		snprintf(to->text, sizeof(to->text),
		         "descriptor %d of process %u cannot be probed: %s; nothing was done",
		         a->fd, a->pid, why);
	} else {
		probe_run(&p, w, &old, to);
	}
	close(p.lent.fd);
}

/* ---- unstick ---- */

void socket_unstick(const struct source_action *a, struct socket_result *to)
{
	struct lent l = { .fd = -1 };
	char then[80];
	int err = lend(a, &l);

	if (err) {
		refuse(to, err, a);
		return;
	}
	if (l.type != SOCK_STREAM || int_option(l.fd, SOL_SOCKET, SO_ACCEPTCONN) != 0)
		err = -EOPNOTSUPP;
	else if (shutdown(l.fd, SHUT_RDWR))
		err = -errno;
	to->result = err;
	if (err == -EOPNOTSUPP) {
		snprintf(to->text, sizeof(to->text),
		         "descriptor %d of process %u is no connection; nothing was done", a->fd,
		         a->pid);
	} else if (err) {
		snprintf(to->text, sizeof(to->text),
		         "the connection to %s (descriptor %d of process %u) could not be shut "
		         "down: %s",
		         l.name, a->fd, a->pid, strerror(-err));
	} else {
		followed(a, &l, then, sizeof(then));
		snprintf(to->text, sizeof(to->text),
		         "the connection to %s (descriptor %d of process %u) was shut down; %s",
		         l.name, a->fd, a->pid, then);
	}
	close(l.fd);
}
