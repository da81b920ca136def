/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets that carry TLS and the objects that speak through them: what is joined, what is parted, what counts once. */
#include "conn_fixture.h"

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
	sends(f, cipher, DIR_IN, sizeof(answer) - 1);
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
	sends(f, cipher, DIR_IN, sizeof(answer) - 1);
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
	sends(f, (struct how){ .sock = SOCK + 1 }, DIR_IN, sizeof(answer) - 1);
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

/* ---- memory BIOs: many at once, and what is checked ---- */

static struct how sock_of(int i)
{
	return (struct how){ .sock = SOCK + (uint64_t)i };
}

static struct how tls_of(int i)
{
	return (struct how){ .tls = TLS + 0x100 * (uint64_t)i };
}

/* What an object is given leaves through a socket. */
static void asks(struct fixture *f, int tls, int sock)
{
	SAYS(f, tls_of(tls), DIR_OUT, ask);
	sends(f, sock_of(sock), DIR_OUT, sizeof(ask) - 1);
}

static void answers(struct fixture *f, int sock, int tls)
{
	sends(f, sock_of(sock), DIR_IN, sizeof(answer) - 1);
	SAYS(f, tls_of(tls), DIR_IN, answer);
}

/* n connections that were there before us. */
static struct fixture *begin_late(int n)
{
	struct fixture *f = begin();

	for (int i = 0; i < n; i++)
		speaks_tls(f, SOCK + (uint64_t)i);
	conns_seeded(f->t);
	return f;
}

static const struct conn *bound(struct fixture *f, int sock)
{
	return conns_by_sock(f->t, SOCK + (uint64_t)sock)->peer;
}

static void many(void)
{
	struct fixture *f = begin_late(50);
	bool right = true;

	TEST("fifty connections from before us, all asked for the same at once: each reply is on "
	     "its "
	     "own socket, and nothing counts twice");
	for (int i = 0; i < 50; i++)
		asks(f, i, i);
	for (int i = 49; i >= 0; i--)
		answers(f, i, i);
	conns_tick(f->t, f->now_ns + 1000 * MS);
	CHECK(f->opened == 50 && f->done == 50);
	for (int i = 0; i < 50; i++)
		right &= f->socks[i] == SOCK + 49 - (uint64_t)i && !f->calls[i]->partial;
	CHECK(right);
	end(f);
}

static void other_suites(void)
{
	/* what a record of 1.2 adds with AES-GCM, with ChaCha20, and with a CBC suite here */
	static const unsigned adds[] = { 24, 16, 61 };

	TEST("TLS 1.2 adds as much as its suite does");
	for (size_t i = 0; i < sizeof(adds) / sizeof(*adds); i++) {
		struct fixture *f = begin_late(1);

		SAYS(f, tls_of(0), DIR_OUT, ask);
		sends(f, sock_of(0), DIR_OUT, sizeof(ask) - 1 + adds[i] - 17);
		sends(f, sock_of(0), DIR_IN, sizeof(answer) - 1 + adds[i] - 17);
		SAYS(f, tls_of(0), DIR_IN, answer);
		CHECK(f->opened == 1 && f->done == 1 && f->socks[0] == SOCK);
		end(f);
	}
}

