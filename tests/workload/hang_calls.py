# SPDX-License-Identifier: BSD-2-Clause
"""Hangs in calls to LLMs and stores: sync, threads and asyncio, with several client libraries. The first argument is
the port of the server (hang_server.py, or a real store), the second how many at once, where there can be many."""
import asyncio
import http.client
import json
import socket
import sys
import threading
import time
import urllib.request

from hang import alive, hanging, main, say

PATH = "/v1/chat/completions"
BODY = {"model": "stand-in", "messages": [{"role": "user", "content": "hello"}]}


def url(port):
    return f"http://127.0.0.1:{port}{PATH}"


def goes_on(case, healthy, ask):
    """Hangs in the first ask, or asks for ever."""
    if not healthy:
        hanging(case)
    while True:
        ask()
        alive()
        time.sleep(0.05)


def with_http_client(healthy, rest):
    def ask():
        c = http.client.HTTPConnection("127.0.0.1", int(rest[0]))
        c.request("POST", PATH, json.dumps(BODY), {"Content-Type": "application/json"})
        c.getresponse().read()

    goes_on("http_client", healthy, ask)


def with_urllib(healthy, rest):
    def ask():
        r = urllib.request.Request(url(rest[0]), json.dumps(BODY).encode(), {"Content-Type": "application/json"})
        urllib.request.urlopen(r).read()

    goes_on("urllib", healthy, ask)


def with_requests(healthy, rest):
    import requests

    session = requests.Session()
    goes_on("requests", healthy, lambda: session.post(url(rest[0]), json=BODY))


def with_requests_timeout(healthy, rest):
    """A time limit of ten minutes is armed."""
    import requests

    session = requests.Session()
    if not healthy:
        hanging("requests_timeout", wakes=time.monotonic() + 600)
    while True:
        session.post(url(rest[0]), json=BODY, timeout=600)
        alive()
        time.sleep(0.05)


def with_httpx(healthy, rest):
    import httpx

    client = httpx.Client(timeout=None)
    goes_on("httpx", healthy, lambda: client.post(url(rest[0]), json=BODY))


def with_httpx_stream(healthy, rest):
    """A streamed reply; what comes is read at once."""
    import httpx

    with httpx.Client(timeout=None) as client:
        with client.stream("POST", url(rest[0]), json=dict(BODY, stream=True)) as reply:
            said = False
            for text in reply.iter_text():
                if healthy:
                    alive()
                elif not said and "two" in text:
                    hanging("httpx_stream")
                    said = True


def with_threads(healthy, rest):
    import httpx

    client = httpx.Client(timeout=None)

    def ask():
        while True:
            client.post(url(rest[0]), json=BODY)
            alive()
            time.sleep(0.05)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(int(rest[1]) if len(rest) > 1 else 8)]
    if not healthy:
        hanging("threads")
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def with_asyncio(healthy, rest):
    import httpx

    async def everything():
        async with httpx.AsyncClient(timeout=None) as client:
            async def ask_llm():
                while True:
                    await client.post(url(rest[0]), json=BODY)
                    alive()
                    await asyncio.sleep(0.05)

            if not healthy:
                hanging("asyncio")
            await asyncio.gather(*[ask_llm() for _ in range(int(rest[1]) if len(rest) > 1 else 5)])

    asyncio.run(everything())


def with_aiohttp(healthy, rest):
    import aiohttp

    async def everything():
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as client:
            if not healthy:
                hanging("aiohttp")
            while True:
                async with client.post(url(rest[0]), json=BODY) as reply:
                    await reply.read()
                alive()
                await asyncio.sleep(0.05)

    asyncio.run(everything())


def unread(healthy, rest):
    """Sends a request and never looks at the connection again; the server closes it."""
    s = socket.create_connection(("127.0.0.1", int(rest[0])))
    s.sendall(b"POST %s HTTP/1.1\r\nHost: llm.test\r\nContent-Length: 2\r\n\r\n{}" % PATH.encode())
    hanging("unread")
    threading.Event().wait()
    s.close()


def pinger(port, path):
    """A health check each second: sign of life of nothing."""
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}").read()
        except OSError:
            pass
        time.sleep(1)


def beside_health_checks(healthy, rest):
    """Hangs while a thread checks the health of another server."""
    threading.Thread(target=pinger, args=(rest[1], "/health"), daemon=True).start()
    with_http_client(healthy, rest)


def redis_sync(healthy, rest):
    """Somebody has paused all clients."""
    import redis

    r = redis.Redis(port=int(rest[0]))
    r.set("k", "v")
    if not healthy:
        r.client_pause(3600 * 1000)
    goes_on("redis", healthy, lambda: r.get("k"))


def redis_asyncio(healthy, rest):
    import redis.asyncio as redis

    async def everything():
        r = redis.Redis(port=int(rest[0]))
        if not healthy:
            hanging("redis_asyncio")
        while True:
            await r.get("k")
            alive()
            await asyncio.sleep(0.05)

    asyncio.run(everything())


