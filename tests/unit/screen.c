/* SPDX-License-Identifier: BSD-2-Clause */
/* The screen of made-up looks: what is said, what is folded, and that nothing breaks the terminal. */
#include <asm/unistd.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "base/text.h"
#include "out/screen.h"
#include "evidence_fixture.h"
#include "test.h"

#define S 1000000000ull
#define NOW (40000 * S)
#define SENT (NOW - 31320 * S)             /* 8 h 42 m ago */
#define WALL_OFFSET (1767225600 * S - NOW) /* so that NOW is 2026-01-01T00:00:00Z */
#define PID 100
#define FD 7
#define SOCK 4242
#define WORKERS 28

#define CALLS_MAX 32

struct world {
	struct call calls[CALLS_MAX];
	struct call_view views[CALLS_MAX];
	struct endpoint endpoint;
	struct look look;
	struct run_error_input in;
	struct diagnosis diagnosis;
	struct evidence *evidence;
	char *text;
};

static void feed_edge(struct evidence *e, bool begin)
{
	struct event edge = { .flags = begin ? EVF_BEGIN : 0, .ts_ns = NOW };

	feed(e, &edge, sizeof(edge), EV_SNAPSHOT, "", 0);
}

static void feed_thread(struct evidence *e, uint32_t pid, uint32_t tid, const char *name,
                        const char *frames)
{
	struct ev_thread t = { .h = { .ts_ns = NOW, .pid = pid, .tid = tid },
		               .blocked_since_ns = SENT,
		               .args = { FD, 0xdead, 16384 },
		               .timeout_ns = TIMEOUT_NONE,
		               .syscall = __NR_recvfrom,
		               .state = 'S',
		               .fds_total = 1,
		               .nfds = 1,
		               .fds = { FD } };
	struct ev_frames f = { .h = { .pid = pid, .tid = tid }, .kind = FRAMES_PYTHON };
	char text[256];
	int n = snprintf(text, sizeof(text), "%s", name);

	memcpy(text + n, "\0wait\0tcp_recvmsg;sock_recvmsg", 31);
	feed(e, &t, sizeof(t), EV_THREAD, text, (size_t)n + 30);
	if (frames)
		feed(e, &f, sizeof(f), EV_FRAMES, frames, strlen(frames));
}

static void feed_task(struct evidence *e, uint64_t task, const char *name)
{
	struct ev_task t = { .h = { .pid = PID, .tid = PID }, .task = task };
	char text[256];
	int n = snprintf(text, sizeof(text), "%s%cFuture%cfetch\t/app/crawl.py\t12\n", name, 0, 0);

	feed(e, &t, sizeof(t), EV_TASK, text, (size_t)n);
}

static void world_make(struct world *w)
{
	struct cause *c = w->diagnosis.causes;

	memset(w, 0, sizeof(*w));
	w->evidence = evidence_new();
	w->endpoint = (struct endpoint){ .class = CALL_LLM,
		                         .label = "openai",
		                         .addr = "1.2.3.4:443",
		                         .name = "api.openai.com" };
	for (size_t i = 0; i < CALLS_MAX; i++) {
		w->calls[i] = (struct call){ .id = i + 1,
			                     .pid = PID,
			                     .tid = PID,
			                     .start_ns = SENT + i * S,
			                     .request_ns = SENT + i * S,
			                     .sent_ns = SENT + i * S,
			                     .class = CALL_LLM,
			                     .op = "POST /v1/chat/completions" };
		w->views[i] = (struct call_view){ &w->calls[i], &w->endpoint, SOCK };
	}
	*c = (struct cause){ .kind = VERDICT_LLM_NO_RESPONSE,
		             .confidence = CONFIDENCE_STRONG,
		             .pid = PID,
		             .tid = PID,
		             .view = w->views,
		             .since_ns = SENT,
		             .at_least = true,
		             .summary = "POST /v1/chat/completions to api.openai.com (LLM) was "
		                        "sent 8 h 42 m ago, acknowledged, no byte since",
		             .where = "ask_llm (llm.py:120) <- reply (agent.py:88)",
		             .evidence = { "request of 900 bytes complete",
		                           "TCP keepalive is off" },
		             .nevidence = 2,
		             .wake = { WAKE_NEVER, 0, "no timer is armed on it" },
		             .steps = { "sudo ss -tnop | grep 'pid=100,'   # its connections",
		                        "set a read timeout on the LLM client" },
		             .nsteps = 2 };
	w->diagnosis.ncauses = 1;
	w->look = (struct look){ .now_ns = NOW,
		                 .pid = PID,
		                 .evidence = w->evidence,
		                 .open = w->views,
		                 .nopen = 1,
		                 .silent_min_ns = 10 * S };
	w->in = (struct run_error_input){ .look = &w->look,
		                          .diagnosis = &w->diagnosis,
		                          .wall_offset_ns = WALL_OFFSET };
}

