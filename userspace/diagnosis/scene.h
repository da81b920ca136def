/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the families of causes share: the scene (what every thread of the tree waits for, worked out once
 * from the evidence) and how a cause is written. A family is one file: it looks at the scene and adds a
 * cause for each thing it finds; diagnosis.c ranks them.
 */
#ifndef DIAGNOSIS_SCENE_H
#define DIAGNOSIS_SCENE_H
#include <inttypes.h>
#include <stdio.h>

#include "base/times.h"
#include "diagnosis.h"
#include "secrets.h"
#include "syscall_names.h"

/* ---- What threads wait for ---- */

/*
 * Of the time between two looks: a thread that wakes to wait again uses less than 1 % of a CPU (measured:
 * Python's Event.wait(0.01) in a loop), one that works on a busy machine still gets this part.
 */
#define WORKS_PART 20

enum wait_kind {
	WAIT_OTHER,   /* nothing we know */
	WAIT_RUNNING, /* on a CPU, or ready for one */
	WAIT_SOCKET,  /* for one socket, whichever way: read, poll with it alone, write */
	WAIT_CONNECT,
	WAIT_RESOLVE, /* for a name server's answer */
	WAIT_ACCEPT,
	WAIT_MANY,      /* epoll, or poll and select with several descriptors */
	WAIT_LOCK,      /* a futex */
	WAIT_GIL,       /* Python's interpreter lock */
	WAIT_SLEEP,     /* a timed sleep */
	WAIT_CHILD,     /* the end of a child process */
	WAIT_PIPE_READ, /* fd < 0: to open a named pipe */
	WAIT_PIPE_WRITE,
	WAIT_TTY_READ,
	WAIT_TTY_WRITE,
	WAIT_FILE_LOCK, /* flock, fcntl */
	WAIT_SIGNAL,    /* pause and its kin */
	WAIT_STOPPED,   /* by a signal or a tracer */
	WAIT_DISK,      /* uninterruptible */
	WAIT_DEAD,      /* zombie */
	WAIT_KINDS
};

/* What a thread is there for, as far as its Python functions tell. */
enum wait_role {
	PART_UNKNOWN,
	PART_MAIN,   /* first thread of its process */
	PART_IDLE,   /* a pool's worker that waits for work: that is how it rests */
	PART_HELPER, /* serves the library it belongs to: pool managers, tqdm's monitor, exporters */
	PART_EXIT,   /* waits for other threads or children while its interpreter ends */
};

struct wait {
	const struct ev_thread *thread;
	const struct ev_frames *python, *native; /* NULL none */
	enum wait_kind kind;
	enum wait_role part;
	int fd;            /* waited on, -1 none */
	uint64_t sock;     /* inode, when fd is a socket */
	uint64_t ino;      /* inode, when fd is a pipe */
	uint32_t child;    /* WAIT_CHILD: its PID, 0 any or unknown */
	uint64_t address;  /* WAIT_LOCK, WAIT_GIL: the futex */
	uint64_t since_ns; /* 0 unknown */
	uint64_t until_ns; /* when its time limit ends the wait; 0: none armed, or not known */
	/* Wakes up often to wait again: since_ns is of its newest wait only. */
	bool ticks;
};

struct process {
	uint32_t pid, ppid;
	const struct ev_process *row; /* NULL not seen */
	struct wait *waits;           /* its threads', in scene->waits */
	size_t nwaits;
	struct wait *main; /* its first thread's, NULL not seen */
	bool python, zombie, stopped, in_tree;
	bool root; /* a target itself: the tree of each counts */
	/* Who it waits for: index in scene->processes, -1 nobody in the tree. Set by tree.c. */
	int waits_for;
	char how[DIAGNOSIS_TEXT_MAX]; /* the sentence that says so */
};

struct scene {
	const struct look *look;
	struct wait *waits;
	size_t nwaits;
	struct process *processes; /* by pid */
	size_t nprocesses;
	struct cause *causes; /* added so far */
	size_t ncauses, causes_room;
	bool failed; /* out of memory somewhere */
};

/* Works the scene out. False: out of memory. */
bool scene_make(struct scene *s, const struct look *l);
void scene_free(struct scene *s);

