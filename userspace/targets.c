/* SPDX-License-Identifier: BSD-2-Clause */
/* A short list, looked through: a watch has few targets. */
#include "targets.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TEXT_PIDS 8 /* named; the others are counted */

static struct target *find(struct targets *t, uint32_t pid)
{
	for (size_t i = t->n; i-- > 0;) /* a PID may have come again */
		if (t->list[i].pid == pid)
			return &t->list[i];
	return NULL;
}

bool targets_have(const struct targets *t, uint32_t pid)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->list[i].pid == pid)
			return true;
	return false;
}

/* Makes room for one more by forgetting who ended first. */
static bool room_make(struct targets *t)
{
	size_t oldest = t->n;

	if (t->n < TARGETS_TOLD_MAX)
		return true;
	for (size_t i = 0; i < t->n; i++)
		if (t->list[i].ended_ns &&
		    (oldest == t->n || t->list[i].ended_ns < t->list[oldest].ended_ns))
			oldest = i;
	if (oldest == t->n) {
		t->passed++;
		return false;
	}
	memmove(&t->list[oldest], &t->list[oldest + 1], (t->n - oldest - 1) * sizeof(*t->list));
	t->n--;
	return true;
}

/* since_ns: when it was started. */
static bool came(struct targets *t, uint32_t pid, uint64_t since_ns)
{
	struct target *old = find(t, pid);

	/* a snapshot shows one that has ended as long as it is a zombie */
	if (!pid || (old && (!old->ended_ns || since_ns <= old->ended_ns)))
		return false;
	if (old) {
		*old = (struct target){ pid, 0 };
	} else {
		if (!room_make(t))
			return false;
		t->list[t->n++] = (struct target){ pid, 0 };
	}
	t->live++;
	return true;
}

static void ended(struct targets *t, uint32_t pid, uint64_t ts_ns)
{
	struct target *x = find(t, pid);

	if (!x || x->ended_ns)
		return;
	x->ended_ns = ts_ns ? ts_ns : 1;
	t->live--;
}

bool targets_event(struct targets *t, const struct event *e)
{
	if (e->type == EV_HELLO)
		return came(t, e->pid, UINT64_MAX);
	if (e->type == EV_PROCESS && e->flags & EVF_ROOT)
		return came(t, e->pid, ((const struct ev_process *)e)->start_ns);
	if (e->type == EV_EXIT && e->flags & EVF_LAST)
		ended(t, e->pid, e->ts_ns);
	return false;
}

uint32_t targets_first(const struct targets *t)
{
	const struct target *last = NULL;

	for (size_t i = 0; i < t->n; i++) {
		if (!t->list[i].ended_ns)
			return t->list[i].pid;
		if (!last || t->list[i].ended_ns > last->ended_ns)
			last = &t->list[i];
	}
	return last ? last->pid : 0;
}

const char *targets_text(const struct targets *t, char buf[static TARGETS_TEXT_MAX])
{
	size_t used = 0, named = 0, all = t->live ? t->live : t->n;

	snprintf(buf, TARGETS_TEXT_MAX, "nobody");
	for (size_t i = 0; i < t->n && named < TEXT_PIDS; i++) {
		if (t->live && t->list[i].ended_ns)
			continue;
		used += (size_t)snprintf(buf + used, TARGETS_TEXT_MAX - used, "%s%" PRIu32,
		                         named ? ", " : "", t->list[i].pid);
		named++;
	}
	if (named < all)
		snprintf(buf + used, TARGETS_TEXT_MAX - used, " and %zu more", all - named);
	return buf;
}
