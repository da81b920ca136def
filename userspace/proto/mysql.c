/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MySQL and MariaDB (mysql_reply.h has the sources). One call a command, replies in order (pending.h); the log-in is a
 * call, too. Of SQL only the verb is kept, and of statements prepared while we looked what it was. The server speaks
 * first. Where client and server compress (zlib), packets are unpacked first; with zstd nothing but times is known.
 */
#include "pending.h"
#include "sql.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/collect.h"
#include "proto/generic.h"
#include "proto/mysql_detect.h"
#include "proto/mysql_reply.h"
#include "proto/mysql_squeezed.h"

/* Prepared statements whose verb is remembered; the oldest is forgotten, its calls are then "EXECUTE". */
#define STATEMENTS_MAX 256
/* A command follows the end of a reply: one exchange in step is enough. */
#define ROUNDS_NEEDED 1

/* What is known of a statement: never its text. */
struct statement {
	uint32_t id;
	bool used, write, known, ends, idle;
	char op[SQL_WORD_MAX];
};

/* A direction's packets: 3 bytes of length, 1 of sequence, the payload. */
struct packets {
	struct collect head, first; /* of the payload the first bytes */
	uint64_t left;
	uint32_t len, passed; /* passed: of the payload, first[] included */
	bool begun, goes_on;  /* the packet before was as long as can be: this is the rest of it */
	bool lost, proven;    /* proven: no loss since, or it ended where we thought since */
};

struct mysql {
	struct pending calls;
	void *blind; /* state of proto_generic: what goes by cannot be read */
	struct proto_hint hint;
	bool silent; /* encrypted from here on */
	bool login;  /* commands have not begun */
	uint32_t capabilities;
	bool compressed;
	struct mysql_squeezed squeezed;

	struct packets out, in;
	struct stamp first;
	uint8_t command;
	bool mute; /* the command being sent gets no reply */
	uint64_t current;
	struct sql sql;
	bool sql_on;
	struct statement work,
		prepared; /* of the command being sent; of the last STMT_PREPARE sent */
	uint64_t prepared_seq;
	bool wrote, may_have_written; /* the open transaction */
	bool file;                    /* the server waits for a file */

	struct mysql_reply reply;
	enum mysql_part part;
	bool replying, ended;
	char sqlstate[16];
	struct statement statements[STATEMENTS_MAX];
	unsigned next;
};

/*
 * Statements
 */

static struct statement *statement_find(struct mysql *m, uint32_t id)
{
	for (unsigned i = 0; i < STATEMENTS_MAX; i++)
		if (m->statements[i].used && m->statements[i].id == id)
			return &m->statements[i];
	return NULL;
}

