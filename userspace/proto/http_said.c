/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sources: openai-python and anthropic-sdk-python src/.../_base_client.py, openai-node src/client.ts, python-genai
 * google/genai/_api_client.py for the client's fields; the providers' pages on rate limits for the others.
 */
#include "proto/http_said.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Longer ones are none. */
#define SECONDS_MAX 1e9

static bool has(const struct http_head *h, enum http_field id)
{
	return http_head_field(h, id).n != 0;
}

/* Python SDKs made by Stainless say their read timeout with every request, unless it is None, since February 2025: OpenAI's
 * from 1.63 on, Anthropic's from 0.47. */
static bool says_read_timeout(const struct http_head *h)
{
	struct bytes version = http_head_field(h, FIELD_SDK_VERSION);
	char text[32];
	unsigned major, minor;

	if (!bytes_equal(http_head_field(h, FIELD_SDK_LANGUAGE), "python") ||
	    version.n >= sizeof(text))
		return false;
	memcpy(text, version.p, version.n);
	text[version.n] = '\0';
	if (sscanf(text, "%4u.%4u", &major, &minor) != 2)
		return false;
	return major >= 2 || (major == 1 && minor >= 63) || (major == 0 && minor >= 47);
}

/* Google's says one with every request that has one. JavaScript has its own limits beside it. */
static bool says_server_timeout(const struct http_head *h)
{
	struct bytes client = http_head_field(h, FIELD_GOOGLE_CLIENT);
	const char *python = "gl-python/";

	return bytes_start(client, "google-genai-sdk/") &&
	       memmem(client.p, client.n, python, strlen(python));
}

static bool take(const struct http_head *h, enum http_field id, enum limit_said said,
                 struct call *c)
{
	double s = http_head_number(h, id);

	if (s <= 0 || s > SECONDS_MAX)
		return false;
	c->limit = said;
	c->limit_s = s;
	return true;
}

void http_said_request(const struct http_head *h, struct call *c)
{
	if (take(h, FIELD_READ_TIMEOUT, LIMIT_SILENCE, c) ||
	    take(h, FIELD_TIMEOUT, LIMIT_HEAD, c) ||
	    take(h, FIELD_SERVER_TIMEOUT, LIMIT_SILENCE, c))
		return;
	if (has(h, FIELD_READ_TIMEOUT) || has(h, FIELD_TIMEOUT) || has(h, FIELD_SERVER_TIMEOUT))
		return; /* not understood: nothing is proven */
	if (says_read_timeout(h) || says_server_timeout(h))
		c->limit = LIMIT_NONE;
}

/* ---- the reply ---- */

/* Text with its end, in room; false: it does not fit. */
static bool text_of(struct bytes b, char *to, size_t room)
{
	if (!b.n || b.n >= room || memchr(b.p, '\0', b.n))
		return false;
	memcpy(to, b.p, b.n);
	to[b.n] = '\0';
	return true;
}

/* Seconds since 1970 of an HTTP date (RFC 9110, 5.6.7) or one of RFC 3339 in UTC; -1 none. */
static double date_of(struct bytes b)
{
	static const char *const formats[] = { "%a, %d %b %Y %H:%M:%S GMT", "%Y-%m-%dT%H:%M:%SZ" };
	char text[48];

	if (!text_of(b, text, sizeof(text)))
		return -1;
	for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
		struct tm tm = { 0 };
		const char *end = strptime(text, formats[i], &tm);

		if (end && !*end)
			return (double)timegm(&tm);
	}
	return -1;
}

/* From when the reply was sent until a date in it: both are the server's clock. */
static double until(const struct http_head *h, struct bytes date)
{
	double then = date_of(date), now = date_of(http_head_field(h, FIELD_DATE));

	if (then < 0 || now < 0)
		return -1;
	return then > now ? then - now : 0;
}

/* "12ms", "6m0s", "2m59.56s", "1d2h", "7.66": seconds, -1 none. */
static double duration_of(struct bytes b)
{
	static const struct {
		const char *unit;
		double s;
	} units[] = { { "ms", 1e-3 }, { "us", 1e-6 }, { "s", 1 }, { "m", 60 },
		      { "h", 3600 },  { "d", 86400 }, { "", 1 } };
	char text[48], *p = text;
	double sum = 0;

	if (!text_of(b, text, sizeof(text)))
		return -1;
	while (*p) {
		size_t i = 0, n;
		char *end;
		double v;

		if (*p < '0' || *p > '9')
			return -1;
		v = strtod(p, &end);
		n = strspn(end, "abcdefghijklmnopqrstuvwxyz");
		while (i < sizeof(units) / sizeof(*units) &&
		       (strlen(units[i].unit) != n || memcmp(units[i].unit, end, n) != 0))
			i++;
		if (i == sizeof(units) / sizeof(*units))
			return -1;
		sum += v * units[i].s;
		p = end + n;
	}
	return sum <= SECONDS_MAX ? sum : -1;
}

static double reset_of(const struct http_head *h, enum http_field id)
{
	struct bytes b = http_head_field(h, id);
	double s = duration_of(b);

	return s >= 0 ? s : until(h, b);
}

static int64_t whole(const struct http_head *h, enum http_field id)
{
	double v = http_head_number(h, id);

	return v >= 0 && v < 1e15 ? (int64_t)v : -1;
}

/* The first of those that was there. */
static enum http_field either(const struct http_head *h, enum http_field a, enum http_field b,
                              enum http_field c)
{
	return has(h, a) ? a : has(h, b) ? b : c;
}

void http_said_reply(const struct http_head *h, struct llm_call *l)
{
	static const enum http_field ids[] = { FIELD_ANTHROPIC_REQUEST_ID, FIELD_REQUEST_ID,
		                               FIELD_AZURE_REQUEST_ID, FIELD_AWS_REQUEST_ID,
		                               FIELD_GENERATION_ID };

	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids) && !l->said.request_id[0]; i++)
		llm_request_id(l->said.request_id, http_head_field(h, ids[i]));
	l->said.quota.requests =
		whole(h, either(h, FIELD_LEFT_REQUESTS, FIELD_ANTHROPIC_LEFT_REQUESTS,
	                        FIELD_MISTRAL_LEFT_REQUESTS));
	l->said.quota.tokens = whole(h, either(h, FIELD_LEFT_TOKENS, FIELD_ANTHROPIC_LEFT_TOKENS,
	                                       FIELD_MISTRAL_LEFT_TOKENS));
	l->said.quota.requests_reset_s =
		reset_of(h, either(h, FIELD_RESET_REQUESTS, FIELD_ANTHROPIC_RESET_REQUESTS,
	                           FIELD_RESET_REQUESTS));
	l->said.quota.tokens_reset_s = reset_of(
		h, either(h, FIELD_RESET_TOKENS, FIELD_ANTHROPIC_RESET_TOKENS, FIELD_RESET_TOKENS));
}

double http_said_retry_after(const struct http_head *h)
{
	double ms = http_head_number(h, FIELD_RETRY_AFTER_MS);
	double s = http_head_number(h, FIELD_RETRY_AFTER);

	if (ms >= 0)
		return ms / 1000;
	return s >= 0 ? s : until(h, http_head_field(h, FIELD_RETRY_AFTER));
}

void http_said_tokens(const struct http_head *h, int64_t *in, int64_t *out)
{
	*in = whole(h, has(h, FIELD_BEDROCK_IN) ? FIELD_BEDROCK_IN : FIELD_TGI_IN);
	*out = whole(h, has(h, FIELD_BEDROCK_OUT) ? FIELD_BEDROCK_OUT : FIELD_TGI_OUT);
}
