/* SPDX-License-Identifier: BSD-2-Clause */
/* Which command lines match, and whose never do. */
#include "match.h"

#include <errno.h>
#include <sys/wait.h>

#include "test.h"

/* A process that is no child of ours, with that argument; its PID is read from the pipe. */
static uint32_t stranger(const char *argument, const int end[2])
{
	int told[2];
	pid_t pid = 0, middle;

	if (pipe(told))
		abort();
	middle = fork();
	if (middle == 0) {
		pid = fork();
		if (pid == 0) {
			close(2); /* it misses a file */
			/* until the test closes the other end */
			dup2(end[0], 0);
			close(end[1]);
			execl("/bin/cat", "cat", "-", argument, (char *)NULL);
			_exit(1);
		}
		if (write(told[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		_exit(0);
	}
	waitpid(middle, NULL, 0);
	if (read(told[0], &pid, sizeof(pid)) != sizeof(pid))
		abort();
	close(told[0]);
	close(told[1]);
	return (uint32_t)pid;
}

static void check_join(void)
{
	char line[] = "python3\0bench.py\0a b\0\0", one[] = "x", none[1] = "";

	TEST("arguments are joined by blanks");
	match_join(line, sizeof(line) - 1);
	CHECK(strcmp(line, "python3 bench.py a b") == 0);
	match_join(one, 1);
	CHECK(strcmp(one, "x") == 0);
	match_join(none, 0);
	CHECK(*none == '\0');
}

static bool soon_fits(const struct match *m, uint32_t pid)
{
	/* until it has become the program */
	for (int i = 0; i < 2000 && !match_fits(m, pid); i++)
		usleep(1000);
	return match_fits(m, pid);
}

static void check_fits(void)
{
	char why[128] = "", pattern[64], argument[64];
	struct match *m;
	int end[2];
	uint32_t pid;
	pid_t child;

	TEST("an expression that is none is said");
	CHECK(!match_new("(", why, sizeof(why)) && errno == EINVAL && *why);

	snprintf(argument, sizeof(argument), "match-%d-x", getpid());
	snprintf(pattern, sizeof(pattern), "^cat - match-%d-[x]$", getpid());
	m = match_new(pattern, why, sizeof(why));
	if (!m || pipe(end))
		abort();
	TEST("a stranger whose command line matches fits, its like does not");
	pid = stranger(argument, end);
	CHECK(soon_fits(m, pid));
	match_free(m);
	m = match_new("^cat match", why, sizeof(why));
	CHECK(!match_fits(m, pid));
	match_free(m);

	TEST("neither do we ourselves, nor those who started us, nor what we start");
	m = match_new(".", why, sizeof(why));
	CHECK(match_fits(m, pid));
	CHECK(!match_fits(m, (uint32_t)getpid()) && !match_fits(m, (uint32_t)getppid()));
	child = fork();
	if (child == 0) {
		dup2(end[0], 0);
		close(end[1]);
		execl("/bin/cat", "cat", (char *)NULL);
		_exit(1);
	}
	CHECK(!match_fits(m, (uint32_t)child));
	TEST("kernel threads and processes that are not there have no command line");
	CHECK(!match_fits(m, 2) && !match_fits(m, 0));
	match_free(m);
	close(end[1]);
	close(end[0]);
	waitpid(child, NULL, 0);
}

int main(void)
{
	check_join();
	check_fits();
	return DONE();
}
