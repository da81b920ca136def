/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The one contract: what the kernel programs write, what the loader adds, what a recording
 * holds and what the pipeline is fed with. A record is as long as its data; whatever has no fixed
 * length comes last. All numbers are in the machine's byte order; EV_HELLO tells version and order.
 *
 * Who writes which: K = a kernel program, L = the loader (userspace side of the live target).
 */
#ifndef WHYSTUCK_EVENT_H
#define WHYSTUCK_EVENT_H

#ifdef __bpf__
#include "kernel.h"
#else
#include <linux/types.h>
#endif

#define EVENT_VERSION 1
#define EVENT_MAGIC 0x6b637473u /* "stck" */

/* Bytes one data record can carry; longer operations arrive as several records (off > 0). */
#define EVENT_DATA_MAX 32768
/* Largest record of any type, header included: what a reader's buffer must hold. */
#define EVENT_SIZE_MAX (EVENT_DATA_MAX + 256)

enum event_type {
	EV_HELLO = 1, /* L: first of every stream: version, clock offset, target */
	EV_OPTION,    /* L: an option in effect, "name=value": a replay takes them from here */
	EV_PROCESS,   /* L: a process of the tree: seeded at attach, or found later */
	EV_FORK,      /* K: a process or thread was made */
	EV_EXEC,      /* K: a process runs a new program */
	EV_EXIT,      /* K: a thread ended, EVF_LAST with its process */
	EV_SOCKET,    /* K,L: a socket: first use, or one row of a snapshot (EVF_SEEDED) */
	EV_CONNECT,   /* K: connect() returned (ret 0, or -EINPROGRESS: it goes on alone) */
	EV_ACCEPT,    /* K: accept() returned a socket */
	EV_CLOSE,     /* K: close() of a socket's descriptor */
	EV_DATA,      /* K: bytes through a socket (ciphertext where it speaks TLS) */
	EV_TLS,       /* K: plaintext through a TLS object */
	EV_TLS_FREE,  /* K: a TLS object is gone, its address may come again */
	EV_MAPPED,    /* K: the process mapped a file executable: the loader looks for TLS */
	EV_ACTIVITY, /* L: what a thread did since attach, at a tick at which it changed; in a snapshot
		       * (EVF_SEEDED) its CPU time alone */
	EV_THREAD,   /* L: snapshot: what a thread does */
	EV_FD,       /* L: snapshot: what a descriptor is */
	EV_SNAPSHOT, /* L: begins (EVF_BEGIN) or ends a snapshot */
	EV_TLS_LIB,  /* L: a TLS library found, and whether it is hooked */
	EV_LOST,     /* L: cumulative losses */
	EV_ACTION,   /* L: result of an action taken on stuck */
	EV_BODY,     /* scrubbed recordings only: what the next encoded body slice decodes to */
	EV_TICK,     /* L: time passes, even when nothing happens */
	EV_END,      /* L: last of a stream, and why */
	EV_FRAMES,   /* L: snapshot: which functions a thread is in */
	EV_TASK,     /* L: snapshot: an asyncio task and what it awaits */
	EV_REQUEST,  /* L: snapshot: what a thread or task asked its HTTP client for */
	EV_TIMERS,   /* L: snapshot: what a TCP socket is set to, and its timer */
	EV_HOLDER,   /* L: snapshot: who has the other end of a pipe or unix socket */
	EV_LOCK,     /* L: snapshot: a file lock, held or waited for */
	EV_FACT,     /* L: snapshot: a number known of a process */
	EV_NAME,     /* L: snapshot: a server the process's configuration names */
	EV_MISSING,  /* L: snapshot: what could not be seen, and why */
	EV_FILE,     /* K,L: a file that output goes to, at its first use: which one */
	EV_WRITE,    /* K: bytes written to a file, pipe or terminal: struct ev_data */
	EV_TLS_NAME, /* K: the program says what server it expects behind a TLS object */
	EV_TYPES
};

