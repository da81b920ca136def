/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sockets and TLS objects as connections: which calls come out, on which socket they are, and what is never joined or
 * invented. Events are made one millisecond apart; a connection's calls are kept in the order they ended.
 */
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
	uint32_t enough;
};

static struct call *on_open(void *ctx, struct conn *c, const struct stamp *at)
{
	struct fixture *f = ctx;
	struct call *call = call_new();

	call->id = (uint64_t)++f->opened;
	call->conn = c->id;
	call->tid = at->tid;
	return call;
}

static void on_sent(void *ctx, struct conn *c, struct call *call)
{
	(void)ctx;
	if (call->host[0])
		conn_host(c, call->host);
}

static void on_done(void *ctx, struct conn *c, struct call *call)
{
	struct fixture *f = ctx;
	int i = f->done++;

	if (i >= CALLS_MAX)
		abort();
	f->calls[i] = call;
	f->socks[i] = conn_socket(c) ? conn_socket(c)->sock : 0;
	snprintf(f->hosts[i], sizeof(f->hosts[i]), "%s", c->endpoint.host);
}

static void on_moved(void *ctx, struct conn *c, int dir, uint64_t ts_ns)
{
	(void)ctx;
	(void)dir;
	(void)ts_ns;
	if (!c->open)
		abort();
}

static void on_gone(void *ctx, struct conn *c)
{
	(void)c;
	((struct fixture *)ctx)->gone++;
}

static void on_enough(void *ctx, uint64_t sock, uint32_t n)
{
	struct fixture *f = ctx;

	f->enough_sock = sock;
	f->enough = n;
}

static struct fixture *begin(void)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct conn_ops ops = { on_open, on_sent, on_done, on_moved, on_gone, on_enough, f };

	f->rules = endpoint_rules_new();
	f->now_ns = 1000 * MS;
	f->t = conns_new(&ops, f->rules, f->now_ns);
	return f;
}

static void end(struct fixture *f)
{
	conns_free(f->t);
	CHECK(f->opened == f->done);
	for (int i = 0; i < f->done; i++)
		call_free(f->calls[i]);
	endpoint_rules_free(f->rules);
	free(f);
}

static struct event header(struct fixture *f, enum event_type type, size_t size, uint32_t tid)
{
	f->now_ns += MS;
	return (struct event){ (uint32_t)size, (uint16_t)type, 0, f->now_ns, PID, tid };
}

static struct ev_socket socket_event(struct fixture *f, enum event_type type, uint64_t sock,
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

static void connects(struct fixture *f, uint64_t sock, uint16_t port)
{
	struct ev_socket e = socket_event(f, EV_CONNECT, sock, port);

	conns_socket(f->t, &e);
}

/* What an operation is, where it is not the usual. */
struct how {
	uint64_t sock, tls, lost, total;
	uint32_t tid;
	uint16_t flags, err;
};

/* One operation: n bytes in one record. */
static void moves(struct fixture *f, struct how how, int dir, const void *p, size_t n)
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
	e.pos = *pos;
	*pos += e.total;
	e.h.flags = how.flags;
	e.start_ns = f->now_ns - MS / 2;
	copy = malloc(sizeof(e) + n); /* of its own, so that the sanitizer sees where it ends */
	memcpy(copy, &e, sizeof(e));
	if (n)
		memcpy(copy + sizeof(e), p, n);
	conns_data(f->t, (const struct ev_data *)copy);
	free(copy);
}

#define SAYS(f, how, dir, text) moves(f, how, dir, text, sizeof(text) - 1)

