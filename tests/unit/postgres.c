/* SPDX-License-Identifier: BSD-2-Clause */
/* PostgreSQL: units of work become calls, whatever the pieces they come in; and what SQL does,
 * from its keywords. */
#include "storage_fixture.h"
#include "proto/sql.h"

#define GIVES(steps, expected) \
	CHECK(gives(&proto_postgres, &from_start, steps, COUNT(steps), expected))
#define HONEST(steps) CHECK(holes_are_honest_in(&proto_postgres, steps, COUNT(steps), true))
#define JOINED(steps) CHECK(joins_are_honest(&proto_postgres, steps, COUNT(steps)))

/* Messages; lengths are those of the text and 4. */
#define STARTUP "\0\0\0\x11\0\3\0\0user\0me\0\0"
#define SSL "\0\0\0\x08\x04\xd2\x16\x2f"
#define AUTH_OK "R\0\0\0\x08\0\0\0\0"
#define READY(t) "Z\0\0\0\5" t
#define DONE_TAG "C\0\0\0\x0dSELECT 1\0"
#define ROW "T\0\0\0\6\0\0D\0\0\0\x0b\0\1\0\0\0\1x"
#define ERROR(code) "E\0\0\0\x29SERROR\0VERROR\0C" code "\0Mno such thing\0\0"
#define FATAL(code) "E\0\0\0\x29SFATAL\0VFATAL\0C" code "\0Mno such thing\0\0"
#define SYNC "S\0\0\0\4"
#define BIND(stmt, len) "B\0\0\0" len "\0" stmt "\0\0\0\0\0\0\0"
#define EXECUTE "E\0\0\0\x09\0\0\0\0\0"

#define CONNECTED                                    \
	S(OUT, STARTUP), S(IN, AUTH_OK "S\0\0\0\x0b" \
	                               "a\0b\0c\0\0" \
	                               "K\0\0\0\x0c" \
	                               "12345678" READY("I"))

static const struct step simple[] = {
	S(OUT, SSL),
	S(IN, "N"),
	S(OUT, STARTUP),
	S(IN, "R\0\0\0\x0c\0\0\0\5salt"),
	S(OUT, "p\0\0\0\x0bmd5abc\0"),
	S(IN, AUTH_OK "K\0\0\0\x0c"
	              "12345678" READY("I")),
	S(OUT, "Q\0\0\0\x0a"
	       "BEGIN\0"),
	S(IN, "C\0\0\0\x0a"
	      "BEGIN\0" READY("T")),
	S(OUT, "Q\0\0\0\x1cINSERT INTO t VALUES(1)\0"),
	S(IN, "C\0\0\0\x0fINSERT 0 1\0" READY("T")),
	S(OUT, "Q\0\0\0\x0b"
	       "COMMIT\0"),
	S(IN, "C\0\0\0\x0b"
	      "COMMIT\0" READY("I")),
	S(OUT, "Q\0\0\0\x0a"
	       "BEGIN\0"),
	S(IN, "C\0\0\0\x0a"
	      "BEGIN\0" READY("T")),
	S(OUT, "Q\0\0\0\x12SELECT x FROM\0"),
	S(IN, ROW),
	S(IN, DONE_TAG READY("T")),
	S(OUT, "Q\0\0\0\x0b"
	       "COMMIT\0"),
	S(IN, "C\0\0\0\x0b"
	      "COMMIT\0" READY("I")),
	S(OUT, "Q\0\0\0\x0dSELECT 1\0"),
	S(IN, ROW DONE_TAG READY("I")),
	S(OUT, "Q\0\0\0\x0eSELECT no\0"),
	S(IN, "N\0\0\0\x0cSNOTICE\0"
	      "A\0\0\0\x0b"
	      "1234a\0\0" ERROR("42703") READY("I")),
	S(OUT, "Q\0\0\0\x0d"
	       "ROLLBACK\0"),
	S(IN, "C\0\0\0\x0d"
	      "ROLLBACK\0" READY("I")),
	S(OUT, "X\0\0\0\4"),
};

