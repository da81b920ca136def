/* SPDX-License-Identifier: BSD-2-Clause */
/* Recordings made by hand, scrubbed and replayed: the copy holds no secret ("CANARY") and gives the same calls. */
#ifndef SCRUB_FIXTURE_H
#define SCRUB_FIXTURE_H
#include "test.h"

#include <stdarg.h>

#include "conn.h"
#include "scrub.h"

static const uint8_t key[16] = "0123456789abcdef";

/* ===== Recordings ===== */

struct recording {
	struct event **e;
	size_t n, room;
	uint64_t ts;
	uint64_t pos[16][2]; /* by socket or TLS object */
};

static inline void record(void *ctx, const struct event *e)
{
	struct recording *r = ctx;

	if (r->n == r->room) {
		r->room = r->room ? 2 * r->room : 64;
		r->e = realloc(r->e, r->room * sizeof(*r->e));
	}
	/* an exact copy: the sanitizer sees one byte of over-read */
	r->e[r->n] = malloc(e->size);
	memcpy(r->e[r->n++], e, e->size);
}

static inline void recording_free(struct recording *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->e[i]);
	free(r->e);
	*r = (struct recording){ 0 };
}

static inline void add_connect(struct recording *r, uint64_t sock, uint16_t port)
{
	struct ev_socket s = {
		.h = { sizeof(s), EV_CONNECT, 0, r->ts += 1000, 100, 101 },
		.sock = sock,
		.start_ns = r->ts - 10,
		.family = 2,
		.kind = 1,
		.remote_port = port,
		.remote = { 127, 0, 0, 1 },
		.role = ROLE_CLIENT,
	};

	record(r, &s.h);
}

/* One record; type EV_DATA: id is the socket, EV_TLS: the object. */
static inline void add_record(struct recording *r, uint16_t type, uint64_t id, int dir,
                              const char *p, uint32_t n, uint64_t total, uint32_t off, bool more)
{
	struct ev_data *d = calloc(1, sizeof(*d) + n);

	d->h = (struct event){
		(uint32_t)(sizeof(*d) + n), type, more ? EVF_MORE : 0, r->ts, 100, 101
	};
	d->start_ns = r->ts - 100;
	*(type == EV_DATA ? &d->sock : &d->tls) = id;
	d->pos = r->pos[id & 15][dir];
	d->total = total;
	d->off = off;
	d->n = n;
	d->dir = (uint8_t)dir;
	if (n)
		memcpy(d->data, p, n);
	record(r, &d->h);
	free(d);
}

/* Operations of at most `step` bytes, each in records of at most 1000. */
static inline void add_bytes(struct recording *r, uint16_t type, uint64_t id, int dir,
                             const char *p, size_t n, size_t step)
{
	while (n) {
		size_t total = n < step ? n : step;

		r->ts += 1000;
		for (size_t off = 0; off < total; off += 1000) {
			size_t k = total - off < 1000 ? total - off : 1000;

			add_record(r, type, id, dir, p + off, (uint32_t)k, total, (uint32_t)off,
			           off + k < total);
		}
		r->pos[id & 15][dir] += total;
		p += total;
		n -= total;
	}
}

static inline void add_text(struct recording *r, uint16_t type, uint64_t id, int dir,
                            const char *text, size_t step)
{
	add_bytes(r, type, id, dir, text, strlen(text), step);
}

static inline struct recording scrubbed(const struct recording *r)
{
	struct recording out = { .ts = r->ts };
	struct scrub *s = scrub_new(record, &out, key);

	for (size_t i = 0; i < r->n; i++)
		scrub_feed(s, r->e[i]);
	scrub_end(s);
	CHECK(scrub_dropped(s) == 0);
	scrub_free(s);
	return out;
}

