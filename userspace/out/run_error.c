/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One function a part of the document, in the order of the document; then how it gets onto the
 * disk.
 */
#include "out/run_error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/own.h"
#include "base/times.h"
#include "out/describe.h"
#include "secrets.h"
#include "syscall_names.h"

#define SCHEMA "whystuck.run_error/1"
/* Longest string that is taken over from the target: paths are rarely longer. */
#define STRING_MAX 1024

struct doc {
	const struct run_error_input *in;
	const struct look *look;
	json_t *unseen, *omitted;
	bool failed; /* out of memory somewhere */
};

/* ---- Values ---- */

static void set(struct doc *d, json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value) < 0)
		d->failed = true;
}

static void append(struct doc *d, json_t *array, json_t *value)
{
	if (json_array_append_new(array, value) < 0)
		d->failed = true;
}

/* null if there is no text */
static json_t *string_n(struct bytes s)
{
	char clean[STRING_MAX];

	if (!s.n)
		return json_null();
	secrets_clean(s.p, s.n, clean, sizeof(clean));
	return json_string(clean);
}

static json_t *string(const char *s)
{
	return s ? string_n(bytes_of(s)) : json_null();
}

static json_t *milliseconds(uint64_t ns)
{
	return json_real((double)ns / 1e6);
}

/* How long ago; null for a time that was not seen. */
static json_t *ago(const struct doc *d, uint64_t ts_ns)
{
	return ts_ns ? milliseconds(age(d->look->now_ns, ts_ns)) : json_null();
}

const char *timestamp_text(uint64_t wall_ns, char buf[static TIMESTAMP_TEXT_MAX])
{
	time_t seconds = (time_t)(wall_ns / 1000000000);
	struct tm tm;
	size_t n;

	gmtime_r(&seconds, &tm);
	n = strftime(buf, TIMESTAMP_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + n, TIMESTAMP_TEXT_MAX - n, ".%06uZ", (unsigned)(wall_ns / 1000 % 1000000));
	return buf;
}

static json_t *timestamp(const struct doc *d, uint64_t ts_ns)
{
	char buf[TIMESTAMP_TEXT_MAX];

	return ts_ns ? json_string(timestamp_text(ts_ns + d->in->wall_offset_ns, buf))
	             : json_null();
}

static void unseen(struct doc *d, const char *field, const char *why)
{
	set(d, d->unseen, field, json_string(why));
}

/* How many of n rows are shown; counts the others. */
static size_t rows(struct doc *d, const char *field, size_t n)
{
	if (n <= RUN_ERROR_ROWS_MAX)
		return n;
	set(d, d->omitted, field, json_integer((json_int_t)(n - RUN_ERROR_ROWS_MAX)));
	return RUN_ERROR_ROWS_MAX;
}

static bool has_snapshot(const struct doc *d)
{
	return d->look->evidence && evidence_time(d->look->evidence);
}

/* ---- Verdict and causes ---- */

static json_t *wake_json(struct doc *d, const struct wake *w)
{
	json_t *o = json_object();

	set(d, o, "answer", json_string(wake_name(w->answer)));
	set(d, o, "at", w->answer == WAKE_AT ? timestamp(d, w->at_ns) : json_null());
	set(d, o, "why", string(w->why));
	return o;
}

/* What a verdict and a cause have in common. */
static json_t *finding_json(struct doc *d, const struct cause *c)
{
	json_t *o = json_object();

	set(d, o, "kind", json_string(verdict_name(c->kind)));
	set(d, o, "summary", string(c->summary));
	set(d, o, "confidence", string(confidence_name(c->confidence)));
	set(d, o, "since", timestamp(d, c->since_ns));
	set(d, o, "for_ms", ago(d, c->since_ns));
	set(d, o, "at_least", json_boolean(c->at_least));
	set(d, o, "pid", c->pid ? json_integer(c->pid) : json_null());
	set(d, o, "tid", c->tid ? json_integer(c->tid) : json_null());
	set(d, o, "where", string(*c->where ? c->where : NULL));
	return o;
}

static json_t *verdict_json(struct doc *d)
{
	const struct cause *c = &d->in->diagnosis->causes[0];
	const struct stall *s = d->look->stall;
	json_t *o = finding_json(d, c);

	set(d, o, "clock", s && stall_stuck(s) ? string(stall_last(s)->clock) : json_null());
	set(d, o, "will_wake", wake_json(d, &c->wake));
	return o;
}

static json_t *causes_json(struct doc *d)
{
	json_t *a = json_array();

	for (int i = 0; i < d->in->diagnosis->ncauses; i++) {
		const struct cause *c = &d->in->diagnosis->causes[i];
		json_t *o = finding_json(d, c), *evidence = json_array();

		for (int k = 0; k < c->nevidence; k++)
			append(d, evidence, string(c->evidence[k]));
		set(d, o, "evidence", evidence);
		set(d, o, "call",
		    c->view ? json_integer((json_int_t)c->view->call->id) : json_null());
		set(d, o, "will_wake", wake_json(d, &c->wake));
		append(d, a, o);
	}
	if (d->in->diagnosis->omitted)
		set(d, d->omitted, "causes", json_integer(d->in->diagnosis->omitted));
	return a;
}

/* ---- Turns ---- */

