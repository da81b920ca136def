#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""whystuck PID: a run that hung before we came is explained, a healthy one is left in peace, errors are said."""
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
import unittest

import harness
from harness import EXIT_ERROR, EXIT_OK, EXIT_STALLED, LiveTest, tool

EXIT_UNDECIDED = 4
QUIET = ["--stuck-timeout", "0.02"]  # 1.2 s: what is silent for so long is stuck in these tests
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f\x9b]")


def bpf_links():
    """What is attached in this kernel; None without bpftool."""
    for tool_path in ("bpftool", "/usr/sbin/bpftool"):
        if shutil.which(tool_path):
            p = subprocess.run([tool_path, "-j", "link", "list"], capture_output=True, text=True, check=False)
            return sorted(x["id"] for x in json.loads(p.stdout or "[]")) if p.returncode == 0 else None
    return None


class Why(LiveTest):
    stores_used = ()

    def hung(self, *arguments):
        """A runner whose second turn waits for a reply that does not come."""
        server = self.server("latency=10,ping_ms=100")
        runner = self.runner(server, "--api", "anthropic-stream", "--turns", "4", "--hang", "llm", "--hang-turn", "1",
                             *arguments)
        server.wait_request()
        server.wait_request()
        return server, runner

    def why(self, runner, *arguments, status):
        began = time.monotonic()
        got = tool(*arguments, str(runner.pid))
        print(f"# whystuck {' '.join(arguments)}: {time.monotonic() - began:.2f} s", flush=True)
        self.assertEqual(got[0], status, got)
        return got

    def go_on(self, server, runner):
        server.release()
        self.assertEqual(runner.wait(), 0, runner.describe())
        self.assertEqual(len(runner.turns()), 4)

    def test_a_hung_call_is_named_and_the_run_unharmed(self):
        server, runner = self.hung()
        links = bpf_links()
        _, out, err = self.why(runner, *QUIET, "--llm", server.endpoint, status=EXIT_STALLED)
        self.assertTrue(out.startswith("stuck: "), out + err)
        self.assertIn(server.endpoint, out)
        for text in ("will wake  never", "llm_no_response", "runner.py:", "In flight: 1 call", "What to do"):
            self.assertIn(text, out)
        self.assertNotRegex(out, CONTROL)
        if links is not None:
            self.assertLessEqual(set(bpf_links() or ()), set(links), "something of ours is still attached")
        self.go_on(server, runner)

    def test_json_is_the_document_and_nothing_else(self):
        server, runner = self.hung()
        _, out, err = self.why(runner, *QUIET, "--json", "--llm", server.endpoint, status=EXIT_STALLED)
        error = json.loads(out)
        verdict = error["verdict"]
        self.assertEqual((verdict["kind"], error["pid"]), ("llm_no_response", runner.pid), out + err)
        self.assertIn(verdict["confidence"], ("proven", "strong", "likely"))
        self.assertEqual(verdict["will_wake"]["answer"], "never", out)
        self.assertEqual((verdict["pid"], verdict["tid"]), (runner.pid, runner.pid))
        self.assertIn("runner.py:", verdict["where"])
        self.assertGreaterEqual(verdict["for_ms"], 1200)
        self.assertEqual(len(error["in_flight"]), 1)
        for part in ("processes", "threads", "sockets", "timeouts", "next_steps", "locks", "requests", "pipes"):
            self.assertIsInstance(error[part], list, part)
        self.assertTrue(error["processes"] and error["threads"] and error["next_steps"])
        main = [t for t in error["threads"] if t["role"] == "main"][0]
        self.assertEqual((main["tid"], main["state"]), (runner.pid, "S"))
        self.assertTrue(main["python"], main)
        self.go_on(server, runner)

    def test_all_shows_threads_with_their_frames_and_sockets(self):
        server, runner = self.hung()
        _, out, _ = self.why(runner, *QUIET, "--all", "--llm", server.endpoint, status=EXIT_STALLED)
        for text in (f"process {runner.pid} (", "python ", "kernel ", "Sockets: ", "ESTABLISHED"):
            self.assertIn(text, out)
        self.go_on(server, runner)

    def test_quiet_says_the_verdict_alone(self):
        server, runner = self.hung()
        _, out, err = self.why(runner, *QUIET, "--quiet", status=EXIT_STALLED)
        self.assertTrue(out.startswith("stuck: ") and len(out.splitlines()) <= 6, out)
        self.assertEqual(err, "")
        self.go_on(server, runner)

    def test_a_young_wait_is_looked_at_until_it_is_over(self):
        """The reply comes while we look: the run was slow, not stuck."""
        # turns for longer than a look takes, else it may have ended when it is judged
        server, runner = self.hung("--turns", "2000")
        observer = harness.Process([harness.require(), "--stuck-timeout", "5", str(runner.pid)])
        self.addCleanup(observer.stop)
        self.assertIsNone(observer.out.wait_for(lambda x: True, 2), "a verdict before anything was decided")
        server.release()
        self.assertEqual(observer.wait(), EXIT_OK, observer.describe())
        self.assertTrue(observer.out.all[0].startswith("not stuck: "), observer.describe())
        self.assertTrue(runner.running(), "it is unharmed: " + runner.describe())

    def test_ctrl_c_ends_with_what_is_known(self):
        server, runner = self.hung()
        observer = harness.Process([harness.require(), "--stuck-timeout", "5", str(runner.pid)])
        self.addCleanup(observer.stop)
        self.assertIsNone(observer.out.wait_for(lambda x: True, 2))
        observer.signal(signal.SIGINT)
        self.assertEqual(observer.wait(), EXIT_UNDECIDED, observer.describe())
        self.assertTrue(observer.out.all[0].startswith("cannot tell: "), observer.describe())
        self.go_on(server, runner)

    def test_a_healthy_run_is_not_stuck(self):
        server = self.server("latency=30,spacing=5")
        runner = self.runner(server, "--api", "openai-stream", "--turns", "400")
        runner.wait_event("turn")
        _, out, err = self.why(runner, status=EXIT_OK)
        self.assertTrue(out.startswith("not stuck: "), out + err)
        self.assertNotIn("will wake", out)
        self.assertTrue(runner.running())

    def test_a_stopped_process_is_a_fact_at_once(self):
        child = harness.Process(["sleep", "600"])
        self.addCleanup(child.stop)
        child.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        _, out, err = self.why(child, "--json", status=EXIT_STALLED)
        self.assertEqual(json.loads(out)["verdict"]["kind"], "stopped", out + err)
        child.signal(signal.SIGCONT)

    def test_a_probe_clears_a_path_that_works(self):
        server, runner = self.hung()
        _, out, err = self.why(runner, *QUIET, "--json", "--probe", status=EXIT_STALLED)
        error = json.loads(out)
        self.assertEqual(error["verdict"]["kind"], "llm_no_response", out + err)
        self.assertEqual([(a["kind"], a["result"]) for a in error["actions"]], [("probe", "the path works")], out)
        self.go_on(server, runner)

    def test_unstick_releases_the_one_connection_when_told_to(self):
        server, runner = self.hung()
        _, out, err = self.why(runner, *QUIET, "--unstick", status=EXIT_STALLED)
        self.assertIn("add --yes", err)
        self.assertTrue(runner.running() and "unstick: " not in out, out)
        _, out, err = self.why(runner, *QUIET, "--unstick", "--yes", status=EXIT_STALLED)
        self.assertIn("was shut down", " ".join(out.split()))
        server.wait_request()  # the client's own retry
        self.go_on(server, runner)

    def test_a_recording_replays(self):
        server, runner = self.hung()
        path = os.path.join(self.directory, "why.rec")
        self.why(runner, *QUIET, "--record", path, status=EXIT_STALLED)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        got = tool("replay", path, "-o", self.new_dir(), "--quiet")
        self.assertIn(got[0], (EXIT_OK, EXIT_STALLED), got)
        self.go_on(server, runner)

    def test_on_a_terminal_lines_fit_and_colours_can_be_turned_off(self):
        server, runner = self.hung()
        for env, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
            text = on_terminal([harness.require(), *QUIET, str(runner.pid)], 60, env)
            self.assertEqual("\x1b[1;31mstuck" in text, coloured, text)
            plain = re.sub("\x1b\\[[0-9;]*m", "", text)
            self.assertIn("stuck: ", plain)
            lines = [x for x in plain.splitlines() if not x.startswith("      ")]
            shown = lines[next(i for i, x in enumerate(lines) if x.startswith("stuck: ")):]
            self.assertLessEqual(max(map(len, shown)), 60, plain)
        self.go_on(server, runner)


