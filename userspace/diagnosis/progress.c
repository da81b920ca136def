/* SPDX-License-Identifier: BSD-2-Clause */
/* Nothing is wrong: a progress clock moved lately, so whatever else waits does not hold the run back. */
#include "diagnosis/scene.h"

/* CPU alone is none of them: a run that turns in circles uses it, too. */
static const struct {
	const char *clock, *sentence;
} clocks[] = {
	{ "content", "bytes of LLM or storage calls moved" },
	{ "calls", "a call was completed" },
	{ "turns", "a turn ended" },
	{ "output", "output was written" },
};

static void newest_call(struct scene *s, struct cause *c)
{
	const struct history *h = s->look->history;
	const struct call_view *v = h->nrecent ? &h->recent[h->nrecent - 1] : NULL;

	if (!v || v->call->status != CALL_OK || v->call->end_ns < h->start_ns)
		return;
	cause_evidence(c, "%s to %s was answered %s ago", *v->call->op ? v->call->op : "a request",
	               v->endpoint && *v->endpoint->name ? v->endpoint->name
	                                                 : "an unnamed endpoint",
	               duration_of(age(s->look->now_ns, v->call->end_ns)).text);
}

void progress_causes(struct scene *s)
{
	const struct look *l = s->look;
	const struct history *h = l->history;
	struct cause *c;

	if (!h || !h->moved_ns || age(l->now_ns, h->moved_ns) >= l->silent_min_ns ||
	    (l->stall && stall_stuck(l->stall)))
		return;
	for (size_t i = 0; i < sizeof(clocks) / sizeof(*clocks); i++) {
		if (strcmp(h->moved, clocks[i].clock) != 0)
			continue;
		c = cause_new(s, VERDICT_PROGRESSING, CONFIDENCE_PROVEN, NULL);
		c->pid = l->pid;
		c->since_ns = h->moved_ns;
		cause_say(c, "%s %s ago", clocks[i].sentence,
		          duration_of(age(l->now_ns, h->moved_ns)).text);
		newest_call(s, c);
		cause_wake(c, WAKE_ON_EVENT, 0, "it is awake: it moved while it was looked at");
		cause_step(c, "sudo whystuck watch %u   # its turns, and word when it stops moving",
		           l->pid);
	}
}
