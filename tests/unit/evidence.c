/* SPDX-License-Identifier: BSD-2-Clause */
/* The newest snapshot: complete or not at all, looked up by number, bounded. */
#include <stdbool.h>

#include "evidence.h"
#include "evidence_fixture.h"
#include "test.h"

/* Feeds one event whose tail is text; in memory that ends where it does. */
static void snapshot(struct evidence *e, bool begin, uint64_t ts)
{
	struct event h = { .flags = begin ? EVF_BEGIN : 0, .ts_ns = ts };

	feed(e, &h, sizeof(h), EV_SNAPSHOT, "", 0);
}

static void process(struct evidence *e, uint32_t pid, const char *command)
{
	struct ev_process p = { .h = { .pid = pid }, .ppid = 1 };

	feed(e, &p, sizeof(p), EV_PROCESS, command, strlen(command));
}

static void thread(struct evidence *e, uint32_t pid, uint32_t tid, uint64_t ts, const char *text,
                   size_t n)
{
	struct ev_thread t = { .h = { .pid = pid, .tid = tid, .ts_ns = ts }, .nfds = 1000 };

	feed(e, &t, sizeof(t), EV_THREAD, text, n);
}

static void descriptor(struct evidence *e, uint32_t pid, int fd, uint64_t sock, const char *what)
{
	struct ev_fd f = { .h = { .pid = pid }, .fd = fd, .sock = sock };

	feed(e, &f, sizeof(f), EV_FD, what, strlen(what));
}

static void inode(struct evidence *e, uint64_t sock, uint16_t flags, uint16_t port)
{
	struct ev_socket s = { .h = { .flags = flags, .ts_ns = port },
		               .sock = sock,
		               .remote_port = port };

	feed(e, &s, sizeof(s), EV_SOCKET, "/run/x", 6);
}

static void lookups(void)
{
	struct evidence *e = evidence_new();
	struct thread_text text;
	size_t n;

	TEST("a snapshot shows once it has ended, and not before");
	snapshot(e, true, 10);
	process(e, 7, "python3");
	process(e, 3, "sh");
	thread(e, 7, 9, 1, "worker\0ep_poll\0a;b", 18);
	thread(e, 7, 7, 1, "main", 4);
	thread(e, 3, 3, 1, "", 0);
	descriptor(e, 7, 5, 42, "socket:[42]");
	descriptor(e, 7, -1, 0, "cwd");
	inode(e, 42, EVF_SEEDED, 443);
	inode(e, 42, EVF_SEEDED, 444);
	inode(e, 43, 0, 80);
	CHECK(evidence_time(e) == 0);
	CHECK(!evidence_process(e, 7));
	snapshot(e, false, 20);
	CHECK(evidence_time(e) == 20);

	TEST("processes, threads of a process, descriptors and sockets are found by their numbers");
	CHECK(evidence_processes(e, &n)[0]->h.pid == 3 && n == 2);
	CHECK(process_text(evidence_process(e, 7)).n == 7);
	CHECK(evidence_threads(e, 7, &n)[0]->h.tid == 7 && n == 2);
	CHECK(evidence_threads(e, 0, &n) && n == 3);
	CHECK((evidence_threads(e, 8, &n), n == 0));
	CHECK(evidence_fd(e, 7, 5) && evidence_fd(e, 7, 5)->sock == 42);
	CHECK(bytes_equal(fd_text(evidence_fd(e, 7, -1)), "cwd"));
	CHECK(!evidence_fd(e, 3, 5) && !evidence_fd(e, 7, 6));
	CHECK((evidence_fds(e, 7, &n), n == 2));

	TEST("of two rows for one socket the newer stays, and a socket that was merely used is no "
	     "evidence");
	CHECK(evidence_socket(e, 42) && evidence_socket(e, 42)->remote_port == 444);
	CHECK(bytes_equal(socket_path(evidence_socket(e, 42)), "/run/x"));
	CHECK(!evidence_socket(e, 43));
	CHECK((evidence_sockets(e, &n), n == 1));

	TEST("name, wait channel and stack of a thread are told apart, missing ones are empty");
	text = thread_text(evidence_threads(e, 7, &n)[1]);
	CHECK(bytes_equal(text.name, "worker") && bytes_equal(text.wchan, "ep_poll"));
	CHECK(bytes_equal(text.stack, "a;b"));
	text = thread_text(evidence_threads(e, 7, &n)[0]);
	CHECK(bytes_equal(text.name, "main") && text.wchan.n == 0 && text.stack.n == 0);
	CHECK(thread_nfds(evidence_threads(e, 7, &n)[0]) == EVENT_FDS_MAX);
	evidence_free(e);
}

