#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Real clients whose TLS code has no symbols: BoringSSL, which is read; rustls and Java, whose times are told alone."""
import glob
import os
import shutil
import subprocess

import clients
import harness
from clients import ClientsTest, Kind

AT_ONCE = 50
NODE_MODULES = os.path.join(clients.HERE, "node_modules")


class Opaque(ClientsTest):
    """The cases; whose class says which client."""
    family = state = why = None

    def kind(self):
        raise NotImplementedError

    def client(self, server, patient=False):
        kind = self.kind()
        if why := clients.missing(kind):
            self.skipTest(why)
        return self.clients(f"https://localhost:{server.port}", server.ca, patient, [kind])

    def check_library(self, observer):
        """What coverage says of the client's own TLS code (node has its own besides)."""
        libraries = observer.summary()["coverage"]["tls_libraries"]
        self.assertEqual([(x["family"], x["state"], x["why"]) for x in libraries if x["family"] == self.family],
                         [(self.family, self.state, self.why)], libraries)


class Cases:
    def test_attached_before_the_connections_exist(self):
        server = self.server("latency=60,spacing=2")
        them = self.client(server)
        observer = self.watch_clients(them, server.port)
        self.asked(them[0], 1, AT_ONCE)
        self.check_clients(them, observer, server, server.port)
        self.check_library(observer)

    def test_attached_when_the_connections_exist(self):
        server = self.server("latency=60,spacing=2")
        them = self.client(server)
        self.asked(them[0], AT_ONCE)
        since = self.next
        observer = self.watch_clients(them, server.port)
        self.asked(them[0], 1, AT_ONCE)
        self.check_clients(them, observer, server, server.port, since)
        self.check_library(observer)

    def test_attached_while_requests_are_in_flight(self):
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
        self.check_clients(them, observer, server, server.port, in_flight=in_flight)
        self.check_library(observer)

    def asked_and_held(self, server, client, count):
        self.ask(client, count)
        for _ in range(count):
            server.wait_request()


class BoringSsl(Cases, Opaque):
    """wreq-js comes with its symbols: a copy without."""
    family, state, why = "boringssl", "hooked", None

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


class Rustls(Cases, Opaque):
    family, state = "rustls", "opaque"
    why = "its functions have no C interface and are built into their callers"

    def kind(self):
        return Kind("impit", ["node", os.path.join(clients.HERE, "impit.mjs")], True, False, True)


class Java(Cases, Opaque):
    family, state = "java", "opaque"
    why = "JSSE is Java code, compiled while it runs, that no symbol tells"

    def kind(self):
        return Kind("java", ["java", os.path.join(clients.HERE, "Jsse.java")], True, False, True)


if __name__ == "__main__":
    harness.main()
