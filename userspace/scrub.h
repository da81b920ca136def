/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes a recording fit to hand on: every payload string masked at equal length, such that a replay of the copy gives the
 * same calls, turns and verdicts. What is not certainly structure is masked or zeroed: unknown protocols, streams
 * first seen in their middle, all that follows a gap until a message certainly begins.
 */
#ifndef SCRUB_H
#define SCRUB_H
#include <stdint.h>

struct event;
struct scrub;

/* emit gets the masked copies in order, each valid during the call. key: random and forgotten afterwards; with the same key
 * the same strings get the same masks. NULL with errno set: out of memory. */
struct scrub *scrub_new(void (*emit)(void *ctx, const struct event *e), void *ctx,
                        const uint8_t key[16]);
void scrub_free(struct scrub *s);

/* Emits zero or more events: a record is held back while its masking depends on what follows. Events that are shorter than
 * their type needs, or of no known type, are left out. */
void scrub_feed(struct scrub *s, const struct event *e);
/* The recording is complete: emits what was held back. */
void scrub_end(struct scrub *s);

/* Events left out, and streams zeroed for want of memory or because they were too many. */
uint64_t scrub_dropped(const struct scrub *s);
#endif
