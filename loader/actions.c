/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands run in children, whose end is told later; signals go through the target's pidfd, so never to a stranger. */
#include "actions.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "record.h"

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

/* text: the command, then NAME=value lines. */
static pid_t alert_run(const char *text)
{
	pid_t pid = fork();

	if (pid == 0) {
		char *copy = strdup(text), *save = NULL, *command, *line, *plain, *path;
		sigset_t none;

		/* what we ignore a command would ignore, too */
		signal(SIGPIPE, SIG_DFL);
		signal(SIGINT, SIG_DFL);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		setsid();
		command = copy ? strtok_r(copy, "\n", &save) : NULL;
		while (command && (line = strtok_r(NULL, "\n", &save)))
			putenv(line);
		path = getenv("WHYSTUCK_RUN_ERROR");
		/* a plain command gets the path as its last argument; a script of its own has it as $1 */
		if (command && !strpbrk(command, "$&;|<>#`(){}\\'\"") &&
		    asprintf(&plain, "%s \"$1\"", command) > 0)
			command = plain;
		if (command)
			execl("/bin/sh", "sh", "-c", command, "sh", path ? path : "", (char *)NULL);
		_exit(127);
	}
	return pid;
}

static void alert_start(struct actions *a, const char *text)
{
	for (size_t i = 0; i < ALERTS_MAX; i++) {
		if (a->alerts[i])
			continue;
		a->alerts[i] = alert_run(text);
		if (a->alerts[i] < 0) {
			a->alerts[i] = 0;
			tell(a, ACTION_ALERT, -errno, 0, "the alert command could not be started");
		}
		return;
	}
	tell(a, ACTION_ALERT, -EBUSY, 0, "too many alert commands are still running");
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
		alert_start(a, what->text);
}

void actions_reap(struct actions *a)
{
	for (size_t i = 0; i < ALERTS_MAX; i++) {
		int status;

		if (!a->alerts[i] || waitpid(a->alerts[i], &status, WNOHANG) != a->alerts[i])
			continue;
		a->alerts[i] = 0;
		tell(a, ACTION_ALERT, status, 0, "the alert command ended");
	}
	socket_acts_poll(&a->sockets, a->emit, a->ctx);
}

void actions_stop(struct actions *a)
{
	socket_acts_stop(&a->sockets, a->emit, a->ctx);
}
