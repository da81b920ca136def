/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who is at the other end of calls from before we came, and which waits are calls at all: snapshots made by
 * hand, through the whole pipeline, and what it then holds to be in flight.
 */
#include <arpa/inet.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <asm/unistd.h>

#include "pipeline.h"
#include "out/run_error.h"
#include "test.h"

#define S 1000000000ull
#define NOW (1000 * S)
#define PID 100
#define SP "/venv/lib/python3.11/site-packages/"
#define OPENAI "_request\t" SP "openai/_base_client.py\t9\n"
#define HTTPX "handle\t" SP "httpx/_client.py\t5\n"
#define READS "_receive_event\t" SP "httpcore/_async/http11.py\t2\n"
#define REDIS "read_response\t" SP "redis/connection.py\t7\n"
#define OWN "ask\t/app/agent.py\t3\n"

struct world {
	struct options options;
	struct pipeline *p;
};

/* Text may hold NULs; its length is that of the literal. */
static void feed_text(struct world *w, void *fixed, size_t n, enum event_type type,
                      const char *text, size_t len)
{
	struct event *h = fixed;
	char *ev = malloc(n + len);

	h->type = type;
	h->size = (uint32_t)(n + len);
	h->ts_ns = h->ts_ns ? h->ts_ns : NOW;
	h->pid = h->pid ? h->pid : PID;
	memcpy(ev, fixed, n);
	memcpy(ev + n, text, len);
	pipeline_feed(w->p, (struct event *)(void *)ev);
	free(ev);
}

#define FEED(w, fixed, type, text) \
	feed_text(w, &(fixed), sizeof(fixed), type, text, sizeof(text) - 1)

static void edge(struct world *w, bool begin)
{
	struct event e = { .flags = begin ? EVF_BEGIN : 0 };

	FEED(w, e, EV_SNAPSHOT, "");
}

/* Options first, then the snapshot is open. */
static struct world *begin_with(char kind, const char *spec)
{
	struct pipeline_config c = { .look = true, .dirfd = -1, .style = STYLE_NONE };
	struct ev_hello hello = { .magic = EVENT_MAGIC, .version = EVENT_VERSION };
	struct world *w = calloc(1, sizeof(*w));

	options_init(&w->options);
	w->options.stuck_timeout_minutes = 0.5;
	if (spec) {
		char line[256];

		snprintf(line, sizeof(line), "%s=%s", kind == 'l' ? "llm" : "storage", spec);
		if (options_apply(&w->options, line))
			abort();
	}
	c.options = &w->options;
	w->p = pipeline_new(&c);
	FEED(w, hello, EV_HELLO, "");
	edge(w, true);
	return w;
}

static struct world *begin(void)
{
	return begin_with(0, NULL);
}

static void end(struct world *w)
{
	pipeline_free(w->p);
	options_free(&w->options);
	free(w);
}

enum ages { SENT_LAST, RECEIVED_LAST, SAME_TIME };

/* A client's connection, descriptor and socket number the same. */
static void tcp(struct world *w, int fd, const char *addr, uint16_t port, enum ages ages)
{
	struct ev_fd f = { .sock = (uint64_t)fd + 1000, .fd = fd };
	struct ev_socket s = { .h = { .flags = EVF_SEEDED | EVF_TCP },
		               .sock = (uint64_t)fd + 1000,
		               .fd = fd,
		               .family = strchr(addr, ':') ? AF_INET6 : AF_INET,
		               .kind = SOCK_STREAM,
		               .remote_port = port,
		               .role = ROLE_CLIENT,
		               .tcp_state = 1,
		               .tcp_bytes_sent = 100,
		               .tcp_bytes_recv = 100,
		               .tcp_last_sent_ns = (ages == RECEIVED_LAST ? 90 : 80) * S,
		               .tcp_last_recv_ns = (ages == SENT_LAST ? 90 : 80) * S };

	inet_pton(s.family, addr, s.remote);
	FEED(w, s, EV_SOCKET, "");
	FEED(w, f, EV_FD, "socket:[1]");
}

/* fds ends with -1. */
static void thread(struct world *w, uint32_t tid, int nr, const int *fds, uint16_t total)
{
	struct ev_thread t = { .h = { .tid = tid },
		               .blocked_since_ns = NOW - 70 * S,
		               .timeout_ns = TIMEOUT_NONE,
		               .syscall = nr,
		               .state = 'S' };

	while (fds[t.nfds] >= 0) {
		t.fds[t.nfds] = fds[t.nfds];
		t.nfds++;
	}
	t.args[0] = (uint64_t)t.fds[0];
	t.fds_total = total ? total : (uint16_t)t.nfds;
	FEED(w, t, EV_THREAD, "python3\0\0");
}

#define RECV(w, tid, fd) thread(w, tid, __NR_recvfrom, (const int[]){ fd, -1 }, 0)
#define EPOLL(w, tid, ...) thread(w, tid, __NR_epoll_wait, (const int[]){ __VA_ARGS__, -1 }, 0)

