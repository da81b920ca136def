# SPDX-License-Identifier: BSD-2-Clause
"""TLS inside a tunnel that is no TLS on the wire (each byte is turned over), to a server that its client calls inner.test; the
requests name no host. The parent serves; the child, whose PID the first line tells, asks once for each line on its stdin and
prints what it got.
"""
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

NAME = "inner.test"


def turned(data):
    return bytes(b ^ 0xff for b in data)


class Tunnel:
    """One end: a TLS object over memory, a socket beneath."""

    def __init__(self, context, s, **how):
        self.s, self.inward, self.outward = s, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.inward, self.outward, **how)
        self.call(self.tls.do_handshake)

    def call(self, what, *args):
        while True:
            try:
                return what(*args)
            except ssl.SSLWantReadError:
                self.flush()
                data = self.s.recv(65536)
                if not data:
                    raise EOFError from None
                self.inward.write(turned(data))
            finally:
                self.flush()

    def flush(self):
        if data := self.outward.read():
            self.s.sendall(turned(data))

    def write(self, data):
        self.call(self.tls.write, data)

    def read(self):
        return self.call(self.tls.read, 65536)


def answer(s, context):
    try:
        end = Tunnel(context, s, server_side=True)
        while end.read():
            end.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    except (EOFError, OSError):
        s.close()


def serve(listener, context):
    while True:
        s, _ = listener.accept()
        threading.Thread(target=answer, args=(s, context), daemon=True).start()


def client(port):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    end = Tunnel(context, socket.create_connection(("127.0.0.1", port)), server_hostname=NAME)
    print(json.dumps({"event": "ready", "pid": os.getpid()}), flush=True)
    for line in os.fdopen(0):
        if line.strip() == "anew":
            end = Tunnel(context, socket.create_connection(("127.0.0.1", port)), server_hostname=NAME)
        start = time.monotonic_ns()
        end.write(b"GET /things HTTP/1.1\r\n\r\n")
        print(json.dumps({"event": "reply", "bytes": len(end.read()), "start_ns": start, "end_ns": time.monotonic_ns()}), flush=True)


def main():
    with tempfile.TemporaryDirectory() as d:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", f"/CN={NAME}", "-keyout", f"{d}/key", "-out", f"{d}/cert"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{d}/cert", f"{d}/key")
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    pid = os.fork()
    if pid == 0:
        listener.close()
        client(port)
        os._exit(0)
    threading.Thread(target=serve, args=(listener, context), daemon=True).start()
    os.waitpid(pid, 0)


if __name__ == "__main__":
    sys.exit(main())
