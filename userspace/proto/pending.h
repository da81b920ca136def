/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The calls of one connection that wait for their replies, oldest first, for protocols that
 * answer in the order of the requests; and whether that order can still be trusted.
 *
 * Trust. Such protocols carry no ids, so after a gap (or a late attach) replies to requests
 * nobody saw may still be on their way and would be taken for replies to new requests. Until
 * that is ruled out the connection is in doubt: calls opened meanwhile are marked partial and
 * end with status unknown, so nothing is paired silently. Doubt can only make a reply come too
 * early, never leave a call open for ever. It ends where a request follows a reply and nothing
 * is open
 * - if the client has shown for `rounds_needed` exchanges that it writes only when nothing is
 *   outstanding (and was never seen to do otherwise), or
 * - if the connection was silent for PENDING_QUIET_NS before,
 * and with needs_boundary only if that reply was seen to end a request. A reply with no request
 * open proves a wrong pairing and starts all over. In doubt, a request that is open where such a
 * client goes on was none (or its reply was lost): it ends, status unknown.
 */
#ifndef PROTO_PENDING_H
#define PROTO_PENDING_H
#include "proto.h"

/* Requests of one connection that can wait at once: longer pipelines are counted, not opened as
 * calls, and the newest call opened is marked truncated. Keeps a hostile target from growing us
 * without end. */
#define PENDING_MAX 65536
/* Servers answer what they can answer within this time; what waits longer is not shared by
 * several requests. */
#define PENDING_QUIET_NS 1000000000ull

struct pending_call {
	struct call *c;  /* the sink's; NULL when it had no memory */
	uint32_t tag, n; /* the parser's own */
	bool sent;
	bool doubted; /* opened in doubt: its reply may be another's */
};

struct pending {
	struct call_sink *sink;
	const char *proto;
	struct pending_call *ring;
	size_t cap, first, count;
	uint64_t seq;       /* of the oldest in the ring; the first ever is 1 */
	uint64_t over;      /* requests behind the ring's that were not opened */
	enum partial doubt; /* why the order is not trusted, PARTIAL_NONE: it is */
	unsigned rounds, rounds_needed;
	bool needs_boundary; /* the end of a reply must have been seen, too: the parser's wish */
	bool overlapped;     /* the client was seen to write before all replies had come */
	bool busy_turn;      /* the client writes after a part of what it waits for has come */
	int last_dir;        /* -1 none yet */
	uint64_t last_ns;
};

void pending_init(struct pending *p, struct call_sink *sink, const char *proto,
                  unsigned rounds_needed, bool from_start);
/* Frees the ring; the calls are the sink's, end them first with pending_end(). */
void pending_free(struct pending *p);

/* Bytes (or a gap) of a direction begin. boundary: the last inbound byte ended a reply. */
void pending_turn(struct pending *p, int dir, bool boundary, const struct stamp *at);
/* From now on the order is not trusted. */
void pending_doubt(struct pending *p, enum partial why);

/* A request began at `at`; returns its number for pending_get(), 0 if it was only counted. */
uint64_t pending_open(struct pending *p, enum call_class class, const struct stamp *at);
/* NULL once it is done. Valid until the next pending_open(). */
struct pending_call *pending_get(struct pending *p, uint64_t seq);
struct pending_call *pending_oldest(struct pending *p);
/* All requests that wait, the counted ones too. */
uint64_t pending_count(const struct pending *p);

/* e may be NULL in these two. The last byte of the request; more may follow (COPY), then sent_ns
 * moves. */
void pending_sent(struct pending *p, struct pending_call *e, const struct stamp *at);
void pending_out_bytes(struct pending_call *e, uint64_t n);
/* n bytes of the oldest call's reply. */
void pending_in_bytes(struct pending *p, uint64_t n, const struct stamp *at);

/* The oldest request was answered. kind: error_kind, "" none. False if none was open: the reply
 * is nobody's. */
bool pending_done(struct pending *p, enum call_status status, const char *kind,
                  const struct stamp *at);
/* Replies were lost: everything sent ends, status unknown, and the order is in doubt. A request
 * not yet complete stays. */
void pending_lose(struct pending *p, enum partial why, const struct stamp *at);
/* The connection ended. */
void pending_end(struct pending *p, enum done_why why, const struct stamp *at);

/* The two above for a parser's own single call; c may be NULL. */
void pending_begin_call(struct call *c, const char *proto, const struct stamp *at);
void pending_end_status(struct call *c, enum done_why why);
#endif
