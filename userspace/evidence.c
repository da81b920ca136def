/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The newest snapshot as sorted tables of event copies. Two sets: one being gathered, one complete
 * and shown.
 */
#include "evidence.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum row_kind { ROW_PROCESS, ROW_THREAD, ROW_FRAMES, ROW_FD, ROW_SOCKET, ROW_KINDS };

struct table {
	struct event **rows;
	size_t n, room;
};

struct set {
	struct table tables[ROW_KINDS];
	uint64_t time_ns; /* end of its snapshot */
	size_t bytes, records;
	uint64_t dropped;
};

struct evidence {
	struct set current, pending;
	bool open; /* between begin and end */
};

/* What a row is sorted by and found with. */
struct key {
	uint64_t high, low;
};

static struct key row_key(enum row_kind kind, const struct event *ev)
{
	switch (kind) {
	case ROW_PROCESS:
		return (struct key){ ev->pid, 0 };
	case ROW_THREAD:
		return (struct key){ ev->pid, ev->tid };
	case ROW_FRAMES:
		return (struct key){ ev->pid, (uint64_t)((const struct ev_frames *)ev)->kind << 32 |
			                              ev->tid };
	case ROW_FD:
		return (struct key){ ev->pid, (uint32_t)((const struct ev_fd *)ev)->fd };
	default:
		return (struct key){ ((const struct ev_socket *)ev)->sock, 0 };
	}
}

static int key_compare(struct key a, struct key b)
{
	if (a.high != b.high)
		return a.high < b.high ? -1 : 1;
	if (a.low != b.low)
		return a.low < b.low ? -1 : 1;
	return 0;
}

static int row_compare(const void *a, const void *b, void *kind)
{
	const struct event *x = *(struct event *const *)a, *y = *(struct event *const *)b;
	enum row_kind k = *(const enum row_kind *)kind;
	int order = key_compare(row_key(k, x), row_key(k, y));

	if (order == 0 && x->ts_ns != y->ts_ns)
		order = x->ts_ns < y->ts_ns ? -1 : 1;
	return order;
}

