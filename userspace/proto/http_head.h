/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The head of one HTTP message: of its fields (RFC 9110, 5) those that somebody here reads, whatever version frames them.
 * A field more of interest is a line in the table of http_head.c. One head for each direction of a connection does: heads do
 * not interleave.
 */
#ifndef PROTO_HTTP_HEAD_H
#define PROTO_HTTP_HEAD_H
#include "base/bytes.h"

struct http_fields;

/* What is kept of a value, and of all together. All of them are words, numbers and host names; a head with all fields
 * that one message may have takes less than half of it. */
#define HTTP_VALUE_MAX 256
#define HTTP_VALUES_MAX 2048
/* Longer than the longest name in the table. */
#define HTTP_NAME_MAX 40

enum http_field {
	FIELD_HOST,
	FIELD_RETRY_COUNT,
	FIELD_ENCODING,
	FIELD_TYPE,
	FIELD_RETRY_AFTER,
	FIELD_RETRY_AFTER_MS,
	FIELD_UPGRADE,
	FIELD_DATE,
	/* what a client says of itself, see http_said.c */
	FIELD_READ_TIMEOUT,
	FIELD_TIMEOUT,
	FIELD_SERVER_TIMEOUT,
	FIELD_SDK_LANGUAGE,
	FIELD_SDK_VERSION,
	FIELD_GOOGLE_CLIENT,
	/* what a server says of a reply */
	FIELD_REQUEST_ID,
	FIELD_ANTHROPIC_REQUEST_ID,
	FIELD_AZURE_REQUEST_ID,
	FIELD_AWS_REQUEST_ID,
	FIELD_GENERATION_ID,
	FIELD_AWS_ERROR,
	FIELD_BEDROCK_IN,
	FIELD_BEDROCK_OUT,
	FIELD_TGI_IN,
	FIELD_TGI_OUT,
	FIELD_LEFT_REQUESTS,
	FIELD_LEFT_TOKENS,
	FIELD_RESET_REQUESTS,
	FIELD_RESET_TOKENS,
	FIELD_ANTHROPIC_LEFT_REQUESTS,
	FIELD_ANTHROPIC_LEFT_TOKENS,
	FIELD_ANTHROPIC_RESET_REQUESTS,
	FIELD_ANTHROPIC_RESET_TOKENS,
	FIELD_MISTRAL_LEFT_REQUESTS,
	FIELD_MISTRAL_LEFT_TOKENS,
	FIELD_GRPC_ENCODING,
	FIELD_GRPC_TIMEOUT,
	FIELD_GRPC_STATUS,
	FIELD_AUTHORIZATION, /* scheme and scope are looked at, never kept */
	FIELD_COPY_SOURCE,
	FIELD_TYPESENSE_KEY, /* whether it is there */
	FIELD_ELASTIC_PRODUCT,
	HTTP_FIELDS
};

struct http_head {
	struct http_fields *also; /* is shown every field as well, NULL nobody */
	bool ended;               /* what comes now are trailers, none of which is kept */
	bool in_value;
	size_t nname; /* > HTTP_NAME_MAX: too long to be one of ours */
	int field;    /* which the value read now belongs to; HTTP_FIELDS: none */
	uint16_t at[HTTP_FIELDS], nvalue[HTTP_FIELDS]; /* where in values a field's is */
	size_t nvalues;
	char name[HTTP_NAME_MAX];
	char values[HTTP_VALUES_MAX];
};

void http_head_reset(struct http_head *h);
/* A field's name, then its value, each in any pieces. */
void http_head_name(struct http_head *h, struct bytes piece);
void http_head_value(struct http_head *h, struct bytes piece);

/* A value without the white space around it; no bytes when the field was not there. Of a field that is repeated the first
 * counts, but codings, which add up. */
struct bytes http_head_field(const struct http_head *h, enum http_field id);
/* A decimal number, digits with at most one point among them; -1 for anything else. */
double http_head_number(const struct http_head *h, enum http_field id);
#endif
