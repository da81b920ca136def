# SPDX-License-Identifier: BSD-2-Clause
"""Several targets in one watch: named by PID, or found by their command line, now and later; with their trees."""
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
import records  # noqa: E402
from harness import EXIT_ERROR, EXIT_OK, EXIT_STALLED, LiveTest, Observer, Process  # noqa: E402

# Opens the file that it is told on stdin and writes its PID, as often as it gets a line; "fork" lets a child do it. Its
# arguments are for those who look at command lines.
WRITER = """
import os, sys
def put(path):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, b"%d\\n" % os.getpid())
    os.close(fd)
print("ready", flush=True)
for line in sys.stdin:
    word, _, path = line.strip().partition(" ")
    if word == "write":
        put(path)
    for depth in range({"fork": 1, "forkfork": 2}.get(word, 0)):
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            if depth:
                os._exit(0)
            break
        if depth == {"fork": 1, "forkfork": 2}[word] - 1:
            put(path)
            os._exit(0)
    print("done", flush=True)
"""


class Target(Process):
    def __init__(self, name):
        super().__init__([harness.PYTHON, "-B", "-c", WRITER, name])
        self.expect("ready")

    def expect(self, word):
        if not self.out.wait_for(lambda x: x == word + "\n", harness.EXIT_S):
            raise AssertionError(f"no {word}: {self.describe()}")

    def do(self, word, path):
        self.say(f"{word} {path}\n")
        self.expect("done")

    def end(self):
        self.p.stdin.close()
        self.wait()


