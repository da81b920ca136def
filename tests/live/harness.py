# SPDX-License-Identifier: BSD-2-Clause
"""Live tests: targets with a truth of their own, the observer on them, and the comparison of the two.

Everything started here ends with the test, whatever ends it. Nothing sleeps for luck: each wait is for a line, a file
or an exit, with a deadline. A test file run alone leaves with 77 when all of it was skipped.

Environment: WHYSTUCK_BIN, the program (else the newest in build*/); WHYSTUCK_KEEP=1 keeps the output directories.
"""
import atexit
import contextlib
import ctypes
import datetime
import functools
import glob
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WORKLOAD = os.path.join(ROOT, "tests", "workload")
sys.path.insert(0, WORKLOAD)
sys.dont_write_bytecode = True

import canary  # noqa: E402
from children import Lines, popen  # noqa: E402
from stores import Stores  # noqa: E402

PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
SKIPPED = 77
ATTACH_S = 30    # until the observer says `attached`
EXIT_S = 30      # until a process that should leave has left
TURNS_S = 120    # until a workload is through
TOLERANCE_MS, TOLERANCE = 2.0, 0.02  # the promise: 2 ms or 2 %, whichever is more

EXIT_OK, EXIT_ERROR, EXIT_USAGE, EXIT_STALLED = 0, 1, 2, 3


# ---------------------------------------------------------------- what is there

def find_binary():
    if os.environ.get("WHYSTUCK_BIN"):
        return os.path.abspath(os.environ["WHYSTUCK_BIN"])
    found = [p for d in ("", "userspace/") for p in glob.glob(os.path.join(ROOT, "build*", d + "whystuck"))
             if os.path.isfile(p)]
    return max(found, key=os.path.getmtime, default=None)


