/* SPDX-License-Identifier: BSD-2-Clause */
/* Verdicts from evidence, the document they end in (parsed back), and how it gets onto the disk. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <asm/unistd.h>

#include "out/run_error.h"
#include "evidence_fixture.h"
#include "test.h"

#define S 1000000000ull
#define NOW (40000 * S)
#define SENT (NOW - 31320 * S)             /* 8 h 42 m ago */
#define WALL_OFFSET (1767225600 * S - NOW) /* so that NOW is 2026-01-01T00:00:00Z */
#define PID 100
#define FD 7
#define SOCK 4242

/*
 * One world: a process with one thread in recvfrom on the socket of one call. Tests change it,
 * then look.
 */
struct world {
	struct call call;
	struct llm_call llm;
	struct endpoint endpoint;
	struct ev_socket socket;
	struct ev_thread thread;
	struct call_view view;
	struct look look;
	struct run_error_input in;
	struct diagnosis diagnosis;
	struct evidence *evidence;
	json_t *doc;
};

static void world_make(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->call = (struct call){ .id = 3,
		                 .pid = PID,
		                 .tid = PID + 1,
		                 .start_ns = SENT,
		                 .request_ns = SENT,
		                 .sent_ns = SENT,
		                 .bytes_out = 900,
		                 .class = CALL_LLM,
		                 .proto = "http",
		                 .op = "POST /v1/chat/completions",
		                 .retry_count = -1,
		                 .status = CALL_UNKNOWN };
	w->endpoint = (struct endpoint){ .class = CALL_LLM,
		                         .label = "openai",
		                         .host = "api.openai.com",
		                         .addr = "1.2.3.4:443",
		                         .name = "api.openai.com" };
	w->socket = (struct ev_socket){
		.h = { .ts_ns = NOW - S, .pid = PID, .flags = EVF_SEEDED | EVF_TCP },
		.sock = SOCK,
		.family = AF_INET,
		.local = { 10, 0, 0, 1 },
		.local_port = 5000,
		.remote = { 1, 2, 3, 4 },
		.remote_port = 443,
		.tcp_state = 1,
		.tcp_last_sent_ns = 31319 * S,
		.tcp_bytes_sent = 900,
		.tcp_last_ack_ns = 31319 * S,
		.tcp_rtt_us = 12000
	};
	w->thread = (struct ev_thread){ .h = { .ts_ns = NOW - S, .pid = PID, .tid = PID + 1 },
		                        .blocked_since_ns = SENT,
		                        .args = { FD, 0xdead, 16384, 0, 0, 0 },
		                        .timeout_ns = TIMEOUT_NONE,
		                        .syscall = __NR_recvfrom,
		                        .state = 'S',
		                        .fds_total = 1,
		                        .nfds = 1,
		                        .fds = { FD } };
	w->view = (struct call_view){ &w->call, &w->endpoint, SOCK };
	w->look = (struct look){
		.now_ns = NOW, .pid = PID, .open = &w->view, .nopen = 1, .silent_min_ns = 900 * S
	};
	w->in = (struct run_error_input){ .look = &w->look,
		                          .diagnosis = &w->diagnosis,
		                          .wall_offset_ns = WALL_OFFSET,
		                          .last_event_ns = SENT,
		                          .stuck_timeout_minutes = 15 };
	w->evidence = evidence_new();
	w->look.evidence = w->evidence;
}

/* python: the frames of its thread, NULL none. */
static void world_snapshot_in(struct world *w, const char *python)
{
	static const char command[] = "python3\0-m\0runner\0--api-key\0hunter2";
	struct event edge = { .flags = EVF_BEGIN };
	struct ev_process p = { .h = { .pid = PID }, .ppid = 1, .uid = 1000, .start_ns = S };
	struct ev_fd fd = { .h = { .pid = PID }, .fd = FD, .sock = SOCK };
	struct ev_frames f = { .h = { .pid = PID, .tid = PID + 1 }, .kind = FRAMES_PYTHON };

	feed(w->evidence, &edge, sizeof(edge), EV_SNAPSHOT, "", 0);
	if (python)
		feed(w->evidence, &f, sizeof(f), EV_FRAMES, python, strlen(python));
	feed(w->evidence, &p, sizeof(p), EV_PROCESS, command, sizeof(command));
	feed(w->evidence, &w->thread, sizeof(w->thread), EV_THREAD,
	     "worker\0sk_wait_data\0tcp_recvmsg;inet_recvmsg", 45);
	feed(w->evidence, &w->socket, sizeof(w->socket), EV_SOCKET, "", 0);
	feed(w->evidence, &fd, sizeof(fd), EV_FD, "socket:[4242]", 13);
	edge.flags = 0;
	edge.ts_ns = NOW - S;
	feed(w->evidence, &edge, sizeof(edge), EV_SNAPSHOT, "", 0);
}

static void world_snapshot(struct world *w)
{
	world_snapshot_in(w, NULL);
}

/* Diagnoses, writes the document, and reads it back as its users do. */
static json_t *world_document(struct world *w)
{
	char *text;
	json_t *doc;

	diagnosis_make(&w->look, &w->diagnosis);
	doc = run_error_json(&w->in);
	text = doc ? json_dumps(doc, 0) : NULL;
	json_decref(doc);
	json_decref(w->doc);
	w->doc = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
	free(text);
	return w->doc;
}

static void world_free(struct world *w)
{
	json_decref(w->doc);
	evidence_free(w->evidence);
}

/* "threads.0.syscall.name" */
static json_t *at(json_t *doc, const char *path)
{
	char copy[128], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *key = strtok_r(copy, ".", &save); key && doc; key = strtok_r(NULL, ".", &save))
		doc = json_is_array(doc) ? json_array_get(doc, strtoul(key, NULL, 10))
		                         : json_object_get(doc, key);
	return doc;
}

