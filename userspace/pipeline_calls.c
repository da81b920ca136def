/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls on their way from connections to turns, stall clocks and coverage; those from before we came get their names. */
#include "pipeline_state.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/times.h"

/* Calls found in one snapshot by who waits for them; a loop with more is beyond telling anyway. */
#define AWAITED_MAX 1024

static void tracked_unlink(struct pipeline *p, struct tracked *t)
{
	if (t->prev)
		t->prev->next = t->next;
	else
		p->open = t->next;
	if (t->next)
		t->next->prev = t->prev;
	t->prev = t->next = NULL;
	p->nopen--;
}

static struct call *call_opened(void *ctx, struct conn *conn, const struct stamp *at)
{
	struct pipeline *p = ctx;
	struct tracked *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	call_init(&t->call);
	t->call.id = ++p->ids;
	t->call.conn = conn->id;
	t->call.pid = at->pid;
	t->call.tid = at->tid;
	t->call.task = at->task;
	t->call.inbound = conn->role == ROLE_SERVER;
	if (!t->call.inbound)
		snprintf(t->call.store, sizeof(t->call.store), "%s", conn->endpoint.system);
	t->conn = conn;
	/* a TLS object that was found late: its socket may have had calls already */
	t->first = conn->real_calls == 0 && conn->open == 0 &&
	           (!conn_socket(conn) || conn_socket(conn)->real_calls == 0);
	t->next = p->open;
	if (p->open)
		p->open->prev = t;
	p->open = t;
	p->nopen++;
	return &t->call;
}

static struct call_place place_of(const struct tracked *t)
{
	struct call_place place;
	bool storage = t->call.class == CALL_STORAGE;

	snprintf(place.label, sizeof(place.label), "%s", t->endpoint.label);
	snprintf(place.system, sizeof(place.system), "%s", t->endpoint.system);
	snprintf(place.endpoint, sizeof(place.endpoint), "%.127s",
	         storage && t->endpoint.addr[0] ? t->endpoint.addr : t->endpoint.name);
	return place;
}

/* A call to a server of unknown kind: it may lead to who serves it, or begin a turn. */
static void tell_other(struct pipeline *p, struct tracked *t, bool done)
{
	struct call_place place = place_of(t);

	/* what turns out to be a health check is taken back */
	if (t->call.class == CALL_HEARTBEAT && t->other_told && done)
		turns_call_done(p->turns, &t->call, &place);
	if (t->call.class != CALL_OTHER || t->call.inbound)
		return;
	t->other_told = true;
	turns_call_sent(p->turns, &t->call, &place);
	if (done)
		turns_call_done(p->turns, &t->call, &place);
}

/* The watched process's own call of which this request to the target is the other end. What it sends is told when its system
 * call returns, which may be after the other end has read it, and done things. */
static struct call_client client_of(struct pipeline *p, const struct tracked *t)
{
	const struct conn *far = t->conn ? conn_far_end(t->conn) : NULL;
	struct call_client client = { .comes = far && (far->calls || !far->bytes[DIR_OUT]) };

	for (struct tracked *o = far ? p->open : NULL; o; o = o->next)
		if ((o->conn == far || o->conn == far->peer) && !o->call.inbound &&
		    o->call.stream == t->call.stream && (o->sent || o->other_told))
			client = (struct call_client){
				.call = o->call.id,
				.class = o->call.class,
				.lane = { o->call.pid, o->call.tid, o->call.task },
				.start_ns = o->call.start_ns,
			};
	return client;
}

static void tell_inbound(struct pipeline *p, struct tracked *t)
{
	struct call_client client = client_of(p, t);

	t->sent = true;
	p->asked = t->call.op;
	turns_inbound_sent(p->turns, &t->call, &client);
}

/* A watched process's own call has been told: a request that came to the other end before it learns whose it is. */
static void tell_far_end(struct pipeline *p, const struct tracked *t)
{
	const struct conn *far = t->conn ? conn_far_end(t->conn) : NULL;

	for (struct tracked *o = far ? p->open : NULL; o; o = o->next)
		if (o->conn && (o->conn == far || o->conn == far->peer) && o->call.inbound &&
		    o->sent && o->call.stream == t->call.stream)
			tell_inbound(p, o);
}

