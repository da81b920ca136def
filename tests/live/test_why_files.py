# SPDX-License-Identifier: BSD-2-Clause
"""Verdicts on pipes, terminals and file locks."""
from harness import main
from why import WhyTest

SCRIPT = "hang_files.py"
CASES = ("output", "output_nobody", "input_pipe", "terminal", "fifo", "flock", "posix_lock", "lock_circle")


class Hung(WhyTest):
    workloads = {case: (SCRIPT, case) for case in CASES}

    def test_a_full_pipe_is_said_with_who_should_read_it(self):
        reader = self.hung["output"].truth["reader"]
        self.stuck("output", "output_blocked", wake="on_event", says=(f"{reader} (python3)",))

    def test_a_full_pipe_that_only_the_writer_could_read(self):
        self.stuck("output_nobody", "output_blocked", wake="never", says=("nobody but itself",))

    def test_input_that_the_test_never_gives(self):
        self.stuck("input_pipe", "input_wait", wake="on_event", says=("standard input",))

    def test_a_question_in_a_terminal(self):
        w = self.hung["terminal"]
        self.stuck(w, "input_wait", wake="on_event", asked=w.truth["pid"], says=("/dev/pts/",))

    def test_a_parent_that_sleeps_and_its_child_that_asks_are_both_shown(self):
        w = self.hung["terminal"]
        a = self.why(w)
        self.assertEqual({c["kind"] for c in a.document["causes"]}, {"input_wait", "sleeping"}, a)

    def test_a_named_pipe_that_nobody_opens(self):
        self.stuck("fifo", "input_wait", wake="on_event", says=("named pipe",))

    def test_a_file_lock_is_said_with_who_holds_it(self):
        for case in ("flock", "posix_lock"):
            with self.subTest(case):
                truth = self.hung[case].truth
                self.stuck(case, "file_lock", wake="on_event", says=(str(truth["holder"]), truth["path"]))

    def test_a_lock_whose_holder_waits_for_who_wants_it(self):
        w = self.hung["lock_circle"]
        self.stuck(w, "file_lock", wake="never", pid=w.truth["waiter"], says=(str(w.truth["pid"]), "in turn"))


class Healthy(WhyTest):
    workloads = {case: (SCRIPT, case, "--healthy") for case in CASES}

    def test_their_healthy_twins_are_not_stuck(self):
        for case in CASES:
            with self.subTest(case):
                self.alive(case)


if __name__ == "__main__":
    main()
