/* SPDX-License-Identifier: BSD-2-Clause */
/* A table of the threads of the newest snapshot; each takes over what the one before knew of it. */
#include "stays.h"

#include <stdlib.h>
#include <string.h>

#define PLACE_TEXT_MAX 512

struct stays {
	struct stay *list; /* by pid and tid */
	size_t n;
	uint64_t first_ns;
};

struct stays *stays_new(void)
{
	return calloc(1, sizeof(struct stays));
}

void stays_free(struct stays *s)
{
	if (s)
		free(s->list);
	free(s);
}

static int stay_compare(const void *a, const void *b)
{
	const struct stay *x = a, *y = b;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

const struct stay *stays_find(const struct stays *s, uint32_t pid, uint32_t tid)
{
	struct stay key = { .pid = pid, .tid = tid };

	return s->n ? bsearch(&key, s->list, s->n, sizeof(key), stay_compare) : NULL;
}

uint64_t stays_first(const struct stays *s)
{
	return s->first_ns;
}

/* place 0: its functions could not be read this time. False: nothing is known of it. */
static bool stay_of(const struct evidence *e, const struct ev_thread *t, struct stay *now)
{
	const struct ev_frames *frames = evidence_frames(e, t->h.pid, t->h.tid);
	const struct ev_activity *cpu = evidence_cpu(e, t->h.pid, t->h.tid);
	const struct ev_fact *written = evidence_fact(e, t->h.pid, FACT_WRITTEN);
	char place[PLACE_TEXT_MAX] = "";

	if (!cpu)
		return false;
	if (frames)
		frames_line(place, sizeof(place), frames_text(frames), STAY_FRAMES);
	*now = (struct stay){ .pid = t->h.pid,
		              .tid = t->h.tid,
		              .place = *place ? bytes_hash(0, bytes_of(place)) | 1 : 0,
		              .written = written ? written->value : 0,
		              .since_ns = cpu->h.ts_ns,
		              .cpu_ns = cpu->cpu_ns,
		              .first_ns = evidence_time(e) };
	return true;
}

void stays_update(struct stays *s, const struct evidence *e)
{
	size_t n, kept = 0;
	const struct ev_thread *const *threads = evidence_threads(e, 0, &n);
	struct stay *list = calloc(n + 1, sizeof(*list));

	for (size_t i = 0; list && i < n; i++) {
		struct stay *now = &list[kept];
		const struct stay *before;

		if (!stay_of(e, threads[i], now))
			continue;
		before = stays_find(s, now->pid, now->tid);
		if (before && before->written == now->written &&
		    (!now->place || before->place == now->place))
			*now = *before;
		kept += now->place != 0;
	}
	free(s->list);
	s->list = list;
	s->n = kept;
	if (!s->first_ns && kept)
		s->first_ns = evidence_time(e);
}
