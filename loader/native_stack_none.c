/* SPDX-License-Identifier: BSD-2-Clause */
/* In place of native_stack.c where there is no libdw to build with: says so. */
#include "native_stack.h"

#include <stdlib.h>
#include <string.h>

#define WHAT "native_frames"
#define WHY "whystuck was built without libdw"

struct native_stacks {
	uint64_t room[32];
};

struct native_stacks *native_stacks_new(void)
{
	return calloc(1, sizeof(struct native_stacks));
}

void native_stacks_free(struct native_stacks *s)
{
	free(s);
}

void native_stacks_read(struct native_stacks *s, uint32_t pid, const struct snap_thread *rows,
                        size_t n, uint64_t end_ns, event_fn emit, void *ctx)
{
	static const char text[] = WHAT "\0" WHY;
	struct ev_missing *e = (struct ev_missing *)s->room;

	_Static_assert(sizeof(*e) + sizeof(text) <= sizeof(s->room), "the record fits");
	(void)rows;
	(void)end_ns;
	if (!n)
		return;
	memset(e, 0, sizeof(*e));
	e->h.type = EV_MISSING;
	e->h.size = (uint32_t)(sizeof(*e) + sizeof(text) - 1);
	e->h.pid = pid;
	e->h.tid = pid;
	e->index = 0;
	memcpy(e->text, text, sizeof(text) - 1);
	emit(ctx, &e->h);
}

const char *native_stacks_without(void)
{
	return WHY;
}