/* Tells the turn engine and the stall clocks what they do not know yet of a call that is LLM or storage. */
static void tell(struct pipeline *p, struct tracked *t, bool sent)
{
	struct call_place place;

	if (t->call.class != CALL_LLM && t->call.class != CALL_STORAGE)
		return;
	/* a log-in belongs to the call it is made for (conn_call_start), unless it fails */
	if (t->call.setup && (!t->call.end_ns || t->call.status == CALL_OK))
		return;
	place = place_of(t);
	if (!t->opened) {
		t->opened = true;
		turns_call_opened(p->turns, &t->call, &place);
		stall_call_started(p->stall, &t->call);
	}
	if (sent && !t->sent) {
		t->sent = true;
		turns_call_sent(p->turns, &t->call, &place);
	}
}

static void late_settle(struct pipeline *p, const struct conn *c, const struct endpoint *e,
                        enum call_class class);

/* What kind of call this is, as far as it can be told by now. */
static void classify(struct pipeline *p, struct tracked *t)
{
	struct conn *c = t->conn;
	struct call *call = &t->call;
	const char *provider;

	if (call->host[0])
		conn_host(c, call->host);
	if (call->store[0] && !call->inbound)
		conn_store(c, call->store);
	t->endpoint = c->endpoint;
	t->sock = conn_socket(c) ? conn_socket(c)->sock : 0;
	if (t->first && !t->start_known && t->sock && call->request_ns && !call->at_least) {
		t->start_known = true;
		call->start_ns = conn_call_start(c, call->tid, call->request_ns);
	}
	if (c->role == ROLE_SERVER) {
		/* a request to the target: not one of its own calls */
		call->inbound = true;
		if (call->class != CALL_HEARTBEAT)
			call->class = CALL_OTHER;
		return;
	}
	endpoint_classify(p->rules, &t->endpoint, call);
	provider = endpoint_provider(p->rules, &t->endpoint, c->port);
	if (provider && call->llm)
		snprintf(call->llm->provider, sizeof(call->llm->provider), "%s", provider);
	if (call->class == CALL_LLM && call->llm && call->llm->provider[0])
		snprintf(t->endpoint.label, sizeof(t->endpoint.label), "%s", call->llm->provider);
	if (call->class == CALL_LLM || call->class == CALL_STORAGE) {
		c->carries = call->class;
		if (c->peer)
			c->peer->carries = call->class;
		late_settle(p, c, &t->endpoint, call->class);
	}
}

static void call_sent(void *ctx, struct conn *conn, struct call *call)
{
	struct pipeline *p = ctx;
	struct tracked *t = (struct tracked *)call;

	(void)conn;
	classify(p, t);
	tell(p, t, true);
	if (call->inbound) {
		tell_inbound(p, t);
	} else {
		tell_other(p, t, false);
		tell_far_end(p, t);
	}
}

void call_forget(struct tracked *t)
{
	if (t)
		call_free(&t->call);
}

/* Keeps a done call for run_error.json's recent_calls. */
static void remember(struct pipeline *p, struct tracked *t)
{
	if (t->call.class == CALL_HEARTBEAT) {
		call_forget(t);
		return;
	}
	if (t->call.llm) {
		free(t->call.llm->history.messages);
		t->call.llm->history.messages = NULL;
		t->call.llm->history.n = 0;
	}
	if (p->nrecent == RUN_ERROR_RECENT_MAX) {
		call_forget(p->recent[0]);
		memmove(p->recent, p->recent + 1, --p->nrecent * sizeof(*p->recent));
	}
	p->recent[p->nrecent++] = t;
}

/* A call is complete: everybody who counts learns it. */
static void settle(struct pipeline *p, struct tracked *t)
{
	struct call_place place;

	/* a log-in that worked is no call of its own */
	if (t->call.setup && t->call.status == CALL_OK)
		t->call.class = CALL_HEARTBEAT;
	coverage_call(p->coverage, &t->call);
	tell(p, t, true);
	/* at the end of the watch a request goes on, for all we know */
	if (!t->call.inbound)
		tell_other(p, t, true);
	else if (!p->ended || t->call.status != CALL_UNKNOWN)
		turns_inbound_done(p->turns, &t->call);
	if (t->opened) {
		place = place_of(t);
		turns_call_done(p->turns, &t->call, &place);
		/* a call that was given up because the run ends did not fail */
		if (!p->ended && t->call.status != CALL_UNKNOWN)
			stall_call_done(p->stall, &t->call);
		slow_done(p->slow, &t->call);
	}
	remember(p, t);
}

static bool refused(const char *kind)
{
	return strcmp(kind, "WRONGPASS") == 0 || strcmp(kind, "NOAUTH") == 0 ||
	       strcmp(kind, "NOPERM") == 0;
}

