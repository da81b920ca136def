/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From records of writes to lines. What is written to a file is one stream; a strand is where in it bytes are read on. There
 * is one as long as records come in order; a record that belongs elsewhere begins another, which ends where that is joined.
 */
#include "turn_mark.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/queue.h"
#include "base/text.h"
#include "turn_mark/log_line.h"
#include "turn_mark/reader.h"
#include "turn_mark/text_line.h"

/* As many writers of one file can be in the middle of a line at once. */
#define STRANDS 4
#define BUCKETS 1024

/* A line that has begun. */
struct line {
	struct log_line log;
	struct text_line text;
	bool is_text; /* read as output, since its beginning */
};

struct strand {
	bool used;
	bool more;    /* in the middle of an operation of thread tid */
	bool holed;   /* bytes are missing before what is read of the line */
	bool counted; /* ... which is counted */
	bool passed;  /* there is no room for the line */
	bool first;   /* in the line it began with */
	bool guessed; /* counted is what is missing before `from`; it may still come */
	uint32_t tid;
	uint64_t from, next; /* places in the stream: where it began, the byte to come */
	uint64_t age;        /* when used last, counted in records */
	struct line *line;   /* NULL: nothing of it was read yet */
};

struct file {
	SLIST_ENTRY(file) link;
	uint64_t ino, dev;
	bool log, output;
	const struct turns_profile *of; /* log: whose */
	uint32_t follow;                /* what was asked for */
	char *path;                     /* NULL not known */
	struct strand strands[STRANDS];
};

SLIST_HEAD(files, file);

struct turn_marks {
	struct turns_spec spec;
	struct turn_marks_ops ops;
	struct mark_reader *reader;
	struct turn_marks_counts counts;
	uint64_t records;
	uint32_t nfiles, nlines;
	char path[MARK_PATH_MAX];
	struct files files[BUCKETS];
};

/* ---- lines ---- */

static void line_free(struct turn_marks *m, struct strand *s)
{
	if (!s->line)
		return;
	text_line_free(&s->line->text);
	free(s->line);
	s->line = NULL;
	m->nlines--;
}

static void torn(struct turn_marks *m, struct strand *s)
{
	m->counts.torn += !s->counted;
	s->counted = true;
}

/* Bytes are missing here. */
static void strand_hole(struct turn_marks *m, struct strand *s)
{
	if (s->line) {
		torn(m, s);
		line_free(m, s);
	}
	s->holed = true;
	s->first = false;
}

static struct line *line_begin(struct turn_marks *m, const struct file *f, struct strand *s)
{
	struct line *l = m->nlines < MARK_LINES_MAX ? calloc(1, sizeof(*l)) : NULL;

	if (!l) { /* as if it were not seen, but counted for what it is */
		m->counts.cut += !s->passed;
		s->passed = s->holed = s->counted = true;
		s->first = false;
		return NULL;
	}
	log_line_begin(&l->log);
	l->is_text = f->output;
	m->nlines++;
	return s->line = l;
}

static void line_add(struct turn_marks *m, const struct file *f, struct strand *s, struct bytes b)
{
	struct line *l = s->line;

	if (!b.n || (!l && !(l = line_begin(m, f, s))))
		return;
	if (f->log)
		log_line_feed(&l->log, b);
	if (l->is_text)
		text_line_feed(&l->text, b);
}

static void log_read(struct turn_marks *m, const struct file *f, struct strand *s,
                     const struct turn_mark *when)
{
	enum log_shape shape = log_line_end(&s->line->log);
	bool first = !m->path[0];

	/* who is told of the mark may ask where it stood */
	if (first && f->path)
		text_clean(m->path, sizeof(m->path), f->path, false);
	/* an object is a whole line, whatever is missing before it */
	if (shape == LOG_OBJECT && mark_reader_log(m->reader, f->of, &s->line->log, when))
		return;
	if (first)
		m->path[0] = '\0';
	if (shape == LOG_OBJECT || (shape == LOG_OTHER && !s->holed)) {
		m->counts.odd++;
	}
}

