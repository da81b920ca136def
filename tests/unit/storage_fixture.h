/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Plays a dialogue through a storage parser, whole, cut anywhere or with a hole anywhere, and
 * says what calls came out: a line a call. Step i of a dialogue happens at (i + 1) * 1000 ns and
 * takes 100.
 */
#ifndef STORAGE_FIXTURE_H
#define STORAGE_FIXTURE_H
#include "test.h"
#include "proto/proto.h"

#define OUT 1
#define IN 0
#define SHOWN_MAX 256
/* Bytes with embedded NULs, without the one behind. */
#define S(dir, text)                        \
	{                                   \
		dir, text, sizeof(text) - 1 \
	}
#define COUNT(a) (sizeof(a) / sizeof(*(a)))

struct step {
	int dir;
	const char *p;
	size_t n;
};

struct seen {
	struct call_sink sink;
	struct call *calls[SHOWN_MAX]; /* in the order in which they ended */
	int opened, sent, done;
	bool wrong; /* the parser broke a rule of the sink */
};

static inline struct call *seen_open(struct call_sink *s, const struct stamp *at)
{
	struct seen *seen = (struct seen *)s;
	struct call *c = call_new();

	(void)at;
	c->id = (uint64_t)++seen->opened;
	return c;
}

static inline void seen_sent(struct call_sink *s, struct call *c)
{
	struct seen *seen = (struct seen *)s;

	seen->wrong |= !c->sent_ns || !c->proto;
	seen->sent++;
}

static inline void seen_done(struct call_sink *s, struct call *c)
{
	struct seen *seen = (struct seen *)s;

	seen->wrong |= !c->end_ns || c->end_ns < c->start_ns || !c->request_ns;
	if (seen->done < SHOWN_MAX)
		seen->calls[seen->done] = c;
	else
		call_free(c);
	seen->done++;
}

static inline struct seen seen_new(void)
{
	return (struct seen){ .sink = { seen_open, seen_sent, seen_done } };
}

static inline void seen_free(struct seen *s)
{
	s->wrong = false;
	for (int i = 0; i < s->done && i < SHOWN_MAX; i++)
		call_free(s->calls[i]);
}

static inline struct stamp stamp_of(size_t step)
{
	return (struct stamp){
		.start_ns = (step + 1) * 1000, .end_ns = (step + 1) * 1000 + 100, .pid = 1, .tid = 2
	};
}

/* "GET read ok", "SET write ERR", "? unknown partial", ...; valid until the next. */
static inline const char *shown(const struct seen *s)
{
	static char text[SHOWN_MAX * 64];
	size_t n = 0;

	text[0] = '\0';
	for (int i = 0; i < s->done && i < SHOWN_MAX; i++) {
		const struct call *c = s->calls[i];

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %s%s%s %s%s%s%s%s",
		                      i ? "; " : "", c->op[0] ? c->op : "-",
		                      !c->op_known ? "?"
		                      : c->write   ? "write"
		                                   : "read",
		                      c->class == CALL_HEARTBEAT ? " beat" : "",
		                      c->blocks ? " blocks" : "", call_status_name(c->status),
		                      c->error_kind[0] ? " " : "", c->error_kind,
		                      c->partial ? " " : "",
		                      c->partial ? partial_name(c->partial) : "");
	}
	return text;
}

static inline void feed_guarded(const struct proto *p, void *state, int dir, const char *b,
                                size_t n, const struct stamp *at)
{
	p->feed(state, dir, (struct bytes){ guarded_piece(b, n), n }, at);
}

/* Plays it with every piece cut at most `piece` bytes long, the first of each step `first` (0:
 * no such cut). */
