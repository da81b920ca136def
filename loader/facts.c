/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of the kernel as numbers. Control groups: cgroup2, else the controllers' own hierarchies of version 1. */
#include "facts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "procfs.h"
#include "record.h"
#include "snapshot.h"

#define LOG_RECORDS_MAX \
	65536 /* a log of 8 MB has no more; one that grows faster than it is read ends here */
#define LOG_RECORD_MAX 8192   /* kernel: CONSOLE_EXT_LOG_MAX */
#define NO_LIMIT (1ull << 60) /* version 1 says "none" by a number near 2^63 */

static void fact(uint32_t pid, uint32_t kind, uint64_t value, uint64_t limit, event_fn emit,
                 void *ctx)
{
	struct ev_fact e = { .h = { .size = sizeof(e),
		                    .type = EV_FACT,
		                    .ts_ns = now_ns(),
		                    .pid = pid,
		                    .tid = pid },
		             .kind = kind,
		             .value = value,
		             .limit = limit };

	emit(ctx, &e.h);
}

/* ---- parsers ---- */

static const char *line_next(const char *line)
{
	line = strchr(line, '\n');
	return line && line[1] ? line + 1 : NULL;
}

int64_t facts_word(const char *text, const char *word, bool last)
{
	size_t n = strlen(word);

	for (const char *p = text; p; p = line_next(p)) {
		const char *number = p + n;

		if (strncmp(p, word, n) != 0)
			continue;
		for (const char *q = number; last && *q && *q != '\n'; q++)
			if (*q == '\t' || *q == ' ')
				number = q;
		number += strspn(number, " \t");
		return *number >= '0' && *number <= '9' ? strtoll(number, NULL, 10) : -1;
	}
	return -1;
}

int64_t facts_pressure(const char *text)
{
	unsigned whole, part;

	/* "some avg10=1.23 avg60=..." (Documentation/accounting/psi.rst) */
	if (sscanf(text, "some avg10=%3u.%2u", &whole, &part) != 2)
		return -1;
	return whole * 100 + part;
}

/* Is word one of a list with commas that ends at end? */
static bool in_list(const char *list, const char *end, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; p < end; p++) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		const char *stop = comma ? comma : end;

		if ((size_t)(stop - p) == n && memcmp(p, word, n) == 0)
			return true;
		p = stop;
	}
	return false;
}

bool facts_group(const char *text, const char *controller, char *path, size_t n)
{
	/* "4:memory:/a/b", cgroup2 "0::/a/b" (cgroups(7)) */
	for (const char *p = text; p; p = line_next(p)) {
		const char *list = strchr(p, ':'), *end = list ? strchr(list + 1, ':') : NULL;
		size_t len = end ? strcspn(end + 1, "\n") : 0;
		bool here = end && (controller ? in_list(list + 1, end, controller)
		                               : end == list + 1 && strncmp(p, "0:", 2) == 0);

		if (!here || len >= n)
			continue;
		memcpy(path, end + 1, len);
		path[len] = '\0';
		return true;
	}
	return false;
}

bool facts_mount(const char *text, const char *controller, char *at, char *root, size_t n)
{
	/* "36 35 98:0 /root /at opts [tags] - type source superopts" (proc_pid_mountinfo(5)) */
	for (const char *p = text; p; p = line_next(p)) {
		const char *words[6] = { p }, *end = p + strcspn(p, "\n"), *dash, *options;
		size_t len_root, len_at;
		unsigned k = 1;

		for (const char *q = p; q < end && k < 6; q++)
			if (*q == ' ')
				words[k++] = q + 1;
		dash = memmem(p, (size_t)(end - p), " - cgroup", 9);
		if (k < 6 || !dash)
			continue;
		options = dash + 9;
		if (!controller ? strncmp(options, "2 ", 2) != 0 : *options != ' ')
			continue;
		options = memrchr(options, ' ', (size_t)(end - options));
		if (controller && (!options || !in_list(options + 1, end, controller)))
			continue;
		len_root = (size_t)(words[4] - words[3] - 1);
		len_at = (size_t)(words[5] - words[4] - 1);
		if (len_root >= n || len_at >= n)
			continue;
		memcpy(root, words[3], len_root);
		root[len_root] = '\0';
		memcpy(at, words[4], len_at);
		at[len_at] = '\0';
		return true;
	}
	return false;
}