/* open: how it ends is not known yet */
static json_t *turn_json(struct doc *d, const struct turn *t, bool open)
{
	json_t *o;

	if (!t)
		return json_null();
	o = json_object();
	set(d, o, "turn_id", json_integer((json_int_t)t->id));
	set(d, o, "session_id", string(t->session_id));
	set(d, o, "turn_index", json_integer(t->turn_index));
	set(d, o, "role", string(llm_role_name(t->role)));
	set(d, o, "timestamp", timestamp(d, t->start_ns));
	set(d, o, "at_least", json_boolean(t->at_least));
	set(d, o, "wall_ms", t->end_ns ? milliseconds(age(t->end_ns, t->start_ns)) : json_null());
	set(d, o, "age_ms", ago(d, t->start_ns));
	set(d, o, "llm_calls", json_integer(t->llm_calls));
	set(d, o, "storage_calls", json_integer(t->storage_calls));
	set(d, o, "model", string(t->model));
	set(d, o, "provider", string(t->provider));
	set(d, o, "status", open ? json_null() : json_string(turn_status_name(t->status)));
	set(d, o, "partial", string(partial_name(t->partial)));
	return o;
}

/* ---- Calls ---- */

/* What client and provider say of a call. */
static void said_set(struct doc *d, json_t *o, const struct call *c)
{
	const struct llm_call *l = c->llm;

	set(d, o, "request_id",
	    l && *l->said.request_id ? string(l->said.request_id) : json_null());
	set(d, o, "finish_reason",
	    l && *l->said.finish_reason ? string(l->said.finish_reason) : json_null());
	set(d, o, "client_timeout_of", string(limit_said_name(c->limit)));
	set(d, o, "client_timeout_s", c->limit_s >= 0 ? json_real(c->limit_s) : json_null());
}

static json_t *call_json(struct doc *d, const struct call_view *v)
{
	const struct call *c = v->call;
	json_t *o = json_object();

	set(d, o, "id", json_integer((json_int_t)c->id));
	set(d, o, "class", json_string(call_class_name(c->class)));
	set(d, o, "op", string(c->op));
	set(d, o, "endpoint", v->endpoint ? string(v->endpoint->name) : json_null());
	set(d, o, "label", v->endpoint ? string(v->endpoint->label) : json_null());
	set(d, o, "proto", string(c->proto));
	set(d, o, "model", c->llm ? string(c->llm->model) : json_null());
	set(d, o, "pid", json_integer(c->pid));
	set(d, o, "tid", json_integer(c->tid));
	set(d, o, "started_at", timestamp(d, c->start_ns));
	set(d, o, "at_least", json_boolean(c->at_least));
	set(d, o, "bytes_out", json_integer((json_int_t)c->bytes_out));
	set(d, o, "bytes_in", json_integer((json_int_t)c->bytes_in));
	set(d, o, "first_byte_ms",
	    c->first_byte_ns && c->start_ns ? milliseconds(age(c->first_byte_ns, c->start_ns))
	                                    : json_null());
	set(d, o, "partial", string(partial_name(c->partial)));
	said_set(d, o, c);
	return o;
}

static json_t *in_flight_json(struct doc *d)
{
	size_t n = rows(d, "in_flight", d->look->nopen);
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++) {
		const struct call_view *v = &d->look->open[i];
		const struct ev_socket *s = has_snapshot(d) && v->sock
		                                    ? evidence_socket(d->look->evidence, v->sock)
		                                    : NULL;
		json_t *o = call_json(d, v);

		set(d, o, "age_ms", ago(d, v->call->start_ns));
		set(d, o, "sent", json_boolean(v->call->sent_ns != 0));
		set(d, o, "silent_ms", ago(d, call_silent_since(v->call)));
		set(d, o, "blocks", json_boolean(v->call->blocks));
		set(d, o, "sock", v->sock ? json_integer((json_int_t)v->sock) : json_null());
		set(d, o, "state", s ? string(tcp_state_name(s->tcp_state)) : json_null());
		append(d, a, o);
	}
	return a;
}

static json_t *recent_json(struct doc *d)
{
	size_t n = d->in->nrecent;
	json_t *a = json_array();

	for (size_t i = n > RUN_ERROR_RECENT_MAX ? n - RUN_ERROR_RECENT_MAX : 0; i < n; i++) {
		const struct call *c = d->in->recent[i].call;
		json_t *o = call_json(d, &d->in->recent[i]);

		set(d, o, "ms",
		    c->end_ns && c->start_ns ? milliseconds(age(c->end_ns, c->start_ns))
		                             : json_null());
		set(d, o, "ended_at", timestamp(d, c->end_ns));
		set(d, o, "status", json_string(call_status_name(c->status)));
		set(d, o, "error_kind", string(c->error_kind));
		set(d, o, "http_status",
		    c->http_status ? json_integer(c->http_status) : json_null());
		append(d, a, o);
	}
	return a;
}

/* ---- The snapshot ---- */

static json_t *command_json(struct bytes text)
{
	char *masked = text.n ? command_mask(text.p, text.n) : NULL;
	json_t *s = masked ? json_string(masked) : json_null();

	free(masked);
	return s;
}

/* The state of its first thread; null: not seen. */
static json_t *state_json(const struct doc *d, uint32_t pid)
{
	const struct ev_thread *const *list;
	size_t n;

	list = evidence_threads(d->look->evidence, pid, &n);
	for (size_t i = 0; i < n; i++)
		if (list[i]->h.tid == pid && list[i]->state > ' ' && list[i]->state < 0x7f)
			return json_pack("s#", &list[i]->state, 1);
	return json_null();
}

