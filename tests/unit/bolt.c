/* SPDX-License-Identifier: BSD-2-Clause */
/* Bolt: requests and replies become calls, whatever the pieces they come in. */
#include "mask_fixture.h"

#define GIVES(steps, expected) CHECK(gives(&proto_bolt, &from_start, steps, COUNT(steps), expected))
#define HONEST(steps) CHECK(holes_are_honest(&proto_bolt, steps, COUNT(steps)))

/* Captured from real drivers with the stand-ins in tests/workload. */
static const struct step neo4j_driver[] = {
	S(OUT, "``\xb0\x17\x00\x00\x01\xff\x00\x08\x08\x05\x00\x02\x04\x04\x00\x00\x00\x03"),
	S(IN, "\x00\x00\x04\x05"),
	S(OUT, "\x00\xb1\xb1\x01\xa2\x8auser_agent\xd0\x17neo4j-javascript/5.28.1\x8a"
	       "bolt_agent\xa3\x87product\xd0\x17neo4j-javascript/5.28.1\x88platform\xd0\x1alinux "
	       "6.18.44-fc-v782; x64\xd0\x10language_details\xd0$Node/20.20.2 (v8 "
	       "11.3.244.8-node.38)\x00\x00\x00"
	       "1\xb1j\xa3\x86scheme\x85"
	       "basic\x89principal\x81"
	       "a\x8b"
	       "credentials\x88secretpw\x00\x00"),
	S(IN, "\x00"
	      "3\xb1p\xa3\x86server\x8cNeo4j/5.26.0\x8d"
	      "connection_id\x86"
	      "bolt-1\x85hints\xa0\x00\x00\x00\x03\xb1p\xa0\x00\x00"),
	S(OUT, "\x00"
	       "4\xb3\x10\xd0#MATCH (n) WHERE n.set = $x RETURN "
	       "n\xa1\x81x\xc1?\xf0\x00\x00\x00\x00\x00\x00\xa0\x00\x00\x00\x08\xb1?"
	       "\xa1\x81n\xc9\x03\xe8\x00\x00"),
	S(IN, "\x00\x16\xb1p\xa2\x86"
	      "fields\x91\x81n\x87t_"
	      "first\x00\x00\x00\x00\x04\xb1q\x91\x01\x00\x00\x00\x1b\xb1p\xa3\x84type\x81r\x86t_"
	      "last\x00\x82"
	      "db\x85neo4j\x00\x00"),
	S(OUT, "\x00\x16\xb3\x10\xd0\x10"
	       "CREATE (n {a:1})\xa0\xa0\x00\x00\x00\x08\xb1?\xa1\x81n\xc9\x03\xe8\x00\x00"),
	S(IN, "\x00\x16\xb1p\xa2\x86"
	      "fields\x91\x81n\x87t_"
	      "first\x00\x00\x00\x00\x04\xb1q\x91\x01\x00\x00\x00\x1b\xb1p\xa3\x84type\x81r\x86t_"
	      "last\x00\x82"
	      "db\x85neo4j\x00\x00"),
	S(OUT, "\x00\x09\xb3\x10\x84"
	       "FAIL\xa0\xa0\x00\x00\x00\x08\xb1?\xa1\x81n\xc9\x03\xe8\x00\x00"),
	S(IN, "\x00:\xb1\x7f\xa2\x84"
	      "code\xd0%Neo.ClientError.Statement.SyntaxError\x87message\x82no\x00\x00\x00\x02\xb0~"
	      "\x00\x00"),
	S(OUT, "\x00\x02\xb0\x0f\x00\x00"),
	S(IN, "\x00\x03\xb1p\xa0\x00\x00"),
	S(OUT, "\x00\x18\xb3\x10\xd0\x12MERGE (n) RETURN "
	       "n\xa0\xa0\x00\x00\x00\x08\xb1?\xa1\x81n\xc9\x03\xe8\x00\x00"),
	S(IN, "\x00\x16\xb1p\xa2\x86"
	      "fields\x91\x81n\x87t_"
	      "first\x00\x00\x00\x00\x04\xb1q\x91\x01\x00\x00\x00\x1b\xb1p\xa3\x84type\x81r\x86t_"
	      "last\x00\x82"
	      "db\x85neo4j\x00\x00"),
	S(OUT,
	  "\x00\x0d\xb3\x10\x88RETURN 1\xa0\xa0\x00\x00\x00\x08\xb1?\xa1\x81n\xc9\x03\xe8\x00\x00"),
	S(IN, "\x00\x16\xb1p\xa2\x86"
	      "fields\x91\x81n\x87t_"
	      "first\x00\x00\x00\x00\x04\xb1q\x91\x01\x00\x00\x00\x1b\xb1p\xa3\x84type\x81r\x86t_"
	      "last\x00\x82"
	      "db\x85neo4j\x00\x00"),
	S(OUT, "\x00\x03\xb1\x11\xa0\x00\x00"),
	S(IN, "\x00\x03\xb1p\xa0\x00\x00"),
	S(OUT, "\x00\x0f\xb3\x10\x8a"
	       "CREATE (n)\xa0\xa0\x00\x00\x00\x08\xb1?\xa1\x81n\xc9\x03\xe8\x00\x00"),
	S(IN, "\x00\x16\xb1p\xa2\x86"
	      "fields\x91\x81n\x87t_"
	      "first\x00\x00\x00\x00\x04\xb1q\x91\x01\x00\x00\x00\x1b\xb1p\xa3\x84type\x81r\x86t_"
	      "last\x00\x82"
	      "db\x85neo4j\x00\x00"),
	S(OUT, "\x00\x18\xb3\x10\xd0\x12MATCH (n) RETURN "
	       "n\xa0\xa0\x00\x00\x00\x08\xb1?\xa1\x81n\xc9\x03\xe8\x00\x00"),
	S(IN, "\x00\x16\xb1p\xa2\x86"
	      "fields\x91\x81n\x87t_"
	      "first\x00\x00\x00\x00\x04\xb1q\x91\x01\x00\x00\x00\x1b\xb1p\xa3\x84type\x81r\x86t_"
	      "last\x00\x82"
	      "db\x85neo4j\x00\x00"),
	S(OUT, "\x00\x02\xb0\x12\x00\x00"),
	S(IN, "\x00\x10\xb1p\xa1\x88"
	      "bookmark\x83"
	      "b:1\x00\x00"),
	S(OUT, "\x00\x19\xb1\x11\xa2\x89"
	       "bookmarks\x91\x83"
	       "b:1\x84mode\x81r\x00\x00"),
	S(IN, "\x00\x03\xb1p\xa0\x00\x00"),
	S(OUT, "\x00\x18\xb3\x10\xd0\x12MATCH (n) RETURN "
	       "n\xa0\xa0\x00\x00\x00\x08\xb1?\xa1\x81n\xc9\x03\xe8\x00\x00"),
	S(IN, "\x00\x16\xb1p\xa2\x86"
	      "fields\x91\x81n\x87t_"
	      "first\x00\x00\x00\x00\x04\xb1q\x91\x01\x00\x00\x00\x1b\xb1p\xa3\x84type\x81r\x86t_"
	      "last\x00\x82"
	      "db\x85neo4j\x00\x00"),
	S(OUT, "\x00\x02\xb0\x12\x00\x00"),
	S(IN, "\x00\x10\xb1p\xa1\x88"
	      "bookmark\x83"
	      "b:1\x00\x00"),
	S(OUT, "\x00\x02\xb0\x0f\x00\x00"),
	S(IN, "\x00\x03\xb1p\xa0\x00\x00"),
	S(OUT, "\x00\x02\xb0\x02\x00\x00"),
};

