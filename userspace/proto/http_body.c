/* SPDX-License-Identifier: BSD-2-Clause */
/* Decoding, or its replacement by blocks; what comes out goes to the exchange. */
#include "proto/http_body.h"

#include <stdlib.h>

#include "proto/http_exchange.h"

/* Decoded slices that wait for their record. One record cannot hold more than 5,500 slices (a
 * chunk of one byte takes six), and a few records may wait for the protocol to be recognised. */
#define BLOCKS_MAX 65536
#define BLOCK_BYTES_MAX DECODE_MAX

/* What an encoded slice decodes to, in a scrubbed recording. */
struct http_block {
	struct http_block *next;
	size_t n;
	char p[];
};

void http_blocks_init(struct http_blocks *k)
{
	*k = (struct http_blocks){ 0 };
	k->end = &k->list;
}

/* The block for this slice, which the caller frees, or NULL: there is none. */
static struct http_block *block_take(struct http_blocks *k)
{
	struct http_block *b = k->list;

	if (!b)
		return NULL;
	k->list = b->next;
	if (!k->list)
		k->end = &k->list;
	k->n--;
	k->bytes -= b->n;
	return b;
}

void http_blocks_free(struct http_blocks *k)
{
	struct http_block *b;

	while ((b = block_take(k)))
		free(b);
}

void http_blocks_move(struct http_blocks *to, struct http_blocks *from)
{
	*to = *from;
	if (!to->list)
		to->end = &to->list;
	http_blocks_init(from);
}

void http_blocks_add(struct http_blocks *k, struct bytes b)
{
	struct http_block *new;

	k->given = true;
	if (k->lost || k->n == BLOCKS_MAX || b.n > BLOCK_BYTES_MAX - k->bytes ||
	    !(new = malloc(sizeof(*new) + b.n))) {
		k->lost = true;
		http_blocks_free(k);
		return;
	}
	new->next = NULL;
	new->n = b.n;
	if (b.n)
		memcpy(new->p, b.p, b.n);
	*k->end = new;
	k->end = &new->next;
	k->n++;
	k->bytes += b.n;
}

void http_body_reset(struct http_body *m, int dir, const struct http_head *head)
{
	decoder_free(m->decoder);
	*m = (struct http_body){ .dir = dir };
	if (head)
		m->coding = decode_coding(http_head_field(head, FIELD_ENCODING));
}

/* Where the pieces of a decoded slice go. */
struct sink {
	struct http_exchange *x;
	int dir;
	uint64_t ts_ns;
};

static void piece(void *ctx, struct bytes b)
{
	struct sink *s = ctx;

	http_exchange_body(s->x, s->dir, b, s->ts_ns);
}

static void unreadable(struct http_body *m, struct http_exchange *x, enum partial why)
{
	http_exchange_partial(x, why);
	http_exchange_body_gap(x, m->dir, GAP_UNKNOWN);
}

static void decode(struct http_body *m, struct http_exchange *x, struct bytes b,
                   const struct stamp *at)
{
	static const enum partial reasons[] = {
		[DECODE_OK] = PARTIAL_NONE,
		[DECODE_UNREADABLE] = PARTIAL_NO_PLAINTEXT,
		[DECODE_TOO_MUCH] = PARTIAL_TRUNCATED,
	};
	enum decode_result r = DECODE_UNREADABLE;
	struct sink to = { x, m->dir, at->end_ns };

	if (!m->decoder)
		m->decoder = decoder_new(m->coding);
	if (m->decoder)
		r = decoder_feed(m->decoder, b, piece, &to);
	if (r != DECODE_OK)
		unreadable(m, x, reasons[r]);
}

/* The same from a scrubbed recording. */
static void take_block(struct http_body *m, struct http_exchange *x, const struct http_block *k,
                       const struct stamp *at)
{
	if (k && !m->holed && m->coding != CODING_UNKNOWN)
		http_exchange_body(x, m->dir, (struct bytes){ k->p, k->n }, at->end_ns);
	else
		unreadable(m, x, PARTIAL_NO_PLAINTEXT);
}

void http_body_feed(struct http_body *m, struct http_blocks *k, struct http_exchange *x,
                    struct bytes b, const struct stamp *at)
{
	struct http_block *block = m->coding != CODING_IDENTITY ? block_take(k) : NULL;
	bool read = x && http_exchange_is_read(x, m->dir);

	if (read && m->coding != CODING_IDENTITY && k->given)
		take_block(m, x, block, at);
	else if (read)
		decode(m, x, b, at);
	free(block);
}

void http_body_gap(struct http_body *m, struct http_exchange *x, uint64_t n, enum partial why)
{
	m->holed = true;
	if (!x || !http_exchange_is_read(x, m->dir))
		return;
	http_exchange_partial(x, why);
	http_exchange_body_gap(x, m->dir, m->coding == CODING_IDENTITY ? n : GAP_UNKNOWN);
	if (!m->decoder)
		m->decoder = decoder_new(m->coding);
	if (m->decoder)
		decoder_gap(m->decoder);
}
