#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""An LLM benchmark runner that knows nothing of any observer and tells its own truth.

A turn reads from Redis and PostgreSQL, calls the LLM (and its tools) with the growing history, and writes to both. The
truth comes as JSON lines on stdout (or --truth FILE): {"event":"ready","pid"}, {"event":"gate","name"} when it waits
for a line on stdin (or for --gate-file NAME to exist), {"event":"turn", session, turn, t_start, t_end (CLOCK_MONOTONIC
ns), llm_ms, storage_ms, ...}, {"event":"end"}.

Gates, --gate A,B,...: start (before anything, but after warming up with --warm), turn:N (before turn N of the first
session), hang (right before what hangs), end (before leaving, connections open).
"""
import argparse
import asyncio
import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

import canary
import wire
from truth import NS_MS, union_ms


# ---------------------------------------------------------------- truth

class Truth:
    """One write a line: processes of one run share the descriptor."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) if path else 1

    def say(self, **line):
        os.write(self.fd, (json.dumps(line) + "\n").encode())


class Gates:
    def __init__(self, args, truth):
        self.names = set(filter(None, args.gate.split(",")))
        self.file, self.truth, self.lock = args.gate_file, truth, threading.Lock()

    def wait(self, name):
        if name not in self.names:
            return
        with self.lock:
            self.truth.say(event="gate", name=name, pid=os.getpid())
            if not self.file:
                os.read(0, 1)  # one byte opens one gate
                return
            while not os.path.exists(self.file):
                time.sleep(0.01)
            os.unlink(self.file)


# ---------------------------------------------------------------- LLM APIs, as their SDKs send and read them

class Answer:
    def __init__(self, text="", tool=None, tokens=(None, None, None)):
        self.text, self.tool = text, tool  # tool: (id, name, arguments)
        self.tokens_in, self.tokens_out, self.tokens_cached = tokens


def events_of(body):
    """The data of each server-sent event, parsed; [DONE] left out."""
    for block in body.replace(b"\r\n", b"\n").split(b"\n\n"):
        data = b"\n".join(line[5:].lstrip() for line in block.split(b"\n") if line.startswith(b"data:"))
        if data and data != b"[DONE]":
            yield json.loads(data)


class StreamError(Exception):
    """An error in a stream whose status said 200."""


