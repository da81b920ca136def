/* SPDX-License-Identifier: BSD-2-Clause */
/* One connection of Redis, for redis.c (commands) and redis_reply.c (what the server says). */
#ifndef PROTO_REDIS_STATE_H
#define PROTO_REDIS_STATE_H
#include <ctype.h>

#include "pending.h"

/* Aggregates in aggregates: the deepest reply of the server itself (COMMAND DOCS) has 7 levels. */
#define DEPTH_MAX 32
/* Largest string believed: the server's own limit can be raised, its default is 512 MB. */
#define BULK_MAX (1ll << 40)
/* Most elements believed in a command or an aggregate: the server's limit. */
#define COUNT_MAX 0x7fffffffll
/* Of a line the head is kept; headers ("*3", "$12") that do not fit are no headers. */
#define LINE_MAX_KEPT 64
/* Longest word of interest, COMMAND GETKEYSANDFLAGS and the like. */
#define WORD_MAX 24

/* A line being collected: its head, and how long it is. */
struct line {
	char text[LINE_MAX_KEPT];
	uint64_t n; /* all of it, CR included */
};

enum out_state { OUT_START, OUT_COUNT, OUT_LENGTH, OUT_STRING, OUT_INLINE };
enum in_state { IN_LINE, IN_STRING };

/* An aggregate being read: how many elements are still to come. */
struct level {
	uint64_t left;
	bool attribute; /* what it holds belongs to the value behind it */
};

struct redis {
	struct pending calls;
	bool stream; /* MONITOR, replication: no calls any more */

	bool out_synced;
	enum out_state out;
	struct line out_line;
	struct stamp first;      /* of the command's first byte */
	uint64_t command_bytes;  /* before it was opened as a call */
	uint64_t args_left, arg; /* strings to come, number of the one being read */
	uint64_t out_left;       /* bytes of the string, CR LF included */
	uint64_t arg_len;
	char word[WORD_MAX];
	size_t nword;
	char op[CALL_OP_MAX]; /* of the command being read */
	uint32_t flags;
	uint64_t current; /* its number in calls, 0 none */
	bool multi, multi_wrote, multi_unknown;
	bool replies_off, skip_reply, unanswered;
	enum partial cut; /* why a word that matters was not seen */

	bool in_synced;
	bool in_proven; /* no loss since, or a reply ended since */
	enum in_state in;
	struct line in_line;
	uint64_t in_left; /* bytes of the string, CR LF included */
	struct level levels[DEPTH_MAX];
	unsigned depth;
	char top;                 /* type of the reply being read, 0 between replies */
	uint64_t reply_bytes;     /* of it, not yet told to the call */
	char head[LINE_MAX_KEPT]; /* its text, or that of its first element */
	size_t nhead;
	bool head_seen, head_open;        /* it began; it is the value being read */
	char nested_error[LINE_MAX_KEPT]; /* first error among the elements */
	long long last_number;            /* last element that was a number */
	bool resp3;
	bool subscribed;
};

/* Moves bytes up to the end of the line from b to l; true when the line is complete. */
static inline bool redis_line_take(struct line *l, struct bytes *b)
{
	const char *end = memchr(b->p, '\n', b->n);
	size_t n = end ? (size_t)(end - b->p) : b->n;

	for (size_t i = 0; i < n && l->n + i < sizeof(l->text); i++)
		l->text[l->n + i] = b->p[i];
	l->n += n;
	*b = bytes_from(*b, n + (end != NULL));
	return end != NULL;
}

/* What is kept of a complete line, without CR. */
static inline struct bytes redis_line_text(const struct line *l)
{
	size_t n = l->n < sizeof(l->text) ? l->n : sizeof(l->text);

	if (n == l->n && n && l->text[n - 1] == '\r')
		n--;
	return (struct bytes){ l->text, n };
}

/* The number of a header line behind its type byte: decimal, at least min, at most max. */
static inline bool redis_line_number(const struct line *l, long long min, long long max,
                                     long long *ret)
{
	struct bytes t = bytes_from(redis_line_text(l), 1);
	bool negative = t.n && t.p[0] == '-';
	long long v = 0;

	t = bytes_from(t, negative);
	if (l->n > sizeof(l->text) || l->n < 3 || l->text[l->n - 1] != '\r' || !t.n || t.n > 18)
		return false;
	for (size_t i = 0; i < t.n; i++) {
		if (!isdigit((unsigned char)t.p[i]))
			return false;
		v = 10 * v + (t.p[i] - '0');
	}
	v = negative ? -v : v;
	if (v < min || v > max)
		return false;
	*ret = v;
	return true;
}

/* Commands, or replies, make no sense any more or were not seen; at, why as in struct proto. */
void redis_out_lost(struct redis *r, enum partial why, const struct stamp *at);
void redis_in_lost(struct redis *r, enum partial why, const struct stamp *at);
/* Bytes from the server, and a gap in them. */
void redis_in_feed(struct redis *r, struct bytes b, const struct stamp *at);
void redis_in_gap(struct redis *r, uint64_t n, enum partial why, const struct stamp *at);
#endif
