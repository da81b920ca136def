#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Two ends of connections, each told by lines on stdin what to do, each saying in JSON lines what it did.

    sockets.py client     connect HOST PORT | connect PATH | keep FD IDLE INTERVAL COUNT USER_TIMEOUT_MS |
                          more FD | options | quit
    sockets.py server [PATH]    reply | forget | quit

The client has a thread for each connection: it sends a line, says so when that is acknowledged, waits for the answer
without a time limit, and says what came of it. The server reads and is silent until it is told to reply.
"""
import errno
import json
import os
import socket
import struct
import sys
import threading
import time

lock = threading.Lock()
OPTIONS = {"on": (socket.SOL_SOCKET, socket.SO_KEEPALIVE), "idle": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
           "interval": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL), "count": (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
           "user_timeout": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)}


def say(event, **fields):
    with lock:
        print(json.dumps(dict(fields, event=event)), flush=True)


def unacked(s):
    """Segments in flight: tcpi_unacked of struct tcp_info (linux/tcp.h), behind eight bytes and four words."""
    return struct.unpack_from("I", s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 24)[0]


def ask(s):
    fd = s.fileno()
    try:
        s.sendall(b"question\n")
        while s.family != socket.AF_UNIX and unacked(s):
            time.sleep(0.005)
        say("sent", fd=fd)
        got = s.recv(4096)
        say("returned", fd=fd, got=got.decode(), error=None)
    except OSError as e:
        say("returned", fd=fd, got="", error=errno.errorcode[e.errno])
    s.close()


def client():
    open_ = {}
    for line in sys.stdin:
        word, *rest = line.split()
        if word == "connect":
            if len(rest) == 2:
                s = socket.create_connection((rest[0], int(rest[1])))
                port = s.getsockname()[1]
            else:
                s = socket.socket(socket.AF_UNIX)
                s.connect(rest[0])
                port = 0
            open_[s.fileno()] = s
            say("connected", fd=s.fileno(), inode=os.fstat(s.fileno()).st_ino, port=port)
            threading.Thread(target=ask, args=(s,), daemon=True).start()
        elif word == "keep":
            s = open_[int(rest[0])]
            for name, value in zip(("on", "idle", "interval", "count", "user_timeout"), [1] + rest[1:]):
                s.setsockopt(*OPTIONS[name], int(value))
            say("kept")
        elif word == "more":
            open_[int(rest[0])].sendall(b"more\n")
            say("more")
        elif word == "options":
            say("options", sockets={fd: {k: s.getsockopt(*o) for k, o in OPTIONS.items()} for fd, s in open_.items()
                                    if s.fileno() >= 0 and s.family != socket.AF_UNIX})
        elif word == "quit":
            break


def server(path=None):
    if path:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
    else:
        listener = socket.create_server(("0.0.0.0", 0), backlog=16)
    accepted = []

    def accept():
        while True:
            s, _ = listener.accept()
            s.recv(4096)
            accepted.append(s)
            say("question")

    threading.Thread(target=accept, daemon=True).start()
    say("ready", port=0 if path else listener.getsockname()[1])
    for line in sys.stdin:
        if line.strip() == "quit":
            break
        for s in accepted:
            if line.strip() == "reply":
                s.sendall(b"answer\n")
            else:  # no FIN: a reset, at once
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.close()
        if line.strip() == "forget":
            accepted.clear()
            say("forgot")


if __name__ == "__main__":
    {"client": client, "server": server}[sys.argv[1]](*sys.argv[2:])
