/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * _PyRuntime (a symbol every CPython exports) -> interpreters -> sys.modules -> asyncio.tasks -> _current_tasks, the
 * dict {loop: task} that asyncio's C code fills at the start of each step of a task and clears at its end. Offsets were
 * taken with offsetof() against each version's own headers; one layout holds for all releases of a minor version. What
 * is read is checked by the names of types and by pointers that must lead back.
 */
#include "python.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elf_sym.h"
#include "event.h"
#include "procfs.h"
#include "state.h"

#define INTERPRETERS_MAX 16  /* looked through; each has its own modules */
#define THREADS_LOOKED_AT 16 /* until one shows where threads keep their PyThreadState */
#define SETTLE_NS \
	5000000ull /* after a mapping, until the process is searched: mappings come in bursts */
/* Looks at an interpreter without asyncio. Often after a mapping: when its import ends, the first request is near. */
#define LOOK_NS 1000000ull
#define LOOKS_OFTEN 20
#define LOOK_LAST_NS 1000000000ull /* then ever more rarely, up to this */

/* glibc, x86-64: struct pthread's first block of thread-specific data, { sequence, value } each. */
#define SPECIFIC_AT 0x310
#define SPECIFIC_MAX 32

/* The same in all versions read here. */
#define MODULE_DICT 16

static const struct layout {
	uint32_t minor;
	uint32_t head;                   /* in _PyRuntime */
	uint32_t next, threads, modules; /* in an interpreter */
	uint16_t thread_id, dict;        /* in a PyThreadState */
	uint16_t loop;                   /* there too, the running loop; 0: it is in the dict ... */
	bool holder;                     /* ... in an object of its own */
	uint32_t runtime_size; /* of _PyRuntime on x86-64, where nothing else tells the version */
} layouts[] = {
	{ 8, 32, 0, 8, 56, 176, 152, 0, true, 1464 },
	{ 9, 32, 0, 8, 856, 176, 152, 0, true, 656 },
	{ 10, 32, 0, 8, 856, 176, 152, 0, true, 672 },
	{ 11, 40, 0, 16, 888, 152, 128, 0, true, 0 },
	{ 12, 40, 0, 72, 944, 136, 112, 0, false, 0 },
	{ 13, 632, 7264, 7344, 7656, 152, 128, 304, false, 0 },
};
#define LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

/* What an executable file holds of an interpreter. */
struct file {
	struct file *next;
	uint32_t major, minor;
	uint64_t ino, off;
	int found;
	struct elf_object objects[2];
	struct elf_object asyncio; /* the section .AsyncioDebug, from 3.14 on */
};
enum object { PY_RUNTIME, PY_VERSION, OBJECTS };
static const char *const object_names[OBJECTS] = { "_PyRuntime", "Py_Version" };

enum state { SEEKING, FOUND, LEFT_ALONE };

struct process {
	struct process *next;
	uint32_t pid;
	enum state state;
	unsigned looks; /* since it was new or mapped something */
	uint64_t wait_ns, next_ns;
	uint64_t runtime; /* address of _PyRuntime, 0 not found yet */
	const struct layout *layout;
};

struct pythons {
	int map_fd;
	struct process *processes;
	struct file *files;
};

/* ---- the interpreter ---- */

static const struct layout *layout_of(uint32_t minor)
{
	for (size_t i = 0; i < LAYOUTS; i++)
		if (layouts[i].minor == minor)
			return &layouts[i];
	return NULL;
}

/* By what the version itself says (3.11 on), else by the size of _PyRuntime, else by the file's name. 0 unknown. */
static uint32_t version_find(uint32_t pid, const struct file *f, uint64_t base, const char *path,
                             bool *free_threaded)
{
	uint64_t debug[3], version; /* _Py_DebugOffsets: cookie, version, free-threaded */
	const char *name;
	unsigned minor;

	if (f->objects[PY_VERSION].size) {
		*free_threaded = procfs_memory(pid, base + f->objects[PY_RUNTIME].addr, debug,
		                               sizeof(debug)) == 0 &&
		                 memcmp(debug, "xdebugpy", 8) == 0 && debug[2];
		return python_word(pid, base + f->objects[PY_VERSION].addr, &version) &&
		                       version >> 24 == 3
		               ? version >> 16 & 0xff
		               : 0;
	}
	for (size_t i = 0; i < LAYOUTS; i++)
		if (layouts[i].runtime_size &&
		    layouts[i].runtime_size == f->objects[PY_RUNTIME].size)
			return layouts[i].minor;
	name = strstr(strrchr(path, '/'), "python3.");
	return name && sscanf(name, "python3.%u", &minor) == 1 && minor < 11 ? minor : 0;
}