static void line_end(struct turn_marks *m, const struct file *f, struct strand *s,
                     const struct turn_mark *when)
{
	m->counts.lines++;
	if (s->line && f->log)
		log_read(m, f, s, when);
	if (s->line && s->line->is_text && !s->holed) {
		m->counts.cut += s->line->text.cut;
		mark_reader_text(m->reader, text_line_end(&s->line->text), when);
	}
	if (s->holed) {
		s->guessed = s->first && !s->counted;
		torn(m, s);
	}
	line_free(m, s);
	s->holed = s->counted = s->passed = s->first = false;
}

static void strand_feed(struct turn_marks *m, const struct file *f, struct strand *s,
                        struct bytes b, const struct turn_mark *when)
{
	while (b.n) {
		const char *end = memchr(b.p, '\n', b.n);
		size_t n = end ? (size_t)(end - b.p) : b.n;

		line_add(m, f, s, (struct bytes){ b.p, n });
		if (end)
			line_end(m, f, s, when);
		b = bytes_from(b, n + (end != NULL));
	}
}

/* ---- strands ---- */

static void strand_drop(struct turn_marks *m, struct strand *s)
{
	if (s->line)
		torn(m, s);
	line_free(m, s);
	*s = (struct strand){ 0 };
}

static void strands_drop(struct turn_marks *m, struct file *f)
{
	for (size_t i = 0; i < STRANDS; i++)
		strand_drop(m, &f->strands[i]);
}

/* Which of two goes first to make room: one that is not used, then one between lines, then the older. */
static bool goes_before(const struct strand *a, const struct strand *b)
{
	if (a->used != b->used)
		return !a->used;
	if (!a->line != !b->line)
		return !a->line;
	return a->age < b->age;
}

/* A strand that begins at this place. */
static struct strand *strand_new(struct turn_marks *m, struct file *f, uint64_t at)
{
	struct strand *s = &f->strands[0];
	bool open = false, others = false;

	for (size_t i = 0; i < STRANDS; i++) {
		others |= f->strands[i].used;
		if (goes_before(&f->strands[i], s))
			s = &f->strands[i];
	}
	strand_drop(m, s);
	for (size_t i = 0; i < STRANDS; i++)
		open |= f->strands[i].line != NULL;
	/* not counted: what was written before the file was followed, and the rest of a line that is open and will be */
	*s = (struct strand){ .used = true,
		              .from = at,
		              .next = at,
		              .first = true,
		              .holed = at != 0,
		              .counted = at != 0 && (open || !others) };
	return s;
}

/* s has come to where another strand began, and nothing is open between them: they are one, nothing is missing. */
static void strand_join(struct turn_marks *m, struct file *f, struct strand *s)
{
	for (size_t i = 0; i < STRANDS && !s->line && !s->holed; i++) {
		struct strand *to = &f->strands[i];

		if (to == s || !to->used || to->from != s->next || to->next == to->from)
			continue;
		m->counts.torn -= to->guessed;
		if (to->first)
			to->holed = to->counted = false;
		to->guessed = false;
		to->from = s->from;
		*s = (struct strand){ 0 };
		return;
	}
}

/* The strand that the record goes on. */
static struct strand *strand_of(struct turn_marks *m, struct file *f, const struct ev_data *e)
{
	uint64_t at = e->pos + e->off;

	for (size_t i = 0; i < STRANDS; i++)
		if (f->strands[i].used && f->strands[i].next == at)
			return &f->strands[i];
	for (size_t i = 0; i < STRANDS && e->off; i++) {
		struct strand *s = &f->strands[i];

		if (!s->used || !s->more || s->tid != e->h.tid || s->next > at)
			continue;
		strand_hole(m, s); /* a record of the same operation is missing */
		s->next = at;
		return s;
	}
	return strand_new(m, f, at);
}

