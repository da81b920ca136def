/* SPDX-License-Identifier: BSD-2-Clause */
/* whystuck PID: one look at a process tree, long enough to tell slow from stuck, and the verdict on it. */
#include <errno.h>
#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/times.h"
#include "command.h"
#include "out/describe.h"
#include "out/screen.h"
#include "procfs.h"
#include "session.h"
#include "settle.h"
#include "snapshot.h"
#include "watch.h"

/* Between the snapshot at attach and the full one: what moves in it is alive. Most calls of a healthy run are shorter. */
#define LOOK_MIN_NS (400 * NS_PER_MS)
#define LOOK_TICK_MS 100
/* Reads what came meanwhile, where attaching took longer than that. */
#define LOOK_REST_NS (50 * NS_PER_MS)
/* While looking on, so often is it asked whether something moved. */
#define LOOK_STEP_NS (250 * NS_PER_MS)
#define LOOK_AGAIN_NS (1500 * NS_PER_MS)
/* In less time what computes may seem to stay, and on a busy machine to stand still. */
#define LOOK_AGAIN_MIN_NS (1000 * NS_PER_MS)
/* Longer than a probe takes (socket_act.h): then its result is lost. */
#define ACT_LIMIT_NS (12000 * NS_PER_MS)
#define WIDTH_DEFAULT 80

struct why {
	struct options *options;
	struct session *session;
	bool interrupted;
	json_t *doc;
	int status;
};

/* ---- Attaching ---- */

static bool may_look(uint32_t pid)
{
	uint32_t uid = 0;

	if (geteuid() == 0 || procfs_uid(pid, &uid) || uid == geteuid())
		return true;
	log_error("cannot look at %u: it belongs to another user, and you are not root; run it "
	          "with sudo",
	          pid);
	return false;
}

/* The kernel's programs where they are allowed, else /proc alone. False after saying why. */
static bool attach(struct why *w)
{
	uint32_t pid = w->options->pid;
	char refused[256] = "WHYSTUCK_NO_BPF is set", why[256] = "";
	struct source_config c = { .pid = pid,
		                   .tree = true,
		                   .look = true,
		                   .tick_ms = LOOK_TICK_MS,
		                   .on_event = session_event,
		                   .ctx = w->session };
	const char *forced = getenv("WHYSTUCK_NO_BPF");
	struct source *source = NULL;

	if (!forced || strcmp(forced, "1") != 0) {
		source = source_bpf_open(&c, refused, sizeof(refused));
		if (!source && errno == ESRCH) {
			log_error("cannot look at %u: it ended just now", pid);
			return false;
		}
		if (!source && !*refused)
			snprintf(refused, sizeof(refused), "%s", strerror(errno));
	}
	if (!source) {
		log_warn("looking without kernel programs (%s): from /proc alone; what is missing "
		         "is said below",
		         refused);
		c.refused = refused;
		source = source_proc_open(&c, why, sizeof(why));
	}
	if (!source) {
		log_error("cannot look at %u: %s", pid, *why ? why : strerror(errno));
		return false;
	}
	session_source(w->session, source);
	return true;
}

/* ---- Looking ---- */

/* Until then, the end of the process, a signal, or (if asked to) until something moved. False: do not go on. */
static bool poll_until(struct why *w, uint64_t end_ns, bool until_moved)
{
	uint64_t ask_ns = now_ns() + LOOK_STEP_NS;

	while (now_ns() < end_ns) {
		int r = session_poll(w->session, LOOK_TICK_MS);

		if (r < 0)
			log_error("reading the kernel's events failed: %s; the verdict is from "
			          "what was seen until then",
			          strerror(-r));
		w->interrupted |= session_interrupted();
		if (r || w->interrupted)
			return false;
		if (until_moved && now_ns() >= ask_ns) {
			const struct run_error_input *in =
				pipeline_diagnose(session_pipeline(w->session));

			if (in && verdict_is_alive(in->diagnosis->causes[0].kind))
				return true;
			ask_ns = now_ns() + LOOK_STEP_NS;
		}
	}
	return true;
}

static void say_looking_on(const struct run_error_input *in, uint64_t wait_ns)
{
	char silent[DURATION_TEXT_MAX], left[DURATION_TEXT_MAX];
	uint64_t life = settle_life(in->look, in->diagnosis), now = in->look->now_ns;

	if (!isatty(STDERR_FILENO))
		return;
	duration_text(wait_ns, left);
	duration_text(life && now > life ? now - life : 0, silent);
	log_info("silent for %s: looking for up to %s more to tell slow from stuck (Ctrl-C: show "
	         "what is known)",
	         silent, left);
}

