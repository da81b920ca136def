/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stall detection: several progress clocks over the whole process tree, because no single one
 * tells stuck from slow.
 *
 * Stuck, with T the timeout: content, calls and turns have all been silent for T, and
 * - an LLM or storage call that is not meant to wait is open and itself silent for T, or
 * - the threads that matter made no useful system call for T, used less than 5 % of a CPU over it,
 *   started no call in it, and no call that is meant to wait (BLPOP) was open in it.
 * A clock that never moved counts from the start of the watch. Threads that matter are those that
 * ever made an LLM or storage call and the main threads of their processes; all threads while none
 * is known.
 */
#ifndef STALL_H
#define STALL_H
#include "call.h"
#include "event.h"

/*
 * Threads kept: more than a host runs at once. Beyond, every thread's useful system calls count as
 * progress.
 */
#define STALL_THREADS_MAX 65536
/* Stalls whose times are kept; further ones are only counted. */
#define STALL_PERIODS_MAX 1024

struct stall;

struct stall_period {
	bool at_least; /* nothing moved since the start of the watch: since then or earlier */
	uint64_t since_ns, end_ns; /* end_ns 0: it lasts */
	const char *clock;         /* "content", "calls", "turns", "syscalls": the last to move */
};

enum stall_change { STALL_NONE, STALL_BEGAN, STALL_ENDED };

/* timeout_ns 0: never stuck. NULL: out of memory. */
struct stall *stall_new(uint64_t timeout_ns, uint64_t start_ns);
void stall_free(struct stall *s);

/*
 * Content went over an LLM or storage connection, either way. Not: heartbeats, pings and
 * keep-alive comments, and what belongs to a call that is meant to wait.
 */
void stall_content(struct stall *s, uint64_t ts_ns);
/*
 * A call opened and ended. Only classes LLM and STORAGE do anything, so any call may be given. A
 * call that is meant to wait is no progress when it ends (an idle worker polls its queue for
 * ever), nor is one that ended with CALL_UNKNOWN or CALL_ABORTED because we stopped looking: do
 * not report those.
 */
void stall_call_started(struct stall *s, const struct call *c);
void stall_call_done(struct stall *s, const struct call *c);
void stall_turn(struct stall *s, uint64_t ts_ns);
void stall_activity(struct stall *s, const struct ev_activity *a);
void stall_thread_exit(struct stall *s, uint32_t pid, uint32_t tid);

/*
 * At every EV_TICK, with the n calls now open (any class). STALL_BEGAN once per stall; STALL_ENDED
 * at the first tick after content, calls or turns moved again.
 */
enum stall_change stall_tick(struct stall *s, uint64_t now_ns, const struct call *const *open,
                             size_t n);
/* The run is over: a stall that lasts gets its end. */
void stall_finish(struct stall *s, uint64_t ts_ns);

bool stall_stuck(const struct stall *s);
uint32_t stall_count(const struct stall *s);
/* The newest stall, or NULL; all that are kept, *n of them, oldest first. */
const struct stall_period *stall_last(const struct stall *s);
const struct stall_period *stall_periods(const struct stall *s, size_t *n);
/*
 * When any clock moved last: content, calls, turns or a useful system call; the start of the watch
 * if none did.
 */
uint64_t stall_last_progress(const struct stall *s);

/*
 * Since when an open call is silent: its last content where that is read (a stream's pings do not
 * count), else its last byte, else the request.
 */
uint64_t call_silent_since(const struct call *c);
#endif
