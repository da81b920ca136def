#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What asyncio tasks await, and what HTTP clients were asked for, in every CPython there is to try."""
import json
import os
import platform
import re
import socket
import struct
import unittest

import harness
from harness import PYTHON, ROOT, TURNS_S, WORKLOAD, LiveTest, Process, canary, tool
from test_asyncio import pythons

VERSIONS = [(3, n) for n in range(8, 16)]  # what loader/python_tasks.c reads
TASKS_MAX = 2000                           # there, too
RUNNING = 16                               # FRAMES_RUNNING
HEADER = struct.Struct("=IHHQII")          # struct event
CLIENTS = {"urllib", "urllib of a text", "http.client"}  # of the standard library
INSTALLED = CLIENTS | {"requests", "urllib3", "httpx", "redis", "async httpx", "aiohttp", "async redis"}


def event_types():
    """Name -> number, as enum event_type of bpf/event.h has them."""
    with open(os.path.join(ROOT, "bpf", "event.h")) as f:
        return {name: i + 1 for i, name in enumerate(re.findall(r"^\t(EV_\w+)(?: = 1)?,", f.read(), re.M))}


def records(path):
    """The recording's records: (type, tid, what follows the header)."""
    names = {number: name for name, number in event_types().items()}
    with open(path, "rb") as f:
        data = f.read()
    at = 0
    while at < len(data):
        size, kind, _, _, _, tid = HEADER.unpack_from(data, at)
        yield names[kind], tid, data[at + HEADER.size:at + size]
        at += size


class Workload(Process):
    def __init__(self, python, script, *arguments):
        super().__init__([python, "-B", os.path.join(WORKLOAD, script), *arguments])
        line = self.out.wait_for(lambda x: '"ready"' in x, TURNS_S)
        if not line:
            raise AssertionError("does not start: " + self.describe())
        self.truth = json.loads(line)


@unittest.skipUnless(platform.machine() == "x86_64", "Python frames are read on x86-64 only")
class PythonTest(LiveTest):
    stores_used = ()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pythons = pythons()

    def with_each_python(self, check):
        for version in VERSIONS:
            with self.subTest(python="%d.%d" % version):
                if version not in self.pythons:
                    self.skipTest("no CPython %d.%d with _asyncio here" % version)
                check(self.pythons[version])

    def look(self, workload):
        """The records of a look at the workload."""
        path = os.path.join(self.directory, f"look{next(self.counter)}.rec")
        status, _, err = tool(str(workload.pid), "--json", "--record", path)
        self.assertIn(status, (0, 3, 4), err)
        return list(records(path))

    def missing(self, rows):
        """Why tasks are missing, None: they are not."""
        for kind, _, body in rows:
            if kind == "EV_MISSING" and body[8:].startswith(b"tasks\0"):
                return body[8:].split(b"\0")[1].decode()
        return None


class Tasks(PythonTest):
    def tasks(self, rows):
        out = {}
        for kind, tid, body in rows:
            if kind != "EV_TASK":
                continue
            task, flags, _ = struct.unpack_from("=QII", body)
            name, awaits, frames = body[16:].decode().split("\0")
            lines = [line.split("\t") for line in frames.splitlines()]
            out[str(task)] = {"name": name, "awaits": awaits, "tid": tid, "flags": flags,
                              "frames": [[function, file, int(line)] for function, file, line in lines]}
        return out

    def test_tasks_await_what_they_say_they_await(self):
        self.with_each_python(self.check_tasks)

    def check_tasks(self, python):
        workload = self.started(Workload(python, "tasks.py"))
        rows = self.look(workload)
        workload.stop()
        got, truth = self.tasks(rows), workload.truth
        self.assertIsNone(self.missing(rows))
        self.assertFalse(set(got) & set(truth["done"]), "one that is done is shown")
        self.assertEqual(set(got), set(truth["tasks"]))
        for task, want in truth["tasks"].items():
            want["name"] = want["name"].replace("\n", "?")
            want["flags"] = RUNNING if task == truth["running"] else 0
            self.assertEqual(got[task], want)

    def test_more_tasks_than_are_shown_are_counted(self):
        workload = self.started(Workload(PYTHON, "tasks.py", str(TASKS_MAX)))
        rows = self.look(workload)
        workload.stop()
        self.assertEqual(len(self.tasks(rows)), TASKS_MAX)
        more = len(workload.truth["tasks"]) - TASKS_MAX
        self.assertIn(f"{more} more asyncio tasks than the {TASKS_MAX} shown", self.missing(rows))


class Requests(PythonTest):
    def setUp(self):
        super().setUp()
        self.silent = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.addCleanup(self.silent.close)
        self.port = self.silent.getsockname()[1]

    def requests(self, rows):
        """(thread, "0") or (0, task) -> (method, URL), and the bytes of all."""
        out, raw = {}, b""
        for kind, tid, body in rows:
            if kind == "EV_REQUEST":
                task, = struct.unpack_from("=Q", body)
                out[(0 if task else tid, str(task))] = tuple(body[8:].decode().split("\0"))
                raw += body
        return out, raw

    def check_requests(self, python, clients):
        workload = self.started(Workload(python, "asks.py", str(self.port)))
        rows = self.look(workload)
        workload.stop()
        asks = workload.truth["asks"]
        self.assertLessEqual(clients, set(asks))
        got, raw = self.requests(rows)
        want = {(0 if a["task"] != "0" else a["tid"], a["task"]): (a["method"], a["url"]) for a in asks.values()}
        self.assertEqual(got, want)
        self.assertFalse(canary.found(raw))
        self.assertNotIn(canary.COMMON.encode().lower(), raw.lower())

    def test_the_standard_librarys_clients(self):
        self.with_each_python(lambda python: self.check_requests(python, CLIENTS))

    def test_clients_of_others_in_threads_and_tasks(self):
        self.check_requests(PYTHON, INSTALLED)


if __name__ == "__main__":
    harness.main()
