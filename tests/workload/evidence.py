#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A tree that waits in known ways: locks held and waited for, children that ended, threads asleep since a known time.

evidence.py DIRECTORY [GROUP]: GROUP is a memory control group with a small limit, in which a child takes too much. Prints
one line of JSON, {"event": "ready", ...}, when all is as it will stay: pids, paths, descriptors, times of CLOCK_MONOTONIC.
Ends, with its children, when stdin does.
"""
import ctypes
import fcntl
import json
import os
import resource
import signal
import struct
import sys
import threading
import time

DIRECTORY = sys.argv[1]
GROUP = sys.argv[2] if len(sys.argv) > 2 else None
F_OFD_SETLK, PR_SET_PDEATHSIG = 37, 1
LIBC = ctypes.CDLL(None)
ACROSS_FORK = {}


def child(work):
    pid = os.fork()
    if pid == 0:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os._exit(work() or 0)
    return pid


def take_too_much():
    with open(os.path.join(GROUP, "cgroup.procs"), "w") as f:
        f.write(str(os.getpid()))
    hog = []
    while True:
        hog.append(b"x" * (1 << 20))


def wait_state(pid, states):
    """Until the kernel says so: nobody else can tell when a child sleeps in a call."""
    while True:
        with open(f"/proc/{pid}/stat") as f:
            if f.read().rsplit(")", 1)[1].split()[0] in states:
                return


def sleeper(truth):
    truth["tid"] = threading.get_native_id()
    end = time.thread_time() + 0.2
    while time.thread_time() < end:
        pass
    truth["cpu_ns"] = time.thread_time_ns()
    truth["asleep_ns"] = time.monotonic_ns()
    time.sleep(3600)


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (777, 1000))
    path, ofd_path = (os.path.join(DIRECTORY, name) for name in ("held.lock", "ofd.lock"))
    held, ofd = (os.open(p, os.O_RDWR | os.O_CREAT) for p in (path, ofd_path))
    fcntl.flock(held, fcntl.LOCK_EX)
    fcntl.fcntl(ofd, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    waiter = child(lambda: fcntl.flock(os.open(path, os.O_RDWR), fcntl.LOCK_EX))
    wait_state(waiter, "S")
    ended = child(lambda: 7)
    killed = child(lambda: os.kill(os.getpid(), signal.SIGKILL))
    hog = child(take_too_much) if GROUP else None
    for pid in filter(None, (ended, killed, hog)):
        wait_state(pid, "Z")
    thread = {}
    threading.Thread(target=sleeper, args=(thread,), daemon=True).start()
    while "asleep_ns" not in thread:
        time.sleep(0.001)
    wait_state(f"{os.getpid()}/task/{thread['tid']}", "S")
    fds = os.listdir("/proc/self/fd")  # its own descriptor is closed by now
    print(json.dumps({"event": "ready", "pid": os.getpid(), "waiter": waiter, "ended": ended, "killed": killed,
                      "hog": hog, "path": path, "ofd_path": ofd_path, "ino": os.fstat(held).st_ino,
                      "ofd_ino": os.fstat(ofd).st_ino, "fds": len(fds) - 1, "thread": thread}), flush=True)
    sys.stdin.read()
    os.kill(waiter, signal.SIGKILL)


main()
