/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The name a target gives to something (a session, a conversation), read in pieces and kept in a fixed room: what is too
 * long or cannot be shown is cut or replaced, and then ends in '~' and a hash, so that different names stay different.
 */
#ifndef BASE_ID_TEXT_H
#define BASE_ID_TEXT_H
#include "bytes.h"

/* Room for a name, its NUL included. */
#define ID_TEXT_MAX 64

/* All zero is the empty name. */
struct id_text {
	uint64_t n;          /* bytes the name has */
	uint64_t hash;       /* of all of them, 0 none */
	char p[ID_TEXT_MAX]; /* as many of them as fit */
};

void id_text_add(struct id_text *t, struct bytes b);
/* Writes the name as it is shown, "" when there is none. */
void id_text_write(const struct id_text *t, char out[static ID_TEXT_MAX]);
#endif
