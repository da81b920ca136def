# SPDX-License-Identifier: BSD-2-Clause
"""Verdicts on what lies in the threads of one process."""
from harness import main
from why import WhyTest

SCRIPT = "hang_threads.py"


class Hung(WhyTest):
    workloads = {case: (SCRIPT, case) for case in
                 ("deadlock", "queue_wait", "sleeping", "stopped", "vfork", "forked_lock", "exit_thread", "exit_hook")}

    def test_two_threads_that_wait_for_each_others_lock_are_a_deadlock(self):
        a = self.stuck("deadlock", "deadlock", wake="never", says=("hang_threads.py",))
        self.assertIn("3 threads", a.verdict["summary"])

    def test_waiting_for_an_item_nobody_puts_is_a_deadlock(self):
        self.stuck("queue_wait", "deadlock", wake="never", says=("queue_wait",))

    def test_a_long_sleep_is_said_with_when_it_ends(self):
        a = self.stuck("sleeping", "sleeping", wake="at", says=("sleeping (hang_threads.py",))
        self.assertAlmostEqual(a.seconds_until(a.wake["at"]), self.hung["sleeping"].truth["wakes"], delta=0.1)

    def test_a_stopped_process_is_said_to_be(self):
        self.stuck("stopped", "stopped", wake="on_event")

    def test_a_wait_in_the_kernel_is_said_to_be(self):
        self.stuck("vfork", "uninterruptible", wake="on_event", says=("vfork",))

    def test_a_lock_held_at_the_fork_by_a_thread_that_is_not_here(self):
        w = self.hung["forked_lock"]
        self.stuck(w, "forked_lock", wake="never", pid=w.truth["pid"], asked=w.pid, says=("forked",))

    def test_a_thread_that_keeps_the_program_from_leaving_is_named(self):
        self.stuck("exit_thread", "exit_blocked", says=("keep (hang_threads.py",))

    def test_a_hook_that_keeps_the_program_from_leaving(self):
        self.stuck("exit_hook", ("exit_blocked", "deadlock"), says=("hook (hang_threads.py",))

    def test_blocked_since_is_the_truth_for_a_thread_asleep_before_attach(self):
        for name in ("sleeping", "queue_wait", "exit_hook"):
            a = self.why(name)
            self.assertAlmostEqual(a.since(), self.hung[name].truth["since"], delta=0.05, msg=f"{name}: {a}")


class Computing(WhyTest):
    def test_computing_without_end(self):
        self.stuck(self.hang(SCRIPT, "computing"), "cpu_bound", says=("computing (hang_threads.py",))

    def test_computing_in_a_thread_the_first_one_waits_for(self):
        self.stuck(self.hang(SCRIPT, "computing_threads"), "cpu_bound", says=("computing (hang_threads.py",))


class Healthy(WhyTest):
    CASES = ("deadlock", "queue_wait", "sleeping", "stopped", "vfork", "forked_lock", "exit_thread", "exit_hook",
             "computing", "computing_threads")
    workloads = {case: (SCRIPT, case, "--healthy") for case in CASES}

    def test_their_healthy_twins_are_not_stuck(self):
        for case in self.CASES:
            with self.subTest(case):
                self.alive(case)


if __name__ == "__main__":
    main()
