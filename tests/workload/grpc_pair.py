#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A gRPC client and server (python3-grpcio) that speak Gemini's API and one of a store, in bytes written by hand: no generated
code, made-up words.

usage: grpc_pair.py serve                       `ready PORT`; answers until its stdin ends
       grpc_pair.py ask PORT [--calls N] [--warm]
The client's lines are those of h2_client.py; `kind` says which method it was.
"""
import argparse
import concurrent.futures
import json
import sys
import threading
import time

import grpc

SERVICE = "google.ai.generativelanguage.v1beta.GenerativeService"
OPTIONS = [("grpc.use_local_subchannel_pool", 1)]


OUTPUT = threading.Lock()


def say(event, **fields):
    with OUTPUT:
        print(json.dumps(dict(fields, event=event)), flush=True)


# ---------------------------------------------------------------- Protocol Buffers

def varint(v):
    out = b""
    while v > 127:
        out, v = out + bytes([v & 127 | 128]), v >> 7
    return out + bytes([v])


def number(field, v):
    return varint(field << 3) + varint(v)


def chunk(field, b):
    b = b.encode() if isinstance(b, str) else b
    return varint(field << 3 | 2) + varint(len(b)) + b


def content(text, role):
    return chunk(1, chunk(2, text)) + chunk(2, role)


def fields(b):
    """The outermost fields: (number, value), contents as bytes."""
    def take(at):
        v = shift = 0
        while True:
            v, shift, at = v | (b[at] & 127) << shift, shift + 7, at + 1
            if not b[at - 1] & 128:
                return v, at
    at = 0
    while at < len(b):
        key, at = take(at)
        v, at = take(at)
        if key & 7 == 2:
            v, at = b[at:at + v], at + v
        yield key >> 3, v


# ---------------------------------------------------------------- server

def words_in(request):
    return sum(len(dict(fields(dict(fields(c))[1]))[2].split()) for f, c in fields(request) if f == 2)


def response(text, words, finish, n):
    candidate = chunk(1, content(text, "model")) + (number(2, 1) if finish else b"")
    usage = number(1, words) + number(2, n) + number(3, words + n)
    return chunk(1, candidate) + chunk(3, usage) + chunk(4, "gemini-stand-in")


class Server(grpc.GenericRpcHandler):
    def __init__(self):
        self.gate = threading.Event()  # what asks for it waits until `release` comes

    def generate(self, request, context):
        words = words_in(request)
        if b"wait" in request:
            self.gate.wait()
        time.sleep(0.05)
        if words == 13:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no more")
        return response("so it is", words, True, words + 1)

    def stream(self, request, context):
        words = words_in(request)
        for i in range(3):
            time.sleep(0.02)
            yield response("so", words, i == 2, words + i)

    def service(self, call):
        name = call.method.rpartition("/")[2]
        if name == "GenerateContent":
            return grpc.unary_unary_rpc_method_handler(self.generate)
        if name == "StreamGenerateContent":
            return grpc.unary_stream_rpc_method_handler(self.stream)
        if name in ("Check", "Slow"):
            return grpc.unary_unary_rpc_method_handler(lambda r, c: time.sleep(0.3 if name == "Slow" else 0) or b"")
        return None


def serve():
    handler = Server()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(64), handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print("ready", port, flush=True)
    for line in sys.stdin:
        if line.strip() == "release":
            handler.gate.set()
    server.stop(None)


# ---------------------------------------------------------------- client

def ask(channel, i, kind, timeout=None, text="word "):
    method = f"/{SERVICE}/{kind}" if kind.endswith("Content") else f"/{kind}"
    request = chunk(1, "models/gemini-stand-in") + chunk(2, content(text * (i + 1), "user"))
    start, status, last = time.monotonic_ns(), "OK", None
    try:
        if kind == "StreamGenerateContent":
            for last in channel.unary_stream(method)(request, timeout=timeout):
                pass
        else:
            last = channel.unary_unary(method)(request, timeout=timeout)
    except grpc.RpcError as error:
        status = error.code().name
    usage = dict(fields(dict(fields(last)).get(3, b""))) if last else {}
    say("call", i=i, kind=kind, status=status, tokens_in=usage.get(1), tokens_out=usage.get(2), start_ns=start,
        end_ns=time.monotonic_ns())


def client(args):
    # its own I/O waits on a thread of grpc's: the calls are made by ours
    with grpc.insecure_channel(f"127.0.0.1:{args.port}", OPTIONS) as channel, \
            concurrent.futures.ThreadPoolExecutor(max(args.calls, 1)) as pool:
        def all_of(kind, n, **kw):
            list(pool.map(lambda i: ask(channel, i + 1, kind, **kw), range(n)))
        if args.warm:
            ask(channel, 0, "GenerateContent")
        if args.wait:
            waiting = [pool.submit(ask, channel, i + 1, "GenerateContent", text="wait ") for i in range(args.calls)]
        say("gate")
        sys.stdin.readline()
        if args.wait:
            concurrent.futures.wait(waiting)
        else:
            ask(channel, 1, "grpc.health.v1.Health/Check")
            all_of("GenerateContent", args.calls)
            ask(channel, 12, "GenerateContent")
            ask(channel, 3, "StreamGenerateContent")
            ask(channel, 2, "a.Store/Slow", timeout=0.1)
    say("done")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["serve", "ask"])
    parser.add_argument("port", nargs="?")
    parser.add_argument("--calls", type=int, default=1)
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("--wait", action="store_true", help="calls that the server holds until `release`; then the gate")
    args = parser.parse_args()
    serve() if args.what == "serve" else client(args)


if __name__ == "__main__":
    main()
