/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The turn engine. A call to an LLM is ruled on by the source (turn_source/) when its request is complete; a storage
 * call waits on its lane until it is clear for which turn it worked. Every call is added to one turn at most, and only
 * to the time between that turn's start and end, so that the books always balance.
 */
#include "turn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/spans.h"
#include "turn_source/llm.h"

/* Lanes remembered; asyncio makes one per task, so the least recently used go first. */
#define LANES_MAX 4096
/* Turns open at once; the one longest without activity is closed for a further one. */
#define OPEN_MAX 4096
/* Calls of one lane that wait for their turn, and calls known in all: the oldest is then attributed by order. */
#define LANE_PENDING_MAX 1024
#define RECORDS_MAX 16384
#define BUCKETS 4096
/* Processes known to share out calls among several turns by order; the turns of further ones do not say so. */
#define ORDERED_MAX 64

enum record_state {
	RECORD_ASKING,  /* to an LLM, its request is not complete: not ruled on yet */
	RECORD_PENDING, /* waits on its lane */
	RECORD_ACTIVE,  /* of a turn, not ended */
	RECORD_CLOSED, /* its turn has closed, or it was in none: kept until it ends, to know it again */
};

/* What the engine keeps of a call. */
struct record {
	TAILQ_ENTRY(record) link; /* among its lane's pending, or its turn's active calls */
	TAILQ_ENTRY(record) age;
	struct record *next; /* in its bucket */
	enum record_state state;
	struct lane *lane;      /* pending */
	struct open_turn *turn; /* active */
	uint64_t
		near; /* turn of the process that was active last when this call was opened, 0 none */
	bool read_ahead; /* the turn it is given to may start with this call */
	bool done, chat, write, op_known, at_least, unread;
	uint64_t id;
	struct lane_id lane_id;
	uint64_t start_ns, end_ns;
	int64_t ttft_ns;
	enum call_class class;
	enum call_status status;
	enum llm_kind kind;
	enum partial partial;
	struct llm_tokens tokens;
	int http_status;
	char error_kind[48], provider[24], model[96];
	struct call_place place;
};

TAILQ_HEAD(records, record);

struct lane {
	TAILQ_ENTRY(lane) link;
	struct lane *next; /* in its bucket */
	struct lane_id id;
	struct records pending; /* by start */
	uint32_t npending;
	struct open_turn *turn; /* it works in, NULL none */
	bool chats;             /* it made chat calls: not a mere helper */
	bool shared;            /* an event loop of unknown tasks: several turns at once */
	bool settled;           /* calls of it were attributed by order before */
	bool guessed;           /* a guess about its last turn's end touches the next one's start */
	bool gone;              /* the thread has ended */
};

TAILQ_HEAD(lanes, lane);

struct open_turn {
	TAILQ_ENTRY(open_turn) link;
	struct turn t;
	struct records active;
	struct spans llm, storage, backoff, any;
	struct spans stores[TURN_STORES_MAX];
	struct lane_id home;          /* lane of its newest chat call */
	uint64_t first_ns, newest_ns; /* starts of the chat calls that gave ttft and outcome */
	uint64_t chat_end_ns;         /* latest end of a chat call */
	uint64_t failed_end_ns;       /* end of the newest chat call if it failed, else 0 */
	uint64_t tail_end_ns;         /* latest end of any call ... */
	enum call_status tail;        /* ... and how it ended */
	struct llm_tokens tokens;     /* sums of what was seen */
	bool unseen[4]; /* a reply came without this counter: in, out, cached, reasoning */
	bool alone;     /* no other turn of the process was open when it opened */
	bool late;      /* nobody saw who made its first call, which was in flight when we came */
	bool crowded;   /* another one was open beside it */
};

struct turns {
	struct turn_sink *sink;
	const struct turn_source *source;
	void *state;
	TAILQ_HEAD(open_turns, open_turn) open; /* last active first */
	uint32_t nopen;
	uint64_t next_id;
	struct lanes lanes; /* last used first */
	uint32_t nlanes;
	struct records records; /* oldest first */
	uint32_t nrecords;
	struct record *record_of[BUCKETS];
	struct lane *lane_of[BUCKETS];
	uint32_t ordered[ORDERED_MAX]; /* processes */
	uint32_t nordered;
	uint64_t progress_ns; /* latest end of a call that its peer ended */
	struct turn last;
	bool any_closed;
};

/* --- Turns: books --- */

static void touch(struct turns *t, struct open_turn *o)
{
	TAILQ_REMOVE(&t->open, o, link);
	TAILQ_INSERT_HEAD(&t->open, o, link);
}

static struct open_turn *turn_find(const struct turns *t, uint64_t id)
{
	struct open_turn *o;

	TAILQ_FOREACH(o, &t->open, link)
	if (id && o->t.id == id)
		return o;
	return NULL;
}

/* The turn of a process that was active last. */
static struct open_turn *turn_near(const struct turns *t, uint32_t pid)
{
	struct open_turn *o;

	TAILQ_FOREACH(o, &t->open, link)
	if (o->t.pid == pid)
		return o;
	return NULL;
}

static void turn_partial(struct open_turn *o, enum partial why)
{
	if (o->t.partial == PARTIAL_NONE)
		o->t.partial = why;
}

static bool has_failed(enum call_status s)
{
	return s == CALL_ERROR || s == CALL_RATE_LIMITED || s == CALL_TIMEOUT || s == CALL_ABORTED;
}

