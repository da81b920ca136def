/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a target may say of its requests, frames and servers: lines of the input become the texts of one request, the
 * frames of one thread and one task, and configured names. Whatever they hold, what is told is clean and bounded.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <asm/unistd.h>

#include "identify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define PID 100
#define TEXT_MAX 4096

static void feed(struct evidence *e, void *fixed, size_t n, enum event_type type, struct bytes text)
{
	struct event *h = fixed, *copy;

	if (text.n > TEXT_MAX)
		text.n = TEXT_MAX;
	copy = malloc(n + text.n); /* of its own, so that the sanitizer sees where it ends */
	if (!copy)
		abort();
	h->type = type;
	h->size = (uint32_t)(n + text.n);
	h->pid = PID;
	h->ts_ns = 1000;
	memcpy(copy, fixed, n);
	if (text.n)
		memcpy((char *)copy + n, text.p, text.n);
	evidence_feed(e, copy);
	free(copy);
}

static void edge(struct evidence *e, uint16_t flags)
{
	struct event ev = { .flags = flags };

	feed(e, &ev, sizeof(ev), EV_SNAPSHOT, (struct bytes){ "", 0 });
}

/* Up to the next 0x1e. */
static struct bytes part(struct bytes *rest)
{
	const char *end = rest->n ? memchr(rest->p, 0x1e, rest->n) : NULL;
	struct bytes b = { rest->p, end ? (size_t)(end - rest->p) : rest->n };

	*rest = bytes_from(*rest, b.n + (end != NULL));
	return b;
}

static void check(struct identify *i, const struct call_view *v)
{
	struct identity id;

	identify_call(i, v, &id);
	if (!memchr(id.host, 0, sizeof(id.host)) || !memchr(id.op, 0, sizeof(id.op)) || !id.how ||
	    strpbrk(id.host, "@/?# \n") || strpbrk(id.op, "?#\n") == id.op)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct bytes rest = { (const char *)data, n };
	struct ev_request r = { .h = { .tid = PID } }, tr = { .task = 1 };
	struct ev_frames f = { .h = { .tid = PID }, .kind = FRAMES_PYTHON };
	struct ev_task task = { .h = { .tid = PID }, .task = 1 };
	struct ev_thread t = { .h = { .tid = PID }, .fds_total = 1, .nfds = 1, .fds = { 3 } };
	struct ev_fd fd = { .sock = 7, .fd = 3 };
	struct ev_socket s = { .h = { .flags = EVF_SEEDED | EVF_TCP },
		               .sock = 7,
		               .family = AF_INET,
		               .kind = SOCK_STREAM,
		               .remote_port = 7001,
		               .remote = { 127, 0, 0, 1 },
		               .tcp_state = 1 };
	struct call call = { .op = "" };
	struct endpoint endpoint = { .class = CALL_OTHER };
	struct call_view v = { &call, &endpoint, 7 };

	for (int loop = 0; loop < 2; loop++, rest = (struct bytes){ (const char *)data, n }) {
		struct evidence *e = evidence_new();
		struct identify *i;
		struct awaited rows[4];

		if (!e)
			abort();
		edge(e, EVF_BEGIN);
		feed(e, &s, sizeof(s), EV_SOCKET, (struct bytes){ "", 0 });
		feed(e, &fd, sizeof(fd), EV_FD, (struct bytes){ "", 0 });
		t.syscall = loop ? __NR_epoll_pwait : __NR_recvfrom;
		t.fds_total = loop ? 2 : 1;
		feed(e, &t, sizeof(t), EV_THREAD, (struct bytes){ "", 0 });
		feed(e, loop ? &tr : &r, sizeof(r), EV_REQUEST, part(&rest));
		if (loop)
			feed(e, &task, sizeof(task), EV_TASK, part(&rest));
		else
			feed(e, &f, sizeof(f), EV_FRAMES, part(&rest));
		for (uint32_t k = 0; rest.n && k < 4; k++) {
			struct ev_name name = { .index = k,
				                .port = 7001,
				                .family = k % 2 ? AF_INET : 0,
				                .addr = { 127, 0, 0, 1 } };

			feed(e, &name, sizeof(name), EV_NAME, part(&rest));
		}
		edge(e, 0);
		i = identify_new(e, &v, 1);
		if (i)
			check(i, &v);
		identify_free(i);
		i = identify_new(e, &v, 0);
		if (i)
			identify_awaited(i, rows, 4);
		identify_free(i);
		evidence_free(e);
	}
	return 0;
}
