/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One function a part of the screen, in the order of the screen. Every byte goes through put(): cleaned, wrapped,
 * and in ASCII where the terminal knows no more.
 */
#include "out/screen.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include "base/text.h"
#include "base/times.h"
#include "out/describe.h"
#include "secrets.h"
#include "syscall_names.h"

/* What a screenful holds; --all shows the rest. */
#define CALLS_SHOWN 8
#define GROUPS_SHOWN 8
#define CAUSES_SHOWN 4
#define MISSING_SHOWN 6
/* Distinct threads or tasks told apart; a run with more distinct ones is not understood in ten seconds anyway. */
#define GROUPS_MAX 256
#define LINE_MAX_BYTES SECRETS_LINE_MAX
/* Python functions shown of a thread, and of a task. */
#define FRAMES_SHOWN 4
/* Bytes of the command line that are shown: two lines of it. */
#define COMMAND_SHOWN 120
/* Where the text behind "will wake" and its siblings begins. */
#define KEY_COLUMN 13

#define BOLD "\033[1m"
#define RED "\033[1;31m"
#define GREEN "\033[1;32m"
#define YELLOW "\033[1;33m"
#define PLAIN "\033[0m"

struct screen {
	FILE *out;
	const struct run_error_input *in;
	const struct look *look;
	const struct evidence *evidence; /* NULL: no complete snapshot */
	const struct screen_style *style;
	size_t width;
};

/* ---- Text ---- */

/* The longest beginning of s that takes at most columns, at least one character. */
static size_t fitting(const char *s, size_t n, size_t columns)
{
	char word[LINE_MAX_BYTES];

	memcpy(word, s, n);
	word[n] = '\0';
	text_cut(word, columns ? columns : 1);
	return *word ? strlen(word) : n;
}

static size_t columns_of(const char *s, size_t n)
{
	char word[LINE_MAX_BYTES];

	memcpy(word, s, n);
	word[n] = '\0';
	return text_columns(word);
}

/* A word; a number takes the units behind it along: "8 h 42 m" is not torn. */
static size_t word_length(const char *s)
{
	static const char *const units[] = { "ms", "s", "m", "h", "d", "%" };
	size_t n = strcspn(s, " ");

	while (n && s[n - 1] >= '0' && s[n - 1] <= '9' && s[n] == ' ') {
		size_t unit = strcspn(s + n + 1, " ,;:.)"), i = 0, more;

		while (i < sizeof(units) / sizeof(*units) &&
		       (strlen(units[i]) != unit || strncmp(s + n + 1, units[i], unit) != 0))
			i++;
		if (i == sizeof(units) / sizeof(*units))
			break;
		n += 1 + strcspn(s + n + 1, " ");
		more = s[n] == ' ' ? strspn(s + n + 1, "0123456789") : 0;
		if (more && s[n + 1 + more] == ' ' && s[n - 1] >= 'd' && s[n - 1] <= 'm')
			n += 1 + more; /* "8 h" goes on with "42 m" */
	}
	return n;
}

/* Words from column at on, further lines from column hang on. */
static void wrap(struct screen *s, const char *text, size_t at, size_t hang)
{
	bool fresh = true; /* no word on this line yet */

	while (*text) {
		size_t n = word_length(text), columns = columns_of(text, n);

		if (!fresh && at + 1 + columns > s->width) {
			fprintf(s->out, "\n%*s", (int)hang, "");
			at = hang;
			fresh = true;
		}
		if (!fresh)
			at += (size_t)fprintf(s->out, " ");
		while (at + columns > s->width && columns > s->width - hang) {
			size_t part = fitting(text, n, s->width - at);

			fprintf(s->out, "%.*s\n%*s", (int)part, text, (int)hang, "");
			text += part;
			n -= part;
			columns = columns_of(text, n);
			at = hang;
		}
		fprintf(s->out, "%.*s", (int)n, text);
		at += columns;
		fresh = false;
		text += n;
		text += strspn(text, " ");
	}
	fputc('\n', s->out);
}

static void clean(const struct screen *s, const char *raw, char out[static LINE_MAX_BYTES])
{
	secrets_clean(raw, strlen(raw), out, LINE_MAX_BYTES);
	text_clean(out, LINE_MAX_BYTES, out, !s->style->utf8);
}

