/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds, compresses and removes rotated files. Whoever compresses holds a lock on the .gz.tmp it writes. */
#include "out/rotated.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/own.h"

#define COPY_SIZE 65536

void rotated_name(char buf[static ROTATED_NAME_MAX], const char *name, uint64_t n,
                  const char *suffix)
{
	snprintf(buf, ROTATED_NAME_MAX, "%.*s.%llu%s", NAME_MAX, name, (unsigned long long)n,
	         suffix);
}

enum form { FORM_PLAIN, FORM_GZ, FORM_TMP };

/* The number in a name as rotated_name() makes it, 0 if it is another name. */
static uint64_t number_of(const char *entry, const char *name, enum form *form)
{
	size_t len = strlen(name);
	uint64_t n = 0;
	const char *p;

	if (strncmp(entry, name, len) != 0 || entry[len] != '.')
		return 0;
	p = entry + len + 1;
	if (*p == '0')
		return 0;
	for (; *p >= '0' && *p <= '9'; p++) {
		n = n * 10 + (uint64_t)(*p - '0');
		if (n > ROTATED_MAX)
			return 0;
	}
	if (*p == '\0')
		*form = FORM_PLAIN;
	else if (strcmp(p, ".gz") == 0)
		*form = FORM_GZ;
	else if (strcmp(p, ".gz.tmp") == 0)
		*form = FORM_TMP;
	else
		return 0;
	return n;
}

/* Calls found for each rotated file; ends early when it returns an error. */
static int each(int dirfd, const char *name, int (*found)(void *ctx, uint64_t n, enum form form),
                void *ctx)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	while (!err && (entry = readdir(dir))) {
		enum form form;
		uint64_t n = number_of(entry->d_name, name, &form);

		if (n)
			err = found(ctx, n, form);
	}
	closedir(dir);
	return err;
}

static int find_newest(void *ctx, uint64_t n, enum form form)
{
	uint64_t *newest = ctx;

	(void)form;
	if (n > *newest)
		*newest = n;
	return 0;
}

int64_t rotated_newest(int dirfd, const char *name)
{
	uint64_t newest = 0;
	int err = each(dirfd, name, find_newest, &newest);

	return err ? err : (int64_t)newest;
}

struct plain {
	uint64_t after, n;
};

static int find_plain(void *ctx, uint64_t n, enum form form)
{
	struct plain *p = ctx;

	if (form != FORM_GZ && n > p->after && (!p->n || n < p->n))
		p->n = n;
	return 0;
}

int64_t rotated_next_plain(int dirfd, const char *name, uint64_t after)
{
	struct plain p = { .after = after };
	int err = each(dirfd, name, find_plain, &p);

	return err ? err : (int64_t)p.n;
}

struct numbers {
	uint64_t *list;
	size_t n, room;
};

static int find_number(void *ctx, uint64_t n, enum form form)
{
	struct numbers *all = ctx;

	(void)form;
	for (size_t i = 0; i < all->n; i++)
		if (all->list[i] == n)
			return 0;
	if (all->n == all->room) {
		size_t room = all->room ? 2 * all->room : 64;
		uint64_t *list = reallocarray(all->list, room, sizeof(*list));

		if (!list)
			return -ENOMEM;
		all->list = list;
		all->room = room;
	}
	all->list[all->n++] = n;
	return 0;
}

static int newest_first(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

int rotated_prune(int dirfd, const char *name, uint64_t keep)
{
	static const char *const suffixes[] = { "", ".gz.tmp", ".gz" };
	struct numbers all = { 0 };
	int err = each(dirfd, name, find_number, &all);

	if (err)
		all.n = 0; /* which are the newest is not known */
	if (all.n > keep)
		qsort(all.list, all.n, sizeof(*all.list), newest_first);
	for (size_t i = keep; i < all.n; i++)
		for (size_t k = 0; k < sizeof(suffixes) / sizeof(suffixes[0]); k++) {
			char path[ROTATED_NAME_MAX];

			rotated_name(path, name, all.list[i], suffixes[k]);
			if (unlinkat(dirfd, path, 0) && errno != ENOENT)
				err = -errno;
		}
	free(all.list);
	return err;
}

/* Opens and locks the file to write; waits for who has it. -EAGAIN: it was done, or begun anew, meanwhile. */
static int lock_temporary(int dirfd, const char *path)
{
	int fd = own_file(dirfd, path, O_RDWR), err;
	struct stat mine, there;

	if (fd < 0)
		return fd;
	while ((err = flock(fd, LOCK_EX)) && errno == EINTR)
		;
	if (err || fstat(fd, &mine))
		err = -errno;
	else if (fstatat(dirfd, path, &there, AT_SYMLINK_NOFOLLOW) || mine.st_ino != there.st_ino ||
	         mine.st_dev != there.st_dev)
		err = -EAGAIN;
	else if (ftruncate(fd, 0))
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/* All of in as gzip into out, which stays open. 0 or -errno. */
static int copy(int in, int out)
{
	char *buf = malloc(COPY_SIZE);
	int fd = dup(out), err = 0;
	gzFile gz = fd < 0 ? NULL : gzdopen(fd, "wb");
	ssize_t n = 0;

	if (!gz && fd >= 0)
		close(fd);
	if (!gz || !buf)
		err = -ENOMEM;
	while (!err && (n = read(in, buf, COPY_SIZE)) != 0) {
		if (n < 0 && errno != EINTR)
			err = -errno;
		else if (n > 0 && gzwrite(gz, buf, (unsigned)n) != n)
			err = errno ? -errno : -EIO;
	}
	if (gz && gzclose(gz) != Z_OK && !err)
		err = errno ? -errno : -EIO;
	free(buf);
	return err;
}

/* The order is what makes it safe: the .gz is whole on disk before it has its name, and has it before the plain file
 * goes. */
static int finish(int dirfd, int in, int out, const char *from, const char *temporary,
                  const char *to)
{
	int err = copy(in, out);

	if (!err && fsync(out))
		err = -errno;
	if (!err && renameat(dirfd, temporary, dirfd, to))
		err = -errno;
	if (err)
		return err;
	fsync(dirfd); /* the name; where a directory cannot be synced the file stands */
	return unlinkat(dirfd, from, 0) && errno != ENOENT ? -errno : 0;
}

int rotated_compress(int dirfd, const char *name, uint64_t n)
{
	char from[ROTATED_NAME_MAX], to[ROTATED_NAME_MAX], temporary[ROTATED_NAME_MAX];
	int in, out, err;

	rotated_name(from, name, n, "");
	rotated_name(to, name, n, ".gz");
	rotated_name(temporary, name, n, ".gz.tmp");
	do
		out = lock_temporary(dirfd, temporary);
	while (out == -EAGAIN);
	if (out < 0)
		return out;
	in = openat(dirfd, from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (in < 0)
		err = -errno; /* ENOENT: another one has done it */
	else
		err = finish(dirfd, in, out, from, temporary, to);
	if (err)
		unlinkat(dirfd, temporary, 0);
	if (in >= 0)
		close(in);
	close(out);
	return err == -ENOENT ? 0 : err;
}
