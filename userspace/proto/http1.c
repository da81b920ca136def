/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HTTP/1.x (RFC 9110, 9112). libhttp_parser does the framing of each direction; this file pairs
 * requests with replies, fills the calls, hands the bodies of LLM exchanges to their reader, and
 * finds its feet again after a gap.
 *
 * Replies come in the order of the requests, so a queue pairs them. A direction whose framing is
 * lost waits: the client's side for a feed that begins with a request line while no reply is owed,
 * the server's side for a feed that begins with a status line while one is.
 */
#include <http_parser.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "event.h"
#include "llm/llm.h"
#include "proto/decode.h"
#include "proto/http1_line.h"
#include "proto/http_fields.h"
#include "proto/proto.h"

/* Requests that wait for their reply on one connection. Hardly any client pipelines; none goes
 * as far as this. */
#define PIPELINE_MAX 64
/* What is kept of a request target: the query, which may be of any length, is of no use to us. */
#define URL_MAX 2048
/* What is kept of a header value we read. All of them are words, numbers and host names. */
#define VALUE_MAX 256
#define NAME_MAX_LEN 32 /* longer than the longest header name we look for */
/* The longest gap walked through inside a body: no system call moves more than 2 GiB. A head
 * needs no limit of ours, none of it is stored; libhttp_parser gives up at HTTP_MAX_HEADER_SIZE
 * (80 KiB). */
#define SKIP_MAX (2ull << 30)
/* Decoded slices that wait for their record. One record cannot hold more than 5,500 slices (a
 * chunk of one byte takes six), and a few records may wait for the protocol to be recognised. */
#define BLOCKS_MAX 65536
#define BLOCK_BYTES_MAX DECODE_MAX

#define UNTIL_CLOSE UINT64_MAX

enum field_id {
	FIELD_HOST,
	FIELD_RETRY_COUNT,
	FIELD_ENCODING,
	FIELD_TYPE,
	FIELD_RETRY_AFTER,
	FIELD_RETRY_AFTER_MS,
	FIELDS,
	FIELD_UNWANTED
};

static const char *const field_names[FIELDS] = {
	[FIELD_HOST] = "host",
	[FIELD_RETRY_COUNT] = "x-stainless-retry-count",
	[FIELD_ENCODING] = "content-encoding",
	[FIELD_TYPE] = "content-type",
	[FIELD_RETRY_AFTER] = "retry-after",
	[FIELD_RETRY_AFTER_MS] = "retry-after-ms",
};

/* A request and the reply it waits for. */
struct exchange {
	struct call *call;          /* NULL: the sink had none to give, framing goes on */
	struct llm *llm;            /* reads the bodies; NULL: not an LLM exchange */
	struct http_fields *fields; /* reads an inbound request while it comes, else NULL */
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
	bool head_done;
	bool complete;
	bool interim;  /* reply: 1xx, the final one is still to come */
	bool switches; /* reply: what follows is no HTTP */
	enum coding coding;
	size_t nurl;
	size_t nname; /* > NAME_MAX_LEN: too long to be one of ours */
	bool holed;   /* part of the body was lost */
	bool in_value;
	enum field_id field; /* which the value read now belongs to */
	size_t nvalue[FIELDS];
	char url[URL_MAX];
	char name[NAME_MAX_LEN];
	char value[FIELDS][VALUE_MAX];
};

/* What an encoded slice decodes to, in a scrubbed recording. */
struct block {
	struct block *next;
	size_t n;
	char p[];
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
	struct decoder *decoder; /* of m's body; NULL while there is nothing to decode */
	bool skipping;           /* what is parsed is filler for a gap */
	bool blocks_given;       /* decoded blocks came: never inflate again */
	bool blocks_lost;        /* out of step with the slices: none is better than a wrong one */
	struct block *blocks, **blocks_end;
	size_t nblocks, block_bytes;
};

struct http1 {
	struct call_sink *sink;
	struct side side[2];                 /* by enum event_dir */
	struct exchange queue[PIPELINE_MAX]; /* ring, oldest at first */
	unsigned int first, n;
	struct exchange *sending; /* the newest while its request goes out, else NULL */
	bool full;                /* one request too many was met */
	const struct stamp *at;   /* of the operation being looked at */
};

/* ---- exchanges ---- */

