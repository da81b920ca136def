/* SPDX-License-Identifier: BSD-2-Clause */
/* What scrub.c and the files beside it share: streams, the queue of events that are not final yet, and who puts into it. */
#ifndef SCRUB_STATE_H
#define SCRUB_STATE_H
#include "event.h"
#include "mask/mask.h"
#include "scrub.h"

#define BUCKETS 1024
#define STREAMS_MAX 65536 /* more at once than a process can have descriptors by default */
#define QUEUE_EVENTS_MAX \
	8192 /* what waits for one stream's next bytes; then that stream is masked as it stands */
#define QUEUE_BYTES_MAX (32u << 20)
#define SNIFF_MAX 4096 /* first bytes looked at to tell the protocol */

/* An event in the queue, ours to change. */
struct item {
	struct item *prev, *next;
	struct stream *stream; /* whose bytes it holds, NULL: none, or no longer in doubt */
	int dir;               /* of the stream, as its masker counts */
	uint64_t serial;
	bool raw; /* not masked yet: the protocol is still to be told */
	struct event *e;
	/* A record that is cut leaves in parts, each after its blocks. */
	uint32_t *cut; /* where, in bytes of its data */
	uint32_t ncut, sent;
	struct item *of; /* a block: whose */
	uint32_t part;   /* and of which part */
};

/* What a slice decodes to, from a recording that is scrubbed already. */
struct block {
	struct block *next;
	bool more; /* the next one is of the same slice */
	size_t n;
	char p[];
};

struct flow {
	uint64_t pos; /* bytes accounted for */
	bool known;   /* pos is */
	struct block *blocks, **blocks_end;
};

enum stream_kind { STREAM_SOCKET, STREAM_TLS, STREAM_FILE };

/* One connection, TLS object or file. */
struct stream {
	struct mask_owner owner;
	struct stream *hash_next;
	struct scrub *s;
	enum stream_kind kind;
	uint64_t id;  /* inode, or address of the TLS object */
	uint32_t pid; /* TLS objects: whose; files: the device */
	bool from_start;
	bool untold;                 /* from the start nothing was seen but what waits to be told */
	const struct masker *masker; /* NULL: the protocol is not known (again) */
	void *state;
	int client;               /* enum event_dir of the requests */
	struct mask_word word[2]; /* by the masker's direction, like since */
	uint64_t since[2];        /* serial of the first item the open word may lie in */
	struct flow flow[2];      /* by enum event_dir */
	int sniffs;               /* direction waited for to tell the protocol, -1 none */
	size_t nhead;
	uint64_t head_total;
	char head[SNIFF_MAX];
	struct item *at;     /* being masked */
	struct block *block; /* the recorded one handed out last */
};

struct scrub {
	void (*emit)(void *ctx, const struct event *e);
	void *ctx;
	uint8_t key[MASK_KEY_SIZE];
	struct stream *bucket[BUCKETS];
	unsigned nstreams;
	struct item *first, *last;
	size_t nitems, bytes;
	uint64_t serial, dropped;
	bool scrubbed; /* the recording holds EV_BODY */
};

/* ---- scrub_queue.c ---- */

/* Puts a copy of the n bytes of e before `before`, NULL: at the end. NULL: out of memory, counted. */
struct item *queue_add(struct scrub *s, struct item *before, const void *e, size_t n);
/* Emits the first one, and what of others must go before it, and frees it. */
void queue_emit(struct scrub *s);
/* Frees the first one. */
void queue_drop(struct scrub *s);

/* ---- scrub_text.c ---- */

void scrub_process(struct scrub *s, const struct ev_process *e);
void scrub_option(struct scrub *s, const struct ev_text *e);
#endif
