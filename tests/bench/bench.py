#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What watching costs: the target, the observer, coming and going. Prints tables of this run, asserts nothing.

The target does the same amount of work again and again, with nothing attached, with empty programs on the same probes and
with whystuck, in the order none-empty-watch-watch-empty-none: a machine that slows down or heats up does so for all.
A ratio is that of neighbours in such a row; the table shows the median and the smallest and largest.

  bench.py FOLDER [--quick]     FOLDER: a build with the target `bench`
"""
import argparse
import contextlib
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "live"))

import harness  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
RATES = (2000, 5000, 10000, 20000, 40000, 80000, 0)  # messages a second; 0: as fast as it goes
EVENTS = 4  # records of one message: each end writes and reads once


def median_of(values):
    """Median (smallest-largest)."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


class Target:
    """A process that works on demand."""

    def __init__(self, stack, name, unit, command, verb=""):
        self.name, self.unit, self.verb = name, unit, verb
        self.process = harness.Process(command)
        stack.callback(self.process.stop)
        if not self.process.out.wait_for(lambda x: x.startswith("ready"), harness.EXIT_S):
            sys.exit("bench: does not start: " + self.process.describe())

    def work(self, n, rest=""):
        """Seconds that n rounds take."""
        self.process.say(f"{self.verb}{n}{rest}\n")
        line = self.process.out.wait_for(lambda x: True, 120)
        if not line:
            sys.exit("bench: the target ended: " + self.process.describe())
        return int(line) / 1e9

    def size(self, seconds):
        """Rounds that take about so long, with nothing attached."""
        n, took = 50, 0.0
        while (took := self.work(n)) < seconds / 5:
            n *= 3
        return max(1, int(n * seconds / took))


