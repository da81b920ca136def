#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Threads that wait in known functions; prints which functions, files and lines each is in, innermost first.

frames.py PORT DIRECTORY [busy] [gil]: the main thread asks a Redis at PORT, which is expected never to answer. For
CPython 3.8 and later. Prints a line of JSON when all threads are where they will stay:
{"event": "ready", "threads": {name: {"tid", "frames": [[function, file, line], ...]}}}.
busy: one more thread that computes. gil: after a line on stdin one sleeps with the interpreter's lock, another wants it.
"""
import ctypes
import json
import os
import select
import socket
import sys
import threading
import time

QUALIFIED = sys.version_info >= (3, 11)
PORT, DIRECTORY = sys.argv[1:3]  # DIRECTORY: for a file with a name of its own


class Client:
    def in_recv(self, deep):
        """A call over several lines: the line is the innermost one's."""
        if deep:
            return (
                self.in_recv(deep - 1)
            )
        pair = socket.socketpair()
        self.kept = pair
        return pair[0].recv(
            1,
        )


def in_poll():
    def wait():
        p = select.poll()
        p.register(KEPT[0], select.POLLIN)
        return p.poll()
    return [wait() for _ in range(1)]


def in_lock():
    lock = threading.Lock()
    lock.acquire()
    with lock:
        pass


def in_sleep():
    time.sleep(3600)


def in_generator():
    def generate():
        yield time.sleep(3600)
    for _ in generate():
        pass


def recurse(n):
    if n == 0:
        return time.sleep(3600)
    return recurse(n - 1)


def in_recursion():
    recurse(600)


def holds_gil():
    """Asleep with the interpreter's lock: nothing else of Python runs from here on."""
    sleep = ctypes.PyDLL(None).sleep
    sys.stdin.readline()
    sleep(3600)


def wants_gil():
    while True:
        time.sleep(0.01)


def busy():
    x = 0
    while True:
        x = (x * 31 + 7) % 1000003


NAMES = """
def größe(n):
    return 函数(n) + 1


def 函数(n):
    return 𝒇𝒏(n)


def 𝒇𝒏(n):
    import time
    long_tail = [n,
                 time.sleep(3600)]
""".strip()

LONG = "n" * 300


def name_source(name, source, call):
    """A function of a module with that file name."""
    path = os.path.join(DIRECTORY, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(source)
    space = {}
    exec(compile(source, path, "exec"), space)
    return space[call]


def frames_of(frame):
    out = []
    while frame:
        code = frame.f_code
        out.append([code.co_qualname if QUALIFIED else code.co_name, code.co_filename, frame.f_lineno])
        frame = frame.f_back
    return out


def waits(tid):
    with open("/proc/self/task/%d/stat" % tid) as f:
        return f.read().rpartition(")")[2].split()[0] == "S"


def native(thread):
    while thread.native_id is None:
        time.sleep(0.001)
    return thread.native_id


KEPT = socket.socketpair()
works = {
    "recv": lambda: Client().in_recv(3), "poll": in_poll, "lock": in_lock, "sleep": in_sleep,
    "generator": in_generator, "recursion": in_recursion,
    "names": lambda: name_source("größe_函数_ファイル.py", NAMES, "größe")(1),
    "long": lambda: name_source("long.py", "import time\ndef %s():\n    time.sleep(3600)" % LONG, LONG)(),
}
restless = {"busy": {"busy": busy}, "gil": {"holds_gil": holds_gil, "wants_gil": wants_gil}}
restless = {name: work for word, some in restless.items() if word in sys.argv for name, work in some.items()}
works.update(restless)
threads = {name: threading.Thread(target=work, name=name, daemon=True) for name, work in works.items()}
for t in threads.values():
    t.start()


def settled():
    """The frames of all threads that will stay where they are, once they are there."""
    last = None
    while True:
        now = {name: frames_of(sys._current_frames()[t.ident]) for name, t in threads.items() if name not in restless}
        # Waiting counts when a second look finds nothing changed: it may be for the interpreter's lock.
        if now == last and all(waits(native(threads[name])) for name in now):
            return now
        last = now
        time.sleep(0.05)


def say(frames, main):
    found = {name: {"tid": native(t), "frames": frames.get(name)} for name, t in threads.items()}
    found["main"] = {"tid": os.getpid(), "frames": frames_of(main)}
    print(json.dumps({"event": "ready", "threads": found}), flush=True)


def ask(frames):
    with socket.create_connection(("127.0.0.1", int(PORT))) as peer:
        peer.sendall(b"*2\r\n$3\r\nGET\r\n$6\r\nCANARY\r\n")
        say(frames, sys._getframe()); peer.recv(1)  # noqa: E702, one line, as the frame will have it


ask(settled())