class OpenAI:
    def __init__(self, args):
        self.args, self.stream = args, args.api.endswith("-stream")

    def url(self, model):
        return "/v1/chat/completions"

    def headers(self, key):
        return {"authorization": f"Bearer {key}", "x-stainless-retry-count": "0", "x-stainless-read-timeout": "600"}

    def body(self, model, history):
        body = {"model": model, "messages": [self.message(m) for m in history]}
        if self.args.tools:
            body["tools"] = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
        if self.stream:
            body["stream"] = True
            if self.args.usage:
                body["stream_options"] = {"include_usage": True}
        return body

    def message(self, m):
        if m["role"] == "tool":
            return {"role": "tool", "tool_call_id": m["tool"][0], "content": m["text"]}
        if m.get("tool"):
            ident, name, arguments = m["tool"]
            return {"role": "assistant", "content": None, "tool_calls": [
                {"id": ident, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}]}
        return {"role": m["role"], "content": m["text"]}

    def tokens(self, usage):
        if not usage:
            return None, None, None
        return (usage["prompt_tokens"], usage["completion_tokens"], usage["prompt_tokens_details"]["cached_tokens"])

    def read(self, body):
        if not self.stream:
            doc = json.loads(body)
            message = doc["choices"][0]["message"]
            calls = [(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"]))
                     for c in message.get("tool_calls", ())]
            return Answer(message["content"] or "", calls[0] if calls else None, self.tokens(doc["usage"]))
        text, call, usage = "", None, None
        for e in events_of(body):
            if "error" in e:
                raise StreamError
            usage = e.get("usage") or usage
            for choice in e["choices"]:
                text += choice["delta"].get("content") or ""
                for c in choice["delta"].get("tool_calls", ()):
                    call = call or [c.get("id"), c["function"].get("name"), ""]
                    call[2] += c["function"]["arguments"]
        return Answer(text, call and (call[0], call[1], json.loads(call[2])), self.tokens(usage))


class Responses(OpenAI):
    def url(self, model):
        return "/v1/responses"

    def body(self, model, history):
        body = {"model": model, "input": [self.message(m) for m in history]}
        if self.args.tools:
            body["tools"] = [{"type": "function", "name": "look_up", "parameters": {"type": "object"}}]
        if self.stream:
            body["stream"] = True
        return body

    def message(self, m):
        if m["role"] == "tool":
            return {"type": "function_call_output", "call_id": m["tool"][0], "output": m["text"]}
        if m.get("tool"):
            ident, name, arguments = m["tool"]
            return {"type": "function_call", "call_id": ident, "name": name, "arguments": json.dumps(arguments)}
        return {"role": m["role"], "content": m["text"]}

    def tokens(self, usage):
        return usage["input_tokens"], usage["output_tokens"], usage["input_tokens_details"]["cached_tokens"]

    def read(self, body):
        doc = None if self.stream else json.loads(body)
        for e in events_of(body) if self.stream else ():
            if e["type"] == "error":
                raise StreamError
            if e["type"] == "response.completed":
                doc = e["response"]
        if doc is None:
            raise StreamError
        text = "".join(p["text"] for o in doc["output"] if o["type"] == "message" for p in o["content"])
        call = next(((o["call_id"], o["name"], json.loads(o["arguments"]))
                     for o in doc["output"] if o["type"] == "function_call"), None)
        return Answer(text, call, self.tokens(doc["usage"]))


class Anthropic(OpenAI):
    def url(self, model):
        return "/v1/messages"

    def headers(self, key):
        return {"x-api-key": key, "anthropic-version": "2023-06-01", "x-stainless-retry-count": "0"}

    def body(self, model, history):
        body = {"model": model, "max_tokens": 1024, "messages": [self.message(m) for m in history]}
        if self.args.tools:
            body["tools"] = [{"name": "look_up", "input_schema": {"type": "object"}}]
        if self.stream:
            body["stream"] = True
        return body

    def message(self, m):
        if m["role"] == "tool":
            return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": m["tool"][0],
                                                 "content": m["text"]}]}
        if m.get("tool"):
            ident, name, arguments = m["tool"]
            return {"role": "assistant", "content": [{"type": "tool_use", "id": ident, "name": name,
                                                      "input": arguments}]}
        return {"role": m["role"], "content": m["text"]}

    def tokens(self, usage):
        cached = usage["cache_read_input_tokens"]
        return usage["input_tokens"] + usage["cache_creation_input_tokens"] + cached, usage["output_tokens"], cached

    def read(self, body):
        if not self.stream:
            doc = json.loads(body)
            block = doc["content"][0]
            call = (block["id"], block["name"], block["input"]) if block["type"] == "tool_use" else None
            return Answer(block.get("text", ""), call, self.tokens(doc["usage"]))
        text, call, arguments, usage = "", None, "", {}
        for e in events_of(body):
            kind = e["type"]
            if kind == "error":
                raise StreamError
            if kind == "message_start":
                usage = e["message"]["usage"]
            elif kind == "content_block_start" and e["content_block"]["type"] == "tool_use":
                call = (e["content_block"]["id"], e["content_block"]["name"])
            elif kind == "content_block_delta":
                text += e["delta"].get("text", "")
                arguments += e["delta"].get("partial_json", "")
            elif kind == "message_delta":
                usage = {**usage, **e["usage"]}
        return Answer(text, call and (*call, json.loads(arguments)), self.tokens(usage))


