#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""HTTP/2 and gRPC of real clients: each call once, with its tokens, outcome and times; with one stream and with fifty, joined
before the connection is there, after, and while all are in flight."""
import json
import os
import shutil
import socket
import subprocess

import harness
from harness import EXIT_OK, EXIT_S, PYTHON, TURNS_S, WORKLOAD, LiveTest, Process

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
        for calls in (1, 50):
            with self.subTest(calls=calls):
                client = self.client(f"http://127.0.0.1:{nginx.clear}", "--calls", calls)
                client.gate()
                client.say()
                for _ in range(calls):
                    self.llm.wait_request()
                observer = self.watch(client.pid, "--calls", "--llm", f"127.0.0.1:{nginx.clear}")
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
        modules = os.path.join(WORKLOAD, "clients", "node_modules")
        if not shutil.which("node") or not os.path.isdir(os.path.join(modules, "@grpc", "grpc-js")):
            self.skipTest("no npm package @grpc/grpc-js")
        for calls in (1, 50):
            for options in ((), ("--warm",)):
                with self.subTest(calls=calls, options=options):
                    client = self.started(Client(["node", os.path.join(WORKLOAD, "grpc_client.js"), self.port, "--calls",
                                                  str(calls), *options], env=dict(os.environ, NODE_PATH=modules)))
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


if __name__ == "__main__":
    harness.main()
