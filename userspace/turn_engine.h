/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the ways to tell turns have in common: the engine's state, and how a turn is opened, closed and dropped. turn.c rules
 * by requests to LLMs (source llm); turn_serve.c by requests to the target (http); turn_runs.c by what the run says and by quiet
 * gaps (jsonl, stdout, idle).
 */
#ifndef TURN_ENGINE_H
#define TURN_ENGINE_H
#include "turn_sessions.h"
#include "turn_share.h"

/* What a new turn is. */
struct turn_start {
	struct lane_id lane; /* who asked for it ... */
	uint32_t pid;        /* ... and the process whose calls are its own */
	const char *session; /* "" not known yet */
	uint32_t index;
	enum llm_role role;
	uint64_t ns;
	bool at_least;
};

/* Opens it, the sink is not told. NULL: out of memory. */
struct open_turn *engine_new(struct turns *t, const struct turn_start *s);
/* Notes which turns of its process are open beside it. */
void engine_crowd(struct turns *t, struct open_turn *o);
/* Tells the sink. */
void engine_opened(struct turns *t, struct open_turn *o);
/* Gathers all that was done for it (as share_gather), hands it out and frees it. */
void engine_close(struct turns *t, struct open_turn *o, uint64_t ts_ns, struct open_turn *heir,
                  bool last);
/* Frees it, handed out or not. */
void engine_forget(struct turns *t, struct open_turn *o);
/* Hands it out and frees it, as it is. */
void engine_hand_out(struct turns *t, struct open_turn *o);
/* It was no turn: its calls are in none. Frees it. */
void engine_drop(struct turns *t, struct open_turn *o, enum outside_why why);
/* Who worked on it is gone. */
void engine_abandon(struct turns *t, struct open_turn *o, uint64_t ts_ns, bool last);
/* r waits on its lane for the turn it worked for. */
void engine_wait(struct turns *t, struct lane *l, struct record *r);
/* o is the one active last. */
void engine_touch(struct turns *t, struct open_turn *o);
/* Its last call was given up, and no call of the run has ended well since. */
bool engine_hangs(const struct turns *t, const struct open_turn *o);
/* From now on turns are told by kind. Turns open by the old rule are closed, but for `but`. */
void engine_choose(struct turns *t, enum turns_kind kind, struct open_turn *but, uint64_t ts_ns);
/* A session with no name of its own, told by a key. */
struct session_entry *engine_session(struct turns *t, const char *name, const char *key);

/* turn_serve.c: a call of a process that serves. */
/* The process has a request to it open that is followed. */
bool serve_is_serving(const struct turns *t, uint32_t pid);
void serve_call(struct turns *t, struct lane *l, struct record *r);
/* An errand is done, or broken off: what was done for it is its client's turn's. Frees it. */
void serve_errand_done(struct turns *t, struct open_turn *o, uint64_t ts_ns);
/* The client's own call has ended: the turn it asked for is complete. */
void serve_client_done(struct turns *t, const struct call *c);

/* turn_runs.c: a call of a run that tells turns itself. */
void runs_call(struct turns *t, struct lane *l, struct record *r);
/* A turn nobody said the end of is over with its process or the watch: is it one? */
/* A turn that has no session yet gets its lane's. */
void runs_name(struct turns *t, struct open_turn *o);
bool runs_counts(const struct turns *t, const struct open_turn *o);

#endif
