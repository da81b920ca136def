# SPDX-License-Identifier: BSD-2-Clause
"""A tree that waits in every way at once: threads in known system calls, sockets with known settings, a child. Says what it
has, as one JSON object, and stays until its standard input ends."""
import json
import os
import select
import socket
import struct
import sys
import threading
import time


def connection(listener):
    client = socket.create_connection(listener.getsockname()[:2])
    return client, listener.accept()[0]


def child(pipe):
    """Forked: waits for a byte from its parent."""
    pid = os.fork()
    if pid == 0:
        os.close(pipe[1])
        os.read(pipe[0], 1)
        os._exit(0)
    os.close(pipe[0])
    return pid


def main():
    forked = child(os.pipe())
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    asked, answers = connection(listener)  # a request that nobody reads
    asked.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 700), (socket.TCP_KEEPINTVL, 70), (socket.TCP_KEEPCNT, 7),
                          (socket.TCP_USER_TIMEOUT, 70007)):
        asked.setsockopt(socket.IPPROTO_TCP, option, value)
    asked.sendall(b"GET / HTTP/1.1\r\n\r\n")
    timed, _timed_peer = connection(listener)
    timed.settimeout(3600)
    limited, _limited_peer = connection(listener)  # SO_RCVTIMEO: 100 s
    limited.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 100, 0))
    six = socket.socket(socket.AF_INET6)
    with_six = socket.has_ipv6
    try:
        six.bind(("::1", 0))
        six.listen()
        six_client, _six_peer = connection(six)
    except OSError:
        with_six = False
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.connect(("127.0.0.1", 9))
    unbound = socket.socket()  # in no table of the kernel's
    local, _local_peer = socket.socketpair()
    named = socket.socket(socket.AF_UNIX)
    named.bind("\0whystuck-waits-%d" % os.getpid())
    named.listen()
    to_named = socket.socket(socket.AF_UNIX)
    to_named.connect(named.getsockname())  # never accepted
    quiet = socket.socket()
    quiet.bind(("127.0.0.1", 0))
    quiet.listen()
    watcher = select.epoll()
    watcher.register(datagrams.fileno(), select.EPOLLIN)
    lock = threading.Lock()
    lock.acquire()

    waits = {
        "recv": lambda: asked.recv(10),
        "recv_timeout": lambda: timed.recv(10),
        "recv_rcvtimeo": lambda: limited.recv(10),
        "unix_recv": lambda: local.recv(10),
        "lock": lock.acquire,
        "lock_timeout": lambda: lock.acquire(timeout=3600),
        "sleep": lambda: time.sleep(3600),
        "epoll": watcher.poll,
        "select": lambda: select.select([datagrams, listener], [], [], 3600),
        "accept": quiet.accept,
    }
    tids, ready = {}, threading.Barrier(len(waits) + 1)

    def wait(name):
        tids[name] = threading.get_native_id()
        ready.wait()
        waits[name]()

    for name in waits:
        threading.Thread(target=wait, args=(name,), daemon=True).start()
    ready.wait()
    # asleep: seen in what the kernel shows of each thread
    for tid in tids.values():
        while open("/proc/self/task/%d/stat" % tid).read().rsplit(")", 1)[1].split()[0] != "S":
            time.sleep(0.01)
    print(json.dumps({"event": "hanging", "pid": os.getpid(), "tid": os.getpid(), "since": time.monotonic(),
                      "child": forked, "tids": tids,
                      "asked": {"fd": asked.fileno(), "sock": os.fstat(asked.fileno()).st_ino},
                      "answers": {"fd": answers.fileno(), "sock": os.fstat(answers.fileno()).st_ino},
                      "limited": os.fstat(limited.fileno()).st_ino, "unbound": os.fstat(unbound.fileno()).st_ino,
                      "six": os.fstat(six_client.fileno()).st_ino if with_six else None,
                      "namespace": os.stat("/proc/self/ns/net").st_ino}), flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
