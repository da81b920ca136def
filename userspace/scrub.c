/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sorts a recording's bytes into streams, finds out which protocol each speaks, and lets that protocol's masker at them.
 * Events leave in the order they came; those not yet final wait in a queue, and all behind them.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/event_least.h"
#include "dns.h"
#include "scrub_state.h"

static const struct masker *const maskers[] = {
	&masker_tls,      &masker_http2, &masker_http,    &masker_memcached, &masker_redis,
	&masker_postgres, &masker_mysql, &masker_mongodb, &masker_bolt,      NULL
};

/* ===== Streams ===== */

static bool item_waits(const struct item *i)
{
	const struct stream *st = i->stream;

	if (!st)
		return false;
	if (i->raw)
		return true;
	return word_waits(&st->word[i->dir]) && st->since[i->dir] <= i->serial;
}

static void stream_settle(struct stream *st);

/* Emits what is final. */
static void drain(struct scrub *s)
{
	while (s->first) {
		if (item_waits(s->first)) {
			if (s->nitems < QUEUE_EVENTS_MAX && s->bytes < QUEUE_BYTES_MAX)
				return;
			stream_settle(s->first->stream);
		}
		queue_emit(s);
	}
}

static struct stream **bucket_of(struct scrub *s, enum stream_kind kind, uint64_t id, uint32_t pid)
{
	uint64_t key = kind == STREAM_SOCKET ? ~id : id ^ pid;

	return &s->bucket[(key * 0x9e3779b97f4a7c15ull) >> 54];
}

static struct stream *stream_find(struct scrub *s, enum stream_kind kind, uint64_t id, uint32_t pid)
{
	struct stream *st = *bucket_of(s, kind, id, pid);

	while (st &&
	       (st->kind != kind || st->id != id || (kind != STREAM_SOCKET && st->pid != pid)))
		st = st->hash_next;
	return st;
}

/* The protocol is not known any more; what waits becomes masked. */
static void masker_drop(struct stream *st)
{
	for (int d = 0; d < 2; d++)
		word_break(&st->word[d]);
	if (st->masker)
		st->masker->free(st->state);
	st->masker = NULL;
	st->state = NULL;
}

static void blocks_free(struct flow *f)
{
	for (struct block *b; (b = f->blocks);) {
		f->blocks = b->next;
		free(b);
	}
	f->blocks_end = &f->blocks;
}

static struct ev_data *data_of(const struct item *i)
{
	return (struct ev_data *)i->e;
}

/* What waited to be told is of no protocol we know. */
static void give_up(struct stream *st)
{
	for (struct item *i = st->sniffs >= 0 ? st->s->first : NULL; i; i = i->next) {
		if (i->stream != st || !i->raw)
			continue;
		memset(data_of(i)->data, 0, data_of(i)->n);
		i->raw = false;
	}
	st->sniffs = -1;
	st->untold = false;
	st->nhead = 0;
	st->head_total = 0;
}

/* Makes all of the stream's that waits final. */
static void stream_settle(struct stream *st)
{
	give_up(st);
	for (int d = 0; d < 2; d++)
		word_break(&st->word[d]);
}

/* Takes the stream at *at out of its bucket. */
static void stream_take(struct stream **at)
{
	struct stream *st = *at;

	*at = st->hash_next;
	stream_settle(st);
	masker_drop(st);
	for (struct item *i = st->s->first; i; i = i->next)
		if (i->stream == st)
			i->stream = NULL;
	for (int d = 0; d < 2; d++)
		blocks_free(&st->flow[d]);
	free(st->block);
	for (int d = 0; d < 2; d++)
		word_free(&st->word[d]);
	st->s->nstreams--;
	free(st);
}

static void stream_free(struct stream *st)
{
	struct stream **at = bucket_of(st->s, st->kind, st->id, st->pid);

	while (*at != st)
		at = &(*at)->hash_next;
	stream_take(at);
}

static int owner_recorded(struct mask_owner *o, int dir, struct bytes *b);
static char *owner_block(struct mask_owner *o, int dir, struct bytes b, bool more);
static void owner_cut(struct mask_owner *o, const char *p);

/* What a run writes is no protocol: lines, from the first byte on and whatever happens. */
static void file_masker(struct stream *st)
{
	if (st->kind != STREAM_FILE || st->masker)
		return;
	st->state = masker_lines.new(&st->owner, st->word, true);
	st->masker = st->state ? &masker_lines : NULL;
}

