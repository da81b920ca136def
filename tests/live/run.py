#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs the live tests, all or those named (`run.py turns stall`), one file after the other, and counts.

Leaves with 1 when one failed, with 77 when none could run, else with 0. Arguments after `--` go to unittest.
"""
import glob
import os
import re
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
FILE_S = int(os.environ.get("WHYSTUCK_LIVE_TIMEOUT", "900"))  # a file that takes longer hangs


def files(names):
    known = {os.path.basename(p)[5:-3]: p for p in sorted(glob.glob(os.path.join(HERE, "test_*.py")))}
    unknown = [n for n in names if n not in known]
    if unknown:
        sys.exit(f"run.py: no test named {', '.join(unknown)}; there are: {' '.join(known)}")
    return {n: known[n] for n in names or known}


def run(path, arguments):
    """(exit status, tests run, failures, skips) of one file; what it says is passed on as it comes."""
    env = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    process = subprocess.Popen([sys.executable, path, *arguments], stderr=subprocess.PIPE, text=True, env=env)
    timer, counts = threading.Timer(FILE_S, process.kill), [0, 0, 0]
    timer.start()
    for line in process.stderr:
        sys.stderr.write(line)
        if m := re.match(r"Ran (\d+) test", line):
            counts[0] = int(m[1])
        elif m := re.match(r"(?:OK|FAILED) ?\((.*)\)", line):
            numbers = {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", m[1])}
            counts[1] = numbers.get("failures", 0) + numbers.get("errors", 0)
            counts[2] = numbers.get("skipped", 0)
    status = process.wait()
    if not timer.is_alive():
        sys.stderr.write(f"run.py: {path}: more than {FILE_S} s, ended\n")
    timer.cancel()
    return (status, *counts)


def main():
    names, _, rest = " ".join(sys.argv[1:]).partition("--")
    failed, ran, total = [], False, [0, 0, 0]
    for name, path in files(names.split()).items():
        print(f"# {name}", file=sys.stderr, flush=True)
        status, *counts = run(path, rest.split())
        total = [a + b for a, b in zip(total, counts)]
        ran |= status != 77
        if status not in (0, 77):
            failed.append(name)
    print(f"live: {total[0]} tests run, {total[1]} failures, {total[2]} skipped" +
          (f"; failed: {' '.join(failed)}" if failed else ""))
    sys.exit(1 if failed else 0 if ran else 77)


if __name__ == "__main__":
    main()