/* The peer did not end it: the connection went, or the observer. */
static bool is_given_up(enum call_status s)
{
	return s == CALL_UNKNOWN || s == CALL_ABORTED || s == CALL_TIMEOUT;
}

static enum turn_status outcome(enum call_status s)
{
	static const enum turn_status of[] = {
		[CALL_OK] = TURN_OK,
		[CALL_ERROR] = TURN_ERROR,
		[CALL_RATE_LIMITED] = TURN_RATE_LIMITED,
		[CALL_TIMEOUT] = TURN_TIMEOUT,
		[CALL_ABORTED] = TURN_ABORTED,
		[CALL_UNKNOWN] = TURN_UNKNOWN,
	};
	return of[s];
}

/* Sums one counter. A reply without it makes the sum unknown; a call that failed, or never has it, does not. */
static void add_tokens(int64_t *sum, bool *unseen, int64_t n, bool expected)
{
	if (n >= 0)
		*sum = (*sum < 0 ? 0 : *sum) + n;
	else if (expected)
		*unseen = true;
}

static void book_tokens(struct open_turn *o, const struct record *r)
{
	bool reply = !has_failed(r->status), chat = r->chat;
	struct llm_tokens *sum = &o->tokens;

	if (!chat && r->kind != LLM_EMBEDDING)
		return;
	add_tokens(&sum->in, &o->unseen[0], r->tokens.in, reply);
	add_tokens(&sum->out, &o->unseen[1], r->tokens.out, reply && chat);
	add_tokens(&sum->cached, &o->unseen[2], r->tokens.cached, reply && chat);
	add_tokens(&sum->reasoning, &o->unseen[3], r->tokens.reasoning, reply && chat);
}

static void book_chat(struct open_turn *o, const struct record *r)
{
	struct turn *t = &o->t;

	if (r->end_ns > o->chat_end_ns)
		o->chat_end_ns = r->end_ns;
	if (r->ttft_ns >= 0 && (t->ttft_ns < 0 || r->start_ns < o->first_ns)) {
		t->ttft_ns = r->ttft_ns;
		o->first_ns = r->start_ns;
	}
	if (r->start_ns < o->newest_ns)
		return;
	o->newest_ns = r->start_ns;
	t->status = outcome(r->status);
	memcpy(t->error_kind, r->error_kind, sizeof(t->error_kind));
	memcpy(t->error_endpoint, r->place.endpoint, sizeof(t->error_endpoint));
	t->error_http_status = r->http_status;
	o->failed_end_ns = has_failed(r->status) ? r->end_ns : 0;
	memcpy(t->model, r->model, sizeof(t->model));
	memcpy(t->provider, r->provider, sizeof(t->provider));
}

static void book_store(struct open_turn *o, const struct record *r, uint64_t start_ns,
                       uint64_t end_ns)
{
	struct turn_store *s;
	uint32_t i;

	for (i = 0; i < o->t.nstores; i++)
		if (strcmp(o->t.stores[i].label, r->place.label) == 0)
			break;
	if (i == TURN_STORES_MAX) {
		turn_partial(o, PARTIAL_TRUNCATED);
		return;
	}
	s = &o->t.stores[i];
	if (i == o->t.nstores) {
		o->t.nstores++;
		memcpy(s->label, r->place.label, sizeof(s->label));
		memcpy(s->system, r->place.system, sizeof(s->system));
		snprintf(s->endpoint, sizeof(s->endpoint), "%.*s", (int)sizeof(s->endpoint) - 1,
		         r->place.endpoint);
	}
	s->calls++;
	s->errors += has_failed(r->status);
	spans_add(&o->stores[i], start_ns, end_ns);
}

/* Adds a call that ended (or is cut off at end_ns) to a turn. Time before the turn's start is not the turn's. */
static void book(struct open_turn *o, const struct record *r, uint64_t end_ns)
{
	uint64_t start_ns = r->start_ns < o->t.start_ns ? o->t.start_ns : r->start_ns;

	if (end_ns < start_ns)
		end_ns = start_ns;
	if (end_ns > o->t.end_ns)
		o->t.end_ns = end_ns;
	if (end_ns >= o->tail_end_ns) {
		o->tail_end_ns = end_ns;
		o->tail = r->status;
	}
	if (r->partial != PARTIAL_NONE)
		turn_partial(o, r->partial);
	else if (r->chat && r->unread)
		turn_partial(o, PARTIAL_NO_PLAINTEXT);
	o->t.at_least |= r->at_least;
	spans_add(&o->any, start_ns, end_ns);
	if (r->class == CALL_STORAGE) {
		o->t.storage_calls++;
		spans_add(&o->storage, start_ns, end_ns);
		book_store(o, r, start_ns, end_ns);
		return;
	}
	o->t.llm_calls++;
	spans_add(&o->llm, start_ns, end_ns);
	book_tokens(o, r);
	if (r->chat)
		book_chat(o, r);
}

