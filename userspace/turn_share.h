/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which turn a call belongs to that no request names: storage calls, and calls to an LLM that are no chat. A lane's own
 * work is its turn's, split at the last write; a helper's goes by the order of things. Every call is given to one turn
 * at most, and to one if any is near.
 */
#ifndef TURN_SHARE_H
#define TURN_SHARE_H
#include "turn_books.h"

/* Processes known to share out calls among several turns by order; the turns of further ones do not say so. */
#define ORDERED_MAX 64
/* Turns open at once; the one longest without activity is closed for a further one. */
#define OPEN_MAX 4096
/* Threads remembered to have begun after attach; a later one takes an older one's place. */
#define FRESH_MAX 1024

TAILQ_HEAD(open_turns, open_turn);

/* The engine: turn.c's to make and to free. */
struct turns {
	struct turn_sink *sink;
	const struct turn_source *source; /* rules by requests; where others rule, tells retries */
	void *state;
	struct turns_spec spec; /* what the user asked for */
	enum turns_kind kind;   /* what is done now */
	struct sessions *sessions;
	uint64_t attach_ns;
	uint32_t numbered;   /* sessions that the source named before another rule was chosen */
	uint32_t nkept;      /* calls that open turns keep */
	uint64_t unfollowed; /* calls that began while no room was left for them */
	uint64_t ruled;      /* requests the source was asked about where others rule */
	bool any_call;       /* a call was seen */
	bool begins;         /* stdout: lines begin turns, they do not end them */
	uint64_t fresh[FRESH_MAX]; /* threads that began under our eyes, by tid: pid << 32 | tid */
	struct open_turns open;    /* last active first */
	uint32_t nopen;
	uint64_t next_id;
	struct ledger ledger;
	uint32_t ordered[ORDERED_MAX]; /* processes */
	uint32_t nordered;
	uint64_t progress_ns; /* latest end of a call that its peer ended */
	struct turn last;
	bool any_closed;
	bool stalled; /* the run is stuck now */
};

/* An open turn by its id; the one of a process that was active last; NULL none. */
struct open_turn *share_find(const struct turns *t, uint64_t id);
struct open_turn *share_near(const struct turns *t, uint32_t pid);

/* The lane of that name, made if need be, at the cost of the one not used for longest; NULL when out of memory. */
struct lane *share_lane(struct turns *t, struct lane_id id);
/* Forgets a lane; what it has pending is attributed now. */
void share_drop(struct turns *t, struct lane *l);
/* Is there room for a record? If not, the oldest that has ended and waits is attributed now. False: all are in flight. */
bool share_make_room(struct turns *t);

/* r is o's. */
void share_give(struct turns *t, struct open_turn *o, struct record *r);
/* r is o's as its lane's own work: the turn starts no later. */
void share_give_own(struct turns *t, struct open_turn *o, struct record *r);
/* r belongs to no turn. */
void share_give_nobody(struct turns *t, struct record *r, enum outside_why why);
/* Tells that r is in no turn, nothing else. */
void share_outside(struct turns *t, const struct record *r, enum outside_why why);
/* How many calls o may keep now. */
uint32_t share_keeps(const struct turns *t, const struct open_turn *o);
/* Tells that r is o's, nothing else. */
void share_booked(struct turns *t, struct open_turn *o, const struct record *r);
/* A pending call that can wait no longer: its lane's turn, else the one that was near (when none was, the first), else
 * the newest. */
void share_settle(struct turns *t, struct record *r);

/* The lane goes over to o, which is new or open, with a chat call at ns: shares out what it did before. What is older
 * than an open turn is not its work. before: the turn that o goes on from, NULL none. */
void share_shift(struct turns *t, struct lane *l, struct open_turn *before, struct open_turn *o,
                 uint64_t ns);
/* What waits on the lane and began before ns is not the work of the turn it now works in. */
void share_older(struct turns *t, struct lane *l, uint64_t ns);
/* The lane ends: what it still has is its turn's. */
void share_rest(struct turns *t, struct lane *l, struct open_turn *o);
/* o closes: gives it all that was done for it. heir: the turn whose opening closes it, NULL none. last: nothing of its
 * process follows. */
void share_gather(struct turns *t, struct open_turn *o, uint64_t ts_ns, struct open_turn *heir,
                  bool last);

/* Whether calls of the process were shared out among several turns by order. */
bool share_is_ordered(const struct turns *t, uint32_t pid);
/* Forgets that. */
void share_process_exit(struct turns *t, uint32_t pid);
#endif