/* Its value; its limit where it has one. null: not seen. */
static json_t *fact_json(const struct doc *d, uint32_t pid, enum fact_kind kind)
{
	const struct ev_fact *f = evidence_fact(d->look->evidence, pid, kind);

	return f ? json_integer((json_int_t)f->value) : json_null();
}

static json_t *limit_json(const struct doc *d, uint32_t pid, enum fact_kind kind)
{
	const struct ev_fact *f = evidence_fact(d->look->evidence, pid, kind);

	return f && f->limit ? json_integer((json_int_t)f->limit) : json_null();
}

static json_t *percent_json(const struct doc *d, uint32_t pid, enum fact_kind kind)
{
	const struct ev_fact *f = evidence_fact(d->look->evidence, pid, kind);

	return f ? json_real((double)f->value / 100) : json_null();
}

static json_t *cgroup_json(struct doc *d, uint32_t pid)
{
	json_t *o = json_object(), *pressure = json_object();

	set(d, pressure, "cpu", percent_json(d, pid, FACT_PRESSURE_CPU));
	set(d, pressure, "memory", percent_json(d, pid, FACT_PRESSURE_MEMORY));
	set(d, pressure, "io", percent_json(d, pid, FACT_PRESSURE_IO));
	set(d, o, "memory", fact_json(d, pid, FACT_MEMORY));
	set(d, o, "memory_limit", limit_json(d, pid, FACT_MEMORY));
	set(d, o, "oom_kills", fact_json(d, pid, FACT_OOM_KILLS));
	set(d, o, "pids", fact_json(d, pid, FACT_PIDS));
	set(d, o, "pids_limit", limit_json(d, pid, FACT_PIDS));
	set(d, o, "pressure", pressure);
	return o;
}

/* How it ended, of a zombie: as wait(2) reports it. */
static json_t *exit_status_json(const struct doc *d, uint32_t pid)
{
	const struct ev_fact *f = evidence_fact(d->look->evidence, pid, FACT_EXIT_STATUS);
	int status = f ? (int)f->value : 0;
	char text[64];

	if (!f)
		return json_null();
	if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "killed by signal %d", WTERMSIG(status));
	else
		snprintf(text, sizeof(text), "exit status %d", WEXITSTATUS(status));
	return json_string(text);
}

static void facts_set(struct doc *d, json_t *o, uint32_t pid)
{
	const struct ev_fact *forked = evidence_fact(d->look->evidence, pid, FACT_FORKED);
	const struct ev_fact *oom = evidence_fact(d->look->evidence, pid, FACT_OOM_KILLED);
	const struct ev_fact *cpu = evidence_fact(d->look->evidence, pid, FACT_CPU_NS);
	json_t *fds = json_object();

	set(d, fds, "open", fact_json(d, pid, FACT_FDS));
	set(d, fds, "limit", limit_json(d, pid, FACT_FDS));
	set(d, o, "state", state_json(d, pid));
	set(d, o, "exit_status", exit_status_json(d, pid));
	set(d, o, "oom_killed_ms_ago", oom ? milliseconds(oom->value) : json_null());
	set(d, o, "forked_only", forked ? json_boolean(forked->value) : json_null());
	set(d, o, "tracer", fact_json(d, pid, FACT_TRACER));
	set(d, o, "namespace_pid", fact_json(d, pid, FACT_NSPID));
	set(d, o, "cpu_ms", cpu ? milliseconds(cpu->value) : json_null());
	set(d, o, "bytes_written", fact_json(d, pid, FACT_WRITTEN));
	set(d, o, "bytes_read", fact_json(d, pid, FACT_READ));
	set(d, o, "descriptors", fds);
	set(d, o, "cgroup", cgroup_json(d, pid));
}

static json_t *processes_json(struct doc *d)
{
	size_t n, threads;
	const struct ev_process *const *list;
	json_t *a;

	if (!has_snapshot(d))
		return json_null();
	list = evidence_processes(d->look->evidence, &n);
	n = rows(d, "processes", n);
	a = json_array();
	for (size_t i = 0; i < n; i++) {
		json_t *o = json_object();

		evidence_threads(d->look->evidence, list[i]->h.pid, &threads);
		set(d, o, "pid", json_integer(list[i]->h.pid));
		set(d, o, "ppid", json_integer(list[i]->ppid));
		set(d, o, "uid", json_integer(list[i]->uid));
		set(d, o, "command", command_json(process_text(list[i])));
		set(d, o, "started_at", timestamp(d, list[i]->start_ns));
		set(d, o, "threads", json_integer((json_int_t)threads));
		facts_set(d, o, list[i]->h.pid);
		append(d, a, o);
	}
	return a;
}

static json_t *address_json(const struct ev_socket *s)
{
	char text[DESCRIBE_TEXT_MAX];

	return string(*describe_address(s, false, text) ? text : NULL);
}

static json_t *socket_endpoint_json(const struct doc *d, uint64_t sock)
{
	char text[DESCRIBE_TEXT_MAX];

	return string(*describe_endpoint(d->look, sock, text) ? text : NULL);
}

/* fd, what it is, and whose it is at the other end */
static void descriptor_set(struct doc *d, json_t *o, uint32_t pid, int fd)
{
	const struct ev_fd *f = fd >= 0 ? evidence_fd(d->look->evidence, pid, fd) : NULL;

	set(d, o, "fd", fd >= 0 ? json_integer(fd) : json_null());
	set(d, o, "what", f ? string_n(fd_text(f)) : json_null());
	set(d, o, "endpoint", socket_endpoint_json(d, f ? f->sock : 0));
}

