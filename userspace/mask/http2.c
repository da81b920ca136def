/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Masks HTTP/2 (RFC 9113). Frames and header fields stay as they are coded; bodies are masked as those of HTTP/1 are, stream by
 * stream, and gRPC's as protobuf.c does it. Header blocks and messages may come in any pieces: they wait for their last one. What
 * is not certain is zeroed: a block or message that a gap went through, one that was begun while another waited, and all that
 * follows a gap that is not inside one frame's data until the next request.
 */
#include <ctype.h>
#include <stdlib.h>

#include "event.h"
#include "llm/grpc.h"
#include "llm/path.h"
#include "mask/body.h"
#include "mask/hpack.h"
#include "mask/protobuf.h"
#include "proto/decode.h"
#include "proto/grpc.h"
#include "proto/http2_frame.h"
#include "store/route.h"

#define STREAMS_MAX 4096 /* as in http2_state.h */
#define VALUE_MAX 256
#define PATH_MAX_LEN 2048
#define METHOD_MAX 16

struct body {
	bool begun, headed;
	char type[VALUE_MAX];
	size_t ntype;
	enum coding coding;
	struct decoder *decoder;
	struct mask_body masked;
	uint8_t nprefix;
	uint8_t prefix[GRPC_PREFIX];
	uint32_t left; /* of a message of gRPC */
	bool partly;   /* part of it went by unseen */
	size_t piled;  /* bytes of it that wait for the rest */
	bool lost;     /* where the next one begins is not known */
};

struct stream {
	struct stream *next;
	uint32_t id;
	bool llm, grpc, chat;
	bool unnamed; /* its path was not seen: the body may tell that it is gRPC's, and a message that it is a chat */
	unsigned rules; /* else how a store tells errors */
	bool ended[2];
	struct body body[2];
};

struct side {
	struct http2 *h;
	int dir; /* 1 = requests */
	uint8_t nhead;
	char head[FRAME_HEAD];
	struct frame f;
	uint32_t left, pad; /* of the payload; of it, padding */
	bool padded;        /* its length is still to come */
	struct hpack *hpack;
	struct mask_word *word;
	uint32_t speaks; /* stream whose body the word is in */
	uint32_t piler;  /* whose message waits for its rest, 0: it is a header block */
	struct {
		bool headers; /* it began with HEADERS */
		bool lost, ends;
		size_t piled;
	} block;
	char *decoded;
	size_t ndecoded, room;
};

struct http2 {
	struct mask_owner *o;
	struct side side[2];
	struct stream *streams;
	unsigned n;
};

/* ---- streams ---- */

static struct stream *stream_get(struct http2 *h, uint32_t id)
{
	struct stream *s = h->streams;

	while (s && s->id != id)
		s = s->next;
	if (s || h->n == STREAMS_MAX || !(s = calloc(1, sizeof(*s))))
		return s;
	s->id = id;
	s->next = h->streams;
	h->streams = s;
	h->n++;
	return s;
}

static void body_end(struct side *side, struct stream *s, bool complete)
{
	struct body *b = &s->body[side->dir];

	if (b->begun && side->speaks == s->id)
		mask_body_end(&b->masked, complete);
	if (side->speaks == s->id)
		word_end(side->word, false);
	if (side->piler == s->id)
		word_pile_drop(side->word);
	decoder_free(b->decoder);
	b->decoder = NULL;
	b->begun = false;
}

static void stream_free(struct http2 *h, uint32_t id)
{
	struct stream **p = &h->streams, *s;

	while (*p && (*p)->id != id)
		p = &(*p)->next;
	s = *p;
	if (!s)
		return;
	*p = s->next;
	h->n--;
	for (int dir = 0; dir < 2; dir++)
		body_end(&h->side[dir], s, false);
	free(s);
}

static void half_ends(struct side *side, uint32_t id)
{
	struct stream *s = stream_get(side->h, id);

	if (!s)
		return;
	body_end(side, s, true);
	s->ended[side->dir] = true;
	if (side->dir == 0)
		stream_free(side->h, id);
}

/* ---- headers ---- */

struct head {
	char path[PATH_MAX_LEN];
	size_t npath;
	char type[VALUE_MAX], coding[VALUE_MAX];
	size_t ntype, ncoding;
	char method[METHOD_MAX];
	size_t nmethod;
};

static void keep(char *to, size_t room, size_t *n, struct bytes b)
{
	*n = b.n < room ? b.n : room;
	for (size_t i = 0; i < *n; i++)
		to[i] = room == VALUE_MAX ? (char)tolower((uint8_t)b.p[i]) : b.p[i];
}

