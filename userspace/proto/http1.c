/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HTTP/1.x (RFC 9110, 9112). libhttp_parser does the framing of each direction; this file pairs
 * requests with replies (http_exchange.h makes calls of them) and finds its feet again after a gap.
 *
 * Replies come in the order of the requests, so a queue pairs them. A direction whose framing is
 * lost waits: the client's side for a feed that begins with a request line while no reply is owed,
 * the server's side for a feed that begins with a status line while one is.
 */
#include <http_parser.h>
#include <limits.h>
#include <stdlib.h>
#include <strings.h>

#include "event.h"
#include "proto/http1_line.h"
#include "proto/http2.h"
#include "proto/http2_frame.h"
#include "proto/http_body.h"
#include "proto/http_exchange.h"
#include "proto/websocket.h"

/* Requests that wait for their reply on one connection. Hardly any client pipelines; none goes
 * as far as this. */
#define PIPELINE_MAX 64
/* What is kept of a request target: the query, which may be of any length, is of no use to us. */
#define URL_MAX 2048
/* The longest gap walked through inside a body: no system call moves more than 2 GiB. A head
 * needs no limit of ours, none of it is stored; libhttp_parser gives up at HTTP_MAX_HEADER_SIZE
 * (80 KiB). */
#define SKIP_MAX (2ull << 30)

#define UNTIL_CLOSE UINT64_MAX

/* A request and the reply it waits for. */
struct waiting {
	struct http_exchange *x;
	enum http_method method;
	bool sent; /* the request is complete */
};

/* The message one direction is in. */
struct message {
	struct stamp first; /* of its first byte */
	uint64_t bytes;
	uint64_t left; /* body bytes certain to follow: of the message or of this chunk */
	bool chunked;
	bool opened; /* request: its exchange was made */
	bool complete;
	bool interim;  /* reply: 1xx, the final one is still to come */
	bool switches; /* reply: what follows is no HTTP/1 */
	bool upgrades; /* reply: but HTTP/2, and its first stream is the request */
	size_t nurl;
	char url[URL_MAX];
};

enum side_state {
	SIDE_READS,
	SIDE_LOST, /* framing lost: waits for the first line of a message */
	SIDE_OFF,  /* nothing more is read here: tunnel, other protocol, closed */
};

struct side {
	struct http1 *h;
	int dir;
	enum side_state state;
	http_parser parser;
	struct message m;
	struct http_head head;
	struct http_body body;
	struct http_blocks blocks;
	bool skipping; /* what is parsed is filler for a gap */
};

struct http1 {
	struct call_sink *sink;
	struct side side[2];                /* by enum event_dir */
	struct waiting queue[PIPELINE_MAX]; /* ring, oldest at first */
	unsigned int first, n;
	struct waiting *sending;    /* the newest while its request goes out, else NULL */
	bool full;                  /* one request too many was met */
	const struct proto *became; /* what the connection is now, NULL HTTP/1 */
	void *inner;                /* of that */
	const struct stamp *at;     /* of the operation being looked at */
};

/* ---- exchanges ---- */

static struct waiting *oldest(struct http1 *h)
{
	return h->n ? &h->queue[h->first] : NULL;
}

/* Whose body goes through s. */
static struct waiting *waiting_of(struct side *s)
{
	return s->dir == DIR_OUT ? s->h->sending : oldest(s->h);
}

static struct http_exchange *exchange_of(struct side *s)
{
	struct waiting *w = waiting_of(s);

	return w ? w->x : NULL;
}

static bool exchange_open(struct http1 *h, enum http_method method, const struct stamp *first)
{
	struct waiting *w = &h->queue[(h->first + h->n) % PIPELINE_MAX];
	struct http_exchange *x = NULL;

	if (h->n < PIPELINE_MAX)
		x = http_exchange_new(h->sink, proto_http1.name, first);
	if (!x) {
		h->full = true;
		return false;
	}
	*w = (struct waiting){ .x = x, .method = method };
	h->n++;
	h->sending = w;
	return true;
}

