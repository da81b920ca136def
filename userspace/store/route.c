/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tables of paths: of each store its own documentation's, as linked. Where lines of one system overlap the more
 * particular one stands first. Operations have the words that the documentation has; collections and keys are none of them.
 */
#include "store/route.h"

#include <ctype.h>

const char *const store_names[STORE_SYSTEMS] = {
	[STORE_QDRANT] = "qdrant",
	[STORE_TYPESENSE] = "typesense",
	[STORE_MEILISEARCH] = "meilisearch",
	[STORE_ELASTICSEARCH] = "elasticsearch",
	[STORE_OPENSEARCH] = "opensearch",
	[STORE_WEAVIATE] = "weaviate",
	[STORE_MILVUS] = "milvus",
	[STORE_CHROMA] = "chroma",
	[STORE_NEO4J] = "neo4j",
	[STORE_S3] = "s3",
	[STORE_GRPC] = "",
};

#define W ROUTE_WRITE
#define E ROUTE_EITHER
#define H ROUTE_HEALTH
#define B ROUTE_BLOCKS
#define S ROUTE_SURE
#define M ROUTE_MISS
#define K ROUTE_KNOWN

static const struct route qdrant[] = {
/* api.qdrant.tech */
#define Q(methods, path, op, flags)                                       \
	{                                                                 \
		STORE_QDRANT, methods, path, NULL, op, flags, RULE_QDRANT \
	}
#define HEALTH(path)                                                 \
	{                                                            \
		STORE_QDRANT, "GET|HEAD", path, NULL, "health", H, 0 \
	}
	Q("POST", "/collections/{}/points/search", "search", S),
	Q("POST", "/collections/{}/points/search/batch", "search batch", S),
	Q("POST", "/collections/{}/points/search/groups", "search groups", S),
	Q("POST", "/collections/{}/points/search/matrix/**", "search matrix", S),
	Q("POST", "/collections/{}/points/query", "query", S),
	Q("POST", "/collections/{}/points/query/batch", "query batch", S),
	Q("POST", "/collections/{}/points/query/groups", "query groups", S),
	Q("POST", "/collections/{}/points/recommend/**", "recommend", S),
	Q("POST", "/collections/{}/points/discover/**", "discover", S),
	Q("POST", "/collections/{}/points/scroll", "scroll", S),
	Q("POST", "/collections/{}/points/count", "count", S),
	Q("POST", "/collections/{}/facet", "facet", 0),
	Q("PUT", "/collections/{}/points", "upsert", W | S),
	Q("POST", "/collections/{}/points", "retrieve", S),
	Q("POST", "/collections/{}/points/delete", "delete", W | S),
	Q("PUT", "/collections/{}/points/vectors", "update vectors", W | S),
	Q("POST", "/collections/{}/points/vectors/delete", "delete vectors", W | S),
	Q("POST", "/collections/{}/points/payload", "set payload", W | S),
	Q("PUT", "/collections/{}/points/payload", "overwrite payload", W | S),
	Q("POST", "/collections/{}/points/payload/delete", "delete payload", W | S),
	Q("POST", "/collections/{}/points/payload/clear", "clear payload", W | S),
	Q("POST", "/collections/{}/points/batch", "batch update", W | S),
	Q("GET", "/collections/{}/points/{}", "get point", 0),
	Q("GET", "/collections", "list collections", 0),
	Q("POST", "/collections/aliases", "update aliases", W),
	Q("GET", "/aliases", "list aliases", K),
	Q("GET", "/collections/{}/aliases", "list aliases", 0),
	Q("GET", "/collections/{}", "get collection", 0),
	Q("PUT", "/collections/{}", "create collection", W),
	Q("PATCH", "/collections/{}", "update collection", W),
	Q("DELETE", "/collections/{}", "delete collection", W),
	Q("GET", "/collections/{}/exists", "collection exists", 0),
	Q("PUT", "/collections/{}/index", "create index", W),
	Q("DELETE", "/collections/{}/index/{}", "delete index", W),
	Q("GET", "/collections/{}/cluster", "collection cluster", 0),
	Q("POST", "/collections/{}/cluster", "update collection cluster", W),
	Q("GET", "/collections/{}/snapshots/**", "list snapshots", 0),
	Q(NULL, "/collections/{}/snapshots/**", "snapshot", W),
	Q("GET", "/cluster", "cluster", K),
	HEALTH("/"),
	HEALTH("/healthz"),
	HEALTH("/livez"),
	HEALTH("/readyz"),
	HEALTH("/telemetry"),
	HEALTH("/metrics"),
#undef Q
#undef HEALTH
};

