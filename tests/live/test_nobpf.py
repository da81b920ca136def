# SPDX-License-Identifier: BSD-2-Clause
"""`whystuck PID` without BPF: the same processes looked at both ways give the same rows, but for what is declared missing.
Rows are compared in recordings, as the loader made them (bpf/event.h)."""
import json
import os
import shutil
import struct
import unittest

from harness import EXIT_S, PYTHON, WORKLOAD, LiveTest, Process, bpf_refused, main, tool, wait_until

HEADER = struct.Struct("=IHHQII")
SOCKET = struct.Struct("=QQiiHHHH16s16sBBBBIQQQQQIIIIq")
TIMERS = struct.Struct("=QQQIIIIIBBBB")
THREAD = struct.Struct("=Q6QqQiIBBHI32i")
FLAG_BEGIN, FLAG_TCP = 1 << 6, 1 << 7
EV_PROCESS, EV_SOCKET, EV_THREAD, EV_FD, EV_SNAPSHOT = 3, 7, 16, 17, 18
EV_FRAMES, EV_TIMERS, EV_HOLDER, EV_MISSING = 25, 28, 29, 33
FRAMES_PYTHON, FRAMES_NATIVE = 1, 3
TIMER_KEEPALIVE = 2
TIMEOUT_NONE = -1
STEP_NS = 15_000_000  # a clock of 100 Hz, and rounding
NOW_NS = 200_000_000  # between reading a row and stamping it, on a busy machine


class Row:
    def __init__(self, kind, flags, ts, pid, tid, body):
        self.type, self.flags, self.ts, self.pid, self.tid, self.body = kind, flags, ts, pid, tid, body


def last_snapshot(path):
    """The rows of the newest snapshot of a recording."""
    with open(path, "rb") as f:
        data = f.read()
    rows, at = [], 0
    while at < len(data):
        size, kind, flags, ts, pid, tid = HEADER.unpack_from(data, at)
        if kind == EV_SNAPSHOT and flags & FLAG_BEGIN:
            rows = []
        rows.append(Row(kind, flags, ts, pid, tid, data[at + HEADER.size:at + size]))
        at += size
    end = max(i for i, r in enumerate(rows) if r.type == EV_SNAPSHOT)
    return rows[:end]


def words(data):
    return [w.decode(errors="replace") for w in data.split(b"\0")]


class Look:
    """One look at a process: what was recorded of it."""

    def __init__(self, rows):
        self.rows = rows
        self.missing = dict(words(r.body[8:])[:2] for r in rows if r.type == EV_MISSING)
        self.threads = {r.tid: self.thread(r) for r in rows if r.type == EV_THREAD}
        self.sockets = {(s["pid"], s["fd"]): s for s in map(self.socket, rows) if s}
        self.timers = {t["sock"]: t for t in map(self.timer, rows) if t}
        self.fds = {(r.pid, r.body) for r in rows if r.type == EV_FD}
        self.holders = {(r.pid, r.body) for r in rows if r.type == EV_HOLDER}
        self.python, self.native = ({r.tid: r.body[8:] for r in rows
                                     if r.type == EV_FRAMES and struct.unpack_from("=I", r.body)[0] == kind}
                                    for kind in (FRAMES_PYTHON, FRAMES_NATIVE))
        self.processes = {r.pid: r.body[8:] for r in rows if r.type == EV_PROCESS}

    @staticmethod
    def thread(r):
        f = THREAD.unpack_from(r.body)
        return {"pid": r.pid, "since": f[0], "args": f[1:7], "timeout": f[7], "switches": f[8], "syscall": f[9],
                "state": chr(f[11]), "fds_total": f[13], "fds": f[15:15 + f[14]], "text": r.body[THREAD.size:],
                "flags": r.flags, "ts": r.ts}

    @staticmethod
    def socket(r):
        if r.type != EV_SOCKET:
            return None
        names = ("sock start fd ret family kind local_port remote_port local remote role state retransmits keepalive unacked "
                 "sent_ns recv_ns ack_ns bytes_sent bytes_recv unread unsent retrans rtt recv_timeout").split()
        s = dict(zip(names, SOCKET.unpack_from(r.body)))
        return dict(s, pid=r.pid, flags=r.flags, ts=r.ts, path=r.body[SOCKET.size:].rstrip(b"\0"))

    @staticmethod
    def timer(r):
        if r.type != EV_TIMERS:
            return None
        names = "sock timer_ns acked user_timeout idle interval count rto timer backoff probes pad".split()
        return dict(zip(names, TIMERS.unpack_from(r.body)), ts=r.ts)