/* A paragraph: its first line at column first, the others at column hang. */
static void __attribute__((format(printf, 4, 5)))
put(struct screen *s, size_t first, size_t hang, const char *format, ...)
{
	char raw[LINE_MAX_BYTES], text[LINE_MAX_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	clean(s, raw, text);
	fprintf(s->out, "%*s", (int)first, "");
	wrap(s, text, first, hang);
}

/* A word in colour, and a paragraph behind it. label is ours. */
static void __attribute__((format(printf, 5, 6)))
put_labelled(struct screen *s, const char *colour, const char *label, size_t column,
             const char *format, ...)
{
	char raw[LINE_MAX_BYTES], text[LINE_MAX_BYTES];
	size_t at = strlen(label);
	va_list args;

	va_start(args, format);
	vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	clean(s, raw, text);
	if (s->style->color)
		fprintf(s->out, "%s%s" PLAIN, colour, label);
	else
		fputs(label, s->out);
	if (at < column)
		at += (size_t)fprintf(s->out, "%*s", (int)(column - at), "");
	wrap(s, text, at, column ? column : 2);
}

static void __attribute__((format(printf, 2, 3))) head(struct screen *s, const char *format, ...)
{
	char text[128];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(s->out, s->style->color ? "\n" BOLD "%s" PLAIN "\n" : "\n%s\n", text);
}

struct words {
	char text[DURATION_TEXT_MAX];
};

/* How long ago; "?" for a time that was not seen. */
static struct words ago(const struct screen *s, uint64_t then)
{
	struct words w = { "?" };

	if (then)
		duration_text(age(s->look->now_ns, then), w.text);
	return w;
}

static struct words length(uint64_t ns)
{
	struct words w;

	duration_text(ns, w.text);
	return w;
}

/* "2026-11-22 08:42:13" where the reader is. */
static const char *local_time(const struct screen *s, uint64_t ts_ns, char buf[static 32])
{
	time_t seconds = (time_t)((ts_ns + s->in->wall_offset_ns) / 1000000000);
	struct tm tm;

	localtime_r(&seconds, &tm);
	strftime(buf, 32, "%Y-%m-%d %H:%M:%S", &tm);
	return buf;
}

/* ---- The verdict ---- */

static const char *verdict_label(enum verdict_kind kind, const char **colour)
{
	*colour = verdict_is_alive(kind) ? GREEN : kind == VERDICT_UNKNOWN ? YELLOW : RED;
	return verdict_is_alive(kind)    ? "not stuck: "
	       : kind == VERDICT_UNKNOWN ? "cannot tell: "
	                                 : "stuck: ";
}

static void show_verdict(struct screen *s)
{
	const struct cause *c = &s->in->diagnosis->causes[0];
	const char *colour, *label = verdict_label(c->kind, &colour);

	put_labelled(s, colour, label, 0, "%s", c->summary);
	if (*c->where && !strstr(c->summary, c->where))
		put(s, 2, 4, "%s", c->where);
}

/* From the process that holds the others back up to the target. */
static void show_process(struct screen *s, const struct cause *c)
{
	char text[1024] = "", name[DESCRIBE_NAME_MAX];
	uint32_t pid = c->pid;
	size_t at = 0;

	if (!pid || pid == s->look->pid || !s->evidence)
		return;
	/* a chain of processes is short; a longer one is a loop of made-up parents */
	for (int i = 0; i < 16 && pid && at < sizeof(text); i++) {
		const struct ev_process *p = evidence_process(s->evidence, pid);

		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%" PRIu32 " (%s)",
		                       i ? ", child of " : "", pid,
		                       describe_process(s->evidence, pid, name));
		if (pid == s->look->pid || (p && p->h.flags & EVF_ROOT))
			break;
		pid = p ? p->ppid : 0;
	}
	put_labelled(s, BOLD, "  process", KEY_COLUMN, "%s", text);
}

/* What was looked at. */
static void show_target(struct screen *s)
{
	const struct ev_process *p = s->evidence ? evidence_process(s->evidence, s->look->pid)
	                                         : NULL;
	struct bytes text = p ? process_text(p) : (struct bytes){ NULL, 0 };
	char *command = text.n ? command_mask(text.p, text.n) : NULL;

	/* one line of it is enough to know it again */
	put_labelled(s, BOLD, "  looked at", KEY_COLUMN, "%" PRIu32 "%s%s%s: %.*s%s", s->look->pid,
	             p ? ", " : "", p ? length(age(s->look->now_ns, p->start_ns)).text : "",
	             p ? " old" : "", COMMAND_SHOWN,
	             command ? command : "its command line was not seen",
	             command && strlen(command) > COMMAND_SHOWN ? "..." : "");
	free(command);
}

static void show_wake(struct screen *s, const struct wake *w)
{
	static const char *const answers[] = { [WAKE_UNKNOWN] = "unknown",
		                               [WAKE_AT] = "yes, at",
		                               [WAKE_NEVER] = "never",
		                               [WAKE_ON_EVENT] = "on an event" };
	char at[32] = "";

	if (w->answer == WAKE_AT)
		local_time(s, w->at_ns, at);
	put_labelled(s, BOLD, "  will wake", KEY_COLUMN, "%s%s%s%s%s", answers[w->answer],
	             *at ? " " : "", at, *w->why ? ": " : "", w->why);
}

