/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Streams of one HTTP/2 connection (RFC 9113, 5 and 8): each is a request and its reply. What began before we came, or while
 * records were lost, is a call too, from its first frame on that we see.
 */
#include "proto/http2_state.h"

#include <stdio.h>
#include <stdlib.h>

static const char name[] = "http2";

static struct stream **bucket_of(struct http2 *h, uint32_t id)
{
	return &h->buckets[id / 2 % STREAM_BUCKETS];
}

struct stream *stream_find(const struct http2 *h, uint32_t id)
{
	struct stream *s = *bucket_of((struct http2 *)h, id);

	while (s && s->id != id)
		s = s->next;
	return s;
}

static struct stream *stream_add(struct http2 *h, uint32_t id, struct http_exchange *x)
{
	struct stream *s = x ? calloc(1, sizeof(*s)) : NULL;
	struct stream **p = bucket_of(h, id);

	if (!s) {
		if (x)
			http_exchange_end(x, CALL_UNKNOWN, "", false, h->at);
		return NULL;
	}
	s->id = id;
	s->x = x;
	for (int dir = DIR_IN; dir <= DIR_OUT; dir++)
		http_body_reset(&s->body[dir], dir, NULL);
	s->next = *p;
	*p = s;
	h->n++;
	http_exchange_stream(x, id);
	return s;
}

static void stream_end(struct http2 *h, struct stream *s, enum call_status status, const char *kind,
                       bool complete)
{
	struct stream **p = bucket_of(h, s->id);

	while (*p != s)
		p = &(*p)->next;
	*p = s->next;
	h->n--;
	h->ended[h->nended++ % ENDED_MAX] = s->id;
	http_exchange_end(s->x, status, kind, complete, h->at);
	for (int dir = DIR_IN; dir <= DIR_OUT; dir++)
		http_body_reset(&s->body[dir], dir, NULL);
	free(s);
}

static bool has_ended(const struct http2 *h, uint32_t id)
{
	for (unsigned int i = 0; i < ENDED_MAX && i < h->nended; i++)
		if (h->ended[i] == id)
			return true;
	return false;
}

void seeded_end(struct http2 *h, enum call_status status, const char *kind)
{
	struct call *c = h->seeded;
	struct http_exchange *x;

	if (!c)
		return;
	h->seeded = NULL;
	x = http_exchange_late(h->sink, name, c, h->late_why, h->at);
	if (x)
		http_exchange_end(x, status, kind, false, h->at);
}

/* A stream that began later is through, and none from before showed: what the client had sent last was no request but a frame
 * that keeps the connection, such as the answer to a PING. If it was one all the same, it shows as a call of its own. */
static void seeded_refuted(struct http2 *h)
{
	if (h->seeded)
		h->seeded->class = CALL_HEARTBEAT;
	seeded_end(h, CALL_UNKNOWN, "");
}

struct stream *stream_of(struct http2 *h, int dir, uint32_t id)
{
	struct stream *s = stream_find(h, id);
	struct call *seeded = h->seeded;
	struct http_exchange *x;

	if (s || !(id & 1) || id > h->late_limit || has_ended(h, id) || h->n >= STREAMS_MAX)
		return s;
	h->seeded = NULL;
	h->late_came = true;
	x = http_exchange_late(h->sink, name, seeded, h->late_why, h->at);
	s = stream_add(h, id, x);
	if (!s)
		return NULL;
	s->late = true;
	/* a server that replies has the request, but for the few that begin before they have it whole */
	s->sent = dir == DIR_IN;
	if (s->sent && !seeded)
		http_exchange_sent(s->x, h->at);
	return s;
}

void stream_upgraded(struct http2 *h, struct http_exchange *x, bool sent)
{
	struct stream *s = stream_add(h, UPGRADED_STREAM, x);

	if (!s)
		return;
	http_exchange_proto(x, name);
	s->headed = true;
	s->sent = sent;
	h->newest = UPGRADED_STREAM;
}

void stream_headers_begin(struct http2 *h, uint32_t id, const struct stamp *first)
{
	if (stream_find(h, id) || has_ended(h, id) || id <= h->newest || h->n >= STREAMS_MAX)
		return;
	/* streams begin in the order of their numbers (RFC 9113, 5.1.1): those before this one that were not seen are old */
	if (h->late_limit == NO_LIMIT)
		h->late_limit = id - 1;
	h->newest = id;
	stream_add(h, id, http_exchange_new(h->sink, name, first));
}

/* ---- header blocks ---- */

static struct bytes part(const char *p, size_t n)
{
	return (struct bytes){ p, n };
}

static void request_head(struct stream *s, const struct block *b)
{
	if (b->lost)
		http_exchange_unseen(s->x, PARTIAL_EVENTS_LOST);
	http_exchange_request(s->x, &b->head, part(b->method, b->nmethod), part(b->path, b->npath),
	                      part(b->authority, b->nauthority), b->npath == PATH_MAX_LEN);
	http_body_reset(&s->body[DIR_OUT], DIR_OUT, &b->head);
	s->headed = true;
}

static void reply_head(struct stream *s, const struct block *b)
{
	if (http_exchange_interim(b->status))
		return;
	if (s->replied) {
		http_exchange_trailers(s->x, &b->head, b->unknown + b->lost);
		return;
	}
	/* of one that came late this may be its trailers */
	if (s->late && !b->status && b->ends) {
		http_exchange_trailers(s->x, &b->head, b->unknown + b->lost);
		return;
	}
	s->replied = true;
	http_exchange_reply_began(s->x, b->status, &b->first);
	http_exchange_reply(s->x, &b->head, b->status);
	http_body_reset(&s->body[DIR_IN], DIR_IN, &b->head);
}