class Gemini(OpenAI):
    def url(self, model):
        verb = "generateContent" if not self.stream else "streamGenerateContent"
        query = "" if not self.stream or self.args.api == "gemini-array-stream" else "?alt=sse"
        return f"/v1beta/models/{urllib.parse.quote(model, safe='@=,:')}:{verb}{query}"

    def headers(self, key):
        return {"x-goog-api-key": key, "x-goog-api-client": "google-genai-sdk/2.19.0"}

    def body(self, model, history):
        body = {"contents": [self.message(m) for m in history], "generationConfig": {"temperature": 0}}
        if self.args.tools:
            body["tools"] = [{"functionDeclarations": [{"name": "look_up"}]}]
        return body

    def message(self, m):
        if m["role"] == "tool":
            return {"role": "user", "parts": [{"functionResponse": {"name": m["tool"][1],
                                                                    "response": {"result": m["text"]}}}]}
        if m.get("tool"):
            return {"role": "model", "parts": [{"functionCall": {"name": m["tool"][1], "args": m["tool"][2]}}]}
        return {"role": {"assistant": "model"}.get(m["role"], m["role"]), "parts": [{"text": m["text"]}]}

    def tokens(self, usage):
        return (usage["promptTokenCount"], usage["candidatesTokenCount"] + usage["thoughtsTokenCount"],
                usage["cachedContentTokenCount"])

    def read(self, body):
        if not self.stream:
            docs = [json.loads(body)]
        else:
            docs = json.loads(body) if self.args.api == "gemini-array-stream" else list(events_of(body))
        text, call, usage = "", None, None
        for doc in docs:
            if "error" in doc:
                raise StreamError
            usage = doc.get("usageMetadata", usage)
            for part in doc["candidates"][0]["content"]["parts"]:
                text += part.get("text", "")
                if "functionCall" in part:
                    call = ("", part["functionCall"]["name"], part["functionCall"]["args"])
        return Answer(text, call, self.tokens(usage))


class Ollama(OpenAI):
    def url(self, model):
        return "/api/chat"

    def headers(self, key):
        return {"authorization": f"Bearer {key}"}

    def body(self, model, history):
        body = {"model": model, "messages": [self.message(m) for m in history]}
        if self.args.tools:
            body["tools"] = [{"type": "function", "function": {"name": "look_up"}}]
        if self.args.api == "ollama-json":
            body["stream"] = False
        return body

    def message(self, m):
        if m["role"] == "tool":
            return {"role": "tool", "tool_name": m["tool"][1], "content": m["text"]}
        if m.get("tool"):
            return {"role": "assistant", "content": "", "tool_calls": [
                {"function": {"name": m["tool"][1], "arguments": m["tool"][2]}}]}
        return {"role": m["role"], "content": m["text"]}

    def read(self, body):
        text, call, last = "", None, {}
        for last in map(json.loads, filter(None, body.split(b"\n"))):
            if "error" in last:
                raise StreamError
            text += last["message"]["content"]
            for c in last["message"].get("tool_calls", ()):
                call = ("", c["function"]["name"], c["function"]["arguments"])
        if not last.get("done"):
            raise StreamError
        return Answer(text, call, (last["prompt_eval_count"], last["eval_count"], None))


APIS = {"openai": OpenAI, "openai-stream": OpenAI, "responses": Responses, "responses-stream": Responses,
        "anthropic": Anthropic, "anthropic-stream": Anthropic, "gemini": Gemini, "gemini-stream": Gemini,
        "gemini-array-stream": Gemini, "ollama": Ollama, "ollama-json": Ollama}


# ---------------------------------------------------------------- HTTP clients
# Each: post(url, headers, body) -> (status, headers, bytes of the whole decoded body), and get(url).

class SyncHttpx:
    def __init__(self, args, context):
        import httpx
        limits = httpx.Limits(max_keepalive_connections=100 if args.keepalive else 0)
        self.client = httpx.Client(verify=context or True, timeout=args.timeout, limits=limits)

    def get(self, url):
        self.client.get(url)

    def post(self, url, headers, body):
        with self.client.stream("POST", url, headers=headers, json=body) as r:
            return r.status_code, r.headers, b"".join(r.iter_bytes())


