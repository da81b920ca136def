# SPDX-License-Identifier: BSD-2-Clause
"""Verdicts on calls to LLMs and stores that were silent before we came, with many clients; and on their healthy twins."""
import itertools
import json
import re
import shutil
import time

from harness import Process, main, tool, wait_until
from why import EXIT_STUCK, Hang, HangServer, WhyTest

SCRIPT = "hang_calls.py"
OPERATION = "POST /v1/chat/completions"
# case -> who asks, as its frames say; all wait for a server that never answers
SILENT = {"urllib": "ask (hang_calls.py:", "requests": "with_requests (hang_calls.py:",
          "requests_timeout": "with_requests_timeout (hang_calls.py:", "httpx": "with_httpx (hang_calls.py:",
          "threads": "ask (hang_calls.py:", "asyncio": "ask_llm (hang_calls.py:", "aiohttp": "everything (hang_calls.py:"}
# http.client forgets the path once the request is out: only an option can say that this is an LLM
NAMELESS = ("http_client", "beside_health_checks")
CLOCK_S = 0.05  # how far `since` may be off; the socket's own clock has steps of 4 ms
AT_ONCE = {"threads": 8, "asyncio": 5}


class Program(Hang):
    """A program that knows nothing of this test; whoever starts it says when it hangs."""

    def __init__(self, *command):
        Process.__init__(self, command)
        self.healthy, self.since, self.truth = False, time.monotonic(), {"pid": self.pid}


def unwrapped(text):
    return " ".join(text.split())