/* The value of ",name=" up to the next comma. */
static void value_of(const char *text, const char *name, char *to, size_t n)
{
	const char *p = strstr(text, name);
	size_t len = p ? strcspn(p + strlen(name), ",\n") : 0;

	if (!p || len >= n)
		return;
	memcpy(to, p + strlen(name), len);
	to[len] = '\0';
}

/* The words of mm/oom_kill.c, at the beginning of a message only: messages hold names that processes gave themselves. */
static const struct {
	const char *begins;
	int kind;
} oom_words[] = {
	{ "oom-kill:", KERNEL_OOM },
	{ "Out of memory: Killed process ", KERNEL_KILLED },
	{ "Memory cgroup out of memory: Killed process ", KERNEL_KILLED },
};

void facts_record(const char *text, size_t n, struct kernel_record *r)
{
	char copy[LOG_RECORD_MAX + 1], *message;
	unsigned long long at;
	unsigned priority;

	memset(r, 0, sizeof(*r));
	n = n < LOG_RECORD_MAX ? n : LOG_RECORD_MAX;
	memcpy(copy, text, n);
	copy[n] = '\0';
	/* "priority,number,us,flags;message"; what processes write has a facility (Documentation/ABI/testing/dev-kmsg) */
	message = strchr(copy, ';');
	if (!message || sscanf(copy, "%9u,%*20[0-9],%20llu,", &priority, &at) != 2 || priority > 7)
		return;
	message[1 + strcspn(message + 1, "\n")] = '\0';
	message++;
	for (size_t i = 0; i < sizeof(oom_words) / sizeof(*oom_words); i++) {
		size_t len = strlen(oom_words[i].begins);

		if (strncmp(message, oom_words[i].begins, len) != 0)
			continue;
		r->at_us = at;
		if (oom_words[i].kind == KERNEL_OOM) {
			char pid[16] = "";

			value_of(message, ",pid=", pid, sizeof(pid));
			value_of(message, ",task_memcg=", r->group, sizeof(r->group));
			r->pid = (uint32_t)strtoul(pid, NULL, 10);
		} else {
			r->pid = (uint32_t)strtoul(message + len, NULL, 10);
		}
		if (r->pid)
			r->kind = oom_words[i].kind;
	}
}

/* ---- of a process ---- */

static void count_number(void *ctx, uint32_t n)
{
	(void)n;
	++*(uint64_t *)ctx;
}

static void fds_fact(uint32_t pid, event_fn emit, void *ctx)
{
	char limits[4096];
	int64_t limit = -1;
	uint64_t n = 0;

	if (procfs_each_number(pid, "fd", count_number, &n))
		return;
	if (procfs_read(pid, "limits", limits, sizeof(limits)) > 0)
		limit = facts_word(limits, "Max open files", false);
	fact(pid, FACT_FDS, n, limit > 0 ? (uint64_t)limit : 0, emit, ctx);
}

static void stat_facts(uint32_t pid, event_fn emit, void *ctx)
{
	struct proc_stat st;

	if (procfs_stat(pid, &st))
		return;
	fact(pid, FACT_FORKED, st.forked, 0, emit, ctx);
	fact(pid, FACT_CPU_NS, st.cpu_ns, 0, emit, ctx);
	if (procfs_ended(&st))
		fact(pid, FACT_EXIT_STATUS, (uint32_t)st.exit_code, 0, emit, ctx);
}

static void status_facts(uint32_t pid, event_fn emit, void *ctx)
{
	char status[8192];
	int64_t v;

	if (procfs_read(pid, "status", status, sizeof(status)) <= 0)
		return;
	v = facts_word(status, "TracerPid:", false);
	if (v >= 0)
		fact(pid, FACT_TRACER, (uint64_t)v, 0, emit, ctx);
	v = facts_word(status, "NSpid:", true);
	if (v > 0)
		fact(pid, FACT_NSPID, (uint64_t)v, 0, emit, ctx);
}

static void io_facts(uint32_t pid, event_fn emit, void *ctx)
{
	static const struct {
		uint32_t kind;
		const char *bytes, *calls;
	} table[] = { { FACT_WRITTEN, "wchar:", "syscw:" }, { FACT_READ, "rchar:", "syscr:" } };
	char io[1024];

	if (procfs_read(pid, "io", io, sizeof(io)) <= 0)
		return;
	for (size_t i = 0; i < 2; i++) {
		int64_t bytes = facts_word(io, table[i].bytes, false);
		int64_t calls = facts_word(io, table[i].calls, false);

		if (bytes >= 0 && calls >= 0)
			fact(pid, table[i].kind, (uint64_t)bytes, (uint64_t)calls, emit, ctx);
	}
}

