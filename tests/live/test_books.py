#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The books of every workload: turns balance to the last digit, an LLM call is in one turn or said to be in none."""
import os

import harness
from compare import TurnsTest
from harness import EXIT_OK, EXIT_S, TURNS_S, lost

PLAN = "latency=15,spacing=1"
# name: script, arguments, options, PostgreSQL too
RUNS = {
    "goodai": ("goodai.py", ["--directory", "DIR"], ["--profile", "goodai-ltm"], True),
    "goodai by its requests": ("goodai.py", ["--directory", "DIR"], ["--turns", "llm"], True),
    "tool loop": ("toolloop.py", ["--interleave"], [], True),
    "pool": ("pool.py", [], [], True),
    "sessions": ("asyncio_sessions.py", ["--libraries", "--sessions", "50", "--turns", "2"], [], False),
    "workers": ("workers.py", ["--start", "fork"], [], True),
    "retries": ("retry.py", ["sdk", "--plan", "retry_after=0.1"], [], True),
    "retries of the runner": ("retry.py", ["loop", "--sleep", "0.05", "--faults", "429:3/500/drop:1"], [], True),
    "log": ("linelog.py", ["--log", "DIR/events.jsonl"], ["--turns", "jsonl:*/events.jsonl"], True),
    "output": ("linelog.py", [], ["--turns", "stdout:^turn .* done$"], True),
    "pauses": ("linelog.py", ["--sessions", "2", "--turns", "2", "--pause", "300"], ["--turns", "idle:150"], True),
}


class Books(TurnsTest):
    def check(self, observer, truth, asides=0, exact=False):
        summary = observer.summary()
        made = sum(t["llm_calls"] + t["retries"] for t in truth) + asides
        self.assertEqual(summary["coverage"]["calls"]["llm"], made, "every LLM call was seen")
        self.assertEqual(lost(summary["coverage"]), 0)
        turns = observer.turns()
        self.assertEqual(sum(t["llm_calls"] for t in turns), sum(t["llm_calls"] for t in truth))
        self.assertEqual(sum(t["retries"] for t in turns), sum(t["retries"] for t in truth))
        self.check_all_books(observer, calls=True, exact=exact)

    def test_the_books_of_each_workload_balance(self):
        for name, (script, arguments, options, postgres) in RUNS.items():
            with self.subTest(workload=name):
                # HTTP without TLS where asyncio's reads would else be of many connections at once
                server = self.server(PLAN, plain=not postgres)
                arguments = [a.replace("DIR", os.path.join(self.directory, name.replace(" ", "-"))) for a in arguments]
                os.makedirs(os.path.join(self.directory, name.replace(" ", "-")), exist_ok=True)
                workload, observer = self.watched(script, *arguments, server=server, postgres=postgres,
                                                  options=[*options, "--calls"])
                truth, asides = workload.turns(), workload.events("aside")
                if "llm" in options:  # what the test itself asks cannot be told from a turn then
                    truth = truth + asides
                    asides = []
                by_requests = not {"--profile", "--turns"} & set(options) or "llm" in options
                self.check(observer, truth, len(asides), exact=by_requests)

    def test_the_books_of_a_runner_and_its_server_balance(self):
        for variant in ("threads", "tasks", "to_thread"):
            with self.subTest(variant=variant):
                server = self.server(PLAN)
                agent = self.workload("agent_server.py", variant, server=server, postgres=variant == "threads")
                runner = self.workload("goodai.py", "--directory", self.directory, "--agent",
                                       f"http://127.0.0.1:{agent.ready['port']}", "--tests", "2", server=server)
                observer = self.watch([runner.pid, agent.pid], "--profile", "goodai-ltm", "--calls")
                runner.say()
                self.assertEqual(runner.wait(TURNS_S), 0, runner.describe())
                agent.signal(harness.signal.SIGTERM)
                self.assertEqual(agent.wait(EXIT_S), 0, agent.describe())
                self.assertEqual(observer.wait(EXIT_S), EXIT_OK, observer.describe())
                self.check(observer, agent.turns(), len(runner.events("aside")))


if __name__ == "__main__":
    harness.main()
