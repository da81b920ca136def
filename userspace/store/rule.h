/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How replies of stores tell errors that the HTTP status does not, and what else they show: which fields of a JSON document
 * mean what. Each set of rules is a bit, a route names the sets that hold for its reply.
 */
#ifndef STORE_RULE_H
#define STORE_RULE_H
#include "base/json_scan.h"

enum store_rule {
	RULE_QDRANT = 1 << 0,
	RULE_ELASTIC = 1 << 1, /* any reply */
	RULE_ELASTIC_SEARCH = 1 << 2,
	RULE_ELASTIC_SEARCHES = 1 << 3, /* several in one */
	RULE_ELASTIC_BULK = 1 << 4,
	RULE_ELASTIC_MANY = 1 << 5, /* by query */
	RULE_TYPESENSE = 1 << 6,
	RULE_TYPESENSE_IMPORT = 1 << 7,
	RULE_TYPESENSE_SEARCHES = 1 << 8,
	RULE_MEILISEARCH = 1 << 9,
	RULE_MEILISEARCH_TASK = 1 << 10,
	RULE_WEAVIATE = 1 << 11,
	RULE_WEAVIATE_GRAPHQL = 1 << 12,
	RULE_WEAVIATE_BATCH = 1 << 13,
	RULE_MILVUS = 1 << 14,
	RULE_CHROMA = 1 << 15,
	RULE_NEO4J = 1 << 16,
	/* those below are no JSON */
	RULE_S3 = 1 << 17,        /* any error document */
	RULE_S3_LATE = 1 << 18,   /* status 200 was sent before it was known how it ends */
	RULE_S3_DELETE = 1 << 19, /* errors of single keys */
	RULE_MILVUS_GRPC = 1 << 20,
	RULE_WEAVIATE_GRPC = 1 << 21,
	RULE_ELASTIC_INFO = 1 << 22, /* JSON again: who it is */
};

/* The sets under which a reply with status 200 may tell an error. */
#define RULES_HIDDEN                                                                         \
	(RULE_QDRANT | RULE_ELASTIC_SEARCH | RULE_ELASTIC_SEARCHES | RULE_ELASTIC_BULK |     \
	 RULE_ELASTIC_MANY | RULE_TYPESENSE_IMPORT | RULE_TYPESENSE_SEARCHES |               \
	 RULE_MEILISEARCH_TASK | RULE_WEAVIATE_GRAPHQL | RULE_WEAVIATE_BATCH | RULE_MILVUS | \
	 RULE_NEO4J | RULE_S3_LATE | RULE_S3_DELETE | RULE_MILVUS_GRPC | RULE_WEAVIATE_GRPC)
/* One document a line. */
#define RULES_LINES RULE_TYPESENSE_IMPORT
#define RULES_XML (RULE_S3 | RULE_S3_LATE | RULE_S3_DELETE)

#define VERDICT_KIND_MAX 48 /* as struct call's error_kind */

/* What a reply told so far, by one choice of sets. All zero but rules is its beginning. */
struct verdict {
	unsigned rules; /* enum store_rule */
	uint64_t seen;  /* rows of the table that are needed and were seen */
	bool error;     /* it failed, or part of it */
	bool fork;      /* it is OpenSearch */
	bool evidence;  /* nobody else's reply looks like this */
	char kind
		[VERDICT_KIND_MAX]; /* the error's identifier: the store's own, else ours; "" none */
	bool own_kind;              /* kind is the store's */
	char text[VERDICT_KIND_MAX]; /* the string that is coming, as far as it is kept */
	size_t ntext;
};

/* One token of a document. */
void verdict_token(struct verdict *v, const struct json_scan *s, const struct json_token *t);
/* Whatever follows, it went well. */
bool verdict_good(const struct verdict *v);
/* An identifier that the store gave: words of letters, digits and ".:_-"; anything else is a message and not taken. */
void verdict_kind(struct verdict *v, struct bytes kind);
/* For who masks a reply: what of it the rules read may stay. A path is the containers around a value, outermost first: keys,
 * and arrays as those with p NULL. */
#define RULE_PATH_MAX 6
/* Is this path, or one that begins so, that of a row? */
bool rule_path_known(unsigned rules, const struct bytes *path, size_t n);
/* A string there: an identifier that a row reads. */
bool rule_string_known(unsigned rules, const struct bytes *path, size_t n, struct bytes text);
/* It failed; kind holds unless the store gives one. */
void verdict_error(struct verdict *v, const char *kind);
#endif
