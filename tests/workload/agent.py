#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A small agent on plain HTTP that works, is slow, fails for ever or goes round in circles.

usage: agent.py URL MODE    MODE: slow (25 quick turns, then one long streamed reply), loop (one turn of tool calls
without an end), retry (every request fails, tried again for ever), refused (no server listens, and each attempt is
logged, so that it never rests), refused-later (the same with a time limit, so that connect() does not wait)

On stdout JSON lines: ready; it starts when a line comes on stdin; then `turn` for each turn, in refused a line an
attempt, and in loop and retry nothing more, for output would be progress. Those go on until a second line comes: then one request succeeds, and the
turn ends. `done` with the number of requests made comes last; it leaves when another line comes.
"""
import http.client
import json
import select
import sys
import time
import urllib.parse

QUICK_TURNS = 25
SLOW_PLAN = "words=12,chunks=12,spacing=400"  # 4.8 s: each piece sooner than any stall timeout
PAUSE_S = 0.05


class Agent:
    def __init__(self, url):
        self.url = urllib.parse.urlsplit(url)
        self.requests = 0

    def ask(self, messages, plan, stream=False, timeout=None):
        """One request on a connection of its own; the HTTP status, None when it could not be made."""
        body = {"model": "stand-in-1", "messages": messages, "stream": stream}
        self.requests += 1
        conn = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=timeout)
        try:
            conn.request("POST", "/v1/chat/completions", json.dumps(body),
                         {"Content-Type": "application/json", "Authorization": "Bearer x", "x-llm-plan": plan})
            response = conn.getresponse()
            response.read()
            return response.status
        except ConnectionRefusedError:
            return None
        finally:
            conn.close()

    def turn(self, n, plan="latency=5", stream=False):
        assert self.ask(user(n), plan, stream) == 200
        say(event="turn", turn=n)

    def slow(self):
        for n in range(QUICK_TURNS):
            self.turn(n)
        self.turn(QUICK_TURNS, SLOW_PLAN, stream=True)

    def loop(self):
        messages = user(0)
        while not told():
            assert self.ask(messages, "latency=5") == 200
            call = f"call_{self.requests}"
            messages = messages + [
                {"role": "assistant", "content": None, "tool_calls": [
                    {"id": call, "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": call, "content": f"nothing {self.requests}"}]
            time.sleep(PAUSE_S)
        say(event="turn", turn=0)
        self.turn(1)

    def retry(self):
        while not told():
            assert self.ask(user(0), "fault=429") == 429
            time.sleep(PAUSE_S)
        self.turn(0)

    def refused_later(self):
        self.refused(timeout=5)

    def refused(self, timeout=None):
        self.turn(0)
        port, self.url = self.url, self.url._replace(netloc="127.0.0.1:1")  # tcpmux: nobody has it
        while not told():
            assert self.ask(user(1), "", timeout=timeout) is None
            say(event="refused", requests=self.requests)
            time.sleep(PAUSE_S)
        self.url = port
        self.turn(1)


def user(n):
    return [{"role": "user", "content": f"question {n}"}]


def told():
    return select.select([sys.stdin], [], [], 0)[0] and sys.stdin.readline()


def say(**line):
    print(json.dumps(line), flush=True)


def main():
    url, mode = sys.argv[1:]
    agent = Agent(url)
    say(event="ready")
    sys.stdin.readline()
    getattr(agent, mode.replace("-", "_"))()
    say(event="done", requests=agent.requests)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