static const struct file *file_look(struct pythons *p, uint32_t pid, const struct proc_map *m)
{
	struct file *f;
	int fd;

	for (f = p->files; f; f = f->next)
		if (f->ino == m->ino && f->off == m->off && f->major == m->dev_major &&
		    f->minor == m->dev_minor)
			return f;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->major = m->dev_major;
	f->minor = m->dev_minor;
	f->ino = m->ino;
	f->off = m->off;
	fd = procfs_open_map(pid, m);
	if (fd >= 0) {
		f->found = elf_sym_objects(fd, object_names, OBJECTS, m->off, f->objects);
		elf_sym_section(fd, ".AsyncioDebug", m->off, &f->asyncio);
		close(fd);
	}
	f->next = p->files;
	p->files = f;
	return f;
}

struct scan {
	struct pythons *pythons;
	struct python_runtime *to;
	uint32_t pid;
	char exe[512];
	uint64_t asyncio; /* address of .AsyncioDebug, 0 none seen */
	bool library;     /* what was found is a libpython: the executable cannot be better */
};

static void map_visit(void *ctx, const struct proc_map *m)
{
	struct scan *s = ctx;
	const char *base = strrchr(m->path, '/') + 1;
	bool library = strncmp(base, "libpython3", 10) == 0;
	const struct file *f;

	/* asyncio's own library is _asyncio.cpython-314-... */
	if (s->library ? strncmp(base, "_asyncio.", 9) != 0
	               : !library && !strstr(base, "python") && strcmp(m->path, s->exe) != 0)
		return;
	f = file_look(s->pythons, s->pid, m);
	if (f && f->asyncio.size)
		s->asyncio = m->start + f->asyncio.addr;
	if (s->library || !f || f->found <= 0 || !f->objects[PY_RUNTIME].size)
		return;
	*s->to = (struct python_runtime){ .addr = m->start + f->objects[PY_RUNTIME].addr };
	s->to->minor = version_find(s->pid, f, m->start, m->path, &s->to->free_threaded);
	s->library = library;
}

bool pythons_find(struct pythons *p, uint32_t pid, struct python_runtime *to)
{
	struct scan s = { .pythons = p, .to = to, .pid = pid };
	const struct layout *l;
	char path[64];
	ssize_t n;

	*to = (struct python_runtime){ 0 };
	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	n = readlink(path, s.exe, sizeof(s.exe) - 1);
	s.exe[n > 0 ? n : 0] = '\0';
	procfs_each_exec_map(pid, map_visit, &s);
	to->asyncio_debug = s.asyncio;
	l = layout_of(to->minor);
	if (l) {
		to->head = l->head;
		to->next = l->next;
		to->threads = l->threads;
		to->thread_id = l->thread_id;
		to->modules = l->modules;
		to->dict = l->dict;
		to->loop = l->loop;
		to->holder = l->holder;
	}
	return to->addr != 0;
}

/* Where threads keep the pointer to their PyThreadState: shown by one whose state is known. 0 not found. */
static uint32_t tstate_place(uint32_t pid, const struct layout *l, uint64_t interp)
{
	uint64_t tstate, owner, thread, specific[SPECIFIC_MAX][2];

	if (!python_word(pid, interp + l->threads, &tstate))
		return 0;
	for (int n = 0; n < THREADS_LOOKED_AT && tstate; n++) {
		if (!python_word(pid, tstate + PYTHON_TSTATE_INTERP, &owner) || owner != interp)
			return 0;
		if (python_word(pid, tstate + l->thread_id, &thread) && thread &&
		    procfs_memory(pid, thread + SPECIFIC_AT, specific, sizeof(specific)) == 0)
			for (uint32_t i = 0; i < SPECIFIC_MAX; i++)
				if (specific[i][1] == tstate)
					return SPECIFIC_AT + i * 16 + 8;
		if (!python_word(pid, tstate + PYTHON_TSTATE_NEXT, &tstate))
			return 0;
	}
	return 0;
}

/* asyncio's dict {loop: task} of one interpreter. */
static bool tasks_find(uint32_t pid, const struct layout *l, uint64_t interp, uint64_t *tasks)
{
	const struct python_shape *s = python_shape(l->minor);
	uint64_t modules, module, names, found;

	if (!python_word(pid, interp + l->modules, &modules) ||
	    !python_dict_find(pid, s, modules, "asyncio.tasks", &module) ||
	    !python_is_a(pid, module, "module") ||
	    !python_word(pid, module + MODULE_DICT, &names) ||
	    !python_dict_find(pid, s, names, "_current_tasks", &found) ||
	    !python_is_a(pid, found, "dict"))
		return false;
	*tasks = found;
	return true;
}