static struct exchange *oldest(struct http1 *h)
{
	return h->n ? &h->queue[h->first] : NULL;
}

/* Whose body goes through s. */
static struct exchange *exchange_of(struct side *s)
{
	return s->dir == DIR_OUT ? s->h->sending : oldest(s->h);
}

static bool exchange_open(struct http1 *h, enum http_method method, const struct stamp *first)
{
	struct exchange *x = &h->queue[(h->first + h->n) % PIPELINE_MAX];
	uint64_t start_ns;
	struct call *c;

	if (h->n == PIPELINE_MAX) {
		h->full = true;
		return false;
	}
	c = h->sink->open(h->sink, first);
	*x = (struct exchange){ .call = c, .method = method };
	h->n++;
	h->sending = x;
	if (!c)
		return true;
	c->proto = proto_http1.name;
	/* who serves had been waiting in its read: a request to it begins when that returns */
	start_ns = c->inbound ? first->end_ns : first->start_ns;
	if (!c->start_ns)
		c->start_ns = start_ns;
	c->request_ns = start_ns;
	c->pid = first->pid;
	c->tid = first->tid;
	c->task = first->task;
	if (c->inbound)
		x->fields = http_fields_new();
	return true;
}

/* The request is as complete as it will get. */
static void reader_request_end(struct exchange *x, bool cut)
{
	if (x->fields)
		x->call->fields = http_fields_end(x->fields, cut);
	http_fields_free(x->fields);
	x->fields = NULL;
	if (!x->llm || llm_request_end(x->llm))
		return;
	llm_free(x->llm);
	x->llm = NULL;
}

/* The outcome as far as the peer told it; a refusal counts even when the rest of the reply is
 * missing. */
static void outcome(struct call *c, enum call_status status, const char *kind)
{
	int http = c->http_status;

	c->status = status;
	snprintf(c->error_kind, sizeof(c->error_kind), "%s", kind);
	if (http < 400)
		return;
	c->status = http == 429 ? CALL_RATE_LIMITED : CALL_ERROR;
	snprintf(c->error_kind, sizeof(c->error_kind), "http_%d", http);
}

/* Hands x's call to the sink; the caller takes x off the queue. */
static void exchange_end(struct http1 *h, struct exchange *x, enum call_status status,
                         const char *kind, bool complete)
{
	struct call *c = x->call;

	if (h->sending == x)
		h->sending = NULL;
	if (!c)
		return;
	outcome(c, status, kind);
	if (x->llm && !x->sent)
		llm_request_gap(x->llm, GAP_UNKNOWN);
	if (!x->sent)
		reader_request_end(x, true);
	if (x->llm)
		llm_response_end(x->llm, complete);
	llm_free(x->llm);
	/* clients hang up once the stream says it is complete, before the last chunk's zero */
	if (c->llm && c->llm->finished && (c->status == CALL_ABORTED || c->status == CALL_UNKNOWN))
		c->status = CALL_OK;
	if (c->status == CALL_OK)
		c->error_kind[0] = '\0';
	c->end_ns = h->at->end_ns;
	*x = (struct exchange){ 0 };
	h->sink->done(h->sink, c);
}

static void end_oldest(struct http1 *h, enum call_status status, const char *kind, bool complete)
{
	struct exchange *x = oldest(h);

	h->first = (h->first + 1) % PIPELINE_MAX;
	h->n--;
	exchange_end(h, x, status, kind, complete);
}

static void end_all(struct http1 *h, enum call_status status, const char *kind, enum partial why)
{
	while (h->n) {
		struct call *c = oldest(h)->call;

		if (c)
			call_partial(c, why);
		end_oldest(h, status, kind, false);
	}
}

/* ---- headers ---- */

static struct bytes field(const struct side *s, enum field_id id)
{
	struct bytes b = { s->m.value[id], s->m.nvalue[id] };

	while (b.n && (b.p[0] == ' ' || b.p[0] == '\t'))
		b = bytes_from(b, 1);
	while (b.n && (b.p[b.n - 1] == ' ' || b.p[b.n - 1] == '\t'))
		b.n--;
	return b;
}

