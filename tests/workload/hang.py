# SPDX-License-Identifier: BSD-2-Clause
"""What the workloads that hang have in common. Each is a script `hang_<family>.py CASE [--healthy] [ARG ...]`:
CASE hangs in one way, --healthy looks alike and goes on for ever. They print what is true of them, one JSON object a line:

    {"event": "hanging", "case": ..., "pid": ..., "tid": ..., "since": CLOCK_MONOTONIC in seconds, ...}
    {"event": "alive", ...}      healthy ones, at every round

Only the standard library, and no syntax newer than Python 3.8: they run under every interpreter that is installed.
"""
import argparse
import ctypes
import json
import os
import signal
import sys
import threading
import time

sys.dont_write_bytecode = True


def say(event, **facts):
    """One line, whole also when several processes share the pipe."""
    os.write(1, (json.dumps(dict(facts, event=event)) + "\n").encode())


def hanging(case, **facts):
    """Said right before the call that never returns."""
    tid = threading.get_native_id()
    say("hanging", **dict({"case": case, "pid": os.getpid(), "tid": tid, "since": time.monotonic()}, **facts))


def alive(**facts):
    say("alive", pid=os.getpid(), **dict({"at": time.monotonic()}, **facts))


def die_with_parent():
    """A process made here ends with the one that made it, however that ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def main(cases):
    """cases: name -> function(healthy, arguments)."""
    p = argparse.ArgumentParser()
    p.add_argument("case", choices=sorted(cases))
    p.add_argument("--healthy", action="store_true")
    p.add_argument("rest", nargs="*")
    a = p.parse_args()
    cases[a.case](a.healthy, a.rest)
