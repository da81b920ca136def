/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Masks HTTP/1.x (RFC 9112). Framing, pairing and finding its feet again are those of proto/http1.c, step by step: what
 * that parser reads must be masked as what it is, and each slice of an encoded body it hands on must get its block.
 */
#include <ctype.h>
#include <http_parser.h>
#include <limits.h>
#include <stdlib.h>
#include <strings.h>

#include "llm/path.h"
#include "mask/body.h"
#include "mask/head.h"
#include "proto/decode.h"
#include "store/route.h"

#define URL_MAX 2048          /* as in http1.c */
#define PIPELINE_MAX 64       /* as in http1.c */
#define NAME_MAX_LEN 64       /* longer header names are none whose value is kept */
#define VALUE_MAX 256         /* as in http1.c: of Content-Type and Content-Encoding */
#define SKIP_MAX (2ull << 30) /* as in http1.c: the longest gap walked through */
#define UNTIL_CLOSE UINT64_MAX

enum side_state { SIDE_READS, SIDE_LOST, SIDE_OFF };
enum { FIELD_TYPE, FIELD_CODING, FIELD_UPGRADE, FIELDS };

struct message {
	struct mask_target url;
	char target[URL_MAX];
	size_t ntarget;
	char name[NAME_MAX_LEN];
	size_t nname;
	bool in_value, keep;
	bool signature;    /* the value is an Authorization's */
	size_t nsignature; /* ... of which so many bytes were like AWS4's */
	int field;         /* of FIELDS: which the value is appended to, -1 none */
	char value[FIELDS][VALUE_MAX];
	size_t nvalue[FIELDS];
	uint64_t left;
	bool chunked, opened, head_done, complete, interim, switches, extension;
	enum coding coding;
	bool body_begun;
	struct mask_body body;
};

struct side {
	struct http *h;
	int dir; /* 1 = requests */
	enum side_state state;
	http_parser parser;
	struct message m;
	struct mask_word *word;
	struct decoder *decoder;
	bool skipping;
	char *cursor;  /* all before it was masked or is to stay */
	char *decoded; /* of the slice at hand */
	size_t ndecoded, room;
};

struct http {
	struct mask_owner *o;
	struct side side[2];
	uint8_t methods[PIPELINE_MAX]; /* of requests whose replies are owed, a ring */
	unsigned first, n;
	bool llm[PIPELINE_MAX];       /* and whether an LLM API is asked */
	unsigned rules[PIPELINE_MAX]; /* else how a store would tell errors, 0 no store's path */
	bool sending;                 /* the newest is on its way */
	const struct masker *became;  /* what the connection is now, NULL HTTP/1 */
	void *inner;                  /* of that */
};

/* ---- what callbacks do not show ---- */

/* Between what the parser reports lie method, version, separators and chunk sizes. Only a chunk's extension could hold
 * anything of the target's. */
static void frame(struct side *s, char *to)
{
	for (char *p = s->cursor; p < to; p++) {
		if (!s->m.chunked)
			break;
		if (*p == '\n')
			s->m.extension = false;
		else if (*p == ';')
			s->m.extension = true;
		else if (s->m.extension && *p != '\r')
			*p = 'x';
	}
	s->cursor = to;
}

/* The parser reports its input as const; it is ours. */
static char *reported(struct side *s, const char *at, size_t n)
{
	char *p = s->cursor + (at - s->cursor);

	frame(s, p);
	s->cursor = p + n;
	return p;
}

/* ---- libhttp_parser's callbacks ---- */

static size_t strcspn_bytes(const char *p, size_t n, const char *stops)
{
	size_t i = 0;

	while (i < n && !strchr(stops, p[i]))
		i++;
	return i;
}

static int on_url(http_parser *parser, const char *at, size_t n)
{
	struct side *s = parser->data;
	struct http *h = s->h;
	char *p = reported(s, at, n);

	if (!s->m.opened && h->n == PIPELINE_MAX) {
		memset(p, 0, n);
		return 1;
	}
	if (!s->m.opened) {
		h->methods[(h->first + h->n++) % PIPELINE_MAX] = (uint8_t)parser->method;
		h->sending = s->m.opened = true;
		mask_target_start(&s->m.url, h->o->key, s->word, parser->method == HTTP_CONNECT);
	}
	for (size_t i = 0; i < n; i++) {
		if (s->m.ntarget < URL_MAX)
			s->m.target[s->m.ntarget++] = p[i];
		mask_target_byte(&s->m.url, p + i);
	}
	return 0;
}