/* The caller takes w off the queue. */
static void waiting_end(struct http1 *h, struct waiting *w, enum call_status status,
                        const char *kind, bool complete)
{
	struct http_exchange *x = w->x;

	if (h->sending == w)
		h->sending = NULL;
	*w = (struct waiting){ 0 };
	http_exchange_end(x, status, kind, complete, h->at);
}

static void end_oldest(struct http1 *h, enum call_status status, const char *kind, bool complete)
{
	struct waiting *w = oldest(h);

	h->first = (h->first + 1) % PIPELINE_MAX;
	h->n--;
	waiting_end(h, w, status, kind, complete);
}

static void end_all(struct http1 *h, enum call_status status, const char *kind, enum partial why)
{
	while (h->n) {
		http_exchange_unseen(oldest(h)->x, why);
		end_oldest(h, status, kind, false);
	}
}

/* The status line is complete: this is the first byte the client waited for, unless it is a 1xx. */
static void reply_began(struct side *s)
{
	struct http_exchange *x = exchange_of(s);

	if (x)
		http_exchange_reply_began(x, s->parser.status_code, &s->m.first);
}

/* ---- libhttp_parser's callbacks ---- */

static int on_message_begin(http_parser *p)
{
	struct side *s = p->data;

	s->m.first = *s->h->at;
	return 0;
}

static int on_url(http_parser *p, const char *at, size_t n)
{
	struct side *s = p->data;
	size_t room = URL_MAX - s->m.nurl;

	if (n > room)
		n = room;
	memcpy(s->m.url + s->m.nurl, at, n);
	s->m.nurl += n;
	if (s->m.opened)
		return 0;
	/* the method was a known one: until here it could have been anything */
	s->m.opened = exchange_open(s->h, (enum http_method)p->method, &s->m.first);
	if (s->m.opened)
		http_exchange_head(s->h->sending->x, &s->head);
	return !s->m.opened;
}

static int on_status(http_parser *p, const char *at, size_t n)
{
	(void)at;
	(void)n;
	/* whether a 101 is the reply shows at the end of its head */
	if (p->status_code != 101)
		reply_began(p->data);
	return 0;
}

static int on_header_field(http_parser *p, const char *at, size_t n)
{
	http_head_name(&((struct side *)p->data)->head, (struct bytes){ at, n });
	return 0;
}

static int on_header_value(http_parser *p, const char *at, size_t n)
{
	http_head_value(&((struct side *)p->data)->head, (struct bytes){ at, n });
	return 0;
}

/* Body length, in the order of RFC 9112, 6.3. */
static void set_framing(struct side *s)
{
	const http_parser *p = &s->parser;
	bool reply = s->dir == DIR_IN;

	s->m.chunked = p->flags & F_CHUNKED;
	if (s->m.chunked)
		s->m.left = 0; /* on_chunk_header tells */
	else if (p->content_length != ULLONG_MAX && !p->uses_transfer_encoding)
		s->m.left = p->content_length;
	else
		s->m.left = reply ? UNTIL_CLOSE : 0;
	http_body_reset(&s->body, s->dir, &s->head);
}

/* What on_headers_complete tells the parser. */
enum { BODY_FOLLOWS = 0, NO_BODY = 1, NO_HTTP_FOLLOWS = 2 };

/* What a 101 makes of the connection. */
static bool upgrades_to(const struct side *s, const char *protocol)
{
	struct bytes upgrade = http_head_field(&s->head, FIELD_UPGRADE);

	return s->parser.status_code == 101 && upgrade.n == strlen(protocol) &&
	       strncasecmp(upgrade.p, protocol, upgrade.n) == 0;
}

/* The connection is p's now. False: out of memory, and nobody's. */
static bool become(struct http1 *h, const struct proto *p, bool from_start)
{
	struct proto_hint hint = { .from_start = from_start };

	h->inner = p->new (h->sink, &hint);
	h->became = h->inner ? p : NULL;
	return h->became;
}

static void socket_begin(struct side *s, const struct http_exchange *x)
{
	struct websocket_name name;

	http_exchange_socket(x, &name);
	if (become(s->h, &proto_websocket, true))
		websocket_name(s->h->inner, &name);
}