static struct stream *stream_make(struct scrub *s, enum stream_kind kind, uint64_t id, uint32_t pid)
{
	struct stream *st = stream_find(s, kind, id, pid), **p = bucket_of(s, kind, id, pid);

	if (st || s->nstreams == STREAMS_MAX || !(st = calloc(1, sizeof(*st))))
		return st;
	memcpy(st->owner.key, s->key, sizeof(s->key));
	st->owner.recorded = owner_recorded;
	st->owner.block = owner_block;
	st->owner.cut = owner_cut;
	st->s = s;
	st->kind = kind;
	st->id = id;
	st->pid = pid;
	st->sniffs = -1;
	for (int d = 0; d < 2; d++)
		st->flow[d].blocks_end = &st->flow[d].blocks;
	st->hash_next = *p;
	*p = st;
	s->nstreams++;
	file_masker(st);
	return st;
}

static struct stream *stream_of(struct scrub *s, const struct ev_data *e)
{
	if (e->h.type == EV_TLS)
		return stream_make(s, STREAM_TLS, e->tls, e->h.pid);
	if (e->h.type == EV_WRITE)
		return stream_make(s, STREAM_FILE, e->sock, (uint32_t)e->tls);
	return stream_make(s, STREAM_SOCKET, e->sock, e->h.pid);
}

static void streams_forget(struct scrub *s, uint32_t pid)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct stream *st = s->bucket[i], *next; st; st = next) {
			next = st->hash_next;
			if (st->kind == STREAM_TLS && st->pid == pid)
				stream_free(st);
		}
	}
}

/* ===== Encoded slices ===== */

static struct stream *stream_owning(struct mask_owner *o)
{
	return (struct stream *)((char *)o - offsetof(struct stream, owner));
}

static int event_dir(const struct stream *st, int dir)
{
	return dir == 1 ? st->client : !st->client;
}

static int owner_recorded(struct mask_owner *o, int dir, struct bytes *b)
{
	struct stream *st = stream_owning(o);
	struct flow *f = &st->flow[event_dir(st, dir)];
	struct block *k = f->blocks;

	if (!k)
		return st->s->scrubbed ? 0 : -1;
	f->blocks = k->next;
	if (!f->blocks)
		f->blocks_end = &f->blocks;
	free(st->block);
	st->block = k;
	*b = (struct bytes){ k->p, k->n };
	return k->more ? 2 : 1;
}

static char *owner_block(struct mask_owner *o, int dir, struct bytes b, bool more)
{
	struct stream *st = stream_owning(o);
	const struct ev_data *d = data_of(st->at);
	struct ev_body *e = calloc(1, sizeof(*e) + b.n);
	struct item *i = NULL;

	if (e) {
		e->h = d->h;
		e->h.type = EV_BODY;
		e->h.flags = more ? EVF_MORE : 0;
		e->h.size = (uint32_t)(sizeof(*e) + b.n);
		e->sock = st->kind == STREAM_TLS ? 0 : st->id;
		e->tls = st->kind == STREAM_TLS ? st->id : 0;
		e->dir = d->dir;
		if (b.n)
			memcpy(e->data, b.p, b.n);
		i = queue_add(st->s, st->at, e, e->h.size);
		free(e);
	}
	if (!i)
		return NULL;
	i->stream = st;
	i->dir = dir;
	i->of = st->at;
	i->part = st->at->ncut;
	return (char *)((struct ev_body *)i->e)->data;
}

static void owner_cut(struct mask_owner *o, const char *p)
{
	struct stream *st = stream_owning(o);
	struct item *i = st->at;
	uint32_t *cut = realloc(i->cut, (i->ncut + 1) * sizeof(*cut));

	if (!cut) {
		st->s->dropped++;
		return;
	}
	i->cut = cut;
	i->cut[i->ncut++] = (uint32_t)(p - (const char *)data_of(i)->data);
}

static void body_event(struct scrub *s, const struct ev_body *e)
{
	struct stream *st = stream_make(s, e->tls ? STREAM_TLS : STREAM_SOCKET,
	                                e->tls ? e->tls : e->sock, e->h.pid);
	size_t n = e->h.size - sizeof(*e);
	struct block *b = st ? malloc(sizeof(*b) + n) : NULL;

	s->scrubbed = true;
	if (!b) {
		s->dropped++;
		return;
	}
	b->next = NULL;
	b->more = e->h.flags & EVF_MORE;
	b->n = n;
	memcpy(b->p, e->data, n);
	*st->flow[e->dir & 1].blocks_end = b;
	st->flow[e->dir & 1].blocks_end = &b->next;
}