static void world_snapshot(struct world *w, const char *name)
{
	static const char command[] = "python3\0-m\0runner\0--api-key\0hunter2";
	struct ev_process p = { .h = { .pid = PID }, .ppid = 1, .uid = 1000, .start_ns = S };
	struct ev_fd fd = { .h = { .pid = PID }, .fd = FD, .sock = SOCK };
	struct ev_socket k = { .h = { .ts_ns = NOW, .pid = PID, .flags = EVF_SEEDED | EVF_TCP },
		               .sock = SOCK,
		               .fd = FD,
		               .family = AF_INET,
		               .remote = { 1, 2, 3, 4 },
		               .remote_port = 443,
		               .tcp_state = 1,
		               .tcp_bytes_sent = 900,
		               .tcp_last_sent_ns = NOW - SENT };
	struct ev_timers t = { .h = { .ts_ns = NOW, .pid = PID }, .sock = SOCK, .rto_us = 204000 };
	struct ev_missing m = { .h = { .pid = PID } };
	struct ev_fact fact = { .h = { .pid = PID }, .kind = FACT_FDS, .value = 9, .limit = 1024 };
	struct ev_lock lock = { .h = { .pid = PID }, .id = 1, .ino = 5, .kind = LOCK_FLOCK };

	feed_edge(w->evidence, true);
	feed(w->evidence, &p, sizeof(p), EV_PROCESS, command, sizeof(command));
	feed(w->evidence, &fd, sizeof(fd), EV_FD, "socket:[4242]", 13);
	feed(w->evidence, &k, sizeof(k), EV_SOCKET, "", 0);
	feed(w->evidence, &t, sizeof(t), EV_TIMERS, "", 0);
	feed(w->evidence, &fact, sizeof(fact), EV_FACT, "", 0);
	feed(w->evidence, &lock, sizeof(lock), EV_LOCK, "/tmp/x.lock", 11);
	feed(w->evidence, &m, sizeof(m), EV_MISSING, "native_frames\0built without libdw", 33);
	feed_thread(w->evidence, PID, PID, name, "ask_llm\t/app/llm.py\t120\n");
	for (uint32_t i = 1; i <= WORKERS; i++)
		feed_thread(w->evidence, PID, PID + i, "worker", "work\t/app/pool.py\t7\n");
	feed_thread(w->evidence, PID, PID + 90, "helper", NULL);
	for (uint64_t i = 1; i <= 120; i++)
		feed_task(w->evidence, i, "Task-1");
	feed_edge(w->evidence, false);
}

static const char *render(struct world *w, size_t width, bool utf8, bool colour, bool all)
{
	struct screen_style style = { .width = width, .utf8 = utf8, .color = colour, .all = all };
	size_t n;
	FILE *f;

	free(w->text);
	f = open_memstream(&w->text, &n);
	screen_print(&w->in, &style, f);
	fclose(f);
	return w->text;
}

static void world_free(struct world *w)
{
	evidence_free(w->evidence);
	free(w->text);
}

/* No line wider than that; commands to be pasted (six blanks in front) are never broken. */
static bool fits(const char *text, size_t width)
{
	char *copy = strdup(text);
	bool ok = true;

	for (char *l = strtok(copy, "\n"); l; l = strtok(NULL, "\n")) {
		if (text_columns(l) > width && strncmp(l, "      ", 6) != 0)
			printf("# %zu columns: '%s'\n", text_columns(l), l), ok = false;
	}
	free(copy);
	return ok;
}

