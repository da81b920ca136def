#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""httpx.Client, shared by threads."""
import httpx
from client import HEADERS, HTTPX, PATH, UNIX, URL, run_threads

client = httpx.Client(transport=httpx.HTTPTransport(uds=UNIX) if UNIX else None, **HTTPX)


def ask(request):
    reply = client.post(URL + PATH, json=request.body, headers=HEADERS)
    return reply.status_code, reply.json()


run_threads(ask)
