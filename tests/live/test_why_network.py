# SPDX-License-Identifier: BSD-2-Clause
"""Verdicts on connections that do not open, are dead, or are dead and nobody can know it without a probe; on names that
do not resolve. Each target lives in a network namespace of its own; the program looks from outside."""
import json
import os
import shutil
import subprocess
import tempfile
import time
import unittest

from harness import EXIT_S, PYTHON, WORKLOAD, Process, main, wait_until
from why import Answer, Hang, HangServer, WhyTest

SERVER, CLIENT = "10.99.8.1", "10.99.8.2"
NOBODY = "10.99.9.9"  # its neighbour entry is made by hand: what goes there is lost
SCRIPT = "hang_calls.py"
IN_NETWORK = ("unshare", "-n")


def inside(process, *command):
    """Runs a command in the network namespace of a process."""
    done = subprocess.run(["nsenter", "-t", str(process.pid), "-n", *command], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=EXIT_S, check=False)
    if done.returncode:
        raise unittest.SkipTest(f"{' '.join(command)}: {done.stderr.strip()}")


class Holder(Process):
    """Keeps a network namespace, and a mount namespace with a resolv.conf of its own, until it ends."""

    def __init__(self, resolv=None):
        script = "cat" if not resolv else f"mount --bind {resolv} /etc/resolv.conf && cat"
        super().__init__(["unshare", "-n", *(["-m"] if resolv else []), "sh", "-c", f"echo there; {script}"])
        self.mounts = resolv is not None
        if not self.out.wait_for(lambda x: "there" in x, EXIT_S):
            raise AssertionError(self.describe())

    def enter(self, *command):
        return ("nsenter", "-t", str(self.pid), "-n", *(["-m"] if self.mounts else []), *command)


class Inside(Hang):
    """A workload in the namespaces of a holder."""

    def __init__(self, holder, script, *arguments):
        Process.__init__(self, holder.enter(PYTHON, "-B", os.path.join(WORKLOAD, script), *arguments))
        self.healthy = "--healthy" in arguments
        event = "alive" if self.healthy else "hanging"
        line = self.out.wait_for(lambda x: json.loads(x)["event"] == event, EXIT_S)
        if not line:
            raise AssertionError("it does not say it hangs: " + self.describe())
        self.truth = json.loads(line)
        self.since = self.truth.get("since", time.monotonic())


class ServerInside(HangServer):
    def __init__(self, holder):
        Process.__init__(self, holder.enter(PYTHON, "-B", os.path.join(WORKLOAD, "hang_server.py"), SERVER))
        line = self.out.wait_for(lambda x: '"ready"' in x, EXIT_S)
        if not line:
            raise AssertionError("the server does not start: " + self.describe())
        self.ports = json.loads(line)


class NetworkTest(WhyTest):
    def setUp(self):
        super().setUp()
        self.here = self.started(Holder())
        inside(self.here, "ip", "link", "set", "lo", "up")

    def cable(self):
        """A server in a second namespace, at the other end of a cable."""
        self.there = self.started(Holder())
        inside(self.here, "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns", str(self.there.pid))
        for holder, name, address in ((self.here, "v0", CLIENT), (self.there, "v1", SERVER)):
            inside(holder, "ip", "addr", "add", address + "/24", "dev", name)
            inside(holder, "ip", "link", "set", name, "up")
        self.far = self.started(ServerInside(self.there))

    def lose(self):
        """What the server sends gets nowhere from now on."""
        inside(self.there, "ip", "rule", "add", "to", CLIENT, "blackhole")

    def request(self, mode):
        line = self.far.out.wait_for(lambda x: '"request"' in x and mode in x, EXIT_S)
        self.assertTrue(line, self.far.describe())


