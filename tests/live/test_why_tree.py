# SPDX-License-Identifier: BSD-2-Clause
"""Verdicts on trees of processes: the one that holds the others back is named."""
from harness import main
from why import EXIT_STUCK, Answer, WhyTest

SCRIPT = "hang_tree.py"


class Hung(WhyTest):
    workloads = {case: (SCRIPT, case) for case in
                 ("tree", "child_sleeps", "child_waits", "lost_process", "lost_pool", "zombie")}

    def test_the_grandchild_that_blocks_thirty_workers_is_named(self):
        w = self.hung["tree"]
        a = self.stuck(w, "input_wait", pid=w.truth["pid"], asked=w.pid, says=(f"{w.truth['worker']} (python3)",))
        self.assertGreaterEqual(len(a.document["processes"]), 32)
        self.assertLess(a.seconds, 3, "31 processes take no longer than a moment")

    def test_a_parent_takes_its_childs_cause(self):
        w = self.hung["child_sleeps"]
        a = self.stuck(w, "sleeping", wake="at", pid=w.truth["pid"], asked=w.pid)
        self.assertIn("child_wait", [c["kind"] for c in a.document["causes"]], a)

    def test_a_child_without_a_cause_is_what_is_waited_for(self):
        self.stuck("child_waits", "child_wait", wake="on_event",
                   says=(str(self.hung["child_waits"].truth["child"]),))

    def test_a_worker_that_was_killed_is_lost(self):
        self.stuck("lost_process", "worker_lost", wake="never", says=("SIGKILL", str(self.hung["lost_process"].truth["worker"])))

    def test_a_pool_that_lost_a_result_with_a_worker(self):
        self.stuck("lost_pool", "worker_lost", wake="never", says=("replaced",))

    def test_a_zombie_has_ended(self):
        w = self.hung["zombie"]
        a = Answer(w.truth["pid"])
        self.assertEqual((a.kind, a.status), ("exited", EXIT_STUCK), a)
        self.assertIn("status 7", a.verdict["summary"])


class Healthy(WhyTest):
    CASES = ("child_sleeps", "child_waits", "lost_process", "lost_pool", "one_of_many")
    workloads = {case: (SCRIPT, case, "--healthy") for case in CASES}

    def test_their_healthy_twins_are_not_stuck(self):
        for case in self.CASES:
            with self.subTest(case):
                self.alive(case)

    def test_a_worker_that_hangs_while_the_others_go_on_is_told_beside(self):
        self.hung["one_of_many"].grow_old()
        a = self.alive("one_of_many")
        self.assertIn("; but process", a.verdict["summary"], a)
        self.assertIn("input_wait", [c["kind"] for c in a.document["causes"]], a)

    def test_thirty_busy_workers_are_not_stuck(self):
        self.alive(self.hang(SCRIPT, "tree", "--healthy"))


if __name__ == "__main__":
    main()
