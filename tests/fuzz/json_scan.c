/* SPDX-License-Identifier: BSD-2-Clause */
/* The scanner: a document reads the same whole and in pieces; a tail that is picked up lies
 * inside. */
#include <stdlib.h>

#include "base/json_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct seen {
	uint64_t hash;
	uint64_t values;
};

static void see(void *ctx, const struct json_scan *s, const struct json_token *t)
{
	struct seen *seen = ctx;
	struct bytes key = s->depth ? json_key(s, s->depth - 1) : (struct bytes){ "", 0 };

	seen->values += t->first;
	if (t->first)
		seen->hash = bytes_hash(seen->hash, key);
	seen->hash = bytes_hash(seen->hash, t->text);
	json_at(s, 0, "choices.[].delta.content");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct bytes b = { (const char *)data, n };
	struct json_scan whole, pieces;
	struct seen one = { 0 }, two = { 0 };
	unsigned open_n = 0;
	char open[3];
	long at;

	if (n == 0)
		return 0;
	json_init(&whole, see, &one);
	json_feed(&whole, b);
	json_init(&pieces, see, &two);
	for (size_t i = 0; i < n; i++)
		json_feed(&pieces, (struct bytes){ b.p + i, 1 });
	if (whole.state != pieces.state || one.hash != two.hash || one.values != two.values)
		abort();
	at = json_tail(b, open, sizeof(open), &open_n);
	if (at >= 0 && ((size_t)at > n || open_n > sizeof(open)))
		abort();
	return 0;
}
