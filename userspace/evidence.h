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
 * Takes EV_SNAPSHOT and, in a snapshot, EV_PROCESS, EV_THREAD, EV_FRAMES, EV_FD and seeded EV_SOCKET;
 * EV_PROCESS also outside of one. Other events are none of its business. ev is copied; ev->size
 * bytes must be readable.
 */
void evidence_feed(struct evidence *e, const struct event *ev);

/* When the newest complete snapshot ended; 0: there is none yet. */
uint64_t evidence_time(const struct evidence *e);
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

/* One row, or NULL. */
const struct ev_process *evidence_process(const struct evidence *e, uint32_t pid);
const struct ev_fd *evidence_fd(const struct evidence *e, uint32_t pid, int32_t fd);
const struct ev_socket *evidence_socket(const struct evidence *e, uint64_t sock);
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
struct bytes process_text(const struct ev_process *p); /* arguments separated by NUL */
struct bytes socket_path(const struct ev_socket *s);
uint32_t thread_nfds(const struct ev_thread *t); /* rows of t->fds that are filled */
struct bytes frames_text(const struct ev_frames *f);

/* A function, and the line it is at; 0: not known. */
struct frame {
	struct bytes function, file;
	uint32_t line;
};
/* The next frame of what frames_text() gave, innermost first; false after the last. */
bool frames_next(struct bytes *rest, struct frame *frame);

/*
 * "ask_llm (llm.py:120) <- reply (agent.py:88)": at most max frames, innermost first, files without
 * their directories. The standard library's and installed packages' are left out where the thread
 * has frames of its own. Cut to n bytes, between two frames where it can be. Returns buf, which is
 * empty when there are no frames.
 */
char *frames_line(char *buf, size_t n, const struct ev_frames *f, unsigned max);
#endif
