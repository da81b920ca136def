/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a run itself says of its turns, by the lines it writes: to a log (jsonl) or to its output (stdout). Lines are put
 * together from EV_WRITE records and read; what they say comes out as marks, in order. Texts of messages are never kept.
 */
#ifndef TURN_MARK_H
#define TURN_MARK_H
#include "call.h"
#include "event.h"
#include "turn_source/source.h"
#include "turn_source/spec.h"

/* Longest line that is read whole; of a longer one the first so many bytes are (counted). */
#define MARK_LINE_MAX (1u << 20)
/* Files followed at once; further ones are not (counted). */
#define MARK_FILES_MAX 256

enum mark_kind {
	MARK_TURN,          /* a turn has ended: its calls were made before */
	MARK_REPLY,         /* belongs to the turn just ended: its reply */
	MARK_ASIDE,         /* calls made since the last mark were the runner's own: in no turn */
	MARK_SESSION_BEGIN, /* a test, a conversation begins ... */
	MARK_SESSION_END,   /* ... or is over */
	MARK_TOTAL,         /* so many units there are to do */
	MARK_DONE,          /* so many of them are done */
};

struct turn_mark {
	enum mark_kind kind;
	struct lane_id lane;      /* who wrote the line */
	uint64_t start_ns, ts_ns; /* entry and return of the write that ended the line */
	char session_id[64];      /* "" not told */
	int64_t turn_index;       /* as the log counts, -1 not told */
	enum llm_role role;       /* of the message that opened the turn, LLM_ROLE_NONE not told */
	uint64_t n;               /* total, done */
	const char *unit;         /* total, done: of what, static: "tests", "turns" */
};

struct turn_marks;
struct turn_marks_ops {
	void (*mark)(void *ctx, const struct turn_mark *m);
	/* No more than n bytes of a write to this file are of use; 0: none. Called once for each file it is decided for. */
	void (*follow)(void *ctx, uint64_t ino, uint64_t dev, uint32_t n);
	void *ctx;
};

/*
 * s: jsonl: only its files are read (and, of a profile, output lines that tell totals); stdout: only output; auto: log
 * lines that a profile knows for sure, and totals; others: totals alone. NULL: out of memory.
 */
struct turn_marks *turn_marks_new(const struct turns_spec *s, const struct turn_marks_ops *ops);
void turn_marks_free(struct turn_marks *m);
void turn_marks_file(struct turn_marks *m, const struct ev_file *e);
void turn_marks_write(struct turn_marks *m, const struct ev_data *e);

/* auto: the profile whose log was seen, NULL none yet; its path for people, "" none. */
const struct turns_profile *turn_marks_profile(const struct turn_marks *m);
const char *turn_marks_path(const struct turn_marks *m);
/* Lines that ended, lines cut at MARK_LINE_MAX, lines with bytes that were not seen, files not followed. */
struct turn_marks_counts {
	uint64_t lines, cut, torn, files_passed;
};
struct turn_marks_counts turn_marks_counts(const struct turn_marks *m);
#endif