/* ===== Data ===== */

/* The masker's view of a direction. */
static int mask_dir(const struct stream *st, int dir)
{
	return dir == st->client;
}

static void result(struct stream *st, enum mask_result r)
{
	if (r == MASK_OK)
		return;
	masker_drop(st);
	st->from_start = false;
}

static void gap(struct stream *st, int dir, uint64_t n)
{
	if (n && st->masker)
		result(st, st->masker->gap(st->state, mask_dir(st, dir), n));
}

/* Masks the record in place. */
static void feed(struct stream *st, struct item *i)
{
	struct ev_data *d = data_of(i);
	int dir = mask_dir(st, d->dir);
	const struct mask_word *w = &st->word[dir];
	unsigned before = word_waits(w) ? w->started : 0;
	char *p = (char *)d->data;

	i->raw = false;
	i->dir = dir;
	st->at = i;
	if (!st->masker)
		memset(p, 0, d->n);
	else if (d->n)
		result(st, st->masker->feed(st->state, dir, p, d->n));
	st->at = NULL;
	/* a word that began here may lie in the body blocks before it, which share the serial */
	if (!before || (!w->ntail && w->started != before))
		st->since[dir] = i->serial;
}

static int masker_set(struct stream *st, const struct masker *m, int client)
{
	st->client = client;
	st->state = m->new (&st->owner, st->word, st->from_start);
	st->masker = st->state ? m : NULL;
	return st->masker ? 1 : -1;
}

/* Which protocol do the first bytes of an operation tell? 1: found and set; 0: more are needed; -1 none. */
static int sniff(struct stream *st, int dir, struct bytes b, uint64_t total)
{
	int best = -1;

	for (size_t i = 0; b.n && maskers[i]; i++) {
		int r = maskers[i]->request(b, total, st->from_start);
		int g = st->untold && maskers[i]->greeting ? maskers[i]->greeting(b) : -1;

		if (r > 0 || g > 0)
			return masker_set(st, maskers[i], r > 0 ? dir : !dir);
		best = r > best ? r : best;
		best = g > best ? g : best;
	}
	return best;
}

/* Tries to tell the protocol from the bytes that waited and those of i. */
static void sniff_item(struct stream *st, struct item *i, bool whole)
{
	const struct ev_data *d = data_of(i);
	size_t n = d->n < SNIFF_MAX - st->nhead ? d->n : SNIFF_MAX - st->nhead;
	int r;

	memcpy(st->head + st->nhead, d->data, n);
	st->nhead += n;
	st->head_total += d->off ? 0 : d->total;
	r = sniff(st, d->dir, (struct bytes){ st->head, st->nhead }, st->head_total);
	if (r == 0 && whole && n == d->n) {
		st->sniffs = d->dir;
		i->raw = true;
		return;
	}
	if (r > 0) {
		for (struct item *k = st->s->first; k != i; k = k->next)
			if (k->stream == st && k->raw)
				feed(st, k);
	}
	give_up(st);
	feed(st, i);
}

static void data_masked(struct stream *st, struct item *i, uint64_t missing, uint64_t rest)
{
	const struct ev_data *d = data_of(i);

	if (st->sniffs >= 0 && (st->sniffs != d->dir || missing))
		give_up(st);
	gap(st, d->dir, missing);
	if (!st->masker && d->n && (d->off == 0 || st->sniffs >= 0))
		sniff_item(st, i, !rest);
	else
		feed(st, i);
	gap(st, d->dir, rest);
}

static void data_event(struct scrub *s, const struct ev_data *e)
{
	struct item *i = queue_add(s, NULL, e, e->h.size);
	struct stream *st = i ? stream_of(s, e) : NULL;
	uint64_t at = e->pos + e->off, missing = 0, rest = 0;
	struct flow *f;

	if (!st) {
		if (i)
			memset(data_of(i)->data, 0, e->n);
		s->dropped += i != NULL;
		return;
	}
	i->stream = st;
	f = &st->flow[e->dir];
	if (f->known && at > f->pos)
		missing = at - f->pos;
	if (f->known && at < f->pos) { /* another stream of the same name */
		stream_settle(st);
		masker_drop(st);
		file_masker(st);
	}
	if (!(e->h.flags & EVF_MORE) && (uint64_t)e->off + e->n < e->total)
		rest = e->total - e->off - e->n;
	f->known = true;
	f->pos = at + e->n + rest;
	data_masked(st, i, missing, rest);
	blocks_free(f);
}

