# SPDX-License-Identifier: BSD-2-Clause
"""Hangs in the threads of one process: locks, sleeps, computing, the kernel, the end of the program."""
import atexit
import ctypes
import os
import queue
import re
import signal
import subprocess
import threading
import time

from hang import alive, die_with_parent, hanging, main

CLONE_VFORK = 0x4000  # include/uapi/linux/sched.h


def in_thread(function, daemon=True):
    t = threading.Thread(target=function, daemon=daemon)
    t.start()
    return t


def deadlock(healthy, _):
    """Two threads take two locks in different order, and the first thread waits for them."""
    a, b, both = threading.Lock(), threading.Lock(), threading.Barrier(2)

    def one(first, second):
        while True:
            with first:
                if not healthy:
                    both.wait()
                with second:
                    time.sleep(0.2)
                    alive()

    threads = [in_thread(lambda: one(a, b)), in_thread(lambda: one(*((a, b) if healthy else (b, a))))]
    if not healthy:
        hanging("deadlock")
    for t in threads:
        t.join()


def queue_wait(healthy, _):
    """Waits for an item that nobody will ever put."""
    q = queue.Queue()

    def put():
        while True:
            q.put(1)
            time.sleep(0.2)

    if healthy:
        in_thread(put)
    else:
        hanging("queue_wait")
    while True:
        q.get()
        alive()


def sleeping(healthy, rest):
    """A sleep of an hour; healthy: many short ones."""
    if not healthy:
        hanging("sleeping", wakes=time.monotonic() + float(rest[0] if rest else 3600))
        time.sleep(float(rest[0] if rest else 3600))
    while True:
        time.sleep(0.2)
        alive()


def computing(healthy, _):
    """A regular expression that backtracks for ever; healthy: short ones, with output."""
    if not healthy:
        hanging("computing")
        re.match(r"(a+)+$", "a" * 60 + "b")
    while True:
        re.match(r"(a+)+$", "a" * 16 + "b")
        alive()
        time.sleep(0.05)


def computing_threads(healthy, _):
    """The same in a thread, while the first thread waits for it."""
    in_thread(lambda: computing(healthy, _)).join()


def stopped(healthy, _):
    """Stopped as by Ctrl-Z. The test stops it: said first."""
    if not healthy:
        hanging("stopped")
        os.kill(os.getpid(), signal.SIGSTOP)
    while True:
        time.sleep(0.2)
        alive()


def vfork(healthy, _):
    """Uninterruptible: the parent of a vfork whose child does not go on."""
    if healthy:
        while True:
            subprocess.run(["true"], check=True)
            alive()
    hanging("vfork")
    # vfork() but for the shared memory: the parent waits in the kernel until the child runs a program or ends
    number = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
    if ctypes.CDLL(None).syscall(number, CLONE_VFORK | signal.SIGCHLD, 0, 0, 0, 0) == 0:
        die_with_parent()
        time.sleep(3600)
        os._exit(0)


def forked_lock(healthy, _):
    """A child forked while another thread held a lock. The parent waits for it."""
    lock, held = threading.Lock(), threading.Event()

    def hold():
        with lock:
            held.set()
            time.sleep(3600 if not healthy else 0.2)

    holder = in_thread(hold)
    held.wait()
    if healthy:
        holder.join()
    pid = os.fork()
    if pid == 0:
        die_with_parent()
        if not healthy:
            hanging("forked_lock", parent=os.getppid())
        while True:
            with lock:
                alive()
            time.sleep(0.2)
    os.waitpid(pid, 0)


def exit_thread(healthy, _):
    """The work is done; a thread that is no daemon waits for ever."""
    event = threading.Event()

    def keep():
        while not event.wait(0.2 if healthy else None):
            alive()

    in_thread(keep, daemon=False)
    if not healthy:
        hanging("exit_thread")


def exit_hook(healthy, _):
    """The work is done; a hook at the end waits for ever."""

    def hook():
        if not healthy:
            hanging("exit_hook")
            threading.Event().wait()
        while True:
            time.sleep(0.2)
            alive()

    atexit.register(hook)


if __name__ == "__main__":
    main({"deadlock": deadlock, "queue_wait": queue_wait, "sleeping": sleeping, "computing": computing,
          "computing_threads": computing_threads, "stopped": stopped, "vfork": vfork, "forked_lock": forked_lock,
          "exit_thread": exit_thread, "exit_hook": exit_hook})