class Waits(Process):
    """tests/workload/waits.py; before: the command line it is started by."""

    def __init__(self, *before, script=None):
        super().__init__([*before, PYTHON, "-B", script or os.path.join(WORKLOAD, "waits.py")])
        line = self.out.wait_for(lambda x: '"hanging"' in x, EXIT_S)
        if not line:
            raise AssertionError("it does not start: " + self.describe())
        self.truth = json.loads(line)
        # its first thread goes on from the line it printed to a read of descriptor 0
        wait_until(lambda: self.call()[1:2] == ["0x0"], what="its first thread waits for its standard input")

    def call(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/syscall") as f:
            return f.read().split()


class NoBpf(LiveTest):
    stores_used = ()
    bpf = False

    def look(self, pid, bpf, user=None):
        """Two looks in one command; the newest counts."""
        directory = self.new_dir()
        os.mkdir(directory)
        if user:
            shutil.chown(directory, user)
        path = os.path.join(directory, "look.rec")
        status, out, err = tool(str(pid), "--json", "--record", path, user=user,
                                env={"WHYSTUCK_NO_BPF": "0" if bpf else "1"})
        self.assertIn(status, (0, 3, 4), err)
        document = json.loads(out)
        self.assertEqual(document["pid"], pid)
        self.assertEqual("without kernel programs" in err, not bpf, err)
        return Look(last_snapshot(path))

    def waits(self, *before, **kw):
        return self.started(Waits(*before, **kw))

    def unharmed(self, target, before):
        """Nothing woke it: its threads did not run."""
        self.assertTrue(target.running(), target.describe())
        self.assertEqual(self.switches(target), before)

    @staticmethod
    def switches(target):
        counts = {}
        for tid in os.listdir(f"/proc/{target.pid}/task"):
            with open(f"/proc/{target.pid}/task/{tid}/status") as f:
                counts[tid] = [line for line in f if "ctxt_switches" in line]
        return counts

    # ------------------------------------------------------------ the truth of the workload

    def check_truth(self, target, look):
        truth = target.truth
        asked = look.sockets[truth["pid"], truth["asked"]["fd"]]
        timers = look.timers[truth["asked"]["sock"]]
        self.assertEqual(asked["sock"], truth["asked"]["sock"])
        self.assertEqual((asked["bytes_sent"], asked["bytes_recv"], asked["keepalive"]), (18, 0, 1))
        self.assertEqual((timers["idle"], timers["interval"], timers["count"], timers["user_timeout"]),
                         (700, 70, 7, 70007))
        self.assertEqual(timers["timer"], TIMER_KEEPALIVE)
        self.assertEqual(look.sockets[truth["pid"], truth["answers"]["fd"]]["unread"], 18)
        by_inode = {s["sock"]: s for s in look.sockets.values()}
        self.assertEqual(by_inode[truth["limited"]]["recv_timeout"], 100_000_000_000)
        self.assertEqual(by_inode[truth["unbound"]]["family"], 2)
        self.assertEqual(asked["recv_timeout"], TIMEOUT_NONE)
        sent_at = asked["ts"] - asked["sent_ns"]
        self.assertLess(abs(sent_at - truth["since"] * 1e9), 5e9, "sent shortly before it said so")
        self.assertLessEqual({truth["pid"], truth["child"]}, set(look.processes))
        self.assertLessEqual(set(truth["tids"].values()), set(look.threads))

    # ------------------------------------------------------------ both ways

    def same_threads(self, want, got):
        self.assertEqual(set(want.threads), set(got.threads))
        for tid, a in want.threads.items():
            b = got.threads[tid]
            for name in ("pid", "state", "syscall", "args", "switches", "fds_total", "fds", "text", "flags"):
                self.assertEqual(a[name], b[name], f"{name} of {tid}: {a}\n{b}")
            self.assertTrue(a["since"])
            self.assertEqual(b["since"], 0, "never invented")
            if a["timeout"] != b["timeout"]:  # an absolute limit counts from now on where the start is not known
                self.assertGreater(a["timeout"], b["timeout"])
                self.assertLess(abs(a["since"] + a["timeout"] - (b["ts"] + b["timeout"])), NOW_NS, (a, b))

    def same_sockets(self, want, got):
        self.assertEqual(set(want.sockets), set(got.sockets))
        for key, a in want.sockets.items():
            b = got.sockets[key]
            for name in set(a) - {"ts", "sent_ns", "recv_ns", "ack_ns"}:
                self.assertEqual(a[name], b[name], f"{name} of {key}: {a}\n{b}")
            for name in ("sent_ns", "recv_ns", "ack_ns") if a["flags"] & FLAG_TCP else ():
                self.assertLess(abs(a["ts"] - a[name] - (b["ts"] - b[name])), STEP_NS + NOW_NS, f"{name} of {key}")
        self.assertEqual(set(want.timers), set(got.timers))
        for sock, a in want.timers.items():
            b = got.timers[sock]
            for name in set(a) - {"ts", "timer_ns"}:
                self.assertEqual(a[name], b[name], f"{name} of {sock}: {a}\n{b}")
            if a["timer"]:
                self.assertLess(abs(a["ts"] + a["timer_ns"] - (b["ts"] + b["timer_ns"])), STEP_NS + NOW_NS, (a, b))

    def same(self, want, got):
        self.same_threads(want, got)
        self.same_sockets(want, got)
        for name in ("fds", "holders", "python", "processes"):
            self.assertEqual(getattr(want, name), getattr(got, name), name)
        for tid, frames in got.native.items():
            self.assertTrue(want.native[tid].startswith(frames), f"fewer, not others: {want.native[tid]}\n{frames}")

    def both(self, target):
        before = self.switches(target)
        got = self.look(target.pid, bpf=False)
        self.unharmed(target, before)
        self.check_truth(target, got)
        return got

    def with_bpf(self, target, got):
        if why := bpf_refused():
            raise unittest.SkipTest("compared with the workload alone: " + why)
        want = self.look(target.pid, bpf=True)
        self.check_truth(target, want)
        self.same(want, got)
        self.assertEqual(set(got.missing) - set(want.missing),
                         {"bpf", "blocked_since", "on_cpu", "registers", "calls"} | (
                             set(got.missing) & {"native_frames"}), got.missing)

    # ------------------------------------------------------------ tests

    def test_the_same_rows_but_for_what_is_declared_missing(self):
        target = self.waits()
        got = self.both(target)
        self.assertTrue(got.python, "Python frames are there, too")
        self.with_bpf(target, got)

    def test_sockets_of_another_network_namespace(self):
        target = self.waits("unshare", "--net", "--", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
        self.assertNotEqual(target.truth["namespace"], os.stat("/proc/self/ns/net").st_ino)
        got = self.both(target)
        self.assertNotIn("network_namespaces", got.missing)
        self.with_bpf(target, got)

    def test_without_privileges_what_may_be_seen_is(self):
        public = self.directory
        script = shutil.copy(os.path.join(WORKLOAD, "waits.py"), public)
        os.chmod(script, 0o644)
        target = self.waits("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--pdeathsig",
                            "KILL", "--", script=script)
        before = self.switches(target)
        got = self.look(target.pid, bpf=False, user="nobody")
        self.unharmed(target, before)
        self.assertIn("kernel_stacks", got.missing)
        self.assertIn("threads", got.missing["kernel_stacks"])
        self.assertLessEqual(set(target.truth["tids"].values()), set(got.threads))
        if "socket_options" not in got.missing:  # as the kernel's ptrace_scope has it
            self.check_truth(target, got)
        if "syscalls" not in got.missing:
            self.assertEqual(got.threads[target.truth["tids"]["recv"]]["fds"], (target.truth["asked"]["fd"],))

    def test_another_namespace_without_privileges_is_read_through_descriptors(self):
        script = shutil.copy(os.path.join(WORKLOAD, "waits.py"), self.directory)
        os.chmod(script, 0o644)
        target = self.waits("unshare", "--net", "--", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", "setpriv",
                            "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--pdeathsig", "KILL", "--",
                            script=script)
        got = self.look(target.pid, bpf=False, user="nobody")
        self.assertIn("network_namespaces", got.missing)
        if "socket_options" in got.missing:
            raise unittest.SkipTest("no descriptor may be duplicated here: " + got.missing["socket_options"])
        asked = got.sockets[target.truth["pid"], target.truth["asked"]["fd"]]
        self.assertEqual((asked["bytes_sent"], asked["bytes_recv"], asked["keepalive"], asked["state"]), (18, 0, 1, 1))
        self.assertEqual(got.sockets[target.truth["pid"], target.truth["answers"]["fd"]]["unread"], 18)
        self.assertEqual(got.timers[target.truth["asked"]["sock"]]["timer"], 0, "not known")

    def test_a_process_that_is_gone_is_said_to_be(self):
        target = self.waits()
        target.stop()
        status, _, err = tool(str(target.pid), env={"WHYSTUCK_NO_BPF": "1"})
        self.assertEqual(status, 1 if "no such process" in err else 3, err)


if __name__ == "__main__":
    main()
