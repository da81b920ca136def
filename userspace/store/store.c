/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose request it is follows from what is known of the endpoint, from the request, or from the reply, in this order.
 * Until the reply tells, those that have such a path are candidates, and each judges it by its own rules.
 */
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/protobuf.h"
#include "store/route.h"
#include "store/xml.h"

/* Stores that share a path: no path has more. */
#define CANDIDATES_MAX 4

struct candidate {
	const struct route *route;
	struct verdict verdict;
};

struct store {
	struct call *call;
	bool named; /* whose it is is known: candidate[0]'s */
	struct candidate candidates[CANDIDATES_MAX];
	unsigned n;
	char op[CALL_OP_MAX]; /* gRPC: the method */
	int status;           /* of the reply, 0 not yet */
	bool any;             /* its body has bytes */
	bool lost;            /* some were not seen */
	bool messages_good;   /* gRPC: a message was read that tells that all is well */
	bool in_line;         /* RULES_LINES: a document has begun */
	bool line_lost;       /* ... nothing is read until the next line begins */
	bool opensearch;      /* what would be Elasticsearch is its fork */
	struct json_scan json;
	struct xml xml;
};

/* Nothing more of the body can change what is known. */
static bool settled(const struct store *s)
{
	const struct verdict *v = &s->candidates[0].verdict;

	if (!s->named || s->status >= 300)
		return false;
	return !(v->rules & (RULES_HIDDEN | RULE_ELASTIC_INFO)) || verdict_good(v);
}

static void see(void *ctx, const struct json_scan *j, const struct json_token *t)
{
	struct store *s = ctx;

	/* the same whatever the pieces: those behind it are not read at all */
	if (settled(s))
		return;
	for (unsigned i = 0; i < s->n; i++)
		verdict_token(&s->candidates[i].verdict, j, t);
}

/* ---- whose request it is ---- */

static void candidate_add(struct store *s, const struct route *route)
{
	if (route && s->n < CANDIDATES_MAX)
		s->candidates[s->n++] =
			(struct candidate){ .route = route, .verdict = { .rules = route->rules } };
}

static void name_call(struct store *s)
{
	const struct route *r = s->candidates[0].route;
	struct call *c = s->call;

	s->named = true;
	snprintf(c->op, sizeof(c->op), "%s", s->op[0] ? s->op : r->op);
	snprintf(c->store, sizeof(c->store), "%s",
	         store_names[s->opensearch ? STORE_OPENSEARCH : r->system]);
	c->op_known = !(r->flags & ROUTE_EITHER);
	c->write = r->flags & ROUTE_WRITE;
	c->blocks |= (r->flags & ROUTE_BLOCKS) != 0;
	if (r->flags & ROUTE_HEALTH)
		c->class = CALL_HEARTBEAT;
}

/* It is candidate i's. */
static void choose(struct store *s, unsigned i)
{
	s->candidates[0] = s->candidates[i];
	s->n = 1;
	name_call(s);
}

/* What the request alone proves. */
static enum store_system system_of(const struct store_request *r)
{
	if (route_s3_signed(r))
		return STORE_S3;
	if (r->typesense_key)
		return STORE_TYPESENSE;
	return store_by_name(r->system);
}

static void find_routes(struct store *s, const struct store_request *r)
{
	enum store_system known = system_of(r);
	const struct route *route;

	s->opensearch = known == STORE_OPENSEARCH;
	if (s->opensearch && !route_find(known, r))
		known = STORE_ELASTICSEARCH; /* the same paths */
	if (known < STORE_SYSTEMS)
		candidate_add(s, route_find(known, r));
	if (s->n) {
		name_call(s);
		return;
	}
	s->opensearch = false;
	for (int i = 0; i < STORE_SYSTEMS; i++) {
		if (i == STORE_S3) /* any path is one of its */
			continue;
		route = route_find((enum store_system)i, r);
		/* whoever answers can tell, but that somebody is well */
		if (!route || route->flags & ROUTE_KNOWN ||
		    (route->flags & ROUTE_HEALTH && !(route->flags & ROUTE_SURE)))
			continue;
		candidate_add(s, route);
		if (!(route->flags & ROUTE_SURE))
			continue;
		choose(s, s->n - 1);
		return;
	}
}

