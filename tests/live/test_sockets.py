#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Sockets from outside: their timers as the kernel tells its owner, who has their other ends, probes and release."""
import collections
import json
import os
import re
import signal
import struct
import subprocess
import unittest

import harness
from harness import EXIT_S, EXIT_STALLED, PYTHON, WORKLOAD, LiveTest, Process, find_binary, wait_until

SCRIPT = os.path.join(WORKLOAD, "sockets.py")
SERVER, CLIENT = "10.99.7.1", "10.99.7.2"  # in network namespaces of their own
EV_TIMERS, EV_HOLDER = 28, 29  # bpf/event.h
TIMER_NONE, TIMER_RETRANSMIT, TIMER_KEEPALIVE, TIMER_PROBE0 = range(4)
ECANCELED, ESTALE, EINTR, EOPNOTSUPP = 125, 116, 4, 95
Timers = collections.namedtuple("Timers", "sock timer_ns acked user_timeout idle interval count rto_us timer backoff "
                                          "probes pad")
Holder = collections.namedtuple("Holder", "pid ino peer fd mode name")


def actor():
    """tests/live/socket_act.c, as it was built beside the program under test."""
    binary = find_binary()
    path = binary and os.path.join(os.path.dirname(binary), "..", "tests", "socket_act")
    path = os.environ.get("WHYSTUCK_SOCKET_ACT", path)
    if not path or not os.path.exists(path):
        raise unittest.SkipTest("socket_act is not built")
    return path


def records(path):
    """Header fields and bytes of each record of a recording (bpf/event.h: struct event)."""
    with open(path, "rb") as f:
        data = f.read()
    at = 0
    while at + 24 <= len(data):
        size, kind = struct.unpack_from("IH", data, at)
        pid, = struct.unpack_from("I", data, at + 16)
        yield kind, pid, data[at:at + size]
        at += size


class End(Process):
    """One end of the workload."""

    def __init__(self, *arguments, own_network=False):
        super().__init__((["unshare", "-n"] if own_network else []) + [PYTHON, "-B", SCRIPT, *arguments])

    def wait_event(self, event, **fields):
        wanted = dict(fields, event=event)
        line = self.out.wait_for(lambda x: wanted.items() <= json.loads(x).items(), EXIT_S)
        if not line:
            raise AssertionError(f"no {wanted}: {self.describe()}")
        return json.loads(line)

    def connect(self, *where):
        self.say(" ".join(map(str, ("connect", *where))) + "\n")
        connection = self.wait_event("connected")
        self.wait_event("sent", fd=connection["fd"])
        return connection

    def options(self):
        self.say("options\n")
        return self.wait_event("options")["sockets"]

    def returned(self):
        """Connections whose wait is over, so far."""
        return [e for e in map(json.loads, list(self.out.all)) if e["event"] == "returned"]


