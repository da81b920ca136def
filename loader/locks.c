/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of the kernel's list of locks, joined with the descriptors they came by. */
#include "locks.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "procfs.h"
#include "record.h"

#define LOCKS_MAX 4096                    /* lines looked at: a database has some hundreds */
#define LIST_MAX ((size_t)LOCKS_MAX * 96) /* bytes */

struct locks {
	struct lock_row *rows;
	size_t n;
	const uint32_t *pids; /* of the tree */
	size_t npids;
	event_fn emit;
	void *ctx;
	struct record room;
};

/* "12: -> POSIX  ADVISORY  WRITE 3569 fd:00:2531452 0 EOF" (fs/locks.c, lock_get_status) */
bool locks_parse(const char *line, struct lock_row *row)
{
	static const struct {
		const char *word;
		uint32_t kind;
	} kinds[] = { { "FLOCK", LOCK_FLOCK },
		      { "POSIX", LOCK_POSIX },
		      { "OFDLCK", LOCK_OFD },
		      { "LEASE", LOCK_LEASE } };
	char kind[16], mode[16];
	int at = 0;

	memset(row, 0, sizeof(*row));
	if (sscanf(line, " %" SCNu64 ":%n", &row->id, &at) != 1 || !at)
		return false;
	line += at + strspn(line + at, " ");
	if (strncmp(line, "-> ", 3) == 0) {
		row->waits = true;
		line += 3;
	}
	if (sscanf(line, "%15s %*15s %15s %" SCNd64 " %" SCNx32 ":%" SCNx32 ":%" SCNu64, kind, mode,
	           &row->pid, &row->dev_major, &row->dev_minor, &row->ino) != 6)
		return false;
	row->write = strcmp(mode, "WRITE") == 0;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strcmp(kind, kinds[i].word) == 0)
			row->kind = kinds[i].kind;
	return row->kind != 0;
}

static void missing(struct locks *l, const char *why)
{
	l->emit(l->ctx, record_missing(&l->room, 0, "locks", why));
}

static bool list_read(struct locks *l)
{
	char *text = malloc(LIST_MAX), *save = NULL;
	ssize_t n = text ? procfs_read_file("/proc/locks", text, LIST_MAX) : -1;

	l->rows = calloc(LOCKS_MAX, sizeof(*l->rows));
	if (n < 0 || !l->rows) {
		missing(l, "the kernel's list of locks could not be read");
		free(text);
		return false;
	}
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (l->n < LOCKS_MAX && locks_parse(line, &l->rows[l->n]))
			l->n++;
	if (l->n == LOCKS_MAX || (size_t)n == LIST_MAX - 1)
		missing(l, "this machine has more locks than are looked at");
	free(text);
	return true;
}

static bool listed(const struct locks *l, int64_t pid)
{
	return pid > 0 && procfs_listed(l->pids, l->npids, (uint32_t)pid);
}

static bool same_file(const struct lock_row *a, const struct lock_row *b)
{
	return a->ino == b->ino && a->dev_major == b->dev_major && a->dev_minor == b->dev_minor;
}

/* ---- descriptors ---- */

/* Asks no file system that would have to ask a server. */
static bool fd_is(uint32_t pid, uint32_t fd, const struct lock_row *row)
{
	struct statx st;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/fd/%u", pid, fd);
	return statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_INO, &st) == 0 &&
	       st.stx_ino == row->ino && st.stx_dev_major == row->dev_major &&
	       st.stx_dev_minor == row->dev_minor;
}

/* Is this a descriptor of an open file that has the lock? Also where stat tells another device (btrfs, overlayfs). */
static bool fd_holds(uint32_t pid, uint32_t fd, const struct lock_row *row)
{
	char name[64], text[4096], *p = text;
	struct lock_row held;

	snprintf(name, sizeof(name), "fdinfo/%u", fd);
	if (procfs_read(pid, name, text, sizeof(text)) <= 0)
		return false;
	while ((p = strstr(p, "lock:\t"))) {
		p += 6;
		if (locks_parse(p, &held) && same_file(&held, row) && held.kind == row->kind)
			return true;
	}
	return false;
}

struct fd_search {
	uint32_t pid;
	const struct lock_row *row;
	bool found;
	char path[512];
};

static void path_visit(void *ctx, uint32_t fd)
{
	struct fd_search *f = ctx;
	char link[64];
	ssize_t n;

	if (f->found || (!fd_is(f->pid, fd, f->row) && !fd_holds(f->pid, fd, f->row)))
		return;
	snprintf(link, sizeof(link), "/proc/%u/fd/%u", f->pid, fd);
	n = readlink(link, f->path, sizeof(f->path) - 1);
	if (n <= 0)
		return;
	f->path[n] = '\0';
	f->found = true;
}