/* ---- of its control group ---- */

/* A file of a group, and how it is read. */
static bool group_read(const char *dir, const char *name, char *to, size_t n)
{
	char path[FACTS_TEXT_MAX + 64];
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	got = fd >= 0 ? read(fd, to, n - 1) : -1;
	if (fd >= 0)
		close(fd);
	to[got > 0 ? got : 0] = '\0';
	return got > 0;
}

static void group_add(struct facts *f, uint32_t kind, uint64_t value, uint64_t limit)
{
	if (f->n == FACTS_GROUP_MAX)
		return;
	f->of_group[f->n].kind = kind;
	f->of_group[f->n].value = value;
	f->of_group[f->n++].limit = limit;
}

/* The directory of the group, and how much of it is the mount: above that there is nothing to read. */
static bool group_dir(const char *text, const char *mounts, const char *controller,
                      char dir[2 * FACTS_TEXT_MAX], size_t *top)
{
	char path[FACTS_TEXT_MAX], at[FACTS_TEXT_MAX], root[FACTS_TEXT_MAX];
	size_t len;

	if (!facts_group(text, controller, path, sizeof(path)) ||
	    !facts_mount(mounts, controller, at, root, sizeof(root)))
		return false;
	len = strcmp(root, "/") == 0 ? 0 : strlen(root);
	if (strncmp(path, root, len) != 0 || strstr(path, ".."))
		return false; /* not below what we have mounted */
	*top = strlen(at);
	snprintf(dir, 2 * FACTS_TEXT_MAX, "%s%s", at, path + len);
	while (strlen(dir) > *top && dir[strlen(dir) - 1] == '/')
		dir[strlen(dir) - 1] = '\0';
	return true;
}

/* What is used and the limit: of the nearest group, upwards, that has a limit, else its own. */
static void limit_fact(struct facts *f, uint32_t kind, const char *own, size_t top,
                       const char *used_name, const char *limit_name)
{
	char dir[2 * FACTS_TEXT_MAX], used[64], limit[64];
	uint64_t first = 0, max;
	bool any = false;

	snprintf(dir, sizeof(dir), "%s", own);
	for (;;) {
		char *slash = strrchr(dir, '/');

		if (group_read(dir, used_name, used, sizeof(used)) &&
		    group_read(dir, limit_name, limit, sizeof(limit))) {
			if (!any)
				first = strtoull(used, NULL, 10);
			any = true;
			max = limit[0] == 'm' ? 0 : strtoull(limit, NULL, 10); /* "max": none */
			if (max && max < NO_LIMIT) {
				group_add(f, kind, strtoull(used, NULL, 10), max);
				return;
			}
		}
		if (strlen(dir) <= top || !slash)
			break;
		*slash = '\0';
	}
	if (any)
		group_add(f, kind, first, 0);
}

static void word_fact(struct facts *f, uint32_t kind, const char *dir, const char *name,
                      const char *word)
{
	char text[4096];
	int64_t v = group_read(dir, name, text, sizeof(text)) ? facts_word(text, word, false) : -1;

	if (v >= 0)
		group_add(f, kind, (uint64_t)v, 0);
}

static void pressure_fact(struct facts *f, uint32_t kind, const char *dir, const char *name)
{
	char text[512];
	int64_t v = group_read(dir, name, text, sizeof(text)) ? facts_pressure(text) : -1;

	if (v >= 0)
		group_add(f, kind, (uint64_t)v, 0);
}

static void group_find(struct facts *f, const char *mounts)
{
	char dir[2 * FACTS_TEXT_MAX];
	size_t top;

	f->n = 0;
	if (group_dir(f->group, mounts, "memory", dir, &top)) {
		limit_fact(f, FACT_MEMORY, dir, top, "memory.usage_in_bytes",
		           "memory.limit_in_bytes");
		word_fact(f, FACT_OOM_KILLS, dir, "memory.oom_control", "oom_kill ");
	}
	if (group_dir(f->group, mounts, "pids", dir, &top))
		limit_fact(f, FACT_PIDS, dir, top, "pids.current", "pids.max");
	if (!group_dir(f->group, mounts, NULL, dir, &top))
		return;
	/* a controller is in one hierarchy only: what version 1 has is not here */
	limit_fact(f, FACT_MEMORY, dir, top, "memory.current", "memory.max");
	word_fact(f, FACT_OOM_KILLS, dir, "memory.events", "oom_kill ");
	limit_fact(f, FACT_PIDS, dir, top, "pids.current", "pids.max");
	pressure_fact(f, FACT_PRESSURE_CPU, dir, "cpu.pressure");
	pressure_fact(f, FACT_PRESSURE_MEMORY, dir, "memory.pressure");
	pressure_fact(f, FACT_PRESSURE_IO, dir, "io.pressure");
}

