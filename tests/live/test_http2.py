#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""HTTP/2 and gRPC of real clients: each call once, with its tokens, outcome and times; with one stream and with fifty, joined
before the connection is there, after, and while all are in flight."""
import collections
import itertools
import json
import os
import shutil
import socket
import subprocess

import harness
from harness import EXIT_OK, EXIT_S, PYTHON, TURNS_S, WORKLOAD, LiveTest, Process

MODULES = os.path.join(WORKLOAD, "clients", "node_modules")
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
CONFIG = """
daemon off; master_process off; pid {dir}/pid; error_log stderr crit;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; http2_max_concurrent_streams 128; keepalive_requests 100000;
  keepalive_timeout 600s;
  server {{
    listen 127.0.0.1:{clear} http2; listen 127.0.0.1:{tls} ssl http2;
    ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem;
    location / {{ proxy_pass http://{upstream}; proxy_http_version 1.1; proxy_set_header Connection "";
                  proxy_buffering off; proxy_read_timeout 600s; }}
  }}
}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Nginx(Process):
    """nginx, which speaks HTTP/2, before the LLM stand-in, which does not."""

    death = "TERM"

    def __init__(self, directory, upstream):
        os.makedirs(directory)
        self.clear, self.tls, self.ca = free_port(), free_port(), os.path.join(directory, "cert.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", os.path.join(directory, "key.pem"), "-out", self.ca, "-days", "1", "-subj",
                        "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                       check=True, capture_output=True)
        path = os.path.join(directory, "nginx.conf")
        with open(path, "w") as f:
            f.write(CONFIG.format(dir=directory, clear=self.clear, tls=self.tls, upstream=upstream))
        super().__init__([NGINX, "-p", directory, "-c", path])
        harness.wait_until(self.answers, what="nginx listens")

    def answers(self):
        if not self.running():
            raise AssertionError("nginx does not start: " + self.describe())
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.tls)) == 0


class Client(Process):
    def gate(self, timeout=EXIT_S):
        line = self.out.wait_for(lambda x: '"gate"' in x, timeout)
        if not line:
            raise AssertionError("it does not come to its gate: " + self.describe())

    def calls(self):
        return [e for e in map(json.loads, list(self.out.all)) if e["event"] == "call"]


class Http2Test(LiveTest):
    stores_used = ()

    def setUp(self):
        super().setUp()
        if not NGINX:
            self.skipTest("no nginx")

    def proxy(self, plan="latency=30"):
        self.llm = self.server(plan, plain=True)
        return self.started(Nginx(os.path.join(self.directory, "nginx"), self.llm.endpoint))

    def calls_of(self, observer):
        return [c for c in harness.read_turns(observer.path("calls.jsonl"))]

    def finish(self, client, observer):
        self.assertEqual(client.wait(TURNS_S), 0, client.describe())
        self.assertEqual(observer.wait(), EXIT_OK, observer.describe())

    def check(self, truth, calls, at_least=False, server=None):
        """Every request is one call, told apart by its tokens, and took no longer than the client waited."""
        self.assertEqual(len(calls), len(truth), calls)
        by_tokens = {}
        for c in sorted(calls, key=lambda c: c["timestamp"]):
            by_tokens.setdefault((c["tokens_in"], c["tokens_out"]), []).append(c)
        for want in sorted(truth, key=lambda c: c["start_ns"]):
            got = by_tokens.get((want["tokens_in"], want["tokens_out"]))
            self.assertTrue(got, f"no call for {want}; there are {sorted(by_tokens, key=str)}")
            c = got.pop(0)
            ms = (want["end_ns"] - want["start_ns"]) / 1e6
            self.assertEqual((c["status"], c["error_kind"]), ("ok", None), c)
            self.assertIsNone(c["partial"], c)
            self.assertLessEqual(c["duration_ms"], ms + self.tolerance(ms), (want, c))
            if server is not None:
                self.assertGreaterEqual(c["duration_ms"], server, (want, c))


