/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Masks ciphertext (RFC 8446, 5.1): record headers stay, for lengths tell times and sizes; a ClientHello stays, for it names
 * the server; all else becomes zero.
 */
#include "mask/mask.h"

#include <stdlib.h>

#define RECORD_MAX (16384 + 2048) /* RFC 5246, 6.2.3: the longest of any version */
#define HEADER 5
#define HELLO_HEADER 4

enum { TYPE_HANDSHAKE = 22, HANDSHAKE_CLIENT_HELLO = 1 };

struct side {
	uint8_t head[HEADER];
	unsigned nhead;
	uint32_t left; /* of the record */
	bool begun;    /* a record was complete: no ClientHello any more */
	unsigned nhello;
	uint32_t hello_left;
};

struct tls {
	struct side side[2];
};

/* 1 as far as n bytes tell, 0: no record header. */
static bool header_possible(const uint8_t *h, size_t n)
{
	if (n > 0 && (h[0] < 20 || h[0] > 23))
		return false;
	if ((n > 1 && h[1] != 3) || (n > 2 && h[2] > 4))
		return false;
	return n < HEADER || ((h[3] || h[4]) && (h[3] << 8 | h[4]) <= RECORD_MAX);
}

static int tls_request(struct bytes b, uint64_t total, bool from_start)
{
	const uint8_t *h = (const uint8_t *)b.p;

	(void)total;
	if (!header_possible(h, b.n) || (from_start && b.n && h[0] != TYPE_HANDSHAKE))
		return -1;
	/* in the middle of a connection: application data of TLS 1.2 or later, as brief as its mark is */
	if (!from_start && b.n > 2 && h[0] != TYPE_HANDSHAKE && (h[0] != 23 || h[2] != 3))
		return -1;
	return b.n >= HEADER;
}

static void *tls_new(struct mask_owner *o, struct mask_word *words, bool from_start)
{
	(void)o;
	(void)words;
	(void)from_start;
	return calloc(1, sizeof(struct tls));
}

static bool header_byte(struct side *s, uint8_t c)
{
	s->head[s->nhead++] = c;
	if (!header_possible(s->head, s->nhead))
		return false;
	if (s->nhead == HEADER)
		s->left = (uint32_t)(s->head[3] << 8 | s->head[4]);
	return true;
}

/* A ClientHello is the first a client says: its type, then its length in three bytes. What looked like one
 * for a byte or two names nobody: type and length. */
static void body_byte(struct side *s, char *p)
{
	s->left--;
	if (s->head[0] != TYPE_HANDSHAKE || s->begun) {
		*p = 0;
	} else if (s->nhello < HELLO_HEADER) {
		if (s->nhello == 0 && *p != HANDSHAKE_CLIENT_HELLO) {
			s->begun = true;
			*p = 0;
			return;
		}
		s->hello_left = s->hello_left << 8 | (s->nhello ? (uint8_t)*p : 0);
		s->nhello++;
		s->begun = s->nhello == HELLO_HEADER && !s->hello_left;
	} else {
		s->begun = --s->hello_left == 0;
	}
}

static enum mask_result tls_feed(void *m, int dir, char *p, size_t n)
{
	struct side *s = &((struct tls *)m)->side[dir];

	for (size_t i = 0; i < n; i++) {
		if (s->left) {
			body_byte(s, p + i);
			if (!s->left)
				s->nhead = 0;
		} else if (!header_byte(s, (uint8_t)p[i])) {
			memset(p + i, 0, n - i);
			return MASK_LOST;
		}
	}
	return MASK_OK;
}

static enum mask_result tls_gap(void *m, int dir, uint64_t n)
{
	struct side *s = &((struct tls *)m)->side[dir];

	if (n > s->left)
		return MASK_LOST;
	s->begun = true;
	s->left -= (uint32_t)n;
	if (!s->left)
		s->nhead = 0;
	return MASK_OK;
}

const struct masker masker_tls = {
	.request = tls_request,
	.new = tls_new,
	.feed = tls_feed,
	.gap = tls_gap,
	.free = free,
};
