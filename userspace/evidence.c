/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The newest snapshot as sorted tables of event copies. Two sets: one being gathered, one complete
 * and shown.
 */
#include "evidence.h"

#include <errno.h>
#include <stdlib.h>

#include "base/event_least.h"
#include "stays.h"

enum row_kind {
	ROW_PROCESS,
	ROW_THREAD,
	ROW_CPU,
	ROW_FRAMES,
	ROW_TASK,
	ROW_REQUEST,
	ROW_FD,
	ROW_SOCKET,
	ROW_TIMERS,
	ROW_HOLDER,
	ROW_LOCK,
	ROW_FACT,
	ROW_NAME,
	ROW_MISSING,
	ROW_KINDS
};

/* From event types to rows; where several rows of a kind may be alike their key tells them apart. */
static const struct {
	uint16_t type;
	enum row_kind kind;
	bool seeded; /* only with EVF_SEEDED */
} row_types[] = {
	{ EV_PROCESS, ROW_PROCESS, false }, { EV_THREAD, ROW_THREAD, false },
	{ EV_ACTIVITY, ROW_CPU, true },     { EV_FRAMES, ROW_FRAMES, false },
	{ EV_TASK, ROW_TASK, false },       { EV_REQUEST, ROW_REQUEST, false },
	{ EV_FD, ROW_FD, false },           { EV_SOCKET, ROW_SOCKET, true },
	{ EV_TIMERS, ROW_TIMERS, false },   { EV_HOLDER, ROW_HOLDER, false },
	{ EV_LOCK, ROW_LOCK, false },       { EV_FACT, ROW_FACT, false },
	{ EV_NAME, ROW_NAME, false },       { EV_MISSING, ROW_MISSING, false },
};

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
	struct evidence *previous; /* only its current is used */
	struct stays *stays;       /* NULL: no snapshot yet, or no memory */
	bool open;                 /* between begin and end */
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
	case ROW_CPU:
		return (struct key){ ev->pid, ev->tid };
	case ROW_FRAMES:
		return (struct key){ ev->pid, (uint64_t)((const struct ev_frames *)ev)->kind << 32 |
			                              ev->tid };
	case ROW_FD:
		return (struct key){ ev->pid, (uint32_t)((const struct ev_fd *)ev)->fd };
	case ROW_TASK:
		return (struct key){ ev->pid, ((const struct ev_task *)ev)->task };
	case ROW_REQUEST:
		return (struct key){ ev->pid, ((const struct ev_request *)ev)->task
			                              ? ((const struct ev_request *)ev)->task
			                              : ev->tid };
	case ROW_TIMERS:
		return (struct key){ ((const struct ev_timers *)ev)->sock, 0 };
	case ROW_HOLDER:
		return (struct key){ ((const struct ev_holder *)ev)->ino,
			             (uint64_t)ev->pid << 32 |
			                     (uint32_t)((const struct ev_holder *)ev)->fd };
	case ROW_LOCK:
		return (struct key){ ((const struct ev_lock *)ev)->id,
			             (uint64_t)((const struct ev_lock *)ev)->waits << 32 |
			                     ev->pid };
	case ROW_FACT:
		return (struct key){ ev->pid, ((const struct ev_fact *)ev)->kind };
	case ROW_NAME:
		return (struct key){ ev->pid, ((const struct ev_name *)ev)->index };
	case ROW_MISSING:
		return (struct key){ ev->pid, ((const struct ev_missing *)ev)->index };
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

/* The complete snapshot becomes the one before. */
static void keep_previous(struct evidence *e)
{
	if (e->current.time_ns && !e->previous)
		e->previous = evidence_new();
	if (!e->current.time_ns || !e->previous) {
		set_clear(&e->current);
		return;
	}
	set_clear(&e->previous->current);
	e->previous->current = e->current;
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
		keep_previous(e);
		e->current = e->pending;
		e->pending = (struct set){ 0 };
		if (!e->stays)
			e->stays = stays_new();
		if (e->stays)
			stays_update(e->stays, e);
	}
}

/* -1: none of ours. */
static int row_kind_of(const struct event *ev)
{
	for (size_t i = 0; i < sizeof(row_types) / sizeof(*row_types); i++)
		if (row_types[i].type == ev->type &&
		    (!row_types[i].seeded || ev->flags & EVF_SEEDED))
			return (int)row_types[i].kind;
	return -1;
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
	evidence_free(e->previous);
	stays_free(e->stays);
	free(e);
}

