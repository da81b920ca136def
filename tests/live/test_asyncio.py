#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A storage call belongs to the turn whose asyncio task made it, in every CPython there is to try."""
import glob
import json
import os
import platform
import subprocess
import unittest

import harness
from harness import EXIT_OK, PYTHON, TURNS_S, WORKLOAD, LiveTest, Observer, Process

VERSIONS = [(3, n) for n in range(8, 14)]  # what loader/python.c reads
SCRIPT = os.path.join(WORKLOAD, "asyncio_sessions.py")


def pythons():
    """(3, minor) -> an interpreter of it: the host's and those of pyenv."""
    found = {}
    for path in [PYTHON, *glob.glob("/usr/bin/python3.*"), *glob.glob("/usr/local/bin/python3.*"),
                 *glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python3"))]:
        try:
            p = subprocess.run([path, "-c", "import sys, _asyncio; print(*sys.version_info[:2])"], text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if p.returncode == 0:
            found.setdefault(tuple(map(int, p.stdout.split())), path)
    return found


class Workload(Process):
    def __init__(self, python, *arguments):
        super().__init__([python, "-B", SCRIPT, *arguments])
        self.wait_ready()

    def wait_ready(self):
        if not self.out.wait_for(lambda x: '"ready"' in x, TURNS_S):
            raise AssertionError("does not start: " + self.describe())


@unittest.skipUnless(platform.machine() == "x86_64", "asyncio tasks are read on x86-64 only")
class AsyncioTasks(LiveTest):
    stores_used = ("redis",)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pythons = pythons()

    def arguments(self, *more):
        server = self.server("latency=40", plain=True)
        return ["--llm", server.endpoint, "--redis", f"127.0.0.1:{self.stores.redis_port}", *more]

    def watched(self, python, *more):
        """A whole run, watched from before its first turn: (truth, turns)."""
        workload = self.started(Workload(python, *self.arguments(*more)))
        observer = self.watch(workload.pid)
        workload.say()
        self.assertEqual(workload.wait(TURNS_S), 0, workload.describe())
        self.assertEqual(observer.wait(), EXIT_OK, observer.describe())
        return self.truth(workload), observer.turns()

    def truth(self, process):
        lines = [json.loads(x) for x in process.out.all if x.startswith("{")]
        return {(x["session"], x["turn"]): x["reads"] + x["writes"] for x in lines if x["event"] == "turn"}

    def check_exact(self, truth, turns):
        self.assertEqual(len(turns), len(truth))
        sessions, by_order = {}, 0
        for t in turns:
            number = int(t["model"].split("-")[1])
            self.assertEqual(sessions.setdefault(t["session_id"], number), number, t)
            self.assertIsNone(t["partial"], t)
            self.check_books(t)
            # On a busy machine a write may not go out at once: the loop sends it later, from no task, and the line says so.
            if t.get("attribution") == "order":
                by_order += 1
            else:
                self.assertEqual(t["storage_calls"], truth[number, t["turn_index"]], t)
        if by_order:
            got = sum(t["storage_calls"] for t in turns)
            self.assertLessEqual(got, sum(truth.values()))
            self.assertGreaterEqual(got, 0.9 * sum(truth.values()))
        self.assertEqual(len(sessions), len({n for n, _ in truth}))

    def with_each_python(self, *more, check=None):
        for version in VERSIONS:
            with self.subTest(python="%d.%d" % version):
                if version not in self.pythons:
                    self.skipTest("no CPython %d.%d with _asyncio here" % version)
                (check or self.check_exact)(*self.watched(self.pythons[version], *more))

    def test_sessions_on_one_event_loop_keep_their_storage_calls(self):
        self.with_each_python()

    def test_event_loops_on_several_threads_keep_their_tasks_apart(self):
        self.with_each_python("--loops", "2", "--sessions", "6")

    def test_asyncio_imported_after_attaching(self):
        self.with_each_python("--late", check=self.check_late)

    def check_late(self, truth, turns):
        """Exact; or, as the first calls come a few ms after the import, too early for some, and then the lines say so."""
        if any(t.get("attribution") == "order" for t in turns if t["turn_index"] == 0):
            self.check_by_order(truth, turns)
        else:
            self.check_exact(truth, turns)

    def test_a_run_from_its_first_instruction(self):
        command = [PYTHON, "-B", SCRIPT, *self.arguments()]
        observer = self.started(Observer("run", command, self.new_dir(), wait=False))
        observer.say()
        self.assertEqual(observer.wait(TURNS_S), EXIT_OK, observer.describe())
        self.check_exact(self.truth(observer), observer.turns())

    def test_an_executors_calls_are_attributed_by_order_and_say_so(self):
        self.with_each_python("--executor", check=self.check_by_order)

    def check_by_order(self, truth, turns):
        self.assertEqual(len(turns), len(truth))
        # What a thread read before it was known to be a helper may be in no turn.
        self.assertLessEqual(sum(t["storage_calls"] for t in turns), sum(truth.values()))
        for t in turns:
            if t["storage_calls"] != truth[int(t["model"].split("-")[1]), t["turn_index"]]:
                self.assertEqual(t.get("attribution"), "order", t)


if __name__ == "__main__":
    harness.main()