static int reply_head(struct side *s, struct waiting *w)
{
	unsigned int status = s->parser.status_code;

	if (http_exchange_interim(status)) {
		s->m.interim = true;
		return NO_BODY;
	}
	if (upgrades_to(s, "h2c")) {
		s->m.switches = s->m.upgrades = true;
		return NO_HTTP_FOLLOWS;
	}
	reply_began(s);
	http_exchange_reply(w->x, &s->head, status);
	if (status == 101 || (w->method == HTTP_CONNECT && status / 100 == 2)) {
		s->m.switches = true;
		if (upgrades_to(s, "websocket"))
			socket_begin(s, w->x);
		return NO_HTTP_FOLLOWS;
	}
	if (w->method == HTTP_HEAD || status == 204 || status == 304)
		return NO_BODY;
	set_framing(s);
	return BODY_FOLLOWS;
}

static int on_headers_complete(http_parser *p)
{
	struct side *s = p->data;
	struct waiting *w = waiting_of(s);

	s->head.ended = true;
	if (s->dir == DIR_IN)
		return reply_head(s, w);
	set_framing(s);
	if (w)
		http_exchange_request(w->x, &s->head, bytes_of(http_method_str(w->method)),
		                      (struct bytes){ s->m.url, s->m.nurl },
		                      (struct bytes){ NULL, 0 }, s->m.nurl == URL_MAX);
	return BODY_FOLLOWS;
}

static int on_chunk_header(http_parser *p)
{
	struct side *s = p->data;

	s->m.left = p->content_length;
	return 0;
}

static int on_body(http_parser *p, const char *at, size_t n)
{
	struct side *s = p->data;

	if (s->m.left != UNTIL_CLOSE)
		s->m.left -= n;
	if (!s->skipping)
		http_body_feed(&s->body, &s->blocks, exchange_of(s), (struct bytes){ at, n },
		               s->h->at);
	return 0;
}

/* Stops behind each message, so that bytes are counted for the right call. */
static int on_message_complete(http_parser *p)
{
	struct side *s = p->data;

	s->m.complete = true;
	http_parser_pause(p, 1);
	return 0;
}

static const http_parser_settings settings = {
	.on_message_begin = on_message_begin,
	.on_url = on_url,
	.on_status = on_status,
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
	.on_chunk_header = on_chunk_header,
};

/* ---- directions ---- */

static void side_reset(struct side *s)
{
	http_body_reset(&s->body, s->dir, NULL);
	http_head_reset(&s->head);
	s->m = (struct message){ 0 };
	http_parser_init(&s->parser, s->dir == DIR_OUT ? HTTP_REQUEST : HTTP_RESPONSE);
	s->parser.data = s;
	/* RFC 9112, 6.3: chunks outrank a length; and a client takes what we would refuse in a
	 * reply */
	s->parser.allow_chunked_length = 1;
	s->parser.lenient_http_headers = s->dir == DIR_IN;
}

static void side_set(struct side *s, enum side_state state)
{
	side_reset(s);
	s->state = state;
}

static void switch_off(struct http1 *h)
{
	side_set(&h->side[DIR_OUT], SIDE_OFF);
	side_set(&h->side[DIR_IN], SIDE_OFF);
}

/* The oldest request is the first stream of HTTP/2. */
static void upgrade(struct http1 *h)
{
	struct waiting *w = oldest(h);
	struct http_exchange *x = w->x;
	bool sent = h->sending != w;

	if (!sent)
		h->sending = NULL;
	h->first = (h->first + 1) % PIPELINE_MAX;
	h->n--;
	if (become(h, &proto_http2, true))
		http2_upgraded(h->inner, x, sent, &h->side[DIR_IN].blocks, h->at);
	else
		http_exchange_end(x, CALL_UNKNOWN, "", false, h->at);
}

static void request_complete(struct http1 *h)
{
	struct side *s = &h->side[DIR_OUT];
	struct waiting *w = h->sending;

	h->sending = NULL;
	side_reset(s);
	if (!w)
		return;
	/* whether HTTP follows a CONNECT is the reply's to say */
	if (w->method == HTTP_CONNECT)
		side_set(s, SIDE_LOST);
	http_exchange_sent(w->x, h->at);
}

