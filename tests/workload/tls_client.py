#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""HTTPS requests through a TLS library of one's choice, which is loaded while the process runs.

tls_client.py HOW LIBRARY PORT N: asks the LLM stand-in on 127.0.0.1 N times over one connection. HOW: `client`, the library is
tls_client.c; `openssl`, a libssl; `curl`, a libcurl. Prints JSON lines: "ready", goes on when a line comes on stdin, loads
LIBRARY, "loaded", goes on at the next line; then a "call" each with id, start_ns, end_ns (CLOCK_MONOTONIC) and tokens.
"""
import ctypes
import json
import os
import socket
import sys
import time

CURLOPT_URL, CURLOPT_POSTFIELDS, CURLOPT_HTTPHEADER, CURLOPT_WRITEFUNCTION = 10002, 10015, 10023, 20011
CURLOPT_SSL_VERIFYPEER, CURLOPT_SSL_VERIFYHOST, CURLOPT_HTTP_VERSION = 64, 81, 84  # curl/curl.h
CURL_HTTP_VERSION_1_1 = 2


def say(**line):
    os.write(1, (json.dumps(line) + "\n").encode())


def body(k):
    return json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": f"question {k} " + "a " * k}]}).encode()


def call(k, ask):
    start = time.monotonic_ns()
    reply = ask(k)
    end = time.monotonic_ns()
    usage = json.loads(reply)["usage"]
    say(event="call", id=f"call-{k}", start_ns=start, end_ns=end, tokens_in=usage["prompt_tokens"],
        tokens_out=usage["completion_tokens"])


def through_client(lib, port, n):
    if lib.client_run(port, n):
        sys.exit("the client failed")


def through_openssl(ssl, port, n):
    for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
        getattr(ssl, name).restype = ctypes.c_void_p
    context = ctypes.c_void_p(ssl.SSL_CTX_new(ctypes.c_void_p(ssl.TLS_client_method())))
    s = ctypes.c_void_p(ssl.SSL_new(context))
    connection = socket.create_connection(("127.0.0.1", port))
    ssl.SSL_set_fd(s, connection.fileno())
    if ssl.SSL_connect(s) != 1:
        sys.exit("no TLS connection")
    room = ctypes.create_string_buffer(65536)

    def ask(k):
        data = (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"x-request-id: call-%d\r\nContent-Length: %d\r\n\r\n" % (k, len(body(k)))) + body(k)
        ssl.SSL_write(s, data, len(data))
        reply = b""
        while True:
            got = ssl.SSL_read(s, room, len(room))
            if got <= 0:
                sys.exit("the reply broke off")
            reply += room.raw[:got]
            head, _, rest = reply.partition(b"\r\n\r\n")
            length = next((int(x[15:]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:")), None)
            if length is not None and len(rest) >= length:
                return rest

    for k in range(n):
        call(k, ask)
    ssl.SSL_shutdown(s)
    ssl.SSL_free(s)


def through_curl(curl, port, n):
    curl.curl_easy_init.restype = curl.curl_slist_append.restype = ctypes.c_void_p
    easy = ctypes.c_void_p(curl.curl_easy_init())
    parts = []

    def take(data, size, count, _):
        parts.append(ctypes.string_at(data, size * count))
        return size * count

    callback = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p)(take)
    curl.curl_easy_setopt(easy, CURLOPT_URL, b"https://127.0.0.1:%d/v1/chat/completions" % port)
    for option, value in ((CURLOPT_SSL_VERIFYPEER, 0), (CURLOPT_SSL_VERIFYHOST, 0),
                          (CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1)):
        curl.curl_easy_setopt(easy, option, ctypes.c_long(value))
    curl.curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, callback)

    def ask(k):
        headers = ctypes.c_void_p(curl.curl_slist_append(None, b"Content-Type: application/json"))
        headers = ctypes.c_void_p(curl.curl_slist_append(headers, b"x-request-id: call-%d" % k))
        curl.curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers)
        data = body(k)
        curl.curl_easy_setopt(easy, CURLOPT_POSTFIELDS, data)
        del parts[:]
        if error := curl.curl_easy_perform(easy):
            sys.exit(f"curl: error {error}")
        return b"".join(parts)

    for k in range(n):
        call(k, ask)
    curl.curl_easy_cleanup(easy)


def main():
    how, library, port, n = sys.argv[1:]
    say(event="ready")
    sys.stdin.readline()
    lib = ctypes.CDLL(library)
    say(event="loaded")
    sys.stdin.readline()
    {"client": through_client, "openssl": through_openssl, "curl": through_curl}[how](lib, int(port), int(n))
    say(event="done")


if __name__ == "__main__":
    main()
