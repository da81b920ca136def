/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the turn engine keeps of calls and of who makes them. A record is the engine's copy of a call, found by the
 * call's id; it waits on its lane until it is clear for which turn it worked, then it is active in that turn until it
 * ends. A lane is a thread or an asyncio task. Both belong to the ledger; what is decided about them is turn_share.c's.
 */
#ifndef TURN_LANES_H
#define TURN_LANES_H

#include "base/queue.h"
#include "turn.h"
#include "turn_source/source.h"

/* Lanes remembered; asyncio makes one per task, so the least recently used go first. */
#define LANES_MAX 4096
/* Calls of one lane that wait for their turn, and calls known in all: the oldest that waits is then attributed by order. A
 * further call, where all are in flight, is known when it has ended: one more than there is room for, at most. */
#define LANE_PENDING_MAX 1024
#define RECORDS_MAX 16384
#define LEDGER_BUCKETS 4096

struct open_turn;
TAILQ_HEAD(records, record);

enum record_state {
	RECORD_ASKING,  /* to an LLM, its request is not complete: not ruled on yet */
	RECORD_PENDING, /* waits on its lane */
	RECORD_ACTIVE,  /* of a turn, not ended */
	RECORD_CLOSED, /* its turn has closed, or it was in none: kept until it ends, to know it again */
};

/* What the engine keeps of a call. */
struct record {
	TAILQ_ENTRY(record) link;
	struct records *in; /* its lane's pending, or its turn's active calls; NULL none */
	TAILQ_ENTRY(record) age;
	struct record *next; /* in its bucket */
	enum record_state state;
	struct lane *lane;      /* pending */
	struct open_turn *turn; /* active */
	uint64_t near;   /* turn active last in the process when it was opened, or it waits for */
	bool read_ahead; /* the turn it is given to may start with this call */
	bool done, chat, write, op_known, at_least, unread;
	bool multiplexed; /* on a connection with others: any thread may have written its request */
	uint64_t id;
	struct lane_id lane_id;
	uint64_t start_ns, end_ns;
	int64_t ttft_ns;
	enum call_class class;
	enum call_status status;
	enum llm_kind kind;
	enum partial partial;
	struct llm_tokens tokens;
	int http_status;
	char error_kind[48], provider[24], model[96];
	struct call_place place;
	/* For who counts calls one by one: */
	char op[CALL_OP_MAX];
	const char *proto; /* static */
	uint64_t request_ns, first_byte_ns, bytes_out, bytes_in;
	double retry_after_s; /* < 0 none */
	struct llm_said said;
	uint64_t user;      /* hash of the user's message it carries last, 0 not known */
	uint64_t logical;   /* the call it is an attempt of */
	uint32_t attempt;   /* from 1 */
	uint64_t failed_ns; /* when the attempt before ended, 0 first */
};

struct lane {
	TAILQ_ENTRY(lane) link;
	struct lane *next; /* in its bucket */
	struct lane_id id;
	struct records pending; /* by start */
	uint32_t npending;
	struct open_turn *turn; /* it works in, NULL none */
	bool chats;             /* it made chat calls: not a mere helper */
	bool shared;            /* an event loop of unknown tasks: several turns at once */
	bool settled;           /* calls of it were attributed by order before */
	bool guessed;           /* a guess about its last turn's end touches the next one's start */
	bool gone;              /* the thread has ended */
	bool marked;            /* the run said something of a turn of it */
};

TAILQ_HEAD(lanes, lane);

struct ledger {
	struct lanes lanes; /* last used first */
	uint32_t nlanes;
	struct records records; /* oldest first */
	uint32_t nrecords;
	struct record *record_of[LEDGER_BUCKETS];
	struct lane *lane_of[LEDGER_BUCKETS];
};

void ledger_init(struct ledger *b);
void ledger_free(struct ledger *b); /* what is in it */

/* The record of the call of that id; NULL none. */
struct record *record_find(struct ledger *b, uint64_t id);
/* A record of c, which has none; NULL when out of memory. */
struct record *record_new(struct ledger *b, const struct call *c, const struct call_place *p);
/* Copies what is known of c by now. */
void record_fill(struct record *r, const struct call *c, const struct call_place *p);
/* Puts r, which is in no list, among the lane's pending calls, in the order of their starts. */
void record_wait(struct record *r, struct lane *l);
/* Makes r, which is in no list, one of `active`, o's. */
void record_activate(struct record *r, struct open_turn *o, struct records *active);
/* Takes r off its lane or turn. */
void record_unlink(struct record *r);
void record_free(struct ledger *b, struct record *r);
/* Takes r out of the ledger: the caller's, to free(). */
void record_take(struct ledger *b, struct record *r);
/* What is known of r, as a call: c->llm is llm or NULL, nothing is owned. */
void record_call(const struct record *r, struct call *c, struct llm_call *llm);

/* The lane of that name, which is then the one used last; NULL none. */
struct lane *lane_use(struct ledger *b, struct lane_id id);
/* A lane of a name that none has; NULL when out of memory. */
struct lane *lane_new(struct ledger *b, struct lane_id id);
/* A lane of that thread (tid 0: of any thread of the process) that has not ended; NULL none. */
struct lane *lane_of_thread(const struct ledger *b, uint32_t pid, uint32_t tid);
/* The thread has ended: its name is free for another. */
void lane_retire(struct ledger *b, struct lane *l);
void lane_free(struct ledger *b, struct lane *l); /* nothing of it is pending */
#endif