static void group_facts(struct facts *f, uint32_t pid, event_fn emit, void *ctx)
{
	char group[FACTS_TEXT_MAX], mounts[65536];

	if (procfs_read(pid, "cgroup", group, sizeof(group)) <= 0)
		return;
	if (strcmp(group, f->group) != 0) {
		if (procfs_read((uint32_t)getpid(), "mountinfo", mounts, sizeof(mounts)) <= 0)
			return;
		memcpy(f->group, group, sizeof(group));
		group_find(f, mounts);
	}
	for (size_t i = 0; i < f->n; i++)
		fact(pid, f->of_group[i].kind, f->of_group[i].value, f->of_group[i].limit, emit,
		     ctx);
}

void facts_take(struct facts *f, uint32_t pid, event_fn emit, void *ctx)
{
	stat_facts(pid, emit, ctx);
	status_facts(pid, emit, ctx);
	fds_fact(pid, emit, ctx);
	io_facts(pid, emit, ctx);
	group_facts(f, pid, emit, ctx);
}

/* ---- the kernel's log ---- */

struct tree {
	const uint32_t *pids;
	size_t n;
	uint64_t start_us; /* of the process started first, since boot */
};

/* The log has paths from the very top, we have them from where our namespace begins. */
static bool group_ends(const char *group, const char *path)
{
	size_t n = strlen(group), k = strlen(path);

	return strcmp(group, path) == 0 || (k > 1 && n >= k && strcmp(group + n - k, path) == 0);
}

static bool of_tree(const struct tree *t, const struct kernel_record *killed, const char *group)
{
	char text[FACTS_TEXT_MAX], path[FACTS_TEXT_MAX];
	struct proc_stat st;

	if (killed->at_us < t->start_us)
		return false;
	if (procfs_stat(killed->pid, &st) || !procfs_ended(&st))
		st.ppid = 0; /* nobody waits for it: gone, or its number is somebody else's */
	for (size_t i = 0; i < t->n; i++) {
		if (t->pids[i] == killed->pid || t->pids[i] == st.ppid)
			return true;
		if (procfs_read(t->pids[i], "cgroup", text, sizeof(text)) <= 0)
			continue;
		if (!facts_group(text, "memory", path, sizeof(path)) &&
		    !facts_group(text, NULL, path, sizeof(path)))
			continue;
		/* a kernel that does not tell the group: what was killed since may have been ours */
		if (!group[0] || group_ends(group, path))
			return true;
	}
	return false;
}

static void log_read(const struct tree *t, int fd, event_fn emit, void *ctx)
{
	struct kernel_record r, oom = { 0 };
	char text[LOG_RECORD_MAX];

	for (unsigned i = 0; i < LOG_RECORDS_MAX; i++) {
		ssize_t n = read(fd, text, sizeof(text));
		uint64_t now = now_ns();

		if (n < 0 && (errno == EINTR || errno == EPIPE)) /* EPIPE: some were overwritten */
			continue;
		if (n <= 0)
			return;
		facts_record(text, (size_t)n, &r);
		if (r.kind == KERNEL_OOM)
			oom = r;
		if (r.kind == KERNEL_KILLED && of_tree(t, &r, oom.pid == r.pid ? oom.group : ""))
			fact(r.pid, FACT_OOM_KILLED,
			     now > r.at_us * 1000 ? now - r.at_us * 1000 : 0, 0, emit, ctx);
	}
}

void facts_take_kills(const uint32_t *pids, size_t n, event_fn emit, void *ctx)
{
	struct tree t = { pids, n, UINT64_MAX };
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0) {
		struct record room;

		emit(ctx, record_missing(&room, 0, "oom_kills", strerror(errno)));
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct proc_stat st;

		if (procfs_stat(pids[i], &st) == 0 && st.start_ns / 1000 < t.start_us)
			t.start_us = st.start_ns / 1000;
	}
	log_read(&t, fd, emit, ctx);
	close(fd);
}