struct store *store_new(struct call *c, const struct store_request *r)
{
	struct store *s = calloc(1, sizeof(*s));
	const struct route *route;

	if (!s)
		return NULL;
	s->call = c;
	if (r->grpc) {
		route = route_grpc(r->path, s->op);
		candidate_add(s, route);
		if (route)
			name_call(s);
	} else {
		find_routes(s, r);
	}
	if (!s->n) {
		free(s);
		return NULL;
	}
	json_init(&s->json, see, s);
	return s;
}

void store_free(struct store *s)
{
	free(s);
}

/* ---- the reply ---- */

void store_response_head(struct store *s, int status)
{
	s->status = status;
}

/* Elasticsearch says so from version 7.14 on. */
void store_response_field(struct store *s, struct bytes name, struct bytes value)
{
	if (name.n != strlen("x-elastic-product") ||
	    strncasecmp(name.p, "x-elastic-product", name.n) != 0 ||
	    !bytes_equal(value, "Elasticsearch"))
		return;
	for (unsigned i = 0; i < s->n && !s->named; i++)
		if (s->candidates[i].route->system == STORE_ELASTICSEARCH)
			choose(s, i);
}

bool store_known(const struct store *s)
{
	return s->named;
}

bool store_reads(const struct store *s)
{
	return !settled(s);
}

/* A line is lost: it, and what follows up to the next one, is not read. */
static void line_lost(struct store *s)
{
	s->lost = true;
	s->in_line = false;
	s->line_lost = true;
}

/* The rest of b from where a document begins; empty when none does. */
static struct bytes line_find(struct store *s, struct bytes b)
{
	if (s->line_lost) {
		const char *end = memchr(b.p, '\n', b.n);

		b = bytes_from(b, end ? (size_t)(end - b.p) + 1 : b.n);
		s->line_lost = !end;
	}
	while (b.n && (b.p[0] == '\n' || b.p[0] == '\r' || b.p[0] == ' '))
		b = bytes_from(b, 1);
	return b;
}

/* One document after the other. */
static void feed_lines(struct store *s, struct bytes b)
{
	while (b.n) {
		if (!s->in_line) {
			b = line_find(s, b);
			if (!b.n)
				return;
			json_init(&s->json, see, s);
			s->in_line = true;
		}
		b = bytes_from(b, json_feed(&s->json, b));
		if (s->json.state == JSON_BAD)
			line_lost(s);
		else if (s->json.state == JSON_DONE)
			s->in_line = false;
	}
}

static bool has_lines(const struct store *s)
{
	return s->candidates[0].verdict.rules & RULES_LINES && s->status < 300;
}

void store_response_body(struct store *s, struct bytes b)
{
	struct verdict *v = &s->candidates[0].verdict;

	s->any |= b.n > 0;
	if (!b.n || settled(s))
		return;
	if (v->rules & RULES_XML)
		xml_feed(&s->xml, b, v);
	else if (has_lines(s))
		feed_lines(s, b);
	else
		json_feed(&s->json, b);
}

void store_response_gap(struct store *s, uint64_t n)
{
	if (!n || settled(s))
		return;
	s->lost = true;
	line_lost(s);
	json_gap(&s->json);
	xml_gap(&s->xml);
}

/* ---- gRPC ---- */

/* milvus-proto's common.Status: error_code = 1 (old), reason = 2, code = 3; 0 is success in both. */
static void read_status(struct verdict *v, struct bytes message)
{
	struct protobuf_field f;
	int64_t old = 0, code = 0;
	char kind[VERDICT_KIND_MAX];

	while (protobuf_next(&message, &f)) {
		if (f.number == 1 && f.type == PROTOBUF_VARINT)
			old = protobuf_int(&f);
		if (f.number == 3 && f.type == PROTOBUF_VARINT)
			code = protobuf_int(&f);
	}
	if (!old && !code)
		return;
	snprintf(kind, sizeof(kind), "milvus_%lld", (long long)(code ? code : old));
	verdict_error(v, kind);
}