static json_t *timeout_json(const struct ev_thread *t)
{
	if (t->timeout_ns >= 0)
		return milliseconds((uint64_t)t->timeout_ns);
	return t->timeout_ns == TIMEOUT_NONE ? json_string("none") : json_null();
}

static json_t *syscall_json(struct doc *d, const struct ev_thread *t)
{
	char buf[SYSCALL_NAME_MAX], args[SYSCALL_ARGS_MAX];
	const char *name = syscall_name(t->syscall, buf);
	json_t *o;

	if (!name)
		return json_null();
	syscall_args(t, args, sizeof(args));
	o = json_object();
	set(d, o, "name", string(name));
	set(d, o, "args", string(args));
	descriptor_set(d, o, t->h.pid, syscall_fd(t));
	set(d, o, "timeout_ms", timeout_json(t));
	return o;
}

static json_t *waits_for_json(struct doc *d, const struct ev_thread *t)
{
	json_t *a = json_array();

	for (uint32_t i = 0; i < thread_nfds(t); i++) {
		json_t *o = json_object();

		descriptor_set(d, o, t->h.pid, t->fds[i]);
		append(d, a, o);
	}
	return a;
}

static json_t *stack_json(struct doc *d, struct bytes stack)
{
	json_t *a;

	if (!stack.n)
		return json_null();
	a = json_array();
	while (stack.n) {
		const char *end = memchr(stack.p, ';', stack.n);
		size_t n = end ? (size_t)(end - stack.p) : stack.n;

		append(d, a, string_n((struct bytes){ stack.p, n }));
		stack = bytes_from(stack, n + 1);
	}
	return a;
}

static json_t *frames_json(struct doc *d, struct bytes rest)
{
	json_t *a = json_array();
	struct frame frame;

	while (frames_next(&rest, &frame)) {
		json_t *o = json_object();

		set(d, o, "function", string_n(frame.function));
		set(d, o, "file", string_n(frame.file));
		set(d, o, "line", frame.line ? json_integer(frame.line) : json_null());
		append(d, a, o);
	}
	return a;
}

static void python_set(struct doc *d, json_t *o, const struct ev_frames *f)
{
	const char *gil = NULL;

	set(d, o, "python", f ? frames_json(d, frames_text(f)) : json_null());
	if (f && f->flags & FRAMES_TORN)
		set(d, o, "python_torn", json_true());
	if (f && f->flags & FRAMES_CUT)
		set(d, o, "python_cut", json_true());
	if (f && f->flags & FRAMES_GIL)
		gil = "holds";
	else if (f && f->flags & FRAMES_GIL_WAIT)
		gil = "waits";
	set(d, o, "gil", string(gil));
}

static json_t *thread_json(struct doc *d, const struct ev_thread *t)
{
	const struct ev_frames *native = evidence_native(d->look->evidence, t->h.pid, t->h.tid);
	struct thread_text text = thread_text(t);
	char state = (char)t->state;
	json_t *o = json_object();

	set(d, o, "pid", json_integer(t->h.pid));
	set(d, o, "tid", json_integer(t->h.tid));
	set(d, o, "name", string_n(text.name));
	set(d, o, "role", t->h.tid == t->h.pid ? json_string("main") : json_null());
	set(d, o, "state", state ? string_n((struct bytes){ &state, 1 }) : json_null());
	set(d, o, "on_cpu", json_boolean(t->h.flags & EVF_ONCPU));
	set(d, o, "syscall", syscall_json(d, t));
	set(d, o, "waits_for", waits_for_json(d, t));
	set(d, o, "waits_for_total", json_integer(t->fds_total));
	set(d, o, "blocked_for_ms", ago(d, t->blocked_since_ns));
	set(d, o, "wait_channel", string_n(text.wchan));
	set(d, o, "kernel_stack", stack_json(d, text.stack));
	python_set(d, o, evidence_frames(d->look->evidence, t->h.pid, t->h.tid));
	set(d, o, "native", native ? frames_json(d, frames_text(native)) : json_null());
	return o;
}

/* ---- asyncio ---- */

static json_t *address_text_json(uint64_t address)
{
	char text[32];

	snprintf(text, sizeof(text), "0x%" PRIx64, address);
	return json_string(text);
}

/* The open call that a task made; null. */
static json_t *task_call_json(const struct doc *d, uint32_t pid, uint64_t task)
{
	for (size_t i = 0; i < d->look->nopen; i++) {
		const struct call *c = d->look->open[i].call;

		if (c->task == task && c->pid == pid)
			return json_integer((json_int_t)c->id);
	}
	return json_null();
}

static json_t *task_json(struct doc *d, const struct ev_task *t)
{
	struct task_text text = task_text(t);
	json_t *o = json_object();

	set(d, o, "task", address_text_json(t->task));
	set(d, o, "pid", json_integer(t->h.pid));
	set(d, o, "tid", t->h.tid ? json_integer(t->h.tid) : json_null());
	set(d, o, "name", string_n(text.name));
	set(d, o, "running", json_boolean(t->flags & FRAMES_RUNNING));
	set(d, o, "awaits", string_n(text.awaits));
	set(d, o, "frames", frames_json(d, text.frames));
	if (t->flags & FRAMES_TORN)
		set(d, o, "frames_torn", json_true());
	if (t->flags & FRAMES_CUT)
		set(d, o, "frames_cut", json_true());
	set(d, o, "waits_for_call", task_call_json(d, t->h.pid, t->task));
	return o;
}