static bool is(json_t *doc, const char *path, const char *text)
{
	const char *found = json_string_value(at(doc, path));
	bool same = found && !strcmp(found, text);

	if (!same)
		printf("# %s is %s, not %s\n", path, found ? found : "no text", text);
	return same;
}

static bool is_number(json_t *doc, const char *path, double value)
{
	double found = json_number_value(at(doc, path));

	if (found < value - 0.001 || found > value + 0.001)
		printf("# %s is %f, not %f\n", path, found, value);
	return json_is_number(at(doc, path)) && found > value - 0.001 && found < value + 0.001;
}

static bool is_null(json_t *doc, const char *path)
{
	return json_is_null(at(doc, path));
}

/* ---- The document ---- */

static void the_night_it_was_born_from(void)
{
	struct world w;
	json_t *d;

	TEST("a request that was acknowledged and never answered is llm_no_response, strong, and "
	     "says so in a sentence");
	world_make(&w);
	world_snapshot(&w);
	d = world_document(&w);
	CHECK(is(d, "schema", "whystuck.run_error/1"));
	CHECK(is(d, "timestamp", "2026-01-01T00:00:00.000000Z"));
	CHECK(is(d, "verdict.kind", "llm_no_response"));
	CHECK(is(d, "verdict.confidence", "strong"));
	CHECK(is(d, "verdict.summary",
	         "POST /v1/chat/completions to api.openai.com (LLM) sent 8 h 42 m ago, "
	         "acknowledged, no byte since; no timeout and no keep-alive: it will wait for "
	         "ever"));
	CHECK(is(d, "verdict.since", "2025-12-31T15:18:00.000000Z"));
	CHECK(is_number(d, "verdict.for_ms", 31320000));
	CHECK(is_number(d, "causes.0.call", 3) && json_array_size(at(d, "causes")) == 1);

	TEST("a wait without time limit and without keepalive never ends by itself");
	CHECK(is(d, "verdict.will_wake.answer", "never") && is_null(d, "verdict.will_wake.at"));

	TEST("secrets in the command are masked");
	CHECK(is(d, "command", "python3 -m runner --api-key ***"));
	CHECK(is(d, "processes.0.command", "python3 -m runner --api-key ***"));

	TEST("the call in flight, its thread and its socket are told with their numbers");
	CHECK(is(d, "in_flight.0.class", "llm") && is(d, "in_flight.0.endpoint", "api.openai.com"));
	CHECK(is(d, "in_flight.0.label", "openai") && is(d, "in_flight.0.state", "ESTABLISHED"));
	CHECK(is_number(d, "in_flight.0.age_ms", 31320000) &&
	      is_number(d, "in_flight.0.silent_ms", 31320000));
	CHECK(json_is_true(at(d, "in_flight.0.sent")) && is_null(d, "in_flight.0.first_byte_ms"));
	CHECK(is_null(d, "in_flight.0.partial") && is_null(d, "in_flight.0.model"));
	CHECK(is(d, "threads.0.name", "worker") && is(d, "threads.0.state", "S"));
	CHECK(is(d, "threads.0.syscall.name", "recvfrom"));
	CHECK(is(d, "threads.0.syscall.args", "fd=7, len=16384, flags=0x0"));
	CHECK(is_number(d, "threads.0.syscall.fd", FD) &&
	      is(d, "threads.0.syscall.what", "socket:[4242]"));
	CHECK(is(d, "threads.0.syscall.endpoint", "api.openai.com"));
	CHECK(is(d, "threads.0.syscall.timeout_ms", "none"));
	CHECK(is(d, "threads.0.waits_for.0.endpoint", "api.openai.com"));
	CHECK(is_number(d, "threads.0.blocked_for_ms", 31320000));
	CHECK(is(d, "threads.0.wait_channel", "sk_wait_data"));
	CHECK(is(d, "threads.0.kernel_stack.1", "inet_recvmsg"));
	CHECK(is(d, "sockets.0.local", "10.0.0.1:5000") && is(d, "sockets.0.state", "ESTABLISHED"));
	CHECK(is_number(d, "sockets.0.last_sent_ms", 31320000) &&
	      is_number(d, "sockets.0.rtt_us", 12000));
	CHECK(json_is_false(at(d, "sockets.0.keepalive")));

	TEST("what never happened has no age, and what was not seen is null with a reason");
	CHECK(is_null(d, "sockets.0.last_recv_ms"));
	CHECK(is_null(d, "tasks") && json_is_string(at(d, "unseen.tasks")));
	CHECK(is_null(d, "last_turn") && is_null(d, "turn_in_progress"));
	CHECK(is_null(d, "verdict.clock"));

	TEST("next steps are given");
	CHECK(json_array_size(at(d, "next_steps")) >= 1 &&
	      json_array_size(at(d, "next_steps")) <= STEPS_MAX);
	world_free(&w);
}

