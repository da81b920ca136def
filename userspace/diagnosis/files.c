/* SPDX-License-Identifier: BSD-2-Clause */
/* Causes in files, pipes and terminals: output that nobody takes, input that nobody gives, file locks. */
#include <string.h>

#include "diagnosis/scene.h"

#define MODE_READ 1
#define MODE_WRITE 2
#define NAMED_MAX 3 /* processes at the other end that are named; the rest is counted */

static const char *fd_name(int fd, char buf[static 32])
{
	static const char *const standard[] = { "its standard input", "its standard output",
		                                "its standard error" };

	if (fd >= 0 && fd <= 2)
		return standard[fd];
	snprintf(buf, 32, "descriptor %d", fd);
	return buf;
}

static struct bytes what_is(const struct scene *s, const struct wait *w)
{
	const struct ev_fd *row = evidence_fd(s->look->evidence, w->thread->h.pid, w->fd);

	return row ? fd_text(row) : (struct bytes){ NULL, 0 };
}

/* Who holds the other end of w's pipe. */
struct others {
	unsigned n; /* processes besides the waiting one */
	bool self;  /* the waiting process holds it, too */
	bool known; /* the holders were looked for at all */
	uint32_t first;
	char names[160]; /* "1234 (tee), 1240 (cat)" */
};

static struct others others_of(const struct scene *s, const struct wait *w, uint32_t mode)
{
	struct others o = { 0 };
	size_t n, at = 0;
	const struct ev_holder *const *h = evidence_holders(s->look->evidence, w->ino, &n);
	uint32_t last = 0;

	for (size_t i = 0; i < n; i++) {
		struct bytes name = holder_text(h[i]);

		o.known = true;
		if (!(h[i]->mode & mode) || h[i]->h.pid == last)
			continue;
		last = h[i]->h.pid;
		if (last == w->thread->h.pid) {
			o.self = true;
			continue;
		}
		if (!o.n++)
			o.first = last;
		if (o.n <= NAMED_MAX && at < sizeof(o.names))
			at += (size_t)snprintf(o.names + at, sizeof(o.names) - at, "%s%u (%.*s)",
			                       at ? ", " : "", last,
			                       (int)(name.n < 31 ? name.n : 31),
			                       name.n ? name.p : "?");
	}
	if (o.n > NAMED_MAX && at < sizeof(o.names))
		snprintf(o.names + at, sizeof(o.names) - at, " and %u more", o.n - NAMED_MAX);
	return o;
}

static void output_to_pipe(struct scene *s, const struct wait *w)
{
	struct others o = others_of(s, w, MODE_READ);
	struct cause *c = cause_new(s, VERDICT_OUTPUT_BLOCKED,
	                            o.known ? CONFIDENCE_PROVEN : CONFIDENCE_STRONG, w);
	char name[64], fd[32];

	if (o.n)
		cause_say(c,
		          "%s writes to %s, a pipe that is full: %s should read it and has not for "
		          "%s",
		          wait_name(w, name), fd_name(w->fd, fd), o.names,
		          duration_of(wait_for_ns(s, w)).text);
	else if (o.known)
		cause_say(c, "%s writes to %s, a pipe that is full, and nobody%s can read it",
		          wait_name(w, name), fd_name(w->fd, fd), o.self ? " but itself" : "");
	else
		cause_say(c, "%s writes to %s, a pipe that is full, for %s", wait_name(w, name),
		          fd_name(w->fd, fd), duration_of(wait_for_ns(s, w)).text);
	cause_evidence_wait(s, c, w);
	if (o.n) {
		cause_wake(c, WAKE_ON_EVENT, 0, "it goes on when process %u reads", o.first);
		cause_step(c, "sudo whystuck %u   # why does the reader not read?", o.first);
	} else if (o.known) {
		cause_wake(c, WAKE_NEVER, 0, "no other process has the reading end open");
	} else {
		cause_wake(c, WAKE_ON_EVENT, 0, "it goes on when the reader reads");
	}
	cause_step(c, "ls -l /proc/%u/fd   # pipes by number: who shares %.*s?", w->thread->h.pid,
	           (int)what_is(s, w).n, what_is(s, w).n ? what_is(s, w).p : "");
}

static void output_to_terminal(struct scene *s, const struct wait *w)
{
	struct cause *c = cause_new(s, VERDICT_OUTPUT_BLOCKED, CONFIDENCE_STRONG, w);
	struct bytes what = what_is(s, w);
	char name[64], fd[32];

	cause_say(c, "%s writes to %s, the terminal %.*s, which takes no more for %s",
	          wait_name(w, name), fd_name(w->fd, fd), (int)what.n, what.n ? what.p : "?",
	          duration_of(wait_for_ns(s, w)).text);
	cause_evidence_wait(s, c, w);
	cause_wake(c, WAKE_ON_EVENT, 0,
	           "it goes on when the terminal goes on: output may be held (Ctrl-S), or the "
	           "program that shows it does not read");
	cause_step(c, "press Ctrl-Q in that terminal, or look at the program that owns it (tmux, "
	              "screen, sshd)");
}

