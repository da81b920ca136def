#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Stores over gRPC by python3-grpcio: Qdrant, Milvus and Weaviate in bytes written by hand, each on a port of its own. No
generated code, made-up words.

usage: grpc_stores.py serve                     `ready JSON`: the ports by system; answers until its stdin ends
       grpc_stores.py ask PORTS [--calls N] [--warm]
--calls 1: each of CALLS, one after the other; more: so many at once. --warm: first a sign of life to each, so that the
connections are there; then the gate. grpc_stores.js is the same client for Node. On stdout a JSON line for each call: its
name, how it ended as its client or the reply had it, what it took, and how long the store says it worked, all in ms.
"""
import argparse
import concurrent.futures
import json
import struct
import sys
import time

import grpc

from grpc_pair import OPTIONS, chunk, number, say, varint

ALIVE = {"qdrant": "/qdrant.Qdrant/HealthCheck", "milvus": "/milvus.proto.milvus.MilvusService/GetVersion",
         "weaviate": "/grpc.health.v1.Health/Check"}
# (system, the method's path, the name of a collection): what is in the name decides how the call ends
CALLS = [("qdrant", "/qdrant.Points/Search", "facts"), ("qdrant", "/qdrant.Points/Upsert", "facts"),
         ("qdrant", "/qdrant.Points/Query", "missing"), ("qdrant", "/qdrant.Collections/List", ""),
         ("milvus", "/milvus.proto.milvus.MilvusService/Search", "facts"),
         ("milvus", "/milvus.proto.milvus.MilvusService/Insert", "bad"),
         ("milvus", "/milvus.proto.milvus.MilvusService/HasCollection", "facts"),
         ("milvus", "/milvus.proto.milvus.MilvusService/Query", "busy"),
         ("weaviate", "/weaviate.v1.Weaviate/Search", "Facts"),
         ("weaviate", "/weaviate.v1.Weaviate/BatchObjects", "Facts"),
         ("weaviate", "/weaviate.v1.Weaviate/BatchObjects", "bad")]
WORK_S = 0.02
CODES = {b"missing": grpc.StatusCode.NOT_FOUND, b"busy": grpc.StatusCode.RESOURCE_EXHAUSTED}


def double(field, v):
    return varint(field << 3 | 1) + struct.pack("<d", v)


# ---------------------------------------------------------------- server

class Server(grpc.GenericRpcHandler):
    def __init__(self, system):
        self.system = system

    def answer(self, request, context):
        began = time.monotonic()
        time.sleep(WORK_S)
        for name, code in CODES.items():
            if name in request:
                context.abort(code, "made up")
        bad = b"bad" in request
        if self.system == "qdrant":  # result, time, usage with its counters of the hardware
            return chunk(1, double(2, 0.9)) + double(2, time.monotonic() - began) + chunk(3, chunk(1, number(1, 7)))
        if self.system == "milvus":  # common.Status: reason, code
            return chunk(1, chunk(2, "no such thing") + number(3, 1100) if bad else b"") + chunk(2, number(1, 1))
        return double(1, 0.1) + (chunk(2, number(1, 0) + chunk(2, "no")) if bad else b"")  # took, errors

    def service(self, call):
        if call.method in ALIVE.values():
            return grpc.unary_unary_rpc_method_handler(lambda request, context: b"")
        return grpc.unary_unary_rpc_method_handler(self.answer)


def serve():
    servers, ports = [], {}
    for system in ALIVE:
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(64), handlers=[Server(system)])
        ports[system] = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
    print("ready", json.dumps(ports), flush=True)
    sys.stdin.read()
    for server in servers:
        server.stop(None)


# ---------------------------------------------------------------- client

def fields(b):
    """The outermost fields of a message: (number, value), contents as bytes."""
    at = 0

    def take():
        nonlocal at
        v = shift = 0
        while True:
            v, shift, at = v | (b[at] & 127) << shift, shift + 7, at + 1
            if not b[at - 1] & 128:
                return v
    while at < len(b):
        key = take()
        if key & 7 == 1:
            v, at = struct.unpack_from("<d", b, at)[0], at + 8
        else:
            v = take()
            if key & 7 == 2:
                v, at = b[at:at + v], at + v
        yield key >> 3, v


def hidden(system, reply):
    """The error in a reply whose status is OK, and what the store says it worked, in ms."""
    told = dict(fields(reply))
    if system == "milvus":
        code = dict(fields(told[1])).get(3, 0)
        return f"milvus_{code}" if code else None, 0
    if system == "weaviate":
        return "batch_error" if 2 in told else None, 0
    return None, told[2] * 1000


def ask(channels, system, method, name):
    start, kind, worked = time.monotonic_ns(), None, 0
    try:
        kind, worked = hidden(system, channels[system].unary_unary(method)(chunk(1, name) if name else b""))
    except grpc.RpcError as error:
        kind = error.code().name
    say("call", system=system, op=method.rpartition("/")[2], kind=kind, worked=worked,
        ms=(time.monotonic_ns() - start) / 1e6)


def client(args):
    channels = {s: grpc.insecure_channel(f"127.0.0.1:{port}", OPTIONS) for s, port in json.loads(args.ports).items()}
    if args.warm:
        for system, channel in channels.items():
            channel.unary_unary(ALIVE[system])(b"")
    say("gate")
    sys.stdin.readline()
    calls = CALLS if args.calls == 1 else [CALLS[i % len(CALLS)] for i in range(args.calls)]
    with concurrent.futures.ThreadPoolExecutor(args.calls) as pool:
        list(pool.map(lambda call: ask(channels, *call), calls))
    for channel in channels.values():
        channel.close()
    say("done")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["serve", "ask"])
    parser.add_argument("ports", nargs="?")
    parser.add_argument("--calls", type=int, default=1)
    parser.add_argument("--warm", action="store_true")
    args = parser.parse_args()
    serve() if args.what == "serve" else client(args)


if __name__ == "__main__":
    main()
