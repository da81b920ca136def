#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Turns of an agent that is a server: the requests to it, alone and together with the runner that makes them."""
import re

import harness
from compare import SourcesTest


class Servers(SourcesTest):
    def test_requests_to_the_target_are_turns(self):
        for variant in ("threads", "tasks", "to_thread"):
            for parallel in (1, 3) if variant == "threads" else (3,):
                with self.subTest(variant=variant, parallel=parallel):
                    server = self.server("latency=150,spacing=5")
                    agent = self.agent(variant, server)
                    # between requests the server waits, which is in no turn
                    runner = self.split_runner(agent, server, "--tests", "2", "--parallel", str(parallel), "--pause",
                                               "100")
                    observer = self.watch(agent.pid, "--turns", "http")
                    self.run_split(runner, agent, observer)
                    pairs = self.by_session(self.joined(runner, agent).values(), observer.turns())
                    self.check_pairs(pairs, server, self.from_request_to_reply,
                                     alone=parallel == 1 and variant == "threads")
                    if variant != "to_thread":  # only there nothing ties a call to a request but what it carries
                        self.assertFalse([t for t in observer.turns() if "attribution" in t])
                    self.check_end(observer)

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
        self.check_pairs(pairs, server, self.from_asking_to_reply, pid=False)
        self.check_end(observer, outside=len(runner.events("aside")))

    def test_auto_takes_the_requests_to_a_server_and_says_why(self):
        server = self.server("latency=100")
        agent = self.agent("tasks", server)
        runner = self.split_runner(agent, server, "--tests", "2")
        observer = self.watch(agent.pid)
        self.run_split(runner, agent, observer)
        self.check_pairs(self.by_session(self.joined(runner, agent).values(), observer.turns()), server,
                         self.from_request_to_reply)
        self.check_source(observer, "http", "/run_turn")
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
        said = [x for x in observer.err.all if "turns" in x and re.search(r"LLMs|\bhttp\b", x)]
        self.assertTrue(len(said) >= 2 and "LLMs" in said[0] and "http" in said[-1], observer.describe())
        self.check_all_books(observer)


if __name__ == "__main__":
    harness.main()
