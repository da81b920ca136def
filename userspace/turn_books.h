/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The books of one open turn: calls are added as they end, to the time between the turn's start and end only, so that
 * the parts always balance.
 */
#ifndef TURN_BOOKS_H
#define TURN_BOOKS_H
#include "base/spans.h"
#include "turn_lanes.h"

struct open_turn {
	TAILQ_ENTRY(open_turn) link;
	struct turn t;
	struct records active;
	struct spans llm, storage, backoff, any;
	struct spans stores[TURN_STORES_MAX];
	struct lane_id home;          /* lane of its newest chat call */
	uint64_t first_ns, newest_ns; /* starts of the chat calls that gave ttft and outcome */
	uint64_t chat_end_ns;         /* latest end of a chat call */
	uint64_t failed_end_ns;       /* end of the newest chat call if it failed, else 0 */
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
/* Adds the time between a failure and the next try. */
void books_backoff(struct open_turn *o, uint64_t start_ns, uint64_t end_ns);
/* Says once why a part of o was not seen. */
void books_partial(struct open_turn *o, enum partial why);
/* Brings the sums of o->t up to date. */
const struct turn *books_balance(struct open_turn *o);
/* Frees o; nothing is active in it. */
void books_free(struct open_turn *o);

/* The peer did not end it: the connection went, or the observer. */
bool books_given_up(enum call_status s);
#endif
