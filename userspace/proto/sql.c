/* SPDX-License-Identifier: BSD-2-Clause */
/* What a piece of SQL does: a lexer that never looks back, and a few rules on its tokens. */
#include "sql.h"

#include <ctype.h>

enum mode {
	PLAIN,
	WORD,
	NUMBER,
	DASH,  /* seen '-': a comment if another follows */
	SLASH, /* seen '/' */
	LINE_COMMENT,
	COMMENT_OPEN, /* MySQL: what follows may be run all the same */
	COMMENT_M,
	VERSION, /* for servers from this one on */
	COMMENT,
	COMMENT_STAR, /* in a comment, seen '*' */
	COMMENT_SLASH,
	QUOTE,
	QUOTE_ESCAPE,
	QUOTE_END, /* seen a quote's end, unless it is doubled */
	NAME,      /* "..." */
	DOLLAR_TAG,
	DOLLAR,     /* in the text of a dollar quote */
	DOLLAR_END, /* in it, seen '$' and a part of a tag */
	STOP,       /* nothing behind matters or can be read */
};

enum token { OTHER, OPEN, CLOSE, COMMA, ONE, PREFIX /* WITH, RECURSIVE */, SOME_WORD };

enum verb {
	WRITE = 1 << 0,
	MAIN = 1 << 1, /* can be the main verb behind WITH */
	WITH = 1 << 2,
	EXPLAIN = 1 << 3,
	COPY = 1 << 4,
	SELECT = 1 << 5,
	ENDS = 1 << 6,
	OPEN_WRITE = 1 << 7, /* the text does not tell whether it writes */
	VERB = 1 << 8,
};

static const struct {
	const char *word;
	uint32_t verb;
} verbs[] = {
	{ "SELECT", VERB | MAIN | SELECT },
	{ "INSERT", VERB | MAIN | WRITE },
	{ "UPDATE", VERB | MAIN | WRITE },
	{ "DELETE", VERB | MAIN | WRITE },
	{ "MERGE", VERB | MAIN | WRITE },
	{ "VALUES", VERB | MAIN },
	{ "TABLE", VERB | MAIN },
	{ "WITH", VERB | WITH },
	{ "COPY", VERB | COPY },
	{ "EXPLAIN", VERB | EXPLAIN },
	{ "BEGIN", VERB },
	{ "START", VERB },
	{ "COMMIT", VERB | ENDS },
	{ "END", VERB | ENDS },
	{ "ROLLBACK", VERB },
	{ "ABORT", VERB },
	{ "SAVEPOINT", VERB },
	{ "RELEASE", VERB },
	{ "SET", VERB },
	{ "RESET", VERB },
	{ "SHOW", VERB },
	{ "DISCARD", VERB },
	{ "PREPARE", VERB },
	{ "EXECUTE", VERB | OPEN_WRITE },
	{ "DEALLOCATE", VERB },
	{ "DECLARE", VERB },
	{ "FETCH", VERB },
	{ "MOVE", VERB },
	{ "CLOSE", VERB },
	{ "LISTEN", VERB },
	{ "UNLISTEN", VERB },
	{ "NOTIFY", VERB },
	{ "LOCK", VERB },
	{ "LOAD", VERB },
	{ "CHECKPOINT", VERB },
	{ "CREATE", VERB | WRITE },
	{ "ALTER", VERB | WRITE },
	{ "DROP", VERB | WRITE },
	{ "TRUNCATE", VERB | WRITE },
	{ "GRANT", VERB | WRITE },
	{ "REVOKE", VERB | WRITE },
	{ "COMMENT", VERB | WRITE },
	{ "SECURITY", VERB | WRITE },
	{ "REASSIGN", VERB | WRITE },
	{ "IMPORT", VERB | WRITE },
	{ "REFRESH", VERB | WRITE },
	{ "VACUUM", VERB | WRITE },
	{ "ANALYZE", VERB | WRITE },
	{ "ANALYSE", VERB | WRITE },
	{ "CLUSTER", VERB | WRITE },
	{ "REINDEX", VERB | WRITE },
	{ "CALL", VERB | WRITE },
	{ "DO", VERB | WRITE },
	/* MySQL and MariaDB alone */
	{ "REPLACE", VERB | MAIN | WRITE },
	{ "RENAME", VERB | WRITE },
	{ "OPTIMIZE", VERB | WRITE },
	{ "REPAIR", VERB | WRITE },
	{ "FLUSH", VERB },
	{ "KILL", VERB },
	{ "USE", VERB },
	{ "DESCRIBE", VERB },
	{ "DESC", VERB },
	{ "HANDLER", VERB },
	{ "CHECK", VERB },
	{ "CHECKSUM", VERB },
	{ "UNLOCK", VERB },
	{ "HELP", VERB },
	{ "XA", VERB | OPEN_WRITE },
};