static void show_certainty(struct screen *s, const struct cause *c)
{
	const char *sure = confidence_name(c->confidence);
	char at[32];

	if (c->since_ns)
		put_labelled(s, BOLD, "  since", KEY_COLUMN, "%s%s, %s%s ago",
		             local_time(s, c->since_ns, at), c->at_least ? " or earlier" : "",
		             c->at_least ? "at least " : "", ago(s, c->since_ns).text);
	else
		put_labelled(s, BOLD, "  since", KEY_COLUMN, "unknown: its beginning was not seen");
	put_labelled(s, BOLD, "  verdict", KEY_COLUMN, "%s%s%s", verdict_name(c->kind),
	             sure ? ", confidence " : "", sure ? sure : "");
}

static void show_evidence(struct screen *s, const struct cause *c)
{
	if (c->nevidence)
		head(s, "Evidence");
	for (int i = 0; i < c->nevidence; i++)
		put(s, 2, 4, "- %s", c->evidence[i]);
}

/* The same hangs in the same place of other processes, or on other connections to the same server. */
static bool cause_alike(const struct cause *a, const struct cause *b)
{
	char x[DESCRIBE_TEXT_MAX], y[DESCRIBE_TEXT_MAX];

	return a->kind == b->kind && *a->where && strcmp(a->where, b->where) == 0 && a->view &&
	       b->view && strcmp(describe_call(a->view, x), describe_call(b->view, y)) == 0;
}

static void show_cause(struct screen *s, const struct cause *c, unsigned alike)
{
	bool told = !*c->where || strstr(c->summary, c->where);

	put(s, 2, 4, "- %s: %s%s%s", verdict_name(c->kind), c->summary, told ? "" : "; ",
	    told ? "" : c->where);
	if (alike)
		put(s, 4, 6, "%u more like this", alike);
	for (int k = 0; s->style->all && k < c->nevidence; k++)
		put(s, 4, 6, "- %s", c->evidence[k]);
}

static void show_causes(struct screen *s)
{
	const struct diagnosis *d = s->in->diagnosis;
	unsigned left = d->omitted, shown = 0, alike[CAUSES_MAX] = { 0 };
	bool folded[CAUSES_MAX] = { false };

	for (int i = 1; i < d->ncauses && !s->style->all; i++)
		for (int k = 1; k < i && !folded[i]; k++) {
			folded[i] = !folded[k] && cause_alike(&d->causes[k], &d->causes[i]);
			alike[k] += folded[i];
		}
	if (d->ncauses > 1)
		head(s, verdict_is_alive(d->causes[0].kind)
		                ? "Waits, but does not hold the run back"
		                : "Other causes");
	for (int i = 1; i < d->ncauses; i++) {
		if (folded[i])
			continue;
		if (shown == CAUSES_SHOWN && !s->style->all) {
			left += 1 + alike[i];
			continue;
		}
		show_cause(s, &d->causes[i], alike[i]);
		shown++;
	}
	if (left)
		put(s, 2, 4, "and %u more", left);
}

/* ---- Calls ---- */

