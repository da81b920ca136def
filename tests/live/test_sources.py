#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Turns as each source cuts them: by a log, by output, by requests to the target, by pauses; and which one auto takes."""
import os
import re

import harness
from compare import TurnsTest, moment, polled
from harness import EXIT_OK, EXIT_S, TURNS_S, lost

PLAN = "latency=60,spacing=3"


class Sources(TurnsTest):
    def check_end(self, observer, outside=0):
        summary = observer.summary()
        self.check_all_books(observer)
        self.assertEqual(summary["calls_outside_turns"], outside)
        self.assertEqual(lost(summary["coverage"]), 0, summary["coverage"])

    def check_source(self, observer, *words):
        """It says at start, or when it knows, by what it cuts turns and why."""
        line = self.said(observer, "turns", *words)
        self.assertIsNotNone(line, observer.describe())
        return line

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

    # ------------------------------------------------------------ requests to the target

    def agent(self, variant, server, *arguments):
        """The agent's server: threads can have both stores, tasks have Redis."""
        agent = self.workload("agent_server.py", variant, *arguments, server=server, wait="--gate" not in arguments,
                              postgres=variant == "threads")
        return agent

    def url(self, agent):
        agent.ready = agent.ready or agent.wait_event("ready")
        return f"http://127.0.0.1:{agent.ready['port']}"

    def split_runner(self, agent, server, *arguments):
        return self.workload("goodai.py", "--directory", self.directory, "--agent", self.url(agent), *arguments,
                             server=server)

    def run_split(self, runner, agent, observer):
        """The whole run, then the agent's end; the observer leaves when both have."""
        with polled(self.url(agent) + "/health") as answers:
            runner.say()
            self.assertEqual(runner.wait(TURNS_S), 0, runner.describe())
        self.assertTrue(answers and set(answers) == {200}, "the monitor was answered")
        agent.signal(harness.signal.SIGTERM)
        self.assertEqual(agent.wait(EXIT_S), 0, agent.describe())
        self.assertEqual(observer.wait(EXIT_S), EXIT_OK, observer.describe())

    def test_requests_to_the_target_are_turns(self):
        for variant in ("threads", "tasks", "to_thread"):
            for parallel in (1, 3):
                with self.subTest(variant=variant, parallel=parallel):
                    server = self.server("latency=150,spacing=5")
                    agent = self.agent(variant, server)
                    runner = self.split_runner(agent, server, "--tests", "3", "--parallel", str(parallel))
                    observer = self.watch(agent.pid, "--turns", "http")
                    self.run_split(runner, agent, observer)
                    pairs = self.by_session(self.joined(runner, agent).values(), observer.turns())
                    self.check_pairs(pairs, server, self.from_request_to_reply,
                                     alone=parallel == 1 and variant == "threads")
                    if variant != "to_thread":  # only there nothing ties a call to a request but what it carries
                        self.assertFalse([t for t in observer.turns() if "attribution" in t])
                    self.check_end(observer)

    def joined(self, runner, agent):
        """What the agent did in each turn, with what the runner knows of it; by the conversation's key and the turn."""
        asked = {(t["key"], t["turn"]): t for t in runner.turns() if not t["supplied"]}
        told = {(t["session"], t["turn"]): t for t in agent.turns()}
        self.assertEqual(set(asked), set(told), "the agent served each turn it was asked for")
        return {k: {**told[k], **{n: asked[k][n] for n in ("t_sent", "t_received", "t_logged")}} for k in told}

    def test_the_runners_turns_have_what_its_agent_server_did(self):
        for variant in ("threads", "tasks", "to_thread"):
            with self.subTest(variant=variant):
                server = self.server("latency=150,spacing=5")
                agent = self.agent(variant, server)
                runner = self.split_runner(agent, server, "--tests", "3")
                observer = self.watch([runner.pid, agent.pid], "--profile", "goodai-ltm")
                self.run_split(runner, agent, observer)
                joined = self.joined(runner, agent)
                pairs = [(joined.get((want["key"], want["turn"]), want), got)
                         for want, got in self.goodai_pairs(runner, observer)]
                self.check_pairs(pairs, server, self.goodai_wall, pid=False)
                self.assertEqual({t["pid"] for t in observer.turns()}, {runner.pid})
                self.check_end(observer, outside=len(runner.events("aside")))

    def test_two_processes_joined_by_requests_alone(self):
        """--turns http: the client's view of the request, the server's calls."""
        server = self.server("latency=150,spacing=5")
        agent = self.agent("threads", server)
        runner = self.split_runner(agent, server, "--tests", "3", "--parallel", "2")
        observer = self.watch([runner.pid, agent.pid], "--turns", "http")
        self.run_split(runner, agent, observer)
        pairs = self.by_session(self.joined(runner, agent).values(), observer.turns())
        self.check_pairs(pairs, server, self.from_request_to_reply, pid=False)
        self.check_end(observer, outside=len(runner.events("aside")))

    # ------------------------------------------------------------ GoodAI's runner

    @staticmethod
    def goodai_wall(want):
        """From its first call, be it to a server, to the line; of a reply that was supplied there is no call."""
        before, after = want["t_logged"]
        if not want["llm_calls"]:
            return 0, (after - want["t_start"]) / 1e6
        first, first_end = want.get("t_sent", want["t_first"]), want.get("t_request", want["t_first_end"])
        return max(0, before - first_end) / 1e6, (after - first) / 1e6

    def goodai_pairs(self, runner, observer):
        """By test; fill turns, which have none, are one session that no test has the name of."""
        truth, turns = runner.turns(), observer.turns()
        tests = {t["session"] for t in truth} - {""}
        other = {t["session_id"] for t in turns} - tests
        self.assertLessEqual(len(other), 1, other)
        turns = [dict(t, session_id="" if t["session_id"] in other else t["session_id"]) for t in turns]
        pairs = self.by_session(truth, turns)
        order = [(t["session"], t["turn"]) for t in sorted(truth, key=lambda t: t["t_start"])]
        self.assertEqual([(t["session_id"], t["turn_index"]) for t in turns], order, "lines come as turns end")
        return pairs

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
        self.assertIn("master_log.jsonl", self.check_source(observer, "goodai-ltm"))

    def test_auto_takes_the_llm_requests_where_nothing_else_fits(self):
        server = self.server(PLAN)
        workload, observer, _ = self.linelog(server=server)
        self.assertEqual(len(observer.turns()), len(workload.turns()))
        self.check_source(observer, "llm")

    def test_auto_takes_the_requests_to_a_server_and_says_why(self):
        server = self.server("latency=100")
        agent = self.agent("tasks", server)
        runner = self.split_runner(agent, server, "--tests", "2")
        observer = self.watch(agent.pid)
        self.run_split(runner, agent, observer)
        self.check_pairs(self.by_session(self.joined(runner, agent).values(), observer.turns()), server,
                         self.from_request_to_reply)
        self.assertIn("/run_turn", self.check_source(observer, "http"))
        self.check_end(observer)

    def test_auto_changes_its_mind_at_a_boundary_and_says_so(self):
        """First the server asks the LLM by itself, then requests come."""
        server = self.server("latency=100")
        agent = self.agent("threads", server, "--gate", "--warm")
        agent.wait_event("gate")
        observer = self.watch(agent.pid)
        agent.say()
        runner = self.split_runner(agent, server, "--tests", "2")
        self.run_split(runner, agent, observer)
        turns, truth = observer.turns(), self.joined(runner, agent).values()
        self.assertEqual(len(turns), 1 + len(truth), "the one before any request, and each request")
        self.check_pairs(self.by_session(truth, turns[1:]), server, self.from_request_to_reply)
        said = [x for x in observer.err.all if "turns" in x and re.search(r"\b(llm|http)\b", x)]
        self.assertTrue(len(said) >= 2 and "llm" in said[0] and "http" in said[-1], observer.describe())
        self.check_all_books(observer)

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
