# SPDX-License-Identifier: BSD-2-Clause
"""Hangs in asyncio loops and connection pools. The server they talk to is one of hang_server.py: its port is the first
argument where one is needed."""
import asyncio
import queue
import threading
import time

from hang import alive, hanging, main


async def ask(port, sent):
    """A request whose reply is read as it comes; sent is set when it is out."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    await writer.drain()
    sent.set()
    return await reader.readline()


async def blocked_by(healthy, port, block):
    """Asks, and while the reply is under way a coroutine blocks the loop."""
    while True:
        sent = asyncio.Event()
        task = asyncio.ensure_future(ask(port, sent))
        await sent.wait()  # the reply comes a second later
        block()
        await task
        alive()


def blocked_sleep(healthy, rest):
    def block():
        if not healthy:
            hanging("blocked_sleep")
        time.sleep(0.05 if healthy else 3600)

    asyncio.run(blocked_by(healthy, int(rest[0]), block))


def blocked_lock(healthy, rest):
    q = queue.Queue()

    def block():
        if healthy:
            q.put(1)
        else:
            hanging("blocked_lock")
        q.get()

    asyncio.run(blocked_by(healthy, int(rest[0]), block))


def blocked_computing(healthy, rest):
    def block():
        if not healthy:
            hanging("blocked_computing")
        until = time.monotonic() + (0.05 if healthy else 3600)
        while time.monotonic() < until:
            pass

    asyncio.run(blocked_by(healthy, int(rest[0]), block))


async def never(healthy):
    while True:
        future = asyncio.get_running_loop().create_future()
        if healthy:
            asyncio.get_running_loop().call_later(0.2, future.set_result, 1)
        await future
        alive()


def idle_future(healthy, _):
    """Three conversations, each awaits what never comes."""

    async def reply(i):
        await never(healthy)

    async def everything():
        tasks = [asyncio.ensure_future(reply(i)) for i in range(3)]
        await asyncio.sleep(0)
        if not healthy:
            hanging("idle_future")
        await asyncio.gather(*tasks)

    asyncio.run(everything())


def idle_queue(healthy, _):
    """Consumers of a queue whose producer has ended."""

    async def consumer(q):
        while True:
            await q.get()
            alive()

    async def producer(q):
        while healthy:
            await q.put(1)
            await asyncio.sleep(0.2)

    async def everything():
        q = asyncio.Queue()
        consumers = [asyncio.ensure_future(consumer(q)) for _ in range(2)]
        await producer(q)
        hanging("idle_queue")
        await asyncio.gather(*consumers)

    asyncio.run(everything())


def async_sleep(healthy, rest):
    """Every task sleeps."""
    length = float(rest[0]) if rest else 3600

    async def one():
        while True:
            await asyncio.sleep(0.2 if healthy else length)
            alive()

    async def everything():
        tasks = [asyncio.ensure_future(one()) for _ in range(3)]
        await asyncio.sleep(0)
        if not healthy:
            hanging("async_sleep", wakes=time.monotonic() + length)
        await asyncio.gather(*tasks)

    asyncio.run(everything())


def pool_async(healthy, rest):
    """httpx with two connections: two replies are never closed, the third request waits for a connection."""
    import httpx

    async def everything():
        url = f"http://127.0.0.1:{rest[0]}/v1/models"
        limits = httpx.Limits(max_connections=2)
        async with httpx.AsyncClient(timeout=None, limits=limits) as client:
            while healthy:
                await client.get(url)
                alive()
                await asyncio.sleep(0.1)
            kept = [await client.send(client.build_request("GET", url), stream=True) for _ in range(2)]
            hanging("pool_async", kept=len(kept))
            await client.get(url)

    asyncio.run(everything())


def pool_sync(healthy, rest):
    import httpx

    url = f"http://127.0.0.1:{rest[0]}/v1/models"
    with httpx.Client(timeout=None, limits=httpx.Limits(max_connections=1)) as client:
        while healthy:
            client.get(url)
            alive()
            time.sleep(0.1)
        kept = client.send(client.build_request("GET", url), stream=True)
        hanging("pool_sync", kept=kept.status_code)
        client.get(url)


def pool_threads(healthy, rest):
    """requests with one blocking connection and two threads: the first never reads its reply to the end."""
    import requests
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=1, pool_block=True))
    url = f"http://127.0.0.1:{rest[0]}/v1/models"
    if healthy:
        while True:
            session.get(url)
            alive()
            time.sleep(0.1)
    kept = session.get(url, stream=True)

    def ask():
        session.get(url)

    t = threading.Thread(target=ask, daemon=True)
    hanging("pool_threads", kept=kept.status_code)
    t.start()
    t.join()


if __name__ == "__main__":
    main({"blocked_sleep": blocked_sleep, "blocked_lock": blocked_lock, "blocked_computing": blocked_computing,
          "idle_future": idle_future, "idle_queue": idle_queue, "async_sleep": async_sleep, "pool_async": pool_async,
          "pool_sync": pool_sync, "pool_threads": pool_threads})
