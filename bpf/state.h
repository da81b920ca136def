/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Values of the maps that kernel programs and loader both read. */
#ifndef WHYSTUCK_STATE_H
#define WHYSTUCK_STATE_H
#include "event.h"

#define TARGETS_MAX 8192   /* processes of a tree */
#define THREADS_MAX 32768  /* threads of a tree */
#define SOCKS_MAX 65536    /* sockets remembered; the least used is forgotten and announced anew */
#define TLS_MAX 65536      /* TLS objects remembered; the least used is forgotten */
#define GO_CALLS_MAX 65536 /* TLS calls that goroutines are in; the oldest is forgotten */
#define SLOTS_MAX 16 /* records being built at once; more than CPUs that can preempt each other */
#define RING_BYTES (16 << 20)
#define RING_WAKE_BYTES (2 << 20)
#define RING_POLL_MS 25
#define UNIX_PATH_MAX 108

/* Bytes captured of one operation until the loader says otherwise. A prompt of 100,000 tokens is half a megabyte. */
#define CAPTURE_DEFAULT (2 << 20)
#define CAPTURE_CHUNKS (CAPTURE_DEFAULT / EVENT_DATA_MAX)

/* Of files that are written to. */
#define WRITTEN_MAX 8192 /* remembered; the least used is forgotten and announced anew */
#define FILE_CAPTURE_DEFAULT (256 << 10) /* bytes of one write until the loader says otherwise */
#define FILE_NAMES_MAX 64     /* directories of a path; more: what is outside is cut off */
#define FILE_NAMES_BYTES 4096 /* ... and bytes of their names */
#define FILE_NAME_MAX 256     /* of one, its NUL included */

struct losses {
	__u64 ring;   /* records that found no room */
	__u64 slots;  /* records that found no slot */
	__u64 faults; /* captures whose memory could not be read */
	__u64 sent;   /* records that left */
};

struct tls_call {
	__u64 sp; /* stack pointer at its entry, 0 none */
	__u64 object;
	__u64 buf;
	__u64 len; /* of buf */
	__u64 out; /* address of the _ex forms' result */
	__u64 start_ns;
	__u64 sock; /* inode of the socket used inside, 0 none */
	__s32 fd;
	__u32 pad;
};

/*
 * A call that a goroutine is in. Goroutines move between threads and their stacks move in memory, but what lies between a
 * frame and the stack's beginning stays as long as it is.
 */
struct go_key {
	__u64 g;     /* address of the goroutine */
	__u64 depth; /* of its stack at the call's entry, in bytes */
	__u64 tgid;
};

struct thread_state {
	__u32 tgid;
	__u32 pad;
	__u64 enter_ns; /* entry of the system call it is in, 0 unknown */
	__u64 syscalls, useful, last_ns, useful_ns, written; /* as in struct ev_activity */
	__u64 timed_out_ns; /* newest return of a wait that slept and ran into its time limit */
	/* the outermost TLS calls it is in, by direction: Node writes from a callback inside a read */
	struct tls_call tls[2];
	struct go_key
		go; /* its newest TLS call in Go whose socket is not known otherwise; g 0 none */
};

struct sock_state {
	__u32 ignored; /* nobody's endpoint: an unnamed unix socket (pipes of event loops) */
	__u32 tgid;    /* the TLS object's */
	__u64 tls; /* address of the TLS object that its memory says speaks through it, 0 none */
	__u64 moved[2]; /* bytes by direction since it is followed */
};

struct file_key {
	__u64 ino;
	__u64 dev;
};

/*
 * Which file has the number: the inode's generation and the hash of its name (of both, since many file systems have no
 * generation). The lowest bit is not the file's: it was announced.
 */
#define FILE_ANNOUNCED 1ull

struct file_state {
	__u64 id;
	__u64 since_ns; /* followed since: tells two announcements of one file from one that came twice */
	__u64 written; /* bytes since then */
};

/* Bytes of one write to capture, as the loader wants it: of the file with this id, none other that got its number. */
struct file_limit {
	__u64 id;
	__u32 n; /* 0: nothing is reported */
	__u32 pad;
};

/*
 * The text of EV_FILE as the kernel programs send it: this, then the names on the way from the file outwards, each ended by a NUL.
 * The loader makes the path of it (loader/files.h).
 */
