/* SPDX-License-Identifier: BSD-2-Clause */
/* A recording as a source: the same events, as fast as they can be read. Asks nothing, does nothing, trusts nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "recording.h"
#include "source.h"

#define RECORDS_PER_POLL 4096

struct source_replay {
	struct source source;
	FILE *f;
	event_fn on_event;
	void *ctx;
	uint64_t at; /* offset of the next record */
	struct event last;
	char *why; /* the caller's room for a sentence */
	size_t why_n;
	bool ended;
	uint64_t room[EVENT_SIZE_MAX / 8 + 1];
};

/* 1 a record, 0 the end of the file, -EPROTO broken (why is set). */
static int next_record(struct source_replay *s)
{
	struct event *e = (struct event *)s->room;
	size_t n = fread(e, 1, sizeof(*e), s->f);

	if (n == 0 && !ferror(s->f))
		return 0;
	if (n < sizeof(*e)) {
		snprintf(s->why, s->why_n, "the recording is cut short at byte %llu",
		         (unsigned long long)s->at + n);
		return -EPROTO;
	}
	if (s->at == 0 && (e->type != EV_HELLO || e->size < sizeof(struct ev_hello) ||
	                   e->size > EVENT_SIZE_MAX)) {
		snprintf(s->why, s->why_n, "this is not a whystuck recording");
		return -EPROTO;
	}
	if (e->size < sizeof(*e) || e->size > EVENT_SIZE_MAX) {
		snprintf(s->why, s->why_n, "the recording is damaged at byte %llu",
		         (unsigned long long)s->at);
		return -EPROTO;
	}
	n += fread((char *)e + sizeof(*e), 1, e->size - sizeof(*e), s->f);
	if (n < e->size) {
		snprintf(s->why, s->why_n, "the recording is cut short at byte %llu",
		         (unsigned long long)s->at + n);
		return -EPROTO;
	}
	if (event_check(e, n)) {
		snprintf(s->why, s->why_n,
		         s->at ? "the recording is damaged at byte %llu"
		               : "this is not a whystuck recording (byte %llu)",
		         (unsigned long long)s->at);
		return -EPROTO;
	}
	s->at += n;
	return 1;
}

static int replay_poll(struct source *source, int timeout_ms)
{
	struct source_replay *s = (struct source_replay *)source;

	(void)timeout_ms;
	for (int i = 0; i < RECORDS_PER_POLL && !s->ended; i++) {
		struct event *e = (struct event *)s->room;
		int got = next_record(s);

		if (got < 0)
			return got;
		if (got == 0) {
			snprintf(s->why, s->why_n,
			         "the recording has no end: whystuck was killed while it wrote it");
			return -ENODATA;
		}
		s->ended = e->type == EV_END;
		s->last = *e;
		s->on_event(s->ctx, e);
	}
	return s->ended;
}

static int replay_inspect(struct source *source)
{
	(void)source;
	return 0;
}

static void replay_act(struct source *source, const struct source_action *a)
{
	(void)source;
	(void)a;
}

static void replay_capture(struct source *source, uint64_t sock, uint32_t n)
{
	(void)source;
	(void)sock;
	(void)n;
}

static void replay_follow(struct source *source, uint64_t ino, uint64_t dev, uint32_t n)
{
	(void)source;
	(void)ino;
	(void)dev;
	(void)n;
}

static void replay_finish(struct source *source, enum end_reason why)
{
	struct source_replay *s = (struct source_replay *)source;
	struct ev_end e = { .h = s->last, .reason = why, .code = -1 };

	if (s->ended || !s->at)
		return;
	s->ended = true;
	e.h.type = EV_END;
	e.h.size = sizeof(e);
	e.h.flags = 0;
	s->on_event(s->ctx, &e.h);
}

static void replay_close(struct source *source)
{
	struct source_replay *s = (struct source_replay *)source;

	if (!s)
		return;
	fclose(s->f);
	free(s);
}

struct source *source_replay_open(const char *path, event_fn on_event, void *ctx, char *why,
                                  size_t n)
{
	struct source_replay *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->f = fopen(path, "re");
	if (!s->f) {
		int err = errno;

		snprintf(why, n, "%s", strerror(err));
		free(s);
		errno = err;
		return NULL;
	}
	s->why = why;
	s->why_n = n;
	s->on_event = on_event;
	s->ctx = ctx;
	s->source = (struct source){ .poll = replay_poll,
		                     .inspect = replay_inspect,
		                     .act = replay_act,
		                     .capture = replay_capture,
		                     .follow = replay_follow,
		                     .finish = replay_finish,
		                     .close = replay_close };
	return &s->source;
}
