#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""http.client over ssl.SSLContext.wrap_socket() of a unix socket: a connection a thread, which it keeps."""
import http.client
import json
import queue
import socket
import ssl

from client import HEADERS, PATH, UNIX, run_threads

context = ssl.create_default_context()
idle = queue.SimpleQueue()


class Connection(http.client.HTTPConnection):
    def connect(self):
        plain = socket.socket(socket.AF_UNIX)
        plain.connect(UNIX)
        self.sock = context.wrap_socket(plain, server_hostname="localhost")


def ask(request):
    try:
        connection = idle.get_nowait()
    except queue.Empty:
        connection = Connection("localhost")
    connection.request("POST", PATH, json.dumps(request.body), {**HEADERS, "content-type": "application/json"})
    reply = connection.getresponse()
    request.first()
    document = json.load(reply)
    reply.read()
    idle.put(connection)
    return reply.status, document


run_threads(ask)
