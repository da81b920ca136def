#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Real clients of real stores: every call once, named, timed and with its errors as the client had them; signs of life
and log-ins are no calls. Attached before and after the connection exists, over TCP, TLS and unix sockets, one call at a time
and 50. MongoDB and Neo4j have no server in Debian: their real drivers talk to the stand-ins in tests/workload."""
import collections
import json
import os
import shutil

import harness
from harness import EXIT_OK, PYTHON, WORKLOAD, LiveTest, Process

MODULES = os.path.join(harness.WORKLOAD, "clients", "node_modules")

CLOCK_MS = 2     # how far the clocks of client and server may lie apart
AT_ONCE = 50
NODE = ("neo4j-driver", "mongodb", "ioredis", "pg", "pg/client")
Case = collections.namedtuple("Case", "client address system ca", defaults=[""])
# What clients store and ask for, as it stands in their bytes.
WORDS = {"redis": (b"text",), "postgres": (b"text", b"again"), "mysql": (b"text", b"again"), "memcached": (b"text",),
         "mongodb": (b"memory", b"twice"), "neo4j": (b"SLOW", b"FAIL")}


class StoreTest(LiveTest):
    stores_used = ()

    def client(self, case, when, many=1):
        if case.client in NODE:
            package = case.client.partition("/")[0]
            if not shutil.which("node") or not os.path.isdir(os.path.join(MODULES, package)):
                self.skipTest(f"no npm package {package} (scripts/install-deps --tests)")
            command = ["node", os.path.join(WORKLOAD, "store_client.js")]
        else:
            command = [PYTHON, "-B", os.path.join(WORKLOAD, "store_client.py")]
        client = self.started(Process([*command, case.client, case.address, when, str(many), case.ca],
                                      env=dict(os.environ, NODE_PATH=MODULES, NODE_EXTRA_CA_CERTS=case.ca)))
        client.case = case
        return client

    def calls(self, observer, system):
        with open(observer.path("calls.jsonl")) as f:
            return [c for c in map(json.loads, f) if c["system"] == system]

    def check(self, cases, when, many=1):
        """All clients are there when the observer comes, and work one after the other."""
        clients = []
        for case in cases:
            with self.subTest(client=case.client):
                clients.append(self.client(case, when, many))
        for client in clients:
            self.assertTrue(client.out.wait_for(lambda x: x == "ready\n", harness.EXIT_S), client.describe())
        recording = os.path.join(self.directory, f"run{next(self.counter)}.rec")
        observer = self.watch([c.pid for c in clients], "--calls", *(["--record", recording] if many == 1 else []))
        for client in clients:
            client.say()
            self.assertEqual(client.wait(harness.TURNS_S), 0, client.describe())
        self.assertEqual(observer.wait(), EXIT_OK, observer.describe())
        if many == 1:  # pg only asks for the time
            kinds = {c.case.system for c in clients if not c.case.client.startswith("pg")}
            self.check_scrubbed_calls(observer, recording, {w for k in kinds for w in WORDS[k]})
        for client in clients:
            with self.subTest(client.case, when=when, many=many):
                truth = [json.loads(x) for x in client.out.all if x.startswith("{")]
                self.assertGreaterEqual(len(truth), 3 * many)
                seen = [c for c in self.calls(observer, client.case.system) if c["pid"] == client.pid]
                self.compare(truth, seen, when, many, client.case.address[0] == "/")

    def compare(self, truth, calls, when, many, local):
        def key(c):
            return c["op"], c["error"] if "error" in c else c["status"] == "error"
        if when == "early" and local:
            # the kernel does not tell of a unix socket whether a reply was outstanding when we came: the first calls
            # may have another's, say so, and do not say how they ended
            self.assertEqual([c["op"] for c in calls], [c["op"] for c in truth])
            self.assertLessEqual({c["partial"] for c in calls}, {None, "attached_late"})
            return
        self.assertEqual(collections.Counter(map(key, calls)), collections.Counter(map(key, truth)))
        self.assertEqual([c["partial"] for c in calls if c["partial"]], [])
        if many == 1:
            self.assertEqual(list(map(key, calls)), list(map(key, truth)))
        for name in set(map(key, truth)):
            self.compare_times([c for c in truth if key(c) == name], [c for c in calls if key(c) == name])

    def compare_times(self, truth, calls):
        """No call takes longer than its client waited, nor less than its server took. With many of one name at once the
        shortest is compared with the shortest, and so on: what holds of each holds of these."""
        # making the connection is a part of the first call made on it
        took = sorted(c["duration_ms"] - (c["setup_ms"] or 0) for c in calls)
        for got, want in zip(took, sorted(c["ms"] for c in truth if c["ms"] is not None)):
            self.assertLessEqual(got, want + self.tolerance(want), (truth, calls))
        for got, least in zip(took[::-1], sorted((c["slow"] for c in truth), reverse=True)):
            self.assertGreaterEqual(got, least - CLOCK_MS if least else 0, (truth, calls))

    def all_ways(self, cases, many=(1, AT_ONCE)):
        for when in ("early", "late"):
            for n in many:
                self.check(cases, when, n)


class MariaDb(StoreTest):
    stores_used = ("mariadb",)

    def test_python_clients(self):
        """In the clear and over TLS, which begins inside the connection."""
        tcp, path, ca = f"127.0.0.1:{self.stores.mariadb_port}", self.stores.mariadb_socket, self.stores.mariadb_ca
        self.all_ways([Case(name, tcp, "mysql", tls) for name in ("pymysql", "mysqldb") for tls in ("", ca)])
        self.all_ways([Case(name, path, "mysql") for name in ("pymysql", "mysqldb")], many=(1,))

    def test_the_command_line_client(self):
        for where in (["-h127.0.0.1", f"-P{self.stores.mariadb_port}"], ["-S", self.stores.mariadb_socket],
                      ["-h127.0.0.1", f"-P{self.stores.mariadb_port}", "--compress"],
                      ["-h127.0.0.1", f"-P{self.stores.mariadb_port}", "--ssl", f"--ssl-ca={self.stores.mariadb_ca}"]):
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
                self.assertGreaterEqual(calls[2]["duration_ms"], 50 - CLOCK_MS)


class Memcached(StoreTest):
    stores_used = ("memcached",)

    def test_python_clients(self):
        self.all_ways([Case(name, f"127.0.0.1:{self.stores.memcached_port}", "memcached")
                       for name in ("pymemcache", "memcache")])


class RedisAndPostgres(StoreTest):
    stores_used = ("redis", "postgres")

    def test_clients(self):
        redis, postgres = f"127.0.0.1:{self.stores.redis_port}", f"127.0.0.1:{self.stores.pg_port}"
        self.all_ways([*(Case(name, redis, "redis") for name in ("redis", "redis_pool", "redis_async", "ioredis")),
                       *(Case(name, postgres, "postgres") for name in ("psycopg2", "pg", "pg/client"))])

    def test_clients_over_tls(self):
        """Redis' begins with the connection, PostgreSQL's inside it."""
        redis, postgres = f"127.0.0.1:{self.stores.redis_tls_port}", f"127.0.0.1:{self.stores.pg_port}"
        self.stores.offer_tls()
        self.addCleanup(self.stores.offer_tls, False)
        self.all_ways([*(Case(name, redis, "redis", self.stores.redis_ca)
                         for name in ("redis", "redis_pool", "redis_async", "ioredis")),
                       *(Case(name, postgres, "postgres", self.stores.pg_ca) for name in ("psycopg2", "pg", "pg/client"))])

    def test_python_clients_over_unix_sockets(self):
        self.all_ways([Case("redis", self.stores.redis_socket, "redis"),
                       Case("psycopg2", f"{self.stores.socket_dir}:{self.stores.pg_port}", "postgres")], many=(1,))

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

    def test_mongodb_and_neo4j(self):
        mongo = self.stand_in("fake_mongo.py")
        self.all_ways([Case("pymongo", mongo, "mongodb"), Case("mongodb", mongo, "mongodb"),
                       Case("neo4j-driver", self.stand_in("fake_bolt.py"), "neo4j")])


if __name__ == "__main__":
    if not shutil.which("node"):
        print("# no node: the clients from npm are skipped")
    harness.main()
