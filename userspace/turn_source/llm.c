/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Turn source `llm`. A conversation is what its last request carried: the hashes of the user's and the assistant's
 * messages. The next request of the same conversation holds most of them again, and the user message that was last.
 */
#include "turn_source/llm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/queue.h"
/* Conversations remembered, the least recently used go first: more than any runner keeps going at once. */
#define CONVS_MAX 4096
/* Message hashes remembered in all conversations together: 4 MB. */
#define HASHES_MAX (1u << 19)
/* Processes known to move conversations between lanes; further ones are treated like those that do not. */
#define POOLED_MAX 64
/* Processes known to send history along; further ones are treated like those that do not. */
#define CARRYING_MAX 256
/* Slots to count a request's hashes in: a power of two, at most half full. */
#define SLOTS (2 * LLM_HISTORY_MAX)

struct session {
	uint32_t number; /* s1, s2, ... */
	uint32_t turns;  /* opened so far */
	uint64_t owner;  /* the conversation that carried history first, 0 none yet */
	uint32_t refs;   /* conversations that belong to it */
};

struct conv {
	TAILQ_ENTRY(conv) link;
	uint64_t id;
	struct session *session;
	struct lane_id lane;    /* of its newest request */
	uint64_t turn;          /* open one, 0 none */
	uint32_t turn_index;    /* its place in its session */
	uint64_t turn_user;     /* hash of the user message the turn is about */
	uint64_t call, conn;    /* newest, and its connection */
	uint64_t logical;       /* the call that is an attempt of ... */
	uint32_t attempt;       /* ... the how-manieth */
	uint64_t ended_ns;      /* when it ended, 0 not yet */
	bool late;              /* all that is known of it is a call in flight when we came */
	bool in_flight, failed; /* that call */
	bool carried;           /* requests carried history */
	uint64_t user;          /* last user message of the newest request */
	uint64_t digest;        /* of the whole newest request */
	uint64_t *hashes;       /* its user and assistant messages, n of them */
	uint32_t n;
};

struct slot {
	uint64_t hash;
	uint32_t count;    /* in the request, 0 = free */
	uint32_t taken;    /* by the conversation it is compared with ... */
	uint64_t taken_by; /* ... whose id this is */
};

/* A request as the rules see it. */
struct request {
	const struct call *c;
	struct lane_id lane;
	bool known; /* roles and messages were seen */
	bool complete;
	bool history;    /* it carries more than one user message */
	bool fresh;      /* the last message is the user's */
	bool after_tool; /* ... and the one before it a tool's result */
	enum llm_role last;
	uint64_t user; /* hash of the last user message, 0 none */
	uint64_t digest;
	uint32_t n; /* user and assistant messages */
	uint64_t hashes[LLM_HISTORY_MAX];
};

struct llm_source {
	TAILQ_HEAD(convs, conv) convs; /* newest first */
	uint32_t nconvs, nhashes, sessions;
	uint64_t ids;
	uint32_t pooled[POOLED_MAX];
	uint32_t npooled;
	uint32_t carrying[CARRYING_MAX]; /* processes whose requests carry history */
	uint32_t ncarrying;
	struct request request;
	struct slot slots[SLOTS];
};

static bool has_pid(const uint32_t *list, uint32_t n, uint32_t pid)
{
	for (uint32_t i = 0; i < n; i++)
		if (list[i] == pid)
			return true;
	return false;
}

static struct slot *slot_of(struct llm_source *s, uint64_t hash)
{
	struct slot *slot;

	/* Multiplied: FNV is weak in its low bits, and a target's hashes are what it likes. */
	for (uint32_t i = (uint32_t)((hash * 0x9e3779b97f4a7c15ull) >> 40);; i++) {
		slot = &s->slots[i % SLOTS];
		if (!slot->count || slot->hash == hash)
			return slot;
	}
}

