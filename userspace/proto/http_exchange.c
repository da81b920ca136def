/* SPDX-License-Identifier: BSD-2-Clause */
/* Names, times and outcome of a call over HTTP, and its readers. */
#include "proto/http_exchange.h"

#include <stdio.h>
#include <stdlib.h>

#include "event.h"
#include "llm/llm.h"
#include "proto/grpc.h"
#include "proto/http1_line.h"
#include "proto/http_fields.h"
#include "proto/http_said.h"
#include "proto/websocket.h"
#include "store/store.h"

struct http_exchange {
	struct call_sink *sink;
	struct call *call;          /* NULL: the sink had none to give */
	struct llm *llm;            /* reads the bodies; NULL: not an LLM exchange */
	struct store *store;        /* reads the reply; NULL: not one with a store, or served */
	struct http_fields *fields; /* reads an inbound request while it comes, else NULL */
	bool sent;                  /* the request is complete */
	bool llm_socket;            /* a WebSocket at this path is an LLM's */
	bool unnamed; /* its path was not seen: the body may tell, by its first bytes ... */
	uint8_t nlook, look[GRPC_PREFIX];
	uint32_t frame;  /* ... and how many of them were sent at first */
	struct rpc *rpc; /* it is a call of gRPC, NULL not */
};

/* What gRPC adds to an exchange. */
struct rpc {
	struct grpc_messages messages[2]; /* by enum event_dir */
	bool unnamed;                     /* its path was not seen */
	bool answered;                    /* a whole message of the reply came */
	bool told;                        /* how it went is known: */
	enum call_status status;
	const char *kind;
};

struct http_exchange *http_exchange_new(struct call_sink *sink, const char *proto,
                                        const struct stamp *first)
{
	struct http_exchange *x = calloc(1, sizeof(*x));
	uint64_t start_ns;
	struct call *c;

	if (!x)
		return NULL;
	c = sink->open(sink, first);
	x->sink = sink;
	x->call = c;
	if (!c)
		return x;
	c->proto = proto;
	/* who serves had been waiting in its read: a request to it begins when that returns */
	start_ns = c->inbound ? first->end_ns : first->start_ns;
	if (!c->start_ns)
		c->start_ns = start_ns;
	c->request_ns = start_ns;
	c->pid = first->pid;
	c->tid = first->tid;
	c->task = first->task;
	if (c->inbound)
		x->fields = http_fields_new();
	return x;
}

struct http_exchange *http_exchange_late(struct call_sink *sink, const char *proto,
                                         struct call *seeded, enum partial why,
                                         const struct stamp *at)
{
	struct http_exchange *x;

	if (!seeded) {
		x = http_exchange_new(sink, proto, at);
	} else {
		x = calloc(1, sizeof(*x));
		if (!x)
			return NULL;
		*x = (struct http_exchange){ .sink = sink, .call = seeded };
		seeded->proto = proto;
		/* whichever call's bytes came until now */
		seeded->first_byte_ns = seeded->last_byte_ns = 0;
		seeded->bytes_in = 0;
	}
	if (x && x->call) {
		x->call->at_least = true;
		call_partial(x->call, why);
	}
	return x;
}

void http_exchange_proto(struct http_exchange *x, const char *proto)
{
	if (x->call)
		x->call->proto = proto;
}

void http_exchange_stream(struct http_exchange *x, uint32_t stream)
{
	if (x->call)
		x->call->stream = stream;
}

void http_exchange_head(struct http_exchange *x, struct http_head *h)
{
	h->also = x->fields;
}

/* ---- the request ---- */

/* Copies what can be shown; the result is NUL-terminated. */
static void copy_shown(char *to, size_t room, struct bytes b)
{
	size_t n = b.n < room ? b.n : room - 1;

	for (size_t i = 0; i < n; i++)
		to[i] = b.p[i] > ' ' && b.p[i] < 0x7f ? b.p[i] : '?';
	to[n] = '\0';
}

/* Splits the request target (RFC 9112, 3.2): a proxy's is absolute and its authority outranks
 * the Host field; CONNECT's is an authority alone. User and password stay behind. */