/* Brings the sums of o->t up to date. */
static const struct turn *balance(struct open_turn *o)
{
	struct turn *t = &o->t;
	uint64_t any = spans_total(&o->any), sum;

	t->llm_ns = spans_total(&o->llm);
	t->storage_ns = spans_total(&o->storage);
	t->backoff_ns = spans_total(&o->backoff);
	sum = t->llm_ns + t->storage_ns + t->backoff_ns;
	t->overlap_ns = sum > any ? sum - any : 0;
	t->tokens.in = o->unseen[0] ? -1 : o->tokens.in;
	t->tokens.out = o->unseen[1] ? -1 : o->tokens.out;
	t->tokens.cached = o->unseen[2] ? -1 : o->tokens.cached;
	t->tokens.reasoning = o->unseen[3] ? -1 : o->tokens.reasoning;
	for (uint32_t i = 0; i < t->nstores; i++)
		t->stores[i].ms = turn_ms(spans_total(&o->stores[i]));
	if (o->llm.cut || o->storage.cut || o->backoff.cut || o->any.cut)
		turn_partial(o, PARTIAL_TRUNCATED);
	return t;
}

static void open_turn_free(struct open_turn *o)
{
	spans_free(&o->llm);
	spans_free(&o->storage);
	spans_free(&o->backoff);
	spans_free(&o->any);
	for (uint32_t i = 0; i < TURN_STORES_MAX; i++)
		spans_free(&o->stores[i]);
	free(o);
}

/* --- Records --- */

static struct record **record_slot(struct turns *t, uint64_t id)
{
	struct record **r = &t->record_of[id % BUCKETS];

	while (*r && (*r)->id != id)
		r = &(*r)->next;
	return r;
}

/* Takes r off its lane or turn. */
static void record_unlink(struct record *r)
{
	if (r->lane) {
		TAILQ_REMOVE(&r->lane->pending, r, link);
		r->lane->npending--;
		r->lane = NULL;
	}
	if (r->turn) {
		TAILQ_REMOVE(&r->turn->active, r, link);
		r->turn = NULL;
	}
}

static void record_free(struct turns *t, struct record *r)
{
	record_unlink(r);
	*record_slot(t, r->id) = r->next;
	TAILQ_REMOVE(&t->records, r, age);
	t->nrecords--;
	free(r);
}

/* r is nobody's any more; if it has not ended it is kept to be known again. */
static void record_close(struct turns *t, struct record *r)
{
	record_unlink(r);
	r->state = RECORD_CLOSED;
	if (r->done)
		record_free(t, r);
}

static void pending_insert(struct lane *l, struct record *r)
{
	struct record *after = TAILQ_LAST(&l->pending, records);

	while (after && after->start_ns > r->start_ns)
		after = TAILQ_PREV(after, records, link);
	if (after)
		TAILQ_INSERT_AFTER(&l->pending, after, r, link);
	else
		TAILQ_INSERT_HEAD(&l->pending, r, link);
	l->npending++;
	r->lane = l;
	r->state = RECORD_PENDING;
}

/* r is o's. */
static void give(struct turns *t, struct open_turn *o, struct record *r)
{
	record_unlink(r);
	if (r->done) {
		book(o, r, r->end_ns);
		record_free(t, r);
		return;
	}
	r->state = RECORD_ACTIVE;
	r->turn = o;
	TAILQ_INSERT_TAIL(&o->active, r, link);
}

/* r is o's as its lane's own work: the turn starts no later. */
static void give_own(struct turns *t, struct open_turn *o, struct record *r)
{
	if (r->start_ns < o->t.start_ns)
		o->t.start_ns = r->start_ns;
	give(t, o, r);
}

static bool is_ordered(const struct turns *t, uint32_t pid)
{
	for (uint32_t i = 0; i < t->nordered; i++)
		if (t->ordered[i] == pid)
			return true;
	return false;
}

/* A call beside o went to one turn by order: with several open it may have been another's, which has lost it then. From
 * here on all turns of the process that are not alone say so. */
static void note_order(struct turns *t, const struct open_turn *o)
{
	if (o->crowded && !is_ordered(t, o->t.pid) && t->nordered < ORDERED_MAX)
		t->ordered[t->nordered++] = o->t.pid;
}

/* r is o's, as far as the order of things tells. What ended before o began was its work only if it waited for o. */
static void give_by_order(struct turns *t, struct open_turn *o, struct record *r)
{
	r->lane->settled = true;
	note_order(t, o);
	if (r->near == 0 && o->alone && r->op_known && !r->write)
		r->read_ahead = true;
	if (r->read_ahead && r->start_ns < o->t.start_ns)
		o->t.start_ns = r->start_ns;
	if (r->near != o->t.id && r->done && r->end_ns <= o->t.start_ns &&
	    r->start_ns < o->t.start_ns) {
		record_close(t, r);
		return;
	}
	o->t.attribution_order = true;
	give(t, o, r);
}

/* r belongs to no turn. */
static void give_nobody(struct turns *t, struct record *r)
{
	struct llm_call llm = { .kind = r->kind, .tokens = r->tokens };
	struct call c = {
		.id = r->id,
		.pid = r->lane_id.pid,
		.tid = r->lane_id.tid,
		.task = r->lane_id.task,
		.start_ns = r->start_ns,
		.request_ns = r->start_ns,
		.end_ns = r->end_ns,
		.at_least = r->at_least,
		.class = r->class,
		.status = r->status,
		.partial = r->partial,
		.http_status = r->http_status,
		.retry_count = -1,
		.retry_after_s = -1,
		.llm = r->kind == LLM_NONE ? NULL : &llm,
	};

	if (r->class == CALL_LLM)
		t->sink->outside(t->sink, &c);
	record_close(t, r);
}

