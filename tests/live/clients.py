# SPDX-License-Identifier: BSD-2-Clause
"""Real HTTP clients and LLM SDKs in their default configuration, nginx in front, and what is asked of their calls.

Each request's number is its number of words, unlike that of any other in a case: tokens tell which call is which request.
"""
import collections
import datetime
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

import harness
from harness import EXIT_S, PYTHON, TURNS_S, WORKLOAD, Process, wait_until

HERE = os.path.join(WORKLOAD, "clients")
SDKS = {"openai": "openai", "anthropic": "@anthropic-ai/sdk", "genai": "@google/genai", "ollama": "ollama"}
PACKAGES = {**SDKS, "wreq": "wreq-js", "impit": "impit"}
ROLE_WORD = 1     # "role": "user" is a word, too
CLOCK_NS = 1e6    # how exactly two clocks can be compared


def wall_offset():
    """CLOCK_REALTIME - CLOCK_MONOTONIC, of the try with the least between the two; it changes where a clock is slewed."""
    tries = []
    for _ in range(20):
        before, wall, after = time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_REALTIME), time.monotonic_ns()
        tries.append((after - before, wall - (before + after) // 2))
    return min(tries)[1]


# whole: it reads the reply to its last byte before it says that it is done (ollama: to the last line)
Kind = collections.namedtuple("Kind", "name command own_process readable whole http2", defaults=[False])
KINDS = [Kind(n, [PYTHON, "-B", os.path.join(HERE, n + ".py")], True, True, True)
         for n in ("httpx_sync", "httpx_async", "requests_session", "aiohttp_session", "urllib_open")]
KINDS += [Kind(n, ["node", os.path.join(HERE, n + ".mjs")], True, True, n != "ollama") for n in ("fetch", *SDKS)]
# a process for each request: it may have begun, or ended, before its TLS library was hooked; wget's is GnuTLS
KINDS += [Kind(n, [os.path.join(HERE, "shell.sh"), n], False, False, True) for n in ("curl", "wget")]


# those that speak HTTP/2 if told to; curl does without
HTTP2_KINDS = [Kind(n + "_h2", [PYTHON, "-B", os.path.join(HERE, n + ".py")], True, True, True, True)
               for n in ("httpx_sync", "httpx_async")]
HTTP2_KINDS += [Kind("http2", ["node", os.path.join(HERE, "http2.mjs")], True, True, True, True)]


def missing(kind):
    """Why a client cannot run here, or None."""
    if kind.command[0] == "node":
        if not shutil.which("node"):
            return "no node here"
        package = PACKAGES.get(kind.name)
        if package and not os.path.isdir(os.path.join(HERE, "node_modules", package)):
            return f"npm package {package} is not installed (scripts/install-deps --tests)"
    program = kind.command[0] if kind.own_process else kind.name
    if not shutil.which(program):
        return f"no {program} here"
    return None


class Client(Process):
    def __init__(self, kind, url, ca, patient, unix=""):
        self.kind = kind
        super().__init__([*kind.command, url], env=dict(os.environ, SSL_CERT_FILE=ca, REQUESTS_CA_BUNDLE=ca,
                                                        NODE_EXTRA_CA_CERTS=ca, CLIENT_UNIX=unix,
                                                        CLIENT_PATIENT="1" if patient else "",
                                                        CLIENT_HTTP2="1" if kind.http2 else ""))

    def wait_event(self, event):
        if not self.out.wait_for(lambda x: json.loads(x)["event"] == event, TURNS_S):
            raise AssertionError(f"{self.kind.name}: no {event}: {self.describe()}")

    def order(self, count, first):
        self.say(f"{count} {first}\n")

    def leave(self):
        self.p.stdin.close()
        if self.wait() != 0:
            raise AssertionError(self.describe())

    def requests(self):
        """number -> its line, times by CLOCK_MONOTONIC."""
        offset = wall_offset()
        out = {}
        for line in map(json.loads, self.out.all):
            if line["event"] != "call":
                continue
            if line.get("realtime"):
                line["start_ns"] -= offset
                line["end_ns"] -= offset
            out[line["number"]] = line
        return out


    def failed(self):
        """Numbers of requests that the client could not get an answer to."""
        return {x["number"] for x in map(json.loads, self.out.all) if x["event"] == "failed"}


class Nginx(Process):
    """A TLS reverse proxy on loopback, with a prefix of its own."""
    death = "TERM"

    def __init__(self, upstream, ca, options=""):
        self.prefix = tempfile.mkdtemp(prefix="whystuck-nginx-")
        certificates = os.path.dirname(ca)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        with open(os.path.join(self.prefix, "nginx.conf"), "w") as f:
            f.write(f"""daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{self.port} ssl{options};
        ssl_certificate {certificates}/server.pem;
        ssl_certificate_key {certificates}/server.key;
        location / {{ proxy_pass http://{upstream}; proxy_buffering off; }}
    }}
}}
""")
        super().__init__([nginx_path(), "-p", self.prefix, "-c", "nginx.conf"])
        wait_until(self.listens, EXIT_S, "nginx listens: " + self.describe())

    def listens(self):
        with socket.socket() as s:
            return not self.running() or s.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        super().stop()
        shutil.rmtree(self.prefix, ignore_errors=True)


def nginx_path():
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


class ClientsTest(harness.LiveTest):
    stores_used = ()

    def setUp(self):
        super().setUp()
        self.next = 1

    def clients(self, url, ca, patient=False, kinds=KINDS, unix=""):
        out = []
        for kind in kinds:
            with self.subTest(client=kind.name):
                if why := missing(kind):
                    self.skipTest(why)
                out.append(self.started(Client(kind, url, ca, patient, unix)))
        for client in out:
            client.wait_event("ready")
        return out

    def ask(self, client, count):
        """Orders so many requests at once: their numbers."""
        numbers = range(self.next, self.next + count)
        self.next += count
        client.order(count, numbers[0])
        return numbers

    def asked(self, client, *counts):
        for count in counts:
            self.ask(client, count)
            client.wait_event("done")

    def watch_clients(self, clients, port):
        """port: None of a unix socket."""
        hosts = [f"localhost:{port}", f"127.0.0.1:{port}"] if port else ["localhost"]
        observer = self.watch([c.pid for c in clients], "--calls", *(x for h in hosts for x in ("--llm", h)))
        observer.wall_offset = wall_offset()  # it takes the same, once
        return observer

    def finish(self, clients, observer):
        """Ends all of them: the calls written, those that tell no tokens apart."""
        self.end_ns = time.monotonic_ns()
        for client in clients:
            client.leave()
        self.assertEqual(observer.wait(), harness.EXIT_OK, observer.describe())
        self.assertEqual(harness.lost(observer.summary()["coverage"]), 0)
        with open(observer.path("calls.jsonl")) as f:
            calls = list(map(json.loads, f))
        self.slewed_ns = CLOCK_NS + abs(wall_offset() - observer.wall_offset)
        told, untold = collections.defaultdict(list), []
        for c in calls:
            start = datetime.datetime.fromisoformat(c["timestamp"].replace("Z", "+00:00"))
            c["start_ns"] = int(start.timestamp() * 1e6) * 1000 - observer.wall_offset
            c["end_ns"] = c["start_ns"] + c["duration_ms"] * 1e6
            if c["tokens_in"] is None:
                untold.append(c)
            else:
                told[c["tokens_in"] - ROLE_WORD].append(c)
        return told, untold

    # ------------------------------------------------------------ comparisons

    def check_within(self, client, call, want, where):
        """Inside what the client measured; whatever the machine did meanwhile."""
        self.assertGreaterEqual(call["start_ns"], want["start_ns"] - self.slewed_ns, where)
        end = want["end_ns"] if client.kind.whole else self.end_ns
        self.assertLessEqual(call["end_ns"], end + self.slewed_ns, where)

    def check_call(self, client, call, want, served, port):
        where = f"{client.kind.name}: {call}\nwant {want}\nserver {served}"
        self.check_within(client, call, want, where)
        # of a connection of HTTP/2 joined late the host is but a reference to headers that nobody saw
        names = [f"localhost:{port}" if port else "localhost"] + [f"127.0.0.1:{port}"] * client.kind.http2
        self.assertIn(call["endpoint"], names, where)
        self.assertEqual(call["class"], "llm", where)
        if call["tokens_in"] is None:
            return
        self.assertEqual((call["status"], call["http_status"]), ("ok", 200), where)
        self.assertEqual(call["tokens_out"], want["tokens_out"], where)
        if client.kind.own_process:
            self.assertEqual(call["pid"], client.pid, where)
        if call.get("at_least"):
            return
        self.assertIsNone(call["partial"], where)
        self.assertLessEqual(call["start_ns"], served["recv_ns"] + CLOCK_NS, where)
        # the server may say late that it is done: its client may have read it all by then
        self.assertGreaterEqual(call["end_ns"], min(served["end_ns"], want["end_ns"]) - CLOCK_NS, where)
        if want["first_ns"]:
            self.assertLessEqual(call["start_ns"] + (call["setup_ms"] or 0) * 1e6 + call["first_byte_ms"] * 1e6,
                                 want["first_ns"] + CLOCK_NS, where)

    def check_clients(self, clients, observer, server, port, since=1, in_flight=()):
        """Every request from number `since` on is one call, and nothing else is."""
        told, untold = self.finish(clients, observer)
        self.check_in_flight(clients, untold, in_flight)
        served = {x["tokens_in"] - ROLE_WORD: x for x in map(json.loads, server.out.all[1:]) if x["event"] == "done"}
        for client in clients:
            with self.subTest(client=client.kind.name):
                for number, want in sorted(client.requests().items()):
                    calls = told.pop(number, [])
                    if number < since or number in in_flight:
                        self.assertEqual(calls, [], "read whole, though it began before the attach")
                        continue
                    if not calls and not client.kind.readable:
                        calls = self.times_only(want, untold)
                    self.assertEqual(len(calls), 1, f"request {number}: {want} {calls}")
                    self.check_call(client, calls[0], want, served[number], port)
                self.check_failed(client, untold)
        self.assertEqual(dict(told), {}, "calls that nobody made")
        self.assertEqual(untold, [], "calls that nobody made, or that were counted already")

    def check_failed(self, client, untold):
        """A call each at most, which says that it did not end well. httpx's threads break a connection of HTTP/2 that they
        share now and then, watched or not; nobody else fails."""
        failed = client.failed()
        if client.kind.name != "httpx_sync_h2":
            self.assertEqual(failed, set(), client.describe())
        broken = [c for c in untold if c["pid"] == client.pid and c["status"] != "ok" and not c.get("at_least")]
        self.assertLessEqual(len(broken), len(failed), broken)
        for call in broken:
            untold.remove(call)

    def times_only(self, want, untold):
        """The call of a process that was over before its TLS library was hooked, or whose library is not read."""
        # requests grow with their number
        call = min((c for c in untold if not c.get("at_least")), key=lambda c: c["bytes_out"], default=None)
        if not call:
            return []
        untold.remove(call)
        self.assertEqual(call["partial"], "no_plaintext", call)
        return [call]

    def check_in_flight(self, clients, untold, numbers):
        """One call each, which says that it began earlier."""
        late = [c for c in untold if c.get("at_least")]
        for kind in (True, False):  # of a shell the children do the work
            mine = [c for c in clients if c.kind.own_process == kind]
            for group in [[c] for c in mine] if kind else [mine]:
                wanted = [x for c in group for n, x in c.requests().items() if n in numbers]
                pids = {c.pid for c in group} if kind else {c["pid"] for c in late}
                calls = [c for c in late if c["pid"] in pids]
                with self.subTest(in_flight=[c.kind.name for c in group]):
                    self.assertEqual(len(calls), len(wanted), calls)
                    for call in calls:
                        self.assertEqual(call["partial"], "attached_late", call)
                        self.assertGreaterEqual(call["start_ns"], min(x["start_ns"] for x in wanted) - self.slewed_ns)
                        if all(c.kind.whole for c in group):
                            self.assertLessEqual(call["end_ns"], max(x["end_ns"] for x in wanted) + self.slewed_ns)
                late = [c for c in late if c not in calls]
                for call in calls:
                    untold.remove(call)