class Requests(Http2Test):
    def client(self, *arguments):
        return self.started(Client([PYTHON, "-B", os.path.join(WORKLOAD, "h2_client.py"), *map(str, arguments)]))

    def test_requests_of_httpx_before_and_after_the_connection_is_there(self):
        nginx = self.proxy()
        for scheme in ("https", "http"):
            url = f"{scheme}://localhost:{nginx.tls}" if scheme == "https" else f"http://127.0.0.1:{nginx.clear}"
            for calls in (1, 50):
                for options in ((), ("--warm",), ("--stream",)):
                    with self.subTest(scheme=scheme, calls=calls, options=options):
                        client = self.client(url, "--ca", nginx.ca, "--calls", calls, "--rounds", 2, *options)
                        client.gate()
                        recording = os.path.join(self.directory, f"run{next(self.counter)}.rec")
                        observer = self.watch(client.pid, "--calls", "--record", recording)
                        client.say()
                        self.finish(client, observer)
                        truth = [c for c in client.calls() if c["i"]]
                        self.assertEqual({c["version"] for c in truth}, {"HTTP/2"})
                        seen = self.calls_of(observer)
                        self.check(truth, seen, server=30)
                        # whose path the client sent by its place in a table that was filled before
                        late = "--warm" in options
                        self.assertEqual({c["op"] for c in seen}, {None if late else "POST /v1/chat/completions"})
                        self.assertEqual({c["class"] for c in seen}, {"llm"})
                        if not late:  # bodies sent to an unknown path are masked as nobody's
                            self.check_scrubbed_calls(observer, recording)

    def test_requests_in_flight_when_it_comes(self):
        nginx = self.proxy("latency=10,fault=hang")
        for scheme, calls in itertools.product(("http", "https"), (1, 3, 50)):
            with self.subTest(scheme=scheme, calls=calls):
                url = f"https://localhost:{nginx.tls}" if scheme == "https" else f"http://127.0.0.1:{nginx.clear}"
                client = self.client(url, "--ca", nginx.ca, "--calls", calls)
                client.gate()
                client.say()
                for _ in range(calls):
                    self.llm.wait_request()
                observer = self.watch(client.pid, "--calls", "--llm", f"127.0.0.1:{nginx.clear}",
                                      "--llm", f"localhost:{nginx.tls}", "--llm", f"127.0.0.1:{nginx.tls}")
                self.llm.release()
                self.finish(client, observer)
                seen = self.calls_of(observer)
                self.assertEqual(len(seen), calls, seen)
                for c in seen:
                    self.assertEqual((c["status"], c["at_least"], c["partial"]), ("ok", True, "attached_late"), c)

    def test_curl_and_node(self):
        nginx = self.proxy()
        body = json.dumps({"model": "stand-in", "messages": [{"role": "user", "content": "a b c"}]})
        for options in (("--http2-prior-knowledge", f"http://127.0.0.1:{nginx.clear}"),
                        ("--http2", "--cacert", nginx.ca, f"https://localhost:{nginx.tls}")):
            with self.subTest(options=options):
                *head, url = options
                observer = self.started(harness.Observer(
                    "run", ["curl", "-sS", *head, "-w", "%{http_version}", "-H", "content-type: application/json", "-d",
                            body, url + "/v1/chat/completions"], self.new_dir(), "--calls"))
                self.assertEqual(observer.wait(), EXIT_OK, observer.describe())
                said = "".join(observer.out.all)
                reply, at = json.JSONDecoder().raw_decode(said[said.index("{"):])
                self.assertEqual(said[said.index("{") + at:].strip()[:1], "2", said)
                (call,) = self.calls_of(observer)
                self.assertEqual((call["op"], call["status"], call["tokens_in"], call["tokens_out"]),
                                 ("POST /v1/chat/completions", "ok", reply["usage"]["prompt_tokens"],
                                  reply["usage"]["completion_tokens"]))
        node = shutil.which("node")
        if not node:
            self.skipTest("no node")
        for calls in (1, 50):
            with self.subTest(node=calls):
                client = self.started(Client([node, os.path.join(WORKLOAD, "h2_client.js"),
                                              f"http://127.0.0.1:{nginx.clear}", calls]))
                client.gate()
                observer = self.watch(client.pid, "--calls")
                client.say()
                self.finish(client, observer)
                self.check(client.calls(), self.calls_of(observer), server=30)


