/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HTTP/2 (RFC 9113), over TLS or in the clear: this file follows the frames of each direction and decodes their headers;
 * http2_stream.c makes calls of them.
 *
 * A gap inside one frame is stepped over; any other, and coming late, loses a direction until an operation begins with what
 * can only be a frame. Header compression has state, and what was missed of it reads as unknown (hpack.h). PING, SETTINGS
 * and WINDOW_UPDATE are nobody's bytes: they bring no call further.
 */
#include "proto/http2.h"

#include <stdlib.h>

#include "proto/http2_state.h"

static void side_lost(struct side *s, enum partial why);

/* ---- header blocks ---- */

static void keep(char *to, size_t room, size_t *n, struct bytes value)
{
	*n = value.n < room ? value.n : room;
	if (*n)
		memcpy(to, value.p, *n);
}

static unsigned int status_read(struct bytes value)
{
	unsigned int status = 0;

	if (value.n != 3)
		return 0;
	for (size_t i = 0; i < 3; i++) {
		if (value.p[i] < '0' || value.p[i] > '9')
			return 0;
		status = status * 10 + (unsigned int)(value.p[i] - '0');
	}
	return status;
}

static void on_field(void *ctx, struct bytes name, struct bytes value)
{
	struct block *b = ctx;

	b->unknown += !name.n;
	if (!name.n || b->pushed) {
		return;
	} else if (name.p[0] != ':') {
		http_head_name(&b->head, name);
		http_head_value(&b->head, value);
	} else if (bytes_equal(name, ":method")) {
		keep(b->method, sizeof(b->method), &b->nmethod, value);
	} else if (bytes_equal(name, ":path")) {
		keep(b->path, sizeof(b->path), &b->npath, value);
	} else if (bytes_equal(name, ":authority")) {
		keep(b->authority, sizeof(b->authority), &b->nauthority, value);
	} else if (bytes_equal(name, ":status")) {
		b->status = status_read(value);
	}
}

static void block_begin(struct side *s)
{
	struct block *b = &s->block;
	struct stream *of;

	if (b->open) /* RFC 9113, 6.10: nothing may come between; part of a block is missing */
		hpack_forget(s->hpack);
	b->open = true;
	b->stream = s->f.stream;
	b->pushed = s->f.type == FRAME_PUSH_PROMISE;
	b->ends = !b->pushed && s->f.flags & FLAG_END_STREAM;
	b->lost = false;
	b->first = s->first;
	b->unknown = b->status = 0;
	b->nmethod = b->npath = b->nauthority = 0;
	http_head_reset(&b->head);
	if (s->dir != DIR_OUT || b->pushed)
		return;
	stream_headers_begin(s->h, b->stream, &s->first);
	of = stream_find(s->h, b->stream);
	if (of && !of->headed)
		http_exchange_head(of->x, &b->head);
}

static void block_feed(struct side *s, struct bytes piece, bool last)
{
	struct block *b = &s->block;

	if (!b->lost && !hpack_feed(s->hpack, piece, last, on_field, b))
		b->lost = true;
	if (!last)
		return;
	b->open = false;
	b->head.also = NULL;
	if (!b->pushed)
		stream_headers(s->h, s->dir, b);
}

/* A part of it, or of the frame it is in, was not seen. */
static void block_gap(struct side *s)
{
	if (!s->block.lost)
		hpack_forget(s->hpack);
	s->block.lost = true;
}

/* ---- frames ---- */