static void frames(struct world *w, uint32_t tid, enum frames_kind kind, const char *text)
{
	struct ev_frames f = { .h = { .tid = tid }, .kind = kind };

	feed_text(w, &f, sizeof(f), EV_FRAMES, text, strlen(text));
}

static void task(struct world *w, uint32_t tid, uint64_t id, const char *text)
{
	struct ev_task t = { .h = { .tid = tid }, .task = id };
	char all[1024] = "Task-1\0Future";

	memcpy(all + 14, text, strlen(text));
	feed_text(w, &t, sizeof(t), EV_TASK, all, 14 + strlen(text));
}

static void request(struct world *w, uint32_t tid, uint64_t id, const char *method, const char *url)
{
	struct ev_request r = { .h = { .tid = tid }, .task = id };
	char all[512];
	int n = snprintf(all, sizeof(all), "%s%c%s%c", method, 0, url, 0);

	feed_text(w, &r, sizeof(r), EV_REQUEST, all, (size_t)n);
}

static void name(struct world *w, uint32_t index, const char *addr, uint16_t port, const char *host,
                 const char *scheme, const char *variable)
{
	struct ev_name e = { .index = index, .port = port, .family = addr ? AF_INET : 0 };
	char all[512];
	int n = snprintf(all, sizeof(all), "%s%c%s%c%s%c", host, 0, scheme, 0, variable, 0);

	if (addr)
		inet_pton(AF_INET, addr, e.addr);
	feed_text(w, &e, sizeof(e), EV_NAME, all, (size_t)n);
}

/* The snapshot ends; what is in flight on the descriptor then, NULL nothing. */
static const struct call_view *in_flight(struct world *w, int fd)
{
	const struct run_error_input *in;

	in = pipeline_diagnose(w->p);
	for (size_t i = 0; in && i < in->look->nopen; i++)
		if (in->look->open[i].sock == (uint64_t)fd + 1000)
			return &in->look->open[i];
	return NULL;
}

static bool is(const struct call_view *v, enum call_class class, const char *label, const char *op)
{
	bool same = v && v->call->class == class && !strcmp(v->endpoint->label, label) &&
	            !strcmp(v->call->op, op);

	if (!same)
		printf("# %s, label '%s', op '%s', because %s\n",
		       v ? call_class_name(v->call->class) : "no call", v ? v->endpoint->label : "",
		       v ? v->call->op : "", v && v->endpoint->how ? v->endpoint->how : "-");
	return same;
}

/* ---- which waits are calls ---- */

static void waits(void)
{
	struct world *w = begin();

	TEST("a thread in recv, one in poll with a timeout, one in an SSL read: each wait is a "
	     "call");
	tcp(w, 3, "10.0.0.1", 4000, SENT_LAST);
	tcp(w, 4, "10.0.0.1", 4001, SAME_TIME);
	tcp(w, 5, "10.0.0.1", 4002, RECEIVED_LAST);
	RECV(w, 1, 3);
	thread(w, 2, __NR_poll, (const int[]){ 4, -1 }, 0);
	thread(w, 3, __NR_read, (const int[]){ 5, -1 }, 0);
	edge(w, false);
	CHECK(in_flight(w, 3) && in_flight(w, 4) && in_flight(w, 5));
	CHECK(in_flight(w, 3)->call->at_least && in_flight(w, 3)->call->class == CALL_OTHER);
	end(w);

	TEST("of what an event loop waits for, only connections that sent last are calls: a pool "
	     "at rest "
	     "is none, Node's neither");
	w = begin();
	tcp(w, 3, "10.0.0.1", 4000, SENT_LAST);
	tcp(w, 4, "10.0.0.1", 4000, RECEIVED_LAST);
	tcp(w, 5, "10.0.0.1", 4000, SAME_TIME);
	EPOLL(w, 1, 3, 4, 5, 9);
	edge(w, false);
	CHECK(in_flight(w, 3) && !in_flight(w, 4) && !in_flight(w, 5));
	end(w);

	TEST("a task that reads the reply to its request waits for one, though the server's "
	     "tickets came "
	     "last, if no other connection fits");
	w = begin();
	tcp(w, 3, "10.0.0.1", 443, RECEIVED_LAST);
	tcp(w, 4, "10.0.0.2", 6379, RECEIVED_LAST);
	EPOLL(w, 1, 3, 4, 9);
	task(w, 1, 0xa0, READS HTTPX OPENAI OWN);
	request(w, 1, 0xa0, "POST", "https://llm.example/v1/chat/completions");
	edge(w, false);
	CHECK(is(in_flight(w, 3), CALL_LLM, "openai", "POST /v1/chat/completions"));
	CHECK(!in_flight(w, 4));
	end(w);

	TEST("two connections for one such task: nobody knows which, so none is a call; two tasks, "
	     "both are");
	for (int tasks = 1; tasks <= 2; tasks++) {
		w = begin();
		tcp(w, 3, "10.0.0.1", 443, RECEIVED_LAST);
		tcp(w, 4, "10.0.0.1", 443, RECEIVED_LAST);
		EPOLL(w, 1, 3, 4, 9);
		for (int i = 0; i < tasks; i++) {
			task(w, 1, 0xa0 + (uint64_t)i, READS HTTPX OPENAI OWN);
			request(w, 1, 0xa0 + (uint64_t)i, "POST",
			        "https://llm.example/v1/responses");
		}
		edge(w, false);
		CHECK(!in_flight(w, 3) == (tasks == 1) && !in_flight(w, 4) == (tasks == 1));
		end(w);
	}

	TEST("a connection a child inherited under another number is waited for by that number "
	     "there");
	w = begin();
	tcp(w, 3, "10.0.0.1", 443, RECEIVED_LAST);
	{
		struct ev_fd f = { .h = { .pid = PID + 1 }, .sock = 1003, .fd = 8 };
		struct ev_thread t = { .h = { .pid = PID + 1, .tid = PID + 1 },
			               .syscall = __NR_recvfrom,
			               .args = { 8 },
			               .fds_total = 1,
			               .nfds = 1,
			               .fds = { 8 } };

		FEED(w, f, EV_FD, "socket:[1]");
		FEED(w, t, EV_THREAD, "python3\0\0");
	}
	edge(w, false);
	CHECK(in_flight(w, 3));
	end(w);

	TEST("a task that sleeps between retries, or only listens for news, waits for no reply");
	w = begin();
	tcp(w, 3, "10.0.0.1", 443, RECEIVED_LAST);
	tcp(w, 4, "10.0.0.2", 6379, RECEIVED_LAST);
	EPOLL(w, 1, 3, 4, 9);
	task(w, 1, 0xa0, "sleep\t/usr/lib/python3.11/asyncio/tasks.py\t1\n" OPENAI OWN);
	request(w, 1, 0xa0, "POST", "https://llm.example/v1/responses");
	task(w, 1, 0xa1,
	     "_wait_for_data\t/usr/lib/python3.11/asyncio/streams.py\t1\nlisten\t" SP
	     "redis/asyncio/client.py\t4\n");
	edge(w, false);
	CHECK(!in_flight(w, 3) && !in_flight(w, 4));
	end(w);
}