static const struct step extended[] = {
	CONNECTED,
	/* prepared by name, then run twice, as asyncpg does */
	S(OUT, "P\0\0\0\x12s1\0SELECT x\0\0\0"
	       "D\0\0\0\x08Ss1\0" SYNC),
	S(IN, "1\0\0\0\4t\0\0\0\6\0\0T\0\0\0\6\0\0" READY("I")),
	S(OUT, BIND("s1", "\x0e") EXECUTE SYNC),
	S(IN, "2\0\0\0\4"
	      "D\0\0\0\x0b\0\1\0\0\0\1x" DONE_TAG READY("I")),
	S(OUT, BIND("s1", "\x0e") EXECUTE SYNC BIND("s9", "\x0e") EXECUTE SYNC),
	S(IN, "2\0\0\0\4" DONE_TAG READY("I") ERROR("26000") READY("I")),
	/* an unnamed statement that writes, and a Flush before the Sync */
	S(OUT, "P\0\0\0\x10\0DELETE t\0\0\0"
	       "H\0\0\0\4"),
	S(IN, "1\0\0\0\4"),
	S(OUT, BIND("", "\x0c") EXECUTE BIND("s1", "\x0e") EXECUTE SYNC),
	S(IN, "2\0\0\0\4"
	      "C\0\0\0\x0d"
	      "DELETE 1\0"
	      "2\0\0\0\4" DONE_TAG READY("I")),
	S(OUT, "C\0\0\0\x08Ss1\0" SYNC),
	S(IN, "3\0\0\0\4" READY("I")),
	S(OUT, SYNC),
	S(IN, READY("I")),
	S(OUT, "F\0\0\0\x0e\0\0\0\1\0\0\0\0\0\0"),
	S(IN, "V\0\0\0\x08\xff\xff\xff\xff" READY("I")),
};

static const struct step copy[] = {
	CONNECTED,
	S(OUT, "Q\0\0\0\x16"
	       "COPY t FROM STDIN\0"),
	S(IN, "G\0\0\0\7\0\0\0"),
	S(OUT, "d\0\0\0\6a\n"
	       "d\0\0\0\6b\n"),
	S(OUT, "c\0\0\0\4"),
	S(IN, "C\0\0\0\x0b"
	      "COPY 2\0" READY("I")),
	S(OUT, "Q\0\0\0\x15"
	       "COPY t TO STDOUT\0"),
	S(IN, "H\0\0\0\7\0\0\0"
	      "d\0\0\0\6a\n"),
	S(IN, "c\0\0\0\4"
	      "C\0\0\0\x0b"
	      "COPY 2\0" READY("I")),
	/* by the extended query: the server ignores the first Sync */
	S(OUT, "P\0\0\0\x1a\0"
	       "COPY t FROM STDIN;\0\0\0" BIND("", "\x0c") EXECUTE SYNC),
	S(IN, "1\0\0\0\4"
	      "2\0\0\0\4"
	      "G\0\0\0\7\0\0\0"),
	S(OUT, "d\0\0\0\6a\n"
	       "c\0\0\0\4" SYNC),
	S(IN, "C\0\0\0\x0b"
	      "COPY 1\0" READY("I")),
	S(OUT, "Q\0\0\0\x0dSELECT 2\0"),
	S(IN, ROW DONE_TAG READY("I")),
};

static const struct step refused[] = {
	S(OUT, STARTUP),
	S(IN, FATAL("28P01")),
};

static const struct step killed[] = {
	CONNECTED,
	S(OUT, "Q\0\0\0\x0dSELECT 2\0"),
	S(IN, FATAL("57P01")),
};

static const struct step encrypted[] = {
	S(OUT, SSL),
	S(IN, "S"),
	S(OUT, "\x16\x03\x01\0\5Q\0\0\0\4"),
	S(IN, "\x16\x03\x03\0\5Z\0\0\0\5"),
};

static const struct step cancel[] = {
	S(OUT, "\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\1\0\0\0\2"),
};

