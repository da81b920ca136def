/* SPDX-License-Identifier: BSD-2-Clause */
/* Functions a thread or task is in, as records hold them (struct ev_frames, struct ev_task). */
#ifndef FRAMES_H
#define FRAMES_H
#include "base/bytes.h"

/* A function, and the line it is at; 0: not known. */
struct frame {
	struct bytes function, file;
	uint32_t line;
};
/* The next frame of what frames_text() or task_text() gave, innermost first; false after the last. */
bool frames_next(struct bytes *rest, struct frame *frame);

/*
 * "ask_llm (llm.py:120) <- reply (agent.py:88)" from what frames_text() or task_text() gave: at most
 * max frames, innermost first, files without their directories. The standard library's and installed
 * packages' are left out where there are frames of the program's own. Cut to n bytes, between two
 * frames where it can be. Returns buf, which is empty when there are no frames.
 */
char *frames_line(char *buf, size_t n, struct bytes frames, unsigned max);
/* Of the program itself, not of the standard library or an installed package? */
bool frame_own(const struct frame *f);
/*
 * Is it that function of a file whose path ends so? function: the last part of its name ("get" of
 * "Queue.get"), NULL any. A file that ends in '/' stands for a package: the path contains it.
 */
bool frame_is(const struct frame *f, const char *file, const char *function);
/* Is one of the frames that? */
bool frames_have(struct bytes frames, const char *file, const char *function);
#endif
