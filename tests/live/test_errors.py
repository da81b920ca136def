#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Whatever is wrong is said once, in a sentence that helps; the target never pays for it."""
import json
import os
import random
import subprocess
import unittest

import harness
from harness import EXIT_ERROR, EXIT_OK, EXIT_USAGE, LiveTest, tool

CRASH = range(-64, 0)  # killed by a signal


class Errors(LiveTest):
    """Root, but nothing to observe."""
    stores_used = ()

    def refused(self, *arguments, status=EXIT_ERROR, says=(), **kw):
        got = tool(*arguments, **kw)
        self.assertEqual(got[0], status, got)
        self.assertLessEqual(len(got[2].strip().splitlines()), 12, got)
        for text in says:
            self.assertIn(text.lower(), got[2].lower())
        self.assertNotIn("AddressSanitizer", got[2])
        return got[2]

    def test_a_process_that_is_not_there(self):
        child = subprocess.Popen(["true"])
        child.wait()
        self.refused("watch", "-o", self.new_dir(), str(child.pid), says=[str(child.pid), "no such process"])

    def test_a_zombie(self):
        child = subprocess.Popen(["true"])
        self.addCleanup(child.wait)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        self.refused("watch", "-o", self.new_dir(), str(child.pid), says=[str(child.pid)])

    def test_a_kernel_thread(self):
        try:
            with open("/proc/2/comm", encoding="utf-8") as f:
                if f.read().strip() != "kthreadd":
                    raise unittest.SkipTest("no kernel threads in this PID namespace")
        except OSError:
            raise unittest.SkipTest("no kernel threads in this PID namespace") from None
        self.refused("watch", "-o", self.new_dir(), "2", says=["kernel thread"])

    def test_not_root(self):
        child = subprocess.Popen(["sleep", "60"])
        self.addCleanup(lambda: (child.kill(), child.wait()))
        os.chmod(self.directory, 0o777)
        said = self.refused("watch", "-o", self.new_dir(), str(child.pid), user="nobody")
        self.assertRegex(said, r"root|sudo|privilege")
        self.assertIsNone(child.poll())

    def test_malformed_commands_are_usage_errors_that_name_the_culprit(self):
        pid = str(os.getpid())
        for arguments, culprit in ((("watch",), "watch"), (("watch", "x"), "x"), (("watch", "0"), "0"),
                                   (("watch", "-5"), "5"), (("watch", "99999999999999999999"), "999"),
                                   (("wach", pid), "wach"), (("run",), "run"),
                                   (("run", "--"), "run"), (("replay",), "replay"),
                                   (("watch", pid, "--stuck-timeout", "abc"), "abc"),
                                   (("watch", pid, "--stuck-timeout", "-1"), "stuck-timeout"),
                                   (("watch", pid, "--stuck-timeout", "nan"), "stuck-timeout"),
                                   (("watch", pid, "--stuck-timeout", "1e3"), "stuck-timeout"),
                                   (("watch", pid, "--stuck-timeout"), "stuck-timeout"),
                                   (("watch", pid, "--total", "0x10"), "total"),
                                   (("watch", pid, "--progress", "fancy"), "fancy"),
                                   (("watch", pid, "--turns", "moon"), "moon"),
                                   (("watch", pid, "--storage", "noequals"), "storage"),
                                   (("watch", pid, "--storage", "L1=h:99999"), "storage"),
                                   (("watch", pid, "--llm", ""), "llm"),
                                   (("watch", pid, "--stop=SIGWHAT"), "SIGWHAT"),
                                   (("watch", pid, "--no-such-option"), "no-such-option"),
                                   (("watch", pid, "-Z"), "Z")):
            with self.subTest(arguments=arguments):
                self.refused(*arguments, status=EXIT_USAGE, says=[culprit])

    def test_malformed_environment_is_named(self):
        for name, value in (("MAS_BENCH_STUCK_TIMEOUT_MINUTES", "soon"), ("MAS_BENCH_STUCK_TIMEOUT_MINUTES", "-3"),
                            ("LOG_LEVEL", "LOUD")):
            with self.subTest(name=name, value=value):
                self.refused("watch", "-o", self.new_dir(), str(os.getpid()), status=EXIT_USAGE, says=[name, value],
                             env={name: value})

    def test_control_characters_in_arguments_do_not_reach_the_terminal(self):
        got = tool("watch", "\x1b[31mred\x07")
        self.assertEqual(got[0], EXIT_USAGE, got)
        self.assertNotRegex(got[1] + got[2], "[\x00-\x08\x0b-\x1f]")

    def test_help_and_version_work_for_anybody(self):
        for arguments in (("--help",), ("--version",), ("watch", "--help"), ("run", "--help"), ("replay", "--help")):
            with self.subTest(arguments=arguments):
                got = tool(*arguments, user="nobody")
                self.assertEqual(got[0], EXIT_OK, got)
                self.assertTrue(got[1])

    def test_check_says_what_is_possible(self):
        for arguments in ((), (str(os.getpid()),)):
            got = tool("check", *arguments)
            self.assertIn(got[0], (EXIT_OK, EXIT_ERROR), got)
            self.assertTrue(got[1])
        got = tool("check", user="nobody")
        self.assertNotIn(got[0], CRASH, got)
        self.assertRegex(got[1] + got[2], r"root|sudo|privilege|CAP_")


