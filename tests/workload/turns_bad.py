# SPDX-License-Identifier: BSD-2-Clause
"""A runner that works, and turns bad in the middle of a turn: what was watched from before is what hangs.

usage: turns_bad.py CASE PORTS [--turns N] [--canaries --api-key KEY]
PORTS: JSON, the ports of hang_server.py by mode; `redis` for storage

A turn asks the LLM, does its work, and asks again with the result of a tool. On stdout JSON lines: ready; it starts when
a line comes on stdin; `turn` for each turn, with its true times; `hanging` right before the work of the last turn begins
to hang. SIGUSR1 ends the hang by an exception, as a user's own watchdog would: the turn ends, one more follows, then
`done`, and it leaves when another line comes. Only the standard library (but for storage).
"""
import argparse
import asyncio
import fcntl
import http.client
import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

import canary
from hang import die_with_parent, hanging, say

PATH = "/v1/chat/completions"
PAUSE_S = 0.05


class GoOn(Exception):
    """The hang is over."""


def go_on(*_):
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    raise GoOn


class Runner:
    def __init__(self, ports, canaries):
        self.ports = ports
        self.path = PATH + (f"?key={canary.WORDS['query']}" if canaries else "")
        self.prompt = canary.WORDS["prompt"] if canaries else "question"
        self.answers = self.connect("answer")
        self.said = []

    def connect(self, mode):
        return http.client.HTTPConnection("127.0.0.1", self.ports[mode])

    def ask(self, messages, connection=None, **more):
        """One request; its HTTP status."""
        connection = connection or self.answers
        connection.request("POST", self.path, json.dumps(dict(more, model="stand-in", messages=messages)),
                           {"Content-Type": "application/json"})
        reply = connection.getresponse()
        reply.read()
        return reply.status

    def turn(self, n, work):
        began, unix = time.monotonic(), time.time()
        messages = self.said + [{"role": "user", "content": f"{self.prompt} {n}"}]
        self.ask(messages)
        try:
            work(messages)
        except GoOn:
            pass
        self.ask(messages + [{"role": "assistant", "content": None, "tool_calls": [
            {"id": f"call_{n}", "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
                             {"role": "tool", "tool_call_id": f"call_{n}", "content": "found"}])
        self.said = messages + [{"role": "assistant", "content": "yes"}]
        say("turn", turn=n, wall_ms=(time.monotonic() - began) * 1000, unix_start=unix)

    # What the last turn's work is; each hangs until SIGUSR1.

    def deadlock(self, _):
        """Two locks taken in different order."""
        a, b, ready = threading.Lock(), threading.Lock(), threading.Event()

        def other():
            with b:
                ready.set()
                with a:
                    pass

        with a:
            threading.Thread(target=other, daemon=True).start()
            ready.wait()
            hanging("deadlock")
            b.acquire()

    def sleep(self, _):
        hanging("sleep", wakes=time.monotonic() + 3600)
        time.sleep(3600)

    def child(self, _):
        """A tool that sleeps."""
        p = subprocess.Popen(["sleep", "3600"], preexec_fn=die_with_parent)
        hanging("child", pid=p.pid, tid=p.pid)
        try:
            p.wait()
        finally:
            p.kill()
            p.wait()

    def pipe(self, _):
        """Writes to a pipe whose reader does not read."""
        r, w = os.pipe()
        reader = subprocess.Popen(["sleep", "3600"], stdin=r, preexec_fn=die_with_parent)
        os.close(r)
        hanging("pipe", other=reader.pid)
        try:
            while True:
                os.write(w, b"x" * 65536)
        finally:
            reader.kill()
            reader.wait()
            os.close(w)

    def lock(self, _):
        """A file lock that another process holds."""
        r, w = os.pipe()
        own = tempfile.NamedTemporaryFile(prefix="whystuck-lock-")
        holder = os.fork()
        if holder == 0:
            die_with_parent()
            with open(own.name) as f:
                fcntl.flock(f, fcntl.LOCK_EX)
                os.write(w, b"1")
                time.sleep(3600)
        os.read(r, 1)
        hanging("lock", other=holder, path=own.name)
        try:
            fcntl.flock(own, fcntl.LOCK_EX)
        finally:
            os.kill(holder, signal.SIGKILL)
            os.waitpid(holder, 0)
            own.close()

    def loop(self, _):
        """A coroutine blocks the loop while a reply is under way."""

        async def ask(sent):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.ports["late"])
            writer.write(b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}" % PATH.encode())
            await writer.drain()
            sent.set()
            await reader.readline()
            writer.close()

        async def everything():
            sent = asyncio.Event()
            reply = asyncio.ensure_future(ask(sent))
            await sent.wait()  # the reply comes a second later
            hanging("loop", wakes=time.monotonic() + 3600)
            try:
                time.sleep(3600)
            except GoOn:
                await reply

        asyncio.run(everything())

    def call(self, case, mode, messages, **more):
        connection = self.connect(mode)
        hanging(case)
        try:
            self.ask(messages, connection, **more)
        finally:
            connection.close()

    def llm(self, messages):
        self.call("llm", "silent", tool_result(messages))

    def stream(self, messages):
        self.call("stream", "stall", tool_result(messages), stream=True)

    def storage(self, _):
        import redis

        hanging("storage")
        r = redis.Redis(port=self.ports["redis"])
        try:
            r.get("key")
        finally:
            r.close()

    def again_and_again(self, case, mode, wait, messages):
        connection = self.connect(mode)
        hanging(case)
        try:
            while True:
                assert self.ask(tool_result(messages), connection) >= 400
                time.sleep(wait)
        finally:
            connection.close()

    def limited(self, messages):
        """429 with Retry-After: 1."""
        self.again_and_again("limited", "refuses", 1, messages)

    def retries(self, messages):
        """500."""
        self.again_and_again("retries", "fails", 0.5, messages)

    def circle(self, messages):
        """Calls succeed and lead nowhere."""
        connection = self.connect("answer")  # told to go on it may be in the middle of a request
        hanging("circle")
        while True:
            self.ask(tool_result(messages), connection)
            time.sleep(0.1)

    def noise(self, _):
        """Waits for an item that nobody puts, while a bar is redrawn, a log written, the interpreter asked for."""
        def redraw():
            while True:
                sys.stderr.write("\r50%")
                sys.stderr.flush()
                time.sleep(0.2)

        def tick():
            while True:
                time.sleep(0.02)

        for target in (redraw, tick, tick):
            threading.Thread(target=target, daemon=True).start()
        hanging("noise")
        queue.Queue().get()

    def tool(self, _):
        """Hangs not: a program works for it, for longer than anybody waits."""
        code = "while True:\n open('/dev/null').close(); sum(range(300000))"
        p = subprocess.Popen([sys.executable, "-c", code], preexec_fn=die_with_parent)
        hanging("tool", other=p.pid)
        try:
            p.wait()
        finally:
            p.kill()
            p.wait()

    def computing(self, _):
        """A regular expression that backtracks for ever."""
        hanging("computing")
        re.match(r"(a+)+$", "a" * 60 + "b")

    def computing_lock(self, _):
        """The same, in Python and while a thread waits for the interpreter again and again."""
        def other():
            while True:
                time.sleep(0.01)

        threading.Thread(target=other, daemon=True).start()
        hanging("computing_lock")
        while True:
            pass


def tool_result(messages):
    return messages + [{"role": "assistant", "content": None, "tool_calls": [
        {"id": "call_x", "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
                       {"role": "tool", "tool_call_id": "call_x", "content": "again"}]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("case")
    p.add_argument("ports", type=json.loads)
    p.add_argument("--turns", type=int, default=3)
    p.add_argument("--canaries", action="store_true")
    p.add_argument("--api-key")
    a = p.parse_args()
    signal.signal(signal.SIGUSR1, go_on)
    runner = Runner(a.ports, a.canaries)
    say("ready")
    sys.stdin.readline()
    for n in range(a.turns):
        runner.turn(n, getattr(runner, a.case) if n == a.turns - 1 else lambda _: time.sleep(PAUSE_S))
    runner.turn(a.turns, lambda _: time.sleep(PAUSE_S))
    say("done")
    sys.stdin.readline()


if __name__ == "__main__":
    main()