/* All that the kernel programs need; of several interpreters with asyncio the oldest, which stands last, counts. */
static bool python_find(const struct process *p, struct python *to)
{
	const struct layout *l = p->layout;
	const struct python_shape *s = python_shape(l->minor);
	uint64_t interp, tasks;

	*to = (struct python){ .thread_id_at = l->thread_id,
		               .dict_at = l->dict,
		               .loop_at = l->loop,
		               .text_at = s->ascii,
		               .holder = l->holder,
		               .dict_log2 = s->log2 };
	if (!python_word(p->pid, p->runtime + l->head, &interp))
		return false;
	for (int n = 0; n < INTERPRETERS_MAX && interp; n++) {
		uint32_t place = tstate_place(p->pid, l, interp);

		if (place && tasks_find(p->pid, l, interp, &tasks)) {
			to->tstate_at = place;
			to->current_tasks = tasks;
		}
		if (!python_word(p->pid, interp + l->next, &interp))
			break;
	}
	return to->tstate_at != 0;
}

/* ---- the processes ---- */

static struct process **process_slot(struct pythons *p, uint32_t pid)
{
	struct process **slot = &p->processes;

	while (*slot && (*slot)->pid != pid)
		slot = &(*slot)->next;
	return slot;
}

static void process_look(struct pythons *p, struct process *process, uint64_t now_ns)
{
	struct python_runtime runtime;
	struct python found;

	if (!process->runtime && pythons_find(p, process->pid, &runtime)) {
		process->runtime = runtime.addr;
		process->layout = runtime.free_threaded ? NULL : layout_of(runtime.minor);
	}
	if (!process->runtime || !process->layout) {
		process->state = LEFT_ALONE;
		return;
	}
	if (python_find(process, &found) &&
	    bpf_map_update_elem(p->map_fd, &process->pid, &found, BPF_ANY) == 0) {
		process->state = FOUND;
		return;
	}
	process->state = SEEKING;
	if (process->looks++ < LOOKS_OFTEN)
		process->wait_ns = LOOK_NS;
	else if (process->wait_ns * 2 <= LOOK_LAST_NS)
		process->wait_ns *= 2;
	else
		process->wait_ns = LOOK_LAST_NS;
	process->next_ns = now_ns + process->wait_ns;
}

void pythons_look(struct pythons *p, uint32_t pid, uint64_t now_ns)
{
	struct process **slot = process_slot(p, pid);

	if (*slot)
		return;
	*slot = calloc(1, sizeof(**slot));
	if (!*slot)
		return;
	(*slot)->pid = pid;
	process_look(p, *slot, now_ns);
}

void pythons_mapped(struct pythons *p, uint32_t pid, uint64_t now_ns)
{
	struct process *process = *process_slot(p, pid);
	uint64_t wait_ns = process && process->runtime ? LOOK_NS : SETTLE_NS;

	if (!process || process->state == FOUND || (process->runtime && !process->layout))
		return;
	if (process->state == LEFT_ALONE || process->next_ns > now_ns + wait_ns)
		process->next_ns = now_ns + wait_ns;
	process->state = SEEKING;
	process->looks = 0;
}

void pythons_forget(struct pythons *p, uint32_t pid)
{
	struct process **slot = process_slot(p, pid), *process = *slot;

	if (!process)
		return;
	*slot = process->next;
	bpf_map_delete_elem(p->map_fd, &pid);
	free(process);
}

uint64_t pythons_poll(struct pythons *p, uint64_t now_ns)
{
	uint64_t next_ns = UINT64_MAX;

	for (struct process *process = p->processes; process; process = process->next) {
		if (process->state == SEEKING && process->next_ns <= now_ns)
			process_look(p, process, now_ns);
		if (process->state == SEEKING && process->next_ns < next_ns)
			next_ns = process->next_ns;
	}
	return next_ns;
}

struct pythons *pythons_new(int map_fd)
{
	struct pythons *p = calloc(1, sizeof(*p));

	if (p)
		p->map_fd = map_fd;
	return p;
}

void pythons_free(struct pythons *p)
{
	if (!p)
		return;
	while (p->processes)
		pythons_forget(p, p->processes->pid);
	while (p->files) {
		struct file *f = p->files;

		p->files = f->next;
		free(f);
	}
	free(p);
}
