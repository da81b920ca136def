/* SPDX-License-Identifier: BSD-2-Clause */
/* A watch from open files to the last line: what watch, run and replay have in common. */
#ifndef SESSION_H
#define SESSION_H
#include "options.h"
#include "pipeline.h"
#include "source.h"

struct session;

/* Opens the output directory (made if missing) and its files; pid names the default directory, 0: no PID does (--match). replay: files are begun
 * anew. NULL after saying why. */
struct session *session_new(struct options *o, uint32_t pid, bool replay);

/* A look on demand: nothing is written, bar the recording if one is asked for. NULL after saying why. */
struct session *session_new_look(struct options *o);

/* The callback and context to open a source with; then the source itself. */
void session_event(void *session, const struct event *e);
void session_source(struct session *s, struct source *source);

/* Signals that end the session; for run, SIGINT is the child's business. */
void session_signals(bool ignore_interrupt);

/* Polls until the stream ends or a signal comes. on_signal: NULL, or what to do with SIGTERM instead of ending. 0 or
 * -errno of the source. */
int session_loop(struct session *s, void (*on_terminate)(void *ctx), void *ctx);

/* Polls once, at most timeout_ms. 0, 1 at the end of the stream, or -errno of the source. */
int session_poll(struct session *s, int timeout_ms);
/* A signal that ends the session came since this was asked last. */
bool session_interrupted(void);

/* A full snapshot now. 0 or -errno. */
int session_inspect(struct session *s);
/* Its result comes as EV_ACTION. */
void session_act(struct session *s, const struct source_action *a);
/* Ends the stream before its time. */
void session_finish(struct session *s);

/* Detaches, writes what is to be written. Exit status: EXIT_OK, EXIT_STALLED, EXIT_ERROR. */
int session_end(struct session *s);
void session_free(struct session *s);

const char *session_dir(const struct session *s);
struct pipeline *session_pipeline(struct session *s);

#endif