static void reply_complete(struct http1 *h)
{
	struct side *s = &h->side[DIR_IN];
	bool interim = s->m.interim, switches = s->m.switches, upgrades = s->m.upgrades;

	side_reset(s);
	if (interim)
		return;
	if (upgrades)
		upgrade(h);
	else
		end_oldest(h, CALL_OK, "", true);
	if (!switches)
		return;
	end_all(h, CALL_UNKNOWN, "", PARTIAL_NONE);
	switch_off(h);
}

static void count(struct side *s, size_t n)
{
	struct http_exchange *x = exchange_of(s);

	s->m.bytes += n;
	if (x && s->dir == DIR_OUT)
		http_exchange_count_out(x, s->m.bytes);
	else if (x)
		http_exchange_count_in(x, n, s->h->at);
}

/* The request that goes out can no longer be followed. With its head complete the next reply
 * owed is still certainly its own, so it waits for it, never to be called sent; else nothing is
 * known of it. */
static void request_lost(struct http1 *h, const char *kind, enum partial why)
{
	struct side *s = &h->side[DIR_OUT];
	struct waiting *w = h->sending;
	bool named = s->head.ended;

	h->sending = NULL;
	side_set(s, h->full ? SIDE_OFF : SIDE_LOST);
	if (!w)
		return;
	http_exchange_unseen(w->x, why);
	http_exchange_request_cut(w->x);
	if (named)
		return;
	h->n--; /* the one being sent is the newest */
	waiting_end(h, w, CALL_UNKNOWN, kind, false);
}

/* The replies can no longer be told from each other. */
static void replies_lost(struct http1 *h, const char *kind, enum partial why)
{
	side_set(&h->side[DIR_IN], SIDE_LOST);
	end_all(h, CALL_UNKNOWN, kind, why);
}

static void side_parse(struct side *s, struct bytes b)
{
	struct http1 *h = s->h;

	while (b.n && s->state == SIDE_READS) {
		size_t n;

		if (s->dir == DIR_IN && !h->n) { /* nobody asked for this */
			side_set(s, SIDE_LOST);
			return;
		}
		n = http_parser_execute(&s->parser, &settings, b.p, b.n);
		count(s, n);
		b = bytes_from(b, n);
		if (s->m.complete && s->dir == DIR_OUT)
			request_complete(h);
		else if (s->m.complete)
			reply_complete(h);
		else if (HTTP_PARSER_ERRNO(&s->parser) == HPE_OK)
			return; /* all of b was taken */
		else if (s->dir == DIR_OUT)
			request_lost(h, "malformed", PARTIAL_NONE);
		else
			replies_lost(h, "malformed", PARTIAL_NONE);
	}
	if (h->became && b.n)
		h->became->feed(h->inner, s->dir, b, h->at);
}

/* Passes over as much of a gap of n bytes as certainly is body, and returns how much is not. */
static uint64_t side_skip(struct side *s, uint64_t n, enum partial why)
{
	static const char filler[16384];
	uint64_t skip = n < s->m.left ? n : s->m.left;

	if (s->state != SIDE_READS || !s->m.left)
		return n;
	if (s->m.left != UNTIL_CLOSE) {
		if (n == GAP_UNKNOWN || skip > SKIP_MAX || (s->m.chunked && n > s->m.left))
			return n;
		n -= skip;
	} else {
		n = 0;
	}
	http_body_gap(&s->body, exchange_of(s), skip, why);
	if (s->m.left == UNTIL_CLOSE) { /* to the parser all of it is the same */
		count(s, skip == GAP_UNKNOWN ? 0 : skip);
		return 0;
	}
	s->skipping = true;
	for (; skip; skip -= skip < sizeof(filler) ? skip : sizeof(filler))
		side_parse(s,
		           (struct bytes){ filler, skip < sizeof(filler) ? skip : sizeof(filler) });
	s->skipping = false;
	return n;
}

/* ---- recognition ---- */

static enum proto_match http1_detect(struct bytes out, struct bytes in,
                                     const struct proto_hint *hint)
{
	enum proto_match o = http1_first_line(out), i = http1_first_line(in);

	(void)hint;
	if (o == PROTO_YES || i == PROTO_YES)
		return PROTO_YES;
	if ((!out.n || o == PROTO_NO) && (!in.n || i == PROTO_NO) && out.n + in.n)
		return PROTO_NO;
	return PROTO_MAYBE;
}

