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

/* What is kept of a value. All of them are words, numbers and host names. */
#define HTTP_VALUE_MAX 256
/* Longer than the longest name in the table. */
#define HTTP_NAME_MAX 32

enum http_field {
	FIELD_HOST,
	FIELD_RETRY_COUNT,
	FIELD_ENCODING,
	FIELD_TYPE,
	FIELD_RETRY_AFTER,
	FIELD_RETRY_AFTER_MS,
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
	size_t nvalue[HTTP_FIELDS];
	char name[HTTP_NAME_MAX];
	char value[HTTP_FIELDS][HTTP_VALUE_MAX];
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
