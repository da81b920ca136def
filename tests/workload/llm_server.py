#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""An HTTPS stand-in for LLM providers: real shapes on the wire, made-up words, any delay or fault on demand.

APIs: OpenAI chat and responses, Anthropic messages, Gemini generateContent and streamGenerateContent (SSE and JSON
array), Ollama /api/chat. On stdout: `ready PORT CA_FILE` (--unix: the path in place of PORT), then a JSON line when a
request is complete ("open") and when its reply is ("done"), times in CLOCK_MONOTONIC ns: what the wire did, as the other
end saw it. No payload in it.

How to answer is a plan, "name=value,...": from --plan, then the model name after '@', then the header x-llm-plan:
  latency=MS    before the reply                        chunks=N spacing=MS   content pieces of a stream
  words=N       in the reply                            pings=N ping_ms=MS    signs of life before content
  gzip=none|body|stream  when the client accepts it     framing=auto|length|chunked|close
  tools=N       ask for tools N times, when the request offers one           frag=N  write in pieces of N bytes
  asks=N        tools asked for at once (OpenAI chat, Anthropic: one)
  retry_after=S of a 429                                array=1  Gemini stream as a JSON array (also without alt=sse)
  fault=STATUS:N         the first N requests of a key (header x-llm-key, else the model) fail so; no N: all
  fault=A+B+...          the first fails as A says, the second as B, ...: a STATUS, or drop (closed without a reply)
  fault=error            an error inside the stream     fault=hang    no reply until `release` comes on stdin
  fault=hang-stream | hang-pings   the stream stops in the middle (with pings going on) until `release`
  fault=close-stream     the connection closes in the middle
"""
import argparse
import asyncio
import collections
import contextlib
import dataclasses
import datetime
import http
import ipaddress
import json
import os
import shutil
import signal
import ssl
import sys
import tempfile
import time
import traceback
import urllib.parse
import zlib

import canary

BODY_MAX = 64 << 20  # a request larger than this is a mistake in a test


# ---------------------------------------------------------------- plan

@dataclasses.dataclass
class Plan:
    latency: float = 20.0
    chunks: int = 5
    spacing: float = 5.0
    words: int = 12
    pings: int = 0
    ping_ms: float = 20.0
    gzip: str = "body"
    framing: str = "auto"
    tools: int = 0
    asks: int = 1
    frag: int = 0
    retry_after: float = 1.0
    array: int = 0
    fault: str = ""

    def merged(self, text):
        """A copy with the settings of "name=value,..." in it; unknown names are an error of the test's author."""
        changes = {}
        for item in filter(None, (text or "").split(",")):
            name, _, value = item.partition("=")
            changes[name.strip()] = type(getattr(self, name.strip()))(value)
        return dataclasses.replace(self, **changes)

    def failure(self, nth):
        """How the nth request of a key fails before its reply: a status, "drop", None."""
        first, _, times = self.fault.partition(":")
        row = self.fault.split("+")
        if len(row) > 1:
            return row[nth] if nth < len(row) else None
        if first == "drop" or first.isdigit():
            return first if not times or nth < int(times) else None
        return None


# ---------------------------------------------------------------- replies

