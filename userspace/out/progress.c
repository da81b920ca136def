/* SPDX-License-Identifier: BSD-2-Clause */
/* Progress for people: lays a line out for the width there is, and keeps it whole between lines of the log. */
#include "progress.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/text.h"
#include "base/times.h"

#define REDRAW_NS (100 * NS_PER_MS)   /* as often as an eye can use, and as tqdm does */
#define FIRST_LINE_NS (10 * NS_PER_S) /* short runs say one line, at their end */
#define NEXT_LINE_NS (30 * NS_PER_S)
#define WIDTH_DEFAULT 80
#define BAR_MIN 5
#define BAR_MAX 40      /* a longer bar tells nothing more */
#define NAME_COLUMNS 40 /* names are the target's: they leave room for the rest */
#define LINE_SIZE 1024

/* Text that grows; what does not fit is dropped. */
struct line {
	size_t n;
	char s[LINE_SIZE];
};

struct progress {
	struct progress_config c;
	uint64_t next_ns; /* when something may be written again */
	bool visible;     /* the bar is on the terminal */
	bool finished;
	struct line last; /* the bar as drawn last */
};

/* What a line may hold beside the counts. */
enum part {
	PART_BAR = 1 << 0,
	PART_TIMES = 1 << 1,
	PART_RATE = 1 << 2,
	PART_SPENT = 1 << 3,
	PART_NOW = 1 << 4, /* calls in flight, or what the run is stuck on */
	PART_ALL = PART_BAR | PART_TIMES | PART_RATE | PART_SPENT | PART_NOW,
};

static void __attribute__((format(printf, 2, 3))) add(struct line *l, const char *fmt, ...)
{
	size_t room = sizeof(l->s) - l->n;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->s + l->n, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		l->n += (size_t)n < room ? (size_t)n : room - 1;
}

static void add_name(struct line *l, const char *name, bool utf8)
{
	char clean[NAME_COLUMNS * 4 + 1];

	text_clean(clean, sizeof(clean), name, !utf8);
	text_cut(clean, NAME_COLUMNS);
	add(l, "%s", clean);
}

/* "3.1ms" "812ms" "2.3s" "4m05s" "12m" "3h05m": about three digits. sep stands before the unit; with one, seconds have
 * another digit, for sums that people check. Minutes are rounded down: an age is never overstated. */
static void add_duration(struct line *l, uint64_t ns, const char *sep)
{
	double ms = (double)ns / NS_PER_MS, s = ms / 1000;
	uint64_t whole = ns / NS_PER_S;

	if (ns == 0)
		add(l, "0%sms", sep);
	else if (ms < 0.05)
		add(l, "<0.1%sms", sep);
	else if (ms < 9.95)
		add(l, "%.1f%sms", ms, sep);
	else if (ms < 999.5)
		add(l, "%.0f%sms", ms, sep);
	else if (*sep && s < 9.995)
		add(l, "%.2f%ss", s, sep);
	else if (s < 59.95)
		add(l, "%.1f%ss", s, sep);
	else if (whole < 60)
		add(l, "60%ss", sep);
	else if (whole < 600)
		add(l, "%" PRIu64 "%sm%s%02" PRIu64 "%ss", whole / 60, sep, sep, whole % 60, sep);
	else if (whole < 3600)
		add(l, "%" PRIu64 "%sm", whole / 60, sep);
	else
		add(l, "%" PRIu64 "%sh%s%02" PRIu64 "%sm", whole / 3600, sep, sep, whole / 60 % 60,
		    sep);
}

/* ===== The line ===== */

static uint64_t since(uint64_t now_ns, uint64_t then_ns)
{
	return now_ns > then_ns ? now_ns - then_ns : 0;
}

/* "00:31", "2:05:00", as tqdm writes it. */
static void add_clock(struct line *l, uint64_t s)
{
	if (s >= 3600)
		add(l, "%" PRIu64 ":", s / 3600);
	add(l, "%02" PRIu64 ":%02" PRIu64, s / 60 % 60, s % 60);
}

/* A total that was passed was no total. */
static bool total_known(const struct progress_state *s)
{
	return s->total && s->turns <= s->total;
}

