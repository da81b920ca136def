/* SPDX-License-Identifier: BSD-2-Clause */
/* What a PostgreSQL server says: where units end, how, and in which transaction. */
#include "proto/postgres_state.h"

#include <ctype.h>
#include <stdio.h>

void pg_unit_done(struct pg *p, const struct stamp *at)
{
	struct pending_call *e = pending_oldest(&p->calls);
	bool failed = e && e->tag & FAILED;

	pending_done(&p->calls, failed ? CALL_ERROR : CALL_OK, failed ? p->sqlstate : "", at);
}

static bool is_backend(char type)
{
	return type && strchr("RKSZTDCIENA123tnsGHWdcvV", type);
}

void pg_in_lost(struct pg *p, enum partial why, const struct stamp *at)
{
	p->in = IN_LOST;
	p->in_bytes = 0;
	p->ready = false;
	p->transaction = 0;
	p->wrote = false;
	p->may_have_written = true;
	pending_lose(&p->calls, why, at);
}

static void in_told(struct pg *p, const struct stamp *at)
{
	/* notifications are nobody's reply */
	if (p->in_type != 'A')
		pending_in_bytes(&p->calls, p->in_bytes, at);
	p->in_bytes = 0;
}

static bool reply_begins(struct pg *p)
{
	uint32_t len = be32(p->in_head.b + 1);
	char type = (char)p->in_head.b[0];
	struct pending_call *e = pending_oldest(&p->calls);

	if (!is_backend(type) || len < 4 || len > MESSAGE_MAX || (type == 'Z' && len != 5) ||
	    (strchr("123Ins", type) && len != 4))
		return false;
	p->in_type = type;
	p->in_left = len - 4;
	p->nerror = 0;
	p->error_cut = false;
	p->ready = false;
	if (e && type == 'G')
		e->tag |= COPYING;
	if (e && e->c && type == 'W')
		e->c->blocks = true; /* replication: it goes on for as long as both live */
	return true;
}

/* The value of a field of an ErrorResponse, as far as it was kept; empty when missing. */
static struct bytes error_field(const struct pg *p, char field)
{
	struct bytes b = { p->error, p->nerror };

	while (b.n && b.p[0]) {
		const char *end = memchr(b.p, '\0', b.n);

		if (!end)
			break;
		if (b.p[0] == field)
			return (struct bytes){ b.p + 1, (size_t)(end - b.p) - 1 };
		b = bytes_from(b, (size_t)(end - b.p) + 1);
	}
	return (struct bytes){ p->error, 0 };
}

static void error_ends(struct pg *p, const struct stamp *at)
{
	struct pending_call *e = pending_oldest(&p->calls);
	struct bytes code = error_field(p, 'C'), severity = error_field(p, 'V');
	bool valid = code.n == 5;

	if (!severity.n)
		severity = error_field(p, 'S');
	for (size_t i = 0; i < code.n; i++)
		valid &= isdigit((unsigned char)code.p[i]) || isupper((unsigned char)code.p[i]);
	if (!e)
		return;
	/* the first error is the cause */
	if (!(e->tag & FAILED))
		snprintf(p->sqlstate, sizeof(p->sqlstate), "%.*s", valid ? 5 : 0, code.p);
	e->tag |= FAILED;
	/* no ReadyForQuery follows: the server closes */
	if (e->tag & CONNECTING || bytes_equal(severity, "FATAL") || bytes_equal(severity, "PANIC"))
		pg_unit_done(p, at);
}

static bool ready_ends(struct pg *p, const struct stamp *at)
{
	struct pending_call *e = pending_oldest(&p->calls);

	if (p->nerror != 1 || !p->error[0] || !strchr("ITE", p->error[0]))
		return false;
	p->transaction = p->error[0];
	p->ready = p->in_proven = true;
	if (pending_count(&p->calls) && (!e || e->sent)) {
		pg_unit_done(p, at);
	} else {
		/* nobody waits for it: units were paired wrongly, or it is of those not seen */
		p->calls.rounds = 0;
		pending_doubt(&p->calls, PARTIAL_EVENTS_LOST);
	}
	if (p->transaction == 'I' && !pending_count(&p->calls))
		p->wrote = p->may_have_written = false;
	return true;
}

static bool reply_ends(struct pg *p, const struct stamp *at)
{
	in_told(p, at);
	p->in_head.n = 0;
	if (p->in_type == 'E')
		error_ends(p, at);
	return p->in_type != 'Z' || ready_ends(p, at);
}

static bool in_message(struct pg *p, struct bytes *b, const struct stamp *at)
{
	struct bytes before = *b;
	size_t n, keep;

	if (p->in_head.n < 5) {
		bool complete = pg_head_take(&p->in_head, 5, b);

		p->in_bytes += before.n - b->n;
		if (!complete)
			return is_backend((char)p->in_head.b[0]);
		if (!reply_begins(p))
			return false;
	}
	n = b->n < p->in_left ? b->n : (size_t)p->in_left;
	keep = n < sizeof(p->error) - p->nerror ? n : sizeof(p->error) - p->nerror;
	if (strchr("EZ", p->in_type) && !p->error_cut) {
		memcpy(p->error + p->nerror, b->p, keep);
		p->nerror += keep;
	}
	*b = bytes_from(*b, n);
	p->in_left -= n;
	p->in_bytes += n;
	return p->in_left || reply_ends(p, at);
}

/* The answer to a request for encryption is one byte. */
static void in_encryption(struct pg *p, struct bytes *b, const struct stamp *at)
{
	char c = b->p[0];

	p->in = IN_MESSAGES;
	p->in_head.n = 0;
	if (c == 'E')
		return; /* a server that does not know the request answers with an error */
	*b = bytes_from(*b, 1);
	pending_in_bytes(&p->calls, 1, at);
	if (c == 'N')
		return;
	p->silent = true;
	pending_done(&p->calls, c == 'S' || c == 'G' ? CALL_OK : CALL_UNKNOWN, "", at);
}

void pg_in_feed(struct pg *p, struct bytes b, const struct stamp *at)
{
	/* a read that begins with a message's head can be followed again; a shorter one cannot
	 * be told */
	if (p->in == IN_LOST && !pg_messages_start(b, is_backend))
		return;
	if (p->in == IN_LOST) {
		p->in = IN_MESSAGES;
		p->in_proven = false;
		p->in_head.n = 0;
	}
	while (b.n && !p->silent) {
		if (p->in == IN_ENCRYPTION) {
			in_encryption(p, &b, at);
		} else if (!in_message(p, &b, at)) {
			pg_in_lost(p, PARTIAL_EVENTS_LOST, at);
			return;
		}
	}
	if (p->in_head.n == 5)
		in_told(p, at);
}

void pg_in_gap(struct pg *p, uint64_t n, enum partial why, const struct stamp *at)
{
	struct pending_call *e = pending_oldest(&p->calls);

	if (p->in == IN_ENCRYPTION) { /* how it goes on the client's next bytes tell */
		if (e && e->c)
			call_partial(e->c, why);
		return;
	}
	if (p->in != IN_MESSAGES || p->in_head.n < 5 || n > p->in_left || p->in_type == 'Z') {
		pg_in_lost(p, why, at);
		return;
	}
	p->in_left -= n;
	p->in_bytes += n;
	p->error_cut = true;
	if (p->in_type == 'E' && e && e->c && error_field(p, 'C').n != 5)
		call_partial(e->c, why);
	if (p->in_left)
		in_told(p, at);
	else
		reply_ends(p, at);
}