/* First row at or after key. */
static size_t table_bound(const struct table *t, enum row_kind kind, struct key key)
{
	size_t from = 0, to = t->n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (key_compare(row_key(kind, t->rows[middle]), key) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static struct event *table_find(const struct table *t, enum row_kind kind, struct key key)
{
	size_t i = table_bound(t, kind, key);

	if (i == t->n || key_compare(row_key(kind, t->rows[i]), key) != 0)
		return NULL;
	return t->rows[i];
}

static int table_insert(struct table *t, size_t at, struct event *row)
{
	if (t->n == t->room) {
		size_t room = t->room ? 2 * t->room : 64;
		struct event **rows = realloc(t->rows, room * sizeof(*rows));

		if (!rows)
			return -ENOMEM;
		t->rows = rows;
		t->room = room;
	}
	memmove(t->rows + at + 1, t->rows + at, (t->n - at) * sizeof(*t->rows));
	t->rows[at] = row;
	t->n++;
	return 0;
}

static void set_clear(struct set *s)
{
	for (int k = 0; k < ROW_KINDS; k++) {
		for (size_t i = 0; i < s->tables[k].n; i++)
			free(s->tables[k].rows[i]);
		free(s->tables[k].rows);
	}
	*s = (struct set){ 0 };
}

static struct event *set_copy(struct set *s, const struct event *ev)
{
	struct event *copy;

	if (s->records >= EVIDENCE_RECORDS_MAX || s->bytes + ev->size > EVIDENCE_BYTES_MAX)
		return NULL;
	copy = malloc(ev->size);
	if (!copy)
		return NULL;
	memcpy(copy, ev, ev->size);
	s->records++;
	s->bytes += ev->size;
	return copy;
}

static void set_add(struct set *s, enum row_kind kind, const struct event *ev)
{
	struct event *copy = set_copy(s, ev);

	if (!copy || table_insert(&s->tables[kind], s->tables[kind].n, copy) < 0) {
		free(copy);
		s->dropped++;
	}
}

/* Puts a process that was found outside of a snapshot into a sorted set. */
static void set_put_process(struct set *s, const struct event *ev)
{
	struct table *t = &s->tables[ROW_PROCESS];
	struct key key = row_key(ROW_PROCESS, ev);
	size_t at = table_bound(t, ROW_PROCESS, key);
	struct event *copy = set_copy(s, ev);

	if (!copy) {
		s->dropped++;
		return;
	}
	if (at < t->n && key_compare(row_key(ROW_PROCESS, t->rows[at]), key) == 0) {
		s->bytes -= t->rows[at]->size;
		s->records--;
		free(t->rows[at]);
		t->rows[at] = copy;
	} else if (table_insert(t, at, copy) < 0) {
		free(copy);
		s->dropped++;
	}
}

static void set_sort(struct set *s)
{
	for (enum row_kind k = 0; k < ROW_KINDS; k++) {
		struct table *t = &s->tables[k];
		size_t kept = 0;

		if (t->n)
			qsort_r(t->rows, t->n, sizeof(*t->rows), row_compare, &k);
		for (size_t i = 0; i < t->n; i++) {
			bool last = i + 1 == t->n ||
			            key_compare(row_key(k, t->rows[i]), row_key(k, t->rows[i + 1]));

			if (last)
				t->rows[kept++] = t->rows[i];
			else
				free(t->rows[i]);
		}
		t->n = kept;
	}
}

/*
 * A process seen before keeps its row while the new snapshot shows threads of it and no row of its
 * own.
 */
static void set_inherit(struct set *s, const struct set *old)
{
	const struct table *processes = &old->tables[ROW_PROCESS];

	for (size_t i = 0; i < processes->n; i++) {
		const struct event *row = processes->rows[i];
		const struct table *threads = &s->tables[ROW_THREAD];
		size_t t = table_bound(threads, ROW_THREAD, (struct key){ row->pid, 0 });

		if (t < threads->n && threads->rows[t]->pid == row->pid &&
		    !table_find(&s->tables[ROW_PROCESS], ROW_PROCESS, row_key(ROW_PROCESS, row)))
			set_put_process(s, row);
	}
}

static void snapshot_edge(struct evidence *e, const struct event *ev)
{
	if (ev->flags & EVF_BEGIN) {
		set_clear(&e->pending);
		e->open = true;
	} else if (e->open) {
		e->open = false;
		set_sort(&e->pending);
		set_inherit(&e->pending, &e->current);
		e->pending.time_ns = ev->ts_ns;
		set_clear(&e->current);
		e->current = e->pending;
		e->pending = (struct set){ 0 };
	}
}

static int row_kind_of(const struct event *ev, size_t *smallest)
{
	switch (ev->type) {
	case EV_PROCESS:
		*smallest = sizeof(struct ev_process);
		return ROW_PROCESS;
	case EV_THREAD:
		*smallest = sizeof(struct ev_thread);
		return ROW_THREAD;
	case EV_FRAMES:
		*smallest = sizeof(struct ev_frames);
		return ROW_FRAMES;
	case EV_FD:
		*smallest = sizeof(struct ev_fd);
		return ROW_FD;
	case EV_SOCKET:
		*smallest = sizeof(struct ev_socket);
		return ev->flags & EVF_SEEDED ? ROW_SOCKET : -1;
	default:
		return -1;
	}
}

struct evidence *evidence_new(void)
{
	return calloc(1, sizeof(struct evidence));
}

void evidence_free(struct evidence *e)
{
	if (!e)
		return;
	set_clear(&e->current);
	set_clear(&e->pending);
	free(e);
}

void evidence_feed(struct evidence *e, const struct event *ev)
{
	size_t smallest = 0;
	int kind;

	if (ev->type == EV_SNAPSHOT) {
		snapshot_edge(e, ev);
		return;
	}
	kind = row_kind_of(ev, &smallest);
	if (kind < 0)
		return;
	if (ev->size < smallest || ev->size > EVENT_SIZE_MAX)
		(e->open ? &e->pending : &e->current)->dropped++;
	else if (e->open)
		set_add(&e->pending, (enum row_kind)kind, ev);
	else if (kind == ROW_PROCESS)
		set_put_process(&e->current, ev);
}

uint64_t evidence_time(const struct evidence *e)
{
	return e->current.time_ns;
}

uint64_t evidence_dropped(const struct evidence *e)
{
	return e->current.dropped;
}

static struct event *const *rows_of(const struct evidence *e, enum row_kind kind, uint32_t pid,
                                    size_t *n)
{
	const struct table *t = &e->current.tables[kind];
	size_t from = 0, to = t->n;

	if (pid) {
		from = table_bound(t, kind, (struct key){ pid, 0 });
		to = table_bound(t, kind, (struct key){ (uint64_t)pid + 1, 0 });
	}
	*n = to - from;
	return t->rows ? t->rows + from : NULL;
}

const struct ev_process *const *evidence_processes(const struct evidence *e, size_t *n)
{
	return (const struct ev_process *const *)rows_of(e, ROW_PROCESS, 0, n);
}

const struct ev_thread *const *evidence_threads(const struct evidence *e, uint32_t pid, size_t *n)
{
	return (const struct ev_thread *const *)rows_of(e, ROW_THREAD, pid, n);
}

const struct ev_fd *const *evidence_fds(const struct evidence *e, uint32_t pid, size_t *n)
{
	return (const struct ev_fd *const *)rows_of(e, ROW_FD, pid, n);
}

const struct ev_socket *const *evidence_sockets(const struct evidence *e, size_t *n)
{
	return (const struct ev_socket *const *)rows_of(e, ROW_SOCKET, 0, n);
}

static const void *row_find(const struct evidence *e, enum row_kind kind, struct key key)
{
	return table_find(&e->current.tables[kind], kind, key);
}

const struct ev_process *evidence_process(const struct evidence *e, uint32_t pid)
{
	return row_find(e, ROW_PROCESS, (struct key){ pid, 0 });
}

const struct ev_fd *evidence_fd(const struct evidence *e, uint32_t pid, int32_t fd)
{
	return row_find(e, ROW_FD, (struct key){ pid, (uint32_t)fd });
}

const struct ev_socket *evidence_socket(const struct evidence *e, uint64_t sock)
{
	return row_find(e, ROW_SOCKET, (struct key){ sock, 0 });
}

const struct ev_frames *evidence_frames(const struct evidence *e, uint32_t pid, uint32_t tid)
{
	return row_find(e, ROW_FRAMES, (struct key){ pid, (uint64_t)FRAMES_PYTHON << 32 | tid });
}

const struct ev_frames *evidence_frames_missing(const struct evidence *e, uint32_t pid)
{
	return row_find(e, ROW_FRAMES, (struct key){ pid, (uint64_t)FRAMES_MISSING << 32 });
}

/* Up to the next c or the end; *rest is what follows it. */
static struct bytes part_to(struct bytes *rest, char c)
{
	const char *end = rest->n ? memchr(rest->p, c, rest->n) : NULL;
	struct bytes part = { rest->p, end ? (size_t)(end - rest->p) : rest->n };

	*rest = bytes_from(*rest, part.n + (end != NULL));
	return part;
}

struct thread_text thread_text(const struct ev_thread *t)
{
	struct bytes rest = { t->text, t->h.size - sizeof(*t) };
	struct thread_text text;

	text.name = part_to(&rest, '\0');
	text.wchan = part_to(&rest, '\0');
	text.stack = part_to(&rest, '\0');
	return text;
}

struct bytes fd_text(const struct ev_fd *f)
{
	struct bytes rest = { f->text, f->h.size - sizeof(*f) };

	return part_to(&rest, '\0');
}

struct bytes process_text(const struct ev_process *p)
{
	return (struct bytes){ p->text, p->h.size - sizeof(*p) };
}

struct bytes socket_path(const struct ev_socket *s)
{
	return (struct bytes){ s->path, s->h.size - sizeof(*s) };
}

uint32_t thread_nfds(const struct ev_thread *t)
{
	return t->nfds < EVENT_FDS_MAX ? t->nfds : EVENT_FDS_MAX;
}

struct bytes frames_text(const struct ev_frames *f)
{
	return (struct bytes){ f->text, f->h.size - sizeof(*f) };
}

static uint32_t number(struct bytes digits)
{
	uint32_t n = 0;

	for (size_t i = 0; i < digits.n && i < 9 && digits.p[i] >= '0' && digits.p[i] <= '9'; i++)
		n = n * 10 + (uint32_t)(digits.p[i] - '0');
	return n;
}

bool frames_next(struct bytes *rest, struct frame *frame)
{
	struct bytes line;

	if (!rest->n)
		return false;
	line = part_to(rest, '\n');
	frame->function = part_to(&line, '\t');
	frame->file = part_to(&line, '\t');
	frame->line = number(line);
	return true;
}

static bool contains(struct bytes b, const char *s)
{
	return memmem(b.p, b.n, s, strlen(s)) != NULL;
}

/* Of the program itself, not of the standard library or an installed package? */
static bool frame_own(const struct frame *f)
{
	static const char *const others[] = { "/lib/python3", "/lib64/python3", "/site-packages/",
		                              "/dist-packages/", "<frozen " };

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (contains(f->file, others[i]))
			return false;
	return true;
}

static bool has_own(const struct ev_frames *f)
{
	struct bytes rest = frames_text(f);
	struct frame frame;

	while (frames_next(&rest, &frame))
		if (frame_own(&frame))
			return true;
	return false;
}

static struct bytes base_name(struct bytes path)
{
	const char *slash = memrchr(path.p, '/', path.n);

	return slash ? bytes_from(path, (size_t)(slash - path.p) + 1) : path;
}

/* One frame at *at; false if it does not fit. */
static bool line_add(char *buf, size_t n, size_t *at, const struct frame *f)
{
	struct bytes file = base_name(f->file);
	char line[16] = "";
	int k;

	if (f->line)
		snprintf(line, sizeof(line), ":%" PRIu32, f->line);
	k = snprintf(buf + *at, n - *at, "%s%.*s (%.*s%s)", *at ? " <- " : "", (int)f->function.n,
	             f->function.p, (int)file.n, file.p, line);
	if (k < 0 || (*at && (size_t)k >= n - *at)) {
		buf[*at] = '\0';
		return false;
	}
	*at += (size_t)k;
	return *at < n;
}

char *frames_line(char *buf, size_t n, const struct ev_frames *f, unsigned max)
{
	struct bytes rest = frames_text(f);
	bool own = has_own(f);
	struct frame frame;
	size_t at = 0;

	if (!n)
		return buf;
	buf[0] = '\0';
	while (max && frames_next(&rest, &frame)) {
		if (own && !frame_own(&frame))
			continue;
		if (!line_add(buf, n, &at, &frame))
			break;
		max--;
	}
	return buf;
}
