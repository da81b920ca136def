/* SPDX-License-Identifier: BSD-2-Clause */
/* Replies of Redis: values in values, told apart from pushes, each ending the oldest call. */
#include "proto/redis_state.h"

#include <stdio.h>

#include "proto/redis_command.h"

/* Whether the reply being read may be a push: nobody's reply. */
static bool maybe_push(const struct redis *r)
{
	return r->top == '>' || (r->top == '*' && r->subscribed && !r->resp3);
}

static void reply_told(struct redis *r, const struct stamp *at)
{
	pending_in_bytes(&r->calls, r->reply_bytes, at);
	r->reply_bytes = 0;
}

/* A part of the replies is missing, or they make no sense. */
void redis_in_lost(struct redis *r, enum partial why, const struct stamp *at)
{
	r->in_synced = false;
	r->top = 0;
	r->depth = 0;
	r->reply_bytes = 0;
	pending_lose(&r->calls, why, at);
}

/* "WRONGTYPE Operation against ..." to "WRONGTYPE"; "" if that is no error code: a script can
 * return any text. */
static void error_code(const char *text, size_t n, char kind[LINE_MAX_KEPT])
{
	size_t i = 0;

	while (i < n && i < WORD_MAX && (isupper((unsigned char)text[i]) || text[i] == '_'))
		i++;
	if (i < n && text[i] != ' ')
		i = 0;
	memcpy(kind, text, i);
	kind[i] = '\0';
}

static bool head_is(const struct redis *r, const char *w)
{
	return bytes_equal((struct bytes){ r->head, r->nhead }, w);
}

/* subscribe, psubscribe, ssubscribe, unsubscribe, ... */
static bool is_confirmation(const struct redis *r)
{
	static const char word[] = "subscribe";
	size_t n = sizeof(word) - 1;

	return r->nhead >= n && r->nhead <= n + 3 && memcmp(r->head + r->nhead - n, word, n) == 0;
}

static void confirmed(struct redis *r, const struct stamp *at)
{
	struct pending_call *e = pending_oldest(&r->calls);

	if (r->last_number == 0)
		r->subscribed = false;
	if (!e || !e->sent || !(e->tag & (REDIS_SUB | REDIS_UNSUB)))
		return;
	reply_told(r, at);
	if (e->n > 1)
		e->n--;
	else
		pending_done(&r->calls, CALL_OK, "", at);
}

/* Whether the array just read in subscribed mode is one of its messages. */
static bool is_message(const struct redis *r)
{
	return head_is(r, "message") || head_is(r, "pmessage") || head_is(r, "smessage") ||
	       head_is(r, "invalidate");
}

/* Calls are over on this connection. */
static void stream_begins(struct redis *r, const struct stamp *at)
{
	redis_out_lost(r, PARTIAL_NONE, at);
	pending_lose(&r->calls, PARTIAL_NONE, at);
	r->stream = true;
}

static void answered(struct redis *r, const struct stamp *at)
{
	struct pending_call *e = pending_oldest(&r->calls);
	uint32_t tag = e ? e->tag : 0;
	enum call_status status = CALL_OK;
	char kind[LINE_MAX_KEPT] = "";

	if (r->top == '-' || r->top == '!') {
		error_code(r->head, r->nhead, kind);
		/* the cluster sends the client elsewhere, it does as told */
		if (strcmp(kind, "MOVED") == 0 || strcmp(kind, "ASK") == 0)
			kind[0] = '\0';
		else
			status = CALL_ERROR;
	} else if (tag & REDIS_EXEC && r->nested_error[0]) {
		status = CALL_ERROR;
		error_code(r->nested_error, strlen(r->nested_error), kind);
	} else if (e && e->c && !e->c->op[0] && r->nested_error[0]) {
		status = CALL_UNKNOWN; /* the name was not seen: it may be EXEC */
	}
	if (status == CALL_OK && tag & REDIS_RESET)
		r->subscribed = r->resp3 = false;
	if (pending_done(&r->calls, status, kind, at)) {
		if (status == CALL_OK && tag & REDIS_STREAM)
			stream_begins(r, at);
		return;
	}
	/* nobody asked: earlier replies were paired wrongly, or this is not what we think */
	r->calls.rounds = 0;
	pending_doubt(&r->calls, PARTIAL_EVENTS_LOST);
}

static void reply_complete(struct redis *r, const struct stamp *at)
{
	if (maybe_push(r) && is_confirmation(r)) {
		confirmed(r, at);
	} else if (r->top != '>' && !(maybe_push(r) && is_message(r))) {
		reply_told(r, at);
		answered(r, at);
	}
	r->top = 0;
	r->reply_bytes = 0;
	r->in_proven = true;
}

/* A value is complete; with it perhaps the aggregates it is the last of. */
static void value_complete(struct redis *r, const struct stamp *at)
{
	while (r->depth) {
		struct level *l = &r->levels[r->depth - 1];

		if (--l->left)
			return;
		r->depth--;
		if (l->attribute)
			return;
	}
	reply_complete(r, at);
}