/* The parts of a look that only an autopsy's snapshot has. */
static void autopsy(void)
{
	struct event edge = { .flags = EVF_BEGIN };
	struct ev_thread t = { .h = { .pid = PID, .tid = PID }, .state = 'Z', .syscall = -1 };
	struct ev_process p = { .h = { .pid = PID } };
	struct ev_fact fds = { .h = { .pid = PID }, .kind = FACT_FDS, .value = 9, .limit = 1024 };
	struct ev_fact status = { .h = { .pid = PID }, .kind = FACT_EXIT_STATUS, .value = 9 };
	struct ev_fact pressure = { .h = { .pid = PID }, .kind = FACT_PRESSURE_IO, .value = 1250 };
	struct ev_frames native = { .h = { .pid = PID, .tid = PID }, .kind = FRAMES_NATIVE };
	struct ev_task task = { .h = { .pid = PID, .tid = PID }, .task = 0xbeef };
	struct ev_request request = { .h = { .pid = PID, .tid = PID } };
	struct ev_socket socket = { .h = { .pid = PID, .flags = EVF_SEEDED | EVF_TCP }, .sock = 5 };
	struct ev_timers timers = { .h = { .pid = PID },
		                    .sock = 5,
		                    .timer = TIMER_RETRANSMIT,
		                    .timer_ns = S,
		                    .rto_us = 204000,
		                    .keep_idle_s = 7200 };
	struct ev_fd pipe = { .h = { .pid = PID }, .fd = 1 };
	struct ev_holder holder = { .h = { .pid = 7 }, .ino = 77, .peer = 77, .fd = 3, .mode = 1 };
	struct ev_lock lock = { .h = { .pid = PID }, .id = 4, .kind = LOCK_FLOCK, .waits = 1 };
	struct ev_missing missing = { .h = { .pid = PID } }, again = { .index = 1 };
	struct world w;
	json_t *d;

	world_make(&w);
	w.call.task = 0xbeef;
	w.call.pid = PID;
	feed(w.evidence, &edge, sizeof(edge), EV_SNAPSHOT, "", 0);
	feed(w.evidence, &p, sizeof(p), EV_PROCESS, "x", 1);
	feed(w.evidence, &t, sizeof(t), EV_THREAD, "x\0\0", 3);
	feed(w.evidence, &fds, sizeof(fds), EV_FACT, "", 0);
	feed(w.evidence, &status, sizeof(status), EV_FACT, "", 0);
	feed(w.evidence, &pressure, sizeof(pressure), EV_FACT, "", 0);
	feed(w.evidence, &native, sizeof(native), EV_FRAMES, "recv\tlibc.so.6\t0\n", 18);
	feed(w.evidence, &task, sizeof(task), EV_TASK, "Task-1\0Future\0go\ta.py\t3\n", 24);
	feed(w.evidence, &request, sizeof(request), EV_REQUEST, "POST\0http://h/x", 15);
	feed(w.evidence, &socket, sizeof(socket), EV_SOCKET, "", 0);
	feed(w.evidence, &timers, sizeof(timers), EV_TIMERS, "", 0);
	feed(w.evidence, &pipe, sizeof(pipe), EV_FD, "pipe:[77]", 9);
	feed(w.evidence, &holder, sizeof(holder), EV_HOLDER, "tee", 3);
	feed(w.evidence, &lock, sizeof(lock), EV_LOCK, "/tmp/l", 6);
	feed(w.evidence, &missing, sizeof(missing), EV_MISSING, "native_frames\0no libdw", 22);
	feed(w.evidence, &again, sizeof(again), EV_MISSING, "native_frames\0late", 18);
	edge = (struct event){ .ts_ns = NOW };
	feed(w.evidence, &edge, sizeof(edge), EV_SNAPSHOT, "", 0);
	d = world_document(&w);

	TEST("facts of a process are told, those not seen are null");
	CHECK(is(d, "processes.0.state", "Z"));
	CHECK(is(d, "processes.0.exit_status", "killed by signal 9"));
	CHECK(is_number(d, "processes.0.descriptors.open", 9) &&
	      is_number(d, "processes.0.descriptors.limit", 1024));
	CHECK(is_number(d, "processes.0.cgroup.pressure.io", 12.5));
	CHECK(is_null(d, "processes.0.cgroup.memory") && is_null(d, "processes.0.tracer"));

	TEST("native frames, tasks joined with their calls, requests, locks and pipes are told");
	CHECK(is(d, "threads.0.role", "main") && is(d, "threads.0.native.0.function", "recv"));
	CHECK(is(d, "tasks.0.name", "Task-1") && is(d, "tasks.0.awaits", "Future"));
	CHECK(is(d, "tasks.0.frames.0.function", "go") &&
	      is_number(d, "tasks.0.waits_for_call", 3) && json_array_size(at(d, "tasks")) == 1);
	CHECK(is(d, "requests.0.method", "POST") && is(d, "requests.0.url", "http://h/x"));
	CHECK(is(d, "locks.0.kind", "flock") && json_is_true(at(d, "locks.0.waits")));
	CHECK(is_number(d, "pipes.0.inode", 77) && is(d, "pipes.0.holders.0.name", "tee"));

	TEST("a connection's timer and settings are told");
	CHECK(is(d, "sockets.0.timers.timer", "retransmit") &&
	      is_number(d, "sockets.0.timers.in_ms", 1000));
	CHECK(is_number(d, "sockets.0.timers.keepalive_idle_s", 7200) &&
	      is_null(d, "sockets.0.timers.user_timeout_ms"));

	TEST("what could not be seen is told once a kind, with all reasons");
	CHECK(json_is_string(at(d, "unseen.native_frames")) &&
	      strstr(json_string_value(at(d, "unseen.native_frames")), "process 100: no libdw") &&
	      strstr(json_string_value(at(d, "unseen.native_frames")), "late"));

	TEST("a probe that proved the path dead makes the verdict proven");
	run_error_probed(d, true, bytes_of("the path is dead: 3 keepalive probes unanswered"));
	CHECK(is(d, "verdict.kind", "connection_dead") && is(d, "verdict.confidence", "proven"));
	CHECK(is(d, "causes.0.kind", "connection_dead"));
	world_free(&w);
}

