/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Masks the dialogues of a storage parser's tests: in any pieces the same bytes come out, without the words planted, and the
 * parser makes the same calls of them, also with a hole anywhere.
 */
#ifndef MASK_FIXTURE_H
#define MASK_FIXTURE_H
#include "mask_owner.h"
#include "storage_fixture.h"

#define MASK_STEPS_MAX 64

/* Copies of steps to be masked, each ending at an unreadable page. */
static inline void steps_copy(struct step *to, const struct step *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (struct step){ from[i].dir, guarded(from[i].p, from[i].n), from[i].n };
}

static inline void steps_free(struct step *steps, size_t n)
{
	for (size_t i = 0; i < n; i++)
		guarded_free((char *)steps[i].p, steps[i].n);
}

/* Masks the steps in place, each in pieces of at most `piece` bytes, the first of `first` (0: no such cut). Of step `hole` the len
 * bytes at off are missing; SIZE_MAX: of none. */
static inline void steps_mask(const struct masker *m, bool start, struct step *steps, size_t n,
                              size_t first, size_t piece, size_t hole, size_t off, size_t len)
{
	struct mask_word words[2] = { 0 };
	void *state = m->new (&mask_owner, words, start);
	bool over = false;

	for (size_t i = 0; i < n; i++) {
		char *p = (char *)steps[i].p;

		for (size_t at = 0; at < steps[i].n;) {
			size_t k = !at && first ? first : piece;

			k = k < steps[i].n - at ? k : steps[i].n - at;
			if (over) {
				memset(p + at, 0, k);
			} else if (i == hole && at == off) {
				k = len;
				over = m->gap(state, steps[i].dir, len) != MASK_OK;
			} else {
				k = i == hole && at < off && at + k > off ? off - at : k;
				over = m->feed(state, steps[i].dir, p + at, k) != MASK_OK;
			}
			at += k;
		}
	}
	for (int d = 0; d < 2; d++)
		word_break(&words[d]);
	m->free(state);
	for (int d = 0; d < 2; d++)
		word_free(&words[d]);
}

/* The planted words that are left, but in the hole. */
static inline bool steps_leak(const struct step *steps, size_t n, const char *const *planted,
                              size_t hole, size_t off, size_t len)
{
	for (size_t i = 0; i < n; i++)
		for (size_t w = 0; planted[w]; w++) {
			size_t k = strlen(planted[w]);
			const char *at = steps[i].p, *end = at + steps[i].n;

			for (; (at = memmem(at, (size_t)(end - at), planted[w], k)); at++) {
				size_t from = (size_t)(at - steps[i].p);

				if (i == hole && from < off + len && from + k > off)
					continue;
				printf("# '%s' is left in step %zu\n", planted[w], i);
				return true;
			}
		}
	return false;
}

static inline bool steps_same(const struct step *a, const struct step *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(a[i].p, b[i].p, a[i].n) != 0)
			return false;
	return true;
}

/* The calls. Of one that is not whole the operation may have been in the hole, and what is left of it masked. */
static inline char *calls_told(const struct seen *s)
{
	char *text = calloc(SHOWN_MAX, 256);
	size_t n = 0;

	for (int i = 0; i < s->done && i < SHOWN_MAX; i++) {
		const struct call *c = s->calls[i];

		n += (size_t)sprintf(text + n, "%s %d%d%d%d %d %s %s %ju %ju %ju %ju %ju; ",
		                     c->partial ? "-" : c->op, c->op_known && !c->partial,
		                     c->write && !c->partial, c->blocks, c->setup, c->class,
		                     call_status_name(c->status), c->error_kind,
		                     (uintmax_t)c->bytes_out, (uintmax_t)c->bytes_in,
		                     (uintmax_t)c->sent_ns, (uintmax_t)c->first_byte_ns,
		                     (uintmax_t)c->end_ns);
	}
	return text;
}

static inline bool told_same(struct seen a, struct seen b, const char *what, size_t i, size_t at)
{
	char *x = calls_told(&a), *y = calls_told(&b);
	bool same = strcmp(x, y) == 0;

	if (!same)
		printf("# %s %zu %zu\n# original %s\n# masked   %s\n", what, i, at, x, y);
	free(x);
	free(y);
	seen_free(&a);
	seen_free(&b);
	return same;
}

