# SPDX-License-Identifier: BSD-2-Clause
"""What the workloads talk to LLM and stores with: an LLM SDK's way of asking (retries, Retry-After) by httpx, requests
or http.client, Redis and PostgreSQL; each call timed in the turn it is made for. Sync and async alike. What a client
itself does before its first byte and after its last is in its time: with http.client that is the least.
"""
import asyncio
import http.client
import json
import os
import ssl
import threading
import time
import urllib.parse

import wire
from truth import BROKEN, TIMEOUT, TOOLS

CHAT = "/v1/chat/completions"
BACKOFF_S = 0.1  # before the first retry when the server says nothing, then twice as long each time


def add_arguments(parser):
    parser.add_argument("--llm", required=True, metavar="URL")
    parser.add_argument("--ca", metavar="FILE", help="CA of the LLM server")
    parser.add_argument("--redis", metavar="HOST:PORT")
    parser.add_argument("--postgres", metavar="HOST:PORT")
    parser.add_argument("--storage", help="taken and not needed: a store is used when its address is given")
    parser.add_argument("--plan", default="", help="for the LLM server")


def failed(exc):
    """What a client's exception means, in place of a status."""
    return TIMEOUT if "timeout" in type(exc).__name__.lower() else BROKEN


def retryable(status):
    return status in (BROKEN, TIMEOUT, 408, 429) or status >= 500


def wait_s(headers, attempt):
    return float(headers.get("retry-after", BACKOFF_S * 2 ** attempt))


class Ask:
    """One logical call: what each attempt of it sends."""

    def __init__(self, turn, messages, plan="", tools=False, sdk=True, model="stand-in-1", again=False):
        self.turn, self.plan, self.sdk, self.again = turn, plan, sdk, again
        self.body = {"model": model, "messages": messages, **({"tools": TOOLS} if tools else {})}

    def headers(self, attempt):
        more = {"x-stainless-retry-count": str(attempt), "x-stainless-read-timeout": "600"} if self.sdk else {}
        return {"authorization": "Bearer none", "x-request-id": self.turn.attempt(self.again or attempt > 0),
                "x-llm-plan": self.plan, "x-llm-key": f"{os.getpid()}-{self.turn.session}-{self.turn.index}", **more}


class HttpxPost:
    def __init__(self, url, ca, timeout):
        import httpx
        self.client = httpx.Client(base_url=url, verify=ssl.create_default_context(cafile=ca) if ca else True,
                                   timeout=timeout, limits=httpx.Limits(max_keepalive_connections=100))

    def __call__(self, path, headers, body):
        r = self.client.post(path, headers=headers, json=body)
        return r.status_code, r.headers, r


class RequestsPost:
    def __init__(self, url, ca, timeout):
        import requests
        self.session, self.url, self.ca, self.timeout = requests.Session(), url, ca, timeout

    def __call__(self, path, headers, body):
        r = self.session.post(self.url + path, headers=headers, json=body, verify=self.ca, timeout=self.timeout)
        return r.status_code, r.headers, r


class PlainPost:
    """One connection a thread, kept."""

    def __init__(self, url, ca, timeout):
        where = urllib.parse.urlsplit(url)
        kw = {"context": ssl.create_default_context(cafile=ca)} if ca else {}
        if timeout:
            kw["timeout"] = timeout
        kind = http.client.HTTPSConnection if ca else http.client.HTTPConnection
        self.local, self.new = threading.local(), lambda: kind(where.hostname, where.port, **kw)

    def __call__(self, path, headers, body):
        if not hasattr(self.local, "connection"):
            self.local.connection = self.new()
        connection = self.local.connection
        try:
            connection.request("POST", path, json.dumps(body), {**headers, "content-type": "application/json"})
            r = connection.getresponse()
            return r.status, r.headers, PlainBody(r.read())
        except Exception:
            connection.close()  # the next request opens it again
            raise


class PlainBody:
    def __init__(self, data):
        self.data = data

    def json(self):
        return json.loads(self.data)


CLIENTS = {"httpx": HttpxPost, "requests": RequestsPost, "http.client": PlainPost}


