/* SPDX-License-Identifier: BSD-2-Clause */
/* For the tests of the turn engine: calls in one line, and a sink that keeps what comes out. Times are in ms. */
#ifndef TURN_FIXTURE_H
#define TURN_FIXTURE_H
#include <stdarg.h>

#include "test.h"
#include "turn.h"

#define MS 1000000ull
#define OUT_MAX 4096

struct out {
	struct turn_sink sink;
	struct turn turns[OUT_MAX];
	int n, opened, outside, booked;
	int told;             /* calls of any class, in a turn or outside */
	enum outside_why why; /* of the newest */
	enum turns_kind chosen;
};

static struct out out;
static struct turns *engine;
static uint64_t ids;

static void on_opened(struct turn_sink *s, const struct turn *t)
{
	(void)s;
	(void)t;
	out.opened++;
}

static void on_closed(struct turn_sink *s, const struct turn *t)
{
	(void)s;
	if (out.n < OUT_MAX)
		out.turns[out.n++] = *t;
}

static void on_outside(struct turn_sink *s, const struct call *c, const struct call_place *p,
                       const struct call_attempt *a, enum outside_why why)
{
	(void)s, (void)p, (void)a;
	out.why = why;
	out.told++;
	out.outside += c->class == CALL_LLM;
}

static void on_booked(struct turn_sink *s, const struct turn *t, const struct call *c,
                      const struct call_place *p, const struct call_attempt *a)
{
	(void)s, (void)t, (void)p, (void)a;
	out.told++;
	out.booked += c->class == CALL_LLM;
}

static void on_chosen(struct turn_sink *s, enum turns_kind kind)
{
	(void)s;
	out.chosen = kind;
}

/* spec: as --turns takes it. */
static inline void begin_by(const char *spec)
{
	struct turns_spec s;

	memset(&out, 0, sizeof(out));
	out.sink = (struct turn_sink){ on_opened, on_closed, on_outside, on_booked, on_chosen };
	CHECK(!turns_spec_parse(spec, &s));
	engine = turns_new(&out.sink, &s, 0);
	ids = 0;
}

static inline void begin(void)
{
	begin_by("llm");
}

static inline void finish(uint64_t ms)
{
	turns_end(engine, ms * MS, false);
	turns_free(engine);
	engine = NULL;
}

/* The only turn with that place in its session. */
static inline const struct turn *turn_of(const char *session, uint32_t index)
{
	static const struct turn none = { .status = TURN_UNKNOWN };

	for (int i = 0; i < out.n; i++)
		if (strcmp(out.turns[i].session_id, session) == 0 &&
		    out.turns[i].turn_index == index)
			return &out.turns[i];
	return &none;
}

static inline struct call *call_at(enum call_class class, uint32_t tid, uint64_t task, uint64_t ms)
{
	struct call *c = call_new();

	c->id = ++ids;
	c->pid = 100;
	c->tid = tid;
	c->task = task;
	c->class = class;
	c->proto = class == CALL_LLM ? "http" : "redis";
	c->start_ns = c->request_ns = ms * MS;
	return c;
}

/* "s u1 a1 t1 u2": roles and texts of the messages, oldest first. */
static inline void say(struct call *c, const char *messages)
{
	struct llm_call *l = c->llm = llm_call_new();
	char *copy = strdup(messages), *save, *w;

	l->kind = LLM_CHAT;
	l->history.complete = true;
	l->history.messages = calloc(LLM_HISTORY_MAX, sizeof(*l->history.messages));
	for (w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		struct llm_message *m = &l->history.messages[l->history.n++];

		m->role = *w == 's'   ? LLM_ROLE_SYSTEM
		          : *w == 'u' ? LLM_ROLE_USER
		          : *w == 'a' ? LLM_ROLE_ASSISTANT
		                      : LLM_ROLE_TOOL;
		m->hash = bytes_hash(0, bytes_of(w));
		l->last_role = m->role;
	}
	free(copy);
}

static const struct call_place llm_place = { "", "", "api.example.com" };

static inline struct call *llm_open(uint32_t tid, uint64_t task, uint64_t ms, const char *messages)
{
	struct call *c = call_at(CALL_LLM, tid, task, ms);

	turns_call_opened(engine, c, &llm_place);
	if (messages)
		say(c, messages);
	else
		c->proto = "generic";
	c->sent_ns = c->start_ns;
	turns_call_sent(engine, c, &llm_place);
	return c;
}

static inline void call_end(struct call *c, uint64_t ms, enum call_status status,
                            const struct call_place *p)
{
	c->end_ns = ms * MS;
	c->status = status;
	turns_call_done(engine, c, p);
	call_free(c);
}

static inline void llm_ends(struct call *c, uint64_t ms, enum call_status status)
{
	call_end(c, ms, status, &llm_place);
}

static inline void llm(uint32_t tid, uint64_t from, uint64_t to, const char *messages)
{
	llm_ends(llm_open(tid, 0, from, messages), to, CALL_OK);
}

enum op { READ, WRITE, UNKNOWN_OP };

static inline void store_as(const char *label, uint32_t tid, uint64_t task, uint64_t from,
                            uint64_t to, enum op op)
{
	struct call *c = call_at(CALL_STORAGE, tid, task, from);
	struct call_place p = { "", "redis", "127.0.0.1:6379" };

	snprintf(p.label, sizeof(p.label), "%s", label);
	c->op_known = op != UNKNOWN_OP;
	c->write = op == WRITE;
	turns_call_opened(engine, c, &p);
	turns_call_sent(engine, c, &p);
	call_end(c, to, CALL_OK, &p);
}

static inline void store(uint32_t tid, uint64_t from, uint64_t to, enum op op)
{
	store_as("L1", tid, 0, from, to, op);
}

/* What a turn's parts leave to the runner; negative if the books are wrong. */
static inline int64_t orchestration(const struct turn *t)
{
	return (int64_t)(t->end_ns - t->start_ns) -
	       (int64_t)(t->llm_ns + t->storage_ns + t->backoff_ns - t->overlap_ns);
}
#endif
