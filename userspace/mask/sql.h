/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Masks SQL and Cypher, read as proto/sql.c and proto/cypher.c read them: keywords, punctuation and the digits that stand alone stay; names, values and
 * comments are masked with consonants, which spell no keyword.
 */
#ifndef MASK_SQL_H
#define MASK_SQL_H
#include "mask/mask.h"

enum mask_dialect { MASK_POSTGRES, MASK_MYSQL, MASK_CYPHER };

struct mask_sql {
	const uint8_t *key;
	struct mask_word *word;
	enum mask_dialect dialect; /* whose quotes, comments and keywords */
	uint8_t at;
	char quote;    /* that ends what is quoted */
	unsigned nest; /* of comments */
	bool escapes;
	uint64_t tag, tag_seen; /* of a dollar quote, hashed */
};

/* key and word stay the caller's and must outlive s. */
void mask_sql_start(struct mask_sql *s, const uint8_t *key, struct mask_word *word,
                    enum mask_dialect dialect);
void mask_sql_byte(struct mask_sql *s, char *p);
/* A part is missing: all that follows is masked. */
void mask_sql_gap(struct mask_sql *s);
void mask_sql_end(struct mask_sql *s);
#endif
