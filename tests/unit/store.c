/* SPDX-License-Identifier: BSD-2-Clause */
/* Exchanges with stores: operations, errors that a status 200 hides, health checks; at every split, with a hole anywhere. */
#include "test.h"

#include "base/protobuf.h"
#include "store/route.h"
#include "store/store.h"

#define WHOLE ((size_t)1 << 30)

/* One exchange and what must come out. */
struct exchange {
	const char *system;  /* what the endpoint is known as */
	const char *request; /* METHOD TARGET */
	int status;
	const char *reply;
	/* wanted */
	const char *store, *op;
	const char *flags; /* w write, e either, h health, b blocks */
	enum call_status outcome;
	const char *kind;
};

static struct call *call;
static struct store *store;

static struct store_request request_of(const struct exchange *x)
{
	const char *space = strchr(x->request, ' ');

	return (struct store_request){ .method = { x->request, (size_t)(space - x->request) },
		                       .path = bytes_of(space + 1),
		                       .host = bytes_of("10.0.0.5"),
		                       .system = x->system ? x->system : "" };
}

static void end(void)
{
	store_free(store);
	call_free(call);
	store = NULL;
	call = NULL;
}

static bool begin(const struct store_request *r)
{
	if (call)
		end();
	call = call_new();
	snprintf(call->op, sizeof(call->op), "untold");
	store = store_new(call, r);
	return store != NULL;
}

static void outcome(int status)
{
	call->http_status = status;
	call->status = status == 429 ? CALL_RATE_LIMITED : status < 400 ? CALL_OK : CALL_ERROR;
	if (status >= 400)
		snprintf(call->error_kind, sizeof(call->error_kind), "http_%d", status);
}

static void feed(const char *body, size_t from, size_t to, size_t step)
{
	for (size_t i = from; i < to; i += step) {
		size_t n = to - i < step ? to - i : step;
		char *p = guarded(body + i, n);

		store_response_body(store, (struct bytes){ p, n });
		guarded_free(p, n);
	}
}

static bool run(const struct exchange *x, size_t split, size_t step)
{
	struct store_request r = request_of(x);
	size_t n = strlen(x->reply);

	if (!begin(&r))
		return false;
	store_response_head(store, x->status);
	feed(x->reply, 0, n < split ? n : split, step);
	feed(x->reply, n < split ? n : split, n, step);
	outcome(x->status);
	store_response_end(store, true);
	return true;
}

static bool has(const struct exchange *x, char flag)
{
	return x->flags && strchr(x->flags, flag);
}

static bool matches(const struct exchange *x)
{
	bool ok = strcmp(call->store, x->store) == 0 && strcmp(call->op, x->op) == 0 &&
	          call->write == has(x, 'w') && call->op_known == !has(x, 'e') &&
	          (call->class == CALL_HEARTBEAT) == has(x, 'h') && call->blocks == has(x, 'b') &&
	          call->status == x->outcome &&
	          strcmp(call->error_kind, x->kind ? x->kind : "") == 0;

	if (!ok)
		printf("# %s: %s '%s' write %d known %d class %s blocks %d %s '%s'\n", x->request,
		       call->store, call->op, call->write, call->op_known,
		       call_class_name(call->class), call->blocks, call_status_name(call->status),
		       call->error_kind);
	return ok;
}

static bool gives(const struct exchange *x)
{
	size_t n = strlen(x->reply);
	bool ok = true;

	for (size_t split = 0; split <= n && ok; split++)
		ok = run(x, split, WHOLE) && matches(x);
	return ok && run(x, 0, 1) && matches(x);
}

/* One hole of each length at each offset: what it may have hidden is not called ok, and nothing is made up. */
static bool holes(const struct exchange *x)
{
	struct store_request r = request_of(x);
	size_t n = strlen(x->reply);

	for (size_t at = 0; at < n; at++) {
		for (size_t len = 1; len <= n - at; len += 1 + len / 3) {
			if (!begin(&r))
				return false;
			store_response_head(store, x->status);
			feed(x->reply, 0, at, WHOLE);
			store_response_gap(store, len);
			feed(x->reply, at + len, n, WHOLE);
			outcome(x->status);
			store_response_end(store, true);
			if (call->status == x->outcome || call->status == CALL_UNKNOWN ||
			    (x->status >= 400 && call->status == CALL_ERROR))
				continue;
			printf("# %s: hole of %zu at %zu: %s\n", x->request, len, at,
			       call_status_name(call->status));
			return false;
		}
	}
	return true;
}