def inside(process, *command):
    """Runs a command in the network namespace of a process."""
    done = subprocess.run(["nsenter", "-t", str(process.pid), "-n", *command], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=EXIT_S)
    if done.returncode:
        raise unittest.SkipTest(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class SocketTest(LiveTest):
    stores_used = ()

    def pair(self, own_network=False):
        """Server and client; with own_network each in a namespace of its own, joined by a cable."""
        server = self.started(End("server", own_network=own_network))
        self.port = server.wait_event("ready")["port"]
        client = self.started(End("client", own_network=own_network))
        if not own_network:
            self.host = "127.0.0.1"
            return server, client
        self.host = SERVER
        # unshare execs: its child has the namespace once it has said something
        wait_until(lambda: os.readlink(f"/proc/{client.pid}/ns/net") != os.readlink("/proc/self/ns/net"),
                   what="the client's network namespace")
        inside(client, "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns", str(server.pid))
        for process, name, address in ((client, "v0", CLIENT), (server, "v1", SERVER)):
            inside(process, "ip", "addr", "add", address + "/24", "dev", name)
            inside(process, "ip", "link", "set", name, "up")
        return server, client

    def connect(self, server, client):
        connection = client.connect(self.host, self.port)
        server.wait_event("question")
        return connection

    def act(self, verb, client, connection, **other):
        what = dict(connection, **other)
        return self.started(Process([actor(), verb, client.pid, what["fd"], what["inode"]]))

    def result(self, act):
        line = act.out.wait_for(lambda x: True, EXIT_S)
        self.assertTrue(line, act.describe())
        self.assertEqual(act.wait(), 0, act.describe())
        number, text = line.rstrip("\n").split(" ", 1)
        return int(number), text


class Probe(SocketTest):
    bpf = False

    def test_a_connection_whose_packets_are_dropped_is_proven_dead_and_its_client_gets_an_error(self):
        server, client = self.pair(own_network=True)
        lost, other = self.connect(server, client), self.connect(server, client)
        # whatever goes to the client's port is dropped; what it sends is never answered
        inside(server, "ip", "rule", "add", "ipproto", "tcp", "dport", str(lost["port"]), "blackhole")
        result, text = self.result(self.act("probe", client, lost))
        self.assertEqual(result, 0, text)
        self.assertRegex(text, r"^the path is dead: 3 keepalive probes to 10\.99\.7\.1:\d+ unanswered; a fresh "
                               r"connection there opens in \d+ ms, so only this connection is lost\.")
        self.assertRegex(text, r"the client closed it \d+ ms later$")
        returned = client.wait_event("returned", fd=lost["fd"])
        self.assertEqual(returned["error"], "ETIMEDOUT")
        self.assertEqual(len(client.returned()), 1, "the other one still waits")
        self.assertIn(str(other["fd"]), client.options())

    def test_when_the_whole_host_is_lost_a_fresh_connection_gets_no_answer_either(self):
        server, client = self.pair(own_network=True)
        lost = self.connect(server, client)
        inside(server, "ip", "rule", "add", "to", CLIENT, "blackhole")
        result, text = self.result(self.act("probe", client, lost))
        self.assertEqual(result, 0, text)
        self.assertIn("a fresh connection gets no answer either", text)
        self.assertEqual(client.wait_event("returned")["error"], "ETIMEDOUT")

    def test_unanswered_data_is_proof_without_a_probe(self):
        server, client = self.pair(own_network=True)
        lost = self.connect(server, client)
        inside(server, "ip", "rule", "add", "to", CLIENT, "blackhole")
        before = client.options()
        client.say(f"more {lost['fd']}\n")
        client.wait_event("more")
        wait_until(lambda: re.search(r"backoff:[3-9]", inside(client, "ss", "-tnoi")), what="retransmissions")
        result, text = self.result(self.act("probe", client, lost))
        self.assertEqual(result, 0, text)
        self.assertRegex(text, r"^the path is dead: \d+ retransmissions to .* unanswered")
        self.assertEqual(client.options(), before)
        self.assertEqual(client.returned(), [])

    def test_a_silent_healthy_server_is_cleared_and_its_client_unharmed(self):
        for own in (None, (77, 11, 4, 12345)):
            with self.subTest(settings=own):
                server, client = self.pair(own_network=True)
                connection = self.connect(server, client)
                if own:
                    client.say(f"keep {connection['fd']} {' '.join(map(str, own))}\n")
                    client.wait_event("kept")
                before = client.options()
                result, text = self.result(self.act("probe", client, connection))
                self.assertEqual(result, 1, text)
                self.assertRegex(text, r"^the path works: 10\.99\.7\.1:\d+ answered within \d+ ms;")
                self.assertEqual(client.options(), before)
                self.assertEqual(client.returned(), [])
                server.say("reply\n")
                self.assertEqual(client.wait_event("returned")["got"], "answer\n")

    def test_a_peer_that_forgot_the_connection_answers_with_a_reset(self):
        server, client = self.pair(own_network=True)
        lost = self.connect(server, client)
        # it loses the connection without a word: the reset it sends at that moment does not get out
        inside(server, "ip", "rule", "add", "to", CLIENT, "blackhole")
        server.say("forget\n")
        server.wait_event("forgot")
        inside(server, "ip", "rule", "del", "to", CLIENT, "blackhole")
        result, text = self.result(self.act("probe", client, lost))
        self.assertEqual(result, 0, text)
        self.assertRegex(text, r"^the connection is dead: .* answered a probe with a reset, .*a fresh connection there opens")
        self.assertEqual(client.wait_event("returned")["error"], "ECONNRESET")

    def test_settings_are_restored_when_it_is_broken_off_or_killed(self):
        for kill in (False, True):
            with self.subTest(kill=kill):
                server, client = self.pair(own_network=True)
                lost = self.connect(server, client)
                before = client.options()
                inside(server, "ip", "rule", "add", "to", CLIENT, "blackhole")
                act = self.act("probe", client, lost)
                wait_until(lambda: client.options() != before, what="keepalive")
                if kill:
                    with open(f"/proc/{act.pid}/task/{act.pid}/children") as f:
                        os.kill(int(f.read()), signal.SIGKILL)
                else:
                    act.signal(signal.SIGTERM)
                result, text = self.result(act)
                self.assertEqual(result, -EINTR if kill else -ECANCELED, text)
                self.assertEqual(client.options(), before)
                self.assertEqual(client.returned(), [])

    def test_what_is_not_that_socket_or_no_connection_is_left_alone(self):
        server, client = self.pair()
        connection = self.connect(server, client)
        before = client.options()
        for verb in ("probe", "unstick"):
            result, text = self.result(self.act(verb, client, connection, inode=connection["inode"] + 1))
            self.assertEqual(result, -ESTALE, text)
            self.assertIn("nothing was done", text)
            result, text = self.result(self.act(verb, client, connection, fd=999))
            self.assertEqual(result, -ESTALE, text)
            listener = next(fd for fd in os.listdir(f"/proc/{server.pid}/fd")
                            if int(fd) > 2 and "socket" in os.readlink(f"/proc/{server.pid}/fd/{fd}"))
            inode = int(os.readlink(f"/proc/{server.pid}/fd/{listener}")[8:-1])
            result, text = self.result(self.act(verb, server, {"fd": listener, "inode": inode}))
            self.assertEqual(result, -EOPNOTSUPP, text)
        self.assertEqual(client.options(), before)
        self.assertEqual(client.returned(), [])
        self.connect(server, client)  # it still listens


class Unstick(SocketTest):
    bpf = False

    def check(self, server, client, first, second):
        result, text = self.result(self.act("unstick", client, second))
        self.assertEqual(result, 0, text)
        self.assertRegex(text, r"was shut down; the client closed it \d+ ms later$")
        self.assertEqual(client.wait_event("returned")["fd"], second["fd"])
        server.say("reply\n")
        other = client.wait_event("returned")
        self.assertEqual((other["fd"], other["got"]), (first["fd"], "answer\n"))

    def test_exactly_one_of_two_hung_connections_is_released(self):
        server, client = self.pair()
        self.check(server, client, self.connect(server, client), self.connect(server, client))

    def test_a_unix_stream_socket_is_released_and_not_probed(self):
        path = os.path.join(self.directory, "silent")
        server = self.started(End("server", path))
        server.wait_event("ready")
        client = self.started(End("client"))
        first, second = client.connect(path), client.connect(path)
        result, text = self.result(self.act("probe", client, first))
        self.assertEqual(result, -EOPNOTSUPP, text)
        self.check(server, client, first, second)


class Snapshot(SocketTest):
    def recorded(self, pid):
        """Records of a look at a process that is stuck."""
        path = os.path.join(self.directory, "run.rec")
        observer = self.watch(pid, "--stuck-timeout", "0.01", "--record", path)
        wait_until(lambda: os.path.exists(observer.path("run_error.json")), what="run_error.json")
        self.assertEqual(observer.interrupt(), EXIT_STALLED, observer.describe())
        return list(records(path))

    def test_the_other_ends_of_pipes_and_unix_sockets_are_found_in_processes_outside_the_tree(self):
        path = os.path.join(self.directory, "silent")
        server = self.started(End("server", path))
        server.wait_event("ready")
        client = self.started(End("client"))
        connection = client.connect(path)
        server.wait_event("question")
        holders = {Holder(pid, *struct.unpack_from("QQiI", data, 24), data[48:].decode())
                   for kind, pid, data in self.recorded(client.pid) if kind == EV_HOLDER}
        stdin = os.stat(f"/proc/{client.pid}/fd/0").st_ino
        self.assertIn(Holder(client.pid, stdin, stdin, 0, 1, self.name(client.pid)), holders)
        self.assertIn(Holder(os.getpid(), stdin, stdin, client.p.stdin.fileno(), 2, self.name(os.getpid())), holders)
        other = [h for h in holders if h.ino == connection["inode"]]
        self.assertEqual([(h.pid, h.mode, h.name) for h in other], [(server.pid, 3, self.name(server.pid))])
        self.assertEqual(os.readlink(f"/proc/{server.pid}/fd/{other[0].fd}"), f"socket:[{other[0].peer}]")

    def name(self, pid):
        with open(f"/proc/{pid}/comm") as f:
            return f.read().strip()

    def test_settings_and_timers_are_those_the_owner_and_ss_see(self):
        server, client = self.pair(own_network=True)
        inside(client, "sysctl", "-qw", "net.ipv4.tcp_keepalive_time=4321")
        plain, kept, lost = (self.connect(server, client) for _ in range(3))
        client.say(f"keep {kept['fd']} 77 11 4 12345\n")
        client.wait_event("kept")
        inside(server, "ip", "rule", "add", "ipproto", "tcp", "dport", str(lost["port"]), "blackhole")
        client.say(f"more {lost['fd']}\n")
        client.wait_event("more")
        wait_until(lambda: re.search(r"backoff:[2-9]", inside(client, "ss", "-tnoi")), what="retransmissions")
        rows = {}
        for kind, _, data in self.recorded(client.pid):
            if kind == EV_TIMERS:
                row = Timers(*struct.unpack_from("QQQ5I4B", data, 24))
                rows.setdefault(row.sock, row)
        options = client.options()
        self.assertEqual(set(rows), {c["inode"] for c in (plain, kept, lost)})
        for connection in (plain, kept, lost):
            row, own = rows[connection["inode"]], options[str(connection["fd"])]
            self.assertEqual((row.idle, row.interval, row.count, row.user_timeout),
                             (own["idle"], own["interval"], own["count"], own["user_timeout"]))
            self.assertEqual(row.acked, len("question\n") + 1)  # the SYN counts as one
        self.assertEqual((rows[plain["inode"]].timer, rows[plain["inode"]].idle), (TIMER_NONE, 4321))
        self.assertEqual(rows[kept["inode"]].timer, TIMER_KEEPALIVE)
        self.assertLessEqual(rows[kept["inode"]].timer_ns, 77 * 10**9)
        self.assertGreater(rows[kept["inode"]].timer_ns, 40 * 10**9)
        dead = rows[lost["inode"]]
        self.assertEqual(dead.timer, TIMER_RETRANSMIT)
        self.assertGreaterEqual(dead.backoff, 2)
        shown = {int(m[1]): int(m[2]) for m in re.finditer(r":(\d+)\s+10\.99\.7\.1:\S+[^\n]*\n[^\n]*? rto:(\d+)",
                                                             inside(client, "ss", "-tnoi"))}
        self.assertEqual(rows[plain["inode"]].rto_us, shown[plain["port"]] * 1000)
        self.assertLessEqual(dead.rto_us, shown[lost["port"]] * 1000)
        self.assertLessEqual(dead.timer_ns, dead.rto_us * 1000)


if __name__ == "__main__":
    harness.main()