static void ambiguous(void)
{
	static const char head[] = "POST /v1/messages HTTP/1.1\r\nHost: llm.test\r\n"
				   "Content-Length: 40\r\n\r\n";
	static const char body[] = "                                        ";
	struct fixture *f = begin_late(2);

	TEST("two writes of one length before either leaves: nobody can tell, and nothing counts "
	     "twice");
	SAYS(f, tls_of(0), DIR_OUT, head);
	SAYS(f, tls_of(1), DIR_OUT, head);
	sends(f, sock_of(1), DIR_OUT, sizeof(head) - 1);
	sends(f, sock_of(0), DIR_OUT, sizeof(head) - 1);
	conns_tick(f->t, f->now_ns + 1000 * MS);
	CHECK(!bound(f, 0) && !bound(f, 1) && f->opened == 2);

	TEST("what follows tells, though what came before never will");
	moves(f, tls_of(0), DIR_OUT, body, 30);
	moves(f, tls_of(1), DIR_OUT, body, 20);
	sends(f, sock_of(1), DIR_OUT, 20);
	CHECK(bound(f, 1) && bound(f, 1)->tls == TLS + 0x100);
	sends(f, sock_of(0), DIR_OUT, 30);
	CHECK(bound(f, 0) && bound(f, 0)->tls == TLS);
	moves(f, tls_of(0), DIR_OUT, body, 10);
	sends(f, sock_of(0), DIR_OUT, 10);
	answers(f, 0, 0);
	moves(f, tls_of(1), DIR_OUT, body, 20);
	sends(f, sock_of(1), DIR_OUT, 20);
	answers(f, 1, 1);
	conns_tick(f->t, f->now_ns + 1000 * MS);
	CHECK(f->opened == 2 && f->done == 2 && f->socks[0] == SOCK && f->socks[1] == SOCK + 1);
	end(f);

	TEST("of two that could be meant the one is that adds what records added before");
	f = begin_late(3);
	asks(f, 2, 2);
	moves(f, tls_of(0), DIR_OUT, ask, 40);
	moves(f, tls_of(1), DIR_OUT, ask, 33); /* 7 less: 22 + 7 is what AES-GCM adds in 1.2 */
	sends(f, sock_of(0), DIR_OUT, 40);
	CHECK(bound(f, 0) && bound(f, 0)->tls == TLS && !bound(f, 1));
	end(f);
}

static void wrong(void)
{
	struct fixture *f = begin_late(2);

	TEST("a socket that sends what its object was not given is parted from it, and its bytes "
	     "are "
	     "its object's no longer");
	asks(f, 0, 0);
	answers(f, 0, 0);
	CHECK(bound(f, 0) && f->done == 1);
	sends(f, sock_of(0), DIR_OUT, 300);
	CHECK(!bound(f, 0));
	conns_tick(f->t, f->now_ns + 1000 * MS);
	CHECK(f->opened == 2);
	end(f);

	TEST("an alert or a change of keys is nothing that was given");
	f = begin_late(1);
	asks(f, 0, 0);
	answers(f, 0, 0);
	moves(f, sock_of(0), DIR_OUT, "\x17\x03\x03\x00\x13xxxxxxxxxxxxxxxxxxx", 24);
	sends(f, sock_of(0), DIR_OUT, 5);
	CHECK(bound(f, 0) && f->opened == 1);
	end(f);

	TEST("an object that gives what its socket did not receive is parted from it, and so are "
	     "the "
	     "two that received it");
	f = begin_late(2);
	asks(f, 0, 1); /* another carried both away: we see only what looks like the wrong pairs */
	asks(f, 1, 0);
	sends(f, sock_of(0), DIR_IN, sizeof(answer) - 1);
	SAYS(f, tls_of(0), DIR_IN, answer);
	CHECK(!bound(f, 0) && !bound(f, 1));
	CHECK(f->done == 1 && f->socks[0] == 0 && f->calls[0]->http_status == 200);

	TEST("... and joined anew with the next request");
	asks(f, 0, 0);
	answers(f, 0, 0);
	CHECK(f->done == 2 && f->socks[1] == SOCK && f->opened == 3);
	end(f);

	TEST("a record that came in two reads, another connection's between them, is received");
	f = begin_late(2);
	asks(f, 0, 0);
	asks(f, 1, 1);
	{
		unsigned char room[RECORD_MAX];
		size_t n = record(room, sizeof(answer) - 1);

		moves(f, sock_of(0), DIR_IN, room, 20);
		answers(f, 1, 1);
		moves(f, sock_of(0), DIR_IN, room + 20, n - 20);
		SAYS(f, tls_of(0), DIR_IN, answer);
	}
	CHECK(bound(f, 0) && bound(f, 1) && f->done == 2 && f->socks[0] == SOCK + 1 &&
	      f->socks[1] == SOCK);
	end(f);
}

