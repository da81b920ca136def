/* SPDX-License-Identifier: BSD-2-Clause */
/* Who a watch is about, as its events tell. */
#include "targets.h"

#include "test.h"

static struct targets t;

static bool process(uint32_t pid, uint16_t flags, uint64_t start_ns)
{
	struct ev_process e = { .h = { sizeof(e), EV_PROCESS, flags, start_ns, pid, pid },
		                .start_ns = start_ns };

	return targets_event(&t, &e.h);
}

static void leave(uint32_t pid, uint16_t flags, uint64_t ts_ns)
{
	struct ev_exit e = { .h = { sizeof(e), EV_EXIT, flags, ts_ns, pid, pid } };

	targets_event(&t, &e.h);
}

static void hello(uint32_t pid)
{
	struct ev_hello e = { .h = { sizeof(e), EV_HELLO, 0, 1, pid, pid } };

	t = (struct targets){ 0 };
	targets_event(&t, &e.h);
}

int main(void)
{
	char text[TARGETS_TEXT_MAX];

	TEST("one target, its children are none");
	hello(7);
	CHECK(!process(8, 0, 2) && !process(7, EVF_ROOT, 1));
	CHECK(t.live == 1 && targets_have(&t, 7) && !targets_have(&t, 8));
	CHECK(targets_first(&t) == 7 && strcmp(targets_text(&t, text), "7") == 0);

	TEST("several; a thread's end is nobody's, a process's its own");
	CHECK(process(9, EVF_ROOT, 1) && !process(9, EVF_ROOT, 1));
	CHECK(strcmp(targets_text(&t, text), "7, 9") == 0);
	leave(7, 0, 5);
	leave(8, EVF_LAST, 5);
	CHECK(t.live == 2);
	leave(7, EVF_LAST, 6);
	leave(7, EVF_LAST, 6);
	CHECK(t.live == 1 && targets_first(&t) == 9 && targets_have(&t, 7));
	CHECK(strcmp(targets_text(&t, text), "9") == 0);

	TEST("a zombie in a snapshot is not there again, a new process of its number is");
	CHECK(!process(7, EVF_ROOT, 1) && t.live == 1);
	CHECK(process(7, EVF_ROOT, 8) && t.live == 2);
	leave(9, EVF_LAST, 10);
	leave(7, EVF_LAST, 9);
	CHECK(t.live == 0 && targets_first(&t) == 9);
	CHECK(strcmp(targets_text(&t, text), "7, 9") == 0);

	TEST("nobody yet");
	hello(0);
	CHECK(t.n == 0 && targets_first(&t) == 0 && strcmp(targets_text(&t, text), "nobody") == 0);

	TEST("more than there is room for: who has ended first makes room, else they are counted");
	for (uint32_t pid = 1; pid <= TARGETS_TOLD_MAX; pid++)
		process(pid, EVF_ROOT, 1);
	CHECK(!process(100000, EVF_ROOT, 1) && t.passed == 1);
	CHECK(strstr(targets_text(&t, text), "1, 2, 3, 4, 5, 6, 7, 8 and 504 more"));
	leave(20, EVF_LAST, 3);
	leave(10, EVF_LAST, 2);
	CHECK(process(100000, EVF_ROOT, 1) && !targets_have(&t, 10) && targets_have(&t, 20));
	CHECK(t.live == TARGETS_TOLD_MAX - 1 && t.n == TARGETS_TOLD_MAX);
	return DONE();
}
