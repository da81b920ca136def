#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The clients that LLM runs really use, over TLS: every request is one call, with its tokens, its host and its times."""
import unittest

import clients
import harness
from clients import HTTP2_KINDS, KINDS, ClientsTest, Nginx, nginx_path

AT_ONCE = 50


class Clients(ClientsTest):
    def test_attached_before_the_connections_exist(self):
        server = self.server("latency=60,spacing=2")
        them = self.clients(f"https://localhost:{server.port}", server.ca)
        observer = self.watch_clients(them, server.port)
        for client in them:
            self.asked(client, 1, AT_ONCE)
        self.check_clients(them, observer, server, server.port)

    def test_attached_when_the_connections_exist(self):
        server = self.server("latency=60,spacing=2")
        them = self.clients(f"https://localhost:{server.port}", server.ca)
        for client in them:
            self.asked(client, AT_ONCE)
        since = self.next
        observer = self.watch_clients(them, server.port)
        for client in them:
            self.asked(client, 1, AT_ONCE)
        self.check_clients(them, observer, server, server.port, since)

    def test_attached_while_requests_are_in_flight(self):
        server = self.server("fault=hang")
        them = self.clients(f"https://localhost:{server.port}", server.ca, patient=True)
        for client in them:
            self.asked_and_held(server, client, 3)
        observer = self.watch_clients(them, server.port)
        in_flight = range(1, self.next)
        server.release()
        for client in them:
            client.wait_event("done")
        for client in them:
            self.asked_and_held(server, client, 3)
        server.release()
        for client in them:
            client.wait_event("done")
        self.check_clients(them, observer, server, server.port, in_flight=in_flight)

    def asked_and_held(self, server, client, count):
        self.ask(client, count)
        for _ in range(count):
            server.wait_request()

    @unittest.skipUnless(nginx_path(), "no nginx here")
    def test_through_nginx(self):
        """Other TLS code at the other end: its own records, tickets and closing."""
        certified, server = self.server(), self.server("latency=60,spacing=2", plain=True)
        proxy = self.started(Nginx(server.endpoint, certified.ca))
        them = self.clients(f"https://localhost:{proxy.port}", certified.ca)
        observer = self.watch_clients(them, proxy.port)
        for client in them:
            self.asked(client, 1, AT_ONCE)
        self.check_clients(them, observer, server, proxy.port)

    @unittest.skipUnless(nginx_path(), "no nginx here")
    def test_through_nginx_that_speaks_http2(self):
        """To those that ask for it, with many requests on one connection; HTTP/1.1 to the others. Short processes: test_http2."""
        kinds = [k for k in KINDS + HTTP2_KINDS if k.own_process]
        certified, server = self.server(), self.server("latency=60,spacing=2", plain=True)
        proxy = self.started(Nginx(server.endpoint, certified.ca, " http2"))
        for warm in (False, True):
            with self.subTest(connections_there=warm):
                them = self.clients(f"https://localhost:{proxy.port}", certified.ca, kinds=kinds)
                for client in them if warm else ():
                    self.asked(client, AT_ONCE)
                since = self.next
                observer = self.watch_clients(them, proxy.port)
                for client in them:
                    self.asked(client, 1, AT_ONCE)
                self.check_clients(them, observer, server, proxy.port, since)


if __name__ == "__main__":
    harness.main()
