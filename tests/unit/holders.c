/* SPDX-License-Identifier: BSD-2-Clause */
/* Who has the other end, found among this machine's processes: ourselves and a child. */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "holders.h"
#include "snapshot.h"
#include "test.h"

#define FAR_NS 10000000000ull

static struct {
	struct ev_holder rows[64];
	unsigned n, missing;
	char why[256];
} got;

static void take(void *ctx, const struct event *e)
{
	(void)ctx;
	if (e->type == EV_HOLDER && got.n < 64)
		memcpy(&got.rows[got.n++], e, sizeof(struct ev_holder));
	else if (e->type == EV_MISSING) {
		got.missing++;
		snprintf(got.why, sizeof(got.why), "%.*s",
		         (int)(e->size - sizeof(struct ev_missing)),
		         ((const struct ev_missing *)e)->text + sizeof("holders"));
	}
}

static uint64_t inode(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

/* Rows that say so; mode 0: any. */
static unsigned said(uint64_t ino, uint64_t peer, uint32_t pid, int fd, uint32_t mode)
{
	unsigned n = 0;

	for (unsigned i = 0; i < got.n; i++)
		n += got.rows[i].ino == ino && got.rows[i].peer == peer &&
		     got.rows[i].h.pid == pid && got.rows[i].fd == fd && got.rows[i].mode == mode;
	return n;
}

static void look(uint32_t pid, const struct socket_pair *pairs, size_t npairs, uint64_t end_ns)
{
	memset(&got, 0, sizeof(got));
	holders_take(&pid, 1, pairs, npairs, end_ns, take, NULL);
}

int main(void)
{
	int fds[2], ends[2], gate[2];
	struct socket_pair pairs[2];
	uint32_t me = (uint32_t)getpid();
	uint64_t pipe_ino;
	char c;
	pid_t child;

	if (pipe(fds) || pipe(gate) || socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		return 1;
	pipe_ino = inode(fds[0]);
	pairs[0] = (struct socket_pair){ inode(ends[0]), inode(ends[1]) };
	pairs[1] = pairs[0];
	child = fork();
	if (child == 0) {
		close(fds[0]);
		close(ends[0]);
		close(gate[0]);
		if (write(gate[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(fds[1]);
	close(ends[1]);
	if (read(gate[0], &c, 1) != 1)
		return 1;

	TEST("both ends of a pipe are found, each with what it is good for");
	look(me, pairs, 2, now_ns() + FAR_NS);
	CHECK(said(pipe_ino, pipe_ino, me, fds[0], 1) == 1);
	CHECK(said(pipe_ino, pipe_ino, (uint32_t)child, fds[1], 2) == 1);

	TEST("of a unix socket the other end is found, once, though the socket was named twice");
	CHECK(said(pairs[0].ino, pairs[0].peer, (uint32_t)child, ends[1], 3) == 1);
	CHECK(said(pairs[0].ino, pairs[0].peer, me, ends[0], 3) == 0);

	TEST("with no time left nothing is invented, and the reason is given");
	look(me, pairs, 2, now_ns());
	CHECK(got.n == 0 && got.missing == 1 && strstr(got.why, "time") != NULL);

	TEST("a process that is gone gives nothing");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	look((uint32_t)child, NULL, 0, now_ns() + FAR_NS);
	CHECK(got.n == 0 && got.missing == 0);
	return DONE();
}