/* Field 1 of a reply is its status; or the reply is one itself, whose field 1 is a number. True: the message tells. */
static bool milvus_message(struct verdict *v, struct bytes message, bool cut)
{
	struct bytes rest = message;
	struct protobuf_field f;

	while (protobuf_next(&rest, &f)) {
		if (f.number != 1)
			continue;
		if (f.type == PROTOBUF_BYTES)
			read_status(v, f.bytes);
		else
			read_status(v, message);
		return !f.cut;
	}
	read_status(v, message);
	return !cut && !rest.n;
}

/* weaviate's batch.proto: BatchObjectsReply has its errors in field 2, BatchDeleteReply how many failed. */
static bool weaviate_message(struct verdict *v, struct bytes message, bool cut)
{
	struct protobuf_field f;

	while (protobuf_next(&message, &f))
		if (f.number == 2 && (f.type == PROTOBUF_BYTES || protobuf_int(&f) > 0))
			verdict_error(v, "batch_error");
	return !cut && !message.n;
}

void store_grpc_message(struct store *s, struct bytes message, bool cut)
{
	struct verdict *v = &s->candidates[0].verdict;
	bool tells = true;

	s->any = true;
	if (v->rules & RULE_MILVUS_GRPC)
		tells = milvus_message(v, message, cut);
	else if (v->rules & RULE_WEAVIATE_GRPC)
		tells = weaviate_message(v, message, cut);
	s->lost |= !tells;
	s->messages_good = !s->lost;
}

/* ---- the outcome ---- */

/* The reply tells whose it is: exactly one of the candidates sees its own. */
static void choose_by_reply(struct store *s)
{
	unsigned found = 0, which = 0;

	for (unsigned i = 0; i < s->n; i++) {
		if (!s->candidates[i].verdict.evidence)
			continue;
		found++;
		which = i;
	}
	if (found == 1)
		choose(s, which);
}

/* All of the body that matters was seen. */
static bool whole(const struct store *s)
{
	unsigned rules = s->candidates[0].verdict.rules;

	if (!s->any)
		return !s->lost; /* a reply to HEAD, 204 */
	if (rules & (RULE_MILVUS_GRPC | RULE_WEAVIATE_GRPC))
		return s->messages_good;
	if (rules & RULES_XML)
		return s->xml.done && s->xml.result;
	if (has_lines(s))
		return !s->lost && !s->in_line;
	return s->json.state == JSON_DONE;
}

static void tell_kind(const struct store *s, bool ours)
{
	const struct verdict *v = &s->candidates[0].verdict;

	if (v->kind[0] && (v->own_kind || ours))
		snprintf(s->call->error_kind, sizeof(s->call->error_kind), "%s", v->kind);
	/* docs.aws.amazon.com/AmazonS3, Error Responses: with status 503 */
	if (strcmp(s->call->error_kind, "SlowDown") == 0)
		s->call->status = CALL_RATE_LIMITED;
}

/* The HTTP status is a success. */
static void judge_success(struct store *s, bool complete)
{
	const struct verdict *v = &s->candidates[0].verdict;
	struct call *c = s->call;

	if (v->error) {
		c->status = CALL_ERROR;
		tell_kind(s, true);
	} else if (c->status == CALL_OK && v->rules & RULES_HIDDEN && !verdict_good(v) &&
	           !(complete && whole(s))) {
		c->status = CALL_UNKNOWN;
	}
}

void store_response_end(struct store *s, bool complete)
{
	const struct candidate *k = &s->candidates[0];
	struct call *c = s->call;

	if (!s->named)
		choose_by_reply(s);
	if (!s->named || !s->status)
		return;
	if (k->verdict.fork && k->route->system == STORE_ELASTICSEARCH)
		snprintf(c->store, sizeof(c->store), "%s", store_names[STORE_OPENSEARCH]);
	if (s->status < 300)
		judge_success(s, complete);
	else if (s->status == 404 && k->route->flags & ROUTE_MISS && !k->verdict.own_kind &&
	         complete && whole(s))
		c->status = CALL_OK, c->error_kind[0] = '\0';
	else if (s->status >= 400)
		tell_kind(s, false);
}