static uint32_t verb_of(const char *word)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		if (strcmp(word, verbs[i].word) == 0)
			return verbs[i].verb;
	return 0;
}

void sql_start(struct sql *s)
{
	*s = (struct sql){ .known = true };
}

void sql_start_mysql(struct sql *s)
{
	*s = (struct sql){ .known = true, .mysql = true };
}

/* The verb of the statement (EXPLAIN and WITH: not yet the main one). */
static void statement_verb(struct sql *s, const char *word, uint32_t verb)
{
	s->verb = verb;
	s->resolved = !(verb & (WITH | COPY | EXPLAIN));
	s->write |= verb & WRITE || (s->mysql && strcmp(word, "LOAD") == 0);
	s->ends |= verb & ENDS;
	s->known &= (verb & VERB) && !(verb & OPEN_WRITE);
	if (s->statements == 0 && verb & VERB && !(verb & WITH))
		strcpy(s->op, word);
}

/* The main verb of WITH ... stands where the list of its queries has ended. */
static void with_word(struct sql *s, const char *word, uint32_t verb)
{
	bool in_list = s->before == PREFIX || s->before == COMMA;

	if (s->depth && s->before == OPEN)
		s->write |= verb & WRITE;
	if (s->depth || in_list || !(verb & MAIN))
		return;
	s->verb = verb;
	s->resolved = true;
	s->write |= verb & WRITE;
	if (s->statements == 0)
		strcpy(s->op, word);
}

/* EXPLAIN ANALYZE runs what it explains. */
static void explain_word(struct sql *s, const char *word, uint32_t verb)
{
	if (strncmp(word, "ANALY", 5) == 0)
		s->analyze = true;
	else if (s->analyze)
		s->write |= verb & WRITE;
	s->resolved = verb & MAIN;
}

static void word_done(struct sql *s)
{
	const char *word = s->word;
	uint32_t verb;

	if (s->nword >= SQL_WORD_MAX)
		s->nword = 0; /* no keyword is that long */
	s->word[s->nword] = '\0';
	verb = verb_of(word);
	s->tokens++;
	if (!s->verb && s->tokens == 1)
		statement_verb(s, word, verb);
	else if (s->verb & WITH)
		with_word(s, word, verb);
	else if (s->verb & COPY && !s->depth && !s->resolved && strcmp(word, "FROM") == 0)
		s->write = s->resolved = true;
	else if (s->verb & COPY && !s->depth && strcmp(word, "TO") == 0)
		s->resolved = true;
	else if (s->verb & SELECT && !s->depth && strcmp(word, "INTO") == 0)
		s->write |= !s->mysql; /* there it is a variable, or a file */
	else if (s->verb & EXPLAIN && !s->resolved)
		explain_word(s, word, verb);
	if (s->mysql && s->tokens == 2 && strcmp(s->op, "SET") == 0)
		s->tunes = strcmp(word, "AUTOCOMMIT") == 0 || strcmp(word, "NAMES") == 0;
	s->before = verb & WITH || strcmp(word, "RECURSIVE") == 0 ? PREFIX : SOME_WORD;
}