/* A decimal number, digits with at most one point among them; -1 for anything else. */
static double number(struct bytes b)
{
	double v = 0, unit = 1;
	bool point = false, digits = false;

	if (b.n > 18) /* no more than a double holds exactly */
		return -1;
	for (size_t i = 0; i < b.n; i++) {
		if (b.p[i] == '.' && !point) {
			point = true;
			continue;
		}
		if (b.p[i] < '0' || b.p[i] > '9')
			return -1;
		digits = true;
		v = v * 10 + (b.p[i] - '0');
		unit *= point ? 10 : 1;
	}
	return digits ? v / unit : -1;
}

static double retry_after_s(const struct side *s)
{
	double ms = number(field(s, FIELD_RETRY_AFTER_MS));

	/* a date is left out: it is the server's clock, not ours */
	return ms >= 0 ? ms / 1000 : number(field(s, FIELD_RETRY_AFTER));
}

static int retry_count(const struct side *s)
{
	double n = number(field(s, FIELD_RETRY_COUNT));

	return n >= 0 && n <= 1e6 ? (int)n : -1;
}

/* Copies what can be shown; the result is NUL-terminated. */
static void copy_shown(char *to, size_t room, struct bytes b)
{
	size_t n = b.n < room ? b.n : room - 1;

	for (size_t i = 0; i < n; i++)
		to[i] = b.p[i] > ' ' && b.p[i] < 0x7f ? b.p[i] : '?';
	to[n] = '\0';
}

/* Splits the request target (RFC 9112, 3.2): a proxy's is absolute and its authority outranks
 * the Host header; CONNECT's is an authority alone. User and password stay behind. */
static void split_target(const struct side *s, enum http_method method, struct bytes *host,
                         struct bytes *path)
{
	struct bytes url = { s->m.url, s->m.nurl };
	size_t n = http1_scheme(url);

	*host = field(s, FIELD_HOST);
	*path = http1_until(url, "?#");
	if (method == HTTP_CONNECT || n) {
		const char *at;

		*host = http1_until(bytes_from(url, n), "/?#");
		*path = http1_until(bytes_from(url, n + host->n), "?#");
		at = memrchr(host->p, '@', host->n);
		if (at)
			*host = bytes_from(*host, (size_t)(at - host->p) + 1);
		if (!path->n && method != HTTP_CONNECT)
			*path = bytes_of("/");
	}
}

/* The head of a request is complete: name the call, and see whether an LLM reader wants the
 * body. */
static void request_named(struct side *s, struct exchange *x)
{
	struct bytes method = bytes_of(http_method_str(x->method)), host, path;
	struct call *c = x->call;
	char op[CALL_OP_MAX];
	int n;

	split_target(s, x->method, &host, &path);
	copy_shown(c->host, sizeof(c->host), host);
	copy_shown(op, sizeof(op), path);
	n = snprintf(c->op, sizeof(c->op), "%s", method.p);
	if (path.n)
		snprintf(c->op + n, sizeof(c->op) - (size_t)n, " %s", op);
	c->op_known = true;
	c->write = x->method != HTTP_GET && x->method != HTTP_HEAD && x->method != HTTP_OPTIONS;
	c->retry_count = retry_count(s);
	if (s->m.nurl < URL_MAX) /* of a cut path the end, which decides, is missing */
		x->llm = llm_new(c, method, path, bytes_of(c->host));
}

static bool is_interim(unsigned int status)
{
	return status / 100 == 1 && status != 101;
}

/* The status line is complete: this is the first byte the client waited for, unless it is a 1xx. */
static void reply_began(struct side *s)
{
	struct exchange *x = oldest(s->h);

	if (is_interim(s->parser.status_code) || !x || !x->call)
		return;
	x->call->http_status = (int)s->parser.status_code;
	if (x->call->first_byte_ns)
		return;
	x->call->first_byte_ns = s->m.first.end_ns;
	x->call->reply_tid = s->m.first.tid;
	x->call->reply_task = s->m.first.task;
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
	return !s->m.opened;
}

static int on_status(http_parser *p, const char *at, size_t n)
{
	(void)at;
	(void)n;
	reply_began(p->data);
	return 0;
}

static int on_header_field(http_parser *p, const char *at, size_t n)
{
	struct message *m = &((struct side *)p->data)->m;

	if (m->in_value)
		m->nname = 0;
	m->in_value = false;
	if (n > NAME_MAX_LEN - m->nname || m->nname > NAME_MAX_LEN) {
		m->nname = NAME_MAX_LEN + 1;
		return 0;
	}
	memcpy(m->name + m->nname, at, n);
	m->nname += n;
	return 0;
}

