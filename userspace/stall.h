/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stall detection: several progress clocks over the whole process tree, because no single one
 * tells stuck from slow.
 *
 * Stuck, with T the timeout: content, calls and turns have all been silent for T, and
 * - an LLM or storage call that is not meant to wait is open and itself silent for T, or
 * - calls keep failing: three or more since any of the three moved, the newest less than T/2 ago, or
 * - the threads that matter made no useful system call for T, started no call in it, no call that is meant
 *   to wait (BLPOP) was open in it, and no others worked: used 5 % of a CPU over T and made useful calls.
 * CPU time is no progress: a run that only computes for T is stuck, as cpu_bound.
 * Stuck, too, is a turn loop: 20 or more LLM calls succeeded, the newest less than T/2 ago, and for T no
 * turn began or ended and the threads that matter wrote no output.
 *
 * The clocks: content (what LLMs and stores send and are sent), calls (one succeeded), turns (one
 * ended), output (bytes written to files, pipes and terminals), syscalls (useful ones), cpu (5 % of one
 * used), any_syscall (by any thread). A clock that never moved counts from the start of the watch.
 * A call that fails moves none, nor do the bytes of a request that follows a failure: a retry loop is no
 * progress.
 *
 * Threads that matter are those that ever made an LLM or storage call and the main threads of their
 * processes; all threads while none is known. Others tick for ever: progress bars' monitors redraw,
 * exporters report, health checks go on. So output of a thread that only writes logs does not count.
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
	bool lasted;   /* until the watch ended: end_ns is when we stopped looking */
	uint64_t since_ns, end_ns; /* end_ns 0: it lasts */
	/* The clock that expired, "content" and so on: of those silent for T the last to move. */
	const char *clock;
	const char *verdict; /* as stall_name() was told, NULL not yet */
};

enum stall_change { STALL_NONE, STALL_BEGAN, STALL_ENDED };

/* timeout_ns 0: never stuck. NULL: out of memory. */
struct stall *stall_new(uint64_t timeout_ns, uint64_t start_ns);
void stall_free(struct stall *s);

/*
 * Content of an LLM's reply came. Not: heartbeats, pings and keep-alive comments, errors, and what
 * belongs to a call that is meant to wait.
 */
void stall_content(struct stall *s, uint64_t ts_ns);
/* Other bytes of the LLM or storage call c moved, which may yet turn out to fail: a request, a store's reply. */
void stall_bytes(struct stall *s, const struct call *c, uint64_t ts_ns);
/*
 * A call opened and ended. Only classes LLM and STORAGE do anything, so any call may be given. A
 * call that is meant to wait is no progress when it ends (an idle worker polls its queue for
 * ever). One that ended because we stopped looking did not fail: do not report it.
 */
void stall_call_started(struct stall *s, const struct call *c);
void stall_call_done(struct stall *s, const struct call *c);
/* A connection could not be made: a failed call, if the thread is one of those that matter. */
void stall_connect_failed(struct stall *s, uint32_t pid, uint32_t tid, uint64_t ts_ns);
void stall_turn_opened(struct stall *s, uint64_t ts_ns);
/* A turn ended. */
void stall_turn(struct stall *s, uint64_t ts_ns);
void stall_activity(struct stall *s, const struct ev_activity *a);
void stall_thread_exit(struct stall *s, uint32_t pid, uint32_t tid);
/* Nobody is there to be stuck: all clocks count from here on, a stall that lasts is over at the next tick. */
void stall_rest(struct stall *s, uint64_t ts_ns);

/*
 * At every EV_TICK, with the n calls now open (any class). STALL_BEGAN once per stall; STALL_ENDED
 * at the first tick after content, calls or turns moved again, of a turn loop after a turn or output.
 */
enum stall_change stall_tick(struct stall *s, uint64_t now_ns, const struct call *const *open,
                             size_t n);
/*
 * After a closer look at a stall that just began: one of the calls turns out to be meant to wait, and beside
 * it nothing hangs. Then there was no stall, as if it never began.
 */
bool stall_excused(struct stall *s, const struct call *const *open, size_t n);
/* The run is over: a stall that lasts gets its end. */
void stall_finish(struct stall *s, uint64_t ts_ns);
/* What the newest stall turned out to be; verdict lives for ever. */
void stall_name(struct stall *s, const char *verdict);

bool stall_stuck(const struct stall *s);
uint32_t stall_count(const struct stall *s);
/* The newest stall, or NULL; all that are kept, *n of them, oldest first. */
const struct stall_period *stall_last(const struct stall *s);
const struct stall_period *stall_periods(const struct stall *s, size_t *n);
/* When each clock moved last, 0: not since the start of the watch. */
struct stall_clocks {
	uint64_t content_ns, calls_ns, turns_ns, output_ns, syscalls_ns, cpu_ns, any_syscall_ns;
	uint64_t turns;            /* ended */
	uint64_t calls_since_turn; /* LLM calls that succeeded since the last one ended */
	uint64_t failed;           /* calls since the last progress */
};
void stall_clocks(const struct stall *s, struct stall_clocks *c);
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
/* Comments and pings came in a reply to an LLM whose beginning was not seen: other bytes are taken for content. */
bool call_gets_filler(const struct call *c);
#endif
