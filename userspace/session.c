/* SPDX-License-Identifier: BSD-2-Clause */
/* Wires a source to a pipeline, keeps the recording, carries out what the pipeline asks for. */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/own.h"
#include "recording.h"
#include "webhook.h"

#define POLL_MS 250

static volatile sig_atomic_t signalled;

struct session {
	struct options *options;
	struct pipeline *pipeline;
	struct source *source;
	struct recording *recording;
	bool replay, recording_failed;
	int dirfd;
	struct lines *turns, *calls; /* NULL: none */
	char dir[4096];
};

static void on_signal(int signo)
{
	signalled = signo;
}

void session_signals(bool ignore_interrupt)
{
	struct sigaction a = { .sa_handler = on_signal }, ignore = { .sa_handler = SIG_IGN };
	struct sigaction plain = { .sa_handler = SIG_DFL };

	sigaction(SIGINT, ignore_interrupt ? &ignore : &a, NULL);
	sigaction(SIGTERM, &a, NULL);
	sigaction(SIGHUP, &a, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	/* who starts us may ignore it, and then no child of ours could be waited for */
	sigaction(SIGCHLD, &plain, NULL);
}

static int terminal_width(void *ctx)
{
	struct winsize w;

	(void)ctx;
	return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 ? w.ws_col : 0;
}

static int terminal_height(void *ctx)
{
	struct winsize w;

	(void)ctx;
	return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 ? w.ws_row : 0;
}

static enum progress_style style_of(const struct options *o, bool replay)
{
	const char *term = getenv("TERM");

	if (o->progress == PROGRESS_NONE || o->quiet || replay)
		return STYLE_NONE;
	return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0 ? STYLE_BAR : STYLE_LINES;
}

static bool fail(const char *what, const char *name, int err, const char *then)
{
	log_error("cannot %s %s: %s; %s", what, name, strerror(err), then);
	return false;
}

/* Opens a file of lines; false after saying why not. */
static bool open_lines(struct session *s, const char *name, struct lines **to)
{
	struct lines_config c = { .dirfd = s->dirfd,
		                  .name = name,
		                  .anew = s->replay,
		                  .rotate_size = s->options->rotate_size,
		                  .rotate_keep = s->options->rotate_keep };
	uint64_t torn;

	*to = lines_open(&c);
	if (!*to && errno == EWOULDBLOCK)
		return fail("write into", s->dir, errno,
		            "another whystuck writes there; choose another directory with -o DIR");
	if (!*to)
		return fail("write into", s->dir, errno,
		            "make room, or choose another directory with -o DIR");
	torn = lines_torn(*to);
	if (torn)
		log_warn("%s/%s ended in a line that an earlier watch could not finish; its %llu "
		         "bytes were taken away",
		         s->dir, name, (unsigned long long)torn);
	return true;
}

static bool open_files(struct session *s, uint32_t pid)
{
	const struct options *o = s->options;

	if (o->output)
		snprintf(s->dir, sizeof(s->dir), "%s", o->output);
	else if (pid)
		snprintf(s->dir, sizeof(s->dir), "./whystuck-%u%s", pid,
		         s->replay ? "-replay" : "");
	else
		snprintf(s->dir, sizeof(s->dir), "./whystuck-match%s", s->replay ? "-replay" : "");
	s->dirfd = own_dir(s->dir);
	if (s->dirfd < 0)
		return fail("open the output directory", s->dir, -s->dirfd,
		            "choose another one with -o DIR");
	if (!open_lines(s, "turn_metrics.jsonl", &s->turns))
		return false;
	if (o->calls && !open_lines(s, "calls.jsonl", &s->calls))
		return false;
	/* what an earlier run left must not be taken for this one's */
	if (!s->replay)
		renameat(s->dirfd, "run_error.json", s->dirfd, "run_error.previous.json");
	else
		unlinkat(s->dirfd, "run_error.json", 0);
	return true;
}

/* Says what became of rotation, and leaves what is still being compressed to itself. */
static void close_lines(struct session *s, struct lines **l)
{
	if (*l && lines_unrotated(*l))
		log_warn("%s/%s could not be rotated: it grew on, nothing is lost", s->dir,
		         lines_name(*l));
	if (*l && lines_uncompressed(*l))
		log_warn("rotated files of %s/%s could not be compressed; they are whole, and the "
		         "next watch tries again",
		         s->dir, lines_name(*l));
	lines_close(*l);
	*l = NULL;
}

static bool open_recording(struct session *s)
{
	const struct options *o = s->options;

	if (o->record && !(s->recording = recording_create(o->record)))
		return fail("create the recording", o->record, errno,
		            "choose another file, or leave --record out");
	if (s->recording)
		log_warn("%s will hold everything the target sends and receives, prompts and keys "
		         "included; `whystuck replay %s --scrub OUT` makes a copy that can be "
		         "handed on",
		         o->record, o->record);
	return true;
}

static struct session *session_make(struct options *o, uint32_t pid, bool replay, bool look)
{
	struct session *s = calloc(1, sizeof(*s));
	struct pipeline_config c;

	if (!s)
		return NULL;
	s->options = o;
	s->replay = replay;
	s->dirfd = -1;
	log_open(o->log_level, stderr);
	if (o->webhook && !webhook_available()) {
		log_error("--webhook: whystuck was built without libcurl and can post nothing; use "
		          "--on-stuck with a command that does");
		session_free(s);
		return NULL;
	}
	if ((!look && !open_files(s, pid)) || !open_recording(s)) {
		session_free(s);
		return NULL;
	}
	c = (struct pipeline_config){
		.options = o,
		.replay = replay,
		.look = look,
		.dirfd = s->dirfd,
		.dir = s->dir,
		.turns = s->turns,
		.calls = s->calls,
		.out = o->quiet || look ? NULL : stderr,
		.style = look ? STYLE_NONE : style_of(o, replay),
		.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
		.width = terminal_width,
		.height = terminal_height,
	};
	s->pipeline = pipeline_new(&c);
	if (!s->pipeline) {
		log_error("out of memory");
		session_free(s);
		return NULL;
	}
	return s;
}

struct session *session_new(struct options *o, uint32_t pid, bool replay)
{
	return session_make(o, pid, replay, false);
}

struct session *session_new_look(struct options *o)
{
	return session_make(o, o->pid, false, true);
}

static void take(struct session *s, const struct event *e)
{
	int err = s->recording && !s->recording_failed ? recording_write(s->recording, e) : 0;

	if (err) {
		s->recording_failed = true;
		log_error(
			"cannot write %s any more: %s; the recording ends here, the watch goes on",
			s->options->record, strerror(-err));
	}
	pipeline_feed(s->pipeline, e);
}

static void take_option(void *ctx, const char *line)
{
	size_t n = strlen(line);
	union {
		struct ev_text e;
		char room[sizeof(struct ev_text) + 1024];
	} u;

	if (n > 1024)
		return;
	memset(&u.e, 0, sizeof(u.e));
	u.e.h.type = EV_OPTION;
	u.e.h.size = (uint32_t)(sizeof(u.e) + n);
	memcpy(u.e.text, line, n);
	take(ctx, &u.e.h);
}

void session_event(void *session, const struct event *e)
{
	struct session *s = session;

	take(s, e);
	/* a live stream gets its options right behind its first record; a recording has them there */
	if (e->type == EV_HELLO && !s->replay)
		options_each(s->options, take_option, s);
}

static void capture(void *ctx, uint64_t sock, uint32_t n)
{
	struct session *s = ctx;

	if (s->source)
		s->source->capture(s->source, sock, n);
}

static void follow(void *ctx, uint64_t ino, uint64_t dev, uint32_t n)
{
	struct session *s = ctx;

	if (s->source)
		s->source->follow(s->source, ino, dev, n);
}

void session_source(struct session *s, struct source *source)
{
	s->source = source;
	pipeline_set_capture(s->pipeline, capture, s);
	pipeline_set_follow(s->pipeline, follow, s);
}

static void tend(struct lines *l)
{
	if (l)
		lines_tend(l);
}

static void serve(struct session *s)
{
	struct pipeline_action a;

	tend(s->turns);
	tend(s->calls);

	if (pipeline_wants_look(s->pipeline))
		s->source->inspect(s->source);
	while (pipeline_next_action(s->pipeline, &a))
		s->source->act(s->source, &(struct source_action){ .kind = a.kind,
		                                                   .signo = a.signo,
		                                                   .text = a.text });
}

int session_poll(struct session *s, int timeout_ms)
{
	int r = s->source->poll(s->source, timeout_ms);

	serve(s);
	return r;
}

int session_inspect(struct session *s)
{
	return s->source->inspect(s->source);
}

void session_act(struct session *s, const struct source_action *a)
{
	s->source->act(s->source, a);
}

void session_finish(struct session *s)
{
	s->source->finish(s->source, END_INTERRUPTED);
}

bool session_interrupted(void)
{
	bool came = signalled != 0;

	signalled = 0;
	return came;
}

int session_loop(struct session *s, void (*on_terminate)(void *ctx), void *ctx)
{
	for (;;) {
		int r = session_poll(s, POLL_MS), signo = signalled;

		if (r < 0) /* what was seen until then ends here, and is written */
			s->source->finish(s->source, END_FAILED);
		if (r)
			return r < 0 ? r : 0;
		if (!signo)
			continue;
		signalled = 0;
		if (on_terminate) {
			on_terminate(ctx);
			continue;
		}
		s->source->finish(s->source, signo == SIGINT ? END_INTERRUPTED : END_TERMINATED);
		return 0;
	}
}

int session_end(struct session *s)
{
	int err;

	if (s->source) {
		s->source->close(s->source);
		s->source = NULL;
	}
	err = pipeline_finish(s->pipeline);
	if (s->recording) {
		int failed = recording_close(s->recording);

		if (failed && !s->recording_failed)
			log_error("cannot write %s: %s; it ends early", s->options->record,
			          strerror(-failed));
		err = err ? err : failed;
		s->recording = NULL;
	}
	if (err)
		return EXIT_ERROR;
	return pipeline_stalls(s->pipeline) ? EXIT_STALLED : EXIT_OK;
}

void session_free(struct session *s)
{
	if (!s)
		return;
	if (s->source)
		s->source->close(s->source);
	pipeline_free(s->pipeline);
	recording_close(s->recording);
	close_lines(s, &s->turns);
	close_lines(s, &s->calls);
	if (s->dirfd >= 0)
		close(s->dirfd);
	free(s);
}

const char *session_dir(const struct session *s)
{
	return s->dir;
}

struct pipeline *session_pipeline(struct session *s)
{
	return s->pipeline;
}