/* In open(): nobody has the other end. */
static void named_pipe(struct scene *s, const struct wait *w)
{
	bool reads = w->kind == WAIT_PIPE_READ;
	struct cause *c = cause_new(s, reads ? VERDICT_INPUT_WAIT : VERDICT_OUTPUT_BLOCKED,
	                            CONFIDENCE_PROVEN, w);
	char name[64];

	cause_say(c, "%s waits to open a named pipe until another process opens it to %s, for %s",
	          wait_name(w, name), reads ? "write" : "read",
	          duration_of(wait_for_ns(s, w)).text);
	cause_evidence_wait(s, c, w);
	cause_wake(c, WAKE_ON_EVENT, 0, "it goes on when the other end is opened");
	cause_step(c, "start the program that should %s that pipe", reads ? "write to" : "read");
}

static void input_from_pipe(struct scene *s, const struct wait *w)
{
	struct others o = others_of(s, w, MODE_WRITE);
	struct cause *c = cause_new(s, VERDICT_INPUT_WAIT,
	                            o.known ? CONFIDENCE_PROVEN : CONFIDENCE_STRONG, w);
	char name[64], fd[32];

	if (o.n)
		cause_say(c, "%s reads %s, a pipe that %s should write to and has not for %s",
		          wait_name(w, name), fd_name(w->fd, fd), o.names,
		          duration_of(wait_for_ns(s, w)).text);
	else if (o.known)
		cause_say(c, "%s reads %s, a pipe that nobody%s can write to", wait_name(w, name),
		          fd_name(w->fd, fd), o.self ? " but itself" : "");
	else
		cause_say(c, "%s reads %s, a pipe, and nothing has come for %s", wait_name(w, name),
		          fd_name(w->fd, fd), duration_of(wait_for_ns(s, w)).text);
	cause_evidence_wait(s, c, w);
	if (o.n) {
		cause_wake(c, WAKE_ON_EVENT, 0, "it goes on when process %u writes", o.first);
		cause_step(c, "sudo whystuck %u   # why does the writer not write?", o.first);
	} else if (o.known && o.self) {
		cause_wake(c, WAKE_NEVER, 0, "only the waiting process has the writing end open");
	} else {
		cause_wake(c, WAKE_ON_EVENT, 0, "it goes on when somebody writes");
	}
}

static void input_from_terminal(struct scene *s, const struct wait *w)
{
	struct cause *c = cause_new(s, VERDICT_INPUT_WAIT, CONFIDENCE_PROVEN, w);
	struct bytes what = what_is(s, w);
	char name[64], fd[32];

	cause_say(c, "%s waits for somebody to type: it reads %s, the terminal %.*s, for %s",
	          wait_name(w, name), fd_name(w->fd, fd), (int)what.n, what.n ? what.p : "?",
	          duration_of(wait_for_ns(s, w)).text);
	cause_evidence_wait(s, c, w);
	cause_wake(c, WAKE_ON_EVENT, 0, "it goes on when a line is typed in that terminal");
	cause_step(c, "go to the terminal %.*s and answer, or run it with </dev/null", (int)what.n,
	           what.n ? what.p : "?");
}

/* ---- File locks ---- */

struct lock_pair {
	const struct ev_lock *waiter, *holder; /* NULL unknown */
};

static struct lock_pair lock_of(const struct scene *s, const struct wait *w)
{
	struct lock_pair found = { NULL, NULL };
	const struct ev_lock *holder = NULL;
	size_t n;
	const struct ev_lock *const *locks = evidence_locks(s->look->evidence, &n);

	for (size_t i = 0; i < n; i++) {
		if (!locks[i]->waits)
			holder = locks[i];
		else if (locks[i]->h.pid == w->thread->h.pid)
			found = (struct lock_pair){ locks[i], holder && holder->id == locks[i]->id
				                                      ? holder
				                                      : NULL };
	}
	return found;
}

/* Does the holder wait, by itself or by others, for the process that waits for its lock? */
static bool waits_in_turn(const struct scene *s, const struct process *holder, uint32_t waiter)
{
	const struct process *p = holder;

	for (size_t i = 0; p && p->waits_for >= 0 && i < s->nprocesses; i++) {
		p = &s->processes[p->waits_for];
		if (p->pid == waiter)
			return true;
	}
	return false;
}

/* Who holds the lock waits for who wants it. */
static void lock_circle(struct cause *c, const struct process *holder, const struct wait *w)
{
	const struct wait *held_up = holder->main ? holder->main : holder->waits;
	uint32_t waiter = w->thread->h.pid;

	cause_evidence(c,
	               "process %u waits for process %u in turn: neither goes on before the other",
	               holder->pid, waiter);
	/* nobody else in it could let go, and nothing ends its wait: wait4 knows no time limit */
	if (holder->nwaits == 1 && (held_up->kind == WAIT_CHILD || wait_untimed(held_up)))
		cause_wake(c, WAKE_NEVER, 0,
		           "who holds the lock waits for who wants it, with no time limit");
	else
		cause_wake(c, WAKE_ON_EVENT, 0,
		           "it goes on when process %u lets go of the lock, which waits for it in "
		           "turn",
		           holder->pid);
	cause_step(c, "kill %u   # end the one that wants the lock, so that the holder goes on",
	           waiter);
	cause_step(c, "let go of the lock before waiting for who needs it");
}

