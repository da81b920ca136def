/* SPDX-License-Identifier: BSD-2-Clause */
/* The lexers are those of proto/sql.c and proto/cypher.c, step by step: what is a keyword there must be one here. */
#include "mask/sql.h"

#include <ctype.h>

enum sql_at {
	SQL_PLAIN,
	SQL_WORD,
	SQL_DASH,
	SQL_SLASH,
	SQL_LINE_COMMENT,
	SQL_COMMENT_OPEN, /* MySQL: what follows may be run all the same */
	SQL_COMMENT_M,
	SQL_VERSION, /* for servers from this one on */
	SQL_COMMENT,
	SQL_STAR,
	SQL_COMMENT_SLASH,
	SQL_QUOTE,
	SQL_ESCAPED,
	SQL_NAME,
	SQL_TAG,
	SQL_DOLLAR,
	SQL_DOLLAR_END,
	SQL_OPAQUE,
};

/* clang-format off */
static const char *const keywords[] = {
	"ABORT", "ADD", "ALL", "ALTER", "ANALYSE", "ANALYZE", "AND", "ANY", "ARRAY", "AS", "ASC",
	"BEGIN", "BETWEEN", "BY", "CALL", "CASCADE", "CASE", "CAST", "CHECKPOINT", "CLOSE",
	"CLUSTER", "COALESCE", "COLUMN", "COMMENT", "COMMIT", "COMMITTED", "CONCURRENTLY",
	"CONFLICT", "CONSTRAINT", "COPY", "COUNT", "CREATE", "CROSS", "CURRENT_TIMESTAMP",
	"CURSOR", "DATABASE", "DEALLOCATE", "DECLARE", "DEFAULT", "DELETE", "DESC", "DISCARD",
	"DISTINCT", "DO", "DROP", "E", "ELSE", "END", "EXCEPT", "EXECUTE", "EXISTS", "EXPLAIN",
	"EXTENSION", "FALSE", "FETCH", "FILTER", "FOR", "FOREIGN", "FORMAT", "FROM", "FULL",
	"FUNCTION", "GRANT", "GROUP", "HAVING", "IF", "ILIKE", "IMPORT", "IN", "INDEX", "INNER",
	"INSERT", "INTERSECT", "INTO", "IS", "ISOLATION", "JOIN", "KEY", "LATERAL", "LEFT",
	"LEVEL", "LIKE", "LIMIT", "LISTEN", "LOAD", "LOCK", "LOCKED", "MATERIALIZED", "MERGE",
	"MOVE", "NEXT", "NOT", "NOTHING", "NOTIFY", "NOW", "NOWAIT", "NULL", "OFFSET", "ON",
	"ONLY", "OR", "ORDER", "OUTER", "OVER", "PARTITION", "PG_ADVISORY_LOCK",
	"PG_ADVISORY_UNLOCK", "PG_ADVISORY_XACT_LOCK", "PG_SLEEP", "PG_TRY_ADVISORY_LOCK",
	"PREPARE", "PREPARED", "PRIMARY", "READ", "REASSIGN", "RECURSIVE", "REFERENCES",
	"REFRESH", "REINDEX", "RELEASE", "REPEATABLE", "RESET", "RETURNING", "REVOKE", "RIGHT",
	"ROLLBACK", "ROW", "SAVEPOINT", "SCHEMA", "SECURITY", "SELECT", "SEQUENCE",
	"SERIALIZABLE", "SESSION", "SET", "SHARE", "SHOW", "SKIP", "START", "STDIN", "STDOUT",
	"TABLE", "TEMP", "TEMPORARY", "THEN", "TO", "TRANSACTION", "TRIGGER", "TRUE", "TRUNCATE",
	"TYPE", "UNION", "UNIQUE", "UNLISTEN", "UPDATE", "USING", "VACUUM", "VALUES", "VERSION",
	"VIEW", "WHEN", "WHERE", "WINDOW", "WITH", "WORK", "WRITE", NULL,
};
/* clang-format on */

static const char *const mysql_keywords[] = {
	"AUTOCOMMIT", "CHECK",  "CHECKSUM", "DESCRIBE", "FLUSH",  "HANDLER",
	"HELP",       "KILL",   "NAMES",    "OPTIMIZE", "RENAME", "REPAIR",
	"REPLACE",    "UNLOCK", "USE",      "XA",       NULL,
};

