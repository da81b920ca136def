/* SPDX-License-Identifier: BSD-2-Clause */
/* A lexer for Cypher that never looks back; words behind a dot, a colon or a dollar are names. */
#include "proto/cypher.h"

#include <ctype.h>

enum mode { PLAIN, WORD, SLASH, LINE_COMMENT, COMMENT, COMMENT_STAR, QUOTE, QUOTE_ESCAPE };

static const char *const clauses[] = {
	"MATCH", "OPTIONAL", "CREATE",    "MERGE",  "UNWIND", "WITH",    "RETURN",
	"CALL",  "DELETE",   "DETACH",    "SET",    "REMOVE", "FOREACH", "LOAD",
	"USE",   "SHOW",     "DROP",      "ALTER",  "GRANT",  "DENY",    "REVOKE",
	"START", "STOP",     "TERMINATE", "RENAME", "INSERT", "FINISH",
};
static const char *const writers[] = {
	"CREATE", "MERGE", "DELETE", "SET",  "REMOVE", "DROP",   "FOREACH",
	"INSERT", "ALTER", "GRANT",  "DENY", "REVOKE", "RENAME",
};

static bool listed(const char *const *list, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], word) == 0)
			return true;
	return false;
}

void cypher_start(struct cypher *c)
{
	*c = (struct cypher){ .known = true };
}

static void word_done(struct cypher *c)
{
	bool name = c->before && strchr(".:$|&!", c->before);

	c->word[c->nword < CYPHER_WORD_MAX ? c->nword : 0] = '\0';
	c->mode = PLAIN;
	c->before = 0;
	if (!c->tokens && (strcmp(c->word, "EXPLAIN") == 0 || strcmp(c->word, "PROFILE") == 0)) {
		c->explain = c->word[0] == 'E';
		return;
	}
	if (!c->tokens++) {
		c->known = listed(clauses, sizeof(clauses) / sizeof(*clauses), c->word);
		if (c->known)
			strcpy(c->op, c->word);
	}
	if (name)
		return;
	c->doubtful = listed(writers, sizeof(writers) / sizeof(*writers), c->word);
	c->calls |= strcmp(c->word, "CALL") == 0;
	c->idle = c->tokens == 2 && strcmp(c->op, "RETURN") == 0 && strcmp(c->word, "1") == 0;
}

static bool word_char(char ch)
{
	return isalnum((unsigned char)ch) || ch == '_' || (unsigned char)ch >= 0x80;
}

static void plain(struct cypher *c, char ch)
{
	if (isspace((unsigned char)ch))
		return;
	/* {set: 1}; a label's colon stands behind a variable, which no keyword is */
	if (c->doubtful && ch != ':')
		c->write = true;
	c->doubtful = false;
	/* CALL { ... } is a part of the query, CALL db.x() may do anything */
	if (c->calls && ch != '{' && ch != '(')
		c->known = false;
	c->calls = false;
	if (word_char(ch)) {
		c->mode = WORD;
		c->word[0] = (char)toupper((unsigned char)ch);
		c->nword = 1;
		return;
	}
	c->before = ch;
	if (ch == '/') {
		c->mode = SLASH;
		return;
	}
	if (ch == '\'' || ch == '"' || ch == '`') {
		c->mode = QUOTE;
		c->quote = ch;
	}
	if (ch != ';')
		c->tokens++;
	c->idle &= ch == ';';
}

static void in_quote(struct cypher *c, char ch)
{
	if (c->mode == QUOTE_ESCAPE)
		c->mode = QUOTE;
	else if (ch == c->quote)
		c->mode = PLAIN;
	else if (ch == '\\' && c->quote != '`')
		c->mode = QUOTE_ESCAPE;
}

/* False: the byte is read again in PLAIN. */
static bool in_mode(struct cypher *c, char ch)
{
	switch ((enum mode)c->mode) {
	case PLAIN:
		return false;
	case WORD:
		if (!word_char(ch)) {
			word_done(c);
			return false;
		}
		if (c->nword < CYPHER_WORD_MAX)
			c->word[c->nword] = (char)toupper((unsigned char)ch);
		c->nword += c->nword < CYPHER_WORD_MAX;
		return true;
	case SLASH:
		c->mode = ch == '/' ? LINE_COMMENT : ch == '*' ? COMMENT : PLAIN;
		c->tokens += c->mode == PLAIN;
		c->before = 0;
		return c->mode != PLAIN;
	case LINE_COMMENT:
		c->mode = ch == '\n' ? PLAIN : LINE_COMMENT;
		return true;
	case COMMENT:
	case COMMENT_STAR:
		c->mode = c->mode == COMMENT_STAR && ch == '/' ? PLAIN
		          : ch == '*'                          ? COMMENT_STAR
		                                               : COMMENT;
		return true;
	case QUOTE:
	case QUOTE_ESCAPE:
		in_quote(c, ch);
		return true;
	}
	return false;
}

void cypher_feed(struct cypher *c, struct bytes b)
{
	/* word_done() asks for the length that was, so one byte more is counted than kept */
	for (size_t i = 0; i < b.n && !c->cut; i++)
		if (!in_mode(c, b.p[i]))
			plain(c, b.p[i]);
}

void cypher_gap(struct cypher *c)
{
	c->cut = true;
}

void cypher_end(struct cypher *c)
{
	if (c->mode == WORD && !c->cut)
		word_done(c);
	c->write |= c->doubtful && !c->cut;
	c->known &= c->op[0] && (!c->calls) && (c->write || !c->cut);
	c->idle &= !c->cut;
	if (c->explain)
		c->write = false;
}
