/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maskers: payload bytes of one protocol in, the same number of bytes out, with the structure a parser reads left as it
 * was and every string of the target's replaced. They work in place and take their input in any pieces. What is not
 * certain is masked; nothing here ever says "probably harmless".
 *
 * The same string gets the same mask wherever it stands, so that what was equal stays equal; without the key nobody
 * gets back from the mask to the string.
 */
#ifndef MASK_MASK_H
#define MASK_MASK_H
#include "base/bytes.h"
#include "store/rule.h"

#define MASK_KEY_SIZE 16

/* SipHash's permutation over the bytes of one string so far: each byte's mask depends on the key and on all bytes before
 * it. At each place different letters and digits get different masks, so "Question 1" and "Question 2" stay apart. */
struct mask_chain {
	uint64_t v[4];
};

void chain_start(struct mask_chain *c, const uint8_t key[MASK_KEY_SIZE]);
char chain_next(struct mask_chain *c, char byte);

/* ===== Words =====
 * A string that may be kept if it turns out to be a known word or a machine value. Whether it is shows at its end, which
 * may lie in a later buffer: until then its bytes stay as they are and are remembered. */

/* Longest machine value kept (model names are the longest). */
#define MASK_WORD_MAX 96

enum word_start {
	WORD_MASK, /* no candidate: masked from the first byte */
	WORD_TRY, /* kept or masked as word_end() says; a '*' first marks what was masked, so it is no known word */
	WORD_SQL, /* the same for SQL: no mark, and the mask has no vowels, so it spells no keyword */
};

struct mask_word {
	struct mask_chain chain;
	char *at[MASK_WORD_MAX]; /* the bytes of a candidate, where they stand */
	unsigned n;
	unsigned started; /* words so far: tells one from the next */
	bool open;        /* a candidate: at[] must stay valid and is not final yet */
	bool sql;
	char **tail; /* the newest bytes of a document that a gap went through: the same holds for them */
	size_t ntail;
	char **pile; /* bytes that can only be masked together; the same again */
	size_t npile, pile_room;
};

void word_start(struct mask_word *w, const uint8_t key[MASK_KEY_SIZE], enum word_start how);
/* A candidate ends to be one at its first byte outside [A-Za-z0-9_.:/@$-] and when it gets too long. */
void word_byte(struct mask_word *w, char *p);
/* The bytes of a candidate; empty when it is none any more. buf holds MASK_WORD_MAX. */
struct bytes word_text(const struct mask_word *w, char *buf);
void word_end(struct mask_word *w, bool keep);
/* Does it wait for bytes to come? */
bool word_waits(const struct mask_word *w);
/* Keeps a byte in the tail, which is masked unless mask_json_end() makes sense of it; only the newest TAIL_MAX (llm/tail.h)
 * are kept. */
void word_hold(struct mask_word *w, char *p);
/* Keeps a byte on a pile, whose bytes are masked once all are there: they become zeros unless word_pile_put() comes before
 * the wait is ended. False: the pile is as large as can be, or there is no memory for it; all of it is zeros now. */
#define MASK_PILE_MAX (256u << 10)
bool word_pile(struct mask_word *w, char *p);
/* The pile in a row, the caller's to free, if it has n bytes; else NULL, and zeros stay. */
char *word_pile_copy(struct mask_word *w, size_t n);
void word_pile_drop(struct mask_word *w);
/* Puts the n bytes, masked, in their places, and ends the pile. */
void word_pile_put(struct mask_word *w, const char *masked, size_t n);
/* Frees what it holds, not itself. */
void word_free(struct mask_word *w);
/* Ends the wait: what waits becomes masked. For the caller that must give up the buffers. */
void word_break(struct mask_word *w);

/* Is b, upper or lower case, in the NULL-terminated list? */
bool mask_listed(const char *const *list, struct bytes b);

/* ===== Bodies: JSON, JSON lines, server-sent events, else text ===== */

enum mask_form {
	FORM_JSON,   /* one document, or one after the other */
	FORM_LINES,  /* one document a line: after a gap the next line is certain again */
	FORM_SSE,    /* the same, and fields before the documents */
	FORM_TEXT,   /* every letter, digit and byte above ASCII is masked */
	FORM_BINARY, /* zeros */
	FORM_XML,    /* xml.c */
	FORM_FRAMES, /* frames.c */
};

/* Deeper documents are masked whole; the reader's limit. */
#define MASK_DEPTH_MAX 512