class SyncRequests:
    def __init__(self, args, context):
        import requests
        self.keepalive, self.timeout, self.verify = args.keepalive, args.timeout, args.ca
        self.new = requests.Session
        self.session = self.new()

    def get(self, url):
        self.session.get(url, verify=self.verify)

    def post(self, url, headers, body):
        session = self.session if self.keepalive else self.new()
        try:
            with session.post(url, headers=headers, json=body, stream=True, verify=self.verify,
                              timeout=self.timeout) as r:
                return r.status_code, r.headers, b"".join(r.iter_content(None))
        finally:
            if session is not self.session:
                session.close()


class SyncUrllib:
    """Closes after every request, and knows no gzip: that is how urllib.request is."""

    def __init__(self, args, context):
        self.context, self.timeout = context, args.timeout

    def get(self, url):
        urllib.request.urlopen(url, context=self.context).read()

    def post(self, url, headers, body):
        request = urllib.request.Request(url, json.dumps(body).encode(),
                                         {**headers, "content-type": "application/json"})
        kw = {} if self.timeout is None else {"timeout": self.timeout}
        try:
            response = urllib.request.urlopen(request, context=self.context, **kw)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            out = b""
            while piece := response.read1(65536):
                out += piece
            return response.status, response.headers, out


class AsyncHttpx:
    def __init__(self, args, context):
        import httpx
        limits = httpx.Limits(max_keepalive_connections=100 if args.keepalive else 0)
        self.client = httpx.AsyncClient(verify=context or True, timeout=args.timeout, limits=limits)

    async def get(self, url):
        await self.client.get(url)

    async def post(self, url, headers, body):
        async with self.client.stream("POST", url, headers=headers, json=body) as r:
            return r.status_code, r.headers, b"".join([b async for b in r.aiter_bytes()])


class AsyncAiohttp:
    def __init__(self, args, context):
        import aiohttp
        connector = aiohttp.TCPConnector(ssl=context, limit=0, force_close=not args.keepalive)
        self.client = aiohttp.ClientSession(connector=connector,
                                            timeout=aiohttp.ClientTimeout(total=args.timeout))

    async def get(self, url):
        async with self.client.get(url) as r:
            await r.read()

    async def post(self, url, headers, body):
        async with self.client.post(url, headers=headers, json=body) as r:
            return r.status, r.headers, b"".join([b async for b in r.content.iter_any()])


SYNC = {"httpx": SyncHttpx, "requests": SyncRequests, "urllib": SyncUrllib}
ASYNC = {"httpx": AsyncHttpx, "aiohttp": AsyncAiohttp}


# ---------------------------------------------------------------- the turn, once for sync and async
# A turn is a generator of operations (kind, label, name, arguments); a driver carries them out and times them.

