#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A thousand turns: none missing, nothing lost."""
import harness
from harness import LiveTest, lost


class Volume(LiveTest):
    def check_volume(self, *arguments, turns, plan="latency=20,spacing=1"):
        server = self.server(plan)
        runner, observer = self.watch_run(server, *arguments)
        self.assertEqual(len(runner.turns()), turns)
        got, summary = observer.turns(), observer.summary()
        self.assertEqual(len(got), turns)
        self.assertEqual(lost(summary["coverage"]), 0, summary["coverage"])
        for _, t in self.match_sessions(runner, got):
            self.assertIsNone(t["partial"])
            self.check_books(t)
        self.assertEqual(sum(t["storage_calls"] for t in got), 5 * turns)
        self.assertEqual((summary["turns"], summary["status"]["ok"]), (turns, turns))

    def test_a_thousand_turns_in_ten_threads(self):
        self.check_volume("--mode", "threads", "--sessions", "10", "--turns", "100", turns=1000)

    def test_a_thousand_turns_in_ten_tasks_of_a_loop(self):
        self.check_volume("--mode", "asyncio", "--client", "aiohttp", "--api", "openai-stream", "--sessions", "10",
                          "--turns", "100", turns=1000)

    def test_a_long_conversation_of_one_session(self):
        self.check_volume("--turns", "300", turns=300, plan="latency=1,spacing=0")


if __name__ == "__main__":
    harness.main()