static const char *const cypher_keywords[] = {
	"ALTER",  "AND",    "AS",       "ASC",      "BY",    "CALL",    "CREATE", "DELETE",
	"DENY",   "DESC",   "DETACH",   "DISTINCT", "DROP",  "EXPLAIN", "FINISH", "FOREACH",
	"GRANT",  "IN",     "INSERT",   "LIMIT",    "LOAD",  "MATCH",   "MERGE",  "NOT",
	"NULL",   "ON",     "OPTIONAL", "OR",       "ORDER", "PROFILE", "REMOVE", "RENAME",
	"RETURN", "REVOKE", "SET",      "SHOW",     "SKIP",  "START",   "STOP",   "TERMINATE",
	"UNION",  "UNWIND", "USE",      "WHERE",    "WITH",  "YIELD",   NULL,
};

static bool keyword(enum mask_dialect dialect, struct bytes b)
{
	if (dialect == MASK_CYPHER)
		return mask_listed(cypher_keywords, b);
	return mask_listed(keywords, b) ||
	       (dialect == MASK_MYSQL && mask_listed(mysql_keywords, b));
}

static bool word_char(char c)
{
	return isalnum((uint8_t)c) || c == '_' || (uint8_t)c >= 0x80;
}

/* Words are masked with consonants alone, and so is what stands in quotes. */
static void quoted_start(struct mask_sql *s, enum sql_at at)
{
	word_start(s->word, s->key, WORD_SQL);
	word_break(s->word);
	s->at = at;
}

static void sql_word_end(struct mask_sql *s)
{
	char buf[MASK_WORD_MAX];
	struct bytes b = word_text(s->word, buf);

	/* "SELECT 1" says that nothing was asked */
	word_end(s->word, keyword(s->dialect, b) || (b.n == 1 && isdigit((uint8_t)*b.p)));
	s->at = SQL_PLAIN;
}

static void quote_start(struct mask_sql *s, char c)
{
	bool value = c == '\'' || (c == '"' && s->dialect != MASK_POSTGRES);

	s->quote = c;
	s->escapes = s->dialect != MASK_POSTGRES && value;
	quoted_start(s, value ? SQL_QUOTE : SQL_NAME);
}

static void plain_byte(struct mask_sql *s, char *p)
{
	if (word_char(*p)) {
		s->at = SQL_WORD;
		word_start(s->word, s->key, WORD_SQL);
		word_byte(s->word, p);
		return;
	}
	s->escapes = false;
	if (*p == '\'' || *p == '"' || (*p == '`' && s->dialect != MASK_POSTGRES))
		quote_start(s, *p);
	else if (*p == '-' && s->dialect != MASK_CYPHER)
		quoted_start(s, SQL_DASH);
	else if (*p == '/')
		quoted_start(s, SQL_SLASH);
	else if (*p == '#' && s->dialect == MASK_MYSQL)
		quoted_start(s, SQL_LINE_COMMENT);
	else if (*p == '$' && s->dialect == MASK_POSTGRES)
		quoted_start(s, SQL_TAG);
	if (s->at == SQL_TAG)
		s->tag = bytes_hash(0, (struct bytes){ p, 1 });
}

static bool escape_prefix(const struct mask_sql *s)
{
	char buf[MASK_WORD_MAX];
	struct bytes b = word_text(s->word, buf);

	return s->dialect == MASK_POSTGRES && b.n == 1 && (*b.p == 'E' || *b.p == 'e');
}

/* Those that follow return false when the byte is not theirs: it is then read again as plain. */

static bool in_word(struct mask_sql *s, char *p)
{
	bool escapes = *p == '\'' && escape_prefix(s);

	if (word_char(*p) || (*p == '$' && s->dialect != MASK_CYPHER)) {
		word_byte(s->word, p);
		return true;
	}
	sql_word_end(s);
	if (!escapes)
		return false;
	quote_start(s, *p);
	s->escapes = true;
	return true;
}

static bool in_comment(struct mask_sql *s, char *p)
{
	if (s->at == SQL_STAR && *p == '/')
		s->at = --s->nest ? SQL_COMMENT : SQL_PLAIN;
	else if (s->at == SQL_COMMENT_SLASH && *p == '*' && s->dialect == MASK_POSTGRES)
		s->nest++, s->at = SQL_COMMENT;
	else
		s->at = *p == '*' ? SQL_STAR : *p == '/' ? SQL_COMMENT_SLASH : SQL_COMMENT;
	if (*p != '*' && *p != '/')
		word_byte(s->word, p);
	return true;
}