/* A first request of so long ago on a TLS connection, and when something came last. */
static void asked(struct world *w, int fd, uint64_t sent_ms, uint64_t received_ms, uint64_t bytes)
{
	struct ev_fd f = { .sock = (uint64_t)fd + 1000, .fd = fd };
	struct ev_socket s = { .h = { .flags = EVF_SEEDED | EVF_TCP },
		               .sock = (uint64_t)fd + 1000,
		               .fd = fd,
		               .family = AF_INET,
		               .kind = SOCK_STREAM,
		               .remote_port = 443,
		               .role = ROLE_CLIENT,
		               .tcp_state = 1,
		               .tcp_bytes_sent = 1500,
		               .tcp_bytes_recv = bytes,
		               .tcp_rtt_us = 20000,
		               .tcp_last_sent_ns = sent_ms * 1000000,
		               .tcp_last_recv_ns = received_ms * 1000000 };

	inet_pton(AF_INET, "10.0.0.1", s.remote);
	FEED(w, s, EV_SOCKET, "");
	FEED(w, f, EV_FD, "socket:[1]");
}

static const struct cause *verdict(struct world *w)
{
	return &pipeline_diagnose(w->p)->diagnosis->causes[0];
}

static void tickets(void)
{
	static const struct {
		uint64_t sent_ms, received_ms, bytes;
		bool open;
	} loops[] = {
		{ 60000, 60000, 3000, true },  { 60000, 59997, 3000, true },
		{ 60000, 59881, 3000, true },  { 60000, 59879, 3000, false },
		{ 60000, 59000, 3000, false }, { 60000, 59997, 16385, false },
		{ 60000, 61000, 3000, true },
	};
	const struct cause *c;
	struct world *w;

	TEST("a loop whose tasks nobody sees, a request to an LLM over TLS, and then no more than "
	     "a round trip and tickets: likely no response; a reply later than that, or longer, is "
	     "over");
	for (size_t i = 0; i < sizeof(loops) / sizeof(*loops); i++) {
		w = begin_with('l', "10.0.0.1:443");
		asked(w, 3, loops[i].sent_ms, loops[i].received_ms, loops[i].bytes);
		EPOLL(w, 1, 3, 9);
		edge(w, false);
		CHECK(!in_flight(w, 3) == !loops[i].open);
		c = verdict(w);
		CHECK((c->kind == VERDICT_LLM_NO_RESPONSE) == loops[i].open);
		if (loops[i].open && loops[i].received_ms <= loops[i].sent_ms)
			CHECK(c->confidence == CONFIDENCE_LIKELY &&
			      strstr(c->summary, "the end of the TLS handshake, or a reply as"));
		else if (loops[i].open)
			CHECK(c->confidence == CONFIDENCE_STRONG &&
			      strstr(c->summary, "no byte since"));
		end(w);
	}

	TEST("the same where the configuration names the LLM; without a name it is no call, but "
	     "the "
	     "verdict asks who that is");
	for (int named = 0; named <= 1; named++) {
		w = begin();
		asked(w, 3, 60000, 59998, 3000);
		EPOLL(w, 1, 3, 9);
		if (named)
			name(w, 0, "10.0.0.1", 443, "llm.example", "https", "OPENAI_BASE_URL");
		edge(w, false);
		CHECK(!in_flight(w, 3) == !named);
		c = verdict(w);
		CHECK((c->kind == VERDICT_LLM_NO_RESPONSE) == named);
		if (!named)
			CHECK(c->nsteps && strstr(c->steps[0], "--llm 10.0.0.1:443"));
		end(w);
	}

	TEST("a thread that waits for that connection alone: its function tells whether the head "
	     "or "
	     "the body of the reply is missing, without one nobody knows");
	for (int part = 0; part <= 2; part++) {
		w = begin_with('l', "10.0.0.1:443");
		asked(w, 3, 60000, 59998, 3000);
		RECV(w, 1, 3);
		if (part)
			frames(w, 1, FRAMES_PYTHON,
			       part == 1 ? "begin\t/usr/lib/python3.11/http/client.py\t1\n" OWN
			                 : "read1\t/usr/lib/python3.11/http/client.py\t1\n" OWN);
		edge(w, false);
		c = verdict(w);
		CHECK(c->kind ==
		      (part == 2 ? VERDICT_LLM_STREAM_STALLED : VERDICT_LLM_NO_RESPONSE));
		CHECK(c->confidence == (part ? CONFIDENCE_STRONG : CONFIDENCE_LIKELY));
		end(w);
	}

	TEST("what came a second after the request is a reply, whatever the tasks are in, unless "
	     "they "
	     "wait for its head");
	for (int head = 0; head <= 1; head++) {
		w = begin_with('l', "10.0.0.1:443");
		asked(w, 3, 60000, 59000, 3000);
		RECV(w, 1, 3);
		if (head)
			frames(w, 1, FRAMES_PYTHON,
			       "_receive_response_headers\t" SP
			       "httpcore/_sync/http11.py\t1\n" OWN);
		edge(w, false);
		CHECK(verdict(w)->kind ==
		      (head ? VERDICT_LLM_NO_RESPONSE : VERDICT_LLM_STREAM_STALLED));
		end(w);
	}
}

