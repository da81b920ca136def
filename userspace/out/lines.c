/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes whole lines, rotates, and has one child at a time compress what was rotated. NAME is never without a file that
 * its writer has locked: the new one gets its lock first and its name after.
 */
#include "out/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "out/rotated.h"

/* How long lines_close waits for what is compressed: a few files of the usual sizes. */
#define CLOSE_WAITS 50
#define CLOSE_WAIT_MS 100
/* A rotation that failed is tried again when the file has grown by this part of its size. */
#define RETRY_PART 8
/* A cut line longer than this was none of ours: the longest has some ten thousand bytes. */
#define TORN_MAX (1 << 20)

struct lines {
	int dirfd, fd;
	char name[NAME_MAX + 1];
	uint64_t rotate_size, rotate_keep;
	uint64_t size;      /* of the file */
	uint64_t rotate_at; /* the size it must not pass, as things are */
	bool torn;       /* a cut line could not be taken back: the next begins a line of its own */
	int error, said; /* of the last line, -errno or 0; as it was said */
	uint64_t written, unwritten, torn_bytes, unrotated, uncompressed;
	pid_t child;    /* compresses, 0 none */
	uint64_t tried; /* files up to this number were given to a child, or had been compressed */
	bool none_left; /* nothing beyond */
};

/* ---- opening ---- */

/* 0, -ESTALE when NAME has become another file meanwhile, or -errno. */
static int lock_named(const struct lines *l, int fd)
{
	struct stat mine, there;

	if (flock(fd, LOCK_EX | LOCK_NB) || fstat(fd, &mine))
		return -errno;
	if (!S_ISREG(mine.st_mode))
		return -EINVAL;
	if (fstatat(l->dirfd, l->name, &there, AT_SYMLINK_NOFOLLOW) ||
	    mine.st_ino != there.st_ino || mine.st_dev != there.st_dev)
		return -ESTALE;
	return 0;
}

static int open_named(const struct lines *l)
{
	int fd, err;

	do {
		fd = own_file(l->dirfd, l->name, O_RDWR | O_APPEND);
		if (fd < 0)
			return fd;
		err = lock_named(l, fd);
		if (err)
			close(fd);
	} while (err == -ESTALE); /* who had it has just rotated it */
	return err ? err : fd;
}

static bool is_whole(const char *p, size_t n)
{
	json_t *o = json_loadb(p, n, 0, NULL);
	bool whole = json_is_object(o);

	json_decref(o);
	return whole;
}

/* Gives a line that was cut its newline; where that fails the next line brings it. */
static void end_torn(struct lines *l)
{
	if (l->torn && write(l->fd, "\n", 1) == 1) {
		l->torn = false;
		l->size++;
	}
}

/* What follows the last newline: a whole line gets its newline, a cut one goes. */
static int mend_tail(struct lines *l)
{
	size_t n = l->size < TORN_MAX ? (size_t)l->size : TORN_MAX, tail = 0;
	char *buf = malloc(n + 1);
	ssize_t got;
	int err = 0;

	if (!buf)
		return -ENOMEM;
	got = pread(l->fd, buf, n, (off_t)(l->size - n));
	if (got != (ssize_t)n)
		err = got < 0 ? -errno : -EIO;
	while (!err && tail < n && buf[n - 1 - tail] != '\n')
		tail++;
	if (!err && tail == n && l->size > n)
		err = -EFBIG;
	if (!err && tail && is_whole(buf + n - tail, tail)) {
		l->torn = true;
		end_torn(l);
	} else if (!err && tail) {
		l->torn_bytes = tail;
		l->size -= tail;
		err = ftruncate(l->fd, (off_t)l->size) ? -errno : 0;
	}
	free(buf);
	return err;
}

/* Found out now, not when the first line is lost. A blank that stays when we are killed here is a cut line. */
static int probe(const struct lines *l)
{
	ssize_t n = write(l->fd, " ", 1);
	int err = n == 1 ? 0 : n < 0 ? -errno : -ENOSPC;

	return ftruncate(l->fd, (off_t)l->size) && !err ? -errno : err;
}