/* MySQL's "!50100" or MariaDB's "M!100100": what stands behind is run. */
static bool in_comment_open(struct mask_sql *s, char *p)
{
	if (s->at == SQL_VERSION && isdigit((uint8_t)*p)) {
		*p = '0';
		return true;
	}
	if (s->at == SQL_VERSION)
		return false;
	if (*p == '!') {
		s->at = SQL_VERSION;
		return true;
	}
	if (s->at == SQL_COMMENT_OPEN && *p == 'M') {
		s->at = SQL_COMMENT_M;
		return true;
	}
	s->at = SQL_COMMENT;
	return in_comment(s, p);
}

static bool in_quote(struct mask_sql *s, char *p)
{
	if (s->at == SQL_ESCAPED) {
		s->at = SQL_QUOTE;
		if (*p != s->quote && *p != '\\')
			word_byte(s->word, p);
	} else if (*p == s->quote) {
		s->at = SQL_PLAIN; /* doubled, it starts another at once */
		return true;
	} else if (*p == '\\' && s->escapes) {
		s->at = SQL_ESCAPED;
	} else {
		word_byte(s->word, p);
	}
	return true;
}

/* The mask starts anew at each '$', so that the tag at the end is masked as the one at the beginning. */
static bool in_dollar(struct mask_sql *s, char *p)
{
	struct bytes one = { p, 1 };

	if (s->at == SQL_TAG && *p != '$' && !word_char(*p))
		return false;
	if (s->at == SQL_TAG) {
		s->tag = bytes_hash(s->tag, one);
		if (*p == '$')
			s->at = SQL_DOLLAR;
	} else if (*p == '$') {
		bool end = s->at == SQL_DOLLAR_END && bytes_hash(s->tag_seen, one) == s->tag;

		s->at = end ? SQL_PLAIN : SQL_DOLLAR_END;
		s->tag_seen = bytes_hash(0, one);
	} else if (s->at == SQL_DOLLAR_END) {
		s->tag_seen = bytes_hash(s->tag_seen, one);
		if (!word_char(*p))
			s->at = SQL_DOLLAR;
	}
	if (*p == '$')
		quoted_start(s, (enum sql_at)s->at);
	else if (word_char(*p))
		word_byte(s->word, p);
	else
		*p = '.';
	return true;
}

static bool in_mode(struct mask_sql *s, char *p)
{
	switch ((enum sql_at)s->at) {
	case SQL_PLAIN:
		return false;
	case SQL_WORD:
		return in_word(s, p);
	case SQL_DASH:
		s->at = SQL_LINE_COMMENT;
		return *p == '-';
	case SQL_SLASH:
		s->at = s->dialect == MASK_MYSQL ? SQL_COMMENT_OPEN : SQL_COMMENT;
		if (s->dialect == MASK_CYPHER && *p == '/')
			s->at = SQL_LINE_COMMENT;
		s->nest = 1;
		return *p == '*' || s->at == SQL_LINE_COMMENT;
	case SQL_LINE_COMMENT:
		if (*p == '\n')
			s->at = SQL_PLAIN;
		else
			word_byte(s->word, p);
		return true;
	case SQL_COMMENT_OPEN:
	case SQL_COMMENT_M:
	case SQL_VERSION:
		return in_comment_open(s, p);
	case SQL_COMMENT:
	case SQL_STAR:
	case SQL_COMMENT_SLASH:
		return in_comment(s, p);
	case SQL_QUOTE:
	case SQL_ESCAPED:
	case SQL_NAME:
		return in_quote(s, p);
	case SQL_TAG:
	case SQL_DOLLAR:
	case SQL_DOLLAR_END:
		return in_dollar(s, p);
	case SQL_OPAQUE:
		word_byte(s->word, p);
		return true;
	}
	return false;
}

void mask_sql_start(struct mask_sql *s, const uint8_t *key, struct mask_word *word,
                    enum mask_dialect dialect)
{
	*s = (struct mask_sql){ .key = key, .word = word, .dialect = dialect };
}

void mask_sql_byte(struct mask_sql *s, char *p)
{
	if (in_mode(s, p))
		return;
	s->at = SQL_PLAIN;
	plain_byte(s, p);
}

void mask_sql_gap(struct mask_sql *s)
{
	quoted_start(s, SQL_OPAQUE);
}

void mask_sql_end(struct mask_sql *s)
{
	if (s->at == SQL_WORD)
		sql_word_end(s);
}