/* ---- struct proto ---- */

static void *http1_new(struct call_sink *sink, const struct proto_hint *hint)
{
	struct http1 *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->sink = sink;
	for (int dir = DIR_IN; dir <= DIR_OUT; dir++) {
		struct side *s = &h->side[dir];

		s->h = h;
		s->dir = dir;
		http_blocks_init(&s->blocks);
		side_set(s, hint->from_start ? SIDE_READS : SIDE_LOST);
	}
	return h;
}

/* The client speaks HTTP/2 where a request could begin: the reply that allowed it was not seen. */
static bool preface_comes(const struct side *s, struct bytes b)
{
	return s->dir == DIR_OUT && bytes_start(b, HTTP2_PREFACE) &&
	       (s->state == SIDE_LOST || (s->state == SIDE_READS && !s->m.bytes));
}

static void http1_feed(void *state, int dir, struct bytes b, const struct stamp *at)
{
	struct http1 *h = state;
	struct side *s = &h->side[dir == DIR_OUT];
	bool resumes;

	h->at = at;
	if (!h->became && preface_comes(s, b) && become(h, &proto_http2, false)) {
		end_all(h, CALL_UNKNOWN, "", PARTIAL_NONE);
		switch_off(h);
	}
	if (h->became) {
		h->became->feed(h->inner, dir, b, at);
		return;
	}
	if (s->state == SIDE_LOST) {
		resumes = s->dir == DIR_OUT ? !h->n && http1_request_begins(b)
		                            : h->n && http1_status_line(b) != PROTO_NO;
		if (!resumes)
			return;
		side_set(s, SIDE_READS);
	}
	side_parse(s, b);
}

static void http1_gap(void *state, int dir, uint64_t n, enum partial why, const struct stamp *at)
{
	struct http1 *h = state;
	struct side *s = &h->side[dir == DIR_OUT];

	h->at = at;
	if (h->became)
		h->became->gap(h->inner, dir, n, why, at);
	if (s->state == SIDE_OFF || !n || !side_skip(s, n, why))
		return;
	if (s->dir == DIR_OUT)
		request_lost(h, "", why);
	else
		replies_lost(h, "", why);
}

static bool http1_shared(const void *state)
{
	const struct http1 *h = state;

	return h->became && h->became->shared && h->became->shared(h->inner);
}

static void http1_decoded(void *state, int dir, struct bytes b)
{
	struct http1 *h = state;

	if (h->became && h->became->decoded)
		h->became->decoded(h->inner, dir, b);
	else
		http_blocks_add(&h->side[dir == DIR_OUT].blocks, b);
}

static void http1_done(void *state, enum done_why why, const struct stamp *at)
{
	struct http1 *h = state;
	struct side *in = &h->side[DIR_IN];
	enum call_status status;
	const char *kind;

	h->at = at;
	if (why == DONE_PEER_CLOSED && in->state == SIDE_READS && in->m.left == UNTIL_CLOSE &&
	    h->n) {
		http_parser_execute(&in->parser, &settings, "", 0);
		if (in->m.complete)
			reply_complete(h);
	}
	status = http_exchange_ending(why, &kind);
	end_all(h, status, kind, PARTIAL_NONE);
	switch_off(h);
	if (h->became)
		h->became->done(h->inner, why, at);
}

static void http1_free(void *state)
{
	struct http1 *h = state;

	if (!h)
		return;
	for (int dir = DIR_IN; dir <= DIR_OUT; dir++) {
		http_body_reset(&h->side[dir].body, dir, NULL);
		http_blocks_free(&h->side[dir].blocks);
	}
	if (h->became)
		h->became->free(h->inner);
	free(h);
}

const struct proto proto_http1 = {
	.name = "http",
	.detect = http1_detect,
	.new = http1_new,
	.feed = http1_feed,
	.gap = http1_gap,
	.shared = http1_shared,
	.decoded = http1_decoded,
	.done = http1_done,
	.free = http1_free,
};
