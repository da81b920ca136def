/* SPDX-License-Identifier: BSD-2-Clause */
/* Names are compared without regard to case (RFC 9110, 5.1); HTTP/2 sends them in lower case. */
#include "proto/http_head.h"

#include <strings.h>

#include "proto/http_fields.h"

static const char *const names[HTTP_FIELDS] = {
	[FIELD_HOST] = "host",
	[FIELD_RETRY_COUNT] = "x-stainless-retry-count",
	[FIELD_ENCODING] = "content-encoding",
	[FIELD_TYPE] = "content-type",
	[FIELD_RETRY_AFTER] = "retry-after",
	[FIELD_RETRY_AFTER_MS] = "retry-after-ms",
	[FIELD_UPGRADE] = "upgrade",
	[FIELD_DATE] = "date",
	[FIELD_READ_TIMEOUT] = "x-stainless-read-timeout",
	[FIELD_TIMEOUT] = "x-stainless-timeout",
	[FIELD_SERVER_TIMEOUT] = "x-server-timeout",
	[FIELD_SDK_LANGUAGE] = "x-stainless-lang",
	[FIELD_SDK_VERSION] = "x-stainless-package-version",
	[FIELD_GOOGLE_CLIENT] = "x-goog-api-client",
	[FIELD_REQUEST_ID] = "x-request-id",
	[FIELD_ANTHROPIC_REQUEST_ID] = "request-id",
	[FIELD_AZURE_REQUEST_ID] = "apim-request-id",
	[FIELD_AWS_REQUEST_ID] = "x-amzn-requestid",
	[FIELD_GENERATION_ID] = "x-generation-id",
	[FIELD_AWS_ERROR] = "x-amzn-errortype",
	[FIELD_BEDROCK_IN] = "x-amzn-bedrock-input-token-count",
	[FIELD_BEDROCK_OUT] = "x-amzn-bedrock-output-token-count",
	[FIELD_TGI_IN] = "x-prompt-tokens",
	[FIELD_TGI_OUT] = "x-generated-tokens",
	[FIELD_LEFT_REQUESTS] = "x-ratelimit-remaining-requests",
	[FIELD_LEFT_TOKENS] = "x-ratelimit-remaining-tokens",
	[FIELD_RESET_REQUESTS] = "x-ratelimit-reset-requests",
	[FIELD_RESET_TOKENS] = "x-ratelimit-reset-tokens",
	[FIELD_ANTHROPIC_LEFT_REQUESTS] = "anthropic-ratelimit-requests-remaining",
	[FIELD_ANTHROPIC_LEFT_TOKENS] = "anthropic-ratelimit-tokens-remaining",
	[FIELD_ANTHROPIC_RESET_REQUESTS] = "anthropic-ratelimit-requests-reset",
	[FIELD_ANTHROPIC_RESET_TOKENS] = "anthropic-ratelimit-tokens-reset",
	[FIELD_MISTRAL_LEFT_REQUESTS] = "x-ratelimit-remaining-req-minute",
	[FIELD_MISTRAL_LEFT_TOKENS] = "x-ratelimit-remaining-tokens-minute",
	[FIELD_GRPC_ENCODING] = "grpc-encoding",
	[FIELD_GRPC_TIMEOUT] = "grpc-timeout",
	[FIELD_GRPC_STATUS] = "grpc-status",
	[FIELD_AUTHORIZATION] = "authorization",
	[FIELD_COPY_SOURCE] = "x-amz-copy-source",
	[FIELD_TYPESENSE_KEY] = "x-typesense-api-key",
	[FIELD_ELASTIC_PRODUCT] = "x-elastic-product",
};

void http_head_reset(struct http_head *h)
{
	h->also = NULL;
	h->ended = h->in_value = false;
	h->nname = h->nvalues = 0;
	h->field = HTTP_FIELDS;
	memset(h->nvalue, 0, sizeof(h->nvalue));
}

void http_head_name(struct http_head *h, struct bytes piece)
{
	if (h->in_value)
		h->nname = 0;
	h->in_value = false;
	if (h->nname > HTTP_NAME_MAX || piece.n > HTTP_NAME_MAX - h->nname) {
		h->nname = HTTP_NAME_MAX + 1;
		return;
	}
	if (piece.n)
		memcpy(h->name + h->nname, piece.p, piece.n);
	h->nname += piece.n;
}

static int field_wanted(const struct http_head *h)
{
	for (int i = 0; i < HTTP_FIELDS && !h->ended; i++)
		if (h->nname == strlen(names[i]) && strncasecmp(h->name, names[i], h->nname) == 0)
			return i;
	return HTTP_FIELDS;
}

/* Only the newest field grows: of another one the value moves to the end first. */
static void value_append(struct http_head *h, struct bytes b)
{
	uint16_t *have = &h->nvalue[h->field], *at = &h->at[h->field];

	if (b.n > (size_t)(HTTP_VALUE_MAX - *have))
		b.n = (size_t)(HTTP_VALUE_MAX - *have);
	if (*at + *have != h->nvalues && *have + b.n <= HTTP_VALUES_MAX - h->nvalues) {
		memcpy(h->values + h->nvalues, h->values + *at, *have);
		*at = (uint16_t)h->nvalues;
		h->nvalues += *have;
	}
	if (*at + *have != h->nvalues || b.n > HTTP_VALUES_MAX - h->nvalues)
		b.n = 0;
	if (b.n)
		memcpy(h->values + h->nvalues, b.p, b.n);
	h->nvalues += b.n;
	*have = (uint16_t)(*have + b.n);
}

void http_head_value(struct http_head *h, struct bytes piece)
{
	struct http_fields *also = h->ended ? NULL : h->also;

	if (!h->in_value) {
		h->in_value = true;
		h->field = field_wanted(h);
		if (also) /* a name that is too long is none */
			http_fields_header(also, (struct bytes){ h->name,
			                                         h->nname % (HTTP_NAME_MAX + 1) });
		if (h->field == FIELD_ENCODING && h->nvalue[h->field])
			value_append(h, bytes_of(","));
		else if (h->field != HTTP_FIELDS && h->nvalue[h->field])
			h->field = HTTP_FIELDS;
	}
	if (h->field != HTTP_FIELDS)
		value_append(h, piece);
	else if (also)
		http_fields_value(also, piece);
}

struct bytes http_head_field(const struct http_head *h, enum http_field id)
{
	struct bytes b = { h->values + h->at[id], h->nvalue[id] };

	while (b.n && (b.p[0] == ' ' || b.p[0] == '\t'))
		b = bytes_from(b, 1);
	while (b.n && (b.p[b.n - 1] == ' ' || b.p[b.n - 1] == '\t'))
		b.n--;
	return b;
}

double http_head_number(const struct http_head *h, enum http_field id)
{
	struct bytes b = http_head_field(h, id);
	double v = 0, unit = 1;
	bool point = false, digits = false;

	if (b.n > 18) /* no more than a double holds exactly */
		return -1;
	for (size_t i = 0; i < b.n; i++) {
		if (b.p[i] == '.' && !point) {
			point = true;
			continue;
		}
		if (b.p[i] < '0' || b.p[i] > '9')
			return -1;
		digits = true;
		v = v * 10 + (b.p[i] - '0');
		unit *= point ? 10 : 1;
	}
	return digits ? v / unit : -1;
}
