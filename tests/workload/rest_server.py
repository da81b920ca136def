# SPDX-License-Identifier: BSD-2-Clause
"""Stand-ins for stores that speak HTTP: each answers as its documentation says, each on a port of its own that is not its usual
one. What a name holds decides how it ends: with "bad" in it, it fails in the store's own way, mostly with status 200.

    rest_server.py              prints {"event": "ready", "ports": {system: port}}, then a line a request
"""
import gzip
import http.server
import json
import sys
import threading
import time
from urllib.parse import parse_qs, urlsplit

SLOW_S = 0.05
SHARDS = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
XML = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"


class Store(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    content_type = "application/json"
    headers_out = {}

    def log_message(self, *_):
        pass

    def body(self):
        n = self.headers.get("Content-Length")
        if n:
            return self.rfile.read(int(n))
        out = b""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline(), 16):
                out += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        return out

    def any(self):
        url = urlsplit(self.path)
        data = self.body()
        if "slow" in url.path:
            time.sleep(SLOW_S)
        status, reply = self.answer(self.command, url.path, parse_qs(url.query, keep_blank_values=True), data)
        if not isinstance(reply, (bytes, str)):
            reply = json.dumps(reply)
        if isinstance(reply, str):
            reply = reply.encode()
        squeezed = "gzip" in self.headers.get("Accept-Encoding", "") and len(reply) > 100
        if squeezed:
            reply = gzip.compress(reply)
        self.send_response(status)
        for name, value in self.headers_out.items():
            self.send_header(name, value)
        if squeezed:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Type", self.content_type)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply)
        say(event="request", system=type(self).__name__.lower(), method=self.command, path=url.path, status=status)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = any


class Qdrant(Store):
    def answer(self, method, path, query, data):
        if path in ("/", "/healthz", "/readyz"):
            return 200, {"title": "qdrant - vector search engine", "version": "1.19.0"}
        if "bad" in path:
            return 404, {"status": {"error": "Not found: Collection `bad` doesn't exist!"}, "time": 2e-5}
        if path.endswith("/points") and method == "PUT":
            result = {"operation_id": 0, "status": "completed"}
        elif path.endswith("/query"):
            result = {"points": [{"id": 1, "version": 0, "score": 0.9, "payload": {"status": {"error": "no"}}}]}
        elif path.endswith("/scroll"):
            result = {"points": [], "next_page_offset": None}
        elif path.endswith("/count"):
            result = {"count": 1}
        elif path.endswith("/search"):
            result = [{"id": 1, "version": 0, "score": 0.9}]
        else:
            result = {"collections": [{"name": "facts"}]}
        return 200, {"result": result, "status": "ok", "time": 0.001}


class Typesense(Store):
    def answer(self, method, path, query, data):
        self.content_type = "text/plain; charset=utf-8" if path.endswith("/import") else Store.content_type
        if path == "/health":
            return 200, {"ok": True}
        if path.endswith("/import"):
            rows = [json.loads(x) for x in data.splitlines() if x.strip()]
            return 200, "\n".join(json.dumps({"success": True} if "bad" not in str(r) else
                                             {"code": 400, "document": json.dumps(r), "error": "Bad.", "success": False})
                                  for r in rows)
        if path == "/multi_search":
            searches = json.loads(data)["searches"]
            return 200, {"results": [{"code": 404, "error": "Not found."} if "bad" in s["collection"] else
                                     {"found": 0, "hits": [], "search_time_ms": 1} for s in searches]}
        if path.endswith("/search"):
            return (404, {"message": "Not Found"}) if "bad" in path else \
                (200, {"found": 1, "hits": [{"document": {"id": "1", "error": "x"}}], "search_time_ms": 1})
        return 201, {"id": "1"}


