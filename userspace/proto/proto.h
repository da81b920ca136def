/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A protocol parser: bytes of both directions in, calls out. One file per protocol, one line in proto.c's table.
 *
 * What an observer needs and a client library does not:
 * - It may come late: the first bytes may be the middle of anything. Start at a request boundary, not before.
 * - gap(): n bytes of a direction went by unseen (n = GAP_UNKNOWN: nobody knows how many). A parser that can tell that
 *   the gap lies inside one body or one string goes on; else it gives up what is open (call.partial) and finds its feet
 *   again at the next request. It never guesses.
 * - Unknown is a value. What was not seen stays unset.
 * Bytes come from a target we do not trust: every length is checked, every limit has a name.
 */
#ifndef PROTO_H
#define PROTO_H
#include "call.h"

/* Where a parser's calls go. open: a request's first byte was seen, the call returned is the sink's until done.
 * sent: the request is complete. done: the reply is complete (or will never be); the sink takes it. */
struct call_sink {
	struct call *(*open)(struct call_sink *s, const struct stamp *at);
	void (*sent)(struct call_sink *s, struct call *c);
	void (*done)(struct call_sink *s, struct call *c);
};

#define GAP_UNKNOWN UINT64_MAX

enum proto_match { PROTO_NO, PROTO_MAYBE, PROTO_YES };

enum done_why {
	DONE_PEER_CLOSED, /* end of file from the peer: what reads until close is complete */
	DONE_CLOSED,      /* our side closed, or the process ended */
	DONE_TIMED_OUT,   /* our side closed right after a wait of its thread timed out */
	DONE_RESET,       /* the connection broke (error number known to the caller) */
	DONE_DETACHED,    /* we stop looking: open calls get status unknown */
	DONE_SWITCHED,    /* another parser takes the connection */
};

/* What is known of a connection before its bytes. */
struct proto_hint {
	uint16_t port;    /* of the peer, 0 none */
	bool from_start;  /* the connection was seen from its first byte */
	bool idle;        /* it was not, but nothing was outstanding on it when we came */
	bool client;      /* our side opened it */
	const char *path; /* unix socket path or NULL */
};

struct proto {
	const char *name;
	/* Whether the bytes seen so far, out of our side and into it, are this protocol's. Either may be empty. Must not
	 * say YES for another protocol's bytes; PROTO_MAYBE asks for more. */
	enum proto_match (*detect)(struct bytes out, struct bytes in,
	                           const struct proto_hint *hint);
	void *(*new)(struct call_sink *sink, const struct proto_hint *hint);
	/* dir: enum event_dir, 1 = from the client side to the server side of the call, whoever we are */
	void (*feed)(void *state, int dir, struct bytes b, const struct stamp *at);
	void (*gap)(void *state, int dir, uint64_t n, enum partial why, const struct stamp *at);
	/* Whether calls share the connection: what moves is only those calls' that count it. NULL: they never do. */
	bool (*shared)(const void *state);
	/* A scrubbed recording is replayed: b is what the next slice of an encoded body in direction dir decodes to. NULL
	 * where a protocol has no encoded bodies. */
	void (*decoded)(void *state, int dir, struct bytes b);
	void (*done)(void *state, enum done_why why, const struct stamp *at);
	void (*free)(void *state); /* after done(); free(NULL) is fine */
};

extern const struct proto proto_http2, proto_http1, proto_redis, proto_postgres, proto_mysql,
	proto_mongodb, proto_bolt, proto_memcached, proto_generic;

/* The table in order of detection, NULL at the end; generic, which takes anything, is not in it. */
extern const struct proto *const protos[];
#endif