static void closes(struct fixture *f, uint64_t sock, uint64_t tls, uint16_t flags,
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

/* ---- sockets ---- */

static void names_asked_for(void)
{
	static const char dns[] = "\x12\x35\x81\x80\0\1\0\1\0\0\0\0"
				  "\5store\3net\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\1\0\4\177\0\0\1";
	static const struct how resolver = { .sock = SOCK + 1 };
	struct fixture *f = begin();
	struct ev_socket e = socket_event(f, EV_CONNECT, SOCK + 1, 53);

	TEST("a connection has the name its address was asked for by, until its own bytes tell");
	e.kind = SOCK_DGRAM;
	conns_socket(f->t, &e);
	moves(f, resolver, DIR_IN, dns, sizeof(dns) - 1);
	connects(f, SOCK, 6379);
	CHECK(strcmp(conns_by_sock(f->t, SOCK)->endpoint.name, "store.net:6379") == 0);
	CHECK(strcmp(conns_by_sock(f->t, SOCK)->endpoint.addr, "127.0.0.1:6379") == 0);
	SAYS(f, plain, DIR_OUT, ask);
	SAYS(f, plain, DIR_IN, answer);
	CHECK(f->done == 1 && strcmp(f->hosts[0], "llm.test") == 0);
	TEST("only a datagram from a name server tells names");
	connects(f, SOCK + 2, 9000);
	moves(f, (struct how){ .sock = SOCK + 2 }, DIR_IN, dns, sizeof(dns) - 1);
	e = socket_event(f, EV_CONNECT, SOCK + 3, 54);
	e.kind = SOCK_DGRAM;
	conns_socket(f->t, &e);
	moves(f, (struct how){ .sock = SOCK + 3 }, DIR_IN, dns, sizeof(dns) - 1);
	end(f);
}

static void plain_http(void)
{
	struct fixture *f = begin();
	const struct call *c;

	TEST("HTTP on a socket is a call, with the host of its header and from connect() on");
	connects(f, SOCK, 8000);
	SAYS(f, plain, DIR_OUT, ask);
	CHECK(f->opened == 1 && f->done == 0);
	SAYS(f, plain, DIR_IN, answer);
	CHECK(f->done == 1 && f->socks[0] == SOCK && strcmp(f->hosts[0], "llm.test") == 0);
	c = f->calls[0];
	CHECK(c->http_status == 200 && c->status == CALL_OK && c->partial == PARTIAL_NONE);
	CHECK(strcmp(c->op, "POST /v1/messages") == 0);
	CHECK(conn_call_start(conns_by_sock(f->t, SOCK), PID, c->request_ns) < c->request_ns);

	TEST("the socket's name is its address and port where no host is known");
	connects(f, SOCK + 1, 6379);
	CHECK(strcmp(conns_by_sock(f->t, SOCK + 1)->endpoint.name, "127.0.0.1:6379") == 0);

	TEST("an empty operation, a datagram and a listening socket are no calls");
	{
		struct ev_socket e = socket_event(f, EV_SOCKET, SOCK + 2, 53);

		e.kind = SOCK_DGRAM;
		conns_socket(f->t, &e);
		e = socket_event(f, EV_SOCKET, SOCK + 3, 0);
		e.h.flags = EVF_LISTEN;
		conns_socket(f->t, &e);
	}
	SAYS(f, ((struct how){ .sock = SOCK + 2 }), DIR_OUT, ask);
	moves(f, (struct how){ .sock = SOCK + 1 }, DIR_OUT, "", 0);
	CHECK(f->opened == 1);
	end(f);
}

static void split(void)
{
	bool good = true;

	TEST("an exchange cut anywhere, on both ways, is the same one call");
	for (size_t i = 1; i < sizeof(ask) - 1; i++) {
		struct fixture *f = begin();
		size_t k = i % (sizeof(answer) - 2) + 1;

		connects(f, SOCK, 8000);
		moves(f, plain, DIR_OUT, ask, i);
		moves(f, plain, DIR_OUT, ask + i, sizeof(ask) - 1 - i);
		moves(f, plain, DIR_IN, answer, k);
		moves(f, plain, DIR_IN, answer + k, sizeof(answer) - 1 - k);
		good &= f->done == 1 && f->calls[0]->http_status == 200 && !f->calls[0]->partial;
		conns_free(f->t);
		for (int n = 0; n < f->done; n++)
			call_free(f->calls[n]);
		endpoint_rules_free(f->rules);
		free(f);
	}
	CHECK(good);
}

static void losses(void)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n";
	struct fixture *f = begin();

	TEST("a jump of the position inside a body is counted, and the call goes on to its end");
	connects(f, SOCK, 8000);
	SAYS(f, plain, DIR_OUT, ask);
	SAYS(f, plain, DIR_IN, head);
	SAYS(f, ((struct how){ .sock = SOCK, .lost = 15 }), DIR_IN, "01234");
	CHECK(f->done == 1 && f->calls[0]->http_status == 200);
	CHECK(f->calls[0]->bytes_in == sizeof(head) - 1 + 20);
	CHECK(conns_by_sock(f->t, SOCK)->gaps == 1);

	TEST("bytes that were not captured are a gap of known length");
	SAYS(f, plain, DIR_OUT, ask);
	moves(f, (struct how){ .sock = SOCK, .total = sizeof(head) - 1 + 20 }, DIR_IN, head,
	      sizeof(head) - 1);
	CHECK(f->done == 2 && f->calls[1]->http_status == 200);
	CHECK(f->calls[1]->bytes_in == sizeof(head) - 1 + 20);

	TEST("the next exchange is whole again");
	SAYS(f, plain, DIR_OUT, ask);
	SAYS(f, plain, DIR_IN, answer);
	CHECK(f->done == 3 && f->calls[2]->partial == PARTIAL_NONE);

	TEST("a call whose reply's head was lost says so");
	SAYS(f, plain, DIR_OUT, ask);
	SAYS(f, ((struct how){ .sock = SOCK, .lost = 12 }), DIR_IN, "rest of a head\r\n\r\n{}");
	SAYS(f, plain, DIR_OUT, ask);
	CHECK(f->done >= 4 && f->calls[3]->partial == PARTIAL_EVENTS_LOST);
	CHECK(f->calls[3]->status == CALL_UNKNOWN && f->calls[3]->http_status == 0);

	TEST("positions and lengths no connection can have do no harm");
	moves(f, (struct how){ .sock = SOCK, .lost = UINT64_MAX - 500, .total = INT64_MAX },
	      DIR_OUT, ask, sizeof(ask) - 1);
	moves(f, (struct how){ .sock = SOCK, .lost = UINT64_MAX / 2 }, DIR_IN, answer,
	      sizeof(answer) - 1);
	end(f);
}