class Turn:
    def __init__(self, run, session, index, history):
        self.run, self.args, self.session, self.index, self.history = run, run.args, session, index, history
        self.spans = {"llm": [], "redis": [], "postgres": [], "sleep": []}
        self.wire = []  # of LLM calls, as wire.span() has them: sync clients only
        self.tokens = {"in": 0, "out": 0, "cached": 0}
        self.ids, self.llm_calls, self.retries, self.status, self.http = [], 0, 0, "ok", None
        self.hangs = session == 0 and index in run.hang_turns

    def steps(self):
        args, words = self.args, self.run.words
        key = f"mem:{words['redis_key']}:{self.session}"
        where = (words["sql_param"] + str(self.session),)
        if self.run.redis:
            if self.hangs and args.hang == "redis":
                yield "gate", "hang"
            yield "redis", "lrange", (key, -20, -1)
            yield "redis", "get", (key + ":last",)
        if self.run.postgres:
            if self.hangs and args.hang == "postgres":
                yield "gate", "hang"
            yield "postgres", (f"SELECT turn, body FROM memory WHERE session = %s /* {words['sql_text']} */ "
                               "ORDER BY turn DESC LIMIT 5"), where
        if args.think:
            yield "think", args.think / 1000
        prompt = f"session {self.session} turn {self.index} {words['prompt']} " + " ".join(
            f"q{self.session}x{i}" for i in range(5 + 7 * self.session + self.index % 3))
        self.history.append({"role": "user", "text": prompt})
        answer = yield from self.converse()
        self.history.append({"role": "assistant", "text": answer.text if answer else "none"})
        if args.history and len(self.history) > args.history:
            del self.history[:len(self.history) - args.history]
        if self.run.redis:
            yield "redis", "rpush", (key, f"{words['redis_value']} {self.index}")
        if self.run.postgres:
            yield "postgres", (f"INSERT INTO memory (session, turn, body) VALUES (%s, %s, "
                               f"'{words['sql_text']}' || %s)"), (*where, self.index, words["sql_param"])

    def converse(self):
        """Calls until the LLM wants no tool any more; the last answer, None on failure."""
        while True:
            answer = yield from self.call()
            if not answer or not answer.tool:
                return answer
            self.history.append({"role": "assistant", "text": "", "tool": answer.tool})
            if self.args.think:
                yield "think", self.args.think / 1000
            self.history.append({"role": "tool", "tool": answer.tool, "text": f"sunny {self.run.words['tool']}"})

    def call(self):
        """One call with an SDK's retries."""
        api, args = self.run.api, self.args
        headers = {**api.headers(self.run.key), "x-llm-plan": self.plan(),
                   "x-llm-key": f"{os.getpid()}-{self.session}-{self.index}"}
        body = api.body(args.model, self.history)
        for attempt in range(args.retries + 1):
            ident = str(uuid.uuid4())
            headers["x-request-id"] = ident
            if "x-stainless-retry-count" in headers:
                headers["x-stainless-retry-count"] = str(attempt)
            self.ids.append(ident)
            self.llm_calls += attempt == 0
            self.retries += attempt > 0
            status, reply_headers, data = yield "llm", api.url(args.model) + self.run.query(api.url(args.model)), (
                headers, body)
            self.http = status
            if status == 200:
                return self.read(data)
            self.status = {429: "rate_limited", 0: "aborted", -1: "timeout"}.get(status, "error")
            if attempt < args.retries and status in (429, 500):
                yield "sleep", float(reply_headers.get("retry-after", 0.2))
        return None

    def plan(self):
        parts = [self.args.plan] if self.args.plan else []
        if self.hangs and self.args.hang in ("llm", "stream", "pings"):
            parts.append("fault=" + {"llm": "hang", "stream": "hang-stream", "pings": "hang-pings"}[self.args.hang])
        if self.args.tools:
            parts.append(f"tools={self.args.tools}")
        if self.args.latency is not None:
            parts.append(f"latency={self.args.latency}")
        return ",".join(parts)

    def read(self, data):
        try:
            answer = self.run.api.read(data)
        except (StreamError, ValueError, KeyError, TypeError, IndexError):
            self.status = "error"
            self.tokens = dict.fromkeys(self.tokens)  # what such a reply said is not worth comparing
            return None
        self.status = "ok"
        for name, n in (("in", answer.tokens_in), ("out", answer.tokens_out), ("cached", answer.tokens_cached)):
            self.tokens[name] = None if n is None or self.tokens[name] is None else self.tokens[name] + n
        return answer

    def truth(self, start, end, wall):
        spans = self.spans
        storage = {k: {"ms": union_ms(spans[k]), "calls": len(spans[k])} for k in ("redis", "postgres") if spans[k]}
        seen = self.status == "ok"
        return {"event": "turn", "pid": os.getpid(), "tid": threading.get_native_id(), "session": self.session,
                "turn": self.index, "t_start": start, "t_end": end, "unix_start": wall,
                "wall_ms": (end - start) / NS_MS, "llm_ms": union_ms(spans["llm"]),
                "wire_ms": union_ms(self.wire) if self.wire else None,
                "llm_sum_ms": sum(b - a for a, b in spans["llm"]) / NS_MS,
                "storage_ms": union_ms(spans["redis"] + spans["postgres"]), "storage": storage,
                "backoff_ms": union_ms(spans["sleep"]), "llm_calls": self.llm_calls, "retries": self.retries,
                "storage_calls": sum(s["calls"] for s in storage.values()), "ids": self.ids,
                "tokens_in": self.tokens["in"] if seen else None, "tokens_out": self.tokens["out"] if seen else None,
                "tokens_cached": self.tokens["cached"] if seen else None, "status": self.status,
                "http_status": self.http}


