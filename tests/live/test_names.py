# SPDX-License-Identifier: BSD-2-Clause
"""What the other end is called where no byte of the connection says so: by the name server's answers."""
import json
import os
import unittest

from harness import EXIT_S, PYTHON, WORKLOAD, LiveTest, Observer, Process, main


class Names(LiveTest):
    stores_used = ()

    def test_a_store_is_known_by_the_name_it_was_asked_for(self):
        try:
            target = self.started(Process(["unshare", "-n", "-m", PYTHON, "-B", os.path.join(WORKLOAD, "names.py")]))
            line = target.out.wait_for(lambda x: '"ready"' in x, EXIT_S)
        except OSError as exc:
            raise unittest.SkipTest(f"unshare: {exc}") from None
        if not line:
            raise unittest.SkipTest("no namespaces here: " + target.describe())
        watch = self.started(Observer("watch", str(json.loads(line)["pid"]), self.new_dir(), "--calls",
                                      "--storage", "L1=memory.test:7777", "--storage", "L2=cold.test:7778"))
        for _ in range(3):
            target.say("memory.test 7777\n")
            done = target.out.wait_for(lambda x: '"exchange"' in x, EXIT_S)
            self.assertTrue(done, target.describe())
        watch.interrupt()
        with open(watch.path("calls.jsonl")) as f:
            calls = [json.loads(x) for x in f]
        stores = [c for c in calls if c["class"] == "storage"]
        self.assertEqual(len(stores), 3, calls)
        for c in stores:
            self.assertEqual((c["endpoint"], c["label"]), ("127.0.0.2:7777", "L1"), c)

    def test_a_server_is_known_by_the_name_its_client_gives_to_tls(self):
        """Nothing on the wire is TLS, no request names a host: what the program tells its TLS library is all there is."""
        target = self.started(Process([PYTHON, "-B", os.path.join(WORKLOAD, "hidden_tls.py")]))
        line = target.out.wait_for(lambda x: '"ready"' in x, EXIT_S)
        self.assertTrue(line, target.describe())
        watch = self.started(Observer("watch", str(json.loads(line)["pid"]), self.new_dir(), "--calls",
                                      "--storage", "L4=inner.test"))
        for word in ("again", "anew", "again"):
            target.say(word + "\n")
            self.assertTrue(target.out.wait_for(lambda x: '"reply"' in x, EXIT_S), target.describe())
        watch.interrupt()
        with open(watch.path("calls.jsonl")) as f:
            calls = [json.loads(x) for x in f]
        # the connection that was there before has no name: it was given then
        self.assertEqual([(c["class"], c["label"]) for c in calls if c["class"] == "storage"], [("storage", "L4")] * 2, calls)


if __name__ == "__main__":
    main()
