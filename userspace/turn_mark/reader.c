/* SPDX-License-Identifier: BSD-2-Clause */
/* A table of interpreters: one a profile, and one for logs of nobody's in particular. */
#include "turn_mark/reader.h"

#include <regex.h>
#include <stdlib.h>

/* Lanes whose last line is remembered, the least recently used go first. */
#define LANES_MAX 1024
/* Most digits of a number of units. */
#define DIGITS_MAX 18

/* The last line a lane wrote to a log. */
struct lane {
	struct lane_id id;
	uint64_t used; /* when, counted in lines; 0 free */
	uint64_t session;
	enum llm_role opened; /* by whose message its turn was opened */
};

struct interpreter {
	const char *profile; /* NULL: nobody's in particular */
	/* Fills m. False: the line has not the shape, or says nothing of turns. *silent: it has the shape and no mark. */
	bool (*log)(struct mark_reader *r, const struct log_line *l, struct turn_mark *m,
	            bool *silent);
	/* Of a line of output: how many of all units are done (UINT64_MAX not told). False: says neither. NULL: none do. */
	bool (*totals)(const char *line, uint64_t *done, uint64_t *total);
	const char *unit;
};

/* Totals that were told before it was known whose output this is. */
struct remembered {
	const struct interpreter *by;
	struct turn_mark total, done;
	bool has_total, has_done;
};

struct mark_reader {
	struct turns_spec spec;
	struct turn_marks_ops ops;
	regex_t regex;
	bool has_regex;
	const struct turns_profile *profile;
	struct remembered before;
	uint64_t lines;
	struct lane lanes[LANES_MAX];
};

/* ---- logs of nobody's in particular ---- */

/* The lane's last line; of a lane without one a free or the oldest place. */
static struct lane *lane_of(struct mark_reader *r, struct lane_id id)
{
	struct lane *oldest = &r->lanes[0];

	for (size_t i = 0; i < LANES_MAX; i++) {
		struct lane *l = &r->lanes[i];

		if (l->used && lane_same(l->id, id))
			return l;
		if (l->used < oldest->used)
			oldest = l;
	}
	*oldest = (struct lane){ .id = id };
	return oldest;
}

/* A pair of question and answer in two lines is one turn. Where the assistant's lines open the turns (a log of answers
 * alone) the next of its lines is the next turn. */
static bool generic_log(struct mark_reader *r, const struct log_line *l, struct turn_mark *m,
                        bool *silent)
{
	struct lane *lane = lane_of(r, m->lane);
	bool follows = lane->used && lane->session == l->session.hash, replies;

	*silent = false;
	replies = l->role == LLM_ROLE_TOOL || l->role == LLM_ROLE_SYSTEM ||
	          (l->role == LLM_ROLE_ASSISTANT && lane->opened != LLM_ROLE_ASSISTANT);
	m->kind = follows && replies ? MARK_REPLY : MARK_TURN;
	id_text_write(&l->session, m->session_id);
	m->turn_index = l->turn_index;
	m->role = l->role;
	lane->used = ++r->lines;
	lane->session = l->session.hash;
	if (m->kind == MARK_TURN)
		lane->opened = l->role;
	return true;
}

/* ---- goodai-ltm ---- */

/* Events of the master log by their number. */
static bool goodai_log(struct mark_reader *r, const struct log_line *l, struct turn_mark *m,
                       bool *silent)
{
	static const struct {
		enum mark_kind kind;
		bool message;
		bool silent; /* registrations of callbacks: nothing of turns */
	} events[] = {
		[0] = { MARK_TURN, .message = true },  /* SEND_MESSAGE */
		[1] = { MARK_SESSION_BEGIN },          /* BEGIN */
		[2] = { MARK_SESSION_END },            /* END */
		[3] = { MARK_TURN, .message = true },  /* SEND_FILL */
		[4] = { MARK_REPLY, .message = true }, /* RESPONSE_MESSAGE */
		[5] = { MARK_REPLY, .message = true }, /* RESPONSE_FILL */
		[6] = { MARK_ASIDE },                  /* WAIT */
		[7] = { MARK_ASIDE },                  /* SUITE_RESET */
		[8] = { MARK_ASIDE },      /* LLM_CALL: the test's own, not the agent's */
		[9] = { .silent = true },  /* REGISTER_CALLBACK */
		[10] = { .silent = true }, /* DEREGISTER_CALLBACK */
	};
	const size_t n = sizeof(events) / sizeof(events[0]);

	(void)r;
	if (l->type < 0 || (size_t)l->type >= n || !l->has_timestamp || !l->has_test_id ||
	    !l->has_data)
		return false;
	*silent = events[l->type].silent;
	m->kind = events[l->type].kind;
	id_text_write(&l->test_id, m->session_id);
	/* fill is of no test: a conversation of its own, so that its turns are counted */
	if (events[l->type].message && !l->test_id.n)
		strcpy(m->session_id, "fill");
	if (events[l->type].message)
		m->role = m->kind == MARK_TURN ? LLM_ROLE_USER : LLM_ROLE_ASSISTANT;
	return true;
}

/* The whole line is the pattern, each '#' in it a number. */
static bool numbers_read(const char *line, const char *pattern, uint64_t *n)
{
	for (; *pattern; pattern++) {
		size_t digits = strspn(line, "0123456789");

		if (*pattern == '#') {
			if (!digits || digits > DIGITS_MAX)
				return false;
			*n++ = strtoull(line, NULL, 10);
			line += digits;
		} else if (*line++ != *pattern) {
			return false;
		}
	}
	return !*line;
}