class Upgrade(LiveTest):
    """HTTP/2 that begins with a request of HTTP/1.1: what curl --http2 asks for where there is no TLS."""
    stores_used = ()

    def serve(self, *options):
        if subprocess.run([PYTHON, "-c", "import h2"], capture_output=True).returncode:
            self.skipTest("no python3-h2")
        server = self.started(Process([PYTHON, "-B", os.path.join(WORKLOAD, "h2c_server.py"), *options]))
        line = server.out.wait_for(lambda x: x.startswith("ready"), EXIT_S)
        self.assertTrue(line, server.describe())
        return server, f"http://127.0.0.1:{line.split()[1]}/v1/chat/completions"

    def curl(self, url, calls, at_once):
        """Its command: as many requests on as few connections as it likes; it prints a line for each."""
        body = json.dumps({"model": "stand-in", "messages": [{"role": "user", "content": "a b c"}]})
        return ["curl", "-sS", "--http2", *(["--parallel", "--parallel-max", "50"] if at_once else []),
                "-H", "content-type: application/json", "-d", body,
                *itertools.chain.from_iterable(("-o", "/dev/null", "-w", "%{http_version} %{time_total}\\n", url)
                                               for _ in range(calls))]

    def check(self, client, observer, calls, late=False):
        self.assertEqual(observer.wait(), EXIT_OK, observer.describe())
        said = [line.split() for line in client.out.all if line[:2] in ("2 ", "1.")]
        self.assertEqual([version for version, _ in said], ["2"] * calls, client.describe())
        seen = harness.read_turns(observer.path("calls.jsonl"))
        self.assertEqual(len(seen), calls, seen)
        if late:
            self.assertEqual({(c["status"], c["partial"], c["at_least"]) for c in seen}, {("ok", "attached_late", True)})
            return
        self.assertEqual({(c["op"], c["status"], c["partial"]) for c in seen}, {("POST /v1/chat/completions", "ok", None)})
        self.assertEqual({c["tokens_out"] - c["tokens_in"] for c in seen}, {1})
        for got, (_, want) in zip(sorted(c["duration_ms"] for c in seen), sorted(said, key=lambda x: float(x[1]))):
            self.assertLessEqual(got, float(want) * 1000 + self.tolerance(float(want) * 1000), (seen, said))
            self.assertGreaterEqual(got, 30, seen)

    def test_one_request_many_in_a_row_and_many_at_once(self):
        _, url = self.serve()
        for calls, at_once in ((1, False), (5, False), (50, True)):
            with self.subTest(calls=calls, at_once=at_once):
                observer = self.started(harness.Observer("run", self.curl(url, calls, at_once), self.new_dir(), "--calls"))
                self.check(observer, observer, calls)

    def test_a_request_in_flight_when_it_comes(self):
        server, url = self.serve("--hold")
        client = self.started(Process(self.curl(url, 1, False)))
        self.assertTrue(server.out.wait_for(lambda x: x == "request\n", EXIT_S), server.describe())
        observer = self.watch(client.pid, "--calls", "--llm", url.split("/")[2])
        server.say()
        self.assertEqual(client.wait(), 0, client.describe())
        self.check(client, observer, 1, late=True)