static inline struct seen play_cut(const struct proto *p, const struct proto_hint *hint,
                                   const struct step *steps, size_t n, size_t first, size_t piece)
{
	struct seen s = seen_new();
	void *state = p->new (&s.sink, hint);

	for (size_t i = 0; i < n; i++) {
		struct stamp at = stamp_of(i);

		for (size_t off = 0; off < steps[i].n;) {
			size_t len = !off && first ? first : piece;

			len = len < steps[i].n - off ? len : steps[i].n - off;
			feed_guarded(p, state, steps[i].dir, steps[i].p + off, len, &at);
			off += len;
		}
	}
	p->done(state, DONE_CLOSED,
	        &(struct stamp){ .start_ns = (n + 1) * 1000, .end_ns = (n + 1) * 1000 });
	p->free(state);
	s.wrong |= s.opened != s.done;
	return s;
}

static const struct proto_hint from_start = { .from_start = true, .client = true };
static const struct proto_hint late = { .client = true };

static inline struct seen play(const struct proto *p, const struct step *steps, size_t n)
{
	return play_cut(p, &from_start, steps, n, 0, SIZE_MAX);
}

/* All that is told of them in figures: none of it may depend on the pieces they came in. */
static inline bool same_figures(const struct call *a, const struct call *b)
{
	return a->start_ns == b->start_ns && a->request_ns == b->request_ns &&
	       a->sent_ns == b->sent_ns && a->first_byte_ns == b->first_byte_ns &&
	       a->last_byte_ns == b->last_byte_ns && a->end_ns == b->end_ns &&
	       a->bytes_out == b->bytes_out && a->bytes_in == b->bytes_in;
}

/* Whether the dialogue gives these calls with the same figures, whole, at every split and byte by byte. */
static inline bool gives(const struct proto *p, const struct proto_hint *hint,
                         const struct step *steps, size_t n, const char *expected)
{
	struct seen whole = play_cut(p, hint, steps, n, 0, SIZE_MAX);
	size_t longest = 1;
	bool good = true;

	for (size_t i = 0; i < n; i++)
		longest = steps[i].n > longest ? steps[i].n : longest;
	for (size_t cut = 0; cut <= longest && good; cut++) {
		struct seen s = play_cut(p, hint, steps, n, cut, cut ? SIZE_MAX : 1);

		good = !s.wrong && strcmp(shown(&s), expected) == 0;
		if (!good)
			printf("# cut %zu%s: got %s\n#      expected %s\n", cut,
			       s.wrong ? " WRONG" : "", shown(&s), expected);
		for (int i = 0; i < s.done && i < SHOWN_MAX && good; i++) {
			good = i < whole.done && same_figures(s.calls[i], whole.calls[i]);
			if (!good)
				printf("# cut %zu: call %d has other figures\n", cut, i);
		}
		seen_free(&s);
	}
	seen_free(&whole);
	return good;
}

/* What is not seen of a dialogue: the len bytes from offset off of step `step`, and all of the next `more` steps. */
struct hole {
	size_t step, off, len, more;
	bool known; /* how many bytes they are */
	enum partial why;
};

static inline void play_step(const struct proto *p, void *state, const struct step *steps, size_t i,
                             const struct hole *h)
{
	struct stamp at = stamp_of(i);
	const struct step *s = &steps[i];
	size_t off = i == h->step                            ? h->off
	             : i > h->step && i <= h->step + h->more ? 0
	                                                     : s->n,
	       end = i == h->step && h->len < s->n - off ? off + h->len : s->n;

	if (off)
		feed_guarded(p, state, s->dir, s->p, off, &at);
	if (end > off)
		p->gap(state, s->dir, h->known ? end - off : GAP_UNKNOWN, h->why, &at);
	if (end < s->n)
		feed_guarded(p, state, s->dir, s->p + end, s->n - end, &at);
}

static inline struct seen play_hole(const struct proto *p, const struct step *steps, size_t n,
                                    const struct hole *h)
{
	struct seen s = seen_new();
	void *state = p->new (&s.sink, &from_start);

	for (size_t i = 0; i < n; i++)
		play_step(p, state, steps, i, h);
	p->done(state, DONE_CLOSED,
	        &(struct stamp){ .start_ns = (n + 1) * 1000, .end_ns = (n + 1) * 1000 });
	p->free(state);
	s.wrong |= s.opened != s.done;
	return s;
}