@functools.lru_cache(maxsize=None)
def public_copy(binary):
    """The program where other users reach it: a checkout may lie in somebody's home."""
    directory = tempfile.mkdtemp(prefix="whystuck-bin-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    os.chmod(directory, 0o755)
    path = shutil.copy(binary, directory)
    os.chmod(path, 0o755)
    return path


def bpf_refused():
    """Why the kernel lets nobody use BPF here, or None. Asked of the kernel, not of the program under test."""
    if not os.path.exists("/sys/kernel/btf/vmlinux"):
        return "this kernel has no BTF (/sys/kernel/btf/vmlinux)"
    numbers = {"x86_64": 321, "aarch64": 280}
    number = numbers.get(os.uname().machine)
    if not number:
        return None
    # BPF_MAP_CREATE (0) of a one-element array: type 2, key 4, value 4, entries 1.
    attr = (ctypes.c_uint32 * 32)(2, 4, 4, 1)
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(number, 0, ctypes.byref(attr), ctypes.sizeof(attr))
    if fd < 0:
        return f"bpf(2) is refused: {os.strerror(ctypes.get_errno())}"
    os.close(fd)
    return None


def require(root=True, bpf=True):
    """Skips the test, saying why, where it cannot run."""
    binary = find_binary()
    if not binary or not os.access(binary, os.X_OK):
        raise unittest.SkipTest("no whystuck program: build it or set WHYSTUCK_BIN")
    if root and os.geteuid():
        raise unittest.SkipTest("needs root")
    if bpf and (why := bpf_refused()):
        raise unittest.SkipTest(why)
    return binary


def main():
    """unittest.main() that leaves with 77 when nothing at all could run."""
    program = unittest.main(exit=False, verbosity=2, module="__main__")
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    # A skipped class counts as one skip and no test run; a part of a test (subTest) that is skipped skips no test.
    skipped = sum(isinstance(test, unittest.TestCase) and not hasattr(test, "test_case") for test, _ in result.skipped)
    sys.exit(SKIPPED if result.skipped and result.testsRun == skipped else 0)


# ---------------------------------------------------------------- processes

class Process:
    """A child with its stdout and stderr read line by line."""

    death = "KILL"  # what it gets when the test dies or is done with it

    def __init__(self, command, env=None):
        self.command = list(map(str, command))
        self.p = popen(self.command, self.death, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, bufsize=1, errors="replace")
        self.pid = self.p.pid
        self.out, self.err = Lines(self.p.stdout), Lines(self.p.stderr)

    def say(self, text="\n"):
        self.p.stdin.write(text)
        self.p.stdin.flush()

    def signal(self, signo):
        self.p.send_signal(signo)

    def wait(self, timeout=EXIT_S):
        """Its exit status; a failure, with what it said last, when it does not leave in time."""
        try:
            status = self.p.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {timeout} s: {self.describe()}") from None
        self.out.wait_closed(5)
        self.err.wait_closed(5)
        return status

    def running(self):
        return self.p.poll() is None

    def describe(self):
        return (f"{' '.join(self.command)} (status {self.p.poll()})\n--- stdout\n{''.join(self.out.all[-15:])}"
                f"--- stderr\n{''.join(self.err.all[-25:])}")

    def stop(self):
        if self.running():
            self.p.send_signal(getattr(signal, "SIG" + self.death))
            try:
                self.p.wait(5)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        with contextlib.suppress(OSError):
            self.p.stdin and self.p.stdin.close()
        for lines, stream in ((self.out, self.p.stdout), (self.err, self.p.stderr)):
            if lines.wait_closed(2):
                stream.close()


def tool(*arguments, env=None, user=None):
    """The observer for what ends by itself (errors, check, replay): (status, stdout, stderr)."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MAS_BENCH_", "LOG_LEVEL"))}
    binary = require(root=False, bpf=False)
    p = popen([public_copy(binary) if user else binary, *arguments], user=user, env=dict(clean, **(env or {})),
              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
    try:
        out, err = p.communicate(timeout=EXIT_S)
    finally:
        if p.poll() is None:
            p.kill()
            p.wait()
    return p.returncode, out, err


class LlmServer(Process):
    death = "TERM"  # it has certificates to remove

    def __init__(self, plan="latency=20,spacing=3", plain=False, unix=None):
        super().__init__([PYTHON, "-B", os.path.join(WORKLOAD, "llm_server.py"), "--plan", plan]
                         + (["--plain"] if plain else []) + (["--unix", unix] if unix else []))
        line = self.out.wait_for(lambda x: x.startswith("ready "), EXIT_S)
        if not line:
            raise RuntimeError("the LLM stand-in does not start: " + self.describe())
        _, self.port, ca = line.split(None, 2)
        self.ca = ca.strip() if not plain else None
        self.endpoint = f"127.0.0.1:{self.port}"

    def arguments(self):
        if not self.ca:
            return ["--llm", f"http://{self.endpoint}"]
        return ["--llm", f"https://{self.endpoint}", "--ca", self.ca]

    def wait_request(self, timeout=EXIT_S):
        """The next request that is complete at the server and not answered: its line."""
        line = self.out.wait_for(lambda x: '"event": "open"' in x, timeout)
        if not line:
            raise AssertionError("no request came: " + self.describe())
        return json.loads(line)

    def release(self):
        self.say("release\n")

    def spans(self):
        """request id -> (complete request, end of reply), CLOCK_MONOTONIC ns, as the server saw them."""
        out = {}
        for line in list(self.out.all):
            if '"event": "done"' in line:
                e = json.loads(line)
                out[e["id"]] = (e["recv_ns"], e["end_ns"])
        return out


class Runner(Process):
    def __init__(self, *arguments, env=None):
        super().__init__([PYTHON, "-B", os.path.join(WORKLOAD, "runner.py"), *arguments],
                         env=dict(os.environ, **(env or {})))
        self.wait_event("ready")

    def wait_event(self, event, timeout=TURNS_S, **fields):
        wanted = dict(fields, event=event)
        line = self.out.wait_for(lambda x: wanted.items() <= json.loads(x).items(), timeout)
        if not line:
            raise AssertionError(f"no {wanted} from the runner: {self.describe()}")
        return json.loads(line)

    def open_gate(self, name):
        """Waits until the runner stands at the gate, then lets it through."""
        self.wait_event("gate", name=name)
        self.say()

    def turns(self):
        out = [json.loads(x) for x in list(self.out.all)]
        return [t for t in out if t["event"] == "turn"]

    def sessions(self):
        """session -> its turns in order; a session is its number and, with child processes, its process."""
        out = {}
        for t in sorted(self.turns(), key=lambda t: t["t_start"]):
            out.setdefault((t["session"], t["pid"]), []).append(t)
        return out


class Observer(Process):
    """whystuck on something (a command, a PID, a list of these); .dir is its output directory."""

    def __init__(self, verb, what, directory, *options, env=None, wait=True, level="INFO"):
        self.dir = directory
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("MAS_BENCH_", "LOG_LEVEL"))}
        tail = ["--", *what] if verb == "run" else []
        head = [] if verb == "run" else [what] if isinstance(what, str) else map(str, what)
        super().__init__([require(root=False, bpf=False), verb, *head, "-o", directory, "--progress", "none",
                          *options, *tail], env=dict(clean, LOG_LEVEL=level, **(env or {})))
        if wait:
            self.wait_attached()

    def wait_attached(self):
        if not self.err.wait_for(lambda x: "attached" in x, ATTACH_S):
            raise AssertionError("does not attach: " + self.describe())

    def interrupt(self, signo=signal.SIGINT):
        """Ctrl-C, and its exit status."""
        self.signal(signo)
        return self.wait()

    def path(self, name):
        return os.path.join(self.dir, name)

    def turns(self):
        return read_turns(self.path("turn_metrics.jsonl"))

    def summary(self):
        with open(self.path("runstats.json")) as f:
            return json.load(f)["turn_metrics_summary"]

    def run_error(self):
        with open(self.path("run_error.json")) as f:
            return json.load(f)

    def said(self):
        return "".join(self.out.all + self.err.all)


def read_turns(path):
    with open(path) as f:
        return [json.loads(line) for line in f]


def wait_until(condition, timeout=EXIT_S, what="the condition"):
    """For what no line announces (files of the observer)."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout} s")
        time.sleep(0.02)
    return value