static void holder_visit(void *ctx, uint32_t fd)
{
	struct fd_search *f = ctx;

	f->found = f->found || fd_holds(f->pid, fd, f->row);
}

static bool holds(uint32_t pid, const struct lock_row *row)
{
	struct fd_search f = { .pid = pid, .row = row };

	procfs_each_number(pid, "fd", holder_visit, &f);
	return f.found;
}

/* ---- what is told ---- */

static bool gone(int64_t pid)
{
	struct proc_stat st;

	return pid <= 0 || procfs_stat((uint32_t)pid, &st) != 0 || procfs_ended(&st);
}

static void path_find(const struct locks *l, const struct lock_row *row, struct fd_search *f)
{
	for (size_t i = 0; i < l->n && !f->found; i++) {
		const struct lock_row *r = &l->rows[i];

		if (r->id != row->id || r->pid <= 0)
			continue;
		f->pid = (uint32_t)r->pid;
		procfs_each_number(f->pid, "fd", path_visit, f);
	}
}

static void lock_emit(struct locks *l, const struct lock_row *row, uint32_t pid)
{
	struct ev_lock *e = record_begin(&l->room, EV_LOCK, sizeof(*e), pid, pid);
	struct fd_search f = { .pid = pid, .row = row };

	e->id = row->id;
	e->ino = row->ino;
	e->dev_major = row->dev_major;
	e->dev_minor = row->dev_minor;
	e->kind = row->kind;
	e->write = row->write;
	e->waits = row->waits;
	if (pid)
		procfs_each_number(pid, "fd", path_visit, &f);
	if (!f.found)
		path_find(l, row, &f);
	record_add(&e->h, f.path, strlen(f.path));
	l->emit(l->ctx, &e->h);
}

struct holder_search {
	struct locks *l;
	const struct lock_row *row;
	bool found;
};

static void outsider_visit(void *ctx, uint32_t pid)
{
	struct holder_search *h = ctx;

	if (listed(h->l, pid) || !holds(pid, h->row))
		return;
	lock_emit(h->l, h->row, pid);
	h->found = true;
}

/* Who has an open file with a lock whose taker is not told, or gone. outside: also who is not of the tree. */
static bool holder_find(struct locks *l, const struct lock_row *row, bool outside)
{
	struct holder_search h = { l, row, false };

	for (size_t i = 0; i < l->npids; i++) {
		if (!holds(l->pids[i], row))
			continue;
		lock_emit(l, row, l->pids[i]);
		h.found = true;
	}
	if (outside && !h.found)
		procfs_each_pid(outsider_visit, &h);
	return h.found;
}

static void file_visit(void *ctx, uint32_t fd)
{
	struct fd_search *f = ctx;

	f->found = f->found || fd_is(f->pid, fd, f->row);
}

/* Has one of the tree's processes the file open? Who waits for an OFD lock is not told either, but must have it. */
static bool file_open(const struct locks *l, const struct lock_row *row)
{
	struct fd_search f = { .row = row };

	for (size_t i = 0; i < l->npids && !f.found; i++) {
		f.pid = l->pids[i];
		procfs_each_number(f.pid, "fd", file_visit, &f);
	}
	return f.found;
}

/* A lock and those who wait for it: rows from first on that have its number. */
static void group_emit(struct locks *l, size_t first)
{
	const struct lock_row *lock = &l->rows[first];
	bool ours = false, named = !gone(lock->pid), waits = false;
	size_t end = first;

	for (; end < l->n && l->rows[end].id == lock->id; end++) {
		ours |= listed(l, l->rows[end].pid);
		waits |= l->rows[end].waits;
	}
	if (!named && !ours && waits && lock->kind == LOCK_OFD)
		ours = file_open(l, lock);
	if (!named && !holder_find(l, lock, ours)) {
		if (!ours)
			return;
		lock_emit(l, lock, 0);
	}
	if (named && !ours)
		return;
	if (named)
		lock_emit(l, lock, (uint32_t)lock->pid);
	for (size_t i = first + 1; i < end; i++)
		lock_emit(l, &l->rows[i], l->rows[i].pid > 0 ? (uint32_t)l->rows[i].pid : 0);
}

void locks_take(const uint32_t *pids, size_t n, event_fn emit, void *ctx)
{
	struct locks l = { .pids = pids, .npids = n, .emit = emit, .ctx = ctx };

	if (list_read(&l))
		for (size_t i = 0; i < l.n; i++)
			if (i == 0 || l.rows[i].id != l.rows[i - 1].id)
				group_emit(&l, i);
	free(l.rows);
}
