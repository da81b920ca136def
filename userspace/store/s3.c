/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Operations of Amazon S3 and those that speak like it (MinIO, Ceph, R2), by method, level and query
 * (docs.aws.amazon.com/AmazonS3/latest/API): a path names the service, a bucket or an object, unless the host names
 * the bucket.
 */
#include "store/route.h"

enum level { SERVICE, BUCKET, OBJECT };

static const struct {
	enum level level;
	bool copies; /* the request has x-amz-copy-source */
	struct route r;
} routes[] = {
#define S3(level, method, query, op, ...)                              \
	{                                                              \
		level, false,                                          \
		{                                                      \
			STORE_S3, method, NULL, query, op, __VA_ARGS__ \
		}                                                      \
	}
#define S3_COPY(method, query, op, ...)                                \
	{                                                              \
		OBJECT, true,                                          \
		{                                                      \
			STORE_S3, method, NULL, query, op, __VA_ARGS__ \
		}                                                      \
	}
	S3_COPY("PUT", "partNumber=", "UploadPartCopy", ROUTE_WRITE, RULE_S3 | RULE_S3_LATE),
	S3_COPY("PUT", NULL, "CopyObject", ROUTE_WRITE, RULE_S3 | RULE_S3_LATE),
	S3(OBJECT, "PUT", "partNumber=", "UploadPart", ROUTE_WRITE, RULE_S3),
	S3(OBJECT, "PUT", "tagging", "PutObjectTagging", ROUTE_WRITE, RULE_S3),
	S3(OBJECT, "PUT", "acl", "PutObjectAcl", ROUTE_WRITE, RULE_S3),
	S3(OBJECT, "PUT", NULL, "PutObject", ROUTE_WRITE, RULE_S3),
	S3(OBJECT, "POST", "uploads", "CreateMultipartUpload", ROUTE_WRITE, RULE_S3),
	S3(OBJECT, "POST", "uploadId=", "CompleteMultipartUpload", ROUTE_WRITE,
	   RULE_S3 | RULE_S3_LATE),
	S3(OBJECT, "POST", "select", "SelectObjectContent", 0, RULE_S3),
	S3(OBJECT, "POST", "restore", "RestoreObject", ROUTE_WRITE, RULE_S3),
	S3(OBJECT, "DELETE", "uploadId=", "AbortMultipartUpload", ROUTE_WRITE, RULE_S3),
	S3(OBJECT, "DELETE", "tagging", "DeleteObjectTagging", ROUTE_WRITE, RULE_S3),
	S3(OBJECT, "DELETE", NULL, "DeleteObject", ROUTE_WRITE, RULE_S3),
	S3(OBJECT, "HEAD", NULL, "HeadObject", ROUTE_MISS, RULE_S3),
	S3(OBJECT, "GET", "uploadId=", "ListParts", 0, RULE_S3),
	S3(OBJECT, "GET", "tagging", "GetObjectTagging", 0, RULE_S3),
	S3(OBJECT, "GET", "acl", "GetObjectAcl", 0, RULE_S3),
	S3(OBJECT, "GET", "attributes", "GetObjectAttributes", 0, RULE_S3),
	S3(OBJECT, "GET", NULL, "GetObject", 0, RULE_S3),
	S3(BUCKET, "GET", "list-type=2", "ListObjectsV2", 0, RULE_S3),
	S3(BUCKET, "GET", "uploads", "ListMultipartUploads", 0, RULE_S3),
	S3(BUCKET, "GET", "versions", "ListObjectVersions", 0, RULE_S3),
	S3(BUCKET, "GET", "location", "GetBucketLocation", 0, RULE_S3),
	S3(BUCKET, "GET", "versioning", "GetBucketVersioning", 0, RULE_S3),
	S3(BUCKET, "GET", "policy", "GetBucketPolicy", 0, RULE_S3),
	S3(BUCKET, "GET", "acl", "GetBucketAcl", 0, RULE_S3),
	S3(BUCKET, "GET", "lifecycle", "GetBucketLifecycleConfiguration", 0, RULE_S3),
	S3(BUCKET, "GET", "tagging", "GetBucketTagging", 0, RULE_S3),
	S3(BUCKET, "GET", "object-lock", "GetObjectLockConfiguration", 0, RULE_S3),
	/* MinIO's own: events as they happen */
	S3(BUCKET, "GET", "events=", "ListenBucketNotification", ROUTE_BLOCKS, RULE_S3),
	S3(BUCKET, "GET", NULL, "ListObjects", 0, RULE_S3),
	S3(BUCKET, "POST", "delete", "DeleteObjects", ROUTE_WRITE, RULE_S3 | RULE_S3_DELETE),
	S3(BUCKET, "POST", NULL, "PostObject", ROUTE_WRITE, RULE_S3),
	S3(BUCKET, "PUT", "policy", "PutBucketPolicy", ROUTE_WRITE, RULE_S3),
	S3(BUCKET, "PUT", "versioning", "PutBucketVersioning", ROUTE_WRITE, RULE_S3),
	S3(BUCKET, "PUT", "lifecycle", "PutBucketLifecycleConfiguration", ROUTE_WRITE, RULE_S3),
	S3(BUCKET, "PUT", NULL, "CreateBucket", ROUTE_WRITE, RULE_S3),
	S3(BUCKET, "DELETE", NULL, "DeleteBucket", ROUTE_WRITE, RULE_S3),
	S3(BUCKET, "HEAD", NULL, "HeadBucket", ROUTE_HEALTH | ROUTE_MISS, RULE_S3),
	S3(SERVICE, "GET", NULL, "ListBuckets", 0, RULE_S3),
#undef S3
#undef S3_COPY
};

