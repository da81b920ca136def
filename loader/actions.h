/* SPDX-License-Identifier: BSD-2-Clause */
/* What is done on stuck, by any source of a live target: alert commands, signals, probes. Results come as EV_ACTION. */
#ifndef ACTIONS_H
#define ACTIONS_H
#include <sys/types.h>
#include "errand.h"
#include "roots.h"
#include "socket_act.h"
#include "source.h"

struct actions {
	const struct roots *roots; /* who gets the signals; the caller's */
	event_fn emit;
	void *ctx;
	struct errands errands;
	struct socket_acts sockets;
};

/* As source->act (source.h). */
void actions_do(struct actions *a, const struct source_action *what);
/* Tells of what has come since; never waits. */
void actions_reap(struct actions *a);
/* Breaks off what goes on at sockets, settings put back (see socket_act.h); alert commands and webhooks are waited
 * for a little, then go on without us. To be called before EV_END, may be called again. */
void actions_stop(struct actions *a);

#endif