/* The open turn of a process that opened when no other was; NULL: it has closed. */
static struct open_turn *turn_first(const struct turns *t, uint32_t pid)
{
	struct open_turn *o;

	TAILQ_FOREACH(o, &t->open, link)
	if (o->t.pid == pid && o->alone)
		return o;
	return NULL;
}

/* A pending call that can wait no longer: its lane's turn, else the one that was near (when none was, the first), else
 * the newest. */
static void settle(struct turns *t, struct record *r)
{
	struct open_turn *o = r->lane->shared ? NULL : r->lane->turn;

	if (!o)
		o = r->near ? turn_find(t, r->near) : turn_first(t, r->lane_id.pid);
	if (!o)
		o = turn_near(t, r->lane_id.pid);
	if (o)
		give_by_order(t, o, r);
	else
		give_nobody(t, r);
}

/* Makes room for a record: the oldest that waits is attributed now; if none waits, the oldest is not followed to
 * its end. */
static void record_forget(struct turns *t)
{
	struct record *r;

	TAILQ_FOREACH(r, &t->records, age)
	if (r->state == RECORD_PENDING && r->done)
		break;
	if (r) {
		settle(t, r);
		return;
	}
	r = TAILQ_FIRST(&t->records);
	if (r->state == RECORD_PENDING)
		settle(t, r);
	if (r->turn)
		turn_partial(r->turn, PARTIAL_TRUNCATED);
	record_free(t, r);
}

static void name_place(struct record *r, const struct call *c, const struct call_place *p)
{
	if (p)
		r->place = *p;
	r->place.label[sizeof(r->place.label) - 1] = '\0';
	r->place.system[sizeof(r->place.system) - 1] = '\0';
	r->place.endpoint[sizeof(r->place.endpoint) - 1] = '\0';
	if (!r->place.label[0])
		snprintf(r->place.label, sizeof(r->place.label), "%s",
		         r->place.system[0] ? r->place.system
		         : c->proto         ? c->proto
		                            : "storage");
}

/* Copies what is known of c by now. */
static void record_fill(struct record *r, const struct call *c, const struct call_place *p)
{
	uint64_t asked = c->request_ns ? c->request_ns : c->start_ns;

	if (r->state == RECORD_ASKING) {
		r->start_ns = c->start_ns;
		r->lane_id = (struct lane_id){ c->pid, c->tid, c->task };
	}
	r->at_least = c->at_least;
	r->class = c->class;
	r->write = c->class == CALL_STORAGE && c->write;
	r->op_known = c->class == CALL_LLM || c->op_known;
	r->status = c->status;
	r->partial = c->partial;
	r->http_status = c->http_status;
	snprintf(r->error_kind, sizeof(r->error_kind), "%s", c->error_kind);
	name_place(r, c, p);
	r->unread = !c->llm;
	r->ttft_ns = -1;
	r->tokens = (struct llm_tokens){ -1, -1, -1, -1 };
	if (!c->llm)
		return;
	r->kind = c->llm->kind;
	r->tokens = c->llm->tokens;
	snprintf(r->model, sizeof(r->model), "%s", c->llm->model);
	snprintf(r->provider, sizeof(r->provider), "%s", c->llm->provider);
	if (c->llm->first_content_ns >= asked && asked && !c->at_least)
		r->ttft_ns = (int64_t)(c->llm->first_content_ns - asked);
}

/* --- Lanes --- */

static struct lane **lane_slot(struct turns *t, struct lane_id id)
{
	uint64_t h = bytes_hash(0, (struct bytes){ (const char *)&id, sizeof(id) });
	struct lane **l = &t->lane_of[h % BUCKETS];

	while (*l && !lane_same((*l)->id, id))
		l = &(*l)->next;
	return l;
}

static void lane_unname(struct turns *t, struct lane *l)
{
	struct lane **slot = lane_slot(t, l->id);

	if (*slot == l)
		*slot = l->next;
}

static void lane_free(struct turns *t, struct lane *l)
{
	while (!TAILQ_EMPTY(&l->pending))
		settle(t, TAILQ_FIRST(&l->pending));
	if (!l->gone)
		lane_unname(t, l);
	TAILQ_REMOVE(&t->lanes, l, link);
	t->nlanes--;
	free(l);
}

/* The lane of that name, made if need be; NULL when out of memory. */
static struct lane *lane_get(struct turns *t, struct lane_id id)
{
	struct lane **slot = lane_slot(t, id), *l = *slot;

