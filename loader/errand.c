/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One child watches over each errand and reports through a pipe. It holds no descriptor of ours: kernel
 * programs and locks that we let go of must not live on in it.
 */
#include "errand.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/own.h"
#include "webhook.h"

#define REPORT_FD 3 /* in the child: the pipe, and nothing above it */
/* Three tries of 10 s, two pauses and a margin: only a resolver that ignores its limits gets there. */
#define WEBHOOK_S 45

/* Smaller than PIPE_BUF: arrives whole or not at all. */
struct report {
	int result;
	char text[ERRAND_TEXT_MAX];
};

/* ---- In the child ---- */

static void __attribute__((noreturn)) command_exec(char *text)
{
	char *save = NULL, *command = strtok_r(text, "\n", &save), *line, *plain, *path;
	sigset_t none;

	setpgid(0, 0);
	/* what we ignore or block a command would, too */
	signal(SIGPIPE, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
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

static uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Its wait status, or -ETIMEDOUT. SIGCHLD is blocked: it waits for us to ask. */
static int command_wait(pid_t pid, unsigned limit_ms)
{
	uint64_t now = clock_ms(), until = now + limit_ms;
	sigset_t child;
	int status;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	for (; now < until; now = clock_ms()) {
		struct timespec left = { (time_t)((until - now) / 1000),
			                 (long)((until - now) % 1000) * 1000000 };

		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		sigtimedwait(&child, NULL, &left);
	}
	return waitpid(pid, &status, WNOHANG) == pid ? status : -ETIMEDOUT;
}

static void command_run(char *text, unsigned limit_ms, struct report *r)
{
	pid_t pid = fork();

	if (pid == 0)
		command_exec(text);
	if (pid < 0) {
		r->result = -errno;
		snprintf(r->text, sizeof(r->text), "the alert command could not be started");
		return;
	}
	setpgid(pid, pid); /* here, too: whoever comes first */
	r->result = command_wait(pid, limit_ms);
	if (r->result >= 0) {
		snprintf(r->text, sizeof(r->text), "the alert command ended");
		return;
	}
	kill(-pid, SIGKILL);
	waitpid(pid, NULL, 0);
	snprintf(r->text, sizeof(r->text),
	         "the alert command still ran after %g s: its process group was killed",
	         limit_ms / 1000.0);
}

/* What talks to a network needs no privileges. */
static int privileges_drop(void)
{
	uid_t uid;
	gid_t gid;

	if (!own_user(&uid, &gid))
		return 0;
	if (setgroups(1, &gid) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		return -errno;
	return 0;
}

static void webhook_run(char *text, struct report *r)
{
	char *body = strchr(text, '\n');

	if (!body) {
		r->result = -EINVAL;
		snprintf(r->text, sizeof(r->text), "nothing to post");
		return;
	}
	*body++ = '\0';
	r->result = privileges_drop();
	if (r->result < 0)
		snprintf(r->text, sizeof(r->text),
		         "nothing was posted: root's privileges could not be given up");
	else
		r->result = webhook_post(text, body, r->text, sizeof(r->text));
}

static void __attribute__((noreturn))
child(enum action_kind kind, const char *text, unsigned limit_ms, int report_fd)
{
	struct report r = { 0 };
	char *copy = strdup(text);

	/* Ctrl-C at our terminal is for us */
	setsid();
	if (report_fd != REPORT_FD)
		dup3(report_fd, REPORT_FD, O_CLOEXEC);
	close_range(REPORT_FD + 1, ~0u, 0);
	if (!copy) {
		r.result = -ENOMEM;
	} else if (kind == ACTION_ALERT) {
		command_run(copy, limit_ms, &r);
	} else {
		alarm(WEBHOOK_S);
		webhook_run(copy, &r);
	}
	if (write(REPORT_FD, &r, sizeof(r)) != (ssize_t)sizeof(r))
		_exit(1); /* nobody is there any more to read it */
	_exit(0);
}

/* ---- Here ---- */

static int start(struct errand *x, enum action_kind kind, const char *text, unsigned limit_ms)
{
	sigset_t sigchld, before;
	int ends[2], err = 0;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	sigemptyset(&sigchld);
	sigaddset(&sigchld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &sigchld, &before); /* in the child for good */
	x->pid = fork();
	if (x->pid == 0)
		child(kind, text, limit_ms, ends[1]);
	if (x->pid < 0)
		err = -errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(ends[1]);
	x->kind = kind;
	x->fd = ends[0];
	if (err) {
		x->pid = 0;
		close(x->fd);
	}
	return err;
}

int errands_start(struct errands *e, enum action_kind kind, const char *text)
{
	for (size_t i = 0; i < ERRANDS_MAX; i++)
		if (!e->list[i].pid)
			return start(&e->list[i], kind, text,
			             e->command_ms ? e->command_ms : ERRAND_COMMAND_MS);
	return -EBUSY;
}

/* Its result, if it has come. */
static void reap(struct errand *x, errand_done *done, void *ctx)
{
	struct report r = { 0 };
	ssize_t n = read(x->fd, &r, sizeof(r));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != (ssize_t)sizeof(r)) {
		r.result = x->kind == ACTION_WEBHOOK ? -ETIMEDOUT : -EPROTO;
		snprintf(r.text, sizeof(r.text), "the child that did it was killed");
	}
	r.text[sizeof(r.text) - 1] = '\0';
	close(x->fd);
	waitpid(x->pid, NULL, 0); /* it has closed its end: it is leaving */
	x->pid = 0;
	done(ctx, x->kind, r.result, r.text);
}

void errands_reap(struct errands *e, errand_done *done, void *ctx)
{
	for (size_t i = 0; i < ERRANDS_MAX; i++)
		if (e->list[i].pid)
			reap(&e->list[i], done, ctx);
}

void errands_leave(struct errands *e, int wait_ms, errand_done *done, void *ctx)
{
	uint64_t until = clock_ms() + (uint64_t)wait_ms;

	for (size_t i = 0; i < ERRANDS_MAX; i++) {
		struct errand *x = &e->list[i];
		struct pollfd p = { .fd = x->fd, .events = POLLIN };
		uint64_t now = clock_ms();

		if (!x->pid)
			continue;
		poll(&p, 1, now < until ? (int)(until - now) : 0);
		reap(x, done, ctx);
		if (!x->pid)
			continue;
		close(x->fd);
		x->pid = 0;
		done(ctx, x->kind, -EINPROGRESS,
		     "it was not done when the watch ended, and goes on");
	}
}
