/* SPDX-License-Identifier: BSD-2-Clause */
/* Replies: which form they have, and the forms that are plain JSON; sse.c and frame.c have the
 * others. */
#include "llm/reply.h"

#include <strings.h>

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct bytes skip_space(struct bytes b)
{
	while (b.n && is_space(b.p[0]))
		b = bytes_from(b, 1);
	return b;
}

/* An error page is no content. */
static bool counts_as_content(const struct reply *r)
{
	return r->call->http_status < 400;
}

static void content(struct reply *r)
{
	struct llm_call *l = r->call->llm;

	if (!counts_as_content(r))
		return;
	if (!l->first_content_ns)
		l->first_content_ns = r->ts_ns;
	l->last_content_ns = r->ts_ns;
}

static void show_tokens(struct reply *r)
{
	/* an auxiliary reply's counts are its content, not its price */
	if (r->call->llm->kind != LLM_AUXILIARY)
		r->call->llm->tokens = facts_tokens(&r->all, r->call->llm->kind);
}

static void take_over(struct reply *r)
{
	struct llm_call *l = r->call->llm;

	facts_merge(&r->all, &r->doc);
	if (r->all.model[0])
		strcpy(l->model, r->all.model);
	strcpy(l->said.finish_reason, facts_finish(&r->all));
	if (!l->said.request_id[0])
		strcpy(l->said.request_id, r->all.request_id);
	show_tokens(r);
	facts_init(&r->doc);
}

/* Of a document that was cut what was read is true, but its counters belong together: some alone
 * would add up to something else. */
static void take_over_cut(struct reply *r)
{
	facts_forget(&r->doc);
	take_over(r);
}

void reply_doc_commit(struct reply *r)
{
	if (r->doc.content)
		content(r);
	take_over(r);
	r->call->llm->finished |= r->all.finished;
}

static void reply_token(void *ctx, const struct json_scan *s, const struct json_token *t)
{
	struct reply *r = ctx;

	if (s->depth == 0 && t->kind == JSON_ARRAY)
		r->array = true;
	facts_token(&r->doc, s, r->array, t);
	if (r->array && s->depth == 1 && t->kind == JSON_OBJECT_END)
		reply_doc_commit(r);
}

void reply_doc_begin(struct reply *r)
{
	facts_init(&r->doc);
	json_init(&r->scan, reply_token, r);
	r->array = r->trailing = r->committed = false;
}

void reply_doc(struct reply *r, struct bytes b)
{
	if (r->scan.state == JSON_OPEN)
		b = bytes_from(b, json_feed(&r->scan, b));
	if (r->scan.state == JSON_DONE && skip_space(b).n)
		r->trailing = true;
}

/* One document a line. What a gap left of a line parses, if at all, with something behind it. */
static void line_end(struct reply *r)
{
	if (r->scan.state == JSON_DONE && !r->trailing)
		reply_doc_commit(r);
	reply_doc_begin(r);
}

static void lines_feed(struct reply *r, struct bytes b)
{
	while (b.n) {
		const char *end = memchr(b.p, '\n', b.n);
		size_t n = end ? (size_t)(end - b.p) : b.n;

		reply_doc(r, (struct bytes){ b.p, n });
		if (end)
			line_end(r);
		b = bytes_from(b, n + (end != NULL));
	}
}

static void json_body(struct reply *r, struct bytes b)
{
	bool was_open = r->scan.state == JSON_OPEN;

	tail_add(&r->tail, b);
	if (!r->lost)
		reply_doc(r, b);
	/* the elements of an array date themselves, until a gap hides where they end */
	if ((!(r->elements && r->array) || r->lost) && skip_space(b).n)
		content(r);
	if (was_open && r->scan.state == JSON_DONE) {
		take_over(r);
		r->call->llm->finished = true;
	}
}

/* After a gap: what the end of the document still tells. */
static void json_tail_read(struct reply *r)
{
	struct tail_doc d;

	if (!tail_open(&r->tail, "", &d))
		return;
	reply_doc_begin(r);
	json_feed(&r->scan, (struct bytes){ d.head, d.head_n });
	json_feed(&r->scan, d.body);
	take_over(r);
}

static bool has(struct bytes b, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i + n <= b.n; i++)
		if (strncasecmp(b.p + i, word, n) == 0)
			return true;
	return false;
}

void reply_init(struct reply *r, struct call *call, bool elements)
{
	*r = (struct reply){ .call = call, .elements = elements };
	facts_init(&r->all);
	reply_doc_begin(r);
}

