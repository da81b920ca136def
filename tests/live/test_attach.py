#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Coming late, leaving early, following children: and the target never feels it."""
import json
import os
import signal
import sys

import harness
from harness import EXIT_OK, EXIT_STALLED, LiveTest, Observer, Process

CYCLES = int(os.environ.get("WHYSTUCK_ATTACH_CYCLES", "200"))


class Attach(LiveTest):
    def test_a_call_that_was_open_when_we_came_is_a_lower_bound(self):
        for mode, client in (("sync", "httpx"), ("sync", "requests"), ("asyncio", "aiohttp")):
            with self.subTest(mode=mode, client=client):
                server = self.server()
                runner = self.runner(server, "--mode", mode, "--client", client, "--turns", "4", "--hang", "llm")
                server.wait_request()
                server.wait_request()  # of turn 1, which hangs
                observer = self.watch(runner.pid)
                server.release()
                self.assertEqual(runner.wait(), 0, runner.describe())
                self.assertEqual(observer.wait(), EXIT_OK, observer.describe())
                # whose turn it was shows only later: its line may come behind others'
                truth, turns = runner.turns()[1:], sorted(observer.turns(), key=lambda t: t["timestamp"])
                self.assertEqual(len(turns), 3, observer.describe())
                self.assertEqual(turns[0]["partial"], "attached_late")
                self.assertTrue(turns[0]["at_least"])
                self.assertLessEqual(turns[0]["llm_ms"], truth[0]["llm_ms"] + 2)
                for want, got in zip(truth[1:], turns[1:]):
                    self.assertIsNone(got["partial"], got)
                    self.assertEqual(got["tokens_in"], want["tokens_in"])
                    # reads of a helper thread right behind a call that was not seen whole may be counted there
                    if mode == "sync" or want is truth[-1]:
                        self.assertEqual(got["storage_calls"], want["storage_calls"])

    def test_connections_opened_before_we_came_are_read(self):
        for mode, client in (("sync", "httpx"), ("sync", "requests"), ("asyncio", "httpx"), ("asyncio", "aiohttp")):
            with self.subTest(mode=mode, client=client):
                server = self.server()
                runner = self.runner(server, "--mode", mode, "--client", client, "--turns", "6", "--warm",
                                     "--gate", "turn:2")
                runner.wait_event("gate", name="turn:2")
                observer = self.watch(runner.pid)
                runner.say()
                self.assertEqual(runner.wait(), 0, runner.describe())
                self.assertEqual(observer.wait(), EXIT_OK, observer.describe())
                turns = observer.turns()
                self.assertEqual(len(turns), 4, observer.describe())
                spans = server.spans()
                for want, got in zip(runner.turns()[2:], turns):
                    self.assertEqual([got[k] for k in ("partial", "tokens_in", "tokens_out", "llm_calls")],
                                     [None, want["tokens_in"], want["tokens_out"], want["llm_calls"]], got)
                    late = {"llm_ms": 0, "storage_ms": 0}
                    self.check_llm_ms(want, got, spans, late, got)
                    self.check_storage(want, got, late, got)
                    self.check_books(got)

    def test_the_target_outlives_every_attach_and_detach(self):
        server = self.server("latency=2,spacing=0")
        runner = self.runner(server, "--turns", "0", "--history", "10", "--api", "openai-stream", "--warm")
        before = None
        for cycle in range(CYCLES):
            observer = Observer("watch", str(runner.pid), self.new_dir())
            status = observer.interrupt((signal.SIGINT, signal.SIGTERM)[cycle % 2])
            self.assertIn(status, (EXIT_OK, 128 + signal.SIGTERM, 128 + signal.SIGINT), observer.describe())
            observer.stop()
            self.assertTrue(runner.running(), runner.describe())
            runner.wait_event("turn", timeout=10)  # it goes on
            fds = len(os.listdir(f"/proc/{runner.pid}/fd"))
            before = before or fds
            self.assertLessEqual(fds, before + 2, "descriptors the target did not have")
        runner.signal(signal.SIGTERM)
        self.assertEqual(runner.wait(), 0, runner.describe())
        self.assertEqual({t["status"] for t in runner.turns()}, {"ok"})

    def test_a_signal_ends_the_watching_and_writes_the_files(self):
        for signo in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=signo.name):
                server = self.server()
                runner = self.runner(server, "--turns", "6", "--gate", "turn:3,end")
                observer = self.watch(runner.pid, wait=False)
                observer.wait_attached()
                runner.wait_event("gate", name="turn:3")
                status = observer.interrupt(signo)
                self.assertEqual(status, EXIT_OK, observer.describe())
                self.assertEqual(observer.summary()["turns"], len(observer.turns()))
                runner.say()
                runner.open_gate("end")
                self.assertEqual(runner.wait(), 0, runner.describe())
                self.assertEqual({t["status"] for t in runner.turns()}, {"ok"})

    def test_the_observer_may_be_killed(self):
        server = self.server("latency=5")
        runner = self.runner(server, "--turns", "0", "--history", "10")
        observer = self.watch(runner.pid)
        metrics = observer.path("turn_metrics.jsonl")
        harness.wait_until(lambda: os.path.exists(metrics) and os.path.getsize(metrics), what="a first line")
        observer.signal(signal.SIGKILL)
        observer.wait()
        for _ in range(5):
            runner.wait_event("turn", timeout=10)
        with open(metrics, encoding="utf-8") as f:
            for line in f:
                self.assertTrue(line.endswith("\n"))
                json.loads(line)
        runner.signal(signal.SIGTERM)
        self.assertEqual(runner.wait(), 0, runner.describe())

    def test_a_target_that_dies_in_a_call_leaves_an_open_turn_with_a_status(self):
        server = self.server()
        runner = self.runner(server, "--turns", "3", "--hang", "llm", "--gate", "start")
        observer = self.watch(runner.pid)
        runner.open_gate("start")
        server.wait_request()
        server.wait_request()
        runner.signal(signal.SIGKILL)
        runner.wait()
        self.assertEqual(observer.wait(), EXIT_OK, observer.describe())
        turns = observer.turns()
        self.assertEqual(len(turns), 2, observer.describe())
        self.assertEqual(turns[0]["status"], "ok")
        self.assertIn(turns[1]["status"], ("aborted", "unknown"))
        self.assertIsNone(turns[1]["tokens_out"])

    def test_a_pid_that_is_used_again_is_another_process(self):
        """The observer is held up while its target dies and a stranger gets the same PID."""
        last_pid = "/proc/sys/kernel/ns_last_pid"
        if not os.access(last_pid, os.W_OK):
            self.skipTest(f"{last_pid} is not there to choose a PID with")
        server = self.server()
        target = Process(["sleep", "600"])
        self.addCleanup(target.stop)
        observer = self.watch(target.pid, "--stop", "--stuck-timeout", "0.01")
        observer.signal(signal.SIGSTOP)
        target.p.kill()
        target.p.wait()
        stranger = None
        for _ in range(500):  # others start processes too
            with open(last_pid, "w", encoding="ascii") as f:
                f.write(str(target.pid - 1))
            stranger = Process(["sh", "-c", "read line; exec \"$@\"", "sh", sys.executable, "-B",
                                os.path.join(harness.WORKLOAD, "runner.py"), *server.arguments(), "--turns", "2"])
            self.addCleanup(stranger.stop)
            if stranger.pid == target.pid:
                break
            stranger.stop()
        self.assertEqual(stranger.pid, target.pid, "could not get the PID again")
        observer.signal(signal.SIGCONT)
        self.assertIn(observer.wait(), (EXIT_OK, EXIT_STALLED), observer.describe())
        stranger.say()
        self.assertEqual(stranger.wait(), 0, stranger.describe())
        self.assertEqual(observer.turns(), [])

    def test_child_processes_are_followed(self):
        for mode in ("fork", "spawn"):
            with self.subTest(mode=mode):
                server = self.server("latency=100")
                runner, observer = self.watch_run(server, "--mode", mode, "--sessions", "3", "--turns", "3")
                self.check_turns(runner, observer, server)