static void on_field(void *ctx, struct bytes name, struct bytes value)
{
	struct head *h = ctx;

	if (bytes_equal(name, ":path"))
		keep(h->path, sizeof(h->path), &h->npath, value);
	else if (bytes_equal(name, ":method"))
		keep(h->method, sizeof(h->method), &h->nmethod, value);
	else if (bytes_equal(name, "content-type"))
		keep(h->type, sizeof(h->type), &h->ntype, value);
	else if (bytes_equal(name, "content-encoding"))
		keep(h->coding, sizeof(h->coding), &h->ncoding, value);
}

static void request_head(struct stream *s, const struct head *h)
{
	struct bytes path = { h->path, h->npath }, method = { h->method, h->nmethod },
		     target = path;
	const struct route *route;
	char op[CALL_OP_MAX];
	struct llm_path p;

	for (size_t i = 0; i < path.n; i++)
		if (path.p[i] == '?' || path.p[i] == '#')
			path.n = i;
	llm_path_read(&p, method, path, bytes_of(""));
	s->llm = p.kind != LLM_NONE;
	/* as proto/http_exchange.c has it for who came late */
	s->grpc = h->ntype ? grpc_content_type((struct bytes){ h->type, h->ntype })
	                   : grpc_is_path(path);
	s->unnamed = !target.n && (!method.n || bytes_equal(method, "POST"));
	s->chat = p.grpc && p.kind == LLM_CHAT;
	route = s->grpc ? route_grpc(path, op) : NULL;
	if (s->grpc)
		s->rules = route ? route->rules : 0;
	else if (!s->llm && target.n && *target.p == '/')
		s->rules = route_rules(method, target);
}

static void head_take(struct side *side, const struct head *h)
{
	struct stream *s = stream_get(side->h, side->f.stream);
	struct body *b = s ? &s->body[side->dir] : NULL;

	if (!s || b->headed)
		return;
	b->headed = true;
	if (side->dir == 1)
		request_head(s, h);
	memcpy(b->type, h->type, h->ntype);
	b->ntype = h->ntype;
	b->coding = decode_coding((struct bytes){ h->coding, h->ncoding });
}

/* What waits on the direction's pile becomes zeros, and who's bytes may now wait there. */
static void pile_begin(struct side *side, uint32_t piler)
{
	word_pile_drop(side->word);
	side->piler = piler;
}

/* Puts a byte behind the *piled that wait. False: it is a zero, as they are. */
static bool pile_add(struct side *side, uint32_t piler, size_t *piled, char *p)
{
	if (side->piler == piler && side->word->npile == *piled && word_pile(side->word, p)) {
		++*piled;
		return true;
	}
	*p = 0;
	return false;
}

static void block_begin(struct side *side)
{
	pile_begin(side, 0);
	side->block.piled = 0;
	side->block.lost = false;
	side->block.headers = side->f.type == FRAME_HEADERS;
	side->block.ends = side->block.headers && side->f.flags & FLAG_END_STREAM;
}

/* A header block is there to its end. */
static void block_end(struct side *side)
{
	struct head h = { .npath = 0 };
	size_t n = side->block.piled;
	char *p = side->block.lost ? NULL : n ? word_pile_copy(side->word, n) : strdup("");
	bool known = p && mask_headers(side->hpack, side->h->o->key, p, n, on_field, &h);

	if (known) {
		word_pile_put(side->word, p, n);
	} else {
		word_pile_drop(side->word);
		hpack_forget(side->hpack);
	}
	free(p);
	if (known && side->block.headers)
		head_take(side, &h);
	side->block.lost = true; /* a CONTINUATION that follows is none's */
	if (side->block.ends)
		half_ends(side, side->f.stream);
	side->block.ends = false;
}

/* ---- bodies ---- */

static void plain_feed(struct side *side, struct stream *s, char *p, size_t n)
{
	struct body *b = &s->body[side->dir];

	/* one word a direction: another stream's that is not at its end is masked */
	if (side->speaks != s->id)
		word_break(side->word);
	side->speaks = s->id;
	while (n && !b->begun && *p && strchr(" \t\r\n\xef\xbb\xbf", *p))
		p++, n--;
	if (n && !b->begun) {
		mask_body_start(&b->masked, side->h->o->key, side->word,
		                (struct bytes){ b->type, b->ntype }, *p, !s->llm,
		                side->dir == 0 ? s->rules : 0);
		b->begun = true;
	}
	if (n)
		mask_body_feed(&b->masked, p, n);
}

