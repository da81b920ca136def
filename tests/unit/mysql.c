/* SPDX-License-Identifier: BSD-2-Clause */
/* MySQL and MariaDB: commands and replies become calls, whatever the pieces they come in. */
#include "mysql_dialogues.h"
#include "mask_fixture.h"

#define GIVES(steps, expected) \
	CHECK(gives(&proto_mysql, &from_start, steps, COUNT(steps), expected))
#define HONEST(steps) CHECK(holes_are_honest(&proto_mysql, steps, COUNT(steps)))
#define JOINED(steps) CHECK(joins_are_honest(&proto_mysql, steps, COUNT(steps)))

static void whole(void)
{
	TEST("commands are calls with their verbs, also prepared and compressed; signs of life are "
	     "none");
	GIVES(pymysql, "CONNECT read ok; CREATE write ok; INSERT write ok; SELECT read ok; INSERT "
	               "write error 23000; PING read beat ok; SELECT read beat ok; BEGIN read ok; "
	               "UPDATE write ok; COMMIT write ok");
	GIVES(cli, "CONNECT read ok; SELECT read ok; PREPARE read ok; SET read ok; EXECUTE ? ok; "
	           "SELECT read ok; SHOW read ok; SELECT read error 42S02");
	GIVES(mysqlclient, "CONNECT read ok; SET read beat ok; SELECT read ok; ROLLBACK read ok; "
	                   "SELECT read ok");
	GIVES(prepared,
	      "CONNECT read ok; PREPARE read ok; SELECT read ok; SELECT read ok; FETCH read ok; "
	      "FETCH read ok; FETCH read ok; FETCH read ok; PREPARE read ok; INSERT write ok; PING "
	      "read beat ok; STATISTICS read beat ok; USE read beat ok");
	TEST("all results of statements sent together, of a procedure, and with or without EOF are "
	     "of "
	     "one call");
	GIVES(several, "CONNECT read ok; SELECT read ok; SELECT write ok; SELECT read error 42S22; "
	               "CALL write ok; PREPARE read ok; SELECT read ok; SELECT read ok; RESET read "
	               "beat ok; PREPARE read ok; DELETE write ok; PREPARE read error 42S22; SHOW "
	               "read ok; SET read beat ok; RESET read beat ok; SET read beat ok");
	GIVES(no_eof, "CONNECT read ok; SELECT read ok; SELECT write ok; SELECT read error 42S22; "
	              "CALL write ok; PREPARE read ok; SELECT read ok; SELECT read ok; RESET read "
	              "beat ok; PREPARE read ok; DELETE write ok; PREPARE read error 42S22; SHOW "
	              "read ok; SET read beat ok; RESET read beat ok; SET read beat ok");
	TEST("a file that the server asks for is part of its statement; so is what a new user's "
	     "log-in "
	     "takes");
	GIVES(file, "CONNECT read ok; LOAD write ok; LOAD write ok; SELECT read ok; LOAD write "
	            "error 42S02; DO write ok; CHANGE_USER read ok; CHANGE_USER read error 28000");
	GIVES(change_user, "CONNECT read ok; SET read beat ok; CHANGE_USER read ok; SELECT read "
	                   "ok; PING read beat ok");
	TEST("behind a request for encryption nothing is read, and a server may refuse at once");
	GIVES(tls, "CONNECT read ok");
	GIVES(refused, "CONNECT read error error_1040");
	GIVES(compressed, "CONNECT read ok; SELECT read ok; SELECT read ok; INSERT write ok");
}

static void holes(void)
{
	TEST("with a hole anywhere nothing is claimed that is not so");
	HONEST(pymysql);
	HONEST(cli);
	HONEST(mysqlclient);
	HONEST(prepared);
	HONEST(several);
	HONEST(no_eof);
	HONEST(file);
	HONEST(change_user);
	HONEST(tls);
	HONEST(compressed);
	HONEST(refused);
}
static void joined(void)
{
	TEST("who joins at any byte tells of true calls only, each once");
	JOINED(pymysql);
	JOINED(cli);
	JOINED(mysqlclient);
	JOINED(prepared);
	JOINED(several);
	JOINED(no_eof);
	JOINED(file);
	JOINED(change_user);
	JOINED(tls);
	JOINED(compressed);
}

/* After the log-in, what the client and the server may do is theirs: zstd is not unpacked. */
static void blind(void)
{
	struct step steps[COUNT(pymysql)];
	char login[256];
	struct seen s;

	TEST("compressed with zstd nothing but times is known");
	memcpy(steps, pymysql, sizeof(pymysql));
	memcpy(login, pymysql[1].p, pymysql[1].n);
	login[7] |= 0x04; /* CLIENT_ZSTD_COMPRESSION_ALGORITHM */
	steps[1].p = login;
	s = play(&proto_mysql, steps, 5);
	CHECK(!s.wrong && s.done == 2 && strcmp(s.calls[0]->op, "CONNECT") == 0);
	CHECK(!s.calls[1]->op_known && s.calls[1]->status == CALL_UNKNOWN &&
	      s.calls[1]->request_ns == 4000 && s.calls[1]->last_byte_ns == 5100);
	seen_free(&s);
}