static int by_age(const void *a, const void *b)
{
	const struct call *x = (*(const struct call_view *const *)a)->call;
	const struct call *y = (*(const struct call_view *const *)b)->call;

	if (x->start_ns != y->start_ns)
		return x->start_ns < y->start_ns ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* "POST /v1/messages to 10.0.0.5:80 (LLM)", "sent, no byte of the reply": alike but for their ages. */
static bool call_alike(const struct call_view *a, const struct call_view *b)
{
	char x[DESCRIBE_TEXT_MAX], y[DESCRIBE_TEXT_MAX];

	return a->call->at_least == b->call->at_least &&
	       strcmp(describe_progress(a->call), describe_progress(b->call)) == 0 &&
	       strcmp(describe_call(a, x), describe_call(b, y)) == 0;
}

static void show_call(struct screen *s, const struct call_view *v)
{
	char what[DESCRIBE_TEXT_MAX], silent[64] = "";
	const struct call *c = v->call;

	if (c->first_byte_ns)
		snprintf(silent, sizeof(silent), ", silent for %s",
		         ago(s, call_silent_since(c)).text);
	put(s, 2, 4, "- %s, %s%s: %s%s", describe_call(v, what), c->at_least ? "at least " : "",
	    ago(s, c->start_ns).text, describe_progress(c), silent);
}

/* A call, and how many younger ones are like it; those are taken off the list. */
static void show_calls_alike(struct screen *s, const struct call_view **list, size_t n)
{
	const struct call_view *first = list[0], *newest = NULL;
	unsigned alike = 0;

	for (size_t i = 1; i < n; i++) {
		if (!list[i] || !call_alike(first, list[i]))
			continue;
		newest = list[i];
		list[i] = NULL;
		alike++;
	}
	show_call(s, first);
	if (alike)
		put(s, 4, 6, "%u more like this, the newest %s%s old", alike,
		    newest->call->at_least ? "at least " : "", ago(s, newest->call->start_ns).text);
}

/* The oldest first: that is the one the run waits for. */
static void show_calls(struct screen *s)
{
	const struct call_view **list = calloc(s->look->nopen + 1, sizeof(*list));
	const struct call_view *newest = NULL;
	size_t n = 0, shown = 0, left = 0;

	for (size_t i = 0; list && i < s->look->nopen; i++)
		if (s->look->open[i].call->class != CALL_HEARTBEAT)
			list[n++] = &s->look->open[i];
	if (n) {
		qsort(list, n, sizeof(*list), by_age);
		head(s, "In flight: %zu %s", n, n == 1 ? "call" : "calls");
	}
	for (size_t i = 0; i < n; i++) {
		if (!list[i])
			continue;
		if (s->style->all) {
			show_call(s, list[i]);
		} else if (shown++ < CALLS_SHOWN) {
			show_calls_alike(s, list + i, n - i);
		} else {
			newest = list[i];
			left++;
		}
	}
	if (left)
		put(s, 2, 4, "and %zu younger ones, the newest %s old", left,
		    ago(s, newest->call->start_ns).text);
	free(list);
}

/* ---- Threads ---- */

/* What is alike is shown once, and counted. */
struct group {
	char text[1024];
	char who[128]; /* the first of them */
	unsigned n;
};

struct groups {
	struct group *list; /* GROUPS_MAX */
	size_t n;
	unsigned beyond; /* found no room */
};

static void group_add(struct groups *g, const char *who, const char *text)
{
	size_t i = 0;

	while (i < g->n && strcmp(g->list[i].text, text) != 0)
		i++;
	if (i == GROUPS_MAX) {
		g->beyond++;
		return;
	}
	if (i == g->n) {
		snprintf(g->list[i].text, sizeof(g->list[i].text), "%s", text);
		snprintf(g->list[i].who, sizeof(g->list[i].who), "%s", who);
		g->list[g->n++].n = 0;
	}
	g->list[i].n++;
}

static void show_groups(struct screen *s, const struct groups *g)
{
	size_t shown = g->n < GROUPS_SHOWN ? g->n : GROUPS_SHOWN;
	unsigned left = g->beyond;

	for (size_t i = 0; i < g->n; i++) {
		if (i >= shown) {
			left += g->list[i].n;
			continue;
		}
		put(s, 2, 4, "- %s%s%s", g->list[i].who, *g->list[i].text ? ": " : "",
		    g->list[i].text);
		if (g->list[i].n > 1)
			put(s, 4, 6, "%u more like this", g->list[i].n - 1);
	}
	if (left)
		put(s, 2, 4, "and %u others; --all shows them", left);
}

/* "recvfrom on api.openai.com", "running", "futex": what a thread does, where it does it left aside. */
static void thread_doing(const struct screen *s, const struct ev_thread *t, char *buf, size_t n)
{
	char name[SYSCALL_NAME_MAX], place[DESCRIBE_TEXT_MAX] = "";
	const char *call = t->state == 'R' ? NULL : syscall_name(t->syscall, name);
	/* what poll and its like wait for, where it is one */
	bool one = call && syscall_multiplexes(t) && t->fds_total == 1 && thread_nfds(t) == 1;
	int fd = one ? t->fds[0] : call ? syscall_fd(t) : -1;
	const struct ev_fd *f = fd >= 0 ? evidence_fd(s->evidence, t->h.pid, fd) : NULL;

	if (f && f->sock)
		describe_endpoint(s->look, f->sock, place);
	if (f && !*place && !one && !bytes_start(fd_text(f), "anon_inode:"))
		snprintf(place, sizeof(place), "%.*s", (int)fd_text(f).n, fd_text(f).p);
	if (call && t->state == 'S')
		snprintf(buf, n, "%s%s%s%s", call, *place ? " on " : "", place,
		         strcmp(call, "futex") == 0 ? " (a lock or another thread)" : "");
	else
		snprintf(buf, n, "%s%s%s%s%s", describe_state(t->state), call ? " in " : "",
		         call ? call : "", *place ? " on " : "", place);
}

static void gil_text(const struct ev_frames *f, char *buf, size_t n)
{
	if (f && f->flags & FRAMES_GIL)
		snprintf(buf, n, ", holds the GIL");
	else if (f && f->flags & FRAMES_GIL_WAIT)
		snprintf(buf, n, ", waits for the GIL");
	else
		*buf = '\0';
}

static void thread_summary(const struct screen *s, const struct ev_thread *t, char *buf, size_t n)
{
	const struct ev_frames *f = evidence_frames(s->evidence, t->h.pid, t->h.tid);
	char doing[512], where[512] = "", gil[32];

	thread_doing(s, t, doing, sizeof(doing));
	gil_text(f, gil, sizeof(gil));
	if (f)
		frames_line(where, sizeof(where), frames_text(f), FRAMES_SHOWN);
	snprintf(buf, n, "%s%s%s%s", doing, gil, *where ? "; " : "", where);
}

static void thread_who(const struct screen *s, const struct ev_thread *t, char *buf, size_t n)
{
	struct bytes name = thread_text(t).name;
	bool first = t->h.pid == t->h.tid;

	snprintf(buf, n, "%s %" PRIu32 " (%.*s)%s%s", first ? "process" : "thread", t->h.tid,
	         (int)name.n, name.n ? name.p : "", t->blocked_since_ns ? ", " : "",
	         t->blocked_since_ns ? ago(s, t->blocked_since_ns).text : "");
}

static bool has_own_frames(const struct ev_frames *f)
{
	struct bytes rest = f ? frames_text(f) : (struct bytes){ NULL, 0 };
	struct frame frame;

	while (frames_next(&rest, &frame))
		if (frame_own(&frame))
			return true;
	return false;
}

static bool has_call(const struct look *l, const struct ev_thread *t)
{
	for (size_t i = 0; i < l->nopen; i++)
		if (l->open[i].call->pid == t->h.pid && l->open[i].call->tid == t->h.tid)
			return true;
	return false;
}

static bool matters(const struct screen *s, const struct ev_thread *t)
{
	const struct ev_frames *f = evidence_frames(s->evidence, t->h.pid, t->h.tid);

	return t->h.pid == t->h.tid || (f && f->flags & FRAMES_GIL) || has_call(s->look, t) ||
	       has_own_frames(f);
}

static void show_threads(struct screen *s)
{
	struct groups g = { calloc(GROUPS_MAX, sizeof(struct group)), 0, 0 };
	const struct ev_thread *const *list;
	char who[128], text[1024];
	unsigned helpers = 0;
	size_t n;

	list = evidence_threads(s->evidence, 0, &n);
	for (size_t i = 0; g.list && i < n; i++) {
		if (!matters(s, list[i])) {
			helpers++;
			continue;
		}
		thread_who(s, list[i], who, sizeof(who));
		thread_summary(s, list[i], text, sizeof(text));
		group_add(&g, who, text);
	}
	if (g.n) {
		head(s, "Threads that matter");
		show_groups(s, &g);
	}
	if (helpers)
		put(s, 2, 4, "and %u helper %s; --all shows %s", helpers,
		    helpers == 1 ? "thread" : "threads", helpers == 1 ? "it" : "them");
	free(g.list);
}

/* ---- asyncio tasks ---- */

static void task_summary(const struct ev_task *t, unsigned frames, char *buf, size_t n)
{
	struct task_text text = task_text(t);
	char where[768] = "";

	frames_line(where, sizeof(where), text.frames, frames);
	snprintf(buf, n, "%s%s%.*s", *where ? where : "no frames",
	         t->flags & FRAMES_RUNNING ? ", runs"
	         : text.awaits.n           ? ", awaits "
	                                   : "",
	         t->flags & FRAMES_RUNNING ? 0 : (int)text.awaits.n,
	         text.awaits.n ? text.awaits.p : "");
}

static void show_tasks(struct screen *s)
{
	struct groups g = { calloc(GROUPS_MAX, sizeof(struct group)), 0, 0 };
	const struct ev_task *const *list;
	char who[128], text[1024];
	size_t n;

	list = evidence_tasks(s->evidence, 0, &n);
	for (size_t i = 0; g.list && i < n; i++) {
		struct bytes name = task_text(list[i]).name;

		snprintf(who, sizeof(who), "%.*s", name.n ? (int)name.n : 4,
		         name.n ? name.p : "task");
		task_summary(list[i], FRAMES_SHOWN, text, sizeof(text));
		group_add(&g, who, text);
	}
	if (g.n) {
		head(s, "asyncio: %zu %s not done", n, n == 1 ? "task" : "tasks");
		show_groups(s, &g);
	}
	free(g.list);
}

/* ---- What was not seen, what to do, what was done ---- */

static void show_missing(struct screen *s)
{
	const struct ev_missing *const *list = NULL;
	const struct ev_process *const *processes = NULL;
	size_t n = 0, np = 0, shown;

	if (s->evidence) {
		list = evidence_missing(s->evidence, &n);
		processes = evidence_processes(s->evidence, &np);
	}
	if (n || !s->evidence || evidence_dropped(s->evidence))
		head(s, "Not seen");
	if (!s->evidence)
		put(s, 2, 4, "- no complete snapshot of processes, threads and sockets arrived");
	else if (evidence_dropped(s->evidence))
		put(s, 2, 4, "- %" PRIu64 " rows of the snapshot found no room",
		    evidence_dropped(s->evidence));
	shown = s->style->all || n <= MISSING_SHOWN ? n : MISSING_SHOWN;
	for (size_t i = 0; i < shown; i++) {
		struct missing_text m = missing_text(list[i]);
		char pid[32] = "";

		if (list[i]->h.pid)
			snprintf(pid, sizeof(pid), " of %" PRIu32, list[i]->h.pid);
		put(s, 2, 4, "- %.*s%s: %.*s", (int)m.what.n, m.what.p, pid, (int)m.why.n, m.why.p);
	}
	if (n > shown)
		put(s, 2, 4, "and %zu more", n - shown);
	for (size_t i = 0; i < np; i++) {
		const struct ev_frames *f =
			evidence_frames_missing(s->evidence, processes[i]->h.pid);

		if (f)
			put(s, 2, 4, "- Python functions of %" PRIu32 ": %.*s", processes[i]->h.pid,
			    (int)frames_text(f).n, frames_text(f).p);
	}
}

/* A command stays on one line, to be pasted; what it is for stands above it. */
static void show_step(struct screen *s, const char *step)
{
	const char *comment = strstr(step, "   # ");
	char text[LINE_MAX_BYTES], line[LINE_MAX_BYTES];

	if (!comment) {
		put(s, 2, 4, "- %s", step);
		return;
	}
	put(s, 2, 4, "- %s%s", comment + 5, comment[strlen(comment) - 1] == '?' ? "" : ":");
	snprintf(text, sizeof(text), "%.*s", (int)(comment - step), step);
	clean(s, text, line);
	fprintf(s->out, "      %s\n", line);
}

static void show_steps(struct screen *s)
{
	const struct cause *c = &s->in->diagnosis->causes[0];

	if (c->nsteps)
		head(s, "What to do");
	for (int i = 0; i < c->nsteps; i++)
		show_step(s, c->steps[i]);
}

/* ---- Everything: --all ---- */

static void show_frames(struct screen *s, const char *what, struct bytes rest)
{
	struct frame f;

	while (frames_next(&rest, &f)) {
		char line[32] = "";

		if (f.line)
			snprintf(line, sizeof(line), ":%" PRIu32, f.line);
		put(s, 6, 10, "%s %.*s (%.*s%s)", what, (int)f.function.n, f.function.p,
		    (int)f.file.n, f.file.p, line);
	}
}

static void show_kernel_stack(struct screen *s, struct bytes stack)
{
	while (stack.n) {
		const char *end = memchr(stack.p, ';', stack.n);
		size_t n = end ? (size_t)(end - stack.p) : stack.n;

		put(s, 6, 10, "kernel %.*s", (int)n, stack.p);
		stack = bytes_from(stack, n + 1);
	}
}

static void show_thread(struct screen *s, const struct ev_thread *t)
{
	const struct ev_frames *python = evidence_frames(s->evidence, t->h.pid, t->h.tid);
	const struct ev_frames *native = evidence_native(s->evidence, t->h.pid, t->h.tid);
	char who[128], doing[512], args[SYSCALL_ARGS_MAX] = "", gil[32], limit[64] = "";
	struct thread_text text = thread_text(t);

	thread_who(s, t, who, sizeof(who));
	thread_doing(s, t, doing, sizeof(doing));
	gil_text(python, gil, sizeof(gil));
	if (t->syscall >= 0 && t->state != 'R')
		syscall_args(t, args, sizeof(args));
	if (t->syscall >= 0 && t->timeout_ns >= 0)
		snprintf(limit, sizeof(limit), ", time limit %s",
		         length((uint64_t)t->timeout_ns).text);
	else if (t->syscall >= 0 && t->timeout_ns == TIMEOUT_NONE)
		snprintf(limit, sizeof(limit), ", no time limit");
	put(s, 4, 6, "%s: %s%s%s%s%s%s%s%.*s", who, doing, *args ? " (" : "", args,
	    *args ? ")" : "", limit, gil, text.wchan.n ? ", wait channel " : "", (int)text.wchan.n,
	    text.wchan.n ? text.wchan.p : "");
	if (python)
		show_frames(s, "python", frames_text(python));
	if (native)
		show_frames(s, "native", frames_text(native));
	show_kernel_stack(s, text.stack);
}

static void show_facts(struct screen *s, uint32_t pid)
{
	const struct ev_fact *const *list;
	char text[1024] = "";
	size_t n, at = 0;

	list = evidence_facts(s->evidence, pid, &n);
	for (size_t i = 0; i < n && at < sizeof(text); i++) {
		char fact[FACT_TEXT_MAX];

		if (*fact_text(list[i], fact))
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", at ? ", " : "",
			                       fact);
	}
	if (at)
		put(s, 4, 6, "%s", text);
}