/* In one record, or across the records of one direction of one stream. */
static inline bool recording_holds(const struct recording *r, const char *secret)
{
	char *all = malloc(1 << 22);
	bool found = false;

	for (int stream = 0; stream < 64; stream++) {
		size_t n = 0;

		for (size_t i = 0; i < r->n; i++) {
			const struct ev_data *d = (const struct ev_data *)r->e[i];
			bool data = d->h.type == EV_DATA || d->h.type == EV_TLS ||
			            d->h.type == EV_WRITE;

			found |= memmem(r->e[i], r->e[i]->size, secret, strlen(secret)) != NULL;
			if (!data || (int)((d->sock | d->tls) & 15) * 2 + d->dir +
			                             (d->h.type != EV_DATA) * 32 !=
			                     stream)
				continue;
			memcpy(all + n, d->data, d->n);
			n += d->n;
		}
		found |= memmem(all, n, secret, strlen(secret)) != NULL;
	}
	free(all);
	return found;
}

/* ===== What a replay makes of it ===== */

struct seen {
	char text[1 << 16];
	size_t n;
	uint64_t hash[256];
	int nhash;
	uint64_t calls;
};

/* Hashes of messages mean nothing but which are equal. */
static inline int hash_number(struct seen *s, uint64_t hash)
{
	for (int i = 0; i < s->nhash; i++)
		if (s->hash[i] == hash)
			return i;
	if (s->nhash < 256)
		s->hash[s->nhash++] = hash;
	return s->nhash - 1;
}

