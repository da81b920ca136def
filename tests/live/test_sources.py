#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Turns as each source cuts them: by a log, by output, by pauses; and which one auto takes."""
import os
import re

import harness
from compare import SourcesTest, moment
from harness import EXIT_OK

PLAN = "latency=60,spacing=3"


class Sources(SourcesTest):
    # ------------------------------------------------------------ a log, output, pauses

    def linelog(self, *arguments, options=(), server=None):
        server = server or self.server(PLAN)
        self.log = os.path.join(self.directory, "events.jsonl")
        workload, observer = self.watched("linelog.py", "--log", self.log, *arguments, server=server, options=options)
        return workload, observer, server

    def test_jsonl_lines_tell_turns_sessions_and_roles(self):
        for pattern in ("*/events.jsonl", None):
            with self.subTest(pattern=pattern):
                workload, observer, server = self.linelog(
                    "--calls", "2", options=("--turns", f"jsonl:{pattern or self.directory + '/ev*.jsonl'}"))
                pairs = self.by_session(workload.turns(), observer.turns())
                self.check_pairs(pairs, server, self.from_call_to_line, alone=True)
                self.check_end(observer)

    def test_a_log_of_another_name_tells_nothing(self):
        workload, observer, _ = self.linelog(options=("--turns", "jsonl:*/other.jsonl"))
        self.assertEqual(observer.turns(), [])
        self.check_end(observer, outside=len(workload.turns()))

    def test_lines_of_output_end_turns(self):
        workload, observer, server = self.linelog(options=("--turns", "stdout:^turn [0-9]+ of session [^ ]+ done$"))
        pairs = self.by_order(workload.turns(), observer.turns())
        self.check_pairs(pairs, server, self.from_call_to_line, alone=True)
        self.check_end(observer)

    def test_the_group_of_an_output_pattern_is_the_session(self):
        workload, observer, server = self.linelog(options=("--turns", "stdout:^turn [0-9]+ of session ([^ ]+) done$"))
        pairs = self.by_session(workload.turns(), observer.turns())
        self.check_pairs(pairs, server, self.from_call_to_line, alone=True)
        self.check_end(observer)

    def test_a_pause_ends_a_turn(self):
        workload, observer, server = self.linelog("--quiet", "--calls", "2", "--sessions", "1", "--pause", "700",
                                                  options=("--turns", "idle:350"))
        pairs = self.by_order(workload.turns(), observer.turns())
        self.check_pairs(pairs, server, self.from_call_to_call, alone=True)
        self.check_end(observer)

    # ------------------------------------------------------------ GoodAI's runner

    def goodai(self, server, *options, arguments=()):
        return self.watched("goodai.py", "--directory", self.directory, "--tests", "4", *arguments, server=server,
                            options=options)

    def check_goodai(self, runner, observer, server):
        self.assertTrue([t for t in runner.turns() if t["supplied"]] and [t for t in runner.turns() if t["fill"]])
        self.check_pairs(self.goodai_pairs(runner, observer), server, self.goodai_wall, alone=True)
        self.check_end(observer, outside=len(runner.events("aside")))

    def test_goodais_master_log_tells_turns_and_tests(self):
        server = self.server(PLAN)
        runner, observer = self.goodai(server, "--profile", "goodai-ltm")
        self.check_goodai(runner, observer, server)
        self.check_source(observer, "goodai-ltm")

    def test_the_clock_the_runner_fakes_is_not_believed(self):
        server = self.server(PLAN)
        runner, observer = self.goodai(server, "--profile", "goodai-ltm")
        spans = [(t["unix_start"], t["unix_start"] + (t["t_end"] - t["t_start"]) / 1e9) for t in runner.turns()]
        with open(os.path.join(self.directory, "data", "tests", "run0", "results", "agent", "master_log.jsonl")) as f:
            stamps = [float(re.search(r'"timestamp": ([0-9.]+)', line)[1]) for line in f]
        self.assertGreater(max(stamps) - max(b for _, b in spans), 600, "its clock did jump")
        for t in observer.turns():
            self.assertTrue(any(a - 0.1 <= moment(t["timestamp"]) <= b for a, b in spans), t)

    def test_totals_and_done_counts_come_from_the_runners_own_lines(self):
        server = self.server(PLAN)
        runner = self.workload("goodai.py", "--directory", self.directory, "--tests", "4", server=server)
        observer = self.watch(runner.pid, "--profile", "goodai-ltm", "--progress", "tqdm")
        runner.say()
        self.finished(runner, observer)
        self.assertIsNotNone(self.said(observer, "4/4 tests"), observer.describe())

    # ------------------------------------------------------------ auto

    def test_auto_takes_a_known_log_and_says_why(self):
        server = self.server(PLAN)
        runner, observer = self.goodai(server)
        self.check_goodai(runner, observer, server)
        self.check_source(observer, "jsonl", "master_log.jsonl")

    def test_auto_takes_the_llm_requests_where_nothing_else_fits(self):
        server = self.server(PLAN)
        workload, observer, _ = self.linelog(server=server)
        self.assertEqual(len(observer.turns()), len(workload.turns()))
        self.check_source(observer, "auto", "LLMs")

    def test_check_says_which_source_a_process_would_have(self):
        server = self.server(PLAN)
        runner = self.workload("goodai.py", "--directory", self.directory, "--gate", server=server)
        runner.say()
        runner.wait_event("gate")  # its log is there
        status, out, err = harness.tool("check", str(runner.pid))
        self.assertEqual(status, EXIT_OK, out + err)
        self.assertTrue(re.search(r"(?im)^.*turns.*$", out), out + err)


if __name__ == "__main__":
    harness.main()