static void call_ended(void *ctx, struct conn *conn, struct call *call)
{
	struct pipeline *p = ctx;
	struct tracked *t = (struct tracked *)call;

	classify(p, t);
	/* a log-in that was refused is an error of the store's, not a sign of life */
	if (call->setup && call->class == CALL_HEARTBEAT && refused(call->error_kind))
		call->class = CALL_STORAGE;
	if (call->setup && conn_socket(conn))
		conn_set_up(conn, call->end_ns);
	tracked_unlink(p, t);
	t->conn = NULL;
	/* which endpoint this was may show when the connection is used again */
	if (call->class == CALL_OTHER && call->at_least && p->nlate < LATE_MAX && !p->ended) {
		p->late[p->nlate++] = t;
		return;
	}
	settle(p, t);
}

static void call_adopted(void *ctx, struct conn *conn, struct call *call)
{
	(void)ctx;
	((struct tracked *)call)->conn = conn;
	call->conn = conn->id;
}

/* An endpoint got its name: so do the calls to the same address that began before we came. */
static bool same_peer(const struct tracked *t, const struct conn *c, const struct endpoint *e)
{
	return t->call.conn == c->id || (e->addr[0] && strcmp(t->endpoint.addr, e->addr) == 0);
}

static void late_settle(struct pipeline *p, const struct conn *c, const struct endpoint *e,
                        enum call_class class)
{
	size_t kept = 0, n = p->nlate;
	struct tracked *late[LATE_MAX];

	memcpy(late, p->late, n * sizeof(*late));
	p->nlate = 0;
	for (size_t i = 0; i < n; i++) {
		struct tracked *t = late[i];

		if (!same_peer(t, c, e)) {
			p->late[kept++] = t;
			continue;
		}
		t->call.class = class;
		t->endpoint = *e;
		settle(p, t);
	}
	p->nlate = kept;
	for (struct tracked *t = p->open; t; t = t->next) {
		if (t->opened || !t->call.at_least || t->call.class != CALL_OTHER ||
		    !same_peer(t, c, e))
			continue;
		t->call.class = class;
		t->endpoint = *e;
		tell(p, t, true);
	}
}

void calls_give_up_late(struct pipeline *p)
{
	for (size_t i = 0; i < p->nlate; i++)
		settle(p, p->late[i]);
	p->nlate = 0;
}

/* Where calls share a connection: were there bytes of this one among them? Of none are those that only keep the connection. */
static bool moves(struct tracked *t, int dir, uint64_t ts_ns)
{
	const struct call *c = &t->call;
	uint64_t told = t->moved_out;

	if (dir == DIR_IN)
		return later(c->first_byte_ns, c->last_byte_ns) == ts_ns;
	t->moved_out = c->bytes_out;
	return c->bytes_out != told;
}

static bool is_shared(const struct conn *c)
{
	return c->proto && c->proto->shared && c->proto->shared(c->state);
}

/* Bytes moved: which of them were content? */
static void bytes_moved(void *ctx, struct conn *conn, int dir, uint64_t ts_ns)
{
	struct pipeline *p = ctx;

	for (struct tracked *t = p->open; t; t = t->next) {
		struct call *c = &t->call;

		if (t->conn != conn || c->blocks || (is_shared(conn) && !moves(t, dir, ts_ns)))
			continue;
		if (!t->opened) /* the class may be known before the request is complete */
			classify(p, t), tell(p, t, false);
		if (c->class != CALL_LLM && c->class != CALL_STORAGE)
			continue;
		if (c->llm && dir == DIR_IN) {
			if (c->llm->last_content_ns <= t->content_ns)
				continue; /* a ping, a comment, a role */
			t->content_ns = c->llm->last_content_ns;
		} else if (dir == DIR_IN && call_gets_filler(c) &&
		           c->filler_ns == c->last_byte_ns) {
			continue; /* the same, of a reply whose beginning was not seen */
		} else if (dir == DIR_IN) {
			t->content_ns = ts_ns;
		}
		if (c->llm && dir == DIR_IN)
			stall_content(p->stall, ts_ns);
		else
			stall_bytes(p->stall, c, ts_ns);
	}
}

static void conn_gone(void *ctx, struct conn *c)
{
	struct pipeline *p = ctx;

	coverage_conn(p->coverage, c);
}

static void capture_enough(void *ctx, uint64_t sock, uint32_t n)
{
	struct pipeline *p = ctx;

	if (p->capture)
		p->capture(p->capture_ctx, sock, n);
}

/* ---- calls from before we came ---- */

/* Views of all open calls; *n of them, free() it. */
struct call_view *calls_open(struct pipeline *p, size_t *n)
{
	struct call_view *v = calloc(p->nopen + 1, sizeof(*v));

