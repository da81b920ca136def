/* SPDX-License-Identifier: BSD-2-Clause */
/* What lines mean: from lines of logs and of output to marks, by the rules of a source or a profile (turn_mark.h). */
#ifndef TURN_MARK_READER_H
#define TURN_MARK_READER_H
#include "turn_mark.h"
#include "turn_mark/log_line.h"

struct mark_reader;

/* NULL: out of memory. s and ops stay the caller's and are copied. */
struct mark_reader *mark_reader_new(const struct turns_spec *s, const struct turn_marks_ops *ops);
void mark_reader_free(struct mark_reader *r);

/* Output is read at all. */
bool mark_reader_output(const struct mark_reader *r);
/* A line that is an object, of a log of that profile's (NULL: nobody's in particular). when: its lane and times. False: it
 * says nothing of turns there. */
bool mark_reader_log(struct mark_reader *r, const struct turns_profile *of,
                     const struct log_line *l, const struct turn_mark *when);
/* A line of output. */
void mark_reader_text(struct mark_reader *r, const char *line, const struct turn_mark *when);
/* The profile whose log was seen, NULL none yet. */
const struct turns_profile *mark_reader_profile(const struct mark_reader *r);
#endif