static int on_status(http_parser *parser, const char *at, size_t n)
{
	struct side *s = parser->data;
	char *p = reported(s, at, n);

	for (size_t i = 0; i < n; i++)
		if (isalnum((uint8_t)p[i]) || (uint8_t)p[i] >= 0x80)
			p[i] = 'x';
	return 0;
}

static void target_end(struct side *s)
{
	if (s->dir == 1 && s->m.opened)
		mask_target_end(&s->m.url);
}

static int on_header_field(http_parser *parser, const char *at, size_t n)
{
	struct side *s = parser->data;
	struct message *m = &s->m;

	reported(s, at, n);
	target_end(s);
	if (m->in_value)
		m->nname = 0;
	m->in_value = false;
	for (size_t i = 0; i < n && m->nname <= NAME_MAX_LEN; i++, m->nname++)
		if (m->nname < NAME_MAX_LEN)
			m->name[m->nname] = (char)tolower((uint8_t)at[i]);
	return 0;
}

static void value_begin(struct side *s)
{
	static const char *const fields[FIELDS] = { "content-type", "content-encoding", "upgrade" };
	struct message *m = &s->m;
	struct bytes name = { m->name, m->nname <= NAME_MAX_LEN ? m->nname : 0 };

	m->in_value = true;
	m->keep = !m->head_done && mask_header_kept(name); /* none of a trailer */
	m->field = -1;
	for (int i = 0; i < FIELDS && m->keep; i++)
		if (bytes_equal(name, fields[i]))
			m->field = i;
	/* repeated: codings add up, of anything else the first stays */
	if (m->field == FIELD_CODING && m->nvalue[FIELD_CODING] &&
	    m->nvalue[FIELD_CODING] < VALUE_MAX)
		m->value[FIELD_CODING][m->nvalue[FIELD_CODING]++] = ',';
	else if (m->field >= 0 && m->nvalue[m->field])
		m->field = -1;
	m->signature = !m->head_done && bytes_equal(name, "authorization");
	m->nsignature = 0;
	if (!m->keep)
		word_start(s->word, s->h->o->key, WORD_MASK);
}

static int on_header_value(http_parser *parser, const char *at, size_t n)
{
	struct side *s = parser->data;
	struct message *m = &s->m;
	char *p = reported(s, at, n);

	if (!m->in_value)
		value_begin(s);
	for (size_t i = 0; i < n; i++) {
		if (m->field >= 0 && m->nvalue[m->field] < VALUE_MAX)
			m->value[m->field][m->nvalue[m->field]++] = (char)tolower((uint8_t)p[i]);
		if (!m->keep && !(m->signature && mask_signature_kept(&m->nsignature, p[i])) &&
		    !isspace((uint8_t)p[i]))
			word_byte(s->word, p + i);
	}
	return 0;
}

static struct bytes field(const struct message *m, int f)
{
	return (struct bytes){ m->value[f], m->nvalue[f] };
}

static void set_framing(struct side *s)
{
	const http_parser *p = &s->parser;

	s->m.chunked = p->flags & F_CHUNKED;
	if (s->m.chunked)
		s->m.left = 0;
	else if (p->content_length != ULLONG_MAX && !p->uses_transfer_encoding)
		s->m.left = p->content_length;
	else
		s->m.left = s->dir == 0 ? UNTIL_CLOSE : 0;
	s->m.coding = decode_coding(field(&s->m, FIELD_CODING));
}

enum { BODY_FOLLOWS = 0, NO_BODY = 1, NO_HTTP_FOLLOWS = 2 };

/* The connection is another protocol's from this reply on: one we know? */
static void switches(struct side *s)
{
	struct http *h = s->h;
	struct bytes to = field(&s->m, FIELD_UPGRADE);

	if (bytes_equal(to, "websocket"))
		h->became = &masker_websocket;
	else if (bytes_equal(to, "h2c"))
		h->became = &masker_http2;
	else
		return;
	h->inner = h->became->new (h->o, h->side[0].word, true);
	if (!h->inner)
		h->became = NULL;
	else if (h->became == &masker_http2)
		mask_http2_upgraded(h->inner, h->llm[h->first]);
}

static int reply_head(struct side *s)
{
	unsigned status = s->parser.status_code;
	unsigned method = s->h->methods[s->h->first];

	if (status / 100 == 1 && status != 101) {
		s->m.interim = true;
		return NO_BODY;
	}
	if (status == 101 || (method == HTTP_CONNECT && status / 100 == 2)) {
		s->m.switches = true;
		if (status == 101)
			switches(s);
		return NO_HTTP_FOLLOWS;
	}
	if (method == HTTP_HEAD || status == 204 || status == 304)
		return NO_BODY;
	set_framing(s);
	return BODY_FOLLOWS;
}

