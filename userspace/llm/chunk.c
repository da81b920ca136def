/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The payload of an event "chunk" of Bedrock's InvokeModelWithResponseStream: {"bytes":"..."}, in which base64 (RFC 4648, 4)
 * is a document of the model's own (PayloadPart in botocore's bedrock-runtime/2023-09-30/service-2.json).
 */
#include "llm/reply.h"

static int value_of(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? memchr(digits, c, sizeof(digits) - 1) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Decodes a part of the string into the document. */
static void decode(struct reply *r, struct bytes text)
{
	struct chunk *k = &r->chunk;
	char out[192];
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		int v = value_of(text.p[i]);

		if (v < 0) /* the padding at its end, or rubbish: no more of it is read */
			k->ended = true;
		if (k->ended)
			break;
		k->bits = k->bits << 6 | (uint32_t)v;
		k->nbits += 6;
		if (k->nbits >= 8) {
			k->nbits -= 8;
			out[n++] = (char)(k->bits >> k->nbits);
		}
		if (n == sizeof(out)) {
			reply_doc(r, (struct bytes){ out, n });
			n = 0;
		}
	}
	reply_doc(r, (struct bytes){ out, n });
}

static void chunk_token(void *ctx, const struct json_scan *s, const struct json_token *t)
{
	if (t->kind == JSON_STRING && json_at(s, 0, "bytes"))
		decode(ctx, t->text);
}

void chunk_begin(struct reply *r)
{
	r->chunk = (struct chunk){ .nbits = 0 };
	json_init(&r->chunk.scan, chunk_token, r);
}

void chunk_feed(struct reply *r, struct bytes b)
{
	if (r->chunk.scan.state == JSON_OPEN)
		json_feed(&r->chunk.scan, b);
}

void chunk_gap(struct reply *r)
{
	json_gap(&r->chunk.scan);
}