/* Behind a request for encryption that was not seen: two records in one write, the first of which could be the head of
 * a command. */
static void encrypted(void)
{
	static const char records[1100] = "\x17\3\3\0\x16records";
	struct proto_hint hint = { .port = 3306, .client = true };
	struct seen s = seen_new();
	void *m = proto_mysql.new(&s.sink, &hint);
	struct stamp at = stamp_of(0);

	TEST("records of TLS are no commands to who joins");
	feed_guarded(&proto_mysql, m, OUT, records, sizeof(records), &at);
	CHECK(s.opened == 0);
	CHECK(proto_mysql.detect((struct bytes){ records, sizeof(records) }, bytes_of(""), &hint) !=
	      PROTO_YES);
	proto_mysql.done(m, DONE_CLOSED, &at);
	proto_mysql.free(m);
	seen_free(&s);
}

/* Of a packet as long as can be the next one is the rest; nothing of either but their heads need be seen. */
static void longest(void)
{
	struct seen s = seen_new();
	void *m = proto_mysql.new(&s.sink, &from_start);
	struct stamp at = stamp_of(0);

	for (size_t i = 0; i < 3; i++)
		feed_guarded(&proto_mysql, m, pymysql[i].dir, pymysql[i].p, pymysql[i].n, &at);
	TEST("packets of 16 MiB go on in the next, also one of no bytes");
	feed_guarded(&proto_mysql, m, OUT, "\xff\xff\xff\0\3INSERT INTO t VALUES ('", 28, &at);
	proto_mysql.gap(m, OUT, 0xffffff - 24, PARTIAL_TRUNCATED, &at);
	CHECK(s.opened == 2 && s.sent == 1);
	feed_guarded(&proto_mysql, m, OUT, "\4\0\0\1abc'", 8, &at);
	CHECK(s.sent == 2);
	feed_guarded(&proto_mysql, m, IN, "\7\0\0\1\0\1\0\2\0\0\0", 11, &at);
	CHECK(s.done == 2 && s.calls[1]->bytes_out == 0xffffff + 4 + 8);
	feed_guarded(&proto_mysql, m, OUT, "\x0d\0\0\0\3SELECT v, 2;", 17, &at);
	feed_guarded(&proto_mysql, m, IN, "\1\0\0\1\1\3\0\0\2def\5\0\0\3\xfe\0\0\2\0", 21, &at);
	feed_guarded(&proto_mysql, m, IN, "\xff\xff\xff\4\xfdxyz", 8, &at);
	proto_mysql.gap(m, IN, 0xffffff - 4, PARTIAL_TRUNCATED, &at);
	feed_guarded(&proto_mysql, m, IN, "\0\0\0\5", 4, &at);
	CHECK(s.done == 2);
	feed_guarded(&proto_mysql, m, IN, "\5\0\0\6\xfe\0\0\2\0", 9, &at);
	CHECK(strcmp(shown(&s), "CONNECT read ok; INSERT write ok; SELECT read ok") == 0);
	proto_mysql.done(m, DONE_CLOSED, &at);
	proto_mysql.free(m);
	seen_free(&s);
}

static void masked(void)
{
	static const char *const planted[] = { "bench",      "pymysql", "nothere",
		                               "Duplicate",  "Records", "mysql_native",
		                               "libmariadb", "REPEAT",  "Division",
		                               NULL };

	TEST("masked it gives the same calls, in any pieces, and no word of the target's is left");
	MASKS(&masker_mysql, &proto_mysql, pymysql, planted);
	MASKS(&masker_mysql, &proto_mysql, cli, planted);
	MASKS(&masker_mysql, &proto_mysql, mysqlclient, planted);
	MASKS(&masker_mysql, &proto_mysql, prepared, planted);
	TEST("what is compressed becomes zeros");
	CHECK(masks_private(&masker_mysql, compressed, COUNT(compressed), planted, 4));
	TEST("the same with a hole anywhere, and joined late");
	MASKS_HOLES(&masker_mysql, &proto_mysql, pymysql, 9, planted);
	MASKS_HOLES(&masker_mysql, &proto_mysql, cli, 8, planted);
	MASKS_HOLES(&masker_mysql, &proto_mysql, mysqlclient, 9, planted);
	MASKS_HOLES(&masker_mysql, &proto_mysql, prepared, 12, planted);
}

int main(void)
{
	whole();
	holes();
	joined();
	blind();
	encrypted();
	longest();
	masked();
	return DONE();
}