static bool plain(const char *text, bool ascii)
{
	for (const char *p = text; *p; p++)
		if ((*p < ' ' && *p != '\n' && *p >= 0) || *p == 0x7f || (ascii && *p < 0))
			return false;
	return true;
}

static bool has(const struct world *w, const char *part)
{
	bool found = strstr(w->text, part) != NULL;

	if (!found)
		printf("# no '%s' in:\n%.1500s\n", part, w->text);
	return found;
}

static void test_sentences(struct world *w)
{
	TEST("the first line is the verdict, the lines below say who, whether and since when");
	render(w, 120, true, false, false);
	CHECK(strncmp(w->text, "stuck: POST /v1/chat/completions to api.openai.com", 50) == 0);
	CHECK(has(w, "\n  ask_llm (llm.py:120) <- reply (agent.py:88)\n"));
	CHECK(has(w, "  will wake  never: no timer is armed on it\n"));
	CHECK(has(w, "  since      2025-12-31 15:18:00 or earlier, at least 8 h 42 m ago\n"));
	CHECK(has(w, "  verdict    llm_no_response, confidence strong\n"));
	CHECK(has(w, "  looked at  100, 11 h 6 m old: python3 -m runner --api-key ***\n"));
	CHECK(!strstr(w->text, "hunter2"));
	CHECK(has(w, "- request of 900 bytes complete\n") && has(w, "In flight: 1 call\n"));
	CHECK(has(w, "Not seen\n  - native_frames of 100: built without libdw\n"));
	CHECK(has(w, "  - its connections:\n      sudo ss -tnop | grep 'pid=100,'\n"));
	CHECK(has(w, "  - set a read timeout on the LLM client\n"));

	TEST("threads and tasks that are alike are folded, helpers only counted");
	CHECK(has(w, "- process 100 (main), 8 h 42 m: recvfrom on api.openai.com; ask_llm "));
	CHECK(has(w, "    27 more like this\n") && has(w, "and 1 helper thread; --all shows it\n"));
	CHECK(has(w, "asyncio: 120 tasks not done\n") && has(w, "    119 more like this\n"));
	CHECK(has(w, "- Task-1: fetch (crawl.py:12), awaits Future\n"));

	TEST("of a call from before we came no more is said than was looked at");
	w->look.nopen = 1;
	w->calls[0].at_least = true;
	render(w, 120, true, false, false);
	CHECK(has(w, "at least 8 h 42 m: sent, no byte of the reply since we look\n"));
	w->calls[0].at_least = false;

	TEST("calls that are alike are folded, of others the oldest are shown, the rest is "
	     "counted");
	w->look.nopen = 20;
	render(w, 120, true, false, false);
	CHECK(has(w, "In flight: 20 calls\n  - POST /v1/chat/completions to api.openai.com (LLM), "
	             "8 h 42 m: sent, no byte of the reply\n"
	             "    19 more like this, the newest 8 h 41 m old\n"));
	for (size_t i = 0; i < 20; i++)
		snprintf(w->calls[i].op, sizeof(w->calls[i].op), "GET /%zu", i);
	render(w, 120, true, false, false);
	CHECK(has(w, "GET /7 to ") && !strstr(w->text, "GET /8 to ") &&
	      has(w, "and 12 younger ones, the newest 8 h 41 m old"));
	render(w, 120, true, false, true);
	CHECK(!strstr(w->text, "younger ones") && has(w, "GET /19 to "));
	w->look.nopen = 1;

	TEST("--all shows every thread with its frames, sockets with timers, locks and facts");
	CHECK(has(w, "kernel tcp_recvmsg\n") && has(w, "thread 128 (worker)"));
	CHECK(has(w, "python work (/app/pool.py:7)\n") && has(w, "thread 190 (helper)"));
	CHECK(has(w, "Sockets: 1\n") && has(w, "timer none, rto 204 ms"));
	CHECK(has(w, "process 100 holds flock for reading: /tmp/x.lock") &&
	      has(w, "9 descriptors of at most 1024"));
}

