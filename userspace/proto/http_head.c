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
	h->nname = 0;
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

static void value_append(struct http_head *h, struct bytes b)
{
	size_t *have = &h->nvalue[h->field];

	if (b.n > HTTP_VALUE_MAX - *have)
		b.n = HTTP_VALUE_MAX - *have;
	if (b.n)
		memcpy(h->value[h->field] + *have, b.p, b.n);
	*have += b.n;
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
	struct bytes b = { h->value[id], h->nvalue[id] };

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
