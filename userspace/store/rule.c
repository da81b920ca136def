/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows: what a field of a reply means. A new rule is a line here. */
#include "store/rule.h"

#include <stdio.h>
#include <stdlib.h>

enum test {
	IS_THERE, /* anything but null */
	IS_TRUE,
	IS_FALSE,
	IS_STRING,
	IS_TEXT, /* a string, the row's text */
	IS_NUMBER,
	IS_POSITIVE,
	IS_FAILURE, /* a number other than the 0 and 200 of Milvus' success */
};

enum meaning {
	MEANS_ERROR,    /* it failed */
	MEANS_KIND,     /* an identifier of the error; says nothing unless there is one */
	MEANS_GOOD,     /* of all such rows of a set one each must be seen: then it went well */
	MEANS_EVIDENCE, /* it is a reply of this store */
	MEANS_FORK,     /* of one that speaks like it */
};

static const struct row {
	unsigned rule;
	const char *path; /* as json_at() has it */
	enum test test;
	enum meaning meaning;
	const char *kind; /* of an error */
	const char *text; /* of IS_TEXT */
} rows[] = {
	/* qdrant: lib/api and src/actix/helpers.rs: {"result", "status": "ok" or {"error"}, "time"} */
	{ RULE_QDRANT, "status.error", IS_THERE, MEANS_ERROR, "status_error" },
	{ RULE_QDRANT, "status", IS_STRING, MEANS_GOOD },
	{ RULE_QDRANT, "time", IS_NUMBER, MEANS_EVIDENCE },
	/* elastic.co, REST APIs; OpenSearch has the same */
	{ RULE_ELASTIC, "error.type", IS_STRING, MEANS_KIND },
	{ RULE_ELASTIC, "_shards", IS_THERE, MEANS_EVIDENCE },
	{ RULE_ELASTIC_INFO, "version.distribution", IS_TEXT, MEANS_FORK, NULL, "opensearch" },
	{ RULE_ELASTIC_SEARCH, "timed_out", IS_TRUE, MEANS_ERROR, "timed_out" },
	{ RULE_ELASTIC_SEARCH, "timed_out", IS_FALSE, MEANS_GOOD },
	{ RULE_ELASTIC_SEARCH, "_shards.failed", IS_POSITIVE, MEANS_ERROR, "shards_failed" },
	{ RULE_ELASTIC_SEARCH, "_shards.failed", IS_NUMBER, MEANS_GOOD },
	{ RULE_ELASTIC_SEARCH, "_shards.failures.[].reason.type", IS_STRING, MEANS_KIND },
	{ RULE_ELASTIC_SEARCHES, "responses.[].error", IS_THERE, MEANS_ERROR, "search_error" },
	{ RULE_ELASTIC_SEARCHES, "responses.[].error.type", IS_STRING, MEANS_KIND },
	{ RULE_ELASTIC_SEARCHES, "responses.[].timed_out", IS_TRUE, MEANS_ERROR, "timed_out" },
	{ RULE_ELASTIC_SEARCHES, "responses.[]._shards.failed", IS_POSITIVE, MEANS_ERROR,
	  "shards_failed" },
	{ RULE_ELASTIC_SEARCHES, "responses.[]._shards", IS_THERE, MEANS_EVIDENCE },
	{ RULE_ELASTIC_SEARCHES, "docs.[].error", IS_THERE, MEANS_ERROR, "document_error" },
	{ RULE_ELASTIC_SEARCHES, "docs.[].error.type", IS_STRING, MEANS_KIND },
	{ RULE_ELASTIC_SEARCHES, "docs.[]._index", IS_STRING, MEANS_EVIDENCE },
	{ RULE_ELASTIC_BULK, "errors", IS_TRUE, MEANS_ERROR, "bulk_errors" },
	{ RULE_ELASTIC_BULK, "errors", IS_FALSE, MEANS_GOOD },
	{ RULE_ELASTIC_BULK, "items.[].index.error.type", IS_STRING, MEANS_KIND },
	{ RULE_ELASTIC_BULK, "items.[].create.error.type", IS_STRING, MEANS_KIND },
	{ RULE_ELASTIC_BULK, "items.[].update.error.type", IS_STRING, MEANS_KIND },
	{ RULE_ELASTIC_BULK, "items.[].delete.error.type", IS_STRING, MEANS_KIND },
	{ RULE_ELASTIC_MANY, "failures.[]", IS_THERE, MEANS_ERROR, "failures" },
	{ RULE_ELASTIC_MANY, "failures.[].cause.type", IS_STRING, MEANS_KIND },
	{ RULE_ELASTIC_MANY, "timed_out", IS_TRUE, MEANS_ERROR, "timed_out" },
	{ RULE_ELASTIC_MANY, "version_conflicts", IS_NUMBER, MEANS_EVIDENCE },
	/* typesense.org/docs, documents and federated search */
	{ RULE_TYPESENSE, "search_time_ms", IS_NUMBER, MEANS_EVIDENCE },
	{ RULE_TYPESENSE, "num_documents", IS_NUMBER, MEANS_EVIDENCE },
	{ RULE_TYPESENSE_IMPORT, "success", IS_FALSE, MEANS_ERROR, "import_error" },
	{ RULE_TYPESENSE_IMPORT, "success", IS_THERE, MEANS_EVIDENCE },
	{ RULE_TYPESENSE_SEARCHES, "results.[].error", IS_THERE, MEANS_ERROR, "search_error" },
	{ RULE_TYPESENSE_SEARCHES, "results.[].search_time_ms", IS_NUMBER, MEANS_EVIDENCE },
	/* meilisearch.com/docs/reference */
	{ RULE_MEILISEARCH, "code", IS_STRING, MEANS_KIND },
	{ RULE_MEILISEARCH, "processingTimeMs", IS_NUMBER, MEANS_EVIDENCE },
	{ RULE_MEILISEARCH, "taskUid", IS_NUMBER, MEANS_EVIDENCE },
	{ RULE_MEILISEARCH, "enqueuedAt", IS_STRING, MEANS_EVIDENCE },
	{ RULE_MEILISEARCH, "results.[].processingTimeMs", IS_NUMBER, MEANS_EVIDENCE },
	{ RULE_MEILISEARCH_TASK, "status", IS_TEXT, MEANS_ERROR, "task_failed", "failed" },
	{ RULE_MEILISEARCH_TASK, "status", IS_STRING, MEANS_GOOD },
	{ RULE_MEILISEARCH_TASK, "error.code", IS_STRING, MEANS_KIND },
	/* docs.weaviate.io/weaviate/api */
	{ RULE_WEAVIATE, "lastUpdateTimeUnix", IS_THERE, MEANS_EVIDENCE },
	{ RULE_WEAVIATE, "objects.[].lastUpdateTimeUnix", IS_THERE, MEANS_EVIDENCE },
	{ RULE_WEAVIATE, "invertedIndexConfig", IS_THERE, MEANS_EVIDENCE },
	{ RULE_WEAVIATE, "classes.[].invertedIndexConfig", IS_THERE, MEANS_EVIDENCE },
	{ RULE_WEAVIATE_GRAPHQL, "errors.[]", IS_THERE, MEANS_ERROR, "graphql_error" },
	{ RULE_WEAVIATE_GRAPHQL, "data.Get", IS_THERE, MEANS_EVIDENCE },
	{ RULE_WEAVIATE_GRAPHQL, "data.Aggregate", IS_THERE, MEANS_EVIDENCE },
	{ RULE_WEAVIATE_BATCH, "[].result.status", IS_TEXT, MEANS_ERROR, "batch_error", "FAILED" },
	{ RULE_WEAVIATE_BATCH, "[].result.errors.error.[]", IS_THERE, MEANS_ERROR, "batch_error" },
	{ RULE_WEAVIATE_BATCH, "results.failed", IS_POSITIVE, MEANS_ERROR, "batch_error" },
	/* milvus.io/api-reference/restful: code, message, data */
	{ RULE_MILVUS, "code", IS_FAILURE, MEANS_ERROR, "milvus" },
	{ RULE_MILVUS, "code", IS_NUMBER, MEANS_GOOD },
	/* docs.trychroma.com/reference: error names its class */
	{ RULE_CHROMA, "error", IS_STRING, MEANS_KIND },
	{ RULE_CHROMA, "ids", IS_THERE, MEANS_EVIDENCE },
	{ RULE_CHROMA, "configuration_json", IS_THERE, MEANS_EVIDENCE },
	/* neo4j.com/docs/http-api: results and errors, with status 200 to the last */
	{ RULE_NEO4J, "errors.[]", IS_THERE, MEANS_ERROR, "query_error" },
	{ RULE_NEO4J, "errors.[].code", IS_STRING, MEANS_KIND },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))
