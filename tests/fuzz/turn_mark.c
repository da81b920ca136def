/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whatever is written, by whom, in what order and with what lost: marks can be shown, and where nothing is lost it makes no
 * difference how the writes are cut. The first byte of the input chooses the source, the second the thread and descriptor;
 * the rest is a script; each step is a letter, a length byte, and as many bytes:
 *   f  a file is announced under this path         w  a write
 *   r  the same in two records                     t  a write whose end was not captured
 *   l  as many bytes are lost                      b  a write that belongs further back
 *   h  a record's header                           x  the other thread and file from now on
 */
#include <stdlib.h>
#include <sys/stat.h>

#include "base/text.h"
#include "turn_mark.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct run {
	struct turn_marks *marks;
	uint64_t hash, pos[2];
	bool lossy, single, other;
	int fd;
};

static void on_mark(void *ctx, const struct turn_mark *m)
{
	struct run *r = ctx;
	char clean[sizeof(m->session_id)];
	bool counts = m->kind == MARK_TOTAL || m->kind == MARK_DONE;

	text_clean(clean, sizeof(clean), m->session_id, false);
	if (strcmp(clean, m->session_id) != 0 || m->turn_index < -1 || counts != (m->unit != NULL))
		abort();
	r->hash = bytes_hash(r->hash, (struct bytes){ (const char *)&m->kind, sizeof(m->kind) });
	r->hash = bytes_hash(r->hash, bytes_of(m->session_id));
	r->hash = bytes_hash(r->hash, (struct bytes){ (const char *)&m->turn_index, 8 });
	r->hash = bytes_hash(r->hash, (struct bytes){ (const char *)&m->n, 8 });
}

static void on_follow(void *ctx, uint64_t ino, uint64_t dev, uint32_t n)
{
	(void)ctx;
	(void)ino;
	(void)dev;
	(void)n;
}

static void record(struct run *r, const char *p, size_t n, size_t off, size_t total, uint64_t pos,
                   bool more)
{
	/* exactly as long as it is, so that the sanitizer sees one byte of over-read */
	struct ev_data *e = calloc(1, sizeof(*e) + n);

	e->h.size = (uint32_t)(sizeof(*e) + n);
	e->h.flags = more ? EVF_MORE : 0;
	e->h.tid = r->other;
	e->sock = r->other;
	e->fd = r->fd;
	e->pos = pos;
	e->off = (uint32_t)off;
	e->total = total;
	e->n = (uint32_t)n;
	memcpy(e->data, p, n);
	turn_marks_write(r->marks, e);
	free(e);
}

static void announce(struct run *r, const char *p, size_t n)
{
	struct ev_file *e = calloc(1, sizeof(*e) + n);

	e->h.size = (uint32_t)(sizeof(*e) + n);
	e->ino = r->other;
	e->fd = r->fd;
	e->mode = S_IFREG;
	memcpy(e->text, p, n);
	turn_marks_file(r->marks, e);
	free(e);
}

static void header(struct run *r, const char *p, size_t n)
{
	struct ev_data *e = calloc(1, sizeof(*e));

	memcpy(e, p, n < sizeof(*e) ? n : sizeof(*e));
	e->h.size = sizeof(*e);
	turn_marks_write(r->marks, e);
	free(e);
}

static void put(struct run *r, const char *p, size_t n, bool halves)
{
	uint64_t *pos = &r->pos[r->other];

	for (size_t i = 0; r->single && i < n; i++)
		record(r, p + i, 1, 0, 1, *pos + i, false);
	if (!r->single && halves && n > 1) {
		record(r, p, n / 2, 0, n, *pos, true);
		record(r, p + n / 2, n - n / 2, n / 2, n, *pos, false);
	} else if (!r->single && n) {
		record(r, p, n, 0, n, *pos, false);
	}
	*pos += n;
}

static void step(struct run *r, char what, const char *p, size_t n)
{
	r->lossy |= what == 't' || what == 'l' || what == 'b' || what == 'h';
	switch (what) {
	case 'f':
		announce(r, p, n);
		break;
	case 't':
		record(r, p, n, 0, n + 3, r->pos[r->other], false);
		r->pos[r->other] += n + 3;
		break;
	case 'l':
		r->pos[r->other] += n;
		break;
	case 'b':
		record(r, p, n, 0, n, r->pos[r->other] - n * 2, false);
		break;
	case 'h':
		header(r, p, n);
		break;
	case 'x':
		r->other = !r->other;
		break;
	default:
		put(r, p, n, what == 'r');
	}
}

static struct run run(const uint8_t *data, size_t n, bool single)
{
	static const char *const sources[] = { "auto", "jsonl:*.jsonl", "stdout:(.)x([0-9]*)",
		                               "llm" };
	uint8_t choice = n ? data[0] : 0;
	struct run r = { .single = single, .fd = n > 1 ? data[1] % 4 : 0 };
	const struct turn_marks_ops ops = { on_mark, on_follow, &r };
	struct turns_spec s = { 0 };

	turns_spec_parse(sources[choice % 4], &s);
	if (choice & 4)
		s.profile = turns_profile_find("goodai-ltm");
	r.marks = turn_marks_new(&s, &ops);
	for (size_t i = 2; i + 2 <= n;) {
		size_t m = data[i + 1];

		if (m > n - i - 2)
			m = n - i - 2;
		step(&r, (char)data[i], (const char *)data + i + 2, m);
		i += 2 + m;
	}
	turn_marks_counts(r.marks);
	turn_marks_free(r.marks);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct run a = run(data, n, false), b = run(data, n, true);

	if (!a.lossy && a.hash != b.hash)
		abort();
	return 0;
}