static void without_a_snapshot(void)
{
	struct world w;
	json_t *d;

	TEST("without a snapshot the verdict is only likely, and its parts are null with a reason");
	world_make(&w);
	d = world_document(&w);
	CHECK(is(d, "verdict.kind", "llm_no_response") && is(d, "verdict.confidence", "likely"));
	CHECK(is(d, "verdict.summary",
	         "POST /v1/chat/completions to api.openai.com (LLM) sent 8 h 42 m ago, "
	         "no byte since"));
	CHECK(is(d, "verdict.will_wake.answer", "unknown"));
	CHECK(is_null(d, "threads") && is_null(d, "sockets") && is_null(d, "command"));
	CHECK(json_is_string(at(d, "unseen.snapshot")) && json_is_string(at(d, "unseen.command")));

	TEST("nor does it need evidence at all, an endpoint, or a name");
	w.look.evidence = NULL;
	w.view.endpoint = NULL;
	w.call.op[0] = '\0';
	d = world_document(&w);
	CHECK(is(d, "verdict.summary",
	         "a request to an unnamed endpoint (LLM) sent 8 h 42 m ago, no byte since"));
	CHECK(is_null(d, "in_flight.0.endpoint") && is_null(d, "in_flight.0.op"));
	world_free(&w);
}

static void turns_calls_actions(void)
{
	struct world w;
	json_t *d;
	struct call done[25];
	struct call_view recent[25];
	struct turn turn = { .id = 9,
		             .session_id = "s1",
		             .turn_index = 4,
		             .role = LLM_ROLE_USER,
		             .start_ns = SENT - 10 * S,
		             .end_ns = SENT - 5 * S,
		             .status = TURN_OK,
		             .llm_calls = 2 };
	struct turn open = { .id = 10, .session_id = "s\xff\n2", .start_ns = SENT };
	struct {
		struct ev_action a;
		char text[40];
	} alert = { { { .size = sizeof(struct ev_action) + 30, .ts_ns = NOW - S },
		      .kind = ACTION_ALERT,
		      .result = 3 << 8 },
		    "notify --token abc --to me 123" };
	struct ev_action stop = { { .size = sizeof(stop), .ts_ns = NOW },
		                  .kind = ACTION_STOP,
		                  .result = SIGINT,
		                  .signo = SIGINT };
	struct ev_action failed = { { .size = sizeof(stop), .ts_ns = NOW },
		                    .kind = ACTION_STOP,
		                    .result = -EPERM };
	const struct ev_action *actions[] = { &alert.a, &stop, &failed };

	world_make(&w);
	world_snapshot(&w);
	for (int i = 0; i < 25; i++) {
		done[i] = w.call;
		done[i].id = (uint64_t)i;
		done[i].end_ns = SENT + S;
		done[i].status = CALL_RATE_LIMITED;
		done[i].http_status = 429;
		recent[i] = (struct call_view){ &done[i], &w.endpoint, 0 };
	}
	w.in.recent = recent;
	w.in.nrecent = 25;
	w.in.last_turn = &turn;
	w.in.open_turn = &open;
	w.in.actions = actions;
	w.in.nactions = 3;
	w.call.task = 0xbeef;
	d = world_document(&w);

	TEST("the last turn and the one in progress are told, the open one without an end or a "
	     "status");
	CHECK(is_number(d, "last_turn.turn_id", 9) && is(d, "last_turn.status", "ok"));
	CHECK(is_number(d, "last_turn.wall_ms", 5000) && is(d, "last_turn.role", "user"));
	CHECK(is_null(d, "turn_in_progress.wall_ms") && is_null(d, "turn_in_progress.status"));

	TEST("text from the target is made valid before it goes into the document");
	CHECK(is(d, "turn_in_progress.session_id", "s? 2"));

	TEST("the twenty newest calls that are done are told");
	CHECK(json_array_size(at(d, "recent_calls")) == 20 && is_number(d, "recent_calls.0.id", 5));
	CHECK(is(d, "recent_calls.0.status", "rate_limited") &&
	      is_number(d, "recent_calls.0.http_status", 429));
	CHECK(is_number(d, "recent_calls.0.ms", 1000));

	TEST("an asyncio task seen behind a call is told");
	CHECK(is_null(d, "tasks.0.frames") && is_null(d, "tasks.0.name"));
	CHECK(is(d, "tasks.0.task", "0xbeef") && is_number(d, "tasks.0.waits_for_call", 3));

	TEST("actions are told with their results, secrets of the alert's command masked");
	CHECK(is(d, "actions.0.kind", "alert") && is(d, "actions.0.result", "exit status 3"));
	CHECK(is(d, "actions.0.what", "notify --token *** --to me 123"));
	CHECK(is(d, "actions.1.kind", "stop") && is(d, "actions.1.result", "SIGINT sent"));
	CHECK(is(d, "actions.2.result", "failed: Operation not permitted"));
	world_free(&w);
}

/* ---- Verdicts ---- */

static void expect(struct world *w, const char *kind, const char *confidence)
{
	json_t *d;

	world_snapshot(w);
	d = world_document(w);
	CHECK(is(d, "verdict.kind", kind));
	CHECK(confidence ? is(d, "verdict.confidence", confidence)
	                 : is_null(d, "verdict.confidence"));
	world_free(w);
}