static void whole(void)
{
	TEST("a query with its PULL is a call, one failure one error");
	GIVES(neo4j_driver,
	      "CONNECT read ok; HELLO read ok; LOGON read ok; MATCH read ok; CREATE write ok; RUN "
	      "? error ClientError.Statement.SyntaxError; RESET read beat ok; MERGE write ok; "
	      "RETURN read beat ok; BEGIN read ok; CREATE write ok; MATCH read ok; COMMIT write "
	      "ok; BEGIN read ok; MATCH read ok; COMMIT read ok; RESET read beat ok");
}

static void holes(void)
{
	TEST("with a hole anywhere nothing is claimed that is not so");
	HONEST(neo4j_driver);
}

static void masked(void)
{
	static const char *const planted[] = { "neo4j-java", "secretpw", "bookmark",
		                               "t_first",    "platform", NULL };

	TEST("masked it gives the same calls, in any pieces, and no word of the target's is left");
	MASKS(&masker_bolt, &proto_bolt, neo4j_driver, planted);
	TEST("the same with a hole anywhere, and joined late");
	MASKS_HOLES(&masker_bolt, &proto_bolt, neo4j_driver, COUNT(neo4j_driver), planted);
}

int main(void)
{
	whole();
	holes();
	masked();
	return DONE();
}
