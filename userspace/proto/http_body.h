/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The body of one HTTP message on its way to the readers of its exchange: content codings undone, holes told. In a scrubbed
 * recording an encoded body holds filler, and what each slice of it decodes to comes beforehand, as a block.
 */
#ifndef PROTO_HTTP_BODY_H
#define PROTO_HTTP_BODY_H
#include "call.h"
#include "proto/decode.h"
#include "proto/http_head.h"

struct http_exchange;
struct http_block;

/* Blocks of one direction of a connection that wait for their record, in the order of the slices in it. */
struct http_blocks {
	bool given; /* blocks came: never inflate again */
	bool lost;  /* out of step with the slices: none is better than a wrong one */
	struct http_block *list, **end;
	size_t n, bytes;
};

struct http_body {
	int dir; /* enum event_dir: DIR_OUT is the request's */
	enum coding coding;
	struct decoder *decoder; /* NULL while there is nothing to decode */
	bool holed;              /* part of it was lost */
};

void http_blocks_init(struct http_blocks *k);
void http_blocks_free(struct http_blocks *k);
void http_blocks_add(struct http_blocks *k, struct bytes b);
/* All blocks of from are to's now, which has none. */
void http_blocks_move(struct http_blocks *to, struct http_blocks *from);

/* Another message's body begins, of direction dir; head NULL: not known yet (identity). What was there is freed. */
void http_body_reset(struct http_body *m, int dir, const struct http_head *head);
/* A slice as it went over the wire. x: whose it is, NULL nobody's. */
void http_body_feed(struct http_body *m, struct http_blocks *k, struct http_exchange *x,
                    struct bytes b, const struct stamp *at);
/* n bytes as they went over the wire (GAP_UNKNOWN: nobody knows how many) were lost. */
void http_body_gap(struct http_body *m, struct http_exchange *x, uint64_t n, enum partial why);
#endif
