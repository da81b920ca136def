/* SPDX-License-Identifier: BSD-2-Clause */
/* The keyed chain that makes masks, and words that are kept or masked when their end is seen. */
#include "mask/mask.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "llm/tail.h"

/* ===== The chain =====
 * SipHash-2-4 (Aumasson, Bernstein) with a block a byte, finalised on a copy before each byte is taken in. */

static uint64_t rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

void chain_start(struct mask_chain *c, const uint8_t key[MASK_KEY_SIZE])
{
	uint64_t k[2];

	memcpy(k, key, sizeof(k));
	c->v[0] = k[0] ^ 0x736f6d6570736575ull;
	c->v[1] = k[1] ^ 0x646f72616e646f6dull;
	c->v[2] = k[0] ^ 0x6c7967656e657261ull;
	c->v[3] = k[1] ^ 0x7465646279746573ull;
}

static void chain_take(struct mask_chain *c, uint8_t byte)
{
	c->v[3] ^= byte;
	sip_round(c->v);
	sip_round(c->v);
	c->v[0] ^= byte;
}

static uint64_t chain_value(const struct mask_chain *c)
{
	uint64_t v[4] = { c->v[0], c->v[1], c->v[2] ^ 0xff, c->v[3] };

	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* A prime number of letters: then x -> a x + b is one-to-one for every a but 0. Nothing in it needs an escape in JSON or
 * ends a line, a header value or a quoted string. */
#define LETTERS 67
static const char letters[LETTERS + 1] =
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.+~";
static const char plain[LETTERS + 1] =
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,?!";

char chain_next(struct mask_chain *c, char byte)
{
	const char *at = byte ? memchr(plain, byte, LETTERS) : NULL;
	uint64_t r = chain_value(c);

	chain_take(c, (uint8_t)byte);
	if (at)
		return letters[((1 + r % (LETTERS - 1)) * (uint64_t)(at - plain) +
		                (r >> 32) % LETTERS) %
		               LETTERS];
	return letters[chain_value(c) % LETTERS];
}

static char chain_consonant(struct mask_chain *c, char byte)
{
	chain_take(c, (uint8_t)byte);
	return "bcdfghjklmnpqrstvwxz"[chain_value(c) % 20];
}

/* ===== Words ===== */

#define MARK '*'

static bool machine_byte(char c)
{
	return isalnum((uint8_t)c) || (c && strchr("_.:/@$-", c));
}

static char word_next(struct mask_word *w, char byte)
{
	return w->sql ? chain_consonant(&w->chain, byte) : chain_next(&w->chain, byte);
}

void word_start(struct mask_word *w, const uint8_t key[MASK_KEY_SIZE], enum word_start how)
{
	word_break(w);
	chain_start(&w->chain, key);
	w->n = 0;
	w->started++;
	w->open = how != WORD_MASK;
	w->sql = how == WORD_SQL;
}

void word_byte(struct mask_word *w, char *p)
{
	bool first = w->open && w->n == 0;

	if (w->open && (w->n == MASK_WORD_MAX || !machine_byte(*p)))
		word_break(w);
	if (w->open) {
		w->at[w->n++] = p;
		return;
	}
	*p = word_next(w, *p);
	if (first && !w->sql)
		*p = MARK;
}

struct bytes word_text(const struct mask_word *w, char *buf)
{
	unsigned n = w->open ? w->n : 0;

	for (unsigned i = 0; i < n; i++)
		buf[i] = *w->at[i];
	return (struct bytes){ buf, n };
}

bool word_waits(const struct mask_word *w)
{
	return w->open || w->ntail || w->npile;
}

static void tail_mask(struct mask_word *w, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isspace((uint8_t)*w->tail[i]))
			*w->tail[i] = word_next(w, *w->tail[i]);
	w->ntail -= n;
	memmove(w->tail, w->tail + n, w->ntail * sizeof(*w->tail));
}

void word_hold(struct mask_word *w, char *p)
{
	if (!w->tail)
		w->tail = malloc(2 * TAIL_MAX * sizeof(*w->tail));
	if (!w->tail) {
		*p = word_next(w, *p);
		return;
	}
	if (w->ntail == 2 * TAIL_MAX)
		tail_mask(w, TAIL_MAX);
	w->tail[w->ntail++] = p;
}

void word_pile_drop(struct mask_word *w)
{
	for (size_t i = 0; i < w->npile; i++)
		*w->pile[i] = 0;
	w->npile = 0;
}

bool word_pile(struct mask_word *w, char *p)
{
	if (w->npile == w->pile_room) {
		size_t room = w->pile_room ? 2 * w->pile_room : 1024;
		char **pile = room > MASK_PILE_MAX ? NULL : realloc(w->pile, room * sizeof(*pile));

		if (!pile) {
			word_pile_drop(w);
			*p = 0;
			return false;
		}
		w->pile = pile;
		w->pile_room = room;
	}
	/* what waits already tells since when */
	w->started += !w->npile && !w->open && !w->ntail;
	w->pile[w->npile++] = p;
	return true;
}

char *word_pile_copy(struct mask_word *w, size_t n)
{
	char *copy = w->npile == n && n ? malloc(n) : NULL;

	for (size_t i = 0; copy && i < n; i++)
		copy[i] = *w->pile[i];
	if (!copy)
		word_pile_drop(w);
	return copy;
}

void word_pile_put(struct mask_word *w, const char *masked, size_t n)
{
	for (size_t i = 0; i < n && i < w->npile; i++)
		*w->pile[i] = masked[i];
	w->npile = 0;
}

void word_free(struct mask_word *w)
{
	free(w->tail);
	free(w->pile);
	w->tail = w->pile = NULL;
	w->ntail = w->npile = w->pile_room = 0;
}

void word_break(struct mask_word *w)
{
	if (w->ntail)
		tail_mask(w, w->ntail);
	word_pile_drop(w);
	if (!w->open)
		return;
	for (unsigned i = 0; i < w->n; i++)
		*w->at[i] = word_next(w, *w->at[i]);
	if (w->n && !w->sql)
		*w->at[0] = MARK;
	w->open = false;
	w->n = 0;
}

void word_end(struct mask_word *w, bool keep)
{
	if (!keep)
		word_break(w);
	w->open = false;
	w->n = 0;
}

bool mask_listed(const char *const *list, struct bytes b)
{
	for (; *list; list++)
		if (strlen(*list) == b.n && strncasecmp(*list, b.p, b.n) == 0)
			return true;
	return false;
}
