/* SPDX-License-Identifier: BSD-2-Clause */
/* Two walks over descriptors: of the listed processes for the pipes they have, then of all for who holds the ends. */
#include "holders.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "procfs.h"
#include "record.h"
#include "snapshot.h"

#define ENDS_MAX 65536   /* pipes and sockets looked for: more than a large tree has, 2 MiB here */
#define HOLDERS_MAX 256  /* of one end: a log pipe may be everybody's */
#define CLOCK_EVERY 64   /* descriptors between two looks at the clock */
#define FD_TARGET_MAX 64 /* "pipe:[N]", "socket:[N]"; what is longer is neither */

struct end {
	uint64_t ino;   /* what its holders have */
	uint64_t own;   /* what the listed process has; of a pipe the same */
	uint32_t pipe;  /* inode numbers of pipes and sockets are told apart */
	uint32_t found; /* holders so far */
};

struct holders {
	struct end *ends; /* sorted once all are known */
	size_t n, room;
	uint64_t deadline_ns;
	event_fn emit;
	void *ctx;
	unsigned since_clock;
	bool late;        /* deadline_ns is over */
	unsigned refused; /* processes whose descriptors may not be looked at */
	unsigned beyond;  /* ends and holders left out */
	struct record record;
};

static bool is_late(struct holders *h)
{
	if (!h->late && h->since_clock++ % CLOCK_EVERY == 0)
		h->late = now_ns() >= h->deadline_ns;
	return h->late;
}

/* ---- descriptors ---- */

/* Inode number in "pipe:[N]" or "socket:[N]"; false: it is something else. */
static bool end_parse(const char *target, uint64_t *ino, uint32_t *pipe)
{
	size_t skip;

	*pipe = strncmp(target, "pipe:[", 6) == 0;
	skip = *pipe ? 6 : strncmp(target, "socket:[", 8) == 0 ? 8 : 0;
	if (!skip || !isdigit((unsigned char)target[skip]))
		return false;
	*ino = strtoull(target + skip, NULL, 10);
	return true;
}

typedef void (*fd_fn)(struct holders *h, uint32_t pid, int fd, uint64_t ino, uint32_t pipe);

static void each_end(struct holders *h, uint32_t pid, fd_fn fn)
{
	char path[64], target[FD_TARGET_MAX];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	d = opendir(path);
	if (!d && (errno == EACCES || errno == EPERM))
		h->refused++;
	while (d && !is_late(h) && (e = readdir(d))) {
		ssize_t n;
		uint64_t ino;
		uint32_t pipe;

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		n = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);
		if (n <= 0)
			continue;
		target[n] = '\0';
		if (end_parse(target, &ino, &pipe))
			fn(h, pid, atoi(e->d_name), ino, pipe);
	}
	if (d)
		closedir(d);
}

/* ---- what is looked for ---- */

static void end_add(struct holders *h, uint64_t ino, uint64_t own, uint32_t pipe)
{
	if (h->n == ENDS_MAX) {
		h->beyond++;
		return;
	}
	if (h->n == h->room) {
		size_t room = h->room ? h->room * 2 : 64;
		struct end *more = realloc(h->ends, room * sizeof(*more));

		if (!more) {
			h->beyond++;
			return;
		}
		h->ends = more;
		h->room = room;
	}
	h->ends[h->n++] = (struct end){ .ino = ino, .own = own, .pipe = pipe };
}

static void pipe_add(struct holders *h, uint32_t pid, int fd, uint64_t ino, uint32_t pipe)
{
	(void)pid;
	(void)fd;
	/* one process often has both ends, or one end twice in a row */
	if (pipe && !(h->n && h->ends[h->n - 1].pipe && h->ends[h->n - 1].ino == ino))
		end_add(h, ino, ino, 1);
}

static int end_order(const void *a, const void *b)
{
	const struct end *x = a, *y = b;

	if (x->pipe != y->pipe)
		return x->pipe < y->pipe ? -1 : 1;
	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return x->own < y->own ? -1 : x->own > y->own;
}

static void ends_sort(struct holders *h)
{
	size_t n = 0;

	if (h->n)
		qsort(h->ends, h->n, sizeof(*h->ends), end_order);
	for (size_t i = 0; i < h->n; i++)
		if (!n || end_order(&h->ends[n - 1], &h->ends[i]))
			h->ends[n++] = h->ends[i];
	h->n = n;
}

