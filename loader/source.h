/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where events come from: the live kernel (source_bpf.c; source_proc.c without BPF) or a recording (source_replay.c). Siblings
 * behind one interface; what a source cannot do (a replay runs no command, sends no signal) it does not do: the results are in its events.
 */
#ifndef SOURCE_H
#define SOURCE_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "event.h"

/* Valid during the call only. */
typedef void (*event_fn)(void *ctx, const struct event *e);

/* Something to be done outside; what came of it arrives as EV_ACTION. */
struct source_action {
	enum action_kind kind;
	int signo;        /* stop: the signal */
	const char *text; /* alert: the command, then lines NAME=value for its environment */
	uint32_t pid;     /* probe, unstick: the process, ... */
	int fd;           /* ... its descriptor, ... */
	uint64_t sock;    /* ... and the socket's inode: when they do not agree nothing is done */
};

struct source {
	/* Delivers what is there, waits up to timeout_ms for the first. 0, 1 at the end of the stream (after EV_END), or
	 * -errno. */
	int (*poll)(struct source *s, int timeout_ms);
	/* Asks for a snapshot: EV_SNAPSHOT ... EV_SNAPSHOT arrive through the callback before it returns. 0 or -errno. */
	int (*inspect)(struct source *s);
	/* The result comes as EV_ACTION, of alert, probe and unstick by a later poll(); nothing of *a is kept. */
	void (*act)(struct source *s, const struct source_action *a);
	/* Capture no more than n bytes of one operation on this socket from now on. */
	void (*capture)(struct source *s, uint64_t sock, uint32_t n);
	/* Of one write to this file (struct ev_file) no more than n bytes from now on; 0: none of its writes is reported. */
	void (*follow)(struct source *s, uint64_t ino, uint64_t dev, uint32_t n);
	/* Ends the stream: what is on its way is delivered, then EV_END. */
	void (*finish)(struct source *s, enum end_reason why);
	/* Detaches and frees. NULL is fine for the caller to skip. */
	void (*close)(struct source *s);
};

struct source_config {
	uint32_t pid;         /* bpf: the target; of several the first, 0: none yet (match) */
	const uint32_t *pids; /* bpf: all of them, npids; NULL: pid alone */
	size_t npids;
	const char *
		match; /* bpf: also every process, now and later, whose command line this extended regular
			    * expression matches; NULL none. The stream then does not end with the processes. */
	bool files;  /* bpf: report what is written to regular files */
	bool output; /* bpf: report what is written to descriptors 1 and 2 */
	bool tree;   /* bpf: their descendants too */
	bool look; /* bpf: one look: the first snapshot does not wait for the search for TLS code */
	const char *program; /* bpf: the file the target is about to run, NULL: it runs already */
	uint32_t tick_ms;    /* bpf: between EV_TICKs */
	const char *refused; /* proc: why there is no BPF, for EV_MISSING; NULL: not known */
	event_fn on_event;
	void *ctx;
};

/* Attaches. NULL with errno set, and a sentence for people in why[n]. */
struct source *source_bpf_open(const struct source_config *c, char *why, size_t n);

/* The same from /proc and sock_diag alone, for where BPF is refused: looks, nothing of what happens between them. Needs no
 * privileges; what lacks them is said to be missing (EV_MISSING). */
struct source *source_proc_open(const struct source_config *c, char *why, size_t n);

/* Opens a recording. NULL with errno set and why[n]. */
struct source *source_replay_open(const char *path, event_fn on_event, void *ctx, char *why,
                                  size_t n);

#endif