class Run:
    def __init__(self, args):
        self.args, self.truth = args, Truth(args.truth)
        self.gates, self.api = Gates(args, self.truth), APIS[args.api](args)
        stores = args.storage.split(",") if args.storage else []
        self.redis, self.postgres = "redis" in stores, "postgres" in stores
        self.hang_turns = set(map(int, args.hang_turn.split(","))) if args.hang else set()
        self.words = canary.WORDS if args.canaries else {k: k.replace("_", "") for k in canary.WORDS}
        self.key = self.words["header_key"]
        self.stopped = False
        self.context = ssl.create_default_context(cafile=args.ca) if args.ca else None

    def query(self, url):
        """A key in the query, as Google's REST examples have it: nobody may print it."""
        if not self.args.canaries:
            return ""
        return ("&" if "?" in url else "?") + "key=" + self.words["query"]

    def stop(self, *_):
        self.stopped = True

    def turns(self):
        n = 0
        while not self.stopped and (n < self.args.turns or not self.args.turns):
            yield n
            n += 1

    def pg_target(self):
        host, _, port = self.args.postgres.rpartition(":")
        return {"host": host, "port": int(port), "user": "bench", "dbname": "postgres"}

    def redis_target(self):
        host, _, port = self.args.redis.rpartition(":")
        return {"host": host, "port": int(port)}


def failure(exc):
    """What a client's exception means: -1 timeout, 0 the connection broke."""
    return (-1 if "timeout" in type(exc).__name__.lower() or "timed out" in str(exc) else 0), {}, b""


# ---------------------------------------------------------------- drivers

class SyncWorker:
    """What one thread of a runner has: its own database connection; the HTTP client may be shared."""

    def __init__(self, run, http=None, redis_client=None):
        self.run, self.http = run, http or SYNC[run.args.client](run.args, run.context)
        self.redis = self.pg = None
        if run.redis:
            import redis
            self.redis = redis_client or redis.Redis(**run.redis_target())
            self.redis.ping()
        if run.postgres:
            import psycopg2
            self.pg = psycopg2.connect(**run.pg_target())
            self.pg.autocommit = True
        if run.args.warm:
            self.http.get(run.args.llm + "/health")

    def query(self, sql, values):
        with self.pg.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else None

    def llm(self, path, arguments):
        try:
            return self.http.post(self.run.args.llm + path, *arguments)
        except Exception as exc:  # every client has its own; the kind is in failure()
            return failure(exc)

    def do(self, kind, *op):
        if kind == "llm":
            return self.llm(*op)
        if kind == "redis":
            return getattr(self.redis, op[0])(*op[1])
        if kind == "postgres":
            return self.query(*op)
        if kind == "gate":
            return self.run.gates.wait(op[0])
        return time.sleep(op[0])

    def turn(self, turn):
        start, wall, steps, result = time.monotonic_ns(), time.time(), turn.steps(), None
        with contextlib.suppress(StopIteration):
            while True:
                op = steps.send(result)
                before = time.monotonic_ns()
                result = self.do(*op)
                if op[0] in turn.spans:
                    turn.spans[op[0]].append((before, time.monotonic_ns()))
                if op[0] == "llm" and (moved := wire.span(*turn.spans["llm"][-1])):
                    turn.wire.append(moved)
        self.run.truth.say(**turn.truth(start, time.monotonic_ns(), wall))

    def session(self, number):
        history = []
        for n in self.run.turns():
            if number == 0:
                self.run.gates.wait(f"turn:{n}")
            self.turn(Turn(self.run, number, n, history))
            if self.run.args.pause:
                time.sleep(self.run.args.pause / 1000)


