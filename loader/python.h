/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPython processes among the watched: finds in their memory what tells which asyncio task runs on a thread, and gives
 * it to the kernel programs (struct python, bpf/python.bpf.h). Reads only, stops nothing, believes nothing it reads.
 *
 * CPython 3.8 to 3.13 on x86-64 with glibc, static or with libpython, asyncio's C implementation (also under uvloop).
 * Elsewhere tasks stay unknown: 3.14 and later and free-threaded builds keep them in other places, musl and other
 * machines keep threads differently, the pure Python implementation keeps the running loop where it takes an
 * interpreter to find it.
 */
#ifndef PYTHON_H
#define PYTHON_H
#include <stdint.h>

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

#endif