static void unix_socket(struct world *w, int fd, uint16_t flags, const char *path)
{
	struct ev_fd f = { .sock = (uint64_t)fd + 1000, .fd = fd };
	struct ev_socket s = { .h = { .flags = EVF_SEEDED | flags },
		               .sock = (uint64_t)fd + 1000,
		               .fd = fd,
		               .family = AF_UNIX,
		               .kind = SOCK_STREAM };

	feed_text(w, &s, sizeof(s), EV_SOCKET, path, strlen(path));
	FEED(w, f, EV_FD, "socket:[1]");
}

static void unix_waits(void)
{
	struct world *w = begin();

	TEST("a thread in libpq waits for PostgreSQL on a unix socket, since it fell asleep");
	unix_socket(w, 3, 0, "/run/postgresql/.s.PGSQL.5432");
	thread(w, 1, __NR_poll, (const int[]){ 3, -1 }, 0);
	frames(w, 1, FRAMES_NATIVE, "pqSocketPoll\t/usr/lib/libpq.so.5.15\t0\n");
	edge(w, false);
	CHECK(is(in_flight(w, 3), CALL_STORAGE, "postgres", ""));
	CHECK(in_flight(w, 3)->call->request_ns == NOW - 70 * S);
	end(w);

	TEST("a thread that waits on a unix socket for whatever, or on one that was accepted, "
	     "makes no call");
	w = begin();
	unix_socket(w, 3, 0, "/run/dbus");
	unix_socket(w, 4, EVF_LISTEN, "/run/own");
	unix_socket(w, 5, 0, "/run/own");
	RECV(w, 1, 3);
	RECV(w, 2, 5);
	frames(w, 1, FRAMES_PYTHON, OWN);
	frames(w, 2, FRAMES_PYTHON, REDIS);
	edge(w, false);
	CHECK(!in_flight(w, 3) && !in_flight(w, 5));
	end(w);
}

/* ---- threads ---- */

