# SPDX-License-Identifier: BSD-2-Clause
"""The same verdicts under every Python that is installed, in containers, and of programs that are no Python."""
import glob
import os
import shutil
import subprocess
import unittest

from harness import PYTHON, WORKLOAD, main
from why import Hang, HangServer, WhyTest

VERSIONS = {os.path.basename(os.path.dirname(os.path.dirname(p))): p for p in
            sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python3")))}
SUPPORTED = {v: p for v, p in VERSIONS.items() if (3, 8) <= tuple(map(int, v.split(".")[:2])) <= (3, 15)}


class Versions(WhyTest):
    """A deadlock in threads and an idle loop: frames of all threads, and the chains of tasks."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not SUPPORTED:
            raise unittest.SkipTest("no Python 3.8 to 3.15 under ~/.pyenv/versions")
        try:
            for v, python in SUPPORTED.items():
                for name, script in (("deadlock", "hang_threads.py"), ("idle_future", "hang_loops.py"),
                                     ("exit_thread", "hang_threads.py")):
                    cls.hung[v, name] = Hang(script, name, python=python)
                    cls.class_stack.callback(cls.hung[v, name].stop)
        except BaseException:
            cls.class_stack.close()
            raise

    def test_a_deadlock_is_told_with_its_lines(self):
        for v in SUPPORTED:
            with self.subTest(v):
                self.stuck(self.hung[v, "deadlock"], "deadlock", wake="never", says=("one (hang_threads.py",))

    def test_an_idle_loop_is_told_with_its_tasks(self):
        for v in SUPPORTED:
            with self.subTest(v):
                self.stuck(self.hung[v, "idle_future"], "event_loop_idle", wake="never",
                           says=("3 tasks await", "never (hang_loops.py", "reply (hang_loops.py"))

    def test_an_exit_kept_by_a_thread_is_told(self):
        for v in SUPPORTED:
            with self.subTest(v):
                self.stuck(self.hung[v, "exit_thread"], "exit_blocked", says=("keep (hang_threads.py",))


class Contained(WhyTest):
    """The target in PID, mount and network namespaces of its own, as in a container."""

    def contained(self, script, *arguments):
        if not shutil.which("unshare"):
            self.skipTest("no unshare")
        inner = " ".join([PYTHON, "-B", os.path.join(WORKLOAD, script), *arguments])
        return self.hang_command(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--net", "sh", "-c",
                                  f"ip link set lo up; exec {inner}"])

    def target_of(self, w):
        """The workload as we number it: the child of unshare."""
        with open(f"/proc/{w.pid}/task/{w.pid}/children") as f:
            return int(f.read().split()[0])

    def test_a_deadlock_in_a_container(self):
        w = self.contained("hang_threads.py", "deadlock")
        w.grow_old()
        pid = self.target_of(w)
        a = self.why(w, pid=pid)
        self.assertEqual((a.kind, a.verdict["pid"]), ("deadlock", pid), a)
        self.assertIn("hang_threads.py", str(a.document["causes"][0]))

    def test_a_parent_in_a_container_waits_for_the_right_child(self):
        w = self.contained("hang_tree.py", "child_sleeps")
        w.grow_old()
        pid = self.target_of(w)
        a = self.why(w, pid=pid)
        self.assertEqual(a.kind, "sleeping", a)
        self.assertNotEqual(a.verdict["pid"], pid, a)
        self.assertEqual(open(f"/proc/{a.verdict['pid']}/comm").read(), "sleep\n")


class Others(WhyTest):
    """Programs nobody here wrote."""

    def foreign(self, command):
        p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def end():
            p.kill()
            p.wait()

        self.addCleanup(end)
        return p

    def test_clients_that_wait_for_a_silent_server(self):
        with HangServer() as server:
            url = f"http://127.0.0.1:{server.port('silent')}/v1/chat/completions"
            commands = {"curl": ["curl", "-s", "-d", "{}", url], "wget": ["wget", "-q", "-O", "-", "--post-data={}", url],
                        "node": ["node", "-e", f"fetch('{url}', {{method: 'POST', body: '{{}}'}}).catch(() => 0)"]}
            running = {name: self.foreign(c) for name, c in commands.items() if shutil.which(c[0])}
            for _ in running:
                self.assertTrue(server.out.wait_for(lambda x: '"request"' in x, 10), "no request came")
            for name, p in running.items():
                with self.subTest(name):
                    a = self.ask_old(p.pid, "--llm", f"127.0.0.1:{server.port('silent')}")
                    self.assertEqual(a.kind, "llm_no_response", a)


if __name__ == "__main__":
    main()
