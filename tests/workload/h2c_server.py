#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""An LLM stand-in on plain HTTP that takes `Upgrade: h2c` (python3-h2): prints `ready PORT` and a line a request, when it is
complete; replies 30 ms later, with --hold when a line comes on stdin. Tokens in: the words of the body.
"""
import json
import socket
import sys
import threading
import time

import h2.config
import h2.connection
import h2.events

HOLD = threading.Event()


def reply(body):
    n = len(body.split())
    return json.dumps({"model": "stand-in", "choices": [{"message": {"role": "assistant", "content": "so it is"},
                                                         "finish_reason": "stop"}],
                       "usage": {"prompt_tokens": n, "completion_tokens": n + 1}}).encode()


def read_request(sock):
    """The headers and the body of a request of HTTP/1.1."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(65536)
    head, body = data.split(b"\r\n\r\n", 1)
    headers = {k.strip().lower(): v.strip() for k, _, v in (x.partition(b":") for x in head.split(b"\r\n")[1:])}
    while len(body) < int(headers.get(b"content-length", 0)):
        body += sock.recv(65536)
    return headers, body


def answer(conn, lock, sock, stream, body):
    print("request", flush=True)
    HOLD.wait()
    time.sleep(0.03)
    with lock:
        conn.send_headers(stream, [(":status", "200"), ("content-type", "application/json")])
        conn.send_data(stream, reply(body), end_stream=True)
        sock.sendall(conn.data_to_send())


def serve(sock):
    headers, body = read_request(sock)
    conn, lock, bodies = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False)), threading.Lock(), {}
    conn.initiate_upgrade_connection(headers[b"http2-settings"])
    sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + conn.data_to_send())
    threading.Thread(target=answer, args=(conn, lock, sock, 1, body), daemon=True).start()
    while data := sock.recv(65536):
        with lock:
            events = conn.receive_data(data)
            for event in events:
                if isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                    conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            sock.sendall(conn.data_to_send())
        for event in events:
            if isinstance(event, h2.events.StreamEnded):
                threading.Thread(target=answer, args=(conn, lock, sock, event.stream_id, bodies.pop(event.stream_id, b"")),
                                 daemon=True).start()
    sock.close()


def main():
    server = socket.create_server(("127.0.0.1", 0), backlog=128)
    print("ready", server.getsockname()[1], flush=True)
    if "--hold" in sys.argv:
        threading.Thread(target=lambda: sys.stdin.readline() and HOLD.set(), daemon=True).start()
    else:
        HOLD.set()
    while True:
        sock, _ = server.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    main()
