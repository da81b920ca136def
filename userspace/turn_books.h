/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The books of one open turn: calls are added as they end, to the time between the turn's start and end only, so that
 * the parts always balance.
 */
#ifndef TURN_BOOKS_H
#define TURN_BOOKS_H
#include "base/spans.h"
#include "turn_lanes.h"

/*
 * Ended calls an open turn keeps until it closes, the rest is told as it ends; and all turns together, 45 MB: so many
 * keeps one that may yet turn out to be none.
 */
#define KEPT_MAX 256
#define KEPT_ALL_MAX 65536

struct open_turn {
	TAILQ_ENTRY(open_turn) link;
	struct turn t;
	uint32_t pid;         /* process whose calls are its own; t.pid is who asked for it */
	struct record **kept; /* nkept, in the order in which they ended */
	uint32_t nkept, kept_room;
	uint32_t outside_llm; /* calls among its own that were not kept */
	uint64_t inbound;     /* id of the request to the target that it serves, 0 none ... */
	uint64_t
		client; /* ... of the watched client's own call of which that is the other end, 0 none ... */
	uint64_t text_hash; /* ... and of the message it brings, 0 not known */
	uint64_t owner;     /* errand: the turn whose it is */
	bool errand;   /* it is no turn: its calls are those of the turn the client's call is in */
	bool waits;    /* an errand, until the client's own call tells what it is */
	bool served;   /* its reply is complete, the client's call is not */
	bool marked;   /* the run said that it was a turn */
	bool homeless; /* its thread ended; a call of it goes on */
	struct records active;
	struct spans llm, storage, backoff, any;
	struct spans stores[TURN_STORES_MAX];
	struct lane_id home;          /* lane of its newest chat call */
	uint64_t first_ns, newest_ns; /* starts of the chat calls that gave ttft and outcome */
	uint64_t chat_end_ns;         /* latest end of a chat call */
	uint64_t tail_end_ns;         /* latest end of any call ... */
	enum call_status tail;        /* ... and how it ended */
	struct llm_tokens tokens;     /* sums of what was seen */
	bool unseen[4]; /* a reply came without this counter: in, out, cached, reasoning */
	bool alone;     /* no other turn of the process was open when it opened */
	bool late;      /* nobody saw who made its first call, which was in flight when we came */
	bool crowded;   /* another one was open beside it */
};

/* Adds a call that ended (or is cut off at end_ns) to a turn. Time before the turn's start is not the turn's. */
void books_add(struct open_turn *o, const struct record *r, uint64_t end_ns);
/* Adds all that was counted in `from`, which is left as it is. */
void books_merge(struct open_turn *o, const struct open_turn *from);
/* Keeps r, which is in no ledger and o's from here on; false: there are `most` already, or no memory. */
bool books_keep(struct open_turn *o, struct record *r, uint32_t most);
/* Says once why a part of o was not seen. */
void books_partial(struct open_turn *o, enum partial why);
/* Brings the sums of o->t up to date. */
const struct turn *books_balance(struct open_turn *o);
/* Frees o and what it keeps; nothing is active in it. */
void books_free(struct open_turn *o);

/* The peer did not end it: the connection went, or the observer. */
bool books_given_up(enum call_status s);
#endif
