/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A turn source: the rule by which turns begin and end. It is asked once about every call to an LLM, when the request
 * is complete, and answers with a ruling; the engine (turn.c) does the books. A new source is one file beside llm.c.
 */
#ifndef TURN_SOURCE_SOURCE_H
#define TURN_SOURCE_SOURCE_H
#include "call.h"

/* A flow of control: calls of one lane follow each other. */
struct lane_id {
	uint32_t pid, tid;
	uint64_t task; /* asyncio task, 0 none or unknown */
};

static inline bool lane_same(struct lane_id a, struct lane_id b)
{
	return a.pid == b.pid && a.tid == b.tid && a.task == b.task;
}

enum ruling_kind {
	RULING_WAITS,     /* belongs to what its lane turns out to work on, as storage calls do */
	RULING_OPENS,     /* opens a turn */
	RULING_CONTINUES, /* one more call of an open turn */
	RULING_RETRIES,   /* the same, after a failure: the time since is backoff */
};

#define RULING_CLOSES_MAX 3
/* Turns that a ruling can give another session; more keep the one they have. */
#define RULING_RENAMES_MAX 16

struct ruling {
	enum ruling_kind kind;
	uint64_t turn; /* continues, retries: which */
	/* Opens: */
	uint64_t closes[RULING_CLOSES_MAX]; /* turns that end here; 0 none */
	uint64_t
		follows; /* one of them: what was done since for its end or for the new start; 0 none */
	/* Open turns that turn out to be of another session; turn 0 ends the list. Holds before all else. */
	struct ruling_rename {
		uint64_t turn;
		char session_id[64];
		uint32_t turn_index;
	} renames[RULING_RENAMES_MAX];
	char session_id[64];
	uint32_t turn_index;
	enum llm_role role;
	bool at_least; /* the turn began before its first call that was seen */
	/* Of each chat request: the call it is an attempt of (itself, when it is the first), which attempt, and when the
	 * attempt before failed (0: it is the first). */
	uint64_t logical;
	uint32_t attempt;
	uint64_t failed_ns;
	uint64_t user; /* hash of its last user message, 0 not known */
};

struct turn_source {
	const char *name;
	void *(*new)(void);
	void (*free)(void *state);
	/* c's request is complete. lane_turn: the turn its lane works in, 0 none. next_turn: the id of the turn that
	 * RULING_OPENS would open. r comes zeroed. */
	void (*request)(void *state, const struct call *c, uint64_t lane_turn, uint64_t next_turn,
	                struct ruling *r);
	uint32_t (*sessions)(const void *state);         /* numbers given so far: s1 to s<this> */
	void (*done)(void *state, const struct call *c); /* a call it was asked about ended */
	void (*closed)(void *state, uint64_t turn);      /* for whatever reason */
};
#endif