static void split_target(struct bytes url, bool connect, struct bytes *host, struct bytes *path)
{
	size_t n = http1_scheme(url);
	const char *at;

	*path = http1_until(url, "?#");
	if (!connect && !n)
		return;
	*host = http1_until(bytes_from(url, n), "/?#");
	*path = http1_until(bytes_from(url, n + host->n), "?#");
	at = memrchr(host->p, '@', host->n);
	if (at)
		*host = bytes_from(*host, (size_t)(at - host->p) + 1);
	if (!path->n && !connect)
		*path = bytes_of("/");
}

static int retry_count(const struct http_head *h)
{
	double n = http_head_number(h, FIELD_RETRY_COUNT);

	return n >= 0 && n <= 1e6 ? (int)n : -1;
}

static bool method_writes(struct bytes method)
{
	return !bytes_equal(method, "GET") && !bytes_equal(method, "HEAD") &&
	       !bytes_equal(method, "OPTIONS");
}

/* No memory: it is read as any other request. */
static void rpc_begin(struct http_exchange *x, const struct http_head *h, struct bytes path)
{
	struct call *c = x->call;
	bool watch;

	x->rpc = calloc(1, sizeof(*x->rpc));
	if (!x->rpc)
		return;
	x->rpc->messages[DIR_OUT].coding = decode_coding(http_head_field(h, FIELD_GRPC_ENCODING));
	x->rpc->unnamed = !path.n;
	if (!path.n)
		return;
	grpc_op(c->op, path);
	if (!grpc_is_health_check(path, &watch))
		return;
	c->class = CALL_HEARTBEAT;
	c->blocks = watch;
}

static void rpc_free(struct rpc *r)
{
	if (!r)
		return;
	grpc_free(&r->messages[0]);
	grpc_free(&r->messages[1]);
	free(r);
}

/* Who came late may not be able to read the content type; then a path like "/package.Service/Method" tells. */
static bool is_rpc(const struct call *c, const struct http_head *h, struct bytes path)
{
	struct bytes type = http_head_field(h, FIELD_TYPE);

	return type.n ? grpc_content_type(type) : c->stream && grpc_is_path(path);
}

/* path: where it stands in the target, behind which its query is. Of a cut target the path must be whole. */
static struct store *store_open(struct call *c, const struct http_head *h, struct bytes method,
                                struct bytes target, struct bytes path, bool cut, bool rpc)
{
	bool inside = path.p >= target.p && path.p <= target.p + target.n;
	struct bytes whole = inside ? bytes_from(target, (size_t)(path.p - target.p)) : path;
	struct store_request r = {
		.method = method,
		.path = http1_until(whole, "#"),
		.host = bytes_of(c->host),
		.system = c->store,
		.grpc = rpc,
		.typesense_key = http_head_field(h, FIELD_TYPESENSE_KEY).n > 0,
		.copy_source = http_head_field(h, FIELD_COPY_SOURCE).n > 0,
		.authorization = http_head_field(h, FIELD_AUTHORIZATION),
	};

	if (c->inbound || (cut && !memchr(r.path.p, '?', r.path.n)))
		return NULL;
	return store_new(c, &r);
}

void http_exchange_request(struct http_exchange *x, const struct http_head *h, struct bytes method,
                           struct bytes target, struct bytes authority, bool cut)
{
	struct bytes host = authority.n ? authority : http_head_field(h, FIELD_HOST), path;
	struct call *c = x->call;
	char op[CALL_OP_MAX];

