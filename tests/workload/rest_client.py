# SPDX-License-Identifier: BSD-2-Clause
"""Clients of stores over HTTP, in one process: python3-elasticsearch, python3-boto3, and requests for those that Debian has no
client of. For each line on stdin one round; each operation is told as the client saw it end:

    rest_client.py PORTS.json   {"event": "call", "system", "op", "status": ok|error, "kind"}, health checks as "health"
"""
import json
import os
import sys

import boto3
import botocore.config
import botocore.exceptions
import elasticsearch
import requests

PORTS = json.loads(sys.argv[1])
http = requests.Session()


def url(system):
    return f"http://127.0.0.1:{PORTS[system]}"


def tell(system, op, status="ok", kind=None):
    print(json.dumps({"event": "call", "system": system, "op": op, "status": status, "kind": kind}), flush=True)


def ask(system, op, method, path, failed=None, **options):
    """failed: how the reply tells an error, for a function of it."""
    r = http.request(method, url(system) + path, timeout=30, **options)
    kind = failed(r) if failed else None
    tell(system, op, "error" if kind else "ok", kind)


def round_meilisearch():
    ask("meilisearch", "search", "POST", "/indexes/notes/search", json={"q": "x"})
    ask("meilisearch", "add documents", "POST", "/indexes/notes/documents", json=[{"id": 1}])
    ask("meilisearch", "get task", "GET", "/tasks/12")
    ask("meilisearch", "get task", "GET", "/tasks/13", lambda r: r.json()["error"]["code"])
    ask("meilisearch", "health", "GET", "/health")


def round_chroma():
    base = "/api/v2/tenants/t/databases/d/collections/"
    ask("chroma", "health", "GET", "/api/v2/heartbeat")
    ask("chroma", "query", "POST", base + "1/query", json={"query_embeddings": [[0.1]]})
    ask("chroma", "upsert", "POST", base + "bad/upsert", lambda r: r.json()["error"], json={"ids": ["a"]})


def round_weaviate():
    ask("weaviate", "health", "GET", "/v1/.well-known/ready")
    ask("weaviate", "graphql", "POST", "/v1/graphql", json={"query": "{Get{Note{a}}}"})
    ask("weaviate", "graphql", "POST", "/v1/graphql", lambda r: r.json()["errors"] and "graphql_error",
        json={"query": "{Get{bad{a}}}"})
    ask("weaviate", "batch objects", "POST", "/v1/batch/objects", lambda r: "batch_error", json={"objects": ["bad"]})


def round_milvus():
    ask("milvus", "search", "POST", "/v2/vectordb/entities/search", json={"collectionName": "a"})
    ask("milvus", "insert", "POST", "/v2/vectordb/entities/insert", lambda r: f"milvus_{r.json()['code']}",
        json={"collectionName": "bad"})


def round_elasticsearch(es):
    es.index(index="notes", id="1", body={"a": 1})
    tell("elasticsearch", "index")
    es.search(index="notes", body={"query": {"match_all": {}}})
    tell("elasticsearch", "search")
    late = es.search(index="bad", body={"query": {"match_all": {}}})
    tell("elasticsearch", "search", "error" if late["timed_out"] else "ok", "timed_out")
    bulk = es.bulk(body=[{"index": {"_index": "notes", "_id": "1"}}, {"a": "bad"}])
    tell("elasticsearch", "bulk", "error" if bulk["errors"] else "ok", bulk["items"][0]["index"]["error"]["type"])
    try:
        es.get(index="notes", id="9")
    except elasticsearch.NotFoundError:
        tell("elasticsearch", "get")  # an answer: not there
    try:
        es.count(index="bad")
    except elasticsearch.NotFoundError as e:
        tell("elasticsearch", "count", "error", e.error)
    es.ping()
    tell("elasticsearch", "health")


def round_s3(s3):
    s3.put_object(Bucket="b", Key="k", Body=b"x" * 1000)
    tell("s3", "PutObject")
    s3.get_object(Bucket="b", Key="k")["Body"].read()
    tell("s3", "GetObject")
    s3.list_objects_v2(Bucket="b")
    tell("s3", "ListObjectsV2")
    s3.head_object(Bucket="b", Key="k")
    tell("s3", "HeadObject")
    try:
        s3.get_object(Bucket="b", Key="bad")
    except s3.exceptions.NoSuchKey as e:
        tell("s3", "GetObject", "error", e.response["Error"]["Code"])
    errors = s3.delete_objects(Bucket="b", Delete={"Objects": [{"Key": "bad"}]})["Errors"]
    tell("s3", "DeleteObjects", "error" if errors else "ok", errors[0]["Code"])
    upload = s3.create_multipart_upload(Bucket="b", Key="bad")["UploadId"]
    tell("s3", "CreateMultipartUpload")
    try:
        s3.complete_multipart_upload(Bucket="b", Key="bad", UploadId=upload,
                                     MultipartUpload={"Parts": [{"ETag": "e", "PartNumber": 1}]})
    except botocore.exceptions.ClientError:  # it names no code where it would retry
        tell("s3", "CompleteMultipartUpload", "error", "InvalidPart")
    s3.head_bucket(Bucket="b")
    tell("s3", "health")


def main():
    es = elasticsearch.Elasticsearch([url("elasticsearch")], timeout=30, max_retries=0)
    es.info()  # its client looks once whose server it is
    s3 = boto3.client("s3", endpoint_url=url("s3"), region_name="eu-west-1", aws_access_key_id="id",
                      aws_secret_access_key="secret", config=botocore.config.Config(retries={"max_attempts": 0}))
    print(json.dumps({"event": "ready", "pid": os.getpid()}), flush=True)
    for _ in sys.stdin:
        round_elasticsearch(es)
        round_s3(s3)
        round_meilisearch()
        round_chroma()
        round_weaviate()
        round_milvus()
        print(json.dumps({"event": "round"}), flush=True)


if __name__ == "__main__":
    main()
