/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errands: the user's alert command and the webhook, each in a child of ours with a time limit that holds
 * also when we are gone by then. They never hold up the stream of events, and what came of one is told
 * when it has come.
 */
#ifndef ERRAND_H
#define ERRAND_H
#include <sys/types.h>

#include "event.h"

#define ERRANDS_MAX 8 /* at once: an alert a stall, none of which takes longer than its limit */
#define ERRAND_COMMAND_MS \
	60000 /* a mail or a message takes seconds; a command that hangs must end */
#define ERRAND_TEXT_MAX 256

struct errand {
	pid_t pid; /* 0: none */
	int fd;    /* where its result comes from */
	enum action_kind kind;
};

/* Begin with zeroes. */
struct errands {
	struct errand list[ERRANDS_MAX];
	unsigned command_ms; /* limit of a command, 0: ERRAND_COMMAND_MS */
};

/* result and text: as in struct ev_action. */
typedef void errand_done(void *ctx, enum action_kind kind, int result, const char *text);

/*
 * ACTION_ALERT: text is a shell command, then lines NAME=value for its environment. It runs in a process
 * group of its own, once; after its limit the group is killed. ACTION_WEBHOOK: text is a URL, a line feed
 * and the JSON to post (webhook.h); it is done as the user behind sudo. 0, or -errno: not begun.
 */
int errands_start(struct errands *e, enum action_kind kind, const char *text);
/* Tells of those that are done; never waits. */
void errands_reap(struct errands *e, errand_done *done, void *ctx);
/*
 * The stream ends: waits up to wait_ms, then tells of those that are not done with -EINPROGRESS. They go
 * on without us.
 */
void errands_leave(struct errands *e, int wait_ms, errand_done *done, void *ctx);
#endif
