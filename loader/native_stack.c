/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Per process its map of executable files, per thread a copy of its stack. The thread's context switches and its state are
 * looked at after the last byte was copied: if it still sleeps and was not switched since, its registers and its stack belong together.
 */
#include "native_stack.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "native_file.h"
#include "native_step.h"
#include "proc_rows.h"
#include "procfs.h"
#include "record.h"
#include "snapshot.h"

#define FRAMES_MAX 64 /* of a thread: far beyond where one sees what it waits for */
#define FILES_MAX 256 /* with code on some stack, each an open descriptor (of 1024); torch has 40 */
#define MAPS_MAX \
	16384 /* executable mappings of a process; twice as many as Node or a JVM with all libraries */
#define FUNCTION_MAX 256  /* characters of a name: of a C++ template the beginning tells enough */
#define WINDOW (16 << 10) /* bytes of stack copied at first: 9 in 10 stacks lie in it */
#define WINDOW_MAX (128 << 10) /* ... and each further time */
#define WINDOWS_MAX 8          /* copies for a thread: 64 frames seldom need two */

struct file {
	uint64_t ino;
	uint32_t dev_major, dev_minor;
	struct native_file *elf; /* NULL: no ELF file, or not to be opened */
};

struct map {
	uint64_t start, end, off, ino;
	uint32_t dev_major, dev_minor;
	struct file *file; /* NULL: not looked up yet */
	char *path;        /* owned */
};

struct frame {
	const struct map *map; /* NULL: code without a file */
	uint64_t addr;         /* in the file's numbers, else in memory */
	bool signal;
};

struct window {
	uint64_t at;
	size_t n;
	unsigned copies;
	char bytes[WINDOW_MAX];
};

struct native_stacks {
	struct file files[FILES_MAX];
	size_t nfiles;
	bool files_full;
	uint32_t pid; /* the process being read */
	struct map *maps;
	size_t nmaps, maps_room;
	bool maps_full;
	unsigned threads, late,
		unknown; /* of it: to be read, not begun for want of time, without a first frame */
	struct window window;
	struct frame frames[FRAMES_MAX];
	size_t nframes;
	struct record room;
};

struct native_stacks *native_stacks_new(void)
{
	return calloc(1, sizeof(struct native_stacks));
}

static void maps_drop(struct native_stacks *s)
{
	for (size_t i = 0; i < s->nmaps; i++)
		free(s->maps[i].path);
	s->nmaps = 0;
}

void native_stacks_free(struct native_stacks *s)
{
	if (!s)
		return;
	maps_drop(s);
	free(s->maps);
	for (size_t i = 0; i < s->nfiles; i++)
		native_file_free(s->files[i].elf);
	free(s);
}

const char *native_stacks_without(void)
{
	return NULL;
}

/* ---- memory map and files ---- */

static void map_add(void *ctx, const struct proc_map *m)
{
	struct native_stacks *s = ctx;

	if (s->nmaps == MAPS_MAX) {
		s->maps_full = true;
		return;
	}
	if (s->nmaps == s->maps_room) {
		size_t room = s->maps_room ? s->maps_room * 2 : 64;
		struct map *more = realloc(s->maps, room * sizeof(*more));

		if (!more)
			return;
		s->maps = more;
		s->maps_room = room;
	}
	s->maps[s->nmaps++] = (struct map){ m->start,     m->end,       m->off, m->ino,
		                            m->dev_major, m->dev_minor, NULL,   strdup(m->path) };
}

/* /proc lists mappings by address. */
static struct map *map_find(struct native_stacks *s, uint64_t addr)
{
	size_t lo = 0, hi = s->nmaps;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->maps[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->nmaps && s->maps[lo].start <= addr ? &s->maps[lo] : NULL;
}

static struct native_file *file_open(uint32_t pid, const struct map *m)
{
	struct proc_map at = { .start = m->start, .end = m->end };
	int fd = procfs_open_map(pid, &at);

	return fd < 0 ? NULL : native_file_new(fd);
}

static struct file *file_find(struct native_stacks *s, struct map *m)
{
	struct file *f;

	if (m->file)
		return m->file;
	for (size_t i = 0; i < s->nfiles && !m->file; i++) {
		f = &s->files[i];
		if (f->ino == m->ino && f->dev_major == m->dev_major &&
		    f->dev_minor == m->dev_minor)
			m->file = f;
	}
	if (m->file)
		return m->file;
	if (s->nfiles == FILES_MAX) {
		s->files_full = true;
		return NULL;
	}
	f = &s->files[s->nfiles++];
	*f = (struct file){ m->ino, m->dev_major, m->dev_minor, file_open(s->pid, m) };
	m->file = f;
	return f;
}

/* ---- the stack ---- */

/* Copies what is there from addr on: a stack ends before the window does. */
static bool window_move(struct native_stacks *s, uint64_t addr)
{
	struct window *w = &s->window;
	size_t want = w->copies ? WINDOW_MAX : WINDOW;
	struct iovec local = { w->bytes, want }, remote = { (void *)(uintptr_t)addr, want };
	ssize_t n;

	if (w->copies == WINDOWS_MAX)
		return false;
	n = process_vm_readv((pid_t)s->pid, &local, 1, &remote, 1, 0);
	w->copies++;
	w->at = addr;
	w->n = n > 0 ? (size_t)n : 0;
	return true;
}

static bool in_window(const struct window *w, uint64_t addr)
{
	return addr >= w->at && addr - w->at < w->n && w->n - (addr - w->at) >= sizeof(uint64_t);
}

/* Code is read past the window, which stays on the stack. */
static bool stack_word(void *ctx, uint64_t addr, uint64_t *to)
{
	struct native_stacks *s = ctx;
	struct window *w = &s->window;

	if (!in_window(w, addr)) {
		if (addr < w->at || map_find(s, addr))
			return procfs_memory(s->pid, addr, to, sizeof(*to)) == 0;
		if (!window_move(s, addr) || !in_window(w, addr))
			return false;
	}
	memcpy(to, w->bytes + (addr - w->at), sizeof(*to));
	return true;
}

/* One frame at regs->pc, and the step to its caller. exact: pc is where it goes on, not where a call returns to. */
static enum native_step frame_add(struct native_stacks *s, struct native_regs *regs, bool *exact)
{
	struct frame *f = &s->frames[s->nframes++];
	uint64_t pc = regs->pc - (*exact ? 0 : 1);
	struct map *m = map_find(s, pc);
	struct file *file = m ? file_find(s, m) : NULL;
	enum native_step step = NATIVE_NO_RULE;

