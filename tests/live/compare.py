# SPDX-License-Identifier: BSD-2-Clause
"""Workloads that tell their turns as workload/truth.py has it, the observer's lines of them, and the comparison.

A time on the wire lies between two that are known: what the LLM server saw, or the sum of the sleeps, is the least;
what the client saw is the most, for its own Python runs before its first byte and after its last. Each bound holds
within 2 ms or 2 %, for each call. Counts, tokens, sessions and order are exact, and so are the books, to the last
digit.
"""
import contextlib
import datetime
import decimal
import gzip
import json
import os
import re
import signal
import threading
import urllib.request

from harness import EXIT_OK, EXIT_S, PYTHON, TURNS_S, WORKLOAD, LiveTest, Process, lost

MICROSECOND = 0.001  # ms: what times are cut to
PARTS = ("wall_ms", "llm_ms", "storage_ms", "backoff_ms", "overlap_ms", "orchestration_ms")


class Workload(Process):
    """A program of tests/workload/, started and ready."""

    def __init__(self, script, *arguments, wait=True):
        super().__init__([PYTHON, "-B", os.path.join(WORKLOAD, script), *arguments])
        self.ready = self.wait_event("ready") if wait else None

    def wait_event(self, event, timeout=TURNS_S):
        line = self.out.wait_for(lambda x: f'"event": "{event}"' in x, timeout)
        if not line:
            raise AssertionError(f"no {event} from the workload: {self.describe()}")
        return json.loads(line)

    def events(self, event):
        lines = [json.loads(x) for x in list(self.out.all) if x.startswith('{"event"')]
        return [x for x in lines if x["event"] == event]

    def turns(self):
        return self.events("turn")

    def sessions(self):
        out = {}
        for t in sorted(self.turns(), key=lambda t: t["t_start"]):
            out.setdefault((t["session"], t["pid"]), []).append(t)
        return out


def metrics_files(directory, name="turn_metrics.jsonl"):
    """Its files, the oldest first: rotated ones, the newest of which has the largest number, then the one in use."""
    numbers = {}
    for leaf in os.listdir(directory):
        if m := re.fullmatch(re.escape(name) + r"\.(\d+)(?:\.gz)?", leaf):
            numbers.setdefault(int(m[1]), []).append(leaf)
    # while one is being compressed both are there for a moment; then either has all of it
    rotated = [min(numbers[n], key=len) for n in sorted(numbers)]
    # killed between the two steps of a rotation, it left none in use
    used = [name] if os.path.exists(os.path.join(directory, name)) else []
    return [os.path.join(directory, leaf) for leaf in rotated + used]


def read_lines(path):
    """A file's lines without their ends; an AssertionError when the last one has none."""
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as f:
        data = f.read()
    if data and not data.endswith(b"\n"):
        raise AssertionError(f"{path}: a torn last line: {data[-200:]!r}")
    return data.decode().split("\n")[:-1]


