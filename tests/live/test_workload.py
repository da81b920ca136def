#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The workloads themselves, with no observer: what they claim as truth must be true. Needs no root and no BPF."""
import datetime
import subprocess
import sys
import unittest
import unittest.mock

import harness
from harness import LlmServer, Runner
from runner import APIS, ASYNC, SYNC  # noqa: E402, found through harness


class Workload(unittest.TestCase):
    """Only Python's standard library and the clients: no whystuck program needed."""

    @classmethod
    def setUpClass(cls):
        cls.stores = harness.Stores()
        try:
            cls.stores.__enter__()
        except FileNotFoundError as exc:
            raise unittest.SkipTest(str(exc)) from None

    @classmethod
    def tearDownClass(cls):
        cls.stores.close()

    def setUp(self):
        self.server = LlmServer("latency=5,spacing=1")
        self.addCleanup(self.server.stop)

    def run_it(self, *arguments, status="ok", server=None, stores=True):
        server = server or self.server
        runner = Runner(*server.arguments(), *(self.stores.arguments() if stores else []), *arguments)
        self.addCleanup(runner.stop)
        self.assertEqual(runner.wait(60), 0, runner.describe())
        turns = runner.turns()
        self.assertTrue(turns)
        for t in turns:
            self.assertEqual(t["status"], status, (t, runner.describe()))
            self.check_times(t, server)
        return turns

    def check_times(self, t, server):
        spans = server.spans()
        low = sum(b - a for a, b in (spans[i] for i in t["ids"])) / 1e6
        self.assertLessEqual(low - 1, t["llm_ms"])
        self.assertLessEqual(t["llm_ms"] + t["storage_ms"] + t["backoff_ms"], t["wall_ms"] + 0.001)

    def test_every_api_gives_its_tokens_plain_and_zipped_and_in_fragments(self):
        for api in APIS:
            for plan in ("gzip=none", "gzip=stream", "gzip=stream,frag=7", "framing=chunked", "framing=length",
                         "framing=close", "pings=3,ping_ms=1"):
                with self.subTest(api=api, plan=plan):
                    t, = self.run_it("--api", api, "--turns", "1", "--plan", plan, stores=False)
                    self.assertGreater(t["tokens_in"], 8)
                    self.assertEqual(t["tokens_out"], 12 if api.startswith(("ollama", "anthropic")) else 15)

    def test_tool_loops_call_once_more_for_each_tool(self):
        for api in APIS:
            with self.subTest(api=api):
                for t in self.run_it("--api", api, "--turns", "2", "--tools", "2", stores=False):
                    self.assertEqual(t["llm_calls"], 3)

    def test_all_clients_and_modes_store_what_they_say(self):
        for mode, clients in (("sync", SYNC), ("threads", SYNC), ("fork", SYNC), ("spawn", ("httpx",)),
                              ("asyncio", ASYNC)):
            for client in clients:
                for fresh in ([], ["--fresh"]):
                    with self.subTest(mode=mode, client=client, fresh=fresh):
                        turns = self.run_it("--mode", mode, "--client", client, "--sessions", "2", "--turns", "2",
                                            *fresh)
                        self.assertEqual(len(turns), 4)
                        self.assertEqual({t["storage_calls"] for t in turns}, {5})

    def test_failures_have_the_status_a_client_sees(self):
        for plan, status in (("fault=429", "rate_limited"), ("fault=500", "error"), ("fault=error", "error"),
                             ("fault=close-stream", "aborted")):
            for api in ("openai-stream", "anthropic-stream", "gemini-stream", "gemini-array-stream", "ollama",
                        "responses-stream"):
                with self.subTest(plan=plan, api=api):
                    self.run_it("--api", api, "--turns", "1", "--retries", "0", "--plan", plan, status=status,
                                stores=False)

    def test_a_retry_after_429_waits_as_told_and_succeeds(self):
        t, = self.run_it("--turns", "1", "--plan", "fault=429:1,retry_after=0.3", stores=False)
        self.assertEqual((t["llm_calls"], t["retries"]), (1, 1))
        self.assertGreaterEqual(t["backoff_ms"], 300)

    def test_a_timeout_is_a_timeout(self):
        for mode, client in (("sync", "httpx"), ("sync", "requests"), ("sync", "urllib"), ("asyncio", "httpx"),
                             ("asyncio", "aiohttp")):
            with self.subTest(mode=mode, client=client):
                runner = Runner(*self.server.arguments(), "--mode", mode, "--client", client, "--turns", "1",
                                "--retries", "0", "--timeout", "0.3", "--plan", "fault=hang")
                self.addCleanup(runner.stop)
                self.assertEqual(runner.wait(), 0)
                self.assertEqual(runner.turns()[0]["status"], "timeout")

    def test_hangs_last_until_they_are_released(self):
        for hang in ("llm", "stream", "pings"):
            with self.subTest(hang=hang):
                runner = Runner(*self.server.arguments(), "--api", "anthropic-stream", "--turns", "3", "--hang", hang,
                                "--plan", "ping_ms=10", "--gate", "turn:1")
                self.addCleanup(runner.stop)
                runner.wait_event("gate", name="turn:1")
                self.server.wait_request()  # of turn 0
                runner.say()
                self.server.wait_request()
                self.assertIsNone(runner.out.wait_for(lambda x: '"turn": 1' in x, 0.4))
                self.server.release()
                self.assertEqual(runner.wait(), 0)
                self.assertEqual([t["status"] for t in runner.turns()], ["ok"] * 3)

    def test_stores_hang_and_go_on(self):
        for hang, stop, go in (("redis", self.stores.pause_redis, self.stores.resume_redis),
                               ("postgres", self.stores.lock_postgres, self.stores.unlock_postgres)):
            with self.subTest(hang=hang):
                runner = Runner(*self.server.arguments(), *self.stores.arguments(), "--turns", "2", "--hang", hang)
                self.addCleanup(runner.stop)
                runner.wait_event("gate", name="hang")
                stop()
                runner.say()
                self.assertIsNone(runner.out.wait_for(lambda x: '"turn": 1' in x, 0.4))
                go()
                self.assertEqual(runner.wait(), 0)
                self.assertGreater(runner.turns()[1]["storage_ms"], 300)

    def test_no_usage_asked_no_tokens(self):
        t, = self.run_it("--api", "openai-stream", "--no-usage", "--turns", "1", stores=False)
        self.assertIsNone(t["tokens_in"])

    def test_plain_http_and_many_sessions_at_once(self):
        server = LlmServer("latency=50", plain=True)
        self.addCleanup(server.stop)
        turns = self.run_it("--mode", "asyncio", "--client", "aiohttp", "--sessions", "100", "--turns", "2",
                            server=server, stores=False)
        self.assertEqual(len(turns), 200)

    def test_children_end_with_their_parent(self):
        script = ("import sys; sys.path[:0] = [%r, %r]; import harness, os\n"
                  "s = harness.Stores().__enter__(); l = harness.LlmServer()\n"
                  "print(s.redis.pid, s.postgres.pid, l.pid, flush=True); os.kill(os.getpid(), 9)"
                  % (harness.HERE, harness.WORKLOAD))
        done = subprocess.run([sys.executable, "-B", "-c", script], stdout=subprocess.PIPE, text=True, check=False)
        for pid in done.stdout.split():
            harness.wait_until(lambda p=pid: not alive(int(p)), 10, f"end of {pid}")