class Elasticsearch(Store):
    headers_out = {"X-elastic-product": "Elasticsearch"}

    def answer(self, method, path, query, data):
        if path == "/":
            return 200, {"name": "n", "version": {"number": "7.17.6", "build_flavor": "default"},
                         "tagline": "You Know, for Search"}
        if path == "/_bulk":
            bad = b"bad" in data
            error = {"type": "version_conflict_engine_exception", "reason": "[1]: secret"}
            item = {"_id": "1", "status": 409 if bad else 201, **({"error": error} if bad else {})}
            return 200, {"took": 1, "errors": bad, "items": [{"index": item}]}
        if path.endswith("/_search"):
            return 200, {"took": 1, "timed_out": "bad" in path, "_shards": SHARDS,
                         "hits": {"total": {"value": 0}, "hits": [{"_source": {"errors": True}}] * 50}}
        if "/_doc/" in path and method == "GET":
            return 404, {"_index": "notes", "_type": "_doc", "_id": "9", "found": False}
        if "bad" in path:
            return 404, {"error": {"root_cause": [], "type": "index_not_found_exception", "reason": "no such index [bad]"},
                         "status": 404}
        return 200, {"_index": "notes", "_id": "1", "result": "created", "_shards": SHARDS}


class Meilisearch(Store):
    def answer(self, method, path, query, data):
        if path == "/health":
            return 200, {"status": "available"}
        if path.startswith("/tasks/"):
            failed = path.endswith("13")
            return 200, {"uid": 1, "status": "failed" if failed else "succeeded", "enqueuedAt": "2026",
                         "error": {"message": "secret", "code": "invalid_document_id"} if failed else None}
        if path.endswith("/search"):
            return 200, {"hits": [], "query": "x", "processingTimeMs": 0}
        return 202, {"taskUid": 1, "indexUid": "notes", "status": "enqueued", "enqueuedAt": "2026"}


class Chroma(Store):
    def answer(self, method, path, query, data):
        if path.endswith("/heartbeat"):
            return 200, {"nanosecond heartbeat": 1}
        if "bad" in path:
            return 404, {"error": "NotFoundError", "message": "Collection [secret] does not exist"}
        return 200, {"ids": [["a"]], "distances": [[0.1]]}


class Weaviate(Store):
    def answer(self, method, path, query, data):
        if path.startswith("/v1/.well-known/"):
            return 200, b""
        if path == "/v1/graphql":
            bad = b"bad" in data
            return 200, {"data": {"Get": None if bad else {"Note": []}},
                         **({"errors": [{"message": "secret"}]} if bad else {})}
        return 200, [{"class": "Note", "result": {"status": "FAILED" if b"bad" in data else "SUCCESS"}}]


class Milvus(Store):
    def answer(self, method, path, query, data):
        if b"bad" in data:
            return 200, {"code": 1100, "message": "can't find collection[secret]"}
        return 200, {"code": 0, "data": []}


class S3(Store):
    content_type = "application/xml"
    headers_out = {"x-amz-request-id": "R"}

    def answer(self, method, path, query, data):
        bad = "bad" in path
        if method == "HEAD":
            return 200, b""
        if "delete" in query:
            error = "<Error><Key>b</Key><Code>AccessDenied</Code></Error>" if b"bad" in data else ""
            return 200, XML + f"<DeleteResult><Deleted><Key>a</Key></Deleted>{error}</DeleteResult>"
        if "uploads" in query:
            return 200, XML + "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
        if "uploadId" in query and method == "POST":
            return 200, XML + ("<Error><Code>InvalidPart</Code><Message>secret</Message></Error>" if bad else
                               "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>")
        if "list-type" in query:
            return 200, XML + "<ListBucketResult><Name>b</Name><KeyCount>0</KeyCount></ListBucketResult>"
        if method == "GET" and bad:
            return 404, XML + "<Error><Code>NoSuchKey</Code><Message>secret</Message></Error>"
        return 200, b"hello <Error> bytes" if method == "GET" else b""


STORES = {c.__name__.lower(): c for c in (Qdrant, Typesense, Elasticsearch, Meilisearch, Chroma, Weaviate, Milvus, S3)}
lock = threading.Lock()


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


def say(**event):
    with lock:
        print(json.dumps(event), flush=True)


def main():
    ports = {}
    for name, handler in STORES.items():
        server = Server(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        ports[name] = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
    say(event="ready", ports=ports)
    sys.stdin.read()


if __name__ == "__main__":
    main()
