#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Real clients of real stores: every call once, named, timed and with its errors as the client had them; signs of life
and log-ins are no calls. Attached before and after the connection exists, over TCP and unix sockets, one call at a time
and 50. MongoDB and Neo4j have no server in Debian: their real drivers talk to the stand-ins in tests/workload."""
import json
import os
import shutil

import harness
from harness import EXIT_OK, PYTHON, WORKLOAD, LiveTest, Process

MODULES = os.path.join(harness.WORKLOAD, "clients", "node_modules")

# What clients store and ask for, as it stands in their bytes.
WORDS = {"redis": (b"text",), "postgres": (b"text", b"again"), "mysql": (b"text", b"again"), "memcached": (b"text",),
         "mongodb": (b"memory", b"twice"), "neo4j": (b"SLOW", b"FAIL")}

SLOW_MS = 48  # what a slow call takes at the server, less what its clock may differ


class StoreTest(LiveTest):
    stores_used = ()

    def client(self, name, address, when, many=1):
        if name in ("neo4j-driver", "mongodb", "ioredis", "pg"):
            if not os.path.isdir(os.path.join(MODULES, name)):
                self.skipTest(f"no npm package {name} in {MODULES}: run npm install --no-package-lock in tests/live/npm")
            command = ["node", os.path.join(WORKLOAD, "store_client.js")]
        else:
            command = [PYTHON, "-B", os.path.join(WORKLOAD, "store_client.py")]
        client = self.started(Process([*command, name, address, when, str(many)],
                                      env=dict(os.environ, NODE_PATH=MODULES)))
        self.assertTrue(client.out.wait_for(lambda x: x == "ready\n", harness.EXIT_S), client.describe())
        return client

    def calls(self, observer, system):
        with open(observer.path("calls.jsonl")) as f:
            return [c for c in map(json.loads, f) if c["system"] == system]

    def check(self, name, address, system, when, many=1):
        with self.subTest(client=name, address=address, when=when, many=many):
            client = self.client(name, address, when, many)
            recording = os.path.join(self.directory, f"run{next(self.counter)}.rec")
            observer = self.watch(client.pid, "--calls", "--record", recording)
            client.say()
            self.assertEqual(client.wait(harness.TURNS_S), 0, client.describe())
            self.assertEqual(observer.wait(), EXIT_OK, observer.describe())
            self.check_scrubbed_calls(observer, recording, () if name == "pg" else WORDS[system])  # it only asks for the time
            truth = [json.loads(x) for x in client.out.all if x.startswith("{")]
            self.assertGreaterEqual(len(truth), 3 * many)
            self.compare(truth, self.calls(observer, system), when, many, address[0] == "/")

    def compare(self, truth, calls, when, many, local):
        def key(c):
            return c["op"], c["error"] if "error" in c else c["status"] == "error"
        if when == "early" and local:
            # the kernel does not tell of a unix socket whether a reply was outstanding when we came: the first calls
            # may have another's, say so, and do not say how they ended
            self.assertEqual([c["op"] for c in calls], [c["op"] for c in truth])
            self.assertLessEqual({c["partial"] for c in calls}, {None, "attached_late"})
            return
        self.assertEqual(sorted(map(key, calls)), sorted(map(key, truth)))
        self.assertEqual([c["partial"] for c in calls if c["partial"]], [])
        if many > 1:
            return
        self.assertEqual(list(map(key, calls)), list(map(key, truth)))
        for i, (want, got) in enumerate(zip(truth, calls)):
            # making the connection is a part of the first call made on it
            if i or when == "early":
                self.assertLessEqual(got["duration_ms"], want["ms"] + self.tolerance(want["ms"]), (want, got))
            if want["slow"]:  # at the server
                self.assertGreaterEqual(got["duration_ms"], SLOW_MS, (want, got))

    def both(self, name, address, system, many=()):
        for when in ("early", "late"):
            for n in (1, *many):
                self.check(name, address, system, when, n)


class MariaDb(StoreTest):
    stores_used = ("mariadb",)

    def test_python_clients(self):
        for name in ("pymysql", "mysqldb"):
            self.both(name, f"127.0.0.1:{self.stores.mariadb_port}", "mysql", many=(50,) if name == "pymysql" else ())
            self.both(name, self.stores.mariadb_socket, "mysql")

    def test_the_command_line_client(self):
        for where in (["-h127.0.0.1", f"-P{self.stores.mariadb_port}"], ["-S", self.stores.mariadb_socket],
                      ["-h127.0.0.1", f"-P{self.stores.mariadb_port}", "--compress"]):
            with self.subTest(where=where):
                out = self.new_dir()
                observer = self.started(harness.Observer("run", [
                    "mariadb", "--no-defaults", *where, "-ubench", "bench", "-e",
                    "INSERT INTO memory VALUES ('c', REPEAT('x', 5000)); SELECT * FROM memory; SELECT SLEEP(0.05);"
                    "DELETE FROM memory WHERE id = 'c'; SELECT * FROM nowhere"], out, "--calls", wait=False))
                observer.wait(harness.TURNS_S)
                calls = self.calls(observer, "mysql")
                self.assertEqual([(c["op"], c["error_kind"]) for c in calls],
                                 [("INSERT", None), ("SELECT", None), ("SELECT", None), ("DELETE", None),
                                  ("SELECT", "42S02")], observer.describe())
                self.assertGreaterEqual(calls[2]["duration_ms"], SLOW_MS)


class Memcached(StoreTest):
    stores_used = ("memcached",)

    def test_python_clients(self):
        for name in ("pymemcache", "memcache"):
            self.both(name, f"127.0.0.1:{self.stores.memcached_port}", "memcached", many=(50,))


class RedisAndPostgres(StoreTest):
    stores_used = ("redis", "postgres")

    def test_python_clients(self):
        self.both("redis", f"127.0.0.1:{self.stores.redis_port}", "redis")
        self.both("redis", self.stores.redis_socket, "redis")
        self.both("psycopg2", f"127.0.0.1:{self.stores.pg_port}", "postgres")
        self.both("psycopg2", f"{self.stores.socket_dir}:{self.stores.pg_port}", "postgres")

    def test_node_clients(self):
        self.both("ioredis", f"127.0.0.1:{self.stores.redis_port}", "redis")
        self.both("pg", f"127.0.0.1:{self.stores.pg_port}", "postgres")

    def test_command_line_clients_over_unix_sockets(self):
        for command, system, op in (
                (["redis-cli", "-s", self.stores.redis_socket, "GET", "k"], "redis", "GET"),
                (["psql", "-h", self.stores.socket_dir, "-p", str(self.stores.pg_port), "-U", "bench", "postgres", "-c",
                  "SELECT 2"], "postgres", "SELECT")):
            with self.subTest(command=command[0]):
                observer = self.started(harness.Observer("run", command, self.new_dir(), "--calls", wait=False))
                self.assertEqual(observer.wait(harness.TURNS_S), EXIT_OK, observer.describe())
                self.assertEqual([c["op"] for c in self.calls(observer, system)], [op], observer.describe())


class StandIns(StoreTest):
    def stand_in(self, name):
        server = self.started(Process([PYTHON, "-B", os.path.join(WORKLOAD, name)]))
        line = server.out.wait_for(lambda x: x.startswith("ready "), harness.EXIT_S)
        self.assertTrue(line, server.describe())
        return "127.0.0.1:" + line.split()[1]

    def test_mongodb(self):
        address = self.stand_in("fake_mongo.py")
        self.both("pymongo", address, "mongodb", many=(50,))
        self.both("mongodb", address, "mongodb", many=(50,))

    def test_neo4j(self):
        self.both("neo4j-driver", self.stand_in("fake_bolt.py"), "neo4j", many=(50,))


if __name__ == "__main__":
    if not shutil.which("node"):
        print("# no node: the clients from npm are skipped")
    harness.main()
