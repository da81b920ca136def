/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Progress for people: a bar on a terminal (the looks of tqdm), lines at intervals elsewhere, or nothing. Pure: all times
 * come from the caller, who asks as often as it likes. Names of calls, sessions and units may come from the target, they
 * are cleaned here.
 *
 *	run:  42%|████▏     | 42/100 [00:31<00:43, 1.35turn/s, llm=812ms storage=3.1ms, in flight: openai 2.3s]
 *	run: 42turn [00:31, 1.35turn/s, llm=812ms storage=3.1ms, in flight: 3, oldest openai 2.3s]
 *
 * Of a run that counts in a unit of its own, the bar is of units; when a total of turns is known too, of turns:
 *
 *	run:  28%|██▊       | 2/7 tests [00:31<01:10, 14 turns, 2.21s/turn, in flight: openai 2.3s]
 *	run:  40%|████      | 14/35 [00:31<00:46, 2/7 tests, 2.21s/turn, in flight: openai 2.3s]
 *
 * Below it, when several sessions are in flight or one has a total of its own, a line each, as many as the height allows: how long
 * its turn has been open, and its oldest call in flight.
 *
 *	run:  28%|██▊       | 2/7 tests [00:31<01:10, 14 turns, 2.21s/turn, in flight: 12, oldest openai 2.3s]
 *	  test_3:  40%|████      | 4/10 [open 2.4s, openai 2.3s]
 *	  test_4: 7turn                 [open 1.1s]
 *	  test_5: no turn open
 *	  … and 10 more
 *
 * A session keeps its line while it lives. One without a turn open gives it up after a second, when somebody needs it or
 * nobody is below. Where so many are in flight that some have no line, one whose turn takes much longer than those of all
 * that have one pushes the youngest out. Times left are at the pace since the watch began (of units: since the first was
 * seen), '?' while that is not known, and when the run is stuck.
 *
 * Where there is no terminal:
 *
 *	whystuck: run: 2/7 tests (28%) [00:40<01:10, 14 turns, ...]; 5 sessions in flight: s1 12.3s, s2 4.1s, s4 2.0s and 2 more
 */
#ifndef OUT_PROGRESS_H
#define OUT_PROGRESS_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "turn.h"

enum progress_style {
	STYLE_NONE, /* nothing at all */
	STYLE_LINES, /* not a terminal: no control characters; after 10 s, then every 30 s, and one at the end */
	STYLE_BAR, /* redrawn at most ten times a second and when the terminal's size changes, restored around log lines */
};

struct progress_config {
	enum progress_style style;
	FILE *out;                /* stays the caller's */
	bool utf8;                /* else the bar is of # and -, and all text is ASCII */
	int (*width)(void *ctx);  /* columns of the terminal now; NULL, or <= 0: 80 */
	int (*height)(void *ctx); /* lines of the terminal now; NULL, or <= 0: 24 */
	void *ctx;
	uint64_t start_ns; /* when the watch began: elapsed time and rate count from here */
};

/* A session (or a batch's member) with a turn in flight, or one whose turns are counted against a total of its own. */
struct progress_row {
	const char *name;      /* session_id */
	uint64_t turns, total; /* closed; expected, 0 unknown */
	uint64_t turn_ns;      /* when its open turn began, 0 none open */
	bool at_least;         /* it began then or earlier */
	bool unnamed;         /* name is who works on it: how many turns went before is not known */
	const char *waits_on; /* endpoint of its oldest open call, NULL none */
	uint64_t waits_ns;    /* since when, 0 not known */
};

/* Rows the pipeline hands over at most; how many are drawn is the terminal's height's business. */
#define PROGRESS_ROWS_MAX 64

/* What there is to show. Strings need to live for the call only. */
struct progress_state {
	/* Units the run itself counts in ("tests", "sessions"), NULL: turns alone. What was done before whystuck came is
	 * told apart by the first state that has a unit. */
	const char *unit;
	uint64_t units_done, units_total; /* units_total 0: unknown */
	const struct progress_row *rows;  /* sessions in flight, oldest turn first */
	size_t nrows, rows_more;          /* and how many more there are */
	uint64_t turns;                   /* closed since the watch began */
	uint64_t total;                   /* expected of them, 0 unknown */
	int64_t llm_ns, storage_ns;       /* of the newest turn closed, -1 none yet */
	uint32_t in_flight;               /* LLM and storage calls that are open */
	const char *oldest;               /* name of the one open longest, when in_flight > 0 */
	uint64_t oldest_ns;               /* when it began */
	bool oldest_at_least;             /* it began then or earlier */
	bool oldest_slow;                 /* it is open longer than the run's own p99, and alive */
	uint64_t stuck_ns;                /* since when the run is stuck, 0 is not */
	const char *stuck_on;             /* "llm:openai no byte"; NULL not known */
	uint64_t stuck_on_ns;             /* since when that holds, 0 not known */
};

struct progress;

/* NULL with errno set. */
struct progress *progress_new(const struct progress_config *c);
void progress_free(struct progress *p);

/* Redraws or writes a line if it is time to. A clock that steps back shows nothing new. */
void progress_update(struct progress *p, const struct progress_state *s, uint64_t now_ns);

/* Leaves the last state on a line of its own; nothing is written after it. */
void progress_finish(struct progress *p, const struct progress_state *s, uint64_t now_ns);

/* Make room for a line of text on the same terminal, and come back; they fit log_set_bar(). */
void progress_hide(void *progress);
void progress_show(void *progress);

/* What --verbose says of a turn, cut to n > 0 bytes: "s1 turn 3 user: 1.24 s = llm 1.10 s + storage 12 ms + other 128 ms,
 * ttft 402 ms, tokens 1200 in 84 out, ok". A '?' stands for what was not seen. */
void progress_turn_line(char *buf, size_t n, const struct turn *t);
#endif