class Targets(LiveTest):
    stores_used = ()

    def setUp(self):
        super().setUp()
        # no other test's processes have it in their command line
        self.name = f"target-{os.getpid()}-{next(self.counter)}-{self._testMethodName}"
        self.file, self.record = (os.path.join(self.directory, x) for x in ("written", "record"))

    def target(self, suffix=""):
        return self.started(Target(self.name + suffix))

    def observe(self, pids, *options, wait=True):
        """The observer on several PIDs, or none."""
        first, *more = map(str, pids or [f"--match={self.name}"])
        return self.started(Observer("watch", first, self.new_dir(), *more, "--record", self.record, "--turns", "jsonl:*",
                                     *options, wait=wait))

    def written(self):
        """PIDs that wrote into the file, as they stand in it."""
        got = b"".join(w.data for w in records.files(self.record).get(self.file, []))
        return [int(x) for x in got.split()]

    def roots(self):
        return {r.pid for r in records.read(self.record) if r.type == records.PROCESS and r.flags & records.ROOT}

    def commands(self):
        """PID -> command line, as recorded."""
        return {r.pid: r.body[16:].split(b"\0") for r in records.read(self.record)
                if r.type == records.PROCESS and len(r.body) > 16}

    def end(self):
        """EV_END: reason, code."""
        last = [r for r in records.read(self.record)][-1]
        self.assertEqual(last.type, records.END)
        return struct.unpack_from("=Ii", last.body)

    def wait_watched(self, observer, pid):
        if not observer.err.wait_for(lambda x: f"watching {pid} from now on" in x, harness.EXIT_S):
            raise AssertionError(f"{pid} is not watched: {observer.describe()}")

    def test_two_pids_with_their_trees_until_both_are_gone(self):
        a, b, stranger = self.target("-a"), self.target("-b"), self.target("-c")
        observer = self.observe([a.pid, b.pid])
        self.assertIn(f"attached to 2 processes ({a.pid}, {b.pid})", observer.said())
        a.do("write", self.file)
        b.do("fork", self.file)
        stranger.do("write", self.file)
        a.end()
        b.do("forkfork", self.file)  # the watch goes on
        b.do("write", self.file)
        b.end()
        self.assertEqual(observer.wait(), EXIT_OK, observer.describe())
        with open(self.file, encoding="ascii") as f:
            truth = [int(x) for x in f if int(x) != stranger.pid]
        self.assertEqual(self.written(), truth)
        self.assertEqual(self.roots(), {a.pid, b.pid})
        self.assertEqual(self.end(), (1, 0))

    def test_one_of_two_pids_that_is_gone_is_said_and_the_other_watched(self):
        a, gone = self.target("-a"), self.started(Process(["true"]))
        gone.wait()
        observer = self.observe([gone.pid, a.pid])
        self.assertIn(f"cannot attach to {gone.pid}: there is no such process", observer.said())
        self.assertIn("going on with the other 1 of 2 processes", observer.said())
        a.do("write", self.file)
        a.end()
        self.assertEqual(observer.wait(), EXIT_OK, observer.describe())
        self.assertEqual(self.written(), [a.pid])

    def test_when_all_are_gone_nothing_is_watched(self):
        gone = self.started(Process(["true"]))
        gone.wait()
        observer = self.observe([gone.pid, gone.pid], wait=False)
        self.assertEqual(observer.wait(), EXIT_ERROR, observer.describe())

    def test_who_matches_is_watched_whenever_it_comes(self):
        early = self.target("-early")
        observer = self.observe([])
        self.assertIn(f"attached to {early.pid} ", observer.said())
        early.do("write", self.file)
        early.end()
        late = self.target("-late")  # nobody was there meanwhile
        self.wait_watched(observer, late.pid)
        stranger = self.started(Target("stranger"))
        late.do("forkfork", self.file)
        stranger.do("write", self.file)
        later = self.target("-later")
        self.wait_watched(observer, later.pid)
        later.do("fork", self.file)
        late.do("write", self.file)
        self.assertEqual(observer.interrupt(), EXIT_OK, observer.describe())
        with open(self.file, encoding="ascii") as f:
            truth = [int(x) for x in f if int(x) != stranger.pid]
        self.assertEqual(self.written(), truth)
        self.assertEqual(self.roots(), {early.pid, late.pid, later.pid})
        # neither the observer nor who started it, whose command lines have the pattern
        self.assertNotIn(observer.pid, self.commands())
        self.assertEqual(self.end()[0], 2)

    def test_it_waits_when_nobody_matches_and_not_for_itself(self):
        # a shell that has the pattern in its arguments and stays: the observer's parent
        parent = self.started(Process(["sh", "-c", f"{harness.require()} watch --match {self.name} --progress none "
                                       f"-o {self.new_dir()} --record {self.record}; echo status $?"],
                                      env=dict(os.environ, LOG_LEVEL="INFO")))
        self.assertTrue(parent.err.wait_for(lambda x: f"waiting for processes that match '{self.name}'" in x,
                                            harness.ATTACH_S), parent.describe())
        target = self.target()
        self.wait_watched(parent, target.pid)
        target.do("write", self.file)
        target.end()
        with open(f"/proc/{parent.pid}/task/{parent.pid}/children", encoding="ascii") as f:
            child = int(f.read().split()[0])
        os.kill(child, 2)
        self.assertEqual(parent.wait(), 0)
        self.assertIn("status 0\n", parent.out.all)
        self.assertEqual(self.roots(), {target.pid})
        self.assertEqual(self.written(), [target.pid])
        first = next(records.read(self.record))
        self.assertEqual((first.type, first.pid), (records.HELLO, 0))
        status, out, err = harness.tool("replay", self.record, "-o", self.new_dir())
        self.assertEqual(status, EXIT_OK, err)

    def test_a_stop_reaches_all_targets(self):
        a, b = self.target("-a"), self.target("-b")
        observer = self.observe([a.pid, b.pid], "--stuck-timeout", "0.02", "--stop", "--stop-grace", "20")
        for p in (a, b):
            p.wait()
        self.assertEqual(observer.wait(), EXIT_STALLED, observer.describe())
        stops = {(r.pid, struct.unpack_from("=Ii", r.body)) for r in records.read(self.record) if r.type == records.ACTION}
        self.assertEqual(stops, {(a.pid, (2, 2)), (b.pid, (2, 2))})
        actions = observer.run_error()["actions"]
        self.assertEqual([x["kind"] for x in actions], ["stop", "stop"], actions)


if __name__ == "__main__":
    harness.main()