/* ---- files ---- */

static struct files *bucket_of(struct turn_marks *m, uint64_t ino, uint64_t dev)
{
	return &m->files[((ino ^ dev) * 0x9e3779b97f4a7c15ull >> 40) % BUCKETS];
}

static struct file *file_find(struct turn_marks *m, uint64_t ino, uint64_t dev)
{
	struct file *f;

	SLIST_FOREACH(f, bucket_of(m, ino, dev), link)
	if (f->ino == ino && f->dev == dev)
		return f;
	return NULL;
}

/* NULL: no room, counted. */
static struct file *file_new(struct turn_marks *m, uint64_t ino, uint64_t dev)
{
	struct file *f = m->nfiles < MARK_FILES_MAX ? calloc(1, sizeof(*f)) : NULL;

	if (!f) {
		m->counts.files_passed++;
		return NULL;
	}
	f->ino = ino;
	f->dev = dev;
	SLIST_INSERT_HEAD(bucket_of(m, ino, dev), f, link);
	m->nfiles++;
	return f;
}

static void file_free(struct turn_marks *m, struct file *f)
{
	strands_drop(m, f);
	SLIST_REMOVE(bucket_of(m, f->ino, f->dev), f, file, link);
	m->nfiles--;
	free(f->path);
	free(f);
}

/* A path matches as a whole, or (a glob that does not begin with '/') its end, from a '/' on. */
static bool path_matches(const char *path, const char *glob)
{
	if (fnmatch(glob, path, 0) == 0)
		return true;
	while (*glob != '/' && (path = strchr(path, '/')))
		if (fnmatch(glob, ++path, 0) == 0)
			return true;
	return false;
}

/* Whether the path is a log's, and whose. */
static bool is_log(const struct turn_marks *m, const char *path,
                   const struct turns_profile **ret_of)
{
	const struct turns_spec *s = &m->spec;
	const char *glob = s->arg[0] || !s->profile ? s->arg : s->profile->glob;

	if (s->kind == TURNS_JSONL) {
		*ret_of = s->profile;
		return glob && path_matches(path, glob);
	}
	for (const struct turns_profile *p = turns_profiles; s->kind == TURNS_AUTO && p->name;
	     p++) {
		*ret_of = p;
		if (p->glob && path_matches(path, p->glob))
			return true;
	}
	*ret_of = NULL;
	return false;
}

static void file_follow(struct turn_marks *m, struct file *f)
{
	uint32_t n = f->log ? UINT32_MAX : MARK_OUTPUT_MAX;

	if (f->follow == n)
		return;
	f->follow = n;
	m->ops.follow(m->ops.ctx, f->ino, f->dev, n);
}

/* What f is now known to be, with a path that is known. */
static void file_decide(struct turn_marks *m, struct file *f, const char *path, bool regular,
                        bool output)
{
	bool other = f->path && strcmp(f->path, path) != 0;
	const struct turns_profile *of = NULL;
	bool log = regular && is_log(m, path, &of);

	/* the inode is another file's now: nothing of the old one goes on in it */
	f->output = output || (f->output && !other);
	if (other || f->log != log)
		strands_drop(m, f);
	f->log = log;
	f->of = of;
	free(f->path);
	f->path = strdup(path);
	if (log && m->spec.kind == TURNS_JSONL && !m->path[0])
		text_clean(m->path, sizeof(m->path), path, false);
}

