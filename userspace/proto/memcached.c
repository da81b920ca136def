/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memcached, classic text commands and meta commands
 * (https://github.com/memcached/memcached/blob/master/doc/protocol.txt): one call a command, replies in order
 * (pending.h). Commands that ask for no reply (noreply, the meta flag q) end when they are sent, status unknown; what
 * the server says of quiet ones all the same comes before the reply to the mn that follows them. Keys and values are
 * skipped, not stored. The binary protocol, deprecated since 1.6, is not read.
 */
#include "pending.h"

#include <ctype.h>
#include <stdlib.h>

/* A command or reply line that is kept. Longer are a get of many keys (its name comes first) and statistics. */
#define LINE_KEPT 512
/* The server's own limit of a line is 2048 bytes for all but get; what is longer by far is none. */
#define LINE_LONGEST (1u << 20)
/* Largest item believed: the server's limit is 1 GiB (-I). */
#define VALUE_MAX (1ull << 30)
#define WORDS_MAX 24
/* Exchanges in step that show a client to be one that waits for each reply, as in redis.c. */
#define ROUNDS_NEEDED 4

enum command_flag {
	READ = 1 << 0,
	BEAT = 1 << 1,
	LOGIN = 1 << 2,
	DATA = 1 << 3,    /* a block follows; the word `size` tells its length */
	META = 1 << 4,    /* flags are words of one letter and its argument */
	LINES = 1 << 5,   /* the reply is many lines up to END, RESET or OK */
	STREAM = 1 << 6,  /* from its reply on no calls */
	SILENT = 1 << 7,  /* no reply */
	QUIETED = 1 << 8, /* quiet commands went before: their replies come first */
	FAILED = 1 << 9,  /* one of those failed */
};

/* size: which word is the length of the block. */
static const struct {
	const char *name;
	uint32_t flags;
	unsigned size;
} commands[] = {
	{ "get", READ | LINES, 0 },
	{ "gets", READ | LINES, 0 },
	{ "gat", LINES, 0 },
	{ "gats", LINES, 0 },
	{ "set", DATA, 4 },
	{ "add", DATA, 4 },
	{ "replace", DATA, 4 },
	{ "append", DATA, 4 },
	{ "prepend", DATA, 4 },
	{ "cas", DATA, 4 },
	{ "delete", 0, 0 },
	{ "incr", 0, 0 },
	{ "decr", 0, 0 },
	{ "touch", 0, 0 },
	{ "mg", READ | META, 0 },
	{ "ms", DATA | META, 2 },
	{ "md", META, 0 },
	{ "ma", META, 0 },
	{ "me", READ | META, 0 },
	{ "mn", READ | BEAT, 0 },
	{ "version", READ | BEAT, 0 },
	{ "verbosity", READ | BEAT, 0 },
	{ "stats", READ | BEAT | LINES, 0 },
	{ "quit", READ | BEAT | SILENT, 0 },
	{ "flush_all", 0, 0 },
	{ "cache_memlimit", READ, 0 },
	{ "slabs", READ, 0 },
	{ "lru", READ, 0 },
	{ "lru_crawler", READ, 0 },
	{ "watch", READ | STREAM, 0 },
	{ "shutdown", SILENT, 0 },
};

struct line {
	char text[LINE_KEPT];
	size_t n; /* all of it */
};

struct memcached {
	struct pending calls;
	bool stream; /* watch: no calls any more */

	bool out_synced, out_proven;
	struct line out_line;
	struct stamp first;
	uint64_t out_left; /* of the block, its CR LF included */
	uint64_t current;  /* number in calls of the command being sent, 0 none */
	struct call *mute; /* the same for one that gets no reply */
	bool quiet;        /* commands with q were sent since the last reply that was asked for */

	bool in_synced, in_proven, ended;
	struct line in_line;
	uint64_t in_left, in_bytes;
};

static bool line_take(struct line *l, struct bytes *b)
{
	const char *end = memchr(b->p, '\n', b->n);
	size_t n = end ? (size_t)(end - b->p) : b->n, room = sizeof(l->text) - l->n;

	if (l->n < sizeof(l->text))
		memcpy(l->text + l->n, b->p, n < room ? n : room);
	l->n += n;
	*b = bytes_from(*b, n + (end != NULL));
	return end != NULL;
}

/* The words of what is kept of a line; the last may be cut. */
static unsigned line_words(const struct line *l, struct bytes words[WORDS_MAX])
{
	size_t n = l->n < sizeof(l->text) ? l->n : sizeof(l->text), i = 0;
	unsigned count = 0;

	if (n && l->text[n - 1] == '\r')
		n--;
	while (i < n && count < WORDS_MAX) {
		size_t from;

		while (i < n && l->text[i] == ' ')
			i++;
		for (from = i; i < n && l->text[i] != ' ';)
			i++;
		if (i > from)
			words[count++] = (struct bytes){ l->text + from, i - from };
	}
	return count;
}

static bool number(struct bytes b, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (!b.n || b.n > 19)
		return false;
	for (size_t i = 0; i < b.n; i++) {
		if (!isdigit((unsigned char)b.p[i]))
			return false;
		v = 10 * v + (uint64_t)(b.p[i] - '0');
	}
	*ret = v;
	return v <= max;
}

static size_t command_find(struct bytes name)
{
	size_t i = 0;

	while (i < sizeof(commands) / sizeof(*commands) && !bytes_equal(name, commands[i].name))
		i++;
	return i;
}

#define COMMANDS (sizeof(commands) / sizeof(*commands))

/*
 * Requests
 */

static void command_name(struct call *c, size_t i)
{
	uint32_t flags = i < COMMANDS ? commands[i].flags : 0;

	if (!c)
		return;
	if (i < COMMANDS)
		strcpy(c->op, commands[i].name);
	c->class = flags & BEAT ? CALL_HEARTBEAT : CALL_STORAGE;
	c->op_known = i < COMMANDS;
	c->write = i < COMMANDS && !(flags & READ);
	c->blocks = flags & STREAM;
}

/* Asks for no reply (of a meta command: for none unless something is to be told)? */
static bool is_mute(uint32_t flags, const struct bytes *words, unsigned n)
{
	if (flags & SILENT)
		return true;
	if (flags & READ && !(flags & META))
		return false;
	for (unsigned i = 2; flags & META && i < n; i++)
		if (bytes_equal(words[i], "q"))
			return true;
	return !(flags & META) && n > 1 && bytes_equal(words[n - 1], "noreply");
}

static void mute_end(struct memcached *m, const struct stamp *at)
{
	struct call *c = m->mute;

	m->mute = NULL;
	if (!c)
		return;
	c->sent_ns = at->end_ns;
	m->calls.sink->sent(m->calls.sink, c);
	c->end_ns = at->end_ns;
	m->calls.sink->done(m->calls.sink, c);
}

static void command_sent(struct memcached *m, const struct stamp *at)
{
	pending_sent(&m->calls, pending_get(&m->calls, m->current), at);
	mute_end(m, at);
	m->current = 0;
	m->out_line.n = 0;
}

static void command_open(struct memcached *m, size_t i, bool mute, uint64_t bytes)
{
	uint32_t flags = i < COMMANDS ? commands[i].flags : 0;
	struct pending_call *e;

	if (mute) {
		m->mute = m->calls.sink->open(m->calls.sink, &m->first);
		pending_begin_call(m->mute, "memcached", &m->first);
		if (m->mute)
			m->mute->bytes_out = bytes;
		command_name(m->mute, i);
		m->quiet |= flags & META;
		return;
	}
	m->current = pending_open(&m->calls, CALL_STORAGE, &m->first);
	e = pending_get(&m->calls, m->current);
	if (!e)
		return;
	e->tag = flags | (m->quiet ? QUIETED : 0);
	command_name(e->c, i);
	pending_out_bytes(e, bytes);
	/* mn closes what quiet commands began: it waits for them. Of any other command's reply nobody can tell whether it is
	 * one of theirs. */
	if (m->quiet && e->c && i < COMMANDS && flags & BEAT)
		e->c->class = CALL_STORAGE;
	else if (m->quiet)
		pending_doubt(&m->calls, PARTIAL_EVENTS_LOST);
	m->quiet = false;
}

/* Of the block behind a line, its CR LF included. One whose length is no number is refused by the server and has none;
 * where reading just began again it is none of a client's lines. False: nothing that can be believed. */
static bool block_length(const struct memcached *m, size_t i, const struct bytes *words, unsigned n,
                         uint64_t *ret)
{
	struct bytes word = n > commands[i].size ? words[commands[i].size]
	                                         : (struct bytes){ "", 0 };
	uint64_t size;

	*ret = 0;
	if (!word.n || !isdigit((unsigned char)word.p[0]))
		return m->out_proven;
	if (!number(word, VALUE_MAX, &size))
		return false;
	*ret = size + 2;
	return true;
}

/* The line of a command is complete; false: it is none. */
static bool command_line(struct memcached *m, const struct stamp *at)
{
	struct bytes words[WORDS_MAX];
	unsigned n = line_words(&m->out_line, words);
	size_t i = n ? command_find(words[0]) : COMMANDS;
	uint64_t block = 0;

	if (!n || (i == COMMANDS &&
	           m->out_line.text[m->out_line.n < LINE_KEPT ? m->out_line.n - 1 : 0] != '\r'))
		return false;
	if (i < COMMANDS && commands[i].flags & DATA && !block_length(m, i, words, n, &block))
		return false;
	command_open(m, i, i < COMMANDS && is_mute(commands[i].flags, words, n), m->out_line.n + 1);
	m->out_left = block;
	m->out_line.n = 0;
	if (!m->out_left)
		command_sent(m, at);
	return true;
}

static void out_lost(struct memcached *m, enum partial why, const struct stamp *at)
{
	struct pending_call *e = pending_get(&m->calls, m->current);

	if (e && e->c)
		call_partial(e->c, why);
	if (m->mute)
		call_partial(m->mute, why);
	command_sent(m, at);
	m->out_synced = m->quiet = false;
	m->out_left = 0;
	pending_doubt(&m->calls, why);
}

static void out_block(struct memcached *m, uint64_t n, const struct stamp *at)
{
	m->out_left -= n;
	pending_out_bytes(pending_get(&m->calls, m->current), n);
	if (m->mute)
		m->mute->bytes_out += n;
	if (!m->out_left)
		command_sent(m, at);
}

/* Whether b begins with a command's name and what follows one. */
static bool command_starts(struct bytes b)
{
	size_t n = 0;

	while (n < b.n && (islower((unsigned char)b.p[n]) || b.p[n] == '_'))
		n++;
	return n < b.n && (b.p[n] == ' ' || b.p[n] == '\r') &&
	       command_find((struct bytes){ b.p, n }) < COMMANDS;
}

static void feed_out(struct memcached *m, struct bytes b, const struct stamp *at)
{
	if (!m->out_synced && !command_starts(b))
		return;
	if (!m->out_synced) {
		m->out_synced = true;
		m->out_proven = false;
		m->out_line.n = 0;
	}
	while (b.n) {
		if (m->out_left) {
			size_t n = b.n < m->out_left ? b.n : (size_t)m->out_left;

			b = bytes_from(b, n);
			out_block(m, n, at);
			continue;
		}
		if (!m->out_line.n)
			m->first = *at;
		if (!line_take(&m->out_line, &b)) {
			if (m->out_line.n > LINE_LONGEST)
				out_lost(m, PARTIAL_EVENTS_LOST, at);
			break;
		}
		if (!command_line(m, at)) {
			out_lost(m, PARTIAL_EVENTS_LOST, at);
			return;
		}
	}
	m->out_proven |= !m->out_left && !m->out_line.n;
}

/*
 * Replies
 */

static void in_lost(struct memcached *m, enum partial why, const struct stamp *at)
{
	m->in_synced = m->ended = false;
	m->in_left = m->in_bytes = 0;
	m->in_line.n = 0;
	pending_lose(&m->calls, why, at);
}

static void told(struct memcached *m, const struct stamp *at)
{
	pending_in_bytes(&m->calls, m->in_bytes, at);
	m->in_bytes = 0;
}

/* ERROR, CLIENT_ERROR text, SERVER_ERROR text: the word, else NULL. */
static const char *error_of(struct bytes word)
{
	static const char *const errors[] = { "ERROR", "CLIENT_ERROR", "SERVER_ERROR" };

	for (size_t i = 0; i < 3; i++)
		if (bytes_equal(word, errors[i]))
			return errors[i];
	return NULL;
}

/* Of the oldest call, whose flags are given, this line is the last. */
static void answered(struct memcached *m, uint32_t flags, const char *error, const struct stamp *at)
{
	m->ended = m->in_proven = true;
	told(m, at);
	if (!pending_done(&m->calls, error ? CALL_ERROR : CALL_OK, error ? error : "", at)) {
		m->calls.rounds = 0;
		pending_doubt(&m->calls, PARTIAL_EVENTS_LOST);
		return;
	}
	if (flags & STREAM && !error) {
		out_lost(m, PARTIAL_NONE, at);
		pending_lose(&m->calls, PARTIAL_NONE, at);
		m->stream = true;
	}
}

/* What a value's line says of the block that follows; false: nothing that can be believed. */
static bool value_line(struct memcached *m, const struct bytes *words, unsigned n)
{
	bool meta = bytes_equal(words[0], "VA");
	uint64_t size;

	if (n <= (meta ? 1u : 3u) || !number(words[meta ? 1 : 3], VALUE_MAX, &size))
		return false;
	m->in_left = size + 2;
	return true;
}

static bool is_reply_word(struct bytes w)
{
	static const char *const list[] = {
		"VALUE",   "END",     "STORED", "NOT_STORED",   "EXISTS",       "NOT_FOUND",
		"DELETED", "TOUCHED", "OK",     "RESET",        "VERSION",      "STAT",
		"HD",      "VA",      "EN",     "NS",           "EX",           "NF",
		"MN",      "ME",      "ERROR",  "BUSY",         "BADCLASS",     "NOSPARE",
		"NOTFULL", "UNSAFE",  "SAME",   "CLIENT_ERROR", "SERVER_ERROR",
	};
	uint64_t v;

	for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++)
		if (bytes_equal(w, list[i]))
			return true;
	return number(w, UINT64_MAX, &v);
}

