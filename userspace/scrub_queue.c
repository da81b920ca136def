/* SPDX-License-Identifier: BSD-2-Clause */
/* The queue: events leave it in the order in which they came. */
#include "scrub_state.h"

#include <stdlib.h>

struct item *queue_add(struct scrub *s, struct item *before, const void *e, size_t n)
{
	struct item *i = calloc(1, sizeof(*i));

	if (!i || !(i->e = malloc(n))) {
		free(i);
		s->dropped++;
		return NULL;
	}
	memcpy(i->e, e, n);
	i->serial = before ? before->serial : ++s->serial;
	i->next = before;
	i->prev = before ? before->prev : s->last;
	*(i->prev ? &i->prev->next : &s->first) = i;
	*(before ? &before->prev : &s->last) = i;
	s->nitems++;
	s->bytes += n;
	return i;
}

void queue_drop(struct scrub *s)
{
	struct item *i = s->first;

	s->first = i->next;
	*(i->next ? &i->next->prev : &s->last) = NULL;
	s->nitems--;
	s->bytes -= i->e->size;
	free(i->cut);
	free(i->e);
	free(i);
}

/* Emits the next part of a record. */
static void part_emit(struct scrub *s, struct item *i)
{
	const struct ev_data *d = (const struct ev_data *)i->e;
	uint32_t from = i->sent ? i->cut[i->sent - 1] : 0;
	uint32_t to = i->sent < i->ncut ? i->cut[i->sent] : d->n;
	struct ev_data *part = malloc(sizeof(*part) + (to - from));

	i->sent++;
	if (!part) {
		s->dropped++;
		return;
	}
	*part = *d;
	part->h.size = (uint32_t)(sizeof(*part) + (to - from));
	part->h.flags |= to < d->n ? EVF_MORE : 0;
	part->off += from;
	part->n = to - from;
	memcpy(part->data, d->data + from, to - from);
	s->emit(s->ctx, &part->h);
	free(part);
}

void queue_emit(struct scrub *s)
{
	struct item *i = s->first;

	while (i->of && i->of->sent < i->part)
		part_emit(s, i->of);
	if (!i->ncut)
		s->emit(s->ctx, i->e);
	while (i->ncut && i->sent <= i->ncut)
		part_emit(s, i);
	queue_drop(s);
}