static const struct route typesense[] = {
/* typesense.org/docs */
#define T(methods, path, op, flags, rules)                                                \
	{                                                                                 \
		STORE_TYPESENSE, methods, path, NULL, op, flags, RULE_TYPESENSE | (rules) \
	}
#define T_QUERY(methods, path, query, op, flags)                                 \
	{                                                                        \
		STORE_TYPESENSE, methods, path, query, op, flags, RULE_TYPESENSE \
	}
#define HEALTH(path)                                               \
	{                                                          \
		STORE_TYPESENSE, "GET", path, NULL, "health", H, 0 \
	}
	T("GET", "/collections/{}/documents/search", "search", 0, 0),
	T("POST", "/multi_search", "multi_search", 0, RULE_TYPESENSE_SEARCHES),
	T("POST", "/collections/{}/documents/import", "import", W | S, RULE_TYPESENSE_IMPORT),
	T("GET", "/collections/{}/documents/export", "export", 0, 0),
	T_QUERY("POST", "/collections/{}/documents", "action=upsert", "upsert", W),
	T_QUERY("POST", "/collections/{}/documents", "action=emplace", "emplace", W),
	T_QUERY("POST", "/collections/{}/documents", "action=update", "update", W),
	T("POST", "/collections/{}/documents", "index", W, 0),
	T("PATCH", "/collections/{}/documents", "update by query", W, 0),
	T("DELETE", "/collections/{}/documents", "delete by query", W, 0),
	T("GET", "/collections/{}/documents/{}", "retrieve", 0, 0),
	T("PATCH", "/collections/{}/documents/{}", "update", W, 0),
	T("DELETE", "/collections/{}/documents/{}", "delete", W, 0),
	T("GET", "/collections", "list collections", 0, 0),
	T("POST", "/collections", "create collection", W, 0),
	T("GET", "/collections/{}", "get collection", 0, 0),
	T("PATCH", "/collections/{}", "update collection", W, 0),
	T("DELETE", "/collections/{}", "delete collection", W, 0),
	T("GET", "/collections/{}/overrides/**", "get overrides", 0, 0),
	T("PUT|DELETE", "/collections/{}/overrides/**", "change overrides", W, 0),
	T("GET", "/collections/{}/synonyms/**", "get synonyms", 0, 0),
	T("PUT|DELETE", "/collections/{}/synonyms/**", "change synonyms", W, 0),
	T("GET", "/aliases/**", "get aliases", K, 0),
	T("PUT|DELETE", "/aliases/**", "change aliases", W | K, 0),
	T("GET", "/keys/**", "get keys", K, 0),
	T("POST|DELETE", "/keys/**", "change keys", W | K, 0),
	T("POST", "/operations/**", "operation", W | K, 0),
	HEALTH("/health"),
	HEALTH("/metrics.json"),
	HEALTH("/stats.json"),
	HEALTH("/debug"),
#undef T
#undef T_QUERY
#undef HEALTH
};