	if (l) {
		TAILQ_REMOVE(&t->lanes, l, link);
		TAILQ_INSERT_HEAD(&t->lanes, l, link);
		return l;
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->id = id;
	TAILQ_INIT(&l->pending);
	*slot = l;
	TAILQ_INSERT_HEAD(&t->lanes, l, link);
	if (++t->nlanes > LANES_MAX)
		lane_free(t, TAILQ_LAST(&t->lanes, lanes));
	return l;
}

/* Where the lane's pending calls before before_ns divide: those from the record returned on serve the turn that
 * follows o. After the last write, and after o's newest request, wherever that was made; where operations are unknown,
 * at the largest gap (*guessed). NULL: none of them. */
static struct record *boundary(struct lane *l, const struct open_turn *o, uint64_t before_ns,
                               bool *guessed)
{
	struct record *r, *known = TAILQ_FIRST(&l->pending), *gap = known;
	uint64_t widest = 0, end_ns = o->chat_end_ns, wide;
	bool unknown = false;

	TAILQ_FOREACH(r, &l->pending, link)
	{
		if (r->start_ns >= before_ns)
			break;
		unknown |= !r->op_known;
		if (r->write || r->start_ns < o->newest_ns)
			known = TAILQ_NEXT(r, link);
		wide = r->start_ns > end_ns ? r->start_ns - end_ns : 0;
		if (wide > widest && end_ns) {
			widest = wide;
			gap = r;
		}
		if (!r->done)
			end_ns = before_ns;
		else if (r->end_ns > end_ns)
			end_ns = r->end_ns;
	}
	if (!unknown)
		return known;
	*guessed = true;
	return before_ns > end_ns && before_ns - end_ns > widest ? r : gap;
}

/* Gives o the pending calls of l up to `until`. */
static void give_until(struct turns *t, struct lane *l, struct open_turn *o,
                       const struct record *until)
{
	struct record *r, *next;

	for (r = TAILQ_FIRST(&l->pending); r && r != until; r = next) {
		next = TAILQ_NEXT(r, link);
		give_own(t, o, r);
	}
}

/* The lane goes over to o, which is new or open, with a chat call at ns: shares out what it did before. What is older
 * than an open turn is not its work. before: the turn that o goes on from, NULL none. */
static void lane_shift(struct turns *t, struct lane *l, struct open_turn *before,
                       struct open_turn *o, uint64_t ns)
{
	bool guessed = l->guessed;
	struct record *r, *until;

	if (l->shared)
		return;
	if (before && before != o) {
		until = boundary(l, before, ns, &guessed);
		if (before == l->turn)
			give_until(t, l, before, until);
		while (before != l->turn && (r = TAILQ_FIRST(&l->pending)) && r != until)
			give_by_order(t, before, r);
	}
	if (guessed && before != o) {
		o->t.boundary_guessed = true;
		if (before)
			before->t.boundary_guessed = true;
	}
	l->guessed = false;
	while ((r = TAILQ_FIRST(&l->pending)) && r->start_ns < ns) {
		if (o->newest_ns && r->start_ns < o->t.start_ns)
			settle(t, r);
		else
			give_own(t, o, r);
	}
}

static bool waits_on(const struct open_turn *o, struct lane_id id)
{
	const struct record *r;

	TAILQ_FOREACH(r, &o->active, link)
	if (r->chat && lane_same(r->lane_id, id))
		return true;
	return false;
}

/* --- Turns: close --- */

/* A lane that worked in o: what it did for it, and what it may have done for its next. */
static void close_own_lane(struct turns *t, struct lane *l, struct open_turn *o, uint64_t ts_ns,
                           bool last)
{
	struct record *until = NULL, *r;

	if (!l->shared && !last) {
		until = boundary(l, o, ts_ns, &l->guessed);
		o->t.boundary_guessed |= l->guessed;
	}
	if (!l->shared) {
		give_until(t, l, o, until);
		TAILQ_FOREACH(r, &l->pending, link)
		r->near = o->t.id;
	}
	l->turn = NULL;
}

/* The first of a helper's pending calls that may be reads for the turn that follows o: behind the last write and behind
 * o's own end. If the lane was never attributed before, it may yet turn out to have a turn of its own: then all its
 * reads since o's newest request wait as long as the last of them does. What a request of o's followed was read for it. */
static struct record *helper_reads(struct lane *l, const struct open_turn *o, uint64_t end_ns)
{
	struct record *r, *tail = TAILQ_FIRST(&l->pending),
			  *last = TAILQ_LAST(&l->pending, records);
	bool late = !last->done || last->end_ns >= end_ns;
	uint64_t since_ns = !l->settled && !l->shared && late ? o->newest_ns : end_ns;

	TAILQ_FOREACH(r, &l->pending, link)
	if (r->write || !r->op_known)
		tail = TAILQ_NEXT(r, link);
	while (tail && tail->start_ns < since_ns)
		tail = TAILQ_NEXT(tail, link);
	return tail;
}

/* A lane with no turn of its own: what it did near o is o's by order; reads behind its end wait for the next turn. */
static void close_helper(struct turns *t, struct lane *l, struct open_turn *o, uint64_t end_ns,
                         struct open_turn *heir)
{
	struct record *reads = heir ? helper_reads(l, o, end_ns) : NULL, *r, *next;
	bool waits = false;

	for (r = TAILQ_FIRST(&l->pending); r; r = next) {
		next = TAILQ_NEXT(r, link);
		if (r->write) /* reads may yet be those of a thread before its first LLM call */
			note_order(t, o);
		waits |= r == reads;
		if (r->near && r->near != o->t.id)
			continue;
		if (waits) {
			r->near = heir->t.id;
			r->read_ahead = r->start_ns >= end_ns;
		} else {
			struct open_turn *first = r->near ? NULL : turn_first(t, o->t.pid);

			give_by_order(t, first ? first : o, r);
		}
	}
}

/* Calls of o that have not ended are counted up to now; their outcome is not known. */
static void close_active(struct turns *t, struct open_turn *o, uint64_t ts_ns)
{
	struct record *r;

	while ((r = TAILQ_FIRST(&o->active))) {
		r->status = CALL_UNKNOWN;
		r->end_ns = ts_ns > r->start_ns ? ts_ns : r->start_ns;
		book(o, r, r->end_ns);
		record_close(t, r);
	}
}

/* o closes: gives it all that was done for it. heir: the turn whose opening closes it, NULL none. last: nothing of its
 * process follows. */
static void turn_gather(struct turns *t, struct open_turn *o, uint64_t ts_ns,
                        struct open_turn *heir, bool last)
{
	struct lane *l, *next;
	uint64_t end_ns;

