#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Many requests at once on one HTTP/2 connection, by httpx (python3-h2): what they took and what they brought.

usage: h2_client.py URL [--ca FILE] [--calls N] [--rounds N] [--warm] [--stream] [--plan PLAN]
  --warm  first one request, so that the connection is there; then the gate
On stdout JSON lines: `gate` (goes on when a line comes), `call` of each request, `done`. Times: CLOCK_MONOTONIC ns.
"""
import argparse
import asyncio
import json
import sys
import time

import httpx


def say(event, **fields):
    print(json.dumps(dict(fields, event=event)), flush=True)


def usage_of(text):
    """The counters of a document, or of the newest event of a stream that has them."""
    found = None
    for line in text.splitlines():
        line = line.removeprefix("data: ")
        if line.startswith("{") and (usage := json.loads(line).get("usage")):
            found = usage
    return (found or {}).get("prompt_tokens"), (found or {}).get("completion_tokens")


async def ask(client, args, i):
    body = {"model": "stand-in", "messages": [{"role": "user", "content": "word " * (i + 1)}]}
    if args.stream:
        body.update(stream=True, stream_options={"include_usage": True})
    headers = {"x-llm-plan": args.plan} if args.plan else {}
    start = time.monotonic_ns()
    reply = await client.post(args.url + "/v1/chat/completions", json=body, headers=headers)
    end = time.monotonic_ns()
    tokens = usage_of(reply.text)
    say("call", i=i, version=reply.http_version, status=reply.status_code, tokens_in=tokens[0], tokens_out=tokens[1],
        start_ns=start, end_ns=end)


async def work(args):
    verify = args.ca or True
    async with httpx.AsyncClient(http1=False, http2=True, verify=verify, timeout=None,
                                 limits=httpx.Limits(keepalive_expiry=None)) as client:
        if args.warm:
            await ask(client, args, 0)
        say("gate")
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        for _ in range(args.rounds):
            await asyncio.gather(*(ask(client, args, i + 1) for i in range(args.calls)))
    say("done")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--ca")
    parser.add_argument("--calls", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--plan", default="")
    asyncio.run(work(parser.parse_args()))


if __name__ == "__main__":
    main()
