# SPDX-License-Identifier: BSD-2-Clause
"""A client that knows its store by name alone: in a network and mount namespace of its own (unshare -n -m), with a name server
and a store of a protocol nobody knows. The parent serves; the child, whose PID the first line tells, is the client: for each
line on stdin "NAME PORT" it asks for the name, connects, has one exchange and prints what it did.
"""
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

STORE, PORT = "127.0.0.2", 7777


def answer(question):
    """One A record for any name (RFC 1035, 4.1); to a question for other types, none."""
    end = question.index(b"\0", 12) + 5
    kind = struct.unpack_from(">H", question, end - 4)[0]
    records = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(STORE) if kind == 1 else b""
    return question[:2] + struct.pack(">HHHHH", 0x8180, 1, 1 if records else 0, 0, 0) + question[12:end] + records


def serve_names(s):
    while True:
        question, peer = s.recvfrom(4096)
        s.sendto(answer(question), peer)


def serve_store(s):
    while True:
        c, _ = s.accept()
        with c:
            while data := c.recv(4096):
                c.sendall(b"\x02" + data[1:])


def client():
    sys.stdin = os.fdopen(0)
    for line in sys.stdin:
        name, port = line.split()
        address = socket.getaddrinfo(name, int(port), type=socket.SOCK_STREAM)[0][4]
        start = time.monotonic_ns()
        with socket.create_connection(address) as s:
            s.sendall(b"\x01\xfe\xfd opaque")
            reply = s.recv(4096)
        print(json.dumps({"event": "exchange", "name": name, "reply": len(reply), "start_ns": start,
                          "end_ns": time.monotonic_ns()}), flush=True)


def main():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.NamedTemporaryFile("w") as f:
        f.write("nameserver 127.0.0.1\noptions timeout:5\n")
        f.flush()
        subprocess.run(["mount", "--bind", f.name, "/etc/resolv.conf"], check=True)
        names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        names.bind(("127.0.0.1", 53))
        store = socket.create_server((STORE, PORT))
        pid = os.fork()
        if pid == 0:
            names.close()
            store.close()
            client()
            os._exit(0)
        for target, s in ((serve_names, names), (serve_store, store)):
            threading.Thread(target=target, args=(s,), daemon=True).start()
        print(json.dumps({"event": "ready", "pid": pid}), flush=True)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
