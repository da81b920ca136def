/* SPDX-License-Identifier: BSD-2-Clause */
/* One connection of HTTP/2, for http2.c (frames) and http2_stream.c (what they mean for each stream). */
#ifndef PROTO_HTTP2_STATE_H
#define PROTO_HTTP2_STATE_H
#include "base/buf.h"
#include "event.h"
#include "proto/hpack.h"
#include "proto/http2_frame.h"
#include "proto/http_body.h"
#include "proto/http_exchange.h"

/* Streams open at once. Servers allow a hundred or so (RFC 9113, 6.5.2); requests beyond this are not calls of ours. */
#define STREAMS_MAX 4096
#define STREAM_BUCKETS 64
/* Streams that ended last: of one that was reset more may come. */
#define ENDED_MAX 256
/* What is kept of a request target, as in http1.c, and of the other pseudo-header fields. */
#define PATH_MAX_LEN 2048
#define METHOD_MAX_LEN 24
#define AUTHORITY_MAX_LEN 256
/* The longest start of a payload that is gathered: RST_STREAM, WINDOW_UPDATE 4, SETTINGS and a padded priority 6, GOAWAY 8. */
#define FIXED_MAX 8

/* What is kept of a direction that was lost until it tells: more than headers take, and a frame of data. */
#define TRIED_MAX 32768

#define NO_LIMIT UINT32_MAX
#define HTTP2_CODE_UNKNOWN UINT32_MAX /* the reason of a reset was not seen */

struct stream {
	struct stream *next; /* in its bucket */
	uint32_t id;
	struct http_exchange *x;
	bool late;                /* its request's head was not seen */
	bool headed;              /* the head of its request came: another one is trailers */
	bool sent;                /* its request is complete */
	bool replied;             /* the head of its final reply came: another one is trailers */
	uint64_t out;             /* bytes of the request */
	struct http_body body[2]; /* by enum event_dir */
};

/* The header block under way in one direction. */
struct block {
	uint32_t stream; /* 0 none is */
	bool open;       /* CONTINUATION is to follow */
	bool ends;       /* END_STREAM */
	bool pushed;     /* of a PUSH_PROMISE: decoded for the table's sake alone */
	bool lost;       /* it cannot be decoded, or a part is missing */
	struct stamp first;
	unsigned int unknown; /* fields that cannot be read */
	unsigned int status;  /* 0 not seen */
	size_t nmethod, npath, nauthority;
	char method[METHOD_MAX_LEN], path[PATH_MAX_LEN], authority[AUTHORITY_MAX_LEN];
	struct http_head head;
};

enum side_state {
	SIDE_READS,
	SIDE_LOST, /* where the next frame begins is not known */
};

struct side {
	struct http2 *h;
	int dir;
	enum side_state state;
	uint8_t preface; /* bytes of it that came */
	uint8_t nhead;
	char head[FRAME_HEAD];
	struct stamp first; /* of the frame's first byte */
	struct frame f;
	uint32_t left;         /* bytes of its payload to come */
	uint32_t pad;          /* of these, padding */
	uint8_t nfixed, fixed; /* bytes of its start that came, and that are gathered */
	bool holed;            /* a part of the payload was lost */
	bool blind;            /* its start, so that padding cannot be told from the rest */
	char start[FIXED_MAX];
	uint32_t frame_max; /* as the other side allows */
	struct buf tried;   /* lost: what may be the beginning of a frame */
	struct hpack *hpack;
	struct block block;
	struct http_blocks blocks;
};

struct http2 {
	struct call_sink *sink;
	struct side side[2]; /* by enum event_dir */
	struct stream *buckets[STREAM_BUCKETS];
	unsigned int n;
	uint32_t newest;     /* stream that a request was seen of */
	uint32_t late_limit; /* streams up to this may have begun unseen */
	enum partial late_why;
	bool late_came;            /* one of them showed */
	uint32_t ended[ENDED_MAX]; /* a ring */
	unsigned int nended;
	struct call *seeded;    /* in flight when we came, its stream not known yet */
	const struct stamp *at; /* of the operation being looked at */
};

/* ---- http2_stream.c ---- */

struct stream *stream_find(const struct http2 *h, uint32_t id);
/* A frame of stream id in direction dir, with something that only an open stream has: finds it, or opens it where it began
 * unseen. NULL: none of ours. */
struct stream *stream_of(struct http2 *h, int dir, uint32_t id);
/* The first stream is a request that HTTP/1.1 carried; sent: all of it. */
void stream_upgraded(struct http2 *h, struct http_exchange *x, bool sent);
/* Headers of a stream begin to come out of the client: a request, or its trailers. */
void stream_headers_begin(struct http2 *h, uint32_t id, const struct stamp *first);
/* A header block is complete. */
void stream_headers(struct http2 *h, int dir, const struct block *b);
/* A frame of data begins. */
void stream_frame(struct http2 *h, int dir, const struct frame *f);
void stream_data(struct http2 *h, int dir, uint32_t id, struct bytes b);
void stream_data_gap(struct http2 *h, int dir, uint32_t id, uint64_t n, enum partial why);
/* END_STREAM. */
void stream_half_ends(struct http2 *h, int dir, uint32_t id);
void stream_reset(struct http2 *h, int dir, uint32_t id, uint32_t code);
/* The server takes no stream above last. */
void streams_refused(struct http2 *h, uint32_t last, uint32_t code);
/* n bytes of frames that belong to a call. */
void stream_count(struct http2 *h, int dir, uint32_t id, uint64_t n);
/* Frames of a direction were lost. */
void streams_crossed(struct http2 *h, int dir, enum partial why);
void streams_end(struct http2 *h, enum call_status status, const char *kind, enum partial why);
/* What was taken to be in flight when we came is not on any stream, as far as could be seen. */
void seeded_end(struct http2 *h, enum call_status status, const char *kind);
#endif
