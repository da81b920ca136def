/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames of WebSocket: which make calls, which answer them, at every split and with every hole. */
#include "proto/websocket.h"
#include "storage_fixture.h"

/* A text message of the client's, masked, and one of the server's. */
#define ASK S(OUT, "\x81\x85\1\2\3\4IgmhN")
#define ANSWER S(IN, "\x81\x05hello")
#define PING S(IN, "\x89\x00")
#define PONG S(OUT, "\x8a\x80\1\2\3\4")

/* Captured from Node's ws: compressed, a message in two frames, two answers to one, a ping, the closing. */
static const struct step node_deflate[] = {
	S(OUT, "\xc1\x9c\xd1Q\xb2K{\x07\x98\xe2\xfd\x19\xe7\xf9\x83{\xf8"
	       "f\xff\x99}`\x9f\x84\xf9"
	       "e\x9b\x1c\x9e\x02\x84\xfb\xb7K"),
	S(IN, "\xc1!JM\xce\xc8W\xa8V*\xa9,HU\xb2R*J-.\xc8\xcf+N\xd5K.JM,IU\xaa\x05\x00"),
	S(OUT, "A\x8a\xfb\xa9\xe8\x88\xb1\x82\xa2\xc4\xfc\xa9\xe8\x88\x04V\x80\x86\xd4//\x1a\x1e"
	       "b\xe2"
	       "1\xd5/"),
	S(IN, "\xc1\x0dJ\x05I\xa7\x15%\xa6\xe7\xa6\xe6\x95\x00\x00"),
	S(OUT, "\xc2\x87\x18K\x1d\x0fjQ\x18\x8c\x12K\x1d"),
	S(IN, "\xc1\x03J\x04\x00\xc2\x07r\x1c\x05"
	      "D\x03\x00\x00\x89\x00"),
	S(OUT, "\x88\x82\x8d\x0c\xbb\xf9\x8e\xe4"),
	S(IN, "\x88\x02\x03\xe8"),
};

static void messages(void)
{
	static const struct step one[] = { ASK, ANSWER };
	static const struct step unasked[] = { ANSWER, ANSWER, ASK, ANSWER, ANSWER };
	static const struct step two[] = { ASK, ASK, ANSWER, ASK };
	static const struct step pieces[] = {
		S(OUT, "\x01\x81\1\2\3\4I"), S(OUT, "\x89\x80\1\2\3\4"),
		S(OUT, "\x80\x81\1\2\3\4g"), S(IN, "\x42\x01x"),
		S(IN, "\x8a\x00"),           S(IN, "\x80\x01y")
	};
	static const struct step early[] = { S(OUT, "\x01\x81\1\2\3\4I"), ANSWER,
		                             S(OUT, "\x80\x80\1\2\3\4"), ANSWER };
	static const struct step control[] = { PING, PONG, S(IN, "\x88\x02\x03\xe8"),
		                               S(OUT, "\x88\x80\1\2\3\4") };
	static const struct step empty[] = { S(OUT, "\x82\x80\1\2\3\4"), S(IN, "\x82\x00") };

	TEST("a message opens a call, the next one of the server's answers it");
	CHECK(gives(&proto_websocket, &from_start, one, COUNT(one), "WEBSOCKET write ok"));
	CHECK(gives(&proto_websocket, &from_start, empty, COUNT(empty), "WEBSOCKET write ok"));
	TEST("what a server sends unasked opens nothing");
	CHECK(gives(&proto_websocket, &from_start, unasked, COUNT(unasked), "WEBSOCKET write ok"));
	TEST("messages while one waits are part of it; one that is never answered ends with the "
	     "connection");
	CHECK(gives(&proto_websocket, &from_start, two, COUNT(two),
	            "WEBSOCKET write ok; WEBSOCKET write aborted client_closed"));
	TEST("messages come in frames, with control frames in between");
	CHECK(gives(&proto_websocket, &from_start, pieces, COUNT(pieces), "WEBSOCKET write ok"));
	CHECK(gives(&proto_websocket, &from_start, early, COUNT(early), "WEBSOCKET write ok"));
	CHECK(gives(&proto_websocket, &from_start, node_deflate, COUNT(node_deflate),
	            "WEBSOCKET write ok; WEBSOCKET write ok; WEBSOCKET write ok"));
	TEST("pings, pongs and closing frames make no calls");
	CHECK(gives(&proto_websocket, &from_start, control, COUNT(control), ""));
}

static void long_ones(void)
{
	static char out[70000], in[300];
	const struct step steps[] = { { OUT, out, 14 + 66000 }, { IN, in, 4 + 200 } };
	struct seen s;

	TEST("lengths of 16 and 64 bits");
	memcpy(out, "\x82\xff\0\0\0\0\0\1\1\xd0\1\2\3\4", 14);
	memcpy(in, "\x82\x7e\0\xc8", 4);
	s = play_cut(&proto_websocket, &from_start, steps, 2, 9, 1000);
	CHECK(strcmp(shown(&s), "WEBSOCKET write ok") == 0);
	CHECK(s.calls[0]->bytes_out == 14 + 66000 && s.calls[0]->bytes_in == 4 + 200);
	CHECK(s.calls[0]->sent_ns == 1100 && s.calls[0]->first_byte_ns == 2100);
	seen_free(&s);
}

