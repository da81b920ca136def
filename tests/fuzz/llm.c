/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bodies of an exchange. The first byte and the second's highest bit choose path and content type, the rest of the second
 * where a gap goes; a zero byte parts request and reply. What is read whole and in pieces must be the same.
 */
#include <stdlib.h>

#include "llm/llm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const paths[] = {
	"/v1/chat/completions",
	"/v1/messages",
	"/v1/responses",
	"/v1beta/models/g:streamGenerateContent",
	"/api/chat",
	"/v1/embeddings",
	"/model/m/converse-stream",
	"/v2/chat",
	"/generate_stream",
	"/v1/chat",
	"/v1/conversations",
	"/v1beta/interactions",
	"/model/m/invoke-with-response-stream",
	"/completion",
	"/v1/projects/p/locations/l/publishers/google/models/e:predict",
	"/",
};
static const char *const types[] = { "application/json", "text/event-stream",
	                             "application/x-ndjson", "application/vnd.amazon.eventstream" };

static struct call *exchange(struct bytes request, struct bytes reply, const uint8_t *choice,
                             size_t step, size_t gap)
{
	uint8_t how = choice[0];
	const char *path = paths[(how & 7) | (choice[1] & 0x80) >> 4];
	struct call *c = call_new();
	struct llm *l = llm_new(c, bytes_of("POST"), bytes_of(path), bytes_of(""));

	for (size_t i = 0; i < request.n; i += step) {
		if (i == gap)
			llm_request_gap(l, 1);
		llm_request_body(l, (struct bytes){ request.p + i,
		                                    request.n - i < step ? request.n - i : step });
	}
	if (llm_request_end(l)) {
		llm_response_head(l, how & 0x80 ? 400 : 200, bytes_of(types[how / 8 % 4]));
		for (size_t i = 0; i < reply.n; i += step) {
			if (i == gap)
				llm_response_gap(l, 1);
			llm_response_body(l,
			                  (struct bytes){ reply.p + i,
			                                  reply.n - i < step ? reply.n - i : step },
			                  i + 1);
		}
		llm_response_end(l, !(how & 0x40));
	}
	llm_free(l);
	return c;
}

static bool same(const struct call *a, const struct call *b)
{
	const struct llm_call *x = a->llm, *y = b->llm;

	if (!x || !y)
		return !x && !y;
	return a->status == b->status && strcmp(a->error_kind, b->error_kind) == 0 &&
	       strcmp(x->model, y->model) == 0 &&
	       strcmp(x->said.finish_reason, y->said.finish_reason) == 0 &&
	       x->finished == y->finished &&
	       memcmp(&x->tokens, &y->tokens, sizeof(x->tokens)) == 0 &&
	       x->history.n == y->history.n && x->last_role == y->last_role &&
	       (x->history.n == 0 ||
	        memcmp(&x->history.messages[0].hash, &y->history.messages[0].hash,
	               sizeof(x->history.messages[0].hash)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct bytes request, reply = { "", 0 };
	struct call *whole, *pieces, *lost;
	const char *zero;

	if (n < 3)
		return 0;
	request = (struct bytes){ (const char *)data + 2, n - 2 };
	zero = memchr(request.p, 0, request.n);
	if (zero) {
		reply = bytes_from(request, (size_t)(zero - request.p) + 1);
		request.n = (size_t)(zero - request.p);
	}
	whole = exchange(request, reply, data, n, n);
	pieces = exchange(request, reply, data, 1, n);
	lost = exchange(request, reply, data, 1, data[1] & 0x7f);
	if (!same(whole, pieces))
		abort();
	call_free(whole);
	call_free(pieces);
	call_free(lost);
	return 0;
}
