/* SPDX-License-Identifier: BSD-2-Clause */
/* Writing recordings, and the check every record read from one must pass. */
#include "recording.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/event_least.h"
#include "base/own.h"

#define BUFFER (256 << 10)

struct recording {
	int fd;
	int err;
	off_t whole; /* length of the file up to its last whole record */
	size_t n;
	char buf[BUFFER];
};

struct recording *recording_create(const char *path)
{
	struct recording *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->fd = own_file(AT_FDCWD, path, O_WRONLY | O_TRUNC);
	if (r->fd < 0) {
		errno = -r->fd;
		free(r);
		return NULL;
	}
	return r;
}

static int flush(struct recording *r)
{
	size_t at = 0;

	while (!r->err && at < r->n) {
		ssize_t k = write(r->fd, r->buf + at, r->n - at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0) {
			r->err = k < 0 ? -errno : -EIO;
			/* no half record stays behind; what was whole does */
			if (ftruncate(r->fd, r->whole))
				return r->err;
			break;
		}
		at += (size_t)k;
	}
	if (!r->err)
		r->whole += (off_t)r->n;
	r->n = 0;
	return r->err;
}

int recording_write(struct recording *r, const struct event *e)
{
	if (r->err)
		return r->err;
	if (r->n + e->size > BUFFER && flush(r))
		return r->err;
	memcpy(r->buf + r->n, e, e->size);
	r->n += e->size;
	return 0;
}

int recording_close(struct recording *r)
{
	int err;

	if (!r)
		return 0;
	flush(r);
	err = r->err;
	if (close(r->fd) && !err)
		err = -errno;
	free(r);
	return err;
}

int event_check(const struct event *e, size_t n)
{
	if (n < sizeof(*e) || e->size < sizeof(*e) || e->size > n || e->size > EVENT_SIZE_MAX)
		return -EPROTO;
	if (!event_least(e->type) || e->size < event_least(e->type))
		return -EPROTO;
	if (e->type == EV_DATA || e->type == EV_TLS || e->type == EV_WRITE) {
		const struct ev_data *d = (const void *)e;

		if (e->type == EV_WRITE && d->dir != DIR_OUT)
			return -EPROTO;
		if (d->n > EVENT_DATA_MAX || d->n != e->size - sizeof(*d) || d->dir > DIR_OUT ||
		    d->total > INT64_MAX || (d->n && (uint64_t)d->off + d->n > d->total))
			return -EPROTO;
	}
	if (e->type == EV_BODY && ((const struct ev_body *)e)->dir > DIR_OUT)
		return -EPROTO;
	if (e->type == EV_THREAD && ((const struct ev_thread *)e)->nfds > EVENT_FDS_MAX)
		return -EPROTO;
	if (e->type == EV_HELLO && ((const struct ev_hello *)e)->magic != EVENT_MAGIC)
		return -EPROTO;
	return 0;
}