	for (l = TAILQ_FIRST(&t->lanes); l; l = next) {
		next = TAILQ_NEXT(l, link);
		if (l->turn == o)
			close_own_lane(t, l, o, ts_ns, last);
	}
	end_ns = TAILQ_EMPTY(&o->active) ? o->t.end_ns : ts_ns;
	for (l = TAILQ_FIRST(&t->lanes); l; l = next) {
		next = TAILQ_NEXT(l, link);
		if (l->id.pid == o->t.pid && (!l->turn || l->shared) && l->npending)
			close_helper(t, l, o, end_ns,
			             heir && heir->t.pid == o->t.pid ? heir : NULL);
		if (l->gone && !l->npending)
			lane_free(t, l);
	}
	close_active(t, o, ts_ns);
}

/* Hands o out and forgets it. */
static void turn_hand_out(struct turns *t, struct open_turn *o)
{
	o->t.attribution_order |= o->crowded && is_ordered(t, o->t.pid);
	t->last = *balance(o);
	t->any_closed = true;
	TAILQ_REMOVE(&t->open, o, link);
	t->nopen--;
	t->source->closed(t->state, o->t.id);
	t->sink->closed(t->sink, &t->last);
	open_turn_free(o);
}

static void turn_close(struct turns *t, struct open_turn *o, uint64_t ts_ns, struct open_turn *heir,
                       bool last)
{
	turn_gather(t, o, ts_ns, heir, last);
	turn_hand_out(t, o);
}

/* --- Turns: open, continue --- */

static struct open_turn *turn_new(struct turns *t, const struct record *r,
                                  const struct ruling *ruling)
{
	struct open_turn *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	TAILQ_INIT(&o->active);
	o->t.id = t->next_id++;
	snprintf(o->t.session_id, sizeof(o->t.session_id), "%s", ruling->session_id);
	o->t.turn_index = ruling->turn_index;
	o->t.role = ruling->role;
	o->t.pid = r->lane_id.pid;
	o->t.tid = r->lane_id.tid;
	o->t.start_ns = o->t.end_ns = r->start_ns;
	o->t.ttft_ns = -1;
	o->tokens = (struct llm_tokens){ -1, -1, -1, -1 };
	o->t.status = TURN_UNKNOWN;
	o->t.at_least = ruling->at_least;
	o->tail = CALL_UNKNOWN;
	o->alone = !turn_near(t, r->lane_id.pid);
	o->late = r->at_least && r->unread;
	TAILQ_INSERT_HEAD(&t->open, o, link);
	t->nopen++;
	return o;
}

/* The chat call r is o's; its lane works in o from here on. */
static void turn_join(struct turns *t, struct open_turn *o, struct lane *l, struct record *r)
{
	touch(t, o);
	o->home = l->id;
	if (r->start_ns > o->t.end_ns)
		o->t.end_ns = r->start_ns;
	o->newest_ns = r->start_ns;
	o->failed_end_ns = 0;
	o->t.status = TURN_UNKNOWN;
	o->t.error_kind[0] = o->t.error_endpoint[0] = '\0';
	o->t.error_http_status = 0;
	l->turn = o;
	l->chats = true;
	give_own(t, o, r);
}

/* The turn in which the lane worked before the one that the ruling opens: its own; if it has none, the one the new turn
 * follows, where no other could have had the lane's help, or where it is all that is known of that turn. */
static struct open_turn *turn_before(const struct turns *t, const struct lane *l,
                                     const struct ruling *ruling)
{
	struct open_turn *o = turn_find(t, ruling->follows);

	if (l->turn || !o || o->t.pid != l->id.pid)
		return l->turn;
	return o->late || !o->crowded ? o : NULL;
}

static void turn_open(struct turns *t, struct lane *l, struct record *r,
                      const struct ruling *ruling)
{
	struct open_turn *before = turn_before(t, l, ruling), *o = turn_new(t, r, ruling), *old;

	if (!o) {
		give_nobody(t, r);
		return;
	}
	lane_shift(t, l, before, o, r->start_ns);
	if (l->turn && waits_on(l->turn, l->id))
		l->shared = true;
	l->turn = o;
	for (int i = 0; i < RULING_CLOSES_MAX; i++) {
		old = turn_find(t, ruling->closes[i]);
		if (old && old != o)
			turn_close(t, old, r->start_ns, o, false);
	}
	if (t->nopen > OPEN_MAX)
		turn_close(t, TAILQ_LAST(&t->open, open_turns), r->start_ns, NULL, false);
	TAILQ_FOREACH(old, &t->open, link)
	if (old != o && old->t.pid == o->t.pid)
		old->crowded = o->crowded = true;
	turn_join(t, o, l, r);
	t->sink->opened(t->sink, balance(o));
}

static void turn_continue(struct turns *t, struct lane *l, struct record *r,
                          const struct ruling *ruling)
{
	struct open_turn *o = turn_find(t, ruling->turn);

	if (!o) {
		give_nobody(t, r);
		return;
	}
	lane_shift(t, l, l->turn, o, r->start_ns);
	if (l->turn && l->turn != o && waits_on(l->turn, l->id))
		l->shared = true;
	if (ruling->kind == RULING_RETRIES) {
		o->t.retries++;
		if (o->failed_end_ns && o->failed_end_ns < r->start_ns) {
			spans_add(&o->backoff, o->failed_end_ns, r->start_ns);
			spans_add(&o->any, o->failed_end_ns, r->start_ns);
		}
	}
	turn_join(t, o, l, r);
}

/* --- Calls --- */

static void wait_on_lane(struct turns *t, struct lane *l, struct record *r)
{
	struct open_turn *o = l->shared ? NULL : l->turn;

	if (o)
		touch(t, o);
	else
		o = turn_near(t, l->id.pid);
	r->near = o ? o->t.id : 0;
	pending_insert(l, r);
	if (l->npending > LANE_PENDING_MAX)
		settle(t, TAILQ_FIRST(&l->pending));
}

/* The request of the LLM call r is complete. */
static void rule(struct turns *t, struct record *r, const struct call *c)
{
	struct lane *l = lane_get(t, r->lane_id);
	struct ruling ruling = { 0 };

	if (!l) {
		give_nobody(t, r);
		return;
	}
	t->source->request(t->state, c, l->turn ? l->turn->t.id : 0, t->next_id, &ruling);
	r->chat = ruling.kind != RULING_WAITS;
	if (ruling.kind == RULING_OPENS)
		turn_open(t, l, r, &ruling);
	else if (ruling.kind == RULING_WAITS)
		wait_on_lane(t, l, r);
	else
		turn_continue(t, l, r, &ruling);
}

static struct record *record_new(struct turns *t, const struct call *c, const struct call_place *p)
{
	struct record *r = calloc(1, sizeof(*r));
	struct lane *l = NULL;

