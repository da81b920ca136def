/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * native PORT [COMMAND...]: threads that wait in known functions; one asked a Redis at PORT, which is expected never to answer.
 * Prints a line of JSON when all of them wait: {"event": "ready", "pid", "child", "threads": {name: {"tid", "functions": [its
 * own, innermost first]}}}. child: runs COMMAND, ends with this. Ends with its standard input.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define APART __attribute__((noinline, noclone))
#define THREADS 8

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static int pipe_fds[2], store;
static volatile int
	kept; /* what comes after a call keeps it from being the caller's last, which leaves no frame */

APART static void in_futex(void)
{
	pthread_mutex_lock(&held);
	kept++;
}

APART static void in_read(void)
{
	char c;

	kept += (int)read(pipe_fds[0], &c, 1);
}

APART static void in_sleep(void)
{
	kept += nanosleep(&(struct timespec){ 100000, 0 }, NULL);
}

APART static void in_recv(void)
{
	char c;

	kept += (int)recv(store, &c, 1, 0);
}

APART static void in_epoll(void)
{
	struct epoll_event e;
	int fd = epoll_create1(0);

	while (epoll_wait(fd, &e, 1, -1) < 0) /* what stops the process wakes this */
		kept++;
}

/* More than what one copy of a stack holds, and a frame of unknown size on top (alloca: the frame is found by a register). */
APART static void in_large(size_t n)
{
	volatile char *room = __builtin_alloca(n);

	room[0] = 1;
	in_sleep();
	kept += room[0];
}

APART static void in_recursion(int deep)
{
	if (deep)
		in_recursion(deep - 1);
	else
		in_sleep();
	kept++;
}

static void on_signal(int signo)
{
	in_read();
	kept += signo;
}

APART static void in_handler(void)
{
	kept += pthread_kill(pthread_self(), SIGUSR1);
}

static const struct waiter {
	const char *name, *functions; /* innermost first */
	int call;
} waiters[THREADS] = {
	{ "futex", "in_futex", SYS_futex },
	{ "read", "in_read", SYS_read },
	{ "sleep", "in_sleep", SYS_clock_nanosleep },
	{ "recv", "in_recv", SYS_recvfrom },
	{ "epoll", "in_epoll", SYS_epoll_wait },
	{ "large", "in_sleep in_large", SYS_clock_nanosleep },
	{ "recursion", "in_sleep in_recursion", SYS_clock_nanosleep },
	{ "handler", "in_read on_signal in_handler", SYS_read },
};
static pid_t tids[THREADS];

static void *wait_in(void *arg)
{
	size_t i = (size_t)(const struct waiter *)arg - (size_t)waiters;

	i /= sizeof(waiters[0]);
	__atomic_store_n(&tids[i], (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	switch (i) {
	case 0:
		in_futex();
		break;
	case 1:
		in_read();
		break;
	case 2:
		in_sleep();
		break;
	case 3:
		in_recv();
		break;
	case 4:
		in_epoll();
		break;
	case 5:
		in_large(600000);
		break;
	case 6:
		in_recursion(200);
		break;
	case 7:
		in_handler();
		break;
	}
	return NULL;
}

/* Is the thread in its system call? /proc/PID/task/TID/syscall says "running" until it is. */
static bool waits(size_t i)
{
	pid_t tid = __atomic_load_n(&tids[i], __ATOMIC_SEQ_CST);
	char path[64];
	int call = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
	f = tid ? fopen(path, "re") : NULL;
	if (f && fscanf(f, "%d", &call) != 1)
		call = -1;
	if (f)
		fclose(f);
	return call == waiters[i].call;
}

static pid_t run(char **command)
{
	pid_t child = fork();

	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(open("/dev/null", O_RDWR), STDOUT_FILENO);
	execvp(command[0], command);
	_exit(EXIT_FAILURE);
}

static int ask(const char *port)
{
	static const char ping[] = "*1\r\n$4\r\nPING\r\n";
	struct sockaddr_in a = { .sin_family = AF_INET,
		                 .sin_port = htons((uint16_t)atoi(port)),
		                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) ||
	    send(fd, ping, sizeof(ping) - 1, 0) != sizeof(ping) - 1)
		exit(EXIT_FAILURE);
	return fd;
}

static void say(pid_t child)
{
	printf("{\"event\": \"ready\", \"pid\": %d, \"child\": %d, \"threads\": {", getpid(),
	       child);
	for (size_t i = 0; i < THREADS; i++) {
		char list[128];

		snprintf(list, sizeof(list), "%s", waiters[i].functions);
		printf("%s\"%s\": {\"tid\": %d, \"functions\": [", i ? ", " : "", waiters[i].name,
		       tids[i]);
		for (char *p = strtok(list, " "), *first = p; p; p = strtok(NULL, " "))
			printf("%s\"%s\"", p == first ? "" : ", ", p);
		printf("]}");
	}
	printf("}}\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	pthread_t thread;
	char c;

	if (argc < 2 || pipe2(pipe_fds, O_CLOEXEC))
		return EXIT_FAILURE;
	store = ask(argv[1]);
	signal(SIGUSR1, on_signal);
	pthread_mutex_lock(&held);
	for (size_t i = 0; i < THREADS; i++)
		if (pthread_create(&thread, NULL, wait_in, (void *)&waiters[i]))
			return EXIT_FAILURE;
	for (size_t i = 0; i < THREADS; i++)
		while (!waits(i))
			sched_yield();
	say(argc > 2 ? run(argv + 2) : 0);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	_exit(EXIT_SUCCESS);
}