enum event_flag {
	EVF_SEEDED = 1 << 0,  /* comes from a snapshot, not from an observed operation */
	EVF_MORE = 1 << 1,    /* data: another record of the same operation follows */
	EVF_EOF = 1 << 2,     /* data: the peer closed (a read returned 0) */
	EVF_FAULT = 1 << 3,   /* data: the bytes could not be read from the target */
	EVF_THREAD = 1 << 4,  /* fork: a thread, not a process */
	EVF_LAST = 1 << 5,    /* exit: of the whole process; close: of the last descriptor */
	EVF_BEGIN = 1 << 6,   /* snapshot: begin, else end */
	EVF_TCP = 1 << 7,     /* socket: the tcp_* fields were read */
	EVF_LATE = 1 << 8,    /* data: start_ns unknown, the operation began before we attached */
	EVF_ONCPU = 1 << 9,   /* thread: was running when looked at */
	EVF_LISTEN = 1 << 10, /* socket: listens */
	EVF_ROOT = 1 << 11,   /* process: a target itself, by PID or by its command line */
	EVF_IN_TLS =
		1
		<< 12, /* data: moved inside a TLS object's call of this direction: EV_TLS follows */
};

#define TIMEOUT_NONE (-1)    /* waits with no time limit */
#define TIMEOUT_UNKNOWN (-2) /* there may be one, it could not be read */

enum event_dir { DIR_IN = 0, DIR_OUT = 1 };
enum socket_role { ROLE_UNKNOWN = 0, ROLE_CLIENT = 1, ROLE_SERVER = 2 };

/* Header of every record. */
struct event {
	__u32 size;  /* of the record, header and payload */
	__u16 type;  /* enum event_type */
	__u16 flags; /* enum event_flag */
	__u64 ts_ns; /* CLOCK_MONOTONIC; of an operation: its end */
	__u32 pid;   /* process (tgid) and thread, as the initial namespace numbers them */
	__u32 tid;
};

struct ev_hello {
	struct event h;
	__u32 magic;
	__u16 version;
	__u16 pad;            /* target: h.pid */
	__u64 wall_offset_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC at attach */
	char text[];          /* program and its version */
};

/* EV_OPTION "name=value"; EV_EXEC file name. text is not NUL-terminated: size tells its end. */
struct ev_text {
	struct event h;
	char text[];
};

struct ev_process {
	struct event h;
	__u64 start_ns; /* when it was started, CLOCK_MONOTONIC; may precede us */
	__u32 ppid;
	__u32 uid;
	char text[]; /* command line, arguments separated by NUL */
};

struct ev_fork {
	struct event h;
	__u32 child_pid;
	__u32 child_tid;
};

struct ev_exit {
	struct event h;
	__s32 code; /* as wait(2) reports it: status << 8 | signal */
	__u32 pad;
};

/* EV_SOCKET, EV_CONNECT, EV_ACCEPT. A connection is named by its socket's inode number: the same
 * through dup, fork and exec, and what /proc/PID/fd and sock_diag show. */
struct ev_socket {
	struct event h;
	__u64 sock;     /* inode number in sockfs */
	__u64 start_ns; /* connect, accept: entry of the call */
	__s32 fd;
	__s32 ret;        /* connect: 0 or -errno */
	__u16 family;     /* AF_INET, AF_INET6, AF_UNIX */
	__u16 kind;       /* SOCK_STREAM, SOCK_DGRAM */
	__u16 local_port; /* host order */
	__u16 remote_port;
	__u8 local[16]; /* IPv4: the first four bytes */
	__u8 remote[16];
	__u8 role;            /* enum socket_role */
	__u8 tcp_state;       /* include/net/tcp_states.h; 1 = established */
	__u8 tcp_retransmits; /* unanswered retransmissions of the oldest segment */
	__u8 keepalive;       /* SO_KEEPALIVE is set */
	__u32 tcp_unacked;    /* segments sent, not acknowledged */
	__u64 tcp_last_sent_ns; /* ages at ts_ns, at least, of the last data each way and the last ack */
	__u64 tcp_last_recv_ns;
	__u64 tcp_last_ack_ns;
	__u64 tcp_bytes_sent; /* 0: never sent or received, the ages then mean nothing */
	__u64 tcp_bytes_recv;
	__u32 tcp_unread;  /* bytes in the receive queue */
	__u32 tcp_unsent;  /* bytes in the send queue not yet sent */
	__u32 tcp_retrans; /* retransmissions in the connection's life */
	__u32 tcp_rtt_us;
	__s64 recv_timeout_ns; /* SO_RCVTIMEO, or TIMEOUT_NONE, TIMEOUT_UNKNOWN */
	char path[];           /* AF_UNIX: path of the named end, its end told by size or a NUL */
};

