# SPDX-License-Identifier: BSD-2-Clause
"""Hangs in trees of processes: workers that block, or died, and parents that wait for them."""
import multiprocessing
import os
import signal
import subprocess
import sys
import time

from hang import alive, die_with_parent, hanging, main, say


def work(item):
    """Item 7 asks a program a question and never answers it; the others are done at once."""
    healthy, i = item
    time.sleep(0.01)
    if i != 7:
        return i
    tool = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    if healthy:
        tool.stdin.close()
    else:
        hanging("tree", worker=os.getpid(), pid=tool.pid, tid=tool.pid)
    return tool.wait()


def tree(healthy, rest):
    """A parent, 30 workers, and one grandchild that blocks them all."""
    with multiprocessing.Pool(int(rest[0]) if rest else 30, initializer=die_with_parent) as pool:
        while True:
            pool.map(work, [(healthy, i) for i in range(60)], chunksize=1)
            alive()


def child_sleeps(healthy, _):
    """Waits for a program that sleeps."""
    while healthy:
        subprocess.run(["sleep", "0.1"], check=True)
        alive()
    p = subprocess.Popen(["sleep", "3600"], preexec_fn=die_with_parent)
    hanging("child_sleeps", pid=p.pid, tid=p.pid)
    p.wait()


def child_waits(healthy, _):
    """Waits for a child that waits for a signal."""
    pid = os.fork()
    if pid == 0:
        die_with_parent()
        while True:
            signal.pause() if not healthy else (time.sleep(0.1), alive())
    if not healthy:
        hanging("child_waits", child=pid)
    os.waitpid(pid, 0)


def lost_process(healthy, _):
    """Waits for the result of a worker that was killed."""
    q = multiprocessing.Queue()

    def worker():
        die_with_parent()
        while healthy:
            q.put(1)
            time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)

    p = multiprocessing.get_context("fork").Process(target=worker)
    p.start()
    if not healthy:
        hanging("lost_process", worker=p.pid)
    while True:
        q.get()
        alive()


def fall(item):
    healthy, i = item
    time.sleep(0.05)
    if i == 3 and not healthy:
        os.kill(os.getpid(), signal.SIGKILL)
    return i


def lost_pool(healthy, _):
    """A worker of a pool is killed while it works; the pool replaces it, its result never comes."""
    with multiprocessing.Pool(3, initializer=die_with_parent) as pool:
        time.sleep(3)
        while healthy:
            pool.map(fall, [(healthy, i) for i in range(6)], chunksize=1)
            alive()
        hanging("lost_pool")
        pool.map(fall, [(healthy, i) for i in range(6)], chunksize=1)


def zombie(healthy, _):
    """A child that ended, and whose parent does not notice."""
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    hanging("zombie", pid=pid, tid=pid)
    time.sleep(3600)


def one_of_many(healthy, _):
    """Three workers go on, the fourth hangs: the run moves."""
    for i in range(4):
        if os.fork() == 0:
            die_with_parent()
            while True:
                if i == 3:
                    sys.stdin.readline()
                time.sleep(0.1)
                say("alive", worker=i)
    while True:
        time.sleep(0.1)
        alive()


if __name__ == "__main__":
    main({"tree": tree, "child_sleeps": child_sleeps, "child_waits": child_waits, "lost_process": lost_process,
          "lost_pool": lost_pool, "zombie": zombie, "one_of_many": one_of_many})
