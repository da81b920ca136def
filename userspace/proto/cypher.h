/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a Cypher query does, from its keywords alone (https://neo4j.com/docs/cypher-manual/current/): fed in any slices,
 * nothing of it is kept but the first keyword.
 */
#ifndef PROTO_CYPHER_H
#define PROTO_CYPHER_H
#include "base/bytes.h"

#define CYPHER_WORD_MAX 16

struct cypher {
	/* results, after cypher_end() */
	char op[CYPHER_WORD_MAX]; /* first clause, behind EXPLAIN or PROFILE that; "" unknown */
	bool write, known;        /* known: op and write are facts */
	bool idle;                /* RETURN 1 */

	/* private */
	bool cut, explain, calls;
	uint8_t mode;
	char quote, before, word[CYPHER_WORD_MAX];
	size_t nword;
	unsigned tokens;
	bool doubtful; /* a word that writes unless a colon follows: then it is a name */
};

void cypher_start(struct cypher *c);
void cypher_feed(struct cypher *c, struct bytes b);
void cypher_gap(struct cypher *c);
void cypher_end(struct cypher *c);
#endif
