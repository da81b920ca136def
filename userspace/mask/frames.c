/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Masks Amazon's event stream, frame by frame as llm/frame.c reads it: lengths and names of headers stay, and the values of
 * those that say what a frame is; a payload is masked as the JSON it is, that of a chunk (llm/chunk.c) as the JSON in its base64,
 * once all of it is there. Checksums, which nobody reads, become zeros, for they would tell of what was masked.
 */
#include <ctype.h>
#include <stdlib.h>

#include "base/json_scan.h"
#include "llm/reply.h"
#include "mask/body.h"

/* As in llm/frame.c */
enum frame_part { PART_PRELUDE, PART_HEADERS, PART_PAYLOAD, PART_CHECKSUM, PARTS };
#define PRELUDE 12
#define LENGTHS 8 /* of the prelude, the rest is a checksum */
#define CHECKSUM 4
#define HEADERS_MAX (128u << 10)
#define PAYLOAD_MAX (24u << 20)
#define TYPE_STRING 7

enum header_at { AT_NAME_SIZE, AT_NAME, AT_TYPE, AT_SIZE, AT_VALUE, AT_OPAQUE };

static uint32_t u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* ---- headers ---- */

static void name_over(struct mask_frames *f)
{
	static const char *const kept[] = { ":message-type", ":event-type",   ":exception-type",
		                            ":error-code",   ":content-type", NULL };
	char buf[MASK_WORD_MAX];
	struct bytes name = word_text(f->word, buf);

	f->keeps = mask_listed(kept, name);
	f->type_follows = bytes_equal(name, ":event-type");
	word_end(f->word, f->keeps);
	f->at = AT_TYPE;
}

static void value_over(struct mask_frames *f)
{
	char buf[MASK_WORD_MAX];

	if (f->type_follows)
		f->chunk = bytes_equal(word_text(f->word, buf), "chunk");
	word_end(f->word, f->keeps);
	f->at = AT_NAME_SIZE;
}

static void header_byte(struct mask_frames *f, char *p)
{
	switch ((enum header_at)f->at) {
	case AT_NAME_SIZE:
		f->need = (uint8_t)*p;
		f->at = f->need ? AT_NAME : AT_OPAQUE;
		word_start(f->word, f->key, WORD_TRY);
		break;
	case AT_NAME:
		word_byte(f->word, p);
		if (--f->need == 0)
			name_over(f);
		break;
	case AT_TYPE:
		f->at = *p == TYPE_STRING ? AT_SIZE : AT_OPAQUE;
		f->need = 0;
		f->name_size = 2;
		break;
	case AT_SIZE:
		f->need = f->need << 8 | (uint8_t)*p;
		if (--f->name_size)
			break;
		word_start(f->word, f->key, f->keeps ? WORD_TRY : WORD_MASK);
		f->at = AT_VALUE;
		if (!f->need)
			value_over(f);
		break;
	case AT_VALUE:
		word_byte(f->word, p);
		if (--f->need == 0)
			value_over(f);
		break;
	case AT_OPAQUE: /* behind the first that is no string the reader reads none */
		*p = 0;
	}
}

/* ---- payloads ---- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int value_of(char c)
{
	const char *at = c ? memchr(digits, c, sizeof(digits) - 1) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Decodes base64 text (RFC 4648, 4), as much of it as is; returns how many bytes. out holds as many as the text has. */
static size_t base64_read(struct bytes text, char *out)
{
	uint32_t bits = 0;
	unsigned nbits = 0;
	size_t n = 0;

	for (size_t i = 0; i < text.n && value_of(text.p[i]) >= 0; i++) {
		bits = bits << 6 | (uint32_t)value_of(text.p[i]);
		nbits += 6;
		if (nbits < 8)
			continue;
		nbits -= 8;
		out[n++] = (char)(bits >> nbits);
	}
	return n;
}

/* Writes the n bytes over the text they were read from; what is neither of them nor padding becomes padding. */
static void base64_write(char *text, size_t size, const char *p, size_t n)
{
	for (size_t i = 0; i < size; i++) {
		size_t bit = 6 * i, at = bit / 8;
		uint32_t pair;

		if (at >= n) {
			text[i] = '=';
			continue;
		}
		pair = (uint32_t)(uint8_t)p[at] << 8 | (at + 1 < n ? (uint8_t)p[at + 1] : 0);
		text[i] = digits[pair >> (10 - bit % 8) & 63];
	}
}

struct bytes_span {
	struct bytes text; /* the string, NULL: none */
	bool broken;       /* it does not lie in one piece */
};

static void on_token(void *ctx, const struct json_scan *s, const struct json_token *t)
{
	struct bytes_span *span = ctx;

	if (t->kind != JSON_STRING || !json_at(s, 0, "bytes") || !t->text.n)
		return;
	if (!span->text.p)
		span->text = t->text;
	else if (t->text.p == span->text.p + span->text.n)
		span->text.n += t->text.n;
	else
		span->broken = true;
}

