#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""No prompt, reply, key, SQL or environment value in any file or line: known words are planted, and looked for."""
import os
import pwd
import zlib

import harness
from harness import LiveTest, canary, files_below, tool, wait_until

ENVIRONMENT = {"OPENAI_API_KEY": canary.WORDS["environment"],
               "LLM_PASSWORD_URL": f"https://user:{canary.WORDS['environment']}@127.0.0.1:1/"}
TARGET = ("--canaries", "--api-key", canary.WORDS["argument"])


def unpacked(data):
    """What the gzip streams in data unpack to, as far as they do: masked streams give nothing."""
    at = data.find(b"\x1f\x8b\x08")
    while at >= 0:
        try:
            yield zlib.decompressobj(31).decompress(data[at:])
        except zlib.error:
            pass
        at = data.find(b"\x1f\x8b\x08", at + 3)


class Privacy(LiveTest):
    def check_clean(self, observer, *more):
        for path in (*files_below(observer.dir), *more):
            with open(path, "rb") as f:
                self.assertEqual(canary.found(f.read()), [], path)
        self.assertEqual(canary.found(observer.said().encode()), [], "on the terminal")

    def watched(self, *arguments, options=(), server=None):
        return self.watch_run(server or self.server(), *TARGET, *arguments, options=["--verbose", *options],
                              runner_options={"env": ENVIRONMENT})

    def test_no_canary_in_files_or_lines(self):
        for arguments in (("--api", "openai", "--tools", "1"), ("--api", "openai-stream", "--plan", "gzip=none"),
                          ("--api", "anthropic-stream"), ("--api", "gemini-stream"), ("--api", "ollama"),
                          ("--api", "responses-stream"), ("--mode", "asyncio", "--client", "aiohttp"),
                          ("--retries", "0", "--plan", "fault=500"), ("--api", "openai", "--fresh")):
            with self.subTest(arguments=arguments):
                _, observer = self.watched("--turns", "3", *arguments)
                self.assertEqual(len(observer.turns()), 3)
                self.check_clean(observer)

    def test_no_canary_at_the_most_talkative_log_level(self):
        server = self.server()
        runner = self.runner(server, *TARGET, "--turns", "3", "--gate", "start", env=ENVIRONMENT)
        observer = self.watch(runner.pid, level="DEBUG")
        runner.open_gate("start")
        runner.wait()
        observer.wait()
        self.check_clean(observer)

    def test_no_canary_in_a_stalls_report_and_alert(self):
        for hang in ("llm", "stream", "redis", "postgres"):
            with self.subTest(hang=hang):
                server = self.server()
                runner = self.runner(server, *TARGET, "--api", "openai-stream", "--turns", "3", "--hang", hang,
                                     "--gate", "start", env=ENVIRONMENT)
                variables = os.path.join(self.directory, f"variables-{hang}")
                script = variables + ".sh"
                with open(script, "w", encoding="utf-8") as f:
                    f.write(f"#!/bin/sh\nenv | grep ^WHYSTUCK_ > {variables}.new\nmv {variables}.new {variables}\n")
                os.chmod(script, 0o755)
                observer = self.watch(runner.pid, "--verbose", "--stuck-timeout", "0.05", "--on-stuck", script)
                runner.open_gate("start")
                if hang in ("redis", "postgres"):
                    runner.wait_event("gate", name="hang")
                    stop, go = {"redis": (self.stores.pause_redis, self.stores.resume_redis),
                                "postgres": (self.stores.lock_postgres, self.stores.unlock_postgres)}[hang]
                    stop()
                    self.addCleanup(go)
                    runner.say()
                wait_until(lambda p=variables: os.path.exists(p), 25, "the alert")
                go() if hang in ("redis", "postgres") else server.release()
                runner.wait()
                observer.wait()
                command = observer.run_error()["command"]
                self.assertIn("runner.py", str(command))
                self.assertIn("--api-key", str(command), "the option stays, its value is masked")
                self.check_clean(observer, variables)

    def test_a_scrubbed_recording_holds_no_canary(self):
        for plan in ("gzip=none", "gzip=stream", "gzip=stream,frag=9"):
            for api in ("openai", "openai-stream", "anthropic-stream", "gemini-array-stream", "ollama"):
                with self.subTest(plan=plan, api=api):
                    recording = os.path.join(self.directory, f"run{next(self.counter)}.rec")
                    _, observer = self.watched("--turns", "2", "--tools", "1", "--api", api, "--plan", plan,
                                               options=["--record", recording])
                    with open(recording, "rb") as f:
                        full = f.read()
                    # Else the search below would prove nothing. The reply may be packed.
                    self.assertLessEqual({"prompt", "header_key", "redis_value", "sql_param"}, set(canary.found(full)))
                    scrubbed = recording + ".scrubbed"
                    got = tool("replay", "-o", self.new_dir(), "--progress", "none", "--scrub", scrubbed, recording)
                    self.assertEqual(got[0], 0, got)
                    with open(scrubbed, "rb") as f:
                        data = f.read()
                    self.assertEqual(canary.found(data), [])
                    for inside in unpacked(data):
                        self.assertEqual(canary.found(inside), [])
                    self.assertEqual(canary.found((got[1] + got[2]).encode()), [])
                    self.check_clean(observer)

    def test_whystuck_says_that_a_recording_holds_payloads(self):
        recording = os.path.join(self.directory, "run.rec")
        _, observer = self.watched("--turns", "1", options=["--record", recording])
        self.assertRegex(observer.said().lower(), r"prompt|payload|captured")
        self.assertEqual(os.stat(recording).st_mode & 0o777, 0o600)

    def test_files_are_0600_and_belong_to_the_user_behind_sudo(self):
        nobody = pwd.getpwnam("nobody")
        server = self.server()
        recording = os.path.join(self.directory, "run.rec")
        runner = self.runner(server, "--turns", "2", "--gate", "start")
        observer = self.watch(runner.pid, "--record", recording, env={
            "SUDO_UID": str(nobody.pw_uid), "SUDO_GID": str(nobody.pw_gid), "SUDO_USER": "nobody"})
        runner.open_gate("start")
        runner.wait()
        observer.wait()
        for path in (*files_below(observer.dir), recording):
            status = os.stat(path)
            self.assertEqual((status.st_mode & 0o777, status.st_uid, status.st_gid),
                             (0o600, nobody.pw_uid, nobody.pw_gid), path)
        self.assertEqual(os.stat(observer.dir).st_uid, nobody.pw_uid)


if __name__ == "__main__":
    harness.main()
