#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The observer is killed at a hundred random moments: files stay whole, the target goes on, nothing of it is left.

WHYSTUCK_SEED repeats the moments of an earlier run, which says its seed.
"""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import harness
from compare import TurnsTest, metrics_files, read_lines
from harness import EXIT_OK, EXIT_S, Observer, wait_until

KILLS = 100
FIELDS = {"schema", "timestamp", "session_id", "turn_index", "turn_id", "wall_ms", "status"}
OPTIONS = ("--rotate-size", "4096", "--rotate-keep", "1000", "--calls")


def unheld():
    """Ids of BPF programs and links that no process holds."""
    out = set()
    for kind in ("prog", "link"):
        shown = subprocess.run([BPFTOOL, "-j", kind, "show"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               check=True).stdout
        out |= {(kind, x["id"]) for x in json.loads(shown or "[]") if not x.get("pids")}
    return out


BPFTOOL = shutil.which("bpftool") or "/usr/sbin/bpftool"


class Crash(TurnsTest):
    def lines_whole(self, directory):
        """Every file: JSON, line by line where it has lines; what is left half-way has a name that says so. The
        lines of turn_metrics.jsonl, rotated ones included."""
        if not os.path.isdir(directory):
            return []
        for leaf in os.listdir(directory):
            path = os.path.join(directory, leaf)
            if leaf.endswith(".tmp"):
                continue
            if ".jsonl" in leaf:
                for line in read_lines(path):
                    json.loads(line)
            else:
                with open(path) as f:
                    json.load(f)
        lines = [line for path in metrics_files(directory) for line in read_lines(path)]
        for line in lines:
            self.assertLessEqual(FIELDS, set(json.loads(line)), line)
        return lines

    def killed(self, observer, after):
        """Waits so long, kills it, and is sure that it had not ended before."""
        try:
            status = observer.p.wait(after)
            self.fail(f"ended by itself with {status}: {observer.describe()}")
        except subprocess.TimeoutExpired:
            observer.signal(signal.SIGKILL)
        self.assertEqual(observer.wait(EXIT_S), -signal.SIGKILL)

    def check_nothing_left(self, before):
        """Programs nobody holds are on their way out, ours or others': all that are there now will be gone."""
        left = unheld() - before

        def gone():
            left.intersection_update(unheld())
            return not left
        wait_until(gone, what=f"BPF programs and links that nobody holds are gone ({left})")

    def test_killed_at_a_hundred_random_moments(self):
        seed = int(os.environ.get("WHYSTUCK_SEED") or random.SystemRandom().randrange(1 << 32))
        print(f"# WHYSTUCK_SEED={seed}", file=sys.stderr)
        dice, directory, before = random.Random(seed), self.new_dir(), unheld()
        server = self.server("latency=5,words=4", plain=True)
        runner = self.runner(server, "--turns", "0", "--history", "8", "--pause", "3")
        runner.wait_event("turn")
        start, lines, grown = time.monotonic(), [], 0
        first = self.watch(runner.pid, *OPTIONS, directory=directory)
        attach = time.monotonic() - start
        self.assertEqual(first.interrupt(), EXIT_OK, first.describe())
        for n in range(KILLS):
            observer = self.started(Observer("watch", str(runner.pid), directory, *OPTIONS, wait=False))
            self.killed(observer, dice.uniform(0, 1.4 * attach))
            self.assertTrue(runner.running(), runner.describe())
            now = self.lines_whole(directory)
            self.assertEqual(now[:len(lines)], lines, f"kill {n}: what was written stays")
            grown += len(now) > len(lines)
            lines = now
            if n % 20 == 19:
                self.check_nothing_left(before)
        self.assertGreater(grown, KILLS // 20, "some lived long enough to write")

        observer = self.watch(runner.pid, *OPTIONS, directory=directory)
        done = len(runner.turns())
        wait_until(lambda: len(runner.turns()) > done + 10, what="the target goes on")
        self.assertEqual(observer.interrupt(), EXIT_OK, observer.describe())
        now = self.lines_whole(directory)
        self.assertEqual(now[:len(lines)], lines)
        self.assertGreaterEqual(len(now), len(lines) + 10, "a new watch goes on")
        self.assertGreater(len(metrics_files(directory)), 3, "files were rotated meanwhile")
        self.assertFalse([x for x in os.listdir(directory) if x.endswith(".tmp")], "what was left half-way is cleared")

        runner.signal(signal.SIGTERM)
        self.assertEqual(runner.wait(), 0, runner.describe())
        self.assertEqual({t["status"] for t in runner.turns()}, {"ok"})
        self.assertEqual(sum(t["retries"] for t in runner.turns()), 0, "no call of the target was disturbed")
        self.check_nothing_left(before)


if __name__ == "__main__":
    harness.main()