class Grpc(Http2Test):
    def setUp(self):
        super().setUp()
        if subprocess.run([PYTHON, "-c", "import grpc"], capture_output=True).returncode:
            self.skipTest("no python3-grpcio")
        self.peer = self.started(Process([PYTHON, "-B", os.path.join(WORKLOAD, "grpc_pair.py"), "serve"]))
        line = self.peer.out.wait_for(lambda x: x.startswith("ready"), EXIT_S)
        self.assertTrue(line, self.peer.describe())
        self.port = line.split()[1]

    def client(self, *arguments):
        return self.started(Client([PYTHON, "-B", os.path.join(WORKLOAD, "grpc_pair.py"), "ask", self.port,
                                    *map(str, arguments)]))

    def check_calls(self, client, seen):
        truth = [c for c in client.calls() if c["i"]]
        chats = [c for c in truth if c["kind"].endswith("Content") and c["status"] == "OK"]
        ok = [c for c in seen if c["status"] == "ok" and c["class"] == "llm"]
        self.check(chats, ok)
        self.assertEqual({c["model"] for c in ok}, {"gemini-stand-in"})
        # who sees the deadline pass first says so: the client by hanging up, or the server
        kinds = {"DEADLINE_EXCEEDED": "timeout"}
        self.assertEqual(sorted(kinds.get(c["error_kind"], c["error_kind"]) for c in seen if c["status"] != "ok"),
                         sorted(kinds.get(c["status"], c["status"]) for c in truth if c["status"] != "OK"))
        self.assertEqual([c["op"] for c in seen if c["status"] == "timeout"], ["/a.Store/Slow"])
        self.assertFalse([c for c in seen if "Health" in (c["op"] or "")], "a health check is no call that counts")

    def test_calls_before_and_after_the_connection_is_there(self):
        for calls in (1, 50):
            for options in ((), ("--warm",)):
                with self.subTest(calls=calls, options=options):
                    client = self.client("--calls", calls, *options)
                    client.gate()
                    recording = os.path.join(self.directory, f"run{next(self.counter)}.rec")
                    observer = self.watch(client.pid, "--calls", "--storage", f"S=127.0.0.1:{self.port}",
                                          "--record", recording)
                    client.say()
                    self.finish(client, observer)
                    self.check_calls(client, self.calls_of(observer))
                    self.check_scrubbed_calls(observer, recording)

    def test_calls_of_node(self):
        if not shutil.which("node") or not os.path.isdir(os.path.join(MODULES, "@grpc", "grpc-js")):
            self.skipTest("no npm package @grpc/grpc-js")
        for calls in (1, 50):
            for options in ((), ("--warm",)):
                with self.subTest(calls=calls, options=options):
                    client = self.started(Client(["node", os.path.join(WORKLOAD, "grpc_client.js"), self.port, "--calls",
                                                  str(calls), *options], env=dict(os.environ, NODE_PATH=MODULES)))
                    client.gate()
                    recording = os.path.join(self.directory, f"run{next(self.counter)}.rec")
                    observer = self.watch(client.pid, "--calls", "--storage", f"S=127.0.0.1:{self.port}",
                                          "--record", recording)
                    client.say()
                    self.finish(client, observer)
                    self.check_calls(client, self.calls_of(observer))
                    self.check_scrubbed_calls(observer, recording)

    def test_requests_to_a_server_are_turns(self):
        client = self.client("--calls", 5)
        client.gate()
        observer = self.watch(self.peer.pid, "--turns", "http")
        client.say()
        self.assertEqual(client.wait(TURNS_S), 0, client.describe())
        self.peer.p.stdin.close()
        self.assertEqual(self.peer.wait(), 0, self.peer.describe())
        self.assertEqual(observer.wait(), EXIT_OK, observer.describe())
        turns, names = observer.turns(), {"OK": "ok", "RESOURCE_EXHAUSTED": "rate_limited", "DEADLINE_EXCEEDED": "timeout"}
        truth = [c for c in client.calls() if "Health" not in c["kind"]]
        self.assertEqual(sorted(t["status"] for t in turns), sorted(names[c["status"]] for c in truth))
        self.assertEqual({t["pid"] for t in turns}, {self.peer.pid})

    def test_calls_in_flight_when_it_comes(self):
        client = self.client("--calls", 20, "--wait", "--warm")
        client.gate()
        observer = self.watch(client.pid, "--calls", "--llm", f"127.0.0.1:{self.port}")
        client.say()
        self.peer.say("release\n")
        self.finish(client, observer)
        seen = self.calls_of(observer)
        self.assertEqual(len(seen), 20, seen)
        self.assertEqual({(c["at_least"], c["partial"]) for c in seen}, {(True, "attached_late")})


