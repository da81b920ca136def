/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Redis and its kin, RESP2 and RESP3
 * (https://redis.io/docs/latest/develop/reference/protocol-spec/): one call a command. Replies
 * carry no ids, they are paired in order; pending.h tells what happens when the order is in
 * doubt. Of a command only the first words are read, and only a name that looks like one is
 * kept; strings are skipped, not stored.
 */
#include "pending.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "proto/redis_command.h"

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
/* Exchanges in step that show a client to be one that waits for each reply, see pending.h. A
 * client that shares the connection between tasks would have shown itself in so many. */
#define ROUNDS_NEEDED 4

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
static bool line_take(struct line *l, struct bytes *b)
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
static struct bytes line_text(const struct line *l)
{
	size_t n = l->n < sizeof(l->text) ? l->n : sizeof(l->text);

	if (n == l->n && n && l->text[n - 1] == '\r')
		n--;
	return (struct bytes){ l->text, n };
}

/* The number of a header line behind its type byte: decimal, at least min, at most max. */
static bool header_number(const struct line *l, long long min, long long max, long long *ret)
{
	struct bytes t = bytes_from(line_text(l), 1);
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

/*
 * Requests
 */

/* Appends w in upper case to op if it looks like a command's name: anything else may be a
 * secret. */
static bool op_append(char op[CALL_OP_MAX], const char *w, size_t n)
{
	size_t at = strlen(op);

	if (!n || !isalpha((unsigned char)w[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)w[i]) && !strchr("._-", w[i]))
			return false;
	if (at)
		op[at++] = ' ';
	for (size_t i = 0; i < n; i++)
		op[at + i] = (char)toupper((unsigned char)w[i]);
	op[at + n] = '\0';
	return true;
}

/* The stream of commands makes no sense (any more), or a part of it is missing. The command
 * being read was or will be sent; which ones follow is unknown until a write begins like a
 * command. */
static void out_lost(struct redis *r, enum partial why, const struct stamp *at)
{
	struct pending_call *e = pending_get(&r->calls, r->current);

	if (e && !e->sent) {
		if (e->c)
			call_partial(e->c, why);
		pending_sent(&r->calls, e, at);
	}
	r->current = 0;
	r->out_synced = false;
	r->multi = false;
	pending_doubt(&r->calls, why);
}

/* The operation, as far as the words read so far tell, into the call. */
static void command_named(struct redis *r)
{
	struct pending_call *e = pending_get(&r->calls, r->current);
	struct call *c = e ? e->c : NULL;

	r->flags = redis_command_flags(r->op);
	if (e)
		e->tag = r->flags;
	if (!c)
		return;
	strcpy(c->op, r->op);
	c->class = r->flags & REDIS_BEAT ? CALL_HEARTBEAT : CALL_STORAGE;
	c->setup = r->flags & REDIS_LOGIN;
	c->blocks = r->flags & REDIS_BLOCK;
	c->op_known = r->op[0] != '\0';
	c->write = c->op_known && !(r->flags & REDIS_READ);
	if (r->flags & REDIS_EXEC) {
		/* a transaction that only read has written nothing */
		c->write = r->multi_wrote || r->multi_unknown || !r->multi;
		c->op_known = r->multi && (r->multi_wrote || !r->multi_unknown);
	}
}

static void call_cut(struct redis *r)
{
	struct pending_call *e = pending_get(&r->calls, r->current);

	if (e && e->c && r->cut != PARTIAL_NONE)
		call_partial(e->c, r->cut);
}

static void command_open(struct redis *r)
{
	r->op[0] = '\0';
	op_append(r->op, r->word, r->nword < r->arg_len ? 0 : r->nword);
	r->current = pending_open(&r->calls, CALL_STORAGE, &r->first);
	pending_out_bytes(pending_get(&r->calls, r->current), r->command_bytes);
	command_named(r);
	call_cut(r);
}

static bool word_is(const struct redis *r, const char *w)
{
	size_t n = strlen(w);

	return r->arg_len == n && r->nword == n && strncasecmp(r->word, w, n) == 0;
}

/* Argument number r->arg is complete; of a long one only the head is in r->word. */
static void command_word(struct redis *r)
{
	struct pending_call *e;

	if (r->arg == 0) {
		command_open(r);
		return;
	}
	e = pending_get(&r->calls, r->current);
	if (r->arg == 1 && r->flags & REDIS_WORDS) {
		if (r->nword == r->arg_len && op_append(r->op, r->word, r->nword))
			command_named(r);
	} else if (r->arg == 2 && r->flags & REDIS_REPLY) {
		bool on = word_is(r, "ON");

		r->replies_off = word_is(r, "OFF") || (r->replies_off && !on);
		r->skip_reply = word_is(r, "SKIP");
		r->unanswered = !on;
	} else if (r->flags & REDIS_MAY_BLOCK && word_is(r, "STREAMS")) {
		r->flags &= ~(uint32_t)REDIS_MAY_BLOCK;
	} else if (r->flags & REDIS_MAY_BLOCK && word_is(r, "BLOCK") && e && e->c) {
		e->c->blocks = true;
	}
}

/* A command that gets no reply ends when it is sent. With others waiting before it (nobody is
 * known to do that) all end: which reply is whose could not be told. */
static void command_unanswered(struct redis *r, const struct stamp *at)
{
	struct pending_call *e = pending_get(&r->calls, r->current);

	if (e && pending_count(&r->calls) == 1)
		pending_done(&r->calls, CALL_UNKNOWN, "", at);
	else
		pending_lose(&r->calls, PARTIAL_EVENTS_LOST, at);
}

static void command_sent(struct redis *r, const struct stamp *at)
{
	struct pending_call *e = pending_get(&r->calls, r->current);
	bool skip = r->skip_reply && !(r->flags & REDIS_REPLY);

	r->out = OUT_START;
	if (e && r->flags & (REDIS_SUB | REDIS_UNSUB))
		e->n = r->arg > 1 && r->arg <= COUNT_MAX ? (uint32_t)r->arg - 1 : 1;
	if (r->flags & REDIS_SUB)
		r->subscribed = true;
	if (!r->op[0])
		r->multi_unknown = true;
	else if (!(r->flags & (REDIS_READ | REDIS_EXEC)))
		r->multi_wrote = true;
	if (r->flags & (REDIS_MULTI | REDIS_EXEC | REDIS_DISCARD | REDIS_RESET)) {
		r->multi = r->flags & REDIS_MULTI;
		r->multi_wrote = r->multi_unknown = false;
	}
	pending_sent(&r->calls, e, at);
	if (skip || r->replies_off || r->unanswered)
		command_unanswered(r, at);
	r->skip_reply = r->skip_reply && !skip;
	r->current = 0;
}

/* The words of an inline command: a text line. Only housekeeping is known to come this way, and
 * the rest may be anything, so other names are not kept. */
static void inline_command(struct redis *r, const struct stamp *at)
{
	struct bytes t = line_text(&r->out_line);
	size_t i = 0;

	r->flags = 0;
	for (r->arg = 0; i < t.n; r->arg++) {
		size_t from = i;

		while (i < t.n && t.p[i] != ' ')
			i++;
		r->arg_len = i - from;
		r->nword = r->arg_len < WORD_MAX ? r->arg_len : WORD_MAX;
		memcpy(r->word, t.p + from, r->nword);
		while (i < t.n && t.p[i] == ' ')
			i++;
		command_word(r);
		if (r->arg == 0 && !r->flags) {
			r->op[0] = '\0';
			command_named(r);
		}
	}
	command_sent(r, at);
}

static bool out_start(struct redis *r, struct bytes *b, const struct stamp *at)
{
	char c = b->p[0];

	if (c == '\r' || c == '\n') {
		*b = bytes_from(*b, 1);
		return true;
	}
	if (c != '*' && !isalpha((unsigned char)c))
		return false;
	r->first = *at;
	r->cut = PARTIAL_NONE;
	r->unanswered = false;
	r->command_bytes = 0;
	r->current = 0;
	r->flags = 0;
	r->out_line.n = 0;
	r->out = c == '*' ? OUT_COUNT : OUT_INLINE;
	return true;
}

static bool out_count(struct redis *r)
{
	long long n;

	/* "*0" and "*-1" are no commands and get no reply */
	if (!header_number(&r->out_line, -1, COUNT_MAX, &n))
		return false;
	r->args_left = n > 0 ? (uint64_t)n : 0;
	r->arg = 0;
	r->out_line.n = 0;
	r->out = n > 0 ? OUT_LENGTH : OUT_START;
	return true;
}

static bool out_length(struct redis *r)
{
	long long n;

	if (r->out_line.text[0] != '$' || !header_number(&r->out_line, 0, BULK_MAX, &n))
		return false;
	r->arg_len = (uint64_t)n;
	r->out_left = (uint64_t)n + 2;
	r->nword = 0;
	r->out = OUT_STRING;
	return true;
}

/* n bytes of the string went by, seen or not. */
static void out_string_passed(struct redis *r, uint64_t n, const struct stamp *at)
{
	r->out_left -= n;
	if (r->out_left)
		return;
	command_word(r);
	r->arg++;
	r->out_line.n = 0;
	r->out = OUT_LENGTH;
	if (!--r->args_left)
		command_sent(r, at);
}

static bool out_string(struct redis *r, struct bytes *b, size_t *ret)
{
	size_t n = b->n < r->out_left ? b->n : (size_t)r->out_left;

	for (size_t i = 0; i < n; i++) {
		uint64_t off = r->arg_len + 2 - r->out_left + i;

		if (off >= r->arg_len) {
			if (b->p[i] != (off == r->arg_len ? '\r' : '\n'))
				return false;
		} else if (off == r->nword && off < WORD_MAX) {
			r->word[r->nword++] = b->p[i];
		} else {
			/* to the CR, or to the end of what we have */
			i += r->arg_len - off < n - i ? (size_t)(r->arg_len - off) - 1 : n - i - 1;
		}
	}
	*b = bytes_from(*b, n);
	*ret = n;
	return true;
}

/* One step of the command stream; false: this is none. */
static bool out_step(struct redis *r, struct bytes *b, const struct stamp *at)
{
	struct bytes before = *b;
	size_t passed = 0;
	bool complete = false;

	if (r->out == OUT_START)
		return out_start(r, b, at);
	if (r->out == OUT_STRING) {
		if (!out_string(r, b, &passed))
			return false;
	} else {
		complete = line_take(&r->out_line, b);
	}
	r->command_bytes += before.n - b->n;
	pending_out_bytes(pending_get(&r->calls, r->current), before.n - b->n);
	if (passed)
		out_string_passed(r, passed, at);
	if (r->out_line.n > sizeof(r->out_line.text) &&
	    (r->out == OUT_COUNT || r->out == OUT_LENGTH))
		return false;
	if (!complete)
		return true;
	if (r->out == OUT_INLINE)
		inline_command(r, at);
	return r->out == OUT_COUNT ? out_count(r) : r->out == OUT_LENGTH ? out_length(r) : true;
}

static void feed_out(struct redis *r, struct bytes b, const struct stamp *at)
{
	/* commands of client libraries are arrays, and a write begins with one */
	if (!r->out_synced && (b.p[0] != '*' || (b.n > 1 && !isdigit((unsigned char)b.p[1]))))
		return;
	if (!r->out_synced) {
		r->out_synced = true;
		r->out = OUT_START;
	}
	while (b.n) {
		if (!out_step(r, &b, at)) {
			out_lost(r, PARTIAL_EVENTS_LOST, at);
			return;
		}
	}
}

/*
 * Replies
 */

/* Whether the reply being read may be a push: nobody's reply. */
static bool maybe_push(const struct redis *r)
{
	return r->top == '>' || (r->top == '*' && r->subscribed && !r->resp3);
}

static void reply_told(struct redis *r, const struct stamp *at)
{
	pending_in_bytes(&r->calls, r->reply_bytes, at);
	r->reply_bytes = 0;
}

/* A part of the replies is missing, or they make no sense. */
static void in_lost(struct redis *r, enum partial why, const struct stamp *at)
{
	r->in_synced = false;
	r->top = 0;
	r->depth = 0;
	r->reply_bytes = 0;
	pending_lose(&r->calls, why, at);
}

/* "WRONGTYPE Operation against ..." to "WRONGTYPE"; "" if that is no error code: a script can
 * return any text. */
static void error_code(const char *text, size_t n, char kind[LINE_MAX_KEPT])
{
	size_t i = 0;

	while (i < n && i < WORD_MAX && (isupper((unsigned char)text[i]) || text[i] == '_'))
		i++;
	if (i < n && text[i] != ' ')
		i = 0;
	memcpy(kind, text, i);
	kind[i] = '\0';
}

static bool head_is(const struct redis *r, const char *w)
{
	return bytes_equal((struct bytes){ r->head, r->nhead }, w);
}

/* subscribe, psubscribe, ssubscribe, unsubscribe, ... */
static bool is_confirmation(const struct redis *r)
{
	static const char word[] = "subscribe";
	size_t n = sizeof(word) - 1;

	return r->nhead >= n && r->nhead <= n + 3 && memcmp(r->head + r->nhead - n, word, n) == 0;
}

static void confirmed(struct redis *r, const struct stamp *at)
{
	struct pending_call *e = pending_oldest(&r->calls);

	if (r->last_number == 0)
		r->subscribed = false;
	if (!e || !e->sent || !(e->tag & (REDIS_SUB | REDIS_UNSUB)))
		return;
	reply_told(r, at);
	if (e->n > 1)
		e->n--;
	else
		pending_done(&r->calls, CALL_OK, "", at);
}

/* Whether the array just read in subscribed mode is one of its messages. */
static bool is_message(const struct redis *r)
{
	return head_is(r, "message") || head_is(r, "pmessage") || head_is(r, "smessage") ||
	       head_is(r, "invalidate");
}

/* Calls are over on this connection. */
static void stream_begins(struct redis *r, const struct stamp *at)
{
	out_lost(r, PARTIAL_NONE, at);
	pending_lose(&r->calls, PARTIAL_NONE, at);
	r->stream = true;
}

static void answered(struct redis *r, const struct stamp *at)
{
	struct pending_call *e = pending_oldest(&r->calls);
	uint32_t tag = e ? e->tag : 0;
	enum call_status status = CALL_OK;
	char kind[LINE_MAX_KEPT] = "";

	if (r->top == '-' || r->top == '!') {
		error_code(r->head, r->nhead, kind);
		/* the cluster sends the client elsewhere, it does as told */
		if (strcmp(kind, "MOVED") == 0 || strcmp(kind, "ASK") == 0)
			kind[0] = '\0';
		else
			status = CALL_ERROR;
	} else if (tag & REDIS_EXEC && r->nested_error[0]) {
		status = CALL_ERROR;
		error_code(r->nested_error, strlen(r->nested_error), kind);
	} else if (e && e->c && !e->c->op[0] && r->nested_error[0]) {
		status = CALL_UNKNOWN; /* the name was not seen: it may be EXEC */
	}
	if (status == CALL_OK && tag & REDIS_RESET)
		r->subscribed = r->resp3 = false;
	if (pending_done(&r->calls, status, kind, at)) {
		if (status == CALL_OK && tag & REDIS_STREAM)
			stream_begins(r, at);
		return;
	}
	/* nobody asked: earlier replies were paired wrongly, or this is not what we think */
	r->calls.rounds = 0;
	pending_doubt(&r->calls, PARTIAL_EVENTS_LOST);
}

static void reply_complete(struct redis *r, const struct stamp *at)
{
	if (maybe_push(r) && is_confirmation(r)) {
		confirmed(r, at);
	} else if (r->top != '>' && !(maybe_push(r) && is_message(r))) {
		reply_told(r, at);
		answered(r, at);
	}
	r->top = 0;
	r->reply_bytes = 0;
	r->in_proven = true;
}

/* A value is complete; with it perhaps the aggregates it is the last of. */
static void value_complete(struct redis *r, const struct stamp *at)
{
	while (r->depth) {
		struct level *l = &r->levels[r->depth - 1];

		if (--l->left)
			return;
		r->depth--;
		if (l->attribute)
			return;
	}
	reply_complete(r, at);
}

static bool aggregate(struct redis *r, char type, long long n, const struct stamp *at)
{
	bool attribute = type == '|';

	if (n > 0 && r->depth == DEPTH_MAX)
		return false;
	if (n > 0)
		r->levels[r->depth++] = (struct level){
			.left = (uint64_t)n * (type == '%' || attribute ? 2 : 1),
			.attribute = attribute,
		};
	else if (!attribute)
		value_complete(r, at);
	return true;
}

/* A simple value: all of it is in the line. */
static void simple(struct redis *r, char type, const struct stamp *at)
{
	struct bytes t = bytes_from(line_text(&r->in_line), 1);
	long long n;

	if (r->head_open && strchr("+-", type)) {
		memcpy(r->head, t.p, t.n);
		r->nhead = t.n;
	}
	if (type == '-' && r->depth && !r->nested_error[0])
		snprintf(r->nested_error, sizeof(r->nested_error), "%.*s", (int)t.n, t.p);
	if (type == ':' && header_number(&r->in_line, -COUNT_MAX, COUNT_MAX, &n))
		r->last_number = n;
	value_complete(r, at);
}

static bool in_line(struct redis *r, const struct stamp *at)
{
	char type = r->in_line.n ? r->in_line.text[0] : 0;
	long long n;

	if (type && strchr("+-:_#,(", type)) {
		simple(r, type, at);
		return true;
	}
	if (!type || !strchr("$!=*~%>|", type) ||
	    !header_number(&r->in_line, -1, strchr("$!=", type) ? BULK_MAX : COUNT_MAX, &n))
		return false;
	if (!strchr("$!=", type))
		return aggregate(r, type, n, at);
	if (n < 0) {
		value_complete(r, at);
		return true;
	}
	r->in_left = (uint64_t)n + 2;
	r->in = IN_STRING;
	return true;
}

/* The first byte of a value. */
static bool in_type(struct redis *r, char type)
{
	bool aggregates = type && strchr("*~%>|", type);

	if (!type || !strchr("+-:_#,($!=*~%>|", type) || (type == '>' && r->depth))
		return false;
	r->resp3 |= strchr("_#,(!=~%>|", type) != NULL;
	if (!r->depth && type != '|') {
		r->top = type;
		r->nhead = 0;
		r->head_seen = false;
		r->nested_error[0] = '\0';
		r->last_number = -1;
	}
	r->head_open = !r->head_seen &&
	               (r->depth == 0 || (r->depth == 1 && !r->levels[0].attribute)) &&
	               (r->depth || !aggregates);
	r->head_seen |= r->head_open;
	return true;
}

static void in_string_passed(struct redis *r, uint64_t n, const struct stamp *at)
{
	r->in_left -= n;
	if (r->in_left)
		return;
	r->in = IN_LINE;
	r->in_line.n = 0;
	value_complete(r, at);
}

static bool in_string(struct redis *r, struct bytes *b, const struct stamp *at)
{
	size_t n = b->n < r->in_left ? b->n : (size_t)r->in_left;
	uint64_t text = r->in_left > 2 ? r->in_left - 2 : 0;

	for (size_t i = 0; r->head_open && i < n && i < text && r->nhead < sizeof(r->head); i++)
		r->head[r->nhead++] = b->p[i];
	for (size_t i = text < n ? (size_t)text : n; i < n; i++)
		if (b->p[i] != (r->in_left - i == 2 ? '\r' : '\n'))
			return false;
	*b = bytes_from(*b, n);
	r->reply_bytes += n;
	in_string_passed(r, n, at);
	return true;
}

static bool in_step(struct redis *r, struct bytes *b, const struct stamp *at)
{
	struct bytes before = *b;
	bool complete;

	if (r->in == IN_STRING)
		return in_string(r, b, at);
	if (!r->in_line.n && !in_type(r, b->p[0]))
		return false;
	complete = line_take(&r->in_line, b);
	r->reply_bytes += before.n - b->n;
	if (!complete)
		return r->in_line.n <= sizeof(r->in_line.text) || strchr("+-(", r->in_line.text[0]);
	if (!in_line(r, at))
		return false;
	r->in_line.n = 0;
	return true;
}

static void feed_in(struct redis *r, struct bytes b, const struct stamp *at)
{
	if (!r->in_synced && !pending_count(&r->calls))
		return;
	if (!r->in_synced) {
		r->in_synced = true;
		r->in_proven = false;
		r->in = IN_LINE;
		r->in_line.n = 0;
	}
	while (b.n && !r->stream) {
		if (!in_step(r, &b, at)) {
			in_lost(r, PARTIAL_EVENTS_LOST, at);
			return;
		}
	}
	if (r->top && !maybe_push(r))
		reply_told(r, at);
}

/*
 * The protocol
 */

/* "*<digits>\r\n$<digit>": MAYBE while b is too short to tell. */
static enum proto_match command_starts(struct bytes b)
{
	size_t i = 1;

	if (!b.n || b.p[0] != '*')
		return b.n ? PROTO_NO : PROTO_MAYBE;
	while (i < b.n && isdigit((unsigned char)b.p[i]))
		i++;
	if (i > 11 || (i == 1 && b.n > 1))
		return PROTO_NO;
	for (const char *w = "\r\n$"; *w; w++, i++)
		if (i < b.n && b.p[i] != *w)
			return PROTO_NO;
	if (i >= b.n)
		return PROTO_MAYBE;
	return isdigit((unsigned char)b.p[i]) ? PROTO_YES : PROTO_NO;
}

/* Text lines only where they are expected: GET is a word of HTTP, too. */
static bool inline_starts(struct bytes b)
{
	static const char *const words[] = { "PING", "INFO", "HELLO",  "AUTH",
		                             "ECHO", "QUIT", "MONITOR" };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		size_t n = strlen(words[i]);

		if (b.n > n && strncasecmp(b.p, words[i], n) == 0 && strchr(" \r\n", b.p[n]) &&
		    b.p[n])
			return true;
	}
	return false;
}

/* A command anywhere behind a line's end: what a connection looks like from the middle. */
static bool command_inside(struct bytes b)
{
	const char *nl;

	for (; b.n && (nl = memchr(b.p, '\n', b.n)); b = bytes_from(b, (size_t)(nl - b.p) + 1))
		if (command_starts(bytes_from(b, (size_t)(nl - b.p) + 1)) == PROTO_YES)
			return true;
	return false;
}

static enum proto_match redis_detect(struct bytes out, struct bytes in,
                                     const struct proto_hint *hint)
{
	enum proto_match m = command_starts(out);
	bool usual = hint->port == 6379 || hint->port == 6380 ||
	             (hint->path && strstr(hint->path, "redis"));

	if (in.n && hint->from_start && (!in.p[0] || !strchr("+-:_#,($!=*~%>|", in.p[0])))
		return PROTO_NO;
	if (m != PROTO_NO || !usual)
		return m;
	if (inline_starts(out))
		return PROTO_YES;
	if (hint->from_start)
		return out.n > 8 || !isalpha((unsigned char)out.p[0]) ? PROTO_NO : PROTO_MAYBE;
	if (out.n > 1 && (out.p[0] == 0x16 || out.p[0] == 0x17) && out.p[1] == 3)
		return PROTO_NO; /* TLS */
	return command_inside(out) ? PROTO_YES : PROTO_MAYBE;
}

static void *redis_new(struct call_sink *sink, const struct proto_hint *hint)
{
	struct redis *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	pending_init(&r->calls, sink, "redis", ROUNDS_NEEDED, hint->from_start || hint->idle);
	r->out_synced = r->in_synced = r->in_proven = hint->from_start || hint->idle;
	return r;
}

static bool at_boundary(const struct redis *r)
{
	return r->in_synced && !r->top && !r->depth && r->in == IN_LINE && !r->in_line.n;
}

/* A client that goes on while we believe to be inside a reply, and never saw one end since
 * replies were lost: the place was wrong. Without this a length misread would keep a call open
 * for ever. */
static void turn(struct redis *r, int dir, const struct stamp *at)
{
	if (dir && r->calls.last_dir == 0 && r->in_synced && !r->in_proven && !at_boundary(r))
		in_lost(r, r->calls.doubt ? r->calls.doubt : PARTIAL_EVENTS_LOST, at);
	pending_turn(&r->calls, dir, at_boundary(r), at);
}

static void redis_feed(void *state, int dir, struct bytes b, const struct stamp *at)
{
	struct redis *r = state;

	if (r->stream || !b.n)
		return;
	turn(r, dir, at);
	if (dir)
		feed_out(r, b, at);
	else
		feed_in(r, b, at);
}

static void gap_out(struct redis *r, uint64_t n, enum partial why, const struct stamp *at)
{
	struct pending_call *e = pending_get(&r->calls, r->current);

	if (!r->out_synced || r->out != OUT_STRING || n > r->out_left) {
		out_lost(r, why, at);
		return;
	}
	/* words that tell what the command is matter, the rest is none of our business */
	if (r->nword < r->arg_len && r->nword < WORD_MAX &&
	    (r->arg == 0 || (r->arg == 1 && r->flags & REDIS_WORDS) ||
	     r->flags & (REDIS_MAY_BLOCK | REDIS_REPLY))) {
		r->cut = why;
		call_cut(r);
	}
	r->command_bytes += n;
	pending_out_bytes(e, n);
	out_string_passed(r, n, at);
}

static void gap_in(struct redis *r, uint64_t n, enum partial why, const struct stamp *at)
{
	struct pending_call *e = pending_oldest(&r->calls);

	if (!r->in_synced || r->in != IN_STRING || n > r->in_left) {
		in_lost(r, why, at);
		return;
	}
	if (r->top == '!' && r->head_open) { /* the error's code may be in what is missing */
		if (e && e->c)
			call_partial(e->c, why);
		if (!memchr(r->head, ' ', r->nhead))
			r->nhead = 0;
	}
	r->head_open = false;
	r->reply_bytes += n;
	in_string_passed(r, n, at);
	if (r->top && !maybe_push(r))
		reply_told(r, at);
}

static void redis_gap(void *state, int dir, uint64_t n, enum partial why, const struct stamp *at)
{
	struct redis *r = state;

	if (r->stream || !n)
		return;
	turn(r, dir, at);
	if (dir)
		gap_out(r, n, why, at);
	else
		gap_in(r, n, why, at);
}

static void redis_done(void *state, enum done_why why, const struct stamp *at)
{
	struct redis *r = state;

	pending_end(&r->calls, why, at);
}

static void redis_free(void *state)
{
	struct redis *r = state;

	if (r)
		pending_free(&r->calls);
	free(r);
}

const struct proto proto_redis = {
	.name = "redis",
	.detect = redis_detect,
	.new = redis_new,
	.feed = redis_feed,
	.gap = redis_gap,
	.done = redis_done,
	.free = redis_free,
};
