#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""turn_metrics.jsonl by size and by number: rotated, sampled, and on a disk that is full for a while."""
import contextlib
import errno
import os
import re
import subprocess

import harness
from compare import TurnsTest, all_turns, metrics_files, read_lines
from harness import EXIT_ERROR, TURNS_S

PLAN = "latency=1"
SIZE = 8192
DISK = 96 << 10


class Rotate(TurnsTest):
    stores_used = ("redis",)

    def linelog(self, *options, turns=40, sessions=2):
        workload, observer = self.watched("linelog.py", "--sessions", str(sessions), "--turns", str(turns), "--quiet",
                                          server=self.server(PLAN, plain=True), options=options, postgres=False)
        return workload.turns(), observer

    def indexes(self, turns):
        out = {}
        for t in turns:
            out.setdefault(t["session_id"], []).append(t["turn_index"])
        return out

    def test_nothing_is_lost_across_rotation(self):
        truth, observer = self.linelog("--rotate-size", str(SIZE), "--rotate-keep", "1000")
        files = metrics_files(observer.dir)
        self.assertGreater(len(files), 3)
        self.assertTrue(all(path.endswith(".gz") for path in files[:-1]), files)
        self.assertFalse([x for x in os.listdir(observer.dir) if x.endswith(".tmp")])
        turns = all_turns(observer.dir)
        self.assertEqual([t["turn_id"] for t in turns], sorted(t["turn_id"] for t in turns))
        self.assertEqual(sorted(map(len, self.indexes(turns).values())), [len(truth) // 2] * 2)
        for indexes in self.indexes(turns).values():
            self.assertEqual(indexes, list(range(len(indexes))))
        for path in files:
            self.assertLessEqual(sum(len(x) + 1 for x in read_lines(path)), SIZE, path)
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600, path)
        self.assertEqual(observer.summary()["turns"], len(truth))

    def test_so_many_rotated_files_are_kept_the_newest(self):
        truth, observer = self.linelog("--rotate-size", str(SIZE), "--rotate-keep", "2")
        self.assertEqual(len(metrics_files(observer.dir)), 3)
        turns = all_turns(observer.dir)
        self.assertLess(len(turns), len(truth))
        ids = [t["turn_id"] for t in turns]
        self.assertEqual(ids, list(range(len(truth) - len(ids) + 1, len(truth) + 1)))
        self.assertEqual(observer.summary()["turns"], len(truth), "the summary has them all")

    def test_a_new_watch_goes_on_where_the_files_are(self):
        directory, lines = self.new_dir(), 0
        for _ in range(2):
            workload = self.workload("linelog.py", "--quiet", "--turns", "20", server=self.server(PLAN, plain=True),
                                     postgres=False)
            observer = self.watch(workload.pid, "--rotate-size", str(SIZE), "--rotate-keep", "1000",
                                  directory=directory)
            workload.say()
            self.finished(workload, observer)
            lines += len(workload.turns())
            self.assertEqual(len(all_turns(directory)), lines)

    def test_every_nth_ok_turn_is_written(self):
        truth, observer = self.linelog("--sample", "4", sessions=1)
        self.assertEqual(len(observer.turns()), len(truth) // 4)
        steps = self.indexes(observer.turns()).popitem()[1]
        self.assertEqual({b - a for a, b in zip(steps, steps[1:])}, {4})
        self.assertEqual(observer.summary()["turns"], len(truth))

    def test_turns_that_failed_are_always_written(self):
        faults = ["429" if n % 5 == 3 else "500" if n % 5 == 4 else "none" for n in range(20)]
        workload, observer = self.watched("retry.py", "sdk", "--retries", "0", "--faults", "/".join(faults),
                                          server=self.server(PLAN, plain=True), options=("--sample", "6"),
                                          postgres=False)
        failed = [t["turn"] for t in workload.turns() if t["status"] != "ok"]
        self.assertEqual(len(failed), 8)
        turns = observer.turns()
        self.assertEqual([t["turn_index"] for t in turns if t["status"] != "ok"], failed)
        self.assertEqual(sum(t["status"] == "ok" for t in turns), (len(faults) - len(failed)) // 6)
        self.assertEqual(observer.summary()["turns"], len(faults))

    # ------------------------------------------------------------ a full disk

    def small_disk(self):
        path = os.path.join(self.directory, f"disk{next(self.counter)}")
        os.mkdir(path)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "whystuck-test", path], check=True,
                       stdin=subprocess.DEVNULL)
        self.addCleanup(subprocess.run, ["umount", path], check=True, stdin=subprocess.DEVNULL)
        return path

    def written(self, directory):
        """Lines there now; a file may be renamed while one looks."""
        with contextlib.suppress(FileNotFoundError):
            return len(all_turns(directory))
        return 0

    def fill(self, disk):
        path = os.path.join(disk, "filler")
        fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            while True:
                os.write(fd, b"x" * 512)
        except OSError as exc:
            self.assertEqual(exc.errno, errno.ENOSPC)
        finally:
            os.close(fd)
        return path

    def test_what_a_full_disk_refuses_is_counted_and_said_when_room_returns(self):
        for options in ((), ("--rotate-size", "4096", "--rotate-keep", "1000")):
            with self.subTest(options=options):
                disk = self.small_disk()
                runner = self.runner(self.server(PLAN, plain=True), "--turns", "48", "--gate",
                                     "start,turn:8,turn:40", stores=False)
                directory = os.path.join(disk, "out")
                observer = self.watch(runner.pid, *options, directory=directory)
                runner.open_gate("start")
                runner.wait_event("gate", name="turn:8")
                harness.wait_until(lambda: self.written(directory) >= 7, what="the first lines")
                filler = self.fill(disk)
                runner.say()
                full = observer.err.wait_for(lambda x: "turn_metrics.jsonl" in x or os.strerror(errno.ENOSPC) in x,
                                             TURNS_S)
                self.assertTrue(full, observer.describe())
                runner.wait_event("gate", name="turn:40")
                os.unlink(filler)
                runner.say()
                back = observer.err.wait_for(lambda x: re.search(r"\b\d+ (lines?|turns?)\b", x), TURNS_S)
                self.assertEqual(runner.wait(TURNS_S), 0, runner.describe())
                self.assertEqual(observer.wait(), EXIT_ERROR, observer.describe())
                lines = all_turns(directory)
                missing = len(runner.turns()) - len(lines)
                self.assertGreater(missing, 0, "the disk was full")
                self.assertEqual(observer.summary()["coverage"]["turns_unwritten"], missing)
                self.assertTrue(back and re.search(rf"\b{missing} (lines?|turns?)\b", back),
                                f"{missing} were lost: {observer.describe()}")
                indexes = [t["turn_index"] for t in lines]
                self.assertEqual(indexes, sorted(set(indexes)))
                self.assertEqual((indexes[:7], indexes[-1]), (list(range(7)), 47), "before and after, all")


if __name__ == "__main__":
    harness.main()