static bool goodai_totals(const char *line, uint64_t *done, uint64_t *total)
{
	uint64_t n[2];

	*done = UINT64_MAX;
	if (numbers_read(line, "Number of tests to run: #.", n)) {
		*total = n[0];
		return true;
	}
	if (!numbers_read(line, "# of # tests finished.", n))
		return false;
	*done = n[0];
	*total = n[1];
	return true;
}

/* ---- all ---- */

static const struct interpreter interpreters[] = {
	{ "goodai-ltm", goodai_log, goodai_totals, "tests" },
	{ NULL, generic_log, NULL, NULL },
};

static const struct interpreter *interpreter_of(const struct turns_profile *p)
{
	const struct interpreter *i = interpreters;

	while (i->profile && (!p || strcmp(i->profile, p->name) != 0))
		i++;
	return i;
}

static void emit(struct mark_reader *r, const struct turn_mark *m)
{
	r->ops.mark(r->ops.ctx, m);
}

/* From now on it is known whose run this is. */
static void profile_seen(struct mark_reader *r, const struct turns_profile *p)
{
	struct remembered *b = &r->before;

	r->profile = p;
	if (b->by && b->by == interpreter_of(p) && b->has_total)
		emit(r, &b->total);
	if (b->by && b->by == interpreter_of(p) && b->has_done)
		emit(r, &b->done);
	*b = (struct remembered){ 0 };
}

bool mark_reader_log(struct mark_reader *r, const struct turns_profile *of,
                     const struct log_line *l, const struct turn_mark *when)
{
	const struct interpreter *i = interpreter_of(of);
	struct turn_mark m = *when;
	bool silent = false;

	if (r->profile && r->profile != of) /* another's log beside it: one run has one */
		return false;
	if (!i->log(r, l, &m, &silent))
		return false;
	if (of && !r->profile)
		profile_seen(r, of);
	if (!silent)
		emit(r, &m);
	return true;
}

static void totals_told(struct mark_reader *r, const struct interpreter *i, uint64_t done,
                        uint64_t total, const struct turn_mark *when)
{
	struct remembered *b = &r->before;
	bool known = r->profile || r->spec.profile;
	struct turn_mark m = *when;

	m.unit = i->unit;
	m.kind = MARK_TOTAL;
	m.n = total;
	if (known) {
		emit(r, &m);
	} else {
		b->by = i;
		b->has_total = true;
		b->total = m;
	}
	if (done == UINT64_MAX)
		return;
	m.kind = MARK_DONE;
	m.n = done;
	if (known) {
		emit(r, &m);
	} else {
		b->has_done = true;
		b->done = m;
	}
}

static void totals_read(struct mark_reader *r, const char *line, const struct turn_mark *when)
{
	const struct turns_profile *p = r->spec.profile ? r->spec.profile : r->profile;
	uint64_t done, total;

	if (!p && r->spec.kind != TURNS_AUTO)
		return;
	for (const struct interpreter *i = interpreters; i->profile; i++) {
		if ((p && strcmp(i->profile, p->name) != 0) || !i->totals ||
		    !i->totals(line, &done, &total))
			continue;
		totals_told(r, i, done, total, when);
		return;
	}
}

static struct bytes group(const char *line, const regmatch_t *g)
{
	if (g->rm_so < 0)
		return (struct bytes){ "", 0 };
	return (struct bytes){ line + g->rm_so, (size_t)(g->rm_eo - g->rm_so) };
}

static void regex_read(struct mark_reader *r, const char *line, const struct turn_mark *when)
{
	regmatch_t g[3] = { { -1, -1 }, { -1, -1 }, { -1, -1 } };
	struct turn_mark m = *when;
	struct id_text session = { 0 };
	struct bytes index;
	char digits[DIGITS_MAX + 1];

	if (regexec(&r->regex, line, 3, g, 0) != 0)
		return;
	m.kind = MARK_TURN;
	id_text_add(&session, group(line, &g[1]));
	id_text_write(&session, m.session_id);
	index = group(line, &g[2]);
	if (index.n && index.n <= DIGITS_MAX) {
		memcpy(digits, index.p, index.n);
		digits[index.n] = '\0';
		if (strspn(digits, "0123456789") == index.n)
			m.turn_index = strtoll(digits, NULL, 10);
	}
	emit(r, &m);
}

void mark_reader_text(struct mark_reader *r, const char *line, const struct turn_mark *when)
{
	totals_read(r, line, when);
	if (r->has_regex)
		regex_read(r, line, when);
}

bool mark_reader_output(const struct mark_reader *r)
{
	return r->has_regex || r->spec.kind == TURNS_AUTO || r->spec.profile;
}

const struct turns_profile *mark_reader_profile(const struct mark_reader *r)
{
	return r->profile;
}

struct mark_reader *mark_reader_new(const struct turns_spec *s, const struct turn_marks_ops *ops)
{
	struct mark_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->spec = *s;
	r->ops = *ops;
	/* it was compiled once when the option was read: what fails now is the memory */
	if (s->kind == TURNS_STDOUT && regcomp(&r->regex, s->arg, REG_EXTENDED)) {
		free(r);
		return NULL;
	}
	r->has_regex = s->kind == TURNS_STDOUT;
	return r;
}

void mark_reader_free(struct mark_reader *r)
{
	if (!r)
		return;
	if (r->has_regex)
		regfree(&r->regex);
	free(r);
}