static void show_processes(struct screen *s)
{
	const struct ev_process *const *list;
	size_t n;

	list = evidence_processes(s->evidence, &n);
	head(s, "Processes: %zu", n);
	for (size_t i = 0; i < n; i++) {
		struct bytes text = process_text(list[i]);
		char *command = text.n ? command_mask(text.p, text.n) : NULL;
		const struct ev_thread *const *threads;
		size_t nthreads;

		threads = evidence_threads(s->evidence, list[i]->h.pid, &nthreads);
		put(s, 2, 4, "%" PRIu32 ", child of %" PRIu32 ", user %" PRIu32 ", %s old: %s",
		    list[i]->h.pid, list[i]->ppid, list[i]->uid, ago(s, list[i]->start_ns).text,
		    command ? command : "(command line not seen)");
		free(command);
		show_facts(s, list[i]->h.pid);
		for (size_t k = 0; k < nthreads; k++)
			show_thread(s, threads[k]);
	}
}

static void show_all_tasks(struct screen *s)
{
	const struct ev_task *const *list;
	size_t n;

	list = evidence_tasks(s->evidence, 0, &n);
	if (n)
		head(s, "asyncio: %zu %s not done", n, n == 1 ? "task" : "tasks");
	for (size_t i = 0; i < n; i++) {
		struct task_text text = task_text(list[i]);

		put(s, 2, 4, "%.*s of process %" PRIu32 "%s%.*s%s", (int)text.name.n, text.name.p,
		    list[i]->h.pid, text.awaits.n ? ", awaits " : "", (int)text.awaits.n,
		    text.awaits.n ? text.awaits.p : "",
		    list[i]->flags & FRAMES_RUNNING ? ", runs" : "");
		show_frames(s, "python", text.frames);
	}
}