static void json_mask(const uint8_t *key, char *p, size_t n)
{
	struct mask_word word = { 0 };
	struct mask_json j;

	mask_json_start(&j, key, &word, FORM_JSON);
	mask_json_feed(&j, p, n);
	mask_json_end(&j, true);
	word_free(&word);
}

/* Masks {"bytes":"..."} of n bytes. */
static void chunk_mask(const uint8_t *key, char *p, size_t n)
{
	struct bytes_span span = { .broken = false };
	struct json_scan scan;
	size_t at, size = 0;
	char *inner;

	json_init(&scan, on_token, &span);
	json_feed(&scan, (struct bytes){ p, n });
	inner = span.text.n && !span.broken && span.text.p >= p && span.text.p < p + n
	                ? malloc(span.text.n)
	                : NULL;
	at = inner ? (size_t)(span.text.p - p) : 0;
	if (inner)
		size = base64_read(span.text, inner);
	json_mask(key, p, n);
	if (!inner)
		return;
	json_mask(key, inner, size);
	base64_write(p + at, span.text.n, inner, size);
	free(inner);
}

static void payload_begin(struct mask_frames *f)
{
	f->cut = false;
	f->piled = 0;
	if (!f->chunk)
		mask_json_start(&f->json, f->key, f->word, FORM_JSON);
}

static void payload_byte(struct mask_frames *f, char *p)
{
	if (!f->chunk) {
		mask_json_feed(&f->json, p, 1);
		return;
	}
	if (!f->cut && f->word->npile == f->piled && word_pile(f->word, p)) {
		f->piled++;
		return;
	}
	f->cut = true;
	*p = 0;
}

static void payload_end(struct mask_frames *f)
{
	char *copy;

	if (!f->chunk) {
		mask_json_end(&f->json, true);
		return;
	}
	copy = f->cut ? NULL : word_pile_copy(f->word, f->piled);
	if (!copy) {
		word_break(f->word);
		return;
	}
	chunk_mask(f->key, copy, f->piled);
	word_pile_put(f->word, copy, f->piled);
	free(copy);
}

/* ---- frames ---- */

static bool prelude_end(struct mask_frames *f)
{
	uint32_t total = u32(f->prelude), headers = u32(f->prelude + 4);

	if (headers > HEADERS_MAX || total > HEADERS_MAX + PAYLOAD_MAX ||
	    total < PRELUDE + headers + CHECKSUM)
		return false;
	f->headers = headers;
	f->payload = total - headers - PRELUDE - CHECKSUM;
	f->chunk = false;
	f->at = headers <= FRAME_HEADER_MAX ? AT_NAME_SIZE : AT_OPAQUE;
	return true;
}

/* The part is whole: which comes next. False: no frame. */
static bool part_end(struct mask_frames *f)
{
	switch (f->part) {
	case PART_PRELUDE:
		if (!prelude_end(f))
			return false;
		f->left = f->headers;
		break;
	case PART_HEADERS:
		word_end(f->word, false);
		f->left = f->payload;
		payload_begin(f);
		break;
	case PART_PAYLOAD:
		payload_end(f);
		f->left = CHECKSUM;
		break;
	default:
		f->left = PRELUDE;
	}
	f->part = (uint8_t)((f->part + 1) % PARTS);
	f->n = 0;
	return true;
}

static void frame_byte(struct mask_frames *f, char *p)
{
	if (f->part == PART_PRELUDE) {
		f->prelude[f->n] = (uint8_t)*p;
		if (f->n >= LENGTHS)
			*p = 0;
	} else if (f->part == PART_HEADERS) {
		header_byte(f, p);
	} else if (f->part == PART_PAYLOAD) {
		payload_byte(f, p);
	} else {
		*p = 0;
	}
	f->n++;
	f->left--;
}

static void lost(struct mask_frames *f)
{
	word_break(f->word);
	f->lost = true;
}

void mask_frames_start(struct mask_frames *f, const uint8_t *key, struct mask_word *word)
{
	*f = (struct mask_frames){ .key = key, .word = word, .left = PRELUDE };
	word_start(word, key, WORD_MASK);
}

void mask_frames_feed(struct mask_frames *f, char *p, size_t n)
{
	for (; n && !f->lost; p++, n--) {
		frame_byte(f, p);
		while (!f->lost && f->left == 0)
			if (!part_end(f))
				lost(f);
	}
	memset(p, 0, n);
}

void mask_frames_gap(struct mask_frames *f, uint64_t n)
{
	if (f->part != PART_PAYLOAD || n >= f->left) {
		lost(f);
		return;
	}
	f->left -= (uint32_t)n;
	f->cut = true;
	word_break(f->word);
	if (!f->chunk)
		mask_json_gap(&f->json);
}

void mask_frames_end(struct mask_frames *f)
{
	word_break(f->word);
	f->lost = true;
}