static void in_pieces(void)
{
	static const char head[] = "POST /v1/messages HTTP/1.1\r\nHost: llm.test\r\n"
				   "Content-Length: 50000\r\n\r\n";
	static char body[50000];
	struct fixture *f = begin_late(1);
	unsigned char room[RECORD_MAX];

	TEST("a large write that the socket takes in pieces is one write");
	memset(body, ' ', sizeof(body));
	SAYS(f, tls_of(0), DIR_OUT, head);
	sends(f, sock_of(0), DIR_OUT, sizeof(head) - 1);
	moves(f, tls_of(0), DIR_OUT, body, sizeof(body));
	record(room, 16384);
	moves(f, (struct how){ .sock = SOCK, .total = 30000 }, DIR_OUT, room, 128);
	moves(f, (struct how){ .sock = SOCK, .total = 20000 + 4 * 22 }, DIR_OUT, "xxxxxxxx", 8);
	CHECK(bound(f, 0) && !bound(f, 0)->owed);
	answers(f, 0, 0);
	CHECK(f->opened == 1 && f->done == 1 && f->socks[0] == SOCK);
	end(f);

	TEST("... also when it is the first that shows which socket it is");
	f = begin_late(1);
	SAYS(f, tls_of(0), DIR_OUT, head);
	moves(f, tls_of(0), DIR_OUT, body, sizeof(body));
	moves(f, (struct how){ .sock = SOCK, .total = 30000 }, DIR_OUT, room, 128);
	moves(f, (struct how){ .sock = SOCK, .total = sizeof(head) - 1 + 20000 + 5 * 22 }, DIR_OUT,
	      "xxxxxxxx", 8);
	CHECK(bound(f, 0) && !bound(f, 0)->owed);
	conns_tick(f->t, f->now_ns + 1000 * MS);
	CHECK(f->opened == 1);
	end(f);
}

static void in_flight(void)
{
	static const struct how ways[] = { { .tls = TLS }, { .tls = TLS, .sock = SOCK } };

	TEST("a request that was under way when we came is one call, whoever tells its reply; the "
	     "next one is another");
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		struct fixture *f = begin();
		struct ev_socket e = seeded(f, SOCK, 5, 100 * MS, 900 * MS);
		struct how how = cipher;

		how.flags = ways[i].sock ? EVF_IN_TLS : 0;
		conns_socket(f->t, &e);
		conns_seeded(f->t);
		CHECK(f->opened == 1);
		sends(f, how, DIR_IN, sizeof(answer) - 11);
		moves(f, ways[i], DIR_IN, answer, sizeof(answer) - 11);
		sends(f, how, DIR_IN, 10);
		moves(f, ways[i], DIR_IN, answer + sizeof(answer) - 11, 10);
		CHECK(f->opened == 1 && f->done == 0);
		if (ways[i].sock)
			sends(f, how, DIR_OUT, sizeof(ask) - 1);
		SAYS(f, ways[i], DIR_OUT, ask);
		if (!ways[i].sock)
			sends(f, how, DIR_OUT, sizeof(ask) - 1);
		sends(f, how, DIR_IN, sizeof(answer) - 1);
		SAYS(f, ways[i], DIR_IN, answer);
		CHECK(f->opened == 2 && f->done == 2);
		CHECK(f->calls[0]->at_least && f->calls[0]->bytes_in == sizeof(answer) - 1 + 44);
		CHECK(!f->calls[1]->at_least && f->socks[1] == SOCK);
		end(f);
	}
}