class Llm:
    def __init__(self, url, ca=None, client="http.client", retries=2, timeout=None):
        self.retries = retries
        self.post = CLIENTS[client](url, ca, timeout)
        wire.watch()

    def once(self, ask, attempt=0):
        """One attempt: (message or None, status, headers)."""
        headers = ask.headers(attempt)
        with ask.turn.span("llm"):
            try:
                status, reply, response = self.post(CHAT, headers, ask.body)
            except Exception as exc:  # every client has its own
                status, reply, response = failed(exc), {}, None
        return ask.turn.answered(status, response.json() if status == 200 else None), status, reply

    def chat(self, turn, messages, **how):
        """The message, after so many retries; None when they are used up."""
        ask = Ask(turn, messages, **how)
        for attempt in range(self.retries + 1):
            message, status, headers = self.once(ask, attempt)
            if message or not retryable(status) or attempt == self.retries:
                return message
            with turn.span("sleep"):
                time.sleep(wait_s(headers, attempt))
        return None


class AsyncLlm:
    def __init__(self, url, ca=None, retries=2, timeout=None):
        import httpx
        self.retries = retries
        self.client = httpx.AsyncClient(base_url=url, timeout=timeout,
                                        verify=ssl.create_default_context(cafile=ca) if ca else True,
                                        limits=httpx.Limits(max_connections=200, max_keepalive_connections=100))

    async def once(self, ask, attempt):
        headers = ask.headers(attempt)
        with ask.turn.span("llm"):
            try:
                r = await self.client.post(CHAT, headers=headers, json=ask.body)
                status, reply = r.status_code, r.headers
            except Exception as exc:  # as above
                status, reply = failed(exc), {}
        return ask.turn.answered(status, r.json() if status == 200 else None), status, reply

    async def chat(self, turn, messages, **how):
        ask = Ask(turn, messages, **how)
        for attempt in range(self.retries + 1):
            message, status, headers = await self.once(ask, attempt)
            if message or not retryable(status) or attempt == self.retries:
                return message
            with turn.span("sleep"):
                await asyncio.sleep(wait_s(headers, attempt))
        return None

    async def close(self):
        await self.client.aclose()


def split(address):
    host, _, port = address.rpartition(":")
    return {"host": host, "port": int(port)}


class Memory:
    """A conversation's memory in Redis and, if there is one, PostgreSQL. One Redis client for all threads, a database
    connection for each."""

    def __init__(self, args):
        self.args, self.local, self.redis = args, threading.local(), None
        if args.redis:
            import redis
            self.redis = redis.Redis(**split(args.redis))
            self.redis.ping()
        if args.postgres:
            import psycopg2  # noqa: F401 - not in the first turn

    def open(self):
        """This thread's database connection, before its first turn."""
        if self.args.postgres and not hasattr(self.local, "connection"):
            import psycopg2
            self.local.connection = psycopg2.connect(**split(self.args.postgres), user="bench", dbname="postgres")
            self.local.connection.autocommit = True
        return self

    def query(self, turn, sql, values):
        with turn.span("postgres"):  # connecting is part of the first one
            with self.open().local.connection.cursor() as cursor:
                cursor.execute(sql, values)
                return cursor.fetchall() if cursor.description else None

    def recall(self, turn, key):
        if self.redis:
            with turn.span("redis"):
                self.redis.lrange(f"memory:{key}", -20, -1)
            with turn.span("redis"):
                self.redis.get(f"memory:{key}:last")
        if self.args.postgres:
            self.query(turn, "SELECT turn, body FROM memory WHERE session = %s ORDER BY turn DESC LIMIT 5",
                       (str(key),))

    def remember(self, turn, key, text):
        if self.redis:
            with turn.span("redis"):
                self.redis.rpush(f"memory:{key}", text)
        if self.args.postgres:
            self.query(turn, "INSERT INTO memory (session, turn, body) VALUES (%s, %s, %s)",
                       (str(key), turn.index, text))


class AsyncMemory:
    """The same in Redis alone, for tasks of one event loop."""

    def __init__(self, args):
        import redis.asyncio
        self.redis = redis.asyncio.Redis(**split(args.redis))

    async def open(self):
        await self.redis.ping()
        return self

    async def recall(self, turn, key):
        with turn.span("redis"):
            await self.redis.lrange(f"memory:{key}", -20, -1)
        with turn.span("redis"):
            await self.redis.get(f"memory:{key}:last")

    async def remember(self, turn, key, text):
        with turn.span("redis"):
            await self.redis.rpush(f"memory:{key}", text)

    async def close(self):
        await self.redis.close()