static void token(struct sql *s, enum token t)
{
	/* "(SELECT ...) UNION ...": the verb is inside */
	if (t == OPEN && !s->verb && !s->tokens)
		return;
	s->tokens++;
	if (t == OPEN)
		s->depth++;
	else if (t == CLOSE && s->depth)
		s->depth--;
	s->before = t;
}

static void statement_end(struct sql *s)
{
	bool was_one = s->tokens == 2 && s->verb & SELECT && s->before == ONE;

	if (s->tokens) {
		s->known &= s->verb != 0 && (s->resolved || s->verb & (EXPLAIN | WRITE));
		s->idle = (was_one || s->tunes) && s->statements == 0;
		s->statements++;
	}
	s->tokens = s->depth = 0;
	s->verb = 0;
	s->analyze = s->resolved = s->tunes = false;
	s->before = OTHER;
}

static bool word_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static void plain(struct sql *s, char c)
{
	if (isspace((unsigned char)c))
		return;
	if (isdigit((unsigned char)c) || word_char(c)) {
		s->mode = isdigit((unsigned char)c) ? NUMBER : WORD;
		s->word[0] = (char)toupper((unsigned char)c);
		s->nword = 1;
		return;
	}
	switch (c) {
	case '-':
		s->mode = DASH;
		break;
	case '/':
		s->mode = SLASH;
		break;
	case '\'':
	case '"':
	case '`':
		s->mode = c == '\'' || (c == '"' && s->mysql) ? QUOTE : NAME;
		s->quote = c;
		s->escapes = s->mysql;
		token(s, OTHER);
		break;
	case '#':
		if (s->mysql)
			s->mode = LINE_COMMENT;
		else
			token(s, OTHER);
		break;
	case '$':
		if (s->mysql) {
			token(s, OTHER);
			break;
		}
		s->mode = DOLLAR_TAG;
		s->tag = bytes_hash(0, (struct bytes){ "$", 1 });
		token(s, OTHER);
		break;
	case ';':
		statement_end(s);
		break;
	default:
		token(s, c == '(' ? OPEN : c == ')' ? CLOSE : c == ',' ? COMMA : OTHER);
	}
}

/* Each returns false when c is not theirs: it is then read again in PLAIN mode. */

static bool in_word(struct sql *s, char c)
{
	if (word_char(c) || c == '$') {
		if (s->nword < SQL_WORD_MAX - 1)
			s->word[s->nword] = (char)toupper((unsigned char)c);
		s->nword += s->nword < SQL_WORD_MAX;
		return true;
	}
	if (c == '\'' && s->nword == 1 && s->word[0] == 'E' && !s->mysql) {
		s->mode = QUOTE;
		s->quote = c;
		s->escapes = true;
		token(s, OTHER);
		return true;
	}
	word_done(s);
	return false;
}

static bool in_number(struct sql *s, char c)
{
	if (word_char(c) || c == '.') {
		s->nword = 2;
		return true;
	}
	token(s, s->nword == 1 && s->word[0] == '1' ? ONE : OTHER);
	return false;
}

static bool in_comment(struct sql *s, char c)
{
	if (s->mode == COMMENT_STAR && c == '/') {
		s->mode = --s->nest ? COMMENT : PLAIN;
		return true;
	}
	if (s->mode == COMMENT_SLASH && c == '*' && !s->mysql) {
		s->mode = COMMENT;
		s->nest++;
		return true;
	}
	s->mode = c == '*' ? COMMENT_STAR : c == '/' ? COMMENT_SLASH : COMMENT;
	return true;
}

