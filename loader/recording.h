/* SPDX-License-Identifier: BSD-2-Clause */
/* A recording: the event stream as it was, record after record, EV_HELLO first. */
#ifndef RECORDING_H
#define RECORDING_H
#include <stddef.h>
#include "event.h"

struct recording;

/* Creates (or empties) the file, 0600. NULL with errno set. */
struct recording *recording_create(const char *path);
/* Buffered. 0 or -errno; after an error nothing more is written and every call returns it. The file then ends with a
 * whole record. */
int recording_write(struct recording *r, const struct event *e);
/* 0, or the first error of its life. Frees. */
int recording_close(struct recording *r);

/* Does a record hold together: known type, length fitting its type, what it says of its payload inside it? n is how many
 * bytes there are. Everything behind the reader relies on it. */
int event_check(const struct event *e, size_t n);

#endif
