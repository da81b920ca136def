# SPDX-License-Identifier: BSD-2-Clause
"""A server with one way to misbehave per port. Prints one JSON line: the ports by name, then a line a request.

usage: hang_server.py [ADDRESS] [--tls DIRECTORY]: with --tls all of it over TLS, certificates made there ("ca" in the line)

silent   reads the request, never answers         stall   begins a streamed reply, then sends comments only
answer   answers at once                          drip    a streamed reply that goes on for ever, a word each 0.3 s
late     answers after a second                   slow    answers after four seconds
closes   reads the request, then closes           limited 429 with Retry-After: 600
refuses  429, Retry-After: 1                      fails   500
mute     accepts, reads nothing and says nothing
"""
import argparse
import json
import os
import socket
import ssl
import sys
import threading
import time

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(text):
    return b"%x\r\n%s\r\n" % (len(text), text)


def word(text):
    return chunk(b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % text)


def reply(status, body, head=b""):
    return (b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s"
            % (status, len(body), head, body))


OK = json.dumps({"id": "x", "object": "chat.completion", "model": "stand-in", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1}}).encode()
KEPT = b"Keep-Alive: timeout=600\r\n"  # else Node's clients close what is idle after 4 s
ERROR = b'{"error": {"message": "no", "type": "stand_in"}}'


def for_ever(c, first, text, seconds):
    c.sendall(first)
    while True:
        time.sleep(seconds)
        c.sendall(text)


MODES = {
    "silent": lambda c: c.recv(1),
    "stall": lambda c: for_ever(c, HEAD + word(b"one") + word(b"two"), chunk(b": ping\n\n"), 1),
    "drip": lambda c: for_ever(c, HEAD + word(b"one"), word(b"more"), 0.3),
    "answer": lambda c: c.sendall(reply(b"200 OK", OK)),
    "late": lambda c: (time.sleep(1), c.sendall(reply(b"200 OK", OK, KEPT))),
    "slow": lambda c: (time.sleep(4), c.sendall(reply(b"200 OK", OK))),
    "closes": lambda c: c.close(),
    "limited": lambda c: c.sendall(reply(b"429 Too Many Requests", ERROR, b"Retry-After: 600\r\n")),
    "refuses": lambda c: c.sendall(reply(b"429 Too Many Requests", ERROR, b"Retry-After: 1\r\n")),
    "fails": lambda c: c.sendall(reply(b"500 Internal Server Error", ERROR)),
}


def request(c, rest):
    """The next whole request; what follows it. None: the client closed."""
    while b"\r\n\r\n" not in rest:
        more = c.recv(65536)
        if not more:
            return None
        rest += more
    head, rest = rest.split(b"\r\n\r\n", 1)
    length = next((int(x.split(b":")[1]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length")), 0)
    while len(rest) < length:
        more = c.recv(65536)
        if not more:
            return None
        rest += more
    return rest[length:]


def serve(c, name, tls):
    rest = b""
    try:
        if tls:
            c = tls.wrap_socket(c, server_side=True)
        if name == "mute":
            threading.Event().wait()
        while (rest := request(c, rest)) is not None:
            os.write(1, (json.dumps({"event": "request", "mode": name, "at": time.monotonic()}) + "\n").encode())
            MODES[name](c)
    except OSError:
        pass


def accept(listener, name, tls):
    while True:
        c, _ = listener.accept()
        c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(c, name, tls), daemon=True).start()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("address", nargs="?", default="127.0.0.1")
    p.add_argument("--tls", metavar="DIRECTORY")
    args = p.parse_args()
    ports, tls = {}, None
    if args.tls:
        from llm_server import make_certificates
        ports["ca"], certificate, key = make_certificates(args.tls)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
    for name in [*MODES, "mute"]:
        listener = socket.create_server((args.address, 0), backlog=128)
        ports[name] = listener.getsockname()[1]
        threading.Thread(target=accept, args=(listener, name, tls), daemon=True).start()
    os.write(1, (json.dumps(dict(ports, event="ready")) + "\n").encode())
    sys.stdin.read()  # ends with who started it


if __name__ == "__main__":
    main()