static void one_thread(void)
{
	const struct call_view *v;
	struct world *w = begin();

	TEST("what the waiting thread asked for names the call: class, method, path, and a fact");
	tcp(w, 3, "127.0.0.1", 43210, SENT_LAST);
	RECV(w, 1, 3);
	frames(w, 1, FRAMES_PYTHON, "readinto\t/usr/lib/python3.11/http/client.py\t1\n" OWN);
	request(w, 1, 0, "POST", "http://127.0.0.1:43210/v1/chat/completions");
	edge(w, false);
	v = in_flight(w, 3);
	CHECK(is(v, CALL_LLM, "openai", "POST /v1/chat/completions"));
	CHECK(v->call->op_known && v->call->write && !v->endpoint->unsure && v->endpoint->how);
	CHECK(!strcmp(v->endpoint->name, "127.0.0.1:43210"));
	end(w);

	TEST("a host name it asked for becomes the endpoint's, and the user's options then apply "
	     "to it");
	w = begin_with('s', "L4=store.example:8000");
	tcp(w, 3, "10.0.0.9", 8000, SENT_LAST);
	RECV(w, 1, 3);
	request(w, 1, 0, "GET", "http://store.example:8000/search");
	edge(w, false);
	v = in_flight(w, 3);
	CHECK(is(v, CALL_STORAGE, "L4", "GET /search"));
	CHECK(!strcmp(v->endpoint->name, "store.example:8000"));
	end(w);

	TEST("a health check is one");
	w = begin();
	tcp(w, 3, "127.0.0.1", 8000, SENT_LAST);
	RECV(w, 1, 3);
	request(w, 1, 0, "GET", "http://127.0.0.1:8000/health");
	edge(w, false);
	CHECK(in_flight(w, 3) && in_flight(w, 3)->call->class == CALL_HEARTBEAT);
	end(w);

	TEST("a health check that a later snapshot names is taken back: it was told as a call to "
	     "somebody, and is none then, neither hung nor a turn's");
	w = begin_with(0, NULL);
	tcp(w, 3, "127.0.0.1", 8000, SENT_LAST);
	RECV(w, 1, 3);
	edge(w, false);
	CHECK(is(in_flight(w, 3), CALL_OTHER, "", ""));
	CHECK(strstr(verdict(w)->summary, "127.0.0.1:8000 is unanswered"));
	edge(w, true);
	tcp(w, 3, "127.0.0.1", 8000, SENT_LAST);
	RECV(w, 1, 3);
	request(w, 1, 0, "GET", "http://127.0.0.1:8000/health");
	edge(w, false);
	CHECK(in_flight(w, 3) && in_flight(w, 3)->call->class == CALL_HEARTBEAT);
	CHECK(!strstr(verdict(w)->summary, "127.0.0.1:8000"));
	end(w);

	TEST("a request to another port is not this connection's: only the library is told, and "
	     "not as a fact");
	w = begin();
	tcp(w, 3, "127.0.0.1", 3128, SENT_LAST);
	RECV(w, 1, 3);
	frames(w, 1, FRAMES_PYTHON, HTTPX OPENAI OWN);
	request(w, 1, 0, "POST", "https://api.example/v1/chat/completions");
	edge(w, false);
	v = in_flight(w, 3);
	CHECK(is(v, CALL_LLM, "openai", "") && v->endpoint->unsure && !v->endpoint->host[0]);
	end(w);

	TEST("the innermost library is who waits: a store's client below an HTTP request is not "
	     "that request");
	w = begin();
	tcp(w, 3, "127.0.0.1", 7000, SENT_LAST);
	RECV(w, 1, 3);
	frames(w, 1, FRAMES_PYTHON, REDIS OWN HTTPX OPENAI OWN);
	request(w, 1, 0, "POST", "http://127.0.0.1:7000/v1/chat/completions");
	edge(w, false);
	CHECK(is(in_flight(w, 3), CALL_STORAGE, "redis", ""));
	end(w);

	TEST("a store reached through an HTTP client is that store, with the request's path");
	w = begin();
	tcp(w, 3, "127.0.0.1", 7000, SENT_LAST);
	RECV(w, 1, 3);
	frames(w, 1, FRAMES_PYTHON, HTTPX "search\t" SP "qdrant_client/http/api.py\t4\n" OWN);
	request(w, 1, 0, "POST", "http://localhost:7000/collections/m/points/search");
	edge(w, false);
	CHECK(is(in_flight(w, 3), CALL_STORAGE, "qdrant", "POST /collections/m/points/search"));
	end(w);

	TEST("a folder of the program's own that is called like a library is none; HTTP clients "
	     "say nothing");
	w = begin();
	tcp(w, 3, "127.0.0.1", 7000, SENT_LAST);
	tcp(w, 4, "127.0.0.1", 7001, SENT_LAST);
	RECV(w, 1, 3);
	RECV(w, 2, 4);
	frames(w, 1, FRAMES_PYTHON, "run\t/srv/redis/main.py\t4\n");
	frames(w, 2, FRAMES_PYTHON, HTTPX OWN);
	edge(w, false);
	CHECK(is(in_flight(w, 3), CALL_OTHER, "", "") && is(in_flight(w, 4), CALL_OTHER, "", ""));
	end(w);

	TEST("an LLM's path asked for from within a store's client contradicts itself: the class "
	     "stays open");
	w = begin();
	tcp(w, 3, "127.0.0.1", 7000, SENT_LAST);
	RECV(w, 1, 3);
	frames(w, 1, FRAMES_PYTHON, HTTPX "x\t" SP "weaviate/connect.py\t4\n" OWN);
	request(w, 1, 0, "POST", "http://127.0.0.1:7000/v1/embeddings");
	edge(w, false);
	v = in_flight(w, 3);
	CHECK(is(v, CALL_OTHER, "", "POST /v1/embeddings"));
	CHECK(v->endpoint->how && strstr(v->endpoint->how, "contradict"));
	end(w);

	TEST("a command that is meant to wait is told as such, on a store's own port, too");
	w = begin();
	tcp(w, 3, "127.0.0.1", 6379, SENT_LAST);
	RECV(w, 1, 3);
	frames(w, 1, FRAMES_PYTHON, REDIS OWN);
	request(w, 1, 0, "blpop", "redis:");
	edge(w, false);
	v = in_flight(w, 3);
	CHECK(is(v, CALL_STORAGE, "redis", "BLPOP") && v->call->blocks && !v->call->op_known);
	end(w);

	TEST("native client libraries tell, wheels' own copies too");
	w = begin();
	tcp(w, 3, "127.0.0.1", 7000, SENT_LAST);
	RECV(w, 1, 3);
	frames(w, 1, FRAMES_PYTHON, OWN);
	frames(w, 1, FRAMES_NATIVE,
	       "poll\t/lib/libc.so.6\t0\n\t" SP "psycopg2_binary.libs/libpq-1a2b.so.5.16\t0\n");
	edge(w, false);
	CHECK(is(in_flight(w, 3), CALL_STORAGE, "postgres", ""));
	end(w);
}

