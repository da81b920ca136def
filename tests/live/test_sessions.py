#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Turns of many conversations: on threads that share them, on one event loop, in worker processes, through tools."""
import harness
from compare import TurnsTest
from harness import lost


class Sessions(TurnsTest):
    def check(self, workload, observer, server, storage_exact=True, alone=False):
        turns = observer.turns()
        self.assertEqual(len(turns), len(workload.turns()), observer.describe())
        pairs = self.match_sessions(workload, turns)
        self.check_pairs(pairs, server, self.from_call_to_call, storage_exact=storage_exact, alone=alone)
        self.check_all_books(observer)
        self.assertEqual(lost(observer.summary()["coverage"]), 0)
        return pairs

    def test_conversations_that_move_between_eight_threads(self):
        server = self.server("latency=150,spacing=5")
        workload, observer = self.watched("pool.py", "--sessions", "12", "--turns", "4", server=server)
        self.assertGreater(len({t["tid"] for t in workload.turns()}), 4, "the pool was used")
        pairs = self.check(workload, observer, server)
        for want, got in pairs:
            self.assertEqual(got["tid"], want["tid"], "the thread that did the turn")
            self.assertNotIn("attribution", got)

    def test_fifty_sessions_on_one_event_loop(self):
        server = self.server("latency=400", plain=True)
        workload, observer = self.watched("asyncio_sessions.py", "--libraries", "--sessions", "50", "--turns", "3",
                                          server=server, postgres=False)
        self.check(workload, observer, server)
        got, want = observer.turns(), workload.turns()
        by_order = [t for t in got if t.get("attribution") == "order"]
        # A write that cannot go out at once is sent later, by the loop and no task; then the line says so.
        self.assertLessEqual(len(by_order), len(got) // 10)
        self.assertLessEqual(sum(t["storage_calls"] for t in got), sum(t["storage_calls"] for t in want))

    def test_four_worker_processes(self):
        for start in ("spawn", "fork"):
            with self.subTest(start=start):
                server = self.server("latency=150,spacing=5")
                workload, observer = self.watched("workers.py", "--start", start, "--turns", "3", server=server)
                self.assertEqual(len({t["pid"] for t in workload.turns()}), 4)
                self.assertEqual(sum(e["answers"] for e in workload.events("collected")), len(observer.turns()))
                self.check(workload, observer, server)

    def test_the_rounds_of_a_tool_loop_are_one_turn(self):
        for order in ((), ("--interleave",)):
            with self.subTest(order=order):
                server = self.server("latency=60")
                workload, observer = self.watched("toolloop.py", *order, server=server)
                pairs = self.check(workload, observer, server, alone=True)
                for want, got in pairs:
                    self.assertEqual(got["llm_calls"], want["rounds"] + 1)


if __name__ == "__main__":
    harness.main()
