#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""aiohttp.ClientSession."""
import asyncio

import aiohttp
from client import HEADERS, PATH, URL, run_tasks


async def main():
    async with aiohttp.ClientSession() as session:
        async def ask(request):
            async with session.post(URL + PATH, json=request.body, headers=HEADERS) as reply:
                request.first()
                return reply.status, await reply.json()
        await run_tasks(ask)


asyncio.run(main())
