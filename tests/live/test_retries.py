#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A call and its retries are one call: attempts, the waits between, and how it ended, as the runner has it."""
import harness
from compare import TurnsTest
from harness import lost

RETRY_AFTER = "latency=30,retry_after=0.3"


class Retries(TurnsTest):
    def check(self, *arguments, plan=RETRY_AFTER):
        server = self.server(plan)
        workload, observer = self.watched("retry.py", *arguments, server=server)
        truth, turns = workload.turns(), observer.turns()
        self.assertEqual([t["turn_index"] for t in turns], list(range(len(truth))), observer.describe())
        self.assertEqual(len({t["session_id"] for t in turns}), 1, "one conversation")
        self.check_pairs(list(zip(truth, turns)), server, self.from_call_to_call)
        self.check_all_books(observer)
        summary = observer.summary()
        self.assertEqual(summary["calls_outside_turns"], 0)
        self.assertEqual({k: n for k, n in summary["status"].items() if n},
                         {s: sum(t["status"] == s for t in truth) for s in {t["status"] for t in truth}})
        self.assertEqual(lost(summary["coverage"]), 0)
        return truth, turns, server

    def test_three_429s_with_retry_after_and_then_an_answer(self):
        truth, turns, _ = self.check("sdk", "--faults", "none/429:3/none")
        self.assertEqual([(t["llm_calls"], t["retries"], t["status"]) for t in turns],
                         [(1, 0, "ok"), (1, 3, "ok"), (1, 0, "ok")])
        self.assertGreaterEqual(turns[1]["backoff_ms"], 3 * 300)
        self.assertIsNone(turns[1]["error"])

    def test_server_errors_and_dropped_connections_are_tried_again(self):
        for client in ("httpx", "requests", "http.client"):
            with self.subTest(client=client):
                _, turns, _ = self.check("sdk", "--client", client, "--faults", "503:2/drop:1/429+drop+500")
                self.assertEqual([t["retries"] for t in turns], [2, 1, 3])

    def test_retries_that_are_used_up_end_the_turn_as_the_last_attempt_did(self):
        truth, turns, server = self.check("sdk", "--faults", "429/500/503/none", "--retries", "2")
        self.assertEqual([t["status"] for t in turns], ["rate_limited", "error", "error", "ok"])
        for t, status in zip(turns, (429, 500, 503)):
            self.assertEqual(t["retries"], 2)
            self.assertEqual((t["error"]["http_status"], t["error"]["endpoint"]), (status, server.endpoint))
        self.assertIsNone(turns[3]["error"])

    def test_a_runner_that_sleeps_and_asks_again_by_itself(self):
        _, turns, _ = self.check("loop", "--faults", "429:3/503:2/none/500")
        self.assertEqual([(t["llm_calls"], t["retries"], t["status"]) for t in turns],
                         [(1, 3, "ok"), (1, 2, "ok"), (1, 0, "ok"), (1, 3, "error")])

    def test_an_sdk_that_gives_up_inside_a_runner_that_begins_anew(self):
        _, turns, _ = self.check("both", "--faults", "429:3/500", "--retries", "1", "--loops", "2")
        self.assertEqual([(t["llm_calls"], t["retries"], t["status"]) for t in turns],
                         [(1, 3, "ok"), (1, 3, "error")])


if __name__ == "__main__":
    harness.main()