static void replacement(void)
{
	struct evidence *e = evidence_new();
	size_t n;

	TEST("a newer snapshot replaces the older one as a whole");
	snapshot(e, true, 1);
	thread(e, 7, 7, 1, "", 0);
	thread(e, 7, 8, 1, "", 0);
	inode(e, 42, EVF_SEEDED, 443);
	snapshot(e, false, 2);
	snapshot(e, true, 3);
	thread(e, 7, 7, 3, "", 0);
	CHECK((evidence_threads(e, 7, &n), n == 2));
	snapshot(e, false, 4);
	CHECK((evidence_threads(e, 7, &n), n == 1));
	CHECK(!evidence_socket(e, 42));

	TEST("a snapshot whose end was lost is dropped when the next begins");
	snapshot(e, true, 5);
	thread(e, 7, 9, 5, "", 0);
	snapshot(e, true, 6);
	thread(e, 7, 7, 6, "", 0);
	snapshot(e, false, 7);
	CHECK((evidence_threads(e, 7, &n), n == 1 && evidence_time(e) == 7));
	snapshot(e, false, 8);
	CHECK(evidence_time(e) == 7);

	TEST("a process found outside of a snapshot is known, and stays while threads of it are "
	     "seen");
	process(e, 7, "old");
	process(e, 7, "new");
	process(e, 5, "gone");
	CHECK(bytes_equal(process_text(evidence_process(e, 7)), "new"));
	snapshot(e, true, 9);
	thread(e, 7, 7, 9, "", 0);
	snapshot(e, false, 10);
	CHECK(evidence_process(e, 7) && !evidence_process(e, 5));
	evidence_free(e);
}

static void limits(void)
{
	struct evidence *e = evidence_new();
	struct event bad = { .type = EV_THREAD, .size = sizeof(bad) };
	size_t n;

	TEST("records beyond the limit and malformed ones are counted, the others kept");
	snapshot(e, true, 1);
	for (uint32_t i = 0; i < EVIDENCE_RECORDS_MAX + 10; i++) {
		struct ev_fd f = { .h = { .type = EV_FD, .size = sizeof(f), .pid = 1 },
			           .fd = (int)i };

		evidence_feed(e, &f.h);
	}
	evidence_feed(e, &bad);
	snapshot(e, false, 2);
	CHECK((evidence_fds(e, 1, &n), n == EVIDENCE_RECORDS_MAX));
	CHECK(evidence_dropped(e) == 11);
	evidence_free(e);
	evidence_free(NULL);
}

static void frames(struct evidence *e, uint32_t tid, uint32_t kind, const char *text)
{
	struct ev_frames f = { .h = { .pid = 7, .tid = tid }, .kind = kind };

	feed(e, &f, sizeof(f), EV_FRAMES, text, strlen(text));
}

#define LIBRARY "recv\t/usr/lib/python3.11/ssl.py\t1263\n"
#define OWN "Client.ask\t/srv/run/bench/llm.py\t120\nreply\tagent.py\t88\n"
#define PACKAGE "send\t/srv/run/venv/lib/python3.11/site-packages/httpx/_client.py\t0\n"
#define IMPORT "_call\t<frozen importlib._bootstrap>\t241\n"

/* One snapshot of a thread that computes: where, and what its process has written by then. */
static void computes(struct evidence *e, uint64_t ts, const char *frame, int64_t written)
{
	struct ev_thread t = { .h = { .pid = 7, .tid = 9 }, .syscall = -1, .state = 'R' };
	struct ev_activity a = { .h = { .pid = 7, .tid = 9, .ts_ns = ts, .flags = EVF_SEEDED },
		                 .cpu_ns = ts / 2 };
	struct ev_fact f = { .h = { .pid = 7 }, .kind = FACT_WRITTEN, .value = (uint64_t)written };

	snapshot(e, true, ts);
	feed(e, &t, sizeof(t), EV_THREAD, "", 0);
	feed(e, &a, sizeof(a), EV_ACTIVITY, "", 0);
	feed(e, &f, sizeof(f), EV_FACT, "", 0);
	if (frame)
		frames(e, 9, FRAMES_PYTHON, frame);
	snapshot(e, false, ts + 1);
}

static void stays(void)
{
	static const char there[] = "work\t/app/a.py\t5\n", elsewhere[] = "work\t/app/a.py\t6\n";
	struct evidence *e = evidence_new();

	TEST("a thread stays in its place from the first snapshot with functions on, also through "
	     "one "
	     "in which they could not be read");
	computes(e, 100, NULL, 1);
	CHECK(!evidence_stay(e, 7, 9) && evidence_first_frames(e) == 0);
	computes(e, 200, there, 2);
	CHECK(evidence_first_frames(e) == 201 && evidence_stay(e, 7, 9)->first_ns == 201);
	computes(e, 300, there, 2);
	computes(e, 400, NULL, 2);
	computes(e, 500, there, 2);
	CHECK(evidence_stay(e, 7, 9)->since_ns == 200 && evidence_stay(e, 7, 9)->cpu_ns == 100);
	CHECK(!evidence_stay(e, 7, 8) && !evidence_stay(e, 8, 9));

	TEST("at another line, or when its process has written, it does not stay, though it comes "
	     "back");
	computes(e, 600, elsewhere, 2);
	CHECK(evidence_stay(e, 7, 9)->first_ns == 601);
	computes(e, 700, there, 2);
	computes(e, 800, there, 2);
	CHECK(evidence_stay(e, 7, 9)->first_ns == 701);
	computes(e, 900, there, 3);
	CHECK(evidence_stay(e, 7, 9)->first_ns == 901 && evidence_first_frames(e) == 201);
	evidence_free(e);
}