@dataclasses.dataclass
class Reply:
    id: str
    model: str
    words: list
    tool: bool          # ask for tools in place of an answer
    asks: int           # for so many
    tokens_in: int
    tokens_cached: int
    tokens_reasoning: int
    include_usage: bool
    chunks: int

    @property
    def text(self):
        return " ".join(self.words)

    @property
    def tokens_out(self):  # reasoning included
        return len(self.words) + self.tokens_reasoning

    @property
    def arguments(self):
        return json.dumps({"city": self.words[-1]})

    def pieces(self):
        n = max(1, min(self.chunks, len(self.words)))
        cut = [len(self.words) * i // n for i in range(n + 1)]
        return [" ".join(self.words[a:b]) + (" " if b < len(self.words) else "") for a, b in zip(cut, cut[1:])]


def count_words(node):
    """Tokens of a request: the words of every string in it."""
    if isinstance(node, str):
        return len(node.split())
    if isinstance(node, list):
        return sum(map(count_words, node))
    if isinstance(node, dict):
        return sum(map(count_words, node.values()))
    return 0


def sse(data, event=None):
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()


class Api:
    """One provider's shapes. events() yields (kind, bytes), kind in head, content, tail; hangs and faults come between
    the contents."""
    stream_type = "text/event-stream; charset=utf-8"
    ping = b": keep-alive\n\n"

    def __init__(self, body, path):
        self.body = body

    def model(self):
        return self.body.get("model", "unknown")

    def wants_stream(self):
        return bool(self.body.get("stream"))

    def messages(self):
        return self.body.get("messages", [])

    def include_usage(self):
        return True

    def tool_results(self):
        """Results given since the last message of the user."""
        n = 0
        for m in reversed(self.messages()):
            if self.is_result(m):
                n += 1
            elif m.get("role") == "user":
                break
        return n

    def is_result(self, m):
        return m.get("role") == "tool"

    def error(self, status, kind, message):
        return {"error": {"message": message, "type": kind, "param": None, "code": kind}}

    def stream_error(self):
        return sse(self.error(500, "server_error", "the stand-in was told to fail"))


class OpenAIChat(Api):
    def include_usage(self):
        return not self.wants_stream() or bool((self.body.get("stream_options") or {}).get("include_usage"))

    def usage(self, r):
        return {"prompt_tokens": r.tokens_in, "completion_tokens": r.tokens_out,
                "total_tokens": r.tokens_in + r.tokens_out,
                "prompt_tokens_details": {"cached_tokens": r.tokens_cached},
                "completion_tokens_details": {"reasoning_tokens": r.tokens_reasoning}}

    def calls(self, r):
        return [{"id": f"call_{r.id}" + (f"_{i}" if i else ""), "type": "function",
                 "function": {"name": "look_up", "arguments": r.arguments}} for i in range(r.asks)]

    def json(self, r):
        message = {"role": "assistant", "content": None if r.tool else r.text}
        if r.tool:
            message["tool_calls"] = self.calls(r)
        return {"id": f"chatcmpl-{r.id}", "object": "chat.completion", "created": 1700000000, "model": r.model,
                "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if r.tool else "stop"}],
                "usage": self.usage(r)}

    def events(self, r):
        def chunk(delta, finish=None, **more):
            c = {"id": f"chatcmpl-{r.id}", "object": "chat.completion.chunk", "created": 1700000000,
                 "model": r.model, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
            if r.include_usage:
                c["usage"] = None
            c.update(more)
            return sse(c)
        yield "head", chunk({"role": "assistant", "content": ""})
        if r.tool:
            for i, call in enumerate(self.calls(r)):
                yield "content", chunk({"tool_calls": [{"index": i, **call,
                                                        "function": {"name": "look_up", "arguments": ""}}]})
                yield "content", chunk({"tool_calls": [{"index": i, "function": {"arguments": r.arguments}}]})
        else:
            for piece in r.pieces():
                yield "content", chunk({"content": piece})
        yield "tail", chunk({}, "tool_calls" if r.tool else "stop")
        if r.include_usage:
            yield "tail", chunk({}, choices=[], usage=self.usage(r))
        yield "tail", sse("[DONE]")


class OpenAIResponses(Api):
    def messages(self):
        items = self.body.get("input", [])
        return [{"role": "user", "content": items}] if isinstance(items, str) else items

    def is_result(self, m):
        return m.get("type") == "function_call_output"

    def response(self, r, status, usage):
        if r.tool:
            output = [{"type": "function_call", "id": f"fc_{r.id}", "call_id": f"call_{r.id}", "name": "look_up",
                       "arguments": r.arguments, "status": "completed"}]
        else:
            output = [{"type": "message", "id": f"msg_{r.id}", "role": "assistant", "status": "completed",
                       "content": [{"type": "output_text", "text": r.text, "annotations": []}]}]
        return {"id": f"resp_{r.id}", "object": "response", "created_at": 1700000000, "status": status,
                "model": r.model, "output": output if usage else [], "error": None, "usage": usage and {
                    "input_tokens": r.tokens_in, "output_tokens": r.tokens_out,
                    "total_tokens": r.tokens_in + r.tokens_out,
                    "input_tokens_details": {"cached_tokens": r.tokens_cached},
                    "output_tokens_details": {"reasoning_tokens": r.tokens_reasoning}}}

    def json(self, r):
        return self.response(r, "completed", True)

    def events(self, r):
        sequence = iter(range(1 << 20))

        def event(kind, **more):
            return sse({"type": kind, "sequence_number": next(sequence), **more}, kind)
        yield "head", event("response.created", response=self.response(r, "in_progress", None))
        yield "head", event("response.in_progress", response=self.response(r, "in_progress", None))
        if r.tool:
            yield "content", event("response.function_call_arguments.delta", item_id=f"fc_{r.id}", delta=r.arguments)
        else:
            for piece in r.pieces():
                yield "content", event("response.output_text.delta", item_id=f"msg_{r.id}", delta=piece)
            yield "tail", event("response.output_text.done", item_id=f"msg_{r.id}", text=r.text)
        yield "tail", event("response.completed", response=self.response(r, "completed", True))

    def stream_error(self):
        return sse({"type": "error", "code": "server_error", "message": "the stand-in was told to fail",
                    "param": None, "sequence_number": 99}, "error")


class Anthropic(Api):
    ping = sse({"type": "ping"}, "ping")

    def is_result(self, m):
        content = m.get("content")
        return isinstance(content, list) and any(b.get("type") == "tool_result" for b in content)

    def usage_in(self, r):
        created = 1 if r.tokens_in > r.tokens_cached else 0
        return {"input_tokens": r.tokens_in - r.tokens_cached - created, "cache_creation_input_tokens": created,
                "cache_read_input_tokens": r.tokens_cached}

    def block(self, r):
        if r.tool:
            return {"type": "tool_use", "id": f"toolu_{r.id}", "name": "look_up", "input": json.loads(r.arguments)}
        return {"type": "text", "text": r.text}

    def json(self, r):
        return {"id": f"msg_{r.id}", "type": "message", "role": "assistant", "model": r.model,
                "content": [self.block(r)], "stop_reason": "tool_use" if r.tool else "end_turn",
                "stop_sequence": None, "usage": {**self.usage_in(r), "output_tokens": r.tokens_out}}

    def events(self, r):
        start = dict(self.json(r), content=[], stop_reason=None, usage={**self.usage_in(r), "output_tokens": 1})
        empty = {"type": "text", "text": ""} if not r.tool else dict(self.block(r), input={})
        yield "head", sse({"type": "message_start", "message": start}, "message_start")
        yield "head", sse({"type": "content_block_start", "index": 0, "content_block": empty}, "content_block_start")
        yield "head", self.ping
        deltas = ([{"type": "input_json_delta", "partial_json": r.arguments}] if r.tool else
                  [{"type": "text_delta", "text": p} for p in r.pieces()])
        for delta in deltas:
            yield "content", sse({"type": "content_block_delta", "index": 0, "delta": delta}, "content_block_delta")
        yield "tail", sse({"type": "content_block_stop", "index": 0}, "content_block_stop")
        stop = {"stop_reason": "tool_use" if r.tool else "end_turn", "stop_sequence": None}
        # Cumulative: a client that adds these up counts too much.
        yield "tail", sse({"type": "message_delta", "delta": {"stop_reason": None, "stop_sequence": None},
                           "usage": {"output_tokens": max(1, r.tokens_out // 2)}}, "message_delta")
        yield "tail", sse({"type": "message_delta", "delta": stop, "usage": {"output_tokens": r.tokens_out}},
                          "message_delta")
        yield "tail", sse({"type": "message_stop"}, "message_stop")

    def error(self, status, kind, message):
        kind = {429: "rate_limit_error", 500: "api_error"}.get(status, kind)
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_0"}

    def stream_error(self):
        return sse({"type": "error", "error": {"type": "overloaded_error", "message": "told to fail"}}, "error")


class Gemini(Api):
    def __init__(self, body, path):
        super().__init__(body, path)
        url = urllib.parse.urlsplit(path)
        self.name, _, self.verb = urllib.parse.unquote(url.path).rpartition("/models/")[2].rpartition(":")
        self.array = "alt=sse" not in url.query
        if self.array:
            self.stream_type, self.ping = "application/json; charset=UTF-8", b" "

    def model(self):
        return self.name

    def wants_stream(self):
        return self.verb == "streamGenerateContent"

    def messages(self):
        return self.body.get("contents", [])

    def is_result(self, m):
        return any("functionResponse" in p for p in m.get("parts", []))

    def answer(self, r, text, last, out):
        part = {"functionCall": {"name": "look_up", "args": json.loads(r.arguments)}} if r.tool else {"text": text}
        usage = {"promptTokenCount": r.tokens_in, "cachedContentTokenCount": r.tokens_cached}
        if out:  # cumulative; thoughts lie outside candidates
            usage.update(candidatesTokenCount=out, thoughtsTokenCount=r.tokens_reasoning)
        usage["totalTokenCount"] = r.tokens_in + out + (r.tokens_reasoning if out else 0)
        candidate = {"content": {"parts": [part], "role": "model"}, "index": 0}
        if last:
            candidate["finishReason"] = "STOP"
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": r.model, "responseId": r.id}

    def json(self, r):
        return self.answer(r, r.text, True, len(r.words))

    def events(self, r):
        pieces = [""] if r.tool else r.pieces()
        done = 0
        for i, piece in enumerate(pieces):
            last = i == len(pieces) - 1
            done = len(r.words) if last else done + len(piece.split())
            doc = self.answer(r, piece, last, done)
            if self.array:
                yield "content", (b"[" if i == 0 else b",\r\n") + json.dumps(doc, indent=2).encode()
            else:
                yield "content", sse(doc)
        if self.array:
            yield "tail", b"\n]\n"

    def error(self, status, kind, message):
        doc = {"error": {"code": status, "message": message,
                         "status": {429: "RESOURCE_EXHAUSTED", 500: "INTERNAL"}.get(status, "UNKNOWN")}}
        return [doc] if self.wants_stream() and self.array else doc

    def stream_error(self):
        doc = {"error": {"code": 503, "message": "told to fail", "status": "UNAVAILABLE"}}
        return b",\r\n" + json.dumps(doc).encode() + b"]" if self.array else sse(doc)


class Ollama(Api):
    stream_type = "application/x-ndjson"
    ping = b""  # it has none

    def wants_stream(self):
        return self.body.get("stream", True)

    def final(self, r):
        return {"done": True, "done_reason": "stop", "total_duration": 5000000, "load_duration": 1000,
                "prompt_eval_count": r.tokens_in, "prompt_eval_duration": 1000, "eval_count": r.tokens_out,
                "eval_duration": 4000}

    def message(self, r, text):
        m = {"role": "assistant", "content": text}
        if r.tool:
            m["tool_calls"] = [{"function": {"name": "look_up", "arguments": json.loads(r.arguments)}}]
        return m

    def json(self, r):
        return {"model": r.model, "created_at": "2026-01-01T00:00:00Z",
                "message": self.message(r, "" if r.tool else r.text), **self.final(r)}

    def events(self, r):
        def line(text, **more):
            return json.dumps({"model": r.model, "created_at": "2026-01-01T00:00:00Z",
                               "message": {"role": "assistant", "content": text}, "done": False,
                               **more}).encode() + b"\n"
        if r.tool:
            yield "content", line("", message=self.message(r, ""))
        else:
            for piece in r.pieces():
                yield "content", line(piece)
        yield "tail", line("", **self.final(r))

    def error(self, status, kind, message):
        return {"error": message}

    def stream_error(self):
        return b'{"error":"told to fail"}\n'


ROUTES = (("/chat/completions", OpenAIChat), ("/responses", OpenAIResponses), ("/messages", Anthropic),
          (":generateContent", Gemini), (":streamGenerateContent", Gemini), ("/api/chat", Ollama))


# ---------------------------------------------------------------- HTTP/1.1

class Closed(Exception):
    """The connection is over: by the client, or because the plan says so."""


class Encoder:
    """A body on its way out: gzip, framing, pieces of a given size."""

    def __init__(self, writer, plan, framing, gzip):
        self.writer, self.frag, self.framing = writer, plan.frag, framing
        self.gzip = zlib.compressobj(6, zlib.DEFLATED, 31) if gzip else None

    async def raw(self, data):
        step = self.frag or max(1, len(data))
        for i in range(0, len(data), step):
            self.writer.write(data[i:i + step])
            await self.writer.drain()
            if self.frag:
                await asyncio.sleep(0)
        await self.writer.drain()

    async def send(self, data, last=False):
        if self.gzip:
            data = self.gzip.compress(data) + self.gzip.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
        if self.framing == "chunked":
            data = (b"%x\r\n%s\r\n" % (len(data), data) if data else b"") + (b"0\r\n\r\n" if last else b"")
        await self.raw(data)


class Stamped:
    """A writer that knows when it was last given something: the other end has no byte of it sooner, and may have all of
    it long before this process runs again."""

    def __init__(self, writer):
        self.writer, self.last_ns = writer, 0
        self.drain, self.close = writer.drain, writer.close

    def write(self, data):
        self.last_ns = time.monotonic_ns()
        self.writer.write(data)


class Server:
    def __init__(self, plan, log):
        self.plan, self.log = plan, log
        self.seen = collections.Counter()  # failures given so far, by key
        self.released = asyncio.Event()
        self.count = 0

    def release(self):
        """Lets every request that hangs go on."""
        self.released.set()
        self.released = asyncio.Event()

    async def connection(self, reader, writer):
        writer = Stamped(writer)
        try:
            while await self.exchange(reader, writer):
                pass
        except (Closed, ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        except Exception:  # a mistake in a test or here: the client sees a closed connection, people see why
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                writer.close()

    async def exchange(self, reader, writer):
        request = await read_request(reader)
        if not request:
            return False
        method, path, headers, body = request
        keep = headers.get("connection", "").lower() != "close"
        route = next((api for suffix, api in ROUTES if urllib.parse.unquote(path).split("?")[0].endswith(suffix)),
                     None)
        if method != "POST" or not route:
            await send_document(writer, 200 if method == "GET" else 404, {"ok": method == "GET"}, keep=keep)
            return keep
        self.count += 1
        call = {"n": self.count, "id": headers.get("x-request-id", ""), "path": path.split("?")[0],
                "recv_ns": time.monotonic_ns()}
        self.log(dict(call, event="open"))
        try:
            return await self.answer(writer, route(json.loads(body), path), headers, call, keep)
        finally:
            replied = writer.last_ns > call["recv_ns"]
            self.log(dict(call, event="done", end_ns=writer.last_ns if replied else time.monotonic_ns()))

    async def answer(self, writer, api, headers, call, keep):
        model, _, suffix = api.model().partition("@")
        plan = self.plan.merged(suffix).merged(headers.get("x-llm-plan"))
        gzip = plan.gzip if "gzip" in headers.get("accept-encoding", "") else "none"
        fault = plan.fault
        if fault == "hang":
            await self.released.wait()
        await asyncio.sleep(plan.latency / 1000)
        key = (fault, headers.get("x-llm-key", api.model()))
        failure = plan.failure(self.seen[key])
        if failure:
            self.seen[key] += 1
            if failure == "drop":
                raise Closed
            extra = {"retry-after": f"{plan.retry_after:g}"} if failure == "429" else {}
            doc = api.error(int(failure), "rate_limit_exceeded" if failure == "429" else "server_error", "told to")
            await send_document(writer, int(failure), doc, keep=keep, extra=extra)
            return keep
        reply = self.reply(api, model, plan, call)
        if not api.wants_stream():
            await send_document(writer, 200, api.json(reply), keep=keep, plan=plan, gzip=gzip != "none")
            return keep and plan.framing != "close"
        return await self.stream(writer, api, reply, plan, gzip == "stream", fault, keep)

    def reply(self, api, model, plan, call):
        tool = bool(api.body.get("tools")) and api.tool_results() < plan.tools * plan.asks
        words = [f"word{i}" for i in range(plan.words - 1)] + [canary.WORDS["tool" if tool else "reply"]]
        tokens_in = call["tokens_in"] = count_words(api.messages())
        cached = 0 if isinstance(api, Ollama) else tokens_in // 3
        return Reply(f"{call['n']:06d}", model, words, tool, plan.asks, tokens_in, cached,
                     0 if isinstance(api, (Ollama, Anthropic)) else 3, api.include_usage(), plan.chunks)

    async def stream(self, writer, api, reply, plan, gzip, fault, keep):
        events = list(api.events(reply))
        framing = "chunked" if plan.framing == "auto" else plan.framing
        head = {"content-type": api.stream_type, "cache-control": "no-cache"}
        if framing == "length":
            gzip = False  # the length must be known before
            size = sum(len(data) for _, data in events) + plan.pings * len(api.ping)
            head["content-length"] = str(size)
        elif framing == "chunked":
            head["transfer-encoding"] = "chunked"
        if gzip:
            head["content-encoding"] = "gzip"
        keep = keep and framing != "close"
        out = Encoder(writer, plan, framing, gzip)
        await out.raw(head_bytes(200, head, keep))
        contents = sum(kind == "content" for kind, _ in events)
        middle, done, pinged = (contents + 1) // 2, 0, False
        for kind, data in events:
            if kind == "content" and not pinged:
                pinged = True
                for _ in range(plan.pings):
                    await out.send(api.ping)
                    await asyncio.sleep(plan.ping_ms / 1000)
            if kind == "content" and done:
                await asyncio.sleep(plan.spacing / 1000)
            if fault and kind != "head" and done >= middle:
                await self.middle_fault(out, api, plan, fault)
                if fault == "error":
                    await out.send(b"", last=True)
                    return keep
                fault = ""
            await out.send(data)
            done += kind == "content"
        await out.send(b"", last=True)
        return keep

    async def middle_fault(self, out, api, plan, fault):
        if fault == "error":
            await out.send(api.stream_error())
        elif fault == "close-stream":
            raise Closed
        elif fault == "hang-stream":
            await self.released.wait()
        elif fault == "hang-pings":
            released = self.released
            while not released.is_set():
                await out.send(api.ping)
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(released.wait(), max(plan.ping_ms, 1) / 1000)


async def read_request(reader):
    """(method, path, headers, body), None when the client closed between requests."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    lines = head.decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ", 2)
    headers = {}
    for line in filter(None, lines[1:]):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = b""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
    elif size := int(headers.get("content-length", "0")):
        if size > BODY_MAX:
            raise Closed
        body = await reader.readexactly(size)
    return method, path, headers, body


def head_bytes(status, headers, keep):
    reason = http.HTTPStatus(status).phrase if status != 529 else "Overloaded"
    headers = {**headers, "server": "stand-in", "connection": "keep-alive" if keep else "close"}
    return (f"HTTP/1.1 {status} {reason}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) +
            "\r\n").encode()


async def send_document(writer, status, doc, keep=True, plan=Plan(), gzip=False, extra=()):
    body = json.dumps(doc).encode()
    head = {"content-type": "application/json", **dict(extra)}
    framing = "length" if plan.framing == "auto" else plan.framing
    if gzip:
        head["content-encoding"] = "gzip"
    if framing == "chunked":
        head["transfer-encoding"] = "chunked"
    elif framing == "length":
        if gzip:
            packer = zlib.compressobj(6, zlib.DEFLATED, 31)
            body, gzip = packer.compress(body) + packer.flush(), False
        head["content-length"] = str(len(body))
    out = Encoder(writer, plan, framing, gzip)
    data = head_bytes(status, head, keep and framing != "close")
    if framing == "length" and not plan.frag:
        writer.write(data + body)
        await writer.drain()
        return
    await out.raw(data)
    half = len(body) // 2 if framing == "chunked" else 0
    if half:
        await out.send(body[:half])
    await out.send(body[half:])
    await out.send(b"", last=True)


# ---------------------------------------------------------------- certificates and start

def make_certificates(directory):
    """A CA and a server certificate; (CA file, server certificate file, key file)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    now = datetime.datetime.utcnow()

    def name(text):
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    def build(subject, issuer, key):
        return (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer))
                .public_key(key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=7)))

    def path(leaf):
        return os.path.join(directory, leaf)

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = (build("stand-in CA", "stand-in CA", ca_key)
          .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
          .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
          .sign(ca_key, hashes.SHA256()))
    names = [x509.DNSName(n) for n in ("localhost", "api.openai.com", "api.anthropic.com",
                                       "generativelanguage.googleapis.com")]
    cert = (build("localhost", "stand-in CA", key)
            .add_extension(x509.SubjectAlternativeName(names + [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                           critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
            .sign(ca_key, hashes.SHA256()))
    pem = serialization.Encoding.PEM
    with open(path("ca.pem"), "wb") as f:
        f.write(ca.public_bytes(pem))
    with open(path("server.pem"), "wb") as f:
        f.write(cert.public_bytes(pem))
    with open(path("server.key"), "wb") as f:
        f.write(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    os.chmod(directory, 0o755)  # the target may run as another user
    return path("ca.pem"), path("server.pem"), path("server.key")


async def serve(args, directory):
    context, ca = None, "-"
    if not args.plain:
        ca, cert, key = make_certificates(directory)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)

    def log(line):
        os.write(1, (json.dumps(line) + "\n").encode())
    server = Server(Plan().merged(args.plan), log if not args.silent else lambda line: None)
    common = {"ssl": context, "backlog": 4096, "limit": 1 << 20}
    if args.unix:
        await asyncio.start_unix_server(server.connection, args.unix, **common)
        os.chmod(args.unix, 0o777)  # the target may run as another user
        where = args.unix
    else:
        listener = await asyncio.start_server(server.connection, "127.0.0.1", args.port, **common)
        where = listener.sockets[0].getsockname()[1]
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signo in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signo, stop.set)

    def command():
        line = sys.stdin.readline()
        if not line:
            loop.remove_reader(0)
        elif line.strip() == "release":
            server.release()
    with contextlib.suppress(PermissionError):  # epoll refuses plain files and /dev/null: no commands then
        loop.add_reader(0, command)
    print(f"ready {where} {ca}", flush=True)
    await stop.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--unix", metavar="PATH", help="listen on a unix socket in place of the port")
    parser.add_argument("--plan", default="", help="plan for every request")
    parser.add_argument("--plain", action="store_true", help="HTTP without TLS; CA_FILE is then '-'")
    parser.add_argument("--silent", action="store_true", help="no lines about requests")
    args = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="llm-server-")
    try:
        asyncio.run(serve(args, directory))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
