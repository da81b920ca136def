/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For the tests of connections: events in one line, one millisecond apart, and an owner that keeps the calls in the order
 * they ended. Sockets, TLS objects, and records of TLS between the two.
 */
#ifndef CONN_FIXTURE_H
#define CONN_FIXTURE_H
#include <sys/socket.h>

#include "conn.h"
#include "test.h"

#define CALLS_MAX 64
#define PID 7
#define SOCK 1001
#define TLS 0x7f0000001000ull
#define MS 1000000ull

struct fixture {
	struct conns *t;
	struct endpoint_rules *rules;
	struct call *calls[CALLS_MAX];
	uint64_t socks[CALLS_MAX]; /* the socket below the connection each was on, 0 none */
	char hosts[CALLS_MAX][128];
	int opened, done, gone;
	uint64_t enough_sock, now_ns, pos[4096][2];
	uint64_t began_ns; /* the newest operation */
	uint32_t enough;
};

static inline struct call *on_open(void *ctx, struct conn *c, const struct stamp *at)
{
	struct fixture *f = ctx;
	struct call *call = call_new();

	call->id = (uint64_t)++f->opened;
	call->conn = c->id;
	call->tid = at->tid;
	return call;
}

static inline void on_sent(void *ctx, struct conn *c, struct call *call)
{
	(void)ctx;
	if (call->host[0])
		conn_host(c, call->host);
}

static inline void on_done(void *ctx, struct conn *c, struct call *call)
{
	struct fixture *f = ctx;
	int i = f->done++;

	if (i >= CALLS_MAX)
		abort();
	f->calls[i] = call;
	f->socks[i] = conn_socket(c) ? conn_socket(c)->sock : 0;
	snprintf(f->hosts[i], sizeof(f->hosts[i]), "%s", c->endpoint.host);
}

static inline void on_adopted(void *ctx, struct conn *c, struct call *call)
{
	(void)ctx;
	call->conn = c->id;
}

static inline void on_moved(void *ctx, struct conn *c, int dir, uint64_t ts_ns)
{
	(void)ctx;
	(void)dir;
	(void)ts_ns;
	if (!c->open)
		abort();
}

static inline void on_gone(void *ctx, struct conn *c)
{
	(void)c;
	((struct fixture *)ctx)->gone++;
}

static inline void on_enough(void *ctx, uint64_t sock, uint32_t n)
{
	struct fixture *f = ctx;

	f->enough_sock = sock;
	f->enough = n;
}

static inline struct fixture *begin(void)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct conn_ops ops = { on_open,  on_sent, on_done,   on_adopted,
		                on_moved, on_gone, on_enough, f };

	f->rules = endpoint_rules_new();
	f->now_ns = 1000 * MS;
	f->t = conns_new(&ops, f->rules, f->now_ns);
	return f;
}

static inline void end(struct fixture *f)
{
	conns_free(f->t);
	CHECK(f->opened == f->done);
	for (int i = 0; i < f->done; i++)
		call_free(f->calls[i]);
	endpoint_rules_free(f->rules);
	free(f);
}

static inline struct event header(struct fixture *f, enum event_type type, size_t size,
                                  uint32_t tid)
{
	f->now_ns += MS;
	return (struct event){ (uint32_t)size, (uint16_t)type, 0, f->now_ns, PID, tid };
}

static inline struct ev_socket socket_event(struct fixture *f, enum event_type type, uint64_t sock,
                                            uint16_t port)
{
	struct ev_socket e = { .h = header(f, type, sizeof(e), PID),
		               .sock = sock,
		               .fd = 3,
		               .family = AF_INET,
		               .kind = SOCK_STREAM,
		               .remote_port = port,
		               .remote = { 127, 0, 0, 1 } };

	e.start_ns = f->now_ns - MS / 2;
	e.role = type == EV_CONNECT ? ROLE_CLIENT : type == EV_ACCEPT ? ROLE_SERVER : ROLE_UNKNOWN;
	return e;
}