/* ---- event loops ---- */

static void loops(void)
{
	const struct call_view *v;
	struct world *w = begin();

	TEST("two LLM calls that become known are no turn that ended: nothing moved");
	tcp(w, 3, "127.0.0.1", 43210, SENT_LAST);
	tcp(w, 4, "127.0.0.1", 43210, SENT_LAST);
	EPOLL(w, 1, 3, 4, 9);
	for (uint64_t id = 0xa0; id <= 0xa1; id++) {
		task(w, 1, id, READS HTTPX OWN);
		request(w, 1, id, "POST", "http://127.0.0.1:43210/v1/messages");
	}
	edge(w, false);
	CHECK(is(in_flight(w, 3), CALL_LLM, "anthropic", "POST /v1/messages"));
	CHECK(is(in_flight(w, 4), CALL_LLM, "anthropic", "POST /v1/messages"));
	CHECK(!pipeline_diagnose(w->p)->look->history->moved);
	end(w);
	w = begin();

	TEST("tasks' requests go to the connections with their addresses");
	tcp(w, 3, "127.0.0.1", 43210, SENT_LAST);
	tcp(w, 4, "127.0.0.1", 43211, SENT_LAST);
	EPOLL(w, 1, 3, 4, 9);
	task(w, 1, 0xa0, READS HTTPX OPENAI OWN);
	request(w, 1, 0xa0, "POST", "http://127.0.0.1:43210/v1/chat/completions");
	task(w, 1, 0xa1, READS HTTPX OWN);
	request(w, 1, 0xa1, "GET", "http://localhost:43211/things");
	edge(w, false);
	v = in_flight(w, 3);
	CHECK(is(v, CALL_LLM, "openai", "POST /v1/chat/completions") && !v->endpoint->unsure);
	CHECK(is(in_flight(w, 4), CALL_OTHER, "", "GET /things"));
	end(w);

	TEST("a library's only task goes to the only connection that is left, but not as a fact");
	w = begin();
	tcp(w, 3, "10.0.0.1", 7777, SENT_LAST);
	tcp(w, 4, "10.0.0.1", 6379, SENT_LAST);
	EPOLL(w, 1, 3, 4, 9);
	task(w, 1, 0xa0, READS HTTPX OPENAI OWN);
	task(w, 1, 0xa1, "_wait_for_data\t/usr/lib/python3.11/asyncio/streams.py\t1\n" REDIS);
	edge(w, false);
	v = in_flight(w, 3);
	CHECK(is(v, CALL_LLM, "openai", "") && v->endpoint->unsure);
	CHECK(is(in_flight(w, 4), CALL_STORAGE, "redis", ""));
	end(w);

	TEST("two connections that two libraries could both have are given to neither");
	w = begin();
	tcp(w, 3, "10.0.0.1", 7777, SENT_LAST);
	tcp(w, 4, "10.0.0.2", 7778, SENT_LAST);
	EPOLL(w, 1, 3, 4, 9);
	task(w, 1, 0xa0, READS HTTPX OPENAI OWN);
	task(w, 1, 0xa1, "_wait_for_data\t/usr/lib/python3.11/asyncio/streams.py\t1\n" REDIS);
	edge(w, false);
	CHECK(is(in_flight(w, 3), CALL_OTHER, "", "") && is(in_flight(w, 4), CALL_OTHER, "", ""));
	end(w);

	TEST("one request that two connections to different addresses could carry is given to "
	     "neither; to one "
	     "address both are of its kind");
	for (int same = 0; same < 2; same++) {
		w = begin();
		tcp(w, 3, "10.0.0.1", 443, SENT_LAST);
		tcp(w, 4, same ? "10.0.0.1" : "10.0.0.2", 443, SENT_LAST);
		EPOLL(w, 1, 3, 4, 9);
		task(w, 1, 0xa0, READS HTTPX OWN);
		request(w, 1, 0xa0, "POST", "https://llm.example/v1/messages");
		edge(w, false);
		for (int fd = 3; fd <= 4; fd++) {
			v = in_flight(w, fd);
			CHECK(is(v, same ? CALL_LLM : CALL_OTHER, same ? "anthropic" : "", ""));
			CHECK(!same == !v->endpoint->host[0] && (!same || v->endpoint->unsure));
		}
		end(w);
	}

	TEST("nor is the only connection, when another task uses the network for something "
	     "unknown");
	w = begin();
	tcp(w, 3, "10.0.0.1", 7777, SENT_LAST);
	tcp(w, 4, "10.0.0.2", 7778, SENT_LAST);
	EPOLL(w, 1, 3, 4, 9);
	task(w, 1, 0xa0, READS HTTPX OPENAI OWN);
	task(w, 1, 0xa1, "_wait_for_data\t/usr/lib/python3.11/asyncio/streams.py\t1\n" OWN);
	edge(w, false);
	CHECK(is(in_flight(w, 3), CALL_OTHER, "", "") && is(in_flight(w, 4), CALL_OTHER, "", ""));
	end(w);

	TEST("a name on a port that two addresses have is given to neither; its known address "
	     "decides");
	for (int known = 0; known < 2; known++) {
		w = begin();
		tcp(w, 3, "10.0.0.1", 443, SENT_LAST);
		tcp(w, 4, "10.0.0.2", 443, SENT_LAST);
		EPOLL(w, 1, 3, 4, 9);
		task(w, 1, 0xa0, READS HTTPX OWN);
		request(w, 1, 0xa0, "POST", "https://llm.example/v1/messages");
		task(w, 1, 0xa1, READS HTTPX OWN);
		request(w, 1, 0xa1, "POST", "https://metrics.example/push");
		if (known)
			name(w, 0, "10.0.0.2", 443, "llm.example", "https", "SOME_URL");
		edge(w, false);
		CHECK(is(in_flight(w, 4), known ? CALL_LLM : CALL_OTHER, known ? "anthropic" : "",
		         known ? "POST /v1/messages" : ""));
		CHECK(in_flight(w, 3)->call->class == CALL_OTHER);
		end(w);
	}

	TEST("one endpoint, several tasks: what all of them ask for is told, what differs is not");
	w = begin();
	tcp(w, 3, "10.0.0.1", 443, SENT_LAST);
	tcp(w, 4, "10.0.0.1", 443, SENT_LAST);
	EPOLL(w, 1, 3, 4, 9);
	task(w, 1, 0xa0, READS HTTPX OWN);
	request(w, 1, 0xa0, "POST", "https://llm.example/v1/chat/completions");
	task(w, 1, 0xa1, READS HTTPX OWN);
	request(w, 1, 0xa1, "POST", "https://llm.example/v1/embeddings");
	edge(w, false);
	v = in_flight(w, 3);
	CHECK(is(v, CALL_LLM, "openai", "") && !strcmp(v->endpoint->name, "llm.example"));
	end(w);

	TEST("more descriptors than are listed: the one loop that has them is asked; a second one, "
	     "and nobody is");
	for (int more = 0; more < 2; more++) {
		w = begin();
		tcp(w, 3, "127.0.0.1", 43210, SENT_LAST);
		thread(w, 1, __NR_epoll_wait, (const int[]){ 9, -1 }, 100);
		if (more)
			thread(w, 2, __NR_epoll_wait, (const int[]){ 10, -1 }, 100);
		task(w, 1, 0xa0, READS HTTPX OWN);
		request(w, 1, 0xa0, "POST", "http://127.0.0.1:43210/v1/messages");
		edge(w, false);
		CHECK(in_flight(w, 3)->call->class == (more ? CALL_OTHER : CALL_LLM));
		end(w);
	}
}