/* ===== Events ===== */

static void connect_event(struct scrub *s, const struct ev_socket *e)
{
	struct stream *st = stream_find(s, STREAM_SOCKET, e->sock, 0);

	if (st)
		stream_free(st);
	st = stream_make(s, STREAM_SOCKET, e->sock, 0);
	if (st)
		st->from_start = st->untold = true;
	queue_add(s, NULL, e, e->h.size);
}

static void close_event(struct scrub *s, const struct ev_close *e)
{
	bool tls = e->h.type == EV_TLS_FREE;
	struct stream *st =
		stream_find(s, tls ? STREAM_TLS : STREAM_SOCKET, tls ? e->tls : e->sock, e->h.pid);

	if (st && (tls || e->h.flags & EVF_LAST))
		stream_free(st);
	queue_add(s, NULL, e, e->h.size);
}

/* Another file may have the number now. Its path stays, as those of descriptors do. */
static void file_event(struct scrub *s, const struct ev_file *e)
{
	struct stream *st = stream_find(s, STREAM_FILE, e->ino, (uint32_t)e->dev);

	if (st)
		stream_free(st);
	queue_add(s, NULL, e, e->h.size);
}

static bool event_whole(const struct event *e)
{
	const struct ev_data *d = (const struct ev_data *)e;

	if (!event_least(e->type) || e->size < event_least(e->type) || e->size > EVENT_SIZE_MAX)
		return false;
	if (e->type != EV_DATA && e->type != EV_TLS && e->type != EV_WRITE)
		return true;
	return d->n == e->size - sizeof(*d) && d->dir <= DIR_OUT;
}

/* An answer of a name server: endpoints are called by their names in what the program says, too. */
static bool names_alone(const struct event *e)
{
	const struct ev_data *d = (const struct ev_data *)e;

	return e->type == EV_DATA && d->dir == DIR_IN && !d->off && d->n == d->total &&
	       dns_is_answer((struct bytes){ (const char *)d->data, d->n });
}

void scrub_feed(struct scrub *s, const struct event *e)
{
	if (!event_whole(e)) {
		s->dropped++;
		return;
	}
	if (names_alone(e)) {
		queue_add(s, NULL, e, e->size);
		drain(s);
		return;
	}
	switch (e->type) {
	case EV_DATA:
	case EV_TLS:
	case EV_WRITE:
		data_event(s, (const struct ev_data *)e);
		break;
	case EV_BODY:
		body_event(s, (const struct ev_body *)e);
		break;
	case EV_FILE:
		file_event(s, (const struct ev_file *)e);
		break;
	case EV_PROCESS:
		scrub_process(s, (const struct ev_process *)e);
		break;
	case EV_OPTION:
		scrub_option(s, (const struct ev_text *)e);
		break;
	case EV_CONNECT:
	case EV_ACCEPT:
		connect_event(s, (const struct ev_socket *)e);
		break;
	case EV_CLOSE:
	case EV_TLS_FREE:
		close_event(s, (const struct ev_close *)e);
		break;
	case EV_EXEC:
	case EV_EXIT:
		/* a new program, or none: its TLS objects are gone */
		if (e->type == EV_EXEC || e->flags & EVF_LAST)
			streams_forget(s, e->pid);
		/* fall through */
	default:
		/* EV_LOST needs no more: what is missing shows as a jump in the position of the next record */
		queue_add(s, NULL, e, e->size);
	}
	drain(s);
}

void scrub_end(struct scrub *s)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct stream *st = s->bucket[i]; st; st = st->hash_next)
			stream_settle(st);
	drain(s);
}

struct scrub *scrub_new(void (*emit)(void *ctx, const struct event *e), void *ctx,
                        const uint8_t key[16])
{
	struct scrub *s = calloc(1, sizeof(*s));

	if (!s) {
		errno = ENOMEM;
		return NULL;
	}
	s->emit = emit;
	s->ctx = ctx;
	memcpy(s->key, key, sizeof(s->key));
	return s;
}

void scrub_free(struct scrub *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		while (s->bucket[i])
			stream_take(&s->bucket[i]);
	while (s->first)
		queue_drop(s);
	explicit_bzero(s->key, sizeof(s->key));
	free(s);
}

uint64_t scrub_dropped(const struct scrub *s)
{
	return s->dropped;
}