static void request_read(struct llm_source *s, const struct call *c)
{
	struct request *q = &s->request;
	const struct llm_history *h = c->llm ? &c->llm->history : NULL;
	uint32_t users = 0, n = h ? h->n : 0;

	*q = (struct request){ .c = c, .lane = { c->pid, c->tid, c->task } };
	memset(s->slots, 0, sizeof(s->slots));
	if (n > LLM_HISTORY_MAX)
		n = LLM_HISTORY_MAX;
	if (!n || c->llm->last_role == LLM_ROLE_NONE)
		return;

	q->known = true;
	q->complete = h->complete;
	q->last = c->llm->last_role;
	q->fresh = q->last == LLM_ROLE_USER;
	q->after_tool = q->fresh && n > 1 && h->messages[n - 2].role == LLM_ROLE_TOOL;
	q->history = h->dropped > 0;
	q->digest = bytes_hash(0, (struct bytes){ (const char *)&h->dropped, sizeof(h->dropped) });
	for (uint32_t i = 0; i < n; i++) {
		const struct llm_message *m = &h->messages[i];

		q->digest = bytes_hash(q->digest, (struct bytes){ (const char *)&m->hash, 8 });
		q->digest = bytes_hash(q->digest, (struct bytes){ (const char *)&m->role, 1 });
		if (m->role != LLM_ROLE_USER && m->role != LLM_ROLE_ASSISTANT)
			continue;
		if (m->role == LLM_ROLE_USER) {
			q->user = m->hash;
			users++;
		} else {
			q->history = true;
		}
		q->hashes[q->n++] = m->hash;
	}
	q->history = q->history || users > 1;
	/* The message just said is nothing a conversation can have known before. */
	for (uint32_t i = 0; i < q->n - (q->fresh && q->n ? 1 : 0); i++) {
		struct slot *slot = slot_of(s, q->hashes[i]);

		slot->hash = q->hashes[i];
		slot->count++;
	}
}

static uint32_t prefix_with(const struct request *q, const struct conv *v)
{
	uint32_t i = 0;

	while (i < q->n && i < v->n && q->hashes[i] == v->hashes[i])
		i++;
	return i;
}

/* Messages of v that the request holds again. */
static uint32_t overlap_with(struct llm_source *s, const struct conv *v)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < v->n; i++) {
		struct slot *slot = slot_of(s, v->hashes[i]);

		if (slot->taken_by != v->id) {
			slot->taken_by = v->id;
			slot->taken = 0;
		}
		if (slot->taken < slot->count) {
			slot->taken++;
			n++;
		}
	}
	return n;
}

/* How well a conversation fits; the first member that differs decides. */
struct fit {
	uint32_t overlap, prefix;
	bool goes_on; /* holds the user message that was last */
	bool same_lane, idle;
};

static bool fits_better(const struct fit *a, const struct fit *b)
{
	if (a->overlap != b->overlap)
		return a->overlap > b->overlap;
	if (a->prefix != b->prefix)
		return a->prefix > b->prefix;
	if (a->goes_on != b->goes_on)
		return a->goes_on;
	if (a->same_lane != b->same_lane)
		return a->same_lane;
	return a->idle && !b->idle;
}

/* The conversation whose messages the request carries, the newest of equals; NULL none. On another lane a shared
 * beginning is not enough (parallel sessions share instructions and examples): it must go on from the last message. */
static struct conv *conv_by_history(struct llm_source *s)
{
	const struct request *q = &s->request;
	struct conv *best = NULL, *v;
	struct fit top = { 0 };

	if (!q->known)
		return NULL;
	TAILQ_FOREACH(v, &s->convs, link)
	{
		struct fit f = {
			.goes_on = v->n && slot_of(s, v->user)->count,
			.same_lane = lane_same(v->lane, q->lane),
			.idle = !v->in_flight,
		};

		if (!f.same_lane && !f.goes_on)
			continue;
		f.overlap = overlap_with(s, v);
		f.prefix = prefix_with(q, v);
		if (!f.overlap)
			continue;
		if (!best || fits_better(&f, &top)) {
			best = v;
			top = f;
		}
	}
	return best;
}

/* The newest conversation of the request's lane. */
static struct conv *conv_of_lane(struct llm_source *s)
{
	struct conv *v;

	TAILQ_FOREACH(v, &s->convs, link)
	if (lane_same(v->lane, s->request.lane))
		return v;
	return NULL;
}

/* The same for a request of which nothing was read: its connection's, whose calls follow each other, else the lane's newest that
 * waits for nothing (in flight: an event loop's, which has several at once). */
static struct conv *conv_unread(struct llm_source *s)
{
	const struct request *q = &s->request;
	struct conv *v;