static void collect(void *ctx, struct bytes b)
{
	struct side *side = ctx;

	if (side->room - side->ndecoded < b.n) {
		size_t room = 2 * (side->ndecoded + b.n);
		char *p = realloc(side->decoded, room);

		if (!p)
			return;
		side->decoded = p;
		side->room = room;
	}
	memcpy(side->decoded + side->ndecoded, b.p, b.n);
	side->ndecoded += b.n;
}

static void block_give(struct side *side, struct stream *s, struct bytes b, bool more)
{
	char *kept = side->h->o->block(side->h->o, side->dir, b, more);

	if (kept)
		plain_feed(side, s, kept, b.n);
}

/* What a slice decoded to, in as many blocks as it takes: one, as a rule. */
static void slice_give(struct side *side, struct stream *s)
{
	struct bytes b = { side->decoded ? side->decoded : "", side->ndecoded };

	while (b.n > MASK_BLOCK_MAX) {
		block_give(side, s, (struct bytes){ b.p, MASK_BLOCK_MAX }, true);
		b = bytes_from(b, MASK_BLOCK_MAX);
	}
	block_give(side, s, b, false);
}

/* A slice of an encoded body: what it decodes to goes into a block, and the slice is wiped. */
static void encoded_feed(struct side *side, struct stream *s, char *p, size_t n)
{
	struct body *b = &s->body[side->dir];
	struct bytes was;
	int recorded = side->h->o->recorded(side->h->o, side->dir, &was);

	side->ndecoded = 0;
	for (; recorded == 2; recorded = side->h->o->recorded(side->h->o, side->dir, &was))
		block_give(side, s, was, true);
	if (recorded > 0) {
		block_give(side, s, was, false);
	} else if (recorded < 0) {
		if (!b->decoder)
			b->decoder = decoder_new(b->coding);
		if (b->decoder &&
		    decoder_feed(b->decoder, (struct bytes){ p, n }, collect, side) == DECODE_OK)
			slice_give(side, s);
	}
	memset(p, 0, n);
}

static enum mask_message message_kind(const struct side *side, struct stream *s,
                                      struct bytes message)
{
	s->chat |= s->unnamed && side->dir == 1 && llm_grpc_is_chat(message);
	if (s->chat)
		return side->dir == 1 ? MASK_CHAT_REQUEST : MASK_CHAT_REPLY;
	if (side->dir == 0 && s->rules & RULE_MILVUS_GRPC)
		return MASK_MILVUS_REPLY;
	return side->dir == 0 && s->rules & RULE_WEAVIATE_GRPC ? MASK_WEAVIATE_REPLY : MASK_MESSAGE;
}

/* A part of a message, n bytes, that is not all of it. */
static void message_pile(struct side *side, struct stream *s, char *p, size_t n)
{
	struct body *b = &s->body[side->dir];
	char *whole;

	if (!b->piled)
		pile_begin(side, s->id);
	for (size_t i = 0; i < n; i++)
		b->partly |= b->partly || !pile_add(side, s->id, &b->piled, p + i);
	if (n < b->left)
		return;
	whole = b->partly ? NULL : word_pile_copy(side->word, b->piled);
	if (whole) {
		mask_protobuf(side->h->o->key, whole, b->piled,
		              message_kind(side, s, (struct bytes){ whole, b->piled }));
		word_pile_put(side->word, whole, b->piled);
	}
	free(whole);
}

/* A part of a message of gRPC. What is compressed, or has a hole, is wiped. */
static void message_mask(struct side *side, struct stream *s, char *p, size_t n)
{
	struct body *b = &s->body[side->dir];

	if (b->prefix[0] || b->partly)
		memset(p, 0, n);
	else if (n == b->left && !b->piled)
		mask_protobuf(side->h->o->key, p, n, message_kind(side, s, (struct bytes){ p, n }));
	else
		message_pile(side, s, p, n);
	b->left -= (uint32_t)n;
}

/* Messages of gRPC, in any pieces. */
static void grpc_mask(struct side *side, struct stream *s, char *p, size_t n)
{
	struct body *b = &s->body[side->dir];

	while (n) {
		size_t part = 1;

		if (b->lost) {
			memset(p, 0, n);
			return;
		}
		if (b->nprefix < GRPC_PREFIX) {
			b->prefix[b->nprefix++] = (uint8_t)*p;
			if (b->nprefix == GRPC_PREFIX)
				b->left = (uint32_t)b->prefix[1] << 24 |
				          (uint32_t)b->prefix[2] << 16 |
				          (uint32_t)b->prefix[3] << 8 | b->prefix[4];
			b->lost = b->prefix[0] > 1;
		} else {
			part = n < b->left ? n : b->left;
			message_mask(side, s, p, part);
		}
		if (b->nprefix == GRPC_PREFIX && !b->left) {
			b->nprefix = 0;
			b->partly = false;
			b->piled = 0;
		}
		p += part;
		n -= part;
	}
}

