#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""httpx.AsyncClient."""
import asyncio

import httpx
from client import HEADERS, HTTPX, PATH, UNIX, URL, run_tasks


async def main():
    transport = httpx.AsyncHTTPTransport(uds=UNIX) if UNIX else None
    async with httpx.AsyncClient(transport=transport, **HTTPX) as client:
        async def ask(request):
            reply = await client.post(URL + PATH, json=request.body, headers=HEADERS)
            return reply.status_code, reply.json()
        await run_tasks(ask)


asyncio.run(main())
