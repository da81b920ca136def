#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Native frames of threads that wait, read without stopping them, against what they know and what gdb and eu-stack see."""
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import unittest

import harness
from harness import TURNS_S, WORKLOAD, LiveTest, Process, wait_until
from test_asyncio import VERSIONS, pythons

HEADER = struct.Struct("=IHHQII")  # struct event
EV_FRAMES, EV_MISSING = 25, 33
FRAMES_NATIVE, TORN, CUT = 3, 1, 2
FRAMES_MAX = 64  # loader/native_stack.c
TAIL_CALLS = 2
SIGNAL = "<signal handler called>"


def records(path):
    """(type, pid, tid, rest of the record) of a recording."""
    with open(path, "rb") as f:
        data = f.read()
    at = 0
    while at + HEADER.size <= len(data):
        size, kind, _, _, pid, tid = HEADER.unpack_from(data, at)
        yield kind, pid, tid, data[at + HEADER.size:at + size]
        at += size


def native(path):
    """{pid: {tid: (flags, [(function, file)])}} and what is said to be missing of them."""
    threads, missing = {}, []
    for kind, pid, tid, rest in records(path):
        if kind == EV_FRAMES and struct.unpack_from("=I", rest)[0] == FRAMES_NATIVE:
            lines = rest[8:].decode().splitlines()
            threads.setdefault(pid, {})[tid] = (struct.unpack_from("=II", rest)[1],
                                                [tuple(line.split("\t")[:2]) for line in lines])
        elif kind == EV_MISSING and rest[8:].startswith(b"native_frames\0"):
            missing.append(rest[8:].split(b"\0")[1].decode())
    return threads, missing


def plain(name):
    """A function's name without what the tools add: arguments, versions, the parts a compiler makes, a C++ scope."""
    return re.sub(r"\(.*|@.*|\.(cold|part|constprop|isra|lto_priv).*", "", name).strip()


def core(name):
    """What the aliases of a function have in common."""
    return re.sub(r"^(_*GI)?_*(libc_|new_)?_*", "", name)


def agree(ours, theirs):
    if ours.startswith(("0x", "_Z")) or theirs == "??" or SIGNAL in (ours, theirs):
        return True  # one of them has no name, or not as its file has it
    return core(ours) in core(theirs) or core(theirs) in core(ours)


def by_gdb(pid):
    """{tid: [function]}, by the symbols in the files themselves, as we have no others."""
    options = ["debuginfod enabled off", "auto-load off", "debug-file-directory /nonexistent", "backtrace past-main on",
               "backtrace past-entry on"]
    out = said(["gdb", "-batch", "-nx", *(x for o in options for x in ("-iex", "set " + o)), "-p", str(pid),
                "-ex", f"thread apply all bt {4 * FRAMES_MAX}"])
    threads, frames = {}, None
    for line in out.splitlines():
        head = re.match(r"Thread \d+ \(.*?LWP (\d+)", line)
        frame = re.match(r"#(\d+) +(0x[0-9a-f]+ in )?(<signal handler called>|.*?)(?: \(.*| from .*)?$", line)
        if head:
            frames = threads[int(head.group(1))] = []
        elif frame and frames is not None:
            if frame.group(1) != "0" and not frame.group(2) and frame.group(3) != SIGNAL:
                frames.pop()  # what is inlined has no frame of its own
            frames.append(plain(frame.group(3)))
    return threads


def by_eu_stack(pid):
    out = said(["eu-stack", "--debuginfo-path=/nonexistent", "-p", str(pid), "-n", str(2 * FRAMES_MAX)])
    threads, frames = {}, None
    for line in out.splitlines():
        head, frame = re.match(r"TID (\d+):", line), re.match(r"#\d+ +0x[0-9a-f]+ *(.*)", line)
        if head:
            frames = threads[int(head.group(1))] = []
        elif frame and frames is not None:
            frames.append(plain(frame.group(1)) or "??")
    return threads


