/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Masks XML, scanned as store/xml.c scans it, step by step: punctuation and the names of S3's elements stay, and in an <Error>
 * the <Code> if it is an identifier. Other names, attributes and all other text are masked.
 */
#include <ctype.h>

#include "mask/body.h"

enum xml_at {
	XML_START,
	XML_TEXT,
	XML_OPEN, /* behind '<' */
	XML_NAME,
	XML_REST, /* of a tag */
	XML_QUOTE,
	XML_APOSTROPHE,
	XML_DECLARATION,
	XML_BAD,
};

/* clang-format off */
static const char *const elements[] = {
	/* what store/xml.c reads */
	"Error", "Code", "DeleteResult", "CompleteMultipartUploadResult", "CopyObjectResult",
	"CopyPartResult",
	/* docs.aws.amazon.com/AmazonS3/latest/API */
	"Bucket", "BucketName", "Buckets", "CommonPrefixes", "CompleteMultipartUpload", "Contents",
	"CreateBucketConfiguration", "CreationDate", "Delete", "Deleted", "DeleteMarker",
	"Delimiter", "DisplayName", "ETag", "HostId", "ID", "InitiateMultipartUploadResult",
	"IsTruncated", "Key", "KeyCount", "LastModified", "ListAllMyBucketsResult",
	"ListBucketResult", "ListPartsResult", "Location", "LocationConstraint", "MaxKeys",
	"Message", "Name", "NextContinuationToken", "Object", "Owner", "Part", "PartNumber",
	"Prefix", "Quiet", "Region", "RequestId", "Resource", "Size", "StorageClass", "Tag",
	"Tagging", "TagSet", "UploadId", "Value", "VersionId", NULL,
};
/* clang-format on */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void text_begin(struct mask_xml *x)
{
	x->at = XML_TEXT;
	word_start(x->word, x->key, x->in_code ? WORD_TRY : WORD_MASK);
}

static void bad(struct mask_xml *x, char *p)
{
	x->at = XML_BAD;
	word_start(x->word, x->key, WORD_MASK);
	word_byte(x->word, p);
}

/* The identifiers of store/rule.c. */
static bool is_code(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		if (!isalnum((uint8_t)b.p[i]) && !strchr(".:_-", b.p[i]))
			return false;
	return b.n > 0 && b.n < VERDICT_KIND_MAX;
}

static bool named(const struct mask_xml *x, const char *name)
{
	return bytes_equal((struct bytes){ x->name, x->nname }, name);
}

static void opened(struct mask_xml *x)
{
	x->depth++;
	if (x->depth == 1)
		x->deleting = named(x, "DeleteResult");
	if (named(x, "Error") && (x->depth == 1 || (x->depth == 2 && x->deleting)))
		x->error_depth = x->depth;
	x->in_code = x->error_depth && x->depth == x->error_depth + 1 && named(x, "Code");
}

static void closed(struct mask_xml *x)
{
	x->in_code = false;
	if (x->depth == x->error_depth)
		x->error_depth = 0;
	if (x->depth)
		x->depth--;
}

static void tag_end(struct mask_xml *x)
{
	if (!x->closing)
		opened(x);
	if (x->closing || x->empty)
		closed(x);
	text_begin(x);
}

static void name_begin(struct mask_xml *x)
{
	x->at = XML_NAME;
	x->nname = 0;
	word_start(x->word, x->key, WORD_TRY);
}

/* The name is complete. */
static void name_over(struct mask_xml *x)
{
	char buf[MASK_WORD_MAX];

	word_end(x->word, mask_listed(elements, word_text(x->word, buf)));
	word_start(x->word, x->key, WORD_MASK);
}

/* Of names and values that stay nowhere. */
static void attribute_byte(struct mask_xml *x, char *p)
{
	if (isalnum((uint8_t)*p) || (uint8_t)*p >= 0x80)
		word_byte(x->word, p);
}

/* In a tag, outside quotes. */
static void tag_byte(struct mask_xml *x, char *p)
{
	if (x->at == XML_NAME && *p != '<' && *p != '>' && *p != '"' && *p != '\'' && *p != '/' &&
	    !is_blank(*p)) {
		if (x->nname < sizeof(x->name))
			x->name[x->nname++] = *p;
		word_byte(x->word, p);
		return;
	}
	if (x->at == XML_NAME)
		name_over(x);
	if (*p == '<') {
		bad(x, p);
	} else if (*p == '>') {
		tag_end(x);
	} else if (*p == '"' || *p == '\'') {
		x->at = *p == '"' ? XML_QUOTE : XML_APOSTROPHE;
	} else {
		x->empty = *p == '/';
		x->at = XML_REST;
		attribute_byte(x, p);
	}
}

static void open_byte(struct mask_xml *x, char *p)
{
	x->closing = *p == '/';
	x->empty = false;
	if (*p == '!') {
		bad(x, p);
	} else if (*p == '?') {
		x->at = XML_DECLARATION;
		word_start(x->word, x->key, WORD_MASK);
	} else {
		name_begin(x);
		if (*p != '/')
			tag_byte(x, p);
	}
}

static void text_byte(struct mask_xml *x, char *p)
{
	char buf[MASK_WORD_MAX];

	if (*p == '<') {
		word_end(x->word, x->in_code && is_code(word_text(x->word, buf)));
		x->at = XML_OPEN;
	} else if (x->in_code || !is_blank(*p)) {
		word_byte(x->word, p);
	}
}

static void quoted_byte(struct mask_xml *x, char *p)
{
	if (*p == (x->at == XML_QUOTE ? '"' : '\''))
		x->at = XML_REST;
	else
		word_byte(x->word, p);
}

static void byte(struct mask_xml *x, char *p)
{
	switch ((enum xml_at)x->at) {
	case XML_START:
		if (*p == '<')
			x->at = XML_OPEN;
		else if (!is_blank(*p))
			bad(x, p);
		break;
	case XML_TEXT:
		text_byte(x, p);
		break;
	case XML_OPEN:
		open_byte(x, p);
		break;
	case XML_NAME:
	case XML_REST:
		tag_byte(x, p);
		break;
	case XML_QUOTE:
	case XML_APOSTROPHE:
		quoted_byte(x, p);
		break;
	case XML_DECLARATION:
		if (*p == '>')
			text_begin(x);
		else
			attribute_byte(x, p);
		break;
	case XML_BAD:
		if (!is_blank(*p))
			word_byte(x->word, p);
	}
}

void mask_xml_start(struct mask_xml *x, const uint8_t *key, struct mask_word *word)
{
	*x = (struct mask_xml){ .key = key, .word = word };
	word_start(word, key, WORD_MASK);
}

void mask_xml_feed(struct mask_xml *x, char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		byte(x, p + i);
}

void mask_xml_gap(struct mask_xml *x)
{
	word_start(x->word, x->key, WORD_MASK);
	x->at = XML_BAD;
}

void mask_xml_end(struct mask_xml *x)
{
	word_end(x->word, false);
}