	*n = 0;
	for (struct tracked *t = p->open; v && t; t = t->next) {
		const struct conn *s = conn_socket(t->conn);

		if (!t->opened)
			t->endpoint = t->conn->endpoint;
		v[(*n)++] = (struct call_view){ &t->call, &t->endpoint, s ? s->sock : 0 };
	}
	return v;
}

/* Replies are awaited that no counter shows: each is a call, too. */
void calls_find_awaited(struct pipeline *p)
{
	struct awaited *rows = calloc(AWAITED_MAX, sizeof(*rows));
	struct identify *i = NULL;
	struct call_view *open;
	size_t n;

	open = calls_open(p, &n);
	if (rows && open)
		i = identify_new(p->evidence, open, n);
	n = i ? identify_awaited(i, rows, AWAITED_MAX) : 0;
	for (size_t k = 0; k < n; k++) {
		const struct conn *c = conns_by_sock(p->conns, rows[k].sock);

		/* The quick reply of whom we do not know may be all there is: an LLM's is not so quick. And a run that works has
		 * connections at rest: only of one that is silent it is asked. */
		if (!rows[k].doubtful || ((p->config.look || p->error_due) &&
		                          (rows[k].llm || (c && c->endpoint.class == CALL_LLM))))
			conns_awaited(p->conns, rows[k].sock, rows[k].since_ns);
	}
	identify_free(i);
	free(open);
	free(rows);
}

/* Its bytes say nothing and its endpoint, or what it asked for, is not known. */
static bool is_unnamed(const struct tracked *t)
{
	bool generic = t->call.proto && strcmp(t->call.proto, "generic") == 0;

	return t->conn && !t->call.inbound && (t->call.at_least || generic) && !t->call.llm &&
	       (t->call.class == CALL_OTHER || !t->call.op[0]);
}

/* What was found out becomes the call's and its connection's; a health check stays the call's alone. */
static void learn(struct pipeline *p, struct tracked *t, const struct identity *id)
{
	struct conn_told told = { .class = id->class, .how = id->how, .unsure = !id->sure };
	struct call *call = &t->call, probe;

	snprintf(told.label, sizeof(told.label), "%s",
	         id->class == CALL_LLM ? id->provider : id->system);
	snprintf(told.system, sizeof(told.system), "%s",
	         id->class != CALL_STORAGE ? ""
	         : id->system[0]           ? id->system
	                                   : "unknown");
	if (!call->op[0] && id->op[0]) {
		snprintf(call->op, sizeof(call->op), "%s", id->op);
		call->op_known = id->http && id->sure;
		call->write = id->http && id->write;
	}
	call->blocks |= id->blocks;
	if (id->host[0] && !t->conn->endpoint.host[0])
		conn_host(t->conn, id->host);
	probe = *call;
	probe.proto = id->http ? "http" : call->proto;
	endpoint_classify(p->rules, &t->conn->endpoint, &probe);
	if (probe.class == CALL_HEARTBEAT && !t->opened)
		call->class = CALL_HEARTBEAT;
	else
		conn_tell(t->conn, &told);
	if (t->opened)
		classify(p, t);
}

/* Names the open calls that began before we came, from the newest snapshot. */
void calls_identify(struct pipeline *p)
{
	struct identity *ids = calloc(p->nopen + 1, sizeof(*ids));
	bool *known = calloc(p->nopen + 1, sizeof(*known));
	struct identify *i = NULL;
	struct call_view *open;
	size_t n, k = 0;

	open = calls_open(p, &n);
	if (ids && known && open && evidence_time(p->evidence))
		i = identify_new(p->evidence, open, n);
	p->naming = true;
	/* all are asked before any learns: the order must not matter */
	for (struct tracked *t = p->open; i && t; t = t->next, k++)
		known[k] = is_unnamed(t) && identify_call(i, &open[k], &ids[k]);
	k = 0;
	for (struct tracked *t = p->open; i && t; t = t->next, k++)
		if (known[k])
			learn(p, t, &ids[k]);
	identify_free(i);
	for (struct tracked *t = p->open; t; t = t->next) {
		if (!t->opened) {
			classify(p, t);
			tell(p, t, t->call.at_least);
		}
	}
	p->naming = false;
	free(open);
	free(known);
	free(ids);
}

struct conn_ops calls_ops(struct pipeline *p)
{
	return (struct conn_ops){ call_opened, call_sent, call_ended,     call_adopted,
		                  bytes_moved, conn_gone, capture_enough, p };
}
