/* SPDX-License-Identifier: BSD-2-Clause */
/* Children that act on sockets, and what they report. */
#include "socket_act.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "record.h"

#define STOP_MS 2500 /* for one that is broken off to put settings back and report */

/* One message on the socket between us. */
struct report {
	bool done; /* result holds; else saved: the settings are about to be changed */
	struct keepalive saved;
	struct socket_result result;
};

/* ---- in the child ---- */

static void report_saved(void *ctx, const struct keepalive *old)
{
	struct report r = { .saved = *old };

	/* nobody there to put them back if we die: then change nothing */
	if (send(*(const int *)ctx, &r, sizeof(r), MSG_NOSIGNAL) != sizeof(r))
		_exit(1);
}

/* No signal ends it before the settings are put back: it lasts seconds, and its parent breaks it off by closing. */
static void child(const struct source_action *a, int peer)
{
	struct report r = { .done = true };
	struct probe_watch w = { peer, report_saved, &peer };
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	if (peer > 0)
		close_range(0, (unsigned)peer - 1, 0);
	close_range((unsigned)peer + 1, ~0u, 0);
	if (a->kind == ACTION_PROBE)
		socket_probe(a, &w, &r.result);
	else
		socket_unstick(a, &r.result);
	send(peer, &r, sizeof(r), MSG_NOSIGNAL);
	_exit(0);
}

/* ---- in the parent ---- */

static void tell(const struct source_action *a, int result, const char *text, event_fn emit,
                 void *ctx)
{
	struct record r;
	struct ev_action *e = record_begin(&r, EV_ACTION, sizeof(*e), a->pid, a->pid);

	e->kind = a->kind;
	e->result = result;
	record_add(&e->h, text, strlen(text));
	emit(ctx, &e->h);
}

static void begin(struct socket_act *s, const struct source_action *a, event_fn emit, void *ctx)
{
	int pair[2], err = 0;
	char text[128];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		err = errno;
	else {
		s->child = fork();
		if (s->child == 0)
			child(a, pair[1]);
		err = s->child < 0 ? errno : 0;
		close(pair[1]);
	}
	if (!err) {
		s->peer = pair[0];
		s->what = *a;
		s->changed = false;
		return;
	}
	s->child = 0;
	snprintf(text, sizeof(text), "no process for it could be started: %s; nothing was done",
	         strerror(err));
	tell(a, -err, text, emit, ctx);
}

void socket_acts_start(struct socket_acts *s, const struct source_action *a, event_fn emit,
                       void *ctx)
{
	for (size_t i = 0; i < SOCKET_ACTS_MAX; i++)
		if (!s->acts[i].child) {
			begin(&s->acts[i], a, emit, ctx);
			return;
		}
	tell(a, -EBUSY, "too many probes are still going on; nothing was done", emit, ctx);
}

static void end(struct socket_act *s)
{
	close(s->peer);
	waitpid(s->child, NULL, 0);
	s->child = 0;
}

/* It ended without a result: somebody killed it. */
static void end_killed(struct socket_act *s, event_fn emit, void *ctx)
{
	char text[160] = "the process that did it was killed";
	int err = s->changed ? socket_restore(&s->what, &s->saved) : 0;

	if (err)
		snprintf(text, sizeof(text),
		         "the process that did it was killed, and the socket's keepalive settings "
		         "could not be restored: %s",
		         strerror(-err));
	else if (s->changed)
		snprintf(text, sizeof(text),
		         "the process that did it was killed; the socket's keepalive settings are "
		         "restored");
	tell(&s->what, -EINTR, text, emit, ctx);
	end(s);
}

/* Takes one message if there is one. */
static void take(struct socket_act *s, event_fn emit, void *ctx)
{
	struct report r;
	ssize_t n = recv(s->peer, &r, sizeof(r), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != sizeof(r)) {
		end_killed(s, emit, ctx);
	} else if (!r.done) {
		s->saved = r.saved;
		s->changed = true;
	} else {
		r.result.text[SOCKET_TEXT_MAX - 1] = '\0';
		tell(&s->what, r.result.result, r.result.text, emit, ctx);
		end(s);
	}
}

void socket_acts_poll(struct socket_acts *s, event_fn emit, void *ctx)
{
	for (size_t i = 0; i < SOCKET_ACTS_MAX; i++)
		if (s->acts[i].child)
			take(&s->acts[i], emit, ctx);
}

void socket_acts_stop(struct socket_acts *s, event_fn emit, void *ctx)
{
	for (size_t i = 0; i < SOCKET_ACTS_MAX; i++)
		if (s->acts[i].child)
			shutdown(s->acts[i].peer, SHUT_WR);
	for (size_t i = 0; i < SOCKET_ACTS_MAX; i++) {
		struct socket_act *a = &s->acts[i];

		while (a->child) {
			struct pollfd p = { .fd = a->peer, .events = POLLIN };
			int n = poll(&p, 1, STOP_MS);

			if (n < 0 && errno == EINTR)
				continue;
			if (n > 0) {
				take(a, emit, ctx);
				continue;
			}
			/* it goes on by itself, to its end */
			tell(&a->what, -ETIMEDOUT, "broken off; its end was not waited for", emit,
			     ctx);
			close(a->peer);
			a->child = 0;
		}
	}
}
