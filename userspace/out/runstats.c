/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file side of --runstats: read, merge, written anew beside it, and put in its place only if it is still the file
 * that was read.
 */
#include "out/runstats.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "out/metrics.h"
#include "out/run_error.h"

/* A file, its directory and its name in there. */
struct place {
	int dirfd;
	char name[NAME_MAX + 1];
};

/* The file as it was when it was read. */
struct original {
	struct stat st;
	char *text;
	size_t n;
};

static const char *because(int err)
{
	return strerror(err < 0 ? -err : err);
}

/* 0 or -errno. Of path itself, no link is followed in its last part. */
static int place_open(struct place *p, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	int n = snprintf(p->name, sizeof(p->name), "%s", slash ? slash + 1 : path);

	if (!dir)
		return -ENOMEM;
	p->dirfd = n > NAME_MAX ? -1 : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(dir);
	if (n > NAME_MAX)
		return -ENAMETOOLONG;
	return p->dirfd < 0 ? -errno : 0;
}

/* ctime changes with whatever is done to a file, so nothing that was is missed. */
static bool same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static const char *read_all(int fd, struct original *o)
{
	o->text = malloc((size_t)o->st.st_size + 1);
	if (!o->text)
		return "there is not enough memory for it";
	while (o->n < (size_t)o->st.st_size) {
		ssize_t n = read(fd, o->text + o->n, (size_t)o->st.st_size - o->n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? because(errno) : "it changed while it was read";
		o->n += (size_t)n;
	}
	return NULL;
}

/* NULL, or why it cannot be read. */
static const char *original_read(const struct place *p, struct original *o)
{
	/* a pipe somebody put there must not hold us up */
	int fd = openat(p->dirfd, p->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	const char *why = NULL;

	if (fd < 0)
		return because(errno);
	if (fstat(fd, &o->st))
		why = because(errno);
	else if (!S_ISREG(o->st.st_mode))
		why = "it is no regular file";
	else if (o->st.st_size > (off_t)RUNSTATS_MAX)
		why = "it is larger than 256 MiB";
	else
		why = read_all(fd, o);
	close(fd);
	return why;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done < 0 ? -errno : -ENOSPC;
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

/* Of the same owner and mode, and on disk. 0 or -errno. */
static int fill(int fd, const struct original *o, const char *text, size_t n)
{
	int err = write_all(fd, text, n);

	if (err)
		return err;
	/* the owner first: giving a file away takes bits from its mode */
	if (fchown(fd, o->st.st_uid, o->st.st_gid) || fchmod(fd, o->st.st_mode & 07777) ||
	    fsync(fd))
		return -errno;
	return 0;
}

static const char *put_in_place(const struct place *p, const struct original *o,
                                const char *temporary)
{
	struct stat now;

	if (fstatat(p->dirfd, p->name, &now, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? "it vanished" : because(errno);
	if (!same(&now, &o->st))
		return "it changed meanwhile: somebody still writes it";
	if (renameat(p->dirfd, temporary, p->dirfd, p->name))
		return because(errno);
	fsync(p->dirfd); /* the name; where a directory cannot be synced the file stands */
	return NULL;
}

/* NULL, or why the file is as it was. */
static const char *replace(const struct place *p, const struct original *o, const char *text,
                           size_t n)
{
	char temporary[NAME_MAX + 1];
	const char *why;
	int fd, err;

	/* shorter than a long name: it is only for a moment */
	snprintf(temporary, sizeof(temporary), ".%.200s.%u.tmp", p->name, (unsigned)getpid());
	unlinkat(p->dirfd, temporary, 0); /* of a process that is no more: this number is ours */
	fd = openat(p->dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	            0600);
	if (fd < 0)
		return because(errno);
	err = fill(fd, o, text, n);
	if (close(fd) && !err)
		err = -errno;
	why = err ? because(err) : put_in_place(p, o, temporary);
	if (why)
		unlinkat(p->dirfd, temporary, 0);
	return why;
}

static const char *merge_into(const struct place *p, const char *summary)
{
	struct original o = { 0 };
	char *text = NULL;
	size_t n = 0;
	const char *why = original_read(p, &o);

	if (!why)
		why = runstats_merge(o.text, o.n, summary, &text, &n);
	if (!why)
		why = replace(p, &o, text, n);
	free(text);
	free(o.text);
	return why;
}

/* NULL, or why the file was not merged into. */
static const char *merge(const char *path, json_t *summary)
{
	char *real = realpath(path, NULL), *text;
	struct place p;
	const char *why;
	int err;

	if (!real)
		return errno == ENOENT ? "there is no such file" : because(errno);
	err = place_open(&p, real);
	free(real);
	if (err)
		return because(err);
	text = json_dumps(summary, METRICS_JSON);
	why = text ? merge_into(&p, text) : "there is not enough memory for it";
	free(text);
	close(p.dirfd);
	return why;
}

/* 0 or -errno. */
static int write_beside(const char *path, json_t *summary)
{
	char name[NAME_MAX + 1];
	struct place p;
	json_t *doc;
	int err = place_open(&p, path);

	if (err)
		return err;
	if (snprintf(name, sizeof(name), "%s%s", p.name, RUNSTATS_BESIDE) > NAME_MAX) {
		close(p.dirfd);
		return -ENAMETOOLONG;
	}
	doc = json_pack("{s:O}", RUNSTATS_KEY, summary);
	err = doc ? run_error_write(doc, p.dirfd, name) : -ENOMEM;
	json_decref(doc);
	close(p.dirfd);
	return err;
}

enum runstats_result runstats_file(const char *path, json_t *summary, char *why, size_t why_n)
{
	const char *reason = merge(path, summary);
	int err;

	if (!reason)
		return RUNSTATS_MERGED;
	snprintf(why, why_n, "%s", reason);
	err = write_beside(path, summary);
	if (!err)
		return RUNSTATS_BESIDE_IT;
	snprintf(why, why_n, "%s; beside it: %s", reason, because(err));
	return RUNSTATS_NOWHERE;
}