class AsyncWorker:
    async def open(self, run):
        self.run, self.http, self.redis, self.pg = run, ASYNC[run.args.client](run.args, run.context), None, []
        if run.redis:
            import redis.asyncio
            self.redis = redis.asyncio.Redis(**run.redis_target())
            await self.redis.ping()
        if run.postgres:
            import psycopg2
            for _ in range(run.args.sessions):
                conn = await asyncio.to_thread(psycopg2.connect, **run.pg_target())
                conn.autocommit = True
                self.pg.append(conn)
        if run.args.warm:
            await self.http.get(run.args.llm + "/health")
        return self

    def query(self, session, sql, values):
        with self.pg[session].cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else None

    async def llm(self, path, arguments):
        try:
            return await self.http.post(self.run.args.llm + path, *arguments)
        except Exception as exc:  # every client has its own; the kind is in failure()
            return failure(exc)

    async def do(self, session, kind, *op):
        if kind == "llm":
            return await self.llm(*op)
        if kind == "redis":
            return await getattr(self.redis, op[0])(*op[1])
        if kind == "postgres":
            return await asyncio.to_thread(self.query, session, *op)
        if kind == "gate":
            return await asyncio.to_thread(self.run.gates.wait, op[0])
        return await asyncio.sleep(op[0])

    async def turn(self, turn):
        start, wall, steps, result = time.monotonic_ns(), time.time(), turn.steps(), None
        with contextlib.suppress(StopIteration):
            while True:
                op = steps.send(result)
                before = time.monotonic_ns()
                result = await self.do(turn.session, *op)
                if op[0] in turn.spans:
                    turn.spans[op[0]].append((before, time.monotonic_ns()))
        self.run.truth.say(**turn.truth(start, time.monotonic_ns(), wall))

    async def session(self, number):
        history = []
        for n in self.run.turns():
            if number == 0:
                await asyncio.to_thread(self.run.gates.wait, f"turn:{n}")
            await self.turn(Turn(self.run, number, n, history))
            if self.run.args.pause:
                await asyncio.sleep(self.run.args.pause / 1000)


def run_sync(run):
    worker = SyncWorker(run) if run.args.warm else None
    run.gates.wait("start")
    worker = worker or SyncWorker(run)
    for number in range(run.args.sessions):
        worker.session(number)


def run_threads(run):
    """One HTTP client and one Redis pool for all, as SDKs have it: connections wander between threads."""
    shared = SyncWorker(run) if run.args.warm else None
    run.gates.wait("start")
    shared = shared or SyncWorker(run)

    def body(number):
        SyncWorker(run, shared.http, shared.redis).session(number)
    threads = [threading.Thread(target=body, args=(n,), name=f"session-{n}") for n in range(run.args.sessions)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


async def run_asyncio(run):
    worker = await AsyncWorker().open(run) if run.args.warm else None
    await asyncio.to_thread(run.gates.wait, "start")
    worker = worker or await AsyncWorker().open(run)
    await asyncio.gather(*(worker.session(n) for n in range(run.args.sessions)))
    await asyncio.to_thread(run.gates.wait, "end")


def run_fork(run):
    """A child a session, forked: what was opened before is shared, so nothing is."""
    run.gates.wait("start")
    children = []
    for number in range(run.args.sessions):
        pid = os.fork()
        if not pid:
            SyncWorker(run).session(number)
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)


def run_spawn(run):
    """A child a session, a new program each."""
    run.gates.wait("start")
    command = [sys.executable, os.path.abspath(__file__), *sys.argv[1:], "--mode", "sync", "--gate", "", "--child"]
    for child in [subprocess.Popen([*command, str(n)]) for n in range(run.args.sessions)]:
        child.wait()