	if (!c)
		return;
	split_target(target, bytes_equal(method, "CONNECT"), &host, &path);
	copy_shown(c->host, sizeof(c->host), host);
	copy_shown(op, sizeof(op), path);
	if (target.n)
		snprintf(c->op, sizeof(c->op), "%.*s%s%s", (int)(method.n < 24 ? method.n : 24),
		         method.n ? method.p : "", path.n ? " " : "", path.n ? op : "");
	memcpy(c->request, c->op, sizeof(c->request));
	c->op_known = method.n && target.n;
	c->write = method.n && method_writes(method);
	c->retry_count = retry_count(h);
	c->limit_s = grpc_timeout_s(http_head_field(h, FIELD_GRPC_TIMEOUT));
	c->limit = c->limit_s >= 0 ? LIMIT_CALL : LIMIT_UNSAID;
	if (is_rpc(c, h, path))
		rpc_begin(x, h, path);
	x->llm_socket = llm_socket(path);
	x->unnamed = !target.n && c->stream && (!method.n || bytes_equal(method, "POST"));
	if (x->unnamed && !x->rpc)
		x->llm = llm_new_unnamed(c, bytes_of(c->host));
	else if (!cut)
		x->llm = llm_new(c, method, path, bytes_of(c->host));
	if (x->llm && c->llm)
		http_said_request(h, c);
	if (!x->llm && target.n)
		x->store = store_open(c, h, method, target, path, cut, x->rpc);
}

/* The request is as complete as it will get. */
static void request_end(struct http_exchange *x, bool cut)
{
	if (x->fields)
		x->call->fields = http_fields_end(x->fields, cut);
	http_fields_free(x->fields);
	x->fields = NULL;
	if (!x->llm || llm_request_end(x->llm))
		return;
	llm_free(x->llm);
	x->llm = NULL;
}

void http_exchange_sent(struct http_exchange *x, const struct stamp *at)
{
	x->sent = true;
	request_end(x, false);
	if (!x->call)
		return;
	x->call->sent_ns = at->end_ns;
	x->sink->sent(x->sink, x->call);
}

void http_exchange_request_cut(struct http_exchange *x)
{
	http_exchange_body_gap(x, DIR_OUT, GAP_UNKNOWN);
}

/* ---- the reply ---- */

bool http_exchange_interim(unsigned int status)
{
	return status / 100 == 1 && status != 101;
}

void http_exchange_reply_began(struct http_exchange *x, unsigned int status,
                               const struct stamp *first)
{
	struct call *c = x->call;

	if (http_exchange_interim(status) || !c)
		return;
	c->http_status = (int)status;
	if (c->first_byte_ns)
		return;
	c->first_byte_ns = first->end_ns;
	c->reply_tid = first->tid;
	c->reply_task = first->task;
}

static void llm_head(struct http_exchange *x, const struct http_head *h, unsigned int status)
{
	/* ThrottlingException:http://internal.amazon.com/... */
	struct bytes error = http1_until(http_head_field(h, FIELD_AWS_ERROR), ":");
	int64_t in, out;

	if (x->call->llm)
		http_said_reply(h, x->call->llm);
	llm_response_head(x->llm, (int)status, http_head_field(h, FIELD_TYPE));
	http_said_tokens(h, &in, &out);
	llm_response_metered(x->llm, in, out);
	llm_response_error(x->llm, error);
}

/* Where gRPC has nothing to reply, the outcome is in the head and there are no trailers. */
static void rpc_status(struct http_exchange *x, const struct http_head *h)
{
	struct rpc *r = x->rpc;
	enum call_status status;
	const char *kind;

	if (!r || !grpc_outcome(http_head_field(h, FIELD_GRPC_STATUS), &status, &kind))
		return;
	r->told = true;
	r->status = status;
	r->kind = kind;
}

void http_exchange_trailers(struct http_exchange *x, const struct http_head *h,
                            unsigned int unknown)
{
	struct rpc *r = x->rpc;

	if (!r)
		return;
	rpc_status(x, h);
	/* One field that we came too late to read: of a failure there would be a second one, its message. */
	if (!r->told && r->answered && unknown == 1) {
		r->told = true;
		r->status = CALL_OK;
		r->kind = "";
	}
}

void http_exchange_reply(struct http_exchange *x, const struct http_head *h, unsigned int status)
{
	if (!x->call)
		return;
	x->call->retry_after_s = http_said_retry_after(h);
	if (x->rpc)
		x->rpc->messages[DIR_IN].coding =
			decode_coding(http_head_field(h, FIELD_GRPC_ENCODING));
	rpc_status(x, h);
	if (x->llm)
		llm_head(x, h, status);
	if (!x->store)
		return;
	store_response_head(x->store, (int)status);
	store_response_field(x->store, bytes_of("x-elastic-product"),
	                     http_head_field(h, FIELD_ELASTIC_PRODUCT));
}

