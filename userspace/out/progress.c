/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Progress for people: lays lines out for the width and height there are, and keeps them whole between lines of the log.
 *
 * On a terminal the cursor rests at the end of the first line, the run's: who else writes there then writes behind it,
 * nothing above is ever counted on but the lines into which a narrower terminal broke that one, and all that is older
 * lies below, where one sequence erases it.
 */
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
#define HEIGHT_DEFAULT 24
#define SPARE_COLUMNS \
	2 /* at the end of a line: for a ^C, and so that no terminal waits there to wrap */
#define BAR_MIN 5
#define BAR_MAX 40      /* a longer bar tells nothing more */
#define NAME_COLUMNS 40 /* names are the target's: they leave room for the rest */
#define UNIT_COLUMNS 16
#define LINE_SIZE 1024

#define ROWS_SHOWN 8 /* more than an eye can follow */
#define FRAME_LINES (1 + ROWS_SHOWN + 1)
#define ROW_BAR 10
#define ROW_NAME_MIN 8
#define ROW_NAME_MAX 32
#define ROW_NAME_SIZE 256            /* bytes of a name that are looked at */
#define LINGER_NS (1 * NS_PER_S)     /* a session between two turns is not gone */
#define LONG_TURN_NS (10 * NS_PER_S) /* what a turn must have lasted to push in */
#define SESSIONS_IN_LINE 3           /* named where there is no terminal */

#define CLEAR_LINE "\x1b[K"
#define CLEAR_BELOW "\x1b[J"
/* A terminal may be narrower already than it says: then lines are cut, not broken, and each takes one. */
#define WRAP_OFF "\x1b[?7l"
#define WRAP_ON "\x1b[?7h"

/* Text that grows; what does not fit is dropped. */
struct line {
	size_t n;
	char s[LINE_SIZE];
};

struct frame {
	size_t n;
	struct line lines[FRAME_LINES];
};

/* A session's place among the rows; it keeps it from its first turn that is seen in flight to its last. */
struct place {
	char name[ROW_NAME_SIZE];
	const struct progress_row
		*row;     /* as it is now; NULL it has none, valid while a frame is composed */
	uint64_t gone_ns; /* since when it has none */
};

struct progress {
	struct progress_config c;
	uint64_t next_ns; /* when something may be written again */
	bool finished;

	bool units_seen; /* units_done as it was when the first unit was seen, and when that was */
	uint64_t units_first, units_since_ns;

	struct place places[ROWS_SHOWN];
	size_t nplaces;
	size_t name_columns; /* the longest name so far: rows that come and go do not move the others sideways */
	bool nested;   /* there are rows */
	size_t hidden; /* sessions in flight without a place */

	struct frame frame;                /* as composed last */
	bool visible;                      /* it is on the terminal: */
	size_t drawn_lines, drawn_columns; /* of the first line */
	size_t drawn_width, drawn_height;  /* of the terminal then */
};

/* What a line may hold beside the counts. */
enum part {
	PART_BAR = 1 << 0,
	PART_TIMES = 1 << 1,
	PART_RATE = 1 << 2,
	PART_SPENT = 1 << 3,
	PART_NOW = 1 << 4,  /* calls in flight, or what the run is stuck on */
	PART_ALSO = 1 << 5, /* units beside turns, or turns beside units */
	PART_UNIT = 1 << 6, /* the unit's name */
	PART_ALL = (1 << 7) - 1,
};