struct ev_close {
	struct event h;
	__u64 sock;         /* EV_CLOSE */
	__u64 tls;          /* EV_TLS_FREE */
	__u64 timed_out_ns; /* when a wait of this thread ran into its time limit last, 0 never */
	__s32 fd;
	__u32 pad;
};

/* EV_DATA, EV_TLS. total bytes went through; data[n] are those from off on. What lies between the
 * end of the last record of an operation and total was not captured. */
struct ev_data {
	struct event h;
	__u64 start_ns; /* entry of the call that moved the bytes */
	__u64 sock;     /* inode; EV_TLS: of the socket used inside the call, 0 if none */
	__u64 tls;      /* address of the TLS object; EV_DATA: above the socket, 0 not known */
	__u64 task;     /* asyncio task that ran, 0 where not known */
	__u64 pos; /* bytes this direction had moved before, since it is followed: a jump is a loss */
	__u64 total;
	__u32 off;
	__u32 n;
	__s32 fd;
	__u16 err; /* errno of a call that failed, total is 0 then */
	__u8 dir;  /* enum event_dir */
	__u8 pad;
	__u8 data[];
};

/* text: host name, not NUL-terminated: size tells its end. */
struct ev_tls_name {
	struct event h;
	__u64 tls; /* address of the TLS object */
	char text[];
};

/*
 * What a write(2) and its like go to when it is no socket: regular files through any descriptor, pipes and
 * terminals through descriptors 1 and 2. EV_WRITE refers to it: its `sock` is ino, its `tls` is dev, `pos` counts
 * the bytes written to it since it is followed.
 */
struct ev_file {
	struct event h;
	__u64 ino;
	__u64 dev; /* as the kernel has it (major << 20 | minor) */
	__s32 fd;
	__u32 mode;  /* type of file: S_IFMT of its mode */
	char text[]; /* path as the target sees it, "" unknown; not NUL-terminated */
};

/* EV_BODY: precedes the EV_DATA or EV_TLS record it belongs to, one for each slice of an encoded (gzip, ...) body in
 * that record, in order; of a slice that is more than a record holds several, EVF_MORE on all but the last. The record itself then holds filler in the slice's place. */
struct ev_body {
	struct event h;
	__u64 sock;
	__u64 tls;
	__u32 dir;
	__u32 pad;
	__u8 data[];
};

struct ev_mapped {
	struct event h;
	__u64 start; /* address of the mapping */
};

struct ev_activity {
	struct event h;
	__u64 syscalls; /* all, since attach */
	__u64 useful; /* those that did something: no waits, no timeouts, no errors, no socket data
				 * (EV_DATA tells that, and to whom) */
	__u64 last_ns; /* when the newest was entered, when the newest useful one returned; 0 none yet */
	__u64 useful_ns;
	__u64 written; /* bytes written to anything but sockets */
	__u64 cpu_ns;  /* user and system time of the thread */
};

/* Most descriptors a waiting thread is shown with. */
#define EVENT_FDS_MAX 32

struct ev_thread {
	struct event h;
	__u64 blocked_since_ns; /* left the CPU; 0 running or unknown */
	__u64 args[6];
	__s64 timeout_ns; /* of the blocked call, from its start, at least so long where that is not known
			   * (blocked_since_ns 0); or TIMEOUT_* */
	__u64 switches; /* voluntary and involuntary context switches */
	__s32 syscall;  /* number, -1 not in one */
	__u32 pad;
	__u8 state; /* as in /proc/PID/stat: R S D T Z ... */
	__u8 pad2;
	__u16 fds_total; /* descriptors waited for; more than EVENT_FDS_MAX are not listed */
	__u32 nfds;
	__s32 fds[EVENT_FDS_MAX];
	char text[]; /* name NUL wait channel NUL kernel stack, frames joined by ';' */
};

