/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Masks WebSocket (RFC 6455): the headers of frames stay, but for the client's mask, payloads become zeros. Framing, and how it
 * is found again, are those of proto/websocket.c, step by step. What is no frame becomes 0xff, which begins none.
 */
#include <stdlib.h>

#include "mask/mask.h"
#include "proto/websocket.h"

struct side {
	bool lost;
	uint8_t head[WEBSOCKET_HEADER_MAX];
	size_t nhead;
	uint64_t left;
};

struct websocket {
	struct side side[2];
};

static int websocket_request(struct bytes b, uint64_t total, bool from_start)
{
	(void)b; /* told by what came before */
	(void)total;
	(void)from_start;
	return -1;
}

static void *websocket_new(struct mask_owner *o, struct mask_word *words, bool from_start)
{
	struct websocket *w = calloc(1, sizeof(*w));

	(void)o;
	(void)words;
	if (w)
		w->side[0].lost = w->side[1].lost = !from_start;
	return w;
}

/* A byte of a header. False: it is none. */
static bool header_byte(struct side *s, int dir, char *p)
{
	struct websocket_frame f;
	size_t size;

	s->head[s->nhead++] = (uint8_t)*p;
	size = websocket_header_size(dir, s->head, s->nhead);
	if (!size)
		return false;
	if (s->nhead > 2 && dir == 1 && s->nhead > size - 4)
		*p = 0;
	if (s->nhead < 2 || s->nhead < size)
		return true;
	s->nhead = 0;
	if (!websocket_header_read(s->head, &f))
		return false;
	s->left = f.payload;
	return true;
}

static enum mask_result websocket_feed(void *m, int dir, char *p, size_t n)
{
	struct websocket *w = m;
	struct side *s = &w->side[dir];

	if (s->lost && websocket_frames_fit(dir, (struct bytes){ p, n }))
		*s = (struct side){ 0 };
	for (; n && !s->lost; p++, n--) {
		if (s->left) {
			*p = 0;
			s->left--;
		} else if (!header_byte(s, dir, p)) {
			*s = (struct side){ .lost = true };
		}
	}
	memset(p, 0xff, n);
	return MASK_OK;
}

static enum mask_result websocket_gap(void *m, int dir, uint64_t n)
{
	struct websocket *w = m;
	struct side *s = &w->side[dir];

	if (s->lost || !n)
		return MASK_OK;
	if (n > s->left)
		*s = (struct side){ .lost = true };
	else
		s->left -= n;
	return MASK_OK;
}

const struct masker masker_websocket = {
	.request = websocket_request,
	.new = websocket_new,
	.feed = websocket_feed,
	.gap = websocket_gap,
	.free = free,
};