void turn_marks_file(struct turn_marks *m, const struct ev_file *e)
{
	size_t n = e->h.size > sizeof(*e) ? e->h.size - sizeof(*e) : 0;
	bool output = (e->fd == 1 || e->fd == 2) && mark_reader_output(m->reader);
	struct file *f = file_find(m, e->ino, e->dev);
	const struct turns_profile *of;
	char path[MARK_PATH_MAX];

	n = n < sizeof(path) ? strnlen(e->text, n) : 0;
	memcpy(path, e->text, n);
	path[n] = '\0';
	if (!f && (output || (n && S_ISREG(e->mode) && is_log(m, path, &of))))
		f = file_new(m, e->ino, e->dev);
	if (f && n)
		file_decide(m, f, path, S_ISREG(e->mode), output);
	else if (f)
		f->output |= output;
	if (f && (f->log || f->output)) {
		file_follow(m, f);
		return;
	}
	if (f)
		file_free(m, f);
	m->ops.follow(m->ops.ctx, e->ino, e->dev, 0);
}

/* ---- writes ---- */

/* The file of the record, if it is of use. Output needs no announcement. */
static struct file *file_of(struct turn_marks *m, const struct ev_data *e)
{
	bool output = (e->fd == 1 || e->fd == 2) && mark_reader_output(m->reader);
	struct file *f = file_find(m, e->sock, e->tls);

	if (!output || (f && f->output))
		return f;
	if (!f)
		f = file_new(m, e->sock, e->tls);
	if (f) {
		f->output = true;
		file_follow(m, f);
	}
	return f;
}

void turn_marks_write(struct turn_marks *m, const struct ev_data *e)
{
	const struct turn_mark when = { .lane = { e->h.pid, e->h.tid, e->task },
		                        .start_ns = e->start_ns,
		                        .ts_ns = e->h.ts_ns,
		                        .turn_index = -1 };
	size_t room = e->h.size > sizeof(*e) ? e->h.size - sizeof(*e) : 0;
	size_t n = e->n < room ? e->n : room;
	struct file *f = e->total ? file_of(m, e) : NULL;
	struct strand *s;

	if (!f)
		return;
	s = strand_of(m, f, e);
	s->age = ++m->records;
	s->tid = e->h.tid;
	s->more = e->h.flags & EVF_MORE;
	strand_feed(m, f, s, (struct bytes){ (const char *)e->data, n }, &when);
	s->next += n;
	if (!s->more && e->pos + e->total > s->next) {
		strand_hole(m, s);
		s->next = e->pos + e->total;
	}
	strand_join(m, f, s);
}

/* ---- all ---- */

const struct turns_profile *turn_marks_profile(const struct turn_marks *m)
{
	return mark_reader_profile(m->reader);
}

const char *turn_marks_path(const struct turn_marks *m)
{
	return m->path;
}

/* Lines that are open where the stream goes on elsewhere: it is not likely that their rest still comes. */
static uint64_t lines_left(const struct file *f)
{
	const struct strand *newest = &f->strands[0];
	uint64_t n = 0;

	for (size_t i = 1; i < STRANDS; i++)
		if (f->strands[i].age > newest->age)
			newest = &f->strands[i];
	for (size_t i = 0; i < STRANDS; i++)
		n += &f->strands[i] != newest && f->strands[i].line && !f->strands[i].counted;
	return n;
}

struct turn_marks_counts turn_marks_counts(const struct turn_marks *m)
{
	struct turn_marks_counts counts = m->counts;
	const struct file *f;

	for (size_t i = 0; i < BUCKETS; i++) {
		SLIST_FOREACH(f, &m->files[i], link)
		{
			counts.torn += lines_left(f);
		}
	}
	return counts;
}

struct turn_marks *turn_marks_new(const struct turns_spec *s, const struct turn_marks_ops *ops)
{
	struct turn_marks *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->spec = *s;
	m->ops = *ops;
	m->reader = mark_reader_new(s, ops);
	if (!m->reader) {
		free(m);
		return NULL;
	}
	return m;
}

void turn_marks_free(struct turn_marks *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		while (!SLIST_EMPTY(&m->files[i]))
			file_free(m, SLIST_FIRST(&m->files[i]));
	mark_reader_free(m->reader);
	free(m);
}