/* A comment that begins with "!50100" or "M!100100" is run by servers that are new enough: by those of today. */
static bool in_comment_open(struct sql *s, char c)
{
	if (s->mode == VERSION)
		return isdigit((unsigned char)c);
	if (c == '!') {
		s->mode = VERSION;
		return true;
	}
	if (s->mode == COMMENT_OPEN && c == 'M') {
		s->mode = COMMENT_M;
		return true;
	}
	s->mode = COMMENT;
	return in_comment(s, c);
}

static bool in_quote(struct sql *s, char c)
{
	if (s->mode == QUOTE_END) {
		s->mode = QUOTE;
		return c == s->quote;
	}
	if (s->mode == QUOTE_ESCAPE)
		s->mode = QUOTE;
	else if (c == s->quote)
		s->mode = QUOTE_END;
	else if (c == '\\' && s->escapes)
		s->mode = QUOTE_ESCAPE;
	return true;
}

static bool in_dollar(struct sql *s, char c)
{
	struct bytes one = { &c, 1 };

	if (s->mode == DOLLAR_TAG) {
		if (c == '$')
			s->mode = DOLLAR;
		else if (!word_char(c))
			return false; /* "$1", or no quote at all */
		s->tag = bytes_hash(s->tag, one);
		return true;
	}
	if (s->mode == DOLLAR_END && c == '$' && bytes_hash(s->tag_seen, one) == s->tag) {
		s->mode = PLAIN;
	} else if (c == '$') {
		s->mode = DOLLAR_END;
		s->tag_seen = bytes_hash(0, one);
	} else if (s->mode == DOLLAR_END) {
		s->tag_seen = bytes_hash(s->tag_seen, one);
		if (!word_char(c))
			s->mode = DOLLAR;
	}
	return true;
}

static bool in_mode(struct sql *s, char c)
{
	switch (s->mode) {
	case WORD:
		return in_word(s, c);
	case NUMBER:
		return in_number(s, c);
	case DASH:
		s->mode = LINE_COMMENT;
		if (c == '-')
			return true;
		token(s, OTHER);
		return false;
	case SLASH:
		s->mode = s->mysql ? COMMENT_OPEN : COMMENT;
		s->nest = 1;
		if (c == '*')
			return true;
		token(s, OTHER);
		return false;
	case COMMENT_OPEN:
	case COMMENT_M:
	case VERSION:
		return in_comment_open(s, c);
	case LINE_COMMENT:
		if (c == '\n')
			s->mode = PLAIN;
		return true;
	case COMMENT:
	case COMMENT_STAR:
	case COMMENT_SLASH:
		return in_comment(s, c);
	case QUOTE:
	case QUOTE_ESCAPE:
	case QUOTE_END:
		return in_quote(s, c);
	case NAME:
		if (c == s->quote)
			s->mode = PLAIN;
		return true;
	case DOLLAR_TAG:
	case DOLLAR:
	case DOLLAR_END:
		return in_dollar(s, c);
	default:
		return false;
	}
}

void sql_feed(struct sql *s, struct bytes b)
{
	for (size_t i = 0; i < b.n && s->mode != STOP; i++) {
		if (s->mode != PLAIN && in_mode(s, b.p[i]))
			continue;
		s->mode = PLAIN;
		plain(s, b.p[i]);
		/* a write with its verb is all there is to know: do not read megabytes of values */
		if (s->write && s->op[0] && s->known && s->resolved)
			s->mode = STOP;
	}
}

void sql_gap(struct sql *s)
{
	/* the word that was being read may go on in what is missing */
	s->cut = true;
	s->mode = STOP;
}

void sql_end(struct sql *s)
{
	bool whole = !s->cut && s->mode != STOP;

	if (s->mode == WORD)
		word_done(s);
	else if (s->mode == NUMBER)
		in_number(s, ' ');
	else if (s->mode == DASH || s->mode == SLASH)
		token(s, OTHER);
	statement_end(s);
	/* what is missing may make it write, or be another statement that does */
	s->known &= !s->cut || s->write;
	s->idle = whole && (s->statements == 0 || (s->idle && s->statements == 1));
}