static const struct route meilisearch[] = {
/* meilisearch.com/docs/reference/api */
#define T(methods, path, op, flags, rules)                                                    \
	{                                                                                     \
		STORE_MEILISEARCH, methods, path, NULL, op, flags, RULE_MEILISEARCH | (rules) \
	}
#define HEALTH(path)                                                 \
	{                                                            \
		STORE_MEILISEARCH, "GET", path, NULL, "health", H, 0 \
	}
	T("GET|POST", "/indexes/{}/search", "search", 0, 0),
	T("POST", "/multi-search", "multi-search", 0, 0),
	T("POST", "/indexes/{}/facet-search", "facet search", 0, 0),
	T("GET|POST", "/indexes/{}/similar", "similar", 0, 0),
	T("POST", "/indexes/{}/documents", "add documents", W, 0),
	T("PUT", "/indexes/{}/documents", "update documents", W, 0),
	T("DELETE", "/indexes/{}/documents", "delete documents", W, 0),
	T("GET", "/indexes/{}/documents", "list documents", 0, 0),
	T("POST", "/indexes/{}/documents/fetch", "list documents", 0, 0),
	T("POST", "/indexes/{}/documents/delete", "delete documents", W, 0),
	T("POST", "/indexes/{}/documents/delete-batch", "delete documents", W, 0),
	T("POST", "/indexes/{}/documents/edit", "edit documents", W, 0),
	T("GET", "/indexes/{}/documents/{}", "get document", 0, 0),
	T("DELETE", "/indexes/{}/documents/{}", "delete document", W, 0),
	T("GET", "/indexes", "list indexes", 0, 0),
	T("POST", "/indexes", "create index", W, 0),
	T("GET", "/indexes/{}", "get index", 0, 0),
	T("PATCH", "/indexes/{}", "update index", W, 0),
	T("DELETE", "/indexes/{}", "delete index", W, 0),
	T("GET", "/indexes/{}/stats", "index stats", 0, 0),
	T("GET", "/indexes/{}/settings/**", "get settings", 0, 0),
	T("PUT|PATCH|POST|DELETE", "/indexes/{}/settings/**", "change settings", W, 0),
	T("GET", "/tasks/{}", "get task", K, RULE_MEILISEARCH_TASK),
	T("GET", "/tasks", "list tasks", K, 0),
	T("POST", "/tasks/cancel", "cancel tasks", W | K, 0),
	T("DELETE", "/tasks", "delete tasks", W | K, 0),
	HEALTH("/health"),
	HEALTH("/version"),
	HEALTH("/stats"),
#undef T
#undef HEALTH
};