static void whole(void)
{
	TEST("a simple query is a call up to ReadyForQuery; connecting is one, too");
	GIVES(simple, "CONNECT read ok; BEGIN read ok; INSERT write ok; COMMIT write ok; BEGIN "
	              "read ok; SELECT read ok; "
	              "COMMIT read ok; SELECT read beat ok; SELECT read error 42703; ROLLBACK read "
	              "beat ok");
	TEST("an extended query is a call up to its Sync's ReadyForQuery, named by what it "
	     "executes");
	GIVES(extended, "CONNECT read ok; PREPARE read ok; SELECT read ok; SELECT read ok; EXECUTE "
	                "? error 26000; "
	                "DELETE write ok; CLOSE read ok; SYNC read beat ok; FUNCTION ? ok");
	TEST("copy data belongs to its COPY, and so does a Sync behind it");
	GIVES(copy, "CONNECT read ok; COPY write ok; COPY read ok; COPY write ok; SELECT read ok");
	TEST("an error that ends the connection ends the call");
	GIVES(refused, "CONNECT read error 28P01");
	GIVES(killed, "CONNECT read ok; SELECT read error 57P01");
	TEST("what is encrypted is left alone, a cancel request is no call");
	GIVES(encrypted, "CONNECT read ok");
	GIVES(cancel, "");
}

static void holes(void)
{
	TEST("with a hole anywhere nothing is claimed that is not so");
	HONEST(simple);
	HONEST(extended);
	HONEST(copy);
	HONEST(killed);
}

static void times(void)
{
	static const struct step steps[] = {
		CONNECTED,  S(OUT, "Q\0\0\0\x0dSEL"),   S(OUT, "ECT 2\0"),
		S(IN, ROW), S(IN, DONE_TAG READY("I")),
	};
	struct seen s = play(&proto_postgres, steps, COUNT(steps));
	struct call *c = s.calls[1];

	TEST("times are those of the first and last byte each way");
	CHECK(s.done == 2 && s.sent == 2);
	CHECK(c->start_ns == 3000 && c->request_ns == 3000 && c->sent_ns == 4100);
	CHECK(c->first_byte_ns == 5100 && c->last_byte_ns == 6100 && c->end_ns == 6100);
	CHECK(c->bytes_out == 14 && c->bytes_in == 39);
	seen_free(&s);
}

static void late_attach(void)
{
	static const struct step steps[] = {
		S(IN, "tail of a row"),
		S(OUT, BIND("s1", "\x0e") EXECUTE SYNC),
		S(IN, "2\0\0\0\4" DONE_TAG READY("I")),
		S(OUT, BIND("s1", "\x0e") EXECUTE SYNC),
		S(IN, "2\0\0\0\4" DONE_TAG READY("I")),
		S(OUT, "Q\0\0\0\x0dSELECT 2\0"),
		S(IN, ROW DONE_TAG READY("I")),
	};
	static const struct step ready_seen[] = {
		S(IN, ROW DONE_TAG READY("I")),
		S(OUT, "Q\0\0\0\x0dSELECT 2\0"),
		S(IN, ROW DONE_TAG READY("I")),
	};
	struct seen s;

	TEST("after a late attach the first unit is partial, what was prepared before has no name");
	s = play_cut(&proto_postgres, &late, steps, COUNT(steps), 0, SIZE_MAX);
	CHECK(!s.wrong &&
	      strcmp(shown(&s), "EXECUTE ? unknown attached_late; EXECUTE ? ok; SELECT read ok") ==
	              0);
	seen_free(&s);
	TEST("a ReadyForQuery seen before the first request is enough");
	s = play_cut(&proto_postgres, &late, ready_seen, COUNT(ready_seen), 0, SIZE_MAX);
	CHECK(!s.wrong && strcmp(shown(&s), "SELECT read ok") == 0);
	seen_free(&s);
}

