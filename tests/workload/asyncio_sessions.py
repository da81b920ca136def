#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Concurrent asyncio sessions with nothing but the standard library, for any Python from 3.8 on.

Each session is a task; all share two pools, of Redis and of LLM connections, so that nothing but the task tells whose a
call is. Session N makes N + 1 reads before and N + 2 writes after each LLM call. JSON lines on stdout: {"event":"ready"}
before asyncio is imported, then a line is read from stdin; {"event":"turn","session","turn","reads","writes"};
{"event":"end"}.

With --libraries the sessions use httpx.AsyncClient and redis.asyncio, as runners do; then each makes two reads and a
write a turn, and the truth is truth.py's.
"""
import argparse
import json
import os
import socket
import sys
import threading

LOCK = threading.Lock()


def say(**line):
    with LOCK:
        os.write(1, (json.dumps(line) + "\n").encode())


def command(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in (x.encode() for x in words))


class Pool:
    """Connections of one event loop to one address; whoever comes takes the one used last."""

    def __init__(self, address):
        self.host, _, self.port = address.rpartition(":")
        self.free = []

    async def take(self):
        if self.free:
            return self.free.pop()
        return await asyncio.open_connection(self.host, int(self.port))

    def put(self, connection):
        self.free.append(connection)


class Session:
    def __init__(self, args, number, redis, llm):
        self.args, self.number, self.redis, self.llm, self.messages = args, number, redis, llm, []

    async def store(self, *words):
        if self.args.executor:
            return await asyncio.get_running_loop().run_in_executor(None, self.store_here, *words)
        connection = await self.redis.take()
        reader, writer = connection
        writer.write(command(*words))
        await writer.drain()
        line = await reader.readline()
        if line[:1] == b"$" and line[:2] != b"$-":
            await reader.readexactly(int(line[1:]) + 2)
        self.redis.put(connection)

    def store_here(self, *words):
        """In a thread of an executor; a connection a call, as the thread is not known before."""
        with socket.create_connection((self.redis.host, int(self.redis.port))) as s:
            s.sendall(command(*words))
            s.recv(4096)

    async def chat(self):
        connection = await self.llm.take()
        reader, writer = connection
        body = json.dumps({"model": "session-%d" % self.number, "messages": self.messages}).encode()
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: llm.test\r\nContent-Type: application/json\r\n"
                     b"x-llm-plan: framing=length\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        length = 0
        while True:
            line = await reader.readline()
            if line in (b"\r\n", b""):
                break
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        reply = json.loads(await reader.readexactly(length))
        self.llm.put(connection)
        return reply["choices"][0]["message"]["content"]

    async def turn(self, n):
        key = "memory:%d" % self.number
        for _ in range(self.number + 1):
            await self.store("GET", key)
        self.messages.append({"role": "user", "content": "session %d asks %d" % (self.number, n)})
        self.messages.append({"role": "assistant", "content": await self.chat()})
        for _ in range(self.number + 2):
            await self.store("SET", key, "x" * 20)
        say(event="turn", session=self.number, turn=n, reads=self.number + 1, writes=self.number + 2)

    async def turns(self):
        for n in range(self.args.turns):
            await self.turn(n)


class LibrarySession:
    def __init__(self, number, plan, memory, llm):
        self.number, self.plan, self.memory, self.llm, self.messages = number, plan, memory, llm, []

    async def turns(self, count):
        for n in range(count):
            turn = Turn(self.number, n)
            await self.memory.recall(turn, self.number)
            self.messages.append({"role": "user", "content": prompt(self.number, n)})
            answer = await self.llm.chat(turn, self.messages, plan=self.plan)
            self.messages.append(answer)
            await self.memory.remember(turn, self.number, answer["content"])
            turn.end(reads=2, writes=1)


async def library_loop(args, numbers):
    memory, llm = AsyncMemory(args), AsyncLlm(args.llm)
    await asyncio.gather(*(LibrarySession(n, args.plan, memory, llm).turns(args.turns) for n in numbers))
    await memory.close()
    await llm.close()


async def loop(args, numbers):
    if args.libraries:
        return await library_loop(args, numbers)
    redis, llm = Pool(args.redis), Pool(args.llm)
    await asyncio.gather(*(Session(args, n, redis, llm).turns() for n in numbers))
    for _, writer in redis.free + llm.free:
        writer.close()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--llm", required=True, metavar="HOST:PORT")
    p.add_argument("--redis", required=True, metavar="HOST:PORT")
    p.add_argument("--sessions", type=int, default=3)
    p.add_argument("--turns", type=int, default=4)
    p.add_argument("--loops", type=int, default=1, help="event loops, each on a thread, that share the sessions")
    p.add_argument("--executor", action="store_true", help="storage calls on the threads of an executor")
    p.add_argument("--late", action="store_true", help="import asyncio only after the line from stdin")
    p.add_argument("--libraries", action="store_true", help="--llm is a URL then")
    p.add_argument("--plan", default="", help="for the LLM server; --libraries")
    args = p.parse_args()
    global asyncio
    if not args.late:
        import asyncio
    if args.libraries:
        global AsyncLlm, AsyncMemory, Turn, prompt
        from clients import AsyncLlm, AsyncMemory
        from truth import Turn, prompt
    say(event="ready", pid=os.getpid())
    sys.stdin.readline()
    if args.late:
        import asyncio
    threads = [threading.Thread(target=lambda i=i: asyncio.run(loop(args, range(i, args.sessions, args.loops))))
               for i in range(1, args.loops)]
    for t in threads:
        t.start()
    asyncio.run(loop(args, range(0, args.sessions, args.loops)))
    for t in threads:
        t.join()
    say(event="end")


if __name__ == "__main__":
    main()