/* A watch that was killed while it rotated leaves a second name of NAME, and a new file without a name of its own. */
static void undo_rotation(const struct lines *l)
{
	char path[ROTATED_NAME_MAX];
	struct stat mine, there;
	int64_t n = rotated_newest(l->dirfd, l->name);

	snprintf(path, sizeof(path), ".%s.new", l->name);
	unlinkat(l->dirfd, path, 0);
	if (n <= 0)
		return;
	rotated_name(path, l->name, (uint64_t)n, "");
	if (fstat(l->fd, &mine) == 0 && fstatat(l->dirfd, path, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	    mine.st_ino == there.st_ino && mine.st_dev == there.st_dev)
		unlinkat(l->dirfd, path, 0);
}

static int begin(struct lines *l, bool anew)
{
	struct stat st;
	int err;

	undo_rotation(l);
	if (anew && ftruncate(l->fd, 0))
		return -errno;
	if (fstat(l->fd, &st))
		return -errno;
	l->size = (uint64_t)st.st_size;
	err = mend_tail(l);
	return err ? err : probe(l);
}

struct lines *lines_open(const struct lines_config *c)
{
	struct lines *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return NULL;
	l->dirfd = c->dirfd;
	l->rotate_size = l->rotate_at = c->rotate_size;
	l->rotate_keep = c->rotate_keep;
	snprintf(l->name, sizeof(l->name), "%s", c->name);
	l->fd = err = open_named(l);
	if (l->fd >= 0)
		err = begin(l, c->anew);
	if (err < 0) {
		if (l->fd >= 0)
			close(l->fd);
		free(l);
		errno = -err;
		return NULL;
	}
	lines_tend(l);
	return l;
}

/* ---- compressing ---- */

/* The child: keeps nothing of ours open, neither the file's lock nor what holds on to the kernel. */
static _Noreturn void compress(const struct lines *l, uint64_t n)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, plain = { .sa_handler = SIG_DFL };

	/* Ctrl-C ends the watch, not this */
	sigaction(SIGINT, &ignore, NULL);
	sigaction(SIGHUP, &ignore, NULL);
	sigaction(SIGQUIT, &ignore, NULL);
	sigaction(SIGTERM, &plain, NULL);
	setpriority(PRIO_PROCESS, 0, 19);
	if (dup2(l->dirfd, 0) != 0 || close_range(1, ~0U, 0) || open("/dev/null", O_WRONLY) != 1 ||
	    dup(1) != 2)
		_exit(1);
	_exit(rotated_compress(0, l->name, n) ? 1 : 0);
}

/* Has the oldest rotated file that waits compressed. Of one that failed the next watch takes care. */
static void compress_next(struct lines *l)
{
	int64_t n = rotated_next_plain(l->dirfd, l->name, l->tried);

	l->none_left = n <= 0;
	if (n <= 0)
		return;
	l->child = fork();
	if (l->child == 0)
		compress(l, (uint64_t)n);
	if (l->child < 0) { /* tried again when the next one is rotated */
		l->child = 0;
		l->none_left = true;
		return;
	}
	l->tried = (uint64_t)n;
}

void lines_tend(struct lines *l)
{
	int status = 0;

	if (l->child) {
		pid_t got = waitpid(l->child, &status, WNOHANG);

		if (got == 0 || (got < 0 && errno == EINTR))
			return;
		l->child = 0;
		l->uncompressed += got < 0 || status != 0;
		/* a file whose turn to go came meanwhile may be back */
		if (l->rotate_size && l->rotate_keep)
			rotated_prune(l->dirfd, l->name, l->rotate_keep);
	}
	if (!l->none_left)
		compress_next(l);
}

static void wait_for_child(const struct lines *l)
{
	struct pollfd p = { .fd = pidfd_open(l->child, 0), .events = POLLIN };

	poll(&p, 1, CLOSE_WAIT_MS);
	if (p.fd >= 0)
		close(p.fd);
}

void lines_close(struct lines *l)
{
	if (!l)
		return;
	lines_tend(l);
	for (int i = 0; l->child && i < CLOSE_WAITS; i++) {
		wait_for_child(l);
		lines_tend(l);
	}
	if (l->fd >= 0)
		close(l->fd);
	free(l);
}

/* ---- rotating ---- */

/* NAME becomes `to`, and `new` becomes NAME. 0, or -errno with NAME what it was. */
static int swap_names(const struct lines *l, const char *to, const char *new)
{
	int err;

	if (linkat(l->dirfd, l->name, l->dirfd, to, 0) == 0) {
		if (renameat(l->dirfd, new, l->dirfd, l->name) == 0)
			return 0;
		err = -errno;
		unlinkat(l->dirfd, to, 0);
		return err;
	}
	/* a file system without hard links: NAME is missing for a moment */
	if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)
		return -errno;
	if (renameat(l->dirfd, l->name, l->dirfd, to))
		return -errno;
	if (renameat(l->dirfd, new, l->dirfd, l->name) == 0)
		return 0;
	err = -errno;
	renameat(l->dirfd, to, l->dirfd, l->name);
	return err;
}