static void statement_put(struct mysql *m, uint32_t id)
{
	struct statement *s = statement_find(m, id);

	if (!s) {
		s = &m->statements[m->next];
		m->next = (m->next + 1) % STATEMENTS_MAX;
	}
	*s = m->prepared;
	s->id = id;
	s->used = true;
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
 * Commands
 */

static struct pending_call *current(struct mysql *m)
{
	return pending_get(&m->calls, m->current);
}

/* Pools tidy up and ask for a sign of life this way; in a transaction the same words would be the run's own. */
static bool is_heartbeat(const struct mysql *m)
{
	if (m->work.idle && m->work.known)
		return true;
	return strcmp(m->work.op, "ROLLBACK") == 0 && !m->wrote && !m->may_have_written &&
	       !m->reply.transaction && pending_count(&m->calls) == 1;
}

static void describe_statement(struct mysql *m, struct call *c)
{
	strncpy(c->op, m->work.op, sizeof(c->op) - 1);
	c->write = m->work.write || (m->work.ends && (m->wrote || m->may_have_written));
	c->op_known = m->work.known &&
	              !(m->work.ends && !m->work.write && !m->wrote && m->may_have_written);
	if (is_heartbeat(m))
		c->class = CALL_HEARTBEAT;
}

static bool runs_statement(uint8_t command)
{
	return command == MYSQL_QUERY || command == MYSQL_STMT_EXECUTE ||
	       command == MYSQL_BULK_EXECUTE;
}

static void command_open(struct mysql *m, uint8_t command)
{
	struct pending_call *e;

	m->command = command;
	m->work = unknown_statement;
	m->sql_on = command == MYSQL_QUERY || command == MYSQL_STMT_PREPARE;
	sql_start_mysql(&m->sql);
	m->mute = mysql_command_mute(command);
	m->current = m->mute ? 0 : pending_open(&m->calls, CALL_STORAGE, &m->first);
	e = current(m);
	if (!e)
		return;
	e->tag = command;
	pending_out_bytes(e, m->out.head.n + m->out.passed);
	if (e->c)
		mysql_command_describe(command, e->c);
}

static void command_sent(struct mysql *m, const struct stamp *at)
{
	struct pending_call *e = current(m);

	if (m->sql_on) {
		sql_end(&m->sql);
		m->work = statement_of_sql(&m->sql);
	}
	if (m->command == MYSQL_STMT_PREPARE) {
		m->prepared = m->work;
		m->prepared_seq = m->current;
	}
	if (runs_statement(m->command)) {
		if (e && e->c)
			describe_statement(m, e->c);
		m->wrote |= m->work.write;
		m->may_have_written |= !m->work.known;
	}
	pending_sent(&m->calls, e, at);
	m->current = 0;
	m->sql_on = false;
}

/*
 * From the client
 */

static void out_lost(struct mysql *m, enum partial why, const struct stamp *at)
{
	struct pending_call *e = current(m), *oldest = pending_oldest(&m->calls);

	if (e && e->c)
		call_partial(e->c, why);
	if (oldest && oldest->c && (m->file || mysql_command_logs_in((uint8_t)oldest->tag)))
		call_partial(oldest->c, why); /* it has more to send than what was seen */
	pending_sent(&m->calls, e, at);
	m->current = 0;
	m->sql_on = m->file = false;
	m->prepared = unknown_statement; /* or an unseen one came behind it */
	m->prepared_seq = 0;
	m->wrote = false; /* or an unseen COMMIT came behind it */
	m->may_have_written = true;
	m->out = (struct packets){ .lost = true };
	pending_doubt(&m->calls, why);
}

/* Log-in data and files belong to the oldest call: it is what the server waits for. */
static void out_passed(struct mysql *m, uint64_t n, const struct stamp *at)
{
	struct pending_call *e = current(m);

	if (e || m->mute) {
		pending_out_bytes(e, n);
		return;
	}
	e = pending_oldest(&m->calls);
	pending_out_bytes(e, n);
	if (e && e->sent)
		pending_sent(&m->calls, e, at);
}

/* Parameters with names may stand before the text: only where there are none is it found. */
static struct bytes without_attributes(struct mysql *m, struct bytes b, uint32_t off)
{
	for (; b.n && off < 3; off++) {
		if (off == 1 && b.p[0]) {
			sql_gap(&m->sql);
			m->sql.known = false;
		}
		b = bytes_from(b, 1);
	}
	return b;
}

/* Bytes of a payload; off: how many went before. */
static void out_text(struct mysql *m, struct bytes b, uint32_t off)
{
	if (off == 0)
		b = bytes_from(b, 1);
	off += off == 0;
	if (m->command == MYSQL_QUERY && m->capabilities & CLIENT_QUERY_ATTRIBUTES)
		b = without_attributes(m, b, off);
	sql_feed(&m->sql, b);
}

static void execute_begins(struct mysql *m)
{
	uint32_t id = le32(m->out.first.b + 1);
	/* MariaDB: the statement prepared last, whatever its number will be */
	struct statement *s = id == UINT32_MAX ? &m->prepared : statement_find(m, id);

	if (s)
		m->work = *s;
}

static void login_begins(struct mysql *m)
{
	m->capabilities = le32(m->out.first.b);
	m->reply.optional = m->capabilities & CLIENT_OPTIONAL_METADATA;
}

/* The head of a packet is there. False: no client sends that. */
static bool out_begins(struct mysql *m, const struct stamp *at)
{
	struct packets *p = &m->out;
	uint8_t seq = p->head.b[3];

	if (p->goes_on || m->file || (seq && !m->login)) {
		/* more of a command, a file, or of a log-in */
		out_passed(m, 4, at);
		return true;
	}
	m->mute = false;
	if (!m->login)
		return p->len > 0;
	if (pending_oldest(&m->calls)) {
		out_passed(m, 4, at);
		return true;
	}
	if (seq == 0 || p->len < LOGIN_FIXED)
		return false;
	command_open(m, MYSQL_CONNECT);
	return true;
}

static bool is_command(const struct mysql *m)
{
	return !m->login && !m->file && m->out.head.b[3] == 0 && !m->out.goes_on;
}

/* n bytes of a payload went by; b: they, or none if they were not seen. */
static bool out_body(struct mysql *m, struct bytes b, const struct stamp *at)
{
	struct packets *p = &m->out;
	bool first = p->passed == 0, whole = p->first.n < 5;
	struct bytes copy = b;

	if (!p->goes_on)
		collect_take(&p->first, m->login ? LOGIN_FIXED : 5, &copy);
	if (first && is_command(m)) {
		if (!mysql_command_fits(p->first.b[0], p->len))
			return false;
		command_open(m, p->first.b[0]);
	}
	out_passed(m, b.n, at);
	if (m->sql_on)
		out_text(m, b, p->goes_on ? 5 : p->passed);
	p->passed += (uint32_t)b.n;
	if (whole && p->first.n == 5 && m->current && runs_statement(m->command) && !m->sql_on)
		execute_begins(m);
	return true;
}

static void tls_begins(struct mysql *m, const struct stamp *at)
{
	m->silent = true;
	pending_done(&m->calls, CALL_OK, "", at);
}

static void out_ends(struct mysql *m, const struct stamp *at)
{
	struct packets *p = &m->out;
	bool longest = p->len == MYSQL_PACKET_MAX;

	if (m->login && m->current && p->first.n == LOGIN_FIXED)
		login_begins(m);
	if (m->current && !longest)
		command_sent(m, at);
	m->file = m->file && p->len;
	if (m->login && p->len == LOGIN_FIXED && m->capabilities & CLIENT_SSL)
		tls_begins(m, at);
	p->goes_on = longest;
	p->head.n = p->first.n = 0;
	p->passed = 0;
	p->begun = false;
	p->proven = true;
}

/* A step of the client's packets; false: they are none. */
static bool out_step(struct mysql *m, struct bytes *b, const struct stamp *at)
{
	struct packets *p = &m->out;
	size_t n;

	if (!p->begun) {
		if (!p->head.n && !p->goes_on)
			m->first = *at;
		if (!collect_take(&p->head, 4, b))
			return true;
		p->len = le24(p->head.b);
		p->left = p->len;
		p->begun = true;
		if (!out_begins(m, at))
			return false;
	}
	n = bytes_upto(*b, p->left);
	if (n && !out_body(m, (struct bytes){ b->p, n }, at))
		return false;
	*b = bytes_from(*b, n);
	p->left -= n;
	if (!p->left)
		out_ends(m, at);
	return true;
}

/*
 * From the server
 */

static void in_lost(struct mysql *m, enum partial why, const struct stamp *at)
{
	m->in = (struct packets){ .lost = true };
	m->replying = m->ended = m->file = false;
	m->wrote = false;
	m->may_have_written = true;
	pending_lose(&m->calls, why, at);
}

/* The first packet of a server, before any of the client's. */
static enum mysql_part greeting_part(const struct mysql *m, uint8_t first)
{
	return m->in.head.b[3] ? PART_BAD
	       : first == 10   ? PART_AUTH
	       : first == 0xff ? PART_ERR
	                       : PART_BAD;
}

/* The first byte of a payload tells what the packet is. */
static bool in_begins(struct mysql *m, uint8_t first)
{
	struct pending_call *e = pending_oldest(&m->calls);

	m->ended = false;
	if (e && e->sent && !m->replying) {
		mysql_reply_start(&m->reply, (uint8_t)e->tag);
		m->replying = true;
	}
	if (m->replying)
		m->part = mysql_reply_part(&m->reply, first, m->in.len);
	else if (m->reply.stray && first == 0xfe && m->in.len == 5)
		m->part = PART_DEFS_END;
	else if (m->login)
		m->part = greeting_part(m, first);
	else /* a last word before the server closes */
		m->part = first == 0xff ? PART_ERR : PART_BAD;
	return m->part != PART_BAD;
}

static const char *error_kind(struct mysql *m)
{
	const char *b = (const char *)m->in.first.b;
	bool valid = m->in.first.n >= 9 && b[3] == '#';

	for (int i = 4; valid && i < 9; i++)
		valid = isdigit((unsigned char)b[i]) || isupper((unsigned char)b[i]);
	if (valid)
		snprintf(m->sqlstate, sizeof(m->sqlstate), "%.5s", b + 4);
	else
		snprintf(m->sqlstate, sizeof(m->sqlstate), "error_%u", le16(m->in.first.b + 1));
	return m->sqlstate;
}

static void reply_done(struct mysql *m, const struct stamp *at)
{
	struct pending_call *e = pending_oldest(&m->calls);
	bool failed = m->part == PART_ERR;

	if (e && e->tag == MYSQL_STMT_PREPARE && !failed && m->prepared_seq == m->calls.seq)
		statement_put(m, m->reply.statement);
	if (e && e->tag == MYSQL_CONNECT && !failed && !m->silent) {
		m->login = false;
		m->compressed = m->capabilities & CLIENT_COMPRESS;
		if (!m->compressed && m->capabilities & CLIENT_ZSTD)
			m->blind = proto_generic.new(m->calls.sink, &m->hint);
	}
	m->replying = false;
	m->ended = true;
	pending_done(&m->calls, failed ? CALL_ERROR : CALL_OK, failed ? error_kind(m) : "", at);
	if (m->reply.status_seen && !m->reply.transaction && !pending_count(&m->calls))
		m->wrote = m->may_have_written = false;
}

/* The server refuses the connection before the client said anything. */
static void refused(struct mysql *m, const struct stamp *at)
{
	m->first = *at;
	command_open(m, MYSQL_CONNECT);
	pending_sent(&m->calls, current(m), at);
	m->current = 0;
	pending_in_bytes(&m->calls, m->in.head.n + m->in.passed, at);
	pending_done(&m->calls, CALL_ERROR, error_kind(m), at);
}

static bool in_ends(struct mysql *m, const struct stamp *at)
{
	struct packets *p = &m->in;
	struct bytes head = { (const char *)p->first.b, p->first.n };
	bool rest = p->goes_on, good = true;

	p->goes_on = p->len == MYSQL_PACKET_MAX;
	if (!rest && m->replying) {
		enum mysql_after after = mysql_reply_take(&m->reply, m->part, head, p->len);

		m->file |= m->part == PART_FILE;
		if (after == REPLY_ENDS)
			reply_done(m, at);
		good = after != REPLY_UNREADABLE;
	} else if (!rest && m->part == PART_DEFS_END) {
		m->reply.eofs = 1;
		m->reply.stray = false;
		m->ended = true;
	} else if (!rest && m->login && m->part == PART_ERR) {
		refused(m, at);
	}
	p->head.n = p->first.n = 0;
	p->passed = 0;
	p->begun = false;
	p->proven |= m->ended;
	return good;
}

static bool in_step(struct mysql *m, struct bytes *b, const struct stamp *at)
{
	struct packets *p = &m->in;
	struct bytes before = *b, body;

	if (!p->begun) {
		bool complete = collect_take(&p->head, 4, b);

		pending_in_bytes(&m->calls, before.n - b->n, at);
		if (!complete)
			return true;
		p->len = le24(p->head.b);
		p->left = p->len;
		p->begun = true;
		/* only the end of what is as long as can be is empty */
		if (!p->len && !p->goes_on)
			return false;
	}
	body = (struct bytes){ b->p, bytes_upto(*b, p->left) };
	if (body.n && !p->passed && !p->goes_on && !in_begins(m, (uint8_t)body.p[0]))
		return false;
	pending_in_bytes(&m->calls, body.n, at);
	*b = bytes_from(*b, body.n);
	p->passed += (uint32_t)body.n;
	p->left -= body.n;
	if (!p->goes_on)
		collect_take(&p->first, MYSQL_HEAD_MAX, &body);
	return p->left || in_ends(m, at);
}

/*
 * Packets of a direction, as they came or unpacked
 */

static void packets_feed(void *state, int dir, struct bytes b, const struct stamp *at)
{
	struct mysql *m = state;
	struct packets *p = dir ? &m->out : &m->in;

	if (p->lost && !(dir ? mysql_command_starts(b)
	                     : mysql_reply_starts(b, m->login) && pending_oldest(&m->calls) &&
	                                 pending_oldest(&m->calls)->sent))
		return;
	p->lost = false;
	while (b.n && !m->silent && !m->blind) {
		bool fine = dir ? out_step(m, &b, at) : in_step(m, &b, at);

		if (fine)
			continue;
		if (dir)
			out_lost(m, PARTIAL_EVENTS_LOST, at);
		else
			in_lost(m, PARTIAL_EVENTS_LOST, at);
		return;
	}
}

/* A gap inside one packet: what is not read of it may be missing. */
static void packets_gap(void *state, int dir, uint64_t n, enum partial why, const struct stamp *at)
{
	struct mysql *m = state;
	struct packets *p = dir ? &m->out : &m->in;
	bool row = m->replying && m->part != PART_ERR &&
	           (p->first.n >= MYSQL_HEAD_MAX || m->part == PART_ROW || m->part == PART_DEF ||
	            m->part == PART_TEXT || m->part == PART_AUTH);

	if (!n)
		return;
	if (!p->begun || n > p->left || (!p->goes_on && (!p->passed || (!dir && !row))) ||
	    (dir && !p->goes_on && m->login)) {
		if (dir)
			out_lost(m, why, at);
		else
			in_lost(m, why, at);
		return;
	}
	if (dir) {
		struct pending_call *e = current(m);

		out_passed(m, n, at);
		if (m->sql_on && e && e->c && !m->sql.write)
			call_partial(e->c, why);
		if (e && e->c && !m->sql_on && runs_statement(m->command) && p->first.n < 5 &&
		    !p->goes_on)
			call_partial(e->c, why);
		if (m->sql_on)
			sql_gap(&m->sql);
	} else {
		pending_in_bytes(&m->calls, n, at);
	}
	p->passed += (uint32_t)n;
	p->left -= n;
	if (p->left)
		return;
	if (dir)
		out_ends(m, at);
	else if (!in_ends(m, at))
		in_lost(m, why, at);
}

/*
 * The protocol
 */

static void *mysql_new(struct call_sink *sink, const struct proto_hint *hint)
{
	struct mysql *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	pending_init(&m->calls, sink, "mysql", ROUNDS_NEEDED, hint->from_start || hint->idle);
	m->calls.needs_boundary = true;
	m->squeezed =
		(struct mysql_squeezed){ .plain = packets_feed, .missing = packets_gap, .ctx = m };
	m->hint = *hint;
	m->login = hint->from_start;
	m->out.lost = m->in.lost = !hint->from_start;
	m->out.proven = m->in.proven = hint->from_start;
	m->may_have_written = true;
	m->reply.eofs = -1;
	return m;
}

/* Who goes on while we believe the other to be inside a packet shows that the place was wrong, see postgres.c. */
static void turn(struct mysql *m, int dir, const struct stamp *at)
{
	enum partial why = m->calls.doubt ? m->calls.doubt : PARTIAL_EVENTS_LOST;

	if (dir && m->calls.last_dir == 0 && !m->in.lost && !m->in.proven && m->in.head.n)
		in_lost(m, why, at);
	if (!dir && m->calls.last_dir == 1 && !m->out.lost && !m->out.proven && m->out.head.n)
		out_lost(m, why, at);
	/* the same of compressed packets in which none of a reply was found */
	if (m->compressed && m->calls.last_dir == !dir && (dir ? m->in.lost : m->out.lost))
		mysql_squeezed_lose(&m->squeezed, !dir);
	pending_turn(&m->calls, dir, m->ended && !m->in.head.n, at);
}

/* A write that begins a new sequence shows that the log-in, whose end was not seen, is over. */
static void login_over(struct mysql *m, struct bytes b)
{
	if (!m->login || !m->in.lost || m->out.begun || m->out.head.n || b.n < 4 || b.p[3])
		return;
	m->login = false;
	m->compressed = m->capabilities & CLIENT_COMPRESS;
}

static void mysql_feed(void *state, int dir, struct bytes b, const struct stamp *at)
{
	struct mysql *m = state;

	if (m->blind)
		proto_generic.feed(m->blind, dir, b, at);
	if (m->blind || m->silent || !b.n)
		return;
	turn(m, dir, at);
	if (dir)
		login_over(m, b);
	if (m->compressed)
		mysql_squeezed_feed(&m->squeezed, dir, b, at);
	else
		packets_feed(m, dir, b, at);
}

static void mysql_gap(void *state, int dir, uint64_t n, enum partial why, const struct stamp *at)
{
	struct mysql *m = state;

	if (m->blind)
		proto_generic.gap(m->blind, dir, n, why, at);
	if (m->blind || m->silent || !n)
		return;
	turn(m, dir, at);
	if (m->compressed)
		mysql_squeezed_gap(&m->squeezed, dir, n, why, at);
	else
		packets_gap(m, dir, n, why, at);
}

static void mysql_done(void *state, enum done_why why, const struct stamp *at)
{
	struct mysql *m = state;

	if (m->blind)
		proto_generic.done(m->blind, why, at);
	pending_end(&m->calls, why, at);
}

static void mysql_free(void *state)
{
	struct mysql *m = state;

	if (!m)
		return;
	mysql_squeezed_free(&m->squeezed);
	proto_generic.free(m->blind);
	pending_free(&m->calls);
	free(m);
}

const struct proto proto_mysql = {
	.name = "mysql",
	.detect = mysql_detect,
	.new = mysql_new,
	.feed = mysql_feed,
	.gap = mysql_gap,
	.done = mysql_done,
	.free = mysql_free,
};