static const struct route elasticsearch[] = {
/* elastic.co/docs/api, opensearch.org/docs */
#define T(methods, path, op, flags, rules)                                                  \
	{                                                                                   \
		STORE_ELASTICSEARCH, methods, path, NULL, op, flags, RULE_ELASTIC | (rules) \
	}
#define T_QUERY(methods, path, query, op, flags)                                   \
	{                                                                          \
		STORE_ELASTICSEARCH, methods, path, query, op, flags, RULE_ELASTIC \
	}
	T("GET|POST", "/_search", "search", 0, RULE_ELASTIC_SEARCH),
	T("GET|POST", "/{i}/_search", "search", 0, RULE_ELASTIC_SEARCH),
	T("GET|POST", "/_search/scroll/**", "scroll", 0, RULE_ELASTIC_SEARCH),
	T("DELETE", "/_search/scroll/**", "clear scroll", 0, 0),
	T("GET|POST", "/{i}/_search/template", "search template", 0, RULE_ELASTIC_SEARCH),
	T("GET|POST", "/_msearch", "msearch", 0, RULE_ELASTIC_SEARCHES),
	T("GET|POST", "/{i}/_msearch", "msearch", 0, RULE_ELASTIC_SEARCHES),
	T("GET|POST", "/_mget", "mget", 0, RULE_ELASTIC_SEARCHES),
	T("GET|POST", "/{i}/_mget", "mget", 0, RULE_ELASTIC_SEARCHES),
	T("GET|POST", "/_count", "count", 0, 0),
	T("GET|POST", "/{i}/_count", "count", 0, 0),
	T("POST|PUT", "/_bulk", "bulk", W | S, RULE_ELASTIC_BULK),
	T("POST|PUT", "/{i}/_bulk", "bulk", W | S, RULE_ELASTIC_BULK),
	T("GET", "/{i}/_doc/{}", "get", M, 0),
	T("HEAD", "/{i}/_doc/{}", "exists", M, 0),
	T("GET|HEAD", "/{i}/_source/{}", "get source", M, 0),
	T("PUT|POST", "/{i}/_doc/{}", "index", W, 0),
	T("POST", "/{i}/_doc", "index", W, 0),
	T("DELETE", "/{i}/_doc/{}", "delete", W | M, 0),
	T("PUT|POST", "/{i}/_create/{}", "create", W, 0),
	T("POST", "/{i}/_update/{}", "update", W, 0),
	T("POST", "/{i}/_delete_by_query", "delete by query", W, RULE_ELASTIC_MANY),
	T("POST", "/{i}/_update_by_query", "update by query", W, RULE_ELASTIC_MANY),
	T("POST", "/_reindex", "reindex", W, RULE_ELASTIC_MANY),
	/* makes what was written visible: belongs to the writing before it */
	T("GET|POST", "/_refresh", "refresh", W, 0),
	T("GET|POST", "/{i}/_refresh", "refresh", W, 0),
	T("GET|POST", "/{i}/_flush", "flush", W, 0),
	T("POST", "/{i}/_forcemerge", "force merge", W, 0),
	T("GET", "/{i}/_mapping/**", "get mapping", 0, 0),
	T("PUT|POST", "/{i}/_mapping", "put mapping", W, 0),
	T("GET", "/{i}/_settings/**", "get settings", 0, 0),
	T("PUT", "/{i}/_settings", "put settings", W, 0),
	T("GET|HEAD", "/{i}/_alias/**", "get alias", M, 0),
	T("PUT|POST|DELETE", "/{i}/_alias/**", "change alias", W, 0),
	T("GET|HEAD", "/_alias/**", "get alias", M | K, 0),
	T("POST", "/_aliases", "update aliases", W, 0),
	T("GET|POST", "/{i}/_analyze", "analyze", 0, 0),
	T("GET|POST", "/_analyze", "analyze", 0, 0),
	T("POST", "/{i}/_pit", "open point in time", 0, 0),
	T("DELETE", "/_pit", "close point in time", 0, 0),
	T("POST", "/{i}/_async_search", "async search", 0, 0),
	T("GET", "/_async_search/{}", "get async search", 0, 0),
	T("POST", "/_sql", "sql", K, 0),
	T("POST", "/_query", "esql", K, 0),
	T("GET|HEAD", "/_index_template/**", "get template", M, 0),
	T("PUT|POST|DELETE", "/_index_template/**", "change template", W, 0),
	T("GET|HEAD", "/_template/**", "get template", M, 0),
	T("PUT|POST|DELETE", "/_template/**", "change template", W, 0),
	T("GET", "/_ingest/**", "get pipeline", 0, 0),
	T("PUT|POST|DELETE", "/_ingest/**", "change pipeline", W, 0),
	T_QUERY("GET", "/_tasks/{}", "wait_for_completion=true", "wait for task", B),
	T("GET", "/_tasks/**", "get task", 0, 0),
	T("GET|HEAD", "/", "info", H, RULE_ELASTIC_INFO),
	T_QUERY("GET", "/_cluster/health/**", "wait_for_", "cluster health", H | B),
	T("GET", "/_cluster/health/**", "cluster health", H, 0),
	T("GET", "/_cluster/**", "cluster", 0, 0),
	T("GET", "/_cat/**", "cat", H, 0),
	T("GET", "/_nodes/**", "nodes", H, 0),
	T("HEAD", "/{i}", "index exists", M | K, 0),
	T("GET", "/{i}", "get index", K, 0),
	T("PUT", "/{i}", "create index", W | K, 0),
	T("DELETE", "/{i}", "delete index", W | K, 0),
#undef T_QUERY
#undef T
};

static const struct route opensearch[] = {
	/* opensearch.org/docs */
	{ STORE_OPENSEARCH, "GET", "/_plugins/**", NULL, "plugin", S, RULE_ELASTIC },
	{ STORE_OPENSEARCH, "POST|PUT|DELETE", "/_plugins/**", NULL, "plugin", W | S,
	  RULE_ELASTIC },
};

