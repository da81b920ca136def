/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What --probe and --unstick do to one socket of the target. Both are intrusive and happen only when asked for:
 *
 * ACTION_PROBE sets keepalive to one probe a second on the socket (through a duplicate of the target's descriptor) and
 * watches whether they are answered. An answer: the path works, and the connection goes on as if nothing had been. No answer
 * to SOCKET_PROBES: the path is dead, and then the kernel FAILS THE CONNECTION, so the client's call ends with an error.
 * The socket's own settings are put back in every case. When probes stay unanswered, a fresh connection to the same address
 * is tried from the same network namespace, and closed at once.
 *
 * ACTION_UNSTICK shuts the socket down, both ways: the client's call ends as if the other end had closed the connection.
 *
 * pid, fd and sock (the inode) of struct source_action name the socket; when they do not agree nothing is done.
 *
 *	source->act(source, &(struct source_action){ .kind = ACTION_PROBE, .pid = pid, .fd = fd, .sock = inode });
 *	... source->poll(source, ms) until an EV_ACTION of that kind came: after 8 s, or more where a round trip takes
 *	half a second and more
 */
#ifndef SOCKET_ACT_H
#define SOCKET_ACT_H
#include <sys/types.h>
#include "socket_probe.h"
#include "source.h"

#define SOCKET_ACTS_MAX 4 /* at once */

/* One that goes on, in a child process: nobody else waits for it. */
struct socket_act {
	pid_t child; /* 0: none */
	int peer;    /* its reports */
	struct source_action what;
	struct keepalive saved; /* the target's settings while they are changed */
	bool changed;
};

/* Begin with zeroes. */
struct socket_acts {
	struct socket_act acts[SOCKET_ACTS_MAX];
};

/* Begins one; every result, also that it could not begin, is emitted as one EV_ACTION of h.pid = pid. */
void socket_acts_start(struct socket_acts *s, const struct source_action *a, event_fn emit,
                       void *ctx);
/* Emits what has come; never waits. */
void socket_acts_poll(struct socket_acts *s, event_fn emit, void *ctx);
/* Breaks off what goes on, settings put back; waits a moment for it. */
void socket_acts_stop(struct socket_acts *s, event_fn emit, void *ctx);

#endif
