/* SPDX-License-Identifier: BSD-2-Clause */
/* What the fields of a request and of a reply say beside the bodies, at every split of names and values. */
#include "proto/http_said.h"
#include "test.h"

/* "name: value\n" lines into a head, each field in two pieces or, with step 0, at once. */
static void read_head(struct http_head *h, const char *lines, size_t step)
{
	http_head_reset(h);
	while (*lines) {
		const char *colon = strchr(lines, ':'), *end = strchr(lines, '\n');
		struct bytes parts[] = { { lines, (size_t)(colon - lines) },
			                 { colon + 1, (size_t)(end - colon - 1) } };

		for (int i = 0; i < 2; i++) {
			size_t cut = step < parts[i].n ? step : parts[i].n;
			char *p = guarded(parts[i].p, parts[i].n);
			void (*put)(struct http_head *, struct bytes) = i ? http_head_value
			                                                  : http_head_name;

			put(h, (struct bytes){ p, cut });
			put(h, (struct bytes){ p + cut, parts[i].n - cut });
			guarded_free(p, parts[i].n);
		}
		lines = end + 1;
	}
	h->ended = true;
}

static bool says(const char *lines, enum limit_said limit, double s)
{
	bool same = true;

	for (size_t step = 0; step < 40; step++) {
		struct http_head h;
		struct call *c = call_new();

		read_head(&h, lines, step);
		http_said_request(&h, c);
		same &= c->limit == limit && c->limit_s == s;
		call_free(c);
	}
	return same;
}

#define PYTHON(version) "X-Stainless-Lang: python\nX-Stainless-Package-Version: " version "\n"

static void limits(void)
{
	TEST("a client says how long it waits in its own SDK's field");
	CHECK(says(PYTHON("3.3.1") "x-stainless-read-timeout: 600\n", LIMIT_SILENCE, 600));
	CHECK(says(PYTHON("3.3.1") "x-stainless-read-timeout: 0.5\n", LIMIT_SILENCE, 0.5));
	CHECK(says("X-Stainless-Lang: js\nX-Stainless-Timeout: 600\n", LIMIT_HEAD, 600));
	CHECK(says("x-server-timeout: 30\n", LIMIT_SILENCE, 30));
	TEST("where it would have said one, none is proven");
	CHECK(says(PYTHON("3.3.1"), LIMIT_NONE, -1));
	CHECK(says(PYTHON("1.63.0"), LIMIT_NONE, -1));
	CHECK(says(PYTHON("0.121.0"), LIMIT_NONE, -1));
	CHECK(says("x-goog-api-client: google-genai-sdk/2.19.0 gl-python/3.11.2\n", LIMIT_NONE,
	           -1));
	TEST("older ones say nothing either way, nor do other languages, nor nobody");
	CHECK(says(PYTHON("1.62.0"), LIMIT_UNSAID, -1));
	CHECK(says(PYTHON("0.46.0"), LIMIT_UNSAID, -1));
	CHECK(says(PYTHON("unknown"), LIMIT_UNSAID, -1));
	CHECK(says("X-Stainless-Lang: js\nX-Stainless-Package-Version: 7.5.0\n", LIMIT_UNSAID, -1));
	CHECK(says("x-goog-api-client: google-genai-sdk/1.0 gl-node/v20.1\n", LIMIT_UNSAID, -1));
	CHECK(says("Host: api.openai.com\n", LIMIT_UNSAID, -1));
	TEST("a limit that is no number proves nothing");
	CHECK(says(PYTHON("3.3.1") "x-stainless-read-timeout: NOT_GIVEN\n", LIMIT_UNSAID, -1));
	CHECK(says(PYTHON("3.3.1") "x-stainless-read-timeout: 0\n", LIMIT_UNSAID, -1));
	CHECK(says(PYTHON("3.3.1") "x-stainless-read-timeout: 1000000000000\n", LIMIT_UNSAID, -1));
}

static struct llm_call *said; /* of the newest reply */

static struct llm_call *reply(const char *lines)
{
	struct http_head h;

	llm_call_free(said);
	said = llm_call_new();
	read_head(&h, lines, 3);
	http_said_reply(&h, said);
	return said;
}

static bool id_is(const char *lines, const char *id)
{
	return strcmp(reply(lines)->said.request_id, id) == 0;
}

static void ids(void)
{
	TEST("a request id is what the provider's support asks for");
	CHECK(id_is("x-request-id: req_12ab\ncf-ray: 8f1-FRA\n", "req_12ab"));
	CHECK(id_is("request-id: req_011CQ\nx-request-id: other\n", "req_011CQ"));
	CHECK(id_is("apim-request-id: 1f-2e\n", "1f-2e"));
	CHECK(id_is("x-amzn-RequestId: 0b8d\n", "0b8d"));
	CHECK(id_is("X-Generation-Id: gen-1\n", "gen-1"));
	TEST("what is no identifier is none");
	CHECK(id_is("x-request-id: a b\n", ""));
	CHECK(id_is("x-request-id: <script>\n", ""));
	CHECK(id_is("x-request-id: 01234567890123456789012345678901234567890123456789012345678901"
	            "234567890123456789\n",
	            ""));
	CHECK(id_is("cf-ray: 8f1-FRA\n", ""));
}

