/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPython processes among the watched: finds in their memory what tells which asyncio task runs on a thread, and gives
 * it to the kernel programs (struct python, bpf/python.bpf.h). Reads only, stops nothing, believes nothing it reads.
 *
 * CPython 3.8 to 3.13 on x86-64 with glibc, static or with libpython, asyncio's C implementation (also under uvloop).
 * Elsewhere tasks stay unknown: 3.14 and later and free-threaded builds keep them in other places, musl and other
 * machines keep threads differently, the pure Python implementation keeps the running loop where it takes an
 * interpreter to find it.
 * What is found of an interpreter also serves loader/python_stack.c.
 */
#ifndef PYTHON_H
#define PYTHON_H
#include <stdbool.h>
#include <stdint.h>
#include "python_object.h"

struct pythons;

/* map_fd: the kernel programs' map tgid -> struct python. */
struct pythons *pythons_new(int map_fd);
void pythons_free(struct pythons *p);

/* Looks at a process, and goes on in pythons_poll() until it is clear what it is; a process known already is left. */
void pythons_look(struct pythons *p, uint32_t pid, uint64_t now_ns);
/* pid mapped a file: what it did not have a moment ago it may have soon. */
void pythons_mapped(struct pythons *p, uint32_t pid, uint64_t now_ns);
/* pid is gone, or runs another program. */
void pythons_forget(struct pythons *p, uint32_t pid);

/* Looks again where it is time to: every ms at a Python that has just mapped something, every second at one without
 * asyncio, never at what is no Python. Returns when it wants to be called next, UINT64_MAX never. */
uint64_t pythons_poll(struct pythons *p, uint64_t now_ns);

/* An interpreter in a process's memory, and where its lists begin as far as our table has its version. */
struct python_runtime {
	uint64_t addr;  /* of _PyRuntime */
	uint32_t minor; /* CPython 3.minor, 0 unknown */
	bool free_threaded;
	uint32_t head;          /* in _PyRuntime: the first interpreter; 0: not in the table */
	uint32_t next, threads; /* in an interpreter: the next one, its first PyThreadState */
	uint32_t thread_id;     /* in a PyThreadState: pthread_self() */
	uint32_t modules;       /* in an interpreter: sys.modules */
	uint32_t dict;          /* in a PyThreadState: its dict, which has the running loop, ... */
	uint32_t loop;          /* ... or the loop itself; 0: in the dict ... */
	bool holder;            /* ... in an object of its own */
	uint64_t asyncio_debug; /* from 3.14 on: address of what asyncio says of itself, 0 none */
};

/* Searches a process, no matter what is known of it here: p only remembers files. False: no CPython in it. */
bool pythons_find(struct pythons *p, uint32_t pid, struct python_runtime *to);

/* The same in all versions read here. */
#define PYTHON_TSTATE_NEXT 8
#define PYTHON_TSTATE_INTERP 16

#endif
