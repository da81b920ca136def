# SPDX-License-Identifier: BSD-2-Clause
"""The workload's own clock next to the wire: when the calls of Python's sockets and TLS objects that moved something began
and ended, by thread. What an HTTP client does before its first byte and after its last is not in it; so it is what an
observer of those calls should measure, and how far it is off can be asked.

Sync clients over TLS or plain TCP only: an event loop's bytes move outside of the call that asked for them.
"""
import functools
import socket
import ssl
import threading
import time

OPS = {socket.socket: ("connect", "send", "sendall", "recv", "recv_into"),
       ssl.SSLSocket: ("connect", "do_handshake", "send", "sendall", "recv", "recv_into", "read", "write")}
KEPT = 4096  # of the newest operations of a thread: more than one call has


class Ops(threading.local):
    def __init__(self):
        self.spans, self.depth = [], 0


ops = Ops()


def timed(method):
    @functools.wraps(method)
    def op(*arguments, **options):
        ops.depth += 1  # send() of a TLS object calls write()
        before = time.monotonic_ns()
        try:
            moved = method(*arguments, **options)
        finally:
            ops.depth -= 1
        # a read of nothing is the connection's end, which is not the reply's
        if not ops.depth and (moved is None or moved):
            ops.spans.append((before, time.monotonic_ns()))
            del ops.spans[:-KEPT]
        return moved
    return op


def watch():
    """From now on, in all threads."""
    if hasattr(socket.socket.connect, "__wrapped__"):
        return
    for cls, names in OPS.items():
        for name in names:
            setattr(cls, name, timed(getattr(cls, name)))


def span(before, after):
    """(begin, end) of what this thread's sockets did between two times, None nothing."""
    inside = [s for s in ops.spans if s[0] >= before and s[1] <= after]
    return (inside[0][0], inside[-1][1]) if inside else None