class GrpcStores(LiveTest):
    """Qdrant, Milvus and Weaviate over gRPC: operations by name, errors of trailers and those a reply hides."""
    stores_used = ()

    def clients(self, ports, calls, warm):
        found = []
        if not subprocess.run([PYTHON, "-c", "import grpc"], capture_output=True).returncode:
            found.append(Client([PYTHON, "-B", os.path.join(WORKLOAD, "grpc_stores.py"), "ask", json.dumps(ports), "--calls",
                                 calls, *(["--warm"] if warm else [])]))
        if shutil.which("node") and os.path.isdir(os.path.join(MODULES, "@grpc", "grpc-js")):
            import grpc_stores
            found.append(Client(["node", os.path.join(WORKLOAD, "grpc_stores.js"), json.dumps(ports),
                                 json.dumps(grpc_stores.CALLS), calls, json.dumps(grpc_stores.ALIVE) if warm else ""],
                                env=dict(os.environ, NODE_PATH=MODULES)))
        return [self.started(client) for client in found]

    def test_calls_before_and_after_the_connections_are_there(self):
        if subprocess.run([PYTHON, "-c", "import grpc"], capture_output=True).returncode:
            self.skipTest("no python3-grpcio")
        server = self.started(Process([PYTHON, "-B", os.path.join(WORKLOAD, "grpc_stores.py"), "serve"]))
        line = server.out.wait_for(lambda x: x.startswith("ready"), EXIT_S)
        self.assertTrue(line, server.describe())
        ports = json.loads(line.split(None, 1)[1])
        for calls, warm in itertools.product((1, 50), (False, True)):
            clients = self.clients(ports, calls, warm)
            for client in clients:
                client.gate()
            observer = self.watch([c.pid for c in clients], "--calls")
            for client in clients:
                client.say()
                self.assertEqual(client.wait(TURNS_S), 0, client.describe())
            self.assertEqual(observer.wait(), EXIT_OK, observer.describe())
            seen = harness.read_turns(observer.path("calls.jsonl"))
            for client in clients:
                with self.subTest(client=client.command[0], calls=calls, warm=warm):
                    self.check(client.calls(), [c for c in seen if c["pid"] == client.pid])

    def check(self, truth, seen):
        def key(c):
            return c["system"], c["op"], c["error_kind" if "error_kind" in c else "kind"]
        got, want = (collections.Counter(map(key, x)) for x in (seen, truth))
        self.assertEqual((got - want, want - got), ({}, {}))
        self.assertEqual({c["partial"] for c in seen}, {None})
        statuses = {None: "ok", "RESOURCE_EXHAUSTED": "rate_limited"}
        for c in seen:
            self.assertEqual((c["class"], c["status"]), ("storage", statuses.get(c["error_kind"], "error")), c)
        for name in set(map(key, truth)):
            # the shortest with the shortest, and so on: what holds of each holds of these
            took = sorted(c["duration_ms"] - (c["setup_ms"] or 0) for c in seen if key(c) == name)
            waited = sorted(c["ms"] for c in truth if key(c) == name)
            worked = sorted(c["worked"] for c in truth if key(c) == name)
            for got, want, least in zip(took, waited, worked):
                self.assertLessEqual(got, want + self.tolerance(want), (name, took, waited))
                self.assertGreaterEqual(got, least - 2, (name, took, worked))


if __name__ == "__main__":
    harness.main()