static void all(const struct exchange *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		CHECK(gives(&list[i]));
		CHECK(holes(&list[i]));
	}
}
#define ALL(list) all(list, sizeof(list) / sizeof(list[0]))

#define POINTS \
	"{\"result\":[{\"id\":1,\"version\":3,\"score\":0.9,\"payload\":{\"status\":\"x\"}}],"

static void test_qdrant(void)
{
	static const struct exchange list[] = {
		{ NULL, "POST /collections/facts/points/search", 200,
		  POINTS "\"status\":\"ok\",\"time\":0.0012}", "qdrant", "search", "", CALL_OK },
		{ "qdrant", "PUT /collections/facts/points?wait=true", 200,
		  "{\"result\":{\"operation_id\":0,\"status\":\"completed\"},\"status\":\"ok\","
		  "\"time\":0.01}",
		  "qdrant", "upsert", "w", CALL_OK },
		{ NULL, "POST /collections/facts/points/query", 404,
		  "{\"status\":{\"error\":\"Not found: Collection `facts` doesn't exist!\"},"
		  "\"time\":0.000027}",
		  "qdrant", "query", "", CALL_ERROR, "http_404" },
		{ "qdrant", "POST /collections/facts/points/scroll", 200,
		  "{\"status\":{\"error\":\"Service internal error\"},\"time\":0.1}", "qdrant",
		  "scroll", "", CALL_ERROR, "status_error" },
		/* on a port of nobody's the reply tells */
		{ NULL, "GET /collections/facts", 200,
		  "{\"result\":{\"status\":\"green\",\"points_count\":3},\"status\":\"ok\","
		  "\"time\":1e-05}",
		  "qdrant", "get collection", "", CALL_OK },
		{ "qdrant", "GET /", 200, "{\"title\":\"qdrant - vector search engine\"}", "qdrant",
		  "health", "h", CALL_OK },
		{ "qdrant", "GET /telemetry", 200, "{\"result\":{},\"status\":\"ok\",\"time\":1}",
		  "qdrant", "health", "h", CALL_OK },
	};

	TEST("qdrant: operations, its status object, health");
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		CHECK(gives(&list[i]));
	/* of a nobody's port a lost time leaves nothing named: no outcome is wrong then */
	for (size_t i = 0; i < 4; i++)
		CHECK(holes(&list[i]));
}

