/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Turns as requests to the target (source http). A request opens a turn, the end of its reply closes it. Its calls are
 * those of the thread or task that read it or wrote its reply, and those that carry its message; what helpers did goes
 * by the order of things. Where the client is watched too, the turn is the client's: from the beginning of its own call
 * to its end; and where the client is in a turn itself, the request is an errand of that turn.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "turn_engine.h"

static struct open_turn *serve_find(const struct turns *t, uint64_t inbound)
{
	struct open_turn *o;

	TAILQ_FOREACH(o, &t->open, link)
	if (o->inbound == inbound)
		return o;
	return NULL;
}

/* The turn that is served in that process and brings this very message; NULL none. If several say the same, one that no
 * LLM was asked for yet, the oldest; *sure is false then. */
static struct open_turn *serve_by_text(const struct turns *t, uint32_t pid, uint64_t hash,
                                       bool *sure)
{
	struct open_turn *o, *best = NULL;
	bool asked = false, before;

	*sure = true;
	TAILQ_FOREACH(o, &t->open, link)
	{
		if (!hash || !o->inbound || o->served || o->pid != pid || o->text_hash != hash)
			continue;
		*sure = !best;
		before = o->newest_ns || !TAILQ_EMPTY(&o->active);
		if (!best || (asked && !before) || (asked == before && o->t.id < best->t.id)) {
			best = o;
			asked = before;
		}
	}
	return best;
}

bool serve_is_serving(const struct turns *t, uint32_t pid)
{
	struct open_turn *o;

	TAILQ_FOREACH(o, &t->open, link)
	if (o->inbound && !o->served && o->pid == pid)
		return true;
	return false;
}

void serve_call(struct turns *t, struct lane *l, struct record *r)
{
	struct open_turn *o = l->turn && !l->shared ? l->turn : NULL;
	bool sure = true;

	if (!o && r->class == CALL_LLM)
		o = serve_by_text(t, l->id.pid, r->user, &sure);
	if (!sure && l->id.task) /* whose reply the task writes will tell */
		o = NULL;
	if (o) {
		o->t.attribution_order |= !sure;
		engine_touch(t, o);
		share_give(t, o, r);
	} else if (share_near(t, l->id.pid) || r->class == CALL_LLM) {
		engine_wait(t, l, r);
	} else {
		share_give_nobody(t, r, OUTSIDE_NONE_NEAR);
	}
}

static bool is_post(const struct call *c)
{
	/* the op of gRPC is its method's name alone */
	return strncmp(*c->request ? c->request : c->op, "POST ", 5) == 0 &&
	       c->class != CALL_HEARTBEAT;
}

static bool brings_message(const struct call *c)
{
	return is_post(c) && c->fields && c->fields->message;
}

/* The turn the client's call is in, whose errand the request then is; NULL none. */
static struct open_turn *client_turn(struct turns *t, const struct call_client *client)
{
	struct record *r = client->call ? record_find(&t->ledger, client->call) : NULL;

	if (!r)
		return NULL;
	if (r->turn)
		return r->turn;
	return r->lane && !r->lane->shared ? r->lane->turn : NULL;
}

/* Whether a request is a turn. A client of ours that calls it an LLM has an LLM here, not a runner's agent. */
static bool is_turn(struct turns *t, const struct call *c, const struct call_client *client)
{
	bool llm = client->call && client->class == CALL_LLM;

	if (t->kind == TURNS_HTTP)
		return t->spec.kind == TURNS_HTTP ? is_post(c) : brings_message(c) && !llm;
	if (t->kind != TURNS_LLM || t->spec.kind != TURNS_AUTO || !brings_message(c) || llm)
		return false;
	engine_choose(t, TURNS_HTTP, NULL, c->start_ns);
	return true;
}

/* Who read the request works on it, unless an event loop reads for several. */
static void take_lane(struct turns *t, struct open_turn *o, struct lane_id id)
{
	struct lane *l = share_lane(t, id), *other;

	if (!l)
		return;
	if (l->turn && l->turn != o)
		l->shared = true;
	/* a loop that runs tasks reads outside of them */
	if (!id.task)
		TAILQ_FOREACH(other, &t->ledger.lanes, link)
	l->shared |= other->id.pid == id.pid && other->id.tid == id.tid && other->id.task;
	if (l->shared)
		return;
	share_older(t, l, o->t.start_ns);
	l->turn = o;
	o->home = id;
}

/* It is a turn of its own, in the session that it names or that of its connection. */
static void become_turn(struct turns *t, struct open_turn *o, const struct call *c)
{
	struct session_entry *e;
	char key[SESSION_NAME_MAX];

	snprintf(key, sizeof(key), "c%llu", (unsigned long long)c->conn);
	e = engine_session(t, c->fields ? c->fields->session_id : "", key);
	if (e) {
		snprintf(o->t.session_id, sizeof(o->t.session_id), "%s", e->name);
		o->t.turn_index = (uint32_t)e->opened++;
	}
	o->errand = false;
	engine_opened(t, o);
}

/* Who asked is known, or that nobody will tell: what the request is. */
static void settle_client(struct turns *t, struct open_turn *o, const struct call *c,
                          const struct call_client *client)
{
	struct open_turn *errand = client_turn(t, client);

	o->waits = false;
	o->client = client->call;
	if (client->call) {
		o->t.pid = client->lane.pid;
		o->t.tid = client->lane.tid;
		if (client->start_ns < o->t.start_ns)
			o->t.start_ns = client->start_ns;
	}
	if (errand)
		o->owner = errand->t.id;
	else if (is_turn(t, c, client))
		become_turn(t, o, c);
}