static void truncated(void)
{
	struct seen s = seen_new();
	void *p = proto_postgres.new(&s.sink, &from_start);
	struct stamp at = stamp_of(0);
	struct bytes connected = { STARTUP, sizeof(STARTUP) - 1 };

	proto_postgres.feed(p, OUT, connected, &at);
	proto_postgres.feed(p, IN, (struct bytes){ AUTH_OK READY("I"), 15 }, &at);
	TEST("the middle of a long INSERT and of a long row need not be seen");
	proto_postgres.feed(p, OUT, (struct bytes){ "Q\0\1\0\0INSERT INTO t VALUES ('", 29 }, &at);
	CHECK(s.opened == 2 && s.sent == 1);
	proto_postgres.gap(p, OUT, 65537 - 29, PARTIAL_TRUNCATED, &at);
	CHECK(s.sent == 2);
	proto_postgres.feed(p, IN, (struct bytes){ "D\0\1\0\0abc", 8 }, &at);
	proto_postgres.gap(p, IN, 65537 - 8, PARTIAL_TRUNCATED, &at);
	proto_postgres.feed(p, IN, (struct bytes){ DONE_TAG READY("I"), 20 }, &at);
	CHECK(strcmp(shown(&s), "CONNECT read ok; INSERT write ok") == 0);
	TEST("a long SELECT keeps its name and says that a part is missing");
	proto_postgres.feed(p, OUT, (struct bytes){ "Q\0\1\0\0SELECT x <-> '[", 20 }, &at);
	proto_postgres.gap(p, OUT, 65537 - 20, PARTIAL_TRUNCATED, &at);
	proto_postgres.feed(p, IN, (struct bytes){ DONE_TAG READY("I"), 20 }, &at);
	CHECK(s.done == 3 && strcmp(s.calls[2]->op, "SELECT") == 0 &&
	      s.calls[2]->partial == PARTIAL_TRUNCATED);
	proto_postgres.done(p, DONE_CLOSED, &at);
	proto_postgres.free(p);
	seen_free(&s);
}

/* "SELECT read", "COPY ?", "SELECT read idle", "COMMIT read ends" */
static bool means(const char *text, const char *expected)
{
	bool good = true;

	for (size_t cut = 0; cut <= strlen(text) && good; cut++) {
		struct sql s;
		char got[64];

		sql_start(&s);
		sql_feed(&s, (struct bytes){ text, cut });
		sql_feed(&s, bytes_of(text + cut));
		sql_end(&s);
		snprintf(got, sizeof(got), "%s %s%s%s", s.op,
		         !s.known  ? "?"
		         : s.write ? "write"
		                   : "read",
		         s.ends ? " ends" : "", s.idle ? " idle" : "");
		good = strcmp(got, expected) == 0;
		if (!good)
			printf("# %s: got %s, expected %s\n", text, got, expected);
	}
	return good;
}

static void sql_texts(void)
{
	TEST("the verb is found behind white space, comments and parentheses");
	CHECK(means("\n /* a /* nested */ one */ -- and\n select 2", "SELECT read"));
	CHECK(means("(SELECT 1) UNION (SELECT 2)", "SELECT read"));
	CHECK(means("INSERT INTO t VALUES (1)", "INSERT write"));
	CHECK(means("SELECT 1", "SELECT read idle"));
	CHECK(means("select 1;", "SELECT read idle"));
	CHECK(means("SELECT 1, 2", "SELECT read"));
	CHECK(means("SELECT 10", "SELECT read"));
	CHECK(means("SELECT 1.5", "SELECT read"));
	CHECK(means("", " read idle"));
	CHECK(means(" ; -- nothing", " read idle"));
	CHECK(means("hunter2", " ?"));
	CHECK(means("averylongwordthatisnoverbatall x", " ?"));
	TEST("behind WITH the main verb counts, and whether one of the queries writes");
	CHECK(means("WITH a AS (SELECT 1) SELECT * FROM a", "SELECT read"));
	CHECK(means("WITH RECURSIVE a(x) AS (SELECT 1), b AS MATERIALIZED (SELECT 2) INSERT INTO t "
	            "TABLE b",
	            "INSERT write"));
	CHECK(means("WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a", "SELECT write"));
	CHECK(means("WITH insert AS (SELECT 1), delete AS (SELECT 2) SELECT * FROM insert",
	            "SELECT read"));
	CHECK(means("WITH a AS (SELECT 1) SEARCH DEPTH FIRST BY x SET o SELECT 1", "SELECT read"));
	CHECK(means("WITH a AS (SELECT 1)", " ?"));
	TEST("words in quotes are none");
	CHECK(means("SELECT ';INSERT', $$;DELETE$$, $a$ $$;DROP $a$, \";DROP\", E'\\';DROP', "
	            "'it''s;DROP', $1",
	            "SELECT read"));
	CHECK(means("SELECT a - b / c -- ;DROP", "SELECT read"));
	TEST("statements that read or write by what follows the verb");
	CHECK(means("SELECT * FROM t FOR UPDATE", "SELECT read"));
	CHECK(means("SELECT * INTO u FROM t", "SELECT write"));
	CHECK(means("COPY t (a, b) FROM STDIN", "COPY write"));
	CHECK(means("COPY (SELECT * FROM t) TO STDOUT", "COPY read"));
	CHECK(means("COPY t", "COPY ?"));
	CHECK(means("EXPLAIN DELETE FROM t", "EXPLAIN read"));
	CHECK(means("EXPLAIN (ANALYZE, BUFFERS) DELETE FROM t", "EXPLAIN write"));
	CHECK(means("EXPLAIN ANALYZE SELECT * FROM t FOR UPDATE", "EXPLAIN read"));
	CHECK(means("EXECUTE s1(1)", "EXECUTE ?"));
	CHECK(means("DO $x$ BEGIN DELETE FROM t; END $x$", "DO write"));
	TEST("of several statements the first names, any writes");
	CHECK(means("BEGIN; SELECT 1; COMMIT", "BEGIN read ends"));
	CHECK(means("BEGIN; UPDATE t SET a = ';'; COMMIT", "BEGIN write"));
	CHECK(means("SELECT 1; hunter2", "SELECT ?"));
}

