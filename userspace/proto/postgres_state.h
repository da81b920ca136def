/* SPDX-License-Identifier: BSD-2-Clause */
/* One connection of PostgreSQL, for postgres.c (the client's messages) and postgres_reply.c (the server's). */
#ifndef PROTO_POSTGRES_STATE_H
#define PROTO_POSTGRES_STATE_H
#include "pending.h"
#include "sql.h"

/* The server's limits for a startup packet and for a message. */
#define STARTUP_MAX 10000
#define MESSAGE_MAX 0x3fffffffu
/* A message this long is not believed where we look for our feet again: text would pass for its
 * length. */
#define RESYNC_MAX 0xffffffu
/* Prepared statements whose verb is remembered: drivers cache 100 to 256 a connection. The
 * oldest is forgotten, its calls are then "EXECUTE". */
#define STATEMENTS_MAX 256
/* Portals, named ones are rare. */
#define PORTALS_MAX 16
/* Of an ErrorResponse: severity twice (one of them translated) and SQLSTATE come first. */
#define ERROR_HEAD_MAX 256
enum unit_flag {
	CONNECTING = 1 << 0,
	COPYING = 1 << 1, /* the server asked for the client's copy data */
	FAILED = 1 << 2,  /* the server sent an error; it is in error[] */
};

/* What is known of a statement: never its text. */
struct statement {
	uint64_t name; /* hash, 0 the unnamed one */
	char op[SQL_WORD_MAX];
	bool used, write, known, ends, idle;
};

struct statements {
	struct statement *list;
	unsigned max, next;
};

/* Bytes of a fixed size being collected. */
struct head {
	unsigned char b[8];
	unsigned n;
};

enum out_state { OUT_LOST, OUT_STARTUP, OUT_MESSAGES };
enum in_state { IN_LOST, IN_ENCRYPTION, IN_MESSAGES };
/* Where in a frontend message's body we are: up to two names, then SQL, then what does not
 * matter. */
enum part { PART_NAME, PART_SECOND_NAME, PART_SQL, PART_REST };

struct pg {
	struct pending calls;
	bool silent; /* encrypted from here on, or no PostgreSQL */

	enum out_state out;
	bool out_proven; /* no loss since, or a write ended with a message since */
	struct head out_head;
	struct stamp first; /* of the message's first byte */
	uint64_t out_left;
	char out_type;
	enum part part;
	uint64_t names[2];
	struct sql sql;

	bool in_unit;  /* a unit is being put together: it has no Sync yet */
	bool tail;     /* it may be the end of one that began unseen */
	uint64_t unit; /* its number in calls; 0 if it was only counted */
	unsigned parses, executes, closes, others; /* its messages */
	struct statement work;                     /* op of its first Execute, write of them all */
	bool wrote, may_have_written;              /* the open transaction */

	enum in_state in;
	struct head in_head;
	uint64_t in_left;
	char in_type;
	uint64_t in_bytes; /* of the reply, not yet told to the call */
	char error[ERROR_HEAD_MAX];
	size_t nerror;
	bool error_cut; /* what comes now does not join what is in error[] */
	char sqlstate[6];
	char transaction; /* status of the last ReadyForQuery, 0 unknown */
	bool in_proven;   /* no loss since, or a ReadyForQuery came at its place since */
	bool ready;       /* it was the last message */

	struct statement statement_list[STATEMENTS_MAX], portal_list[PORTALS_MAX];
	struct statements statements, portals;
};

static inline uint32_t be32(const unsigned char *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* Collects up to want bytes; true when they are complete. */
static inline bool pg_head_take(struct head *h, unsigned want, struct bytes *b)
{
	size_t n = want - h->n < b->n ? want - h->n : b->n;

	memcpy(h->b + h->n, b->p, n);
	h->n += (unsigned)n;
	*b = bytes_from(*b, n);
	return h->n == want;
}

/* Whether b is messages of plausible types and lengths, from its first byte on; the last may be
 * cut. */
static inline bool pg_messages_start(struct bytes b, bool (*type_is_valid)(char type))
{
	if (b.n < 5)
		return false;
	while (b.n) {
		uint32_t len;

		if (!type_is_valid(b.p[0]))
			return false;
		if (b.n < 5)
			return true;
		len = be32((const unsigned char *)b.p + 1);
		if (len < 4 || len > RESYNC_MAX)
			return false;
		b = bytes_from(b, (size_t)len + 1);
	}
	return true;
}

/* The oldest unit was answered. */
void pg_unit_done(struct pg *p, const struct stamp *at);
/* A part of the replies is missing, or they make no sense; at, why as in struct proto. */
void pg_in_lost(struct pg *p, enum partial why, const struct stamp *at);
/* Bytes from the server, and a gap in them. */
void pg_in_feed(struct pg *p, struct bytes b, const struct stamp *at);
void pg_in_gap(struct pg *p, uint64_t n, enum partial why, const struct stamp *at);
#endif