/* What the run is measured by: turns, or the unit it counts in itself. */
struct measure {
	uint64_t done, total;     /* total 0: unknown */
	uint64_t first, since_ns; /* what was done when counting began, and when that was */
	const char *unit;         /* NULL turns */
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

static void add_cut(struct line *l, const char *name, size_t columns, bool utf8)
{
	char clean[NAME_COLUMNS * 4 + 1];

	text_clean(clean, sizeof(clean), name, !utf8);
	text_cut(clean, columns);
	add(l, "%s", clean);
}

static void add_name(struct line *l, const char *name, bool utf8)
{
	add_cut(l, name, NAME_COLUMNS, utf8);
}

static void add_spaces(struct line *l, size_t n)
{
	add(l, "%*s", (int)n, "");
}

static const char *dots(bool utf8)
{
	return utf8 ? "…" : "...";
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
static bool total_known(uint64_t done, uint64_t total)
{
	return total && done <= total;
}

/* Turns are finer than what the run counts in. */
static struct measure measure(const struct progress *p, const struct progress_state *s)
{
	if (!total_known(s->turns, s->total) && s->unit &&
	    total_known(s->units_done, s->units_total))
		return (struct measure){ s->units_done, s->units_total, p->units_first,
			                 p->units_since_ns, s->unit };
	return (struct measure){ .done = s->turns,
		                 .total = total_known(s->turns, s->total) ? s->total : 0,
		                 .since_ns = p->c.start_ns };
}

/* Time left at the pace so far; a stuck run has none. What was done before anybody watched tells no pace. */
static void add_left(struct line *l, const struct measure *m, bool stuck, uint64_t now_ns)
{
	double left = m->done > m->first
	                      ? (double)since(now_ns, m->since_ns) / NS_PER_S *
	                                (double)(m->total - m->done) / (double)(m->done - m->first)
	                      : -1;

	if (m->done == m->total)
		left = 0;
	if (left < 0 || left > 1e9 || stuck)
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

static void add_turns(struct line *l, const struct progress_state *s)
{
	add(l, "%" PRIu64 "%s", s->turns, s->turns == 1 ? " turn" : " turns");
}

static void add_unit(struct line *l, const char *unit, bool utf8)
{
	add(l, " ");
	add_cut(l, unit, UNIT_COLUMNS, utf8);
}

/* What the bar is not of. */
static void add_also(struct line *l, const struct progress_state *s, const struct measure *m,
                     bool utf8)
{
	if (m->unit) {
		add_turns(l, s);
		return;
	}
	add(l, "%" PRIu64, s->units_done);
	if (total_known(s->units_done, s->units_total))
		add(l, "/%" PRIu64, s->units_total);
	add_unit(l, s->unit, utf8);
}

/* "[00:31<00:43, 1.35turn/s, ...]", or nothing when no part of it is wanted or known. */
static void add_bracket(struct line *l, const struct progress *p, const struct progress_state *s,
                        uint64_t now_ns, unsigned parts)
{
	uint64_t elapsed_ns = since(now_ns, p->c.start_ns);
	struct measure m = measure(p, s);
	const char *comma = " [";

	if (parts & PART_TIMES) {
		add(l, "%s", comma);
		add_clock(l, elapsed_ns / NS_PER_S);
		if (m.total) {
			add(l, "<");
			add_left(l, &m, s->stuck_ns, now_ns);
		}
		comma = ", ";
	}
	if ((parts & PART_ALSO) && s->unit) {
		add(l, "%s", comma);
		add_also(l, s, &m, p->c.utf8);
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
static unsigned percent(uint64_t done, uint64_t total)
{
	if (total > UINT64_MAX / 100)
		return (unsigned)(done / (total / 100));
	return (unsigned)(done * 100 / total);
}

/* columns cells, the last one that is begun drawn in eighths. */
static void add_bar(struct line *l, uint64_t done, uint64_t total, size_t columns, bool utf8)
{
	static const char *const eighths[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
	size_t steps = utf8 ? 8 : 1;
	size_t filled = (size_t)((double)done / (double)total * (double)(columns * steps));
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

/* The run's line with these parts at the width given; false when they do not fit. */
static bool lay_out(struct line *l, const struct progress *p, const struct progress_state *s,
                    uint64_t now_ns, unsigned parts, size_t width)
{
	struct line tail = { 0 };
	struct measure m = measure(p, s);
	size_t fixed = sizeof("run: 100%|| ") - 1, columns;

	l->n = 0;
	if (!m.total) {
		add(l, "run: %" PRIu64 "turn", s->turns);
		add_bracket(l, p, s, now_ns, parts);
		return text_columns(l->s) <= width;
	}
	add(&tail, "%" PRIu64 "/%" PRIu64, m.done, m.total);
	if (m.unit && (parts & PART_UNIT))
		add_unit(&tail, m.unit, p->c.utf8);
	add_bracket(&tail, p, s, now_ns, parts);
	columns = fixed + text_columns(tail.s);
	add(l, "run: %3u%%", percent(m.done, m.total));
	if (parts & PART_BAR) {
		if (columns + BAR_MIN > width)
			return false;
		add_bar(l, m.done, m.total, width - columns < BAR_MAX ? width - columns : BAR_MAX,
		        p->c.utf8);
	}
	add(l, " %s", tail.s);
	return text_columns(l->s) <= width;
}

/* The most that fits. Narrow terminals keep what answers "is it alive?" longest. */
static void compose_run(struct line *l, const struct progress *p, const struct progress_state *s,
                        uint64_t now_ns, size_t width)
{
	static const unsigned working[] = {
		PART_ALL,
		PART_ALL & ~PART_SPENT,
		PART_BAR | PART_UNIT | PART_TIMES | PART_ALSO | PART_NOW,
		PART_BAR | PART_UNIT | PART_TIMES | PART_NOW,
		PART_BAR | PART_UNIT | PART_TIMES | PART_RATE,
		PART_BAR | PART_UNIT | PART_TIMES,
		PART_UNIT | PART_TIMES,
		PART_TIMES,
		PART_BAR | PART_UNIT,
		PART_BAR,
		PART_UNIT,
		0,
	};
	static const unsigned stuck[] = {
		PART_ALL,
		PART_ALL & ~PART_SPENT,
		PART_BAR | PART_UNIT | PART_TIMES | PART_ALSO | PART_NOW,
		PART_BAR | PART_UNIT | PART_TIMES | PART_NOW,
		PART_BAR | PART_UNIT | PART_NOW,
		PART_UNIT | PART_NOW,
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

/* ===== Who has a row ===== */

static const char *name_of(const struct progress_row *r)
{
	return r->name ? r->name : "?";
}

static size_t rows_given(const struct progress_state *s)
{
	return s->nrows < PROGRESS_ROWS_MAX ? s->nrows : PROGRESS_ROWS_MAX;
}

static size_t sessions(const struct progress_state *s)
{
	return s->nrows + s->rows_more;
}

static bool gone(const struct place *at, uint64_t now_ns)
{
	return !at->row && since(now_ns, at->gone_ns) >= LINGER_NS;
}

static struct place *place_of(struct progress *p, const struct progress_row *r)
{
	for (size_t i = 0; i < p->nplaces; i++) {
		struct place *at = &p->places[i];

		if (!at->row && strncmp(at->name, name_of(r), sizeof(at->name) - 1) == 0)
			return at;
	}
	return NULL;
}

/* For who comes new: of one that is gone, else below the others, else of one that has nothing in flight; else NULL. */
static struct place *place_free(struct progress *p, size_t room, uint64_t now_ns)
{
	struct place *longest = NULL;

	for (size_t i = 0; i < p->nplaces; i++) {
		struct place *at = &p->places[i];

		if (gone(at, now_ns))
			return at;
		if (!at->row && (!longest || at->gone_ns < longest->gone_ns))
			longest = at;
	}
	return p->nplaces < room ? &p->places[p->nplaces++] : longest;
}

static void place_take(struct place *at, const struct progress_row *r)
{
	snprintf(at->name, sizeof(at->name), "%s", name_of(r));
	at->row = r;
	at->gone_ns = 0;
}

/* A place is kept, but not against a session whose turn lasts much longer than all that are shown: where many are in
 * flight it may be the one that hangs. */
static void place_yield(struct progress *p, const struct progress_row *r, uint64_t now_ns)
{
	uint64_t age = r->turn_ns ? since(now_ns, r->turn_ns) : 0, oldest = 0, least = UINT64_MAX;
	struct place *youngest = NULL;

	for (size_t i = 0; i < p->nplaces; i++) {
		const struct progress_row *other = p->places[i].row;
		uint64_t a = other && other->turn_ns ? since(now_ns, other->turn_ns) : 0;

		if (a > oldest)
			oldest = a;
		if (a < least) {
			least = a;
			youngest = &p->places[i];
		}
	}
	if (youngest && age >= LONG_TURN_NS && age / 2 >= oldest)
		place_take(youngest, r);
}

/* Those that were there keep their places, who comes gets what is free. */
static void places_settle(struct progress *p, const struct progress_state *s, size_t room,
                          uint64_t now_ns)
{
	const struct progress_row *waiting[PROGRESS_ROWS_MAX];
	size_t n = 0, seated = 0;

	if (p->nplaces > room)
		p->nplaces = room;
	for (size_t i = 0; i < p->nplaces; i++)
		p->places[i].row = NULL;
	for (size_t i = 0; i < rows_given(s); i++) {
		struct place *at = place_of(p, &s->rows[i]);

		if (at)
			place_take(at, &s->rows[i]);
		else
			waiting[n++] = &s->rows[i];
	}
	for (size_t i = 0; i < p->nplaces; i++)
		if (!p->places[i].row && !p->places[i].gone_ns)
			p->places[i].gone_ns = now_ns;
	while (p->nplaces && gone(&p->places[p->nplaces - 1], now_ns))
		p->nplaces--;
	for (size_t i = 0; i < n; i++) {
		struct place *at = place_free(p, room, now_ns);

		if (!at) {
			place_yield(p, waiting[i], now_ns);
			break;
		}
		place_take(at, waiting[i]);
	}
	for (size_t i = 0; i < p->nplaces; i++)
		seated += p->places[i].row != NULL;
	p->hidden = sessions(s) - seated;
}

/* Rows begin when two sessions are in flight at once or one has a total of its own; all else the run's line says. They end
 * a little later, so that a pause between two turns does not make them come and go. */
static bool rows_wanted(const struct progress *p, uint64_t now_ns)
{
	size_t now = p->hidden, lately = p->hidden;

	for (size_t i = 0; i < p->nplaces; i++) {
		const struct place *at = &p->places[i];

		if (at->row && total_known(at->row->turns, at->row->total))
			return true;
		now += at->row != NULL;
		lately += !gone(at, now_ns);
	}
	return now > 1 || (p->nested && lately > 1);
}

/* ===== The rows ===== */

/* A longer name loses its middle: names that look alike mostly differ at an end. */
static void add_session(struct line *l, const char *name, size_t columns, bool utf8)
{
	char clean[ROW_NAME_SIZE];
	char *tail = clean + text_clean(clean, sizeof(clean), name, !utf8);
	size_t keep = columns - text_columns(dots(utf8));

	if (text_columns(clean) <= columns) {
		add(l, "%s", clean);
		return;
	}
	for (char *to = tail; to > clean && text_columns(to) <= keep / 2;) {
		tail = to;
		do
			to--;
		while (to > clean && ((unsigned char)*to & 0xc0) == 0x80);
	}
	add_cut(l, clean, keep - text_columns(tail), utf8);
	add(l, "%s%s", dots(utf8), tail);
}

static void add_closed(struct line *l, const struct progress_row *r, bool bar, bool utf8)
{
	if (r->unnamed) {
		add(l, "turn");
		return;
	}
	if (!total_known(r->turns, r->total)) {
		add(l, "%" PRIu64 "turn", r->turns);
		return;
	}
	add(l, "%3u%%", percent(r->turns, r->total));
	if (bar)
		add_bar(l, r->turns, r->total, ROW_BAR, utf8);
	add(l, " %" PRIu64 "/%" PRIu64, r->turns, r->total);
}

/* " [open 2.3s, openai 2.1s]", or nothing. */
static void add_open(struct line *l, const struct progress_row *r, bool waits, uint64_t now_ns,
                     bool utf8)
{
	const char *comma = " [";

	if (r->turn_ns) {
		add(l, "%sopen %s", comma, r->at_least ? ">=" : "");
		add_duration(l, since(now_ns, r->turn_ns), "");
		comma = ", ";
	}
	if (waits && r->waits_on) {
		add(l, "%s", comma);
		add_name(l, r->waits_on, utf8);
		if (r->waits_ns) {
			add(l, " ");
			add_duration(l, since(now_ns, r->waits_ns), "");
		}
		comma = ", ";
	}
	if (*comma == ',')
		add(l, "]");
}

/* Behind the row's head, from column from on, as much of what is open as fits; false when not all of it does. */
static bool add_tail(struct line *l, const struct progress_row *r, uint64_t now_ns, size_t from,
                     size_t width, bool utf8)
{
	for (int waits = 1; waits >= 0; waits--) {
		struct line tail = { 0 };

		add_open(&tail, r, waits, now_ns, utf8);
		if (from + text_columns(tail.s) > width)
			continue;
		if (tail.n)
			add_spaces(l, since(from, text_columns(l->s)));
		add(l, "%s", tail.s);
		return waits || !r->waits_on;
	}
	return false;
}

/* The rows with or without bars; false when something had to be left out for them. */
static bool lay_out_rows(struct frame *f, const struct progress *p, uint64_t now_ns, size_t width,
                         size_t name_columns, bool bars)
{
	size_t head = 0;
	bool all = true;

	f->n = 1;
	for (size_t i = 0; i < p->nplaces; i++) {
		struct line *l = &f->lines[f->n++];
		const struct place *at = &p->places[i];

		*l = (struct line){ 0 };
		add(l, "  ");
		add_session(l, at->name, name_columns, p->c.utf8);
		add(l, ":");
		add_spaces(l, since(2 + name_columns + 1 + 1, text_columns(l->s)));
		if (!at->row) {
			add(l, "no turn open");
			continue;
		}
		add_closed(l, at->row, bars, p->c.utf8);
		if (text_columns(l->s) > head)
			head = text_columns(l->s);
	}
	for (size_t i = 0; i < p->nplaces; i++)
		if (p->places[i].row)
			all &= add_tail(&f->lines[1 + i], p->places[i].row, now_ns, head, width,
			                p->c.utf8);
	return all;
}

static void compose_rows(struct frame *f, struct progress *p, uint64_t now_ns, size_t width)
{
	size_t limit = width / 3 < ROW_NAME_MIN ? ROW_NAME_MIN : width / 3;

	if (limit > ROW_NAME_MAX)
		limit = ROW_NAME_MAX;
	for (size_t i = 0; i < p->nplaces; i++) {
		char clean[ROW_NAME_SIZE];

		text_clean(clean, sizeof(clean), p->places[i].name, !p->c.utf8);
		if (text_columns(clean) > p->name_columns)
			p->name_columns = text_columns(clean);
	}
	if (limit > p->name_columns)
		limit = p->name_columns;
	if (!lay_out_rows(f, p, now_ns, width, limit, true))
		lay_out_rows(f, p, now_ns, width, limit, false);
	if (p->hidden)
		add(&f->lines[f->n++], "  %s and %zu more", dots(p->c.utf8), p->hidden);
	for (size_t i = 1; i < f->n; i++) {
		text_cut(f->lines[i].s, width);
		f->lines[i].n = strlen(f->lines[i].s);
	}
}

static void compose(struct frame *f, struct progress *p, const struct progress_state *s,
                    uint64_t now_ns, size_t width, size_t lines)
{
	size_t below = lines - 1;

	compose_run(&f->lines[0], p, s, now_ns, width);
	f->n = 1;
	if (sessions(s) > below && below)
		below--; /* for how many more there are */
	places_settle(p, s, below < ROWS_SHOWN ? below : ROWS_SHOWN, now_ns);
	p->nested = below && rows_wanted(p, now_ns);
	if (p->nested)
		compose_rows(f, p, now_ns, width);
}

/* ===== Writing it ===== */

static size_t terminal_width(const struct progress *p)
{
	int width = p->c.width ? p->c.width(p->c.ctx) : 0;

	return (size_t)(width > 0 ? width : WIDTH_DEFAULT);
}

static size_t terminal_height(const struct progress *p)
{
	int height = p->c.height ? p->c.height(p->c.ctx) : 0;

	return (size_t)(height > 0 ? height : HEIGHT_DEFAULT);
}

static size_t usable_width(const struct progress *p)
{
	return since(terminal_width(p), SPARE_COLUMNS);
}

/* Lines a frame may have: some of the log should stay in sight. */
static size_t usable_lines(const struct progress *p)
{
	size_t lines = terminal_height(p) * 2 / 3;

	if (lines < 1)
		return 1;
	return lines < FRAME_LINES ? lines : FRAME_LINES;
}

/* What goes to the terminal, in one piece, so that other writers come before or after it. */
struct batch {
	size_t n;
	char s[FRAME_LINES * (LINE_SIZE + 8) + 64];
};

static void put(struct batch *b, const char *s)
{
	size_t n = strlen(s);

	if (n > sizeof(b->s) - b->n)
		n = sizeof(b->s) - b->n;
	memcpy(b->s + b->n, s, n);
	b->n += n;
}

/* Moves the cursor n up (A) or right (C). */
static void put_move(struct batch *b, size_t n, char way)
{
	char s[32];

	snprintf(s, sizeof(s), "\x1b[%zu%c", n, way);
	if (n)
		put(b, s);
}

static void put_out(const struct batch *b, FILE *out)
{
	fwrite(b->s, 1, b->n, out);
	fflush(out);
}

static bool resized(const struct progress *p)
{
	return p->drawn_width != terminal_width(p) || p->drawn_height != terminal_height(p);
}

/* To the beginning of the frame that is on the terminal. One that became narrower since broke its first line into several,
 * and the cursor stands in the last of them. */
static void put_home(struct batch *b, const struct progress *p)
{
	put_move(b, since(p->drawn_columns, 1) / terminal_width(p), 'A');
	put(b, "\r");
}

/* Erases it. The first line is cleared from its beginning, else a terminal may go on to take it for one with the next. The
 * space is for those that keep a copy of a screen that is cleared from its first cell on. */
static void put_erase(struct batch *b, const struct progress *p)
{
	put_home(b, p);
	put(b, CLEAR_LINE);
	if (p->drawn_lines > 1 || resized(p))
		put(b, " " CLEAR_BELOW "\r");
}

static void draw(struct progress *p)
{
	struct batch b = { 0 };
	bool below = p->visible && p->drawn_lines > 1;

	if (p->visible && resized(p))
		put_erase(&b, p);
	put(&b, "\r" WRAP_OFF);
	for (size_t i = 0; i < p->frame.n; i++) {
		put(&b, i ? "\r\n" : "");
		put(&b, p->frame.lines[i].s);
		put(&b, i + 1 == p->frame.n && below ? CLEAR_BELOW : CLEAR_LINE);
	}
	p->visible = true;
	p->drawn_lines = p->frame.n;
	p->drawn_columns = text_columns(p->frame.lines[0].s);
	p->drawn_width = terminal_width(p);
	p->drawn_height = terminal_height(p);
	if (p->frame.n > 1) {
		put_move(&b, p->frame.n - 1, 'A');
		put(&b, "\r");
		put_move(&b, p->drawn_columns, 'C');
	}
	put(&b, WRAP_ON);
	put_out(&b, p->c.out);
}

/* Is what stands on the terminal the frame, and nobody touched it? A terminal that changes its size touches it. */
static bool drawn(const struct progress *p, const struct frame *f)
{
	if (!p->visible || f->n != p->frame.n || resized(p))
		return false;
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->lines[i].s, p->frame.lines[i].s) != 0)
			return false;
	return true;
}

static void redraw(struct progress *p, const struct progress_state *s, uint64_t now_ns,
                   size_t lines)
{
	struct frame f = { 0 };

	compose(&f, p, s, now_ns, usable_width(p), lines);
	if (drawn(p, &f))
		return;
	p->frame = f;
	draw(p);
}

/* "; 5 sessions in flight: s1 12.3s, s2 4.1s, s4 and 2 more" */
static void add_sessions(struct line *l, const struct progress *p, const struct progress_state *s,
                         uint64_t now_ns)
{
	size_t open = s->rows_more + s->nrows - rows_given(s), named = 0;

	for (size_t i = 0; i < rows_given(s); i++)
		open += s->rows[i].turn_ns != 0;
	if (open < 2)
		return;
	add(l, "; %zu sessions in flight:", open);
	for (size_t i = 0; i < rows_given(s) && named < SESSIONS_IN_LINE; i++) {
		const struct progress_row *r = &s->rows[i];

		if (!r->turn_ns)
			continue;
		add(l, named++ ? ", " : " ");
		add_session(l, name_of(r), ROW_NAME_MAX, p->c.utf8);
		add(l, r->at_least ? " >=" : " ");
		add_duration(l, since(now_ns, r->turn_ns), "");
	}
	if (open > named)
		add(l, " and %zu more", open - named);
}

static void write_line(struct progress *p, const struct progress_state *s, uint64_t now_ns)
{
	struct measure m = measure(p, s);
	struct line l = { 0 };

	add(&l, "whystuck: run: ");
	if (m.total) {
		add(&l, "%" PRIu64 "/%" PRIu64, m.done, m.total);
		add_unit(&l, m.unit ? m.unit : "turns", p->c.utf8);
		add(&l, " (%u%%)", percent(m.done, m.total));
	} else {
		add_turns(&l, s);
	}
	add_bracket(&l, p, s, now_ns, PART_ALL);
	add_sessions(&l, p, s, now_ns);
	add(&l, "\n");
	fwrite(l.s, 1, l.n, p->c.out);
	fflush(p->c.out);
}

/* The pace is that since the watch began, not of what was done before; who counts anew has a new pace. */
static void note_units(struct progress *p, const struct progress_state *s, uint64_t now_ns)
{
	if (!s->unit || (p->units_seen && s->units_done >= p->units_first))
		return;
	p->units_seen = true;
	p->units_first = s->units_done;
	p->units_since_ns = now_ns;
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
	if (p->finished || p->c.style == STYLE_NONE)
		return;
	note_units(p, s, now_ns);
	if (now_ns < p->next_ns)
		return;
	if (p->c.style == STYLE_BAR) {
		redraw(p, s, now_ns, usable_lines(p));
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
	note_units(p, s, now_ns);
	if (p->c.style == STYLE_BAR) {
		redraw(p, s, now_ns, 1);
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
	struct batch b = { 0 };

	if (p->finished || !p->visible)
		return;
	put_erase(&b, p);
	put_out(&b, p->c.out);
	p->visible = false;
}

/* The terminal may have become smaller since the frame was composed. */
void progress_show(void *progress)
{
	struct progress *p = progress;

	if (p->finished || p->visible || !p->frame.n)
		return;
	if (p->frame.n > usable_lines(p))
		p->frame.n = usable_lines(p);
	for (size_t i = 0; i < p->frame.n; i++)
		text_cut(p->frame.lines[i].s, usable_width(p));
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
	if (t->attribution_order)
		add(l, ", attribution by order");
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
