#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""requests.Session, shared by threads."""
import requests
from client import HEADERS, PATH, URL, run_threads

session = requests.Session()


def ask(request):
    reply = session.post(URL + PATH, json=request.body, headers=HEADERS)
    return reply.status_code, reply.json()


run_threads(ask)