struct process *scene_process(const struct scene *s, uint32_t pid); /* NULL not in it */
/* The target whose tree the process belongs to; the first target when it is in none. */
uint32_t scene_root(const struct scene *s, uint32_t pid);
/* A target that is no zombie, other than that one. */
bool scene_other_root(const struct scene *s, uint32_t root);
/* The wait of a thread that waits on this socket: alone on it, or among many. NULL nobody. */
struct wait *scene_waiter(const struct scene *s, uint64_t sock);
/* The socket of a descriptor, NULL it is none or was not seen. */
const struct ev_socket *scene_socket(const struct scene *s, const struct ev_fd *fd);
/* The other end of a socket as the pipeline knows it, NULL unknown. */
const struct endpoint *scene_endpoint(const struct scene *s, uint64_t sock);
/* Name of the program, "python3"; "?" unknown. */
const char *process_name(const struct process *p, char buf[static 32]);
/* "thread 1234 (python3)", or "process 1234 (python3)" for a first thread. */
const char *wait_name(const struct wait *w, char buf[static 64]);
/* It set no time limit. */
bool wait_untimed(const struct wait *w);
/* It has waited for a lock, with no time limit, for long enough to be old. */
bool wait_locked(const struct scene *s, const struct wait *w);
/* It waits on this socket: alone on it, or among many. */
bool wait_on(const struct scene *s, const struct wait *w, uint64_t sock);
/* Does its kernel stack, or the function it sleeps in, hold a name like this? */
bool wait_in_kernel(const struct ev_thread *t, const char *function);
/* It has waited for the look's silent_min_ns, as far as is known. */
bool wait_old(const struct scene *s, const struct wait *w);
/* It is there for the program's own work: neither rests nor serves a library. */
bool wait_matters(const struct wait *w);
/* The thread runs an asyncio loop (or uvloop's, whose own frames are not Python's). */
bool wait_runs_loop(const struct wait *w);
/* A request of the process is open: that explains its other waits. */
bool scene_has_call(const struct scene *s, uint32_t pid);
/* For how long its newest wait has lasted, 0 unknown. */
uint64_t wait_for_ns(const struct scene *s, const struct wait *w);
/* Did the thread run between the two newest snapshots? true when there is no earlier one. */
bool wait_moved(const struct scene *s, const struct wait *w);
/* A thread of the process that matters ran between the two newest snapshots. */
bool process_moved(const struct scene *s, const struct process *p);
/* CPU time it used between the two newest snapshots, in ns, and how long that was; false unknown. */
bool wait_cpu(const struct scene *s, const struct wait *w, uint64_t *used_ns, uint64_t *over_ns);

/* It used more of a CPU between the two newest snapshots than waking up to wait again takes. */
bool wait_works(const struct scene *s, const struct wait *w);
/* The thread of the tree that matters and works most, but for skip (NULL: all count). NULL: none does. */
const struct wait *scene_worker(const struct scene *s, const struct wait *skip);
/* It waits for connections: a server's way to rest. */
bool wait_serves(const struct scene *s, const struct wait *w);

/* ---- Causes ---- */

/*
 * A new cause of the scene, zeroed, with pid, tid, where and since_ns of w (NULL: none of them). Never
 * NULL: out of memory it is one that counts for nothing.
 */
struct cause *cause_new(struct scene *s, enum verdict_kind kind, enum confidence sure,
                        const struct wait *w);
/* Sentences; %s may come from the target, what comes out is clean. Beyond the room they are left out. */
void cause_say(struct cause *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cause_evidence(struct cause *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cause_step(struct cause *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cause_wake(struct cause *c, enum wake_answer a, uint64_t at_ns, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* "it waits with no time limit" and so on, from what w has armed: for causes whose wait is w's own. */
void cause_wake_by_wait(const struct scene *s, struct cause *c, const struct wait *w);
/* What w shows: its state, its call, for how long, its kernel function, its Python line. */
void cause_evidence_wait(const struct scene *s, struct cause *c, const struct wait *w);

struct duration {
	char text[DURATION_TEXT_MAX];
};
struct duration duration_of(uint64_t ns);
/* Names of a call's other end and of what it asks; never empty. */
const char *endpoint_text(const struct call_view *v);
const char *op_text(const struct call *c);
/* May it stand in a line that is made to be pasted into a shell? */
bool is_shell_safe(const char *s);

/* ---- The families: in the order in which diagnosis.c asks them ---- */

void tree_link(struct scene *s); /* first: fills process.waits_for */
void progress_causes(struct scene *s);
void calls_causes(struct scene *s);
void network_causes(struct scene *s);
void loop_causes(struct scene *s);
void workers_causes(
	struct scene *s); /* before those that see only the wait for what a worker owes */
void files_causes(struct scene *s);
void threads_causes(struct scene *s);
/* Output or useful system calls were seen: where nothing explains a stall, the run goes on. */
bool stirs(const struct look *l);
void progress_by_stirring(struct scene *s);
/* The same of a thread that computes. False: none does, or a stall was waited for. */
bool progress_by_work(struct scene *s);
void tree_causes(struct scene *s); /* last: looks at what the others found */
#endif
