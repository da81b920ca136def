/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands and webhooks are errands (errand.h), whose end is told later; signals go through the target's pidfd, so never
 * to a stranger.
 */
#include "actions.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "record.h"

#define ERRANDS_WAIT_MS 3000 /* for results of alerts when the watch ends: most take less */

static void tell(struct actions *a, enum action_kind kind, int result, int signo, const char *text)
{
	struct record r;
	struct ev_action *e = record_begin(&r, EV_ACTION, sizeof(*e), a->pid, a->pid);

	e->kind = kind;
	e->result = result;
	e->signo = signo;
	record_add(&e->h, text, strlen(text));
	a->emit(a->ctx, &e->h);
}

static void errand_told(void *ctx, enum action_kind kind, int result, const char *text)
{
	tell(ctx, kind, result, 0, text);
}

static void errand_start(struct actions *a, const struct source_action *what)
{
	int err = errands_start(&a->errands, what->kind, what->text);

	if (err)
		tell(a, what->kind, err, 0,
		     err == -EBUSY ? "not begun: too many alerts are still running"
		                   : "could not be begun");
}

static void signal_send(struct actions *a, int signo)
{
	long err = syscall(SYS_pidfd_send_signal, a->pidfd, signo, NULL, 0);

	tell(a, ACTION_STOP, err ? -errno : signo, signo, "signal sent to the target");
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
