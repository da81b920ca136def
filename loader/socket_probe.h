/* SPDX-License-Identifier: BSD-2-Clause */
/* The acts of socket_act.h themselves, as they are done in a process of their own: they take seconds. */
#ifndef SOCKET_PROBE_H
#define SOCKET_PROBE_H
#include "source.h"

#define SOCKET_PROBES 3     /* unanswered ones that prove a path dead */
#define SOCKET_TEXT_MAX 640 /* of a result, for people */

/* Socket options of TCP, as getsockopt() tells them. */
struct keepalive {
	int on, idle_s, interval_s, count;
	int user_timeout_ms; /* while it is set it decides instead of the count */
};

struct socket_result {
	int result; /* as in struct ev_action */
	char text[SOCKET_TEXT_MAX];
};

/* What the caller is told while a probe goes on. */
struct probe_watch {
	int stop_fd; /* readable or closed: break off */
	/* before the settings are changed: whoever outlives us must be able to put them back */
	void (*saved)(void *ctx, const struct keepalive *old);
	void *ctx;
};

/* Enters the socket's network namespace: only for a process that ends afterwards. */
void socket_probe(const struct source_action *a, const struct probe_watch *w,
                  struct socket_result *to);
void socket_unstick(const struct source_action *a, struct socket_result *to);

/* Puts settings back into the socket a names, if it is still there. 0 or -errno. */
int socket_restore(const struct source_action *a, const struct keepalive *old);

#endif