enum frames_kind {
	FRAMES_PYTHON = 1, /* of the thread */
	FRAMES_MISSING,    /* tid 0: text says what could not be read of the process, and why */
	FRAMES_NATIVE,     /* of the thread, below Python's: file is the library, line 0 */
};
enum frames_flag {
	FRAMES_TORN = 1 << 0, /* the thread ran meanwhile: may mix what it did before and after */
	FRAMES_CUT = 1 << 1,  /* there are more, further out */
	FRAMES_GIL = 1 << 2,  /* the thread held the interpreter's lock (GIL) */
	FRAMES_GIL_WAIT = 1 << 3, /* ... waited for it */
	FRAMES_RUNNING = 1 << 4,  /* task: it ran, there is nothing it awaits */
};

struct ev_frames {
	struct event h;
	__u32 kind;  /* enum frames_kind */
	__u32 flags; /* enum frames_flag */
	char text[]; /* innermost first, each "function TAB file TAB line LF"; line 0: unknown */
};

/* A task that is not done. h.tid: the thread whose loop it belongs to, 0 unknown. */
struct ev_task {
	struct event h;
	__u64 task;  /* address of its object, as in struct ev_data */
	__u32 flags; /* enum frames_flag: TORN, CUT, RUNNING */
	__u32 pad;
	char text[]; /* name NUL type of the object at the end of its await chain NUL frames as in
			 * struct ev_frames, innermost first */
};

/* At most one of a thread (task 0) and of a task. Read from arguments of known HTTP client functions. */
struct ev_request {
	struct event h;
	__u64 task;
	char text
		[]; /* method NUL URL: scheme, host, port and path or the path alone; never a query, a
			 * fragment or a user's name. Either may be empty. */
};

enum tcp_timer { TIMER_NONE, TIMER_RETRANSMIT, TIMER_KEEPALIVE, TIMER_PROBE0 };

struct ev_timers {
	struct event h;
	__u64 sock;
	__u64 timer_ns; /* until the timer fires, from ts_ns on; TIMER_NONE: 0 */
	__u64 bytes_acked;
	__u32 user_timeout_ms; /* TCP_USER_TIMEOUT, 0 not set */
	__u32 keep_idle_s;     /* as in effect for this socket; 0 unknown */
	__u32 keep_interval_s;
	__u32 keep_count;
	__u32 rto_us;
	__u8 timer;   /* enum tcp_timer */
	__u8 backoff; /* how often rto was doubled */
	__u8 probes;  /* keepalive or window probes sent without an answer */
	__u8 pad;
};

/* h.pid holds it, in the tree or not. Of a pipe both ends have the same inode, and mode tells them apart. */
struct ev_holder {
	struct event h;
	__u64 ino;  /* of the pipe or socket as a process of the tree has it (EV_FD) */
	__u64 peer; /* inode of the end that h.pid holds; of a pipe the same */
	__s32 fd;
	__u32 mode;  /* 1 can read, 2 can write */
	char text[]; /* name of the process */
};

enum lock_kind { LOCK_FLOCK = 1, LOCK_POSIX, LOCK_OFD, LOCK_LEASE };

/* h.pid holds it, or waits for it; 0: nobody in particular (OFD). */
struct ev_lock {
	struct event h;
	__u64 id; /* the same for a lock and those who wait for it */
	__u64 ino;
	__u32 dev_major, dev_minor;
	__u32 kind; /* enum lock_kind */
	__u8 write;
	__u8 waits;
	__u16 pad;
	char text[]; /* path of the file, "" unknown */
};

/* limit 0: none, or none known. */
enum fact_kind {
	FACT_FDS = 1,     /* open descriptors, and the soft limit */
	FACT_FORKED,      /* 1: came by fork and never ran a program of its own (PF_FORKNOEXEC) */
	FACT_TRACER,      /* PID of its tracer */
	FACT_EXIT_STATUS, /* of a zombie, as wait(2) reports it */
	FACT_NSPID,       /* its PID as its own PID namespace numbers it */
	FACT_WRITTEN,     /* bytes it ever wrote to anything (wchar), and write calls as limit */
	FACT_READ,        /* the same of reading */
	FACT_CPU_NS,      /* user and system time of all its threads */
	FACT_MEMORY,      /* of its cgroup in bytes, and the limit */
	FACT_OOM_KILLS,   /* processes of its cgroup killed for want of memory */
	FACT_OOM_KILLED, /* the kernel's log says it killed h.pid for want of memory, value ns ago */
	FACT_PRESSURE_CPU, /* share of the last 10 s in which somebody of its cgroup waited, in 1/100 % */
	FACT_PRESSURE_MEMORY,
	FACT_PRESSURE_IO,
	FACT_PIDS, /* processes and threads of its cgroup, and the limit */
};