static uint32_t number(const char *p)
{
	const uint8_t *u = (const uint8_t *)p;

	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

static bool is_headers(const struct frame *f)
{
	return f->type == FRAME_HEADERS || f->type == FRAME_PUSH_PROMISE ||
	       f->type == FRAME_CONTINUATION;
}

/* Bytes at the start of the payload that are gathered before the rest is looked at. */
static uint8_t fixed_of(const struct frame *f)
{
	uint8_t pad = f->flags & FLAG_PADDED ? 1 : 0;

	switch (f->type) {
	case FRAME_DATA:
		return pad;
	case FRAME_HEADERS:
		return pad + (f->flags & FLAG_PRIORITY ? 5 : 0);
	case FRAME_PUSH_PROMISE:
		return pad + 4;
	case FRAME_RST_STREAM:
		return 4;
	case FRAME_GOAWAY:
		return 8;
	case FRAME_SETTINGS:
		return f->length ? 6 : 0;
	default:
		return 0;
	}
}

/* RFC 9113, 6.5.2; of the settings only what the other side may send matters here. */
static void setting(struct side *s)
{
	const uint8_t *u = (const uint8_t *)s->start;
	uint32_t value = number(s->start + 2);

	if ((u[0] << 8 | u[1]) == 5 && value >= FRAME_MAX_DEFAULT && value < 1u << 24)
		s->h->side[!s->dir].frame_max = value;
}

/* The start of the payload is there. */
static void fixed_complete(struct side *s)
{
	const struct frame *f = &s->f;

	if (s->holed)
		return;
	if (f->flags & FLAG_PADDED &&
	    (f->type == FRAME_DATA || f->type == FRAME_HEADERS || f->type == FRAME_PUSH_PROMISE)) {
		s->pad = (uint8_t)s->start[0];
		if (s->pad > s->left) {
			side_lost(s, PARTIAL_NONE);
			return;
		}
	}
	if (f->type == FRAME_RST_STREAM)
		stream_reset(s->h, s->dir, f->stream, number(s->start));
	else if (f->type == FRAME_GOAWAY && s->dir == DIR_IN)
		streams_refused(s->h, number(s->start) & 0x7fffffff, number(s->start + 4));
	else if (f->type == FRAME_SETTINGS)
		setting(s);
	/* the next one */
	if (f->type == FRAME_SETTINGS && s->left)
		s->nfixed = 0;
}

static void frame_end(struct side *s)
{
	const struct frame *f = &s->f;
	struct frame done = s->f;

	s->nhead = 0;
	if (is_headers(f) && f->flags & FLAG_END_HEADERS && s->block.open)
		block_feed(s, bytes_of(""), true);
	if (done.type == FRAME_RST_STREAM && s->holed)
		stream_reset(s->h, s->dir, done.stream, HTTP2_CODE_UNKNOWN);
	if (done.type == FRAME_DATA && done.flags & FLAG_END_STREAM)
		stream_half_ends(s->h, s->dir, done.stream);
}

static void frame_begin(struct side *s)
{
	struct frame *f = &s->f;

	*f = frame_read(s->head);
	s->left = f->length;
	s->pad = 0;
	s->nfixed = 0;
	s->fixed = fixed_of(f);
	s->holed = s->blind = false;
	if (!frame_legal(f) || s->fixed > s->left) {
		side_lost(s, PARTIAL_NONE);
		return;
	}
	if (f->type == FRAME_HEADERS || f->type == FRAME_PUSH_PROMISE)
		block_begin(s);
	else if (f->type == FRAME_DATA)
		stream_frame(s->h, s->dir, f);
	else if (f->type == FRAME_CONTINUATION && !s->block.open)
		hpack_forget(s->hpack); /* its beginning was missed */
}

/* What is a call's are its headers and its data. */
static void count(struct side *s, uint64_t n)
{
	if (s->f.type == FRAME_DATA || s->f.type == FRAME_HEADERS ||
	    s->f.type == FRAME_CONTINUATION)
		stream_count(s->h, s->dir, s->f.stream, n);
}

static void payload(struct side *s, struct bytes b)
{
	if (s->f.type == FRAME_DATA && !s->blind)
		stream_data(s->h, s->dir, s->f.stream, b);
	else if (is_headers(&s->f) && s->block.open)
		block_feed(s, b, false);
}

/* ---- directions ---- */

static void side_reset(struct side *s)
{
	s->nhead = 0;
	s->left = s->pad = 0;
	s->nfixed = s->fixed = 0;
	s->block.open = false;
	s->block.head.also = NULL;
}

/* Where the next frame begins is not known any more. */
static void side_lost(struct side *s, enum partial why)
{
	if (s->state == SIDE_LOST)
		return;
	side_reset(s);
	s->state = SIDE_LOST;
	hpack_forget(s->hpack);
	streams_crossed(s->h, s->dir, why);
}

/* Takes the next bytes of the frame under way, and returns how many. */
static size_t frame_feed(struct side *s, struct bytes b)
{
	size_t n;

	if (s->nfixed < s->fixed) {
		n = (size_t)(s->fixed - s->nfixed);
		n = n < b.n ? n : b.n;
		memcpy(s->start + s->nfixed, b.p, n);
		s->nfixed += (uint8_t)n;
		s->left -= (uint32_t)n;
		count(s, n);
		if (s->nfixed == s->fixed)
			fixed_complete(s);
		return n;
	}
	n = s->left > s->pad ? s->left - s->pad : s->left;
	n = n < b.n ? n : b.n;
	if (s->left > s->pad)
		payload(s, (struct bytes){ b.p, n });
	s->left -= (uint32_t)n;
	count(s, n);
	return n;
}

static void head_byte(struct side *s, char c)
{
	if (!s->nhead)
		s->first = *s->h->at;
	s->head[s->nhead++] = c;
	if (s->nhead < FRAME_HEAD)
		return;
	frame_begin(s);
	if (s->state == SIDE_READS)
		count(s, FRAME_HEAD);
}

static void side_parse(struct side *s, struct bytes b)
{
	while (b.n && s->state == SIDE_READS) {
		if (s->preface < HTTP2_PREFACE_LEN) {
			if (b.p[0] != HTTP2_PREFACE[s->preface]) {
				side_lost(s, PARTIAL_NONE);
				return;
			}
			s->preface++;
			b = bytes_from(b, 1);
			continue;
		}
		if (s->nhead < FRAME_HEAD) {
			head_byte(s, b.p[0]);
			b = bytes_from(b, 1);
		} else {
			b = bytes_from(b, frame_feed(s, b));
		}
		if (s->state == SIDE_READS && s->nhead == FRAME_HEAD && !s->left)
			frame_end(s);
	}
}

/* Steps over what of n lost bytes lies in the frame under way, and returns how many do not. */
static uint64_t side_skip(struct side *s, uint64_t n, enum partial why)
{
	uint64_t skip = n < s->left ? n : s->left, body;

	if (s->state != SIDE_READS || s->nhead < FRAME_HEAD || n == GAP_UNKNOWN || n > s->left)
		return n;
	s->holed = true;
	/* without its start nobody knows where the padding begins */
	s->blind |= s->nfixed < s->fixed;
	s->nfixed = s->fixed;
	body = s->left > s->pad ? s->left - s->pad : 0;
	body = skip < body ? skip : body;
	if (s->f.type == FRAME_DATA && (body || s->blind))
		stream_data_gap(s->h, s->dir, s->f.stream, s->blind ? GAP_UNKNOWN : body, why);
	else if (is_headers(&s->f) && (body || s->blind))
		block_gap(s);
	s->left -= (uint32_t)skip;
	count(s, skip);
	if (!s->left)
		frame_end(s);
	return 0;
}

static void side_found(struct side *s)
{
	s->state = SIDE_READS;
	s->preface = HTTP2_PREFACE_LEN;
}

static bool preface_begins(struct side *s, struct bytes b)
{
	struct hpack *fresh;

	if (s->dir != DIR_OUT || !bytes_start(b, HTTP2_PREFACE) || !(fresh = hpack_new(true)))
		return false;
	hpack_free(s->hpack);
	s->hpack = fresh;
	side_found(s);
	s->preface = 0;
	/* what is known to be in flight can only be the request that asked for the upgrade */
	s->h->late_limit = s->h->seeded ? UPGRADED_STREAM : 0;
	return true;
}

/* Is it certain that a frame begins with b? The operation may have lost its own beginning: a head alone is not enough. */
static bool frames_certain(const struct side *s, struct bytes b, bool *broken)
{
	struct frame_chain c = frame_chain(b, s->frame_max);

	*broken = c.broken;
	return !c.broken && (c.proved || (c.whole && (c.ends || c.heads > c.whole)));
}

/* A direction that was lost: b is looked at together with what came before it and did not tell yet, for an operation may come in
 * pieces that are smaller than a frame. */
static void side_seek(struct side *s, struct bytes b)
{
	bool broken = true, found = false;

	if (preface_begins(s, b)) {
		side_parse(s, b);
		return;
	}
	if (s->tried.n && b.n <= TRIED_MAX - s->tried.n && buf_add(&s->tried, b.p, b.n))
		found = frames_certain(s, buf_bytes(&s->tried), &broken);
	if (!found && broken) {
		buf_free(&s->tried);
		if (b.n > TRIED_MAX || !buf_add(&s->tried, b.p, b.n))
			return;
		found = frames_certain(s, b, &broken);
	}
	if (found) {
		struct buf all = s->tried;

		s->tried = (struct buf){ 0 };
		side_found(s);
		side_parse(s, buf_bytes(&all));
		buf_free(&all);
	} else if (broken) {
		buf_free(&s->tried);
	}
}

/* ---- recognition ---- */

static enum proto_match http2_detect(struct bytes out, struct bytes in,
                                     const struct proto_hint *hint)
{
	size_t n = out.n < HTTP2_PREFACE_LEN ? out.n : HTTP2_PREFACE_LEN;
	enum proto_match o, i;

	if (memcmp(out.n ? out.p : "", HTTP2_PREFACE, n) == 0 && n)
		return n >= 16 ? PROTO_YES : PROTO_MAYBE; /* the first line */
	if (hint->from_start && out.n)
		return PROTO_NO;
	o = out.n ? frames_begin(out) : PROTO_MAYBE;
	i = in.n ? frames_begin(in) : PROTO_MAYBE;
	if (o == PROTO_NO || i == PROTO_NO)
		return PROTO_NO;
	/* who opened it must have sent the preface first */
	return (o == PROTO_YES || i == PROTO_YES) && !hint->from_start ? PROTO_YES : PROTO_MAYBE;
}

/* ---- struct proto ---- */

static void http2_free(void *state)
{
	struct http2 *h = state;

	if (!h)
		return;
	for (int dir = DIR_IN; dir <= DIR_OUT; dir++) {
		hpack_free(h->side[dir].hpack);
		http_blocks_free(&h->side[dir].blocks);
		buf_free(&h->side[dir].tried);
	}
	free(h);
}

static void *http2_new(struct call_sink *sink, const struct proto_hint *hint)
{
	struct http2 *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->sink = sink;
	h->late_limit = hint->from_start ? 0 : NO_LIMIT;
	h->late_why = PARTIAL_ATTACHED_LATE;
	for (int dir = DIR_IN; dir <= DIR_OUT; dir++) {
		struct side *s = &h->side[dir];

		s->h = h;
		s->dir = dir;
		s->preface = dir == DIR_OUT ? 0 : HTTP2_PREFACE_LEN;
		s->frame_max = FRAME_MAX_DEFAULT;
		s->state = hint->from_start ? SIDE_READS : SIDE_LOST;
		http_blocks_init(&s->blocks);
		s->hpack = hpack_new(hint->from_start);
		if (!s->hpack) {
			http2_free(h);
			return NULL;
		}
	}
	return h;
}

bool http2_unseeded(const void *state)
{
	const struct http2 *h = state;

	return !h->seeded && !h->late_came;
}

void http2_seed(void *state, struct call *c)
{
	((struct http2 *)state)->seeded = c;
}

void http2_upgraded(void *state, struct http_exchange *x, bool sent, struct http_blocks *blocks,
                    const struct stamp *at)
{
	struct http2 *h = state;

	h->at = at;
	http_blocks_move(&h->side[DIR_IN].blocks, blocks);
	stream_upgraded(h, x, sent);
	/* the rest of it is still to come, and then the preface */
	if (!sent)
		side_lost(&h->side[DIR_OUT], PARTIAL_NONE);
}

static bool http2_shared(const void *state)
{
	(void)state;
	return true;
}

static void http2_feed(void *state, int dir, struct bytes b, const struct stamp *at)
{
	struct http2 *h = state;
	struct side *s = &h->side[dir == DIR_OUT];

	h->at = at;
	if (s->state == SIDE_READS)
		side_parse(s, b);
	else if (b.n)
		side_seek(s, b);
}

static void http2_gap(void *state, int dir, uint64_t n, enum partial why, const struct stamp *at)
{
	struct http2 *h = state;
	struct side *s = &h->side[dir == DIR_OUT];

	h->at = at;
	if (!n)
		return;
	buf_free(&s->tried);
	if (side_skip(s, n, why))
		side_lost(s, why);
}

static void http2_decoded(void *state, int dir, struct bytes b)
{
	struct http2 *h = state;

	http_blocks_add(&h->side[dir == DIR_OUT].blocks, b);
}

static void http2_done(void *state, enum done_why why, const struct stamp *at)
{
	struct http2 *h = state;
	const char *kind;
	enum call_status status = http_exchange_ending(why, &kind);

	h->at = at;
	streams_end(h, status, kind, PARTIAL_NONE);
	for (int dir = DIR_IN; dir <= DIR_OUT; dir++) {
		side_reset(&h->side[dir]);
		h->side[dir].state = SIDE_LOST;
	}
}

const struct proto proto_http2 = {
	.name = "http2",
	.detect = http2_detect,
	.new = http2_new,
	.feed = http2_feed,
	.gap = http2_gap,
	.shared = http2_shared,
	.decoded = http2_decoded,
	.done = http2_done,
	.free = http2_free,
};
