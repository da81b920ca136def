/* SPDX-License-Identifier: BSD-2-Clause */
/* Unions of time intervals in bounded memory. */
#include "base/spans.h"

#include <stdlib.h>
#include <string.h>

static void fold(struct spans *s)
{
	uint32_t half = s->n / 2;

	for (uint32_t i = 0; i < half; i++)
		s->folded_ns += s->v[i].end_ns - s->v[i].start_ns;
	s->floor_ns = s->v[half - 1].end_ns;
	s->n -= half;
	memmove(s->v, s->v + half, s->n * sizeof(*s->v));
}

static bool make_room(struct spans *s)
{
	uint32_t room = s->room ? s->room * 2 : 4;
	struct span *v;

	if (s->n < s->room)
		return true;
	v = realloc(s->v, room * sizeof(*v));
	if (!v)
		return false;
	s->v = v;
	s->room = room;
	return true;
}

void spans_add(struct spans *s, uint64_t start_ns, uint64_t end_ns)
{
	uint32_t first, last;

	if (start_ns < s->floor_ns) {
		start_ns = s->floor_ns;
		s->cut = true;
	}
	if (end_ns <= start_ns)
		return;

	/* v[first] to v[last - 1] overlap or touch the new one; new ones mostly come at the end. */
	for (last = s->n; last > 0 && s->v[last - 1].start_ns > end_ns; last--)
		;
	for (first = last; first > 0 && s->v[first - 1].end_ns >= start_ns; first--)
		;
	if (first < last) {
		if (s->v[first].start_ns < start_ns)
			start_ns = s->v[first].start_ns;
		if (s->v[last - 1].end_ns > end_ns)
			end_ns = s->v[last - 1].end_ns;
		memmove(s->v + first + 1, s->v + last, (s->n - last) * sizeof(*s->v));
		s->n -= last - first - 1;
		s->v[first] = (struct span){ start_ns, end_ns };
		return;
	}
	if (!make_room(s)) {
		s->cut = true;
		return;
	}
	memmove(s->v + first + 1, s->v + first, (s->n - first) * sizeof(*s->v));
	s->v[first] = (struct span){ start_ns, end_ns };
	if (++s->n == SPANS_MAX)
		fold(s);
}

uint64_t spans_total(const struct spans *s)
{
	uint64_t sum = s->folded_ns;

	for (uint32_t i = 0; i < s->n; i++)
		sum += s->v[i].end_ns - s->v[i].start_ns;
	return sum;
}

void spans_free(struct spans *s)
{
	free(s->v);
	*s = (struct spans){ 0 };
}