static void show_timers(struct screen *s, const struct ev_timers *t)
{
	char timer[64] = "";

	if (t->timer != TIMER_NONE)
		snprintf(timer, sizeof(timer), " in %s", length(t->timer_ns).text);
	put(s, 4, 6,
	    "timer %s%s, rto %" PRIu32 " ms doubled %u times, %u probes unanswered, user timeout "
	    "%" PRIu32 " ms, keepalive after %" PRIu32 " s every %" PRIu32 " s, %" PRIu32 " times",
	    tcp_timer_name(t->timer) ? tcp_timer_name(t->timer) : "?", timer, t->rto_us / 1000,
	    t->backoff, t->probes, t->user_timeout_ms, t->keep_idle_s, t->keep_interval_s,
	    t->keep_count);
}

static void show_tcp(struct screen *s, const struct ev_socket *k)
{
	const char *state = tcp_state_name(k->tcp_state);
	uint64_t at = k->h.ts_ns;

	put(s, 4, 6,
	    "%s, %" PRIu32 " unread, %" PRIu32 " unsent, %" PRIu32
	    " segments unacknowledged, %u retransmits unanswered, keepalive %s",
	    state ? state : "?", k->tcp_unread, k->tcp_unsent, k->tcp_unacked, k->tcp_retransmits,
	    k->keepalive ? "on" : "off");
	put(s, 4, 6, "last sent %s ago, last received %s ago, rtt %" PRIu32 " us",
	    ago(s, k->tcp_bytes_sent ? age(at, k->tcp_last_sent_ns) : 0).text,
	    ago(s, k->tcp_bytes_recv ? age(at, k->tcp_last_recv_ns) : 0).text, k->tcp_rtt_us);
}

