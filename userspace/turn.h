/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Turns: what the user counts. The engine takes calls as they open, are sent and end, asks its source where turns begin
 * and end, and hands out each turn once, when it closes.
 */
#ifndef TURN_H
#define TURN_H
#include "call.h"
#include "turn_mark.h"
#include "turn_source/source.h"
#include "turn_source/spec.h"

#define TURN_STORES_MAX 16

struct turn_store {
	char label[32];    /* adapter label or system name */
	char system[16];   /* "redis", "postgres", ... */
	char endpoint[80]; /* "127.0.0.1:6379" */
	double ms;         /* time with at least one call of it open */
	uint32_t calls, errors;
};

enum turn_status {
	TURN_OK,
	TURN_ERROR,
	TURN_RATE_LIMITED,
	TURN_TIMEOUT,
	TURN_ABORTED,
	TURN_STALLED,
	TURN_UNKNOWN
};

struct turn {
	uint64_t id; /* unique in the run, from 1, in the order turns open */
	char session_id[64];
	uint32_t turn_index;
	enum llm_role role; /* of the message that opened it */
	uint32_t pid, tid;
	uint64_t start_ns, end_ns;
	uint64_t llm_ns, storage_ns, backoff_ns,
		overlap_ns; /* orchestration = wall - (llm + storage + backoff - overlap) */
	int64_t ttft_ns;    /* -1 not seen */
	uint32_t llm_calls, storage_calls, retries;
	struct turn_store stores[TURN_STORES_MAX];
	uint32_t nstores;
	struct llm_tokens tokens;
	char model[96], provider[24];
	enum turn_status status;
	char error_kind[48], error_endpoint[128];
	int error_http_status;
	enum partial partial;
	bool at_least;         /* start is a bound */
	bool boundary_guessed; /* which turn a storage call belongs to was guessed by the largest gap */
	bool attribution_order; /* some calls were attributed by order alone: to it, or maybe away from it */
};

/* What the engine must know of a call's endpoint, beside the call. Copied. */
struct call_place {
	char label
		[32]; /* "llm:openai" is not here: the adapter label, "L1", or the system's name */
	char system[16];
	char endpoint[128]; /* host:port for people and metrics */
};

/* Which call an attempt belongs to: a call and its retries are one. */
struct call_attempt {
	uint64_t logical; /* id of its first attempt */
	uint32_t attempt; /* from 1 */
};

/* Why a call is in no turn. */
enum outside_why {
	OUTSIDE_NONE_NEAR, /* no turn was open when it was made */
	OUTSIDE_ASIDE,     /* the run says that it was its own affair, not a turn's */
	OUTSIDE_UNMARKED,  /* the run never said of these calls that they were a turn */
	OUTSIDE_UNRULED,   /* its request was never complete */
	OUTSIDE_WHYS
};

struct turns;
struct turn_sink {
	void (*opened)(struct turn_sink *s, const struct turn *t);
	void (*closed)(struct turn_sink *s, const struct turn *t);
	/* An LLM or storage call that is in no turn, once each; c->llm has what is known. May be NULL. */
	void (*outside)(struct turn_sink *s, const struct call *c, const struct call_place *p,
	                const struct call_attempt *a, enum outside_why why);
	/* A call of t, once each, when t closes; of long turns some before. May be NULL. */
	void (*booked)(struct turn_sink *s, const struct turn *t, const struct call *c,
	               const struct call_place *p, const struct call_attempt *a);
	/* auto: turns are told by this from now on. May be NULL. */
	void (*chosen)(struct turn_sink *s, enum turns_kind kind);
};

/* spec: what the user asked for, copied. NULL with errno set. */
struct turns *turns_new(struct turn_sink *sink, const struct turns_spec *spec, uint64_t attach_ns);
void turns_free(struct turns *t);
/* By what turns are told now; of auto never TURNS_AUTO. */
enum turns_kind turns_kind(const struct turns *t);
/* Calls that began when as many were in flight as are known at once: their turns knew of them when they had ended. */
uint64_t turns_unfollowed(const struct turns *t);

/* A call of class LLM or STORAGE: its first byte, its complete request, its end. c stays the caller's and may change
 * between these calls; after turns_call_done it may be freed: the engine keeps copies of what it needs. */
void turns_call_opened(struct turns *t, const struct call *c, const struct call_place *p);
void turns_call_sent(struct turns *t, const struct call *c, const struct call_place *p);
void turns_call_done(struct turns *t, const struct call *c, const struct call_place *p);

/* A watched process's own call that is the other end of a request to the target. */
struct call_client {
	uint64_t call; /* its id, 0: the client is not watched, or ... */
	bool comes; /* ... it is, and what it sent is told a moment later than what was received */
	enum call_class class;
	struct lane_id lane;
	uint64_t start_ns;
};

/* A request to the target, complete, and its reply, complete or given up; one that goes on when the watch ends is not told. client: who asked. A call of
 * class OTHER that is a client's is also told to turns_call_*(). */
/* Told once more when the client that `comes` has come. */
void turns_inbound_sent(struct turns *t, const struct call *c, const struct call_client *client);
void turns_inbound_done(struct turns *t, const struct call *c);

/* What the run said of its turns. */
void turns_mark(struct turns *t, const struct turn_mark *m);
/* A thread or process began under our eyes: nothing of it went before. */
void turns_thread_started(struct turns *t, uint32_t pid, uint32_t tid);
/* Time passes: closes turns that end by a quiet gap. */
void turns_tick(struct turns *t, uint64_t ts_ns);

/* The run is stuck from now on, or moves again: a turn whose thread or process ends while it is stuck on that turn's call is
 * stalled. */
void turns_stalled(struct turns *t, bool stalled);
void turns_thread_exit(struct turns *t, uint32_t pid, uint32_t tid, uint64_t ts_ns);
void turns_process_exit(struct turns *t, uint32_t pid, uint64_t ts_ns);
/* Closes all that is open; open calls were ended (status unknown or aborted) before. stalled: the run never got going again. */
void turns_end(struct turns *t, uint64_t ts_ns, bool stalled);

/* Newest turn closed and a turn now open (the one with the newest call), or NULL; valid until the next turns_* call. */
const struct turn *turns_last(const struct turns *t);
const struct turn *turns_open(const struct turns *t);
uint32_t turns_open_count(const struct turns *t);
/* The turns in flight, the one that opened first first: at most n are listed. Returns how many there are. */
size_t turns_open_list(const struct turns *t, uint64_t now_ns, const struct turn **list, size_t n);
/* Sessions with turns so far. */
uint64_t turns_sessions(const struct turns *t);
uint64_t turns_session_count(const struct turns *t, const char *session_id);
const char *outside_why_text(enum outside_why why);

double turn_ms(uint64_t ns); /* ns to ms */
const char *turn_status_name(enum turn_status s);
#endif