/*
 * How long until the next snapshot: what computes or tries for a lock is asked where it is every few seconds,
 * for two looks may find a loop at the same line by chance.
 */
static uint64_t step_ns(const struct run_error_input *in, uint64_t wait_ns)
{
	bool again = in && (in->diagnosis->causes[0].kind == VERDICT_CPU_BOUND ||
	                    in->diagnosis->causes[0].kind == VERDICT_FILE_LOCK);

	if (!again || wait_ns <= LOOK_AGAIN_MIN_NS)
		return again ? LOOK_AGAIN_MIN_NS : wait_ns;
	return wait_ns > LOOK_AGAIN_NS ? LOOK_AGAIN_NS : wait_ns;
}

/* What is left of LOOK_MIN_NS since the first snapshot: TLS code was searched for since then. */
static uint64_t first_step_ns(const struct run_error_input *in)
{
	uint64_t taken = in && in->look->evidence ? evidence_time(in->look->evidence) : 0;
	uint64_t left = taken ? age(LOOK_MIN_NS, age(now_ns(), taken)) : LOOK_MIN_NS;

	return left > LOOK_REST_NS ? left : LOOK_REST_NS;
}

/* The verdict, and what it was made of; NULL after saying why there is none. */
static const struct run_error_input *look(struct why *w)
{
	struct pipeline *p = session_pipeline(w->session);
	const struct run_error_input *in = NULL;
	uint64_t wait_ns = first_step_ns(pipeline_diagnose(p));
	bool more = true, said = false;

	do {
		more = poll_until(w, now_ns() + step_ns(in, wait_ns), said);
		session_inspect(w->session);
		in = pipeline_diagnose(p);
		wait_ns = in && more ? settle_ns(in->look, in->diagnosis) : 0;
		if (wait_ns && !said)
			say_looking_on(in, wait_ns);
		said = true;
	} while (wait_ns);
	if (!in)
		log_error("cannot look at %u: out of memory", w->options->pid);
	return in;
}

/* ---- Showing ---- */

static size_t terminal_width(void)
{
	struct winsize size;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col
	                                                                   : WIDTH_DEFAULT;
}

static struct screen_style style_of(const struct options *o)
{
	const char *term = getenv("TERM"), *plain = getenv("NO_COLOR");
	bool terminal = isatty(STDOUT_FILENO);

	return (struct screen_style){
		.width = terminal ? terminal_width() : WIDTH_DEFAULT,
		.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
		/* https://no-color.org: set and not empty means none */
		.color = terminal && !(plain && *plain) && term && strcmp(term, "dumb") != 0,
		.all = o->all,
	};
}

static int status_of(enum verdict_kind kind)
{
	if (verdict_is_alive(kind))
		return EXIT_OK;
	return kind == VERDICT_UNKNOWN ? EXIT_UNDECIDED : EXIT_STALLED;
}

static void show(struct why *w, const struct run_error_input *in)
{
	struct screen_style style = style_of(w->options);

	w->status = status_of(in->diagnosis->causes[0].kind);
	if (w->options->json) {
		w->doc = run_error_json(in);
		return;
	}
	if (w->options->quiet)
		screen_verdict(in, &style, stdout);
	else
		screen_print(in, &style, stdout);
	fflush(stdout);
}

/* The document comes last, with the results of what was done. */
static void finish_output(struct why *w)
{
	bool lost = w->options->json && !w->doc;

	if (w->doc) {
		lost = json_dumpf(w->doc, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) < 0;
		putchar('\n');
	}
	if (fflush(stdout) || ferror(stdout) || lost) {
		log_error("cannot write the verdict to standard output: %s", strerror(errno));
		w->status = EXIT_ERROR;
	}
}

/* ---- Doing: only when asked to ---- */

/* The one socket that is meant: descriptor FD of the target, or what the verdict's call waits on. False after saying why. */
static bool choose(const struct why *w, const struct run_error_input *in, int fd,
                   struct source_action *a)
{
	const struct cause *c = &in->diagnosis->causes[0];
	const struct evidence *e = in->look->evidence;
	const struct ev_fd *f;

	if (fd >= 0) {
		f = evidence_fd(e, w->options->pid, fd);
		*a = (struct source_action){ .pid = w->options->pid,
			                     .fd = fd,
			                     .sock = f ? f->sock : 0 };
		if (!a->sock)
			log_error("descriptor %d of %u is no socket; nothing was done", fd, a->pid);
		return a->sock != 0;
	}
	if (verdict_is_alive(c->kind) || !c->view || !c->view->sock ||
	    !evidence_owner(e, c->view->sock, &a->pid, &a->fd)) {
		log_error("the verdict is not about one open connection; nothing was done%s",
		          w->options->unstick ? ". --unstick=FD names one" : "");
		return false;
	}
	a->sock = c->view->sock;
	return true;
}

