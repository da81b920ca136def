#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A recording says again, byte for byte, all that was said live: without root, without the target."""
import os
import shutil

import harness
from harness import EXIT_OK, EXIT_STALLED, LiveTest, tool, wait_until

FILES = ("turn_metrics.jsonl", "runstats.json", "run_error.json")
NOBODY = "nobody"


class Replay(LiveTest):
    def replay(self, recording, *options, user=None, status=EXIT_OK):
        directory = self.new_dir()
        if user:
            os.mkdir(directory)
            shutil.chown(directory, user)
        got = tool("replay", "-o", directory, "--progress", "none", *options, recording, user=user)
        self.assertEqual(got[0], status, got)
        return directory

    def check_same(self, one, other):
        for name in FILES:
            a, b = os.path.join(one, name), os.path.join(other, name)
            self.assertEqual(os.path.exists(a), os.path.exists(b), name)
            if os.path.exists(a):
                with open(a, "rb") as f, open(b, "rb") as g:
                    self.assertEqual(f.read(), g.read(), name)

    def recorded(self, *arguments, options=()):
        recording = os.path.join(self.directory, f"run{next(self.counter)}.rec")
        server = self.server()
        _, observer = self.watch_run(server, *arguments, options=["--record", recording, *options])
        return recording, observer

    def test_a_run_replays_to_the_same_files(self):
        for arguments in (("--turns", "5", "--sessions", "2"),
                          ("--mode", "threads", "--sessions", "4", "--turns", "3", "--api", "anthropic-stream"),
                          ("--mode", "asyncio", "--client", "aiohttp", "--sessions", "3", "--turns", "3", "--api",
                           "openai-stream", "--plan", "gzip=stream"),
                          ("--turns", "3", "--plan", "fault=429:1,retry_after=0.1")):
            with self.subTest(arguments=arguments):
                recording, observer = self.recorded(*arguments, options=self.named_storage())
                self.assertTrue(observer.turns())
                self.check_same(observer.dir, self.replay(recording))

    def stalled(self):
        """A run that hung, was reported, went on and ended: (recording, observer)."""
        recording = os.path.join(self.directory, "stalled.rec")
        server = self.server()
        runner = self.runner(server, "--turns", "3", "--hang", "llm", "--gate", "start")
        observer = self.watch(runner.pid, "--record", recording, "--stuck-timeout", "0.05", "--on-stuck", "true")
        runner.open_gate("start")
        wait_until(lambda: os.path.exists(observer.path("run_error.json")), 20, "run_error.json")
        server.release()
        self.assertEqual(runner.wait(), 0)
        self.assertEqual(observer.wait(), EXIT_STALLED, observer.describe())
        return recording, observer

    def test_a_stall_and_its_diagnosis_replay(self):
        recording, observer = self.stalled()
        self.check_same(observer.dir, self.replay(recording, status=EXIT_STALLED))

    def test_a_replay_runs_no_alert_and_stops_nothing(self):
        mark = os.path.join(self.directory, "mark")
        recording, _ = self.stalled()
        directory = self.new_dir()
        got = tool("replay", "-o", directory, "--progress", "none", "--on-stuck", f"touch {mark}", recording)
        self.assertIn(got[0], (EXIT_STALLED, harness.EXIT_USAGE), got)
        self.assertFalse(os.path.exists(mark))

    def test_a_replay_needs_no_root(self):
        recording, observer = self.recorded("--turns", "3")
        shutil.chown(recording, NOBODY)
        self.check_same(observer.dir, self.replay(recording, user=NOBODY))

    def test_a_replay_does_not_touch_the_recording(self):
        recording, _ = self.recorded("--turns", "2")
        with open(recording, "rb") as f:
            before = f.read()
        self.replay(recording)
        with open(recording, "rb") as f:
            self.assertEqual(before, f.read())

    def test_a_scrubbed_recording_replays_to_the_same_files(self):
        for arguments in (("--turns", "4", "--tools", "1"),
                          ("--turns", "3", "--api", "openai-stream", "--plan", "gzip=stream"),
                          ("--turns", "3", "--api", "gemini-array-stream"),
                          ("--turns", "3", "--api", "ollama", "--plan", "framing=chunked")):
            with self.subTest(arguments=arguments):
                recording, observer = self.recorded(*arguments)
                scrubbed = recording + ".scrubbed"
                self.replay(recording, "--scrub", scrubbed)
                self.check_same(observer.dir, self.replay(scrubbed))
                again = scrubbed + ".again"
                self.replay(scrubbed, "--scrub", again)
                self.check_same(observer.dir, self.replay(again))


if __name__ == "__main__":
    harness.main()