static enum field_id field_wanted(const struct message *m)
{
	for (int i = 0; i < FIELDS && !m->head_done; i++) /* trailers are none of ours */
		if (m->nname == strlen(field_names[i]) &&
		    strncasecmp(m->name, field_names[i], m->nname) == 0)
			return (enum field_id)i;
	return FIELD_UNWANTED;
}

static void value_append(struct message *m, const char *at, size_t n)
{
	size_t *have = &m->nvalue[m->field];

	if (n > VALUE_MAX - *have)
		n = VALUE_MAX - *have;
	memcpy(m->value[m->field] + *have, at, n);
	*have += n;
}

static int on_header_value(http_parser *p, const char *at, size_t n)
{
	struct side *s = p->data;
	struct message *m = &s->m;
	struct exchange *x = s->dir == DIR_OUT && !m->head_done ? s->h->sending : NULL;

	if (!m->in_value) {
		m->in_value = true;
		m->field = field_wanted(m);
		if (x && x->fields) /* a name that is too long is none */
			http_fields_header(x->fields,
			                   (struct bytes){ m->name,
			                                   m->nname % (NAME_MAX_LEN + 1) });
		/* repeated: codings add up, of anything else the first stays */
		if (m->field == FIELD_ENCODING && m->nvalue[m->field])
			value_append(m, ",", 1);
		else if (m->field != FIELD_UNWANTED && m->nvalue[m->field])
			m->field = FIELD_UNWANTED;
	}
	if (m->field != FIELD_UNWANTED)
		value_append(m, at, n);
	else if (x && x->fields)
		http_fields_value(x->fields, (struct bytes){ at, n });
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
	s->m.coding = decode_coding(field(s, FIELD_ENCODING));
}

/* What on_headers_complete tells the parser. */
enum { BODY_FOLLOWS = 0, NO_BODY = 1, NO_HTTP_FOLLOWS = 2 };

static int reply_head(struct side *s, struct exchange *x)
{
	unsigned int status = s->parser.status_code;

	if (is_interim(status)) {
		s->m.interim = true;
		return NO_BODY;
	}
	reply_began(s);
	if (x->call)
		x->call->retry_after_s = retry_after_s(s);
	if (status == 101 || (x->method == HTTP_CONNECT && status / 100 == 2)) {
		s->m.switches = true;
		return NO_HTTP_FOLLOWS;
	}
	if (x->llm)
		llm_response_head(x->llm, (int)status, field(s, FIELD_TYPE));
	if (x->method == HTTP_HEAD || status == 204 || status == 304)
		return NO_BODY;
	set_framing(s);
	return BODY_FOLLOWS;
}

static int on_headers_complete(http_parser *p)
{
	struct side *s = p->data;
	struct exchange *x = exchange_of(s);

	s->m.head_done = true;
	if (s->dir == DIR_IN)
		return reply_head(s, x);
	set_framing(s);
	if (x && x->call)
		request_named(s, x);
	return BODY_FOLLOWS;
}

static int on_chunk_header(http_parser *p)
{
	struct side *s = p->data;

	s->m.left = p->content_length;
	return 0;
}

/* Somebody reads the body that goes through s. */
static bool is_read(const struct side *s, const struct exchange *x)
{
	return x && (x->llm || (x->fields && s->dir == DIR_OUT));
}

static void reader_gap(struct side *s, struct exchange *x, uint64_t n)
{
	if (s->dir == DIR_OUT && x->fields)
		http_fields_gap(x->fields);
	if (!x->llm)
		return;
	if (s->dir == DIR_OUT)
		llm_request_gap(x->llm, n);
	else
		llm_response_gap(x->llm, n);
}

/* Part of the body is missing: of what is read for its turn alone that changes no time and no outcome. */
static void reader_partial(struct exchange *x, enum partial why)
{
	if (x->llm)
		call_partial(x->call, why);
}

static void reader_body(void *ctx, struct bytes b)
{
	struct side *s = ctx;
	struct exchange *x = exchange_of(s);

	if (s->dir == DIR_OUT && x->fields)
		http_fields_body(x->fields, b);
	if (!x->llm)
		return;
	if (s->dir == DIR_OUT)
		llm_request_body(x->llm, b);
	else
		llm_response_body(x->llm, b, s->h->at->end_ns);
}