MODES = {"sync": run_sync, "threads": run_threads, "fork": run_fork, "spawn": run_spawn,
         "asyncio": lambda run: asyncio.run(run_asyncio(run))}


def parse(argv):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--llm", required=True, metavar="URL", help="https://127.0.0.1:PORT")
    p.add_argument("--ca", metavar="FILE", help="CA of the LLM server")
    p.add_argument("--mode", choices=MODES, default="sync")
    p.add_argument("--client", choices=sorted({*SYNC, *ASYNC}), default="httpx")
    p.add_argument("--api", choices=APIS, default="openai")
    p.add_argument("--model", default="stand-in-1")
    p.add_argument("--sessions", type=int, default=1)
    p.add_argument("--turns", type=int, default=3, help="a session; 0: until SIGTERM")
    p.add_argument("--keepalive", action="store_true", default=True)
    p.add_argument("--fresh", dest="keepalive", action="store_false", help="a connection a call")
    p.add_argument("--tools", type=int, default=0, help="tool calls a turn")
    p.add_argument("--no-usage", dest="usage", action="store_false", help="OpenAI streams without include_usage")
    p.add_argument("--latency", type=float, help="of the LLM, ms")
    p.add_argument("--plan", default="", help="further plan for the LLM server")
    p.add_argument("--retries", type=int, default=2)
    p.add_argument("--timeout", type=float, help="of HTTP calls, seconds; default none")
    p.add_argument("--think", type=float, default=0, help="ms of the runner's own before each LLM request that is no retry")
    p.add_argument("--pause", type=float, default=0, help="ms between turns")
    p.add_argument("--history", type=int, default=0, help="messages kept; 0 all")
    p.add_argument("--storage", default="", help="redis,postgres")
    p.add_argument("--redis", default="127.0.0.1:6379", metavar="HOST:PORT")
    p.add_argument("--postgres", default="127.0.0.1:5432", metavar="HOST-OR-SOCKET-DIR:PORT")
    p.add_argument("--hang", choices=("llm", "stream", "pings", "redis", "postgres"),
                   help="in the middle of turn --hang-turn of the first session; redis and postgres: waits at the gate "
                   "'hang', so that somebody can pause the store, then calls it")
    p.add_argument("--hang-turn", default="1", metavar="N[,N...]")
    p.add_argument("--gate", default="", metavar="NAMES")
    p.add_argument("--delay-start", action="store_true", help="the same as --gate start")
    p.add_argument("--gate-file", metavar="FILE", help="gates open when FILE exists, and remove it")
    p.add_argument("--warm", action="store_true", help="open all connections before the start gate")
    p.add_argument("--canaries", action="store_true", help="plant the words of canary.py")
    p.add_argument("--api-key", help="only there to stand on the command line")
    p.add_argument("--truth", metavar="FILE")
    p.add_argument("--wire", action="store_true", help="also time the sockets' own calls (wire_ms; sync clients only)")
    p.add_argument("--child", type=int, help=argparse.SUPPRESS)
    args = p.parse_args(argv)
    if args.client not in (ASYNC if args.mode == "asyncio" else SYNC):
        p.error(f"--client {args.client} does not go with --mode {args.mode}")
    if args.wire and args.mode == "asyncio":
        p.error("--wire: an event loop's bytes move outside of the call that asked for them")
    if args.delay_start:
        args.gate += ",start"
    if args.hang in ("redis", "postgres"):
        args.gate += ",hang"
    return args


def main():
    args = parse(sys.argv[1:])
    if args.wire:
        wire.watch()
    run = Run(args)
    if args.child is not None:
        SyncWorker(run).session(args.child)
        return
    if not args.turns:
        signal.signal(signal.SIGTERM, run.stop)
    run.truth.say(event="ready", pid=os.getpid())
    MODES[args.mode](run)
    if args.mode != "asyncio":
        run.gates.wait("end")
    run.truth.say(event="end", pid=os.getpid())


if __name__ == "__main__":
    main()