class Comparison(harness.LiveTest):
    """What the other tests hold against an observer: it accepts the truth and refuses everything else."""

    @classmethod
    def setUpClass(cls):
        server = cls.server_process = LlmServer("latency=20,spacing=2")
        cls.truth = Runner(*server.arguments(), "--sessions", "2", "--turns", "3", "--tools", "1")
        cls.truth.wait()

    @classmethod
    def tearDownClass(cls):
        cls.truth.stop()
        cls.server_process.stop()

    def observed(self):
        numbers, out = {}, []
        for n, t in enumerate(self.truth.turns()):
            started = datetime.datetime.fromtimestamp(t["unix_start"], datetime.timezone.utc)
            out.append({
                "schema": "whystuck.turn/1", "timestamp": started.isoformat().replace("+00:00", "Z"), "turn_id": n,
                "session_id": f"s{t['session'] + 1}", "turn_index": numbers.setdefault(t["session"], 0),
                "pid": t["pid"], "wall_ms": t["wall_ms"], "llm_ms": t["llm_ms"] - 0.5, "storage_ms": 0.0,
                "backoff_ms": 0.0, "overlap_ms": 0.0, "orchestration_ms": t["wall_ms"] - t["llm_ms"] + 0.5,
                "storage": {}, "storage_calls": 0, "partial": None, "error": None,
                **{k: t[k] for k in ("llm_calls", "retries", "tokens_in", "tokens_out", "tokens_cached", "status")}})
            numbers[t["session"]] += 1
        return out

    def compare(self, turns):
        observer = unittest.mock.Mock()
        observer.turns.return_value = turns
        self.check_turns(self.truth, observer, self.server_process)

    def test_the_truth_is_accepted(self):
        self.compare(self.observed())

    def test_everything_else_is_refused(self):
        changes = (("tokens_in", 1), ("tokens_cached", 1), ("llm_calls", 1), ("retries", 1), ("llm_ms", 2.6),
                   ("llm_ms", -9), ("wall_ms", 1), ("turn_index", 1), ("storage_calls", 1), ("turn_id", 1),
                   ("pid", 1), ("orchestration_ms", 1), ("backoff_ms", 1))
        for name, more in changes:
            with self.subTest(name=name, more=more):
                turns = self.observed()
                turns[1][name] += more
                self.refused(turns)
        self.refused(self.observed()[1:])
        self.refused([dict(t, session_id="s1", turn_index=n) for n, t in enumerate(self.observed())])
        self.refused([dict(t, partial="truncated") for t in self.observed()])

    def refused(self, turns):
        with self.assertRaises(AssertionError):
            self.compare(turns)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


if __name__ == "__main__":
    harness.main()