/* A whole line of the reply; false: no server says that. */
static bool reply_line(struct memcached *m, const struct stamp *at)
{
	struct bytes words[WORDS_MAX];
	unsigned n = line_words(&m->in_line, words);
	struct pending_call *e = pending_oldest(&m->calls);
	uint32_t flags = e ? e->tag : 0;
	const char *error;

	if (!n || (!is_reply_word(words[0]) && !(flags & LINES && !(flags & BEAT && n < 2))))
		return false;
	error = error_of(words[0]);
	if (bytes_equal(words[0], "VALUE") || bytes_equal(words[0], "VA")) {
		if (!value_line(m, words, n))
			return false;
		if (words[0].n == 5 || flags & QUIETED)
			return true;
		m->ended = false;
		return true; /* ends with its block */
	}
	if (flags & QUIETED && !bytes_equal(words[0], "MN")) {
		/* a quiet command's */
		if (e && error)
			e->tag |= FAILED;
		return true;
	}
	if (bytes_equal(words[0], "STAT"))
		return true;
	answered(m, flags, error ? error : flags & FAILED ? "quiet_command_failed" : NULL, at);
	return true;
}

/* The block of a VA is the end of a meta reply. */
static void value_ends(struct memcached *m, const struct stamp *at)
{
	struct pending_call *e = pending_oldest(&m->calls);

	if ((!e || e->tag & META) && !(e && e->tag & QUIETED))
		answered(m, e ? e->tag : 0, NULL, at);
}

