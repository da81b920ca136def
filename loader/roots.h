/* SPDX-License-Identifier: BSD-2-Clause */
/* The processes a watch is about, each with its tree: named by PID, or found by their command line. */
#ifndef ROOTS_H
#define ROOTS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* At once; each costs a descriptor. What is found beyond is watched, but gets no signals. */
#define ROOTS_MAX 512

struct roots {
	uint32_t pids[ROOTS_MAX];
	int fds[ROOTS_MAX]; /* pidfds: never a stranger; -1: it has ended */
	size_t n;
	uint64_t beyond; /* passed over for want of room, so far */
	bool forget;     /* who has ended leaves the list: others will come */
	uint32_t first;  /* the first there ever was, 0 none */
	int code;        /* how it ended, as wait(2) reports it; -1 unknown, or not yet */
};

void roots_begin(struct roots *r, bool forget);
void roots_end(struct roots *r);

/* 0; or -errno: -ESRCH no such process, -EMFILE no room (counted). */
int roots_add(struct roots *r, uint32_t pid);
bool roots_has(const struct roots *r, uint32_t pid);
/* It has ended; code as wait(2) reports it, -1 unknown. No root: nothing. */
void roots_ended(struct roots *r, uint32_t pid, int code);
/* Finds out who has ended unheard. */
void roots_look(struct roots *r);
/* Who is there. */
size_t roots_live(const struct roots *r);
#endif
