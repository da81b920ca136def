# SPDX-License-Identifier: BSD-2-Clause
"""No healthy run is called stuck, no server at rest is accused, and hangs that look like something else are told."""
from harness import main
from why import EXIT_UNDECIDED, HangServer, WhyTest

SCRIPT = "healthy.py"
WORKING = ("toils", "thread_pool", "process_pool", "polls_child", "communicates", "to_thread", "makes")
RESTING = ("http_server", "asyncio_server", "prefork")
HUNG = ("queue_full", "pool_condition", "executor_full", "tee_stopped", "selects_own_pipe", "pauses", "sqlite_locked")


class Working(WhyTest):
    workloads = {case: (SCRIPT, case, "--healthy") for case in WORKING}

    def test_runs_that_compute_somewhere_in_their_tree_are_not_stuck(self):
        for case in WORKING:
            with self.subTest(case):
                self.hung[case].grow_old()
                self.alive(case)


class Replies(WhyTest):
    workloads = {"asks_slowly": (SCRIPT, "asks_slowly", "--healthy")}

    def test_an_llm_that_answers_after_fifteen_seconds_is_not_stuck(self):
        w = self.hung["asks_slowly"]
        w.grow_old(11)
        self.alive(w, "--llm", f"127.0.0.1:{w.truth['port']}")


class Resting(WhyTest):
    workloads = {case: (SCRIPT, case, "--healthy") for case in RESTING}

    def test_a_server_at_rest_is_said_to_be_one(self):
        # Whether somebody should have come by now no evidence tells: unknown, with what is known.
        for case in RESTING:
            with self.subTest(case):
                a = self.why(case)
                self.assertEqual((a.kind, a.status), ("unknown", EXIT_UNDECIDED), a)
                self.assertIn("a server that waits for connections", a.verdict["summary"], a)


class Hung(WhyTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        server = HangServer()
        cls.class_stack.callback(server.stop)
        cls.port = server.port("silent")
        cls.start({**{case: (SCRIPT, case) for case in HUNG}, "locked_by_hung": (SCRIPT, "locked_by_hung", cls.port)})

    def test_a_queue_that_is_full_and_nobody_empties(self):
        self.stuck("queue_full", "deadlock", wake="never", says=("queue_full (healthy.py",))

    def test_a_condition_in_a_pool_that_nobody_notifies(self):
        self.stuck("pool_condition", "deadlock", wake="never", says=("work (healthy.py",))

    def test_an_executor_whose_threads_all_wait_for_one_of_them(self):
        self.stuck("executor_full", ("event_loop_idle", "deadlock"), wake="never", says=("outer (healthy.py",))

    def test_a_reader_that_is_stopped_is_the_one_to_blame(self):
        reader = self.hung["tee_stopped"].truth["reader"]
        self.stuck("tee_stopped", "stopped", wake="on_event", pid=reader, says=("(tee) is stopped",))

    def test_a_lock_whose_holder_hangs_itself(self):
        self.stuck("locked_by_hung", "llm_no_response", "--llm", f"127.0.0.1:{self.port}", wake="never",
                   pid=self.hung["locked_by_hung"].truth["holder"])

    def test_a_database_that_another_process_has_locked(self):
        self.stuck("sqlite_locked", "file_lock", wake="on_event", says=("sqlite_locked (healthy.py",))

    def test_a_database_that_is_locked_for_moments_is_not_stuck(self):
        self.alive(self.hang(SCRIPT, "sqlite_locked", "--healthy"))

    def test_a_pipe_that_only_the_waiting_process_writes_to(self):
        self.stuck("selects_own_pipe", "input_wait", wake="never", says=("nobody but itself",))

    def test_a_program_that_waits_for_a_signal(self):
        # Who will send it no evidence tells.
        a = self.why("pauses")
        self.assertEqual(a.kind, "unknown", a)
        self.assertIn("waits for a signal", a.verdict["summary"], a)


if __name__ == "__main__":
    main()
