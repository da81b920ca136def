# SPDX-License-Identifier: BSD-2-Clause
"""Hangs in pipes, terminals and file locks."""
import fcntl
import os
import pty
import sys
import tempfile
import time

from hang import alive, die_with_parent, hanging, main


def child(function):
    """A process of its own that runs function and leaves; its PID."""
    pid = os.fork()
    if pid == 0:
        die_with_parent()
        try:
            function()
        finally:
            os._exit(0)
    return pid


def output(healthy, _):
    """Writes to a pipe whose reader does not read."""
    r, w = os.pipe()

    def reader():
        os.close(w)
        while healthy:
            os.read(r, 65536)
        time.sleep(3600)

    pid = child(reader)
    os.close(r)
    if not healthy:
        hanging("output", reader=pid)
    while True:
        os.write(w, b"x" * 65536)
        if healthy:
            alive()
            time.sleep(0.1)


def output_nobody(healthy, _):
    """Writes to a pipe of which only it has the reading end."""
    r, w = os.pipe()
    if not healthy:
        hanging("output_nobody")
    while True:
        os.write(w, b"x" * 65536)
        os.read(r, 65536) if healthy else os.write(w, b"x")
        alive()
        time.sleep(0.1)


def input_pipe(healthy, _):
    """Reads its standard input, which the test holds and never writes to. Healthy: a child writes."""
    if not healthy:
        hanging("input_pipe")
        sys.stdin.readline()
    r, w = os.pipe()

    def writer():
        while True:
            os.write(w, b"line\n")
            time.sleep(0.2)

    child(writer)
    while os.read(r, 100):
        alive()


def terminal(healthy, _):
    """Asks a question in a terminal that nobody answers."""
    pid, master = pty.fork()
    if pid == 0:
        die_with_parent()
        while True:
            input("continue? [y/n] ")
    if not healthy:
        os.read(master, 100)  # the question is there
        hanging("terminal", pid=pid, tid=pid)
        time.sleep(3600)
    while True:
        os.write(master, b"y\n")
        os.read(master, 100)
        alive()
        time.sleep(0.1)


def fifo(healthy, _):
    """Opens a named pipe that nobody opens at the other end."""
    path = os.path.join(tempfile.mkdtemp(prefix="whystuck-fifo-"), "pipe")
    os.mkfifo(path)
    while healthy:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        os.close(fd)
        alive()
        time.sleep(0.2)
    hanging("fifo")
    with open(path):
        pass


def locked(healthy, lock, case):
    """A file lock that another process holds."""
    f = tempfile.NamedTemporaryFile(prefix="whystuck-lock-")
    r, w = os.pipe()

    def holder():
        mine = open(f.name, "w")
        lock(mine, fcntl.LOCK_EX)
        os.write(w, b"1")
        time.sleep(0.3 if healthy else 3600)

    pid = child(holder)
    os.read(r, 1)
    own = open(f.name, "w")
    if not healthy:
        hanging(case, holder=pid, path=f.name)
    while True:
        lock(own, fcntl.LOCK_EX)
        lock(own, fcntl.LOCK_UN)
        alive()
        time.sleep(0.1)


def flock(healthy, _):
    locked(healthy, fcntl.flock, "flock")


def posix_lock(healthy, _):
    locked(healthy, fcntl.lockf, "posix_lock")


def lock_circle(healthy, _):
    """Holds a lock and waits for a child that wants it."""
    f = tempfile.NamedTemporaryFile(prefix="whystuck-lock-")
    mine = open(f.name, "w")

    def wants():
        own = open(f.name, "w")
        fcntl.flock(own, fcntl.LOCK_EX)
        fcntl.flock(own, fcntl.LOCK_UN)

    while True:
        fcntl.flock(mine, fcntl.LOCK_EX)
        pid = child(wants)
        if healthy:
            fcntl.flock(mine, fcntl.LOCK_UN)
        else:
            hanging("lock_circle", waiter=pid, path=f.name)
        os.waitpid(pid, 0)
        alive()
        time.sleep(0.1)


if __name__ == "__main__":
    main({"output": output, "output_nobody": output_nobody, "input_pipe": input_pipe, "terminal": terminal,
          "fifo": fifo, "flock": flock, "posix_lock": posix_lock, "lock_circle": lock_circle})
