#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Real clients whose TLS code has no symbols: BoringSSL, which is read; rustls and Java, whose times are told alone."""
import glob
import json
import os
import shutil
import subprocess

import clients
import harness
from clients import ClientsTest, Kind

AT_ONCE = 50
NODE_MODULES = os.path.join(clients.HERE, "node_modules")


class Opaque(ClientsTest):
    """What is asked of each client; whose class says which one it is."""
    family = state = why = None
    alpn = None  # what its ClientHello offers
    orders = (1, AT_ONCE)

    def kind(self):
        raise NotImplementedError

    def client(self, server, patient=False):
        kind = self.kind()
        if why := clients.missing(kind):
            self.skipTest(why)
        return self.clients(f"https://localhost:{server.port}", server.ca, patient, [kind])

    def check_library(self, observer):
        """What coverage says of the client's own TLS code; node has its own besides."""
        libraries = observer.summary()["coverage"]["tls_libraries"]
        self.assertEqual([(x["family"], x["state"], x["why"]) for x in libraries if x["family"] == self.family],
                         [(self.family, self.state, self.why)], libraries)

    def check(self, them, observer, server, since=1, in_flight=()):
        raise NotImplementedError


class Cases:
    def before(self):
        server = self.server("latency=60,spacing=2")
        them = self.client(server)
        observer = self.watch_clients(them, server.port)
        self.asked(them[0], *self.orders)
        self.check(them, observer, server)
        self.check_library(observer)
        offered = {x["endpoint"]: x["alpn"] for x in observer.summary()["coverage"]["endpoints"]}
        self.assertEqual(offered[f"localhost:{server.port}"], self.alpn)

    def existing(self):
        server = self.server("latency=60,spacing=2")
        them = self.client(server)
        self.asked(them[0], AT_ONCE)
        since = self.next
        observer = self.watch_clients(them, server.port)
        self.asked(them[0], 1, AT_ONCE)
        self.check(them, observer, server, since)
        self.check_library(observer)

    def in_flight(self):
        server = self.server("fault=hang")
        them = self.client(server, patient=True)
        self.asked_and_held(server, them[0], 3)
        observer = self.watch_clients(them, server.port)
        in_flight = range(1, self.next)
        server.release()
        them[0].wait_event("done")
        self.asked_and_held(server, them[0], 3)
        server.release()
        them[0].wait_event("done")
        self.check(them, observer, server, in_flight=in_flight)
        self.check_library(observer)

    def asked_and_held(self, server, client, count):
        self.ask(client, count)
        for _ in range(count):
            server.wait_request()


class Readable(Cases):
    def check(self, them, observer, server, since=1, in_flight=()):
        self.check_clients(them, observer, server, server.port, since, in_flight)


class TimesOnly(Cases):
    orders = (AT_ONCE, 1)  # on a new connection the same request may have another length: those first

    def check(self, them, observer, server, since=1, in_flight=()):
        """A call for each request, from its first byte on the wire to its last. Which is which nothing tells for sure, not even
        its length: Java now and then sends a record of its TLS alone besides."""
        told, calls = self.finish(them, observer)
        self.assertEqual(dict(told), {}, "nobody read that")
        self.check_in_flight(them, calls, in_flight)
        served = {x["tokens_in"] - clients.ROLE_WORD: x
                  for x in map(json.loads, server.out.all[1:]) if x["event"] == "done"}
        wanted = [(n, x) for n, x in sorted(them[0].requests().items()) if n >= since and n not in in_flight]
        self.assertEqual(len(calls), len(wanted), calls)
        fresh = since == 1 and not in_flight
        times = [(c["start_ns"], c["end_ns"]) for c in calls]
        self.check_inside(times, [(x["start_ns"], x["end_ns"]) for _, x in wanted], self.slewed_ns)
        self.check_inside([(served[n]["recv_ns"], min(served[n]["end_ns"], x["end_ns"])) for n, x in wanted], times,
                          clients.CLOCK_NS)
        for call in calls:
            where = f"{call}"
            self.assertEqual((call["class"], call["pid"], call["status"]), ("llm", them[0].pid, "unknown"), where)
            # the name is in the ClientHello; without it nobody knows whether the first bytes begin a request
            self.assertIn(call["endpoint"], [f"localhost:{server.port}"] + [f"127.0.0.1:{server.port}"] * (not fresh))
            self.assertEqual(call["partial"], "attached_late" if call.get("at_least") else "no_plaintext", where)
            self.assertFalse(fresh and call.get("at_least"), where)
        endpoints = {x["endpoint"]: x["why"] for x in observer.summary()["coverage"]["no_plaintext"]}
        self.assertTrue(endpoints[calls[-1]["endpoint"]].startswith("none of it came through a library that was hooked"),
                        endpoints)

    def check_inside(self, inner, outer, slack):
        """Each of the one lies within another one of the other, give or take slack."""
        left = list(outer)
        for begin, end in sorted(inner):
            around = [o for o in left if o[0] - slack <= begin and end <= o[1] + slack]
            self.assertTrue(around, f"{begin}..{end} is in none of {left}")
            left.remove(min(around, key=lambda o: o[1]))

    def check_in_flight(self, them, calls, in_flight):
        """Sent before we came: what came since on a new connection may be the server's session tickets alone, so not each is
        known to be in flight; none is told that was not."""
        late = [c for c in calls if not c["bytes_out"]]
        self.assertLessEqual(len(late), len(in_flight), late)
        for call in late:
            self.assertEqual(call["partial"], "attached_late", call)
            calls.remove(call)


class BoringSsl(Readable, Opaque):
    """wreq-js comes with its symbols: a copy without."""
    family, state, why = "boringssl", "hooked", None
    alpn = "h2,http/1.1"

    def kind(self):
        here = os.path.join(self.directory, "wreq")
        kind = Kind("wreq", ["node", os.path.join(here, "wreq.mjs")], True, True, True)
        if clients.missing(kind):
            return kind
        os.mkdir(here)
        for name in ("wreq.mjs", "client.mjs"):
            shutil.copy(os.path.join(clients.HERE, name), here)
        for name in ("wreq-js", "@wreq-js"):
            shutil.copytree(os.path.join(NODE_MODULES, name), os.path.join(here, "node_modules", name))
        for library in glob.glob(os.path.join(here, "node_modules/@wreq-js/*/*.node")):
            subprocess.run(["strip", "-s", library], check=True, timeout=60)
        return kind

    def test_attached_before_the_connections_exist(self):
        self.before()

    def test_attached_when_the_connections_exist(self):
        self.existing()

    def test_attached_while_requests_are_in_flight(self):
        self.in_flight()


class Rustls(TimesOnly, Opaque):
    family, state = "rustls", "opaque"
    why = "its functions have no C interface and are built into their callers"

    def kind(self):
        return Kind("impit", ["node", os.path.join(clients.HERE, "impit.mjs")], True, False, True)

    def test_attached_before_the_connections_exist(self):
        self.before()

    def test_attached_when_the_connections_exist(self):
        self.existing()

    def test_attached_while_requests_are_in_flight(self):
        self.in_flight()


class Java(TimesOnly, Opaque):
    family, state = "java", "opaque"
    why = "JSSE is Java code, compiled while it runs, that no symbol tells"

    def kind(self):
        return Kind("java", ["java", os.path.join(clients.HERE, "Jsse.java")], True, False, True)

    def test_attached_before_the_connections_exist(self):
        self.before()

    def test_attached_when_the_connections_exist(self):
        self.existing()

    def test_attached_while_requests_are_in_flight(self):
        self.in_flight()


if __name__ == "__main__":
    harness.main()
