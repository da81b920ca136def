#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Go's own TLS: net/http clients with and without symbols, watched from before or after their connections were made, and
under a load that moves stacks and collects garbage while probes come and go."""
import contextlib
import glob
import json
import os
import shutil
import subprocess
import tempfile
import unittest

import harness
from harness import EXIT_OK, TURNS_S, WORKLOAD, LiveTest, Observer, Process

CYCLES = max(2, int(os.environ.get("WHYSTUCK_ATTACH_CYCLES", "200")) // 4)
BUILD_S = 600  # with nothing in the compiler's cache, on a busy machine
STRIPPED = ("-ldflags", "-s -w")
REQUESTS, WARM = 30, 6


def probes(observer):
    """Links of uprobes that the observer holds: one a kernel program and file."""
    n = 0
    for info in glob.glob(f"/proc/{observer.pid}/fdinfo/*"):
        with contextlib.suppress(OSError), open(info, encoding="ascii") as f:
            n += "uprobe_multi" in f.read()
    return n


def calls_of(observer):
    return harness.read_turns(observer.path("calls.jsonl"))


class GoTest(LiveTest):
    stores_used = ()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not shutil.which("go"):
            raise unittest.SkipTest("no Go here: sudo scripts/install-deps --tests")
        cls.programs = tempfile.mkdtemp(prefix="whystuck-go-")
        cls.class_stack.callback(shutil.rmtree, cls.programs, ignore_errors=True)
        cls.plain = cls.build("client")
        cls.stripped = cls.build("client", *STRIPPED)

    @classmethod
    def build(cls, name, *options):
        """The program of tests/workload/go/NAME; nothing is fetched for it."""
        to = os.path.join(cls.programs, name + "".join(options).replace(" ", ""))
        env = dict(os.environ, GOFLAGS="-mod=mod", GOPROXY="off", GOTOOLCHAIN="local", GO111MODULE="on")
        p = subprocess.run(["go", "build", *options, "-o", to, "."], cwd=os.path.join(WORKLOAD, "go", name), env=env,
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=BUILD_S, check=False)
        if p.returncode:
            raise AssertionError(f"go build: {p.stderr}")
        return to

    def command(self, program, server, *arguments):
        return [program, "-url", f"https://{server.endpoint}", "-ca", server.ca, *map(str, arguments)]

    def client(self, *arguments):
        client = self.started(Process(self.command(*arguments)))
        self.event(client, "ready")
        return client

    def event(self, client, name, timeout=TURNS_S):
        line = client.out.wait_for(lambda x: json.loads(x)["event"] == name, timeout)
        self.assertTrue(line, f"no {name}: {client.describe()}")
        return json.loads(line)

    def finish(self, client, observer):
        """The client's own calls, when both have left well."""
        self.event(client, "done")
        client.p.stdin.close()
        self.assertEqual(client.wait(), 0, client.describe())
        self.assertEqual(observer.wait(), EXIT_OK, observer.describe())
        said = [json.loads(x) for x in client.out.all]
        self.assertEqual([x for x in said if x["event"] == "error"], [])
        return [x for x in said if x["event"] == "call"]

    def check_calls(self, truth, server, observer):
        """Every call once, whole, with its tokens; each as long as what lies between the server's time and the client's,
        which holds of the sorted times, too."""
        calls, spans = calls_of(observer), server.spans()
        where = observer.describe() + json.dumps(calls)[:4000]
        self.assertEqual(len(calls), len(truth), where)
        self.assertEqual({c["partial"] for c in calls}, {None}, where)
        self.assertEqual({(c["class"], c["provider"], c["http_status"]) for c in calls}, {("llm", "openai", 200)}, where)
        self.assertEqual(sorted((c["tokens_in"], c["tokens_out"]) for c in calls),
                         sorted((t["tokens_in"], t["tokens_out"]) for t in truth), where)
        for low, seen, high in zip(sorted((spans[t["id"]][1] - spans[t["id"]][0]) / 1e6 for t in truth),
                                   sorted(c["duration_ms"] for c in calls), sorted(t["ms"] for t in truth)):
            self.assertGreaterEqual(seen, low - self.tolerance(low))
            self.assertLessEqual(seen, high + self.tolerance(high))
        self.check_ledger(observer)

    def check_ledger(self, observer, functions=3):
        coverage = observer.summary()["coverage"]
        self.assertEqual([(x["state"], x["functions"]) for x in coverage["tls_libraries"]], [("hooked", functions)])
        self.assertEqual((harness.lost(coverage), coverage["stream_gaps"], coverage["no_plaintext"]), (0, 0, []))


