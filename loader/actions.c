/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands and webhooks are errands (errand.h), whose end is told later; signals go through the targets' pidfds, so never
 * to a stranger.
 */
#include "actions.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "record.h"

#define ERRANDS_WAIT_MS 3000 /* for results of alerts when the watch ends: most take less */

static void tell(struct actions *a, uint32_t pid, enum action_kind kind, int result, int signo,
                 const char *text)
{
	struct record r;
	struct ev_action *e = record_begin(&r, EV_ACTION, sizeof(*e), pid, pid);

	e->kind = kind;
	e->result = result;
	e->signo = signo;
	record_add(&e->h, text, strlen(text));
	a->emit(a->ctx, &e->h);
}

static void errand_told(void *ctx, enum action_kind kind, int result, const char *text)
{
	struct actions *a = ctx;

	tell(a, a->roots->first, kind, result, 0, text);
}

static void errand_start(struct actions *a, const struct source_action *what)
{
	int err = errands_start(&a->errands, what->kind, what->text);

	if (err)
		tell(a, a->roots->first, what->kind, err, 0,
		     err == -EBUSY ? "not begun: too many alerts are still running"
		                   : "could not be begun");
}

static void signal_send(struct actions *a, int signo)
{
	const struct roots *r = a->roots;
	char text[96];

	if (!roots_live(r))
		tell(a, r->first, ACTION_STOP, -ESRCH, signo, "the target has ended");
	for (size_t i = 0; i < r->n; i++)
		if (r->fds[i] >= 0)
			tell(a, r->pids[i], ACTION_STOP,
			     syscall(SYS_pidfd_send_signal, r->fds[i], signo, NULL, 0) ? -errno
			                                                               : signo,
			     signo, "signal sent to the target");
	if (!r->beyond)
		return;
	snprintf(text, sizeof(text), "%llu further processes that matched get no signals",
	         (unsigned long long)r->beyond);
	tell(a, r->first, ACTION_STOP, -EMFILE, signo, text);
}

void actions_do(struct actions *a, const struct source_action *what)
{
	if (what->kind == ACTION_STOP)
		signal_send(a, what->signo);
	else if (what->kind == ACTION_PROBE || what->kind == ACTION_UNSTICK)
		socket_acts_start(&a->sockets, what, a->emit, a->ctx);
	else
		errand_start(a, what);
}

void actions_reap(struct actions *a)
{
	errands_reap(&a->errands, errand_told, a);
	socket_acts_poll(&a->sockets, a->emit, a->ctx);
}

void actions_stop(struct actions *a)
{
	errands_leave(&a->errands, ERRANDS_WAIT_MS, errand_told, a);
	socket_acts_stop(&a->sockets, a->emit, a->ctx);
}