static unsigned newest(const struct http *h)
{
	return (h->first + h->n - 1) % PIPELINE_MAX;
}

/* Is the request that goes out one to an LLM? By its path, as llm.c decides; the host only names the provider. */
static bool asks_llm(const struct side *s)
{
	struct bytes method = bytes_of(http_method_str((enum http_method)s->parser.method));
	struct bytes path = { s->m.target, strcspn_bytes(s->m.target, s->m.ntarget, "?#") };
	struct llm_path p;

	for (size_t i = 0; i + 2 < path.n && path.p[0] != '/'; i++) {
		if (memcmp(path.p + i, "://", 3) == 0) {
			path = bytes_from(path, i + 3);
			path = bytes_from(path, strcspn_bytes(path.p, path.n, "/"));
		}
	}
	llm_path_read(&p, method, path, bytes_of(""));
	/* a path that tells nothing: others have secrets in their bodies there */
	if (p.vague && bytes_equal(path, "/"))
		return false;
	return s->m.ntarget < URL_MAX && p.kind != LLM_NONE;
}

static unsigned rules_of(const struct side *s)
{
	struct bytes method = bytes_of(http_method_str((enum http_method)s->parser.method));
	struct bytes target = { s->m.target, strcspn_bytes(s->m.target, s->m.ntarget, "#") };

	return target.n && target.p[0] == '/' ? route_rules(method, target) : 0;
}

static int on_headers_complete(http_parser *parser)
{
	struct side *s = parser->data;

	target_end(s);
	s->m.head_done = true;
	if (s->dir == 0)
		return reply_head(s);
	if (s->h->sending) {
		s->h->llm[newest(s->h)] = asks_llm(s);
		s->h->rules[newest(s->h)] = s->h->llm[newest(s->h)] ? 0 : rules_of(s);
	}
	set_framing(s);
	return BODY_FOLLOWS;
}

static int on_chunk_header(http_parser *parser)
{
	struct side *s = parser->data;

	s->m.left = parser->content_length;
	return 0;
}

/* ---- bodies ---- */

static void body_feed(struct side *s, char *p, size_t n)
{
	struct message *m = &s->m;
	struct http *h = s->h;

	/* keep-alive blank lines and a byte order mark may come before the document */
	while (n && !m->body_begun && *p && strchr(" \t\r\n\xef\xbb\xbf", *p))
		p++, n--;
	if (n && !m->body_begun) {
		bool foreign = !h->n || !h->llm[s->dir == 1 ? newest(h) : h->first];

		mask_body_start(&m->body, h->o->key, s->word, field(m, FIELD_TYPE), *p, foreign,
		                s->dir == 0 && h->n ? h->rules[h->first] : 0);
		m->body_begun = true;
	}
	if (n)
		mask_body_feed(&m->body, p, n);
}

static void collect(void *ctx, struct bytes b)
{
	struct side *s = ctx;

	if (s->room - s->ndecoded < b.n) {
		size_t room = 2 * (s->ndecoded + b.n);
		char *p = realloc(s->decoded, room);

		if (!p)
			return;
		s->decoded = p;
		s->room = room;
	}
	memcpy(s->decoded + s->ndecoded, b.p, b.n);
	s->ndecoded += b.n;
}

static void block_feed(struct side *s, struct bytes b, bool more)
{
	char *kept = s->h->o->block(s->h->o, s->dir, b, more);

	if (kept)
		body_feed(s, kept, b.n);
}

/* What the slice decodes to, in as many blocks as it takes: one, as a rule. */
static void slice_block(struct side *s)
{
	struct bytes b = { s->decoded, s->ndecoded };

	while (b.n > MASK_BLOCK_MAX) {
		block_feed(s, (struct bytes){ b.p, MASK_BLOCK_MAX }, true);
		b = bytes_from(b, MASK_BLOCK_MAX);
	}
	block_feed(s, b, false);
	s->ndecoded = 0;
}

/* Encoded bytes decoded at a time, and the most they become as gzip and deflate: RFC 1951 has no code for more than 258 bytes
 * in less than two bits. br and zstd may swell them beyond a block: the slice has several then. */
#define STEP 16
#define STEP_MAX (STEP * 4 * 258 + 4096)

