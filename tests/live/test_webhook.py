#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Alerts reach whom they should or fail, and in either case run_error.json is there and says what came of them."""
import http.server
import json
import os
import queue
import signal
import socket
import threading

import harness
from harness import EXIT_STALLED, LiveTest, tool, wait_until

MINUTES = 0.05  # the stall timeout of these tests: 3 s
TIMEOUT_S = MINUTES * 60
SECRETS = ("hunter2", "T0KEN", "k3y")


class Receiver:
    """A web server that answers with the given statuses, the last one for ever; what it got is in .posts."""

    def __init__(self, statuses):
        self.posts = queue.Queue()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.posts.put((self.path, dict(self.headers), body))
                status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Webhook(LiveTest):
    stores_used = ()

    def receiver(self, *statuses):
        r = Receiver(list(statuses))
        self.addCleanup(r.close)
        return r

    def hanging(self, *options, **kw):
        server = self.server("latency=10")
        runner = self.runner(server, "--turns", "3", "--hang", "llm", "--gate", "start")
        observer = self.watch(runner.pid, "--stuck-timeout", str(MINUTES), *options, **kw)
        runner.open_gate("start")
        server.wait_request()
        server.wait_request()
        return server, runner, observer

    def url(self, port):
        return f"http://user:{SECRETS[0]}@127.0.0.1:{port}/{SECRETS[1]}?key={SECRETS[2]}"

    def actions(self, observer, kind="webhook"):
        path = observer.path("run_error.json")
        return [a for a in observer.run_error()["actions"] if a["kind"] == kind] if os.path.exists(path) else []

    def wait_action(self, observer, kind="webhook", timeout=45):
        return wait_until(lambda: self.actions(observer, kind), TIMEOUT_S + timeout, f"the result of the {kind}")[0]

    def finish(self, server, runner, observer):
        server.release()
        self.assertEqual(runner.wait(), 0, runner.describe())
        self.assertEqual(observer.wait(), EXIT_STALLED, observer.describe())
        error = observer.run_error()
        self.assertEqual(error["verdict"]["kind"], "llm_no_response")
        self.assertEqual(len(observer.turns()), 3)
        self.check_secrets(observer)
        return error

    def check_secrets(self, observer):
        said = observer.said()
        for path in harness.files_below(observer.dir):
            with open(path, encoding="utf-8") as f:
                said += f.read()
        for secret in SECRETS:
            self.assertNotIn(secret, said)

    def test_the_report_is_posted_once(self):
        receiver = self.receiver(200)
        server, runner, observer = self.hanging("--webhook", self.url(receiver.port))
        path, headers, body = receiver.posts.get(timeout=TIMEOUT_S + 20)
        self.assertEqual(path, f"/{SECRETS[1]}?key={SECRETS[2]}")
        self.assertEqual(headers["Content-Type"], "application/json")
        self.assertTrue(headers["Authorization"].startswith("Basic "))
        posted = json.loads(body)
        self.assertEqual((posted["schema"], posted["pid"]), ("whystuck.run_error/1", runner.pid))
        self.assertEqual(posted["verdict"]["kind"], "llm_no_response")
        self.assertTrue(posted["threads"] and posted["in_flight"])
        action = self.wait_action(observer)
        self.assertEqual(action["result"], "HTTP status 200")
        self.assertIn(f"http://127.0.0.1:{receiver.port}", action["what"])
        error = self.finish(server, runner, observer)
        self.assertEqual(error["verdict"], posted["verdict"])
        self.assertTrue(receiver.posts.empty())

    def test_a_server_in_trouble_is_asked_again(self):
        receiver = self.receiver(500, 429, 200)
        server, runner, observer = self.hanging("--webhook", self.url(receiver.port))
        action = self.wait_action(observer)
        self.assertEqual(action["result"], "HTTP status 200")
        self.assertIn("3 tries", action["what"])
        self.assertEqual(receiver.posts.qsize(), 3)
        self.finish(server, runner, observer)

    def test_a_server_that_refuses_is_not(self):
        for status in (403, 302):
            with self.subTest(status=status):
                receiver = self.receiver(status)
                server, runner, observer = self.hanging("--webhook", self.url(receiver.port))
                self.assertEqual(self.wait_action(observer)["result"], f"HTTP status {status}")
                self.assertEqual(receiver.posts.qsize(), 1)
                self.finish(server, runner, observer)

    def test_nobody_listens_and_the_watch_goes_on(self):
        with socket.socket() as s:  # bound, never listening: nobody else gets the port
            s.bind(("127.0.0.1", 0))
            server, runner, observer = self.hanging("--webhook", self.url(s.getsockname()[1]))
            wait_until(lambda: os.path.exists(observer.path("run_error.json")), TIMEOUT_S + 20, "run_error.json")
            action = self.wait_action(observer)
            self.assertIn("Connection refused", action["result"])
            self.assertIn("3 tries", action["what"])
            self.finish(server, runner, observer)

    def test_a_server_that_never_answers_holds_nothing_up(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            server, runner, observer = self.hanging("--webhook", self.url(s.getsockname()[1]))
            wait_until(lambda: os.path.exists(observer.path("run_error.json")), TIMEOUT_S + 20, "run_error.json")
            s.settimeout(TIMEOUT_S + 20)
            with s.accept()[0] as connection:
                connection.recv(1)  # it is being posted; the turns go on meanwhile
                error = self.finish(server, runner, observer)
            self.assertIn("in progress", self.actions(observer)[0]["result"])
            self.assertGreater(error["ended"]["for_ms"], TIMEOUT_S * 1000 * 0.9)

    def test_stop_tells_what_it_did_and_what_followed(self):
        _, runner, observer = self.hanging("--stop", "--stop-grace", "5")
        self.assertEqual(runner.wait(TIMEOUT_S + 20), -signal.SIGINT, runner.describe())
        self.assertEqual(observer.wait(), EXIT_STALLED, observer.describe())
        (action,) = self.actions(observer, "stop")
        self.assertEqual(action["result"], "SIGINT sent")
        self.assertRegex(action["what"], r"the target ended \d+\.\d s after it")
        self.assertTrue(action["at"])
        self.assertNotIn("ended", observer.run_error())  # it never moved again
        periods = observer.summary()["stall_periods"]
        self.assertEqual([(p["ended"], p["verdict"]) for p in periods], [(None, "llm_no_response")])

    def test_a_url_that_cannot_be_used_is_refused_and_not_shown(self):
        for url in ("ftp://user:hunter2@host/", "http://user:hunter2/T0KEN@host", "http://", "http://a b/hunter2"):
            status, out, err = tool("watch", "1", "--webhook", url)
            self.assertEqual(status, 2, err)
            self.assertIn("--webhook", err)
            for secret in SECRETS:
                self.assertNotIn(secret, out + err)


if __name__ == "__main__":
    harness.main()