static void test_elasticsearch(void)
{
#define SHARDS(failed) "\"_shards\":{\"total\":2,\"successful\":1,\"skipped\":0,\"failed\":" #failed
	static const struct exchange list[] = {
		{ "elasticsearch", "POST /notes/_search", 200,
		  "{\"took\":1,\"timed_out\":false," SHARDS(0) "},\"hits\":{\"hits\":[]}}",
		  "elasticsearch", "search", "", CALL_OK },
		{ "elasticsearch", "POST /notes/_search", 200,
		  "{\"took\":9,\"timed_out\":true," SHARDS(0) "},\"hits\":{}}", "elasticsearch",
		  "search", "", CALL_ERROR, "timed_out" },
		{ "elasticsearch", "GET /_search", 200,
		  "{\"took\":9,\"timed_out\":false," SHARDS(
			  1) ",\"failures\":[{\"shard\":0,\"reason\":"
		             "{\"type\":\"query_shard_exception\",\"reason\":\"secret "
		             "words\"}}]},\"hits\":{}}",
		  "elasticsearch", "search", "", CALL_ERROR, "query_shard_exception" },
		{ NULL, "POST /_bulk?refresh=true", 200,
		  "{\"took\":3,\"errors\":false,\"items\":[{\"index\":{\"_id\":\"1\",\"status\":"
		  "201}}]}",
		  "elasticsearch", "bulk", "w", CALL_OK },
		{ NULL, "PUT /notes/_bulk", 200,
		  "{\"took\":3,\"errors\":true,\"items\":[{\"index\":{\"_id\":\"1\",\"status\":201}"
		  "},"
		  "{\"create\":{\"_id\":\"2\",\"status\":409,\"error\":{\"type\":"
		  "\"version_conflict_engine_exception\",\"reason\":\"[2]: secret\"}}}]}",
		  "elasticsearch", "bulk", "w", CALL_ERROR, "version_conflict_engine_exception" },
		{ "elasticsearch", "POST /_msearch", 200,
		  "{\"took\":1,\"responses\":[{\"timed_out\":false," SHARDS(
			  0) "}},{\"error\":{\"type\":\"index_not_found_exception\"},\"status\":"
		             "404}]}",
		  "elasticsearch", "msearch", "", CALL_ERROR, "index_not_found_exception" },
		{ "elasticsearch", "POST /notes/_delete_by_query", 200,
		  "{\"took\":1,\"timed_out\":false,\"deleted\":0,\"version_conflicts\":1,"
		  "\"failures\":"
		  "[{\"index\":\"notes\",\"cause\":{\"type\":\"version_conflict_engine_exception\"}"
		  "}]}",
		  "elasticsearch", "delete by query", "w", CALL_ERROR,
		  "version_conflict_engine_exception" },
		{ "elasticsearch", "POST /_mget", 200,
		  "{\"docs\":[{\"_index\":\"a\",\"_id\":\"1\",\"found\":true}]}", "elasticsearch",
		  "mget", "", CALL_OK },
		{ "elasticsearch", "GET /missing/_count", 404,
		  "{\"error\":{\"root_cause\":[{\"type\":\"x\"}],\"type\":\"index_not_found_"
		  "exception\","
		  "\"reason\":\"no such index [missing]\"},\"status\":404}",
		  "elasticsearch", "count", "", CALL_ERROR, "index_not_found_exception" },
		{ "elasticsearch", "GET /notes/_doc/7", 404,
		  "{\"_index\":\"notes\",\"_id\":\"7\",\"found\":false}", "elasticsearch", "get",
		  "", CALL_OK },
		{ "elasticsearch", "HEAD /notes", 404, "", "elasticsearch", "index exists", "",
		  CALL_OK },
		{ "elasticsearch", "GET /_cluster/health?wait_for_status=green", 200,
		  "{\"status\":\"green\",\"timed_out\":false}", "elasticsearch", "cluster health",
		  "hb", CALL_OK },
		{ "elasticsearch", "GET /_cat/indices?format=json", 200, "[]", "elasticsearch",
		  "cat", "h", CALL_OK },
		{ "elasticsearch", "HEAD /", 200, "", "elasticsearch", "info", "h", CALL_OK },
		{ "elasticsearch", "PUT /notes", 200, "{\"acknowledged\":true}", "elasticsearch",
		  "create index", "w", CALL_OK },
		{ "elasticsearch", "GET /_tasks/a:1?wait_for_completion=true", 200, "{}",
		  "elasticsearch", "wait for task", "b", CALL_OK },
		{ "elasticsearch", "GET /", 200,
		  "{\"name\":\"n\",\"version\":{\"distribution\":\"opensearch\",\"number\":\"2."
		  "11\"}}",
		  "opensearch", "info", "h", CALL_OK },
		{ "opensearch", "POST /notes/_search", 200,
		  "{\"took\":1,\"timed_out\":false," SHARDS(0) "},\"hits\":{}}", "opensearch",
		  "search", "", CALL_OK },
		{ NULL, "POST /_plugins/_ml/models/m/_predict", 200, "{}", "opensearch", "plugin",
		  "w", CALL_OK },
	};
	struct exchange x = {
		NULL,   "POST /notes/_search", 200, "{\"hits\":{}}", "elasticsearch", "search", "",
		CALL_OK
	};
	struct store_request r = request_of(&x);

	TEST("elasticsearch: errors of parts, timeouts, misses that are answers, waits");
	ALL(list);

	TEST("elasticsearch: on a port of nobody's its product header tells");
	CHECK(begin(&r) && !call->store[0] && strcmp(call->op, "untold") == 0);
	store_response_head(store, 200);
	store_response_field(store, bytes_of("X-Elastic-Product"), bytes_of("Elasticsearch"));
	CHECK(strcmp(call->store, "elasticsearch") == 0 && strcmp(call->op, "search") == 0);
	outcome(200);
	feed(x.reply, 0, strlen(x.reply), WHOLE);
	store_response_end(store, true);
	CHECK(call->status == CALL_OK);
}