def all_turns(directory):
    return [json.loads(line) for path in metrics_files(directory) for line in read_lines(path)]


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class TurnsTest(LiveTest):
    """What the tests of turns share."""

    # ------------------------------------------------------------ starting

    def workload(self, script, *arguments, server, postgres=True, redis=True, wait=True):
        storage = ["--redis", f"127.0.0.1:{self.stores.redis_port}"] if redis else []
        if postgres:
            storage += ["--postgres", f"127.0.0.1:{self.stores.pg_port}"]
        return self.started(Workload(script, *server.arguments(), *storage, *arguments, wait=wait))

    def watched(self, script, *arguments, server, options=(), postgres=True):
        """A whole run, watched from before its first turn: (workload, observer)."""
        workload = self.workload(script, *arguments, server=server, postgres=postgres)
        observer = self.watch(workload.pid, *options)
        workload.say()
        self.finished(workload, observer)
        return workload, observer

    def finished(self, workload, observer):
        self.assertEqual(workload.wait(TURNS_S), 0, workload.describe())
        self.assertEqual(observer.wait(EXIT_S), EXIT_OK, observer.describe())

    # ------------------------------------------------------------ books

    def check_all_books(self, observer, calls=False, exact=False):
        """Every line balances to the last digit; every LLM call is in one turn or said to be in none."""
        with open(observer.path("turn_metrics.jsonl")) as f:
            turns = [json.loads(line, parse_float=decimal.Decimal) for line in f]
        for t in turns:
            parts = {k: decimal.Decimal(t[k]) for k in PARTS}
            self.assertTrue(all(v >= 0 for v in parts.values()), parts)
            self.assertEqual(parts["llm_ms"] + parts["storage_ms"] + parts["backoff_ms"] - parts["overlap_ms"]
                             + parts["orchestration_ms"], parts["wall_ms"], t)
            self.assertEqual(sum(s["calls"] for s in t["storage"].values()), t["storage_calls"], t)
            self.assertFalse(t["llm_calls"] == 0 and t["retries"], t)
        self.assertEqual(len({t["turn_id"] for t in turns}), len(turns), "turn_id is unique")
        summary = observer.summary()
        inside = sum(t["llm_calls"] + t["retries"] for t in turns)
        self.assertEqual(inside + summary["calls_outside_turns"], summary["coverage"]["calls"]["llm"],
                         f"{inside} LLM calls in turns; {summary}")
        self.assertEqual(summary["turns"], len(turns))
        if calls:
            self.check_calls(observer, turns, summary, exact)

    def check_calls(self, observer, turns, summary, exact):
        """calls.jsonl: each call is there, once. It says of which turn it is, if that was known when it ended; exact:
        the turns are opened by the LLM requests themselves, so that it was."""
        with open(observer.path("calls.jsonl")) as f:
            calls = [json.loads(line) for line in f]
        by_turn = {}
        for c in calls:
            by_turn.setdefault(c["turn_id"], []).append(c["class"])
        known = {t["turn_id"] for t in turns}
        self.assertFalse(set(by_turn) - known - {None}, "turns that are in no line")
        for t in turns:
            classes = by_turn.get(t["turn_id"], [])
            self.assertLessEqual(classes.count("llm"), t["llm_calls"] + t["retries"], t)
            self.assertLessEqual(classes.count("storage"), t["storage_calls"], t)
        self.assertGreaterEqual(by_turn.get(None, []).count("llm"), summary["calls_outside_turns"])
        for name in ("llm", "storage"):
            self.assertEqual(sum(c["class"] == name for c in calls), summary["coverage"]["calls"][name], name)
        if exact:
            self.assertEqual({t["turn_id"]: by_turn.get(t["turn_id"], []).count("llm") for t in turns},
                             {t["turn_id"]: t["llm_calls"] + t["retries"] for t in turns})

    # ------------------------------------------------------------ pairing

    def by_session(self, truth, turns):
        """Pairs by the session_id that both know, in order; every turn of the one and the other."""
        got = {}
        for t in turns:
            got.setdefault(t["session_id"], []).append(t)
        want = {}
        for t in sorted(truth, key=lambda t: t["t_start"]):
            want.setdefault(t["session"], []).append(t)
        self.assertEqual({s: len(ts) for s, ts in got.items()}, {s: len(ts) for s, ts in want.items()})
        pairs = []
        for session, ts in want.items():
            self.assertEqual([t["turn_index"] for t in got[session]], list(range(len(ts))), session)
            pairs += zip(ts, got[session])
        return pairs

    def by_order(self, truth, turns):
        """Pairs by when they began: of one flow of control, or of turns that say no session."""
        self.assertEqual(len(turns), len(truth), f"{truth}\n{turns}")
        return list(zip(sorted(truth, key=lambda t: t["t_first"]), sorted(turns, key=lambda t: t["timestamp"])))

    # ------------------------------------------------------------ numbers

    def check_pairs(self, pairs, server, wall, storage_exact=True, alone=False, pid=True):
        """wall(want): (least, most) ms of the turn. alone: one flow of control and nothing beside it, so that most
        turns are near what the client measured, too. storage_exact: which turn a storage call is in can be told."""
        spans, late = server.spans(), {"llm_ms": 0, "storage_ms": 0, "wall_ms": 0}
        for want, got in pairs:
            where = f"{want}\n{got}"
            self.assertEqual(got["schema"], "whystuck.turn/1")
            self.assertIsNone(got["partial"], where)
            for name in ("llm_calls", "retries", "tokens_in", "tokens_out", "tokens_cached", "status", "role"):
                self.assertEqual(got[name], want[name], f"{name}: {where}")
            if pid:
                self.assertEqual(got["pid"], want["pid"], where)
            self.check_llm(want, got, spans, late, where)
            self.check_backoff(want, got, spans, where)
            exact = storage_exact and got.get("attribution") != "order"
            if exact:
                self.check_stores(want, got, late, where)
            self.check_wall(want, got, wall(want), late, where, start=exact)
        if alone:
            for name, n in late.items():
                self.assertLessEqual(n, len(pairs) // 2, f"{name}: {n} of {len(pairs)} turns not within 2 ms or 2 %")

    def within(self, ms, low, high, calls, what):
        self.assertGreaterEqual(ms, low - self.tolerance(low, calls), f"below {low}: {what}")
        self.assertLessEqual(ms, high + self.tolerance(high, calls), f"above {high}: {what}")

    def check_llm(self, want, got, spans, late, where):
        attempts = max(1, len(want["ids"]))
        low = sum(b - a for a, b in (spans[i] for i in want["ids"])) / 1e6
        self.within(got["llm_ms"], low, want["llm_ms"], attempts, "llm_ms: " + where)
        if want["wire_ms"] is not None:
            late["llm_ms"] += abs(got["llm_ms"] - want["wire_ms"]) > self.tolerance(want["wire_ms"])
        if want["status"] == "ok" and want["ids"]:
            self.assertLessEqual(got["ttft_ms"], got["llm_ms"] + MICROSECOND, where)
        elif not want["ids"]:
            self.assertIsNone(got["ttft_ms"], where)

    def check_backoff(self, want, got, spans, where):
        """From a failed attempt's end to the next one's begin: the sleep at least, at most what the server saw."""
        if not want["retries"]:
            self.assertEqual(got["backoff_ms"], 0, where)
            return
        ids = want["ids"]
        high = sum(spans[b][0] - spans[a][1] for a, b in zip(ids, ids[1:])) / 1e6
        self.within(got["backoff_ms"], want["backoff_ms"], high, want["retries"], "backoff_ms: " + where)

    def check_stores(self, want, got, late, where):
        self.assertEqual(got["storage_calls"], want["storage_calls"], where)
        self.within(got["storage_ms"], 0, want["storage_ms"], 1, "storage_ms: " + where)
        late["storage_ms"] += abs(got["storage_ms"] - want["storage_ms"]) > self.tolerance(want["storage_ms"])
        seen = {s["system"]: s for s in got["storage"].values()}
        self.assertEqual({k: (s["calls"], 0) for k, s in want["storage"].items()},
                         {k: (s["calls"], s["errors"]) for k, s in seen.items()}, where)
        for name, store in want["storage"].items():
            self.within(seen[name]["ms"], 0, store["ms"], 1, f"{name}: {where}")

    def check_wall(self, want, got, bounds, late, where, start=True):
        low, high = bounds
        self.within(got["wall_ms"], low, high, 1, "wall_ms: " + where)
        late["wall_ms"] += abs(got["wall_ms"] - high) > self.tolerance(high)
        if start and want["storage_calls"] + want["llm_calls"]:
            began = (moment(got["timestamp"]) - want["unix_start"]) * 1000
            earliest, latest = want.get("t_sent", want["t_first"]), want.get("t_request", want["t_first_end"])
            self.within(began, (earliest - want["t_start"]) / 1e6, (latest - want["t_start"]) / 1e6, 1,
                        "timestamp: " + where)

    # the turn's wall, as each source has it

    @staticmethod
    def from_call_to_call(want):
        """llm: from the begin of its first call to the end of its last."""
        inner = max(0, want["t_last_start"] - want["t_first_end"]) / 1e6
        return inner, want["wall_ms"]

    @staticmethod
    def from_call_to_line(want):
        """jsonl, stdout: from the begin of its first call to the write of the line that tells of it."""
        before, after = want["t_logged"]
        return max(0, before - want["t_first_end"]) / 1e6, (after - want["t_first"]) / 1e6

    @staticmethod
    def from_request_to_reply(want):
        """http: from the first byte of the request to the last of the reply: at least until the server's last call, for
        only then did it reply (it looks at the clock when that may long be there); at most until both ends are done
        with it, as the client may be sooner than the server."""
        end = max(want["t_received"], want["t_response"])
        return (want["t_last"] - want["t_request"]) / 1e6, (end - want["t_sent"]) / 1e6

    @staticmethod
    def from_asking_to_reply(want):
        """http, with the client watched as well: as it had it."""
        return (want["t_last"] - want["t_request"]) / 1e6, (want["t_received"] - want["t_sent"]) / 1e6

    def said(self, observer, *words):
        """A line of the observer's that has all these words."""
        return next((x for x in observer.err.all if all(w in x for w in words)), None)


class SourcesTest(TurnsTest):
    """What the tests of turn sources share: a runner with its agent server, and a runner's log."""

    def check_end(self, observer, outside=0):
        summary = observer.summary()
        self.check_all_books(observer)
        self.assertEqual(summary["calls_outside_turns"], outside)
        self.assertEqual(lost(summary["coverage"]), 0, summary["coverage"])

    def check_source(self, observer, *words):
        """It says at start, or when it knows, by what it cuts turns and why."""
        line = self.said(observer, "turns", *words)
        self.assertIsNotNone(line, observer.describe())
        return line

    # ------------------------------------------------------------ an agent that is a server

    def agent(self, variant, server, *arguments):
        """The agent's server: threads can have both stores, tasks have Redis."""
        return self.workload("agent_server.py", variant, *arguments, server=server, wait="--gate" not in arguments,
                             postgres=variant == "threads")

    def url(self, agent):
        agent.ready = agent.ready or agent.wait_event("ready")
        return f"http://127.0.0.1:{agent.ready['port']}"

    def split_runner(self, agent, server, *arguments):
        return self.workload("goodai.py", "--directory", self.directory, "--agent", self.url(agent), *arguments,
                             server=server)

    def run_split(self, runner, agent, observer):
        """The whole run, then the agent's end; the observer leaves when both have."""
        with polled(self.url(agent) + "/health") as answers:
            runner.say()
            self.assertEqual(runner.wait(TURNS_S), 0, runner.describe())
        self.assertTrue(answers and set(answers) == {200}, "the monitor was answered")
        agent.signal(signal.SIGTERM)
        self.assertEqual(agent.wait(EXIT_S), 0, agent.describe())
        self.assertEqual(observer.wait(EXIT_S), EXIT_OK, observer.describe())

    def joined(self, runner, agent):
        """What the agent did in each turn, with what the runner knows of it; by the conversation's key and the turn."""
        asked = {(t["key"], t["turn"]): t for t in runner.turns() if not t["supplied"]}
        told = {(t["session"], t["turn"]): t for t in agent.turns()}
        self.assertEqual(set(asked), set(told), "the agent served each turn it was asked for")
        return {k: {**told[k], **{n: asked[k][n] for n in ("t_sent", "t_received", "t_logged")}} for k in told}

    # ------------------------------------------------------------ GoodAI's runner

    @staticmethod
    def goodai_wall(want):
        """From its first call, be it to a server, to the line; of a reply that was supplied there is no call."""
        before, after = want["t_logged"]
        if not want["llm_calls"]:
            return 0, (after - want["t_start"]) / 1e6
        first, first_end = want.get("t_sent", want["t_first"]), want.get("t_request", want["t_first_end"])
        return max(0, before - first_end) / 1e6, (after - first) / 1e6

    def goodai_pairs(self, runner, observer):
        """By test; fill turns, which have none, are one session that no test has the name of."""
        truth, turns = runner.turns(), observer.turns()
        tests = {t["session"] for t in truth} - {""}
        other = {t["session_id"] for t in turns} - tests
        self.assertLessEqual(len(other), 1, other)
        turns = [dict(t, session_id="" if t["session_id"] in other else t["session_id"]) for t in turns]
        pairs = self.by_session(truth, turns)
        order = [(t["session"], t["turn"]) for t in sorted(truth, key=lambda t: t["t_start"])]
        self.assertEqual([(t["session_id"], t["turn_index"]) for t in turns], order, "lines come as turns end")
        return pairs


@contextlib.contextmanager
def polled(url, every_s=0.2):
    """Somebody asks for the server's health all the time, as monitors do."""
    stop, answers = threading.Event(), []

    def poll():
        while not stop.wait(every_s):
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as r:
                answers.append(r.status)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join()
