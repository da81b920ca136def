/* SPDX-License-Identifier: BSD-2-Clause */
/* Words for rows of the evidence. */
#include "out/describe.h"

#include <inttypes.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

const char *describe_address(const struct ev_socket *s, bool remote,
                             char buf[static DESCRIBE_TEXT_MAX])
{
	uint16_t port = remote ? s->remote_port : s->local_port;
	struct bytes path = socket_path(s);
	char ip[INET6_ADDRSTRLEN];

	*buf = '\0';
	if (s->family == AF_UNIX)
		snprintf(buf, DESCRIBE_TEXT_MAX, "%.*s", (int)path.n, path.n ? path.p : "");
	else if ((s->family == AF_INET || s->family == AF_INET6) &&
	         inet_ntop(s->family, remote ? s->remote : s->local, ip, sizeof(ip)))
		snprintf(buf, DESCRIBE_TEXT_MAX, s->family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip,
		         port);
	return buf;
}

static const struct endpoint *endpoint_of(const struct look *l, uint64_t sock)
{
	const struct endpoint *e = l->endpoint_of ? l->endpoint_of(l->ctx, sock) : NULL;

	for (size_t i = 0; !e && i < l->nopen; i++)
		if (l->open[i].sock == sock)
			e = l->open[i].endpoint;
	return e;
}

const char *describe_endpoint(const struct look *l, uint64_t sock,
                              char buf[static DESCRIBE_TEXT_MAX])
{
	const struct ev_socket *s = sock && l->evidence ? evidence_socket(l->evidence, sock) : NULL;
	const struct endpoint *e = sock ? endpoint_of(l, sock) : NULL;

	*buf = '\0';
	if (e && *e->name)
		snprintf(buf, DESCRIBE_TEXT_MAX, "%s", e->name);
	else if (s && !(s->h.flags & EVF_LISTEN))
		describe_address(s, true, buf);
	return buf;
}

const char *describe_call(const struct call_view *v, char buf[static DESCRIBE_TEXT_MAX])
{
	const struct call *c = v->call;
	const struct endpoint *e = v->endpoint;
	const char *op = *c->op ? c->op : "a request", *kind = "";

	if (c->class == CALL_LLM)
		kind = "LLM";
	else if (c->class == CALL_STORAGE)
		kind = e && *e->label ? e->label : "storage";
	snprintf(buf, DESCRIBE_TEXT_MAX, "%s %s %s%s%s%s", op, c->inbound ? "from" : "to",
	         e && *e->name ? e->name : "an unnamed endpoint", *kind ? " (" : "", kind,
	         *kind ? ")" : "");
	return buf;
}

const char *describe_progress(const struct call *c)
{
	if (c->inbound)
		return "being answered by this process";
	if (c->blocks)
		return "meant to wait";
	if (c->first_byte_ns || c->bytes_in)
		return "the reply began";
	if (c->sent_ns)
		return c->at_least ? "sent, no byte of the reply since we look"
		                   : "sent, no byte of the reply";
	return c->at_least ? "no byte of the reply since we look" : "being sent";
}

const char *describe_process(const struct evidence *e, uint32_t pid,
                             char buf[static DESCRIBE_NAME_MAX])
{
	const struct ev_thread *const *list;
	size_t n = 0;

	snprintf(buf, DESCRIBE_NAME_MAX, "?");
	list = e ? evidence_threads(e, pid, &n) : NULL;
	for (size_t i = 0; i < n; i++) {
		struct bytes name = thread_text(list[i]).name;

		if (list[i]->h.tid == pid && name.n)
			snprintf(buf, DESCRIBE_NAME_MAX, "%.*s", (int)name.n, name.p);
	}
	return buf;
}

const char *describe_state(uint8_t state)
{
	static const struct {
		uint8_t letter;
		const char *word;
	} states[] = {
		{ 'R', "running" }, { 'S', "sleeping" }, { 'D', "uninterruptible" },
		{ 'T', "stopped" }, { 't', "traced" },   { 'Z', "zombie" },
		{ 'X', "dead" },    { 'I', "idle" },     { 'P', "parked" },
	};

	for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++)
		if (states[i].letter == state)
			return states[i].word;
	return "?";
}

static const char *name_of(const char *const *names, size_t n, uint32_t i)
{
	return i < n ? names[i] : NULL;
}