static void show_holders(struct screen *s, uint64_t ino)
{
	const struct ev_holder *const *list;
	size_t n;

	list = evidence_holders(s->evidence, ino, &n);
	for (size_t i = 0; i < n; i++) {
		struct bytes name = holder_text(list[i]);

		put(s, 4, 6, "held by %" PRIu32 " (%.*s), descriptor %d, %s%s", list[i]->h.pid,
		    (int)name.n, name.n ? name.p : "", list[i]->fd,
		    list[i]->mode & 1 ? "reads" : "", list[i]->mode & 2 ? " writes" : "");
	}
}

static void show_sockets(struct screen *s)
{
	const struct ev_socket *const *list;
	size_t n;

	list = evidence_sockets(s->evidence, &n);
	if (n)
		head(s, "Sockets: %zu", n);
	for (size_t i = 0; i < n; i++) {
		const struct ev_timers *t = evidence_timers(s->evidence, list[i]->sock);
		char local[DESCRIBE_TEXT_MAX], remote[DESCRIBE_TEXT_MAX];
		uint32_t pid = list[i]->h.pid;
		int fd = list[i]->fd;

		evidence_owner(s->evidence, list[i]->sock, &pid, &fd);
		describe_address(list[i], false, local);
		describe_endpoint(s->look, list[i]->sock, remote);
		put(s, 2, 4, "descriptor %d of %" PRIu32 ": %s%s%s%s", fd, pid,
		    *local ? local : "unnamed", *remote ? " to " : "", remote,
		    list[i]->h.flags & EVF_LISTEN ? ", listens" : "");
		if (list[i]->h.flags & EVF_TCP && !(list[i]->h.flags & EVF_LISTEN))
			show_tcp(s, list[i]);
		if (t)
			show_timers(s, t);
		show_holders(s, list[i]->sock);
	}
}