static void verdicts(void)
{
	struct world w;

	TEST("a reply that began and whose content stopped is llm_stream_stalled, pings or not");
	world_make(&w);
	w.llm = (struct llm_call){ .streamed = true, .last_content_ns = SENT + 60 * S };
	w.call.llm = &w.llm;
	w.call.first_byte_ns = SENT + S;
	w.call.last_byte_ns = NOW - 10 * S;
	w.socket.tcp_bytes_recv = 500;
	w.socket.tcp_last_recv_ns = 9 * S;
	expect(&w, "llm_stream_stalled", "strong");

	TEST("a storage call without an answer is storage_no_response");
	world_make(&w);
	w.call.class = CALL_STORAGE;
	w.endpoint.class = CALL_STORAGE;
	strcpy(w.endpoint.system, "redis");
	expect(&w, "storage_no_response", "strong");

	TEST("unacknowledged data under retransmission is a dead connection, whatever was asked");
	world_make(&w);
	w.socket.tcp_unacked = 2;
	w.socket.tcp_retransmits = 9;
	expect(&w, "connection_dead", "strong");
	world_make(&w);
	w.socket.tcp_unacked = 2;
	w.socket.tcp_retransmits = 1;
	expect(&w, "connection_dead", "likely");

	TEST("a peer that closed while nobody reads is peer_closed_unread");
	world_make(&w);
	w.socket.tcp_state = 8;
	expect(&w, "peer_closed_unread", "strong");

	TEST("a reply that lies unread in the socket is not called a missing one");
	world_make(&w);
	w.socket.tcp_unread = 100;
	w.socket.tcp_bytes_recv = 100;
	expect(&w, "unknown", NULL);

	TEST("unacknowledged data without retransmission leaves a verdict likely");
	world_make(&w);
	w.socket.tcp_unacked = 1;
	expect(&w, "llm_no_response", "likely");

	TEST("a request that was not seen complete is not called unanswered");
	world_make(&w);
	w.call.sent_ns = 0;
	expect(&w, "unknown", NULL);

	TEST("a call from before we came is judged by its socket: sent when all is acknowledged, "
	     "since the last byte");
	world_make(&w);
	w.call.sent_ns = 0;
	w.call.at_least = true;
	w.call.partial = PARTIAL_ATTACHED_LATE;
	w.call.start_ns = w.call.request_ns = NOW - 1000 * S;
	world_snapshot(&w);
	CHECK(is(world_document(&w), "verdict.kind", "llm_no_response"));
	CHECK(is_number(w.doc, "verdict.for_ms", 31320000));
	world_free(&w);

	TEST("an open call that is not silent for the timeout is no cause, nor is one that is "
	     "meant to wait");
	world_make(&w);
	w.call.sent_ns = NOW - 10 * S;
	expect(&w, "unknown", NULL);
	world_make(&w);
	w.call.class = CALL_STORAGE;
	w.call.blocks = true;
	world_snapshot(&w);
	CHECK(is(world_document(&w), "verdict.kind", "unknown"));
	CHECK(strstr(json_string_value(at(w.doc, "verdict.summary")), "meant to wait"));
	world_free(&w);

	TEST("with nothing in flight the verdict is unknown, with the stall's clock and what the "
	     "threads do");
	world_make(&w);
	world_snapshot(&w);
	w.look.nopen = 0;
	struct stall *s = stall_new(900 * S, 100 * S);
	stall_tick(s, NOW, NULL, 0);
	w.look.stall = s;
	CHECK(is(world_document(&w), "verdict.kind", "unknown") &&
	      is(w.doc, "verdict.clock", "content"));
	CHECK(is(w.doc, "verdict.summary",
	         "nothing in flight on any LLM or storage connection; no progress for at least "
	         "11 h 5 m"));
	CHECK(is(w.doc, "causes.0.evidence.0",
	         "nothing moved since whystuck attached, 11 h 5 m ago"));
	CHECK(is(w.doc, "causes.0.evidence.1",
	         "thread 101 (worker) is in state S, in recvfrom(fd=7, len=16384, flags=0x0) for "
	         "8 h 42 m"));
	stall_free(s);
	world_free(&w);
}

static void unnamed(void)
{
	struct world w;

	TEST("an unanswered request to somebody unknown is named, with the option that tells what "
	     "it is");
	world_make(&w);
	w.call.class = CALL_OTHER;
	w.call.first_byte_ns = 0;
	world_snapshot(&w);
	CHECK(is(world_document(&w), "verdict.kind", "unknown"));
	CHECK(strstr(json_string_value(at(w.doc, "verdict.summary")), "is unanswered, silent for"));
	CHECK(strstr(json_string_value(at(w.doc, "next_steps.0")), "--llm "));
	world_free(&w);
	TEST("a request to the target itself is none of its waits");
	world_make(&w);
	w.call.class = CALL_OTHER;
	w.call.inbound = true;
	world_snapshot(&w);
	CHECK(strstr(json_string_value(at(world_document(&w), "verdict.summary")),
	             "nothing in flight"));
	world_free(&w);
}

static void ranking(void)
{
	struct world w;
	struct call calls[20];
	struct call_view views[20];
	json_t *d;

	TEST("the oldest silence is the verdict, the others are causes, those beyond the limit are "
	     "counted");
	world_make(&w);
	for (int i = 0; i < 20; i++) {
		calls[i] = w.call;
		calls[i].id = (uint64_t)i + 1;
		calls[i].start_ns = calls[i].request_ns = calls[i].sent_ns =
			SENT + (uint64_t)((i + 7) % 20) * S;
		snprintf(calls[i].op, sizeof(calls[i].op), "POST /v1/%d", i);
		views[i] = (struct call_view){ &calls[i], &w.endpoint, 0 };
	}
	calls[19].class = CALL_HEARTBEAT;
	w.look.open = views;
	w.look.nopen = 20;
	d = world_document(&w);
	CHECK(is_number(d, "causes.0.call", 14) && json_array_size(at(d, "causes")) == CAUSES_MAX);
	CHECK(is_number(d, "causes.1.call", 15) && is_number(d, "omitted.causes", 3));
	CHECK(json_array_size(at(d, "in_flight")) == 20);

	TEST("calls that hang alike are one cause, the oldest's, and counted");
	for (int i = 0; i < 20; i++)
		snprintf(calls[i].op, sizeof(calls[i].op), "POST /v1/messages");
	d = world_document(&w);
	CHECK(json_array_size(at(d, "causes")) == 1 && is_number(d, "causes.0.call", 14));
	CHECK(is(d, "verdict.summary",
	         "19 calls of POST /v1/messages to api.openai.com (LLM), the oldest sent 8 h 42 m "
	         "ago, no byte since"));
	world_free(&w);
}

