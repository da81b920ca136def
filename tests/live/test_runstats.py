#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""--runstats: the summary comes into the runner's own file when the run has ended, and every other byte stays."""
import glob
import json
import os

import harness
from compare import TurnsTest
from harness import EXIT_ERROR, EXIT_OK, TURNS_S

KEY = "turn_metrics_summary"
PLAN = "latency=5"
NOT_MERGED = (EXIT_OK, EXIT_ERROR)  # all else went well


class Runstats(TurnsTest):
    def goodai(self, *options):
        """GoodAI's runner, that rewrites its file after every action, at its end but one: (runner, observer, file)."""
        server = self.server(PLAN)
        runner = self.workload("goodai.py", "--directory", self.directory, "--tests", "2", "--gate", server=server)
        path = os.path.join(self.directory, "data", "tests", "run0", "results", "agent", "runstats.json")
        observer = self.watch(runner.pid, "--profile", "goodai-ltm", "--runstats", path, *options)
        runner.say()
        runner.wait_event("gate")
        return runner, observer, path

    def linelog(self, content, status=(EXIT_OK,)):
        """A run that does not touch the file, which has this content: (number of turns, observer, path)."""
        path = os.path.join(self.directory, "runstats.json")
        if content is not None:
            with open(path, "wb") as f:
                f.write(content)
            os.chmod(path, 0o640)
            os.chown(path, 65534, 65534)
        server = self.server(PLAN)
        workload = self.workload("linelog.py", server=server)
        observer = self.watch(workload.pid, "--turns", "stdout:^turn .* done$", "--runstats", path)
        workload.say()
        self.assertEqual(workload.wait(TURNS_S), 0, workload.describe())
        self.assertIn(observer.wait(), status, observer.describe())
        return len(workload.turns()), observer, path

    def read(self, path):
        with open(path, "rb") as f:
            return f.read()

    def finish(self, runner, observer):
        runner.say()
        self.finished(runner, observer)

    def beside(self, observer, path):
        """The summary where it does no harm: in the output directory, or next to the file under another name."""
        for other in [observer.path("runstats.json"), *glob.glob(os.path.join(os.path.dirname(path), "*"))]:
            if other != path and os.path.isfile(other):
                try:
                    with open(other) as f:
                        doc = json.load(f)
                except ValueError:
                    continue
                if KEY in doc:
                    self.assertTrue(self.said(observer, path), "it says why not there: " + observer.describe())
                    return doc[KEY]
        self.fail("the summary is nowhere: " + observer.describe())

    def test_merged_when_the_run_has_ended_and_not_before(self):
        runner, observer, path = self.goodai()
        self.assertNotIn(KEY, json.loads(self.read(path)))
        self.finish(runner, observer)
        data = self.read(path)
        doc = json.loads(data)
        summary = doc.pop(KEY)
        self.assertEqual(summary["turns"], len(runner.turns()))
        self.assertEqual(len(doc["rnd_state"]), 625)
        theirs = json.dumps(doc).encode()  # as the runner wrote it
        at = next(i for i, (a, b) in enumerate(zip(data, theirs + b"\0")) if a != b)
        self.assertTrue(data.endswith(theirs[at:]), "one insertion, every other byte kept")

    def test_every_other_byte_is_kept(self):
        cases = {
            "odd spaces": b'\n {"a" : 1.50 ,\t"b":[1e400,-0.0,12345678901234567890123] }\r\n\r\n',
            "empty": b"{}",
            "empty with room": b"{ \n }\n",
            "other letters": '{"n\u00e4me": "\\u00e9 \\ud83d\\ude00 \u2603"}'.encode(),
            "deeper": b'{"in": {"turn_metrics_summary": 1}}',
            "text like it": b'{"a": "\\"turn_metrics_summary\\": {}", "b": null}',
        }
        for name, content in cases.items():
            with self.subTest(name):
                turns, observer, path = self.linelog(content)
                data, stat = self.read(path), os.stat(path)
                self.assertEqual(json.loads(data)[KEY]["turns"], turns, data)
                prefix = os.path.commonprefix([data, content])
                left = content[len(prefix):]
                self.assertTrue(data.endswith(left), f"{content!r} became {data!r}")
                self.assertEqual((stat.st_mode & 0o777, stat.st_uid, stat.st_gid), (0o640, 65534, 65534))

    def test_a_summary_that_is_there_is_replaced(self):
        before, after = b'{ "x": 1,\n"turn_metrics_summary" : ', b' , "y": "turn_metrics_summary"}\n'
        turns, observer, path = self.linelog(before + b'{"turns": 3, "t": ["}", "\\"", {}]}' + after)
        data = self.read(path)
        self.assertTrue(data.startswith(before) and data.endswith(after), data)
        self.assertEqual(json.loads(data)[KEY]["turns"], turns)

    def test_a_file_that_cannot_be_read_as_json_is_left_alone(self):
        for content in (b'{"a": 1, "rnd_state": [1, 2', b"", b"[1, 2]", b'{"a": 1} {"b": 2}', b'{"a": 1,}',
                        b"\xff\xfe"):
            with self.subTest(content):
                turns, observer, path = self.linelog(content, status=NOT_MERGED)
                self.assertEqual(self.read(path), content)
                self.assertEqual(self.beside(observer, path)["turns"], turns)
                os.unlink(path)

    def test_a_file_that_vanished_is_not_made_again(self):
        runner, observer, path = self.goodai()
        done = len(runner.turns())
        os.unlink(path)
        runner.signal(harness.signal.SIGKILL)  # so that it does not write it once more
        runner.p.wait()
        self.assertIn(observer.wait(), NOT_MERGED, observer.describe())
        self.assertFalse(os.path.exists(path))
        self.assertEqual(self.beside(observer, path)["turns"], done)

    def test_one_that_never_was_is_not_made_either(self):
        turns, observer, path = self.linelog(None, status=NOT_MERGED)
        self.assertFalse(os.path.exists(path))
        self.assertEqual(self.beside(observer, path)["turns"], turns)

    def test_ctrl_c_is_not_the_end_of_the_run(self):
        runner, observer, path = self.goodai()
        before = self.read(path)
        self.assertIn(observer.interrupt(), NOT_MERGED, observer.describe())
        self.assertEqual(self.read(path), before, "the runner still writes it")
        self.assertEqual(self.beside(observer, path)["turns"], len(runner.turns()))
        runner.say()
        self.assertEqual(runner.wait(), 0, runner.describe())


if __name__ == "__main__":
    harness.main()