/* The first of that inode: others follow where several sockets have the same other end. */
static size_t end_find(const struct holders *h, uint64_t ino, uint32_t pipe)
{
	struct end key = { .ino = ino, .pipe = pipe };
	size_t lo = 0, hi = h->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (end_order(&h->ends[mid], &key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* ---- who holds it ---- */

/* 1 can read, 2 can write; 0 it is gone. */
static uint32_t fd_mode(uint32_t pid, int fd)
{
	char name[32], buf[512], *flags;

	snprintf(name, sizeof(name), "fdinfo/%d", fd);
	if (procfs_read(pid, name, buf, sizeof(buf)) <= 0)
		return 0;
	flags = strstr(buf, "flags:");
	if (!flags)
		return 0;
	switch (strtoul(flags + 6, NULL, 8) & O_ACCMODE) {
	case O_RDONLY:
		return 1;
	case O_WRONLY:
		return 2;
	default:
		return 3;
	}
}

static void holder_tell(struct holders *h, struct end *end, uint32_t pid, int fd)
{
	struct ev_holder *e = record_begin(&h->record, EV_HOLDER, sizeof(*e), pid, pid);
	char comm[32];
	ssize_t n;

	e->ino = end->own;
	e->peer = end->ino;
	e->fd = fd;
	e->mode = fd_mode(pid, fd);
	if (!e->mode)
		return;
	n = procfs_read(pid, "comm", comm, sizeof(comm));
	if (n > 0)
		record_add(&e->h, comm, strcspn(comm, "\n"));
	end->found++;
	h->emit(h->ctx, &e->h);
}

static void end_look(struct holders *h, uint32_t pid, int fd, uint64_t ino, uint32_t pipe)
{
	for (size_t i = end_find(h, ino, pipe);
	     i < h->n && h->ends[i].ino == ino && h->ends[i].pipe == pipe; i++) {
		if (h->ends[i].found < HOLDERS_MAX)
			holder_tell(h, &h->ends[i], pid, fd);
		else
			h->beyond++;
	}
}

struct others {
	struct holders *h;
	const uint32_t *pids;
	size_t n;
};

/*
 * What we hold ourselves, here and in the process this one was forked from, came from the shell that
 * started us, and is nobody's other end.
 */
static bool is_observer(uint32_t pid)
{
	struct stat own, other;
	char path[32];

	if (pid != (uint32_t)getppid())
		return pid == (uint32_t)getpid();
	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	return stat("/proc/self/exe", &own) == 0 && stat(path, &other) == 0 &&
	       own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

static void other_visit(void *ctx, uint32_t pid)
{
	struct others *o = ctx;

	if (is_observer(pid))
		return;
	if (!procfs_listed(o->pids, o->n, pid) && !is_late(o->h))
		each_end(o->h, pid, end_look);
}

static void missing_tell(struct holders *h)
{
	char why[160];

	if (h->late)
		snprintf(why, sizeof(why),
		         "the time to look at all descriptors of this machine was over; who holds "
		         "the other ends of pipes and unix sockets is not known in full");
	else if (h->refused)
		snprintf(why, sizeof(why),
		         "the descriptors of %u processes may not be looked at; one of them may "
		         "hold an end of a pipe or unix socket",
		         h->refused);
	else if (h->beyond)
		snprintf(why, sizeof(why),
		         "there are too many pipes and unix sockets or holders of them: %u were "
		         "left out",
		         h->beyond);
	else
		return;
	h->emit(h->ctx, record_missing(&h->record, 0, "holders", why));
}

void holders_take(const uint32_t *pids, size_t n, const struct socket_pair *pairs, size_t npairs,
                  uint64_t deadline_ns, event_fn emit, void *ctx)
{
	struct holders h = { .deadline_ns = deadline_ns, .emit = emit, .ctx = ctx };

	for (size_t i = 0; i < npairs; i++)
		end_add(&h, pairs[i].peer, pairs[i].ino, 0);
	for (size_t i = 0; i < n; i++)
		each_end(&h, pids[i], pipe_add);
	ends_sort(&h);
	for (size_t i = 0; i < n && h.n; i++)
		each_end(&h, pids[i], end_look);
	if (h.n)
		procfs_each_pid(other_visit, &(struct others){ &h, pids, n });
	missing_tell(&h);
	free(h.ends);
}