static const struct route weaviate[] = {
/* docs.weaviate.io/weaviate/api/rest */
#define T(methods, path, op, flags, rules)                                              \
	{                                                                               \
		STORE_WEAVIATE, methods, path, NULL, op, flags, RULE_WEAVIATE | (rules) \
	}
#define HEALTH(path, flags)                                                      \
	{                                                                        \
		STORE_WEAVIATE, "GET|HEAD", path, NULL, "health", H | (flags), 0 \
	}
	T("POST", "/v1/graphql", "graphql", 0, RULE_WEAVIATE_GRAPHQL),
	T("POST", "/v1/batch/objects", "batch objects", W | S, RULE_WEAVIATE_BATCH),
	T("DELETE", "/v1/batch/objects", "batch delete", W | S, RULE_WEAVIATE_BATCH),
	T("POST", "/v1/batch/references", "batch references", W | S, RULE_WEAVIATE_BATCH),
	T("GET", "/v1/objects", "list objects", 0, 0),
	T("POST", "/v1/objects", "create object", W, 0),
	T("POST", "/v1/objects/validate", "validate object", 0, 0),
	T("POST|PUT|DELETE", "/v1/objects/{}/{}/references/{}", "change references", W, 0),
	T("HEAD", "/v1/objects/{}/{}", "object exists", M, 0),
	T("GET", "/v1/objects/{}/{}", "get object", 0, 0),
	T("PUT|PATCH", "/v1/objects/{}/{}", "update object", W, 0),
	T("DELETE", "/v1/objects/{}/{}", "delete object", W, 0),
	T("HEAD", "/v1/objects/{}", "object exists", M, 0),
	T("GET", "/v1/objects/{}", "get object", 0, 0),
	T("PUT|PATCH", "/v1/objects/{}", "update object", W, 0),
	T("DELETE", "/v1/objects/{}", "delete object", W, 0),
	T("GET|HEAD", "/v1/schema/**", "get schema", M | K, 0),
	T("POST|PUT|DELETE", "/v1/schema/**", "change schema", W | K, 0),
	HEALTH("/v1/.well-known/ready", S),
	HEALTH("/v1/.well-known/live", S),
	HEALTH("/v1/.well-known/openid-configuration", 0),
	HEALTH("/v1/meta", 0),
	HEALTH("/v1/nodes/**", 0),
#undef T
#undef HEALTH
};

static const struct route milvus[] = {
/* milvus.io/api-reference/restful/v2.4.x */
#define T(path, op, flags)                                                                     \
	{                                                                                      \
		STORE_MILVUS, "POST", "/v2/vectordb/" path, NULL, op, (flags) | S, RULE_MILVUS \
	}
#define T1(methods, path, op, flags)                                                    \
	{                                                                               \
		STORE_MILVUS, methods, "/v1/vector/" path, NULL, op, flags, RULE_MILVUS \
	}
	T("entities/search", "search", 0),
	T("entities/hybrid_search", "hybrid search", 0),
	T("entities/advanced_search", "advanced search", 0),
	T("entities/query", "query", 0),
	T("entities/get", "get", 0),
	T("entities/insert", "insert", W),
	T("entities/upsert", "upsert", W),
	T("entities/delete", "delete", W),
	T("collections/list", "list collections", 0),
	T("collections/describe", "describe collection", 0),
	T("collections/has", "has collection", 0),
	T("collections/get_stats", "collection stats", 0),
	T("collections/get_load_state", "load state", 0),
	T("collections/create", "create collection", W),
	T("collections/drop", "drop collection", W),
	T("collections/load", "load collection", W),
	T("collections/release", "release collection", W),
	T("collections/**", "change collection", W),
	T("partitions/list", "list partitions", 0),
	T("partitions/has", "has partition", 0),
	T("partitions/get_stats", "partition stats", 0),
	T("partitions/**", "change partition", W),
	T("indexes/list", "list indexes", 0),
	T("indexes/describe", "describe index", 0),
	T("indexes/**", "change index", W),
	T("aliases/list", "list aliases", 0),
	T("aliases/describe", "describe alias", 0),
	T("aliases/**", "change alias", W),
	T("databases/list", "list databases", 0),
	T("databases/describe", "describe database", 0),
	T("databases/**", "change database", W),
	T("users/**", "users", E),
	T("roles/**", "roles", E),
	T1("POST", "search", "search", 0),
	T1("POST", "query", "query", 0),
	T1("POST", "get", "get", 0),
	T1("POST", "insert", "insert", W),
	T1("POST", "upsert", "upsert", W),
	T1("POST", "delete", "delete", W),
	T1("GET", "collections/**", "describe collection", 0),
	T1("POST", "collections/**", "change collection", W),
	{ STORE_MILVUS, "GET", "/healthz", NULL, "health", H, 0 },
#undef T
#undef T1
};

