#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""urllib.request: a connection for each request."""
import json
import urllib.request

from client import HEADERS, PATH, URL, run_threads


def ask(request):
    post = urllib.request.Request(URL + PATH, json.dumps(request.body).encode(),
                                  {**HEADERS, "content-type": "application/json"})
    with urllib.request.urlopen(post) as reply:
        request.first()
        return reply.status, json.load(reply)


run_threads(ask)