class CallTest(WhyTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.class_stack.enter_context(HangServer())

    def place(self, mode="silent"):
        return "127.0.0.1:" + self.server.port(mode)


class Silent(CallTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.start({case: (SCRIPT, case, cls.server.port("silent"), cls.server.port("answer"))
                   if case == "beside_health_checks" else (SCRIPT, case, cls.server.port("silent"))
                   for case in (*SILENT, *NAMELESS)})

    def check(self, case, *options):
        wake = "at" if case == "requests_timeout" else "never"
        a = self.stuck(case, "llm_no_response", *options, wake=wake, says=(self.place(), OPERATION, "acknowledged"))
        self.assertIn(SILENT[case], a.verdict["where"], a)
        self.assertEqual(a.verdict["confidence"], "strong", a)
        self.assertAlmostEqual(a.since(), self.hung[case].since, delta=0.5, msg=a)
        return a

    def test_a_reply_that_never_comes_is_named_with_endpoint_operation_and_line(self):
        for case, options in itertools.product(SILENT, ((), ("--llm", self.place()))):
            with self.subTest(case, options=options):
                a = self.check(case, *options)
                many = AT_ONCE.get(case)
                if many:
                    self.assertIn(f"{many} calls of {OPERATION}", a.verdict["summary"])
                    self.assertIn("the oldest sent", a.verdict["summary"])
                    self.assertEqual(len([c for c in a.document["causes"] if c["kind"] == a.kind]), 1, a)

    def test_since_is_when_the_request_was_complete_at_the_server(self):
        """A thread's wait began within 50 ms of what the server saw."""
        received = [json.loads(x)["at"] for x in list(self.server.out.all)
                    if '"request"' in x and json.loads(x)["mode"] == "silent"]
        for case in ("urllib", "requests", "httpx"):
            with self.subTest(case):
                a = self.why(case)
                self.assertLess(min(abs(a.since() - at) for at in received), CLOCK_S, a)

    def test_an_armed_time_limit_is_when_it_wakes(self):
        a = self.check("requests_timeout")
        self.assertAlmostEqual(a.seconds_until(a.wake["at"]), self.hung["requests_timeout"].truth["wakes"], delta=0.2)

    def test_without_a_path_the_kind_of_server_is_not_made_up(self):
        for case in NAMELESS:
            with self.subTest(case):
                a = self.stuck(case, "unknown", wake="never", says=("POST to " + self.place(), "ask (hang_calls.py:"))
                self.assertNotIn("POST /", a.verdict["summary"], a)
                self.assertTrue(any("--llm " + self.place() in s for s in a.document["next_steps"]), a)

    def test_told_that_it_is_the_llm_it_is_the_llm_also_beside_health_checks(self):
        for case in NAMELESS:
            with self.subTest(case):
                self.stuck(case, "llm_no_response", "--llm", self.place(), wake="never",
                           says=("POST to " + self.place(), "ask (hang_calls.py:"))

    def test_the_screen_says_it_all_in_a_sentence(self):
        self.hung["urllib"].grow_old()
        status, out, err = tool(str(self.hung["urllib"].pid))
        self.assertEqual(status, EXIT_STUCK, out + err)
        self.assertRegex(unwrapped(out), re.escape(f"stuck: {OPERATION} to {self.place()} (LLM) sent ") + r"[\d.ms ]+ s ago, "
                         r"acknowledged, no byte since; no timeout and no keep-alive: it will wait for ever "
                         r"ask \(hang_calls\.py:\d+\) <- goes_on \(hang_calls\.py:\d+\) <- with_urllib \(hang_calls\.py:\d+\)")


class Others(CallTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.start({"httpx_stream": (SCRIPT, "httpx_stream", cls.server.port("stall")),
                   "unread": (SCRIPT, "unread", cls.server.port("closes"))})

    def test_a_stream_that_carries_comments_only_is_stalled(self):
        a = self.stuck("httpx_stream", "llm_stream_stalled", wake="never",
                       says=(self.place("stall"), OPERATION, "with_httpx_stream (hang_calls.py:"))
        self.assertTrue(a.verdict["at_least"], "content before the attach was not seen: " + str(a))

    def test_a_connection_the_peer_closed_and_nobody_reads(self):
        self.stuck("unread", "peer_closed_unread", says=(self.place("closes"), "unread (hang_calls.py:"))


class Foreign(CallTest):
    """Programs without Python: what their server is only an option can tell."""

    def client(self, *command):
        p = self.started(Program(*command))
        line = self.server.out.wait_for(lambda x: '"request"' in x, 10)
        self.assertTrue(line, p.describe())
        p.since = json.loads(line)["at"]
        return p

    def test_curl_wget_and_node(self):
        url = f"http://{self.place()}/v1/chat/completions"
        clients = {"curl": ("curl", "-sN", "-d", "{}", url), "wget": ("wget", "-qO-", "--post-data={}", url),
                   "node": ("node", "-e", f"fetch('{url}', {{method: 'POST', body: '{{}}'}})")}
        there = {name: self.client(*command) for name, command in clients.items() if shutil.which(name)}
        for name, p in there.items():
            with self.subTest(name):
                self.stuck(p, ("unknown", "llm_no_response"), says=(self.place(),))
                self.stuck(p, "llm_no_response", "--llm", self.place(), says=(self.place(),))


class Stores(CallTest):
    stores_used = ("redis", "postgres")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        port = str(cls.stores.redis_port)
        dsn = f"host=127.0.0.1 port={cls.stores.pg_port} user=bench dbname=postgres"
        cls.start({"redis_queue": (SCRIPT, "redis_queue", port), "postgres_lock": (SCRIPT, "postgres_lock", dsn)})
        cls.start({"redis": (SCRIPT, "redis", port)})
        wait_until(lambda: cls.asked(cls.hung["redis"].pid), what="its question to Redis")
        cls.start({"redis_asyncio": (SCRIPT, "redis_asyncio", port)})

    @classmethod
    def asked(cls, pid):
        """Its thread waits for a reply."""
        with open(f"/proc/{pid}/syscall") as f:
            return f.read().split()[0] in ("45", "207", "7", "73")  # recvfrom, poll or ppoll

    def test_a_command_that_redis_does_not_answer(self):
        for case, where in (("redis", "hang_calls.py:"), ("redis_asyncio", "everything (hang_calls.py:")):
            with self.subTest(case):
                a = self.stuck(case, "storage_no_response", wake=("never", "on_event", "at"),
                               says=(f"127.0.0.1:{self.stores.redis_port}", where))
                self.assertTrue(any("redis-cli" in s for s in a.document["next_steps"]), a)

    def test_a_statement_that_waits_for_a_lock(self):
        a = self.stuck("postgres_lock", "storage_no_response",
                       says=(f"127.0.0.1:{self.stores.pg_port}", "lock", "pg_stat_activity", "hang_calls.py:"))
        self.assertTrue(any("psql" in s for s in a.document["next_steps"]), a)

    def test_a_worker_that_waits_for_its_queue_waits_for_no_reply(self):
        a = self.why("redis_queue")
        self.assertIn(a.kind, ("unknown", "input_wait", "progressing"), a)

    def test_psql_that_waits_for_a_lock(self):
        command = ["psql", "-h", "127.0.0.1", "-p", str(self.stores.pg_port), "-U", "bench", "postgres", "-c",
                   "SELECT count(*) FROM hang"]
        p = self.started(Program(*command))
        p.since = self.hung["postgres_lock"].since
        wait_until(lambda: self.asked(p.pid), what="its query")
        self.stuck(p, ("storage_no_response", "unknown"), "--stuck-timeout", "0.02",
                   says=(str(self.stores.pg_port),))


class Healthy(CallTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        modes = {"http_client": "answer", "urllib": "late", "requests": "slow", "requests_timeout": "late",
                 "httpx": "slow", "threads": "late", "asyncio": "slow", "aiohttp": "late"}
        workloads = {case: (SCRIPT, case, cls.server.port(mode), "--healthy") for case, mode in modes.items()}
        workloads["httpx_stream"] = (SCRIPT, "httpx_stream", cls.server.port("drip"), "--healthy")
        workloads["beside_health_checks"] = (SCRIPT, "beside_health_checks", cls.server.port("late"),
                                             cls.server.port("answer"), "--healthy")
        cls.start(workloads)

    def test_slow_replies_and_streams_that_drip_are_not_stuck(self):
        for case, options in itertools.product(self.hung, ((), ("--llm", "127.0.0.1"))):
            with self.subTest(case, options=options):
                self.alive(case, *options)


class HealthyStores(CallTest):
    stores_used = ("redis", "postgres")

    def test_stores_that_answer(self):
        dsn = f"host=127.0.0.1 port={self.stores.pg_port} user=bench dbname=postgres"
        for case, argument in (("redis", str(self.stores.redis_port)), ("redis_asyncio", str(self.stores.redis_port)),
                               ("postgres_lock", dsn)):
            with self.subTest(case):
                self.alive(self.hang(SCRIPT, case, argument, "--healthy"))


if __name__ == "__main__":
    main()
