#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Speaks enough of Bolt 5.4 for real drivers: handshake, log-in, queries with one record, a failing query, transactions,
RESET, ROUTE and TELEMETRY. Prints `ready PORT`.
"""
import socket
import struct
import sys
import threading
import time

from fake_mongo import read

SUCCESS, RECORD, IGNORED, FAILURE = 0x70, 0x71, 0x7e, 0x7f


def pack(value):
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return struct.pack(">b", value) if -16 <= value < 128 else b"\xcb" + struct.pack(">q", value)
    if isinstance(value, str):
        data = value.encode()
        return (bytes([0x80 + len(data)]) if len(data) < 16 else b"\xd0" + bytes([len(data)])) + data
    if isinstance(value, list):
        return bytes([0x90 + len(value)]) + b"".join(map(pack, value))
    return bytes([0xa0 + len(value)]) + b"".join(pack(k) + pack(v) for k, v in value.items())


def message(tag, field=None):
    body = bytes([0xb0 if field is None else 0xb1, tag]) + (b"" if field is None else pack(field))
    return struct.pack(">H", len(body)) + body + b"\0\0"


def string(body):
    marker = body[0]
    if marker >> 4 == 8:
        return body[1:1 + (marker & 15)]
    head = {0xd0: 1, 0xd1: 2, 0xd2: 4}[marker]
    size = int.from_bytes(body[1:1 + head], "big")
    return body[1 + head:1 + head + size]


def read_message(sock):
    body = b""
    while True:
        size = struct.unpack(">H", read(sock, 2))[0]
        if not size and body:
            return body
        body += read(sock, size)


def serve(sock):
    failed, query = False, b""
    try:
        read(sock, 20)
        sock.sendall(b"\0\0\4\5")
        while True:
            body = read_message(sock)
            tag = body[1]
            if tag == 0x02:
                raise EOFError
            if tag == 0x0f:
                failed = False
                sock.sendall(message(SUCCESS, {}))
            elif failed:
                sock.sendall(message(IGNORED))
            elif tag == 0x01:
                sock.sendall(message(SUCCESS, {"server": "Neo4j/5.26.0", "connection_id": "bolt-1", "hints": {}}))
            elif tag == 0x10:
                query = string(body[2:])
                if b"SLOW" in query:
                    time.sleep(0.05)
                if b"FAIL" in query:
                    failed = True
                    sock.sendall(message(FAILURE, {"code": "Neo.ClientError.Statement.SyntaxError", "message": "no"}))
                else:
                    sock.sendall(message(SUCCESS, {"fields": ["n"], "t_first": 0}))
            elif tag == 0x3f:
                sock.sendall(message(RECORD, [1]) + message(SUCCESS, {"type": "r", "t_last": 0, "db": "neo4j"}))
            elif tag == 0x12:
                sock.sendall(message(SUCCESS, {"bookmark": "b:1"}))
            else:
                sock.sendall(message(SUCCESS, {}))
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
