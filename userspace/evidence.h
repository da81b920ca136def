/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Evidence: the newest complete snapshot of the target (EV_SNAPSHOT begin to end), as copies of
 * its events, looked up by the diagnosis. A snapshot under way shows only when it ended: half of
 * one is never mistaken for the whole.
 */
#ifndef EVIDENCE_H
#define EVIDENCE_H
#include "base/bytes.h"
#include "event.h"
#include "frames.h"

/*
 * Records and bytes one snapshot may hold: far more than a large run has (thousands of threads,
 * tens of thousands of descriptors), little enough that a target cannot fill our memory. What is
 * beyond is counted, see evidence_dropped.
 */
#define EVIDENCE_RECORDS_MAX 131072
#define EVIDENCE_BYTES_MAX (64u << 20)

struct evidence;

struct evidence *evidence_new(void); /* NULL: out of memory */
void evidence_free(struct evidence *e);

/*
 * Takes EV_SNAPSHOT and, in a snapshot, every type that event.h says belongs to one (EV_SOCKET and
 * EV_ACTIVITY when seeded); EV_PROCESS also outside of one. Other events are none of its business. ev is copied; ev->size
 * bytes must be readable.
 */
void evidence_feed(struct evidence *e, const struct event *ev);

/* When the newest complete snapshot ended; 0: there is none yet. */
uint64_t evidence_time(const struct evidence *e);
/*
 * The complete snapshot before the newest, as evidence of its own, to see what moved in between; NULL:
 * there was none. Valid until the next evidence_feed.
 */
const struct evidence *evidence_previous(const struct evidence *e);
/* Records of it that are missing here: beyond a limit, malformed, or out of memory. */
uint64_t evidence_dropped(const struct evidence *e);

/*
 * Rows of the newest snapshot, *n of them, sorted (pid, tid, fd or inode) and without duplicates:
 * the newest row stays. pid 0: of all processes. Valid until the next evidence_feed.
 */
const struct ev_process *const *evidence_processes(const struct evidence *e, size_t *n);
const struct ev_thread *const *evidence_threads(const struct evidence *e, uint32_t pid, size_t *n);
const struct ev_fd *const *evidence_fds(const struct evidence *e, uint32_t pid, size_t *n);
const struct ev_socket *const *evidence_sockets(const struct evidence *e, size_t *n);
const struct ev_task *const *evidence_tasks(const struct evidence *e, uint32_t pid, size_t *n);
const struct ev_request *const *evidence_requests(const struct evidence *e, uint32_t pid,
                                                  size_t *n);
const struct ev_name *const *evidence_names(const struct evidence *e, uint32_t pid, size_t *n);
const struct ev_fact *const *evidence_facts(const struct evidence *e, uint32_t pid, size_t *n);
const struct ev_missing *const *evidence_missing(const struct evidence *e, size_t *n);
/* Sorted by lock; who holds it comes before those who wait. */
const struct ev_lock *const *evidence_locks(const struct evidence *e, size_t *n);
/* Who holds the other end of this pipe or unix socket, and of a pipe this end, too. */
const struct ev_holder *const *evidence_holders(const struct evidence *e, uint64_t ino, size_t *n);

/* One row, or NULL. */
const struct ev_process *evidence_process(const struct evidence *e, uint32_t pid);
const struct ev_fd *evidence_fd(const struct evidence *e, uint32_t pid, int32_t fd);
const struct ev_socket *evidence_socket(const struct evidence *e, uint64_t sock);
const struct ev_timers *evidence_timers(const struct evidence *e, uint64_t sock);
const struct ev_fact *evidence_fact(const struct evidence *e, uint32_t pid, enum fact_kind kind);
/* Of a thread (task 0), or of a task. */
const struct ev_request *evidence_request(const struct evidence *e, uint32_t pid,
                                          uint64_t tid_or_task);
/* CPU time of a thread when the snapshot was taken. */
const struct ev_activity *evidence_cpu(const struct evidence *e, uint32_t pid, uint32_t tid);
/* A thread in the same functions at the same lines, its process having written nothing, since which snapshot. */
struct stay {
	uint32_t pid, tid;
	uint64_t place;    /* hash of its functions and lines */
	uint64_t written;  /* FACT_WRITTEN of its process */
	uint64_t since_ns; /* when its CPU time was read there first ... */
	uint64_t cpu_ns;   /* ... and what it was */
	uint64_t first_ns; /* end of that snapshot */
};
/* NULL: it has no Python frames, or that is not known. */
const struct stay *evidence_stay(const struct evidence *e, uint32_t pid, uint32_t tid);
/* End of the first snapshot with Python frames, 0 there was none: who looked since then. */
uint64_t evidence_first_frames(const struct evidence *e);
/* Frames of a thread below Python's. */
const struct ev_frames *evidence_native(const struct evidence *e, uint32_t pid, uint32_t tid);
/* Python frames of a thread; those without any, in a snapshot with frames, are no threads of Python's. */
const struct ev_frames *evidence_frames(const struct evidence *e, uint32_t pid, uint32_t tid);
/* What of a process's frames could not be read, and why: its text is a sentence. NULL: nothing. */
const struct ev_frames *evidence_frames_missing(const struct evidence *e, uint32_t pid);

/* Views into the variable part of a row, whatever its size says. */
struct thread_text {
	struct bytes name, wchan, stack; /* stack: frames joined by ';'; all may be empty */
};
struct thread_text thread_text(const struct ev_thread *t);
struct bytes fd_text(const struct ev_fd *f);
uint64_t fd_pipe(const struct ev_fd *f);               /* inode in "pipe:[4711]"; 0: no pipe */
struct bytes process_text(const struct ev_process *p); /* arguments separated by NUL */
struct bytes socket_path(const struct ev_socket *s);
uint32_t thread_nfds(const struct ev_thread *t); /* rows of t->fds that are filled */
struct bytes frames_text(const struct ev_frames *f);

/* name: empty where it could not be read; awaits: type of the object at the end of its chain. */
struct task_text {
	struct bytes name, awaits, frames;
};
struct task_text task_text(const struct ev_task *t);

struct request_text {
	struct bytes method, url;
};
struct request_text request_text(const struct ev_request *r);

struct name_text {
	struct bytes host, scheme, variable;
};
struct name_text name_text(const struct ev_name *n);

struct missing_text {
	struct bytes what, why;
};
struct missing_text missing_text(const struct ev_missing *m);
struct bytes holder_text(const struct ev_holder *h);
struct bytes lock_path(const struct ev_lock *l);
#endif
