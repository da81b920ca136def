/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Redis and its kin, RESP2 and RESP3
 * (https://redis.io/docs/latest/develop/reference/protocol-spec/): one call a command. Replies
 * carry no ids, they are paired in order; pending.h tells what happens when the order is in
 * doubt. Of a command only the first words are read, and only a name that looks like one is
 * kept; strings are skipped, not stored.
 */
#include "proto/redis_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "proto/redis_command.h"

/* Exchanges in step that show a client to be one that waits for each reply, see pending.h. A
 * client that shares the connection between tasks would have shown itself in so many. */
#define ROUNDS_NEEDED 4

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
void redis_out_lost(struct redis *r, enum partial why, const struct stamp *at)
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
	struct bytes t = redis_line_text(&r->out_line);
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
	if (!redis_line_number(&r->out_line, -1, COUNT_MAX, &n))
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

	if (r->out_line.text[0] != '$' || !redis_line_number(&r->out_line, 0, BULK_MAX, &n))
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
		complete = redis_line_take(&r->out_line, b);
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
			redis_out_lost(r, PARTIAL_EVENTS_LOST, at);
			return;
		}
	}
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
		redis_in_lost(r, r->calls.doubt ? r->calls.doubt : PARTIAL_EVENTS_LOST, at);
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
		redis_in_feed(r, b, at);
}

static void gap_out(struct redis *r, uint64_t n, enum partial why, const struct stamp *at)
{
	struct pending_call *e = pending_get(&r->calls, r->current);

	if (!r->out_synced || r->out != OUT_STRING || n > r->out_left) {
		redis_out_lost(r, why, at);
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

static void redis_gap(void *state, int dir, uint64_t n, enum partial why, const struct stamp *at)
{
	struct redis *r = state;

	if (r->stream || !n)
		return;
	turn(r, dir, at);
	if (dir)
		gap_out(r, n, why, at);
	else
		redis_in_gap(r, n, why, at);
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
