/* SPDX-License-Identifier: BSD-2-Clause */
/* Who waits for whom: from the threads' waits to edges between processes. */
#include "diagnosis/scene.h"

void tree_link(struct scene *s)
{
	for (size_t i = 0; i < s->nprocesses; i++) {
		struct process *p = &s->processes[i], *child;
		char name[32];

		if (!p->main || p->main->kind != WAIT_CHILD || !p->main->child)
			continue;
		child = scene_process(s, p->main->child);
		if (!child || child == p)
			continue;
		p->waits_for = (int)(child - s->processes);
		snprintf(p->how, sizeof(p->how), "process %u waits for its child %u (%s) to end",
		         p->pid, child->pid, process_name(s, child, name));
	}
}
