/* SPDX-License-Identifier: BSD-2-Clause */
/* Redis: commands and replies become calls, whatever the pieces they come in. */
#include "storage_fixture.h"

#define GIVES(steps, expected) \
	CHECK(gives(&proto_redis, &from_start, steps, COUNT(steps), expected))
#define HONEST(steps) CHECK(holes_are_honest(&proto_redis, steps, COUNT(steps)))
#define JOINED(steps) CHECK(joins_are_honest(&proto_redis, steps, COUNT(steps)))

#define PING "*1\r\n$4\r\nPING\r\n"
#define GET(k) "*2\r\n$3\r\nGET\r\n$1\r\n" k "\r\n"
#define SET "*3\r\n$3\r\nset\r\n$1\r\nk\r\n$11\r\n*1\r\n$4\r\nPIN\r\n"

/* Captured from a Python client that sets and reads a value and looks for the wrong type. */
static const struct step client[] = {
	S(OUT, "*4\r\n$6\r\nCLIENT\r\n$7\r\nSETINFO\r\n$8\r\nLIB-NAME\r\n$8\r\nredis-py\r\n"),
	S(IN, "+OK\r\n"),
	S(OUT, SET),
	S(IN, "+OK\r\n"),
	S(OUT, GET("k")),
	S(IN, "$11\r\n*1\r\n$4\r\nPIN\r\n"),
	S(OUT, "*2\r\n$8\r\nSMEMBERS\r\n$1\r\nk\r\n"),
	S(IN, "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
	S(OUT, GET("n")),
	S(IN, "$-1\r\n"),
	S(OUT, "*2\r\n$7\r\nHGETALL\r\n$1\r\nh\r\n"),
	S(IN, "*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$0\r\n\r\n"),
	S(OUT, PING),
	S(IN, "+PONG\r\n"),
};

static const struct step pipeline[] = {
	S(OUT, GET("a") "*2\r\n$4\r\nINCR\r\n$1\r\nc\r\n" PING "*2\r\n$4\r\nLLEN\r\n$1\r\nl\r\n"),
	S(IN, "$1\r\nx\r\n:1\r\n+PO"),
	S(IN, "NG\r\n:0\r\n"),
	S(OUT, "*2\r\n$3\r\nDEL\r\n$1\r\na\r\n"),
	S(IN, ":1\r\n"),
	S(OUT, "*2\r\n$4\r\nTYPE\r\n$1\r\na\r\n"),
	S(IN, "+none\r\n"),
};

/* A client that shares the connection: it writes before earlier replies have come. */
static const struct step shared[] = {
	S(OUT, GET("a")),
	S(OUT, "*2\r\n$4\r\nLLEN\r\n$1\r\na\r\n"),
	S(IN, "$1\r\nx\r\n"),
	S(OUT, "*2\r\n$4\r\nINCR\r\n$1\r\na\r\n"),
	S(IN, ":1\r\n"),
	S(OUT, "*2\r\n$3\r\nDEL\r\n$1\r\na\r\n"),
	S(IN, "-ERR no\r\n"),
	S(OUT, "*2\r\n$4\r\nTYPE\r\n$1\r\na\r\n"),
	S(IN, ":1\r\n"),
	S(IN, "+none\r\n"),
	S(OUT, "*2\r\n$5\r\nSCARD\r\n$1\r\na\r\n"),
	S(IN, ":1\r\n"),
};

static const struct step transaction[] = {
	S(OUT, "*1\r\n$5\r\nMULTI\r\n" SET GET("k") "*1\r\n$4\r\nEXEC\r\n"),
	S(IN, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n-WRONGTYPE Operation\r\n"),
	S(OUT, "*1\r\n$5\r\nMULTI\r\n" GET("k") "*1\r\n$4\r\nEXEC\r\n"),
	S(IN, "+OK\r\n+QUEUED\r\n*1\r\n$1\r\nx\r\n"),
	S(OUT, "*1\r\n$5\r\nMULTI\r\n"),
	S(IN, "+OK\r\n"),
	S(OUT, "*1\r\n$7\r\nDISCARD\r\n"),
	S(IN, "+OK\r\n"),
};

static const struct step resp3[] = {
	S(OUT, "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"),
	S(IN, "%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n"),
	S(OUT, GET("a")),
	S(IN, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n"),
	S(IN, "|1\r\n$3\r\nttl\r\n:7\r\n$1\r\nx\r\n"),
	S(OUT, "*2\r\n$8\r\nSMEMBERS\r\n$1\r\ns\r\n"),
	S(IN, "~3\r\n#t\r\n,1.5\r\n|1\r\n+k\r\n+v\r\n(12345678901234567890\r\n"),
	S(OUT, GET("b")),
	S(IN, "_\r\n"),
	S(OUT, GET("c")),
	S(IN, "!10\r\nBUSY x\r\ny\n\r\n"),
	S(OUT, GET("d")),
	S(IN, "=7\r\ntxt:a\r\n\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n"),
	S(OUT, "*2\r\n$4\r\nLLEN\r\n$1\r\nl\r\n"),
	S(IN, "*0\r\n"),
};

static const struct step subscriber[] = {
	S(OUT, "*3\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n$1\r\nb\r\n"),
	S(IN,
	  "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n"),
	S(IN, "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"),
	S(OUT, PING),
	S(IN, "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n"),
	S(OUT, "*1\r\n$11\r\nUNSUBSCRIBE\r\n"),
	S(IN, "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$11\r\nunsubscribe\r\n$"
	      "1\r\nb\r\n:0\r\n"),
	S(OUT, "*2\r\n$8\r\nSMEMBERS\r\n$1\r\ns\r\n"),
	S(IN, "*2\r\n$7\r\nmessage\r\n$1\r\nx\r\n"),
};

static const struct step subscriber3[] = {
	S(OUT, "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"),
	S(IN, "%1\r\n$5\r\nproto\r\n:3\r\n"),
	S(OUT, "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n"),
	S(IN, ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"),
	S(OUT, "*4\r\n$6\r\nLRANGE\r\n$1\r\nl\r\n$1\r\n0\r\n$2\r\n-1\r\n"),
	S(IN, ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n*1\r\n$7\r\nmessage\r\n"),
};

static const struct step blocking[] = {
	S(OUT, "*3\r\n$5\r\nBLPOP\r\n$1\r\nq\r\n$1\r\n0\r\n"),
	S(IN, "*-1\r\n"),
	S(OUT,
	  "*6\r\n$5\r\nXREAD\r\n$5\r\nblock\r\n$1\r\n0\r\n$7\r\nSTREAMS\r\n$1\r\ns\r\n$1\r\n$\r\n"),
	S(IN, "*-1\r\n"),
	S(OUT, "*4\r\n$5\r\nXREAD\r\n$7\r\nSTREAMS\r\n$5\r\nBLOCK\r\n$1\r\n0\r\n"),
	S(IN, "*1\r\n*2\r\n$5\r\nBLOCK\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
	S(OUT, "*2\r\n$5\r\nBRPOP\r\n$1\r\nq\r\n"),
};

static const struct step inline_words[] = {
	S(OUT, "PING\r\n"), S(IN, "+PONG\r\n"),      S(OUT, "\r\nget secret\r\n"),
	S(IN, "$-1\r\n"),   S(OUT, "hunter2 x\r\n"), S(IN, "-ERR unknown command\r\n"),
};

static void whole(void)
{
	TEST("a client's commands are calls with their names, reads and writes told apart");
	GIVES(client, "CLIENT SETINFO read beat ok; SET write ok; GET read ok; SMEMBERS read error "
	              "WRONGTYPE; "
	              "GET read ok; HGETALL read ok; PING read beat ok");
	TEST("pipelined commands get their replies in order");
	GIVES(pipeline, "GET read ok; INCR write ok; PING read beat ok; LLEN read ok; DEL write "
	                "ok; TYPE read ok");
	GIVES(shared, "GET read ok; LLEN read ok; INCR write error ERR; DEL write ok; TYPE read "
	              "ok; SCARD read ok");
	TEST("EXEC writes if its commands do, and fails if one of them did");
	GIVES(transaction, "MULTI read ok; SET write ok; GET read ok; EXEC write error WRONGTYPE; "
	                   "MULTI read ok; "
	                   "GET read ok; EXEC read ok; MULTI read ok; DISCARD read ok");
	TEST("RESP3 types, attributes and pushes are read; pushes are nobody's reply");
	GIVES(resp3, "HELLO read beat ok; GET read ok; SMEMBERS read ok; GET read ok; GET read "
	             "error BUSY; GET read ok; "
	             "LLEN read ok");
	TEST("messages to a subscriber are nobody's reply, confirmations end the SUBSCRIBE");
	GIVES(subscriber,
	      "SUBSCRIBE read ok; PING read beat ok; UNSUBSCRIBE read ok; SMEMBERS read ok");
	GIVES(subscriber3, "HELLO read beat ok; SUBSCRIBE read ok; LRANGE read ok");
	TEST("commands that are meant to wait are marked, and one cut off is aborted");
	GIVES(blocking, "BLPOP write blocks ok; XREAD read blocks ok; XREAD read ok; BRPOP write "
	                "blocks aborted client_closed");
	TEST("inline commands are calls; a line that is no known command leaves no name");
	GIVES(inline_words, "PING read beat ok; GET read ok; - ? error ERR");
}

static void container_names(void)
{
	TEST("container commands have two words, what does not look like a command has none, "
	     "redirections are no errors");
	static const struct step names[] = {
		S(OUT, "*3\r\n$6\r\nconfig\r\n$3\r\nget\r\n$4\r\nsave\r\n"),
		S(IN, "*0\r\n"),
		S(OUT, "*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$4\r\nsave\r\n$0\r\n\r\n"),
		S(IN, "+OK\r\n"),
		S(OUT, "*2\r\n$6\r\nCLIENT\r\n$2\r\nID\r\n*1\r\n$7\r\nCOMMAND\r\n*1\r\n$8\r\nFT._"
		       "LIST\r\n"),
		S(IN, ":1\r\n*0\r\n*0\r\n"),
		S(OUT, "*1\r\n$8\r\nmy\x01secre\r\n"),
		S(IN, "-ERR unknown command 'my', with args beginning with: \r\n"),
		S(OUT, GET("a")),
		S(IN, "-MOVED 3999 127.0.0.1:6381\r\n"),
		S(OUT, GET("a")),
		S(IN, "-Password hunter2 is wrong\r\n"),
		S(OUT, "*1\r\n$40\r\nAVERYLONGNAMETHATISNOCOMMANDOFANYSERVERX\r\n"),
		S(IN, "-ERR\r\n"),
	};

	GIVES(names,
	      "CONFIG GET read ok; CONFIG SET write ok; CLIENT ID read beat ok; COMMAND read ok; "
	      "FT._LIST read ok; - ? error ERR; GET read ok; GET read error; - ? error ERR");
}

static void times(void)
{
	static const struct step steps[] = {
		S(OUT, "*2\r\n$3\r\nGET\r\n"),
		S(OUT, "$1\r\nk\r\n"),
		S(IN, "$4\r\nab"),
		S(IN, "cd\r\n"),
	};
	struct seen s = play(&proto_redis, steps, COUNT(steps));
	struct call *c = s.calls[0];

	TEST("times are those of the first and last byte each way");
	CHECK(s.done == 1 && s.sent == 1);
	CHECK(c->start_ns == 1000 && c->request_ns == 1000 && c->sent_ns == 2100);
	CHECK(c->first_byte_ns == 3100 && c->last_byte_ns == 4100 && c->end_ns == 4100);
	CHECK(c->bytes_out == 20 && c->bytes_in == 10);
	CHECK(c->pid == 1 && c->tid == 2 && strcmp(c->proto, "redis") == 0);
	seen_free(&s);
}

static void streams(void)
{
	static const struct step monitor[] = {
		S(OUT, "*1\r\n$7\r\nMONITOR\r\n"),
		S(IN, "+OK\r\n+1700000000.1 [0 127.0.0.1:1] \"GET\" \"k\"\r\n"),
		S(IN, "+1700000000.2 [0 127.0.0.1:1] \"GET\" \"k\"\r\n"),
	};
	static const struct step mute[] = {
		S(OUT, "*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$3\r\nOFF\r\n"),
		S(OUT, SET),
		S(OUT, "*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$2\r\nON\r\n"),
		S(IN, "+OK\r\n"),
		S(OUT, "*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$4\r\nSKIP\r\n"),
		S(OUT, SET),
		S(OUT, GET("k")),
		S(IN, "$-1\r\n"),
	};

	TEST("MONITOR is one call, what it streams is none");
	GIVES(monitor, "MONITOR read ok");
	TEST("commands that ask for no reply do not wait for one");
	GIVES(mute, "CLIENT REPLY read beat unknown; SET write unknown; CLIENT REPLY read beat ok; "
	            "CLIENT REPLY read beat unknown; SET write unknown; GET read ok");
}

static void holes(void)
{
	TEST("with a hole anywhere nothing is claimed that is not so");
	HONEST(client);
	HONEST(pipeline);
	HONEST(shared);
	HONEST(transaction);
	HONEST(resp3);
	HONEST(blocking);
}

static void big_strings(void)
{
	struct seen s = seen_new();
	void *r = proto_redis.new(&s.sink, &from_start);
	struct stamp at = stamp_of(0);

	TEST("the middle of a big string need not be seen");
	proto_redis.feed(r, OUT, bytes_of("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\nab"), &at);
	CHECK(s.opened == 1 && s.sent == 0);
	proto_redis.gap(r, OUT, 999999, PARTIAL_TRUNCATED, &at);
	proto_redis.feed(r, OUT, bytes_of("\n"), &at);
	CHECK(s.sent == 1);
	proto_redis.feed(r, IN, bytes_of("+OK\r\n"), &at);
	proto_redis.feed(r, OUT, bytes_of(GET("k")), &at);
	proto_redis.feed(r, IN, bytes_of("$1000000\r\nab"), &at);
	proto_redis.gap(r, IN, 1000000, PARTIAL_TRUNCATED, &at);
	CHECK(strcmp(shown(&s), "SET write ok; GET read ok") == 0);
	CHECK(s.calls[0]->bytes_out == 1000000 + 32 && s.calls[1]->bytes_in == 1000000 + 12);
	proto_redis.done(r, DONE_CLOSED, &at);
	proto_redis.free(r);
	seen_free(&s);
}

static void late_attach(void)
{
	static const struct step steps[] = {
		S(IN, "tail of a value\r\n"),
		S(OUT, GET("a")),
		S(IN, "$-1\r\n"),
		S(OUT, GET("b")),
		S(IN, "$-1\r\n"),
		S(OUT, GET("c")),
		S(IN, "$-1\r\n"),
		S(OUT, GET("d")),
		S(IN, "$-1\r\n"),
		S(OUT, GET("e")),
		S(IN, "$-1\r\n"),
	};
	struct seen s;
	void *r;

	TEST("after a late attach calls are partial until the client is known to wait for each "
	     "reply");
	CHECK(gives(&proto_redis, &late, steps, COUNT(steps),
	            "GET read unknown attached_late; GET read unknown attached_late; "
	            "GET read unknown attached_late; GET read unknown attached_late; GET read ok"));

	TEST("after a second of silence there is nothing to be mistaken");
	s = seen_new();
	r = proto_redis.new(&s.sink, &late);
	proto_redis.feed(r, IN, bytes_of("x"), &(struct stamp){ .start_ns = 1, .end_ns = 2 });
	proto_redis.feed(r, OUT, bytes_of(GET("a")),
	                 &(struct stamp){ .start_ns = 1000000002, .end_ns = 1000000003 });
	proto_redis.feed(r, IN, bytes_of("$-1\r\n"),
	                 &(struct stamp){ .start_ns = 1000000004, .end_ns = 1000000005 });
	CHECK(strcmp(shown(&s), "GET read ok") == 0);

	TEST("a reply to nobody puts the order in doubt again");
	proto_redis.feed(r, IN, bytes_of("$-1\r\n"),
	                 &(struct stamp){ .start_ns = 1000000006, .end_ns = 1000000007 });
	proto_redis.feed(r, OUT, bytes_of(GET("a")),
	                 &(struct stamp){ .start_ns = 1000000008, .end_ns = 1000000009 });
	proto_redis.done(r, DONE_RESET,
	                 &(struct stamp){ .start_ns = 1000000010, .end_ns = 1000000011 });
	proto_redis.free(r);
	CHECK(strcmp(shown(&s), "GET read ok; GET read aborted connection_reset events_lost") == 0);
	seen_free(&s);
}

static void limits(void)
{
	static const char deep[] = "*1\r\n";
	struct stamp at = stamp_of(0);
	struct seen s = seen_new();
	void *r = proto_redis.new(&s.sink, &from_start);

	TEST("a reply nested too deep ends what waits, status unknown");
	proto_redis.feed(r, OUT, bytes_of(GET("a")), &at);
	for (int i = 0; i < 100; i++)
		proto_redis.feed(r, IN, bytes_of(deep), &at);
	CHECK(strcmp(shown(&s), "GET read unknown events_lost") == 0);
	proto_redis.done(r, DONE_CLOSED, &at);
	proto_redis.free(r);
	seen_free(&s);

	TEST("a pipeline without end is counted, not kept, and in step again behind it");
	s = seen_new();
	r = proto_redis.new(&s.sink, &from_start);
	for (int i = 0; i < 70000; i++)
		proto_redis.feed(r, OUT, bytes_of(PING), &at);
	CHECK(s.opened == 65536);
	for (int i = 0; i < 70000; i++)
		proto_redis.feed(r, IN, bytes_of("+PONG\r\n"), &at);
	CHECK(s.done == 65536);
	proto_redis.feed(r, OUT, bytes_of(GET("a")), &at);
	CHECK(s.opened == 65537);
	proto_redis.feed(r, IN, bytes_of("$-1\r\n"), &at);
	CHECK(s.done == 65537);
	proto_redis.done(r, DONE_CLOSED, &at);
	proto_redis.free(r);
	seen_free(&s);
}

static enum proto_match detect(const char *out, size_t n, const char *in, struct proto_hint hint)
{
	return proto_redis.detect((struct bytes){ out, n }, bytes_of(in), &hint);
}

#define DETECT(out, ...) detect(out, sizeof(out) - 1, "", (struct proto_hint){ __VA_ARGS__ })

static void detection(void)
{
	TEST("a command is recognised on any port, and nothing else is");
	CHECK(DETECT(PING, .from_start = true) == PROTO_YES);
	for (size_t n = 0; n < 5; n++)
		CHECK(detect(PING, n, "", from_start) == PROTO_MAYBE);
	CHECK(DETECT("GET / HTTP/1.1\r\n", .from_start = true, .port = 6379) == PROTO_NO);
	CHECK(DETECT("POST /v1", .from_start = true) == PROTO_NO);
	CHECK(DETECT("\x16\x03\x01\x02\x00\x01", .from_start = true, .port = 6379) == PROTO_NO);
	CHECK(DETECT("\x17\x03\x03\x02\x00\x01", .port = 6379) == PROTO_NO);
	CHECK(DETECT("*a", .from_start = true) == PROTO_NO);
	CHECK(DETECT("* 1\r\n$", .from_start = true) == PROTO_NO);
	CHECK(DETECT("\0\0\0\x08\x04\xd2\x16\x2f", .from_start = true) == PROTO_NO);
	CHECK(detect(PING, sizeof(PING) - 1, "HTTP/1.1 400", from_start) == PROTO_NO);
	TEST("inline commands and the middle of a connection only where redis is expected");
	CHECK(DETECT("PING\r\n", .from_start = true, .port = 6379) == PROTO_YES);
	CHECK(DETECT("PING\r\n", .from_start = true, .port = 80) == PROTO_NO);
	CHECK(DETECT("lue\r\n" PING, .port = 6379) == PROTO_YES);
	CHECK(DETECT("lue\r\n", .port = 6379) == PROTO_MAYBE);
	CHECK(DETECT("lue\r\n" PING) == PROTO_NO);
}

static void joined(void)
{
	TEST("who joins at any byte tells of true calls only, each once");
	JOINED(client);
	JOINED(pipeline);
	JOINED(shared);
	JOINED(transaction);
	JOINED(resp3);
	JOINED(blocking);
}

int main(void)
{
	whole();
	container_names();
	times();
	streams();
	holes();
	joined();
	big_strings();
	late_attach();
	limits();
	detection();
	return DONE();
}