	TAILQ_FOREACH(v, &s->convs, link)
	if (v->conn && v->conn == q->c->conn)
		return v;
	TAILQ_FOREACH(v, &s->convs, link)
	if (lane_same(v->lane, q->lane) && !v->in_flight)
		return v;
	return NULL;
}

/* The newest conversation of the lane that waits for nothing, if the lane's requests carry no history: a stateless
 * runner's. (In flight: an event loop whose tasks are not known; two at once are no one's sequence.) */
static struct conv *conv_stateless(struct llm_source *s)
{
	struct conv *v;

	if (has_pid(s->carrying, s->ncarrying, s->request.lane.pid))
		return NULL;
	TAILQ_FOREACH(v, &s->convs, link)
	{
		if (!lane_same(v->lane, s->request.lane))
			continue;
		if (v->carried)
			return NULL;
		if (!v->in_flight)
			return v;
	}
	return NULL;
}

/* The conversation whose failed request this one repeats; NULL none. A first message on another lane is more likely
 * another session that says the same, unless the client itself says that it tries again. */
static struct conv *conv_retried(struct llm_source *s)
{
	const struct request *q = &s->request;
	struct conv *best = NULL, *v;

	if (!q->known) {
		v = conv_of_lane(s);
		return v && v->turn && v->failed ? v : NULL;
	}
	TAILQ_FOREACH(v, &s->convs, link)
	{
		bool same_lane = lane_same(v->lane, q->lane);

		if (!v->turn || !v->n || v->digest != q->digest)
			continue;
		if (!v->failed && q->c->retry_count <= 0)
			continue;
		if (same_lane)
			return v;
		if (!best && (q->history || q->c->retry_count > 0))
			best = v;
	}
	return best;
}

static struct conv *conv_by_turn(struct llm_source *s, uint64_t turn)
{
	struct conv *v;

	TAILQ_FOREACH(v, &s->convs, link)
	if (turn && v->turn == turn)
		return v;
	return NULL;
}

static void session_put(struct session *n)
{
	if (n && --n->refs == 0)
		free(n);
}

static void conv_drop(struct llm_source *s, struct conv *v)
{
	TAILQ_REMOVE(&s->convs, v, link);
	s->nconvs--;
	s->nhashes -= v->n;
	session_put(v->session);
	free(v->hashes);
	free(v);
}

static struct session *session_new(struct llm_source *s)
{
	struct session *n = calloc(1, sizeof(*n));

	if (n)
		n->number = ++s->sessions;
	return n;
}

/* A conversation in session n, or in a new one (n NULL). */
static struct conv *conv_new(struct llm_source *s, struct session *n)
{
	struct conv *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	if (!n)
		n = session_new(s);
	if (!n) {
		free(v);
		return NULL;
	}
	n->refs++;
	v->id = ++s->ids;
	v->session = n;
	if (s->nconvs == CONVS_MAX)
		conv_drop(s, TAILQ_LAST(&s->convs, convs));
	TAILQ_INSERT_HEAD(&s->convs, v, link);
	s->nconvs++;
	return v;
}

/* v gets a session of its own; its open turn goes with it. */
static void conv_leaves(struct llm_source *s, struct conv *v, struct ruling *r)
{
	struct session *n = session_new(s);
	uint32_t k = 0;

	if (!n)
		return;
	while (k < RULING_RENAMES_MAX && r->renames[k].turn)
		k++;
	if (v->turn && k < RULING_RENAMES_MAX) {
		/* unless a later one has its number already */
		v->session->turns -= v->turn_index + 1 == v->session->turns;
		v->turn_index = 0;
		n->turns = 1;
		r->renames[k].turn = v->turn;
		snprintf(r->renames[k].session_id, sizeof(r->renames[k].session_id), "s%u",
		         n->number);
	}
	session_put(v->session);
	n->refs = 1;
	n->owner = v->id;
	v->session = n;
}

/*
 * Requests without history on one lane are one session, until a request of the process carries some: then its
 * conversations are told apart by that, those whose first message was all that was said so far as well. The first of a
 * session keeps it.
 */
static void convs_part(struct llm_source *s, uint32_t pid, struct ruling *r)
{
	struct conv *v, *o;

	if (has_pid(s->carrying, s->ncarrying, pid))
		return;
	if (s->ncarrying < CARRYING_MAX)
		s->carrying[s->ncarrying++] = pid;
	TAILQ_FOREACH(v, &s->convs, link)
	{
		if (v->lane.pid != pid || v->session->refs == 1)
			continue;
		TAILQ_FOREACH(o, &s->convs, link)
		if (o->session == v->session && o->id < v->id)
			break;
		if (o)
			conv_leaves(s, v, r);
	}
}