void stream_headers(struct http2 *h, int dir, const struct block *b)
{
	struct stream *s = dir == DIR_OUT ? stream_find(h, b->stream)
	                                  : stream_of(h, dir, b->stream);

	if (!s)
		return;
	if (dir == DIR_IN)
		reply_head(s, b);
	else if (!s->late && !s->headed)
		request_head(s, b);
	if (b->ends)
		stream_half_ends(h, dir, b->stream);
}

/* ---- data ---- */

void stream_frame(struct http2 *h, int dir, const struct frame *f)
{
	struct stream *s = stream_of(h, dir, f->stream);

	if (s && dir == DIR_OUT)
		http_exchange_frame(s->x, f->length);
}

void stream_data(struct http2 *h, int dir, uint32_t id, struct bytes b)
{
	struct stream *s = stream_of(h, dir, id);

	if (!s)
		return;
	if (dir == DIR_IN && !s->replied)
		http_exchange_reply_began(s->x, 0, h->at);
	http_body_feed(&s->body[dir], &h->side[dir].blocks, s->x, b, h->at);
}

void stream_data_gap(struct http2 *h, int dir, uint32_t id, uint64_t n, enum partial why)
{
	struct stream *s = stream_of(h, dir, id);

	if (s)
		http_body_gap(&s->body[dir], s->x, n, why);
}

void stream_count(struct http2 *h, int dir, uint32_t id, uint64_t n)
{
	struct stream *s = stream_find(h, id);

	if (!s)
		return;
	if (dir == DIR_IN) {
		http_exchange_count_in(s->x, n, h->at);
		return;
	}
	s->out += n;
	http_exchange_count_out(s->x, s->out);
}

/* ---- ends ---- */

void stream_half_ends(struct http2 *h, int dir, uint32_t id)
{
	struct stream *s = stream_find(h, id);
	bool late = s && s->late;

	if (!s)
		return;
	if (dir == DIR_OUT) {
		if (!s->sent)
			http_exchange_sent(s->x, h->at);
		s->sent = true;
		return;
	}
	/* early replies (RFC 9113, 8.1): what the request still had to say changes nothing */
	stream_end(h, s, CALL_OK, "", true);
	if (!late)
		seeded_refuted(h);
}

static const struct {
	uint32_t code;
	enum call_status status;
} resets[] = {
	{ H2_REFUSED_STREAM, CALL_ERROR }, /* nothing was done: it may be tried again elsewhere */
	{ H2_ENHANCE_YOUR_CALM, CALL_RATE_LIMITED },
};

static enum call_status status_of(uint32_t code)
{
	for (size_t i = 0; i < sizeof(resets) / sizeof(resets[0]); i++)
		if (resets[i].code == code)
			return resets[i].status;
	return CALL_ABORTED;
}

static const char *kind_of(uint32_t code)
{
	const char *kind = http2_error_name(code);

	return kind ? kind : "stream_reset";
}

void stream_reset(struct http2 *h, int dir, uint32_t id, uint32_t code)
{
	struct stream *s = stream_find(h, id);

	if (!s) {
		h->ended[h->nended++ % ENDED_MAX] = id;
		return;
	}
	if (dir == DIR_OUT && http_exchange_overdue(s->x, h->at))
		stream_end(h, s, CALL_TIMEOUT, "timeout", false);
	else
		stream_end(h, s, dir == DIR_OUT ? CALL_ABORTED : status_of(code), kind_of(code),
		           false);
}

static void each_above(struct http2 *h, uint32_t last, enum call_status status, const char *kind,
                       enum partial why)
{
	for (size_t i = 0; i < STREAM_BUCKETS; i++) {
		for (struct stream *s = h->buckets[i], *next; s; s = next) {
			next = s->next;
			if (s->id <= last)
				continue;
			if (why != PARTIAL_NONE)
				http_exchange_unseen(s->x, why);
			stream_end(h, s, status, kind, false);
		}
	}
}

void streams_refused(struct http2 *h, uint32_t last, uint32_t code)
{
	bool calm = code == H2_ENHANCE_YOUR_CALM;

	each_above(h, last, calm ? CALL_RATE_LIMITED : CALL_ERROR,
	           kind_of(calm ? code : H2_REFUSED_STREAM), PARTIAL_NONE);
}

void streams_end(struct http2 *h, enum call_status status, const char *kind, enum partial why)
{
	each_above(h, 0, status, kind, why);
	seeded_end(h, status, kind);
}

/* Requests may have begun, and some that are open have lost a part; of replies any may have ended. */
void streams_crossed(struct http2 *h, int dir, enum partial why)
{
	if (dir == DIR_IN) {
		streams_end(h, CALL_UNKNOWN, "", why);
		return;
	}
	h->late_limit = NO_LIMIT;
	h->late_why = why;
	for (size_t i = 0; i < STREAM_BUCKETS; i++) {
		for (struct stream *s = h->buckets[i]; s; s = s->next) {
			if (s->sent)
				continue;
			http_exchange_unseen(s->x, why);
			http_exchange_request_cut(s->x);
		}
	}
}
