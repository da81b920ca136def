/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What loader/socket_act.h does, from a command line: socket_act probe|unstick PID FD INODE. Prints each result as
 * "RESULT TEXT"; leaves when it came. SIGTERM breaks off.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "socket_act.h"

static volatile sig_atomic_t stop;
static int results;

static void on_signal(int signo)
{
	stop = signo;
}

static void show(void *ctx, const struct event *e)
{
	const struct ev_action *a = (const struct ev_action *)e;

	(void)ctx;
	printf("%d %.*s\n", a->result, (int)(e->size - sizeof(*a)), a->text);
	fflush(stdout);
	results++;
}

int main(int argc, char **argv)
{
	struct sigaction act = { .sa_handler = on_signal };
	struct socket_acts acts = { 0 };
	struct source_action a = { 0 };

	if (argc != 5)
		return 2;
	sigaction(SIGTERM, &act, NULL);
	a.kind = strcmp(argv[1], "probe") == 0 ? ACTION_PROBE : ACTION_UNSTICK;
	a.pid = (uint32_t)strtoul(argv[2], NULL, 10);
	a.fd = atoi(argv[3]);
	a.sock = strtoull(argv[4], NULL, 10);
	socket_acts_start(&acts, &a, show, NULL);
	while (!results && !stop) {
		poll(NULL, 0, 20);
		socket_acts_poll(&acts, show, NULL);
	}
	if (stop)
		socket_acts_stop(&acts, show, NULL);
	return results == 1 ? 0 : 1;
}
