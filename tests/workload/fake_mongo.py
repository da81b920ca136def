#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Speaks enough of MongoDB's wire protocol for real drivers: OP_QUERY and OP_MSG with hello, ping, insert, find with
getMore, update, aggregate, a failing and a slow command. Prints `ready PORT`.
"""
import socket
import struct
import sys
import threading
import time

import bson

HELLO = {"ismaster": True, "isWritablePrimary": True, "maxBsonObjectSize": 16 << 20, "maxMessageSizeBytes": 48000000,
         "maxWriteBatchSize": 100000, "minWireVersion": 0, "maxWireVersion": 17, "readOnly": False,
         "logicalSessionTimeoutMinutes": 30, "helloOk": True, "ok": 1.0}


def read(sock, n):
    data = b""
    while len(data) < n:
        part = sock.recv(n - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def answer(name, doc, sections):
    if name.lower() in ("ismaster", "hello"):
        if "maxAwaitTimeMS" in doc:
            time.sleep(doc["maxAwaitTimeMS"] / 1000)
        return dict(HELLO, topologyVersion={"processId": bson.ObjectId("0" * 24), "counter": bson.Int64(0)})
    if name == "insert":
        docs = sections.get("documents") or doc["documents"]
        if any(d.get("_id") == "twice" for d in docs):
            return {"n": 0, "writeErrors": [{"index": 0, "code": 11000, "errmsg": "E11000 duplicate key"}], "ok": 1.0}
        return {"n": len(docs), "ok": 1.0}
    if name == "find":
        if doc.get("filter", {}).get("slow"):
            time.sleep(doc["filter"]["slow"] / 1000)
        if doc.get("filter", {}).get("many"):
            return {"cursor": {"firstBatch": [{"a": 1}], "id": bson.Int64(77), "ns": "b.c"}, "ok": 1.0}
        return {"cursor": {"firstBatch": [{"a": 1, "text": "x" * 200}], "id": bson.Int64(0), "ns": "b.c"}, "ok": 1.0}
    if name == "getMore":
        return {"cursor": {"nextBatch": [{"a": 2}], "id": bson.Int64(0), "ns": "b.c"}, "ok": 1.0}
    if name == "aggregate":
        return {"cursor": {"firstBatch": [], "id": bson.Int64(0), "ns": "b.c"}, "ok": 1.0}
    if name in ("update", "delete"):
        return {"n": 1, "nModified": 1, "ok": 1.0}
    if name in ("ping", "endSessions"):
        return {"ok": 1.0}
    return {"ok": 0.0, "errmsg": "no such command", "code": 59, "codeName": "CommandNotFound"}


def serve(sock):
    try:
        while True:
            length, request, _, opcode = struct.unpack("<iiii", read(sock, 16))
            body = read(sock, length - 16)
            if opcode == 2004:
                doc = bson.decode(body[body.index(b"\0", 4) + 9:])
                reply = bson.encode(answer(next(iter(doc)), doc, {}))
                out = struct.pack("<iqii", 8, 0, 0, 1) + reply
                sock.sendall(struct.pack("<iiii", 16 + len(out), 1, request, 1) + out)
                continue
            flags, at, doc, sections = struct.unpack("<i", body[:4])[0], 4, {}, {}
            while at < len(body) - (4 if flags & 1 else 0):
                kind, size = body[at], struct.unpack("<i", body[at + 1:at + 5])[0]
                if kind == 0:
                    doc = bson.decode(body[at + 1:at + 1 + size])
                else:
                    name, _, docs = body[at + 5:at + 1 + size].partition(b"\0")
                    sections[name.decode()] = bson.decode_all(docs)
                at += 1 + size
            reply = b"\0" * 5 + bson.encode(answer(next(iter(doc)), doc, sections))
            if not flags & 2:
                sock.sendall(struct.pack("<iiii", 16 + len(reply), 1, request, 2013) + reply)
    except (EOFError, OSError):
        sock.close()


def main():
    server = socket.create_server(("127.0.0.1", 0), backlog=128)
    print("ready", server.getsockname()[1], flush=True)
    while True:
        sock, _ = server.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