/* Whether lines go into the file that has the name; somebody may have moved or removed it. */
static int still_named(const struct lines *l)
{
	struct stat mine, there;

	if (fstat(l->fd, &mine) || fstatat(l->dirfd, l->name, &there, AT_SYMLINK_NOFOLLOW))
		return -errno;
	return mine.st_ino == there.st_ino && mine.st_dev == there.st_dev ? 0 : -ESTALE;
}

static int rotate_into(struct lines *l, const char *new)
{
	int64_t newest = rotated_newest(l->dirfd, l->name);
	char to[ROTATED_NAME_MAX];
	int fd, err;

	if (newest < 0 || (uint64_t)newest >= ROTATED_MAX)
		return newest < 0 ? (int)newest : -EOVERFLOW;
	rotated_name(to, l->name, (uint64_t)newest + 1, "");
	unlinkat(l->dirfd, new, 0);
	fd = own_file(l->dirfd, new, O_RDWR | O_APPEND | O_EXCL);
	if (fd < 0)
		return fd;
	err = flock(fd, LOCK_EX | LOCK_NB) ? -errno : swap_names(l, to, new);
	if (err) {
		unlinkat(l->dirfd, new, 0);
		close(fd);
		return err;
	}
	close(l->fd);
	l->fd = fd;
	return 0;
}

static void rotate(struct lines *l)
{
	char new[ROTATED_NAME_MAX];
	int err = still_named(l);

	end_torn(l);
	snprintf(new, sizeof(new), ".%s.new", l->name);
	if (!err)
		err = rotate_into(l, new);
	if (err) {
		l->unrotated++;
		l->rotate_at = l->size + l->rotate_size / RETRY_PART + 1;
		return;
	}
	l->size = 0;
	l->rotate_at = l->rotate_size;
	l->torn = false;
	l->none_left = false;
	if (l->rotate_keep)
		rotated_prune(l->dirfd, l->name, l->rotate_keep);
}

/* ---- writing ---- */

/* All n bytes in one write(2), or none. */
static int write_whole(struct lines *l, const char *p, size_t n)
{
	struct stat st;
	ssize_t done;

	do
		done = write(l->fd, p, n);
	while (done < 0 && errno == EINTR);
	if (done < 0)
		return -errno;
	if ((size_t)done == n) {
		l->torn = false;
		l->size += n;
		return 0;
	}
	/* its length is asked for: somebody may have emptied it meanwhile */
	if (done > 0 && (fstat(l->fd, &st) || ftruncate(l->fd, st.st_size - done))) {
		l->torn = true;
		l->size += (uint64_t)done;
	}
	return -ENOSPC;
}

int lines_write(struct lines *l, const char *line, size_t n)
{
	char *whole = line ? malloc(n + 2) : NULL;
	size_t before;
	int err = -ENOMEM;

	if (whole && l->rotate_size && l->size && l->size + l->torn + n + 1 > l->rotate_at)
		rotate(l);
	if (whole) {
		before = l->torn;
		whole[0] = '\n';
		memcpy(whole + before, line, n);
		whole[before + n] = '\n';
		err = write_whole(l, whole, before + n + 1);
	}
	free(whole);
	l->error = err;
	if (err)
		l->unwritten++;
	else
		l->written++;
	lines_tend(l);
	return err;
}

void lines_report(struct lines *l, const char *dir, const char *what)
{
	if (l->error && !l->said)
		log_error("cannot write %s/%s: %s; %s are counted, and written again as soon as it "
		          "works",
		          dir, l->name, strerror(-l->error), what);
	else if (!l->error && l->said)
		log_warn("%s/%s is written again; %llu %s are missing in it", dir, l->name,
		         (unsigned long long)l->unwritten, what);
	l->said = l->error;
}

const char *lines_name(const struct lines *l)
{
	return l->name;
}

uint64_t lines_written(const struct lines *l)
{
	return l->written;
}

uint64_t lines_unwritten(const struct lines *l)
{
	return l->unwritten;
}

uint64_t lines_torn(const struct lines *l)
{
	return l->torn_bytes;
}

uint64_t lines_unrotated(const struct lines *l)
{
	return l->unrotated;
}

uint64_t lines_uncompressed(const struct lines *l)
{
	return l->uncompressed;
}