class Bench:
    def __init__(self, stack, folder, quick):
        self.stack, self.quick = stack, quick
        self.empty = os.path.join(folder, "tests/bench/bench_empty")
        self.native = os.path.join(folder, "tests/bench/bench_native")
        self.target_c = os.path.join(folder, "tests/bench/bench_target")
        self.directory = tempfile.mkdtemp(prefix="whystuck-bench-")
        stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self.outputs = 0

    # ------------------------------------------------------------ what is attached

    def observer(self, pid):
        self.outputs += 1
        return harness.Observer("watch", str(pid), os.path.join(self.directory, f"out{self.outputs}"),
                                "--stuck-timeout", "0")

    @contextlib.contextmanager
    def attached(self, what, pid):
        """Yields the process that observes, or None."""
        if what == "none":
            yield None
            return
        if what == "watch":
            process = self.observer(pid)
        elif what == "empty":
            process = harness.Process([self.empty, pid])
        else:
            process = harness.Process(["strace", "-f", "-c", "-o", "/dev/null", "-p", pid])
        try:
            lines = process.out if what == "empty" else process.err
            if what != "watch" and not lines.wait_for(lambda x: "attached" in x, harness.ATTACH_S):
                sys.exit(f"bench: {what} does not attach: {process.describe()}")
            yield process
        finally:
            process.signal(harness.signal.SIGINT)
            with contextlib.suppress(AssertionError):
                process.wait()
            process.stop()

    # ------------------------------------------------------------ the target's slowdown

    def slowdown(self, target):
        seconds, cycles = (0.25, 2) if self.quick else (0.8, 4)
        n = target.size(seconds)
        row = ["none", "empty", "watch"]
        ratios, base, cpu, memory = {"empty": [], "watch": [], "watch/empty": [], "strace": []}, [], [], 0
        for _ in range(cycles):
            for order in (row, row[::-1]):
                took = {}
                for what in order:
                    with self.attached(what, target.process.pid) as process:
                        before = cpu_seconds(process) if what == "watch" else 0
                        took[what] = target.work(n)
                        if what == "watch":
                            cpu.append((cpu_seconds(process) - before) / took[what])
                            memory = max(memory, peak_kib(process))
                base.append(took["none"])
                for what in ("empty", "watch"):
                    ratios[what].append(took[what] / took["none"])
                ratios["watch/empty"].append(took["watch"] / took["empty"])
        if shutil.which("strace"):
            for _ in range(2):
                with self.attached("strace", target.process.pid):
                    few = max(1, n // 20)
                    ratios["strace"].append(target.work(few) / few * n / statistics.median(base))
        return n / statistics.median(base), ratios, cpu, memory

    def show_slowdown(self, targets):
        print("Time the target takes, as a multiple of the time with nothing attached: median (smallest-largest)")
        print(f"  {'target':<28} {'alone':>17} {'empty programs':>18} {'whystuck':>18} {'of the empty':>18} "
              f"{'strace -f -c':>24}")
        costs = []
        for target in targets:
            rate, ratios, cpu, memory = self.slowdown(target)
            cells = [median_of(ratios[k]) if ratios[k] else "not installed"
                     for k in ("empty", "watch", "watch/empty", "strace")]
            print(f"  {target.name:<28} {f'{rate:.0f} {target.unit}/s':>17}" + "".join(f"{c:>19}" for c in cells[:3])
                  + f"{cells[3]:>25}", flush=True)
            costs.append((target.name, cpu, memory))
        print("\nThe observer meanwhile: share of one CPU, and peak memory")
        for name, cpu, memory in costs:
            print(f"  {name:<28} {100 * statistics.median(cpu):>5.1f} % (largest {100 * max(cpu):.1f} %)   "
                  f"{memory / 1024:>6.1f} MiB", flush=True)

    # ------------------------------------------------------------ events

    def show_events(self, target):
        print("\nEvents a second until one is lost")
        seconds, seen = (1, []) if self.quick else (3, [])
        for rate in RATES:
            n = rate * seconds if rate else max(1, int(seen[-1][0] / EVENTS * seconds * 2))
            with self.attached("watch", target.process.pid) as process:
                took = target.work(n, f" {rate}")
            coverage = process.summary()["coverage"]
            seen.append((n * EVENTS / took, sum(coverage["events_lost"].values())))
            print(f"  {seen[-1][0]:>9.0f} /s: {coverage['events_seen']} arrived, {seen[-1][1]} lost", flush=True)
            if seen[-1][1]:
                break
        good = [rate for rate, lost in seen if not lost]
        if not seen[-1][1]:
            print(f"  none lost up to {max(good):.0f}/s, the most this target makes")
        elif good:
            print(f"  none lost up to {max(good):.0f}/s, the first at {seen[-1][0]:.0f}/s")

    # ------------------------------------------------------------ coming and going

    def show_attach(self, target):
        attach, detach = [], []
        for _ in range(5 if self.quick else 20):
            start = time.monotonic()
            observer = self.observer(target.process.pid)
            attach.append(time.monotonic() - start)
            start = time.monotonic()
            observer.signal(harness.signal.SIGINT)
            observer.p.wait(harness.EXIT_S)
            detach.append(time.monotonic() - start)
            observer.stop()
        print(f"\nComing and going, {len(attach)} times ({target.name})")
        for name, values in (("start until `attached`", attach), ("Ctrl-C until exit", detach)):
            print(f"  {name:<28} median {1000 * statistics.median(values):>6.0f} ms   max {1000 * max(values):>6.0f} ms")


    # ------------------------------------------------------------ one look

    def looks(self):
        """name -> command that takes a look at a process"""
        tools = {"whystuck": [harness.require(root=False, bpf=False)],
                 "gdb": ["gdb", "-batch", "-nx", "-iex", "set debuginfod enabled off", "-ex", "thread apply all bt", "-p"],
                 "eu-stack": ["eu-stack", "-p"]}
        return {name: command for name, command in tools.items() if shutil.which(command[0])}

    def look(self, command, pids):
        """Seconds that one look takes, and the largest memory (KiB) of a process that it runs. Tools that see one process only
        look at one after the other."""
        pids, took, peak = (pids[:1] if "whystuck" in command[0] else pids), 0.0, 0
        for pid in pids:
            start = time.monotonic()
            with open(os.devnull, "r+b") as null:
                p = subprocess.Popen([*command, str(pid)], stdin=null, stdout=null, stderr=null, cwd=self.directory,
                                     env={k: v for k, v in os.environ.items() if k != "DEBUGINFOD_URLS"})
            while p.poll() is None:
                peak = max([peak, *map(peak_kib_of, [p.pid, *children(p.pid)])])
                time.sleep(0.002)
            took += time.monotonic() - start
        return took, peak

    def show_looks(self, script):
        print("\nOne look at what hangs, from start to exit; gdb and eu-stack have no way to see a tree and look at each process")
        for processes, threads in ((1, 10), (31, 20)):
            with contextlib.ExitStack() as stack:
                target = Target(stack, "", "", [*script, "hang", processes, threads])
                pids = [target.process.pid, *children(target.process.pid)]
                for name, command in self.looks().items():
                    rounds = 2 if self.quick or processes > 1 else 5
                    looks = [self.look(command, pids) for _ in range(rounds)]
                    print(f"  {f'{processes} x {threads} threads':<18} {name:<10} "
                          f"{1000 * statistics.median(t for t, _ in looks):>7.0f} ms   "
                          f"{max(m for _, m in looks) / 1024:>6.1f} MiB", flush=True)
                self.show_native(pids)

    def show_native(self, pids):
        """The part of it that reads native frames."""
        said = subprocess.run([self.native, *map(str, pids)], stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
        for line in said:
            print(f"  {'':<18} native frames alone, {line}")

    def show_gaps(self, target):
        """With all its priority, for what is wanted is how long it is stopped, not who else wants a CPU."""
        print("\nLongest time for which a target that does nothing but look at the clock was away, while one looks at it")
        os.setpriority(os.PRIO_PROCESS, target.process.pid, -20)
        ms, rounds, alone = 1500, 3 if self.quick else 7, None
        for name, command in {"nothing": None, **self.looks()}.items():
            gaps = []
            for _ in range(rounds):
                target.process.say(f"gaps {ms}\n")
                if command:
                    self.look(command, [target.process.pid])
                gaps.append(int(target.process.out.wait_for(lambda x: True, 120)) / 1e6)
            alone = alone or statistics.median(gaps)
            print(f"  {name:<10} ms: {median_of(gaps):<24} {statistics.median(gaps) / alone:>6.1f} times", flush=True)


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as f:
            return [int(x) for x in f.read().split()]
    except OSError:
        return []


def peak_kib_of(pid):
    """0 for one that is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as f:
            return next((int(line.split()[1]) for line in f if line.startswith("VmHWM")), 0)
    except OSError:
        return 0


def cpu_seconds(process):
    with open(f"/proc/{process.pid}/stat", encoding="utf-8") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK  # utime, stime


def peak_kib(process):
    with open(f"/proc/{process.pid}/status", encoding="utf-8") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))


def machine():
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return (f"{model}, {os.cpu_count()} CPUs, Linux {platform.release()}, load {os.getloadavg()[0]:.1f} before, "
            f"{time.strftime('%Y-%m-%d')}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder")
    p.add_argument("--quick", action="store_true")
    args = p.parse_args()
    harness.signal.signal(harness.signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        harness.require()
    except harness.unittest.SkipTest as why:
        sys.exit(f"bench: cannot run here: {why}")
    start = time.monotonic()
    print("Machine: " + machine() + "\n")
    with contextlib.ExitStack() as stack:
        bench = Bench(stack, args.folder, args.quick)
        stores = stack.enter_context(harness.Stores())
        server = harness.LlmServer("latency=0,spacing=0")
        stack.callback(server.stop)
        script = [harness.PYTHON, "-B", os.path.join(HERE, "target.py")]
        calls = Target(stack, "system calls, C", "rounds", [bench.target_c], "syscalls ")
        tls = Target(stack, "TLS requests, Python", "calls", [*script, "tls", server.endpoint, server.ca])
        storage = Target(stack, "Redis and PostgreSQL, Python", "rounds",
                         [*script, "stores", stores.redis_port, stores.pg_port])
        bench.show_slowdown([calls, tls, storage])
        bench.show_events(Target(stack, "messages, C", "messages", [bench.target_c], "messages "))
        bench.show_attach(tls)
        bench.show_looks(script)
        bench.show_gaps(Target(stack, "the clock, C", "", [bench.target_c]))
    print(f"\nTook {time.monotonic() - start:.0f} s.")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