class RunCommand(LiveTest):
    stores_used = ()

    def run_command(self, *command, **kw):
        return self.started(Observer("run", command, self.new_dir(), wait=False, **kw))

    def test_run_sees_the_first_turn(self):
        server = self.server()
        truth = os.path.join(self.directory, "truth")
        observer = self.run_command(harness.PYTHON, "-B", os.path.join(harness.WORKLOAD, "runner.py"),
                                    *server.arguments(), "--turns", "3", "--truth", truth)
        self.assertEqual(observer.wait(), 0, observer.describe())
        with open(truth, encoding="utf-8") as f:
            want = [t for t in map(json.loads, f) if t["event"] == "turn"]
        self.assertEqual([(t["tokens_in"], t["partial"]) for t in observer.turns()],
                         [(t["tokens_in"], None) for t in want], observer.describe())

    def test_run_leaves_with_the_status_of_its_command(self):
        for code in (0, 7):
            self.assertEqual(self.run_command("sh", "-c", f"exit {code}").wait(), code)
        self.assertEqual(self.run_command("sh", "-c", "kill -9 $$").wait(), 128 + 9)

    def test_run_of_a_missing_command_says_so(self):
        observer = self.run_command("/nonexistent/command")
        self.assertEqual(observer.wait(), harness.EXIT_ERROR)
        self.assertIn("/nonexistent/command", observer.said())


if __name__ == "__main__":
    harness.main()