static bool task_listed(const struct ev_task *const *list, size_t n, const struct call *c)
{
	for (size_t i = 0; i < n; i++)
		if (list[i]->task == c->task && list[i]->h.pid == c->pid)
			return true;
	return false;
}

/* Of a task that no snapshot shows its call is all that is known. */
static json_t *call_task_json(struct doc *d, const struct call *c)
{
	json_t *o = json_object();

	set(d, o, "task", address_text_json(c->task));
	set(d, o, "pid", json_integer(c->pid));
	set(d, o, "tid", json_integer(c->tid));
	set(d, o, "name", json_null());
	set(d, o, "running", json_null());
	set(d, o, "awaits", json_null());
	set(d, o, "frames", json_null());
	set(d, o, "waits_for_call", json_integer((json_int_t)c->id));
	return o;
}

static json_t *tasks_json(struct doc *d)
{
	const struct ev_task *const *list = NULL;
	json_t *a = json_array();
	size_t n = 0, shown;

	if (has_snapshot(d))
		list = evidence_tasks(d->look->evidence, 0, &n);
	shown = rows(d, "tasks", n);
	for (size_t i = 0; i < shown; i++)
		append(d, a, task_json(d, list[i]));
	for (size_t i = 0; i < d->look->nopen && json_array_size(a) < RUN_ERROR_ROWS_MAX; i++)
		if (d->look->open[i].call->task && !task_listed(list, n, d->look->open[i].call))
			append(d, a, call_task_json(d, d->look->open[i].call));
	if (json_array_size(a))
		return a;
	json_decref(a);
	unseen(d, "tasks", "no asyncio task was seen");
	return json_null();
}

/* What threads and tasks asked their HTTP clients for. */
static json_t *requests_json(struct doc *d)
{
	const struct ev_request *const *list;
	json_t *a;
	size_t n;

	if (!has_snapshot(d))
		return json_null();
	list = evidence_requests(d->look->evidence, 0, &n);
	n = rows(d, "requests", n);
	a = json_array();
	for (size_t i = 0; i < n; i++) {
		struct request_text text = request_text(list[i]);
		json_t *o = json_object();

		set(d, o, "pid", json_integer(list[i]->h.pid));
		set(d, o, "tid", list[i]->h.tid ? json_integer(list[i]->h.tid) : json_null());
		set(d, o, "task", list[i]->task ? address_text_json(list[i]->task) : json_null());
		set(d, o, "method", string_n(text.method));
		set(d, o, "url", string_n(text.url));
		append(d, a, o);
	}
	return a;
}

/* Why threads of Python have no frames: of each process that has such. */
static void frames_missing(struct doc *d)
{
	const struct ev_process *const *list;
	char text[STRING_MAX];
	size_t n, at = 0;

	list = evidence_processes(d->look->evidence, &n);
	for (size_t i = 0; i < n && at < sizeof(text); i++) {
		const struct ev_frames *f =
			evidence_frames_missing(d->look->evidence, list[i]->h.pid);
		struct bytes why;

		if (!f)
			continue;
		why = frames_text(f);
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%sprocess %" PRIu32 ": %.*s",
		                       at ? "; " : "", list[i]->h.pid, (int)why.n, why.p);
	}
	if (at)
		set(d, d->unseen, "threads.python", string(text));
}

static json_t *threads_json(struct doc *d)
{
	const struct ev_thread *const *list;
	json_t *a;
	size_t n;

	if (!has_snapshot(d))
		return json_null();
	list = evidence_threads(d->look->evidence, 0, &n);
	n = rows(d, "threads", n);
	a = json_array();
	for (size_t i = 0; i < n; i++)
		append(d, a, thread_json(d, list[i]));
	frames_missing(d);
	return a;
}

/* The age now of what was ago_ns old at the snapshot; null when it never happened. */
static json_t *socket_age(const struct doc *d, const struct ev_socket *s, bool ever,
                          uint64_t ago_ns)
{
	return ever ? milliseconds(ago_ns + age(d->look->now_ns, s->h.ts_ns)) : json_null();
}

static void tcp_set(struct doc *d, json_t *o, const struct ev_socket *s)
{
	bool tcp = s->h.flags & EVF_TCP, sent = tcp && s->tcp_bytes_sent,
	     received = tcp && s->tcp_bytes_recv;

	set(d, o, "state", tcp ? string(tcp_state_name(s->tcp_state)) : json_null());
	set(d, o, "unread", tcp ? json_integer(s->tcp_unread) : json_null());
	set(d, o, "unsent", tcp ? json_integer(s->tcp_unsent) : json_null());
	set(d, o, "unacked", tcp ? json_integer(s->tcp_unacked) : json_null());
	set(d, o, "last_sent_ms", socket_age(d, s, sent, s->tcp_last_sent_ns));
	set(d, o, "last_recv_ms", socket_age(d, s, received, s->tcp_last_recv_ns));
	set(d, o, "last_ack_ms", socket_age(d, s, sent, s->tcp_last_ack_ns));
	set(d, o, "keepalive", tcp ? json_boolean(s->keepalive) : json_null());
	set(d, o, "retransmits", tcp ? json_integer(s->tcp_retransmits) : json_null());
	set(d, o, "retransmits_ever", tcp ? json_integer(s->tcp_retrans) : json_null());
	set(d, o, "rtt_us", tcp && s->tcp_rtt_us ? json_integer(s->tcp_rtt_us) : json_null());
}