static inline void connects(struct fixture *f, uint64_t sock, uint16_t port)
{
	struct ev_socket e = socket_event(f, EV_CONNECT, sock, port);

	conns_socket(f->t, &e);
}

/* What an operation is, where it is not the usual. */
struct how {
	uint64_t sock, tls, lost, total;
	uint32_t tid;
	uint32_t off; /* it is a further piece of the operation before */
	uint16_t flags, err;
};

/* One operation: n bytes in one record. */
static inline void moves(struct fixture *f, struct how how, int dir, const void *p, size_t n)
{
	uint64_t *pos = &f->pos[how.tls ? how.tls / 16 % 2048 : 2048 + how.sock % 2048][dir];
	struct ev_data e = {
		.h = header(f, how.tls ? EV_TLS : EV_DATA, sizeof(e) + n, how.tid ? how.tid : PID),
		.sock = how.sock,
		.tls = how.tls,
		.total = how.total ? how.total : n,
		.n = (uint32_t)n,
		.fd = 3,
		.err = how.err,
		.dir = (uint8_t)dir,
	};
	char *copy;

	*pos += how.lost;
	if (how.off)
		*pos -= e.total;
	else
		f->began_ns = f->now_ns - MS / 2;
	e.off = how.off;
	e.pos = *pos;
	*pos += e.total;
	e.h.flags = how.flags;
	e.start_ns = f->began_ns;
	copy = malloc(sizeof(e) + n); /* of its own, so that the sanitizer sees where it ends */
	memcpy(copy, &e, sizeof(e));
	if (n)
		memcpy(copy + sizeof(e), p, n);
	conns_data(f->t, (const struct ev_data *)copy);
	free(copy);
}

#define SAYS(f, how, dir, text) moves(f, how, dir, text, sizeof(text) - 1)

static inline void closes(struct fixture *f, uint64_t sock, uint64_t tls, uint16_t flags,
                          uint64_t timed_out_ns)
{
	struct ev_close e = { .h = header(f, tls ? EV_TLS_FREE : EV_CLOSE, sizeof(e), PID),
		              .sock = sock,
		              .tls = tls,
		              .timed_out_ns = timed_out_ns,
		              .fd = 3 };

	e.h.flags = flags;
	conns_close(f->t, &e);
}

static const char ask[] =
	"POST /v1/messages HTTP/1.1\r\nHost: llm.test\r\nContent-Length: 2\r\n\r\n{}";
static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

static const struct how plain = { .sock = SOCK };

static inline struct ev_socket seeded(struct fixture *f, uint64_t sock, int fd, uint64_t sent_ago,
                                      uint64_t received_ago)
{
	struct ev_socket e = socket_event(f, EV_SOCKET, sock, 8000);

	e.h.flags = EVF_SEEDED | EVF_TCP;
	e.role = ROLE_CLIENT;
	e.fd = fd;
	e.tcp_state = 1;
	e.tcp_bytes_sent = e.tcp_bytes_recv = 100;
	e.tcp_last_sent_ns = sent_ago;
	e.tcp_last_recv_ns = received_ago;
	return e;
}

#define RECORD_MAX 70000

/* A record of application data: n bytes of it and what TLS 1.3 adds, in *room; its whole length. */
static inline size_t record(unsigned char *room, size_t n)
{
	size_t len = n + 17;

	memset(room, 'x', 5 + len);
	memcpy(room, "\x17\x03\x03", 3);
	room[3] = (unsigned char)(len >> 8);
	room[4] = (unsigned char)len;
	return 5 + len;
}

static const struct how cipher = { .sock = SOCK };

/* How a socket whose handshake was not seen shows that it carries TLS. */
static inline void speaks_tls(struct fixture *f, uint64_t sock)
{
	struct ev_socket e = seeded(f, sock, 5, 900 * MS, 100 * MS);

	e.remote_port = 443;
	conns_socket(f->t, &e);
}

static inline void sends(struct fixture *f, struct how how, int dir, size_t n)
{
	unsigned char room[RECORD_MAX];

	moves(f, how, dir, room, record(room, n));
}
#endif
