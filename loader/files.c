/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Most files lie in the mount that is the writer's root: then the names are the path, and nothing is asked. Of others
 * /proc/PID/mountinfo tells where their file system is mounted.
 */
#include "files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mounts.h"
#include "procfs.h"
#include "state.h"

#define TOLD_MAX 4096            /* slots that remember what was announced */
#define MOUNTINFO_MAX (1u << 20) /* of a process; what is behind it is not looked at */
#define PATH_TOLD_MAX 8192       /* names and mount point */
#define ASKED_MAX 4              /* processes asked in the place of one that is gone */
#define CUT_MARK "..."

struct told {
	uint64_t ino, dev, id, since_ns;
};

struct files {
	struct told told[TOLD_MAX];
	char mountinfo[MOUNTINFO_MAX];
	char inside[PATH_TOLD_MAX], path[PATH_TOLD_MAX];
};

struct files *files_new(void)
{
	return calloc(1, sizeof(struct files));
}

void files_free(struct files *f)
{
	free(f);
}

static size_t slot_of(uint64_t ino, uint64_t dev)
{
	return (size_t)(((ino ^ dev << 40) * 0x9e3779b97f4a7c15ull) >> 52) % TOLD_MAX;
}

bool files_id(const struct files *f, uint64_t ino, uint64_t dev, uint64_t *id)
{
	const struct told *t = &f->told[slot_of(ino, dev)];

	if (t->ino != ino || t->dev != dev || !t->since_ns)
		return false;
	*id = t->id;
	return true;
}

/* False: threads that came together announced it twice. */
static bool told_new(struct files *f, const struct ev_file *e, const struct file_names *names)
{
	struct told now = { e->ino, e->dev, names->id, names->since_ns };
	struct told *t = &f->told[slot_of(e->ino, e->dev)];
	bool is_new = memcmp(t, &now, sizeof(now)) != 0;

	*t = now;
	return is_new;
}

int files_join(const char *names, size_t len, uint32_t n, bool cut, char *to, size_t size)
{
	size_t room = size, at = 0;

	/* from the end of the room backwards: the innermost name comes first */
	if (!size)
		return -ENAMETOOLONG;
	to[--room] = '\0';
	for (uint32_t i = 0; i < n; i++) {
		size_t k = at < len ? strnlen(names + at, len - at) : 0;

		if (!k || at + k == len || memchr(names + at, '/', k))
			return -EPROTO;
		if (k + 1 > room)
			return -ENAMETOOLONG;
		room -= k;
		memcpy(to + room, names + at, k);
		to[--room] = '/';
		at += k + 1;
	}
	if (at != len)
		return -EPROTO;
	if (cut || !n) {
		const char *mark = cut ? CUT_MARK : "/";

		if (room < strlen(mark))
			return -ENAMETOOLONG;
		room -= strlen(mark);
		memcpy(to + room, mark, strlen(mark));
	}
	memmove(to, to + room, size - room);
	return 0;
}

static int path_by_mounts(struct files *f, const struct ev_file *e, const struct file_names *names,
                          uint32_t pid, bool same_root)
{
	ssize_t n = procfs_read(pid, "mountinfo", f->mountinfo, sizeof(f->mountinfo));

	if (n < 0)
		return -ESRCH;
	/* of another process only if it has the same root: the path would be another one */
	if (same_root &&
	    (names->root_mount < 0 || mounts_root(f->mountinfo, (size_t)n) != names->root_mount))
		return -ENOENT;
	return mounts_path(f->mountinfo, (size_t)n, names->mount, e->dev, f->inside, f->path,
	                   sizeof(f->path));
}

/* Who is gone had, most likely, the mounts of the others. */
static bool path_of_mount(struct files *f, const struct ev_file *e, const struct file_names *names,
                          const uint32_t *pids, size_t npids)
{
	int err = path_by_mounts(f, e, names, e->h.pid, false);

	for (size_t i = 0; err == -ESRCH && i < npids && i < ASKED_MAX; i++)
		if (path_by_mounts(f, e, names, pids[i], true) == 0)
			return true;
	if (err == -ESRCH)
		err = path_by_mounts(f, e, names, (uint32_t)getpid(), true);
	return err == 0;
}

/* What the descriptor still refers to, if it is this device. */
static bool path_of_fd(struct files *f, const struct ev_file *e)
{
	char link[64];
	struct stat st;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%u/fd/%d", e->h.pid, e->fd);
	n = readlink(link, f->path, sizeof(f->path) - 1);
	if (n <= 0 || stat(link, &st) || st.st_ino != e->ino || (st.st_mode & S_IFMT) != e->mode)
		return false;
	f->path[n] = '\0';
	return f->path[0] == '/';
}

static void path_find(struct files *f, const struct ev_file *e, const struct file_names *names,
                      const char *text, size_t len, const uint32_t *pids, size_t npids)
{
	bool found = false;

	f->path[0] = '\0';
	if (e->mode == S_IFIFO || e->mode == S_IFSOCK) {
		snprintf(f->path, sizeof(f->path), "%s:[%llu]",
		         e->mode == S_IFIFO ? "pipe" : "socket", (unsigned long long)e->ino);
		/* a named pipe has a path, the others have no name */
		if (e->mode == S_IFSOCK || names->n == 0)
			return;
	}
	if (files_join(text, len, names->n, names->cut, f->inside, sizeof(f->inside)))
		return;
	if (names->rooted || names->cut) {
		snprintf(f->path, sizeof(f->path), "%s", f->inside);
		return;
	}
	found = path_of_mount(f, e, names, pids, npids) || (e->mode == S_IFCHR && path_of_fd(f, e));
	if (!found && e->mode != S_IFIFO)
		f->path[0] = '\0';
}

const struct event *files_take(struct files *f, const struct event *raw, const uint32_t *pids,
                               size_t npids, struct record *to)
{
	const struct ev_file *e = (const void *)raw;
	const struct file_names *names = (const void *)e->text;
	struct ev_file *out;

	if (raw->size < sizeof(*e) + sizeof(*names) || !told_new(f, e, names))
		return NULL;
	path_find(f, e, names, (const char *)(names + 1), raw->size - sizeof(*e) - sizeof(*names),
	          pids, npids);
	out = record_begin(to, EV_FILE, sizeof(*out), raw->pid, raw->tid);
	out->h.ts_ns = raw->ts_ns;
	out->ino = e->ino;
	out->dev = e->dev;
	out->fd = e->fd;
	out->mode = e->mode;
	record_add(&out->h, f->path, strlen(f->path));
	return &out->h;
}
