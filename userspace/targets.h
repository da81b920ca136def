/* SPDX-License-Identifier: BSD-2-Clause */
/* The processes a watch is about, as the events tell: the one of EV_HELLO, and those of EV_PROCESS with EVF_ROOT. */
#ifndef TARGETS_H
#define TARGETS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "event.h"

/* Told apart; of those that have ended the oldest is forgotten, and no more are known at once (counted). */
#define TARGETS_TOLD_MAX 512
/* Room for a few of their PIDs as text. */
#define TARGETS_TEXT_MAX 128

struct target {
	uint32_t pid;
	uint64_t ended_ns; /* 0: it is there */
};

struct targets {
	struct target list[TARGETS_TOLD_MAX];
	size_t n, live;
	uint64_t passed; /* not known for want of room */
};

/* Takes EV_HELLO, EV_PROCESS and EV_EXIT. True: a target that was not known came. */
bool targets_event(struct targets *t, const struct event *e);
/* One that is there, or has ended. */
bool targets_have(const struct targets *t, uint32_t pid);
/* The first that is there; when none is, the one that ended last; 0: there never was one. */
uint32_t targets_first(const struct targets *t);
/* "4711", "4711, 4712", "4711, 4712, 4713 and 5 more": those that are there, all when none is. Returns buf. */
const char *targets_text(const struct targets *t, char buf[static TARGETS_TEXT_MAX]);
#endif