static void python_frames(void)
{
	struct evidence *e = evidence_new();
	struct bytes rest;
	struct frame f;

	snapshot(e, true, 1);
	frames(e, 9, FRAMES_PYTHON, LIBRARY PACKAGE OWN IMPORT);
	frames(e, 0, FRAMES_MISSING, "2 are missing");
	frames(e, 9, 77, "of a kind to come");
	frames(e, 10, FRAMES_PYTHON, "");
	snapshot(e, false, 2);

	TEST("frames belong to their thread, what is missing to the process, kinds do not mix");
	CHECK(evidence_frames(e, 7, 9) && evidence_frames(e, 7, 10));
	CHECK(!evidence_frames(e, 7, 0) && !evidence_frames(e, 8, 9));
	CHECK(bytes_equal(frames_text(evidence_frames_missing(e, 7)), "2 are missing"));
	CHECK(!evidence_frames_missing(e, 8));

	TEST("each has a function, a file and a line, 0 unknown");
	rest = frames_text(evidence_frames(e, 7, 9));
	CHECK(frames_next(&rest, &f) && f.line == 1263);
	CHECK(bytes_equal(f.function, "recv") && bytes_equal(f.file, "/usr/lib/python3.11/ssl.py"));
	CHECK(frames_next(&rest, &f) && bytes_equal(f.function, "send") && f.line == 0);
	CHECK(frames_next(&rest, &f) && frames_next(&rest, &f) && frames_next(&rest, &f));
	CHECK(!frames_next(&rest, &f));
	rest = frames_text(evidence_frames(e, 7, 10));
	CHECK(!frames_next(&rest, &f));

	TEST("a line with less in it has an empty file and no line number");
	rest = bytes_of("f\ng\tx.py\t99999999999");
	CHECK(frames_next(&rest, &f) && f.file.n == 0 && f.line == 0);
	CHECK(frames_next(&rest, &f) && bytes_equal(f.file, "x.py") && f.line == 999999999);
	CHECK(!frames_next(&rest, &f));
	evidence_free(e);
}

static void one_line(void)
{
	struct evidence *e = evidence_new();
	const struct ev_frames *mixed, *none, *library;
	char buf[200];

	snapshot(e, true, 1);
	frames(e, 1, FRAMES_PYTHON, LIBRARY PACKAGE OWN IMPORT);
	frames(e, 2, FRAMES_PYTHON, LIBRARY PACKAGE IMPORT);
	frames(e, 3, FRAMES_PYTHON, "");
	snapshot(e, false, 2);
	mixed = evidence_frames(e, 7, 1);
	library = evidence_frames(e, 7, 2);
	none = evidence_frames(e, 7, 3);

	TEST("the program's own frames in a line, innermost first");
	frames_line(buf, sizeof(buf), frames_text(mixed), 3);
	CHECK(strcmp(buf, "Client.ask (llm.py:120) <- reply (agent.py:88)") == 0);
	CHECK(strcmp(frames_line(buf, sizeof(buf), frames_text(mixed), 1),
	             "Client.ask (llm.py:120)") == 0);

	TEST("where there are none, the others");
	frames_line(buf, sizeof(buf), frames_text(library), 9);
	CHECK(strcmp(buf, "recv (ssl.py:1263) <- send (_client.py) <- _call (<frozen "
	                  "importlib._bootstrap>:241)") == 0);
	CHECK(!*frames_line(buf, sizeof(buf), frames_text(none), 9) &&
	      !*frames_line(buf, 200, frames_text(mixed), 0));

	TEST("what does not fit is left out, of the first frame the end");
	for (size_t n = 1; n < sizeof(buf); n++) {
		char *tight = malloc(n);

		frames_line(tight, n, frames_text(mixed), 9);
		CHECK(strlen(tight) == (n < 24 ? n - 1 : n < 47 ? 23 : 46));
		free(tight);
	}
	evidence_free(e);
}

static void holders(void)
{
	struct evidence *e = evidence_new();
	struct ev_holder h = { .h.pid = 1, .ino = 5, .fd = 3 };
	size_t n;

	snapshot(e, true, 1);
	feed(e, &h, sizeof(h), EV_HOLDER, "", 0);
	h.h.pid = 2;
	feed(e, &h, sizeof(h), EV_HOLDER, "", 0);
	h.ino = UINT64_MAX;
	feed(e, &h, sizeof(h), EV_HOLDER, "", 0);
	snapshot(e, false, 2);
	TEST("the holders of an inode are those of no other, whatever its number");
	CHECK(evidence_holders(e, 5, &n)[0]->h.pid == 1 && n == 2);
	evidence_holders(e, 6, &n);
	CHECK(n == 0);
	CHECK(evidence_holders(e, UINT64_MAX, &n)[0]->ino == UINT64_MAX && n == 1);
	evidence_free(e);
}

int main(void)
{
	lookups();
	holders();
	replacement();
	limits();
	stays();
	python_frames();
	one_line();
	return DONE();
}