/* Time left at the pace so far; a stuck run has none. */
static void add_left(struct line *l, const struct progress_state *s, uint64_t elapsed_ns)
{
	double left = s->turns ? (double)elapsed_ns / NS_PER_S * (double)(s->total - s->turns) /
	                                 (double)s->turns
	                       : -1;

	if (s->turns == s->total)
		left = 0;
	if (left < 0 || left > 1e9 || s->stuck_ns)
		add(l, "?");
	else
		add_clock(l, (uint64_t)(left + 0.5));
}

static void add_rate(struct line *l, uint64_t turns, uint64_t elapsed_ns)
{
	double per_s = elapsed_ns ? (double)turns * NS_PER_S / (double)elapsed_ns : 0;

	if (per_s <= 0)
		add(l, "?turn/s");
	else if (per_s >= 1)
		add(l, "%.*fturn/s", per_s < 1000 ? 2 : 0, per_s);
	else
		add(l, "%.*fs/turn", per_s > 0.01 ? 2 : 0, 1 / per_s);
}

static void add_spent(struct line *l, const struct progress_state *s)
{
	if (s->llm_ns >= 0) {
		add(l, "llm=");
		add_duration(l, (uint64_t)s->llm_ns, "");
	}
	if (s->storage_ns >= 0) {
		add(l, s->llm_ns >= 0 ? " storage=" : "storage=");
		add_duration(l, (uint64_t)s->storage_ns, "");
	}
}

static void add_stuck(struct line *l, const struct progress_state *s, uint64_t now_ns, bool utf8)
{
	add(l, "stuck ");
	add_duration(l, since(now_ns, s->stuck_ns), "");
	if (!s->stuck_on)
		return;
	add(l, ": ");
	add_name(l, s->stuck_on, utf8);
	if (s->stuck_on_ns) {
		add(l, " for ");
		add_duration(l, since(now_ns, s->stuck_on_ns), "");
	}
}

static void add_in_flight(struct line *l, const struct progress_state *s, uint64_t now_ns,
                          bool utf8)
{
	add(l, "in flight: ");
	if (s->in_flight > 1 || !s->oldest)
		add(l, "%" PRIu32 "%s", s->in_flight, s->oldest ? ", oldest " : "");
	if (!s->oldest)
		return;
	add_name(l, s->oldest, utf8);
	add(l, s->oldest_at_least ? " >=" : " ");
	add_duration(l, since(now_ns, s->oldest_ns), "");
	if (s->oldest_slow)
		add(l, " slow");
}

/* "[00:31<00:43, 1.35turn/s, ...]", or nothing when no part of it is wanted or known. */
static void add_bracket(struct line *l, const struct progress *p, const struct progress_state *s,
                        uint64_t now_ns, unsigned parts)
{
	uint64_t elapsed_ns = since(now_ns, p->c.start_ns);
	const char *comma = " [";

	if (parts & PART_TIMES) {
		add(l, "%s", comma);
		add_clock(l, elapsed_ns / NS_PER_S);
		if (total_known(s)) {
			add(l, "<");
			add_left(l, s, elapsed_ns);
		}
		comma = ", ";
	}
	if (parts & PART_RATE) {
		add(l, "%s", comma);
		add_rate(l, s->turns, elapsed_ns);
		comma = ", ";
	}
	if ((parts & PART_SPENT) && (s->llm_ns >= 0 || s->storage_ns >= 0)) {
		add(l, "%s", comma);
		add_spent(l, s);
		comma = ", ";
	}
	if ((parts & PART_NOW) && (s->stuck_ns || s->in_flight)) {
		add(l, "%s", comma);
		if (s->stuck_ns)
			add_stuck(l, s, now_ns, p->c.utf8);
		else
			add_in_flight(l, s, now_ns, p->c.utf8);
		comma = ", ";
	}
	if (*comma == ',')
		add(l, "]");
}

/* Rounded down: 100 is said when all are done. */
static unsigned percent(const struct progress_state *s)
{
	if (s->total > UINT64_MAX / 100)
		return (unsigned)(s->turns / (s->total / 100));
	return (unsigned)(s->turns * 100 / s->total);
}

