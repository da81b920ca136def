/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which files of a process can hold TLS code is told by name (libssl*, the executable itself, an interpreter's shared
 * library), what is in them by their symbols. Files are opened through /proc/PID/map_files, which is right in containers
 * and for deleted files; what was found in a file is remembered by device and inode.
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

#include "elf_sym.h"
#include "procfs.h"
#include "state.h"
#include "uprobe_multi.h"

static const struct {
	const char *name;
	enum tls_function function;
	bool ret; /* reported at its return */
} functions[] = {
	{ "SSL_read", TLS_READ, true },           { "SSL_read_ex", TLS_READ_EX, true },
	{ "SSL_write", TLS_WRITE, true },         { "SSL_write_ex", TLS_WRITE_EX, true },
	{ "SSL_write_ex2", TLS_WRITE_EX2, true }, { "SSL_free", TLS_FREE, false },
};
#define FUNCTIONS (sizeof(functions) / sizeof(functions[0]))

struct tls_file {
	uint32_t major, minor; /* as memory maps show it; 0 not seen in one yet */
	dev_t dev;             /* as stat shows it: not the same on overlay file systems */
	uint64_t ino;
	int fd;         /* keeps the file reachable, whatever becomes of its path; -1 */
	bool library;   /* else an executable: of one process, not expected in the next */
	char path[256]; /* for people */
	int found;      /* functions, or -errno */
	uint64_t offsets[FUNCTIONS];
	struct tls_file *next;
};

struct hook {
	uint32_t pid;
	const struct tls_file *file;
	int err; /* of hooking, 0 or -errno */
	bool reported;
	int links[2];                 /* multi: enter, exit; -1 none */
	void *handles[2 * FUNCTIONS]; /* else */
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
	for (size_t i = 0; i < 2; i++)
		if (h->links[i] >= 0)
			close(h->links[i]);
	for (size_t i = 0; i < 2 * FUNCTIONS; i++)
		if (h->handles[i])
			t->ops.detach_one(h->handles[i]);
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
		free(f);
	}
	free(t);
}

struct scan {
	struct tls_probes *t;
	uint32_t pid;
	char exe[512];
};

/* The target's own file behind a mapping: by address, else by path inside its root. */
static int map_open(uint32_t pid, const struct proc_map *m)
{
	int fd = procfs_open_map(pid, m);

	return fd >= 0 ? fd : procfs_open_inside(pid, m->path);
}

/* What is in the open file fd (or -errno: not to be opened), known or new; takes fd. NULL: out of memory. */
static struct tls_file *file_add(struct tls_probes *t, int fd, const char *path)
{
	const char *names[FUNCTIONS];
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
	for (size_t i = 0; i < FUNCTIONS; i++)
		names[i] = functions[i].name;
	f->found = fd < 0 ? fd : elf_sym_offsets(fd, names, FUNCTIONS, f->offsets);
	if (f->found <= 0 && fd >= 0) {
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

static int hook_multi(struct tls_probes *t, struct hook *h, const char *path)
{
	uint64_t offsets[FUNCTIONS], cookies[FUNCTIONS];
	size_t n = 0, rets = 0;
	int pass;

	/* those reported at their return first, so that one array serves both links */
	for (pass = 1; pass >= 0; pass--) {
		for (size_t i = 0; i < FUNCTIONS; i++) {
			if (functions[i].ret != pass || !h->file->offsets[i])
				continue;
			offsets[n] = h->file->offsets[i];
			cookies[n++] = functions[i].function;
		}
		if (pass)
			rets = n;
	}
	if (rets) {
		h->links[1] = uprobe_multi_attach(t->ops.exit_fd, (pid_t)h->pid, path, offsets,
		                                  cookies, rets, true);
		if (h->links[1] < 0)
			return h->links[1];
	}
	h->links[0] = uprobe_multi_attach(t->ops.enter_fd, (pid_t)h->pid, path, offsets, cookies, n,
	                                  false);
	return h->links[0] < 0 ? h->links[0] : 0;
}

static int hook_single(struct tls_probes *t, struct hook *h, const char *path)
{
	size_t n = 0;

	for (size_t i = 0; i < FUNCTIONS; i++) {
		for (int ret = functions[i].ret; ret >= 0 && h->file->offsets[i]; ret--) {
			void *handle = t->ops.attach_one(t->ops.ctx, h->pid, path,
			                                 h->file->offsets[i], functions[i].function,
			                                 ret);

			if (!handle)
				return errno ? -errno : -EINVAL;
			h->handles[n++] = handle;
		}
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
	const char *base = strrchr(m->path, '/') + 1;
	bool is_exe = strcmp(m->path, s->exe) == 0;
	bool is_ssl = strstr(base, "libssl") != NULL;
	const struct tls_file *f;

	if (!is_exe && !is_ssl && strncmp(base, "libpython", 9) != 0 &&
	    strncmp(base, "libnode", 7) != 0)
		return;
	f = file_look(s->t, s->pid, m);
	if (f && (f->found > 0 || is_ssl))
		file_hook(s->t, s->pid, f, true);
}

/* Told once it is mapped: a library hooked in advance may never be used. */
static void hook_report(struct tls_probes *t, struct hook *h)
{
	const struct tls_file *f = h->file;

	h->reported = true;
	if (f->found <= 0)
		t->ops.report(t->ops.ctx, h->pid, f->found ? LIB_FAILED : LIB_NO_SYMBOLS, -f->found,
		              0, f->path);
	else
		t->ops.report(t->ops.ctx, h->pid, h->err ? LIB_FAILED : LIB_HOOKED, -h->err,
		              h->err ? 0 : (unsigned)f->found, f->path);
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
		h->links[0] = h->links[1] = -1;
		h->next = t->hooks;
		t->hooks = h; /* also when it fails: tried once, not at every scan */
		snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
		if (f->found > 0 && !t->ops.dry)
			h->err = t->ops.multi ? hook_multi(t, h, path) : hook_single(t, h, path);
	}
	if (mapped && !h->reported)
		hook_report(t, h);
}

void tls_probes_prepare(struct tls_probes *t, uint32_t pid, const char *program)
{
	const struct tls_file *f = file_learn(t, program);

	learn_system(t);
	if (f && f->found > 0)
		file_hook(t, pid, f, false);
	tls_probes_expect(t, pid);
}

void tls_probes_expect(struct tls_probes *t, uint32_t pid)
{
	for (const struct tls_file *f = t->files; f; f = f->next)
		if (f->found > 0 && f->library)
			file_hook(t, pid, f, false);
}

int tls_probes_scan(struct tls_probes *t, uint32_t pid)
{
	struct scan s = { .t = t, .pid = pid };
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	n = readlink(path, s.exe, sizeof(s.exe) - 1);
	s.exe[n > 0 ? n : 0] = '\0';
	return procfs_each_exec_map(pid, map_visit, &s);
}

int tls_probes_list(uint32_t pid,
                    void (*report)(void *ctx, uint32_t pid, enum lib_state state, int err,
                                   unsigned functions, const char *path),
                    void *ctx)
{
	struct tls_probes_ops ops = { .dry = true, .report = report, .ctx = ctx };
	struct tls_probes *t = tls_probes_new(&ops);
	int err = t ? tls_probes_scan(t, pid) : -ENOMEM;

	tls_probes_free(t);
	return err;
}