/* The same of HTTP/2, three of whose streams were under way, the first of them alone for all we knew. */
static void streams_in_flight(void)
{
	static const char third[] = "\0\0\1\1\4\0\0\0\3\x88\0\0\2\0\0\0\0\0\3{}";
	static const char second[] = "\0\0\1\1\5\0\0\0\1\x88";
	static const char end_of_third[] = "\0\0\2\0\1\0\0\0\3{}";
	static const char fifth[] = "\0\0\1\1\5\0\0\0\5\x88";
	static const char asks_again[] = "\0\0\3\1\5\0\0\0\7\x83\x84\x87";
	static const char answers[] = "\0\0\1\1\5\0\0\0\7\x88";
	static const struct how ways[] = { { .tls = TLS }, { .tls = TLS, .sock = SOCK } };
	static const struct {
		const char *p;
		size_t n;
	} came[] = { { third, sizeof(third) - 1 },
		     { second, sizeof(second) - 1 },
		     { end_of_third, sizeof(end_of_third) - 1 },
		     { fifth, sizeof(fifth) - 1 } };

	TEST("streams of HTTP/2 that were under way when we came are a call each, and none is two");
	for (int first = 0; first < 2; first++)
		for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
			static const char update[] = "\0\0\4\x8\0\0\0\0\0\0\1\0\0";
			struct fixture *f = begin();
			struct ev_socket e = seeded(f, SOCK, 5, 100 * MS, 900 * MS);
			struct how how = cipher;

			how.flags = ways[i].sock ? EVF_IN_TLS : 0;
			conns_socket(f->t, &e);
			conns_seeded(f->t);
			CHECK(f->opened == 1);
			for (size_t k = 0; k < sizeof(came) / sizeof(*came); k++) {
				sends(f, how, DIR_IN, came[k].n);
				moves(f, ways[i], DIR_IN, came[k].p, came[k].n);
				/* the client's window, between the replies */
				if (k != 0 || !first)
					continue;
				if (ways[i].sock)
					sends(f, how, DIR_OUT, sizeof(update) - 1);
				SAYS(f, ways[i], DIR_OUT, update);
				if (!ways[i].sock)
					sends(f, how, DIR_OUT, sizeof(update) - 1);
			}
			CHECK(f->opened == 3 && f->done == 3);
			for (int k = 0; k < f->done; k++)
				CHECK(f->calls[k]->at_least && f->calls[k]->status == CALL_OK &&
				      f->calls[k]->partial == PARTIAL_ATTACHED_LATE &&
				      f->calls[k]->http_status == 200);
			/* the one whose time was known is the first that showed */
			CHECK(f->done == 3 && f->calls[1]->id == 1 && f->calls[1]->stream == 3);
			if (ways[i].sock)
				sends(f, how, DIR_OUT, sizeof(asks_again) - 1);
			SAYS(f, ways[i], DIR_OUT, asks_again);
			if (!ways[i].sock)
				sends(f, how, DIR_OUT, sizeof(asks_again) - 1);
			sends(f, how, DIR_IN, sizeof(answers) - 1);
			SAYS(f, ways[i], DIR_IN, answers);
			CHECK(f->opened == 4 && f->done == 4 && !f->calls[3]->at_least);
			end(f);
		}
}

static void seen_from_start(void)
{
	static const char refused[] = "-WRONGTYPE Operation against a key\r\n";
	static const char sadd[] = "*3\r\n$4\r\nSADD\r\n$1\r\nk\r\n$1\r\nx\r\n";
	struct fixture *f = begin();

	TEST("an object with memory BIOs carries what its socket was seen to carry from the start");
	shakes_hands(f, SOCK);
	SAYS(f, tls_of(0), DIR_OUT, sadd);
	sends(f, sock_of(0), DIR_OUT, sizeof(sadd) - 1);
	CHECK(bound(f, 0) && f->opened == 1);
	sends(f, sock_of(0), DIR_IN, sizeof(refused) - 1);
	SAYS(f, tls_of(0), DIR_IN, refused);
	CHECK(f->done == 1 && !f->calls[0]->partial && f->calls[0]->status == CALL_ERROR);
	end(f);

	TEST("... and waits no longer than a moment where none is found");
	f = begin();
	shakes_hands(f, SOCK);
	SAYS(f, tls_of(0), DIR_OUT, sadd);
	CHECK(f->opened == 0);
	conns_tick(f->t, f->now_ns);
	CHECK(f->opened == 0);
	conns_tick(f->t, f->now_ns + 100 * MS);
	CHECK(f->opened == 1 && f->done == 0);
	end(f);

	TEST("... nor beyond its end");
	f = begin();
	SAYS(f, tls_of(0), DIR_OUT, ask);
	closes(f, 0, TLS, 0, 0);
	CHECK(f->opened == 1 && f->done == 1 && f->calls[0]->status == CALL_ABORTED);
	end(f);
}

/* ---- records that are no data ---- */

/* The handshake of TLS 1.3, and the first request. */
static void asks_13(struct fixture *f)
{
	shakes_hands(f, SOCK);
	moves(f, cipher, DIR_OUT,
	      "\x14\x03\x03\x00\x01\x01\x17\x03\x03\x00\x45"
	      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
	      80);
	sends(f, cipher, DIR_OUT, 400);
	conns_tick(f->t, f->now_ns + 1000 * MS);
}

