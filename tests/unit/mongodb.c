/* SPDX-License-Identifier: BSD-2-Clause */
/* MongoDB: requests and replies become calls, whatever the pieces they come in. */
#include "mongodb_dialogues.h"
#include "mask_fixture.h"

#define GIVES(steps, expected) \
	CHECK(gives(&proto_mongodb, &from_start, steps, COUNT(steps), expected))
#define HONEST(steps) CHECK(holes_are_honest(&proto_mongodb, steps, COUNT(steps)))
#define JOINED(steps) CHECK(joins_are_honest(&proto_mongodb, steps, COUNT(steps)))

static void whole(void)
{
	TEST("commands are calls with their names, errors also where ok is 1; who wants no answer "
	     "does not wait");
	GIVES(pymongo_0, "ismaster read beat ok");
	GIVES(pymongo_1, "ismaster read beat ok; ismaster read beat blocks aborted client_closed");
	GIVES(pymongo_2, "ismaster read beat ok; insert write ok; find read ok; update write ok; "
	                 "insert write error 11000; find read ok; getMore read ok; aggregate write "
	                 "ok; ping read beat ok; nonsense ? error CommandNotFound; insert write "
	                 "unknown; find read ok; endSessions read beat ok");
	GIVES(node_0, "ismaster read beat ok");
	GIVES(node_1, "ismaster read beat ok; insert write ok; find read ok; insert write error "
	              "11000; ping read beat ok; endSessions read beat ok");
	TEST("an answer in many messages is one, and a hello that waits for news no stall");
	GIVES(exhaust, "find read ok; getMore read error CursorNotFound; ping read beat ok");
	GIVES(heartbeat, "ismaster read beat ok; hello read beat blocks aborted client_closed");
	TEST("compressed messages are read where the coding is known, and end all the same where "
	     "not");
	GIVES(packed, "ismaster read beat ok; insert write ok; find read error Unauthorized; "
	              "delete write ok; - ? unknown; - ? unknown; ping read beat ok");
	TEST("checksums are no documents; requests older than OP_MSG have names of their own");
	GIVES(checked, "insert write error 11000; aggregate write ok; insert write unknown; update "
	               "write error WriteConcernTimeout; commitTransaction ? ok");
	GIVES(oldest, "find read ok; getMore read ok; insert write unknown; getlasterror ? ok; "
	              "update write unknown; delete write unknown; killCursors read unknown; find "
	              "read error QueryFailure; count read ok");
	TEST("replies find their requests in any order");
	GIVES(shared, "insert write ok; find read ok; distinct read error Unauthorized; aggregate "
	              "read ok; getMore read blocks ok");
}

static void holes(void)
{
	TEST("with a hole anywhere nothing is claimed that is not so");
	HONEST(pymongo_0);
	HONEST(pymongo_1);
	HONEST(pymongo_2);
	HONEST(node_0);
	HONEST(node_1);
	HONEST(exhaust);
	HONEST(heartbeat);
	HONEST(packed);
	HONEST(checked);
	HONEST(oldest);
	HONEST(shared);
}

static void joined(void)
{
	TEST("who joins at any byte tells of true calls only, each once");
	JOINED(pymongo_0);
	JOINED(pymongo_1);
	JOINED(pymongo_2);
	JOINED(node_0);
	JOINED(node_1);
	JOINED(exhaust);
	JOINED(heartbeat);
	JOINED(packed);
	JOINED(checked);
	JOINED(oldest);
	JOINED(shared);
}

static void masked(void)
{
	static const char *const planted[] = { "PyMongo", "x86_64",    "admin", "lsid",
		                               "primary", "documents", NULL };

	TEST("masked it gives the same calls, in any pieces, and no word of the target's is left");
	MASKS(&masker_mongodb, &proto_mongodb, pymongo_0, planted);
	MASKS(&masker_mongodb, &proto_mongodb, pymongo_1, planted);
	MASKS(&masker_mongodb, &proto_mongodb, pymongo_2, planted);
	MASKS(&masker_mongodb, &proto_mongodb, node_0, planted);
	MASKS(&masker_mongodb, &proto_mongodb, node_1, planted);
	TEST("the same with a hole anywhere, and joined late");
	MASKS_HOLES(&masker_mongodb, &proto_mongodb, pymongo_0, COUNT(pymongo_0), planted);
	MASKS_HOLES(&masker_mongodb, &proto_mongodb, pymongo_1, COUNT(pymongo_1), planted);
	MASKS_HOLES(&masker_mongodb, &proto_mongodb, pymongo_2, 12, planted);
	MASKS_HOLES(&masker_mongodb, &proto_mongodb, node_0, COUNT(node_0), planted);
	MASKS_HOLES(&masker_mongodb, &proto_mongodb, node_1, 12, planted);
}

int main(void)
{
	whole();
	holes();
	joined();
	masked();
	return DONE();
}