static void test_typesense(void)
{
	static const struct exchange list[] = {
		{ "typesense", "GET /collections/notes/documents/search?q=x&query_by=t", 200,
		  "{\"found\":1,\"hits\":[{\"document\":{\"success\":false}}],\"search_time_ms\":"
		  "2}",
		  "typesense", "search", "", CALL_OK },
		{ NULL, "POST /collections/notes/documents/import?action=upsert", 200,
		  "{\"success\":true}\n{\"success\":true}\n{\"success\":true}", "typesense",
		  "import", "w", CALL_OK },
		{ NULL, "POST /collections/notes/documents/import", 200,
		  "{\"success\":true}\n{\"code\":400,\"document\":\"{\\\"a\\\":\\\"secret\\\"}\","
		  "\"error\":\"Bad JSON.\",\"success\":false}\n{\"success\":true}\n",
		  "typesense", "import", "w", CALL_ERROR, "import_error" },
		{ "typesense", "POST /multi_search", 200,
		  "{\"results\":[{\"found\":0,\"search_time_ms\":1},{\"code\":404,\"error\":\"Not "
		  "found.\"}]}",
		  "typesense", "multi_search", "", CALL_ERROR, "search_error" },
		{ "typesense", "POST /collections/notes/documents?action=upsert", 201,
		  "{\"id\":\"1\"}", "typesense", "upsert", "w", CALL_OK },
		{ "typesense", "POST /collections/notes/documents", 409,
		  "{\"message\":\"A document with id 1 already exists.\"}", "typesense", "index",
		  "w", CALL_ERROR, "http_409" },
		{ "typesense", "GET /health", 200, "{\"ok\":true}", "typesense", "health", "h",
		  CALL_OK },
	};
	struct exchange x = { NULL,        "GET /collections/notes", 200, "",
		              "typesense", "get collection",         "",  CALL_OK };
	struct store_request r = request_of(&x);

	TEST("typesense: imports and searches of which one part failed");
	ALL(list);
	TEST("typesense: on a port of nobody's its key header tells");
	r.typesense_key = true;
	CHECK(begin(&r) && strcmp(call->store, "typesense") == 0 &&
	      strcmp(call->op, "get collection") == 0);
}

static void test_meilisearch(void)
{
	static const struct exchange list[] = {
		{ "meilisearch", "POST /indexes/notes/search", 200,
		  "{\"hits\":[{\"code\":\"x\"}],\"processingTimeMs\":0}", "meilisearch", "search",
		  "", CALL_OK },
		{ "meilisearch", "POST /indexes/notes/documents", 202,
		  "{\"taskUid\":4,\"status\":\"enqueued\",\"enqueuedAt\":\"2026\"}", "meilisearch",
		  "add documents", "w", CALL_OK },
		{ "meilisearch", "GET /tasks/4", 200,
		  "{\"uid\":4,\"status\":\"failed\",\"error\":{\"message\":\"secret\",\"code\":"
		  "\"invalid_document_id\"}}",
		  "meilisearch", "get task", "", CALL_ERROR, "invalid_document_id" },
		{ "meilisearch", "GET /tasks/4", 200,
		  "{\"uid\":4,\"status\":\"succeeded\",\"error\":null}", "meilisearch", "get task",
		  "", CALL_OK },
		/* of two statuses the first counts, in one piece or many */
		{ "meilisearch", "GET /tasks/4", 200,
		  "{\"status\":\"succeeded\",\"status\":\"failed\"}", "meilisearch", "get task", "",
		  CALL_OK },
		{ "meilisearch", "GET /indexes/none", 404,
		  "{\"message\":\"Index `none` not found.\",\"code\":\"index_not_found\",\"type\":"
		  "\"invalid_request\",\"link\":\"https://docs\"}",
		  "meilisearch", "get index", "", CALL_ERROR, "index_not_found" },
		{ "meilisearch", "GET /stats", 200, "{}", "meilisearch", "health", "h", CALL_OK },
	};
	static const struct exchange found = { NULL,
		                               "POST /multi-search",
		                               200,
		                               "{\"results\":[{\"processingTimeMs\":1}]}",
		                               "meilisearch",
		                               "multi-search",
		                               "",
		                               CALL_OK };

	TEST("meilisearch: a failed task is the error of the write");
	ALL(list);
	CHECK(gives(&found));
}