/* The block for this slice, which the caller frees, or NULL: there is none. */
static struct block *block_take(struct side *s)
{
	struct block *k = s->blocks;

	if (!k)
		return NULL;
	s->blocks = k->next;
	if (!s->blocks)
		s->blocks_end = &s->blocks;
	s->nblocks--;
	s->block_bytes -= k->n;
	return k;
}

static void blocks_free(struct side *s)
{
	struct block *k;

	while ((k = block_take(s)))
		free(k);
}

/* Hands a slice of a body to its readers, decoded. */
static void reader_decode(struct side *s, struct exchange *x, struct bytes b)
{
	static const enum partial reasons[] = {
		[DECODE_OK] = PARTIAL_NONE,
		[DECODE_UNREADABLE] = PARTIAL_NO_PLAINTEXT,
		[DECODE_TOO_MUCH] = PARTIAL_TRUNCATED,
	};
	enum decode_result r = DECODE_UNREADABLE;

	if (!s->decoder)
		s->decoder = decoder_new(s->m.coding);
	if (s->decoder)
		r = decoder_feed(s->decoder, b, reader_body, s);
	if (r == DECODE_OK)
		return;
	reader_partial(x, reasons[r]);
	reader_gap(s, x, GAP_UNKNOWN);
}

/* The same from a scrubbed recording. */
static void reader_block(struct side *s, struct exchange *x, const struct block *k)
{
	if (k && !s->m.holed && s->m.coding != CODING_UNKNOWN) {
		reader_body(s, (struct bytes){ k->p, k->n });
		return;
	}
	reader_partial(x, PARTIAL_NO_PLAINTEXT);
	reader_gap(s, x, GAP_UNKNOWN);
}

/* n bytes of a body as it went over the wire were lost. */
static void reader_skip(struct side *s, struct exchange *x, uint64_t n, enum partial why)
{
	reader_partial(x, why);
	reader_gap(s, x, s->m.coding == CODING_IDENTITY ? n : GAP_UNKNOWN);
	if (!s->decoder)
		s->decoder = decoder_new(s->m.coding);
	if (s->decoder)
		decoder_gap(s->decoder);
}

static int on_body(http_parser *p, const char *at, size_t n)
{
	struct side *s = p->data;
	struct exchange *x = exchange_of(s);
	struct block *k = NULL;

	if (s->m.left != UNTIL_CLOSE)
		s->m.left -= n;
	if (s->skipping)
		return 0;
	if (s->m.coding != CODING_IDENTITY)
		k = block_take(s);
	if (is_read(s, x) && s->m.coding != CODING_IDENTITY && s->blocks_given)
		reader_block(s, x, k);
	else if (is_read(s, x))
		reader_decode(s, x, (struct bytes){ at, n });
	free(k);
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
	decoder_free(s->decoder);
	s->decoder = NULL;
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

static void request_complete(struct http1 *h)
{
	struct side *s = &h->side[DIR_OUT];
	struct exchange *x = h->sending;

	h->sending = NULL;
	side_reset(s);
	if (!x)
		return;
	x->sent = true;
	reader_request_end(x, false);
	/* whether HTTP follows a CONNECT is the reply's to say */
	if (x->method == HTTP_CONNECT)
		side_set(s, SIDE_LOST);
	if (!x->call)
		return;
	x->call->sent_ns = h->at->end_ns;
	h->sink->sent(h->sink, x->call);
}

static void reply_complete(struct http1 *h)
{
	struct side *s = &h->side[DIR_IN];
	bool interim = s->m.interim, switches = s->m.switches;

	side_reset(s);
	if (interim)
		return;
	end_oldest(h, CALL_OK, "", true);
	if (!switches)
		return;
	end_all(h, CALL_UNKNOWN, "", PARTIAL_NONE);
	switch_off(h);
}

static void count(struct side *s, size_t n)
{
	struct exchange *x = exchange_of(s);

	s->m.bytes += n;
	if (!x || !x->call)
		return;
	if (s->dir == DIR_OUT) {
		x->call->bytes_out = s->m.bytes;
		return;
	}
	x->call->bytes_in += n;
	if (x->call->first_byte_ns)
		x->call->last_byte_ns = s->h->at->end_ns;
}

/* The request that goes out can no longer be followed. With its head complete the next reply
 * owed is still certainly its own, so it waits for it, never to be called sent; else nothing is
 * known of it. */
static void request_lost(struct http1 *h, const char *kind, enum partial why)
{
	struct side *s = &h->side[DIR_OUT];
	struct exchange *x = h->sending;
	bool named = s->m.head_done;

	h->sending = NULL;
	side_set(s, h->full ? SIDE_OFF : SIDE_LOST);
	if (!x)
		return;
	if (x->call)
		call_partial(x->call, why);
	reader_gap(s, x, GAP_UNKNOWN);
	if (named)
		return;
	h->n--; /* the one being sent is the newest */
	exchange_end(h, x, CALL_UNKNOWN, kind, false);
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
}

/* Passes over as much of a gap of n bytes as certainly is body, and returns how much is not. */
static uint64_t side_skip(struct side *s, uint64_t n, enum partial why)
{
	static const char filler[16384];
	struct exchange *x = exchange_of(s);
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
	s->m.holed = true;
	if (is_read(s, x))
		reader_skip(s, x, skip, why);
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
		s->blocks_end = &s->blocks;
		side_set(s, hint->from_start ? SIDE_READS : SIDE_LOST);
	}
	return h;
}