/* The first bytes of a request whose path was not seen. */
static void body_look(struct side *side, struct stream *s, struct bytes b)
{
	struct body *body = &s->body[1];

	if (side->dir == 0 || body->begun || body->nprefix || s->grpc || !b.n)
		return;
	s->grpc = b.n >= GRPC_PREFIX && grpc_fills(b, side->f.length);
	s->unnamed = s->grpc;
}

static void data_mask(struct side *side, char *p, size_t n)
{
	struct stream *s = stream_get(side->h, side->f.stream);

	if (s && s->unnamed && s->body[side->dir].headed)
		body_look(side, s, (struct bytes){ p, n });
	if (!s || !s->body[side->dir].headed)
		memset(p, 0, n);
	else if (s->grpc)
		grpc_mask(side, s, p, n);
	else if (s->body[side->dir].coding != CODING_IDENTITY)
		encoded_feed(side, s, p, n);
	else
		plain_feed(side, s, p, n);
}

static void data_gap(struct side *side, uint64_t n)
{
	struct stream *s = stream_get(side->h, side->f.stream);
	struct body *b = s ? &s->body[side->dir] : NULL;

	if (!s)
		return;
	if (b->begun && side->speaks == s->id)
		mask_body_gap(&b->masked, b->coding == CODING_IDENTITY ? n : UINT64_MAX);
	if (!b->decoder && b->coding != CODING_IDENTITY)
		b->decoder = decoder_new(b->coding);
	if (b->decoder)
		decoder_gap(b->decoder);
	if (b->nprefix == GRPC_PREFIX && n <= b->left) {
		b->left -= (uint32_t)n;
		b->partly = b->left != 0;
		b->piled = 0;
		if (side->piler == s->id)
			word_pile_drop(side->word);
		if (!b->left)
			b->nprefix = 0;
	} else {
		b->lost = true;
	}
}

/* ---- frames ---- */

static bool is_headers(const struct frame *f)
{
	return f->type == FRAME_HEADERS || f->type == FRAME_PUSH_PROMISE ||
	       f->type == FRAME_CONTINUATION;
}

/* Bytes in front of a frame's part of the block that stay: the padding's length, a priority or the stream promised. */
static uint32_t before_block(const struct frame *f)
{
	if (f->type == FRAME_CONTINUATION)
		return 0;
	return (f->flags & FLAG_PADDED ? 1u : 0) + (f->type == FRAME_PUSH_PROMISE ? 4u
	                                            : f->flags & FLAG_PRIORITY    ? 5u
	                                                                          : 0);
}

/* Headers: the payload, or as much of it as this operation has. */
static void headers_mask(struct side *side, char *p, size_t n)
{
	const struct frame *f = &side->f;
	uint32_t at = f->length - side->left, before = before_block(f);

	if (!at && f->type != FRAME_CONTINUATION)
		block_begin(side);
	for (size_t i = 0; i < n; i++, at++) {
		if (!at && before && f->flags & FLAG_PADDED)
			side->pad = (uint8_t)p[i];
		side->block.lost |= before + side->pad > f->length;
		if (at < before)
			continue;
		if (side->block.lost || at + side->pad >= f->length)
			p[i] = 0;
		else
			side->block.lost |= !pile_add(side, 0, &side->block.piled, p + i);
	}
}

static void headers_gap(struct side *side)
{
	const struct frame *f = &side->f;

	if (side->left == f->length && f->type != FRAME_CONTINUATION)
		block_begin(side);
	side->block.lost = true;
	pile_begin(side, 0);
}

static void payload_mask(struct side *side, char *p, size_t n)
{
	const struct frame *f = &side->f;
	uint32_t done = f->length - side->left;

	if (f->type == FRAME_DATA) {
		size_t body = side->left > side->pad ? side->left - side->pad : 0;

		if (n && side->padded) {
			side->pad = (uint8_t)*p;
			side->padded = false;
			body = side->left > side->pad + 1 ? side->left - 1 - side->pad : 0;
			side->left--;
			p++, n--;
		}
		body = body < n ? body : n;
		data_mask(side, p, body);
		memset(p + body, 0, n - body);
	} else if (is_headers(f)) {
		headers_mask(side, p, n);
	} else if (f->type == FRAME_GOAWAY && done < 8) { /* what follows is text */
		size_t kept = 8 - done < n ? 8 - done : n;

		memset(p + kept, 0, n - kept);
	} else if (f->type != FRAME_SETTINGS && f->type != FRAME_WINDOW_UPDATE &&
	           f->type != FRAME_PRIORITY && f->type != FRAME_RST_STREAM) {
		memset(p, 0, n);
	}
	side->left -= (uint32_t)n;
}

