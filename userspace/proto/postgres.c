/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PostgreSQL, frontend/backend protocol 3
 * (https://www.postgresql.org/docs/current/protocol.html). One call is one unit of work: what
 * ends with a ReadyForQuery. That is a simple query, a function call, or the messages of the
 * extended query up to their Sync; the start of the connection is a unit, too. ReadyForQuery
 * counts units, so it pairs them even when several are on their way; pending.h tells what
 * happens when some were not seen. Of SQL only the verb is kept.
 */
#include "proto/postgres_state.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* ReadyForQuery says that the server waits: one exchange in step is enough. */
#define ROUNDS_NEEDED 1

/*
 * Statements and portals
 */

static struct statement *statement_find(struct statements *l, uint64_t name)
{
	for (unsigned i = 0; i < l->max; i++)
		if (l->list[i].used && l->list[i].name == name)
			return &l->list[i];
	return NULL;
}

static void statement_put(struct statements *l, uint64_t name, const struct statement *what)
{
	struct statement *s = statement_find(l, name);

	if (!s) {
		s = &l->list[l->next];
		l->next = (l->next + 1) % l->max;
	}
	*s = *what;
	s->name = name;
	s->used = true;
}

static void statement_forget(struct statements *l, uint64_t name)
{
	struct statement *s = statement_find(l, name);

	if (s)
		s->used = false;
}

static struct statement statement_of_sql(const struct sql *sql)
{
	struct statement s = {
		.write = sql->write, .known = sql->known, .ends = sql->ends, .idle = sql->idle
	};

	memcpy(s.op, sql->op, sizeof(s.op));
	return s;
}

static const struct statement unknown_statement = { .op = "EXECUTE" };

/*
 * Units of work
 */

static void out_lost(struct pg *p, enum partial why, const struct stamp *at)
{
	struct pending_call *e = pending_get(&p->calls, p->unit);

	/* what follows the unit is unknown, its own end is the next ReadyForQuery that comes for
	 * it */
	if (e && e->c)
		call_partial(e->c, why);
	pending_sent(&p->calls, e, at);
	e = pending_oldest(&p->calls);
	if (e && e->c && e->tag & (COPYING | CONNECTING))
		call_partial(e->c, why); /* it has more to send than what was seen */
	p->unit = 0;
	p->in_unit = false;
	p->wrote = false; /* or an unseen COMMIT came behind it */
	p->may_have_written = true;
	p->out = OUT_LOST;
	/* what these names stand for may have changed; drivers do not use other names twice */
	statement_forget(&p->statements, 0);
	memset(p->portal_list, 0, sizeof(p->portal_list));
	pending_doubt(&p->calls, why);
}

static uint64_t unit_open(struct pg *p, uint32_t flags)
{
	uint64_t unit = pending_open(&p->calls, CALL_STORAGE, &p->first);
	struct pending_call *e = pending_get(&p->calls, unit);

	if (e)
		e->tag = flags;
	p->work = (struct statement){ .known = true };
	p->parses = p->executes = p->closes = p->others = 0;
	return unit;
}

static struct call *unit_call(struct pg *p)
{
	struct pending_call *e = pending_get(&p->calls, p->unit);

	return e ? e->c : NULL;
}

/* A statement is to be run in the unit that is open. */
static void unit_runs(struct pg *p, const struct statement *s)
{
	bool was_idle = !p->executes || p->work.idle;

	if (!p->executes++)
		memcpy(p->work.op, s->op, sizeof(p->work.op));
	p->work.write |= s->write;
	p->work.ends |= s->ends;
	p->work.known &= s->known;
	p->work.idle = was_idle && s->idle;
}

/* Pools tidy up and ask for a sign of life this way; in a transaction the same words would be
 * the run's own. */
static bool unit_is_heartbeat(const struct pg *p)
{
	bool outside = p->transaction == 'I' && pending_count(&p->calls) == 1;

	if (p->work.idle && p->work.known)
		return true;
	return outside && p->executes == 1 &&
	       (strcmp(p->work.op, "ROLLBACK") == 0 || strcmp(p->work.op, "DISCARD") == 0);
}

static void unit_describe(struct pg *p, struct call *c)
{
	const char *op = p->executes              ? p->work.op
	                 : p->parses || p->others ? "PREPARE"
	                 : p->closes              ? "CLOSE"
	                                          : "SYNC";

	strncpy(c->op, op, sizeof(c->op) - 1);
	/* a transaction that only read has nothing to store */
	c->write = p->work.write || (p->work.ends && (p->wrote || p->may_have_written));
	c->op_known = p->work.known && !p->tail &&
	              !(p->work.ends && !p->work.write && !p->wrote && p->may_have_written);
	if (unit_is_heartbeat(p) || strcmp(op, "SYNC") == 0)
		c->class = CALL_HEARTBEAT;
}

/* The unit that is open is complete. */
static void unit_sent(struct pg *p, const struct stamp *at)
{
	struct pending_call *e = pending_get(&p->calls, p->unit);

	if (e && e->c)
		unit_describe(p, e->c);
	p->wrote |= p->work.write;
	p->may_have_written |= !p->work.known;
	pending_sent(&p->calls, e, at);
	p->unit = 0;
	p->in_unit = false;
}

/*
 * From the client
 */

static bool is_frontend(char type)
{
	return type && strchr("QPBDECSHFXdcfp", type);
}

/* Copy data and passwords belong to the oldest unit: it is what the server waits for. */
static void belongs_to_oldest(struct pg *p, uint64_t n, const struct stamp *at)
{
	struct pending_call *e = pending_oldest(&p->calls);

	pending_out_bytes(e, n);
	if (e && e->sent)
		pending_sent(&p->calls, e, at);
}

/* A Sync sent while the server takes copy data is ignored by it, or ends the same unit. */
static bool sync_of_copy(struct pg *p)
{
	struct pending_call *e = pending_oldest(&p->calls);

	return p->out_type == 'S' && !p->in_unit && e && e->tag & COPYING;
}

static bool makes_unit(struct pg *p)
{
	return strchr("QFPBDECS", p->out_type) && !p->in_unit && !sync_of_copy(p);
}

static void out_passed(struct pg *p, uint64_t n, const struct stamp *at)
{
	if (strchr("dcfp", p->out_type) || sync_of_copy(p))
		belongs_to_oldest(p, n, at);
	else
		pending_out_bytes(pending_get(&p->calls, p->unit), n);
}

/* The head of a message is complete. */
static bool message_begins(struct pg *p, const struct stamp *at)
{
	uint32_t len = be32(p->out_head.b + 1);
	char type = (char)p->out_head.b[0];

	if (!is_frontend(type) || len < 4 || len > MESSAGE_MAX ||
	    (strchr("SHXc", type) && len != 4))
		return false;
	p->out_type = type;
	p->out_left = len - 4;
	p->names[0] = p->names[1] = 0;
	p->part = strchr("QP", type)   ? (type == 'Q' ? PART_SQL : PART_NAME)
	          : strchr("BE", type) ? PART_NAME
	                               : PART_REST;
	sql_start(&p->sql);
	if (makes_unit(p)) {
		p->unit = unit_open(p, 0);
		p->in_unit = true;
		p->tail = (!p->out_proven && !strchr("PQF", type)) ||
		          (p->calls.doubt && type == 'S');
	}
	out_passed(p, p->out_head.n, at);
	return true;
}

static void executed(struct pg *p)
{
	const struct statement *s = statement_find(&p->portals, p->names[0]);

	unit_runs(p, s ? s : &unknown_statement);
}

static void bound(struct pg *p)
{
	const struct statement *s = statement_find(&p->statements, p->names[1]);

	statement_put(&p->portals, p->names[0], s ? s : &unknown_statement);
}

/* The message is complete. */
static void message_ends(struct pg *p, const struct stamp *at)
{
	struct statement s;

	sql_end(&p->sql);
	s = statement_of_sql(&p->sql);
	switch (p->out_type) {
	case 'Q':
		unit_runs(p, &s);
		unit_sent(p, at);
		break;
	case 'F':
		unit_runs(p, &(struct statement){ .op = "FUNCTION" });
		unit_sent(p, at);
		break;
	case 'P':
		statement_put(&p->statements, p->names[0], &s);
		p->parses++;
		break;
	case 'B':
		bound(p);
		p->others++;
		break;
	case 'E':
		executed(p);
		break;
	case 'C':
		p->closes++;
		break;
	case 'D':
		p->others++;
		break;
	case 'S':
		if (!sync_of_copy(p))
			unit_sent(p, at);
		break;
	}
}

/* A name ends with NUL and is hashed meanwhile: it may be anything. */
static void take_name(struct pg *p, struct bytes *b)
{
	uint64_t *name = &p->names[p->part == PART_SECOND_NAME];
	const char *end = memchr(b->p, '\0', b->n);
	size_t n = end ? (size_t)(end - b->p) : b->n;

	if (n)
		*name = bytes_hash(*name, (struct bytes){ b->p, n });
	*b = bytes_from(*b, n + (end != NULL));
	if (!end)
		return;
	p->part = p->part == PART_SECOND_NAME ? PART_REST
	          : p->out_type == 'P'        ? PART_SQL
	          : p->out_type == 'B'        ? PART_SECOND_NAME
	                                      : PART_REST;
}

static void take_sql(struct pg *p, struct bytes *b)
{
	const char *end = memchr(b->p, '\0', b->n);
	size_t n = end ? (size_t)(end - b->p) : b->n;

	sql_feed(&p->sql, (struct bytes){ b->p, n });
	*b = bytes_from(*b, n + (end != NULL));
	if (end)
		p->part = PART_REST;
}

static void out_body(struct pg *p, struct bytes *b, const struct stamp *at)
{
	struct bytes body = { b->p, b->n < p->out_left ? b->n : (size_t)p->out_left };

	*b = bytes_from(*b, body.n);
	p->out_left -= body.n;
	out_passed(p, body.n, at);
	while (body.n && p->part != PART_REST) {
		if (p->part == PART_SQL)
			take_sql(p, &body);
		else
			take_name(p, &body);
	}
}

static bool out_message(struct pg *p, struct bytes *b, const struct stamp *at)
{
	if (p->out_head.n < 5) {
		if (!p->out_head.n)
			p->first = *at;
		if (!pg_head_take(&p->out_head, 5, b))
			return true;
		if (!message_begins(p, at))
			return false;
	}
	out_body(p, b, at);
	if (p->out_left)
		return true;
	message_ends(p, at);
	p->out_head.n = 0;
	return true;
}

enum { CODE_CANCEL = 80877102, CODE_SSL = 80877103, CODE_GSS = 80877104 };

static void connect_open(struct pg *p)
{
	struct call *c;

	p->unit = unit_open(p, CONNECTING);
	c = unit_call(p);
	if (!c)
		return;
	strcpy(c->op, "CONNECT");
	c->setup = true;
	c->op_known = true;
}

static bool startup_begins(struct pg *p)
{
	uint32_t len = be32(p->out_head.b), code = be32(p->out_head.b + 4);

	if (len < 8 || len > STARTUP_MAX || code == CODE_CANCEL)
		return false;
	if (code != CODE_SSL && code != CODE_GSS && code >> 16 != 3)
		return false;
	p->out_type = code >> 16 == 3 ? 'U' : 'N';
	p->out_left = len - 8;
	if (!pending_oldest(&p->calls))
		connect_open(p);
	return true;
}

static void startup_ends(struct pg *p, const struct stamp *at)
{
	pending_sent(&p->calls, pending_oldest(&p->calls), at);
	p->unit = 0;
	p->out_head.n = 0;
	p->in_head.n = 0;
	p->in = p->out_type == 'U' ? IN_MESSAGES : IN_ENCRYPTION;
	if (p->out_type == 'U')
		p->out = OUT_MESSAGES;
}

/* The start has messages without a type: perhaps requests for encryption, then the startup
 * packet. */
static bool out_startup(struct pg *p, struct bytes *b, const struct stamp *at)
{
	struct bytes before = *b;
	size_t n;

	if (p->out_head.n < 8) {
		if (!p->out_head.n)
			p->first = *at;
		if (!pg_head_take(&p->out_head, 8, b))
			return true;
		if (!startup_begins(p))
			return false;
		pending_out_bytes(pending_oldest(&p->calls), 8 - (before.n - b->n));
	}
	n = b->n < p->out_left ? b->n : (size_t)p->out_left;
	*b = bytes_from(*b, n);
	p->out_left -= n;
	pending_out_bytes(pending_oldest(&p->calls), before.n - b->n);
	if (p->out_left)
		return true;
	startup_ends(p, at);
	return true;
}

/* Whether b can be where a unit of work begins; only asked where a write begins. */
static bool unit_starts(struct bytes b)
{
	uint32_t len;

	if (!pg_messages_start(b, is_frontend) || !strchr("QPBDECSF", b.p[0]))
		return false;
	len = be32((const unsigned char *)b.p + 1);
	if (b.p[0] == 'S')
		return len == 4;
	if (b.p[0] == 'Q' && b.n > (size_t)len)
		return b.p[len] == '\0';
	if (strchr("DC", b.p[0]) && b.n > 5)
		return b.p[5] == 'S' || b.p[5] == 'P';
	return len > 4;
}

static void feed_out(struct pg *p, struct bytes b, const struct stamp *at)
{
	bool fine = true;

	if (p->out == OUT_LOST && !unit_starts(b))
		return;
	if (p->out == OUT_LOST) {
		p->out = OUT_MESSAGES;
		p->out_proven = false;
		p->out_head.n = 0;
	}
	while (b.n && fine) {
		bool starting = p->out == OUT_STARTUP;

		fine = starting ? out_startup(p, &b, at) : out_message(p, &b, at);
		if (!fine && starting) {
			p->silent = true;
			pending_lose(&p->calls, PARTIAL_EVENTS_LOST, at);
		}
	}
	if (!fine && !p->silent)
		out_lost(p, PARTIAL_EVENTS_LOST, at);
	p->out_proven |= !p->out_head.n;
}

/*
 * The protocol
 */

static enum proto_match startup_detect(struct bytes out)
{
	unsigned char head[8] = { 0 };
	uint32_t len, code;

	memcpy(head, out.p, out.n < 8 ? out.n : 8);
	len = be32(head);
	if (out.n < 8)
		return head[0] == 0 && head[1] == 0 && head[2] < 0x28 ? PROTO_MAYBE : PROTO_NO;
	code = be32(head + 4);
	if (code == CODE_SSL || code == CODE_GSS)
		return len == 8 ? PROTO_YES : PROTO_NO;
	if (code == CODE_CANCEL)
		return len >= 16 && len <= STARTUP_MAX ? PROTO_YES : PROTO_NO;
	if (code >> 16 != 3 || len < 9 || len > STARTUP_MAX)
		return PROTO_NO;
	/* "user" or another name follows; other protocols have a length and a number in front,
	 * too */
	if (out.n == 8)
		return PROTO_MAYBE;
	return islower((unsigned char)out.p[8]) || out.p[8] == '_' ? PROTO_YES : PROTO_NO;
}

/* Whole frontend messages to the last byte, the last of which asks for an answer: no other protocol's requests look so,
 * whatever the port. */
static bool units_whole(struct bytes b)
{
	size_t at = 0;
	char last = 0;

	while (at + 5 <= b.n) {
		uint32_t len = be32((const uint8_t *)b.p + at + 1);

		last = b.p[at];
		if (!strchr("QPBDECHSFdcf", last) || last == '\0' || len < 4 || len > b.n)
			return false;
		at += 1 + (size_t)len;
	}
	return at == b.n && (last == 'S' || (last == 'Q' && b.n > 6 && b.p[b.n - 1] == '\0'));
}

/* Terminate, whole */
#define TERMINATE "X\0\0\0\4"
#define TERMINATE_LEN 5

static enum proto_match pg_detect(struct bytes out, struct bytes in, const struct proto_hint *hint)
{
	bool usual = hint->port == 5432 || hint->port == 6432 ||
	             (hint->path && strstr(hint->path, ".s.PGSQL."));
	enum proto_match m;

	if (!out.n)
		return hint->from_start ? (in.n ? PROTO_NO : PROTO_MAYBE)
		       : usual          ? PROTO_MAYBE
		                        : PROTO_NO;
	m = startup_detect(out);
	if (hint->from_start || m == PROTO_YES)
		return m;
	/* a client that leaves asks for nothing: alone it must not pass for a request of whatever else */
	if (out.n == TERMINATE_LEN && memcmp(out.p, TERMINATE, TERMINATE_LEN) == 0)
		return PROTO_MAYBE;
	if (!usual)
		return units_whole(out) ? PROTO_YES : m;
	if (out.n > 1 && out.p[0] >= 0x14 && out.p[0] <= 0x17 && out.p[1] == 3)
		return PROTO_NO; /* TLS */
	return unit_starts(out) ? PROTO_YES : PROTO_MAYBE;
}

static void *pg_new(struct call_sink *sink, const struct proto_hint *hint)
{
	struct pg *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	pending_init(&p->calls, sink, "postgres", ROUNDS_NEEDED, hint->from_start || hint->idle);
	/* a Flush gets replies in the middle of a unit */
	p->calls.needs_boundary = true;
	p->out = hint->from_start ? OUT_STARTUP : OUT_LOST;
	p->in = hint->from_start ? IN_MESSAGES : IN_LOST;
	p->may_have_written = p->in_proven = p->out_proven = true;
	p->statements = (struct statements){ .list = p->statement_list, .max = STATEMENTS_MAX };
	p->portals = (struct statements){ .list = p->portal_list, .max = PORTALS_MAX };
	return p;
}

/* Who goes on while we believe the other to be inside a message, and never saw one end at its
 * place since the loss, shows that the place was wrong. Without this a length misread would keep
 * a call open for ever. */
static void turn(struct pg *p, int dir, const struct stamp *at)
{
	enum partial why = p->calls.doubt ? p->calls.doubt : PARTIAL_EVENTS_LOST;

	if (dir && p->calls.last_dir == 0 && p->in == IN_MESSAGES && !p->in_proven && p->in_head.n)
		pg_in_lost(p, why, at);
	if (!dir && p->calls.last_dir == 1 && p->out == OUT_MESSAGES && !p->out_proven &&
	    p->out_head.n)
		out_lost(p, why, at);
	pending_turn(&p->calls, dir, p->ready && !p->in_head.n, at);
}

static void pg_feed(void *state, int dir, struct bytes b, const struct stamp *at)
{
	struct pg *p = state;

	if (p->silent || !b.n)
		return;
	turn(p, dir, at);
	if (dir)
		feed_out(p, b, at);
	else
		pg_in_feed(p, b, at);
}

/* A name not seen must not be mistaken for another, and what it names may be one we know. */
static void name_unseen(struct pg *p, uint64_t *name)
{
	*name = bytes_hash(*name, bytes_of("\n(unseen)"));
	if (name != &p->names[0])
		return;
	if (p->out_type == 'P')
		statement_forget(&p->statements, 0);
	if (p->out_type == 'B')
		memset(p->portal_list, 0, sizeof(p->portal_list));
}

/* A gap inside one message: its body is lost, the next one's head is not. */
static void gap_out(struct pg *p, uint64_t n, enum partial why, const struct stamp *at)
{
	struct call *c = unit_call(p);

	if (p->out == OUT_STARTUP && p->out_head.n == 8 && n <= p->out_left) {
		pending_out_bytes(pending_oldest(&p->calls), n);
		p->out_left -= n;
		if (!p->out_left)
			startup_ends(p, at);
		return;
	}
	if (p->out != OUT_MESSAGES || p->out_head.n < 5 || n > p->out_left) {
		out_lost(p, why, at);
		return;
	}
	if (p->part != PART_REST && c && !(p->part == PART_SQL && p->sql.write))
		call_partial(c, why);
	if (p->part == PART_NAME)
		name_unseen(p, &p->names[0]);
	if (p->part == PART_NAME || p->part == PART_SECOND_NAME)
		name_unseen(p, &p->names[1]);
	if (p->part != PART_REST)
		sql_gap(&p->sql);
	p->part = PART_REST;
	out_passed(p, n, at);
	p->out_left -= n;
	if (p->out_left)
		return;
	message_ends(p, at);
	p->out_head.n = 0;
}

static void pg_gap(void *state, int dir, uint64_t n, enum partial why, const struct stamp *at)
{
	struct pg *p = state;

	if (p->silent || !n)
		return;
	turn(p, dir, at);
	if (dir)
		gap_out(p, n, why, at);
	else
		pg_in_gap(p, n, why, at);
}

static void pg_done(void *state, enum done_why why, const struct stamp *at)
{
	struct pg *p = state;
	struct pending_call *e = pending_oldest(&p->calls);

	if (e && e->tag & FAILED)
		pg_unit_done(p, at);
	pending_end(&p->calls, why, at);
}

static void pg_free(void *state)
{
	struct pg *p = state;

	if (p)
		pending_free(&p->calls);
	free(p);
}

const struct proto proto_postgres = {
	.name = "postgres",
	.detect = pg_detect,
	.new = pg_new,
	.feed = pg_feed,
	.gap = pg_gap,
	.done = pg_done,
	.free = pg_free,
};
