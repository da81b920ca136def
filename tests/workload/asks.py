#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Threads and asyncio tasks that ask a server that never answers, each through another HTTP client; prints what for.

asks.py PORT: for CPython 3.8 and later; clients that are not installed are left out. Prints a line of JSON when all hang:
{"event": "ready", "asks": {client: {"tid", "task", "method", "url"}}}; task "0": a thread asks. The canary is a secret:
it is in queries, user names, passwords, headers and bodies, never in what the truth says is asked for.
"""
import asyncio
import http.client
import json
import os
import sys
import threading
import time
import urllib.request

from canary import COMMON as CANARY

PORT = int(sys.argv[1])
BASE = "http://127.0.0.1:%d" % PORT
SECRET = "http://%s:%s@127.0.0.1:%d" % (CANARY, CANARY, PORT)
TAIL = "?key=%s#%s" % (CANARY, CANARY)
HEADERS = {"Authorization": "Bearer " + CANARY}
BODY = json.dumps({"prompt": CANARY})


def use_urllib():
    """urllib takes no user names."""
    urllib.request.urlopen(urllib.request.Request(BASE + "/v1/urllib" + TAIL, BODY.encode(), HEADERS))


def use_urllib_text():
    urllib.request.urlopen(BASE + "/v1/text" + TAIL)


def use_http_client():
    connection = http.client.HTTPConnection("127.0.0.1", PORT)
    connection.request("PUT", "/v1/plain" + TAIL, BODY, HEADERS)
    connection.getresponse()


def use_requests():
    import requests
    requests.post(SECRET + "/v1/requests" + TAIL, data=BODY, headers=HEADERS)


def use_urllib3():
    import urllib3
    urllib3.HTTPConnectionPool("127.0.0.1", PORT, retries=False).request(
        "POST", "/v1/urllib3" + TAIL, body=BODY, headers=HEADERS)


def use_httpx():
    import httpx
    httpx.Client(base_url=SECRET + "/base").post("/httpx" + TAIL, content=BODY, headers=HEADERS, timeout=None)


def use_redis():
    import redis
    redis.Redis("127.0.0.1", PORT).execute_command("GET", CANARY)


async def task_httpx():
    import httpx
    async with httpx.AsyncClient() as client:
        await client.post(SECRET + "/v1/async" + TAIL, content=BODY, headers=HEADERS, timeout=None)


async def task_aiohttp():
    import aiohttp
    async with aiohttp.ClientSession() as client:
        # a user's name and this header at once it refuses
        headers = {"X-Api-Key": CANARY}
        async with client.post(SECRET + "/v1/aiohttp" + TAIL, data=BODY, headers=headers, timeout=None):
            pass


async def task_redis():
    import redis.asyncio
    await redis.asyncio.Redis(host="127.0.0.1", port=PORT).execute_command("BLPOP", CANARY, 0)


THREADS = {
    "urllib": (use_urllib, "POST", BASE + "/v1/urllib"),
    "urllib of a text": (use_urllib_text, "GET", BASE + "/v1/text"),
    # what it asked for is no longer there when it waits
    "http.client": (use_http_client, "PUT", BASE),
    "requests": (use_requests, "POST", BASE + "/v1/requests"),
    "urllib3": (use_urllib3, "POST", BASE + "/v1/urllib3"),
    "httpx": (use_httpx, "POST", BASE + "/base/httpx"),
    "redis": (use_redis, "GET", "redis:"),
}
TASKS = {
    "async httpx": (task_httpx, "POST", BASE + "/v1/async"),
    "aiohttp": (task_aiohttp, "POST", BASE + "/v1/aiohttp"),
    "async redis": (task_redis, "BLPOP", "redis:"),
}
NEEDS = {"requests": "requests", "urllib3": "urllib3", "httpx": "httpx", "redis": "redis", "async httpx": "httpx",
         "aiohttp": "aiohttp", "async redis": "redis.asyncio"}


def there(client):
    """Imported here, one after the other: threads that import at once wait for each other."""
    try:
        return not NEEDS.get(client) or bool(__import__(NEEDS[client]))
    except ImportError:
        return False


async def run_tasks(tasks, ready):
    for client, (work, _, _) in TASKS.items():
        if there(client):
            tasks[client] = asyncio.ensure_future(work())
    ready.append(threading.get_native_id())
    await asyncio.sleep(3600)


def connected(count):
    """Do so many connections wait for the server's reply, with all that was sent arrived there or in its queue?"""
    with open("/proc/self/net/tcp") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    mine = {os.readlink("/proc/self/fd/" + fd) for fd in os.listdir("/proc/self/fd")
            if os.path.exists("/proc/self/fd/" + fd)}
    return sum(r[2].endswith(":%04X" % PORT) and "socket:[%s]" % r[9] in mine for r in rows) >= count


def settled(tids):
    """Nobody ran between two looks."""
    def switches(tid):
        with open("/proc/self/task/%d/status" % tid) as f:
            return [line for line in f if "ctxt_switches" in line]

    last = None
    while True:
        now = [switches(tid) for tid in tids]
        if now == last:
            return
        last = now
        time.sleep(0.2)


def main():
    present = {client: work for client, work in THREADS.items() if there(client)}
    threads = {client: threading.Thread(target=work[0], daemon=True) for client, work in present.items()}
    tasks, loop_tid = {}, []
    for thread in threads.values():
        thread.start()
    threading.Thread(target=asyncio.run, args=(run_tasks(tasks, loop_tid),), daemon=True).start()
    while not loop_tid or not connected(len(threads) + len(tasks)):
        if not all(t.is_alive() for t in threads.values()) or any(t.done() for t in list(tasks.values())):
            sys.exit("a client gave up")
        time.sleep(0.05)
    settled([t.native_id for t in threads.values()] + loop_tid)
    asks = {client: {"tid": t.native_id, "task": "0"} for client, t in threads.items()}
    asks.update({client: {"tid": loop_tid[0], "task": str(id(t))} for client, t in tasks.items()})
    for client, ask in asks.items():
        _, ask["method"], ask["url"] = {**THREADS, **TASKS}[client]
    print(json.dumps({"event": "ready", "asks": asks}), flush=True)
    time.sleep(3600)


main()
