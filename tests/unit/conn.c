/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sockets as connections: which calls come out, on which socket they are, and what is never joined or invented. What is
 * particular to TLS is in cipher.c.
 */
#include "conn_fixture.h"

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

static void named(struct fixture *f, uint64_t tls, const char *name, size_t n)
{
	char room[sizeof(struct ev_tls_name) + 300] __attribute__((aligned(8))) = { 0 };
	struct ev_tls_name *e = (void *)room;

	e->h = header(f, EV_TLS_NAME, sizeof(*e) + n, PID);
	e->tls = tls;
	memcpy(e->text, name, n);
	conns_named(f->t, e);
}

static void named_to_tls(void)
{
	static const char bare[] = "GET /x HTTP/1.1\r\n\r\n";
	struct fixture *f = begin();
	char longest[200];

	TEST("what the program calls the server behind its TLS object names the calls through it");
	named(f, TLS, "inner.test", 10);
	SAYS(f, (struct how){ .tls = TLS }, DIR_OUT, bare);
	SAYS(f, (struct how){ .tls = TLS }, DIR_IN, answer);
	CHECK(f->done == 1 && strcmp(f->hosts[0], "inner.test") == 0);

	TEST("what is no host's name is none");
	memset(longest, 'a', sizeof(longest));
	named(f, TLS + 16, "a b", 3);
	named(f, TLS + 16, "a\0b", 3);
	named(f, TLS + 16, "", 0);
	named(f, TLS + 16, longest, sizeof(longest));
	SAYS(f, (struct how){ .tls = TLS + 16 }, DIR_OUT, bare);
	SAYS(f, (struct how){ .tls = TLS + 16 }, DIR_IN, answer);
	CHECK(f->done == 2 && f->hosts[1][0] == '\0');
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

static void resumed(void)
{
	static const struct {
		uint64_t sent, received;
		int calls;
	} of[] = { { 641, 156, 0 },  { 1830, 240, 0 }, { 2600, 156, 1 },
		   { 641, 1300, 1 }, { 100, 156, 1 },  { 641, 0, 1 } };

	TEST("a TLS session that was resumed in advance, the client's Finished last, is no call; "
	     "one that moved more or less is");
	for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++) {
		struct fixture *f = begin();
		struct ev_socket e = seeded(f, SOCK, 5, 100 * MS, 900 * MS);

		e.tcp_bytes_sent = of[i].sent;
		e.tcp_bytes_recv = of[i].received;
		conns_socket(f->t, &e);
		conns_seeded(f->t);
		CHECK(f->opened == of[i].calls);
		end(f);
	}

	TEST("a reply shows that there was a request all the same");
	struct fixture *f = begin();
	struct ev_socket e = seeded(f, SOCK, 5, 100 * MS, 900 * MS);

	e.tcp_bytes_sent = 641;
	e.tcp_bytes_recv = 156;
	conns_socket(f->t, &e);
	conns_seeded(f->t);
	SAYS(f, plain, DIR_IN, answer);
	SAYS(f, plain, DIR_OUT, ask);
	CHECK(f->opened == 2 && f->done == 1 && f->calls[0]->at_least);
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
	sends(f, (struct how){ .sock = SOCK, .tid = 20001 }, DIR_IN, sizeof(answer) - 1);
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
	named_to_tls();
	plain_http();
	split();
	losses();
	endings();
	late();
	resumed();
	crowds();
	return DONE();
}
