#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The agent behind a benchmark runner: a server of POST /run_turn, with a memory layer and an LLM.

usage: agent_server.py VARIANT --llm URL --redis HOST:PORT
  threads     a thread a connection (http.server), everything sync
  tasks       aiohttp, each request a task: httpx.AsyncClient and redis.asyncio
  to_thread   the same, but the SDK is sync and called in asyncio.to_thread

A request is {conversation_history, current_message, session_id, turn_number, agent_type}, the reply {response,
metadata}; GET /health is answered. On stdout {"event": "ready", "port"}, then truth.py's `turn` line for each request,
t_request and t_response around it. It ends by SIGTERM. With --warm it asks the LLM once before any request.
"""
import argparse
import asyncio
import http.server
import json
import os
import signal
import sys
import threading
import time

from clients import AsyncLlm, AsyncMemory, Llm, Memory, add_arguments
from truth import Turn, say

WARM = [{"role": "user", "content": "are you there?"}]


def messages(body):
    return [{"role": "system", "content": "you are " + body["agent_type"]}, *body["conversation_history"],
            {"role": "user", "content": body["current_message"]}]


def reply(answer):
    return {"response": answer["content"] if answer else "", "metadata": {"agent": "stand-in"}}


def served(turn, start):
    turn.end(t_request=start, t_response=time.monotonic_ns())


def serve_threads(args):
    llm, memory = Llm(args.llm, args.ca), Memory(args)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one write

        def log_message(self, *_):
            pass

        def answer(self, document):
            data = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()

        def do_GET(self):
            self.answer({"status": "ok"})

        def do_POST(self):
            start = time.monotonic_ns()
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            turn = Turn(body["session_id"], body["turn_number"])
            memory.recall(turn, turn.session)
            answer = llm.chat(turn, messages(body), plan=args.plan)
            memory.remember(turn, turn.session, body["current_message"])
            self.answer(reply(answer))
            served(turn, start)

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    if args.warm:
        llm.chat(Turn("warm", 0), WARM)
    say(event="ready", pid=os.getpid(), port=server.server_address[1])
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.1)


async def serve_aiohttp(args):
    from aiohttp import web
    memory = await AsyncMemory(args).open()
    sync = args.variant == "to_thread"
    llm = Llm(args.llm, args.ca, client="httpx") if sync else AsyncLlm(args.llm, args.ca)

    async def run_turn(request):
        start = time.monotonic_ns()
        body = await request.json()
        turn = Turn(body["session_id"], body["turn_number"])
        await memory.recall(turn, turn.session)
        if sync:
            answer = await asyncio.to_thread(llm.chat, turn, messages(body), plan=args.plan)
        else:
            answer = await llm.chat(turn, messages(body), plan=args.plan)
        await memory.remember(turn, turn.session, body["current_message"])
        response = web.json_response(reply(answer))
        await response.prepare(request)
        await response.write_eof()
        served(turn, start)
        return response

    async def health(_):
        return web.json_response({"status": "ok"})

    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/run_turn", run_turn)
    app.router.add_get("/health", health)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    if args.warm:
        warm = llm.chat(Turn("warm", 0), WARM) if sync else await llm.chat(Turn("warm", 0), WARM)
        assert warm
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    say(event="ready", pid=os.getpid(), port=runner.addresses[0][1])
    await stop.wait()
    await runner.cleanup()
    await memory.close()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("variant", choices=("threads", "tasks", "to_thread"))
    add_arguments(p)
    p.add_argument("--warm", action="store_true")
    p.add_argument("--gate", action="store_true", help="wait for a line on stdin before --warm")
    args = p.parse_args()
    if args.gate:
        say(event="gate", pid=os.getpid())
        sys.stdin.readline()
    serve_threads(args) if args.variant == "threads" else asyncio.run(serve_aiohttp(args))


if __name__ == "__main__":
    main()
