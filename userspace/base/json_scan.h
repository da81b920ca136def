/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A streaming JSON tokenizer (RFC 8259) for documents that arrive in pieces and may be cut: fed
 * with any split, it reports each value with the path that leads to it, and long strings as
 * fragments. It allocates nothing and holds no text beyond the keys of the path. After a gap it
 * is dead for that document; json_tail() finds what the end of a document still proves.
 */
#ifndef BASE_JSON_SCAN_H
#define BASE_JSON_SCAN_H
#include "bytes.h"

/* Containers inside one another; deeper than any tool's arguments, small enough for a bit each. */
#define JSON_DEPTH_MAX 512
/* Levels whose keys are kept: what lies deeper is no field of an API we read. */
#define JSON_LEVELS_MAX 16
/* Longest key kept; a longer one is nobody's name and matches nothing. */
#define JSON_KEY_MAX 40
/* Longest number kept; a longer one has empty text. */
#define JSON_NUMBER_MAX 40

enum json_kind {
	JSON_OBJECT,
	JSON_OBJECT_END,
	JSON_ARRAY,
	JSON_ARRAY_END,
	JSON_STRING,
	JSON_NUMBER,
	JSON_TRUE,
	JSON_FALSE,
	JSON_NULL,
};

/* A value, or a fragment of a string: unescaped, first and last tell its ends (both for "" and
 * other short ones). text: of strings and numbers (NUL-terminated there), valid during the
 * callback. */
struct json_token {
	enum json_kind kind;
	bool first, last;
	struct bytes text;
};

/* The token begins a value, or ends one. */
static inline bool json_begins(const struct json_token *t)
{
	return t->first && t->kind != JSON_OBJECT_END && t->kind != JSON_ARRAY_END;
}

static inline bool json_ends(const struct json_token *t)
{
	return t->last && t->kind != JSON_OBJECT && t->kind != JSON_ARRAY;
}

enum json_state {
	JSON_OPEN, /* more is to come, or nothing came yet */
	JSON_DONE, /* the document's last byte was seen */
	JSON_BAD,  /* not JSON, or a limit bit */
	JSON_CUT,  /* a gap went through it */
};

struct json_scan;
typedef void json_callback(void *ctx, const struct json_scan *s, const struct json_token *t);

struct json_scan {
	enum json_state state;
	unsigned depth; /* containers around the value; begin and end of one have the same */
	/* the rest is the scanner's own */
	json_callback *token;
	void *ctx;
	uint8_t step;
	bool in_key, first;
	bool key_long;
	uint8_t hex_n, literal_n, number_n;
	const char *literal;
	enum json_kind literal_kind;
	uint32_t hex, high;
	uint64_t nest[JSON_DEPTH_MAX / 64]; /* bit set: an object */
	uint8_t key_n[JSON_LEVELS_MAX];
	char key[JSON_LEVELS_MAX][JSON_KEY_MAX];
	char number[JSON_NUMBER_MAX + 1];
};

/* token may be NULL: only whether it is JSON is of interest then. */
void json_init(struct json_scan *s, json_callback *token, void *ctx);
/* Returns how many bytes were read: less than b.n when the document ends inside b, or goes bad
 * there (the bad byte is the last one read). Reads nothing once the document is no longer open. */
size_t json_feed(struct json_scan *s, struct bytes b);
void json_gap(struct json_scan *s);

/* Key of the container at a level (0 = outermost): empty for an array, and for keys that were
 * not kept. */
struct bytes json_key(const struct json_scan *s, unsigned level);
bool json_in_array(const struct json_scan *s, unsigned level);
/* Is the value's path, from level base on, this one? Keys joined by '.', "[]" for an element of
 * an array: "choices.[].delta.content". */
bool json_at(const struct json_scan *s, unsigned base, const char *path);
/* Is this the beginning of the value's path? Sets *ret_level to where the rest begins. */
bool json_under(const struct json_scan *s, unsigned base, const char *path, unsigned *ret_level);

/* The tail of a document whose beginning was not seen, to its very last byte. A closed document
 * ends outside any string, so that, read backwards, what is string and what is not can be told
 * for sure. Finds the earliest member or element that begins in the tail with at most max_open
 * containers open around it, writes these to open[max_open] ('{' or '[', outermost first) and
 * their number to *ret_open, and returns where it begins; -1 if there is none. What follows
 * parses forwards once the containers are opened before it. */
long json_tail(struct bytes tail, char *open, unsigned max_open, unsigned *ret_open);
#endif
