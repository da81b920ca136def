/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a run itself says of its turns, by the lines it writes: to a log (jsonl) or to its output (stdout). Lines are put
 * together from EV_WRITE records and read; what they say comes out as marks, in order. Texts of messages are never kept.
 *
 * Which files. A log is a regular file whose path matches the glob of jsonl:PATH-GLOB, of the profile, or (auto) of any
 * profile; a glob that does not begin with '/' matches the end of a path, from a '/' on; '*' crosses '/'. A path that is not
 * known is no log's; it may come later. Output is what is written through descriptors 1 and 2.
 *
 * Lines. Records of one file are put together by their place in its stream, so that threads and processes may write to it
 * at once. A line ends with '\n', and belongs to the thread and the times of the write that ended it. Where bytes are
 * missing, the line is torn: counted, never read. But no end of a line that holds a JSON object is an object itself (it
 * closes one brace too many, or has its quotes the wrong way round): what stands between missing bytes and '\n' and is
 * one, is a whole line.
 *
 * What they say:
 * - goodai-ltm: events of the master log (a line with a number `type` of 0..10, a number `timestamp`, a string `test_id`
 *   and an object `data`): 0 and 3, messages sent, are MARK_TURN, 4 and 5, the answers, MARK_REPLY; 1 and 2 begin and end
 *   a session; 6, 7 and 8 are MARK_ASIDE. test_id is the session, that of fill messages, which have none, is "fill". The
 *   timestamp comes from a faked clock and is not used. Output: "Number of tests to run: N." and "M of N tests finished."
 * - jsonl of no profile: each line that is an object is MARK_TURN (fields: turn_mark/log_line.h); one with the role of an
 *   assistant, a tool or the system is MARK_REPLY if the line that its lane wrote before is of the same session. Where
 *   an assistant's line opened the turn, the next of the assistant's is the next turn.
 * - stdout:REGEX: each line of output that matches is MARK_TURN; the first group is the session, the second the index, if
 *   it is a number (turn_mark/text_line.h has what is left out of a line).
 * - auto: the logs of profiles, and only lines of the one certain shape. Totals told before the log was seen are
 *   remembered, and told when it is.
 * - others: totals alone, if there is a profile.
 */
#ifndef TURN_MARK_H
#define TURN_MARK_H
#include "call.h"
#include "event.h"
#include "turn_source/source.h"
#include "turn_source/spec.h"

/* Files read at once; further ones are not (counted). A runner may well have one a session. */
#define MARK_FILES_MAX 4096
/* Lines that have begun and not ended, in all files together; one more is not read (counted as cut). Lines of logs are
 * read as they come, of output up to 16 KB are kept: 18 MB at the very most. */
#define MARK_LINES_MAX 1024
/* Of a write to output so many bytes are read: whoever writes more at once writes no lines for people. */
#define MARK_OUTPUT_MAX (64u << 10)
/* Longest path looked at: PATH_MAX. */
#define MARK_PATH_MAX 4096

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
	struct lane_id lane;      /* who wrote the line's end */
	uint64_t start_ns, ts_ns; /* entry and return of the write that ended the line */
	char session_id[64];      /* "" not told */
	int64_t turn_index;       /* as the log counts, -1 not told */
	enum llm_role role;       /* of the line's message, LLM_ROLE_NONE not told */
	uint64_t n;               /* total, done */
	const char *unit;         /* total, done: of what, static: "tests"; else NULL */
};

struct turn_marks;
struct turn_marks_ops {
	void (*mark)(void *ctx, const struct turn_mark *m);
	/* No more than n bytes of a write to this file are of use; 0: none; UINT32_MAX: all. Called when it is decided,
	 * and again when more has become known of the file (its path), or if it is announced again and of no use. */
	void (*follow)(void *ctx, uint64_t ino, uint64_t dev, uint32_t n);
	void *ctx;
};

/* s and ops are copied, its profile must last. NULL: out of memory. */
struct turn_marks *turn_marks_new(const struct turns_spec *s, const struct turn_marks_ops *ops);
void turn_marks_free(struct turn_marks *m);
void turn_marks_file(struct turn_marks *m, const struct ev_file *e);
void turn_marks_write(struct turn_marks *m, const struct ev_data *e);

/* The profile whose log was seen, NULL none yet. */
const struct turns_profile *turn_marks_profile(const struct turn_marks *m);
/* The log that was found first, for people: jsonl by its path, auto by its lines. "" none yet. */
const char *turn_marks_path(const struct turn_marks *m);

struct turn_marks_counts {
	uint64_t lines; /* that ended */
	uint64_t odd;   /* of a log, whole, and no object, or not of its profile's shape */
	uint64_t
		cut; /* of output, longer than TEXT_LINE_MAX; or not read: MARK_LINES_MAX, no memory */
	uint64_t
		torn; /* not seen whole; where many bytes in a row are missing, more than that may be */
	uint64_t files_passed;
};
struct turn_marks_counts turn_marks_counts(const struct turn_marks *m);
#endif