#define NAME_OF(names, i) name_of(names, sizeof(names) / sizeof(*(names)), i)

const char *size_text(uint64_t bytes, char buf[static 32])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double n = (double)bytes;
	size_t u = 0;

	for (; n >= 1024 && u + 1 < sizeof(units) / sizeof(*units); u++)
		n /= 1024;
	snprintf(buf, 32, u ? "%.1f %s" : "%.0f %s", n, units[u]);
	return buf;
}

const char *fact_text(const struct ev_fact *f, char buf[static FACT_TEXT_MAX])
{
	uint64_t v = f->value, limit = f->limit;
	char of[48] = "", size[32], duration[DURATION_TEXT_MAX];

	*buf = '\0';
	if (limit && f->kind == FACT_MEMORY)
		snprintf(of, sizeof(of), " of at most %s", size_text(limit, size));
	else if (limit)
		snprintf(of, sizeof(of), " of at most %" PRIu64, limit);
	switch (f->kind) {
	case FACT_FDS:
		snprintf(buf, FACT_TEXT_MAX, "%" PRIu64 " descriptors%s", v, of);
		break;
	case FACT_FORKED:
		if (v)
			snprintf(buf, FACT_TEXT_MAX, "forked, never ran a program of its own");
		break;
	case FACT_TRACER:
		if (v)
			snprintf(buf, FACT_TEXT_MAX, "traced by %" PRIu64, v);
		break;
	case FACT_NSPID:
		if (v != f->h.pid)
			snprintf(buf, FACT_TEXT_MAX, "PID %" PRIu64 " in its namespace", v);
		break;
	case FACT_WRITTEN:
	case FACT_READ:
		snprintf(buf, FACT_TEXT_MAX, "%s %s in %" PRIu64 " calls", size_text(v, size),
		         f->kind == FACT_READ ? "read" : "written", limit);
		break;
	case FACT_CPU_NS:
		snprintf(buf, FACT_TEXT_MAX, "%s of CPU time", duration_text(v, duration));
		break;
	case FACT_MEMORY:
		snprintf(buf, FACT_TEXT_MAX, "control group: memory %s%s", size_text(v, size), of);
		break;
	case FACT_OOM_KILLS:
		if (v)
			snprintf(buf, FACT_TEXT_MAX, "%" PRIu64 " of it killed for want of memory",
			         v);
		break;
	case FACT_OOM_KILLED:
		snprintf(buf, FACT_TEXT_MAX, "killed for want of memory %s ago",
		         duration_text(v, duration));
		break;
	case FACT_PRESSURE_CPU:
	case FACT_PRESSURE_MEMORY:
	case FACT_PRESSURE_IO:
		if (v)
			snprintf(buf, FACT_TEXT_MAX, "waits for %s %.1f %% of the time",
			         f->kind == FACT_PRESSURE_CPU      ? "a CPU"
			         : f->kind == FACT_PRESSURE_MEMORY ? "memory"
			                                           : "disks",
			         (double)v / 100);
		break;
	case FACT_PIDS:
		snprintf(buf, FACT_TEXT_MAX, "%" PRIu64 " processes and threads%s", v, of);
		break;
	}
	return buf;
}

const char *tcp_timer_name(uint32_t timer)
{
	static const char *const names[] = { [TIMER_NONE] = "none",
		                             [TIMER_RETRANSMIT] = "retransmit",
		                             [TIMER_KEEPALIVE] = "keepalive",
		                             [TIMER_PROBE0] = "window_probe" };
	return NAME_OF(names, timer);
}

const char *lock_name(uint32_t kind)
{
	static const char *const names[] = { [LOCK_FLOCK] = "flock",
		                             [LOCK_POSIX] = "posix",
		                             [LOCK_OFD] = "ofd",
		                             [LOCK_LEASE] = "lease" };
	return NAME_OF(names, kind);
}

bool evidence_owner(const struct evidence *e, uint64_t sock, uint32_t *pid, int *fd)
{
	const struct ev_fd *const *list;
	size_t n;

	list = evidence_fds(e, 0, &n);
	for (size_t i = 0; sock && i < n; i++) {
		if (list[i]->sock != sock)
			continue;
		*pid = list[i]->h.pid;
		*fd = list[i]->fd;
		return true;
	}
	return false;
}