class Go(GoTest):
    def test_every_call_is_read_whenever_we_come(self):
        # program, requests at once, streamed, requests before we come: each with each other's values at least once
        for program, at_once, stream, warm in ((self.plain, 1, True, 0), (self.plain, 50, False, 50),
                                               (self.plain, 50, False, 0), (self.stripped, 1, False, WARM),
                                               (self.stripped, 50, True, 0), (self.stripped, 50, True, 50)):
            with self.subTest(program=os.path.basename(program), at_once=at_once, stream=stream, warm=warm):
                server = self.server()
                client = self.client(program, server, "-n", REQUESTS + 4 * at_once, "-at-once", at_once,
                                     f"-stream={stream}".lower(), "-gate", warm)
                self.event(client, "gate")
                observer = self.watch(client.pid, "--calls")
                client.say()
                truth = self.finish(client, observer)
                self.check_calls([t for t in truth if int(t["id"][3:]) >= warm], server, observer)

    def test_a_call_that_was_open_when_we_came_is_counted_once(self):
        """Its reply is read by a goroutine that was in Read before there were probes."""
        for program in (self.plain, self.stripped):
            with self.subTest(program=os.path.basename(program)):
                server = self.server("fault=hang")
                client = self.client(program, server, "-n", 2, "-gate", 1)
                server.wait_request()
                observer = self.watch(client.pid, "--calls")
                server.release()
                self.event(client, "gate")
                client.say()
                server.wait_request()  # the next one on that connection tells what it is
                server.release()
                truth = self.finish(client, observer)
                calls = sorted(calls_of(observer), key=lambda c: c["call_id"])
                self.assertEqual([c["partial"] for c in calls], ["attached_late", None], calls)
                self.assertEqual([c["tokens_in"] for c in calls], [None, truth[1]["tokens_in"]])
                self.assertEqual(observer.summary()["coverage"]["calls"],
                                 {"llm": 2, "storage": 0, "heartbeat": 0, "other": 0})

    def test_a_connection_of_the_programs_own_type_is_read_as_well(self):
        server = self.server()
        client = self.client(self.plain, server, "-n", 40, "-gate", 8, "-at-once", 4, "-wrapped")
        self.event(client, "gate")
        observer = self.watch(client.pid, "--calls")
        client.say()
        truth = self.finish(client, observer)
        self.check_calls([t for t in truth if int(t["id"][3:]) >= 8], server, observer)

    def test_a_program_with_c_libraries_is_read_by_both(self):
        program = self.build("cgo")
        server = self.server()
        client = self.client(program, server, "-n", 3)
        observer = self.watch(client.pid, "--calls")
        client.say()
        truth = self.finish(client, observer)
        self.assertEqual({t["status"] for t in truth}, {200}, client.describe())
        # the stand-in counts the role's word, too
        self.assertEqual(sorted(c["tokens_in"] for c in calls_of(observer)), sorted(t["words"] + 1 for t in truth))
        states = {os.path.basename(x["path"]): x["state"] for x in observer.summary()["coverage"]["tls_libraries"]}
        self.assertEqual(states.pop(os.path.basename(program)), "hooked", states)
        self.assertIn("hooked", states.values())

    def test_a_go_child_of_a_shell_is_read(self):
        for how in ("\"$@\"", "exec \"$@\""):
            with self.subTest(how=how):
                server = self.server()
                shell = self.started(Process(["sh", "-c", "read line; " + how, "sh",
                                              *self.command(self.stripped, server, "-n", 12, "-gate", 0)]))
                observer = self.watch(shell.pid, "--calls")
                shell.say()
                self.event(shell, "gate")
                harness.wait_until(lambda: probes(observer) == 2, what="probes on entries and on returns")
                shell.say()
                self.check_calls(self.finish(shell, observer), server, observer)

    def test_go_survives_probes_that_come_and_go(self):
        """1000 goroutines, stacks that grow and shrink, and the garbage collector, while it is watched and left again."""
        for program in (self.plain, self.stripped):
            with self.subTest(program=os.path.basename(program)):
                server = self.server("latency=1,spacing=0")
                client = self.client(program, server, "-churn", 1000, "-at-once", 64)
                self.event(client, "went")
                hooked = 0
                for _ in range(CYCLES // 2):
                    observer = Observer("watch", str(client.pid), self.new_dir(), "--calls")
                    self.event(client, "went")  # under way, with the probes on
                    self.assertEqual(observer.interrupt(), EXIT_OK, observer.describe())
                    observer.stop()
                    hooked += len(calls_of(observer)) > 0
                    self.assertTrue(client.running(), client.describe())
                self.assertEqual(hooked, CYCLES // 2)
                client.p.stdin.close()
                done = self.event(client, "done")
                self.assertEqual(client.wait(), 0, client.describe())
                self.assertEqual((done["bad"], "".join(client.err.all)), (0, ""))
                self.assertGreater(done["good"], 100 * CYCLES // 2)


if __name__ == "__main__":
    harness.main()