struct ev_fact {
	struct event h;
	__u32 kind; /* enum fact_kind */
	__u32 pad;
	__u64 value;
	__u64 limit;
};

/* From a URL in its environment or arguments: host and port only, and the scheme. */
struct ev_name {
	struct event h;
	__u32 index; /* tells the names of a process apart */
	__u16 port;
	__u8 family; /* AF_INET, AF_INET6: addr is its address; 0: not known here */
	__u8 pad;
	__u8 addr[16];
	char text[]; /* host NUL scheme NUL variable's name; the last two may be empty */
};

struct ev_missing {
	struct event h; /* pid 0: of all processes */
	__u32 index;    /* tells the records of a process apart */
	__u32 pad;
	char text[]; /* what ("sockets", "native_frames", ...) NUL why, a sentence */
};

struct ev_fd {
	struct event h;
	__u64 sock; /* inode when a socket, else 0 */
	__s32 fd;
	__u32 pad;
	char text[]; /* what /proc/PID/fd/N points to */
};

/* LIB_NO_SYMBOLS: of old recordings. LIB_OPAQUE: found, its plaintext cannot be read. */
enum lib_state { LIB_HOOKED = 1, LIB_NO_SYMBOLS, LIB_FAILED, LIB_OPAQUE };

struct ev_tls_lib {
	struct event h;
	__u16 state;     /* enum lib_state */
	__u16 err;       /* errno of LIB_FAILED */
	__u32 functions; /* hooked */
	char text
		[]; /* path as the target sees it NUL family NUL how its functions were found, or why its
			 * plaintext cannot be read; old recordings: the path alone */
};

struct ev_lost {
	struct event h;
	__u64 ring;     /* records that found no room in the ring buffer */
	__u64 slots;    /* records that found no free scratch slot */
	__u64 faults;   /* captures that could not read the target's memory */
	__u64 received; /* records that did arrive */
};

enum action_kind { ACTION_ALERT = 1, ACTION_STOP, ACTION_WEBHOOK, ACTION_PROBE, ACTION_UNSTICK };

struct ev_action {
	struct event h;
	__u32 kind; /* enum action_kind */
	__s32 result; /* alert: wait status; stop: signal sent; webhook: HTTP status; probe: 1 the path
		       * works, 0 it is dead; unstick: 0; each of them -errno when it failed */
	__s32 signo;
	__u32 pad;
	char text[]; /* what was done, for people */
};

enum end_reason { END_EXITED = 1, END_INTERRUPTED, END_TERMINATED, END_FAILED };

struct ev_end {
	struct event h;
	__u32 reason; /* enum end_reason */
	__s32 code;   /* END_EXITED: as wait(2) reports it, -1 unknown */
};

#ifndef __bpf__
_Static_assert(sizeof(struct event) == 24, "header");
_Static_assert(sizeof(struct ev_socket) == 160, "socket");
_Static_assert(sizeof(struct ev_data) == 88, "data");
_Static_assert(sizeof(struct ev_thread) == 240, "thread");
_Static_assert(sizeof(struct ev_activity) == 72, "activity");
_Static_assert(sizeof(struct ev_frames) == 32, "frames");
_Static_assert(sizeof(struct ev_task) == 40, "task");
_Static_assert(sizeof(struct ev_request) == 32, "request");
_Static_assert(sizeof(struct ev_timers) == 72, "timers");
_Static_assert(sizeof(struct ev_holder) == 48, "holder");
_Static_assert(sizeof(struct ev_lock) == 56, "lock");
_Static_assert(sizeof(struct ev_fact) == 48, "fact");
_Static_assert(sizeof(struct ev_name) == 48, "name");
_Static_assert(sizeof(struct ev_missing) == 32, "missing");
_Static_assert(sizeof(struct ev_file) == 48, "file");
#endif
#endif
