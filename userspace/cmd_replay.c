/* SPDX-License-Identifier: BSD-2-Clause */
/* whystuck replay FILE: a recording through the same pipeline, or (--scrub OUT) into a copy that can be handed on. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "recording.h"
#include "scrub.h"
#include "session.h"

struct scrubbing {
	struct scrub *scrub;
	struct recording *out;
	int err;
};

static void scrub_write(void *ctx, const struct event *e)
{
	struct scrubbing *s = ctx;

	if (!s->err)
		s->err = recording_write(s->out, e);
}

static void scrub_take(void *ctx, const struct event *e)
{
	struct scrubbing *s = ctx;

	scrub_feed(s->scrub, e);
}

static int poll_all(struct source *source)
{
	int r;

	while ((r = source->poll(source, 0)) == 0)
		;
	return r < 0 ? r : 0;
}

/* Said once, with what was read until then. */
static int broken(const struct options *o, const char *why)
{
	log_error("replaying %s: %s; what was read until there is written", o->file, why);
	return EXIT_ERROR;
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int scrub_file(const struct options *o)
{
	struct scrubbing s = { 0 };
	struct source *source;
	uint8_t key[16];
	char why[256] = "";
	int err;

	if (same_file(o->file, o->scrub)) {
		log_error("cannot write the scrubbed copy to %s: that is the recording itself; "
		          "name another file",
		          o->scrub);
		return EXIT_ERROR;
	}
	/* a key of its own for every copy, and forgotten: masks of two copies cannot be compared */
	if (getrandom(key, sizeof(key), 0) != sizeof(key)) {
		log_error("cannot get random bytes: %s", strerror(errno));
		return EXIT_ERROR;
	}
	source = source_replay_open(o->file, scrub_take, &s, why, sizeof(why));
	if (!source) {
		log_error("cannot open the recording %s: %s", o->file, why);
		return EXIT_ERROR;
	}
	s.out = recording_create(o->scrub);
	if (!s.out) {
		log_error("cannot create %s: %s", o->scrub, strerror(errno));
		source->close(source);
		return EXIT_ERROR;
	}
	s.scrub = scrub_new(scrub_write, &s, key);
	err = s.scrub ? poll_all(source) : -ENOMEM;
	if (s.scrub)
		scrub_end(s.scrub);
	scrub_free(s.scrub);
	source->close(source);
	s.err = recording_close(s.out);
	if (s.err) {
		log_error("cannot write %s: %s; it is not complete", o->scrub, strerror(-s.err));
		return EXIT_ERROR;
	}
	if (err)
		return broken(o, why[0] ? why : strerror(-err));
	log_info("%s holds the same events with every payload masked", o->scrub);
	return EXIT_OK;
}

struct first {
	bool came;
	uint32_t pid;
};

static void find_pid(void *ctx, const struct event *e)
{
	if (e->type == EV_HELLO)
		*(struct first *)ctx = (struct first){ true, e->pid };
}

/* The target's PID names the default directory; it stands in the first record, 0: there was none yet. False after saying why not. */
static bool recorded_pid(const struct options *o, uint32_t *pid)
{
	char why[256] = "";
	struct first first = { 0 };
	struct source *source = source_replay_open(o->file, find_pid, &first, why, sizeof(why));

	if (source) {
		source->poll(source, 0);
		source->close(source);
	}
	if (!first.came)
		log_error("cannot replay %s: %s", o->file, why[0] ? why : "it is empty");
	*pid = first.pid;
	return first.came;
}

int cmd_replay(struct options *o)
{
	struct session *s;
	struct source *source;
	char why[256] = "";
	uint32_t pid;
	int err, status;

	log_open(o->log_level, stderr);
	if (o->scrub) {
		status = scrub_file(o);
		/* with -o the replay's files too */
		if (status != EXIT_OK || !o->output)
			return status;
	}
	if (!recorded_pid(o, &pid))
		return EXIT_ERROR;
	s = session_new(o, pid, true);
	if (!s)
		return EXIT_ERROR;
	source = source_replay_open(o->file, session_event, s, why, sizeof(why));
	if (!source) {
		log_error("cannot open the recording %s: %s", o->file, why);
		session_free(s);
		return EXIT_ERROR;
	}
	session_source(s, source);
	err = session_loop(s, NULL, NULL);
	status = session_end(s);
	if (err)
		status = broken(o, why[0] ? why : strerror(-err));
	session_free(s);
	return status;
}
