/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run_error.json: everything that is known of a stuck run, as one document
 * ("whystuck.run_error/1"). What was not seen is null, and "unseen" says why; rows that found no
 * room are counted in "omitted".
 */
#ifndef OUT_RUN_ERROR_H
#define OUT_RUN_ERROR_H
#include <jansson.h>

#include "diagnosis.h"
#include "turn.h"

#define RUN_ERROR_RECENT_MAX 20 /* calls that are done, the newest ones */
#define RUN_ERROR_ROWS_MAX \
	2000 /* processes, threads, sockets, calls in flight, each: a document people still open */

/* All pointers stay the caller's. */
struct run_error_input {
	const struct look *look;
	const struct diagnosis *diagnosis; /* made from the same look */
	uint64_t wall_offset_ns;           /* CLOCK_REALTIME - CLOCK_MONOTONIC, from EV_HELLO */
	uint64_t last_event_ns;            /* newest sign of progress, 0 none */
	double stuck_timeout_minutes;
	const struct turn *last_turn, *open_turn; /* NULL none */
	const struct call_view *recent;           /* done, oldest first */
	size_t nrecent;
	const struct ev_action *const *actions;
	size_t nactions;
};

/* The document, a new reference. NULL: out of memory. */
json_t *run_error_json(const struct run_error_input *in);

/* Into a document that was made before something was done: the actions as they are now; and what a probe of the
 * connection of its verdict said (text), which proves it dead or clears it. */
void run_error_actions(json_t *doc, const struct run_error_input *in);
void run_error_probed(json_t *doc, bool dead, struct bytes text);

/*
 * Writes doc as file name in directory dirfd: whole or not at all, mode 0600, on disk when this
 * returns. 0, or -errno with nothing left behind and an older file of that name untouched.
 */
int run_error_write(json_t *doc, int dirfd, const char *name);

/* RFC 3339 UTC with microseconds. */
#define TIMESTAMP_TEXT_MAX 40
const char *timestamp_text(uint64_t wall_ns, char buf[static TIMESTAMP_TEXT_MAX]);
#endif