static const char *wake(struct world *w)
{
	static char answer[16];
	const char *s;

	world_snapshot(w);
	s = json_string_value(at(world_document(w), "verdict.will_wake.answer"));
	snprintf(answer, sizeof(answer), "%s", s ? s : "");
	return answer;
}

/* A loop with two descriptors waits, as asyncio's does. */
static void world_loop(struct world *w)
{
	world_make(w);
	w->thread.syscall = __NR_epoll_pwait;
	w->thread.args[0] = 3;
	w->thread.fds_total = w->thread.nfds = 2;
	w->thread.fds[0] = 9;
	w->thread.fds[1] = FD;
	w->call.llm = llm_call_new();
	w->call.llm->kind = LLM_CHAT;
}

static void world_loop_free(struct world *w)
{
	llm_call_free(w->call.llm);
	w->call.llm = NULL;
	world_free(w);
}

static bool says(struct world *w, const char *part)
{
	const char *s = json_string_value(at(w->doc, "verdict.summary"));

	return s && strstr(s, part);
}

/* What the client said of its own time limit in the request. */
static void said(void)
{
	struct world w;

	TEST("where no armed timer tells, the client's own words in the request do");
	world_loop(&w);
	w.call.limit = LIMIT_SILENCE;
	w.call.limit_s = (double)(NOW - w.call.sent_ns) / 1e9 + 60;
	CHECK(!strcmp(wake(&w), "at"));
	CHECK(says(&w, "; the client set a timeout of ") && says(&w, ": it gives up in 1 m 0 s"));
	CHECK(is(w.doc, "in_flight.0.client_timeout_of", "silence") &&
	      json_is_null(at(w.doc, "in_flight.0.request_id")));
	world_loop_free(&w);

	TEST("one that should be over, or only held until the reply began, ends nothing");
	world_loop(&w);
	w.call.limit = LIMIT_SILENCE;
	w.call.limit_s = 1;
	CHECK(!strcmp(wake(&w), "unknown") && !says(&w, "gives up"));
	world_loop_free(&w);
	world_loop(&w);
	w.call.limit = LIMIT_HEAD;
	w.call.limit_s = 1e6;
	w.call.first_byte_ns = w.call.last_byte_ns = w.call.sent_ns + S;
	CHECK(strcmp(wake(&w), "at") != 0 && !says(&w, "gives up"));
	world_loop_free(&w);

	TEST("that it set none is told, and is no wake-up");
	world_loop(&w);
	w.call.limit = LIMIT_NONE;
	w.thread.timeout_ns = (int64_t)(31320 * S + 600 * S);
	CHECK(!strcmp(wake(&w), "unknown") && says(&w, "; the client set no read timeout"));
	CHECK(is(w.doc, "in_flight.0.client_timeout_of", "none"));
	world_loop_free(&w);

	TEST("a wait on that socket alone, with nothing armed, is a fact against words");
	world_make(&w);
	w.call.llm = llm_call_new();
	w.call.limit = LIMIT_SILENCE;
	w.call.limit_s = 1e6;
	CHECK(!strcmp(wake(&w), "never"));
	world_loop_free(&w);
}

static void waking(void)
{
	struct world w;

	TEST("a time limit on the wait for that very socket tells when it wakes");
	world_make(&w);
	w.thread.timeout_ns = (int64_t)(31320 * S + 600 * S);
	CHECK(!strcmp(wake(&w), "at"));
	CHECK(is(w.doc, "verdict.will_wake.at", "2026-01-01T00:10:00.000000Z"));
	CHECK(is_number(w.doc, "timeouts.0.left_ms", 600000) &&
	      is(w.doc, "timeouts.0.thread", "worker"));
	world_free(&w);

	TEST("a time limit over many descriptors is not this call's, so it is unknown");
	world_make(&w);
	w.thread.timeout_ns = (int64_t)(31320 * S + 600 * S);
	w.thread.syscall = __NR_epoll_pwait;
	w.thread.args[0] = 3;
	w.thread.fds_total = w.thread.nfds = 2;
	w.thread.fds[0] = 9;
	w.thread.fds[1] = FD;
	CHECK(!strcmp(wake(&w), "unknown"));
	world_free(&w);

	TEST("keepalive, or data still unacknowledged, end it should the path be dead");
	world_make(&w);
	w.socket.keepalive = 1;
	CHECK(!strcmp(wake(&w), "on_event"));
	world_free(&w);
	world_make(&w);
	w.socket.tcp_unacked = 1;
	CHECK(!strcmp(wake(&w), "on_event"));
	world_free(&w);

	TEST("a time limit that each byte of a stream arms anew ends nothing while they come");
	world_make(&w);
	w.thread.timeout_ns = (int64_t)(31320 * S + 600 * S);
	w.call.content_ns = SENT;
	w.call.filler_ns = w.call.first_byte_ns = w.call.last_byte_ns = NOW - S;
	CHECK(!strcmp(wake(&w), "on_event"));
	CHECK(is(w.doc, "verdict.kind", "llm_stream_stalled"));
	world_free(&w);

	TEST("a limit that could not be read leaves it unknown");
	world_make(&w);
	w.thread.timeout_ns = TIMEOUT_UNKNOWN;
	CHECK(!strcmp(wake(&w), "unknown"));
	world_free(&w);

	TEST("a limit that is already over, and no thread on the socket, leave it unknown");
	world_make(&w);
	w.thread.timeout_ns = (int64_t)S;
	CHECK(!strcmp(wake(&w), "unknown"));
	world_free(&w);
	world_make(&w);
	w.thread.syscall = __NR_futex;
	w.thread.args[1] = 0x80; /* FUTEX_WAIT | FUTEX_PRIVATE_FLAG */
	w.thread.nfds = 0;
	CHECK(!strcmp(wake(&w), "unknown"));
	CHECK(is(w.doc, "threads.0.syscall.args", "uaddr=0x7, op=FUTEX_WAIT, val=16384"));
	world_free(&w);
}