static bool confirmed(const struct why *w, const struct run_error_input *in,
                      const struct source_action *a)
{
	char place[DESCRIBE_TEXT_MAX], answer[16] = "";

	if (w->options->yes)
		return true;
	if (!isatty(STDIN_FILENO)) {
		log_error(
			"--unstick: standard input is no terminal, nobody can be asked; add --yes. "
			"Nothing was done");
		return false;
	}
	describe_endpoint(in->look, a->sock, place);
	/* an error only in that it must be seen: whoever is asked must know what, with --quiet too */
	log_error("shut down descriptor %d of %u (%s)? Its client's call ends with an error then. "
	          "[y/N]",
	          a->fd, a->pid, *place ? place : "unnamed");
	if (fgets(answer, sizeof(answer), stdin) && (*answer == 'y' || *answer == 'Y'))
		return true;
	log_warn("nothing was done");
	return false;
}

/* The result of the newest action of that kind, beyond those there were before; NULL after saying that none came. */
static const struct ev_action *act(struct why *w, const struct source_action *a)
{
	struct pipeline *p = session_pipeline(w->session);
	const struct run_error_input *in = pipeline_diagnose(p);
	size_t before = in ? in->nactions : 0;
	uint64_t end_ns = now_ns() + ACT_LIMIT_NS;
	bool ended = false;

	session_act(w->session, a);
	while (!ended && now_ns() < end_ns) {
		/* what is done may end the target: its result then comes with the end */
		ended = session_poll(w->session, LOOK_TICK_MS) != 0;
		in = pipeline_diagnose(p);
		for (size_t i = before; in && i < in->nactions; i++)
			if (in->actions[i]->kind == a->kind)
				return in->actions[i];
		if (session_interrupted())
			break;
	}
	log_error("no result came; what was begun is broken off");
	return NULL;
}

static void report(struct why *w, const char *what, const struct ev_action *done)
{
	struct pipeline *p = session_pipeline(w->session);
	const struct run_error_input *in;
	struct screen_style style = style_of(w->options);
	char text[DESCRIBE_TEXT_MAX * 4];

	if (w->doc) {
		if (done->kind == ACTION_PROBE && done->result >= 0)
			run_error_probed(w->doc, done->result == 0,
			                 (struct bytes){ done->text,
			                                 done->h.size - sizeof(*done) });
		if (done->kind == ACTION_PROBE && done->result == 0)
			w->status = EXIT_STALLED;
		in = pipeline_diagnose(p);
		if (in)
			run_error_actions(w->doc, in);
		return;
	}
	snprintf(text, sizeof(text), "%s: %.*s", what, (int)(done->h.size - sizeof(*done)),
	         done->text);
	screen_note(text, &style, stdout);
	fflush(stdout);
}

/* in is of the past as soon as something is done: all is chosen first. */
static void do_asked(struct why *w, const struct run_error_input *in)
{
	struct source_action probe = { 0 }, unstick = { 0 };
	bool probes = w->options->probe && choose(w, in, -1, &probe);
	bool unsticks = w->options->unstick && choose(w, in, w->options->unstick_fd, &unstick);
	const struct ev_action *done;

	unsticks = unsticks && confirmed(w, in, &unstick);
	probe.kind = ACTION_PROBE;
	unstick.kind = ACTION_UNSTICK;
	done = probes ? act(w, &probe) : NULL;
	if (done)
		report(w, "probe", done);
	done = unsticks ? act(w, &unstick) : NULL;
	if (done)
		report(w, "unstick", done);
}

/* ---- The command ---- */

static void run(struct why *w)
{
	const struct run_error_input *in = look(w);

	if (!in)
		return;
	show(w, in);
	if (!w->interrupted)
		do_asked(w, in);
	finish_output(w);
}

int cmd_why(struct options *o)
{
	struct why w = { .options = o, .status = EXIT_ERROR };

	log_open(o->log_level, stderr);
	if (!watch_fits(o->pid, true) || !may_look(o->pid))
		return EXIT_ERROR;
	session_signals(false);
	w.session = session_new_look(o);
	if (w.session && attach(&w)) {
		run(&w);
		session_finish(w.session);
		if (session_end(w.session) == EXIT_ERROR)
			w.status = EXIT_ERROR;
	}
	json_decref(w.doc);
	session_free(w.session);
	return w.status;
}