class Path(NetworkTest):
    def test_data_into_a_dead_path_is_a_dead_connection(self):
        """The second request on a connection that worked goes unacknowledged."""
        self.cable()
        w = self.started(Inside(self.here, SCRIPT, "second_request", SERVER, self.far.port("answer")))
        self.lose()
        w.say()
        line = w.out.wait_for(lambda x: "sending" in x, EXIT_S)
        w.since = json.loads(line)["since"]
        w.truth["pid"] = w.pid
        a = self.stuck(w, "connection_dead", wake="on_event", says=(SERVER, "retransmissions", "tcp_retries2"))
        self.assertIn("second_request (hang_calls.py:", a.verdict["where"])

    def test_half_open_is_silence_until_a_probe_proves_it(self):
        self.cable()
        w = self.started(Inside(self.here, SCRIPT, "urllib_at", SERVER, self.far.port("silent")))
        self.request("silent")
        self.lose()
        self.stuck(w, "llm_no_response", wake="never", says=(SERVER,))
        a = Answer(w.pid, "--probe")
        self.assertEqual((a.kind, a.verdict["confidence"]), ("connection_dead", "proven"), a)
        self.assertIn("probe", a.verdict["summary"], a)
        probe = [x for x in a.document["actions"] if x["kind"] == "probe"]
        self.assertEqual([x["result"] for x in probe], ["the path is dead"], a)
        self.assertTrue(any("unanswered" in e for e in a.document["causes"][0]["evidence"]), a)

    def test_a_probe_clears_the_path_to_a_silent_server(self):
        self.cable()
        w = self.started(Inside(self.here, SCRIPT, "urllib_at", SERVER, self.far.port("silent")))
        self.request("silent")
        w.grow_old()
        a = Answer(w.pid, "--probe")
        self.assertEqual((a.kind, a.verdict["confidence"]), ("llm_no_response", "strong"), a)
        self.assertTrue(any("the path works" in e for e in a.document["causes"][0]["evidence"]), a)
        self.assertTrue(w.running(), w.describe())

    def test_a_reachable_server_is_no_stall(self):
        self.cable()
        w = self.started(Inside(self.here, SCRIPT, "urllib_at", SERVER, self.far.port("late"), "--healthy"))
        self.alive(w)


class Opening(NetworkTest):
    def test_a_connection_that_does_not_open(self):
        # what arrives at the other end of this cable is for another MAC address
        inside(self.here, "ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1")
        inside(self.here, "ip", "link", "set", "d1", "up")
        inside(self.here, "ip", "addr", "add", "10.99.9.1/24", "dev", "d0")
        inside(self.here, "ip", "link", "set", "d0", "up")
        inside(self.here, "ip", "neigh", "add", NOBODY, "lladdr", "02:00:00:00:00:09", "dev", "d0")
        w = self.started(Inside(self.here, SCRIPT, "connecting", NOBODY, "443"))
        a = self.stuck(w, "connecting", wake="on_event",
                       says=(f"{NOBODY}:443", "SYN_SENT", "connecting (hang_calls.py:"))
        self.assertAlmostEqual(a.since(), w.truth["since"], delta=0.5, msg=a)

    def test_connections_that_open_are_no_stall(self):
        self.cable()
        w = self.started(Inside(self.here, SCRIPT, "connecting", SERVER, self.far.port("silent"), "--healthy"))
        self.alive(w)


NAME_SERVER = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 53))
print("there", flush=True)
while True:
    data, peer = s.recvfrom(4096)
    if len(sys.argv) > 1:  # no such name (RFC 1035, 4.1.1)
        s.sendto(data[:2] + b"\\x81\\x83" + data[4:6] + b"\\0\\0\\0\\0\\0\\0" + data[12:data.index(b"\\0", 12) + 5], peer)
"""


class Names(WhyTest):
    def resolver(self, *answers):
        directory = tempfile.mkdtemp(prefix="whystuck-live-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        conf = os.path.join(directory, "resolv.conf")
        with open(conf, "w", encoding="ascii") as f:
            # it asks again and again, so that it is still at it when we come
            f.write("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
        holder = self.started(Holder(conf))
        inside(holder, "ip", "link", "set", "lo", "up")
        server = self.started(Process(holder.enter(PYTHON, "-c", NAME_SERVER, *answers)))
        self.assertTrue(server.out.wait_for(lambda x: "there" in x, EXIT_S), server.describe())
        wait_until(lambda: os.path.exists(f"/proc/{holder.pid}"), what="the namespace")
        return holder

    def test_a_name_server_that_never_answers(self):
        w = self.started(Inside(self.resolver(), SCRIPT, "resolving", "api.llm.test"))
        self.stuck(w, "resolving", wake=("at", "on_event"), says=("127.0.0.1:53", "resolving (hang_calls.py:"))

    def test_a_name_server_that_answers_is_no_stall(self):
        w = self.started(Inside(self.resolver("answer"), SCRIPT, "resolving", "api.llm.test", "--healthy"))
        self.alive(w)


if __name__ == "__main__":
    main()
