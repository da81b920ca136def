/* SPDX-License-Identifier: BSD-2-Clause */
/* Two histograms of durations, and the question whether a call is beyond them. */
#include "slow.h"

#include <stdlib.h>

#include "base/hist.h"

/* Nobody calls a call of less slow, however fast the others are. */
#define SLOW_MIN_NS 1000000000ull
/* What came longer ago is no sign of life; the CPU clock moves every 5 s at most. */
#define ALIVE_NS 10000000000ull

struct slow {
	struct hist *llm, *storage; /* in us */
};

struct slow *slow_new(void)
{
	struct slow *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->llm = hist_new();
	s->storage = hist_new();
	if (s->llm && s->storage)
		return s;
	slow_free(s);
	return NULL;
}

void slow_free(struct slow *s)
{
	if (!s)
		return;
	hist_free(s->llm);
	hist_free(s->storage);
	free(s);
}

static struct hist *hist_of(const struct slow *s, enum call_class class)
{
	if (class == CALL_LLM)
		return s->llm;
	return class == CALL_STORAGE ? s->storage : NULL;
}

void slow_done(struct slow *s, const struct call *c)
{
	struct hist *h = hist_of(s, c->class);

	if (h && c->status == CALL_OK && !c->blocks && !c->at_least && c->end_ns > c->start_ns)
		hist_add(h, (c->end_ns - c->start_ns) / 1000); /* without memory it is one fewer */
}

uint64_t slow_p99(const struct slow *s, enum call_class class)
{
	const struct hist *h = hist_of(s, class);

	return h && hist_count(h) >= SLOW_CALLS_MIN ? hist_percentile(h, 99) * 1000 : 0;
}

static bool lately(uint64_t ts_ns, uint64_t now_ns)
{
	return ts_ns && ts_ns + ALIVE_NS > now_ns;
}

enum slow_sign slow_is(const struct slow *s, const struct call *c, uint64_t content_ns,
                       uint64_t cpu_ns, uint64_t now_ns)
{
	uint64_t p99 = slow_p99(s, c->class),
		 open = now_ns > c->start_ns ? now_ns - c->start_ns : 0;

	if (!p99 || c->blocks || open < SLOW_MIN_NS || open <= p99)
		return SLOW_NOT;
	if (lately(content_ns, now_ns))
		return SLOW_CONTENT;
	return lately(cpu_ns, now_ns) ? SLOW_CPU : SLOW_NOT;
}