static bool quota(const char *lines, int64_t requests, int64_t tokens, double requests_s,
                  double tokens_s)
{
	const struct llm_quota *q = &reply(lines)->said.quota;

	return q->requests == requests && q->tokens == tokens &&
	       q->requests_reset_s == requests_s && q->tokens_reset_s == tokens_s;
}

static void quotas(void)
{
	TEST("what is left of the limits, and when they are full again, by each provider's fields");
	CHECK(quota("x-ratelimit-remaining-requests: 59\nx-ratelimit-remaining-tokens: 149984\n"
	            "x-ratelimit-reset-requests: 1s\nx-ratelimit-reset-tokens: 6m0s\n",
	            59, 149984, 1, 360));
	CHECK(quota("x-ratelimit-reset-requests: 2m59.5s\nx-ratelimit-reset-tokens: 500ms\n", -1,
	            -1, 179.5, 0.5));
	CHECK(quota("date: Sat, 28 Nov 2026 15:00:00 GMT\n"
	            "anthropic-ratelimit-requests-remaining: 4\n"
	            "anthropic-ratelimit-requests-reset: 2026-11-28T15:00:30Z\n"
	            "anthropic-ratelimit-tokens-remaining: 39000\n"
	            "anthropic-ratelimit-tokens-reset: 2026-11-28T15:01:00Z\n",
	            4, 39000, 30, 60));
	CHECK(quota("x-ratelimit-remaining-req-minute: 3\nx-ratelimit-remaining-tokens-minute: 7\n",
	            3, 7, -1, -1));
	TEST("what is not understood is not told");
	CHECK(quota("x-ratelimit-remaining-requests: -1\nx-ratelimit-reset-tokens: soon\n", -1, -1,
	            -1, -1));
	CHECK(quota("x-ratelimit-reset-tokens: 1y\nx-ratelimit-reset-requests: m\n", -1, -1, -1,
	            -1));
	CHECK(quota("anthropic-ratelimit-requests-reset: 2026-11-28T15:00:30Z\n", -1, -1, -1, -1));
	CHECK(quota("", -1, -1, -1, -1));
}

static double retry_after(const char *lines)
{
	struct http_head h;

	read_head(&h, lines, 2);
	return http_said_retry_after(&h);
}

static void retries(void)
{
	TEST("Retry-After in seconds, in milliseconds, or as a date by the server's own clock");
	CHECK(retry_after("Retry-After: 7\n") == 7);
	CHECK(retry_after("retry-after: 7\nretry-after-ms: 1500\n") == 1.5);
	CHECK(retry_after("date: Sat, 28 Nov 2026 15:00:00 GMT\n"
	                  "retry-after: Sat, 28 Nov 2026 15:00:20 GMT\n") == 20);
	CHECK(retry_after("date: Sat, 28 Nov 2026 15:00:00 GMT\n"
	                  "retry-after: Sat, 28 Nov 2026 14:00:20 GMT\n") == 0);
	CHECK(retry_after("retry-after: Sat, 28 Nov 2026 15:00:20 GMT\n") == -1);
	CHECK(retry_after("retry-after: soon\n") == -1 && retry_after("") == -1);
}

static void tokens(void)
{
	struct http_head h;
	int64_t in, out;

	TEST("counts of tokens in a reply's header");
	read_head(&h, "x-prompt-tokens: 11\nx-generated-tokens: 20\n", 5);
	http_said_tokens(&h, &in, &out);
	CHECK(in == 11 && out == 20);
	read_head(&h, "x-amzn-bedrock-input-token-count: 8\nx-amzn-bedrock-output-token-count: 9\n",
	          5);
	http_said_tokens(&h, &in, &out);
	CHECK(in == 8 && out == 9);
	read_head(&h, "x-prompt-tokens: many\n", 5);
	http_said_tokens(&h, &in, &out);
	CHECK(in == -1 && out == -1);
}

static void room(void)
{
	char lines[4096] = "";
	struct http_head h;

	TEST("values that are too long or too many are cut, and never another field's");
	for (int i = 0; i < 9; i++) {
		static const char *const names[] = { "host",
			                             "date",
			                             "upgrade",
			                             "content-type",
			                             "x-stainless-lang",
			                             "x-request-id",
			                             "request-id",
			                             "x-server-timeout",
			                             "x-generation-id" };

		snprintf(lines + strlen(lines), sizeof(lines) - strlen(lines), "%s: %0300d\n",
		         names[i], i);
	}
	strcat(lines, "content-encoding: gzip\n");
	read_head(&h, lines, 7);
	CHECK(http_head_field(&h, FIELD_HOST).n < HTTP_VALUE_MAX + 1);
	CHECK(http_head_field(&h, FIELD_ENCODING).n == 0 ||
	      bytes_equal(http_head_field(&h, FIELD_ENCODING), "gzip"));
	TEST("codings that come apart from each other add up");
	read_head(&h, "content-encoding: br\nhost: a\ncontent-encoding: gzip\ndate: x\n", 1);
	CHECK(bytes_equal(http_head_field(&h, FIELD_ENCODING), "br, gzip"));
	CHECK(bytes_equal(http_head_field(&h, FIELD_HOST), "a") &&
	      bytes_equal(http_head_field(&h, FIELD_DATE), "x"));
}

int main(void)
{
	limits();
	ids();
	quotas();
	retries();
	tokens();
	room();
	llm_call_free(said);
	return DONE();
}
