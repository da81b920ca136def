#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The functions, files and lines that a stuck run's threads are in, in every CPython there is to try."""
import json
import os
import platform
import socket
import unittest

import harness
from harness import EXIT_STALLED, TURNS_S, WORKLOAD, LiveTest, Process, wait_until
from test_asyncio import VERSIONS, pythons

SCRIPT = os.path.join(WORKLOAD, "frames.py")
WAITING = ("main", "recv", "poll", "lock", "sleep", "generator", "recursion", "names", "long")
FRAMES_MAX, NAME_MAX = 512, 256  # loader/python_stack.c
FUTEX, CLOCK_NANOSLEEP = "202", "230"  # x86-64


class Workload(Process):
    def __init__(self, python, *arguments):
        super().__init__([python, "-B", SCRIPT, *arguments])
        line = self.out.wait_for(lambda x: '"ready"' in x, TURNS_S)
        if not line:
            raise AssertionError("does not start: " + self.describe())
        self.truth = json.loads(line)["threads"]

    def in_call(self, name):
        with open(f"/proc/{self.pid}/task/{self.truth[name]['tid']}/syscall") as f:
            return f.read().split()[0]


def shown(frames):
    """As much of the truth as is shown: names and lists end somewhere."""
    return [[name if len(name) <= NAME_MAX else name[:NAME_MAX] + "...", file, line]
            for name, file, line in frames[:FRAMES_MAX]]


@unittest.skipUnless(platform.machine() == "x86_64", "Python frames are read on x86-64 only")
class Frames(LiveTest):
    stores_used = ()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pythons = pythons()

    def setUp(self):
        super().setUp()
        self.silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.silent.close)
        self.port = self.silent.getsockname()[1]

    def with_each_python(self, check):
        for version in VERSIONS:
            with self.subTest(python="%d.%d" % version):
                if version not in self.pythons:
                    self.skipTest("no CPython %d.%d with _asyncio here" % version)
                check(self.pythons[version])

    def workload(self, python, *words):
        return self.started(Workload(python, str(self.port), self.directory, *words))

    def stuck(self, workload, *options):
        """run_error.json of the workload, and its threads by the names they have in the truth."""
        observer = self.watch(workload.pid, "--stuck-timeout", "0.01", "--storage", f"L1=127.0.0.1:{self.port}",
                              *options)
        error = wait_until(lambda: os.path.exists(observer.path("run_error.json")) and observer.run_error(),
                           what="run_error.json")
        workload.stop()
        self.assertEqual(observer.wait(), EXIT_STALLED, observer.describe())
        self.assertNotIn("threads.python", error["unseen"])
        tids = {t["tid"]: name for name, t in workload.truth.items()}
        return error, {tids[t["tid"]]: t for t in error["threads"]}

    def check_waiting(self, workload, threads):
        for name in WAITING:
            thread = threads[name]
            got = [[f["function"], f["file"], f["line"]] for f in thread["python"]]
            self.assertEqual(got, shown(workload.truth[name]["frames"]), name)
            self.assertEqual(thread.get("python_cut"), True if name == "recursion" else None, name)
            self.assertNotIn("python_torn", thread, name)
            self.assertIsNone(thread["gil"], name)

    def test_waiting_threads_are_where_they_say_they_are(self):
        self.with_each_python(self.check_busy)

    def check_busy(self, python):
        workload = self.workload(python, "busy")
        _, threads = self.stuck(workload)
        self.check_waiting(workload, threads)
        frames = [(f["function"], f["file"]) for f in threads["busy"]["python"]]
        self.assertEqual(frames[0], ("busy", SCRIPT))
        self.assertTrue(frames[-1][0].endswith("_bootstrap"), frames)
        self.assertTrue(threads["busy"]["python_torn"])  # the line is one it was at, not where it is

    def test_who_holds_the_interpreters_lock_and_who_waits_for_it(self):
        self.with_each_python(self.check_gil)

    def check_gil(self, python):
        workload = self.workload(python, "gil")
        workload.say()
        wait_until(lambda: workload.in_call("holds_gil") == CLOCK_NANOSLEEP and workload.in_call("wants_gil") == FUTEX,
                   what="a thread that sleeps with the lock")
        _, threads = self.stuck(workload)
        self.assertEqual(threads["holds_gil"]["gil"], "holds")
        self.assertEqual(threads["holds_gil"]["python"][0]["function"], "holds_gil")
        self.assertEqual(threads["wants_gil"]["gil"], "waits")
        self.assertEqual(threads["wants_gil"]["python"][0]["function"], "wants_gil")

    def test_a_replay_has_the_same_frames_scrubbed_or_not(self):
        recording, scrubbed = (os.path.join(self.directory, name) for name in ("run.rec", "scrubbed.rec"))
        error, _ = self.stuck(self.workload(harness.PYTHON), "--record", recording)
        self.assertNotIn("CANARY", json.dumps(error["threads"]))
        status, _, err = harness.tool("replay", recording, "--scrub", scrubbed)
        self.assertEqual(status, 0, err)
        for path in (recording, scrubbed):
            directory = self.new_dir()
            harness.tool("replay", path, "-o", directory)
            with open(os.path.join(directory, "run_error.json")) as f:
                again = json.load(f)
            for one, other in zip(error["threads"], again["threads"]):
                self.assertEqual(one["python"], other["python"])
            self.assertEqual(len(error["threads"]), len(again["threads"]))


if __name__ == "__main__":
    harness.main()
