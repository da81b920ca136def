#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Asked "N" on stdin, makes N rounds and says how many ns they took.

  target.py tls HOST:PORT CA          a chat request over one HTTPS connection
  target.py stores REDIS-PORT PG-PORT a Redis SET and GET, a PostgreSQL SELECT

  target.py hang PROCESSES THREADS    makes none: a tree of processes whose threads all wait
"""
import json
import os
import sys
import time

PARENT = os.getppid()


def tls(endpoint, ca):
    import http.client
    import ssl
    host, _, port = endpoint.partition(":")
    conn = http.client.HTTPSConnection(host, int(port), context=ssl.create_default_context(cafile=ca))
    body = json.dumps({"model": "stand-in-1", "messages": [{"role": "user", "content": "a question " * 40}]})
    headers = {"content-type": "application/json", "authorization": "Bearer none"}

    def once():
        conn.request("POST", "/v1/chat/completions", body, headers)
        reply = conn.getresponse()
        reply.read()
        assert reply.status == 200
    return once


def stores(redis_port, pg_port):
    import psycopg2
    import redis
    r = redis.Redis(port=int(redis_port))
    conn = psycopg2.connect(host="127.0.0.1", port=pg_port, user="bench", dbname="postgres")
    conn.autocommit = True
    cursor = conn.cursor()

    def once():
        r.set("key", "value")
        r.get("key")
        cursor.execute("SELECT id, body FROM memory LIMIT 1")
        cursor.fetchall()
    return once


def hang(processes, threads):
    """The first thread of each waits for its standard input, the others for data, for a lock and for time."""
    import ctypes
    import signal
    import socket
    import threading
    ready, done = os.pipe()
    for _ in range(int(processes) - 1):
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
            break
    ends, lock = socket.socketpair(), threading.Lock()
    lock.acquire()
    waits = (lambda: ends[0].recv(1), lock.acquire, lambda: time.sleep(1e6))
    for i in range(int(threads) - 1):
        threading.Thread(target=waits[i % len(waits)], daemon=True).start()
    os.write(done, b"x")
    if os.getppid() != PARENT:
        os.read(os.pipe()[0], 1)
    for _ in range(int(processes)):
        os.read(ready, 1)
    print("ready", flush=True)
    sys.stdin.read()


def main():
    if sys.argv[1] == "hang":
        hang(*sys.argv[2:])
        return
    once = {"tls": tls, "stores": stores}[sys.argv[1]](*sys.argv[2:])
    once()
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.monotonic_ns()
        for _ in range(int(line)):
            once()
        print(time.monotonic_ns() - start, flush=True)


if __name__ == "__main__":
    main()