/* columns cells, the last one that is begun drawn in eighths. */
static void add_bar(struct line *l, const struct progress_state *s, size_t columns, bool utf8)
{
	static const char *const eighths[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
	size_t steps = utf8 ? 8 : 1;
	size_t filled = (size_t)((double)s->turns / (double)s->total * (double)(columns * steps));
	size_t used = filled / steps;

	add(l, "|");
	for (size_t i = 0; i < used; i++)
		add(l, "%s", utf8 ? "█" : "#");
	if (filled % steps) {
		add(l, "%s", eighths[filled % steps]);
		used++;
	}
	for (; used < columns; used++)
		add(l, "%s", utf8 ? " " : "-");
	add(l, "|");
}

/* The bar with these parts at the width given; false when they do not fit. */
static bool lay_out(struct line *l, const struct progress *p, const struct progress_state *s,
                    uint64_t now_ns, unsigned parts, size_t width)
{
	struct line tail = { 0 };
	size_t fixed = sizeof("run: 100%|| ") - 1, columns;

	l->n = 0;
	if (!total_known(s)) {
		add(l, "run: %" PRIu64 "turn", s->turns);
		add_bracket(l, p, s, now_ns, parts);
		return text_columns(l->s) <= width;
	}
	add(&tail, "%" PRIu64 "/%" PRIu64, s->turns, s->total);
	add_bracket(&tail, p, s, now_ns, parts);
	columns = fixed + text_columns(tail.s);
	add(l, "run: %3u%%", percent(s));
	if (parts & PART_BAR) {
		if (columns + BAR_MIN > width)
			return false;
		add_bar(l, s, width - columns < BAR_MAX ? width - columns : BAR_MAX, p->c.utf8);
	}
	add(l, " %s", tail.s);
	return text_columns(l->s) <= width;
}

/* The most that fits. Narrow terminals keep what answers "is it alive?" longest. */
static void compose(struct line *l, const struct progress *p, const struct progress_state *s,
                    uint64_t now_ns, size_t width)
{
	static const unsigned working[] = {
		PART_ALL,
		PART_ALL & ~PART_SPENT,
		PART_BAR | PART_TIMES | PART_NOW,
		PART_BAR | PART_TIMES | PART_RATE,
		PART_BAR | PART_TIMES,
		PART_TIMES,
		PART_BAR,
		0,
	};
	static const unsigned stuck[] = {
		PART_ALL,
		PART_ALL & ~PART_SPENT,
		PART_BAR | PART_TIMES | PART_NOW,
		PART_BAR | PART_NOW,
		PART_NOW,
	};
	const unsigned *choice = s->stuck_ns ? stuck : working;
	size_t n = s->stuck_ns ? sizeof(stuck) / sizeof(stuck[0])
	                       : sizeof(working) / sizeof(working[0]);

	for (size_t i = 0; i < n; i++)
		if (lay_out(l, p, s, now_ns, choice[i], width))
			return;
	text_cut(l->s, width);
	l->n = strlen(l->s);
}

/* ===== Writing it ===== */

/* In one piece, so that other writers come before or after it. */
static void draw(struct progress *p)
{
	struct line frame = { 0 };

	add(&frame, "\r%s\x1b[K", p->last.s);
	fwrite(frame.s, 1, frame.n, p->c.out);
	fflush(p->c.out);
	p->visible = true;
}

/* The last column stays free: a terminal that waits there to wrap would lose it to the erasing that follows. */
static size_t usable_width(const struct progress *p)
{
	int width = p->c.width ? p->c.width(p->c.ctx) : 0;

	return (size_t)(width > 0 ? width : WIDTH_DEFAULT) - 1;
}

static void redraw(struct progress *p, const struct progress_state *s, uint64_t now_ns)
{
	struct line l = { 0 };

	compose(&l, p, s, now_ns, usable_width(p));
	if (p->visible && strcmp(l.s, p->last.s) == 0)
		return;
	p->last = l;
	draw(p);
}

static void write_line(struct progress *p, const struct progress_state *s, uint64_t now_ns)
{
	struct line l = { 0 };

	add(&l, "whystuck: run: %" PRIu64, s->turns);
	if (total_known(s))
		add(&l, "/%" PRIu64 " turns (%u%%)", s->total, percent(s));
	else
		add(&l, s->turns == 1 ? " turn" : " turns");
	add_bracket(&l, p, s, now_ns, PART_ALL);
	add(&l, "\n");
	fwrite(l.s, 1, l.n, p->c.out);
	fflush(p->c.out);
}

struct progress *progress_new(const struct progress_config *c)
{
	struct progress *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->c = *c;
	if (c->style == STYLE_LINES)
		p->next_ns = c->start_ns + FIRST_LINE_NS;
	return p;
}

void progress_free(struct progress *p)
{
	free(p);
}

void progress_update(struct progress *p, const struct progress_state *s, uint64_t now_ns)
{
	if (p->finished || p->c.style == STYLE_NONE || now_ns < p->next_ns)
		return;
	if (p->c.style == STYLE_BAR) {
		redraw(p, s, now_ns);
		p->next_ns = now_ns + REDRAW_NS;
	} else {
		write_line(p, s, now_ns);
		p->next_ns = now_ns + NEXT_LINE_NS;
	}
}

void progress_finish(struct progress *p, const struct progress_state *s, uint64_t now_ns)
{
	if (p->finished)
		return;
	if (p->c.style == STYLE_BAR) {
		redraw(p, s, now_ns);
		fputc('\n', p->c.out);
		fflush(p->c.out);
	} else if (p->c.style == STYLE_LINES) {
		write_line(p, s, now_ns);
	}
	p->finished = true;
}

void progress_hide(void *progress)
{
	struct progress *p = progress;

	if (p->finished || !p->visible)
		return;
	fputs("\r\x1b[K", p->c.out);
	fflush(p->c.out);
	p->visible = false;
}

void progress_show(void *progress)
{
	struct progress *p = progress;

	if (!p->finished && !p->visible && p->last.n)
		draw(p);
}

/* ===== One turn ===== */

static void add_sum(struct line *l, const struct turn *t)
{
	uint64_t wall = since(t->end_ns, t->start_ns);
	uint64_t busy = since(t->llm_ns + t->storage_ns + t->backoff_ns, t->overlap_ns);

	add(l, t->at_least ? "at least " : "");
	add_duration(l, wall, " ");
	add(l, " = llm ");
	add_duration(l, t->llm_ns, " ");
	add(l, " + storage ");
	add_duration(l, t->storage_ns, " ");
	if (t->backoff_ns) {
		add(l, " + backoff ");
		add_duration(l, t->backoff_ns, " ");
	}
	if (t->overlap_ns) {
		add(l, " - overlap ");
		add_duration(l, t->overlap_ns, " ");
	}
	add(l, " + other ");
	add_duration(l, since(wall, busy), " ");
}

static void add_tokens(struct line *l, int64_t n, const char *what)
{
	if (n < 0)
		add(l, " ? %s", what);
	else
		add(l, " %" PRId64 " %s", n, what);
}

static void add_llm(struct line *l, const struct turn *t)
{
	add(l, ", ttft ");
	if (t->ttft_ns < 0)
		add(l, "?");
	else
		add_duration(l, (uint64_t)t->ttft_ns, " ");
	add(l, ", tokens");
	add_tokens(l, t->tokens.in, "in");
	add_tokens(l, t->tokens.out, "out");
}

static void add_remarks(struct line *l, const struct turn *t)
{
	if (partial_name(t->partial))
		add(l, ", partial: %s", partial_name(t->partial));
	if (t->boundary_guessed)
		add(l, ", boundary guessed");
}

static void add_outcome(struct line *l, const struct turn *t)
{
	if (t->retries)
		add(l, ", %" PRIu32 " %s", t->retries, t->retries == 1 ? "retry" : "retries");
	add(l, ", %s", turn_status_name(t->status));
	if (t->status == TURN_OK)
		return add_remarks(l, t);
	if (t->error_kind[0])
		add(l, " %s", t->error_kind);
	else if (t->error_http_status)
		add(l, " http %d", t->error_http_status);
	if (t->error_endpoint[0])
		add(l, " at %s", t->error_endpoint);
	add_remarks(l, t);
}

void progress_turn_line(char *buf, size_t n, const struct turn *t)
{
	const char *role = llm_role_name(t->role);
	struct line l = { 0 };

	add(&l, "%s turn %" PRIu32 "%s%s: ", t->session_id, t->turn_index, role ? " " : "",
	    role ? role : "");
	add_sum(&l, t);
	if (t->llm_calls)
		add_llm(&l, t);
	add_outcome(&l, t);
	text_clean(buf, n, l.s, false);
}