struct file_names {
	__u64 id;
	__u64 since_ns;
	__s32 mount; /* the file's mount as /proc/PID/mountinfo numbers it */
	__s32 root_mount; /* the mount that is the process's root as a whole, -1: its root is a directory in one */
	__u32 n;     /* names */
	__u8 rooted; /* the last name stands in the process's root, else in the file system's */
	__u8 cut;    /* there are more names than fit */
	__u16 pad;
};

/* A process that is not watched runs a new program: a struct event for the loader alone, no record of the stream. */
#define EV_CANDIDATE 0x7f00

struct tls_key {
	__u64 tls;
	__u64 tgid;
};

/* Where a CPython process keeps what tells the asyncio task that runs on a thread (bpf/python.bpf.h follows it). */
#define PYTHON_DICT_USED 16 /* of PyDictObject: ma_used, then version, keys, values */
struct python {
	__u64 current_tasks; /* address of asyncio's dict {loop: task} */
	__u32 tstate_at;     /* from pthread_self(): the pointer to the thread's PyThreadState */
	__u16 thread_id_at;  /* in it: pthread_self() ... */
	__u16 dict_at;       /* ... and the thread's dict, which has the running loop, */
	__u16 loop_at;       /* ... or the running loop itself; 0: in the dict */
	__u16 text_at;       /* in an ASCII str: its characters */
	__u8 holder;         /* the dict has an object that has the loop */
	__u8 dict_log2;      /* a dict's keys begin as they do from 3.11 on */
	__u16 pad;
};

/* Attach cookie of a hooked TLS function: how it is called and what it returns. The first argument is the TLS object, the second the
 * buffer, the third its length; where nothing else is said the bytes moved are returned, less than 1 is an error. */
enum tls_function {
	TLS_READ = 1,
	TLS_READ_EX, /* returns 1; bytes moved at the fourth argument */
	TLS_WRITE,
	TLS_WRITE_EX,   /* as TLS_READ_EX */
	TLS_WRITE_EX2,  /* ... at the fifth argument */
	TLS_FREE,       /* the object goes: at its entry */
	TLS_NEW,        /* an object is returned, whatever was at its address is gone */
	TLS_READ_FLAGS, /* the fourth argument's bit TLS_PEEK: the bytes stay to be read */
	TLS_HOST_CTRL,  /* (object, TLS_CTRL_HOST, 0, name): names the server, at its entry */
	TLS_HOST,       /* (object, kind, name, length): the same */
};
#define TLS_CTRL_HOST 55      /* SSL_CTRL_SET_TLSEXT_HOSTNAME of openssl/ssl.h */
#define TLS_HOST_NAME_MAX 127 /* longest name told; no endpoint's is shown longer */
#define TLS_PEEK 2            /* PR_MSG_PEEK of nspr/prio.h */
/* On it, of Go: the function keeps its arguments in its caller's frame, where they still are when it returns. */
#define TLS_KEPT (1 << 8)

/* A row of the thread snapshot, as the task iterator writes it. */
#define SNAP_STACK_MAX 24
/* Registers a function must give back as it got them, in the order of their DWARF numbers: of x86-64 rbx rbp r12-r15 (System V
 * ABI 3.2.1, figure 3.36), of arm64 x19-x30 (AAPCS64 6.1.1). Each kernel entry saves them all. */
#define SNAP_SAVED_MAX 12
struct snap_thread {
	__u32 tgid, tid;
	__u32 state; /* task->__state | exit_state << 16 */
	__u32 on_cpu;
	__u64 switches;
	__u64 last_arrival; /* sched clock */
	__u64 last_run;     /* ns of its last run */
	__u64 last_queued;
	__u64 cpu_ns;          /* it ran in its life */
	__u64 me_last_arrival; /* of the reader: calibrates the sched clock */
	__s64 syscall;
	__u64 args[6];
	__u64 sp, ip;
	__u64 saved[SNAP_SAVED_MAX];
	__u64 fsbase;   /* of x86-64: pthread_self(); else 0 */
	__s32 kstack_n; /* bytes in kstack, or -errno */
	__u32 pad;
	__u64 kstack[SNAP_STACK_MAX];
	char comm[16];
};

#endif
