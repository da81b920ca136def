/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MySQL's compressed protocol: around any bytes of packets 3 bytes of length, 1 of sequence, 3 of the length unpacked (0: sent
 * as it is), zlib
 * (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_compression.html).
 */
#ifndef PROTO_MYSQL_SQUEEZED_H
#define PROTO_MYSQL_SQUEEZED_H
#include "proto.h"
#include "proto/collect.h"

struct decoder;

/* A direction's. */
struct squeezed {
	struct collect head;
	uint64_t left, plain, out; /* plain: unpacked, 0: sent as it is; out: unpacked so far */
	struct decoder *decoder;
	bool lost;
};

/* All 0 but for the first three is one that nothing was fed to. */
struct mysql_squeezed {
	/* What is in there, and how much of it is missing; n as in struct proto's gap(). */
	void (*plain)(void *ctx, int dir, struct bytes b, const struct stamp *at);
	void (*missing)(void *ctx, int dir, uint64_t n, enum partial why, const struct stamp *at);
	void *ctx;
	/* private */
	struct squeezed side[2];
	const struct stamp *at; /* of what is being unpacked */
	int dir;
};

/* dir, at, n and why as in struct proto. */
void mysql_squeezed_feed(struct mysql_squeezed *z, int dir, struct bytes b, const struct stamp *at);
void mysql_squeezed_gap(struct mysql_squeezed *z, int dir, uint64_t n, enum partial why,
                        const struct stamp *at);
/* Its place in dir was wrong: it reads on where a feed begins a command or a reply. */
void mysql_squeezed_lose(struct mysql_squeezed *z, int dir);
void mysql_squeezed_free(struct mysql_squeezed *z);
#endif