static inline void say(struct seen *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static inline void say(struct seen *s, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	s->n += (size_t)vsnprintf(s->text + s->n, sizeof(s->text) - s->n, format, ap);
	va_end(ap);
	if (s->n >= sizeof(s->text))
		s->n = sizeof(s->text) - 1;
}

static inline struct call *seen_open(void *ctx, struct conn *c, const struct stamp *at)
{
	struct call *call = call_new();

	(void)c, (void)at;
	call->id = ++((struct seen *)ctx)->calls;
	return call;
}

static inline void seen_sent(void *ctx, struct conn *c, struct call *call)
{
	(void)ctx, (void)c, (void)call;
}

static inline void seen_done(void *ctx, struct conn *conn, struct call *c)
{
	struct seen *s = ctx;
	const struct llm_call *l = c->llm;

	(void)conn;
	say(s,
	    "%llu %s %s '%s' %d%d%d %d '%s' %d %d %g %d host %s times %llu %llu %llu %llu %llu "
	    "bytes "
	    "%llu %llu\n",
	    (unsigned long long)c->id, c->proto ? c->proto : "", c->store, c->op, c->write,
	    c->op_known, c->blocks, c->status, c->error_kind, c->http_status, c->retry_count,
	    c->retry_after_s, c->partial, c->host, (unsigned long long)c->start_ns,
	    (unsigned long long)c->sent_ns, (unsigned long long)c->first_byte_ns,
	    (unsigned long long)c->last_byte_ns, (unsigned long long)c->end_ns,
	    (unsigned long long)c->bytes_out, (unsigned long long)c->bytes_in);
	if (l) {
		say(s,
		    "  llm %d %s %s %d role %d first %llu last %llu finished %d tokens %lld %lld "
		    "%lld %lld end %s limit %d %g left %lld %g history %d",
		    l->kind, l->provider, l->model, l->streamed, l->last_role,
		    (unsigned long long)l->first_content_ns, (unsigned long long)l->last_content_ns,
		    l->finished, (long long)l->tokens.in, (long long)l->tokens.out,
		    (long long)l->tokens.cached, (long long)l->tokens.reasoning,
		    l->said.finish_reason, c->limit, c->limit_s, (long long)l->said.quota.tokens,
		    l->said.quota.tokens_reset_s, l->history.complete);
		for (uint32_t i = 0; i < l->history.n; i++)
			say(s, " %d:%d", l->history.messages[i].role,
			    hash_number(s, l->history.messages[i].hash));
		say(s, "\n");
	}
	llm_call_free(c->llm);
	c->llm = NULL;
	call_free(c);
}

static inline void seen_adopted(void *ctx, struct conn *c, struct call *call)
{
	(void)ctx, (void)c, (void)call;
}

static inline void seen_moved(void *ctx, struct conn *c, int dir, uint64_t ts_ns)
{
	(void)ctx, (void)c, (void)dir, (void)ts_ns;
}

static inline void seen_gone(void *ctx, struct conn *c)
{
	(void)ctx, (void)c;
}

static inline void seen_enough(void *ctx, uint64_t sock, uint32_t n)
{
	(void)ctx, (void)sock, (void)n;
}

static inline struct seen *replayed(const struct recording *r)
{
	struct seen *s = calloc(1, sizeof(*s));
	struct conn_ops ops = { .open = seen_open,
		                .sent = seen_sent,
		                .done = seen_done,
		                .adopted = seen_adopted,
		                .moved = seen_moved,
		                .gone = seen_gone,
		                .enough = seen_enough,
		                .ctx = s };
	struct endpoint_rules *rules = endpoint_rules_new();
	struct conns *t = conns_new(&ops, rules, 0);

	for (size_t i = 0; i < r->n; i++) {
		const struct event *e = r->e[i];

		if (e->type == EV_DATA || e->type == EV_TLS)
			conns_data(t, (const struct ev_data *)e);
		else if (e->type == EV_BODY)
			conns_body(t, (const struct ev_body *)e);
		else if (e->type == EV_CONNECT)
			conns_socket(t, (const struct ev_socket *)e);
		else if (e->type == EV_CLOSE || e->type == EV_TLS_FREE)
			conns_close(t, (const struct ev_close *)e);
	}
	conns_end(t, r->ts);
	conns_free(t);
	endpoint_rules_free(rules);
	return s;
}

static inline bool same_calls(const struct recording *a, const struct recording *b, uint64_t least)
{
	struct seen *x = replayed(a), *y = replayed(b);
	bool same = strcmp(x->text, y->text) == 0 && x->calls >= least;

	if (!same)
		printf("# original (%llu calls)\n%s# scrubbed\n%s", (unsigned long long)x->calls,
		       x->text, y->text);
	free(x);
	free(y);
	return same;
}

static inline bool is_data(const struct event *e)
{
	return e->type == EV_DATA || e->type == EV_TLS;
}

/* Does the record at b->e[*at], or do its parts, stand for d? */
static inline bool same_record(const struct ev_data *d, const struct recording *b, size_t *at)
{
	uint32_t n = 0;

	while (*at < b->n) {
		const struct ev_data *part = (const struct ev_data *)b->e[*at];
		bool last;

		if (part->h.type == EV_BODY) {
			++*at;
			continue;
		}
		if (part->h.type != d->h.type || part->h.ts_ns != d->h.ts_ns ||
		    part->pos != d->pos || part->total != d->total || part->off != d->off + n ||
		    part->start_ns != d->start_ns)
			return false;
		n += part->n;
		last = n == d->n;
		if (part->h.flags != (last ? d->h.flags : d->h.flags | EVF_MORE))
			return false;
		if (last)
			return true;
		++*at;
	}
	return false;
}

/* All events as before, but for the blocks and for records that are cut. */
static inline bool same_shape(const struct recording *a, const struct recording *b)
{
	size_t k = 0;

	for (size_t i = 0; i < a->n; i++, k++) {
		while (k < b->n && b->e[k]->type == EV_BODY)
			k++;
		if (a->e[i]->type == EV_BODY) {
			k--;
			continue;
		}
		if (k == b->n)
			return false;
		if (is_data(a->e[i])
		            ? !same_record((const struct ev_data *)a->e[i], b, &k)
		            : a->e[i]->size != b->e[k]->size || a->e[i]->type != b->e[k]->type)
			return false;
	}
	return k == b->n;
}

/* The promise: no secret, the same calls, the same shape; and once more for the copy's copy. */
static inline void check_scrub(const struct recording *r, uint64_t calls)
{
	struct recording once = scrubbed(r), twice = scrubbed(&once);

	CHECK(recording_holds(r, "CANARY"));
	CHECK(!recording_holds(&once, "CANARY"));
	CHECK(same_shape(r, &once));
	CHECK(same_calls(r, &once, calls));
	CHECK(same_shape(&once, &twice));
	CHECK(same_calls(r, &twice, calls));
	recording_free(&once);
	recording_free(&twice);
}

/* Bytes of an operation at most. */
static const size_t steps[] = { 1, 2, 3, 7, 19, 100, 1500, 100000 };
#define STEPS (sizeof(steps) / sizeof(*steps))
#endif