static void loop_elsewhere(void)
{
	struct call_view views[2];
	struct call older;
	struct world w;

	TEST("the call that a loop's own thread waits in stands before older ones of its tasks");
	world_make(&w);
	older = w.call;
	older.id++;
	older.start_ns = older.request_ns = older.sent_ns = SENT - S;
	strcpy(older.op, "POST /v1/messages");
	views[0] = (struct call_view){ &older, &w.endpoint, SOCK + 1 };
	views[1] = w.view;
	w.look.open = views;
	w.look.nopen = 2;
	world_snapshot(&w);
	CHECK(strstr(json_string_value(at(world_document(&w), "verdict.summary")), "/v1/messages"));
	world_snapshot_in(&w, "judge\t/app/judge.py\t7\n"
	                      "run_forever\t/usr/lib/python3.11/asyncio/base_events.py\t607\n");
	world_document(&w);
	CHECK(strstr(json_string_value(at(w.doc, "verdict.summary")), "/v1/chat/completions"));
	CHECK(is(w.doc, "verdict.where", "judge (judge.py:7)"));
	CHECK(strstr(json_string_value(at(w.doc, "causes.0.evidence.0")), "runs an event loop"));
	CHECK(strstr(json_string_value(at(w.doc, "next_steps.0")), "asyncio.to_thread"));
	world_free(&w);
}

static void storage_steps(void)
{
	struct world w;

	TEST("steps for a storage server name it, and never hold what a shell would run");
	world_make(&w);
	w.call.class = CALL_STORAGE;
	strcpy(w.endpoint.system, "redis");
	strcpy(w.endpoint.addr, "[::1]:6379");
	world_snapshot(&w);
	CHECK(!strncmp(json_string_value(at(world_document(&w), "next_steps.0")),
	               "redis-cli -h ::1 -p 6379 CLIENT", 31));
	strcpy(w.endpoint.addr, "/run/redis.sock");
	CHECK(!strncmp(json_string_value(at(world_document(&w), "next_steps.0")),
	               "redis-cli -s /run/redis.sock ", 29));
	strcpy(w.endpoint.addr, "/run/$(reboot)");
	CHECK(!strncmp(json_string_value(at(world_document(&w), "next_steps.0")),
	               "redis-cli CLIENT", 16));
	world_free(&w);
}

static void frames(struct world *w, uint32_t tid, uint32_t kind, uint32_t flags, const char *text)
{
	struct ev_frames f = { .h = { .pid = PID, .tid = tid }, .kind = kind, .flags = flags };

	feed(w->evidence, &f, sizeof(f), EV_FRAMES, text, strlen(text));
}

static void python_frames(void)
{
	static const char text[] = "Client.ask\t/srv/run/llm.py\t120\ngr\xc3\xb6\xc3\x9f"
				   "e\tagent.py\t0\n";
	struct event edge = { .flags = EVF_BEGIN };
	struct ev_process p = { .h = { .pid = PID } };
	struct world w;

	world_make(&w);
	feed(w.evidence, &edge, sizeof(edge), EV_SNAPSHOT, "", 0);
	feed(w.evidence, &p, sizeof(p), EV_PROCESS, "", 0);
	for (uint32_t tid = 1; tid <= 4; tid++) {
		w.thread.h.tid = tid;
		feed(w.evidence, &w.thread, sizeof(w.thread), EV_THREAD, "", 0);
	}
	frames(&w, 1, FRAMES_PYTHON, 0, text);
	frames(&w, 2, FRAMES_PYTHON, FRAMES_TORN | FRAMES_CUT | FRAMES_GIL, text);
	frames(&w, 3, FRAMES_PYTHON, FRAMES_GIL_WAIT, "");
	frames(&w, 0, FRAMES_MISSING, 0, "the frames of 1 Python threads could not be read");
	edge.flags = 0;
	edge.ts_ns = NOW;
	feed(w.evidence, &edge, sizeof(edge), EV_SNAPSHOT, "", 0);
	world_document(&w);

	TEST("a thread's functions, files and lines, innermost first; an unknown line is null");
	CHECK(json_array_size(at(w.doc, "threads.0.python")) == 2);
	CHECK(is(w.doc, "threads.0.python.0.function", "Client.ask"));
	CHECK(is(w.doc, "threads.0.python.0.file", "/srv/run/llm.py"));
	CHECK(is_number(w.doc, "threads.0.python.0.line", 120));
	CHECK(is(w.doc, "threads.0.python.1.function",
	         "gr\xc3\xb6\xc3\x9f"
	         "e"));
	CHECK(json_is_null(at(w.doc, "threads.0.python.1.line")));
	CHECK(!at(w.doc, "threads.0.python_torn") && !at(w.doc, "threads.0.python_cut"));
	CHECK(json_is_null(at(w.doc, "threads.0.gil")));

	TEST("frames that may be mixed, or are not all, say so; and who has the lock");
	CHECK(json_is_true(at(w.doc, "threads.1.python_torn")));
	CHECK(json_is_true(at(w.doc, "threads.1.python_cut")));
	CHECK(is(w.doc, "threads.1.gil", "holds"));
	CHECK(json_array_size(at(w.doc, "threads.2.python")) == 0);
	CHECK(json_is_array(at(w.doc, "threads.2.python")) && is(w.doc, "threads.2.gil", "waits"));

	TEST("a thread without frames has null, and it is told why");
	CHECK(json_is_null(at(w.doc, "threads.3.python")));
	CHECK(strstr(json_string_value(json_object_get(at(w.doc, "unseen"), "threads.python")),
	             ": the frames of 1 Python threads could not be read"));
	world_free(&w);
}