static void test_weaviate(void)
{
	static const struct exchange list[] = {
		{ "weaviate", "POST /v1/graphql", 200, "{\"data\":{\"Get\":{\"Note\":[]}}}",
		  "weaviate", "graphql", "", CALL_OK },
		{ "weaviate", "POST /v1/graphql", 200,
		  "{\"data\":{\"Get\":null},\"errors\":[{\"message\":\"no such class\"}]}",
		  "weaviate", "graphql", "", CALL_ERROR, "graphql_error" },
		{ NULL, "POST /v1/batch/objects", 200,
		  "[{\"class\":\"N\",\"result\":{\"status\":\"SUCCESS\"}},{\"class\":\"N\","
		  "\"result\":"
		  "{\"errors\":{\"error\":[{\"message\":\"secret\"}]},\"status\":\"FAILED\"}}]",
		  "weaviate", "batch objects", "w", CALL_ERROR, "batch_error" },
		{ NULL, "POST /v1/batch/objects", 200,
		  "[{\"class\":\"N\",\"result\":{\"status\":\"SUCCESS\"}}]", "weaviate",
		  "batch objects", "w", CALL_OK },
		{ NULL, "DELETE /v1/batch/objects", 200,
		  "{\"results\":{\"matches\":2,\"failed\":1,\"successful\":1}}", "weaviate",
		  "batch delete", "w", CALL_ERROR, "batch_error" },
		{ "weaviate", "HEAD /v1/objects/Note/1", 404, "", "weaviate", "object exists", "",
		  CALL_OK },
		{ NULL, "GET /v1/.well-known/ready", 200, "", "weaviate", "health", "h", CALL_OK },
		{ "weaviate", "GET /v1/meta", 200, "{}", "weaviate", "health", "h", CALL_OK },
	};
	static const struct exchange found = { NULL,       "POST /v1/graphql",
		                               200,        "{\"data\":{\"Get\":{\"Note\":[]}}}",
		                               "weaviate", "graphql",
		                               "",         CALL_OK };

	TEST("weaviate: errors of GraphQL and of single objects");
	ALL(list);
	CHECK(gives(&found));
}

static void test_others(void)
{
#define CHROMA "/api/v2/tenants/t/databases/d/collections/"
	static const struct exchange list[] = {
		{ NULL, "POST /v2/vectordb/entities/search", 200,
		  "{\"code\":0,\"cost\":6,\"data\":[]}", "milvus", "search", "", CALL_OK },
		{ NULL, "POST /v2/vectordb/entities/insert", 200,
		  "{\"code\":1100,\"message\":\"can't find collection[secret]\"}", "milvus",
		  "insert", "w", CALL_ERROR, "milvus_1100" },
		{ "milvus", "POST /v1/vector/query", 200, "{\"code\":200,\"data\":[]}", "milvus",
		  "query", "", CALL_OK },
		{ NULL, "POST " CHROMA "1/query", 200, "{\"ids\":[[\"a\"]],\"distances\":null}",
		  "chroma", "query", "", CALL_OK },
		{ NULL, "POST " CHROMA "1/upsert", 404,
		  "{\"error\":\"NotFoundError\",\"message\":\"Collection secret does not exist\"}",
		  "chroma", "upsert", "w", CALL_ERROR, "NotFoundError" },
		{ NULL, "GET /api/v2/heartbeat", 200, "{\"nanosecond heartbeat\":1}", "chroma",
		  "health", "h", CALL_OK },
		{ "chroma", "GET /api/v2/auth/identity", 200, "{}", "chroma", "health", "h",
		  CALL_OK },
		{ NULL, "POST /db/neo4j/tx/commit", 200,
		  "{\"results\":[{\"columns\":[],\"data\":[]}],\"errors\":[]}", "neo4j", "query",
		  "e", CALL_OK },
		{ NULL, "POST /db/neo4j/tx/commit", 200,
		  "{\"results\":[],\"errors\":[{\"code\":\"Neo.ClientError.Statement.SyntaxError\","
		  "\"message\":\"secret\"}]}",
		  "neo4j", "query", "e", CALL_ERROR, "Neo.ClientError.Statement.SyntaxError" },
	};

	TEST("milvus, chroma, neo4j: a code, a class, a list");
	ALL(list);
}

