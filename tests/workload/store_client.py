#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A real client of a real store, with a truth of its own.

usage: store_client.py CLIENT ADDRESS early|late [THREADS [CA]]

CLIENT is pymysql, mysqldb, pymemcache, memcache, pymongo, redis, redis_pool (one client for all threads), redis_async (one
for as many tasks) or psycopg2; ADDRESS HOST:PORT or the path of a socket (psycopg2: its directory); with CA over TLS.
Connects, if early, prints `ready`, and goes on when it is told a line: then each thread does what its client has to do, and
prints a JSON line for each call that counts: its name as the wire has it, its time, whether it failed, and the time the
server takes for it at least where that is known, all in ms.
"""
import asyncio
import json
import sys
import threading
import time

SLOW_MS = 50
LOCK = threading.Lock()


def tell(op, start, failed, slow):
    took = (time.monotonic() - start) * 1000
    with LOCK:
        print(json.dumps({"op": op, "ms": took, "error": failed, "slow": slow}), flush=True)


def timed(op, action, fails=False, slow=0):
    start = time.monotonic()
    try:
        action()
        failed = False
    except Exception:
        failed = True
    tell(op, start, failed, slow)
    assert failed == fails, op


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
    timed("SELECT", lambda: run(f"SELECT {slow}", True), slow=SLOW_MS)
    run("SELECT 1", True)
    timed("INSERT", lambda: run(f"INSERT INTO {table} VALUES ('{key}', 'again')"), fails=True)
    timed("DELETE", lambda: run(f"DELETE FROM {table} WHERE id = '{key}'"))
    conn.close()


def pymysql(address, key, ca):
    import pymysql as module
    where = {"unix_socket": address} if address[0] == "/" else dict(zip(("host", "port"), split(address)))
    if ca:
        where["ssl"] = {"ca": ca}
    return sql(lambda: module.connect(user="bench", database="bench", autocommit=True, **where), f"SLEEP({SLOW_MS / 1000})", key)


def mysqldb(address, key, ca):
    import MySQLdb as module
    where = {"unix_socket": address} if address[0] == "/" else dict(zip(("host", "port"), split(address)))
    if ca:
        where["ssl"] = {"ca": ca}

    def connect():
        conn = module.connect(user="bench", db="bench", **where)
        conn.autocommit(True)
        return conn
    return sql(connect, f"SLEEP({SLOW_MS / 1000})", key)


def psycopg2(address, key, ca):
    import psycopg2 as module
    host, _, port = address.rpartition(":")
    tls = {"sslmode": "verify-full", "sslrootcert": ca} if ca else {}

    def connect():
        conn = module.connect(host=host, port=int(port), user="bench", dbname="postgres", **tls)
        conn.autocommit = True
        return conn
    return sql(connect, f"pg_sleep({SLOW_MS / 1000})", key, "notes")


def redis_place(address, ca):
    where = {"unix_socket_path": address} if address[0] == "/" else dict(zip(("host", "port"), split(address)))
    return dict(where, ssl=True, ssl_ca_certs=ca) if ca else where


def redis_calls(client, key):
    timed("SET", lambda: client.set(key, "text"))
    timed("GET", lambda: client.get(key))
    client.ping()
    timed("WAIT", lambda: client.wait(1, SLOW_MS), slow=SLOW_MS)
    timed("SADD", lambda: client.sadd(key, "x"), fails=True)
    timed("DEL", lambda: client.delete(key))
    client.close()


def redis(address, key, ca):
    import redis as module
    client = module.Redis(single_connection_client=True, **redis_place(address, ca))
    client.ping()
    yield
    redis_calls(client, key)


SHARED = {}


def redis_pool(address, key, ca):
    import redis as module
    with LOCK:
        client = SHARED.setdefault(address, module.Redis(**redis_place(address, ca)))
    connection = client.connection_pool.get_connection("PING")
    connection.send_command("PING")
    connection.read_response()
    yield
    client.connection_pool.release(connection)
    redis_calls(client, key)


async def redis_async(address, key, ca):
    import redis.asyncio as module
    client = SHARED.setdefault(address, module.Redis(**redis_place(address, ca)))
    connection = await client.connection_pool.get_connection("PING")
    await connection.send_command("PING")
    await connection.read_response()
    yield
    await client.connection_pool.release(connection)

    async def timed_task(op, call, fails=False, slow=0):
        start = time.monotonic()
        try:
            await call
            failed = False
        except module.RedisError:
            failed = True
        tell(op, start, failed, slow)
        assert failed == fails, op
    await timed_task("SET", client.set(key, "text"))
    await timed_task("GET", client.get(key))
    await client.ping()
    await timed_task("WAIT", client.wait(1, SLOW_MS), slow=SLOW_MS)
    await timed_task("SADD", client.sadd(key, "x"), fails=True)
    await timed_task("DEL", client.delete(key))


def pymemcache(address, key, ca):
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


def memcache(address, key, ca):
    import memcache as module
    client = module.Client(["unix:" + address if address[0] == "/" else address])
    client.get_stats()
    yield
    timed("set", lambda: client.set(key, "text"))
    timed("get", lambda: client.get(key))
    timed("delete", lambda: client.delete(key))
    client.disconnect_all()


def pymongo(address, key, ca):
    import pymongo as module
    client = module.MongoClient(*split(address))
    table = client.bench.memory
    client.admin.command("ping")
    yield
    timed("insert", lambda: table.insert_one({"_id": key}))
    timed("find", lambda: table.find_one({"a": 1}))
    timed("find", lambda: table.find_one({"slow": SLOW_MS}), slow=SLOW_MS)
    client.admin.command("ping")
    timed("insert", lambda: table.insert_one({"_id": "twice"}), fails=True)
    timed("explode", lambda: client.bench.command("explode"), fails=True)
    timed("update", lambda: table.update_one({"a": 1}, {"$set": {"b": 2}}))
    client.close()


async def tasks(works, when):
    if when == "early":
        await asyncio.gather(*(anext(work) for work in works))
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)

    async def finish(work):
        async for _ in work:
            pass
    await asyncio.gather(*(finish(work) for work in works))


def main():
    name, address, when, many, ca = [*sys.argv[1:], *["early", "1", ""][len(sys.argv) - 3:]]
    works = [globals()[name](address, f"k{i}", ca) for i in range(int(many))]
    if name.endswith("_async"):
        asyncio.run(tasks(works, when))
        return
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