struct mask_json {
	const uint8_t *key;
	struct mask_word *word;
	enum mask_form form;
	uint8_t at, line, key_class;
	bool foreign; /* no LLM's: no name and no value is known. Set after mask_json_start() */
	unsigned
		rules; /* foreign: names and identifiers that these rules read stay. Set after mask_json_start() */
	size_t nkeys[RULE_PATH_MAX]; /* of the containers around the value, outermost first */
	char keys[RULE_PATH_MAX][MASK_WORD_MAX];
	bool in_key, escape, fresh, cr, space, has_data, after_gap, tailing, unsure;
	unsigned depth;
	unsigned user; /* depth of the outermost object with names of the user's own, 0 none */
	unsigned
		least; /* unsure: names are known of what was opened when depth had come down to 1 */
	unsigned prose;                       /* the same for objects with no machine values */
	uint64_t arrays[MASK_DEPTH_MAX / 64]; /* bit d: at depth d is an array */
	const char *literal;                  /* what is left of true, false, null */
};

/* key and word stay the caller's and must outlive j. */
void mask_json_start(struct mask_json *j, const uint8_t *key, struct mask_word *word,
                     enum mask_form form);
void mask_json_feed(struct mask_json *j, char *p, size_t n);
void mask_json_gap(struct mask_json *j);
/* complete: the document's last byte was seen. */
void mask_json_end(struct mask_json *j, bool complete);
/* The form a body has by its content type ("" if unknown) and first byte; FORM_XML only if it is no LLM's. */
enum mask_form mask_form_of(struct bytes content_type, char first, bool foreign);

/* ===== Protocols: siblings, each an object per connection =====
 * dir: 1 = from client to server. What a masker does not understand it zeroes, until it finds its feet again. */

enum mask_result {
	MASK_OK,
	MASK_LOST, /* the rest was zeroed; nothing is certain here until a request starts: begin anew */
	MASK_SWITCHED, /* the same, and what comes is another protocol */
};

/* What a masker may ask of its owner. */
struct mask_owner {
	uint8_t key[MASK_KEY_SIZE];
	/* What the next encoded slice of direction dir decodes to, when a scrubbed recording is read: 1 and *b, valid
	 * until the next call; 2: the same, and the next call has more of it; 0: there is none; -1: the recording is no
	 * scrubbed one. */
	int (*recorded)(struct mask_owner *o, int dir, struct bytes *b);
	/* Keeps a copy of b as what the slice now masked decodes to and returns it to be masked, or NULL. It stays
	 * valid as the record's own bytes do. more: another block of the same slice follows. */
	char *(*block)(struct mask_owner *o, int dir, struct bytes b, bool more);
	/* The record ends before p and another one begins: the slice is two, with a block each. */
	void (*cut)(struct mask_owner *o, const char *p);
};
/* Most bytes of a block: what one record holds. */
#define MASK_BLOCK_MAX 32768

struct masker {
	/* Could b, the first bytes of an operation, be those of a request? 1 yes, 0 more are needed, -1 no. total: bytes
	 * of the operation. from_start: the connection's first. */
	int (*request)(struct bytes b, uint64_t total, bool from_start);
	/* Could b, a connection's first bytes, be those of a server that speaks before its client does? As request(); NULL:
	 * none of this protocol does. */
	int (*greeting)(struct bytes b);
	/* At the start of a request, or of a greeting. words: one for each direction, the owner's: what they hold is not final. from_start:
	 * no earlier request can still be answered. NULL: out of memory. */
	void *(*new)(struct mask_owner *o, struct mask_word *words, bool from_start);
	enum mask_result (*feed)(void *m, int dir, char *p, size_t n);
	/* n bytes are missing, UINT64_MAX: nobody knows how many */
	enum mask_result (*gap)(void *m, int dir, uint64_t n);
	void (*free)(void *m);
};

extern const struct masker masker_http2, masker_http, masker_redis, masker_postgres, masker_tls,
	masker_mysql, masker_mongodb, masker_bolt, masker_memcached;
/* The first stream of m, of masker_http2, is a request of HTTP/1.1 (RFC 7540, 3.2). llm: to an LLM. */
void mask_http2_upgraded(void *m, bool llm);
/* What HTTP hands over to; never told by its bytes. */
extern const struct masker masker_websocket;
/* Files and output: one direction, no requests; never told by its bytes. */
extern const struct masker masker_lines;
#endif
