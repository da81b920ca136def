/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of the target's, in a fixed room. */
#include "id_text.h"

#include <stdio.h>

#include "text.h"

/* '~' and 16 hex digits */
#define MARK_MAX 17

void id_text_add(struct id_text *t, struct bytes b)
{
	size_t have = t->n < ID_TEXT_MAX ? (size_t)t->n : ID_TEXT_MAX;
	size_t n = b.n < ID_TEXT_MAX - have ? b.n : ID_TEXT_MAX - have;

	if (!b.n)
		return;
	memcpy(t->p + have, b.p, n);
	t->hash = bytes_hash(t->hash, b);
	t->n += b.n;
}

void id_text_write(const struct id_text *t, char out[static ID_TEXT_MAX])
{
	size_t n = t->n < ID_TEXT_MAX ? (size_t)t->n : ID_TEXT_MAX - 1, used;
	char raw[ID_TEXT_MAX];

	memcpy(raw, t->p, n);
	raw[n] = '\0';
	for (size_t i = 0; i < n; i++)
		if (!raw[i])
			raw[i] = '\1'; /* else it would end the name */
	used = text_clean(out, ID_TEXT_MAX, raw, false);
	if (t->n == n && used == n && memcmp(out, t->p, n) == 0)
		return;
	used = text_clean(out, ID_TEXT_MAX - MARK_MAX, raw, false);
	snprintf(out + used, ID_TEXT_MAX - used, "~%016llx", (unsigned long long)t->hash);
}
