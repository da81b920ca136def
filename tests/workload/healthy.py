# SPDX-License-Identifier: BSD-2-Clause
"""Runs that look like hangs and are none, servers at rest, and a few hangs that look like something else.
Those of `working` go on for ever, those of `resting` wait for someone to come; the rest hang.
"""
import asyncio
import concurrent.futures
import fcntl
import http.server
import multiprocessing
import os
import queue
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from hang import alive, die_with_parent, hanging, main


def toil(_=None):
    """Work that neither ends nor takes a whole CPU, in more lines than one."""
    while True:
        until = time.monotonic() + 0.1
        n = 1
        while time.monotonic() < until:
            n = n * 3 + 1
            n = n % 1000003
            n = n ^ 5
        time.sleep(0.05)


def toiling_child(**options):
    return subprocess.Popen([sys.executable, "-B", __file__, "toils", "--healthy"], preexec_fn=die_with_parent,
                            **options)


def toils(*_):
    die_with_parent()  # also where make started it
    alive()
    toil()


# ---- working ----

def thread_pool(*_):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        work = [pool.submit(toil) for _ in range(2)]
        alive()
        for done in concurrent.futures.as_completed(work):
            done.result()


def process_pool(*_):
    with multiprocessing.Pool(2, die_with_parent) as pool:
        alive()
        for _ in pool.imap(toil, range(2)):
            pass


def polls_child(*_):
    child = toiling_child(stdout=subprocess.DEVNULL)
    alive()
    while child.poll() is None:
        time.sleep(60)


def communicates(*_):
    child = toiling_child(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    alive()
    child.communicate()


def to_thread(*_):
    async def work():
        alive()
        await asyncio.get_running_loop().run_in_executor(None, toil)

    asyncio.run(work())


def makes(*_):
    """make waits for its job server, a pipe that only itself writes to."""
    place = tempfile.mkdtemp(prefix="whystuck-make-")
    with open(os.path.join(place, "Makefile"), "w") as f:
        f.write("all: a b c\na b c:\n\t@%s -B %s toils --healthy\n" % (sys.executable, os.path.abspath(__file__)))
    alive()
    os.execlp("make", "make", "-s", "-j2", "-C", place)


def asks_slowly(_, rest):
    """An LLM that takes its time: a reply comes whole after fifteen seconds."""
    server = socket.socket()
    server.bind(("127.0.0.1", int(rest[0]) if rest else 0))
    server.listen()

    def answer():
        while True:
            c = server.accept()[0]
            c.recv(65536)
            time.sleep(15)
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
            c.close()

    if os.fork() == 0:
        die_with_parent()
        answer()
    alive(port=server.getsockname()[1])
    while True:
        urllib.request.urlopen("http://127.0.0.1:%d/v1/chat/completions" % server.getsockname()[1],
                               b'{"model": "m", "messages": [{"role": "user", "content": "x"}]}').read()


# ---- resting ----

def http_server(*_):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    alive()
    server.serve_forever(3600)


def asyncio_server(*_):
    async def serve():
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        alive()
        await server.serve_forever()

    asyncio.run(serve())


def prefork(*_):
    server = socket.create_server(("127.0.0.1", 0))
    for _ in range(3):
        if os.fork() == 0:
            die_with_parent()
            server.accept()
    alive()
    os.wait()


# ---- hanging ----

def queue_full(*_):
    q = queue.Queue(1)
    q.put(1)
    hanging("queue_full")
    q.put(2)


def pool_condition(*_):
    condition = threading.Condition()

    def work():
        with condition:
            condition.wait()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        hanging("pool_condition")
        pool.submit(work).result()


def executor_full(*_):
    """All threads of the loop's executor wait for one of them."""
    pool = concurrent.futures.ThreadPoolExecutor(3)
    all_in = threading.Barrier(3)

    def outer():
        all_in.wait()
        return pool.submit(int).result()

    async def work():
        loop = asyncio.get_running_loop()
        hanging("executor_full")
        await asyncio.gather(*[loop.run_in_executor(pool, outer) for _ in range(3)])

    asyncio.run(work())


def tee_stopped(*_):
    """python | tee, and tee is stopped."""
    reader = subprocess.Popen(["tee", "/dev/null"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                              preexec_fn=die_with_parent)
    reader.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, reader.pid, os.WSTOPPED)
    hanging("tee_stopped", reader=reader.pid)
    while True:
        os.write(reader.stdin.fileno(), b"x" * 65536)


def locked_by_hung(_, rest):
    """The process that holds the lock waits for an LLM that never answers."""
    f = tempfile.NamedTemporaryFile(prefix="whystuck-lock-")
    r, w = os.pipe()
    holder = os.fork()
    if holder == 0:
        die_with_parent()
        mine = open(f.name, "w")
        fcntl.flock(mine, fcntl.LOCK_EX)
        os.write(w, b"1")
        urllib.request.urlopen("http://127.0.0.1:%s/v1/chat/completions" % rest[0],
                               b'{"model": "m", "messages": [{"role": "user", "content": "x"}]}')
    os.read(r, 1)
    own = open(f.name, "w")
    hanging("locked_by_hung", holder=holder)
    fcntl.flock(own, fcntl.LOCK_EX)


def sqlite_locked(healthy, _):
    """Another process has the database locked; healthy: for a moment, again and again."""
    path = os.path.join(tempfile.mkdtemp(prefix="whystuck-sqlite-"), "db")
    sqlite3.connect(path).execute("create table t (x)")
    r, w = os.pipe()
    if os.fork() == 0:
        die_with_parent()
        other = sqlite3.connect(path, isolation_level=None)
        while True:
            other.execute("begin exclusive")
            os.write(w, b"1")
            time.sleep(0.2 if healthy else 3600)
            other.execute("commit")
            time.sleep(0.2)
    os.read(r, 1)
    mine = sqlite3.connect(path, timeout=3600, isolation_level=None)
    if not healthy:
        hanging("sqlite_locked")
    while True:
        alive()
        mine.execute("insert into t values (1)")


def selects_own_pipe(*_):
    r, _ = os.pipe()
    hanging("selects_own_pipe")
    select.select([r], [], [])


def pauses(*_):
    hanging("pauses")
    signal.pause()


if __name__ == "__main__":
    main({f.__name__: f for f in (
        toils, thread_pool, process_pool, polls_child, communicates, to_thread, makes, asks_slowly, http_server,
        asyncio_server, prefork, queue_full, pool_condition, executor_full, tee_stopped, locked_by_hung, sqlite_locked,
        selects_own_pipe, pauses)})
