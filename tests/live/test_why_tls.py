#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Verdicts on calls that hang over TLS 1.3, whose servers send session tickets about when the first request leaves: with
the clients that LLM runs really use; and on their healthy twins, which keep a connection after a finished reply.
"""
import itertools
import json
import os
import tempfile
import time

from clients import KINDS, missing
from harness import EXIT_S, Process, main
from why import EXIT_STUCK, HangServer, WhyTest


# modes of the server whose replies are over: at once (Node closes such a connection after 4 s), or after a second, and then
# the connection is kept
RESTED = ("answer", "late")


class TlsClient(Process):
    """A client of tests/workload/clients; what its URL is about only its environment says."""

    def __init__(self, kind, url, ca):
        super().__init__([*kind.command, url], env=dict(
            os.environ, SSL_CERT_FILE=ca, REQUESTS_CA_BUNDLE=ca, NODE_EXTRA_CA_CERTS=ca, CLIENT_PATIENT="1",
            LLM_BASE_URL=url + "/v1"))
        self.healthy, self.truth, self.since = False, {"pid": self.pid}, time.monotonic()
        self.wait_event("ready")

    def wait_event(self, event):
        if not self.out.wait_for(lambda x: json.loads(x)["event"] == event, EXIT_S):
            raise AssertionError(f"no {event}: {self.describe()}")

    def ask(self):
        self.say("1 2\n")
        self.since = time.monotonic()

    def grow_old(self, seconds=21):
        time.sleep(max(0.0, self.since + seconds - time.monotonic()))


class Tls(WhyTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        directory = cls.class_stack.enter_context(tempfile.TemporaryDirectory(prefix="whystuck-tls-"))
        cls.server = cls.class_stack.enter_context(HangServer("--tls", directory))
        cls.kinds = [k for k in KINDS if not missing(k)]
        cls.them = {mode: {k.name: cls.client(k, mode) for k in cls.kinds} for mode in ("silent", *RESTED)}
        for mode, group in cls.them.items():
            for client in group.values():  # one by one: the server's tickets shall not have to wait for others' handshakes
                client.ask()
                cls.server.wait_request(mode)

    @classmethod
    def client(cls, kind, mode):
        client = TlsClient(kind, "https://localhost:" + cls.server.port(mode), cls.server.ports["ca"])
        cls.class_stack.callback(client.stop)
        return client

    def test_a_request_that_is_never_answered_is_told(self):
        for kind in self.kinds:
            with self.subTest(kind.name):
                a = self.why(self.them["silent"][kind.name])
                self.assertEqual((a.kind, a.status), ("llm_no_response", EXIT_STUCK), a)
                self.assertAlmostEqual(a.since(), self.them["silent"][kind.name].since, delta=5, msg=a)
                if a.verdict["confidence"] == "likely":  # nothing says which part of a reply is missing
                    self.assertIn("the end of the TLS handshake, or a reply as quick", a.verdict["summary"])

    def test_a_connection_kept_after_a_reply_is_no_hung_call(self):
        for mode, kind in itertools.product(RESTED, self.kinds):
            with self.subTest(kind.name, mode=mode):
                a = self.why(self.them[mode][kind.name])
                self.assertNotIn(a.kind, ("llm_no_response", "llm_stream_stalled"), a)


if __name__ == "__main__":
    main()