/* Whole, at every split, byte by byte, and the copy's copy. */
static inline bool masks(const struct masker *m, const struct proto *p, const struct step *steps,
                         size_t n, const char *const *planted)
{
	struct step whole[MASK_STEPS_MAX], cut[MASK_STEPS_MAX];
	size_t longest = 1;
	bool good;

	steps_copy(whole, steps, n);
	steps_mask(m, true, whole, n, 0, SIZE_MAX, SIZE_MAX, 0, 0);
	good = !steps_leak(whole, n, planted, SIZE_MAX, 0, 0) &&
	       told_same(play(p, steps, n), play(p, whole, n), "whole", 0, 0);
	for (size_t i = 0; i < n; i++)
		longest = steps[i].n > longest ? steps[i].n : longest;
	for (size_t at = 0; at <= longest && good; at++) {
		steps_copy(cut, steps, n);
		steps_mask(m, true, cut, n, at, at ? SIZE_MAX : 1, SIZE_MAX, 0, 0);
		good = steps_same(whole, cut, n);
		if (!good)
			printf("# cut at %zu: another mask\n", at);
		steps_free(cut, n);
	}
	steps_copy(cut, whole, n);
	steps_mask(m, true, cut, n, 0, SIZE_MAX, SIZE_MAX, 0, 0);
	good = good && told_same(play(p, steps, n), play(p, cut, n), "twice", 0, 0);
	steps_free(cut, n);
	steps_free(whole, n);
	return good;
}

/* Nothing planted is left, and from step `zero` on nothing at all. */
static inline bool masks_private(const struct masker *m, const struct step *steps, size_t n,
                                 const char *const *planted, size_t zero)
{
	struct step copy[MASK_STEPS_MAX];
	bool good;

	steps_copy(copy, steps, n);
	steps_mask(m, true, copy, n, 0, SIZE_MAX, SIZE_MAX, 0, 0);
	good = !steps_leak(copy, n, planted, SIZE_MAX, 0, 0);
	for (size_t i = zero; i < n; i++)
		for (size_t k = 0; k < copy[i].n; k++)
			good &= !copy[i].p[k];
	steps_free(copy, n);
	return good;
}

/* Holes at every offset of the first n steps; joined late from every step on. */
static inline bool masks_holes(const struct masker *m, const struct proto *p,
                               const struct step *steps, size_t n, const char *const *planted)
{
	static const size_t lens[] = { 1, 7, SIZE_MAX };
	struct step copy[MASK_STEPS_MAX];
	bool good = true;

	for (size_t h = 0; h < n; h++)
		for (size_t off = 0; off < steps[h].n && good; off++)
			for (size_t k = 0; k < COUNT(lens); k++) {
				size_t rest = steps[h].n - off;
				size_t len = lens[k] < rest ? lens[k] : rest;
				struct hole hole = { .step = h,
					             .off = off,
					             .len = len,
					             .known = true,
					             .why = PARTIAL_EVENTS_LOST };

				steps_copy(copy, steps, n);
				steps_mask(m, true, copy, n, 0, SIZE_MAX, h, off, len);
				good = good && !steps_leak(copy, n, planted, h, off, len) &&
				       told_same(play_hole(p, steps, n, &hole),
				                 play_hole(p, copy, n, &hole), "hole in", h, off);
				steps_free(copy, n);
			}
	for (size_t from = 1; from < n; from++) {
		steps_copy(copy, steps, n);
		steps_mask(m, false, copy + from, n - from, 0, SIZE_MAX, SIZE_MAX, 0, 0);
		good = good && !steps_leak(copy + from, n - from, planted, SIZE_MAX, 0, 0) &&
		       told_same(play_cut(p, &late, steps + from, n - from, 0, SIZE_MAX),
		                 play_cut(p, &late, copy + from, n - from, 0, SIZE_MAX),
		                 "late from", from, 0);
		steps_free(copy, n);
	}
	return good;
}

#define MASKS(masker, proto, steps, planted) \
	CHECK(masks(masker, proto, steps, COUNT(steps), planted))
#define MASKS_HOLES(masker, proto, steps, n, planted) \
	CHECK(masks_holes(masker, proto, steps, n, planted))
#endif