/* Decodes the slice, and cuts it where it becomes more than a block holds. */
static void slice_decode(struct side *s, char *p, size_t n)
{
	struct mask_owner *o = s->h->o;
	bool good = true;

	if (!s->decoder)
		s->decoder = decoder_new(s->m.coding);
	s->ndecoded = 0;
	for (size_t i = 0; i < n && good; i += STEP) {
		struct bytes b = { p + i, n - i < STEP ? n - i : STEP };

		if (s->ndecoded > MASK_BLOCK_MAX - STEP_MAX) {
			slice_block(s);
			o->cut(o, p + i);
		}
		good = s->decoder && decoder_feed(s->decoder, b, collect, s) == DECODE_OK;
	}
	if (good || s->ndecoded)
		slice_block(s);
}

static void slice_mask(struct side *s, char *p, size_t n)
{
	struct mask_owner *o = s->h->o;
	struct bytes b;
	int recorded = o->recorded(o, s->dir, &b);

	for (; recorded == 2; recorded = o->recorded(o, s->dir, &b))
		block_feed(s, b, true);
	if (recorded > 0)
		block_feed(s, b, false);
	else if (recorded < 0)
		slice_decode(s, p, n);
	memset(p, 0, n);
}

static int on_body(http_parser *parser, const char *at, size_t n)
{
	struct side *s = parser->data;
	char *p;

	if (s->m.left != UNTIL_CLOSE)
		s->m.left -= n;
	if (s->skipping)
		return 0;
	p = reported(s, at, n);
	if (s->m.coding == CODING_IDENTITY)
		body_feed(s, p, n);
	else
		slice_mask(s, p, n);
	return 0;
}

static int on_message_complete(http_parser *parser)
{
	struct side *s = parser->data;

	s->m.complete = true;
	http_parser_pause(parser, 1);
	return 0;
}

