/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exchanges with stores. The first byte says how: which system is known, headers, status; the second where a hole goes. The
 * first line is METHOD TARGET, what follows is the reply. Whole and in pieces must come out the same; with a hole nothing that
 * was bad may be called good.
 */
#include <stdlib.h>

#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const systems[] = { "",         "qdrant", "typesense", "meilisearch",
	                               "weaviate", "milvus", "s3",        "elasticsearch" };
static const int statuses[] = { 200, 404, 503, 202 };

static struct call *exchange(struct bytes line, struct bytes reply, uint8_t how, size_t step,
                             size_t gap)
{
	struct call *c = call_new();
	struct bytes target = line, method = bytes_to(&target, ' ');
	struct store_request r = { .method = method,
		                   .path = target,
		                   .host = bytes_of(how & 0x40 ? "b.s3.amazonaws.com" : "h"),
		                   .system = systems[how % 8],
		                   .grpc = how & 0x80,
		                   .typesense_key = how & 0x20,
		                   .copy_source = how & 0x20 };
	struct store *s = store_new(c, &r);

	c->status = CALL_OK;
	if (!s)
		return c;
	store_response_head(s, statuses[how / 8 % 4]);
	if (r.grpc)
		store_grpc_message(s, reply, gap < reply.n);
	for (size_t i = 0; i < reply.n && !r.grpc; i += step) {
		if (i == gap)
			store_response_gap(s, 1);
		else
			store_response_body(s, (struct bytes){ reply.p + i, reply.n - i < step
			                                                            ? reply.n - i
			                                                            : step });
	}
	store_response_end(s, true);
	store_free(s);
	return c;
}

static bool same(const struct call *a, const struct call *b)
{
	return a->status == b->status && strcmp(a->error_kind, b->error_kind) == 0 &&
	       strcmp(a->op, b->op) == 0 && strcmp(a->store, b->store) == 0 && a->class == b->class;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct bytes reply, line;
	struct call *whole, *pieces, *lost;

	if (n < 3)
		return 0;
	reply = (struct bytes){ (const char *)data + 2, n - 2 };
	line = bytes_to(&reply, '\n');
	whole = exchange(line, reply, data[0], n, n);
	pieces = exchange(line, reply, data[0], 1, n);
	lost = exchange(line, reply, data[0], 1, data[1]);
	if (!same(whole, pieces))
		abort();
	for (const char *p = whole->error_kind; *p; p++)
		if (*p <= ' ' || *p > '~')
			abort();
	call_free(whole);
	call_free(pieces);
	call_free(lost);
	return 0;
}