_Static_assert(ROWS <= 64, "struct verdict.seen has a bit for each");

static bool is_identifier(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++) {
		char c = b.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    c != '.' && c != ':' && c != '_' && c != '-')
			return false;
	}
	return b.n > 0 && b.n < VERDICT_KIND_MAX;
}

void verdict_kind(struct verdict *v, struct bytes kind)
{
	if (v->own_kind || !is_identifier(kind))
		return;
	snprintf(v->kind, sizeof(v->kind), "%.*s", (int)kind.n, kind.p);
	v->own_kind = true;
}

void verdict_error(struct verdict *v, const char *kind)
{
	v->error = true;
	if (!v->kind[0])
		snprintf(v->kind, sizeof(v->kind), "%s", kind);
}

bool verdict_good(const struct verdict *v)
{
	bool any = false;

	if (v->error)
		return false;
	for (size_t i = 0; i < ROWS; i++) {
		if (rows[i].meaning != MEANS_GOOD || !(rows[i].rule & v->rules))
			continue;
		any = true;
		if (!(v->seen & 1ull << i))
			return false;
	}
	/* what has no such rows is known to be good at its end */
	return any;
}

/* Is path that of the row, or with more to come its beginning? */
static bool row_has(const struct row *r, const struct bytes *path, size_t n, bool more)
{
	struct bytes rest = bytes_of(r->path);
	size_t k = 0;

	for (; rest.n && k < n; k++) {
		struct bytes part = bytes_to(&rest, '.');

		if (bytes_equal(part, "[]") != !path[k].p)
			return false;
		if (path[k].p && (part.n != path[k].n || memcmp(part.p, path[k].p, part.n) != 0))
			return false;
	}
	return k == n && (more || !rest.n);
}