# ---------------------------------------------------------------- test case

class LiveTest(unittest.TestCase):
    root = bpf = True
    stores_used = ("redis", "postgres")
    stores = None
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        require(cls.root, cls.bpf)
        cls.class_stack = contextlib.ExitStack()
        if cls.stores_used:
            try:
                cls.stores = cls.class_stack.enter_context(Stores(cls.stores_used))
            except FileNotFoundError as exc:
                raise unittest.SkipTest(str(exc)) from None

    @classmethod
    def tearDownClass(cls):
        cls.class_stack.close()

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="whystuck-live-")
        os.chmod(self.directory, 0o755)
        self.counter = itertools.count()
        if os.environ.get("WHYSTUCK_KEEP"):
            print(f"# outputs kept in {self.directory}", file=sys.stderr)
        else:
            self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def new_dir(self):
        return os.path.join(self.directory, f"out{next(self.counter)}")

    def started(self, process):
        self.addCleanup(process.stop)
        return process

    def server(self, *a, **kw):
        return self.started(LlmServer(*a, **kw))

    def runner(self, server, *arguments, stores=True, **kw):
        storage = self.stores.arguments() if stores and self.stores else []
        return self.started(Runner(*server.arguments(), *storage, *arguments, **kw))

    def watch(self, pid, *options, directory=None, **kw):
        pids = pid if isinstance(pid, (list, tuple)) else str(pid)
        return self.started(Observer("watch", pids, directory or self.new_dir(), *options, **kw))

    def named_storage(self):
        """Options that give the stores adapter labels."""
        return ["--storage", f"L1=127.0.0.1:{self.stores.redis_port}",
                "--storage", f"L2=127.0.0.1:{self.stores.pg_port}"]

    def watch_run(self, server, *arguments, options=(), runner_options=None):
        """A whole run, watched from before its first turn to its end: (runner, observer)."""
        runner = self.runner(server, "--gate", "start", *arguments, **(runner_options or {}))
        observer = self.watch(runner.pid, *options)
        runner.open_gate("start")
        self.assertEqual(runner.wait(TURNS_S), 0, runner.describe())
        self.assertEqual(observer.wait(), EXIT_OK, observer.describe())
        return runner, observer

    def scrubbed(self, recording):
        """A scrubbed copy of the recording: its path."""
        copy = f"{recording}.scrubbed{next(self.counter)}"
        status, _, err = tool("replay", "-o", self.new_dir(), "--progress", "none", "--scrub", copy, recording)
        self.assertEqual(status, 0, err)
        return copy

    def check_scrubbed_calls(self, observer, recording, words=()):
        """The copy, and the copy's copy, replay to the calls that were seen live; none of the words, which the recording
        holds, is left."""
        with open(recording, "rb") as f:
            full = f.read()
        self.assertEqual([w for w in words if w not in full], [], "else nothing is shown")
        with open(observer.path("calls.jsonl")) as f:
            seen = f.read()
        once = self.scrubbed(recording)
        for copy in (recording, once, self.scrubbed(once)):
            out = self.new_dir()
            status, _, err = tool("replay", "-o", out, "--calls", "--progress", "none", copy)
            self.assertEqual(status, 0, err)
            with open(os.path.join(out, "calls.jsonl")) as f:
                self.assertEqual(f.read().splitlines(), seen.splitlines(), copy)
            if copy != recording:
                with open(copy, "rb") as f:
                    data = f.read()
                self.assertEqual([w for w in words if w in data], [], copy)

    # ------------------------------------------------------------ comparisons

    def tolerance(self, ms, calls=1):
        """2 ms or 2 %, for each call: what a client does before its first and after its last byte is its own."""
        return max(TOLERANCE_MS * calls, TOLERANCE * ms)

    def check_books(self, turn):
        """llm + storage + backoff - overlap + orchestration = wall, and nothing is negative."""
        parts = {k: turn[k] for k in ("wall_ms", "llm_ms", "storage_ms", "backoff_ms", "overlap_ms",
                                      "orchestration_ms")}
        self.assertTrue(all(v >= 0 for v in parts.values()), parts)
        wall = (turn["llm_ms"] + turn["storage_ms"] + turn["backoff_ms"] - turn["overlap_ms"]
                + turn["orchestration_ms"])
        self.assertAlmostEqual(wall, turn["wall_ms"], delta=0.01, msg=parts)
        self.assertLessEqual(len(turn["storage"]), turn["storage_calls"] or 0)
        self.assertEqual(sum(s["calls"] for s in turn["storage"].values()), turn["storage_calls"])

    def match_sessions(self, runner, turns):
        """Pairs observed sessions with true ones by their tokens (each session's prompts have their own length).
        Yields (truth, observed) turn by turn; fails when a session is missing, split or out of order."""
        seen = {}
        for t in turns:
            seen.setdefault(t["session_id"], []).append(t)
        for ts in seen.values():
            ts.sort(key=lambda t: t["turn_index"])
            self.assertEqual([t["turn_index"] for t in ts], list(range(len(ts))))
        pairs, left = [], dict(seen)
        for key, truth in runner.sessions().items():
            want = [(t["tokens_in"], t["tokens_out"], t["status"]) for t in truth]
            found = next((s for s, ts in left.items()
                          if [(t["tokens_in"], t["tokens_out"], t["status"]) for t in ts] == want), None)
            self.assertIsNotNone(found, f"session {key}: no session has {want}; left: " + str(
                {s: [(t["tokens_in"], t["tokens_out"], t["status"]) for t in ts] for s, ts in left.items()}))
            pairs += zip(truth, left.pop(found))
        self.assertFalse(left, "sessions nobody had")
        return pairs

    def check_turns(self, runner, observer, server, storage=True, storage_exact=True):
        """Every turn of the truth, with its numbers. storage_exact: which turn a storage call belongs to is decidable
        (it is not when many asyncio sessions share a thread); else only the sums are compared."""
        truth, turns = runner.turns(), observer.turns()
        self.assertEqual(len(turns), len(truth), observer.describe())
        self.assertEqual(len({t["turn_id"] for t in turns}), len(turns), "turn_id is unique")
        spans, late = server.spans(), {"llm_ms": 0, "storage_ms": 0}
        for want, got in self.match_sessions(runner, turns):
            where = f"session {want['session']} turn {want['turn']}: {want}\n{got}"
            self.assertEqual(got["schema"], "whystuck.turn/1")
            self.assertIsNone(got["partial"], where)
            self.assertEqual(got["pid"], want["pid"], where)
            for name in ("llm_calls", "retries", "tokens_cached"):
                self.assertEqual(got[name], want[name], f"{name}: {where}")
            self.check_books(got)
            self.check_llm_ms(want, got, spans, late, where)
            if storage and storage_exact:
                self.check_storage(want, got, late, where)
                self.check_start(want, got, where)
        # Between server and client always; near the client's own clock beside the wire mostly: it stands still now and
        # then between that clock and the system call, waiting for the interpreter lock or a CPU.
        alone = "--mode" not in runner.command and len({t["session"] for t in truth}) == 1
        allowed = len(truth) // 2 if alone else len(truth)
        for name, n in late.items():
            self.assertLessEqual(n, allowed, f"{name}: {n} of {len(truth)} turns not within 2 ms or 2 %")
        if storage and not storage_exact:
            # a call in a helper thread that nothing ties to a turn may be in none, never in two
            got, want = (sum(t["storage_calls"] for t in x) for x in (turns, truth))
            self.assertLessEqual(got, want)
            self.assertGreaterEqual(got, 0.9 * want)
        return turns

    def check_llm_ms(self, want, got, spans, late, where):
        """Between what the server and what the client measured; and near the client's, all but a few."""
        high = want["llm_ms"]
        low = sum(b - a for a, b in (spans[i] for i in want["ids"])) / 1e6
        calls = want["llm_calls"] + want["retries"]
        self.assertGreaterEqual(got["llm_ms"], low - self.tolerance(low, calls), f"llm_ms below the server's {low}: {where}")
        self.assertLessEqual(got["llm_ms"], high + self.tolerance(high, calls), f"llm_ms above the client's: {where}")
        if want["wire_ms"] is not None:
            late["llm_ms"] += abs(got["llm_ms"] - want["wire_ms"]) > self.tolerance(want["wire_ms"])
        self.assertAlmostEqual(got["backoff_ms"], want["backoff_ms"], delta=25 if want["backoff_ms"] else 0.001,
                               msg=where)

    def check_storage(self, want, got, late, where):
        self.assertEqual(got["storage_calls"], want["storage_calls"], where)
        high = want["storage_ms"]
        self.assertLessEqual(got["storage_ms"], high + self.tolerance(high), where)
        late["storage_ms"] += abs(got["storage_ms"] - high) > self.tolerance(high)
        got_by_system = {s["system"]: s for s in got["storage"].values()}
        self.assertEqual({k: v["calls"] for k, v in want["storage"].items()},
                         {k: v["calls"] for k, v in got_by_system.items()}, where)
        for name, store in want["storage"].items():
            self.assertLessEqual(got_by_system[name]["ms"], store["ms"] + self.tolerance(store["ms"]), where)
            self.assertEqual(got_by_system[name]["errors"], 0, where)

    def check_start(self, want, got, where):
        """The turn starts at its first read, in wall clock time."""
        start = datetime.datetime.fromisoformat(got["timestamp"].replace("Z", "+00:00")).timestamp()
        self.assertAlmostEqual(start, want["unix_start"], delta=0.05, msg=where)
        self.assertLessEqual(got["wall_ms"], want["wall_ms"] + self.tolerance(want["wall_ms"]), where)


def files_below(directory):
    for base, _, names in os.walk(directory):
        for name in names:
            yield os.path.join(base, name)


def lost(node):
    """Sum of all counters of losses in the coverage ledger."""
    return sum(node["events_lost"].values())
