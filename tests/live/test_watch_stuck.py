#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""watch finds each way to hang, attached before it or after, and says of it what `whystuck PID` would; what is healthy it
leaves in peace; and a recording says all of it again.

All workloads of a class are started together, and hang together.
"""
import datetime
import json
import os
import shutil
import signal
import tempfile
import time

import harness
from harness import (EXIT_OK, EXIT_S, EXIT_STALLED, PYTHON, WORKLOAD, LiveTest, Observer, Process, canary, tool,
                     wait_until)
from why import Hang, HangServer

MINUTES = "0.1"
TIMEOUT_S = float(MINUTES) * 60
FOUND_S = TIMEOUT_S + 15  # on a machine that does much else
FILES = ("turn_metrics.jsonl", "runstats.json", "run_error.json")


def seconds_of(timestamp):
    """A timestamp of a document on CLOCK_MONOTONIC."""
    at = datetime.datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()
    return at - time.time() + time.monotonic()


class TurnsBad(Process):
    """tests/workload/turns_bad.py, which stands before its first turn."""

    def __init__(self, case, ports, *arguments, env=None):
        super().__init__([PYTHON, "-B", os.path.join(WORKLOAD, "turns_bad.py"), case, json.dumps(ports), *arguments],
                         env=dict(os.environ, **(env or {})))

    def event(self, name, process=None, timeout=EXIT_S):
        line = (process or self).out.wait_for(lambda x: x.startswith("{") and json.loads(x)["event"] == name, timeout)
        if not line:
            raise AssertionError(f"no {name}: {(process or self).describe()}")
        return json.loads(line)

    def turns(self):
        return [json.loads(x) for x in self.out.all if '"event": "turn"' in x]


class StuckTest(LiveTest):
    stores_used = ()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.base = tempfile.mkdtemp(prefix="whystuck-live-")
        os.chmod(cls.base, 0o755)
        if not os.environ.get("WHYSTUCK_KEEP"):
            cls.class_stack.callback(shutil.rmtree, cls.base, ignore_errors=True)
        cls.server = cls.class_stack.enter_context(HangServer())
        try:
            cls.start_all()
        except BaseException:
            cls.class_stack.close()
            raise

    @classmethod
    def kept(cls, process):
        """It ends with the class."""
        cls.class_stack.callback(process.stop)
        return process

    @classmethod
    def observe(cls, name, what, *options, verb="watch", wait=False):
        return cls.kept(Observer(verb, what, os.path.join(cls.base, name), "--stuck-timeout", MINUTES, "--record",
                                 cls.recording(name), *options, wait=wait))

    @classmethod
    def recording(cls, name):
        return os.path.join(cls.base, name + ".rec")

    @classmethod
    def workload(cls, family, case, arguments, *options):
        ports = [cls.server.port(x) if x in cls.server.ports else x for x in arguments]
        return cls.kept(Hang(f"hang_{family}.py", case, *ports, *options))

    @staticmethod
    def wait_error(observer):
        return wait_until(lambda: os.path.exists(observer.path("run_error.json")) and observer.run_error(), FOUND_S,
                          f"run_error.json: {observer.describe()}")

    def check_error(self, error, kind, wake, pid, says):
        """What holds of every report."""
        verdict, text = error["verdict"], json.dumps(error, indent=1)[:8000]
        self.assertEqual(verdict["kind"], kind, text)
        self.assertIn(verdict["will_wake"]["answer"], wake, text)
        self.assertEqual(verdict["pid"], pid, text)
        self.assertIn(says, f"{verdict['summary']} {verdict['where']}", text)
        self.assertIn(verdict["clock"], ("content", "calls", "turns", "output", "syscalls", "cpu", "any_syscall"), text)
        self.assertIn(verdict["confidence"], (None,) if kind == "unknown" else ("proven", "strong", "likely"), text)
        self.assertEqual(error["causes"][0]["kind"], kind)
        self.assertTrue(error["causes"][0]["evidence"] or kind == "turn_loop", text)
        self.assertTrue(error["next_steps"] and error["processes"] and error["threads"] and error["snapshot"], text)
        self.assertEqual(error["stuck_timeout_minutes"], float(MINUTES))
        python = [t for t in error["threads"] if t["pid"] == error["pid"] and t["role"] == "main"]
        self.assertTrue(python and python[0]["python"], text)

    def check_line(self, observer, error):
        """The line of the log says what and where."""
        lines = [x for x in observer.err.all if ": stuck (" in x]
        where = error["verdict"]["where"]
        said = f"stuck ({error['verdict']['kind']}): {error['verdict']['summary']}" + (f". {where}" if where else "")
        self.assertTrue(len(lines) == 1 and said in lines[0], f"{said}\n{observer.describe()}")

    def check_replay(self, name, observer):
        """The recording gives the same files, also when all that was captured is masked."""
        scrubbed = self.recording(name) + ".scrubbed"
        for recording in (self.recording(name), scrubbed):
            directory = os.path.join(self.base, os.path.basename(recording) + ".replay")
            status, out, err = tool("replay", "-o", directory, "--progress", "none", recording,
                                    *(["--scrub", scrubbed] if recording != scrubbed else []))
            self.assertEqual(status, EXIT_STALLED, out + err)
            for file in FILES:
                with open(observer.path(file), "rb") as f, open(os.path.join(directory, file), "rb") as g:
                    self.assertEqual(f.read(), g.read(), f"{recording}: {file}")
        with open(scrubbed, "rb") as f:
            self.assertEqual(canary.found(f.read()), [])


# case -> verdict, will it wake, what its sentence or its place says
WENT_BAD = {
    "deadlock": ("deadlock", ("never",), "Runner.deadlock (turns_bad.py:"),
    "sleep": ("sleeping", ("at",), "Runner.sleep (turns_bad.py:"),
    "child": ("sleeping", ("at",), "(sleep) sleeps"),
    "pipe": ("output_blocked", ("on_event",), "Runner.pipe (turns_bad.py:"),
    "lock": ("file_lock", ("on_event",), "Runner.lock (turns_bad.py:"),
    "loop": ("event_loop_blocked", ("at",), "everything (turns_bad.py:"),
    "llm": ("llm_no_response", ("never",), "Runner.llm (turns_bad.py:"),
    "stream": ("llm_stream_stalled", ("never",), "Runner.stream (turns_bad.py:"),
    "storage": ("storage_no_response", ("never",), "Runner.storage (turns_bad.py:"),
    "limited": ("rate_limited", ("on_event", "at"), "Runner.limited (turns_bad.py:"),
    "retries": ("retry_loop", ("on_event", "at"), "Runner.retries (turns_bad.py:"),
    "circle": ("turn_loop", ("on_event",), "LLM calls have succeeded"),
    "computing_lock": ("cpu_bound", ("unknown",), "Runner.computing_lock (turns_bad.py:"),
    # nothing tells threads of the program's own that tick from ones that will wake it
    "noise": ("unknown", ("unknown",), "Runner.noise (turns_bad.py:"),
}
# these stay as they are: we leave first, by Ctrl-C or SIGTERM, or the run is killed
LEFT = {"llm-left": signal.SIGINT, "sleep-left": signal.SIGTERM, "deadlock-killed": None}
CLOCKS_OF_CALLS = ("content", "calls", "turns")
CANARIES = ("--canaries", "--api-key", canary.WORDS["argument"])
ENVIRONMENT = {"OPENAI_API_KEY": canary.WORDS["environment"],
               "OPENAI_BASE_URL": f"https://user:{canary.WORDS['environment']}@127.0.0.1:1/"}


class Before(StuckTest):
    """Attached while all is well; then it hangs, and goes on when told to."""
    stores_used = ("redis",)

    @classmethod
    def start_all(cls):
        cls.ports = dict(cls.server.ports, redis=cls.stores.redis_port)
        names = [*WENT_BAD, *LEFT, "tool"]
        cls.alert = os.path.join(cls.base, "alert")
        options = {"deadlock": ["--on-stuck", f"env | grep ^WHYSTUCK_ > {cls.alert}.new; mv {cls.alert}.new {cls.alert}"]}
        cls.runs = {name: cls.kept(TurnsBad(name.split("-")[0], cls.ports, *CANARIES, env=ENVIRONMENT)) for name in names}
        cls.stopped = cls.kept(TurnsBad("computing", cls.ports))
        for r in (*cls.runs.values(), cls.stopped):
            r.event("ready")
        cls.observers = {name: cls.observe(name, str(r.pid), *options.get(name, ())) for name, r in cls.runs.items()}
        cls.observers["stopped"] = cls.observe("stopped", str(cls.stopped.pid), "--stop", "--stop-grace", "5")
        for o in cls.observers.values():
            o.wait_attached()
        command = [PYTHON, "-B", os.path.join(WORKLOAD, "turns_bad.py"), "stream", json.dumps(cls.ports)]
        cls.own = cls.observe("run", command, verb="run", wait=True)
        cls.stores.pause_redis()
        cls.class_stack.callback(cls.stores.resume_redis)
        cls.began = time.monotonic()
        for r in (*cls.runs.values(), cls.stopped, cls.own):
            r.say()
        cls.truth = {name: r.event("hanging") for name, r in cls.runs.items()}
        cls.errors = {name: cls.wait_error(cls.observers[name]) for name in (*WENT_BAD, *LEFT)}
        cls.go_on()

    @classmethod
    def go_on(cls):
        """The hangs end, the runs and their watches too."""
        time.sleep(max(0.0, cls.began + 2.5 * TIMEOUT_S - time.monotonic()))  # `tool` has worked for long
        cls.wait_error(cls.own)
        for name, signo in LEFT.items():
            if signo:
                assert cls.observers[name].interrupt(signo) == EXIT_STALLED, cls.observers[name].describe()
            else:
                cls.runs[name].signal(signal.SIGKILL)
        for name, r in cls.runs.items():
            if name != "deadlock-killed":
                r.signal(signal.SIGUSR1)
        cls.stores.resume_redis()
        assert cls.own.running(), cls.own.describe()
        os.kill(cls.own.run_error()["pid"], signal.SIGUSR1)
        for name in WENT_BAD:
            cls.observers[name].err.wait_for(lambda x: "moving again" in x, EXIT_S)
        for name, r in (*cls.runs.items(), ("run", cls.own)):
            if name != "deadlock-killed":
                cls.runs["llm"].event("done", r)
                r.say()
        for r in cls.runs.values():
            r.wait()
        for name, o in cls.observers.items():
            o.wait()
        cls.own.wait()

    def test_each_is_found_in_time_and_named(self):
        for name, (kind, wake, says) in WENT_BAD.items():
            with self.subTest(name):
                error, observer, truth = self.errors[name], self.observers[name], self.truth[name]
                self.check_error(error, kind, wake, truth["pid"], says)
                self.check_line(observer, error)
                verdict = error["verdict"]
                self.assertGreaterEqual(verdict["for_ms"], TIMEOUT_S * 1000 * 0.8, verdict)
                self.assertLess(seconds_of(error["timestamp"]) - truth["since"], TIMEOUT_S + 8, verdict)
                self.assertAlmostEqual(seconds_of(verdict["since"]), truth["since"], delta=1.5, msg=verdict)
                self.assertFalse(verdict["at_least"], verdict)
                self.assertEqual(error["last_turn"]["turn_index"], 1)
                self.assertEqual(error["turn_in_progress"]["turn_index"], 2)
                if name in ("llm", "stream", "storage"):
                    self.assertEqual(len(error["in_flight"]), 1, error["in_flight"])
                    self.assertIn(verdict["clock"], CLOCKS_OF_CALLS)
                if "wakes" in truth:
                    at = seconds_of(verdict["will_wake"]["at"])
                    self.assertAlmostEqual(at, truth["wakes"], delta=0.2, msg=verdict)
                if "other" in truth:
                    self.assertIn(str(truth["other"]), json.dumps(error["causes"][0]))
        self.assertEqual(len(self.errors["loop"]["tasks"]), 2, "the tasks of the loop")

    def test_a_stall_that_ends_is_recorded_with_its_length(self):
        for name in WENT_BAD:
            with self.subTest(name):
                observer = self.observers[name]
                error, (period,) = observer.run_error(), observer.summary()["stall_periods"]
                self.assertEqual((period["clock"], period["verdict"]),
                                 (error["verdict"]["clock"], error["verdict"]["kind"]))
                self.assertEqual((period["since"][:19], period["at_least"]), (period["since"][:19], False))
                self.assertEqual(period["ended"], error["ended"]["at"])
                length = seconds_of(period["ended"]) - self.truth[name]["since"]
                self.assertAlmostEqual(period["for_ms"] / 1000, length, delta=1.5)
                self.assertEqual(observer.p.returncode, EXIT_STALLED, observer.describe())

    def test_the_turn_that_hung_has_its_true_times(self):
        for name in (*WENT_BAD, "tool"):
            with self.subTest(name):
                truth, turns = self.runs[name].turns(), self.observers[name].turns()
                self.assertEqual([t["status"] for t in turns], ["ok"] * 4, self.observers[name].describe())
                for want, got in zip(truth, turns):
                    self.assertAlmostEqual(got["wall_ms"], want["wall_ms"], delta=max(100, want["wall_ms"] * 0.02))
                    self.check_books(got)

    def test_a_turn_that_never_ended_is_stalled(self):
        for name, signo in LEFT.items():
            with self.subTest(name):
                observer, (period,) = self.observers[name], self.observers[name].summary()["stall_periods"]
                self.assertEqual(observer.p.returncode, EXIT_STALLED, observer.describe())
                self.assertEqual([t["status"] for t in observer.turns()], ["ok", "ok", "stalled"])
                self.assertIsNone(period["ended"])
                self.assertNotIn("ended", observer.run_error())
                if signo:  # the run went on without us
                    self.assertEqual((self.runs[name].p.returncode, len(self.runs[name].turns())), (0, 4))

    def test_a_tool_that_works_for_the_run_is_no_stall(self):
        observer = self.observers["tool"]
        self.assertEqual(observer.p.returncode, EXIT_OK, observer.describe())
        self.assertFalse(os.path.exists(observer.path("run_error.json")))

    def test_the_alert_is_told_where(self):
        with open(self.alert, encoding="utf-8") as f:
            variables = dict(line.rstrip("\n").split("=", 1) for line in f)
        verdict = self.errors["deadlock"]["verdict"]
        self.assertEqual((variables["WHYSTUCK_VERDICT"], variables["WHYSTUCK_WHERE"], variables["WHYSTUCK_WILL_WAKE"]),
                         ("deadlock", verdict["where"], "never"))
        self.assertEqual(variables["WHYSTUCK_STUCK_PID"], str(verdict["pid"]))
        self.assertEqual([a["kind"] for a in self.observers["deadlock"].run_error()["actions"]], ["alert"])

    def test_stop_ends_a_run_that_computes(self):
        observer = self.observers["stopped"]
        self.assertEqual(self.stopped.wait(), -signal.SIGINT, self.stopped.describe())
        self.assertEqual(observer.p.returncode, EXIT_STALLED)
        error = observer.run_error()
        self.assertEqual((error["verdict"]["kind"], [a["kind"] for a in error["actions"]]), ("cpu_bound", ["stop"]))

    def test_a_run_we_started_is_watched_alike(self):
        self.assertEqual(self.own.p.returncode, 0, self.own.describe())  # the command's own
        error = self.own.run_error()
        self.check_error(error, *WENT_BAD["stream"][:2], error["pid"], WENT_BAD["stream"][2])
        self.assertEqual([t["status"] for t in self.own.turns()], ["ok"] * 4)
        self.assertIn("ended", error)

    def test_recordings_say_it_again_also_when_masked(self):
        for name in (*WENT_BAD, *LEFT):
            if name == "deadlock":
                continue  # its alert was run, a replay runs none
            with self.subTest(name):
                self.check_replay(name, self.observers[name])


# name -> script, case, arguments (a mode of the server stands for its port), verdict, will it wake, what it says
LATE = {
    "queue_wait": ("threads", (), "deadlock", ("never",), "queue_wait (hang_threads.py:"),
    "stopped": ("threads", (), "stopped", ("on_event",), "stopped"),
    "vfork": ("threads", (), "uninterruptible", ("on_event",), "vfork"),
    "forked_lock": ("threads", (), "forked_lock", ("never",), "forked"),
    "exit_thread": ("threads", (), "exit_blocked", ("on_event", "never"), "keep (hang_threads.py:"),
    "computing_threads": ("threads", (), "cpu_bound", ("unknown",), "computing (hang_threads.py:"),
    "blocked_lock": ("loops", ("late",), "event_loop_blocked", ("never",), "block (hang_loops.py:"),
    "idle_future": ("loops", (), "event_loop_idle", ("never",), "never (hang_loops.py:"),
    "async_sleep": ("loops", (), "sleeping", ("at",), ""),
    "pool_async": ("loops", ("answer",), "pool_exhausted", ("never", "on_event", "unknown"), "hang_loops.py:"),
    "output": ("files", (), "output_blocked", ("on_event",), "a pipe"),
    "input_pipe": ("files", (), "input_wait", ("on_event",), "standard input"),
    "fifo": ("files", (), "input_wait", ("on_event",), "named pipe"),
    "posix_lock": ("files", (), "file_lock", ("on_event",), "a lock on"),
    "tree": ("tree", ("6",), "input_wait", ("on_event",), ""),
    "lost_process": ("tree", (), "worker_lost", ("never",), "SIGKILL"),
    "lost_pool": ("tree", (), "worker_lost", ("never",), "replaced"),
    "asyncio": ("calls", ("silent",), "llm_no_response", ("never",), "5 calls of POST"),
    "threads": ("calls", ("silent",), "llm_no_response", ("never",), "8 calls of POST"),
    "httpx_stream": ("calls", ("stall",), "llm_stream_stalled", ("never",), "with_httpx_stream (hang_calls.py:"),
    "unread": ("calls", ("closes",), "peer_closed_unread", ("never", "on_event", "unknown"), "unread (hang_calls.py:"),
}
TWINS = {
    "deadlock": ("threads", ()), "queue_wait": ("threads", ()), "sleeping": ("threads", ()), "computing": ("threads", ()),
    "forked_lock": ("threads", ()), "exit_thread": ("threads", ()), "vfork": ("threads", ()),
    "blocked_sleep": ("loops", ("late",)), "idle_queue": ("loops", ()), "async_sleep": ("loops", ()),
    "pool_sync": ("loops", ("answer",)), "output": ("files", ()), "flock": ("files", ()), "child_sleeps": ("tree", ()),
    "lost_pool": ("tree", ()), "one_of_many": ("tree", ()), "httpx": ("calls", ("slow",)), "asyncio": ("calls", ("slow",)),
    "httpx_stream": ("calls", ("drip",)), "beside_health_checks": ("calls", ("late", "answer")),
    "retries": ("calls", ("refuses", "answer")), "circle": ("calls", ("answer",)),
}
HEALTHY_S = 5 * TIMEOUT_S


class After(StuckTest):
    """What hung before we came."""

    @classmethod
    def start_all(cls):
        cls.hung = {name: cls.workload(family, name, arguments) for name, (family, arguments, *_) in LATE.items()}
        cls.observers = {name: cls.observe(name, str(w.pid)) for name, w in cls.hung.items()}
        for o in cls.observers.values():
            o.wait_attached()
        cls.errors = {name: cls.wait_error(o) for name, o in cls.observers.items()}
        for i, o in enumerate(cls.observers.values()):
            o.signal((signal.SIGINT, signal.SIGTERM)[i % 2])
        for o in cls.observers.values():
            o.wait()
        for w in cls.hung.values():
            assert w.running(), w.describe()

    def test_each_is_found_and_named_since_the_truth(self):
        for name, (_, _, kind, wake, says) in LATE.items():
            with self.subTest(name):
                error, truth = self.errors[name], self.hung[name].truth
                self.check_error(error, kind, wake, truth["pid"], says)
                self.check_line(self.observers[name], error)
                verdict = error["verdict"]
                if kind not in ("cpu_bound", "llm_stream_stalled", "worker_lost"):  # those show no beginning
                    self.assertAlmostEqual(seconds_of(verdict["since"]), truth["since"], delta=1.5, msg=verdict)

    def test_leaving_in_a_stall_leaves_everything_whole(self):
        for name, observer in self.observers.items():
            with self.subTest(name):
                self.assertEqual(observer.p.returncode, EXIT_STALLED, observer.describe())
                self.assertEqual(observer.summary()["stalls"], 1)
                (period,) = observer.summary()["stall_periods"]
                self.assertEqual((period["ended"], period["verdict"]), (None, self.errors[name]["verdict"]["kind"]))
                self.assertTrue(period["at_least"], "nothing moved since the attach")
                self.assertEqual(observer.run_error(), self.errors[name])
                # of the requests from before us only the newest may be shown to be its turn's
                self.assertLessEqual({t["status"] for t in observer.turns()}, {"stalled", "unknown"})

    def test_recordings_say_it_again_also_when_masked(self):
        for name in ("queue_wait", "idle_future", "tree", "asyncio", "pool_async"):
            with self.subTest(name):
                self.check_replay(name, self.observers[name])


class Healthy(StuckTest):
    """What looks alike and goes on, watched for five timeouts."""
    stores_used = ("redis",)

    @classmethod
    def start_all(cls):
        twins = {name: cls.workload(family, name, arguments, "--healthy") for name, (family, arguments) in TWINS.items()}
        twins["redis_queue"] = cls.kept(Hang("hang_calls.py", "redis_queue", str(cls.stores.redis_port)))
        cls.observers = {name: cls.observe(name, str(w.pid)) for name, w in twins.items()}
        for o in cls.observers.values():
            o.wait_attached()
        time.sleep(HEALTHY_S)
        for o in cls.observers.values():
            o.signal(signal.SIGINT)
        for o in cls.observers.values():
            o.wait()

    def test_they_are_left_in_peace(self):
        for name, observer in self.observers.items():
            with self.subTest(name):
                error = observer.run_error() if os.path.exists(observer.path("run_error.json")) else None
                self.assertIsNone(error and error["verdict"], observer.describe())
                self.assertEqual(observer.p.returncode, EXIT_OK, observer.describe())


if __name__ == "__main__":
    harness.main()