def said(command):
    env = {k: v for k, v in os.environ.items() if k != "DEBUGINFOD_URLS"}
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=env,
                          timeout=120, check=False).stdout.decode(errors="replace")


class Native(LiveTest):
    stores_used = ()

    def setUp(self):
        super().setUp()
        self.silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.silent.close)
        self.port = self.silent.getsockname()[1]

    def made_dir(self):
        path = self.new_dir()
        os.mkdir(path)
        return path

    def compiled(self, *options):
        """The workload, built with these options of the compiler."""
        if not shutil.which("gcc"):
            self.skipTest("no gcc")
        path = os.path.join(self.made_dir(), "native")
        subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-pthread", *options,
                        os.path.join(WORKLOAD, "native.c"), "-o", path], check=True)
        return path

    def ready(self, program, *command, before=()):
        process = self.started(Process([*before, program, self.port, *command]))
        line = process.out.wait_for(lambda x: '"ready"' in x, TURNS_S)
        self.assertTrue(line, process.describe())
        self.child = json.loads(line).get("child")
        return process, json.loads(line)["threads"]

    def seen(self, pid):
        """Native frames of a process and of its children, as a stuck run's record has them."""
        path = os.path.join(self.made_dir(), "run.rec")
        observer = self.watch(pid, "--stuck-timeout", "0.01", "--storage", f"L1=127.0.0.1:{self.port}", "--record", path)
        wait_until(lambda: os.path.exists(observer.path("run_error.json")), what="run_error.json")
        observer.interrupt()
        return native(path)

    def check_functions(self, truth, threads):
        for name, thread in truth.items():
            flags, frames = threads[thread["tid"]]
            got = [f for f, _ in frames]
            want = thread["functions"]
            self.assertEqual([f for f in got if f in want][:len(want)], want, f"{name}: {got}")
            self.assertEqual(flags, CUT if name == "recursion" else 0, f"{name}: {got}")
        self.assertEqual(len(threads[truth["recursion"]["tid"]][1]), FRAMES_MAX)
        self.assertIn(SIGNAL, [f for f, _ in threads[truth["handler"]["tid"]][1]])

    def check_same(self, pid, threads, tool, least):
        """The tool looks after us, for it stops the process. Where both have a name it is the same function's, of which gdb and we
        may choose different names (recv, __libc_recv); gdb also shows functions that ended with a jump into the next."""
        others, same = tool(pid), 0
        self.assertEqual(set(threads), set(others))
        for tid, (flags, frames) in threads.items():
            ours, theirs = [plain(f) for f, _ in frames], others[tid]
            if flags & CUT:
                theirs = theirs[:len(ours)]
            where, extra = f"{ours}\n{theirs}", len(theirs) - len(ours)
            self.assertLessEqual(extra, TAIL_CALLS if tool is by_gdb else 0, where)
            for one in ours:
                while extra > 0 and not agree(one, theirs[0]):
                    del theirs[0]
                    extra -= 1
                self.assertTrue(theirs and agree(one, theirs[0]), where)
                same += core(one) in core(theirs.pop(0))
        self.assertGreaterEqual(same, least)

    def with_tools(self, pid, threads, least):
        for name, tool in (("gdb", by_gdb), ("eu-stack", by_eu_stack)):
            with self.subTest(tool=name):
                if not shutil.which(name):
                    self.skipTest(f"no {name} here")
                self.check_same(pid, threads, tool, least)

    def test_threads_of_a_c_program_are_in_the_functions_they_say(self):
        for options in ((), ("-fomit-frame-pointer", "-no-pie"), ("-O0",)):
            with self.subTest(options=options):
                process, truth = self.ready(self.compiled(*options))
                threads, missing = self.seen(process.pid)
                self.check_functions(truth, threads[process.pid])
                self.assertEqual(missing, [])
                self.with_tools(process.pid, threads[process.pid], 40)

    def test_code_without_rules_is_unwound_by_its_frame_pointers(self):
        process, truth = self.ready(self.compiled("-fno-omit-frame-pointer", "-fno-asynchronous-unwind-tables",
                                                  "-fno-unwind-tables"))
        threads, _ = self.seen(process.pid)
        truth.pop("handler")  # its frames are not joined by pointers alone
        for name, thread in truth.items():
            got = [f for f, _ in threads[process.pid][thread["tid"]][1]]
            want = thread["functions"]
            self.assertEqual([f for f in got if f in want][:len(want)], want, f"{name}: {got}")

    def test_a_deleted_program_is_read_all_the_same(self):
        path = self.compiled()
        process, truth = self.ready(path)
        os.unlink(path)
        threads, _ = self.seen(process.pid)
        self.check_functions(truth, threads[process.pid])

    def test_a_program_in_another_root_is_read_all_the_same(self):
        root = self.made_dir()
        shutil.copy(self.compiled("-static"), os.path.join(root, "native"))
        os.mkdir(os.path.join(root, "proc"))
        shell = f'mount -t proc proc {root}/proc && exec chroot {root} "$@"'
        outer, truth = self.ready("/native", before=("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", shell, "sh"))
        pid = wait_until(lambda: harness_child(outer.pid), what="the program")
        threads, _ = self.seen(pid)
        names = {tuple(thread["functions"]): name for name, thread in truth.items()}
        for functions, name in names.items():
            found = [t for t in threads[pid].values() if [f for f, _ in t[1] if f in functions][:len(functions)]
                     == list(functions)]
            self.assertTrue(found, name)
            self.assertEqual({os.path.basename(file) for _, file in found[0][1]}, {"native"})

    def test_nothing_is_stopped_or_woken(self):
        """A wait that is interrupted returns early or with EINTR: the kernel counts the thread's switches."""
        process, truth = self.ready(self.compiled())
        before = {t["tid"]: switches(process.pid, t["tid"]) for t in truth.values()}
        self.seen(process.pid)
        self.assertEqual({t["tid"]: switches(process.pid, t["tid"]) for t in truth.values()}, before)

    def test_each_python(self):
        """With symbols (built from source) and without (Debian's)."""
        for version, python in [*((v, p) for v, p in pythons().items() if v in VERSIONS), ("Debian's", "/usr/bin/python3")]:
            with self.subTest(python=version):
                process, _ = self.ready(os.path.join(WORKLOAD, "frames.py"), self.directory, before=(python, "-B"))
                threads, _ = self.seen(process.pid)
                names = {f for _, frames in threads[process.pid].values() for f, _ in frames}
                self.assertLessEqual({"recv", "_PyEval_EvalFrameDefault"}, names)
                self.with_tools(process.pid, threads[process.pid], 30)

    def test_node(self):
        node = shutil.which("node")
        if not node:
            self.skipTest("no node")
        script = "require('fs').readSync(0, Buffer.alloc(1))"  # from the pipe that is the workload's standard input
        process, _ = self.ready(self.compiled(), node, "-e", script)
        wait_until(lambda: waits_in_read(self.child), what="a wait in read()")
        threads, _ = self.seen(process.pid)
        flags, frames = threads[self.child][self.child]
        names = [f for f, _ in frames]
        self.assertEqual((flags, names[0], names[-1]), (0, "read", "_start"), names)
        self.assertTrue([f for f in names if f.startswith("Builtins_")], names)  # through code made at run time


def harness_child(pid):
    """The one process that a process made."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as f:
        children = f.read().split()
    return int(children[0]) if children else None


def waits_in_read(pid):
    with open(f"/proc/{pid}/syscall", encoding="utf-8") as f:
        return f.read().split()[0] == "0"


def switches(pid, tid):
    with open(f"/proc/{pid}/task/{tid}/status", encoding="utf-8") as f:
        return [line.split()[1] for line in f if "ctxt_switches" in line]


if __name__ == "__main__":
    harness.main()