static void tickets(void)
{
	struct fixture *f = begin();
	unsigned char room[RECORD_MAX];
	uint64_t at;
	size_t n;

	TEST("session tickets are not the first byte of the reply, read whole or header by header");
	asks_13(f);
	CHECK(f->opened == 1);
	n = record(room, 233);
	moves(f, cipher, DIR_IN, room, n);
	moves(f, cipher, DIR_IN, room, 5);
	moves(f, cipher, DIR_IN, room + 5, n - 5);
	at = f->now_ns;
	sends(f, cipher, DIR_IN, 500);
	conns_end(f->t, f->now_ns);
	CHECK(f->done == 1 && f->calls[0]->first_byte_ns > at);
	CHECK(f->calls[0]->partial == PARTIAL_NO_PLAINTEXT && f->calls[0]->bytes_in == 522);
	end(f);

	TEST("a small reply and nothing else is the reply");
	f = begin();
	asks_13(f);
	sends(f, cipher, DIR_IN, 233);
	at = f->now_ns;
	closes(f, SOCK, 0, EVF_LAST, 0);
	CHECK(f->done == 1 && f->calls[0]->first_byte_ns == at && f->calls[0]->bytes_in == 255);
	end(f);

	TEST("and so it is with a second request behind it");
	f = begin();
	asks_13(f);
	sends(f, cipher, DIR_IN, 233);
	at = f->now_ns;
	sends(f, cipher, DIR_OUT, 400);
	conns_tick(f->t, f->now_ns + 1000 * MS);
	CHECK(f->opened == 2 && f->done == 1 && f->calls[0]->first_byte_ns == at);
	end(f);
}

/* A write of n bytes in two pieces, as writev(2) shows it. */
static void moves_in_two(struct fixture *f, const char *p, size_t n, size_t first)
{
	struct how one = { .sock = SOCK, .total = n, .flags = EVF_MORE },
		   two = { .sock = SOCK, .total = n, .off = first };

	moves(f, one, DIR_OUT, p, first);
	moves(f, two, DIR_OUT, p + first, n - first);
}

static void pieces(void)
{
	static const char finished[] =
		"\x14\x03\x03\x00\x01\x01\x17\x03\x03\x00\x45"
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
	struct how first = { .sock = SOCK, .total = 80, .flags = EVF_MORE };
	unsigned char request[RECORD_MAX];
	struct fixture *f;
	bool none = true;

	TEST("what ends the handshake is no request in however many pieces it is written");
	for (size_t i = 1; i < 80; i++) {
		f = begin();
		shakes_hands(f, SOCK);
		moves_in_two(f, finished, 80, i);
		conns_tick(f->t, f->now_ns + 1000 * MS);
		none &= f->opened == 0;
		moves_in_two(f, (const char *)request, record(request, 80 - 22), i);
		conns_tick(f->t, f->now_ns + 1000 * MS);
		none &= f->opened == 1 && f->done == 0;
		sends(f, cipher, DIR_IN, 400);
		conns_end(f->t, f->now_ns);
		none &= f->done == 1 && f->calls[0]->bytes_out == 80 &&
		        f->calls[0]->bytes_in == 422;
		end(f);
	}
	CHECK(none);

	TEST("the rest of one that was lost is waited for no longer than to the next");
	f = begin();
	shakes_hands(f, SOCK);
	moves(f, first, DIR_OUT, finished, 6);
	sends(f, cipher, DIR_OUT, 400);
	sends(f, cipher, DIR_IN, 400);
	conns_end(f->t, f->now_ns);
	CHECK(f->done == 1 && f->calls[0]->bytes_in == 422);
	end(f);

	TEST("a connection may end with a piece alone");
	f = begin();
	shakes_hands(f, SOCK);
	moves(f, first, DIR_OUT, finished, 6);
	end(f);
}

static void servers_finished(void)
{
	struct fixture *f = begin();
	unsigned char room[RECORD_MAX];

	TEST("a server's records may be as long as Finished is: the client's is yet to come");
	shakes_hands(f, SOCK);
	for (size_t n = 85; n >= 53; n -= 16) {
		size_t len = record(room, n - 17);

		moves(f, cipher, DIR_IN, room, 5);
		moves(f, cipher, DIR_IN, room + 5, len - 5);
	}
	SAYS(f, cipher, DIR_OUT, "\x14\x03\x03\x00\x01\x01");
	sends(f, cipher, DIR_OUT, 69 - 17);
	conns_tick(f->t, f->now_ns + 1000 * MS);
	CHECK(f->opened == 0);
	sends(f, cipher, DIR_OUT, 400);
	sends(f, cipher, DIR_IN, 400);
	/* 18 bytes of data, not an alert of a client that pads */
	sends(f, cipher, DIR_OUT, 35 - 17);
	conns_tick(f->t, f->now_ns + 1000 * MS);
	CHECK(f->opened == 2 && f->done == 1);
	end(f);
}

