# SPDX-License-Identifier: BSD-2-Clause
"""Verdicts that need a history: calls that fail again and again, that succeed in a circle, that are slow. With `watch`,
whose run_error.json holds the full autopsy; and `whystuck PID` on the same runs."""
import json
import os

from harness import main, wait_until
from why import Answer, HangServer, WhyTest

SCRIPT = "hang_calls.py"
STUCK = ["--stuck-timeout", "0.1"]  # 6 s: longer than the slowest reply


class HistoryTest(WhyTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.class_stack.enter_context(HangServer())

    def watched(self, *arguments, options=()):
        w = self.hang(SCRIPT, *arguments)
        return w, self.watch(w.pid, "--llm", "127.0.0.1", *STUCK, *options)

    def stalled(self, w, observer, kind):
        """Its run_error.json, once it says so."""
        document = {}

        def said():
            try:
                document.update(observer.run_error())
            except (FileNotFoundError, ValueError):
                return False
            return True

        wait_until(said, what=f"run_error.json with {kind}: {observer.describe()}")
        self.assertIn(document["verdict"]["kind"], (kind,) if isinstance(kind, str) else kind,
                      json.dumps(document["verdict"], indent=1) + observer.said())
        self.assertTrue(w.running(), w.describe())
        return document


class Watched(HistoryTest):
    def test_a_call_that_hangs_leaves_the_full_autopsy(self):
        w, observer = self.watched("threads", self.server.port("silent"))
        d = self.stalled(w, observer, "llm_no_response")
        self.assertIn("8 calls of POST /v1/chat/completions", d["verdict"]["summary"])
        self.assertIn("ask (hang_calls.py:", d["verdict"]["where"])
        self.assertEqual(d["verdict"]["will_wake"]["answer"], "never", d["verdict"])
        self.assertTrue(all(t["python"] for t in d["threads"]), d["threads"])
        self.assertEqual(len(d["in_flight"]), 8)
        self.assertTrue(d["processes"] and d["sockets"] and d["next_steps"])

    def test_an_asyncio_run_that_hangs_has_its_tasks_in_it(self):
        w, observer = self.watched("asyncio", self.server.port("silent"))
        d = self.stalled(w, observer, "llm_no_response")
        self.assertGreaterEqual(len(d["tasks"]), 5)
        self.assertIn("ask_llm (hang_calls.py:", d["verdict"]["where"])

    def test_a_wait_that_the_server_asked_for_is_a_rate_limit_with_its_end(self):
        gate = self.hang(SCRIPT, "retries", self.server.port("limited"), "gate")
        observer = self.watch(gate.pid, "--llm", "127.0.0.1", *STUCK)
        gate.say()
        limited = json.loads(gate.out.wait_for(lambda x: "sleeping" in x, 10))
        d = self.stalled(gate, observer, "rate_limited")
        a = Answer(gate.pid)  # it came too late for the reply
        self.assertEqual(d["verdict"]["will_wake"]["answer"], "at", d["verdict"])
        self.assertAlmostEqual(a.seconds_until(d["verdict"]["will_wake"]["at"]), limited["wakes"], delta=0.2)
        self.assertIn(a.kind, ("sleeping", "rate_limited"), a)
        self.assertAlmostEqual(a.seconds_until(a.wake["at"]), limited["wakes"], delta=0.2)

    def test_a_reply_whose_beginning_alone_was_waited_for_is_no_stalled_stream(self):
        """Attached while the reply was awaited: it came, whole, and the program sleeps."""
        for kind in ("sync", "asyncio"):
            with self.subTest(kind):
                w, observer = self.watched("answered", self.server.port("slow"), kind)
                sleeping = json.loads(w.out.wait_for(lambda x: "sleeping" in x, 10))
                # where such a reply ends is not known; a loop goes on watching its connection, a thread does not
                self.stalled(w, observer, "sleeping" if kind == "sync" else ("sleeping", "unknown"))
                a = Answer(w.pid)
                self.assertEqual(a.kind, "sleeping", a)
                self.assertAlmostEqual(a.seconds_until(a.wake["at"]), sleeping["wakes"], delta=0.2)

    def test_failures_again_and_again_are_a_retry_loop(self):
        for mode, kinds in (("fails", ("retry_loop",)), ("refuses", ("rate_limited", "retry_loop"))):
            with self.subTest(mode):
                w, observer = self.watched("retries", self.server.port(mode))
                d = self.stalled(w, observer, kinds)
                self.assertIn("in a row", d["verdict"]["summary"])

    def test_calls_that_succeed_without_an_end_are_a_circle(self):
        w, observer = self.watched("circle", self.server.port("answer"))
        self.stalled(w, observer, "turn_loop")


class HealthyWatched(HistoryTest):
    def test_their_healthy_twins_leave_no_verdict(self):
        twins = {("threads", self.server.port("late")): None, ("circle", self.server.port("answer")): None,
                 ("retries", self.server.port("fails"), self.server.port("answer")): None,
                 ("httpx_stream", self.server.port("drip")): None, ("asyncio", self.server.port("late")): None}
        for arguments in twins:
            twins[arguments] = self.watched(*arguments, "--healthy")
        # longer than the stuck timeout, counted in rounds of theirs
        for w, _ in twins.values():
            until = json.loads(w.out.wait_for(lambda x: "alive" in x, 10))["at"] + 9
            self.assertTrue(w.out.wait_for(lambda x, until=until: json.loads(x)["at"] > until, 30), w.describe())
        for (case, *_), (w, observer) in twins.items():
            with self.subTest(case):
                self.assertFalse(os.path.exists(observer.path("run_error.json")),
                                 observer.said() + json.dumps(observer.run_error()["verdict"], indent=1)
                                 if os.path.exists(observer.path("run_error.json")) else "")
                self.assertTrue(w.running(), w.describe())
                self.alive(w)


if __name__ == "__main__":
    main()