static json_t *holders_json(struct doc *d, uint64_t ino)
{
	const struct ev_holder *const *list;
	json_t *a = json_array();
	size_t n;

	list = evidence_holders(d->look->evidence, ino, &n);
	for (size_t i = 0; i < n && i < RUN_ERROR_ROWS_MAX; i++) {
		json_t *o = json_object();

		set(d, o, "pid", json_integer(list[i]->h.pid));
		set(d, o, "name", string_n(holder_text(list[i])));
		set(d, o, "fd", json_integer(list[i]->fd));
		set(d, o, "reads", json_boolean(list[i]->mode & 1));
		set(d, o, "writes", json_boolean(list[i]->mode & 2));
		append(d, a, o);
	}
	return a;
}

/* Settings as they are in effect, and the timer that runs; null: not seen. */
static json_t *timer_json(struct doc *d, const struct ev_timers *t)
{
	json_t *o;

	if (!t)
		return json_null();
	o = json_object();
	set(d, o, "timer", string(tcp_timer_name(t->timer)));
	set(d, o, "in_ms", t->timer != TIMER_NONE ? milliseconds(t->timer_ns) : json_null());
	set(d, o, "rto_ms", json_real(t->rto_us / 1e3));
	set(d, o, "backoff", json_integer(t->backoff));
	set(d, o, "probes_unanswered", json_integer(t->probes));
	set(d, o, "bytes_acked", json_integer((json_int_t)t->bytes_acked));
	set(d, o, "user_timeout_ms",
	    t->user_timeout_ms ? json_integer(t->user_timeout_ms) : json_null());
	set(d, o, "keepalive_idle_s", t->keep_idle_s ? json_integer(t->keep_idle_s) : json_null());
	set(d, o, "keepalive_interval_s",
	    t->keep_interval_s ? json_integer(t->keep_interval_s) : json_null());
	set(d, o, "keepalive_count", t->keep_count ? json_integer(t->keep_count) : json_null());
	return o;
}

static json_t *sockets_json(struct doc *d)
{
	const struct ev_socket *const *list;
	json_t *a;
	size_t n;

	if (!has_snapshot(d))
		return json_null();
	list = evidence_sockets(d->look->evidence, &n);
	n = rows(d, "sockets", n);
	a = json_array();
	for (size_t i = 0; i < n; i++) {
		json_t *o = json_object();

		set(d, o, "sock", json_integer((json_int_t)list[i]->sock));
		set(d, o, "pid", json_integer(list[i]->h.pid));
		set(d, o, "endpoint", socket_endpoint_json(d, list[i]->sock));
		set(d, o, "local", address_json(list[i]));
		set(d, o, "listens", json_boolean(list[i]->h.flags & EVF_LISTEN));
		tcp_set(d, o, list[i]);
		set(d, o, "timers",
		    timer_json(d, evidence_timers(d->look->evidence, list[i]->sock)));
		set(d, o, "holders", holders_json(d, list[i]->sock));
		append(d, a, o);
	}
	return a;
}

static json_t *locks_json(struct doc *d)
{
	const struct ev_lock *const *list;
	json_t *a;
	size_t n;

	if (!has_snapshot(d))
		return json_null();
	list = evidence_locks(d->look->evidence, &n);
	n = rows(d, "locks", n);
	a = json_array();
	for (size_t i = 0; i < n; i++) {
		json_t *o = json_object();

		set(d, o, "lock", json_integer((json_int_t)list[i]->id));
		set(d, o, "kind", string(lock_name(list[i]->kind)));
		set(d, o, "pid", list[i]->h.pid ? json_integer(list[i]->h.pid) : json_null());
		set(d, o, "waits", json_boolean(list[i]->waits));
		set(d, o, "write", json_boolean(list[i]->write));
		set(d, o, "path", string_n(lock_path(list[i])));
		set(d, o, "inode", json_integer((json_int_t)list[i]->ino));
		append(d, a, o);
	}
	return a;
}

static json_t *pipes_json(struct doc *d)
{
	const struct ev_fd *const *list;
	json_t *a;
	size_t n;

	if (!has_snapshot(d))
		return json_null();
	list = evidence_fds(d->look->evidence, 0, &n);
	a = json_array();
	for (size_t i = 0; i < n && json_array_size(a) < RUN_ERROR_ROWS_MAX; i++) {
		uint64_t ino = fd_pipe(list[i]);
		json_t *o = ino ? json_object() : NULL;

		if (!o)
			continue;
		set(d, o, "pid", json_integer(list[i]->h.pid));
		set(d, o, "fd", json_integer(list[i]->fd));
		set(d, o, "inode", json_integer((json_int_t)ino));
		set(d, o, "holders", holders_json(d, ino));
		append(d, a, o);
	}
	return a;
}

/* What the loader could not see: of which process, and why. */
static void missing_unseen(struct doc *d)
{
	const struct ev_missing *const *list;
	size_t n = 0;

	list = has_snapshot(d) ? evidence_missing(d->look->evidence, &n) : NULL;
	for (size_t i = 0; i < n && i < RUN_ERROR_ROWS_MAX; i++) {
		struct missing_text m = missing_text(list[i]);
		char what[128], why[STRING_MAX], text[2 * STRING_MAX];
		const char *before;

		secrets_clean(m.what.p, m.what.n, what, sizeof(what));
		secrets_clean(m.why.p, m.why.n, why, sizeof(why));
		before = json_string_value(json_object_get(d->unseen, what));
		snprintf(text, sizeof(text), "%.1000s%s", before ? before : "", before ? "; " : "");
		if (list[i]->h.pid)
			snprintf(text + strlen(text), sizeof(text) - strlen(text),
			         "process %" PRIu32 ": ", list[i]->h.pid);
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%.1000s", why);
		set(d, d->unseen, what, string(text)); /* which also mends a character cut in two */
	}
}

