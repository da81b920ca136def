/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_target: does what it is asked on stdin and says how long it took, in ns, on stdout.
 *   syscalls N       N rounds of three short system calls
 *   gaps MS          looks at the clock for so long: the longest time between two looks
 *   messages N RATE  N questions and answers on a TCP connection, both ends its own, at most RATE a second (0: unpaced)
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct ends {
	int client, server;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void check(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(EXIT_FAILURE);
}

static void tcp_open(struct ends *e)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	check(listener >= 0 && bind(listener, (struct sockaddr *)&a, n) == 0 &&
	              listen(listener, 1) == 0 &&
	              getsockname(listener, (struct sockaddr *)&a, &n) == 0,
	      "listening");
	e->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	check(e->client >= 0 && connect(e->client, (struct sockaddr *)&a, n) == 0, "connecting");
	e->server = accept(listener, NULL, NULL);
	check(e->server >= 0, "accepting");
	close(listener);
}

static void syscalls(uint64_t n)
{
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC),
	    null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	char buf[64];

	check(zero >= 0 && null >= 0, "opening /dev/zero and /dev/null");
	for (uint64_t i = 0; i < n; i++) {
		check(syscall(SYS_getppid) >= 0, "getppid");
		check(read(zero, buf, sizeof(buf)) == sizeof(buf), "reading");
		check(write(null, buf, sizeof(buf)) == sizeof(buf), "writing");
	}
	close(zero);
	close(null);
}

static void pass(int from, int to, const char *text)
{
	char buf[64];
	ssize_t n = (ssize_t)strlen(text);

	check(write(from, text, (size_t)n) == n, "sending");
	check(recv(to, buf, (size_t)n, MSG_WAITALL) == n, "receiving");
}

/* A burst a millisecond: a pause for each message would cost more than the message. */
static void messages(const struct ends *e, uint64_t n, uint64_t rate)
{
	uint64_t start = now_ns();

	for (uint64_t i = 0; i < n; i++) {
		uint64_t due = rate ? start + i * 1000000000u / rate : 0;

		if (due > now_ns() + 1000000) {
			struct timespec pause = { .tv_nsec = 1000000 };

			nanosleep(&pause, NULL);
		}
		pass(e->client, e->server, "*1\r\n$4\r\nPING\r\n");
		pass(e->server, e->client, "+PONG\r\n");
	}
}

static uint64_t gaps(uint64_t ms)
{
	uint64_t now = now_ns(), end = now + ms * 1000000u, longest = 0;

	while (now < end) {
		uint64_t last = now;

		now = now_ns();
		if (now - last > longest)
			longest = now - last;
	}
	return longest;
}

int main(void)
{
	struct ends e;
	char line[128];

	tcp_open(&e);
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		uint64_t start = now_ns(), n = 0, rate = 0, result = 0;

		if (sscanf(line, "syscalls %lu", &n) == 1)
			syscalls(n);
		else if (sscanf(line, "messages %lu %lu", &n, &rate) == 2)
			messages(&e, n, rate);
		else if (sscanf(line, "gaps %lu", &n) == 1)
			result = gaps(n);
		else
			return 2;
		printf("%lu\n", result ? result : now_ns() - start);
		fflush(stdout);
	}
	return 0;
}
