/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames of RFC 6455, 5.2. A direction whose framing is lost begins again with a feed that holds whole frames and nothing
 * else, as they are written.
 */
#include "proto/websocket.h"

#include <stdio.h>
#include <stdlib.h>

#include "event.h"
#include "proto/pending.h"

/* Control frames hold no more. */
#define CONTROL_MAX 125

enum opcode { OP_MORE = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

struct side {
	bool lost;
	uint8_t head[WEBSOCKET_HEADER_MAX];
	size_t nhead;
	struct websocket_frame frame; /* being read */
	uint64_t left;                /* bytes of its payload to come */
};

struct websocket {
	struct call_sink *sink;
	struct websocket_name name;
	struct side side[2]; /* by enum event_dir */
	struct call *call;   /* open, or NULL */
	bool sent;           /* its message is complete */
	bool content;        /* the feed at hand holds more than control frames */
	enum partial doubt;  /* frames were lost: an answer may be to a message that nobody saw */
};

/* ---- the call ---- */

static void call_open(struct websocket *w, const struct stamp *at)
{
	struct call *c = w->sink->open(w->sink, at);

	w->call = c;
	w->sent = false;
	if (!c)
		return;
	pending_begin_call(c, proto_websocket.name, at);
	snprintf(c->host, sizeof(c->host), "%s", w->name.host);
	snprintf(c->op, sizeof(c->op), "%s", w->name.op);
	c->op_known = true;
	c->write = true;
	c->content_ns = c->request_ns;
	if (w->doubt)
		call_partial(c, w->doubt);
	if (!w->name.llm)
		return;
	c->class = CALL_LLM;
	call_partial(c, PARTIAL_NO_PLAINTEXT); /* tokens and texts stay unknown */
}

static void call_end(struct websocket *w, enum call_status status, const struct stamp *at)
{
	struct call *c = w->call;

	w->call = NULL;
	if (!c)
		return;
	c->status = status;
	c->end_ns = at->end_ns;
	w->sink->done(w->sink, c);
}

/* Bytes of frames that are part of messages. */
static void call_bytes(struct websocket *w, int dir, uint64_t n, const struct stamp *at)
{
	struct call *c = w->call;

	if (!c)
		return;
	if (dir == DIR_OUT) {
		c->bytes_out += n;
		return;
	}
	c->bytes_in += n;
	if (!c->first_byte_ns) {
		c->first_byte_ns = at->end_ns;
		c->reply_tid = at->tid;
		c->reply_task = at->task;
	}
	c->last_byte_ns = c->content_ns = at->end_ns;
	w->content = true;
}

static void message_end(struct websocket *w, int dir, const struct stamp *at)
{
	if (dir == DIR_IN && w->sent) {
		call_end(w, CALL_OK, at);
	} else if (dir == DIR_OUT && w->call) {
		w->call->sent_ns = at->end_ns;
		if (!w->sent)
			w->sink->sent(w->sink, w->call);
		w->sent = true;
	}
}

/* ---- frames ---- */

size_t websocket_header_size(int dir, const uint8_t *h, size_t n)
{
	static const size_t lengths[] = { [126] = 2, [127] = 8 };
	uint8_t op = h[0] & 0x0f, len = n > 1 ? h[1] & 0x7f : 0;

	if ((op > OP_BINARY && op < OP_CLOSE) || op > OP_PONG)
		return 0;
	if (n < 2)
		return 2;
	/* 5.3: who is the client masks, who is the server does not */
	if ((h[1] >> 7) != (dir == DIR_OUT))
		return 0;
	if (op >= OP_CLOSE && (len > CONTROL_MAX || !(h[0] & 0x80)))
		return 0;
	return 2 + (len >= 126 ? lengths[len] : 0) + (dir == DIR_OUT ? 4 : 0);
}

bool websocket_header_read(const uint8_t *h, struct websocket_frame *ret)
{
	uint8_t len = h[1] & 0x7f;
	uint64_t n = 0;

	for (size_t i = 0; i < (len == 127 ? 8u : len == 126 ? 2u : 0u); i++)
		n = n << 8 | h[2 + i];
	ret->fin = h[0] & 0x80;
	ret->control = (h[0] & 0x0f) >= OP_CLOSE;
	ret->payload = len < 126 ? len : n;
	return !(n >> 63);
}

static void frame_end(struct websocket *w, int dir, const struct stamp *at)
{
	struct side *s = &w->side[dir];

	s->nhead = 0;
	if (s->frame.control)
		return;
	if (s->frame.fin)
		message_end(w, dir, at);
}

static void give_up(struct websocket *w, const struct stamp *at)
{
	if (w->call)
		call_partial(w->call, w->doubt);
	call_end(w, CALL_UNKNOWN, at);
}

static void lose(struct websocket *w, int dir, enum partial why, const struct stamp *at)
{
	w->side[dir] = (struct side){ .lost = true };
	w->doubt = w->doubt ? w->doubt : why;
	give_up(w, at);
}

/* The header is whole: what the frame is part of. False: it is none. */
static bool frame_begin(struct websocket *w, int dir, const struct stamp *at)
{
	struct side *s = &w->side[dir];

	if (!websocket_header_read(s->head, &s->frame))
		return false;
	s->left = s->frame.payload;
	if (s->frame.control)
		return true;
	if (dir == DIR_OUT && !w->call)
		call_open(w, at);
	call_bytes(w, dir, s->nhead, at);
	return true;
}

/* One step: a byte of a header, or as much of a payload as there is. */
static size_t step(struct websocket *w, int dir, struct bytes b, const struct stamp *at)
{
	struct side *s = &w->side[dir];
	size_t n = 1, size;

	if (s->left) {
		n = b.n < s->left ? b.n : (size_t)s->left;
		s->left -= n;
		if (!s->frame.control)
			call_bytes(w, dir, n, at);
		if (!s->left)
			frame_end(w, dir, at);
		return n;
	}
	s->head[s->nhead++] = (uint8_t)*b.p;
	size = websocket_header_size(dir, s->head, s->nhead);
	if (!size || (s->nhead == size && s->nhead >= 2 && !frame_begin(w, dir, at))) {
		lose(w, dir, PARTIAL_NO_PLAINTEXT, at);
		return b.n;
	}
	if (s->nhead == size && s->nhead >= 2 && !s->left)
		frame_end(w, dir, at);
	return n;
}

bool websocket_frames_fit(int dir, struct bytes b)
{
	while (b.n >= 2) {
		size_t size = websocket_header_size(dir, (const uint8_t *)b.p, b.n);
		struct websocket_frame h;

		if (!size || b.n < size || !websocket_header_read((const uint8_t *)b.p, &h) ||
		    h.payload > b.n - size)
			return false;
		b = bytes_from(b, size + (size_t)h.payload);
	}
	return !b.n;
}

/* ---- struct proto ---- */

static enum proto_match websocket_detect(struct bytes out, struct bytes in,
                                         const struct proto_hint *hint)
{
	(void)out;
	(void)in;
	(void)hint;
	return PROTO_NO; /* told by what came before */
}

static void *websocket_new(struct call_sink *sink, const struct proto_hint *hint)
{
	struct websocket *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->sink = sink;
	w->side[0].lost = w->side[1].lost = !hint->from_start;
	w->doubt = hint->from_start ? PARTIAL_NONE : PARTIAL_ATTACHED_LATE;
	snprintf(w->name.op, sizeof(w->name.op), "WEBSOCKET");
	return w;
}

void websocket_name(void *state, const struct websocket_name *name)
{
	((struct websocket *)state)->name = *name;
}

static void websocket_feed(void *state, int dir, struct bytes b, const struct stamp *at)
{
	struct websocket *w = state;
	struct side *s = &w->side[dir == DIR_OUT];

	if (s->lost && websocket_frames_fit(dir, b))
		s->lost = false;
	/* something is answered, what is not known */
	if (s->lost && dir == DIR_IN)
		give_up(w, at);
	w->content = false;
	while (b.n && !s->lost)
		b = bytes_from(b, step(w, dir, b, at));
	/* pings alone: the peer lives, and does not answer */
	if (dir == DIR_IN && w->call && !w->content)
		w->call->filler_ns = w->call->last_byte_ns = at->end_ns;
}

static void websocket_gap(void *state, int dir, uint64_t n, enum partial why,
                          const struct stamp *at)
{
	struct websocket *w = state;
	struct side *s = &w->side[dir == DIR_OUT];

	if (s->lost || !n)
		return;
	if (n > s->left) { /* GAP_UNKNOWN is more than any frame */
		lose(w, dir, why, at);
		return;
	}
	s->left -= n;
	if (!s->frame.control)
		call_bytes(w, dir, n, at);
	if (!s->left)
		frame_end(w, dir, at);
}

static void websocket_done(void *state, enum done_why why, const struct stamp *at)
{
	struct websocket *w = state;

	pending_end_status(w->call, why);
	if (w->call)
		call_end(w, w->call->status, at);
	w->side[0].lost = w->side[1].lost = true;
}

const struct proto proto_websocket = {
	.name = "websocket",
	.detect = websocket_detect,
	.new = websocket_new,
	.feed = websocket_feed,
	.gap = websocket_gap,
	.done = websocket_done,
	.free = free,
};