void evidence_feed(struct evidence *e, const struct event *ev)
{
	int kind;

	if (ev->type == EV_SNAPSHOT) {
		snapshot_edge(e, ev);
		return;
	}
	kind = row_kind_of(ev);
	if (kind < 0)
		return;
	if (ev->size < event_least(ev->type) || ev->size > EVENT_SIZE_MAX)
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

const struct evidence *evidence_previous(const struct evidence *e)
{
	return e->previous;
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

const struct ev_task *const *evidence_tasks(const struct evidence *e, uint32_t pid, size_t *n)
{
	return (const struct ev_task *const *)rows_of(e, ROW_TASK, pid, n);
}

const struct ev_request *const *evidence_requests(const struct evidence *e, uint32_t pid, size_t *n)
{
	return (const struct ev_request *const *)rows_of(e, ROW_REQUEST, pid, n);
}

const struct ev_name *const *evidence_names(const struct evidence *e, uint32_t pid, size_t *n)
{
	return (const struct ev_name *const *)rows_of(e, ROW_NAME, pid, n);
}

const struct ev_fact *const *evidence_facts(const struct evidence *e, uint32_t pid, size_t *n)
{
	return (const struct ev_fact *const *)rows_of(e, ROW_FACT, pid, n);
}

const struct ev_missing *const *evidence_missing(const struct evidence *e, size_t *n)
{
	return (const struct ev_missing *const *)rows_of(e, ROW_MISSING, 0, n);
}

const struct ev_lock *const *evidence_locks(const struct evidence *e, size_t *n)
{
	return (const struct ev_lock *const *)rows_of(e, ROW_LOCK, 0, n);
}

const struct ev_holder *const *evidence_holders(const struct evidence *e, uint64_t ino, size_t *n)
{
	const struct table *t = &e->current.tables[ROW_HOLDER];
	size_t from = table_bound(t, ROW_HOLDER, (struct key){ ino, 0 });

	*n = table_bound(t, ROW_HOLDER, (struct key){ ino, UINT64_MAX }) - from;
	return t->rows ? (const struct ev_holder *const *)t->rows + from : NULL;
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

const struct ev_timers *evidence_timers(const struct evidence *e, uint64_t sock)
{
	return row_find(e, ROW_TIMERS, (struct key){ sock, 0 });
}

const struct ev_fact *evidence_fact(const struct evidence *e, uint32_t pid, enum fact_kind kind)
{
	return row_find(e, ROW_FACT, (struct key){ pid, kind });
}

const struct ev_request *evidence_request(const struct evidence *e, uint32_t pid,
                                          uint64_t tid_or_task)
{
	return row_find(e, ROW_REQUEST, (struct key){ pid, tid_or_task });
}

const struct ev_activity *evidence_cpu(const struct evidence *e, uint32_t pid, uint32_t tid)
{
	return row_find(e, ROW_CPU, (struct key){ pid, tid });
}

const struct stay *evidence_stay(const struct evidence *e, uint32_t pid, uint32_t tid)
{
	return e->stays ? stays_find(e->stays, pid, tid) : NULL;
}

uint64_t evidence_first_frames(const struct evidence *e)
{
	return e->stays ? stays_first(e->stays) : 0;
}

const struct ev_frames *evidence_native(const struct evidence *e, uint32_t pid, uint32_t tid)
{
	return row_find(e, ROW_FRAMES, (struct key){ pid, (uint64_t)FRAMES_NATIVE << 32 | tid });
}

const struct ev_frames *evidence_frames(const struct evidence *e, uint32_t pid, uint32_t tid)
{
	return row_find(e, ROW_FRAMES, (struct key){ pid, (uint64_t)FRAMES_PYTHON << 32 | tid });
}

const struct ev_frames *evidence_frames_missing(const struct evidence *e, uint32_t pid)
{
	return row_find(e, ROW_FRAMES, (struct key){ pid, (uint64_t)FRAMES_MISSING << 32 });
}

struct thread_text thread_text(const struct ev_thread *t)
{
	struct bytes rest = { t->text, t->h.size - sizeof(*t) };
	struct thread_text text;

	text.name = bytes_to(&rest, '\0');
	text.wchan = bytes_to(&rest, '\0');
	text.stack = bytes_to(&rest, '\0');
	return text;
}

struct bytes fd_text(const struct ev_fd *f)
{
	struct bytes rest = { f->text, f->h.size - sizeof(*f) };

	return bytes_to(&rest, '\0');
}

uint64_t fd_pipe(const struct ev_fd *f)
{
	struct bytes text = fd_text(f);
	uint64_t ino = 0;

	if (!bytes_start(text, "pipe:["))
		return 0;
	for (size_t i = 6; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++)
		ino = ino * 10 + (uint64_t)(text.p[i] - '0');
	return ino;
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

struct task_text task_text(const struct ev_task *t)
{
	struct bytes rest = { t->text, t->h.size - sizeof(*t) };
	struct task_text text;

	text.name = bytes_to(&rest, '\0');
	text.awaits = bytes_to(&rest, '\0');
	text.frames = rest;
	return text;
}

struct request_text request_text(const struct ev_request *r)
{
	struct bytes rest = { r->text, r->h.size - sizeof(*r) };
	struct request_text text;

	text.method = bytes_to(&rest, '\0');
	text.url = bytes_to(&rest, '\0');
	return text;
}

struct name_text name_text(const struct ev_name *n)
{
	struct bytes rest = { n->text, n->h.size - sizeof(*n) };
	struct name_text text;

	text.host = bytes_to(&rest, '\0');
	text.scheme = bytes_to(&rest, '\0');
	text.variable = bytes_to(&rest, '\0');
	return text;
}

struct missing_text missing_text(const struct ev_missing *m)
{
	struct bytes rest = { m->text, m->h.size - sizeof(*m) };
	struct missing_text text;

	text.what = bytes_to(&rest, '\0');
	text.why = bytes_to(&rest, '\0');
	return text;
}

struct bytes holder_text(const struct ev_holder *h)
{
	struct bytes rest = { h->text, h->h.size - sizeof(*h) };

	return bytes_to(&rest, '\0');
}

struct bytes lock_path(const struct ev_lock *l)
{
	struct bytes rest = { l->text, l->h.size - sizeof(*l) };

	return bytes_to(&rest, '\0');
}