bool rule_path_known(unsigned rules, const struct bytes *path, size_t n)
{
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].rule & rules && row_has(&rows[i], path, n, true))
			return true;
	return false;
}

bool rule_string_known(unsigned rules, const struct bytes *path, size_t n, struct bytes text)
{
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].rule & rules && row_has(&rows[i], path, n, false) &&
		    (rows[i].test == IS_STRING || rows[i].test == IS_TEXT))
			return is_identifier(text);
	return false;
}

static bool test_is(const struct row *r, const struct json_token *t)
{
	bool number = t->kind == JSON_NUMBER && t->text.n;

	switch (r->test) {
	case IS_THERE:
		return t->kind != JSON_NULL;
	case IS_TRUE:
		return t->kind == JSON_TRUE;
	case IS_FALSE:
		return t->kind == JSON_FALSE;
	case IS_STRING:
		return t->kind == JSON_STRING;
	case IS_TEXT:
		return t->kind == JSON_STRING && bytes_equal(t->text, r->text);
	case IS_NUMBER:
		return number;
	case IS_POSITIVE:
		return number && atof(t->text.p) > 0;
	case IS_FAILURE:
		return number && atof(t->text.p) != 0 && atof(t->text.p) != 200;
	}
	return false;
}

static void take(struct verdict *v, const struct row *r, const struct json_token *t)
{
	char kind[VERDICT_KIND_MAX];

	switch (r->meaning) {
	case MEANS_ERROR:
		snprintf(kind, sizeof(kind), "%s", r->kind);
		if (r->test == IS_FAILURE)
			snprintf(kind, sizeof(kind), "%s_%d", r->kind, atoi(t->text.p));
		verdict_error(v, kind);
		break;
	case MEANS_KIND:
		verdict_kind(v, t->text);
		break;
	case MEANS_GOOD:
		v->seen |= 1ull << (r - rows);
		break;
	case MEANS_EVIDENCE:
		v->evidence = true;
		break;
	case MEANS_FORK:
		v->fork = true;
		break;
	}
}

static void value(struct verdict *v, const struct json_scan *s, const struct json_token *t)
{
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].rule & v->rules && test_is(&rows[i], t) && json_at(s, 0, rows[i].path))
			take(v, &rows[i], t);
}

/* A string is looked at when it is complete, as far as it is kept: what is longer is no identifier. */
static void string(struct verdict *v, const struct json_scan *s, const struct json_token *t)
{
	struct json_token whole = { JSON_STRING, true, true, { v->text, 0 } };
	size_t room = sizeof(v->text), n = t->text.n;

	if (t->first)
		v->ntext = 0;
	if (n > room - v->ntext)
		n = room - v->ntext;
	if (n)
		memcpy(v->text + v->ntext, t->text.p, n);
	v->ntext += n;
	if (!t->last)
		return;
	whole.text.n = v->ntext;
	value(v, s, &whole);
}

void verdict_token(struct verdict *v, const struct json_scan *s, const struct json_token *t)
{
	if (t->kind == JSON_STRING)
		string(v, s, t);
	/* vectors, which are most of a reply, are passed over */
	else if (json_begins(t) &&
	         !(t->kind == JSON_NUMBER && s->depth && json_in_array(s, s->depth - 1)))
		value(v, s, t);
}
