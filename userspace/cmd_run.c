/* SPDX-License-Identifier: BSD-2-Clause */
/* whystuck run -- CMD: starts CMD as the user behind sudo, watched from its first instruction, and ends with its status. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "session.h"
#include "watch.h"

#define STATUS_SIGNALLED 128

/* Back to the user who typed sudo: a program must not run as root because it is watched. */
static int drop_privileges(void)
{
	const char *u = getenv("SUDO_UID"), *g = getenv("SUDO_GID"), *name = getenv("SUDO_USER");

	if (geteuid() != 0 || !u || !g || !name || strcmp(u, "0") == 0)
		return 0;
	if (initgroups(name, (gid_t)atol(g)) || setgid((gid_t)atol(g)) || setuid((uid_t)atol(u)))
		return -errno;
	return 0;
}

/* The child: waits until it is watched, then becomes CMD. What fails is told through err_fd. */
static void become(char **argv, int go_fd, int err_fd)
{
	struct sigaction plain = { .sa_handler = SIG_DFL };
	char go;
	int err;

	sigaction(SIGINT, &plain, NULL);
	sigaction(SIGTERM, &plain, NULL);
	sigaction(SIGHUP, &plain, NULL);
	sigaction(SIGPIPE, &plain, NULL);
	if (read(go_fd, &go, 1) != 1)
		_exit(EXIT_ERROR);
	err = -drop_privileges();
	if (!err) {
		execvp(argv[0], argv);
		err = errno;
	}
	if (write(err_fd, &err, sizeof(err)) != sizeof(err))
		_exit(EXIT_ERROR);
	_exit(EXIT_ERROR);
}

static void pass_on(void *ctx)
{
	kill(*(pid_t *)ctx, SIGTERM);
}

/* CMD's exit status as shells give it; -1 when it is not known. */
static int child_status(pid_t pid)
{
	int status;
	pid_t got;

	while ((got = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
		;
	if (got != pid)
		return -1;
	return WIFSIGNALED(status) ? STATUS_SIGNALLED + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The file execvp() will take; "" when it will find none. */
static void find_program(const char *name, char *to, size_t n)
{
	const char *path = getenv("PATH");

	to[0] = '\0';
	if (strchr(name, '/') || !path) {
		snprintf(to, n, "%s", name);
		return;
	}
	while (*path) {
		size_t len = strcspn(path, ":");

		snprintf(to, n, "%.*s/%s", len ? (int)len : 1, len ? path : ".", name);
		if (access(to, X_OK) == 0)
			return;
		path += len + (path[len] == ':');
	}
	to[0] = '\0';
}

static int run_child(struct session *s, const struct options *o, const char *program, pid_t pid,
                     int go_fd, int err_fd)
{
	int err, status, own;
	const char *name;
	bool never_ran;
	ssize_t n;

	name = strrchr(o->argv[0], '/');
	if (!watch_attach(s, o, program, name ? name + 1 : o->argv[0])) {
		kill(pid, SIGKILL); /* still ours: it has not become CMD */
		waitpid(pid, NULL, 0);
		return EXIT_ERROR;
	}
	if (write(go_fd, "g", 1) != 1)
		log_warn("the command ended before it began");
	close(go_fd);
	n = read(err_fd, &err, sizeof(err)); /* ends when CMD has begun */
	if (n == sizeof(err))
		log_error("cannot run %s: %s", o->argv[0], strerror(err));
	never_ran = n == sizeof(err);
	session_loop(s, pass_on, &pid);
	status = child_status(pid);
	own = session_end(s);
	if (own == EXIT_ERROR || status < 0 || never_ran)
		return EXIT_ERROR;
	return status;
}

int cmd_run(struct options *o)
{
	int go[2], err[2], status;
	char program[4096];
	struct session *s;
	pid_t pid;

	log_open(o->log_level, stderr);
	if (!watch_privileged())
		return EXIT_ERROR;
	find_program(o->argv[0], program, sizeof(program));
	if (access(program, X_OK)) {
		log_error("cannot run %s: %s; nothing was started", o->argv[0],
		          program[0] ? strerror(errno) : "it is not in PATH");
		return EXIT_ERROR;
	}
	session_signals(true);
	if (pipe2(go, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) {
		log_error("cannot start %s: %s", o->argv[0], strerror(errno));
		return EXIT_ERROR;
	}
	pid = fork();
	if (pid < 0) {
		log_error("cannot start %s: %s", o->argv[0], strerror(errno));
		return EXIT_ERROR;
	}
	if (pid == 0) {
		close(go[1]);
		become(o->argv, go[0], err[1]);
	}
	close(go[0]);
	close(err[1]);
	o->pid = (uint32_t)pid;
	s = session_new(o, o->pid, false);
	if (s) {
		status = run_child(s, o, program, pid, go[1], err[0]);
	} else {
		close(go[1]); /* the child sees the end of file and leaves */
		waitpid(pid, NULL, 0);
		status = EXIT_ERROR;
	}
	session_free(s);
	close(err[0]);
	return status;
}
