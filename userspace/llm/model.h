/* SPDX-License-Identifier: BSD-2-Clause */
/* Words of an API that may be shown: model names and identifiers of errors. Never prose. */
#ifndef LLM_MODEL_H
#define LLM_MODEL_H
#include "base/bytes.h"

/* Takes over a model name if it is one (printable ASCII, "models/" left out); else leaves to as
 * it was. */
static inline void model_set(char *to, size_t room, const char *name)
{
	size_t n;

	if (strncmp(name, "models/", 7) == 0)
		name += 7;
	n = strlen(name);
	for (size_t i = 0; i < n; i++)
		if (name[i] < ' ' || name[i] > '~')
			return;
	if (n == 0)
		return;
	if (n >= room)
		n = room - 1;
	memcpy(to, name, n);
	to[n] = '\0';
}
#endif
