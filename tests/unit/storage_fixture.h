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
	char *g = guarded(b, n);

	p->feed(state, dir, (struct bytes){ g, n }, at);
	guarded_free(g, n);
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

/* Whether the dialogue gives these calls, whole, at every split and byte by byte. */
static inline bool gives(const struct proto *p, const struct proto_hint *hint,
                         const struct step *steps, size_t n, const char *expected)
{
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
		seen_free(&s);
	}
	return good;
}

/* Step h loses len bytes at off. */
static inline struct seen play_hole(const struct proto *p, const struct step *steps, size_t n,
                                    size_t h, size_t off, size_t len, bool known, enum partial why)
{
	struct seen s = seen_new();
	void *state = p->new (&s.sink, &from_start);

	for (size_t i = 0; i < n; i++) {
		struct stamp at = stamp_of(i);

		if (i != h) {
			feed_guarded(p, state, steps[i].dir, steps[i].p, steps[i].n, &at);
			continue;
		}
		if (off)
			feed_guarded(p, state, steps[i].dir, steps[i].p, off, &at);
		p->gap(state, steps[i].dir, known ? len : GAP_UNKNOWN, why, &at);
		if (off + len < steps[i].n)
			feed_guarded(p, state, steps[i].dir, steps[i].p + off + len,
			             steps[i].n - off - len, &at);
	}
	p->done(state, DONE_CLOSED,
	        &(struct stamp){ .start_ns = (n + 1) * 1000, .end_ns = (n + 1) * 1000 });
	p->free(state);
	s.wrong |= s.opened != s.done;
	return s;
}

static inline bool same_call(const struct call *a, const struct call *b)
{
	return a->request_ns == b->request_ns && a->end_ns == b->end_ns && a->status == b->status &&
	       strcmp(a->error_kind, b->error_kind) == 0 &&
	       (!a->op_known || (strcmp(a->op, b->op) == 0 && a->write == b->write));
}

/* A call that claims to be whole must be one of the true ones, and those come in their order. */
static inline bool claims_hold(const struct seen *s, const struct seen *truth)
{
	int t = 0;

	for (int i = 0; i < s->done; i++) {
		if (s->calls[i]->partial)
			continue;
		while (t < truth->done && !same_call(s->calls[i], truth->calls[t]))
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

/* Holes of 1, 2, 7 and "all that follows" bytes at every offset of every step, of known and
 * unknown size: nothing that is not marked partial is wrong, every call ends once, and none is left
 * waiting for a reply that was lost. */
static inline bool holes_are_honest(const struct proto *p, const struct step *steps, size_t n)
{
	static const size_t lens[] = { 1, 2, 7, SIZE_MAX };
	struct seen truth = play(p, steps, n);
	bool good = true;

	for (size_t h = 0; h < n; h++) {
		for (size_t off = 0; off < steps[h].n; off++) {
			for (size_t k = 0; k < 3 * COUNT(lens); k++) {
				size_t rest = steps[h].n - off, len = lens[k % 4];
				enum partial why = k < 8 ? PARTIAL_EVENTS_LOST : PARTIAL_TRUNCATED;
				struct seen s = play_hole(p, steps, n, h, off,
				                          len < rest ? len : rest, k >= 4, why);

				if (s.wrong || !claims_hold(&s, &truth) ||
				    (h + 3 < n && left_open(&s, n) > left_open(&truth, n))) {
					if (good)
						printf("# hole in step %zu at %zu, %zu: %s\n", h,
						       off, k, shown(&s));
					good = false;
				}
				seen_free(&s);
			}
		}
	}
	seen_free(&truth);
	return good;
}
#endif
