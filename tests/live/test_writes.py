# SPDX-License-Identifier: BSD-2-Clause
"""What a process writes to files and to its output, as the recording has it: paths as the process sees them, and every byte."""
import json
import os
import pty
import stat
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
import records  # noqa: E402
from harness import LiveTest, Process  # noqa: E402

CAPTURED_MAX = 256 << 10  # of one write, while nobody has said how much is wanted
FOLLOW = os.environ.get("FOLLOW_BIN")


class Writer(Process):
    """tests/workload/writer.py; output: what its stdout and stderr are, None: a pipe each."""

    def __init__(self, output=None):
        answers, theirs = os.pipe()
        command = [harness.PYTHON, "-B", os.path.join(harness.WORKLOAD, "writer.py"), "--answers", str(theirs)]
        self.p = harness.popen(command, self.death, stdin=subprocess.PIPE, stdout=output or subprocess.PIPE,
                               stderr=output or subprocess.PIPE, text=True, bufsize=1, pass_fds=[theirs])
        os.close(theirs)
        self.command, self.pid, self.output = command, self.p.pid, output
        self.answers = os.fdopen(answers)
        self.out = harness.Lines(self.answers if output else self.p.stdout)
        self.err = harness.Lines(self.p.stderr) if not output else self.out
        self.said = harness.Lines(self.answers) if not output else self.out
        self.answered("ready")

    def answered(self, wanted):
        line = self.said.wait_for(lambda x: True, harness.EXIT_S)
        if (line or "").strip() != wanted:
            raise AssertionError(f"the writer says {line!r}, not {wanted!r}: {self.describe()}")

    def do(self, *operation):
        self.say(json.dumps(operation) + "\n")
        self.answered("ok")

    def end(self):
        self.p.stdin.close()
        self.p.wait(harness.EXIT_S)

    def stop(self):
        if self.running():
            self.p.kill()
            self.p.wait()
        self.said.wait_closed(2)
        self.answers.close()
        for stream in (self.p.stdin, self.p.stdout, self.p.stderr):
            if stream and not stream.closed:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass


def follow(test, pid, *arguments):
    """A source alone, of which nothing is asked but what the arguments say."""
    if not FOLLOW or not os.path.exists(FOLLOW):
        test.skipTest("tests/live/follow.c is not built (FOLLOW_BIN)")
    p = Process([FOLLOW, pid, *arguments])
    test.assertTrue(p.out.wait_for(lambda x: x == "attached\n", harness.ATTACH_S), p.describe())
    return p


LAST = 777  # bytes of the last write


