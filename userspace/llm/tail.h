/* SPDX-License-Identifier: BSD-2-Clause */
/* The newest bytes of a JSON document a gap went through, and what they still prove at its end. */
#ifndef LLM_TAIL_H
#define LLM_TAIL_H
#include "base/bytes.h"

/* Usage follows the text and is under 1 KB; of a request the last message is worth having too. */
#define TAIL_MAX 16384

struct tail {
	char *ring;  /* TAIL_MAX bytes, NULL until the first gap */
	uint64_t n;  /* bytes that came since the newest gap */
	bool active; /* a gap was seen */
};

/* What to feed to a scanner, one after the other, to read the end of the document. */
struct tail_doc {
	char head[80]; /* opens the containers the body is in */
	size_t head_n;
	struct bytes body; /* the tail's, valid until the next tail_*() */
	unsigned open;     /* how many containers head opens; 0: body is the whole document */
};

void tail_gap(struct tail *t);                 /* a gap: starts anew, false alarms cost nothing */
void tail_add(struct tail *t, struct bytes b); /* nothing before the first gap */
void tail_free(struct tail *t);
/* The document is complete. list names the member of the root that the gap began in, "" none.
 * False when the tail does not parse from some member or element to the end of the document. */
bool tail_open(struct tail *t, const char *list, struct tail_doc *ret);
#endif
