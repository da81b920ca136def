/* SPDX-License-Identifier: BSD-2-Clause */
/* The fields that llm/grpc.c and store/store.c read stay, by the numbers that stand there; a message is as long afterwards. */
#include "mask/protobuf.h"

#include "base/protobuf.h"

/* NUMBER: stays if it is one. */
enum kind {
	ANY,
	REQUEST,
	REPLY,
	CONTENT,
	PART,
	CANDIDATE,
	FEEDBACK,
	USAGE,
	MILVUS,
	STATUS,
	WEAVIATE,
	TEXT,
	KEPT,
	NUMBER
};

static const struct {
	enum kind in;
	uint32_t number;
	enum kind is;
} known[] = {
	{ REQUEST, 1, KEPT },
	{ REQUEST, 2, CONTENT },
	{ CONTENT, 1, PART },
	{ CONTENT, 2, KEPT },
	{ PART, 2, TEXT },
	{ REPLY, 1, CANDIDATE },
	{ REPLY, 2, FEEDBACK },
	{ REPLY, 3, USAGE },
	{ REPLY, 4, KEPT },
	{ CANDIDATE, 1, CONTENT },
	{ CANDIDATE, 2, KEPT },
	{ FEEDBACK, 1, KEPT },
	{ USAGE, 1, KEPT },
	{ USAGE, 2, KEPT },
	{ USAGE, 3, KEPT },
	{ USAGE, 4, KEPT },
	{ USAGE, 8, KEPT },
	{ USAGE, 10, KEPT },
	/* a status, or a reply whose first field is one */
	{ MILVUS, 1, STATUS },
	{ MILVUS, 3, NUMBER },
	{ STATUS, 1, NUMBER },
	{ STATUS, 3, NUMBER },
	{ WEAVIATE, 2, NUMBER },
};

static enum kind kind_of(enum kind in, uint32_t number)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].in == in && known[i].number == number)
			return known[i].is;
	return TEXT;
}

/* A model's name and a role are words; whatever else stands there is not. */
static bool is_word(struct bytes b)
{
	if (b.n > MASK_WORD_MAX)
		return false;
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] <= ' ' || b.p[i] > '~')
			return false;
	return true;
}

static void mask_text(const uint8_t *key, char *p, size_t n)
{
	struct mask_chain c;

	chain_start(&c, key);
	for (size_t i = 0; i < n; i++)
		p[i] = chain_next(&c, p[i]);
}

/* The value of a number, from behind its key to its end: as long, but 0. */
static void mask_number(char *p, const char *end, bool varint)
{
	while (*p & 0x80)
		p++;
	for (p++; p < end; p++)
		*p = varint && p + 1 < end ? (char)0x80 : 0;
}

static void message(const uint8_t *key, char *p, size_t n, enum kind kind)
{
	struct bytes rest = { p, n };
	struct protobuf_field f;

	while (rest.n) {
		char *begin = p + (n - rest.n);
		enum kind is;

		if (!protobuf_next(&rest, &f) || f.cut) {
			memset(begin, 0, n - (size_t)(begin - p));
			return;
		}
		is = kind_of(kind, f.number);
		if (f.type != PROTOBUF_BYTES) {
			if (is != KEPT && is != NUMBER && is != STATUS)
				mask_number(begin, p + (n - rest.n), f.type == PROTOBUF_VARINT);
			continue;
		}
		begin = p + (n - rest.n) - f.bytes.n;
		if (is < TEXT) /* three deep at most */
			message(key, begin, f.bytes.n, is);
		else if (is != KEPT || !is_word(f.bytes))
			mask_text(key, begin, f.bytes.n);
	}
}

void mask_protobuf(const uint8_t *key, char *p, size_t n, enum mask_message kind)
{
	static const enum kind kinds[] = {
		[MASK_MESSAGE] = ANY,
		[MASK_CHAT_REQUEST] = REQUEST,
		[MASK_CHAT_REPLY] = REPLY,
		[MASK_MILVUS_REPLY] = MILVUS,
		[MASK_WEAVIATE_REPLY] = WEAVIATE,
	};

	message(key, p, n, kinds[kind]);
}