static void test_verdicts(struct world *w)
{
	struct cause *c = w->diagnosis.causes;

	TEST("a run that moves is not stuck, and nobody asks whether it will wake");
	c->kind = VERDICT_PROGRESSING;
	render(w, 80, true, false, false);
	CHECK(strncmp(w->text, "not stuck: ", 11) == 0 && !strstr(w->text, "will wake"));
	TEST("what evidence does not decide is said so");
	c->kind = VERDICT_UNKNOWN;
	c->confidence = CONFIDENCE_NONE;
	c->since_ns = 0;
	render(w, 80, true, false, false);
	CHECK(strncmp(w->text, "cannot tell: ", 13) == 0);
	CHECK(has(w, "since      unknown") && has(w, "verdict    unknown\n"));
	TEST("causes that are alike are folded, the place is said once");
	w->diagnosis.ncauses = 5;
	for (int i = 1; i < 5; i++)
		w->diagnosis.causes[i] = (struct cause){ .kind = VERDICT_STORAGE_NO_RESPONSE,
			                                 .view = w->views,
			                                 .summary = "a query, in save (db.py:7)",
			                                 .where = "save (db.py:7)" };
	render(w, 80, true, false, false);
	CHECK(has(w, "- storage_no_response: a query, in save (db.py:7)\n    3 more like this\n"));
	w->diagnosis.ncauses = 1;
	TEST("an advice is a sentence, whatever signs it has; a question needs no colon");
	snprintf(c->steps[0], sizeof(c->steps[0]), "look at the account's limits");
	snprintf(c->steps[1], sizeof(c->steps[1]), "sudo whystuck 7   # the same line?");
	render(w, 80, true, false, false);
	CHECK(has(w,
	          "  - look at the account's limits\n  - the same line?\n      sudo whystuck 7\n"));
	TEST("a timer that will fire is given with its time");
	c->wake = (struct wake){ WAKE_AT, NOW + 90 * S, "its sleep ends" };
	render(w, 80, true, false, false);
	CHECK(has(w, "will wake  yes, at 2026-01-01 00:01:30: its sleep ends\n"));
}

static void test_terminal(struct world *w)
{
	static const size_t widths[] = { 30, 50, 80, 120 };

	TEST("no line is wider than the terminal");
	for (size_t i = 0; i < sizeof(widths) / sizeof(*widths); i++)
		for (int all = 0; all < 2; all++)
			CHECK(fits(render(w, widths[i], true, false, all), widths[i]));
	TEST("a number and its unit stay on one line");
	snprintf(w->diagnosis.causes[0].summary, DIAGNOSIS_TEXT_MAX,
	         "it has been silent for 8 h 42 m, then 3 s ago 12 users");
	for (size_t width = 30; width < 70; width++) {
		render(w, width, true, false, false);
		CHECK(has(w, "8 h 42 m,") && has(w, "3 s"));
	}
	TEST("without colour there is no control character, without UTF-8 nothing but ASCII");
	CHECK(plain(render(w, 80, true, false, true), false));
	CHECK(plain(render(w, 80, false, false, true), true));
	TEST("with colour there is");
	CHECK(strstr(render(w, 80, true, true, false), "\033[1;3"));
	TEST("a look without a snapshot says so");
	w->look.evidence = NULL;
	render(w, 80, true, false, false);
	CHECK(has(w, "no complete snapshot"));
	w->look.evidence = w->evidence;
}

static void test_hostile(void)
{
	static struct world w;
	char path[3000];

	world_make(&w);
	world_snapshot(&w, "\033[2Jevil\xff\xe2\x80\xae");
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	memcpy(w.calls[0].op, "GET /\033]0;x\007\n", 12);
	snprintf(w.endpoint.name, sizeof(w.endpoint.name), "ho\rst\xc3\xa9");
	snprintf(w.diagnosis.causes[0].summary, DIAGNOSIS_TEXT_MAX, "%.300s", path);
	TEST("names made to drive the terminal do not");
	for (int all = 0; all < 2; all++) {
		CHECK(plain(render(&w, 80, false, false, all), true));
		CHECK(plain(render(&w, 80, true, false, all), false));
		CHECK(!strstr(w.text, "\xe2\x80\xae"));
		CHECK(fits(w.text, 80));
	}
	world_free(&w);
}

int main(void)
{
	static struct world w;

	setenv("TZ", "UTC", 1);
	world_make(&w);
	world_snapshot(&w, "main");
	test_sentences(&w);
	test_terminal(&w);
	test_verdicts(&w);
	test_hostile();
	world_free(&w);
	return DONE();
}
