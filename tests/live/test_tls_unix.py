#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""TLS whose transport is a unix socket: every request is one call, with its tokens and its times."""
import os

import clients
import harness
from clients import ClientsTest, Kind
from harness import PYTHON

AT_ONCE = 50
NAMES = ("httpx_sync", "httpx_async", "curl")
KINDS = [k for k in clients.KINDS if k.name in NAMES]
KINDS.append(Kind("wrapped_unix", [PYTHON, "-B", os.path.join(clients.HERE, "wrapped_unix.py")], True, True, True))


class TlsUnix(ClientsTest):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.directory, "llm.sock")

    def start(self, plan, patient=False):
        server = self.server(plan, unix=self.path)
        return server, self.clients("https://localhost", server.ca, patient, KINDS, self.path)

    def test_attached_before_the_connections_exist(self):
        server, them = self.start("latency=60,spacing=2")
        observer = self.watch_clients(them, None)
        for client in them:
            self.asked(client, 1, AT_ONCE)
        self.check_clients(them, observer, server, None)

    def test_attached_when_the_connections_exist(self):
        server, them = self.start("latency=60,spacing=2")
        for client in them:
            self.asked(client, AT_ONCE)
        since = self.next
        observer = self.watch_clients(them, None)
        for client in them:
            self.asked(client, 1, AT_ONCE)
        self.check_clients(them, observer, server, None, since)

    def test_attached_while_requests_are_in_flight(self):
        server, them = self.start("fault=hang", patient=True)
        for client in them:
            self.asked_and_held(server, client, 3)
        observer = self.watch_clients(them, None)
        in_flight = range(1, self.next)
        server.release()
        for client in them:
            client.wait_event("done")
        for client in them:
            self.asked_and_held(server, client, 3)
        server.release()
        for client in them:
            client.wait_event("done")
        self.check_clients(them, observer, server, None, in_flight=in_flight)

    def check_in_flight(self, clients, untold, numbers):
        """A unix socket does not tell when it sent last. So it is the reply that shows a request of before, and one that a
        thread waits for inside SSL_read since then is not seen; none is told that was not."""
        late = [c for c in untold if c.get("at_least")]
        for client in clients:
            wanted = [n for n in client.requests() if n in numbers]
            calls = [c for c in late if c["pid"] == client.pid]
            with self.subTest(in_flight=client.kind.name):
                self.assertLessEqual(len(calls), len(wanted), calls)
                if client.kind.name == "httpx_async":
                    self.assertEqual(len(calls), len(wanted), calls)
                self.assertEqual([c["partial"] for c in calls], ["attached_late"] * len(calls))
        untold[:] = [c for c in untold if not c.get("at_least")]

    def asked_and_held(self, server, client, count):
        self.ask(client, count)
        for _ in range(count):
            server.wait_request()


if __name__ == "__main__":
    harness.main()