static void endings(void)
{
	static const char until_close[] = "HTTP/1.0 200 OK\r\n\r\nall of it";
	struct fixture *f = begin();

	TEST("the end of file completes a reply that reads until then");
	connects(f, SOCK, 8000);
	SAYS(f, plain, DIR_OUT, ask);
	SAYS(f, plain, DIR_IN, until_close);
	CHECK(f->done == 0);
	moves(f, (struct how){ .sock = SOCK, .flags = EVF_EOF }, DIR_IN, "", 0);
	CHECK(f->done == 1 && f->calls[0]->status == CALL_OK);

	TEST("a close of one of several descriptors ends nothing; the last one aborts the open "
	     "call");
	connects(f, SOCK + 1, 8000);
	SAYS(f, ((struct how){ .sock = SOCK + 1 }), DIR_OUT, ask);
	closes(f, SOCK + 1, 0, 0, 0);
	CHECK(f->done == 1 && f->gone == 0);
	closes(f, SOCK + 1, 0, EVF_LAST, 0);
	CHECK(f->done == 2 && f->gone == 1 && f->calls[1]->status == CALL_ABORTED);
	CHECK(!conns_by_sock(f->t, SOCK + 1));

	TEST("a close right after a wait timed out is a timeout");
	connects(f, SOCK + 2, 8000);
	SAYS(f, ((struct how){ .sock = SOCK + 2 }), DIR_OUT, ask);
	closes(f, SOCK + 2, 0, EVF_LAST, f->now_ns);
	CHECK(f->done == 3 && f->calls[2]->status == CALL_TIMEOUT);

	TEST("a reset is an error of its own kind");
	connects(f, SOCK + 3, 8000);
	SAYS(f, ((struct how){ .sock = SOCK + 3 }), DIR_OUT, ask);
	moves(f, (struct how){ .sock = SOCK + 3, .err = 104 }, DIR_IN, "", 0);
	CHECK(f->done == 4 && f->calls[3]->status == CALL_ABORTED);
	CHECK(strcmp(f->calls[3]->error_kind, "connection_reset") == 0);

	TEST("a process that ends takes its connections along; the end of the watch leaves status "
	     "unknown");
	connects(f, SOCK + 4, 8000);
	SAYS(f, ((struct how){ .sock = SOCK + 4 }), DIR_OUT, ask);
	conns_process_exit(f->t, PID, f->now_ns + MS);
	CHECK(f->done == 5 && f->calls[4]->status == CALL_ABORTED);
	connects(f, SOCK + 5, 8000);
	SAYS(f, ((struct how){ .sock = SOCK + 5 }), DIR_OUT, ask);
	conns_end(f->t, f->now_ns + MS);
	CHECK(f->done == 6 && f->calls[5]->status == CALL_UNKNOWN);
	end(f);
}

