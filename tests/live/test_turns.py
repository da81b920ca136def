#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Every turn is there, with the numbers the runner and the LLM server measured themselves."""
import harness
from harness import LiveTest, lost
from runner import APIS


class Turns(LiveTest):
    def check_run(self, *arguments, plan="latency=40,spacing=5", options=(), storage_exact=True, server=None):
        server = server or self.server(plan)
        if "asyncio" not in arguments:
            arguments += ("--wire",)
        runner, observer = self.watch_run(server, *arguments, options=options)
        turns = self.check_turns(runner, observer, server, storage_exact=storage_exact)
        self.check_summary(runner, observer)
        return runner, observer, turns

    def check_summary(self, runner, observer):
        truth, summary = runner.turns(), observer.summary()
        self.assertEqual(summary["turns"], len(truth))
        self.assertEqual(summary["status"], {"ok": len(truth)} | {k: 0 for k in summary["status"] if k != "ok"})
        self.assertEqual(summary["stalls"], 0)
        for name in ("tokens_in", "tokens_out"):
            want = [t[name] for t in truth]
            self.assertEqual(summary[name], None if None in want else sum(want), name)
        for name in ("llm_ms", "storage_ms"):
            h = summary[name]
            self.assertEqual(h["count"], len(truth), name)
            self.assertLessEqual(h["min"], h["p50"])
            self.assertLessEqual(h["p50"], h["p95"])
            self.assertLessEqual(h["p95"], h["p99"])
            self.assertLessEqual(h["p99"], h["max"])
        self.assertEqual(lost(summary["coverage"]), 0, summary["coverage"])

    def test_sync_clients(self):
        for client in ("httpx", "requests", "urllib"):
            with self.subTest(client=client):
                self.check_run("--client", client, "--sessions", "2", "--turns", "5")

    def test_asyncio_clients_with_memory_bios(self):
        for client in ("httpx", "aiohttp"):
            with self.subTest(client=client):
                self.check_run("--mode", "asyncio", "--client", client, "--turns", "5")

    def test_eight_threads_share_a_client_and_connections_wander_between_them(self):
        self.check_run("--mode", "threads", "--sessions", "8", "--turns", "6", plan="latency=150,spacing=10")

    def test_asyncio_sessions_interleave_on_one_thread(self):
        for client in ("httpx", "aiohttp"):
            with self.subTest(client=client):
                self.check_run("--mode", "asyncio", "--client", client, "--sessions", "4", "--turns", "4",
                               plan="latency=150,spacing=10", storage_exact=False)

    def test_every_api(self):
        for api in APIS:
            with self.subTest(api=api):
                _, _, turns = self.check_run("--api", api, "--turns", "3")
                self.assertEqual({t["model"] for t in turns}, {"stand-in-1"})
                self.assertEqual({t["provider"] for t in turns}, {api.split("-")[0].replace("responses", "openai")})
                self.assertEqual({t["role"] for t in turns}, {"user"})

    def test_tool_calls_stay_in_the_turn_that_the_user_opened(self):
        for api in ("openai", "openai-stream", "responses", "anthropic", "anthropic-stream", "gemini", "ollama"):
            with self.subTest(api=api):
                self.check_run("--api", api, "--turns", "3", "--tools", "2", "--think", "20")

    def test_the_runners_own_time_is_orchestration(self):
        _, _, turns = self.check_run("--turns", "3", "--think", "80", "--tools", "1")
        for t in turns:
            self.assertGreaterEqual(t["orchestration_ms"], 2 * 80 - 2)

    def test_a_new_connection_for_each_call(self):
        self.check_run("--turns", "4", "--fresh", plan="latency=150,spacing=5")

    def test_streamed_gzip_odd_fragments_and_every_framing(self):
        for plan in ("gzip=stream", "gzip=none", "gzip=stream,frag=11", "framing=close", "framing=length,gzip=none",
                     "framing=chunked"):
            for api in ("openai", "anthropic-stream"):
                with self.subTest(plan=plan, api=api):
                    self.check_run("--api", api, "--turns", "3", "--plan", plan)

    def test_plain_http(self):
        self.check_run("--api", "ollama", "--turns", "3", server=self.server("latency=30", plain=True))

    def test_ttft_is_the_first_content_not_the_first_ping(self):
        for api in ("openai-stream", "anthropic-stream"):
            with self.subTest(api=api):
                _, _, turns = self.check_run("--api", api, "--turns", "3", "--plan", "pings=4,ping_ms=50,spacing=20")
                for t in turns:
                    self.assertGreaterEqual(t["ttft_ms"], 40 + 4 * 50 - 2)
                    self.assertLess(t["ttft_ms"], t["llm_ms"])

    def test_no_usage_on_the_wire_is_null_not_zero(self):
        _, _, turns = self.check_run("--api", "openai-stream", "--no-usage", "--turns", "3")
        self.assertEqual({t["tokens_in"] for t in turns}, {None})

    def test_stores_have_the_labels_the_user_gave(self):
        _, observer, turns = self.check_run("--turns", "3", options=self.named_storage())
        for t in turns:
            self.assertEqual({k: (s["system"], s["endpoint"], s["calls"]) for k, s in t["storage"].items()},
                             {"L1": ("redis", f"127.0.0.1:{self.stores.redis_port}", 3),
                              "L2": ("postgres", f"127.0.0.1:{self.stores.pg_port}", 2)})
        self.assertEqual(set(observer.summary()["storage"]), {"L1", "L2"})

    def test_postgres_over_a_unix_socket(self):
        self.check_run("--turns", "3", "--postgres", f"{self.stores.socket_dir}:{self.stores.pg_port}")

    def test_a_429_and_its_wait_belong_to_the_turn_that_then_succeeds(self):
        runner, _, turns = self.check_run("--turns", "3", "--plan", "fault=429:1,retry_after=0.2")
        for want, got in zip(runner.turns(), turns):
            self.assertEqual((got["llm_calls"], got["retries"], got["status"]), (1, 1, "ok"))
            self.assertAlmostEqual(got["backoff_ms"], want["backoff_ms"], delta=25)

    def test_failed_turns_say_how(self):
        cases = (("fault=429", "openai", "rate_limited", 429), ("fault=500", "openai", "error", 500),
                 ("fault=error", "anthropic-stream", "error", 200), ("fault=error", "gemini-stream", "error", 200),
                 ("fault=error", "openai-stream", "error", 200),
                 ("fault=close-stream", "openai-stream", "aborted", 200))
        server = self.server()
        for plan, api, status, http in cases:
            with self.subTest(plan=plan, api=api):
                runner, observer = self.watch_run(server, "--api", api, "--turns", "2", "--retries", "0",
                                                  "--plan", plan)
                turns = observer.turns()
                self.assertEqual([t["status"] for t in turns], [status] * 2, observer.describe())
                for t in turns:
                    self.check_books(t)
                    self.assertIn(t["error"]["http_status"], (http, None) if http == 200 else (http,))
                    self.assertEqual(t["error"]["endpoint"], server.endpoint)
                    self.assertTrue(t["error"]["kind"])
                self.assertEqual(observer.summary()["status"][status], 2)

    def test_a_client_that_gives_up_waiting_is_a_timeout(self):
        server = self.server()
        _, observer = self.watch_run(server, "--turns", "1", "--retries", "0", "--timeout", "0.5",
                                     "--plan", "fault=hang")
        self.assertEqual([t["status"] for t in observer.turns()], ["timeout"])


if __name__ == "__main__":
    harness.main()