/* Of a connection that was joined at offset off of step `step`. */
static inline struct seen play_from(const struct proto *p, const struct proto_hint *hint,
                                    const struct step *steps, size_t n, size_t step, size_t off)
{
	struct seen s = seen_new();
	void *state = p->new (&s.sink, hint);

	for (size_t i = step; i < n; i++) {
		struct stamp at = stamp_of(i);
		size_t from = i == step ? off : 0;

		feed_guarded(p, state, steps[i].dir, steps[i].p + from, steps[i].n - from, &at);
	}
	p->done(state, DONE_CLOSED,
	        &(struct stamp){ .start_ns = (n + 1) * 1000, .end_ns = (n + 1) * 1000 });
	p->free(state);
	s.wrong |= s.opened != s.done;
	return s;
}

/* "CLIENT" of "CLIENT SETINFO": what was seen of the name. */
static inline bool op_begins(const struct call *c, const struct call *t)
{
	size_t n = strlen(c->op);

	return strncmp(c->op, t->op, n) == 0 && (!t->op[n] || t->op[n] == ' ');
}

/*
 * Whether a call is told as it truly was. One that claims to be whole is so to the last figure; of a partial one it may
 * not be known what it was, how it went and when it ended, but what is said of that is true.
 */
static inline bool is_told(const struct call *c, const struct call *t)
{
	bool same_kind = strcmp(c->error_kind, t->error_kind) == 0;

	if (c->op_known &&
	    (!(c->partial ? op_begins(c, t) : strcmp(c->op, t->op) == 0) || c->write != t->write))
		return false;
	if (!c->partial)
		return c->status == t->status && same_kind && same_figures(c, t);
	return c->request_ns >= t->request_ns && c->request_ns <= t->sent_ns &&
	       c->bytes_out <= t->bytes_out &&
	       (c->status == CALL_UNKNOWN || c->status == CALL_ABORTED ||
	        (c->status == t->status && (same_kind || !c->error_kind[0])));
}

/* The calls by when they were opened. */
static inline void by_opening(const struct seen *s, const struct call *sorted[SHOWN_MAX])
{
	for (int i = 0; i < s->done && i < SHOWN_MAX; i++)
		sorted[s->calls[i]->id - 1] = s->calls[i];
}

/*
 * Each call told is one of the true ones, in their order, and none is told twice. in_pieces: a hole may have parted
 * a request, and what follows of it be taken for one of its own, partial like the first.
 */
static inline bool claims_hold(const struct seen *s, const struct seen *truth, bool in_pieces)
{
	const struct call *told[SHOWN_MAX], *true_ones[SHOWN_MAX];
	int t = 0;

	by_opening(s, told);
	by_opening(truth, true_ones);
	for (int i = 0; i < s->done; i++) {
		if (in_pieces && i && told[i]->partial && told[i - 1]->partial &&
		    is_told(told[i], true_ones[t - 1]))
			continue;
		while (t < truth->done && !is_told(told[i], true_ones[t]))
			t++;
		if (t++ >= truth->done)
			return false;
	}
	return true;
}

/* Calls that waited until the connection was closed behind n steps. */
static inline int left_open(const struct seen *s, size_t n)
{
	int open = 0;

	for (int i = 0; i < s->done; i++)
		open += s->calls[i]->end_ns == (n + 1) * 1000;
	return open;
}

/* The calls with their figures, for who looks why a test failed. */
static inline void show_figures(const struct seen *s)
{
	for (int i = 0; i < s->done && i < SHOWN_MAX; i++) {
		const struct call *c = s->calls[i];

		printf("#   %s%s %s %s%s%s: %lu..%lu %lu..%lu..%lu, %lu out, %lu in\n", c->op,
		       c->op_known ? "" : "?", c->write ? "write" : "read",
		       call_status_name(c->status), c->error_kind, c->partial ? " partial" : "",
		       (unsigned long)c->request_ns, (unsigned long)c->sent_ns,
		       (unsigned long)c->first_byte_ns, (unsigned long)c->last_byte_ns,
		       (unsigned long)c->end_ns, (unsigned long)c->bytes_out,
		       (unsigned long)c->bytes_in);
	}
}

