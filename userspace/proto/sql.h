/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a piece of SQL does, from its keywords alone: fed in any slices, nothing of it is kept
 * but the verb. Knows PostgreSQL's comments, quotes and dollar quotes; or MySQL's and MariaDB's.
 */
#ifndef PROTO_SQL_H
#define PROTO_SQL_H
#include "base/bytes.h"

/* Longest keyword that matters, with its NUL: SAVEPOINT, DEALLOCATE, MATERIALIZED do fit. */
#define SQL_WORD_MAX 16

struct sql {
	/* results, after sql_end() */
	char op[SQL_WORD_MAX]; /* first verb, behind WITH the main one; "" none or unknown */
	bool write; /* one of the statements changes what is stored (COMMIT alone does not) */
	bool known; /* op and write are facts */
	bool ends;  /* has a COMMIT or its synonym: what the transaction wrote becomes stored */
	bool idle;  /* does nothing: empty, or SELECT 1; MySQL: or SET autocommit, SET NAMES */
	bool cut;   /* a part of the text was not seen */

	/* private: the lexer */
	bool mysql;
	char quote; /* that ends the quote or name */
	int mode;
	unsigned nest; /* of comments, which nest */
	bool escapes;  /* E'...' */
	char word[SQL_WORD_MAX];
	size_t nword;           /* its length, which may be more than word holds */
	uint64_t tag, tag_seen; /* of a dollar quote, hashed */
	/* private: the statement */
	unsigned statements, tokens, depth;
	uint32_t verb; /* what sql.c's table says of it */
	bool resolved; /* nothing of write and op is open any more */
	bool analyze, tunes;
	int before; /* the token before */
};

void sql_start(struct sql *s);
void sql_start_mysql(struct sql *s);
void sql_feed(struct sql *s, struct bytes b);
/* The text that follows cannot be told from its quotes and comments any more. */
void sql_gap(struct sql *s);
void sql_end(struct sql *s);
#endif