static const struct route chroma[] = {
/* docs.trychroma.com/reference */
#define DATABASE "/api/v2/tenants/{}/databases/{}"
#define T(methods, path, op, flags)                                                        \
	{                                                                                  \
		STORE_CHROMA, methods, "/api/v2/" path, NULL, op, (flags) | S, RULE_CHROMA \
	}
#define C(methods, path, op, flags)                                                             \
	{                                                                                       \
		STORE_CHROMA, methods,    DATABASE "/collections" path, NULL, op,               \
		(flags) | S,  RULE_CHROMA                                                       \
	},                                                                                      \
	{                                                                                       \
		STORE_CHROMA, methods, "/api/v1/collections" path, NULL, op, flags, RULE_CHROMA \
	}
#define HEALTH(path, flags)                                               \
	{                                                                 \
		STORE_CHROMA, "GET", path, NULL, "health", H | (flags), 0 \
	}
	C("POST", "/{}/query", "query", 0),
	C("POST", "/{}/search", "search", 0),
	C("POST", "/{}/get", "get", 0),
	C("GET", "/{}/count", "count", 0),
	C("POST", "/{}/add", "add", W),
	C("POST", "/{}/upsert", "upsert", W),
	C("POST", "/{}/update", "update", W),
	C("POST", "/{}/delete", "delete", W),
	C("POST", "/{}/fork", "fork", W),
	C("GET", "", "list collections", 0),
	C("POST", "", "create collection", W),
	C("GET", "/{}", "get collection", 0),
	C("PUT", "/{}", "update collection", W),
	C("DELETE", "/{}", "delete collection", W),
	{ STORE_CHROMA, "GET", DATABASE "/collections_count", NULL, "count collections", S,
	  RULE_CHROMA },
	T("GET", "tenants/**", "get tenant", 0),
	T("POST|PUT|PATCH|DELETE", "tenants/**", "change tenant", W),
	{ STORE_CHROMA, "POST", "/api/v2/reset", NULL, "reset", W, RULE_CHROMA },
	HEALTH("/api/v2/heartbeat", S),
	HEALTH("/api/v2/healthcheck", 0),
	HEALTH("/api/v2/version", 0),
	HEALTH("/api/v2/pre-flight-checks", S),
	HEALTH("/api/v2/auth/identity", 0),
	HEALTH("/api/v1/heartbeat", 0),
	HEALTH("/api/v1/version", 0),
	HEALTH("/api/v1/pre-flight-checks", 0),
	HEALTH("/api/v2", 0),
	HEALTH("/api/v1", 0),
#undef DATABASE
#undef T
#undef C
#undef HEALTH
};

static const struct route neo4j[] = {
/* neo4j.com/docs/http-api, neo4j.com/docs/query-api */
#define T(methods, path, op, flags)                                     \
	{                                                               \
		STORE_NEO4J, methods, path, NULL, op, flags, RULE_NEO4J \
	}
	T("POST", "/db/{}/tx/commit", "query", E | S),
	T("POST", "/db/{}/query/v2", "query", E | S),
	T("POST", "/db/{}/tx", "begin", E | S),
	T("POST", "/db/{}/query/v2/tx", "begin", E | S),
	T("POST", "/db/{}/tx/{}/commit", "commit", W | S),
	T("POST", "/db/{}/query/v2/tx/{}/commit", "commit", W | S),
	T("POST", "/db/{}/tx/{}", "query", E | S),
	T("POST", "/db/{}/query/v2/tx/{}", "query", E | S),
	T("DELETE", "/db/{}/tx/{}", "rollback", S),
	T("DELETE", "/db/{}/query/v2/tx/{}", "rollback", S),
	{ STORE_NEO4J, "GET|HEAD", "/", NULL, "discovery", H, 0 },
	{ STORE_NEO4J, "GET", "/db/{}/cluster/**", NULL, "health", H, 0 },
#undef T
};