/* Opened before it is known what it is: what the server does for it must find it. */
static bool opens_for(struct turns *t, const struct call *c, const struct call_client *client)
{
	if (c->class == CALL_HEARTBEAT)
		return false;
	if (client->comes)
		return t->kind == TURNS_HTTP ? is_post(c) : t->kind != TURNS_LLM;
	return client_turn(t, client) ? t->kind != TURNS_LLM : is_turn(t, c, client);
}

void turns_inbound_sent(struct turns *t, const struct call *c, const struct call_client *client)
{
	const struct turn_fields *f = c->fields;
	struct lane_id reader = { c->pid, c->tid, c->task };
	struct turn_start start = {
		.lane = reader,
		.pid = c->pid,
		.session = "",
		.role = f ? f->role : LLM_ROLE_NONE,
		.ns = c->start_ns,
		.at_least = c->at_least,
	};
	struct open_turn *o = serve_find(t, c->id);

	if (o) {
		if (o->waits && client->call)
			settle_client(t, o, c, client);
		return;
	}
	if (!opens_for(t, c, client) || !(o = engine_new(t, &start)))
		return;
	o->inbound = c->id;
	o->errand = true;
	o->text_hash = f ? f->text_hash : 0;
	o->marked = true;
	o->waits = client->comes;
	if (!o->waits)
		settle_client(t, o, c, client);
	engine_crowd(t, o);
	take_lane(t, o, reader);
}

/* The outcome of the turn is that of its request, whatever became of the calls made for it. */
static void set_outcome(struct open_turn *o, const struct call *c)
{
	static const enum turn_status of[] = {
		[CALL_OK] = TURN_OK,           [CALL_ERROR] = TURN_ERROR,
		[CALL_TIMEOUT] = TURN_TIMEOUT, [CALL_RATE_LIMITED] = TURN_RATE_LIMITED,
		[CALL_ABORTED] = TURN_ABORTED, [CALL_UNKNOWN] = TURN_UNKNOWN,
	};
	struct turn *t = &o->t;

	if (of[c->status] == t->status)
		return;
	t->status = of[c->status];
	snprintf(t->error_kind, sizeof(t->error_kind), "%s", c->error_kind);
	t->error_endpoint[0] = '\0';
	t->error_http_status = c->http_status;
}

void serve_errand_done(struct turns *t, struct open_turn *o, uint64_t ts_ns)
{
	struct call_client client = { .call = o->client };
	struct open_turn *to = client_turn(t, &client);
	struct open_turn *other;
	uint64_t end_ns;

	if (!to || to == o)
		to = share_find(t, o->owner);
	TAILQ_FOREACH(other, &t->open, link)
	if (other->owner == o->t.id)
		other->owner = to ? to->t.id : 0;
	if (!to) {
		engine_drop(t, o, OUTSIDE_NONE_NEAR);
		return;
	}
	share_gather(t, o, ts_ns, NULL, true);
	end_ns = to->t.end_ns;
	books_merge(to, o);
	to->outside_llm += o->outside_llm;
	for (uint32_t i = 0; i < o->nkept; i++)
		if (!books_keep(to, o->kept[i], share_keeps(t, to))) {
			t->nkept--;
			to->outside_llm += o->kept[i]->class == CALL_LLM;
			share_booked(t, to, o->kept[i]);
			free(o->kept[i]);
		}
	o->nkept = 0;
	if (to->t.end_ns < end_ns)
		to->t.end_ns = end_ns;
	engine_forget(t, o);
}

void turns_inbound_done(struct turns *t, const struct call *c)
{
	struct open_turn *o = serve_find(t, c->id);
	struct lane *l;

	if (!o || o->served)
		return;
	if (o->waits)
		settle_client(t, o, c, &(struct call_client){ 0 });
	l = c->reply_tid
	            ? lane_use(&t->ledger, (struct lane_id){ c->pid, c->reply_tid, c->reply_task })
	            : NULL;
	if (l && !l->turn && !l->shared) {
		share_older(t, l, o->t.start_ns);
		l->turn = o;
	}
	if (o->errand) {
		serve_errand_done(t, o, c->end_ns);
		return;
	}
	if (t->stalled && c->status == CALL_ABORTED) {
		engine_abandon(t, o, c->end_ns, true);
		return;
	}
	share_gather(t, o, c->end_ns, NULL, true);
	set_outcome(o, c);
	if (c->end_ns > o->t.end_ns)
		o->t.end_ns = c->end_ns;
	if (o->client)
		o->served = true;
	else
		engine_hand_out(t, o);
}

void serve_client_done(struct turns *t, const struct call *c)
{
	struct open_turn *o;

	if (t->kind == TURNS_LLM)
		return;
	TAILQ_FOREACH(o, &t->open, link)
	if (!o->errand && o->client == c->id)
		break;
	if (!o)
		return;
	if (!o->served) { /* the reply is complete a moment later, or nobody waits for it any more */
		o->client = 0;
		return;
	}
	if (c->end_ns > o->t.end_ns)
		o->t.end_ns = c->end_ns;
	if (c->status != CALL_OK)
		set_outcome(o, c);
	engine_hand_out(t, o);
}