def redis_queue(healthy, rest):
    """A worker that waits for its queue: meant to wait."""
    import redis

    r = redis.Redis(port=int(rest[0]))
    r.ping()
    hanging("redis_queue")
    r.blpop("nothing", 0)


def postgres_lock(healthy, rest):
    """Waits for a row that another session has locked. rest: the connection string."""
    import psycopg2

    first, second = psycopg2.connect(rest[0]), psycopg2.connect(rest[0])
    c = first.cursor()
    c.execute("CREATE TABLE IF NOT EXISTS hang (i int)")
    c.execute("INSERT INTO hang VALUES (1)")
    first.commit()
    if not healthy:
        c.execute("LOCK TABLE hang IN ACCESS EXCLUSIVE MODE")
    d = second.cursor()
    goes_on("postgres_lock", healthy, lambda: (d.execute("SELECT count(*) FROM hang"), d.fetchone()))


def retries(healthy, rest):
    """Tries again after each failure, as long as the reply asks for; healthy: a failure now and then. The second
    argument, when it does not hang: the port that answers; else anything makes it wait for a line first."""
    import httpx

    client = httpx.Client(timeout=None)
    rounds = 0
    if not healthy:
        hanging("retries")
        if len(rest) > 1:
            sys.stdin.readline()
    while True:
        rounds += 1
        reply = client.post(url(rest[0 if not healthy or rounds % 5 == 0 else 1]), json=BODY)
        if reply.status_code == 200:
            alive()
            time.sleep(0.1)
            continue
        wait = 0.2 if healthy else float(reply.headers.get("retry-after", 0.5))
        if rounds == 1:
            say("sleeping", wakes=time.monotonic() + wait)
        time.sleep(wait)


def answered(healthy, rest):
    """Asks once, then sleeps: the reply is through. The second argument: sync or asyncio."""
    import httpx

    async def ask_and_sleep():
        async with httpx.AsyncClient(timeout=None) as client:
            hanging("answered")
            await client.post(url(rest[0]), json=BODY)
            say("sleeping", wakes=time.monotonic() + 3600)
            await asyncio.sleep(3600)

    if rest[1] == "asyncio":
        asyncio.run(ask_and_sleep())
        return
    client = httpx.Client(timeout=None)
    hanging("answered")
    client.post(url(rest[0]), json=BODY)
    say("sleeping", wakes=time.monotonic() + 3600)
    time.sleep(3600)


def circle(healthy, rest):
    """An agent that asks and asks: calls succeed, nothing is written."""
    import httpx

    client = httpx.Client(timeout=None)
    messages = [{"role": "user", "content": "hello"}]
    if not healthy:
        hanging("circle")
    while True:
        client.post(url(rest[0]), json=dict(BODY, messages=messages))
        messages = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "tool"},
                    {"role": "tool", "content": "again"}]
        if healthy:
            messages = messages[:1]
            alive()
        time.sleep(0.1)


def urllib_at(healthy, rest):
    """rest: address, port."""

    def ask():
        r = urllib.request.Request(f"http://{rest[0]}:{rest[1]}{PATH}", json.dumps(BODY).encode(),
                                   {"Content-Type": "application/json"})
        urllib.request.urlopen(r).read()

    goes_on("urllib_at", healthy, ask)


def second_request(healthy, rest):
    """Asks twice on one connection, the second time when told to. rest: address, port."""
    import requests

    place = f"http://{rest[0]}:{rest[1]}{PATH}"
    session = requests.Session()
    session.post(place, json=BODY)
    hanging("second_request")
    sys.stdin.readline()
    say("sending", since=time.monotonic())
    session.post(place, json=BODY)


def connecting(healthy, rest):
    """Connects to an address that does not answer. rest: address, port."""
    if not healthy:
        hanging("connecting")
    while True:
        try:
            socket.create_connection((rest[0], int(rest[1])))
        except OSError:
            raise
        alive()
        time.sleep(0.1)


def resolving(healthy, rest):
    """Asks for a name of a name server that does not answer."""
    if not healthy:
        hanging("resolving")
    while True:
        try:
            socket.getaddrinfo(rest[0], 443)
        except socket.gaierror:
            pass
        if healthy:
            alive()
            time.sleep(0.1)


if __name__ == "__main__":
    main({"http_client": with_http_client, "urllib": with_urllib, "requests": with_requests,
          "requests_timeout": with_requests_timeout, "httpx": with_httpx, "httpx_stream": with_httpx_stream,
          "threads": with_threads, "asyncio": with_asyncio, "aiohttp": with_aiohttp, "unread": unread,
          "beside_health_checks": beside_health_checks, "redis": redis_sync, "redis_asyncio": redis_asyncio,
          "redis_queue": redis_queue, "postgres_lock": postgres_lock, "retries": retries, "circle": circle, "answered": answered,
          "urllib_at": urllib_at, "second_request": second_request, "connecting": connecting, "resolving": resolving})