static const struct {
	const struct route *routes;
	size_t n;
} tables[STORE_SYSTEMS] = {
#define TABLE(t)                              \
	{                                     \
		t, sizeof(t) / sizeof((t)[0]) \
	}
	[STORE_QDRANT] = TABLE(qdrant),
	[STORE_TYPESENSE] = TABLE(typesense),
	[STORE_MEILISEARCH] = TABLE(meilisearch),
	[STORE_ELASTICSEARCH] = TABLE(elasticsearch),
	[STORE_OPENSEARCH] = TABLE(opensearch),
	[STORE_WEAVIATE] = TABLE(weaviate),
	[STORE_MILVUS] = TABLE(milvus),
	[STORE_CHROMA] = TABLE(chroma),
	[STORE_NEO4J] = TABLE(neo4j),
#undef TABLE
};

enum store_system store_by_name(const char *name)
{
	for (int i = 0; i < STORE_SYSTEMS; i++)
		if (*name && strcmp(store_names[i], name) == 0)
			return (enum store_system)i;
	return STORE_SYSTEMS;
}

struct bytes route_split(struct bytes target, struct bytes *query)
{
	struct bytes rest = target, path = bytes_to(&rest, '?');

	*query = rest;
	return path;
}

static bool segment_is(struct bytes segment, struct bytes pattern)
{
	if (bytes_equal(pattern, "{}"))
		return segment.n > 0;
	if (bytes_equal(pattern, "{i}"))
		return segment.n > 0 &&
		       (isalnum((unsigned char)segment.p[0]) || (segment.p[0] & 0x80));
	return segment.n == pattern.n && memcmp(segment.p, pattern.p, pattern.n) == 0;
}

bool route_path_is(struct bytes path, const char *pattern)
{
	struct bytes want = bytes_of(pattern);

	if (!path.n || path.p[0] != '/')
		return false;
	while (path.n > 1 && path.p[path.n - 1] == '/')
		path.n--;
	path = bytes_from(path, 1);
	want = bytes_from(want, 1);
	while (want.n) {
		struct bytes part = bytes_to(&want, '/');

		if (bytes_equal(part, "**"))
			return true;
		if (!path.n || !segment_is(bytes_to(&path, '/'), part))
			return false;
	}
	return !path.n;
}

bool route_query_has(struct bytes query, const char *parameter)
{
	while (query.n)
		if (bytes_start(bytes_to(&query, '&'), parameter))
			return true;
	return false;
}

static bool method_is(struct bytes method, const char *methods)
{
	struct bytes rest = bytes_of(methods ? methods : "");

	while (rest.n) {
		struct bytes one = bytes_to(&rest, '|');

		if (one.n == method.n && memcmp(one.p, method.p, one.n) == 0)
			return true;
	}
	return !methods;
}

const struct route *route_find(enum store_system system, const struct store_request *r)
{
	struct bytes query, path = route_split(r->path, &query);

	if (system == STORE_S3)
		return route_s3(r);
	for (size_t i = 0; i < tables[system].n; i++) {
		const struct route *route = &tables[system].routes[i];

		if (method_is(r->method, route->methods) && route_path_is(path, route->path) &&
		    (!route->query || route_query_has(query, route->query)))
			return route;
	}
	return NULL;
}

unsigned route_rules(struct bytes method, struct bytes target)
{
	struct store_request r = { .method = method, .path = target };
	unsigned rules = 0;

	for (int i = 0; i < STORE_SYSTEMS; i++) {
		const struct route *route = i == STORE_S3 ? NULL
		                                          : route_find((enum store_system)i, &r);

		rules |= route ? route->rules : 0;
	}
	return rules;
}