static void file_lock(struct scene *s, const struct wait *w)
{
	struct lock_pair l = lock_of(s, w);
	struct bytes path = l.waiter && lock_path(l.waiter).n ? lock_path(l.waiter) : what_is(s, w);
	const struct process *holder = l.holder ? scene_process(s, l.holder->h.pid) : NULL;
	struct cause *c = cause_new(s, VERDICT_FILE_LOCK,
	                            l.holder ? CONFIDENCE_PROVEN : CONFIDENCE_STRONG, w);
	char name[64], other[32] = "not of this tree";

	if (holder)
		process_name(holder, other);
	if (l.holder && l.holder->h.pid)
		cause_say(c, "%s waits for a lock on %.*s that process %u (%s) holds, for %s",
		          wait_name(w, name), (int)path.n, path.n ? path.p : "a file",
		          l.holder->h.pid, other, duration_of(wait_for_ns(s, w)).text);
	else
		cause_say(c, "%s waits for a lock on %.*s, for %s; who holds it is not known",
		          wait_name(w, name), (int)path.n, path.n ? path.p : "a file",
		          duration_of(wait_for_ns(s, w)).text);
	cause_evidence_wait(s, c, w);
	if (holder && waits_in_turn(s, holder, w->thread->h.pid)) {
		lock_circle(c, holder, w);
	} else if (l.holder && l.holder->h.pid) {
		cause_wake(c, WAKE_ON_EVENT, 0, "it goes on when process %u lets go of the lock",
		           l.holder->h.pid);
		cause_step(c, "sudo whystuck %u   # what does the holder of the lock do?",
		           l.holder->h.pid);
	} else {
		cause_wake(c, WAKE_ON_EVENT, 0, "it goes on when the holder lets go of the lock");
	}
	cause_step(c, "sudo lslocks   # all file locks of this host");
}

/* Libraries that try for a lock again and again, by sleeps: no wait the kernel knows of. */
static bool frames_poll_lock(const struct ev_frames *python, const struct ev_frames *native)
{
	static const char *const libraries[] = { "/filelock/", "/portalocker/", "/fasteners/",
		                                 "/lockfile/" };
	struct bytes below = native ? frames_text(native) : (struct bytes){ NULL, 0 };

	for (size_t i = 0; python && i < sizeof(libraries) / sizeof(*libraries); i++)
		if (frames_have(frames_text(python), libraries[i], NULL))
			return true;
	/* SQLite while another connection has the database locked (sqlite3_busy_timeout) */
	return below.n && memmem(below.p, below.n, "sqlite3InvokeBusyHandler", 24);
}

/* And did so at the look before, as far as that one knows: for a moment it is nothing. */
static bool polls_lock(const struct scene *s, const struct wait *w)
{
	const struct evidence *before = evidence_previous(s->look->evidence);
	uint32_t pid = w->thread->h.pid, tid = w->thread->h.tid;
	const struct ev_frames *python = before ? evidence_frames(before, pid, tid) : NULL;
	const struct ev_frames *native = before ? evidence_native(before, pid, tid) : NULL;

	return frames_poll_lock(w->python, w->native) &&
	       ((!python && !native) || frames_poll_lock(python, native));
}

static void file_lock_polled(struct scene *s, const struct wait *w)
{
	struct cause *c = cause_new(s, VERDICT_FILE_LOCK, CONFIDENCE_LIKELY, w);
	char name[64];

	cause_say(c, "%s tries again and again for a lock on a file that somebody else has",
	          wait_name(w, name));
	cause_evidence_wait(s, c, w);
	cause_wake(c, WAKE_ON_EVENT, 0, "it goes on when the lock is free");
	cause_step(c, "sudo lslocks   # all file locks of this host");
}

/* ---- All of it ---- */

void files_causes(struct scene *s)
{
	for (size_t i = 0; i < s->nwaits; i++) {
		const struct wait *w = &s->waits[i];
		const struct process *p = scene_process(s, w->thread->h.pid);

		if (!wait_matters(w) || !p || !p->in_tree)
			continue;
		if (w->kind == WAIT_SLEEP && polls_lock(s, w))
			file_lock_polled(s, w);
		if (!wait_old(s, w))
			continue;
		if (w->kind == WAIT_FILE_LOCK)
			file_lock(s, w);
		else if ((w->kind == WAIT_PIPE_READ || w->kind == WAIT_PIPE_WRITE) && w->fd < 0)
			named_pipe(s, w);
		else if (w->kind == WAIT_PIPE_WRITE)
			output_to_pipe(s, w);
		else if (w->kind == WAIT_TTY_WRITE)
			output_to_terminal(s, w);
		else if (w->kind == WAIT_TTY_READ)
			input_from_terminal(s, w);
		else if (w->kind == WAIT_PIPE_READ && p->waits_for < 0)
			input_from_pipe(s, w);
	}
}
