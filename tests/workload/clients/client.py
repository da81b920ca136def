# SPDX-License-Identifier: BSD-2-Clause
"""What the Python clients here share. Each line "N FIRST" on stdin is N requests at once, numbered from FIRST; each request
has as many words as its number says, so that tokens tell them apart. On stdout a JSON line a request (see Request.line),
then one {"event": "done"}. The one argument is the server's URL; the CA is in the environment each client reads.
"""
import asyncio
import json
import os
import sys
import threading
import time

URL = sys.argv[1] if len(sys.argv) > 1 else ""
PATH = "/v1/chat/completions"
HEADERS = {"authorization": "Bearer none"}
UNIX = os.environ.get("CLIENT_UNIX") or None  # a unix socket to connect to, whatever the URL's host
# httpx gives up after 5 s of silence where it is not told otherwise: too soon for replies that a test holds back
PATIENCE = {"timeout": None} if os.environ.get("CLIENT_PATIENT") else {}
HTTPX = dict(PATIENCE, http2=True) if os.environ.get("CLIENT_HTTP2") else PATIENCE


def say(**line):
    """One write a line: threads share the descriptor."""
    os.write(1, (json.dumps(line) + "\n").encode())


class Request:
    """One request, timed by CLOCK_MONOTONIC around the client's call."""

    def __init__(self, number):
        self.number, self.first_ns = number, None
        self.body = {"model": "stand-in", "messages": [{"role": "user", "content": "word " * number}]}

    def first(self):
        """The beginning of the reply was seen by now."""
        self.first_ns = time.monotonic_ns()

    def line(self, start_ns, status, document):
        usage = document.get("usage") or {}
        say(event="call", number=self.number, start_ns=start_ns, first_ns=self.first_ns, end_ns=time.monotonic_ns(),
            status=status, tokens_in=usage.get("prompt_tokens"), tokens_out=usage.get("completion_tokens"))

    def run(self, ask):
        start = time.monotonic_ns()
        try:
            self.line(start, *ask(self))
        except Exception as exc:  # each client has its own; an interpreter's traceback of a thread tells no number
            say(event="failed", number=self.number, error=repr(exc))

    async def run_async(self, ask):
        start = time.monotonic_ns()
        self.line(start, *await ask(self))


def orders(line):
    count, first = map(int, line.split())
    return [Request(first + i) for i in range(count)]


def run_threads(ask):
    """ask(request) -> (status, document), from a thread for each request of an order."""
    say(event="ready")
    for line in sys.stdin:
        threads = [threading.Thread(target=r.run, args=(ask,)) for r in orders(line)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        say(event="done")


async def run_tasks(ask):
    """The same, from a task for each request of an order."""
    loop = asyncio.get_running_loop()
    say(event="ready")
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        await asyncio.gather(*(r.run_async(ask) for r in orders(line)))
        say(event="done")