/* ---- attached late ---- */

static struct ev_socket seeded(struct fixture *f, uint64_t sock, int fd, uint64_t sent_ago,
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

static void waits(struct fixture *f, uint32_t pid, int fd)
{
	struct ev_thread e = {
		.h = header(f, EV_THREAD, sizeof(e), pid), .fds_total = 1, .nfds = 1, .fds = { fd }
	};

	e.h.pid = pid;
	conns_thread(f->t, &e);
}

static void late(void)
{
	struct fixture *f = begin();
	struct ev_socket e = seeded(f, SOCK, 5, 100 * MS, 900 * MS);

	TEST("a socket that sent after it received has a call open, which began then or earlier");
	conns_socket(f->t, &e);
	conns_seeded(f->t);
	CHECK(f->opened == 1 && f->done == 0);
	SAYS(f, plain, DIR_IN, answer);
	SAYS(f, plain, DIR_OUT, ask);
	CHECK(f->opened == 2 && f->done == 1);
	CHECK(f->calls[0]->at_least && f->calls[0]->partial == PARTIAL_ATTACHED_LATE);
	CHECK(f->calls[0]->start_ns == e.h.ts_ns - 100 * MS);
	SAYS(f, plain, DIR_IN, answer);
	CHECK(f->done == 2 && !f->calls[1]->at_least && f->calls[1]->http_status == 200);
	end(f);

	TEST("the middle of a reply says nothing; the next request begins a call");
	f = begin();
	e = seeded(f, SOCK, 5, 900 * MS, 100 * MS);
	conns_socket(f->t, &e);
	conns_seeded(f->t);
	SAYS(f, plain, DIR_IN, "the tail of something\r\n\r\n");
	CHECK(f->opened == 0);
	SAYS(f, plain, DIR_OUT, ask);
	SAYS(f, plain, DIR_IN, answer);
	CHECK(f->done == 1 && f->calls[0]->http_status == 200 && !f->calls[0]->at_least);
	end(f);

	TEST("a thread that waits for one connection waits for its reply");
	f = begin();
	e = seeded(f, SOCK, 5, 900 * MS, 100 * MS);
	conns_socket(f->t, &e);
	waits(f, PID, 5);
	conns_seeded(f->t);
	CHECK(f->opened == 1);
	end(f);

	TEST("another process has the socket under another number: who waits for that number waits "
	     "for something else");
	f = begin();
	e = seeded(f, SOCK, 5, 900 * MS, 100 * MS);
	conns_socket(f->t, &e);
	e.h.pid = PID + 1;
	e.fd = 9;
	conns_socket(f->t, &e);
	waits(f, PID, 9);
	conns_seeded(f->t);
	CHECK(f->opened == 0);
	end(f);
}

/* ---- TLS ---- */

#define RECORD_MAX 70000

/* A record of application data: n bytes of it and what TLS 1.3 adds, in *room; its whole length. */
static size_t record(unsigned char *room, size_t n)
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
static void speaks_tls(struct fixture *f, uint64_t sock)
{
	struct ev_socket e = seeded(f, sock, 5, 900 * MS, 100 * MS);

	e.remote_port = 443;
	conns_socket(f->t, &e);
}

static void sends(struct fixture *f, struct how how, int dir, size_t n)
{
	unsigned char room[RECORD_MAX];

	moves(f, how, dir, room, record(room, n));
}

/* A ClientHello for a name; its length. */
static size_t hello(unsigned char *p, const char *name)
{
	size_t n = strlen(name), at = 0;
	unsigned char body[512] = { 3, 3 };

	at = 2 + 32;
	body[at++] = 0;                     /* session id */
	memcpy(body + at, "\0\2\x13\1", 4); /* one cipher suite */
	memcpy(body + at + 4, "\1\0", 2);   /* one compression method */
	at += 6;
	body[at++] = 0;
	body[at++] = (unsigned char)(n + 9 + 4); /* extensions */
	memcpy(body + at, "\0\x17\0\0", 4);      /* one before it */
	memcpy(body + at + 4, "\0\0\0", 3);
	body[at + 7] = (unsigned char)(n + 5);
	body[at + 8] = 0;
	body[at + 9] = (unsigned char)(n + 3);
	body[at + 10] = 0;
	body[at + 11] = 0;
	body[at + 12] = (unsigned char)n;
	memcpy(body + at + 13, name, n);
	at += 13 + n;
	memcpy(p, "\x16\x03\x01\0", 4);
	p[4] = (unsigned char)(at + 4);
	memcpy(p + 5, "\1\0\0", 3);
	p[8] = (unsigned char)at;
	memcpy(p + 9, body, at);
	return at + 9;
}

/* A connection seen from its start, up to the end of the handshake. */
static void shakes_hands(struct fixture *f, uint64_t sock)
{
	unsigned char room[600];
	size_t n = hello(room, "api.openai.com");

	connects(f, sock, 443);
	moves(f, (struct how){ .sock = sock }, DIR_OUT, room, n);
	moves(f, (struct how){ .sock = sock }, DIR_IN, "\x16\x03\x03\x00\x02xx", 7);
}

static void nested(void)
{
	struct fixture *f = begin();

	TEST("plaintext whose socket was used inside the TLS call is on that socket, and counts "
	     "once");
	shakes_hands(f, SOCK);
	sends(f, cipher, DIR_OUT, sizeof(ask) - 1);
	SAYS(f, ((struct how){ .sock = SOCK, .tls = TLS }), DIR_OUT, ask);
	sends(f, cipher, DIR_IN, sizeof(answer) - 1);
	SAYS(f, ((struct how){ .sock = SOCK, .tls = TLS }), DIR_IN, answer);
	conns_tick(f->t, f->now_ns + 1000 * MS);
	CHECK(f->opened == 1 && f->done == 1 && f->socks[0] == SOCK);
	CHECK(f->calls[0]->http_status == 200);
	CHECK(conns_by_sock(f->t, SOCK)->plaintext_seen);

	TEST("of a socket that carries TLS no more is wanted than the heads of its records");
	CHECK(f->enough_sock == SOCK && f->enough < 1024);

	TEST("an object that is freed ends its call and leaves the socket; its address may come "
	     "again");
	SAYS(f, ((struct how){ .sock = SOCK, .tls = TLS }), DIR_OUT, ask);
	closes(f, 0, TLS, 0, 0);
	CHECK(f->done == 2 && f->calls[1]->status == CALL_ABORTED);
	CHECK(conns_by_sock(f->t, SOCK) && !conns_by_sock(f->t, SOCK)->peer);
	connects(f, SOCK + 1, 443);
	SAYS(f, ((struct how){ .sock = SOCK + 1, .tls = TLS }), DIR_OUT, ask);
	SAYS(f, ((struct how){ .sock = SOCK + 1, .tls = TLS }), DIR_IN, answer);
	CHECK(f->done == 3 && f->socks[2] == SOCK + 1);

	TEST("the last close of the socket ends the call of its object");
	SAYS(f, ((struct how){ .sock = SOCK + 1, .tls = TLS }), DIR_OUT, ask);
	closes(f, SOCK + 1, 0, EVF_LAST, 0);
	CHECK(f->done == 4 && f->calls[3]->status == CALL_ABORTED);
	end(f);
}

static const struct how object = { .tls = TLS };

static void by_length(void)
{
	struct fixture *f = begin();

	TEST("plaintext into an object, then that much ciphertext out of the thread: the object is "
	     "on that socket");
	speaks_tls(f, SOCK);
	conns_seeded(f->t);
	sends(f, cipher, DIR_IN, 10);
	SAYS(f, object, DIR_OUT, ask);
	sends(f, cipher, DIR_OUT, sizeof(ask) - 1);
	SAYS(f, object, DIR_IN, answer);
	CHECK(f->done == 1 && f->socks[0] == SOCK);
	end(f);

	TEST("two writes that leave in one are joined, too");
	f = begin();
	speaks_tls(f, SOCK);
	conns_seeded(f->t);
	sends(f, cipher, DIR_IN, 10);
	moves(f, object, DIR_OUT, ask, 40);
	moves(f, object, DIR_OUT, ask + 40, sizeof(ask) - 41);
	{
		unsigned char room[RECORD_MAX];
		size_t n = record(room, 40);

		n += record(room + n, sizeof(ask) - 41);
		moves(f, cipher, DIR_OUT, room, n);
	}
	SAYS(f, object, DIR_IN, answer);
	CHECK(f->done == 1 && f->socks[0] == SOCK);
	end(f);

	TEST("ciphertext of another length is not its: no join, and no second call for the same "
	     "bytes");
	f = begin();
	speaks_tls(f, SOCK);
	conns_seeded(f->t);
	sends(f, cipher, DIR_IN, 10);
	SAYS(f, object, DIR_OUT, ask);
	sends(f, cipher, DIR_OUT, sizeof(ask) + 400);
	SAYS(f, object, DIR_IN, answer);
	conns_tick(f->t, f->now_ns + 1000 * MS);
	CHECK(f->opened == 1 && f->done == 1 && f->socks[0] == 0);
	end(f);

	TEST("another thread's ciphertext is not its, whatever its length");
	f = begin();
	speaks_tls(f, SOCK);
	conns_seeded(f->t);
	sends(f, cipher, DIR_IN, 10);
	SAYS(f, object, DIR_OUT, ask);
	sends(f, (struct how){ .sock = SOCK, .tid = PID + 1 }, DIR_OUT, sizeof(ask) - 1);
	SAYS(f, object, DIR_IN, answer);
	CHECK(f->calls[0] && f->socks[0] == 0);
	end(f);
}

static void by_length_later(void)
{
	struct fixture *f = begin();

	TEST("a write whose ciphertext left in pieces does not keep later ones from being joined");
	speaks_tls(f, SOCK);
	speaks_tls(f, SOCK + 1);
	conns_seeded(f->t);
	sends(f, cipher, DIR_IN, 10);
	sends(f, (struct how){ .sock = SOCK + 1 }, DIR_IN, 10);
	SAYS(f, object, DIR_OUT, ask);
	f->now_ns += 1000 * MS;
	SAYS(f, ((struct how){ .tls = TLS + 0x100 }), DIR_OUT, ask);
	sends(f, (struct how){ .sock = SOCK + 1 }, DIR_OUT, sizeof(ask) - 1);
	SAYS(f, ((struct how){ .tls = TLS + 0x100 }), DIR_IN, answer);
	CHECK(f->done == 1 && f->socks[0] == SOCK + 1);

	TEST("an old write is not taken for the ciphertext of today");
	f->now_ns += 1000 * MS;
	SAYS(f, object, DIR_IN, answer);
	CHECK(f->done == 2 && f->socks[1] == 0);
	end(f);
}

static void no_plaintext(void)
{
	struct fixture *f = begin();

	TEST("TLS whose plaintext nobody sees has calls with times only, and says why");
	speaks_tls(f, SOCK);
	conns_seeded(f->t);
	sends(f, cipher, DIR_IN, 10);
	sends(f, cipher, DIR_OUT, 300);
	sends(f, cipher, DIR_IN, 200);
	sends(f, cipher, DIR_OUT, 300);
	conns_tick(f->t, f->now_ns + 1000 * MS);
	CHECK(f->opened == 2 && f->done == 1);
	CHECK(f->calls[0]->op[0] == '\0' && f->calls[0]->status == CALL_UNKNOWN);
	CHECK(strcmp(f->calls[0]->proto, "generic") == 0);
	CHECK(!conns_by_sock(f->t, SOCK)->plaintext_seen);
	end(f);

	TEST("bytes that only look a little like TLS records make no socket one that carries TLS");
	f = begin();
	speaks_tls(f, SOCK);
	conns_seeded(f->t);
	moves(f, cipher, DIR_OUT, "\x17\x02\x03\x00\x20", 5);
	CHECK(!conns_by_sock(f->t, SOCK)->ciphertext);
	moves(f, cipher, DIR_OUT, "\x17\x03\x03\xff\xff", 5);
	CHECK(!conns_by_sock(f->t, SOCK)->ciphertext);
	moves(f, cipher, DIR_OUT, "\x17\x03\x03\x00", 4);
	CHECK(!conns_by_sock(f->t, SOCK)->ciphertext);
	moves(f, cipher, DIR_OUT, "\x17\x03\x03\x00\x20", 5);
	CHECK(conns_by_sock(f->t, SOCK)->ciphertext);
	end(f);
}

static void client_hello(void)
{
	unsigned char room[600];
	size_t n = hello(room, "api.openai.com");
	bool cut = true, changed = true;
	struct fixture *f = begin();

	TEST("the ClientHello names the host, and an LLM host makes the connection one to an LLM");
	connects(f, SOCK, 443);
	moves(f, plain, DIR_OUT, room, n);
	CHECK(strcmp(conns_by_sock(f->t, SOCK)->endpoint.host, "api.openai.com") == 0);
	CHECK(conns_by_sock(f->t, SOCK)->endpoint.class == CALL_LLM);
	CHECK(conns_by_sock(f->t, SOCK)->ciphertext && f->opened == 0);

	TEST("cut anywhere, it is TLS as soon as that shows, without a name unless the whole name "
	     "is there");
	for (size_t i = 0; i <= n; i++) {
		struct conn *c;

		connects(f, SOCK + 1 + i, 443);
		moves(f, (struct how){ .sock = SOCK + 1 + i, .total = n }, DIR_OUT, room, i);
		c = conns_by_sock(f->t, SOCK + 1 + i);
		cut &= c->ciphertext == (i >= 11);
		cut &= i == n || !c->endpoint.host[0];
	}
	CHECK(cut);

	TEST("with any one byte changed to anything it reads nothing that is not there");
	for (size_t i = 0; i < n; i++) {
		for (int bit = 0; bit < 8; bit++) {
			unsigned char other[600];

			memcpy(other, room, n);
			other[i] ^= (unsigned char)(1 << bit);
			connects(f, SOCK + 300, 443);
			moves(f, (struct how){ .sock = SOCK + 300 }, DIR_OUT, other, n);
			changed &= strlen(conns_by_sock(f->t, SOCK + 300)->endpoint.host) < 128;
			closes(f, SOCK + 300, 0, EVF_LAST, 0);
		}
	}
	CHECK(changed);
	end(f);

	TEST("writes of the handshake are no calls; the first application data is");
	f = begin();
	connects(f, SOCK, 443);
	moves(f, plain, DIR_OUT, room, n);
	moves(f, plain, DIR_IN, "\x16\x03\x03\x00\x02xx", 7);
	sends(f, plain, DIR_OUT, 53 - 17);
	conns_tick(f->t, f->now_ns + 1000 * MS);
	CHECK(f->opened == 0);
	sends(f, plain, DIR_OUT, 400);
	sends(f, plain, DIR_IN, 400);
	conns_tick(f->t, f->now_ns + 1000 * MS);
	CHECK(f->opened == 1);
	end(f);
}

/* ---- limits ---- */

static void crowds(void)
{
	struct fixture *f = begin();

	TEST("threads that came and went are not remembered for ever, and the newest still join");
	speaks_tls(f, SOCK);
	conns_seeded(f->t);
	sends(f, cipher, DIR_IN, 10);
	for (uint32_t tid = 100; tid < 20000; tid++)
		moves(f, (struct how){ .sock = SOCK + 1, .tid = tid }, DIR_IN, "", 0);
	SAYS(f, ((struct how){ .tls = TLS, .tid = 20001 }), DIR_OUT, ask);
	sends(f, (struct how){ .sock = SOCK, .tid = 20001 }, DIR_OUT, sizeof(ask) - 1);
	SAYS(f, ((struct how){ .tls = TLS, .tid = 20001 }), DIR_IN, answer);
	CHECK(f->done == 1 && f->socks[0] == SOCK);

	TEST("what a forgotten thread held is still counted");
	speaks_tls(f, SOCK + 2);
	sends(f, (struct how){ .sock = SOCK + 2 }, DIR_IN, 10);
	sends(f, (struct how){ .sock = SOCK + 2, .tid = 30000 }, DIR_OUT, 300);
	CHECK(f->opened == 1);
	for (uint32_t tid = 40000; tid < 50000; tid++)
		moves(f, (struct how){ .sock = SOCK + 1, .tid = tid }, DIR_IN, "", 0);
	CHECK(f->opened == 2);

	TEST("more connections than are remembered: idle ones are forgotten, and counted");
	for (uint64_t s = 0; s < CONNS_MAX; s++)
		connects(f, 100000 + s, 80);
	CHECK(conns_forgotten(f->t) > 0 && conns_forgotten(f->t) < 10);
	end(f);
}

static struct ev_socket end_event(struct fixture *f, enum event_type type, uint64_t sock,
                                  uint16_t local, uint16_t remote)
{
	struct ev_socket e = socket_event(f, type, sock, remote);

	memcpy(e.local, "\x7f\0\0\1", 4);
	e.local_port = local;
	conns_socket(f->t, &e);
	return e;
}

static void far_again(void)
{
	struct fixture *f = begin();

	TEST("a socket that connects again has another far end");
	end_event(f, EV_CONNECT, 10, 40000, 8000);
	end_event(f, EV_ACCEPT, 20, 8000, 40000);
	CHECK(conn_far_end(conns_by_sock(f->t, 20)) == conns_by_sock(f->t, 10));
	end_event(f, EV_CONNECT, 10, 40001,
	          8000); /* connects again, the server has not yet closed 20 */
	end_event(f, EV_ACCEPT, 30, 8000, 40001);
	CHECK(conn_far_end(conns_by_sock(f->t, 20)) == NULL);
	CHECK(conn_far_end(conns_by_sock(f->t, 30)) == conns_by_sock(f->t, 10));
	end(f);
}

int main(void)
{
	far_again();
	names_asked_for();
	plain_http();
	split();
	losses();
	endings();
	late();
	nested();
	by_length();
	by_length_later();
	no_plaintext();
	client_hello();
	crowds();
	return DONE();
}