void http_exchange_socket(const struct http_exchange *x, struct websocket_name *ret)
{
	const struct call *c = x->call;
	const char *path = c ? strchr(c->op, ' ') : NULL;

	snprintf(ret->host, sizeof(ret->host), "%s", c ? c->host : "");
	snprintf(ret->op, sizeof(ret->op), "WEBSOCKET%.*s", (int)(sizeof(ret->op) - 10),
	         path ? path : "");
	ret->llm = x->llm_socket;
}

/* ---- bytes ---- */

void http_exchange_count_out(struct http_exchange *x, uint64_t total)
{
	if (x->call)
		x->call->bytes_out = total;
}

void http_exchange_count_in(struct http_exchange *x, uint64_t n, const struct stamp *at)
{
	if (!x->call)
		return;
	x->call->bytes_in += n;
	if (x->call->first_byte_ns)
		x->call->last_byte_ns = at->end_ns;
}

bool http_exchange_is_read(const struct http_exchange *x, int dir)
{
	if (dir == DIR_IN && x->store && !x->rpc)
		return store_reads(x->store);
	return x->llm || x->rpc || x->unnamed || (x->fields && dir == DIR_OUT);
}

static void body(struct http_exchange *x, int dir, struct bytes b, uint64_t ts_ns)
{
	if (x->rpc)
		grpc_feed(&x->rpc->messages[dir == DIR_OUT], x, dir, b, ts_ns);
	else if (dir == DIR_IN && x->store)
		store_response_body(x->store, b);
	else if (x->llm && dir == DIR_OUT)
		llm_request_body(x->llm, b);
	else if (x->llm)
		llm_response_body(x->llm, b, ts_ns);
}

static void rpc_found(struct http_exchange *x)
{
	llm_free(x->llm);
	x->llm = NULL;
	llm_call_free(x->call->llm);
	x->call->llm = NULL;
	x->rpc = calloc(1, sizeof(*x->rpc));
	if (x->rpc)
		x->rpc->unnamed = true;
}

/* Neither path nor content type could be read: does the body begin with a message of gRPC? Returns what follows the bytes that
 * tell. */
static struct bytes rpc_look(struct http_exchange *x, struct bytes b, uint64_t ts_ns)
{
	struct bytes head = { (const char *)x->look, GRPC_PREFIX };

	while (x->nlook < GRPC_PREFIX && b.n) {
		x->look[x->nlook++] = (uint8_t)b.p[0];
		b = bytes_from(b, 1);
	}
	if (x->nlook < GRPC_PREFIX)
		return b;
	x->unnamed = false;
	if (grpc_fills(head, x->frame))
		rpc_found(x);
	body(x, DIR_OUT, head, ts_ns);
	return b;
}

void http_exchange_frame(struct http_exchange *x, uint32_t n)
{
	if (!x->frame)
		x->frame = n;
}

void http_exchange_body(struct http_exchange *x, int dir, struct bytes b, uint64_t ts_ns)
{
	if (dir == DIR_OUT && x->fields)
		http_fields_body(x->fields, b);
	if (x->unnamed && !x->rpc && dir == DIR_OUT)
		b = rpc_look(x, b, ts_ns);
	if (b.n)
		body(x, dir, b, ts_ns);
}

void http_exchange_body_gap(struct http_exchange *x, int dir, uint64_t n)
{
	if (dir == DIR_OUT && x->fields)
		http_fields_gap(x->fields);
	if (x->rpc) {
		grpc_gap(&x->rpc->messages[dir == DIR_OUT], x, dir, n, 0);
		return;
	}
	if (dir == DIR_IN && x->store)
		store_response_gap(x->store, n);
	if (!x->llm)
		return;
	if (dir == DIR_OUT)
		llm_request_gap(x->llm, n);
	else
		llm_response_gap(x->llm, n);
}

