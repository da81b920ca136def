#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Plaintext wherever the TLS code is: in stripped programs, in libraries of any name, of other families, loaded late."""
import ctypes
import json
import os
import shutil
import subprocess
import unittest

import harness
from harness import EXIT_OK, EXIT_S, PYTHON, WORKLOAD, LiveTest, Process, tool

CALLS = 6
STATIC = ["-Wl,-Bstatic", "-lssl", "-lcrypto", "-Wl,-Bdynamic"]


def loadable(name):
    try:
        ctypes.CDLL(name)
        return name
    except OSError:
        raise unittest.SkipTest(f"no {name} here") from None


class Client(Process):
    """tls_client.c or .py."""

    def wait_event(self, event):
        line = self.out.wait_for(lambda x: f'"event": "{event}"' in x, EXIT_S)
        if not line:
            raise AssertionError(f"no {event}: {self.describe()}")
        return json.loads(line)

    def calls(self):
        return [json.loads(x) for x in self.out.all if '"event": "call"' in x]


class TlsCode(LiveTest):
    stores_used = ()

    # ------------------------------------------------------------ building

    def build(self, name, *flags):
        path = os.path.join(self.directory, name)
        p = subprocess.run(["gcc", "-O2", os.path.join(WORKLOAD, "tls_client.c"), "-o", path, *flags],
                           capture_output=True, text=True, timeout=120)
        if p.returncode:
            self.skipTest("no static libssl to link with: " + p.stderr[-300:])
        return path

    def stripped(self, path):
        subprocess.run(["strip", "-s", path], check=True, timeout=60)
        return path

    def libssl(self):
        """The file of the system's libssl, as this Python's ssl module has it mapped."""
        import ssl  # noqa: F401
        with open("/proc/self/maps") as f:
            return next(x.split()[-1] for x in f if "libssl" in x)

    # ------------------------------------------------------------ the comparison

    def check(self, server, client, observer, family, path, how):
        """Every call once, with the reply's own tokens and a time between the server's and the client's."""
        self.assertEqual(client.wait(), 0, client.describe())
        self.assertEqual(observer.wait(), EXIT_OK, observer.describe())
        with open(observer.path("calls.jsonl")) as f:
            calls = [json.loads(line) for line in f]
        truth, spans = client.calls(), server.spans()
        self.assertEqual(len(truth), CALLS, client.describe())
        self.assertEqual([(c["class"], c["tokens_in"], c["tokens_out"], c["partial"]) for c in calls],
                         [("llm", t["tokens_in"], t["tokens_out"], None) for t in truth], observer.describe())
        for want, got in zip(truth, calls):
            begin, end = spans[want["id"]]
            low, high = (end - begin) / 1e6, (want["end_ns"] - want["start_ns"]) / 1e6
            self.assertGreaterEqual(got["duration_ms"], low - self.tolerance(low), f"{want}\n{got}")
            # the client of tls_client.c times no connecting, which the first call has
            if want is not truth[0]:
                self.assertLessEqual(got["duration_ms"], high + self.tolerance(high), f"{want}\n{got}")
        coverage = observer.summary()["coverage"]
        self.assertEqual(coverage["no_plaintext"], [])
        self.check_libraries(coverage["tls_libraries"], family, path, how)

    def check_libraries(self, libraries, family, path, how):
        found = [x for x in libraries if x["path"] == path]
        self.assertEqual([(x["family"], x["state"], x["why"]) for x in found], [(family, "hooked", None)], libraries)
        self.assertTrue(found[0]["how"].startswith(how), found)

    def loaded_late(self, how, library, family, path, found_by):
        """The library is loaded when the watch has long begun."""
        server = self.server("latency=20,gzip=none,framing=length")
        client = self.started(Client([PYTHON, "-B", os.path.join(WORKLOAD, "tls_client.py"), how, library, server.port,
                                      str(CALLS)]))
        client.wait_event("ready")
        observer = self.watch(client.pid, "--calls", level="DEBUG")
        client.say()
        client.wait_event("loaded")
        self.assertTrue(observer.err.wait_for(lambda x: f"TLS code in {path}" in x, EXIT_S), observer.describe())
        client.say()
        self.check(server, client, observer, family, path, found_by)

    # ------------------------------------------------------------ tests

    def test_openssl_linked_into_a_stripped_program(self):
        for name, flags in (("dynamic", STATIC), ("static", ["-static", "-no-pie", "-lssl", "-lcrypto"])):
            with self.subTest(name):
                program = self.stripped(self.build(name, *flags))
                server = self.server("latency=20,gzip=none,framing=length")
                client = self.started(Client([program, server.port, str(CALLS)]))
                client.wait_event("ready")
                observer = self.watch(client.pid, "--calls")
                client.say()
                self.check(server, client, observer, "openssl", program, "the names of functions")

    def test_openssl_linked_into_a_program_with_symbols(self):
        program = self.build("symbols", *STATIC)
        server = self.server("latency=20,gzip=none,framing=length")
        client = self.started(Client([program, server.port, str(CALLS)]))
        client.wait_event("ready")
        observer = self.watch(client.pid, "--calls")
        client.say()
        self.check(server, client, observer, "openssl", program, "symbols")

    def test_openssl_hidden_in_a_stripped_library(self):
        library = self.stripped(self.build("hidden.so", "-fPIC", "-shared", "-Wl,--exclude-libs,ALL", *STATIC))
        self.loaded_late("client", library, "openssl", library, "the names of functions")

    def test_a_libssl_of_another_name(self):
        library = shutil.copy(self.libssl(), os.path.join(self.directory, "tls-1f2e3d.so.3"))
        self.loaded_late("openssl", library, "openssl", library, "symbols")

    def test_gnutls(self):
        self.loaded_late("curl", loadable("libcurl-gnutls.so.4"), "gnutls", self.mapped("libgnutls.so.30"), "symbols")

    def test_nss(self):
        self.loaded_late("curl", loadable("libcurl-nss.so.4"), "nss", self.mapped("libssl3.so"), "the table of functions")

    def mapped(self, name):
        """The file that the dynamic linker takes for name."""
        loadable(name)
        with open("/proc/self/maps") as f:
            return next(x.split()[-1] for x in f if f"/{name}" in x)

    def test_check_tells_each_library_and_why_one_cannot_be_read(self):
        opaque = os.path.join(self.directory, "opaque.so")
        source = os.path.join(self.directory, "opaque.c")
        with open(source, "w") as f:
            # big enough to be looked at, with what BoringSSL's errors carry
            f.write('const char *file(void) { return "third_party/boringssl/ssl/ssl_lib.cc"; }\n'
                    '__asm__(".text\\n.zero 131072\\n");\n')
        subprocess.run(["gcc", "-shared", "-fPIC", source, "-o", opaque], check=True, timeout=60)
        loads = "import ctypes, sys; [ctypes.CDLL(x) for x in sys.argv[1:]]; print('loaded', flush=True); sys.stdin.read()"
        target = self.started(Process([PYTHON, "-c", loads, opaque, self.libssl()]))
        self.assertTrue(target.out.wait_for(lambda x: "loaded" in x, EXIT_S), target.describe())
        _, out, _ = tool("check", str(target.pid))
        self.assertRegex(out, r"libssl\S*: openssl, \d+ functions to hook, found by symbols")
        self.assertRegex(out, r"opaque\.so: boringssl, it has no symbols.*its plaintext is not seen, times are")


if __name__ == "__main__":
    harness.main()
