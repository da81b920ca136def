/* SPDX-License-Identifier: BSD-2-Clause */
/* Compressed packets of MySQL, unpacked as they come. */
#include "proto/mysql_squeezed.h"

#include "proto/decode.h"

static void unpacked(void *ctx, struct bytes b)
{
	struct mysql_squeezed *z = ctx;

	z->side[z->dir].out += b.n;
	z->plain(z->ctx, z->dir, b, z->at);
}

static void squeezed_end(struct mysql_squeezed *z, int dir, enum partial why,
                         const struct stamp *at)
{
	struct squeezed *s = &z->side[dir];

	if (s->plain > s->out)
		z->missing(z->ctx, dir, s->plain - s->out, why, at);
	decoder_free(s->decoder);
	s->decoder = NULL;
	s->head.n = 0;
}

static void squeezed_body(struct mysql_squeezed *z, int dir, struct bytes b, const struct stamp *at)
{
	struct squeezed *s = &z->side[dir];

	z->dir = dir;
	z->at = at;
	if (s->decoder)
		decoder_feed(s->decoder, b, unpacked, z);
	else
		z->plain(z->ctx, dir, b, at);
	s->left -= b.n;
	if (!s->left)
		squeezed_end(z, dir, PARTIAL_EVENTS_LOST, at);
}

void mysql_squeezed_lose(struct mysql_squeezed *z, int dir)
{
	decoder_free(z->side[dir].decoder);
	z->side[dir] = (struct squeezed){ .lost = true };
}

static void squeezed_lost(struct mysql_squeezed *z, int dir, enum partial why,
                          const struct stamp *at)
{
	mysql_squeezed_lose(z, dir);
	z->missing(z->ctx, dir, GAP_UNKNOWN, why, at);
}

void mysql_squeezed_feed(struct mysql_squeezed *z, int dir, struct bytes b, const struct stamp *at)
{
	struct squeezed *s = &z->side[dir];
	const uint8_t *p = (const uint8_t *)b.p;

	/* what begins a command or a reply */
	if (s->lost &&
	    (b.n < 8 || p[3] != !dir || !le24(p) || (le24(p + 4) && le24(p + 4) < le24(p))))
		return;
	s->lost = false;
	while (b.n) {
		if (s->head.n < 7) {
			if (!collect_take(&s->head, 7, &b))
				return;
			s->left = le24(s->head.b);
			s->plain = le24(s->head.b + 4);
			s->out = 0;
			s->decoder = s->plain ? decoder_new(CODING_DEFLATE) : NULL;
			if (!s->left) {
				squeezed_lost(z, dir, PARTIAL_EVENTS_LOST, at);
				return;
			}
			continue;
		}
		p = (const uint8_t *)b.p;
		b = bytes_from(b, bytes_upto(b, s->left));
		squeezed_body(z, dir,
		              (struct bytes){ (const char *)p, (size_t)(b.p - (const char *)p) },
		              at);
	}
}

void mysql_squeezed_gap(struct mysql_squeezed *z, int dir, uint64_t n, enum partial why,
                        const struct stamp *at)
{
	struct squeezed *s = &z->side[dir];

	if (s->lost || s->head.n < 7 || n > s->left) {
		squeezed_lost(z, dir, why, at);
		return;
	}
	if (s->decoder)
		decoder_gap(s->decoder);
	else
		z->missing(z->ctx, dir, n, why, at);
	s->left -= n;
	if (!s->left)
		squeezed_end(z, dir, why, at);
}

void mysql_squeezed_free(struct mysql_squeezed *z)
{
	for (int d = 0; d < 2; d++)
		decoder_free(z->side[d].decoder);
}
