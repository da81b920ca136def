/* SPDX-License-Identifier: BSD-2-Clause */
/* A pidfd tells for sure that a process has ended, also when its record was lost. */
#include "roots.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void roots_begin(struct roots *r, bool forget)
{
	memset(r, 0, sizeof(*r));
	r->forget = forget;
	r->code = -1;
}

void roots_end(struct roots *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->fds[i] >= 0)
			close(r->fds[i]);
	r->n = 0;
}

int roots_add(struct roots *r, uint32_t pid)
{
	int fd;

	if (r->n == ROOTS_MAX) {
		r->beyond++;
		return -EMFILE;
	}
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return -errno;
	if (!r->first)
		r->first = pid;
	r->pids[r->n] = pid;
	r->fds[r->n++] = fd;
	return 0;
}

static size_t find(const struct roots *r, uint32_t pid)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->pids[i] == pid && r->fds[i] >= 0)
			return i;
	return r->n;
}

bool roots_has(const struct roots *r, uint32_t pid)
{
	return find(r, pid) < r->n;
}

static void end_at(struct roots *r, size_t i)
{
	close(r->fds[i]);
	r->fds[i] = -1;
	if (!r->forget)
		return;
	r->n--;
	r->pids[i] = r->pids[r->n];
	r->fds[i] = r->fds[r->n];
}

void roots_ended(struct roots *r, uint32_t pid, int code)
{
	size_t i = find(r, pid);

	/* its pidfd may have told before */
	if (pid == r->first && r->code == -1)
		r->code = code;
	if (i < r->n)
		end_at(r, i);
}

void roots_look(struct roots *r)
{
	struct pollfd p[ROOTS_MAX];

	for (size_t i = 0; i < r->n; i++)
		p[i] = (struct pollfd){ .fd = r->fds[i], .events = POLLIN };
	if (poll(p, r->n, 0) <= 0)
		return;
	for (size_t i = r->n; i-- > 0;)
		if (r->fds[i] >= 0 && p[i].revents)
			end_at(r, i);
}

size_t roots_live(const struct roots *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->fds[i] >= 0;
	return n;
}