static void test_s3(void)
{
#define XML "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	static const struct exchange list[] = {
		{ "s3", "GET /bucket/a/key", 200, "bytes of <Error> any kind", "s3", "GetObject",
		  "", CALL_OK },
		{ "s3", "GET /bucket?list-type=2&prefix=a", 200,
		  XML "<ListBucketResult xmlns=\"http://s3/\"><Name>b</Name></ListBucketResult>",
		  "s3", "ListObjectsV2", "", CALL_OK },
		{ "s3", "GET /bucket/key", 404,
		  XML
		  "<Error><Code>NoSuchKey</Code><Message>secret</Message><Key>Code</Key></Error>",
		  "s3", "GetObject", "", CALL_ERROR, "NoSuchKey" },
		{ "s3", "PUT /bucket/key", 503,
		  XML "<Error><Code>SlowDown</Code><Message>Reduce</Message></Error>", "s3",
		  "PutObject", "w", CALL_RATE_LIMITED, "SlowDown" },
		{ "s3", "POST /bucket/key?uploadId=u", 200,
		  XML "   \n  <Error><Code>InternalError</Code></Error>", "s3",
		  "CompleteMultipartUpload", "w", CALL_ERROR, "InternalError" },
		{ "s3", "POST /bucket/key?uploadId=u", 200,
		  XML "<CompleteMultipartUploadResult><ETag>\"x\"</ETag><Empty/>"
		      "</CompleteMultipartUploadResult>",
		  "s3", "CompleteMultipartUpload", "w", CALL_OK },
		{ "s3", "POST /bucket?delete", 200,
		  XML
		  "<DeleteResult xmlns='http://s3/'><Deleted><Key>a</Key></Deleted><Error><Key>b"
		  "</Key><Code>AccessDenied</Code></Error></DeleteResult>",
		  "s3", "DeleteObjects", "w", CALL_ERROR, "AccessDenied" },
		{ "s3", "POST /bucket?delete=", 200,
		  XML "<DeleteResult><Deleted><Key>Error</Key></Deleted></DeleteResult>", "s3",
		  "DeleteObjects", "w", CALL_OK },
		{ "s3", "POST /bucket?delete", 200, XML "<Other></Other>", "s3", "DeleteObjects",
		  "w", CALL_UNKNOWN },
		{ "s3", "HEAD /bucket", 404, "", "s3", "HeadBucket", "h", CALL_OK },
		{ "s3", "HEAD /bucket/key", 404, "", "s3", "HeadObject", "", CALL_OK },
		{ "s3", "GET /", 200, XML "<ListAllMyBucketsResult/>", "s3", "ListBuckets", "",
		  CALL_OK },
		{ "s3", "GET /minio/health/live", 200, "", "s3", "health", "h", CALL_OK },
		{ "s3", "GET /bucket?events=s3:ObjectCreated:*", 200, "{}\n", "s3",
		  "ListenBucketNotification", "b", CALL_OK },
	};
	struct exchange x = { NULL, "PUT /bucket/key", 200, "", "s3", "PutObject", "w", CALL_OK };
	struct store_request r = request_of(&x);

	TEST("s3: operations by level and query, errors behind status 200");
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		CHECK(gives(&list[i]));
		CHECK(list[i].outcome == CALL_RATE_LIMITED || holes(&list[i]));
	}

	TEST("s3: on a host of nobody's its signature tells, in header or query, and no other "
	     "service's");
	r.authorization = bytes_of("AWS4-HMAC-SHA256 Credential=AK/20260101/eu-1/s3/aws4_request, "
	                           "SignedHeaders=host, Signature=00");
	CHECK(begin(&r) && strcmp(call->op, "PutObject") == 0);
	r.copy_source = true;
	CHECK(begin(&r) && strcmp(call->op, "CopyObject") == 0);
	r.copy_source = false;
	r.authorization = bytes_of("AWS4-HMAC-SHA256 Credential=AK/20260101/eu-1/sqs/aws4_request");
	CHECK(!begin(&r));
	r.authorization = bytes_of("");
	r.path = bytes_of("/b/k?X-Amz-Credential=AK%2F20260101%2Feu-1%2Fs3%2Faws4_request&a=b");
	CHECK(begin(&r) && strcmp(call->op, "PutObject") == 0);

	TEST("s3: a bucket in the host's name");
	r.system = "s3";
	r.host = bytes_of("bucket.s3.eu-west-1.amazonaws.com");
	r.method = bytes_of("GET");
	r.path = bytes_of("/");
	CHECK(begin(&r) && strcmp(call->op, "ListObjects") == 0);
	r.path = bytes_of("/key");
	CHECK(begin(&r) && strcmp(call->op, "GetObject") == 0);
	r.host = bytes_of("s3.eu-west-1.amazonaws.com");
	CHECK(begin(&r) && strcmp(call->op, "ListObjects") == 0);
}

