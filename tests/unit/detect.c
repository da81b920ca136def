/* SPDX-License-Identifier: BSD-2-Clause */
/* No protocol takes another one's first bytes for its own, from whichever side they come and however many there are yet. */
#include "proto/proto.h"

#include "test.h"

struct sample {
	const char *proto; /* whose it is, "" nobody's here */
	const char *out, *in;
	size_t nout, nin;
	uint16_t port;
};

#define SAMPLE(proto, port, out, in)                                  \
	{                                                             \
		proto, out, in, sizeof(out) - 1, sizeof(in) - 1, port \
	}

static const struct sample samples[] = {
	SAMPLE("http", 80, "GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"),
	SAMPLE("http", 6379, "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
	       "HTTP/1.0 404 Not Found\r\n\r\n"),
	SAMPLE("http2", 443, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
	       "\0\0\0\4\0\0\0\0\0"),
	SAMPLE("redis", 6379, "*1\r\n$4\r\nPING\r\n", "+PONG\r\n"),
	SAMPLE("redis", 7000, "*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "$-1\r\n"),
	SAMPLE("postgres", 5432, "\0\0\0\x08\x04\xd2\x16\x2f", "S"),
	SAMPLE("postgres", 7001, "\0\0\0\x17\0\3\0\0user\0me\0db\0x\0\0\0", "R\0\0\0\x08\0\0\0\0"),
	SAMPLE("mysql", 3306, "",
	       "\x4a\0\0\0\x0a"
	       "8.0.36\0\x09\0\0\0abcdefgh\0\xff\xf7\xff\x02\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\0"
	       "abcdefghijkl\0mysql_native_password\0"),
	SAMPLE("mongodb", 27017,
	       "\x2b\0\0\0\1\0\0\0\0\0\0\0\xdd\7\0\0\0\0\0\0\0\x16\0\0\0\x10ping\0\1\0\0\0\x02"
	       "a\0\1\0\0\0\0\0",
	       "\x26\0\0\0\2\0\0\0\1\0\0\0\xdd\7\0\0\0\0\0\0\0\x11\0\0\0\1ok\0\0\0\0\0\0\0\xf0\x3f"
	       "\0"),
	SAMPLE("bolt", 7687, "\x60\x60\xb0\x17\0\3\3\5\0\0\2\4\0\0\1\4\0\0\0\3", "\0\0\3\5"),
	SAMPLE("memcached", 11211, "get a\r\n", "END\r\n"),
	SAMPLE("memcached", 11211, "set a 0 0 1\r\nb\r\n", "STORED\r\n"),
	/* SMTP, SSH, IMAP, AMQP, NATS, Kafka, STUN, TLS, NDJSON, nothing at all */
	SAMPLE("", 25, "", "220 mail.test ESMTP\r\n"),
	SAMPLE("", 25, "EHLO me\r\n", "220 mail.test ESMTP\r\n250 ok\r\n"),
	SAMPLE("", 22, "SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-OpenSSH_9.2p1 Debian\r\n"),
	SAMPLE("", 143, "a1 LOGIN me x\r\n", "* OK [CAPABILITY IMAP4rev1] ready\r\n"),
	SAMPLE("", 5672, "AMQP\0\0\x09\1", "\1\0\0\0\0\1\xff\0\x0a\0\x0a\0\x09\0\0\1\xd9"),
	SAMPLE("", 4222, "CONNECT {\"verbose\":false}\r\nPING\r\n",
	       "INFO {\"server_id\":\"x\"}\r\n"),
	SAMPLE("", 9092, "\0\0\0\x1a\0\x12\0\3\0\0\0\1\0\6client\0\6kafka\0\1",
	       "\0\0\0\x0a\0\0\0\1\0\0\0\0"),
	SAMPLE("", 443, "\x16\3\1\2\0\1\0\1\xfc\3\3", "\x16\3\3\0\x7a\2\0\0\x76\3\3"),
	/* of TLS what could be a command of MySQL's: SSLRequest went before */
	SAMPLE("", 3306, "\x17\3\3\0\x1e opaque opaque opaque opaque", "\x17\3\3\0\x1e opaque"),
	SAMPLE("", 9000, "{\"jsonrpc\":\"2.0\",\"id\":1}\n", "{\"jsonrpc\":\"2.0\"}\n"),
	SAMPLE("", 9001, "\1\xfe\xfd opaque", "\2\xfe\xfd opaque"),
	SAMPLE("", 9002, "hello\n", "welcome\n"),
};

/* Names the protocols that say YES to the first o bytes out and i bytes in. */
static bool only(const struct sample *s, size_t o, size_t i, bool from_start, bool *claimed)
{
	struct proto_hint hint = { .port = s->port, .from_start = from_start, .client = true };
	char *out = guarded(s->out, o), *in = guarded(s->in, i);
	bool good = true;

	for (size_t k = 0; protos[k]; k++) {
		enum proto_match m =
			protos[k]->detect((struct bytes){ out, o }, (struct bytes){ in, i }, &hint);

		if (m != PROTO_YES)
			continue;
		*claimed = true;
		if (strcmp(protos[k]->name, s->proto) == 0)
			continue;
		printf("# %s takes %zu+%zu bytes of %s (port %u, %s) for its own\n",
		       protos[k]->name, o, i, *s->proto ? s->proto : "nobody's", s->port,
		       from_start ? "from the start" : "joined late");
		good = false;
	}
	guarded_free(out, o);
	guarded_free(in, i);
	return good;
}

int main(void)
{
	TEST("first bytes are claimed by their own protocol or by none, at every length");
	for (size_t n = 0; n < sizeof(samples) / sizeof(samples[0]); n++) {
		const struct sample *s = &samples[n];
		bool good = true, claimed = false;

		for (size_t o = 0; o <= s->nout; o++)
			for (size_t i = 0; i <= s->nin; i++)
				for (int from_start = 0; from_start < 2; from_start++)
					good &= o + i == 0 || only(s, o, i, from_start, &claimed);
		CHECK(good);
		CHECK(claimed == (*s->proto != '\0'));
		if (claimed != (*s->proto != '\0'))
			printf("# %s on port %u\n", *s->proto ? s->proto : "nobody's", s->port);
	}
	return DONE();
}
