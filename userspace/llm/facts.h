/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one JSON document of a reply (the whole of it, or one event of a stream) says: counters,
 * model, content or not, end, error. Documents of one reply add up by facts_merge(); counters
 * are cumulative in every API, so that the newest wins and nothing is ever summed.
 */
#ifndef LLM_FACTS_H
#define LLM_FACTS_H
#include "base/json_scan.h"
#include "call.h"

enum counter {
	COUNT_IN,
	COUNT_IN_TOOLS, /* input beside COUNT_IN */
	COUNT_TOOLS,    /* the same, where the total shows that it is */
	COUNT_OUT,
	COUNT_CACHED,     /* part of COUNT_IN */
	COUNT_CACHE_READ, /* beside COUNT_IN where the API has no COUNT_IN with all in it */
	COUNT_CACHE_WRITE,
	COUNT_REASONING, /* part of COUNT_OUT, unless the total shows otherwise */
	COUNT_THOUGHTS,  /* reasoning beside COUNT_OUT */
	COUNT_TOTAL,
	COUNT_METERED_IN, /* by who passes the model on (Bedrock), where the model says nothing itself */
	COUNT_METERED_OUT,
	COUNT_BILLED, /* input, of embeddings: where nothing else is told */
	COUNTERS,
};

#define FACTS_WORD_MAX 96 /* longest string looked at: a model name */
#define FACTS_ID_MAX 48   /* identifiers of errors, as call.h keeps them */

struct facts {
	int64_t n[COUNTERS]; /* -1 not seen */
	bool all_in;         /* COUNT_IN has the cache's tokens in it */
	bool grows;          /* the input's counters grow with the stream, as the output's do */
	bool holed;          /* a document was lost that could have told better */
	bool content, finished;
	bool error;
	bool flat_error; /* the document itself is the error, its root has the type and code */
	char model[96];
	char finish[FACTS_ID_MAX];      /* why the reply ended, in lower case */
	char status_word[FACTS_ID_MAX]; /* the same, less telling */
	char request_id[LLM_REQUEST_ID_MAX];
	double retry_s; /* to wait before trying again, -1 not told */
	char code[FACTS_ID_MAX], type[FACTS_ID_MAX], status[FACTS_ID_MAX];
	char root_code[FACTS_ID_MAX], root_type[FACTS_ID_MAX];
	int number; /* numeric code of an error, 0 none */
	int root_number;
	/* the string being read */
	uint8_t word_is;
	bool word_long, word_any;
	uint8_t word_n;
	char word[FACTS_WORD_MAX];
};

void facts_init(struct facts *f);
/* A token of the document, which begins at level base of the scan (1: an element of an array). */
void facts_token(struct facts *f, const struct json_scan *s, unsigned base,
                 const struct json_token *t);
/* Takes over what a later document says. */
void facts_merge(struct facts *all, const struct facts *newer);

/* Drops the counters; or only those that may be out of date, because what followed was lost. */
void facts_forget(struct facts *f);
void facts_outdate(struct facts *f);

/* The counters as call.h has them: in with cached, out with reasoning. */
struct llm_tokens facts_tokens(const struct facts *f, enum llm_kind kind);
/* Why the reply ended, "" not told. */
const char *facts_finish(const struct facts *f);
/* The document is an error of this kind, as something outside it says. */
void facts_error_kind(struct facts *f, struct bytes kind);
/* Takes over an identifier, in lower case; leaves to as it was if it is none: it could be prose then. */
void facts_id(char to[FACTS_ID_MAX], struct bytes word);
/* An error was reported: sets c's status and error_kind from it. */
void facts_error(const struct facts *f, struct call *c);
/* Of a reply that broke off: who hung up after the last word, or a moment after a wait, missed nothing. */
void facts_last_word(struct call *c);
#endif
