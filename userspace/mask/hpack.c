/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A literal that is masked keeps its length in bits: each symbol of a Huffman code is replaced by another one whose code is as
 * long. What is in the table was masked when it was put there, so references to it need no change.
 */
#include "mask/hpack.h"

#include "mask/head.h"

#define FIELDS_MAX 512 /* of one block; servers take a hundred or so */
#define CODE_MAX 30
#define SYMBOLS 257
#define EOS 256

/* RFC 7541, appendix B: bits of each symbol's code. The code is canonical: codes of one length follow each other in the order of
 * the symbols, and the shorter come first. */
static const uint8_t code_bits[SYMBOLS] = {
	13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28,
	30, 28, 28, 28, 28, 28, 28, 28, 28, 28, 6,  10, 10, 12, 13, 6,  8,  11, 10, 10, 8,  11,
	8,  6,  6,  6,  5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8,  15, 6,  12, 10, 13, 6,
	7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,
	8,  7,  8,  13, 19, 13, 14, 6,  15, 5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,
	6,  5,  6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7,  15, 11, 14, 13, 28, 20, 22, 20, 20,
	22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21,
	22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
	21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23,
	22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26,
	28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27,
	26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
};

struct huffman {
	uint32_t first[CODE_MAX + 1]; /* code of each length */
	uint16_t count[CODE_MAX + 1], at[CODE_MAX + 1];
	uint16_t symbols[SYMBOLS]; /* in the order of their codes */
};

static void huffman_init(struct huffman *t)
{
	uint32_t code = 0;
	uint16_t n = 0;

	*t = (struct huffman){ 0 };
	for (unsigned bits = 1; bits <= CODE_MAX; bits++) {
		code <<= 1;
		t->first[bits] = code;
		t->at[bits] = n;
		for (uint16_t s = 0; s < SYMBOLS; s++)
			if (code_bits[s] == bits)
				t->symbols[n++] = s;
		t->count[bits] = n - t->at[bits];
		code += t->count[bits];
	}
}

static unsigned bit_get(const char *p, size_t at)
{
	return (unsigned)((uint8_t)p[at / 8] >> (7 - at % 8)) & 1;
}

static void bits_put(char *p, size_t at, uint32_t code, unsigned bits)
{
	for (unsigned i = 0; i < bits; i++, at++) {
		uint8_t bit = (uint8_t)(1u << (7 - at % 8));

		if (code >> (bits - 1 - i) & 1)
			p[at / 8] = (char)((uint8_t)p[at / 8] | bit);
		else
			p[at / 8] = (char)((uint8_t)p[at / 8] & ~bit);
	}
}

enum how { HOW_MASK, HOW_KEEP, HOW_PATH /* kept up to its query */ };

/* Another symbol whose code has as many bits. */
static uint32_t replace(const struct huffman *t, struct mask_chain *c, unsigned bits,
                        uint16_t symbol)
{
	/* EOS, the last of its length, must not be sent */
	unsigned n = t->count[bits] - (bits == CODE_MAX);

	return t->first[bits] + (uint8_t)chain_next(c, (char)symbol) % n;
}

static void mask_huffman(const uint8_t *key, char *p, size_t n, enum how how)
{
	struct huffman t;
	struct mask_chain c;
	uint32_t code = 0;
	unsigned bits = 0;

	huffman_init(&t);
	chain_start(&c, key);
	for (size_t at = 0; at < 8 * n; at++) {
		uint16_t symbol;

		code = code << 1 | bit_get(p, at);
		bits++;
		if (bits > CODE_MAX)
			return; /* the decoder had refused it */
		if (code < t.first[bits] || code - t.first[bits] >= t.count[bits])
			continue;
		symbol = t.symbols[t.at[bits] + code - t.first[bits]];
		if (how == HOW_PATH && (symbol == '?' || symbol == '#'))
			how = HOW_MASK;
		else if (how == HOW_MASK)
			bits_put(p, at + 1 - bits, replace(&t, &c, bits, symbol), bits);
		code = 0;
		bits = 0;
	}
}

static void mask_plain(const uint8_t *key, char *p, size_t n, enum how how)
{
	struct mask_chain c;

	chain_start(&c, key);
	for (size_t i = 0; i < n; i++) {
		if (how == HOW_PATH && (p[i] == '?' || p[i] == '#'))
			how = HOW_MASK;
		else if (how == HOW_MASK)
			p[i] = chain_next(&c, p[i]);
	}
}

/* ---- fields ---- */

struct walk {
	uint8_t how[FIELDS_MAX];
	size_t n;
	bool many;
	hpack_field *seen;
	void *ctx;
};

static enum how how_of(struct bytes name)
{
	static const char *const kept[] = { ":method",
		                            ":scheme",
		                            ":authority",
		                            ":status",
		                            "grpc-status",
		                            "grpc-encoding",
		                            "grpc-timeout",
		                            "te",
		                            "grpc-accept-encoding",
		                            NULL };

	if (bytes_equal(name, ":path"))
		return HOW_PATH;
	return name.n && (mask_listed(kept, name) || mask_header_kept(name)) ? HOW_KEEP : HOW_MASK;
}

static void on_field(void *ctx, struct bytes name, struct bytes value)
{
	struct walk *w = ctx;

	w->many |= w->n == FIELDS_MAX;
	if (!w->many)
		w->how[w->n++] = (uint8_t)how_of(name);
	w->seen(w->ctx, name, value);
}

/* RFC 7541, 5.1; bits: of the first byte. */
static bool number(char **p, const char *end, unsigned bits, size_t *ret)
{
	size_t mask = (1u << bits) - 1, v;
	unsigned shift = 0;

	if (*p == end)
		return false;
	v = (uint8_t) * (*p)++ & mask;
	while (v >= mask && shift < 28) {
		uint8_t c;

		if (*p == end)
			return false;
		c = (uint8_t) * (*p)++;
		v += (size_t)(c & 127) << shift;
		shift += 7;
		if (!(c & 128))
			break;
	}
	*ret = v;
	return true;
}

/* Passes over a string, and masks it. */
static bool text(char **p, const char *end, const uint8_t *key, enum how how)
{
	bool huffman = *p < end && **p & 0x80;
	size_t n;

	if (!number(p, end, 7, &n) || n > (size_t)(end - *p))
		return false;
	if (how != HOW_KEEP && huffman)
		mask_huffman(key, *p, n, how);
	else if (how != HOW_KEEP)
		mask_plain(key, *p, n, how);
	*p += n;
	return true;
}

/* One representation of RFC 7541, 6; true: it is a field. */
static bool representation(char **p, const char *end, const uint8_t *key, enum how how, bool *field)
{
	uint8_t c = (uint8_t) * *p;
	size_t index;

	*field = (c & 0xe0) != 0x20;
	if (c & 0x80)
		return number(p, end, 7, &index);
	if (!*field)
		return number(p, end, 5, &index);
	if (!number(p, end, c & 0x40 ? 6 : 4, &index))
		return false;
	return (index || text(p, end, key, HOW_KEEP)) && text(p, end, key, how);
}

bool mask_headers(struct hpack *h, const uint8_t *key, char *p, size_t n, hpack_field *seen,
                  void *ctx)
{
	struct walk w = { .seen = seen, .ctx = ctx };
	const char *end = p + n;
	size_t i = 0;

	if (!hpack_feed(h, (struct bytes){ p, n }, true, on_field, &w) || w.many)
		return false;
	while (p < end) {
		bool field;

		if (!representation(&p, end, key, i < w.n ? (enum how)w.how[i] : HOW_MASK, &field))
			return false;
		i += field;
	}
	return i == w.n;
}
