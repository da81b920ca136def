/* SPDX-License-Identifier: BSD-2-Clause */
/* Which operation of which store a request asks for: tables of paths. A new operation is a line in route.c. */
#ifndef STORE_ROUTE_H
#define STORE_ROUTE_H
#include "store/rule.h"
#include "store/store.h"

enum store_system {
	STORE_QDRANT,
	STORE_TYPESENSE,
	STORE_MEILISEARCH,
	STORE_ELASTICSEARCH, /* and those that forked it: the paths are the same */
	STORE_OPENSEARCH,
	STORE_WEAVIATE,
	STORE_MILVUS,
	STORE_CHROMA,
	STORE_NEO4J,
	STORE_S3,
	STORE_GRPC, /* health checks of any gRPC server */
	STORE_SYSTEMS
};

enum route_flag {
	ROUTE_WRITE = 1 << 0, /* changes what is stored */
	ROUTE_EITHER =
		1 << 1, /* may read or write: the language of the query tells, which is not read */
	ROUTE_HEALTH = 1 << 2, /* only asks how the server is: no progress */
	ROUTE_BLOCKS = 1 << 3, /* meant to wait */
	ROUTE_SURE = 1 << 4,   /* nobody else has such a path */
	ROUTE_KNOWN = 1 << 6,  /* anybody may have such a path: only of a store that is known */
	ROUTE_MISS = 1 << 5,   /* 404 is an answer: there is no such thing */
};

struct route {
	enum store_system system;
	const char *methods; /* "GET|POST"; NULL any */
	const char *path;    /* see route_path_is() */
	const char *query;   /* beginning of a parameter that the query must have; NULL none */
	const char *op;
	unsigned flags;
	unsigned rules; /* enum store_rule: how its reply tells errors */
};

extern const char *const store_names[STORE_SYSTEMS];

/* By its name; STORE_SYSTEMS: a store that has no routes here, or none. */
enum store_system store_by_name(const char *name);

/* The first of a system's routes that fits; NULL none. */
const struct route *route_find(enum store_system system, const struct store_request *r);
/* The same of Amazon's S3, whose operations are told by level and query (s3.c). */
const struct route *route_s3(const struct store_request *r);
/* Of all stores that have such a path the rules of the reply, S3's aside; 0 none has. */
unsigned route_rules(struct bytes method, struct bytes target);
/* Is it signed for S3, by header or in its query? */
bool route_s3_signed(const struct store_request *r);
/* The same of gRPC (grpc.c), NULL none; ret gets the operation, which is the method's own name. */
const struct route *route_grpc(struct bytes path, char op[CALL_OP_MAX]);

/*
 * Segments of the pattern: "{}" any one, "{i}" any one that begins with a letter or digit (an index's name); last, "**"
 * whatever follows, or nothing. A '/' at the end of the path does not count.
 */
bool route_path_is(struct bytes path, const char *pattern);
/* Has the query a parameter that begins so? */
bool route_query_has(struct bytes query, const char *parameter);
/* Splits a target at its '?'. */
struct bytes route_split(struct bytes target, struct bytes *query);
#endif