/* ---- configuration and port ---- */

static void configured(void)
{
	const struct call_view *v;
	struct world *w = begin();

	TEST("a configured server with this address and port names the call by scheme, or by its "
	     "variable");
	tcp(w, 3, "10.0.0.1", 7001, SENT_LAST);
	tcp(w, 4, "10.0.0.1", 7002, SENT_LAST);
	tcp(w, 5, "10.0.0.1", 7003, SENT_LAST);
	name(w, 0, "10.0.0.1", 7001, "cache.example", "rediss", "CACHE");
	name(w, 1, "10.0.0.1", 7002, "10.0.0.1", "http", "LTM_QDRANT_URL");
	name(w, 2, "10.0.0.1", 7003, "10.0.0.1", "http", "OPENAI_BASE_URL");
	edge(w, false);
	v = in_flight(w, 3);
	CHECK(is(v, CALL_STORAGE, "redis", "") && !v->endpoint->unsure);
	CHECK(!strcmp(v->endpoint->name, "cache.example:7001"));
	CHECK(is(in_flight(w, 4), CALL_STORAGE, "qdrant", ""));
	CHECK(is(in_flight(w, 5), CALL_LLM, "openai", ""));
	end(w);

	TEST("two names for one address that differ in kind give no class");
	w = begin();
	tcp(w, 3, "10.0.0.1", 7001, SENT_LAST);
	name(w, 0, "10.0.0.1", 7001, "10.0.0.1", "http", "QDRANT_URL");
	name(w, 1, "10.0.0.1", 7001, "10.0.0.1", "http", "OPENAI_BASE_URL");
	edge(w, false);
	CHECK(is(in_flight(w, 3), CALL_OTHER, "", ""));
	end(w);

	TEST("a variable with words of both kinds, or without a server's ending, says nothing");
	w = begin();
	tcp(w, 3, "10.0.0.1", 7001, SENT_LAST);
	tcp(w, 4, "10.0.0.1", 7002, SENT_LAST);
	name(w, 0, "10.0.0.1", 7001, "10.0.0.1", "http", "OPENAI_REDIS_URL");
	name(w, 1, "10.0.0.1", 7002, "10.0.0.1", "http", "LLM_TELEMETRY");
	edge(w, false);
	CHECK(is(in_flight(w, 3), CALL_OTHER, "", "") && is(in_flight(w, 4), CALL_OTHER, "", ""));
	end(w);

	TEST("a name whose address is not known stands for its port if that goes to one address "
	     "and is not "
	     "everybody's");
	for (int other = 0; other < 2; other++) {
		w = begin();
		tcp(w, 3, "10.0.0.1", 7001, SENT_LAST);
		tcp(w, 4, "10.0.0.2", other ? 7001 : 443, SENT_LAST);
		name(w, 0, NULL, 7001, "typesense.example", "http", "TYPESENSE_HOST");
		name(w, 1, NULL, 443, "llm.example", "https", "OPENAI_BASE_URL");
		edge(w, false);
		v = in_flight(w, 3);
		CHECK(is(v, other ? CALL_OTHER : CALL_STORAGE, other ? "" : "typesense", ""));
		CHECK(other || v->endpoint->unsure);
		CHECK(is(in_flight(w, 4), CALL_OTHER, "", ""));
		end(w);
	}

	TEST("a library and the configuration that contradict each other give no class");
	w = begin();
	tcp(w, 3, "10.0.0.1", 7001, SENT_LAST);
	RECV(w, 1, 3);
	frames(w, 1, FRAMES_PYTHON, REDIS OWN);
	name(w, 0, "10.0.0.1", 7001, "10.0.0.1", "http", "OPENAI_BASE_URL");
	edge(w, false);
	CHECK(is(in_flight(w, 3), CALL_OTHER, "", ""));
	end(w);

	TEST("an LLM server's own port is the last resort");
	w = begin();
	tcp(w, 3, "127.0.0.1", 11434, SENT_LAST);
	edge(w, false);
	v = in_flight(w, 3);
	CHECK(is(v, CALL_LLM, "ollama", "") && v->endpoint->unsure);
	end(w);

	TEST("IPv4 and the same address as IPv6 are one; a URL with an IPv6 address is read");
	w = begin();
	tcp(w, 3, "::ffff:127.0.0.1", 43210, SENT_LAST);
	tcp(w, 4, "::1", 43211, SENT_LAST);
	EPOLL(w, 1, 3, 4, 9);
	task(w, 1, 0xa0, READS OWN);
	request(w, 1, 0xa0, "POST", "http://127.0.0.1:43210/v1/messages");
	task(w, 1, 0xa1, READS OWN);
	request(w, 1, 0xa1, "POST", "http://[::1]:43211/api/chat");
	edge(w, false);
	CHECK(is(in_flight(w, 3), CALL_LLM, "anthropic", "POST /v1/messages"));
	CHECK(is(in_flight(w, 4), CALL_LLM, "ollama", "POST /api/chat"));
	end(w);
}

