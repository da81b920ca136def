#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A run that hangs is found, named and reported once; a run that is merely slow is left alone."""
import json
import os
import signal

import harness
from harness import EXIT_OK, EXIT_STALLED, LiveTest, wait_until

MINUTES = 0.05  # the stall timeout of these tests: 3 s
TIMEOUT_S = MINUTES * 60

# What hangs: the verdict, the class of endpoint.
HANGS = {"llm": "llm_no_response", "stream": "llm_stream_stalled", "pings": "llm_stream_stalled",
         "redis": "storage_no_response", "postgres": "storage_no_response"}


class Stall(LiveTest):
    def hang(self, server, what, runner, first=True):
        """Brings the runner to where it hangs."""
        if what == "redis":
            runner.wait_event("gate", name="hang")
            self.stores.pause_redis()
            self.addCleanup(self.stores.resume_redis)
            runner.say()
        elif what == "postgres":
            runner.wait_event("gate", name="hang")
            self.stores.lock_postgres()
            self.addCleanup(self.stores.unlock_postgres)
            runner.say()
        elif first:
            server.wait_request()
            server.wait_request()

    def go_on(self, server, what):
        if what == "redis":
            self.stores.resume_redis()
        elif what == "postgres":
            self.stores.unlock_postgres()
        else:
            server.release()

    def hanging(self, what, *options, turns="4", hang_turn="1", api="anthropic-stream", **kw):
        server = self.server("latency=10,ping_ms=100")
        runner = self.runner(server, "--api", api, "--turns", turns, "--hang", what, "--hang-turn", hang_turn,
                             "--gate", "start")
        observer = self.watch(runner.pid, "--stuck-timeout", str(MINUTES), *options, **kw)
        runner.open_gate("start")
        self.hang(server, what, runner)
        return server, runner, observer

    def wait_error(self, observer):
        return wait_until(lambda: os.path.exists(observer.path("run_error.json")) and observer.run_error(),
                          TIMEOUT_S + 15, "run_error.json")

    def test_each_hang_is_found_and_named(self):
        for what, kind in HANGS.items():
            with self.subTest(hang=what):
                server, runner, observer = self.hanging(what, *self.named_storage())
                error = self.wait_error(observer)
                self.check_error(error, what, kind, runner, server)
                self.go_on(server, what)
                self.assertEqual(runner.wait(), 0, runner.describe())
                self.assertEqual(observer.wait(), EXIT_STALLED, observer.describe())
                self.assertEqual(len(observer.turns()), 4)
                self.assertEqual(observer.summary()["stalls"], 1)

    def check_error(self, error, what, kind, runner, server):
        verdict, text = error["verdict"], json.dumps(error, indent=1)
        self.assertEqual(verdict["kind"], kind, text)
        self.assertIn(verdict["confidence"], ("proven", "strong", "likely"))
        self.assertIn(verdict["will_wake"]["answer"], ("never", "on_event", "unknown"), text)
        self.assertGreaterEqual(verdict["for_ms"], TIMEOUT_S * 1000 * 0.9, text)
        self.assertLess(verdict["for_ms"], (TIMEOUT_S + 10) * 1000, text)
        self.assertTrue(verdict["summary"] and verdict["clock"] and error["next_steps"], text)
        self.assertEqual((error["pid"], error["stuck_timeout_minutes"]), (runner.pid, MINUTES))
        self.assertEqual(error["causes"][0]["kind"], kind, text)
        endpoint = {"redis": f"127.0.0.1:{self.stores.redis_port}",
                    "postgres": f"127.0.0.1:{self.stores.pg_port}"}.get(what, server.endpoint)
        self.assertIn(endpoint, json.dumps(error["in_flight"]), text)
        self.assertEqual(len(error["in_flight"]), 1, text)
        self.assertTrue(error["threads"] and error["processes"] and error["last_event_timestamp"], text)
        if what in ("llm", "stream", "pings"):  # else the turn before may still be open: no request opened the next
            self.assertEqual(error["last_turn"]["turn_index"], 0, text)
            self.assertEqual(error["turn_in_progress"]["turn_index"], 1, text)

    def test_once_per_stall_and_again_after_progress(self):
        mark = os.path.join(self.directory, "alerts")
        server, runner, observer = self.hanging(
            "llm", "--on-stuck", f"echo \"$1\" >> {mark}", hang_turn="1,3", turns="5")
        wait_until(lambda: os.path.exists(mark), TIMEOUT_S + 15, "the first alert")
        # Longer than the timeout again, with nothing new: no second alert. Time itself is what is tested here.
        self.assertIsNone(runner.out.wait_for(lambda x: '"turn": 1' in x, TIMEOUT_S * 1.5))
        self.assertEqual(count_lines(mark), 1)
        server.release()
        server.wait_request()  # turn 2
        server.wait_request()  # turn 3 hangs
        wait_until(lambda: count_lines(mark) == 2, TIMEOUT_S + 15, "the second alert")
        server.release()
        self.assertEqual(runner.wait(), 0)
        self.assertEqual(observer.wait(), EXIT_STALLED, observer.describe())
        self.assertEqual(observer.summary()["stalls"], 2)
        self.assertEqual(count_lines(mark), 2)

    def test_the_alert_command_gets_the_path_and_the_variables(self):
        mark = os.path.join(self.directory, "alert")
        script = os.path.join(self.directory, "alert.sh")
        with open(script, "w", encoding="utf-8") as f:
            f.write(f'#!/bin/sh\n{{ echo "$1"; env | grep ^WHYSTUCK_; }} > {mark}.new\nmv {mark}.new {mark}\n')
        os.chmod(script, 0o755)
        server, runner, observer = self.hanging("llm", "--on-stuck", script)
        wait_until(lambda: os.path.exists(mark), TIMEOUT_S + 15, "the alert")
        with open(mark, encoding="utf-8") as f:
            lines = f.read().splitlines()
        self.assertEqual(os.path.realpath(lines[0]), os.path.realpath(observer.path("run_error.json")))
        with open(lines[0], encoding="utf-8") as f:
            self.assertEqual(json.load(f)["verdict"]["kind"], "llm_no_response")
        variables = dict(line.split("=", 1) for line in lines[1:] if "=" in line)
        self.assertIn(str(runner.pid), variables.values())
        self.assertIn("llm_no_response", variables.values())
        server.release()
        runner.wait()
        observer.wait()
        alert = [a for a in observer.run_error()["actions"]]
        self.assertTrue(alert, "the result of the alert is in run_error.json")

    def test_a_failing_alert_command_does_not_end_the_watching(self):
        server, runner, observer = self.hanging("llm", "--on-stuck", "/nonexistent/alert")
        self.wait_error(observer)
        server.release()
        self.assertEqual(runner.wait(), 0)
        self.assertEqual(observer.wait(), EXIT_STALLED, observer.describe())
        self.assertEqual(len(observer.turns()), 4)

    def test_stop_ends_the_run_as_ctrl_c_would(self):
        _, runner, observer = self.hanging("llm", "--stop", "--stop-grace", "2")
        self.assertEqual(runner.wait(TIMEOUT_S + 20), -signal.SIGINT, runner.describe())
        self.assertEqual(observer.wait(), EXIT_STALLED, observer.describe())
        self.assertIn("SIGINT", json.dumps(observer.run_error()["actions"]))
        turns = observer.turns()
        self.assertEqual([t["status"] for t in turns][:1], ["ok"])
        self.assertEqual(len(turns), 2)
        self.assertIn(turns[1]["status"], ("stalled", "aborted"))

    def test_a_stalled_turn_is_written_as_stalled_when_we_leave(self):
        _, runner, observer = self.hanging("llm")
        self.wait_error(observer)
        self.assertEqual(observer.interrupt(), EXIT_STALLED, observer.describe())
        self.assertEqual([t["status"] for t in observer.turns()], ["ok", "stalled"])
        self.assertTrue(runner.running())

    def test_the_timeout_from_the_environment_counts_and_the_option_wins(self):
        server = self.server()
        runner = self.runner(server, "--turns", "2", "--hang", "llm", "--gate", "start")
        by_env = self.watch(runner.pid, env={"MAS_BENCH_STUCK_TIMEOUT_MINUTES": str(MINUTES)})
        by_option = self.watch(runner.pid, "--stuck-timeout", "0",
                               env={"MAS_BENCH_STUCK_TIMEOUT_MINUTES": str(MINUTES)})
        runner.open_gate("start")
        self.wait_error(by_env)
        server.release()
        runner.wait()
        self.assertEqual((by_env.wait(), by_option.wait()), (EXIT_STALLED, EXIT_OK))
        self.assertFalse(os.path.exists(by_option.path("run_error.json")))

    def test_slow_but_moving_is_not_stuck(self):
        """Each turn is far longer than the timeout, but content keeps coming."""
        server = self.server()
        _, observer = self.watch_run(server, "--api", "openai-stream", "--turns", "1", "--plan",
                                     f"words=12,chunks=12,spacing={TIMEOUT_S * 1000 / 5}",
                                     options=["--stuck-timeout", str(MINUTES)])
        self.assertFalse(os.path.exists(observer.path("run_error.json")), observer.describe())

    def agent(self, mode, *options):
        """agent.py, watched from before its first request: (process, observer)."""
        server = self.server(plain=True)
        agent = self.started(harness.Process([harness.PYTHON, "-B", os.path.join(harness.WORKLOAD, "agent.py"),
                                              f"http://{server.endpoint}", mode]))
        agent.out.wait_for(lambda x: '"ready"' in x, harness.EXIT_S)
        observer = self.watch(agent.pid, "--stuck-timeout", str(MINUTES), "--llm", server.endpoint, *options)
        agent.say()
        return agent, observer

    def go_on_agent(self, agent, observer):
        agent.say()
        self.assertTrue(observer.err.wait_for(lambda x: "moving again" in x, TIMEOUT_S + 15), observer.describe())
        agent.say()
        self.assertEqual(agent.wait(), 0, agent.describe())
        self.assertEqual(observer.wait(), EXIT_STALLED, observer.describe())

    def check_ended(self, observer):
        """The stall that is over: with its length, the same in all places."""
        error, (period,) = observer.run_error(), observer.summary()["stall_periods"]
        self.assertEqual((period["clock"], period["verdict"]), (error["verdict"]["clock"], error["verdict"]["kind"]))
        self.assertEqual(period["ended"], error["ended"]["at"])
        self.assertAlmostEqual(period["for_ms"], error["ended"]["for_ms"], delta=0.01)
        self.assertGreaterEqual(period["for_ms"], TIMEOUT_S * 1000 * 0.9)

    def test_calls_that_fail_for_ever_are_a_stall(self):
        for mode in ("retry", "refused", "refused-later"):
            with self.subTest(mode=mode):
                agent, observer = self.agent(mode)
                error = self.wait_error(observer)
                # one of these three: else it is the threads' rest that was found, not the failures
                self.assertIn(error["verdict"]["clock"], ("content", "calls", "turns"))
                if mode == "retry":
                    self.assertIn(error["verdict"]["kind"], ("rate_limited", "retry_loop"), json.dumps(error["causes"]))
                self.go_on_agent(agent, observer)
                self.check_ended(observer)

    def test_an_agent_in_circles_is_a_stall_of_the_turns(self):
        agent, observer = self.agent("loop")
        error = self.wait_error(observer)
        self.assertEqual(error["verdict"]["kind"], "turn_loop", json.dumps(error["causes"], indent=1))
        self.go_on_agent(agent, observer)
        self.check_ended(observer)
        self.assertEqual(observer.summary()["stall_periods"][0]["clock"], "turns")

    def test_slow_is_said_once_and_is_no_stall(self):
        """A reply takes far longer than all before it, and longer than the stall timeout; its content keeps coming."""
        agent, observer = self.agent("slow")
        agent.say()
        self.assertEqual(agent.wait(), 0, agent.describe())
        self.assertEqual(observer.wait(), EXIT_OK, observer.describe())
        lines = [x for x in observer.err.all if "slow: " in x]
        self.assertEqual(len(lines), 1, observer.describe())
        self.assertRegex(lines[0], r"slow: POST .* to 127\.0\.0\.1:\d+ open for .*, longer than this run's p99 of .* ms; "
                                   r"its connection is alive")
        self.assertFalse(os.path.exists(observer.path("run_error.json")))
        self.assertEqual(observer.summary()["stall_periods"], [])

    def test_files_of_a_stall_are_private(self):
        _, _, observer = self.hanging("llm")
        self.wait_error(observer)
        self.assertEqual(os.stat(observer.path("run_error.json")).st_mode & 0o777, 0o600)


def count_lines(path):
    with open(path, encoding="utf-8") as f:
        return len(f.readlines())


if __name__ == "__main__":
    harness.main()
