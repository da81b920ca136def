#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What a look sees of a tree besides threads and sockets: facts, locks, names, processes that ended; and one that lets nobody
look."""
import collections
import json
import os
import struct
import subprocess
import sys
import unittest

import harness
from harness import TURNS_S, WORKLOAD, LiveTest, Process, wait_until

# bpf/event.h
PROCESS, ACTIVITY, THREAD, SNAPSHOT, LOCK, FACT, NAME, MISSING = 3, 15, 16, 18, 30, 31, 32, 33
SEEDED, BEGIN = 1, 1 << 6
FDS, FORKED, TRACER, EXIT_STATUS, NSPID, WRITTEN, READ, CPU_NS, MEMORY = range(1, 10)
OOM_KILLED = 11
AF_INET = 2
BLOCKED_SINCE_NS = 50_000_000  # the promise

Row = collections.namedtuple("Row", "pid tid ts body")


def records(path):
    with open(path, "rb") as f:
        data = f.read()
    at = 0
    while at + 24 <= len(data):
        size, kind, flags, ts, pid, tid = struct.unpack_from("<IHHQII", data, at)
        if size < 24 or at + size > len(data):
            return
        yield kind, flags, Row(pid, tid, ts, data[at + 24:at + size])
        at += size


def looks(path):
    """Each complete snapshot: type -> rows."""
    look = None
    for kind, flags, row in records(path):
        if kind == SNAPSHOT and flags & BEGIN:
            look = collections.defaultdict(list)
        elif kind == SNAPSHOT and look is not None:
            look["took_ns"] = row.ts - look["began"]
            yield look
            look = None
        elif look is not None and (kind != ACTIVITY or flags & SEEDED):
            look[kind].append(row)
        if look is not None:
            look.setdefault("began", row.ts)


def facts(look, pid):
    return {struct.unpack_from("<I", r.body)[0]: struct.unpack_from("<QQ", r.body, 8) for r in look[FACT] if r.pid == pid}


def locks(look, ino):
    """pid -> (waits, path)"""
    out = {}
    for r in look[LOCK]:
        _, of, _, _, _, _, waits = struct.unpack_from("<QQIIIBB", r.body)
        if of == ino:
            out[r.pid] = (bool(waits), r.body[32:].decode())
    return out


def threads(look):
    """tid -> (state, blocked since, name)"""
    return {r.tid: (chr(r.body[80]), struct.unpack_from("<Q", r.body)[0], r.body[216:].split(b"\0")[0].decode())
            for r in look[THREAD]}


def missing(look, pid):
    return {r.body[8:].split(b"\0")[0].decode() for r in look[MISSING] if r.pid == pid}


class Tree(Process):
    def __init__(self, script, *arguments, env=None):
        super().__init__([sys.executable, "-B", os.path.join(WORKLOAD, script), *arguments], env=env)
        line = self.out.wait_for(lambda x: '"ready"' in x, TURNS_S)
        if not line:
            status = self.p.wait(5)
            if status == 77:
                raise unittest.SkipTest("no FUSE here")
            raise AssertionError("does not start: " + self.describe())
        self.truth = json.loads(line)


class Evidence(LiveTest):
    stores_used = ()

    def look(self, pid):
        """The newest snapshot of a watch, all of them."""
        recording = os.path.join(self.directory, "run.rec")
        observer = self.watch(pid, "--stuck-timeout", "0.01", "--record", recording)
        wait_until(lambda: os.path.exists(observer.path("run_error.json")), what="run_error.json")
        observer.interrupt()
        return list(looks(recording))

    def group(self):
        """A memory control group (version 1 or 2) with a limit of 30 MB, None where none can be made."""
        for top, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
            path = os.path.join(top, f"whystuck-{os.getpid()}")
            try:
                os.mkdir(path)
            except OSError:
                continue
            self.addCleanup(os.rmdir, path)
            try:
                with open(os.path.join(path, limit), "w") as f:
                    f.write(str(30 << 20))
                return path
            except OSError:
                continue
        return None

    def test_facts_locks_names_and_processes_that_ended(self):
        env = dict(os.environ, CACHE_URL="redis://me:CANARY@localhost:6390/0?x=CANARY", GRAPH_HOST="10.1.2.3", GRAPH_PORT="7")
        group = self.group()
        tree = self.started(Tree("evidence.py", self.directory, *([group] if group else []), env=env))
        self.check(tree, self.look(tree.pid)[-1])
        with open(os.path.join(self.directory, "run.rec"), "rb") as f:
            self.assertNotIn(b"CANARY", f.read())

    def check(self, tree, look):
        truth, pid = tree.truth, tree.pid
        of_main, of_waiter = facts(look, pid), facts(look, truth["waiter"])
        self.assertEqual(of_main[FDS], (truth["fds"], 777))
        self.assertEqual((of_main[FORKED][0], of_waiter[FORKED][0]), (0, 1))
        self.assertEqual((of_main[TRACER][0], of_main[NSPID][0]), (0, pid))
        self.assertGreaterEqual(of_main[WRITTEN][0], len(tree.out.all[0]))
        self.assertGreater(of_main[READ][0], 0)
        self.assertGreaterEqual(of_main[CPU_NS][0], truth["thread"]["cpu_ns"] - 20_000_000)  # counted in ticks

        self.assertEqual(locks(look, truth["ino"]), {pid: (False, truth["path"]), truth["waiter"]: (True, truth["path"])})
        self.assertEqual(locks(look, truth["ofd_ino"])[pid], (False, truth["ofd_path"]))

        rows = threads(look)
        for name, status in (("ended", 7 << 8), ("killed", 9), ("hog", 9)):
            if truth[name]:
                self.assertEqual(rows[truth[name]][0], "Z", name)
                self.assertEqual(facts(look, truth[name])[EXIT_STATUS][0], status, name)
                self.assertIn(truth[name], [r.pid for r in look[PROCESS]])
        self.assertEqual([OOM_KILLED in facts(look, truth[name]) for name in ("ended", "killed")], [False, False])
        if truth["hog"]:
            self.assertIn(OOM_KILLED, facts(look, truth["hog"]))

        thread = truth["thread"]
        self.assertAlmostEqual(rows[thread["tid"]][1], thread["asleep_ns"], delta=BLOCKED_SINCE_NS)
        cpu = {r.tid: struct.unpack_from("<Q", r.body, 40)[0] for r in look[ACTIVITY]}
        self.assertAlmostEqual(cpu[thread["tid"]], thread["cpu_ns"], delta=BLOCKED_SINCE_NS)

        names = {tuple(r.body[24:].decode().split("\0")): (struct.unpack_from("<IHB", r.body)[1:], r.body[7 + 1:12])
                 for r in look[NAME] if r.pid == pid}
        self.assertEqual(names[("localhost", "redis", "CACHE_URL")], ((6390, AF_INET), bytes([127, 0, 0, 1])))
        self.assertEqual(names[("10.1.2.3", "", "GRAPH_HOST")], ((7, AF_INET), bytes([10, 1, 2, 3])))

    def test_a_process_that_lets_nobody_read_its_memory_costs_its_own_rows_only(self):
        mount = os.path.join(self.directory, "mount")
        os.mkdir(mount)
        self.addCleanup(subprocess.run, ["umount", "-l", mount], stderr=subprocess.DEVNULL)
        tree = self.started(Tree("wedged.py", mount))
        look = self.look(tree.pid)[-1]
        wedged, rows = tree.truth["pid"], threads(look)
        self.assertEqual(rows[wedged][0], "D")
        self.assertLessEqual({"command", "arguments", "names", "python_frames"}, missing(look, wedged))
        self.assertLess(abs(rows[wedged][1] - tree.truth["at_ns"]), 1_000_000_000)
        self.assertEqual(missing(look, tree.pid), set())
        command = next(r.body[16:] for r in look[PROCESS] if r.pid == tree.pid)
        self.assertIn(b"wedged.py", command)
        tree.say()
        self.assertEqual(tree.wait(), 0)


if __name__ == "__main__":
    harness.main()