static void http1_feed(void *state, int dir, struct bytes b, const struct stamp *at)
{
	struct http1 *h = state;
	struct side *s = &h->side[dir == DIR_OUT];
	bool resumes;

	h->at = at;
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
	if (s->state == SIDE_OFF || !n || !side_skip(s, n, why))
		return;
	if (s->dir == DIR_OUT)
		request_lost(h, "", why);
	else
		replies_lost(h, "", why);
}

static void http1_decoded(void *state, int dir, struct bytes b)
{
	struct http1 *h = state;
	struct side *s = &h->side[dir == DIR_OUT];
	struct block *k;

	s->blocks_given = true;
	if (s->blocks_lost || s->nblocks == BLOCKS_MAX || b.n > BLOCK_BYTES_MAX - s->block_bytes ||
	    !(k = malloc(sizeof(*k) + b.n))) {
		s->blocks_lost = true;
		blocks_free(s);
		return;
	}
	k->next = NULL;
	k->n = b.n;
	if (b.n)
		memcpy(k->p, b.p, b.n);
	*s->blocks_end = k;
	s->blocks_end = &k->next;
	s->nblocks++;
	s->block_bytes += b.n;
}

static void http1_done(void *state, enum done_why why, const struct stamp *at)
{
	static const struct {
		enum call_status status;
		const char *kind;
	} ends[] = {
		[DONE_PEER_CLOSED] = { CALL_ABORTED, "connection_closed" },
		[DONE_CLOSED] = { CALL_ABORTED, "client_closed" },
		[DONE_TIMED_OUT] = { CALL_TIMEOUT, "timeout" },
		[DONE_RESET] = { CALL_ABORTED, "connection_reset" },
		[DONE_DETACHED] = { CALL_UNKNOWN, "" },
		[DONE_SWITCHED] = { CALL_UNKNOWN, "" },
	};
	struct http1 *h = state;
	struct side *in = &h->side[DIR_IN];

	h->at = at;
	if (why == DONE_PEER_CLOSED && in->state == SIDE_READS && in->m.left == UNTIL_CLOSE &&
	    h->n) {
		http_parser_execute(&in->parser, &settings, "", 0);
		if (in->m.complete)
			reply_complete(h);
	}
	end_all(h, ends[why].status, ends[why].kind, PARTIAL_NONE);
	switch_off(h);
}

static void http1_free(void *state)
{
	struct http1 *h = state;

	if (!h)
		return;
	for (int dir = DIR_IN; dir <= DIR_OUT; dir++) {
		decoder_free(h->side[dir].decoder);
		blocks_free(&h->side[dir]);
	}
	free(h);
}

const struct proto proto_http1 = {
	.name = "http",
	.detect = http1_detect,
	.new = http1_new,
	.feed = http1_feed,
	.gap = http1_gap,
	.decoded = http1_decoded,
	.done = http1_done,
	.free = http1_free,
};
