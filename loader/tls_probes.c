/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any file a process maps may hold TLS code, whatever its name; what is in it says tls_code.h. Files are opened through
 * /proc/PID/map_files, which is right in containers and for deleted files; what was found in a file, or that nothing was,
 * is remembered by device and inode, so the next look at it costs nothing.
 */
#include "tls_probes.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "procfs.h"
#include "tls_code.h"
#include "uprobe_multi.h"

/* The smallest executable mapping that can hold TLS code. Of the libraries the smallest seen are libmbedtls and libnspr4,
 * about twice this. */
#define TLS_CODE_MIN (64 << 10)

struct tls_file {
	uint32_t major, minor; /* as memory maps show it; 0 not seen in one yet */
	dev_t dev;             /* as stat shows it: not the same on overlay file systems */
	uint64_t ino;
	int fd;                /* keeps the file reachable, whatever becomes of its path; -1 */
	bool library;          /* else an executable: of one process, not expected in the next */
	char path[256];        /* for people */
	int err;               /* of reading it, 0 or -errno */
	struct tls_code *code; /* NULL: none that we know */
	struct tls_file *next;
};

struct hook {
	uint32_t pid;
	const struct tls_file *file;
	int err; /* of hooking, 0 or -errno */
	bool reported;
	int links[TLS_PROGRAMS]; /* multi: one a program; -1 none */
	void **handles;          /* else: one a place, NULL none */
	struct hook *next;
};

struct tls_probes {
	struct tls_probes_ops ops;
	struct tls_file *files;
	struct hook *hooks;
};

struct tls_probes *tls_probes_new(const struct tls_probes_ops *ops)
{
	struct tls_probes *t = calloc(1, sizeof(*t));

	if (t)
		t->ops = *ops;
	return t;
}

static void hook_free(struct tls_probes *t, struct hook *h)
{
	for (size_t i = 0; i < TLS_PROGRAMS; i++)
		if (h->links[i] >= 0)
			close(h->links[i]);
	for (size_t i = 0; h->handles && i < h->file->code->n; i++)
		if (h->handles[i])
			t->ops.detach_one(h->handles[i]);
	free(h->handles);
	free(h);
}

void tls_probes_forget(struct tls_probes *t, uint32_t pid)
{
	for (struct hook **p = &t->hooks; *p;) {
		struct hook *h = *p;

		if (h->pid != pid) {
			p = &h->next;
			continue;
		}
		*p = h->next;
		hook_free(t, h);
	}
}

void tls_probes_free(struct tls_probes *t)
{
	if (!t)
		return;
	while (t->hooks)
		tls_probes_forget(t, t->hooks->pid);
	while (t->files) {
		struct tls_file *f = t->files;

		t->files = f->next;
		if (f->fd >= 0)
			close(f->fd);
		free(f->code);
		free(f);
	}
	free(t);
}

struct scan {
	struct tls_probes *t;
	uint32_t pid;
};

/* The target's own file behind a mapping: by address, else by path inside its root. */
static int map_open(uint32_t pid, const struct proc_map *m)
{
	int fd = procfs_open_map(pid, m);

	return fd >= 0 ? fd : procfs_open_inside(pid, m->path);
}

/* Can it be hooked? */
static bool hookable(const struct tls_file *f)
{
	return f->code && f->code->n > 0;
}

/* The TLS code in f's file: of the many places there is room for only those there are are kept. */
static void code_find(struct tls_file *f, const char *path)
{
	struct tls_code *code = malloc(sizeof(*code)), *fit;

	f->err = code ? tls_code_find(f->fd, path, code) : -ENOMEM;
	if (!f->err && code->family) {
		fit = realloc(code, offsetof(struct tls_code, places) +
		                            code->n * sizeof(code->places[0]));
		f->code = fit ? fit : code;
	} else {
		free(code);
	}
}

/* What is in the open file fd (or -errno: not to be opened), known or new; takes fd. NULL: out of memory. */
static struct tls_file *file_add(struct tls_probes *t, int fd, const char *path)
{
	struct tls_file *f;
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0) {
		for (f = t->files; f; f = f->next) {
			if (f->dev == st.st_dev && f->ino == st.st_ino) {
				close(fd);
				return f;
			}
		}
	} else {
		memset(&st, 0, sizeof(st));
	}
	f = calloc(1, sizeof(*f));
	if (!f) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	f->fd = fd < 0 ? -1 : fd;
	f->library = strstr(path, ".so") != NULL;
	snprintf(f->path, sizeof(f->path), "%s", path);
	if (fd < 0)
		f->err = fd;
	else
		code_find(f, path);
	if (!hookable(f) && fd >= 0) {
		close(fd);
		f->fd = -1;
	}
	f->next = t->files;
	t->files = f;
	return f;
}

static struct tls_file *file_look(struct tls_probes *t, uint32_t pid, const struct proc_map *m)
{
	struct tls_file *f = t->files;
	struct proc_stat st;
	int fd;

	while (f && (f->ino != m->ino || f->major != m->dev_major || f->minor != m->dev_minor))
		f = f->next;
	if (f)
		return f;
	fd = map_open(pid, m);
	/* a process that is gone says nothing about the file, which others may map */
	if (fd < 0 && (procfs_stat(pid, &st) || st.state == 'Z' || st.state == 'X'))
		return NULL;
	f = file_add(t, fd, m->path);
	if (f) {
		f->major = m->dev_major;
		f->minor = m->dev_minor;
		f->ino = m->ino;
	}
	return f;
}