static bool aggregate(struct redis *r, char type, long long n, const struct stamp *at)
{
	bool attribute = type == '|';

	if (n > 0 && r->depth == DEPTH_MAX)
		return false;
	if (n > 0)
		r->levels[r->depth++] = (struct level){
			.left = (uint64_t)n * (type == '%' || attribute ? 2 : 1),
			.attribute = attribute,
		};
	else if (!attribute)
		value_complete(r, at);
	return true;
}

/* A simple value: all of it is in the line. */
static void simple(struct redis *r, char type, const struct stamp *at)
{
	struct bytes t = bytes_from(redis_line_text(&r->in_line), 1);
	long long n;

	if (r->head_open && strchr("+-", type)) {
		memcpy(r->head, t.p, t.n);
		r->nhead = t.n;
	}
	if (type == '-' && r->depth && !r->nested_error[0])
		snprintf(r->nested_error, sizeof(r->nested_error), "%.*s", (int)t.n, t.p);
	if (type == ':' && redis_line_number(&r->in_line, -COUNT_MAX, COUNT_MAX, &n))
		r->last_number = n;
	value_complete(r, at);
}

static bool in_line(struct redis *r, const struct stamp *at)
{
	char type = r->in_line.n ? r->in_line.text[0] : 0;
	long long n;

	if (type && strchr("+-:_#,(", type)) {
		simple(r, type, at);
		return true;
	}
	if (!type || !strchr("$!=*~%>|", type) ||
	    !redis_line_number(&r->in_line, -1, strchr("$!=", type) ? BULK_MAX : COUNT_MAX, &n))
		return false;
	if (!strchr("$!=", type))
		return aggregate(r, type, n, at);
	if (n < 0) {
		value_complete(r, at);
		return true;
	}
	r->in_left = (uint64_t)n + 2;
	r->in = IN_STRING;
	return true;
}

/* The first byte of a value. */
static bool in_type(struct redis *r, char type)
{
	bool aggregates = type && strchr("*~%>|", type);

	if (!type || !strchr("+-:_#,($!=*~%>|", type) || (type == '>' && r->depth))
		return false;
	r->resp3 |= strchr("_#,(!=~%>|", type) != NULL;
	if (!r->depth && type != '|') {
		r->top = type;
		r->nhead = 0;
		r->head_seen = false;
		r->nested_error[0] = '\0';
		r->last_number = -1;
	}
	r->head_open = !r->head_seen &&
	               (r->depth == 0 || (r->depth == 1 && !r->levels[0].attribute)) &&
	               (r->depth || !aggregates);
	r->head_seen |= r->head_open;
	return true;
}

static void in_string_passed(struct redis *r, uint64_t n, const struct stamp *at)
{
	r->in_left -= n;
	if (r->in_left)
		return;
	r->in = IN_LINE;
	r->in_line.n = 0;
	value_complete(r, at);
}

static bool in_string(struct redis *r, struct bytes *b, const struct stamp *at)
{
	size_t n = b->n < r->in_left ? b->n : (size_t)r->in_left;
	uint64_t text = r->in_left > 2 ? r->in_left - 2 : 0;

	for (size_t i = 0; r->head_open && i < n && i < text && r->nhead < sizeof(r->head); i++)
		r->head[r->nhead++] = b->p[i];
	for (size_t i = text < n ? (size_t)text : n; i < n; i++)
		if (b->p[i] != (r->in_left - i == 2 ? '\r' : '\n'))
			return false;
	*b = bytes_from(*b, n);
	r->reply_bytes += n;
	in_string_passed(r, n, at);
	return true;
}

static bool in_step(struct redis *r, struct bytes *b, const struct stamp *at)
{
	struct bytes before = *b;
	bool complete;

	if (r->in == IN_STRING)
		return in_string(r, b, at);
	if (!r->in_line.n && !in_type(r, b->p[0]))
		return false;
	complete = redis_line_take(&r->in_line, b);
	r->reply_bytes += before.n - b->n;
	if (!complete)
		return r->in_line.n <= sizeof(r->in_line.text) || strchr("+-(", r->in_line.text[0]);
	if (!in_line(r, at))
		return false;
	r->in_line.n = 0;
	return true;
}

void redis_in_feed(struct redis *r, struct bytes b, const struct stamp *at)
{
	if (!r->in_synced && !pending_count(&r->calls))
		return;
	if (!r->in_synced) {
		r->in_synced = true;
		r->in_proven = false;
		r->in = IN_LINE;
		r->in_line.n = 0;
	}
	while (b.n && !r->stream) {
		if (!in_step(r, &b, at)) {
			redis_in_lost(r, PARTIAL_EVENTS_LOST, at);
			return;
		}
	}
	if (r->top && !maybe_push(r))
		reply_told(r, at);
}

void redis_in_gap(struct redis *r, uint64_t n, enum partial why, const struct stamp *at)
{
	struct pending_call *e = pending_oldest(&r->calls);

	if (!r->in_synced || r->in != IN_STRING || n > r->in_left) {
		redis_in_lost(r, why, at);
		return;
	}
	if (r->top == '!' && r->head_open) { /* the error's code may be in what is missing */
		if (e && e->c)
			call_partial(e->c, why);
		if (!memchr(r->head, ' ', r->nhead))
			r->nhead = 0;
	}
	r->head_open = false;
	r->reply_bytes += n;
	in_string_passed(r, n, at);
	if (r->top && !maybe_push(r))
		reply_told(r, at);
}
