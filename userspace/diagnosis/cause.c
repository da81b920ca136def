/* SPDX-License-Identifier: BSD-2-Clause */
/* Causes as the families make them: a new one, and what it says of a thread's wait. */
#include <stdlib.h>

#include "diagnosis/scene.h"
#include "syscall_names.h"

struct cause *cause_new(struct scene *s, enum verdict_kind kind, enum confidence sure,
                        const struct wait *w)
{
	static struct cause nowhere; /* written, never read */
	struct cause *c;

	if (s->ncauses == s->causes_room) {
		size_t room = s->causes_room ? 2 * s->causes_room : 16;
		struct cause *more = realloc(s->causes, room * sizeof(*more));

		if (!more) {
			s->failed = true;
			nowhere = (struct cause){ 0 };
			return &nowhere;
		}
		s->causes = more;
		s->causes_room = room;
	}
	c = &s->causes[s->ncauses++];
	*c = (struct cause){ .kind = kind, .confidence = sure };
	if (!w)
		return c;
	c->pid = w->thread->h.pid;
	c->tid = w->thread->h.tid;
	c->since_ns = w->since_ns;
	if (w->python)
		frames_line(c->where, sizeof(c->where), frames_text(w->python), 4);
	return c;
}

void cause_wake_by_wait(const struct scene *s, struct cause *c, const struct wait *w)
{
	uint64_t now = s->look->now_ns;

	if (w->until_ns > now)
		cause_wake(c, WAKE_AT, w->until_ns, "its time limit ends the wait in %s",
		           duration_of(w->until_ns - now).text);
	else if (w->until_ns)
		cause_wake(c, WAKE_UNKNOWN, 0, "its time limit should have ended the wait already");
	else if (wait_untimed(w))
		cause_wake(c, WAKE_NEVER, 0, "it set no time limit: no timer will end this wait");
	else
		cause_wake(c, WAKE_UNKNOWN, 0, "whether it set a time limit could not be read");
}

void cause_evidence_wait(const struct scene *s, struct cause *c, const struct wait *w)
{
	const struct ev_thread *t = w->thread;
	char buf[SYSCALL_NAME_MAX], args[SYSCALL_ARGS_MAX] = "", name[64];
	char line[DIAGNOSIS_TEXT_MAX] = "";
	const char *call = t->state == 'R' ? NULL : syscall_name(t->syscall, buf);
	struct bytes wchan = thread_text(t).wchan;

	if (call)
		syscall_args(t, args, sizeof(args));
	cause_evidence(c, "%s is in state %c%s%s%s%s%s%s%s", wait_name(w, name),
	               t->state > ' ' && t->state < 0x7f ? t->state : '?', call ? ", in " : "",
	               call ? call : "", call ? "(" : "", args, call ? ")" : "",
	               t->blocked_since_ns ? " for " : "",
	               t->blocked_since_ns
	                       ? duration_of(age(s->look->now_ns, t->blocked_since_ns)).text
	                       : "");
	if (wchan.n && w->kind == WAIT_DISK)
		cause_evidence(c, "the kernel function it sleeps in: %.*s", (int)wchan.n, wchan.p);
	if (w->python && (w->thread->h.tid != c->tid || !*c->where))
		frames_line(line, sizeof(line), frames_text(w->python), 4);
	if (*line)
		cause_evidence(c, "Python: %s", line);
}