static void limits(void)
{
	struct world w;
	struct event edge = { .flags = EVF_BEGIN };

	TEST("rows beyond the limit are left out and counted");
	world_make(&w);
	feed(w.evidence, &edge, sizeof(edge), EV_SNAPSHOT, "", 0);
	for (uint32_t i = 0; i < RUN_ERROR_ROWS_MAX + 5; i++) {
		w.thread.h.tid = i + 1;
		feed(w.evidence, &w.thread, sizeof(w.thread), EV_THREAD, "", 0);
	}
	edge.flags = 0;
	edge.ts_ns = NOW;
	feed(w.evidence, &edge, sizeof(edge), EV_SNAPSHOT, "", 0);
	world_document(&w);
	CHECK(json_array_size(at(w.doc, "threads")) == RUN_ERROR_ROWS_MAX);
	CHECK(is_number(w.doc, "omitted.threads", 5));
	CHECK(is_null(w.doc, "threads.0.name") && is_null(w.doc, "threads.0.kernel_stack"));
	world_free(&w);
}

static void durations(void)
{
	char buf[DURATION_TEXT_MAX];

	TEST("durations read as people say them");
	CHECK(!strcmp(duration_text(340 * 1000000ull, buf), "340 ms"));
	CHECK(!strcmp(duration_text(3250 * 1000000ull, buf), "3.2 s"));
	CHECK(!strcmp(duration_text(192 * S, buf), "3 m 12 s"));
	CHECK(!strcmp(duration_text(31320 * S, buf), "8 h 42 m"));
	CHECK(!strcmp(duration_text(183600 * S, buf), "2 d 3 h"));
}

/* ---- Onto the disk ---- */

static int entries(int dirfd)
{
	DIR *d = fdopendir(openat(dirfd, ".", O_RDONLY | O_DIRECTORY));
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

/*
 * Sends no file beyond n bytes onto any disk: what a full disk looks like to write(2), but for the
 * error's number.
 */
static int write_with_limit(json_t *doc, int dirfd, rlim_t n)
{
	struct rlimit old, tight;
	int err;

	getrlimit(RLIMIT_FSIZE, &old);
	tight = (struct rlimit){ n, old.rlim_max };
	signal(SIGXFSZ, SIG_IGN);
	fflush(stdout);
	setrlimit(RLIMIT_FSIZE, &tight);
	err = run_error_write(doc, dirfd, "run_error.json");
	setrlimit(RLIMIT_FSIZE, &old);
	return err;
}

static void the_file(void)
{
	char dir[] = "/tmp/whystuck-unit-XXXXXX", name[300];
	json_t *doc = json_pack("{s:s}", "schema", "x"), *back;
	json_t *newer = json_pack("{s:s}", "schema", "y");
	struct stat st;
	int fd = mkdtemp(dir) ? open(dir, O_RDONLY | O_DIRECTORY) : -1, file;

	TEST("the document is written whole, for its owner alone, with nothing beside it");
	CHECK(run_error_write(doc, fd, "run_error.json") == 0);
	CHECK(fstatat(fd, "run_error.json", &st, 0) == 0 && (st.st_mode & 0777) == 0600);
	CHECK(entries(fd) == 1);

	TEST("a disk that fills up keeps the older document and leaves no piece of the new one");
	CHECK(write_with_limit(newer, fd, 5) == -EFBIG);
	CHECK(entries(fd) == 1);
	file = openat(fd, "run_error.json", O_RDONLY);
	back = json_loadfd(file, 0, NULL);
	CHECK(is(back, "schema", "x"));
	close(file);
	json_decref(back);

	TEST("a newer document replaces it, over the leftover of a killed run and never through a "
	     "link");
	CHECK(symlinkat("/nonexistent/elsewhere", fd, ".run_error.json.tmp") == 0);
	CHECK(run_error_write(newer, fd, "run_error.json") == 0);
	file = openat(fd, "run_error.json", O_RDONLY);
	back = json_loadfd(file, 0, NULL);
	CHECK(is(back, "schema", "y") && entries(fd) == 1);
	close(file);
	json_decref(back);

	TEST("a place that takes no file, and a name that is one's own trouble, are errors that "
	     "leave nothing");
	CHECK(mkdirat(fd, "taken", 0700) == 0 && run_error_write(doc, fd, "taken") < 0);
	CHECK(entries(fd) == 2);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	CHECK(run_error_write(doc, fd, name) == -ENAMETOOLONG);
	CHECK(run_error_write(doc, fd, "none/run_error.json") < 0);
	CHECK(entries(fd) == 2);
	unlinkat(fd, "taken", AT_REMOVEDIR);
	unlinkat(fd, "run_error.json", 0);

	TEST("a directory that may not be written is an error with nothing left behind");
	file = open("/proc/self", O_RDONLY | O_DIRECTORY); /* not even root creates files here */
	CHECK(run_error_write(doc, file, "run_error.json") < 0);
	close(file);
	rmdir(dir);
	CHECK(run_error_write(doc, fd, "run_error.json") == -ENOENT);
	close(fd);
	json_decref(doc);
	json_decref(newer);
}

int main(void)
{
	the_night_it_was_born_from();
	autopsy();
	without_a_snapshot();
	turns_calls_actions();
	verdicts();
	unnamed();
	ranking();
	waking();
	said();
	loop_elsewhere();
	storage_steps();
	python_frames();
	limits();
	durations();
	the_file();
	return DONE();
}
