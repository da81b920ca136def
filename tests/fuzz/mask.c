/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes the maskers and scrub: the first byte chooses which. Of a protocol what follows are chunks, a byte each in front: bit 7
 * the direction, the rest the length, 0 a gap. A body must come out the same however it is split.
 */
#include <stdlib.h>

#include "event.h"
#include "mask/body.h"
#include "scrub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const uint8_t key[MASK_KEY_SIZE] = "0123456789abcdef";
static char *blocks[4096];
static size_t nblocks;

static int not_recorded(struct mask_owner *o, int dir, struct bytes *b)
{
	(void)o, (void)dir, (void)b;
	return -1;
}

static char *keep(struct mask_owner *o, int dir, struct bytes b, bool more)
{
	(void)o, (void)dir, (void)more;
	if (nblocks == sizeof(blocks) / sizeof(*blocks))
		return NULL;
	if (b.n > MASK_BLOCK_MAX)
		abort();
	blocks[nblocks] = malloc(b.n + 1);
	if (b.n)
		memcpy(blocks[nblocks], b.p, b.n);
	return blocks[nblocks++];
}

static void no_cut(struct mask_owner *o, const char *p)
{
	(void)o, (void)p;
}

static void protocol(const struct masker *m, char *p, size_t n)
{
	struct mask_owner o = { .recorded = not_recorded, .block = keep, .cut = no_cut };
	struct mask_word words[2] = { 0 };
	void *state;

	memcpy(o.key, key, sizeof(key));
	m->request((struct bytes){ p, n }, n, true);
	m->request((struct bytes){ p, n }, n, false);
	if (m->greeting)
		m->greeting((struct bytes){ p, n });
	state = m->new (&o, words, n & 1);
	while (n && state) {
		int dir = (uint8_t)*p >> 7;
		size_t len = *p & 0x7f;
		enum mask_result r;

		p++, n--;
		if (!len && n) {
			len = 1;
			r = m->gap(state, dir, (uint8_t)*p == 255 ? UINT64_MAX : (uint8_t)*p);
		} else {
			len = len < n ? len : n;
			r = m->feed(state, dir, p, len);
		}
		p += len;
		n -= len;
		if (r != MASK_OK)
			break;
	}
	for (int d = 0; d < 2; d++)
		word_break(&words[d]);
	m->free(state);
	for (int d = 0; d < 2; d++)
		word_free(&words[d]);
	while (nblocks)
		free(blocks[--nblocks]);
}

static void body(enum mask_form form, char *p, size_t n, size_t split)
{
	struct mask_word word = { 0 };
	struct mask_body b = { .form = form };

	if (form == FORM_XML)
		mask_xml_start(&b.xml, key, &word);
	else if (form == FORM_FRAMES)
		mask_frames_start(&b.frames, key, &word);
	else
		mask_json_start(&b.json, key, &word, form);
	mask_body_feed(&b, p, split);
	mask_body_feed(&b, p + split, n - split);
	mask_body_end(&b, true);
	word_free(&word);
}

static void bodies(enum mask_form form, const char *p, size_t n)
{
	char *whole = malloc(n + 1), *split = malloc(n + 1);

	memcpy(whole, p, n);
	body(form, whole, n, n);
	for (size_t i = 0; i < n; i += 1 + n / 16) {
		memcpy(split, p, n);
		body(form, split, n, i);
		if (memcmp(whole, split, n) != 0)
			abort();
	}
	free(whole);
	free(split);
}

static void count(void *ctx, const struct event *e)
{
	if (e->size > EVENT_SIZE_MAX)
		abort();
	*(uint64_t *)ctx += e->type == EV_DATA || e->type == EV_WRITE;
}

/* The chunks as records of one socket or file; a gap makes the position jump. */
static void recording(enum event_type type, const char *p, size_t n)
{
	uint64_t out = 0, in = 0, pos[2] = { 0 };
	struct scrub *s = scrub_new(count, &out, key);
	union {
		struct ev_data d;
		char room[sizeof(struct ev_data) + 128];
	} u;

	if (type == EV_DATA && n % 2) { /* its first byte is the connection's */
		struct ev_socket c = { .h = { sizeof(c), EV_CONNECT, 0, 0, 1, 1 }, .sock = 1 };

		scrub_feed(s, &c.h);
	}
	while (n) {
		int dir = type == EV_WRITE ? DIR_OUT : (uint8_t)*p >> 7;
		size_t len = *p & 0x7f;

		p++, n--;
		len = len < n ? len : n;
		memset(&u, 0, sizeof(u));
		u.d.h = (struct event){
			(uint32_t)(sizeof(u.d) + len), (uint16_t)type, 0, in, 1, 1
		};
		u.d.sock = 1;
		u.d.dir = (uint8_t)dir;
		u.d.pos = pos[dir];
		u.d.total = u.d.n = (uint32_t)len;
		pos[dir] += len ? len : 1;
		memcpy(u.room + sizeof(u.d), p, len);
		scrub_feed(s, &u.d.h);
		in++;
		p += len;
		n -= len;
	}
	scrub_end(s);
	if (out < in)
		abort();
	scrub_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct masker *const maskers[] = { &masker_http, &masker_redis,
		                                        &masker_postgres, &masker_tls };
	static const struct masker *const more[] = { &masker_http2, &masker_mysql, &masker_mongodb,
		                                     &masker_bolt, &masker_memcached };
	unsigned what = n ? (unsigned)(data[0] - '0') : 99;
	char *copy;

	if (what > 17)
		return 0;
	copy = malloc(n);
	memcpy(copy, data + 1, n - 1);
	if (what < 4)
		protocol(maskers[what], copy, n - 1);
	else if (what < 8)
		bodies((enum mask_form)(what - 4), copy, n - 1);
	else if (what == 8)
		recording(EV_DATA, copy, n - 1);
	else if (what == 9)
		protocol(&masker_lines, copy, n - 1);
	else if (what >= 11 && what < 16) /* ';' to '?' */
		protocol(more[what - 11], copy, n - 1);
	else if (what >= 16) /* '@', 'A' */
		bodies(what == 16 ? FORM_XML : FORM_FRAMES, copy, n - 1);
	else
		recording(EV_WRITE, copy, n - 1);
	free(copy);
	return 0;
}