/* Of what is read for its turn alone, or only to learn who answers, a missing part changes no time and no outcome. */
void http_exchange_partial(struct http_exchange *x, enum partial why)
{
	if ((x->llm && llm_sure(x->llm)) || (x->store && store_known(x->store)))
		call_partial(x->call, why);
}

void http_exchange_grpc_message(struct http_exchange *x, int dir, struct bytes message, bool cut,
                                uint64_t ts_ns)
{
	if (dir == DIR_IN && !cut)
		x->rpc->answered = true;
	if (x->rpc->unnamed && dir == DIR_OUT && !cut && !x->llm)
		x->llm = llm_new_grpc_unnamed(x->call, message);
	if (x->store && dir == DIR_IN)
		store_grpc_message(x->store, message, cut);
	if (x->llm)
		llm_grpc_message(x->llm, dir == DIR_OUT, message, cut, ts_ns);
}

bool http_exchange_overdue(const struct http_exchange *x, const struct stamp *at)
{
	const struct call *c = x->call;

	/* the client counts from before it wrote the header, which says no more than whole units */
	return c && c->limit == LIMIT_CALL && !c->at_least && at->end_ns > c->start_ns &&
	       (double)(at->end_ns - c->start_ns) / 1e9 >= c->limit_s * 0.98;
}

void http_exchange_unseen(struct http_exchange *x, enum partial why)
{
	if (x->call)
		call_partial(x->call, why);
}

/* ---- the end ---- */

/* HTTP's own status is 200 whatever became of the call. */
static void rpc_outcome(const struct rpc *r, struct call *c)
{
	if (r->told) {
		c->status = r->status;
		snprintf(c->error_kind, sizeof(c->error_kind), "%s", r->kind);
	} else if (c->status == CALL_OK) { /* where it stands was not seen */
		c->status = CALL_UNKNOWN;
	}
}

/* The outcome as far as the peer told it. */
static void outcome(const struct http_exchange *x, struct call *c, enum call_status status,
                    const char *kind)
{
	int http = c->http_status;

	c->status = status;
	snprintf(c->error_kind, sizeof(c->error_kind), "%s", kind);
	if (http < 400 && x->rpc)
		rpc_outcome(x->rpc, c);
	if (http < 400)
		return;
	c->status = http == 429 ? CALL_RATE_LIMITED : CALL_ERROR;
	snprintf(c->error_kind, sizeof(c->error_kind), "http_%d", http);
}

void http_exchange_end(struct http_exchange *x, enum call_status status, const char *kind,
                       bool complete, const struct stamp *at)
{
	struct call_sink *sink = x->sink;
	struct call *c = x->call;

	if (!c) {
		rpc_free(x->rpc);
		free(x);
		return;
	}
	outcome(x, c, status, kind);
	if (x->llm && !x->sent)
		llm_request_gap(x->llm, GAP_UNKNOWN);
	if (!x->sent)
		request_end(x, true);
	if (x->llm)
		llm_response_end(x->llm, complete);
	if (x->store)
		store_response_end(x->store, complete);
	llm_free(x->llm);
	store_free(x->store);
	/* clients hang up once the stream says it is complete, before the last chunk's zero */
	if (c->llm && c->llm->finished && (c->status == CALL_ABORTED || c->status == CALL_UNKNOWN))
		c->status = CALL_OK;
	if (c->status == CALL_OK)
		c->error_kind[0] = '\0';
	c->end_ns = at->end_ns;
	rpc_free(x->rpc);
	free(x);
	sink->done(sink, c);
}

enum call_status http_exchange_ending(enum done_why why, const char **kind)
{
	static const struct {
		enum call_status status;
		const char *kind;
	} ends[] = {
		[DONE_PEER_CLOSED] = { CALL_ABORTED, "connection_closed" },
		[DONE_CLOSED] = { CALL_ABORTED, "client_closed" },
		[DONE_TIMED_OUT] = { CALL_TIMEOUT, "timeout" },
		[DONE_RESET] = { CALL_ABORTED, "connection_reset" },
		[DONE_DETACHED] = { CALL_UNKNOWN, "" },
		[DONE_SWITCHED] = { CALL_UNKNOWN, "" },
	};

	*kind = ends[why].kind;
	return ends[why].status;
}