/* The time limits threads have set on what they wait for. */
static json_t *timeouts_json(struct doc *d)
{
	const struct ev_thread *const *list;
	json_t *a;
	size_t n;

	if (!has_snapshot(d))
		return json_null();
	list = evidence_threads(d->look->evidence, 0, &n);
	n = rows(d, "timeouts", n);
	a = json_array();
	for (size_t i = 0; i < n; i++) {
		const struct ev_thread *t = list[i];
		uint64_t at = t->blocked_since_ns + (uint64_t)t->timeout_ns;
		bool known = t->blocked_since_ns != 0;
		char buf[SYSCALL_NAME_MAX];
		json_t *o;

		if (t->syscall < 0 || t->timeout_ns < 0)
			continue;
		o = json_object();
		set(d, o, "pid", json_integer(t->h.pid));
		set(d, o, "tid", json_integer(t->h.tid));
		set(d, o, "thread", string_n(thread_text(t).name));
		set(d, o, "syscall", string(syscall_name(t->syscall, buf)));
		set(d, o, "timeout_ms", milliseconds((uint64_t)t->timeout_ns));
		set(d, o, "at", known ? timestamp(d, at) : json_null());
		set(d, o, "left_ms", known ? milliseconds(age(at, d->look->now_ns)) : json_null());
		append(d, a, o);
	}
	return a;
}

/* ---- What to do, and what was done ---- */

static json_t *steps_json(struct doc *d)
{
	json_t *a = json_array();

	for (int i = 0; i < d->in->diagnosis->causes[0].nsteps; i++)
		append(d, a, string(d->in->diagnosis->causes[0].steps[i]));
	return a;
}

static json_t *result_json(const struct ev_action *a)
{
	const char *signal = a->signo ? sigabbrev_np(a->signo) : NULL;
	/* a recording may hold any number: INT_MIN has no positive */
	const char *error = a->result < 0 && a->result > INT_MIN ? strerrordesc_np(-a->result)
	                                                         : NULL;
	char text[128];

	if (a->result < 0)
		snprintf(text, sizeof(text), "failed: %s", error ? error : "?");
	else if (a->kind == ACTION_STOP)
		snprintf(text, sizeof(text), "SIG%s sent", signal ? signal : "?");
	else if (a->kind == ACTION_WEBHOOK)
		snprintf(text, sizeof(text), "HTTP status %d", a->result);
	else if (a->kind == ACTION_PROBE)
		snprintf(text, sizeof(text), a->result ? "the path works" : "the path is dead");
	else if (a->kind == ACTION_UNSTICK)
		snprintf(text, sizeof(text), "the connection was shut down");
	else if (WIFSIGNALED(a->result))
		snprintf(text, sizeof(text), "killed by signal %d", WTERMSIG(a->result));
	else
		snprintf(text, sizeof(text), "exit status %d", WEXITSTATUS(a->result));
	return json_string(text);
}

/* An alert's command may hold a token or the like, it is masked as a command line. */
static json_t *action_text_json(const struct ev_action *a)
{
	return a->h.size > sizeof(*a)
	               ? command_json((struct bytes){ a->text, a->h.size - sizeof(*a) })
	               : json_null();
}

static json_t *actions_json(struct doc *d)
{
	static const char *const kinds[] = { [ACTION_ALERT] = "alert",
		                             [ACTION_STOP] = "stop",
		                             [ACTION_WEBHOOK] = "webhook",
		                             [ACTION_PROBE] = "probe",
		                             [ACTION_UNSTICK] = "unstick" };
	json_t *a = json_array();

	for (size_t i = 0; i < d->in->nactions; i++) {
		const struct ev_action *action = d->in->actions[i];
		bool known = action->kind < sizeof(kinds) / sizeof(*kinds);
		json_t *o = json_object();

		set(d, o, "kind", known ? string(kinds[action->kind]) : json_null());
		set(d, o, "at", timestamp(d, action->h.ts_ns));
		set(d, o, "what", action_text_json(action));
		set(d, o, "result", result_json(action));
		append(d, a, o);
	}
	return a;
}

/* ---- The whole ---- */

static json_t *own_command_json(struct doc *d)
{
	const struct ev_process *p =
		d->look->evidence ? evidence_process(d->look->evidence, d->look->pid) : NULL;

	if (p && process_text(p).n)
		return command_json(process_text(p));
	unseen(d, "command", "the process's command line was not seen");
	return json_null();
}

static json_t *snapshot_json(struct doc *d)
{
	json_t *o = json_object();

	if (!has_snapshot(d)) {
		json_decref(o);
		unseen(d, "snapshot",
		       "no complete snapshot of processes, threads and sockets arrived");
		return json_null();
	}
	set(d, o, "timestamp", timestamp(d, evidence_time(d->look->evidence)));
	set(d, o, "dropped", json_integer((json_int_t)evidence_dropped(d->look->evidence)));
	return o;
}

