/* SPDX-License-Identifier: BSD-2-Clause */
/* Errands run in children: what comes back, what a time limit does, and what is never held up. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "errand.h"
#include "test.h"
#include "webhook.h"

static struct told {
	int n, kind, result;
	char text[ERRAND_TEXT_MAX];
} told;

static void done(void *ctx, enum action_kind kind, int result, const char *text)
{
	(void)ctx;
	told.n++;
	told.kind = (int)kind;
	told.result = result;
	snprintf(told.text, sizeof(told.text), "%s", text);
}

static struct told run(struct errands *e, enum action_kind kind, const char *text)
{
	memset(&told, 0, sizeof(told));
	CHECK(errands_start(e, kind, text) == 0);
	while (!told.n) {
		usleep(2000);
		errands_reap(e, done, NULL);
	}
	return told;
}

static char file[] = "/tmp/errand.XXXXXX";

static const char *content(void)
{
	static char buf[256];
	int fd = open(file, O_RDONLY);
	ssize_t n = read(fd, buf, sizeof(buf) - 1);

	close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

static void commands(void)
{
	struct errands e = { .command_ms = 20000 };
	char text[256];
	struct told t;

	TEST("a command's wait status comes back");
	t = run(&e, ACTION_ALERT, "exit 3\n");
	CHECK(t.kind == ACTION_ALERT && WIFEXITED(t.result) && WEXITSTATUS(t.result) == 3);
	t = run(&e, ACTION_ALERT, "kill -9 $$\n");
	CHECK(WIFSIGNALED(t.result) && WTERMSIG(t.result) == SIGKILL);
	t = run(&e, ACTION_ALERT, "/nonexistent/command\n");
	CHECK(WEXITSTATUS(t.result) == 127);

	TEST("it has its environment, and the file's path as its argument");
	snprintf(text, sizeof(text), "echo \"$1 $X\" > %s\nWHYSTUCK_RUN_ERROR=/a b\nX=y z\n", file);
	t = run(&e, ACTION_ALERT, text);
	CHECK(t.result == 0 && !strcmp(content(), "/a b y z\n"));

	TEST("it gets none of our descriptors, and blocks no signal");
	int kept = open("/", O_RDONLY);
	snprintf(text, sizeof(text), "ls /proc/self/fd | tr '\\n' ' ' > %s\n", file);
	run(&e, ACTION_ALERT, text);
	CHECK(!strcmp(content(), "0 1 2 3 ")); /* 3 is the directory that ls reads */
	snprintf(text, sizeof(text), "grep SigBlk /proc/self/status > %s\n", file);
	run(&e, ACTION_ALERT, text);
	CHECK(!strcmp(content(), "SigBlk:\t0000000000000000\n"));
	close(kept);
}

static void limits(void)
{
	struct errands e = { .command_ms = 100 };
	char text[256];
	struct told t;

	TEST("a command beyond its limit is killed with all its children, and that is said");
	snprintf(text, sizeof(text), "sleep 1000 & echo $! > %s; wait\n", file);
	t = run(&e, ACTION_ALERT, text);
	CHECK(t.result == -ETIMEDOUT && strstr(t.text, "0.1 s") && strstr(t.text, "killed"));
	pid_t pid = atoi(content());
	bool gone = false;
	for (int i = 0; i < 1000 && pid > 0 && !gone; i++) {
		char stat[64], line[256] = "";
		int fd;

		snprintf(stat, sizeof(stat), "/proc/%d/stat", pid);
		fd = open(stat, O_RDONLY);
		gone = fd < 0 || read(fd, line, sizeof(line) - 1) <= 0 || strstr(line, ") Z ");
		close(fd);
		usleep(2000);
	}
	CHECK(gone);

	TEST("reaping never waits; when the watch ends those under way are told of, and go on");
	memset(&told, 0, sizeof(told));
	e.command_ms = 5000;
	CHECK(errands_start(&e, ACTION_ALERT, "sleep 2;\n") == 0);
	errands_reap(&e, done, NULL);
	CHECK(told.n == 0);
	errands_leave(&e, 10, done, NULL);
	CHECK(told.n == 1 && told.result == -EINPROGRESS);
	errands_leave(&e, 10, done, NULL);
	CHECK(told.n == 1);

	TEST("one that ends in time is waited for");
	CHECK(errands_start(&e, ACTION_ALERT, "exit 4\n") == 0);
	errands_leave(&e, 20000, done, NULL);
	CHECK(told.n == 2 && WEXITSTATUS(told.result) == 4);

	TEST("more than fit at once are refused");
	for (int i = 0; i < ERRANDS_MAX; i++)
		CHECK(errands_start(&e, ACTION_ALERT, "sleep 1;\n") == 0);
	CHECK(errands_start(&e, ACTION_ALERT, "true\n") == -EBUSY);
	errands_leave(&e, 20000, done, NULL);
	CHECK(told.n == 2 + ERRANDS_MAX);
}

static void webhooks(void)
{
	struct errands e = { 0 };
	struct told t;

	TEST("a URL that cannot be used fails at once, and no secret of it is said");
	t = run(&e, ACTION_WEBHOOK, "gopher://user:secret@host/token?key=1\n{}");
	CHECK(t.kind == ACTION_WEBHOOK && t.result < 0);
	CHECK(!strstr(t.text, "secret") && !strstr(t.text, "token") && !strstr(t.text, "key"));
	if (webhook_available())
		CHECK(t.result == -EPROTONOSUPPORT && strstr(t.text, "gopher://host:"));
	t = run(&e, ACTION_WEBHOOK, "http://host/");
	CHECK(t.result == -EINVAL);
}

int main(void)
{
	close(mkstemp(file));
	commands();
	limits();
	webhooks();
	unlink(file);
	return DONE();
}