/* v's newest request is this one; again: one more attempt at the one before. */
static void conv_update(struct llm_source *s, struct conv *v, bool again, struct ruling *r)
{
	const struct request *q = &s->request;
	uint64_t *hashes;

	TAILQ_REMOVE(&s->convs, v, link);
	TAILQ_INSERT_HEAD(&s->convs, v, link);
	v->lane = q->lane;
	v->call = q->c->id;
	v->logical = again ? v->logical : q->c->id;
	v->attempt = again ? v->attempt + 1 : 1;
	v->ended_ns = 0;
	v->conn = q->c->conn;
	v->late = !q->known && q->c->at_least;
	v->in_flight = true;
	v->failed = false;
	if (!q->n)
		return;
	if (q->history && !v->carried) {
		v->carried = true;
		convs_part(s, q->lane.pid, r);
		if (v->session->owner && v->session->owner != v->id)
			conv_leaves(s, v, r);
		v->session->owner = v->id;
	}
	hashes = malloc(q->n * sizeof(*hashes));
	if (!hashes)
		return;
	memcpy(hashes, q->hashes, q->n * sizeof(*hashes));
	free(v->hashes);
	s->nhashes = s->nhashes - v->n + q->n;
	v->hashes = hashes;
	v->n = q->n;
	v->user = q->user;
	v->digest = q->digest;
	while (s->nhashes > HASHES_MAX && TAILQ_LAST(&s->convs, convs) != v)
		conv_drop(s, TAILQ_LAST(&s->convs, convs));
}

static bool is_pooled(const struct llm_source *s, uint32_t pid)
{
	return has_pid(s->pooled, s->npooled, pid);
}

static void note_pool(struct llm_source *s, const struct conv *v)
{
	uint32_t pid = s->request.lane.pid;

	if (v->lane.pid == pid && !lane_same(v->lane, s->request.lane) && !is_pooled(s, pid) &&
	    s->npooled < POOLED_MAX)
		s->pooled[s->npooled++] = pid;
}

/* Whether a turn v opens ends the turn its lane worked in. Not where that one waits for a reply (the lane is an event
 * loop) and not in a pool, where the other conversation may go on elsewhere. */
static bool ends_lane_turn(struct llm_source *s, const struct conv *v, uint64_t lane_turn)
{
	const struct conv *other = conv_by_turn(s, lane_turn);

	if (!other || other == v)
		return true;
	return !other->in_flight && !is_pooled(s, s->request.lane.pid);
}

/* After a failure the client says that it tries again, or asks the same with a shorter history. */
static bool tries_again(const struct request *q, const struct conv *v)
{
	if (!v->turn || !v->failed)
		return false;
	return q->c->retry_count > 0 || (q->known && q->fresh && q->user == v->turn_user);
}

static bool goes_on(const struct request *q, const struct conv *v)
{
	if (!v->turn || !q->known)
		return false;
	if (q->last == LLM_ROLE_TOOL)
		return true;
	if (q->fresh)
		return q->after_tool && q->user == v->turn_user;
	return q->user == v->turn_user;
}

/* The turn of a call in flight when we came, of which no history tells what follows: over when its connection or its
 * lane is used again. */
static uint64_t late_turn(const struct llm_source *s)
{
	const struct request *q = &s->request;
	struct conv *v;

	TAILQ_FOREACH(v, &s->convs, link)
	{
		if (!v->late || !v->turn || v->lane.pid != q->lane.pid)
			continue;
		if (q->c->conn && v->conn == q->c->conn)
			return v->turn;
		if (lane_same(v->lane, q->lane) && !v->in_flight)
			return v->turn;
	}
	return 0;
}