	if (!r)
		return NULL;
	r->id = c->id;
	record_fill(r, c, p);
	if (c->class == CALL_STORAGE) {
		l = lane_get(t, r->lane_id);
		if (!l) {
			free(r);
			return NULL;
		}
	}
	if (t->nrecords == RECORDS_MAX)
		record_forget(t);
	*record_slot(t, c->id) = r;
	TAILQ_INSERT_TAIL(&t->records, r, age);
	t->nrecords++;
	if (l)
		wait_on_lane(t, l, r);
	return r;
}

static bool belongs_to_turns(const struct call *c)
{
	return c->class == CALL_LLM || c->class == CALL_STORAGE;
}

/* The record of c, brought up to date; NULL if c is none of ours, or not any more. */
static struct record *record_update(struct turns *t, const struct call *c,
                                    const struct call_place *p)
{
	struct record *r = *record_slot(t, c->id);

	if (r && r->class != c->class && r->state != RECORD_CLOSED) {
		record_free(t, r);
		r = NULL;
	}
	if (!r)
		return belongs_to_turns(c) ? record_new(t, c, p) : NULL;
	record_fill(r, c, p);
	return r;
}

void turns_call_opened(struct turns *t, const struct call *c, const struct call_place *p)
{
	record_update(t, c, p);
}

void turns_call_sent(struct turns *t, const struct call *c, const struct call_place *p)
{
	struct record *r = record_update(t, c, p);

	if (r && r->state == RECORD_ASKING)
		rule(t, r, c);
}

void turns_call_done(struct turns *t, const struct call *c, const struct call_place *p)
{
	struct record *r;

	turns_call_sent(t, c, p);
	r = *record_slot(t, c->id);
	if (!r)
		return;
	if (c->class == CALL_LLM)
		t->source->done(t->state, c);
	r->done = true;
	r->end_ns = c->end_ns > r->start_ns ? c->end_ns : r->start_ns;
	if (!is_given_up(c->status) && r->end_ns > t->progress_ns)
		t->progress_ns = r->end_ns;
	if (r->state == RECORD_CLOSED) {
		record_free(t, r);
	} else if (r->state == RECORD_ACTIVE) {
		touch(t, r->turn);
		give(t, r->turn, r);
	} else if (r->lane && r->lane->turn && !r->lane->shared) {
		touch(t, r->lane->turn);
	}
}

/* --- Ends --- */

/* A lane ends: what it still has is its turn's; a helper's waits on for the turn it helped to close. */
static void lane_end(struct turns *t, struct lane *l, uint64_t ts_ns)
{
	struct open_turn *o = l->shared ? NULL : l->turn;
	bool home = o && lane_same(o->home, l->id);

	if (o)
		give_until(t, l, o, NULL);
	while (l->chats && !l->shared && l->npending)
		settle(t, TAILQ_FIRST(&l->pending));
	l->turn = NULL;
	lane_unname(t, l);
	l->gone = true;
	if (!l->npending)
		lane_free(t, l);
	if (home)
		turn_close(t, o, ts_ns, NULL, false);
}

static struct lane *lane_find(const struct turns *t, uint32_t pid, uint32_t tid)
{
	struct lane *l;

	TAILQ_FOREACH(l, &t->lanes, link)
	if (!l->gone && l->id.pid == pid && (tid == 0 || l->id.tid == tid))
		return l;
	return NULL;
}

/* The open turn that opened first after `id`, of one process or (pid 0) of all. */
static struct open_turn *turn_next(const struct turns *t, uint32_t pid, uint64_t id)
{
	struct open_turn *o, *first = NULL;