static void frame_end(struct side *side)
{
	const struct frame *f = &side->f;

	side->nhead = 0;
	if (f->type == FRAME_RST_STREAM)
		stream_free(side->h, f->stream);
	else if (is_headers(f) && f->flags & FLAG_END_HEADERS)
		block_end(side);
	else if (f->type == FRAME_DATA && f->flags & FLAG_END_STREAM)
		half_ends(side, f->stream);
}

/* False: that begins no frame. */
static bool head_byte(struct side *side, char c)
{
	side->head[side->nhead++] = c;
	if (side->nhead < FRAME_HEAD)
		return true;
	side->f = frame_read(side->head);
	side->left = side->f.length;
	side->pad = 0;
	side->padded = side->f.type == FRAME_DATA && side->f.flags & FLAG_PADDED;
	return frame_legal(&side->f);
}

/* ---- struct masker ---- */

static void http2_free(void *m)
{
	struct http2 *h = m;

	if (!h)
		return;
	while (h->streams)
		stream_free(h, h->streams->id);
	for (int dir = 0; dir < 2; dir++) {
		hpack_free(h->side[dir].hpack);
		free(h->side[dir].decoded);
	}
	free(h);
}

/* The preface, or in the middle a request's headers. */
static int http2_request(struct bytes b, uint64_t total, bool from_start)
{
	size_t n = b.n < HTTP2_PREFACE_LEN ? b.n : HTTP2_PREFACE_LEN;
	struct frame_chain c;

	(void)from_start;
	if (n && memcmp(b.p, HTTP2_PREFACE, n) == 0)
		return n == HTTP2_PREFACE_LEN;
	c = frame_chain(b, FRAME_MAX_DEFAULT);
	if (c.broken)
		return -1;
	/* gRPC's own library writes a header field by field */
	return c.request ? 1 : c.heads && b.n < total ? 0 : -1;
}

static void *http2_new(struct mask_owner *o, struct mask_word *words, bool from_start)
{
	struct http2 *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->o = o;
	for (int dir = 0; dir < 2; dir++) {
		struct side *side = &h->side[dir];

		side->h = h;
		side->dir = dir;
		side->word = &words[dir];
		side->block.lost = true; /* none was begun */
		side->hpack = hpack_new(from_start);
		if (!side->hpack) {
			http2_free(h);
			return NULL;
		}
	}
	return h;
}

static enum mask_result http2_feed(void *m, int dir, char *p, size_t n)
{
	struct http2 *h = m;
	struct side *side = &h->side[dir];

	/* at its beginning: the preface is no payload */
	if (dir == 1 && !side->nhead && !side->left && n >= HTTP2_PREFACE_LEN &&
	    memcmp(p, HTTP2_PREFACE, HTTP2_PREFACE_LEN) == 0) {
		p += HTTP2_PREFACE_LEN;
		n -= HTTP2_PREFACE_LEN;
	}
	while (n) {
		size_t part = 1;

		if (side->nhead < FRAME_HEAD) {
			if (!head_byte(side, *p)) {
				memset(p, 0, n);
				return MASK_LOST;
			}
		} else {
			part = n < side->left ? n : side->left;
			payload_mask(side, p, part);
		}
		p += part;
		n -= part;
		if (side->nhead == FRAME_HEAD && !side->left)
			frame_end(side);
	}
	return MASK_OK;
}

static enum mask_result http2_gap(void *m, int dir, uint64_t n)
{
	struct http2 *h = m;
	struct side *side = &h->side[dir];

	if (!n)
		return MASK_OK;
	if (side->nhead < FRAME_HEAD || n > side->left || side->padded)
		return MASK_LOST;
	if (side->f.type == FRAME_DATA)
		data_gap(side, n);
	else if (is_headers(&side->f))
		headers_gap(side);
	side->left -= (uint32_t)n;
	if (!side->left)
		frame_end(side);
	return MASK_OK;
}

void mask_http2_upgraded(void *m, bool llm)
{
	struct stream *s = stream_get(m, UPGRADED_STREAM);

	if (!s)
		return;
	s->llm = llm;
	s->ended[1] = s->body[1].headed = true;
}

const struct masker masker_http2 = {
	.request = http2_request,
	.new = http2_new,
	.feed = http2_feed,
	.gap = http2_gap,
	.free = http2_free,
};