json_t *run_error_json(const struct run_error_input *in)
{
	struct doc d = { in, in->look, json_object(), json_object(), false };
	json_t *o = json_object();

	set(&d, o, "schema", json_string(SCHEMA));
	set(&d, o, "timestamp", timestamp(&d, in->look->now_ns));
	set(&d, o, "pid", json_integer(in->look->pid));
	set(&d, o, "command", own_command_json(&d));
	set(&d, o, "verdict", verdict_json(&d));
	set(&d, o, "causes", causes_json(&d));
	set(&d, o, "last_event_timestamp", timestamp(&d, in->last_event_ns));
	set(&d, o, "stuck_timeout_minutes", json_real(in->stuck_timeout_minutes));
	set(&d, o, "last_turn", turn_json(&d, in->last_turn, false));
	set(&d, o, "turn_in_progress", turn_json(&d, in->open_turn, true));
	set(&d, o, "in_flight", in_flight_json(&d));
	set(&d, o, "recent_calls", recent_json(&d));
	set(&d, o, "snapshot", snapshot_json(&d));
	set(&d, o, "processes", processes_json(&d));
	set(&d, o, "threads", threads_json(&d));
	set(&d, o, "tasks", tasks_json(&d));
	set(&d, o, "sockets", sockets_json(&d));
	set(&d, o, "pipes", pipes_json(&d));
	set(&d, o, "locks", locks_json(&d));
	set(&d, o, "requests", requests_json(&d));
	set(&d, o, "timeouts", timeouts_json(&d));
	set(&d, o, "next_steps", steps_json(&d));
	set(&d, o, "actions", actions_json(&d));
	missing_unseen(&d);
	set(&d, o, "omitted", d.omitted);
	set(&d, o, "unseen", d.unseen);
	if (!d.failed)
		return o;
	json_decref(o);
	return NULL;
}

void run_error_actions(json_t *doc, const struct run_error_input *in)
{
	struct doc d = { in, in->look, NULL, NULL, false };

	set(&d, doc, "actions", actions_json(&d));
}

/* What a finding says at its beginning now. */
static void summary_begin(json_t *finding, const char *with)
{
	const char *said = json_string_value(json_object_get(finding, "summary"));

	json_object_set_new(finding, "summary", json_sprintf("%s: %s", with, said ? said : ""));
}

static void finding_probed(json_t *finding, bool dead)
{
	const char *kind = json_string_value(json_object_get(finding, "kind"));

	if (dead) {
		summary_begin(finding, "the connection is dead, a probe proved it");
		json_object_set_new(finding, "kind",
		                    json_string(verdict_name(VERDICT_CONNECTION_DEAD)));
		json_object_set_new(finding, "confidence",
		                    json_string(confidence_name(CONFIDENCE_PROVEN)));
	} else if (kind && strcmp(kind, verdict_name(VERDICT_CONNECTION_DEAD)) == 0) {
		summary_begin(finding, "a probe was answered, the path works again");
		json_object_set_new(finding, "kind", json_string(verdict_name(VERDICT_UNKNOWN)));
		json_object_set_new(finding, "confidence", json_null());
	}
}

/* The timers were those of before: a probe that finds the path dead ends the wait, as a rule. */
static void wake_probed(json_t *finding)
{
	json_t *wake = json_object_get(finding, "will_wake");

	json_object_set_new(wake, "answer", json_string(wake_name(WAKE_UNKNOWN)));
	json_object_set_new(wake, "at", json_null());
	json_object_set_new(
		wake, "why",
		json_string("a probe was made since: what the client did then stands in actions"));
}

void run_error_probed(json_t *doc, bool dead, struct bytes text)
{
	json_t *verdict = json_object_get(doc, "verdict");
	json_t *cause = json_array_get(json_object_get(doc, "causes"), 0);

	finding_probed(verdict, dead);
	finding_probed(cause, dead);
	json_array_append_new(json_object_get(cause, "evidence"), command_json(text));
	if (!dead)
		return;
	wake_probed(verdict);
	wake_probed(cause);
}

/* ---- Onto the disk ---- */

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno != EINTR)
			return -errno;
		if (done > 0) {
			p += done;
			n -= (size_t)done;
		}
	}
	return 0;
}

static int fill(int fd, const char *text)
{
	int err = write_all(fd, text, strlen(text));

	if (!err)
		err = write_all(fd, "\n", 1);
	if (!err && fsync(fd) < 0)
		err = -errno;
	return err;
}

static int write_text(const char *text, int dirfd, const char *name, const char *temporary)
{
	int err, fd;

	unlinkat(dirfd, temporary, 0); /* of an earlier run that was killed while writing */
	fd = own_file(dirfd, temporary, O_WRONLY | O_EXCL);
	if (fd < 0)
		return fd;
	err = fill(fd, text);
	if (close(fd) < 0 && !err)
		err = -errno;
	if (!err && renameat(dirfd, temporary, dirfd, name) < 0)
		err = -errno;
	if (err)
		unlinkat(dirfd, temporary, 0);
	else
		fsync(dirfd); /* the name; where a directory cannot be synced the file stands */
	return err;
}

int run_error_write(json_t *doc, int dirfd, const char *name)
{
	char temporary[NAME_MAX + 1];
	char *text;
	int err, n = snprintf(temporary, sizeof(temporary), ".%s.tmp", name);

	if (n < 0 || (size_t)n >= sizeof(temporary))
		return -ENAMETOOLONG;
	text = json_dumps(doc, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
	if (!text)
		return -ENOMEM;
	err = write_text(text, dirfd, name, temporary);
	free(text);
	return err;
}