static void padded(void)
{
	struct fixture *f = begin();

	TEST("Finished and close_notify of a client that pads its records, as JSSE does, are no "
	     "requests");
	shakes_hands(f, SOCK);
	SAYS(f, cipher, DIR_OUT, "\x14\x03\x03\x00\x01\x01");
	sends(f, cipher, DIR_OUT, 85 - 17);
	conns_tick(f->t, f->now_ns + 1000 * MS);
	CHECK(f->opened == 0);
	sends(f, cipher, DIR_OUT, 400);
	sends(f, cipher, DIR_IN, 400);
	sends(f, cipher, DIR_OUT, 35 - 17);
	conns_end(f->t, f->now_ns);
	CHECK(f->opened == 1 && f->done == 1 && f->calls[0]->bytes_out == 422);
	end(f);

	TEST("the server's Finished, whose header is read by itself, is not the client's");
	f = begin();
	shakes_hands(f, SOCK);
	SAYS(f, cipher, DIR_IN, "\x17\x03\x03\x00\x45");
	sends(f, cipher, DIR_OUT, 69 - 17);
	SAYS(f, cipher, DIR_IN, "\x17\x03\x03\x00\xfa");
	conns_tick(f->t, f->now_ns + 1000 * MS);
	conns_end(f->t, f->now_ns);
	CHECK(f->opened == 0);
	end(f);

	TEST("a second record of Finished's length is a request");
	f = begin();
	shakes_hands(f, SOCK);
	moves(f, cipher, DIR_OUT,
	      "\x14\x03\x03\x00\x01\x01\x17\x03\x03\x00\x45"
	      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
	      80);
	sends(f, cipher, DIR_OUT, 85 - 17);
	conns_tick(f->t, f->now_ns + 1000 * MS);
	CHECK(f->opened == 1);
	end(f);
}

static void other_threads(void)
{
	struct how writer = { .sock = SOCK, .tid = PID + 1 },
		   other = { .sock = SOCK, .tid = PID + 2 },
		   reader = { .sock = SOCK, .tid = PID + 3 };
	struct fixture *f = begin_late(1);

	TEST("one thread writes, another writes on, a third reads the reply: one call, and the "
	     "next is another");
	for (unsigned i = 0; i < 2; i++) {
		sends(f, writer, DIR_OUT, 200);
		sends(f, other, DIR_OUT, 100);
		sends(f, reader, DIR_IN, 500);
	}
	conns_end(f->t, f->now_ns);
	CHECK(f->opened == 2 && f->done == 2);
	CHECK(f->calls[0]->bytes_out == 344 && f->calls[0]->bytes_in == 522);
	CHECK(f->calls[1]->bytes_out == 344 && f->calls[1]->bytes_in == 522);
	end(f);
}

static void alerts(void)
{
	static const char close_13[] = "\x17\x03\x03\x00\x13xxxxxxxxxxxxxxxxxxx";
	static const char close_12[] = "\x15\x03\x03\x00\x1axxxxxxxxxxxxxxxxxxxxxxxxxx";
	struct fixture *f = begin_late(1);
	uint64_t at;

	TEST("close_notify ends no call later, and is no request");
	sends(f, cipher, DIR_OUT, 300);
	sends(f, cipher, DIR_IN, 700);
	conns_tick(f->t, f->now_ns + 1000 * MS);
	at = f->now_ns;
	SAYS(f, cipher, DIR_IN, close_12);
	moves(f, cipher, DIR_IN, close_13, 5);
	moves(f, cipher, DIR_IN, close_13 + 5, 19);
	SAYS(f, cipher, DIR_OUT, close_13);
	SAYS(f, cipher, DIR_OUT, close_12);
	conns_tick(f->t, f->now_ns + 1000 * MS);
	closes(f, SOCK, 0, EVF_LAST, 0);
	CHECK(f->opened == 1 && f->done == 1 && f->calls[0]->end_ns == at);
	end(f);
}