static void names(void)
{
	struct websocket_name name = { "api.openai.com", "WEBSOCKET /v1/realtime", true };
	struct seen s = seen_new();
	void *state = proto_websocket.new(&s.sink, &from_start);
	struct stamp at = stamp_of(0);

	TEST("calls are called by the request that made the connection; an LLM's say why no more "
	     "is "
	     "known");
	websocket_name(state, &name);
	feed_guarded(&proto_websocket, state, OUT, "\x81\x80\1\2\3\4", 6, &at);
	at = stamp_of(1);
	TEST("pings while it waits are no progress");
	feed_guarded(&proto_websocket, state, IN, "\x89\x00", 2, &at);
	proto_websocket.done(state, DONE_TIMED_OUT, &at);
	CHECK(s.done == 1 && strcmp(s.calls[0]->host, "api.openai.com") == 0);
	CHECK(strcmp(shown(&s), "WEBSOCKET /v1/realtime write timeout timeout no_plaintext") == 0);
	CHECK(s.calls[0]->class == CALL_LLM && s.calls[0]->filler_ns == 2100 &&
	      s.calls[0]->content_ns == 1000 && !s.calls[0]->first_byte_ns);
	proto_websocket.free(state);
	seen_free(&s);
}

static void broken(void)
{
	static const struct step wrong[] = { S(OUT, "\x81\x05hello"), ANSWER, ASK, ANSWER };
	static const struct step opcode[] = { ASK, S(IN, "\x83\x00"), ASK, ANSWER };
	static const struct step huge[] = { ASK, S(IN, "\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff"),
		                            ASK, ANSWER };
	static const struct step joined[] = { S(IN, "llo"), ASK, ANSWER };
	struct seen s;

	TEST("what is no frame ends what is open; reading begins again where feeds are frames");
	s = play(&proto_websocket, wrong, COUNT(wrong));
	CHECK(strcmp(shown(&s), "WEBSOCKET write ok no_plaintext") == 0);
	seen_free(&s);
	s = play(&proto_websocket, opcode, COUNT(opcode));
	CHECK(strcmp(shown(&s), "WEBSOCKET write unknown no_plaintext; WEBSOCKET write ok "
	                        "no_plaintext") == 0);
	seen_free(&s);
	s = play(&proto_websocket, huge, COUNT(huge));
	CHECK(strcmp(shown(&s), "WEBSOCKET write unknown no_plaintext; WEBSOCKET write ok "
	                        "no_plaintext") == 0);
	seen_free(&s);
	s = play_cut(&proto_websocket, &late, joined, COUNT(joined), 0, SIZE_MAX);
	CHECK(strcmp(shown(&s), "WEBSOCKET write ok attached_late") == 0);
	seen_free(&s);
}

static void holes(void)
{
	static const struct step turns[] = { ASK, ANSWER, PING, PONG, ASK, ANSWER, ASK, ANSWER };
	static const struct step unasked[] = {
		ANSWER, ASK, ASK, ANSWER, ANSWER, PONG, ASK, ANSWER
	};
	/* a message in frames, with control frames between; lengths of 16 and 64 bits */
	static const struct step frames[] = {
		S(OUT, "\x01\x81\1\2\3\4I"),
		PING,
		S(OUT, "\x80\x81\1\2\3\4g"),
		S(IN, "\x02\x01x\x8a\x00\x80\x01y"),
		ASK,
		S(IN, "\x82\x7e\x00\x08"
		      "abcdefgh\x82\x7f\0\0\0\0\0\0\0\2ij"),
		ASK,
		ANSWER,
	};

	TEST("with a hole anywhere nothing wrong is said, and nothing waits for what was lost");
	CHECK(holes_are_honest(&proto_websocket, turns, COUNT(turns)));
	CHECK(holes_are_honest(&proto_websocket, unasked, COUNT(unasked)));
	CHECK(holes_are_honest_in(&proto_websocket, frames, COUNT(frames), true));
	CHECK(holes_are_honest_in(&proto_websocket, node_deflate, COUNT(node_deflate), true));
	TEST("who joins at any byte tells of true calls only, each once");
	CHECK(joins_are_honest(&proto_websocket, turns, COUNT(turns)));
	CHECK(joins_are_honest(&proto_websocket, unasked, COUNT(unasked)));
	CHECK(joins_are_honest(&proto_websocket, frames, COUNT(frames)));
	CHECK(joins_are_honest(&proto_websocket, node_deflate, COUNT(node_deflate)));
}

int main(void)
{
	messages();
	long_ones();
	names();
	broken();
	holes();
	return DONE();
}
