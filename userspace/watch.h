/* SPDX-License-Identifier: BSD-2-Clause */
/* What watch and run share: getting attached to a live process. */
#ifndef WATCH_H
#define WATCH_H
#include "session.h"

#define WATCH_TICK_MS 250

/* False after saying what is missing. */
bool watch_privileged(void);

/* Is pid something that can be looked at? False after saying why not. zombie: a process that has ended will do. */
bool watch_fits(uint32_t pid, bool zombie);

/* Attaches to o->pids (npids 0: o->pid alone) and what o->match finds, and says so; the source belongs to the session. program: the
 * file o->pid is about to run, NULL: it runs already. what: the target, for people. NULL after saying why. */
struct source *watch_attach(struct session *s, const struct options *o, const char *program,
                            const char *what);

#endif