static void test_nobody(void)
{
	static const char *const requests[] = {
		"GET /",           "GET /metrics", "POST /v1/chat", "GET /collections/a/b/c/d",
		"GET /x",          "PUT /x",       "GET /_x",       "POST /",
		"GET collections", "GET /health",
	};
	struct exchange x = { NULL, "GET /collections", 200,  "{\"collections\":[]}",
		              "",   "untold",           NULL, CALL_OK };

	TEST("requests that may be anybody's are nobody's");
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct exchange any = { .request = requests[i] };
		struct store_request r = request_of(&any);

		CHECK(!begin(&r));
	}

	TEST("a path of two stores, and a reply of neither: the call stays as it was");
	CHECK(run(&x, 0, WHOLE) && !call->store[0] && strcmp(call->op, "untold") == 0 &&
	      call->status == CALL_OK && call->class == CALL_OTHER);

	TEST("a reply that breaks off is not ok, and one that is no document neither");
	x = (struct exchange){ "qdrant", "GET /collections", 200, "", "qdrant" };
	struct store_request r = request_of(&x);

	CHECK(begin(&r));
	store_response_head(store, 200);
	feed("{\"result\":", 0, 10, WHOLE);
	call->status = CALL_ABORTED;
	store_response_end(store, false);
	CHECK(call->status == CALL_ABORTED);
	CHECK(begin(&r));
	store_response_head(store, 200);
	feed("<html>", 0, 6, WHOLE);
	outcome(200);
	store_response_end(store, true);
	CHECK(call->status == CALL_UNKNOWN);
}

struct grpc {
	const char *path;
	const char *message;
	size_t n;
	const char *store, *op, *flags;
	enum call_status outcome;
	const char *kind;
};

#define MILVUS "/milvus.proto.milvus.MilvusService/"