	TAILQ_FOREACH(o, &t->open, link)
	if ((pid == 0 || o->t.pid == pid) && o->t.id > id && (!first || o->t.id < first->t.id))
		first = o;
	return first;
}

/* Lanes with nothing of their own to close have their calls attributed while there still are turns to choose from. */
static void settle_strays(struct turns *t, uint32_t pid)
{
	struct lane *l;

	TAILQ_FOREACH(l, &t->lanes, link)
	while ((pid == 0 || l->id.pid == pid) && l->chats && !l->shared && !l->turn && l->npending)
		settle(t, TAILQ_FIRST(&l->pending));
}

void turns_thread_exit(struct turns *t, uint32_t pid, uint32_t tid, uint64_t ts_ns)
{
	struct lane *l;
	struct open_turn *o, *next;

	while ((l = lane_find(t, pid, tid)))
		lane_end(t, l, ts_ns);
	/* Turns whose home was an event loop of unknown tasks on that thread. */
	for (o = TAILQ_FIRST(&t->open); o; o = next) {
		next = TAILQ_NEXT(o, link);
		if (o->home.pid == pid && o->home.tid == tid)
			turn_close(t, o, ts_ns, NULL, false);
	}
}

void turns_process_exit(struct turns *t, uint32_t pid, uint64_t ts_ns)
{
	struct open_turn *o;
	struct lane *l, *next;

	settle_strays(t, pid);
	while ((o = turn_next(t, pid, 0)))
		turn_close(t, o, ts_ns, NULL, true);
	for (l = TAILQ_FIRST(&t->lanes); l; l = next) {
		next = TAILQ_NEXT(l, link);
		if (l->id.pid == pid)
			lane_free(t, l);
	}
	for (uint32_t i = 0; i < t->nordered; i++)
		if (t->ordered[i] == pid)
			t->ordered[i] = t->ordered[--t->nordered];
}

/* Its last call was given up, and no call of the run has ended well since. */
static bool hangs(const struct turns *t, const struct open_turn *o)
{
	return is_given_up(o->tail) && o->tail_end_ns >= t->progress_ns;
}

/* The stall holds in every turn whose last call hung; if none did, in the one that was active last: for all that was
 * seen it was not over. */
static void mark_stalled(struct turns *t, struct open_turn *newest)
{
	struct open_turn *o;
	bool any = false;

	TAILQ_FOREACH(o, &t->open, link)
	{
		if (!hangs(t, o))
			continue;
		o->t.status = TURN_STALLED;
		any = true;
	}
	if (!any && newest)
		newest->t.status = TURN_STALLED;
}

void turns_end(struct turns *t, uint64_t ts_ns, bool stalled)
{
	struct open_turn *newest = TAILQ_FIRST(&t->open), *o;
	struct record *r, *next;

	settle_strays(t, 0);
	for (o = turn_next(t, 0, 0); o; o = turn_next(t, 0, o->t.id))
		turn_gather(t, o, ts_ns, NULL, true);
	if (stalled)
		mark_stalled(t, newest);
	while ((o = turn_next(t, 0, 0)))
		turn_hand_out(t, o);
	while (!TAILQ_EMPTY(&t->lanes))
		lane_free(t, TAILQ_FIRST(&t->lanes));
	for (r = TAILQ_FIRST(&t->records); r; r = next) {
		next = TAILQ_NEXT(r, age);
		if (r->state == RECORD_ASKING)
			give_nobody(t, r);
	}
}

struct turns *turns_new(struct turn_sink *sink)
{
	struct turns *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->sink = sink;
	t->next_id = 1;
	TAILQ_INIT(&t->open);
	TAILQ_INIT(&t->lanes);
	TAILQ_INIT(&t->records);
	t->source = &turn_source_llm;
	t->state = t->source->new ();
	if (!t->state) {
		free(t);
		return NULL;
	}
	return t;
}

void turns_free(struct turns *t)
{
	struct open_turn *o;
	struct record *r;
	struct lane *l;

	if (!t)
		return;
	while ((r = TAILQ_FIRST(&t->records)))
		record_free(t, r);
	while ((l = TAILQ_FIRST(&t->lanes))) {
		TAILQ_REMOVE(&t->lanes, l, link);
		free(l);
	}
	while ((o = TAILQ_FIRST(&t->open))) {
		TAILQ_REMOVE(&t->open, o, link);
		open_turn_free(o);
	}
	t->source->free(t->state);
	free(t);
}

const struct turn *turns_last(const struct turns *t)
{
	return t->any_closed ? &t->last : NULL;
}

const struct turn *turns_open(const struct turns *t)
{
	return TAILQ_EMPTY(&t->open) ? NULL : balance(TAILQ_FIRST(&t->open));
}

uint32_t turns_open_count(const struct turns *t)
{
	return t->nopen;
}

double turn_ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

const char *turn_status_name(enum turn_status s)
{
	static const char *const names[] = {
		[TURN_OK] = "ok",
		[TURN_ERROR] = "error",
		[TURN_RATE_LIMITED] = "rate_limited",
		[TURN_TIMEOUT] = "timeout",
		[TURN_ABORTED] = "aborted",
		[TURN_STALLED] = "stalled",
		[TURN_UNKNOWN] = "unknown",
	};
	return names[s];
}
