/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conversations of HTTP/2 for tests: frames as an endpoint would send them, headers by libnghttp2's encoder, so that Huffman
 * codes and the dynamic table are used as they are in life.
 */
#ifndef HTTP2_BUILD_H
#define HTTP2_BUILD_H
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "proto/http2_frame.h"

#define PIECES_MAX 256

/* What one side writes at once. */
struct piece {
	int dir; /* enum event_dir, DIR_OUT the client's */
	char *p;
	size_t n;
};

struct talk {
	struct piece pieces[PIECES_MAX];
	size_t n;
	nghttp2_hd_deflater *deflater[2];
};

static inline void talk_begin(struct talk *t)
{
	memset(t, 0, sizeof(*t));
	if (nghttp2_hd_deflate_new(&t->deflater[0], 4096) ||
	    nghttp2_hd_deflate_new(&t->deflater[1], 4096))
		abort();
}

static inline void talk_end(struct talk *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->pieces[i].p);
	nghttp2_hd_deflate_del(t->deflater[0]);
	nghttp2_hd_deflate_del(t->deflater[1]);
}

static inline void say(struct talk *t, int dir, const void *p, size_t n)
{
	struct piece *k = &t->pieces[t->n++];

	if (t->n == PIECES_MAX)
		abort();
	*k = (struct piece){ dir, malloc(n ? n : 1), n };
	if (n)
		memcpy(k->p, p, n);
}

static inline void say_frame(struct talk *t, int dir, enum frame_type type, unsigned flags,
                             uint32_t stream, const void *p, size_t n)
{
	char *b = malloc(FRAME_HEAD + n);
	const char head[FRAME_HEAD] = {
		(char)(n >> 16),      (char)(n >> 8),      (char)n,
		(char)type,           (char)flags,         (char)(stream >> 24),
		(char)(stream >> 16), (char)(stream >> 8), (char)stream
	};

	memcpy(b, head, FRAME_HEAD);
	if (n)
		memcpy(b + FRAME_HEAD, p, n);
	say(t, dir, b, FRAME_HEAD + n);
	free(b);
}

/* A header block; fields: name, value, ..., NULL. */
static inline size_t header_block(struct talk *t, int dir, const char *const *fields, char *to,
                                  size_t room)
{
	nghttp2_nv nv[32];
	size_t n = 0;
	ssize_t len;

	for (; fields[2 * n]; n++)
		nv[n] = (nghttp2_nv){ (uint8_t *)fields[2 * n], (uint8_t *)fields[2 * n + 1],
			              strlen(fields[2 * n]), strlen(fields[2 * n + 1]), 0 };
	len = nghttp2_hd_deflate_hd(t->deflater[dir], (uint8_t *)to, room, nv, n);
	if (len < 0)
		abort();
	return (size_t)len;
}

static inline void say_headers(struct talk *t, int dir, uint32_t stream, bool end,
                               const char *const *fields)
{
	char block[4096];
	size_t n = header_block(t, dir, fields, block, sizeof(block));

	say_frame(t, dir, FRAME_HEADERS, FLAG_END_HEADERS | (end ? FLAG_END_STREAM : 0), stream,
	          block, n);
}

/* The same as HEADERS of `first` bytes and CONTINUATIONs of at most `step`, each written by itself. */
static inline void say_headers_cut(struct talk *t, int dir, uint32_t stream, bool end,
                                   const char *const *fields, size_t first, size_t step)
{
	char block[4096];
	size_t n = header_block(t, dir, fields, block, sizeof(block));

	first = first < n ? first : n;
	say_frame(t, dir, FRAME_HEADERS,
	          (first == n ? FLAG_END_HEADERS : 0) | (end ? FLAG_END_STREAM : 0), stream, block,
	          first);
	for (size_t at = first; at < n; at += step) {
		size_t k = step < n - at ? step : n - at;

		say_frame(t, dir, FRAME_CONTINUATION, at + k == n ? FLAG_END_HEADERS : 0, stream,
		          block + at, k);
	}
}

static inline void say_data(struct talk *t, int dir, uint32_t stream, bool end, const char *s)
{
	say_frame(t, dir, FRAME_DATA, end ? FLAG_END_STREAM : 0, stream, s, strlen(s));
}

/* Preface and settings of both sides. */
static inline void say_hello(struct talk *t)
{
	say(t, DIR_OUT, HTTP2_PREFACE, HTTP2_PREFACE_LEN);
	say_frame(t, DIR_OUT, FRAME_SETTINGS, 0, 0, "\0\3\0\0\0\144\0\4\0\1\0\0", 12);
	say_frame(t, DIR_OUT, FRAME_WINDOW_UPDATE, 0, 0, "\0\1\0\0", 4);
	say_frame(t, DIR_IN, FRAME_SETTINGS, 0, 0, "\0\5\0\1\0\0", 6);
	say_frame(t, DIR_IN, FRAME_SETTINGS, FLAG_ACK, 0, "", 0);
	say_frame(t, DIR_OUT, FRAME_SETTINGS, FLAG_ACK, 0, "", 0);
}

/* Holes: n bytes, or as many as the piece has, then all of the next `more` pieces; of known size or not. */
struct hole_kind {
	size_t n, more;
	bool known;
};
#define HOLE_KINDS                                                                            \
	{                                                                                     \
		{ 1, 0, false }, { 1, 0, true }, { 7, 0, true }, { SIZE_MAX, 0, false },      \
			{ SIZE_MAX, 0, true }, { SIZE_MAX, 1, false }, { SIZE_MAX, 2, true }, \
	}
#endif
