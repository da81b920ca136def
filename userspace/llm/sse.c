/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Server-sent events. A line that a gap cut at its front has no field name we know and is left
 * out like any unknown field, so the reader is in step again with the next line.
 */
#include "llm/reply.h"

void sse_gap(struct reply *r)
{
	r->sse = (struct sse){ .place = SSE_FIELD };
	reply_doc_begin(r);
}

/* The document of the event is whole as soon as it parses: servers may hold back the blank line. */
static void try_commit(struct reply *r)
{
	if (r->committed || r->scan.state != JSON_DONE)
		return;
	r->committed = true;
	r->doc.error |= r->sse.named_error;
	reply_doc_commit(r);
}

static bool name_is(const struct sse *e, const char *name)
{
	return bytes_equal((struct bytes){ e->name, e->name_n }, name);
}

static bool value_is(const struct sse *e, const char *value)
{
	return bytes_equal((struct bytes){ e->value, e->value_n }, value);
}

static void data_begin(struct reply *r)
{
	struct sse *e = &r->sse;

	e->place = SSE_DATA;
	if (e->has_data)
		reply_doc(r, (struct bytes){ "\n", 1 });
	else
		reply_doc_begin(r);
	e->has_data = true;
}

static void field_end(struct reply *r)
{
	struct sse *e = &r->sse;

	e->value_n = 0;
	e->space = true;
	if (name_is(e, "data"))
		data_begin(r);
	else
		e->place = name_is(e, "event") ? SSE_VALUE : SSE_SKIP;
}

static void field_char(struct reply *r, char c)
{
	struct sse *e = &r->sse;

	if (c == ':') {
		field_end(r);
	} else if (c == '{' && e->name_n == 0 && !e->has_data) {
		/* Gemini: an error among the events, bare */
		reply_doc_begin(r);
		e->place = SSE_RAW;
	} else if (e->name_n < SSE_NAME_MAX) {
		e->name[e->name_n++] = c;
	} else {
		e->place = SSE_SKIP;
	}
}

static void line_end(struct reply *r)
{
	struct sse *e = &r->sse;

	/* no colon: the whole line is the name. An empty one ends the event */
	if (e->place == SSE_FIELD && e->name_n == 0) {
		e->has_data = e->named_error = false;
	} else if (e->place == SSE_DATA && value_is(e, "[DONE]")) {
		r->call->llm->finished = true;
	} else if (e->place == SSE_VALUE && value_is(e, "error")) {
		e->named_error = true;
	}
	e->name_n = 0;
	e->place = SSE_FIELD;
}

/* The first bytes of a value, one too many if it is longer than the words we know. */
static void keep_value(struct sse *e, struct bytes b)
{
	size_t room = SSE_VALUE_MAX - e->value_n;
	size_t n = b.n < room ? b.n : room;

	if (n)
		memcpy(e->value + e->value_n, b.p, n);
	e->value_n += n;
}

/* A run of a value inside one line. */
static void value_run(struct reply *r, struct bytes b)
{
	struct sse *e = &r->sse;

	if (b.n && e->space) {
		e->space = false;
		if (b.p[0] == ' ')
			b = bytes_from(b, 1);
	}
	keep_value(e, b);
	if (e->place != SSE_DATA)
		return;
	reply_doc(r, b);
	try_commit(r);
}

/* Bare JSON runs over the ends of lines. Only an error may be written so: anything else is the
 * end of a line whose beginning was lost. */
static size_t raw_run(struct reply *r, struct bytes b)
{
	size_t n = json_feed(&r->scan, b);

	if (r->scan.state == JSON_OPEN)
		return n;
	if (r->scan.state == JSON_DONE && (r->doc.error || r->doc.flat_error))
		reply_doc_commit(r);
	r->sse.place = SSE_SKIP;
	/* a line end that made it bad is still to be looked at */
	return b.p[n - 1] == '\n' || b.p[n - 1] == '\r' ? n - 1 : n;
}

static size_t line_length(struct bytes b)
{
	size_t n = 0;

	while (n < b.n && b.p[n] != '\n' && b.p[n] != '\r')
		n++;
	return n;
}

void sse_feed(struct reply *r, struct bytes b)
{
	struct sse *e = &r->sse;

	while (b.n) {
		char c = b.p[0];
		size_t n = 1;

		if (e->place == SSE_RAW) {
			n = raw_run(r, b);
		} else if (c == '\n' && e->cr) {
			e->cr = false;
		} else if (c == '\n' || c == '\r') {
			line_end(r);
			e->cr = c == '\r';
		} else if (e->place == SSE_FIELD) {
			e->cr = false;
			field_char(r, c);
			n = e->place != SSE_RAW;
		} else {
			n = line_length(b);
			value_run(r, (struct bytes){ b.p, n });
		}
		b = bytes_from(b, n);
	}
}

void sse_end(struct reply *r)
{
	line_end(r);
}