static void test_grpc(void)
{
	static const struct grpc list[] = {
		{ "/qdrant.Points/Search", "", 0, "qdrant", "Search", "", CALL_OK },
		{ "/qdrant.Points/Upsert", "", 0, "qdrant", "Upsert", "w", CALL_OK },
		{ "/qdrant.Collections/Create", "", 0, "qdrant", "Create", "w", CALL_OK },
		{ "/qdrant.Collections/CollectionExists", "", 0, "qdrant", "CollectionExists", "",
		  CALL_OK },
		{ "/qdrant.Qdrant/HealthCheck", "", 0, "qdrant", "HealthCheck", "h", CALL_OK },
		{ "/grpc.health.v1.Health/Check", "", 0, "", "Check", "h", CALL_OK },
		{ "/grpc.health.v1.Health/Watch", "", 0, "", "Watch", "hb", CALL_OK },
		{ "/weaviate.v1.Weaviate/Search", "", 0, "weaviate", "Search", "", CALL_OK },
		/* took = 1, errors = 2 */
		{ "/weaviate.v1.Weaviate/BatchObjects", "\x0d\0\0\0\0", 5, "weaviate",
		  "BatchObjects", "w", CALL_OK },
		{ "/weaviate.v1.Weaviate/BatchObjects", "\x0d\0\0\0\0\x12\4\x12\2no", 11,
		  "weaviate", "BatchObjects", "w", CALL_ERROR, "batch_error" },
		/* failed = 2 */
		{ "/weaviate.v1.Weaviate/BatchDelete", "\x0d\0\0\0\0\x10\0\x18\2", 9, "weaviate",
		  "BatchDelete", "w", CALL_OK },
		{ "/weaviate.v1.Weaviate/BatchDelete", "\x0d\0\0\0\0\x10\1\x18\2", 9, "weaviate",
		  "BatchDelete", "w", CALL_ERROR, "batch_error" },
		/* status = 1, results = 2 */
		{ MILVUS "Search", "\x0a\0\x12\2hi", 6, "milvus", "Search", "", CALL_OK },
		{ MILVUS "Search", "\x0a\x0b\x08\x01\x12\2no\x18\xcc\x08\x20\x01", 13, "milvus",
		  "Search", "", CALL_ERROR, "milvus_1100" },
		{ MILVUS "Insert", "\x0a\2\x08\x04", 4, "milvus", "Insert", "w", CALL_ERROR,
		  "milvus_4" },
		/* a reply that is a status itself */
		{ MILVUS "CreateCollection", "", 0, "milvus", "CreateCollection", "w", CALL_OK },
		{ MILVUS "CreateCollection", "\x08\x01\x12\2no\x18\x41", 8, "milvus",
		  "CreateCollection", "w", CALL_ERROR, "milvus_65" },
		{ MILVUS "GetVersion", "\x0a\0", 2, "milvus", "GetVersion", "h", CALL_OK },
	};

	TEST("gRPC: methods are operations, a status in the message counts, a message cut does not "
	     "lie");
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		const struct grpc *g = &list[i];
		struct exchange x = { .store = g->store,
			              .op = g->op,
			              .flags = g->flags,
			              .outcome = g->outcome,
			              .kind = g->kind,
			              .request = g->path };
		struct store_request r = { .method = bytes_of("POST"),
			                   .path = bytes_of(g->path),
			                   .host = bytes_of(""),
			                   .system = "",
			                   .grpc = true };

		for (size_t n = 0; n <= g->n; n++) {
			char *p = guarded(g->message, n);

			CHECK(begin(&r));
			store_response_head(store, 200);
			store_grpc_message(store, (struct bytes){ p, n }, n < g->n);
			outcome(200);
			store_response_end(store, true);
			guarded_free(p, n);
			CHECK(n < g->n ? call->status == g->outcome ||
			                         call->status == CALL_UNKNOWN ||
			                         (g->outcome == CALL_ERROR &&
			                          call->status != CALL_OK)
			               : matches(&x));
		}
	}

	TEST("gRPC: a path of nobody's, and names that are none");
	static const char *const paths[] = {
		"/pkg.Service/Method", "/qdrant.Points/",   "Search", "",
		"/qdrant.Points/a b",  "/qdrant.Points/x?y"
	};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct store_request r = { .method = bytes_of("POST"),
			                   .path = bytes_of(paths[i]),
			                   .host = bytes_of(""),
			                   .system = "",
			                   .grpc = true };

		CHECK(!begin(&r));
	}
}

static void test_secrets(void)
{
	static const struct exchange x = { "elasticsearch",
		                           "POST /notes/_bulk",
		                           200,
		                           "{\"errors\":true,\"items\":[{\"index\":{\"error\":{"
		                           "\"type\":\"my secret words\"}}}]}",
		                           "elasticsearch",
		                           "bulk",
		                           "w",
		                           CALL_ERROR,
		                           "bulk_errors" };

	TEST("a message where an identifier belongs is not kept");
	CHECK(gives(&x));
}

int main(void)
{
	test_qdrant();
	test_elasticsearch();
	test_typesense();
	test_meilisearch();
	test_weaviate();
	test_others();
	test_s3();
	test_nobody();
	test_grpc();
	test_secrets();
	if (call)
		end();
	return DONE();
}