/* min.io/docs, Healthcheck API */
static const struct route health = { STORE_S3, "GET|HEAD", "/minio/health/**",
	                             NULL,     "health",   ROUTE_HEALTH | ROUTE_SURE,
	                             0 };

static bool contains(struct bytes b, const char *s)
{
	return b.n && memmem(b.p, b.n, s, strlen(s));
}

/* "AWS4-HMAC-SHA256 Credential=ID/DATE/REGION/s3/aws4_request, ...": the scope tells the service. */
bool route_s3_signed(const struct store_request *r)
{
	struct bytes query;

	route_split(r->path, &query);
	if (bytes_start(r->authorization, "AWS4-") &&
	    contains(r->authorization, "/s3/aws4_request"))
		return true;
	return contains(query, "X-Amz-Credential=") &&
	       (contains(query, "/s3/aws4_request") || contains(query, "%2Fs3%2Faws4_request"));
}

/* BUCKET.s3.REGION.amazonaws.com, BUCKET.s3-REGION..., BUCKET.s3express-...: other hosts are configured, and clients then
 * put the bucket into the path. */
static bool host_names_bucket(struct bytes host)
{
	return !bytes_start(host, "s3.") && !bytes_start(host, "s3-") &&
	       contains(host, "amazonaws.com") &&
	       (contains(host, ".s3.") || contains(host, ".s3-") || contains(host, ".s3express-"));
}

static enum level level_of(const struct store_request *r, struct bytes path)
{
	struct bytes rest = bytes_from(path, 1);
	struct bytes first = bytes_to(&rest, '/');

	if (host_names_bucket(r->host))
		return path.n > 1 ? OBJECT : BUCKET;
	if (!first.n)
		return SERVICE;
	return rest.n ? OBJECT : BUCKET;
}

const struct route *route_s3(const struct store_request *r)
{
	struct bytes query, path = route_split(r->path, &query);
	enum level level = level_of(r, path);

	if (route_path_is(path, health.path))
		return &health;
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		const struct route *route = &routes[i].r;

		if (routes[i].level == level && bytes_equal(r->method, route->methods) &&
		    (!routes[i].copies || r->copy_source) &&
		    (!route->query || route_query_has(query, route->query)))
			return route;
	}
	return NULL;
}