class Writes(LiveTest):
    stores_used = ()

    def writer(self, output=None):
        return self.started(Writer(output))

    def watched(self, writer, *operations, shared=False):
        """Does the operations under watch, and returns what the recording has of files."""
        record = self.path("record")
        source = self.started(follow(self, writer.pid, "record", record))
        for operation in operations:
            if operation[0] == "await":  # until a file of that path was announced
                source.out.wait_for(lambda x, path=operation[1]: x.endswith(f" {path}\n"), harness.EXIT_S)
            else:
                writer.do(*operation)
        # where files are is asked of the process that wrote them: it stays until that is done
        writer.do("write", 1, "." * LAST)
        source.out.wait_for(lambda x: x.startswith("write ") and x.endswith(f" {LAST} {LAST}\n"), harness.EXIT_S)
        writer.end()
        self.assertEqual(source.wait(), 0, source.describe())
        return records.files(record, shared)

    def path(self, name):
        return os.path.join(self.directory, name)

    def only(self, found, path):
        """What was written to path, announced once."""
        self.assertIn(path, found)
        self.assertEqual(len(found[path]), 1, path)
        return found[path][0]

    def test_files(self):
        log, held, small, large, copied = map(self.path, ("log.jsonl", "held", "small", "large", "copied"))
        again, old, new, file = map(self.path, ("again", "old", "new", "redirected"))
        found = self.watched(
            self.writer(), ["append", log, "one\n"], ["append", log, "two\n"], ["chdir", self.directory],
            ["append", "relative", "r\n"], ["hold", held], ["write", held, "w"], ["writev", held, ["v1", "", "v2\n"]],
            ["pwrite", held, "p", 100], ["pwritev", held, ["q1", "q2"], 200], ["fill", small, 100000],
            ["fill", large, CAPTURED_MAX + 80000], ["copy", small, copied], ["again", again, "first\n", "second\n"],
            ["rename", old, new, "moved\n"], ["write", 1, "out\n"], ["write", 2, "err\n"], ["fork", "forked\n"],
            ["child", ["/bin/echo", "a program"]], ["redirect", file, "to file\n"], ["socketpair", "to socket\n"])
        with self.subTest("a file that is closed at once has its path and its bytes"):
            self.assertEqual(self.only(found, log).data, b"one\ntwo\n")
            self.assertEqual(self.only(found, self.path("relative")).data, b"r\n")
        with self.subTest("each way to write"):
            got = self.only(found, held)
            self.assertEqual((got.data, got.total, got.gaps), (b"wv1v2\npq1q2", 11, 0))
            self.assertTrue(stat.S_ISREG(got.mode))
        with self.subTest("one large write comes in pieces, up to the limit"):
            got = self.only(found, small)
            with open(small, "rb") as f:
                self.assertEqual(got.data, f.read())
            self.assertGreater(got.records, 3)
            got = self.only(found, large)
            with open(large, "rb") as f:
                self.assertEqual(got.data, f.read(CAPTURED_MAX))
            self.assertEqual((got.total, got.gaps), (CAPTURED_MAX + 80000, 80000))
        with self.subTest("what the kernel copies is counted"):
            got = self.only(found, copied)
            self.assertEqual((got.data, got.total, got.gaps), (b"", 200000, 200000))
        with self.subTest("another file of the same number, or another name, is announced anew"):
            self.assertEqual([w.data for w in found[again]], [b"first\n", b"second\n"])
            self.assertEqual(self.only(found, old).data, b"moved\n")
            self.assertEqual(self.only(found, new).data, b"moved\n")
        with self.subTest("output: pipes, files, sockets; a child's, a program's; and no other pipe"):
            pipes = [w[0] for name, w in found.items() if name.startswith("pipe:[")]
            self.assertEqual(sorted(w.data for w in pipes), [b"err\n", b"out\nforked\na program\n" + b"." * LAST])
            self.assertEqual(self.only(found, file).data, b"to file\n")
            sockets = [w[0].data for name, w in found.items() if name.startswith("socket:[")]
            self.assertEqual(sockets, [b"to socket\n"])
            self.assertTrue(all(stat.S_ISFIFO(w.mode) for w in pipes))

    def test_threads_that_begin_together_announce_the_file_once_and_lose_nothing(self):
        path = self.path("shared")
        found = self.watched(self.writer(), ["threads", path, 8, 200], shared=True)
        got = self.only(found, path)
        with open(path, "rb") as f:
            self.assertEqual(sorted(got.data.splitlines()), sorted(f.read().splitlines()))
        # the places they got follow each other without a gap
        end = 0
        for pos, total in sorted(got.spans):
            self.assertEqual(pos, end)
            end += total

    def test_mounts_and_roots_are_those_of_the_writer(self):
        blank, jail = self.path("mnt with blank"), self.path("jail")
        for directory in (blank, jail + "/logs", jail + "/tmp"):
            os.makedirs(directory)
        found = self.watched(self.writer(), ["mount", blank], ["append", blank + "/log", "in tmpfs\n"],
                             ["await", blank + "/log"],  # then its root is another one
                             ["mount", jail + "/tmp"], ["chroot", jail], ["append", "/logs/log", "in\n"],
                             ["append", "/tmp/other", "in the root's tmpfs\n"])
        self.assertEqual(self.only(found, blank + "/log").data, b"in tmpfs\n")
        self.assertEqual(os.listdir(blank), [], "the mount is the writer's own")
        self.assertEqual(self.only(found, "/logs/log").data, b"in\n")
        self.assertEqual(self.only(found, "/tmp/other").data, b"in the root's tmpfs\n")

    def test_output_to_a_terminal(self):
        ours, theirs = pty.openpty()
        name = os.ttyname(theirs)
        writer = self.writer(theirs)
        os.close(theirs)
        found = self.watched(writer, ["write", 1, "shown\n"], ["fork", "forked\n"])
        os.close(ours)
        got = self.only(found, name)
        self.assertEqual((got.data, stat.S_ISCHR(got.mode)), (b"shown\nforked\n" + b"." * LAST, True))


class Follow(LiveTest):
    """What the caller of a source says of a file."""
    stores_used = ()

    def follow(self, pid, *arguments):
        return self.started(follow(self, pid, *arguments))

    def written(self, writer, follow, path, sizes):
        for size in sizes:
            writer.do("append", path, "x" * size)
        number = os.stat(path).st_ino
        writer.end()
        self.assertEqual(follow.wait(), 0, follow.describe())
        mine = [x.split() for x in follow.out.all if x.startswith(f"write {number} ")]
        return [(int(n), int(total)) for _, _, n, total in mine], follow.out.all

    def test_a_file_of_no_use_is_silent(self):
        writer = self.started(Writer())
        path, other = os.path.join(self.directory, "no-use"), os.path.join(self.directory, "used")
        follow = self.follow(writer.pid, "0", "no-use")
        writer.do("append", path, "first")
        follow.out.wait_for(lambda x: x.startswith("write "), harness.EXIT_S)  # decided by then
        writer.do("append", other, "kept")
        got, lines = self.written(writer, follow, path, [5000] * 20)
        self.assertEqual(got, [(5, 5)])
        self.assertEqual(len([x for x in lines if x.startswith("file ") and "no-use" in x]), 1)
        self.assertIn("4 4\n", "".join(lines))

    def test_less_is_taken_where_less_is_wanted(self):
        writer = self.started(Writer())
        path = os.path.join(self.directory, "some")
        follow = self.follow(writer.pid, "100", "some")
        writer.do("append", path, "first")
        follow.out.wait_for(lambda x: x.startswith("write "), harness.EXIT_S)
        got, _ = self.written(writer, follow, path, [99, 5000])
        self.assertEqual(got, [(5, 5), (99, 99), (100, 5000)])


if __name__ == "__main__":
    harness.main()