static void in_block(struct memcached *m, uint64_t n, const struct stamp *at)
{
	m->in_left -= n;
	m->in_bytes += n;
	if (!m->in_left)
		value_ends(m, at);
}

static bool reply_starts(struct bytes b)
{
	size_t n = 0;

	/* a word, or the number an incr gives */
	while (n < b.n &&
	       (isupper((unsigned char)b.p[n]) || isdigit((unsigned char)b.p[n]) || b.p[n] == '_'))
		n++;
	return n < b.n && (b.p[n] == ' ' || b.p[n] == '\r') &&
	       is_reply_word((struct bytes){ b.p, n });
}

static void feed_in(struct memcached *m, struct bytes b, const struct stamp *at)
{
	if (!m->in_synced && !reply_starts(b))
		return;
	if (!m->in_synced) {
		m->in_synced = true;
		m->in_proven = false;
		m->in_line.n = 0;
		m->in_left = 0;
	}
	while (b.n && !m->stream) {
		struct bytes before = b;

		m->ended = false;
		if (m->in_left) {
			size_t n = b.n < m->in_left ? b.n : (size_t)m->in_left;

			b = bytes_from(b, n);
			in_block(m, n, at);
			continue;
		}
		if (!line_take(&m->in_line, &b)) {
			m->in_bytes += before.n;
			if (m->in_line.n > LINE_LONGEST)
				in_lost(m, PARTIAL_EVENTS_LOST, at);
			break;
		}
		m->in_bytes += before.n - b.n;
		if (!reply_line(m, at)) {
			in_lost(m, PARTIAL_EVENTS_LOST, at);
			return;
		}
		m->in_line.n = 0;
	}
	told(m, at);
}