static void certificates(void)
{
	struct fixture *f = begin();

	TEST("a client's certificate is no request, in TLS 1.3 and before");
	shakes_hands(f, SOCK);
	moves(f, (struct how){ .sock = SOCK, .total = 1400 }, DIR_OUT,
	      "\x14\x03\x03\x00\x01\x01\x17\x03\x03\x04\xb0", 11);
	conns_tick(f->t, f->now_ns + 1000 * MS);
	CHECK(f->opened == 0);
	shakes_hands(f, SOCK + 1);
	moves(f, (struct how){ .sock = SOCK + 1, .total = 1400 }, DIR_OUT,
	      "\x16\x03\x03\x04\xb0\x0b", 6);
	conns_tick(f->t, f->now_ns + 1000 * MS);
	CHECK(f->opened == 0);
	sends(f, cipher, DIR_OUT, 400);
	sends(f, sock_of(1), DIR_OUT, 400);
	conns_tick(f->t, f->now_ns + 1000 * MS);
	CHECK(f->opened == 2);
	end(f);
}

/* ---- below TLS: the kernel's own, and unix sockets ---- */

static void ktls(void)
{
	static const struct how inside = { .sock = SOCK, .flags = EVF_IN_TLS };
	static const struct how both = { .sock = SOCK, .tls = TLS };
	struct fixture *f = begin_late(1);

	TEST("with kTLS the socket shows plaintext, too: it counts once, attached late or not");
	SAYS(f, inside, DIR_OUT, ask);
	SAYS(f, both, DIR_OUT, ask);
	sends(f, inside, DIR_IN, sizeof(answer) - 1);
	SAYS(f, both, DIR_IN, answer);
	conns_tick(f->t, f->now_ns + 1000 * MS);
	CHECK(f->opened == 1 && f->done == 1 && f->calls[0]->http_status == 200);
	end(f);
	f = begin();
	shakes_hands(f, SOCK);
	SAYS(f, inside, DIR_OUT, ask);
	SAYS(f, both, DIR_OUT, ask);
	SAYS(f, inside, DIR_IN, answer);
	SAYS(f, both, DIR_IN, answer);
	SAYS(f, cipher, DIR_OUT, "a file by sendfile(2)");
	conns_tick(f->t, f->now_ns + 1000 * MS);
	CHECK(f->opened == 1 && f->done == 1 && f->calls[0]->http_status == 200);
	CHECK(strcmp(f->hosts[0], "llm.test") == 0);
	end(f);

	TEST("... and without anybody who reads the library there are its times, once");
	f = begin();
	shakes_hands(f, SOCK);
	sends(f, cipher, DIR_OUT, 69 - 17);
	SAYS(f, cipher, DIR_OUT, ask);
	SAYS(f, cipher, DIR_IN, answer);
	conns_end(f->t, f->now_ns);
	CHECK(f->opened == 1 && f->done == 1 && f->calls[0]->partial == PARTIAL_NO_PLAINTEXT);
	end(f);
}

static void unix_sockets(void)
{
	static const char *const paths[] = { "/run/llm.sock", "" };

	TEST("TLS through a unix socket, with a name or without, is TLS");
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		struct fixture *f = begin();
		struct {
			struct ev_socket e;
			char path[32];
		} e = { .e = socket_event(f, EV_CONNECT, SOCK, 0) };
		struct how how = { .sock = SOCK, .flags = EVF_IN_TLS };

		e.e.family = AF_UNIX;
		e.e.h.size = (uint32_t)(sizeof(e.e) + strlen(paths[i]));
		memcpy(e.e.path, paths[i], strlen(paths[i]));
		conns_socket(f->t, &e.e);
		sends(f, how, DIR_OUT, sizeof(ask) - 1);
		SAYS(f, ((struct how){ .sock = SOCK, .tls = TLS }), DIR_OUT, ask);
		sends(f, how, DIR_IN, sizeof(answer) - 1);
		SAYS(f, ((struct how){ .sock = SOCK, .tls = TLS }), DIR_IN, answer);
		conns_tick(f->t, f->now_ns + 1000 * MS);
		CHECK(f->opened == 1 && f->done == 1 && f->calls[0]->http_status == 200);
		CHECK(strcmp(f->hosts[0], "llm.test") == 0);
		end(f);
	}
}

int main(void)
{
	nested();
	by_length();
	by_length_later();
	no_plaintext();
	client_hello();
	many();
	other_suites();
	ambiguous();
	wrong();
	in_pieces();
	in_flight();
	streams_in_flight();
	seen_from_start();
	tickets();
	pieces();
	servers_finished();
	padded();
	other_threads();
	alerts();
	certificates();
	ktls();
	unix_sockets();
	return DONE();
}