/* Does its name promise TLS code? */
static bool named_tls(const char *path)
{
	const char *base = strrchr(path, '/');

	return strstr(base ? base : path, "libssl") != NULL;
}

static struct tls_file *file_learn(struct tls_probes *t, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? NULL : file_add(t, fd, path);
}

static void learn_system(struct tls_probes *t)
{
	static const char *const patterns[] = { "/usr/lib/*/libssl.so.*", "/usr/lib64/libssl.so.*",
		                                "/usr/lib/libssl.so.*",
		                                "/usr/local/lib/libssl.so.*" };

	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		glob_t g;

		if (glob(patterns[i], 0, NULL, &g) == 0)
			for (size_t k = 0; k < g.gl_pathc; k++)
				file_learn(t, g.gl_pathv[k]);
		globfree(&g);
	}
}

/* One link a program. Returns come before entries: a call whose entry was seen is then seen to its end. */
static int hook_multi(struct tls_probes *t, struct hook *h, const char *path)
{
	uint64_t offsets[TLS_PLACES_MAX], cookies[TLS_PLACES_MAX];
	const struct tls_code *code = h->file->code;

	for (int program = TLS_PROGRAMS - 1; program >= 0; program--) {
		size_t n = 0;

		for (size_t i = 0; i < code->n; i++) {
			if ((int)code->places[i].program != program)
				continue;
			offsets[n] = code->places[i].offset;
			cookies[n++] = code->places[i].cookie;
		}
		if (!n)
			continue;
		h->links[program] = uprobe_multi_attach(t->ops.program_fd[program], (pid_t)h->pid,
		                                        path, offsets, cookies, n,
		                                        program == TLS_AT_RETURN);
		if (h->links[program] < 0)
			return h->links[program];
	}
	return 0;
}

static int hook_single(struct tls_probes *t, struct hook *h, const char *path)
{
	const struct tls_code *code = h->file->code;

	h->handles = calloc(code->n, sizeof(*h->handles));
	if (!h->handles)
		return -ENOMEM;
	for (size_t i = code->n; i-- > 0;) {
		h->handles[i] = t->ops.attach_one(t->ops.ctx, h->pid, path, &code->places[i]);
		if (!h->handles[i])
			return errno ? -errno : -EINVAL;
	}
	return 0;
}

static void file_hook(struct tls_probes *t, uint32_t pid, const struct tls_file *f, bool mapped);

static struct hook *hook_find(const struct tls_probes *t, uint32_t pid, const struct tls_file *f)
{
	struct hook *h = t->hooks;

	while (h && (h->pid != pid || h->file != f))
		h = h->next;
	return h;
}

static void map_visit(void *ctx, const struct proc_map *m)
{
	struct scan *s = ctx;
	const struct tls_file *f;

	if (m->end - m->start < TLS_CODE_MIN)
		return;
	f = file_look(s->t, s->pid, m);
	if (f && (f->code || (f->err && named_tls(f->path))))
		file_hook(s->t, s->pid, f, true);
}

/* Told once it is mapped: a library hooked in advance may never be used. */
static void hook_report(struct tls_probes *t, struct hook *h)
{
	const struct tls_file *f = h->file;
	int err = f->err ? f->err : h->err;
	struct tls_found found = {
		.pid = h->pid,
		.path = f->path,
		.family = f->code ? f->code->family : "",
		.how = f->code ? f->code->how : "",
		.err = -err,
	};

	h->reported = true;
	found.state = err ? LIB_FAILED : hookable(f) ? LIB_HOOKED : LIB_OPAQUE;
	if (found.state == LIB_HOOKED)
		found.functions = f->code->functions;
	t->ops.report(t->ops.ctx, &found);
}

static void file_hook(struct tls_probes *t, uint32_t pid, const struct tls_file *f, bool mapped)
{
	struct hook *h = hook_find(t, pid, f);
	char path[64];

	if (!h) {
		h = calloc(1, sizeof(*h));
		if (!h)
			return;
		h->pid = pid;
		h->file = f;
		for (size_t i = 0; i < TLS_PROGRAMS; i++)
			h->links[i] = -1;
		h->next = t->hooks;
		t->hooks = h; /* also when it fails: tried once, not at every scan */
		snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
		if (hookable(f) && !t->ops.dry)
			h->err = t->ops.multi ? hook_multi(t, h, path) : hook_single(t, h, path);
	}
	if (mapped && !h->reported)
		hook_report(t, h);
}

void tls_probes_prepare(struct tls_probes *t, uint32_t pid, const char *program)
{
	const struct tls_file *f = file_learn(t, program);

	learn_system(t);
	if (f && hookable(f))
		file_hook(t, pid, f, false);
	tls_probes_expect(t, pid);
}

void tls_probes_expect(struct tls_probes *t, uint32_t pid)
{
	for (const struct tls_file *f = t->files; f; f = f->next)
		if (hookable(f) && f->library)
			file_hook(t, pid, f, false);
}

int tls_probes_scan(struct tls_probes *t, uint32_t pid)
{
	struct scan s = { .t = t, .pid = pid };

	return procfs_each_exec_map(pid, map_visit, &s);
}

int tls_probes_list(uint32_t pid, void (*report)(void *ctx, const struct tls_found *found),
                    void *ctx)
{
	struct tls_probes_ops ops = { .dry = true, .report = report, .ctx = ctx };
	struct tls_probes *t = tls_probes_new(&ops);
	int err = t ? tls_probes_scan(t, pid) : -ENOMEM;

	tls_probes_free(t);
	return err;
}
