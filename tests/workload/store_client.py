#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A real client of a real store, with a truth of its own.

usage: store_client.py CLIENT ADDRESS [early|late] [THREADS]

CLIENT is pymysql, mysqldb, pymemcache, memcache, pymongo, redis or psycopg2; ADDRESS HOST:PORT or the path of a socket
(psycopg2: its directory). Connects, if early, prints `ready`, and goes on when it is told a line: then each thread does
what its client has to do, and prints a JSON line for each call that counts: its name as the wire has it, its time, and
whether it failed.
"""
import json
import sys
import threading
import time

LOCK = threading.Lock()


def timed(op, action, fails=False, slow=False):
    start = time.monotonic()
    try:
        action()
        failed = False
    except Exception:
        failed = True
    took = (time.monotonic() - start) * 1000
    assert failed == fails, op
    with LOCK:
        print(json.dumps({"op": op, "ms": took, "error": failed, "slow": slow}), flush=True)


def split(address):
    host, _, port = address.rpartition(":")
    return host, int(port)


def sql(connect, slow, key, table="memory"):
    conn = connect()
    cursor = conn.cursor()

    def run(text, fetch=False):
        cursor.execute(text)
        if fetch:
            cursor.fetchall()
    yield
    timed("INSERT", lambda: run(f"INSERT INTO {table} VALUES ('{key}', 'text')"))
    timed("SELECT", lambda: run(f"SELECT * FROM {table}", True))
    timed("SELECT", lambda: run(f"SELECT {slow}", True), slow=True)
    run("SELECT 1", True)
    timed("INSERT", lambda: run(f"INSERT INTO {table} VALUES ('{key}', 'again')"), fails=True)
    timed("DELETE", lambda: run(f"DELETE FROM {table} WHERE id = '{key}'"))
    conn.close()


def pymysql(address, key):
    import pymysql as module
    where = {"unix_socket": address} if address[0] == "/" else dict(zip(("host", "port"), split(address)))
    return sql(lambda: module.connect(user="bench", database="bench", autocommit=True, **where), "SLEEP(0.05)", key)


def mysqldb(address, key):
    import MySQLdb as module
    where = {"unix_socket": address} if address[0] == "/" else dict(zip(("host", "port"), split(address)))

    def connect():
        conn = module.connect(user="bench", db="bench", **where)
        conn.autocommit(True)
        return conn
    return sql(connect, "SLEEP(0.05)", key)


def psycopg2(address, key):
    import psycopg2 as module
    host, _, port = address.rpartition(":")

    def connect():
        conn = module.connect(host=host, port=int(port), user="bench", dbname="postgres")
        conn.autocommit = True
        return conn
    return sql(connect, "pg_sleep(0.05)", key, "notes")


def redis(address, key):
    import redis as module
    where = {"unix_socket_path": address} if address[0] == "/" else dict(zip(("host", "port"), split(address)))
    client = module.Redis(single_connection_client=True, **where)
    client.ping()
    yield
    timed("SET", lambda: client.set(key, "text"))
    timed("GET", lambda: client.get(key))
    client.ping()
    timed("SADD", lambda: client.sadd(key, "x"), fails=True)
    timed("DEL", lambda: client.delete(key))
    client.close()


def pymemcache(address, key):
    from pymemcache.client.base import Client
    client = Client(address if address[0] == "/" else split(address), default_noreply=False)
    client.version()
    yield
    timed("set", lambda: client.set(key, "text"))
    timed("get", lambda: client.get(key))
    client.version()
    timed("incr", lambda: client.incr(key, 1), fails=True)
    timed("delete", lambda: client.delete(key))
    client.close()


def memcache(address, key):
    import memcache as module
    client = module.Client(["unix:" + address if address[0] == "/" else address])
    client.get_stats()
    yield
    timed("set", lambda: client.set(key, "text"))
    timed("get", lambda: client.get(key))
    timed("delete", lambda: client.delete(key))
    client.disconnect_all()


def pymongo(address, key):
    import pymongo as module
    client = module.MongoClient(*split(address))
    table = client.bench.memory
    client.admin.command("ping")
    yield
    timed("insert", lambda: table.insert_one({"_id": key}))
    timed("find", lambda: table.find_one({"a": 1}))
    timed("find", lambda: table.find_one({"slow": 50}), slow=True)
    client.admin.command("ping")
    timed("insert", lambda: table.insert_one({"_id": "twice"}), fails=True)
    timed("explode", lambda: client.bench.command("explode"), fails=True)
    timed("update", lambda: table.update_one({"a": 1}, {"$set": {"b": 2}}))
    client.close()


def main():
    client, address, when = globals()[sys.argv[1]], sys.argv[2], sys.argv[3]
    works = [client(address, f"k{i}") for i in range(int(sys.argv[4]) if len(sys.argv) > 4 else 1)]
    if when == "early":
        for work in works:
            next(work)
    print("ready", flush=True)
    sys.stdin.readline()
    threads = [threading.Thread(target=lambda w=w: [None for _ in w]) for w in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
