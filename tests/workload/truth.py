# SPDX-License-Identifier: BSD-2-Clause
"""What a workload knows of its own turns, told as JSON lines on stdout: times by CLOCK_MONOTONIC, calls, tokens.

A `turn` line has session, turn, role, pid, tid; t_start, t_end around the turn, t_first_end, t_last_start, t_first,
t_last: end of the first, start of the last, start of the first and end of the last of its calls (ns); wall_ms from the
first call to the last; wire_ms (wire.py; of one flow of control only), llm_ms, storage_ms, overlap_ms, backoff_ms; llm_calls (logical: a call and its retries are one),
retries (further attempts), ids (of all attempts, as the LLM server's log has them), storage_calls, storage by system;
tokens, status and http_status of the newest attempt. Runs on any CPython from 3.8 on.
"""
import contextlib
import json
import os
import sys
import threading
import time
import uuid

import wire

NS_MS = 1e6
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
TIMEOUT, BROKEN = -1, 0  # in place of a status: the client gave up waiting, the connection broke


def union_ms(spans):
    total, end = 0, 0
    for a, b in sorted(spans):
        total += max(0, b - max(a, end))
        end = max(end, b)
    return total / NS_MS


def say(**line):
    """One write a line: threads and processes of a run share the descriptor."""
    os.write(1, (json.dumps(line) + "\n").encode())


def ready():
    """Says so and waits until told to go on."""
    say(event="ready", pid=os.getpid())
    sys.stdin.readline()


def prompt(number, index):
    """The user's message: each session's has a length of its own, so that tokens tell sessions apart."""
    return f"session {number} turn {index} " + " ".join(f"q{number}x{i}" for i in range(5 + 7 * number + index % 3))


class Turn:
    def __init__(self, session, index, role="user", **more):
        self.session, self.index, self.role, self.more = session, index, role, more
        self.spans = {"llm": [], "redis": [], "postgres": [], "sleep": []}
        self.wire = []
        self.tokens, self.ids = {"in": 0, "out": 0, "cached": 0}, []
        self.llm_calls, self.retries, self.status, self.http, self.error = 0, 0, "ok", None, None
        self.pid, self.tid = os.getpid(), threading.get_native_id()
        self.unix, self.start = time.clock_gettime(time.CLOCK_REALTIME), time.monotonic_ns()

    @contextlib.contextmanager
    def span(self, kind):
        """Times what is done in it. Of async code as well."""
        before = time.monotonic_ns()
        try:
            yield
        finally:
            self.spans[kind].append((before, time.monotonic_ns()))
            moved = wire.span(*self.spans[kind][-1]) if kind == "llm" else None
            self.wire += [moved] if moved else []

    # LLM calls

    def attempt(self, again=False):
        """The id of one more request; again: the same call once more."""
        self.llm_calls += not again
        self.retries += again
        self.ids.append(str(uuid.uuid4()))
        return self.ids[-1]

    def answered(self, status, document):
        """What came back of the newest attempt; the message, None on failure."""
        self.http, self.status = status, {200: "ok", 429: "rate_limited", TIMEOUT: "timeout",
                                          BROKEN: "aborted"}.get(status, "error")
        if status != 200:
            return None
        usage = document["usage"]
        self.tokens["in"] += usage["prompt_tokens"]
        self.tokens["out"] += usage["completion_tokens"]
        self.tokens["cached"] += usage["prompt_tokens_details"]["cached_tokens"]
        return document["choices"][0]["message"]

    # the truth

    def line(self, **more):
        end = time.monotonic_ns()
        storage = {k: self.spans[k] for k in ("redis", "postgres") if self.spans[k]}
        stored = sum(storage.values(), [])
        calls = sorted(self.spans["llm"] + stored)
        first, last = (calls[0], max(calls, key=lambda c: c[1])) if calls else ((end, end), (end, end))
        seen = bool(self.spans["llm"]) and self.status == "ok"
        parts = union_ms(self.spans["llm"]) + union_ms(stored)
        return {"event": "turn", "pid": self.pid, "tid": self.tid, "session": self.session, "turn": self.index,
                "role": self.role, "t_start": self.start, "t_end": end, "unix_start": self.unix, "t_first": first[0],
                "t_first_end": first[1], "t_last_start": last[0], "t_last": last[1],
                "wall_ms": (last[1] - first[0]) / NS_MS, "llm_ms": union_ms(self.spans["llm"]),
                "wire_ms": union_ms(self.wire) if self.wire else None, "storage_ms": union_ms(stored), "overlap_ms": parts - union_ms(self.spans["llm"] + stored),
                "storage": {k: {"ms": union_ms(v), "calls": len(v)} for k, v in storage.items()},
                "backoff_ms": union_ms(self.spans["sleep"]), "llm_calls": self.llm_calls, "retries": self.retries,
                "storage_calls": len(stored), "ids": self.ids, "tokens_in": self.tokens["in"] if seen else None,
                "tokens_out": self.tokens["out"] if seen else None,
                "tokens_cached": self.tokens["cached"] if seen else None, "status": self.status,
                "http_status": self.http, **self.more, **more}

    def end(self, **more):
        say(**self.line(**more))