static const http_parser_settings settings = {
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

static void side_set(struct side *s, enum side_state state)
{
	if (s->m.body_begun)
		mask_body_end(&s->m.body, s->m.complete);
	word_end(s->word, false);
	decoder_free(s->decoder);
	s->decoder = NULL;
	s->m = (struct message){ .field = -1 };
	http_parser_init(&s->parser, s->dir ? HTTP_REQUEST : HTTP_RESPONSE);
	s->parser.data = s;
	s->parser.allow_chunked_length = 1;
	s->parser.lenient_http_headers = s->dir == 0;
	s->state = state;
}

static void request_complete(struct http *h)
{
	struct side *s = &h->side[1];
	bool connect = s->parser.method == HTTP_CONNECT;

	h->sending = false;
	/* whether HTTP follows a CONNECT is the reply's to say */
	side_set(s, connect ? SIDE_LOST : SIDE_READS);
}

static void reply_complete(struct http *h)
{
	struct side *s = &h->side[0];
	bool interim = s->m.interim, switches = s->m.switches;

	side_set(s, SIDE_READS);
	if (interim)
		return;
	h->first = (h->first + 1) % PIPELINE_MAX;
	h->n--;
	if (!h->n)
		h->sending = false;
	if (!switches)
		return;
	h->n = 0;
	side_set(&h->side[0], SIDE_OFF);
	side_set(&h->side[1], SIDE_OFF);
}

static void request_lost(struct http *h)
{
	struct side *s = &h->side[1];
	bool named = s->m.head_done;

	if (h->sending && !named)
		h->n--;
	h->sending = false;
	side_set(s, SIDE_LOST);
}

static void replies_lost(struct http *h)
{
	side_set(&h->side[0], SIDE_LOST);
	h->n = 0;
	h->sending = false;
}

/* Returns how many bytes are masked or may stay; the rest is for the caller to wipe. */
static size_t side_parse(struct side *s, char *p, size_t n)
{
	struct http *h = s->h;
	char *end = p + n;

	s->cursor = p;
	while (p < end && s->state == SIDE_READS) {
		size_t done;

		if (s->dir == 0 && !h->n) { /* nobody asked for this */
			side_set(s, SIDE_LOST);
			break;
		}
		done = http_parser_execute(&s->parser, &settings, p, (size_t)(end - p));
		p += done;
		if (s->m.complete || HTTP_PARSER_ERRNO(&s->parser) == HPE_OK)
			frame(s, p);
		if (s->m.complete && s->dir == 1)
			request_complete(h);
		else if (s->m.complete)
			reply_complete(h);
		else if (HTTP_PARSER_ERRNO(&s->parser) == HPE_OK && p == end)
			break;
		else if (s->dir == 1)
			request_lost(h);
		else
			replies_lost(h);
	}
	return n - (size_t)(end - s->cursor);
}

static uint64_t side_skip(struct side *s, uint64_t n)
{
	char filler[4096];
	uint64_t skip = n < s->m.left ? n : s->m.left, missing;

	if (s->state != SIDE_READS || !s->m.left)
		return n;
	missing = s->m.coding == CODING_IDENTITY ? skip : UINT64_MAX;
	if (s->m.left != UNTIL_CLOSE) {
		if (n == UINT64_MAX || skip > SKIP_MAX || (s->m.chunked && n > s->m.left))
			return n;
		n -= skip;
	} else {
		n = 0;
	}
	if (s->m.body_begun)
		mask_body_gap(&s->m.body, missing);
	if (!s->decoder && s->m.coding != CODING_IDENTITY)
		s->decoder = decoder_new(s->m.coding);
	if (s->decoder)
		decoder_gap(s->decoder);
	if (s->m.left == UNTIL_CLOSE)
		return 0;
	memset(filler, 0, sizeof(filler));
	s->skipping = true;
	while (skip) {
		size_t k = skip < sizeof(filler) ? (size_t)skip : sizeof(filler);

		side_parse(s, filler, k);
		skip -= k;
	}
	s->skipping = false;
	return n;
}

/* ---- recognition ---- */

static bool is_method(struct bytes word)
{
	for (int i = 0; i <= HTTP_SOURCE; i++)
		if (bytes_equal(word, http_method_str((enum http_method)i)))
			return true;
	return false;
}

/* Method, space, target, " HTTP/1.". */
static int http_request(struct bytes b, uint64_t total, bool from_start)
{
	const char *space = memchr(b.p, ' ', b.n < 16 ? b.n : 16);
	struct bytes target;
	size_t i;

	(void)total;
	(void)from_start;
	for (i = 0; i < b.n && i < 16 && (isupper((uint8_t)b.p[i]) || b.p[i] == '-'); i++)
		;
	if (!space)
		return i == b.n && i < 16 ? 0 : -1;
	if (!is_method((struct bytes){ b.p, (size_t)(space - b.p) }))
		return -1;
	target = bytes_from(b, (size_t)(space - b.p) + 1);
	for (i = 0; i < target.n && (uint8_t)target.p[i] > ' ' && target.p[i] != 0x7f; i++)
		;
	if (i == target.n)
		return 0;
	target = bytes_from(target, i);
	i = target.n < 8 ? target.n : 8;
	return memcmp(target.p, " HTTP/1.", i) ? -1 : i == 8;
}

static bool status_line(const char *p, size_t n)
{
	return memcmp(p, "HTTP/1.", n < 7 ? n : 7) == 0;
}

/* ---- struct masker ---- */

static void *http_new(struct mask_owner *o, struct mask_word *words, bool from_start)
{
	struct http *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->o = o;
	for (int dir = 0; dir < 2; dir++) {
		h->side[dir].h = h;
		h->side[dir].dir = dir;
		h->side[dir].word = &words[dir];
		side_set(&h->side[dir], from_start || dir == 1 ? SIDE_READS : SIDE_LOST);
	}
	return h;
}

static bool resumes(const struct side *s, const char *p, size_t n)
{
	if (s->dir == 1)
		return !s->h->n && http_request((struct bytes){ p, n }, n, false) == 1;
	return s->h->n && status_line(p, n);
}

static enum mask_result http_feed(void *m, int dir, char *p, size_t n)
{
	struct http *h = m;
	struct side *s = &h->side[dir];
	size_t done = 0;

	if (h->became)
		return h->became->feed(h->inner, dir, p, n);
	if (s->state == SIDE_LOST && n && resumes(s, p, n))
		side_set(s, SIDE_READS);
	if (s->state == SIDE_READS)
		done = side_parse(s, p, n);
	s->cursor = NULL;
	if (h->became)
		return h->became->feed(h->inner, dir, p + done, n - done);
	memset(p + done, 0, n - done);
	return s->state == SIDE_OFF ? MASK_SWITCHED : MASK_OK;
}

static enum mask_result http_gap(void *m, int dir, uint64_t n)
{
	struct http *h = m;
	struct side *s = &h->side[dir];

	if (h->became)
		return h->became->gap(h->inner, dir, n);
	if (n && side_skip(s, n)) {
		if (dir == 1)
			request_lost(h);
		else
			replies_lost(h);
	}
	return s->state == SIDE_OFF ? MASK_SWITCHED : MASK_OK;
}

static void http_free(void *m)
{
	struct http *h = m;

	if (!h)
		return;
	for (int dir = 0; dir < 2; dir++) {
		decoder_free(h->side[dir].decoder);
		free(h->side[dir].decoded);
	}
	if (h->became)
		h->became->free(h->inner);
	free(h);
}

const struct masker masker_http = {
	.request = http_request,
	.new = http_new,
	.feed = http_feed,
	.gap = http_gap,
	.free = http_free,
};