/*
 * The protocol
 */

static enum proto_match memcached_detect(struct bytes out, struct bytes in,
                                         const struct proto_hint *hint)
{
	bool usual = hint->port == 11211 || (hint->path && strstr(hint->path, "memcache"));
	struct line line = { .n = 0 };
	struct bytes words[WORDS_MAX], rest = out;
	unsigned n;
	size_t i;

	if (!out.n)
		return in.n && hint->from_start    ? PROTO_NO
		       : usual || hint->from_start ? PROTO_MAYBE
		                                   : PROTO_NO;
	for (i = 0; i < out.n && (islower((unsigned char)out.p[i]) || out.p[i] == '_');)
		i++;
	if (i == out.n)
		return i < 15 ? PROTO_MAYBE : PROTO_NO;
	i = command_find((struct bytes){ out.p, i });
	if (i == COMMANDS)
		return usual && !hint->from_start ? PROTO_MAYBE : PROTO_NO;
	if (!line_take(&line, &rest))
		return out.n < LINE_KEPT ? PROTO_MAYBE : PROTO_NO;
	n = line_words(&line, words);
	if (line.n > LINE_KEPT || line.text[line.n - 1] != '\r')
		return line.n > LINE_KEPT ? PROTO_MAYBE : PROTO_NO;
	/* get x, stats and quit are words of other protocols, too: those are believed when the answer is one */
	if (commands[i].flags & DATA) {
		uint64_t size;

		return n > commands[i].size && number(words[commands[i].size], VALUE_MAX, &size)
		               ? PROTO_YES
		               : PROTO_NO;
	}
	if (usual)
		return PROTO_YES;
	return in.n < 16 && (!in.n || !memchr(in.p, '\r', in.n)) ? PROTO_MAYBE
	       : reply_starts(in)                                ? PROTO_YES
	                                                         : PROTO_NO;
}