/* ---- whatever the target says ---- */

static void rubbish(void)
{
	static const char *const urls[] = { "",
		                            ":",
		                            "://",
		                            "http://",
		                            "http://[",
		                            "http://]:1/",
		                            "//",
		                            "redis:",
		                            "http://:",
		                            "http://a:b@/",
		                            "http://h:0",
		                            "http://h:99999999/",
		                            "[::1]",
		                            "http://@:",
		                            "http://\x01\xff:1/\x7f" };
	bool same = true;

	TEST("rubbish for a URL, a method or a name gives no class, no host and no crash");
	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		struct world *w = begin();
		const struct call_view *v;

		tcp(w, 3, "10.0.0.1", 7001, SENT_LAST);
		RECV(w, 1, 3);
		request(w, 1, 0, i % 2 ? "post\n" : "", urls[i]);
		name(w, 0, NULL, 7001, urls[i], urls[i], urls[i]);
		edge(w, false);
		v = in_flight(w, 3);
		same &= v && !v->call->op[0] && !strpbrk(v->endpoint->host, "\x01\xff/@");
		end(w);
	}
	CHECK(same);

	TEST("a long path is cut, never run over");
	{
		char url[400] = "http://10.0.0.1:7001/";
		struct world *w = begin();

		memset(url + strlen(url), 'a', 300);
		tcp(w, 3, "10.0.0.1", 7001, SENT_LAST);
		RECV(w, 1, 3);
		request(w, 1, 0, "POST", url);
		edge(w, false);
		CHECK(strlen(in_flight(w, 3)->call->op) == CALL_OP_MAX - 1);
		end(w);
	}
}

int main(void)
{
	waits();
	tickets();
	unix_waits();
	one_thread();
	loops();
	configured();
	rubbish();
	return DONE();
}