static enum proto_match detect(const char *out, size_t n, const char *in, struct proto_hint hint)
{
	return proto_postgres.detect((struct bytes){ out, n }, bytes_of(in), &hint);
}

#define DETECT(out, ...) detect(out, sizeof(out) - 1, "", (struct proto_hint){ __VA_ARGS__ })

static void detection(void)
{
	TEST("a startup packet is recognised on any port, and nothing else is");
	CHECK(DETECT(STARTUP, .from_start = true) == PROTO_YES);
	CHECK(DETECT("\0\0\0\x11\0\3\0\2user\0me\0\0", .from_start = true) == PROTO_YES);
	CHECK(DETECT(SSL, .from_start = true) == PROTO_YES);
	CHECK(DETECT("\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\1\0\0\0\2", .from_start = true) ==
	      PROTO_YES);
	for (size_t n = 0; n < 9; n++)
		CHECK(detect(STARTUP, n, "", from_start) == PROTO_MAYBE);
	CHECK(DETECT("GET / HTTP/1.1\r\n", .from_start = true, .port = 5432) == PROTO_NO);
	CHECK(DETECT("*1\r\n$4\r\nPING\r\n", .from_start = true) == PROTO_NO);
	CHECK(DETECT("\x16\x03\x01\x02\x00\x01", .from_start = true, .port = 5432) == PROTO_NO);
	/* Kafka: length, key 3, version 0, a number */
	CHECK(DETECT("\0\0\0\x1a\0\3\0\0\0\0\0\1\0\3abc", .from_start = true) == PROTO_NO);
	CHECK(detect("", 0, "J\0\0\0\x0a 8.0", from_start) == PROTO_NO);
	TEST("a client that leaves is no request");
	CHECK(DETECT("X\0\0\0\4", .port = 40000) == PROTO_MAYBE);
	TEST("in the middle only where PostgreSQL is expected");
	CHECK(DETECT("Q\0\0\0\x0dSELECT 1\0", .port = 5432) == PROTO_YES);
	CHECK(DETECT("Q\0\0\0\x0dSELECT 1\0", .path = "/run/postgresql/.s.PGSQL.5432") ==
	      PROTO_YES);
	CHECK(DETECT("Q\0\0\0\x0dSELECT 1", .port = 9999) == PROTO_NO);
	TEST("on any port where whole messages that ask for an answer fill the write");
	CHECK(DETECT("Q\0\0\0\x0dSELECT 1\0", .port = 9999) == PROTO_YES);
	CHECK(DETECT("POST /v1/messages HTTP/1.1\r\n", .port = 5432) != PROTO_YES);
	CHECK(DETECT("\x17\x03\x03\0\x20xxxx", .port = 5432) == PROTO_NO);
	CHECK(DETECT("", .port = 6432) == PROTO_MAYBE);
}

static void joined(void)
{
	TEST("who joins at any byte tells of true calls only, each once");
	JOINED(simple);
	JOINED(extended);
	JOINED(copy);
	JOINED(killed);
}

int main(void)
{
	whole();
	holes();
	joined();
	times();
	late_attach();
	truncated();
	sql_texts();
	detection();
	return DONE();
}
