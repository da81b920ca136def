# SPDX-License-Identifier: BSD-2-Clause
"""Stores over HTTP, with their real clients: every call once and by its operation's name, errors that a status 200 hides,
health checks that are none, labels from the target's variables. The stand-ins listen on ports that are nobody's."""
import collections
import json
import os
import shutil
import unittest

from harness import EXIT_S, PYTHON, WORKLOAD, LiveTest, Observer, Process, main, tool

CLIENTS = os.path.join(WORKLOAD, "clients")
ROUNDS = 3
AT_ONCE = 50
SLOW_MS = 48  # what a slow search takes at the server, less what its clock may differ


class RestStores(LiveTest):
    stores_used = ()

    def setUp(self):
        super().setUp()
        self.server = self.started(Process([PYTHON, "-B", os.path.join(WORKLOAD, "rest_server.py")]))
        line = self.server.out.wait_for(lambda x: '"ready"' in x, EXIT_S)
        self.assertTrue(line, self.server.describe())
        self.ports = json.loads(line)["ports"]

    def url(self, system):
        return f"http://127.0.0.1:{self.ports[system]}"

    def client(self, command, env=None):
        target = self.started(Process(command, env=dict(os.environ, **(env or {}))))
        if not target.out.wait_for(lambda x: '"ready"' in x, EXIT_S):
            raise AssertionError("no client: " + target.describe())
        return target

    def python(self):
        try:
            import boto3  # noqa: F401
            import elasticsearch  # noqa: F401
        except ImportError as exc:
            raise unittest.SkipTest(f"{exc} (scripts/install-deps)") from None
        return self.client([PYTHON, "-B", os.path.join(WORKLOAD, "rest_client.py"), json.dumps(self.ports)])

    def node(self, **env):
        for package in ("@qdrant/js-client-rest", "typesense"):
            if not shutil.which("node") or not os.path.isdir(os.path.join(CLIENTS, "node_modules", package)):
                raise unittest.SkipTest(f"npm package {package} is not installed (scripts/install-deps --tests)")
        return self.client(["node", os.path.join(CLIENTS, "stores.mjs")],
                           dict({"L3_QDRANT_URL": self.url("qdrant"),
                                 "MEMORY_L4_TYPESENSE_URL": self.url("typesense")}, **env))

    def rounds(self, target, count):
        for _ in range(count):
            target.say()
            if not target.out.wait_for(lambda x: '"round"' in x, EXIT_S):
                raise AssertionError("a round does not end: " + target.describe())

    def told(self, target):
        """(system, op, status, kind) -> times, as the client saw them; health checks apart."""
        calls = [json.loads(x) for x in target.out.all if '"call"' in x]
        return (collections.Counter((c["system"], c["op"], c["status"], c["kind"] if c["status"] == "error" else None)
                                    for c in calls if c["op"] != "health"),
                sum(c["op"] == "health" for c in calls))

    def seen(self, watch):
        with open(watch.path("calls.jsonl")) as f:
            return [json.loads(x) for x in f]

    def replayed(self, recording):
        again = self.new_dir()
        status, _, err = tool("replay", recording, "-o", again, "--calls")
        self.assertEqual(status, 0, err)
        with open(os.path.join(again, "calls.jsonl")) as f:
            return [json.loads(x) for x in f]

    def scrubbed(self, recording):
        clean = super().scrubbed(recording)
        with open(clean, "rb") as f:
            self.assertNotIn(b"secret", f.read())
        return clean

    def compare(self, target, calls):
        told, health = self.told(target)
        seen = collections.Counter((c["system"], c["op"], c["status"], c["error_kind"]) for c in calls)
        self.assertEqual(seen, told)
        self.assertGreater(health, 0)
        self.assertEqual({c["class"] for c in calls}, {"storage"})
        self.assertEqual({c["partial"] for c in calls}, {None})

    def test_python_clients_on_ports_of_nobody(self):
        target = self.python()
        recording = os.path.join(self.directory, "run.rec")
        watch = self.started(Observer("watch", str(target.pid), self.new_dir(), "--calls", "--record", recording))
        self.rounds(target, ROUNDS)
        watch.interrupt()
        calls = self.seen(watch)
        self.compare(target, calls)
        self.assertEqual({(c["system"], c["label"]) for c in calls}, {(s, s) for s in {c["system"] for c in calls}})
        for name in ("calls.jsonl", "runstats.json"):
            with open(watch.path(name)) as f:
                self.assertNotIn("secret", f.read())
        self.assertEqual(self.replayed(recording), calls)
        self.assertEqual(self.replayed(self.scrubbed(recording)), calls)

    def test_node_clients_labelled_by_variables(self):
        target = self.node()
        recording = os.path.join(self.directory, "run.rec")
        watch = self.started(Observer("watch", str(target.pid), self.new_dir(), "--calls", "--turns", 'stdout:"round"',
                                      "--record", recording))
        self.rounds(target, ROUNDS)
        watch.interrupt()
        calls = self.seen(watch)
        self.compare(target, calls)
        self.assertEqual({(c["system"], c["label"]) for c in calls}, {("qdrant", "L3"), ("typesense", "L4")})
        summary = watch.summary()
        told, _ = self.told(target)
        errors = sum(n for (_, _, status, _), n in told.items() if status == "error")
        self.assertEqual(set(summary["storage"]), {"L3", "L4"})
        self.assertEqual(sum(s.get("errors", 0) for s in summary["storage"].values()), errors, summary["storage"])
        self.assertEqual(self.replayed(recording), calls)
        self.assertEqual(self.replayed(self.scrubbed(recording)), calls)

    def test_node_clients_with_many_at_once(self):
        for warm in (False, True):
            with self.subTest(connections_there=warm):
                target = self.node()
                if warm:
                    self.searched(target, AT_ONCE)
                since = len(target.out.all)
                watch = self.started(Observer("watch", str(target.pid), self.new_dir(), "--calls"))
                self.searched(target, 1)
                self.searched(target, AT_ONCE)
                watch.interrupt()
                told = [json.loads(x) for x in target.out.all[since:] if '"call"' in x]
                seen = self.seen(watch)
                self.assertEqual({c["partial"] for c in seen}, {None})
                for system, op in (("qdrant", "query"), ("typesense", "search")):
                    calls = [c for c in seen if (c["system"], c["op"], c["status"]) == (system, op, "ok")]
                    waited = sorted(c["ms"] for c in told if c["system"] == system)
                    self.assertEqual((len(calls), len(waited)), (AT_ONCE + 1, AT_ONCE + 1))
                    # the shortest with the shortest, and so on: what holds of each holds of these
                    for got, want in zip(sorted(c["duration_ms"] - (c["setup_ms"] or 0) for c in calls), waited):
                        self.assertLessEqual(got, want + self.tolerance(want))
                        self.assertGreaterEqual(got, SLOW_MS)
                self.assertEqual(len(seen), 2 * (AT_ONCE + 1))

    def searched(self, target, many):
        target.say(f"{many}\n")
        if not target.out.wait_for(lambda x: '"round"' in x, EXIT_S):
            raise AssertionError("a round does not end: " + target.describe())

    def test_variables_that_disagree_and_a_table_of_the_users(self):
        target = self.node(L2_ALSO_URL=self.url("qdrant"))
        _, out, _ = tool("check", str(target.pid))
        self.assertIn(f"127.0.0.1:{self.ports['qdrant']}: variables give it different layers", out)
        self.assertIn(f"L4 is 127.0.0.1:{self.ports['typesense']}", out)
        table = os.path.join(self.directory, "table")
        with open(table, "w") as f:
            f.write(f"# ours\nstorage 127.0.0.1:{self.ports['typesense']} mine cold\nheartbeat * /collections\n")
        watch = self.started(Observer("watch", str(target.pid), self.new_dir(), "--calls", "--endpoints", table))
        self.rounds(target, 1)
        watch.interrupt()
        calls = self.seen(watch)
        self.assertEqual({(c["system"], c["label"]) for c in calls}, {("qdrant", "qdrant"), ("typesense", "cold")})
        self.assertNotIn("list collections", {c["op"] for c in calls})

    def test_a_table_with_a_line_that_is_none(self):
        table = os.path.join(self.directory, "table")
        with open(table, "w") as f:
            f.write("llm gpu vllm\nstorage gpu\n")
        status, _, err = tool("watch", "--endpoints", table, "1")
        self.assertEqual(status, 2)
        self.assertIn("line 2: behind the host of a store stands its system", err)


if __name__ == "__main__":
    main()