static void *memcached_new(struct call_sink *sink, const struct proto_hint *hint)
{
	struct memcached *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	pending_init(&m->calls, sink, "memcached", ROUNDS_NEEDED, hint->from_start || hint->idle);
	m->calls.needs_boundary = true;
	m->out_synced = m->in_synced = hint->from_start;
	m->out_proven = m->in_proven = true;
	return m;
}

/* Who goes on while we believe the other to be inside something shows that the place was wrong, see postgres.c. */
static void turn(struct memcached *m, int dir, const struct stamp *at)
{
	enum partial why = m->calls.doubt ? m->calls.doubt : PARTIAL_EVENTS_LOST;

	if (dir && m->calls.last_dir == 0 && m->in_synced && !m->in_proven &&
	    (m->in_left || m->in_line.n))
		in_lost(m, why, at);
	if (!dir && m->calls.last_dir == 1 && m->out_synced && !m->out_proven &&
	    (m->out_left || m->out_line.n))
		out_lost(m, why, at);
	pending_turn(&m->calls, dir, m->ended && !m->in_left && !m->in_line.n, at);
}

static void memcached_feed(void *state, int dir, struct bytes b, const struct stamp *at)
{
	struct memcached *m = state;

	if (m->stream || !b.n)
		return;
	turn(m, dir, at);
	if (dir)
		feed_out(m, b, at);
	else
		feed_in(m, b, at);
}

/* A hole in a block's bytes changes nothing; its CR LF may be missing, too. */
static void memcached_gap(void *state, int dir, uint64_t n, enum partial why,
                          const struct stamp *at)
{
	struct memcached *m = state;

	if (m->stream || !n)
		return;
	turn(m, dir, at);
	m->ended &= dir;
	if (dir && m->out_synced && n <= m->out_left)
		out_block(m, n, at);
	else if (dir)
		out_lost(m, why, at);
	else if (m->in_synced && n <= m->in_left)
		in_block(m, n, at);
	else
		in_lost(m, why, at);
}

static void memcached_done(void *state, enum done_why why, const struct stamp *at)
{
	struct memcached *m = state;

	if (m->mute) {
		pending_end_status(m->mute, why);
		m->mute->end_ns = at->end_ns;
		m->calls.sink->done(m->calls.sink, m->mute);
		m->mute = NULL;
	}
	pending_end(&m->calls, why, at);
}

static void memcached_free(void *state)
{
	struct memcached *m = state;

	if (m)
		pending_free(&m->calls);
	free(m);
}

const struct proto proto_memcached = {
	.name = "memcached",
	.detect = memcached_detect,
	.new = memcached_new,
	.feed = memcached_feed,
	.gap = memcached_gap,
	.done = memcached_done,
	.free = memcached_free,
};