	*f = (struct frame){ m, pc, false };
	if (file && file->elf && native_file_address(file->elf, pc - m->start + m->off, &f->addr))
		step = native_step_rules(native_file_rules(file->elf), f->addr, regs, &f->signal,
		                         stack_word, s);
	if (step == NATIVE_NO_RULE)
		step = native_step_pointer(regs, stack_word, s);
	*exact = f->signal;
	return step;
}

/* True: down to the outermost function. */
static bool thread_unwind(struct native_stacks *s, const struct snap_thread *row)
{
	enum native_step step = NATIVE_CALLER;
	struct native_regs regs;
	bool exact = true;

	native_regs_set(&regs, row);
	s->nframes = 0;
	s->window.copies = 0;
	s->window.n = 0;
	window_move(s, row->sp);
	while (step == NATIVE_CALLER && s->nframes < FRAMES_MAX)
		step = frame_add(s, &regs, &exact);
	return step == NATIVE_OUTERMOST;
}

/* ---- records ---- */

/* Names in files and paths may hold anything: no control character gets through, least of all a tab. */
static void text_add(struct event *e, const char *text, size_t max)
{
	char *to = (char *)e + e->size;

	for (size_t i = 0; text[i] && i < max && e->size < EVENT_SIZE_MAX; i++, e->size++)
		*to++ = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
}

static void byte_add(struct event *e, char c)
{
	if (e->size < EVENT_SIZE_MAX)
		((char *)e)[e->size++] = c;
}

static void frame_text(struct event *e, const struct frame *f)
{
	const char *name = NULL;
	char number[24];

	if (f->map && f->map->file && f->map->file->elf)
		name = native_file_function(f->map->file->elf, f->addr);
	if (f->signal)
		name = "<signal handler called>"; /* as gdb says */
	if (!name) {
		snprintf(number, sizeof(number), "0x%" PRIx64, f->addr);
		name = number;
	}
	text_add(e, name, FUNCTION_MAX);
	byte_add(e, '\t');
	text_add(e, f->map && f->map->path ? f->map->path : "", SIZE_MAX);
	byte_add(e, '\t');
	byte_add(e, '0');
	byte_add(e, '\n');
}

static void frames_emit(struct native_stacks *s, uint32_t tid, uint32_t flags, event_fn emit,
                        void *ctx)
{
	struct ev_frames *e = record_begin(&s->room, EV_FRAMES, sizeof(*e), s->pid, tid);

	e->kind = FRAMES_NATIVE;
	for (size_t i = 0; i < s->nframes; i++) {
		uint32_t before = e->h.size;

		frame_text(&e->h, &s->frames[i]);
		if (e->h.size < EVENT_SIZE_MAX)
			continue;
		e->h.size = before; /* very long paths: whole lines only */
		flags |= FRAMES_CUT;
		break;
	}
	e->flags = flags;
	emit(ctx, &e->h);
}

static void thread_read(struct native_stacks *s, const struct snap_thread *row, event_fn emit,
                        void *ctx)
{
	bool whole = thread_unwind(s, row),
	     torn = !proc_slept_since(s->pid, row->tid, row->switches);

	if (!s->nframes || !s->frames[0].map) { /* not even the system call's place is known */
		s->unknown++;
		return;
	}
	if (torn && !whole)
		return;
	frames_emit(s, row->tid, (torn ? FRAMES_TORN : 0) | (whole ? 0 : FRAMES_CUT), emit, ctx);
}

static void missing_emit(struct native_stacks *s, event_fn emit, void *ctx)
{
	char why[256] = "";

	if (s->late)
		snprintf(why, sizeof(why), "%u of %u threads were not read for want of time",
		         s->late, s->threads);
	else if (s->unknown)
		snprintf(why, sizeof(why), "%u of %u threads are in code of no file", s->unknown,
		         s->threads);
	else if (s->files_full || s->maps_full)
		snprintf(why, sizeof(why), "it has more files with code than are read");
	if (!why[0])
		return;
	emit(ctx, record_missing(&s->room, s->pid, "native_frames", why));
}

void native_stacks_read(struct native_stacks *s, uint32_t pid, const struct snap_thread *rows,
                        size_t n, uint64_t end_ns, event_fn emit, void *ctx)
{
	s->pid = pid;
	s->threads = s->late = s->unknown = 0;
	s->maps_full = s->files_full = false;
	maps_drop(s);
	for (size_t i = 0; i < n; i++) {
		/* sp 0: no memory of its own (a kernel thread, or one that has ended) */
		if (rows[i].tgid != pid || rows[i].on_cpu || !rows[i].sp)
			continue;
		s->threads++;
		if (now_ns() >= end_ns) {
			s->late++;
			continue;
		}
		if (!s->nmaps)
			procfs_each_exec_map(pid, map_add, s);
		thread_read(s, &rows[i], emit, ctx);
	}
	missing_emit(s, emit, ctx);
}