class Output(LiveTest):
    stores_used = ()

    def test_an_unusable_output_directory_is_an_error_before_anything_starts(self):
        child = subprocess.Popen(["sleep", "60"])
        self.addCleanup(lambda: (child.kill(), child.wait()))
        in_the_way = os.path.join(self.directory, "file")
        with open(in_the_way, "w", encoding="utf-8"):
            pass
        for path in (in_the_way, os.path.join(in_the_way, "below"), "/proc/whystuck", "/sys/whystuck"):
            with self.subTest(path=path):
                got = tool("watch", "-o", path, str(child.pid))
                self.assertEqual(got[0], EXIT_ERROR, got)
                self.assertIn(path, got[2])
        self.assertIsNone(child.poll())

    def test_a_full_disk_is_said_and_no_line_is_half_written(self):
        mount = os.path.join(self.directory, "small")
        os.mkdir(mount)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", mount], stderr=subprocess.PIPE,
                              text=True, check=False)
        if done.returncode:
            self.skipTest(f"no tmpfs: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", mount], check=False)
        server = self.server("latency=2,spacing=0")
        runner = self.runner(server, "--turns", "60", "--gate", "start")
        observer = self.watch(runner.pid, directory=os.path.join(mount, "out"))
        runner.open_gate("start")
        self.assertEqual(runner.wait(), 0, runner.describe())
        self.assertEqual(observer.wait(), EXIT_ERROR, observer.describe())
        self.assertRegex(observer.said(), r"(?i)no space|full")
        self.assertLess(len(observer.said().splitlines()), 60, "it is said once, not for each turn")
        with open(observer.path("turn_metrics.jsonl"), "rb") as f:
            for line in f.read().splitlines(keepends=True):
                self.assertTrue(line.endswith(b"\n"))
                json.loads(line)

    def test_a_full_recording_is_said_and_the_watching_goes_on(self):
        server = self.server()
        runner = self.runner(server, "--turns", "3", "--gate", "start")
        observer = self.watch(runner.pid, "--record", "/dev/full", wait=False)
        if observer.err.wait_for(lambda x: "attached" in x, 10) is None:  # refused at once: as good
            self.assertEqual(observer.wait(), EXIT_ERROR)
            self.assertIn("/dev/full", observer.said())
            return
        runner.open_gate("start")
        self.assertEqual(runner.wait(), 0)
        self.assertEqual(observer.wait(), EXIT_ERROR, observer.describe())
        self.assertIn("/dev/full", observer.said())
        self.assertEqual(len(observer.turns()), 3)


class Recordings(LiveTest):
    stores_used = ()

    def replay(self, data):
        path, out = os.path.join(self.directory, "case.rec"), self.new_dir()
        with open(path, "wb") as f:
            f.write(data)
        return (*tool("replay", "-o", out, "--progress", "none", path), out)

    def test_files_that_are_no_recordings(self):
        for data in (b"", b"x", b"\0" * 24, b"\xff" * 4096, b'{"not": "a recording"}\n' * 50, os.urandom(5000)):
            with self.subTest(data=data[:16]):
                got = self.replay(data)
                self.assertEqual(got[0], EXIT_ERROR, got)
                self.assertIn("case.rec", got[2])
        for path in ("/nonexistent.rec", self.directory):
            self.assertEqual(tool("replay", "-o", self.new_dir(), path)[0], EXIT_ERROR)

    def test_a_recording_cut_anywhere_gives_what_it_holds_and_says_so(self):
        recording = os.path.join(self.directory, "run.rec")
        server = self.server()
        _, observer = self.watch_run(server, "--turns", "4", options=["--record", recording])
        with open(recording, "rb") as f:
            full = f.read()
        whole = observer.turns()
        dice = random.Random(1)
        for size in sorted(dice.sample(range(1, len(full)), 12)):
            with self.subTest(size=size):
                status, out, err, directory = self.replay(full[:size])
                self.assertIn(status, (EXIT_OK, EXIT_ERROR), err)
                self.assertRegex(err.lower(), r"trunc|cut|incomplete|ends|short|not a")
                path = os.path.join(directory, "turn_metrics.jsonl")
                turns = harness.read_turns(path) if os.path.exists(path) else []
                for got, want in zip(turns[:-1], whole):  # the last may have been open at the cut
                    self.assertEqual(got, want)

    def test_a_damaged_recording_never_crashes(self):
        recording = os.path.join(self.directory, "run.rec")
        server = self.server()
        self.watch_run(server, "--turns", "2", options=["--record", recording])
        with open(recording, "rb") as f:
            full = f.read()
        dice = random.Random(2)
        for case in range(20):
            data = bytearray(full)
            for _ in range(1 + case):
                data[dice.randrange(len(data))] = dice.randrange(256)
            status, out, err, _ = self.replay(bytes(data))
            self.assertNotIn(status, CRASH, err)
            self.assertNotIn("Sanitizer", err)


if __name__ == "__main__":
    harness.main()
