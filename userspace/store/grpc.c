/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Services of stores over gRPC, by ":path", which is /PACKAGE.SERVICE/METHOD: qdrant's lib/api/src/grpc/proto, weaviate's
 * grpc/proto/v1, milvus-proto's milvus.proto, grpc's health.proto. The operation is the method's own name.
 */
#include <ctype.h>
#include <stdio.h>

#include "store/route.h"

/* Paths here end in a method's name or in the beginning of one and "*". First match wins; the last of a service is all that
 * its others do. */
#define QDRANT(path, flags)                                                 \
	{                                                                   \
		STORE_QDRANT, NULL, path, NULL, "", (flags) | ROUTE_SURE, 0 \
	}
#define MILVUS(method, flags)                                                               \
	{                                                                                   \
		STORE_MILVUS, NULL, "/milvus.proto.milvus.MilvusService/" method, NULL, "", \
			(flags) | ROUTE_SURE, RULE_MILVUS_GRPC                              \
	}
#define WEAVIATE(method, flags, rules)                                           \
	{                                                                        \
		STORE_WEAVIATE, NULL, "/weaviate.v1.Weaviate/" method, NULL, "", \
			(flags) | ROUTE_SURE, rules                              \
	}
#define HEALTH(method, flags)                                                 \
	{                                                                     \
		STORE_GRPC, NULL, "/grpc.health.v1.Health/" method, NULL, "", \
			ROUTE_HEALTH | ROUTE_SURE | (flags), 0                \
	}

static const struct route routes[] = {
	QDRANT("/qdrant.Qdrant/HealthCheck", ROUTE_HEALTH),
	QDRANT("/qdrant.Points/Search*", 0),
	QDRANT("/qdrant.Points/Query*", 0),
	QDRANT("/qdrant.Points/Recommend*", 0),
	QDRANT("/qdrant.Points/Discover*", 0),
	QDRANT("/qdrant.Points/Scroll", 0),
	QDRANT("/qdrant.Points/Get", 0),
	QDRANT("/qdrant.Points/Count", 0),
	QDRANT("/qdrant.Points/Facet", 0),
	QDRANT("/qdrant.Points/*", ROUTE_WRITE),
	QDRANT("/qdrant.Collections/Get*", 0),
	QDRANT("/qdrant.Collections/List*", 0),
	QDRANT("/qdrant.Collections/Collection*", 0), /* CollectionExists, CollectionClusterInfo */
	QDRANT("/qdrant.Collections/*", ROUTE_WRITE),
	QDRANT("/qdrant.Snapshots/List*", 0),
	QDRANT("/qdrant.Snapshots/*", ROUTE_WRITE),
	MILVUS("GetVersion", ROUTE_HEALTH),
	MILVUS("CheckHealth", ROUTE_HEALTH),
	MILVUS("Connect", ROUTE_HEALTH),
	MILVUS("Search*", 0),
	MILVUS("HybridSearch", 0),
	MILVUS("Query*", 0),
	MILVUS("Get*", 0),
	MILVUS("Has*", 0),
	MILVUS("List*", 0),
	MILVUS("Show*", 0),
	MILVUS("Describe*", 0),
	MILVUS("CalcDistance", 0),
	MILVUS("Select*", 0),
	MILVUS("*", ROUTE_WRITE),
	WEAVIATE("Search", 0, 0),
	WEAVIATE("Aggregate", 0, 0),
	WEAVIATE("TenantsGet", 0, 0),
	WEAVIATE("BatchStream", ROUTE_WRITE | ROUTE_BLOCKS,
	         0), /* open for as long as objects come */
	WEAVIATE("Batch*", ROUTE_WRITE, RULE_WEAVIATE_GRPC),
	WEAVIATE("*", ROUTE_WRITE, 0),
	HEALTH("Check", 0),
	HEALTH("List", 0),
	HEALTH("Watch", ROUTE_BLOCKS), /* answers whenever the status changes */
};

static bool fits(struct bytes path, const char *pattern)
{
	size_t n = strlen(pattern) - 1;

	if (pattern[n] != '*')
		return bytes_equal(path, pattern);
	return path.n >= n && memcmp(path.p, pattern, n) == 0;
}

/* Of a method's name: no argument may slip in. */
static bool is_name(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		if (!isalnum((unsigned char)b.p[i]) && b.p[i] != '_')
			return false;
	return b.n > 0 && b.n < CALL_OP_MAX;
}

const struct route *route_grpc(struct bytes path, char op[CALL_OP_MAX])
{
	const char *slash = path.n ? memrchr(path.p, '/', path.n) : NULL;
	struct bytes method;

	if (!slash)
		return NULL;
	method = bytes_from(path, (size_t)(slash - path.p) + 1);
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]) && is_name(method); i++) {
		if (!fits(path, routes[i].path))
			continue;
		snprintf(op, CALL_OP_MAX, "%.*s", (int)method.n, method.p);
		return &routes[i];
	}
	return NULL;
}