def on_terminal(command, columns, env):
    """What it writes when all of it goes to a terminal of so many columns."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update({"TERM": "xterm", **env})
        os.execv("/bin/sh", ["sh", "-c", f"stty cols {columns}; exec \"$@\"", "sh", *command])
    out, deadline = b"", time.monotonic() + harness.EXIT_S
    try:
        while time.monotonic() < deadline:
            if not select.select([fd], [], [], 0.2)[0]:
                continue
            try:
                part = os.read(fd, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            out += part
    finally:
        if time.monotonic() >= deadline:
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(fd)
    return out.decode(errors="replace").replace("\r\n", "\n")


class Errors(LiveTest):
    stores_used = ()

    def refused(self, *arguments, says, status=EXIT_ERROR, **kw):
        got = tool(*arguments, **kw)
        self.assertEqual(got[0], status, got)
        self.assertEqual(got[1], "", got)
        for text in says:
            self.assertIn(text, got[2])

    def test_no_such_process(self):
        child = subprocess.Popen(["true"])
        child.wait()
        self.refused(str(child.pid), says=[str(child.pid), "no such process"])

    def test_a_kernel_thread(self):
        with open("/proc/2/comm", encoding="utf-8") as f:
            if f.read().strip() != "kthreadd":
                raise unittest.SkipTest("no kernel threads in this PID namespace")
        self.refused("2", says=["kernel thread"])

    def test_the_process_of_another_user(self):
        self.refused(str(os.getpid()), user="nobody", says=["sudo"])

    def test_a_zombie_has_exited(self):
        child = subprocess.Popen(["true"])
        self.addCleanup(child.wait)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        got = tool(str(child.pid), "--json")
        self.assertEqual(got[0], EXIT_STALLED, got)
        self.assertEqual(json.loads(got[1])["verdict"]["kind"], "exited", got)

    def test_wrong_usage(self):
        for arguments, culprit in ((("0",), "0"), (("why",), "no process id"), (("1", "2"), "2"),
                                   (("1", "--yes"), "--yes"), (("1", "--unstick=x"), "x"),
                                   (("1", "--stuck-timeout", "0"), "--stuck-timeout")):
            with self.subTest(arguments=arguments):
                self.refused(*arguments, status=harness.EXIT_USAGE, says=[culprit])


if __name__ == "__main__":
    harness.main()