void reply_free(struct reply *r)
{
	tail_free(&r->tail);
}

void reply_head(struct reply *r, struct bytes content_type, bool lines)
{
	static const struct {
		const char *word;
		enum reply_form form;
	} types[] = {
		{ "vnd.amazon.eventstream", REPLY_FRAMES },
		{ "text/event-stream", REPLY_EVENTS },
		{ "ndjson", REPLY_LINES },
		{ "jsonl", REPLY_LINES },
		{ "application/stream+json", REPLY_LINES },
		{ "json", REPLY_JSON },
	};

	r->declared = lines ? REPLY_LINES : content_type.n ? REPLY_OPAQUE : REPLY_JSON;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (has(content_type, types[i].word)) {
			r->declared = types[i].form;
			break;
		}
	r->form = r->declared == REPLY_FRAMES ? REPLY_FRAMES : REPLY_SNIFF;
	if (r->declared == REPLY_EVENTS || r->declared == REPLY_LINES ||
	    r->declared == REPLY_FRAMES)
		r->call->llm->streamed = counts_as_content(r) || r->call->llm->streamed;
}

void reply_metered(struct reply *r, int64_t in, int64_t out)
{
	r->all.n[COUNT_METERED_IN] = in;
	r->all.n[COUNT_METERED_OUT] = out;
	show_tokens(r);
}

/* Servers send errors as JSON whatever they declared, proxies events as JSON: the first byte
 * decides. */
static void sniff(struct reply *r, char c)
{
	if (c == '{' || c == '[')
		r->form = r->declared == REPLY_LINES ? REPLY_LINES : REPLY_JSON;
	else if (r->declared == REPLY_EVENTS || c == ':' || c == 'd' || c == 'e' || c == 'i')
		r->form = REPLY_EVENTS;
	else
		r->form = REPLY_OPAQUE;
}

/* Keep-alive white space and a byte order mark come before the body proper. */
static struct bytes skip_lead(struct bytes b)
{
	while (b.n && (is_space(b.p[0]) || memchr("\xef\xbb\xbf", b.p[0], 3)))
		b = bytes_from(b, 1);
	return b;
}

void reply_feed(struct reply *r, struct bytes b, uint64_t ts_ns)
{
	r->ts_ns = ts_ns;
	if (r->form == REPLY_SNIFF) {
		b = skip_lead(b);
		if (b.n)
			sniff(r, b.p[0]);
	}
	if (b.n == 0)
		return;
	switch (r->form) {
	case REPLY_JSON:
		json_body(r, b);
		break;
	case REPLY_LINES:
		lines_feed(r, b);
		break;
	case REPLY_EVENTS:
		sse_feed(r, b);
		break;
	case REPLY_FRAMES:
		frame_feed(r, b);
		break;
	default:
		break;
	}
}

void reply_gap(struct reply *r, uint64_t n)
{
	if (r->form == REPLY_SNIFF)
		r->form = r->declared;
	/* counters that grow with the stream are out of date, unless it had come to its end */
	if (!r->call->llm->finished) {
		facts_outdate(&r->all);
		show_tokens(r);
	}
	switch (r->form) {
	case REPLY_JSON:
		if (!r->lost && r->scan.state == JSON_OPEN)
			take_over_cut(r);
		r->lost |= r->scan.state != JSON_DONE;
		json_gap(&r->scan);
		if (r->lost)
			tail_gap(&r->tail);
		break;
	case REPLY_LINES:
		reply_doc_begin(r);
		break;
	case REPLY_EVENTS:
		sse_gap(r);
		break;
	case REPLY_FRAMES:
		if (!frame_gap(r, n))
			r->form = REPLY_OPAQUE;
		break;
	default:
		break;
	}
}

static void end_form(struct reply *r, bool complete)
{
	if (r->form == REPLY_LINES)
		line_end(r);
	if (r->form == REPLY_EVENTS)
		sse_end(r);
	if (r->form != REPLY_JSON)
		return;
	if (r->lost && complete) {
		json_tail_read(r);
		r->call->llm->finished = true;
	} else if (!r->lost && r->scan.state == JSON_OPEN) {
		take_over_cut(r);
	}
}

void reply_end(struct reply *r, bool complete)
{
	end_form(r, complete);
	/* what grows with the stream stood still where it was cut */
	if (!complete && !r->call->llm->finished) {
		facts_outdate(&r->all);
		show_tokens(r);
	}
}
