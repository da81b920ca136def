/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parser of last resort: knows only when bytes went which way. What goes out after something
 * came in begins a call, what comes in is its reply, the next bytes out end it. So an open call
 * with reply bytes may well be complete: only one without any is surely waiting. Status stays
 * unknown.
 */
#ifndef PROTO_GENERIC_H
#define PROTO_GENERIC_H
#include "proto.h"

/* A request was outstanding when we came; sent->end_ns is when its last byte left. Opens a call
 * that began then or earlier (at_least, partial: attached_late), whose reply is watched from
 * attach_ns on. Does nothing if a call is open already. state: of proto_generic.new(). */
void generic_seed(
	void *state, const struct stamp *sent,
	uint64_t
		attach_ns); /* The call that began before we came, if it is still open: the caller's from now on. NULL: there is none. */
struct call *generic_take(void *state);
/* Nobody goes on with the open call: if a reply came, it ended with its newest byte. */
void generic_over(void *state);
#endif
