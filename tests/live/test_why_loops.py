# SPDX-License-Identifier: BSD-2-Clause
"""Verdicts on asyncio loops and connection pools."""
from harness import main
from why import HangServer, WhyTest

SCRIPT = "hang_loops.py"
# case -> the mode of the server it talks to, None: none
CASES = {"blocked_sleep": "late", "blocked_lock": "late", "idle_future": None, "idle_queue": None, "async_sleep": None,
         "pool_async": "answer", "pool_sync": "answer", "pool_threads": "answer"}


class LoopTest(WhyTest):
    @classmethod
    def start_all(cls, cases, *options):
        cls.server = cls.class_stack.enter_context(HangServer())
        cls.start({case: (SCRIPT, case, *([cls.server.port(mode)] if mode else []), *options)
                   for case, mode in cases.items()})


class Hung(LoopTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.start_all(CASES)

    def test_a_loop_that_sleeps_while_replies_wait_is_blocked(self):
        self.stuck("blocked_sleep", "event_loop_blocked", wake="at", says=("block (hang_loops.py",))

    def test_a_loop_that_waits_for_a_lock_while_replies_wait_is_blocked(self):
        self.stuck("blocked_lock", "event_loop_blocked", wake="never", says=("block (hang_loops.py",))

    def test_a_loop_that_computes_while_replies_wait_is_blocked(self):
        w = self.hang(SCRIPT, "blocked_computing", self.server.port("late"))
        self.stuck(w, "event_loop_blocked", says=("block (hang_loops.py",))

    def test_tasks_that_await_what_never_comes_are_named(self):
        self.stuck("idle_future", "event_loop_idle", wake="never", says=("3 tasks await", "never (hang_loops.py"))

    def test_consumers_of_a_queue_nobody_fills(self):
        self.stuck("idle_queue", "event_loop_idle", wake="never", says=("consumer (hang_loops.py",))

    def test_tasks_that_all_sleep_are_asleep_until_the_first_wakes(self):
        a = self.stuck("async_sleep", "sleeping", wake="at")
        self.assertAlmostEqual(a.seconds_until(a.wake["at"]), self.hung["async_sleep"].truth["wakes"], delta=0.2)

    def test_a_pool_whose_connections_were_never_given_back(self):
        for case in ("pool_async", "pool_sync", "pool_threads"):
            with self.subTest(case):
                self.stuck(case, "pool_exhausted", says=("hang_loops.py",))


class Healthy(LoopTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.start_all(dict(CASES, blocked_computing="late"), "--healthy")

    def test_their_healthy_twins_are_not_stuck(self):
        for case in self.hung:
            with self.subTest(case):
                self.alive(case)


if __name__ == "__main__":
    main()
