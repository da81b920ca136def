# SPDX-License-Identifier: BSD-2-Clause
"""Tests of `whystuck PID`: workloads that truly hang, asked after they have hung for longer than the program takes for
life as usual; and their healthy twins.

A test class names its workloads; all are started together, so that they grow old together.
"""
import datetime
import json
import os
import time

from harness import EXIT_S, PYTHON, WORKLOAD, LiveTest, Process, tool

QUIET_S = 20.0  # LOOK_REPLY_NS: what waits for less is no stall yet (most waits: half of that)
EXIT_ALIVE, EXIT_STUCK, EXIT_UNDECIDED = 0, 3, 4
ALIVE = ("progressing", "slow")


class Hang(Process):
    """A workload of tests/workload/hang_*.py; .truth is what it says of itself."""

    def __init__(self, script, *arguments, python=PYTHON, env=None, command=None):
        super().__init__(command or [python, "-B", os.path.join(WORKLOAD, script), *arguments],
                         env=dict(os.environ, **(env or {})))
        self.since = time.monotonic()
        self.healthy = "--healthy" in arguments
        event = "alive" if self.healthy else "hanging"
        line = self.out.wait_for(lambda x: json.loads(x)["event"] == event, EXIT_S)
        if not line:
            raise AssertionError("it does not say it hangs: " + self.describe())
        self.truth = json.loads(line)
        if not self.healthy:
            self.since = self.truth["since"]

    def grow_old(self, seconds=QUIET_S + 1):
        """Waits until it has hung for so long."""
        time.sleep(max(0.0, self.since + seconds - time.monotonic()))


class HangServer(Process):
    """tests/workload/hang_server.py: a port for each way to misbehave."""

    def __init__(self, *arguments):
        super().__init__([PYTHON, "-B", os.path.join(WORKLOAD, "hang_server.py"), *arguments])
        line = self.out.wait_for(lambda x: '"ready"' in x, EXIT_S)
        if not line:
            raise AssertionError("the server does not start: " + self.describe())
        self.ports = json.loads(line)

    def port(self, mode):
        return str(self.ports[mode])

    def wait_request(self, mode):
        """The next one that comes to that port, which it prints."""
        line = self.out.wait_for(lambda x: '"request"' in x and json.loads(x)["mode"] == mode, EXIT_S)
        if not line:
            raise AssertionError("no request comes: " + self.describe())
        return json.loads(line)["at"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Answer:
    """What the program said: status, document (run_error.json), stderr, and how long it took."""

    def __init__(self, pid, *options):
        began = time.monotonic()
        self.status, out, self.err = tool(str(pid), "--json", *options)
        self.seconds = time.monotonic() - began
        try:
            self.document = json.loads(out)
        except ValueError:
            raise AssertionError(f"no JSON from whystuck {pid}: status {self.status}\n{out[:500]}\n{self.err}") from None
        self.verdict = self.document["verdict"]
        self.kind = self.verdict["kind"]
        self.wake = self.verdict["will_wake"]

    def seconds_until(self, timestamp):
        """A timestamp of the document on CLOCK_MONOTONIC, in seconds."""
        at = datetime.datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()
        return at - time.time() + time.monotonic()

    def since(self):
        return self.seconds_until(self.verdict["since"])

    def __str__(self):
        d = self.document
        parts = {k: d.get(k) for k in ("verdict", "in_flight", "next_steps", "unseen")}
        parts["causes"] = [{k: c[k] for k in ("kind", "summary", "evidence")} for c in d["causes"]]
        parts["threads"] = [{k: t.get(k) for k in ("tid", "state", "syscall", "blocked_ms", "frames")}
                            for t in (d.get("threads") or [])[:6]]
        return json.dumps(parts, indent=1)[:6000] + self.err


class WhyTest(LiveTest):
    stores_used = ()
    workloads = {}  # name -> (script, argument, ...), started together

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.hung = {}
        cls.start(cls.workloads)

    @classmethod
    def start(cls, workloads):
        """Starts them together; they end with the class, also when one does not start."""
        try:
            for name, (script, *arguments) in workloads.items():
                cls.hung[name] = Hang(script, *arguments)
                cls.class_stack.callback(cls.hung[name].stop)
        except BaseException:
            cls.class_stack.close()
            raise

    def hang(self, script, *arguments, **kw):
        """One of its own, that ends with the test."""
        return self.started(Hang(script, *arguments, **kw))

    def hang_command(self, command):
        """A workload behind another program."""
        return self.started(Hang(None, command=command))

    def ask_old(self, pid, *options):
        """The answer for a process that has just begun to hang, once it has for long enough."""
        time.sleep(QUIET_S + 1)
        return Answer(pid, *options)

    def why(self, workload, *options, pid=None):
        """The answer for a workload (by name, or itself) that has hung for long enough."""
        w = self.hung[workload] if isinstance(workload, str) else workload
        w.grow_old()
        self.assertTrue(w.running(), w.describe())
        answer = Answer(pid or w.pid, *options)
        self.assertTrue(w.running(), "it is unharmed: " + w.describe())
        return answer

    def stuck(self, workload, kind, *options, wake=None, pid=None, says=(), asked=None):
        """Stuck, and for this reason. kind: one, or several that are true. pid: who is named (default: itself)."""
        w = self.hung[workload] if isinstance(workload, str) else workload
        answer = self.why(w, *options, pid=asked)
        kinds = (kind,) if isinstance(kind, str) else kind
        self.assertIn(answer.kind, kinds, answer)
        self.assertEqual(answer.status, EXIT_UNDECIDED if answer.kind == "unknown" else EXIT_STUCK, answer)
        self.assertEqual(answer.verdict["pid"], pid or w.truth["pid"], answer)
        if wake:
            self.assertIn(answer.wake["answer"], (wake,) if isinstance(wake, str) else wake, answer)
        for text in says:
            self.assertIn(text, json.dumps(answer.document["causes"][0]) + answer.verdict["summary"], answer)
        return answer

    def alive(self, workload, *options):
        """Not stuck."""
        w = self.hung[workload] if isinstance(workload, str) else workload
        answer = Answer(w.pid, *options)
        self.assertTrue(w.running(), "it is unharmed: " + w.describe())
        self.assertIn(answer.kind, ALIVE, answer)
        self.assertEqual(answer.status, EXIT_ALIVE, answer)
        return answer
