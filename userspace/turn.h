/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Turns: what the user counts. The engine takes calls as they open, are sent and end, asks its source where turns begin
 * and end, and hands out each turn once, when it closes.
 */
#ifndef TURN_H
#define TURN_H
#include "call.h"

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

struct turns;
struct turn_sink {
	void (*opened)(struct turn_sink *s, const struct turn *t);
	void (*closed)(struct turn_sink *s, const struct turn *t);
	/* An LLM call that is in no turn when the run ends, once each. */
	void (*outside)(struct turn_sink *s, const struct call *c);
};

struct turns *turns_new(struct turn_sink *sink);
void turns_free(struct turns *t);

/* A call of class LLM or STORAGE: its first byte, its complete request, its end. c stays the caller's and may change
 * between these calls; after turns_call_done it may be freed: the engine keeps copies of what it needs. */
void turns_call_opened(struct turns *t, const struct call *c, const struct call_place *p);
void turns_call_sent(struct turns *t, const struct call *c, const struct call_place *p);
void turns_call_done(struct turns *t, const struct call *c, const struct call_place *p);

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

double turn_ms(uint64_t ns); /* ns to ms */
const char *turn_status_name(enum turn_status s);
#endif