/*
 * Holes of 1, 2, 7 and "all that follows" bytes at every offset of every step, the last also with the next one, two
 * and three steps, of known and unknown size: every call told is a true one, ends once, and none is left waiting for a
 * reply that was lost. Only a hole of unknown size, or any where requests are many messages, parts one in two.
 */
static inline bool holes_are_honest_in(const struct proto *p, const struct step *steps, size_t n,
                                       bool many_messages)
{
	static const struct hole kinds[] = {
		{ .len = 1, .why = PARTIAL_EVENTS_LOST },
		{ .len = 2, .why = PARTIAL_EVENTS_LOST },
		{ .len = 7, .why = PARTIAL_EVENTS_LOST },
		{ .len = SIZE_MAX, .why = PARTIAL_EVENTS_LOST },
		{ .len = SIZE_MAX, .more = 1, .why = PARTIAL_EVENTS_LOST },
		{ .len = SIZE_MAX, .more = 2, .why = PARTIAL_EVENTS_LOST },
		{ .len = 1, .known = true, .why = PARTIAL_TRUNCATED },
		{ .len = 2, .known = true, .why = PARTIAL_TRUNCATED },
		{ .len = 7, .known = true, .why = PARTIAL_EVENTS_LOST },
		{ .len = SIZE_MAX, .known = true, .why = PARTIAL_TRUNCATED },
		{ .len = SIZE_MAX, .known = true, .more = 1, .why = PARTIAL_EVENTS_LOST },
		{ .len = SIZE_MAX, .known = true, .more = 2, .why = PARTIAL_EVENTS_LOST },
		{ .len = SIZE_MAX, .known = true, .more = 3, .why = PARTIAL_EVENTS_LOST },
	};
	struct seen truth = play(p, steps, n);
	int bad = 0;

	for (size_t i = 0; i < n; i++) {
		for (size_t off = 0; off < steps[i].n; off++) {
			for (size_t k = 0; k < COUNT(kinds); k++) {
				struct hole h = kinds[k];
				struct seen s;

				h.step = i;
				h.off = off;
				s = play_hole(p, steps, n, &h);
				if ((s.wrong ||
				     !claims_hold(&s, &truth, !h.known || many_messages) ||
				     (i + h.more + 3 < n &&
				      left_open(&s, n) > left_open(&truth, n))) &&
				    !bad++) {
					printf("# hole in step %zu at %zu, kind %zu%s: %s\n", i,
					       off, k, s.wrong ? " WRONG" : "", shown(&s));
					show_figures(&s);
				}
				seen_free(&s);
			}
		}
	}
	if (bad)
		printf("# %d holes\n", bad);
	seen_free(&truth);
	return !bad;
}

static inline bool holes_are_honest(const struct proto *p, const struct step *steps, size_t n)
{
	return holes_are_honest_in(p, steps, n, false);
}

/* Whoever joins at any byte tells of true calls only, each once, and leaves none waiting. */
static inline bool joins_are_honest(const struct proto *p, const struct step *steps, size_t n)
{
	struct seen truth = play(p, steps, n);
	int bad = 0;

	for (size_t i = 0; i < n; i++) {
		for (size_t off = 0; off < steps[i].n; off++) {
			struct seen s = play_from(p, &late, steps, n, i, off);

			if ((s.wrong || !claims_hold(&s, &truth, false) ||
			     (i + 3 < n && left_open(&s, n) > left_open(&truth, n))) &&
			    !bad++) {
				printf("# joined in step %zu at %zu%s: %s\n", i, off,
				       s.wrong ? " WRONG" : "", shown(&s));
				show_figures(&s);
			}
			seen_free(&s);
		}
	}
	if (bad)
		printf("# joined at %d places\n", bad);
	seen_free(&truth);
	return !bad;
}
#endif