static void opens(struct llm_source *s, struct conv *v, bool seen_before, uint64_t lane_turn,
                  uint64_t next_turn, struct ruling *r)
{
	const struct request *q = &s->request;

	r->kind = RULING_OPENS;
	r->closes[0] = v->turn;
	r->closes[2] = late_turn(s);
	r->follows = v->turn ? v->turn : r->closes[2];
	if (lane_turn != v->turn && ends_lane_turn(s, v, lane_turn))
		r->closes[1] = lane_turn;
	conv_update(s, v, false, r);
	snprintf(r->session_id, sizeof(r->session_id), "s%u", v->session->number);
	r->turn_index = v->turn_index = v->session->turns++;
	/* A tool's result nobody was seen to ask for, or a repetition of what was not seen: it began earlier. */
	r->at_least = !seen_before && (q->last == LLM_ROLE_TOOL || q->c->retry_count > 0);
	if (q->known && q->last != LLM_ROLE_TOOL && q->user)
		r->role = LLM_ROLE_USER;
	else if (q->known && seen_before)
		r->role = q->last;
	v->turn = next_turn;
	v->turn_user = q->user;
}

static void joins(struct llm_source *s, struct conv *v, enum ruling_kind kind, struct ruling *r)
{
	r->kind = kind;
	r->turn = v->turn;
	if (kind == RULING_RETRIES)
		r->failed_ns = v->ended_ns;
	conv_update(s, v, kind == RULING_RETRIES, r);
	r->logical = v->logical;
	r->attempt = v->attempt;
}

/* Chat requests make turns; so do calls to an LLM of which nothing was read. What was read and is no chat (embeddings,
 * token counts, model lists) does not. */
static bool is_chat(const struct call *c)
{
	if (c->class != CALL_LLM)
		return false;
	if (c->llm)
		return c->llm->kind == LLM_CHAT;
	return !(call_over_http(c) && c->op[0]);
}

static void llm_source_request(void *state, const struct call *c, uint64_t lane_turn,
                               uint64_t next_turn, struct ruling *r)
{
	struct llm_source *s = state;
	const struct request *q = &s->request;
	struct conv *v;
	bool seen_before;

	r->kind = RULING_WAITS;
	r->logical = c->id;
	r->attempt = 1;
	if (!is_chat(c))
		return;
	request_read(s, c);
	r->user = q->user;

	v = conv_retried(s);
	if (v) {
		joins(s, v, RULING_RETRIES, r);
		return;
	}
	v = conv_by_history(s);
	if (v)
		note_pool(s, v);
	/* whose thread is known: not that of a call in flight when we came */
	if (!v && !q->known && !c->at_least)
		v = conv_unread(s);
	else if (!v && q->known && !q->complete)
		v = conv_of_lane(s);
	if (v && tries_again(q, v)) {
		joins(s, v, RULING_RETRIES, r);
		return;
	}
	if (v && goes_on(q, v)) {
		joins(s, v, RULING_CONTINUES, r);
		return;
	}
	seen_before = v != NULL;
	if (!v) {
		struct conv *earlier = q->history ? NULL : conv_stateless(s);

		v = conv_new(s, earlier ? earlier->session : NULL);
	}
	if (v)
		opens(s, v, seen_before, lane_turn, next_turn, r);
}

static void llm_source_done(void *state, const struct call *c)
{
	struct llm_source *s = state;
	struct conv *v;

	TAILQ_FOREACH(v, &s->convs, link)
	{
		if (v->call != c->id)
			continue;
		v->in_flight = false;
		v->ended_ns = c->end_ns;
		v->failed = c->status == CALL_ERROR || c->status == CALL_RATE_LIMITED ||
		            c->status == CALL_TIMEOUT || c->status == CALL_ABORTED;
		return;
	}
}

static uint32_t llm_source_sessions(const void *state)
{
	return ((const struct llm_source *)state)->sessions;
}

static void llm_source_closed(void *state, uint64_t turn)
{
	struct conv *v = conv_by_turn(state, turn);

	if (v)
		v->turn = 0;
}

static void *llm_source_new(void)
{
	struct llm_source *s = calloc(1, sizeof(*s));

	if (s)
		TAILQ_INIT(&s->convs);
	return s;
}

static void llm_source_free(void *state)
{
	struct llm_source *s = state;

	if (!s)
		return;
	while (!TAILQ_EMPTY(&s->convs))
		conv_drop(s, TAILQ_FIRST(&s->convs));
	free(s);
}

const struct turn_source turn_source_llm = {
	.name = "llm",
	.new = llm_source_new,
	.free = llm_source_free,
	.request = llm_source_request,
	.sessions = llm_source_sessions,
	.done = llm_source_done,
	.closed = llm_source_closed,
};
