/* SPDX-License-Identifier: BSD-2-Clause */
/* For the tests of turns told by requests to the target and by what the run says: both in one line. */
#ifndef TURN_FIXTURE_TOLD_H
#define TURN_FIXTURE_TOLD_H
#include "unit/turn_fixture.h"

#define LOOP 1 /* thread of an event loop */

static const struct call_client nobody = { 0 };

static inline struct call *inbound(uint32_t tid, uint64_t ms, const char *session, const char *text,
                                   const struct call_client *client)
{
	struct call *c = call_at(CALL_OTHER, tid, 0, ms);

	c->inbound = true;
	c->conn = tid;
	snprintf(c->op, sizeof(c->op), "POST /run_turn");
	c->fields = calloc(1, sizeof(*c->fields));
	snprintf(c->fields->session_id, sizeof(c->fields->session_id), "%s", session);
	c->fields->message = true;
	c->fields->role = LLM_ROLE_USER;
	c->fields->text_hash = text ? bytes_hash(0, bytes_of(text)) : 0;
	turns_inbound_sent(engine, c, client);
	return c;
}

static inline void reply_as(struct call *c, uint32_t tid, uint64_t task, uint64_t ms,
                            enum call_status status)
{
	c->reply_tid = tid;
	c->reply_task = task;
	c->end_ns = ms * MS;
	c->status = status;
	turns_inbound_done(engine, c);
	call_free(c);
}

static inline void reply(struct call *c, uint64_t ms)
{
	reply_as(c, c->tid, 0, ms, CALL_OK);
}

static inline struct call *other_open(uint32_t pid, uint32_t tid, uint64_t ms)
{
	static const struct call_place place = { "", "", "127.0.0.1:8000" };
	struct call *c = call_at(CALL_OTHER, tid, 0, ms);

	c->pid = pid;
	turns_call_sent(engine, c, &place);
	return c;
}

static inline void other_ends(struct call *c, uint64_t ms)
{
	static const struct call_place place = { "", "", "127.0.0.1:8000" };

	call_end(c, ms, CALL_OK, &place);
}

static inline void mark_as(enum mark_kind kind, uint32_t tid, uint64_t ms, const char *session)
{
	struct turn_mark m = { .kind = kind,
		               .lane = { 100, tid, 0 },
		               .start_ns = ms * MS,
		               .ts_ns = ms * MS + 1000,
		               .turn_index = -1,
		               .role = LLM_ROLE_USER };

	snprintf(m.session_id, sizeof(m.session_id), "%s", session);
	turns_mark(engine, &m);
}

static inline void mark(uint32_t tid, uint64_t ms, const char *session)
{
	mark_as(MARK_TURN, tid, ms, session);
}

/* Who asks, as the pipeline would tell it. */
static inline struct call_client client_for(const struct call *c)
{
	return (struct call_client){
		c->id, false, c->class, { c->pid, c->tid, c->task }, c->start_ns
	};
}
#endif