static void show_pipes(struct screen *s)
{
	const struct ev_fd *const *list;
	bool any = false;
	size_t n;

	list = evidence_fds(s->evidence, 0, &n);
	for (size_t i = 0; i < n; i++) {
		uint64_t ino = fd_pipe(list[i]);

		if (!ino)
			continue;
		if (!any)
			head(s, "Pipes");
		any = true;
		put(s, 2, 4, "descriptor %d of %" PRIu32 ": %.*s", list[i]->fd, list[i]->h.pid,
		    (int)fd_text(list[i]).n, fd_text(list[i]).p);
		show_holders(s, ino);
	}
}

static void show_locks(struct screen *s)
{
	const struct ev_lock *const *list;
	size_t n;

	list = evidence_locks(s->evidence, &n);
	if (n)
		head(s, "File locks");
	for (size_t i = 0; i < n; i++) {
		const struct ev_lock *l = list[i];
		struct bytes path = lock_path(l);
		char who[32] = "nobody in particular";

		if (l->h.pid)
			snprintf(who, sizeof(who), "process %" PRIu32, l->h.pid);
		put(s, 2, 4, "%s %s %s for %s: %.*s (inode %" PRIu64 ")", who,
		    l->waits ? "waits for" : "holds",
		    lock_name(l->kind) ? lock_name(l->kind) : "a lock",
		    l->write ? "writing" : "reading", path.n ? (int)path.n : 1,
		    path.n ? path.p : "?", (uint64_t)l->ino);
	}
}

static void show_everything(struct screen *s)
{
	show_processes(s);
	show_all_tasks(s);
	show_sockets(s);
	show_pipes(s);
	show_locks(s);
}

/* ---- The whole ---- */

static struct screen screen_of(const struct run_error_input *in, const struct screen_style *style,
                               FILE *out)
{
	const struct evidence *e = in->look->evidence;

	return (struct screen){
		.out = out,
		.in = in,
		.look = in->look,
		.evidence = e && evidence_time(e) ? e : NULL,
		.style = style,
		.width = style->width > SCREEN_WIDTH_MIN ? style->width : SCREEN_WIDTH_MIN,
	};
}

void screen_verdict(const struct run_error_input *in, const struct screen_style *style, FILE *out)
{
	struct screen s = screen_of(in, style, out);

	show_verdict(&s);
}

void screen_note(const char *text, const struct screen_style *style, FILE *out)
{
	struct screen s = { .out = out, .style = style, .width = style->width };

	fputc('\n', out);
	put(&s, 0, 2, "%s", text);
}

void screen_print(const struct run_error_input *in, const struct screen_style *style, FILE *out)
{
	struct screen s = screen_of(in, style, out);
	const struct cause *c = &in->diagnosis->causes[0];

	show_verdict(&s);
	show_process(&s, c);
	if (!verdict_is_alive(c->kind)) {
		show_wake(&s, &c->wake);
		show_certainty(&s, c);
	}
	show_target(&s);
	show_evidence(&s, c);
	show_causes(&s);
	show_calls(&s);
	if (s.evidence && style->all) {
		show_everything(&s);
	} else if (s.evidence) {
		show_threads(&s);
		show_tasks(&s);
	}
	show_missing(&s);
	show_steps(&s);
}
